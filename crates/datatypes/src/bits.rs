//! Strings as bitmaps: the computations of SETBIT, GETBIT, BITCOUNT, BITPOS, BITOP and BITFIELD.
//!
//! ```text
//!   byte      0               1
//!   bit    0 1 2 3 4 5 6 7 | 8 9 …      bit 0 is the highest bit of byte 0; bits behind the end are 0
//!
//!   field  u5 at offset 6:      6 7 | 8 9 10         the highest bit comes first, as in the bytes
//! ```
//!
//! Loops over whole strings work on words, and on the processor's vector registers if it has them.

use std::ops::Range;

use crate::allocation::reserve_to_append;

/// Returns whether a bit is set.
#[inline]
pub fn get(bytes: &[u8], offset: u64) -> bool {
    bytes.get((offset / 8) as usize).is_some_and(|byte| byte & mask_of(offset) != 0)
}

/// Sets or clears a bit, and returns whether it was set.
///
/// # Panics
/// If the bit lies behind the end of the string.
#[inline]
pub fn set(bytes: &mut [u8], offset: u64, on: bool) -> bool {
    let byte = &mut bytes[(offset / 8) as usize];
    let before = *byte & mask_of(offset) != 0;
    if on {
        *byte |= mask_of(offset);
    } else {
        *byte &= !mask_of(offset);
    }
    before
}

fn mask_of(offset: u64) -> u8 {
    0x80 >> (offset % 8)
}

/// Extends a shorter string with zeros to `len` bytes. Many zeros are allocated as zeroed memory, which the system provides page by page
/// when it is first touched.
pub fn grow(bytes: &mut Vec<u8>, len: usize) {
    const FRESH_MIN: usize = 1 << 20;
    if len <= bytes.len() {
        return;
    }
    let added = len - bytes.len();
    if added < FRESH_MIN || len <= bytes.capacity() {
        reserve_to_append(bytes, added);
        bytes.resize(len, 0);
    } else {
        let mut grown = vec![0; len];
        grown[..bytes.len()].copy_from_slice(bytes);
        *bytes = grown;
    }
}

/// Counts the bits of a range that are set. The range must lie within the string.
pub fn count(bytes: &[u8], bits: Range<u64>) -> u64 {
    if bits.is_empty() {
        return 0;
    }
    let (first, last) = ((bits.start / 8) as usize, ((bits.end - 1) / 8) as usize);
    let outside = u64::from((bytes[first] & !from_bit(bits.start)).count_ones())
        + u64::from((bytes[last] & !until_bit(bits.end)).count_ones());
    count_all(&bytes[first..=last]) - outside
}

/// Returns a mask of a bit's byte: the bit, and those behind it.
fn from_bit(bit: u64) -> u8 {
    0xff >> (bit % 8)
}

/// Returns a mask of the byte in which a range ends: the bits before `end`, which must be above 0.
fn until_bit(end: u64) -> u8 {
    0xff << (7 - (end - 1) % 8)
}

fn count_all(bytes: &[u8]) -> u64 {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512vpopcntdq") && is_x86_feature_detected!("avx512f") {
            // SAFETY: the processor was asked for the features that the function is compiled for.
            return unsafe { count_with_avx512(bytes) };
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("popcnt") {
            // SAFETY: as above.
            return unsafe { count_with_avx2(bytes) };
        }
    }
    count_words(bytes)
}

/// The same loop, compiled for processors that count eight words with one instruction.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vpopcntdq,popcnt")]
fn count_with_avx512(bytes: &[u8]) -> u64 {
    count_words(bytes)
}

/// The same loop, compiled for processors that look up the counts of 32 half bytes with one instruction.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,popcnt")]
fn count_with_avx2(bytes: &[u8]) -> u64 {
    count_words(bytes)
}

#[inline(always)]
fn count_words(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let words: u64 = words.iter().map(|word| u64::from(u64::from_ne_bytes(*word).count_ones())).sum();
    words + rest.iter().map(|byte| u64::from(byte.count_ones())).sum::<u64>()
}

/// Returns the first bit of a range that is set or, if `on` is false, clear. The range must lie within the string.
pub fn position(bytes: &[u8], on: bool, bits: Range<u64>) -> Option<u64> {
    if bits.is_empty() {
        return None;
    }
    // A clear bit is a set bit of the complement.
    let flip = if on { 0x00 } else { 0xff };
    let (first, last) = ((bits.start / 8) as usize, ((bits.end - 1) / 8) as usize);
    let found = |at: usize, byte: u8| Some(at as u64 * 8 + u64::from(byte.leading_zeros()));
    let mut head = (bytes[first] ^ flip) & from_bit(bits.start);
    if first == last {
        head &= until_bit(bits.end);
    }
    if head != 0 {
        return found(first, head);
    }
    if first == last {
        return None;
    }
    let middle = &bytes[first + 1..last];
    if let Some(skipped) = find_other_than(middle, flip) {
        let at = first + 1 + skipped;
        return found(at, bytes[at] ^ flip);
    }
    let tail = (bytes[last] ^ flip) & until_bit(bits.end);
    if tail != 0 { found(last, tail) } else { None }
}

