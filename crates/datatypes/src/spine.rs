//! The spine of large hashed collections: small chunks of items, found by the low bits of the items' hashes.
//!
//! ```text
//!                      pages, 256 chunks each             chunks, whatever their owner makes of them
//!  ┌─────────────┐     ┌────────┬────────┬────────┐       ┌───────────────────────────────┐
//!  │ page 0    ──┼───▶ │ 0    ──┼───▶    │ …      │   ──▶ │ items whose hash ends in 0…00 │
//!  │ page 1    ──┼─▶   └────────┴────────┴────────┘       └───────────────────────────────┘
//!  └─────────────┘
//! ```
//!
//! Growing is linear hashing: the new chunk is appended at the end and takes its items from one other, so that a step moves the items of
//! one chunk, never all. With n chunks, of which the largest power of two below is 2^b, the chunks before n − 2^b and from 2^b on hold
//! the hashes that end in their b + 1 bits, the rest those that end in their b bits. Shrinking is the same backwards.
//!
//! Pages and chunks are shared when the spine is cloned, and copied when one of the owners writes to them: a snapshot copies the upper
//! row of the picture, and a write after that one page's references and one chunk.
//!
//! A walk visits chunks in the order of their *positions*: the bits of the hash, reversed. A chunk holds all items of an interval of
//! positions, and growing and shrinking only halve and join neighbouring intervals; so a walk that goes on from a position after any
//! number of changes misses nothing that was there throughout.

use std::sync::{Arc, OnceLock};

use siphasher::sip::SipHasher13;

use crate::prefetch;

/// Chunks a page. What a write after a snapshot copies, and what growing moves at most.
const PAGE: usize = 256;
/// Cursors are positions without so many low bits: they stay below 2^53, which fits a double.
const CURSOR_SHIFT: u32 = 11;

/// The hash of items that clients choose: keyed at random, once a process, so that nobody can aim at one chunk, and safe when the order of a
/// walk is seen (SipHash-1-3).
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

/// A number below `bound`, of random bits: fair but for one part in 2^64 / `bound`.
#[inline]
pub fn below(bound: usize, random: u64) -> usize {
    ((u128::from(random) * bound as u128) >> 64) as usize
}

/// Some items whose hashes end in the same bits. Its clone shares what is large, and copies it when it is written to.
pub trait Chunk: Clone + Default {
    /// How many items it has.
    fn len(&self) -> usize;

    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// See the module's picture.
#[derive(Clone)]
pub struct Spine<C> {
    /// All of the same size but where there is only one, whose size is a power of two. What lies beyond `chunks` is empty.
    pages: Vec<Arc<[C]>>,
    chunks: usize,
    /// No chunk has more items than this: what the choice of a random item starts from.
    items_max: usize,
}

impl<C: Chunk> Default for Spine<C> {
    fn default() -> Spine<C> {
        Spine { pages: vec![Arc::from([C::default()])], chunks: 1, items_max: 0 }
    }
}

impl<C: Chunk> Spine<C> {
    /// How many chunks there are: one at least.
    pub fn chunks(&self) -> usize {
        self.chunks
    }

    /// The bytes of the pages; what chunks own is theirs to count.
    pub fn memory_usage(&self) -> usize {
        self.pages.capacity() * size_of::<Arc<[C]>>()
            + self.pages.iter().map(|page| 2 * size_of::<usize>() + size_of_val(&**page)).sum::<usize>()
    }

    /// Where the items of this hash are.
    #[inline]
    pub fn index(&self, hash: u64) -> usize {
        let mask = self.chunks.next_power_of_two() - 1;
        let index = hash as usize & mask;
        if index < self.chunks { index } else { index & (mask >> 1) }
    }

    #[inline]
    pub fn chunk(&self, index: usize) -> &C {
        assert!(index < self.chunks);
        &self.pages[index / PAGE][index % PAGE]
    }

    /// The chunk for the items of this hash.
    #[inline]
    pub fn get(&self, hash: u64) -> &C {
        self.chunk(self.index(hash))
    }

    /// Asks the processor for the chunk for the items of this hash, not for what it refers to.
    #[inline]
    pub fn prefetch(&self, hash: u64) {
        prefetch::read(self.get(hash));
    }

    /// The chunks that may have items of the hashes of another spine's chunk, each once.
    pub fn counterparts<D: Chunk>(&self, other: &Spine<D>, index: usize) -> impl Iterator<Item = &C> {
        let bits = other.bits(index);
        let parts = self.chunks.next_power_of_two() >> bits;
        let indices = if parts <= 1 { self.index(index as u64)..self.index(index as u64) + 1 } else { 0..parts };
        let index_of = move |part: usize| if parts <= 1 { part } else { index | part << bits };
        indices.map(index_of).filter(|&index| index < self.chunks).map(|index| self.chunk(index))
    }

    /// Changes one chunk.
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

    /// Appends a chunk: `split` takes the items whose hash has the bit set out of the chunk that it is given, and returns them.
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

    /// Takes the last chunk away: `join` puts its items, the second argument, into the first. There must be more than one.
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

    /// All chunks, in no order that lasts.
    pub fn iter(&self) -> impl Iterator<Item = &C> {
        self.pages.iter().flat_map(|page| page.iter()).take(self.chunks)
    }

    /// Visits chunks from a cursor on, zero for the start, while `visit` says to go on. The cursor to go on from, which is zero after the
    /// last chunk.
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

    /// How many bits the hashes in a chunk share.
    fn bits(&self, index: usize) -> u32 {
        let whole = self.chunks.next_power_of_two();
        let half = whole / 2;
        let is_split = index >= half || index < self.chunks - half;
        let bits = if is_split { whole.ilog2() } else { half.ilog2() };
        assert!(bits < 64 - CURSOR_SHIFT, "so many chunks fit no memory");
        bits
    }

    /// The chunk and the number of one item, each with the same chance. There must be one.
    ///
    /// A chunk is drawn, and a number below what the fullest chunk has: where the chunk has fewer items, both are drawn again. So it takes
    /// as many draws as the fullest chunk has more than the average, and reads the lengths only.
    pub fn random(&self, random: &mut impl FnMut() -> u64) -> (usize, usize) {
        debug_assert!(self.items_max > 0, "there is an item");
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
    fn a_walk_misses_nothing_that_stays() {
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
        // 2000 each, with a standard deviation of 44.
        assert!(drawn.values().all(|count| (1750..2250).contains(count)), "{drawn:?}");
    }
}
