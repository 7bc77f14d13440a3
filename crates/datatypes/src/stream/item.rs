//! The encoding of a field or a value in a block, and its length in a listpack, by which `stream-node-max-bytes` is measured.
//!
//! ```text
//! 0vvvvvvv                            an integer from 0 to 127
//! 10llllll, bytes                     a string of up to 63 bytes
//! 110vvvvv vvvvvvvv                   an integer of 13 bits
//! 1110llll llllllll, bytes            a string of up to 4,095 bytes
//! 11110000, length in 4 bytes, bytes  a longer string
//! 11110001 … 11110100, then           an integer of 2, 3, 4 or 8 bytes
//! ```
//!
//! This is an element of a listpack without its back length, since blocks are only walked forwards.

use crate::number::parse_i64;

/// A field or a value. A string that is exactly how an integer is written is kept as that integer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item<'a> {
    /// An integer; see [`parse_i64`].
    Integer(i64),
    /// Any other string.
    Bytes(&'a [u8]),
}

impl<'a> Item<'a> {
    /// Makes an item of a string.
    #[inline]
    pub fn new(text: &'a [u8]) -> Item<'a> {
        match text {
            // The first byte of most strings shows that they are no integers.
            [b'0'..=b'9' | b'-', ..] => parse_i64(text).map_or(Item::Bytes(text), Item::Integer),
            _ => Item::Bytes(text),
        }
    }

    /// Returns the string. That of an integer is written to `digits`.
    #[inline]
    pub fn text<'b>(self, digits: &'b mut itoa::Buffer) -> &'b [u8]
    where
        'a: 'b,
    {
        match self {
            Item::Integer(integer) => digits.format(integer).as_bytes(),
            Item::Bytes(bytes) => bytes,
        }
    }

    /// Appends the item to the bytes of a block.
    #[inline]
    pub(super) fn push(self, out: &mut Vec<u8>) {
        match self {
            Item::Integer(integer) => push_integer(out, integer),
            Item::Bytes(bytes) => {
                match bytes.len() {
                    len @ 0..64 => out.push(0x80 | len as u8),
                    len @ 64..4096 => out.extend_from_slice(&[0xe0 | (len >> 8) as u8, len as u8]),
                    len => {
                        out.push(0xf0);
                        out.extend_from_slice(&(len as u32).to_le_bytes());
                    }
                }
                out.extend_from_slice(bytes);
            }
        }
    }

