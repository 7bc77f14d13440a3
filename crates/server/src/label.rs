//! What sessions and counters know of a command: enough to count it, to name it and to hold it up, and nothing of what it does.

use bitflags::bitflags;

/// See the module. A command's row, arguments and handler are found again from it by `commands::registry`.
#[derive(Debug)]
pub struct CommandLabel {
    pub id: CommandId,
    /// The command under which it is counted: itself, unless clients are not told of it (see [`Flags::PRIVATE_SUBCOMMANDS`]).
    pub counted_as: CommandId,
    /// `get`, `client|list`.
    pub full_name: Box<str>,
    pub flags: Flags,
}

/// The number of a command or subcommand, counted from 0 over all of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CommandId(pub u16);

impl CommandId {
    #[inline]
    pub fn index(self) -> usize {
        self.0.into()
    }
}

bitflags! {
    /// A command's flags: those that COMMAND INFO shows, then those that only Ochre's own steps ask for.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct Flags: u64 {
        const WRITE = 1;
        const READONLY = 1 << 1;
        const DENYOOM = 1 << 2;
        const ADMIN = 1 << 3;
        const PUBSUB = 1 << 4;
        const NOSCRIPT = 1 << 5;
        const BLOCKING = 1 << 6;
        const LOADING = 1 << 7;
        const STALE = 1 << 8;
        const SKIP_MONITOR = 1 << 9;
        const SKIP_SLOWLOG = 1 << 10;
        const ASKING = 1 << 11;
        const FAST = 1 << 12;
        const NO_AUTH = 1 << 13;
        const MAY_REPLICATE = 1 << 14;
        const NO_ASYNC_LOADING = 1 << 15;
        const NO_MULTI = 1 << 16;
        const MOVABLE_KEYS = 1 << 17;
        const ALLOW_BUSY = 1 << 18;
        const NO_MANDATORY_KEYS = 1 << 19;

        /// Takes bounded time, or leaves off with [`crate::commands::context::Outcome::Alone`], and only the keys of its first key spec: it may share
        /// a batch.
        const BATCH = 1 << 32;
        /// Runs at once where others are queued: EXEC, DISCARD, MULTI, WATCH, QUIT, RESET.
        const IN_MULTI_AT_ONCE = 1 << 33;
        /// Allowed to a RESP2 client that has subscriptions.
        const IN_SUBSCRIBE_MODE = 1 << 34;
        /// Runs what was queued: execute.rs does it rather than the handler.
        const EXEC = 1 << 35;
        /// Its replies are pushed messages: CLIENT REPLY does not hold them back.
        const PUSHES = 1 << 36;
        /// Its arguments hold secrets: never shown in logs, MONITOR or SLOWLOG.
        const SECRET_ARGUMENTS = 1 << 37;
        /// Ends the session's watch: its lock set holds the watched keys.
        const RELEASES_WATCH = 1 << 38;
        /// Needs `enable-debug-command`.
        const DEBUG = 1 << 39;
        /// Its subcommands are rows to us, for they need different rights, but to clients it is one command that reads its arguments
        /// itself, as Redis's DEBUG does.
        const PRIVATE_SUBCOMMANDS = 1 << 40;
        /// As `BATCH`, where it has no more arguments than its arity asks for: with a count it may take long.
        const BATCH_BARE = 1 << 41;
    }
}

impl Flags {
    /// The flags that COMMAND INFO shows, with its names and in its order; MAY_REPLICATE it keeps to itself.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        const NAMES: [(Flags, &str); 19] = [
            (Flags::WRITE, "write"),
            (Flags::READONLY, "readonly"),
            (Flags::DENYOOM, "denyoom"),
            (Flags::ADMIN, "admin"),
            (Flags::PUBSUB, "pubsub"),
            (Flags::NOSCRIPT, "noscript"),
            (Flags::BLOCKING, "blocking"),
            (Flags::LOADING, "loading"),
            (Flags::STALE, "stale"),
            (Flags::SKIP_MONITOR, "skip_monitor"),
            (Flags::SKIP_SLOWLOG, "skip_slowlog"),
            (Flags::ASKING, "asking"),
            (Flags::FAST, "fast"),
            (Flags::NO_AUTH, "no_auth"),
            (Flags::NO_MANDATORY_KEYS, "no_mandatory_keys"),
            (Flags::NO_ASYNC_LOADING, "no_async_loading"),
            (Flags::NO_MULTI, "no_multi"),
            (Flags::MOVABLE_KEYS, "movablekeys"),
            (Flags::ALLOW_BUSY, "allow_busy"),
        ];
        NAMES.into_iter().filter(move |(flag, _)| self.contains(*flag)).map(|(_, name)| name)
    }
}
