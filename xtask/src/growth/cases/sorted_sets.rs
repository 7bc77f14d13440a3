//! Sorted sets and geo indexes.

use super::super::case::{Case, case};

/// A sorted set of `n` members.
const ZSET: &str = "ZADD z [# m#]";
/// A sorted set of `n` members of equal score.
const EQUAL: &str = "ZADD z [0 m#]";
/// `n` sorted sets of a member, each another one.
const SMALL: &str = "n times: ZADD z@ 1 m@";
/// `n` sorted sets with a common member.
const COMMON: &str = "n times: ZADD z@ 1 m";
/// `n` places at one point, and no others.
const PLACES: &str = "GEOADD g [13.361389 38.115556 m#]";

pub const CASES: &[Case] = &[
    case("BZMPOP", "keys", &["ZADD z{n} 1 m"], &["BZMPOP 0 {n} [z#] MIN"]),
    case("BZPOPMAX", "keys", &["ZADD z{n} 1 m"], &["BZPOPMAX [z#] 0"]),
    case("BZPOPMIN", "keys", &["ZADD z{n} 1 m"], &["BZPOPMIN [z#] 0"]),
    case(
        "BZPOPMIN",
        "keys that one client waits for",
        &[],
        &["waiter: BZPOPMIN [z#] 0", "ZADD z1 1 m", "BZPOPMIN z{n}0 0.001"],
    ),
    case("BZPOPMIN", "waiters for one key", &["waiters: BZPOPMIN z 0"], &["ZADD z [# m#]", "BZPOPMIN z 0.001"])
        .from(1000),
    case("ZADD", "members, at once", &[], &["ZADD z [# m#]"]),
    case("ZADD", "members, one by one with falling scores", &[], &["n times: ZADD z -@ m@"]),
    case("ZADD", "repetitions of a member", &["ZADD z [# m#]"], &["ZADD z [# m]"]),
    case("ZADD", "members of equal score", &[], &["ZADD z [0 m#]"]),
    case("ZCARD", "members", &[ZSET], &["n times: ZCARD z"]),
    case("ZCOUNT", "members", &[ZSET], &["n times: ZCOUNT z @ +inf"]),
    case("ZDIFF", "small sorted sets, and members of the first", &[SMALL, "ZADD z1 [# m#]"], &["ZDIFF {n} [z#]"])
        .from(4000),
    case(
        "ZDIFF",
        "small sorted sets without a common member",
        &["n times: ZADD z@ 1 x@", "ZADD z1 [# m#]"],
        &["ZDIFF {n} [z#]"],
    )
    .from(4000),
    case(
        "ZDIFFSTORE",
        "small sorted sets, and members of the first",
        &[SMALL, "ZADD z1 [# m#]"],
        &["ZDIFFSTORE d {n} [z#]"],
    )
    .from(4000),
    case("ZINCRBY", "members", &[ZSET], &["n times: ZINCRBY z -5 m@"]),
    case("ZINTER", "sorted sets with a common member", &[COMMON], &["ZINTER {n} [z#]"]),
    case("ZINTER", "weights", &[COMMON], &["ZINTER {n} [z#] WEIGHTS [2] WITHSCORES"]),
    case("ZINTERCARD", "sorted sets with a common member", &[COMMON], &["ZINTERCARD {n} [z#]"]),
    case("ZINTERSTORE", "sorted sets with a common member", &[COMMON], &["ZINTERSTORE d {n} [z#]"]),
    case("ZINTERSTORE", "members of both sorted sets", &[ZSET, "ZADD y [# m#]"], &["ZINTERSTORE d 2 z y"]),
    case("ZLEXCOUNT", "members", &[EQUAL], &["n times: ZLEXCOUNT z - +"]),
    case("ZMPOP", "keys", &["ZADD z{n} 1 m"], &["ZMPOP {n} [z#] MIN"]),
    case("ZMPOP", "members", &[ZSET], &["ZMPOP 1 z MAX COUNT {n}"]),
    case("ZMSCORE", "members", &[ZSET], &["ZMSCORE z [m#]"]),
    case("ZPOPMAX", "members, one by one", &[ZSET], &["n times: ZPOPMAX z"]),
    case("ZPOPMIN", "members, one by one", &[ZSET], &["n times: ZPOPMIN z"]),
    case("ZPOPMIN", "members, at once", &[ZSET], &["ZPOPMIN z {n}"]),
    case("ZRANDMEMBER", "members, nearly all drawn", &["ZADD z [# m#] 0 x 0 y"], &["ZRANDMEMBER z {n} WITHSCORES"]),
    case("ZRANDMEMBER", "members, with repetitions", &[ZSET], &["ZRANDMEMBER z -{n}"]),
    case("ZRANGE", "members", &[ZSET], &["ZRANGE z 0 -1 WITHSCORES"]),
    case("ZRANGE", "members before the offset", &[ZSET], &["n times: ZRANGE z -inf +inf BYSCORE LIMIT @ 1"]),
    case("ZRANGEBYLEX", "members", &[EQUAL], &["ZRANGEBYLEX z - +"]),
    case("ZRANGEBYLEX", "members before the offset", &[EQUAL], &["n times: ZRANGEBYLEX z - + LIMIT @ 1"]),
    case("ZRANGEBYSCORE", "members", &[ZSET], &["ZRANGEBYSCORE z -inf +inf"]),
    case("ZRANGESTORE", "members", &[ZSET], &["ZRANGESTORE d z 0 -1"]),
    case("ZRANK", "members", &[ZSET], &["n times: ZRANK z m@"]),
    case("ZREM", "members", &[ZSET], &["ZREM z [m#]"]),
    case("ZREMRANGEBYLEX", "members", &[EQUAL], &["ZREMRANGEBYLEX z - +"]),
    case("ZREMRANGEBYRANK", "members, at once", &[ZSET], &["ZREMRANGEBYRANK z 1 -2"]),
    case("ZREMRANGEBYRANK", "members, one by one", &[ZSET], &["n times: ZREMRANGEBYRANK z 0 0"]),
    case("ZREMRANGEBYSCORE", "members", &[ZSET], &["ZREMRANGEBYSCORE z -inf +inf"]),
    case("ZREVRANGE", "members", &[ZSET], &["ZREVRANGE z 0 -1"]),
    case("ZREVRANGEBYLEX", "members", &[EQUAL], &["ZREVRANGEBYLEX z + -"]),
    case("ZREVRANGEBYSCORE", "members", &[ZSET], &["ZREVRANGEBYSCORE z +inf -inf"]),
    case("ZREVRANK", "members", &[ZSET], &["n times: ZREVRANK z m@"]),
    case("ZSCAN", "members", &[ZSET], &["ZSCAN z 0 COUNT {n}"]),
    case("ZSCORE", "members", &[ZSET], &["n times: ZSCORE z m@"]),
    case("ZUNION", "small sorted sets", &[SMALL], &["ZUNION {n} [z#]"]),
    case("ZUNION", "members of both sorted sets", &[ZSET, "ZADD y [# m#]"], &["ZUNION 2 z y"]),
    case("ZUNIONSTORE", "small sorted sets", &[SMALL], &["ZUNIONSTORE d {n} [z#] WEIGHTS [3]"]),
    case("ZUNIONSTORE", "sets", &["n times: SADD s@ m@"], &["ZUNIONSTORE d {n} [s#] AGGREGATE MAX"]),
    case("GEOADD", "places", &[], &["GEOADD g [13.361389 38.115556 m#]"]),
    case("GEODIST", "places", &[PLACES], &["n times: GEODIST g m1 m@"]),
    case("GEOHASH", "places", &[PLACES], &["GEOHASH g [m#]"]),
    case("GEOPOS", "places", &[PLACES], &["GEOPOS g [m#]"]),
    case("GEORADIUS", "places, sorted", &[PLACES], &["GEORADIUS g 13 38 200 km WITHDIST ASC"]),
    case("GEORADIUS_RO", "places", &[PLACES], &["GEORADIUS_RO g 13 38 200 km"]),
    case("GEORADIUSBYMEMBER", "places", &[PLACES], &["GEORADIUSBYMEMBER g m1 10 km WITHCOORD"]),
    case("GEORADIUSBYMEMBER_RO", "places", &[PLACES], &["GEORADIUSBYMEMBER_RO g m1 10 km DESC"]),
    case(
        "GEOSEARCH",
        "places, and how many are wanted",
        &[PLACES],
        &["GEOSEARCH g FROMLONLAT 13 38 BYBOX 300 300 km COUNT {half}"],
    ),
    case("GEOSEARCH", "places, a few wanted", &[PLACES], &["GEOSEARCH g FROMMEMBER m1 BYRADIUS 20000 km COUNT 10"]),
    case("GEOSEARCHSTORE", "places", &[PLACES], &["GEOSEARCHSTORE d g FROMMEMBER m1 BYRADIUS 10 km STOREDIST"]),
];
