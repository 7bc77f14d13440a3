//! The configuration: the directives, where their values are read from, and how CONFIG SET changes them.
//!
//! A directive is one row, in `settings.rs` if Ochre uses it and in `kept.rs` if Ochre only accepts, keeps and reports it. Everything else is
//! derived from the rows: the fields of [`Config`], what files, the command line and CONFIG SET accept, what CONFIG GET shows, what
//! CONFIG REWRITE writes, and the text of `ochre.conf`.
//!
//! | file | what it holds |
//! |---|---|
//! | `directive.rs` | what a row is |
//! | `settings.rs`, `kept.rs` | the rows |
//! | `rules/` | how a text becomes a value and back, by kind of value |
//! | `words.rs` | words and quotes |
//! | `command_line.rs`, `file.rs` | where values come from at start |
//! | `store.rs` | the configuration in force, and CONFIG GET and SET |
//! | `rewrite.rs` | CONFIG REWRITE |
//! | `document.rs` | the text of `ochre.conf` |

mod command_line;
mod directive;
mod document;
mod file;
mod kept;
mod rewrite;
mod rules;
mod settings;
mod store;

use ochre_keyspace::AccessClock;

pub use command_line::{Invocation, Sources, commit, usage, version};
pub use directive::{Directive, Flags, Hook, Section};
pub use document::document;
pub use file::{Line, StartError, lines};
pub(crate) use ochre_persist::words;
pub use rewrite::replace_file;
pub use rules::{MaxmemoryClients, OutputLimit, OutputLimits, parse_memory, system_text};
pub use settings::{
    AclPubsubDefault, AppendFsync, Config, EnableCommand, InlineReplies, LogLevel, MaxmemoryPolicy, RdbDialect,
    Supervision, TlsAuthClients, TlsAuthClientsUser,
};
pub use store::{Apply, Changed, ConfigSetError, ConfigStore, NotApplied};

/// All directives: those that Ochre uses, then those that it only keeps.
pub fn directives() -> impl Iterator<Item = &'static Directive> {
    settings::SETTINGS.iter().chain(kept::KEPT)
}

/// The directive with this name or alias, in upper or lower case.
pub fn lookup(name: &[u8]) -> Option<&'static Directive> {
    directives().find(|directive| directive.names().any(|known| name.eq_ignore_ascii_case(known.as_bytes())))
}

impl Config {
    /// The number of threads that serve clients.
    pub fn thread_count(&self) -> usize {
        match self.threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            threads => threads,
        }
    }

    /// The port that is shown where there is room for one: that for TLS if there is no other.
    pub fn shown_port(&self) -> u16 {
        if self.port == 0 { self.tls_port } else { self.port }
    }

    /// The access clock for a command that runs at `now_ms`, in milliseconds since 1970: LRU, LRM or LFU, as `maxmemory-policy` requires.
    /// `random` is called if the clock needs a random number.
    #[inline]
    pub fn access_clock(&self, now_ms: i64, random: impl FnOnce() -> u32) -> AccessClock {
        if self.maxmemory_policy.is_lfu() {
            AccessClock::lfu(now_ms, self.lfu_log_factor, self.lfu_decay_time, random())
        } else if self.maxmemory_policy.is_lrm() {
            AccessClock::lrm(now_ms)
        } else {
            AccessClock::lru(now_ms)
        }
    }

    /// Settings that would have an effect in Redis and have none in this version, a sentence for each, for the log at start.
    pub fn warnings(&self) -> Vec<String> {
        let is_set = |name: &str| {
            lookup(name.as_bytes()).is_some_and(|directive| directive.show(self) != directive.default.as_bytes())
        };
        let mut warnings = Vec::new();
        if is_set("syslog-enabled") {
            warnings.push("Ochre does not log to syslog: the log goes to logfile, or to standard output.".to_owned());
        }
        if is_set("tls-dh-params-file") {
            warnings.push("tls-dh-params-file has no effect: keys are agreed on by elliptic curves only.".to_owned());
        }
        warnings
    }
}

#[cfg(test)]
mod tests;
