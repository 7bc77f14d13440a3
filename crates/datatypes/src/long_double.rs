//! Long doubles: the 80-bit floating-point numbers of the x86, in which Redis computes INCRBYFLOAT and HINCRBYFLOAT.
//!
//! ```text
//! value = ± mantissa × 2^exponent      mantissa: 64 bits; the highest is set unless the exponent is the least
//!                                      exponent: −16,445 to 16,320
//! ```
//!
//! Text is parsed as by C's `strtold`, and written as by `%.17Lf` without trailing zeros, so that 0.1 and 0.2 make 0.3. (Redis: `string2ld`
//! and `ld2string`, util.c) Parsing, writing and adding compute exactly and round once, to the nearest number, and to the even one of two
//! that are equally near.

use std::ops::{Add, Neg};

/// The longest text that is parsed, in bytes. (Redis: `MAX_LONG_DOUBLE_CHARS`)
const TEXT_LEN_MAX: usize = 5 * 1024 - 1;

/// The most digits that are written behind the point.
const FRACTION_DIGITS: u32 = 17;

/// A long double.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LongDouble {
    negative: bool,
    magnitude: Magnitude,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Magnitude {
    Finite { mantissa: u64, exponent: i32 },
    Infinite,
    NotANumber,
}

/// A binary floating-point format: the bits of the mantissa, and the range of the exponent of its lowest bit.
#[derive(Clone, Copy)]
pub(crate) struct Format {
    bits: u32,
    exponent_min: i32,
    exponent_max: i32,
}

/// The format of long doubles.
const EXTENDED: Format = Format { bits: 64, exponent_min: -16445, exponent_max: 16320 };
/// The format of doubles.
pub(crate) const DOUBLE: Format = Format { bits: 53, exponent_min: -1074, exponent_max: 971 };

impl LongDouble {
    /// Zero.
    pub const ZERO: LongDouble = LongDouble::finite(false, 0, EXTENDED.exponent_min);

    const fn finite(negative: bool, mantissa: u64, exponent: i32) -> LongDouble {
        LongDouble { negative, magnitude: Magnitude::Finite { mantissa, exponent } }
    }

    /// Parses a number: decimal, hexadecimal after `0x`, `inf` or `infinity`. Returns `None` for anything else, including spaces and `nan`,
    /// for a number whose magnitude is too great, and for one other than zero that is too small.
    pub fn parse(text: &[u8]) -> Option<LongDouble> {
        if text.len() > TEXT_LEN_MAX {
            return None;
        }
        let Literal { negative, body } = Literal::parse(text)?;
        let (mantissa, exponent) = match body {
            Body::Infinite => return Some(LongDouble { negative, magnitude: Magnitude::Infinite }),
            Body::Zero => return Some(LongDouble { negative, ..LongDouble::ZERO }),
            Body::Hexadecimal { mantissa, exponent, sticky } => EXTENDED.round(mantissa, exponent, sticky)?,
            Body::Decimal { whole, fraction, exponent } => round_decimal(whole, fraction, exponent)?,
        };
        (mantissa != 0).then_some(LongDouble::finite(negative, mantissa, exponent))
    }

    /// Returns whether the number is neither infinite nor NaN.
    pub fn is_finite(self) -> bool {
        matches!(self.magnitude, Magnitude::Finite { .. })
    }

