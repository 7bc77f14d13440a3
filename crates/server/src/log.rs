//! The log. Its lines have Redis's format, so that tools for Redis's logs can read them.
//!
//! ```text
//! 4242:M 23 Nov 2026 20:38:27.123 * Ready to accept connections tcp
//!  │   │  local time              │ text, then key=value
//!  pid role: C starting, M serving └ level: . debug (TRACE)  - verbose (DEBUG)  * notice (INFO)  # warning (WARN, ERROR)
//! ```
//!
//! Lines are written with the macros of `tracing`. Level and file can change at any time. A log file that was renamed or removed is created
//! again at the next line.

use std::{
    fmt::{self, Write as _},
    fs::{self, File},
    io::{self, Write as _},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU8, Ordering},
    time::{SystemTime, UNIX_EPOCH},
};

use parking_lot::Mutex;
use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    level_filters::LevelFilter,
};
use tracing_subscriber::{
    Layer,
    layer::{Context, SubscriberExt},
    util::SubscriberInitExt,
};

use crate::{
    config::{Config, LogLevel, StartError, commit, system_text},
    sys::{self, LocalTime},
};

/// What the process is doing. Each log line shows it as a letter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Role {
    /// Reads its configuration and binds its addresses.
    Starting = b'C',
    /// Serves clients; `M` is for Redis's "master".
    Serving = b'M',
}

/// Starts logging as the configuration says. Call it once.
pub fn start(config: &Config) -> Result<(), StartError> {
    configure(config).map_err(|reason| StartError::Setting { reason })?;
    // It fails only in a test, where an earlier test has started the log.
    let _ = tracing_subscriber::registry().with(Lines).try_init();
    Ok(())
}

/// Changes the level and the file. After an error both are as before.
pub fn configure(config: &Config) -> Result<(), String> {
    let output = Output::open(config.logfile.as_deref())
        .map_err(|error| format!("Can't open the log file: {}", system_text(&error)))?;
    *OUTPUT.lock() = output;
    LEVEL.store(config.loglevel as u8, Ordering::Relaxed);
    tracing::callsite::rebuild_interest_cache();
    Ok(())
}

/// Shows this role in all lines from now on.
pub fn set_role(role: Role) {
    ROLE.store(role as u8, Ordering::Relaxed);
}

/// Writes the first lines. `is_configured` is whether there is a configuration file or any option.
pub fn starting(is_configured: bool) {
    tracing::info!("oO0OoO0OoO0Oo Ochre is starting oO0OoO0OoO0Oo");
    tracing::info!(
        "Ochre version={}, bits={}, commit={}, modified=0, pid={}, just started",
        env!("CARGO_PKG_VERSION"),
        usize::BITS,
        commit(),
        std::process::id()
    );
    if is_configured {
        tracing::info!("Configuration loaded");
    } else {
        tracing::warn!(
            "Warning: no config file specified, using the default config. In order to specify a config file use ochre \
             /path/to/ochre.conf"
        );
    }
}

/// Writes what is about to serve. Redis's test suite waits for ` PID: <pid>` and then for the line of [`initialized`].
pub fn serving(config: &Config) {
    set_role(Role::Serving);
    tracing::info!("Running mode=standalone, port={}.", config.shown_port());
    let threads = config.thread_count();
    tracing::info!("Ochre {}, {threads} thread(s), PID: {}", env!("CARGO_PKG_VERSION"), std::process::id());
    for warning in config.warnings() {
        tracing::warn!("WARNING {warning}");
    }
}

/// Writes that the server is set up and starts to listen.
pub fn initialized() {
    tracing::info!("Server initialized");
}

/// Writes that clients can connect over a transport: `tcp`, `unix` or `tls`.
pub fn ready(transport: &str) {
    tracing::info!("Ready to accept connections {transport}");
}

/// Writes that an address cannot be listened on.
pub fn cannot_bind(address: &str, port: u16, error: &io::Error) {
    let reason = system_text(error);
    tracing::warn!("Warning: Could not create server TCP listening socket {address}:{port}: bind: {reason}");
}

/// Writes that an address of `bind` is a name that has no address.
pub fn cannot_resolve(name: &str, port: u16, error: &io::Error) {
    let reason = system_text(error);
    // The standard library puts this in front of the system's text.
    let reason = reason.trim_start_matches("failed to lookup address information: ");
    tracing::warn!("Warning: Could not create server TCP listening socket {name}:{port}: {reason}");
}

/// Writes why the server does not start with these settings of TLS.
pub fn cannot_configure_tls(reason: &str) {
    tracing::warn!("{reason}");
    tracing::warn!("Failed to configure TLS. Check logs for more info.");
}

/// Writes that the server does not start because it has no address to listen on.
pub fn listens_nowhere() {
    tracing::warn!("Configured to not listen anywhere, exiting.");
}

/// Writes that the server does not start because an address cannot be listened on.
pub fn cannot_listen(port: u16, transport: &str) {
    tracing::warn!("Failed listening on port {port} ({transport}), aborting.");
}

/// Writes that the Unix socket cannot be listened on.
pub fn cannot_open_unix_socket(path: &Path, error: &io::Error) {
    tracing::warn!("Failed opening Unix socket: bind: {}: {}", path.display(), system_text(error));
}

/// Writes which signal ends the server.
pub fn received_signal(name: &str) {
    tracing::warn!("Received {name} scheduling shutdown...");
}

