//! The right to read and write.

use std::{convert::Infallible, marker::PhantomData};

use ochre_datatypes::ValueType;

use super::{Expired, LockSet};
use crate::{
    HashedKey,
    deadlines::Deadlines,
    entry::{Entry, EntryRef, NewValue},
    shard::{ShardData, tag_of},
};

/// Whether a write keeps a key's expiry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpiryChange {
    Keep,
    Clear,
    /// Milliseconds since 1970.
    At(i64),
}

/// The right to read and write the keys of a lock set.
pub struct Writer<'a> {
    pub(super) set: &'a LockSet<'a>,
    /// The set is borrowed mutably, so that no entry that was read is still looked at.
    pub(super) alone: PhantomData<&'a mut ()>,
}

impl<'a> Writer<'a> {
    /// The set that it is a right to.
    pub fn lock_set(&self) -> Option<&LockSet<'a>> {
        Some(self.set)
    }

    /// The entry of a key; counts as an access.
    #[inline]
    pub fn get(&self, database: usize, key: HashedKey<'_>) -> Option<EntryRef<'_>> {
        self.set.lookup(database, key, true)
    }

    /// The entry of a key, without counting as an access.
    #[inline]
    pub fn peek(&self, database: usize, key: HashedKey<'_>) -> Option<EntryRef<'_>> {
        self.set.lookup(database, key, false)
    }

    /// Sets a key to a string, made if it is not there. Returns the type of what was there.
    #[inline]
    pub fn set(
        &mut self,
        database: usize,
        key: HashedKey<'_>,
        value: NewValue<'_>,
        expiry: ExpiryChange,
    ) -> Option<ValueType> {
        match self.replace(database, key, |_| Ok::<_, Infallible>((value, expiry))) {
            Ok(before) => before,
        }
    }

    /// Sets a key to the string that `decide` makes of what is there, or leaves all as it is where that refuses. Returns the type of
    /// what was there.
    #[inline]
    pub fn replace<'v, E>(
        &mut self,
        database: usize,
        key: HashedKey<'_>,
        decide: impl FnOnce(Option<EntryRef<'_>>) -> Result<(NewValue<'v>, ExpiryChange), E>,
    ) -> Result<Option<ValueType>, E> {
        self.at(key, |set, shard, tag| {
            let initial = set.access;
            match set.find(shard, database, key, true) {
                Some(position) => {
                    let database = shard.database_mut(database);
                    let before = database.entry(position);
                    let value_type = before.value_type();
                    let (value, expiry) = decide(Some(before))?;
                    database.update(tag, position, |entry| {
                        let before = entry.view();
                        let expiry_ms = match expiry {
                            ExpiryChange::Keep => before.expiry_ms(),
                            ExpiryChange::Clear => None,
                            ExpiryChange::At(at_ms) => Some(at_ms),
                        };
                        let access = initial.touched(before.access());
                        if entry.is_heavy() {
                            let new = Entry::new(before.key(), value, expiry_ms, access);
                            set.discard(std::mem::replace(entry, new));
                        } else {
                            entry.set(value, expiry_ms);
                            // SAFETY: the shard is locked.
                            unsafe { entry.view().touch(access) };
                        }
                    });
                    Ok(Some(value_type))
                }
                None => {
                    let (value, expiry) = decide(None)?;
                    let expiry_ms = if let ExpiryChange::At(at_ms) = expiry { Some(at_ms) } else { None };
                    let entry = Entry::new(key.bytes, value, expiry_ms, initial.initial());
                    shard.database_mut(database).insert(tag, entry);
                    set.count(database, 1);
                    Ok(None)
                }
            }
        })
    }

    /// Changes the bytes of a string that is there, as APPEND does.
    pub fn modify<R>(
        &mut self,
        database: usize,
        key: HashedKey<'_>,
        change: impl FnOnce(&mut Vec<u8>) -> R,
    ) -> Option<R> {
        self.at(key, |set, shard, tag| {
            let position = set.find(shard, database, key, true)?;
            Some(shard.database_mut(database).update(tag, position, |entry| entry.modify(change)))
        })
    }

    /// Puts an entry in place of the key's own, if any; the entry's key is the key. Returns the type of what was there.
    pub fn put(&mut self, database: usize, key: HashedKey<'_>, entry: Entry) -> Option<ValueType> {
        debug_assert_eq!(entry.view().key(), key.bytes);
        let before = self.take(database, key).map(|before| {
            let value_type = before.view().value_type();
            self.set.discard(before);
            value_type
        });
        self.at(key, |_, shard, tag| shard.database_mut(database).insert(tag, entry));
        self.set.count(database, 1);
        before
    }

    /// Takes an entry out.
    pub fn take(&mut self, database: usize, key: HashedKey<'_>) -> Option<Entry> {
        self.at(key, |set, shard, tag| {
            let position = set.find(shard, database, key, true)?;
            set.count(database, -1);
            Some(shard.database_mut(database).remove(tag, position))
        })
    }

    /// Removes a key. Returns whether it was there.
    pub fn remove(&mut self, database: usize, key: HashedKey<'_>) -> bool {
        match self.take(database, key) {
            Some(entry) => {
                self.set.discard(entry);
                true
            }
            None => false,
        }
    }

    /// Sets or takes away a key's expiry. Returns whether the key was there.
    pub fn set_expiry(&mut self, database: usize, key: HashedKey<'_>, expiry_ms: Option<i64>) -> bool {
        self.at(key, |set, shard, tag| {
            let Some(position) = set.find(shard, database, key, true) else { return false };
            shard.database_mut(database).update(tag, position, |entry| entry.set_expiry(expiry_ms));
            true
        })
    }

    /// Removes the key whose deadline is the earliest of the shard, where it is due; whether there was one. It is then among the
    /// expired of the set.
    pub fn expire_one(&mut self, shard: usize) -> bool {
        let set = self.set;
        let removed = set.with_shard(shard, |data| {
            let now_ms = set.now_ms;
            let due = data.databases().find_map(|(index, database)| {
                let (deadline_ms, tag) = database.deadlines.first_due(now_ms)?;
                Some((index, deadline_ms, tag))
            });
            let (index, deadline_ms, tag) = due?;
            let database = data.database_mut(index);
            let position = database.table.find_deadline(tag, |entry| {
                entry
                    .expiry_ms()
                    .is_some_and(|expiry_ms| Deadlines::stands_for(deadline_ms, expiry_ms) && entry.is_expired(now_ms))
            })?;
            let entry = database.remove(tag, position);
            set.count(index, -1);
            data.touch_watchers(index, entry.view().key());
            Some((index, entry))
        });
        if let Some((database, entry)) = removed {
            let hash = set.keyspace.hash(entry.view().key()).hash;
            set.expired.borrow_mut().push(Expired { database, hash, entry });
            set.publish_deadline(shard);
            return true;
        }
        set.publish_deadline(shard);
        false
    }

    /// Runs `change` on a key's shard, and makes an earlier deadline known.
    #[inline]
    fn at<R>(&mut self, key: HashedKey<'_>, change: impl FnOnce(&LockSet<'_>, &mut ShardData, u32) -> R) -> R {
        let set = self.set;
        let index = set.keyspace.shard_of(key.hash);
        let tag = tag_of(key.hash, set.keyspace.shard_bits);
        set.with_shard(index, |shard| {
            let result = change(set, shard, tag);
            set.keyspace.deadline_changed(index, shard.first_deadline_ms());
            result
        })
    }
}
