//! Lock sets: the only way to a shard.
//!
//! A command locks the distinct shards of all its keys, in ascending order, before it looks at the first; so it runs as if alone, and no
//! two commands wait for each other in a circle. With the gate closed the set is the whole keyspace, and no lock is needed.
//!
//! Ranks, in which locks are taken: gate < shard < channel < mailbox < journal.

use std::{
    cell::{Cell, RefCell},
    convert::Infallible,
    marker::PhantomData,
    ops::Range,
    sync::{Arc, atomic::AtomicBool},
};

use ochre_datatypes::ValueType;
use smallvec::SmallVec;

use crate::{
    HashedKey, Keyspace,
    access::AccessClock,
    deadlines::Deadlines,
    entry::{Entry, EntryRef, NewValue},
    gate::{Closed, Entered},
    scan::ScanPosition,
    shard::{ShardData, tag_of},
    table::Position,
};

/// The shards of a batch's keys.
pub type ShardList = SmallVec<[u16; 64]>;

/// Sorts the shards and leaves out repeated ones.
#[inline]
fn make_ascending(shards: &mut ShardList, shards_of_keyspace: usize) {
    /// From so many on, going through a set of bits is quicker than sorting.
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

/// A key that was found expired and was removed: its removal is to be made known.
#[derive(Debug)]
pub struct Expired {
    pub database: usize,
    pub hash: u64,
    pub entry: Entry,
}

/// The shards that one command or batch holds.
pub struct LockSet<'k> {
    keyspace: &'k Keyspace,
    held: Held<'k>,
    /// The clock of what runs under these locks, in milliseconds since 1970.
    now_ms: Cell<i64>,
    access: Cell<AccessClock>,
    /// Whether expired keys may be removed; not so while writes are paused, when they are only hidden.
    removes_expired: Cell<bool>,
    expired: RefCell<Vec<Expired>>,
    /// Values whose freeing takes long: freed elsewhere, after the locks are given back.
    garbage: RefCell<Vec<Entry>>,
}

