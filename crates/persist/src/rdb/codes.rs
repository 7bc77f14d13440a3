//! The numbers of types and records in RDB files. (Redis: `rdb.h`; Valkey: `rdb.h`)

/// Whose format a file or payload has. Redis and Valkey agree up to version 11, and keep the expiries of fields differently since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Redis: versions up to 12.
    Redis,
    /// Valkey: versions from 80 on.
    Valkey,
}

/// The last version that Redis and Valkey both read.
pub const SHARED_VERSION: u16 = 11;
/// The version of Redis in which fields have expiries.
pub const REDIS_VERSION: u16 = 12;
/// The version of Valkey in which fields have expiries.
pub const VALKEY_VERSION: u16 = 80;

impl Dialect {
    /// Returns the lowest version in which data of this kind can be written.
    pub fn version(self, has_field_expiries: bool) -> u16 {
        match self {
            _ if !has_field_expiries => SHARED_VERSION,
            Dialect::Redis => REDIS_VERSION,
            Dialect::Valkey => VALKEY_VERSION,
        }
    }

    /// Returns the dialect of a version, or `None` if neither server has written this version.
    pub fn of_version(version: u16) -> Option<Dialect> {
        match version {
            1..=REDIS_VERSION => Some(Dialect::Redis),
            VALKEY_VERSION => Some(Dialect::Valkey),
            _ => None,
        }
    }
}

/// Defines the type bytes, so that a number is written once.
macro_rules! types {
    ($($(#[$doc:meta])* $name:ident = $number:literal,)*) => {
        $($(#[$doc])* pub const $name: u8 = $number;)*
    };
}

types! {
    /// A string.
    STRING = 0,
    /// A list of strings.
    LIST = 1,
    /// A set of strings.
    SET = 2,
    /// A sorted set whose scores are texts.
    ZSET = 3,
    /// A hash of strings.
    HASH = 4,
    /// A sorted set whose scores are doubles of 8 bytes.
    ZSET_2 = 5,
    /// A value of a module, of a format without marks.
    MODULE_PRE_GA = 6,
    /// A value of a module.
    MODULE_2 = 7,
    /// A hash in a zipmap.
    HASH_ZIPMAP = 9,
    /// A list in a ziplist.
    LIST_ZIPLIST = 10,
    /// A set of integers in an intset.
    SET_INTSET = 11,
    /// A sorted set in a ziplist.
    ZSET_ZIPLIST = 12,
    /// A hash in a ziplist.
    HASH_ZIPLIST = 13,
    /// A list of ziplists.
    LIST_QUICKLIST = 14,
    /// A stream, first version.
    STREAM_LISTPACKS = 15,
    /// A hash in a listpack.
    HASH_LISTPACK = 16,
    /// A sorted set in a listpack.
    ZSET_LISTPACK = 17,
    /// A list of listpacks and single elements.
    LIST_QUICKLIST_2 = 18,
    /// A stream, second version: what was ever added and deleted.
    STREAM_LISTPACKS_2 = 19,
    /// A set in a listpack.
    SET_LISTPACK = 20,
    /// A stream, third version: when consumers were active.
    STREAM_LISTPACKS_3 = 21,
    /// Redis 7.4's release candidates: a hash with expiries. Valkey's type of the same number is [`HASH_2`].
    HASH_METADATA_PRE_GA = 22,
    /// Valkey 9: a hash with expiries.
    HASH_2 = 22,
    /// Redis 7.4's release candidates: a small hash with expiries.
    HASH_LISTPACK_EX_PRE_GA = 23,
    /// Redis 7.4: a hash with expiries.
    HASH_METADATA = 24,
    /// Redis 7.4: a hash with expiries in a listpack.
    HASH_LISTPACK_EX = 25,
}

/// A node of a quicklist that is a single element.
pub const NODE_PLAIN: u64 = 1;
/// A node of a quicklist that is a listpack.
pub const NODE_PACKED: u64 = 2;
