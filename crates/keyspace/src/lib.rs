//! The keyspace: all databases of a server, cut into shards by the hash of the key, each behind one lock.
//!
//! ```text
//!  hash of a key (SipHash-1-3, keyed)
//!  63          52 51                  32 31          0
//! ┌──────────────┬──────────────────────┬─────────────┐
//! │    shard     │         tag          │   unused    │
//! └──────────────┴──────────────────────┴─────────────┘
//!        │                  │
//!        ▼                  ▼
//!      Shard ── Database ── Table ── Segment ── slot ── Entry: key, value, expiry in one block
//!                  └─────── Deadlines: the same entries in the order of their expiry
//! ```
//!
//! [`LockSet`] is the only way to a shard, and [`Gate`] the only way to all of them at once. From a lock set come the rights to read
//! ([`Reader`]), to write ([`Writer`]), to visit ([`Walker`]) and to everything ([`WholeKeyspace`]).
//!
//! The keyspace knows keys, values and time as it is told; it knows no command, no client and no clock.

mod access;
mod deadlines;
mod entry;
mod gate;
mod graveyard;
mod lockset;
mod prefetch;
mod scan;
mod segment;
mod shard;
mod sizes;
mod sync;
mod table;

use std::{
    hash::Hasher,
    sync::atomic::{AtomicI64, Ordering},
};

use siphasher::sip::SipHasher13;

pub use crate::{
    access::AccessClock,
    entry::{Entry, EntryRef, NewValue, ValueRef},
    gate::{Closed, Entered, Gate},
    lockset::{DatabaseSize, Expired, ExpiryChange, LockSet, Reader, ShardList, Walker, WholeKeyspace, Writer},
    scan::ScanPosition,
};
use crate::{graveyard::Graveyard, shard::Shard, shard::tag_of, sizes::Sizes};

/// 2^12 shards: enough that two of 32 keys at 64 threads seldom meet, few enough that an empty server stays small.
const SHARD_BITS: u32 = 12;

/// A key with its hash.
#[derive(Clone, Copy, Debug)]
pub struct HashedKey<'a> {
    pub bytes: &'a [u8],
    pub hash: u64,
}

/// See the module.
pub struct Keyspace {
    pub(crate) shards: Box<[Shard]>,
    pub(crate) shard_bits: u32,
    /// The hash's key, drawn at start: who sees keys and the order of SCAN still cannot make keys collide.
    seed: (u64, u64),
    gate: Gate,
    pub(crate) graveyard: Graveyard,
    pub(crate) sizes: Sizes,
    /// The earliest deadline of each shard in milliseconds since 1970, `i64::MAX` where there is none.
    deadlines_ms: Box<[AtomicI64]>,
    /// When each core will look at its shards' deadlines next.
    wake_ups_ms: Box<[AtomicI64]>,
    /// Tells a core that one of its shards has an earlier deadline than it will wake up for.
    wake: Box<dyn Fn(usize) + Send + Sync>,
}

impl Keyspace {
    /// A keyspace for so many cores. `seed` is random; `wake` wakes a core's timer.
    pub fn new(cores: usize, seed: (u64, u64), wake: impl Fn(usize) + Send + Sync + 'static) -> Keyspace {
        Keyspace::with_shards(SHARD_BITS, cores, seed, wake)
    }

    /// A keyspace of 2^`shard_bits` shards.
    pub fn with_shards(
        shard_bits: u32,
        cores: usize,
        seed: (u64, u64),
        wake: impl Fn(usize) + Send + Sync + 'static,
    ) -> Keyspace {
        let shards = 1 << shard_bits;
        Keyspace {
            shards: (0..shards).map(|_| Shard::new()).collect(),
            shard_bits,
            seed,
            gate: Gate::new(cores),
            sizes: Sizes::new(cores),
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
        let mut hasher = SipHasher13::new_with_keys(self.seed.0, self.seed.1);
        hasher.write(bytes);
        HashedKey { bytes, hash: hasher.finish() }
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

    /// Waits until everything that was given up is freed.
    pub fn wait_until_freed(&self) {
        self.graveyard.wait();
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
