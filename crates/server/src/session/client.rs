//! What other connections can see of a client and do to it: its entry in CLIENT LIST, its mailbox, and the means to unblock or to close it.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, Ordering},
    },
};

use atomic_waker::AtomicWaker;
use bitflags::bitflags;
use ochre_resp::Protocol;
use parking_lot::Mutex;

use super::{mailbox::Mailbox, wait::Wait};
use crate::{label::CommandLabel, users::DEFAULT_USER};

bitflags! {
    /// The state of a client that other connections can see. Most flags have a letter in CLIENT LIST, which comes first here.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct ClientFlags: u32 {
        /// x: between MULTI and EXEC.
        const MULTI = 1;
        /// b: blocked in a command such as BLPOP.
        const BLOCKED = 1 << 1;
        /// d: a watched key has changed, so EXEC will fail.
        const DIRTY = 1 << 2;
        /// c: to be closed once its replies are sent.
        const CLOSING = 1 << 3;
        /// U: connected through a Unix socket.
        const UNIX_SOCKET = 1 << 4;
        /// P: has subscriptions.
        const PUBSUB = 1 << 5;
        /// e: excluded from client eviction (CLIENT NO-EVICT).
        const NO_EVICT = 1 << 6;
        /// T: only TOUCH counts as an access to a key (CLIENT NO-TOUCH).
        const NO_TOUCH = 1 << 7;
        /// I: an import source (Valkey: CLIENT IMPORT-SOURCE).
        const IMPORT_SOURCE = 1 << 8;
        /// b: its request is held by CLIENT PAUSE.
        const PAUSED = 1 << 9;
        /// Blocked with a timeout. Has no letter.
        const HAS_DEADLINE = 1 << 10;
        /// Its request waits for the gate, for a shard, or for memory that is being freed.
        const WAITS_FOR_LOCKS = 1 << 11;
        /// O: is sent a line for every command (MONITOR).
        const MONITOR = 1 << 20;
    }
}

/// A connected client, as other connections see it.
pub struct Client {
    /// Unique for the life of the server; counted from 1.
    pub id: u64,
    /// The client's end of the connection: `ip:port`, `[ip]:port`, or `path:0` for a Unix socket.
    pub address: Box<str>,
    /// The server's end of the connection, in the same form.
    pub local_address: Box<str>,
    /// The file descriptor of the socket.
    pub fd: i32,
    /// The index of the core that serves it.
    pub core: usize,
    /// When it connected, in milliseconds since 1970.
    pub created_ms: i64,
    /// What the client has told about itself. A mutex: it changes seldom, and is read by CLIENT LIST and its like.
    pub details: Mutex<Details>,
    /// When it last ran a command or moved bytes, in milliseconds since 1970.
    last_active_ms: AtomicI64,
    /// Null before the first command.
    last_command: AtomicPtr<CommandLabel>,
    flags: AtomicU32,
    database: AtomicU32,
    /// The version: 2 or 3, or 0 for the plain protocol.
    protocol: AtomicU8,
    /// Counts for CLIENT LIST. Only the client's own core writes them.
    pub figures: Figures,
    /// What other connections have sent to it.
    pub mailbox: Mailbox,
    killed: AtomicBool,
    /// Whether it has sent or received bytes since [`Client::note_activity`] last looked.
    active: AtomicBool,
    /// The wait that it is in, if any, where other connections can end it. A mutex: it is taken only when a wait begins or ends.
    pub(crate) wait: Mutex<Option<Arc<Wait>>>,
    /// Wakes the task of its connection.
    pub(crate) waker: AtomicWaker,
}

/// What a client has told about itself. Each field is empty until then.
#[derive(Default)]
pub struct Details {
    /// The user that it acts for.
    pub user: Box<[u8]>,
    /// CLIENT SETNAME.
    pub name: Box<[u8]>,
    /// CLIENT SETINFO LIB-NAME.
    pub library_name: Box<[u8]>,
    /// CLIENT SETINFO LIB-VER.
    pub library_version: Box<[u8]>,
    /// CLIENT CAPA (Valkey): `r` for redirect.
    pub capabilities: Box<str>,
}

