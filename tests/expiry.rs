//! Proves that keys expire when they should and not earlier, also if no client accesses them.

use std::thread;
use std::time::Duration;

use ochre_testkit::{Client, Launch, Reply, Server, eventually, quoting};

#[test]
fn keys_expire_without_being_accessed() {
    let server = Launch::subject().threads(4).start();
    let mut client = server.client();
    for number in 0..500 {
        client.run(&format!("SET k{number} v PX {}", 1 + number % 60));
        client.run(&format!("SET far{number} v EX 100000"));
    }
    eventually("the 500 keys with a near expiry are gone", || client.run("DBSIZE") == Reply::Integer(500));
    assert_eq!(client.run("EXISTS far0 far499"), Reply::Integer(2));
}

#[test]
fn every_expiry_is_announced_once() {
    let server = Launch::subject().threads(4).directive("notify-keyspace-events", "Ex").start();
    let mut listener = server.client();
    listener.run("SUBSCRIBE __keyevent@0__:expired");
    let mut client = server.client();
    for number in 0..300 {
        client.run(&format!("SET k{number} v PX {}", 5 + number % 40));
    }
    let mut announced: Vec<String> =
        (0..300).map(|_| listener.read_reply().expect("an announcement").items()[2].to_text()).collect();
    announced.sort();
    announced.dedup();
    assert_eq!(announced.len(), 300);
    assert_eq!(listener.read_reply_within(Duration::from_millis(50)).unwrap(), None);
}

/// The core that removes a key knows the current setting of `notify-keyspace-events`, whichever core it is.
#[test]
fn announcements_switched_on_at_run_time_come_from_every_core() {
    let server = Launch::subject().threads(4).start();
    let mut client = server.client();
    for round in 0..20 {
        client.run("CONFIG SET notify-keyspace-events Ex");
        let mut listener = server.client();
        listener.run("SUBSCRIBE __keyevent@0__:expired");
        client.run(&format!("SET brief{round} v PX 10"));
        let message = listener.read_reply().unwrap_or_else(|error| panic!("round {round}: {error}"));
        assert_eq!(message.items()[2].to_text(), format!("brief{round}"));
        client.run("CONFIG SET notify-keyspace-events \"\"");
    }
}

#[test]
fn commands_that_remove_or_postpone_the_expiry_keep_the_key() {
    let server = Launch::subject().threads(2).start();
    let mut client = server.client();
    for (number, change) in
        ["PERSIST k", "SET k w", "GETEX k PERSIST", "EXPIRE k 100000", "SET k w EX 100000"].iter().enumerate()
    {
        client.run("SET k v PX 300");
        client.run(change);
        client.run(&format!("SET clock{number} 1 PX 400"));
        eventually("the old expiry has passed", || client.run(&format!("EXISTS clock{number}")) == Reply::Integer(0));
        assert_eq!(client.run("EXISTS k"), Reply::Integer(1), "{change}");
    }
}

#[test]
fn commands_that_keep_the_expiry_let_the_key_expire() {
    let server = Launch::subject().threads(2).start();
    let mut client = server.client();
    for (number, change) in
        ["INCR k", "APPEND k 1", "SETRANGE k 0 5", "SET k 2 KEEPTTL", "RENAME k k"].iter().enumerate()
    {
        client.run("SET k 1 PX 60");
        client.run(change);
        assert!(client.run("PTTL k").as_integer().is_some_and(|left| left <= 60), "{change} {number}");
        eventually(change, || client.run("GET k") == Reply::NullBulk);
    }
    client.run("SET k 1 PX 60");
    client.run("RENAME k renamed");
    client.run("COPY renamed copied");
    client.run("MOVE renamed 1");
    eventually("the copy expires", || client.run("EXISTS copied") == Reply::Integer(0));
    client.run("SELECT 1");
    eventually("the moved key expires", || client.run("EXISTS renamed") == Reply::Integer(0));
}

