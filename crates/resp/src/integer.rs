//! Integers as Redis reads them. The counts and lengths of requests follow the same rule as the values of keys, so that it is written down
//! here, in the lower crate.

/// The length in bytes of the longest text of an `i64`: a sign and 19 digits.
pub const I64_LEN_MAX: usize = 20;

/// Parses `text` as an integer if it is exactly the way in which that integer is written: no spaces, no plus, no leading zeros, no `-0`. A
/// value for which this returns an integer can therefore be stored as the integer and read back as the same bytes. (Redis: `string2ll`)
#[inline]
pub fn parse_i64(text: &[u8]) -> Option<i64> {
    if text.len() > I64_LEN_MAX {
        return None;
    }
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    match digits {
        [b'0'] if !negative => return Some(0),
        [b'1'..=b'9', ..] => {}
        _ => return None,
    }
    // 19 digits always fit into an unsigned 64-bit number; the checks are for the 20th.
    let mut value = 0u64;
    for &byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value.checked_mul(10)?.checked_add(u64::from(digit))?;
    }
    if negative { 0i64.checked_sub_unsigned(value) } else { i64::try_from(value).ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_read_strictly() {
        for (text, value) in [
            ("0", 0),
            ("7", 7),
            ("-1", -1),
            ("9223372036854775807", i64::MAX),
            ("-9223372036854775808", i64::MIN),
            ("1234567890", 1234567890),
        ] {
            assert_eq!(parse_i64(text.as_bytes()), Some(value), "{text}");
        }
        for text in [
            "",
            "-",
            "+",
            "-0",
            "00",
            "01",
            "-01",
            "+1",
            " 1",
            "1 ",
            "1.0",
            "1e3",
            "0x10",
            "9223372036854775808",
            "-9223372036854775809",
            "18446744073709551615",
            "18446744073709551616",
            "99999999999999999999",
            "12345678901234567890123",
            "1\0",
            "१",
        ] {
            assert_eq!(parse_i64(text.as_bytes()), None, "{text}");
        }
    }
}