/// Writes what a script or a library says with `redis.log`. The levels are those of `redis.LOG_DEBUG` to `redis.LOG_WARNING`, 0 to 3.
pub fn of_script(level: u8, text: &[u8]) {
    let text = String::from_utf8_lossy(text);
    match level {
        0 => tracing::trace!("{text}"),
        1 => tracing::debug!("{text}"),
        2 => tracing::info!("{text}"),
        _ => tracing::warn!("{text}"),
    }
}

/// Writes the last line.
pub fn bye() {
    tracing::warn!("Ochre is now ready to exit, bye bye...");
}

/// The [`LogLevel`] in force. It is not guarded by the output's lock, since every log macro reads it.
static LEVEL: AtomicU8 = AtomicU8::new(LogLevel::Notice as u8);

static ROLE: AtomicU8 = AtomicU8::new(Role::Starting as u8);

/// Guards the output, so that lines of different threads do not mix. A plain mutex, since requests do not log.
static OUTPUT: Mutex<Output> = Mutex::new(Output::Standard);

/// The level below which events are not written.
fn least_level() -> LevelFilter {
    match LEVEL.load(Ordering::Relaxed) {
        level if level == LogLevel::Debug as u8 => LevelFilter::TRACE,
        level if level == LogLevel::Verbose as u8 => LevelFilter::DEBUG,
        level if level == LogLevel::Notice as u8 => LevelFilter::INFO,
        level if level == LogLevel::Warning as u8 => LevelFilter::WARN,
        _ => LevelFilter::OFF,
    }
}

/// Writes the events of Ochre's own crates; those of libraries mean nothing to an operator.
struct Lines;

impl<S: Subscriber> Layer<S> for Lines {
    fn enabled(&self, metadata: &Metadata<'_>, _context: Context<'_, S>) -> bool {
        metadata.target().starts_with("ochre") && *metadata.level() <= least_level()
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(least_level())
    }

    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let mut text = Text::default();
        event.record(&mut text);
        let line = line(*event.metadata().level(), SystemTime::now(), &text);
        // A failure to write to the log cannot be logged.
        let _ = OUTPUT.lock().write(line.as_bytes());
    }
}

fn line(level: Level, now: SystemTime, text: &Text) -> String {
    let mark = match level {
        Level::TRACE => '.',
        Level::DEBUG => '-',
        Level::INFO => '*',
        Level::WARN | Level::ERROR => '#',
    };
    let role = char::from(ROLE.load(Ordering::Relaxed));
    let mut line = format!("{}:{role} {} {mark} ", std::process::id(), local_time(now));
    // A line may contain text that a client sent. Escaped, it cannot pretend to be a line of its own.
    for character in text.message.chars().chain(text.fields.chars()) {
        if character.is_control() { line.extend(character.escape_default()) } else { line.push(character) }
    }
    line.push('\n');
    line
}

fn local_time(now: SystemTime) -> String {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let since_epoch = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let LocalTime { year, month, day, hour, minute, second } = sys::local_time(since_epoch.as_secs() as i64);
    let millisecond = since_epoch.subsec_millis();
    format!("{day:02} {} {year} {hour:02}:{minute:02}:{second:02}.{millisecond:03}", MONTHS[month])
}

/// An event's message and its other fields.
#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let written = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
        written.expect("writing to a string cannot fail");
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }
}

/// Where the lines go.
enum Output {
    Standard,
    /// `identity` tells whether the file at `path` is still the one that is open.
    File {
        path: PathBuf,
        file: File,
        identity: (u64, u64),
    },
}

impl Output {
    fn open(path: Option<&Path>) -> io::Result<Output> {
        let Some(path) = path else { return Ok(Output::Standard) };
        let file = File::options().append(true).create(true).open(path)?;
        let identity = identity(&file.metadata()?);
        Ok(Output::File { path: path.to_owned(), file, identity })
    }

    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        if let Output::File { path, identity: open, .. } = self
            && fs::metadata(&*path).map_or(true, |metadata| identity(&metadata) != *open)
            && let Ok(anew) = Output::open(Some(path))
        {
            *self = anew;
        }
        match self {
            Output::Standard => io::stdout().lock().write_all(line),
            Output::File { file, .. } => file.write_all(line),
        }
    }
}

/// Device and inode, which stay the same when a file is renamed.
fn identity(metadata: &fs::Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_line_has_the_shape_of_redis() {
        let text = Text { message: "a\nb".to_owned(), fields: " id=7".to_owned() };
        let line = line(Level::INFO, UNIX_EPOCH + Duration::from_millis(1_000_007), &text);
        let (pid, rest) = line.split_once(':').unwrap();
        assert_eq!(pid, std::process::id().to_string());
        let words: Vec<&str> = rest.split(' ').collect();
        assert_eq!(words[1..4], ["01", "Jan", "1970"]);
        assert!(words[4].ends_with(":40.007"), "{line}");
        assert_eq!(words[5..], ["*", "a\\nb", "id=7\n"]);
    }

    #[test]
    fn a_renamed_file_is_made_anew() {
        let directory = std::env::temp_dir().join(format!("ochre-log-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let (path, rotated) = (directory.join("log"), directory.join("log.1"));
        let mut output = Output::open(Some(&path)).unwrap();
        output.write(b"one\n").unwrap();
        fs::rename(&path, &rotated).unwrap();
        output.write(b"two\n").unwrap();
        assert_eq!(fs::read(&rotated).unwrap(), b"one\n");
        assert_eq!(fs::read(&path).unwrap(), b"two\n");
        fs::remove_dir_all(&directory).unwrap();
    }
}
