//! Listeners: the sockets that connections come in at.

use std::{
    io,
    net::{SocketAddr, TcpListener as StdTcpListener},
    os::unix::fs::PermissionsExt,
    path::Path,
};

use socket2::{Domain, Socket, Type};

/// How clients connect to a TCP address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Transport {
    /// Without encryption.
    Tcp,
    /// Encrypted.
    Tls,
}

impl Transport {
    /// As the log calls it.
    pub fn name(self) -> &'static str {
        match self {
            Transport::Tcp => "tcp",
            Transport::Tls => "tls",
        }
    }
}

/// A bound socket.
pub enum Listener {
    /// On a TCP address, and whether its connections are encrypted.
    Tcp(StdTcpListener, Transport),
    /// On a Unix socket.
    Unix(std::os::unix::net::UnixListener),
}

impl Listener {
    /// As the log calls it.
    pub fn transport(&self) -> &'static str {
        match self {
            Listener::Tcp(_, transport) => transport.name(),
            Listener::Unix(_) => "unix",
        }
    }

    /// Its address, where it is one of TCP.
    pub fn tcp_address(&self) -> Option<SocketAddr> {
        match self {
            Listener::Tcp(listener, _) => listener.local_addr().ok(),
            Listener::Unix(_) => None,
        }
    }
}

/// Binds an address.
pub fn bind_tcp(address: SocketAddr, transport: Transport, backlog: i32) -> io::Result<Listener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(backlog)?;
    Ok(Listener::Tcp(socket.into(), transport))
}

/// Binds a Unix socket, in place of one that was left behind.
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
