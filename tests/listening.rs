//! Proves where the server listens: at start, and when CONFIG SET changes it.
//!
//! The tests configure the server over a Unix socket, which stays while TCP addresses come and go.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};

use ochre_testkit::server::free_port;
use ochre_testkit::{Client, Kind, Launch, Server, poll};

const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// Another address of the loopback interface.
const V4_SECOND: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

/// Whether a server replies to PING at an address. If not, the address must refuse connections.
fn is_served(ip: IpAddr, port: u16) -> bool {
    let Ok(mut stream) = TcpStream::connect(SocketAddr::new(ip, port)) else { return false };
    stream.set_read_timeout(Some(poll::PATIENCE)).unwrap();
    stream.write_all(b"PING\r\n").unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    assert_eq!(line, "+PONG\r\n", "{ip}:{port}");
    true
}

/// Whether this machine speaks IPv6.
fn has_v6() -> bool {
    TcpListener::bind((V6, 0)).is_ok()
}

/// An address of this machine that is not of the loopback interface, if it has one. Nothing is sent to find it.
fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).ok()?;
    Some(socket.local_addr().ok()?.ip()).filter(|ip| !ip.is_loopback())
}

/// A server, and a connection to it over its Unix socket.
struct Subject {
    server: Server,
    operator: Client,
}

impl Subject {
    fn start() -> Subject {
        let server = Launch::subject().threads(2).unix_socket().start();
        let path = server.unix_socket().expect("the server was started with a Unix socket");
        let operator = Client::connect_unix(path).expect("a connection");
        Subject { server, operator }
    }

    fn port(&self) -> u16 {
        self.server.port()
    }

    #[track_caller]
    fn set(&mut self, words: &[&str], expected: &str) {
        let arguments = [&["CONFIG", "SET"], words].concat();
        let reply = self.operator.call(&arguments).expect("a reply").to_string();
        assert_eq!(reply, expected, "CONFIG SET {words:?}; the log:\n{}", self.server.log());
    }

    #[track_caller]
    fn shows(&mut self, name: &str, value: &str) {
        let reply = self.operator.run(&format!("CONFIG GET {name}")).to_string();
        assert_eq!(reply, format!("[\"{name}\", \"{value}\"]"));
    }
}

/// An address is bound whether or not it overlaps one that was bound before, and from the reply on the others refuse connections.
#[test]
fn bind_changes_from_any_address_to_any_other() {
    let mut subject = Subject::start();
    let port = subject.port();
    // Neighbours in this list overlap in all ways: an address and all, all and several, several and all, all and all under another name.
    for (bind, v4, v4_second, v6) in [
        ("*", true, true, false),
        ("127.0.0.1", true, false, false),
        ("* -::*", true, true, true),
        ("127.0.0.1 -::1", true, false, true),
        ("0.0.0.0", true, true, false),
        ("*", true, true, false),
        ("127.0.0.2 127.0.0.1", true, true, false),
        ("127.0.0.2", false, true, false),
        ("-::*", false, false, true),
        ("-::1", false, false, true),
        ("* -::1", true, true, true),
        ("127.0.0.1 -::*", true, false, true),
        ("localhost", true, false, false),
        ("127.0.0.1", true, false, false),
    ] {
        subject.set(&["bind", bind], "+OK");
        subject.shows("bind", bind);
        assert_eq!(is_served(V4, port), v4, "127.0.0.1 with bind {bind}");
        assert_eq!(is_served(V4_SECOND, port), v4_second, "127.0.0.2 with bind {bind}");
        assert_eq!(is_served(V6, port), v6 && has_v6(), "::1 with bind {bind}");
    }
}

#[test]
fn a_bind_that_fails_leaves_the_old_addresses_serving() {
    const REFUSED: &str =
        "-ERR CONFIG SET failed (possibly related to argument 'bind') - Failed to bind to specified addresses.";
    let mut subject = Subject::start();
    let port = subject.port();
    for before in ["127.0.0.1", "*", "127.0.0.1 127.0.0.2"] {
        subject.set(&["bind", before], "+OK");
        // 192.0.2.77 belongs to no machine (RFC 5737). The other addresses are free, and some overlap the old ones.
        for bind in [
            "192.0.2.77",
            "127.0.0.1 192.0.2.77",
            "* 192.0.2.77",
            "127.0.0.3 192.0.2.77",
            "* 127.0.0.1",
            "127.0.0.1 127.0.0.1",
            "127.0.0.3 127.0.0.3",
            "no-such-host.invalid",
        ] {
            subject.set(&["bind", bind], REFUSED);
            subject.set(&["timeout", "7", "bind", bind], REFUSED);
            subject.shows("bind", before);
            subject.shows("timeout", "0");
            assert!(is_served(V4, port), "after bind {bind} was refused");
            assert_eq!(is_served(V4_SECOND, port), before != "127.0.0.1", "after bind {bind} was refused");
        }
    }
    let log = subject.server.log();
    let warning =
        format!("# Warning: Could not create server TCP listening socket 192.0.2.77:{port}: bind: Cannot assign");
    assert!(log.contains(&warning), "{log}");
    let warning = format!("# Warning: Could not create server TCP listening socket no-such-host.invalid:{port}: ");
    assert!(log.contains(&warning), "{log}");
}

