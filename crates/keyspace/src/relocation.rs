//! Moving entries to other blocks, so that pages of memory which hold little are emptied and can be given back.
//!
//! A slot is the only place that names an entry's block, so moving one is a copy and a store. Arrays of slots are moved too. A collection or a long string outside of the block stays
//! where it is.

use std::{alloc::Layout, ptr::NonNull};

/// What moving entries needs from the allocator.
///
/// # Safety
/// [`Relocator::allocate`] returns a block of the layout that nobody else owns, which `std::alloc::dealloc` can free.
pub unsafe trait Relocator {
    /// Looks at blocks, and calls `choose` with the index of each that lies among so many free blocks that it should be moved.
    fn choose(&mut self, blocks: &[NonNull<u8>], choose: &mut dyn FnMut(usize));

    /// Allocates a block where pages are nearly full. `None` if there is no memory.
    fn allocate(&mut self, layout: Layout) -> Option<NonNull<u8>>;

    /// Frees a block such that it is not used again soon.
    ///
    /// # Safety
    /// The block was allocated with this layout by the global allocator or by [`Relocator::allocate`], and is not used any more.
    unsafe fn free(&mut self, block: NonNull<u8>, layout: Layout);
}

/// How many entries were looked at and moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Relocated {
    /// Looked at.
    pub seen: usize,
    /// Moved.
    pub moved: usize,
}
