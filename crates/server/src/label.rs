//! The label of a command: its number, name and flags. Sessions and counters know a command by it and do not depend on what it does.

use bitflags::bitflags;

/// The label of a command or subcommand. `commands::registry` finds the command's row and handler by it.
#[derive(Debug)]
pub struct CommandLabel {
    /// Its number.
    pub id: CommandId,
    /// The command whose counters it adds to: itself, or for a private subcommand its container (see [`Flags::PRIVATE_SUBCOMMANDS`]).
    pub counted_as: CommandId,
    /// The name in lowercase, such as `get` or `client|list`.
    pub full_name: Box<str>,
    /// Its flags.
    pub flags: Flags,
}

/// The number of a command or subcommand. All of them are numbered together, from 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CommandId(pub u16);

impl CommandId {
    /// The number as an index.
    #[inline]
    pub fn index(self) -> usize {
        self.0.into()
    }
}

bitflags! {
    /// The flags of a command: first those of Redis (see COMMAND INFO in its documentation), then those that only Ochre uses.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct Flags: u64 {
        /// Changes data.
        const WRITE = 1;
        /// Reads data and changes none.
        const READONLY = 1 << 1;
        /// Refused while more memory is in use than `maxmemory` allows.
        const DENYOOM = 1 << 2;
        /// For administrators.
        const ADMIN = 1 << 3;
        /// About channels and patterns.
        const PUBSUB = 1 << 4;
        /// Not allowed in scripts.
        const NOSCRIPT = 1 << 5;
        /// May block the client.
        const BLOCKING = 1 << 6;
        /// Allowed while the data is being loaded.
        const LOADING = 1 << 7;
        /// Allowed on a replica that has lost its primary.
        const STALE = 1 << 8;
        /// Not shown by MONITOR.
        const SKIP_MONITOR = 1 << 9;
        /// Not entered in SLOWLOG.
        const SKIP_SLOWLOG = 1 << 10;
        /// Allowed on a slot that is being imported, as if after ASKING.
        const ASKING = 1 << 11;
        /// Takes constant or logarithmic time.
        const FAST = 1 << 12;
        /// Allowed before authentication.
        const NO_AUTH = 1 << 13;
        /// May be replicated although it changes no data, such as PUBLISH.
        const MAY_REPLICATE = 1 << 14;
        /// Not allowed on a replica that serves old data while it loads new data.
        const NO_ASYNC_LOADING = 1 << 15;
        /// Not allowed between MULTI and EXEC.
        const NO_MULTI = 1 << 16;
        /// The key specs do not give all keys; the arguments must be parsed to find them.
        const MOVABLE_KEYS = 1 << 17;
        /// Allowed while a script has run for too long.
        const ALLOW_BUSY = 1 << 18;
        /// May be called without keys.
        const NO_MANDATORY_KEYS = 1 << 19;

        /// May share a batch. It uses only the keys of its first key spec. It takes bounded time, or stops with
        /// [`crate::commands::context::Outcome::Alone`] to be run alone.
        const BATCH = 1 << 32;
        /// Runs at once after MULTI instead of being queued: EXEC, DISCARD, MULTI, WATCH, QUIT, RESET.
        const IN_MULTI_AT_ONCE = 1 << 33;
        /// Allowed for a RESP2 client that has subscriptions.
        const IN_SUBSCRIBE_MODE = 1 << 34;
        /// EXEC.
        const EXEC = 1 << 35;
        /// Its replies are push messages, which are sent whatever CLIENT REPLY says.
        const PUSHES = 1 << 36;
        /// Its arguments hold secrets, so they are never shown in logs, MONITOR or SLOWLOG.
        const SECRET_ARGUMENTS = 1 << 37;
        /// Ends the session's watch, so the watched keys are in its lock set.
        const RELEASES_WATCH = 1 << 38;
        /// Allowed only if `enable-debug-command` allows it.
        const DEBUG = 1 << 39;
        /// Clients see one command without subcommands, as Redis's DEBUG is. Internally its subcommands have rows of their own, since they
        /// need different rights.
        const PRIVATE_SUBCOMMANDS = 1 << 40;
        /// Like `BATCH`, but only with as few arguments as its arity allows: with a count it may take long.
        const BATCH_BARE = 1 << 41;
        /// Asks whether the server is well (PING): it is refused, as writes are, while the data cannot be kept.
        const HEALTH = 1 << 42;
    }
}

impl Flags {
    /// The names of the flags that COMMAND INFO shows, in Redis's order. Redis does not show MAY_REPLICATE.
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
