//! A leaf: neighbouring elements of a sorted set, in order, in one allocation.
//!
//! ```text
//! ┌────────────────────┬────────┬───────────┬────────────┬────────┬──────────────────────────┐
//! │ header, 8 bytes    │ tags   │ offsets   │ scores     │ free   │ records                  │
//! │ count records used │ 1 B ea.│ 2 B each  │ 8 B each   │        │ length (1-2 B), member   │
//! └────────────────────┴────────┴───────────┴────────────┴────────┴──────────────────────────┘
//! ```
//!
//! Tags, offsets and scores are in the order of the elements; records are in no order. In the header, `records` is the offset of the first
//! record, and `used` counts the bytes of all records that are not removed. A tag is a byte of the member's hash: a member whose score is
//! not known is found by its tag. So the tags come first, where one or two cache lines hold all of them. An allocation fills a size class,
//! of 2 KiB at most, and grows from one class to the next.
//!
//! A long member has a leaf to itself, of whatever size. Its bytes follow the score, without a record, and are never moved.

use std::{cmp::Ordering, sync::Arc};

use crate::{
    allocation::{ARC_HEADER, arc_len},
    prefetch,
};

/// A member longer than this has a leaf to itself.
pub(super) const SHARED_LEN_MAX: usize = 512;

/// The most bytes of a leaf of several elements: with the header of its `Arc`, an allocation of 2 KiB.
const LEN_MAX: usize = 2048 - ARC_HEADER;
const HEADER_LEN: usize = 8;
/// The bytes that an element takes in addition to its record: score, offset and tag.
const FIXED_LEN: usize = 8 + 2 + 1;
/// Stands in the header in place of the offset of the records: the leaf is that of a long member.
const LONG: u16 = u16::MAX;
/// The offset of the tags.
const TAGS: usize = HEADER_LEN;

/// Returns where the offsets begin in a leaf of `count` elements.
#[inline]
fn offsets_of(count: usize) -> usize {
    TAGS + count
}

/// Returns where the scores begin in a leaf of `count` elements.
#[inline]
fn scores_of(count: usize) -> usize {
    offsets_of(count) + 2 * count
}

/// An element with the tag of its member.
#[derive(Clone, Copy, Debug)]
pub(super) struct Item<'a> {
    pub score: f64,
    pub tag: u8,
    pub member: &'a [u8],
}

/// A leaf; see the module's picture. It is written through `Arc::make_mut`, so that a clone of the tree keeps the leaf as it was.
#[derive(Clone)]
pub(super) struct Leaf(Arc<[u8]>);

/// The leaf has no room for the elements.
#[derive(Debug)]
pub(super) struct Full;

