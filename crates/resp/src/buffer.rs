//! The buffer that replies are written to. It has a maximal length, so that no reply can fill the memory.
//!
//! The maximum is looked at only where the buffer must grow, and its capacity never grows beyond the maximum. So writing to a buffer that has
//! room costs what writing to a `Vec` costs. A buffer that overflows drops its bytes, and whatever is written to it later: its reply will not
//! be sent, but the command that writes it need not know. A long loop may ask [`ReplyBuffer::has_overflowed`] in order to stop early.

use std::ops::Deref;

/// The capacity of a buffer that has overflowed. What fits into it is written and dropped later; what is longer is not written at all.
const DROPPED_BYTES: usize = 4096;

/// A buffer of replies with a maximal length. It can be read as a slice of bytes.
#[derive(Clone, Debug)]
pub struct ReplyBuffer {
    bytes: Vec<u8>,
    len_max: usize,
    overflowed: bool,
}

impl Default for ReplyBuffer {
    fn default() -> ReplyBuffer {
        ReplyBuffer::new(usize::MAX)
    }
}

impl ReplyBuffer {
    /// Makes an empty buffer that may have up to `len_max` bytes; `usize::MAX` is no limit.
    pub const fn new(len_max: usize) -> ReplyBuffer {
        ReplyBuffer { bytes: Vec::new(), len_max, overflowed: false }
    }

    /// As [`ReplyBuffer::new`], with memory for `capacity` bytes.
    pub fn with_capacity(capacity: usize, len_max: usize) -> ReplyBuffer {
        ReplyBuffer { bytes: Vec::with_capacity(capacity.min(len_max)), ..ReplyBuffer::new(len_max) }
    }

    /// Makes an empty buffer for a part of this one's content. It has the room that this one has left.
    pub fn part(&self) -> ReplyBuffer {
        ReplyBuffer::new(self.room_left())
    }

    /// The number of bytes that may still be written.
    pub fn room_left(&self) -> usize {
        if self.overflowed { 0 } else { self.len_max.saturating_sub(self.bytes.len()) }
    }

    /// Empties the buffer for new replies, also if it has overflowed. Its memory is kept, even if it is more than `len_max`.
    #[inline]
    pub fn restart(&mut self, len_max: usize) {
        self.bytes.clear();
        self.len_max = len_max;
        self.overflowed = false;
    }

    /// Changes the maximal length. What the buffer holds already does not make it overflow.
    #[inline]
    pub fn set_len_max(&mut self, len_max: usize) {
        self.len_max = len_max;
    }

    /// Whether more was written than the buffer may hold. What it contains is then not a reply.
    #[inline]
    pub fn has_overflowed(&self) -> bool {
        self.overflowed
    }

    /// Whether the buffer holds `len` bytes or more, or has overflowed.
    #[inline]
    pub fn reaches(&self, len: usize) -> bool {
        self.bytes.len() >= len || self.overflowed
    }

    /// The number of bytes for which the buffer has memory.
    #[inline]
    pub fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Removes everything behind the first `len` bytes.
    #[inline]
    pub fn truncate(&mut self, len: usize) {
        self.bytes.truncate(len);
    }

    /// Appends bytes.
    #[inline]
    pub fn extend_from_slice(&mut self, bytes: &[u8]) {
        if let Some(out) = self.room(bytes.len()) {
            out.extend_from_slice(bytes);
        }
    }

    /// Appends the content of another buffer. If that one has overflowed, so has this one. An empty buffer without enough memory takes over
    /// that of the other one, and nothing is copied.
    pub fn append(&mut self, other: ReplyBuffer) {
        if other.overflowed {
            self.overflow();
        } else if self.bytes.is_empty() && (self.bytes.capacity()..=self.len_max).contains(&other.len()) {
            self.bytes = other.bytes;
        } else {
            self.extend_from_slice(&other.bytes);
        }
    }

    /// Takes the bytes and their memory out of the buffer.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }

