//! Proves the guarantees of SCAN, SSCAN, HSCAN and ZSCAN while elements are added and removed: an element that is there throughout is
//! returned, and an element that never was there is not.

use std::collections::{BTreeMap, BTreeSet};

use ochre_testkit::{Client, Launch, Random, Reply};

/// A full iteration with SCAN. `between` is called after each step.
fn scan(client: &mut Client, options: &str, between: impl FnMut(&mut Client, usize)) -> BTreeMap<String, usize> {
    walk(client, "SCAN", options, between)
}

/// Like [`scan`], with another command. `command` is everything before the cursor.
fn walk(
    client: &mut Client,
    command: &str,
    options: &str,
    mut between: impl FnMut(&mut Client, usize),
) -> BTreeMap<String, usize> {
    let mut found: BTreeMap<String, usize> = BTreeMap::new();
    let mut cursor = "0".to_string();
    for step in 0.. {
        assert!(step < 1_000_000, "SCAN does not end");
        let reply = client.run(&format!("{command} {cursor} {options}"));
        let parts = reply.items();
        cursor = parts[0].to_text();
        // Clients in JavaScript and Lua store cursors in doubles.
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
fn a_scan_of_an_unchanging_keyspace_returns_every_key_once() {
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
fn a_scan_returns_every_key_that_is_there_throughout() {
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
fn filters_return_the_matching_keys() {
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
fn a_scan_returns_keys_of_its_database_only() {
    let server = Launch::subject().threads(2).start();
    let mut client = server.client();
    fill(&mut client, "zero:", 100);
    assert_eq!(client.run("SELECT 3"), Reply::ok());
    fill(&mut client, "three:", 50);
    assert_eq!(scan(&mut client, "", |_, _| {}).len(), 50);
    assert_eq!(client.run("KEYS zero:*"), Reply::Array(Vec::new()));
}

#[test]
fn sscan_returns_every_member_that_is_there_throughout() {
    let server = Launch::subject().threads(2).start();
    let mut client = server.client();
    let pipeline = |client: &mut Client, command: &str, members: &mut dyn Iterator<Item = String>| {
        let commands: Vec<Vec<Vec<u8>>> =
            members.map(|member| vec![command.as_bytes().to_vec(), b"set".to_vec(), member.into_bytes()]).collect();
        client.pipeline(&commands).expect("replies");
    };
    for count in [0, 1, 100, 5000] {
        client.run("DEL set");
        pipeline(&mut client, "SADD", &mut (0..count).map(|number| format!("m:{number}")));
        for options in ["", "COUNT 1", "COUNT 100", "COUNT 100000"] {
            let found = walk(&mut client, "SSCAN set", options, |_, _| {});
            assert_eq!((found.len(), found.values().sum()), (count, count), "with {options}");
        }
        let found = walk(&mut client, "SSCAN set", "MATCH m:*7 COUNT 13", |_, _| {});
        assert_eq!(found.len(), (0..count).filter(|number| number % 10 == 7).count());
    }
    for (seed, grow) in [(1, true), (2, false)] {
        client.run("DEL set");
        pipeline(&mut client, "SADD", &mut (0..2000).map(|number| format!("stays:{number}")));
        pipeline(&mut client, "SADD", &mut (0..8000).map(|number| format!("goes:{number}")));
        let mut random = Random::new(seed);
        let mut added = 0;
        let found = walk(&mut client, "SSCAN set", "COUNT 50", |client, _| {
            if grow {
                added += 150;
                pipeline(client, "SADD", &mut (added - 150..added).map(|number| format!("added:{number}")));
            } else {
                pipeline(client, "SREM", &mut (0..150).map(|_| format!("goes:{}", random.below(8000))));
            }
        });
        let stayed = found.keys().filter(|key| key.starts_with("stays:")).count();
        assert_eq!(stayed, 2000, "seed {seed}: members that were there throughout are missing");
        assert!(found.keys().all(|key| ["stays:", "goes:", "added:"].iter().any(|prefix| key.starts_with(prefix))));
    }
}

#[test]
fn hscan_returns_every_field_that_is_there_throughout() {
    let server = Launch::subject().threads(2).start();
    let mut client = server.client();
    let set = |client: &mut Client, fields: &mut dyn Iterator<Item = String>| {
        let words = |field: String| vec![b"HSET".to_vec(), b"hash".to_vec(), field.into_bytes(), b"v".to_vec()];
        client.pipeline(&fields.map(words).collect::<Vec<_>>()).expect("replies");
    };
    for count in [0, 1, 100, 5000] {
        client.run("DEL hash");
        set(&mut client, &mut (0..count).map(|number| format!("f:{number}")));
        for options in ["NOVALUES", "NOVALUES COUNT 1", "COUNT 100 NOVALUES", "NOVALUES COUNT 100000"] {
            let found = walk(&mut client, "HSCAN hash", options, |_, _| {});
            assert_eq!((found.len(), found.values().sum()), (count, count), "with {options}");
        }
        let found = walk(&mut client, "HSCAN hash", "NOVALUES MATCH f:*7 COUNT 13", |_, _| {});
        assert_eq!(found.len(), (0..count).filter(|number| number % 10 == 7).count());
        let with_values = walk(&mut client, "HSCAN hash", "COUNT 13", |_, _| {});
        assert_eq!(with_values.get("v").copied().unwrap_or_default(), count);
    }
    for grow in [true, false] {
        client.run("DEL hash");
        set(&mut client, &mut (0..2000).map(|number| format!("stays:{number}")));
        set(&mut client, &mut (0..8000).map(|number| format!("goes:{number}")));
        let mut changed = 0;
        let found = walk(&mut client, "HSCAN hash", "COUNT 50 NOVALUES", |client, _| {
            if grow {
                changed += 150;
                set(client, &mut (changed - 150..changed).map(|number| format!("added:{number}")));
            } else if changed < 8000 {
                // Half of the fields are deleted, half expire.
                changed += 100;
                let fields =
                    |from: usize| (from..from + 50).map(|number| format!(" goes:{number}")).collect::<String>();
                client.run(&format!("HDEL hash{}", fields(changed - 100)));
                client.run(&format!("HPEXPIRE hash 1 FIELDS 50{}", fields(changed - 50)));
            }
        });
        let stayed = found.keys().filter(|key| key.starts_with("stays:")).count();
        assert_eq!(stayed, 2000, "fields that were there throughout are missing");
        assert!(found.keys().all(|key| ["stays:", "goes:", "added:"].iter().any(|prefix| key.starts_with(prefix))));
    }
}
