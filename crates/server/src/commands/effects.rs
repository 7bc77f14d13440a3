//! What a handler did, as it reports. `request/effects.rs` publishes it.

use ochre_keyspace::HashedKey;
use smallvec::SmallVec;

use crate::{events::NotifyClass, journal::Record};

/// What a handler did.
#[derive(Default)]
pub struct Effects<'a> {
    pub(crate) events: SmallVec<[Event<'a>; 2]>,
    /// The number of changes (for INFO's `rdb_changes_since_last_save`).
    pub(crate) changes: u64,
    /// The databases that were emptied or swapped.
    pub(crate) replaced: Vec<usize>,
    /// The commands to record in place of the request. The common case, the request itself, costs one word.
    #[allow(clippy::box_collection)]
    pub(crate) records: Option<Box<Vec<Record<'a>>>>,
}

pub(crate) struct Event<'a> {
    pub(crate) database: usize,
    pub(crate) key: HashedKey<'a>,
    pub(crate) class: NotifyClass,
    pub(crate) name: &'static str,
    pub(crate) concerned: Concerned,
}

/// The clients that an event concerns beside subscribers of such events.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Concerned {
    Nobody,
    /// The key's waiters.
    Waiters,
    /// The key's waiters and watchers: its value or its expiry changed.
    WaitersAndWatchers,
}

impl<'a> Effects<'a> {
    /// Adds a change of a key, and its event.
    #[inline]
    pub fn changed(&mut self, database: usize, key: HashedKey<'a>, class: NotifyClass, name: &'static str) {
        self.changes += 1;
        self.events.push(Event { database, key, class, name, concerned: Concerned::WaitersAndWatchers });
    }

    /// Adds an event without a change.
    #[inline]
    pub fn announce(&mut self, database: usize, key: HashedKey<'a>, class: NotifyClass, name: &'static str) {
        self.events.push(Event { database, key, class, name, concerned: Concerned::Nobody });
    }

    /// Adds an event that the key's waiters must react to although WATCH does not see a change: XGROUP DESTROY.
    pub fn wake(&mut self, database: usize, key: HashedKey<'a>, class: NotifyClass, name: &'static str) {
        self.changes += 1;
        self.events.push(Event { database, key, class, name, concerned: Concerned::Waiters });
    }

    /// Counts further changes, which belong to no event: FLUSHALL, or XACK of several entries.
    pub fn changed_many(&mut self, changes: u64) {
        self.changes += changes;
    }

    /// Sets the number of changes, if it is not the number of changed keys: RPUSH of several elements, or RENAME, which changes two keys.
    #[inline]
    pub fn count_as(&mut self, changes: usize) {
        self.changes = changes as u64;
    }

    /// Adds that a database was emptied or swapped: FLUSHALL, SWAPDB.
    pub fn replaced(&mut self, database: usize) {
        self.replaced.push(database);
    }

    /// Adds a command to record in place of the request.
    pub fn record(&mut self, record: Record<'a>) {
        self.records.get_or_insert_default().push(record);
    }

    /// Whether there is nothing to publish.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.events.is_empty() && self.changes == 0
    }
}
