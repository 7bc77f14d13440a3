//! Proves that no client makes the server's memory exceed its limits: neither with replies that it does not read, however long a single one
//! is, nor with requests that it does not finish.

use std::io::ErrorKind;
use std::iter::repeat_n;
use std::time::{Duration, Instant};

use ochre_testkit::client::encode;
use ochre_testkit::{Client, Launch, Reply, Server, eventually, process};

const MB: usize = 1 << 20;

fn request<A: AsRef<[u8]>>(words: &[A]) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(words, &mut bytes);
    bytes
}

/// A request that ends with a word `count` times.
fn repeated(words: &[&str], word: &str, count: usize) -> Vec<u8> {
    request(&words.iter().copied().chain(repeat_n(word, count)).collect::<Vec<_>>())
}

/// A number of INFO.
fn figure(client: &mut Client, name: &str) -> u64 {
    let info = client.run("INFO").to_text();
    let value = info.lines().find_map(|line| line.strip_prefix(&format!("{name}:")));
    value.and_then(|value| value.trim().parse().ok()).unwrap_or_else(|| panic!("INFO has no number {name}"))
}

/// A server whose clients may have 8 MB of output.
struct Limited {
    server: Server,
    /// A client that reads.
    good: Client,
    /// A value of 1 MB, which `big` has.
    value: String,
}

impl Limited {
    fn start() -> Limited {
        let limits = "normal 8mb 0 0 pubsub 8mb 0 0";
        let server = Launch::subject().threads(1).directive("client-output-buffer-limit", limits).start();
        let (mut good, value) = (server.client(), "x".repeat(MB));
        good.call(&["SET", "big", &value]).unwrap();
        eventually("the connection that waited for the start is gone", || figure(&mut good, "connected_clients") == 1);
        Limited { server, good, value }
    }

    /// Adds `count` elements of 1 MB to a key.
    fn fill(&mut self, words: &[&str], count: usize) {
        for number in 0..count {
            let element = format!("{number:04}{}", self.value);
            let words: Vec<_> = words.iter().map(|word| if *word == "?" { element.as_str() } else { word }).collect();
            self.good.call(&words).unwrap();
        }
    }

    fn closed(&mut self) -> u64 {
        figure(&mut self.good, "client_output_buffer_limit_disconnections")
    }

    /// Sends requests whose replies are much longer than the limit. Checks that the client is closed without having got anything, that this
    /// is counted and logged once, and that it takes little memory.
    #[track_caller]
    fn check(&mut self, requests: &[u8]) {
        let client = self.server.client();
        self.check_from(client, requests);
    }

    #[track_caller]
    fn check_from(&mut self, mut client: Client, requests: &[u8]) {
        /// A buffer is copied when it grows, and the allocator does not give all back at once.
        const GROWTH_MAX: u64 = 48 << 20;
        let start = requests[..requests.len().min(60)].escape_ascii();
        let (closed, before) = (self.closed(), process::peak_memory(self.server.pid()).unwrap());
        // The server may close the connection before it has got all.
        let _ = client.send_bytes(requests);
        eventually(&format!("a client is closed after {start}"), || self.closed() > closed);
        let got = client.read_to_end().unwrap();
        assert!(got.is_empty(), "{} bytes were sent after {start}", got.len());
        eventually("the client is gone", || figure(&mut self.good, "connected_clients") == 1);
        let grown = process::peak_memory(self.server.pid()).unwrap() - before;
        assert!(grown < GROWTH_MAX, "memory grew by {grown} bytes after {start}");
        assert_eq!(self.closed(), closed + 1, "after {start}");
        let log = self.server.log();
        let logged = log.matches(" scheduled to be closed ASAP for overcoming of output buffer limits.").count();
        assert_eq!(logged as u64, closed + 1, "after {start}");
    }
}

#[test]
fn a_single_reply_stays_within_the_limit() {
    let mut limited = Limited::start();
    // In a batch, and alone.
    limited.check(&repeated(&["MGET"], "big", 50));
    limited.check(&repeated(&["MGET"], "big", 3000));
    limited.good.call(&[&["RPUSH", "small"][..], &["i"; 500]].concat()).unwrap();
    limited.check(&request(&["SORT", "small", "BY", "nosort", "GET", "b*g"]));
}

