//! Functions: what the reference server answers, what survives a restart, and what a library cannot do.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use ochre_testkit::{Client, Kind, Launch, Reply, eventually, server::new_folder};

fn call(client: &mut Client, words: &[&[u8]]) -> Reply {
    client.call(words).expect("the server answers")
}

fn load(client: &mut Client, name: &str, body: &str) -> Reply {
    call(client, &[b"FUNCTION", b"LOAD", b"REPLACE", format!("#!lua name={name}\n{body}").as_bytes()])
}

fn library(name: &str, function: &str, result: &str) -> String {
    format!("#!lua name={name}\nredis.register_function('{function}', function(keys, args) return {result} end)")
}

/// The first lines of libraries.
const FIRST_LINES: &[&str] = &[
    "",
    "x",
    "#!lua",
    "#!lua\n",
    "#!lua name=l\n",
    "#!lua nAme=l\n",
    "#!lua name=a name=b\n",
    "#!lua foo=b\n",
    "#!lua name=a-b\n",
    "#!lua name=\n",
    "#!lua name=l flags=no-writes\n",
    "#!py name=a\n",
    "#! lua name=a\n",
    "#!\n",
];

/// The bodies of libraries that a reference server survives.
const BODIES: &[&str] = &[
    "x =",
    "error('a')",
    "local a = nil + 1",
    "redis.call('PING')",
    "x = 1",
    "redis.x = 1",
    "return redis.register_function()",
    "redis.register_function('f')",
    "redis.register_function({})",
    "redis.register_function({function_name='f'})",
    "redis.register_function({callback=function() end})",
    "redis.register_function({function_name=1,callback=function() end})",
    "redis.register_function({function_name={},callback=function() end})",
    "redis.register_function({function_name='f',callback=1})",
    "redis.register_function({function_name='f',callback=function() end,flags=1})",
    "redis.register_function({function_name='f',callback=function() end,flags={'a'}})",
    "redis.register_function({function_name='f',callback=function() end,flags={1}})",
    "redis.register_function({function_name='f',callback=function() end,description=function() end})",
    "redis.register_function({function_name='f',callback=function() end,description=1})",
    "redis.register_function({function_name='f',callback=function() end,foo=1})",
    "redis.register_function({[1]='f',callback=function() end})",
    "redis.register_function({[{}]='f',callback=function() end})",
    "redis.register_function('a-b',function() end)",
    "redis.register_function('',function() end)",
    "redis.register_function(1,function() end)",
    "redis.register_function({},function() end)",
    "redis.register_function('f',1)",
];

