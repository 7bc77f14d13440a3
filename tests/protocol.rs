//! The protocol under torture: the same bytes to Ochre and to Redis must bring the same bytes back, and no client may hurt
//! another one or grow the memory past its limits.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use ochre_testkit::client::encode;
use ochre_testkit::quoting::quote;
use ochre_testkit::{Client, Kind, Launch, Reply, Server, eventually, process};

/// Ends a conversation that leaves the connection open.
const SENTINEL: &[u8] = b"*2\r\n$4\r\nECHO\r\n$14\r\nthe-sentinel-x\r\n";
const SENTINEL_REPLY: &[u8] = b"$14\r\nthe-sentinel-x\r\n";

struct Both {
    ours: Server,
    theirs: Server,
}

impl Both {
    fn start(directives: &[(&str, &str)]) -> Both {
        let with = |launch: Launch| {
            directives.iter().fold(launch, |launch, (name, value)| launch.directive(name, value)).start()
        };
        Both { ours: with(Launch::subject().threads(2)), theirs: with(Launch::new(Kind::Redis)) }
    }

    /// Sends the same pieces to both, and compares all that comes back up to the end of the connection.
    #[track_caller]
    fn same_until_closed(&self, pieces: &[&[u8]]) {
        self.same(pieces, |client| client.read_to_end().expect("the connection ends"));
    }

    /// The same, where the connection stays open.
    #[track_caller]
    fn same_and_open(&self, pieces: &[&[u8]]) {
        let pieces: Vec<&[u8]> = pieces.iter().copied().chain([SENTINEL]).collect();
        self.same(&pieces, |client| {
            let mut bytes = Vec::new();
            while !bytes.ends_with(SENTINEL_REPLY) {
                match client.read_bytes(1) {
                    Ok(byte) => bytes.extend(byte),
                    Err(error) => panic!("after {}: {error}", quote(&bytes)),
                }
            }
            bytes
        });
    }

    #[track_caller]
    fn same(&self, pieces: &[&[u8]], read: impl Fn(&mut Client) -> Vec<u8>) {
        let talk = |server: &Server| {
            let mut client = server.client();
            for piece in pieces {
                // A server that has seen enough may close before all is sent.
                if client.send_bytes(piece).is_err() {
                    break;
                }
            }
            read(&mut client)
        };
        let (ours, theirs) = (talk(&self.ours), talk(&self.theirs));
        let sent = pieces.concat();
        let shown = &sent[..sent.len().min(200)];
        assert!(
            ours == theirs,
            "after {}\n  Ochre answers {}\n  Redis answers {}",
            quote(shown),
            quote(&ours[..ours.len().min(300)]),
            quote(&theirs[..theirs.len().min(300)])
        );
    }
}

fn request(words: &[&str]) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(words, &mut bytes);
    bytes
}

#[test]
fn protocol_errors_answer_what_came_before_and_close() {
    let both = Both::start(&[]);
    let before = [request(&["SET", "k", "v"]), request(&["GET", "k"])].concat();
    let long = [b'1'; 70_000];
    for wrong in [
        &b"*abc\r\n"[..],
        b"*2147483648\r\n",
        b"*99999999999999999999\r\n",
        b"*1\r\n:5\r\n",
        b"*1\r\nPING\r\n",
        b"*1\r\n$abc\r\n",
        b"*1\r\n$-1\r\n",
        b"*1\r\n$536870913\r\n",
        b"*2\r\n$4\r\nECHO\r\n$9223372036854775807\r\n",
        b"*2\r\n$4\r\nECHO\r\n$99999999999999999999\r\n",
        b"* 1\r\n",
        b"*+1\r\n",
        b"*01\r\n$4\r\nPING\r\n*x\r\n",
        b"*1\r\n$+4\r\n",
        b"*1\r\n$ 4\r\n",
        b"SET k \"unbalanced\r\n",
        b"SET k 'unbalanced\r\n",
        b"SET k \"a\"b\r\n",
        &[b"*", &long[..]].concat(),
        &[b"*1\r\n$", &long[..]].concat(),
        &long,
    ] {
        both.same_until_closed(&[&before, wrong]);
        both.same_until_closed(&[wrong]);
    }
}

