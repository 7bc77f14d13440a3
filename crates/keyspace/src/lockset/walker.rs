//! The right to visit all keys, one shard at a time.

use std::marker::PhantomData;

use super::{Busy, LockSet, lock_shard, unlock_shard};
use crate::{
    AccessClock, Keyspace,
    entry::EntryRef,
    eviction::{self, EvictionOrder, EvictionRule, Evictor, Victim},
    gate::Entered,
    scan::ScanPosition,
    shard::ShardData,
    sync::Holder,
};

/// A visit of shard after shard, each of which is locked only while it is looked at (SCAN, KEYS). Between two looks it holds no shard, so it
/// gives no [`crate::Reader`], whose entries would outlive the look.
pub struct Walk<'k> {
    keyspace: &'k Keyspace,
    entered: Entered<'k>,
    now_ms: i64,
    removes_expired: bool,
}

impl<'k> Walk<'k> {
    /// Begins a walk at the time `now_ms`, in milliseconds since 1970. `removes_expired` says whether the caller removes expired keys that the
    /// walk meets, or only hides them, as while writes are paused.
    pub fn new(keyspace: &'k Keyspace, entered: Entered<'k>, now_ms: i64, removes_expired: bool) -> Walk<'k> {
        Walk { keyspace, entered, now_ms, removes_expired }
    }

    /// The clock of the walk, in milliseconds since 1970.
    pub fn now_ms(&self) -> i64 {
        self.now_ms
    }

    /// Returns the right to visit shards.
    pub fn walker(&self) -> Walker<'_> {
        Walker {
            keyspace: self.keyspace,
            right: Right::Shards(self.entered.holder(), PhantomData),
            core: self.entered.core(),
            now_ms: self.now_ms,
            removes_expired: self.removes_expired,
        }
    }
}

/// The right to visit shard after shard.
#[derive(Clone, Copy)]
pub struct Walker<'a> {
    keyspace: &'a Keyspace,
    right: Right<'a>,
    /// The core that walks.
    core: usize,
    now_ms: i64,
    removes_expired: bool,
}

/// How a walker reaches a shard.
#[derive(Clone, Copy)]
enum Right<'a> {
    /// It locks the shard under this number while it looks at it. The walk, whose number it is, is kept alive.
    Shards(Holder, PhantomData<&'a ()>),
    /// The gate is closed, and no lock is needed.
    Whole(&'a LockSet<'a>),
}

/// An entry that a visit meets.
#[derive(Clone, Copy, Debug)]
pub enum Met<'e> {
    /// Its key exists.
    Live(EntryRef<'e>),
    /// Its key counts as absent: it has expired, or all fields of its hash have. It is not removed yet.
    Expired(EntryRef<'e>),
}

impl<'e> Met<'e> {
    /// Returns the entry, whether it has expired or not.
    pub fn entry(self) -> EntryRef<'e> {
        match self {
            Met::Live(entry) | Met::Expired(entry) => entry,
        }
    }
}

