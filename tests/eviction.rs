//! Proves that the memory stays within `maxmemory`, that the policy decides which keys go, and that clients that use too much memory are
//! disconnected.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use ochre_testkit::{Client, Kind, Launch, Reply, Server, eventually, server::new_folder};

/// How much more than at the start may be used.
const ROOM_BYTES: u64 = 6 << 20;
const ALL_POLICIES: [&str; 9] = [
    "allkeys-lru",
    "allkeys-lfu",
    "allkeys-lrm",
    "allkeys-random",
    "volatile-lru",
    "volatile-lfu",
    "volatile-lrm",
    "volatile-random",
    "volatile-ttl",
];

/// A number that INFO shows.
fn figure(client: &mut Client, name: &str) -> u64 {
    figure_in(&client.run("INFO all").to_text(), name)
}

/// A number in a reply of INFO.
fn figure_in(info: &str, name: &str) -> u64 {
    let value = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    value.unwrap_or_else(|| panic!("INFO shows {name}")).trim().parse().expect("a number")
}

/// Sets `maxmemory` so that there is some room. Returns the limit.
fn limit(client: &mut Client) -> u64 {
    let limit = figure(client, "used_memory") + ROOM_BYTES;
    assert_eq!(client.run(&format!("CONFIG SET maxmemory {limit}")), Reply::ok());
    limit
}

fn words(words: &[&[u8]]) -> Vec<Vec<u8>> {
    words.iter().map(|word| word.to_vec()).collect()
}

/// Writes keys of half a kilobyte. Keys from `expiring` on expire in the far future.
fn write(client: &mut Client, prefix: &str, numbers: std::ops::Range<usize>, expiring: bool) -> Vec<Reply> {
    let set = |number: usize| {
        let mut set = words(&[b"SET", format!("{prefix}{number}").as_bytes(), &[b'x'; 500]]);
        if expiring {
            set.extend(words(&[b"EX", format!("{}", 10_000 + number).as_bytes()]));
        }
        set
    };
    let numbers: Vec<usize> = numbers.collect();
    let replies = numbers.chunks(100).flat_map(|some| {
        let requests: Vec<_> = some.iter().map(|&number| set(number)).collect();
        client.pipeline(&requests).expect("replies")
    });
    replies.collect()
}

fn count(client: &mut Client, prefix: &str) -> usize {
    client.run(&format!("KEYS {prefix}*")).items().len()
}

fn start(policy: &str) -> Server {
    Launch::subject().threads(2).directive("maxmemory-policy", policy).start()
}

#[test]
fn memory_stays_within_the_limit_under_every_policy() {
    for policy in ALL_POLICIES {
        let server = start(policy);
        let mut client = server.client();
        let limit = limit(&mut client);
        let is_volatile = policy.starts_with("volatile");
        let kept = write(&mut client, "kept:", 0..1_000, false).len();
        for round in 0..30 {
            let replies = write(&mut client, "key:", round * 1_000..(round + 1) * 1_000, is_volatile);
            assert!(replies.iter().all(|reply| *reply == Reply::ok()), "{policy}: {:?}", replies.last());
            let used = figure(&mut client, "used_memory");
            // What a batch of 64 KiB allocates may come on top on each core.
            assert!(used <= limit + 2 * (64 << 10), "{policy}: {used} of {limit} bytes");
        }
        let (keys, evicted) = (client.run("DBSIZE").as_integer().unwrap() as u64, figure(&mut client, "evicted_keys"));
        assert_eq!(keys + evicted, 31_000, "{policy}");
        assert!(keys > 7_000, "{policy} keeps the memory in use: {keys}");
        if is_volatile {
            assert_eq!(count(&mut client, "kept:"), kept, "{policy} evicts only keys with an expiry");
        }
    }
}

#[test]
fn without_a_key_to_evict_writes_are_refused() {
    for policy in ["volatile-lru", "volatile-random", "volatile-ttl", "noeviction"] {
        let server = start(policy);
        let mut client = server.client();
        limit(&mut client);
        let refused = write(&mut client, "key:", 0..20_000, false).into_iter().find(Reply::is_error);
        let expected = "OOM command not allowed when used memory > 'maxmemory'.";
        assert_eq!(refused.expect("one is refused").to_text(), Reply::Error(expected.into()).to_text(), "{policy}");
        assert_eq!(figure(&mut client, "evicted_keys"), 0);
        assert!(!client.run("GET key:0").is_error(), "{policy} does not refuse reading");
        // What one removes is room for the next.
        let removed: Vec<String> = (0..400).map(|number| format!("key:{number}")).collect();
        client.run(&format!("DEL {}", removed.join(" ")));
        assert_eq!(client.run("SET small 1"), Reply::ok(), "{policy}");
    }
}

