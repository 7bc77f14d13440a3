//! Snapshots: all databases as they were at one instant, while clients go on changing them.
//!
//! ```text
//!  gate closed              gate open again
//!  ┌─────┐  ┌────────────────────────────────────────────────┐
//!  │ cut │  │ shard 0 │ shard 1 │ shard 2 │ …  walker ──▶    │   each entry of the old epoch: image taken, epoch changed
//!  └─────┘  └────────────────────────────────────────────────┘
//!     a lock set that changes or removes an entry of the old epoch hands its image over first
//! ```
//!
//! One bit of an entry says to which of two epochs it belongs. Between two snapshots all entries belong to the same one. The cut begins the
//! other epoch, under the closed gate. What is added or changed from then on belongs to the new epoch. An entry that still belongs to the
//! old one is as it was at the cut, and the snapshot has not got it yet. It gets each such entry once, as an *image*: from the walker, which
//! goes from shard to shard and changes the epoch of every entry that it passes, or from the lock set that is about to change the entry. At
//! the end all entries belong to the new epoch, and the next cut begins the other one again.
//!
//! A short entry's image is a copy of its block. A longer value's image is a [duplicate](crate::Entry::duplicate), which shares the value.
//!
//! The databases of a snapshot are those of the cut. SWAPDB moves entries of the old epoch to another database, so the snapshot keeps a map
//! back. FLUSHALL hands whole tables over.
//!
//! `Snapshot` itself, with the walker, is in `lockset/snapshot.rs`, since it locks shards.
//!
//! A snapshot that is cancelled takes no more images, but its walker goes on to the end, so that all entries belong to one epoch again.

mod images;

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering},
    },
};

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;

pub use self::images::Images;
use crate::{
    entry::{EntryRef, Epoch},
    table::Table,
};

/// What a lock set knows of the snapshots: it stays true until the locks are released, since a cut needs the gate closed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Cut {
    /// The epoch of what is changed now.
    pub(crate) epoch: Epoch,
    /// Whether there may be entries of the other epoch.
    pub(crate) is_running: bool,
}

const EPOCH: u8 = 1;
const RUNNING: u8 = 2;

impl Cut {
    /// Returns whether an entry belongs to a snapshot that has not got its image yet.
    #[inline]
    pub(crate) fn is_owed(self, entry: EntryRef<'_>) -> bool {
        self.is_running && entry.epoch() != self.epoch
    }
}

/// The snapshots of a keyspace, of which one can be running.
#[derive(Default)]
pub(crate) struct Snapshots {
    /// EPOCH and RUNNING. It is written with the gate closed, except that RUNNING is removed when no entry of the old epoch is left.
    state: AtomicU8,
    running: ArcSwapOption<Running>,
}

/// A snapshot that is being taken, as the lock sets see it.
pub(crate) struct Running {
    /// What lock sets have handed over, by core. Each list is on a cache line of its own.
    handed_over: Box<[HandedOver]>,
    /// The bytes of all images in these lists.
    backlog: AtomicUsize,
    /// The number of the shard that the walker is in: those before it have no entry of the old epoch.
    passed: AtomicUsize,
    /// The database at the cut of the entries of a database, if it is another one. (SWAPDB)
    moved: Mutex<HashMap<usize, usize>>,
    /// How often databases were exchanged since the cut.
    swaps: AtomicUsize,
    is_cancelled: AtomicBool,
}

#[derive(Default)]
#[repr(align(128))]
struct HandedOver(Mutex<Images>);

impl Snapshots {
    /// Returns what a lock set has to know. The set was locked, or the gate closed, before.
    #[inline]
    pub(crate) fn cut(&self) -> Cut {
        let state = self.state.load(Ordering::Relaxed);
        Cut { epoch: Epoch(state & EPOCH != 0), is_running: state & RUNNING != 0 }
    }

    /// Returns the snapshot that is being taken.
    pub(crate) fn watch(&self) -> Option<SnapshotWatch> {
        if !self.cut().is_running {
            return None;
        }
        self.running.load_full().map(SnapshotWatch)
    }

    /// Takes the image of an entry that a lock set of this core is about to change or to remove.
    #[cold]
    pub(crate) fn hand_over(&self, core: usize, database: usize, entry: EntryRef<'_>) {
        let running = self.running.load();
        let Some(running) = &*running else { return };
        running.hand_over(core, |images| images.add(running.database_at_cut(database), entry));
    }

