//! Prefetching: a batch asks for the memory of all its keys, and of the elements that it names, before it looks at the first.
//!
//! An element of a large collection lies behind several addresses, each of which is read from what the one before leads to. Whoever wants
//! to have many of them goes all their ways at once ([`Approach`]): what one step asked for has arrived when the next reads it, for the
//! steps on the other ways lie between.

use crate::{table, tree};

/// The bytes of a cache line.
pub const LINE: usize = 64;

/// Asks for the cache line of a value.
#[inline(always)]
pub fn read<T>(value: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch of any address has no effect but on the caches; SSE is part of x86-64.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(value.cast::<i8>())
    };
    #[cfg(not(target_arch = "x86_64"))]
    let _ = value;
}

/// Asks for so many cache lines from an address on.
#[inline(always)]
pub fn read_lines(address: *const u8, lines: usize) {
    for line in 0..lines {
        read(address.wrapping_add(line * LINE));
    }
}

/// The way to an element of a large collection.
pub enum Approach<'a> {
    Table(table::Approach<'a>),
    Tree(tree::Approach<'a>),
}

/// Goes all these ways to their ends, a step on each at a time. Their order is lost.
pub fn go(ways: &mut [Approach<'_>]) {
    let mut left = ways.len();
    while left > 0 {
        let mut way = 0;
        while way < left {
            if ways[way].step() {
                way += 1;
            } else {
                left -= 1;
                ways.swap(way, left);
            }
        }
    }
}

impl Approach<'_> {
    /// Asks the processor for what lies next on the way. Whether there is more.
    #[inline]
    fn step(&mut self) -> bool {
        match self {
            Approach::Table(approach) => approach.step(),
            Approach::Tree(approach) => approach.step(),
        }
    }
}
