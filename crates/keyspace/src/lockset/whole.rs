//! The right to change all keys at once.

use std::marker::PhantomData;

use super::{LockSet, Walker, Writer};

/// The right to change all keys at once. The gate is closed.
pub struct WholeKeyspace<'a> {
    pub(super) set: &'a LockSet<'a>,
    /// Borrows the set mutably, so that no entry of it is borrowed.
    pub(super) alone: PhantomData<&'a mut ()>,
}

impl<'a> WholeKeyspace<'a> {
    /// Returns the lock set that gave this right.
    pub fn lock_set(&self) -> Option<&LockSet<'a>> {
        Some(self.set)
    }

    /// Returns the right to read and write single keys.
    pub fn writer(&mut self) -> Writer<'_> {
        Writer { set: self.set, alone: PhantomData }
    }

    /// Returns the right to visit shard after shard.
    pub fn walker(&self) -> Walker<'_> {
        self.set.walker()
    }

    /// Removes all keys of a database (FLUSHDB). Returns their number, expired ones among them. The graveyard's thread frees them.
    pub fn flush(&mut self, database: usize) -> usize {
        let mut removed = Vec::new();
        let mut keys = 0;
        for index in 0..self.set.keyspace.shards.len() {
            self.set.with_shard(index, |shard| {
                let taken = shard.take_database(database);
                if taken.table.len() > 0 {
                    shard.touch_existing_watchers(database, &taken, self.set.keyspace);
                    keys += taken.table.len();
                    removed.push(taken);
                }
            });
            self.set.publish_deadline(index);
        }
        self.set.keyspace.sizes.clear(self.set.core(), database);
        self.set.keyspace.graveyard.bury(removed);
        keys
    }

    /// Returns the number of slots in all tables of a database, occupied or not (DEBUG HTSTATS).
    pub fn slots(&self, database: usize) -> usize {
        let shards = 0..self.set.keyspace.shards.len();
        let slots = |shard| {
            self.set.with_shard(shard, |data| data.database(database).map_or(0, |entries| entries.table.slots_len()))
        };
        shards.map(slots).sum()
    }

    /// Exchanges the contents of two databases (SWAPDB).
    pub fn swap(&mut self, a: usize, b: usize) {
        for index in 0..self.set.keyspace.shards.len() {
            self.set.with_shard(index, |shard| {
                let keyspace = self.set.keyspace;
                for database in [a, b] {
                    for other in [a, b] {
                        let taken = shard.take_database(other);
                        shard.touch_existing_watchers(database, &taken, keyspace);
                        if taken.table.len() > 0 {
                            *shard.database_mut(other) = taken;
                        }
                    }
                }
                shard.swap_databases(a, b);
            });
        }
        self.set.keyspace.sizes.swap(self.set.core(), a, b);
    }
}
