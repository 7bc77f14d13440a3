//! The quoting of redis-cli, in which commands are printed and parsed.

/// Quotes bytes as redis-cli prints them, such as `"a\x00b"`.
pub fn quote(bytes: &[u8]) -> String {
    let mut quoted = String::with_capacity(bytes.len() + 2);
    quoted.push('"');
    for &byte in bytes {
        match byte {
            b'"' => quoted.push_str("\\\""),
            b'\\' => quoted.push_str("\\\\"),
            b'\n' => quoted.push_str("\\n"),
            b'\r' => quoted.push_str("\\r"),
            b'\t' => quoted.push_str("\\t"),
            7 => quoted.push_str("\\a"),
            8 => quoted.push_str("\\b"),
            b' '..=b'~' => quoted.push(char::from(byte)),
            _ => quoted.push_str(&format!("\\x{byte:02x}")),
        }
    }
    quoted.push('"');
    quoted
}

/// Returns an argument as it is, if that is unambiguous, or else quoted.
pub fn quote_argument(bytes: &[u8]) -> String {
    let bare = !bytes.is_empty() && bytes.iter().all(|byte| byte.is_ascii_graphic() && !b"\"'\\".contains(byte));
    if bare { String::from_utf8_lossy(bytes).into_owned() } else { quote(bytes) }
}

/// Returns a command as one line, which [`split`] parses.
pub fn quote_command(arguments: &[Vec<u8>]) -> String {
    arguments.iter().map(|argument| quote_argument(argument)).collect::<Vec<_>>().join(" ")
}

/// Splits a line into arguments by the rules of redis-cli: words, `"…"` with escapes, and `'…'` with the escape `\'` only. The error is a
/// message for people.
pub fn split(line: &[u8]) -> Result<Vec<Vec<u8>>, String> {
    let mut arguments = Vec::new();
    let mut rest = line.trim_ascii_start();
    while !rest.is_empty() {
        let (argument, after) = split_one(rest)?;
        arguments.push(argument);
        rest = after.trim_ascii_start();
    }
    Ok(arguments)
}

fn split_one(line: &[u8]) -> Result<(Vec<u8>, &[u8]), String> {
    match line[0] {
        b'"' => {
            let (argument, after) = unquote(line)?;
            match after.first() {
                Some(byte) if !byte.is_ascii_whitespace() => Err("a closing quote must be followed by a space".into()),
                _ => Ok((argument, after)),
            }
        }
        b'\'' => {
            let mut argument = Vec::new();
            let mut at = 1;
            loop {
                match line.get(at) {
                    None => return Err("a quote is not closed".into()),
                    Some(b'\'') => return Ok((argument, &line[at + 1..])),
                    Some(b'\\') if line.get(at + 1) == Some(&b'\'') => {
                        argument.push(b'\'');
                        at += 2;
                    }
                    Some(byte) => {
                        argument.push(*byte);
                        at += 1;
                    }
                }
            }
        }
        _ => {
            let end = line.iter().position(u8::is_ascii_whitespace).unwrap_or(line.len());
            Ok((line[..end].to_vec(), &line[end..]))
        }
    }
}

/// Parses a `"…"` at the front of `line`. Returns its contents, and the rest of the line.
pub fn unquote(line: &[u8]) -> Result<(Vec<u8>, &[u8]), String> {
    let mut text = Vec::new();
    let mut at = 1;
    loop {
        match line.get(at) {
            None => return Err("a quote is not closed".into()),
            Some(b'"') => return Ok((text, &line[at + 1..])),
            Some(b'\\') => {
                let escape = *line.get(at + 1).ok_or("a quote is not closed")?;
                at += 2;
                let byte = match escape {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'a' => 7,
                    b'b' => 8,
                    b'x' => {
                        let digits = line.get(at..at + 2).and_then(|digits| std::str::from_utf8(digits).ok());
                        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
                            Some(byte) => {
                                at += 2;
                                byte
                            }
                            None => b'x',
                        }
                    }
                    other => other,
                };
                text.push(byte);
            }
            Some(byte) => {
                text.push(*byte);
                at += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_bytes_read_back() {
        let every_byte: Vec<u8> = (0..=255).collect();
        let command = vec![b"SET".to_vec(), Vec::new(), every_byte, b"it's".to_vec(), b"#1".to_vec(), b"a b".to_vec()];
        assert_eq!(split(quote_command(&command).as_bytes()).unwrap(), command);
    }

    #[test]
    fn single_quotes_keep_backslashes() {
        assert_eq!(split(br"'a\n\'b' c").unwrap(), [br"a\n'b".to_vec(), b"c".to_vec()]);
    }

    #[test]
    fn a_quote_must_be_closed() {
        assert!(split(b"\"abc").is_err());
        assert!(split(b"'abc").is_err());
        assert!(split(b"\"abc\"d").is_err());
    }
}
