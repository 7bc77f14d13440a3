//! A listpack that grows at both ends.

use crate::listpack::{Encoded, Listpack};

/// A run of at least this many bytes gets room in front for more than the one element that needs it. In a shorter run, moving all elements
/// each time is as cheap.
const ROOM_FROM: usize = 1024;

/// The elements of a list or of a node: a listpack with room on both sides.
///
/// ```text
///   buffer:  | room, `start` bytes | elements | spare capacity |
/// ```
///
/// So pushing and popping at either end moves no other elements.
#[derive(Default)]
pub struct Run {
    buffer: Vec<u8>,
    start: usize,
}

impl Run {
    /// Returns the elements as bytes.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..]
    }

    /// Returns the elements as a listpack.
    #[inline]
    pub fn listpack(&self) -> Listpack<'_> {
        Listpack(self.bytes())
    }

    /// Returns the bytes that the elements take.
    #[inline]
    pub fn len(&self) -> usize {
        self.buffer.len() - self.start
    }

    /// Returns the bytes of the allocation.
    pub fn capacity(&self) -> usize {
        self.buffer.capacity()
    }

    /// Returns the elements as a vector, without copying them to another one.
    #[inline]
    pub fn into_vec(mut self) -> Vec<u8> {
        self.close_room();
        self.buffer
    }

    /// Appends an element.
    #[inline]
    pub fn push_back(&mut self, element: &Encoded<'_>) {
        let is_full = self.buffer.len() + element.len() > self.buffer.capacity();
        // At least as many bytes were popped in front as are moved now, so that a push stays O(1) amortised.
        if is_full && self.start > self.len() {
            self.close_room();
        } else if is_full {
            self.grow(element.len());
        }
        element.push_to(&mut self.buffer);
    }

    /// Makes room for `needed` bytes behind the elements. Capacities are powers of two, and so is the size of a full node.
    #[cold]
    fn grow(&mut self, needed: usize) {
        let capacity = (self.buffer.len() + needed).next_power_of_two();
        self.buffer.reserve_exact(capacity - self.buffer.len());
    }

    /// Inserts an element in front of all others.
    #[inline]
    pub fn push_front(&mut self, element: &Encoded<'_>) {
        let len = element.len();
        self.make_room(len);
        self.start -= len;
        element.write_to(&mut self.buffer[self.start..self.start + len]);
    }

    /// Inserts bytes in front of all others.
    #[inline]
    pub fn prepend(&mut self, bytes: &[u8]) {
        self.make_room(bytes.len());
        self.start -= bytes.len();
        self.buffer[self.start..self.start + bytes.len()].copy_from_slice(bytes);
    }

    /// Appends the bytes of elements.
    pub fn append(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Makes room for `needed` bytes in front of the elements.
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

    /// Moves the elements to the end of a larger allocation. Capacities are powers of two, and so is the size of a full node.
    #[cold]
    fn move_to_larger(&mut self, needed: usize) {
        let room = (self.len() + needed).next_power_of_two() - self.len();
        let mut buffer = Vec::with_capacity(room + self.len());
        buffer.resize(room, 0);
        buffer.extend_from_slice(self.bytes());
        *self = Run { buffer, start: room };
    }

    /// Inserts an element at an offset, which may be the end.
    pub fn insert(&mut self, offset: usize, element: &Encoded<'_>) {
        if offset == 0 {
            self.push_front(element);
        } else {
            element.put(&mut self.buffer, self.start + offset, 0);
        }
    }

    /// Replaces the bytes between two offsets by an element.
    pub fn replace(&mut self, from: usize, to: usize, element: &Encoded<'_>) {
        element.put(&mut self.buffer, self.start + from, to - from);
    }

    /// Removes the bytes between two offsets. It moves the bytes before them or those behind them, whichever are fewer.
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

    /// Removes the bytes between several pairs of offsets, which are in order and do not overlap. Each byte that stays is moved at most
    /// once.
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

    /// Splits off the bytes from an offset on.
    pub fn split_off(&mut self, offset: usize) -> Run {
        let tail = Run::from(self.bytes()[offset..].to_vec());
        self.buffer.truncate(self.start + offset);
        tail
    }

    /// Moves the elements to a smaller allocation if more than an eighth of this one is unused. For a run to which nothing is likely to be
    /// added.
    pub fn fit(&mut self) {
        if self.capacity() - self.len() > self.len() / 8 {
            *self = self.clone();
        }
    }

    /// Moves the elements to the front of the buffer.
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
