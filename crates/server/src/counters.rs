//! Counters. Each core has its own and writes them without atomic read-modify-write operations. Readers sum over the cores.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
};

use hdrhistogram::Histogram;
use parking_lot::Mutex;

use crate::{clock, label::CommandLabel};

/// A counter that only one core adds to.
#[derive(Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds to it. Only the owning core may call this.
    #[inline]
    pub fn add(&self, amount: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(amount), Ordering::Relaxed);
    }

    /// Its value. Any core may call this.
    #[inline]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Sets it to zero (CONFIG RESETSTAT). An addition by the owner at the same moment may be lost, or may undo it.
    pub fn reset(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

/// One core's counters for one command (INFO commandstats).
#[derive(Default)]
pub struct CommandCounters {
    /// Calls that ran.
    pub calls: Counter,
    /// Processor ticks that the calls took, all together.
    pub ticks: Counter,
    /// Calls that were refused before they ran.
    pub rejected: Counter,
    /// Calls that ran and answered an error.
    pub failed: Counter,
    /// How long the calls took, in nanoseconds, if any ran while `latency-tracking` was on. A mutex: only its core takes it, but for INFO.
    pub times: Mutex<Option<Box<Histogram<u64>>>>,
}

/// The longest time that is measured, in nanoseconds: a second, as in Redis. Longer ones count as this.
const TIME_NS_MAX: u64 = 1_000_000_000;

/// An empty histogram of times in nanoseconds, with an error of at most a hundredth. It takes 24 KB.
pub fn times() -> Box<Histogram<u64>> {
    Box::new(Histogram::new_with_bounds(1, TIME_NS_MAX, 2).expect("the bounds are in range"))
}

impl CommandCounters {
    /// Adds calls that took `ns` nanoseconds each.
    pub fn took(&self, calls: u64, ns: u64) {
        let mut times = self.times.lock();
        let times = times.get_or_insert_with(self::times);
        times.record_n(ns.clamp(1, TIME_NS_MAX), calls).expect("the time is within the bounds");
    }
}

/// The counters of one core. They have cache lines of their own.
#[repr(align(128))]
pub struct Counters {
    /// Commands that ran.
    pub commands_processed: Counter,
    /// Connections that the core was given.
    pub connections_received: Counter,
    /// Bytes read from clients.
    pub read_bytes: Counter,
    /// Bytes sent to clients.
    pub written_bytes: Counter,
    /// Reads from sockets.
    pub reads: Counter,
    /// Writes to sockets.
    pub writes: Counter,
    /// Lookups by reading commands that found the key.
    pub keyspace_hits: Counter,
    /// Lookups by reading commands that did not find the key.
    pub keyspace_misses: Counter,
    /// Keys that have expired.
    pub expired_keys: Counter,
    /// Fields of hashes that have expired.
    pub expired_fields: Counter,
    /// Keys that were evicted for `maxmemory`.
    pub evicted_keys: Counter,
    /// Clients disconnected for `maxmemory-clients`.
    pub evicted_clients: Counter,
    /// The memory of the core's clients, in bytes. It goes up and down.
    pub client_bytes: Counter,
    /// Changes of data (INFO: `rdb_changes_since_last_save`).
    pub changes: Counter,
    /// Error replies.
    pub error_replies: Counter,
    /// Clients disconnected for exceeding an output buffer limit.
    pub output_limit_disconnections: Counter,
    /// Clients disconnected for exceeding the query buffer limit.
    pub query_limit_disconnections: Counter,
    /// By [`crate::label::CommandId`].
    by_command: Box<[CommandCounters]>,
    /// The number of error replies by code. A mutex, since errors are rare.
    pub by_error: Mutex<BTreeMap<Box<str>, u64>>,
}

impl Counters {
    /// All at zero. `commands` is the number of commands and subcommands.
    pub fn new(commands: usize) -> Counters {
        Counters {
            commands_processed: Counter::default(),
            connections_received: Counter::default(),
            read_bytes: Counter::default(),
            written_bytes: Counter::default(),
            reads: Counter::default(),
            writes: Counter::default(),
            keyspace_hits: Counter::default(),
            keyspace_misses: Counter::default(),
            expired_keys: Counter::default(),
            expired_fields: Counter::default(),
            evicted_keys: Counter::default(),
            evicted_clients: Counter::default(),
            client_bytes: Counter::default(),
            changes: Counter::default(),
            error_replies: Counter::default(),
            output_limit_disconnections: Counter::default(),
            query_limit_disconnections: Counter::default(),
            by_command: (0..commands).map(|_| CommandCounters::default()).collect(),
            by_error: Mutex::default(),
        }
    }

    /// Sets all to zero, except for `changes`, which counts what is not saved yet, and `client_bytes`.
    pub fn reset(&self) {
        let counters = [
            &self.commands_processed,
            &self.connections_received,
            &self.read_bytes,
            &self.written_bytes,
            &self.reads,
            &self.writes,
            &self.keyspace_hits,
            &self.keyspace_misses,
            &self.expired_keys,
            &self.expired_fields,
            &self.evicted_keys,
            &self.evicted_clients,
            &self.error_replies,
            &self.output_limit_disconnections,
            &self.query_limit_disconnections,
        ];
        counters.into_iter().for_each(Counter::reset);
        for command in &self.by_command {
            [&command.calls, &command.ticks, &command.rejected, &command.failed].into_iter().for_each(Counter::reset);
            *command.times.lock() = None;
        }
        self.by_error.lock().clear();
    }

    /// Counts a lookup of a key by a reading command.
    #[inline]
    pub fn lookup(&self, found: bool) {
        if found { self.keyspace_hits.add(1) } else { self.keyspace_misses.add(1) }
    }

    /// Takes back one counted hit, for a command that will be started again and will then repeat its lookup.
    pub fn take_hit_back(&self) {
        self.keyspace_hits.add(u64::MAX);
    }

    /// The counters that a command adds to.
    #[inline]
    pub fn of(&self, command: &CommandLabel) -> &CommandCounters {
        &self.by_command[command.counted_as.index()]
    }

    /// Counts calls of a command that took `ticks` all together. If `tracks` is set, their times go into its histogram: each is the mean.
    #[inline]
    pub fn ran(&self, command: &CommandLabel, calls: u64, ticks: u64, tracks: bool) {
        let counters = self.of(command);
        counters.calls.add(calls);
        counters.ticks.add(ticks);
        if tracks && calls > 0 {
            counters.took(calls, clock::ticks_to_ns(ticks) / calls);
        }
    }

    /// The most error codes that are counted separately. Scripts can make up codes, so Redis has a limit of 128 too.
    const ERROR_CODES_MAX: usize = 128;

    /// Counts an error reply. The first word of `text`, which has no leading `-`, is its code.
    pub fn error(&self, text: &[u8]) {
        self.error_replies.add(1);
        let code = &*String::from_utf8_lossy(text.split(|&byte| byte == b' ').next().unwrap_or_default());
        let mut by_error = self.by_error.lock();
        if let Some(count) = by_error.get_mut(code) {
            *count += 1;
        } else if by_error.len() < Self::ERROR_CODES_MAX {
            by_error.insert(code.into(), 1);
        }
    }
}
