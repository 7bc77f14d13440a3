//! Loading at start: what is answered meanwhile, and files that are broken.

use std::{fs, io::Write};

use ochre_testkit::{Launch, Reply, poll, process};

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
    let connect = || ochre_testkit::Client::connect(server.port()).ok();
    let mut client = poll::until(poll::PATIENCE, connect).expect("the server listens");
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
