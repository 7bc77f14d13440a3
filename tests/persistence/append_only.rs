//! The append-only file: what it keeps, who else can read it, and what a damaged one says.

use std::fs;

use ochre_testkit::{Client, Kind, Launch, Reply, Server, poll};

use super::{Folder, info, wait_for};

fn launch(folder: &Folder) -> Launch {
    Launch::subject()
        .threads(2)
        .in_folder(folder)
        .directive("enable-debug-command", "yes")
        .directive("appendonly", "yes")
        .directive("appendfsync", "always")
}

fn ok(client: &mut Client, line: &str) {
    let reply = client.run(line);
    assert!(!reply.is_error(), "{line}: {}", reply.to_text());
}

/// Commands whose effects depend on time, on chance, or on what was there before.
const COMMANDS: &[&str] = &[
    "SET string value EX 10000",
    "SET counter 10",
    "INCRBYFLOAT counter 0.1",
    "SETEX other 5000 x",
    "GETEX other PX 9000000",
    "APPEND string more",
    "SETRANGE string 20 end",
    "RPUSH list a b c d",
    "LPOP list 2",
    "LMOVE list moved LEFT RIGHT",
    "SADD set 1 2 3 4 5 6 7 8 9",
    "SPOP set 4",
    "SPOP set",
    "HSET hash a 1 b 2 c 3",
    "HINCRBYFLOAT hash a 0.25",
    "HEXPIRE hash 5000 FIELDS 1 b",
    "HSETEX hash EX 9000 FIELDS 1 d 4",
    "HPEXPIRE hash 1 FIELDS 1 c",
    "ZADD zset 1 a 2 b 3 c",
    "ZINCRBY zset 1.5 a",
    "ZPOPMIN zset",
    "XADD stream * a b",
    "XADD stream MAXLEN ~ 100 * a c",
    "XGROUP CREATE stream group 0",
    "XREADGROUP GROUP group consumer COUNT 1 STREAMS stream >",
    "XAUTOCLAIM stream group second 0 0",
    "PFADD hll a b c",
    "SETBIT bits 100 1",
    "BITFIELD bits INCRBY u8 0 300 OVERFLOW SAT SET u4 20 7",
    "GEOADD geo 13.361389 38.115556 Palermo",
    "SORT list ALPHA STORE sorted",
    "SET short x PX 1",
    "EXPIRE list 100000",
    "PERSIST list",
    "COPY list copy",
    "RENAME copy renamed",
    "MOVE renamed 3",
    "SINTERSTORE stored set set",
    "MSET a 1 b 2 c 3",
    "DEL b",
    "UNLINK c",
    "MULTI",
    "SET in-transaction 1",
    "INCR in-transaction",
    "SELECT 4",
    "SET in-four 1",
    "EXEC",
    "SET after 1",
    "SELECT 0",
    "SWAPDB 3 5",
];

fn fill(client: &mut Client) {
    for line in COMMANDS {
        ok(client, line);
    }
    poll::eventually("what expires soon is gone", || {
        client.run("EXISTS short") == Reply::Integer(0) && client.run("HLEN hash") == Reply::Integer(3)
    });
}

#[test]
fn everything_is_there_after_a_crash() {
    let folder = Folder::new();
    let mut server = launch(&folder).start();
    let mut client = server.client();
    fill(&mut client);
    let digest = client.run("DEBUG DIGEST");
    assert_eq!(client.run("DEBUG LOADAOF"), Reply::ok());
    assert_eq!(client.run("DEBUG DIGEST"), digest, "loaded while it runs");
    server.kill();
    let mut server = launch(&folder).start();
    let mut client = server.client();
    assert_eq!(client.run("DEBUG DIGEST"), digest, "loaded at start");
    ok(&mut client, "BGREWRITEAOF");
    ok(&mut client, "SET while rewriting");
    let digest = client.run("DEBUG DIGEST");
    wait_for(&mut client, "aof_rewrite_in_progress", "0");
    assert_eq!(info(&mut client, "aof_last_bgrewrite_status"), "ok");
    let text = fs::read_to_string(folder.join("appendonlydir/appendonly.aof.manifest")).expect("there is a manifest");
    assert_eq!(text, "file appendonly.aof.2.base.rdb seq 2 type b\nfile appendonly.aof.2.incr.aof seq 2 type i\n");
    server.kill();
    let server = launch(&folder).start();
    assert_eq!(server.client().run("DEBUG DIGEST"), digest, "loaded after a rewrite");
}

