//! The right to read and write.

use std::{convert::Infallible, marker::PhantomData};

use ochre_datatypes::{Collection, ValueType, WrongType, deadlines::Deadlines};

use super::{EXPIRED_FIELDS_MAX, Expired, ExpiredWhat, LockSet};
use crate::{
    HashedKey,
    entry::{Entry, EntryRef, NewValue},
    shard::{Due, ShardData, tag_of},
};

/// Whether a write keeps a key's expiry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpiryChange {
    Keep,
    Clear,
    /// Milliseconds since 1970.
    At(i64),
}

/// What an edit does where the key is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// It edits an empty collection, which becomes the key's unless it stays empty.
    Create,
    /// It does nothing.
    Skip,
}

/// An edit that was done. Its effect is still to be made known.
#[must_use = "an edit that nobody hears of is missing from the journal, from WATCH and from blocked clients"]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edited<R> {
    pub result: R,
    /// The key was not there before, and is now.
    pub created: bool,
    /// The key was there before, and is not now, because nothing was left of its value.
    pub removed: bool,
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
                    let entries = shard.database_mut(database);
                    let before = entries.entry(position);
                    let value_type = before.value_type();
                    let (value, expiry) = decide(Some(before))?;
                    entries.update(tag, position, set.counts(database), |entry| {
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
                    shard.database_mut(database).insert(tag, entry, set.counts(database));
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
            Some(shard.database_mut(database).update(tag, position, set.counts(database), |entry| entry.modify(change)))
        })
    }

    /// Changes a key's collection by `change`; `None` where the key is not there and is not to be made.
    #[inline]
    pub fn edit<C: Collection, R>(
        &mut self,
        database: usize,
        key: HashedKey<'_>,
        missing: Missing,
        change: impl FnOnce(&mut C) -> R,
    ) -> Result<Option<Edited<R>>, WrongType> {
        self.at(key, |set, shard, tag| {
            let access = set.access;
            if let Some(position) = set.find(shard, database, key, true) {
                let entries = shard.database_mut(database);
                let entry = entries.entry(position);
                if entry.value_type() != C::TYPE {
                    return Err(WrongType);
                }
                // SAFETY: the shard is locked.
                unsafe { entry.touch(access.touched(entry.access())) };
                let counts = set.counts(database);
                let (result, goes) = entries.update(tag, position, counts, |entry| entry.edit(change));
                if goes {
                    set.discard(entries.remove(tag, position, counts));
                }
                return Ok(Some(Edited { result, created: false, removed: goes }));
            }
            if missing == Missing::Skip {
                return Ok(None);
            }
            let mut value = C::default();
            let result = change(&mut value);
            let created = !value.is_empty();
            if created {
                let entry = Entry::with_collection(key.bytes, value, None, access.initial());
                shard.database_mut(database).insert(tag, entry, set.counts(database));
            }
            Ok(Some(Edited { result, created, removed: false }))
        })
    }

    /// Frees what an edit took out of a collection where it holds nobody up, for it takes long.
    pub fn bury(&mut self, value: impl Send + 'static) {
        self.set.bury(value);
    }

    /// Sets a key to a collection, which is not empty. Returns the type of what was there.
    pub fn store<C: Collection>(&mut self, database: usize, key: HashedKey<'_>, value: C) -> Option<ValueType> {
        debug_assert!(!C::GOES_WHEN_EMPTY || !value.is_empty(), "an empty collection is no key");
        let entry = Entry::with_collection(key.bytes, value, None, self.set.access.initial());
        self.put(database, key, entry)
    }

    /// Changes the bytes of a string that is there and that `check` finds nothing against; counts as an access.
    #[inline]
    pub fn modify_checked<R, E>(
        &mut self,
        database: usize,
        key: HashedKey<'_>,
        check: impl FnOnce(EntryRef<'_>) -> Result<(), E>,
        change: impl FnOnce(&mut Vec<u8>) -> R,
    ) -> Result<Option<R>, E> {
        self.at(key, |set, shard, tag| {
            let Some(position) = set.find(shard, database, key, true) else { return Ok(None) };
            let entries = shard.database_mut(database);
            let entry = entries.entry(position);
            // SAFETY: the shard is locked.
            unsafe { entry.touch(set.access.touched(entry.access())) };
            check(entry)?;
            Ok(Some(entries.update(tag, position, set.counts(database), |entry| entry.modify(change))))
        })
    }

    /// Sets a key to a string that was put together, without an expiry. Returns the type of what was there.
    pub fn set_vec(&mut self, database: usize, key: HashedKey<'_>, value: Vec<u8>) -> Option<ValueType> {
        let entry = Entry::with_vec(key.bytes, value, None, self.set.access.initial());
        self.put(database, key, entry)
    }

    /// Puts an entry in place of the key's own, if any; the entry's key is the key. Returns the type of what was there.
    pub fn put(&mut self, database: usize, key: HashedKey<'_>, entry: Entry) -> Option<ValueType> {
        debug_assert_eq!(entry.view().key(), key.bytes);
        let before = self.take(database, key).map(|before| {
            let value_type = before.view().value_type();
            self.set.discard(before);
            value_type
        });
        self.at(key, |set, shard, tag| shard.database_mut(database).insert(tag, entry, set.counts(database)));
        before
    }

    /// Takes an entry out.
    pub fn take(&mut self, database: usize, key: HashedKey<'_>) -> Option<Entry> {
        self.at(key, |set, shard, tag| {
            let position = set.find(shard, database, key, true)?;
            Some(shard.database_mut(database).remove(tag, position, set.counts(database)))
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
            let set_expiry = |entry: &mut Entry| entry.set_expiry(expiry_ms);
            shard.database_mut(database).update(tag, position, set.counts(database), set_expiry);
            true
        })
    }

    /// Removes the key whose deadline is the earliest of the shard, where it is due, or a few fields of a hash; whether there was one. It
    /// is then among the expired of the set.
    pub fn expire_one(&mut self, shard: usize) -> bool {
        let set = self.set;
        let removed = set.with_shard(shard, |data| {
            let now_ms = set.now_ms;
            let (index, due) =
                data.databases().find_map(|(index, database)| Some((index, database.first_due(now_ms)?)))?;
            let is_due = |deadline_ms: i64, expiry_ms: Option<i64>| {
                expiry_ms.is_some_and(|at_ms| Deadlines::stands_for(deadline_ms, at_ms) && now_ms > at_ms)
            };
            let database = data.database_mut(index);
            let what = match due {
                Due::Key(deadline_ms, tag) => {
                    let position = database.table.find_deadline(tag, |entry| is_due(deadline_ms, entry.expiry_ms()))?;
                    let entry = database.remove(tag, position, set.counts(index));
                    data.touch(index, entry.view().key());
                    ExpiredWhat::Key(entry)
                }
                Due::Field(deadline_ms, tag) => {
                    let is_due = |entry: EntryRef<'_>| is_due(deadline_ms, entry.first_field_expiry_ms());
                    let position = database.table.find_deadline(tag, is_due)?;
                    let place = (tag, position);
                    ExpiredWhat::Fields(data.expire_fields(index, place, now_ms, EXPIRED_FIELDS_MAX, set.counts(index)))
                }
            };
            Some((index, what))
        });
        set.publish_deadline(shard);
        let Some((database, what)) = removed else { return false };
        match what {
            ExpiredWhat::Key(entry) => {
                let hash = set.keyspace.hash(entry.view().key()).hash;
                let what = ExpiredWhat::Key(entry);
                set.expired.borrow_mut().push(Expired { database, hash, what });
            }
            ExpiredWhat::Fields(fields) => {
                let hash = set.keyspace.hash(&fields.key).hash;
                set.note_expired_fields(database, hash, fields);
            }
        }
        true
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
