//! Tests of the rows and of everything derived from them, and a comparison with the defaults that the reference servers report.

use std::{fs, path::PathBuf, sync::atomic::AtomicU32, sync::atomic::Ordering};

use proptest::prelude::*;

use super::{
    file::{Origin, Reader},
    rewrite,
    rules::Place,
    *,
};

/// What a start with no line makes.
fn defaults() -> Config {
    Config { dir: std::env::current_dir().unwrap().canonicalize().unwrap(), ..Config::default() }
}

fn read(text: &str) -> Result<Config, StartError> {
    let mut reader = Reader::new(defaults());
    reader.read_text(&Origin::CommandLine, text.as_bytes()).map(|()| reader.config)
}

fn shown(config: &Config, name: &str) -> String {
    String::from_utf8(lookup(name.as_bytes()).expect(name).show(config)).unwrap()
}

/// A folder of its own for a test.
fn directory() -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let directory = std::env::temp_dir().join(format!("ochre-config-{}-{number}", std::process::id()));
    fs::create_dir_all(&directory).unwrap();
    directory
}

#[test]
fn names_are_unique_and_found_in_any_case() {
    let names: Vec<&str> = directives().flat_map(Directive::names).collect();
    for (index, name) in names.iter().enumerate() {
        assert!(!names[..index].contains(name), "{name} is there twice");
        assert_eq!(name.to_ascii_lowercase(), *name);
        let found = lookup(name.to_ascii_uppercase().as_bytes()).unwrap();
        assert!(found.names().any(|known| known == *name));
    }
}

#[test]
fn a_default_is_written_and_read_as_itself() {
    let defaults = defaults();
    for directive in directives() {
        let mut config = defaults.clone();
        let mut place = Place::FirstLine;
        for line in directive.lines(&defaults) {
            let words = words::split(&line).unwrap();
            directive.set(&mut config, &words.iter().map(Vec::as_slice).collect::<Vec<_>>(), place).unwrap();
            place = Place::FurtherLine;
        }
        assert_eq!(config, defaults, "{}", directive.name);
        directive.set_at_run_time(&mut config, &directive.show(&defaults)).unwrap();
        assert_eq!(config, defaults, "{}", directive.name);
        assert!(directive.doc.trim().ends_with(['.', '?', ':']), "{} has no sentence about it", directive.name);
    }
}

/// Every directive of a reference server, with its default.
const REDIS: &str = include_str!("references/redis-8.2.3.conf");
const VALKEY: &str = include_str!("references/valkey-9.1.2.conf");

/// The directives of a reference's file: their names, and their defaults as CONFIG GET shows them.
fn reference(file: &str) -> Vec<(String, String)> {
    let text = |words: &[Vec<u8>]| String::from_utf8(words.join(&b' ')).unwrap();
    lines(file.as_bytes()).map(|line| line.unwrap().words).map(|it| (text(&it[..1]), text(&it[1..]))).collect()
}

#[test]
fn defaults_are_those_of_the_reference_servers() {
    /// Its own name, the working directory, and what costs nobody a wait here.
    const OURS: [&str; 3] = ["syslog-ident", "dir", "activedefrag"];
    let defaults = defaults();
    let (redis, valkey) = (reference(REDIS), reference(VALKEY));
    for (name, value) in redis.iter().filter(|(name, _)| !OURS.contains(&name.as_str())) {
        assert_eq!(shown(&defaults, name), *value, "{name}");
    }
    // Where the two differ, the default is that of Redis.
    for (name, value) in valkey.iter().filter(|(name, _)| !redis.iter().any(|(known, _)| known == name)) {
        assert_eq!(shown(&defaults, name), *value, "{name}");
    }
}

/// A file that names every directive of a reference server starts Ochre too, and each line means what it means there.
#[test]
fn every_directive_of_the_reference_servers_is_accepted() {
    for file in [REDIS, VALKEY] {
        let config = read(file).unwrap();
        for (name, value) in reference(file) {
            let value = if name == "dir" { defaults().dir.display().to_string() } else { value };
            assert_eq!(shown(&config, &name), value, "{name}");
        }
    }
}

