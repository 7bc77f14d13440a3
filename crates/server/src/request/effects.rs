//! Step 7: the one place that makes a write known. A handler says what it did; what follows from that happens here, under the locks:
//! the count of changes, WATCH, notifications, the journal.

use ochre_keyspace::{HashedKey, LockSet};
use ochre_resp::Args;
use smallvec::SmallVec;

use crate::{
    core::Core,
    journal::{Journal, Record},
    notify::{self, NotifyClass},
};

/// What a handler did.
#[derive(Default)]
pub struct Effects<'a> {
    events: SmallVec<[Event<'a>; 2]>,
    /// How many changes it counts for (INFO's rdb_changes_since_last_save).
    changes: u64,
    /// The effect in other words than the request's.
    #[allow(clippy::box_collection)]
    records: Option<Box<Vec<Record<'a>>>>,
}

struct Event<'a> {
    database: usize,
    key: HashedKey<'a>,
    class: NotifyClass,
    name: &'static str,
    /// Whether the key's value or expiry is another now.
    changed: bool,
}

impl<'a> Effects<'a> {
    /// A key was changed, and the event is called so.
    #[inline]
    pub fn changed(&mut self, database: usize, key: HashedKey<'a>, class: NotifyClass, name: &'static str) {
        self.changes += 1;
        self.events.push(Event { database, key, class, name, changed: true });
    }

    /// An event that changed nothing more.
    #[inline]
    pub fn announce(&mut self, database: usize, key: HashedKey<'a>, class: NotifyClass, name: &'static str) {
        self.events.push(Event { database, key, class, name, changed: false });
    }

    /// So many changes beside those of single keys: FLUSHALL.
    pub fn changed_many(&mut self, changes: u64) {
        self.changes += changes;
    }

    /// The effect in other words than the request's.
    pub fn record(&mut self, record: Record<'a>) {
        self.records.get_or_insert_default().push(record);
    }

    /// Whether anything is to be made known.
    #[inline]
    fn is_empty(&self) -> bool {
        self.events.is_empty() && self.changes == 0
    }
}

/// Makes known what a command did. `args` are the request, which is its own record where the handler gave no other words.
#[inline]
pub fn publish(core: &Core, set: Option<&LockSet<'_>>, effects: Effects<'_>, database: usize, args: Args<'_>) {
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
        if event.changed {
            set.touch_watchers(event.database, event.key.hash, event.key.bytes);
        }
        notify::publish(core, event.class, event.name, event.database, event.key.bytes);
    }
    if effects.changes > 0 && Journal::is_kept(core) {
        let records = effects.records.unwrap_or_else(|| Box::new(vec![args.iter().map(Into::into).collect()]));
        core.server.journal.append(database, &records);
    }
}

/// Makes known which keys were found expired and were removed.
#[inline]
pub fn publish_expired(core: &Core, set: &LockSet<'_>) {
    for expired in set.take_expired() {
        let key = expired.entry.view().key();
        core.counters.expired_keys.add(1);
        notify::publish(core, NotifyClass::EXPIRED, "expired", expired.database, key);
        if Journal::is_kept(core) {
            core.server.journal.append(expired.database, &[vec![b"DEL".into(), key.into()]]);
        }
        set.discard(expired.entry);
    }
}
