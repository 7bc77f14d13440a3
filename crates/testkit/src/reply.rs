//! Replies as they were on the wire. Two replies are equal only if no client can distinguish them.
//!
//! So there are three nulls (`$-1`, `*-1` and `_`), doubles and big numbers are text, and maps keep their order.

use std::fmt;

use crate::quoting;

/// A reply, or a push message.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reply {
    /// `+OK`
    Simple(Vec<u8>),
    /// `-ERR …`
    Error(Vec<u8>),
    /// `:1`
    Integer(i64),
    /// `$3 foo`
    Bulk(Vec<u8>),
    /// `$-1`: the null of RESP2 in the place of a string.
    NullBulk,
    /// `*-1`: the null of RESP2 in the place of an array.
    NullArray,
    /// `_`: the null of RESP3.
    Null,
    /// `*2 …`
    Array(Vec<Reply>),
    /// `%1 …`
    Map(Vec<(Reply, Reply)>),
    /// `~2 …`
    Set(Vec<Reply>),
    /// `>2 …`: a push message, which is no reply to a command.
    Push(Vec<Reply>),
    /// `,3.14`: the text as it was on the wire.
    Double(Vec<u8>),
    /// `#t`
    Boolean(bool),
    /// `(123`
    BigNumber(Vec<u8>),
    /// `=7 txt:foo`
    Verbatim {
        /// The format, such as `txt`.
        format: [u8; 3],
        /// The text.
        text: Vec<u8>,
    },
}

impl Reply {
    /// Makes a bulk string.
    pub fn bulk(text: impl AsRef<[u8]>) -> Reply {
        Reply::Bulk(text.as_ref().to_vec())
    }

    /// Makes a simple string.
    pub fn simple(text: impl AsRef<[u8]>) -> Reply {
        Reply::Simple(text.as_ref().to_vec())
    }

    /// Makes the simple string `OK`.
    pub fn ok() -> Reply {
        Reply::simple("OK")
    }

    /// Returns whether the reply is an error.
    pub fn is_error(&self) -> bool {
        matches!(self, Reply::Error(_))
    }

