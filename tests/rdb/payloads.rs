//! Proves that DUMP and RESTORE carry every type and encoding between Ochre, Redis and Valkey, in all directions.

use ochre_testkit::{Client, Kind, Launch, Reply, Server};

use crate::dataset::{Made, dataset, fill};

fn server(kind: Kind) -> Server {
    Launch::new(kind).directive("enable-debug-command", "yes").start()
}

fn call(client: &mut Client, words: &[&[u8]]) -> Reply {
    client.call(words).expect("the server answers")
}

/// What a key holds, as far as clients can see: the names of its properties with their values.
pub fn seen(client: &mut Client, key: &str) -> Vec<(&'static str, String)> {
    let mut seen = vec![];
    let mut ask = |name, words: &[&[u8]]| seen.push((name, call(client, words).to_text()));
    let key = key.as_bytes();
    ask("type", &[b"TYPE", key]);
    ask("encoding", &[b"OBJECT", b"ENCODING", key]);
    ask("digest", &[b"DEBUG", b"DIGEST-VALUE", key]);
    if key.starts_with(b"stream") {
        // How long ago something happened is left out by asking for the groups without their consumers' idle times.
        ask("entries", &[b"XRANGE", key, b"-", b"+"]);
        let full = call(client, &[b"XINFO", b"STREAM", key, b"FULL", b"COUNT", b"0"]).to_text();
        seen.push(("state", full.lines().filter(|line| !line.contains("radix-tree")).collect()));
    }
    if key.starts_with(b"hash:") {
        let mut expiries = vec![];
        for field in [&b"a"[..], b"b", b"c", b"field:0", b"field:7", b"field:500"] {
            expiries.push(call(client, &[b"HPEXPIRETIME", key, b"FIELDS", b"1", field]).to_text());
        }
        seen.push(("expiries", expiries.join(" ")));
    }
    seen
}

/// Copies each value from one server to another, and compares what both have.
fn carry(from: Kind, to: Kind) {
    let (from_server, to_server) = (server(from), server(to));
    let (mut from_client, mut to_client) = (from_server.client(), to_server.client());
    if from == Kind::subject() && to == Kind::Valkey {
        assert_eq!(call(&mut from_client, &[b"CONFIG", b"SET", b"rdb-dialect", b"valkey"]), Reply::ok());
    }
    for made in dataset() {
        fill(&mut from_client, &made);
        let key = made.key.as_bytes();
        let payload = call(&mut from_client, &[b"DUMP", key]);
        let payload = payload.as_bytes().expect("DUMP replies with a string");
        let restored = call(&mut to_client, &[b"RESTORE", key, b"0", payload]);
        assert_eq!(restored, Reply::ok(), "{} from {} to {}: {payload:02x?}", made.key, from.name(), to.name());
        compare(&made, from, to, seen(&mut from_client, &made.key), seen(&mut to_client, &made.key));
    }
}

/// Compares what two servers have of a key.
pub fn compare(
    made: &Made,
    from: Kind,
    to: Kind,
    before: Vec<(&'static str, String)>,
    after: Vec<(&'static str, String)>,
) {
    for ((name, before), (_, after)) in before.into_iter().zip(after) {
        // A string that is restored is an integer if it can be. A hash that once had an expiry is a listpackex until it is dumped.
        // Valkey has no listpackex.
        let is_of_valkey = made.has_field_expiries && [from, to].contains(&Kind::Valkey);
        if name == "encoding" && (before.contains("raw") || made.key == "hash:persisted" || is_of_valkey) {
            continue;
        }
        assert_eq!(before, after, "{}: {name}, from {} to {}", made.key, from.name(), to.name());
    }
}

#[test]
fn values_go_from_ochre_to_redis() {
    carry(Kind::subject(), Kind::Redis);
}

#[test]
fn values_go_from_ochre_to_valkey() {
    carry(Kind::subject(), Kind::Valkey);
}

#[test]
fn values_go_from_redis_to_ochre() {
    carry(Kind::Redis, Kind::subject());
}

#[test]
fn values_go_from_valkey_to_ochre() {
    carry(Kind::Valkey, Kind::subject());
}

#[test]
fn values_go_from_ochre_to_ochre() {
    carry(Kind::subject(), Kind::subject());
}

/// Programs compare payloads, and caches are keyed by them. What compression makes of a string is not determined by the format.
#[test]
fn payloads_have_the_bytes_of_redis() {
    let (ours_server, redis_server) = (server(Kind::subject()), server(Kind::Redis));
    let (mut ours, mut redis) = (ours_server.client(), redis_server.client());
    for client in [&mut ours, &mut redis] {
        assert_eq!(call(client, &[b"CONFIG", b"SET", b"rdbcompression", b"no"]), Reply::ok());
    }
    for made in dataset().iter().filter(|made| made.is_same) {
        fill(&mut ours, made);
        fill(&mut redis, made);
        let [ours, redis] = [&mut ours, &mut redis].map(|client| {
            let payload = call(client, &[b"DUMP", made.key.as_bytes()]);
            let payload = payload.as_bytes().expect("DUMP replies with a string");
            payload[..payload.len() - 10].to_vec()
        });
        assert_eq!(format!("{ours:02x?}"), format!("{redis:02x?}"), "{}", made.key);
    }
}
