//! The right to change all keys at once.

use std::{marker::PhantomData, ops::Range};

use super::{LockSet, Snapshot, Walker, Writer};

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

    /// Removes all keys of some databases (FLUSHDB, FLUSHALL). Returns their number, expired ones among them. The graveyard's thread frees
    /// them.
    pub fn flush(&mut self, databases: Range<usize>) -> usize {
        let keyspace = self.set.keyspace;
        let mut removed = Vec::new();
        let mut keys = 0;
        let core = self.set.core();
        for index in 0..keyspace.shards.len() {
            self.set.with_shard(index, |shard| {
                let mut taken = shard.take_databases(databases.clone());
                if !taken.is_empty() {
                    shard.touch_existing_watchers(keyspace, |database| [taken.get(&database), None]);
                    keys += taken.values().map(|database| database.table.len()).sum::<usize>();
                    for (&database, contents) in &mut taken {
                        keyspace.snapshots.hand_table_over(core, index, database, &mut contents.table);
                    }
                    removed.extend(taken.into_values());
                }
            });
            self.set.publish_deadlines(index);
        }
        databases.for_each(|database| keyspace.sizes.clear(core, database));
        keyspace.graveyard.bury(removed);
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

    /// Begins a snapshot of the first `databases` databases. The result is `None` if one is running.
    pub fn cut(&mut self, databases: usize) -> Option<Snapshot> {
        let keyspace = self.set.keyspace;
        let snapshot = Snapshot::begin(keyspace, keyspace.sizes(self.set.core(), 0..databases));
        self.set.cut.set(keyspace.snapshots.cut());
        snapshot
    }

    /// Exchanges the contents of two databases (SWAPDB).
    pub fn swap(&mut self, a: usize, b: usize) {
        for index in 0..self.set.keyspace.shards.len() {
            self.set.with_shard(index, |shard| {
                let (of_a, of_b) = (shard.take_database(a), shard.take_database(b));
                // A watched key has changed if it was there or is there now.
                shard.touch_existing_watchers(self.set.keyspace, |database| {
                    if database == a || database == b { [Some(&of_a), Some(&of_b)] } else { [None, None] }
                });
                shard.put_database(a, of_b);
                shard.put_database(b, of_a);
            });
        }
        self.set.keyspace.sizes.swap(self.set.core(), a, b);
        self.set.keyspace.snapshots.note_swap(a, b);
    }
}