    /// Appends the number with as many digits behind the point as it needs, at most 17, and without an exponent. A great number has
    /// thousands of digits.
    pub fn write(self, out: &mut Vec<u8>) {
        let Magnitude::Finite { mantissa, exponent } = self.magnitude else {
            out.extend_from_slice(match (self.magnitude, self.negative) {
                (Magnitude::NotANumber, _) => b"nan",
                (_, false) => b"inf",
                (_, true) => b"-inf",
            });
            return;
        };
        let start = out.len();
        if self.negative {
            out.push(b'-');
        }
        if exponent >= 0 {
            Natural::from(mantissa).shifted_left(exponent as u32).write_decimal(out);
        } else {
            // The scaled value has at most 121 bits, so that a shift by more than 122 leaves less than a half.
            let scaled = u128::from(mantissa) * 10u128.pow(FRACTION_DIGITS);
            let rounded =
                if exponent < -122 { 0 } else { shift_right_rounding(scaled, exponent.unsigned_abs(), false) };
            let (whole, fraction) = (rounded / 10u128.pow(FRACTION_DIGITS), rounded % 10u128.pow(FRACTION_DIGITS));
            out.extend_from_slice(itoa::Buffer::new().format(whole).as_bytes());
            if fraction != 0 {
                let digits = format!(".{fraction:017}");
                out.extend_from_slice(digits.trim_end_matches('0').as_bytes());
            }
        }
        if out[start..] == *b"-0" {
            out.remove(start);
        }
    }

    /// Returns the text that [`LongDouble::write`] appends.
    pub fn to_text(self) -> Vec<u8> {
        let mut text = Vec::new();
        self.write(&mut text);
        text
    }
}

impl From<i64> for LongDouble {
    fn from(value: i64) -> LongDouble {
        let magnitude = value.unsigned_abs();
        if magnitude == 0 {
            return LongDouble::ZERO;
        }
        let shift = magnitude.leading_zeros();
        LongDouble::finite(value < 0, magnitude << shift, -(shift as i32))
    }
}

impl From<f64> for LongDouble {
    fn from(value: f64) -> LongDouble {
        let negative = value.is_sign_negative();
        let fraction = value.to_bits() & ((1 << 52) - 1);
        let (mantissa, exponent) = match (value.to_bits() >> 52 & 0x7ff) as i32 {
            0x7ff if fraction == 0 => return LongDouble { negative, magnitude: Magnitude::Infinite },
            0x7ff => return LongDouble { negative, magnitude: Magnitude::NotANumber },
            0 => (fraction, -1074),
            exponent => (fraction | 1 << 52, exponent - 1075),
        };
        if mantissa == 0 {
            return LongDouble { negative, ..LongDouble::ZERO };
        }
        let shift = mantissa.leading_zeros();
        LongDouble::finite(negative, mantissa << shift, exponent - shift as i32)
    }
}

impl Neg for LongDouble {
    type Output = LongDouble;

    fn neg(self) -> LongDouble {
        LongDouble { negative: !self.negative, ..self }
    }
}

impl Add for LongDouble {
    type Output = LongDouble;

    fn add(self, other: LongDouble) -> LongDouble {
        use Magnitude::{Finite, Infinite, NotANumber};
        let not_a_number = LongDouble { negative: false, magnitude: NotANumber };
        match (self.magnitude, other.magnitude) {
            (NotANumber, _) | (_, NotANumber) => not_a_number,
            (Infinite, Infinite) if self.negative != other.negative => not_a_number,
            (Infinite, _) => self,
            (_, Infinite) => other,
            (Finite { exponent: a, .. }, Finite { exponent: b, .. }) if a < b => other + self,
            (Finite { mantissa: a, exponent }, Finite { mantissa: b, exponent: b_exponent }) => {
                // 62 bits below are kept of the operand with the smaller exponent, and there is room for a carry above. Of the lower bits it
                // matters only whether one is set, since the other operand's highest bit is set then.
                const ROOM: u32 = 62;
                let distance = exponent.abs_diff(b_exponent);
                let (a, b) = (u128::from(a) << ROOM, u128::from(b) << ROOM);
                let (b, sticky) = match distance {
                    0..128 => (b >> distance, b & ((1 << distance) - 1) != 0),
                    _ => (0, b != 0),
                };
                let (negative, sum) = if self.negative == other.negative {
                    (self.negative, a + b)
                } else if a >= b {
                    (self.negative, a - b - u128::from(sticky))
                } else {
                    (other.negative, b - a)
                };
                match EXTENDED.round(sum, exponent - ROOM as i32, sticky) {
                    Some((0, exponent)) => LongDouble::finite(self.negative && other.negative, 0, exponent),
                    Some((mantissa, exponent)) => LongDouble::finite(negative, mantissa, exponent),
                    None => LongDouble { negative, magnitude: Infinite },
                }
            }
        }
    }
}

