//! Proves that memory is given back after many keys were removed here and there, and that no key suffers from being moved.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use ochre_testkit::{Client, Kind, Launch, Random, Reply, Server, eventually, new_folder};

const KEYS: usize = 200_000;
/// The pages in use, as a multiple of the memory in use, when they are as full as they get. In a larger server they get fuller.
const FULL: f64 = 1.3;

fn figure(client: &mut Client, name: &str) -> f64 {
    let info = client.run("INFO all").to_text();
    let value = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')?.trim().parse().ok());
    value.unwrap_or_else(|| panic!("INFO shows {name}"))
}

fn launch() -> Launch {
    let launch = Launch::subject().threads(2).directive("enable-debug-command", "yes");
    launch.directive("active-defrag-ignore-bytes", "1mb").directive("activedefrag", "no")
}

/// Fills keys with values of random lengths. Some have an expiry, some lie in another database, and some are small collections.
fn fill(client: &mut Client) {
    let mut random = Random::new(7);
    let keys: Vec<usize> = (0..KEYS).collect();
    for some in keys.chunks(1_000) {
        let mut commands: Vec<Vec<Vec<u8>>> = Vec::new();
        let database = usize::from(random.chance(10)).to_string();
        commands.push(vec![b"SELECT".to_vec(), database.into_bytes()]);
        for &number in some {
            let key = format!("key:{number:09}").into_bytes();
            let value = vec![b'a' + (number % 26) as u8; random.between(16, 512)];
            commands.push(match number % 10 {
                0 => vec![b"SET".to_vec(), key, value, b"EX".to_vec(), b"100000".to_vec()],
                1 => vec![b"RPUSH".to_vec(), key, value[..value.len() / 2].to_vec(), b"second".to_vec()],
                2 => vec![b"HSET".to_vec(), key, b"field".to_vec(), value[..value.len() / 8].to_vec()],
                _ => vec![b"SET".to_vec(), key, value],
            });
        }
        let replies = client.pipeline(&commands).expect("replies");
        assert!(replies.iter().all(|reply| !reply.is_error()));
    }
}

/// Removes four keys in five.
fn thin_out(client: &mut Client) {
    let removed: Vec<usize> = (0..KEYS).filter(|number| number % 5 > 0).collect();
    for database in 0..2 {
        client.run(&format!("SELECT {database}"));
        for some in removed.chunks(1_000) {
            let keys = some.iter().map(|number| format!("key:{number:09}").into_bytes());
            let words: Vec<Vec<u8>> = std::iter::once(b"DEL".to_vec()).chain(keys).collect();
            client.call(&words).expect("a reply");
        }
    }
}

/// The pages that the allocator has in use, as a multiple of the memory in use.
fn waste(client: &mut Client) -> f64 {
    figure(client, "allocator_active") / figure(client, "allocator_allocated")
}

fn thinned_out(server: &Server) -> Client {
    let mut client = server.client();
    fill(&mut client);
    thin_out(&mut client);
    assert!(waste(&mut client) > 2.0, "{} before", waste(&mut client));
    client
}

#[test]
fn pages_that_hold_little_are_given_back_when_it_is_switched_on() {
    let server = launch().start();
    let mut client = thinned_out(&server);
    assert_eq!(figure(&mut client, "active_defrag_hits"), 0.0);
    let digest = client.run("DEBUG DIGEST");
    client.run("CONFIG SET activedefrag yes");
    eventually("the pages are full", || waste(&mut client) < FULL);
    assert_eq!(client.run("DEBUG DIGEST"), digest);
    eventually("the pass has ended", || figure(&mut client, "active_defrag_running") == 0.0);
    assert!(figure(&mut client, "active_defrag_hits") > KEYS as f64 / 10.0);
    assert!(figure(&mut client, "total_active_defrag_time") > 0.0);
}

#[test]
fn keys_can_be_used_while_they_are_moved() {
    let server = launch().start();
    let mut client = thinned_out(&server);
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        // The threads end even if the condition is not met.
        let _end = End(&is_over);
        for core in 0..2 {
            let mut client = server.client_on_core(core);
            let is_over = &is_over;
            scope.spawn(move || {
                client.run(&format!("SELECT {}", 2 + core));
                let mut random = Random::new(core as u64);
                let mut written: Vec<Option<String>> = vec![None; 1_000];
                while !is_over.load(Ordering::Relaxed) {
                    let number = random.below(written.len());
                    if random.chance(50) {
                        let value = "v".repeat(random.between(1, 400)) + &random.below(1_000_000).to_string();
                        client.run(&format!("SET own:{number} {value}"));
                        written[number] = Some(value);
                    } else {
                        let expected = written[number].as_ref().map_or(Reply::NullBulk, Reply::bulk);
                        assert_eq!(client.run(&format!("GET own:{number}")), expected);
                    }
                }
            });
        }
        client.run("CONFIG SET activedefrag yes");
        eventually("the pages are full", || waste(&mut client) < FULL);
    });
}

/// Sets the flag when it is dropped.
struct End<'f>(&'f AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_save_that_runs_meanwhile_has_every_key() {
    let folder = new_folder(Kind::Ochre);
    let server = launch().in_folder(&folder).start();
    let mut client = thinned_out(&server);
    let digest = client.run("DEBUG DIGEST");
    client.run("CONFIG SET activedefrag yes");
    eventually("keys are being moved", || figure(&mut client, "active_defrag_running") > 0.0);
    assert_eq!(client.run("SAVE"), Reply::ok());
    drop((client, server));
    let server = launch().in_folder(&folder).start();
    assert_eq!(server.client().run("DEBUG DIGEST"), digest);
    drop(server);
    std::fs::remove_dir_all(&folder).expect("the folder is there");
}