#[test]
fn a_reply_of_random_elements_stays_within_the_limit() {
    let mut limited = Limited::start();
    limited.fill(&["SADD", "set", "?"], 1);
    limited.fill(&["HSET", "hash", "?", "?"], 1);
    limited.fill(&["ZADD", "sorted", "1", "?"], 1);
    for count in ["-3000", "-9223372036854775807"] {
        limited.check(&request(&["SRANDMEMBER", "set", count]));
        limited.check(&request(&["HRANDFIELD", "hash", count]));
        limited.check(&request(&["ZRANDMEMBER", "sorted", count]));
    }
    for count in ["-3000", "-4611686018427387903"] {
        limited.check(&request(&["HRANDFIELD", "hash", count, "WITHVALUES"]));
        limited.check(&request(&["ZRANDMEMBER", "sorted", count, "WITHSCORES"]));
    }
}

#[test]
fn a_collection_as_a_reply_stays_within_the_limit() {
    /// The elements of each collection, of 1 MB.
    const LEN: usize = 80;
    let mut limited = Limited::start();
    for (add, requests) in [
        (&["RPUSH", "list", "?"][..], &["LRANGE list 0 -1"][..]),
        (&["SADD", "set", "?"], &["SMEMBERS set", "SINTER set", "SUNION set set", "SSCAN set 0 COUNT 1000"]),
        (&["HSET", "hash", "?", "1"], &["HGETALL hash", "HKEYS hash", "HSCAN hash 0 COUNT 1000"]),
        (&["ZADD", "sorted", "1", "?"], &["ZRANGE sorted 0 -1 WITHSCORES", "ZUNION 1 sorted"]),
        (&["XADD", "stream", "*", "f", "?"], &["XRANGE stream - +", "XREAD STREAMS stream 0"]),
        (&["SET", "?", ""], &["KEYS *", "SCAN 0 COUNT 1000"]),
    ] {
        limited.fill(add, LEN);
        for line in requests {
            limited.check(&request(&line.split(' ').collect::<Vec<_>>()));
        }
        limited.good.run("FLUSHALL SYNC");
    }
}

#[test]
fn exec_runs_to_its_end_and_nothing_runs_after_it() {
    let mut limited = Limited::start();
    for long in [&["GET big"; 3000][..], &["KEYS *", "GET big", "GET big", "SRANDMEMBER set -4611686018427387904"]] {
        limited.fill(&["SADD", "set", "?"], 1);
        let mut client = limited.server.client();
        client.run("MULTI");
        for line in [&["SET first 1"], long, &["SET last 1"]].concat() {
            assert_eq!(client.run(line), Reply::simple("QUEUED"));
        }
        limited.check_from(client, &[request(&["EXEC"]), request(&["SET", "after", "1"])].concat());
        assert_eq!(limited.good.run("DEL first last"), Reply::Integer(2));
        assert_eq!(limited.good.run("EXISTS after"), Reply::Integer(0));
    }
}

#[test]
fn requests_after_a_reply_that_is_too_long_are_not_run() {
    let mut limited = Limited::start();
    let incr = request(&["INCR", "n"]);
    for long in [repeated(&["MGET"], "big", 50), repeated(&["MGET"], "big", 500)] {
        limited.check(&[&incr[..], &long, &incr].concat());
        assert_eq!(limited.good.run("GETDEL n"), Reply::bulk("1"));
    }
}

/// A write takes effect also if its reply is too long.
#[test]
fn the_reply_to_a_blocked_client_stays_within_the_limit() {
    let mut limited = Limited::start();
    let mut client = limited.server.client();
    client.send(&["BLMPOP", "0", "1", "list", "LEFT", "COUNT", "1000"]).unwrap();
    eventually("the client is blocked", || figure(&mut limited.good, "blocked_clients") == 1);
    let push = repeated(&["RPUSH", "list"], &limited.value, 40);
    limited.good.send_bytes(&push).unwrap();
    assert_eq!(limited.good.read_reply().unwrap(), Reply::Integer(40));
    assert_eq!(limited.good.run("EXISTS list"), Reply::Integer(0));
    assert_eq!(client.read_to_end().unwrap(), b"");
    assert_eq!(limited.closed(), 1);
}