    /// Takes the table of a database that a lock set of this core has removed from a shard, and leaves an empty one, if the snapshot needs it.
    pub(crate) fn hand_table_over(&self, core: usize, shard: usize, database: usize, table: &mut Table) {
        let running = self.running.load();
        if let Some(running) = running.as_ref().filter(|running| running.is_owed_by(shard)) {
            let database = running.database_at_cut(database);
            running.hand_over(core, |images| images.add_table(database, std::mem::take(table)));
        }
    }

    /// Begins a snapshot, unless one is running. The gate is closed. Returns the snapshot and the epoch of what is changed from now on.
    pub(crate) fn begin(&self, cores: usize) -> Option<(Arc<Running>, Epoch)> {
        if self.cut().is_running {
            return None;
        }
        let epoch = Epoch(!self.cut().epoch.0);
        let running = Arc::new(Running {
            handed_over: (0..cores).map(|_| HandedOver::default()).collect(),
            backlog: AtomicUsize::new(0),
            passed: AtomicUsize::new(0),
            moved: Mutex::default(),
            swaps: AtomicUsize::new(0),
            is_cancelled: AtomicBool::new(false),
        });
        self.running.store(Some(running.clone()));
        self.state.store(RUNNING | if epoch.0 { EPOCH } else { 0 }, Ordering::Relaxed);
        Some((running, epoch))
    }

    /// Ends the snapshot. No entry of the old epoch is left.
    pub(crate) fn end(&self) {
        self.running.store(None);
        self.state.fetch_and(!RUNNING, Ordering::Relaxed);
    }

    /// Notes that two databases were exchanged. The gate is closed.
    pub(crate) fn note_swap(&self, a: usize, b: usize) {
        if let Some(running) = &*self.running.load() {
            let (of_a, of_b) = (running.database_at_cut(a), running.database_at_cut(b));
            running.moved.lock().extend([(a, of_b), (b, of_a)]);
            running.swaps.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Running {
    /// Takes what lock sets have handed over.
    pub(crate) fn take_handed_over(self: &Arc<Running>, images: &mut Images) {
        for handed_over in &self.handed_over {
            images.take_handed_over(&mut handed_over.0.lock(), self);
        }
    }

    /// Notes that the walker has passed all shards before this one.
    pub(crate) fn note_passed(&self, shard: usize) {
        self.passed.store(shard, Ordering::Relaxed);
    }

    /// Returns how often databases were exchanged since the cut.
    pub(crate) fn swaps(&self) -> usize {
        self.swaps.load(Ordering::Relaxed)
    }

    /// Returns whether no further images are wanted.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.is_cancelled.load(Ordering::Relaxed)
    }

    fn hand_over(&self, core: usize, add: impl FnOnce(&mut Images)) {
        if self.is_cancelled.load(Ordering::Relaxed) {
            return;
        }
        let mut images = self.handed_over[core].0.lock();
        let before = images.bytes();
        add(&mut images);
        self.backlog.fetch_add(images.bytes() - before, Ordering::Relaxed);
    }

    /// Returns the database at the cut of the entries of the old epoch that are in a database now.
    pub(crate) fn database_at_cut(&self, database: usize) -> usize {
        if self.swaps.load(Ordering::Relaxed) == 0 {
            return database;
        }
        self.moved.lock().get(&database).copied().unwrap_or(database)
    }

    /// Returns whether a shard may have entries of the old epoch.
    fn is_owed_by(&self, shard: usize) -> bool {
        !self.is_cancelled.load(Ordering::Relaxed) && shard >= self.passed.load(Ordering::Relaxed)
    }
}

/// How far a snapshot is, for others than its owner.
#[derive(Clone)]
pub struct SnapshotWatch(pub(crate) Arc<Running>);

impl SnapshotWatch {
    /// Takes no further images. The owner's calls of `Snapshot::advance` only bring all entries to one epoch again.
    pub fn cancel(&self) {
        self.0.is_cancelled.store(true, Ordering::Relaxed);
    }

    /// Returns whether it was cancelled.
    pub fn is_cancelled(&self) -> bool {
        self.0.is_cancelled.load(Ordering::Relaxed)
    }

    /// Returns how many bytes of images lock sets have handed over that were not written yet: [`Images::clear`] subtracts them.
    pub fn backlog(&self) -> usize {
        self.0.backlog.load(Ordering::Relaxed)
    }

    /// Returns how many shards the walker has passed.
    pub fn passed(&self) -> usize {
        self.0.passed.load(Ordering::Relaxed)
    }
}
