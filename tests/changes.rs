//! Proves that `rdb_changes_since_last_save` counts as Redis counts it, for every command that writes: save points and monitoring rely on it.

use ochre_testkit::{Client, Kind, Launch, Random, Server, eventually};

/// Each line: the commands that prepare the keys, separated by `;`, and behind `|` the command whose changes are counted. Without a `|`, the
/// keyspace is empty.
const COMMANDS: &str = r#"
SET a 1
SET a 1 | SET a 1
SET a 1 | SET a 2 NX
SET a 2 XX
SET a 1 | SET a 1 GET
SET a 1 EX 100
SET a 1 PXAT 1
SET a 1 | SET a 1 EXAT 1
SETNX a 1
SET a 1 | SETNX a 1
SETEX a 100 v
PSETEX a 100000 v
GETSET a 1
SET a 1 | GETSET a 1
MSET a 1 b 2 c 3
MSET a 1 a 2
MSETNX a 1 b 2
SET a 1 | MSETNX a 1 b 2
APPEND a x
APPEND a ""
SET a x | APPEND a ""
SETRANGE a 0 ""
SET a abc | SETRANGE a 0 ""
SET a abc | SETRANGE a 1 b
INCR a
INCRBY a 0
DECR a
INCRBYFLOAT a 0
GETDEL a
SET a 1 | GETDEL a
SET a 1 | GETEX a
SET a 1 | GETEX a PERSIST
SET a 1 EX 100 | GETEX a PERSIST
SET a 1 | GETEX a EX 100
SET a 1 | GETEX a EXAT 1
GETEX a EX 100
DEL a
SET a 1 | DEL a b
MSET a 1 b 1 c 1 | DEL a b c d
MSET a 1 b 1 c 1 | UNLINK a b c d
SET a 1 | EXPIRE a 100
SET a 1 | EXPIRE a -1
SET a 1 | PEXPIREAT a 1
SET a 1 | EXPIRE a 0
EXPIRE a 100
SET a 1 | EXPIRE a 100 XX
SET a 1 EX 100 | EXPIRE a 100 NX
SET a 1 EX 100 | EXPIRE a 50 GT
SET a 1 | PERSIST a
SET a 1 EX 100 | PERSIST a
PERSIST a
SET a 1 | RENAME a a
SET a 1 | RENAME a b
MSET a 1 b 1 | RENAME a b
SET a 1 | RENAMENX a b
MSET a 1 b 1 | RENAMENX a b
SET a 1 | RENAMENX a a
SET a 1 | MOVE a 1
MOVE a 1
SET a 1 | COPY a b
MSET a 1 b 1 | COPY a b
MSET a 1 b 1 | COPY a b REPLACE
SET a 1 | COPY a a
SET a 1 | COPY a b DB 1
COPY a b
TOUCH a
SET a 1 | TOUCH a
SETBIT a 3 0
SET a x | SETBIT a 3 0
SETBIT a 3 1
BITFIELD a SET u8 0 1
BITFIELD a SET u8 0 1 SET u8 8 1 INCRBY u8 0 1
SET a x | BITFIELD a GET u8 0
SET a x | BITFIELD a SET u8 0 120
SET a x | BITFIELD a OVERFLOW FAIL INCRBY u8 0 255
SET a x | BITOP NOT b a
BITOP NOT b a
SET b x | BITOP NOT b a
BITOP AND d a b
LPUSH a 1 2 3
RPUSH a 1
LPUSHX a 1
RPUSH a 1 | RPUSHX a 1 2
RPUSH a 1 2 3 | LPOP a
RPUSH a 1 2 3 | LPOP a 2
RPUSH a 1 2 3 | LPOP a 0
RPUSH a 1 2 3 | RPOP a 5
LPOP a
LPOP a 2
RPUSH a 1 2 3 | LMPOP 1 a LEFT COUNT 2
LMPOP 1 a LEFT
RPUSH a 1 2 3 | LSET a 0 1
RPUSH a 1 2 3 | LSET a 0 9
RPUSH a 1 2 3 | LINSERT a BEFORE 2 x
RPUSH a 1 2 3 | LINSERT a BEFORE 9 x
LINSERT a BEFORE 9 x
RPUSH a 1 2 3 1 | LREM a 0 1
RPUSH a 1 2 3 | LREM a 0 9
RPUSH a 1 2 3 | LTRIM a 0 -1
RPUSH a 1 2 3 | LTRIM a 1 1
RPUSH a 1 2 3 | LTRIM a 5 1
LTRIM a 0 1
RPUSH a 1 2 3 | LMOVE a a LEFT RIGHT
RPUSH a 1 | LMOVE a a LEFT RIGHT
RPUSH a 1 2 3 | LMOVE a b LEFT RIGHT
RPUSH a 1 2 3 | RPOPLPUSH a b
LMOVE a b LEFT RIGHT
RPUSH a 1 2 3 | BLPOP a 1
RPUSH a 1 2 3 | BRPOP a 1
RPUSH a 1 2 3 | BLMOVE a b LEFT RIGHT 1
RPUSH a 1 2 3 | BRPOPLPUSH a b 1
RPUSH a 1 2 3 | BLMPOP 1 1 a LEFT COUNT 2
BLPOP a 0.01
BLMOVE a b LEFT RIGHT 0.01
SADD s a b c
SADD s a | SADD s a
SADD s a | SADD s a b
SADD s a b c | SREM s a b z
SREM s a
SADD s a b c | SREM s z
SADD s a b c | SPOP s
SADD s a b c | SPOP s 2
SADD s a b c | SPOP s 3
SADD s a b c | SPOP s 10
SADD s a b c | SPOP s 0
SPOP s
SADD s a b c | SMOVE s t a
SADD s a b c | SMOVE s t z
SADD s a b c | SMOVE s s a
SADD s a b c ; SADD t a | SMOVE s t a
SADD s a b c | SINTERSTORE d s
SINTERSTORE d s
SET d x | SINTERSTORE d s
SADD s a b c | SUNIONSTORE d s t
SADD d a | SUNIONSTORE d s t
SADD s a b c | SDIFFSTORE d s
SADD d a | SDIFFSTORE d s
HSET h a 1 b 2
HSET h a 1 | HSET h a 1
HSET h a 1 | HSETNX h a 1
HSETNX h a 1
HMSET h a 1 b 2
HINCRBY h a 1
HINCRBYFLOAT h a 1
HSET h a 1 b 2 | HDEL h a b c
HSET h a 1 b 2 | HDEL h z
HDEL h z
HSET h a 1 b 2 | HGETDEL h FIELDS 2 a b
HSET h a 1 b 2 | HGETDEL h FIELDS 1 z
HSET h a 1 b 2 | HGETEX h EX 100 FIELDS 2 a b
HSET h a 1 b 2 | HGETEX h FIELDS 2 a b
HSET h a 1 b 2 | HGETEX h PERSIST FIELDS 2 a b
HSET h a 1 b 2 | HGETEX h PXAT 1 FIELDS 2 a b
HSET h a 1 b 2 | HGETEX h PXAT 1 FIELDS 1 a
HSETEX h EX 100 FIELDS 2 a 1 b 2
HSETEX h FIELDS 2 a 1 b 2
HSETEX h FXX FIELDS 1 a 1
HSET h a 1 b 2 | HSETEX h PXAT 1 FIELDS 1 a 1
HSET h a 1 b 2 | HEXPIRE h 100 FIELDS 2 a b
HSET h a 1 b 2 | HEXPIRE h 0 FIELDS 1 a
HSET h a 1 b 2 | HEXPIRE h 0 FIELDS 2 a b
HSET h a 1 b 2 | HPEXPIREAT h 1 FIELDS 2 a z
HSET h a 1 b 2 | HEXPIRE h 100 XX FIELDS 2 a b
HSET h a 1 b 2 | HEXPIRE h 100 FIELDS 1 z
HSET h a 1 b 2 | HPERSIST h FIELDS 2 a b
HSET h a 1 b 2 ; HEXPIRE h 100 FIELDS 2 a b | HPERSIST h FIELDS 2 a b
ZADD z 1 a 2 b
ZADD z 1 a | ZADD z 1 a
ZADD z 1 a | ZADD z 2 a
ZADD z 1 a | ZADD z NX 2 a
ZADD z XX 1 a
ZADD z 1 a | ZADD z GT 0 a
ZADD z 1 a | ZADD z INCR 0 a
ZADD z 1 a | ZADD z XX INCR 1 b
ZINCRBY z 1 a
ZADD z 1 a | ZINCRBY z 0 a
ZADD z 1 a 2 b 3 c | ZREM z a b x
ZREM z a
ZADD z 1 a 2 b 3 c | ZREM z x
ZADD z 1 a 2 b 3 c | ZREMRANGEBYRANK z 0 1
ZADD z 1 a 2 b 3 c | ZREMRANGEBYSCORE z 1 2
ZADD z 1 a 2 b 3 c | ZREMRANGEBYLEX z - +
ZADD z 1 a 2 b 3 c | ZREMRANGEBYSCORE z 10 20
ZADD z 1 a 2 b 3 c | ZPOPMIN z
ZADD z 1 a 2 b 3 c | ZPOPMAX z 2
ZADD z 1 a 2 b 3 c | ZPOPMIN z 0
ZPOPMIN z
ZADD z 1 a 2 b 3 c | ZMPOP 1 z MIN COUNT 2
ZADD z 1 a 2 b 3 c | BZPOPMIN z 1
ZADD z 1 a 2 b 3 c | BZMPOP 1 1 z MIN COUNT 2
ZADD z 1 a 2 b 3 c | ZUNIONSTORE d 1 z
ZUNIONSTORE d 1 z
ZADD d 1 a | ZUNIONSTORE d 1 z
ZADD z 1 a 2 b 3 c | ZINTERSTORE d 1 z
ZADD d 1 a | ZINTERSTORE d 1 z
ZADD z 1 a 2 b 3 c | ZDIFFSTORE d 1 z
ZADD z 1 a 2 b 3 c | ZRANGESTORE d z 0 1
ZADD d 1 a | ZRANGESTORE d z 0 1
ZRANGESTORE d z 0 1
GEOADD g 1 1 a 2 2 b
GEOADD g 1 1 a | GEOADD g 1 1 a
GEOADD g 1 1 a 2 2 b | GEOSEARCHSTORE d g FROMMEMBER a BYRADIUS 1000 km
GEOADD g 1 1 a 2 2 b | GEORADIUS g 1 1 1000 km STORE d
GEOADD d 1 1 a | GEOSEARCHSTORE d g FROMLONLAT 1 1 BYRADIUS 1000 km
GEOSEARCHSTORE d g FROMLONLAT 1 1 BYRADIUS 1000 km
RPUSH a 3 1 2 | SORT a STORE d
SORT a STORE d
SET d 1 | SORT a STORE d
RPUSH a 3 1 2 | SORT a
PFADD p a b
PFADD p
PFADD p | PFADD p
PFADD p a | PFADD p a
PFADD p a | PFCOUNT p
PFADD p a ; PFCOUNT p | PFCOUNT p
PFADD p a | PFCOUNT p p2
PFMERGE p
PFADD p a | PFMERGE d p
PFADD p a | PFMERGE p p
PFADD p a | PFDEBUG TODENSE p
PFADD p a | PFDEBUG GETREG p
PFADD p a | PFDEBUG ENCODING p
XADD s 1-1 a b
XADD s NOMKSTREAM 1-1 a b
XADD s 1-1 a b ; XADD s 1-2 a b | XADD s MAXLEN 1 1-3 a b
XADD s 1-1 a b ; XADD s 1-2 a b | XTRIM s MAXLEN 1
XADD s 1-1 a b ; XADD s 1-2 a b | XTRIM s MAXLEN 0
XADD s 1-1 a b ; XADD s 1-2 a b | XTRIM s MAXLEN 10
XTRIM s MAXLEN 10
XADD s 1-1 a b ; XADD s 1-2 a b | XDEL s 1-1 1-2
XADD s 1-1 a b ; XADD s 1-2 a b | XDEL s 9-1
XADD s 1-1 a b ; XADD s 1-2 a b | XDELEX s IDS 2 1-1 9-1
XADD s 1-1 a b ; XADD s 1-2 a b | XDELEX s IDS 1 9-1
XADD s 1-1 a b | XSETID s 5-5
XADD s 1-1 a b | XSETID s 1-1
XGROUP CREATE s g $ MKSTREAM
XADD s 1-1 a b | XGROUP CREATE s g 0
XADD s 1-1 a b ; XGROUP CREATE s g 0 | XGROUP CREATE s g 0
XADD s 1-1 a b ; XGROUP CREATE s g 0 | XGROUP SETID s g 0
XADD s 1-1 a b ; XGROUP CREATE s g 0 | XGROUP DESTROY s g
XADD s 1-1 a b ; XGROUP CREATE s g 0 | XGROUP DESTROY s h
XADD s 1-1 a b ; XGROUP CREATE s g 0 | XGROUP CREATECONSUMER s g c
XADD s 1-1 a b ; XGROUP CREATE s g 0 ; XGROUP CREATECONSUMER s g c | XGROUP CREATECONSUMER s g c
XADD s 1-1 a b ; XGROUP CREATE s g 0 ; XGROUP CREATECONSUMER s g c | XGROUP DELCONSUMER s g c
XADD s 1-1 a b ; XGROUP CREATE s g 0 | XGROUP DELCONSUMER s g c
XADD s 1-1 a b ; XADD s 1-2 a b ; XGROUP CREATE s g 0 | XREADGROUP GROUP g c STREAMS s >
XADD s 1-1 a b ; XADD s 1-2 a b ; XGROUP CREATE s g 0 | XREADGROUP GROUP g c NOACK STREAMS s >
XADD s 1-1 a b ; XADD s 1-2 a b ; XGROUP CREATE s g 0 ; XGROUP CREATECONSUMER s g c | XREADGROUP GROUP g c STREAMS s >
XADD s 1-1 a b ; XADD s 1-2 a b ; XGROUP CREATE s g 0 ; XREADGROUP GROUP g c STREAMS s > | XREADGROUP GROUP g c STREAMS s 0
XADD s 1-1 a b ; XADD s 1-2 a b ; XGROUP CREATE s g 0 ; XREADGROUP GROUP g c STREAMS s > | XREADGROUP GROUP g c STREAMS s >
XADD s 1-1 a b ; XADD s 1-2 a b ; XGROUP CREATE s g $ | XREADGROUP GROUP g c STREAMS s >
XADD s 1-1 a b ; XADD s 1-2 a b ; XGROUP CREATE s g $ | XREADGROUP GROUP g c STREAMS s 0
XADD s 1-1 a b ; XADD s 1-2 a b ; XGROUP CREATE s g $ ; XGROUP CREATECONSUMER s g c | XREADGROUP GROUP g c STREAMS s >
XADD s 1-1 a b ; XADD s 1-2 a b ; XGROUP CREATE s g 0 ; XREADGROUP GROUP g c STREAMS s > | XACK s g 1-1 1-2 9-9
XADD s 1-1 a b ; XGROUP CREATE s g 0 | XACK s g 1-1
XACK s g 1-1
XADD s 1-1 a b ; XADD s 1-2 a b ; XGROUP CREATE s g 0 ; XREADGROUP GROUP g c STREAMS s > | XACKDEL s g IDS 2 1-1 9-9
XADD s 1-1 a b ; XADD s 1-2 a b ; XGROUP CREATE s g 0 ; XREADGROUP GROUP g c STREAMS s > | XCLAIM s g d 0 1-1 1-2
XADD s 1-1 a b ; XADD s 1-2 a b ; XGROUP CREATE s g 0 ; XREADGROUP GROUP g c STREAMS s > | XCLAIM s g d 0 1-1 JUSTID
XADD s 1-1 a b ; XADD s 1-2 a b ; XGROUP CREATE s g 0 ; XREADGROUP GROUP g c STREAMS s > | XCLAIM s g c 100000 1-1
XADD s 1-1 a b ; XADD s 1-2 a b ; XGROUP CREATE s g 0 ; XREADGROUP GROUP g c STREAMS s > | XCLAIM s g d 100000 1-1
XADD s 1-1 a b ; XADD s 1-2 a b ; XGROUP CREATE s g 0 ; XREADGROUP GROUP g c STREAMS s > | XCLAIM s g d 0 9-9
XADD s 1-1 a b ; XADD s 1-2 a b ; XGROUP CREATE s g 0 ; XREADGROUP GROUP g c STREAMS s > ; XDEL s 1-1 | XCLAIM s g d 0 1-1 1-2
XADD s 1-1 a b ; XADD s 1-2 a b ; XGROUP CREATE s g 0 | XCLAIM s g d 0 1-1 FORCE
XADD s 1-1 a b ; XADD s 1-2 a b ; XGROUP CREATE s g 0 | XCLAIM s g d 0 1-1 FORCE LASTID 1-2
XADD s 1-1 a b ; XADD s 1-2 a b ; XGROUP CREATE s g 0 | XCLAIM s g d 0 9-9 LASTID 1-2
XADD s 1-1 a b ; XADD s 1-2 a b ; XGROUP CREATE s g 0 ; XREADGROUP GROUP g c STREAMS s > | XAUTOCLAIM s g d 0 0
XADD s 1-1 a b ; XADD s 1-2 a b ; XGROUP CREATE s g 0 ; XREADGROUP GROUP g c STREAMS s > ; XDEL s 1-1 | XAUTOCLAIM s g d 0 0
XADD s 1-1 a b ; XADD s 1-2 a b ; XGROUP CREATE s g 0 ; XREADGROUP GROUP g c STREAMS s > | XAUTOCLAIM s g d 100000 0
XADD s 1-1 a b ; XADD s 1-2 a b ; XGROUP CREATE s g 0 ; XREADGROUP GROUP g c STREAMS s > ; XDEL s 1-1 1-2 | XAUTOCLAIM s g c 0 0
FLUSHALL
MSET a 1 b 2 | FLUSHALL
MSET a 1 b 2 | FLUSHDB
FLUSHDB
MSET a 1 b 2 | FLUSHDB ASYNC
MSET a 1 b 2 | FLUSHALL SYNC
SWAPDB 0 1
MSET a 1 b 2 | SWAPDB 0 1
SWAPDB 0 0
SET a 1 | GET a
MSET a 1 b 1 | MULTI ; DEL a b ; SET c 1 ; INCR d ; GET d ; EXEC
"#;