#[test]
fn messages_stay_within_the_limit() {
    for is_transaction in [false, true] {
        let mut limited = Limited::start();
        let mut client = limited.server.client();
        client.run("SUBSCRIBE news");
        let before = process::peak_memory(limited.server.pid()).unwrap();
        let value = limited.value.clone();
        let publish = ["PUBLISH", "news", &value];
        let mut receivers = Vec::new();
        if is_transaction {
            limited.good.run("MULTI");
            (0..40).for_each(|_| drop(limited.good.call(&publish)));
            let Reply::Array(replies) = limited.good.run("EXEC") else { panic!("EXEC failed") };
            receivers.extend(replies);
        } else {
            limited.good.send_bytes(&request(&publish).repeat(100)).unwrap();
            receivers.extend((0..100).map(|_| limited.good.read_reply().unwrap()));
        }
        assert_eq!(receivers[0], Reply::Integer(1));
        eventually("the subscriber is gone", || figure(&mut limited.good, "connected_clients") == 1);
        assert_eq!(limited.closed(), 1);
        assert_eq!(limited.good.call(&publish).unwrap(), Reply::Integer(0));
        // The messages of the transaction are queued as it runs, so its arguments take memory too.
        let grown = process::peak_memory(limited.server.pid()).unwrap() - before;
        assert!(grown < (if is_transaction { 128 << 20 } else { 48 << 20 }), "memory grew by {grown} bytes");
    }
}

/// A client that publishes to itself inside EXEC gets these messages after the reply. Beyond the limit, it gets nothing of either.
#[test]
fn messages_to_oneself_stay_within_the_limit() {
    let mut limited = Limited::start();
    let mut client = limited.server.client();
    client.run("HELLO 3");
    client.run("SUBSCRIBE news");
    client.run("MULTI");
    let publish = ["PUBLISH", "news", &limited.value];
    (0..20).for_each(|_| assert_eq!(client.call(&publish).unwrap(), Reply::simple("QUEUED")));
    assert_eq!(client.run("SET last 1"), Reply::simple("QUEUED"));
    limited.check_from(client, &[request(&["EXEC"]), request(&["SET", "after", "1"])].concat());
    assert_eq!(limited.good.run("EXISTS last"), Reply::Integer(1));
    assert_eq!(limited.good.run("EXISTS after"), Reply::Integer(0));
}

/// A client that subscribes has the limits of subscribers at once.
#[test]
fn the_limit_follows_the_class_of_the_client() {
    let mut limited = Limited::start();
    assert_eq!(limited.good.run("CONFIG SET client-output-buffer-limit 'normal 0 0 0'"), Reply::ok());
    let mut client = limited.server.client();
    client.run("HELLO 3");
    limited.check_from(client, &[request(&["SUBSCRIBE", "news"]), repeated(&["MGET"], "big", 500)].concat());
    let mut client = limited.server.client();
    client.run("HELLO 3");
    let exec = ["MULTI", "SUBSCRIBE news", "EXEC"].map(|line| request(&line.split(' ').collect::<Vec<_>>()));
    let [multi, subscribe, exec] = exec;
    limited.check_from(client, &[multi, subscribe, repeated(&["MGET"], "big", 500), exec].concat());
}

/// The replies of CLIENT REPLY OFF are not sent, so they do not count.
#[test]
fn a_reply_that_is_not_sent_does_not_count() {
    let mut limited = Limited::start();
    let long = repeated(&["MGET"], "big", 40);
    let reply = |mode| request(&["CLIENT", "REPLY", mode]);
    let mut client = limited.server.client();
    client.send_bytes(&[&reply("OFF")[..], &long, &reply("ON")].concat()).unwrap();
    assert_eq!(client.read_reply().unwrap(), Reply::ok());
    client.send_bytes(&[&reply("SKIP")[..], &long, &request(&["PING"])].concat()).unwrap();
    assert_eq!(client.read_reply().unwrap(), Reply::simple("PONG"));
    assert_eq!(limited.closed(), 0);
}

