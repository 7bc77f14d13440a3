//! The spine of large hashed collections: linear hashing of small chunks. The low bits of an item's hash say in which chunk it lies.
//!
//! ```text
//!                      pages, 256 chunks each             chunks, whose form is their owner's choice
//!  ┌─────────────┐     ┌────────┬────────┬────────┐       ┌───────────────────────────────┐
//!  │ page 0    ──┼───▶ │ 0    ──┼───▶    │ …      │   ──▶ │ items whose hash ends in 0…00 │
//!  │ page 1    ──┼─▶   └────────┴────────┴────────┘       └───────────────────────────────┘
//!  └─────────────┘
//! ```
//!
//! To grow, a chunk is appended that takes its items from one other chunk. So a step moves the items of one chunk, never all items. With n
//! chunks, let 2^b be the largest power of two that is not above n. The chunks below n − 2^b and those from 2^b on hold the hashes that end
//! in the b + 1 bits of the chunk's number; the other chunks hold the hashes that end in the b bits of theirs. Shrinking is the same
//! backwards.
//!
//! Pages and chunks are shared when the spine is cloned, and copied when one of the owners writes to them. A clone copies the list of
//! pages. A write after that copies one page, whose chunks still share what is large, and then one chunk.
//!
//! A walk visits the chunks in the order of their *positions*, which are the bits of the hash in reverse. A chunk holds all items of an
//! interval of positions. Growing halves an interval, and shrinking joins two neighbours. So a walk that continues from a position misses
//! no item that was there throughout, however the spine changed between the steps.

use std::sync::{Arc, OnceLock};

use siphasher::sip::SipHasher13;

use crate::{
    allocation::{ARC_HEADER, size_class},
    prefetch,
};

/// The number of chunks in a page: the most that a write after a clone copies, and the most that growing moves.
const PAGE: usize = 256;
/// A cursor is a position without its lowest 11 bits, so that it stays below 2^53 and fits a double.
const CURSOR_SHIFT: u32 = 11;

/// Hashes the bytes of an item with SipHash-1-3, under a key that is drawn at random once a process. Clients choose the items and see the
/// order of a walk; even so they cannot fill one chunk on purpose.
#[inline]
pub fn hash(bytes: &[u8]) -> u64 {
    static KEY: OnceLock<(u64, u64)> = OnceLock::new();
    let key = KEY.get_or_init(|| {
        use std::hash::{BuildHasher, RandomState};
        let system = RandomState::new();
        (system.hash_one(0), system.hash_one(1))
    });
    SipHasher13::new_with_keys(key.0, key.1).hash(bytes)
}

/// Maps 64 random bits to a number below `bound`. The numbers' probabilities differ by less than `bound` / 2^64 of each.
#[inline]
pub fn below(bound: usize, random: u64) -> usize {
    ((u128::from(random) * bound as u128) >> 64) as usize
}

/// The items whose hashes end in the same bits. The default is an empty chunk. A clone should share what is large, and copy it when it is
/// written to.
pub trait Chunk: Clone + Default {
    /// Returns the number of items.
    fn len(&self) -> usize;

    /// Returns whether there are no items.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A growing list of chunks, indexed by hash; see the module's picture. The default has one empty chunk.
#[derive(Clone)]
pub struct Spine<C> {
    /// Each page has [`PAGE`] chunks, except that a single page has a power of two of them. The chunks from `chunks` on are empty.
    pages: Vec<Arc<[C]>>,
    chunks: usize,
    /// No chunk ever had more items than this. [`Spine::random`] draws below it.
    items_max: usize,
}

impl<C: Chunk> Default for Spine<C> {
    fn default() -> Spine<C> {
        Spine { pages: vec![Arc::from([C::default()])], chunks: 1, items_max: 0 }
    }
}

impl<C: Chunk> Spine<C> {
    /// Returns the number of chunks, which is at least one.
    pub fn chunks(&self) -> usize {
        self.chunks
    }

