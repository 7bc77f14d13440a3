//! Where the server listens, and how CONFIG SET changes that.
//!
//! The core that runs CONFIG SET binds the new addresses itself, so that the command can reply with an error. The acceptor then accepts
//! on the new sockets and closes those that are not named any more. An address that is in both the old and the new setting is listened on
//! without a gap.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs},
};

use parking_lot::Mutex;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::listener::{self, Listener};
use crate::{config::Config, log, sys};

/// The addresses that the server listens on, and the way to change them.
pub struct Listening {
    /// The TCP addresses that are listened on. A mutex, since only CONFIG SET takes it.
    bound: Mutex<Vec<SocketAddr>>,
    changes: UnboundedSender<Change>,
}

/// What the acceptor does after a change of addresses.
pub struct Change {
    /// The TCP addresses to go on listening on.
    pub kept: Vec<SocketAddr>,
    /// The sockets to accept on from now on.
    pub new: Vec<Listener>,
}

impl Listening {
    /// Starts with the listeners that were bound at start. The acceptor reads changes from the receiver.
    pub fn new(listeners: &[Listener]) -> (Listening, UnboundedReceiver<Change>) {
        let (changes, receiver) = unbounded_channel();
        let bound = listeners.iter().filter_map(Listener::tcp_address).collect();
        (Listening { bound: Mutex::new(bound), changes }, receiver)
    }

    /// Listens on the addresses of a new configuration. After an error, which is logged, the old addresses stay in use.
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
        // It fails only after the server has stopped.
        let _ = self.changes.send(Change { kept, new });
        Ok(())
    }
}

/// Binds all addresses of the configuration. If one cannot be bound, the reason is logged and the result is `None`.
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

/// Calls `listen` with each TCP address of the configuration. The first error is logged and ends the loop.
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

/// An address as `bind` names it: `*` is every IPv4 address, `::*` every IPv6 address, and a host name is resolved.
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

/// Whether this machine does not have the address, or does not speak its protocol.
fn is_missing(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrNotAvailable || sys::is_unsupported_protocol(error)
}
