//! Expiry times in order, so that whatever is due is found without sampling. Each database of a shard keeps those of its keys, and a large
//! hash keeps those of its fields.
//!
//! ```text
//!  63                     20 19       0
//! ┌─────────────────────────┬──────────┐     44 bits of milliseconds last until the year 2527. A later deadline
//! │ milliseconds since 1970 │   tag    │     is kept as the greatest one, and the expiry of its owner decides.
//! └─────────────────────────┴──────────┘
//! ```
//!
//! A deadline refers to its owner, a key or a field, by *tag*, which is some bits of the owner's hash. It holds no address, so that the
//! owner may move. The deadlines lie in sorted chunks of at most 128, like a B-tree of two levels. A deadline takes 8 bytes, and no step
//! moves more than one chunk and the list of chunks.

/// The number of bits of a tag.
pub const TAG_BITS: u32 = 20;
/// The most deadlines of a chunk.
const CHUNK_MAX: usize = 128;
/// The greatest time that a deadline can hold.
const MILLISECONDS_MAX: u64 = (1 << (64 - TAG_BITS)) - 1;

/// Deadlines, in order; see the module's picture. The same deadline may be there several times.
#[derive(Clone, Default)]
pub struct Deadlines {
    /// The chunks are sorted, and none is empty.
    chunks: Vec<Vec<u64>>,
    len: usize,
}

/// Returns a deadline as it lies in a chunk. A time before 1970 counts as 1970.
fn item(expiry_ms: i64, tag: u32) -> u64 {
    (u64::try_from(expiry_ms).unwrap_or(0).min(MILLISECONDS_MAX) << TAG_BITS) | u64::from(tag)
}

impl Deadlines {
    /// Returns the number of deadlines.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns whether there are no deadlines.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns the bytes on the heap.
    pub fn memory_usage(&self) -> usize {
        let chunks: usize = self.chunks.iter().map(|chunk| chunk.capacity() * size_of::<u64>()).sum();
        self.chunks.capacity() * size_of::<Vec<u64>>() + chunks
    }

    /// Returns the number of deadlines before `now_ms`. It takes one step for each chunk that is due as a whole, and a binary search in the
    /// next one.
    pub fn due(&self, now_ms: i64) -> usize {
        // Every deadline before `now_ms` is smaller than this, whatever its tag.
        let bound = item(now_ms, 0);
        let whole = self.chunk_of(bound);
        let due: usize = self.chunks[..whole].iter().map(Vec::len).sum();
        due + self.chunks.get(whole).map_or(0, |chunk| chunk.partition_point(|&other| other < bound))
    }

    /// Returns the earliest deadline, in milliseconds since 1970.
    pub fn first_ms(&self) -> Option<i64> {
        Some((self.chunks.first()?.first()? >> TAG_BITS) as i64)
    }

    /// Returns a deadline by its place in the order, counted from 0: milliseconds since 1970, and its tag. It takes one step for each chunk
    /// before it.
    pub fn get(&self, mut index: usize) -> Option<(i64, u32)> {
        for chunk in &self.chunks {
            if let Some(&item) = chunk.get(index) {
                return Some(((item >> TAG_BITS) as i64, (item & ((1 << TAG_BITS) - 1)) as u32));
            }
            index -= chunk.len();
        }
        None
    }

    /// Returns the earliest deadline, in milliseconds since 1970, and its tag, if it is before `now_ms`.
    pub fn first_due(&self, now_ms: i64) -> Option<(i64, u32)> {
        self.get(0).filter(|&(deadline_ms, _)| now_ms > deadline_ms)
    }

    /// Returns whether a deadline may be that of an owner with this expiry: they are the same, or both are later than a deadline can hold.
    pub fn stands_for(deadline_ms: i64, expiry_ms: i64) -> bool {
        item(expiry_ms, 0) == item(deadline_ms, 0)
    }

    /// Inserts a deadline.
    pub fn insert(&mut self, expiry_ms: i64, tag: u32) {
        let item = item(expiry_ms, tag);
        self.len += 1;
        let at = self.chunk_of(item).min(self.chunks.len().saturating_sub(1));
        let is_last = at + 1 == self.chunks.len();
        let Some(chunk) = self.chunks.get_mut(at) else {
            self.chunks.push(vec![item]);
            return;
        };
        let position = chunk.partition_point(|&other| other < item);
        if chunk.len() < CHUNK_MAX {
            if chunk.len() == chunk.capacity() {
                // A quarter more rather than twice as much, since each of thousands of shards has such a chunk.
                chunk.reserve_exact((chunk.len() / 4).max(2));
            }
            chunk.insert(position, item);
        } else if position == CHUNK_MAX && is_last {
            // Deadlines mostly come in order, so that a full last chunk is not split.
            self.chunks.push(vec![item]);
        } else {
            let mut high = chunk.split_off(CHUNK_MAX / 2);
            chunk.shrink_to_fit();
            if position <= CHUNK_MAX / 2 {
                chunk.insert(position, item);
            } else {
                high.insert(position - CHUNK_MAX / 2, item);
            }
            self.chunks.insert(at + 1, high);
        }
    }