    /// Returns the bytes of the pages. What a chunk owns is for the chunk to count.
    pub fn memory_usage(&self) -> usize {
        size_class(self.pages.capacity() * size_of::<Arc<[C]>>())
            + self.pages.iter().map(|page| size_class(ARC_HEADER + size_of_val(&**page))).sum::<usize>()
    }

    /// Returns the index of the chunk for the items of this hash.
    #[inline]
    pub fn index(&self, hash: u64) -> usize {
        let mask = self.chunks.next_power_of_two() - 1;
        let index = hash as usize & mask;
        if index < self.chunks { index } else { index & (mask >> 1) }
    }

    /// Returns a chunk by its index.
    ///
    /// # Panics
    /// If there is no chunk of this index.
    #[inline]
    pub fn chunk(&self, index: usize) -> &C {
        assert!(index < self.chunks);
        &self.pages[index / PAGE][index % PAGE]
    }

    /// Returns the chunk for the items of this hash.
    #[inline]
    pub fn get(&self, hash: u64) -> &C {
        self.chunk(self.index(hash))
    }

    /// Prefetches the chunk for the items of this hash, but not the memory that the chunk refers to.
    #[inline]
    pub fn prefetch(&self, hash: u64) {
        prefetch::read(self.get(hash));
    }

    /// Returns the chunks that may have items with the hashes of the chunk at `index` of another spine, each chunk once.
    pub fn counterparts<D: Chunk>(&self, other: &Spine<D>, index: usize) -> impl Iterator<Item = &C> {
        let bits = other.bits(index);
        let parts = self.chunks.next_power_of_two() >> bits;
        let indices = if parts <= 1 { self.index(index as u64)..self.index(index as u64) + 1 } else { 0..parts };
        let index_of = move |part: usize| if parts <= 1 { part } else { index | part << bits };
        indices.map(index_of).filter(|&index| index < self.chunks).map(|index| self.chunk(index))
    }

    /// Edits one chunk, and returns what `change` returns.
    #[inline]
    pub fn edit<R>(&mut self, index: usize, change: impl FnOnce(&mut C) -> R) -> R {
        let chunk = self.chunk_mut(index);
        let result = change(chunk);
        let items = chunk.len();
        self.items_max = self.items_max.max(items);
        result
    }

    #[inline]
    fn chunk_mut(&mut self, index: usize) -> &mut C {
        assert!(index < self.chunks);
        &mut Arc::make_mut(&mut self.pages[index / PAGE])[index % PAGE]
    }

    /// Appends a chunk. `split` is given one of the present chunks and a bit: it removes the items whose hashes have the bit set, and
    /// returns them as the new chunk.
    pub fn grow(&mut self, split: impl FnOnce(&mut C, u64) -> C) {
        let index = self.chunks;
        let bit = 1 << index.ilog2();
        let appended = split(self.chunk_mut(index - bit), bit as u64);
        self.make_room();
        self.chunks += 1;
        self.edit(index, |chunk| *chunk = appended);
    }

    fn make_room(&mut self) {
        let first = self.pages[0].len();
        if self.chunks < first {
            return;
        }
        if first < PAGE {
            self.resize_first(first * 2);
        } else if self.chunks == self.pages.len() * PAGE {
            self.pages.push(std::iter::repeat_with(C::default).take(PAGE).collect());
        }
    }

    fn resize_first(&mut self, size: usize) {
        let page = Arc::make_mut(&mut self.pages[0]);
        let kept = page.len().min(size);
        let resized = page[..kept].iter_mut().map(std::mem::take).chain(std::iter::repeat_with(C::default));
        self.pages[0] = resized.take(size).collect();
    }

    /// Removes the last chunk. `join` moves the items of its second argument, the last chunk, into its first. There must be at least two
    /// chunks.
    pub fn shrink(&mut self, join: impl FnOnce(&mut C, C)) {
        let index = self.chunks - 1;
        let last = std::mem::take(self.chunk_mut(index));
        let bit = 1 << index.ilog2();
        self.edit(index - bit, |chunk| join(chunk, last));
        self.chunks = index;
        if index == (self.pages.len() - 1) * PAGE {
            self.pages.pop();
        }
        if self.pages.len() == 1 && self.pages[0].len() > 2 && index <= self.pages[0].len() / 4 {
            self.resize_first(index.next_power_of_two());
        }
    }

