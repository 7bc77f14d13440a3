//! Consumer groups: who was given which entries, and has not acknowledged them yet.
//!
//! ```text
//! group ─┬─ last ID, entries read     where it is in the stream
//!        ├─ pending   ID → when, how often, to whom    the PEL
//!        └─ consumers ─┬─ name, when seen, when active
//!                      └─ pending     its IDs of the PEL
//! ```

use std::collections::{BTreeMap, BTreeSet};

use super::StreamId;

/// A group of consumers who share the entries of a stream.
#[derive(Clone, Debug, Default)]
pub struct Group {
    /// The ID that was delivered last.
    pub last_id: StreamId,
    /// How many entries were read of all that were ever added, if that is known.
    pub entries_read: Option<i64>,
    pending: BTreeMap<StreamId, Delivery>,
    /// By number; a number whose consumer is gone is used again.
    consumers: Vec<Option<Consumer>>,
    numbers: BTreeMap<Box<[u8]>, ConsumerNumber>,
}

/// Which consumer of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConsumerNumber(u32);

/// An entry that was delivered and is not acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// When it was delivered last.
    pub at_ms: i64,
    /// How often it was.
    pub count: u64,
    pub consumer: ConsumerNumber,
}

#[derive(Clone, Debug)]
pub struct Consumer {
    name: Box<[u8]>,
    /// When it last asked for something.
    pub seen_ms: i64,
    /// When it last got something.
    pub active_ms: Option<i64>,
    pending: BTreeSet<StreamId>,
}

impl Group {
    pub fn new(last_id: StreamId, entries_read: Option<i64>) -> Group {
        Group { last_id, entries_read, ..Group::default() }
    }

    /// Whether freeing it takes long.
    pub fn is_heavy(&self) -> bool {
        const PENDING_MIN: usize = 1000;
        self.pending.len() >= PENDING_MIN
    }

    /// The consumer of this name.
    pub fn number_of(&self, name: &[u8]) -> Option<ConsumerNumber> {
        self.numbers.get(name).copied()
    }

    pub fn consumer(&self, number: ConsumerNumber) -> &Consumer {
        self.consumers[number.0 as usize].as_ref().expect("a number is a consumer's")
    }

    pub fn consumer_mut(&mut self, number: ConsumerNumber) -> &mut Consumer {
        self.consumers[number.0 as usize].as_mut().expect("a number is a consumer's")
    }

    /// The consumers by name.
    pub fn consumers(&self) -> impl ExactSizeIterator<Item = &Consumer> {
        self.numbers.values().map(|number| self.consumer(*number))
    }

    /// The consumer of this name, made if it is not there; and whether it was made.
    pub fn consumer_or_new(&mut self, name: &[u8], now_ms: i64) -> (ConsumerNumber, bool) {
        if let Some(number) = self.number_of(name) {
            return (number, false);
        }
        let consumer = Consumer { name: name.into(), seen_ms: now_ms, active_ms: None, pending: BTreeSet::new() };
        let index = match self.consumers.iter().position(Option::is_none).filter(|_| self.has_free_number()) {
            Some(free) => {
                self.consumers[free] = Some(consumer);
                free
            }
            None => {
                self.consumers.push(Some(consumer));
                self.consumers.len() - 1
            }
        };
        let number = ConsumerNumber(index as u32);
        self.numbers.insert(name.into(), number);
        (number, true)
    }

    fn has_free_number(&self) -> bool {
        self.numbers.len() < self.consumers.len()
    }

    /// Removes a consumer with what it has pending; how much that was, if the consumer was there.
    pub fn remove_consumer(&mut self, name: &[u8]) -> Option<usize> {
        let number = self.numbers.remove(name)?;
        let consumer = self.consumers[number.0 as usize].take().expect("a number is a consumer's");
        for id in &consumer.pending {
            self.pending.remove(id);
        }
        Some(consumer.pending.len())
    }

    /// How many entries are pending.
    pub fn pending_len(&self) -> usize {
        self.pending.len()
    }

    /// The first and last of the pending entries.
    pub fn pending_ends(&self) -> Option<(StreamId, StreamId)> {
        Some((*self.pending.first_key_value()?.0, *self.pending.last_key_value()?.0))
    }

    /// The delivery of a pending entry.
    pub fn delivery(&self, id: StreamId) -> Option<Delivery> {
        self.pending.get(&id).copied()
    }

    /// The pending entries of these IDs.
    pub fn pending(&self, start: StreamId, end: StreamId) -> impl Iterator<Item = (StreamId, Delivery)> {
        let range = (start <= end).then(|| self.pending.range(start..=end));
        range.into_iter().flatten().map(|(id, delivery)| (*id, *delivery))
    }

    /// The pending entries of one consumer, of these IDs.
    pub fn pending_of(
        &self,
        consumer: ConsumerNumber,
        start: StreamId,
        end: StreamId,
    ) -> impl Iterator<Item = (StreamId, Delivery)> {
        let range = (start <= end).then(|| self.consumer(consumer).pending.range(start..=end));
        range.into_iter().flatten().map(|id| (*id, self.pending[id]))
    }

    /// The pending entry of the least ID from `start` on.
    pub fn next_pending(&self, start: StreamId) -> Option<(StreamId, Delivery)> {
        self.pending(start, StreamId::MAX).next()
    }

    /// The consumer's own pending entry of the least ID from `start` on.
    pub fn next_pending_of(&self, consumer: ConsumerNumber, start: StreamId) -> Option<StreamId> {
        self.consumer(consumer).pending.range(start..).next().copied()
    }

    /// Sets who has an entry, since when and how often: it is then pending with that consumer alone.
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

    /// Counts one more delivery of an entry to the consumer that has it.
    pub fn redelivered(&mut self, id: StreamId, now_ms: i64) {
        if let Some(delivery) = self.pending.get_mut(&id) {
            delivery.at_ms = now_ms;
            delivery.count += 1;
        }
    }

    /// Takes an entry off the pending ones; whether it was.
    pub fn acknowledge(&mut self, id: StreamId) -> bool {
        let Some(delivery) = self.pending.remove(&id) else { return false };
        self.consumer_mut(delivery.consumer).pending.remove(&id);
        true
    }

    /// Whether an entry was not delivered yet, or is pending.
    pub(super) fn refers_to(&self, id: StreamId) -> bool {
        self.last_id < id || self.pending.contains_key(&id)
    }

    /// The bytes on the heap, where each node of a tree has two thirds of its places taken.
    pub(super) fn memory_usage(&self) -> usize {
        const PENDING_BYTES: usize = (size_of::<(StreamId, Delivery)>() + size_of::<StreamId>()) * 3 / 2;
        let names = self.numbers.keys().map(|name| 2 * name.len() + size_of::<(Box<[u8]>, u32)>());
        self.pending.len() * PENDING_BYTES
            + self.consumers.capacity() * size_of::<Option<Consumer>>()
            + names.sum::<usize>()
    }
}

impl Consumer {
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// How many entries it has pending.
    pub fn pending_len(&self) -> usize {
        self.pending.len()
    }
}
