//! The values of arguments, by the name and type that COMMAND DOCS gives the argument. Most are sane; the others are edge cases where
//! implementations tend to differ.

use ochre_testkit::Random;
use ochre_testkit::command_table::Argument;

use self::restores::RESTORES;

// Other tests include this file by its path, and find the module beside it.
#[path = "restores.rs"]
mod restores;

/// Few keys, so that commands use each other's. One is empty and one has a zero byte.
pub const KEYS: [&[u8]; 8] = [b"a", b"b", b"c", b"key:1", b"", b"z\0y", b"other", b"{a}b"];

/// Commands that create keys of every type and encoding. Commands that the server under test does not have are left out.
pub const PREPARATIONS: &[&str] = &[
    "SET a 12345",
    "SET b short",
    "SET c xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
    "SET key:1 -9223372036854775808 EX 100000",
    "SET \"\" 9223372036854775807",
    "SET \"z\\x00y\" 3.0e3",
    "SET other 0.1 PXAT 99999999999999",
    "APPEND {a}b tail",
    "RPUSH a 1 2 three four",
    "RPUSH b x y z x y",
    "SADD c 1 2 3",
    "SADD other x y 3",
    "SADD a 1 2 3 4 5 6",
    "SADD b 3 4 5 x y z",
    "SADD {a}b 1 2 3 4 5 6 7 8 9 10",
    "HSET key:1 f1 1 f2 two f3 3.5",
    "HSET \"\" f1 10",
    "HSETEX c EX 100000 FIELDS 3 f1 1 f2 two 7 8",
    "HSET a f1 1 f2 xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
    "ZADD \"z\\x00y\" 1 one 2 two 3 three",
    "ZADD b 1 a 1 b 1 c 1 d",
    "XADD a 1-1 f v",
    "XADD c 5-0 a 1 b 2",
    "XGROUP CREATE a g 0",
    "XGROUP CREATE a g 0 MKSTREAM",
    "XGROUP CREATE b g 0 MKSTREAM",
    "XREADGROUP GROUP g alice STREAMS a >",
    "XADD a 2-0 f w",
    "XADD a 3-0 f x g y",
    "XADD b 1-1 f v",
    "XADD b 1-2 f 12",
    "XADD b 5-0 f -1",
    "XADD c 5-1 a 1 b 3",
    "XREADGROUP GROUP g bob COUNT 1 STREAMS a >",
    "ZADD a 0 a 0 b 0 c 0 d 0 e 0 one",
    "ZADD {a}b 1 xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx 2 b 3 c 0.5 d -inf e 1 one",
    "ZADD c 0 xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx 0 a 0 b 0 one 0 two",
    "GEOADD other 13.361389 38.115556 Palermo 15.087269 37.502669 Catania",
    "GEOADD a 2.349014 48.864716 a -0.12574 51.50853 b 13.41053 52.52437 c 12.51133 41.89193 d -179.9 -80 e 179.9 80 one",
    "GEOADD {a}b 0 0 xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx 0.01 0.01 a 0.02 0 b 1 1 c 100 10 d -1 -1 e",
    "PFADD b x y z",
    "SETBIT c 100 1",
    "SETRANGE other 5 hello",
];

const FIELDS: [&[u8]; 7] = [b"f1", b"f2", b"f3", b"f", b"7", b"", b"f\0g"];

const SANE_VALUES: [&[u8]; 16] = [
    b"v",
    b"hello",
    b"hello world",
    b"1",
    b"10",
    b"-7",
    b"0",
    b"3.5",
    b"100",
    b"foobar",
    b"ohmytext",
    b"mynewtext",
    b"f1",
    b"x",
    b"one",
    b"\xc3\xa9t\xc3\xa9",
];