/// A browser can be made to send these; a server that went on reading would run the rest of the page as commands.
#[test]
fn what_a_browser_sends_closes_the_connection() {
    let both = Both::start(&[]);
    for line in [
        &b"POST / HTTP/1.1\r\nHost: localhost\r\n\r\nSET evil 1\r\n"[..],
        b"Host: localhost\r\nSET evil 1\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\nSET evil 1\r\n",
        b"*1\r\n$4\r\nPOST\r\nSET evil 1\r\n",
    ] {
        both.same_until_closed(&[line]);
    }
    assert_eq!(both.ours.client().run("EXISTS evil"), Reply::Integer(0));
}

#[test]
fn unusual_requests_are_answered_as_by_redis() {
    let both = Both::start(&[]);
    for bytes in [
        &b"\r\n\r\nPING\r\n"[..],
        b"\n\nPING\n",
        b"   \r\nPING\r\n",
        b"*0\r\n",
        b"*-1\r\n",
        b"*-5\r\nPING\r\n",
        b"PING\nPING\r\n",
        b"PING hello\r\n",
        b"  PING   \"a b\"  \r\n",
        b"ECHO \"\\x41\\n\\t\\\\\\\"\"\r\n",
        b"ECHO 'it\\'s'\r\n",
        b"ECHO \"\"\r\n",
        b"*1\r\n$0\r\n\r\n",
        b"*2\r\n$4\r\nECHO\r\n$0\r\n\r\n",
        b"*2\r\n$4\r\nECHO\r\n$2\r\n\r\n\r\n",
        b"*2\r\n$4\r\nEcHo\r\n$3\r\na\0b\r\n",
        b"*1\r\n$6\r\nnobody\r\n",
        b"*3\r\n$6\r\nNoBody\r\n$1\r\na\r\n$3\r\nb\r\n\r\n",
        b"*1\r\n$4\r\nPING\r\nPING\r\n*1\r\n$4\r\nPING\r\n",
        b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\nGET k\r\n",
    ] {
        both.same_and_open(&[bytes]);
    }
}

#[test]
fn long_arguments_in_error_replies_are_cut_alike() {
    let both = Both::start(&[]);
    let long = "x".repeat(500);
    both.same_and_open(&[&request(&[&long])]);
    both.same_and_open(&[&request(&["NOBODY", &long, &long])]);
    both.same_and_open(&[&request(&["NOBODY", "with\r\nline", "\0zero"])]);
    both.same_and_open(&[&request(&["CONFIG", &long])]);
    let many: Vec<&str> = std::iter::once("NOBODY").chain(std::iter::repeat_n("argument", 50)).collect();
    both.same_and_open(&[&request(&many)]);
}

