//! Strings, bitmaps and HyperLogLogs.

use super::super::case::{Case, case};

/// `n` strings.
const STRINGS: &str = "MSET [k# 1]";
/// A string of `n` bytes.
const LONG: &str = "SETRANGE k {n} x";

pub const CASES: &[Case] = &[
    case("APPEND", "appends to one string", &[], &["n times: APPEND k 0123456789"]),
    case("DECR", "keys", &[STRINGS], &["n times: DECR k@"]),
    case("DECRBY", "keys", &[STRINGS], &["n times: DECRBY k@ 2"]),
    case("DELEX", "keys", &[STRINGS], &["n times: DELEX k@ IFEQ 1"]),
    case("DELIFEQ", "keys", &[STRINGS], &["n times: DELIFEQ k@ 1"]),
    case("DIGEST", "keys", &[STRINGS], &["n times: DIGEST k@"]),
    case("DIGEST", "bytes", &["SETRANGE k {n}0 x"], &["1000 times: DIGEST k"]),
    case("GET", "keys", &[STRINGS], &["n times: GET k@"]),
    case("GET", "bytes", &["SETRANGE k {n}0 x"], &["100 times: GET k"]),
    case("GET", "bytes of a large value", &[LONG], &["GET k"]).from(4_000_000),
    case("GETDEL", "keys", &[STRINGS], &["n times: GETDEL k@"]),
    case("GETEX", "keys, with expiries of their own", &[STRINGS], &["n times: GETEX k@ EX 1000@"]),
    case("GETRANGE", "bytes of the string, not of the range", &["SETRANGE k {n}00 x"], &["n times: GETRANGE k @ @"]),
    case("GETSET", "keys", &[STRINGS], &["n times: GETSET k@ 2"]),
    case("INCR", "keys", &[STRINGS], &["n times: INCR k@"]),
    case("INCRBY", "keys", &[STRINGS], &["n times: INCRBY k@ 2"]),
    case("INCRBYFLOAT", "keys", &[STRINGS], &["n times: INCRBYFLOAT k@ 0.5"]),
    case("LCS", "bytes of both strings", &["SETRANGE a {n} x", "SETRANGE b {n} x"], &["LCS a b LEN"])
        .from(1000)
        .square("it compares every byte of one string with every byte of the other"),
    case("MGET", "keys", &[STRINGS], &["MGET [k#]"]),
    case("MGET", "repetitions of a key", &[STRINGS], &["MGET [k1]"]),
    case("MSET", "keys", &[], &["MSET [k# v]"]),
    case("MSET", "repetitions of a key", &[], &["MSET [k v]"]),
    case("MSETEX", "keys", &[], &["MSETEX {n} [k# v] EX 1000"]),
    case("MSETNX", "keys", &[], &["MSETNX [k# v]"]),
    case("MSETNX", "repetitions of a key", &[], &["MSETNX [k v]"]),
    case("PSETEX", "keys, with one expiry", &[], &["n times: PSETEX k@ 100000000 v"]),
    case("SET", "keys, with expiries that fall", &[], &["n times: SET k@ v EX 9@"]),
    case("SET", "bytes of a large value", &[], &["SET k (x)n"]).from(4_000_000),
    case("SET", "overwrites of one key", &[], &["n times: SET k v@"]),
    case("SET", "databases with the key", &[], &["n times: SELECT @; SET k v EX 1000"])
        .from(3000)
        .with("databases", "{n}0"),
    case("SETEX", "keys", &[], &["n times: SETEX k@ 1000 v"]),
    case("SETNX", "keys", &[], &["n times: SETNX k@ v"]),
    case("SETRANGE", "appends to one string", &[], &["n times: SETRANGE k @ x"]),
    case("STRLEN", "keys", &[STRINGS], &["n times: STRLEN k@"]),
    case("SUBSTR", "keys", &[STRINGS], &["n times: SUBSTR k@ 0 1"]),
    case("BITCOUNT", "bytes", &["SETRANGE k {n}00 x"], &["1000 times: BITCOUNT k"]),
    case("BITFIELD", "operations", &[], &["BITFIELD k [SET u8 # 1]"]),
    case("BITFIELD", "requests that make the string longer", &[], &["n times: BITFIELD k SET u8 @0 1"]),
    case("BITFIELD_RO", "operations", &[LONG], &["BITFIELD_RO k [GET u8 #]"]),
    case("BITOP", "bytes", &["SETRANGE a {n}00 x", "SETRANGE b {n}00 x"], &["10 times: BITOP AND d a b"]),
    case("BITOP", "short sources beside a long one", &[LONG, STRINGS], &["BITOP OR d k [k#]"]),
    case("BITOP", "missing sources beside a long one", &[LONG], &["BITOP XOR d k [k#]"]),
    case("BITPOS", "bytes", &["SETRANGE k {n}00 x"], &["1000 times: BITPOS k 1"]),
    case("GETBIT", "bits", &[LONG], &["n times: GETBIT k @"]),
    case("SETBIT", "requests that make the string longer", &[], &["n times: SETBIT k @0 1"]),
    case("PFADD", "elements", &[], &["PFADD p [e#]"]),
    case("PFADD", "requests", &[], &["n times: PFADD p e@"]),
    case("PFCOUNT", "keys", &["n times: PFADD p@ e@"], &["PFCOUNT [p#]"]).from(5000),
    case("PFDEBUG", "elements", &["PFADD p [e#]"], &["PFDEBUG GETREG p"]),
    case("PFMERGE", "keys", &["n times: PFADD p@ e@"], &["PFMERGE d [p#]"]).from(5000),
];