/// Functions that show what a function sees, and how it fails.
const LIBRARY: &str = "
redis.register_function('reply', function(keys, args) return {keys[1], args[1], #keys, #args} end)
redis.register_function('err', function(keys, args) return redis.error_reply('My err') end)
redis.register_function('raise', function(keys, args)
  error('boom') end)
redis.register_function('raise_table', function(keys, args) error({err='MY boom'}) end)
redis.register_function('index', function(keys, args) local x = nil; return x.y end)
redis.register_function('call', function(keys, args) return redis.call(unpack(args)) end)
redis.register_function('pcall', function(keys, args) return redis.pcall(unpack(args)) end)
redis.register_function('global', function(keys, args) x = 1 end)
redis.register_function('keys', function(keys, args) return KEYS[1] end)
redis.register_function('of_g', function(keys, args) return type(_G[args[1]]) end)
redis.register_function('of_redis', function(keys, args) return type(redis[args[1]]) end)
redis.register_function('again', function(keys, args) return redis.register_function('zz', function() end) end)
redis.register_function{function_name='reads', callback=function(keys, args) return redis.call(unpack(args)) end,
  flags={'no-writes', 'allow-stale'}, description='reads'}
redis.register_function{function_name='Flags', callback=function(keys, args) return #keys end,
  flags={'ALLOW-OOM', 'no-cluster', 'allow-cross-slot-keys', 'no-writes', 'no-writes'}}
redis.register_function{FUNCTION_NAME='Upper', CallBack=function(keys, args) return #args end}
";

const CALLS: &[&str] = &[
    "FCALL reply 0",
    "FCALL REPLY 1 k a b",
    "FCALL nope 0",
    "FCALL nope x",
    "FCALL reply x",
    "FCALL reply 2 a",
    "FCALL reply -1",
    "FCALL reply",
    "FCALL_RO reply 0",
    "FCALL_RO reply -1",
    "FCALL err 0",
    "FCALL raise 0",
    "FCALL raise_table 0",
    "FCALL index 0",
    "FCALL call 0",
    "FCALL call 0 SET a b",
    "FCALL call 0 NOPE",
    "FCALL call 0 LPUSH a b",
    "FCALL pcall 0 LPUSH a b",
    "FCALL global 0",
    "FCALL keys 0",
    "FCALL again 0",
    "FCALL reads 0 GET a",
    "FCALL reads 0 SET a b",
    "FCALL_RO reads 0 GET a",
    "FCALL_RO reads 0 SET a b",
    "FCALL_RO call 0 GET a",
    "FCALL flags 2 a b c",
    "FCALL upper 2 a b c",
    "EVAL return(redis.call('FCALL','reply',0)) 0",
    "FUNCTION DELETE nope",
    "FUNCTION DELETE BIG",
    "FUNCTION LIST LIBRARYNAME",
    "FUNCTION LIST x",
    "FUNCTION LIST LIBRARYNAME a LIBRARYNAME b",
    "FUNCTION LIST WITHCODE WITHCODE LIBRARYNAME nope",
    "FUNCTION LIST LIBRARYNAME nope",
    "FUNCTION STATS",
    "FUNCTION KILL",
    "FUNCTION FLUSH x",
    "FUNCTION FLUSH sync x",
    "FUNCTION LOAD",
    "FUNCTION LOAD REPLACE",
    "FUNCTION LOAD x y",
    "FUNCTION RESTORE abc",
    "FUNCTION RESTORE abc x",
    "FUNCTION RESTORE abc append x",
    "FUNCTION HELP",
    "FUNCTION",
    "FUNCTION NOPE",
    "CONFIG SET maxmemory 1",
    "FCALL reply 0",
    "FCALL_RO reply 0",
    "FCALL flags 0",
    "FCALL reads 0 GET a",
    "FUNCTION RESTORE x",
    "CONFIG SET maxmemory 0",
    "CONFIG SET min-replicas-to-write 1",
    "FCALL reply 0",
    "FCALL flags 0",
    "FUNCTION DELETE big",
    "FUNCTION FLUSH",
    "CONFIG SET min-replicas-to-write 0",
    "MULTI",
    "FCALL reply 0 x",
    "FUNCTION DELETE big",
    "FCALL reply 0 x",
    "EXEC",
    "FUNCTION STATS",
];

/// The items of a reply in one order, for libraries and functions, whose order is that of a hash table.
fn sorted(reply: Reply) -> Reply {
    let Reply::Array(items) = reply else { return reply };
    let mut items: Vec<Reply> = items.into_iter().map(sorted).collect();
    items.sort_by_key(|item| format!("{item:?}"));
    Reply::Array(items)
}

#[test]
fn the_answers_are_those_of_redis() {
    let servers = [Kind::Redis, Kind::subject()].map(|kind| Launch::new(kind).threads(2).start());
    let mut clients = servers.each_ref().map(|server| server.client());
    let mut compare = |words: &[&[u8]]| {
        let [redis, ochre] = clients.each_mut().map(|client| call(client, words));
        assert_eq!(
            sorted(ochre),
            sorted(redis),
            "{:?}",
            words.iter().map(|word| word.escape_ascii().to_string()).collect::<Vec<_>>()
        );
    };
    let load_on_both =
        |compare: &mut dyn FnMut(&[&[u8]]), code: &str| compare(&[b"FUNCTION", b"LOAD", b"REPLACE", code.as_bytes()]);
    for line in FIRST_LINES {
        load_on_both(&mut compare, line);
    }
    for body in BODIES {
        load_on_both(&mut compare, &format!("#!lua name=l\n{body}"));
    }
    load_on_both(&mut compare, &format!("#!LUA name=big\n{LIBRARY}"));
    compare(&[b"FUNCTION", b"LIST"]);
    compare(&[b"FUNCTION", b"LIST", b"WITHCODE", b"LIBRARYNAME", b"B*"]);
    compare(&[b"FUNCTION", b"LOAD", library("other", "REPLY", "1").as_bytes()]);
    compare(&[b"FUNCTION", b"LOAD", library("big", "x", "1").as_bytes()]);
    for name in
        "breakpoint debug replicate_commands register_function call pcall setresp set_repl log acl_check_cmd sha1hex"
            .split(' ')
    {
        compare(&[b"FCALL", b"of_redis", b"0", name.as_bytes()]);
    }
    for name in
        "math string cjson pcall error os print loadstring setmetatable KEYS ARGV _G bit struct cmsgpack table dofile"
            .split(' ')
    {
        compare(&[b"FCALL", b"of_g", b"0", name.as_bytes()]);
    }
    // A script that declares what it does is refused before it begins; one of the old kind when it writes.
    for (maxmemory, replicas) in [("1", "0"), ("0", "1"), ("0", "0")] {
        compare(&[
            b"CONFIG",
            b"SET",
            b"maxmemory",
            maxmemory.as_bytes(),
            b"min-replicas-to-write",
            replicas.as_bytes(),
        ]);
        for flags in ["", " flags=no-writes", " flags=allow-oom", " flags=no-writes,allow-stale"] {
            let script = format!("#!lua{flags}\nreturn redis.pcall('GET', 'a')");
            compare(&[b"EVAL", script.as_bytes(), b"0"]);
            compare(&[b"EVAL_RO", script.as_bytes(), b"0"]);
        }
        compare(&[b"EVAL", b"return redis.pcall('SET', 'a', 'b')", b"0"]);
    }
    for line in CALLS {
        compare(&line.split(' ').map(str::as_bytes).collect::<Vec<_>>());
    }
    let mut clients = servers.each_ref().map(|server| server.client());
    for command in ["FUNCTION STATS", "FUNCTION LIST", "FUNCTION LIST WITHCODE"] {
        let [redis, ochre] = clients.each_mut().map(|client| {
            client.run("HELLO 3");
            load(
                client,
                "l",
                "redis.register_function{function_name='f', callback=function() end, flags={'no-writes'}}",
            );
            client.run(command)
        });
        assert_eq!(ochre, redis, "{command}");
    }
}

/// Libraries go from one server to the other and back.
#[test]
fn payloads_are_exchanged_with_redis_and_valkey() {
    let ours = Launch::subject().threads(2).start();
    let mut ours = ours.client();
    for kind in [Kind::Redis, Kind::Valkey] {
        let theirs = Launch::new(kind).start();
        let mut theirs = theirs.client();
        call(&mut ours, &[b"FUNCTION", b"FLUSH"]);
        load(&mut theirs, "big", LIBRARY);
        load(&mut theirs, "small", "redis.register_function('small', function() return 1 end)");
        let payload = theirs.run("FUNCTION DUMP");
        let Reply::Bulk(payload) = &payload else { panic!("{payload:?}") };
        assert_eq!(call(&mut ours, &[b"FUNCTION", b"RESTORE", payload]), Reply::ok());
        assert_eq!(ours.run("FCALL small 0"), Reply::Integer(1));
        let text = |reply: Reply| reply.to_text();
        assert_eq!(text(call(&mut ours, &[b"FUNCTION", b"RESTORE", payload])), "ERR Library big already exists");
        assert_eq!(call(&mut ours, &[b"FUNCTION", b"RESTORE", payload, b"REPLACE"]), Reply::ok());
        call(&mut ours, &[b"FUNCTION", b"DELETE", b"small"]);
        call(&mut ours, &[b"FUNCTION", b"LOAD", library("third", "SMALL", "3").as_bytes()]);
        let collision = call(&mut ours, &[b"FUNCTION", b"RESTORE", payload, b"REPLACE"]);
        assert_eq!(text(collision), "ERR Function small already exists");
        assert_eq!(ours.run("FCALL small 0"), Reply::Integer(3), "nothing has changed");
        assert_eq!(call(&mut ours, &[b"FUNCTION", b"RESTORE", payload, b"FLUSH"]), Reply::ok());
        let back = ours.run("FUNCTION DUMP");
        let Reply::Bulk(back) = &back else { panic!("{back:?}") };
        assert_eq!(call(&mut theirs, &[b"FUNCTION", b"RESTORE", back, b"FLUSH"]), Reply::ok());
        assert_eq!(sorted(theirs.run("FUNCTION LIST WITHCODE")), sorted(ours.run("FUNCTION LIST WITHCODE")));
        theirs.run("SET key value");
        let Reply::Bulk(value) = theirs.run("DUMP key") else { panic!("the key exists") };
        assert_eq!(text(call(&mut ours, &[b"FUNCTION", b"RESTORE", &value])), "ERR given type is not a function");
    }
}

#[test]
fn libraries_are_kept_in_every_kind_of_file() {
    for (append_only, preamble) in [("no", "yes"), ("yes", "yes"), ("yes", "no")] {
        let folder = new_folder(Kind::subject());
        let launch = || {
            let launch = Launch::subject().threads(2).in_folder(&folder).directive("appendonly", append_only);
            launch.directive("aof-use-rdb-preamble", preamble).directive("enable-debug-command", "yes")
        };
        let mut server = launch().start();
        let mut client = server.client();
        for number in 0..3 {
            call(
                &mut client,
                &[b"FUNCTION", b"LOAD", library(&format!("l{number}"), &format!("f{number}"), "1").as_bytes()],
            );
        }
        if append_only == "yes" {
            client.run("BGREWRITEAOF");
            eventually("the log is rewritten", || {
                client.run("INFO persistence").to_text().contains("aof_rewrite_in_progress:0")
            });
        }
        call(&mut client, &[b"FUNCTION", b"DELETE", b"l1"]);
        call(
            &mut client,
            &[b"FUNCTION", b"LOAD", b"REPLACE", library("l2", "f2", "redis.call('INCR', keys[1])").as_bytes()],
        );
        assert_eq!(client.run("FCALL f2 1 counter"), Reply::Integer(1));
        if append_only == "no" {
            assert_eq!(client.run("SAVE"), Reply::ok());
            assert_eq!(client.run("DEBUG RELOAD"), Reply::ok());
            assert_eq!(client.run("DEBUG RELOAD NOFLUSH MERGE"), Reply::ok());
        } else {
            assert_eq!(client.run("DEBUG LOADAOF"), Reply::ok());
        }
        let listed = client.run("FUNCTION LIST WITHCODE");
        assert_eq!(listed.items().len(), 2, "{listed:?}");
        server.kill();
        let server = launch().start();
        let mut client = server.client();
        assert_eq!(client.run("FUNCTION LIST WITHCODE"), listed);
        assert_eq!(client.run("FCALL f2 1 counter"), Reply::Integer(2));
        assert_eq!(client.run("FLUSHALL"), Reply::ok());
        assert_eq!(client.run("FUNCTION LIST WITHCODE"), listed, "FLUSHALL is for keys");
    }
}

/// Whoever calls a function gets the one of before or the one of now, on every core.
#[test]
fn functions_are_replaced_while_they_are_used() {
    let server = Launch::subject().threads(4).start();
    let mut client = server.client();
    call(&mut client, &[b"FUNCTION", b"LOAD", library("l", "version", "0").as_bytes()]);
    let has_ended = AtomicBool::new(false);
    thread::scope(|scope| {
        for core in 0..4 {
            let (server, has_ended) = (&server, &has_ended);
            scope.spawn(move || {
                let (mut client, mut last) = (server.client_on_core(core), 0);
                while !has_ended.load(Ordering::Relaxed) {
                    let version = client.run("FCALL version 0").as_integer().expect("a version");
                    assert!(version >= last, "{version} after {last}");
                    last = version;
                }
            });
        }
        for version in 1..=200 {
            assert_eq!(
                load(&mut client, "l", &format!("redis.register_function('version', function() return {version} end)")),
                Reply::bulk("l")
            );
            assert_eq!(client.run("FCALL version 0"), Reply::Integer(version));
        }
        has_ended.store(true, Ordering::Relaxed);
    });
}

/// A library that must not be, and whether it is refused when it is loaded or when its function `f` is called.
const HARMFUL: &[&str] = &[
    "while true do end",
    "local t = {} for i = 1, 1e9 do t[i] = {i} end",
    "string.rep('x', 2^30)",
    "redis.register_function('f', function() while true do redis.register_function('g', function() end) end end)",
    "redis.register_function('f', function() redis.call = nil end)",
    "redis.register_function('f', function() return rawset(redis, 'call', nil) end)",
    "redis.register_function('f', function() setmetatable(_G, {}) end)",
    "redis.register_function('f', function() getmetatable('').__index = nil end)",
    "redis.register_function('f', function() return loadstring('\\27Lua')() end)",
    "redis.register_function('f', function() return unpack({}, -2147483647, 2147483647) end)",
    "redis.register_function('f', string.rep) redis.register_function('F', function() end)",
    "redis.register_function('f', function() end, 3)",
    "redis.register_function(redis)",
    "redis.register_function({function_name='f', callback=function() end, flags={redis}})",
    "\u{1b}Lua",
];

#[test]
fn harmful_libraries_harm_nobody() {
    let server = Launch::subject().threads(2).start();
    let mut client = server.client();
    load(
        &mut client,
        "good",
        "redis.register_function('good', function() return {type(redis.call), ('x'):upper()} end)",
    );
    for body in HARMFUL {
        let loaded = load(&mut client, "bad", body);
        if !loaded.is_error() {
            assert!(client.run("FCALL f 0").is_error(), "{body}");
        }
        assert_eq!(
            client.run("FCALL good 0"),
            Reply::Array(vec![Reply::bulk("function"), Reply::bulk("X")]),
            "after {body}"
        );
    }
    let late = load(&mut client, "bad", "while true do end").to_text();
    assert_eq!(late, "ERR Error registering functions: ERR FUNCTION LOAD timeout");
    let twice = "redis.register_function('f', function() end) redis.register_function('F', function() end)";
    let twice = load(&mut client, "bad", twice).to_text();
    assert_eq!(twice, "ERR Error registering functions: ERR Function already exists in the library");
}

#[test]
fn a_long_function_is_shown_and_killed() {
    let server = Launch::subject().threads(2).directive("busy-reply-threshold", "20").start();
    let (mut endless, mut other) = (server.client_on_core(0), server.client_on_core(1));
    let body = "redis.register_function('endless', function(keys, args) if args[1] then redis.call('SET', 'k', 'v') end
        local n = 0 repeat n = n + 1 until n == tonumber(args[1] or 1e15) return n end)";
    load(&mut other, "l", body);
    endless.send(&["FCALL", "endless", "1", "key"]).expect("the request is sent");
    let busy = "BUSY Redis is busy running a script. You can only call FUNCTION KILL or SHUTDOWN NOSAVE.";
    eventually("the function is busy", || other.run("ECHO x").to_text() == busy);
    eventually("it is shown", || other.run("FUNCTION STATS").items()[1] != &Reply::NullBulk);
    let stats = other.run("FUNCTION STATS");
    let shown = stats.items()[1].items();
    assert_eq!((shown[1], shown[3].items().len()), (&Reply::bulk("endless"), 4));
    assert_eq!(other.run("SCRIPT KILL").to_text(), busy);
    assert_eq!(other.run("FUNCTION KILL"), Reply::ok());
    let killed = endless.read_reply().expect("the function ends").to_text();
    assert!(killed.contains("Script killed by user with FUNCTION KILL."), "{killed}");
    assert_eq!(other.run("FUNCTION KILL").to_text(), "NOTBUSY No scripts in execution right now.");
    assert_eq!(other.run("FUNCTION STATS").items()[1], &Reply::NullBulk);
    // One that has written cannot be killed, and a script is not ended as a function.
    endless.send(&["FCALL", "endless", "0", "20000000"]).expect("the request is sent");
    eventually("it is not killable", || other.run("FUNCTION KILL").to_text().contains("UNKILLABLE"));
    assert_eq!(endless.read_reply().expect("it ends by itself"), Reply::Integer(20_000_000));
    endless.send(&["EVAL", "while true do end", "0"]).expect("the request is sent");
    eventually("the script is busy", || other.run("ECHO x").to_text().contains("call SCRIPT KILL"));
    assert!(other.run("FUNCTION KILL").to_text().contains("You can only call SCRIPT KILL"));
    assert_eq!(other.run("SCRIPT KILL"), Reply::ok());
}
