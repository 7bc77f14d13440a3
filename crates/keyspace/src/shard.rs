//! A shard: the keys of all databases whose hashes begin with the same bits, behind one lock.

use std::{
    cell::UnsafeCell,
    collections::{BTreeSet, HashMap},
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicPtr, AtomicU32, Ordering},
    },
};

use ochre_datatypes::{deadlines::Deadlines, hash::Hash, prefetch};

use crate::{
    Keyspace,
    changes::Changes,
    entry::{Entry, EntryRef},
    hint_of,
    segment::{self, TAG_BITS},
    sync::ShardLock,
    table::{Position, Table},
    waiters::Waiters,
};

/// The part of a database that lies in one shard: its entries, and their deadlines.
#[derive(Default)]
pub struct Database {
    pub(crate) table: Table,
    /// The expiries of keys.
    pub(crate) deadlines: Deadlines,
    /// For each hash with fields that expire, the earliest expiry of a field. Created when it is first used.
    pub(crate) field_deadlines: Option<Box<Deadlines>>,
}

/// A deadline that has passed, in milliseconds since 1970, and the tag of its entry.
pub(crate) enum Due {
    /// A key has expired.
    Key(i64, u32),
    /// A field of a hash has expired.
    Field(i64, u32),
}

/// A lock and the data that it guards, on two cache lines of their own. The lock and the table of the first database share the first line.
#[repr(C, align(128))]
pub(crate) struct Shard {
    /// Guards `data`.
    pub(crate) lock: ShardLock,
    hint: SlotsHint,
    data: UnsafeCell<ShardData>,
}

/// The address of the slots of the first database's table, as it was when the shard was last unlocked. It is read without the lock, to
/// prefetch a slot while requests are still being parsed. It may be stale, so it is never dereferenced; a stale one costs a useless prefetch.
#[derive(Default)]
struct SlotsHint {
    slots: AtomicPtr<u8>,
    /// The number of homes among the slots.
    homes: AtomicU32,
}

// SAFETY: `data` is only reached by a caller that holds the lock or has the gate closed (see `Shard::data`). All else is atomic.
unsafe impl Sync for Shard {}
// SAFETY: everything that a shard owns may be sent to another thread.
unsafe impl Send for Shard {}

/// What the lock of a shard guards.
pub(crate) struct ShardData {
    first: Database,
    /// The databases from 1 on, once one of them was used. The box keeps a shard on two cache lines.
    others: Option<Box<Others>>,
    /// None while no key of the shard is watched or waited for.
    pub(crate) observers: Option<Box<Observers>>,
}

/// The databases from 1 on. Each is created when it is first used, so that a server with thousands of databases is no larger for it.
#[derive(Default)]
struct Others {
    databases: HashMap<usize, Box<Other>, foldhash::fast::RandomState>,
    /// The earliest deadline of each database that has one, with the index of the database. So no write looks at all databases.
    deadlines: BTreeSet<(i64, usize)>,
    /// The earliest deadline of a key, likewise.
    key_deadlines: BTreeSet<(i64, usize)>,
}

/// A database, and its deadlines in [`Others`].
#[derive(Default)]
struct Other {
    entries: Database,
    noted: FirstDeadlines,
}

/// The earliest deadlines of a database or of a shard, in milliseconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct FirstDeadlines {
    /// Of a key or a field.
    pub(crate) any_ms: Option<i64>,
    /// Of a key.
    pub(crate) key_ms: Option<i64>,
}

/// The clients that are told when a key changes.
#[derive(Default)]
pub(crate) struct Observers {
    /// WATCH.
    pub(crate) watchers: Watchers,
    /// Blocked clients.
    pub(crate) waiters: Waiters,
}

/// The flags of the clients that watch a key, by database and key.
pub(crate) type Watchers = HashMap<(usize, Box<[u8]>), Flags, foldhash::fast::RandomState>;

/// The flags of the clients that watch one key. They are set when the key changes.
#[derive(Default)]
pub(crate) struct Flags {
    /// In the order of their addresses.
    flags: Vec<Arc<AtomicBool>>,
}

