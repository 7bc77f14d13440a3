//! A shard: the part of the keyspace whose hashes begin with the same bits, behind one lock.

use std::{
    cell::UnsafeCell,
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicPtr, AtomicU32, Ordering},
    },
};

use ochre_datatypes::{deadlines::Deadlines, hash::Hash, prefetch};

use crate::{
    Keyspace,
    entry::{Entry, EntryRef},
    hint_of,
    segment::{self, TAG_BITS},
    sizes::Counts,
    sync::ShardLock,
    table::{Position, Table},
    waiters::Waiters,
};

/// The entries of one database in one shard, and when they expire.
#[derive(Default)]
pub struct Database {
    pub(crate) table: Table,
    pub(crate) deadlines: Deadlines,
    /// When the first field expires of each hash that has fields which do; made when first used.
    pub(crate) field_deadlines: Option<Box<Deadlines>>,
}

/// What is due first in a database: the deadline, and the tag of the entry.
pub(crate) enum Due {
    Key(i64, u32),
    Field(i64, u32),
}

/// A lock and what it guards, on cache lines of its own: the lock and the first database's table share the first of them.
#[repr(C, align(128))]
pub(crate) struct Shard {
    /// Guards `data`.
    pub(crate) lock: ShardLock,
    hint: SlotsHint,
    data: UnsafeCell<ShardData>,
}

/// Where the slots of the first database's table were when the shard was last unlocked. It is read without the lock, to ask the processor
/// for a slot while requests are still being parsed; a stale hint costs a useless prefetch and nothing else, for it is never followed.
#[derive(Default)]
struct SlotsHint {
    slots: AtomicPtr<u8>,
    homes: AtomicU32,
}

// SAFETY: `data` is reached through `LockSet` only, which holds the lock or has the gate closed.
unsafe impl Sync for Shard {}
// SAFETY: all that a shard owns may move between threads.
unsafe impl Send for Shard {}

pub(crate) struct ShardData {
    first: Database,
    /// Databases from 1 on, made when first used. In a box, to keep a shard on two cache lines.
    #[allow(clippy::box_collection)]
    others: Option<Box<Vec<Option<Box<Database>>>>>,
    pub(crate) observers: Option<Box<Observers>>,
}

/// Those who want to know when keys change.
#[derive(Default)]
pub(crate) struct Observers {
    pub(crate) watchers: Watchers,
    pub(crate) waiters: Waiters,
}

/// Who watches which key: by database and key.
pub(crate) type Watchers = HashMap<(usize, Box<[u8]>), Vec<Arc<AtomicBool>>, foldhash::fast::RandomState>;

#[cfg(not(loom))]
const _: () = assert!(size_of::<Shard>() == 128, "a shard lies on two cache lines");

impl Shard {
    pub(crate) fn new() -> Shard {
        let data = ShardData { first: Database::default(), others: None, observers: None };
        Shard { lock: ShardLock::new(), hint: SlotsHint::default(), data: UnsafeCell::new(data) }
    }

    /// Unlocks; whether tasks are parked on the lock.
    ///
    /// # Safety
    /// The caller holds the lock.
    #[inline]
    pub(crate) unsafe fn unlock(&self) -> bool {
        // SAFETY: the caller's promise: the lock keeps others away from the data.
        let (slots, homes) = unsafe { self.data() }.first.table.slots();
        if self.hint.slots.load(Ordering::Relaxed).cast_const() != slots {
            self.hint.slots.store(slots.cast_mut(), Ordering::Relaxed);
            self.hint.homes.store(homes, Ordering::Relaxed);
        }
        // SAFETY: the caller's promise.
        unsafe { self.lock.unlock() }
    }

    /// Its data.
    ///
    /// # Safety
    /// The caller holds the lock, or has the gate closed, and makes no two references that overlap in time.
    #[inline]
    #[allow(clippy::mut_from_ref)]
    pub(crate) unsafe fn data(&self) -> &mut ShardData {
        // SAFETY: the caller's promise.
        unsafe { &mut *self.data.get() }
    }

    #[inline]
    pub(crate) fn prefetch(&self) {
        prefetch::read(self as *const Shard);
    }

