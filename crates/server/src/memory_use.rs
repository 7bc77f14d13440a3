//! How much memory the server uses, and for how long it was more than it may.

use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::{clock, memory};

/// See the module.
pub struct MemoryUse {
    /// The memory in use right after the start, in bytes.
    initial_bytes: usize,
    /// The most that was in use when somebody looked, in bytes.
    peak_bytes: AtomicUsize,
    /// When that was, in seconds since 1970.
    peak_time_s: AtomicI64,
    /// A mutex: it is taken when the memory is found above the limit, or at the limit after it was above.
    exceeded: Mutex<Exceeded>,
}

/// For how long keys had to be evicted. (INFO: `total_eviction_exceeded_time`, `current_eviction_exceeded_time`)
#[derive(Clone, Copy, Default)]
pub struct Exceeded {
    /// Milliseconds that have ended.
    pub total_ms: i64,
    /// Since when the memory exceeds its limit, in milliseconds since 1970.
    since_ms: Option<i64>,
}

impl Exceeded {
    /// For how long the memory has exceeded its limit by now, in milliseconds.
    pub fn current_ms(&self, now_ms: i64) -> i64 {
        self.since_ms.map_or(0, |since_ms| (now_ms - since_ms).max(0))
    }
}

impl Default for MemoryUse {
    fn default() -> MemoryUse {
        MemoryUse {
            initial_bytes: memory::allocated(),
            peak_bytes: AtomicUsize::new(0),
            peak_time_s: AtomicI64::new(0),
            exceeded: Mutex::default(),
        }
    }
}

impl MemoryUse {
    /// The memory in use, in bytes.
    pub fn bytes(&self) -> usize {
        let bytes = memory::allocated();
        if self.peak_bytes.load(Ordering::Relaxed) < bytes
            && self.peak_bytes.fetch_max(bytes, Ordering::Relaxed) < bytes
        {
            self.peak_time_s.store(clock::now_ms() / 1000, Ordering::Relaxed);
        }
        bytes
    }

    /// The most memory that was in use, in bytes, and when that was, in seconds since 1970.
    pub fn peak(&self) -> (usize, i64) {
        (self.peak_bytes.load(Ordering::Relaxed), self.peak_time_s.load(Ordering::Relaxed))
    }

    /// The memory in use right after the start, in bytes.
    pub fn initial_bytes(&self) -> usize {
        self.initial_bytes
    }

    /// Notes whether keys have to be evicted now.
    pub fn note_exceeded(&self, is_exceeded: bool) {
        let now_ms = clock::now_ms();
        let mut exceeded = self.exceeded.lock();
        if is_exceeded {
            exceeded.since_ms.get_or_insert(now_ms);
        } else if let Some(since_ms) = exceeded.since_ms.take() {
            exceeded.total_ms += (now_ms - since_ms).max(0);
        }
    }

    /// For how long keys had to be evicted.
    pub fn exceeded(&self) -> Exceeded {
        *self.exceeded.lock()
    }

    /// Begins anew with the times (CONFIG RESETSTAT). The peak stays, as on Redis.
    pub fn reset(&self) {
        *self.exceeded.lock() = Exceeded::default();
    }
}