#[test]
fn a_request_may_come_in_any_two_pieces_and_byte_by_byte() {
    let both = Both::start(&[]);
    let bytes = [
        request(&["SET", "k", "a\r\nb"]),
        b"GET k\r\n".to_vec(),
        request(&["MGET", "k", "missing"]),
        b"*0\r\n".to_vec(),
        request(&["NOBODY"]),
    ]
    .concat();
    for at in 0..=bytes.len() {
        let (first, second) = bytes.split_at(at);
        let mut client = both.ours.client();
        client.send_bytes(first).unwrap();
        // A reply on another connection says that the first piece has been seen, or is about to be.
        assert_eq!(both.ours.client().run("PING"), Reply::simple("PONG"));
        client.send_bytes(second).unwrap();
        let replies: Vec<String> = (0..4).map(|_| client.read_reply().unwrap().to_string()).collect();
        let unknown = "-\"ERR unknown command 'NOBODY', with args beginning with: \"";
        assert_eq!(replies, ["+OK", r#""a\r\nb""#, r#"["a\r\nb", $-1]"#, unknown], "cut at {at}");
    }
    let single: Vec<&[u8]> = bytes.chunks(1).collect();
    both.same_and_open(&single);
}

#[test]
fn a_hundred_thousand_commands_in_one_write() {
    let server = Launch::subject().threads(2).start();
    let mut client = server.client();
    let bytes = request(&["INCR", "n"]).repeat(100_000);
    let mut other = server.client();
    let writer = std::thread::spawn(move || {
        client.set_timeout(Duration::from_secs(60)).unwrap();
        client.send_bytes(&bytes).unwrap();
        for expected in 1..=100_000 {
            assert_eq!(client.read_reply().unwrap(), Reply::Integer(expected));
        }
    });
    while !writer.is_finished() {
        let start = Instant::now();
        assert_eq!(other.run("PING"), Reply::simple("PONG"));
        assert!(start.elapsed() < Duration::from_secs(2), "another client waited {:?}", start.elapsed());
    }
    writer.join().unwrap();
}

#[test]
fn the_limits_before_auth_are_small() {
    let both = Both::start(&[("requirepass", "secret")]);
    for bytes in
        [&b"*11\r\n"[..], b"*1\r\n$16385\r\n", b"*2\r\n$4\r\nECHO\r\n$16385\r\n", b"*1\r\n$4\r\nPING\r\n*11\r\n"]
    {
        both.same_until_closed(&[bytes]);
    }
    let auth = request(&["AUTH", "secret"]);
    let big = "x".repeat(20_000);
    both.same_and_open(&[&auth, &request(&["ECHO", &big])]);
    for words in
        [vec!["GET", "k"], vec!["NOBODY"], vec!["AUTH", "wrong"], vec!["AUTH", "default", "wrong"], vec!["AUTH"]]
    {
        both.same_and_open(&[&request(&words), &auth]);
    }
    both.same_and_open(&[&request(&["HELLO", "3"]), &auth]);
    both.same_and_open(&[&request(&["HELLO", "3", "AUTH", "default", "wrong"]), &auth]);
    both.same_and_open(&[&auth, &request(&["RESET"]), &request(&["GET", "k"]), &auth]);
    both.same_until_closed(&[&request(&["QUIT"])]);
}

/// What a client sends while its requests are held up is kept for it, but not much before it has said its password.
#[test]
fn a_client_without_password_may_not_have_a_megabyte_waiting() {
    let both = Both::start(&[("requirepass", "secret")]);
    let (ping, auth) = (request(&["PING"]), request(&["AUTH", "secret"]));
    for server in [&both.ours, &both.theirs] {
        let mut other = server.client();
        assert_eq!(other.run("AUTH secret"), Reply::ok());
        assert_eq!(other.run("CLIENT PAUSE 3000 ALL"), Reply::ok());
        let mut little = server.client();
        little.send_bytes(&[&auth[..], &ping.repeat(500_000 / ping.len())].concat()).unwrap();
        let mut much = server.client();
        // The server may close before it has got all.
        let _ = much.send_bytes(&[&auth[..], &ping.repeat(3_000_000 / ping.len())].concat());
        assert!(much.read_to_end().is_ok_and(|bytes| bytes.is_empty()));
        assert_eq!(little.read_reply().unwrap(), Reply::ok());
    }
}

#[test]
fn quit_answers_and_closes() {
    let both = Both::start(&[]);
    both.same_until_closed(&[&request(&["QUIT"]), &request(&["SET", "after", "1"])]);
    both.same_until_closed(&[b"QUIT\r\n"]);
    assert_eq!(both.ours.client().run("EXISTS after"), Reply::Integer(0));
}

/// What was read before the end of the client's input is done, answered or not.
#[test]
fn commands_of_a_client_that_vanishes_are_done() {
    let server = Launch::subject().threads(2).start();
    let mut client = server.client();
    client.send_bytes(&request(&["INCR", "n"]).repeat(1000)).unwrap();
    drop(client);
    let mut other = server.client();
    eventually("all 1,000 commands are done", || other.run("GET n") == Reply::bulk("1000"));
}

#[test]
fn a_client_that_never_reads_is_closed_and_memory_stays_bounded() {
    let server = Launch::subject().threads(2).directive("client-output-buffer-limit", "normal 8mb 0 0").start();
    let mut good = server.client();
    good.call(&["SET", "big", &"x".repeat(1 << 20)]).unwrap();
    let before = process::resident_memory(server.pid()).unwrap();
    let mut greedy = server.client();
    let get = request(&["GET", "big"]).repeat(20);
    // It sends as long as it can: a server that has closed the connection resets it.
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        match greedy.send_bytes(&get) {
            Ok(()) => assert!(Instant::now() < deadline, "a client that never reads is still served"),
            Err(error) if error.kind() == ErrorKind::TimedOut || error.kind() == ErrorKind::WouldBlock => {
                panic!("the server reads no more, but keeps the connection")
            }
            Err(_) => break,
        }
        assert_eq!(good.run("PING"), Reply::simple("PONG"));
        let now = process::resident_memory(server.pid()).unwrap();
        assert!(now < before + (96 << 20), "memory grew from {before} to {now} bytes");
    }
    assert_eq!(good.run("STRLEN big"), Reply::Integer(1 << 20));
}

#[test]
fn half_sent_requests_cost_what_was_sent_and_hold_up_nobody() {
    let server = Launch::subject().threads(2).start();
    let mut good = server.client();
    let before = process::resident_memory(server.pid()).unwrap();
    let mut waiting = Vec::new();
    for _ in 0..200 {
        let mut client = server.client();
        client.send_bytes(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$4000000\r\nonly this").unwrap();
        waiting.push(client);
        assert_eq!(good.run("PING"), Reply::simple("PONG"));
    }
    let after = process::resident_memory(server.pid()).unwrap();
    assert!(after < before + (64 << 20), "200 half-sent requests took {} bytes", after - before);
    waiting.clear();
    eventually("the clients that left are gone", || good.run("CLIENT LIST").to_text().lines().count() == 1);
}

#[test]
fn the_query_buffer_has_a_limit() {
    let server = Launch::subject().threads(2).directive("client-query-buffer-limit", "1mb").start();
    let mut client = server.client();
    let mut bytes = b"*2\r\n$4\r\nECHO\r\n$4000000\r\n".to_vec();
    bytes.resize(3_000_000, b'x');
    // The server may close before it has got all.
    let _ = client.send_bytes(&bytes);
    assert_eq!(client.read_to_end().unwrap(), b"");
    assert_eq!(server.client().run("PING"), Reply::simple("PONG"));
}

#[test]
fn clients_beyond_maxclients_are_told_and_closed() {
    let server = Launch::subject().threads(2).directive("maxclients", "20").start();
    let mut clients: Vec<Client> = Vec::new();
    while clients.len() < 20 {
        let mut client = server.client();
        // The last client of the start's own looks may still be leaving.
        if client.call(&["PING"]).is_ok_and(|reply| reply == Reply::simple("PONG")) {
            clients.push(client);
        }
    }
    for _ in 0..30 {
        let mut client = server.client();
        assert_eq!(client.read_to_end().unwrap(), b"-ERR max number of clients reached\r\n");
    }
    for client in &mut clients {
        assert_eq!(client.run("PING"), Reply::simple("PONG"));
    }
    clients.pop();
    eventually("a place is free again", || {
        server.client().call(&["PING"]).is_ok_and(|reply| reply == Reply::simple("PONG"))
    });
}

#[test]
fn idle_clients_are_closed_after_the_timeout() {
    let server = Launch::subject().threads(2).directive("timeout", "1").start();
    let mut client = server.client();
    assert_eq!(client.run("PING"), Reply::simple("PONG"));
    assert_eq!(client.read_to_end().unwrap(), b"");
}

#[test]
fn thousands_of_connections_live_side_by_side() {
    let server = Launch::subject().threads(4).start();
    let mut clients: Vec<Client> = (0..800).map(|_| server.client()).collect();
    for client in &mut clients {
        client.send(&["INCR", "n"]).unwrap();
    }
    let mut numbers: Vec<i64> =
        clients.iter_mut().map(|client| client.read_reply().unwrap().as_integer().expect("a number")).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=800).collect::<Vec<i64>>());
}

