//! Properties of patterns and numbers, as functions of arbitrary bytes.

use ochre_datatypes::{
    glob::Pattern,
    number::{LongDouble, parse_f64, parse_i64},
};

/// A pattern matches what a simple model matches. The first byte is the length of the pattern; the rest is pattern and text.
pub fn globs(data: &[u8]) {
    let [pattern_len, rest @ ..] = data else { return };
    let (pattern, text) = rest.split_at(usize::from(*pattern_len).min(rest.len()));
    // The model tries all parts of the text for each star, so that long inputs would take too long.
    let (pattern, text) = (&pattern[..pattern.len().min(12)], &text[..text.len().min(10)]);
    let absent = (0..=u8::MAX).find(|byte| !text.contains(byte)).expect("the text has fewer bytes than there are");
    for ignores_case in [false, true] {
        let expected = if text.is_empty() { pattern.is_empty() } else { model(pattern, text, ignores_case) };
        for pattern in [pattern.to_vec(), with_long_classes(pattern, absent)] {
            let prepared = if ignores_case { Pattern::ignoring_case(&pattern) } else { Pattern::new(&pattern) };
            assert_eq!(prepared.matches(text), expected, "{} and {}", pattern.escape_ascii(), text.escape_ascii());
        }
    }
}

/// Returns a pattern that matches the same, with classes so long that they are prepared: each begins with the escaped byte `absent`, which the
/// text does not have.
fn with_long_classes(pattern: &[u8], absent: u8) -> Vec<u8> {
    let (mut long, mut at) = (Vec::new(), 0);
    while at < pattern.len() {
        let len = match pattern[at] {
            b'\\' => 2,
            b'[' => 1 + usize::from(pattern.get(at + 1) == Some(&b'^')),
            _ => 1,
        };
        long.extend(&pattern[at..pattern.len().min(at + len)]);
        if pattern[at] == b'[' {
            let (_, behind) = model_class(&pattern[at + 1..], false);
            long.extend([b'\\', absent].repeat(20));
            long.extend(&pattern[at + len..pattern.len() - behind.len()]);
            at = pattern.len() - behind.len();
        } else {
            at += len;
        }
    }
    long
}

fn model(pattern: &[u8], text: &[u8], ignores_case: bool) -> bool {
    let Some((&byte, later)) = text.split_first() else { return pattern.iter().all(|&byte| byte == b'*') };
    let is_equal = |other: u8| byte == other || ignores_case && byte.eq_ignore_ascii_case(&other);
    match pattern {
        [] => false,
        [b'*', rest @ ..] => model(rest, text, ignores_case) || model(pattern, later, ignores_case),
        [b'?', rest @ ..] => model(rest, later, ignores_case),
        [b'[', rest @ ..] => {
            let (members, rest) = model_class(rest, ignores_case);
            members[usize::from(byte)] && model(rest, later, ignores_case)
        }
        [b'\\', escaped, rest @ ..] => is_equal(*escaped) && model(rest, later, ignores_case),
        [literal, rest @ ..] => is_equal(*literal) && model(rest, later, ignores_case),
    }
}

/// Returns the bytes that a class matches, and the pattern behind the class.
fn model_class(mut pattern: &[u8], ignores_case: bool) -> ([bool; 256], &[u8]) {
    let mut members = [false; 256];
    let negated = pattern.first() == Some(&b'^');
    if negated {
        pattern = &pattern[1..];
    }
    let lower = |byte: u8| if ignores_case { byte.to_ascii_lowercase() } else { byte };
    loop {
        let (from, to, rest) = match pattern {
            [] | [b']', ..] => break,
            [b'\\', escaped, rest @ ..] => {
                members[usize::from(*escaped)] = true;
                pattern = rest;
                continue;
            }
            [start, b'-', end, rest @ ..] if (*start as i8) < *end as i8 => {
                (lower(*start) as i8, lower(*end) as i8, rest)
            }
            [start, b'-', end, rest @ ..] => (lower(*end) as i8, lower(*start) as i8, rest),
            [byte, rest @ ..] => (lower(*byte) as i8, lower(*byte) as i8, rest),
        };
        for byte in 0..=255 {
            members[usize::from(byte)] |= (from..=to).contains(&(lower(byte) as i8));
        }
        pattern = rest;
    }
    (members.map(|member| member != negated), pattern.strip_prefix(b"]").unwrap_or(pattern))
}

/// Any text is parsed or refused, and a number that is printed and parsed again is the same.
pub fn numbers(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let plain = text.parse::<i64>().ok().filter(|value| value.to_string() == text);
    assert_eq!(parse_i64(data), plain);

    let double = parse_f64(data);
    if !text.contains(['x', 'X']) && double.is_some_and(f64::is_finite) {
        assert_eq!(double, text.parse().ok());
    }
    let long = LongDouble::parse(data);
    if let Some(double) = double {
        // A number that fits into a double fits into a long double.
        let long = long.filter(|long| long.is_finite() == double.is_finite());
        assert!(long.is_some() || data.len() > 5_000, "{text}");
    }
    let Some(long) = long.filter(|long| long.is_finite()) else { return };
    // A printed number has 17 digits of its fraction. Parsed and printed again, it has the same digits.
    let written = long.to_text();
    let again = LongDouble::parse(&written).expect("a printed number can be parsed");
    assert_eq!(again.to_text(), written);
    assert_eq!((long + LongDouble::ZERO).to_text(), written);
    assert_eq!((long + -long).to_text(), b"0");
    let double = long + long;
    if double.is_finite() {
        assert_eq!((double + -long).to_text(), written);
    }
}
