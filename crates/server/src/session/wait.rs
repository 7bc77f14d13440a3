//! A wait: the state of a blocked command, and the ways in which it ends.
//!
//! Its timeout, CLIENT UNBLOCK and a writer that has what the command waits for may race to end it. Each claims the wait by
//! compare-and-swap, and the first to succeed determines the reply.

use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::{Duration, Instant},
};

use ochre_datatypes::ValueType;
use ochre_resp::{ReplyBuffer, ReplyWriter};
use parking_lot::Mutex;

use super::{Client, client::Unblock, transaction::Queued};
use crate::{journal::Position, users::Identity};

/// A handler's request to block its client, since it cannot answer yet.
pub struct Block {
    /// When the wait times out. Without a deadline it never does.
    pub deadline: Option<Instant>,
    /// Writes the reply for a wait that times out.
    pub on_timeout: fn(&mut ReplyWriter<'_>),
    /// The keys that the command waits for, if it waits for keys.
    pub keys: Option<AwaitedKeys>,
    /// How long the command counts as running, if waiting is what it does (DEBUG SLEEP).
    pub counts_as: Duration,
}

/// The keys that a blocked command waits for. When a writer changes one of them, and it then holds a value of the type, the writer runs
/// the command again under its own locks.
pub struct AwaitedKeys {
    /// The indices of the arguments that are the keys.
    pub keys: Range<usize>,
    /// The type of value that the command can take from.
    pub value_type: ValueType,
    /// Whether the command is also run again when a key was deleted or holds another type, so that it can answer an error.
    pub or_gone: bool,
    /// The arguments to run the command with then, if they differ from the request's. Their number and the keys must be the same.
    pub args: Option<Vec<Vec<u8>>>,
}

impl Block {
    /// A wait that no key ends: it ends at the deadline, if there is one, or by [`Wait::unblock`].
    pub fn until(deadline: Option<Instant>, on_timeout: fn(&mut ReplyWriter<'_>)) -> Block {
        Block { deadline, on_timeout, keys: None, counts_as: Duration::ZERO }
    }
}

impl std::fmt::Debug for Block {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Block").field("deadline", &self.deadline).finish_non_exhaustive()
    }
}

/// What a session keeps while it is blocked.
pub struct Waiting {
    /// As in [`Block`].
    pub deadline: Option<Instant>,
    /// As in [`Block`].
    pub on_timeout: fn(&mut ReplyWriter<'_>),
    /// The state, shared with everything that may end the wait.
    pub wait: Arc<Wait>,
    /// The command that is parked with the keys, if it waits for keys.
    pub parked: Option<Arc<Parked>>,
}

/// The state of a wait, which whatever ends it claims.
///
/// ```text
/// WAITING ─▶ TIMED_OUT, UNBLOCKED or UNBLOCKED_WITH_ERROR
///    ▲ │
///    │ ▼
///  SERVING ─▶ SERVED
/// ```
#[derive(Default)]
pub struct Wait {
    state: AtomicU8,
    /// The reply and its position in the journal, once the wait is served. A mutex of rank mailbox: no other lock is taken under it.
    reply: Mutex<(ReplyBuffer, Position)>,
}

const WAITING: u8 = 0;
/// A writer is running the command again. The command may still find nothing, and then goes on waiting.
const SERVING: u8 = 1;
const SERVED: u8 = 2;
const TIMED_OUT: u8 = 3;
const UNBLOCKED: u8 = 4;
const UNBLOCKED_WITH_ERROR: u8 = 5;

/// How a wait ended.
pub enum WaitEnd {
    /// A writer served it: the reply, and the journal position that it depends on.
    Served(ReplyBuffer, Position),
    /// It timed out, or CLIENT UNBLOCK ended it as if it had.
    Timeout,
    /// CLIENT UNBLOCK ended it with an error.
    UnblockedWithError,
}

impl Wait {
    /// Moves from one state to another. Returns false if it is not in the first.
    fn transition(&self, from: u8, to: u8) -> bool {
        self.state.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Claims it to run its command again. Returns false if it has ended or another writer has it. After `true` the caller must call
    /// [`Wait::give_back`] or [`Wait::serve`].
    pub fn claim(&self) -> bool {
        self.transition(WAITING, SERVING)
    }

    /// Releases the claim: the command found nothing and goes on waiting.
    pub fn give_back(&self) {
        self.state.store(WAITING, Ordering::Release);
    }

    /// Ends a claimed wait with a reply, which depends on the journal up to `position`.
    pub fn serve(&self, reply: ReplyBuffer, position: Position) {
        *self.reply.lock() = (reply, position);
        self.state.store(SERVED, Ordering::Release);
    }

    /// Ends it since its time is over. Returns false if it has ended already or is being served.
    pub fn time_out(&self) -> bool {
        self.transition(WAITING, TIMED_OUT)
    }

    /// Ends it from outside (CLIENT UNBLOCK). Returns false if it has ended already or is being served.
    pub fn unblock(&self, how: Unblock) -> bool {
        self.transition(WAITING, if how == Unblock::Timeout { UNBLOCKED } else { UNBLOCKED_WITH_ERROR })
    }

    /// How it ended, or `None` while it goes on. The reply of a served wait can be taken once.
    pub fn end(&self) -> Option<WaitEnd> {
        match self.state.load(Ordering::Acquire) {
            WAITING | SERVING => None,
            SERVED => {
                let (reply, position) = std::mem::take(&mut *self.reply.lock());
                Some(WaitEnd::Served(reply, position))
            }
            TIMED_OUT | UNBLOCKED => Some(WaitEnd::Timeout),
            _ => Some(WaitEnd::UnblockedWithError),
        }
    }
}

/// A blocked command that waits for keys, with everything that a writer on another core needs to run it again.
pub struct Parked {
    /// The blocked client.
    pub client: Arc<Client>,
    /// Its wait, to be claimed first.
    pub wait: Arc<Wait>,
    /// The command to run.
    pub request: Queued,
    /// The keys that it waits for: the index of the argument, and the hash.
    pub awaited: Vec<(u32, u64)>,
    /// The key that it adds an element to when it is served, if it has one (BLMOVE).
    pub destination: Option<(u32, u64)>,
    /// As in [`Block`].
    pub deadline: Option<Instant>,
    /// The user that its client acts for.
    pub identity: Identity,
    /// The database that its client has selected.
    pub database: usize,
    /// Whether its client has set CLIENT NO-TOUCH.
    pub no_touch: bool,
    /// As in [`AwaitedKeys`].
    pub value_type: ValueType,
    /// As in [`AwaitedKeys`].
    pub or_gone: bool,
    /// The order of arrival: on each key, the waiter with the lowest ticket is served first.
    pub ticket: u64,
}