const EDGE_VALUES: [&[u8]; 34] = [
    b"",
    b" ",
    b" 1",
    b"1 ",
    b"+1",
    b"01",
    b"-0",
    b"0x10",
    b"1e3",
    b"3.0e3",
    b".5",
    b"5.",
    b"1e308",
    b"-1e308",
    b"1e-400",
    b"nan",
    b"inf",
    b"-inf",
    b"1.7976931348623157e309",
    b"9223372036854775807",
    b"9223372036854775806",
    b"-9223372036854775808",
    b"9223372036854775808",
    b"18446744073709551616",
    b"2147483648",
    b"\0",
    b"a\0b",
    b"\r\n",
    b"\xff\xfe",
    b"*1\r\n$4\r\nPING\r\n",
    b"\"quoted\"",
    b"0.1",
    b"123456789012345678901234567890",
    b"99999999999999999.5",
];

/// Lengths around the limit of embedded strings, and longer than a read buffer.
const LENGTHS: [usize; 11] = [20, 21, 43, 44, 45, 46, 63, 64, 65, 500, 10_000];

const SANE_INTEGERS: [&str; 9] = ["0", "1", "2", "3", "5", "-1", "-2", "10", "100"];

const EDGE_INTEGERS: [&str; 30] = [
    "-0",
    "+1",
    "01",
    " 1",
    "1 ",
    "",
    "abc",
    "1.0",
    "1e2",
    "0x1",
    "2147483647",
    "2147483648",
    "-2147483648",
    "-2147483649",
    "4294967295",
    "4294967296",
    "9223372036854775807",
    "9223372036854775806",
    "-9223372036854775808",
    "-9223372036854775807",
    "9223372036854775808",
    "-9223372036854775809",
    "18446744073709551615",
    "18446744073709551616",
    "99999999999999999999999",
    "-100",
    "7",
    "8",
    "1000",
    "4611686018427387904",
];

/// Integers around the limits of an intset's widths.
const WIDE_INTEGERS: [&str; 12] = [
    "-32768",
    "-32769",
    "32767",
    "32768",
    "-2147483648",
    "-2147483649",
    "2147483647",
    "2147483648",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
    "-1",
];
const SET_COMMANDS: [&str; 5] = ["sadd", "srem", "sismember", "smismember", "smove"];

const SANE_DOUBLES: [&str; 12] =
    ["0", "1", "-1", "0.1", "2.5", "-3.75", "100", "1e3", "10.5", "1.23456789", "0.2", "3"];

const EDGE_DOUBLES: [&str; 24] = [
    "1e308",
    "-1e308",
    "1.7e308",
    "nan",
    "-nan",
    "inf",
    "+inf",
    "-inf",
    "infinity",
    "-0",
    "3.0e3",
    ".5",
    "5.",
    "",
    "abc",
    " 1",
    "1 ",
    "0x1p3",
    "1e-320",
    "1e5000",
    "9007199254740993",
    "0.30000000000000004",
    "123456789.123456789",
    "1e17",
];

const PATTERNS: [&[u8]; 24] = [
    b"*", b"a", b"?", b"a*", b"*a*", b"key:*", b"[abc]", b"[a-c]", b"[^a]", b"[z-a]", b"k[e]y:?", b"", b"\\a", b"\\*",
    b"[", b"[a", b"[^", b"[]", b"**", b"*?", b"{a}*", b"z\0*", b"foo\\", b"[\\]]",
];

/// Times that do not pass during a test, that have passed already, or that are refused.
const EDGE_PERIODS: [&str; 18] = [
    "0",
    "-1",
    "-100",
    "-9223372036854775808",
    "9223372036854775807",
    "9223372036854775",
    "9223372036854776",
    "abc",
    "",
    "1.5",
    "9223372036854775808",
    "+5000000",
    "05000000",
    " 5000000",
    "-0",
    "-9223372036854775",
    "9223370000000000000",
    "5000000 ",
];
const SANE_UNIX_SECONDS: [&str; 4] = ["9999999999", "4102444800", "99999999999", "33177117420"];
const SANE_UNIX_MILLISECONDS: [&str; 4] = ["99999999999999", "4102444800001", "33177117420000", "9999999999999"];
const EDGE_UNIX_TIMES: [&str; 14] = [
    "0",
    "1",
    "-1",
    "1000000000",
    "1600000000000",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775",
    "9223372036854776",
    "abc",
    "",
    "1.5",
    "9223372036854775808",
    "+9999999999999",
];

