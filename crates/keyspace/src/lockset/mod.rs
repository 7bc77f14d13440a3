//! Lock sets: the way to a shard.
//!
//! A command locks the distinct shards of all its keys, in ascending order, before it looks at the first; so it runs as if alone, and no
//! two commands wait for each other in a circle. With the gate closed the set is the whole keyspace, and no lock is needed.
//!
//! A thread never sleeps on a shard. A lock that is held is tried again for some microseconds, which is longer than most are held. If it
//! is still held then, all locks are given back, and the caller parks its task on the shard ([`crate::Keyspace::poll_free`]). A caller
//! that fails again and again closes the gate instead, so that a large set gets its turn beside any number of small ones.
//!
//! Ranks, in which locks are taken: gate < shard < channel < mailbox < journal.

mod reader;
mod waiting;
mod walker;
mod whole;
mod writer;

use std::{
    any::Any,
    cell::{RefCell, RefMut},
    marker::PhantomData,
};

use ochre_datatypes::ElementPrefetch;
use smallvec::SmallVec;

pub use self::{
    reader::Reader,
    walker::{Visited, Walk, Walker},
    whole::WholeKeyspace,
    writer::{Edited, ExpiryChange, Missing, Writer},
};
use crate::{
    HashedKey, Keyspace,
    access::AccessClock,
    entry::{Entry, EntryRef},
    gate::{Closed, Entered},
    hint_of,
    shard::{ExpiredFields, Shard, ShardData, tag_of},
    sizes::Counts,
    sync::{Holder, spin},
    table::Position,
    with_hint,
};

/// The shards of a batch's keys.
pub type ShardList = SmallVec<[u16; 64]>;

/// A shard that is locked by another visit, for longer than it is worth to wait on the spot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busy {
    pub shard: u16,
}

/// How often a lock that is held is tried again: some microseconds.
const LOCK_TURNS_MAX: u32 = 500;

/// Locks a shard, if it becomes free within a moment. `turns` counts the waiting of all the shards that one caller locks.
#[inline]
fn lock_shard(shard: &Shard, holder: Holder, turns: &mut u32) -> bool {
    loop {
        if shard.lock.try_lock(holder) {
            return true;
        }
        if !spin(turns, LOCK_TURNS_MAX) {
            return false;
        }
    }
}

/// Unlocks a shard, and wakes the tasks that are parked on it.
///
/// # Safety
/// The caller locked it.
#[inline]
unsafe fn unlock_shard(keyspace: &Keyspace, index: u16) {
    // SAFETY: the caller's promise.
    if unsafe { keyspace.shards[index as usize].unlock() } {
        keyspace.parked.wake(index);
    }
}

/// Sorts the shards and leaves out repeated ones.
#[inline]
fn make_ascending(shards: &mut ShardList, shards_of_keyspace: usize) {
    /// The number of shards from which on going through a set of bits is quicker than sorting.
    const MANY: usize = 8;
    const WORDS: usize = 64;
    match shards.len() {
        0 | 1 => {}
        2 if shards[0] < shards[1] => {}
        MANY.. if shards_of_keyspace <= WORDS * 64 => {
            let mut bits = [0u64; WORDS];
            shards.iter().for_each(|&shard| bits[shard as usize / 64] |= 1 << (shard % 64));
            shards.clear();
            for (word, mut left) in bits.into_iter().enumerate() {
                while left != 0 {
                    shards.push((word * 64) as u16 + left.trailing_zeros() as u16);
                    left &= left - 1;
                }
            }
        }
        _ => {
            shards.sort_unstable();
            shards.dedup();
        }
    }
}

/// A key or fields that were found expired and were removed. The removal is still to be made known.
#[derive(Debug)]
pub struct Expired {
    pub database: usize,
    pub hash: u64,
    pub what: ExpiredWhat,
}

#[derive(Debug)]
pub enum ExpiredWhat {
    /// A key.
    Key(Entry),
    /// Some fields of a key's hash.
    Fields(ExpiredFields),
}

/// The most expired fields that one lookup removes from a hash. Where there are more, lookups hide them, and the core's expiry removes
/// them.
const EXPIRED_FIELDS_MAX: usize = 64;