#[test]
fn a_client_that_stays_above_the_soft_limit_is_closed() {
    let limits = "normal 0 1mb 1";
    let server = Launch::subject().threads(1).directive("client-output-buffer-limit", limits).start();
    let (mut client, mut other) = (server.client(), server.client());
    other.call(&["SET", "big", &"x".repeat(MB)]).unwrap();
    // More than the sockets take.
    client.send_bytes(&repeated(&["MGET"], "big", 40)).unwrap();
    eventually("the client is closed", || figure(&mut other, "client_output_buffer_limit_disconnections") == 1);
    assert!(client.read_to_end().unwrap().len() < 40 * MB);
}

/// As on Redis, whose clients have a buffer of their own for the first replies, which does not count.
#[test]
fn short_replies_do_not_count() {
    let limits = "normal 1000 0 0";
    let server = Launch::subject().threads(1).directive("client-output-buffer-limit", limits).start();
    let mut client = server.client();
    let text = "x".repeat(10_000);
    assert_eq!(client.call(&["ECHO", &text]).unwrap(), Reply::bulk(&*text));
    client.send(&["ECHO", &"x".repeat(20_000)]).unwrap();
    assert_eq!(client.read_to_end().unwrap(), b"");
}

#[test]
fn a_client_that_never_reads_is_closed_and_memory_stays_bounded() {
    let server = Launch::subject().threads(2).directive("client-output-buffer-limit", "normal 8mb 0 0").start();
    let mut good = server.client();
    good.call(&["SET", "big", &"x".repeat(1 << 20)]).unwrap();
    let before = process::resident_memory(server.pid()).unwrap();
    let mut greedy = server.client();
    let get = request(&["GET", "big"]).repeat(20);
    // It sends until the server, which has closed the connection, resets it.
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        match greedy.send_bytes(&get) {
            Ok(()) => assert!(Instant::now() < deadline, "a client that never reads is still served"),
            Err(error) if error.kind() == ErrorKind::TimedOut || error.kind() == ErrorKind::WouldBlock => {
                panic!("the server has stopped reading but keeps the connection")
            }
            Err(_) => break,
        }
        assert_eq!(good.run("PING"), Reply::simple("PONG"));
        let now = process::resident_memory(server.pid()).unwrap();
        assert!(now < before + (96 << 20), "memory grew from {before} to {now} bytes");
    }
    assert_eq!(good.run("STRLEN big"), Reply::Integer(1 << 20));
}

/// Requests behind one with a big reply in the same batch must not be answered before there is room for their replies.
#[test]
fn many_big_replies_at_once_stay_within_the_limit() {
    let server = Launch::subject().threads(1).directive("client-output-buffer-limit", "normal 32mb 0 0").start();
    let mut good = server.client();
    good.call(&["SET", "big", &"x".repeat(16 << 20)]).unwrap();
    let before = process::resident_memory(server.pid()).unwrap();
    let mut greedy = server.client();
    // A single write, and so a single batch, with 512 MB of replies.
    greedy.send_bytes(&request(&["GET", "big"]).repeat(32)).unwrap();
    let mut most = before;
    eventually("the client is closed", || {
        most = most.max(process::resident_memory(server.pid()).unwrap());
        good.run("CLIENT LIST").to_text().lines().count() == 1
    });
    assert!(most < before + (192 << 20), "memory grew from {before} to {most} bytes");
}

/// A server whose clients may have 2 MB of unfinished requests.
fn with_query_limit() -> Server {
    Launch::subject().threads(1).directive("client-query-buffer-limit", "2mb").start()
}

