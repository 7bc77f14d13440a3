//! Which blocks of the allocator lie in pages that hold little, and how to move them to fuller ones.
//!
//! The allocator (jemalloc) cuts pages into slabs of equal blocks. A slab is given back only when all its blocks are free. A new block comes from
//! the oldest slab that is not full, unless the thread's cache has one. So a block that is allocated and freed past the cache moves toward
//! the older slabs, and the younger ones become empty.

use std::{
    alloc::Layout,
    ffi::{CStr, c_void},
    ptr::{self, NonNull},
};

use ochre_keyspace::Relocator;
use tikv_jemalloc_sys::{MALLOCX_ALIGN, MALLOCX_TCACHE_NONE, mallctlbymib, mallctlnametomib, mallocx, sdallocx};

/// A block is moved if at least this share of its slab is free.
const FREE_SHARE_MIN: f64 = 1.0 / 8.0;

/// What the allocator tells of the slab that a block lies in. (jemalloc: `inspect_extent_util_stats_t`)
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Utilization {
    /// The free blocks of the slab.
    free: usize,
    /// All blocks of the slab; 1 for a block that is no slab's.
    blocks: usize,
    /// The size of the slab in bytes.
    size: usize,
}

/// Moves blocks out of slabs that hold little.
pub struct SparseBlocks {
    /// The number under which the allocator knows the query; `None` if it knows none.
    query: Option<[usize; 3]>,
    /// The answers to the last query.
    answers: Vec<Utilization>,
}

impl SparseBlocks {
    /// Asks the allocator whether it can tell how full slabs are.
    pub fn new() -> SparseBlocks {
        const QUERY: &CStr = c"experimental.utilization.batch_query";
        let (mut number, mut len) = ([0; 3], 3);
        // SAFETY: the name ends with a zero, and the number has room for `len` words.
        let result = unsafe { mallctlnametomib(QUERY.as_ptr(), number.as_mut_ptr(), &raw mut len) };
        SparseBlocks { query: (result == 0 && len == 3).then_some(number), answers: Vec::new() }
    }
}

impl Default for SparseBlocks {
    fn default() -> SparseBlocks {
        SparseBlocks::new()
    }
}

// SAFETY: `allocate` returns a new block of the allocator that is the global one, with at least the size and the alignment of the layout.
unsafe impl Relocator for SparseBlocks {
    fn choose(&mut self, blocks: &[NonNull<u8>], choose: &mut dyn FnMut(usize)) {
        let Some(query) = &self.query else { return };
        self.answers.clear();
        self.answers.resize(blocks.len(), Utilization::default());
        let mut answers_len = size_of_val(&*self.answers);
        // SAFETY: the allocator reads the addresses, which it does not write to, and writes an answer for each.
        let result = unsafe {
            mallctlbymib(
                query.as_ptr(),
                query.len(),
                self.answers.as_mut_ptr().cast::<c_void>(),
                &raw mut answers_len,
                blocks.as_ptr().cast::<c_void>().cast_mut(),
                size_of_val(blocks),
            )
        };
        if result != 0 {
            return;
        }
        for (index, slab) in self.answers.iter().enumerate() {
            if slab.blocks > 1 && slab.free as f64 >= slab.blocks as f64 * FREE_SHARE_MIN {
                choose(index);
            }
        }
    }

    fn allocate(&mut self, layout: Layout) -> Option<NonNull<u8>> {
        // SAFETY: the size of an entry is not zero.
        let block = unsafe { mallocx(layout.size(), MALLOCX_TCACHE_NONE | MALLOCX_ALIGN(layout.align())) };
        NonNull::new(block.cast())
    }

    unsafe fn free(&mut self, block: NonNull<u8>, layout: Layout) {
        let flags = MALLOCX_TCACHE_NONE | MALLOCX_ALIGN(layout.align());
        // SAFETY: by the caller's promise; the global allocator is this one, and frees with the same size and alignment.
        unsafe { sdallocx(block.as_ptr().cast(), layout.size(), flags) };
    }
}

/// Frees what the calling thread's cache holds, so that it does not keep slabs from becoming empty.
pub fn flush_cache() {
    const FLUSH: &CStr = c"thread.tcache.flush";
    // SAFETY: the name ends with a zero, and the call reads and writes nothing. It fails only if the thread has no cache.
    unsafe { tikv_jemalloc_sys::mallctl(FLUSH.as_ptr(), ptr::null_mut(), ptr::null_mut(), ptr::null_mut(), 0) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_of_sparse_slabs_are_chosen_and_those_of_full_ones_are_not() {
        const LAYOUT: Layout = match Layout::from_size_align(192, 16) {
            Ok(layout) => layout,
            Err(_) => unreachable!(),
        };
        let mut sparse = SparseBlocks::new();
        let chosen = |sparse: &mut SparseBlocks, blocks: &[NonNull<u8>]| {
            let mut count = 0;
            sparse.choose(blocks, &mut |_| count += 1);
            count
        };
        let mut blocks: Vec<_> = (0..20_000).map(|_| sparse.allocate(LAYOUT).unwrap()).collect();
        assert!(chosen(&mut sparse, &blocks) < 500, "slabs that were just filled are full");
        let kept: Vec<_> = blocks.iter().copied().step_by(5).collect();
        blocks.retain(|block| kept.binary_search(block).is_err() && !kept.contains(block));
        for block in blocks {
            // SAFETY: it was allocated above with this layout, and is not used any more.
            unsafe { sparse.free(block, LAYOUT) };
        }
        assert!(chosen(&mut sparse, &kept) > kept.len() * 9 / 10);
        let mut moved = Vec::new();
        for block in kept {
            let mut is_sparse = false;
            sparse.choose(&[block], &mut |_| is_sparse = true);
            if is_sparse {
                moved.push(sparse.allocate(LAYOUT).unwrap());
                // SAFETY: as above.
                unsafe { sparse.free(block, LAYOUT) };
            } else {
                moved.push(block);
            }
        }
        assert!(chosen(&mut sparse, &moved) < moved.len() / 10, "what was moved lies in full slabs");
        for block in moved {
            // SAFETY: as above.
            unsafe { sparse.free(block, LAYOUT) };
        }
    }
}
