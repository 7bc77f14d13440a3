//! Lists, and the clients that wait for their elements.

use super::super::case::{Case, case};

/// A list of `n` elements.
const LIST: &str = "RPUSH l [e#]";
/// A list of `n` equal elements.
const EQUAL: &str = "RPUSH l [e]";
/// `n` lists of an element.
const LISTS: &str = "n times: RPUSH l@ e";

pub const CASES: &[Case] = &[
    case("BLMOVE", "elements", &[LIST], &["n times: BLMOVE l d LEFT RIGHT 0"]),
    case(
        "BLMOVE",
        "waiters with a destination in common",
        &["waiters: BLMOVE l@ d LEFT RIGHT 0"],
        &["n times: RPUSH l@ e", "BLMOVE d d LEFT LEFT 0"],
    )
    .from(1000),
    case(
        "BLMOVE",
        "a chain of waiters",
        &["waiters: BLMOVE l@ l@+ LEFT RIGHT 0"],
        &["RPUSH l1 e", "BLMOVE l{n} l{n} LEFT LEFT 0.1"],
    )
    .from(1000),
    case("BLMPOP", "keys", &["RPUSH l{n} e"], &["BLMPOP 0 {n} [l#] LEFT"]),
    case("BLPOP", "keys", &["RPUSH l{n} e"], &["BLPOP [l#] 0"]),
    case(
        "BLPOP",
        "keys that one client waits for",
        &[],
        &["waiter: BLPOP [l#] 0", "RPUSH l{half} e", "BLPOP x{n} 0.001"],
    ),
    case(
        "BLPOP",
        "keys that one client waits for when it leaves",
        &["waiter: BLPOP [l#] 0", "PING", "DEL l"],
        &["close", "BLPOP l 0.001"],
    ),
    case("BLPOP", "repetitions of a key", &[], &["waiter: BLPOP [l] 0", "RPUSH l e", "BLPOP x{n} 0.001"]),
    case("BLPOP", "waiters for one key, served at once", &["waiters: BLPOP l 0"], &["RPUSH l [e#]", "BLPOP l 0.001"])
        .from(1000),
    case(
        "BLPOP",
        "waiters for one key, served one by one",
        &["waiters: BLPOP l 0"],
        &["n times: RPUSH l e", "BLPOP l 0.001"],
    )
    .from(1000),
    case(
        "BLPOP",
        "waiters of another type than the key's",
        &["waiters: BLPOP l 0"],
        &["1000 times: ZADD l 1 m; DEL l", "BLPOP l 0.001"],
    )
    .from(1000),
    case("BRPOP", "keys", &["RPUSH l{n} e"], &["BRPOP [l#] 0"]),
    case("BRPOPLPUSH", "elements", &[LIST], &["n times: BRPOPLPUSH l l 0"]),
    case("LINDEX", "elements", &[LIST], &["1000 times: LINDEX l {half}"]),
    case("LINSERT", "elements", &[LIST], &["100 times: LINSERT l BEFORE e{half} x"]),
    case("LINSERT", "inserts at one place", &["RPUSH l a b"], &["n times: LINSERT l AFTER a x"]),
    case("LLEN", "keys", &[LISTS], &["n times: LLEN l@"]),
    case("LMOVE", "elements", &[LIST], &["n times: LMOVE l d LEFT LEFT"]),
    case("LMPOP", "keys", &["RPUSH l{n} e"], &["LMPOP {n} [l#] LEFT"]),
    case("LMPOP", "elements", &[LIST], &["LMPOP 1 l RIGHT COUNT {n}"]),
    case("LPOP", "elements, at once", &[LIST], &["LPOP l {n}"]),
    case("LPOP", "elements, one by one", &[LIST], &["n times: LPOP l"]),
    case("LPOS", "elements", &[EQUAL], &["LPOS l e COUNT 0"]),
    case("LPOS", "elements before the rank", &[EQUAL], &["10 times: LPOS l e RANK -{n}"]),
    case("LPUSH", "elements, at once", &[], &["LPUSH l [e#]"]),
    case("LPUSH", "elements, one by one", &[], &["n times: LPUSH l e@"]),
    case("LPUSHX", "elements", &["LPUSH l e"], &["LPUSHX l [e#]"]),
    case("LRANGE", "elements", &[LIST], &["LRANGE l 0 -1"]),
    case("LREM", "equal elements", &[EQUAL], &["LREM l 0 e"]),
    case("LREM", "every other element", &["RPUSH l [e#2 x]"], &["LREM l 0 x"]),
    case("LREM", "every other element, from the end", &["RPUSH l [e#2 x]"], &["LREM l -{n} x"]),
    case("LREM", "elements, from the front one by one", &[EQUAL], &["n times: LREM l 1 e"]),
    case("LSET", "elements", &[LIST], &["100 times: LSET l {half} x"]),
    case("LSET", "elements, each with a longer one", &["RPUSH l [e]"], &["n times: LSET l 1 (a)n"]).from(200),
    case("LTRIM", "elements", &[LIST], &["LTRIM l {half} -2"]),
    case("LTRIM", "elements, one by one", &[LIST], &["n times: LTRIM l 1 -1"]),
    case("RPOP", "elements, one by one", &[LIST], &["n times: RPOP l"]),
    case("RPOPLPUSH", "moves within one list", &[LIST], &["n times: RPOPLPUSH l l"]),
    case("RPUSH", "elements", &[], &["RPUSH l [e#]"]),
    case(
        "RPUSH",
        "long elements",
        &[],
        &["n times: RPUSH l 0123456789012345678901234567890123456789012345678901234567890123456789@"],
    ),
    case("RPUSHX", "elements", &["RPUSH l e"], &["RPUSHX l [e#]"]),
];