enum Held<'k> {
    /// Locked, in ascending order. The gate cannot close meanwhile.
    Shards(ShardList, Entered<'k>),
    /// None held, one locked at a time while it is looked at: a walk.
    OneAtATime(Entered<'k>),
    /// All, by the gate.
    Whole(#[allow(dead_code)] Closed<'k>),
}

impl<'k> LockSet<'k> {
    /// Locks the shards, which are sorted here and may repeat.
    pub fn lock(keyspace: &'k Keyspace, entered: Entered<'k>, mut shards: ShardList) -> LockSet<'k> {
        make_ascending(&mut shards, keyspace.shards.len());
        for &shard in &shards {
            keyspace.shards[shard as usize].lock();
        }
        LockSet::new(keyspace, Held::Shards(shards, entered))
    }

    /// A set for a walk, which locks one shard at a time.
    pub fn walking(keyspace: &'k Keyspace, entered: Entered<'k>) -> LockSet<'k> {
        LockSet::new(keyspace, Held::OneAtATime(entered))
    }

    /// The whole keyspace, with the gate closed.
    pub fn whole(keyspace: &'k Keyspace, closed: Closed<'k>) -> LockSet<'k> {
        LockSet::new(keyspace, Held::Whole(closed))
    }

    fn new(keyspace: &'k Keyspace, held: Held<'k>) -> LockSet<'k> {
        LockSet {
            keyspace,
            held,
            now_ms: Cell::new(0),
            access: Cell::new(AccessClock::lru(0)),
            removes_expired: Cell::new(true),
            expired: RefCell::new(Vec::new()),
            garbage: RefCell::new(Vec::new()),
        }
    }

    /// Sets the clock, which is read after the locks are taken.
    pub fn set_clock(&self, now_ms: i64, access: AccessClock) {
        self.now_ms.set(now_ms);
        self.access.set(access);
    }

    /// Whether keys that are found expired are removed, or hidden only.
    pub fn set_removes_expired(&self, removes: bool) {
        self.removes_expired.set(removes);
    }

    pub fn now_ms(&self) -> i64 {
        self.now_ms.get()
    }

    /// Asks the processor for the entry of a key, whose slots were asked for before.
    #[inline]
    pub fn prefetch_entry(&self, database: usize, hash: u64) {
        self.with_shard(self.keyspace.shard_of(hash), |shard| {
            if let Some(database) = shard.database(database) {
                database.table.prefetch_entry(tag_of(hash, self.keyspace.shard_bits));
            }
        });
    }

    /// The right to read.
    pub fn reader(&self) -> Reader<'_> {
        Reader { set: self }
    }

    /// The right to read and write.
    pub fn writer(&mut self) -> Writer<'_> {
        Writer { set: self, alone: PhantomData }
    }

    /// The right to visit shard after shard.
    pub fn walker(&self) -> Walker<'_> {
        Walker { set: self }
    }

    /// The right to everything at once. The gate is closed.
    pub fn whole_keyspace(&mut self) -> WholeKeyspace<'_> {
        assert!(matches!(self.held, Held::Whole(_)), "the gate is closed");
        WholeKeyspace { set: self, alone: PhantomData }
    }

    /// Whether the gate is closed for this set.
    pub fn is_whole(&self) -> bool {
        matches!(self.held, Held::Whole(_))
    }

    /// The keys that were found expired since the last call.
    #[inline]
    pub fn take_expired(&self) -> Vec<Expired> {
        if self.expired.borrow().is_empty() { Vec::new() } else { self.expired.take() }
    }

    /// Frees an entry, here or where it holds nobody up.
    pub fn discard(&self, entry: Entry) {
        if entry.is_heavy() {
            self.garbage.borrow_mut().push(entry);
        }
    }

    /// Tells those who watch the key that it changed.
    #[inline]
    pub fn touch_watchers(&self, database: usize, hash: u64, key: &[u8]) {
        self.with_shard(self.keyspace.shard_of(hash), |shard| shard.touch_watchers(database, key));
    }

    /// Runs `visit` on a shard of the set. `visit` must not call back into the set, and what it returns may borrow entries' blocks
    /// but not the shard.
    #[inline]
    fn with_shard<R>(&self, index: usize, visit: impl FnOnce(&mut ShardData) -> R) -> R {
        let shard = &self.keyspace.shards[index];
        match &self.held {
            Held::Shards(shards, _) => {
                debug_assert!(shards.binary_search(&(index as u16)).is_ok(), "a key outside the lock set");
                // SAFETY: the shard is locked by this set, whose methods make one reference at a time.
                visit(unsafe { shard.data() })
            }
            Held::OneAtATime(_) => {
                shard.lock();
                // SAFETY: it was locked above.
                let result = visit(unsafe { shard.data() });
                // SAFETY: as above.
                unsafe { shard.unlock() };
                result
            }
            // SAFETY: with the gate closed nobody else is at the shards, and this set's methods make one reference at a time.
            Held::Whole(_) => visit(unsafe { shard.data() }),
        }
    }

    /// Counts keys that were added to a database, or removed where the number is negative.
    #[inline]
    fn count(&self, database: usize, keys: i64) {
        let core = match &self.held {
            Held::Shards(_, entered) | Held::OneAtATime(entered) => entered.core(),
            // Alone with the gate closed, one may write any core's counts.
            Held::Whole(_) => 0,
        };
        self.keyspace.sizes.add(core, database, keys);
    }

    fn publish_deadline(&self, shard: usize) {
        let first_ms = self.with_shard(shard, |data| data.first_deadline_ms());
        self.keyspace.deadline_changed(shard, first_ms);
    }

    /// Finds a key that is alive, removing it where its time has come.
    #[inline]
    fn find(&self, shard: &mut ShardData, database: usize, key: HashedKey<'_>) -> Option<Position> {
        let tag = tag_of(key.hash, self.keyspace.shard_bits);
        let position = shard.database(database)?.find(tag, key.bytes)?;
        if !shard.database(database)?.entry(position).is_expired(self.now_ms.get()) {
            return Some(position);
        }
        if self.removes_expired.get() {
            let entry = shard.database_mut(database).remove(tag, position);
            self.count(database, -1);
            shard.touch_watchers(database, key.bytes);
            self.expired.borrow_mut().push(Expired { database, hash: key.hash, entry });
        }
        None
    }

    /// The entry of a key, which lives as long as the set is not written to.
    #[inline]
    fn lookup(&self, database: usize, key: HashedKey<'_>, touch: bool) -> Option<EntryRef<'_>> {
        self.with_shard(self.keyspace.shard_of(key.hash), |shard| {
            let position = self.find(shard, database, key)?;
            let entry = shard.database(database)?.entry(position);
            if touch {
                // SAFETY: the shard is locked.
                unsafe { entry.touch(self.access.get().touched(entry.access())) };
            }
            // SAFETY: an entry is removed or written to by a Writer only, or because it has expired, which this one has not by the
            // clock that stands still for the set; a Writer borrows the set mutably.
            Some(unsafe { entry.detached() })
        })
    }
}

