//! Cutting requests off a read buffer.
//!
//! ```text
//! *2\r\n$3\r\nGET\r\n$5\r\nkey:1\r\n      multibulk: a count, then that many lengths and arguments
//! GET key:1\r\n                           inline: a line of words (crate::inline); the \r may be missing
//! ```
//!
//! The rules are those of Redis's `processMultibulkBuffer` and `processInlineBuffer` (networking.c), the lenient ones too: the two bytes
//! behind an argument and the byte behind a `\r` are not looked at, and a NUL byte ends the search for a line's end, so that such a line
//! ends only by being too long.

use std::borrow::Cow;

use crate::{Span, inline, parse_i64};

/// What a request may take. Lengths are in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// `proto-max-bulk-len`: the longest argument.
    pub bulk_len_max: usize,
    /// The most arguments of one request.
    pub args_max: usize,
    /// The longest line: an inline command, a count, a length.
    pub inline_len_max: usize,
    /// The client has not said its password yet: requests of 10 arguments of 16 KiB are all it needs.
    pub unauthenticated: bool,
    /// Inline commands are plain lines: unbalanced quotes spoil the line only, and a NUL is a byte like any other.
    pub plain: bool,
}

/// The most arguments, and the longest one, before authentication. (Redis: `processMultibulkBuffer`)
const UNAUTHENTICATED_ARGS_MAX: usize = 10;
const UNAUTHENTICATED_BULK_LEN_MAX: usize = 16_384;

impl Default for Limits {
    /// Redis's limits.
    fn default() -> Limits {
        Limits {
            bulk_len_max: 512 << 20,
            args_max: i32::MAX as usize,
            inline_len_max: 64 << 10,
            unauthenticated: false,
            plain: false,
        }
    }
}

/// How a request was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Multibulk,
    Inline,
}

/// What was found at the front of the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// A request, of `consumed` bytes; its arguments were pushed onto the spans.
    Request { consumed: usize, kind: Kind },
    /// An empty request, which has no answer: an empty line, `*0`, `*-1`.
    Nothing { consumed: usize },
    /// A plain line that cannot be understood; `reason` is the error reply's text, its code included.
    BadLine { consumed: usize, reason: &'static str },
    /// More bytes are needed. `wanted` is the length, from the request's first byte, up to the end of the argument that is being sent:
    /// what the buffer should have room for before the next read. It is what a client claims, bounded by `bulk_len_max` alone.
    Incomplete { wanted: usize },
}

/// The bytes cannot be understood from here on: the client is told so, and the connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtocolError {
    InvalidMultibulkLength,
    UnauthenticatedMultibulkLength,
    ExpectedDollar {
        got: u8,
    },
    InvalidBulkLength,
    UnauthenticatedBulkLength,
    TooBigMultibulkCount,
    TooBigBulkCount,
    TooBigInline,
    UnbalancedQuotes,
    /// A request of 4 GiB in all, whatever its arguments: spans are 32 bits wide. (Redis: `client-query-buffer-limit` cuts earlier)
    TooBigRequest,
}

impl ProtocolError {
    /// The error reply's text, its code included.
    pub fn reply(self) -> Cow<'static, [u8]> {
        let text = match self {
            ProtocolError::InvalidMultibulkLength => "ERR Protocol error: invalid multibulk length",
            ProtocolError::UnauthenticatedMultibulkLength => "ERR Protocol error: unauthenticated multibulk length",
            ProtocolError::ExpectedDollar { got } => {
                return [b"ERR Protocol error: expected '$', got '", &[got][..], b"'"].concat().into();
            }
            ProtocolError::InvalidBulkLength => "ERR Protocol error: invalid bulk length",
            ProtocolError::UnauthenticatedBulkLength => "ERR Protocol error: unauthenticated bulk length",
            ProtocolError::TooBigMultibulkCount => "ERR Protocol error: too big mbulk count string",
            ProtocolError::TooBigBulkCount => "ERR Protocol error: too big bulk count string",
            ProtocolError::TooBigInline => "ERR Protocol error: too big inline request",
            ProtocolError::UnbalancedQuotes => "ERR Protocol error: unbalanced quotes in request",
            ProtocolError::TooBigRequest => "ERR Protocol error: too big request",
        };
        text.as_bytes().into()
    }
}

