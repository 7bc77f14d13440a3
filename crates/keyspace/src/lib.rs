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
//!                  └─────── Deadlines: the expiries of keys in order, and those of the fields of hashes
//! ```
//!
//! The hint is the number of the slot in which a batch saw the key when it prefetched the entry, so that the slot is searched for once.
//! Nothing keeps it true: a lookup that follows it still compares tag and key.
//!
//! [`LockSet`] is the only way to a shard, and [`Gate`] the only way to all of them at once. A lock set gives the rights to read
//! ([`Reader`]), to write ([`Writer`]), to visit ([`Walker`]) and to change everything ([`WholeKeyspace`]).
//!
//! The keyspace knows keys and values. It knows no command and no client, and has no clock: the caller passes the time in.
//!
//! | file | what lies there |
//! |---|---|
//! | `lib.rs` | [`Keyspace`]: hashing, shards, deadlines, and what all shards share |
//! | `gate.rs` | [`Gate`]: how one command has the whole keyspace to itself |
//! | `lockset/` | [`LockSet`], and a file for each right that it gives |
//! | `shard.rs` | a shard: its lock, its databases, and the watchers of its keys |
//! | `table.rs`, `segment.rs` | from a tag to an entry: a table is one sorted array of slots, or several |
//! | `entry/` | [`Entry`]: the bytes of a key with its value and its expiry |
//! | `waiters.rs` | the queues of blocked clients, by key |
//! | `snapshot/` | [`Snapshot`]: all databases as they were at one instant |
//! | `changes.rs` | what every change of an entry keeps true besides the table |
//! | `scan.rs` | [`ScanPosition`]: the cursor of SCAN |
//! | `access.rs` | [`AccessClock`]: when a key was last used, or how often |
//! | `relocation.rs` | [`Relocator`]: moving entries to other blocks |
//! | `eviction.rs` | [`Evictor`]: which key to evict when memory is short |
//! | `sizes.rs` | [`DatabaseSize`]: the number of keys, which is read without a lock |
//! | `graveyard.rs` | the thread that frees large values |
//! | `sip.rs` | the hash function |
//! | `sync.rs` | locks and atomics, for which a model checker can stand in; a shard's lock |

#![warn(missing_docs)]

mod access;
mod changes;
mod entry;
mod eviction;
mod gate;
mod graveyard;
mod lockset;
mod relocation;
mod scan;
mod segment;
mod shard;
mod sip;
mod sizes;
mod snapshot;
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
    eviction::{EvictionOrder, EvictionRule, Evictor, Victim},
    gate::{Closed, Entered, Gate, Place, Visit},
    graveyard::Burial,
    lockset::{
        Advanced, Busy, Edited, Expired, ExpiredWhat, ExpiryChange, LockSet, Met, Missing, RandomKey, Reader,
        ShardList, Snapshot, Visited, Walk, Walker, WholeKeyspace, Writer,
    },
    relocation::{Relocated, Relocator},
    scan::ScanPosition,
    shard::ExpiredFields,
    sizes::DatabaseSize,
    snapshot::{Images, SnapshotWatch},
    sync::WaitingTasks,
    waiters::{AwaitedKeys, Waiter},
};
use crate::{
    graveyard::Graveyard, shard::FirstDeadlines, shard::Shard, shard::tag_of, sip::SipHasher, sizes::Sizes,
    snapshot::Snapshots, sync::ParkedTasks,
};

/// 2^12 shards. With 64 threads that lock 32 shards each, two seldom want the same one; and an empty server stays small.
const SHARD_BITS: u32 = 12;

/// The bytes of slots that a key takes on average. They are more than a slot has, since tables are never full.
pub const SLOT_BYTES_PER_KEY: usize = 12;
/// The bytes of deadlines that a key with an expiry takes on average, and as many a hash with fields that expire.
pub const DEADLINE_BYTES_PER_KEY: usize = 12;

/// A key with its hash.
#[derive(Clone, Copy, Debug)]
pub struct HashedKey<'a> {
    /// The key.
    pub bytes: &'a [u8],
    /// Its hash, from [`Keyspace::hash`]. The lowest bits are a hint, which [`LockSet::prefetch_entry`] sets.
    pub hash: u64,
}

/// The hint of a hash that has none. No segment has so many slots.
const NO_HINT: u64 = u16::MAX as u64;

/// Returns the hint of a hash: the slot of its segment in which the key was seen.
#[inline]
pub(crate) fn hint_of(hash: u64) -> usize {
    (hash & NO_HINT) as usize
}

/// Returns the hash with the hint that its key was seen in this slot.
#[inline]
pub(crate) fn with_hint(hash: u64, slot: usize) -> u64 {
    hash & !NO_HINT | (slot as u64).min(NO_HINT)
}

/// The earliest deadlines that a shard has published, in milliseconds since 1970; `i64::MAX` for none.
struct PublishedDeadlines {
    /// Of a key or a field.
    any_ms: AtomicI64,
    /// Of a key.
    key_ms: AtomicI64,
}