#[test]
fn what_is_used_stays() {
    let server = start("allkeys-lru");
    let mut client = server.client();
    write(&mut client, "used:", 0..500, false);
    write(&mut client, "idle:", 0..5_000, false);
    // The clock of LRU has seconds.
    let idle = |client: &mut Client| client.run("OBJECT IDLETIME idle:0").as_integer();
    eventually("the keys are two seconds old", || idle(&mut client) >= Some(2));
    for number in 0..500 {
        client.run(&format!("GET used:{number}"));
    }
    limit(&mut client);
    write(&mut client, "new:", 0..11_000, false);
    assert!(figure(&mut client, "evicted_keys") > 1_000);
    assert_eq!(count(&mut client, "used:"), 500, "keys that were used are kept while idle ones are left");
}

#[test]
fn what_is_used_often_stays() {
    let server = start("allkeys-lfu");
    let mut client = server.client();
    write(&mut client, "often:", 0..200, false);
    for _ in 0..100 {
        let gets: Vec<_> = (0..200).map(|number| words(&[b"GET", format!("often:{number}").as_bytes()])).collect();
        client.pipeline(&gets).expect("replies");
    }
    limit(&mut client);
    write(&mut client, "once:", 0..30_000, false);
    assert!(figure(&mut client, "evicted_keys") > 15_000);
    assert!(count(&mut client, "often:") >= 198, "{} of 200 are kept", count(&mut client, "often:"));
}

#[test]
fn the_soonest_expiry_goes_first() {
    let server = start("volatile-ttl");
    let mut client = server.client();
    limit(&mut client);
    // The expiry grows with the number.
    write(&mut client, "key:", 0..15_000, true);
    let keys = client.run("DBSIZE").as_integer().unwrap() as usize;
    assert!(keys < 14_000);
    for number in [15_000 - keys, 15_000 - keys / 2, 14_999] {
        assert_eq!(client.run(&format!("EXISTS key:{number}")), Reply::Integer(1), "{number} of {keys}");
    }
    assert_eq!(client.run(&format!("EXISTS key:{}", 15_000 - keys - 1)), Reply::Integer(0));
}

#[test]
fn a_lower_limit_evicts_without_a_write() {
    let server = start("allkeys-random");
    let mut client = server.client();
    let before = figure(&mut client, "used_memory");
    write(&mut client, "key:", 0..10_000, false);
    assert_eq!(client.run(&format!("CONFIG SET maxmemory {}", before + (1 << 20))), Reply::ok());
    eventually("the memory is below the limit", || {
        let info = client.run("INFO all").to_text();
        // The text of INFO and the reply are in memory too while INFO looks, and gone when keys are evicted.
        let info_bytes = 2 * info.len() as u64;
        figure_in(&info, "used_memory") <= before + (1 << 20) + info_bytes
            && figure_in(&info, "current_eviction_exceeded_time") == 0
    });
    assert!(client.run("DBSIZE").as_integer().unwrap() > 500, "no more is evicted than is too much");
    assert!(server.log().contains("is smaller than the current memory usage"));
}

#[test]
fn an_eviction_is_announced_recorded_and_seen_by_watchers() {
    let folder = new_folder(Kind::Ochre);
    // With one core, no other one goes on evicting for a moment after the limit was raised.
    let launch = || Launch::subject().threads(1).in_folder(&folder).directive("appendonly", "yes");
    let mut server =
        launch().directive("maxmemory-policy", "allkeys-random").directive("notify-keyspace-events", "Ee").start();
    let mut client = server.client();
    client.run("SET watched 1");
    client.run("WATCH watched");
    let mut listener = server.client();
    listener.run("SUBSCRIBE __keyevent@0__:evicted");
    let mut other = server.client();
    let used = figure(&mut other, "used_memory");
    other.run(&format!("CONFIG SET maxmemory {}", used / 2));
    let message = listener.read_reply().expect("an announcement");
    assert_eq!(message.items()[2].to_text(), "watched");
    other.run("CONFIG SET maxmemory 0");
    client.run("MULTI");
    client.run("SET after 1");
    assert_eq!(client.run("EXEC"), Reply::NullArray);
    limit(&mut other);
    write(&mut other, "key:", 0..20_000, false);
    other.run("CONFIG SET maxmemory 0");
    let keys = other.run("DBSIZE");
    other.send(&["SHUTDOWN", "NOSAVE"]).expect("the request is sent");
    assert!(server.wait().success());
    drop((client, listener, other, server));
    assert_eq!(launch().start().client().run("DBSIZE"), keys, "what was evicted does not come back");
    std::fs::remove_dir_all(&folder).expect("the folder is there");
}