/// Returns the position of the first byte that is not this one.
fn find_other_than(bytes: &[u8], byte: u8) -> Option<usize> {
    const BLOCK: usize = 128;
    let (blocks, rest) = bytes.as_chunks::<BLOCK>();
    let block = blocks.iter().position(|block| block.iter().fold(0, |found, it| found | (it ^ byte)) != 0);
    let from = block.unwrap_or(blocks.len()) * BLOCK;
    let within = if block.is_some() { &bytes[from..from + BLOCK] } else { rest };
    within.iter().position(|it| *it != byte).map(|at| from + at)
}

/// The operations of BITOP. (Redis: the BITOP page)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// The bits that all strings have.
    And,
    /// The bits that at least one string has.
    Or,
    /// The bits that an odd number of strings have.
    Xor,
    /// The bits that the string does not have. There is one string only.
    Not,
    /// The bits that the first string has, but none of the others.
    Diff,
    /// The bits that at least one of the others has, but not the first string.
    Diff1,
    /// The bits that the first string has, and at least one of the others.
    AndOr,
    /// The bits that exactly one string has.
    One,
}

impl Operation {
    /// Parses the name of an operation, whose letters may be in any case.
    pub fn parse(word: &[u8]) -> Option<Operation> {
        const NAMES: [(&str, Operation); 8] = [
            ("AND", Operation::And),
            ("OR", Operation::Or),
            ("XOR", Operation::Xor),
            ("NOT", Operation::Not),
            ("DIFF", Operation::Diff),
            ("DIFF1", Operation::Diff1),
            ("ANDOR", Operation::AndOr),
            ("ONE", Operation::One),
        ];
        NAMES.iter().find(|(name, _)| word.eq_ignore_ascii_case(name.as_bytes())).map(|(_, operation)| *operation)
    }

    /// Computes the operation on strings. Shorter strings count as extended with zeros to the length of the longest.
    ///
    /// # Panics
    /// If there is no string.
    pub fn of(self, strings: &[&[u8]]) -> Vec<u8> {
        // The strings are combined block by block, so that the result's block stays in the cache.
        const BLOCK: usize = 8192;
        let len = strings.iter().map(|string| string.len()).max().expect("there is at least one string");
        let mut result = Vec::with_capacity(len);
        let mut parts = Vec::with_capacity(strings.len());
        while result.len() < len {
            let (from, end) = (result.len(), len.min(result.len() + BLOCK));
            parts.clear();
            parts.extend(strings.iter().map(|string| &string[from.min(string.len())..end.min(string.len())]));
            self.append_block(&mut result, end, &parts);
        }
        result
    }

    /// Appends the result for parts of the strings, up to the length `end`.
    fn append_block(self, result: &mut Vec<u8>, end: usize, parts: &[&[u8]]) {
        const NOTHING: &[u8] = &[];
        let (first, others) = parts.split_first().expect("there is at least one string");
        // Some operations combine the other strings first, and then the result with the first string.
        let first_comes_last = matches!(self, Operation::Diff | Operation::Diff1 | Operation::AndOr);
        let (begin, rest) =
            if first_comes_last { others.split_first().unwrap_or((&NOTHING, &[])) } else { (first, others) };
        let from = result.len();
        result.extend_from_slice(begin);
        result.resize(end, 0);
        let block = &mut result[from..];
        match self {
            Operation::And => rest.iter().for_each(|part| zip_all(block, part, |a, b| a & b)),
            Operation::Or | Operation::Diff | Operation::Diff1 | Operation::AndOr => {
                rest.iter().for_each(|part| zip(block, part, |a, b| a | b));
            }
            Operation::Xor => rest.iter().for_each(|part| zip(block, part, |a, b| a ^ b)),
            Operation::Not => block.iter_mut().for_each(|byte| *byte = !*byte),
            Operation::One => keep_ones(block, rest),
        }
        match self {
            Operation::Diff => zip_all(block, first, |others, first| first & !others),
            Operation::Diff1 => zip(block, first, |others, first| others & !first),
            Operation::AndOr => zip_all(block, first, |others, first| first & others),
            _ => {}
        }
    }
}

