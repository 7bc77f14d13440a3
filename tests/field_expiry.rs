//! Proves that fields of hashes expire when they should and not earlier, also if no client accesses them.

use std::time::Duration;

use ochre_testkit::{Client, Launch, Reply, eventually};

/// A value in a section of INFO.
fn info(client: &mut Client, section: &str, field: &str) -> String {
    let text = client.run(&format!("INFO {section}")).to_text();
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("{field} is not in {text}")).to_owned()
}

/// `HSET key f0 v f1 v …`
fn fill(client: &mut Client, key: &str, fields: usize) {
    for start in (0..fields).step_by(1000) {
        let mut words = vec![b"HSET".to_vec(), key.as_bytes().to_vec()];
        for number in start..fields.min(start + 1000) {
            words.extend([format!("f{number}").into_bytes(), b"v".to_vec()]);
        }
        client.pipeline(&[words]).expect("a reply");
    }
}

fn expire(client: &mut Client, key: &str, milliseconds: usize, fields: impl Iterator<Item = usize>) {
    let names: Vec<Vec<u8>> = fields.map(|number| format!("f{number}").into_bytes()).collect();
    for chunk in names.chunks(1000) {
        let mut words = vec![b"HPEXPIRE".to_vec(), key.as_bytes().to_vec(), milliseconds.to_string().into_bytes()];
        words.extend([b"FIELDS".to_vec(), chunk.len().to_string().into_bytes()]);
        words.extend(chunk.iter().cloned());
        client.pipeline(&[words]).expect("a reply");
    }
}

#[test]
fn fields_expire_without_being_accessed() {
    let server = Launch::subject().threads(4).start();
    let mut client = server.client();
    for number in 0..300 {
        client.run(&format!("HSET some{number} near v far v stays v"));
        client.run(&format!("HSETEX all{number} PX {} FIELDS 2 a 1 b 2", 1 + number % 60));
        client.run(&format!("HPEXPIRE some{number} {} FIELDS 1 near", 1 + number % 60));
        client.run(&format!("HEXPIRE some{number} 100000 FIELDS 1 far"));
    }
    eventually("the hashes without a lasting field are gone", || client.run("DBSIZE") == Reply::Integer(300));
    eventually("all fields are counted", || info(&mut client, "stats", "expired_subkeys") == "900");
    assert_eq!(info(&mut client, "keyspace", "db0"), "keys=300,expires=0,avg_ttl=0,subexpiry=300");
    for number in [0, 77, 299] {
        assert_eq!(client.run(&format!("HLEN some{number}")), Reply::Integer(2));
        client.run(&format!("HPERSIST some{number} FIELDS 1 far"));
    }
    assert_eq!(info(&mut client, "keyspace", "db0"), "keys=300,expires=0,avg_ttl=0,subexpiry=297");
}

#[test]
fn expired_fields_are_announced() {
    let server = Launch::subject().threads(4).directive("notify-keyspace-events", "Ehg").start();
    let mut client = server.client();
    client.run("HSET some near v stays v");
    client.run("HSET all a 1 b 2");
    let mut listener = server.client();
    listener.run("PSUBSCRIBE __keyevent@0__:*");
    client.run("HPEXPIRE some 30 FIELDS 1 near");
    client.run("HPEXPIRE all 60 FIELDS 2 a b");
    let mut announced = Vec::new();
    for _ in 0..5 {
        let message = listener.read_reply().expect("an announcement");
        let items = message.items();
        announced.push(format!("{} {}", items[2].to_text().replace("__keyevent@0__:", ""), items[3].to_text()));
    }
    assert_eq!(announced, ["hexpire some", "hexpire all", "hexpired some", "hexpired all", "del all"]);
    assert_eq!(listener.read_reply_within(Duration::from_millis(50)).unwrap(), None);
}

