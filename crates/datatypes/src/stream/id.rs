//! The IDs of entries: `<milliseconds>-<sequence number>`.

use std::fmt;

use crate::number::parse_i64;

/// The ID of an entry. Each entry of a stream has a greater ID than the one before it.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId {
    /// Milliseconds; since 1970, if the server chose the ID.
    pub ms: u64,
    /// The sequence number among the IDs of the same milliseconds.
    pub seq: u64,
}

/// The ID of a new entry, as XADD takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewId {
    /// `*`: the present time or, if that is not greater than the last ID, the ID after it.
    Auto,
    /// `<ms>-*`: the next sequence number of these milliseconds.
    AutoSequence(u64),
    /// This ID.
    Given(StreamId),
}

/// The text of an ID, without an allocation.
#[derive(Clone, Copy)]
pub struct IdText {
    bytes: [u8; IdText::LEN_MAX],
    len: u8,
}

impl StreamId {
    /// The least ID, `0-0`, which no entry has.
    pub const MIN: StreamId = StreamId { ms: 0, seq: 0 };
    /// The greatest ID.
    pub const MAX: StreamId = StreamId { ms: u64::MAX, seq: u64::MAX };

    /// Makes an ID of its parts.
    pub const fn new(ms: u64, seq: u64) -> StreamId {
        StreamId { ms, seq }
    }

    /// Returns the next greater ID, or `None` if this is the greatest.
    pub fn next(self) -> Option<StreamId> {
        match self.seq.checked_add(1) {
            Some(seq) => Some(StreamId { ms: self.ms, seq }),
            None => Some(StreamId { ms: self.ms.checked_add(1)?, seq: 0 }),
        }
    }

    /// Returns the next smaller ID, or `None` if this is the least.
    pub fn previous(self) -> Option<StreamId> {
        match self.seq.checked_sub(1) {
            Some(seq) => Some(StreamId { ms: self.ms, seq }),
            None => Some(StreamId { ms: self.ms.checked_sub(1)?, seq: u64::MAX }),
        }
    }

    /// Returns whether this is the least ID, which means "none" in many places.
    pub fn is_zero(self) -> bool {
        self == StreamId::MIN
    }

    /// Parses `<ms>-<seq>`, or `<ms>` with `missing_seq` as its sequence number. (Redis: `streamGenericParseIDOrReply`, strict)
    pub fn parse(text: &[u8], missing_seq: u64) -> Option<StreamId> {
        let (ms, seq) = split(text)?;
        let seq = seq.map_or(Some(missing_seq), parse_number)?;
        Some(StreamId { ms: parse_number(ms)?, seq })
    }

    /// As [`StreamId::parse`], with `-` for the least ID and `+` for the greatest.
    pub fn parse_bound(text: &[u8], missing_seq: u64) -> Option<StreamId> {
        match text {
            b"-" => Some(StreamId::MIN),
            b"+" => Some(StreamId::MAX),
            _ => StreamId::parse(text, missing_seq),
        }
    }

    /// Returns the ID as `<ms>-<seq>`.
    pub fn to_text(self) -> IdText {
        let mut bytes = [0; IdText::LEN_MAX];
        let mut len = 0;
        let mut push = |part: &[u8]| {
            bytes[len..len + part.len()].copy_from_slice(part);
            len += part.len();
        };
        let mut digits = itoa::Buffer::new();
        push(digits.format(self.ms).as_bytes());
        push(b"-");
        push(digits.format(self.seq).as_bytes());
        IdText { bytes, len: len as u8 }
    }
}

impl fmt::Debug for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.seq)
    }
}

impl NewId {
    /// Parses the ID argument of XADD.
    pub fn parse(text: &[u8]) -> Option<NewId> {
        match (text, split(text)?) {
            (b"*", _) => Some(NewId::Auto),
            (_, (ms, Some(b"*"))) => Some(NewId::AutoSequence(parse_number(ms)?)),
            _ => Some(NewId::Given(StreamId::parse(text, 0)?)),
        }
    }
}

