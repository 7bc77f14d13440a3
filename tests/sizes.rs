//! Proves that the number of keys is that of one instant, between two commands: DBSIZE, RANDOMKEY and INFO beside clients of other cores that
//! add, remove and move several keys with each command.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use ochre_testkit::{Client, Launch, Reply, Server};

const CORES: usize = 4;

/// How often a test reads.
const READINGS: usize = 2000;

/// Stops the writers, also if a reading has failed.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Runs each of the lists of commands again and again, by a client of its own, and meanwhile `read` on one core after the other.
fn beside(writers: &[&[&str]], prepare: &str, read: impl Fn(&mut Client)) {
    let server: Server = Launch::subject().threads(CORES).start();
    assert!(!server.client().run(prepare).is_error());
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let _stop = Stop(&is_over);
        for (core, commands) in writers.iter().enumerate() {
            let (mut client, is_over) = (server.client_on_core(core % CORES), &is_over);
            scope.spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    // A command may find that another writer has moved its key.
                    commands.iter().for_each(|command| _ = client.run(command));
                }
            });
        }
        let mut clients: Vec<Client> = (0..CORES).map(|core| server.client_on_core(core)).collect();
        (0..READINGS).for_each(|number| read(&mut clients[number % CORES]));
    });
}

/// The keys of all databases together, by INFO.
fn keys_of_all_databases(client: &mut Client) -> i64 {
    let info = client.run("INFO keyspace").to_text();
    let keys = info.split("keys=").skip(1).filter_map(|rest| rest.split(',').next());
    keys.map(|keys| keys.parse::<i64>().expect("a number")).sum()
}

#[test]
fn a_key_that_is_renamed_is_counted_once_and_found() {
    let writers: &[&[&str]] = &[
        &["RENAME here there", "RENAME there elsewhere"],
        &["RENAME elsewhere here", "RENAME there here", "RENAME elsewhere there"],
    ];
    beside(writers, "SET here v EX 100000", |client| {
        assert_eq!(client.run("DBSIZE"), Reply::Integer(1));
        assert_ne!(client.run("RANDOMKEY"), Reply::NullBulk);
        let info = client.run("INFO keyspace").to_text();
        assert!(info.contains("db0:keys=1,expires=1,"), "{info}");
    });
}

#[test]
fn the_keys_of_one_command_are_counted_together() {
    let keys = |name: &str| (0..30).map(|number| format!(" {name}{number}")).collect::<String>();
    let values = |name: &str| (0..30).map(|number| format!(" {name}{number} v")).collect::<String>();
    let [set_a, set_b] = ["a", "b"].map(|name| format!("MSET{}", values(name)));
    let [del_a, del_b] = ["a", "b"].map(|name| format!("DEL{}", keys(name)));
    // The second writer removes what the first has added, and the other way round.
    let writers: &[&[&str]] = &[&[&set_a, &del_b], &[&set_b, &del_a], &["DBSIZE"]];
    beside(writers, "PING", |client| {
        let size = client.run("DBSIZE").as_integer().expect("a number");
        assert!([0, 30, 60].contains(&size), "{size} keys");
    });
}

#[test]
fn a_key_that_changes_its_database_is_counted_once() {
    let writers: &[&[&str]] = &[&["MOVE k 1", "SELECT 1", "MOVE k 0", "SELECT 0"], &["SWAPDB 0 1"]];
    beside(writers, "SET k v", |client| assert_eq!(keys_of_all_databases(client), 1));
}

#[test]
fn a_transaction_that_flushes_is_counted_as_a_whole() {
    let transaction: &[&str] = &["MULTI", "FLUSHALL", "MSET a 1 b 2", "SELECT 1", "MSET c 3 d 4", "SELECT 0", "EXEC"];
    beside(&[transaction], "MSET 1 1 2 2 3 3 4 4", |client| assert_eq!(keys_of_all_databases(client), 4));
}

#[test]
fn a_transaction_sees_its_own_changes() {
    let server = Launch::subject().threads(2).start();
    let mut client = server.client();
    let lines = ["MULTI", "SET k v", "INFO keyspace", "DBSIZE", "DEL k", "DBSIZE", "RANDOMKEY", "EXEC"];
    let replies: Vec<Reply> = lines.iter().map(|line| client.run(line)).collect();
    let replies = replies[lines.len() - 1].items();
    assert!(replies[1].to_text().contains("db0:keys=1,"), "{}", replies[1]);
    assert_eq!(replies[2..], [&Reply::Integer(1), &Reply::Integer(1), &Reply::Integer(0), &Reply::NullBulk]);
    // Without DBSIZE the transaction locks only its keys.
    let replies = ["MULTI", "SET k v", "INFO keyspace", "EXEC"].map(|line| client.run(line));
    assert!(replies[3].items()[1].to_text().contains("db0:keys=1,"), "{}", replies[3]);
}
