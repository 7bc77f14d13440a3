//! The state that all cores share.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering},
    },
    time::Instant,
};

use ochre_keyspace::Keyspace;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::{
    aof::Aof,
    clock,
    commandlog::CommandLog,
    config::ConfigStore,
    counters::Counters,
    defragmentation::Defragmentation,
    functions::Functions,
    journal::Journal,
    latency::LatencyMonitor,
    loading::Loading,
    mailroom::{Arrival, Mailroom},
    memory,
    memory_use::MemoryUse,
    monitors::Monitors,
    pubsub::PubSub,
    random,
    rates::{Figures, Rates},
    saves::Saves,
    scripts::Scripts,
    session::{pause::Pause, registry::Registry},
    shutdown::Shutdown,
    sockets::listening::Listening,
    tls::Tls,
    users::Users,
};

/// The server.
pub struct Server {
    /// The keys and values.
    pub keyspace: Keyspace,
    /// The settings.
    pub config: ConfigStore,
    /// All clients by id.
    pub clients: Registry,
    /// The users that clients act for.
    pub users: Users,
    /// Channels, patterns and their subscribers.
    pub pubsub: PubSub,
    /// The clients that MONITOR.
    pub monitors: Monitors,
    /// The commands that were slow or large.
    pub command_log: CommandLog,
    /// The times at which something took long.
    pub latency: LatencyMonitor,
    /// The log of effects.
    pub journal: Journal,
    /// CLIENT PAUSE.
    pub pause: Pause,
    /// The counters of each core, by its index.
    pub counters: Box<[Arc<Counters>]>,
    /// The number of connections refused since the start or CONFIG RESETSTAT.
    pub refused_connections: AtomicU64,
    /// When the server started, for uptimes.
    pub started: Instant,
    /// When the server started, in milliseconds since 1970.
    pub started_ms: i64,
    /// 40 hexadecimal digits, new at each start.
    pub run_id: String,
    /// The loading of data.
    pub loading: Loading,
    /// The append-only file.
    pub aof: Aof,
    /// The snapshots that are written to files.
    pub saves: Saves,
    /// The scripts of EVAL and SCRIPT LOAD, and the one that runs.
    pub scripts: Scripts,
    /// The libraries of functions.
    pub functions: Functions,
    /// Ends the process.
    pub shutdown: Shutdown,
    /// The listeners, which CONFIG SET can change.
    pub listening: Listening,
    /// What encrypted connections are made with.
    pub tls: Tls,
    /// The defragmentation of the memory.
    pub defragmentation: Defragmentation,
    /// The memory in use.
    pub memory: MemoryUse,
    /// The rates per second that INFO shows.
    pub rates: Rates,
    /// 40 hexadecimal digits that name the history of the data. A mutex: only INFO reads it, and only DEBUG changes it.
    replication_id: Mutex<String>,
    active_expiry: AtomicBool,
    /// See [`Server::plain_len_min`]; 0 if it is not set.
    plain_len_min: AtomicU32,
    /// Held by the core that disconnects clients for `maxmemory-clients`.
    pub evicting_clients: Mutex<()>,
    mailrooms: Box<[Mailroom]>,
    next_core: AtomicUsize,
}

impl Server {
    /// A server with one core for each mailroom. `commands` is the number of commands and subcommands, for their counters.
    pub fn new(config: ConfigStore, mailrooms: Vec<Mailroom>, listening: Listening, commands: usize) -> Server {
        let deadlines: Vec<Arc<Notify>> = mailrooms.iter().map(|mailroom| mailroom.deadline.clone()).collect();
        let wake = move |core: usize| deadlines[core].notify_one();
        let seed = (random::seed_64(), random::seed_64());
        let keyspace = Keyspace::new(mailrooms.len(), config.current().databases, seed, wake);
        // The keyspace's own thread is not started by `threads::spawn`.
        keyspace.when_freed(memory::count_thread);
        Server {
            keyspace,
            config,
            clients: Registry::new(mailrooms.len()),
            users: Users::default(),
            pubsub: PubSub::default(),
            monitors: Monitors::default(),
            command_log: CommandLog::default(),
            latency: LatencyMonitor::default(),
            journal: Journal::default(),
            pause: Pause::default(),
            counters: mailrooms.iter().map(|_| Arc::new(Counters::new(commands))).collect(),
            refused_connections: AtomicU64::new(0),
            started: Instant::now(),
            started_ms: clock::now_ms(),
            run_id: random::hex(40),
            loading: Loading::new(mailrooms.len()),
            aof: Aof::default(),
            saves: Saves::default(),
            scripts: Scripts::default(),
            functions: Functions::default(),
            shutdown: Shutdown::default(),
            listening,
            tls: Tls::default(),
            defragmentation: Defragmentation::default(),
            memory: MemoryUse::default(),
            rates: Rates::default(),
            replication_id: Mutex::new(random::hex(40)),
            active_expiry: AtomicBool::new(true),
            plain_len_min: AtomicU32::new(0),
            evicting_clients: Mutex::default(),
            mailrooms: mailrooms.into(),
            next_core: AtomicUsize::new(0),
        }
    }

