//! SCAN while keys come and go: what was there throughout is returned, and nothing that never was.

use std::collections::{BTreeMap, BTreeSet};

use ochre_testkit::{Client, Launch, Random, Reply};

/// One SCAN from beginning to end, with something done between its steps.
fn scan(client: &mut Client, options: &str, mut between: impl FnMut(&mut Client, usize)) -> BTreeMap<String, usize> {
    let mut found: BTreeMap<String, usize> = BTreeMap::new();
    let mut cursor = "0".to_string();
    for step in 0.. {
        assert!(step < 1_000_000, "SCAN does not end");
        let reply = client.run(&format!("SCAN {cursor} {options}"));
        let parts = reply.items();
        cursor = parts[0].to_text();
        // Clients in JavaScript and Lua keep cursors in doubles.
        assert!(cursor.parse::<u64>().expect("a cursor is a number") < 1 << 53, "{cursor}");
        for key in parts[1].items() {
            *found.entry(key.to_text()).or_default() += 1;
        }
        if cursor == "0" {
            break;
        }
        between(client, step);
    }
    found
}

fn fill(client: &mut Client, prefix: &str, count: usize) {
    let commands: Vec<Vec<Vec<u8>>> = (0..count)
        .map(|number| vec![b"SET".to_vec(), format!("{prefix}{number}").into_bytes(), b"v".to_vec()])
        .collect();
    for chunk in commands.chunks(1000) {
        client.pipeline(chunk).expect("replies");
    }
}

#[test]
fn a_scan_at_rest_returns_every_key_once() {
    let server = Launch::subject().threads(4).start();
    let mut client = server.client();
    for count in [0, 1, 2, 17, 1000, 20_000] {
        client.run("FLUSHALL");
        fill(&mut client, "key:", count);
        for options in ["", "COUNT 1", "COUNT 100", "COUNT 100000"] {
            if count > 1000 && options == "COUNT 1" {
                continue;
            }
            let found = scan(&mut client, options, |_, _| {});
            assert_eq!(found.len(), count, "with {options}");
        }
    }
}

#[test]
fn a_scan_returns_all_that_was_there_throughout() {
    let server = Launch::subject().threads(4).start();
    for (seed, grow) in [(1, true), (2, false), (3, true)] {
        let mut client = server.client();
        client.run("FLUSHALL");
        fill(&mut client, "stays:", 2000);
        fill(&mut client, "goes:", 8000);
        let mut random = Random::new(seed);
        let mut added = 0;
        let found = scan(&mut client, "COUNT 50", |client, _| {
            let commands: Vec<Vec<Vec<u8>>> = (0..200)
                .map(|_| {
                    if grow && random.chance(80) {
                        added += 1;
                        vec![b"SET".to_vec(), format!("added:{added}").into_bytes(), b"v".to_vec()]
                    } else {
                        vec![b"DEL".to_vec(), format!("goes:{}", random.below(8000)).into_bytes()]
                    }
                })
                .collect();
            client.pipeline(&commands).expect("replies");
        });
        let stayed = found.keys().filter(|key| key.starts_with("stays:")).count();
        assert_eq!(stayed, 2000, "seed {seed}: keys that were there throughout are missing");
        assert!(found.keys().all(|key| ["stays:", "goes:", "added:"].iter().any(|prefix| key.starts_with(prefix))));
    }
}

#[test]
fn filters_return_what_they_should() {
    let server = Launch::subject().threads(4).start();
    let mut client = server.client();
    fill(&mut client, "a:", 300);
    fill(&mut client, "b:", 300);
    let matching = |found: BTreeMap<String, usize>| found.into_keys().collect::<BTreeSet<String>>();
    let expected: BTreeSet<String> = (0..300).map(|number| format!("a:{number}")).collect();
    assert_eq!(matching(scan(&mut client, "MATCH a:*", |_, _| {})), expected);
    assert_eq!(matching(scan(&mut client, "MATCH a:7 COUNT 7", |_, _| {})), BTreeSet::from(["a:7".to_string()]));
    assert_eq!(scan(&mut client, "TYPE string", |_, _| {}).len(), 600);
    assert_eq!(scan(&mut client, "TYPE list", |_, _| {}).len(), 0);
    assert_eq!(scan(&mut client, "MATCH b:* TYPE string COUNT 1000", |_, _| {}).len(), 300);
}

#[test]
fn databases_are_scanned_apart() {
    let server = Launch::subject().threads(2).start();
    let mut client = server.client();
    fill(&mut client, "zero:", 100);
    assert_eq!(client.run("SELECT 3"), Reply::ok());
    fill(&mut client, "three:", 50);
    assert_eq!(scan(&mut client, "", |_, _| {}).len(), 50);
    assert_eq!(client.run("KEYS zero:*"), Reply::Array(Vec::new()));
}
