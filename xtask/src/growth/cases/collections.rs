//! Hashes and sets.

use super::super::case::{Case, case};

/// A hash of `n` fields.
const HASH: &str = "HSET h [f# 1]";
/// Expiries of all its fields.
const EXPIRIES: &str = "HEXPIRE h 1000 FIELDS {n} [f#]";
/// A set of `n` members.
const SET: &str = "SADD s [m#]";
/// `n` sets of a member, each another one.
const SMALL_SETS: &str = "n times: SADD s@ m@";
/// `n` sets with two common members.
const COMMON: &str = "n times: SADD s@ m0 m1";

pub const CASES: &[Case] = &[
    case("HDEL", "fields", &[HASH], &["HDEL h [f#]"]),
    case("HDEL", "fields that expire", &[HASH, EXPIRIES], &["HDEL h [f#]"]),
    case("HEXISTS", "fields", &[HASH], &["n times: HEXISTS h f@"]),
    case("HEXPIRE", "fields, with one expiry", &[HASH], &["HEXPIRE h 1000 FIELDS {n} [f#]"]),
    case("HEXPIRE", "fields, with expiries that fall", &[HASH], &["n times: HEXPIRE h 9@ FIELDS 1 f@"]),
    case("HEXPIRE", "fields that expire at once", &[HASH], &["HEXPIRE h 0 FIELDS {n} [f#]"]),
    case("HEXPIRE", "repetitions of a field", &[HASH], &["HEXPIRE h 1000 FIELDS {n} [f1]"]),
    case("HEXPIREAT", "fields", &[HASH], &["HEXPIREAT h 9999999999 FIELDS {n} [f#]"]),
    case("HEXPIRETIME", "fields", &[HASH, EXPIRIES], &["HEXPIRETIME h FIELDS {n} [f#]"]),
    case("HGET", "fields", &[HASH], &["n times: HGET h f@"]),
    case("HGET", "fields that have expired", &[HASH, "HPEXPIRE h 1 FIELDS {n} [f#]"], &["100 times: HGET h f1"]),
    case("HGETALL", "fields", &[HASH], &["HGETALL h"]),
    case("HGETALL", "fields that expire", &[HASH, EXPIRIES], &["HGETALL h"]),
    case("HGETDEL", "fields", &[HASH], &["HGETDEL h FIELDS {n} [f#]"]),
    case("HGETEX", "fields", &[HASH], &["HGETEX h EX 1000 FIELDS {n} [f#]"]),
    case("HINCRBY", "fields", &[HASH], &["n times: HINCRBY h f@ 1"]),
    case("HINCRBYFLOAT", "fields", &[HASH], &["n times: HINCRBYFLOAT h f@ 0.5"]),
    case("HKEYS", "fields", &[HASH], &["HKEYS h"]),
    case("HLEN", "fields", &[HASH], &["n times: HLEN h"]),
    case("HLEN", "fields that expire", &[HASH, EXPIRIES], &["1000 times: HLEN h"]),
    case("HMGET", "fields", &[HASH], &["HMGET h [f#]"]),
    case("HMSET", "fields", &[], &["HMSET h [f# v]"]),
    case("HPERSIST", "fields", &[HASH, EXPIRIES], &["HPERSIST h FIELDS {n} [f#]"]),
    case("HPEXPIRE", "fields", &[HASH], &["HPEXPIRE h 1000000 FIELDS {n} [f#]"]),
    case("HPEXPIREAT", "fields", &[HASH], &["HPEXPIREAT h 9999999999999 FIELDS {n} [f#]"]),
    case("HPEXPIRETIME", "fields", &[HASH, EXPIRIES], &["HPEXPIRETIME h FIELDS {n} [f#]"]),
    case("HPTTL", "fields", &[HASH, EXPIRIES], &["HPTTL h FIELDS {n} [f#]"]),
    case("HRANDFIELD", "fields, nearly all drawn", &["HSET h [f# 1] x 1 y 1"], &["HRANDFIELD h {n} WITHVALUES"]),
    case("HRANDFIELD", "fields, half of them drawn", &[HASH], &["HRANDFIELD h {half}"]),
    case("HRANDFIELD", "fields, with repetitions", &[HASH], &["HRANDFIELD h -{n}"]),
    case("HRANDFIELD", "fields that expire", &[HASH, EXPIRIES], &["HRANDFIELD h {half}"]),
    case("HRANDFIELD", "fields that are gone", &[HASH, "HDEL h [f#]", "HSET h x 1 y 1"], &["1000 times: HRANDFIELD h"]),
    case("HSCAN", "fields", &[HASH], &["HSCAN h 0 COUNT {n}"]),
    case("HSET", "fields, at once", &[], &["HSET h [f# v]"]),
    case("HSET", "fields, one by one", &[], &["n times: HSET h f@ v"]),
    case("HSET", "repetitions of a field", &[], &["HSET h [f #]"]),
    case("HSET", "bytes of a value, beside others", &["HSET h [f# 1]"], &["n times: HSET h f (a)n"])
        .from(500)
        .square("n values of n bytes are sent"),
    case("HSETEX", "fields", &[], &["HSETEX h EX 1000 FIELDS {n} [f# v]"]),
    case("HSETNX", "fields", &[], &["n times: HSETNX h f@ v"]),
    case("HSTRLEN", "fields", &[HASH], &["n times: HSTRLEN h f@"]),
    case("HTTL", "fields", &[HASH, EXPIRIES], &["HTTL h FIELDS {n} [f#]"]),
    case("HVALS", "fields", &[HASH], &["HVALS h"]),
    case("SADD", "members", &[], &["SADD s [m#]"]),
    case("SADD", "integers, in falling order", &[], &["n times: SADD s -@"]),
    case("SADD", "repetitions of a member", &[], &["SADD s [m]"]),
    case("SCARD", "members", &[SET], &["n times: SCARD s"]),
    case("SDIFF", "small sets, and members of the first", &[SET, SMALL_SETS], &["SDIFF s [s#]"]).from(4000),
    case("SDIFF", "small sets without a common member", &[SET, "n times: SADD s@ x@"], &["SDIFF s [s#]"]).from(4000),
    case("SDIFF", "sets of integers", &["SADD s [#]", "n times: SADD s@ -@"], &["SDIFF s [s#]"]).from(4000),
    case("SDIFF", "repetitions of a large set", &[SET, "SADD t [x#]"], &["SDIFF s [t]"])
        .from(1000)
        .square("each of n sets has n members"),
    case("SDIFFSTORE", "small sets, and members of the first", &[SET, SMALL_SETS], &["SDIFFSTORE d s [s#]"]).from(4000),
    case("SINTER", "sets with common members", &[COMMON], &["SINTER [s#]"]),
    case("SINTER", "members of both sets", &[SET, "SADD t [m#]"], &["SINTER s t"]),
    case("SINTER", "repetitions of a large set", &[SET], &["SINTER [s]"])
        .from(1000)
        .square("each of n members is looked up in n sets"),
    case("SINTERCARD", "sets with common members", &[COMMON], &["SINTERCARD {n} [s#]"]),
    case("SINTERCARD", "members, up to a limit", &[SET, "SADD t [m#]"], &["1000 times: SINTERCARD 2 s t LIMIT 10"]),
    case("SINTERSTORE", "sets with common members", &[COMMON], &["SINTERSTORE d [s#]"]),
    case("SISMEMBER", "members", &[SET], &["n times: SISMEMBER s m@"]),
    case("SMEMBERS", "members", &[SET], &["SMEMBERS s"]),
    case("SMISMEMBER", "members", &[SET], &["SMISMEMBER s [m#]"]),
    case("SMOVE", "members", &[SET], &["n times: SMOVE s t m@"]),
    case("SPOP", "members, one by one", &[SET], &["n times: SPOP s"]),
    case("SPOP", "members, nearly all at once", &["SADD s [m#] x y"], &["SPOP s {n}"]),
    case("SPOP", "integers, one by one", &["SADD s [#]"], &["n times: SPOP s"]),
    case("SRANDMEMBER", "members, nearly all drawn", &["SADD s [m#] x y"], &["SRANDMEMBER s {n}"]),
    case("SRANDMEMBER", "members, with repetitions", &[SET], &["SRANDMEMBER s -{n}"]),
    case("SRANDMEMBER", "members that are gone", &[SET, "SREM s [m#]", "SADD s x y"], &["1000 times: SRANDMEMBER s"]),
    case("SREM", "members", &[SET], &["SREM s [m#]"]),
    case("SREM", "integers", &["SADD s [#]"], &["SREM s [#]"]),
    case("SSCAN", "members", &[SET], &["SSCAN s 0 COUNT {n}"]),
    case("SSCAN", "members that are gone", &[SET, "SREM s [m#]", "SADD s x"], &["100 times: SSCAN s 0 COUNT 1000"]),
    case("SUNION", "small sets", &[SMALL_SETS], &["SUNION [s#]"]),
    case("SUNION", "sets with common members", &[COMMON], &["SUNION [s#]"]),
    case("SUNION", "a large set and small ones", &["SADD s [m#]", "n times: SADD s@ x@"], &["SUNION s [s#]"]),
    case("SUNION", "small sets of integers", &["n times: SADD s@ @"], &["SUNION [s#]"]),
    case("SUNION", "members of both sets", &[SET, "SADD t [m#]"], &["SUNION s t"]),
    case("SUNION", "repetitions of a large set", &[SET], &["SUNION [s]"])
        .from(1000)
        .square("each of n sets has n members"),
    case("SUNIONSTORE", "small sets", &[SMALL_SETS], &["SUNIONSTORE d [s#]"]),
];
