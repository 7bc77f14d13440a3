//! A segment: a sorted array of slots with gaps, the piece that tables are made of.
//!
//! ```text
//!  63        44 43                     0
//! ┌────────────┬────────────────────────┐      tag      the 20 hash bits that follow the shard's
//! │    tag     │  block address >> 4    │      address  entries are aligned to 16 bytes, addresses have 48 bits
//! └────────────┴────────────────────────┘      0        an empty slot
//! ```
//!
//! An entry's home is where its tag falls when the segment's range of tags is spread over `homes` slots; it lies there or, where that
//! is taken, further right, so that all slots are sorted by tag (linear probing in hash order; Amble and Knuth, "Ordered hash tables",
//! 1974). The last homes spill into a tail. Therefore
//! - a search ends at the first larger tag, and a miss costs no more than a hit;
//! - growing to any size is one pass from left to right that looks at no entry;
//! - a position in hash space is a cursor that no growth disturbs, which is what SCAN needs.

use std::ptr::NonNull;

use ochre_datatypes::{allocation::size_class, prefetch};

use crate::entry::{Entry, EntryRef};

/// How many hash bits a slot holds, and a deadline.
pub(crate) use ochre_datatypes::deadlines::TAG_BITS;

const ADDRESS_BITS: u32 = 64 - TAG_BITS;
const ADDRESS_MASK: u64 = (1 << ADDRESS_BITS) - 1;
/// The most slots that a segment is meant to have: 8 KiB are moved at worst when it grows. Beyond it, the table splits segments.
pub(crate) const SLOTS_MAX: usize = 1024;
const SLOTS_MIN: usize = 4;
pub(crate) const SLOT_BYTES: usize = size_of::<Slot>();

#[derive(Clone, Copy, PartialEq, Eq)]
struct Slot(u64);

impl Slot {
    const EMPTY: Slot = Slot(0);

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

    #[inline]
    fn block(self) -> Option<NonNull<u8>> {
        NonNull::new(((self.0 & ADDRESS_MASK) << 4) as *mut u8)
    }
}

/// The part of the tags that a segment holds: `bits` low bits vary, those above are the same in all of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct TagRange {
    pub bits: u32,
}

/// See the module.
#[derive(Default)]
pub(crate) struct Segment {
    slots: Box<[Slot]>,
    used: u32,
    /// How many of the slots are homes.
    homes: u32,
}

/// How many of `len` slots are homes; the rest is the tail that the last homes spill into.
fn homes_of(len: usize) -> usize {
    len - len.min(4 + len / 64).min(len / 4)
}

/// How many entries a segment of `len` slots holds before it grows. Nine tenths: a search then looks at five slots on average, which
/// is one cache line or two.
fn capacity_of(len: usize) -> usize {
    homes_of(len) * 9 / 10
}

/// The next larger number of slots: the allocator's next size class, a quarter more at most.
fn next_len(len: usize) -> usize {
    (size_class((len + 1) * size_of::<Slot>()) / size_of::<Slot>()).max(SLOTS_MIN)
}

/// Where a tag's search begins, of so many homes.
#[inline]
fn home_of(tag: u32, range: TagRange, homes: u32) -> usize {
    let offset = u64::from(tag) & ((1 << range.bits) - 1);
    ((offset * u64::from(homes)) >> range.bits) as usize
}

/// Where the search for a tag begins in a segment at `slots` that holds all tags; the address is for a prefetch only.
#[inline]
pub(crate) fn address_of_home(slots: *const u8, homes: u32, tag: u32) -> *const u8 {
    slots.wrapping_add(home_of(tag, TagRange { bits: TAG_BITS }, homes) * SLOT_BYTES)
}

