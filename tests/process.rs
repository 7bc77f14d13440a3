//! Proves how the program starts, how it refuses to start, and how it ends.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use ochre_testkit::server::{free_port, new_folder};
use ochre_testkit::{Client, Kind, Launch, Reply, poll, process};

#[test]
fn sigterm_and_sigint_shut_the_server_down() {
    for signal in [libc::SIGTERM, libc::SIGINT] {
        let mut server = Launch::subject().threads(2).start();
        assert_eq!(server.client().run("SET k v"), Reply::ok());
        server.signal(signal);
        let status = server.wait();
        assert!(status.success(), "signal {signal} ended it with {status}:\n{}", server.log());
    }
}

/// The lines that the test suites of Redis and Valkey look for in the log, in order.
#[test]
fn a_shutdown_is_logged() {
    for (signal, name) in [(Some(libc::SIGTERM), "SIGTERM"), (Some(libc::SIGINT), "SIGINT"), (None, "")] {
        let mut server = Launch::subject().threads(2).unix_socket().directive("pidfile", "server.pid").start();
        let pid_file = server.dir().join("server.pid");
        assert_eq!(fs::read_to_string(&pid_file).unwrap().trim(), server.pid().to_string());
        match signal {
            Some(signal) => server.signal(signal),
            None => server.client().send(&["SHUTDOWN", "NOSAVE"]).unwrap(),
        }
        assert!(server.wait().success());
        let received = format!("Received {name} scheduling shutdown...");
        let expected = [
            received.as_str(),
            " * User requested shutdown...",
            " * Removing the pid file.",
            " * Removing the unix socket file.",
            &format!(" # {} is now ready to exit, bye bye...", server.kind().name()),
        ];
        let log = server.log();
        let mut rest = log.as_str();
        for line in &expected[usize::from(signal.is_none())..] {
            let at = rest.find(line).unwrap_or_else(|| panic!("{line} is not in the log, or not in its place:\n{log}"));
            rest = &rest[at..];
        }
        assert!(signal.is_some() || !log.contains("Received"), "{log}");
        assert!(!pid_file.exists() && !server.unix_socket().unwrap().exists());
    }
}

#[test]
fn shutdown_checks_its_options() {
    let mut server = Launch::subject().threads(2).start();
    let mut client = server.client();
    for line in [
        "SHUTDOWN SAVE NOSAVE",
        "SHUTDOWN NOSAVE NOW FORCE SAVE",
        "SHUTDOWN ABORT NOW",
        "SHUTDOWN FORCE ABORT",
        "SHUTDOWN ABORT NOSAVE",
        "SHUTDOWN SAVE ABORT",
        "SHUTDOWN NOW nonsense",
        "SHUTDOWN \"\"",
    ] {
        assert_eq!(client.run(line).to_string(), "-ERR syntax error", "{line}");
    }
    for line in ["SHUTDOWN ABORT", "shutdown abort ABORT"] {
        assert_eq!(client.run(line).to_string(), "-ERR No shutdown in progress.", "{line}");
    }
    assert_eq!(client.run("MULTI"), Reply::ok());
    assert_eq!(client.run("SHUTDOWN NOSAVE").to_string(), "-ERR Command not allowed inside a transaction");
    assert_eq!(client.run("DISCARD"), Reply::ok());
    client.send(&["SHUTDOWN", "nosave", "NOW", "NOSAVE", "Force"]).unwrap();
    assert_eq!(client.read_to_end().unwrap(), b"");
    assert!(server.wait().success());
}

#[test]
fn a_shutdown_that_cannot_save_does_not_lose_the_data() {
    let mut server = Launch::subject().threads(2).start();
    let mut client = server.client();
    assert_eq!(client.run("SET k v"), Reply::ok());
    // A file cannot take the place of a folder.
    fs::create_dir(server.dir().join("dump.rdb")).expect("a folder can be made");
    assert_eq!(client.run("SHUTDOWN SAVE").to_string(), "-ERR Errors trying to SHUTDOWN. Check logs.");
    assert_eq!(client.run("SHUTDOWN SAVE NOW").to_string(), "-ERR Errors trying to SHUTDOWN. Check logs.");
    assert_eq!(client.run("GET k"), Reply::bulk("v"));
    assert!(server.log().contains(" # Error trying to save the DB, can't exit."), "{}", server.log());
    client.send(&["SHUTDOWN", "SAVE", "FORCE"]).unwrap();
    assert_eq!(client.read_to_end().unwrap(), b"");
    assert!(server.wait().success());
    assert!(server.log().contains(" # Error trying to save the DB. Exit anyway."), "{}", server.log());
}

