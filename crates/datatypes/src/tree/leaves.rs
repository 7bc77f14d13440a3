//! The leaves of a tree by number. A leaf keeps its number while elements come and go, so that an index may name it.
//!
//! ```text
//! pages of 32 ──▶ [leaf 0, leaf 1, none, …] [leaf 32, …]        freed: 2, …
//! ```
//!
//! Pages are shared when the tree is cloned, and copied when one of the owners writes to a leaf of theirs.

use std::sync::Arc;

use super::leaf::Leaf;
use crate::prefetch;

const PAGE: usize = 32;

#[derive(Clone, Default)]
pub(super) struct Leaves {
    pages: Vec<Arc<[Option<Leaf>; PAGE]>>,
    /// Numbers below `end` that no leaf has.
    freed: Vec<u32>,
    end: u32,
}

impl Leaves {
    /// The leaf of a number that is in use.
    #[inline]
    pub fn get(&self, number: u32) -> &Leaf {
        let at = number as usize;
        self.pages[at / PAGE][at % PAGE].as_ref().expect("the number is in use")
    }

    /// Asks the processor for where a leaf's address is.
    #[inline]
    pub fn prefetch(&self, number: u32) {
        prefetch::read(self.get(number));
    }

    #[inline]
    pub fn get_mut(&mut self, number: u32) -> &mut Leaf {
        self.slot_mut(number).as_mut().expect("the number is in use")
    }

    #[inline]
    fn slot_mut(&mut self, number: u32) -> &mut Option<Leaf> {
        let at = number as usize;
        &mut Arc::make_mut(&mut self.pages[at / PAGE])[at % PAGE]
    }

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

    pub fn remove(&mut self, number: u32) -> Leaf {
        self.freed.push(number);
        self.slot_mut(number).take().expect("the number is in use")
    }

    /// How many leaves there are.
    pub fn len(&self) -> usize {
        self.end as usize - self.freed.len()
    }

    pub fn memory_usage(&self) -> usize {
        let leaves: usize = self.pages.iter().flat_map(|page| page.iter().flatten()).map(Leaf::allocated_len).sum();
        leaves
            + self.pages.len() * size_of::<[Option<Leaf>; PAGE]>()
            + (self.pages.capacity() + self.freed.capacity()) * 8
    }
}