/// The file that the test suites of Redis and Valkey start their servers with.
#[test]
fn the_test_suites_of_the_reference_servers_can_configure_ochre() {
    let text = "always-show-logo yes\nnotify-keyspace-events KEA\ndaemonize no\npidfile /var/run/redis.pid\nport 6379\n\
        timeout 0\nloglevel verbose\nlogfile ''\ndatabases 16\nlatency-monitor-threshold 1\n\
        repl-diskless-sync-delay 0\nsave 900 1\nsave 300 10\nsave 60000 10000\nrdbcompression yes\n\
        dbfilename dump.rdb\ndir ./\nslave-serve-stale-data yes\nappendonly no\nappendfsync everysec\n\
        no-appendfsync-on-rewrite no\nactiverehashing yes\nenable-protected-configs yes\nenable-debug-command yes\n\
        enable-module-command yes\nenable-debug-assert yes\npropagation-error-behavior panic\n\
        shutdown-on-sigterm force\nlatency-tracking yes\n";
    let config = read(text).unwrap();
    assert_eq!(shown(&config, "enable-debug-assert"), "yes");
    assert_eq!(shown(&config, "shutdown-on-sigterm"), "force");
    assert_eq!(shown(&config, "save"), "900 1 300 10 60000 10000");
}

/// `ochre.conf` has every directive, and starts the server with the defaults except where a row has another value for the file.
#[test]
fn the_document_sets_every_directive() {
    let text = document();
    let mut set: Vec<(&str, String)> = Vec::new();
    for line in lines(text.as_bytes()) {
        let line = line.unwrap();
        let directive = lookup(&line.words[0]).unwrap();
        let name = String::from_utf8(line.words[0].clone()).unwrap();
        assert_eq!(directive.name, name, "a directive is written under its own name");
        let line = String::from_utf8_lossy(line.text) + "\n";
        match set.last_mut() {
            // Several lines of a directive add up.
            Some((last, before)) if *last == directive.name => before.push_str(&line),
            _ => set.push((directive.name, line.into_owned())),
        }
    }
    let mut expected = defaults();
    for (name, lines) in &set {
        let directive = lookup(name.as_bytes()).unwrap();
        if let Some(value) = directive.in_file {
            directive.set_at_run_time(&mut expected, value.as_bytes()).unwrap();
            assert_ne!(directive.show(&expected), directive.show(&defaults()), "{name}");
        }
        let read = read(lines).unwrap();
        assert_eq!(directive.show(&read), directive.show(&expected), "{name}");
    }
    let set: Vec<&str> = set.into_iter().map(|(name, _)| name).collect();
    assert_eq!(set, directives().map(|directive| directive.name).collect::<Vec<_>>());
    assert_eq!(read(&text).unwrap(), expected);
    assert_eq!(shown(&expected, "bind"), "127.0.0.1 -::1", "the network does not reach a server with the shipped file");
}

#[test]
fn the_file_in_the_repository_is_the_document() {
    let file = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../ochre.conf")).unwrap_or_default();
    assert!(file == document(), "ochre.conf differs from the rows: `cargo xtask fix` writes it");
}

#[test]
fn examples_are_accepted_and_show_something_else_than_the_default() {
    for directive in directives() {
        let Some(example) = directive.example else { continue };
        let line = format!("{} {example}", directive.name);
        assert_ne!(directive.show(&read(&line).unwrap()), directive.show(&defaults()), "{line}");
        assert!(document().contains(&format!("\n# Example: {line}\n")));
    }
}

