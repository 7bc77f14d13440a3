//! The types of values and of their encodings, under the names that clients see.

/// What kind of value a key holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ValueType {
    String,
    List,
    Set,
    SortedSet,
    Hash,
    Stream,
}

impl ValueType {
    pub const ALL: [ValueType; 6] =
        [ValueType::String, ValueType::List, ValueType::Set, ValueType::SortedSet, ValueType::Hash, ValueType::Stream];

    /// The answer of TYPE, which is what SCAN's TYPE takes.
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

    /// The type of that name, in any case of its letters.
    pub fn from_name(name: &[u8]) -> Option<ValueType> {
        ValueType::ALL.into_iter().find(|kind| name.eq_ignore_ascii_case(kind.name().as_bytes()))
    }
}

/// How a value lies in memory, as far as clients can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encoding {
    Raw,
    Int,
    Embstr,
    Listpack,
    /// A listpack of a hash some of whose fields expire.
    ListpackEx,
    Quicklist,
    Hashtable,
    Intset,
    Skiplist,
    Stream,
}

impl Encoding {
    /// The answer of OBJECT ENCODING. (Redis: `strEncoding`, object.c)
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