impl Default for PublishedDeadlines {
    fn default() -> PublishedDeadlines {
        PublishedDeadlines { any_ms: AtomicI64::new(i64::MAX), key_ms: AtomicI64::new(i64::MAX) }
    }
}

/// All databases of a server. See the module.
pub struct Keyspace {
    pub(crate) shards: Box<[Shard]>,
    pub(crate) shard_bits: u32,
    /// Its key is random, so that a client cannot make keys collide, even one that sees the order of SCAN.
    hasher: SipHasher,
    gate: Gate,
    pub(crate) parked: ParkedTasks,
    pub(crate) graveyard: Graveyard,
    pub(crate) sizes: Sizes,
    pub(crate) snapshots: Snapshots,
    /// See [`AwaitedKeys::keys`].
    awaited: AtomicIsize,
    /// See [`AwaitedKeys::keys_for_removal`].
    awaited_for_removal: AtomicIsize,
    /// See [`Keyspace::next_ticket`].
    last_ticket: AtomicU64,
    /// What each shard has published of its deadlines.
    deadlines: Box<[PublishedDeadlines]>,
    /// When each core will look at its shards' deadlines next, in milliseconds since 1970; `i64::MAX` while it looks.
    wake_ups_ms: Box<[AtomicI64]>,
    /// Wakes a core: one of its shards has an earlier deadline than the core planned for.
    wake: Box<dyn Fn(usize) + Send + Sync>,
}

impl Keyspace {
    /// Creates a keyspace of `databases` databases for `cores` cores, each of which is one thread. `seed` is the key of the hash function,
    /// and should be random. `wake` is called with a core's index when the core should call [`Keyspace::due_shards`] earlier than it
    /// planned to; it is called under a shard's lock.
    ///
    /// # Panics
    /// If `cores` is 0.
    pub fn new(
        cores: usize,
        databases: usize,
        seed: (u64, u64),
        wake: impl Fn(usize) + Send + Sync + 'static,
    ) -> Keyspace {
        Keyspace::with_shards(SHARD_BITS, cores, databases, seed, wake)
    }

    /// Creates a keyspace of 2^`shard_bits` shards; otherwise as [`Keyspace::new`].
    ///
    /// # Panics
    /// If `cores` is 0, or `shard_bits` is not from 1 to 16: the index of a shard takes 16 bits.
    pub fn with_shards(
        shard_bits: u32,
        cores: usize,
        databases: usize,
        seed: (u64, u64),
        wake: impl Fn(usize) + Send + Sync + 'static,
    ) -> Keyspace {
        assert!(cores > 0, "a keyspace has a core");
        assert!((1..=u16::BITS).contains(&shard_bits), "the index of a shard takes 16 bits");
        let shards = 1 << shard_bits;
        Keyspace {
            shards: (0..shards).map(|_| Shard::new()).collect(),
            shard_bits,
            hasher: SipHasher::new(seed),
            gate: Gate::new(cores),
            parked: ParkedTasks::default(),
            sizes: Sizes::new(cores, databases),
            snapshots: Snapshots::default(),
            awaited: AtomicIsize::new(0),
            awaited_for_removal: AtomicIsize::new(0),
            last_ticket: AtomicU64::new(0),
            graveyard: Graveyard::default(),
            deadlines: (0..shards).map(|_| PublishedDeadlines::default()).collect(),
            wake_ups_ms: (0..cores).map(|_| AtomicI64::new(i64::MAX)).collect(),
            wake: Box::new(wake),
        }
    }

    /// Returns the gate, through which every visit enters the keyspace.
    pub fn gate(&self) -> &Gate {
        &self.gate
    }

    /// Returns the snapshot that is being taken.
    pub fn snapshot(&self) -> Option<SnapshotWatch> {
        self.snapshots.watch()
    }

    /// Returns whether a snapshot is being taken.
    #[inline]
    pub fn has_snapshot(&self) -> bool {
        self.snapshots.cut().is_running
    }

    /// Returns the number of cores.
    pub(crate) fn cores(&self) -> usize {
        self.wake_ups_ms.len()
    }