    /// The core for the next connection: each core in turn, without the one that is busy with a script.
    pub fn next_core(&self) -> usize {
        let next = || self.next_core.fetch_add(1, Ordering::Relaxed) % self.mailrooms.len();
        let core = next();
        if self.scripts.is_busy_core(core) { next() } else { core }
    }

    /// Hands a connection to a core.
    pub fn hand_over(&self, core: usize, arrival: Arrival) {
        if let Err(unsent) = self.mailrooms[core].arrivals.send(arrival) {
            // The core has stopped, since the server is shutting down.
            self.clients.remove(&unsent.0.client);
        }
    }

    /// The number of cores.
    pub fn cores(&self) -> usize {
        self.mailrooms.len()
    }

    /// The length, in bytes, from which on an element of a list has a chunk of its own, if DEBUG QUICKLIST-PACKED-THRESHOLD has set it.
    #[inline]
    pub fn plain_len_min(&self) -> Option<usize> {
        match self.plain_len_min.load(Ordering::Relaxed) {
            0 => None,
            len => Some(len as usize),
        }
    }

    /// Sets what [`Server::plain_len_min`] returns; 0 for the default.
    pub fn set_plain_len_min(&self, len: u32) {
        self.plain_len_min.store(len, Ordering::Relaxed);
    }

    /// Whether expired keys are removed without being accessed (DEBUG SET-ACTIVE-EXPIRE).
    pub fn expires_actively(&self) -> bool {
        self.active_expiry.load(Ordering::Acquire)
    }

    /// Sets whether expired keys are removed without being accessed.
    pub fn set_active_expiry(&self, on: bool) {
        self.active_expiry.store(on, Ordering::Release);
        self.wake_expiry();
    }

    /// Makes every core look for expired keys now.
    pub fn wake_expiry(&self) {
        self.mailrooms.iter().for_each(|mailroom| mailroom.deadline.notify_one());
    }

    /// The memory in use, in bytes.
    pub fn used_memory(&self) -> usize {
        self.memory.bytes()
    }

    /// The memory of all clients, in bytes: of their sessions, and of what they have sent and not yet received.
    pub fn client_bytes(&self) -> u64 {
        // A core may count a client out that another core's sum still has.
        self.counters.iter().fold(0, |sum: u64, counters| sum.wrapping_add(counters.client_bytes.get()))
    }

    /// The memory that does not count toward `maxmemory`, in bytes: what waits to be written to files.
    pub fn uncounted_bytes(&self) -> u64 {
        let snapshot =
            if self.keyspace.has_snapshot() { self.keyspace.snapshot().map_or(0, |it| it.backlog()) } else { 0 };
        (snapshot + self.aof.backlog()) as u64
    }

    /// Sets the counters and rates of INFO back to zero (CONFIG RESETSTAT).
    pub fn reset_statistics(&self) {
        self.counters.iter().for_each(|counters| counters.reset());
        self.refused_connections.store(0, Ordering::Relaxed);
        self.tls.reset();
        self.rates.reset();
        self.memory.reset();
        self.users.denials.reset_counts();
        self.defragmentation.reset();
    }

    /// Takes a sample of the counters for [`Rates`], and measures the memory for its peak.
    pub fn sample_rates(&self, now_ms: i64) {
        self.used_memory();
        let totals = Figures {
            commands: self.sum(|counters| counters.commands_processed.get()) as f64,
            read_bytes: self.sum(|counters| counters.read_bytes.get()) as f64,
            written_bytes: self.sum(|counters| counters.written_bytes.get()) as f64,
        };
        self.rates.sample(totals, now_ms);
    }

    /// 40 hexadecimal digits that name the history of the data (INFO: `master_replid`).
    pub fn replication_id(&self) -> String {
        self.replication_id.lock().clone()
    }

    /// Gives the history of the data a new random name (DEBUG CHANGE-REPL-ID).
    pub fn change_replication_id(&self) {
        *self.replication_id.lock() = random::hex(40);
    }

    /// The changes of the data since the start.
    pub fn changes(&self) -> u64 {
        self.sum(|counters| counters.changes.get())
    }

    /// The sum of a counter over all cores.
    pub fn sum(&self, figure: impl Fn(&Counters) -> u64) -> u64 {
        self.counters.iter().map(|counters| figure(counters)).sum()
    }
}