    /// Returns the bytes of any kind of string.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Reply::Simple(text) | Reply::Bulk(text) | Reply::Verbatim { text, .. } => Some(text),
            _ => None,
        }
    }

    /// Returns the text of a string, an error or a number. Bytes that are not UTF-8 are replaced. Other replies have an empty text.
    pub fn to_text(&self) -> String {
        match self {
            Reply::Error(text) | Reply::Double(text) | Reply::BigNumber(text) => {
                String::from_utf8_lossy(text).into_owned()
            }
            Reply::Integer(number) => number.to_string(),
            other => String::from_utf8_lossy(other.as_bytes().unwrap_or_default()).into_owned(),
        }
    }

    /// Returns the integer, if the reply is one.
    pub fn as_integer(&self) -> Option<i64> {
        match self {
            Reply::Integer(number) => Some(*number),
            _ => None,
        }
    }

    /// Returns the elements of an array, a set or a push message, or the keys and values of a map by turns.
    pub fn items(&self) -> Vec<&Reply> {
        match self {
            Reply::Array(items) | Reply::Set(items) | Reply::Push(items) => items.iter().collect(),
            Reply::Map(pairs) => pairs.iter().flat_map(|(key, value)| [key, value]).collect(),
            _ => Vec::new(),
        }
    }

    /// Returns the pairs of a map, or of an array that stands for a map in RESP2.
    pub fn pairs(&self) -> Vec<(&Reply, &Reply)> {
        self.items().chunks_exact(2).map(|pair| (pair[0], pair[1])).collect()
    }

    /// Returns the value of a key of a map.
    pub fn get(&self, key: &str) -> Option<&Reply> {
        self.pairs().into_iter().find(|(name, _)| name.as_bytes() == Some(key.as_bytes())).map(|(_, value)| value)
    }

    /// Parses a reply at the front of `bytes`. Returns the reply and its length in bytes, or `None` if it is incomplete. The error is a
    /// message for people.
    pub fn parse(bytes: &[u8]) -> Result<Option<(Reply, usize)>, String> {
        let Some(line_end) = find_crlf(bytes) else {
            return Ok(None);
        };
        let (kind, line) = match bytes[..line_end].split_first() {
            Some((kind, line)) => (*kind, line),
            None => return Err("an empty line where a reply should begin".into()),
        };
        let after_line = line_end + 2;
        let simple = |reply| Ok(Some((reply, after_line)));
        match kind {
            b'+' => simple(Reply::Simple(line.to_vec())),
            b'-' => simple(Reply::Error(line.to_vec())),
            b':' => simple(Reply::Integer(parse_integer(line)?)),
            b',' => simple(Reply::Double(line.to_vec())),
            b'(' => simple(Reply::BigNumber(line.to_vec())),
            b'_' if line.is_empty() => simple(Reply::Null),
            b'#' if line == b"t" => simple(Reply::Boolean(true)),
            b'#' if line == b"f" => simple(Reply::Boolean(false)),
            b'$' if line == b"-1" => simple(Reply::NullBulk),
            b'*' if line == b"-1" => simple(Reply::NullArray),
            b'$' | b'=' => {
                let length = parse_length(line)?;
                let end = after_line + length;
                if bytes.len() < end + 2 {
                    return Ok(None);
                }
                if &bytes[end..end + 2] != b"\r\n" {
                    return Err(format!("a string of {length} bytes is not followed by CRLF"));
                }
                let text = bytes[after_line..end].to_vec();
                if kind == b'$' {
                    return Ok(Some((Reply::Bulk(text), end + 2)));
                }
                match text.split_first_chunk::<3>() {
                    Some((format, [b':', text @ ..])) => {
                        Ok(Some((Reply::Verbatim { format: *format, text: text.to_vec() }, end + 2)))
                    }
                    _ => Err("a verbatim string without its format".into()),
                }
            }
            b'*' | b'~' | b'>' | b'%' => {
                let length = parse_length(line)? * if kind == b'%' { 2 } else { 1 };
                let mut items = Vec::new();
                let mut position = after_line;
                for _ in 0..length {
                    match Reply::parse(&bytes[position..])? {
                        Some((item, length)) => {
                            items.push(item);
                            position += length;
                        }
                        None => return Ok(None),
                    }
                }
                let reply = match kind {
                    b'*' => Reply::Array(items),
                    b'~' => Reply::Set(items),
                    b'>' => Reply::Push(items),
                    _ => {
                        let mut items = items.into_iter();
                        let mut pairs = Vec::new();
                        while let (Some(key), Some(value)) = (items.next(), items.next()) {
                            pairs.push((key, value));
                        }
                        Reply::Map(pairs)
                    }
                };
                Ok(Some((reply, position)))
            }
            _ => Err(format!("no reply begins like this: {}", quoting::quote(&bytes[..line_end.min(80)]))),
        }
    }
}

/// Writes the notation of transcripts; see [`crate::transcript`].
impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = self.inline_notation(true);
        if line.len() <= 110 || self.items().is_empty() {
            f.write_str(&line)
        } else {
            f.write_str(&self.broken_notation(0))
        }
    }
}

