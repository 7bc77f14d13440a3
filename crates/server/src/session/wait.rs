//! A wait: what a session waits for that cannot be answered yet, and the ways in which that ends.
//!
//! Several may want to end a wait: its time, CLIENT UNBLOCK, a write that has what it waits for. Each claims it by compare-and-swap;
//! whoever comes first says what the client is answered.

use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::Instant,
};

use ochre_datatypes::ValueType;
use ochre_resp::ReplyWriter;
use parking_lot::Mutex;

use super::{Client, client::Unblock, transaction::Queued};
use crate::journal::Position;

/// What a handler asks for that cannot answer yet.
pub struct Block {
    /// When it stops waiting; never, if there is none.
    pub deadline: Option<Instant>,
    /// What it is answered when the deadline passes.
    pub on_timeout: fn(&mut ReplyWriter<'_>),
    /// The keys that may end the wait, where it waits for keys.
    pub keys: Option<AwaitedKeys>,
}

/// To wait for some of the command's keys. When one of them changes, and holds a value of the type, the command is run again, by who
/// changed it and under the same locks.
pub struct AwaitedKeys {
    /// Where they are among the arguments.
    pub keys: Range<usize>,
    pub value_type: ValueType,
    /// Also run again where a key is gone, or holds another type.
    pub or_gone: bool,
    /// What it is run with then, if not with the same arguments; as many of them, and with the same keys.
    pub args: Option<Vec<Vec<u8>>>,
}

impl Block {
    /// To wait for time to pass, and nothing else.
    pub fn until(deadline: Option<Instant>, on_timeout: fn(&mut ReplyWriter<'_>)) -> Block {
        Block { deadline, on_timeout, keys: None }
    }
}

impl std::fmt::Debug for Block {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Block").field("deadline", &self.deadline).finish_non_exhaustive()
    }
}

/// What a session keeps while it waits.
pub struct Waiting {
    pub deadline: Option<Instant>,
    pub on_timeout: fn(&mut ReplyWriter<'_>),
    pub wait: Arc<Wait>,
    /// What is parked with the keys, where it waits for keys.
    pub parked: Option<Arc<Parked>>,
}

/// See the module.
#[derive(Default)]
pub struct Wait {
    state: AtomicU8,
    /// What it was answered, once it is served. A mutex of rank mailbox: nothing is locked under it.
    reply: Mutex<(Vec<u8>, Position)>,
}

const WAITING: u8 = 0;
/// Its command is being run again, which may find that it has to wait on.
const SERVING: u8 = 1;
const SERVED: u8 = 2;
const TIMED_OUT: u8 = 3;
const UNBLOCKED: u8 = 4;
const UNBLOCKED_WITH_ERROR: u8 = 5;

/// How a wait ended.
pub enum WaitEnd {
    /// With this reply, which depends on the journal up to here.
    Served(Vec<u8>, Position),
    Timeout,
    UnblockedWithError,
}

impl Wait {
    fn turn(&self, from: u8, to: u8) -> bool {
        self.state.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// To run its command again; whether it still waits.
    pub fn claim(&self) -> bool {
        self.turn(WAITING, SERVING)
    }

    /// It has to wait on.
    pub fn give_back(&self) {
        self.state.store(WAITING, Ordering::Release);
    }

    /// Its command was run, and answers this, which depends on the journal up to `position`.
    pub fn serve(&self, reply: Vec<u8>, position: Position) {
        *self.reply.lock() = (reply, position);
        self.state.store(SERVED, Ordering::Release);
    }

    /// Its time is over; whether that ends it.
    pub fn time_out(&self) -> bool {
        self.turn(WAITING, TIMED_OUT)
    }

    /// Somebody else ends it; whether it still waited.
    pub fn unblock(&self, how: Unblock) -> bool {
        self.turn(WAITING, if how == Unblock::Timeout { UNBLOCKED } else { UNBLOCKED_WITH_ERROR })
    }

    /// How it ended, if it has.
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

/// A command that is run again when one of its keys changes, and all that it takes to do so on another core.
pub struct Parked {
    pub client: Arc<Client>,
    pub wait: Arc<Wait>,
    pub request: Queued,
    /// Those of its keys that it waits for.
    pub awaited: Vec<(u32, u64)>,
    /// The one to which it adds an element when it is served, where there is such a one.
    pub destination: Option<(u32, u64)>,
    pub deadline: Option<Instant>,
    pub database: usize,
    pub no_touch: bool,
    pub value_type: ValueType,
    pub or_gone: bool,
    /// Who came first.
    pub ticket: u64,
}