impl Drop for LockSet<'_> {
    fn drop(&mut self) {
        if let Held::Shards(shards, _) = &self.held {
            for &shard in shards {
                let shard = &self.keyspace.shards[shard as usize];
                // SAFETY: this set locked it.
                unsafe { shard.unlock() };
            }
        }
        let garbage = self.garbage.get_mut();
        if !garbage.is_empty() {
            self.keyspace.graveyard.bury(std::mem::take(garbage));
        }
    }
}

/// The right to read the keys of a lock set.
#[derive(Clone, Copy)]
pub struct Reader<'a> {
    set: &'a LockSet<'a>,
}

impl<'a> Reader<'a> {
    /// The set that it is a right to.
    pub fn lock_set(&self) -> Option<&LockSet<'a>> {
        Some(self.set)
    }

    /// The entry of a key; counts as an access.
    #[inline]
    pub fn get(&self, database: usize, key: HashedKey<'_>) -> Option<EntryRef<'a>> {
        self.set.lookup(database, key, true)
    }

    /// The entry of a key, without counting as an access.
    #[inline]
    pub fn peek(&self, database: usize, key: HashedKey<'_>) -> Option<EntryRef<'a>> {
        self.set.lookup(database, key, false)
    }

    /// From now on `flag` is set when the key changes.
    pub fn watch(&self, database: usize, key: HashedKey<'_>, flag: &Arc<AtomicBool>) {
        self.set.with_shard(self.set.keyspace.shard_of(key.hash), |shard| {
            let flags = shard.watchers.get_or_insert_default().entry((database, key.bytes.into())).or_default();
            flags.push(flag.clone());
        });
    }

    /// Ends what `watch` began.
    pub fn unwatch(&self, database: usize, key: HashedKey<'_>, flag: &Arc<AtomicBool>) {
        self.set.with_shard(self.set.keyspace.shard_of(key.hash), |shard| {
            let Some(watchers) = &mut shard.watchers else { return };
            let name = (database, key.bytes.into());
            if let Some(flags) = watchers.get_mut(&name) {
                flags.retain(|other| !Arc::ptr_eq(other, flag));
                if flags.is_empty() {
                    watchers.remove(&name);
                }
            }
            if watchers.is_empty() {
                shard.watchers = None;
            }
        });
    }
}

/// Whether a write keeps a key's expiry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpiryChange {
    Keep,
    Clear,
    /// Milliseconds since 1970.
    At(i64),
}

/// The right to read and write the keys of a lock set.
pub struct Writer<'a> {
    set: &'a LockSet<'a>,
    /// The set is borrowed mutably, so that no entry that was read is still looked at.
    alone: PhantomData<&'a mut ()>,
}