/// A connection's parser: eight bytes, and what a half-sent request needs.
#[derive(Default, Debug)]
pub struct RequestParser {
    half_sent: Option<Box<HalfSent>>,
}

/// What is known of a request that is not complete. Positions count from the request's first byte.
#[derive(Default, Debug)]
struct HalfSent {
    progress: Progress,
    spans: Vec<Span>,
}

#[derive(Clone, Copy, Default, Debug)]
struct Progress {
    /// Where the next line or argument starts.
    at: usize,
    /// The arguments still to come; 0 while the first line is not complete.
    args_left: usize,
    /// The length of the argument at `at`, once its header is read.
    bulk_len: Option<usize>,
    /// Up to here, no line end was found.
    searched: usize,
}

impl RequestParser {
    pub fn new() -> RequestParser {
        RequestParser::default()
    }

    /// Whether a request is half sent: the next call must see its bytes again, at its `offset`, with more behind them.
    pub fn is_half_sent(&self) -> bool {
        self.half_sent.is_some()
    }

    /// Cuts the next request off `buffer[offset..]`. Its arguments are pushed onto `spans`, which a batch of requests shares; they count
    /// from the start of `buffer`. Inline commands are unescaped in place, once they are complete.
    ///
    /// After [`Cut::Incomplete`] the caller keeps the bytes from `offset` on and calls again when there are more, with the buffer and the
    /// offset that they have then; nothing is parsed twice. After an error the connection's bytes are of no more use.
    #[inline]
    pub fn cut(
        &mut self,
        buffer: &mut [u8],
        offset: usize,
        limits: &Limits,
        spans: &mut Vec<Span>,
    ) -> Result<Cut, ProtocolError> {
        if self.half_sent.is_some() {
            return self.go_on(buffer, offset, limits, spans);
        }
        if buffer.get(offset) == Some(&b'*') {
            let first = spans.len();
            let mut progress = Progress::default();
            return match multibulk(&buffer[offset..], offset, limits, &mut progress, spans)? {
                Cut::Incomplete { wanted } => {
                    self.keep(progress, spans, first, offset);
                    Ok(Cut::Incomplete { wanted })
                }
                cut => Ok(cut),
            };
        }
        self.cut_line(buffer, offset, limits, spans)
    }

    /// Puts away what is known of a request whose rest has not come.
    #[cold]
    fn keep(&mut self, progress: Progress, spans: &mut Vec<Span>, first: usize, offset: usize) {
        let mut kept: Vec<Span> = spans.drain(first..).collect();
        for span in &mut kept {
            span.start -= offset as u32;
        }
        self.half_sent = Some(Box::new(HalfSent { progress, spans: kept }));
    }

    #[cold]
    fn go_on(
        &mut self,
        buffer: &mut [u8],
        offset: usize,
        limits: &Limits,
        spans: &mut Vec<Span>,
    ) -> Result<Cut, ProtocolError> {
        if buffer.get(offset) != Some(&b'*') {
            return self.cut_line(buffer, offset, limits, spans);
        }
        let mut half_sent = self.half_sent.take().unwrap_or_default();
        let HalfSent { progress, spans: kept } = &mut *half_sent;
        let cut = multibulk(&buffer[offset..], 0, limits, progress, kept)?;
        match cut {
            Cut::Incomplete { .. } => self.half_sent = Some(half_sent),
            _ if buffer.len() > u32::MAX as usize => return Err(ProtocolError::TooBigRequest),
            _ => spans.extend(kept.iter().map(|span| Span { start: span.start + offset as u32, len: span.len })),
        }
        Ok(cut)
    }

