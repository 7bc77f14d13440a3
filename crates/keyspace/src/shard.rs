//! A shard: the part of the keyspace whose hashes begin with the same bits, behind one lock.

use std::{
    cell::UnsafeCell,
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering},
    },
};

use crate::{
    Keyspace,
    deadlines::Deadlines,
    entry::{Entry, EntryRef},
    segment::{self, TAG_BITS},
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
#[repr(C, align(128))]
pub(crate) struct Shard {
    /// Guards `data`. A mutex and not a read-write lock: a critical section is shorter than the second atomic step of a read lock.
    lock: RawLock,
    hint: SlotsHint,
    data: UnsafeCell<ShardData>,
}

/// Where the slots of the first database's table were when the shard was last unlocked. It is read without the lock, to ask the processor
/// for a slot while requests are still being parsed; a stale hint costs a useless prefetch and nothing else, for it is never followed.
#[derive(Default)]
struct SlotsHint {
    slots: AtomicPtr<u8>,
    len: AtomicUsize,
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
    pub(crate) watchers: Option<Box<Watchers>>,
}

/// Who watches which key: by database and key.
pub(crate) type Watchers = HashMap<(usize, Box<[u8]>), Vec<Arc<AtomicBool>>, foldhash::fast::RandomState>;

#[cfg(not(loom))]
const _: () = assert!(size_of::<Shard>() == 128, "a shard lies on two cache lines");

impl Shard {
    pub(crate) fn new() -> Shard {
        let data = ShardData { first: Database::default(), others: None, watchers: None };
        Shard { lock: RawLock::new(), hint: SlotsHint::default(), data: UnsafeCell::new(data) }
    }

    #[inline]
    pub(crate) fn lock(&self) {
        self.lock.lock();
    }

    /// # Safety
    /// The caller holds the lock.
    #[inline]
    pub(crate) unsafe fn unlock(&self) {
        // SAFETY: the caller's promise: the lock keeps others away from the data.
        let (slots, len) = unsafe { self.data() }.first.table.slots();
        if self.hint.slots.load(Ordering::Relaxed).cast_const() != slots {
            self.hint.slots.store(slots.cast_mut(), Ordering::Relaxed);
            self.hint.len.store(len, Ordering::Relaxed);
        }
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

    /// Asks for the slots where a tag's entry probably is, without the lock.
    #[inline]
    pub(crate) fn prefetch_slot(&self, tag: u32) {
        let slots = self.hint.slots.load(Ordering::Relaxed);
        let home = segment::address_of_home(slots, self.hint.len.load(Ordering::Relaxed), tag);
        // A search looks at three slots to five, which often lie on two lines.
        crate::prefetch::read_lines(home, 2);
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
    #[inline(always)]
    pub(crate) fn find(&self, tag: u32, key: &[u8]) -> Option<Position> {
        self.table.find(tag, key)
    }

    #[inline(always)]
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
