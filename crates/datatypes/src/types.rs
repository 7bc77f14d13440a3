//! The types of values and their encodings, with the names that clients see.

/// The type of the value that a key holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ValueType {
    /// A string of bytes; bitmaps, HyperLogLogs and numbers are strings too.
    String,
    /// A list of elements in order.
    List,
    /// A set of members.
    Set,
    /// A set of members in the order of their scores; a geo index is a sorted set too.
    SortedSet,
    /// A map from fields to values.
    Hash,
    /// A log of entries, with consumer groups.
    Stream,
}

impl ValueType {
    /// All types.
    pub const ALL: [ValueType; 6] =
        [ValueType::String, ValueType::List, ValueType::Set, ValueType::SortedSet, ValueType::Hash, ValueType::Stream];

    /// Returns the type's name: the reply of TYPE, and the argument of SCAN's TYPE option.
    pub const fn name(self) -> &'static str {
        match self {
            ValueType::String => "string",
            ValueType::List => "list",
            ValueType::Set => "set",
            ValueType::SortedSet => "zset",
            ValueType::Hash => "hash",
            ValueType::Stream => "stream",
        }
    }

    /// Returns the type of a name, whose letters may be in any case.
    pub fn from_name(name: &[u8]) -> Option<ValueType> {
        ValueType::ALL.into_iter().find(|kind| name.eq_ignore_ascii_case(kind.name().as_bytes()))
    }
}

/// How a value lies in memory, as far as OBJECT ENCODING tells clients. (Redis: `OBJ_ENCODING_*`)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// A string of more than 44 bytes, or one that was edited in place.
    Raw,
    /// A string that is an integer.
    Int,
    /// A string of at most 44 bytes.
    Embstr,
    /// A small hash, list, set or sorted set.
    Listpack,
    /// A small hash of which a field expires, or did.
    ListpackEx,
    /// A large list.
    Quicklist,
    /// A large hash or set.
    Hashtable,
    /// A set of integers.
    Intset,
    /// A large sorted set. Ochre keeps it as a tree, and calls it by Redis's name.
    Skiplist,
    /// A stream.
    Stream,
}

impl Encoding {
    /// Returns the reply of OBJECT ENCODING. (Redis: `strEncoding`, object.c)
    pub const fn name(self) -> &'static str {
        match self {
            Encoding::Raw => "raw",
            Encoding::Int => "int",
            Encoding::Embstr => "embstr",
            Encoding::Listpack => "listpack",
            Encoding::ListpackEx => "listpackex",
            Encoding::Quicklist => "quicklist",
            Encoding::Hashtable => "hashtable",
            Encoding::Intset => "intset",
            Encoding::Skiplist => "skiplist",
            Encoding::Stream => "stream",
        }
    }
}
