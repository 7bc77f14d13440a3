//! A table: the entries of one database in one shard, in the order of their hashes.
//!
//! The first 12 bits of a hash choose the shard, and the next 20 are the tag. Most tables are one segment. In a larger one, the first bits of
//! the tag choose the segment.
//!
//! A table grows by splitting one segment at a time, from left to right; when all are split, it begins again on the left. This is linear
//! hashing (Litwin, "Linear hashing: a new tool for file and table addressing", 1980), but on the high bits, so that the segments are in the
//! order of the hashes too. No step moves the entries of more than one segment.
//!
//! ```text
//!  level 2, of 4 segments the first is split    │000│001│  01   │  10   │  11   │
//! ```

use smallvec::SmallVec;

use crate::{
    entry::{Entry, EntryRef},
    relocation::{Relocated, Relocator},
    segment::{SLOTS_MAX, Segment, TAG_BITS, TagRange},
};

/// See the module.
pub(crate) struct Table {
    segments: SmallVec<[Segment; 1]>,
    /// The number of entries.
    len: usize,
}

/// Where an entry is in its table, until entries are inserted or removed.
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
    /// Returns the number of entries, expired ones among them.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Returns the number of slots, occupied or not.
    pub(crate) fn slots_len(&self) -> usize {
        self.segments.iter().map(Segment::slots_len).sum()
    }

    /// Returns the level of the segments that are not split, and the number of segments that are. A table with no split segment has
    /// 2^level segments.
    #[inline]
    fn level(&self) -> (u32, usize) {
        let level = self.segments.len().ilog2();
        (level, self.segments.len() - (1 << level))
    }

    /// Returns the segment that holds a tag, and its range.
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

    /// Returns the range of a segment.
    fn range_of_segment(&self, segment: usize) -> TagRange {
        let (level, split) = self.level();
        TagRange { bits: if segment < 2 * split { TAG_BITS - level - 1 } else { TAG_BITS - level } }
    }

    /// Returns the address of the slots and the number of homes, if the table is one segment.
    #[inline]
    pub(crate) fn slots(&self) -> (*const u8, u32) {
        if self.segments.len() == 1 { self.segments[0].slots() } else { (std::ptr::null(), 0) }
    }

    /// Prefetches the first entry with this tag. Returns its slot in its segment.
    #[inline]
    pub(crate) fn prefetch_entry(&self, tag: u32) -> Option<usize> {
        let (segment, range) = self.segment_of(tag);
        self.segments[segment].prefetch_entry(tag, range)
    }

    /// Returns the position of the entry with this tag and key. In its segment the slot `hint` is looked at first.
    #[inline(always)]
    pub(crate) fn find(&self, tag: u32, hint: usize, key: &[u8]) -> Option<Position> {
        let (segment, range) = self.segment_of(tag);
        let slot = self.segments[segment].find(tag, range, hint, key)?;
        Some(Position { segment, slot })
    }

    /// Returns the entry at a position.
    #[inline]
    pub(crate) fn entry(&self, position: Position) -> EntryRef<'_> {
        self.segments[position.segment].entry(position.slot).expect("a position is that of an entry")
    }

    /// Changes the entry at a position.
    pub(crate) fn update<R>(&mut self, position: Position, change: impl FnOnce(&mut Entry) -> R) -> R {
        self.segments[position.segment].update(position.slot, change)
    }

    /// Adds an entry, whose key must not be there yet.
    pub(crate) fn insert(&mut self, tag: u32, entry: Entry) {
        let (segment, range) = self.segment_of(tag);
        self.segments[segment].insert(tag, range, entry);
        self.len += 1;
        if self.segments[segment].slots_len() > SLOTS_MAX {
            self.split_next();
        }
    }

    /// Removes the entry at a position.
    pub(crate) fn remove(&mut self, position: Position) -> Entry {
        let range = self.range_of_segment(position.segment);
        let entry = self.segments[position.segment].remove(position.slot, range);
        self.len -= 1;
        if self.segments.len() > 1 && self.len < self.segments.len() * SLOTS_MAX / 8 {
            self.join_last();
        }
        entry
    }

    /// Splits the leftmost segment that is not split yet, which need not be the one that became too large. Hashes are spread evenly, so all
    /// segments have about the same size, and the turn of a large one comes soon.
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

    /// Joins the two halves that were split last.
    fn join_last(&mut self) {
        // Level and split as they were before the last split.
        let before = self.segments.len() - 1;
        let level = before.ilog2();
        let split = before - (1 << level);
        let high = self.segments.remove(2 * split + 1);
        let low = std::mem::take(&mut self.segments[2 * split]);
        self.segments[2 * split] = Segment::join(low, high, TagRange { bits: TAG_BITS - level });
    }

    /// Visits entries in the order of their tags, from the tag `from` on. `enough` is asked before each further tag; if it returns true, the
    /// visit ends. Returns the tag to continue from, or `None` at the end of the table. All entries with the same tag are visited together,
    /// so that a tag can be the cursor of SCAN.
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
                visit(self.segments[segment].entry(at).expect("the slot is occupied"));
                slot = self.segments[segment].next_after(at);
            }
            segment += 1;
            let next = self.segments.get(segment)?;
            slot = next.first();
        }
    }

    /// Returns the segment and the slot that `random`, of 64 bits, chooses, if there are slots.
    fn slot_at_random(&self, random: u64) -> Option<(usize, usize)> {
        let slots = self.slots_len() as u64;
        let mut at = ((u128::from(random) * u128::from(slots)) >> 64) as usize;
        for (index, segment) in self.segments.iter().enumerate() {
            if at < segment.slots_len() {
                return Some((index, at));
            }
            at -= segment.slots_len();
        }
        None
    }

    /// Returns the entry in a slot that `random`, of 64 bits, chooses; `None` if that slot is empty.
    pub(crate) fn at_random(&self, random: u64) -> Option<EntryRef<'_>> {
        let (segment, slot) = self.slot_at_random(random)?;
        self.segments[segment].entry(slot)
    }

    /// Moves entries that the relocator chooses to other blocks, and arrays of slots: it looks at `max` entries or a few more, from the tag `from` on. Returns the tag
    /// to continue from, or `None` at the end of the table.
    pub(crate) fn relocate(
        &mut self,
        from: u32,
        max: usize,
        relocator: &mut dyn Relocator,
        relocated: &mut Relocated,
    ) -> Option<u32> {
        let mut slots: SmallVec<[usize; 128]> = SmallVec::new();
        let (mut segment, range) = self.segment_of(from);
        let mut slot = self.segments[segment].first_from(from, range);
        let mut left = max;
        loop {
            slots.clear();
            // Entries with the same tag are looked at together, so the tag says where to go on.
            let tag_at = |at: usize| self.segments[segment].tag_at(at);
            while let Some(at) = slot
                && (slots.len() < left || slots.last().is_some_and(|&last| tag_at(last) == tag_at(at)))
            {
                slots.push(at);
                slot = self.segments[segment].next_after(at);
            }
            relocated.seen += slots.len();
            relocated.moved += self.segments[segment].relocate(&slots, relocator);
            left = left.saturating_sub(slots.len());
            match slot {
                Some(at) => return Some(self.segments[segment].tag_at(at)),
                None => self.segments[segment].relocate_slots(relocator),
            }
            segment += 1;
            slot = self.segments.get(segment)?.first();
        }
    }

    /// Returns a random entry; each is as likely as any other.
    pub(crate) fn draw(&self, random: &mut dyn FnMut() -> u64) -> Option<EntryRef<'_>> {
        // At least a quarter of the slots is occupied, except in the smallest tables.
        (self.len > 0).then(|| std::iter::repeat_with(|| self.at_random(random())).flatten().next())?
    }

    /// Visits at most `max` entries that follow each other, from a slot on that `random`, of 64 bits, chooses. After the last slot comes the
    /// first. Entries are in the order of their hashes, so any that follow each other are a random sample.
    pub(crate) fn visit_some(&self, random: u64, max: usize, visit: &mut dyn FnMut(EntryRef<'_>)) {
        let Some((start, slot)) = self.slot_at_random(random) else { return };
        let segments = self.segments.iter();
        let from_start = segments.clone().skip(start).chain(segments.take(start + 1));
        let mut found: SmallVec<[EntryRef<'_>; 16]> = SmallVec::new();
        let mut skipped = slot;
        for segment in from_start {
            found.extend((skipped..segment.slots_len()).filter_map(|at| segment.entry(at)).take(max - found.len()));
            skipped = 0;
            if found.len() == max {
                break;
            }
        }
        // The whole table was gone through: what lies behind the start was met twice.
        found.truncate(self.len);
        found.iter().for_each(|entry| entry.prefetch());
        found.into_iter().for_each(visit);
    }

    /// Returns the position of the first entry with this tag for which `due` returns true: the entry that a deadline stands for.
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
