//! What a core counts. Each core writes its own, without atomic read-modify-write; who wants figures sums over the cores.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
};

use parking_lot::Mutex;

use crate::label::CommandLabel;

/// A counter with one writer.
#[derive(Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds; only the owning core does.
    #[inline]
    pub fn add(&self, amount: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(amount), Ordering::Relaxed);
    }

    #[inline]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Back to zero (CONFIG RESETSTAT); an addition of the owner at this very moment may be lost.
    pub fn reset(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

/// What a core counts of one command.
#[derive(Default)]
pub struct CommandCounters {
    pub calls: Counter,
    /// Processor ticks that it ran for.
    pub ticks: Counter,
    /// Refused before it ran.
    pub rejected: Counter,
    /// Ran and answered an error.
    pub failed: Counter,
}

/// The counters of one core, on cache lines of their own.
#[repr(align(128))]
pub struct Counters {
    pub commands_processed: Counter,
    pub connections_received: Counter,
    pub read_bytes: Counter,
    pub written_bytes: Counter,
    pub reads: Counter,
    pub writes: Counter,
    pub keyspace_hits: Counter,
    pub keyspace_misses: Counter,
    pub expired_keys: Counter,
    /// Fields of hashes.
    pub expired_fields: Counter,
    pub evicted_keys: Counter,
    pub changes: Counter,
    pub error_replies: Counter,
    pub published: Counter,
    pub output_limit_disconnections: Counter,
    pub query_limit_disconnections: Counter,
    by_command: Box<[CommandCounters]>,
    /// Error replies by their code. A mutex, for errors are seldom.
    pub by_error: Mutex<BTreeMap<Box<str>, u64>>,
}

impl Counters {
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
            changes: Counter::default(),
            error_replies: Counter::default(),
            published: Counter::default(),
            output_limit_disconnections: Counter::default(),
            query_limit_disconnections: Counter::default(),
            by_command: (0..commands).map(|_| CommandCounters::default()).collect(),
            by_error: Mutex::default(),
        }
    }

    /// All back to zero but the changes, which say what is not saved yet.
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
            &self.error_replies,
            &self.published,
            &self.output_limit_disconnections,
            &self.query_limit_disconnections,
        ];
        counters.into_iter().for_each(Counter::reset);
        for command in &self.by_command {
            [&command.calls, &command.ticks, &command.rejected, &command.failed].into_iter().for_each(Counter::reset);
        }
        self.by_error.lock().clear();
    }

    /// Counts a key that was looked for by a reading command.
    #[inline]
    pub fn lookup(&self, found: bool) {
        if found { self.keyspace_hits.add(1) } else { self.keyspace_misses.add(1) }
    }

    /// A command that found its key will look it up again, as if for the first time.
    pub fn take_hit_back(&self) {
        self.keyspace_hits.add(u64::MAX);
    }

    /// The counters of a command.
    #[inline]
    pub fn of(&self, command: &CommandLabel) -> &CommandCounters {
        &self.by_command[command.counted_as.index()]
    }

    /// Counts a command that ran so often, for so many ticks in all.
    #[inline]
    pub fn ran(&self, command: &CommandLabel, calls: u64, ticks: u64) {
        let counters = self.of(command);
        counters.calls.add(calls);
        counters.ticks.add(ticks);
    }

    /// The most codes of errors that are kept apart (Redis stops at 128 too): codes may come from clients' scripts.
    const ERROR_CODES_MAX: usize = 128;

    /// Counts an error reply by its code, the first word.
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
