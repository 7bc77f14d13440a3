//! The leaves of a tree by number. A leaf keeps its number while elements are inserted and removed, so that the index may refer to it.
//!
//! ```text
//! pages of 32 ──▶ [leaf 0, leaf 1, none, …] [leaf 32, …]        freed: 2, …
//! ```
//!
//! Pages are shared when the tree is cloned, and copied when one of the owners writes to one of their leaves.

use std::sync::Arc;

use super::leaf::Leaf;
use crate::{
    allocation::{ARC_HEADER, size_class},
    prefetch,
};

/// The number of leaves in a page.
const PAGE: usize = 32;

/// The leaves of a tree; see the module's picture.
#[derive(Clone, Default)]
pub(super) struct Leaves {
    pages: Vec<Arc<[Option<Leaf>; PAGE]>>,
    /// The numbers below `end` that no leaf has.
    freed: Vec<u32>,
    /// The number that a leaf gets if none is free.
    end: u32,
}

impl Leaves {
    /// Returns the leaf of a number that is in use.
    #[inline]
    pub fn get(&self, number: u32) -> &Leaf {
        let at = number as usize;
        self.pages[at / PAGE][at % PAGE].as_ref().expect("no leaf has this number")
    }

    /// Prefetches the place where the address of a leaf is stored.
    #[inline]
    pub fn prefetch(&self, number: u32) {
        prefetch::read(self.get(number));
    }

    /// Returns the leaf of a number that is in use, for editing.
    #[inline]
    pub fn get_mut(&mut self, number: u32) -> &mut Leaf {
        self.slot_mut(number).as_mut().expect("no leaf has this number")
    }

    #[inline]
    fn slot_mut(&mut self, number: u32) -> &mut Option<Leaf> {
        let at = number as usize;
        &mut Arc::make_mut(&mut self.pages[at / PAGE])[at % PAGE]
    }

    /// Adds a leaf, and returns its number.
    pub fn add(&mut self, leaf: Leaf) -> u32 {
        let number = self.freed.pop().unwrap_or_else(|| {
            if self.end as usize == self.pages.len() * PAGE {
                self.pages.push(Arc::new([const { None }; PAGE]));
            }
            self.end += 1;
            self.end - 1
        });
        *self.slot_mut(number) = Some(leaf);
        number
    }

    /// Removes the leaf of a number, which may then be given to another leaf.
    pub fn remove(&mut self, number: u32) -> Leaf {
        self.freed.push(number);
        self.slot_mut(number).take().expect("no leaf has this number")
    }

    /// Returns the number of leaves.
    pub fn len(&self) -> usize {
        self.end as usize - self.freed.len()
    }

    /// Returns the bytes on the heap.
    pub fn memory_usage(&self) -> usize {
        let leaves: usize =
            self.pages.iter().flat_map(|page| page.iter().flatten()).map(|leaf| size_class(leaf.allocated_len())).sum();
        leaves
            + self.pages.len() * size_class(ARC_HEADER + size_of::<[Option<Leaf>; PAGE]>())
            + (self.pages.capacity() + self.freed.capacity()) * 8
    }
}
