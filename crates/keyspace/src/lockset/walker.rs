//! The right to visit all keys, one shard at a time.

use std::marker::PhantomData;

use super::{Busy, LockSet, lock_shard, unlock_shard};
use crate::{Keyspace, entry::EntryRef, gate::Entered, scan::ScanPosition, shard::ShardData, sync::Holder};

/// A visit of shard after shard, each of which is locked only while it is looked at (SCAN, KEYS). Between two looks it holds no shard, so it
/// gives no [`crate::Reader`], whose entries would outlive the look.
pub struct Walk<'k> {
    keyspace: &'k Keyspace,
    entered: Entered<'k>,
    now_ms: i64,
}

impl<'k> Walk<'k> {
    /// Begins a walk. What has expired at the time `now_ms`, in milliseconds since 1970, is not visited.
    pub fn new(keyspace: &'k Keyspace, entered: Entered<'k>, now_ms: i64) -> Walk<'k> {
        Walk { keyspace, entered, now_ms }
    }

    /// The clock of the walk, in milliseconds since 1970.
    pub fn now_ms(&self) -> i64 {
        self.now_ms
    }

    /// Returns the right to visit shards.
    pub fn walker(&self) -> Walker<'_> {
        Walker {
            keyspace: self.keyspace,
            holder: Some(self.entered.holder()),
            core: self.entered.core(),
            now_ms: self.now_ms,
            borrowed: PhantomData,
        }
    }
}

/// The right to visit shard after shard.
#[derive(Clone, Copy)]
pub struct Walker<'a> {
    keyspace: &'a Keyspace,
    /// The number under which a shard is locked while it is looked at; `None` with the gate closed, when no lock is needed.
    holder: Option<Holder>,
    /// The core that walks.
    core: usize,
    now_ms: i64,
    /// Keeps the walk alive, or the lock set of the whole keyspace.
    borrowed: PhantomData<&'a ()>,
}

/// Where a look at a shard ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visited {
    /// There may be more: continue from this position.
    UpTo(ScanPosition),
    /// The last shard was visited.
    All,
    /// Nothing was visited, since the shard is locked. Continue from the same position when it is free.
    Busy(Busy),
}

impl<'a> Walker<'a> {
    pub(super) fn whole(keyspace: &'a Keyspace, core: usize, now_ms: i64) -> Walker<'a> {
        Walker { keyspace, holder: None, core, now_ms, borrowed: PhantomData }
    }

    /// Returns `None`: a walk changes nothing that would have to be announced.
    pub fn lock_set(&self) -> Option<&LockSet<'a>> {
        None
    }

    /// The clock of the walk, in milliseconds since 1970.
    pub fn now_ms(&self) -> i64 {
        self.now_ms
    }

    /// Runs `visit` on a shard, which is locked meanwhile. `turns` counts the tries to lock for one caller.
    ///
    /// `visit` must not reach the shard in another way.
    fn look<R>(&self, shard: usize, turns: &mut u32, visit: impl FnOnce(&ShardData) -> R) -> Result<R, Busy> {
        let index = shard as u16;
        let shard = &self.keyspace.shards[shard];
        let Some(holder) = self.holder else {
            // SAFETY: the gate is closed, and `visit` does not make a second reference.
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

    /// Visits the entries of a database in one shard, in the order of their hashes, from a position on. Expired entries are skipped. `enough`
    /// is asked before each further hash; if it returns true, the visit ends there. Neither function may call the lock set or the walker.
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

    /// Returns a random key of a database (RANDOMKEY); `None` if there is none. All keys are about equally likely. `random` returns 64 random
    /// bits.
    ///
    /// # Errors
    /// If no key was found, but there may be one: in a shard that is locked, or because a key has moved from a shard that was not visited yet
    /// to one that was, past this walk. Locked shards are passed over as long as others have keys.
    pub fn random_key(&self, database: usize, mut random: impl FnMut() -> u64) -> Result<Option<Vec<u8>>, Busy> {
        let (shards, mut turns) = (self.keyspace.shards.len(), 0);
        if self.keyspace.len_of(self.core, database) == 0 {
            return Ok(None);
        }
        // A random slot of a random shard is fair, but it may be empty. In a small database most shards are.
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
        // The database is nearly empty: look at all shards, from a random one on.
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
        match busy {
            Some(busy) => Err(busy),
            // The walk has seen the shards one after the other. Only the size says whether they were all empty at one instant.
            None if self.holder.is_some() && self.keyspace.len_of(self.core, database) > 0 => {
                Err(Busy { shard: start as u16 })
            }
            None => Ok(None),
        }
    }
}
