//! Keyspace notifications: which events are announced, and their messages (Redis: `notify.c`).

use bitflags::bitflags;

bitflags! {
    /// The classes of events of `notify-keyspace-events`, with Redis's letters.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct NotifyClass: u32 {
        /// K: `__keyspace@<db>__:<key>` messages.
        const KEYSPACE = 1;
        /// E: `__keyevent@<db>__:<event>` messages.
        const KEYEVENT = 1 << 1;
        /// g
        const GENERIC = 1 << 2;
        /// $
        const STRING = 1 << 3;
        /// l
        const LIST = 1 << 4;
        /// s
        const SET = 1 << 5;
        /// h
        const HASH = 1 << 6;
        /// z
        const SORTED_SET = 1 << 7;
        /// x
        const EXPIRED = 1 << 8;
        /// e
        const EVICTED = 1 << 9;
        /// t
        const STREAM = 1 << 10;
        /// m, not part of A
        const KEY_MISS = 1 << 11;
        /// d
        const MODULE = 1 << 13;
        /// n, not part of A
        const NEW = 1 << 14;
        /// o, not part of A
        const OVERWRITTEN = 1 << 15;
        /// c, not part of A
        const TYPE_CHANGED = 1 << 16;
        /// A
        const ALL = Self::GENERIC.bits() | Self::STRING.bits() | Self::LIST.bits() | Self::SET.bits() | Self::HASH.bits()
            | Self::SORTED_SET.bits() | Self::EXPIRED.bits() | Self::EVICTED.bits() | Self::STREAM.bits() | Self::MODULE.bits();
    }
}

/// stub
pub fn publish(_core: &crate::core::Core, _class: NotifyClass, _event: &'static str, _database: usize, _key: &[u8]) {}
