//! A shard: the part of the keyspace whose hashes begin with the same bits, behind one lock.

use std::{
    cell::UnsafeCell,
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::{
    Keyspace,
    deadlines::Deadlines,
    entry::{Entry, EntryRef},
    segment::TAG_BITS,
    sync::RawLock,
    table::{Position, Table},
};

/// The entries of one database in one shard, and when they expire.
#[derive(Default)]
pub struct Database {
    pub(crate) table: Table,
    pub(crate) deadlines: Deadlines,
}

/// A lock and what it guards, on cache lines of its own: the lock and the first database's table share the first of them.
#[repr(align(128))]
pub(crate) struct Shard {
    /// Guards `data`. A mutex and not a read-write lock: a critical section is shorter than the second atomic step of a read lock.
    lock: RawLock,
    data: UnsafeCell<ShardData>,
}

// SAFETY: `data` is reached through `LockSet` only, which holds the lock or has the gate closed.
unsafe impl Sync for Shard {}
// SAFETY: all that a shard owns may move between threads.
unsafe impl Send for Shard {}

pub(crate) struct ShardData {
    first: Database,
    /// Databases from 1 on, made when first used.
    others: Vec<Option<Box<Database>>>,
    pub(crate) watchers: Option<Box<Watchers>>,
}

/// Who watches which key: by database and key.
pub(crate) type Watchers = HashMap<(usize, Box<[u8]>), Vec<Arc<AtomicBool>>, foldhash::fast::RandomState>;

impl Shard {
    pub(crate) fn new() -> Shard {
        let data = ShardData { first: Database::default(), others: Vec::new(), watchers: None };
        Shard { lock: RawLock::new(), data: UnsafeCell::new(data) }
    }

    #[inline]
    pub(crate) fn lock(&self) {
        self.lock.lock();
    }

    /// # Safety
    /// The caller holds the lock.
    #[inline]
    pub(crate) unsafe fn unlock(&self) {
        // SAFETY: the caller's promise.
        unsafe { self.lock.unlock() };
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
        crate::prefetch::read(self as *const Shard);
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
        if index == 0 { Some(&self.first) } else { self.others.get(index - 1)?.as_deref() }
    }

    #[inline]
    pub(crate) fn database_mut(&mut self, index: usize) -> &mut Database {
        if index == 0 {
            return &mut self.first;
        }
        if self.others.len() < index {
            self.others.resize_with(index, || None);
        }
        self.others[index - 1].get_or_insert_default()
    }

    pub(crate) fn existing_mut(&mut self, index: usize) -> Option<&mut Database> {
        if index == 0 { Some(&mut self.first) } else { self.others.get_mut(index - 1)?.as_deref_mut() }
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
        let others = self.others.iter().enumerate().filter_map(|(i, database)| Some((i + 1, database.as_deref()?)));
        std::iter::once((0, &self.first)).chain(others)
    }

    /// The earliest deadline of all databases.
    pub(crate) fn first_deadline_ms(&self) -> Option<i64> {
        self.databases().filter_map(|(_, database)| database.deadlines.first_ms()).min()
    }

    /// Tells those who watch the key that it changed.
    #[inline]
    pub(crate) fn touch_watchers(&self, database: usize, key: &[u8]) {
        let Some(watchers) = &self.watchers else { return };
        for flag in watchers.get(&(database, key.into())).into_iter().flatten() {
            flag.store(true, Ordering::Release);
        }
    }
}

impl ShardData {
    /// Tells those who watch a key of a database that now has other contents, where the key was or is there: FLUSHALL, SWAPDB.
    pub(crate) fn touch_existing_watchers(&self, index: usize, contents: &Database, keyspace: &Keyspace) {
        let Some(watchers) = &self.watchers else { return };
        for ((database, key), flags) in watchers.iter() {
            let there = || contents.find(tag_of(keyspace.hash(key).hash, keyspace.shard_bits), key).is_some();
            if *database == index && there() {
                for flag in flags {
                    flag.store(true, Ordering::Release);
                }
            }
        }
    }
}

impl Database {
    /// Whether it holds an entry under this key, expired or not.
    pub(crate) fn find(&self, tag: u32, key: &[u8]) -> Option<Position> {
        self.table.find(tag, key)
    }

    pub(crate) fn entry(&self, position: Position) -> EntryRef<'_> {
        self.table.entry(position)
    }

    pub(crate) fn insert(&mut self, tag: u32, entry: Entry) {
        if let Some(expiry_ms) = entry.view().expiry_ms() {
            self.deadlines.insert(expiry_ms, tag);
        }
        self.table.insert(tag, entry);
    }

    pub(crate) fn remove(&mut self, tag: u32, position: Position) -> Entry {
        let entry = self.table.remove(position);
        if let Some(expiry_ms) = entry.view().expiry_ms() {
            self.deadlines.remove(expiry_ms, tag);
        }
        entry
    }

    /// Changes an entry in place, and its deadline with it.
    pub(crate) fn update<R>(&mut self, tag: u32, position: Position, change: impl FnOnce(&mut Entry) -> R) -> R {
        let before = self.table.entry(position).expiry_ms();
        let result = self.table.update(position, change);
        let after = self.table.entry(position).expiry_ms();
        if before != after {
            if let Some(expiry_ms) = before {
                self.deadlines.remove(expiry_ms, tag);
            }
            if let Some(expiry_ms) = after {
                self.deadlines.insert(expiry_ms, tag);
            }
        }
        result
    }
}