    /// Drops the content, as if more had been written than the buffer may hold.
    #[cold]
    pub fn overflow(&mut self) {
        self.overflowed = true;
        if self.bytes.capacity() > DROPPED_BYTES {
            self.bytes = Vec::new();
        }
        self.bytes.clear();
        self.bytes.reserve_exact(DROPPED_BYTES);
    }

    /// Returns the bytes with room for `additional` more, or `None` if what is to be written is dropped. The caller may write less than it
    /// asks room for, so that a buffer may overflow some bytes before its maximum.
    #[inline(always)]
    pub(crate) fn room(&mut self, additional: usize) -> Option<&mut Vec<u8>> {
        if self.bytes.capacity() - self.bytes.len() < additional && !self.grow(additional) {
            return None;
        }
        Some(&mut self.bytes)
    }

    /// Makes room for `additional` bytes. Returns false if what is to be written is dropped.
    #[cold]
    #[inline(never)]
    fn grow(&mut self, additional: usize) -> bool {
        let len = self.bytes.len();
        let needed = len.checked_add(additional).filter(|needed| !self.overflowed && *needed <= self.len_max);
        match needed {
            Some(needed) => {
                let capacity = self.bytes.capacity().saturating_mul(2).clamp(needed, self.len_max);
                self.bytes.reserve_exact(capacity - len);
                true
            }
            None => {
                self.overflow();
                additional <= self.bytes.capacity()
            }
        }
    }
}

impl Deref for ReplyBuffer {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl From<Vec<u8>> for ReplyBuffer {
    /// Makes a buffer without a limit.
    fn from(bytes: Vec<u8>) -> ReplyBuffer {
        ReplyBuffer { bytes, ..ReplyBuffer::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_holds_exactly_its_maximum() {
        for piece in [1, 7, 100, 1000] {
            let mut buffer = ReplyBuffer::new(10_000);
            while buffer.len() + piece <= 10_000 {
                buffer.extend_from_slice(&vec![b'x'; piece]);
                assert!(!buffer.has_overflowed() && buffer.capacity() <= 10_000, "{} bytes of {piece}", buffer.len());
            }
            assert_eq!(buffer.room_left(), 10_000 - buffer.len());
            buffer.extend_from_slice(&vec![b'x'; piece]);
            assert!(buffer.has_overflowed() && buffer.reaches(usize::MAX));
        }
    }

    #[test]
    fn a_buffer_that_has_overflowed_stays_small() {
        let mut buffer = ReplyBuffer::new(1 << 20);
        for len in [1 << 19, 1 << 19, 1, 5000, 100, 1 << 30, 4096, 4096] {
            buffer.extend_from_slice(&vec![b'x'; len]);
            assert!(!buffer.has_overflowed() || buffer.capacity() <= DROPPED_BYTES, "after {len} bytes");
        }
        assert!(buffer.has_overflowed());
        buffer.truncate(1 << 19);
        buffer.restart(10);
        buffer.extend_from_slice(b"+OK\r\n");
        assert_eq!((&*buffer, buffer.has_overflowed()), (&b"+OK\r\n"[..], false));
    }

    #[test]
    fn appending_a_buffer() {
        let check = |before: &[u8], len_max, other: &[u8], expected: Option<&[u8]>| {
            let mut buffer = ReplyBuffer::new(len_max);
            buffer.extend_from_slice(before);
            buffer.append(other.to_vec().into());
            assert_eq!((!buffer.has_overflowed()).then_some(&*buffer), expected);
        };
        check(b"", 4, b"abcd", Some(b"abcd"));
        check(b"", 3, b"abcd", None);
        check(b"ab", 4, b"cd", Some(b"abcd"));
        check(b"ab", 3, b"cd", None);
        let mut overflowed = ReplyBuffer::new(1);
        overflowed.extend_from_slice(b"ab");
        let mut buffer = ReplyBuffer::default();
        buffer.append(overflowed);
        assert!(buffer.has_overflowed());
    }
}