#[test]
fn sighup_is_ignored() {
    let mut server = Launch::subject().threads(2).start();
    let mut client = server.client();
    server.signal(libc::SIGHUP);
    for _ in 0..100 {
        assert_eq!(client.run("PING"), Reply::simple("PONG"));
    }
    assert!(server.is_running());
}

#[test]
fn shutdown_is_not_answered() {
    let mut server = Launch::subject().threads(2).start();
    let mut client = server.client();
    client.send(&["SHUTDOWN", "NOSAVE"]).unwrap();
    assert_eq!(client.read_to_end().unwrap(), b"");
    assert!(server.wait().success());
}

fn ochre(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(Kind::Ochre.program());
    command.args(arguments).current_dir(folder).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = process::spawn_bound(command).expect("the server starts");
    let ended = poll::until(poll::PATIENCE, || child.try_wait().ok().flatten());
    if ended.is_none() {
        // The server runs although it should have refused to start. The caller's assertion will say so.
        let _ = child.kill();
    }
    child.wait_with_output().expect("the output can be read")
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Asserts that the server refuses to start with a configuration, and that its message has the place and the reason.
#[track_caller]
fn refuses(configuration: &str, reasons: &[&str]) {
    let folder = new_folder(Kind::Ochre);
    fs::write(folder.join("test.conf"), configuration).expect("a file can be written");
    let output = ochre(&folder, &["test.conf"]);
    let said = said(&output);
    assert!(!output.status.success(), "it started with\n{configuration}\nand said\n{said}");
    for reason in reasons {
        assert!(said.contains(reason), "{reason} is not in what it said:\n{said}");
    }
    fs::remove_dir_all(folder).expect("the folder can be removed");
}

#[test]
fn a_bad_configuration_is_refused_with_file_line_and_reason() {
    refuses("port 0\n\nnonsense 1\n", &["test.conf", "3", "nonsense"]);
    refuses("# a comment\nport many\n", &["test.conf", "2", "port"]);
    refuses("port 0\nmaxmemory lots\n", &["test.conf", "2", "maxmemory"]);
    refuses("save \"unbalanced\n", &["test.conf", "1"]);
    refuses("include missing.conf\n", &["missing.conf"]);
}

#[test]
fn a_bad_argument_is_refused() {
    let folder = new_folder(Kind::Ochre);
    for arguments in [&["--nonsense", "1"][..], &["--port", "many"], &["missing.conf"], &["70000"]] {
        let output = ochre(&folder, arguments);
        assert!(!output.status.success(), "it started with {arguments:?}");
        assert!(!said(&output).trim().is_empty(), "it said nothing about {arguments:?}");
    }
    fs::remove_dir_all(folder).expect("the folder can be removed");
}

#[test]
fn a_port_in_use_is_refused() {
    let server = Launch::subject().start();
    let folder = new_folder(Kind::Ochre);
    let output = ochre(&folder, &["--port", &server.port().to_string(), "--bind", "127.0.0.1"]);
    let said = said(&output);
    assert!(!output.status.success(), "it started:\n{said}");
    assert!(said.contains("Failed listening on port"), "{said}");
    fs::remove_dir_all(folder).expect("the folder can be removed");
}

#[test]
fn a_server_that_listens_nowhere_does_not_start() {
    let folder = new_folder(Kind::Ochre);
    let port = free_port().to_string();
    // 192.0.2.77 belongs to no machine (RFC 5737).
    for arguments in [
        &["--port", "0"][..],
        &["0"],
        &["--port", &port, "--bind", ""],
        &["--port", &port, "--bind", "-192.0.2.77"],
        &["--port", "0", "--bind", "127.0.0.1", "--pidfile", "pid"],
    ] {
        let output = ochre(&folder, arguments);
        let said = said(&output);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}:\n{said}");
        assert!(said.ends_with(" # Configured to not listen anywhere, exiting.\n"), "{arguments:?}:\n{said}");
    }
    assert!(!folder.join("pid").exists());
    fs::remove_dir_all(folder).expect("the folder can be removed");
}