/// A watched key that expires counts as changed. A key that had expired before WATCH does not.
#[test]
fn watched_keys_that_expire_abort_exec() {
    let server = Launch::subject().threads(2).start();
    let mut client = server.client();
    let mut other = server.client();
    client.run("SET k v PX 30");
    client.run("WATCH k");
    eventually("the key expires", || other.run("EXISTS k") == Reply::Integer(0));
    client.run("MULTI");
    client.run("PING");
    assert_eq!(client.run("EXEC"), Reply::NullArray);
    client.run("WATCH k");
    client.run("MULTI");
    client.run("PING");
    assert_eq!(client.run("EXEC"), Reply::Array(vec![Reply::simple("PONG")]));
}

/// The clock stands still during a transaction.
#[test]
fn keys_do_not_expire_in_the_middle_of_a_transaction() {
    let server = Launch::subject().threads(2).start();
    let mut client = server.client();
    for round in 0..30 {
        client.run(&format!("SET k v PX {}", 1 + round % 5));
        let mut commands = vec![vec![b"MULTI".to_vec()]];
        commands.extend((0..500).map(|_| vec![b"EXISTS".to_vec(), b"k".to_vec()]));
        commands.push(vec![b"EXEC".to_vec()]);
        let replies = client.pipeline(&commands).expect("replies");
        let seen = replies[replies.len() - 1].items();
        assert_eq!(seen.len(), 500);
        assert!(seen.iter().all(|reply| *reply == seen[0]), "the key expired in the middle of a transaction");
    }
}

/// If keys expire only when they are accessed, the access that removes a key tells its watchers.
#[test]
fn an_access_that_removes_an_expired_key_touches_its_watchers() {
    let server = Launch::subject().threads(2).directive("enable-debug-command", "yes").start();
    let mut client = server.client();
    let mut other = server.client();
    other.run("DEBUG SET-ACTIVE-EXPIRE 0");
    for access in ["GET k", "EXISTS k", "TTL k", "DEL k", "TYPE k", "PERSIST k", "MGET k", "XLEN k", "RENAME k l"] {
        other.run("SET k v PX 20");
        client.run("WATCH k");
        other.run("SET clock v PX 40");
        eventually("the key has expired", || other.run("TTL clock") == Reply::Integer(-2));
        assert_eq!(other.run("DBSIZE"), Reply::Integer(1), "nothing has removed the expired key");
        other.run(access);
        assert_eq!(other.run("DBSIZE"), Reply::Integer(0), "{access} has removed the expired key");
        client.run("MULTI");
        client.run("PING");
        assert_eq!(client.run("EXEC"), Reply::NullArray, "{access}");
    }
}

/// A server on which nothing expires by itself, with `expired` keys that have expired and `live` keys that do not expire.
fn with_expired_keys(expired: usize, live: usize) -> Server {
    let server = Launch::subject().threads(2).directive("enable-debug-command", "yes").start();
    let mut client = server.client();
    client.run("DEBUG SET-ACTIVE-EXPIRE 0");
    for number in 0..live {
        client.run(&format!("SET live:{number} v"));
    }
    add_expired_keys(&mut client, expired);
    server
}

fn add_expired_keys(client: &mut Client, count: usize) {
    for number in 0..count {
        client.run(&format!("SET expired:{number} v PX 1"));
    }
    client.run("SET clock v PX 1");
    eventually("the keys have expired", || client.run("EXISTS clock") == Reply::Integer(0));
}

fn expired_keys(client: &mut Client) -> usize {
    let stats = client.run("INFO stats").to_text();
    let line = stats.lines().find_map(|line| line.strip_prefix("expired_keys:")).expect("INFO counts expired keys");
    line.parse().expect("a number")
}