impl<'a> Writer<'a> {
    /// The set that it is a right to.
    pub fn lock_set(&self) -> Option<&LockSet<'a>> {
        Some(self.set)
    }

    /// The entry of a key; counts as an access.
    #[inline]
    pub fn get(&self, database: usize, key: HashedKey<'_>) -> Option<EntryRef<'_>> {
        self.set.lookup(database, key, true)
    }

    /// The entry of a key, without counting as an access.
    #[inline]
    pub fn peek(&self, database: usize, key: HashedKey<'_>) -> Option<EntryRef<'_>> {
        self.set.lookup(database, key, false)
    }

    /// The same rights for a shorter time.
    pub fn as_reader(&self) -> Reader<'_> {
        self.set.reader()
    }

    /// Sets a key to a string, made if it is not there. Returns the type of what was there.
    #[inline]
    pub fn set(
        &mut self,
        database: usize,
        key: HashedKey<'_>,
        value: NewValue<'_>,
        expiry: ExpiryChange,
    ) -> Option<ValueType> {
        match self.replace(database, key, |_| Ok::<_, Infallible>((value, expiry))) {
            Ok(before) => before,
        }
    }

    /// Sets a key to the string that `decide` makes of what is there, or leaves all as it is where that refuses. Returns the type of
    /// what was there.
    #[inline]
    pub fn replace<'v, E>(
        &mut self,
        database: usize,
        key: HashedKey<'_>,
        decide: impl FnOnce(Option<EntryRef<'_>>) -> Result<(NewValue<'v>, ExpiryChange), E>,
    ) -> Result<Option<ValueType>, E> {
        self.at(key, |set, shard, tag| {
            let initial = set.access.get();
            match set.find(shard, database, key) {
                Some(position) => {
                    let database = shard.database_mut(database);
                    let before = database.entry(position);
                    let value_type = before.value_type();
                    let (value, expiry) = decide(Some(before))?;
                    database.update(tag, position, |entry| {
                        let before = entry.view();
                        let expiry_ms = match expiry {
                            ExpiryChange::Keep => before.expiry_ms(),
                            ExpiryChange::Clear => None,
                            ExpiryChange::At(at_ms) => Some(at_ms),
                        };
                        let access = initial.touched(before.access());
                        if entry.is_heavy() {
                            let new = Entry::new(before.key(), value, expiry_ms, access);
                            set.discard(std::mem::replace(entry, new));
                        } else {
                            entry.set(value, expiry_ms);
                            // SAFETY: the shard is locked.
                            unsafe { entry.view().touch(access) };
                        }
                    });
                    Ok(Some(value_type))
                }
                None => {
                    let (value, expiry) = decide(None)?;
                    let expiry_ms = if let ExpiryChange::At(at_ms) = expiry { Some(at_ms) } else { None };
                    let entry = Entry::new(key.bytes, value, expiry_ms, initial.initial());
                    shard.database_mut(database).insert(tag, entry);
                    set.count(database, 1);
                    Ok(None)
                }
            }
        })
    }

    /// Changes the bytes of a string that is there, as APPEND does.
    pub fn modify<R>(
        &mut self,
        database: usize,
        key: HashedKey<'_>,
        change: impl FnOnce(&mut Vec<u8>) -> R,
    ) -> Option<R> {
        self.at(key, |set, shard, tag| {
            let position = set.find(shard, database, key)?;
            Some(shard.database_mut(database).update(tag, position, |entry| entry.modify(change)))
        })
    }

    /// Puts an entry in place of the key's own, if any; the entry's key is the key. Returns the type of what was there.
    pub fn put(&mut self, database: usize, key: HashedKey<'_>, entry: Entry) -> Option<ValueType> {
        debug_assert_eq!(entry.view().key(), key.bytes);
        let before = self.take(database, key).map(|before| {
            let value_type = before.view().value_type();
            self.set.discard(before);
            value_type
        });
        self.at(key, |_, shard, tag| shard.database_mut(database).insert(tag, entry));
        self.set.count(database, 1);
        before
    }

    /// Takes an entry out.
    pub fn take(&mut self, database: usize, key: HashedKey<'_>) -> Option<Entry> {
        self.at(key, |set, shard, tag| {
            let position = set.find(shard, database, key)?;
            set.count(database, -1);
            Some(shard.database_mut(database).remove(tag, position))
        })
    }

    /// Removes a key. Returns whether it was there.
    pub fn remove(&mut self, database: usize, key: HashedKey<'_>) -> bool {
        match self.take(database, key) {
            Some(entry) => {
                self.set.discard(entry);
                true
            }
            None => false,
        }
    }

    /// Sets or takes away a key's expiry. Returns whether the key was there.
    pub fn set_expiry(&mut self, database: usize, key: HashedKey<'_>, expiry_ms: Option<i64>) -> bool {
        self.at(key, |set, shard, tag| {
            let Some(position) = set.find(shard, database, key) else { return false };
            shard.database_mut(database).update(tag, position, |entry| entry.set_expiry(expiry_ms));
            true
        })
    }

    /// Removes the key whose deadline is the earliest of the shard, where it is due; whether there was one. It is then among the
    /// expired of the set.
    pub fn expire_one(&mut self, shard: usize) -> bool {
        let set = self.set;
        let removed = set.with_shard(shard, |data| {
            let now_ms = set.now_ms.get();
            let due = data.databases().find_map(|(index, database)| {
                let (deadline_ms, tag) = database.deadlines.first_due(now_ms)?;
                Some((index, deadline_ms, tag))
            });
            let (index, deadline_ms, tag) = due?;
            let database = data.database_mut(index);
            let position = database.table.find_deadline(tag, |entry| {
                entry
                    .expiry_ms()
                    .is_some_and(|expiry_ms| Deadlines::stands_for(deadline_ms, expiry_ms) && entry.is_expired(now_ms))
            })?;
            let entry = database.remove(tag, position);
            set.count(index, -1);
            data.touch_watchers(index, entry.view().key());
            Some((index, entry))
        });
        if let Some((database, entry)) = removed {
            let hash = set.keyspace.hash(entry.view().key()).hash;
            set.expired.borrow_mut().push(Expired { database, hash, entry });
            set.publish_deadline(shard);
            return true;
        }
        set.publish_deadline(shard);
        false
    }

    /// Runs `change` on a key's shard, and makes an earlier deadline known.
    #[inline]
    fn at<R>(&mut self, key: HashedKey<'_>, change: impl FnOnce(&LockSet<'_>, &mut ShardData, u32) -> R) -> R {
        let set = self.set;
        let index = set.keyspace.shard_of(key.hash);
        let tag = tag_of(key.hash, set.keyspace.shard_bits);
        set.with_shard(index, |shard| {
            let result = change(set, shard, tag);
            set.keyspace.deadline_changed(index, shard.first_deadline_ms());
            result
        })
    }
}