#[test]
fn expired_fields_are_never_seen() {
    let server = Launch::subject().threads(2).start();
    let mut client = server.client();
    client.run("DEBUG SET-ACTIVE-EXPIRE 0");
    // In a listpack and in a hash table, with as few expired fields as a lookup removes and with more.
    for (fields, expiring) in [(20, 10), (600, 30), (5000, 4000)] {
        client.run("DEL h");
        fill(&mut client, "h", fields);
        expire(&mut client, "h", 20, 0..expiring);
        client.run("SET clock 1 PX 40");
        eventually("they have expired", || client.run("EXISTS clock") == Reply::Integer(0));
        let left = (fields - expiring) as i64;
        assert_eq!(client.run("HEXISTS h f1"), Reply::Integer(0));
        assert_eq!(client.run("HLEN h"), Reply::Integer(left));
        assert_eq!(client.run("HKEYS h").items().len() as i64, left);
        assert_eq!(client.run(&format!("HRANDFIELD h {fields}")).items().len() as i64, left);
        assert_eq!(client.run("HPTTL h FIELDS 1 f1"), Reply::Array(vec![Reply::Integer(-2)]));
        assert_eq!(client.run("HSETNX h f1 w"), Reply::Integer(1));
        assert_eq!(client.run("HINCRBY h f2 5"), Reply::Integer(5));
        assert_eq!(client.run("HDEL h f3"), Reply::Integer(0));
        assert_eq!(client.run("HPTTL h FIELDS 2 f1 f2"), Reply::Array(vec![Reply::Integer(-1), Reply::Integer(-1)]));
        assert_eq!(client.run("HLEN h"), Reply::Integer(left + 2));
    }
    // A hash whose fields have all expired does not exist.
    for fields in [5, 5000] {
        client.run("DEL h");
        fill(&mut client, "h", fields);
        expire(&mut client, "h", 20, 0..fields);
        client.run("SET clock 1 PX 40");
        eventually("they have expired", || client.run("EXISTS clock") == Reply::Integer(0));
        assert_eq!(client.run("KEYS h*"), Reply::Array(vec![]));
        assert_eq!(client.run("EXISTS h"), Reply::Integer(0));
        assert_eq!(client.run("DBSIZE"), Reply::Integer(0));
        assert_eq!(client.run("HSET h f1 v"), Reply::Integer(1));
        assert_eq!(client.run("HLEN h"), Reply::Integer(1));
    }
    client.run("DEL h");
    client.run("HSETEX h PX 20 FIELDS 1 a 1");
    client.run("DEBUG SET-ACTIVE-EXPIRE 1");
    eventually("the hash is removed once active expiry is on again", || client.run("DBSIZE") == Reply::Integer(0));
}

#[test]
fn a_large_hash_loses_its_fields_while_others_are_served() {
    let server = Launch::subject().threads(1).start();
    let mut client = server.client();
    fill(&mut client, "h", 100_000);
    let before = client.run("MEMORY USAGE h").as_integer().expect("bytes");
    expire(&mut client, "h", 1000, 0..99_900);
    eventually("most of its fields are gone", || {
        assert_eq!(client.run("PING"), Reply::simple("PONG"));
        info(&mut client, "stats", "expired_subkeys") == "99900"
    });
    assert_eq!(client.run("HLEN h"), Reply::Integer(100));
    assert_eq!(client.run("HEXISTS h f99950"), Reply::Integer(1));
    assert_eq!(info(&mut client, "keyspace", "db0"), "keys=1,expires=0,avg_ttl=0,subexpiry=0");
    assert!(client.run("MEMORY USAGE h").as_integer().expect("bytes") < before / 20);
}

#[test]
fn commands_on_a_field_keep_or_remove_its_expiry() {
    let server = Launch::subject().threads(2).start();
    let mut client = server.client();
    for (limit, prefix) in [(512, "listpack"), (1, "table")] {
        client.run(&format!("CONFIG SET hash-max-listpack-entries {limit}"));
        let keeping =
            ["HSET k f w", "HPERSIST k FIELDS 1 f", "HGETEX k PERSIST FIELDS 1 f", "HEXPIRE k 1000 FIELDS 1 f"];
        let losing = ["HINCRBY k f 1", "HSETEX k KEEPTTL FIELDS 1 f 7", "HGETEX k FIELDS 1 f", "RENAME k k"];
        for (change, stays) in keeping.map(|it| (it, 1)).into_iter().chain(losing.map(|it| (it, 0))) {
            client.run("DEL k");
            client.run("HSET k f 1 other 2");
            client.run("HPEXPIRE k 60 FIELDS 1 f");
            client.run(change);
            client.run("SET clock 1 PX 80");
            eventually("the field's time has passed", || client.run("EXISTS clock") == Reply::Integer(0));
            assert_eq!(client.run("HEXISTS k f"), Reply::Integer(stays), "{prefix}: {change}");
            assert_eq!(client.run("HEXISTS k other"), Reply::Integer(1), "{prefix}: {change}");
        }
    }
    client.run("DEL k");
    client.run("HSETEX k PX 60 FIELDS 1 f 1");
    client.run("RENAME k renamed");
    client.run("COPY renamed copied");
    client.run("MOVE renamed 1");
    eventually("the copy expires", || client.run("EXISTS copied") == Reply::Integer(0));
    client.run("SELECT 1");
    eventually("the moved hash expires", || client.run("DBSIZE") == Reply::Integer(0));
}

#[test]
fn watched_hashes_whose_fields_expire_abort_exec() {
    let server = Launch::subject().threads(2).start();
    let mut client = server.client();
    let mut other = server.client();
    client.run("HSET h f 1 g 2");
    client.run("HPEXPIRE h 30 FIELDS 1 f");
    client.run("WATCH h");
    eventually("the field expires", || other.run("HLEN h") == Reply::Integer(1));
    client.run("MULTI");
    client.run("PING");
    assert_eq!(client.run("EXEC"), Reply::NullArray);
}
