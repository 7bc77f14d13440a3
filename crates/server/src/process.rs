//! The process as the system sees it: background, id file, supervisor, open files, working directory, signals.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use sd_notify::NotifyState;

use crate::{
    config::{Config, Directive, Hook, NotApplied, Supervision, system_text},
    log,
};

/// Leaves the terminal and goes on in the background; the process that was started ends well. To be called while there is one thread.
pub fn daemonize() -> io::Result<()> {
    // SAFETY: there is one thread, so the child has everything that it may use.
    match unsafe { libc::fork() } {
        -1 => return Err(io::Error::last_os_error()),
        0 => {}
        _ => std::process::exit(0),
    }
    // SAFETY: setsid touches no memory.
    if unsafe { libc::setsid() } == -1 {
        return Err(io::Error::last_os_error());
    }
    let null = fs::File::options().read(true).write(true).open("/dev/null")?;
    for standard in [libc::STDIN_FILENO, libc::STDOUT_FILENO, libc::STDERR_FILENO] {
        // SAFETY: `null` is open, and what the standard descriptors were is used by nobody.
        if unsafe { libc::dup2(std::os::fd::AsRawFd::as_raw_fd(&null), standard) } == -1 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// A file with the process's id, removed when dropped.
#[derive(Debug)]
pub struct PidFile {
    path: PathBuf,
}

impl PidFile {
    /// Writes it where the configuration wants one. A failure is logged and does not end the start, as in Redis.
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
        // It may be gone already.
        let _ = fs::remove_file(&self.path);
    }
}

/// Who started the process and wants to know when it is ready.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Supervisor {
    None,
    Upstart,
    Systemd,
}

impl Supervisor {
    /// The one that the configuration names, or with `auto` the one that the environment tells of.
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

    /// Tells it that clients may come.
    pub fn ready(self) {
        match self {
            Supervisor::None => {}
            Supervisor::Upstart => {
                tracing::info!("supervised by upstart, will stop to signal readiness");
                // SAFETY: raise touches no memory; upstart lets the process go on.
                unsafe { libc::raise(libc::SIGSTOP) };
            }
            Supervisor::Systemd => notify(&[NotifyState::Status("Ready to accept connections"), NotifyState::Ready]),
        }
    }

    /// Tells it that the end has begun.
    pub fn stopping(self) {
        if self == Supervisor::Systemd {
            notify(&[NotifyState::Status("Shutting down"), NotifyState::Stopping]);
        }
    }
}

fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!("systemd could not be told: {}", system_text(&error));
    }
}

/// Lets the process live on when its terminal goes away or a client vanishes while it is written to.
pub fn ignore_signals() {
    for signal in [libc::SIGHUP, libc::SIGPIPE] {
        // SAFETY: to ignore a signal installs no code.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
}

/// Ends the process when a thread panics: what was locked cannot be trusted any more, and half a server helps nobody.
pub fn abort_on_panic() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        report(panic);
        tracing::error!("Ochre crashed: {panic}");
        std::process::abort();
    }));
}

/// Files that are open beside clients' connections: the log, listeners, and for each thread its event queue, timer and wake-up.
fn reserved_files(threads: usize) -> u64 {
    32 + 8 * threads as u64
}

/// Raises the limit of open files so that all clients find room, and says for how many there is: `maxclients`, or fewer where the
/// system does not allow more. An error if there is room for none.
pub fn allow_open_files(maxclients: u32, threads: usize) -> Result<u32, String> {
    let reserved = reserved_files(threads);
    let wanted = u64::from(maxclients) + reserved;
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to our own value.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) } == -1 {
        let reason = system_text(&io::Error::last_os_error());
        tracing::warn!(
            "Unable to obtain the current NOFILE limit ({reason}), assuming 1024 and setting the max clients configuration accordingly."
        );
        return Ok(maxclients.min(1024_u64.saturating_sub(reserved) as u32));
    }
    let original = limit.rlim_cur;
    if original >= wanted {
        return Ok(maxclients);
    }
    // The hard limit can only be raised with privileges; up to it, everybody may raise the soft one.
    let all = libc::rlimit { rlim_cur: wanted, rlim_max: wanted.max(limit.rlim_max) };
    let some = libc::rlimit { rlim_cur: wanted.min(limit.rlim_max), rlim_max: limit.rlim_max };
    let Err(error) = set_open_files(&all) else {
        tracing::info!("Increased maximum number of open files to {wanted} (it was originally set to {original}).");
        return Ok(maxclients);
    };
    let allowed = if set_open_files(&some).is_ok() { some.rlim_cur } else { original };
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

fn set_open_files(limit: &libc::rlimit) -> io::Result<()> {
    // SAFETY: the pointer is to a value that lives through the call.
    if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, limit) } == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Follows a change of settings as far as the process is concerned: the log, the working directory, the limit of open files. All or
/// nothing; an error names the directive.
pub fn apply(before: &Config, after: &Config, changed: &[&'static Directive]) -> Result<(), NotApplied> {
    for (index, directive) in changed.iter().enumerate() {
        if let Err(reason) = follow(directive.hook, before, after) {
            for done in &changed[..index] {
                // Going back to what was in force a moment ago is no more than can be tried.
                let _ = follow(done.hook, after, before);
            }
            return Err(NotApplied { directive: directive.name, reason });
        }
    }
    Ok(())
}

fn follow(hook: Option<Hook>, before: &Config, after: &Config) -> Result<(), String> {
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

/// Makes it the working directory.
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
