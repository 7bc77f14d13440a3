//! Proves what transcripts cannot show of blocking commands: many waiting clients, timeouts, and clients that disconnect while blocked.

use std::time::{Duration, Instant};

use ochre_testkit::{Client, Launch, Reply, Server, poll};

const MANY: usize = 300;

fn figure(client: &mut Client, name: &str) -> i64 {
    let info = client.run("INFO clients").to_text();
    let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.and_then(|figure| figure.trim().parse().ok()).unwrap_or_else(|| panic!("INFO has no {name}"))
}

fn wait_until_blocked(observer: &mut Client, count: usize) {
    poll::eventually("the clients are blocked", || figure(observer, "blocked_clients") == count as i64);
}

/// Blocks `count` clients one after the other, so that the order of their arrival is known.
fn blocked(server: &Server, observer: &mut Client, count: usize, command: impl Fn(usize) -> String) -> Vec<Client> {
    let before = figure(observer, "blocked_clients") as usize;
    (0..count)
        .map(|index| {
            let mut client = server.client();
            client.send(&command(index).split(' ').collect::<Vec<_>>()).unwrap();
            wait_until_blocked(observer, before + index + 1);
            client
        })
        .collect()
}

fn id(client: &mut Client) -> i64 {
    client.run("CLIENT ID").as_integer().unwrap()
}

#[test]
fn first_come_first_served_across_all_cores() {
    let server = Launch::subject().threads(4).start();
    let mut observer = server.client();
    let mut clients = blocked(&server, &mut observer, MANY, |_| "BLPOP list 0".into());
    let mut pushers: Vec<Client> = (0..4).map(|_| server.client()).collect();
    for (index, client) in clients.iter_mut().enumerate() {
        let pushed = pushers[index % 4].run(&format!("RPUSH list {index}"));
        assert_eq!(pushed, Reply::Integer(1));
        assert_eq!(client.read_reply().unwrap().items()[1], &Reply::bulk(index.to_string()));
    }
    assert_eq!(figure(&mut observer, "total_blocking_keys"), 0);
    assert_eq!(observer.run("EXISTS list"), Reply::Integer(0));
}

#[test]
fn one_push_of_many_serves_many_and_what_follows_in_the_pipeline_sees_it() {
    let server = Launch::subject().threads(4).start();
    let mut observer = server.client();
    // Each waiter moves the element to a list of its own, so the push needs the locks of all those lists.
    let mut clients = blocked(&server, &mut observer, MANY, |index| format!("BLMOVE jobs own:{index} LEFT RIGHT 0"));
    let words = |line: &str| line.split(' ').map(|word| word.as_bytes().to_vec()).collect::<Vec<_>>();
    let elements: Vec<String> = (0..MANY + 2).map(|index| index.to_string()).collect();
    let replies = observer
        .pipeline(&[words(&format!("RPUSH jobs {}", elements.join(" "))), words("LLEN jobs"), words("DEL jobs")])
        .unwrap();
    assert_eq!(replies, [Reply::Integer(MANY as i64 + 2), Reply::Integer(2), Reply::Integer(1)]);
    for (index, client) in clients.iter_mut().enumerate() {
        assert_eq!(client.read_reply().unwrap(), Reply::bulk(index.to_string()));
        assert_eq!(observer.run(&format!("LRANGE own:{index} 0 -1")).items(), [&Reply::bulk(index.to_string())]);
    }
}

#[test]
fn a_long_chain_completes_before_the_next_command() {
    let server = Launch::subject().threads(4).start();
    let mut observer = server.client();
    let mut clients = blocked(&server, &mut observer, 20, |index| format!("BLMOVE {index} {} LEFT LEFT 0", index + 1));
    let words = |line: &str| line.split(' ').map(|word| word.as_bytes().to_vec()).collect::<Vec<_>>();
    let replies = observer.pipeline(&[words("LPUSH 0 x"), words("LLEN 20")]).unwrap();
    assert_eq!(replies, [Reply::Integer(1), Reply::Integer(1)]);
    for client in &mut clients {
        assert_eq!(client.read_reply().unwrap(), Reply::bulk("x"));
    }
}

#[test]
fn a_waiter_that_disconnects_takes_nothing_and_is_forgotten() {
    let server = Launch::subject().threads(4).start();
    let mut observer = server.client();
    let mut clients = blocked(&server, &mut observer, 30, |_| "BLPOP list other 0".into());
    let mut last = clients.pop().unwrap();
    drop(clients);
    wait_until_blocked(&mut observer, 1);
    assert_eq!(observer.run("RPUSH list a"), Reply::Integer(1));
    assert_eq!(last.read_reply().unwrap().items()[1], &Reply::bulk("a"));
    drop(last);
    poll::eventually("no client waits", || figure(&mut observer, "total_blocking_keys") == 0);
}

