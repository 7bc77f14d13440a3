//! Parsing and printing numbers as Redis does: integers, doubles, and the long doubles of INCRBYFLOAT and HINCRBYFLOAT.

pub use ochre_resp::{I64_LEN_MAX, parse_i64};

pub use crate::long_double::LongDouble;
use crate::long_double::{Body, DOUBLE, Literal};

/// Parses a double: decimal, hexadecimal after `0x`, `inf` or `infinity`, with a sign or without. Returns `None` for anything else,
/// including spaces and `nan`, for a number whose magnitude is too great for a double, and for one other than zero that is too small.
/// (Redis: `string2d`, which calls C's `strtod`)
pub fn parse_f64(text: &[u8]) -> Option<f64> {
    let Literal { negative, body } = Literal::parse(text)?;
    let magnitude = match body {
        Body::Infinite => f64::INFINITY,
        Body::Zero => 0.0,
        Body::Hexadecimal { mantissa, exponent, sticky } => {
            let (mantissa, exponent) = DOUBLE.round(mantissa, exponent, sticky)?;
            // All factors are exact, and so is the product, since mantissa and exponent are those of a double.
            (mantissa as f64) * 2f64.powi(exponent.div_euclid(2)) * 2f64.powi(exponent - exponent.div_euclid(2))
        }
        Body::Decimal { .. } => {
            let unsigned = text.strip_prefix(b"-").or(text.strip_prefix(b"+")).unwrap_or(text);
            str::from_utf8(unsigned).ok()?.parse::<f64>().ok().filter(|value| value.is_finite() && *value != 0.0)?
        }
    };
    if magnitude == 0.0 && !matches!(body, Body::Zero) {
        return None;
    }
    Some(if negative { -magnitude } else { magnitude })
}

/// Parses a bound of a range of scores, without its parenthesis: a double in decimal, `inf` or `infinity`. A number that is too great
/// becomes infinite, and one that is too small becomes zero. The text ends at a zero byte; an empty text is 0. Returns `None` for anything
/// else. (Redis: `zslParseRange`, which calls `fast_float_strtod`)
pub fn parse_score_bound(text: &[u8]) -> Option<f64> {
    let text = &text[..memchr::memchr(0, text).unwrap_or(text.len())];
    if text.is_empty() {
        return Some(0.0);
    }
    str::from_utf8(text).ok()?.parse::<f64>().ok().filter(|value| !value.is_nan())
}

/// Appends a double with 17 significant digits, without trailing zeros, as C's `printf` does for `%.17g`: with an exponent if that is below
/// −4 or above 16.
pub fn write_general(out: &mut Vec<u8>, value: f64) {
    use std::io::Write;
    const DIGITS: i32 = 17;
    if !value.is_finite() {
        out.extend_from_slice(if value.is_nan() {
            b"nan"
        } else if value > 0.0 {
            b"inf"
        } else {
            b"-inf"
        });
        return;
    }
    let text = format!("{value:.16e}");
    let (mantissa, exponent) = text.split_once('e').expect("the format has an exponent");
    let exponent: i32 = exponent.parse().expect("the exponent is an integer");
    let mut fixed;
    let digits = if (-4..DIGITS).contains(&exponent) {
        let decimals = usize::try_from(DIGITS - 1 - exponent).expect("the exponent is below the number of digits");
        fixed = format!("{value:.decimals$}");
        if decimals > 0 {
            fixed.truncate(fixed.trim_end_matches('0').trim_end_matches('.').len());
        }
        &fixed
    } else {
        mantissa.trim_end_matches('0').trim_end_matches('.')
    };
    out.extend_from_slice(digits.as_bytes());
    if !(-4..DIGITS).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        write!(out, "e{sign}{:02}", exponent.unsigned_abs()).expect("writing to a vector cannot fail");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The texts are what C's `printf` writes.
    #[test]
    fn doubles_are_printed_as_c_prints_them() {
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (-1.5, "-1.5"),
            (0.1, "0.10000000000000001"),
            (1e-7, "9.9999999999999995e-08"),
            (1e22, "1e+22"),
            (1e16, "10000000000000000"),
            (1e17, "1e+17"),
            (123456789.12345679, "123456789.12345679"),
            (0.0001, "0.0001"),
            (1e-5, "1.0000000000000001e-05"),
            (1e300, "1.0000000000000001e+300"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
        ] {
            let mut out = Vec::new();
            write_general(&mut out, value);
            assert_eq!(String::from_utf8_lossy(&out), text);
        }
    }

    #[test]
    fn score_bounds_are_parsed_as_redis_parses_them() {
        for (text, value) in [
            ("", 0.0),
            ("+1", 1.0),
            ("5.", 5.0),
            (".5", 0.5),
            ("INF", f64::INFINITY),
            ("1e400", f64::INFINITY),
            ("1e-400", 0.0),
            ("1\0x", 1.0),
            ("\0", 0.0),
        ] {
            assert_eq!(parse_score_bound(text.as_bytes()), Some(value), "{text}");
        }
        for text in ["+", "-", ".", "1e", " 1", "1 ", "nan", "-nan", "0x10", "(1", "1_0", "infinit"] {
            assert_eq!(parse_score_bound(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn doubles_are_parsed_as_c_parses_them() {
        for (text, value) in [
            ("1", 1.0),
            ("+1", 1.0),
            ("-0", -0.0),
            ("00012", 12.0),
            (".5", 0.5),
            ("5.", 5.0),
            ("1e0005", 1e5),
            ("-1E5", -1e5),
            ("0x10", 16.0),
            ("0X1p3", 8.0),
            ("-0x1.8p1", -3.0),
            ("0x1.fffffffffffffp1023", f64::MAX),
            ("0x1p-1074", 5e-324),
            ("0x1.00000000000008p0", 1.0),
            ("0x1.000000000000080000000000000000000000000000001p0", 1.0000000000000002),
            ("inf", f64::INFINITY),
            ("-InFinity", f64::NEG_INFINITY),
            ("1.7976931348623158e308", f64::MAX),
            ("2.5e-324", 5e-324),
            ("1e-310", 1e-310),
            ("0e99999999999999999999", 0.0),
        ] {
            assert_eq!(parse_f64(text.as_bytes()).map(f64::to_bits), Some(f64::to_bits(value)), "{text}");
        }
        for text in [
            "",
            " 1",
            "1 ",
            "1\n",
            "1\0",
            "+",
            "-",
            ".",
            "++1",
            "1e",
            "1e+",
            "1e5x",
            "1_0",
            "1,5",
            "1f",
            "0x",
            "0x.",
            "0xg",
            "0x1p",
            "infinit",
            "infx",
            "nan",
            "NaN",
            "-nan",
            "nan(1)",
            "1e400",
            "-1e400",
            "1e-400",
            "2e-324",
            "1.7976931348623159e308",
            "0x1p1024",
            "0x1p-1075",
            "1e99999999999999999999",
        ] {
            assert_eq!(parse_f64(text.as_bytes()), None, "{text}");
        }
    }
}