/// Combines bytes with those of another string, which may be shorter. The bytes behind its end are left as they are.
#[inline]
fn zip(bytes: &mut [u8], other: &[u8], combine: impl Fn(u8, u8) -> u8) {
    for (byte, other) in bytes.iter_mut().zip(other) {
        *byte = combine(*byte, *other);
    }
}

/// As [`zip`], but clears the bytes behind the end of the other string. This is right for operations whose result with 0 is 0.
#[inline]
fn zip_all(bytes: &mut [u8], other: &[u8], combine: impl Fn(u8, u8) -> u8) {
    bytes[other.len()..].fill(0);
    zip(bytes, other, combine);
}

/// Keeps the bits that exactly one string has. The first string is in `bytes`.
fn keep_ones(bytes: &mut [u8], others: &[&[u8]]) {
    let mut twice = vec![0; bytes.len()];
    for other in others {
        for ((once, twice), other) in bytes.iter_mut().zip(&mut twice).zip(*other) {
            *twice |= *once & other;
            *once |= other;
        }
    }
    zip(bytes, &twice, |once, twice| once & !twice);
}

/// The type of a field of BITFIELD: a signed or unsigned integer of some bits, such as `i8` or `u63`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    signed: bool,
    /// 1 to 64; at most 63 for an unsigned field, since replies are signed.
    bits: u8,
}

/// What happens if a value does not fit into a field. (Redis: the BITFIELD page)
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overflow {
    /// WRAP: the low bits of the value are stored.
    #[default]
    Wrap,
    /// SAT: the greatest or the least value of the field is stored.
    Saturate,
    /// FAIL: nothing is stored.
    Fail,
}

impl Overflow {
    /// Parses WRAP, SAT or FAIL, in letters of any case.
    pub fn parse(word: &[u8]) -> Option<Overflow> {
        match word {
            _ if word.eq_ignore_ascii_case(b"WRAP") => Some(Overflow::Wrap),
            _ if word.eq_ignore_ascii_case(b"SAT") => Some(Overflow::Saturate),
            _ if word.eq_ignore_ascii_case(b"FAIL") => Some(Overflow::Fail),
            _ => None,
        }
    }
}

impl Field {
    /// Parses `i` or `u` and a number of bits. As in C, a zero byte ends the number.
    pub fn parse(word: &[u8]) -> Option<Field> {
        let (signed, bits_max) = match word.first()? {
            b'i' => (true, 64),
            b'u' => (false, 63),
            _ => return None,
        };
        let digits = word[1..].split(|byte| *byte == 0).next().unwrap_or_default();
        let bits = crate::number::parse_i64(digits).filter(|bits| (1..=bits_max).contains(bits))?;
        Some(Field { signed, bits: bits as u8 })
    }

    /// Returns the number of bits.
    pub fn bits(self) -> u8 {
        self.bits
    }

    /// Reads the field at a bit offset. Bits behind the end of the string are 0.
    pub fn get(self, bytes: &[u8], offset: u64) -> i64 {
        let first = usize::try_from(offset / 8).unwrap_or(usize::MAX).min(bytes.len());
        let mut window = [0; 16];
        let there = &bytes[first..bytes.len().min(first + 9)];
        window[..there.len()].copy_from_slice(there);
        let from_field = u128::from_be_bytes(window) << (offset % 8);
        let unused = 128 - u32::from(self.bits);
        if self.signed { (from_field as i128 >> unused) as i64 } else { (from_field >> unused) as i64 }
    }

    /// Stores the low bits of a value in the field at a bit offset.
    ///
    /// # Panics
    /// If the field does not lie within the string.
    pub fn set(self, bytes: &mut [u8], offset: u64, value: i64) {
        let first = (offset / 8) as usize;
        let last = ((offset + u64::from(self.bits) - 1) / 8) as usize;
        let span = &mut bytes[first..=last];
        let mut window = [0; 16];
        window[..span.len()].copy_from_slice(span);
        let shift = 128 - u32::from(self.bits) - (offset % 8) as u32;
        let mask = (u128::MAX >> (128 - u32::from(self.bits))) << shift;
        let changed = u128::from_be_bytes(window) & !mask | ((value as u64 as u128) << shift) & mask;
        span.copy_from_slice(&changed.to_be_bytes()[..span.len()]);
    }

    /// Returns what BITFIELD's SET stores for a value, or `None` if it overflows and must not.
    pub fn fit(self, value: i64, overflow: Overflow) -> Option<i64> {
        self.sum(value, 0, overflow)
    }

