//! The right to visit everything, a shard at a time.

use std::marker::PhantomData;

use super::{Busy, LockSet, lock_shard, unlock_shard};
use crate::{Keyspace, entry::EntryRef, gate::Entered, scan::ScanPosition, shard::ShardData, sync::Holder};

/// A visit of shard after shard, each of which is locked only while it is looked at. It holds no shard between two looks, so it gives no
/// right to read keys: an entry would not outlive the look.
pub struct Walk<'k> {
    keyspace: &'k Keyspace,
    entered: Entered<'k>,
    now_ms: i64,
}

impl<'k> Walk<'k> {
    /// A walk by a clock, in milliseconds since 1970.
    pub fn new(keyspace: &'k Keyspace, entered: Entered<'k>, now_ms: i64) -> Walk<'k> {
        Walk { keyspace, entered, now_ms }
    }

    /// The clock of the walk, in milliseconds since 1970.
    pub fn now_ms(&self) -> i64 {
        self.now_ms
    }

    /// The right to visit shards.
    pub fn walker(&self) -> Walker<'_> {
        Walker {
            keyspace: self.keyspace,
            holder: Some(self.entered.holder()),
            now_ms: self.now_ms,
            borrowed: PhantomData,
        }
    }
}

/// The right to visit shard after shard.
#[derive(Clone, Copy)]
pub struct Walker<'a> {
    keyspace: &'a Keyspace,
    /// The number under which a shard is locked while it is looked at; none is needed with the gate closed.
    holder: Option<Holder>,
    now_ms: i64,
    /// The walk, or the set that has the keyspace to itself, lives meanwhile.
    borrowed: PhantomData<&'a ()>,
}

/// Where a look at a shard ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visited {
    /// Go on from here.
    UpTo(ScanPosition),
    /// That was the last.
    All,
    /// Nothing was visited, since the shard is locked: go on from the same position when it is free.
    Busy(Busy),
}

impl<'a> Walker<'a> {
    pub(super) fn whole(keyspace: &'a Keyspace, now_ms: i64) -> Walker<'a> {
        Walker { keyspace, holder: None, now_ms, borrowed: PhantomData }
    }

    /// None: a walk makes no change that could have effects.
    pub fn lock_set(&self) -> Option<&LockSet<'a>> {
        None
    }

    /// The clock of the walk, in milliseconds since 1970.
    pub fn now_ms(&self) -> i64 {
        self.now_ms
    }

    /// Locks a shard for a look at it. `turns` counts the waiting of one caller.
    fn look<R>(&self, shard: usize, turns: &mut u32, visit: impl FnOnce(&ShardData) -> R) -> Result<R, Busy> {
        let index = shard as u16;
        let shard = &self.keyspace.shards[shard];
        let Some(holder) = self.holder else {
            // SAFETY: the gate is closed, and this is the only reference.
            return Ok(visit(unsafe { shard.data() }));
        };
        if !lock_shard(shard, holder, turns) {
            return Err(Busy { shard: index });
        }
        // SAFETY: it was locked above.
        let result = visit(unsafe { shard.data() });
        // SAFETY: as above.
        unsafe { unlock_shard(self.keyspace, index) };
        Ok(result)
    }

    /// Visits the entries of a database that are alive, in the order of their hashes, from a position on. `enough` is asked after each
    /// hash whether to stop before the next. At most one shard is looked at where it is not empty, so a walk can stop between any two.
    pub fn visit(
        &self,
        database: usize,
        from: ScanPosition,
        visit: &mut dyn FnMut(EntryRef<'_>),
        enough: &mut dyn FnMut() -> bool,
    ) -> Visited {
        let (shard, tag) = from.shard_and_tag(self.keyspace.shard_bits);
        let next_tag = self.look(shard, &mut 0, |data| {
            let database = data.database(database)?;
            let visit = |entry: EntryRef<'_>| {
                if !entry.is_gone(self.now_ms) {
                    visit(entry);
                }
            };
            database.table.visit_from(tag, visit, enough)
        });
        match next_tag {
            Err(busy) => Visited::Busy(busy),
            Ok(Some(tag)) => Visited::UpTo(ScanPosition::new(shard, tag)),
            Ok(None) if shard + 1 < self.keyspace.shards.len() => Visited::UpTo(ScanPosition::new(shard + 1, 0)),
            Ok(None) => Visited::All,
        }
    }

    /// A key of a database, each about as likely as any other; `random` draws 64 bits. Where shards are locked the others are asked, and
    /// only where these have no key either, one of the locked ones is to be waited for.
    pub fn random_key(&self, database: usize, mut random: impl FnMut() -> u64) -> Result<Option<Vec<u8>>, Busy> {
        let (shards, mut turns) = (self.keyspace.shards.len(), 0);
        // A random slot of a random shard: fair, but a miss where it is empty. Small databases have mostly empty shards.
        for _ in 0..4 * shards {
            let shard = (random() % shards as u64) as usize;
            let slot = random();
            let found = self.look(shard, &mut turns, |data| {
                let entry = data.database(database)?.table.at_random(slot)?;
                (!entry.is_gone(self.now_ms)).then(|| entry.key().to_vec())
            });
            if let Ok(Some(key)) = found {
                return Ok(Some(key));
            }
        }
        // All but empty: look at everything once, from a random place.
        let start = (random() % shards as u64) as usize;
        let mut busy = None;
        for shard in (start..shards).chain(0..start) {
            let mut found = None;
            let look = self.look(shard, &mut turns, |data| {
                let Some(database) = data.database(database) else { return };
                let mut visit = |entry: EntryRef<'_>| {
                    if found.is_none() && !entry.is_gone(self.now_ms) {
                        found = Some(entry.key().to_vec());
                    }
                };
                database.table.visit_from(0, &mut visit, || false);
            });
            if found.is_some() {
                return Ok(found);
            }
            busy = busy.or(look.err());
        }
        busy.map_or(Ok(None), Err)
    }
}
