//! Lock sets: the only way to a shard.
//!
//! A command locks the shards of all its keys before it looks at the first key, so that it runs as if it were alone. Shards are locked in
//! ascending order, so that two commands cannot deadlock. With the gate closed the set is the whole keyspace, and no lock is needed.
//!
//! A thread never sleeps on a shard. A lock that is held is tried again for some microseconds, which is longer than most locks are held. If
//! it is still held then, all locks are released, and the caller parks its task on the shard ([`crate::Keyspace::poll_free`]). A caller
//! that fails again and again closes the gate instead, so that a large set gets its turn beside any number of small ones.
//!
//! Locks are taken in the order of their ranks: gate < shard < channel < mailbox < journal.

mod reader;
mod snapshot;
mod waiting;
mod walker;
mod whole;
mod writer;

use std::{
    any::Any,
    cell::{Cell, RefCell, RefMut},
    marker::PhantomData,
};

use ochre_datatypes::ElementPrefetch;
use smallvec::SmallVec;

pub use self::{
    reader::Reader,
    snapshot::{Advanced, Snapshot},
    walker::{Met, RandomKey, Visited, Walk, Walker},
    whole::WholeKeyspace,
    writer::{Edited, ExpiryChange, Missing, Writer},
};
use crate::{
    HashedKey, Keyspace,
    access::AccessClock,
    changes::Changes,
    entry::{Entry, EntryRef},
    gate::{Closed, Entered},
    hint_of,
    shard::{ExpiredFields, Shard, ShardData, tag_of},
    snapshot::Cut,
    sync::{Holder, spin},
    table::Position,
    with_hint,
};

/// The indexes of the shards of a batch's keys.
pub type ShardList = SmallVec<[u16; 32]>;

/// A shard that another visit has locked for longer than the caller should spin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busy {
    /// The shard's index; see [`crate::Keyspace::poll_free`].
    pub shard: u16,
}

/// How often a lock that is held is tried again, which takes some microseconds.
const LOCK_TURNS_MAX: u32 = 500;

/// Locks a shard, if it becomes free within a moment. Returns whether it did. `turns` counts the tries for all shards that one caller locks.
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
    // SAFETY: by the caller's promise.
    if unsafe { keyspace.shards[index as usize].unlock() } {
        keyspace.parked.wake(index);
    }
}

/// Sorts the shards and removes repetitions.
#[inline]
fn make_ascending(shards: &mut ShardList, shards_of_keyspace: usize) {
    /// From this number of shards on, a bitmap is quicker than sorting.
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

/// A key or fields that had expired and were removed. The caller has yet to announce the removal.
#[derive(Debug)]
pub struct Expired {
    /// The database of the key.
    pub database: usize,
    /// The hash of the key.
    pub hash: u64,
    /// What was removed.
    pub what: ExpiredWhat,
}

/// What was removed because it had expired.
#[derive(Debug)]
pub enum ExpiredWhat {
    /// A key.
    Key(Entry),
    /// Fields of a hash, perhaps all of them and the key with them.
    Fields(ExpiredFields),
}

/// The most expired fields that one lookup removes from a hash. If there are more, the lookup hides them, and [`Writer::expire_one`] removes
/// them.
const EXPIRED_FIELDS_MAX: usize = 64;

/// The shards that one command or batch has locked, and what it gathers meanwhile. Dropping it unlocks them.
pub struct LockSet<'k> {
    keyspace: &'k Keyspace,
    held: Held<'k>,
    /// The number of the holder in the locks of its shards; 0 with the gate closed.
    holder: Holder,
    /// The time of everything that runs under these locks, in milliseconds since 1970.
    now_ms: i64,
    access: AccessClock,
    /// Which entries belong to a snapshot that is being taken.
    cut: Cell<Cut>,
    /// Whether lookups count as accesses (CLIENT NO-TOUCH).
    touches: bool,
    /// Whether lookups remove what has expired. Otherwise they only hide it, as while writes are paused.
    removes_expired: bool,
    /// See [`LockSet::take_expired`].
    expired: RefCell<Vec<Expired>>,
    /// Large values to be freed by the graveyard's thread, after the locks are released.
    garbage: RefCell<Vec<Box<dyn Any + Send>>>,
    /// See [`LockSet::records`].
    records: RefCell<Option<Vec<u8>>>,
}

