//! The process as the system sees it: daemon, pid file, supervisor, open files, working directory, signals.

use std::{
    ffi::OsStr,
    fs,
    io::{self, Write},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use sd_notify::NotifyState;

use crate::{
    config::{Config, Directive, Hook, NotApplied, Supervision, system_text},
    log, memory,
    sys::{self, Fork, OpenFilesLimit},
};

/// Continues as a child process without a terminal; the process that was started exits with success. Call it before any thread is started.
pub fn daemonize() -> io::Result<()> {
    if sys::fork()? == Fork::Parent {
        std::process::exit(0);
    }
    sys::start_session()?;
    memory::start_background_thread();
    let null = fs::File::options().read(true).write(true).open("/dev/null")?;
    sys::redirect_standard_streams(&null)
}

/// A file with the process's id, removed when dropped.
#[derive(Debug)]
pub struct PidFile {
    path: PathBuf,
}

impl PidFile {
    /// Writes the file that the configuration asks for, if it asks for one. A failure is logged and does not stop the server, as in Redis.
    pub fn create(config: &Config, in_background: bool) -> Option<PidFile> {
        let default = in_background.then(|| PathBuf::from("/var/run/ochre.pid"));
        let path = config.pidfile.clone().or(default)?;
        // The working directory may change before the file is removed.
        let path = std::path::absolute(&path).unwrap_or(path);
        match fs::File::create(&path).and_then(|mut file| writeln!(file, "{}", std::process::id())) {
            Ok(()) => Some(PidFile { path }),
            Err(error) => {
                tracing::info!("Failed to write PID file: {}: {}", path.display(), system_text(&error));
                None
            }
        }
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        tracing::info!("Removing the pid file.");
        // Somebody may have removed it already.
        let _ = fs::remove_file(&self.path);
    }
}

/// The program that started the process and is told when it is ready.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Supervisor {
    /// A person or a script, which is told nothing.
    None,
    /// upstart, which waits for the process to stop itself with SIGSTOP.
    Upstart,
    /// systemd, which listens on a socket (sd_notify(3)).
    Systemd,
}

impl Supervisor {
    /// The supervisor that the configuration names, or with `auto` the one whose environment variable is set.
    pub fn find(supervised: Supervision) -> Supervisor {
        let is_set = |variable: &str| std::env::var_os(variable).is_some();
        match supervised {
            Supervision::No => Supervisor::None,
            Supervision::Upstart if !is_set("UPSTART_JOB") => {
                tracing::warn!("upstart supervision requested, but UPSTART_JOB not found!");
                Supervisor::None
            }
            Supervision::Systemd if !is_set("NOTIFY_SOCKET") => {
                tracing::warn!("systemd supervision requested, but NOTIFY_SOCKET not found!");
                Supervisor::None
            }
            Supervision::Upstart => Supervisor::Upstart,
            Supervision::Systemd => Supervisor::Systemd,
            Supervision::Auto if is_set("UPSTART_JOB") => Supervisor::Upstart,
            Supervision::Auto if is_set("NOTIFY_SOCKET") => Supervisor::Systemd,
            Supervision::Auto => Supervisor::None,
        }
    }

    /// Tells the supervisor that clients can connect.
    pub fn ready(self) {
        match self {
            Supervisor::None => {}
            Supervisor::Upstart => {
                tracing::info!("supervised by upstart, will stop to signal readiness");
                // Upstart continues the process with SIGCONT.
                sys::stop_process();
            }
            Supervisor::Systemd => notify(&[NotifyState::Status("Ready to accept connections"), NotifyState::Ready]),
        }
    }

    /// Tells the supervisor that the server is shutting down.
    pub fn stopping(self) {
        if self == Supervisor::Systemd {
            notify(&[NotifyState::Status("Shutting down"), NotifyState::Stopping]);
        }
    }
}

fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!("systemd could not be notified: {}", system_text(&error));
    }
}

/// Keeps the process alive when its terminal closes (SIGHUP) or when a client disconnects during a write to it (SIGPIPE). Once the server runs,
/// SIGHUP makes it read the certificates of TLS again.
pub fn ignore_signals() {
    sys::ignore_hangup_and_broken_pipe();
}

/// Makes a panic of any thread end the process: data that was locked at that moment may be half changed, so nothing may read it any more.
pub fn abort_on_panic() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        report(panic);
        tracing::error!("Ochre crashed: {panic}");
        std::process::abort();
    }));
}