#[test]
fn an_address_may_be_missing_if_bind_says_so() {
    let mut subject = Subject::start();
    let port = subject.port();
    subject.set(&["bind", "-192.0.2.77 127.0.0.2"], "+OK");
    assert!(is_served(V4_SECOND, port) && !is_served(V4, port));
    // Nothing is left to listen on but the Unix socket.
    for bind in ["-192.0.2.77", ""] {
        subject.set(&["bind", bind], "+OK");
        assert!(!is_served(V4_SECOND, port) && !is_served(V4, port));
    }
    subject.set(&["bind", "127.0.0.1"], "+OK");
    assert!(is_served(V4, port));
}

#[test]
fn the_port_changes_or_stays() {
    const REFUSED: &str = "-ERR CONFIG SET failed (possibly related to argument 'port') - Unable to listen on this port. Check server logs.";
    const BIND_REFUSED: &str =
        "-ERR CONFIG SET failed (possibly related to argument 'bind') - Failed to bind to specified addresses.";
    let mut subject = Subject::start();
    let (first, second) = (subject.port(), free_port());
    let other = TcpListener::bind((V4, 0)).expect("a port is free");
    let taken = other.local_addr().unwrap().port().to_string();
    let text = |port: u16| port.to_string();
    subject.set(&["port", &text(second)], "+OK");
    assert!(!is_served(V4, first) && is_served(V4, second));
    subject.set(&["port", &taken], REFUSED);
    subject.set(&["port", &taken, "bind", "127.0.0.1 -::1"], REFUSED);
    subject.set(&["bind", "127.0.0.1 -::1", "port", &taken], BIND_REFUSED);
    subject.shows("port", &text(second));
    assert!(!is_served(V4, first) && is_served(V4, second));
    subject.set(&["port", &text(first), "bind", "*"], "+OK");
    assert!(is_served(V4_SECOND, first) && !is_served(V4, second));
    subject.set(&["port", &text(second)], "+OK");
    subject.set(&["port", &text(first)], "+OK");
    assert!(is_served(V4_SECOND, first) && !is_served(V4, second));
}

/// Redis too accepts port 0 at run time, although it does not start with nothing to listen on.
#[test]
fn port_0_stops_listening_until_there_is_a_port_again() {
    let mut subject = Subject::start();
    let port = subject.port();
    let mut connected = subject.server.client();
    // The kernel resets a connection that no server has accepted yet when its listener is closed.
    assert_eq!(connected.run("PING").to_string(), "+PONG");
    subject.set(&["port", "0"], "+OK");
    assert!(!is_served(V4, port));
    assert_eq!(connected.run("PING").to_string(), "+PONG", "connections stay");
    subject.set(&["bind", "127.0.0.2"], "+OK");
    subject.set(&["bind", "192.0.2.77"], "+OK");
    assert!(!is_served(V4, port) && !is_served(V4_SECOND, port));
    subject.set(&["bind", "127.0.0.2", "port", &port.to_string()], "+OK");
    assert!(is_served(V4_SECOND, port) && !is_served(V4, port));
}

#[test]
fn what_is_read_at_start_only_is_refused() {
    let mut subject = Subject::start();
    for name in ["unixsocket", "unixsocketperm", "tcp-backlog"] {
        let error =
            format!("-ERR CONFIG SET failed (possibly related to argument '{name}') - can't set immutable config");
        subject.set(&[name, "700"], &error);
    }
}

/// What a server sends to a client that connects from an address outside of the loopback interface.
fn reply_from_outside(kind: Kind, own: IpAddr) -> String {
    let server = Launch::new(kind).directive("bind", "*").start();
    let mut text = String::new();
    let stream = TcpStream::connect(SocketAddr::new(own, server.port())).expect("the server listens on all addresses");
    stream.set_read_timeout(Some(poll::PATIENCE)).unwrap();
    (&stream).read_to_string(&mut text).expect("a refusal and the end of the connection");
    text
}

#[test]
fn protected_mode_refuses_with_the_text_of_redis() {
    // A machine without a network has no such address. The acceptor's own tests decide who is refused.
    let Some(own) = own_address() else { return };
    let expected = reply_from_outside(Kind::Redis, own);
    assert!(expected.starts_with("-DENIED Redis is running in protected mode"), "{expected}");
    assert_eq!(reply_from_outside(Kind::Ochre, own), expected.replace("Redis", "Ochre"));
}
