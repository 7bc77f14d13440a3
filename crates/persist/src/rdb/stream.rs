//! Reading from a file, with the checksum of what was read.

use std::io::{ErrorKind, Read};

use super::source::Source;
use crate::{
    checksum::Checksum,
    fault::{Fault, FaultKind},
};

/// How much is read from the file at once, in bytes.
const READ_BYTES: usize = 256 * 1024;

/// A source that reads a file from its beginning to its end.
pub struct Stream<R> {
    file: R,
    /// What was read from the file. The bytes from `at` to `end` were not taken yet.
    window: Vec<u8>,
    at: usize,
    end: usize,
    /// The bytes of the window before this one are in the checksum.
    summed: usize,
    checksum: Checksum,
    /// The offset in the file of the window's first byte.
    base: u64,
}

impl<R: Read> Stream<R> {
    /// Reads from the file's present position, which counts as offset 0.
    pub fn new(file: R) -> Stream<R> {
        Stream { file, window: Vec::new(), at: 0, end: 0, summed: 0, checksum: Checksum::default(), base: 0 }
    }

    /// Returns the checksum of all bytes that were taken.
    pub fn checksum(&mut self) -> u64 {
        self.checksum.update(&self.window[self.summed..self.at]);
        self.summed = self.at;
        self.checksum.value()
    }

    /// Returns whether all bytes of the file were taken.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn is_at_end(&mut self) -> Result<bool, Fault> {
        if self.at == self.end {
            self.forget_taken();
            self.read_once(READ_BYTES)?;
        }
        Ok(self.at == self.end)
    }

    /// Returns the bytes that were read from the file and not taken yet. After a take that failed since the file ends, these are all that are left.
    pub fn buffered(&self) -> &[u8] {
        &self.window[self.at..self.end]
    }

    /// Returns the next byte without taking it; `None` at the end of the file.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn peek(&mut self) -> Result<Option<u8>, Fault> {
        Ok(if self.is_at_end()? { None } else { Some(self.window[self.at]) })
    }

    /// Takes a line with its line feed, of at most `len_max` bytes. If there is no line feed among so many bytes, they are taken.
    ///
    /// # Errors
    /// If the file ends before, or cannot be read.
    pub fn take_line(&mut self, len_max: usize) -> Result<&[u8], Fault> {
        let mut looked_at = 0;
        loop {
            let there = &self.window[self.at..self.end.min(self.at + len_max)];
            let len = match there[looked_at..].iter().position(|&byte| byte == b'\n') {
                Some(at) => looked_at + at + 1,
                None if there.len() == len_max => len_max,
                None => {
                    looked_at = there.len();
                    self.fill(looked_at + 1)?;
                    continue;
                }
            };
            return self.take(len);
        }
    }

    /// Moves the bytes that were not taken to the beginning of the window.
    fn forget_taken(&mut self) {
        self.checksum();
        self.window.copy_within(self.at..self.end, 0);
        self.base += self.at as u64;
        (self.end, self.at, self.summed) = (self.end - self.at, 0, 0);
    }

    /// Reads at most this many bytes behind the others. Returns how many were read; 0 at the end of the file.
    fn read_once(&mut self, len_max: usize) -> Result<usize, Fault> {
        let needed = self.end + len_max;
        if self.window.len() < needed {
            self.window.resize(needed, 0);
        }
        loop {
            match self.file.read(&mut self.window[self.end..needed]) {
                Ok(read) => {
                    self.end += read;
                    return Ok(read);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(Fault { offset: self.base + self.end as u64, kind: FaultKind::Io(error) }),
            }
        }
    }
}

impl<R: Read> Source for Stream<R> {
    #[inline]
    fn take(&mut self, len: usize) -> Result<&[u8], Fault> {
        if self.end - self.at < len {
            self.fill(len)?;
        }
        let taken = &self.window[self.at..self.at + len];
        self.at += len;
        Ok(taken)
    }

    fn offset(&self) -> u64 {
        self.base + self.at as u64
    }
}

impl<R: Read> Stream<R> {
    /// Reads until `len` bytes are there. The window grows with what the file has, not with what is asked for.
    #[cold]
    fn fill(&mut self, len: usize) -> Result<(), Fault> {
        self.forget_taken();
        if self.window.len() > 4 * READ_BYTES && len < READ_BYTES {
            // A long string has passed.
            self.window.truncate(self.end.max(READ_BYTES));
            self.window.shrink_to_fit();
        }
        while self.end < len {
            if self.read_once(READ_BYTES.max(self.end.min(len - self.end)))? == 0 {
                return Err(Fault::truncated(self.base + self.end as u64));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file that gives a few bytes at a time.
    struct Slow<'a>(&'a [u8]);

    impl Read for Slow<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let len = self.0.len().min(buffer.len()).min(7);
            self.0.read(&mut buffer[..len])
        }
    }

    #[test]
    fn bytes_are_taken_in_any_portions() {
        let bytes: Vec<u8> = (0..3_000_000u32).map(|it| (it.wrapping_mul(it) >> 7) as u8).collect();
        let mut stream = Stream::new(&bytes[..]);
        let mut taken = 0;
        for len in [0, 1, 1000, 300_000, 5, 1_500_000, 1, 2, 3] {
            assert_eq!(stream.offset(), taken as u64);
            assert_eq!(stream.take(len).expect("there are enough bytes"), &bytes[taken..taken + len]);
            taken += len;
            assert_eq!(stream.checksum(), Checksum::of(&bytes[..taken]));
        }
        let mut slow = Stream::new(Slow(&bytes[..100]));
        assert_eq!(slow.take(99).expect("there are enough bytes"), &bytes[..99]);
        assert_eq!(slow.take(1).expect("there are enough bytes"), &bytes[99..100]);
    }

    #[test]
    fn a_declared_length_takes_no_memory() {
        let mut stream = Stream::new(&b"short"[..]);
        let fault = stream.take(1 << 40).expect_err("the file is too short");
        assert!(matches!(fault, Fault { offset: 5, kind: FaultKind::Truncated }), "{fault}");
        assert!(stream.window.len() <= 2 * READ_BYTES);
    }
}
