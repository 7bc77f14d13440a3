//! What scripts cannot do: harm the server, leave something behind for other scripts, or run for ever.

use ochre_testkit::{Client, Kind, Launch, Reply, eventually};

fn eval(client: &mut Client, script: &str) -> Reply {
    client.call(&["EVAL", script, "0"]).expect("a reply")
}

/// Programs that have crashed interpreters, or that reach for what they must not have. Each gets an answer, and the server goes on.
const HARMFUL: &[&str] = &[
    "return unpack({},-2147483647,2147483647)",
    "return #{unpack({},1,1e7)}",
    "return table.concat({},'x',1,2^31)",
    "return #string.rep('x',2^31-1)",
    "return string.dump(function() end)",
    "return loadstring('\\27Lua')()",
    "return load(function() return '\\27Lua' end)",
    "return cjson.decode(string.rep('[',100000))",
    "local t = {} t[1] = t return cjson.encode(t)",
    "local t = {} t[1] = t return #cmsgpack.pack(t)",
    "return cmsgpack.unpack(string.rep('\\145',100000))",
    "return cmsgpack.unpack('\\221\\255\\255\\255\\255')",
    "return struct.pack('I2147483648',1)",
    "return struct.unpack('>I16777216','abc')",
    "return struct.unpack('c2147483647','abc')",
    "return struct.size('c2147483647i')",
    "return string.format('%99999d',1)",
    "return string.find('a',string.rep('(',40000))",
    "local t = {} for i = 1, 1e9 do t[i] = {i} end",
    "local function f(n) return f(n+1)+1 end return f(1)",
    "local t = {} for i = 1, 100000 do t = {t} end return t",
    "return io.open('/etc/passwd')",
    "return os.execute('true')",
    "return dofile('/etc/passwd')",
    "return require('os')",
    "return debug.getregistry()",
    "return newproxy(true)",
    "string.rep = nil",
    "getmetatable('').__index = nil",
    "getmetatable('').__index.upper = nil",
    "setmetatable(_G, {})",
    "_G.left = 1",
    "rawset(_G, 'left', 1)",
    "left = 1",
    "redis.call = nil",
    "rawset(redis, 'call', nil)",
    "return redis.call()",
    "return redis.call({})",
    "error()",
];

#[test]
fn harmful_programs_harm_nobody() {
    let server = Launch::subject().threads(2).start();
    let mut client = server.client();
    for script in HARMFUL {
        eval(&mut client, script);
        assert_eq!(client.run("PING"), Reply::simple("PONG"), "after {script}");
        let check = "return {string.rep('x', 2), ('x'):upper(), type(redis.call), tostring(rawget(_G, 'left'))}";
        let intact = ["xx", "X", "function", "nil"].map(Reply::bulk).to_vec();
        assert_eq!(eval(&mut client, check), Reply::Array(intact), "after {script}");
    }
}

#[test]
fn memory_of_a_script_is_bounded() {
    let server = Launch::subject().threads(1).directive("script-memory-limit", "8mb").start();
    let mut client = server.client();
    let reply = eval(&mut client, "local t = {} for i = 1, 1e9 do t[i] = {i} end");
    assert!(reply.is_error() && reply.to_text().contains("script-memory-limit"), "{}", reply.to_text());
    assert_eq!(eval(&mut client, "return #('x'):rep(1000000)"), Reply::Integer(1_000_000));
}

#[test]
fn an_endless_script_is_busy_and_can_be_killed() {
    for script in [
        "while true do end",
        "while true do pcall(function() while true do end end) end",
        "local c = coroutine.wrap(function() while true do end end) while true do pcall(c) end",
    ] {
        let server = Launch::subject().threads(2).directive("busy-reply-threshold", "20").start();
        let mut endless = server.client_on_core(0);
        endless.send(&["EVAL", script, "0"]).expect("the script is sent");
        let mut other = server.client_on_core(1);
        let is_busy =
            |reply: &Reply| reply.is_error() && reply.to_text().contains("BUSY Redis is busy running a script");
        eventually("the script is busy", || is_busy(&other.run("ECHO x")));
        assert_eq!(other.run("SCRIPT KILL"), Reply::ok(), "{script}");
        let killed = endless.read_reply().expect("the script ends");
        assert!(killed.is_error() && killed.to_text().contains("Script killed by user with SCRIPT KILL"), "{script}");
        assert_eq!(other.run("ECHO x"), Reply::bulk("x"));
        assert!(other.run("SCRIPT KILL").to_text().contains("NOTBUSY"));
    }
}

