//! The acceptor: it accepts connections and hands them to the cores, each core in turn.

use std::{collections::HashMap, io, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use ochre_resp::Protocol;
use socket2::TcpKeepalive;
use tokio::{
    net::{TcpListener, UnixListener},
    task::{JoinHandle, spawn_local},
};

use crate::{
    clock,
    config::{Config, InlineReplies},
    mailroom::Arrival,
    server::Server,
    session::{Client, ClientFlags},
    sockets::{
        listener::{Listener, Transport},
        listening::Change,
        stream::Accepted,
    },
};

/// The tasks that accept connections, one for each listener. Those of TCP listeners can be stopped by address (CONFIG SET port and bind).
#[derive(Default)]
pub struct Acceptors {
    tcp: HashMap<SocketAddr, JoinHandle<io::Result<()>>>,
}

impl Acceptors {
    /// Starts accepting connections on listeners.
    pub fn start(&mut self, server: &Arc<Server>, listeners: Vec<Listener>) {
        for listener in listeners {
            let address = listener.tcp_address();
            let task = spawn_local(accept(server.clone(), listener));
            if let Some(address) = address {
                self.tcp.insert(address, task);
            }
        }
    }

    /// Closes the TCP listeners that the change does not keep, and starts accepting on the new ones.
    pub fn change(&mut self, server: &Arc<Server>, change: Change) {
        self.tcp.retain(|address, task| {
            let stays = change.kept.contains(address);
            if !stays {
                task.abort();
            }
            stays
        });
        self.start(server, change.new);
    }
}

/// The pause after a failed accept, so that the acceptor does not spin while the process is out of file descriptors.
const PAUSE: Duration = Duration::from_millis(10);

/// Accepts connections until the task is aborted or its listener is stopped. Returns an error only if the listener cannot be registered with
/// the runtime.
pub async fn accept(server: Arc<Server>, listener: Listener) -> io::Result<()> {
    enum Registered {
        Tcp(TcpListener, Transport),
        Unix(UnixListener),
    }
    let listener = match listener {
        Listener::Tcp(listener, transport) => Registered::Tcp(TcpListener::from_std(listener)?, transport),
        Listener::Unix(listener) => Registered::Unix(UnixListener::from_std(listener)?),
    };
    loop {
        let accepted = match &listener {
            Registered::Tcp(listener, transport) => match listener.accept().await {
                Ok((stream, peer)) => {
                    stream.into_std().and_then(|stream| Ok((accepted(&server, stream, *transport)?, Some(peer))))
                }
                Err(error) => Err(error),
            },
            Registered::Unix(listener) => match listener.accept().await {
                Ok((stream, _)) => stream.into_std().map(|stream| (Accepted::Unix(stream), None)),
                Err(error) => Err(error),
            },
        };
        match accepted {
            Ok((stream, peer)) => accept_connection(&server, stream, peer),
            // CONFIG SET has stopped the listener ([`crate::sockets::listening`]).
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => return Ok(()),
            Err(error) => {
                tracing::warn!("Accepting client connection: {error}");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// A TCP connection with what it is encrypted with.
fn accepted(server: &Server, stream: std::net::TcpStream, transport: Transport) -> io::Result<Accepted> {
    if transport == Transport::Tcp {
        return Ok(Accepted::Tcp(stream));
    }
    let keys = server.tls.keys().ok_or_else(|| io::Error::other("TLS is not configured"))?;
    Ok(Accepted::Tls(stream, keys.server_config.clone()))
}

/// Creates a client for the connection and hands both to a core, or refuses the connection.
fn accept_connection(server: &Arc<Server>, stream: Accepted, peer: Option<SocketAddr>) {
    let config = server.config.current();
    let is_open = server.users.default_user().needs_no_password;
    let refusal = admit(&config, is_open, server.clients.len(), peer).err();
    if let Some(text) = refusal {
        server.refused_connections.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        // Only an encrypted connection that is not one too many is kept, until it can be told.
        if text != PROTECTED || !matches!(stream, Accepted::Tls(..)) {
            refuse(stream, text);
            return;
        }
    }
    let (address, local_address) = match (&stream, peer) {
        (Accepted::Tcp(stream) | Accepted::Tls(stream, _), Some(peer)) => {
            let _ = stream.set_nodelay(true);
            keep_alive(stream, config.tcp_keepalive_s);
            let local = stream.local_addr().map(|address| address.to_string()).unwrap_or_default();
            (peer.to_string(), local)
        }
        _ => {
            let path = config.unixsocket.as_deref().unwrap_or(Path::new("")).display().to_string();
            (format!("{path}:0"), format!("{path}:0"))
        }
    };
    let core = server.next_core();
    let id = server.clients.next_id();
    let client = Arc::new(Client::new(id, address, local_address, stream.fd(), core, clock::now_ms()));
    client.set_flag(ClientFlags::UNIX_SOCKET, peer.is_none());
    server.clients.add(client.clone());
    let protocol = match config.inline_replies {
        InlineReplies::Plain => Protocol::Plain,
        InlineReplies::Resp => Protocol::Resp2,
    };
    server.hand_over(core, Arrival { stream, client, protocol, refusal });
}

/// Checks whether a connection may be served beside `clients` others. `is_open` is whether the default user needs no password. The error is the
/// reply to send before closing it.
fn admit(config: &Config, is_open: bool, clients: usize, peer: Option<SocketAddr>) -> Result<(), &'static [u8]> {
    if clients >= config.maxclients as usize {
        return Err(b"-ERR max number of clients reached\r\n");
    }
    let is_local = peer.is_none_or(|peer| peer.ip().to_canonical().is_loopback());
    if config.protected_mode && is_open && !is_local {
        return Err(PROTECTED);
    }
    Ok(())
}

/// Redis's text, with the name of this server.
const PROTECTED: &[u8] = b"-DENIED Ochre is running in protected mode because protected mode is enabled and no password is set for \
the default user. In this mode connections are only accepted from the loopback interface. If you want to connect from external computers \
to Ochre you may adopt one of the following solutions: 1) Just disable protected mode sending the command 'CONFIG SET protected-mode no' \
from the loopback interface by connecting to Ochre from the same host the server is running, however MAKE SURE Ochre is not publicly \
accessible from internet if you do so. Use CONFIG REWRITE to make this change permanent. 2) Alternatively you can just disable the \
protected mode by editing the Ochre configuration file, and setting the protected mode option to 'no', and then restarting the server. \
3) If you started the server manually just for testing, restart it with the '--protected-mode no' option. 4) Set up an authentication \
password for the default user. NOTE: You only need to do one of the above things in order for the server to start accepting connections \
from the outside.\r\n";

/// Sends the reason for the refusal, and closes the connection.
fn refuse(stream: Accepted, text: &[u8]) {
    use std::io::Write;
    // The socket is non-blocking, and its send buffer is empty, so the line fits. An error means that the client is gone already.
    let _ = match stream {
        Accepted::Tcp(mut stream) => stream.write(text),
        Accepted::Unix(mut stream) => stream.write(text),
        // A client that expects a handshake could not read it.
        Accepted::Tls(..) => Ok(0),
    };
}

fn keep_alive(stream: &std::net::TcpStream, idle_s: u64) {
    if idle_s == 0 {
        return;
    }
    let idle = Duration::from_secs(idle_s);
    // As in Redis: three probes, a third of the idle time apart.
    let probes =
        TcpKeepalive::new().with_time(idle).with_interval((idle / 3).max(Duration::from_secs(1))).with_retries(3);
    let _ = socket2::SockRef::from(stream).set_tcp_keepalive(&probes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protected_mode_serves_this_machine_only() {
        #[track_caller]
        fn check(config: &Config, is_open: bool, peer: Option<&str>, is_served: bool) {
            let peer = peer.map(|peer| peer.parse().unwrap());
            assert_eq!(admit(config, is_open, 0, peer), if is_served { Ok(()) } else { Err(PROTECTED) }, "{peer:?}");
        }
        let protected = Config::default();
        for local in [None, Some("127.0.0.1:1"), Some("127.9.9.9:1"), Some("[::1]:1"), Some("[::ffff:127.0.0.1]:1")] {
            check(&protected, true, local, true);
        }
        let mut unprotected = Config::default();
        unprotected.protected_mode = false;
        for remote in ["192.0.2.1:1", "10.0.0.1:1", "[2001:db8::1]:1", "[fe80::1]:1", "[::ffff:192.0.2.1]:1"] {
            check(&protected, true, Some(remote), false);
            check(&protected, false, Some(remote), true);
            check(&unprotected, true, Some(remote), true);
        }
    }

    #[test]
    fn the_limit_of_clients_comes_first() {
        let mut config = Config::default();
        config.maxclients = 2;
        let remote = Some("192.0.2.1:1".parse().unwrap());
        assert_eq!(admit(&config, true, 1, None), Ok(()));
        assert_eq!(admit(&config, true, 2, None), Err(&b"-ERR max number of clients reached\r\n"[..]));
        assert_eq!(admit(&config, true, 2, remote), Err(&b"-ERR max number of clients reached\r\n"[..]));
        assert_eq!(admit(&config, true, 1, remote), Err(PROTECTED));
    }
}
