//! The state that all cores share.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, AtomicUsize, Ordering},
    },
    time::Instant,
};

use ochre_keyspace::{Burial, Keyspace};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::{
    aof::Aof,
    clock,
    config::ConfigStore,
    counters::Counters,
    journal::Journal,
    loading::Loading,
    mailroom::{Arrival, Mailroom},
    memory,
    pubsub::PubSub,
    random,
    rates::{Figures, Rates},
    saves::Saves,
    scripts::Scripts,
    session::{pause::Pause, registry::Registry},
    shutdown::Shutdown,
    sockets::listening::Listening,
};

/// The server.
pub struct Server {
    /// The keys and values.
    pub keyspace: Keyspace,
    /// The settings.
    pub config: ConfigStore,
    /// All clients by id.
    pub clients: Registry,
    /// Channels, patterns and their subscribers.
    pub pubsub: PubSub,
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
    /// Ends the process.
    pub shutdown: Shutdown,
    /// The listeners, which CONFIG SET can change.
    pub listening: Listening,
    /// The rates per second that INFO shows.
    pub rates: Rates,
    /// 40 hexadecimal digits that name the history of the data. A mutex: only INFO reads it, and only DEBUG changes it.
    replication_id: Mutex<String>,
    active_expiry: AtomicBool,
    /// See [`Server::plain_len_min`]; 0 if it is not set.
    plain_len_min: AtomicU32,
    mailrooms: Box<[Mailroom]>,
    next_core: AtomicUsize,
    memory: MemoryFigure,
}

/// The memory in use. It is cached for a few milliseconds, since a measurement takes the allocator's locks.
struct MemoryFigure {
    measured_ms: AtomicI64,
    bytes: AtomicUsize,
    /// What [`Server::memory_releases`] was before the measurement.
    releases: AtomicU64,
    /// Held by the core that measures. A measurement takes some microseconds, and the allocator makes one at a time.
    measuring: Mutex<()>,
    /// The memory in use right after the start.
    initial_bytes: usize,
    /// The most that was measured.
    peak_bytes: AtomicUsize,
    /// When that was, in seconds since 1970.
    peak_time_s: AtomicI64,
}

/// Whether a command that needs memory may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryState {
    /// No more than `maxmemory` is in use.
    Free,
    /// More is in use, but removed values are being freed. It should be asked again when that is done.
    Freeing(Burial),
    /// More is in use.
    Full,
}

/// The age from which the figure is measured again.
const MEMORY_AGE_MAX_MS: i64 = 5;

impl Server {
    /// A server with one core for each mailroom. `commands` is the number of commands and subcommands, for their counters.
    pub fn new(config: ConfigStore, mailrooms: Vec<Mailroom>, listening: Listening, commands: usize) -> Server {
        let deadlines: Vec<Arc<Notify>> = mailrooms.iter().map(|mailroom| mailroom.deadline.clone()).collect();
        let wake = move |core: usize| deadlines[core].notify_one();
        Server {
            keyspace: Keyspace::new(
                mailrooms.len(),
                config.current().databases,
                (random::seed_64(), random::seed_64()),
                wake,
            ),
            config,
            clients: Registry::new(mailrooms.len()),
            pubsub: PubSub::default(),
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
            shutdown: Shutdown::default(),
            listening,
            rates: Rates::default(),
            replication_id: Mutex::new(random::hex(40)),
            active_expiry: AtomicBool::new(true),
            plain_len_min: AtomicU32::new(0),
            mailrooms: mailrooms.into(),
            next_core: AtomicUsize::new(0),
            memory: MemoryFigure::new(),
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

    /// The memory in use, in bytes. The figure may be a few milliseconds old.
    pub fn used_memory(&self) -> usize {
        let is_recent = || clock::now_ms() - self.memory.measured_ms.load(Ordering::Relaxed) < MEMORY_AGE_MAX_MS;
        self.measured_memory(is_recent)
    }

    /// The memory in use, in bytes. It is measured, unless the figure is as new as the caller needs.
    fn measured_memory(&self, is_new_enough: impl Fn() -> bool) -> usize {
        if is_new_enough() {
            return self.memory.bytes.load(Ordering::Relaxed);
        }
        let measuring = self.memory.measuring.lock();
        // Another core may have measured it meanwhile.
        if is_new_enough() {
            return self.memory.bytes.load(Ordering::Relaxed);
        }
        // What is released during the measurement may be missing from it.
        let releases = self.memory_releases();
        let bytes = memory::allocated();
        let now_ms = clock::now_ms();
        self.memory.bytes.store(bytes, Ordering::Relaxed);
        self.memory.releases.store(releases, Ordering::Relaxed);
        self.memory.measured_ms.store(now_ms, Ordering::Relaxed);
        drop(measuring);
        if self.memory.peak_bytes.fetch_max(bytes, Ordering::Relaxed) < bytes {
            self.memory.peak_time_s.store(now_ms / 1000, Ordering::Relaxed);
        }
        bytes
    }

    /// The most memory in use at any measurement, in bytes, and the time of that measurement, in seconds since 1970.
    pub fn peak_memory(&self) -> (usize, i64) {
        (self.memory.peak_bytes.load(Ordering::Relaxed), self.memory.peak_time_s.load(Ordering::Relaxed))
    }

    /// The memory in use right after the start, in bytes.
    pub fn initial_memory(&self) -> usize {
        self.memory.initial_bytes
    }

    /// Whether `maxmemory` bytes are in use.
    ///
    /// The cached figure lets a command pass, but does not refuse one if anything has been removed since it was measured. Values that are
    /// removed but not freed yet do not refuse a command either. (Redis waits for them in `performEvictions`.)
    pub fn memory_state(&self, maxmemory: u64) -> MemoryState {
        if self.used_memory() as u64 <= maxmemory {
            return MemoryState::Free;
        }
        // A burial that ends during the measurement counts as unfinished, since the measurement may have missed its end.
        let burial = self.keyspace.unfinished_burial();
        let has_all_releases = || self.memory.releases.load(Ordering::Relaxed) == self.memory_releases();
        if self.measured_memory(has_all_releases) as u64 <= maxmemory {
            return MemoryState::Free;
        }
        burial.map_or(MemoryState::Full, MemoryState::Freeing)
    }

    /// A number that changes when memory of the data may have become free.
    fn memory_releases(&self) -> u64 {
        let of_core = |counters: &Counters| counters.changes.get() + counters.expired_keys.get();
        self.sum(of_core) + self.keyspace.burials_ended()
    }

    /// Sets the counters and rates of INFO back to zero (CONFIG RESETSTAT).
    pub fn reset_statistics(&self) {
        self.counters.iter().for_each(|counters| counters.reset());
        self.refused_connections.store(0, Ordering::Relaxed);
        self.rates.reset();
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

impl MemoryFigure {
    fn new() -> MemoryFigure {
        MemoryFigure {
            measured_ms: AtomicI64::new(0),
            bytes: AtomicUsize::new(0),
            releases: AtomicU64::new(0),
            measuring: Mutex::new(()),
            initial_bytes: memory::allocated(),
            peak_bytes: AtomicUsize::new(0),
            peak_time_s: AtomicI64::new(0),
        }
    }
}
