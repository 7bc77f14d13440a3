//! From the command line to a running server, and to its end.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, ToSocketAddrs},
    process::ExitCode,
    sync::Arc,
};

use tokio::{
    runtime::{Builder, LocalOptions},
    signal::unix::{SignalKind, signal},
    sync::{Notify, mpsc},
    task::spawn_local,
};

use crate::{
    clock,
    config::{self, Config, ConfigStore, Invocation},
    net::{
        cores::{self, Mailroom},
        listener::{self, Listener},
    },
    server::Server,
};

/// Runs the server until it is told to stop.
pub fn main() -> ExitCode {
    clock::start();
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let sources = match Invocation::parse(&arguments) {
        Invocation::Help => return print(config::usage()),
        Invocation::Version => return print(&config::version()),
        Invocation::DefaultConfig => return print(config::document().trim_end()),
        Invocation::Serve(sources) => sources,
    };
    let config = match ConfigStore::load(&sources) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())
        .expect("the system gives an event queue");
    match runtime.block_on(run(config)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn print(text: &str) -> ExitCode {
    println!("{text}");
    ExitCode::SUCCESS
}

async fn run(config: ConfigStore) -> io::Result<()> {
    let settings = config.current();
    let listeners = bind(&settings)?;
    let mut mailrooms = Vec::new();
    let mut arrivals = Vec::new();
    for _ in 0..settings.thread_count() {
        let (sender, receiver) = mpsc::unbounded_channel();
        mailrooms.push(Mailroom { arrivals: sender, deadline: Arc::new(Notify::new()) });
        arrivals.push(receiver);
    }
    let deadlines: Vec<_> = mailrooms.iter().map(|mailroom| mailroom.deadline.clone()).collect();
    let server = Arc::new(Server::new(config, mailrooms));
    for (index, (arrivals, deadline)) in arrivals.into_iter().zip(deadlines).enumerate() {
        cores::start(index, server.clone(), arrivals, deadline);
    }
    for listener in listeners {
        spawn_local(listener::accept(server.clone(), listener));
    }
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut _hang_up = signal(SignalKind::hangup())?;
    tokio::select! {
        _ = terminate.recv() => tracing::warn!("Received SIGTERM scheduling shutdown..."),
        _ = interrupt.recv() => tracing::warn!("Received SIGINT scheduling shutdown..."),
        () = server.stop.notified() => {}
    }
    Ok(())
}

fn bind(config: &Config) -> io::Result<Vec<Listener>> {
    let mut listeners = Vec::new();
    if config.port != 0 {
        for address in &config.bind {
            let (address, may_be_missing) = match address.strip_prefix('-') {
                Some(address) => (address, true),
                None => (address.as_str(), false),
            };
            match listener::bind_tcp(ip_address(address)?, config.port, config.tcp_backlog) {
                Err(error) if may_be_missing && is_missing(&error) => {}
                bound => listeners.push(bound?),
            }
        }
    }
    if let Some(path) = &config.unixsocket {
        listeners.push(listener::bind_unix(path, config.unixsocketperm, config.tcp_backlog)?);
    }
    Ok(listeners)
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