#[test]
fn a_unix_socket_alone_is_enough_to_start() {
    let folder = new_folder(Kind::Ochre);
    let mut command = Command::new(Kind::Ochre.program());
    command.args(["--port", "0", "--unixsocket", "socket"]).current_dir(&folder);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = process::spawn_bound(command).expect("the server starts");
    let client = poll::until(poll::PATIENCE, || Client::connect_unix(&folder.join("socket")).ok());
    assert_eq!(client.expect("the server listens").run("PING"), Reply::simple("PONG"));
    child.kill().expect("a running child can be killed");
    child.wait().expect("a killed child ends");
    fs::remove_dir_all(folder).expect("the folder can be removed");
}

/// Files with every directive that a reference server knows: they start that server, which proves that they are true, and Ochre.
#[test]
fn a_file_of_a_reference_server_starts_ochre() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/server/src/config/references");
    for (reference, name) in [(Kind::Redis, "redis-8.2.3.conf"), (Kind::Valkey, "valkey-9.1.2.conf")] {
        let file = folder.join(name);
        let text = fs::read_to_string(&file).unwrap();
        let named: BTreeSet<&str> =
            text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split(' ').next()).collect();
        let server = Launch::new(reference).file(&file).start();
        let known = server.client().run("CONFIG GET *");
        let mut unnamed: Vec<String> = known.items().iter().step_by(2).map(|name| name.to_text()).collect();
        unnamed.retain(|name| !named.contains(name.as_str()));
        unnamed.sort();
        assert_eq!(unnamed, ["replicaof", "slaveof"], "{} knows other directives", reference.name());
        let server = Launch::new(Kind::Ochre).file(&file).start();
        let mut client = server.client();
        for name in named {
            assert_ne!(client.run(&format!("CONFIG GET {name}")).to_string(), "[]", "{name}");
        }
    }
}

#[test]
fn the_version_and_the_usage_are_printed() {
    let folder = new_folder(Kind::Ochre);
    let version = ochre(&folder, &["--version"]);
    assert!(version.status.success() && said(&version).to_lowercase().contains("ochre"), "{}", said(&version));
    let help = ochre(&folder, &["--help"]);
    assert!(help.status.success() && said(&help).contains("--port"), "{}", said(&help));
    fs::remove_dir_all(folder).expect("the folder can be removed");
}

/// Tools that start Redis servers wait for these lines in the log.
#[test]
fn the_log_has_the_lines_that_tools_look_for() {
    let server = Launch::subject().threads(2).start();
    let log = server.log();
    let at = |text: &str| log.find(text).unwrap_or_else(|| panic!("{text} is not in the log:\n{log}"));
    assert!(at("Server initialized") < at("Ready to accept connections tcp"));
    if server.kind() == Kind::Ochre {
        assert!(at(&format!(" PID: {}", server.pid())) < at("Server initialized"));
    }
}

#[test]
fn a_file_arguments_and_standard_input_configure_the_server() {
    let folder = new_folder(Kind::Ochre);
    fs::write(folder.join("more.conf"), "maxclients 77\n").unwrap();
    fs::write(folder.join("test.conf"), "include more.conf\ntimeout 33\nMAXMEMORY 1gb\n").unwrap();
    let port = free_port().to_string();
    let mut command = Command::new(Kind::Ochre.program());
    command.args(["test.conf", "--port", &port, "--save", "", "--timeout", "44"]);
    command.current_dir(&folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = process::spawn_bound(command).expect("the server starts");
    let client = poll::until(poll::PATIENCE, || Client::connect(port.parse().ok()?).ok());
    let mut client = client.expect("the server listens");
    assert_eq!(client.run("CONFIG GET maxclients").to_string(), r#"["maxclients", "77"]"#);
    assert_eq!(client.run("CONFIG GET timeout").to_string(), r#"["timeout", "44"]"#);
    assert_eq!(client.run("CONFIG GET maxmemory").to_string(), r#"["maxmemory", "1073741824"]"#);
    child.kill().expect("a running child can be killed");
    child.wait().expect("a killed child ends");
    fs::remove_dir_all(folder).expect("the folder can be removed");
}

#[test]
fn unix_sockets_serve_as_ports_do() {
    let server = Launch::subject().threads(2).unix_socket().start();
    let mut client = Client::connect_unix(server.unix_socket().expect("the server was started with a Unix socket"))
        .expect("a connection");
    assert_eq!(client.run("SET k v"), Reply::ok());
    assert_eq!(server.client().run("GET k"), Reply::bulk("v"));
}