#[cfg(not(loom))]
const _: () = assert!(size_of::<Shard>() == 128, "a shard takes two cache lines");

impl Shard {
    pub(crate) fn new() -> Shard {
        let data = ShardData { first: Database::default(), others: None, observers: None };
        Shard { lock: ShardLock::new(), hint: SlotsHint::default(), data: UnsafeCell::new(data) }
    }

    /// Unlocks the shard. Returns whether tasks are parked on the lock, which the caller then wakes.
    ///
    /// # Safety
    /// The caller holds the lock.
    #[inline]
    pub(crate) unsafe fn unlock(&self) -> bool {
        // SAFETY: by the caller's promise, the lock keeps others away from the data.
        let (slots, homes) = unsafe { self.data() }.first.table.slots();
        if self.hint.slots.load(Ordering::Relaxed).cast_const() != slots {
            self.hint.slots.store(slots.cast_mut(), Ordering::Relaxed);
            self.hint.homes.store(homes, Ordering::Relaxed);
        }
        // SAFETY: by the caller's promise.
        unsafe { self.lock.unlock() }
    }

    /// Returns the data that the lock guards.
    ///
    /// # Safety
    /// The caller holds the lock or has the gate closed, and drops the reference before it calls this again.
    #[inline]
    #[allow(clippy::mut_from_ref)]
    pub(crate) unsafe fn data(&self) -> &mut ShardData {
        // SAFETY: by the caller's promise.
        unsafe { &mut *self.data.get() }
    }

    /// Prefetches the lock and the table of the first database.
    #[inline]
    pub(crate) fn prefetch(&self) {
        prefetch::read(self as *const Shard);
    }

    /// Prefetches the slots in which an entry with this tag probably is. No lock is needed.
    #[inline]
    pub(crate) fn prefetch_slot(&self, tag: u32) {
        let slots = self.hint.slots.load(Ordering::Relaxed);
        let home = segment::address_of_home(slots, self.hint.homes.load(Ordering::Relaxed), tag);
        prefetch::read(home);
        // A search looks at three to five slots, which may lie on two cache lines.
        prefetch::read(home.wrapping_add(4 * segment::SLOT_BYTES));
    }
}

/// Returns the tag of a hash: the bits behind those that choose the shard.
#[inline]
pub(crate) fn tag_of(hash: u64, shard_bits: u32) -> u32 {
    ((hash << shard_bits) >> (64 - TAG_BITS)) as u32
}

impl ShardData {
    /// Returns a database, if it was used.
    #[inline]
    pub(crate) fn database(&self, index: usize) -> Option<&Database> {
        if index == 0 { Some(&self.first) } else { Some(&self.others.as_ref()?.databases.get(&index)?.entries) }
    }

    /// Returns the databases that were used, from an index on, in the order of their indexes.
    pub(crate) fn databases_from(&self, index: usize) -> impl Iterator<Item = (usize, &Database)> {
        let others = self.others.iter().flat_map(|others| &others.databases);
        let mut others: Vec<_> = others.map(|(&index, other)| (index, &other.entries)).collect();
        others.sort_unstable_by_key(|&(index, _)| index);
        std::iter::once((0, &self.first)).chain(others).filter(move |&(at, _)| at >= index)
    }

    /// Returns a database, created if needed. The caller calls [`ShardData::note_deadline`] after it has changed it.
    #[inline]
    pub(crate) fn database_mut(&mut self, index: usize) -> &mut Database {
        if index == 0 {
            return &mut self.first;
        }
        &mut self.others.get_or_insert_default().databases.entry(index).or_default().entries
    }

    /// Takes the contents of a database out.
    pub(crate) fn take_database(&mut self, index: usize) -> Database {
        if index == 0 {
            return std::mem::take(&mut self.first);
        }
        let Some(others) = &mut self.others else { return Database::default() };
        let Some(other) = others.databases.remove(&index) else { return Database::default() };
        note(&mut others.deadlines, index, other.noted.any_ms, None);
        note(&mut others.key_deadlines, index, other.noted.key_ms, None);
        if others.databases.is_empty() {
            self.others = None;
        }
        other.entries
    }

