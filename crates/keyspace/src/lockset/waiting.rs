//! Blocked commands. A waiter is kept in the shard of each key that it waits for, where a writer of the key finds it.

use smallvec::SmallVec;

use super::{LockSet, ShardList};
use crate::{HashedKey, waiters::Waiter};

impl LockSet<'_> {
    /// Returns whether the set holds a shard.
    #[inline]
    pub fn holds(&self, shard: usize) -> bool {
        match &self.held {
            super::Held::Shards(shards, _) => shards.binary_search(&(shard as u16)).is_ok(),
            super::Held::Whole(..) => true,
        }
    }

    /// Releases the locks. Returns their shards, so that the caller can lock them again together with others; none if the set was the whole
    /// keyspace.
    pub fn release(mut self) -> ShardList {
        match &mut self.held {
            super::Held::Shards(shards, _) => shards.clone(),
            super::Held::Whole(..) => ShardList::new(),
        }
    }

    /// Parks a waiter on a key. `ticket` is from [`crate::Keyspace::next_ticket`], taken while this set is held, so that tickets are in order of
    /// arrival. `for_removal` says that the waiter also waits for the key's removal.
    pub fn park(&self, database: usize, key: HashedKey<'_>, ticket: u64, waiter: Waiter, for_removal: bool) {
        let change = self.with_shard(self.keyspace.shard_of(key.hash), |shard| {
            shard.observers_mut().waiters.add(database, key.bytes, ticket, waiter, for_removal)
        });
        self.keyspace.count_awaited(change);
    }

    /// Removes a waiter from a key, if it is there. `for_removal` is what it was parked with.
    pub fn unpark(&self, database: usize, key: HashedKey<'_>, ticket: u64, for_removal: bool) {
        let change = self.with_shard(self.keyspace.shard_of(key.hash), |shard| {
            let change = shard.observers_mut().waiters.remove(database, key.bytes, ticket, for_removal);
            shard.drop_empty_observers();
            change
        });
        self.keyspace.count_awaited(change);
    }

    /// Returns the first waiter on a key after the one with this ticket, and its ticket. Tickets begin at 1.
    pub fn next_waiter(&self, database: usize, key: HashedKey<'_>, ticket: u64) -> Option<(u64, Waiter)> {
        self.with_shard(self.keyspace.shard_of(key.hash), |shard| {
            let queue = shard.observers.as_ref()?.waiters.queue(database, key.bytes)?;
            queue.iter_after(ticket).next().map(|(ticket, waiter)| (ticket, waiter.clone()))
        })
    }

    /// Returns whether a waiter on the key waits for its removal.
    pub fn is_removal_awaited(&self, database: usize, key: HashedKey<'_>) -> bool {
        self.with_shard(self.keyspace.shard_of(key.hash), |shard| {
            let queue = shard.observers.as_ref().and_then(|it| it.waiters.queue(database, key.bytes));
            queue.is_some_and(|queue| queue.wants_removal())
        })
    }

    /// Returns the databases in which a key has waiters.
    pub fn databases_awaiting(&self, key: HashedKey<'_>) -> SmallVec<[usize; 2]> {
        self.with_shard(self.keyspace.shard_of(key.hash), |shard| {
            let queues = shard.observers.as_ref().map(|observers| observers.waiters.queues(key.bytes));
            queues.into_iter().flatten().map(|queue| queue.database).collect()
        })
    }

    /// Visits the waiters on a key after the one with this ticket, in order of arrival, as long as `visit` returns true. `visit` runs inside
    /// the shard: of this set it may call [`LockSet::holds`] only.
    pub fn visit_waiters(
        &self,
        database: usize,
        key: HashedKey<'_>,
        ticket: u64,
        mut visit: impl FnMut(u64, &Waiter) -> bool,
    ) {
        self.with_shard(self.keyspace.shard_of(key.hash), |shard| {
            let queue = shard.observers.as_ref().and_then(|observers| observers.waiters.queue(database, key.bytes));
            let _ = queue.is_some_and(|queue| queue.iter_after(ticket).all(|(ticket, waiter)| visit(ticket, waiter)));
        });
    }

    /// Returns the keys of a database that have waiters.
    ///
    /// # Panics
    /// If any key has a waiter and the set is not the whole keyspace.
    pub fn awaited_keys(&self, database: usize) -> Vec<Box<[u8]>> {
        let mut keys = Vec::new();
        if self.keyspace.is_awaited() {
            for index in 0..self.keyspace.shards.len() {
                self.with_shard(index, |shard| {
                    if let Some(observers) = &shard.observers {
                        keys.extend(observers.waiters.keys(database).map(Box::from));
                    }
                });
            }
        }
        keys
    }
}
