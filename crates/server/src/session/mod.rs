//! A session: the server's state of one connection. Only the connection's own core touches it. What other connections may see of it and
//! send to it is its [`Client`].
//!
//! | file | what it holds |
//! |---|---|
//! | `client.rs`, `description.rs` | a client as other connections see it, and its line in CLIENT LIST |
//! | `registry.rs` | all clients by id |
//! | `mailbox.rs`, `delivery.rs` | messages from other connections to a client, and the limits of a client's output |
//! | `subscriptions.rs` | the channels and patterns that a session is subscribed to |
//! | `transaction.rs` | the queue of MULTI and the keys of WATCH |
//! | `wait.rs` | a blocked command, and how its wait ends |
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
use ochre_resp::{Protocol, ReplyBuffer};

use subscriptions::Subscriptions;

use crate::{journal::Position, label::Flags, users::Identity};
pub use client::{Client, ClientFlags};
pub use transaction::{Transaction, Watch};
pub use wait::{AwaitedKeys, Block};

/// The state of one connection.
pub struct Session {
    /// The part that other connections see.
    pub client: Arc<Client>,
    /// The selected database.
    pub database: usize,
    /// The protocol of the replies.
    pub protocol: Protocol,
    /// The user that it acts for.
    pub identity: Identity,
    /// CLIENT NO-TOUCH: only TOUCH counts as an access to a key.
    pub no_touch: bool,
    /// CLIENT REPLY.
    pub reply_mode: ReplyMode,
    /// Present between MULTI and EXEC or DISCARD.
    pub transaction: Option<Box<Transaction>>,
    /// The keys of WATCH.
    pub watch: Option<Box<Watch>>,
    /// The channels and patterns that it is subscribed to.
    pub subscriptions: Option<Box<Subscriptions>>,
    /// The progress of a command that runs in slices, such as KEYS, between two slices.
    pub walk: Option<Box<WalkState>>,
    /// Present while it is blocked.
    pub blocked: Option<Box<wait::Waiting>>,
    /// The attempt to lock what its request needs, while the request waits for its locks.
    pub attempt: Option<Box<LockAttempt>>,
    /// The processor ticks of the slices that its suspended command has run.
    pub slices_ticks: u64,
    /// The journal position that its replies so far depend on.
    pub position: Position,
}

/// What a request that could not get its locks keeps from one try to the next.
#[derive(Default)]
pub struct LockAttempt {
    /// Its place at the gate.
    pub place: Option<Place>,
    /// The number of tries that found its shards busy.
    pub failures: u8,
    /// Whether the request has left its batch, so that it is not tried in one again.
    pub has_left_batch: bool,
}

/// Whether replies are sent (CLIENT REPLY).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ReplyMode {
    /// Replies are sent.
    #[default]
    On,
    /// No replies are sent until CLIENT REPLY ON.
    Off,
    /// CLIENT REPLY SKIP has just run: the reply to the next command is not sent.
    SkipNext,
    /// The reply to the current command is not sent.
    Skip,
}

/// What a command that runs in slices keeps between two slices: a walk of the keyspace, or DEBUG POPULATE, which uses only `visited`.
#[derive(Debug, Default)]
pub struct WalkState {
    /// Where the next slice begins.
    pub position: ScanPosition,
    /// The number of entries visited, or made.
    pub visited: usize,
    /// The number of elements in `found`.
    pub count: usize,
    /// The elements found so far, as they will be sent. They are kept in pieces, since a single buffer would be copied as a whole each time
    /// it grows.
    pub found: std::collections::VecDeque<ReplyBuffer>,
    /// The length of the pieces in `found` that are full.
    pub full_bytes: usize,
    /// Set at the end of the walk: where the next SCAN goes on, or `None` inside if every entry was visited.
    pub ended: Option<Option<ScanPosition>>,
    /// Expired keys that the last slice met, in the order of their hashes. They are removed before the walk goes on.
    pub expired: Vec<Box<[u8]>>,
    /// The reply, while the pieces of `found` are being appended to it.
    pub reply: Option<ReplyBuffer>,
}

