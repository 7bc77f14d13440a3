//! The right to read, and to watch keys.

use std::sync::{Arc, atomic::AtomicBool};

use super::LockSet;
use crate::{HashedKey, entry::EntryRef, hint_of, shard::tag_of};

/// The right to read the keys of a lock set.
#[derive(Clone, Copy)]
pub struct Reader<'a> {
    pub(super) set: &'a LockSet<'a>,
}

impl<'a> Reader<'a> {
    /// Returns the lock set that gave this right.
    pub fn lock_set(&self) -> Option<&LockSet<'a>> {
        Some(self.set)
    }

    /// Returns the entry of a key. This counts as an access (OBJECT IDLETIME, OBJECT FREQ).
    #[inline]
    pub fn get(&self, database: usize, key: HashedKey<'_>) -> Option<EntryRef<'a>> {
        self.set.lookup(database, key, self.set.touches)
    }

    /// Counts an access to a key, even if lookups do not ([`LockSet::set_touches`]).
    pub fn touch(&self, database: usize, key: HashedKey<'_>) {
        self.set.lookup(database, key, true);
    }

    /// Returns the entry of a key. This does not count as an access.
    #[inline]
    pub fn peek(&self, database: usize, key: HashedKey<'_>) -> Option<EntryRef<'a>> {
        self.set.lookup(database, key, false)
    }

    /// Runs `look` on the entry of a key, even if it or fields of it have expired, and removes nothing. This does not count as an access.
    /// Returns `None` if there is no entry. `look` must not call the lock set, which might remove the entry.
    pub fn inspect<R>(&self, database: usize, key: HashedKey<'_>, look: impl FnOnce(EntryRef<'_>) -> R) -> Option<R> {
        let keyspace = self.set.keyspace;
        self.set.with_shard(keyspace.shard_of(key.hash), |shard| {
            let entries = shard.database(database)?;
            let position = entries.find(tag_of(key.hash, keyspace.shard_bits), hint_of(key.hash), key.bytes)?;
            Some(look(entries.entry(position)))
        })
    }

    /// Watches a key (WATCH): from now on `flag` is set when the key changes. Returns false if the flag watches it already.
    pub fn watch(&self, database: usize, key: HashedKey<'_>, flag: &Arc<AtomicBool>) -> bool {
        self.set.with_shard(self.set.keyspace.shard_of(key.hash), |shard| {
            shard.observers_mut().watchers.entry((database, key.bytes.into())).or_default().add(flag)
        })
    }

    /// Stops watching a key for this flag.
    pub fn unwatch(&self, database: usize, key: HashedKey<'_>, flag: &Arc<AtomicBool>) {
        self.set.with_shard(self.set.keyspace.shard_of(key.hash), |shard| {
            let Some(observers) = &mut shard.observers else { return };
            let watchers = &mut observers.watchers;
            let name = (database, key.bytes.into());
            if watchers.get_mut(&name).is_some_and(|flags| flags.remove(flag)) {
                watchers.remove(&name);
            }
            shard.drop_empty_observers();
        });
    }
}