/// The requests that follow a big one in the same batch must not be answered before there is room for their replies.
#[test]
fn many_big_replies_at_once_stay_within_the_limit() {
    let server = Launch::subject().threads(1).directive("client-output-buffer-limit", "normal 32mb 0 0").start();
    let mut good = server.client();
    good.call(&["SET", "big", &"x".repeat(16 << 20)]).unwrap();
    let before = process::resident_memory(server.pid()).unwrap();
    let mut greedy = server.client();
    // One write, one batch: 512 MB of replies.
    greedy.send_bytes(&request(&["GET", "big"]).repeat(32)).unwrap();
    let mut most = before;
    eventually("the client is closed", || {
        most = most.max(process::resident_memory(server.pid()).unwrap());
        good.run("CLIENT LIST").to_text().lines().count() == 1
    });
    assert!(most < before + (192 << 20), "memory grew from {before} to {most} bytes");
}

/// Redis drops what does not fit the socket at once; nothing is gained by that.
#[test]
fn a_client_that_has_sent_all_still_gets_its_replies() {
    let server = Launch::subject().threads(2).start();
    server.client().call(&["SET", "big", &"x".repeat(20 << 20)]).unwrap();
    for last in [["PING"], ["QUIT"]] {
        let mut client = server.client();
        client.send_bytes(&[request(&["GET", "big"]), request(&last)].concat()).unwrap();
        client.finish_sending().unwrap();
        let length = client.read_to_end().unwrap().len();
        assert!(length > 20 << 20, "only {length} bytes came");
    }
    eventually("they are gone", || server.client().run("CLIENT LIST").to_text().lines().count() == 1);
}