    /// Removes a deadline, which must be there.
    pub fn remove(&mut self, expiry_ms: i64, tag: u32) {
        let item = item(expiry_ms, tag);
        let at = self.chunk_of(item);
        let found = self.chunks.get(at).and_then(|chunk| chunk.binary_search(&item).ok());
        let Some(position) = found else {
            debug_assert!(false, "the deadline of an expiry is missing");
            return;
        };
        self.chunks[at].remove(position);
        self.len -= 1;
        if self.chunks[at].is_empty() {
            self.chunks.remove(at);
        } else if self.chunks[at].capacity() > 16 && self.chunks[at].len() < self.chunks[at].capacity() / 4 {
            self.chunks[at].shrink_to_fit();
        }
    }

    /// Returns the index of the first chunk that ends at the item or after it. If the item is there, it is in this chunk.
    fn chunk_of(&self, item: u64) -> usize {
        self.chunks.partition_point(|chunk| *chunk.last().expect("a chunk is empty") < item)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn holds_what_a_sorted_vector_holds(steps in prop::collection::vec((any::<bool>(), 0i64..300, 0u32..4), 1..2000)) {
            let mut deadlines = Deadlines::default();
            let mut model: Vec<u64> = Vec::new();
            for (add, expiry_ms, tag) in steps {
                let wanted = item(expiry_ms, tag);
                if add || model.binary_search(&wanted).is_err() {
                    deadlines.insert(expiry_ms, tag);
                    model.insert(model.partition_point(|&other| other < wanted), wanted);
                } else {
                    deadlines.remove(expiry_ms, tag);
                    model.remove(model.binary_search(&wanted).unwrap());
                }
                prop_assert_eq!(deadlines.chunks.concat(), model.clone());
                prop_assert_eq!(deadlines.len(), model.len());
                prop_assert!(deadlines.chunks.iter().all(|chunk| !chunk.is_empty() && chunk.len() <= CHUNK_MAX));
                prop_assert_eq!(deadlines.is_empty(), model.is_empty());
                let first = model.first().map(|first| ((first >> TAG_BITS) as i64, (first & 0xf_ffff) as u32));
                let index = expiry_ms as usize;
                let at = model.get(index).map(|item| ((item >> TAG_BITS) as i64, (item & 0xf_ffff) as u32));
                prop_assert_eq!(deadlines.get(index), at);
                prop_assert_eq!(deadlines.first_ms(), first.map(|(first_ms, _)| first_ms));
                for now_ms in [0, expiry_ms, expiry_ms + 1, 300] {
                    prop_assert_eq!(deadlines.first_due(now_ms), first.filter(|(first_ms, _)| *first_ms < now_ms));
                    let due = model.iter().filter(|item| ((**item >> TAG_BITS) as i64) < now_ms).count();
                    prop_assert_eq!(deadlines.due(now_ms), due);
                }
            }
        }
    }

    #[test]
    fn due_deadlines_are_counted() {
        let mut deadlines = Deadlines::default();
        for number in 0..1000 {
            deadlines.insert(number / 3, number as u32 % 7);
        }
        for now_ms in [-1, 0, 1, 2, 100, 333, 334, 1000] {
            let expected = (0..1000).filter(|number| number / 3 < now_ms).count();
            assert_eq!(deadlines.due(now_ms), expected, "at {now_ms}");
        }
    }

    #[test]
    fn chunks_take_little_more_than_their_deadlines() {
        let mut deadlines = Deadlines::default();
        for number in 0..10 * CHUNK_MAX as i64 {
            deadlines.insert(number, 0);
            let last = deadlines.chunks.last().expect("there is a chunk");
            assert!(
                last.capacity() <= (last.len() * 5 / 4).max(last.len() + 2),
                "{} of {}",
                last.len(),
                last.capacity()
            );
        }
        assert!(deadlines.chunks.iter().all(|chunk| chunk.len() == CHUNK_MAX), "what comes in order fills the chunks");
        deadlines.insert(0, 1);
        for number in 0..10 * CHUNK_MAX as i64 {
            deadlines.remove(number, 0);
            let is_shrunk = |chunk: &Vec<u64>| chunk.capacity() <= 16 || chunk.len() >= chunk.capacity() / 4;
            assert!(deadlines.chunks.iter().all(is_shrunk), "after {number}");
        }
        assert_eq!(deadlines.len(), 1);
    }

    #[test]
    fn a_time_that_is_too_great_is_the_last_deadline() {
        let mut deadlines = Deadlines::default();
        deadlines.insert(i64::MAX, 7);
        deadlines.insert(5, 1);
        deadlines.insert(i64::MIN, 3);
        assert_eq!(deadlines.first_due(1), Some((0, 3)), "a time before 1970 counts as 1970");
        deadlines.remove(-1, 3);
        assert_eq!(deadlines.first_ms(), Some(5));
        assert_eq!(deadlines.first_due(5), None);
        assert_eq!(deadlines.first_due(6), Some((5, 1)));
        deadlines.remove(5, 1);
        let last_ms = deadlines.first_ms().unwrap();
        assert_eq!(last_ms, (1 << 44) - 1);
        for (expiry_ms, expected) in [(i64::MAX, true), (last_ms + 1, true), (last_ms, true), (last_ms - 1, false)] {
            assert_eq!(Deadlines::stands_for(last_ms, expiry_ms), expected);
        }
        deadlines.remove(i64::MAX, 7);
        assert_eq!(deadlines.first_ms(), None);
    }
}
