//! The journal: all changes of the data, in an order in which they can be replayed.
//!
//! The changes made under one lock set are gathered in one frame, in the set's own buffer. The sink is given the frame just before the
//! locks are released. The number of a frame is taken under the locks, before its first record. So two frames that touch the same key are
//! numbered in the order in which their commands ran. A sink that merges the frames of several cores appends them in the order of their
//! numbers, and waits for a number that is missing.
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

/// A position in the journal. A reply or a message with this position depends on the frame with its number and on all earlier frames. The
/// default stands for no frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position(u64);

impl Position {
    /// Returns the position of the frame with this number.
    pub fn of_frame(number: u64) -> Position {
        Position(number)
    }

    /// Returns the number of the frame, counted from 1, or 0 for no frame.
    pub fn number(self) -> u64 {
        self.0
    }
}

/// The words of a command that has the recorded effect when it is run again.
pub type Record<'a> = Vec<Cow<'a, [u8]>>;

/// A destination of frames, such as a file or a replica.
pub trait Sink: Send + Sync {
    /// Takes a frame of a core, on the core's thread. The locks of its keys are still held, so this must be quick. The frames of different cores come in any order. Their
    /// numbers leave no gap.
    fn append(&self, core: usize, frame: Frame<'_>);

    /// Is called after frames of a core were appended, when the core has served all connections that were ready then.
    fn appended(&self) {}
}

/// The journal of a server. See the module.
#[derive(Default)]
pub struct Journal {
    last_number: AtomicU64,
    is_kept: AtomicBool,
    sink: ArcSwapOption<Arc<dyn Sink>>,
}

impl Journal {
    /// Returns whether records are gathered. This is called once for each lock set, when the set is locked.
    #[inline]
    pub fn is_kept(&self) -> bool {
        self.is_kept.load(Ordering::Acquire)
    }

    /// Begins to keep the journal. The caller has the keyspace to itself, or no client is served yet.
    pub fn keep(&self, sink: Arc<dyn Sink>) {
        self.sink.store(Some(Arc::new(sink)));
        self.is_kept.store(true, Ordering::Release);
    }

    /// Gathers no records until [`Journal::resume`] is called with the result. Nothing is written meanwhile.
    pub fn suspend(&self) -> bool {
        self.is_kept.swap(false, Ordering::AcqRel)
    }

    /// Ends what [`Journal::suspend`] began.
    pub fn resume(&self, was_kept: bool) {
        self.is_kept.store(was_kept, Ordering::Release);
    }

    /// Ends the journal. Frames that have been begun may come yet, or may be lost.
    pub fn end(&self) {
        self.is_kept.store(false, Ordering::Release);
        self.sink.store(None);
    }

    /// Takes the number of a frame. The caller holds the locks of the keys that the frame will record.
    pub(crate) fn take_number(&self) -> Position {
        Position(self.last_number.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// Returns the position of the last frame that was begun.
    pub fn last_position(&self) -> Position {
        Position(self.last_number.load(Ordering::Relaxed))
    }

    /// Tells the sink that frames were appended; see [`Sink::appended`].
    pub fn appended(&self) {
        let sink = self.sink.load();
        sink.as_ref().into_iter().for_each(|sink| sink.appended());
    }

    /// Passes a frame to the sink, unless the journal has ended since its records were begun. The locks of its keys are still held.
    pub(crate) fn append(&self, core: usize, frame: Frame<'_>) {
        let sink = self.sink.load();
        sink.as_ref().into_iter().for_each(|sink| sink.append(core, frame));
    }
}