impl Format {
    /// Rounds `value × 2^exponent` to the nearest number of the format, and returns its normalized mantissa and its exponent. `sticky` says
    /// that the exact value is slightly greater; `value` must then have more bits than the format. Returns `None` if the number is too
    /// great.
    pub(crate) fn round(self, value: u128, exponent: i32, sticky: bool) -> Option<(u64, i32)> {
        if value == 0 {
            return Some((0, self.exponent_min));
        }
        let width = 128 - value.leading_zeros();
        let shift = (width as i32 - self.bits as i32).max(self.exponent_min - exponent);
        let (mut mantissa, mut exponent) = if shift <= 0 {
            debug_assert!(!sticky, "bits that the result needs were lost");
            (value << shift.unsigned_abs(), exponent + shift)
        } else {
            (shift_right_rounding(value, shift as u32, sticky), exponent + shift)
        };
        if mantissa >> self.bits != 0 {
            mantissa >>= 1;
            exponent += 1;
        }
        (exponent <= self.exponent_max).then_some((mantissa as u64, exponent))
    }
}

/// Returns `value / 2^shift`, rounded to the nearest integer, and to the even one of two that are equally near. `sticky` says that the
/// exact value is slightly greater.
fn shift_right_rounding(value: u128, shift: u32, sticky: bool) -> u128 {
    match shift {
        0 => value,
        1..128 => {
            let (quotient, rest, half) = (value >> shift, value & ((1 << shift) - 1), 1 << (shift - 1));
            let up = rest > half || rest == half && (sticky || quotient & 1 == 1);
            quotient + u128::from(up)
        }
        128 => u128::from(value > 1 << 127 || value == 1 << 127 && sticky),
        _ => 0,
    }
}

/// The parts of a number's text.
pub(crate) struct Literal<'a> {
    pub negative: bool,
    pub body: Body<'a>,
}

/// The magnitude in a number's text.
pub(crate) enum Body<'a> {
    Infinite,
    Zero,
    /// `whole.fraction × 10^exponent`, not zero.
    Decimal {
        whole: &'a [u8],
        fraction: &'a [u8],
        exponent: i64,
    },
    /// `mantissa × 2^exponent`, not zero. `sticky` says that the exact value is slightly greater.
    Hexadecimal {
        mantissa: u128,
        exponent: i32,
        sticky: bool,
    },
}

/// Exponents are limited to this magnitude. A number of at most [`TEXT_LEN_MAX`] digits with such an exponent is too great or too small in
/// any case.
const EXPONENT_MAX: i64 = 1 << 24;

impl<'a> Literal<'a> {
    /// Parses a whole text as C's `strtod` does, but without spaces and `nan`.
    pub fn parse(text: &'a [u8]) -> Option<Literal<'a>> {
        let (negative, rest) = match text {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            rest => (false, rest),
        };
        let body = match rest {
            [b'0', b'x' | b'X', rest @ ..] => hexadecimal(rest)?,
            [b'i' | b'I', ..] if rest.eq_ignore_ascii_case(b"inf") || rest.eq_ignore_ascii_case(b"infinity") => {
                Body::Infinite
            }
            rest => decimal(rest)?,
        };
        Some(Literal { negative, body })
    }
}

fn decimal(text: &[u8]) -> Option<Body<'_>> {
    let (whole, fraction, rest) = split_digits(text, u8::is_ascii_digit)?;
    let exponent = split_exponent(rest, b'e')?;
    let zero = whole.iter().chain(fraction).all(|&digit| digit == b'0');
    Some(if zero { Body::Zero } else { Body::Decimal { whole, fraction, exponent } })
}

