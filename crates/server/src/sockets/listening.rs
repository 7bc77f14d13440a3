//! Where the server listens, and how CONFIG SET changes that.
//!
//! The core that runs CONFIG SET binds the new addresses itself, so that the command can reply with an error. It also stops listening on the
//! addresses that are not named any more, so that they refuse connections when the command has replied. The acceptor then accepts on the
//! new sockets and closes the old ones. An address that is in both the old and the new setting is listened on without a gap.
//!
//! Linux does not bind an address that overlaps one that is listened on, such as `*` and 127.0.0.1. So an old address that is in the way of
//! a new one is given up first. If the change fails then, it is bound again.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, ToSocketAddrs},
};

use parking_lot::Mutex;
use socket2::SockRef;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::listener::{self, Listener, Transport};
use crate::{config::Config, log, sys};

/// The addresses that the server listens on, and the way to change them.
pub struct Listening {
    /// The TCP addresses that are listened on. A mutex, since only CONFIG SET takes it.
    bound: Mutex<Vec<Bound>>,
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
    ///
    /// # Errors
    /// If the process has too many open files.
    pub fn new(listeners: &[Listener]) -> io::Result<(Listening, UnboundedReceiver<Change>)> {
        let (changes, receiver) = unbounded_channel();
        let bound = listeners.iter().filter_map(Bound::of).collect::<io::Result<Vec<_>>>()?;
        Ok((Listening { bound: Mutex::new(bound), changes }, receiver))
    }

    /// Listens on the addresses of a new configuration. After an error, which is logged, the old addresses are in use.
    pub fn change(&self, config: &Config) -> io::Result<()> {
        let mut bound = self.bound.lock();
        let wanted = Wanted::all(config)?;
        let is_wanted = |it: &Bound| wanted.iter().any(|wanted| wanted.is(it));
        let missing = wanted.iter().filter(|wanted| !bound.iter().any(|it| wanted.is(it)));
        let mut given_up = Vec::new();
        let new = bind_each(missing, |address, transport| match listen(address, transport, config) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                for it in bound.iter().filter(|it| !is_wanted(it) && it.overlaps(address)) {
                    it.stop_listening();
                    if !given_up.contains(&(it.address, it.transport)) {
                        given_up.push((it.address, it.transport));
                    }
                }
                listen(address, transport, config)
            }
            result => result,
        });
        match new {
            Ok(new) => {
                let leaving: Vec<_> = bound.iter().filter(|it| !is_wanted(it)).map(|it| it.address).collect();
                self.replace(&mut bound, &leaving, new);
                Ok(())
            }
            Err(error) => {
                let bound_again = given_up.iter().filter_map(|&(address, transport)| {
                    let listening = listen(address, transport, config);
                    listening
                        .inspect_err(|error| log::cannot_bind(&address.ip().to_string(), address.port(), error))
                        .ok()
                });
                let bound_again = bound_again.collect();
                let given_up: Vec<_> = given_up.into_iter().map(|(address, _)| address).collect();
                self.replace(&mut bound, &given_up, bound_again);
                Err(error)
            }
        }
    }

    /// Listens on other sockets in the place of those with the addresses `leaving`.
    fn replace(&self, bound: &mut Vec<Bound>, leaving: &[SocketAddr], new: Vec<(Listener, Bound)>) {
        bound.iter().filter(|it| leaving.contains(&it.address)).for_each(Bound::stop_listening);
        bound.retain(|it| !leaving.contains(&it.address));
        let kept = bound.iter().map(|it| it.address).collect();
        let (new, new_bound): (Vec<_>, Vec<_>) = new.into_iter().unzip();
        bound.extend(new_bound);
        // It fails only after the server has stopped.
        let _ = self.changes.send(Change { kept, new });
    }
}

/// Binds an address of CONFIG SET.
fn listen(address: SocketAddr, transport: Transport, config: &Config) -> io::Result<(Listener, Bound)> {
    let listener = listener::bind_tcp(address, transport, config.tcp_backlog)?;
    let bound = Bound::of(&listener).expect("a TCP listener")?;
    Ok((listener, bound))
}

