//! What all cores share.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use ochre_keyspace::Keyspace;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::{
    clock,
    config::ConfigStore,
    counters::Counters,
    journal::Journal,
    mailroom::{Arrival, Mailroom},
    memory,
    pubsub::PubSub,
    random,
    rates::{Figures, Rates},
    session::{pause::Pause, registry::Registry},
    sockets::listening::Listening,
};

/// See the module.
pub struct Server {
    pub keyspace: Keyspace,
    pub config: ConfigStore,
    pub clients: Registry,
    pub pubsub: PubSub,
    pub journal: Journal,
    pub pause: Pause,
    /// The counters of each core.
    pub counters: Box<[Arc<Counters>]>,
    /// Connections that were not let in.
    pub refused_connections: AtomicU64,
    pub started: Instant,
    /// Milliseconds since 1970.
    pub started_ms: i64,
    /// 40 hexadecimal digits, new at each start.
    pub run_id: String,
    /// Ends the server when notified.
    pub stop: Notify,
    pub listening: Listening,
    /// What happens a second.
    pub rates: Rates,
    /// 40 hexadecimal digits that name the history of the data. A mutex, for it is read by INFO and changed by DEBUG alone.
    replication_id: Mutex<String>,
    active_expiry: AtomicBool,
    /// 0 for the default.
    plain_len_min: AtomicU32,
    mailrooms: Box<[Mailroom]>,
    next_core: AtomicUsize,
    memory: MemoryFigure,
}

/// The memory in use, measured again when it is older than a few milliseconds: a measurement takes the allocator's locks.
struct MemoryFigure {
    measured_ms: AtomicI64,
    bytes: AtomicUsize,
    /// When the server had just started.
    initial_bytes: usize,
    /// The most that was measured, and when, in seconds since 1970.
    peak_bytes: AtomicUsize,
    peak_time_s: AtomicI64,
}

/// How old the figure of memory in use may be.
const MEMORY_AGE_MAX: Duration = Duration::from_millis(5);

impl Server {
    /// `commands` is how many commands are counted.
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
            stop: Notify::new(),
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

    /// The core of the next connection: each in turn.
    pub fn next_core(&self) -> usize {
        self.next_core.fetch_add(1, Ordering::Relaxed) % self.mailrooms.len()
    }

    /// Sends a connection to its core.
    pub fn hand_over(&self, core: usize, arrival: Arrival) {
        if let Err(unsent) = self.mailrooms[core].arrivals.send(arrival) {
            // The core has stopped: so does the server.
            self.clients.remove(&unsent.0.client);
        }
    }

    /// How many cores serve.
    pub fn cores(&self) -> usize {
        self.mailrooms.len()
    }

    /// From which length on an element of a long list lies alone, where DEBUG QUICKLIST-PACKED-THRESHOLD says so.
    #[inline]
    pub fn plain_len_min(&self) -> Option<usize> {
        match self.plain_len_min.load(Ordering::Relaxed) {
            0 => None,
            len => Some(len as usize),
        }
    }

    /// Says so; 0 for the default.
    pub fn set_plain_len_min(&self, len: u32) {
        self.plain_len_min.store(len, Ordering::Relaxed);
    }

    /// Whether keys are removed when their time comes, without anybody looking at them (DEBUG SET-ACTIVE-EXPIRE).
    pub fn expires_actively(&self) -> bool {
        self.active_expiry.load(Ordering::Acquire)
    }

    pub fn set_active_expiry(&self, on: bool) {
        self.active_expiry.store(on, Ordering::Release);
        self.wake_expiry();
    }

    /// Has every core look at its deadlines now.
    pub fn wake_expiry(&self) {
        self.mailrooms.iter().for_each(|mailroom| mailroom.deadline.notify_one());
    }

    /// Bytes in use.
    pub fn used_memory(&self) -> usize {
        let now_ms = clock::now_ms();
        let measured_ms = self.memory.measured_ms.load(Ordering::Relaxed);
        if now_ms - measured_ms < MEMORY_AGE_MAX.as_millis() as i64 {
            return self.memory.bytes.load(Ordering::Relaxed);
        }
        let bytes = memory::allocated();
        self.memory.bytes.store(bytes, Ordering::Relaxed);
        self.memory.measured_ms.store(now_ms, Ordering::Relaxed);
        if self.memory.peak_bytes.fetch_max(bytes, Ordering::Relaxed) < bytes {
            self.memory.peak_time_s.store(now_ms / 1000, Ordering::Relaxed);
        }
        bytes
    }

    /// The most memory that was in use when somebody looked, in bytes, and when that was, in seconds since 1970.
    pub fn peak_memory(&self) -> (usize, i64) {
        (self.memory.peak_bytes.load(Ordering::Relaxed), self.memory.peak_time_s.load(Ordering::Relaxed))
    }

    /// Bytes in use when the server had just started.
    pub fn initial_memory(&self) -> usize {
        self.memory.initial_bytes
    }

    /// Whether more memory is in use than `maxmemory` allows.
    pub fn is_out_of_memory(&self, maxmemory: u64) -> bool {
        self.used_memory() as u64 > maxmemory
    }

    /// Sets what INFO counts back to zero (CONFIG RESETSTAT).
    pub fn reset_statistics(&self) {
        self.counters.iter().for_each(|counters| counters.reset());
        self.refused_connections.store(0, Ordering::Relaxed);
        self.rates.reset();
    }

    /// Takes a sample for [`Rates`].
    pub fn sample_rates(&self, now_ms: i64) {
        // Peaks of memory are seen with the same eye.
        self.used_memory();
        let totals = Figures {
            commands: self.sum(|counters| counters.commands_processed.get()) as f64,
            read_bytes: self.sum(|counters| counters.read_bytes.get()) as f64,
            written_bytes: self.sum(|counters| counters.written_bytes.get()) as f64,
        };
        self.rates.sample(totals, now_ms);
    }

    /// The name of the data's history, in 40 hexadecimal digits.
    pub fn replication_id(&self) -> String {
        self.replication_id.lock().clone()
    }

    /// Draws another name for the data's history.
    pub fn change_replication_id(&self) {
        *self.replication_id.lock() = random::hex(40);
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
            initial_bytes: memory::allocated(),
            peak_bytes: AtomicUsize::new(0),
            peak_time_s: AtomicI64::new(0),
        }
    }
}