#[test]
fn cores_that_write_at_once_stay_within_the_limit() {
    const WRITERS: usize = 4;
    let server = Launch::subject().threads(WRITERS).directive("maxmemory-policy", "allkeys-lru").start();
    let mut client = server.client();
    let limit = limit(&mut client);
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let mut client = server.client_on_core(writer);
                scope.spawn(move || {
                    for round in 0..20 {
                        let numbers = round * 1_000..(round + 1) * 1_000;
                        let replies = write(&mut client, &format!("{writer}:"), numbers, false);
                        assert!(replies.iter().all(|reply| *reply == Reply::ok()), "{:?}", replies.last());
                    }
                })
            })
            .collect();
        let observer = scope.spawn(|| {
            let mut most = 0;
            while !is_over.load(Ordering::Relaxed) {
                most = most.max(figure(&mut client, "used_memory"));
            }
            most
        });
        for writer in writers {
            writer.join().expect("a writer gets its replies");
        }
        is_over.store(true, Ordering::Relaxed);
        let most = observer.join().expect("the observer");
        // A batch of 64 KiB on each core, its replies, and buffers of clients.
        let allowed = limit + WRITERS as u64 * (256 << 10);
        assert!(most <= allowed, "{most} of {limit} bytes were in use");
    });
}

#[test]
fn clients_that_do_not_read_do_not_empty_the_store() {
    // The large key has no expiry, so it is not evicted.
    let server = start("volatile-lru");
    let mut client = server.client();
    write(&mut client, "key:", 0..20_000, true);
    client.call(&words(&[b"SET", b"large", &vec![b'x'; 1 << 20]])).expect("a reply");
    limit(&mut client);
    let mut idle = server.client();
    for _ in 0..60 {
        idle.send(&[b"GET".as_slice(), b"large"]).expect("the request is sent");
    }
    eventually("the replies wait in memory", || figure(&mut client, "mem_clients_normal") > 30 << 20);
    for number in 0..100 {
        client.run(&format!("SET small{number} 1"));
    }
    assert!(client.run("DBSIZE").as_integer().unwrap() > 5_000, "a part of the store is left");
}

#[test]
fn clients_that_use_the_most_memory_are_disconnected_first() {
    let server = Launch::subject().threads(2).start();
    let mut client = server.client();
    client.call(&words(&[b"SET", b"large", &vec![b'x'; 1 << 20]])).expect("a reply");
    client.run("CLIENT NO-EVICT on");
    client.run("CONFIG SET maxmemory-clients 8mb");
    let mut protected = server.client();
    protected.run("CLIENT NO-EVICT on");
    let mut small = server.client();
    let mut hungry: Vec<Client> = (0..3).map(|_| server.client()).collect();
    let ask = |client: &mut Client, times: usize| {
        for _ in 0..times {
            client.send(&[b"GET".as_slice(), b"large"]).expect("the request is sent");
        }
    };
    ask(&mut protected, 6);
    eventually("its replies wait", || figure(&mut client, "mem_clients_normal") > 1 << 20);
    for hungry in &mut hungry {
        ask(hungry, 20);
    }
    eventually("the clients are below the limit", || {
        figure(&mut client, "evicted_clients") >= 1 && figure(&mut client, "mem_clients_normal") <= 8 << 20
    });
    assert_eq!(small.run("PING"), Reply::simple("PONG"), "a small client stays");
    for _ in 0..6 {
        let reply = protected.read_reply_within(Duration::from_secs(10)).expect("a protected client stays");
        assert_eq!(reply.expect("a reply").as_bytes().map(<[u8]>::len), Some(1 << 20));
    }
    assert!(server.log().contains("Evicting client: id="));
}

#[test]
fn a_percentage_is_one_of_maxmemory() {
    let server = Launch::subject().threads(1).directive("maxmemory", "100mb").start();
    let mut client = server.client();
    client.run("CONFIG SET maxmemory-clients 5%");
    let mut hungry = server.client();
    let mut request = b"*2\r\n$3\r\nSET\r\n$20000000\r\n".to_vec();
    request.resize(8 << 20, b'x');
    // The server may disconnect before all is sent.
    let _ = hungry.send_bytes(&request);
    eventually("the client is disconnected", || figure(&mut client, "evicted_clients") == 1);
}

/// Room is made before a script runs. What it calls is refused only if there is nothing to evict.
#[test]
fn a_script_makes_room_or_is_refused_what_needs_memory() {
    for (policy, is_refused) in [("allkeys-lru", false), ("noeviction", true), ("volatile-ttl", true)] {
        let server = start(policy);
        let mut client = server.client();
        write(&mut client, "key:", 0..10_000, false);
        let used = figure(&mut client, "used_memory");
        client.run(&format!("CONFIG SET maxmemory {}", used - (1 << 20)));
        let script: [&[u8]; 5] = [b"EVAL", b"return redis.call('SET', KEYS[1], ARGV[1])", b"1", b"new", b"value"];
        let reply = client.call(&script).expect("a reply");
        assert_eq!(reply.is_error(), is_refused, "{policy}: {}", reply.to_text());
        assert_eq!(figure(&mut client, "evicted_keys") > 0, !is_refused, "{policy}");
        let script: [&[u8]; 4] = [b"EVAL", b"return redis.call('GET', KEYS[1])", b"1", b"key:1"];
        assert!(!client.call(&script).expect("a reply").is_error(), "{policy}: a read needs no memory");
        // The memory is below the limit again.
        client.run("CONFIG SET maxmemory 0");
    }
}