/// Open files beside clients' connections: the log, listeners, and for each thread its event queue, timer and wake-up.
fn reserved_files(threads: usize) -> u64 {
    32 + 8 * threads as u64
}

/// Raises the limit of open files so that `maxclients` clients can connect.
///
/// Returns how many clients the limit allows: `maxclients`, or fewer where the system refuses. It is an error if it allows none.
pub fn allow_open_files(maxclients: u32, threads: usize) -> Result<u32, String> {
    let reserved = reserved_files(threads);
    let wanted = u64::from(maxclients) + reserved;
    let limit = match sys::open_files_limit() {
        Ok(limit) => limit,
        Err(error) => {
            let reason = system_text(&error);
            tracing::warn!(
                "Unable to obtain the current NOFILE limit ({reason}), assuming 1024 and setting the max clients configuration accordingly."
            );
            return Ok(maxclients.min(1024_u64.saturating_sub(reserved) as u32));
        }
    };
    let original = limit.soft;
    if original >= wanted {
        return Ok(maxclients);
    }
    // Raising the hard limit needs privileges; any process may raise its soft limit up to the hard one.
    let all = OpenFilesLimit { soft: wanted, hard: wanted.max(limit.hard) };
    let some = OpenFilesLimit { soft: wanted.min(limit.hard), hard: limit.hard };
    let Err(error) = sys::set_open_files_limit(all) else {
        tracing::info!("Increased maximum number of open files to {wanted} (it was originally set to {original}).");
        return Ok(maxclients);
    };
    let allowed = if sys::set_open_files_limit(some).is_ok() { some.soft } else { original };
    if allowed <= reserved {
        return Err(format!(
            "Your current 'ulimit -n' of {allowed} is not enough for the server to start. Please increase your open file limit to at \
             least {wanted}. Exiting."
        ));
    }
    let possible = (allowed - reserved) as u32;
    tracing::warn!("You requested maxclients of {maxclients} requiring at least {wanted} max file descriptors.");
    tracing::warn!("Server can't set maximum open files to {wanted} because of OS error: {}.", system_text(&error));
    tracing::warn!(
        "Current maximum open files is {allowed}. maxclients has been reduced to {possible} to compensate for low ulimit. If you need \
         higher maxclients increase 'ulimit -n'."
    );
    Ok(possible)
}

/// Applies changed settings to the process: the log, the working directory, the limit of open files.
///
/// Either all are applied or none; an error names the directive that could not be.
pub fn apply(before: &Config, after: &Config, changed: &[&'static Directive]) -> Result<(), NotApplied> {
    for (index, directive) in changed.iter().enumerate() {
        if let Err(reason) = run_hook(directive.hook, before, after) {
            for done in &changed[..index] {
                // If even the old value cannot be restored, the first error is still the one to report.
                let _ = run_hook(done.hook, after, before);
            }
            return Err(NotApplied { directive: directive.name, reason });
        }
    }
    Ok(())
}

fn run_hook(hook: Option<Hook>, before: &Config, after: &Config) -> Result<(), String> {
    match hook {
        Some(Hook::Log) => log::configure(after),
        Some(Hook::Directory) => enter_directory(&after.dir),
        Some(Hook::OpenFiles) if after.maxclients > before.maxclients => {
            match allow_open_files(after.maxclients, after.thread_count()) {
                Ok(possible) if possible < after.maxclients => Err(format!(
                    "The operating system is not able to handle the specified number of clients, try with {possible}"
                )),
                possible => possible.map(drop),
            }
        }
        _ => Ok(()),
    }
}

/// The version of Redis that Ochre reports, since clients and tools choose features by it.
pub const REDIS_VERSION: &str = "7.4.2";

/// The path that the bytes of a directive stand for.
pub fn path_of(bytes: &[u8]) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(bytes))
}

/// Changes the working directory of the process.
pub fn enter_directory(path: &Path) -> Result<(), String> {
    std::env::set_current_dir(path).map_err(|error| system_text(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pid_file_comes_and_goes() {
        let path = std::env::temp_dir().join(format!("ochre-pid-{}", std::process::id()));
        let mut config = Config::default();
        config.pidfile = Some(path.clone());
        let file = PidFile::create(&config, false);
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{}\n", std::process::id()));
        drop(file);
        assert!(!path.exists());
        assert!(PidFile::create(&Config::default(), false).is_none());
    }
}