impl Leaf {
    /// Makes a leaf of elements, which are in order and fit into one.
    pub fn new<'a>(items: impl Iterator<Item = Item<'a>> + Clone) -> Leaf {
        let (mut count, mut records_len) = (0, 0);
        let mut long = None;
        for item in items.clone() {
            count += 1;
            records_len += record_len(item.member);
            if item.member.len() > SHARED_LEN_MAX {
                long = Some(item);
            }
        }
        if let Some(item) = long {
            assert_eq!(count, 1, "a long member has a leaf to itself");
            return Leaf::with_long(item);
        }
        let len = arc_len(HEADER_LEN + count * FIXED_LEN + records_len);
        assert!(len <= LEN_MAX, "the elements do not fit into a leaf");
        let mut scratch = [0; LEN_MAX];
        let bytes = &mut scratch[..len];
        let mut records = len;
        for (index, item) in items.enumerate() {
            records -= record_len(item.member);
            write_record(&mut bytes[records..], item.member);
            bytes[TAGS + index] = item.tag;
            bytes[offsets_of(count) + 2 * index..][..2].copy_from_slice(&(records as u16).to_le_bytes());
            bytes[scores_of(count) + 8 * index..][..8].copy_from_slice(&item.score.to_le_bytes());
        }
        set_header(bytes, count, records, records_len);
        Leaf(Arc::from(&*bytes))
    }

    fn with_long(item: Item<'_>) -> Leaf {
        let mut bytes = Vec::with_capacity(HEADER_LEN + FIXED_LEN + item.member.len());
        bytes.extend_from_slice(&[0; HEADER_LEN]);
        bytes.extend_from_slice(&[item.tag, 0, 0]);
        bytes.extend_from_slice(&item.score.to_le_bytes());
        bytes.extend_from_slice(item.member);
        set_header(&mut bytes, 1, usize::from(LONG), 0);
        Leaf(Arc::from(bytes))
    }

    /// Returns the number of elements, which is at least one.
    #[inline]
    pub fn len(&self) -> usize {
        usize::from(u16_at(&self.0, 0))
    }

    /// Returns whether this is the leaf of a long member.
    #[inline]
    pub fn is_long(&self) -> bool {
        u16_at(&self.0, 2) == LONG
    }

    /// Returns the bytes of the allocation.
    pub fn allocated_len(&self) -> usize {
        ARC_HEADER + self.0.len()
    }

    /// Returns the bytes that the header and the elements need.
    pub fn used_len(&self) -> usize {
        if self.is_long() {
            return self.0.len();
        }
        HEADER_LEN + self.len() * FIXED_LEN + usize::from(u16_at(&self.0, 4))
    }

    #[inline]
    fn scores(&self) -> &[[u8; 8]] {
        let count = self.len();
        self.0[scores_of(count)..][..8 * count].as_chunks().0
    }

    /// Returns the score of the element at an index.
    #[inline]
    pub fn score(&self, index: usize) -> f64 {
        f64::from_le_bytes(self.scores()[index])
    }

    /// Returns the member of the element at an index.
    #[inline]
    pub fn member(&self, index: usize) -> &[u8] {
        if self.is_long() {
            return &self.0[HEADER_LEN + FIXED_LEN..];
        }
        record(&self.0[self.offset(index)..])
    }

    /// Returns the offset of an element's record.
    #[inline]
    fn offset(&self, index: usize) -> usize {
        usize::from(u16_at(&self.0, offsets_of(self.len()) + 2 * index))
    }

    #[inline]
    fn tags(&self) -> &[u8] {
        &self.0[TAGS..][..self.len()]
    }

    /// Prefetches header and tags.
    #[inline]
    pub fn prefetch_tags(&self) {
        prefetch::read_lines(self.0.as_ptr(), 2);
    }

    /// Prefetches the score and the record's offset of the first element with this tag. Returns the index of that element.
    #[inline]
    pub fn prefetch_score(&self, tag: u8) -> Option<usize> {
        let (index, count) = (self.with_tag(tag).next()?, self.len());
        prefetch::read(&self.0[offsets_of(count) + 2 * index]);
        prefetch::read(&self.0[scores_of(count) + 8 * index]);
        Some(index)
    }

    /// Prefetches the member of an element.
    #[inline]
    pub fn prefetch_member(&self, index: usize) {
        if !self.is_long() {
            prefetch::read(&self.0[self.offset(index)]);
        }
    }

    /// Returns the element at an index.
    pub fn item(&self, index: usize) -> Item<'_> {
        Item { score: self.score(index), tag: self.tags()[index], member: self.member(index) }
    }

    /// Returns the elements in order.
    pub fn items(&self) -> impl DoubleEndedIterator<Item = Item<'_>> + ExactSizeIterator + Clone {
        (0..self.len()).map(|index| self.item(index))
    }

    /// Searches for an element. Returns its index, or the index at which it would be inserted as the error.
    #[inline]
    pub fn search(&self, score: f64, member: &[u8]) -> Result<usize, usize> {
        let scores = self.scores();
        let first = scores.partition_point(|other| f64::from_le_bytes(*other) < score);
        let (mut low, mut high) = (first, scores.len());
        if scores.get(first).is_none_or(|other| f64::from_le_bytes(*other) > score) {
            return Err(first);
        }
        while low < high {
            let middle = usize::midpoint(low, high);
            let is_greater = f64::from_le_bytes(scores[middle]) > score;
            match if is_greater { Ordering::Greater } else { self.member(middle).cmp(member) } {
                Ordering::Less => low = middle + 1,
                Ordering::Equal => return Ok(middle),
                Ordering::Greater => high = middle,
            }
        }
        Err(low)
    }

    /// Returns the number of elements for which `is_before` is true. It must be true for a first part of the leaf and false for the rest.
    #[inline]
    pub fn partition(&self, is_before: impl Fn(f64, &[u8]) -> bool) -> usize {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = usize::midpoint(low, high);
            if is_before(self.score(middle), self.member(middle)) { low = middle + 1 } else { high = middle }
        }
        low
    }

    /// Returns the index of a member whose score is not known.
    #[inline]
    pub fn find(&self, tag: u8, member: &[u8]) -> Option<usize> {
        self.with_tag(tag).find(|&index| self.member(index) == member)
    }

    /// Returns the indices of the elements with this tag.
    #[inline]
    pub fn with_tag(&self, tag: u8) -> impl Iterator<Item = usize> {
        memchr::memchr_iter(tag, self.tags())
    }

    /// Inserts an element at an index.
    #[inline]
    pub fn insert(&mut self, index: usize, item: Item<'_>) -> Result<(), Full> {
        if self.is_long() || item.member.len() > SHARED_LEN_MAX {
            return Err(Full);
        }
        let count = self.len();
        let records = usize::from(u16_at(&self.0, 2));
        let record_len = record_len(item.member);
        if HEADER_LEN + (count + 1) * FIXED_LEN + record_len > records {
            return self.insert_rebuilding(index, item);
        }
        let bytes = Arc::make_mut(&mut self.0);
        let records = records - record_len;
        write_record(&mut bytes[records..], item.member);
        // The last part is moved first, so that no bytes are overwritten that are still to be moved.
        let (offsets, scores) = (offsets_of(count), scores_of(count));
        let (new_offsets, new_scores) = (offsets_of(count + 1), scores_of(count + 1));
        bytes.copy_within(scores + 8 * index..scores + 8 * count, new_scores + 8 * index + 8);
        bytes.copy_within(scores..scores + 8 * index, new_scores);
        bytes[new_scores + 8 * index..][..8].copy_from_slice(&item.score.to_le_bytes());
        bytes.copy_within(offsets + 2 * index..scores, new_offsets + 2 * index + 2);
        bytes.copy_within(offsets..offsets + 2 * index, new_offsets);
        bytes[new_offsets + 2 * index..][..2].copy_from_slice(&(records as u16).to_le_bytes());
        bytes.copy_within(TAGS + index..offsets, TAGS + index + 1);
        bytes[TAGS + index] = item.tag;
        let used = usize::from(u16_at(bytes, 4)) + record_len;
        set_header(bytes, count + 1, records, used);
        Ok(())
    }

    /// Inserts an element by writing the leaf anew, in a larger allocation or without the removed records.
    #[cold]
    fn insert_rebuilding(&mut self, index: usize, item: Item<'_>) -> Result<(), Full> {
        if self.used_len() + FIXED_LEN + record_len(item.member) > LEN_MAX {
            return Err(Full);
        }
        *self = Leaf::new(self.items().take(index).chain([item]).chain(self.items().skip(index)));
        Ok(())
    }

    /// Splits the leaf, with one more element at an index, and returns the parts to its right. `at_end` says that this is the last leaf of
    /// the tree: if the element is appended there, the left part stays full.
    pub fn split(&mut self, index: usize, item: Item<'_>, at_end: bool) -> Vec<Leaf> {
        let (count, is_long) = (self.len(), item.member.len() > SHARED_LEN_MAX);
        if self.is_long() || is_long || at_end && index == count {
            // The new element gets a leaf to itself, between those before it and those behind it.
            let new = Leaf::new(std::iter::once(item));
            if index == count {
                return vec![new];
            }
            if index == 0 {
                return vec![std::mem::replace(self, new)];
            }
            let right = Leaf::new(self.items().skip(index));
            *self = Leaf::new(self.items().take(index));
            return vec![new, right];
        }
        let all = self.items().take(index).chain([item]).chain(self.items().skip(index));
        let half = (self.used_len() + FIXED_LEN + record_len(item.member)) / 2;
        let (mut left_count, mut left_len) = (0, HEADER_LEN);
        for item in all.clone() {
            if left_len >= half || left_count == count {
                break;
            }
            left_len += FIXED_LEN + record_len(item.member);
            left_count += 1;
        }
        let right = Leaf::new(all.clone().skip(left_count));
        let left = Leaf::new(all.take(left_count));
        *self = left;
        vec![right]
    }

    /// Removes `removed` elements from an index on. At least one other element must be left.
    pub fn remove(&mut self, index: usize, removed: usize) {
        let count = self.len();
        debug_assert!(index + removed <= count && removed < count, "a leaf is never empty");
        let removed_len: usize = (index..index + removed).map(|index| record_len(self.member(index))).sum();
        let bytes = Arc::make_mut(&mut self.0);
        let left = count - removed;
        let (offsets, scores) = (offsets_of(count), scores_of(count));
        let (new_offsets, new_scores) = (offsets_of(left), scores_of(left));
        bytes.copy_within(TAGS + index + removed..offsets, TAGS + index);
        bytes.copy_within(offsets..offsets + 2 * index, new_offsets);
        bytes.copy_within(offsets + 2 * (index + removed)..scores, new_offsets + 2 * index);
        bytes.copy_within(scores..scores + 8 * index, new_scores);
        bytes.copy_within(scores + 8 * (index + removed)..scores + 8 * count, new_scores + 8 * index);
        let (records, used) = (u16_at(bytes, 2), usize::from(u16_at(bytes, 4)) - removed_len);
        set_header(bytes, left, usize::from(records), used);
        // A leaf that is mostly unused moves to a smaller allocation.
        if self.0.len() > 512 && self.used_len() < self.0.len() / 2 {
            *self = Leaf::new(self.items());
        }
    }

    /// Sets the score of an element, which must keep its place in the order.
    #[inline]
    pub fn set_score(&mut self, index: usize, score: f64) {
        let at = scores_of(self.len()) + 8 * index;
        Arc::make_mut(&mut self.0)[at..][..8].copy_from_slice(&score.to_le_bytes());
    }

    /// Returns whether so few bytes are used that the leaf should be joined with a neighbour.
    pub fn is_sparse(&self) -> bool {
        !self.is_long() && self.used_len() < LEN_MAX / 4
    }

    /// Appends the elements of the right neighbour, if both together fill no more than three quarters of a leaf.
    pub fn join(&mut self, right: &Leaf) -> Result<(), Full> {
        if self.is_long() || right.is_long() || self.used_len() + right.used_len() > LEN_MAX / 4 * 3 {
            return Err(Full);
        }
        *self = Leaf::new(self.items().chain(right.items()));
        Ok(())
    }
}

/// Returns the bytes of a member's record.
#[inline]
fn record_len(member: &[u8]) -> usize {
    member.len() + if member.len() < 0x80 { 1 } else { 2 }
}

#[inline]
fn write_record(at: &mut [u8], member: &[u8]) {
    let len = member.len();
    if len < 0x80 {
        at[0] = len as u8;
        at[1..=len].copy_from_slice(member);
    } else {
        at[..2].copy_from_slice(&[0x80 | (len >> 8) as u8, len as u8]);
        at[2..][..len].copy_from_slice(member);
    }
}

#[inline]
fn record(bytes: &[u8]) -> &[u8] {
    let first = usize::from(bytes[0]);
    if first < 0x80 { &bytes[1..][..first] } else { &bytes[2..][..(first & 0x7f) << 8 | usize::from(bytes[1])] }
}

#[inline]
fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

#[inline]
fn set_header(bytes: &mut [u8], count: usize, records: usize, used: usize) {
    bytes[..2].copy_from_slice(&(count as u16).to_le_bytes());
    bytes[2..4].copy_from_slice(&(records as u16).to_le_bytes());
    bytes[4..6].copy_from_slice(&(used as u16).to_le_bytes());
}