    /// Asks for the slots where a tag's entry probably is, without the lock.
    #[inline]
    pub(crate) fn prefetch_slot(&self, tag: u32) {
        let slots = self.hint.slots.load(Ordering::Relaxed);
        let home = segment::address_of_home(slots, self.hint.homes.load(Ordering::Relaxed), tag);
        prefetch::read(home);
        // A search looks at three slots to five, which may lie on two lines.
        prefetch::read(home.wrapping_add(4 * segment::SLOT_BYTES));
    }
}

/// The shard's tag in a hash: the bits that follow those that choose the shard.
#[inline]
pub(crate) fn tag_of(hash: u64, shard_bits: u32) -> u32 {
    ((hash << shard_bits) >> (64 - TAG_BITS)) as u32
}

impl ShardData {
    #[inline]
    pub(crate) fn database(&self, index: usize) -> Option<&Database> {
        if index == 0 { Some(&self.first) } else { self.others.as_ref()?.get(index - 1)?.as_deref() }
    }

    #[inline]
    pub(crate) fn database_mut(&mut self, index: usize) -> &mut Database {
        if index == 0 {
            return &mut self.first;
        }
        let others = self.others.get_or_insert_default();
        if others.len() < index {
            others.resize_with(index, || None);
        }
        others[index - 1].get_or_insert_default()
    }

    pub(crate) fn existing_mut(&mut self, index: usize) -> Option<&mut Database> {
        if index == 0 { Some(&mut self.first) } else { self.others.as_mut()?.get_mut(index - 1)?.as_deref_mut() }
    }

    /// Takes a whole database out.
    pub(crate) fn take_database(&mut self, index: usize) -> Database {
        self.existing_mut(index).map(std::mem::take).unwrap_or_default()
    }

    pub(crate) fn swap_databases(&mut self, a: usize, b: usize) {
        let taken_a = self.take_database(a);
        let taken_b = self.take_database(b);
        if taken_b.table.len() > 0 {
            *self.database_mut(a) = taken_b;
        }
        if taken_a.table.len() > 0 {
            *self.database_mut(b) = taken_a;
        }
    }

    pub(crate) fn databases(&self) -> impl Iterator<Item = (usize, &Database)> {
        let others = self.others.iter().flat_map(|others| others.iter().enumerate());
        let others = others.filter_map(|(i, database)| Some((i + 1, database.as_deref()?)));
        std::iter::once((0, &self.first)).chain(others)
    }

    /// The earliest deadline of all databases.
    pub(crate) fn first_deadline_ms(&self) -> Option<i64> {
        self.databases().filter_map(|(_, database)| database.first_deadline_ms()).min()
    }

    /// Tells those who watch the key that it changed; whether somebody waits for it.
    #[inline]
    pub(crate) fn touch(&self, database: usize, key: &[u8]) -> bool {
        match &self.observers {
            None => false,
            Some(observers) => observers.touch(database, key),
        }
    }

    pub(crate) fn observers_mut(&mut self) -> &mut Observers {
        self.observers.get_or_insert_default()
    }

    pub(crate) fn drop_empty_observers(&mut self) {
        if self.observers.as_ref().is_some_and(|it| it.watchers.is_empty() && it.waiters.is_empty()) {
            self.observers = None;
        }
    }
}

impl ShardData {
    /// Tells those who watch a key of a database that now has other contents, where the key was or is there: FLUSHALL, SWAPDB.
    pub(crate) fn touch_existing_watchers(&self, index: usize, contents: &Database, keyspace: &Keyspace) {
        let Some(observers) = &self.observers else { return };
        for ((database, key), flags) in &observers.watchers {
            let hash = keyspace.hash(key).hash;
            let there = || contents.find(tag_of(hash, keyspace.shard_bits), hint_of(hash), key).is_some();
            if *database == index && there() {
                for flag in flags {
                    flag.store(true, Ordering::Release);
                }
            }
        }
    }
}

impl Observers {
    fn touch(&self, database: usize, key: &[u8]) -> bool {
        if !self.watchers.is_empty() {
            for flag in self.watchers.get(&(database, key.into())).into_iter().flatten() {
                flag.store(true, Ordering::Release);
            }
        }
        !self.waiters.is_empty() && self.waiters.queue(database, key).is_some()
    }
}

