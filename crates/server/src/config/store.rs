//! The configuration in force, and the ways to change it while the server runs.

use std::{
    fmt,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use ochre_datatypes::glob;
use parking_lot::Mutex;

use super::{
    Directive, Flags,
    command_line::Sources,
    directives,
    file::{self, StartError},
    lookup, rewrite,
    rules::system_text,
    settings::{Config, EnableCommand},
};

/// The configuration in force. Whoever needs settings takes the [`Config`] of the moment; a core keeps one and compares generations.
pub struct ConfigStore {
    /// Guards the exchange of one configuration for the next, for a moment each, so a plain mutex. The cores come here only when the
    /// generation has changed.
    current: Mutex<Arc<Config>>,
    /// Goes up after each exchange.
    generation: AtomicU64,
    /// Held throughout a change, hooks and rewriting included, so that changes come one after the other.
    change: Mutex<()>,
    /// The configuration file, as an absolute path.
    file: Option<PathBuf>,
    /// The working directory at start: what `dir` is if no line names it.
    start_directory: PathBuf,
}

impl ConfigStore {
    /// Reads the configuration from its sources. Nothing is changed in the process; `dir` has still to be entered.
    pub fn load(sources: &Sources) -> Result<ConfigStore, StartError> {
        let start_directory = std::env::current_dir().map_err(|error| StartError::Setting {
            reason: format!("The working directory is gone: {}", system_text(&error)),
        })?;
        let file = sources.file.as_ref().map(|file| start_directory.join(file));
        let sources = Sources { file: file.clone(), options: sources.options.clone(), ..*sources };
        let config = sources.read(Config { dir: start_directory.clone(), ..Config::default() })?;
        Ok(ConfigStore {
            current: Mutex::new(Arc::new(config)),
            generation: AtomicU64::new(0),
            change: Mutex::new(()),
            file,
            start_directory,
        })
    }

    /// The configuration in force at this moment.
    pub fn current(&self) -> Arc<Config> {
        self.current.lock().clone()
    }

    /// A number that goes up with each change. Read it before [`ConfigStore::current`]: the other way round a change can be missed.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// The configuration file.
    pub fn file(&self) -> Option<&PathBuf> {
        self.file.as_ref()
    }

    /// CONFIG GET: the names that some pattern matches, with their values. A name without wildcards is answered as it was asked for.
    pub fn get(&self, patterns: &[&[u8]]) -> Vec<(String, Vec<u8>)> {
        let config = self.current();
        let mut found: Vec<(String, Vec<u8>)> = Vec::new();
        let mut add = |name: String, directive: &Directive| {
            if !found.iter().any(|(known, _)| known.eq_ignore_ascii_case(&name)) {
                found.push((name, directive.show(&config)));
            }
        };
        for pattern in patterns {
            if !file::is_pattern(pattern) {
                if let Some(directive) = lookup(pattern) {
                    add(String::from_utf8_lossy(pattern).into_owned(), directive);
                }
                continue;
            }
            for directive in directives().filter(|directive| !directive.flags.contains(Flags::HIDDEN)) {
                for name in directive.names().filter(|name| glob::matches_ignore_case(pattern, name.as_bytes())) {
                    add(name.to_owned(), directive);
                }
            }
        }
        found
    }

    /// CONFIG SET: all of the pairs or none; if `apply` refuses, nothing has changed. A client of this machine (`is_local`) may set more
    /// than others.
    pub fn set(&self, pairs: &[(&[u8], &[u8])], is_local: bool, apply: &mut Apply<'_>) -> Result<(), ConfigSetError> {
        let _change = self.change.lock();
        let before = self.current();
        let mut after = Config::clone(&before);
        let directives = check_pairs(pairs, &before, is_local)?;
        for (directive, (name, value)) in directives.iter().zip(pairs) {
            let set = directive.set_at_run_time(&mut after, value);
            set.map_err(|reason| ConfigSetError::refused(&name.to_ascii_lowercase(), reason.into_owned()))?;
        }
        let changed: Vec<_> =
            directives.into_iter().filter(|directive| directive.lines(&before) != directive.lines(&after)).collect();
        apply(&before, &after, &changed)
            .map_err(|refused| ConfigSetError::refused(refused.directive.as_bytes(), refused.reason))?;
        self.exchange(after);
        Ok(())
    }

    /// Makes a change that the server itself has to make, such as fewer clients where the system does not allow more files.
    pub fn adjust(&self, change: impl FnOnce(&mut Config)) {
        let _change = self.change.lock();
        let mut config = Config::clone(&self.current());
        change(&mut config);
        self.exchange(config);
    }

    /// CONFIG REWRITE: makes the file say what is in force; its comments, its order and what need not change stay.
    pub fn rewrite(&self) -> Result<(), String> {
        let _change = self.change.lock();
        let file = self.file.as_ref().ok_or("ERR The server is running without a config file")?;
        let defaults = Config { dir: self.start_directory.clone(), ..Config::default() };
        match rewrite::rewrite_file(file, &self.current(), &defaults) {
            Ok(()) => {
                tracing::info!("CONFIG REWRITE executed with success.");
                Ok(())
            }
            Err(error) => {
                let reason = system_text(&error);
                tracing::warn!("CONFIG REWRITE failed: {reason}");
                Err(format!("ERR Rewriting config file: {reason}"))
            }
        }
    }

    fn exchange(&self, config: Config) {
        *self.current.lock() = Arc::new(config);
        self.generation.fetch_add(1, Ordering::Release);
    }
}

/// The directives of the pairs, if each may be set, and once. An unknown name is told before any other fault, as in Redis.
fn check_pairs(
    pairs: &[(&[u8], &[u8])],
    config: &Config,
    is_local: bool,
) -> Result<Vec<&'static Directive>, ConfigSetError> {
    let mut found: Vec<&'static Directive> = Vec::with_capacity(pairs.len());
    let mut fault = None;
    for (name, _) in pairs {
        let directive = lookup(name).ok_or_else(|| ConfigSetError::Unknown(text(name)))?;
        if fault.is_none() {
            let reason = if directive.flags.contains(Flags::IMMUTABLE) {
                Some("can't set immutable config")
            } else if !is_allowed(directive, config, is_local) {
                Some("can't set protected config")
            } else if found.iter().any(|other| std::ptr::eq(*other, directive)) {
                Some("duplicate parameter")
            } else {
                None
            };
            fault = reason.map(|reason| ConfigSetError::refused(name, reason.to_owned()));
        }
        found.push(directive);
    }
    fault.map_or(Ok(found), Err)
}