/// The right to visit shard after shard, each locked while it is looked at.
#[derive(Clone, Copy)]
pub struct Walker<'a> {
    set: &'a LockSet<'a>,
}

impl<'a> Walker<'a> {
    /// The set that it is a right to.
    pub fn lock_set(&self) -> Option<&LockSet<'a>> {
        Some(self.set)
    }

    pub fn now_ms(&self) -> i64 {
        self.set.now_ms.get()
    }

    /// Visits the entries of a database that are alive, in the order of their hashes, from a position on. `visit` is asked after each
    /// whether it goes on to the next hash. Returns where to go on; `None` at the end.
    ///
    /// At most one shard is looked at where it is not empty; so a walk can stop between any two.
    pub fn visit(
        &self,
        database: usize,
        from: ScanPosition,
        visit: &mut dyn FnMut(EntryRef<'_>),
        enough: &mut dyn FnMut() -> bool,
    ) -> Option<ScanPosition> {
        let now_ms = self.now_ms();
        let bits = self.set.keyspace.shard_bits;
        let (shard, tag) = from.shard_and_tag(bits);
        let next_tag = self.set.with_shard(shard, |data| {
            let database = data.database(database)?;
            let visit = |entry: EntryRef<'_>| {
                if !entry.is_expired(now_ms) {
                    visit(entry);
                }
            };
            database.table.visit_from(tag, visit, enough)
        });
        match next_tag {
            Some(tag) => Some(ScanPosition::new(shard, tag)),
            None if shard + 1 < self.set.keyspace.shards.len() => Some(ScanPosition::new(shard + 1, 0)),
            None => None,
        }
    }

    /// How many keys a database holds, expired ones that nobody has removed yet among them.
    pub fn key_count(&self, database: usize) -> usize {
        self.set.keyspace.sizes.get(database).unwrap_or_else(|| self.database_size(database).keys)
    }

    /// What a database holds.
    pub fn database_size(&self, database: usize) -> DatabaseSize {
        self.database_sizes(database..database + 1).pop().unwrap_or_default()
    }

    /// What each of some databases holds.
    pub fn database_sizes(&self, databases: Range<usize>) -> Vec<DatabaseSize> {
        let mut sizes = vec![DatabaseSize::default(); databases.len()];
        for shard in 0..self.set.keyspace.shards.len() {
            self.set.with_shard(shard, |data| {
                for (size, index) in sizes.iter_mut().zip(databases.clone()) {
                    let Some(database) = data.database(index) else { continue };
                    size.keys += database.table.len();
                    size.expires += database.deadlines.len();
                    size.slots += database.table.slots_len();
                    size.expiry_sum_ms += database.deadlines.sum_ms();
                }
            });
        }
        sizes
    }

    /// A key of a database, each about as likely as any other; `random` draws 64 bits.
    pub fn random_key(&self, database: usize, mut random: impl FnMut() -> u64) -> Option<Vec<u8>> {
        let shards = self.set.keyspace.shards.len();
        let now_ms = self.now_ms();
        // A random slot of a random shard: fair, but a miss where it is empty. Small databases have mostly empty shards.
        for _ in 0..4 * shards {
            let shard = (random() % shards as u64) as usize;
            let slot = random();
            let found = self.set.with_shard(shard, |data| {
                let entry = data.database(database)?.table.at_random(slot)?;
                (!entry.is_expired(now_ms)).then(|| entry.key().to_vec())
            });
            if found.is_some() {
                return found;
            }
        }
        // All but empty: look at everything once, from a random place.
        let start = (random() % shards as u64) as usize;
        (0..shards).find_map(|i| {
            let mut found = None;
            self.set.with_shard((start + i) % shards, |data| {
                if let Some(database) = data.database(database) {
                    let mut visit = |entry: EntryRef<'_>| {
                        if found.is_none() && !entry.is_expired(now_ms) {
                            found = Some(entry.key().to_vec());
                        }
                    };
                    database.table.visit_from(0, &mut visit, || false);
                }
            });
            found
        })
    }
}

