//! What users were denied, for ACL LOG.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;

/// Denials within this time, of the same object to the same user, are one entry. (Redis: `ACL_LOG_GROUPING_MAX_TIME_DELTA`)
const GROUPED_MS: i64 = 60_000;

/// What was denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A command.
    Command,
    /// A key.
    Key,
    /// A channel.
    Channel,
    /// Authentication.
    Auth,
}

/// Where the command came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The client sent it.
    TopLevel,
    /// It was queued in a transaction.
    Multi,
    /// A script called it.
    Script,
}

impl Reason {
    /// Its name in ACL LOG.
    pub fn name(self) -> &'static str {
        match self {
            Reason::Command => "command",
            Reason::Key => "key",
            Reason::Channel => "channel",
            Reason::Auth => "auth",
        }
    }
}

impl Place {
    /// Its name in ACL LOG.
    pub fn name(self) -> &'static str {
        match self {
            Place::TopLevel => "toplevel",
            Place::Multi => "multi",
            Place::Script => "lua",
        }
    }
}

/// A denial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// What was denied.
    pub reason: Reason,
    /// Where the command came from.
    pub place: Place,
    /// The name of the command, the key, the channel, or `AUTH`.
    pub object: Box<[u8]>,
    /// The user's name.
    pub user: Box<[u8]>,
}

/// An entry of the log.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Counted from 0.
    pub id: u64,
    /// How often it was denied.
    pub count: u64,
    /// What was denied.
    pub denial: Denial,
    /// The client's line in CLIENT LIST, at the last denial.
    pub client: Box<str>,
    /// When it was denied first, in milliseconds since 1970.
    pub created_ms: i64,
    /// When it was denied last, in milliseconds since 1970.
    pub updated_ms: i64,
}

/// The log of denials, and their numbers by reason.
#[derive(Default)]
pub struct Denials {
    log: Mutex<Log>,
    /// By [`Reason`].
    counts: [AtomicU64; 4],
}

/// A mutex: it is held for adding an entry, or for copying references.
#[derive(Default)]
struct Log {
    /// The newest first.
    entries: VecDeque<Arc<Entry>>,
    next_id: u64,
}

impl Denials {
    /// Adds a denial. Beyond `len_max` the oldest entries are dropped.
    ///
    /// A long object is cut, since a client chooses the keys that it asks for.
    pub fn push(&self, mut denial: Denial, client: String, now_ms: i64, len_max: usize) {
        self.counts[denial.reason as usize].fetch_add(1, Ordering::Relaxed);
        /// The most bytes of an object that are kept.
        const OBJECT_BYTES_MAX: usize = 1024;
        if denial.object.len() > OBJECT_BYTES_MAX {
            denial.object = denial.object[..OBJECT_BYTES_MAX].into();
        }
        let mut log = self.log.lock();
        /// An entry that is further back is not looked for. (Redis: `addACLLogEntry`)
        const LOOKED_AT: usize = 10;
        let is_same = |entry: &Arc<Entry>| entry.denial == denial && now_ms - entry.updated_ms <= GROUPED_MS;
        let entry = match log.entries.iter().take(LOOKED_AT).position(is_same).and_then(|at| log.entries.remove(at)) {
            Some(before) => {
                let mut entry = Arc::unwrap_or_clone(before);
                entry.count += 1;
                entry.client = client.into();
                entry.updated_ms = now_ms;
                entry
            }
            None => {
                log.next_id += 1;
                let id = log.next_id - 1;
                Entry { id, count: 1, denial, client: client.into(), created_ms: now_ms, updated_ms: now_ms }
            }
        };
        log.entries.push_front(Arc::new(entry));
        log.entries.truncate(len_max);
    }

    /// The newest `count` entries, the newest first.
    pub fn newest(&self, count: usize) -> Vec<Arc<Entry>> {
        self.log.lock().entries.iter().take(count).cloned().collect()
    }

    /// Drops all entries.
    pub fn reset(&self) {
        let entries = std::mem::take(&mut self.log.lock().entries);
        drop(entries);
    }

    /// How often something was denied for this reason.
    pub fn count(&self, reason: Reason) -> u64 {
        self.counts[reason as usize].load(Ordering::Relaxed)
    }

    /// Sets the numbers to zero (CONFIG RESETSTAT).
    pub fn reset_counts(&self) {
        self.counts.iter().for_each(|count| count.store(0, Ordering::Relaxed));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(log: &Denials, object: &str, now_ms: i64) {
        let denial = Denial {
            reason: Reason::Key,
            place: Place::TopLevel,
            object: object.as_bytes().into(),
            user: b"alice"[..].into(),
        };
        log.push(denial, format!("at {now_ms}"), now_ms, 3);
    }

    #[test]
    fn the_same_denial_within_a_minute_is_one_entry() {
        let log = Denials::default();
        for (object, now_ms) in [("a", 0), ("b", 10), ("a", 60_000), ("a", 120_001), ("c", 120_002), ("d", 120_003)] {
            push(&log, object, now_ms);
        }
        let seen = log.newest(9);
        let seen: Vec<_> =
            seen.iter().map(|it| (it.id, it.count, &*it.denial.object, it.created_ms, &*it.client)).collect();
        assert_eq!(
            seen,
            [
                (4, 1, &b"d"[..], 120_003, "at 120003"),
                (3, 1, b"c", 120_002, "at 120002"),
                (2, 1, b"a", 120_001, "at 120001")
            ]
        );
        assert_eq!((log.count(Reason::Key), log.count(Reason::Auth)), (6, 0));
        log.reset();
        assert!(log.newest(9).is_empty());
    }

    #[test]
    fn an_entry_that_is_repeated_moves_to_the_front() {
        let log = Denials::default();
        for (object, now_ms) in [("a", 0), ("b", 10), ("a", 20)] {
            push(&log, object, now_ms);
        }
        let seen: Vec<_> = log.newest(9).iter().map(|it| (it.id, it.count, it.updated_ms)).collect();
        assert_eq!(seen, [(0, 2, 20), (1, 1, 10)]);
    }
}
