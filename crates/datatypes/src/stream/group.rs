//! Consumer groups: which entries were delivered to which consumer and are not acknowledged yet.
//!
//! ```text
//! group ─┬─ last ID, entries read                  the group's position in the stream
//!        ├─ pending   ID → consumer, time, count   the PEL, pending entries list
//!        └─ consumers ─┬─ name, time seen, time active
//!                      └─ pending                  the IDs of the PEL that are this consumer's
//! ```

use std::collections::{BTreeMap, BTreeSet};

use super::StreamId;
use crate::allocation::{btree_bytes, size_class};

/// A consumer group. Each entry of the stream is delivered to one of its consumers.
#[derive(Clone, Debug, Default)]
pub struct Group {
    /// The ID of the entry that was delivered last.
    pub last_id: StreamId,
    /// How many of the entries that were ever added the group has read, if that is known.
    pub entries_read: Option<i64>,
    pending: BTreeMap<StreamId, Delivery>,
    /// The consumers by number.
    consumers: Vec<Option<Consumer>>,
    /// The numbers of removed consumers, to be used again.
    free: Vec<ConsumerNumber>,
    numbers: BTreeMap<Box<[u8]>, ConsumerNumber>,
}

/// The number of a consumer in its group, which it keeps as long as it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConsumerNumber(u32);

/// The last delivery of a pending entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// When the entry was delivered last, in milliseconds since 1970.
    pub at_ms: i64,
    /// How often the entry was delivered.
    pub count: u64,
    /// The consumer that has the entry.
    pub consumer: ConsumerNumber,
}

/// A consumer of a group.
#[derive(Clone, Debug)]
pub struct Consumer {
    name: Box<[u8]>,
    /// When the consumer last tried to read or to claim, in milliseconds since 1970.
    pub seen_ms: i64,
    /// When the consumer last read or claimed an entry, in milliseconds since 1970.
    pub active_ms: Option<i64>,
    pending: BTreeSet<StreamId>,
}

impl Group {
    /// Makes a group without consumers.
    pub fn new(last_id: StreamId, entries_read: Option<i64>) -> Group {
        Group { last_id, entries_read, ..Group::default() }
    }

    /// Returns whether freeing the group takes long, so that a thread of its own should do it.
    pub fn is_heavy(&self) -> bool {
        const ITEMS_MIN: usize = 1000;
        self.pending.len() + self.numbers.len() >= ITEMS_MIN
    }

    /// Returns the number of the consumer of a name.
    pub fn number_of(&self, name: &[u8]) -> Option<ConsumerNumber> {
        self.numbers.get(name).copied()
    }

    /// Returns a consumer by its number.
    ///
    /// # Panics
    /// If the consumer was removed.
    pub fn consumer(&self, number: ConsumerNumber) -> &Consumer {
        self.consumers[number.0 as usize].as_ref().expect("no consumer has this number")
    }

    /// As [`Group::consumer`], for editing.
    pub fn consumer_mut(&mut self, number: ConsumerNumber) -> &mut Consumer {
        self.consumers[number.0 as usize].as_mut().expect("no consumer has this number")
    }

    /// Returns the consumers in the order of their names.
    pub fn consumers(&self) -> impl ExactSizeIterator<Item = &Consumer> {
        self.numbers.values().map(|number| self.consumer(*number))
    }

    /// Returns the number of the consumer of a name, which is made if it is not there, and whether it was made.
    pub fn consumer_or_new(&mut self, name: &[u8], now_ms: i64) -> (ConsumerNumber, bool) {
        if let Some(number) = self.number_of(name) {
            return (number, false);
        }
        let consumer = Consumer { name: name.into(), seen_ms: now_ms, active_ms: None, pending: BTreeSet::new() };
        let number = self.free.pop().unwrap_or_else(|| {
            self.consumers.push(None);
            ConsumerNumber(self.consumers.len() as u32 - 1)
        });
        self.consumers[number.0 as usize] = Some(consumer);
        self.numbers.insert(name.into(), number);
        (number, true)
    }

    /// Removes a consumer and its pending entries. Returns the number of these entries, or `None` if the consumer was not there.
    pub fn remove_consumer(&mut self, name: &[u8]) -> Option<usize> {
        let number = self.numbers.remove(name)?;
        let consumer = self.consumers[number.0 as usize].take().expect("no consumer has this number");
        self.free.push(number);
        for id in &consumer.pending {
            self.pending.remove(id);
        }
        Some(consumer.pending.len())
    }