/// A segment of these sorted slots in an array of `len`, or of more where the tail proves too short.
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
    pub(crate) fn len(&self) -> usize {
        self.used as usize
    }

    pub(crate) fn slots_len(&self) -> usize {
        self.slots.len()
    }

    #[inline]
    fn home(&self, tag: u32, range: TagRange) -> usize {
        home_of(tag, range, self.homes)
    }

    /// The address of its slots, and how many of them are homes.
    #[inline]
    pub(crate) fn slots(&self) -> (*const u8, u32) {
        (self.slots.as_ptr().cast(), self.homes)
    }

    /// Asks the processor for the first entry with this tag. Returns its position.
    #[inline]
    pub(crate) fn prefetch_entry(&self, tag: u32, range: TagRange) -> Option<usize> {
        self.search(tag, range, |block| {
            prefetch::read_lines(block.as_ptr(), 2);
            true
        })
    }

    /// The position of the entry with this tag and key. The one at `hint` is looked at first.
    #[inline(always)]
    pub(crate) fn find(&self, tag: u32, range: TagRange, hint: usize, key: &[u8]) -> Option<usize> {
        // SAFETY: an occupied slot owns its entry, which lives while the segment is borrowed.
        let is_it = |block| unsafe { EntryRef::from_block(block) }.has_key(key);
        if let Some(slot) = self.slots.get(hint)
            && slot.tag() == tag
            && slot.block().is_some_and(is_it)
        {
            return Some(hint);
        }
        self.search(tag, range, is_it)
    }

    /// The position of the first entry with this tag that is the one looked for.
    #[inline]
    fn search(&self, tag: u32, range: TagRange, is_it: impl Fn(NonNull<u8>) -> bool) -> Option<usize> {
        let mut at = self.home(tag, range);
        // Passes smaller tags by. An empty slot, which is zero, is made larger than any by the subtraction.
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

    /// The entry at a position.
    #[inline]
    pub(crate) fn entry(&self, at: usize) -> Option<EntryRef<'_>> {
        let block = self.slots.get(at)?.block()?;
        // SAFETY: an occupied slot owns its entry, which lives while the segment is borrowed.
        Some(unsafe { EntryRef::from_block(block) })
    }

    pub(crate) fn tag_at(&self, at: usize) -> u32 {
        self.slots[at].tag()
    }

    /// Changes the entry at a position, which must be occupied and may be given another block.
    pub(crate) fn update<R>(&mut self, at: usize, change: impl FnOnce(&mut Entry) -> R) -> R {
        let tag = self.slots[at].tag();
        // SAFETY: the slot owned its entry; it is empty while the entry is out.
        let mut entry = unsafe { Entry::from_block(self.slots[at].block().expect("an occupied slot")) };
        self.slots[at] = Slot::EMPTY;
        let result = change(&mut entry);
        self.slots[at] = Slot::new(tag, entry);
        result
    }

    /// Adds an entry whose key is not there yet.
    pub(crate) fn insert(&mut self, tag: u32, range: TagRange, entry: Entry) {
        if self.len() >= capacity_of(self.slots.len()) {
            self.resize(next_len(self.slots.len()), range);
        }
        loop {
            let start = self.home(tag, range);
            // After the last slot that is not larger: equal tags stay in order of arrival.
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

    /// Takes the entry at a position out, and closes the gap.
    pub(crate) fn remove(&mut self, at: usize, range: TagRange) -> Entry {
        let block = self.slots[at].block().expect("an occupied slot");
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
        // SAFETY: the slot owned its entry and is gone.
        unsafe { Entry::from_block(block) }
    }

    /// Lays the slots out anew; `len` grows further where a tail proves too short.
    fn resize(&mut self, len: usize, range: TagRange) {
        let old = std::mem::take(&mut self.slots);
        *self = lay_out(old.iter().copied().filter(|slot| !slot.is_empty()), len, range);
    }

    /// Builds a segment of sorted slots, with room to grow.
    fn from_sorted(sorted: &[Slot], range: TagRange) -> Segment {
        if sorted.is_empty() {
            return Segment::default();
        }
        lay_out(sorted.iter().copied(), next_len(sorted.len() * 5 / 4), range)
    }

    /// Cuts it into the halves of its range: the tags whose highest varying bit is 0, and those where it is 1.
    pub(crate) fn split(mut self, range: TagRange) -> (Segment, Segment) {
        let sorted: Vec<Slot> = self.take_sorted();
        let bit = 1 << (range.bits - 1);
        let middle = sorted.partition_point(|slot| slot.tag() & bit == 0);
        let half = TagRange { bits: range.bits - 1 };
        (Segment::from_sorted(&sorted[..middle], half), Segment::from_sorted(&sorted[middle..], half))
    }

    /// Joins two halves; the inverse of [`Segment::split`]. `range` is that of the whole.
    pub(crate) fn join(mut low: Segment, mut high: Segment, range: TagRange) -> Segment {
        let mut sorted = low.take_sorted();
        sorted.extend(high.take_sorted());
        Segment::from_sorted(&sorted, range)
    }

    fn take_sorted(&mut self) -> Vec<Slot> {
        (self.used, self.homes) = (0, 0);
        std::mem::take(&mut self.slots).into_iter().filter(|slot| !slot.is_empty()).collect()
    }

    /// The position of the first occupied slot whose tag is `tag` or more.
    pub(crate) fn first_from(&self, tag: u32, range: TagRange) -> Option<usize> {
        if self.slots.is_empty() {
            return None;
        }
        (self.home(tag, range)..self.slots.len()).find(|&i| !self.slots[i].is_empty() && self.slots[i].tag() >= tag)
    }

    /// The position of the first occupied slot.
    pub(crate) fn first(&self) -> Option<usize> {
        (0..self.slots.len()).find(|&i| !self.slots[i].is_empty())
    }

    /// The position of the next occupied slot after `at`.
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
