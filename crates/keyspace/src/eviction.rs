//! Which key to evict when memory is short.
//!
//! The least recently used key, or the least frequently used one, is found by sampling, as on Redis (`evictionPoolPopulate`). Each choice
//! compares some keys of a random shard, and keeps the best candidates of this and of earlier samples in a pool. So a few keys for each
//! choice come close to comparing all keys. A candidate that was used since it was sampled is passed over.
//!
//! The key that expires soonest is not sampled. Every shard publishes the earliest deadline of its keys, and its
//! deadlines are sorted.
//!
//! Shards are looked at one by one, and none is locked between the choice and the removal. The removal looks at the key again.

use ochre_datatypes::deadlines::Deadlines;

use crate::{
    AccessClock, Keyspace,
    entry::EntryRef,
    shard::{Database, ShardData},
    table::Position,
};

/// The most candidates of a pool. (Redis: `EVPOOL_SIZE`)
const POOL_MAX: usize = 16;

/// In which order keys are evicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EvictionOrder {
    /// Those first that the access clock calls least worth keeping: least recently used or changed, or least frequently used.
    ByAccess,
    /// In any order.
    Random,
    /// Those first that expire soonest.
    SoonestExpiry,
}

/// Which keys are evicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EvictionRule {
    /// In which order.
    pub order: EvictionOrder,
    /// Only keys with an expiry.
    pub only_expiring: bool,
    /// The number of keys that are compared for each choice.
    pub samples: usize,
}

/// A key to evict. It may have been used, changed or removed since it was chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Victim {
    /// The key's database.
    pub database: usize,
    /// The hash of the key.
    pub hash: u64,
    /// The key.
    pub key: Box<[u8]>,
    /// Its access clock, if the choice depends on it.
    access: Option<u32>,
    /// Whether it was chosen because it expires.
    expires: bool,
}

impl Victim {
    /// Returns whether the choice still holds for the entry of the key.
    pub(crate) fn is_still(&self, entry: EntryRef<'_>) -> bool {
        self.access.is_none_or(|access| access == entry.access()) && (!self.expires || entry.expiry_ms().is_some())
    }
}

/// A key that was sampled.
struct Candidate {
    /// The larger, the sooner it is evicted.
    rank: u32,
    victim: Victim,
}

/// What one core knows of keys that may be evicted.
#[derive(Default)]
pub struct Evictor {
    /// The rule that the candidates were chosen by.
    rule: Option<EvictionRule>,
    /// In ascending order of their ranks, at most `POOL_MAX`.
    pool: Vec<Candidate>,
    /// The most keys that a shard has, as far as is known; see [`Evictor::accepts`].
    shard_len_max: usize,
}

impl Evictor {
    /// Forgets the candidates if they were chosen by another rule.
    pub(crate) fn follow(&mut self, rule: EvictionRule) {
        if self.rule.replace(rule) != Some(rule) {
            self.pool.clear();
            self.shard_len_max = 0;
        }
    }

    /// Returns whether a shard that was drawn is to be used. All shards are drawn alike. So that all keys are, a shard is used the more often the
    /// more keys it has.
    pub(crate) fn accepts(&mut self, shard_len: usize, random: u64) -> bool {
        self.shard_len_max = self.shard_len_max.max(shard_len);
        shard_len > 0 && ((u128::from(random) * self.shard_len_max as u128) >> 64) < shard_len as u128
    }

    /// Forgets how many keys a shard has at most, since there may be fewer by now.
    pub(crate) fn forget_shard_len(&mut self) {
        self.shard_len_max = 0;
    }

    /// Takes the best candidate.
    pub(crate) fn pop(&mut self) -> Option<Victim> {
        Some(self.pool.pop()?.victim)
    }

    /// Adds sampled keys of a shard to the pool. Returns how many keys were looked at.
    pub(crate) fn sample(
        &mut self,
        keyspace: &Keyspace,
        shard: &ShardData,
        rule: EvictionRule,
        clock: AccessClock,
        random: &mut dyn FnMut() -> u64,
    ) -> usize {
        let mut looked_at = 0;
        for (index, database) in databases(shard, rule) {
            visit_some(database, rule, random, &mut |entry| {
                looked_at += 1;
                self.add(keyspace, index, entry, clock.rank(entry.access()), rule.only_expiring);
            });
        }
        looked_at
    }

