//! Transactions and watched keys.

use super::super::case::{Case, case};

pub const CASES: &[Case] = &[
    case("DISCARD", "queued commands", &[], &["MULTI", "n times: SET k@ v", "DISCARD"]),
    case("EXEC", "queued commands", &[], &["MULTI", "n times: SET k@ v", "EXEC"]),
    case(
        "EXEC",
        "queued writes of keys that one client waits for",
        &["waiter: XREAD BLOCK 0 STREAMS [x#] [$]"],
        &["MULTI", "n times: SET x@ v", "EXEC"],
    ),
    case(
        "EXEC",
        "queued pushes to a key with waiters",
        &["waiters: BLPOP l 0"],
        &["MULTI", "n times: RPUSH l e", "EXEC"],
    )
    .from(1000),
    case("EXEC", "watched keys", &[], &["WATCH [k#]", "MULTI", "EXEC"]),
    case("MULTI", "transactions", &[], &["n times: MULTI; SET k@ v; EXEC"]),
    case("UNWATCH", "keys", &["WATCH [k#]"], &["UNWATCH"]),
    case("UNWATCH", "watchers of one key", &["others: WATCH k"], &["close", "UNWATCH"]).from(2000),
    case("WATCH", "keys, at once", &[], &["WATCH [k#]"]),
    case("WATCH", "keys, one by one", &[], &["n times: WATCH k@"]),
    case("WATCH", "repetitions of a key", &["WATCH [k#]"], &["WATCH [k{n}]"]),
    case("WATCH", "keys when the client leaves", &["other: WATCH [k#]"], &["close"]),
    case("WATCH", "keys of a database that is emptied", &["MSET [k# v]", "WATCH [k#]"], &["FLUSHALL", "WATCH k"]),
];