/// The shards that one command or batch holds, and what is gathered while it holds them.
pub struct LockSet<'k> {
    keyspace: &'k Keyspace,
    held: Held<'k>,
    /// The number that the locks of its shards show.
    holder: Holder,
    /// The clock of what runs under these locks, in milliseconds since 1970.
    now_ms: i64,
    access: AccessClock,
    /// Whether expired keys may be removed; not so while writes are paused, when they are only hidden.
    removes_expired: bool,
    expired: RefCell<Vec<Expired>>,
    /// Values whose freeing takes long: freed elsewhere, after the locks are given back.
    garbage: RefCell<Vec<Box<dyn Any + Send>>>,
    /// See [`LockSet::records`].
    records: RefCell<Option<Vec<u8>>>,
}

enum Held<'k> {
    /// Locked, in ascending order. The gate cannot close meanwhile.
    Shards(ShardList, Entered<'k>),
    /// All, by the gate.
    Whole(#[allow(dead_code, reason = "held for what its drop does")] Closed<'k>),
}

impl<'k> LockSet<'k> {
    /// Locks the shards, which are sorted here and may repeat. Where one is held by another visit for longer than a moment, nothing is
    /// locked, and the gate is left.
    pub fn try_lock(keyspace: &'k Keyspace, entered: Entered<'k>, mut shards: ShardList) -> Result<LockSet<'k>, Busy> {
        make_ascending(&mut shards, keyspace.shards.len());
        let holder = entered.holder();
        let mut turns = 0;
        for (at, &shard) in shards.iter().enumerate() {
            if !lock_shard(&keyspace.shards[shard as usize], holder, &mut turns) {
                // SAFETY: these were locked above.
                shards[..at].iter().for_each(|&locked| unsafe { unlock_shard(keyspace, locked) });
                return Err(Busy { shard });
            }
        }
        Ok(LockSet::new(keyspace, holder, Held::Shards(shards, entered)))
    }

    /// The whole keyspace, with the gate closed.
    pub fn whole(keyspace: &'k Keyspace, closed: Closed<'k>) -> LockSet<'k> {
        LockSet::new(keyspace, 0, Held::Whole(closed))
    }

    fn new(keyspace: &'k Keyspace, holder: Holder, held: Held<'k>) -> LockSet<'k> {
        LockSet {
            keyspace,
            held,
            holder,
            now_ms: 0,
            access: AccessClock::lru(0),
            removes_expired: true,
            expired: RefCell::new(Vec::new()),
            garbage: RefCell::new(Vec::new()),
            records: RefCell::new(None),
        }
    }

    /// The buffer in which the caller gathers the records of what was done under these locks, in a form of its own; none until the caller
    /// puts one there. The keyspace only keeps it, so that the records go wherever the locks go.
    #[inline]
    pub fn records(&self) -> RefMut<'_, Option<Vec<u8>>> {
        self.records.borrow_mut()
    }

    /// Sets the clock, which is read after the locks are taken.
    pub fn set_clock(&mut self, now_ms: i64, access: AccessClock) {
        self.now_ms = now_ms;
        self.access = access;
    }

    /// Whether keys that are found expired are removed, or hidden only.
    pub fn set_removes_expired(&mut self, removes: bool) {
        self.removes_expired = removes;
    }

    pub fn now_ms(&self) -> i64 {
        self.now_ms
    }

    /// Asks the processor for the entry of a key, whose slots were asked for before. Returns the hash with the hint where it was seen.
    #[inline]
    pub fn prefetch_entry(&self, database: usize, hash: u64) -> u64 {
        let seen = self.with_shard(self.keyspace.shard_of(hash), |shard| {
            shard.database(database)?.table.prefetch_entry(tag_of(hash, self.keyspace.shard_bits))
        });
        seen.map_or(hash, |slot| with_hint(hash, slot))
    }

    /// Asks the processor for elements of keys' collections, whose entries were asked for before.
    pub fn prefetch_elements<'e>(
        &mut self,
        database: usize,
        elements: impl Iterator<Item = (HashedKey<'e>, &'e [u8])>,
    ) {
        let set = &*self;
        let ways = elements.filter_map(|(key, element)| set.approach(database, key, element));
        let mut ways: SmallVec<[ElementPrefetch<'_>; 32]> = ways.collect();
        ElementPrefetch::run_all(&mut ways);
    }

    /// The way to an element, also of a key whose time has come: nothing is looked at but addresses.
    #[inline]
    fn approach(&self, database: usize, key: HashedKey<'_>, element: &[u8]) -> Option<ElementPrefetch<'_>> {
        self.with_shard(self.keyspace.shard_of(key.hash), |shard| {
            let entries = shard.database(database)?;
            let position = entries.find(tag_of(key.hash, self.keyspace.shard_bits), hint_of(key.hash), key.bytes)?;
            // SAFETY: only lookups and writes remove entries or write to them. The one caller does neither before it is done with the
            // way, and nobody else holds the shard.
            unsafe { entries.entry(position).detached() }.approach(element)
        })
    }

    /// The right to read.
    pub fn reader(&self) -> Reader<'_> {
        Reader { set: self }
    }

    /// The right to read and write.
    pub fn writer(&mut self) -> Writer<'_> {
        Writer { set: self, alone: PhantomData }
    }

    /// The right to visit shard after shard. The gate is closed.
    pub fn walker(&self) -> Walker<'_> {
        assert!(matches!(self.held, Held::Whole(_)), "the gate is closed");
        Walker::whole(self.keyspace, self.now_ms)
    }

    /// The right to everything at once. The gate is closed.
    pub fn whole_keyspace(&mut self) -> WholeKeyspace<'_> {
        assert!(matches!(self.held, Held::Whole(_)), "the gate is closed");
        WholeKeyspace { set: self, alone: PhantomData }
    }

    /// Whether keys were found expired since [`LockSet::take_expired`] was called.
    #[inline]
    pub fn has_expired(&self) -> bool {
        !self.expired.borrow().is_empty()
    }

    /// The keys that were found expired since the last call.
    pub fn take_expired(&self) -> Vec<Expired> {
        self.expired.take()
    }

    /// Frees an entry, here or where it holds nobody up.
    pub fn discard(&self, entry: Entry) {
        if entry.is_heavy() {
            self.bury(entry);
        }
    }

    /// Frees a value, whose freeing takes long, where it holds nobody up.
    pub(crate) fn bury(&self, value: impl Send + 'static) {
        self.garbage.borrow_mut().push(Box::new(value));
    }

    /// Tells the watchers of a key that it changed; whether a waiter waits for it.
    #[inline]
    pub fn touch(&self, database: usize, hash: u64, key: &[u8]) -> bool {
        self.with_shard(self.keyspace.shard_of(hash), |shard| shard.touch(database, key))
    }

    /// Runs `visit` on a shard of the set. `visit` must not call back into the set, and what it returns may borrow entries' blocks
    /// but not the shard.
    #[inline(always)]
    fn with_shard<R>(&self, index: usize, visit: impl FnOnce(&mut ShardData) -> R) -> R {
        let shard = &self.keyspace.shards[index];
        // A key outside of the set would be a race, so this is asserted in release builds too. The word lies beside the data.
        assert!(self.holder == 0 || shard.lock.is_held_by(self.holder), "a key outside of the lock set");
        // SAFETY: the shard is locked by this set, as was asserted, or the gate is closed, so that nobody else is at the shards. This set's
        // methods make one reference at a time.
        visit(unsafe { shard.data() })
    }

    /// The core's counts of a database.
    #[inline]
    fn counts(&self, database: usize) -> &'k Counts {
        let core = match &self.held {
            Held::Shards(_, entered) => entered.core(),
            // Alone with the gate closed, one may write any core's counts.
            Held::Whole(_) => 0,
        };
        self.keyspace.sizes.of(core, database)
    }

    fn publish_deadline(&self, shard: usize) {
        let first_ms = self.with_shard(shard, |data| data.first_deadline_ms());
        self.keyspace.deadline_changed(shard, first_ms);
    }

    /// Finds a key that is alive. Where its time has come it is removed, or hidden only. A writer has it removed in any case, for it wants
    /// the key's place.
    #[inline]
    fn find(
        &self,
        shard: &mut ShardData,
        database: usize,
        key: HashedKey<'_>,
        removes_expired: bool,
    ) -> Option<Position> {
        let entries = shard.database(database)?;
        let tag = tag_of(key.hash, self.keyspace.shard_bits);
        let position = entries.find(tag, hint_of(key.hash), key.bytes)?;
        let entry = entries.entry(position);
        if entry.is_expired(self.now_ms) {
            if removes_expired {
                self.expire(shard, database, key, position);
            }
            return None;
        }
        if entry.has_expired_field(self.now_ms) {
            return self.find_expiring(shard, database, (tag, position), key.hash, removes_expired);
        }
        Some(position)
    }

    /// Finds a hash that has expired fields, unless all have expired. The expired ones are removed, where they may be, and all at once: so a
    /// hash that was looked up is not changed by the next lookup.
    #[cold]
    fn find_expiring(
        &self,
        shard: &mut ShardData,
        database: usize,
        (tag, position): (u32, Position),
        hash: u64,
        removes_expired: bool,
    ) -> Option<Position> {
        let view = shard.database(database)?.entry(position).hash_at(self.now_ms);
        let (is_empty, expired) = (view.is_empty(), view.at(i64::MIN).len() - view.len());
        if removes_expired && (is_empty || expired <= EXPIRED_FIELDS_MAX) {
            let counts = self.counts(database);
            let fields = shard.expire_fields(database, (tag, position), self.now_ms, EXPIRED_FIELDS_MAX, counts);
            self.note_expired_fields(database, hash, fields);
        }
        (!is_empty).then_some(position)
    }

    fn note_expired_fields(&self, database: usize, hash: u64, fields: ExpiredFields) {
        self.expired.borrow_mut().push(Expired { database, hash, what: ExpiredWhat::Fields(fields) });
    }

    #[cold]
    fn expire(&self, shard: &mut ShardData, database: usize, key: HashedKey<'_>, position: Position) {
        let tag = tag_of(key.hash, self.keyspace.shard_bits);
        let entry = shard.database_mut(database).remove(tag, position, self.counts(database));
        shard.touch(database, key.bytes);
        self.expired.borrow_mut().push(Expired { database, hash: key.hash, what: ExpiredWhat::Key(entry) });
    }

    /// The entry of a key, which lives as long as the set is not written to.
    #[inline]
    fn lookup(&self, database: usize, key: HashedKey<'_>, touch: bool) -> Option<EntryRef<'_>> {
        self.with_shard(self.keyspace.shard_of(key.hash), |shard| {
            let entries = shard.database(database)?;
            let tag = tag_of(key.hash, self.keyspace.shard_bits);
            let position = entries.find(tag, hint_of(key.hash), key.bytes)?;
            let mut entry = entries.entry(position);
            if entry.is_expired(self.now_ms) {
                if self.removes_expired {
                    self.expire(shard, database, key, position);
                }
                return None;
            }
            if entry.has_expired_field(self.now_ms) {
                let place = (tag, position);
                let position = self.find_expiring(shard, database, place, key.hash, self.removes_expired)?;
                entry = shard.database(database)?.entry(position);
            }
            if touch {
                // SAFETY: the shard is locked.
                unsafe { entry.touch(self.access.touched(entry.access())) };
            }
            // SAFETY: an entry is removed or written to by a Writer, which borrows the set mutably, or because it or fields of it have
            // expired. This one has not, by the clock that stands still while the set is not borrowed mutably, and either all of its
            // expired fields have been removed or none is to be.
            Some(unsafe { entry.detached() })
        })
    }
}

impl Drop for LockSet<'_> {
    fn drop(&mut self) {
        if let Held::Shards(shards, _) = &self.held {
            // SAFETY: this set locked them.
            shards.iter().for_each(|&shard| unsafe { unlock_shard(self.keyspace, shard) });
        }
        let garbage = self.garbage.get_mut();
        if !garbage.is_empty() {
            self.keyspace.graveyard.bury(std::mem::take(garbage));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn shards_are_locked_in_ascending_order_and_once(shards in prop::collection::vec(0u16..4096, 0..200)) {
            let mut ascending = ShardList::from_slice(&shards);
            make_ascending(&mut ascending, 4096);
            let expected: std::collections::BTreeSet<u16> = shards.into_iter().collect();
            prop_assert_eq!(ascending.to_vec(), expected.into_iter().collect::<Vec<_>>());
        }
    }
}
