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
    Busy, DatabaseSize, Entered, Keyspace,
    entry::EntryRef,
    lockset::{lock_shard, unlock_shard},
    shard::{Database, ShardData},
};

/// One of the two epochs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Epoch(pub(crate) bool);

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
struct Running {
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

    /// Takes whole databases that a lock set of this core has removed. Returns those that the snapshot does not need.
    pub(crate) fn hand_databases_over(
        &self,
        core: usize,
        shard: usize,
        databases: HashMap<usize, Database>,
    ) -> HashMap<usize, Database> {
        let running = self.running.load();
        let Some(running) = running.as_ref().filter(|running| running.is_owed_by(shard)) else { return databases };
        running.hand_over(core, |images| {
            for (index, database) in databases {
                images.add_table(running.database_at_cut(index), database.table);
            }
        });
        HashMap::new()
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
    fn database_at_cut(&self, database: usize) -> usize {
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

/// A snapshot that is being taken. Its owner calls [`Snapshot::advance`] until that returns [`Advanced::All`], also after
/// [`Snapshot::cancel`]; before that, no other snapshot can begin.
pub struct Snapshot {
    running: Arc<Running>,
    epoch: Epoch,
    /// What each database held at the cut.
    sizes: Vec<DatabaseSize>,
    /// Where the walker is.
    place: Place,
    /// [`Running::swaps`], when the walker began with its shard.
    swaps: usize,
    is_at_end: bool,
}

/// Where a walker is in the keyspace.
#[derive(Clone, Copy, Default)]
struct Place {
    shard: usize,
    database: usize,
    tag: u32,
}

/// How far [`Snapshot::advance`] came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Advanced {
    /// There may be more images.
    Some,
    /// Another visit has locked the shard. There may be more images when it is free.
    Busy(Busy),
    /// All images were taken.
    All,
}

impl Snapshot {
    /// Begins a snapshot, unless one is running. The gate is closed.
    pub(crate) fn begin(keyspace: &Keyspace, sizes: Vec<DatabaseSize>) -> Option<Snapshot> {
        let snapshots = &keyspace.snapshots;
        if snapshots.cut().is_running {
            return None;
        }
        let epoch = Epoch(!snapshots.cut().epoch.0);
        let running = Arc::new(Running {
            handed_over: (0..keyspace.cores()).map(|_| HandedOver::default()).collect(),
            backlog: AtomicUsize::new(0),
            passed: AtomicUsize::new(0),
            moved: Mutex::default(),
            swaps: AtomicUsize::new(0),
            is_cancelled: AtomicBool::new(false),
        });
        snapshots.running.store(Some(running.clone()));
        snapshots.state.store(RUNNING | if epoch.0 { EPOCH } else { 0 }, Ordering::Relaxed);
        Some(Snapshot { running, epoch, sizes, place: Place::default(), swaps: 0, is_at_end: false })
    }

    /// Returns what each database held at the cut.
    pub fn sizes(&self) -> &[DatabaseSize] {
        &self.sizes
    }

    /// Returns a handle, with which others see how far the snapshot is and can cancel it.
    pub fn watch(&self) -> SnapshotWatch {
        SnapshotWatch(self.running.clone())
    }

    /// Takes images: those that lock sets have handed over, and those of a part of a shard, which is locked meanwhile. `enough` is asked
    /// before each further hash, and is told how many bytes the images have so far; if it returns true, the visit of the shard ends.
    ///
    /// The images are added to `images`, which has images of no other snapshot.
    pub fn advance(
        &mut self,
        keyspace: &Keyspace,
        entered: &Entered<'_>,
        images: &mut Images,
        enough: &mut dyn FnMut(usize) -> bool,
    ) -> Advanced {
        debug_assert!(entered.is_of(keyspace.gate()), "the visit entered the gate of this keyspace");
        images.set_epoch(self.epoch);
        let is_last = self.place.shard == keyspace.shards();
        for handed_over in &self.running.handed_over {
            images.take_handed_over(&mut handed_over.0.lock(), &self.running);
        }
        if is_last {
            // What was handed over came from shards that the walker had not passed, so nothing comes after this.
            self.end(keyspace);
            return Advanced::All;
        }
        let shard = &keyspace.shards[self.place.shard];
        if !lock_shard(shard, entered.holder(), &mut 0) {
            return Advanced::Busy(Busy { shard: self.place.shard as u16 });
        }
        // SAFETY: it was locked above, and the reference ends before it is unlocked.
        let is_passed = self.visit(unsafe { shard.data() }, images, enough);
        // SAFETY: as above.
        unsafe { unlock_shard(keyspace, self.place.shard as u16) };
        if is_passed {
            self.place = Place { shard: self.place.shard + 1, ..Place::default() };
            self.running.passed.store(self.place.shard, Ordering::Relaxed);
        }
        Advanced::Some
    }

    /// Visits a part of the walker's shard. Returns whether that was the last part.
    fn visit(&mut self, shard: &ShardData, images: &mut Images, enough: &mut dyn FnMut(usize) -> bool) -> bool {
        let swaps = self.running.swaps.load(Ordering::Relaxed);
        if swaps != self.swaps {
            // Entries that were not visited may be in a database now that was.
            self.swaps = swaps;
            self.place = Place { shard: self.place.shard, ..Place::default() };
        }
        let is_cancelled = self.running.is_cancelled.load(Ordering::Relaxed);
        for (index, database) in shard.databases_from(self.place.database) {
            let from = if index == self.place.database { self.place.tag } else { 0 };
            let at_cut = self.running.database_at_cut(index);
            let (epoch, bytes) = (self.epoch, std::cell::Cell::new(images.bytes()));
            let visit = |entry: EntryRef<'_>| {
                if entry.epoch() != epoch {
                    if !is_cancelled {
                        images.add(at_cut, entry);
                        bytes.set(images.bytes());
                    }
                    // SAFETY: the shard is locked.
                    unsafe { entry.set_epoch(epoch) };
                }
            };
            if let Some(tag) = database.table.visit_from(from, visit, || enough(bytes.get())) {
                self.place = Place { shard: self.place.shard, database: index, tag };
                return false;
            }
        }
        true
    }

    /// Ends the snapshot. No entry of the old epoch is left.
    fn end(&mut self, keyspace: &Keyspace) {
        if !self.is_at_end {
            self.is_at_end = true;
            keyspace.snapshots.running.store(None);
            keyspace.snapshots.state.fetch_and(!RUNNING, Ordering::Relaxed);
        }
    }
}

/// How far a snapshot is, for others than its owner.
#[derive(Clone)]
pub struct SnapshotWatch(Arc<Running>);

impl SnapshotWatch {
    /// Takes no further images. The owner's calls of [`Snapshot::advance`] only bring all entries to one epoch again.
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
