//! The waiters of a shard: blocked clients, queued by the key that they wait for, in order of arrival.

use std::{any::Any, collections::BTreeMap, collections::HashMap, sync::Arc};

/// A waiter. The keyspace keeps it without looking into it; the caller that parks it knows its type.
pub type Waiter = Arc<dyn Any + Send + Sync>;

/// A number of keys that are waited for, or a change of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AwaitedKeys {
    /// Keys with at least one waiter.
    pub keys: isize,
    /// Those of them with a waiter that also waits for the key's removal (XREADGROUP, which then replies with an error).
    pub keys_for_removal: isize,
}

/// All waiters of a shard.
#[derive(Default)]
pub(crate) struct Waiters {
    /// By key, the queues of the databases in which it has waiters. That is seldom more than one.
    by_key: HashMap<Box<[u8]>, Vec<Queue>, foldhash::fast::RandomState>,
}

/// The waiters on one key of one database.
pub(crate) struct Queue {
    pub(crate) database: usize,
    /// By ticket; tickets are given out in order of arrival.
    waiters: BTreeMap<u64, Waiter>,
    /// The number of waiters that also wait for the key's removal.
    for_removal: usize,
}

impl Waiters {
    pub(crate) fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    /// Adds a waiter to the queue of a key. Returns the change of the number of awaited keys.
    pub(crate) fn add(
        &mut self,
        database: usize,
        key: &[u8],
        ticket: u64,
        waiter: Waiter,
        for_removal: bool,
    ) -> AwaitedKeys {
        if !self.by_key.contains_key(key) {
            self.by_key.insert(key.into(), Vec::new());
        }
        let queues = self.by_key.get_mut(key).expect("the key was inserted above");
        let index = queues.iter().position(|queue| queue.database == database).unwrap_or_else(|| {
            queues.push(Queue { database, waiters: BTreeMap::new(), for_removal: 0 });
            queues.len() - 1
        });
        let queue = &mut queues[index];
        let before = queue.awaited();
        // A command that names a key twice waits for it once.
        if queue.waiters.insert(ticket, waiter).is_none() {
            queue.for_removal += usize::from(for_removal);
        }
        queue.awaited().since(before)
    }

    /// Removes a waiter from the queue of a key, if it is there. Returns the change of the number of awaited keys.
    pub(crate) fn remove(&mut self, database: usize, key: &[u8], ticket: u64, for_removal: bool) -> AwaitedKeys {
        let unchanged = AwaitedKeys::default();
        let Some(queues) = self.by_key.get_mut(key) else { return unchanged };
        let Some(index) = queues.iter().position(|queue| queue.database == database) else { return unchanged };
        let queue = &mut queues[index];
        let before = queue.awaited();
        if queue.waiters.remove(&ticket).is_none() {
            return unchanged;
        }
        queue.for_removal -= usize::from(for_removal);
        let change = queue.awaited().since(before);
        if queue.waiters.is_empty() {
            queues.swap_remove(index);
            if queues.is_empty() {
                self.by_key.remove(key);
            }
        }
        change
    }

    /// Returns the queues of a key, one for each database in which it has waiters.
    pub(crate) fn queues(&self, key: &[u8]) -> &[Queue] {
        self.by_key.get(key).map_or(&[], Vec::as_slice)
    }

    /// Returns the queue of a key in a database.
    pub(crate) fn queue(&self, database: usize, key: &[u8]) -> Option<&Queue> {
        self.queues(key).iter().find(|queue| queue.database == database)
    }

    /// Returns the keys that have waiters, with their databases.
    pub(crate) fn keys(&self) -> impl Iterator<Item = (usize, &[u8])> {
        self.by_key.iter().flat_map(|(key, queues)| queues.iter().map(|queue| (queue.database, &**key)))
    }
}

impl AwaitedKeys {
    /// Returns the change from `before` to this.
    fn since(self, before: AwaitedKeys) -> AwaitedKeys {
        AwaitedKeys { keys: self.keys - before.keys, keys_for_removal: self.keys_for_removal - before.keys_for_removal }
    }
}

impl Queue {
    /// Returns what this queue adds to the number of awaited keys.
    fn awaited(&self) -> AwaitedKeys {
        AwaitedKeys { keys: isize::from(!self.waiters.is_empty()), keys_for_removal: isize::from(self.for_removal > 0) }
    }

    /// Returns the waiters that came after the one with this ticket, in order of arrival.
    pub(crate) fn iter_after(&self, ticket: u64) -> impl Iterator<Item = (u64, &Waiter)> {
        self.waiters.range(ticket + 1..).map(|(&ticket, waiter)| (ticket, waiter))
    }

    /// Returns whether a waiter also waits for the key's removal.
    pub(crate) fn wants_removal(&self) -> bool {
        self.for_removal > 0
    }
}