    /// Takes the contents of all these databases out that have keys. The time that it takes depends on the databases that were used.
    pub(crate) fn take_databases(&mut self, indexes: Range<usize>) -> HashMap<usize, Database> {
        let used = self.others.iter().flat_map(|others| others.databases.keys().copied());
        let used: Vec<usize> = match indexes.len() {
            1 => vec![indexes.start],
            _ => std::iter::once(0).chain(used).filter(|index| indexes.contains(index)).collect(),
        };
        let taken = used.into_iter().map(|index| (index, self.take_database(index)));
        taken.filter(|(_, database)| database.table.len() > 0).collect()
    }

    /// Puts the contents of a database in the place of an empty one.
    pub(crate) fn put_database(&mut self, index: usize, contents: Database) {
        if contents.table.len() > 0 {
            *self.database_mut(index) = contents;
            self.note_deadline(index);
        }
    }

    /// Notes the earliest deadline of a database that was changed.
    #[inline]
    pub(crate) fn note_deadline(&mut self, index: usize) {
        if index != 0
            && let Some(others) = &mut self.others
        {
            others.note_deadline(index);
        }
    }

    /// Returns the earliest deadlines of all databases.
    #[inline]
    pub(crate) fn first_deadlines(&self) -> FirstDeadlines {
        let first = self.first.first_deadlines();
        let Some(others) = &self.others else { return first };
        let earlier = |first: Option<i64>, others: &BTreeSet<(i64, usize)>| {
            first.into_iter().chain(others.first().map(|&(at_ms, _)| at_ms)).min()
        };
        FirstDeadlines {
            any_ms: earlier(first.any_ms, &others.deadlines),
            key_ms: earlier(first.key_ms, &others.key_deadlines),
        }
    }

    /// Returns a deadline that has passed, with its database, if there is one.
    pub(crate) fn first_due(&self, now_ms: i64) -> Option<(usize, Due)> {
        if let Some(due) = self.first.first_due(now_ms) {
            return Some((0, due));
        }
        // If the earliest deadline has not passed, none has.
        let &(_, index) = self.others.as_ref()?.deadlines.first()?;
        Some((index, self.database(index)?.first_due(now_ms)?))
    }

    /// Sets the flags of the clients that watch a key. Returns whether the key has a waiter.
    #[inline]
    pub(crate) fn touch(&self, database: usize, key: &[u8]) -> bool {
        match &self.observers {
            None => false,
            Some(observers) => observers.touch(database, key),
        }
    }

    /// Returns the observers, created if needed.
    pub(crate) fn observers_mut(&mut self) -> &mut Observers {
        self.observers.get_or_insert_default()
    }

    /// Frees the observers if there are none left.
    pub(crate) fn drop_empty_observers(&mut self) {
        if self.observers.as_ref().is_some_and(|it| it.watchers.is_empty() && it.waiters.is_empty()) {
            self.observers = None;
        }
    }
}

impl Others {
    fn note_deadline(&mut self, index: usize) {
        let Some(other) = self.databases.get_mut(&index) else { return };
        let first = other.entries.first_deadlines();
        note(&mut self.deadlines, index, other.noted.any_ms, first.any_ms);
        note(&mut self.key_deadlines, index, other.noted.key_ms, first.key_ms);
        other.noted = first;
    }
}

/// Puts a database's earliest deadline in the place of the one that was noted before.
fn note(deadlines: &mut BTreeSet<(i64, usize)>, index: usize, before_ms: Option<i64>, after_ms: Option<i64>) {
    if before_ms == after_ms {
        return;
    }
    if let Some(before_ms) = before_ms {
        deadlines.remove(&(before_ms, index));
    }
    if let Some(after_ms) = after_ms {
        deadlines.insert((after_ms, index));
    }
}

