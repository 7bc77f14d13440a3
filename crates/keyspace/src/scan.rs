//! A position in hash space: the cursor of SCAN.

use crate::segment::TAG_BITS;

/// The leading bits of the next hash to visit: those of the shard and of the tag. For 4,096 shards they are 32 bits, so that a cursor is
/// far below 2^53, up to which every client can represent a number. Tables are in the order of the hashes, so a position remains valid
/// when a table grows or shrinks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ScanPosition(u64);

impl ScanPosition {
    /// The position of the first hash.
    pub const START: ScanPosition = ScanPosition(0);

    /// Creates the position of the first hash of a shard.
    pub fn of_shard(shard: usize) -> ScanPosition {
        ScanPosition::new(shard, 0)
    }

    /// Creates the position of a tag in a shard.
    pub(crate) fn new(shard: usize, tag: u32) -> ScanPosition {
        ScanPosition((shard as u64) << TAG_BITS | u64::from(tag))
    }

    /// Returns the shard and the tag of the position.
    pub(crate) fn shard_and_tag(self, shard_bits: u32) -> (usize, u32) {
        let shard = (self.0 >> TAG_BITS) & ((1 << shard_bits) - 1);
        (shard as usize, (self.0 & ((1 << TAG_BITS) - 1)) as u32)
    }

    /// Returns the position for a client's cursor. Every number is a valid cursor.
    pub fn from_cursor(cursor: u64) -> ScanPosition {
        ScanPosition(cursor)
    }

    /// Returns the cursor for a client.
    pub fn cursor(self) -> u64 {
        self.0
    }
}