#[test]
fn replies_are_sent_while_a_pause_holds_the_next_request_up() {
    let server = Launch::subject().threads(2).start();
    let mut other = server.client();
    other.call(&["SET", "big", &"x".repeat(20 << 20)]).unwrap();
    assert_eq!(other.run("CLIENT PAUSE 60000 WRITE"), Reply::ok());
    let mut client = server.client();
    client.send_bytes(&[request(&["GET", "big"]), request(&["SET", "k", "v"])].concat()).unwrap();
    assert_eq!(client.read_reply().unwrap().to_text().len(), 20 << 20);
    // One that leaves meanwhile is noticed, and one that is to be ended ends.
    let mut leaving = server.client();
    leaving.send_bytes(&request(&["SET", "k", "v"])).unwrap();
    eventually("both are held up", || other.run("CLIENT LIST").to_text().matches("flags=b").count() == 2);
    drop(leaving);
    eventually("one has left", || other.run("CLIENT LIST").to_text().matches("flags=b").count() == 1);
    assert_eq!(other.run("CLIENT UNPAUSE"), Reply::ok());
    assert_eq!(client.read_reply().unwrap(), Reply::ok());
}

#[test]
fn a_closing_client_that_never_reads_can_be_killed() {
    let server = Launch::subject().threads(2).start();
    let mut other = server.client();
    other.call(&["SET", "big", &"x".repeat(20 << 20)]).unwrap();
    let mut client = server.client();
    let id = client.run("CLIENT ID").to_text();
    client.send_bytes(&[request(&["GET", "big"]), request(&["QUIT"])].concat()).unwrap();
    eventually("it is closing", || other.run("CLIENT LIST").to_text().contains("cmd=quit"));
    assert_eq!(other.run(&format!("CLIENT KILL ID {id}")), Reply::Integer(1));
    eventually("it is gone", || other.run("CLIENT LIST").to_text().lines().count() == 1);
}

