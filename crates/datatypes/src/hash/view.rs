//! Reading a hash.

use std::collections::HashSet;

use super::{
    Field, is_over,
    large::{LargeHash, field_of, split_payload},
    packed::Packed,
};
use crate::{
    listpack::{Element, Listpack},
    spine::below,
};

/// A hash, for reading, as it is at a point in time: a field that has expired by then is absent. A view that was not given a time, with
/// [`HashView::at`], has all fields.
#[derive(Clone, Copy)]
pub struct HashView<'a> {
    pub(super) fields: Fields<'a>,
    pub(super) now_ms: i64,
}

#[derive(Clone, Copy)]
pub(super) enum Fields<'a> {
    Packed(Packed<'a>),
    Large(&'a LargeHash),
}

/// The most draws of a random field that may hit expired fields. After that, the field is drawn from the live ones by a walk over all.
const RANDOM_DRAWS_MAX: usize = 64;

impl<'a> HashView<'a> {
    /// Returns the view of the same hash at a time, in milliseconds since 1970.
    pub fn at(self, now_ms: i64) -> HashView<'a> {
        HashView { now_ms, ..self }
    }

    /// Returns the listpack of a packed hash, and whether it is a listpackex. Expired fields are in it too.
    pub fn packed(self) -> Option<(Listpack<'a>, bool)> {
        match self.fields {
            Fields::Packed(packed) => Some((packed.run, packed.expires)),
            Fields::Large(_) => None,
        }
    }

    /// Returns the number of fields.
    pub fn len(self) -> usize {
        match self.fields {
            Fields::Packed(packed) => packed.run.len() / packed.stride() - self.expired_in_front(packed),
            Fields::Large(large) => large.table.len() - large.due(self.now_ms),
        }
    }

    /// Returns whether there are no fields.
    pub fn is_empty(self) -> bool {
        match self.fields {
            // The last field of a listpack expires last.
            Fields::Packed(packed) => packed.last_expiry_ms().is_none_or(|last_ms| is_over(last_ms, self.now_ms)),
            Fields::Large(large) => large.due(self.now_ms) == large.table.len(),
        }
    }

    /// Returns the value of a field, or `None` if the field is absent.
    #[inline]
    pub fn get(self, field: &[u8]) -> Option<Element<'a>> {
        if let Fields::Packed(Packed { expires: false, run }) = self.fields {
            let name_at = run.find(field, 1)?;
            return Some(run.get(run.end_of(name_at)));
        }
        Some(self.find(field)?.0)
    }

    /// Returns whether the hash has the field.
    pub fn contains(self, field: &[u8]) -> bool {
        self.get(field).is_some()
    }

    /// Returns the expiry of a field in milliseconds since 1970: `Some(None)` if it does not expire, `None` if the field is absent.
    pub fn expiry_ms(self, field: &[u8]) -> Option<Option<i64>> {
        Some(self.find(field)?.1)
    }

    /// Returns the value and the expiry of a field.
    fn find(self, field: &[u8]) -> Option<(Element<'a>, Option<i64>)> {
        let (value, expiry_ms) = match self.fields {
            Fields::Packed(packed) => {
                let at = packed.search(field).ok()?;
                (packed.run.get(at.value_at), at.expiry_ms)
            }
            Fields::Large(large) => {
                let (expiry_ms, value) = split_payload(large.table.get(field)?);
                (Element::Bytes(value), expiry_ms)
            }
        };
        (!is_over(expiry_ms, self.now_ms)).then_some((value, expiry_ms))
    }

    /// Visits all fields.
    pub fn for_each(self, mut visit: impl FnMut(Field<'a>)) {
        match self.fields {
            Fields::Packed(Packed { expires: false, run }) => {
                let mut elements = run.iter();
                while let (Some((_, name)), Some((_, value))) = (elements.next(), elements.next()) {
                    visit(Field { name, value, expiry_ms: None });
                }
            }
            Fields::Packed(packed) => {
                let fields = packed.iter().map(|(at, _)| packed.field(at));
                fields.filter(|field| !is_over(field.expiry_ms, self.now_ms)).for_each(visit);
            }
            Fields::Large(large) => {
                let fields = large.table.iter().map(field_of);
                fields.filter(|field| !is_over(field.expiry_ms, self.now_ms)).for_each(visit);
            }
        }
    }

    /// As [`Hashtable::scan`](crate::hashtable::Hashtable::scan). A packed hash is visited as a whole by one call.
    pub fn scan(self, cursor: u64, count: usize, mut visit: impl FnMut(Field<'a>)) -> u64 {
        match self.fields {
            Fields::Packed(_) => {
                self.for_each(visit);
                0
            }
            Fields::Large(large) => large.table.scan(cursor, count, |record| {
                let field = field_of(record);
                if !is_over(field.expiry_ms, self.now_ms) {
                    visit(field);
                }
            }),
        }
    }

    /// Returns a random field, each with the same probability, or `None` if there are no fields.
    pub fn random(self, random: &mut impl FnMut() -> u64) -> Option<Field<'a>> {
        match self.fields {
            Fields::Packed(packed) => {
                let (fields, expired) = (packed.run.len() / packed.stride(), self.expired_in_front(packed));
                if fields == expired {
                    return None;
                }
                let index = expired + below(fields - expired, random());
                let name_at = packed.run.nth_of(index * packed.stride(), fields * packed.stride())?;
                Some(packed.field(packed.located(name_at)))
            }
            Fields::Large(large) => {
                let is_alive = |field: &Field<'_>| !is_over(field.expiry_ms, self.now_ms);
                let mut draws = (0..RANDOM_DRAWS_MAX).map_while(|_| large.table.random(random).map(field_of));
                if let Some(field) = draws.find(is_alive) {
                    return Some(field);
                }
                let alive = self.len();
                let index = if alive == 0 { return None } else { below(alive, random()) };
                large.table.iter().map(field_of).filter(is_alive).nth(index)
            }
        }
    }

    /// Visits `count` different random fields. There must be at least as many.
    pub fn sample(self, count: usize, random: &mut impl FnMut() -> u64, mut visit: impl FnMut(Field<'a>)) {
        /// If fewer than one in this many fields is wanted, they are drawn one by one; else all fields are walked over.
        const FEW: usize = 8;
        let len = self.len();
        debug_assert!(count <= len);
        if matches!(self.fields, Fields::Large(_)) && count < len / FEW {
            let mut drawn = HashSet::with_capacity(count);
            while drawn.len() < count {
                let Some(field) = self.random(random) else { return };
                if drawn.insert(field.name.to_vec()) {
                    visit(field);
                }
            }
            return;
        }
        let (mut wanted, mut left) = (count, len);
        self.for_each(|field| {
            if wanted > 0 && below(left, random()) < wanted {
                wanted -= 1;
                visit(field);
            }
            left -= 1;
        });
    }

    /// Returns the earliest expiry of all fields, including expired ones that were not removed yet, in milliseconds since 1970.
    #[inline]
    pub fn first_expiry_ms(self) -> Option<i64> {
        match self.fields {
            Fields::Packed(Packed { expires: false, .. }) => None,
            Fields::Packed(packed) => packed.iter().next()?.0.expiry_ms,
            Fields::Large(large) => large.expiries.as_ref()?.first_ms(),
        }
    }

    /// Returns the number of expired fields of a packed hash, which are the first ones.
    fn expired_in_front(self, packed: Packed<'_>) -> usize {
        if !packed.expires {
            return 0;
        }
        packed.iter().take_while(|(at, _)| is_over(at.expiry_ms, self.now_ms)).count()
    }
}