#[test]
fn a_killed_client_takes_nothing() {
    let server = Launch::subject().threads(4).start();
    let mut observer = server.client();
    for round in 0..50 {
        let mut client = server.client();
        let id = id(&mut client);
        client.send(&["BLPOP", "list", "0"]).unwrap();
        wait_until_blocked(&mut observer, 1);
        assert_eq!(observer.run(&format!("CLIENT KILL ID {id}")), Reply::Integer(1));
        assert_eq!(observer.run("RPUSH list a"), Reply::Integer(1), "round {round}");
        assert_eq!(observer.run("LPOP list"), Reply::bulk("a"), "round {round}");
        wait_until_blocked(&mut observer, 0);
    }
}

#[test]
fn unblock_ends_a_wait_once_and_then_nothing_is_served() {
    let server = Launch::subject().threads(4).start();
    let mut observer = server.client();
    let mut client = server.client();
    let id = id(&mut client);
    for (how, expected) in [
        ("TIMEOUT", Reply::NullArray),
        ("ERROR", Reply::Error(b"UNBLOCKED client unblocked via CLIENT UNBLOCK".into())),
    ] {
        assert_eq!(observer.run(&format!("CLIENT UNBLOCK {id} {how}")), Reply::Integer(0));
        client.send(&["BLPOP", "list", "0"]).unwrap();
        wait_until_blocked(&mut observer, 1);
        let words = |line: &str| line.split(' ').map(|word| word.as_bytes().to_vec()).collect::<Vec<_>>();
        let unblock = words(&format!("CLIENT UNBLOCK {id} {how}"));
        let replies =
            observer.pipeline(&[unblock.clone(), unblock, words("RPUSH list a"), words("LPOP list")]).unwrap();
        assert_eq!(replies, [Reply::Integer(1), Reply::Integer(0), Reply::Integer(1), Reply::bulk("a")]);
        assert_eq!(client.read_reply().unwrap(), expected);
        assert_eq!(figure(&mut observer, "total_blocking_keys"), 0);
    }
}

#[test]
fn timeouts_come_when_they_are_due_and_leave_nothing() {
    let server = Launch::subject().threads(4).start();
    let mut observer = server.client();
    let began = Instant::now();
    let mut clients: Vec<Client> = (0..MANY).map(|_| server.client()).collect();
    for client in &mut clients {
        client.send(&["BLPOP", "a", "b", "0.3"]).unwrap();
    }
    for client in &mut clients {
        assert_eq!(client.read_reply().unwrap(), Reply::NullArray);
        assert!(began.elapsed() >= Duration::from_millis(300), "a wait ended early");
    }
    poll::eventually("no client waits", || figure(&mut observer, "total_blocking_keys") == 0);
}

#[test]
fn pushes_and_timeouts_at_the_same_moment_lose_nothing() {
    let server = Launch::subject().threads(4).start();
    let mut pusher = server.client();
    let mut clients: Vec<Client> = (0..8).map(|_| server.client()).collect();
    let (mut pushed, mut taken) = (0, 0);
    for _ in 0..100 {
        for client in &mut clients {
            client.send(&["BLPOP", "list", "0.002"]).unwrap();
        }
        for _ in 0..8 {
            assert!(matches!(pusher.run("RPUSH list x"), Reply::Integer(1..)));
            pushed += 1;
        }
        for client in &mut clients {
            taken += i64::from(client.read_reply().unwrap() != Reply::NullArray);
        }
    }
    assert_eq!(pusher.run("LLEN list"), Reply::Integer(pushed - taken));
}

#[test]
fn requests_behind_a_blocked_command_run_after_it() {
    let server = Launch::subject().threads(4).start();
    let mut observer = server.client();
    let mut client = server.client();
    let words = |line: &str| line.split(' ').map(|word| word.as_bytes().to_vec()).collect::<Vec<_>>();
    for words in [words("BLPOP list 0"), words("LPUSH list 2"), words("LPOP list")] {
        client.send(&words).unwrap();
    }
    wait_until_blocked(&mut observer, 1);
    observer.run("RPUSH list 1");
    assert_eq!(client.read_reply().unwrap().items()[1], &Reply::bulk("1"));
    assert_eq!(client.read_reply().unwrap(), Reply::Integer(1));
    assert_eq!(client.read_reply().unwrap(), Reply::bulk("2"));
}

