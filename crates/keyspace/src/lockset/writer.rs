//! The right to read and write.

use std::{convert::Infallible, marker::PhantomData};

use ochre_datatypes::{Collection, ValueType, WrongType, deadlines::Deadlines};

use super::{EXPIRED_FIELDS_MAX, Expired, ExpiredWhat, LockSet};
use crate::{
    HashedKey,
    entry::{Entry, EntryRef, NewValue},
    eviction::Victim,
    hint_of,
    relocation::{Relocated, Relocator},
    scan::ScanPosition,
    shard::{Due, ShardData, tag_of},
};

/// What a write does to the expiry of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpiryChange {
    /// It stays.
    Keep,
    /// It is removed.
    Clear,
    /// It is set, in milliseconds since 1970.
    At(i64),
}

/// What an edit does if the key is absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// It edits an empty collection, and creates the key unless the collection stays empty.
    Create,
    /// It does nothing.
    Skip,
}

/// The access clock of an entry that takes the place of another one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum PutAccess {
    /// That of a new key.
    New,
    /// That of the entry that is there goes on.
    Inherited,
    /// That of the entry itself.
    Own,
}

/// An edit that was done. The caller has yet to announce it.
#[must_use = "an edit that is not announced is missing from the journal, from WATCH and from blocked clients"]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edited<R> {
    /// What the edit returned.
    pub result: R,
    /// The key was created.
    pub created: bool,
    /// The key was removed, because its collection became empty.
    pub removed: bool,
}

/// The right to read and write the keys of a lock set.
pub struct Writer<'a> {
    pub(super) set: &'a LockSet<'a>,
    /// Borrows the set mutably, so that no entry of it is borrowed.
    pub(super) alone: PhantomData<&'a mut ()>,
}