/// The result of [`Walker::random_key`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RandomKey {
    /// A random key.
    Found(Box<[u8]>),
    /// An expired key. The caller removes it, and draws again.
    Expired(Box<[u8]>),
    /// There is no key.
    None,
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
    pub(super) fn whole(set: &'a LockSet<'a>) -> Walker<'a> {
        Walker {
            keyspace: set.keyspace,
            right: Right::Whole(set),
            core: set.core(),
            now_ms: set.now_ms,
            removes_expired: set.removes_expired,
        }
    }

    /// Returns the lock set that gave this right, if it is the whole keyspace. A walk from shard to shard has none, and changes nothing.
    pub fn lock_set(&self) -> Option<&'a LockSet<'a>> {
        if let Right::Whole(set) = self.right { Some(set) } else { None }
    }

    /// Whether expired keys that the walk meets are to be removed. Otherwise they are only hidden.
    pub fn removes_expired(&self) -> bool {
        self.removes_expired
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
        let Right::Shards(holder, _) = self.right else {
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

    /// Visits the entries of a database in one shard, in the order of their hashes, from a position on. `enough` is asked before each further
    /// hash; if it returns true, the visit ends there. Neither function may call the lock set or the walker.
    pub fn visit(
        &self,
        database: usize,
        from: ScanPosition,
        visit: &mut dyn FnMut(Met<'_>),
        enough: &mut dyn FnMut() -> bool,
    ) -> Visited {
        let (shard, tag) = from.shard_and_tag(self.keyspace.shard_bits);
        let next_tag = self.look(shard, &mut 0, |data| {
            let database = data.database(database)?;
            let visit = |entry: EntryRef<'_>| {
                visit(if entry.is_gone(self.now_ms) { Met::Expired(entry) } else { Met::Live(entry) });
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

    /// Draws a random key of a database (RANDOMKEY). All keys are about equally likely. `random` returns 64 random bits. If expired keys are
    /// removed, the search ends at the first one that it meets; otherwise it passes them over.
    ///
    /// # Errors
    /// If no key was found, but there may be one: in a shard that is locked, or because a key has moved from a shard that was not visited yet
    /// to one that was, past this walk. Locked shards are passed over as long as others have keys.
    pub fn random_key(&self, database: usize, mut random: impl FnMut() -> u64) -> Result<RandomKey, Busy> {
        let (shards, mut turns) = (self.keyspace.shards.len(), 0);
        if self.keyspace.len_of(self.core, database) == 0 {
            return Ok(RandomKey::None);
        }
        let drawn = |entry: EntryRef<'_>| match entry.is_gone(self.now_ms) {
            false => Some(RandomKey::Found(entry.key().into())),
            true => self.removes_expired.then(|| RandomKey::Expired(entry.key().into())),
        };
        // A random slot of a random shard is fair, but it may be empty. In a small database most shards are.
        for _ in 0..4 * shards {
            let shard = (random() % shards as u64) as usize;
            let slot = random();
            let found = self.look(shard, &mut turns, |data| drawn(data.database(database)?.table.at_random(slot)?));
            if let Ok(Some(key)) = found {
                return Ok(key);
            }
        }
        // The database is nearly empty: look at all shards, from a random one on.
        let start = (random() % shards as u64) as usize;
        let (mut busy, mut passed_over) = (None, 0);
        for shard in (start..shards).chain(0..start) {
            let mut found = None;
            let look = self.look(shard, &mut turns, |data| {
                let Some(database) = data.database(database) else { return };
                let mut visit = |entry: EntryRef<'_>| {
                    if found.is_none() {
                        found = drawn(entry);
                        passed_over += usize::from(found.is_none());
                    }
                };
                database.table.visit_from(0, &mut visit, || false);
            });
            if let Some(key) = found {
                return Ok(key);
            }
            busy = busy.or(look.err());
        }
        match busy {
            Some(busy) => Err(busy),
            // The walk has seen the shards one after the other. Only the size says whether they held no further key at one instant.
            None if self.lock_set().is_none() && self.keyspace.len_of(self.core, database) > passed_over => {
                Err(Busy { shard: start as u16 })
            }
            None => Ok(RandomKey::None),
        }
    }

    /// Chooses a key to evict. `clock` is the access clock of now; `random` returns 64 random bits. Returns `None` if there is no key that the
    /// rule allows, or if the only ones are in shards that were empty when they were looked at.
    ///
    /// # Errors
    /// If no key was found, but a shard is locked that may have one.
    pub fn choose_victim(
        &self,
        evictor: &mut Evictor,
        rule: EvictionRule,
        clock: AccessClock,
        random: &mut dyn FnMut() -> u64,
    ) -> Result<Option<Victim>, Busy> {
        evictor.follow(rule);
        match rule.order {
            EvictionOrder::SoonestExpiry => self.choose_soonest(rule),
            EvictionOrder::Random => {
                let mut victim = None;
                let start = self.draw_shard(evictor, rule, random);
                let busy = self.look_around(start, |shard| {
                    victim = eviction::draw(self.keyspace, shard, rule, random);
                    victim.is_some()
                });
                if victim.is_some() { Ok(victim) } else { busy.map_or(Ok(None), Err) }
            }
            EvictionOrder::ByAccess => {
                let mut looked_at = 0;
                let start = self.draw_shard(evictor, rule, random);
                let busy = self.look_around(start, |shard| {
                    looked_at += evictor.sample(self.keyspace, shard, rule, clock, random);
                    looked_at >= rule.samples
                });
                match (evictor.pop(), busy) {
                    (None, Some(busy)) => Err(busy),
                    (victim, _) => Ok(victim),
                }
            }
        }
    }

    /// Draws a shard with a probability that grows with the number of its keys.
    fn draw_shard(&self, evictor: &mut Evictor, rule: EvictionRule, random: &mut dyn FnMut() -> u64) -> usize {
        /// If no shard is accepted in so many tries, most have become empty.
        const TRIES: usize = 32;
        let shards = self.keyspace.shards.len() as u64;
        for _ in 0..TRIES {
            let shard = (random() % shards) as usize;
            // A locked shard is passed over.
            let len = self.look(shard, &mut 0, |data| eviction::len(data, rule)).unwrap_or(0);
            if evictor.accepts(len, random()) {
                return shard;
            }
        }
        evictor.forget_shard_len();
        (random() % shards) as usize
    }

    /// Looks at one shard after the other, from `start` on, until `look` returns true. Returns the last shard that was passed over since it is
    /// locked.
    fn look_around(&self, start: usize, mut look: impl FnMut(&ShardData) -> bool) -> Option<Busy> {
        let (mut turns, mut busy) = (0, None);
        for shard in (start..self.keyspace.shards.len()).chain(0..start) {
            match self.look(shard, &mut turns, &mut look) {
                Ok(true) => break,
                Ok(false) => {}
                Err(locked) => busy = Some(locked),
            }
        }
        busy
    }

    /// Chooses the key that expires first.
    fn choose_soonest(&self, rule: EvictionRule) -> Result<Option<Victim>, Busy> {
        while let Some((expected_ms, shard)) = self.keyspace.soonest_shard() {
            let look = |data: &ShardData| {
                // A lookup that removes an expired key does not publish, so the deadline may be that of a key that is gone.
                self.keyspace.publish_deadlines(shard, data.first_deadlines());
                eviction::soonest(self.keyspace, data, rule)
            };
            if let Some((at_ms, victim)) = self.look(shard, &mut 0, look)?
                && at_ms <= expected_ms
            {
                return Ok(Some(victim));
            }
        }
        Ok(None)
    }
}
