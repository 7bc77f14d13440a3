//! Writing lengths, strings and numbers.
//!
//! ```text
//! length   00llllll                    6 bits       │ 10000000 4 bytes, the highest first
//!          01llllll llllllll          14 bits       │ 10000001 8 bytes, the highest first
//! string   length, bytes                            │ 110000ii integer of 1, 2 or 4 bytes, the lowest first
//!          11000011 compressed length, length, LZF
//! ```

use std::cell::RefCell;

use ochre_datatypes::number::parse_i64;

use crate::lzf::Compressor;

/// Where bytes are written to. An output that may fail keeps its first error, and ignores what follows.
pub trait Output {
    /// Appends bytes.
    fn put(&mut self, bytes: &[u8]);
}

impl Output for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// The marks of strings that are not their bytes.
pub(super) const INT_8: u8 = 0xc0;
pub(super) const INT_16: u8 = 0xc1;
pub(super) const INT_32: u8 = 0xc2;
pub(super) const COMPRESSED: u8 = 0xc3;

/// A shorter string is not compressed.
const COMPRESSED_LEN_MIN: usize = 21;
/// Compression must save at least this many bytes.
const SAVED_MIN: usize = 4;

/// Writes a length or another number.
pub fn put_len(out: &mut impl Output, len: u64) {
    let (bytes, len) = len_bytes(len);
    out.put(&bytes[..len]);
}

fn len_bytes(len: u64) -> ([u8; 9], usize) {
    let mut bytes = [0; 9];
    let used = match len {
        0..0x40 => {
            bytes[0] = len as u8;
            1
        }
        0x40..0x4000 => {
            bytes[..2].copy_from_slice(&(0x4000 | len as u16).to_be_bytes());
            2
        }
        0x4000..0x1_0000_0000 => {
            bytes[0] = 0x80;
            bytes[1..5].copy_from_slice(&(len as u32).to_be_bytes());
            5
        }
        _ => {
            bytes[0] = 0x81;
            bytes[1..].copy_from_slice(&len.to_be_bytes());
            9
        }
    };
    (bytes, used)
}

/// Writes a string, compressed if that is asked for and saves something. (Redis: `rdbSaveRawString`)
pub fn put_string(out: &mut impl Output, bytes: &[u8], compress: bool) {
    // The text of an integer of 32 bits has at most 11 characters.
    if bytes.len() <= 11
        && let Some(integer) = parse_i64(bytes)
        && put_small_integer(out, integer)
    {
        return;
    }
    if compress && bytes.len() >= COMPRESSED_LEN_MIN && put_compressed(out, bytes) {
        return;
    }
    put_len(out, bytes.len() as u64);
    out.put(bytes);
}

/// Writes the text of an integer as a string.
pub fn put_integer(out: &mut impl Output, integer: i64) {
    if !put_small_integer(out, integer) {
        let mut buffer = itoa::Buffer::new();
        let text = buffer.format(integer).as_bytes();
        put_len(out, text.len() as u64);
        out.put(text);
    }
}

/// Writes an integer of at most 32 bits. Returns whether it is one.
fn put_small_integer(out: &mut impl Output, integer: i64) -> bool {
    if let Ok(byte) = i8::try_from(integer) {
        out.put(&[INT_8, byte as u8]);
    } else if let Ok(short) = i16::try_from(integer) {
        let [low, high] = short.to_le_bytes();
        out.put(&[INT_16, low, high]);
    } else if let Ok(word) = i32::try_from(integer) {
        let [a, b, c, d] = word.to_le_bytes();
        out.put(&[INT_32, a, b, c, d]);
    } else {
        return false;
    }
    true
}

thread_local! {
    /// The table of the compressor, and its output.
    static COMPRESSOR: RefCell<(Compressor, Vec<u8>)> = RefCell::default();
}

fn put_compressed(out: &mut impl Output, bytes: &[u8]) -> bool {
    /// A buffer of more bytes is not kept.
    const KEPT_BYTES_MAX: usize = 1 << 20;
    COMPRESSOR.with_borrow_mut(|(compressor, compressed)| {
        compressed.clear();
        let is_shorter = compressor.compress(bytes, bytes.len() - SAVED_MIN, compressed);
        if is_shorter {
            out.put(&[COMPRESSED]);
            put_len(out, compressed.len() as u64);
            put_len(out, bytes.len() as u64);
            out.put(compressed);
        }
        compressed.shrink_to(KEPT_BYTES_MAX);
        is_shorter
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_take_the_fewest_bytes() {
        let written = |len| {
            let mut out = Vec::new();
            put_len(&mut out, len);
            out
        };
        assert_eq!(written(0), [0]);
        assert_eq!(written(63), [63]);
        assert_eq!(written(64), [0x40, 64]);
        assert_eq!(written(16383), [0x7f, 0xff]);
        assert_eq!(written(16384), [0x80, 0, 0, 0x40, 0]);
        assert_eq!(written(u32::MAX.into()), [0x80, 0xff, 0xff, 0xff, 0xff]);
        assert_eq!(written(1 << 32), [0x81, 0, 0, 0, 1, 0, 0, 0, 0]);
    }

    #[test]
    fn strings_of_integers_are_integers() {
        let written = |text: &str| {
            let mut out = Vec::new();
            put_string(&mut out, text.as_bytes(), true);
            out
        };
        assert_eq!(written("-128"), [0xc0, 0x80]);
        assert_eq!(written("300"), [0xc1, 0x2c, 1]);
        assert_eq!(written("-2147483648"), [0xc2, 0, 0, 0, 0x80]);
        assert_eq!(written("2147483648")[..3], [10, b'2', b'1']);
        assert_eq!(written("007"), [3, b'0', b'0', b'7']);
        assert_eq!(written(&"a".repeat(20))[0], 20);
        assert_eq!(written(&"a".repeat(21))[0], 0xc3);
    }
}