    /// Returns the number of pending entries.
    pub fn pending_len(&self) -> usize {
        self.pending.len()
    }

    /// Returns the least and the greatest ID of the pending entries.
    pub fn pending_ends(&self) -> Option<(StreamId, StreamId)> {
        Some((*self.pending.first_key_value()?.0, *self.pending.last_key_value()?.0))
    }

    /// Returns the last delivery of an entry, if the entry is pending.
    pub fn delivery(&self, id: StreamId) -> Option<Delivery> {
        self.pending.get(&id).copied()
    }

    /// Returns the pending entries from `start` to `end`, both included.
    pub fn pending(&self, start: StreamId, end: StreamId) -> impl Iterator<Item = (StreamId, Delivery)> {
        let range = (start <= end).then(|| self.pending.range(start..=end));
        range.into_iter().flatten().map(|(id, delivery)| (*id, *delivery))
    }

    /// Returns the pending entries of one consumer from `start` to `end`, both included.
    pub fn pending_of(
        &self,
        consumer: ConsumerNumber,
        start: StreamId,
        end: StreamId,
    ) -> impl Iterator<Item = (StreamId, Delivery)> {
        let range = (start <= end).then(|| self.consumer(consumer).pending.range(start..=end));
        range.into_iter().flatten().map(|id| (*id, self.pending[id]))
    }

    /// Returns the first pending entry from `start` on.
    pub fn next_pending(&self, start: StreamId) -> Option<(StreamId, Delivery)> {
        self.pending(start, StreamId::MAX).next()
    }

    /// Returns the ID of the first pending entry of a consumer from `start` on.
    pub fn next_pending_of(&self, consumer: ConsumerNumber, start: StreamId) -> Option<StreamId> {
        self.consumer(consumer).pending.range(start..).next().copied()
    }

    /// Sets the last delivery of an entry. The entry is then pending, with that consumer alone.
    pub fn set_delivery(&mut self, id: StreamId, delivery: Delivery) {
        let before = self.pending.insert(id, delivery);
        if before.is_some_and(|before| before.consumer == delivery.consumer) {
            return;
        }
        if let Some(before) = before {
            self.consumer_mut(before.consumer).pending.remove(&id);
        }
        self.consumer_mut(delivery.consumer).pending.insert(id);
    }

    /// Records one more delivery of an entry to the consumer that has it.
    pub fn redelivered(&mut self, id: StreamId, now_ms: i64) {
        if let Some(delivery) = self.pending.get_mut(&id) {
            delivery.at_ms = now_ms;
            delivery.count += 1;
        }
    }

    /// Acknowledges an entry, which is then no longer pending. Returns whether it was pending.
    pub fn acknowledge(&mut self, id: StreamId) -> bool {
        let Some(delivery) = self.pending.remove(&id) else { return false };
        self.consumer_mut(delivery.consumer).pending.remove(&id);
        true
    }

    /// Returns whether an entry is pending, or was not delivered to the group yet.
    pub(super) fn refers_to(&self, id: StreamId) -> bool {
        self.last_id < id || self.pending.contains_key(&id)
    }

    /// Estimates the bytes on the heap.
    pub(super) fn memory_usage(&self) -> usize {
        let of_consumers = |consumer: &Consumer| {
            2 * size_class(consumer.name.len()) + btree_bytes(consumer.pending.len(), size_of::<StreamId>())
        };
        btree_bytes(self.pending.len(), size_of::<(StreamId, Delivery)>())
            + btree_bytes(self.numbers.len(), size_of::<(Box<[u8]>, ConsumerNumber)>())
            + size_class(self.consumers.capacity() * size_of::<Option<Consumer>>())
            + self.consumers.iter().flatten().map(of_consumers).sum::<usize>()
    }
}

impl Consumer {
    /// Returns the consumer's name.
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// Returns the IDs of the entries that are pending with this consumer, in order.
    pub fn pending_ids(&self) -> impl Iterator<Item = StreamId> {
        self.pending.iter().copied()
    }

    /// Returns the number of entries that are pending with this consumer.
    pub fn pending_len(&self) -> usize {
        self.pending.len()
    }
}
