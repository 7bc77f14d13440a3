//! Loading at start: what is answered meanwhile, and files that are broken.

use std::{fs, io::Write};

use ochre_testkit::{Client, Kind, Launch, Reply, Server, poll, process};

use super::{Folder, info, wait_for};

/// The bytes of a saved file with some keys.
fn saved() -> Vec<u8> {
    let folder = Folder::new();
    let server = Launch::subject().threads(2).in_folder(&folder).directive("enable-debug-command", "yes").start();
    let mut client = server.client();
    assert_eq!(client.run("DEBUG POPULATE 1000"), Reply::ok());
    assert_eq!(client.run("SAVE"), Reply::ok());
    fs::read(folder.join("dump.rdb")).expect("the file was saved")
}

/// Connects to a server that may not listen yet.
fn connect(server: &Server) -> Client {
    poll::until(poll::PATIENCE, || Client::connect(server.port()).ok()).expect("the server listens")
}

/// The server reads from a pipe, so the test decides when the loading goes on.
#[test]
fn what_needs_the_data_is_refused_while_it_is_loaded() {
    let bytes = saved();
    let folder = Folder::new();
    process::make_pipe(&folder.join("dump.rdb")).expect("a pipe can be made");
    let server = Launch::subject().threads(2).in_folder(&folder).spawn();
    let mut pipe = fs::File::options().write(true).open(folder.join("dump.rdb")).expect("the server opens it too");
    pipe.write_all(&bytes[..bytes.len() / 2]).expect("the server reads");
    let loading = "-LOADING Redis is loading the dataset in memory";
    let mut client = connect(&server);
    for refused in ["PING", "GET a", "SET a 1", "KEYS *", "DBSIZE", "FLUSHALL"] {
        assert_eq!(client.run(refused).to_string(), loading, "{refused}");
    }
    assert_eq!(client.run("MULTI"), Reply::ok());
    assert_eq!(client.run("GET a").to_string(), loading);
    assert!(client.run("EXEC").to_string().starts_with("-EXECABORT"));
    assert_eq!(client.run("DISCARD").to_string(), "-ERR DISCARD without MULTI");
    assert_eq!(info(&mut client, "loading"), "1");
    for field in ["loading_start_time", "loading_total_bytes", "loading_loaded_bytes", "loading_loaded_perc"] {
        info(&mut client, field);
    }
    assert_eq!(client.run("CONFIG GET port").items().len(), 2);
    pipe.write_all(&bytes[bytes.len() / 2..]).expect("the server reads");
    drop(pipe);
    wait_for(&mut client, "loading", "0");
    assert_eq!(client.run("DBSIZE"), Reply::Integer(1000));
}

/// Starts a server on a file, and returns what it logs before it ends.
#[track_caller]
fn refused(bytes: &[u8]) -> String {
    let folder = Folder::new();
    fs::write(folder.join("dump.rdb"), bytes).expect("the file can be written");
    let mut server = Launch::subject().threads(2).in_folder(&folder).directive("databases", "4").spawn();
    let status = server.wait();
    assert_eq!(status.code(), Some(1), "{}", server.log());
    assert_eq!(fs::read(folder.join("dump.rdb")).expect("the file is there"), bytes, "nothing was changed");
    server.log()
}

#[test]
fn a_broken_file_stops_the_start_with_offset_and_reason() {
    let bytes = saved();
    let log = refused(&bytes[..bytes.len() - 100]);
    assert!(log.contains(&format!("dump.rdb: the data ends at offset {}", bytes.len() - 100)), "{log}");
    let mut damaged = bytes.clone();
    *damaged.last_mut().expect("there are bytes") ^= 1;
    let log = refused(&damaged);
    assert!(log.contains("the checksum of the file is wrong"), "{log}");
    let log = refused(b"REDIS9999");
    assert!(log.contains("the format version 9999 is not known"), "{log}");
    let log = refused(b"hello");
    assert!(log.contains("dump.rdb: "), "{log}");
    let log = refused(&[&b"REDIS0011\xfe\x04\x00\x01a\x01b"[..], &[0xff; 9]].concat());
    assert!(log.contains("data of database 4, but the server is configured to handle 4 databases"), "{log}");
    let log = refused(&[&b"REDIS0011\xf5\x04code"[..], &[0xff; 9]].concat());
    assert!(log.contains("at offset 9: Failed loading function: Missing library metadata"), "{log}");
    let twice = [&b"REDIS0011\xfe\x00\x00\x01a\x01b\x00\x01a\x01c\xff"[..], &[0; 8]].concat();
    let log = refused(&twice);
    assert!(log.contains("the key 'a' is in database 0 twice"), "{log}");
}

