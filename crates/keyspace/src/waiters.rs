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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    const DATABASES: usize = 3;
    const KEYS: [&[u8]; 3] = [b"a", b"b", b""];

    /// By database and key, the tickets and whether they also wait for the key's removal.
    type Model = BTreeMap<(usize, &'static [u8]), BTreeMap<u64, bool>>;

    fn check(waiters: &Waiters, model: &Model, awaited: AwaitedKeys) {
        assert_eq!(waiters.is_empty(), model.is_empty());
        let for_removal = model.values().filter(|tickets| tickets.values().any(|removal| *removal)).count();
        assert_eq!((awaited.keys, awaited.keys_for_removal), (model.len() as isize, for_removal as isize));
        let mut keys: Vec<(usize, &[u8])> = waiters.keys().collect();
        keys.sort();
        assert_eq!(keys, model.keys().copied().collect::<Vec<_>>());
        for database in 0..DATABASES {
            for key in KEYS {
                assert_eq!(waiters.queues(key).len(), model.keys().filter(|(_, other)| *other == key).count());
                let tickets = model.get(&(database, key));
                let queue = waiters.queue(database, key);
                assert_eq!(queue.is_some(), tickets.is_some());
                let (Some(queue), Some(tickets)) = (queue, tickets) else { continue };
                assert_eq!(queue.wants_removal(), tickets.values().any(|removal| *removal));
                for after in 0..8 {
                    // The waiter of each ticket is the ticket.
                    let found = queue.iter_after(after).map(|(ticket, waiter)| {
                        assert_eq!(waiter.downcast_ref(), Some(&ticket));
                        ticket
                    });
                    let expected = tickets.keys().copied().filter(|ticket| *ticket > after);
                    assert_eq!(found.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
                }
            }
        }
    }

    proptest! {
        #[test]
        fn waiters_do_what_maps_do(steps in prop::collection::vec((any::<bool>(), 0..DATABASES, 0..KEYS.len(), 1u64..8), 0..60)) {
            let (mut waiters, mut model, mut awaited) = (Waiters::default(), Model::new(), AwaitedKeys::default());
            for (adds, database, key, ticket) in steps {
                let (key, for_removal) = (KEYS[key], ticket % 3 == 0);
                let change = if adds {
                    model.entry((database, key)).or_default().insert(ticket, for_removal);
                    waiters.add(database, key, ticket, Arc::new(ticket), for_removal)
                } else {
                    if let Some(tickets) = model.get_mut(&(database, key)) {
                        tickets.remove(&ticket);
                    }
                    model.retain(|_, tickets| !tickets.is_empty());
                    waiters.remove(database, key, ticket, for_removal)
                };
                awaited.keys += change.keys;
                awaited.keys_for_removal += change.keys_for_removal;
                check(&waiters, &model, awaited);
            }
        }
    }
}