/// Figures of CLIENT LIST.
#[derive(Default)]
pub struct Figures {
    /// Channels that it is subscribed to.
    pub channels: AtomicU32,
    /// Patterns that it is subscribed to.
    pub patterns: AtomicU32,
    /// Shard channels that it is subscribed to.
    pub shard_channels: AtomicU32,
    /// Keys that it watches.
    pub watched_keys: AtomicU32,
    /// Commands queued since MULTI.
    pub queued: AtomicU32,
    /// Bytes of the commands queued since MULTI.
    pub queued_bytes: AtomicU64,
    /// Bytes that are read and not yet parsed.
    pub input_bytes: AtomicU64,
    /// Bytes of replies that are not yet sent.
    pub output_bytes: AtomicU64,
    /// Bytes of its name, and of the name and the version of its library.
    pub details_bytes: AtomicU64,
    /// Bytes of its channels and patterns.
    pub subscription_bytes: AtomicU64,
    /// Bytes of memory that it takes in all, when its connection last counted them.
    pub memory_bytes: AtomicU64,
    /// Bytes read from it since it connected.
    pub read_bytes: AtomicU64,
    /// Bytes sent to it since it connected.
    pub written_bytes: AtomicU64,
    /// Commands that it has run since it connected.
    pub commands: AtomicU64,
}

/// How CLIENT UNBLOCK ends a wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unblock {
    /// As if its timeout had passed.
    Timeout,
    /// With the error `UNBLOCKED`.
    Error,
}

impl Client {
    /// A client that has just connected to `core`. `address` and `local_address` are in the form of the fields.
    pub fn new(id: u64, address: String, local_address: String, fd: i32, core: usize, now_ms: i64) -> Client {
        Client {
            id,
            address: address.into(),
            local_address: local_address.into(),
            fd,
            core,
            created_ms: now_ms,
            details: Mutex::default(),
            last_active_ms: AtomicI64::new(now_ms),
            last_command: AtomicPtr::new(std::ptr::null_mut()),
            flags: AtomicU32::new(0),
            database: AtomicU32::new(0),
            protocol: AtomicU8::new(2),
            figures: Figures::default(),
            mailbox: Mailbox::default(),
            killed: AtomicBool::new(false),
            active: AtomicBool::new(false),
            wait: Mutex::default(),
            waker: AtomicWaker::new(),
        }
    }

    /// Its address without the port.
    pub fn ip(&self) -> &str {
        let (host, _) = self.address.rsplit_once(':').unwrap_or((&self.address, ""));
        host.trim_start_matches('[').trim_end_matches(']')
    }

    /// The name of the user that it acts for. A client that is not authenticated counts as one of the default user.
    pub fn user(&self) -> Box<[u8]> {
        let details = self.details.lock();
        if details.user.is_empty() { DEFAULT_USER.into() } else { details.user.clone() }
    }

    /// Records that it has run `count` commands, the last of them `command`.
    #[inline]
    pub fn ran(&self, command: &'static CommandLabel, count: u64, now_ms: i64) {
        let before = self.figures.commands.load(Ordering::Relaxed);
        self.figures.commands.store(before + count, Ordering::Relaxed);
        self.last_active_ms.store(now_ms, Ordering::Relaxed);
        self.last_command.store(std::ptr::from_ref(command).cast_mut(), Ordering::Relaxed);
    }

    /// Records that it has sent or received bytes, be it part of a request or of a reply.
    #[inline]
    pub(crate) fn mark_active(&self) {
        self.active.store(true, Ordering::Relaxed);
    }

    /// Sets the time of its last activity to `now_ms` if it was marked active since the last call. Marking reads no clock.
    pub(crate) fn note_activity(&self, now_ms: i64) {
        if self.active.load(Ordering::Relaxed) {
            self.active.store(false, Ordering::Relaxed);
            self.last_active_ms.fetch_max(now_ms, Ordering::Relaxed);
        }
    }

    /// When it was last active, in milliseconds since 1970.
    pub fn last_active_ms(&self) -> i64 {
        self.last_active_ms.load(Ordering::Relaxed)
    }

