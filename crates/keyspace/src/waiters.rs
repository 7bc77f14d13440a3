//! Who waits for which key of a shard, first come, first served.

use std::{any::Any, collections::BTreeMap, collections::HashMap, sync::Arc};

/// One who waits, as whoever parks him knows him.
pub type Waiter = Arc<dyn Any + Send + Sync>;

/// How many keys are waited for, and how many of them by somebody who also wants to know that they are gone. A shard's waiters report how
/// they change it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AwaitedKeys {
    pub keys: isize,
    pub keys_for_removal: isize,
}

/// The queues of a shard's keys.
#[derive(Default)]
pub(crate) struct Waiters {
    /// By key, then by database: a key is seldom waited for in two.
    by_key: HashMap<Box<[u8]>, Vec<Queue>, foldhash::fast::RandomState>,
}

/// Those who wait for one key of one database, by their tickets, which are given out in the order of arrival.
pub(crate) struct Queue {
    pub(crate) database: usize,
    waiters: BTreeMap<u64, Waiter>,
    /// How many of them also want to know that the key is gone.
    for_removal: usize,
}

impl Waiters {
    pub(crate) fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    /// Adds one who waits; by how much that changes the number of awaited keys.
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
        let queues = self.by_key.get_mut(key).expect("it was put there above");
        let index = queues.iter().position(|queue| queue.database == database).unwrap_or_else(|| {
            queues.push(Queue { database, waiters: BTreeMap::new(), for_removal: 0 });
            queues.len() - 1
        });
        let queue = &mut queues[index];
        let before = queue.awaited();
        // Who names a key twice waits for it once.
        if queue.waiters.insert(ticket, waiter).is_none() {
            queue.for_removal += usize::from(for_removal);
        }
        queue.awaited().since(before)
    }

    /// Takes one away, if he is there; by how much that changes the number of awaited keys.
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

    /// The queues of a key in all databases.
    pub(crate) fn queues(&self, key: &[u8]) -> &[Queue] {
        self.by_key.get(key).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn queue(&self, database: usize, key: &[u8]) -> Option<&Queue> {
        self.queues(key).iter().find(|queue| queue.database == database)
    }

    /// The keys that somebody waits for in a database.
    pub(crate) fn keys(&self, database: usize) -> impl Iterator<Item = &[u8]> {
        let is_awaited = move |queues: &Vec<Queue>| queues.iter().any(|queue| queue.database == database);
        self.by_key.iter().filter(move |(_, queues)| is_awaited(queues)).map(|(key, _)| &**key)
    }
}

impl AwaitedKeys {
    fn since(self, before: AwaitedKeys) -> AwaitedKeys {
        AwaitedKeys { keys: self.keys - before.keys, keys_for_removal: self.keys_for_removal - before.keys_for_removal }
    }
}

impl Queue {
    fn awaited(&self) -> AwaitedKeys {
        AwaitedKeys { keys: isize::from(!self.waiters.is_empty()), keys_for_removal: isize::from(self.for_removal > 0) }
    }

    /// Those who came after the one with this ticket, in the order of their arrival.
    pub(crate) fn iter_after(&self, ticket: u64) -> impl Iterator<Item = (u64, &Waiter)> {
        self.waiters.range(ticket + 1..).map(|(&ticket, waiter)| (ticket, waiter))
    }

    pub(crate) fn wants_removal(&self) -> bool {
        self.for_removal > 0
    }
}
