//! The walker of a snapshot: it takes the images of all entries, one part of a shard at a time.

use std::{cell::Cell, sync::Arc};

use super::{Busy, LockSet, lock_shard, unlock_shard};
use crate::{
    DatabaseSize, HashedKey, Keyspace,
    entry::{EntryRef, Epoch},
    gate::Entered,
    hint_of,
    shard::{ShardData, tag_of},
    snapshot::{Images, Running, SnapshotWatch},
};

/// A longer string is not copied under a lock, in bytes.
const COPIED_LEN_MAX: usize = 1 << 20;

impl LockSet<'_> {
    /// Returns whether a key holds a long string that a snapshot has not written yet. To change such a string would copy all of it, so its writer
    /// should wait. If the snapshot has not got the string's image, it gets it now.
    pub fn is_long_and_unsaved(&self, database: usize, key: HashedKey<'_>) -> bool {
        if !self.cut.get().is_running {
            return false;
        }
        self.with_shard(self.keyspace.shard_of(key.hash), |shard| {
            let Some(entries) = shard.database(database) else { return false };
            let tag = tag_of(key.hash, self.keyspace.shard_bits);
            let Some(position) = entries.find(tag, hint_of(key.hash), key.bytes) else { return false };
            let entry = entries.entry(position);
            if entry.long_string_len().is_none_or(|len| len <= COPIED_LEN_MAX) {
                return false;
            }
            let changes = self.changes(database);
            changes.before(entry);
            // SAFETY: the set holds the shard.
            unsafe { entry.set_epoch(changes.epoch()) };
            entry.shares_string()
        })
    }
}

/// A snapshot that is being taken. Its owner calls [`Snapshot::advance`] until that returns [`Advanced::All`], also after
/// [`SnapshotWatch::cancel`]; before that, no other snapshot can begin.
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
    pub(super) fn begin(keyspace: &Keyspace, sizes: Vec<DatabaseSize>) -> Option<Snapshot> {
        let (running, epoch) = keyspace.snapshots.begin(keyspace.cores())?;
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
        self.running.take_handed_over(images);
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
            self.running.note_passed(self.place.shard);
        }
        Advanced::Some
    }

    /// Visits a part of the walker's shard. Returns whether that was the last part.
    fn visit(&mut self, shard: &ShardData, images: &mut Images, enough: &mut dyn FnMut(usize) -> bool) -> bool {
        let swaps = self.running.swaps();
        if swaps != self.swaps {
            // Entries that were not visited may be in a database now that was.
            self.swaps = swaps;
            self.place = Place { shard: self.place.shard, ..Place::default() };
        }
        let is_cancelled = self.running.is_cancelled();
        for (index, database) in shard.databases_from(self.place.database) {
            let from = if index == self.place.database { self.place.tag } else { 0 };
            let at_cut = self.running.database_at_cut(index);
            let (epoch, bytes) = (self.epoch, Cell::new(images.bytes()));
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
            keyspace.snapshots.end();
        }
    }
}
