//! Listeners: they accept connections and hand them to the cores in turn.

use std::{
    io,
    net::{SocketAddr, TcpListener as StdTcpListener},
    os::unix::fs::PermissionsExt,
    path::Path,
    sync::Arc,
    time::Duration,
};

use ochre_resp::Protocol;
use socket2::{Domain, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, UnixListener};

use super::stream::Accepted;
use crate::{
    clock,
    config::{Config, InlineReplies},
    server::Server,
    session::{Client, ClientFlags},
};

/// A connection on its way to its core.
pub struct Arrival {
    /// The connection itself.
    pub stream: Accepted,
    /// The connection's client, already registered.
    pub client: Arc<Client>,
    /// The protocol of replies until the client chooses one with HELLO.
    pub protocol: Protocol,
}

/// A bound socket that listens.
pub enum Listener {
    /// On a TCP address.
    Tcp(StdTcpListener),
    /// On a Unix socket.
    Unix(std::os::unix::net::UnixListener),
}

impl Listener {
    /// The transport's name in the log.
    pub fn transport(&self) -> &'static str {
        match self {
            Listener::Tcp(_) => "tcp",
            Listener::Unix(_) => "unix",
        }
    }

    /// The address of a TCP listener.
    pub fn tcp_address(&self) -> Option<SocketAddr> {
        match self {
            Listener::Tcp(listener) => listener.local_addr().ok(),
            Listener::Unix(_) => None,
        }
    }
}

/// The pause after accepting failed, so that the acceptor does not spin while the process is out of file descriptors.
const PAUSE: Duration = Duration::from_millis(10);

/// Listens on a TCP address.
pub fn bind_tcp(address: SocketAddr, backlog: i32) -> io::Result<Listener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(backlog)?;
    Ok(Listener::Tcp(socket.into()))
}

/// Listens on a Unix socket. A file that an earlier process left at the path is replaced.
pub fn bind_unix(path: &Path, permissions: Option<u32>, backlog: i32) -> io::Result<Listener> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&socket2::SockAddr::unix(path)?)?;
    socket.listen(backlog)?;
    if let Some(mode) = permissions {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    }
    Ok(Listener::Unix(socket.into()))
}

/// Accepts connections until the task is aborted.
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

/// Creates the client of a connection and hands both to a core, or refuses the connection.
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

/// Whether a connection is accepted. The error is the reply that it gets otherwise.
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

/// Sends a connection the reason for its refusal, and closes it.
fn refuse(stream: Accepted, text: &[u8]) {
    use std::io::Write;
    // The socket is non-blocking, and its empty buffer has room for the line. A client that has gone already is not told.
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
