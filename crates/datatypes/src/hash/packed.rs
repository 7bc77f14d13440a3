//! A small hash: a listpack, with or without expiries; see the picture in `mod.rs`.

use super::{Field, LOADED_EXPIRY_MS_MAX};
use crate::listpack::{self, Element, Listpack};

/// The expiry in a listpackex of a field that does not expire.
pub(super) const NEVER: i64 = 0;

/// A packed hash, for reading.
#[derive(Clone, Copy)]
pub(super) struct Packed<'a> {
    pub(super) expires: bool,
    pub(super) run: Listpack<'a>,
}

/// The offsets of the parts of a field. In a listpack without expiries, `expiry_at` means nothing.
#[derive(Clone, Copy)]
pub(super) struct Located {
    pub(super) name_at: usize,
    pub(super) value_at: usize,
    pub(super) expiry_at: usize,
    pub(super) expiry_ms: Option<i64>,
}

impl<'a> Packed<'a> {
    /// Returns the number of listpack elements that a field takes.
    pub(super) fn stride(self) -> usize {
        if self.expires { 3 } else { 2 }
    }

    /// Finds a field. If it is not there, the error is the number of fields.
    #[inline]
    pub(super) fn search(self, field: &[u8]) -> Result<Located, usize> {
        let wanted = listpack::Encoded::new(field);
        let (mut offset, mut fields) = (0, 0);
        while offset < self.run.0.len() {
            if self.run.equals(offset, &wanted) {
                return Ok(self.located(offset));
            }
            offset = self.run.end_of(self.run.end_of(offset));
            if self.expires {
                offset = self.run.end_of(offset);
            }
            fields += 1;
        }
        Err(fields)
    }

    /// Returns the offsets of the parts of the field that begins at `name_at`.
    pub(super) fn located(self, name_at: usize) -> Located {
        let value_at = self.run.end_of(name_at);
        if !self.expires {
            return Located { name_at, value_at, expiry_at: 0, expiry_ms: None };
        }
        let expiry_at = self.run.end_of(value_at);
        Located { name_at, value_at, expiry_at, expiry_ms: self.expiry_ms(expiry_at) }
    }

    pub(super) fn expiry_ms(self, expiry_at: usize) -> Option<i64> {
        self.run.get(expiry_at).as_int().filter(|&expiry_ms| expiry_ms != NEVER)
    }

    pub(super) fn field(self, at: Located) -> Field<'a> {
        Field { name: self.run.get(at.name_at), value: self.run.get(at.value_at), expiry_ms: at.expiry_ms }
    }

    /// Returns the expiry of the last field, or `None` if there are no fields.
    pub(super) fn last_expiry_ms(self) -> Option<Option<i64>> {
        let last = self.run.last()?;
        Some(if self.expires { self.expiry_ms(last) } else { None })
    }

    /// Returns whether all expiries of a listpackex are times, the earliest first, and 0 last.
    pub(super) fn is_ordered(self) -> bool {
        let mut last_ms = 0;
        self.run.iter().skip(2).step_by(3).all(|(_, element)| match element.as_int() {
            Some(NEVER) => {
                last_ms = i64::MAX;
                true
            }
            Some(expiry_ms) => {
                let is_ordered = last_ms <= expiry_ms && expiry_ms <= LOADED_EXPIRY_MS_MAX && last_ms != i64::MAX;
                last_ms = expiry_ms;
                is_ordered
            }
            None => false,
        })
    }

    /// Returns the places and the names of all fields.
    pub(super) fn iter(self) -> impl Iterator<Item = (Located, Element<'a>)> {
        let mut offset = 0;
        std::iter::from_fn(move || {
            if offset >= self.run.0.len() {
                return None;
            }
            let at = self.located(offset);
            offset = self.run.end_of(if self.expires { at.expiry_at } else { at.value_at });
            Some((at, self.run.get(at.name_at)))
        })
    }
}

/// Appends a field that does not expire to a listpack with expiries.
pub(super) fn push(run: &mut Vec<u8>, field: &[u8], value: &[u8]) {
    listpack::push_back(run, field);
    listpack::push_back(run, value);
    listpack::push_back_int(run, NEVER);
}
