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
    sockets::{listener::Listener, listening::Change, stream::Accepted},
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

/// Accepts connections until the task is aborted. Returns an error only if the listener cannot be registered with the runtime.
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
            Ok((stream, peer)) => accept_connection(&server, stream, peer),
            Err(error) => {
                tracing::warn!("Accepting client connection: {error}");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Creates a client for the connection and hands both to a core, or refuses the connection.
fn accept_connection(server: &Arc<Server>, stream: Accepted, peer: Option<SocketAddr>) {
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

/// Checks whether a connection may be served. The error is the reply to send before closing it.
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

/// Sends the reason for the refusal, and closes the connection.
fn refuse(stream: Accepted, text: &[u8]) {
    use std::io::Write;
    // The socket is non-blocking, and its send buffer is empty, so the line fits. An error means that the client is gone already.
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
    // As in Redis: three probes, a third of the idle time apart.
    let probes =
        TcpKeepalive::new().with_time(idle).with_interval((idle / 3).max(Duration::from_secs(1))).with_retries(3);
    let _ = socket2::SockRef::from(stream).set_tcp_keepalive(&probes);
}
