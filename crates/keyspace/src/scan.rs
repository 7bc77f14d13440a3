//! A position in hash space: the cursor of SCAN.

use crate::segment::TAG_BITS;

/// The shard's bits and the tag's of the next hash to visit: 32 bits for 4,096 shards, so a client's cursor stays far below 2^53.
/// Growing disturbs no position, since tables are in hash order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ScanPosition(u64);

impl ScanPosition {
    pub const START: ScanPosition = ScanPosition(0);

    pub(crate) fn new(shard: usize, tag: u32) -> ScanPosition {
        ScanPosition((shard as u64) << TAG_BITS | u64::from(tag))
    }

    pub(crate) fn shard_and_tag(self, shard_bits: u32) -> (usize, u32) {
        let shard = (self.0 >> TAG_BITS) & ((1 << shard_bits) - 1);
        (shard as usize, (self.0 & ((1 << TAG_BITS) - 1)) as u32)
    }

    /// The position for a client's cursor. Any number is one.
    pub fn from_cursor(cursor: u64) -> ScanPosition {
        ScanPosition(cursor)
    }

    /// The cursor that a client is given.
    pub fn cursor(self) -> u64 {
        self.0
    }
}
