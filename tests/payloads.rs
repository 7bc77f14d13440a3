//! Proves that DUMP and RESTORE carry every type and encoding between Ochre, Redis and Valkey, in all directions.

use ochre_testkit::{Client, Kind, Launch, Reply, Server, quoting};

/// A time in milliseconds since 1970 that no test reaches.
const FAR: u64 = 4_102_444_800_000;

/// A key, and the commands that make its value, with `KEY` for its name.
struct Made {
    key: String,
    commands: Vec<String>,
    /// Whether its fields have expiries, which Redis and Valkey write in different ways.
    has_field_expiries: bool,
    /// Whether Redis's payload must have the same bytes, except for its version and checksum.
    is_same: bool,
}

fn made(key: &str, commands: &[&str]) -> Made {
    let commands = commands.iter().map(|command| (*command).to_owned()).collect();
    Made { key: key.to_owned(), commands, has_field_expiries: false, is_same: false }
}

/// A value whose payload Redis writes with the same bytes.
fn same(key: &str, commands: &[&str]) -> Made {
    Made { is_same: true, ..made(key, commands) }
}

fn expiring(key: &str, commands: &[&str]) -> Made {
    Made { has_field_expiries: true, ..made(key, commands) }
}

/// A command with many arguments.
fn many(head: &str, count: usize, item: impl Fn(usize) -> String) -> String {
    let items: Vec<String> = (0..count).map(item).collect();
    format!("{head} {}", items.join(" "))
}

