//! Reading lengths, strings and numbers; see the picture in `output.rs`.

use super::output::{COMPRESSED, INT_8, INT_16, INT_32};
use crate::{
    fault::{Fault, FaultKind},
    lzf,
};

/// Where bytes are read from.
pub trait Source {
    /// Returns the next `len` bytes, which lie together. Memory is taken as bytes arrive, not for a length that is only declared.
    fn take(&mut self, len: usize) -> Result<&[u8], Fault>;

    /// As [`Source::take`], for bytes that are kept.
    fn take_vec(&mut self, len: usize) -> Result<Vec<u8>, Fault> {
        self.take(len).map(<[u8]>::to_vec)
    }

    /// Returns the offset of the next byte.
    fn offset(&self) -> u64;
}

/// A source that is in memory.
pub struct Slice<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Slice<'a> {
    /// Reads from the beginning of the bytes.
    pub fn new(bytes: &'a [u8]) -> Slice<'a> {
        Slice { bytes, at: 0 }
    }

    /// Returns the bytes that were not read.
    pub fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at..]
    }
}

impl Source for Slice<'_> {
    fn take(&mut self, len: usize) -> Result<&[u8], Fault> {
        let taken = self.bytes[self.at..].get(..len).ok_or(Fault::truncated(self.bytes.len() as u64))?;
        self.at += len;
        Ok(taken)
    }

    fn offset(&self) -> u64 {
        self.at as u64
    }
}

/// What a length's place holds.
enum Length {
    Len(u64),
    /// A string in one of the special encodings, by its mark.
    Special(u8),
}

fn length(source: &mut impl Source) -> Result<Length, Fault> {
    let at = source.offset();
    let first = source.take(1)?[0];
    Ok(match first >> 6 {
        0 => Length::Len(u64::from(first & 0x3f)),
        1 => Length::Len(u64::from(first & 0x3f) << 8 | u64::from(source.take(1)?[0])),
        2 => match first {
            0x80 => Length::Len(u32::from_be_bytes(array(source)?).into()),
            0x81 => Length::Len(u64::from_be_bytes(array(source)?)),
            _ => return Err(Fault::corrupt(at, "unknown length encoding")),
        },
        _ => Length::Special(first),
    })
}

/// Reads a length or another number.
pub fn len(source: &mut impl Source) -> Result<u64, Fault> {
    let at = source.offset();
    match length(source)? {
        Length::Len(len) => Ok(len),
        Length::Special(_) => Err(Fault::corrupt(at, "a length is expected, not a string")),
    }
}

/// Reads a string, and calls `visit` with it.
pub(super) fn with_string<S: Source, R>(source: &mut S, visit: impl FnOnce(&[u8]) -> R) -> Result<R, Fault> {
    let at = source.offset();
    match length(source)? {
        Length::Len(len) => {
            let len = usize::try_from(len).map_err(|_| Fault::truncated(at))?;
            source.take(len).map(visit)
        }
        Length::Special(COMPRESSED) => decompressed(source, at).map(|bytes| visit(&bytes)),
        Length::Special(mark) => {
            let integer = integer(source, mark, at)?;
            Ok(visit(itoa::Buffer::new().format(integer).as_bytes()))
        }
    }
}

/// Reads a string that is kept.
pub fn string(source: &mut impl Source) -> Result<Vec<u8>, Fault> {
    let at = source.offset();
    match length(source)? {
        Length::Len(len) => source.take_vec(usize::try_from(len).map_err(|_| Fault::truncated(at))?),
        Length::Special(COMPRESSED) => decompressed(source, at),
        Length::Special(mark) => Ok(itoa::Buffer::new().format(integer(source, mark, at)?).as_bytes().to_vec()),
    }
}

fn integer(source: &mut impl Source, mark: u8, at: u64) -> Result<i64, Fault> {
    Ok(match mark {
        INT_8 => i8::from_le_bytes(array(source)?).into(),
        INT_16 => i16::from_le_bytes(array(source)?).into(),
        INT_32 => i32::from_le_bytes(array(source)?).into(),
        _ => return Err(Fault::corrupt(at, format!("unknown string encoding {:#04x}", mark))),
    })
}

fn decompressed(source: &mut impl Source, at: u64) -> Result<Vec<u8>, Fault> {
    let (compressed_len, len) = (len(source)?, len(source)?);
    let fits = |len: u64| usize::try_from(len).map_err(|_| Fault::truncated(at));
    let (compressed_len, len) = (fits(compressed_len)?, fits(len)?);
    let compressed = source.take(compressed_len)?;
    lzf::decompress(compressed, len).ok_or(Fault::corrupt(at, "a compressed string does not decompress to its length"))
}

/// Reads bytes of a fixed number.
pub(super) fn array<const N: usize>(source: &mut impl Source) -> Result<[u8; N], Fault> {
    Ok(source.take(N)?.try_into().expect("as many bytes were taken"))
}

/// Reads a time in milliseconds since 1970. (Redis: `rdbLoadMillisecondTime`)
pub(super) fn time_ms(source: &mut impl Source) -> Result<i64, Fault> {
    array(source).map(i64::from_le_bytes)
}

/// Reads a double of 8 bytes, which must be a number.
pub(super) fn double(source: &mut impl Source) -> Result<f64, Fault> {
    let at = source.offset();
    let double = f64::from_le_bytes(array(source)?);
    if double.is_nan() { Err(Fault::corrupt(at, "a score is not a number")) } else { Ok(double) }
}

/// Gives a fault of an inner source, such as a listpack, the offset of the place at which the inner bytes lie.
pub(super) fn within<T>(at: u64, result: Result<T, Fault>) -> Result<T, Fault> {
    result.map_err(|fault| match fault.kind {
        FaultKind::Truncated => Fault::corrupt(at, "a packed value ends too early"),
        kind => Fault { offset: at, kind },
    })
}

#[cfg(test)]
mod tests {
    use super::{super::output::*, *};

    #[test]
    fn what_is_written_is_read() {
        let mut out = Vec::new();
        let lens = [0, 63, 64, 16383, 16384, u64::from(u32::MAX), 1 << 32, u64::MAX];
        lens.iter().for_each(|len| put_len(&mut out, *len));
        let long = b"many words, many words, many words".repeat(30);
        let texts: [&[u8]; 9] =
            [b"", b"-128", b"127", b"-32768", b"65535", b"2147483648", b"-2147483648", b"007", &long];
        for compress in [false, true] {
            texts.iter().for_each(|text| put_string(&mut out, text, compress));
        }
        for integer in [0, i64::MIN, i64::MAX, 1 << 31] {
            put_integer(&mut out, integer);
        }
        let mut source = Slice::new(&out);
        for expected in lens {
            assert_eq!(len(&mut source).expect("a length"), expected);
        }
        for expected in texts {
            assert_eq!(string(&mut source).expect("a string"), expected);
        }
        for expected in texts {
            assert!(with_string(&mut source, |text| text == expected).expect("a string"));
        }
        for expected in [0, i64::MIN, i64::MAX, 1 << 31] {
            assert_eq!(string(&mut source).expect("a string"), expected.to_string().as_bytes());
        }
        assert!(source.rest().is_empty());
        assert!(matches!(string(&mut source), Err(Fault { kind: FaultKind::Truncated, .. })));
    }
}