impl Session {
    /// The session of a connection that has just been accepted.
    pub fn new(client: Arc<Client>, protocol: Protocol, identity: Identity) -> Session {
        Session {
            client,
            database: 0,
            protocol,
            identity,
            no_touch: false,
            reply_mode: ReplyMode::On,
            transaction: None,
            watch: None,
            subscriptions: None,
            walk: None,
            blocked: None,
            attempt: None,
            slices_ticks: 0,
            position: Position::default(),
        }
    }

    /// Whether it is between MULTI and EXEC.
    pub fn in_transaction(&self) -> bool {
        self.transaction.is_some()
    }

    /// Whether it has subscriptions. A RESP2 client that has some may run only a few commands.
    pub fn is_subscriber(&self) -> bool {
        self.subscriptions.as_ref().is_some_and(|subscriptions| !subscriptions.is_empty())
    }

    /// Whether its requests may share batches: it is authenticated, has neither a transaction nor subscriptions, and its replies are sent.
    #[inline]
    pub fn is_plain(&self) -> bool {
        self.identity.is_authenticated()
            && self.transaction.is_none()
            && self.subscriptions.is_none()
            && self.reply_mode == ReplyMode::On
    }

    /// Returns the flags by which a request is checked and held back. `flags` are those of its command; EXEC has, besides, those of the
    /// commands that it will run.
    #[inline]
    pub fn flags_of_request(&self, flags: Flags) -> Flags {
        match &self.transaction {
            Some(transaction) if flags.contains(Flags::EXEC) => flags | transaction.flags(),
            _ => flags,
        }
    }

    /// Ends the transaction, and returns it with its queue.
    pub fn end_transaction(&mut self) -> Option<Box<Transaction>> {
        self.client.set_flag(ClientFlags::MULTI, false);
        self.client.figures.queued.store(0, Ordering::Relaxed);
        self.client.figures.queued_bytes.store(0, Ordering::Relaxed);
        self.transaction.take()
    }

    /// Updates the figures of CLIENT LIST after a command was queued.
    pub fn count_queued(&self) {
        let Some(transaction) = &self.transaction else { return };
        let bytes: usize = transaction.queued.last().map_or(0, |queued| queued.memory_usage());
        let figures = &self.client.figures;
        figures.queued.store((transaction.queued.len() + transaction.dropped) as u32, Ordering::Relaxed);
        figures.queued_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Stops watching keys. The caller has locked them (`Flags::RELEASES_WATCH`).
    pub fn release_watch(&mut self, keys: &Reader<'_>, keyspace: &Keyspace) {
        if let Some(watch) = self.take_watch() {
            watch.release(keys, keyspace);
        }
    }

    /// Takes the watch out of the session. The caller must remove it from its keys with [`Watch::release`].
    pub fn take_watch(&mut self) -> Option<Box<Watch>> {
        let watch = self.watch.take()?;
        self.client.figures.watched_keys.store(0, Ordering::Relaxed);
        Some(watch)
    }

    /// Records that its replies depend on the journal up to `position`.
    #[inline]
    pub fn depends_on(&mut self, position: Position) {
        self.position = self.position.max(position);
    }

    /// Moves the messages in its mailbox to the end of `out`.
    #[inline]
    pub fn take_mail(&mut self, out: &mut ReplyBuffer) {
        if self.client.mailbox.has_mail() {
            let position = self.client.mailbox.drain_into(out);
            self.depends_on(position);
        }
    }

    /// Selects a database, whose index is valid.
    pub fn select(&mut self, database: usize) {
        self.database = database;
        self.client.set_database(database);
    }

    /// Changes the protocol of its replies and of messages to it.
    pub fn speak(&mut self, protocol: Protocol) {
        self.protocol = protocol;
        self.client.set_protocol(protocol);
    }
}
