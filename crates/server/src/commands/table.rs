//! One row a command: everything that is known of a command beside what it does.
//!
//! A family's file opens with its rows. COMMAND, COMMAND DOCS, ACL categories, the lock set, the checks before a command runs, COMPAT.md
//! and the tests' generator are derived from the rows; no command's name is compared anywhere else, so a special case is a flag.

use bitflags::bitflags;

use super::context::{KeyedRead, KeyedWrite, Run, SessionOnly, Walk, Whole};

/// What is known of one command or subcommand.
///
/// Rows are written with the fields that differ from [`CommandSpec::DEFAULT`].
pub struct CommandSpec {
    /// Lowercase; a subcommand's own name only (`list`, not `client|list`).
    pub name: &'static str,
    /// The number of arguments with the name (both names for a subcommand); negative: at least so many.
    pub arity: i32,
    pub flags: Flags,
    /// Where the keys are, as COMMAND INFO shows it.
    pub keys: &'static [KeySpec],
    /// The categories that do not follow from the flags (see [`CommandSpec::categories`]).
    pub categories: Category,
    /// COMMAND INFO's tips.
    pub tips: &'static [&'static str],
    pub group: Group,
    pub since: &'static str,
    pub complexity: &'static str,
    /// One sentence, ours.
    pub summary: &'static str,
    /// The arguments in the notation of `syntax.rs`, without the name.
    pub syntax: &'static str,
    /// The version since which it is deprecated, and what replaces it.
    pub deprecated: Option<(&'static str, &'static str)>,
    pub subcommands: &'static [CommandSpec],
    pub handler: Handler,
}

impl CommandSpec {
    /// What a row does not say.
    pub const DEFAULT: CommandSpec = CommandSpec {
        name: "",
        arity: 0,
        flags: Flags::empty(),
        keys: &[],
        categories: Category::empty(),
        tips: &[],
        group: Group::Generic,
        since: "1.0.0",
        complexity: "O(1)",
        summary: "",
        syntax: "",
        deprecated: None,
        subcommands: &[],
        handler: Handler::Container,
    };
}

/// What a command may touch; its kind decides how it is locked.
#[derive(Clone, Copy)]
pub enum Handler {
    /// Reads its keys, under their shards' locks.
    Read(fn(&mut KeyedRead<'_>) -> Run),
    /// Reads and writes its keys, under their shards' locks.
    Write(fn(&mut KeyedWrite<'_>) -> Run),
    /// Touches no key.
    Session(fn(&mut SessionOnly<'_>) -> Run),
    /// Visits shards one after the other, none held between two of them; may answer in slices with [`super::context::Outcome::Continue`].
    Walk(fn(&mut Walk<'_>) -> Run),
    /// Has the whole keyspace to itself, under the gate.
    Whole(fn(&mut Whole<'_>) -> Run),
    /// Only its subcommands do something.
    Container,
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

        /// Takes bounded time and only the keys of its first key spec: it may share a batch.
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

    }
}

bitflags! {
    /// ACL categories.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct Category: u32 {
        const KEYSPACE = 1;
        const READ = 1 << 1;
        const WRITE = 1 << 2;
        const SET = 1 << 3;
        const SORTEDSET = 1 << 4;
        const LIST = 1 << 5;
        const HASH = 1 << 6;
        const STRING = 1 << 7;
        const BITMAP = 1 << 8;
        const HYPERLOGLOG = 1 << 9;
        const GEO = 1 << 10;
        const STREAM = 1 << 11;
        const PUBSUB = 1 << 12;
        const ADMIN = 1 << 13;
        const FAST = 1 << 14;
        const SLOW = 1 << 15;
        const BLOCKING = 1 << 16;
        const DANGEROUS = 1 << 17;
        const CONNECTION = 1 << 18;
        const TRANSACTION = 1 << 19;
        const SCRIPTING = 1 << 20;
    }
}

bitflags! {
    /// What a command does with the keys of one key spec, as COMMAND INFO names it.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct KeyFlags: u16 {
        const RO = 1;
        const RW = 1 << 1;
        const OW = 1 << 2;
        const RM = 1 << 3;
        const ACCESS = 1 << 4;
        const UPDATE = 1 << 5;
        const INSERT = 1 << 6;
        const DELETE = 1 << 7;
        const NOT_KEY = 1 << 8;
        const INCOMPLETE = 1 << 9;
        const VARIABLE_FLAGS = 1 << 10;
    }
}

/// Where some of a command's keys are (Redis: "Command key specifications").
#[derive(Clone, Copy, Debug)]
pub struct KeySpec {
    pub flags: KeyFlags,
    pub begin: BeginSearch,
    pub find: FindKeys,
    /// Redis shows a note beside a few specs.
    pub notes: Option<&'static str>,
}

/// Where the search for keys begins.
#[derive(Clone, Copy, Debug)]
pub enum BeginSearch {
    Index(u16),
    /// After a token; `from` may be negative, counted from the end.
    Keyword {
        keyword: &'static str,
        from: i16,
    },
    Unknown,
}

/// Which arguments from there on are keys.
#[derive(Clone, Copy, Debug)]
pub enum FindKeys {
    /// `last` counts from the beginning of the search; negative: from the last argument. `limit` 2 means half of the rest.
    Range {
        last: i16,
        step: u8,
        limit: u8,
    },
    /// A number of keys, then the keys.
    Count {
        at: u8,
        first: u8,
        step: u8,
    },
    Unknown,
}

impl KeySpec {
    /// The usual spec: one key at `index`.
    pub const fn one(index: u16, flags: KeyFlags) -> KeySpec {
        KeySpec::range(index, 0, 1, flags)
    }

    /// Keys from `first`, every `step`, up to `last` (counted from `first`; negative: from the end).
    pub const fn range(first: u16, last: i16, step: u8, flags: KeyFlags) -> KeySpec {
        KeySpec { flags, begin: BeginSearch::Index(first), find: FindKeys::Range { last, step, limit: 0 }, notes: None }
    }
}

/// COMMAND DOCS' group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Group {
    Generic,
    String,
    List,
    Set,
    SortedSet,
    Hash,
    PubSub,
    Transactions,
    Connection,
    Server,
    Scripting,
    HyperLogLog,
    Cluster,
    Geo,
    Stream,
    Bitmap,
}