    /// Returns all chunks, in the order of their indices.
    pub fn iter(&self) -> impl Iterator<Item = &C> {
        self.pages.iter().flat_map(|page| page.iter()).take(self.chunks)
    }

    /// Visits chunks from a cursor on, until `visit` returns false or the last chunk was visited. Zero is the cursor of the start. Returns
    /// the cursor to continue from, which is zero after the last chunk and below 2^53 always.
    pub fn walk<'a>(&'a self, cursor: u64, mut visit: impl FnMut(&'a C) -> bool) -> u64 {
        let mut position = cursor << CURSOR_SHIFT;
        loop {
            let index = self.index(position.reverse_bits());
            let goes_on = visit(self.chunk(index));
            let bits = self.bits(index);
            if bits == 0 {
                return 0;
            }
            let width = 1u64 << (64 - bits);
            let Some(next) = (position & !(width - 1)).checked_add(width) else { return 0 };
            position = next;
            if !goes_on {
                return position >> CURSOR_SHIFT;
            }
        }
    }

    /// Returns how many low bits the hashes of a chunk have in common.
    fn bits(&self, index: usize) -> u32 {
        let whole = self.chunks.next_power_of_two();
        let half = whole / 2;
        let is_split = index >= half || index < self.chunks - half;
        let bits = if is_split { whole.ilog2() } else { half.ilog2() };
        assert!(bits < 64 - CURSOR_SHIFT, "2^53 chunks fit no memory");
        bits
    }

