//! Crashes: a server is killed again and again while clients write, while the file is rewritten and while the data is saved. What was
//! acknowledged has to be there afterwards, and nothing may be there in part.
//!
//! `cargo xtask crash --rounds N` runs more rounds.

use std::{
    env, fs,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use ochre_testkit::{Client, Launch, Random, Server};

use super::Folder;

const WRITERS: usize = 4;

/// What a writer knows of its keys: the last value that was acknowledged, and the last one that was sent.
#[derive(Clone, Copy, Default, Debug)]
struct Known {
    acknowledged: i64,
    sent: i64,
}

fn rounds(default: u64) -> u64 {
    env::var("OCHRE_CRASH_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(default)
}

/// Writes until the server is gone. Each step raises a counter, and in one transaction two others.
fn write(server: &Server, writer: usize, known: &Mutex<Known>) {
    let Ok(mut client) = Client::connect(server.port()) else { return };
    let command = |words: &[&str]| words.iter().map(|word| word.as_bytes().to_vec()).collect::<Vec<_>>();
    let (counter, first, second) = (format!("counter:{writer}"), format!("first:{writer}"), format!("second:{writer}"));
    loop {
        let next = {
            let mut known = known.lock().expect("no writer panics");
            known.sent += 1;
            known.sent
        };
        let steps = [
            command(&["SET", &counter, &next.to_string()]),
            command(&["MULTI"]),
            command(&["SET", &first, &next.to_string()]),
            command(&["SET", &second, &next.to_string()]),
            command(&["EXEC"]),
        ];
        match client.pipeline(&steps) {
            Ok(replies) if !replies.iter().any(|reply| reply.is_error()) => {
                known.lock().expect("no writer panics").acknowledged = next;
            }
            Ok(replies) => panic!("{replies:?}"),
            Err(_) => return,
        }
    }
}

/// Has the server do something beside the writing.
fn disturb(server: &Server, random: &mut Random, is_over: &AtomicBool) {
    let Ok(mut client) = Client::connect(server.port()) else { return };
    while !is_over.load(Ordering::Relaxed) {
        let words: &[&str] = match random.below(4) {
            0 | 1 => &["BGREWRITEAOF"],
            2 => &["BGSAVE"],
            _ => &["DEBUG", "POPULATE", "2000", "filler", "100"],
        };
        if client.call(words).is_err() {
            return;
        }
    }
}

/// Runs rounds on one folder. Returns how many changes were acknowledged.
fn crash(policy: &str, rounds: u64, seed: u64) -> i64 {
    let folder = Folder::new();
    let launch = || {
        Launch::subject()
            .threads(2)
            .in_folder(&folder)
            .directive("appendonly", "yes")
            .directive("appendfsync", policy)
            .directive("enable-debug-command", "yes")
    };
    let known: Vec<Mutex<Known>> = (0..WRITERS).map(|_| Mutex::default()).collect();
    let mut random = Random::new(seed);
    for round in 0..=rounds {
        let mut server = launch().start();
        let mut client = server.client();
        for (writer, known) in known.iter().enumerate() {
            let mut known = known.lock().expect("no writer panics");
            let mut value = |name: &str| {
                let text =
                    client.run(&format!("GET {name}:{writer}")).as_bytes().map(<[u8]>::to_vec).unwrap_or_default();
                String::from_utf8(text).expect("a number").parse::<i64>().unwrap_or(0)
            };
            let (counter, first, second) = (value("counter"), value("first"), value("second"));
            let Known { acknowledged, sent } = *known;
            let context = format!("{policy}, seed {seed}, round {round}, writer {writer}: {known:?}");
            assert_eq!(first, second, "a transaction is there in part; {context}");
            assert!(counter <= sent && first <= counter, "{counter} {first}; {context}");
            if policy == "always" {
                assert!(counter >= acknowledged && first >= acknowledged, "{counter} {first} were lost; {context}");
            }
            *known = Known { acknowledged: first, sent: counter };
        }
        if round == rounds {
            break;
        }
        let is_over = AtomicBool::new(false);
        let time = Duration::from_millis(20 + random.below(150) as u64);
        let mut disturbing = Random::new(random.next_u64());
        thread::scope(|scope| {
            for (writer, known) in known.iter().enumerate() {
                let server = &server;
                scope.spawn(move || write(server, writer, known));
            }
            let (of_disturber, is_over) = (&server, &is_over);
            scope.spawn(move || disturb(of_disturber, &mut disturbing, is_over));
            // The instant of a crash is drawn, so there is no condition to wait for.
            thread::sleep(time);
            server.signal(libc::SIGKILL);
            is_over.store(true, Ordering::Relaxed);
        });
        server.wait();
        let names = fs::read_dir(folder.join("appendonlydir")).expect("there is a folder");
        let names = names.map(|it| it.expect("it can be read").file_name().to_string_lossy().into_owned());
        let unfinished: Vec<String> = names.filter(|name| name.starts_with("temp-")).collect();
        assert!(unfinished.len() <= 2, "files of earlier rounds are left: {unfinished:?}");
    }
    known.iter().map(|known| known.lock().expect("no writer panics").acknowledged).sum()
}

#[test]
fn nothing_acknowledged_is_lost_under_always() {
    let acknowledged = crash("always", rounds(40), 1);
    assert!(acknowledged > 100, "only {acknowledged} changes were made");
}

/// The process is killed but the machine goes on, so what was written to the file is there even if it was not synced.
#[test]
fn nothing_is_there_in_part_under_everysec() {
    let acknowledged = crash("everysec", rounds(20), 2);
    assert!(acknowledged > 100, "only {acknowledged} changes were made");
}