/// A base of commands, which has the values as payloads.
#[test]
fn a_base_without_rdb_part_loads_too() {
    let folder = Folder::new();
    let mut server = launch(&folder).directive("aof-use-rdb-preamble", "no").start();
    let mut client = server.client();
    fill(&mut client);
    ok(&mut client, "BGREWRITEAOF");
    wait_for(&mut client, "aof_rewrite_in_progress", "0");
    let digest = client.run("DEBUG DIGEST");
    assert!(folder.join("appendonlydir/appendonly.aof.2.base.aof").exists());
    server.kill();
    assert_eq!(launch(&folder).start().client().run("DEBUG DIGEST"), digest);
}

/// What a server has, as clients see it. Ochre's digest of a hash with expiries is that of Redis; Valkey's is another.
fn contents(client: &mut Client) -> Vec<String> {
    let mut contents = vec![];
    for database in 0..6 {
        ok(client, &format!("SELECT {database}"));
        let mut keys: Vec<String> = client.run("KEYS *").items().iter().map(|key| key.to_text()).collect();
        keys.sort();
        for key in keys {
            let kind = client.run(&format!("TYPE {key}")).to_text();
            let read = match &*kind {
                "hash" => format!("HGETALL {key}"),
                "stream" => format!("XRANGE {key} - +"),
                _ => format!("DEBUG DIGEST-VALUE {key}"),
            };
            let mut items: Vec<String> = client.run(&read).items().iter().map(|item| item.to_text()).collect();
            if kind == "hash" {
                items.sort();
                let expiries = client.run(&format!("HPEXPIRETIME {key} FIELDS 4 a b c d"));
                items.push(expiries.to_text());
            }
            let expiry = client.run(&format!("PEXPIRETIME {key}")).to_text();
            contents.push(format!("{database} {key} {kind} {expiry} {items:?}"));
        }
    }
    ok(client, "SELECT 0");
    contents
}

fn reference(kind: Kind, folder: &Folder) -> Server {
    Launch::new(kind).in_folder(folder).directive("appendonly", "yes").directive("enable-debug-command", "yes").start()
}

/// A folder goes from Ochre to a reference server, which writes, and back to Ochre.
#[track_caller]
fn change_hands(kind: Kind, dialect: &str, checksums: &str) {
    let folder = Folder::new();
    let ours = || {
        launch(&folder)
            .directive("rdb-dialect", dialect)
            .directive("aof-checksum", checksums)
            .directive("aof-timestamp-enabled", "yes")
    };
    let mut server = ours().start();
    let mut client = server.client();
    fill(&mut client);
    ok(&mut client, "BGREWRITEAOF");
    wait_for(&mut client, "aof_rewrite_in_progress", "0");
    // Some of the commands fail now, such as creating a group that exists.
    COMMANDS.iter().for_each(|line| drop(client.run(line)));
    let before = contents(&mut client);
    server.kill();
    let mut theirs = reference(kind, &folder);
    let mut client = theirs.client();
    assert_eq!(contents(&mut client), before, "{} has loaded Ochre's folder", kind.name());
    for line in ["SET theirs 1", "RPUSH list theirs", "SELECT 2", "SET two 2", "MULTI", "INCR two", "INCR two", "EXEC"]
    {
        ok(&mut client, line);
    }
    ok(&mut client, "SELECT 0");
    assert_eq!(client.run("WAITAOF 1 0 0").items().first().and_then(|it| it.as_integer()), Some(1));
    let before = contents(&mut client);
    theirs.kill();
    let server = ours().start();
    assert_eq!(contents(&mut server.client()), before, "Ochre has loaded what {} wrote", kind.name());
}