const DATABASES: [&str; 16] =
    ["0", "0", "0", "0", "1", "1", "2", "15", "16", "-1", "abc", "", "01", "9999999999", "1.0", " 1"];
const CURSORS: [&str; 8] = ["0", "0", "0", "0", "-1", "abc", "18446744073709551616", ""];
const TYPES: [&str; 9] = ["string", "list", "set", "zset", "hash", "stream", "STRING", "nothing", ""];
const CHANNELS: [&str; 5] = ["news", "sport", "", "__keyspace@0__:a", "news.art"];
const PROTOCOLS: [&str; 8] = ["2", "3", "3", "2", "4", "1", "abc", ""];
const RANGE_ENDS: [&str; 18] =
    ["0", "-1", "1", "2", "-inf", "+inf", "(1", "(3", "[a", "[c", "(b", "-", "+", "-2", "inf", "(", "abc", "1.5"];
const STREAM_IDS: [&str; 18] = [
    "7-7", "1-1", "1-2", "2-0", "3-0", "5-0", "5-1", "0", "0-0", "5-*", "9-*", "12-1", "-", "+", "$", "abc", "(1-1",
    "99",
];
/// Values of MAXLEN and MINID.
const STREAM_THRESHOLDS: [&str; 8] = ["0", "1", "2", "3", "5", "10", "2-0", "5-1"];
/// Idle times that an entry has at once or does not reach during a test.
const IDLE_TIMES: [&str; 5] = ["0", "0", "0", "-1", "100000000"];
const EDGE_IDLE_TIMES: [&str; 6] =
    ["abc", "", "9223372036854775807", "-9223372036854775808", "9223372036854775808", "1.5"];
/// Members of the sorted sets that the preparations create.
const MEMBERS: [&str; 9] = ["a", "b", "c", "d", "e", "one", "two", "Palermo", "Catania"];
const OTHER_MEMBERS: [&str; 6] = ["", "x", "hello", "17", "-0", "\0"];
const GROUPS: [&str; 4] = ["g", "g", "h", ""];
const CONSUMERS: [&str; 4] = ["alice", "alice", "bob", ""];
const BIT_ENCODINGS: [&str; 8] = ["u8", "i8", "u1", "i64", "u63", "u64", "i65", "x8"];
const BIT_OFFSETS: [&str; 8] = ["0", "1", "7", "#1", "100", "-1", "#abc", "4294967296"];
/// Offsets for SETBIT and GETBIT. None that SETBIT accepts is large, since it makes the string that long.
const BIT_POSITIONS: [&str; 12] = ["0", "1", "7", "8", "13", "62", "100", "343", "351", "1000", "4095", "4096"];
const EDGE_BIT_POSITIONS: [&str; 10] =
    ["-1", "#1", "4294967296", "9223372036854775807", "-9223372036854775808", "+1", "01", "", "abc", "1.0"];
const RANGE_OFFSETS: [&str; 14] = ["0", "1", "2", "3", "5", "7", "8", "9", "-1", "-2", "-7", "-8", "-9", "100"];
const SCRIPTS: [&str; 6] = [
    "return 1",
    "return redis.call('GET', KEYS[1])",
    "return redis.call('SET', KEYS[1], ARGV[1])",
    "return {KEYS, ARGV}",
    "return redis.error_reply('MY error')",
    "nonsense",
];
/// Words that no argument expects.
const GARBAGE: [&[u8]; 17] = [
    b"",
    b"abc",
    b"-1",
    b"NX",
    b"XX",
    b"GET",
    b"EX",
    b"PX",
    b"KEEPTTL",
    b"WITHSCORES",
    b"LIMIT",
    b"STORE",
    b"COUNT",
    b"\0",
    b"9223372036854775808",
    b"REPLACE",
    b"DB",
];

