//! The acceptor: it takes connections in, and hands them to the cores in turn.

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
    sockets::{listener::Listener, listening::Change, stream::Accepted},
};

/// The tasks that accept connections.
#[derive(Default)]
pub struct Acceptors {
    tcp: HashMap<SocketAddr, JoinHandle<io::Result<()>>>,
}

impl Acceptors {
    /// Accepts on these.
    pub fn start(&mut self, server: &Arc<Server>, listeners: Vec<Listener>) {
        for listener in listeners {
            let address = listener.tcp_address();
            let task = spawn_local(accept(server.clone(), listener));
            if let Some(address) = address {
                self.tcp.insert(address, task);
            }
        }
    }

    /// Accepts on other addresses.
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

/// How long accepting rests after the system refused (no file descriptor left), so that it does not spin.
const REST: Duration = Duration::from_millis(10);

/// Takes connections in for as long as the server runs.
pub async fn accept(server: Arc<Server>, listener: Listener) -> io::Result<()> {
    enum Registered {
        Tcp(TcpListener),
        Unix(UnixListener),
    }
    let listener = match listener {
        Listener::Tcp(listener) => Registered::Tcp(TcpListener::from_std(listener)?),
        Listener::Unix(listener) => Registered::Unix(UnixListener::from_std(listener)?),
    };
    loop {
        let accepted = match &listener {
            Registered::Tcp(listener) => match listener.accept().await {
                Ok((stream, peer)) => stream.into_std().map(|stream| (Accepted::Tcp(stream), Some(peer))),
                Err(error) => Err(error),
            },
            Registered::Unix(listener) => match listener.accept().await {
                Ok((stream, _)) => stream.into_std().map(|stream| (Accepted::Unix(stream), None)),
                Err(error) => Err(error),
            },
        };
        match accepted {
            Ok((stream, peer)) => take_in(&server, stream, peer),
            Err(error) => {
                tracing::warn!("Accepting client connection: {error}");
                tokio::time::sleep(REST).await;
            }
        }
    }
}

/// Gives a connection its client and its core, or refuses it.
fn take_in(server: &Arc<Server>, stream: Accepted, peer: Option<SocketAddr>) {
    let config = server.config.current();
    if let Err(refusal) = admit(server, &config, peer) {
        server.refused_connections.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        refuse(stream, refusal);
        return;
    }
    let (address, local_address) = match (&stream, peer) {
        (Accepted::Tcp(stream), Some(peer)) => {
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
    server.hand_over(core, Arrival { stream, client, protocol });
}

/// Whether a connection may come in; else what it is told.
fn admit(server: &Server, config: &Config, peer: Option<SocketAddr>) -> Result<(), &'static [u8]> {
    if server.clients.len() >= config.maxclients as usize {
        return Err(b"-ERR max number of clients reached\r\n");
    }
    let is_local = peer.is_none_or(|peer| peer.ip().to_canonical().is_loopback());
    if config.protected_mode && config.requirepass.is_none() && !is_local {
        return Err(PROTECTED);
    }
    Ok(())
}

const PROTECTED: &[u8] = b"-DENIED Ochre is running in protected mode because protected mode is enabled and no password is set \
for the default user. In this mode connections are only accepted from the loopback interface. If you want to connect from \
external computers, either set a password with the 'requirepass' directive, or, where nobody else can reach the port, disable \
protected mode with 'CONFIG SET protected-mode no' from the loopback interface.\r\n";

/// Tells a connection why it is refused, as far as it listens, and ends it.
fn refuse(stream: Accepted, text: &[u8]) {
    use std::io::Write;
    // The socket does not block, and its empty buffer takes a line.
    let _ = match stream {
        Accepted::Tcp(mut stream) => stream.write(text),
        Accepted::Unix(mut stream) => stream.write(text),
    };
}

fn keep_alive(stream: &std::net::TcpStream, idle_s: u64) {
    if idle_s == 0 {
        return;
    }
    let idle = Duration::from_secs(idle_s);
    // As Redis: the probes are spread over another third of the time, three of them.
    let probes =
        TcpKeepalive::new().with_time(idle).with_interval((idle / 3).max(Duration::from_secs(1))).with_retries(3);
    let _ = socket2::SockRef::from(stream).set_tcp_keepalive(&probes);
}