#[test]
fn a_folder_goes_to_redis_and_back() {
    change_hands(Kind::Redis, "redis", "yes");
}

#[test]
fn a_folder_goes_to_valkey_and_back() {
    change_hands(Kind::Valkey, "valkey", "no");
}

/// The file that a server appends to.
fn increment(folder: &Folder) -> std::path::PathBuf {
    folder.join("appendonlydir/appendonly.aof.1.incr.aof")
}

#[test]
fn a_torn_end_is_cut_off() {
    for checksums in ["yes", "no"] {
        let folder = Folder::new();
        let ours = || launch(&folder).directive("aof-checksum", checksums);
        let mut server = ours().start();
        let mut client = server.client();
        ok(&mut client, "SET a 1");
        let whole = fs::metadata(increment(&folder)).expect("there is a file").len();
        ok(&mut client, "MULTI");
        ok(&mut client, "SET b 1");
        ok(&mut client, "SET c 1");
        ok(&mut client, "EXEC");
        server.kill();
        let bytes = fs::read(increment(&folder)).expect("the file can be read");
        // What is torn is EXEC; with checksums, their line comes behind it.
        let exec = bytes.windows(4).rposition(|bytes| bytes == b"EXEC").expect("there is a transaction");
        fs::write(increment(&folder), &bytes[..exec + 2]).expect("the file can be written");
        let mut refusing = ours().directive("aof-load-truncated", "no").spawn();
        assert_eq!(refusing.wait().code(), Some(1), "{}", refusing.log());
        assert!(refusing.log().contains("appendonly.aof.1.incr.aof: the data ends at offset"), "{}", refusing.log());
        let server = ours().start();
        assert!(server.log().contains(&format!("at offset {whole}")), "{}", server.log());
        let mut client = server.client();
        assert_eq!(client.run("KEYS *").to_text().trim(), client.run("KEYS a").to_text().trim(), "no half transaction");
        ok(&mut client, "SET d 1");
        drop(server);
        assert_eq!(ours().start().client().run("EXISTS a b c d"), Reply::Integer(2), "it goes on behind the cut");
    }
}

/// With checksums, no damage passes for data.
#[test]
fn a_damaged_block_is_named() {
    let folder = Folder::new();
    let mut server = launch(&folder).start();
    let mut client = server.client();
    ok(&mut client, "SET key value1");
    ok(&mut client, "SET key value2");
    server.kill();
    let bytes = fs::read(increment(&folder)).expect("the file can be read");
    let at = bytes.windows(6).position(|bytes| bytes == b"value1").expect("the value is there");
    let mut damaged = bytes.clone();
    damaged[at] = b'V';
    fs::write(increment(&folder), &damaged).expect("the file can be written");
    let mut server = launch(&folder).spawn();
    assert_eq!(server.wait().code(), Some(1), "{}", server.log());
    assert!(server.log().contains("is damaged: its checksum is wrong"), "{}", server.log());
    assert_eq!(fs::read(increment(&folder)).expect("the file is there"), damaged, "nothing was changed");
}

#[test]
fn a_wrong_manifest_or_a_missing_file_stops_the_start() {
    let folder = Folder::new();
    let mut server = launch(&folder).start();
    ok(&mut server.client(), "SET a 1");
    server.kill();
    let manifest = folder.join("appendonlydir/appendonly.aof.manifest");
    let text = fs::read_to_string(&manifest).expect("there is a manifest");
    fs::write(&manifest, text.replace("type i", "type x")).expect("the file can be written");
    let mut server = launch(&folder).spawn();
    assert_eq!(server.wait().code(), Some(1));
    assert!(server.log().contains("Unknown AOF file type"), "{}", server.log());
    fs::write(&manifest, text).expect("the file can be written");
    fs::remove_file(increment(&folder)).expect("the file was there");
    let mut server = launch(&folder).spawn();
    assert_eq!(server.wait().code(), Some(1));
    assert!(server.log().contains("appendonly.aof.1.incr.aof: "), "{}", server.log());
}

