//! The index of a sorted set: it maps a member to its leaf, so that a member is found without its score.
//!
//! ```text
//! a chunk of the spine:  count │ item │ item │ … │ unused        item: 32 bits of the member's hash, 32 bits of leaf number
//! ```
//!
//! An item does not hold its member. An item with the right hash is a *candidate*, and its leaf decides; with 32 bits of hash, a wrong
//! candidate is very rare. The highest byte of the same 32 bits is the member's tag in the leaf. An element takes 8 bytes, and about 2 more
//! for its share of the chunks.

use std::sync::Arc;

use crate::{
    allocation::{ARC_HEADER, arc_len, size_class},
    prefetch,
    spine::{Chunk, Spine},
};

/// The index gets another chunk when its chunks have more than this many items on average.
const ITEMS_MAX: usize = 32;
/// The index loses a chunk when its chunks have fewer than this many items on average.
const ITEMS_MIN: usize = 10;

/// A map from the hashes of members to leaf numbers; see the module's picture.
#[derive(Clone, Default)]
pub(super) struct Index {
    spine: Spine<Items>,
    len: usize,
}

/// Returns the tag that a member with this hash has in its leaf.
#[inline]
pub(super) fn tag_of(hash: u64) -> u8 {
    (hash >> 24) as u8
}

#[inline]
fn item(hash: u64, leaf: u32) -> u64 {
    hash << 32 | u64::from(leaf)
}

/// Returns whether an item may be that of a member with this hash.
#[inline]
pub(super) fn is_candidate(item: u64, hash: u64) -> bool {
    item >> 32 == hash & 0xffff_ffff
}

impl Index {
    /// Returns the numbers of the leaves in which a member with this hash may be.
    #[inline]
    pub fn candidates(&self, hash: u64) -> impl Iterator<Item = u32> {
        self.spine.get(hash).items().iter().filter(move |item| is_candidate(**item, hash)).map(|item| *item as u32)
    }

    /// Prefetches the chunk of a hash. [`Index::prefetch_items`] is the next step.
    #[inline]
    pub fn prefetch(&self, hash: u64) {
        self.spine.prefetch(hash);
    }

    /// Prefetches the items in the chunk of a hash.
    #[inline]
    pub fn prefetch_items(&self, hash: u64) {
        let items = &self.spine.get(hash).0;
        prefetch::read_lines(items.as_ptr().cast(), size_of_val(&**items).div_ceil(prefetch::LINE));
    }

    pub fn insert(&mut self, hash: u64, leaf: u32) {
        let index = self.spine.index(hash);
        self.spine.edit(index, |items| items.push(item(hash, leaf)));
        self.len += 1;
        if self.len > self.spine.chunks() * ITEMS_MAX {
            self.spine.grow(Items::split);
        }
    }

    /// Records that a member moved from one leaf to another.
    #[inline]
    pub fn relocate(&mut self, hash: u64, from: u32, to: u32) {
        let index = self.spine.index(hash);
        self.spine.edit(index, |items| items.replace(item(hash, from), item(hash, to)));
    }

    pub fn remove(&mut self, hash: u64, leaf: u32) {
        let index = self.spine.index(hash);
        self.spine.edit(index, |items| items.remove(item(hash, leaf)));
        self.len -= 1;
        if self.len < self.spine.chunks() * ITEMS_MIN && self.spine.chunks() > 1 {
            self.spine.shrink(Items::join);
        }
    }

    /// Visits the items from a cursor on, chunk by chunk, until `visit` returns false; see [`Spine::walk`].
    pub fn walk(&self, cursor: u64, mut visit: impl FnMut(&[u64]) -> bool) -> u64 {
        self.spine.walk(cursor, |items| visit(items.items()))
    }

    pub fn memory_usage(&self) -> usize {
        self.spine.memory_usage()
            + self.spine.iter().map(|items| size_class(ARC_HEADER + size_of_val(&*items.0))).sum::<usize>()
    }
}

/// The items of a chunk. The first word is their number; the words behind them are unused.
#[derive(Clone, Default)]
struct Items(Arc<[u64]>);

impl Chunk for Items {
    #[inline]
    fn len(&self) -> usize {
        self.0.first().map_or(0, |count| *count as usize)
    }
}

impl Items {
    #[inline]
    fn items(&self) -> &[u64] {
        match self.0.split_first() {
            Some((count, items)) => &items[..*count as usize],
            None => &[],
        }
    }

    fn push(&mut self, item: u64) {
        let count = self.len();
        if count + 1 < self.0.len() {
            let words = Arc::make_mut(&mut self.0);
            words[count + 1] = item;
            words[0] += 1;
        } else {
            *self = Items::of(self.items().iter().copied().chain([item]), count + 1);
        }
    }

    /// Makes a chunk of `count` items, in an allocation that fills its size class.
    fn of(items: impl Iterator<Item = u64>, count: usize) -> Items {
        let words = arc_len(8 * (count + 1)) / 8;
        let unused = std::iter::repeat_n(0, words - count - 1);
        Items([count as u64].into_iter().chain(items).chain(unused).collect())
    }

    #[inline]
    fn position(&self, item: u64) -> usize {
        self.items().iter().position(|other| *other == item).expect("each member in a leaf has an item in the index")
    }

    fn replace(&mut self, item: u64, by: u64) {
        let position = self.position(item);
        Arc::make_mut(&mut self.0)[1 + position] = by;
    }

    fn remove(&mut self, item: u64) {
        let (position, count) = (self.position(item), self.len());
        let words = Arc::make_mut(&mut self.0);
        words[1 + position] = words[count];
        words[0] -= 1;
        if count < words.len() / 2 {
            *self = Items::of(self.items().iter().copied(), count - 1);
        }
    }

    fn split(&mut self, bit: u64) -> Items {
        let part = |set: bool| self.items().iter().copied().filter(move |item| (item >> 32 & bit != 0) == set);
        let [kept, taken] = [false, true].map(|set| part(set).count());
        let taken = Items::of(part(true), taken);
        *self = Items::of(part(false), kept);
        taken
    }

    fn join(&mut self, other: Items) {
        let count = self.len() + other.len();
        *self = Items::of(self.items().iter().chain(other.items()).copied(), count);
    }
}
