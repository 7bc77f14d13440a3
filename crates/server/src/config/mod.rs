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
pub use file::StartError;
pub use rules::{MaxmemoryClients, OutputLimit, OutputLimits};
pub use settings::{Config, EnableCommand, InlineReplies, LogLevel, MaxmemoryPolicy, Supervision};
pub use store::{ConfigSetError, ConfigStore};

/// Every directive: those that Ochre uses, then those that it only keeps.
pub fn directives() -> impl Iterator<Item = &'static Directive> {
    settings::SETTINGS.iter().chain(kept::KEPT)
}

/// The directive of this name or alias, in any case.
pub fn lookup(name: &[u8]) -> Option<&'static Directive> {
    directives().find(|directive| directive.names().any(|known| name.eq_ignore_ascii_case(known.as_bytes())))
}
<<<<<<< HEAD
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum InlineReplies {
    Plain,
    Resp,
}
#[derive(Clone, Debug)]
pub struct OutputLimit {
    pub hard_bytes: u64,
    pub soft_bytes: u64,
    pub soft_seconds: u64,
}
#[derive(Clone, Debug)]
pub struct OutputLimits {
    pub normal: OutputLimit,
    pub replica: OutputLimit,
    pub pubsub: OutputLimit,
}
#[derive(Clone, Debug)]
pub struct Config {
    pub databases: usize,
    pub notify_keyspace_events: crate::notify::NotifyClass,
    pub port: u16,
    pub bind: Vec<String>,
    pub threads: usize,
    pub requirepass: Option<Vec<u8>>,
    pub maxmemory: u64,
    pub maxmemory_policy: MaxmemoryPolicy,
    pub lfu_log_factor: i64,
    pub lfu_decay_time: i64,
    pub proto_max_bulk_len: u64,
    pub client_query_buffer_limit: u64,
    pub client_output_buffer_limit: OutputLimits,
    pub enable_debug_command: EnableCommand,
    pub inline_replies: InlineReplies,
    pub maxclients: u32,
    pub protected_mode: bool,
    pub tcp_keepalive_s: u64,
    pub tcp_backlog: i32,
    pub timeout_s: u64,
    pub unixsocket: Option<PathBuf>,
    pub unixsocketperm: Option<u32>,
}
pub struct ConfigStore(Arc<Config>);
impl ConfigStore {
    pub fn current(&self) -> Arc<Config> {
        self.0.clone()
    }
    pub fn generation(&self) -> u64 {
        0
    }
    pub fn load() -> ConfigStore {
        let none = OutputLimit { hard_bytes: 0, soft_bytes: 0, soft_seconds: 0 };
        let mut port = 6379;
        let mut plain = InlineReplies::Resp;
        let mut threads = 2;
        let mut unixsocket = None;
        let a: Vec<String> = std::env::args().collect();
        let mut i = 1;
        while i < a.len() {
            match a[i].as_str() {
                "--port" => {
                    port = a[i + 1].parse().unwrap();
                    i += 2;
                }
                "--threads" => {
                    threads = a[i + 1].parse().unwrap();
                    i += 2;
                }
                "--unixsocket" => {
                    unixsocket = Some(a[i + 1].clone().into());
                    i += 2
                }
                x => {
                    if let Ok(p) = x.parse() {
                        port = p;
                        plain = InlineReplies::Plain;
                    }
                    i += 1
                }
            }
        }
        ConfigStore(Arc::new(Config {
            databases: 16,
            notify_keyspace_events: crate::notify::NotifyClass::parse(&std::env::var("NOTIFY").unwrap_or_default()).expect("letters"),
            port,
            bind: vec!["127.0.0.1".into()],
            threads,
            requirepass: None,
            maxmemory: 0,
            maxmemory_policy: MaxmemoryPolicy::Noeviction,
            lfu_log_factor: 10,
            lfu_decay_time: 1,
            proto_max_bulk_len: 512 << 20,
            client_query_buffer_limit: 1 << 30,
            client_output_buffer_limit: OutputLimits { normal: none.clone(), replica: none.clone(), pubsub: none },
            enable_debug_command: EnableCommand::Yes,
            inline_replies: plain,
            maxclients: 10000,
            protected_mode: true,
            tcp_keepalive_s: 300,
            tcp_backlog: 511,
            timeout_s: 0,
            unixsocket,
            unixsocketperm: None,
        }))
=======

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
        if is_set("syslog-enabled") {
            warnings.push("Ochre does not log to syslog: the log goes to logfile, or to standard output.".to_owned());
        }
        warnings
>>>>>>> main
    }
}
