//! One row a command: everything that is known of a command beside what it does.
//!
//! A family's file opens with its rows. COMMAND, COMMAND DOCS, ACL categories, the lock set, the checks before a command runs, COMPAT.md
//! and the tests' generator are derived from the rows; no command's name is compared anywhere else, so a special case is a flag.

use bitflags::bitflags;
use ochre_datatypes::ValueType;
use ochre_resp::Args;

use super::context::{Compound, KeyedRead, KeyedWrite, Run, SessionOnly, Walk, Whole};
pub use crate::label::Flags;
use crate::session::{Session, transaction::Queued};

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
    /// What it does with its keys where that depends on its arguments (a spec with `VARIABLE_FLAGS`).
    pub variable_flags: Option<fn(Args<'_>) -> KeyFlags>,
    /// Visits the keys that no spec finds, where there may be such.
    pub unspecified_keys: Option<VisitKeys>,
    /// The argument that is an element of its first key's collection, the first where there are several: a batch asks for the memory of it
    /// beforehand. 0: none is.
    pub element: u8,
    /// Whether these arguments make it touch keys that they do not name, so that it needs the whole keyspace to itself.
    pub touches_unnamed_keys: Option<fn(Args<'_>) -> bool>,
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
        variable_flags: None,
        unspecified_keys: None,
        element: 0,
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

    /// Whether it may share a batch with others when it has so many arguments.
    #[inline]
    pub fn may_share_batch(&self, arguments: usize) -> bool {
        self.flags.contains(Flags::BATCH)
            || self.flags.contains(Flags::BATCH_BARE) && arguments == self.arity.unsigned_abs() as usize
    }

    /// Whether it needs the whole keyspace to itself with these arguments.
    pub fn needs_everything(&self, args: Args<'_>) -> bool {
        matches!(self.handler, Handler::Whole(_)) || self.touches_unnamed_keys.is_some_and(|touches| touches(args))
    }

    /// Whether some argument may be a key.
    pub fn has_keys(&self) -> bool {
        self.keys.iter().any(|spec| !spec.flags.contains(KeyFlags::NOT_KEY))
    }

    /// First key, last key and step as COMMAND INFO shows them, and whether keys may be elsewhere too: the form in which clients knew
    /// where keys are before there were key specs (Redis: `populateCommandLegacyRangeSpec`).
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
            // Ranges that follow each other are one.
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

/// See [`CommandSpec::key_range`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyRange {
    pub first: i64,
    pub last: i64,
    pub step: i64,
    pub movable: bool,
}

/// Finds keys among the arguments by other means than a spec: shows the index of each, and what is done with it.
pub type VisitKeys = fn(Args<'_>, &mut dyn FnMut(usize, KeyFlags));

/// What a command may touch; its kind decides how it is locked.
#[derive(Clone, Copy)]
pub enum Handler {
    /// Reads its keys, under their shards' locks.
    Read(fn(&mut KeyedRead<'_>) -> Run),
    /// Reads and writes its keys, under their shards' locks.
    Write(fn(&mut KeyedWrite<'_>) -> Run),
    /// Touches no key.
    Session(fn(&mut SessionOnly<'_>) -> Run),
    /// Visits shards one after the other, none held between two of them; may answer in slices with [`super::context::Outcome::Suspended`].
    Walk(fn(&mut Walk<'_>) -> Run),
    /// Has the whole keyspace to itself, under the gate.
    Whole(fn(&mut Whole<'_>) -> Run),
    /// Runs other commands, under one lock set that it is given.
    Compound(CompoundHandler),
    /// Only its subcommands do something.
    Container,
}

/// See [`Handler::Compound`].
#[derive(Clone, Copy)]
pub struct CompoundHandler {
    /// The commands that are known beforehand: their keys are locked beside those of the row.
    pub queued: fn(&Session) -> &[Queued],
    /// Runs with the locks.
    pub run: fn(&mut Compound<'_, '_>) -> Run,
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

impl Category {
    /// Every category with its name, without the `@`.
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

    /// The names of these categories.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Category::NAMES.into_iter().filter(move |(category, _)| self.contains(*category)).map(|(_, name)| name)
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

impl KeyFlags {
    /// The flags as COMMAND INFO names them, in its order.
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

impl Group {
    /// The type of the keys that its commands write, where it is one.
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

    /// As COMMAND DOCS calls it.
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