/// Binds all addresses of the configuration. If one cannot be bound, or if there is none, the reason is logged and the result is `None`.
pub fn bind(config: &Config) -> Option<Vec<Listener>> {
    let mut listeners = Vec::new();
    for (transport, port) in [(Transport::Tcp, config.port), (Transport::Tls, config.tls_port)] {
        let bind = |address, transport| listener::bind_tcp(address, transport, config.tcp_backlog);
        match Wanted::of(config, transport, port).and_then(|wanted| bind_each(wanted.iter(), bind)) {
            Ok(bound) => listeners.extend(bound),
            Err(_) => {
                log::cannot_listen(port, transport.name());
                return None;
            }
        }
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
    if listeners.is_empty() {
        log::listens_nowhere();
        return None;
    }
    Some(listeners)
}

/// An address that is listened on.
struct Bound {
    address: SocketAddr,
    transport: Transport,
    /// A second handle of the acceptor's socket.
    socket: TcpListener,
}

impl Bound {
    /// `None` for a Unix socket, which CONFIG SET cannot change.
    fn of(listener: &Listener) -> Option<io::Result<Bound>> {
        let &Listener::Tcp(ref listener, transport) = listener else { return None };
        let bound = |socket: TcpListener| Ok(Bound { address: socket.local_addr()?, transport, socket });
        Some(listener.try_clone().and_then(bound))
    }

    /// Refuses connections from now on. The acceptor closes the socket.
    fn stop_listening(&self) {
        // Systems other than Linux refuse it. They bind overlapping addresses anyway, and the acceptor closes the socket soon.
        let _ = SockRef::from(&self.socket).shutdown(Shutdown::Both);
    }

    /// Whether connections to one of the addresses could be meant for the other one.
    fn overlaps(&self, other: SocketAddr) -> bool {
        let either_is_any = self.address.ip().is_unspecified() || other.ip().is_unspecified();
        self.address.port() == other.port()
            && self.address.is_ipv4() == other.is_ipv4()
            && (either_is_any || self.address.ip() == other.ip())
    }
}

/// An address to listen on.
struct Wanted<'a> {
    /// As `bind` names it, without the `-` in front.
    name: &'a str,
    address: SocketAddr,
    transport: Transport,
    /// Whether this machine need not have the address.
    is_optional: bool,
}

impl<'a> Wanted<'a> {
    /// The TCP addresses of the configuration, plain ones and those for TLS. Errors are logged.
    fn all(config: &'a Config) -> io::Result<Vec<Wanted<'a>>> {
        let mut all = Wanted::of(config, Transport::Tcp, config.port)?;
        all.extend(Wanted::of(config, Transport::Tls, config.tls_port)?);
        Ok(all)
    }

    /// The addresses of one port. A name that has no address and an address that is named twice are errors, which are logged.
    fn of(config: &'a Config, transport: Transport, port: u16) -> io::Result<Vec<Wanted<'a>>> {
        let names = if port == 0 { &[][..] } else { &config.bind };
        let wanted = |name: &'a String| {
            let (name, is_optional) = match name.strip_prefix('-') {
                Some(name) => (name, true),
                None => (name.as_str(), false),
            };
            match ip_address(name) {
                Ok(ip) => Ok(Wanted { name, address: SocketAddr::new(ip, port), transport, is_optional }),
                Err(error) => {
                    log::cannot_resolve(name, port, &error);
                    Err(error)
                }
            }
        };
        let all: Vec<Wanted<'a>> = names.iter().map(wanted).collect::<io::Result<_>>()?;
        for (index, it) in all.iter().enumerate() {
            if all[..index].iter().any(|other| other.address == it.address) {
                let error = io::Error::other("Address already in use");
                log::cannot_bind(it.name, port, &error);
                return Err(error);
            }
        }
        Ok(all)
    }

    /// Whether it is what is bound.
    fn is(&self, bound: &Bound) -> bool {
        self.address == bound.address && self.transport == bound.transport
    }
}

/// Binds addresses with `bind`. One that this machine does not have may be left out. The first error is logged and ends the loop.
fn bind_each<'a, T>(
    wanted: impl Iterator<Item = &'a Wanted<'a>>,
    mut bind: impl FnMut(SocketAddr, Transport) -> io::Result<T>,
) -> io::Result<Vec<T>> {
    let mut listeners = Vec::new();
    for Wanted { name, address, transport, is_optional } in wanted {
        match bind(*address, *transport) {
            Ok(listener) => listeners.push(listener),
            Err(error) => {
                log::cannot_bind(name, address.port(), &error);
                let is_missing = *is_optional && error.kind() == io::ErrorKind::AddrNotAvailable;
                // As in Redis, a protocol that the machine does not speak is always left out.
                if !is_missing && !sys::is_unsupported_protocol(&error) {
                    return Err(error);
                }
            }
        }
    }
    Ok(listeners)
}

/// An address as `bind` names it: `*` is every IPv4 address, `::*` every IPv6 address, and of a host name it is the first IPv4 address.
fn ip_address(name: &str) -> io::Result<IpAddr> {
    match name {
        "*" => Ok(Ipv4Addr::UNSPECIFIED.into()),
        "::*" => Ok(Ipv6Addr::UNSPECIFIED.into()),
        _ => match name.parse() {
            Ok(address) => Ok(address),
            Err(_) => {
                let found = (name, 0).to_socket_addrs()?.map(|found| found.ip()).find(IpAddr::is_ipv4);
                found.ok_or_else(|| io::Error::other("Address family for hostname not supported"))
            }
        },
    }
}
