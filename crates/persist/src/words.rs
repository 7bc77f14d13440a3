//! Words and quotes in configuration files and in the lines that CONFIG REWRITE writes.
//!
//! ```text
//! plain   "double \n \r \t \b \a \x41 \" \\"   'single \''
//! ```
//!
//! The rules are those of Redis's `sdssplitargs` and `sdscatrepr`: a quote may open inside a word, but the word must end where it closes.

/// Splits a line into words. The result is `None` if quotes are unbalanced or if a closing quote is not followed by space.
pub fn split(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut words = Vec::new();
    let mut rest = line;
    loop {
        while let [first, tail @ ..] = rest
            && is_space(*first)
        {
            rest = tail;
        }
        if rest.first().is_none_or(|&byte| byte == 0) {
            return Some(words);
        }
        let mut word = Vec::new();
        rest = take_word(rest, &mut word)?;
        words.push(word);
    }
}

/// The word in double quotes, with unprintable bytes escaped.
pub fn quote(word: &[u8]) -> Vec<u8> {
    let mut quoted = vec![b'"'];
    for &byte in word {
        match byte {
            b'\\' | b'"' => quoted.extend([b'\\', byte]),
            b'\n' => quoted.extend(b"\\n"),
            b'\r' => quoted.extend(b"\\r"),
            b'\t' => quoted.extend(b"\\t"),
            0x07 => quoted.extend(b"\\a"),
            0x08 => quoted.extend(b"\\b"),
            b' '..=b'~' => quoted.push(byte),
            _ => quoted.extend(format!("\\x{byte:02x}").into_bytes()),
        }
    }
    quoted.push(b'"');
    quoted
}

/// The word as a file has it: in quotes only if it needs them.
pub fn quote_if_needed(word: &[u8]) -> Vec<u8> {
    let plain = |&byte: &u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\'' | b'\\' | b'#');
    if !word.is_empty() && word.iter().all(plain) { word.to_vec() } else { quote(word) }
}

/// Whether a byte is space, as C's `isspace` defines it.
pub fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

fn take_word<'a>(mut rest: &'a [u8], word: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        match rest {
            [] | [0, ..] => return Some(rest),
            [b'"', tail @ ..] => return end_of_quoted(take_double_quoted(tail, word)?),
            [b'\'', tail @ ..] => return end_of_quoted(take_single_quoted(tail, word)?),
            [b' ' | b'\n' | b'\r' | b'\t', ..] => return Some(rest),
            [byte, tail @ ..] => {
                word.push(*byte);
                rest = tail;
            }
        }
    }
}

fn end_of_quoted(rest: &[u8]) -> Option<&[u8]> {
    rest.first().is_none_or(|&byte| byte == 0 || is_space(byte)).then_some(rest)
}

fn take_double_quoted<'a>(mut rest: &'a [u8], word: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        match rest {
            [] | [0, ..] => return None,
            [b'"', tail @ ..] => return Some(tail),
            [b'\\', b'x', high, low, tail @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                word.push(hex_digit(*high) << 4 | hex_digit(*low));
                rest = tail;
            }
            [b'\\', escaped, tail @ ..] if *escaped != 0 => {
                word.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 0x08,
                    b'a' => 0x07,
                    other => *other,
                });
                rest = tail;
            }
            [byte, tail @ ..] => {
                word.push(*byte);
                rest = tail;
            }
        }
    }
}

fn take_single_quoted<'a>(mut rest: &'a [u8], word: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        match rest {
            [] | [0, ..] => return None,
            [b'\'', tail @ ..] => return Some(tail),
            [b'\\', b'\'', tail @ ..] => {
                word.push(b'\'');
                rest = tail;
            }
            [byte, tail @ ..] => {
                word.push(*byte);
                rest = tail;
            }
        }
    }
}

fn hex_digit(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        _ => digit - b'A' + 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &[u8], expected: Option<&[&[u8]]>) {
        let expected = expected.map(|words| words.iter().map(|word| word.to_vec()).collect::<Vec<_>>());
        assert_eq!(split(line), expected, "{}", String::from_utf8_lossy(line));
    }

    #[test]
    fn words_and_quotes_follow_sdssplitargs() {
        check(b"", Some(&[]));
        check(b"  \t ", Some(&[]));
        check(b"port 6379", Some(&[b"port", b"6379"]));
        check(b"  a\x0bb  c ", Some(&[b"a\x0bb", b"c"]));
        check(br#""" ''"#, Some(&[b"", b""]));
        check(br#""a\n\r\t\b\a\x41\xfe\q\"" x"#, Some(&[b"a\n\r\t\x08\x07A\xfeq\"", b"x"]));
        check(br#""\xg1""#, Some(&[b"xg1"]));
        check(br"'a\'b\n'", Some(&[br"a'b\n"]));
        check(br#"ab"c d""#, Some(&[b"abc d"]));
        check(br#""a"b"#, None);
        check(br#""a"#, None);
        check(br#"'a"#, None);
        check(br#""a\""#, None);
        check(b"a\0b", Some(&[b"a"]));
    }

    #[test]
    fn what_is_quoted_splits_back_into_itself() {
        let all_bytes: Vec<u8> = (1..=255).collect();
        for word in [&all_bytes[..], b"", b"a b", b"plain", b"#", b"'", b"\\", b"\x00"] {
            assert_eq!(split(&quote(word)), Some(vec![word.to_vec()]));
            assert_eq!(split(&quote_if_needed(word)), Some(vec![word.to_vec()]));
        }
    }
}