/// What a database holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DatabaseSize {
    pub keys: usize,
    pub expires: usize,
    pub slots: usize,
    /// About the sum of the deadlines, in milliseconds since 1970.
    pub expiry_sum_ms: i128,
}

/// The right to everything, with the gate closed.
pub struct WholeKeyspace<'a> {
    set: &'a LockSet<'a>,
    alone: PhantomData<&'a mut ()>,
}

impl<'a> WholeKeyspace<'a> {
    /// The set that it is a right to.
    pub fn lock_set(&self) -> Option<&LockSet<'a>> {
        Some(self.set)
    }

    /// The right to single keys.
    pub fn writer(&mut self) -> Writer<'_> {
        Writer { set: self.set, alone: PhantomData }
    }

    /// The right to visit everything.
    pub fn walker(&self) -> Walker<'_> {
        self.set.walker()
    }

    /// Takes all keys of a database away; how many there were. Freeing them is the graveyard's work.
    pub fn flush(&mut self, database: usize) -> usize {
        let mut removed = Vec::new();
        let mut keys = 0;
        for index in 0..self.set.keyspace.shards.len() {
            self.set.with_shard(index, |shard| {
                let taken = shard.take_database(database);
                if taken.table.len() > 0 {
                    shard.touch_existing_watchers(database, &taken, self.set.keyspace);
                    keys += taken.table.len();
                    removed.push(taken);
                }
            });
            self.set.publish_deadline(index);
        }
        self.set.count(database, -(keys as i64));
        self.set.keyspace.graveyard.bury(removed);
        keys
    }

    /// Swaps two databases.
    pub fn swap(&mut self, a: usize, b: usize) {
        for index in 0..self.set.keyspace.shards.len() {
            self.set.with_shard(index, |shard| {
                let keyspace = self.set.keyspace;
                for database in [a, b] {
                    for other in [a, b] {
                        let taken = shard.take_database(other);
                        shard.touch_existing_watchers(database, &taken, keyspace);
                        if taken.table.len() > 0 {
                            *shard.database_mut(other) = taken;
                        }
                    }
                }
                shard.swap_databases(a, b);
            });
        }
        let sizes = &self.set.keyspace.sizes;
        let more = sizes.get(b).unwrap_or(0) as i64 - sizes.get(a).unwrap_or(0) as i64;
        self.set.count(a, more);
        self.set.count(b, -more);
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
