//! `ochre check`: what it says of files that Redis and Valkey saved, and of broken ones.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use ochre_testkit::{Kind, Launch, Reply};

use crate::dataset::{dataset, fill};

/// Runs `ochre check` with these arguments.
fn check(arguments: &[&str], file: &Path) -> Output {
    let mut command = Command::new(Kind::Ochre.program());
    command.arg("check").args(arguments).arg(file).output().expect("Ochre runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Saves all keys of the data set by a server, and returns the file's bytes with the path of a copy in the server's folder.
fn saved(kind: Kind) -> (Vec<u8>, PathBuf, ochre_testkit::Server) {
    let server = Launch::new(kind).start();
    let mut client = server.client();
    dataset().iter().for_each(|made| fill(&mut client, made));
    assert_eq!(client.run("SET expiring value PXAT 4102444800000"), Reply::ok());
    assert_eq!(client.run("SELECT 5"), Reply::ok());
    assert_eq!(client.run("SET other 1"), Reply::ok());
    assert_eq!(client.run("SAVE"), Reply::ok());
    let bytes = fs::read(server.dir().join("dump.rdb")).expect("SAVE has written the file");
    let copy = server.dir().join("copy.rdb");
    (bytes, copy, server)
}

fn check_files_of(kind: Kind, format: &str) {
    let (bytes, path, _server) = saved(kind);
    fs::write(&path, &bytes).expect("the copy can be written");
    let whole = check(&["--largest", "1"], &path);
    let report = text(&whole.stdout);
    assert_eq!(whole.status.code(), Some(0), "{report}{}", text(&whole.stderr));
    assert!(report.starts_with(&format!("RDB file of {} bytes, format {format} version", bytes.len())), "{report}");
    let keys = dataset().len() + 1;
    assert!(report.contains(&format!("database 0: {keys} keys, 1 with an expiry, 0 of them expired\n")), "{report}");
    assert!(report.contains("database 5: 1 keys\n"), "{report}");
    assert!(report.ends_with("the file is whole\n"), "{report}");
    for kind in ["hash", "list", "set", "stream", "string", "zset"] {
        let count = dataset().iter().filter(|made| type_of(&made.key) == kind).count() + usize::from(kind == "string");
        let line = report.lines().find(|line| line.trim_start().starts_with(kind)).expect("each type has a line");
        assert!(line.contains(&format!(" {count} keys ")), "{line} has {count} keys");
    }
    assert!(text(&check(&["--json"], &path).stdout).contains(&format!("\"format\": \"{format}\"")));

    // Cut anywhere, a file is broken at its end. The steps reach the middle of every kind of record.
    for len in (1..bytes.len() - 1).rev().step_by(bytes.len() / 300) {
        fs::write(&path, &bytes[..len]).expect("the copy can be written");
        let cut = check(&[], &path);
        let report = text(&cut.stdout);
        assert_eq!(cut.status.code(), Some(1), "{len} bytes: {report}");
        assert!(
            report.ends_with(&format!("BROKEN at offset {len}: the file ends in the middle of a record\n")),
            "{report}"
        );
    }
    // A byte of a value that is not its form: only the checksum knows.
    let at = bytes.windows(5).position(|window| window == b"hello").expect("a string holds this word");
    let mut changed = bytes.clone();
    changed[at] = b'j';
    fs::write(&path, &changed).expect("the copy can be written");
    let report = text(&check(&[], &path).stdout);
    assert!(report.contains("the checksum of the file is wrong"), "{report}");
}

/// The type of a key of the data set, by its name.
fn type_of(key: &str) -> &str {
    match key.split(':').next().expect("the first part is there") {
        "bitmap" | "hll" => "string",
        "geo" => "zset",
        name => name,
    }
}

#[test]
fn files_of_redis_are_understood() {
    check_files_of(Kind::Redis, "redis");
}

#[test]
fn files_of_valkey_are_understood() {
    check_files_of(Kind::Valkey, "valkey");
}

#[test]
fn wrong_files_and_arguments_have_a_code_of_their_own() {
    let missing = check(&[], Path::new("/nothing/here.rdb"));
    assert_eq!(missing.status.code(), Some(2));
    assert!(text(&missing.stderr).starts_with("/nothing/here.rdb: No such file"), "{}", text(&missing.stderr));
    assert_eq!(check(&["--nonsense"], Path::new("file")).status.code(), Some(2));
    let other = check(&[], Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")));
    assert_eq!(other.status.code(), Some(1));
    assert!(text(&other.stdout).contains("this is not an RDB file"), "{}", text(&other.stdout));
}
