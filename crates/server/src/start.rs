//! Starts the server from the command line, runs it, and shuts it down.

use std::{io, process::ExitCode};

use tokio::{
    runtime::{Builder, LocalOptions},
    signal::unix::{SignalKind, signal},
};

use crate::{
    check, clock, commands,
    config::{self, ConfigStore, Invocation, Sources, StartError},
    log,
    net::{acceptor::Acceptors, cores},
    process::{self, PidFile, Supervisor},
    server::Server,
    shutdown::ShutdownOptions,
    sockets::{
        listener::Listener,
        listening::{self, Listening},
    },
};

/// Does what the command line asks for. Usually that is to run the server until a signal or SHUTDOWN stops it.
pub fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    match Invocation::parse(&arguments) {
        Invocation::Help => println!("{}", config::usage()),
        Invocation::Version => println!("{}", config::version()),
        Invocation::DefaultConfig => print!("{}", config::document()),
        Invocation::Check(arguments) => return check::main(&arguments),
        Invocation::Serve(sources) => return serve(&sources),
    }
    ExitCode::SUCCESS
}

fn serve(sources: &Sources) -> ExitCode {
    let config = match configure(sources) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let settings = config.current();
    let supervisor = Supervisor::find(settings.supervised);
    let in_background = settings.daemonize && supervisor == Supervisor::None;
    if in_background && let Err(error) = process::daemonize() {
        tracing::error!("Can't run in the background: {error}");
        return ExitCode::FAILURE;
    }
    clock::start();
    process::abort_on_panic();
    process::ignore_signals();
    log::starting(*sources != Sources::default());
    match process::allow_open_files(settings.maxclients, settings.thread_count()) {
        Ok(possible) if possible < settings.maxclients => config.adjust(|config| config.maxclients = possible),
        Ok(_) => {}
        Err(reason) => {
            tracing::error!("{reason}");
            return ExitCode::FAILURE;
        }
    }
    log::serving(&settings);
    let Some(listeners) = listening::bind(&settings) else { return ExitCode::FAILURE };
    // After binding: if another server has the port, its pid file must not be overwritten.
    let pid_file = PidFile::create(&settings, in_background);
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())
        .expect("the system provides an event queue");
    if let Err(error) = runtime.block_on(run(config, listeners, supervisor)) {
        tracing::error!("{error}");
        return ExitCode::FAILURE;
    }
    drop(pid_file);
    if let Some(path) = &settings.unixsocket {
        tracing::info!("Removing the unix socket file.");
        // An error is harmless: the file may be gone already.
        let _ = std::fs::remove_file(path);
    }
    log::bye();
    ExitCode::SUCCESS
}

/// Reads the configuration, changes to its working directory, renames commands and starts the log.
fn configure(sources: &Sources) -> Result<ConfigStore, StartError> {
    let config = ConfigStore::load(sources)?;
    let settings = config.current();
    process::enter_directory(&settings.dir).map_err(|reason| StartError::Setting {
        reason: format!("Can't chdir to '{}': {reason}", settings.dir.display()),
    })?;
    commands::load(&settings.renamed_commands).map_err(|reason| StartError::Setting { reason })?;
    log::start(&settings)?;
    Ok(config)
}

/// Starts the cores and the acceptors, and returns when the server is to stop.
async fn run(config: ConfigStore, listeners: Vec<Listener>, supervisor: Supervisor) -> io::Result<()> {
    let (listening, mut changes) = Listening::new(&listeners)?;
    let (server, cores) = cores::prepare(config, listening);
    cores.start(&server);
    log::initialized();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let listens_on = |transport: &str| listeners.iter().any(|listener| listener.transport() == transport);
    for transport in ["tcp", "unix"].into_iter().filter(|transport| listens_on(transport)) {
        log::ready(transport);
    }
    let mut acceptors = Acceptors::default();
    acceptors.start(&server, listeners);
    supervisor.ready();
    loop {
        tokio::select! {
            _ = terminate.recv() => shut_down(&server, "SIGTERM"),
            _ = interrupt.recv() => shut_down(&server, "SIGINT"),
            () = server.shutdown.begun() => break,
            Some(change) = changes.recv() => acceptors.change(&server, change),
        }
    }
    supervisor.stopping();
    Ok(())
}

/// Begins the shutdown that a signal asks for.
fn shut_down(server: &Server, signal: &str) {
    log::received_signal(signal);
    // Without SAVE nothing can fail: `shutdown-on-sigterm` and `shutdown-on-sigint` do not accept it.
    let _ = server.shutdown.begin(ShutdownOptions::empty());
}
