//! Step 7: the one place that makes a write known. A handler says what it did; what follows from that happens here, under the locks:
//! the count of changes, WATCH, those who wait for the key, notifications, the journal.

use ochre_keyspace::{Expired, ExpiredFields, ExpiredWhat, HashedKey, LockSet};
use ochre_resp::Args;

use super::wake;
use crate::{
    commands::effects::{Concerned, Effects},
    core::Core,
    events::NotifyClass,
    notify,
};

/// Makes known what a command did. `args` are the request, which is its own record where the handler gave no other words.
#[inline]
pub fn publish(core: &Core, set: Option<&LockSet<'_>>, effects: &mut Effects<'_>, database: usize, args: Args<'_>) {
    let Some(set) = set else {
        debug_assert!(effects.is_empty(), "what touches no key has no effect on one");
        return;
    };
    publish_expired(core, set);
    if effects.is_empty() {
        return;
    }
    core.counters.changes.add(effects.changes);
    for event in &effects.events {
        let is_awaited = match event.concerned {
            Concerned::Nobody => false,
            Concerned::Waiters => core.server.keyspace.is_awaited(),
            Concerned::WaitersAndWatchers => set.touch(event.database, event.key.hash, event.key.bytes),
        };
        if is_awaited {
            wake::ready(core, event.database, event.key);
        }
        notify::publish(core, event.class, event.name, event.database, event.key.bytes);
    }
    for &database in &effects.replaced {
        wake::all_ready(core, database, set.awaited_keys(database));
    }
    if effects.changes > 0 && core.server.journal.is_kept() {
        let records = effects.records.take().unwrap_or_else(|| Box::new(vec![args.iter().map(Into::into).collect()]));
        core.server.journal.append(database, &records);
    }
}

/// Makes known which keys and fields were found expired and were removed.
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
                notify::publish(core, NotifyClass::EXPIRED, "expired", database, key.bytes);
                removed_expired(core, set, database, key);
                set.discard(entry);
            }
            ExpiredWhat::Fields(fields) => publish_expired_fields(core, set, database, hash, fields),
        }
    }
}

fn publish_expired_fields(core: &Core, set: &LockSet<'_>, database: usize, hash: u64, fields: ExpiredFields) {
    let key = HashedKey { bytes: &fields.key, hash };
    core.counters.expired_fields.add(fields.count as u64);
    notify::publish(core, NotifyClass::HASH, "hexpired", database, key.bytes);
    match fields.emptied {
        Some(entry) => {
            notify::publish(core, NotifyClass::GENERIC, "del", database, key.bytes);
            removed_expired(core, set, database, key);
            set.discard(entry);
        }
        None if core.server.journal.is_kept() => {
            let words = [b"HDEL", key.bytes].into_iter().chain(fields.names.iter().map(|name| &**name));
            core.server.journal.append(database, &[words.map(Into::into).collect()]);
        }
        None => {}
    }
}

/// Makes known that a key is gone, to the journal and to those who wait for that.
fn removed_expired(core: &Core, set: &LockSet<'_>, database: usize, key: HashedKey<'_>) {
    if core.server.journal.is_kept() {
        core.server.journal.append(database, &[vec![b"DEL".into(), key.bytes.into()]]);
    }
    if core.server.keyspace.is_awaited() && set.is_removal_awaited(database, key) {
        wake::ready(core, database, key);
    }
}