/// Commands that are drawn as whole lines. With drawn arguments they could close all connections, stop the servers, or show what differs
/// between servers. KEY stands for a drawn key.
const LINES: &[(&str, &[&str])] = &[
    ("client|kill", &KILLS),
    ("client|pause", &PAUSES),
    ("config|get", &CONFIG_GETS),
    ("config|set", &CONFIG_SETS),
    ("debug", &DEBUGS),
    ("restore", &RESTORES),
];
/// None of these kills a client, since ids and addresses differ between servers.
const KILLS: [&str; 25] = [
    "CLIENT KILL",
    "CLIENT KILL 127.0.0.1:1",
    "CLIENT KILL nonsense",
    "CLIENT KILL ADDR 127.0.0.1:1",
    "CLIENT KILL ADDR 127.0.0.1:1 SKIPME no",
    "CLIENT KILL LADDR 127.0.0.1:1 ADDR 127.0.0.1:1",
    "CLIENT KILL ID 999999999",
    "CLIENT KILL ID 999999999 ID 999999998",
    "CLIENT KILL ID 0",
    "CLIENT KILL ID -1",
    "CLIENT KILL ID abc",
    "CLIENT KILL ID 9223372036854775808",
    "CLIENT KILL ID",
    "CLIENT KILL ID 999999999 SKIPME",
    "CLIENT KILL ID 999999999 SKIPME maybe",
    "CLIENT KILL id 999999999 skipme YES",
    "CLIENT KILL TYPE master",
    "CLIENT KILL TYPE replica",
    "CLIENT KILL TYPE slave SKIPME no",
    "CLIENT KILL TYPE nonsense",
    "CLIENT KILL USER nobody",
    "CLIENT KILL USER default ID 999999999",
    "CLIENT KILL MAXAGE 1000000",
    "CLIENT KILL MAXAGE abc",
    "CLIENT KILL NONSENSE x",
];
/// Pauses that are too short to be noticed.
const PAUSES: [&str; 13] = [
    "CLIENT PAUSE",
    "CLIENT PAUSE 0",
    "CLIENT PAUSE 0 ALL",
    "CLIENT PAUSE 0 WRITE",
    "CLIENT PAUSE 1",
    "CLIENT PAUSE 1 write",
    "CLIENT PAUSE 1 All",
    "CLIENT PAUSE 1 NONSENSE",
    "CLIENT PAUSE 1 WRITE ALL",
    "CLIENT PAUSE -1",
    "CLIENT PAUSE abc",
    "CLIENT PAUSE 1.5",
    "CLIENT PAUSE 9223372036854775808",
];
const CONFIG_GETS: [&str; 16] = [
    "CONFIG GET",
    "CONFIG GET maxmemory-samples",
    "CONFIG GET MaxMemory-Policy maxmemory-samples",
    "CONFIG GET hash-max-listpack-* set-max-*",
    "CONFIG GET zset-max-listpack-*",
    "CONFIG GET list-max-listpack-size set-max-intset-entries",
    "CONFIG GET lfu-*",
    "CONFIG GET slowlog-*",
    "CONFIG GET notify-keyspace-events",
    "CONFIG GET notify-keyspace-events notify-*",
    "CONFIG GET lazyfree-lazy-?xpire",
    "CONFIG GET stream-node-max-[be]*",
    "CONFIG GET timeout tcp-keepalive",
    "CONFIG GET nonsense",
    "CONFIG GET nonsense timeout",
    "CONFIG GET ''",
];
/// [`SETTINGS`] sets these settings back before the next sequence.
const CONFIG_SETS: [&str; 51] = [
    "CONFIG SET",
    "CONFIG SET maxmemory-samples",
    "CONFIG SET maxmemory-samples 7",
    "CONFIG SET maxmemory-samples 0",
    "CONFIG SET maxmemory-samples abc",
    "CONFIG SET maxmemory-samples 3 maxmemory-samples 4",
    "CONFIG SET maxmemory-samples 6 nonsense 1",
    "CONFIG SET maxmemory-samples 6 lfu-decay-time abc",
    "CONFIG SET maxmemory-samples 6 lfu-decay-time 4",
    "CONFIG SET maxmemory-policy allkeys-lru",
    "CONFIG SET maxmemory-policy VOLATILE-TTL",
    "CONFIG SET maxmemory-policy nonsense",
    "CONFIG SET maxmemory abc",
    "CONFIG SET maxmemory 1xb",
    "CONFIG SET hash-max-listpack-entries 2",
    "CONFIG SET hash-max-listpack-entries 3",
    "CONFIG SET hash-max-listpack-entries -1",
    "CONFIG SET hash-max-listpack-value 3",
    "CONFIG SET hash-max-ziplist-entries 4",
    "CONFIG SET set-max-intset-entries 2",
    "CONFIG SET set-max-listpack-entries 3",
    "CONFIG SET set-max-listpack-value 4",
    "CONFIG SET zset-max-listpack-entries 2",
    "CONFIG SET zset-max-listpack-value 2",
    "CONFIG SET list-max-listpack-size 2",
    "CONFIG SET list-max-listpack-size -3",
    "CONFIG SET list-max-listpack-size abc",
    "CONFIG SET lfu-decay-time 3",
    "CONFIG SET lfu-log-factor -1",
    "CONFIG SET slowlog-max-len 5",
    "CONFIG SET slowlog-log-slower-than abc",
    "CONFIG SET notify-keyspace-events ''",
    "CONFIG SET notify-keyspace-events Kx",
    "CONFIG SET notify-keyspace-events nonsense!",
    "CONFIG SET lazyfree-lazy-expire YES",
    "CONFIG SET lazyfree-lazy-expire maybe",
    "CONFIG SET stream-node-max-bytes 64",
    "CONFIG SET stream-node-max-bytes 1kb",
    "CONFIG SET stream-node-max-entries 2",
    "CONFIG SET timeout abc",
    "CONFIG SET timeout -1",
    "CONFIG SET timeout 99999999999999999999",
    "CONFIG SET appendonly maybe",
    "CONFIG SET loglevel loud",
    "CONFIG SET hz abc",
    "CONFIG SET proto-max-bulk-len 10",
    "CONFIG SET client-output-buffer-limit 'normal 0 0'",
    "CONFIG SET client-output-buffer-limit 'nobody 0 0 0'",
    "CONFIG SET databases 3",
    "CONFIG SET daemonize yes",
    "CONFIG SET nonsense 1",
];
const DEBUGS: [&str; 33] = [
    "DEBUG",
    "DEBUG NONSENSE",
    "DEBUG NONSENSE with words",
    "DEBUG DIGEST",
    "DEBUG DIGEST x",
    "DEBUG DIGEST-VALUE",
    "DEBUG DIGEST-VALUE KEY",
    "DEBUG DIGEST-VALUE KEY KEY KEY",
    "DEBUG ERROR words",
    "DEBUG ERROR 'CODE and words'",
    "DEBUG LOG words",
    "DEBUG OBJECT",
    "DEBUG OBJECT nonsense",
    "DEBUG SDSLEN nonsense",
    "DEBUG HTSTATS-KEY nonsense",
    "DEBUG LISTPACK nonsense",
    "DEBUG SLEEP",
    "DEBUG SLEEP 0",
    "DEBUG SLEEP 0.001",
    "DEBUG SET-ACTIVE-EXPIRE 1",
    "DEBUG POPULATE 3",
    "DEBUG POPULATE 2 other 30",
    "DEBUG POPULATE abc",
    "DEBUG STRINGMATCH-LEN 10 a*",
    "DEBUG PROTOCOL string",
    "DEBUG PROTOCOL integer",
    "DEBUG PROTOCOL double",
    "DEBUG PROTOCOL null",
    "DEBUG PROTOCOL array",
    "DEBUG PROTOCOL map",
    "DEBUG PROTOCOL bignum",
    "DEBUG PROTOCOL true",
    "DEBUG PROTOCOL nonsense",
];

