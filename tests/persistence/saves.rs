//! SAVE, BGSAVE, save points, SHUTDOWN: what a file holds that was saved while clients wrote.

use std::{
    fs,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use ochre_testkit::{Client, Launch, Reply};

use super::{Folder, info, wait_for};

fn launch(folder: &Folder) -> Launch {
    Launch::subject().threads(2).in_folder(folder).directive("enable-debug-command", "yes")
}

fn ok(client: &mut Client, line: &str) {
    let reply = client.run(line);
    assert!(!reply.is_error(), "{line}: {}", reply.to_text());
}

#[test]
fn what_is_saved_is_there_after_a_restart() {
    let folder = Folder::new();
    let mut server = launch(&folder).start();
    let mut client = server.client();
    ok(&mut client, "SET string value PXAT 4102444800000");
    ok(&mut client, "HSET hash a 1 b 2");
    ok(&mut client, "HPEXPIREAT hash 4102444800000 FIELDS 1 a");
    ok(&mut client, "SELECT 7");
    ok(&mut client, "RPUSH list 1 2 3");
    let digest = client.run("DEBUG DIGEST");
    assert_eq!(client.run("SAVE"), Reply::ok());
    assert_eq!(info(&mut client, "rdb_changes_since_last_save"), "0");
    ok(&mut client, "DEL list");
    server.kill();
    let server = launch(&folder).start();
    assert_eq!(server.client().run("DEBUG DIGEST"), digest);
    assert!(server.log().contains("Done loading RDB, keys loaded: 3, keys expired: 0."), "{}", server.log());
}

#[test]
fn the_replies_of_saving_commands() {
    let folder = Folder::new();
    let server = launch(&folder).start();
    let mut client = server.client();
    ok(&mut client, "DEBUG POPULATE 100000");
    assert_eq!(client.run("BGSAVE nonsense").to_string(), "-ERR syntax error");
    assert_eq!(client.run("BGSAVE SCHEDULE CANCEL").to_string(), "-ERR syntax error");
    let idle = "-ERR Background saving is currently not in progress or scheduled";
    assert_eq!(client.run("BGSAVE CANCEL").to_string(), idle);
    assert_eq!(client.run("BGSAVE"), Reply::simple("Background saving started"));
    wait_for(&mut client, "rdb_bgsave_in_progress", "0");
    assert_eq!(info(&mut client, "rdb_last_bgsave_status"), "ok");
    assert_eq!(info(&mut client, "rdb_saves"), "1");
    ok(&mut client, "MULTI");
    ok(&mut client, "BGSAVE");
    assert_eq!(client.run("SAVE").to_string(), "-ERR Command not allowed inside a transaction");
    ok(&mut client, "DISCARD");
    ok(&mut client, "MULTI");
    ok(&mut client, "BGSAVE");
    let replies = client.run("EXEC");
    assert_eq!(*replies.items()[0], Reply::simple("Background saving scheduled"));
    wait_for(&mut client, "rdb_saves", "2");
    assert!(client.run("LASTSAVE").as_integer().is_some_and(|at_s| at_s > 1_700_000_000));
}

/// A save that is cancelled leaves no file, says nothing about the disk, and the next one has everything.
#[test]
fn a_cancelled_save_leaves_nothing() {
    let folder = Folder::new();
    let mut server = launch(&folder).start();
    let mut client = server.client();
    ok(&mut client, "DEBUG POPULATE 200000 key 50");
    let digest = client.run("DEBUG DIGEST");
    ok(&mut client, "BGSAVE");
    let cancelled = client.run("BGSAVE CANCEL");
    // The save may have ended before, on a quick machine.
    if cancelled == Reply::simple("Background saving cancelled") {
        assert_eq!(client.run("BGSAVE"), Reply::simple("Background saving started"));
    }
    wait_for(&mut client, "rdb_bgsave_in_progress", "0");
    let names: Vec<_> = fs::read_dir(&*folder).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert!(!names.iter().any(|name| name.to_string_lossy().starts_with("temp-")), "{names:?}");
    server.kill();
    assert_eq!(launch(&folder).start().client().run("DEBUG DIGEST"), digest);
}

#[test]
fn a_save_point_saves() {
    let folder = Folder::new();
    let server = launch(&folder).start();
    let mut client = server.client();
    ok(&mut client, "CONFIG SET save \"1 2\"");
    ok(&mut client, "SET a 1");
    ok(&mut client, "SET b 1");
    wait_for(&mut client, "rdb_saves", "1");
    wait_for(&mut client, "rdb_changes_since_last_save", "0");
    assert!(server.log().contains("2 changes in 1 seconds. Saving..."), "{}", server.log());
}

/// A file cannot take the place of a folder, so the save fails.
#[test]
fn writes_are_refused_while_the_data_cannot_be_saved() {
    const MISCONF: &str = "-MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk. \
        Commands that may modify the data set are disabled, because this instance is configured to report errors during writes \
        if RDB snapshotting fails (stop-writes-on-bgsave-error option). Please check the Redis logs for details about the RDB error.";
    let folder = Folder::new();
    let server = launch(&folder).start();
    let mut client = server.client();
    fs::create_dir(folder.join("dump.rdb")).expect("a folder can be made");
    ok(&mut client, "SET a 1");
    assert_eq!(client.run("SAVE").to_string(), "-ERR");
    assert_eq!(info(&mut client, "rdb_last_bgsave_status"), "err");
    assert_eq!(client.run("SET a 2"), Reply::ok(), "without save points nothing is promised");
    ok(&mut client, "CONFIG SET save \"9000 1\"");
    for refused in ["SET a 3", "DEL a", "PING", "FLUSHALL"] {
        assert_eq!(client.run(refused).to_string(), MISCONF, "{refused}");
    }
    assert_eq!(client.run("GET a"), Reply::bulk("2"));
    ok(&mut client, "MULTI");
    assert_eq!(client.run("INCR a").to_string(), MISCONF);
    assert!(client.run("EXEC").to_string().starts_with("-EXECABORT"));
    ok(&mut client, "CONFIG SET stop-writes-on-bgsave-error no");
    assert_eq!(client.run("SET a 4"), Reply::ok());
    ok(&mut client, "CONFIG SET stop-writes-on-bgsave-error yes");
    fs::remove_dir(folder.join("dump.rdb")).expect("the folder is empty");
    assert_eq!(client.run("SAVE"), Reply::ok());
    assert_eq!(client.run("SET a 5"), Reply::ok(), "the cause has gone");
}

#[test]
fn flushall_saves_the_empty_dataset() {
    let folder = Folder::new();
    let mut server = launch(&folder).directive("save", "9000 100000").start();
    let mut client = server.client();
    ok(&mut client, "SET a 1");
    assert_eq!(client.run("SAVE"), Reply::ok());
    assert_eq!(client.run("FLUSHALL"), Reply::ok());
    server.kill();
    assert_eq!(launch(&folder).start().client().run("DBSIZE"), Reply::Integer(0));
}

#[test]
fn a_shutdown_saves_if_there_are_save_points() {
    for (save, options, is_saved) in [
        ("9000 1", &["SHUTDOWN"][..], true),
        ("9000 1", &["SHUTDOWN", "NOSAVE"], false),
        ("", &["SHUTDOWN"], false),
        ("", &["SHUTDOWN", "SAVE"], true),
    ] {
        let folder = Folder::new();
        let mut server = launch(&folder).directive("save", save).start();
        let mut client = server.client();
        ok(&mut client, "SET a 1");
        client.send(options).unwrap();
        assert_eq!(client.read_to_end().unwrap(), b"");
        assert!(server.wait().success());
        let keys = launch(&folder).start().client().run("DBSIZE");
        assert_eq!(keys, Reply::Integer(i64::from(is_saved)), "save {save:?}, {options:?}");
    }
}

/// What writers keep true at every instant is true in the file: money is only moved, each token is somewhere, and two databases are exchanged.
#[test]
fn a_file_holds_one_instant_of_what_writers_do() {
    const ACCOUNTS: usize = 3000;
    const TOKENS: usize = 500;
    const ROUNDS: usize = 8;
    /// Longer than a string that would be copied under a lock.
    const LONG: usize = 3 << 20;
    let folder = Folder::new();
    let server = launch(&folder).start();
    let mut client = server.client();
    for account in 0..ACCOUNTS {
        ok(&mut client, &format!("SET account:{account} 1000"));
        ok(&mut client, &format!("RPUSH list:{account} x"));
    }
    for token in 0..TOKENS {
        ok(&mut client, &format!("SET {{token}}:{token} {token}"));
    }
    ok(&mut client, &format!("SETRANGE long {} x", LONG - 1));
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        for writer in 0..2usize {
            let (server, is_over) = (&server, &is_over);
            scope.spawn(move || {
                let mut client = server.client();
                let mut random = ochre_testkit::Random::new(writer as u64);
                while !is_over.load(Ordering::Relaxed) {
                    let mut draw = |below: usize| random.below(below);
                    let (from, to, token) = (draw(ACCOUNTS), draw(ACCOUNTS), draw(TOKENS));
                    let commands: Vec<String> = match draw(6) {
                        0 if writer == 0 => vec![format!("RENAMENX {{token}}:{token} {{token}}:b:{token}")],
                        1 if writer == 0 => vec![format!("RENAMENX {{token}}:b:{token} {{token}}:{token}")],
                        2 if writer == 0 => vec!["SWAPDB 5 6".to_owned()],
                        4 => vec![
                            "MULTI".to_owned(),
                            "APPEND long x".to_owned(),
                            "INCR appended".to_owned(),
                            "EXEC".to_owned(),
                        ],
                        3 => vec!["MULTI".to_owned(), format!("RPOPLPUSH list:{from} list:{to}"), "EXEC".to_owned()],
                        _ => vec![
                            "MULTI".to_owned(),
                            format!("DECRBY account:{from} 7"),
                            format!("INCRBY account:{to} 7"),
                            "EXEC".to_owned(),
                        ],
                    };
                    let words = |line: &String| line.split(' ').map(|word| word.as_bytes().to_vec()).collect();
                    client.pipeline(&commands.iter().map(words).collect::<Vec<_>>()).expect("the server answers");
                }
            });
        }
        let mut client = server.client();
        ok(&mut client, "SELECT 5");
        ok(&mut client, "SET name five");
        for round in 0..ROUNDS {
            // With a small limit, writers wait for what they hand over.
            let limit = if round % 2 == 0 { 0 } else { 1000 };
            ok(&mut client, &format!("CONFIG SET snapshot-backlog-limit {limit}"));
            assert_eq!(client.run("SAVE"), Reply::ok());
            let copy = Folder::new();
            fs::copy(folder.join("dump.rdb"), copy.join("dump.rdb")).expect("the file can be copied");
            let loaded = launch(&copy).start();
            let mut loaded = loaded.client();
            let sum: i64 = (0..ACCOUNTS)
                .map(|account| loaded.run(&format!("GET account:{account}")).to_text().parse::<i64>().unwrap())
                .sum();
            assert_eq!(sum, 1000 * ACCOUNTS as i64, "round {round}");
            let items: i64 =
                (0..ACCOUNTS).map(|account| loaded.run(&format!("LLEN list:{account}")).as_integer().unwrap()).sum();
            assert_eq!(items, ACCOUNTS as i64, "round {round}");
            let appended = loaded.run("GET appended").to_text().parse::<i64>().unwrap_or(0);
            assert_eq!(loaded.run("STRLEN long"), Reply::Integer(LONG as i64 + appended), "round {round}");
            let names = loaded.run("KEYS {token}:*").items().len();
            assert_eq!(names, TOKENS, "round {round}");
            let found: Vec<String> = ["SELECT 5", "GET name", "SELECT 6", "GET name"]
                .iter()
                .map(|line| loaded.run(line).to_text())
                .filter(|text| text.contains("five"))
                .collect();
            assert_eq!(found.len(), 1, "round {round}");
        }
        is_over.store(true, Ordering::Relaxed);
    });
}
