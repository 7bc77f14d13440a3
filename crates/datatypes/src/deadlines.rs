//! The deadlines of some items, in order: what makes expiry exact without sampling. Those of the keys of a shard's database are kept so, and
//! those of the fields of a large hash.
//!
//! ```text
//!  63                     20 19       0
//! ┌─────────────────────────┬──────────┐     A deadline of 44 bits of milliseconds lasts until the year 2527; a later one is kept
//! │ milliseconds since 1970 │   tag    │     as the last of them, and the item's own expiry decides.
//! └─────────────────────────┴──────────┘
//! ```
//!
//! What a deadline is for it names by tag, some bits of its hash, not by address, so that it may move. The deadlines lie in sorted chunks of at most 128, a
//! B-tree of two levels: 8 bytes each, and no step moves more than one chunk and the row of chunks.

/// How many bits a tag has.
pub const TAG_BITS: u32 = 20;
const CHUNK_MAX: usize = 128;
const MILLISECONDS_MAX: u64 = (1 << (64 - TAG_BITS)) - 1;

/// See the module.
#[derive(Clone, Default)]
pub struct Deadlines {
    /// Sorted, and none of them empty.
    chunks: Vec<Vec<u64>>,
    len: usize,
}

fn item(expiry_ms: i64, tag: u32) -> u64 {
    (u64::try_from(expiry_ms).unwrap_or(0).min(MILLISECONDS_MAX) << TAG_BITS) | u64::from(tag)
}

impl Deadlines {
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The bytes on the heap.
    pub fn memory_usage(&self) -> usize {
        let chunks: usize = self.chunks.iter().map(|chunk| chunk.capacity() * size_of::<u64>()).sum();
        self.chunks.capacity() * size_of::<Vec<u64>>() + chunks
    }

    /// How many are due. It takes a step for every chunk that is due, and a few for the one that is partly.
    pub fn due(&self, now_ms: i64) -> usize {
        // None with a deadline before `now_ms`, whatever its tag, is larger.
        let bound = item(now_ms, 0);
        let whole = self.chunk_of(bound);
        let due: usize = self.chunks[..whole].iter().map(Vec::len).sum();
        due + self.chunks.get(whole).map_or(0, |chunk| chunk.partition_point(|&other| other < bound))
    }

    /// The earliest deadline, in milliseconds since 1970.
    pub fn first_ms(&self) -> Option<i64> {
        Some((self.chunks.first()?.first()? >> TAG_BITS) as i64)
    }

    /// About the sum of all deadlines, from one of each chunk: for averages that nobody needs to be exact.
    pub fn sum_ms(&self) -> i128 {
        self.chunks.iter().map(|chunk| i128::from(chunk[chunk.len() / 2] >> TAG_BITS) * chunk.len() as i128).sum()
    }

    /// The earliest of them, where it is due, and its tag.
    pub fn first_due(&self, now_ms: i64) -> Option<(i64, u32)> {
        let first = *self.chunks.first()?.first()?;
        let deadline_ms = (first >> TAG_BITS) as i64;
        (now_ms > deadline_ms).then_some((deadline_ms, (first & ((1 << TAG_BITS) - 1)) as u32))
    }

    /// Whether what has this expiry is what a deadline stands for.
    pub fn stands_for(deadline_ms: i64, expiry_ms: i64) -> bool {
        item(expiry_ms, 0) == item(deadline_ms, 0)
    }

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
                // A quarter more rather than twice as much: there is one of these for every shard.
                chunk.reserve_exact((chunk.len() / 4).max(2));
            }
            chunk.insert(position, item);
        } else if position == CHUNK_MAX && is_last {
            // Deadlines mostly come in order: a full last chunk stays full.
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

    /// Takes one away, which must be there.
    pub fn remove(&mut self, expiry_ms: i64, tag: u32) {
        let item = item(expiry_ms, tag);
        let at = self.chunk_of(item);
        let found = self.chunks.get(at).and_then(|chunk| chunk.binary_search(&item).ok());
        let Some(position) = found else {
            debug_assert!(false, "every expiry has its deadline");
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

    /// The first chunk that ends at the item or after it: where the item is, if it is.
    fn chunk_of(&self, item: u64) -> usize {
        self.chunks.partition_point(|chunk| *chunk.last().expect("no chunk is empty") < item)
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
            }
        }
    }

    #[test]
    fn those_that_are_due_are_counted() {
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
    fn a_deadline_beyond_the_clock_is_the_last() {
        let mut deadlines = Deadlines::default();
        deadlines.insert(i64::MAX, 7);
        deadlines.insert(5, 1);
        assert_eq!(deadlines.first_ms(), Some(5));
        assert_eq!(deadlines.first_due(5), None);
        assert_eq!(deadlines.first_due(6), Some((5, 1)));
        deadlines.remove(5, 1);
        assert!(Deadlines::stands_for(deadlines.first_ms().unwrap(), i64::MAX));
        deadlines.remove(i64::MAX, 7);
        assert_eq!(deadlines.first_ms(), None);
    }
}