fn hexadecimal(text: &[u8]) -> Option<Body<'_>> {
    let (whole, fraction, rest) = split_digits(text, u8::is_ascii_hexdigit)?;
    let mut exponent = split_exponent(rest, b'p')? - 4 * fraction.len() as i64;
    let (mut mantissa, mut sticky) = (0u128, false);
    for &digit in whole.iter().chain(fraction) {
        let digit = (digit as char).to_digit(16)?;
        if mantissa >> 124 == 0 {
            mantissa = mantissa << 4 | u128::from(digit);
        } else {
            sticky |= digit != 0;
            exponent += 4;
        }
    }
    let exponent = exponent.clamp(-EXPONENT_MAX, EXPONENT_MAX) as i32;
    Some(if mantissa == 0 { Body::Zero } else { Body::Hexadecimal { mantissa, exponent, sticky } })
}

/// Splits a text into the digits before the point, those behind it, and the rest. The point may be missing. Returns `None` if there are no
/// digits.
#[allow(clippy::type_complexity)]
fn split_digits(text: &[u8], is_digit: impl Fn(&u8) -> bool) -> Option<(&[u8], &[u8], &[u8])> {
    let digits_end = |text: &[u8]| text.iter().position(|byte| !is_digit(byte)).unwrap_or(text.len());
    let (whole, rest) = text.split_at(digits_end(text));
    let (fraction, rest) = match rest {
        [b'.', rest @ ..] => rest.split_at(digits_end(rest)),
        rest => (&rest[..0], rest),
    };
    (whole.len() + fraction.len() > 0).then_some((whole, fraction, rest))
}

