//! The configuration: what can be set, where it is read from, and how it changes while the server runs.
//!
//! A directive is one row, in [`settings`] if Ochre uses it and in [`kept`] if it is only accepted, kept and reported. Everything else
//! is derived from the rows: the fields of [`Config`], what files, the command line and CONFIG SET take, what CONFIG GET shows, what
//! CONFIG REWRITE writes, and `ochre.conf`.
//!
//! ```text
//! command_line ──▶ file ──▶ store ──▶ Arc<Config>, one at a time, with a generation that the cores compare
//!                    │        │
//!                  words   settings, kept (rows) ── rules (text ⇄ value)
//!                             │
//!                          rewrite, document
//! ```

mod command_line;
mod directive;
mod document;
mod file;
mod kept;
mod rewrite;
mod rules;
mod settings;
mod store;
pub mod words;

pub use command_line::{Invocation, Sources, commit, usage, version};
pub use directive::{Directive, Flags, Group, Hook};
pub use document::document;
pub use file::{Line, StartError, lines};
pub use rules::{MaxmemoryClients, OutputLimit, OutputLimits, parse_memory, system_text};
pub use settings::{Config, EnableCommand, InlineReplies, LogLevel, MaxmemoryPolicy, Supervision};
pub use store::{Apply, ConfigSetError, ConfigStore, NotApplied};

/// Every directive: those that Ochre uses, then those that it only keeps.
pub fn directives() -> impl Iterator<Item = &'static Directive> {
    settings::SETTINGS.iter().chain(kept::KEPT)
}

/// The directive of this name or alias, in any case.
pub fn lookup(name: &[u8]) -> Option<&'static Directive> {
    directives().find(|directive| directive.names().any(|known| name.eq_ignore_ascii_case(known.as_bytes())))
}

impl Config {
    /// How many threads serve clients.
    pub fn thread_count(&self) -> usize {
        match self.threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            threads => threads,
        }
    }

    /// What the settings promise in Redis and this version does not do, a sentence each, for the log at start.
    pub fn warnings(&self) -> Vec<String> {
        let is_set = |name: &str| {
            lookup(name.as_bytes()).is_some_and(|directive| directive.show(self) != directive.default.as_bytes())
        };
        let mut warnings = Vec::new();
        if is_set("save") {
            warnings.push(
                "Snapshots are not written in this version: the save points of the configuration have no effect."
                    .to_owned(),
            );
        }
        if is_set("maxmemory") && is_set("maxmemory-policy") {
            warnings.push(
                "Keys are not evicted in this version: beyond maxmemory, writes are refused whatever maxmemory-policy says."
                    .to_owned(),
            );
        }
        if is_set("syslog-enabled") {
            warnings.push("Ochre does not log to syslog: the log goes to logfile, or to standard output.".to_owned());
        }
        warnings
    }
}

#[cfg(test)]
mod tests;