impl ShardData {
    /// Sets the flags of the clients that watch a key which one of the databases `contents_of` has; it is given the database of the watch.
    /// FLUSHALL and SWAPDB call this with the old and the new contents. (Redis: `touchAllWatchedKeysInDb`)
    pub(crate) fn touch_existing_watchers<'d>(
        &self,
        keyspace: &Keyspace,
        contents_of: impl Fn(usize) -> [Option<&'d Database>; 2],
    ) {
        let Some(observers) = &self.observers else { return };
        for ((database, key), flags) in &observers.watchers {
            let hash = keyspace.hash(key).hash;
            let has =
                |contents: &Database| contents.find(tag_of(hash, keyspace.shard_bits), hint_of(hash), key).is_some();
            if contents_of(*database).into_iter().flatten().any(has) {
                flags.set();
            }
        }
    }
}

impl Flags {
    /// Adds a flag. Returns false if it is there already.
    pub(crate) fn add(&mut self, flag: &Arc<AtomicBool>) -> bool {
        let place = self.place(flag);
        place.is_err_and(|index| {
            self.flags.insert(index, flag.clone());
            true
        })
    }

    /// Removes a flag, if it is there. Returns whether no flag is left.
    pub(crate) fn remove(&mut self, flag: &Arc<AtomicBool>) -> bool {
        if let Ok(index) = self.place(flag) {
            self.flags.remove(index);
        }
        self.flags.is_empty()
    }

    fn place(&self, flag: &Arc<AtomicBool>) -> Result<usize, usize> {
        self.flags.binary_search_by_key(&Arc::as_ptr(flag), Arc::as_ptr)
    }

    fn set(&self) {
        self.flags.iter().for_each(|flag| flag.store(true, Ordering::Release));
    }
}

impl Observers {
    fn touch(&self, database: usize, key: &[u8]) -> bool {
        if !self.watchers.is_empty()
            && let Some(flags) = self.watchers.get(&(database, key.into()))
        {
            flags.set();
        }
        !self.waiters.is_empty() && self.waiters.queue(database, key).is_some()
    }
}

impl ShardData {
    /// Removes the expired fields of a hash, at most `max`, and tells the watchers. If all fields have expired, the key is removed instead.
    pub(crate) fn expire_fields(
        &mut self,
        database: usize,
        (tag, position): (u32, Position),
        now_ms: i64,
        max: usize,
        changes: &Changes<'_>,
    ) -> ExpiredFields {
        let entries = self.database_mut(database);
        let entry = entries.entry(position);
        let key: Box<[u8]> = entry.key().into();
        let hash = entry.hash_at(now_ms);
        let expired = if hash.is_empty() {
            let count = hash.at(i64::MIN).len();
            ExpiredFields { key, names: vec![], count, emptied: Some(entries.remove(tag, position, changes)) }
        } else {
            let mut names = Vec::new();
            let remove = |hash: &mut Hash| hash.expire(now_ms, max, |name| names.push(name.into()));
            let (count, goes) = entries.update(tag, position, changes, |entry| entry.edit(remove));
            assert!(!goes, "a field is left that has not expired");
            ExpiredFields { key, names, count, emptied: None }
        };
        self.note_deadline(database);
        self.touch(database, &expired.key);
        expired
    }
}

/// Expired fields of a hash that were removed.
#[derive(Debug)]
pub struct ExpiredFields {
    /// The key of the hash.
    pub key: Box<[u8]>,
    /// The names of the fields; empty if the key was removed.
    pub names: Vec<Box<[u8]>>,
    /// The number of fields.
    pub count: usize,
    /// The entry of the key, if it was removed because all fields had expired.
    pub emptied: Option<Entry>,
}

impl Database {
    /// Returns the position of a key's entry, expired or not.
    #[inline(always)]
    pub(crate) fn find(&self, tag: u32, hint: usize, key: &[u8]) -> Option<Position> {
        self.table.find(tag, hint, key)
    }