impl ShardData {
    /// Removes what has expired of a hash's fields, at most so many, or the hash where all have.
    pub(crate) fn expire_fields(
        &mut self,
        database: usize,
        (tag, position): (u32, Position),
        now_ms: i64,
        max: usize,
        counts: &Counts,
    ) -> ExpiredFields {
        let entries = self.database_mut(database);
        let entry = entries.entry(position);
        let key: Box<[u8]> = entry.key().into();
        let hash = entry.hash_at(now_ms);
        let expired = if hash.is_empty() {
            let count = hash.at(i64::MIN).len();
            ExpiredFields { key, names: vec![], count, emptied: Some(entries.remove(tag, position, counts)) }
        } else {
            let mut names = Vec::new();
            let remove = |hash: &mut Hash| hash.expire(now_ms, max, |name| names.push(name.into()));
            let (count, goes) = entries.update(tag, position, counts, |entry| entry.edit(remove));
            assert!(!goes, "it has a field that is alive");
            ExpiredFields { key, names, count, emptied: None }
        };
        self.touch(database, &expired.key);
        expired
    }
}

/// Fields of a hash that were found expired and were removed.
#[derive(Debug)]
pub struct ExpiredFields {
    pub key: Box<[u8]>,
    /// Their names, but where all of the hash's fields are gone.
    pub names: Vec<Box<[u8]>>,
    pub count: usize,
    /// The hash, where all of its fields are gone, and it with them.
    pub emptied: Option<Entry>,
}

impl Database {
    /// Where its entry under this key is, expired or not.
    #[inline(always)]
    pub(crate) fn find(&self, tag: u32, hint: usize, key: &[u8]) -> Option<Position> {
        self.table.find(tag, hint, key)
    }

    #[inline(always)]
    pub(crate) fn entry(&self, position: Position) -> EntryRef<'_> {
        self.table.entry(position)
    }

    pub(crate) fn insert(&mut self, tag: u32, entry: Entry, counts: &Counts) {
        counts.add_keys(1);
        self.move_deadline(tag, None, entry.view().expiry_ms(), counts);
        self.move_field_deadline(tag, None, entry.view().first_field_expiry_ms(), counts);
        self.table.insert(tag, entry);
    }

    pub(crate) fn remove(&mut self, tag: u32, position: Position, counts: &Counts) -> Entry {
        let entry = self.table.remove(position);
        counts.add_keys(-1);
        self.move_deadline(tag, entry.view().expiry_ms(), None, counts);
        self.move_field_deadline(tag, entry.view().first_field_expiry_ms(), None, counts);
        entry
    }

    /// Keeps the deadline of an entry.
    #[inline]
    fn move_deadline(&mut self, tag: u32, before: Option<i64>, after: Option<i64>, counts: &Counts) {
        if before == after {
            return;
        }
        if let Some(before_ms) = before {
            self.deadlines.remove(before_ms, tag);
        }
        if let Some(after_ms) = after {
            self.deadlines.insert(after_ms, tag);
        }
        counts.change_expiry(before, after);
    }

    /// Keeps the field deadline of an entry.
    #[inline]
    fn move_field_deadline(&mut self, tag: u32, before: Option<i64>, after: Option<i64>, counts: &Counts) {
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
        counts.change_expiring_fields(before.is_some(), after.is_some());
    }

    /// The earliest deadline, of a key or a field.
    #[inline]
    fn first_deadline_ms(&self) -> Option<i64> {
        let key = self.deadlines.first_ms();
        match &self.field_deadlines {
            None => key,
            Some(fields) => key.into_iter().chain(fields.first_ms()).min(),
        }
    }

    /// What is due, if anything is.
    pub(crate) fn first_due(&self, now_ms: i64) -> Option<Due> {
        if let Some((deadline_ms, tag)) = self.deadlines.first_due(now_ms) {
            return Some(Due::Key(deadline_ms, tag));
        }
        let (deadline_ms, tag) = self.field_deadlines.as_ref()?.first_due(now_ms)?;
        Some(Due::Field(deadline_ms, tag))
    }

    /// Changes an entry in place, and its deadlines with it.
    pub(crate) fn update<R>(
        &mut self,
        tag: u32,
        position: Position,
        counts: &Counts,
        change: impl FnOnce(&mut Entry) -> R,
    ) -> R {
        let entry = self.table.entry(position);
        let (before, field_before) = (entry.expiry_ms(), entry.first_field_expiry_ms());
        let result = self.table.update(position, change);
        let entry = self.table.entry(position);
        let (after, field_after) = (entry.expiry_ms(), entry.first_field_expiry_ms());
        self.move_field_deadline(tag, field_before, field_after, counts);
        self.move_deadline(tag, before, after, counts);
        result
    }
}
