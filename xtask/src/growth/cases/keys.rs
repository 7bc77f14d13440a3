//! Keys of all types.

use super::super::case::{Case, case};

/// `n` strings.
const STRINGS: &str = "MSET [k# v]";
/// `n` strings that expire.
const EXPIRING: &str = "MSETEX {n} [k# v] EX 1000";
/// `n` streams.
const STREAMS: &str = "n times: XADD x@ 1-1 f v";

pub const CASES: &[Case] = &[
    case("COPY", "keys", &[STRINGS], &["n times: COPY k@ c@"]),
    case("COPY", "fields of a hash", &["HSET h [f# v]"], &["COPY h c"]),
    case("COPY", "entries of a stream", &["n times: XADD x @-1 f v"], &["COPY x c"]),
    case("DUMP", "elements of a set", &["SADD s [m#]"], &["DUMP s"]),
    case("DUMP", "entries of a stream", &["n times: XADD x @-1 f v"], &["DUMP x"]),
    case("DEL", "keys", &[STRINGS], &["DEL [k#]"]),
    case("DEL", "repetitions of a key", &[STRINGS], &["DEL [k1]"]),
    case("DEL", "keys that one client waits for", &[STREAMS, "waiter: XREAD BLOCK 0 STREAMS [x#] [9]"], &["DEL [x#]"]),
    case(
        "DEL",
        "keys whose removal one client waits for",
        &["n times: XGROUP CREATE x@ g $ MKSTREAM", "waiter: XREADGROUP GROUP g c BLOCK 0 STREAMS [x#] [>]"],
        &["DEL [x#]"],
    ),
    case("DEL", "keys that one client watches", &[STRINGS, "other: WATCH [k#]"], &["DEL [k#]"]),
    case("DEL", "clients that watch one key", &[STRINGS, "others: WATCH k1"], &["DEL k1"]).from(1000),
    case("DEL", "subscribed patterns", &[STRINGS, "other: PSUBSCRIBE [p#]"], &["DEL [k#]"]),
    case("EXISTS", "keys", &[STRINGS], &["EXISTS [k#]"]),
    case("EXPIRE", "keys", &[STRINGS], &["n times: EXPIRE k@ 1000@"]),
    case("EXPIRE", "changes of the expiry of one key", &[STRINGS], &["n times: EXPIRE k1 1000@"]),
    case("EXPIREAT", "keys", &[STRINGS], &["n times: EXPIREAT k@ 9999999999"]),
    case("EXPIRETIME", "keys", &[EXPIRING], &["n times: EXPIRETIME k@"]),
    case("KEYS", "keys", &[STRINGS], &["KEYS *"]),
    case("KEYS", "bytes of a key and stars of the pattern", &["SET (a)n v"], &["KEYS (*a)nb"])
        .from(1000)
        .square("each star may begin at each byte"),
    case("KEYS", "bytes of a pattern of one class", &["SET a v"], &["KEYS (a)n"]),
    case("MOVE", "keys", &[STRINGS], &["n times: MOVE k@ 1"]),
    case("OBJECT ENCODING", "keys", &[STRINGS], &["n times: OBJECT ENCODING k@"]),
    case("OBJECT FREQ", "keys", &[STRINGS], &["n times: OBJECT FREQ k@"]).with("maxmemory-policy", "allkeys-lfu"),
    case("OBJECT IDLETIME", "keys", &[STRINGS], &["n times: OBJECT IDLETIME k@"]),
    case("OBJECT REFCOUNT", "keys", &[STRINGS], &["n times: OBJECT REFCOUNT k@"]),
    case("PERSIST", "keys", &[EXPIRING], &["n times: PERSIST k@"]),
    case("PEXPIRE", "keys", &[STRINGS], &["n times: PEXPIRE k@ 1000000@"]),
    case("PEXPIREAT", "keys, with one expiry", &[STRINGS], &["n times: PEXPIREAT k@ 9999999999999"]),
    case("PEXPIRETIME", "keys", &[EXPIRING], &["n times: PEXPIRETIME k@"]),
    case("PTTL", "keys", &[EXPIRING], &["n times: PTTL k@"]),
    case("RANDOMKEY", "keys", &[STRINGS], &["n times: RANDOMKEY"]),
    case("RANDOMKEY", "keys that are gone", &[STRINGS, "DEL [k#]", "SET k v"], &["1000 times: RANDOMKEY"]),
    case("RENAME", "keys", &[STRINGS], &["n times: RENAME k@ r@"]),
    case("RENAME", "renames of one key", &[STRINGS], &["n times: RENAME k1 r; RENAME r k1"]),
    case("RENAMENX", "keys", &[STRINGS], &["n times: RENAMENX k@ r@"]),
    case("SCAN", "keys, in one request", &[STRINGS], &["SCAN 0 COUNT {n}"]),
    case("SCAN", "keys that are gone", &[STRINGS, "DEL [k#]"], &["100 times: SCAN 0 COUNT 1000"]),
    case("SORT", "elements", &["RPUSH l [#]"], &["SORT l"]),
    case("SORT", "elements, by a pattern", &["RPUSH l [#]", STRINGS], &["SORT l BY k* GET k* GET # ALPHA"]),
    case("SORT", "patterns of GET", &["RPUSH l 1"], &["SORT l [GET k*]"]),
    case("SORT_RO", "elements", &["RPUSH l [#]"], &["SORT_RO l DESC"]),
    case("TOUCH", "keys", &[STRINGS], &["TOUCH [k#]"]),
    case("TTL", "keys", &[EXPIRING], &["n times: TTL k@"]),
    case("TYPE", "keys", &[STRINGS], &["n times: TYPE k@"]),
    case("UNLINK", "keys", &[STRINGS], &["UNLINK [k#]"]),
    case("UNLINK", "fields of a hash", &["HSET h [f# v]"], &["UNLINK h"]),
];
