//! The keyspace: all databases of a server, cut into shards by the hash of the key, each behind one lock.
//!
//! ```text
//!  hash of a key (SipHash-1-3, keyed)
//!  63          52 51                  32 31     16 15   0
//! ┌──────────────┬──────────────────────┬─────────┬──────┐
//! │    shard     │         tag          │ unused  │ hint │
//! └──────────────┴──────────────────────┴─────────┴──────┘
//!        │                  │
//!        ▼                  ▼
//!      Shard ── Database ── Table ── Segment ── slot ── Entry: key, value, expiry in one block
//!                  └─────── Deadlines: the same entries in the order of their expiry, and of their fields'
//! ```
//!
//! A batch keeps in a hash's lowest bits in which slot it saw the key when it asked for the entry, so that the slot is searched for
//! once. It is a hint and no more: who follows it compares tag and key as anywhere else.
//!
//! [`LockSet`] is the only way to a shard, and [`Gate`] the only way to all of them at once. From a lock set come the rights to read
//! ([`Reader`]), to write ([`Writer`]), to visit ([`Walker`]) and to everything ([`WholeKeyspace`]).
//!
//! The keyspace knows keys, values and time as it is told; it knows no command, no client and no clock.

mod access;
mod entry;
mod gate;
mod graveyard;
mod lockset;
mod scan;
mod segment;
mod shard;
mod sip;
mod sizes;
mod sync;
mod table;
mod waiters;

use std::{
    ops::Range,
    sync::atomic::{AtomicI64, AtomicIsize, AtomicU64, Ordering},
    task::{Context, Poll},
};

pub use crate::{
    access::AccessClock,
    entry::{Entry, EntryRef, NewValue, ValueRef},
    gate::{Closed, Entered, Gate, Place, Visit},
    lockset::{
        Busy, Edited, Expired, ExpiredWhat, ExpiryChange, LockSet, Missing, Reader, ShardList, Visited, Walk, Walker,
        WholeKeyspace, Writer,
    },
    scan::ScanPosition,
    shard::ExpiredFields,
    sizes::DatabaseSize,
    waiters::{AwaitedKeys, Waiter},
};
use crate::{graveyard::Graveyard, shard::Shard, shard::tag_of, sip::SipHasher, sizes::Sizes, sync::ParkedTasks};

/// 2^12 shards: enough that two of 32 keys at 64 threads seldom meet, few enough that an empty server stays small.
const SHARD_BITS: u32 = 12;

/// The bytes of table slots that a key takes, at the load that tables have on average.
pub const SLOT_BYTES_PER_KEY: usize = 12;

/// A key with its hash.
#[derive(Clone, Copy, Debug)]
pub struct HashedKey<'a> {
    pub bytes: &'a [u8],
    pub hash: u64,
}

/// The hint of a hash that has none: segments have fewer slots.
const NO_HINT: u64 = u16::MAX as u64;

/// Where a hash says that its key was seen: a slot of its segment.
#[inline]
pub(crate) fn hint_of(hash: u64) -> usize {
    (hash & NO_HINT) as usize
}

/// A hash with the hint that its key was seen in this slot.
#[inline]
pub(crate) fn with_hint(hash: u64, slot: usize) -> u64 {
    hash & !NO_HINT | (slot as u64).min(NO_HINT)
}

/// See the module.
pub struct Keyspace {
    pub(crate) shards: Box<[Shard]>,
    pub(crate) shard_bits: u32,
    /// Its key is drawn at start: who sees clients' keys and the order of SCAN still cannot make keys collide.
    hasher: SipHasher,
    gate: Gate,
    pub(crate) parked: ParkedTasks,
    pub(crate) graveyard: Graveyard,
    pub(crate) sizes: Sizes,
    /// How many keys somebody waits for, and how many of them somebody who also wants to know that they are gone.
    awaited: AtomicIsize,
    awaited_for_removal: AtomicIsize,
    last_ticket: AtomicU64,
    /// The earliest deadline of each shard in milliseconds since 1970, `i64::MAX` where there is none.
    deadlines_ms: Box<[AtomicI64]>,
    /// When each core will look at its shards' deadlines next.
    wake_ups_ms: Box<[AtomicI64]>,
    /// Tells a core that one of its shards has an earlier deadline than it will wake up for.
    wake: Box<dyn Fn(usize) + Send + Sync>,
}

impl Keyspace {
    /// A keyspace of this many databases for this many cores. `seed` is random; `wake` wakes a core's timer.
    pub fn new(
        cores: usize,
        databases: usize,
        seed: (u64, u64),
        wake: impl Fn(usize) + Send + Sync + 'static,
    ) -> Keyspace {
        Keyspace::with_shards(SHARD_BITS, cores, databases, seed, wake)
    }