    /// Returns the entry at a position.
    #[inline(always)]
    pub(crate) fn entry(&self, position: Position) -> EntryRef<'_> {
        self.table.entry(position)
    }

    /// Adds an entry, whose key must not be there yet, with its deadlines.
    pub(crate) fn insert(&mut self, tag: u32, entry: Entry, changes: &Changes<'_>) {
        changes.counts.add_keys(1);
        self.move_deadline(tag, None, entry.view().expiry_ms(), changes);
        self.move_field_deadline(tag, None, entry.view().first_field_expiry_ms(), changes);
        // SAFETY: the entry is not in a table yet.
        unsafe { entry.view().set_epoch(changes.epoch()) };
        self.table.insert(tag, entry);
    }

    /// Removes the entry at a position, with its deadlines.
    pub(crate) fn remove(&mut self, tag: u32, position: Position, changes: &Changes<'_>) -> Entry {
        changes.before(self.table.entry(position));
        let entry = self.table.remove(position);
        changes.counts.add_keys(-1);
        self.move_deadline(tag, entry.view().expiry_ms(), None, changes);
        self.move_field_deadline(tag, entry.view().first_field_expiry_ms(), None, changes);
        entry
    }

    /// Moves the deadline of an entry from one expiry of the key to another.
    #[inline]
    fn move_deadline(&mut self, tag: u32, before: Option<i64>, after: Option<i64>, changes: &Changes<'_>) {
        if before == after {
            return;
        }
        if let Some(before_ms) = before {
            self.deadlines.remove(before_ms, tag);
        }
        if let Some(after_ms) = after {
            self.deadlines.insert(after_ms, tag);
        }
        changes.counts.change_expiry(before, after);
    }

    /// Moves the field deadline of an entry from one earliest expiry of a field to another.
    #[inline]
    fn move_field_deadline(&mut self, tag: u32, before: Option<i64>, after: Option<i64>, changes: &Changes<'_>) {
        if before == after {
            return;
        }
        let deadlines = self.field_deadlines.get_or_insert_default();
        if let Some(before_ms) = before {
            deadlines.remove(before_ms, tag);
        }
        if let Some(after_ms) = after {
            deadlines.insert(after_ms, tag);
        }
        if deadlines.is_empty() {
            self.field_deadlines = None;
        }
        changes.counts.change_expiring_fields(before.is_some(), after.is_some());
    }

    /// Returns the earliest deadlines.
    #[inline]
    fn first_deadlines(&self) -> FirstDeadlines {
        let key_ms = self.deadlines.first_ms();
        let any_ms = match &self.field_deadlines {
            None => key_ms,
            Some(fields) => key_ms.into_iter().chain(fields.first_ms()).min(),
        };
        FirstDeadlines { any_ms, key_ms }
    }

    /// Returns a deadline that has passed, if there is one; those of keys come first.
    pub(crate) fn first_due(&self, now_ms: i64) -> Option<Due> {
        if let Some((deadline_ms, tag)) = self.deadlines.first_due(now_ms) {
            return Some(Due::Key(deadline_ms, tag));
        }
        let (deadline_ms, tag) = self.field_deadlines.as_ref()?.first_due(now_ms)?;
        Some(Due::Field(deadline_ms, tag))
    }

    /// Changes the entry at a position, and moves its deadlines.
    pub(crate) fn update<R>(
        &mut self,
        tag: u32,
        position: Position,
        changes: &Changes<'_>,
        change: impl FnOnce(&mut Entry) -> R,
    ) -> R {
        let entry = self.table.entry(position);
        changes.before(entry);
        let (before, field_before) = (entry.expiry_ms(), entry.first_field_expiry_ms());
        let result = self.table.update(position, change);
        let entry = self.table.entry(position);
        // SAFETY: the caller holds the lock of the shard.
        unsafe { entry.set_epoch(changes.epoch()) };
        if let Some(access) = changes.access {
            // SAFETY: as above.
            unsafe { entry.touch(access) };
        }
        let (after, field_after) = (entry.expiry_ms(), entry.first_field_expiry_ms());
        self.move_field_deadline(tag, field_before, field_after, changes);
        self.move_deadline(tag, before, after, changes);
        result
    }
}