/// Redis: `readQueryFromClient` counts what MULTI has queued as part of the query buffer.
#[test]
fn what_is_queued_counts_toward_the_query_buffer() {
    let server = Launch::subject().threads(2).directive("client-query-buffer-limit", "2mb").start();
    let mut client = server.client();
    assert_eq!(client.run("MULTI"), Reply::ok());
    let value = "x".repeat(100_000);
    let queued = (0..100).take_while(|_| client.call(&["SET", "k", &value]).is_ok()).count();
    assert!(queued < 30, "{queued} requests of 100 KB were queued");
}

#[test]
fn what_is_to_be_skipped_is_skipped_however_long_it_takes() {
    let server = Launch::subject().threads(2).start();
    let mut client = server.client();
    client.run("CLIENT REPLY ON");
    for batch in 0..20 {
        let words: Vec<String> = (0..2000).flat_map(|i| [format!("k{batch}:{i}"), "v".into()]).collect();
        client.call(&[&["MSET".to_string()][..], &words].concat()).unwrap();
    }
    // A walk in slices, and a wait.
    for words in [&["KEYS", "*"][..], &["WAIT", "1", "50"]] {
        let skip = request(&["CLIENT", "REPLY", "SKIP"]);
        client.send_bytes(&[skip, request(words), request(&["PING"])].concat()).unwrap();
        assert_eq!(client.read_reply().unwrap(), Reply::simple("PONG"), "after {words:?}");
    }
}

/// Waits until CLIENT LIST shows a client idle for so many seconds.
fn wait_until_idle(observer: &mut Client, id: &str, seconds: u32) {
    let idle = format!(" idle={seconds} ");
    eventually("the client has been idle so long", || {
        let list = observer.run("CLIENT LIST").to_text();
        let line = list.lines().find(|line| line.starts_with(&format!("id={id} ")));
        line.expect("a client that is not idle too long stays").contains(&idle)
    });
}

/// Idle is who sends nothing, not who sends slowly.
#[test]
fn a_slow_upload_is_no_idleness() {
    let server = Launch::subject().threads(2).directive("timeout", "3").start();
    let (mut client, mut observer) = (server.client(), server.client());
    let id = client.run("CLIENT ID").to_text();
    let bytes = request(&["ECHO", "0123456789"]);
    let (start, rest) = bytes.split_at(bytes.len() - 4);
    client.send_bytes(start).unwrap();
    // More seconds in all than the timeout has.
    for byte in rest {
        wait_until_idle(&mut observer, &id, 1);
        client.send_bytes(&[*byte]).unwrap();
        wait_until_idle(&mut observer, &id, 0);
    }
    assert_eq!(client.read_reply().unwrap(), Reply::bulk("0123456789"));
}

/// Nor is who reads slowly.
#[test]
fn a_slow_download_is_no_idleness() {
    let server = Launch::subject().threads(2).directive("timeout", "3").start();
    let (mut client, mut observer) = (server.client(), server.client());
    let id = client.run("CLIENT ID").to_text();
    const LEN: usize = 64 << 20;
    observer.call(&["SETRANGE", "big", &(LEN - 1).to_string(), "x"]).unwrap();
    client.send_bytes(&request(&["GET", "big"])).unwrap();
    let header = format!("${LEN}\r\n").len();
    let parts = 4;
    for _ in 0..parts {
        wait_until_idle(&mut observer, &id, 1);
        client.read_bytes(LEN / parts).unwrap();
        wait_until_idle(&mut observer, &id, 0);
    }
    assert_eq!(client.read_bytes(header + 2).unwrap().len(), header + 2);
}