/// The next request of the client finds the keys gone, even if it was sent together with SCAN.
#[test]
fn scan_removes_the_expired_keys_that_it_meets() {
    // More than one slice meets.
    const EXPIRED: usize = 1000;
    let server = with_expired_keys(EXPIRED, 10);
    let mut client = server.client();
    for options in ["", "MATCH nothing*", "TYPE list", "MATCH live* TYPE string"] {
        let before = expired_keys(&mut client);
        assert_eq!(client.run("DBSIZE"), Reply::Integer(EXPIRED as i64 + 10));
        let request = quoting::split(format!("SCAN 0 COUNT 1000000 {options}").as_bytes()).expect("words");
        let replies = client.pipeline(&[request, vec![b"DBSIZE".to_vec()]]).expect("replies");
        assert_eq!(replies[0].items()[0], &Reply::bulk("0"), "{options}");
        assert_eq!(replies[1], Reply::Integer(10), "{options}");
        assert_eq!(expired_keys(&mut client) - before, EXPIRED, "{options}");
        add_expired_keys(&mut client, EXPIRED);
    }
    // An expired key counts as visited, so that a call is as short among expired keys as among others.
    let before = client.run("DBSIZE").as_integer().expect("a number");
    let reply = client.run("SCAN 0 COUNT 20");
    assert_ne!(reply.items()[0], &Reply::bulk("0"));
    let removed = before - client.run("DBSIZE").as_integer().expect("a number");
    assert!((1..=30).contains(&removed), "{removed} keys were removed");
}

#[test]
fn randomkey_removes_the_expired_keys_that_it_meets() {
    let server = with_expired_keys(500, 1);
    let mut client = server.client();
    for _ in 0..20 {
        assert_eq!(client.run("RANDOMKEY"), Reply::bulk("live:0"));
    }
    client.run("DEL live:0");
    assert_eq!(client.run("RANDOMKEY"), Reply::NullBulk);
    assert_eq!(client.run("DBSIZE"), Reply::Integer(0));
    // The key that told the time is one of them.
    assert_eq!(expired_keys(&mut client), 501);
}

/// The scans meet the same keys and want the same shards.
#[test]
fn scans_at_the_same_time_remove_each_expired_key_once() {
    const EXPIRED: usize = 3000;
    let server = with_expired_keys(EXPIRED, 10);
    thread::scope(|scope| {
        for core in [0, 1, 0, 1] {
            let mut client = server.client_on_core(core);
            scope.spawn(move || {
                let mut cursor = "0".to_string();
                loop {
                    cursor = client.run(&format!("SCAN {cursor} COUNT 100")).items()[0].to_text();
                    if cursor == "0" {
                        break;
                    }
                }
                assert_eq!(client.run("DBSIZE"), Reply::Integer(10), "all expired keys that a scan met are gone");
            });
        }
    });
    // The key that told the time is one of them.
    assert_eq!(expired_keys(&mut server.client()), EXPIRED + 1);
}

/// While writes are paused nothing is removed, and no command waits for it.
#[test]
fn paused_walks_only_hide_expired_keys() {
    let server = with_expired_keys(300, 0);
    let mut client = server.client();
    assert_eq!(client.run("CLIENT PAUSE 1000000 WRITE"), Reply::ok());
    assert_eq!(client.run("SCAN 0 COUNT 100000").items()[1], &Reply::Array(vec![]));
    assert_eq!(client.run("RANDOMKEY"), Reply::NullBulk);
    assert_eq!(client.run("DBSIZE"), Reply::Integer(300));
    client.run("CLIENT UNPAUSE");
    client.run("SCAN 0 COUNT 100000");
    assert_eq!(client.run("DBSIZE"), Reply::Integer(0));
}

/// The commands that show what is stored show what has expired too, and do not remove it. KEYS only hides it.
#[test]
fn commands_that_inspect_what_is_stored_leave_expired_keys() {
    let server = with_expired_keys(1, 0);
    let mut client = server.client();
    for line in ["DEBUG OBJECT expired:0", "DEBUG SDSLEN expired:0", "MEMORY USAGE expired:0"] {
        let reply = client.run(line);
        assert!(!reply.is_error() && reply != Reply::NullBulk, "{line}: {reply}");
    }
    let nothing = Reply::simple("0".repeat(40));
    assert_ne!(client.run("DEBUG DIGEST-VALUE expired:0").items()[0], &nothing);
    assert_ne!(client.run("DEBUG DIGEST"), nothing);
    assert_eq!(client.run("KEYS *"), Reply::Array(vec![]));
    assert_eq!(client.run("DBSIZE"), Reply::Integer(1));
}
