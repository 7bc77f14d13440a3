//! The server as a whole.

use super::super::case::{Case, case};

/// `n` strings.
const STRINGS: &str = "MSET [k# v]";
/// A key in each of `n` databases.
const DATABASES: &str = "n times: SELECT @; SET k@ v";

/// `n` entries of the slow log.
const SLOW: &[&str] = &[
    "CONFIG SET slowlog-max-len {n}",
    "CONFIG SET slowlog-log-slower-than 0",
    "n times: PING",
    "CONFIG SET slowlog-log-slower-than -1",
];

/// `n` users.
const USERS: &str = "n times: ACL SETUSER u@ on nopass allcommands";
/// A user with `n` patterns of channels.
const PATTERNS: &str = "ACL SETUSER u on nopass allcommands [&c#]";
/// Rules are a few, and an operator writes them.
const FEW_RULES: &str =
    "each rule is compared with the user's other rules of its kind, and the order in which they were given is kept";
pub const CASES: &[Case] = &[
    case("ACL DELUSER", "users", &[USERS], &["ACL DELUSER [u#]"]),
    case(
        "ACL DELUSER",
        "clients",
        &["ACL SETUSER u on nopass allcommands", "others: AUTH u x"],
        &["ACL DELUSER u", "close"],
    )
    .from(500),
    case("ACL DRYRUN", "keys", &["ACL SETUSER u on nopass allcommands allkeys &c"], &["ACL DRYRUN u DEL [k#]"]),
    case("ACL DRYRUN", "patterns of channels", &[PATTERNS], &["100 times: ACL DRYRUN u PUBLISH x x"]).from(1000),
    case("ACL GETUSER", "patterns of channels", &[PATTERNS], &["10 times: ACL GETUSER u"]).from(1000),
    case("ACL LIST", "users", &[USERS], &["ACL LIST"]),
    case("ACL SETUSER", "users", &[], &[USERS]),
    case("ACL SETUSER", "patterns of channels", &[], &[PATTERNS]).from(1000).square(FEW_RULES),
    case("ACL SETUSER", "subscribers", &["others: SUBSCRIBE c"], &["ACL SETUSER u on"]).from(500),
    case("ACL USERS", "users", &[USERS], &["ACL USERS"]),
    case("COMMAND", "requests", &[], &["n times: COMMAND"]).from(50),
    case("COMMAND COUNT", "requests", &[], &["n times: COMMAND COUNT"]),
    case("COMMAND DOCS", "names", &[], &["COMMAND DOCS [get]"]).from(1000),
    case("COMMAND GETKEYS", "keys", &[], &["COMMAND GETKEYS MSET [k# v]"]),
    case("COMMAND GETKEYS", "keys whose number is given", &[], &["COMMAND GETKEYS ZINTER {n} [k#]"]),
    case("COMMAND GETKEYS", "keys of streams", &[], &["COMMAND GETKEYS XREAD STREAMS [k#] [0]"]),
    case("COMMAND GETKEYSANDFLAGS", "keys", &[], &["COMMAND GETKEYSANDFLAGS DEL [k#]"]),
    case("COMMANDLOG GET", "entries", SLOW, &["COMMANDLOG GET -1 slow"]).from(1000),
    case("COMMANDLOG LEN", "entries", SLOW, &["1000 times: COMMANDLOG LEN slow"]).from(1000),
    case("COMMANDLOG RESET", "entries", SLOW, &["COMMANDLOG RESET slow"]).from(1000),
    case("COMMAND INFO", "names", &[], &["COMMAND INFO [get]"]).from(2000),
    case("COMMAND INFO", "unknown names", &[], &["COMMAND INFO [x#]"]),
    case("COMMAND LIST", "bytes of the pattern", &[], &["COMMAND LIST FILTERBY PATTERN (x)n"]),
    case("CONFIG GET", "names", &[], &["CONFIG GET [maxmemory]"]),
    case("CONFIG GET", "patterns that do not match", &[], &["CONFIG GET [x#*]"]),
    case("CONFIG GET", "patterns that match all", &[], &["CONFIG GET [*]"]).from(2000),
    case("CONFIG SET", "bytes of a value", &[], &["100 times: CONFIG SET locale-collate C(x)n"]),
    case("DBSIZE", "keys", &[STRINGS], &["1000 times: DBSIZE"]),
    case("DEBUG", "keys of a digest", &[STRINGS], &["DEBUG DIGEST"]),
    case("DEBUG", "keys of digests", &[STRINGS], &["DEBUG DIGEST-VALUE [k#]"]),
    case("DEBUG", "keys to make", &[], &["DEBUG POPULATE {n}"]),
    case("FLUSHALL", "keys", &[STRINGS], &["FLUSHALL"]),
    case("FLUSHALL", "databases", &[DATABASES], &["FLUSHALL SYNC"]).from(1000).with("databases", "{n}0"),
    case("FLUSHALL", "databases with a key in common", &["n times: SELECT @; SET k v EX 1000"], &["FLUSHALL SYNC"])
        .from(1000)
        .with("databases", "{n}0"),
    case("FLUSHALL", "requests", &[], &["n times: FLUSHALL"]).from(10).with("databases", "10000"),
    case(
        "FLUSHALL",
        "keys that one client waits for",
        &["n times: XADD x@ 1-1 f v", "waiter: XREAD BLOCK 0 STREAMS [x#] [$]"],
        &["FLUSHALL"],
    ),
    case("FLUSHALL", "watched keys of many databases", &["n times: SELECT @; SET k v; WATCH k"], &["FLUSHALL"])
        .from(1000)
        .with("databases", "{n}0"),
    case("FLUSHALL", "awaited keys of many databases", &["waiters: SELECT 1; BLPOP k@ 0"], &["FLUSHALL"])
        .from(500)
        .with("databases", "{n}0"),
    case("FLUSHDB", "keys", &[STRINGS], &["FLUSHDB"]),
    case("FLUSHDB", "databases", &[DATABASES], &["100 times: SELECT @; FLUSHDB"]).from(1000).with("databases", "{n}0"),
    case("INFO", "databases", &[DATABASES], &["INFO keyspace"]).from(1000).with("databases", "{n}0"),
    case("INFO", "sections", &[], &["INFO [memory]"]),
    case("INFO", "unknown sections", &[], &["INFO [x#]"]),
    case("LATENCY HISTOGRAM", "names", &[], &["LATENCY HISTOGRAM [get]"]),
    case("LATENCY HISTOGRAM", "unknown names", &[], &["LATENCY HISTOGRAM [x#]"]),
    case("LATENCY RESET", "events", &[], &["LATENCY RESET [x#]"]),
    case("MEMORY STATS", "databases", &[DATABASES], &["MEMORY STATS"]).from(1000).with("databases", "{n}0"),
    case("MEMORY USAGE", "fields of a hash", &["HSET h [f# v]"], &["10 times: MEMORY USAGE h SAMPLES 0"]),
    case("SAVE", "keys", &[STRINGS], &["SAVE"]),
    case("SAVE", "databases", &[DATABASES], &["SAVE"]).from(1000).with("databases", "{n}0"),
    case("SAVE", "fields of a hash", &["HSET h [f# v]"], &["SAVE"]),
    case("SLOWLOG GET", "entries", SLOW, &["SLOWLOG GET -1"]).from(1000),
    case("SLOWLOG LEN", "entries", SLOW, &["1000 times: SLOWLOG LEN"]).from(1000),
    case("SLOWLOG RESET", "entries", SLOW, &["SLOWLOG RESET"]).from(1000),
    case("SWAPDB", "keys", &[STRINGS], &["SWAPDB 0 1"]),
    case("SWAPDB", "watched keys", &[STRINGS, "WATCH [k#]"], &["SWAPDB 0 1"]),
    case("SWAPDB", "databases", &[DATABASES], &["100 times: SWAPDB @ @+"]).from(1000).with("databases", "{n}0"),
];