    /// Reads the item at an offset, and advances the offset behind it.
    #[inline]
    pub(super) fn read(bytes: &'a [u8], at: &mut usize) -> Item<'a> {
        let tag = bytes[*at];
        *at += 1;
        let mut take = |len: usize| {
            let taken = &bytes[*at..*at + len];
            *at += len;
            taken
        };
        match tag {
            0..0x80 => Item::Integer(tag.into()),
            0x80..0xc0 => Item::Bytes(take((tag & 0x3f).into())),
            0xc0..0xe0 => {
                let value = i64::from(tag & 0x1f) << 8 | i64::from(take(1)[0]);
                Item::Integer((value << 51) >> 51)
            }
            0xe0..0xf0 => {
                let len = usize::from(tag & 0x0f) << 8 | usize::from(take(1)[0]);
                Item::Bytes(take(len))
            }
            0xf0 => {
                let len = u32::from_le_bytes(take(4).try_into().expect("the slice has 4 bytes"));
                Item::Bytes(take(len as usize))
            }
            0xf1..=0xf4 => {
                let len = INTEGER_LENS[usize::from(tag - 0xf1)];
                let mut value = [0; 8];
                value[..len].copy_from_slice(take(len));
                let unused_bits = 64 - 8 * len as u32;
                Item::Integer((i64::from_le_bytes(value) << unused_bits) >> unused_bits)
            }
            _ => unreachable!("no item begins with {tag:#x}"),
        }
    }

    /// Returns the length of the item as an element of a listpack, with its back length.
    #[inline]
    pub(super) fn listpack_len(self) -> usize {
        match self {
            Item::Integer(integer) => listpack_len_of_integer(integer),
            Item::Bytes(bytes) => {
                let header = match bytes.len() {
                    0..64 => 1,
                    64..4096 => 2,
                    _ => 5,
                };
                let len = header + bytes.len();
                len + match len {
                    0..=127 => 1,
                    128..16_383 => 2,
                    16_383..2_097_151 => 3,
                    2_097_151..268_435_455 => 4,
                    _ => 5,
                }
            }
        }
    }
}

/// The lengths of the integers with the tags 0xf1 to 0xf4.
const INTEGER_LENS: [usize; 4] = [2, 3, 4, 8];

fn push_integer(out: &mut Vec<u8>, integer: i64) {
    let bytes = integer.to_le_bytes();
    match integer {
        0..=127 => out.push(integer as u8),
        -4096..=4095 => out.extend_from_slice(&[0xc0 | (integer >> 8) as u8 & 0x1f, bytes[0]]),
        -0x8000..=0x7fff => out.extend_from_slice(&[0xf1, bytes[0], bytes[1]]),
        -0x80_0000..=0x7f_ffff => out.extend_from_slice(&[0xf2, bytes[0], bytes[1], bytes[2]]),
        -0x8000_0000..=0x7fff_ffff => out.extend_from_slice(&[0xf3, bytes[0], bytes[1], bytes[2], bytes[3]]),
        _ => {
            out.push(0xf4);
            out.extend_from_slice(&bytes);
        }
    }
}

/// Returns the length of an integer as an element of a listpack, with its back length of one byte.
#[inline]
pub(super) fn listpack_len_of_integer(integer: i64) -> usize {
    1 + match integer {
        0..=127 => 1,
        -4096..=4095 => 2,
        -0x8000..=0x7fff => 3,
        -0x80_0000..=0x7f_ffff => 4,
        -0x8000_0000..=0x7fff_ffff => 5,
        _ => 9,
    }
}

/// Appends a number as a varint: seven bits a byte, the lowest first.
#[inline]
pub(super) fn push_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Reads a number that [`push_number`] wrote, and advances the offset behind it.
#[inline]
pub(super) fn read_number(bytes: &[u8], at: &mut usize) -> u64 {
    let mut number = 0;
    let mut shift = 0;
    loop {
        let byte = bytes[*at];
        *at += 1;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return number;
        }
        shift += 7;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_read_back() {
        let long = vec![b'x'; 70_000];
        let mut texts: Vec<Vec<u8>> = vec![b"".into(), b"-".into(), b"007".into(), b"-0".into(), b"1.5".into()];
        for len in [1, 63, 64, 4095, 4096, 70_000] {
            texts.push(long[..len].to_vec());
        }
        for bits in 0..63 {
            for near in -1..=1 {
                texts.push(((1i64 << bits) + near).to_string().into_bytes());
                texts.push((-(1i64 << bits) + near).to_string().into_bytes());
            }
        }
        texts.push(i64::MAX.to_string().into_bytes());
        texts.push(i64::MIN.to_string().into_bytes());
        let mut bytes = Vec::new();
        texts.iter().for_each(|text| Item::new(text).push(&mut bytes));
        let mut at = 0;
        for text in &texts {
            let before = at;
            let item = Item::read(&bytes, &mut at);
            assert_eq!(item.text(&mut itoa::Buffer::new()), text);
            let back_len = item.listpack_len() - (at - before);
            assert!((1..=3).contains(&back_len));
        }
        assert_eq!(at, bytes.len());
    }

    #[test]
    fn numbers_read_back() {
        let mut bytes = Vec::new();
        let numbers = [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX];
        numbers.iter().for_each(|number| push_number(&mut bytes, *number));
        let mut at = 0;
        assert!(numbers.iter().all(|number| read_number(&bytes, &mut at) == *number));
        assert_eq!(at, bytes.len());
    }
}
