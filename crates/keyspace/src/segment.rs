//! A segment: a sorted array of slots with gaps. A table consists of one segment or more.
//!
//! ```text
//!  63        44 43                     0
//! ┌────────────┬────────────────────────┐      tag      the 20 hash bits that follow the shard's
//! │    tag     │  block address >> 4    │      address  entries are aligned to 16 bytes, addresses have 48 bits
//! └────────────┴────────────────────────┘      0        an empty slot
//! ```
//!
//! The range of tags that a segment holds is spread evenly over its first slots, the homes. An entry lies in the home of its tag or, if that
//! is taken, further right, such that all slots are sorted by tag (linear probing in hash order; Amble and Knuth, "Ordered hash tables",
//! 1974). The slots behind the homes are the tail, which takes the overflow of the last homes. From this order follows:
//! - A search ends at the first larger tag, so that a miss costs no more than a hit.
//! - Growing to any size is one pass from left to right, which reads no entry.
//! - A position in hash space remains valid when the table grows or shrinks, which SCAN's cursor needs.

use std::{
    alloc::Layout,
    ptr::{self, NonNull},
};

use ochre_datatypes::{allocation::size_class, prefetch};
use smallvec::SmallVec;

use crate::{
    entry::{Entry, EntryRef},
    relocation::Relocator,
};

/// The number of hash bits in a slot, and in a deadline.
pub(crate) use ochre_datatypes::deadlines::TAG_BITS;

/// The bits of an address in a slot.
const ADDRESS_BITS: u32 = 64 - TAG_BITS;
const ADDRESS_MASK: u64 = (1 << ADDRESS_BITS) - 1;
/// When a segment grows beyond this number of slots, its table splits one. So growing a segment moves 8 KiB, or little more.
pub(crate) const SLOTS_MAX: usize = 1024;
/// The fewest slots that a segment with an entry has.
const SLOTS_MIN: usize = 4;
/// The size of a slot in bytes.
pub(crate) const SLOT_BYTES: usize = size_of::<Slot>();

/// A tag and the address of an entry, which the slot owns; see the picture.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Slot(u64);

impl Slot {
    const EMPTY: Slot = Slot(0);

    /// Creates a slot that owns the entry.
    fn new(tag: u32, entry: Entry) -> Slot {
        let address = entry.into_block().as_ptr() as u64;
        debug_assert!(address & 15 == 0 && address >> (ADDRESS_BITS + 4) == 0);
        Slot((tag as u64) << ADDRESS_BITS | address >> 4)
    }

    #[inline]
    fn is_empty(self) -> bool {
        self.0 == 0
    }

    #[inline]
    fn tag(self) -> u32 {
        (self.0 >> ADDRESS_BITS) as u32
    }

    /// Returns the block of the entry; none for an empty slot.
    #[inline]
    fn block(self) -> Option<NonNull<u8>> {
        NonNull::new(((self.0 & ADDRESS_MASK) << 4) as *mut u8)
    }
}

/// The range of tags that a segment holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct TagRange {
    /// The number of low bits that vary. The bits above them are the same in all tags of the segment.
    pub bits: u32,
}

/// See the module.
#[derive(Default)]
pub(crate) struct Segment {
    slots: Box<[Slot]>,
    /// The number of entries.
    used: u32,
    /// The number of slots that are homes.
    homes: u32,
}

/// Returns the number of homes among `len` slots; the others are the tail.
fn homes_of(len: usize) -> usize {
    len - len.min(4 + len / 64).min(len / 4)
}

/// Returns the number of entries that a segment of `len` slots holds before it grows: nine tenths of its homes. A search in a full segment
/// then looks at five slots on average, which lie on one cache line or two.
fn capacity_of(len: usize) -> usize {
    homes_of(len) * 9 / 10
}

/// Returns the next larger number of slots: what fits the allocator's next size class, which is at most a quarter larger.
fn next_len(len: usize) -> usize {
    (size_class((len + 1) * size_of::<Slot>()) / size_of::<Slot>()).max(SLOTS_MIN)
}

