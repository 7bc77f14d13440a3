//! The journal: the ordered log of effects. What is kept of it decides its sinks; while there is none, nothing is encoded.

use std::{
    borrow::Cow,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

/// See the module.
#[derive(Default)]
pub struct Journal {
    /// Whether any sink is attached.
    kept: AtomicBool,
    /// How many records were made.
    sequence: AtomicU64,
}

/// One effect in the words of a command that brings it about again.
pub type Record<'a> = Vec<Cow<'a, [u8]>>;

impl Journal {
    /// Whether anybody keeps what is recorded.
    #[inline]
    pub fn is_kept(&self) -> bool {
        self.kept.load(Ordering::Relaxed)
    }

    /// Appends the records of one command, EXEC or script, which take one number. Called under the locks of what they changed, so
    /// that records which touch the same keys are in the order of their numbers.
    pub fn append(&self, _database: usize, _records: &[Record<'_>]) -> u64 {
        self.sequence.fetch_add(1, Ordering::Relaxed) + 1
    }
}