/// A single file, as Redis kept it before version 7.
#[test]
fn an_old_file_is_taken_over() {
    let folder = Folder::new();
    fs::write(
        folder.join("appendonly.aof"),
        "*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n1\r\n",
    )
    .expect("the file can be written");
    for _ in 0..2 {
        let server = launch(&folder).start();
        assert_eq!(server.client().run("GET a"), Reply::bulk("1"));
        assert!(!folder.join("appendonly.aof").exists());
    }
}

#[test]
fn it_is_turned_on_and_off_at_run_time() {
    let folder = Folder::new();
    let plain = Launch::subject().threads(2).in_folder(&folder).directive("enable-debug-command", "yes");
    let mut server = plain.start();
    let mut client = server.client();
    let off = "-ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.";
    assert_eq!(client.run("WAITAOF 1 0 0").to_string(), off);
    for round in 0..3 {
        ok(&mut client, &format!("SET before:{round} 1"));
        ok(&mut client, "CONFIG SET appendonly yes");
        wait_for(&mut client, "aof_rewrite_in_progress", "0");
        ok(&mut client, &format!("SET while:{round} 1"));
        assert_eq!(client.run("WAITAOF 1 0 0").items().first().and_then(|it| it.as_integer()), Some(1));
        if round < 2 {
            ok(&mut client, "CONFIG SET appendonly no");
            assert_eq!(info(&mut client, "aof_enabled"), "0");
        }
    }
    let digest = client.run("DEBUG DIGEST");
    server.kill();
    assert_eq!(launch(&folder).start().client().run("DEBUG DIGEST"), digest);
}

/// The rewrite that begins the log goes by the settings that it was begun by, however soon it starts.
#[test]
fn there_is_a_log_whenever_it_was_turned_on() {
    let folder = Folder::new();
    let server = Launch::subject().threads(2).in_folder(&folder).directive("appendfsync", "always").start();
    let mut client = server.client();
    for round in 0..100 {
        ok(&mut client, "CONFIG SET appendonly yes");
        wait_for(&mut client, "aof_rewrite_in_progress", "0");
        ok(&mut client, &format!("SET key {round}"));
        assert_eq!(client.run("WAITAOF 1 0 0").to_string(), "[:1, :0]", "round {round}");
        ok(&mut client, "CONFIG SET appendonly no");
    }
    assert_eq!(info(&mut client, "aof_rewrites"), "100", "none was begun again");
}

#[test]
fn growth_begins_a_rewrite() {
    let folder = Folder::new();
    let server = launch(&folder)
        .directive("auto-aof-rewrite-min-size", "10kb")
        .directive("auto-aof-rewrite-percentage", "100")
        .directive("appendfsync", "no")
        .start();
    let mut client = server.client();
    poll::eventually("the file is rewritten", || {
        (0..100).for_each(|_| ok(&mut client, &format!("SET a {}", "x".repeat(100))));
        info(&mut client, "aof_rewrites") != "0"
    });
    wait_for(&mut client, "aof_rewrite_in_progress", "0");
    assert_eq!(client.run("BGREWRITEAOF"), Reply::simple("Background append only file rewriting started"));
}

