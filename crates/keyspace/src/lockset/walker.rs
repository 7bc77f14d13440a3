//! The right to visit everything, a shard at a time.

use std::ops::Range;

use super::LockSet;
use crate::{entry::EntryRef, scan::ScanPosition};

/// The right to visit shard after shard, each locked while it is looked at.
#[derive(Clone, Copy)]
pub struct Walker<'a> {
    pub(super) set: &'a LockSet<'a>,
}

impl<'a> Walker<'a> {
    /// The set that it is a right to.
    pub fn lock_set(&self) -> Option<&LockSet<'a>> {
        Some(self.set)
    }

    pub fn now_ms(&self) -> i64 {
        self.set.now_ms
    }

    /// Visits the entries of a database that are alive, in the order of their hashes, from a position on. `visit` is asked after each
    /// whether it goes on to the next hash. Returns where to go on; `None` at the end.
    ///
    /// At most one shard is looked at where it is not empty; so a walk can stop between any two.
    pub fn visit(
        &self,
        database: usize,
        from: ScanPosition,
        visit: &mut dyn FnMut(EntryRef<'_>),
        enough: &mut dyn FnMut() -> bool,
    ) -> Option<ScanPosition> {
        let now_ms = self.now_ms();
        let bits = self.set.keyspace.shard_bits;
        let (shard, tag) = from.shard_and_tag(bits);
        let next_tag = self.set.with_shard(shard, |data| {
            let database = data.database(database)?;
            let visit = |entry: EntryRef<'_>| {
                if !entry.is_gone(now_ms) {
                    visit(entry);
                }
            };
            database.table.visit_from(tag, visit, enough)
        });
        match next_tag {
            Some(tag) => Some(ScanPosition::new(shard, tag)),
            None if shard + 1 < self.set.keyspace.shards.len() => Some(ScanPosition::new(shard + 1, 0)),
            None => None,
        }
    }

    /// How many keys a database holds, expired ones that nobody has removed yet among them.
    pub fn key_count(&self, database: usize) -> usize {
        self.set.keyspace.sizes.get(database).unwrap_or_else(|| self.database_size(database).keys)
    }

    /// What a database holds.
    pub fn database_size(&self, database: usize) -> DatabaseSize {
        self.database_sizes(database..database + 1).pop().unwrap_or_default()
    }

    /// What each of some databases holds.
    pub fn database_sizes(&self, databases: Range<usize>) -> Vec<DatabaseSize> {
        let mut sizes = vec![DatabaseSize::default(); databases.len()];
        for shard in 0..self.set.keyspace.shards.len() {
            self.set.with_shard(shard, |data| {
                for (size, index) in sizes.iter_mut().zip(databases.clone()) {
                    let Some(database) = data.database(index) else { continue };
                    size.keys += database.table.len();
                    size.expires += database.deadlines.len();
                    size.with_expiring_fields += database.field_deadlines.as_ref().map_or(0, |it| it.len());
                    size.slots += database.table.slots_len();
                    size.expiry_sum_ms += database.deadlines.sum_ms();
                }
            });
        }
        sizes
    }

    /// A key of a database, each about as likely as any other; `random` draws 64 bits.
    pub fn random_key(&self, database: usize, mut random: impl FnMut() -> u64) -> Option<Vec<u8>> {
        let shards = self.set.keyspace.shards.len();
        let now_ms = self.now_ms();
        // A random slot of a random shard: fair, but a miss where it is empty. Small databases have mostly empty shards.
        for _ in 0..4 * shards {
            let shard = (random() % shards as u64) as usize;
            let slot = random();
            let found = self.set.with_shard(shard, |data| {
                let entry = data.database(database)?.table.at_random(slot)?;
                (!entry.is_gone(now_ms)).then(|| entry.key().to_vec())
            });
            if found.is_some() {
                return found;
            }
        }
        // All but empty: look at everything once, from a random place.
        let start = (random() % shards as u64) as usize;
        (0..shards).find_map(|i| {
            let mut found = None;
            self.set.with_shard((start + i) % shards, |data| {
                if let Some(database) = data.database(database) {
                    let mut visit = |entry: EntryRef<'_>| {
                        if found.is_none() && !entry.is_gone(now_ms) {
                            found = Some(entry.key().to_vec());
                        }
                    };
                    database.table.visit_from(0, &mut visit, || false);
                }
            });
            found
        })
    }
}

/// What a database holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DatabaseSize {
    pub keys: usize,
    pub expires: usize,
    /// The hashes some of whose fields expire.
    pub with_expiring_fields: usize,
    pub slots: usize,
    /// About the sum of the deadlines, in milliseconds since 1970.
    pub expiry_sum_ms: i128,
}