/// Each line: commands that block, separated by `;`, and behind `|` the command that ends their wait.
const BLOCKED: &str = "
BLPOP a 0 | RPUSH a 1
BLPOP a 0 | RPUSH a 1 2 3
BLPOP a 0 ; BRPOP a 0 | RPUSH a 1 2 3
BLMOVE a b LEFT RIGHT 0 | RPUSH a 1
BRPOPLPUSH a b 0 | RPUSH a 1
BRPOPLPUSH a b 0 ; BLPOP b 0 | RPUSH a 1
BLMPOP 0 1 a LEFT COUNT 2 | RPUSH a 1 2 3
BLPOP a 0 | SET a 1
BLPOP a 0 | RENAME l a
BZPOPMIN z 0 | ZADD z 1 a 2 b
BZMPOP 0 1 z MIN COUNT 2 | ZADD z 1 a 2 b
XREAD BLOCK 0 STREAMS s $ | XADD s 1-1 a b
XREADGROUP GROUP g c BLOCK 0 STREAMS s > | XADD s 1-1 a b
XREADGROUP GROUP g c NOACK BLOCK 0 STREAMS s > | XADD s 1-1 a b
XREADGROUP GROUP g known BLOCK 0 STREAMS s > | XADD s 1-1 a b
XREADGROUP GROUP g c BLOCK 0 STREAMS s > | XGROUP DESTROY s g
";