fn check(arguments: &[&str], path: &std::path::Path) -> (Option<i32>, String) {
    let mut command = std::process::Command::new(Kind::Ochre.program());
    let output = command.arg("check").args(arguments).arg(path).output().expect("Ochre runs");
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn a_folder_is_checked_and_repaired() {
    let folder = Folder::new();
    let mut server = launch(&folder).directive("aof-timestamp-enabled", "yes").start();
    let mut client = server.client();
    ok(&mut client, "SET a 1");
    ok(&mut client, "BGREWRITEAOF");
    wait_for(&mut client, "aof_rewrite_in_progress", "0");
    ok(&mut client, "SET b 1");
    ok(&mut client, "MULTI");
    ok(&mut client, "SET c 1");
    ok(&mut client, "SET d 1");
    ok(&mut client, "EXEC");
    server.kill();
    let path = folder.join("appendonlydir");
    let last = path.join("appendonly.aof.2.incr.aof");
    let (code, text) = check(&[], &path);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("database 0: 1 keys") && text.contains("3 records, 4 commands"), "{text}");
    assert!(text.contains("the last time in it: ") && text.ends_with("it is whole\n"), "{text}");
    assert_eq!(check(&["--json"], &path.join("appendonly.aof.manifest")).0, Some(0));
    assert_eq!(check(&[], &last).0, Some(0));

    let bytes = fs::read(&last).expect("the file can be read");
    let exec = bytes.windows(4).rposition(|bytes| bytes == b"EXEC").expect("there is a transaction");
    fs::write(&last, &bytes[..exec]).expect("the file can be written");
    let (code, text) = check(&[], &path);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("BROKEN at offset") && text.contains("the file ends in the middle of a record"), "{text}");
    assert_eq!(fs::metadata(&last).expect("the file is there").len(), exec as u64, "nothing was changed");
    assert_eq!(check(&["--fix", "--yes"], &path).0, Some(0));
    assert_eq!(check(&[], &path).0, Some(0));
    assert_eq!(launch(&folder).start().client().run("EXISTS a b c d"), Reply::Integer(2));

    fs::write(path.join("appendonly.aof.2.base.rdb"), b"REDIS0011").expect("the file can be written");
    let (code, text) = check(&["--fix", "--yes"], &path);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("only the tail of the last file can be cut off"), "{text}");
    assert_eq!(check(&[], &folder).0, Some(2), "there is no manifest in this folder");
}

#[test]
fn a_second_server_does_not_use_the_folder() {
    let folder = Folder::new();
    let first = launch(&folder).start();
    let mut second = launch(&folder).spawn();
    assert_eq!(second.wait().code(), Some(1));
    let said = format!("the folder is used by the server with the process ID {}", first.pid());
    assert!(second.log().contains(&said), "{}", second.log());
}

/// The file that a rewrite begins is one that takes nothing, as on a disk that is full. The next rewrite begins another one.
#[test]
fn writes_are_refused_while_the_file_cannot_be_written_and_go_on_afterwards() {
    for policy in ["everysec", "always"] {
        let folder = Folder::new();
        let mut server = launch(&folder).directive("appendfsync", policy).start();
        let mut client = server.client();
        ok(&mut client, "SET a 1");
        let full = folder.join("appendonlydir/appendonly.aof.2.incr.aof");
        std::os::unix::fs::symlink("/dev/full", full).expect("a link can be made");
        ok(&mut client, "BGREWRITEAOF");
        wait_for(&mut client, "aof_rewrites", "1");
        // Under `always`, the reply to a write that is not durable comes when it is.
        let mut writing = server.client();
        writing.send(&["SET", "b", "1"]).expect("the server reads");
        // And so do replies to reads that may have seen it.
        if policy == "everysec" {
            let refusal = poll::until(poll::PATIENCE, || {
                let reply = client.run("DEL nothing");
                reply.is_error().then(|| reply.to_string())
            });
            let refusal = refusal.expect("writes are refused");
            assert!(refusal.starts_with("-MISCONF Errors writing to the AOF file: "), "{refusal}");
            assert_eq!(client.run("GET a"), Reply::bulk("1"), "reads go on");
        }
        assert_eq!(writing.read_reply().expect("it is answered in the end"), Reply::ok());
        poll::eventually("writes go on", || !client.run("SET c 1").is_error());
        assert_eq!(info(&mut client, "aof_last_write_status"), "ok");
        assert_eq!(client.run("WAITAOF 1 0 0").items().first().and_then(|it| it.as_integer()), Some(1));
        server.kill();
        assert_eq!(launch(&folder).start().client().run("EXISTS a b c"), Reply::Integer(3), "{policy}");
    }
}
