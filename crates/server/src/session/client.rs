//! What other connections see of a client: its entry in CLIENT LIST, its mailbox, and the means to end it.

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
use crate::label::CommandLabel;

bitflags! {
    /// What CLIENT LIST shows as flags, and what else others ask of a client.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct ClientFlags: u32 {
        /// x: in a transaction
        const MULTI = 1;
        /// b: waits in a blocking command
        const BLOCKED = 1 << 1;
        /// d: a watched key was changed
        const DIRTY = 1 << 2;
        /// c: closed once its replies are sent
        const CLOSING = 1 << 3;
        /// U: on a Unix socket
        const UNIX_SOCKET = 1 << 4;
        /// P: has subscriptions
        const PUBSUB = 1 << 5;
        /// e: excluded from client eviction
        const NO_EVICT = 1 << 6;
        /// T: does not touch keys' access clocks
        const NO_TOUCH = 1 << 7;
        /// I: an import source (Valkey)
        const IMPORT_SOURCE = 1 << 8;
        /// b: CLIENT PAUSE holds its request up
        const PAUSED = 1 << 9;
        /// waits for some time at most
        const HAS_DEADLINE = 1 << 10;
    }
}

/// See the module.
pub struct Client {
    pub id: u64,
    /// `ip:port`, `[ip]:port`, or `path:0`.
    pub address: Box<str>,
    pub local_address: Box<str>,
    pub fd: i32,
    /// The core that serves it.
    pub core: usize,
    /// Milliseconds since 1970.
    pub created_ms: i64,
    /// What changes seldom.
    pub details: Mutex<Details>,
    /// Milliseconds since 1970 of its last command.
    last_active_ms: AtomicI64,
    last_command: AtomicPtr<CommandLabel>,
    flags: AtomicU32,
    database: AtomicU32,
    protocol: AtomicU8,
    /// Counts for CLIENT LIST: each is written by the client's core only.
    pub figures: Figures,
    /// What others sent to it.
    pub mailbox: Mailbox,
    killed: AtomicBool,
    /// Whether it sent or took bytes since its core last looked.
    active: AtomicBool,
    /// What it waits for at the moment, for others to end it. A mutex: touched when a wait begins or is ended from outside.
    pub(crate) wait: Mutex<Option<Arc<Wait>>>,
    /// Wakes its connection.
    pub(crate) waker: AtomicWaker,
}

/// What a client said of itself.
#[derive(Default)]
pub struct Details {
    pub name: Box<[u8]>,
    pub library_name: Box<[u8]>,
    pub library_version: Box<[u8]>,
    /// CLIENT CAPA (Valkey): `r` for redirect.
    pub capabilities: Box<str>,
}

/// Figures of CLIENT LIST.
#[derive(Default)]
pub struct Figures {
    pub channels: AtomicU32,
    pub patterns: AtomicU32,
    pub shard_channels: AtomicU32,
    pub watched_keys: AtomicU32,
    /// Queued commands and their bytes, while in MULTI.
    pub queued: AtomicU32,
    pub queued_bytes: AtomicU64,
    /// Bytes that wait to be parsed.
    pub input_bytes: AtomicU64,
    /// Bytes of replies that wait to be sent.
    pub output_bytes: AtomicU64,
    pub read_bytes: AtomicU64,
    pub written_bytes: AtomicU64,
    pub commands: AtomicU64,
}

/// How CLIENT UNBLOCK ends a wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unblock {
    Timeout,
    Error,
}

impl Client {
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

    /// Records that it ran commands, of which this was the last.
    #[inline]
    pub fn ran(&self, command: &'static CommandLabel, count: u64, now_ms: i64) {
        let before = self.figures.commands.load(Ordering::Relaxed);
        self.figures.commands.store(before + count, Ordering::Relaxed);
        self.last_active_ms.store(now_ms, Ordering::Relaxed);
        self.last_command.store(std::ptr::from_ref(command).cast_mut(), Ordering::Relaxed);
    }

    /// It sent or took bytes, which need not be whole requests or replies.
    #[inline]
    pub(crate) fn mark_active(&self) {
        self.active.store(true, Ordering::Relaxed);
    }

