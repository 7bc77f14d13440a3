//! Intsets: packed sets of integers, in ascending order and all of one width.
//!
//! ```text
//!  0        2        4        6
//! ┌────────┬────────┬────────┬────────┐
//! │ -7     │ 1      │ 300    │ 9000   │   little-endian, 2, 4 or 8 bytes each: the smallest width that holds all
//! └────────┴────────┴────────┴────────┘
//! ```
//!
//! The owner of the bytes keeps the width. As in Redis (`intset.c`), the width grows when a member needs it, and never shrinks.

use std::cmp::Ordering;

/// The number of bytes that each member takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Width {
    /// 16 bits.
    Two,
    /// 32 bits.
    Four,
    /// 64 bits.
    Eight,
}

impl Width {
    /// Returns the smallest width that holds the integer.
    pub fn of(integer: i64) -> Width {
        if i16::try_from(integer).is_ok() {
            Width::Two
        } else if i32::try_from(integer).is_ok() {
            Width::Four
        } else {
            Width::Eight
        }
    }

    /// Returns the width as a number of bytes.
    pub fn bytes(self) -> usize {
        match self {
            Width::Two => 2,
            Width::Four => 4,
            Width::Eight => 8,
        }
    }
}

/// A view of an intset.
#[derive(Clone, Copy, Debug)]
pub struct Intset<'a> {
    width: Width,
    bytes: &'a [u8],
}

impl<'a> Intset<'a> {
    /// Views `bytes`, which are members of this width in ascending order.
    pub fn new(width: Width, bytes: &'a [u8]) -> Intset<'a> {
        debug_assert!(bytes.len().is_multiple_of(width.bytes()));
        Intset { width, bytes }
    }

    /// Returns the width of the members.
    pub fn width(self) -> Width {
        self.width
    }

    /// Returns the members as they lie in memory.
    pub fn bytes(self) -> &'a [u8] {
        self.bytes
    }

    /// Returns the number of members.
    pub fn len(self) -> usize {
        self.bytes.len() / self.width.bytes()
    }

    /// Returns whether there are no members.
    pub fn is_empty(self) -> bool {
        self.bytes.is_empty()
    }

    /// Returns the member of a rank; the smallest member has rank 0.
    ///
    /// # Panics
    /// If the rank is not below the number of members.
    #[inline]
    pub fn get(self, rank: usize) -> i64 {
        fn at<const N: usize>(bytes: &[u8], rank: usize) -> [u8; N] {
            bytes.as_chunks::<N>().0[rank]
        }
        match self.width {
            Width::Two => i16::from_le_bytes(at(self.bytes, rank)).into(),
            Width::Four => i32::from_le_bytes(at(self.bytes, rank)).into(),
            Width::Eight => i64::from_le_bytes(at(self.bytes, rank)),
        }
    }

    /// Returns the rank of a member. For an integer that is no member, the error is the rank that it would have.
    #[inline]
    pub fn find(self, integer: i64) -> Result<usize, usize> {
        let (mut low, mut high) = (0, self.len());
        // Members that are added in ascending order need no search.
        if high == 0 || self.get(high - 1) < integer {
            return Err(high);
        }
        while low < high {
            let middle = low.midpoint(high);
            match self.get(middle).cmp(&integer) {
                Ordering::Less => low = middle + 1,
                Ordering::Equal => return Ok(middle),
                Ordering::Greater => high = middle,
            }
        }
        Err(low)
    }

    /// Returns whether the integer is a member.
    pub fn contains(self, integer: i64) -> bool {
        self.find(integer).is_ok()
    }

    /// Returns the members in ascending order.
    pub fn iter(self) -> impl Iterator<Item = i64> + 'a {
        (0..self.len()).map(move |rank| self.get(rank))
    }
}

/// Adds a member, and makes all members wider if it needs that. Returns whether the member is new.
pub fn insert(width: &mut Width, bytes: &mut Vec<u8>, integer: i64) -> bool {
    let needed = Width::of(integer);
    if needed > *width {
        *bytes = widen(Intset::new(*width, bytes), needed);
        *width = needed;
    }
    match Intset::new(*width, bytes).find(integer) {
        Ok(_) => false,
        Err(rank) => {
            let len = width.bytes();
            let at = rank * len;
            // The low bytes of a little-endian integer are the narrower integer.
            bytes.splice(at..at, integer.to_le_bytes().into_iter().take(len));
            true
        }
    }
}

fn widen(set: Intset<'_>, width: Width) -> Vec<u8> {
    let mut bytes = Vec::with_capacity((set.len() + 1) * width.bytes());
    set.iter().for_each(|integer| bytes.extend_from_slice(&integer.to_le_bytes()[..width.bytes()]));
    bytes
}

/// Removes a member. Returns whether it was there.
pub fn remove(width: Width, bytes: &mut Vec<u8>, integer: i64) -> bool {
    let found = Intset::new(width, bytes).find(integer);
    if let Ok(rank) = found {
        remove_at(width, bytes, rank);
    }
    found.is_ok()
}

/// Removes the member of a rank.
///
/// # Panics
/// If the rank is not below the number of members.
pub fn remove_at(width: Width, bytes: &mut Vec<u8>, rank: usize) {
    bytes.drain(rank * width.bytes()..(rank + 1) * width.bytes());
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn integer() -> impl Strategy<Value = i64> {
        prop_oneof![
            8 => -20..20i64,
            2 => -40_000..40_000i64,
            1 => any::<i32>().prop_map(i64::from),
            1 => any::<i64>(),
            1 => prop::sample::select(vec![i64::MIN, i64::MAX, -32_768, -32_769, 32_767, 32_768, 2_147_483_648]),
        ]
    }

    proptest! {
        #[test]
        fn does_what_an_ordered_set_does(steps in prop::collection::vec((integer(), any::<bool>()), 1..200)) {
            let (mut width, mut bytes, mut model) = (Width::Two, Vec::new(), BTreeSet::new());
            for (integer, adds) in steps {
                if adds {
                    prop_assert_eq!(insert(&mut width, &mut bytes, integer), model.insert(integer));
                } else {
                    prop_assert_eq!(remove(width, &mut bytes, integer), model.remove(&integer));
                }
                let set = Intset::new(width, &bytes);
                prop_assert_eq!(set.contains(integer), adds);
                prop_assert_eq!(set.len(), model.len());
            }
            prop_assert!(Intset::new(width, &bytes).iter().eq(model.iter().copied()));
        }
    }
}