/// A key that has expired since it was saved is not loaded, and is counted.
#[test]
fn expired_keys_are_left_out() {
    let folder = Folder::new();
    let file = [&b"REDIS0011\xfe\x00\xfc\x01\x00\x00\x00\x00\x00\x00\x00\x00\x01a\x01b\x00\x01c\x01d\xff"[..], &[0; 8]]
        .concat();
    fs::write(folder.join("dump.rdb"), file).expect("the file can be written");
    let server = Launch::subject().threads(2).in_folder(&folder).start();
    let mut client = server.client();
    assert_eq!(client.run("KEYS *"), Reply::parse(b"*1\r\n$1\r\nc\r\n").unwrap().unwrap().0);
    assert_eq!(info(&mut client, "rdb_last_load_keys_expired"), "1");
    assert_eq!(info(&mut client, "rdb_last_load_keys_loaded"), "1");
}

/// A file without a checksum, of format version 11, that has these records in database 0.
fn by_hand(records: &[&[u8]]) -> Vec<u8> {
    [b"REDIS0011\xfe\x00", &*records.concat(), b"\xff", &[0; 8]].concat()
}

/// A server of each kind that has loaded this file.
fn loaded_by_each(file: &[u8], policy: &str) -> Vec<(Folder, Server)> {
    let load = |kind| {
        let folder = Folder::new();
        fs::write(folder.join("dump.rdb"), file).expect("the file can be written");
        let server = Launch::new(kind).in_folder(&folder).directive("maxmemory-policy", policy).start();
        (folder, server)
    };
    [Kind::subject(), Kind::Redis, Kind::Valkey].into_iter().map(load).collect()
}

#[test]
fn what_is_left_out_is_counted_as_in_redis() {
    let empty: Vec<Vec<u8>> = (0..12).map(|number| format!("\x02\x02{number:02}\0").into_bytes()).collect();
    let mut records: Vec<&[u8]> = empty.iter().map(Vec::as_slice).collect();
    // A key that expired in milliseconds, one that expired in seconds, one that expires in 2100, and one that never does.
    records.push(b"\xfc\x01\0\0\0\0\0\0\0\0\x01a\x01b");
    records.push(b"\xfd\x01\0\0\0\0\x01c\x01d");
    let far = [b"\xfc", &4_102_444_800_000_i64.to_le_bytes()[..], b"\0\x01e\xc0\x05"].concat();
    records.push(&far);
    records.push(b"\0\x01g\x01h");
    for (_folder, server) in loaded_by_each(&by_hand(&records), "noeviction") {
        let mut client = server.client();
        let answers =
            ["DBSIZE", "GET a", "GET c", "GET e", "GET g", "PEXPIRETIME e", "EXISTS 00 11", "OBJECT ENCODING e"];
        let answers: Vec<String> = answers.iter().map(|line| client.run(line).to_text()).collect();
        let expected = ["2", "", "", "5", "h", "4102444800000", "0", "int"];
        assert_eq!(answers, expected, "{}", server.kind().name());
        assert_eq!(info(&mut client, "rdb_last_load_keys_loaded"), "2");
        assert_eq!(info(&mut client, "rdb_last_load_keys_expired"), "2");
        // Valkey does not log the names of keys, and counts more.
        if server.kind() != Kind::Valkey {
            let log = server.log();
            assert_eq!(log.matches("rdbLoadObject skipping empty key: ").count(), 10, "{log}");
            assert!(log.contains("keys loaded: 2, keys expired: 2, empty keys skipped: 12."), "{log}");
        }
    }
}