impl IdText {
    /// The longest text in bytes: two numbers of 20 digits, and the dash.
    pub const LEN_MAX: usize = 41;

    /// Returns the text.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len.into()]
    }
}

/// Splits a text into the milliseconds and what follows the first dash. As in C, the text ends at a zero byte. As on Redis, a text of 128
/// bytes or more is no ID.
fn split(text: &[u8]) -> Option<(&[u8], Option<&[u8]>)> {
    const LEN_MAX: usize = 127;
    if text.len() > LEN_MAX {
        return None;
    }
    let end = text.iter().position(|byte| *byte == 0).unwrap_or(text.len());
    let text = &text[..end];
    Some(match text.iter().position(|byte| *byte == b'-') {
        Some(dash) => (&text[..dash], Some(&text[dash + 1..])),
        None => (text, None),
    })
}

/// Parses an unsigned number as C's `strtoull` does: spaces, a sign and leading zeros may precede it. A strict negative integer, such as
/// `-7`, is refused. Any other negative number, such as `-07`, wraps around. (Redis: `string2ull`)
fn parse_number(text: &[u8]) -> Option<u64> {
    if text.first() == Some(&b'-') && parse_i64(text).is_some() {
        return None;
    }
    let spaces = text.iter().take_while(|byte| byte.is_ascii_whitespace() || **byte == 0x0b).count();
    let (negative, digits) = match &text[spaces..] {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    if digits.is_empty() {
        return None;
    }
    let number = digits.iter().try_fold(0u64, |number, byte| {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 { None } else { number.checked_mul(10)?.checked_add(digit.into()) }
    })?;
    Some(if negative { number.wrapping_neg() } else { number })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_parsed_as_redis_parses_them() {
        let check = |text: &str, expected| assert_eq!(StreamId::parse(text.as_bytes(), 9), expected, "{text:?}");
        check("1-2", Some(StreamId::new(1, 2)));
        check("1", Some(StreamId::new(1, 9)));
        check("18446744073709551615-18446744073709551615", Some(StreamId::MAX));
        check("18446744073709551616-1", None);
        check(" 1-+2", Some(StreamId::new(1, 2)));
        check("1-2\0x", Some(StreamId::new(1, 2)));
        check("01-002", Some(StreamId::new(1, 2)));
        check("1--7", None);
        check("1--07", Some(StreamId::new(1, u64::MAX - 6)));
        for text in ["", "-", "+", "1-", "-1", "1-2-3", "1-*", "*", "x", "1 -2", "1-x"] {
            check(text, None);
        }
        check(&"0".repeat(128), None);
        check(&"0".repeat(127), Some(StreamId::new(0, 9)));
    }

    #[test]
    fn new_ids() {
        assert_eq!(NewId::parse(b"*"), Some(NewId::Auto));
        assert_eq!(NewId::parse(b"7-*"), Some(NewId::AutoSequence(7)));
        assert_eq!(NewId::parse(b"7"), Some(NewId::Given(StreamId::new(7, 0))));
        assert_eq!(NewId::parse(b"7-**"), None);
        assert_eq!(NewId::parse(b"-"), None);
    }

    #[test]
    fn neighbours() {
        assert_eq!(StreamId::MAX.next(), None);
        assert_eq!(StreamId::MIN.previous(), None);
        assert_eq!(StreamId::new(1, u64::MAX).next(), Some(StreamId::new(2, 0)));
        assert_eq!(StreamId::new(2, 0).previous(), Some(StreamId::new(1, u64::MAX)));
        assert_eq!(StreamId::MAX.to_text().as_bytes(), b"18446744073709551615-18446744073709551615");
        assert_eq!(StreamId::new(0, 7).to_text().as_bytes(), b"0-7");
    }
}
