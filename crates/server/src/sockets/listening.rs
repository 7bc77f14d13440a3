//! Where the server listens, and how that changes while it runs.
//!
//! Who changes it binds the addresses that are new, on the core where CONFIG SET runs, so that a failure is its answer; the acceptor then
//! takes the new sockets over and closes those that are left out. An address that stays is listened on throughout.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs},
};

use parking_lot::Mutex;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::listener::{self, Listener};
use crate::{config::Config, log};

/// See the module.
pub struct Listening {
    /// The TCP addresses that are listened on. A mutex: touched by CONFIG SET alone.
    bound: Mutex<Vec<SocketAddr>>,
    changes: UnboundedSender<Change>,
}

/// What the acceptor is to do.
pub struct Change {
    /// The TCP addresses that stay.
    pub kept: Vec<SocketAddr>,
    pub new: Vec<Listener>,
}

impl Listening {
    /// For what is bound at start; the acceptor receives the changes.
    pub fn new(listeners: &[Listener]) -> (Listening, UnboundedReceiver<Change>) {
        let (changes, receiver) = unbounded_channel();
        let bound = listeners.iter().filter_map(Listener::tcp_address).collect();
        (Listening { bound: Mutex::new(bound), changes }, receiver)
    }

    /// Listens where the configuration says now. On an error, which is logged, everything stays as it is.
    pub fn change(&self, config: &Config) -> io::Result<()> {
        let mut bound = self.bound.lock();
        let (mut kept, mut new) = (Vec::new(), Vec::new());
        for_each_address(config, |address| {
            if bound.contains(&address) {
                kept.push(address);
            } else {
                new.push(listener::bind_tcp(address, config.tcp_backlog)?);
            }
            Ok(())
        })?;
        *bound = kept.iter().copied().chain(new.iter().filter_map(Listener::tcp_address)).collect();
        // It fails only where the server has stopped.
        let _ = self.changes.send(Change { kept, new });
        Ok(())
    }
}

/// Listens where the configuration says; nothing, once it is logged why, where that is not possible.
pub fn bind(config: &Config) -> Option<Vec<Listener>> {
    let mut listeners = Vec::new();
    let bound = for_each_address(config, |address| {
        listeners.push(listener::bind_tcp(address, config.tcp_backlog)?);
        Ok(())
    });
    if bound.is_err() {
        log::cannot_listen(config.port);
        return None;
    }
    if let Some(path) = &config.unixsocket {
        match listener::bind_unix(path, config.unixsocketperm, config.tcp_backlog) {
            Ok(listener) => listeners.push(listener),
            Err(error) => {
                log::cannot_open_unix_socket(path, &error);
                return None;
            }
        }
    }
    Some(listeners)
}

/// Calls `listen` for each TCP address of the configuration, up to the first error, which is logged.
fn for_each_address(config: &Config, mut listen: impl FnMut(SocketAddr) -> io::Result<()>) -> io::Result<()> {
    let addresses = if config.port == 0 { &[][..] } else { &config.bind };
    for address in addresses {
        let (address, may_be_missing) = match address.strip_prefix('-') {
            Some(address) => (address, true),
            None => (address.as_str(), false),
        };
        match ip_address(address).and_then(|ip| listen(SocketAddr::new(ip, config.port))) {
            Err(error) if may_be_missing && is_missing(&error) => {}
            Err(error) => {
                log::cannot_bind(address, config.port, &error);
                return Err(error);
            }
            Ok(()) => {}
        }
    }
    Ok(())
}

/// An address of `bind`: `*` is every IPv4 address, `::*` every IPv6 one; a name is looked up.
fn ip_address(address: &str) -> io::Result<IpAddr> {
    match address {
        "*" => Ok(Ipv4Addr::UNSPECIFIED.into()),
        "::*" => Ok(Ipv6Addr::UNSPECIFIED.into()),
        _ => match address.parse() {
            Ok(address) => Ok(address),
            Err(_) => {
                let mut found = (address, 0).to_socket_addrs()?;
                found
                    .next()
                    .map(|found| found.ip())
                    .ok_or_else(|| io::Error::other(format!("{address} has no address")))
            }
        },
    }
}

/// Whether this machine has no such address, or does not speak its protocol.
fn is_missing(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrNotAvailable
        || matches!(error.raw_os_error(), Some(libc::EAFNOSUPPORT | libc::EPROTONOSUPPORT | libc::ENOPROTOOPT))
}
