//! The journal: what was done to the data, in an order that explains it.
//!
//! What runs under one lock set is gathered in one frame, in the set's own buffer, and handed to the sink when the locks are given back.
//! The frame's number is taken while they are held, before its first record, so two frames that touch the same key are numbered in the
//! order in which they ran. A sink that merges the frames of several cores waits for the number that follows the last one.
//!
//! Without a sink nothing is gathered, and nothing is allocated.

pub mod frame;

use std::{
    borrow::Cow,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use arc_swap::ArcSwapOption;

pub use frame::{Frame, RecordedCommand};

/// How far in the journal something depends on it: on the frame of this number, and on all before. The default depends on none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position(u64);

impl Position {
    /// The position of the frame with this number.
    pub fn of_frame(number: u64) -> Position {
        Position(number)
    }

    /// The number of the frame, counted from 1; 0 for none.
    pub fn number(self) -> u64 {
        self.0
    }
}

/// One effect in the words of a command that brings it about again.
pub type Record<'a> = Vec<Cow<'a, [u8]>>;

/// Where frames go: a file, a replica.
pub trait Sink: Send + Sync {
    /// Takes a frame. The locks of its keys are still held, so it must be quick. Frames of different cores come in any order; their numbers
    /// leave no gap.
    fn append(&self, frame: Frame<'_>);
}

/// See the module.
#[derive(Default)]
pub struct Journal {
    last_number: AtomicU64,
    is_kept: AtomicBool,
    sink: ArcSwapOption<Box<dyn Sink>>,
}

impl Journal {
    /// Whether records are gathered. A lock set that began without does without, so this is asked once for each set.
    #[inline]
    pub fn is_kept(&self) -> bool {
        self.is_kept.load(Ordering::Acquire)
    }

    /// Begins to keep the journal. The caller has the keyspace to itself, or nobody is served yet.
    pub fn keep(&self, sink: Box<dyn Sink>) {
        self.sink.store(Some(Arc::new(sink)));
        self.is_kept.store(true, Ordering::Release);
    }

    /// Takes the number of a frame. The caller holds the locks of what the frame tells of.
    pub(crate) fn take_number(&self) -> Position {
        Position(self.last_number.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// The position of the last frame that was begun.
    pub fn last_position(&self) -> Position {
        Position(self.last_number.load(Ordering::Relaxed))
    }

    /// Hands a frame over. The locks of what it tells of are still held.
    pub(crate) fn append(&self, frame: Frame<'_>) {
        let sink = self.sink.load();
        sink.as_ref().expect("records are gathered for a sink").append(frame);
    }
}