/// Parses an exponent behind its letter. An empty text is the exponent 0.
fn split_exponent(text: &[u8], letter: u8) -> Option<i64> {
    let (negative, digits) = match text {
        [] => return Some(0),
        [first, b'-', digits @ ..] if first.eq_ignore_ascii_case(&letter) => (true, digits),
        [first, b'+', digits @ ..] | [first, digits @ ..] if first.eq_ignore_ascii_case(&letter) => (false, digits),
        _ => return None,
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value = digits.iter().fold(0, |value: i64, digit| (value * 10 + i64::from(digit - b'0')).min(EXPONENT_MAX));
    Some(if negative { -value } else { value })
}

/// Rounds `whole.fraction × 10^exponent`, which is not zero, to a long double. The mantissa is 0 if the number is too small. Returns `None`
/// if the number is too great.
fn round_decimal(whole: &[u8], fraction: &[u8], exponent: i64) -> Option<(u64, i32)> {
    let exponent = exponent - fraction.len() as i64;
    let mut digits: Vec<u8> = whole.iter().chain(fraction).copied().skip_while(|&digit| digit == b'0').collect();
    let significant = digits.iter().rposition(|&digit| digit != b'0').map_or(0, |last| last + 1);
    let exponent = exponent + (digits.len() - significant) as i64;
    digits.truncate(significant);
    // The greatest long double is 1.2e4932, and the least above zero is 3.6e-4951.
    let magnitude = digits.len() as i64 + exponent;
    if magnitude > 4_940 {
        return None;
    } else if magnitude < -4_960 {
        return Some((0, EXTENDED.exponent_min));
    }
    let exponent = exponent as i32;
    if digits.len() <= 19 && (-18..=19).contains(&exponent) {
        let digits = digits.iter().fold(0, |value: u64, digit| value * 10 + u64::from(digit - b'0'));
        let power = 10u64.pow(exponent.unsigned_abs());
        if exponent >= 0 {
            return EXTENDED.round(u128::from(digits) * u128::from(power), 0, false);
        }
        // The quotient has at least 67 bits, since the power has at most 60.
        let shift = u128::from(digits).leading_zeros();
        let scaled = u128::from(digits) << shift;
        let (quotient, rest) = (scaled / u128::from(power), scaled % u128::from(power));
        return EXTENDED.round(quotient, -(shift as i32), rest != 0);
    }
    let digits = Natural::from_decimal(&digits);
    if exponent >= 0 {
        let (top, dropped, sticky) = digits.times_power_of_ten(exponent as u32).top_bits();
        return EXTENDED.round(top, dropped as i32, sticky);
    }
    let divisor = Natural::from(1).times_power_of_ten(exponent.unsigned_abs());
    let (quotient, scale, sticky) = digits.quotient(divisor);
    EXTENDED.round(quotient, scale, sticky)
}

/// A natural number of any size, as 64-bit limbs, the lowest first. The last limb is not zero.
struct Natural(Vec<u64>);

impl From<u64> for Natural {
    fn from(value: u64) -> Natural {
        let mut natural = Natural(vec![value]);
        natural.trim();
        natural
    }
}

impl Natural {
    const TEN_TO_19: u64 = 10u64.pow(19);

    fn from_decimal(digits: &[u8]) -> Natural {
        let mut natural = Natural(Vec::with_capacity(digits.len() / 19 + 1));
        for chunk in digits.chunks(19) {
            let value = chunk.iter().fold(0, |value: u64, digit| value * 10 + u64::from(digit - b'0'));
            natural.multiply_add(10u64.pow(chunk.len() as u32), value);
        }
        natural
    }

    fn multiply_add(&mut self, factor: u64, summand: u64) {
        let mut carry = summand;
        for limb in &mut self.0 {
            let product = u128::from(*limb) * u128::from(factor) + u128::from(carry);
            *limb = product as u64;
            carry = (product >> 64) as u64;
        }
        self.0.push(carry);
        self.trim();
    }

    fn times_power_of_ten(mut self, power: u32) -> Natural {
        for _ in 0..power / 19 {
            self.multiply_add(Natural::TEN_TO_19, 0);
        }
        self.multiply_add(10u64.pow(power % 19), 0);
        self
    }

    fn shifted_left(self, shift: u32) -> Natural {
        let mut limbs = vec![0; (shift / 64) as usize];
        let mut carry = 0;
        for limb in self.0 {
            let shifted = u128::from(limb) << (shift % 64);
            limbs.push(shifted as u64 | carry);
            carry = (shifted >> 64) as u64;
        }
        limbs.push(carry);
        let mut natural = Natural(limbs);
        natural.trim();
        natural
    }

    fn trim(&mut self) {
        while self.0.last() == Some(&0) {
            self.0.pop();
        }
    }

    fn bits(&self) -> u32 {
        self.0.last().map_or(0, |top| self.0.len() as u32 * 64 - top.leading_zeros())
    }

    /// Returns the highest 128 bits, the number of bits below them, and whether one of those is set.
    fn top_bits(&self) -> (u128, u32, bool) {
        // The highest 128 bits lie in three limbs, since the top limb may have leading zeros.
        let limb = |from_top: usize| self.0.len().checked_sub(from_top).map_or(0, |index| self.0[index]);
        let unused = limb(1).leading_zeros();
        let two = u128::from(limb(1)) << 64 | u128::from(limb(2));
        let third = u128::from(limb(3)) << unused;
        let top = two << unused | third >> 64;
        let dropped = self.bits() as i32 - 128;
        if dropped <= 0 {
            return (top >> dropped.unsigned_abs(), 0, false);
        }
        let below = self.0.len().saturating_sub(3);
        (top, dropped as u32, third as u64 != 0 || self.0[..below].iter().any(|&limb| limb != 0))
    }

    /// Divides by another number. Returns the first 66 or 67 bits of the quotient, the exponent of two of the lowest of them, and whether
    /// there is a remainder.
    fn quotient(self, divisor: Natural) -> (u128, i32, bool) {
        const BITS: u32 = 66;
        // Both numbers are shifted to the same width, so that the quotient lies between a half and two. Its bits are determined one by one.
        let (width, divisor_width) = (self.bits(), divisor.bits());
        let scale = divisor_width as i32 - width as i32;
        let mut rest = self.shifted_left(scale.max(0) as u32);
        let divisor = divisor.shifted_left((-scale).max(0) as u32);
        let mut quotient = 0u128;
        for _ in 0..=BITS {
            quotient <<= 1;
            if rest.is_at_least(&divisor) {
                rest.subtract(&divisor);
                quotient |= 1;
            }
            rest.multiply_add(2, 0);
        }
        (quotient, -scale - BITS as i32, !rest.0.is_empty())
    }

    fn is_at_least(&self, other: &Natural) -> bool {
        let compared = self.0.len().cmp(&other.0.len());
        compared.then_with(|| self.0.iter().rev().cmp(other.0.iter().rev())).is_ge()
    }

    /// Subtracts a number, which must not be greater.
    fn subtract(&mut self, other: &Natural) {
        let mut borrow = false;
        for (index, limb) in self.0.iter_mut().enumerate() {
            let (difference, under) = limb.overflowing_sub(other.0.get(index).copied().unwrap_or(0));
            let (difference, under_again) = difference.overflowing_sub(borrow.into());
            *limb = difference;
            borrow = under || under_again;
        }
        debug_assert!(!borrow, "the subtracted number is greater");
        self.trim();
    }

    fn write_decimal(mut self, out: &mut Vec<u8>) {
        let mut chunks = Vec::new();
        while !self.0.is_empty() {
            let mut rest = 0u64;
            for limb in self.0.iter_mut().rev() {
                let value = u128::from(rest) << 64 | u128::from(*limb);
                *limb = (value / u128::from(Natural::TEN_TO_19)) as u64;
                rest = (value % u128::from(Natural::TEN_TO_19)) as u64;
            }
            self.trim();
            chunks.push(rest);
        }
        out.extend_from_slice(itoa::Buffer::new().format(chunks.pop().unwrap_or(0)).as_bytes());
        for chunk in chunks.iter().rev() {
            out.extend_from_slice(format!("{chunk:019}").as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(a: &str, b: &str) -> Option<LongDouble> {
        Some(LongDouble::parse(a.as_bytes())? + LongDouble::parse(b.as_bytes())?)
    }

    /// The right column is Redis 8.2's reply to INCRBYFLOAT with the other two.
    #[test]
    fn sums_are_those_of_redis() {
        for (a, b, expected) in [
            ("3.0", "0", "3"),
            ("10.50", "0.1", "10.6"),
            ("0.1", "0.2", "0.3"),
            ("5.0e3", "200", "5200"),
            ("-1", "1", "0"),
            ("-1e-30", "0", "0"),
            ("1e-17", "0", "0.00000000000000001"),
            ("5e-18", "0", "0"),
            ("0.000000000000000015", "0", "0.00000000000000002"),
            ("0.000000000000000025", "0", "0.00000000000000002"),
            ("1e18", "0.1", "1000000000000000000.125"),
            ("1e19", "0.3", "10000000000000000000"),
            ("18446744073709551615", "1", "18446744073709551616"),
            ("18446744073709551616", "1", "18446744073709551616"),
            ("18446744073709551617", "0", "18446744073709551616"),
            ("36893488147419103233", "0", "36893488147419103232"),
            ("36893488147419103235", "0", "36893488147419103236"),
            ("9223372036854775807", "0.5", "9223372036854775807.5"),
            ("-9223372036854775808", "-0.25", "-9223372036854775808"),
            ("123456789012345678901234567890", "0", "123456789012345678899921813504"),
            ("1e40", "-1e40", "0"),
            ("1e40", "1", "9999999999999999999783686092270256259072"),
            ("0x1.8p1", "0X.1", "3.0625"),
            ("0x123456789abcdef0123456789abcdef012345678", "0", "103929005321308650613259798840759675771590541312"),
            ("-0x1p-70", "0x1p-5", "0.03125"),
            ("1.18973149535723176502", "0.00000000000000000001", "1.18973149535723177"),
            ("0.30000000000000000001", "-0.3", "0"),
            ("1", "-0.99999999999999999995", "0"),
            ("3.14159265358979323846", "2.71828182845904523536", "5.85987448204883847"),
            ("0.00000762939453125", "0", "0.00000762939453125"),
            ("0.5", "3814697265625e-37", "0.5"),
            ("0", "1e-4950", "0"),
        ] {
            for sum in [sum(a, b), sum(b, a)] {
                let text = sum.expect("two numbers").to_text();
                assert_eq!(String::from_utf8_lossy(&text), expected, "{a} + {b}");
            }
        }
    }

    #[test]
    fn great_numbers_are_written_in_full() {
        let text = sum("1e4000", "1e4000").expect("two numbers").to_text();
        assert_eq!(text.len(), 4_001);
        assert!(text.starts_with(b"199999999999999999999309277461992475698649851670139152626030166660865238866"));
        assert_eq!(sum("0x1p200", "0"), sum("1606938044258990275541962092341162602522202993782792835301376", "0"));
    }

    #[test]
    fn numbers_that_are_too_great_or_too_small_are_refused() {
        for text in [
            "1.19e4932",
            "1e5000",
            "1e-4960",
            "1e99999999999999999999",
            "-0x1p16384",
            "0x1p-16446",
            "nan",
            "",
            "1 ",
            "0x",
        ] {
            assert_eq!(LongDouble::parse(text.as_bytes()), None, "{text}");
        }
        assert_eq!(LongDouble::parse("1".repeat(5_000).as_bytes()), None);
        assert_eq!(LongDouble::parse("0".repeat(TEXT_LEN_MAX).as_bytes()), Some(LongDouble::ZERO));
        assert_eq!(LongDouble::parse("0".repeat(TEXT_LEN_MAX + 1).as_bytes()), None);
        for text in ["1.1897e4932", "3.7e-4951", "0x1p-16445", "0x1.fffffffffffffffep16383", "1e-4940"] {
            assert!(LongDouble::parse(text.as_bytes()).is_some_and(LongDouble::is_finite), "{text}");
        }
    }

    #[test]
    fn infinities_add_up_to_no_finite_number() {
        for (a, b, expected) in
            [("inf", "1", "inf"), ("-inf", "-inf", "-inf"), ("inf", "-inf", "nan"), ("1e4932", "1e4932", "inf")]
        {
            let sum = sum(a, b).expect("two numbers");
            assert!(!sum.is_finite());
            assert_eq!(String::from_utf8_lossy(&sum.to_text()), expected);
        }
    }

    #[test]
    fn integers_and_doubles_convert_exactly() {
        for value in [0, 1, -1, 42, i64::MAX, i64::MIN] {
            assert_eq!(LongDouble::from(value).to_text(), value.to_string().into_bytes());
            assert_eq!(LongDouble::parse(value.to_string().as_bytes()), Some(LongDouble::from(value)));
        }
        for value in [0.1, -2.5, 1e300, 5e-324, f64::MAX, f64::MIN_POSITIVE] {
            // So many digits identify the double exactly among all long doubles.
            assert_eq!(LongDouble::parse(format!("{value:.1100}").as_bytes()), Some(LongDouble::from(value)));
        }
        assert!(!LongDouble::from(f64::INFINITY).is_finite() && !LongDouble::from(f64::NAN).is_finite());
        assert_eq!(LongDouble::from(-2.5).neg(), LongDouble::from(2.5));
    }
}
