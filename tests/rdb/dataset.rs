//! Keys of every type and encoding.

use ochre_testkit::{Client, quoting};

/// A time in milliseconds since 1970 that no test reaches.
const FAR: u64 = 4_102_444_800_000;

/// A key, and the commands that make its value, with `KEY` for its name.
pub struct Made {
    pub key: String,
    pub commands: Vec<String>,
    /// Whether its fields have expiries, which Redis and Valkey write in different ways.
    pub has_field_expiries: bool,
    /// Whether Redis's payload must have the same bytes, except for its version and checksum.
    pub is_same: bool,
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
pub fn dataset() -> Vec<Made> {
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

/// Makes a key.
pub fn fill(client: &mut Client, made: &Made) {
    for command in &made.commands {
        let mut words = quoting::split(command.as_bytes()).expect("the command is well quoted");
        words.iter_mut().filter(|word| **word == b"KEY").for_each(|word| *word = made.key.clone().into_bytes());
        let reply = client.call(&words).expect("the server answers");
        assert!(!reply.is_error(), "{command}: {}", reply.to_text());
    }
}