#[test]
fn lines_are_followed_in_order() {
    #[track_caller]
    fn check(text: &str, name: &str, expected: &str) {
        assert_eq!(shown(&read(text).unwrap(), name), expected, "{text}");
    }
    check("PORT 7000\n  # port 1\n\n\tport 7001  \r\n", "port", "7001");
    check("maxmemory 1gb", "maxmemory", "1073741824");
    check("maxmemory-clients 5%", "maxmemory-clients", "5%");
    check("save 100 100", "save", "100 100");
    check("save 900 1\nsave 100 100", "save", "900 1 100 100");
    check("save 900 1\nsave \"\"", "save", "");
    check("save \"\"\nsave 3 4", "save", "3 4");
    check("save '900 1 5 5'", "save", "900 1 5 5");
    check("bind 1.2.3.4 -::1\nbind *", "bind", "*");
    check("bind \"\"", "bind", "");
    check("requirepass \"a b\\x21\"", "requirepass", "a b!");
    check("slave-priority 7", "replica-priority", "7");
    check(
        "client-output-buffer-limit normal 1mb 0 0\nclient-output-buffer-limit replica 1 2 3",
        "client-output-buffer-limit",
        "normal 1048576 0 0 slave 1 2 3 pubsub 33554432 8388608 60",
    );
    check("hz 10000", "hz", "500");
    check("unixsocketperm 700", "unixsocketperm", "700");
    check("user default on nopass ~* &* +@all\nio-threads-do-reads yes", "port", "6379");
    assert_eq!(read("user alice on").unwrap().users[..], [vec![b"alice".to_vec(), b"on".to_vec()]]);
    check("replicaof no one\ntls-port 0\nappendonly no", "replicaof", "");
    assert_eq!(read("rename-command GET \"\"").unwrap().renamed_commands, [(b"GET".to_vec(), vec![])]);
}

#[test]
fn a_wrong_line_is_told_with_its_place() {
    #[track_caller]
    fn check(line: &str, expected: &str) {
        let error = read(&format!("# first\n{line}\n")).unwrap_err().to_string();
        let lines: Vec<&str> = error.lines().collect();
        assert_eq!(lines[..2], ["", "*** FATAL CONFIG FILE ERROR (Ochre 0.1.0) ***"]);
        assert_eq!(lines[2], "Reading the configuration file, at line 2");
        assert_eq!(lines[3], format!(">>> '{line}'"));
        assert_eq!(lines[4], expected);
        assert_eq!(*lines.last().unwrap(), "This line is from the command line.");
    }
    check("foo", "Bad directive or wrong number of arguments");
    check("prot 1", "Bad directive or wrong number of arguments");
    check("port", "wrong number of arguments");
    check("port 1 2", "wrong number of arguments");
    check("port \"--port\" \"1\"", "wrong number of arguments");
    check("port x", "argument couldn't be parsed into an integer");
    check("port 70000", "argument must be between 0 and 65535 inclusive");
    check("maxclients 0", "argument must be between 1 and 4294967295 inclusive");
    check("maxclients -1", "argument must be greater or equal to 0");
    check("maxmemory \"1 gb\"", "argument must be a memory value");
    check("maxmemory-clients 101%", "percentage argument must be less or equal to 100");
    check("client-query-buffer-limit 1", "argument must be between 1048576 and 9223372036854775807 inclusive");
    check("active-defrag-ignore-bytes 0", "argument must be between 1 and 9223372036854775807 inclusive");
    check("cluster-message-gossip-perc 0", "argument must be between 1 and 100 inclusive");
    check("tls-auth-clients-user x", "argument(s) must be one of the following: off, CN");
    check("unixsocketperm 9", "argument couldn't be parsed as an octal number");
    check("unixsocketperm 1000", "argument must be between 0 and 777 inclusive");
    check("daemonize maybe", "argument must be 'yes' or 'no'");
    check("supervised x", "argument(s) must be one of the following: upstart, systemd, auto, no");
    check("save \"a", "Unbalanced quotes in configuration line");
    check("save \"\" 1", "Invalid save parameters");
    check("save 1 2 3", "Invalid save parameters");
    check("client-output-buffer-limit foo 1 2 3", "Invalid client class specified in buffer limit configuration.");
    check("client-output-buffer-limit normal 1 2", "Wrong number of arguments in buffer limit configuration.");
    check("dbfilename a/b", "dbfilename can't be a path, just a filename");
    check("dir /there/is/no/such/folder", "No such file or directory");
    check("replicaof a", "wrong number of arguments");
    check("replicaof a b", "Invalid master port");
    check("sentinel x", "sentinel directive while not in sentinel mode");
    check("rename-command GET", "Bad directive or wrong number of arguments");
    check("notify-keyspace-events q", "Invalid event class character. Use 'Ag$lshzxeKEtmdn'.");
    for promise in ["cluster-enabled yes", "replicaof 10.0.0.1 6379", "loadmodule /x.so"] {
        let error = read(promise).unwrap_err().to_string();
        assert!(error.contains("this version") || error.contains("Ochre cannot"), "{error}");
    }
    let hint = read("prot 1").unwrap_err().to_string();
    assert!(hint.contains("Did you mean 'port'?"), "{hint}");
}