/// Checks that the server has closed a client since it had sent too much, and nobody else.
#[track_caller]
fn check_query_limit(server: &Server, initial_bytes: &str) {
    let mut other = server.client();
    assert_eq!(figure(&mut other, "client_query_buffer_limit_disconnections"), 1);
    let log = server.log();
    let line = log.lines().find(|line| line.contains("Closing client that reached max query buffer length: id="));
    assert!(line.expect("it is logged").ends_with(&format!("(qbuf initial bytes: {initial_bytes})")), "{line:?}");
}

#[test]
fn an_argument_that_is_too_long_closes_the_client() {
    let server = with_query_limit();
    let mut client = server.client();
    // The server may close before it has got all.
    let _ = client.send_bytes(&request(&["SET", "k", &"z".repeat(6 * MB)]));
    assert_eq!(client.read_to_end().unwrap(), b"");
    check_query_limit(&server, &format!("\"{}\"", "z".repeat(64)));
    assert_eq!(server.client().run("EXISTS k"), Reply::Integer(0));
}

/// Arguments that have arrived as a whole do not count, nor do requests.
#[test]
fn whole_arguments_and_requests_do_not_count_toward_the_query_buffer_limit() {
    let server = with_query_limit();
    let (small, large) = ("x".repeat(1000), "y".repeat(3 * MB / 2));
    let many_words = repeated(&["RPUSH", "list"], &small, 6000);
    let long_words = request(&["MSET", "a", &large, "b", &large]);
    let pipeline = [request(&["SET", "a", &small]).repeat(5000), request(&["SET", "a", &large]).repeat(4)].concat();
    for piece in [usize::MAX, 300_000, 1111] {
        let mut client = server.client();
        for (requests, reply, count) in [
            (&many_words, Reply::Integer(6000), 1),
            (&long_words, Reply::ok(), 1),
            (&pipeline, Reply::ok(), 5004),
            (&request(&["DEL", "list"]), Reply::Integer(1), 1),
        ] {
            requests.chunks(piece).for_each(|piece| client.send_bytes(piece).unwrap());
            for _ in 0..count {
                assert_eq!(client.read_reply().unwrap(), reply, "in pieces of {piece}");
            }
        }
    }
    assert_eq!(figure(&mut server.client(), "client_query_buffer_limit_disconnections"), 0);
}

/// Redis counts the commands queued since MULTI as part of the query buffer (`readQueryFromClient`). It looks at them when it reads on.
#[test]
fn queued_commands_count_toward_the_query_buffer_limit() {
    let server = with_query_limit();
    let mut client = server.client();
    client.run("MULTI");
    let value = "x".repeat(100_000);
    let queued = (0..100).take_while(|_| client.call(&["SET", "k", &value]).is_ok()).count();
    assert!((15..=20).contains(&queued), "{queued} requests of 100 KB were queued");
    let server = with_query_limit();
    let mut client = server.client();
    client.run("MULTI");
    client.send_bytes(&repeated(&["RPUSH", "list"], &"x".repeat(1000), 6000)).unwrap();
    assert_eq!(client.read_reply().unwrap(), Reply::simple("QUEUED"));
    client.send(&["EXEC"]).unwrap();
    assert_eq!(client.read_to_end().unwrap(), b"");
    let mut other = server.client();
    assert_eq!(figure(&mut other, "client_query_buffer_limit_disconnections"), 1);
    assert_eq!(other.run("EXISTS list"), Reply::Integer(0));
}

#[test]
fn requests_of_a_blocked_client_count_toward_the_query_buffer_limit() {
    let server = with_query_limit();
    let mut client = server.client();
    client.send(&["BLPOP", "list", "0"]).unwrap();
    let _ = client.send_bytes(&request(&["SET", "k", &"x".repeat(1000)]).repeat(8000));
    assert_eq!(client.read_to_end().unwrap(), b"");
    check_query_limit(&server, &format!(r#""*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1000\r\n{}""#, "x".repeat(37)));
    let mut other = server.client();
    other.run("RPUSH list x");
    assert_eq!(other.run("EXISTS list k"), Reply::Integer(1));
}
