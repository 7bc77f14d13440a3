//! Proves that Ochre answers unusual and broken input byte for byte as Redis does, and that no client can delay the others or make the
//! memory exceed its limits.

use std::time::{Duration, Instant};

use ochre_testkit::client::encode;
use ochre_testkit::quoting::quote;
use ochre_testkit::{Client, Kind, Launch, Reply, Server, eventually, process};

/// The last request on a connection that stays open. Its reply marks the end of the replies.
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

    /// Sends the same pieces to both servers, and compares everything that they send until they close the connection.
    #[track_caller]
    fn same_until_closed(&self, pieces: &[&[u8]]) {
        self.same(pieces, |client| client.read_to_end().expect("the connection ends"));
    }

    /// Sends the same pieces to both servers, which keep the connection open, and compares the replies.
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
                // After an error, the server may close the connection before everything is sent.
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
fn requests_before_a_protocol_error_are_answered_and_the_connection_is_closed() {
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

/// A web page can make a browser send these. A server that read on would run the rest of the request as commands.
#[test]
fn an_http_request_closes_the_connection() {
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
fn long_arguments_in_error_replies_are_truncated_alike() {
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
fn a_request_may_arrive_in_any_two_pieces_and_byte_by_byte() {
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
        // When another connection has got a reply, the server has read the first piece or is about to.
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

/// Requests that a client sends while a pause holds them are kept, but only a little before authentication.
#[test]
fn an_unauthenticated_client_may_not_have_a_megabyte_of_held_requests() {
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

/// Requests that were read before the client disconnects are run, whether they can be answered or not.
#[test]
fn commands_of_a_client_that_vanishes_are_run() {
    let server = Launch::subject().threads(2).start();
    let mut client = server.client();
    client.send_bytes(&request(&["INCR", "n"]).repeat(1000)).unwrap();
    drop(client);
    let mut other = server.client();
    eventually("all 1,000 commands have run", || other.run("GET n") == Reply::bulk("1000"));
}

#[test]
fn incomplete_requests_take_little_memory_and_delay_no_other_client() {
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
    assert!(after < before + (64 << 20), "200 incomplete requests took {} bytes", after - before);
    waiting.clear();
    eventually("the clients that have left are removed", || good.run("CLIENT LIST").to_text().lines().count() == 1);
}

#[test]
fn clients_beyond_maxclients_get_an_error_and_are_closed() {
    let server = Launch::subject().threads(2).directive("maxclients", "20").start();
    let mut clients: Vec<Client> = Vec::new();
    while clients.len() < 20 {
        let mut client = server.client();
        // The connection that waited for the server's start may still be closing.
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

/// Redis drops the part of the replies that the socket does not take at once. Ochre sends it.
#[test]
fn a_client_that_has_closed_its_sending_direction_gets_its_replies() {
    let server = Launch::subject().threads(2).start();
    server.client().call(&["SET", "big", &"x".repeat(20 << 20)]).unwrap();
    for last in [["PING"], ["QUIT"]] {
        let mut client = server.client();
        client.send_bytes(&[request(&["GET", "big"]), request(&last)].concat()).unwrap();
        client.finish_sending().unwrap();
        let length = client.read_to_end().unwrap().len();
        assert!(length > 20 << 20, "only {length} bytes came");
    }
    eventually("the clients are gone", || server.client().run("CLIENT LIST").to_text().lines().count() == 1);
}

#[test]
fn replies_are_sent_while_a_pause_holds_the_next_request() {
    let server = Launch::subject().threads(2).start();
    let mut other = server.client();
    other.call(&["SET", "big", &"x".repeat(20 << 20)]).unwrap();
    assert_eq!(other.run("CLIENT PAUSE 60000 WRITE"), Reply::ok());
    let mut client = server.client();
    client.send_bytes(&[request(&["GET", "big"]), request(&["SET", "k", "v"])].concat()).unwrap();
    assert_eq!(client.read_reply().unwrap().to_text().len(), 20 << 20);
    // A held client that disconnects is noticed, and a held client can be killed.
    let mut leaving = server.client();
    leaving.send_bytes(&request(&["SET", "k", "v"])).unwrap();
    eventually("the requests of both are held", || other.run("CLIENT LIST").to_text().matches("flags=b").count() == 2);
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
    eventually("the client is closing", || other.run("CLIENT LIST").to_text().contains("cmd=quit"));
    assert_eq!(other.run(&format!("CLIENT KILL ID {id}")), Reply::Integer(1));
    eventually("the client is gone", || other.run("CLIENT LIST").to_text().lines().count() == 1);
}

#[test]
fn client_reply_skip_holds_for_commands_that_take_long() {
    let server = Launch::subject().threads(2).start();
    let mut client = server.client();
    client.run("CLIENT REPLY ON");
    for batch in 0..20 {
        let words: Vec<String> = (0..2000).flat_map(|i| [format!("k{batch}:{i}"), "v".into()]).collect();
        client.call(&[&["MSET".to_string()][..], &words].concat()).unwrap();
    }
    // KEYS runs in slices, and WAIT blocks.
    for words in [&["KEYS", "*"][..], &["WAIT", "1", "50"]] {
        let skip = request(&["CLIENT", "REPLY", "SKIP"]);
        client.send_bytes(&[skip, request(words), request(&["PING"])].concat()).unwrap();
        assert_eq!(client.read_reply().unwrap(), Reply::simple("PONG"), "after {words:?}");
    }
}

/// Waits until CLIENT LIST shows that a client has been idle for `seconds`.
fn wait_until_idle(observer: &mut Client, id: &str, seconds: u32) {
    let idle = format!(" idle={seconds} ");
    eventually("the client has been idle for long enough", || {
        let list = observer.run("CLIENT LIST").to_text();
        let line = list.lines().find(|line| line.starts_with(&format!("id={id} ")));
        line.expect("the client is still connected").contains(&idle)
    });
}

/// A client that sends slowly is not idle.
#[test]
fn a_client_that_sends_slowly_is_not_closed_as_idle() {
    let server = Launch::subject().threads(2).directive("timeout", "3").start();
    let (mut client, mut observer) = (server.client(), server.client());
    let id = client.run("CLIENT ID").to_text();
    let bytes = request(&["ECHO", "0123456789"]);
    let (start, rest) = bytes.split_at(bytes.len() - 4);
    client.send_bytes(start).unwrap();
    // This takes longer than the timeout.
    for byte in rest {
        wait_until_idle(&mut observer, &id, 1);
        client.send_bytes(&[*byte]).unwrap();
        wait_until_idle(&mut observer, &id, 0);
    }
    assert_eq!(client.read_reply().unwrap(), Reply::bulk("0123456789"));
}

/// A client that reads slowly is not idle either.
#[test]
fn a_client_that_reads_slowly_is_not_closed_as_idle() {
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
