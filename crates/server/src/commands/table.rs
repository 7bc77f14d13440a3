//! One row per command: everything that is known of a command beside its handler.
//!
//! A family's file opens with its rows. COMMAND, COMMAND DOCS, ACL categories, the lock set, the checks before a command runs, COMPAT.md
//! and the tests' generator are derived from the rows. No other code compares the name of a command: a special case is a flag.

use bitflags::bitflags;
use ochre_datatypes::ValueType;
use ochre_resp::Args;

use super::context::{Compound, KeyedRead, KeyedWrite, Run, SessionOnly, Walk, Whole};
pub use crate::label::Flags;
use crate::session::{Session, transaction::Queued};

/// The row of one command or subcommand.
///
/// A row gives only the fields that differ from [`CommandSpec::DEFAULT`].
pub struct CommandSpec {
    /// The name, in lowercase. A subcommand has its own name only: `list`, not `client|list`.
    pub name: &'static str,
    /// The number of arguments, which include the name (both names for a subcommand). A negative arity -n means at least n.
    pub arity: i32,
    /// The flags of COMMAND INFO, and those of Ochre's own.
    pub flags: Flags,
    /// The key specs that COMMAND INFO shows: where the keys are.
    pub keys: &'static [KeySpec],
    /// The key flags for some arguments, if they depend on the arguments (a spec with `VARIABLE_FLAGS`).
    pub variable_flags: Option<fn(Args<'_>) -> KeyFlags>,
    /// Visits the keys that no spec finds, if there may be any.
    pub unspecified_keys: Option<VisitKeys>,
    /// Which arguments are channels.
    pub channels: Channels,
    /// The index of the first argument that names an element of the first key's collection, such as a field: a batch prefetches the
    /// element's memory. 0 if there is none.
    pub element: u8,
    /// With [`Flags::SECRET_ARGUMENTS`]: whether the argument at an index is a secret. By default all are but the name.
    pub is_secret: fn(Args<'_>, usize) -> bool,
    /// Whether the command with these arguments touches keys that they do not name, so that it needs the whole keyspace to itself.
    pub touches_unnamed_keys: Option<fn(Args<'_>) -> bool>,
    /// The categories that do not follow from the flags (see [`CommandSpec::categories`]).
    pub categories: Category,
    /// The tips of COMMAND INFO, for clients and proxies.
    pub tips: &'static [&'static str],
    /// The group of COMMAND DOCS.
    pub group: Group,
    /// The version of Redis (or of Valkey) that introduced the command.
    pub since: &'static str,
    /// The time complexity of Ochre's implementation.
    pub complexity: &'static str,
    /// What the command does, in a sentence or two. Ochre's own words, not those of Redis.
    pub summary: &'static str,
    /// The arguments in the notation of `syntax.rs`, without the name.
    pub syntax: &'static str,
    /// The version that deprecated the command, and what replaces it.
    pub deprecated: Option<(&'static str, &'static str)>,
    /// The rows of the subcommands; empty unless the command is a container.
    pub subcommands: &'static [CommandSpec],
    /// The function that runs the command.
    pub handler: Handler,
}

impl CommandSpec {
    /// The values of the fields that a row leaves out.
    pub const DEFAULT: CommandSpec = CommandSpec {
        name: "",
        arity: 0,
        flags: Flags::empty(),
        keys: &[],
        variable_flags: None,
        unspecified_keys: None,
        channels: Channels::None,
        element: 0,
        is_secret: |_, index| index > 0,
        touches_unnamed_keys: None,
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

impl CommandSpec {
    /// All ACL categories: the row's own and those that follow from its flags (Redis: `setImplicitACLCategories`).
    pub fn categories(&self) -> Category {
        let mut categories = self.categories;
        if self.flags.contains(Flags::WRITE) {
            categories |= Category::WRITE;
        }
        if self.flags.contains(Flags::READONLY) && !categories.contains(Category::SCRIPTING) {
            categories |= Category::READ;
        }
        if self.flags.contains(Flags::ADMIN) {
            categories |= Category::ADMIN | Category::DANGEROUS;
        }
        if self.flags.contains(Flags::PUBSUB) {
            categories |= Category::PUBSUB;
        }
        if self.flags.contains(Flags::FAST) {
            categories |= Category::FAST;
        }
        if self.flags.contains(Flags::BLOCKING) {
            categories |= Category::BLOCKING;
        }
        if !categories.contains(Category::FAST) {
            categories |= Category::SLOW;
        }
        categories
    }

    /// The arguments as MONITOR and SLOWLOG show them: without secrets.
    pub fn shown_arguments<'a>(&'static self, args: Args<'a>) -> impl ExactSizeIterator<Item = &'a [u8]> {
        let has_secrets = self.flags.contains(Flags::SECRET_ARGUMENTS);
        let shown = move |(index, argument)| {
            if has_secrets && (self.is_secret)(args, index) { &b"(redacted)"[..] } else { argument }
        };
        args.iter().enumerate().map(shown)
    }

    /// Whether the command may share a batch with others when it has this number of arguments, which include the name.
    #[inline]
    pub fn may_share_batch(&self, arguments: usize) -> bool {
        self.flags.contains(Flags::BATCH)
            || self.flags.contains(Flags::BATCH_BARE) && arguments == self.arity.unsigned_abs() as usize
    }

    /// Whether the command with these arguments needs the whole keyspace to itself.
    pub fn needs_everything(&self, args: Args<'_>) -> bool {
        matches!(self.handler, Handler::Whole(_)) || self.touches_unnamed_keys.is_some_and(|touches| touches(args))
    }

    /// Whether any argument may be a key.
    pub fn has_keys(&self) -> bool {
        self.keys.iter().any(|spec| !spec.flags.contains(KeyFlags::NOT_KEY))
    }

    /// The first key, the last key and the step as COMMAND INFO shows them, for clients that know no key specs. (Redis:
    /// `populateCommandLegacyRangeSpec`)
    pub fn key_range(&self) -> KeyRange {
        let mut range = KeyRange::default();
        let mut movable = self.flags.contains(Flags::MOVABLE_KEYS);
        for spec in self.keys {
            movable |= spec.flags.contains(KeyFlags::INCOMPLETE);
            let (BeginSearch::Index(first), FindKeys::Range { last, step, .. }) = (spec.begin, spec.find) else {
                movable = true;
                continue;
            };
            let first = i64::from(first);
            let last = if last >= 0 { first + i64::from(last) } else { i64::from(last) };
            if self.keys.len() == 1 {
                range = KeyRange { first, last, step: step.into(), movable };
                continue;
            }
            // Adjacent ranges become one.
            if step != 1 || range.last != 0 && range.last != first - 1 {
                movable = true;
                continue;
            }
            let ends_later = last < 0 || range.last >= 0 && last > range.last;
            range = KeyRange {
                first: if range.first == 0 { first } else { range.first.min(first) },
                last: if ends_later { last } else { range.last },
                step: 1,
                movable,
            };
        }
        KeyRange { movable, ..range }
    }
}

/// The indexes of a command's keys. See [`CommandSpec::key_range`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyRange {
    /// The index of the first key; 0 if there is none.
    pub first: i64,
    /// The index of the last key; negative if it counts from the end.
    pub last: i64,
    /// The distance between two keys.
    pub step: i64,
    /// Whether there may be keys that the range does not cover.
    pub movable: bool,
}

/// Which arguments of a command are channels that its user needs rights to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channels {
    /// None.
    None,
    /// The first one.
    First,
    /// All.
    All,
    /// All, and they are patterns.
    Patterns,
}

/// Finds keys among the arguments by other means than a spec. Visits the index of each key, and what the command does with it.
pub type VisitKeys = fn(Args<'_>, &mut dyn FnMut(usize, KeyFlags));

/// The function that runs a command. Its variant says what the command may touch, and so decides what is locked.
#[derive(Clone, Copy)]
pub enum Handler {
    /// Reads its keys, under their shards' locks.
    Read(fn(&mut KeyedRead<'_>) -> Run),
    /// Reads and writes its keys, under their shards' locks.
    Write(fn(&mut KeyedWrite<'_>) -> Run),
    /// Touches no key.
    Session(fn(&mut SessionOnly<'_>) -> Run),
    /// Visits one shard after the other, and holds no lock in between. It may suspend with [`super::context::Outcome::Suspended`].
    Walk(fn(&mut Walk<'_>) -> Run),
    /// Has the whole keyspace to itself, with the gate closed.
    Whole(fn(&mut Whole<'_>) -> Run),
    /// Runs other commands, under the one lock set that it is given.
    Compound(CompoundHandler),
    /// Is a container: only its subcommands run.
    Container,
}

/// The two functions of [`Handler::Compound`].
#[derive(Clone, Copy)]
pub struct CompoundHandler {
    /// Returns the commands that it will run, if they are known in advance. Their keys are locked together with its own.
    pub queued: fn(&Session) -> &[Queued],
    /// Runs the command, under the locks.
    pub run: fn(&mut Compound<'_, '_>) -> Run,
}

bitflags! {
    /// The ACL categories of a command.
    ///
    /// Redis: "ACL", "Command categories".
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct Category: u32 {
        /// Commands on keys of any type, or on whole databases.
        const KEYSPACE = 1;
        /// Commands that read from keys.
        const READ = 1 << 1;
        /// Commands that write to keys.
        const WRITE = 1 << 2;
        /// Commands on sets.
        const SET = 1 << 3;
        /// Commands on sorted sets.
        const SORTEDSET = 1 << 4;
        /// Commands on lists.
        const LIST = 1 << 5;
        /// Commands on hashes.
        const HASH = 1 << 6;
        /// Commands on strings.
        const STRING = 1 << 7;
        /// Commands on bitmaps.
        const BITMAP = 1 << 8;
        /// Commands on HyperLogLogs.
        const HYPERLOGLOG = 1 << 9;
        /// Commands on geo indexes.
        const GEO = 1 << 10;
        /// Commands on streams.
        const STREAM = 1 << 11;
        /// Commands of publish and subscribe.
        const PUBSUB = 1 << 12;
        /// Commands for administrators.
        const ADMIN = 1 << 13;
        /// Commands that take constant or logarithmic time.
        const FAST = 1 << 14;
        /// Commands that are not fast.
        const SLOW = 1 << 15;
        /// Commands that may block the client.
        const BLOCKING = 1 << 16;
        /// Commands that can harm the server or its data.
        const DANGEROUS = 1 << 17;
        /// Commands about the connection.
        const CONNECTION = 1 << 18;
        /// Commands of transactions.
        const TRANSACTION = 1 << 19;
        /// Commands about scripts.
        const SCRIPTING = 1 << 20;
    }
}

impl Category {
    /// Every category and its name, without the `@`.
    pub const NAMES: [(Category, &str); 21] = [
        (Category::KEYSPACE, "keyspace"),
        (Category::READ, "read"),
        (Category::WRITE, "write"),
        (Category::SET, "set"),
        (Category::SORTEDSET, "sortedset"),
        (Category::LIST, "list"),
        (Category::HASH, "hash"),
        (Category::STRING, "string"),
        (Category::BITMAP, "bitmap"),
        (Category::HYPERLOGLOG, "hyperloglog"),
        (Category::GEO, "geo"),
        (Category::STREAM, "stream"),
        (Category::PUBSUB, "pubsub"),
        (Category::ADMIN, "admin"),
        (Category::FAST, "fast"),
        (Category::SLOW, "slow"),
        (Category::BLOCKING, "blocking"),
        (Category::DANGEROUS, "dangerous"),
        (Category::CONNECTION, "connection"),
        (Category::TRANSACTION, "transaction"),
        (Category::SCRIPTING, "scripting"),
    ];

    /// The names of these categories, in Redis's order.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Category::NAMES.into_iter().filter(move |(category, _)| self.contains(*category)).map(|(_, name)| name)
    }
}

bitflags! {
    /// What a command does with the keys of one key spec.
    ///
    /// Redis: "Command key specifications", "Key specification flags".
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct KeyFlags: u16 {
        /// Reads the value.
        const RO = 1;
        /// Changes the value, and depends on the old one.
        const RW = 1 << 1;
        /// Overwrites the value, whatever it was.
        const OW = 1 << 2;
        /// Deletes the key.
        const RM = 1 << 3;
        /// Returns data of the value, or copies it.
        const ACCESS = 1 << 4;
        /// Changes data of the value, other than by inserting or deleting.
        const UPDATE = 1 << 5;
        /// Adds data to the value.
        const INSERT = 1 << 6;
        /// Deletes data of the value.
        const DELETE = 1 << 7;
        /// The argument is not a key, but a cluster routes it like one.
        const NOT_KEY = 1 << 8;
        /// The spec may not find all keys.
        const INCOMPLETE = 1 << 9;
        /// The flags depend on other arguments.
        const VARIABLE_FLAGS = 1 << 10;
    }
}

/// Where some of a command's keys are.
///
/// Redis: "Command key specifications".
#[derive(Clone, Copy, Debug)]
pub struct KeySpec {
    /// What the command does with the keys.
    pub flags: KeyFlags,
    /// Where the search begins.
    pub begin: BeginSearch,
    /// Which arguments from there on are keys.
    pub find: FindKeys,
    /// The note that Redis shows beside a few specs.
    pub notes: Option<&'static str>,
}

/// Where the search for keys begins.
#[derive(Clone, Copy, Debug)]
pub enum BeginSearch {
    /// At an argument's index.
    Index(u16),
    /// After a keyword.
    Keyword {
        /// The keyword, in uppercase; any case matches.
        keyword: &'static str,
        /// The index from which to look for it. A negative index counts from the end, and the search goes backward.
        from: i16,
    },
    /// No rule describes it.
    Unknown,
}

/// Which arguments from there on are keys.
#[derive(Clone, Copy, Debug)]
pub enum FindKeys {
    /// The keys are a range of arguments.
    Range {
        /// The last key, counted from the first one; a negative number counts from the end of the arguments.
        last: i16,
        /// The distance between two keys.
        step: u8,
        /// If above 1, only the first `1 / limit` of the remaining arguments are keys.
        limit: u8,
    },
    /// An argument has the number of keys. All positions count from the beginning of the search.
    Count {
        /// The position of the number.
        at: u8,
        /// The position of the first key.
        first: u8,
        /// The distance between two keys.
        step: u8,
    },
    /// No rule describes it.
    Unknown,
}

impl KeyFlags {
    /// The names of these flags as COMMAND INFO shows them, in its order.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        const NAMES: [(KeyFlags, &str); 11] = [
            (KeyFlags::RO, "RO"),
            (KeyFlags::RW, "RW"),
            (KeyFlags::OW, "OW"),
            (KeyFlags::RM, "RM"),
            (KeyFlags::ACCESS, "access"),
            (KeyFlags::UPDATE, "update"),
            (KeyFlags::INSERT, "insert"),
            (KeyFlags::DELETE, "delete"),
            (KeyFlags::NOT_KEY, "not_key"),
            (KeyFlags::INCOMPLETE, "incomplete"),
            (KeyFlags::VARIABLE_FLAGS, "variable_flags"),
        ];
        NAMES.into_iter().filter(move |(flag, _)| self.contains(*flag)).map(|(_, name)| name)
    }
}

impl KeySpec {
    /// The usual spec: one key at `index`.
    pub const fn one(index: u16, flags: KeyFlags) -> KeySpec {
        KeySpec::range(index, 0, 1, flags)
    }

    /// Every `step`th argument from index `first` to `last`, which counts from `first`, or from the end if it is negative.
    pub const fn range(first: u16, last: i16, step: u8, flags: KeyFlags) -> KeySpec {
        KeySpec { flags, begin: BeginSearch::Index(first), find: FindKeys::Range { last, step, limit: 0 }, notes: None }
    }
}

/// The group of a command, as COMMAND DOCS shows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Group {
    /// Commands on keys of any type.
    Generic,
    /// Commands on strings.
    String,
    /// Commands on lists.
    List,
    /// Commands on sets.
    Set,
    /// Commands on sorted sets.
    SortedSet,
    /// Commands on hashes.
    Hash,
    /// Commands of publish and subscribe.
    PubSub,
    /// Commands of transactions.
    Transactions,
    /// Commands about the connection.
    Connection,
    /// Commands on the server.
    Server,
    /// Commands about scripts.
    Scripting,
    /// Commands on HyperLogLogs.
    HyperLogLog,
    /// Commands about the cluster.
    Cluster,
    /// Commands on geo indexes.
    Geo,
    /// Commands on streams.
    Stream,
    /// Commands on bitmaps.
    Bitmap,
}

impl Group {
    /// The type of value that the group's commands write, if there is one.
    pub fn value_type(self) -> Option<ValueType> {
        match self {
            Group::String | Group::Bitmap | Group::HyperLogLog => Some(ValueType::String),
            Group::List => Some(ValueType::List),
            Group::Set => Some(ValueType::Set),
            Group::SortedSet | Group::Geo => Some(ValueType::SortedSet),
            Group::Hash => Some(ValueType::Hash),
            Group::Stream => Some(ValueType::Stream),
            Group::Generic
            | Group::PubSub
            | Group::Transactions
            | Group::Connection
            | Group::Server
            | Group::Scripting
            | Group::Cluster => None,
        }
    }

    /// The name that COMMAND DOCS shows.
    pub fn name(self) -> &'static str {
        match self {
            Group::Generic => "generic",
            Group::String => "string",
            Group::List => "list",
            Group::Set => "set",
            Group::SortedSet => "sorted-set",
            Group::Hash => "hash",
            Group::PubSub => "pubsub",
            Group::Transactions => "transactions",
            Group::Connection => "connection",
            Group::Server => "server",
            Group::Scripting => "scripting",
            Group::HyperLogLog => "hyperloglog",
            Group::Cluster => "cluster",
            Group::Geo => "geo",
            Group::Stream => "stream",
            Group::Bitmap => "bitmap",
        }
    }
}