fn is_allowed(directive: &Directive, config: &Config, is_local: bool) -> bool {
    let protected_allowed = match config.enable_protected_configs {
        EnableCommand::Yes => true,
        EnableCommand::Local => is_local,
        EnableCommand::No => false,
    };
    let is_protected =
        directive.flags.contains(Flags::PROTECTED) || directive.flags.contains(Flags::LOCAL) && !is_local;
    protected_allowed || !is_protected
}

/// Does what a change asks for beside the cores taking it up: gets the configuration in force, the new one, and the directives whose
/// value differs. If it refuses, it has undone what it did.
pub type Apply<'a> = dyn FnMut(&Config, &Config, &[&'static Directive]) -> Result<(), NotApplied> + 'a;

/// A change that cannot be made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NotApplied {
    /// The directive that asked for it.
    pub directive: &'static str,
    pub reason: String,
}

/// Why CONFIG SET changed nothing. Its text is the reply.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ConfigSetError {
    /// There is no such directive.
    Unknown(String),
    /// The directive, and why it cannot have this value.
    Refused { name: String, reason: String },
}

impl ConfigSetError {
    fn refused(name: &[u8], reason: String) -> ConfigSetError {
        ConfigSetError::Refused { name: text(name), reason }
    }
}

impl fmt::Display for ConfigSetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConfigSetError::Unknown(name) => {
                write!(f, "ERR Unknown option or number of arguments for CONFIG SET - '{name}'")
            }
            ConfigSetError::Refused { name, reason } => {
                write!(f, "ERR CONFIG SET failed (possibly related to argument '{name}') - {reason}")
            }
        }
    }
}

impl std::error::Error for ConfigSetError {}

fn text(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}
