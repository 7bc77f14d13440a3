//! Bytes that grow at both ends.

use crate::listpack::{Encoded, Listpack};

/// From this size on, room is made before the bytes for more than the one element that needs it: below, moving all is as cheap.
const ROOM_FROM: usize = 1024;

/// The elements of a list, or of a part of it: a listpack with room on both sides.
///
/// ```text
///   buffer:  | room, `start` bytes | elements | spare capacity |
/// ```
///
/// So a list is pushed to and popped from either end without moving what is between.
#[derive(Default)]
pub struct Run {
    buffer: Vec<u8>,
    start: usize,
}

impl Run {
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..]
    }

    #[inline]
    pub fn listpack(&self) -> Listpack<'_> {
        Listpack(self.bytes())
    }

    #[inline]
    pub fn len(&self) -> usize {
        self.buffer.len() - self.start
    }

    /// The bytes that it has taken from the allocator.
    pub fn capacity(&self) -> usize {
        self.buffer.capacity()
    }

    /// Its bytes, in the vector in which they lie.
    #[inline]
    pub fn into_vec(mut self) -> Vec<u8> {
        self.close_room();
        self.buffer
    }

    #[inline]
    pub fn push_back(&mut self, element: &Encoded<'_>) {
        let is_full = self.buffer.len() + element.len() > self.buffer.capacity();
        // What is moved was paid for by as many bytes that were popped.
        if is_full && self.start > self.len() {
            self.close_room();
        } else if is_full {
            self.grow(element.len());
        }
        element.push_to(&mut self.buffer);
    }

    /// Makes room behind all others: in powers of two, of which the size of a full node is one.
    #[cold]
    fn grow(&mut self, needed: usize) {
        let capacity = (self.buffer.len() + needed).next_power_of_two();
        self.buffer.reserve_exact(capacity - self.buffer.len());
    }

    #[inline]
    pub fn push_front(&mut self, element: &Encoded<'_>) {
        let len = element.len();
        self.make_room(len);
        self.start -= len;
        element.write_to(&mut self.buffer[self.start..self.start + len]);
    }

    /// Puts bytes before all others.
    #[inline]
    pub fn prepend(&mut self, bytes: &[u8]) {
        self.make_room(bytes.len());
        self.start -= bytes.len();
        self.buffer[self.start..self.start + bytes.len()].copy_from_slice(bytes);
    }

    pub fn append(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Sees to it that so many bytes can be put before all others.
    #[inline]
    pub fn make_room(&mut self, needed: usize) {
        if self.start < needed {
            let (len, end) = (self.len(), self.buffer.len());
            if len >= ROOM_FROM {
                return self.move_to_larger(needed);
            }
            self.buffer.resize(needed + len, 0);
            self.buffer.copy_within(self.start..end, needed);
            self.start = needed;
        }
    }

    /// Moves the bytes to the end of a power of two, of which the size of a full node is one.
    #[cold]
    fn move_to_larger(&mut self, needed: usize) {
        let room = (self.len() + needed).next_power_of_two() - self.len();
        let mut buffer = Vec::with_capacity(room + self.len());
        buffer.resize(room, 0);
        buffer.extend_from_slice(self.bytes());
        *self = Run { buffer, start: room };
    }

    /// Puts an element at an offset, which may be the end.
    pub fn insert(&mut self, offset: usize, element: &Encoded<'_>) {
        if offset == 0 {
            self.push_front(element);
        } else {
            element.put(&mut self.buffer, self.start + offset, 0);
        }
    }

    /// Puts an element in place of the bytes between two offsets.
    pub fn replace(&mut self, from: usize, to: usize, element: &Encoded<'_>) {
        element.put(&mut self.buffer, self.start + from, to - from);
    }

    /// Removes the bytes between two offsets, by moving the fewer of the others.
    #[inline]
    pub fn remove(&mut self, from: usize, to: usize) {
        let removed = to - from;
        if from <= self.len() - to {
            self.buffer.copy_within(self.start..self.start + from, self.start + removed);
            self.start += removed;
        } else {
            self.buffer.copy_within(self.start + to.., self.start + from);
            self.buffer.truncate(self.buffer.len() - removed);
        }
    }

    /// Removes several such ranges, which are in order and do not overlap, moving what stays once.
    pub fn remove_all(&mut self, ranges: &[(usize, usize)]) {
        let Some(&(first, _)) = ranges.first() else { return };
        let mut end = self.start + first;
        for (index, &(_, to)) in ranges.iter().enumerate() {
            let next = ranges.get(index + 1).map_or(self.len(), |&(from, _)| from);
            let kept = self.start + to..self.start + next;
            let len = kept.len();
            self.buffer.copy_within(kept, end);
            end += len;
        }
        self.buffer.truncate(end);
    }

    /// Takes the bytes from an offset on away.
    pub fn split_off(&mut self, offset: usize) -> Run {
        let tail = Run::from(self.bytes()[offset..].to_vec());
        self.buffer.truncate(self.start + offset);
        tail
    }

    /// Gives unused memory back, where that is worth a copy: for a run to which nothing is likely to be added.
    pub fn fit(&mut self) {
        if self.capacity() - self.len() > self.len() / 8 {
            *self = self.clone();
        }
    }

    fn close_room(&mut self) {
        if self.start > 0 {
            self.buffer.copy_within(self.start.., 0);
            self.buffer.truncate(self.buffer.len() - self.start);
            self.start = 0;
        }
    }
}

impl From<Vec<u8>> for Run {
    #[inline]
    fn from(buffer: Vec<u8>) -> Run {
        Run { buffer, start: 0 }
    }
}

impl Clone for Run {
    fn clone(&self) -> Run {
        Run::from(self.bytes().to_vec())
    }
}