#[test]
fn files_include_others() {
    let directory = directory();
    let write = |name: &str, text: &str| fs::write(directory.join(name), text).unwrap();
    let path = |name: &str| directory.join(name).display().to_string();
    let read_file = |name: &str| {
        let mut reader = Reader::new(defaults());
        reader.read_file(&directory.join(name)).map(|()| reader.config)
    };
    write("10.part", "port 1\nmaxclients 7");
    write("20.part", "port 2");
    write("main", &format!("include {}\ntimeout 3\ninclude {}/no-such-*", path("*.part"), path("")));
    let config = read_file("main").unwrap();
    assert_eq!((config.port, config.maxclients, config.timeout_s), (2, 7, 3));
    write("relative", &format!("dir {}\ninclude 10.part", directory.display()));
    assert_eq!(read_file("relative").unwrap().port, 1);
    write("broken", "port 1\n\nprt 2");
    write("outer", &format!("include {}", path("broken")));
    let error = read_file("outer").unwrap_err().to_string();
    assert!(
        error.contains("at line 3\n") && error.ends_with(&format!("This line is from the file {}.", path("broken"))),
        "{error}"
    );
    write("missing", &format!("include {}", path("gone")));
    let error = read_file("missing").unwrap_err().to_string();
    assert_eq!(error, format!("Fatal error, can't open config file '{}': No such file or directory", path("gone")));
    write("loop", &format!("include {}", path("loop")));
    assert!(read_file("loop").unwrap_err().to_string().contains("does one include itself?"));
    fs::remove_dir_all(&directory).unwrap();
}

fn store(options: &str) -> ConfigStore {
    ConfigStore::load(&Sources { options: options.into(), ..Sources::default() }).unwrap()
}

fn set(store: &ConfigStore, pairs: &[(&str, &str)]) -> Result<(), String> {
    let pairs: Vec<(&[u8], &[u8])> = pairs.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
    store.set(&pairs, false, &mut |_, _, _| Ok(())).map(drop).map_err(|error| error.to_string())
}

#[test]
fn config_set_takes_all_pairs_or_none() {
    let store = store("");
    let before = store.current();
    #[track_caller]
    fn check(store: &ConfigStore, pairs: &[(&str, &str)], expected: &str) {
        let expected = match expected.split_once(": ") {
            Some((name, reason)) => format!("ERR CONFIG SET failed (possibly related to argument '{name}') - {reason}"),
            None => format!("ERR Unknown option or number of arguments for CONFIG SET - '{expected}'"),
        };
        assert_eq!(set(store, pairs).unwrap_err(), expected);
    }
    check(&store, &[("timeout", "1"), ("Foo", "1"), ("bar", "2")], "Foo");
    check(&store, &[("databases", "1"), ("foo", "1")], "foo");
    check(&store, &[("timeout", "1"), ("PORT", "x")], "port: argument couldn't be parsed into an integer");
    check(&store, &[("timeout", "1"), ("TIMEOUT", "2")], "TIMEOUT: duplicate parameter");
    check(&store, &[("slave-priority", "1"), ("replica-priority", "2")], "replica-priority: duplicate parameter");
    check(&store, &[("slave-priority", "x")], "slave-priority: argument couldn't be parsed into an integer");
    check(&store, &[("timeout", "1"), ("databases", "3")], "databases: can't set immutable config");
    check(&store, &[("dir", "/"), ("timeout", "x")], "dir: can't set protected config");
    check(&store, &[("save", "900  1")], "save: Invalid save parameters");
    check(&store, &[("oom-score-adj-values", "1 2")], "oom-score-adj-values: wrong number of arguments");
    check(
        &store,
        &[("oom-score-adj-values", "-3000 1 2")],
        "oom-score-adj-values: Invalid oom-score-adj-values, elements must be between -2000 and 2000.",
    );
    check(
        &store,
        &[("shutdown-on-sigterm", "save nosave")],
        "shutdown-on-sigterm: shutdown options SAVE and NOSAVE can't be used simultaneously",
    );
    assert_eq!((store.current(), store.generation()), (before, 0));

    set(&store, &[("timeout", "7"), ("maxmemory", "1mb"), ("save", "900 1"), ("notify-keyspace-events", "KEA")])
        .unwrap();
    let after = store.current();
    assert_eq!((after.timeout_s, after.maxmemory, store.generation()), (7, 1 << 20, 1));
    assert_eq!(shown(&after, "save"), "900 1");
    assert_eq!(shown(&after, "notify-keyspace-events"), "AKE");
    // As Redis: both leave the others as they are, or clear them.
    set(&store, &[("client-output-buffer-limit", "NORMAL 5 5 5"), ("save", "")]).unwrap();
    set(&store, &[("client-output-buffer-limit", ""), ("shutdown-on-sigint", "default NOSAVE now")]).unwrap();
    let after = store.current();
    assert_eq!(after.client_output_buffer_limit.normal.hard_bytes, 5);
    assert_eq!((shown(&after, "save"), shown(&after, "shutdown-on-sigint")), (String::new(), "nosave now".to_owned()));
}