/// What a lock set holds.
enum Held<'k> {
    /// These shards, in ascending order. The gate cannot be closed meanwhile.
    Shards(ShardList, Entered<'k>),
    /// All shards, because the gate is closed; and the core that closed it.
    Whole(#[allow(dead_code, reason = "dropping it opens the gate")] Closed<'k>, usize),
}

impl<'k> LockSet<'k> {
    /// Locks these shards, in any order and with repetitions.
    ///
    /// # Errors
    /// If another visit holds one of the shards for longer than a moment. Then nothing is locked, and the visit has left the gate.
    ///
    /// # Panics
    /// If a shard is not below [`Keyspace::shards`].
    #[inline]
    pub fn try_lock(keyspace: &'k Keyspace, entered: Entered<'k>, mut shards: ShardList) -> Result<LockSet<'k>, Busy> {
        debug_assert!(entered.is_of(&keyspace.gate), "the visit entered the gate of this keyspace");
        make_ascending(&mut shards, keyspace.shards.len());
        let holder = entered.holder();
        let mut turns = 0;
        for (at, &shard) in shards.iter().enumerate() {
            if !lock_shard(&keyspace.shards[shard as usize], holder, &mut turns) {
                // SAFETY: this loop locked them.
                shards[..at].iter().for_each(|&locked| unsafe { unlock_shard(keyspace, locked) });
                return Err(Busy { shard });
            }
        }
        Ok(LockSet::new(keyspace, holder, Held::Shards(shards, entered)))
    }

    /// Creates the lock set of the whole keyspace, for a core.
    ///
    /// # Panics
    /// If the gate of another keyspace was closed.
    pub fn whole(keyspace: &'k Keyspace, closed: Closed<'k>, core: usize) -> LockSet<'k> {
        assert!(closed.is_of(&keyspace.gate), "the gate of this keyspace is closed");
        LockSet::new(keyspace, 0, Held::Whole(closed, core))
    }

    fn new(keyspace: &'k Keyspace, holder: Holder, held: Held<'k>) -> LockSet<'k> {
        LockSet {
            keyspace,
            held,
            holder,
            now_ms: 0,
            cut: Cell::new(keyspace.snapshots.cut()),
            access: AccessClock::lru(0),
            touches: true,
            removes_expired: true,
            expired: RefCell::new(Vec::new()),
            garbage: RefCell::new(Vec::new()),
            records: RefCell::new(None),
        }
    }

    /// Returns the buffer in which the caller gathers records of what was done under these locks. There is none until the caller puts one
    /// there. The keyspace does not look into it: the lock set only carries it, so that the records are at hand when the locks are released.
    #[inline]
    pub fn records(&self) -> RefMut<'_, Option<Vec<u8>>> {
        self.records.borrow_mut()
    }

    /// Sets the time, in milliseconds since 1970, and the access clock made from it. The caller reads the time after it has taken the locks.
    pub fn set_clock(&mut self, now_ms: i64, access: AccessClock) {
        self.now_ms = now_ms;
        self.access = access;
    }

    /// Sets whether lookups and changes of keys count as accesses. Otherwise they leave the access clock of a key as it is, and only a new key
    /// gets one.
    #[inline]
    pub fn set_touches(&mut self, touches: bool) {
        self.touches = touches;
    }

    /// Returns the access clock of an entry after a lookup; `old` is the one before.
    #[inline]
    fn touched(&self, old: u32) -> u32 {
        if self.touches { self.access.touched(old) } else { old }
    }

    /// Sets whether lookups remove expired keys and fields, or only hide them. Lookups of a [`Writer`] that change a key always remove.
    pub fn set_removes_expired(&mut self, removes: bool) {
        self.removes_expired = removes;
    }

    /// Returns the time that was set, in milliseconds since 1970.
    pub fn now_ms(&self) -> i64 {
        self.now_ms
    }

    /// Prefetches the entry of a key. Its slots should have been prefetched before ([`Keyspace::prefetch_slot`]). Returns the hash with the
    /// hint at which slot the entry was seen.
    #[inline]
    pub fn prefetch_entry(&self, database: usize, hash: u64) -> u64 {
        let seen = self.with_shard(self.keyspace.shard_of(hash), |shard| {
            shard.database(database)?.table.prefetch_entry(tag_of(hash, self.keyspace.shard_bits))
        });
        seen.map_or(hash, |slot| with_hint(hash, slot))
    }

    /// Prefetches elements of collections, each given by its key and its name. The entries of the keys should have been prefetched before.
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

    /// Begins to prefetch an element. An expired key is not treated differently, since only addresses are read.
    #[inline]
    fn approach(&self, database: usize, key: HashedKey<'_>, element: &[u8]) -> Option<ElementPrefetch<'_>> {
        self.with_shard(self.keyspace.shard_of(key.hash), |shard| {
            let entries = shard.database(database)?;
            let position = entries.find(tag_of(key.hash, self.keyspace.shard_bits), hint_of(key.hash), key.bytes)?;
            // SAFETY: only lookups and writes remove entries or write to them. The only caller does neither until the prefetch is done, and
            // no other thread holds the shard.
            unsafe { entries.entry(position).detached() }.approach(element)
        })
    }

    /// Returns the right to read.
    pub fn reader(&self) -> Reader<'_> {
        Reader { set: self }
    }

    /// Returns the right to read and write.
    pub fn writer(&mut self) -> Writer<'_> {
        Writer { set: self, alone: PhantomData }
    }

    /// Returns the right to visit shard after shard.
    ///
    /// # Panics
    /// If the set is not the whole keyspace.
    pub fn walker(&self) -> Walker<'_> {
        assert!(matches!(self.held, Held::Whole(..)), "the gate is closed");
        Walker::whole(self)
    }

    /// Returns the right to change all keys at once.
    ///
    /// # Panics
    /// If the set is not the whole keyspace.
    pub fn whole_keyspace(&mut self) -> WholeKeyspace<'_> {
        assert!(matches!(self.held, Held::Whole(..)), "the gate is closed");
        WholeKeyspace { set: self, alone: PhantomData }
    }

    /// Returns whether [`LockSet::take_expired`] would return anything.
    #[inline]
    pub fn has_expired(&self) -> bool {
        !self.expired.borrow().is_empty()
    }

    /// Returns what was found expired and was removed since the last call. The caller announces it.
    pub fn take_expired(&self) -> Vec<Expired> {
        self.expired.take()
    }

    /// Frees an entry. A large one is freed by the graveyard's thread, after the locks are released.
    pub fn discard(&self, entry: Entry) {
        if entry.is_heavy() {
            self.bury(entry);
        }
    }

    /// Leaves a large value to the graveyard's thread, which frees it after the locks are released.
    pub(crate) fn bury(&self, value: impl Send + 'static) {
        self.garbage.borrow_mut().push(Box::new(value));
    }

    /// Sets the flags of the clients that watch a key (WATCH), because it changed. Returns whether the key has a waiter.
    #[inline]
    pub fn touch(&self, database: usize, hash: u64, key: &[u8]) -> bool {
        self.with_shard(self.keyspace.shard_of(hash), |shard| shard.touch(database, key))
    }

    /// Runs `visit` on the data of a shard. `visit` must not call this again, neither directly nor through another method of the set.
    ///
    /// # Panics
    /// If the shard is not in the set.
    #[inline(always)]
    fn with_shard<R>(&self, index: usize, visit: impl FnOnce(&mut ShardData) -> R) -> R {
        let shard = &self.keyspace.shards[index];
        // A shard outside of the set would be a data race, so this is asserted in release builds too. It costs little, since the lock lies
        // beside the data.
        assert!(self.holder == 0 || shard.lock.is_held_by(self.holder), "a key outside of the lock set");
        // SAFETY: no other thread reaches the shard: its lock names this holder, or the gate is closed. The reference ends before the next
        // one is made, since `visit` does not call back.
        visit(unsafe { shard.data() })
    }

    /// Returns the core whose set it is.
    #[inline]
    fn core(&self) -> usize {
        match &self.held {
            Held::Shards(_, entered) => entered.core(),
            Held::Whole(_, core) => *core,
        }
    }

    /// Returns the right to change the entries of a database.
    #[inline]
    fn changes(&self, database: usize) -> Changes<'k> {
        let counts = self.keyspace.sizes.of(self.core(), database);
        let access = if self.touches { self.access.changed() } else { None };
        Changes::new(counts, self.cut.get(), &self.keyspace.snapshots, access)
    }

    /// Publishes the earliest deadlines of a shard.
    fn publish_deadlines(&self, shard: usize) {
        let first = self.with_shard(shard, |data| data.first_deadlines());
        self.keyspace.publish_deadlines(shard, first);
    }

    /// Finds a key that has not expired. An expired one is removed if `removes_expired` is true, and hidden otherwise. Writers remove it in
    /// any case, because the new value takes its place.
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

    /// Finds a hash with expired fields, unless all have expired. Either all expired fields are removed or none is, so that the next lookup
    /// does not change a hash that this one has returned.
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
            let changes = &self.changes(database);
            let fields = shard.expire_fields(database, (tag, position), self.now_ms, EXPIRED_FIELDS_MAX, changes);
            self.note_expired_fields(database, hash, fields);
        }
        (!is_empty).then_some(position)
    }

    /// Adds removed fields to what has to be announced.
    fn note_expired_fields(&self, database: usize, hash: u64, fields: ExpiredFields) {
        self.expired.borrow_mut().push(Expired { database, hash, what: ExpiredWhat::Fields(fields) });
    }

    /// Removes an expired key.
    #[cold]
    fn expire(&self, shard: &mut ShardData, database: usize, key: HashedKey<'_>, position: Position) {
        let tag = tag_of(key.hash, self.keyspace.shard_bits);
        let entry = shard.database_mut(database).remove(tag, position, &self.changes(database));
        shard.note_deadline(database);
        shard.touch(database, key.bytes);
        self.expired.borrow_mut().push(Expired { database, hash: key.hash, what: ExpiredWhat::Key(entry) });
    }

    /// Returns the entry of a key. It lives until the set is written to. `touch` says whether the lookup counts as an access.
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
                // SAFETY: the set holds the shard.
                unsafe { entry.touch(self.access.touched(entry.access())) };
            }
            // SAFETY: an entry is removed or written to by a Writer, which borrows the set mutably, or by a lookup, because it or fields of it
            // have expired. While the set is not borrowed mutably the time stands still. So this entry does not expire, and no further fields
            // of it do: its expired ones were removed all at once, or no lookup removes them.
            Some(unsafe { entry.detached() })
        })
    }
}

impl Drop for LockSet<'_> {
    fn drop(&mut self) {
        // The sizes are published before the locks are released.
        match &self.held {
            Held::Shards(shards, entered) => {
                self.keyspace.sizes.publish(entered.core());
                // SAFETY: the set locked them.
                shards.iter().for_each(|&shard| unsafe { unlock_shard(self.keyspace, shard) });
            }
            Held::Whole(..) => self.keyspace.sizes.publish_whole(),
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