impl<'a> Writer<'a> {
    /// Returns the lock set that gave this right.
    pub fn lock_set(&self) -> Option<&LockSet<'a>> {
        Some(self.set)
    }

    /// Returns the entry of a key. This counts as an access (OBJECT IDLETIME, OBJECT FREQ).
    #[inline]
    pub fn get(&self, database: usize, key: HashedKey<'_>) -> Option<EntryRef<'_>> {
        self.set.lookup(database, key, self.set.touches)
    }

    /// Returns the entry of a key. This does not count as an access.
    #[inline]
    pub fn peek(&self, database: usize, key: HashedKey<'_>) -> Option<EntryRef<'_>> {
        self.set.lookup(database, key, false)
    }

    /// Sets a key to a string. Returns the type of the value that was there before.
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

    /// Sets a key to a string that `decide` chooses; it is given the entry that is there. Returns the type of the value that was there before.
    ///
    /// # Errors
    /// If `decide` returns an error. Then the key is not changed, though it was accessed.
    #[inline]
    pub fn replace<'v, E>(
        &mut self,
        database: usize,
        key: HashedKey<'_>,
        decide: impl FnOnce(Option<EntryRef<'_>>) -> Result<(NewValue<'v>, ExpiryChange), E>,
    ) -> Result<Option<ValueType>, E> {
        self.at(database, key, |set, shard, tag| {
            match set.find(shard, database, key, true) {
                Some(position) => {
                    let entries = shard.database_mut(database);
                    let before = entries.entry(position);
                    let value_type = before.value_type();
                    let (value, expiry) = decide(Some(before)).inspect_err(|_| {
                        // SAFETY: the set holds the shard.
                        unsafe { before.touch(set.touched(before.access())) };
                    })?;
                    entries.update(tag, position, &set.changes(database), |entry| {
                        let before = entry.view();
                        let expiry_ms = match expiry {
                            ExpiryChange::Keep => before.expiry_ms(),
                            ExpiryChange::Clear => None,
                            ExpiryChange::At(at_ms) => Some(at_ms),
                        };
                        let access = set.touched(before.access());
                        if entry.is_heavy() {
                            let new = Entry::new(before.key(), value, expiry_ms, access);
                            set.discard(std::mem::replace(entry, new));
                        } else {
                            entry.set(value, expiry_ms);
                            // SAFETY: the set holds the shard.
                            unsafe { entry.view().touch(access) };
                        }
                    });
                    Ok(Some(value_type))
                }
                None => {
                    let (value, expiry) = decide(None)?;
                    let expiry_ms = if let ExpiryChange::At(at_ms) = expiry { Some(at_ms) } else { None };
                    let entry = Entry::new(key.bytes, value, expiry_ms, set.access.initial());
                    shard.database_mut(database).insert(tag, entry, &set.changes(database));
                    Ok(None)
                }
            }
        })
    }

    /// Modifies the string of a key by `change` (APPEND). Returns what that returns; `None` if the key is absent. This does not count as an
    /// access.
    ///
    /// # Panics
    /// If the key holds a collection.
    pub fn modify<R>(
        &mut self,
        database: usize,
        key: HashedKey<'_>,
        change: impl FnOnce(&mut Vec<u8>) -> R,
    ) -> Option<R> {
        self.at(database, key, |set, shard, tag| {
            let position = set.find(shard, database, key, true)?;
            Some(
                shard
                    .database_mut(database)
                    .update(tag, position, &set.changes(database), |entry| entry.modify(change)),
            )
        })
    }

    /// Edits the collection of a key by `change`. Returns `None` if the key is absent and `missing` is [`Missing::Skip`]. A key whose
    /// collection becomes empty is removed, unless its type has empty collections.
    ///
    /// # Errors
    /// If the key holds a value of another type.
    #[inline]
    pub fn edit<C: Collection, R>(
        &mut self,
        database: usize,
        key: HashedKey<'_>,
        missing: Missing,
        change: impl FnOnce(&mut C) -> R,
    ) -> Result<Option<Edited<R>>, WrongType> {
        self.at(database, key, |set, shard, tag| {
            if let Some(position) = set.find(shard, database, key, true) {
                let entries = shard.database_mut(database);
                let entry = entries.entry(position);
                // SAFETY: the set holds the shard.
                unsafe { entry.touch(set.touched(entry.access())) };
                if entry.value_type() != C::TYPE {
                    return Err(WrongType);
                }
                let changes = &set.changes(database);
                let (result, goes) = entries.update(tag, position, changes, |entry| entry.edit(change));
                if goes {
                    set.discard(entries.remove(tag, position, changes));
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
                let entry = Entry::with_collection(key.bytes, value, None, set.access.initial());
                shard.database_mut(database).insert(tag, entry, &set.changes(database));
            }
            Ok(Some(Edited { result, created, removed: false }))
        })
    }

    /// Leaves a large value, which an edit took out of a collection, to the graveyard's thread. It is freed after the locks are released.
    pub fn bury(&mut self, value: impl Send + 'static) {
        self.set.bury(value);
    }

    /// Sets a key to a collection, without an expiry. This is an access to the key that was there. Returns the type of the value that was there before. The collection is not empty,
    /// unless its type has empty collections.
    pub fn store<C: Collection>(&mut self, database: usize, key: HashedKey<'_>, value: C) -> Option<ValueType> {
        debug_assert!(!C::GOES_WHEN_EMPTY || !value.is_empty(), "a key never holds an empty collection of this type");
        let entry = Entry::with_collection(key.bytes, value, None, self.set.access.initial());
        self.put_entry(database, key, entry, PutAccess::Inherited)
    }

    /// Modifies the string of a key by `change`, unless `check` refuses the entry that is there. Returns what `change` returns; `None` if the
    /// key is absent. This counts as an access.
    ///
    /// # Errors
    /// If `check` returns an error. Then the value is not changed.
    ///
    /// # Panics
    /// If the key holds a collection and `check` accepts it.
    #[inline]
    pub fn modify_checked<R, E>(
        &mut self,
        database: usize,
        key: HashedKey<'_>,
        check: impl FnOnce(EntryRef<'_>) -> Result<(), E>,
        change: impl FnOnce(&mut Vec<u8>) -> R,
    ) -> Result<Option<R>, E> {
        self.at(database, key, |set, shard, tag| {
            let Some(position) = set.find(shard, database, key, true) else { return Ok(None) };
            let entries = shard.database_mut(database);
            let entry = entries.entry(position);
            // SAFETY: the set holds the shard.
            unsafe { entry.touch(set.touched(entry.access())) };
            check(entry)?;
            Ok(Some(entries.update(tag, position, &set.changes(database), |entry| entry.modify(change))))
        })
    }

    /// Sets a key to a computed string, without an expiry (see [`Entry::with_vec`]). This is an access to the key that was there. Returns the type of the value that was there before.
    pub fn set_vec(&mut self, database: usize, key: HashedKey<'_>, value: Vec<u8>) -> Option<ValueType> {
        let entry = Entry::with_vec(key.bytes, value, None, self.set.access.initial());
        self.put_entry(database, key, entry, PutAccess::Inherited)
    }

    /// Sets a key to an entry, which has the same key. The key counts as new, whatever was there before. Returns the type of the value that
    /// was there before.
    pub fn put(&mut self, database: usize, key: HashedKey<'_>, entry: Entry) -> Option<ValueType> {
        self.put_entry(database, key, entry, PutAccess::New)
    }

    /// Adds an entry with its access clock, if its key is not there, expired or not. The key has this hash.
    ///
    /// # Errors
    /// The entry, if its key is there.
    pub fn add(&mut self, database: usize, hash: u64, entry: Entry) -> Result<(), Entry> {
        let set = self.set;
        let (index, tag) = (set.keyspace.shard_of(hash), tag_of(hash, set.keyspace.shard_bits));
        set.with_shard(index, |shard| {
            let entries = shard.database_mut(database);
            if entries.find(tag, hint_of(hash), entry.view().key()).is_some() {
                return Err(entry);
            }
            entries.insert(tag, entry, &set.changes(database));
            shard.note_deadline(database);
            set.keyspace.publish_deadlines(index, shard.first_deadlines());
            Ok(())
        })
    }

    /// As [`Writer::put`], for an entry whose access clock says how long it was idle, or how often it was used (RESTORE).
    pub fn put_with_access(&mut self, database: usize, key: HashedKey<'_>, entry: Entry) -> Option<ValueType> {
        self.put_entry(database, key, entry, PutAccess::Own)
    }

    fn put_entry(
        &mut self,
        database: usize,
        key: HashedKey<'_>,
        entry: Entry,
        put_access: PutAccess,
    ) -> Option<ValueType> {
        debug_assert_eq!(entry.view().key(), key.bytes);
        let mut access = if put_access == PutAccess::Own { entry.view().access() } else { self.set.access.initial() };
        let before = self.take(database, key).map(|before| {
            if put_access == PutAccess::Inherited {
                access = self.set.touched(before.view().access());
            }
            let value_type = before.view().value_type();
            self.set.discard(before);
            value_type
        });
        // SAFETY: the entry is not in a shard yet, so no other thread reaches it.
        unsafe { entry.view().touch(access) };
        self.at(database, key, |set, shard, tag| {
            shard.database_mut(database).insert(tag, entry, &set.changes(database))
        });
        before
    }

    /// Removes a key, and returns its entry.
    pub fn take(&mut self, database: usize, key: HashedKey<'_>) -> Option<Entry> {
        self.at(database, key, |set, shard, tag| {
            let position = set.find(shard, database, key, true)?;
            Some(shard.database_mut(database).remove(tag, position, &set.changes(database)))
        })
    }

    /// Removes a key and frees its value. Returns whether it was there.
    pub fn remove(&mut self, database: usize, key: HashedKey<'_>) -> bool {
        match self.take(database, key) {
            Some(entry) => {
                self.set.discard(entry);
                true
            }
            None => false,
        }
    }

    /// Removes a key that was chosen to be evicted, tells the watchers, and returns its entry; `None` if the choice does not hold any more.
    pub fn evict(&mut self, victim: &Victim) -> Option<Entry> {
        let key = HashedKey { bytes: &victim.key, hash: victim.hash };
        self.at(victim.database, key, |set, shard, tag| {
            let position = set.find(shard, victim.database, key, true)?;
            let entries = shard.database_mut(victim.database);
            if !victim.is_still(entries.entry(position)) {
                return None;
            }
            let entry = entries.remove(tag, position, &set.changes(victim.database));
            shard.touch(victim.database, &victim.key);
            Some(entry)
        })
    }

    /// Moves entries of a shard that the relocator chooses to other blocks: it looks at `max` entries or a few more, from a database and a position
    /// on, which lies in the shard. Returns where to go on, or `None` at the end of the shard. For the keys and their values nothing changes.
    pub fn relocate(
        &mut self,
        (database, from): (usize, ScanPosition),
        max: usize,
        relocator: &mut dyn Relocator,
        relocated: &mut Relocated,
    ) -> Option<(usize, ScanPosition)> {
        let (shard, tag) = from.shard_and_tag(self.set.keyspace.shard_bits);
        self.set.with_shard(shard, |data| {
            let (at, _) = data.databases_from(database).next()?;
            let tag = if at == database { tag } else { 0 };
            if let Some(tag) = data.database_mut(at).table.relocate(tag, max, relocator, relocated) {
                return Some((at, ScanPosition::new(shard, tag)));
            }
            let (next, _) = data.databases_from(at + 1).next()?;
            Some((next, ScanPosition::new(shard, 0)))
        })
    }

    /// Sets the expiry of a key, in milliseconds since 1970, or removes it. Returns whether the key was there.
    pub fn set_expiry(&mut self, database: usize, key: HashedKey<'_>, expiry_ms: Option<i64>) -> bool {
        self.at(database, key, |set, shard, tag| {
            let Some(position) = set.find(shard, database, key, true) else { return false };
            let set_expiry = |entry: &mut Entry| entry.set_expiry(expiry_ms);
            shard.database_mut(database).update(tag, position, &set.changes(database), set_expiry);
            true
        })
    }

    /// Removes one expired key of a shard, or some expired fields of one hash. Returns whether anything was expired;
    /// [`LockSet::take_expired`] then returns it.
    pub fn expire_one(&mut self, shard: usize) -> bool {
        let set = self.set;
        let removed = set.with_shard(shard, |data| {
            let now_ms = set.now_ms;
            let (index, due) = data.first_due(now_ms)?;
            let is_due = |deadline_ms: i64, expiry_ms: Option<i64>| {
                expiry_ms.is_some_and(|at_ms| Deadlines::stands_for(deadline_ms, at_ms) && now_ms > at_ms)
            };
            let database = data.database_mut(index);
            let what = match due {
                Due::Key(deadline_ms, tag) => {
                    let position = database.table.find_deadline(tag, |entry| is_due(deadline_ms, entry.expiry_ms()))?;
                    let entry = database.remove(tag, position, &set.changes(index));
                    data.note_deadline(index);
                    data.touch(index, entry.view().key());
                    ExpiredWhat::Key(entry)
                }
                Due::Field(deadline_ms, tag) => {
                    let is_due = |entry: EntryRef<'_>| is_due(deadline_ms, entry.first_field_expiry_ms());
                    let position = database.table.find_deadline(tag, is_due)?;
                    let place = (tag, position);
                    ExpiredWhat::Fields(data.expire_fields(
                        index,
                        place,
                        now_ms,
                        EXPIRED_FIELDS_MAX,
                        &set.changes(index),
                    ))
                }
            };
            Some((index, what))
        });
        set.publish_deadlines(shard);
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

    /// Runs `change` on the shard of a key, with the key's tag; it changes this database only. Then it publishes the shard's earliest deadlines.
    #[inline]
    fn at<R>(
        &mut self,
        database: usize,
        key: HashedKey<'_>,
        change: impl FnOnce(&LockSet<'_>, &mut ShardData, u32) -> R,
    ) -> R {
        let set = self.set;
        let index = set.keyspace.shard_of(key.hash);
        let tag = tag_of(key.hash, set.keyspace.shard_bits);
        set.with_shard(index, |shard| {
            let result = change(set, shard, tag);
            shard.note_deadline(database);
            set.keyspace.publish_deadlines(index, shard.first_deadlines());
            result
        })
    }
}