#[test]
fn what_a_hook_refuses_is_not_set() {
    let store = store("");
    let mut seen = Vec::new();
    let error = store.set(
        &[(b"timeout", b"1"), (b"maxclients", b"10000"), (b"port", b"1")],
        true,
        &mut |before, after, changed| {
            seen = changed.iter().map(|directive| directive.name).collect();
            assert_eq!((before.port, after.port), (6379, 1));
            let reason = "Unable to listen on this port. Check server logs.".to_owned();
            Err(NotApplied { directive: "port", reason })
        },
    );
    assert_eq!(
        error.unwrap_err().to_string(),
        "ERR CONFIG SET failed (possibly related to argument 'port') - Unable to listen on this port. Check server logs."
    );
    assert_eq!(seen, ["timeout", "port"], "what keeps its value has not changed");
    assert_eq!(store.current().port, 6379);
}

#[test]
fn protected_directives_ask_who_sets_them() {
    for (allowed, is_local, name, expected) in [
        ("no", true, "dbfilename", false),
        ("local", true, "dbfilename", true),
        ("local", false, "dbfilename", false),
        ("yes", false, "dbfilename", true),
        ("no", true, "logfile", true),
        ("no", false, "logfile", false),
        ("yes", false, "logfile", true),
    ] {
        let store = store(&format!("enable-protected-configs {allowed}"));
        let set = store.set(&[(name.as_bytes(), b"x")], is_local, &mut |_, _, _| Ok(()));
        assert_eq!(set.is_ok(), expected, "{allowed} {is_local} {name}");
    }
}

#[test]
fn config_get_finds_names_aliases_and_patterns() {
    let store = store("");
    let get = |patterns: &[&str]| {
        let patterns: Vec<&[u8]> = patterns.iter().map(|pattern| pattern.as_bytes()).collect();
        store.get(&patterns).into_iter().map(|(name, _)| name).collect::<Vec<_>>()
    };
    assert_eq!(get(&["PORT"]), ["PORT"]);
    assert_eq!(get(&["PoR?", "port", "timeout", "foo"]), ["port", "timeout"]);
    assert_eq!(get(&["hash-max-*-value"]), ["hash-max-listpack-value", "hash-max-ziplist-value"]);
    assert_eq!(get(&["slaveof"]), ["slaveof"]);
    assert_eq!(get(&["key-load-*"]).len(), 0, "hidden from patterns");
    assert_eq!(get(&["key-load-delay"]), ["key-load-delay"]);
    assert_eq!(
        get(&["*"]).len(),
        directives().filter(|d| !d.flags.contains(Flags::HIDDEN)).flat_map(Directive::names).count()
    );
}