/// Returns the home of a tag among `homes` homes, where a search begins.
#[inline]
fn home_of(tag: u32, range: TagRange, homes: u32) -> usize {
    let offset = u64::from(tag) & ((1 << range.bits) - 1);
    ((offset * u64::from(homes)) >> range.bits) as usize
}

/// Returns the address of a tag's home in a segment that holds all tags and has its slots at `slots`. It is only good for a prefetch, since
/// nothing says that the slots are still there.
#[inline]
pub(crate) fn address_of_home(slots: *const u8, homes: u32, tag: u32) -> *const u8 {
    slots.wrapping_add(home_of(tag, TagRange { bits: TAG_BITS }, homes) * SLOT_BYTES)
}

/// Creates a segment of these sorted slots, in an array of `len` slots, or of more if the tail turns out too short.
fn lay_out(sorted: impl Iterator<Item = Slot> + Clone, len: usize, range: TagRange) -> Segment {
    let mut len = len;
    'longer: loop {
        let mut slots = vec![Slot::EMPTY; len].into_boxed_slice();
        let homes = homes_of(len) as u32;
        let (mut next, mut used) = (0, 0);
        for slot in sorted.clone() {
            let at = home_of(slot.tag(), range, homes).max(next);
            if at >= len {
                len = next_len(len);
                continue 'longer;
            }
            slots[at] = slot;
            next = at + 1;
            used += 1;
        }
        return Segment { slots, used, homes };
    }
}

impl Segment {
    /// Returns the number of entries.
    pub(crate) fn len(&self) -> usize {
        self.used as usize
    }

    /// Returns the number of slots, occupied or not.
    pub(crate) fn slots_len(&self) -> usize {
        self.slots.len()
    }

    #[inline]
    fn home(&self, tag: u32, range: TagRange) -> usize {
        home_of(tag, range, self.homes)
    }

    /// Returns the address of the slots, and the number of homes.
    #[inline]
    pub(crate) fn slots(&self) -> (*const u8, u32) {
        (self.slots.as_ptr().cast(), self.homes)
    }

    /// Prefetches the first entry with this tag. Returns its position.
    #[inline]
    pub(crate) fn prefetch_entry(&self, tag: u32, range: TagRange) -> Option<usize> {
        self.search(tag, range, |block| {
            prefetch::read_lines(block.as_ptr(), 2);
            true
        })
    }

    /// Returns the position of the entry with this tag and key. The slot `hint` is looked at first.
    #[inline(always)]
    pub(crate) fn find(&self, tag: u32, range: TagRange, hint: usize, key: &[u8]) -> Option<usize> {
        // SAFETY: an occupied slot owns its entry, which lives as long as the segment is borrowed.
        let is_it = |block| unsafe { EntryRef::from_block(block) }.has_key(key);
        if let Some(slot) = self.slots.get(hint)
            && slot.tag() == tag
            && slot.block().is_some_and(is_it)
        {
            return Some(hint);
        }
        self.search(tag, range, is_it)
    }

    /// Returns the position of the first entry with this tag for which `is_it` returns true.
    #[inline]
    fn search(&self, tag: u32, range: TagRange, is_it: impl Fn(NonNull<u8>) -> bool) -> Option<usize> {
        let mut at = self.home(tag, range);
        // Skip smaller tags. The subtraction makes an empty slot, which is 0, larger than all tags.
        let smallest = u64::from(tag) << ADDRESS_BITS;
        while self.slots.get(at)?.0.wrapping_sub(1) < smallest {
            at += 1;
        }
        loop {
            let slot = self.slots.get(at)?;
            if slot.tag() != tag {
                return None;
            }
            if is_it(slot.block()?) {
                return Some(at);
            }
            at += 1;
        }
    }

