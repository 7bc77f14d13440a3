//! The append-only file: everything that was written, so that it can be done again after a crash.
//!
//! ```text
//!  lock set ── frame, under the locks ──▶ buffer of its core ─┐
//!  lock set ── frame ──▶ buffer of its core ──────────────────┤ writer: merges by number, encodes, writes ──▶ increment
//!                                                              └─▶ syncs by policy ──▶ durable position ──▶ gate for replies
//! ```
//!
//! | file | what lies there |
//! |---|---|
//! | `mod.rs` | [`Aof`]: what commands and INFO see |
//! | `log.rs` | [`Log`]: the buffers, the thread that writes, and the gate for replies |

mod log;

use std::{
    any::Any,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use arc_swap::ArcSwapOption;
use ochre_persist::aof::folder::Folder;
use parking_lot::Mutex;

pub use self::log::{Begin, Log, LogOptions, Sync};
use crate::{journal::Position, saves::Ended};

/// The append-only file of a server.
#[derive(Default)]
pub struct Aof {
    /// The log, while there is one (`appendonly yes`).
    log: ArcSwapOption<Log>,
    /// Whether there is a log. It is read before every command.
    is_on: AtomicBool,
    /// Whether replies wait until what they depend on is durable. It is read before every write to a socket.
    is_gated: AtomicBool,
    /// The folder, once it was opened.
    pub folder: Mutex<Option<Folder>>,
    /// Keeps other servers away from the folder.
    pub folder_lock: Mutex<Option<Box<dyn Any + Send>>>,
    rewrites: Mutex<Rewrites>,
    /// The size in bytes after the last rewrite, or at the start.
    size_before: AtomicU64,
    /// The size of the base in bytes.
    base_size: AtomicU64,
}

/// How rewriting goes.
#[derive(Clone, Debug, Default)]
pub struct Rewrites {
    /// BGREWRITEAOF that waits for a save to end.
    pub is_scheduled: bool,
    /// How many have ended well.
    pub count: u64,
    /// How many have failed since the last one that ended well.
    pub failures: u32,
    /// When the last one failed.
    pub failed_at: Option<Instant>,
    /// How long the last one took, in seconds.
    pub last_seconds: Option<i64>,
}

impl Rewrites {
    /// Notes how one has ended.
    pub fn note_end(&mut self, ended: Ended) {
        match ended {
            Ended::Saved => {
                self.count += 1;
                self.failures = 0;
            }
            Ended::Failed => {
                self.failures += 1;
                self.failed_at = Some(Instant::now());
            }
            Ended::Cancelled => {}
        }
    }

    /// Returns whether a further one may be begun without being asked for. From `failures_max` failures on, there is one after 1, 2, 4, … minutes,
    /// and at last every hour. (Redis: `aofRewriteLimited`)
    pub fn may_try(&self, failures_max: u32) -> bool {
        const MINUTES_MAX: u64 = 60;
        let Some(failed_at) = self.failed_at.filter(|_| self.failures >= failures_max) else { return true };
        let minutes = 1u64.checked_shl(self.failures - failures_max).unwrap_or(MINUTES_MAX).min(MINUTES_MAX);
        failed_at.elapsed() >= Duration::from_secs(60 * minutes)
    }
}

impl Aof {
    /// Begins to keep a log, or to keep none.
    pub fn set_log(&self, log: Option<Arc<Log>>) {
        self.is_on.store(log.is_some(), Ordering::Release);
        self.is_gated.store(log.as_ref().is_some_and(|log| log.sync() == Sync::Always), Ordering::Release);
        self.log.store(log);
    }

    /// Returns the log, while there is one.
    pub fn log(&self) -> Option<Arc<Log>> {
        self.log.load_full()
    }

    /// Returns whether there is a log.
    pub fn is_on(&self) -> bool {
        self.is_on.load(Ordering::Acquire)
    }

    /// Sets when the log is synced.
    pub fn set_options(&self, options: LogOptions) {
        if let Some(log) = &*self.log.load() {
            log.set_options(options);
            self.is_gated.store(options.sync == Sync::Always, Ordering::Release);
        }
    }

    /// Returns whether replies may have to wait.
    #[inline]
    pub fn is_gated(&self) -> bool {
        self.is_gated.load(Ordering::Acquire)
    }

    /// Returns `Ready` if what comes before a position is as durable as a reply needs. Otherwise the task is woken when that is so.
    pub fn poll_durable(&self, position: Position, context: &mut Context<'_>) -> Poll<()> {
        match &*self.log.load() {
            Some(log) if log.sync() == Sync::Always => log.poll_durable(position, context),
            _ => Poll::Ready(()),
        }
    }

    /// Returns whether writers have to wait for the disk.
    #[inline]
    pub fn is_full(&self) -> bool {
        self.is_on() && self.log.load().as_ref().is_some_and(|log| log.is_full())
    }

    /// Returns the bytes that wait to be written to the log.
    pub fn backlog(&self) -> usize {
        if self.is_on() { self.log.load().as_ref().map_or(0, |log| log.backlog()) } else { 0 }
    }

    /// Returns `Ready` if writers need not wait for the disk. Otherwise the task is woken when that is so.
    pub fn poll_room(&self, context: &mut Context<'_>) -> Poll<()> {
        self.log.load().as_ref().map_or(Poll::Ready(()), |log| log.poll_room(context))
    }

    /// Returns why writes are refused, if the log cannot be written.
    pub fn error(&self) -> Option<String> {
        self.log.load().as_ref().and_then(|log| log.error())
    }

    /// Returns whether the log cannot be written.
    #[inline]
    pub fn has_failed(&self) -> bool {
        self.is_on() && self.log.load().as_ref().is_some_and(|log| log.has_failed())
    }

    /// Returns how rewriting goes.
    pub fn rewrites(&self) -> Rewrites {
        self.rewrites.lock().clone()
    }

    /// Changes what [`Aof::rewrites`] returns.
    pub fn change_rewrites(&self, change: impl FnOnce(&mut Rewrites)) {
        change(&mut self.rewrites.lock());
    }

    /// Notes the sizes after a rewrite, or at the start: of the base, and of all files, in bytes.
    pub fn note_sizes(&self, base: u64, all: u64) {
        self.base_size.store(base, Ordering::Relaxed);
        self.size_before.store(all, Ordering::Relaxed);
    }

    /// Returns the size of all files, the size after the last rewrite, and the size of the base, in bytes.
    pub fn sizes(&self) -> (u64, u64, u64) {
        let base = self.base_size.load(Ordering::Relaxed);
        let increments = self.log.load().as_ref().map_or(0, |log| log.size());
        (base + increments, self.size_before.load(Ordering::Relaxed), base)
    }
}