    /// The last command that it ran, if it ran any.
    pub fn last_command(&self) -> Option<&'static CommandLabel> {
        let command = self.last_command.load(Ordering::Relaxed);
        // SAFETY: the pointer is null or comes from the `&'static CommandLabel` that `ran` was given.
        unsafe { command.as_ref() }
    }

    /// Its flags at this moment.
    pub fn flags(&self) -> ClientFlags {
        ClientFlags::from_bits_truncate(self.flags.load(Ordering::Relaxed))
    }

    /// Sets or clears a flag.
    pub fn set_flag(&self, flag: ClientFlags, on: bool) {
        if on {
            self.flags.fetch_or(flag.bits(), Ordering::Relaxed);
        } else {
            self.flags.fetch_and(!flag.bits(), Ordering::Relaxed);
        }
    }

    /// The database that it has selected.
    pub fn database(&self) -> usize {
        self.database.load(Ordering::Relaxed) as usize
    }

    pub(super) fn set_database(&self, database: usize) {
        self.database.store(database as u32, Ordering::Relaxed);
    }

    /// The protocol in which messages to it are written.
    pub fn protocol(&self) -> Protocol {
        match self.protocol.load(Ordering::Relaxed) {
            0 => Protocol::Plain,
            2 => Protocol::Resp2,
            _ => Protocol::Resp3,
        }
    }

    pub(super) fn set_protocol(&self, protocol: Protocol) {
        let number = match protocol {
            Protocol::Plain => 0,
            Protocol::Resp2 => 2,
            Protocol::Resp3 => 3,
        };
        self.protocol.store(number, Ordering::Relaxed);
    }

    /// Closes its connection at once, without sending the replies that are not yet sent. A client that kills itself is closed by
    /// `Outcome::Close` instead, after its replies. Returns false if it was killed before.
    pub fn kill(&self) -> bool {
        let was_killed = self.killed.swap(true, Ordering::AcqRel);
        self.waker.wake();
        !was_killed
    }

    /// Whether it was killed. Its connection ends as soon as its core looks.
    #[inline]
    pub fn is_killed(&self) -> bool {
        self.killed.load(Ordering::Acquire)
    }

    /// The wait that it is in, a new one if it is in none. A handler calls this early to hand the wait to whatever is to end it; otherwise
    /// the wait begins when the request is put aside.
    pub(crate) fn begin_wait(&self) -> Arc<Wait> {
        self.wait.lock().get_or_insert_default().clone()
    }

    /// Ends its wait in a blocking command (CLIENT UNBLOCK). Returns whether it was waiting.
    pub fn unblock(&self, how: Unblock) -> bool {
        let ended = self.wait.lock().as_ref().is_some_and(|wait| wait.unblock(how));
        if ended {
            self.waker.wake();
        }
        ended
    }

    /// Changes what it has told about itself.
    pub fn change_details(&self, change: impl FnOnce(&mut Details)) {
        let mut details = self.details.lock();
        change(&mut details);
        let bytes = details.name.len() + details.library_name.len() + details.library_version.len();
        self.figures.details_bytes.store(bytes as u64, Ordering::Relaxed);
    }

    /// The memory that it takes besides its connection's buffers, in bytes.
    pub(crate) fn memory_usage(&self) -> u64 {
        let figures = &self.figures;
        let parts = [&figures.queued_bytes, &figures.details_bytes, &figures.subscription_bytes];
        let parts: u64 = parts.into_iter().map(|part| part.load(Ordering::Relaxed)).sum();
        size_of::<Client>() as u64 + parts + self.mailbox.bytes() as u64
    }

    /// Wakes the task of its connection.
    pub fn wake(&self) {
        self.waker.wake();
    }

    /// Whether it has replies that are not yet sent.
    pub fn has_output(&self) -> bool {
        self.figures.output_bytes.load(Ordering::Relaxed) > 0
    }

    /// Whether it has neither sent nor received anything for more than `timeout_ms`. Blocked clients, clients whose request waits for a pause
    /// or for locks, subscribers and monitors are never idle (Redis: `clientsCronHandleTimeout`).
    pub fn is_idle_for(&self, timeout_ms: i64, now_ms: i64) -> bool {
        now_ms - self.last_active_ms() > timeout_ms
            && !self.flags().intersects(
                ClientFlags::BLOCKED
                    | ClientFlags::PAUSED
                    | ClientFlags::WAITS_FOR_LOCKS
                    | ClientFlags::PUBSUB
                    | ClientFlags::MONITOR,
            )
    }

    /// Whether it is connected through a Unix socket or from a loopback address.
    pub fn is_local(&self) -> bool {
        self.flags().contains(ClientFlags::UNIX_SOCKET)
            || self.address.parse::<SocketAddr>().is_ok_and(|address| address.ip().to_canonical().is_loopback())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_moves_bytes_or_is_blocked_is_not_idle() {
        let client = Client::new(1, "127.0.0.1:1".into(), "127.0.0.1:2".into(), 3, 0, 10_000);
        assert!(!client.is_idle_for(1000, 11_000) && client.is_idle_for(1000, 11_001));
        client.mark_active();
        client.note_activity(12_000);
        assert!(!client.is_idle_for(1000, 13_000) && client.is_idle_for(1000, 13_001));
        // Noting again without new activity changes nothing.
        client.note_activity(13_001);
        assert!(client.is_idle_for(1000, 13_001));
        for flag in [ClientFlags::BLOCKED, ClientFlags::PAUSED, ClientFlags::WAITS_FOR_LOCKS, ClientFlags::PUBSUB] {
            client.set_flag(flag, true);
            assert!(!client.is_idle_for(1000, 99_000));
            client.set_flag(flag, false);
        }
        assert!(client.is_idle_for(1000, 99_000));
    }
}