/// The settings at the beginning of every sequence. The limits of sets are low, so that short sequences convert them from one encoding to
/// the next. Intsets and listpacks have the same limit, since otherwise the encoding of a union would depend on its order.
pub const SETTINGS: &[(&str, &str)] = &[
    ("hash-max-listpack-entries", "128"),
    ("hash-max-listpack-value", "64"),
    ("lazyfree-lazy-expire", "no"),
    ("lfu-decay-time", "1"),
    ("list-max-listpack-size", "-2"),
    ("maxmemory-policy", "noeviction"),
    ("maxmemory-samples", "5"),
    ("notify-keyspace-events", "KEA"),
    ("set-max-intset-entries", "8"),
    ("set-max-listpack-entries", "8"),
    ("set-max-listpack-value", "20"),
    ("slowlog-max-len", "128"),
    ("stream-node-max-bytes", "4096"),
    ("stream-node-max-entries", "100"),
    ("zset-max-listpack-entries", "128"),
    ("zset-max-listpack-value", "64"),
];

/// The lines to draw for a command that is drawn as whole lines.
pub fn lines(command: &str) -> Option<&'static [&'static str]> {
    LINES.iter().find(|(name, _)| *name == command).map(|(_, lines)| *lines)
}

pub fn key(random: &mut Random) -> Vec<u8> {
    // The first keys are drawn more often, so that several commands use the same key.
    let among = random.between(1, KEYS.len());
    random.pick(&KEYS[..among]).to_vec()
}