/// Ochre and Redis.
struct Pair {
    servers: [Server; 2],
    clients: [Client; 2],
}

impl Pair {
    fn start() -> Pair {
        let servers = [Launch::subject(), Launch::new(Kind::Redis)].map(Launch::start);
        let clients = servers.each_ref().map(|server| server.client());
        Pair { servers, clients }
    }

    /// Runs commands on both servers.
    fn run(&mut self, commands: &str) {
        for command in commands.split(';').map(str::trim).filter(|command| !command.is_empty()) {
            self.clients.iter_mut().for_each(|client| _ = client.run(command));
        }
    }

    fn changes(&mut self) -> [i64; 2] {
        self.clients.each_mut().map(|client| figure(client, "rdb_changes_since_last_save"))
    }

    /// Runs commands, and returns the changes that Ochre counts and those that Redis counts.
    fn changes_of(&mut self, commands: &str) -> [i64; 2] {
        let before = self.changes();
        self.run(commands);
        let after = self.changes();
        [after[0] - before[0], after[1] - before[1]]
    }
}

fn figure(client: &mut Client, name: &str) -> i64 {
    let info = client.run("INFO everything").to_text();
    let value = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("INFO has no {name}"))
}

#[test]
fn changes_are_counted_as_redis_counts_them() {
    let mut pair = Pair::start();
    let mut differences = Vec::new();
    for line in COMMANDS.trim().lines() {
        let (preparation, commands) = line.split_once('|').unwrap_or(("", line));
        pair.run("FLUSHALL");
        pair.run(preparation);
        let [ours, theirs] = pair.changes_of(commands);
        if ours != theirs {
            differences.push(format!("{line}: {ours}, on Redis {theirs}"));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn changes_of_served_clients_are_counted_as_redis_counts_them() {
    let mut pair = Pair::start();
    let mut differences = Vec::new();
    for line in BLOCKED.trim().lines() {
        pair.run("FLUSHALL ; RPUSH l 1 ; XGROUP CREATE s g $ MKSTREAM ; XGROUP CREATECONSUMER s g known");
        let (waiting, command) = line.split_once('|').expect("a command that ends the wait");
        let mut waiters = Vec::new();
        for command in waiting.split(';') {
            let words: Vec<&str> = command.split_whitespace().collect();
            for (server, client) in pair.servers.iter().zip(&mut pair.clients) {
                let before = figure(client, "blocked_clients");
                let mut waiter = server.client();
                waiter.send(&words).expect("the command is sent");
                eventually("the client blocks", || figure(client, "blocked_clients") == before + 1);
                waiters.push(waiter);
            }
        }
        let [ours, theirs] = pair.changes_of(command);
        if ours != theirs {
            differences.push(format!("{line}: {ours}, on Redis {theirs}"));
        }
        drop(waiters);
        for client in &mut pair.clients {
            eventually("the waiters are gone", || figure(client, "blocked_clients") == 0);
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

/// The number of changes of a command with many elements is the number that it changed, whatever elements are drawn.
#[test]
fn changes_of_many_elements_are_counted_as_redis_counts_them() {
    let mut pair = Pair::start();
    let mut random = Random::new(11);
    for _ in 0..300 {
        let numbers: Vec<String> = (0..random.between(1, 6)).map(|_| random.below(12).to_string()).collect();
        let pairs = numbers.iter().map(|number| format!("{number} {number}")).collect::<Vec<_>>().join(" ");
        let list = numbers.join(" ");
        let command = match random.below(12) {
            0 => format!("RPUSH l {list}"),
            1 => format!("LREM l {} {}", random.below(3), numbers[0]),
            2 => format!("LTRIM l {} {}", random.below(3), random.below(12)),
            3 => format!("LPOP l {}", random.below(4)),
            4 => format!("SADD s {list}"),
            5 => format!("SREM s {list}"),
            6 => format!("ZADD z {} {pairs}", random.pick(&["NX", "XX", "GT", "LT", "CH"])),
            7 => format!("ZREM z {list}"),
            8 => format!("ZPOPMIN z {}", random.below(4)),
            9 => format!("HSET h {pairs}"),
            10 => format!("HDEL h {list}"),
            _ => format!("PFADD p {list}"),
        };
        let [ours, theirs] = pair.changes_of(&command);
        assert_eq!(ours, theirs, "{command}");
    }
}