    /// Returns what BITFIELD's INCRBY stores for a value of the field and an increment, or `None` if the sum overflows and must not.
    ///
    /// As on Redis, a value far below the least one of a signed field saturates to the greatest one, if their distance is no 64-bit number.
    /// (`checkSignedBitfieldOverflow`, bitops.c)
    pub fn sum(self, value: i64, increment: i64, overflow: Overflow) -> Option<i64> {
        if self.signed {
            self.signed_sum(value, increment, overflow)
        } else {
            self.unsigned_sum(value, increment, overflow)
        }
    }

    fn signed_sum(self, value: i64, increment: i64, overflow: Overflow) -> Option<i64> {
        let max = i64::MAX >> (64 - self.bits);
        let min = -max - 1;
        let (increment_max, increment_min) = (max.wrapping_sub(value), min.wrapping_sub(value));
        let narrow = self.bits < 64;
        let above = value > max
            || narrow && increment > increment_max
            || value >= 0 && increment > 0 && increment > increment_max;
        let below = value < min
            || narrow && increment < increment_min
            || value < 0 && increment < 0 && increment < increment_min;
        let unused = 64 - self.bits;
        match overflow {
            _ if !above && !below => Some(value + increment),
            Overflow::Wrap => Some(value.wrapping_add(increment) << unused >> unused),
            Overflow::Saturate => Some(if above { max } else { min }),
            Overflow::Fail => None,
        }
    }

