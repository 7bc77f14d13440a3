//! From the command line to a running server, and to its end.

use std::{io, net::IpAddr, process::ExitCode, sync::Arc};

use tokio::{
    runtime::{Builder, LocalOptions},
    signal::unix::{SignalKind, signal},
    sync::{Notify, mpsc},
    task::spawn_local,
};

use crate::{
    clock,
    config::{Config, ConfigStore},
    net::{
        cores::{self, Mailroom},
        listener::{self, Listener},
    },
    server::Server,
};

/// Runs the server until it is told to stop.
pub fn main() -> ExitCode {
    clock::start();
    let config = ConfigStore::load();
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

async fn run(config: ConfigStore) -> io::Result<()> {
    let settings = config.current();
    let listeners = bind(&settings)?;
    let mut mailrooms = Vec::new();
    let mut arrivals = Vec::new();
    for _ in 0..settings.threads {
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
            let address: IpAddr = address.parse().map_err(|e| io::Error::other(format!("bind {address}: {e}")))?;
            listeners.push(listener::bind_tcp(address, config.port, config.tcp_backlog)?);
        }
    }
    if let Some(path) = &config.unixsocket {
        listeners.push(listener::bind_unix(path, config.unixsocketperm, config.tcp_backlog)?);
    }
    Ok(listeners)
}