#[test]
fn how_keys_were_used_is_loaded_as_in_redis() {
    let file = by_hand(&[b"\xf8\x43\xe8\0\x01i\x01x", b"\xf9\x2a\0\x01f\x01x"]);
    for (_folder, server) in loaded_by_each(&file, "allkeys-lru") {
        let idle_s = server.client().run("OBJECT IDLETIME i").as_integer().expect("a number of seconds");
        assert!((1000..1030).contains(&idle_s), "{}: {idle_s}", server.kind().name());
    }
    for (_folder, server) in loaded_by_each(&file, "allkeys-lfu") {
        assert_eq!(server.client().run("OBJECT FREQ f"), Reply::Integer(42), "{}", server.kind().name());
    }
}

/// A server that loads the file of [`saved`] slowly, so that the loading does not end by itself during a test.
fn slow(kind: Kind, folder: &Folder, bytes: &[u8]) -> Server {
    fs::write(folder.join("dump.rdb"), bytes).expect("the file can be written");
    let launch = Launch::new(kind).in_folder(folder).directive("save", "3600 1").directive("maxmemory", "1");
    // A reference server looks at its clients after each kilobyte.
    launch.directive("key-load-delay", "30000").directive("loading-process-events-interval-bytes", "1024").spawn()
}

/// The order of the refusals is that of the references too: with `maxmemory 1` a write would be refused for that.
#[test]
fn the_refusals_while_data_is_loaded_are_those_of_redis() {
    let bytes = saved();
    let lines = [
        "PING",
        "GET a",
        "SET a 1",
        "GET",
        "NONSENSE",
        "SELECT 1",
        "ECHO a",
        "CLIENT GETNAME",
        "OBJECT HELP",
        "CONFIG GET dbfilename",
        "BGSAVE",
        "SAVE",
        "WATCH a",
        "MULTI",
        "SET a 1",
        "EXEC",
        "MULTI",
        "EXEC",
        "SUBSCRIBE channel",
    ];
    let commands: Vec<Vec<Vec<u8>>> =
        lines.iter().map(|line| line.split(' ').map(|word| word.as_bytes().to_vec()).collect()).collect();
    let answers = |kind: Kind| {
        let folder = Folder::new();
        let server = slow(kind, &folder, &bytes);
        let mut client = connect(&server);
        let replies = client.pipeline(&commands).expect("the server answers");
        assert!(!server.log().contains("DB loaded"), "{} has loaded the file before it answered", kind.name());
        let mut other = connect(&server);
        assert_eq!(other.run("CONFIG SET key-load-delay 0"), Reply::ok());
        wait_for(&mut other, "loading", "0");
        assert_eq!(other.run("DBSIZE"), Reply::Integer(1000));
        replies.iter().map(Reply::to_string).collect::<Vec<_>>()
    };
    let expected = answers(Kind::Redis);
    let ours = answers(Kind::subject());
    for (line, (ours, expected)) in lines.iter().zip(ours.iter().zip(&expected)) {
        assert_eq!(ours, expected, "{line}");
    }
}

#[test]
fn a_shutdown_while_data_is_loaded_saves_nothing() {
    let bytes = saved();
    for begin in ["SHUTDOWN", "SHUTDOWN SAVE", "SIGTERM"] {
        let folder = Folder::new();
        let mut server = slow(Kind::subject(), &folder, &bytes);
        let mut client = connect(&server);
        assert_eq!(info(&mut client, "loading"), "1");
        match begin {
            "SIGTERM" => server.signal(libc::SIGTERM),
            line => client.send(&line.split(' ').collect::<Vec<_>>()).expect("the server reads"),
        }
        assert_eq!(server.wait().code(), Some(0), "{begin}: {}", server.log());
        assert!(!server.log().contains("DB loaded"), "{}", server.log());
        assert_eq!(fs::read(folder.join("dump.rdb")).expect("the file is there"), bytes, "{begin}");
    }
}
