//! When the system may use huge pages for the process's memory.
//!
//! The allocator asks for huge pages everywhere, which makes random accesses faster where memory is dense. But the system's daemon also makes huge pages
//! of places where the allocator has given most pages back, and so takes them again while the server is idle. So huge pages are switched off for the
//! process while the memory in use shrinks, and on again when it grows. Those that are there stay.

use crate::sys;

/// See the module.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HugePages {
    /// They may be used. The most bytes of pages in use since then.
    On(usize),
    /// They are not used. The fewest bytes of pages in use since then.
    Off(usize),
}

impl HugePages {
    /// What follows if the allocator has `active` bytes of pages in use now.
    fn after(self, active: usize) -> HugePages {
        /// A small server is not worth the switching.
        const STEP_BYTES_MIN: usize = 16 << 20;
        match self {
            HugePages::On(most) if active + (most / 10).max(STEP_BYTES_MIN) < most => HugePages::Off(active),
            HugePages::On(most) => HugePages::On(most.max(active)),
            HugePages::Off(fewest) if active > fewest + (fewest / 10).max(STEP_BYTES_MIN) => HugePages::On(active),
            HugePages::Off(fewest) => HugePages::Off(fewest.min(active)),
        }
    }

    /// Switches them as the bytes of pages in use demand. One thread calls this regularly.
    pub fn follow(&mut self, active: usize) {
        let after = self.after(active);
        let is_on = |it: HugePages| matches!(it, HugePages::On(_));
        if is_on(*self) != is_on(after)
            && let Err(error) = sys::allow_huge_pages(is_on(after))
        {
            // Nothing depends on it but the memory that an idle process has.
            tracing::debug!("Can't switch huge pages: {error}");
        }
        *self = after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_on_while_the_memory_grows_and_off_while_it_shrinks() {
        const MB: usize = 1 << 20;
        let mut pages = HugePages::On(0);
        let mut check = |active: usize, expected: HugePages| {
            pages = pages.after(active * MB);
            assert_eq!(pages, expected, "{active} MB");
        };
        check(1000, HugePages::On(1000 * MB));
        check(950, HugePages::On(1000 * MB));
        check(899, HugePages::Off(899 * MB));
        check(300, HugePages::Off(300 * MB));
        check(329, HugePages::Off(300 * MB));
        check(331, HugePages::On(331 * MB));
        check(320, HugePages::On(331 * MB));
        check(10, HugePages::Off(10 * MB));
        check(20, HugePages::Off(10 * MB));
        check(27, HugePages::On(27 * MB));
    }
}