    /// Cuts an inline command off the front.
    #[inline(never)]
    fn cut_line(
        &mut self,
        buffer: &mut [u8],
        offset: usize,
        limits: &Limits,
        spans: &mut Vec<Span>,
    ) -> Result<Cut, ProtocolError> {
        let line = &buffer[offset..];
        let searched = self.half_sent.as_ref().map_or(0, |half_sent| half_sent.progress.searched);
        let len = match find_line_end(line, searched, b'\n', limits.plain) {
            Ok(len) if len > limits.inline_len_max => return Err(ProtocolError::TooBigInline),
            Ok(_) if buffer.len() > u32::MAX as usize => return Err(ProtocolError::TooBigRequest),
            Ok(len) => len,
            Err(_) if line.len() > limits.inline_len_max => return Err(ProtocolError::TooBigInline),
            Err(searched) => {
                if !line.is_empty() {
                    self.half_sent.get_or_insert_default().progress.searched = searched;
                }
                return Ok(Cut::Incomplete { wanted: line.len() + 1 });
            }
        };
        self.half_sent = None;
        let consumed = len + 1;
        let words = if len > 0 && line[len - 1] == b'\r' { len - 1 } else { len };
        let first = spans.len();
        match inline::split(buffer, offset, offset + words, spans) {
            Ok(()) if spans.len() == first => Ok(Cut::Nothing { consumed }),
            Ok(()) => Ok(Cut::Request { consumed, kind: Kind::Inline }),
            Err(inline::UnbalancedQuotes) if limits.plain => {
                spans.truncate(first);
                Ok(Cut::BadLine { consumed, reason: "ERR unbalanced quotes in request" })
            }
            Err(inline::UnbalancedQuotes) => Err(ProtocolError::UnbalancedQuotes),
        }
    }
}

/// Reads a multibulk request from its first byte, or on from where `progress` says. The spans pushed are `base` bytes further than their
/// position in `request`.
#[inline]
fn multibulk(
    request: &[u8],
    base: usize,
    limits: &Limits,
    progress: &mut Progress,
    spans: &mut Vec<Span>,
) -> Result<Cut, ProtocolError> {
    let Progress { mut at, mut args_left, mut bulk_len, .. } = *progress;
    if args_left == 0 {
        let (count, len) = match short_number(&request[1..]) {
            Some((count, len)) => (count as i64, len + 1),
            None => match long_line(request, 0, progress.searched, limits, ProtocolError::TooBigMultibulkCount)? {
                Line::Found { cr } => {
                    (parse_i64(&request[1..cr]).ok_or(ProtocolError::InvalidMultibulkLength)?, cr + 2)
                }
                Line::Incomplete { searched } => {
                    *progress = Progress { searched, ..Progress::default() };
                    return Ok(Cut::Incomplete { wanted: request.len() + 1 });
                }
            },
        };
        if count > limits.args_max as i64 {
            return Err(ProtocolError::InvalidMultibulkLength);
        }
        if limits.unauthenticated && count > UNAUTHENTICATED_ARGS_MAX as i64 {
            return Err(ProtocolError::UnauthenticatedMultibulkLength);
        }
        if count <= 0 {
            return Ok(Cut::Nothing { consumed: len });
        }
        at = len;
        args_left = count as usize;
    }
    let mut searched = progress.searched;
    while args_left > 0 {
        let len = match bulk_len {
            Some(len) => len,
            None => {
                let rest = request.get(at..).unwrap_or_default();
                let (len, header_len) = match rest {
                    [b'$', number @ ..] if let Some((len, header_len)) = short_number(number) => (len, header_len + 1),
                    _ => match long_header(request, at, searched, limits)? {
                        Ok(header) => header,
                        Err(searched) => {
                            *progress = Progress { at, args_left, bulk_len: None, searched };
                            return Ok(Cut::Incomplete { wanted: request.len().max(at) + 1 });
                        }
                    },
                };
                if len > limits.bulk_len_max {
                    return Err(ProtocolError::InvalidBulkLength);
                }
                if limits.unauthenticated && len > UNAUTHENTICATED_BULK_LEN_MAX {
                    return Err(ProtocolError::UnauthenticatedBulkLength);
                }
                at += header_len;
                len
            }
        };
        let end = at + len + 2;
        if base + end > u32::MAX as usize {
            return Err(ProtocolError::TooBigRequest);
        }
        if end > request.len() {
            *progress = Progress { at, args_left, bulk_len: Some(len), searched };
            return Ok(Cut::Incomplete { wanted: end });
        }
        spans.push(Span { start: (base + at) as u32, len: len as u32 });
        at = end;
        args_left -= 1;
        bulk_len = None;
        searched = end;
    }
    Ok(Cut::Request { consumed: at, kind: Kind::Multibulk })
}