    /// Returns a key with its hash, which has no hint.
    #[inline]
    pub fn hash<'a>(&self, bytes: &'a [u8]) -> HashedKey<'a> {
        HashedKey { bytes, hash: self.hasher.hash(bytes) | NO_HINT }
    }

    /// Returns the number of shards, a power of two.
    pub fn shards(&self) -> usize {
        self.shards.len()
    }

    /// Returns the index of the shard that a hash belongs to.
    #[inline]
    pub fn shard_of(&self, hash: u64) -> usize {
        (hash >> (64 - self.shard_bits)) as usize
    }

    /// Prefetches the lock and the table of a hash's shard.
    #[inline]
    pub fn prefetch_shard(&self, hash: u64) {
        self.shards[self.shard_of(hash)].prefetch();
    }

    /// Prefetches the slots of a key in the first database. The shard should have been prefetched before. No lock is needed.
    #[inline]
    pub fn prefetch_slot(&self, hash: u64) {
        self.shards[self.shard_of(hash)].prefetch_slot(tag_of(hash, self.shard_bits));
    }

    /// Returns what each of these databases holds, from counters: no shard is locked. The figures are those of one instant, between the
    /// releases of lock sets. `core` is the caller's; if it holds a lock set, the changes made under it are included.
    pub fn sizes(&self, core: usize, databases: Range<usize>) -> Vec<DatabaseSize> {
        self.sizes.get(core, databases)
    }

    /// Returns the number of keys of a database, as [`Keyspace::sizes`] does.
    pub fn len_of(&self, core: usize, database: usize) -> usize {
        self.sizes(core, database..database + 1)[0].keys
    }

    /// Returns `Ready` if a shard that was [`Busy`] is free. Otherwise the task is parked on it, and is woken when the shard is unlocked.
    pub fn poll_free(&self, shard: u16, context: &mut Context<'_>) -> Poll<()> {
        self.parked.poll_free(shard, &self.shards[shard as usize].lock, context)
    }

    /// Calls `then` when everything that was handed over for freeing before is freed. It runs on the thread that frees (FLUSHALL SYNC).
    pub fn when_freed(&self, then: impl FnOnce() + Send + 'static) {
        self.graveyard.when_done(Box::new(then));
    }

    /// Returns the last burial if values are still being freed: they have been removed, but their memory is in use yet.
    pub fn unfinished_burial(&self) -> Option<Burial> {
        self.graveyard.unfinished()
    }

    /// Returns how often values were handed over for freeing that are not freed yet, and how often they have been freed.
    pub fn burials(&self) -> (u64, u64) {
        self.graveyard.burials()
    }

    /// Returns `Ready` if the values of a burial are freed. Otherwise the task is woken when they are.
    pub fn poll_freed(&self, burial: Burial, context: &mut Context<'_>) -> Poll<()> {
        self.graveyard.poll_freed(burial, context)
    }

    /// Returns whether any key is waited for. A caller that holds a shard's lock sees all waiters that were parked on that shard before.
    #[inline]
    pub fn is_awaited(&self) -> bool {
        self.awaited.load(Ordering::Relaxed) > 0
    }

    /// Returns the number of keys that are waited for (INFO: `total_blocking_keys`).
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

    /// Returns a number for a waiter, larger than all before. Waiters on a key are served in the order of their numbers.
    pub fn next_ticket(&self) -> u64 {
        self.last_ticket.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Returns the core that removes what expires in a shard.
    fn core_of(&self, shard: usize) -> usize {
        shard % self.wake_ups_ms.len()
    }

    /// Returns the shard that has published the earliest deadline of a key, with that deadline in milliseconds since 1970. It is never later
    /// than the expiry of any key. `None` if no key expires.
    pub(crate) fn soonest_shard(&self) -> Option<(i64, usize)> {
        let published = self.deadlines.iter().map(|deadlines| deadlines.key_ms.load(Ordering::Relaxed));
        published.zip(0..).min().filter(|&(key_ms, _)| key_ms < i64::MAX)
    }

    /// Publishes a shard's earliest deadlines, and wakes the shard's core if the core would wake up later. The caller holds the shard.
    #[inline]
    pub(crate) fn publish_deadlines(&self, shard: usize, first: FirstDeadlines) {
        let (first_ms, key_ms) = (first.any_ms.unwrap_or(i64::MAX), first.key_ms.unwrap_or(i64::MAX));
        let published = &self.deadlines[shard];
        // Only the holder of the shard's lock writes here.
        if published.key_ms.load(Ordering::Relaxed) != key_ms {
            published.key_ms.store(key_ms, Ordering::Relaxed);
        }
        if published.any_ms.load(Ordering::Relaxed) == first_ms {
            return;
        }
        published.any_ms.store(first_ms, Ordering::SeqCst);
        let core = self.core_of(shard);
        if first_ms < self.wake_ups_ms[core].load(Ordering::SeqCst) {
            (self.wake)(core);
        }
    }

    /// Adds to `due` the shards of a core that hold something expired. Returns when the core should look again at the latest, in
    /// milliseconds since 1970; `i64::MAX` if nothing expires. The core's own thread calls this.
    ///
    /// No deadline is missed: the core first publishes that it is awake, then reads the deadlines, and at last publishes when it will wake
    /// up. A writer publishes its deadline before it reads when the core will wake up. So either the core reads the new deadline, or the
    /// writer sees that the core has to be woken.
    pub fn due_shards(&self, core: usize, now_ms: i64, due: &mut Vec<usize>) -> i64 {
        self.wake_ups_ms[core].store(i64::MAX, Ordering::SeqCst);
        let mut next_ms = i64::MAX;
        for shard in (core..self.shards.len()).step_by(self.wake_ups_ms.len()) {
            let first_ms = self.deadlines[shard].any_ms.load(Ordering::SeqCst);
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
