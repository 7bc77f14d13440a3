//! How many keys each database holds. Every core counts what it adds and removes for itself, so that counting costs no more than writing
//! to memory of its own; the sum over the cores is the size.
//!
//! While a core is inside the gate it alone writes its counts; with the gate closed, whoever closed it alone writes any.

use std::sync::atomic::{AtomicI64, Ordering};

/// Databases beyond these are counted by walking: hardly anybody has as many.
const COUNTED: usize = 64;

/// See the module.
pub(crate) struct Sizes {
    cores: Box<[CoreCounts]>,
}

#[repr(align(128))]
struct CoreCounts([AtomicI64; COUNTED]);

impl Sizes {
    pub(crate) fn new(cores: usize) -> Sizes {
        Sizes { cores: (0..cores).map(|_| CoreCounts([const { AtomicI64::new(0) }; COUNTED])).collect() }
    }

    /// Counts keys that were added by a core, or removed where the number is negative.
    #[inline]
    pub(crate) fn add(&self, core: usize, database: usize, keys: i64) {
        if let Some(count) = self.cores[core].0.get(database) {
            count.store(count.load(Ordering::Relaxed) + keys, Ordering::Relaxed);
        }
    }

    /// How many keys a database holds, where it is counted.
    #[inline]
    pub(crate) fn get(&self, database: usize) -> Option<usize> {
        if database >= COUNTED {
            return None;
        }
        let sum: i64 = self.cores.iter().map(|core| core.0[database].load(Ordering::Relaxed)).sum();
        // Cores are read one after the other, so a key that moves meanwhile may be missed.
        Some(sum.max(0) as usize)
    }
}