    /// Takes what `mark_active` said since the last call for activity of this moment.
    pub(crate) fn note_activity(&self, now_ms: i64) {
        if self.active.load(Ordering::Relaxed) {
            self.active.store(false, Ordering::Relaxed);
            self.last_active_ms.fetch_max(now_ms, Ordering::Relaxed);
        }
    }

    pub fn last_active_ms(&self) -> i64 {
        self.last_active_ms.load(Ordering::Relaxed)
    }

    /// The last command that it ran.
    pub fn last_command(&self) -> Option<&'static CommandLabel> {
        let command = self.last_command.load(Ordering::Relaxed);
        // SAFETY: null, or from the `&'static CommandLabel` of `ran`.
        unsafe { command.as_ref() }
    }

    pub fn flags(&self) -> ClientFlags {
        ClientFlags::from_bits_truncate(self.flags.load(Ordering::Relaxed))
    }

    pub fn set_flag(&self, flag: ClientFlags, on: bool) {
        if on {
            self.flags.fetch_or(flag.bits(), Ordering::Relaxed);
        } else {
            self.flags.fetch_and(!flag.bits(), Ordering::Relaxed);
        }
    }

    pub fn database(&self) -> usize {
        self.database.load(Ordering::Relaxed) as usize
    }

    pub(super) fn set_database(&self, database: usize) {
        self.database.store(database as u32, Ordering::Relaxed);
    }

    /// The protocol that messages for it are written in.
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

    /// Closes its connection: at once, or where it is running the command that asks for it, after its replies.
    pub fn kill(&self) {
        self.killed.store(true, Ordering::Release);
        self.waker.wake();
    }

    #[inline]
    pub fn is_killed(&self) -> bool {
        self.killed.load(Ordering::Acquire)
    }

    /// The wait that it is in. It begins here where it is in none: when a handler has it to give to who is to end it, or when the handler's
    /// request is put aside.
    pub(crate) fn begin_wait(&self) -> Arc<Wait> {
        self.wait.lock().get_or_insert_default().clone()
    }

    /// Ends its wait in a blocking command, if it waits; whether it did.
    pub fn unblock(&self, how: Unblock) -> bool {
        let ended = self.wait.lock().as_ref().is_some_and(|wait| wait.unblock(how));
        if ended {
            self.waker.wake();
        }
        ended
    }

    /// Wakes its connection.
    pub fn wake(&self) {
        self.waker.wake();
    }

    /// Whether replies wait to be sent.
    pub fn has_output(&self) -> bool {
        self.figures.output_bytes.load(Ordering::Relaxed) > 0
    }

    /// Whether it has neither sent nor taken anything for so long. Who waits or listens is not idle (Redis: `clientsCronHandleTimeout`).
    pub fn is_idle_for(&self, timeout_ms: i64, now_ms: i64) -> bool {
        now_ms - self.last_active_ms() > timeout_ms
            && !self.flags().intersects(ClientFlags::BLOCKED | ClientFlags::PAUSED | ClientFlags::PUBSUB)
    }

    /// Whether it comes from this machine.
    pub fn is_local(&self) -> bool {
        self.flags().contains(ClientFlags::UNIX_SOCKET)
            || self.address.parse::<SocketAddr>().is_ok_and(|address| address.ip().to_canonical().is_loopback())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_moves_bytes_or_waits_is_not_idle() {
        let client = Client::new(1, "127.0.0.1:1".into(), "127.0.0.1:2".into(), 3, 0, 10_000);
        assert!(!client.is_idle_for(1000, 11_000) && client.is_idle_for(1000, 11_001));
        client.mark_active();
        client.note_activity(12_000);
        assert!(!client.is_idle_for(1000, 13_000) && client.is_idle_for(1000, 13_001));
        // What was noted once is not activity for ever.
        client.note_activity(13_001);
        assert!(client.is_idle_for(1000, 13_001));
        for waits in [ClientFlags::BLOCKED, ClientFlags::PAUSED, ClientFlags::PUBSUB] {
            client.set_flag(waits, true);
            assert!(!client.is_idle_for(1000, 99_000));
            client.set_flag(waits, false);
        }
        assert!(client.is_idle_for(1000, 99_000));
    }
}