#[test]
fn a_waiter_for_a_key_that_is_moved_in_is_served_before_the_next_command() {
    let server = Launch::subject().threads(4).start();
    let mut observer = server.client();
    let words = |line: &str| line.split(' ').map(|word| word.as_bytes().to_vec()).collect::<Vec<_>>();
    for round in 0..20 {
        let mut client = server.client();
        client.run("SELECT 1");
        client.send(&["BLMOVE", "from", &format!("to:{round}"), "LEFT", "LEFT", "0"]).unwrap();
        wait_until_blocked(&mut observer, 1);
        let length = format!("LLEN to:{round}");
        let lines = ["RPUSH from x", "MOVE from 1", "SELECT 1", &length, "SELECT 0"];
        let replies = observer.pipeline(&lines.map(words)).unwrap();
        assert_eq!(replies[3], Reply::Integer(1));
        assert_eq!(client.read_reply().unwrap(), Reply::bulk("x"));
    }
}

/// The cost of a push may depend on how many waiters it serves, but not on how many wait. If each push visited all waiters, this would take
/// minutes.
#[test]
fn thousands_of_waiters_for_one_key_do_not_slow_down_pushes() {
    const WAITERS: usize = 3000;
    let server = Launch::subject().threads(4).directive("maxclients", "20000").start();
    let mut observer = server.client();
    let send = |command: &str| {
        let mut client = server.client();
        client.send(&command.split(' ').collect::<Vec<_>>()).unwrap();
        client
    };
    let mut lists: Vec<Client> = (0..WAITERS).map(|_| send("BLPOP list other 0")).collect();
    let mut moves: Vec<Client> = (0..WAITERS).map(|_| send("BLMOVE source target LEFT RIGHT 0")).collect();
    let mut sets: Vec<Client> = (0..WAITERS).map(|_| send("BZPOPMIN list 0")).collect();
    wait_until_blocked(&mut observer, 3 * WAITERS);
    for index in 0..WAITERS {
        assert_eq!(observer.run(&format!("RPUSH list {index}")), Reply::Integer(1));
        assert_eq!(observer.run("EXISTS list"), Reply::Integer(0), "the element was taken at once");
        assert_eq!(observer.run(&format!("LPUSH source {index}")), Reply::Integer(1));
        assert_eq!(observer.run("LLEN target"), Reply::Integer(index as i64 + 1), "the element was moved at once");
    }
    wait_until_blocked(&mut observer, WAITERS);
    for client in lists.iter_mut().chain(&mut moves) {
        client.read_reply().unwrap();
    }
    let members: Vec<String> = (0..WAITERS).map(|index| format!("{index} {index}")).collect();
    assert_eq!(observer.run(&format!("ZADD list {}", members.join(" "))), Reply::Integer(WAITERS as i64));
    for client in &mut sets {
        client.read_reply().unwrap();
    }
    assert_eq!(figure(&mut observer, "total_blocking_keys"), 0);
}

/// The disconnect is noticed however much the client has sent behind its blocked command.
#[test]
fn a_client_that_disconnects_after_a_long_pipeline_takes_nothing() {
    let server = Launch::subject().threads(2).start();
    let mut observer = server.client();
    let mut client = server.client();
    client.send(&["BLPOP", "list", "0"]).unwrap();
    wait_until_blocked(&mut observer, 1);
    client.send_bytes(&b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n".repeat(200_000)).unwrap();
    drop(client);
    wait_until_blocked(&mut observer, 0);
    assert_eq!(observer.run("RPUSH list a"), Reply::Integer(1));
    assert_eq!(observer.run("LLEN list"), Reply::Integer(1));
}

#[test]
fn the_figures_of_blocked_clients() {
    let server = Launch::subject().threads(2).start();
    let mut observer = server.client();
    let mut timed = blocked(&server, &mut observer, 1, |_| "BLPOP list 100".into());
    let mut untimed = blocked(&server, &mut observer, 1, |_| "BLPOP list 0".into());
    assert_eq!(figure(&mut observer, "clients_in_timeout_table"), 1);
    observer.run("RPUSH list a b");
    for client in timed.iter_mut().chain(&mut untimed) {
        client.read_reply().unwrap();
    }
    assert_eq!(figure(&mut observer, "clients_in_timeout_table"), 0);
    // A stream that is named twice counts once.
    observer.run("XGROUP CREATE s g $ MKSTREAM");
    let mut readers = blocked(&server, &mut observer, 1, |_| "XREADGROUP GROUP g c BLOCK 0 STREAMS s s > >".into());
    assert_eq!(figure(&mut observer, "total_blocking_keys_on_nokey"), 1);
    observer.run("XADD s 1-1 f v");
    readers[0].read_reply().unwrap();
    assert_eq!(figure(&mut observer, "total_blocking_keys_on_nokey"), 0);
}
