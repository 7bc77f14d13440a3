//! Proves the plain protocol: a server that is started with a port as its only argument answers lines of plain text with lines of plain
//! text.

use std::collections::BTreeSet;
use std::fs::File;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Barrier;
use std::{fs, path, thread};

use ochre_testkit::server::{free_port, new_folder};
use ochre_testkit::{Client, Kind, poll, process};

/// A server started as `ochre <port>`.
struct Plain {
    child: Child,
    port: u16,
    folder: path::PathBuf,
}

impl Plain {
    fn start() -> Plain {
        let folder = new_folder(Kind::Ochre);
        let port = free_port();
        let log = File::create(folder.join("log.txt")).expect("a log");
        let mut command = Command::new(Kind::Ochre.program());
        command.arg(port.to_string()).current_dir(&folder).stdin(Stdio::null());
        command.stdout(log.try_clone().expect("a file handle")).stderr(log);
        let child = process::spawn_bound(command).expect("the server starts");
        let server = Plain { child, port, folder };
        let answers = poll::until(poll::PATIENCE, || Client::connect(port).ok());
        assert!(answers.is_some(), "no server listens on {port}; the log:\n{}", server.log());
        server
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log.txt")).unwrap_or_default()
    }

    fn client(&self) -> Client {
        Client::connect(self.port).expect("a connection")
    }
}

