//! Integers, sizes in bytes, percentages and file modes.

use std::marker::PhantomData;

use super::{Reason, Rule, one_word};

/// An integer type of a field of the configuration.
pub trait Number: Copy + PartialEq {
    /// Converts a value within the rule's bounds.
    fn from_i64(value: i64) -> Self;
    /// Converts back.
    fn to_i64(self) -> i64;
}

macro_rules! numbers {
    ($($type:ty)+) => {
        $(impl Number for $type {
            fn from_i64(value: i64) -> $type {
                <$type>::try_from(value).expect("a rule's bounds fit its field")
            }

            fn to_i64(self) -> i64 {
                i64::try_from(self).expect("a rule's bounds fit into 63 bits")
            }
        })+
    };
}
numbers!(u16 i32 u32 i64 u64 usize);

/// The least and the greatest value that are accepted.
#[derive(Clone, Copy)]
struct Bounds {
    min: i64,
    max: i64,
    /// Whether Redis stores the value in an unsigned type. It then has another error for a negative value.
    unsigned: bool,
}

impl Bounds {
    fn check(&self, value: i64) -> Result<i64, Reason> {
        if self.unsigned && value < 0 {
            Err("argument must be greater or equal to 0".into())
        } else if value < self.min || value > self.max {
            Err(format!("argument must be between {} and {} inclusive", self.min, self.max).into())
        } else {
            Ok(value)
        }
    }
}

/// An integer within bounds, written in digits only.
pub struct Integer<T> {
    bounds: Bounds,
    clamp: (i64, i64),
    field: PhantomData<T>,
}

impl<T: Number> Integer<T> {
    /// From `min` to `max`, for what Redis stores in a signed type.
    pub const fn between(min: i64, max: i64) -> Integer<T> {
        Integer { bounds: Bounds { min, max, unsigned: false }, clamp: (i64::MIN, i64::MAX), field: PhantomData }
    }

    /// From `min` to `max`, for what Redis stores in an unsigned type.
    pub const fn unsigned(min: i64, max: i64) -> Integer<T> {
        Integer { bounds: Bounds { min, max, unsigned: true }, clamp: (i64::MIN, i64::MAX), field: PhantomData }
    }

    /// Moves an accepted value into a narrower range without an error.
    pub const fn clamped(self, min: i64, max: i64) -> Integer<T> {
        Integer { clamp: (min, max), ..self }
    }
}

impl<T: Number> Rule for Integer<T> {
    type Value = T;

    fn parse(&self, words: &[&[u8]]) -> Result<T, Reason> {
        let value = parse_integer(one_word(words)?).ok_or("argument couldn't be parsed into an integer")?;
        let (least, greatest) = self.clamp;
        self.bounds.check(value).map(|value| T::from_i64(value.clamp(least, greatest)))
    }

    fn show(&self, value: &T) -> Vec<u8> {
        value.to_i64().to_string().into_bytes()
    }
}

/// A size in bytes: `512mb`.
pub struct Memory<T> {
    bounds: Bounds,
    field: PhantomData<T>,
}

impl<T: Number> Memory<T> {
    /// From `min` to `max` bytes.
    pub const fn between(min: i64, max: i64) -> Memory<T> {
        Memory { bounds: Bounds { min, max, unsigned: false }, field: PhantomData }
    }

    /// Any size, for what Redis stores in an unsigned type.
    pub const fn any() -> Memory<T> {
        Memory { bounds: Bounds { min: 0, max: i64::MAX, unsigned: true }, field: PhantomData }
    }
}

impl<T: Number> Rule for Memory<T> {
    type Value = T;

    fn parse(&self, words: &[&[u8]]) -> Result<T, Reason> {
        let word = one_word(words)?;
        // A negative value has no unit, and only directives for which -1 has a meaning accept it.
        let value =
            if word.starts_with(b"-") && self.bounds.min < 0 { parse_integer(word) } else { parse_memory(word) };
        self.bounds.check(value.ok_or("argument must be a memory value")?).map(T::from_i64)
    }

    fn show(&self, value: &T) -> Vec<u8> {
        value.to_i64().to_string().into_bytes()
    }

    fn lines(&self, value: &T) -> Vec<Vec<u8>> {
        vec![memory_text(value.to_i64()).into_bytes()]
    }
}

/// The value of `maxmemory-clients`; 0 is no limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MaxmemoryClients {
    /// A number of bytes.
    Bytes(u64),
    /// Percent of `maxmemory`.
    Percent(u8),
}

/// A size in bytes or a percentage.
pub struct MemoryOrPercent;

impl Rule for MemoryOrPercent {
    type Value = MaxmemoryClients;

