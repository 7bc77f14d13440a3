//! A session: what the server knows of one connection while it serves it. Only the connection's own core touches it; what others may
//! see of it, and send to it, is its [`Client`].
//!
//! | file | what it is |
//! |---|---|
//! | `client.rs`, `description.rs` | what others see of a connection, and its line in CLIENT LIST |
//! | `registry.rs` | all clients by their ids |
//! | `mailbox.rs`, `delivery.rs` | what others send to a client, and the limits of that |
//! | `subscriptions.rs` | the channels and patterns of a session |
//! | `transaction.rs` | what was queued since MULTI, and the keys of WATCH |
//! | `wait.rs` | what a session waits for, and how a wait ends |
//! | `pause.rs` | CLIENT PAUSE |

pub mod client;
pub mod delivery;
pub mod description;
pub mod mailbox;
pub mod pause;
pub mod registry;
pub mod subscriptions;
pub mod transaction;
pub mod wait;

use std::sync::{Arc, atomic::Ordering};

use ochre_keyspace::{Keyspace, Place, Reader, ScanPosition};
use ochre_resp::Protocol;

use subscriptions::Subscriptions;

use crate::journal::Position;
pub use client::{Client, ClientFlags};
pub use transaction::{Transaction, Watch};
pub use wait::{AwaitedKeys, Block};

/// How many databases there are.
pub const DATABASES: usize = 16;

/// See the module.
pub struct Session {
    /// What other connections see of it.
    pub client: Arc<Client>,
    pub database: usize,
    pub protocol: Protocol,
    pub authenticated: bool,
    /// CLIENT NO-TOUCH: reading does not count as access.
    pub no_touch: bool,
    pub reply_mode: ReplyMode,
    /// Between MULTI and EXEC or DISCARD.
    pub transaction: Option<Box<Transaction>>,
    /// The keys of WATCH.
    pub watch: Option<Box<Watch>>,
    /// Channels and patterns that it subscribed to.
    pub subscriptions: Option<Box<Subscriptions>>,
    /// What a walk that answers in slices left for its next slice.
    pub walk: Option<Box<WalkState>>,
    /// What it waits for, if it waits.
    pub blocked: Option<Box<wait::Waiting>>,
    /// The attempt to lock what its request needs, while the request waits for that.
    pub attempt: Option<Box<LockAttempt>>,
    /// How far in the journal the replies that it was given depend on it.
    pub position: Position,
}

/// What is kept of a request that could not be given its locks, from one try to the next.
#[derive(Default)]
pub struct LockAttempt {
    /// Its place at the gate.
    pub place: Option<Place>,
    /// How often its shards were busy.
    pub failures: u8,
}

/// CLIENT REPLY.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ReplyMode {
    #[default]
    On,
    /// Nothing is answered until it is On again.
    Off,
    /// CLIENT REPLY SKIP was just run: the next command is not answered.
    SkipNext,
    /// This command is not answered.
    Skip,
}

/// What a walk over the keyspace keeps between two slices.
#[derive(Debug, Default)]
pub struct WalkState {
    pub position: ScanPosition,
    /// How many elements were visited.
    pub visited: usize,
    /// How many elements `found` holds.
    pub count: usize,
    /// The elements found so far, as they will be sent; in pieces, since one piece would be moved as a whole each time it grows.
    pub found: std::collections::VecDeque<Vec<u8>>,
    /// Once everything is visited: where a next walk goes on, if anywhere.
    pub ended: Option<Option<ScanPosition>>,
    /// The reply, while it is put together of what was found.
    pub reply: Option<Vec<u8>>,
}

impl Session {
    pub fn new(client: Arc<Client>, protocol: Protocol, authenticated: bool) -> Session {
        Session {
            client,
            database: 0,
            protocol,
            authenticated,
            no_touch: false,
            reply_mode: ReplyMode::On,
            transaction: None,
            watch: None,
            subscriptions: None,
            walk: None,
            blocked: None,
            attempt: None,
            position: Position::default(),
        }
    }

    /// Whether it is between MULTI and EXEC.
    pub fn in_transaction(&self) -> bool {
        self.transaction.is_some()
    }

    /// Whether it has subscriptions, so that a RESP2 client may run a few commands only.
    pub fn is_subscriber(&self) -> bool {
        self.subscriptions.as_ref().is_some_and(|subscriptions| !subscriptions.is_empty())
    }

    /// Whether nothing about it asks for more than a command's own checks: the state that batches are for.
    #[inline]
    pub fn is_plain(&self) -> bool {
        self.authenticated
            && self.transaction.is_none()
            && self.subscriptions.is_none()
            && self.reply_mode == ReplyMode::On
    }

    /// Leaves the transaction, with what was queued.
    pub fn end_transaction(&mut self) -> Option<Box<Transaction>> {
        self.client.set_flag(ClientFlags::MULTI, false);
        self.client.figures.queued.store(0, Ordering::Relaxed);
        self.client.figures.queued_bytes.store(0, Ordering::Relaxed);
        self.transaction.take()
    }

    /// Keeps CLIENT LIST's count of queued commands.
    pub fn count_queued(&self) {
        let Some(transaction) = &self.transaction else { return };
        let bytes: usize = transaction.queued.last().map_or(0, |queued| queued.memory_usage());
        let figures = &self.client.figures;
        figures.queued.store((transaction.queued.len() + transaction.dropped) as u32, Ordering::Relaxed);
        figures.queued_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Stops watching keys. The lock set holds them (`Flags::RELEASES_WATCH`).
    pub fn release_watch(&mut self, keys: &Reader<'_>, keyspace: &Keyspace) {
        if let Some(watch) = self.take_watch() {
            watch.release(keys, keyspace);
        }
    }

    /// Takes the watch out of the session. Its keys are still to be released.
    pub fn take_watch(&mut self) -> Option<Box<Watch>> {
        let watch = self.watch.take()?;
        self.client.figures.watched_keys.store(0, Ordering::Relaxed);
        Some(watch)
    }

    /// Its replies depend on the journal up to here.
    #[inline]
    pub fn depends_on(&mut self, position: Position) {
        self.position = self.position.max(position);
    }

    /// Moves what was sent to it by others to the end of `out`.
    #[inline]
    pub fn take_mail(&mut self, out: &mut Vec<u8>) {
        if self.client.mailbox.has_mail() {
            let position = self.client.mailbox.drain_into(out);
            self.depends_on(position);
        }
    }

    /// Selects a database.
    pub fn select(&mut self, database: usize) {
        self.database = database;
        self.client.set_database(database);
    }

    /// Changes the protocol.
    pub fn speak(&mut self, protocol: Protocol) {
        self.protocol = protocol;
        self.client.set_protocol(protocol);
    }
}