#[test]
fn a_script_that_has_written_cannot_be_killed() {
    let server = Launch::subject().threads(2).directive("busy-reply-threshold", "20").start();
    let mut writer = server.client_on_core(0);
    let script = "redis.call('SET', 'key', 1) local n = 0 repeat n = n + 1 until n == 2e8 return n";
    writer.send(&["EVAL", script, "0"]).expect("the script is sent");
    let mut other = server.client_on_core(1);
    eventually("it is not killable", || other.run("SCRIPT KILL").to_text().contains("UNKILLABLE"));
    assert_eq!(writer.read_reply().expect("the script ends by itself"), Reply::Integer(200_000_000));
    assert_eq!(other.run("GET key"), Reply::bulk("1"));
}

/// `redis.set_repl` decides what of a script is kept in the append-only file.
#[test]
fn a_script_can_leave_effects_out_of_the_append_only_file() {
    let launch = Launch::subject().threads(2).directive("appendonly", "yes");
    let server = launch.directive("enable-debug-command", "yes").start();
    let mut client = server.client();
    let script = "redis.call('SET', 'kept', 1) redis.set_repl(redis.REPL_NONE) redis.call('SET', 'lost', 1) \
                  redis.set_repl(redis.REPL_ALL) redis.call('SET', 'kept too', 1) return redis.call('DBSIZE')";
    assert_eq!(eval(&mut client, script), Reply::Integer(3));
    // The next script begins anew.
    eval(&mut client, "redis.set_repl(redis.REPL_REPLICA) return redis.call('SET', 'lost too', 1)");
    eval(&mut client, "return redis.call('SET', 'last', 1)");
    assert_eq!(client.run("DEBUG LOADAOF"), Reply::ok());
    let exist = |client: &mut Client, key: &str| client.call(&["EXISTS", key]).expect("a reply");
    for (key, count) in [("kept", 1), ("lost", 0), ("kept too", 1), ("lost too", 0), ("last", 1)] {
        assert_eq!(exist(&mut client, key), Reply::Integer(count), "{key}");
    }
}