/// A number of one to three digits and its line's end: the number, and the bytes of both. `None` says only that it is not so simple.
#[inline(always)]
fn short_number(line: &[u8]) -> Option<(usize, usize)> {
    let digit = |byte: u8| usize::from(byte.wrapping_sub(b'0'));
    match *line {
        [a, b'\r', _, ..] if digit(a) <= 9 => Some((digit(a), 3)),
        [a, b, b'\r', _, ..] if a != b'0' && digit(a) <= 9 && digit(b) <= 9 => Some((digit(a) * 10 + digit(b), 4)),
        [a, b, c, b'\r', _, ..] if a != b'0' && digit(a) <= 9 && digit(b) <= 9 && digit(c) <= 9 => {
            Some((digit(a) * 100 + digit(b) * 10 + digit(c), 5))
        }
        _ => None,
    }
}

/// The header of the argument at `at`, by all the rules: the argument's length and the header's own, or how far was searched in vain.
#[cold]
#[inline(never)]
fn long_header(
    request: &[u8],
    at: usize,
    searched: usize,
    limits: &Limits,
) -> Result<Result<(usize, usize), usize>, ProtocolError> {
    match long_line(request, at, searched, limits, ProtocolError::TooBigBulkCount)? {
        Line::Incomplete { searched } => Ok(Err(searched)),
        Line::Found { .. } if request[at] != b'$' => Err(ProtocolError::ExpectedDollar { got: request[at] }),
        Line::Found { cr } => match parse_i64(&request[at + 1..cr]) {
            Some(len @ 0..) => Ok(Ok((len as usize, cr + 2 - at))),
            _ => Err(ProtocolError::InvalidBulkLength),
        },
    }
}

enum Line {
    /// The line's end is there, and a byte behind it.
    Found {
        cr: usize,
    },
    Incomplete {
        searched: usize,
    },
}

/// Looks for the end of the line that starts at `start`, from `searched` on.
fn long_line(
    request: &[u8],
    start: usize,
    searched: usize,
    limits: &Limits,
    too_big: ProtocolError,
) -> Result<Line, ProtocolError> {
    match find_line_end(request, searched.max(start), b'\r', false) {
        Ok(cr) if cr - start > limits.inline_len_max => Err(too_big),
        Ok(cr) if cr + 1 < request.len() => Ok(Line::Found { cr }),
        Ok(cr) => Ok(Line::Incomplete { searched: cr }),
        Err(_) if request.len().saturating_sub(start) > limits.inline_len_max => Err(too_big),
        Err(searched) => Ok(Line::Incomplete { searched }),
    }
}

