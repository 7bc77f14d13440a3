//! Step 9: the one place that makes a write known. A handler only says what it did. Everything that follows from it happens here, under
//! the locks: the count of changes, WATCH, blocked clients, notifications, the journal.

use ochre_keyspace::{Entry, Expired, ExpiredFields, ExpiredWhat, HashedKey, LockSet, Victim};
use ochre_resp::Args;

use super::serving;
use crate::{
    commands::effects::{Concerned, Effects},
    core::Core,
    events::NotifyClass,
    journal::{
        Position,
        frame::{self, FrameWriter},
    },
    notify,
};

/// Makes known what a command did. The journal records `args`, the request itself, unless the handler gave other words.
#[inline]
pub fn publish(core: &Core, set: Option<&LockSet<'_>>, effects: &mut Effects<'_>, database: usize, args: Args<'_>) {
    let Some(set) = set else {
        debug_assert!(effects.is_empty(), "a command without keys has no effect on keys");
        return;
    };
    publish_expired(core, set);
    if effects.is_empty() {
        return;
    }
    core.counters.changes.add(effects.changes);
    // The change is recorded before it is announced, so that the messages can carry its position.
    let position = if effects.changes > 0 { record(core, set, effects, database, args) } else { Position::default() };
    for event in &effects.events {
        let is_awaited = match event.concerned {
            Concerned::Nobody => false,
            Concerned::Waiters => core.server.keyspace.is_awaited(),
            Concerned::WaitersAndWatchers => set.touch(event.database, event.key.hash, event.key.bytes),
        };
        if is_awaited {
            serving::note_ready(core, event.database, event.key);
        }
        notify::publish(core, position, event.class, event.name, event.database, event.key.bytes);
    }
    if !effects.replaced.is_empty() {
        let awaited = set.awaited_keys(|database| effects.replaced.binary_search(&database).is_ok());
        serving::note_all_ready(core, awaited);
    }
}

/// Adds what a command did to the records of the lock set, if a journal is kept. Returns the position of the frame.
#[inline]
fn record(core: &Core, set: &LockSet<'_>, effects: &mut Effects<'_>, database: usize, args: Args<'_>) -> Position {
    match &mut *set.records() {
        None => Position::default(),
        Some(buffer) => {
            let mut frame = FrameWriter::resume(buffer, || core.server.journal.take_number());
            match effects.records.take() {
                None => frame.command(set.now_ms(), database, args.iter()),
                Some(records) => {
                    for words in records.iter() {
                        frame.command(set.now_ms(), database, words.iter().map(|word| &**word));
                    }
                }
            }
            frame.position()
        }
    }
}

/// As [`publish_expired`], but outside of a command: the removals are a record of their own.
pub fn publish_expired_alone(core: &Core, set: &LockSet<'_>) {
    if set.has_expired() {
        let mark = frame::mark(&set.records());
        publish_each_expired(core, set);
        frame::end_record(&mut set.records(), mark);
    }
}

/// Makes known the keys and fields that were found expired and were removed.
#[inline]
pub fn publish_expired(core: &Core, set: &LockSet<'_>) {
    if set.has_expired() {
        publish_each_expired(core, set);
    }
}

#[cold]
fn publish_each_expired(core: &Core, set: &LockSet<'_>) {
    for Expired { database, hash, what } in set.take_expired() {
        match what {
            ExpiredWhat::Key(entry) => {
                let key = HashedKey { bytes: entry.view().key(), hash };
                core.counters.expired_keys.add(1);
                let position = record_removal(core, set, database, [&b"DEL"[..], key.bytes].into_iter());
                notify::publish(core, position, NotifyClass::EXPIRED, "expired", database, key.bytes);
                note_removed(core, set, database, key);
                set.discard(entry);
            }
            ExpiredWhat::Fields(fields) => publish_expired_fields(core, set, database, hash, fields),
        }
    }
}

/// Makes known that a key was evicted. This is a record of its own.
pub fn publish_evicted(core: &Core, set: &LockSet<'_>, victim: &Victim, entry: Entry) {
    let mark = frame::mark(&set.records());
    let (database, key) = (victim.database, HashedKey { bytes: &victim.key, hash: victim.hash });
    core.counters.evicted_keys.add(1);
    let position = record_removal(core, set, database, [&b"DEL"[..], key.bytes].into_iter());
    notify::publish(core, position, NotifyClass::EVICTED, "evicted", database, key.bytes);
    note_removed(core, set, database, key);
    set.discard(entry);
    frame::end_record(&mut set.records(), mark);
}

fn publish_expired_fields(core: &Core, set: &LockSet<'_>, database: usize, hash: u64, fields: ExpiredFields) {
    let key = HashedKey { bytes: &fields.key, hash };
    core.counters.expired_fields.add(fields.count as u64);
    let command = if fields.emptied.is_some() { &b"DEL"[..] } else { b"HDEL" };
    let words = [command, key.bytes].into_iter().chain(fields.names.iter().map(|name| &**name));
    let position = record_removal(core, set, database, words);
    notify::publish(core, position, NotifyClass::HASH, "hexpired", database, key.bytes);
    if let Some(entry) = fields.emptied {
        notify::publish(core, position, NotifyClass::GENERIC, "del", database, key.bytes);
        note_removed(core, set, database, key);
        set.discard(entry);
    }
}

/// Records the removal of an expired key, or of expired fields, if a journal is kept. Returns the position of the frame.
fn record_removal<'w>(
    core: &Core,
    set: &LockSet<'_>,
    database: usize,
    words: impl Iterator<Item = &'w [u8]> + Clone,
) -> Position {
    match &mut *set.records() {
        None => Position::default(),
        Some(buffer) => {
            let mut frame = FrameWriter::resume(buffer, || core.server.journal.take_number());
            frame.command(set.now_ms(), database, words);
            frame.position()
        }
    }
}

/// Notes that a key is gone, if waiters want to know it.
fn note_removed(core: &Core, set: &LockSet<'_>, database: usize, key: HashedKey<'_>) {
    if core.server.keyspace.is_awaited() && set.is_removal_awaited(database, key) {
        serving::note_ready(core, database, key);
    }
}