pub fn garbage(random: &mut Random) -> Vec<u8> {
    if random.chance(30) { value(random) } else { random.pick(&GARBAGE).to_vec() }
}

pub fn value(random: &mut Random) -> Vec<u8> {
    match random.below(100) {
        0..60 => random.pick(&SANE_VALUES).to_vec(),
        60..88 => random.pick(&EDGE_VALUES).to_vec(),
        _ => {
            let length = *random.pick(&LENGTHS);
            vec![*random.pick(b"xy01"); length]
        }
    }
}

/// Draws from few fields, so that commands use each other's.
fn field(random: &mut Random) -> Vec<u8> {
    if random.chance(20) { value(random) } else { random.pick(&FIELDS).to_vec() }
}

pub fn database(random: &mut Random) -> Vec<u8> {
    random.pick(&DATABASES).as_bytes().to_vec()
}

/// Draws a value for one argument. The generator itself writes tokens, blocks and `numkeys`.
pub fn for_argument(argument: &Argument, command: &str, random: &mut Random) -> Vec<u8> {
    let name = argument.name.to_ascii_lowercase();
    let mut of = |sane: &[&str], edge: &[&str]| {
        let pool = if edge.is_empty() || random.chance(75) { sane } else { edge };
        random.pick(pool).as_bytes().to_vec()
    };
    match (argument.kind.as_str(), name.as_str()) {
        ("key", _) => key(random),
        (_, "seconds" | "milliseconds" | "ttl") => period(&name, random),
        ("unix-time", _) if name.contains("milli") => of(&SANE_UNIX_MILLISECONDS, &EDGE_UNIX_TIMES),
        ("unix-time", _) => of(&SANE_UNIX_SECONDS, &EDGE_UNIX_TIMES),
        (_, "destination-db" | "db" | "index1" | "index2") => of(&DATABASES, &[]),
        (_, "index") if matches!(command, "select" | "swapdb") => of(&DATABASES, &[]),
        (_, "cursor") => of(&CURSORS, &[]),
        (_, "type") => of(&TYPES, &[]),
        (_, "protover") => of(&PROTOCOLS, &[]),
        (_, "channel" | "shardchannel") => of(&CHANNELS, &[]),
        (_, "encoding") => of(&BIT_ENCODINGS, &[]),
        (_, "offset") if command.starts_with("bitfield") => of(&BIT_OFFSETS, &[]),
        (_, "offset") if matches!(command, "setbit" | "getbit") => of(&BIT_POSITIONS, &EDGE_BIT_POSITIONS),
        (_, "value") if command == "setbit" => of(&["0", "1"], &["2", "-1", "abc", ""]),
        (_, "start" | "end") if matches!(command, "bitcount" | "bitpos") => of(&RANGE_OFFSETS, &EDGE_INTEGERS),
        (_, "script") => of(&SCRIPTS, &[]),
        (_, "id") if command.starts_with("xread") => of(&[">", "0", "0", "1-1", "2-0", "5-0"], &STREAM_IDS),
        (_, "id" | "lastid" | "last-id" | "max-deleted-id") if command.starts_with('x') => of(&STREAM_IDS, &[]),
        (_, "threshold") => of(&STREAM_THRESHOLDS, &STREAM_IDS),
        (_, "min-idle-time") => of(&IDLE_TIMES, &EDGE_IDLE_TIMES),
        (_, "start" | "end") if command.starts_with('x') => of(&STREAM_IDS, &[]),
        (_, "member" | "member1" | "member2") if command.starts_with(['z', 'g']) => of(&MEMBERS, &OTHER_MEMBERS),
        (_, "min" | "max" | "start" | "stop") if command.starts_with('z') => of(&RANGE_ENDS, &[]),
        (_, "command-name" | "command") => of(&["get", "SET", "config|get", "mset", "nothing", "msetnx", ""], &[]),
        (_, "member") if SET_COMMANDS.contains(&command) => set_member(random),
        (_, "field") => field(random),
        (_, "group") => of(&GROUPS, &[]),
        (_, "consumer") => of(&CONSUMERS, &[]),
        (_, "bit") => of(&["0", "1"], &["2", "-1", "abc"]),
        ("integer", _) => of(&SANE_INTEGERS, &EDGE_INTEGERS),
        ("double", _) => of(&SANE_DOUBLES, &EDGE_DOUBLES),
        ("pattern", _) => random.pick(&PATTERNS).to_vec(),
        // Strings are drawn from all values, even those that some commands read as numbers.
        _ => value(random),
    }
}