impl Reply {
    /// Returns the notation in one line. `top` says that the reply is not part of another one: a simple string or an error then extends to
    /// the end of the line, and seldom needs quotes.
    fn inline_notation(&self, top: bool) -> String {
        let bare = |text: &[u8]| {
            let clean = text.iter().all(|byte| (b' '..=b'~').contains(byte)) && !text.starts_with(b"\"");
            let ends = text.iter().any(|byte| b",]}".contains(byte)) || text.windows(3).any(|at| at == b" =>");
            if clean && (top || !ends) && text.trim_ascii() == text {
                String::from_utf8_lossy(text).into_owned()
            } else {
                quoting::quote(text)
            }
        };
        let list = |items: &[Reply]| {
            format!("[{}]", items.iter().map(|item| item.inline_notation(false)).collect::<Vec<_>>().join(", "))
        };
        match self {
            Reply::Simple(text) => format!("+{}", bare(text)),
            Reply::Error(text) => format!("-{}", bare(text)),
            Reply::Integer(number) => format!(":{number}"),
            Reply::Bulk(text) => quoting::quote(text),
            Reply::NullBulk => "$-1".into(),
            Reply::NullArray => "*-1".into(),
            Reply::Null => "_".into(),
            Reply::Array(items) => list(items),
            Reply::Set(items) => format!("~{}", list(items)),
            Reply::Push(items) => format!("push{}", list(items)),
            Reply::Map(pairs) => {
                let pairs: Vec<_> = pairs
                    .iter()
                    .map(|(key, value)| format!("{} => {}", key.inline_notation(false), value.inline_notation(false)))
                    .collect();
                format!("{{{}}}", pairs.join(", "))
            }
            Reply::Double(text) => format!(",{}", String::from_utf8_lossy(text)),
            Reply::Boolean(true) => "#t".into(),
            Reply::Boolean(false) => "#f".into(),
            Reply::BigNumber(text) => format!("({}", String::from_utf8_lossy(text)),
            Reply::Verbatim { format, text } => {
                format!("={}:{}", String::from_utf8_lossy(format), quoting::quote(text))
            }
        }
    }

    /// Returns the notation with one element in each line, if it is too long for one line.
    fn broken_notation(&self, depth: usize) -> String {
        let line = self.inline_notation(false);
        if self.items().is_empty() || line.len() + 2 * depth <= 110 {
            return line;
        }
        let indent = "  ".repeat(depth + 1);
        let (open, close) = match self {
            Reply::Set(_) => ("~[", "]"),
            Reply::Push(_) => ("push[", "]"),
            Reply::Map(_) => ("{", "}"),
            _ => ("[", "]"),
        };
        let lines: Vec<_> = match self {
            Reply::Map(pairs) => pairs
                .iter()
                .map(|(key, value)| format!("{} => {}", key.inline_notation(false), value.broken_notation(depth + 1)))
                .collect(),
            _ => self.items().iter().map(|item| item.broken_notation(depth + 1)).collect(),
        };
        let body: String = lines.iter().map(|line| format!("{indent}{line},\n")).collect();
        format!("{open}\n{body}{}{close}", "  ".repeat(depth))
    }
}

fn find_crlf(bytes: &[u8]) -> Option<usize> {
    bytes.windows(2).position(|pair| pair == b"\r\n")
}

fn parse_integer(line: &[u8]) -> Result<i64, String> {
    std::str::from_utf8(line)
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| format!("not an integer: {}", quoting::quote(line)))
}

fn parse_length(line: &[u8]) -> Result<usize, String> {
    usize::try_from(parse_integer(line)?).map_err(|_| format!("not a length: {}", quoting::quote(line)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_reply_reads_back() {
        let wire =
            b"*13\r\n+OK\r\n-ERR no\r\n:-7\r\n$3\r\na\r\n\r\n$-1\r\n*-1\r\n_\r\n*0\r\n%1\r\n$1\r\nk\r\n,1.50\r\n\
                     ~1\r\n#t\r\n>1\r\n#f\r\n(12\r\n=5\r\ntxt:x\r\n";
        let (reply, length) = Reply::parse(wire).unwrap().unwrap();
        assert_eq!(length, wire.len());
        let expected =
            r#"[+OK, -ERR no, :-7, "a\r\n", $-1, *-1, _, [], {"k" => ,1.50}, ~[#t], push[#f], (12, =txt:"x"]"#;
        assert_eq!(reply.to_string(), expected);
        for end in 0..wire.len() {
            assert_eq!(Reply::parse(&wire[..end]), Ok(None), "cut at {end}");
        }
    }

    #[test]
    fn malformed_replies_are_not_taken_for_incomplete_ones() {
        assert!(Reply::parse(b"hello\r\n").is_err());
        assert!(Reply::parse(b"$1\r\nabc\r\n").is_err());
        assert!(Reply::parse(b":x\r\n").is_err());
        assert_eq!(Reply::parse(b"hello"), Ok(None));
    }
}
