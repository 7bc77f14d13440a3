//! What a handler says that it did. `request/effects.rs` makes it known.

use ochre_keyspace::HashedKey;
use smallvec::SmallVec;

use crate::{events::NotifyClass, journal::Record};

/// What a handler did.
#[derive(Default)]
pub struct Effects<'a> {
    pub(crate) events: SmallVec<[Event<'a>; 2]>,
    /// How many changes it counts for (INFO's rdb_changes_since_last_save).
    pub(crate) changes: u64,
    /// Databases that hold other keys now.
    pub(crate) replaced: Vec<usize>,
    /// The effect in other words than the request's.
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

/// Whom an event concerns beside those who subscribed to such events.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Concerned {
    Nobody,
    /// Those who wait for the key.
    Waiters,
    /// Those who watch the key too: its value or its expiry is another now.
    WaitersAndWatchers,
}

impl<'a> Effects<'a> {
    /// A key was changed, and the event is called so.
    #[inline]
    pub fn changed(&mut self, database: usize, key: HashedKey<'a>, class: NotifyClass, name: &'static str) {
        self.changes += 1;
        self.events.push(Event { database, key, class, name, concerned: Concerned::WaitersAndWatchers });
    }

    /// An event that changed nothing more.
    #[inline]
    pub fn announce(&mut self, database: usize, key: HashedKey<'a>, class: NotifyClass, name: &'static str) {
        self.events.push(Event { database, key, class, name, concerned: Concerned::Nobody });
    }

    /// An event that those who wait for the key want to look at, though its value is what it was: XGROUP DESTROY.
    pub fn wake(&mut self, database: usize, key: HashedKey<'a>, class: NotifyClass, name: &'static str) {
        self.changes += 1;
        self.events.push(Event { database, key, class, name, concerned: Concerned::Waiters });
    }

    /// So many changes beside those of single keys: FLUSHALL.
    pub fn changed_many(&mut self, changes: u64) {
        self.changes += changes;
    }

    /// A database holds other keys than before: FLUSHALL, SWAPDB.
    pub fn replaced(&mut self, database: usize) {
        self.replaced.push(database);
    }

    /// The effect in other words than the request's.
    pub fn record(&mut self, record: Record<'a>) {
        self.records.get_or_insert_default().push(record);
    }

    /// Whether anything is to be made known.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.events.is_empty() && self.changes == 0
    }
}