    fn parse(&self, words: &[&[u8]]) -> Result<MaxmemoryClients, Reason> {
        const NEITHER: &str = "argument must be a memory or percent value";
        let word = one_word(words)?;
        match word.strip_suffix(b"%") {
            None => Ok(MaxmemoryClients::Bytes(parse_memory(word).ok_or(NEITHER)? as u64)),
            Some(digits) => match parse_integer(digits).ok_or(NEITHER)? {
                percent @ 0..=100 => Ok(MaxmemoryClients::Percent(percent as u8)),
                101.. => Err("percentage argument must be less or equal to 100".into()),
                _ => Err(NEITHER.into()),
            },
        }
    }

    fn show(&self, value: &MaxmemoryClients) -> Vec<u8> {
        match value {
            MaxmemoryClients::Bytes(bytes) => bytes.to_string().into_bytes(),
            MaxmemoryClients::Percent(percent) => format!("{percent}%").into_bytes(),
        }
    }
}

/// The permissions of a file, in octal digits; 0 is `None`.
pub struct Octal;

impl Rule for Octal {
    type Value = Option<u32>;

    fn parse(&self, words: &[&[u8]]) -> Result<Option<u32>, Reason> {
        const MODE_MAX: i64 = 0o777;
        let word = std::str::from_utf8(one_word(words)?).ok();
        let value = word.and_then(|word| i64::from_str_radix(word, 8).ok());
        match value.ok_or("argument couldn't be parsed as an octal number")? {
            negative if negative < 0 => Err("argument must be greater or equal to 0".into()),
            0 => Ok(None),
            mode if mode <= MODE_MAX => Ok(Some(mode as u32)),
            _ => Err(format!("argument must be between 0 and {MODE_MAX:o} inclusive").into()),
        }
    }

    fn show(&self, value: &Option<u32>) -> Vec<u8> {
        format!("{:o}", value.unwrap_or(0)).into_bytes()
    }
}

/// Parses an integer as Redis writes it: without plus sign, space or leading zeros.
pub fn parse_integer(word: &[u8]) -> Option<i64> {
    let digits = word.strip_prefix(b"-").unwrap_or(word);
    let canonical = match digits {
        [b'0'] => digits.len() == word.len(),
        [b'1'..=b'9', rest @ ..] => rest.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    if canonical { std::str::from_utf8(word).ok()?.parse().ok() } else { None }
}

/// Parses a size in bytes. `k`, `m` and `g` count by 1000, `kb`, `mb` and `gb` by 1024, in upper or lower case. As in Redis, a unit without a
/// number is 0.
pub fn parse_memory(word: &[u8]) -> Option<i64> {
    let digits_len = word.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, unit) = word.split_at(digits_len);
    let multiplier = match unit.to_ascii_lowercase().as_slice() {
        b"" | b"b" => 1,
        b"k" => 1000,
        b"kb" => 1 << 10,
        b"m" => 1000 * 1000,
        b"mb" => 1 << 20,
        b"g" => 1000 * 1000 * 1000,
        b"gb" => 1 << 30,
        _ => return None,
    };
    let count: i64 = if digits.is_empty() { 0 } else { std::str::from_utf8(digits).ok()?.parse().ok()? };
    count.checked_mul(multiplier)
}

/// A size in the largest unit that divides it, as CONFIG REWRITE writes it.
fn memory_text(bytes: i64) -> String {
    let units = [(1 << 30, "gb"), (1 << 20, "mb"), (1 << 10, "kb")];
    match units.iter().find(|(size, _)| bytes > 0 && bytes % size == 0) {
        Some((size, unit)) => format!("{}{unit}", bytes / size),
        None => bytes.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units() {
        for (word, bytes) in [
            ("0", Some(0)),
            ("1b", Some(1)),
            ("1k", Some(1000)),
            ("1KB", Some(1024)),
            ("3m", Some(3_000_000)),
            ("3mB", Some(3 << 20)),
            ("2g", Some(2_000_000_000)),
            ("2gb", Some(2 << 30)),
            ("", Some(0)),
            ("kb", Some(0)),
            ("1.5gb", None),
            ("-1", None),
            ("+1", None),
            (" 1", None),
            ("1 gb", None),
            ("1tb", None),
            ("99999999999gb", None),
        ] {
            assert_eq!(parse_memory(word.as_bytes()), bytes, "{word}");
        }
        for (bytes, text) in
            [(0, "0"), (1, "1"), (1024, "1kb"), (1 << 20, "1mb"), (3 << 30, "3gb"), (1500, "1500"), (-1, "-1")]
        {
            assert_eq!(memory_text(bytes), text);
        }
    }

    #[test]
    fn integers_are_canonical() {
        for (word, value) in [
            ("0", Some(0)),
            ("-1", Some(-1)),
            ("9223372036854775807", Some(i64::MAX)),
            ("-9223372036854775808", Some(i64::MIN)),
            ("9223372036854775808", None),
            ("", None),
            ("-", None),
            ("-0", None),
            ("007", None),
            ("+1", None),
            (" 1", None),
            ("1 ", None),
            ("1e3", None),
        ] {
            assert_eq!(parse_integer(word.as_bytes()), value, "{word}");
        }
    }
}