/// Every type in every encoding, and the values at their edges.
fn dataset() -> Vec<Made> {
    let mut all = vec![
        same("string:empty", &["SET KEY \"\""]),
        same("string:short", &["SET KEY hello"]),
        same("string:zero", &[r#"SET KEY "a\x00b\r\n""#]),
        same("string:leading-zero", &["SET KEY 007"]),
        same("string:appended", &["SET KEY 12", "APPEND KEY 34"]),
        same("string:compressed", &[&format!("SET KEY {}", "abcabcabd".repeat(500))]),
        same(
            "string:long",
            &[&many("SET KEY", 1, |_| {
                (0..9000)
                    .map(|at| char::from(b'!' + (at * at % 89) as u8))
                    .filter(|it| !"\"'\\".contains(*it))
                    .collect()
            })],
        ),
        same("bitmap", &["SETBIT KEY 77 1"]),
        same("hll:sparse", &["PFADD KEY a b c"]),
        same("hll:dense", &[&many("PFADD KEY", 3000, |at| format!("element:{at}"))]),
        same("list:listpack", &["RPUSH KEY a 1 -5000 300000 \"\" 12345678901234"]),
        same("list:quicklist", &[&many("RPUSH KEY", 3000, |at| format!("item:{at}"))]),
        same("list:plain", &[&format!("RPUSH KEY a {} b", "x".repeat(100_000))]),
        same("set:int16", &["SADD KEY 3 1 -2"]),
        same("set:int32", &["SADD KEY 3 100000 -2"]),
        same("set:int64", &["SADD KEY 3 10000000000 -2"]),
        same("set:listpack", &["SADD KEY a 1 bb"]),
        made("set:hashtable", &[&many("SADD KEY", 1000, |at| format!("member:{at}"))]),
        same("zset:listpack", &["ZADD KEY 1 a -inf b inf c 0.1 d 1e300 e -0.5 f"]),
        same(
            "zset:skiplist",
            &[&many("ZADD KEY", 500, |at| format!("{} member:{at}", at as f64 / 7.0)), "ZADD KEY inf x -inf y"],
        ),
        same("geo", &["GEOADD KEY 13.361389 38.115556 Palermo 15.087269 37.502669 Catania"]),
        same("hash:listpack", &["HSET KEY name ochre year 2026 empty \"\""]),
        made("hash:hashtable", &[&many("HSET KEY", 1000, |at| format!("field:{at} value:{at}"))]),
        made("hash:long", &[&format!("HSET KEY field {}", "x".repeat(100))]),
        Made {
            is_same: true,
            ..expiring(
                "hash:expiring",
                &[
                    "HSET KEY a 1 b 2 c 3",
                    &format!("HPEXPIREAT KEY {FAR} FIELDS 1 b"),
                    &format!("HPEXPIREAT KEY {} FIELDS 1 a", FAR + 5),
                ],
            )
        },
        expiring(
            "hash:expiring-large",
            &[
                &many("HSET KEY", 1000, |at| format!("field:{at} value:{at}")),
                &many(&format!("HPEXPIREAT KEY {FAR} FIELDS 100"), 100, |at| format!("field:{at}")),
                &format!("HPEXPIREAT KEY {} FIELDS 1 field:7", FAR + 1000),
            ],
        ),
        made(
            "hash:persisted",
            &["HSET KEY a 1 b 2", &format!("HPEXPIREAT KEY {FAR} FIELDS 1 b"), "HPERSIST KEY FIELDS 1 b"],
        ),
        same("stream:plain", &["XADD KEY 1-1 a 1 b 2", "XADD KEY 1-2 a 3 b 4", "XADD KEY 2-0 other field"]),
        same("stream:empty", &["XADD KEY 5-5 a b", "XDEL KEY 5-5"]),
        same("stream:only-group", &["XGROUP CREATE KEY group $ MKSTREAM"]),
        same("stream:state", &["XADD KEY 1-1 a b", "XSETID KEY 9-9 ENTRIESADDED 100 MAXDELETEDID 5-0"]),
        made(
            "stream:groups",
            &[
                "XADD KEY 1-1 a b",
                "XADD KEY 2-1 a c",
                "XADD KEY 3-1 a d",
                "XDEL KEY 2-1",
                "XGROUP CREATE KEY first 0",
                "XGROUP CREATE KEY second 2-1",
                "XGROUP CREATE KEY third 0 ENTRIESREAD 1",
                "XGROUP CREATECONSUMER KEY first idle",
                "XREADGROUP GROUP first alice COUNT 1 STREAMS KEY >",
                "XREADGROUP GROUP first bob COUNT 1 STREAMS KEY >",
                "XREADGROUP GROUP third carol STREAMS KEY >",
                "XACK KEY third 1-1",
                "XCLAIM KEY first alice 0 3-1 RETRYCOUNT 7 TIME 1000000",
            ],
        ),
    ];
    for (name, number) in [
        ("0", "0"),
        ("1", "-1"),
        ("2", "127"),
        ("3", "-32768"),
        ("4", "2147483647"),
        ("5", "2147483648"),
        ("6", "-9223372036854775808"),
    ] {
        all.push(same(&format!("string:integer-{name}"), &[&format!("SET KEY {number}")]));
    }
    let mut long: Vec<String> =
        (1..500).map(|at| format!("XADD KEY {at}-{} field {at} other value:{at}", at % 3)).collect();
    long.extend((1..500).step_by(7).map(|at| format!("XDEL KEY {at}-{}", at % 3)));
    long.push("XADD KEY 600-1 x y".to_owned());
    all.push(Made { commands: long, ..same("stream:blocks", &[]) });
    all
}

fn server(kind: Kind) -> Server {
    Launch::new(kind).directive("enable-debug-command", "yes").start()
}

fn call(client: &mut Client, words: &[&[u8]]) -> Reply {
    client.call(words).expect("the server answers")
}

fn fill(client: &mut Client, made: &Made) {
    for command in &made.commands {
        let mut words = quoting::split(command.as_bytes()).expect("the command is well quoted");
        words.iter_mut().filter(|word| **word == b"KEY").for_each(|word| *word = made.key.clone().into_bytes());
        let reply = client.call(&words).expect("the server answers");
        assert!(!reply.is_error(), "{command}: {}", reply.to_text());
    }
}

/// What a key holds, as far as clients can see.
fn seen(client: &mut Client, key: &str) -> Vec<(&'static str, String)> {
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
        let (before, after) = (seen(&mut from_client, &made.key), seen(&mut to_client, &made.key));
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