/// Draws mostly integers, so that some sets have only integers.
fn set_member(random: &mut Random) -> Vec<u8> {
    match random.below(100) {
        0..70 => random.between(0, 12).to_string().into_bytes(),
        70..85 => random.pick(&WIDE_INTEGERS).as_bytes().to_vec(),
        _ => value(random),
    }
}

/// Draws a different period each time. With equal periods, the result of EXPIRE GT would depend on the clock.
fn period(name: &str, random: &mut Random) -> Vec<u8> {
    if random.chance(25) {
        return random.pick(&EDGE_PERIODS).as_bytes().to_vec();
    }
    let least: usize = if name == "seconds" { 100_000 } else { 100_000_000 };
    (least + random.below(2_000_000_000)).to_string().into_bytes()
}

/// Whether an argument, read as a period or a time, could pass during a test. The servers would then differ by their clocks.
pub fn may_expire_soon(text: &[u8]) -> bool {
    as_number(text).is_some_and(|number| (1..=60_000).contains(&number))
}

/// Whether an argument, read as a period or a time, does not pass during a test.
pub fn is_far(text: &[u8]) -> bool {
    as_number(text).is_some_and(|number| number > 60_000)
}

fn as_number(text: &[u8]) -> Option<i64> {
    std::str::from_utf8(text).ok()?.trim().parse().ok()
}
