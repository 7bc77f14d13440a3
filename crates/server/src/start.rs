//! Starts the server from the command line, runs it, and shuts it down.

use std::{io, pin::pin, process::ExitCode, sync::Arc, time::Duration};

use tokio::{
    runtime::{Builder, LocalOptions},
    signal::unix::{SignalKind, signal},
    sync::oneshot,
};

use crate::{
    check, clock, commands,
    config::{self, ConfigStore, Invocation, Sources, StartError},
    log, memory,
    net::{acceptor::Acceptors, cores},
    persistence::aof_files,
    persistence::loader::{self, LoadError},
    process::{self, PidFile, Supervisor},
    server::Server,
    shutdown::ShutdownOptions,
    sockets::{
        listener::Listener,
        listening::{self, Listening},
    },
    stop, threads,
    tls::{Keys, Reload},
};

/// If the data is loaded within this time, clients wait for it. They are in the queues of the listeners meanwhile.
const LONG_LOADING: Duration = Duration::from_millis(100);

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
    memory::count_thread();
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
    let keys = match Keys::load(&settings) {
        Ok(keys) => keys,
        Err(reason) => {
            log::cannot_configure_tls(&reason);
            return ExitCode::FAILURE;
        }
    };
    let Some(listeners) = listening::bind(&settings) else { return ExitCode::FAILURE };
    // After binding: if another server has the port, its pid file must not be overwritten.
    let pid_file = PidFile::create(&settings, in_background);
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())
        .expect("the system provides an event queue");
    if let Err(error) = runtime.block_on(run(config, listeners, keys, supervisor)) {
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

/// Starts the cores and the acceptors, loads the data, and returns when the server is to stop.
async fn run(
    config: ConfigStore,
    listeners: Vec<Listener>,
    keys: Option<Arc<Keys>>,
    supervisor: Supervisor,
) -> io::Result<()> {
    let (listening, mut changes) = Listening::new(&listeners)?;
    let (server, cores) = cores::prepare(config, listening);
    commands::acl::file::at_start(&server.users, &server.config.current())
        .map_err(|error| io::Error::other(format!("Aborting Ochre startup because of ACL errors: {error}")))?;
    server.tls.replace(keys);
    // Nothing may look at the data, or save it, before it is loaded.
    server.loading.begin(0);
    cores.start(&server);
    log::initialized();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let listens_on = |transport: &&str| listeners.iter().any(|listener| listener.transport() == *transport);
    let transports: Vec<&str> = ["tcp", "unix", "tls"].into_iter().filter(listens_on).collect();
    let mut hangup = signal(SignalKind::hangup())?;
    let mut reloading = pin!(reload_keys(server.clone()));
    let mut acceptors = Acceptors::default();
    let mut listeners = Some(listeners);
    let mut loading = pin!(load(&server)?);
    let mut is_loaded = false;
    let mut is_long = pin!(tokio::time::sleep(LONG_LOADING));
    loop {
        // Clients are served while the data is loaded, as far as they do not need it. If that takes no time, they see nothing of it.
        if (is_loaded || is_long.is_elapsed())
            && let Some(listeners) = listeners.take()
        {
            acceptors.start(&server, listeners);
        }
        tokio::select! {
            loaded = &mut loading, if !is_loaded => {
                loaded.map_err(io::Error::other)?.map_err(io::Error::other)?;
                is_loaded = true;
                transports.iter().for_each(|transport| log::ready(transport));
                supervisor.ready();
            }
            () = &mut is_long, if !is_loaded && listeners.is_some() => {}
            _ = terminate.recv() => shut_down(&server, "SIGTERM"),
            _ = interrupt.recv() => {
                if server.shutdown.is_waiting() {
                    tracing::warn!("You insist... exiting now.");
                    std::process::exit(1);
                }
                shut_down(&server, "SIGINT");
            }
            _ = hangup.recv() => server.config.while_unchanged(|config| server.tls.reload(config, Reload::Always)),
            () = &mut reloading => {}
            () = server.shutdown.decided() => break,
            Some(change) = changes.recv() => acceptors.change(&server, change),
        }
    }
    supervisor.stopping();
    aof_files::finish(&server);
    Ok(())
}

/// Starts a thread that loads the data. The result is ready when that is done.
fn load(server: &Arc<Server>) -> io::Result<oneshot::Receiver<Result<(), LoadError>>> {
    let (done, loaded) = oneshot::channel();
    let server = server.clone();
    let load = move || {
        let result = loader::load_at_start(&server);
        if result.is_ok() {
            server.loading.end();
            server.wake_expiry();
        }
        // The server may be stopping.
        let _ = done.send(result);
    };
    threads::spawn("ochre-load", load)?;
    Ok(loaded)
}

/// Looks at the files of certificates and keys every `tls-auto-reload-interval` seconds. It does not end.
async fn reload_keys(server: Arc<Server>) {
    let mut waited_s = 0;
    loop {
        // A short wait, so that a change of the interval is noticed.
        tokio::time::sleep(Duration::from_secs(1)).await;
        waited_s += 1;
        let interval_s = server.config.current().tls_auto_reload_interval_s;
        if interval_s > 0 && waited_s >= interval_s {
            server.config.while_unchanged(|config| server.tls.reload(config, Reload::IfChanged));
        }
        if interval_s == 0 || waited_s >= interval_s {
            waited_s = 0;
        }
    }
}

/// Begins the shutdown that a signal asks for. If it fails, the server goes on.
fn shut_down(server: &Arc<Server>, signal: &str) {
    log::received_signal(signal);
    let config = server.config.current();
    let names = if signal == "SIGTERM" { &config.shutdown_on_sigterm } else { &config.shutdown_on_sigint };
    stop::begin(server, &config, ShutdownOptions::of_names(names), Box::new(|| {}));
}