impl Drop for Plain {
    fn drop(&mut self) {
        // An error is harmless: the server may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Sends lines one at a time, and compares the reply to each.
#[track_caller]
fn converse(client: &mut Client, conversation: &[(&str, &str)]) {
    for (line, expected) in conversation {
        client.send_bytes(format!("{line}\n").as_bytes()).expect("a line can be sent");
        let reply = client.read_line().unwrap_or_else(|error| panic!("{line}: {error}"));
        assert_eq!(String::from_utf8_lossy(&reply), *expected, "the reply to {line}");
    }
}

#[test]
fn the_commands_of_the_plain_protocol() {
    let server = Plain::start();
    converse(
        &mut server.client(),
        &[
            ("GET k", ""),
            ("SET k v", "OK"),
            ("GET k", "v"),
            ("SET k w", "OK"),
            ("GET k", "w"),
            ("DEL k", "1"),
            ("DEL k", "0"),
            ("GET k", ""),
            ("INCR n", "1"),
            ("INCR n", "2"),
            ("GET n", "2"),
            ("SET n 41", "OK"),
            ("INCR n", "42"),
            ("SET t text", "OK"),
            ("INCR t", "ERR value is not an integer or out of range"),
            ("GET t", "text"),
            ("SET n 9223372036854775807", "OK"),
            ("INCR n", "ERR increment or decrement would overflow"),
            ("GET", "ERR wrong number of arguments for 'get' command"),
            ("INCR", "ERR wrong number of arguments for 'incr' command"),
            ("DEL", "ERR wrong number of arguments for 'del' command"),
            ("SET", "ERR wrong number of arguments for 'set' command"),
            ("SET k", "ERR wrong number of arguments for 'set' command"),
            ("get t", "text"),
            ("SET k \"two words\"", "OK"),
            ("GET k", "two words"),
            ("SET k v extra", "ERR syntax error"),
            ("GET k", "two words"),
        ],
    );
}

#[test]
fn unknown_commands_and_unbalanced_quotes_are_error_lines() {
    let server = Plain::start();
    let mut client = server.client();
    for line in ["NONSENSE", "nonsense a b"] {
        client.send_bytes(format!("{line}\n").as_bytes()).unwrap();
        let reply = client.read_line().unwrap();
        assert!(reply.starts_with(b"ERR unknown command"), "{}", String::from_utf8_lossy(&reply));
    }
    client.send_bytes(b"SET k \"half\n").unwrap();
    let reply = client.read_line().unwrap();
    assert!(reply.starts_with(b"ERR"), "{}", String::from_utf8_lossy(&reply));
    converse(&mut client, &[("SET k v", "OK"), ("GET k", "v")]);
}

#[test]
fn lines_may_end_with_crlf_and_come_in_pieces() {
    let server = Plain::start();
    let mut client = server.client();
    client.send_bytes(b"SET k v\r\nGET k\r\n").unwrap();
    assert_eq!(client.read_line().unwrap(), b"OK");
    assert_eq!(client.read_line().unwrap(), b"v");
    for byte in b"INCR n\nINCR n\r\n" {
        client.send_bytes(&[*byte]).unwrap();
    }
    assert_eq!(client.read_line().unwrap(), b"1");
    assert_eq!(client.read_line().unwrap(), b"2");
}

#[test]
fn quit_and_stop_close_without_a_reply() {
    let server = Plain::start();
    for word in ["QUIT", "STOP", "quit"] {
        let mut client = server.client();
        client.send_bytes(format!("SET k {word}\n{word}\nGET k\n").as_bytes()).unwrap();
        assert_eq!(client.read_to_end().unwrap(), b"OK\n", "{word}");
    }
}

/// As Redis without a configuration: `localhost` may mean either address, and other machines are refused by protected mode.
#[test]
fn it_listens_on_all_addresses_in_protected_mode() {
    let server = Plain::start();
    let mut client = server.client();
    assert_eq!(client.run("CONFIG GET bind").to_string(), r#"["bind", "* -::*"]"#);
    assert_eq!(client.run("CONFIG GET protected-mode").to_string(), r#"["protected-mode", "yes"]"#);
    for address in ["127.0.0.2", "::1"] {
        // A machine without IPv6 has no such address.
        if TcpListener::bind((address, 0)).is_ok() {
            TcpStream::connect((address, server.port)).unwrap_or_else(|error| panic!("{address}: {error}"));
        }
    }
}

/// As with `printf '…' | nc`: a client that has closed its sending direction still gets its replies.
#[test]
fn replies_come_after_the_client_has_finished_sending() {
    let server = Plain::start();
    let mut client = server.client();
    client.send_bytes(b"SET k v\nGET k\n").unwrap();
    client.finish_sending().unwrap();
    assert_eq!(client.read_to_end().unwrap(), b"OK\nv\n");
}

#[test]
fn other_commands_are_rendered_for_a_person() {
    let server = Plain::start();
    let mut client = server.client();
    converse(&mut client, &[("PING", "PONG"), ("MSET a 1 b 2", "OK")]);
    client.send_bytes(b"MGET a missing b\n").unwrap();
    let lines: Vec<_> = (0..4).map(|_| client.read_line().unwrap()).collect();
    assert_eq!(lines, [&b"3"[..], b"1", b"", b"2"]);
}

#[test]
fn a_client_that_speaks_resp_gets_resp_on_the_same_port() {
    let server = Plain::start();
    let mut client = server.client();
    assert_eq!(client.run("SET k v").to_string(), "+OK");
    assert_eq!(client.run("GET k").to_string(), "\"v\"");
    converse(&mut server.client(), &[("GET k", "v")]);
}

#[test]
fn an_idle_slow_or_vanished_client_does_not_delay_others() {
    let server = Plain::start();
    let _idle: Vec<Client> = (0..50).map(|_| server.client()).collect();
    let mut slow = server.client();
    slow.send_bytes(b"SET slow ").unwrap();
    let mut vanished = server.client();
    vanished.send_bytes(b"SET gone ").unwrap();
    drop(vanished);
    converse(&mut server.client(), &[("SET k v", "OK"), ("GET k", "v"), ("GET gone", "")]);
    slow.send_bytes(b"v\n").unwrap();
    assert_eq!(slow.read_line().unwrap(), b"OK");
}

#[test]
fn a_hundred_clients_get_a_hundred_different_answers() {
    let server = Plain::start();
    for round in 0..20 {
        let mut clients: Vec<Client> = (0..100).map(|_| server.client()).collect();
        let barrier = Barrier::new(clients.len());
        let line = format!("INCR a{round}\n");
        let answers: BTreeSet<u64> = thread::scope(|scope| {
            let workers: Vec<_> = clients
                .iter_mut()
                .map(|client| {
                    scope.spawn(|| {
                        barrier.wait();
                        client.send_bytes(line.as_bytes()).expect("a line can be sent");
                        let reply = client.read_line().expect("a line comes back");
                        String::from_utf8_lossy(&reply).parse::<u64>().expect("a number")
                    })
                })
                .collect();
            workers.into_iter().map(|worker| worker.join().expect("a client's thread")).collect()
        });
        assert_eq!(answers, (1..=100).collect(), "round {round}");
    }
}