/// The position of `end` at or behind `from`, or how far there is none. A NUL stops the search for ever, as C's `strchr`, unless it is
/// `nul_allowed`.
fn find_line_end(bytes: &[u8], from: usize, end: u8, nul_allowed: bool) -> Result<usize, usize> {
    let rest = bytes.get(from..).unwrap_or_default();
    let found = if nul_allowed { memchr::memchr(end, rest) } else { memchr::memchr2(end, 0, rest) };
    match found {
        Some(found) if rest[found] == end => Ok(from + found),
        Some(found) => Err(from + found),
        None => Err(from.max(bytes.len())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Args;

    /// Feeds `stream` in pieces and renders what was cut: a line a request, an error last.
    fn parse(stream: &[u8], pieces: &[usize], limits: &Limits) -> Vec<String> {
        let mut parser = RequestParser::new();
        let (mut buffer, mut spans, mut found) = (Vec::new(), Vec::new(), Vec::new());
        let mut sizes = pieces.iter().copied().chain(std::iter::repeat(usize::MAX));
        let mut rest = stream;
        let mut offset = 0;
        while !rest.is_empty() {
            let (piece, later) = rest.split_at(sizes.next().unwrap_or(usize::MAX).clamp(1, rest.len()));
            rest = later;
            // What was consumed is dropped between the reads, sometimes: offsets of both kinds are seen.
            if piece.len() % 2 == 0 {
                buffer.drain(..offset);
                offset = 0;
            }
            buffer.extend_from_slice(piece);
            loop {
                let first = spans.len();
                match parser.cut(&mut buffer, offset, limits, &mut spans) {
                    Ok(Cut::Request { consumed, kind }) => {
                        let args = Args::new(&buffer, &spans[first..]);
                        let args: Vec<_> = args.iter().map(|arg| arg.escape_ascii().to_string()).collect();
                        found.push(format!("{kind:?} {}", args.join("|")));
                        offset += consumed;
                    }
                    Ok(Cut::Nothing { consumed }) => offset += consumed,
                    Ok(Cut::BadLine { consumed, reason }) => {
                        found.push(reason.to_string());
                        offset += consumed;
                    }
                    Ok(Cut::Incomplete { wanted }) => {
                        assert!(wanted > buffer.len() - offset, "wanted {wanted} of {}", buffer.len() - offset);
                        assert_eq!(spans.len(), first, "spans of an incomplete request");
                        break;
                    }
                    Err(error) => {
                        found.push(error.reply().escape_ascii().to_string());
                        return found;
                    }
                }
            }
            assert!(offset <= buffer.len());
            spans.clear();
        }
        found
    }

    /// What a stream holds, at once and byte by byte.
    fn check(stream: &[u8], expected: &[&str]) {
        let limits = Limits::default();
        assert_eq!(parse(stream, &[], &limits), expected, "{}", stream.escape_ascii());
        assert_eq!(parse(stream, &vec![1; stream.len()], &limits), expected, "{} byte by byte", stream.escape_ascii());
    }

    /// One request, then a PING, which must be understood whatever the request was.
    fn check_before_ping(stream: &[u8], expected: &[&str]) {
        let ping = r"Multibulk PING";
        check(&[stream, b"*1\r\n$4\r\nPING\r\n"].concat(), &[expected, &[ping]].concat());
    }

    #[test]
    fn multibulk_requests() {
        check_before_ping(b"*1\r\n$4\r\nPING\r\n", &[r"Multibulk PING"]);
        check_before_ping(b"*2\r\n$3\r\nGET\r\n$16\r\nkey:000000000001\r\n", &[r"Multibulk GET|key:000000000001"]);
        check_before_ping(b"*1\r\n$0\r\n\r\n", &[r"Multibulk "]);
        check_before_ping(b"*0\r\n*-1\r\n*-5\r\n", &[]);
        let long = [b"*1\r\n$1234\r\n", &[b'x'; 1234][..], b"\r\n"].concat();
        check_before_ping(&long, &[&format!("Multibulk {}", "x".repeat(1234))]);
    }

    #[test]
    fn bytes_that_redis_does_not_look_at() {
        check_before_ping(b"*1\r\n$3\r\nabcXY", &[r"Multibulk abc"]);
        check_before_ping(b"*1\rX$3\rYabcZZ", &[r"Multibulk abc"]);
    }

    #[test]
    fn counts_and_lengths_are_strict() {
        let multibulk = "ERR Protocol error: invalid multibulk length";
        for count in ["", "01", "+1", " 1", "1 ", "-0", "1x", "2147483648", "9999999999999999999999", "1\n$4"] {
            check(format!("*{count}\r\n").as_bytes(), &[multibulk]);
        }
        let bulk = "ERR Protocol error: invalid bulk length";
        for len in ["", "01", "+1", " 1", "1 ", "-0", "-1", "1x", "536870913", "9999999999999999999999", "1\n"] {
            check(format!("*1\r\n${len}\r\n").as_bytes(), &[bulk]);
        }
        for half_sent in ["*2147483647\r\n$1\r\na", "*1\r\n$536870912\r\nabc", "*1\n", "*3", "*1\r\nx", "*1\r\n$4\r"] {
            check(half_sent.as_bytes(), &[]);
        }
        check(b"*1\r\n:4\r\n", &[r"ERR Protocol error: expected \'$\', got \':\'"]);
        check(b"*1\r\n\r\n", &[r"ERR Protocol error: expected \'$\', got \'\r\'"]);
    }

    #[test]
    fn lines_have_a_greatest_length() {
        let digits = |mark: &str, count: usize| [mark.as_bytes(), &vec![b'1'; count]].concat();
        check(&digits("*", 65_535), &[]);
        check(&digits("*", 65_536), &["ERR Protocol error: too big mbulk count string"]);
        check(&digits("*1\r\n$", 65_535), &[]);
        check(&digits("*1\r\n$", 65_536), &["ERR Protocol error: too big bulk count string"]);
        check(&digits("", 65_536), &[]);
        check(&digits("", 65_537), &["ERR Protocol error: too big inline request"]);
        check(&[&digits("", 65_537)[..], b"\n"].concat(), &["ERR Protocol error: too big inline request"]);
        // No line ends behind a NUL.
        for (start, error) in [
            ("\0\n", "ERR Protocol error: too big inline request"),
            ("*\0\r\n", "ERR Protocol error: too big mbulk count string"),
            ("*1\r\n\0\r\n", "ERR Protocol error: too big bulk count string"),
        ] {
            check(&[start.as_bytes(), &b"AAAAAAA\r\n".repeat(7_000)].concat(), &[]);
            check(&[start.as_bytes(), &b"AAAAAAA\r\n".repeat(8_000)].concat(), &[error]);
        }
    }

    #[test]
    fn who_has_not_authenticated_may_say_little() {
        let limits = Limits { unauthenticated: true, ..Limits::default() };
        let check = |stream: &[u8], expected: &[&str]| assert_eq!(parse(stream, &[], &limits), expected);
        check(b"*10\r\n$16384\r\n", &[]);
        check(b"*11\r\n", &["ERR Protocol error: unauthenticated multibulk length"]);
        check(b"*1\r\n$16385\r\n", &["ERR Protocol error: unauthenticated bulk length"]);
        check(b"PING\r\n", &[r"Inline PING"]);
    }

    #[test]
    fn inline_requests() {
        check_before_ping(b"PING\n", &[r"Inline PING"]);
        check_before_ping(b"GET key:1\r\n", &[r"Inline GET|key:1"]);
        check_before_ping(b"\n\r\n \n\t\r\r\n", &[]);
        check_before_ping(b" \x0b\x0cSET\tk\rv \r\n", &[r"Inline SET|k|v"]);
        check_before_ping(b"\"\" ''\n", &[r"Inline |"]);
        check_before_ping(b"a\x0bb \xff\n", &[r"Inline a\x0bb|\xff"]);
    }

    #[test]
    fn quotes_of_inline_requests() {
        for (line, words) in [
            (r#"k"ey" 'it\'s' "#, r"Inline key|it\'s"),
            (r#""\x41\n\q\"\xZZ\x4""#, r#"Inline A\nq\"xZZx4"#),
            (r#""\a\b\t\r\\" 'a\n\\b'"#, r"Inline \x07\x08\t\r\\|a\\n\\\\b"),
            (r#"\x41"#, r"Inline \\x41"),
        ] {
            check_before_ping(format!("{line}\n").as_bytes(), &[words]);
        }
    }

    #[test]
    fn an_unbalanced_quote_ends_the_connection_or_spoils_a_plain_line() {
        for line in ["SET k \"a", "SET k 'a", "SET k 'a'b", "SET k \"a\"'b'", "'", "a\"", "a \"\\", "a '\\'"] {
            let line = [line.as_bytes(), b"\r\nGET k\n"].concat();
            check(&line, &["ERR Protocol error: unbalanced quotes in request"]);
            let plain = Limits { plain: true, ..Limits::default() };
            let expected = ["ERR unbalanced quotes in request", r"Inline GET|k"];
            assert_eq!(parse(&line, &[], &plain), expected);
        }
    }

    #[test]
    fn a_nul_is_a_byte_of_a_plain_line() {
        let plain = Limits { plain: true, ..Limits::default() };
        assert_eq!(parse(b"GET a\0b\n", &[1; 9], &plain), [r"Inline GET|a\x00b"]);
    }

    #[test]
    fn a_long_argument_says_how_much_room_it_wants() {
        let mut buffer = b"*2\r\n$3\r\nSET\r\n$1000000\r\nab".to_vec();
        let mut parser = RequestParser::new();
        let cut = parser.cut(&mut buffer, 0, &Limits::default(), &mut Vec::new());
        assert_eq!(cut, Ok(Cut::Incomplete { wanted: 23 + 1_000_000 + 2 }));
        assert!(parser.is_half_sent());
        assert_eq!(size_of::<RequestParser>(), 8);
    }
}
