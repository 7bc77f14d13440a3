//! The log of unusual commands: those that took long (SLOWLOG), whose requests were large, or whose replies were large (COMMANDLOG of Valkey).
//!
//! An entry has a copy of the command's arguments, which is cut to a bounded size, so the log's memory is bounded by its length.

use std::{collections::VecDeque, sync::Arc};

use parking_lot::Mutex;

/// What an entry was logged for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reason {
    /// The command took long.
    Slow,
    /// The request was large.
    LargeRequest,
    /// The reply was large.
    LargeReply,
}

impl Reason {
    /// Every reason, and its name in COMMANDLOG.
    pub const NAMES: [(Reason, &str); 3] =
        [(Reason::Slow, "slow"), (Reason::LargeRequest, "large-request"), (Reason::LargeReply, "large-reply")];
}

/// An entry.
#[derive(Debug)]
pub struct Entry {
    /// Its number. The entries of each reason are counted from 0, and RESET does not begin again.
    pub id: u64,
    /// When the command ended, in seconds since 1970.
    pub time_s: i64,
    /// The microseconds that the command took, or the bytes of its request or reply.
    pub figure: u64,
    /// The command's arguments, cut.
    pub arguments: Vec<Box<[u8]>>,
    /// The client's address.
    pub address: Box<str>,
    /// The client's name.
    pub name: Box<[u8]>,
}

/// A command to log.
pub struct Logged<'a> {
    /// When it ended, in seconds since 1970.
    pub time_s: i64,
    /// See [`Entry::figure`].
    pub figure: u64,
    /// Its arguments, as [`cut_arguments`] returns them.
    pub arguments: Vec<Box<[u8]>>,
    /// The client's address.
    pub address: &'a str,
    /// The client's name.
    pub name: &'a [u8],
}

/// The log.
#[derive(Default)]
pub struct CommandLog {
    /// By [`Reason`].
    logs: [Mutex<Log>; 3],
}

/// The entries of one reason. A mutex: it is held for pushing an entry, or for copying references.
#[derive(Default)]
struct Log {
    /// The newest first.
    entries: VecDeque<Arc<Entry>>,
    next_id: u64,
}

/// The most arguments of an entry; if there are more, the last one tells how many. (Redis: `SLOWLOG_ENTRY_MAX_ARGC`)
const ARGUMENTS_MAX: usize = 32;
/// The most bytes of an argument that are kept. (Redis: `SLOWLOG_ENTRY_MAX_STRING`)
const ARGUMENT_BYTES_MAX: usize = 128;

impl CommandLog {
    fn of(&self, reason: Reason) -> &Mutex<Log> {
        &self.logs[reason as usize]
    }

    /// Adds an entry. Beyond `len_max` the oldest ones are dropped.
    pub fn push(&self, reason: Reason, logged: Logged<'_>, len_max: u64) {
        let Logged { time_s, figure, arguments, address, name } = logged;
        let mut log = self.of(reason).lock();
        let entry = Entry { id: log.next_id, time_s, figure, arguments, address: address.into(), name: name.into() };
        log.next_id += 1;
        log.entries.push_front(Arc::new(entry));
        log.entries.truncate(usize::try_from(len_max).unwrap_or(usize::MAX));
    }

    /// The newest `count` entries, the newest first.
    pub fn newest(&self, reason: Reason, count: usize) -> Vec<Arc<Entry>> {
        self.of(reason).lock().entries.iter().take(count).cloned().collect()
    }

    /// The number of entries.
    pub fn len(&self, reason: Reason) -> usize {
        self.of(reason).lock().entries.len()
    }

    /// Drops all entries.
    pub fn reset(&self, reason: Reason) {
        let entries = std::mem::take(&mut self.of(reason).lock().entries);
        drop(entries);
    }
}

/// Copies a command's arguments, which have no secrets, as an entry keeps them.
pub fn cut_arguments<'a>(arguments: impl ExactSizeIterator<Item = &'a [u8]>) -> Vec<Box<[u8]>> {
    let count = arguments.len();
    let kept = if count > ARGUMENTS_MAX { ARGUMENTS_MAX - 1 } else { count };
    let mut cut: Vec<Box<[u8]>> = arguments.take(kept).map(cut_argument).collect();
    if kept < count {
        cut.push(format!("... ({} more arguments)", count - kept).into_bytes().into());
    }
    cut
}

fn cut_argument(argument: &[u8]) -> Box<[u8]> {
    match argument.split_at_checked(ARGUMENT_BYTES_MAX) {
        Some((kept, rest)) if !rest.is_empty() => {
            [kept, format!("... ({} more bytes)", rest.len()).as_bytes()].concat().into()
        }
        _ => argument.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(log: &CommandLog, arguments: &[&[u8]], len_max: u64) {
        let arguments = cut_arguments(arguments.iter().copied());
        log.push(Reason::Slow, Logged { time_s: 1, figure: 2, arguments, address: "a:1", name: b"n" }, len_max);
    }

    #[test]
    fn arguments_are_cut_as_redis_cuts_them() {
        for (len, shown) in [(0, 0), (128, 128), (129, 147), (1128, 150)] {
            assert_eq!(cut_argument(&vec![b'x'; len]).len(), shown);
        }
        assert!(cut_argument(&[b'x'; 129]).ends_with(b"x... (1 more bytes)"));
        for (count, kept, last) in [(1, 1, "x"), (32, 32, "x"), (33, 32, "... (2 more arguments)")] {
            let arguments = vec![&b"x"[..]; count];
            let cut = cut_arguments(arguments.iter().copied());
            assert_eq!((cut.len(), &*cut[kept - 1]), (kept, last.as_bytes()));
        }
    }

    #[test]
    fn a_log_keeps_the_newest_and_goes_on_counting() {
        let log = CommandLog::default();
        (0..5).for_each(|_| push(&log, &[b"GET"], 3));
        let ids =
            |log: &CommandLog, count| log.newest(Reason::Slow, count).iter().map(|entry| entry.id).collect::<Vec<_>>();
        assert_eq!((ids(&log, 9), ids(&log, 2), log.len(Reason::Slow)), (vec![4, 3, 2], vec![4, 3], 3));
        assert_eq!(log.len(Reason::LargeReply), 0);
        log.reset(Reason::Slow);
        push(&log, &[b"GET"], 3);
        assert_eq!(ids(&log, 9), [5]);
    }
}