#[test]
fn config_rewrite_keeps_the_file_and_says_what_is_in_force() {
    let directory = directory();
    let file = directory.join("ochre.conf");
    let before = "# head\n\nport 21008\n# mem\nmaxmemory 100mb\n\nsave 900 1\nsave 300 10\nslave-priority 50\n\
        client-output-buffer-limit normal 1mb 0 0\nhash-max-ziplist-entries 64\nrequirepass \"a b\"\nloglevel   notice\n\
        rename-command GET FETCH\nbind 127.0.0.1   127.0.0.2";
    fs::write(&file, before).unwrap();
    let load = || ConfigStore::load(&Sources { file: Some(file.clone()), ..Sources::default() }).unwrap();
    let store = load();
    store.rewrite(None).unwrap();
    assert_eq!(fs::read_to_string(&file).unwrap(), format!("{before}\n"), "nothing has changed");

    set(
        &store,
        &[("save", "5 6 7 8"), ("maxmemory", "0"), ("hash-max-ziplist-entries", "512"), ("slave-priority", "7")],
    )
    .unwrap();
    set(
        &store,
        &[("timeout", "7"), ("maxmemory-clients", "5%"), ("client-query-buffer-limit", "3mb"), ("bind", "::1")],
    )
    .unwrap();
    store.rewrite(None).unwrap();
    let after = "# head\n\nport 21008\n# mem\nmaxmemory 0\n\nsave 5 6\nsave 7 8\nreplica-priority 7\n\
        client-output-buffer-limit normal 1mb 0 0\nhash-max-listpack-entries 512\nrequirepass \"a b\"\nloglevel   notice\n\
        rename-command GET FETCH\nbind ::1\n\n# Generated by CONFIG REWRITE\ntimeout 7\nclient-query-buffer-limit 3mb\n\
        maxmemory-clients 5%\n";
    assert_eq!(fs::read_to_string(&file).unwrap(), after);
    assert_eq!(load().current(), store.current());

    set(&store, &[("save", ""), ("tcp-keepalive", "1"), ("timeout", "0"), ("requirepass", "\"\n\u{e4}")]).unwrap();
    store.rewrite(None).unwrap();
    let text = fs::read_to_string(&file).unwrap();
    assert_eq!(text.matches("Generated by").count(), 1);
    assert!(text.contains("\nsave \"\"\nreplica-priority") && text.contains("\ntimeout 0\n"), "{text}");
    assert_eq!(load().current(), store.current());
    assert_eq!(fs::read_dir(&directory).unwrap().count(), 1, "no temporary file is left");
    fs::remove_dir_all(&directory).unwrap();
    assert_eq!(store.rewrite(None).unwrap_err(), "ERR Rewriting config file: No such file or directory");
    let without_file = self::store("");
    assert_eq!(without_file.rewrite(None).unwrap_err(), "ERR The server is running without a config file");
}

#[test]
fn what_an_included_file_contradicts_is_added_at_the_end() {
    let directory = directory();
    let part = directory.join("part");
    fs::write(&part, "port 1\nsave 1 1\ntimeout 9").unwrap();
    let text = format!("port 2\ninclude {}\n", part.display());
    let mut config = defaults();
    config.port = 2;
    config.timeout_s = 9;
    lookup(b"save").unwrap().set_at_run_time(&mut config, b"2 2").unwrap();
    let new = rewrite::rewritten(&part, text.as_bytes(), &config, &defaults(), None);
    let new = String::from_utf8(new).unwrap();
    assert_eq!(new, format!("{text}\n# Generated by CONFIG REWRITE\nport 2\nsave \"\"\nsave 2 2\n"));
    assert_eq!(read(&new).unwrap(), config);
    fs::remove_dir_all(&directory).unwrap();
}

proptest! {
    /// Whatever a file holds, reading it ends with a configuration or with an error.
    #[test]
    fn any_text_can_be_read(text in prop::collection::vec(prop_oneof![any::<u8>(), Just(b'\n'), Just(b'"'), Just(b' ')], 0..200)) {
        let _ = Reader::new(Config::default()).read_text(&Origin::StandardInput, &text);
    }

    /// Whatever words a directive is given, what it takes is written and read as itself.
    #[test]
    fn what_a_directive_takes_is_written_as_itself(
        index in 0..directives().count(),
        words in prop::collection::vec("(-?[0-9]{1,12}|yes|no|[a-z%]{1,4}|normal|slave|[ -~]{0,8})", 1..5),
    ) {
        let directive = directives().nth(index).unwrap();
        let words: Vec<&[u8]> = words.iter().map(String::as_bytes).collect();
        let mut config = defaults();
        if directive.set(&mut config, &words, Place::FirstLine).is_ok() {
            let text = rewrite::rewritten(&PathBuf::from("none"), b"", &config, &defaults(), None);
            prop_assert_eq!(read(&String::from_utf8(text).unwrap()).unwrap(), config);
        }
    }
}