/// Shows a value with its types, whatever it holds.
const SHOW: &str = "
local function show(value)
  if type(value) ~= 'table' then return type(value) .. ':' .. tostring(value) end
  local parts = {}
  for key, inner in pairs(value) do parts[#parts + 1] = show(key) .. '=' .. show(inner) end
  table.sort(parts)
  return '{' .. table.concat(parts, ' ') .. '}'
end
redis.setresp(tonumber(ARGV[1]))
local words = {}
for i = 2, #ARGV do words[#words + 1] = ARGV[i] end
return show(redis.pcall(unpack(words)))";

/// Commands whose replies are of all types.
const REPLIES: &[&str] = &[
    "GET string",
    "GET missing",
    "GET hash",
    "GETRANGE string 0 0",
    "SET string 1 NX",
    "SET string 2",
    "INCR counter",
    "INCRBYFLOAT counter 1.5",
    "STRLEN string",
    "LRANGE list 0 -1",
    "LRANGE missing 0 -1",
    "LPOP missing 2",
    "LPOS list b COUNT 0",
    "HGETALL hash",
    "HMGET hash f nope",
    "HRANDFIELD hash 1 WITHVALUES",
    "SMEMBERS set",
    "SMISMEMBER set a nope",
    "ZSCORE sorted a",
    "ZSCORE sorted nope",
    "ZRANGE sorted 0 -1 WITHSCORES",
    "ZPOPMIN missing",
    "ZADD sorted INCR 1 b",
    "GEOPOS sorted nope",
    "XRANGE stream - +",
    "XREAD STREAMS stream 0",
    "XREAD STREAMS stream 9-9",
    "XINFO STREAM missing",
    "OBJECT ENCODING list",
    "TYPE list",
    "EXISTS string missing",
    "SCAN 0 COUNT 0",
    "NOPE",
    "GET",
    "PING",
    "ECHO x",
];

#[test]
fn replies_become_the_values_that_they_are_in_redis() {
    let servers = [Kind::Redis, Kind::subject()].map(|kind| Launch::new(kind).start());
    for protocol in ["2", "3"] {
        let mut clients = servers.each_ref().map(|server| server.client());
        for client in &mut clients {
            for line in [
                "FLUSHALL",
                "SET string v",
                "RPUSH list a b c b",
                "HSET hash f v",
                "SADD set a",
                "ZADD sorted 1.5 a",
                "XADD stream 1-1 f v",
                "XADD stream 1-2 g w h x",
            ] {
                client.run(line);
            }
        }
        for line in REPLIES {
            let words: Vec<&str> = ["EVAL", SHOW, "0", protocol].into_iter().chain(line.split(' ')).collect();
            let [redis, ochre] = clients.each_mut().map(|client| client.call(&words).expect("a reply").to_text());
            assert_eq!(ochre, redis, "{line} in RESP{protocol}");
        }
    }
}

/// Numbers of Lua whose words have every layout.
const NUMBERS: &[&str] = &[
    "0",
    "zero/-1",
    "-zero",
    "7",
    "-12.0",
    "0.1",
    "1/3",
    "-0.5",
    "1e15",
    "2^52",
    "2^53+2",
    "1e17",
    "2^60",
    "2^62",
    "2^63",
    "-2^63",
    "2^64",
    "9.3e18",
    "1e21",
    "1.5e-10",
    "1e-7",
    "5e-324",
    "1.23e300",
    "123456789.125",
    "1/zero",
    "-1/zero",
    "zero/zero",
    "-(zero/zero)",
];

#[test]
fn numbers_become_the_words_that_they_are_in_redis() {
    for reference in [Kind::Redis, Kind::Valkey] {
        let servers = [reference, Kind::subject()].map(|kind| Launch::new(kind).start());
        let mut clients = servers.each_ref().map(|server| server.client());
        for number in NUMBERS {
            // A number that is computed when the script runs keeps its sign.
            let script = format!("local zero = tonumber(ARGV[1]) return redis.call('ECHO', {number})");
            let [expected, ochre] =
                clients.each_mut().map(|client| client.call(&["EVAL", &script, "0", "0"]).expect("a reply"));
            assert_eq!(ochre, expected, "{number}");
        }
    }
}

/// A reply that exceeds the memory of a script is an error of the script, wherever it is while it becomes a value.
#[test]
fn a_reply_that_is_too_large_is_an_error() {
    let server = Launch::subject().threads(2).directive("script-memory-limit", "1mb").start();
    let mut client = server.client();
    for batch in 0..100 {
        let members: Vec<String> = (0..1000).map(|number| format!("member:{batch}:{number}")).collect();
        let words: Vec<&str> = ["SADD", "set"].into_iter().chain(members.iter().map(String::as_str)).collect();
        client.call(&words).expect("a reply");
    }
    client.call(&["SET", "string", &"x".repeat(3 << 20)]).expect("a reply");
    for command in ["redis.call('SMEMBERS', 'set')", "redis.pcall('SMEMBERS', 'set')", "redis.call('GET', 'string')"] {
        let reply = eval(&mut client, &format!("return #{command}")).to_text();
        assert!(reply.starts_with("ERR script uses more memory than script-memory-limit allows"), "{command}: {reply}");
        let caught = format!(
            "local ok = pcall(function() return {command} end) return {{tostring(ok), redis.call('SCARD', 'set')}}"
        );
        let reply = eval(&mut client, &caught);
        assert!(
            reply.is_error() || reply == Reply::Array(vec![Reply::bulk("false"), Reply::Integer(100_000)]),
            "{command}: {reply:?}"
        );
        assert_eq!(eval(&mut client, "return redis.call('ECHO', 'x')"), Reply::bulk("x"));
    }
}