    fn unsigned_sum(self, value: i64, increment: i64, overflow: Overflow) -> Option<i64> {
        let max = i64::MAX >> (63 - self.bits);
        // A negative value of SET counts as one that is too great.
        let above = value < 0 || value > max || increment > 0 && increment > max - value;
        let below = !above && increment < 0 && increment < -value;
        match overflow {
            _ if !above && !below => Some(value + increment),
            Overflow::Wrap => Some(value.wrapping_add(increment) & max),
            Overflow::Saturate => Some(if above { max } else { 0 }),
            Overflow::Fail => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bits_of(bytes: &[u8]) -> Vec<bool> {
        (0..bytes.len() as u64 * 8).map(|offset| get(bytes, offset)).collect()
    }

    #[test]
    fn the_highest_bit_comes_first() {
        let mut bytes = vec![0, 0];
        assert!(!set(&mut bytes, 1, true));
        assert!(!set(&mut bytes, 15, true));
        assert_eq!(bytes, [0x40, 0x01]);
        assert!(set(&mut bytes, 1, false));
        assert_eq!(bytes, [0, 1]);
        assert!(get(&bytes, 15));
        assert!(!get(&bytes, 16) && !get(&bytes, u64::MAX));
    }

    #[test]
    fn fields_have_a_sign_and_up_to_64_bits() {
        for (word, field) in [
            ("i8", Some((true, 8))),
            ("u63", Some((false, 63))),
            ("i64", Some((true, 64))),
            ("u1\0x", Some((false, 1))),
            ("u64", None),
            ("i65", None),
            ("i0", None),
            ("I8", None),
            ("u", None),
            ("", None),
            ("u+8", None),
            ("u08", None),
        ] {
            let expected = field.map(|(signed, bits)| Field { signed, bits });
            assert_eq!(Field::parse(word.as_bytes()), expected, "{word:?}");
        }
    }

    #[test]
    fn overflow_is_as_in_redis() {
        let check = |field: &str, value, increment, [wrapped, saturated]: [i64; 2]| {
            let field = Field::parse(field.as_bytes()).expect("the name of a field's type");
            let sum = |overflow| field.sum(value, increment, overflow);
            assert_eq!([sum(Overflow::Wrap), sum(Overflow::Saturate)], [Some(wrapped), Some(saturated)], "{field:?}");
            assert_eq!(sum(Overflow::Fail).is_none(), wrapped != value.wrapping_add(increment), "{field:?}");
        };
        check("i8", 127, 1, [-128, 127]);
        check("i8", -128, -1, [127, -128]);
        check("i8", 100, 27, [127, 127]);
        check("i8", 300, 0, [44, 127]);
        check("i8", -300, 0, [-44, -128]);
        check("i8", i64::MIN, 0, [0, 127]);
        check("u8", 255, 1, [0, 255]);
        check("u8", 0, -1, [255, 0]);
        check("u8", -1, 0, [255, 255]);
        check("u63", i64::MAX, 1, [0, i64::MAX]);
        check("u1", 1, 1, [0, 1]);
        check("u1", 1, i64::MIN, [1, 0]);
        let widest = Field::parse(b"i64").expect("the name of a field's type");
        assert_eq!(widest.sum(i64::MAX, 1, Overflow::Wrap), Some(i64::MIN));
        assert_eq!(widest.sum(i64::MAX, 1, Overflow::Saturate), Some(i64::MAX));
        assert_eq!(widest.sum(i64::MIN, -1, Overflow::Saturate), Some(i64::MIN));
        assert_eq!(widest.sum(i64::MIN, -1, Overflow::Fail), None);
        assert_eq!(widest.sum(-1, i64::MAX, Overflow::Fail), Some(i64::MAX - 1));
    }

    proptest! {
        #[test]
        fn counts_and_positions_are_those_of_single_bits(
            bytes in prop::collection::vec(prop::sample::select(vec![0u8, 0, 0xff, 0xff, 0x10, 0xa7]), 1..600),
            from in 0u64..4800,
            len in 0u64..4800,
        ) {
            let all = bits_of(&bytes);
            let end = (from + len).min(all.len() as u64);
            let range = from.min(end)..end;
            let part = &all[range.start as usize..range.end as usize];
            prop_assert_eq!(count(&bytes, range.clone()), part.iter().filter(|on| **on).count() as u64);
            for on in [false, true] {
                let expected = part.iter().position(|bit| *bit == on).map(|at| range.start + at as u64);
                prop_assert_eq!(position(&bytes, on, range.clone()), expected);
            }
        }

        #[test]
        fn every_way_of_counting_counts_the_same(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
            let plain: u64 = bytes.iter().map(|byte| u64::from(byte.count_ones())).sum();
            prop_assert_eq!(count_all(&bytes), plain);
            prop_assert_eq!(count_words(&bytes), plain);
        }

        #[test]
        fn operations_are_those_of_single_bits(
            strings in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..6),
        ) {
            let len = strings.iter().map(Vec::len).max().unwrap_or(0);
            let refs: Vec<&[u8]> = strings.iter().map(Vec::as_slice).collect();
            let model = |combine: &dyn Fn(bool, usize, bool) -> bool| -> Vec<u8> {
                let mut result = vec![0; len];
                for offset in 0..len as u64 * 8 {
                    let on = refs[1..].iter().filter(|string| get(string, offset)).count();
                    set(&mut result, offset, combine(get(refs[0], offset), on, on == refs.len() - 1));
                }
                result
            };
            prop_assert_eq!(Operation::And.of(&refs), model(&|first, _, all| first && all));
            prop_assert_eq!(Operation::Or.of(&refs), model(&|first, others, _| first || others > 0));
            prop_assert_eq!(Operation::Xor.of(&refs), model(&|first, others, _| first ^ (others % 2 == 1)));
            prop_assert_eq!(Operation::Diff.of(&refs), model(&|first, others, _| first && others == 0));
            prop_assert_eq!(Operation::Diff1.of(&refs), model(&|first, others, _| !first && others > 0));
            prop_assert_eq!(Operation::AndOr.of(&refs), model(&|first, others, _| first && others > 0));
            prop_assert_eq!(Operation::One.of(&refs), model(&|first, others, _| usize::from(first) + others == 1));
            let complement: Vec<u8> = strings[0].iter().map(|byte| !byte).collect();
            prop_assert_eq!(Operation::Not.of(&refs[..1]), complement);
        }

        #[test]
        fn fields_read_back(
            mut bytes in prop::collection::vec(any::<u8>(), 20..30),
            bits in 1u8..=64,
            signed in any::<bool>(),
            offset in 0u64..90,
            value in any::<i64>(),
        ) {
            let field = Field { signed, bits: if signed { bits } else { bits.min(63) } };
            let value = field.fit(value, Overflow::Wrap).expect("wrapped");
            let before = bits_of(&bytes);
            field.set(&mut bytes, offset, value);
            prop_assert_eq!(field.get(&bytes, offset), value);
            let (start, end) = (offset as usize, offset as usize + usize::from(field.bits));
            let after = bits_of(&bytes);
            prop_assert_eq!(&before[..start], &after[..start]);
            prop_assert_eq!(&before[end..], &after[end..]);
            let unsigned = after[start..end].iter().fold(0u64, |value, bit| value << 1 | u64::from(*bit));
            prop_assert_eq!(unsigned, value as u64 & (u64::MAX >> (64 - field.bits)));
        }

        #[test]
        fn bits_behind_the_end_are_zeros(bytes in prop::collection::vec(any::<u8>(), 0..12), offset in 0u64..200) {
            let field = Field { signed: false, bits: 63 };
            let mut longer = bytes.clone();
            grow(&mut longer, 40);
            prop_assert_eq!(field.get(&bytes, offset), field.get(&longer, offset));
            prop_assert_eq!(field.get(&bytes, u64::MAX - 3), 0);
        }
    }
}
