//! Proves that files go between Ochre, Redis and Valkey: what one server saves, another one loads at start.

use std::fs;

use ochre_testkit::{Kind, Launch, Reply, new_folder};

use crate::{
    dataset::{dataset, fill},
    payloads::{compare, seen},
};

/// Saves all values by one server, and has another one load the file.
fn carry(from: Kind, to: Kind) {
    let saving = Launch::new(from).directive("enable-debug-command", "yes").start();
    let mut client = saving.client();
    if from == Kind::subject() && to == Kind::Valkey {
        assert_eq!(client.run("CONFIG SET rdb-dialect valkey"), Reply::ok());
    }
    for made in dataset() {
        fill(&mut client, &made);
    }
    assert_eq!(client.run("SELECT 9"), Reply::ok());
    assert_eq!(client.run("SET other value PXAT 4102444800000"), Reply::ok());
    assert_eq!(client.run("SELECT 0"), Reply::ok());
    let before: Vec<_> = dataset().iter().map(|made| seen(&mut client, &made.key)).collect();
    assert_eq!(client.run("SAVE"), Reply::ok());
    let folder = new_folder(to);
    fs::copy(saving.dir().join("dump.rdb"), folder.join("dump.rdb")).expect("the file can be copied");
    let loading = Launch::new(to).in_folder(&folder).directive("enable-debug-command", "yes").start();
    let mut client = loading.client();
    assert_eq!(client.run("DBSIZE"), Reply::Integer(dataset().len() as i64));
    for (made, before) in dataset().iter().zip(before) {
        compare(made, from, to, before, seen(&mut client, &made.key));
    }
    assert_eq!(client.run("SELECT 9"), Reply::ok());
    assert_eq!(client.run("PEXPIRETIME other"), Reply::Integer(4_102_444_800_000));
    drop(loading);
    fs::remove_dir_all(folder).expect("the folder can be removed");
}

#[test]
fn files_go_from_ochre_to_redis() {
    carry(Kind::subject(), Kind::Redis);
}

#[test]
fn files_go_from_ochre_to_valkey() {
    carry(Kind::subject(), Kind::Valkey);
}

#[test]
fn files_go_from_redis_to_ochre() {
    carry(Kind::Redis, Kind::subject());
}

#[test]
fn files_go_from_valkey_to_ochre() {
    carry(Kind::Valkey, Kind::subject());
}

#[test]
fn files_go_from_ochre_to_ochre() {
    carry(Kind::subject(), Kind::subject());
}
