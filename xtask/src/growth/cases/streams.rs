//! Streams, their groups and consumers, and the clients that wait for their entries.

use super::super::case::{Case, case};

/// A stream of `n` entries.
const STREAM: &str = "n times: XADD x @-1 f v";
/// A group of the stream.
const GROUP: &str = "XGROUP CREATE x g 0 MKSTREAM";
/// All entries are pending.
const PENDING: &str = "XREADGROUP GROUP g c STREAMS x >";
/// `n` streams of an entry.
const STREAMS: &str = "n times: XADD x@ 1-1 f v";
/// A group of each of them.
const GROUPS: &str = "n times: XGROUP CREATE x@ g 0";
/// `n` groups of the stream.
const MANY_GROUPS: &str = "n times: XGROUP CREATE x g@ 0 MKSTREAM";
/// `n` consumers of the group.
const CONSUMERS: &str = "n times: XGROUP CREATECONSUMER x g c@";
/// `n` consumers, each with a pending entry.
const CONSUMERS_WITH_ENTRIES: &str = "n times: XREADGROUP GROUP g c@ COUNT 1 STREAMS x >";

pub const CASES: &[Case] = &[
    case("XACK", "entries", &[GROUP, STREAM, PENDING], &["XACK x g [#-1]"]),
    case("XACK", "repetitions of an entry", &[GROUP, STREAM, PENDING], &["XACK x g [1-1]"]),
    case("XACK", "consumers", &[GROUP, STREAM, CONSUMERS_WITH_ENTRIES], &["XACK x g [#-1]"]),
    case("XACKDEL", "entries", &[GROUP, STREAM, PENDING], &["XACKDEL x g IDS {n} [#-1]"]),
    case(
        "XACKDEL",
        "entries, acknowledged by all groups",
        &[GROUP, STREAM, PENDING],
        &["XACKDEL x g ACKED IDS {n} [#-1]"],
    ),
    case("XADD", "entries", &[], &["n times: XADD x @-1 f v"]),
    case("XADD", "fields", &[], &["XADD x 1-1 [f# v]"]),
    case("XADD", "groups", &[MANY_GROUPS], &["1000 times: XADD x * f v"]),
    case("XADD", "entries that are trimmed", &[], &["n times: XADD x MAXLEN 10 @-1 f v"]),
    case(
        "XADD",
        "waiters for one stream",
        &["waiters: XREAD BLOCK 0 STREAMS x $"],
        &["XADD x 1-1 f v", "XADD x 2-1 f v"],
    )
    .from(1000),
    case("XAUTOCLAIM", "entries", &[GROUP, STREAM, PENDING], &["XAUTOCLAIM x g d 0 0 COUNT {n} JUSTID"]),
    case(
        "XAUTOCLAIM",
        "entries that are deleted",
        &[GROUP, STREAM, PENDING, "XDEL x [#-1]"],
        &["XAUTOCLAIM x g d 0 0 COUNT {n}"],
    ),
    case("XCLAIM", "entries", &[GROUP, STREAM, PENDING], &["XCLAIM x g d 0 [#-1]"]),
    case("XDEL", "entries", &[STREAM], &["XDEL x [#-1]"]),
    case("XDEL", "entries, from the front one by one", &[STREAM], &["n times: XDEL x @-1; XRANGE x - + COUNT 1"]),
    case(
        "XDEL",
        "entries, each after the first is kept",
        &[STREAM, "XADD x *  f v"],
        &["n times: XDEL x @+-1; XRANGE x 1-2 + COUNT 1"],
    ),
    case("XDELEX", "entries", &[STREAM], &["XDELEX x IDS {n} [#-1]"]),
    case("XDELEX", "groups", &[MANY_GROUPS, "100 times: XADD x @-1 f v"], &["100 times: XDELEX x DELREF IDS 1 @-1"])
        .from(2000),
    case("XGROUP CREATE", "groups", &["XADD x 1-1 f v"], &["n times: XGROUP CREATE x g@ 0"]),
    case("XGROUP CREATECONSUMER", "consumers", &[GROUP], &["n times: XGROUP CREATECONSUMER x g c@"]),
    case("XGROUP DELCONSUMER", "consumers", &[GROUP, CONSUMERS], &["n times: XGROUP DELCONSUMER x g c@"]),
    case("XGROUP DELCONSUMER", "entries", &[GROUP, STREAM, PENDING], &["XGROUP DELCONSUMER x g c"]),
    case(
        "XGROUP DELCONSUMER",
        "consumers with entries",
        &[GROUP, STREAM, CONSUMERS_WITH_ENTRIES],
        &["n times: XGROUP DELCONSUMER x g c@"],
    ),
    case("XGROUP DESTROY", "groups", &[MANY_GROUPS], &["n times: XGROUP DESTROY x g@"]),
    case("XGROUP DESTROY", "entries", &[GROUP, STREAM, PENDING], &["XGROUP DESTROY x g"]),
    case("XGROUP SETID", "groups", &[MANY_GROUPS], &["n times: XGROUP SETID x g@ $"]),
    case("XINFO CONSUMERS", "consumers", &[GROUP, STREAM, CONSUMERS_WITH_ENTRIES], &["XINFO CONSUMERS x g"]),
    case("XINFO GROUPS", "groups", &[MANY_GROUPS], &["XINFO GROUPS x"]),
    case(
        "XINFO GROUPS",
        "groups of a stream with deleted entries",
        &[STREAM, "n times: XGROUP CREATE x g@ @-1", "XDEL x {half}-1"],
        &["XINFO GROUPS x"],
    )
    .from(5000),
    case("XINFO STREAM", "entries", &[GROUP, STREAM, PENDING], &["XINFO STREAM x FULL COUNT 0"]),
    case("XINFO STREAM", "consumers", &[GROUP, STREAM, CONSUMERS_WITH_ENTRIES], &["XINFO STREAM x FULL"]).from(5000),
    case("XLEN", "entries", &[STREAM], &["n times: XLEN x"]),
    case("XPENDING", "entries", &[GROUP, STREAM, PENDING], &["XPENDING x g - + {n}"]),
    case("XPENDING", "consumers", &[GROUP, STREAM, CONSUMERS_WITH_ENTRIES], &["XPENDING x g"]),
    case(
        "XPENDING",
        "entries of other consumers",
        &[GROUP, STREAM, CONSUMERS_WITH_ENTRIES],
        &["100 times: XPENDING x g - + 10 c{n}"],
    ),
    case("XRANGE", "entries", &[STREAM], &["XRANGE x - +"]),
    case("XRANGE", "entries before the range", &[STREAM], &["n times: XRANGE x @-1 @-1"]),
    case("XREAD", "streams", &[STREAMS], &["XREAD STREAMS [x#] [0]"]),
    case("XREAD", "repetitions of a stream", &[STREAMS], &["XREAD STREAMS [x1] [0]"]),
    case(
        "XREAD",
        "streams that one client waits for",
        &[STREAMS],
        &["waiter: XREAD BLOCK 0 STREAMS [x#] [$]", "XADD x{half} 2-1 f v", "XADD x 1-1 f v"],
    ),
    case("XREADGROUP", "streams", &[STREAMS, GROUPS], &["XREADGROUP GROUP g c STREAMS [x#] [>]"]),
    case("XREADGROUP", "entries", &[GROUP, STREAM], &["XREADGROUP GROUP g c STREAMS x >"]),
    case("XREADGROUP", "pending entries, read again", &[GROUP, STREAM, PENDING], &["XREADGROUP GROUP g c STREAMS x 0"]),
    case(
        "XREADGROUP",
        "entries, one by one and acknowledged",
        &[GROUP, STREAM],
        &["n times: XREADGROUP GROUP g c COUNT 1 STREAMS x >; XACK x g @-1"],
    ),
    case(
        "XREADGROUP",
        "waiters of one group, and entries",
        &[GROUP, "waiters: XREADGROUP GROUP g c@ BLOCK 0 STREAMS x >"],
        &["n times: XADD x @-1 f v", "XREADGROUP GROUP g d STREAMS x >"],
    )
    .from(500)
    .square("each entry is offered to all waiters of its stream, as by Redis"),
    case("XREADGROUP", "consumers", &[GROUP, STREAM], &["n times: XREADGROUP GROUP g c@ COUNT 1 STREAMS x >"]),
    case("XREVRANGE", "entries", &[STREAM], &["XREVRANGE x + -"]),
    case("XSETID", "requests", &[STREAM], &["n times: XSETID x 999999@-1"]),
    case("XTRIM", "entries, at once", &[STREAM], &["XTRIM x MAXLEN 10"]),
    case("XTRIM", "entries, one by one", &[STREAM], &["n times: XTRIM x MINID @-2"]),
    case("XTRIM", "entries with references", &[GROUP, STREAM, PENDING], &["XTRIM x MAXLEN 0 DELREF"]),
];