    /// Draws a random item, each with the same probability. Returns the index of its chunk and its number in the chunk. There must be an
    /// item.
    ///
    /// It draws a chunk, and a number below the length of the fullest chunk; if the chunk has no item of that number, it draws both again.
    /// The expected number of draws is the length of the fullest chunk divided by the average length. Only lengths are read.
    pub fn random(&self, random: &mut impl FnMut() -> u64) -> (usize, usize) {
        debug_assert!(self.items_max > 0, "the spine has no item to draw");
        loop {
            let chunk = below(self.chunks, random());
            let item = below(self.items_max, random());
            if item < self.chunk(chunk).len() {
                return (chunk, item);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Chunk for Vec<u64> {
        fn len(&self) -> usize {
            Vec::len(self)
        }
    }

    fn insert(spine: &mut Spine<Vec<u64>>, hash: u64) {
        spine.edit(spine.index(hash), |chunk| chunk.push(hash));
    }

    fn grow(spine: &mut Spine<Vec<u64>>) {
        spine.grow(|chunk, bit| chunk.extract_if(.., |hash| *hash & bit != 0).collect());
    }

    fn shrink(spine: &mut Spine<Vec<u64>>) {
        spine.shrink(|chunk, mut last| chunk.append(&mut last));
    }

    fn check(spine: &Spine<Vec<u64>>, hashes: &[u64]) {
        for hash in hashes {
            assert!(spine.get(*hash).contains(hash), "{hash:x} with {} chunks", spine.chunks());
        }
        assert_eq!(spine.iter().map(Vec::len).sum::<usize>(), hashes.len());
        assert_eq!(spine.iter().count(), spine.chunks());
        // There is room for a further page at most, and in a single page for four times the chunks.
        assert_eq!(spine.pages.len(), spine.chunks().div_ceil(PAGE));
        let first = spine.pages[0].len();
        assert!(
            first.is_power_of_two() && first <= PAGE && (first <= 2 || first < 4 * spine.chunks()),
            "{first} chunks"
        );
    }

    #[test]
    fn counterparts_are_the_chunks_with_the_same_hashes() {
        let spines: Vec<Spine<Vec<u64>>> = (0..40)
            .map(|grown| {
                let mut spine = Spine::default();
                (0..64).for_each(|hash| insert(&mut spine, hash));
                (0..grown).for_each(|_| grow(&mut spine));
                spine
            })
            .collect();
        for (spine, other) in spines.iter().flat_map(|spine| spines.iter().map(move |other| (spine, other))) {
            for (index, chunk) in other.iter().enumerate() {
                let mut found: Vec<*const Vec<u64>> =
                    spine.counterparts(other, index).map(std::ptr::from_ref).collect();
                found.sort();
                let mut expected: Vec<_> = chunk.iter().map(|hash| std::ptr::from_ref(spine.get(*hash))).collect();
                expected.sort();
                expected.dedup();
                assert_eq!(found, expected, "{} chunks, and chunk {index} of {}", spine.chunks(), other.chunks());
            }
        }
    }

    #[test]
    fn hashes_spread_and_bounds_hold() {
        assert_eq!([0, u64::MAX / 2, u64::MAX / 2 + 1, u64::MAX].map(|random| below(10, random)), [0, 4, 5, 9]);
        let hashes: std::collections::HashSet<u64> = (0..1000u64).map(|n| hash(&n.to_le_bytes())).collect();
        assert_eq!(hashes.len(), 1000);
        assert_eq!(hash(b"a"), hash(b"a"));
    }

    #[test]
    fn items_are_found_at_any_size() {
        let hashes: Vec<u64> = (0..3000u64).map(|n| hash(&n.to_le_bytes())).collect();
        let mut spine = Spine::default();
        hashes.iter().for_each(|&hash| insert(&mut spine, hash));
        for _ in 0..1200 {
            grow(&mut spine);
            if spine.chunks().is_multiple_of(37) {
                check(&spine, &hashes);
            }
        }
        let frozen = spine.clone();
        while spine.chunks() > 1 {
            shrink(&mut spine);
            if spine.chunks().is_multiple_of(37) {
                check(&spine, &hashes);
            }
        }
        check(&spine, &hashes);
        check(&frozen, &hashes);
        assert_eq!(frozen.chunks(), 1201);
    }

    #[test]
    fn a_walk_misses_no_item_that_stays() {
        let hashes: Vec<u64> = (0..2000u64).map(|n| hash(&n.to_le_bytes())).collect();
        for pattern in 0..4 {
            let mut spine = Spine::default();
            hashes.iter().for_each(|&hash| insert(&mut spine, hash));
            (0..300).for_each(|_| grow(&mut spine));
            let mut seen = std::collections::HashSet::new();
            let (mut cursor, mut step) = (0, 0);
            loop {
                cursor = spine.walk(cursor, |chunk| {
                    seen.extend(chunk.iter().copied());
                    false
                });
                assert!(cursor < 1 << 53);
                if cursor == 0 {
                    break;
                }
                step += 1;
                match pattern {
                    0 => grow(&mut spine),
                    1 if spine.chunks() > 1 => shrink(&mut spine),
                    2 if step % 50 < 25 => (0..7).for_each(|_| grow(&mut spine)),
                    2 => (0..7).for_each(|_| shrink(&mut spine)),
                    _ => {}
                }
            }
            assert_eq!(seen.len(), hashes.len(), "pattern {pattern}");
        }
    }

    #[test]
    fn random_items_are_fair() {
        let mut spine = Spine::default();
        let hashes: Vec<u64> = (0..50u64).map(|n| hash(&n.to_le_bytes())).collect();
        hashes.iter().for_each(|&hash| insert(&mut spine, hash));
        (0..20).for_each(|_| grow(&mut spine));
        let mut counter = 0u64;
        let mut random = || {
            counter += 1;
            hash(&counter.to_be_bytes())
        };
        let mut drawn = std::collections::HashMap::new();
        for _ in 0..100_000 {
            let (chunk, item) = spine.random(&mut random);
            *drawn.entry(spine.chunk(chunk)[item]).or_insert(0) += 1;
        }
        assert_eq!(drawn.len(), 50);
        // 2000 draws of each are expected, with a standard deviation of 44.
        assert!(drawn.values().all(|count| (1750..2250).contains(count)), "{drawn:?}");
    }
}
