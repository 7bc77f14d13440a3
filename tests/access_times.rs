//! Proves that every command counts as an access to the keys for which it does on Redis, and to no others: by OBJECT IDLETIME under an LRU
//! policy, by OBJECT FREQ under an LFU policy, and both with CLIENT NO-TOUCH.

use std::collections::BTreeSet;
use std::fmt::Debug;

use ochre_testkit::command_table::CommandTable;
use ochre_testkit::{Client, Kind, Launch, Reply, Server, eventually};

/// The cases: what prepares the keys, separated by `|`, then the command. A word with an `@` names a key of the case. Every command that takes
/// keys has at least one.
const CASES: &str = "\
SET @a v => SET @a w
SET @a v => SET @a w NX
SET @a v => SET @a w XX
SET @a v => SET @a w GET
SET @a v => SET @a w NX GET
SET @a v => SET @a w KEEPTTL
SET @a v => SET @a w EXAT 1
RPUSH @a v => SET @a w
RPUSH @a v => SET @a w GET
SET @a v => SETNX @a w
SET @b v => SETNX @a w
SET @a v => SETEX @a 100 w
SET @a v => PSETEX @a 100000 w
SET @a v => GETSET @a w
SET @a v => GET @a
RPUSH @a v => GET @a
SET @a v | SET @b v => GETDEL @a
SET @a v => GETEX @a
SET @a v => GETEX @a EX 100
SET @a v EX 100 => GETEX @a PERSIST
SET @a v => GETEX @a PERSIST
SET @a v => GETRANGE @a 0 1
SET @a v => SUBSTR @a 0 1
SET @a v => STRLEN @a
SET @a v => APPEND @a w
SET @b v => APPEND @a w
RPUSH @a v => APPEND @a w
SET @a v => SETRANGE @a 0 w
SET @a v => SETRANGE @a 0 ''
SET @a v => SETRANGE @a -1 w
SET @a 1 => INCR @a
SET @a v => INCR @a
RPUSH @a v => INCR @a
SET @a 1 => INCRBY @a 2
SET @a 1 => DECR @a
SET @a 1 => DECRBY @a 2
SET @a 1 => INCRBYFLOAT @a 1.5
SET @a v | RPUSH @b v => MGET @a @b @c
SET @a v | RPUSH @b v => MSET @a 1 @b 2 @c 3
SET @a v | RPUSH @b v => MSETNX @c 1 @a 2 @b 3
SET @a v => MSETNX @c 1 @b 2
SET @a v | SET @b w => LCS @a @b
SET @a v => SETBIT @a 3 1
SET @a v => SETBIT @a 1 1
SET @a v => GETBIT @a 3
SET @a v => BITCOUNT @a
SET @a v => BITPOS @a 1
SET @a v | SET @b w | SET @c x => BITOP AND @c @a @b
SET @a v | SET @b w => BITOP NOT @b @a
SET @c v => BITOP AND @c @a @b
SET @a v => BITFIELD @a GET u8 0
SET @a v => BITFIELD @a SET u8 0 1
SET @a v => BITFIELD @a OVERFLOW FAIL INCRBY u8 0 255
SET @a v => BITFIELD_RO @a GET u8 0
PFADD @a x => PFADD @a y
PFADD @a x => PFADD @a x
PFADD @a x => PFADD @a
SET @a x => PFADD @a x
PFADD @a x => PFCOUNT @a
PFADD @a x | PFADD @b y => PFCOUNT @a @b
PFADD @a x | PFADD @b y => PFMERGE @a @b
PFADD @a x => PFMERGE @b @a
PFADD @a x => PFDEBUG ENCODING @a
SET @a v => EXISTS @a @b
SET @a v => TYPE @a
SET @a v => TTL @a
SET @a v EX 100 => PTTL @a
SET @a v => EXPIRETIME @a
SET @a v => PEXPIRETIME @a
SET @a v => EXPIRE @a 100
SET @a v => EXPIRE @a 100 XX
SET @a v => EXPIRE @a -1
SET @a v => EXPIRE @a v
SET @a v => PEXPIRE @a 100000
SET @a v => EXPIREAT @a 99999999999
SET @a v => PEXPIREAT @a 9999999999999
SET @a v EX 100 => PERSIST @a
SET @a v => PERSIST @a
SET @a v | SET @b v => TOUCH @a @b @c
SET @a v | SET @b v => DEL @a
SET @a v | SET @b v => UNLINK @a
SET @a v => COPY @a @b
SET @a v | SET @b v => COPY @a @b
SET @a v | SET @b v => COPY @a @b REPLACE
SET @a v | SET @b v => COPY @a @a
RPUSH @a v => COPY @a @b
SET @a v => COPY @a @a DB 1
SET @a v => MOVE @a 1
SET @a v | COPY @a @a DB 1 => MOVE @a 1
SET @a v => MOVE @a 0
SET @a v => RENAME @a @b
SET @a v | SET @b v => RENAME @a @b
RPUSH @a v => RENAME @a @b
SET @a v => RENAME @a @a
SET @a v => RENAME @b @a
SET @a v => RENAMENX @a @b
SET @a v | SET @b v => RENAMENX @a @b
SET @a v => RENAMENX @a @a
SET @a v => RENAMENX @b @a
RPUSH @a 2 1 => SORT @a
RPUSH @a 2 1 => SORT @a STORE @b
RPUSH @a 2 1 | SET @b v => SORT @a STORE @b
SET @b v => SORT @a STORE @b
SET @a v => SORT @a
RPUSH @a 2 1 | SET @b1 4 | SET @b2 3 | SET @c1 x => SORT @a BY @b* GET @c*
RPUSH @a 2 1 => SORT_RO @a
SET @a v => OBJECT ENCODING @a
SET @a v => OBJECT REFCOUNT @a
SET @a v => OBJECT IDLETIME @a
SET @a v => OBJECT FREQ @a
SET @a v => MEMORY USAGE @a
SET @a v => WATCH @a
RPUSH @a v => LPUSH @a w
SET @a v => LPUSH @a w
RPUSH @a v => RPUSH @a w
RPUSH @a v => LPUSHX @a w
RPUSH @a v => RPUSHX @a w
RPUSH @a v w => LPOP @a
RPUSH @a v w => LPOP @a 1
RPUSH @a v w => LPOP @a 0
RPUSH @a v w => RPOP @a
RPUSH @a v | SET @b v => RPOP @a
SET @a v => RPOP @a
RPUSH @a v => LLEN @a
RPUSH @a v => LINDEX @a 0
RPUSH @a v => LINDEX @a 9
RPUSH @a v => LRANGE @a 0 -1
RPUSH @a v => LSET @a 0 w
RPUSH @a v => LSET @a 9 w
RPUSH @a v w => LREM @a 0 w
RPUSH @a v w => LREM @a 0 x
RPUSH @a v w => LTRIM @a 0 0
RPUSH @a v w => LTRIM @a 0 -1
RPUSH @a v => LINSERT @a BEFORE v w
RPUSH @a v => LINSERT @a BEFORE x w
RPUSH @a v => LPOS @a v
RPUSH @a v w | RPUSH @b v => LMOVE @a @b LEFT RIGHT
RPUSH @a v w => LMOVE @a @b LEFT RIGHT
RPUSH @a v w => LMOVE @a @a LEFT RIGHT
RPUSH @a v w | SET @b v => LMOVE @a @b LEFT RIGHT
RPUSH @b v w => LMOVE @a @b LEFT RIGHT
RPUSH @a v w | RPUSH @b v => RPOPLPUSH @a @b
RPUSH @a v w | RPUSH @b v => LMPOP 2 @a @b LEFT
RPUSH @b v w => LMPOP 2 @a @b LEFT COUNT 1
RPUSH @a v w | RPUSH @b v => BLPOP @a @b 0
RPUSH @b v w => BLPOP @a @b 0
RPUSH @a v w => BRPOP @a 0
RPUSH @a v w | RPUSH @b v => BLMOVE @a @b LEFT RIGHT 0
RPUSH @a v w | RPUSH @b v => BRPOPLPUSH @a @b 0
RPUSH @a v w | RPUSH @b v => BLMPOP 0 2 @a @b LEFT
HSET @a f v => HSET @a f w
HSET @a f v => HSET @a g w
SET @a v => HSET @a g w
HSET @a f v => HMSET @a g w
HSET @a f v => HSETNX @a f w
HSET @a f v => HSETNX @a g w
HSET @a f v => HGET @a f
HSET @a f v => HGET @a g
HSET @a f v => HMGET @a f g
HSET @a f v => HGETALL @a
HSET @a f v => HKEYS @a
HSET @a f v => HVALS @a
HSET @a f v => HLEN @a
HSET @a f v => HSTRLEN @a f
HSET @a f v => HEXISTS @a f
HSET @a f v g w => HDEL @a f
HSET @a f v => HDEL @a g
HSET @a f 1 => HINCRBY @a f 1
HSET @a f v => HINCRBY @a f 1
HSET @a f 1 => HINCRBYFLOAT @a f 1.5
HSET @a f v => HRANDFIELD @a
HSET @a f v => HRANDFIELD @a 2
HSET @a f v => HSCAN @a 0
HSET @a f v => HEXPIRE @a 100 FIELDS 1 f
HSET @a f v => HEXPIRE @a 100 XX FIELDS 1 f
HSET @a f v => HEXPIRE @a 100 FIELDS 1 g
HSET @a f v => HPEXPIRE @a 100000 FIELDS 1 f
HSET @a f v => HEXPIREAT @a 99999999999 FIELDS 1 f
HSET @a f v => HPEXPIREAT @a 9999999999999 FIELDS 1 f
HSET @a f v => HPERSIST @a FIELDS 1 f
HSET @a f v => HTTL @a FIELDS 1 f
HSET @a f v => HPTTL @a FIELDS 1 f
HSET @a f v => HEXPIRETIME @a FIELDS 1 f
HSET @a f v => HPEXPIRETIME @a FIELDS 1 f
HSET @a f v g w => HGETDEL @a FIELDS 1 f
HSET @a f v => HGETDEL @a FIELDS 1 g
HSET @a f v => HGETEX @a FIELDS 1 f
HSET @a f v => HGETEX @a EX 100 FIELDS 1 f
HSET @a f v => HSETEX @a EX 100 FIELDS 1 f w
HSET @a f v => HSETEX @a FNX FIELDS 1 f w
HSET @a f v => HSETEX @a FXX FIELDS 1 f w
SADD @a x => SADD @a y
SADD @a x => SADD @a x
SET @a x => SADD @a x
SADD @a x y => SREM @a x
SADD @a x y => SREM @a z
SADD @a x => SCARD @a
SADD @a x => SISMEMBER @a x
SADD @a x => SMISMEMBER @a x y
SADD @a x => SMEMBERS @a
SADD @a x y => SPOP @a
SADD @a x y => SPOP @a 1
SADD @a x y => SPOP @a 0
SADD @a x => SRANDMEMBER @a
SADD @a x => SRANDMEMBER @a 2
SADD @a x y | SADD @b z => SMOVE @a @b x
SADD @a x y | SADD @b z => SMOVE @a @b w
SADD @a x y | SADD @b x => SMOVE @a @b x
SADD @a x y => SMOVE @a @a x
SADD @a x y => SMOVE @a @b x
SADD @b x y => SMOVE @a @b x
SADD @a x y | SET @b z => SMOVE @a @b x
SADD @a x y | SADD @b x => SDIFF @a @b
SADD @b x => SDIFF @a @b
SADD @a x y | SADD @b x => SINTER @a @b
SADD @b x => SINTER @a @b
SADD @a x => SINTER @a @b
SADD @a x y | SADD @b x => SUNION @a @b
SADD @a x y | SADD @b x => SINTERCARD 2 @a @b
SADD @a x => SINTERCARD 2 @a @b
SADD @a x y | SADD @b x | SADD @d v => SDIFFSTORE @d @a @b
SADD @a x y | SADD @b x | SADD @d v => SINTERSTORE @d @a @b
SADD @a x y | SADD @d v => SINTERSTORE @d @a @b
SADD @a x y | SADD @b x => SUNIONSTORE @d @a @b
SADD @a x y | SADD @b x => SUNIONSTORE @a @a @b
SADD @a x => SSCAN @a 0
ZADD @a 1 x => ZADD @a 2 y
ZADD @a 1 x => ZADD @a 1 x
ZADD @a 1 x => ZADD @a NX 2 x
ZADD @a 1 x => ZADD @a XX 2 y
ZADD @a 1 x => ZADD @a INCR 2 x
SET @a x => ZADD @a 2 y
ZADD @a 1 x => ZINCRBY @a 1 x
ZADD @a 1 x 2 y => ZREM @a x
ZADD @a 1 x => ZREM @a y
ZADD @a 1 x => ZCARD @a
ZADD @a 1 x => ZCOUNT @a 0 5
ZADD @a 1 x => ZLEXCOUNT @a - +
ZADD @a 1 x => ZSCORE @a x
ZADD @a 1 x => ZMSCORE @a x y
ZADD @a 1 x => ZRANK @a x
ZADD @a 1 x => ZREVRANK @a x
ZADD @a 1 x => ZRANGE @a 0 -1
ZADD @a 1 x => ZREVRANGE @a 0 -1
ZADD @a 1 x => ZRANGEBYSCORE @a 0 5
ZADD @a 1 x => ZREVRANGEBYSCORE @a 5 0
ZADD @a 1 x => ZRANGEBYLEX @a - +
ZADD @a 1 x => ZREVRANGEBYLEX @a + -
ZADD @a 1 x | ZADD @b 1 y => ZRANGESTORE @b @a 0 -1
ZADD @b 1 y => ZRANGESTORE @b @a 0 -1
ZADD @a 1 x 2 y => ZREMRANGEBYRANK @a 0 0
ZADD @a 1 x 2 y => ZREMRANGEBYSCORE @a 1 1
ZADD @a 1 x 2 y => ZREMRANGEBYLEX @a [x [x
ZADD @a 1 x 2 y => ZREMRANGEBYRANK @a 5 6
ZADD @a 1 x 2 y => ZPOPMIN @a
ZADD @a 1 x 2 y => ZPOPMIN @a 0
ZADD @a 1 x 2 y => ZPOPMAX @a 1
ZADD @a 1 x 2 y | ZADD @b 1 x => ZMPOP 2 @a @b MIN
ZADD @a 1 x 2 y | ZADD @b 1 x => BZPOPMIN @a @b 0
ZADD @b 1 x 2 y => BZPOPMAX @a @b 0
ZADD @a 1 x 2 y | ZADD @b 1 x => BZMPOP 0 2 @a @b MIN
ZADD @a 1 x => ZRANDMEMBER @a
ZADD @a 1 x => ZRANDMEMBER @a 2
ZADD @a 1 x => ZSCAN @a 0
ZADD @a 1 x | ZADD @b 1 x => ZDIFF 2 @a @b
ZADD @a 1 x | SADD @b x => ZINTER 2 @a @b
ZADD @a 1 x => ZINTER 2 @b @a
ZADD @a 1 x | ZADD @b 1 x => ZUNION 2 @a @b
ZADD @a 1 x | ZADD @b 1 x => ZINTERCARD 2 @a @b
ZADD @a 1 x | ZADD @b 1 x | SET @d v => ZDIFFSTORE @d 2 @a @b
ZADD @a 1 x | ZADD @b 1 x => ZINTERSTORE @d 2 @a @b
ZADD @a 1 x | ZADD @b 1 x => ZUNIONSTORE @a 2 @a @b
GEOADD @a 13 38 x => GEOADD @a 14 38 y
GEOADD @a 13 38 x => GEOADD @a 13 38 x
GEOADD @a 13 38 x => GEODIST @a x x
GEOADD @a 13 38 x => GEOHASH @a x
GEOADD @a 13 38 x => GEOPOS @a x
GEOADD @a 13 38 x => GEORADIUS @a 13 38 10 km
GEOADD @a 13 38 x => GEORADIUS @a 13 38 10 km STORE @b
GEOADD @a 13 38 x => GEORADIUS_RO @a 13 38 10 km
GEOADD @a 13 38 x => GEORADIUSBYMEMBER @a x 10 km
GEOADD @a 13 38 x => GEORADIUSBYMEMBER_RO @a x 10 km
GEOADD @a 13 38 x => GEOSEARCH @a FROMMEMBER x BYRADIUS 10 km
GEOADD @a 13 38 x | SET @b v => GEOSEARCHSTORE @b @a FROMMEMBER x BYRADIUS 10 km
XADD @a 1-1 f v => XADD @a 2-1 f v
XADD @a 1-1 f v => XADD @a 1-1 f v
SET @a v => XADD @a 1-1 f v
XADD @b 1-1 f v => XADD @a NOMKSTREAM 1-1 f v
XADD @a 1-1 f v => XLEN @a
XADD @a 1-1 f v => XRANGE @a - +
XADD @a 1-1 f v => XREVRANGE @a + -
XADD @a 1-1 f v => XREAD STREAMS @a 0
XADD @a 1-1 f v => XREAD STREAMS @a $
XADD @a 1-1 f v | XADD @b 1-1 f v => XREAD COUNT 1 STREAMS @a @b 0 0
XADD @a 1-1 f v => XDEL @a 1-1
XADD @a 1-1 f v => XDEL @a 2-1
XADD @a 1-1 f v => XDELEX @a IDS 1 1-1
XADD @a 1-1 f v => XTRIM @a MAXLEN 0
XADD @a 1-1 f v => XTRIM @a MAXLEN 5
XADD @a 1-1 f v => XSETID @a 5-1
XADD @a 1-1 f v => XGROUP CREATE @a g 0
XGROUP CREATE @a g 0 MKSTREAM => XGROUP CREATE @a g 0
XGROUP CREATE @a g 0 MKSTREAM => XGROUP DESTROY @a g
XGROUP CREATE @a g 0 MKSTREAM => XGROUP SETID @a g 0
XGROUP CREATE @a g 0 MKSTREAM => XGROUP CREATECONSUMER @a g c
XGROUP CREATE @a g 0 MKSTREAM => XGROUP DELCONSUMER @a g c
XADD @a 1-1 f v | XGROUP CREATE @a g 0 => XREADGROUP GROUP g c STREAMS @a >
XADD @a 1-1 f v | XGROUP CREATE @a g 0 => XREADGROUP GROUP g c STREAMS @a 0
XADD @a 1-1 f v | XGROUP CREATE @a g 0 => XREADGROUP GROUP h c STREAMS @a >
XADD @a 1-1 f v | XGROUP CREATE @a g 0 | XREADGROUP GROUP g c STREAMS @a > => XACK @a g 1-1
XADD @a 1-1 f v | XGROUP CREATE @a g 0 => XACK @a g 1-1
XADD @a 1-1 f v | XGROUP CREATE @a g 0 | XREADGROUP GROUP g c STREAMS @a > => XACKDEL @a g IDS 1 1-1
XADD @a 1-1 f v | XGROUP CREATE @a g 0 | XREADGROUP GROUP g c STREAMS @a > => XPENDING @a g
XADD @a 1-1 f v | XGROUP CREATE @a g 0 | XREADGROUP GROUP g c STREAMS @a > => XPENDING @a g - + 5
XADD @a 1-1 f v | XGROUP CREATE @a g 0 | XREADGROUP GROUP g c STREAMS @a > => XCLAIM @a g d 0 1-1
XADD @a 1-1 f v | XGROUP CREATE @a g 0 | XREADGROUP GROUP g c STREAMS @a > => XAUTOCLAIM @a g d 0 0
XADD @a 1-1 f v | XGROUP CREATE @a g 0 => XINFO STREAM @a
XADD @a 1-1 f v | XGROUP CREATE @a g 0 => XINFO GROUPS @a
XADD @a 1-1 f v | XGROUP CREATE @a g 0 => XINFO CONSUMERS @a g
SET @a v => DUMP @a
RPUSH @a v => DUMP @a
SET @a v => RESTORE @a 0 \"\\x00\\x05hello\\x0b\\x00\\n\\xadb\\x05\\x98\\xab\\xc9\\x83\"
SET @a v => RESTORE @a 0 \"\\x00\\x05hello\\x0b\\x00\\n\\xadb\\x05\\x98\\xab\\xc9\\x83\" REPLACE
SET @a v => RESTORE @a 0 \"\\x00\\x05hello\\x0b\\x00\\n\\xadb\\x05\\x98\\xab\\xc9\\x83\" REPLACE IDLETIME 0
SET @a v => RESTORE @a 0 nonsense REPLACE
SET @a v => RESTORE @b 0 \"\\x00\\x05hello\\x0b\\x00\\n\\xadb\\x05\\x98\\xab\\xc9\\x83\"
SET @a v => RESTORE-ASKING @a 0 \"\\x00\\x05hello\\x0b\\x00\\n\\xadb\\x05\\x98\\xab\\xc9\\x83\" REPLACE
SET @a v => EVAL return{redis.call([[GET]],KEYS[1])} 1 @a
SET @a v => EVAL return{redis.call([[SET]],KEYS[1],1)} 1 @a
SET @a v => EVAL return{redis.call([[GET]],[[@a]])} 0
SET @a v => EVAL return{KEYS[1]} 1 @a
SET @a v => EVAL_RO return{redis.call([[GET]],KEYS[1])} 1 @a
SET @a v | SCRIPT LOAD return{redis.call([[GET]],KEYS[1])} => EVALSHA bc4a6ba05ad7442bb29215316831b88a26c4ca56 1 @a
SET @a v | SCRIPT LOAD return{redis.call([[GET]],KEYS[1])} => EVALSHA_RO bc4a6ba05ad7442bb29215316831b88a26c4ca56 1 @a
";

/// Commands with keys that have no case, with the reason.
const WITHOUT_CASE: &[(&str, &str)] = &[
    ("delex", "not in Redis 8.2"),
    ("delifeq", "not in Redis"),
    ("digest", "not in Redis 8.2"),
    ("fcall", "it runs as EVAL does, and a library has several lines"),
    ("fcall_ro", "it runs as EVAL_RO does, and a library has several lines"),
    ("msetex", "not in Redis 8.2"),
    ("spublish", "its key is a channel"),
    ("ssubscribe", "its key is a channel"),
    ("sunsubscribe", "its key is a channel"),
];

/// A case under one prefix.
struct Case {
    preparation: Vec<String>,
    command: String,
    keys: BTreeSet<String>,
}

impl Case {
    /// Parses a line. Keys get a prefix, so that no two cases share one.
    fn parse(line: &str, prefix: &str) -> Case {
        let line = line.replace('@', prefix);
        let (preparation, command) = line.split_once(" => ").expect("a case has an arrow");
        let keys = line.split_whitespace().filter(|word| word.starts_with(prefix) && !word.contains('*'));
        Case {
            preparation: preparation.split(" | ").map(str::to_string).collect(),
            command: command.to_string(),
            keys: keys.map(str::to_string).collect(),
        }
    }
}

/// A server, and what is done on it.
struct Subject {
    server: Server,
    client: Client,
}

impl Subject {
    fn start(kind: Kind) -> Subject {
        let server = Launch::new(kind).start();
        let client = server.client();
        Subject { server, client }
    }

    fn prepare(&mut self, cases: &[Case]) {
        for line in cases.iter().flat_map(|case| &case.preparation) {
            let reply = self.client.run(line);
            assert!(!reply.is_error(), "{line}: {reply}");
        }
    }

    fn run(&mut self, cases: &[Case], no_touch: bool) {
        let mut client = self.server.client();
        client.run(if no_touch { "CLIENT NO-TOUCH ON" } else { "CLIENT NO-TOUCH OFF" });
        for case in cases {
            client.run(&case.command);
        }
    }

    /// The replies of `OBJECT …` for all keys of all cases and for one more key, at one moment.
    fn object(&mut self, subcommand: &str, cases: &[Case], control: &str) -> (Vec<Option<i64>>, i64) {
        let keys = cases.iter().flat_map(|case| &case.keys).map(String::as_str).chain([control]);
        let words = |key: &str| ["OBJECT", subcommand, key].map(|word| word.as_bytes().to_vec()).to_vec();
        let mut requests = vec![vec![b"MULTI".to_vec()]];
        requests.extend(keys.map(words));
        requests.push(vec![b"EXEC".to_vec()]);
        let replies = self.client.pipeline(&requests).expect("replies");
        let mut figures: Vec<Option<i64>> =
            replies[replies.len() - 1].items().iter().map(|reply| reply.as_integer()).collect();
        let control = figures.pop().flatten().expect("the key is there");
        (figures, control)
    }
}

/// What a command did to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    /// There is no such key.
    Absent,
    /// It was not accessed.
    Left,
    /// It was accessed, or created.
    Accessed,
    /// Its frequency is that of a new key.
    New,
}

/// All cases, and each once more with keys of a wrong type. `run` makes the keys different from those of other runs.
fn cases(run: &str) -> Vec<Case> {
    let mut cases = Vec::new();
    for (number, line) in CASES.lines().enumerate() {
        cases.push(Case::parse(line, &format!("{run}:{number}:")));
        let mut wrong = Case::parse(line, &format!("{run}:{number}:wrong:"));
        let is_string = ["SET ", "PFADD "].iter().any(|word| line.starts_with(word));
        let write = if is_string { "RPUSH" } else { "SET" };
        wrong.preparation = wrong.keys.iter().map(|key| format!("{write} {key} v")).collect();
        cases.push(wrong);
    }
    cases
}

/// Compares what was seen on Redis and on Ochre.
fn compare<S: Debug + PartialEq>(cases: &[Case], title: &str, ours: &[S], theirs: &[S], differences: &mut Vec<String>) {
    let keys = cases.iter().flat_map(|case| case.keys.iter().map(move |key| (case, key)));
    for ((case, key), (ours, theirs)) in keys.zip(ours.iter().zip(theirs)) {
        if ours != theirs {
            let preparation = case.preparation.join(" | ");
            differences.push(format!("{title}: {preparation} => {}: {key} {ours:?}, Redis {theirs:?}", case.command));
        }
    }
}

#[test]
fn idle_times_are_as_on_redis() {
    let runs = [(cases("touch"), false), (cases("notouch"), true)];
    let mut subjects = [Kind::subject(), Kind::Redis].map(Subject::start);
    for subject in &mut subjects {
        runs.iter().for_each(|(cases, _)| subject.prepare(cases));
        subject.client.run("SET control 1");
    }
    // An idle time counts whole seconds, so a key that is not accessed may differ by one second from the control key.
    for subject in &mut subjects {
        eventually("all keys are idle", || subject.object("IDLETIME", &[], "control").1 >= 3);
    }
    let mut differences = Vec::new();
    for (cases, no_touch) in &runs {
        let seen = subjects.each_mut().map(|subject| {
            subject.run(cases, *no_touch);
            let (idle, control) = subject.object("IDLETIME", cases, "control");
            let access = |idle: Option<i64>| match idle {
                None => Access::Absent,
                Some(idle) if control - idle >= 2 => Access::Accessed,
                Some(_) => Access::Left,
            };
            idle.into_iter().map(access).collect::<Vec<_>>()
        });
        let title = if *no_touch { "with NO-TOUCH" } else { "without NO-TOUCH" };
        compare(cases, title, &seen[0], &seen[1], &mut differences);
    }
    assert!(differences.is_empty(), "{} differences:\n{}", differences.len(), differences.join("\n"));
}

#[test]
fn frequencies_are_as_on_redis() {
    /// The frequency of a new key, and of one that was then accessed three times: each access counts one under these settings.
    const NEW: i64 = 5;
    const PREPARED: i64 = NEW + 3;
    let runs = [(cases("touch"), false), (cases("notouch"), true)];
    let mut subjects = [Kind::subject(), Kind::Redis].map(Subject::start);
    let mut differences = Vec::new();
    for subject in &mut subjects {
        let settings = "CONFIG SET maxmemory-policy allkeys-lfu lfu-log-factor 0 lfu-decay-time 0";
        assert_eq!(subject.client.run(settings), Reply::ok());
        subject.client.run("SET control 1");
    }
    for (cases, no_touch) in &runs {
        let seen = subjects.each_mut().map(|subject| {
            subject.prepare(cases);
            for key in cases.iter().flat_map(|case| &case.keys) {
                while subject.client.run(&format!("OBJECT FREQ {key}")).as_integer().is_some_and(|seen| seen < PREPARED)
                {
                    subject.client.run(&format!("TOUCH {key}"));
                }
            }
            let before = subject.object("FREQ", cases, "control").0;
            subject.run(cases, *no_touch);
            let after = subject.object("FREQ", cases, "control").0;
            let access = |(before, after): (Option<i64>, Option<i64>)| match (before, after) {
                (_, None) => Access::Absent,
                (Some(before), Some(after)) if before == after => Access::Left,
                (Some(before), Some(after)) if before < after => Access::Accessed,
                (_, Some(_)) => Access::New,
            };
            before.into_iter().zip(after).map(access).collect::<Vec<_>>()
        });
        let title = if *no_touch { "with NO-TOUCH" } else { "without NO-TOUCH" };
        compare(cases, title, &seen[0], &seen[1], &mut differences);
    }
    assert!(differences.is_empty(), "{} differences:\n{}", differences.len(), differences.join("\n"));
}

#[test]
fn every_command_with_keys_has_a_case() {
    let server = Launch::subject().start();
    let table = CommandTable::read(&mut server.client()).expect("a command table");
    let has_case = |name: &str| {
        let words = name.replace('|', " ").to_uppercase();
        CASES.lines().any(|line| {
            let command = line.split_once(" => ").map_or("", |(_, command)| command).to_uppercase();
            command.starts_with(&words) && command[words.len()..].starts_with(' ')
        })
    };
    let with_keys = table.commands.values().filter(|command| !command.key_specs.is_empty());
    let missing: Vec<&str> = with_keys
        .map(|command| command.name.as_str())
        .filter(|name| !has_case(name) && !WITHOUT_CASE.iter().any(|(row, _)| row == name))
        .collect();
    assert!(missing.is_empty(), "these commands need a case: {missing:?}");
}
