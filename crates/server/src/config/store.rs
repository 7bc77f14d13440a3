//! The configuration in force, and how it changes while the server runs.

use std::{
    fmt,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use ochre_datatypes::glob::Pattern;
use parking_lot::{Mutex, MutexGuard};

use super::{
    Directive, Flags,
    command_line::Sources,
    directives,
    file::{self, StartError},
    lookup, rewrite,
    rules::system_text,
    settings::{Config, EnableCommand},
};

/// The configuration in force.
///
/// [`ConfigStore::current`] returns it as it is at the moment. A core keeps that and asks again only when the generation has changed.
pub struct ConfigStore {
    /// Guards the pointer to the configuration while it is read or replaced. A plain mutex, since both take a moment and are rare.
    current: Mutex<Arc<Config>>,
    /// Increased after each replacement.
    generation: AtomicU64,
    /// Held during a change, its hooks and the rewriting of the file included, so that there is one change at a time.
    change: Mutex<()>,
    /// The configuration file, as an absolute path.
    file: Option<PathBuf>,
    /// The working directory at start, which is the default of `dir`.
    start_directory: PathBuf,
}

impl ConfigStore {
    /// Reads the configuration from its sources. The process itself is not changed: entering `dir` is left to the caller.
    pub fn load(sources: &Sources) -> Result<ConfigStore, StartError> {
        let start_directory = std::env::current_dir().map_err(|error| StartError::Setting {
            reason: format!("The working directory cannot be found: {}", system_text(&error)),
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

    /// The configuration in force.
    pub fn current(&self) -> Arc<Config> {
        self.current.lock().clone()
    }

    /// A number that increases with each change. Read it before [`ConfigStore::current`]: in the other order a change can be missed.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// The path of the configuration file, if the server was started with one.
    pub fn file(&self) -> Option<&PathBuf> {
        self.file.as_ref()
    }

    /// CONFIG GET: the names that any of the patterns matches, with their values. A pattern without wildcards is returned as it was written.
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
            let pattern = Pattern::ignoring_case(pattern);
            for directive in directives().filter(|directive| !directive.flags.contains(Flags::HIDDEN)) {
                for name in directive.names().filter(|name| pattern.matches(name.as_bytes())) {
                    add(name.to_owned(), directive);
                }
            }
        }
        found
    }

    /// CONFIG SET: sets all of the pairs or none.
    ///
    /// `is_local` is whether the client is on this machine; such a client may set more. If `apply` returns an error, nothing has changed.
    pub fn set(
        &self,
        pairs: &[(&[u8], &[u8])],
        is_local: bool,
        apply: &mut Apply<'_>,
    ) -> Result<Changed<'_>, ConfigSetError> {
        let change = self.change.lock();
        let before = self.current();
        let mut after = Config::clone(&before);
        let directives = check_pairs(pairs, &before, is_local)?;
        for (directive, (name, value)) in directives.iter().zip(pairs) {
            let set = directive.set_at_run_time(&mut after, value);
            set.map_err(|reason| ConfigSetError::refused(&name.to_ascii_lowercase(), reason.into_owned()))?;
        }
        let is_changed = |directive: &&Directive| {
            directive.flags.contains(Flags::VOLATILE) || directive.lines(&before) != directive.lines(&after)
        };
        let changed: Vec<_> = directives.into_iter().filter(is_changed).collect();
        apply(&before, &after, &changed).map_err(|refused| {
            let name = refused.directive;
            tracing::warn!(
                "Failed applying new configuration. Possibly related to new {name} setting. Restoring previous settings."
            );
            ConfigSetError::refused(name.as_bytes(), refused.reason)
        })?;
        self.replace(after);
        Ok(Changed { before, after: self.current(), _change: change })
    }

    /// Changes a setting on the server's own account, such as `maxclients` where the system limits open files.
    pub fn adjust(&self, change: impl FnOnce(&mut Config)) {
        let _change = self.change.lock();
        let mut config = Config::clone(&self.current());
        change(&mut config);
        self.replace(config);
    }

    /// Does something with the configuration in force. It does not change meanwhile.
    pub fn while_unchanged(&self, action: impl FnOnce(&Config)) {
        let _change = self.change.lock();
        action(&self.current());
    }

    /// CONFIG REWRITE: updates the configuration file to the settings in force. Comments, order and unchanged lines stay.
    /// `users` are the `user` lines in force, if the file is to have them.
    pub fn rewrite(&self, users: Option<&[Vec<u8>]>) -> Result<(), String> {
        let _change = self.change.lock();
        let file = self.file.as_ref().ok_or("ERR The server is running without a config file")?;
        let defaults = Config { dir: self.start_directory.clone(), ..Config::default() };
        match rewrite::rewrite_file(file, &self.current(), &defaults, users) {
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

    fn replace(&self, config: Config) {
        *self.current.lock() = Arc::new(config);
        self.generation.fetch_add(1, Ordering::Release);
    }
}

/// The directives of the pairs. It is an error if one may not be set or is named twice. As in Redis, an unknown name is reported before
/// any other error.
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

/// A change that is in force. There is no further one until this is dropped, so what follows from changes follows in their order.
#[derive(Debug)]
pub struct Changed<'s> {
    /// The configuration before.
    pub before: Arc<Config>,
    /// The configuration that is in force.
    pub after: Arc<Config>,
    _change: MutexGuard<'s, ()>,
}

/// Runs the hooks of a change. Its arguments are the configuration in force, the new one, and the directives whose values differ.
///
/// If it returns an error, it has undone what it did.
pub type Apply<'a> = dyn FnMut(&Config, &Config, &[&'static Directive]) -> Result<(), NotApplied> + 'a;

/// The error of a hook.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NotApplied {
    /// The directive whose hook failed.
    pub directive: &'static str,
    /// Why, in a sentence for the client.
    pub reason: String,
}

/// Why CONFIG SET changed nothing. Its `Display` is the reply.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ConfigSetError {
    /// There is no directive with this name.
    Unknown(String),
    /// The directive cannot be set to this value.
    Refused {
        /// The directive's name.
        name: String,
        /// Why, in Redis's words where Redis refuses it too.
        reason: String,
    },
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