    /// Adds a candidate, unless the pool is full of better ones.
    fn add(&mut self, keyspace: &Keyspace, database: usize, entry: EntryRef<'_>, rank: u32, expires: bool) {
        if self.pool.len() == POOL_MAX && rank <= self.pool[0].rank {
            return;
        }
        let hash = keyspace.hash(entry.key()).hash;
        let is_it = |candidate: &Candidate| {
            (candidate.victim.hash, candidate.victim.database) == (hash, database)
                && *candidate.victim.key == *entry.key()
        };
        if let Some(at) = self.pool.iter().position(is_it) {
            self.pool.remove(at);
        } else if self.pool.len() == POOL_MAX {
            self.pool.remove(0);
        }
        let at = self.pool.partition_point(|candidate| candidate.rank < rank);
        let victim = Victim { database, hash, key: entry.key().into(), access: Some(entry.access()), expires };
        self.pool.insert(at, Candidate { rank, victim });
    }
}

/// Returns the databases of a shard from which keys may be evicted.
fn databases(shard: &ShardData, rule: EvictionRule) -> impl Iterator<Item = (usize, &Database)> {
    shard.databases_from(0).filter(move |&(_, database)| len_of(database, rule) > 0)
}

/// Returns how many keys of a database may be evicted.
fn len_of(database: &Database, rule: EvictionRule) -> usize {
    if rule.only_expiring { database.deadlines.len() } else { database.table.len() }
}

/// Returns how many keys of a shard may be evicted.
pub(crate) fn len(shard: &ShardData, rule: EvictionRule) -> usize {
    databases(shard, rule).map(|(_, database)| len_of(database, rule)).sum()
}

/// Visits entries of a database that may be evicted: as many as the rule says, if there are so many.
fn visit_some(
    database: &Database,
    rule: EvictionRule,
    random: &mut dyn FnMut() -> u64,
    visit: &mut dyn FnMut(EntryRef<'_>),
) {
    if !rule.only_expiring {
        database.table.visit_some(random(), rule.samples, visit);
        return;
    }
    // Keys that follow each other in the order of their expiries are often used alike, so each is drawn by itself.
    for _ in 0..rule.samples.min(database.deadlines.len()) {
        let drawn = (random() % database.deadlines.len() as u64) as usize;
        let position = database.deadlines.get(drawn).and_then(|deadline| expiring(database, deadline));
        position.into_iter().for_each(|position| visit(database.table.entry(position)));
    }
}

/// Returns the position of an entry that a deadline stands for.
fn expiring(database: &Database, (deadline_ms, tag): (i64, u32)) -> Option<Position> {
    let is_it = |entry: EntryRef<'_>| entry.expiry_ms().is_some_and(|at_ms| Deadlines::stands_for(deadline_ms, at_ms));
    database.table.find_deadline(tag, is_it)
}

/// Returns a random key of a shard; each is as likely as any other.
pub(crate) fn draw(
    keyspace: &Keyspace,
    shard: &ShardData,
    rule: EvictionRule,
    random: &mut dyn FnMut() -> u64,
) -> Option<Victim> {
    let mut left = (random() % len(shard, rule).max(1) as u64) as usize;
    for (index, database) in databases(shard, rule) {
        if left < len_of(database, rule) {
            let entry = if rule.only_expiring {
                database.table.entry(expiring(database, database.deadlines.get(left)?)?)
            } else {
                database.table.draw(random)?
            };
            return Some(unconditional(keyspace, index, entry, rule.only_expiring));
        }
        left -= len_of(database, rule);
    }
    None
}

/// Returns the key of a shard that expires first, with its expiry in milliseconds since 1970.
pub(crate) fn soonest(keyspace: &Keyspace, shard: &ShardData, rule: EvictionRule) -> Option<(i64, Victim)> {
    let first = |(index, database): (usize, &Database)| Some((database.deadlines.get(0)?, index));
    let (deadline, index) = databases(shard, rule).filter_map(first).min()?;
    let database = shard.database(index)?;
    let entry = database.table.entry(expiring(database, deadline)?);
    Some((deadline.0, unconditional(keyspace, index, entry, true)))
}

/// Returns a victim that is evicted even if it was used meanwhile.
fn unconditional(keyspace: &Keyspace, database: usize, entry: EntryRef<'_>, expires: bool) -> Victim {
    let key = entry.key();
    Victim { database, hash: keyspace.hash(key).hash, key: key.into(), access: None, expires }
}