    /// Returns the entry at a position, if the slot is occupied.
    #[inline]
    pub(crate) fn entry(&self, at: usize) -> Option<EntryRef<'_>> {
        let block = self.slots.get(at)?.block()?;
        // SAFETY: an occupied slot owns its entry, which lives as long as the segment is borrowed.
        Some(unsafe { EntryRef::from_block(block) })
    }

    /// Returns the tag of the slot at a position, which must be occupied.
    pub(crate) fn tag_at(&self, at: usize) -> u32 {
        self.slots[at].tag()
    }

    /// Changes the entry at a position, which must be occupied. `change` may replace the entry's block.
    pub(crate) fn update<R>(&mut self, at: usize, change: impl FnOnce(&mut Entry) -> R) -> R {
        let tag = self.slots[at].tag();
        // SAFETY: the slot owned its entry, and is made empty below while the entry is out.
        let mut entry = unsafe { Entry::from_block(self.slots[at].block().expect("the slot is occupied")) };
        self.slots[at] = Slot::EMPTY;
        let result = change(&mut entry);
        self.slots[at] = Slot::new(tag, entry);
        result
    }

    /// Moves the entries in some slots that the relocator chooses to other blocks. Returns how many it moved. `slots` are occupied.
    pub(crate) fn relocate(&mut self, slots: &[usize], relocator: &mut dyn Relocator) -> usize {
        let blocks: SmallVec<[NonNull<u8>; 128]> =
            slots.iter().map(|&at| self.slots[at].block().expect("the slot is occupied")).collect();
        let mut chosen: SmallVec<[usize; 128]> = SmallVec::new();
        relocator.choose(&blocks, &mut |index| chosen.push(index));
        chosen.iter().for_each(|&index| prefetch::read_lines(blocks[index].as_ptr(), 2));
        let mut moved = 0;
        for index in chosen {
            let (at, block) = (slots[index], blocks[index]);
            // SAFETY: the slot owns its entry, and the borrow ends before the entry is moved.
            let (len, layout) = unsafe { EntryRef::from_block(block) }.block_len_and_layout();
            let Some(copy) = relocator.allocate(layout) else { break };
            // SAFETY: both blocks have room for the entry, and the copy is not shared. The slot, the only owner of the old block, is given the new
            // one, so the old block is not used any more. It was allocated with this layout.
            unsafe {
                ptr::copy_nonoverlapping(block.as_ptr(), copy.as_ptr(), len);
                self.slots[at] = Slot::new(self.slots[at].tag(), Entry::from_block(copy));
                relocator.free(block, layout);
            }
            moved += 1;
        }
        moved
    }

    /// Moves the array of slots to another block, if the relocator chooses it.
    pub(crate) fn relocate_slots(&mut self, relocator: &mut dyn Relocator) {
        let (layout, len) = (Layout::for_value(&*self.slots), self.slots.len());
        if len == 0 {
            return;
        }
        let mut is_chosen = false;
        relocator.choose(&[NonNull::from(&mut *self.slots).cast()], &mut |_| is_chosen = true);
        let copy = if is_chosen { relocator.allocate(layout) } else { None };
        let Some(copy) = copy.map(|block| block.cast::<Slot>()) else { return };
        // SAFETY: the copy has room for as many slots, is not shared, and can be freed by the global allocator, which the box does. The old slots own
        // nothing any more: their entries belong to the copies. They were allocated with this layout.
        unsafe {
            ptr::copy_nonoverlapping(self.slots.as_ptr(), copy.as_ptr(), len);
            let moved = Box::from_raw(ptr::slice_from_raw_parts_mut(copy.as_ptr(), len));
            let old = NonNull::from(Box::leak(std::mem::replace(&mut self.slots, moved)));
            relocator.free(old.cast(), layout);
        }
    }

    /// Adds an entry, whose key must not be there yet.
    pub(crate) fn insert(&mut self, tag: u32, range: TagRange, entry: Entry) {
        if self.len() >= capacity_of(self.slots.len()) {
            self.resize(next_len(self.slots.len()), range);
        }
        loop {
            let start = self.home(tag, range);
            // Entries with the same tag stay in order of arrival.
            let at = (start..self.slots.len()).find(|&i| self.slots[i].is_empty() || self.slots[i].tag() > tag);
            let gap = at.and_then(|at| (at..self.slots.len()).find(|&i| self.slots[i].is_empty()));
            if let (Some(at), Some(gap)) = (at, gap) {
                self.slots.copy_within(at..gap, at + 1);
                self.slots[at] = Slot::new(tag, entry);
                self.used += 1;
                return;
            }
            // The tail is full.
            self.resize(next_len(self.slots.len()), range);
        }
    }

    /// Removes the entry at a position, and closes the gap.
    pub(crate) fn remove(&mut self, at: usize, range: TagRange) -> Entry {
        let block = self.slots[at].block().expect("the slot is occupied");
        let mut end = at + 1;
        while end < self.slots.len() && !self.slots[end].is_empty() && self.home(self.slots[end].tag(), range) < end {
            end += 1;
        }
        self.slots.copy_within(at + 1..end, at);
        self.slots[end - 1] = Slot::EMPTY;
        self.used -= 1;
        if self.slots.len() > SLOTS_MIN && self.len() < self.slots.len() / 4 {
            let fitting = next_len(self.len() * 3 / 2 + 1);
            if fitting < self.slots.len() {
                self.resize(fitting, range);
            }
        }
        // SAFETY: the slot owned its entry, and was overwritten above.
        unsafe { Entry::from_block(block) }
    }

    /// Moves the entries to a new array of `len` slots, or of more if the tail turns out too short.
    fn resize(&mut self, len: usize, range: TagRange) {
        let old = std::mem::take(&mut self.slots);
        *self = lay_out(old.iter().copied().filter(|slot| !slot.is_empty()), len, range);
    }

    /// Creates a segment of sorted slots, with room to grow.
    fn from_sorted(sorted: &[Slot], range: TagRange) -> Segment {
        if sorted.is_empty() {
            return Segment::default();
        }
        lay_out(sorted.iter().copied(), next_len(sorted.len() * 5 / 4), range)
    }

    /// Splits the segment into the halves of its range: the tags whose highest varying bit is 0, and those in which it is 1.
    pub(crate) fn split(mut self, range: TagRange) -> (Segment, Segment) {
        let sorted: Vec<Slot> = self.take_sorted();
        let bit = 1 << (range.bits - 1);
        let middle = sorted.partition_point(|slot| slot.tag() & bit == 0);
        let half = TagRange { bits: range.bits - 1 };
        (Segment::from_sorted(&sorted[..middle], half), Segment::from_sorted(&sorted[middle..], half))
    }

    /// Joins two halves, the inverse of [`Segment::split`]. `range` is the range of the result.
    pub(crate) fn join(mut low: Segment, mut high: Segment, range: TagRange) -> Segment {
        let mut sorted = low.take_sorted();
        sorted.extend(high.take_sorted());
        Segment::from_sorted(&sorted, range)
    }

    /// Takes all occupied slots out.
    fn take_sorted(&mut self) -> Vec<Slot> {
        (self.used, self.homes) = (0, 0);
        std::mem::take(&mut self.slots).into_iter().filter(|slot| !slot.is_empty()).collect()
    }

    /// Returns the position of the first occupied slot whose tag is `tag` or larger.
    pub(crate) fn first_from(&self, tag: u32, range: TagRange) -> Option<usize> {
        if self.slots.is_empty() {
            return None;
        }
        (self.home(tag, range)..self.slots.len()).find(|&i| !self.slots[i].is_empty() && self.slots[i].tag() >= tag)
    }

    /// Returns the position of the first occupied slot.
    pub(crate) fn first(&self) -> Option<usize> {
        (0..self.slots.len()).find(|&i| !self.slots[i].is_empty())
    }

    /// Returns the position of the first occupied slot after `at`.
    pub(crate) fn next_after(&self, at: usize) -> Option<usize> {
        (at + 1..self.slots.len()).find(|&i| !self.slots[i].is_empty())
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        for slot in &self.slots {
            if let Some(block) = slot.block() {
                // SAFETY: the slot owned its entry.
                drop(unsafe { Entry::from_block(block) });
            }
        }
    }
}
