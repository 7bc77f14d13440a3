//! Prefetching elements of large collections.
//!
//! An element of a large collection lies behind several pointers, each of which is read from the memory that the one before it leads to. One
//! lookup therefore waits for several cache misses in a row. [`ElementPrefetch::run_all`] advances many lookups in turn, one pointer each:
//! by the time a lookup's turn comes again, the line that it asked for has arrived.

use crate::{hashtable, tree};

/// A lookup of one element that only prefetches: each step asks for the next cache line on the way to the element.
pub enum ElementPrefetch<'a> {
    /// A member of a set, or a field of a hash.
    Table(hashtable::LookupPrefetch<'a>),
    /// A member of a sorted set.
    Tree(tree::LookupPrefetch<'a>),
}

impl ElementPrefetch<'_> {
    /// Runs all `lookups` to their ends, one step of each in turn. Their order is not kept.
    pub fn run_all(lookups: &mut [ElementPrefetch<'_>]) {
        let mut left = lookups.len();
        while left > 0 {
            let mut at = 0;
            while at < left {
                if lookups[at].step() {
                    at += 1;
                } else {
                    left -= 1;
                    lookups.swap(at, left);
                }
            }
        }
    }

    /// Prefetches the next line. Returns whether there is another step.
    #[inline]
    fn step(&mut self) -> bool {
        match self {
            ElementPrefetch::Table(lookup) => lookup.step(),
            ElementPrefetch::Tree(lookup) => lookup.step(),
        }
    }
}