    /// A keyspace of 2^`shard_bits` shards.
    pub fn with_shards(
        shard_bits: u32,
        cores: usize,
        databases: usize,
        seed: (u64, u64),
        wake: impl Fn(usize) + Send + Sync + 'static,
    ) -> Keyspace {
        let shards = 1 << shard_bits;
        Keyspace {
            shards: (0..shards).map(|_| Shard::new()).collect(),
            shard_bits,
            hasher: SipHasher::new(seed),
            gate: Gate::new(cores),
            parked: ParkedTasks::default(),
            sizes: Sizes::new(cores, databases),
            awaited: AtomicIsize::new(0),
            awaited_for_removal: AtomicIsize::new(0),
            last_ticket: AtomicU64::new(0),
            graveyard: Graveyard::default(),
            deadlines_ms: (0..shards).map(|_| AtomicI64::new(i64::MAX)).collect(),
            wake_ups_ms: (0..cores).map(|_| AtomicI64::new(i64::MAX)).collect(),
            wake: Box::new(wake),
        }
    }

    /// The gate: who is in the keyspace.
    pub fn gate(&self) -> &Gate {
        &self.gate
    }

    /// Hashes a key.
    #[inline]
    pub fn hash<'a>(&self, bytes: &'a [u8]) -> HashedKey<'a> {
        HashedKey { bytes, hash: self.hasher.hash(bytes) | NO_HINT }
    }

    /// The number of shards, a power of two.
    pub fn shards(&self) -> usize {
        self.shards.len()
    }

    /// The shard of a hash.
    #[inline]
    pub fn shard_of(&self, hash: u64) -> usize {
        (hash >> (64 - self.shard_bits)) as usize
    }

    /// Asks the processor for a shard's lock and table.
    #[inline]
    pub fn prefetch_shard(&self, hash: u64) {
        self.shards[self.shard_of(hash)].prefetch();
    }

    /// Asks the processor for the slots of a key in the first database, whose shard was asked for before. No lock is needed.
    #[inline]
    pub fn prefetch_slot(&self, hash: u64) {
        self.shards[self.shard_of(hash)].prefetch_slot(tag_of(hash, self.shard_bits));
    }

    /// What each of some databases holds, from counters: no shard is locked. Inside the gate of a caller that has the keyspace to itself the
    /// figures are exact; beside writers a key that moves may be missed or counted twice.
    pub fn sizes(&self, databases: Range<usize>) -> Vec<DatabaseSize> {
        self.sizes.get(databases)
    }

    /// The number of keys of a database, as [`Keyspace::sizes`] has it.
    pub fn len_of(&self, database: usize) -> usize {
        self.sizes.of_database(database).keys
    }

    /// Ready when a shard that was [`Busy`] is free; else the task is woken when it is unlocked.
    pub fn poll_free(&self, shard: u16, context: &mut Context<'_>) -> Poll<()> {
        self.parked.poll_free(shard, &self.shards[shard as usize].lock, context)
    }

    /// Calls `then` when everything that was given up before is freed, on the thread that frees it.
    pub fn when_freed(&self, then: impl FnOnce() + Send + 'static) {
        self.graveyard.when_done(Box::new(then));
    }

    /// Whether anybody waits for any key. Who holds a shard's lock sees those who were parked there before.
    #[inline]
    pub fn is_awaited(&self) -> bool {
        self.awaited.load(Ordering::Relaxed) > 0
    }

    /// How many keys are waited for.
    pub fn awaited_keys(&self) -> AwaitedKeys {
        AwaitedKeys {
            keys: self.awaited.load(Ordering::Relaxed),
            keys_for_removal: self.awaited_for_removal.load(Ordering::Relaxed),
        }
    }

    pub(crate) fn count_awaited(&self, change: AwaitedKeys) {
        if change != AwaitedKeys::default() {
            self.awaited.fetch_add(change.keys, Ordering::Relaxed);
            self.awaited_for_removal.fetch_add(change.keys_for_removal, Ordering::Relaxed);
        }
    }

    /// A number that says who came first.
    pub fn next_ticket(&self) -> u64 {
        self.last_ticket.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// The core that looks after a shard's deadlines.
    fn core_of(&self, shard: usize) -> usize {
        shard % self.wake_ups_ms.len()
    }

    /// Keeps a shard's earliest deadline, and wakes its core where that is earlier than it would wake up.
    #[inline]
    pub(crate) fn deadline_changed(&self, shard: usize, first_ms: Option<i64>) {
        let first_ms = first_ms.unwrap_or(i64::MAX);
        // Only who holds the shard's lock writes here.
        if self.deadlines_ms[shard].load(Ordering::Relaxed) == first_ms {
            return;
        }
        self.deadlines_ms[shard].store(first_ms, Ordering::SeqCst);
        let core = self.core_of(shard);
        if first_ms < self.wake_ups_ms[core].load(Ordering::SeqCst) {
            (self.wake)(core);
        }
    }

    /// The shards of a core whose earliest deadline is over, and when the core is to look again at the latest. Before it looks the core
    /// publishes that it is awake, so that a deadline that comes meanwhile wakes it again.
    pub fn due_shards(&self, core: usize, now_ms: i64, due: &mut Vec<usize>) -> i64 {
        self.wake_ups_ms[core].store(i64::MAX, Ordering::SeqCst);
        let mut next_ms = i64::MAX;
        for shard in (core..self.shards.len()).step_by(self.wake_ups_ms.len()) {
            let first_ms = self.deadlines_ms[shard].load(Ordering::SeqCst);
            if first_ms < now_ms {
                due.push(shard);
            } else {
                next_ms = next_ms.min(first_ms);
            }
        }
        self.wake_ups_ms[core].store(next_ms, Ordering::SeqCst);
        next_ms
    }
}
