//! A table: the entries of one database in one shard, in the order of their hashes.
//!
//! A hash is 64 bits: the shard's (12), then the tag (20), of which a table of many segments uses the first few to choose one.
//!
//! Most tables are one segment. A larger one is split a segment at a time, in order (linear hashing; Litwin 1980, but on the high
//! bits, so that segments stay sorted among themselves): no step moves more than one segment.

use smallvec::SmallVec;

use crate::{
    entry::{Entry, EntryRef},
    segment::{SLOTS_MAX, Segment, TAG_BITS, TagRange},
};

/// See the module.
pub(crate) struct Table {
    segments: SmallVec<[Segment; 1]>,
    len: usize,
}

/// Where an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    segment: usize,
    slot: usize,
}

impl Default for Table {
    fn default() -> Table {
        Table { segments: SmallVec::from_buf([Segment::default()]), len: 0 }
    }
}

impl Table {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// How many slots it has, occupied or not.
    pub(crate) fn slots_len(&self) -> usize {
        self.segments.iter().map(Segment::slots_len).sum()
    }

    /// How many segments are split, and the level of those that are not: 2^level segments would be all of them.
    #[inline]
    fn level(&self) -> (u32, usize) {
        let level = self.segments.len().ilog2();
        (level, self.segments.len() - (1 << level))
    }

    /// Which segment holds a tag, and the range of that segment.
    #[inline]
    fn segment_of(&self, tag: u32) -> (usize, TagRange) {
        if self.segments.len() == 1 {
            return (0, TagRange { bits: TAG_BITS });
        }
        let (level, split) = self.level();
        let coarse = (tag >> (TAG_BITS - level)) as usize;
        if coarse < split {
            ((tag >> (TAG_BITS - level - 1)) as usize, TagRange { bits: TAG_BITS - level - 1 })
        } else {
            (split + coarse, TagRange { bits: TAG_BITS - level })
        }
    }

    fn range_of_segment(&self, segment: usize) -> TagRange {
        let (level, split) = self.level();
        TagRange { bits: if segment < 2 * split { TAG_BITS - level - 1 } else { TAG_BITS - level } }
    }

    /// The address of its slots where they are in one segment, and how many of them are homes.
    #[inline]
    pub(crate) fn slots(&self) -> (*const u8, u32) {
        if self.segments.len() == 1 { self.segments[0].slots() } else { (std::ptr::null(), 0) }
    }

    #[inline]
    pub(crate) fn prefetch_entry(&self, tag: u32) -> Option<usize> {
        let (segment, range) = self.segment_of(tag);
        self.segments[segment].prefetch_entry(tag, range)
    }

    /// Where the entry of this key is. `hint` is a slot of its segment that may be looked at first.
    #[inline(always)]
    pub(crate) fn find(&self, tag: u32, hint: usize, key: &[u8]) -> Option<Position> {
        let (segment, range) = self.segment_of(tag);
        let slot = self.segments[segment].find(tag, range, hint, key)?;
        Some(Position { segment, slot })
    }

    #[inline]
    pub(crate) fn entry(&self, position: Position) -> EntryRef<'_> {
        self.segments[position.segment].entry(position.slot).expect("a position of an entry")
    }

    pub(crate) fn update<R>(&mut self, position: Position, change: impl FnOnce(&mut Entry) -> R) -> R {
        self.segments[position.segment].update(position.slot, change)
    }

    /// Adds an entry whose key is not there yet.
    pub(crate) fn insert(&mut self, tag: u32, entry: Entry) {
        let (segment, range) = self.segment_of(tag);
        self.segments[segment].insert(tag, range, entry);
        self.len += 1;
        if self.segments[segment].slots_len() > SLOTS_MAX {
            self.split_next();
        }
    }

    pub(crate) fn remove(&mut self, position: Position) -> Entry {
        let range = self.range_of_segment(position.segment);
        let entry = self.segments[position.segment].remove(position.slot, range);
        self.len -= 1;
        if self.segments.len() > 1 && self.len < self.segments.len() * SLOTS_MAX / 8 {
            self.join_last();
        }
        entry
    }

    /// Splits the first of the segments that are not split yet. Hashes are even, so its turn comes while it is not far above the size
    /// at which a split is wanted, whichever segment asked for it.
    fn split_next(&mut self) {
        let (level, split) = self.level();
        if level + 1 >= TAG_BITS {
            return;
        }
        let range = TagRange { bits: TAG_BITS - level };
        let (low, high) = std::mem::take(&mut self.segments[2 * split]).split(range);
        self.segments[2 * split] = low;
        self.segments.insert(2 * split + 1, high);
    }

    fn join_last(&mut self) {
        // Seen from before the last split.
        let before = self.segments.len() - 1;
        let level = before.ilog2();
        let split = before - (1 << level);
        let high = self.segments.remove(2 * split + 1);
        let low = std::mem::take(&mut self.segments[2 * split]);
        self.segments[2 * split] = Segment::join(low, high, TagRange { bits: TAG_BITS - level });
    }

    /// Visits entries in the order of their tags from `from` on, until `visit` says stop at the end of a tag; returns the tag to go on
    /// from, or `None` at the end. Entries of one tag are visited together, so that a tag is a cursor.
    pub(crate) fn visit_from<'t>(
        &'t self,
        from: u32,
        mut visit: impl FnMut(EntryRef<'t>),
        mut enough: impl FnMut() -> bool,
    ) -> Option<u32> {
        let mut last = None;
        let (mut segment, range) = self.segment_of(from);
        let mut slot = self.segments[segment].first_from(from, range);
        loop {
            while let Some(at) = slot {
                let tag = self.segments[segment].tag_at(at);
                if last != Some(tag) && last.is_some() && enough() {
                    return Some(tag);
                }
                last = Some(tag);
                visit(self.segments[segment].entry(at).expect("an occupied slot"));
                slot = self.segments[segment].next_after(at);
            }
            segment += 1;
            let next = self.segments.get(segment)?;
            slot = next.first();
        }
    }

    /// An entry at a random position, where `random` decides; `None` where that slot is empty.
    pub(crate) fn at_random(&self, random: u64) -> Option<EntryRef<'_>> {
        let slots = self.slots_len() as u64;
        let mut at = ((u128::from(random) * u128::from(slots)) >> 64) as usize;
        for segment in &self.segments {
            if at < segment.slots_len() {
                return segment.entry(at);
            }
            at -= segment.slots_len();
        }
        None
    }

    /// The entries with this tag whose expiry is `expiry_ms`: what an item of the shard's deadlines stands for.
    pub(crate) fn find_deadline(&self, tag: u32, due: impl Fn(EntryRef<'_>) -> bool) -> Option<Position> {
        let (segment, range) = self.segment_of(tag);
        let mut slot = self.segments[segment].first_from(tag, range);
        while let Some(at) = slot {
            if self.segments[segment].tag_at(at) != tag {
                return None;
            }
            if self.segments[segment].entry(at).is_some_and(&due) {
                return Some(Position { segment, slot: at });
            }
            slot = self.segments[segment].next_after(at);
        }
        None
    }
}
