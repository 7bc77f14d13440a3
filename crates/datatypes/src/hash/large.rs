//! A large hash: a hash table, and the order of the expiries; see the picture in `mod.rs`.

use super::{Field, is_over};
use crate::{
    deadlines::{Deadlines, TAG_BITS},
    hashtable::{Hashtable, Record},
    listpack::Element,
    spine,
};

/// A large hash. [`Hash`](super::Hash) has its public methods.
#[derive(Clone, Default)]
pub struct LargeHash {
    pub(super) table: Hashtable,
    /// One deadline for each field that expires, with the lowest bits of the field's [`spine::hash`] as its tag. `None` if no field expires.
    pub(super) expiries: Option<Box<Deadlines>>,
}

const WITHOUT_EXPIRY: u8 = 0;
const WITH_EXPIRY: u8 = 1;

/// Returns the expiry and the value that a record's payload holds.
#[inline]
pub(super) fn split_payload(payload: &[u8]) -> (Option<i64>, &[u8]) {
    match payload.split_first().expect("a payload begins with a mark") {
        (&WITHOUT_EXPIRY, value) => (None, value),
        (_, rest) => {
            let (expiry, value) = rest.split_first_chunk().expect("an expiry takes eight bytes");
            (Some(i64::from_le_bytes(*expiry)), value)
        }
    }
}

pub(super) fn field_of(record: Record<'_>) -> Field<'_> {
    let (expiry_ms, value) = split_payload(record.payload);
    Field { name: Element::Bytes(record.key), value: Element::Bytes(value), expiry_ms }
}

fn tag(field: &[u8]) -> u32 {
    (spine::hash(field) & ((1 << TAG_BITS) - 1)) as u32
}

impl LargeHash {
    pub(super) fn memory_usage(&self) -> usize {
        let expiries = self.expiries.as_ref().map_or(0, |it| size_of::<Deadlines>() + it.memory_usage());
        size_of::<LargeHash>() + self.table.memory_usage() + expiries
    }

    /// Returns the number of expired fields that were not removed yet.
    pub(super) fn due(&self, now_ms: i64) -> usize {
        self.expiries.as_ref().map_or(0, |expiries| expiries.due(now_ms))
    }

    /// As [`Hash::set`](super::Hash::set).
    pub(super) fn set(&mut self, field: &[u8], value: &[u8], keeps_expiry: bool, now_ms: i64) -> bool {
        if self.expiries.is_none() {
            return self.put(field, value, None);
        }
        let before = self.table.get(field).map(|payload| split_payload(payload).0);
        let is_new = before.is_none_or(|expiry_ms| is_over(expiry_ms, now_ms));
        let before = before.flatten();
        let after = before.filter(|_| keeps_expiry && !is_new);
        self.move_expiry(field, before, after);
        self.put_record(field, value, after);
        is_new
    }

    /// Sets a field with an expiry. The field must not have an expiry before. Returns whether the field is new.
    pub(super) fn put(&mut self, field: &[u8], value: &[u8], expiry_ms: Option<i64>) -> bool {
        self.move_expiry(field, None, expiry_ms);
        self.put_record(field, value, expiry_ms)
    }

    fn put_record(&mut self, field: &[u8], value: &[u8], expiry_ms: Option<i64>) -> bool {
        /// A payload of at most this length is put together on the stack.
        const SHORT: usize = 128;
        let head_len = if expiry_ms.is_some() { 9 } else { 1 };
        let len = head_len + value.len();
        let mut short = [WITHOUT_EXPIRY; SHORT];
        let mut long = Vec::new();
        let payload = if len <= SHORT {
            &mut short[..len]
        } else {
            long.resize(len, WITHOUT_EXPIRY);
            &mut long[..]
        };
        if let Some(expiry_ms) = expiry_ms {
            payload[0] = WITH_EXPIRY;
            payload[1..9].copy_from_slice(&expiry_ms.to_le_bytes());
        }
        payload[head_len..].copy_from_slice(value);
        self.table.insert(field, payload)
    }

    /// Replaces the deadline of a field.
    fn move_expiry(&mut self, field: &[u8], before: Option<i64>, after: Option<i64>) {
        if before == after {
            return;
        }
        let expiries = self.expiries.get_or_insert_default();
        if let Some(before_ms) = before {
            expiries.remove(before_ms, tag(field));
        }
        if let Some(after_ms) = after {
            expiries.insert(after_ms, tag(field));
        }
        if expiries.is_empty() {
            self.expiries = None;
        }
    }

    /// As [`Hash::set_expiry`](super::Hash::set_expiry).
    pub(super) fn set_expiry(&mut self, field: &[u8], expiry_ms: Option<i64>, now_ms: i64) -> bool {
        let Some(payload) = self.table.get(field) else { return false };
        let (before, value) = split_payload(payload);
        if is_over(before, now_ms) {
            return false;
        }
        if before != expiry_ms {
            let value = value.to_vec();
            self.move_expiry(field, before, expiry_ms);
            self.put_record(field, &value, expiry_ms);
        }
        true
    }

    /// Removes a field. Returns the expiry that it had, or `None` if it was not there.
    pub(super) fn remove(&mut self, field: &[u8]) -> Option<Option<i64>> {
        let mut expiry_ms = None;
        if self.expiries.is_some() {
            expiry_ms = split_payload(self.table.get(field)?).0;
            self.move_expiry(field, expiry_ms, None);
        }
        self.table.remove(field).then_some(expiry_ms)
    }

    /// As [`Hash::expire`](super::Hash::expire).
    pub(super) fn expire(&mut self, now_ms: i64, max: usize, mut removed: impl FnMut(&[u8])) -> usize {
        let mut count = 0;
        while count < max {
            let Some((_, tag)) = self.expiries.as_ref().and_then(|expiries| expiries.first_due(now_ms)) else { break };
            // A tag finds a few records. All of them that are due are removed at once.
            let near = self.table.candidates(tag.into(), TAG_BITS).map(field_of);
            let due = near.filter(|field| is_over(field.expiry_ms, now_ms)).take(max - count);
            let due: Vec<Vec<u8>> = due.map(|field| field.name.to_vec()).collect();
            assert!(!due.is_empty(), "a deadline has no field");
            for field in due {
                self.remove(&field);
                removed(&field);
                count += 1;
            }
        }
        count
    }
}
