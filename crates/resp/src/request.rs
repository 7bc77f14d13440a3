//! Cutting requests off a read buffer.
//!
//! ```text
//! *2\r\n$3\r\nGET\r\n$5\r\nkey:1\r\n      multibulk: the number of arguments, then length and bytes of each
//! GET key:1\r\n                           inline: a line of words (crate::inline); the \r may be missing
//! ```
//!
//! The rules are those of Redis's `processMultibulkBuffer` and `processInlineBuffer` (networking.c), including the lenient ones. The two
//! bytes behind an argument, and the byte behind a `\r`, are not checked. A NUL byte stops the search for the end of a line, so that such a
//! line is refused once it is too long.

use std::borrow::Cow;

use crate::{Span, inline, parse_i64};

/// The limits of a request. Lengths are in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// `proto-max-bulk-len`: the length of the longest argument.
    pub bulk_len_max: usize,
    /// The most arguments of one request.
    pub args_max: usize,
    /// The length of the longest line: an inline command, or the line of a count or of a length.
    pub inline_len_max: usize,
    /// Whether the client has not authenticated yet. Its requests are then limited to 10 arguments of 16 KiB.
    pub unauthenticated: bool,
    /// Whether inline commands are plain lines. Unbalanced quotes then refuse the line, not the connection, and a NUL is a byte like any
    /// other.
    pub plain: bool,
}

/// The most arguments before authentication. (Redis: `processMultibulkBuffer`)
const UNAUTHENTICATED_ARGS_MAX: usize = 10;
/// The longest argument before authentication, in bytes.
const UNAUTHENTICATED_BULK_LEN_MAX: usize = 16_384;

impl Default for Limits {
    /// Returns Redis's default limits.
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

/// The form of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An array of bulk strings, as client libraries send it.
    Multibulk,
    /// A line of words.
    Inline,
}

/// What [`RequestParser::cut`] found at the front of the buffer. `consumed` is the number of bytes that the caller drops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// A request. The spans of its arguments were pushed.
    Request {
        /// The length of the request in bytes.
        consumed: usize,
        /// The form of the request.
        kind: Kind,
    },
    /// An empty request, which gets no reply: an empty line, `*0` or `*-1`.
    Nothing {
        /// The length of the request in bytes.
        consumed: usize,
    },
    /// A plain line that cannot be split into words.
    BadLine {
        /// The length of the line in bytes.
        consumed: usize,
        /// The text of the error reply, with its code.
        reason: &'static str,
    },
    /// A request that needs more bytes.
    Incomplete {
        /// The bytes from the start of the request to the end of the argument that is being sent, for which the buffer should have room
        /// before the next read. The client claims this length; only [`Limits::bulk_len_max`] bounds it.
        wanted: usize,
    },
}

/// An error of the protocol: no later bytes can be understood. The client gets the reply, and the connection is closed. The texts are
/// Redis's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtocolError {
    /// The number of arguments is no integer, or too great.
    InvalidMultibulkLength,
    /// The request has too many arguments for a client that has not authenticated.
    UnauthenticatedMultibulkLength,
    /// The header of an argument does not begin with `$`.
    ExpectedDollar {
        /// The byte with which it begins.
        got: u8,
    },
    /// The length of an argument is no integer, negative or too great.
    InvalidBulkLength,
    /// An argument is too long for a client that has not authenticated.
    UnauthenticatedBulkLength,
    /// The line of the number of arguments is too long.
    TooBigMultibulkCount,
    /// The line of the length of an argument is too long.
    TooBigBulkCount,
    /// An inline command is too long.
    TooBigInline,
    /// The quotes of an inline command are unbalanced.
    UnbalancedQuotes,
    /// The request reaches beyond the first 4 GiB of the buffer, since spans have 32 bits. (Redis refuses such a request earlier, by
    /// `client-query-buffer-limit`.)
    TooBigRequest,
}

impl ProtocolError {
    /// Returns the text of the error reply, with its code.
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

/// The parser of a connection. It takes eight bytes, and an allocation while a request is incomplete.
#[derive(Default, Debug)]
pub struct RequestParser {
    half_sent: Option<Box<HalfSent>>,
}

/// What was parsed of an incomplete request. Positions count from the first byte of the request.
#[derive(Default, Debug)]
struct HalfSent {
    progress: Progress,
    spans: Vec<Span>,
}

/// The point up to which an incomplete request was parsed.
#[derive(Clone, Copy, Default, Debug)]
struct Progress {
    /// The position of the next line or argument.
    at: usize,
    /// The number of arguments still to come; 0 while the first line is incomplete.
    args_left: usize,
    /// The length of the argument at `at`, if its header was parsed.
    bulk_len: Option<usize>,
    /// The position up to which no line end was found.
    searched: usize,
}

impl RequestParser {
    /// Makes a parser for a new connection.
    pub fn new() -> RequestParser {
        RequestParser::default()
    }

    /// Returns whether a request is incomplete. The next call of [`RequestParser::cut`] must then be given the same bytes again, at its
    /// `offset`, and more behind them.
    pub fn is_half_sent(&self) -> bool {
        self.half_sent.is_some()
    }

    /// Returns the number of bytes of an incomplete request that are parsed: up to the end of its last complete argument and the header of the
    /// next one.
    pub fn parsed_len(&self) -> usize {
        self.half_sent.as_ref().map_or(0, |half_sent| half_sent.progress.at)
    }

    /// Cuts the next request off `buffer[offset..]`. The spans of its arguments, which count from the start of `buffer`, are pushed onto
    /// `spans`: a batch of requests shares the vector. A complete inline command is unescaped in place.
    ///
    /// After [`Cut::Incomplete`] the caller keeps the bytes from `offset` on and calls again when there are more. The bytes may then lie at
    /// another offset or in another buffer; nothing is parsed twice.
    ///
    /// # Errors
    /// See [`ProtocolError`]. The rest of the connection's bytes cannot be parsed after an error.
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

    /// Stores what was parsed of an incomplete request.
    #[cold]
    fn keep(&mut self, progress: Progress, spans: &mut Vec<Span>, first: usize, offset: usize) {
        let mut kept: Vec<Span> = spans.drain(first..).collect();
        for span in &mut kept {
            span.start -= offset as u32;
        }
        self.half_sent = Some(Box::new(HalfSent { progress, spans: kept }));
    }

    /// Continues with an incomplete request.
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

    /// Cuts an inline command off `buffer[offset..]`.
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
        let first = spans.len();
        // A \r before the line end is white space like any other.
        match inline::split(buffer, offset, offset + len, spans) {
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

/// Parses a multibulk request from the point that `progress` describes, which is its first byte by default. `base` is added to the
/// positions in `request` to make spans. For an incomplete request, `progress` is updated.
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

/// Parses a number of one to three digits and its line end. Returns the number, and the bytes of both. `None` says only that the general
/// rules must decide.
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

/// Parses the header of the argument at `at` by the general rules. Returns the length of the argument and that of the header or, if the
/// line is incomplete, the position up to which no line end was found.
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

/// The result of the search for a line end.
enum Line {
    /// There is a `\r` at `cr`, and a byte behind it.
    Found { cr: usize },
    /// There is no line end before `searched`.
    Incomplete { searched: usize },
}

/// Searches for the end of the line that begins at `start`, from `searched` on.
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

/// Returns the position of the byte `end` from `from` on. If there is none, the error is the position up to which was searched. Unless
/// `nul_allowed` is true, a NUL stops this search and all later ones, as it stops C's `strchr`.
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

    /// Parses `stream` in pieces, and returns one line for each request, and for the error at the end.
    fn parse(stream: &[u8], pieces: &[usize], limits: &Limits) -> Vec<String> {
        let mut parser = RequestParser::new();
        let (mut buffer, mut spans, mut found) = (Vec::new(), Vec::new(), Vec::new());
        let mut sizes = pieces.iter().copied().chain(std::iter::repeat(usize::MAX));
        let mut rest = stream;
        let mut offset = 0;
        while !rest.is_empty() {
            let (piece, later) = rest.split_at(sizes.next().unwrap_or(usize::MAX).clamp(1, rest.len()));
            rest = later;
            // Consumed bytes are dropped before every second read or so, so that requests begin at different offsets.
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

    /// Checks the requests of a stream that arrives at once, and of one that arrives byte by byte.
    fn check(stream: &[u8], expected: &[&str]) {
        let limits = Limits::default();
        assert_eq!(parse(stream, &[], &limits), expected, "{}", stream.escape_ascii());
        assert_eq!(parse(stream, &vec![1; stream.len()], &limits), expected, "{} byte by byte", stream.escape_ascii());
    }

    /// Checks requests that are followed by a PING, which must be parsed too.
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
    fn bytes_that_redis_does_not_check() {
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
    fn lines_have_a_maximum_length() {
        let digits = |mark: &str, count: usize| [mark.as_bytes(), &vec![b'1'; count]].concat();
        check(&digits("*", 65_535), &[]);
        check(&digits("*", 65_536), &["ERR Protocol error: too big mbulk count string"]);
        check(&digits("*1\r\n$", 65_535), &[]);
        check(&digits("*1\r\n$", 65_536), &["ERR Protocol error: too big bulk count string"]);
        check(&digits("", 65_536), &[]);
        check(&digits("", 65_537), &["ERR Protocol error: too big inline request"]);
        check(&[&digits("", 65_537)[..], b"\n"].concat(), &["ERR Protocol error: too big inline request"]);
        // A line end behind a NUL is not found.
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
    fn requests_before_authentication_are_limited() {
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
    fn an_unbalanced_quote_refuses_the_connection_or_the_plain_line() {
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
    fn an_incomplete_request_says_how_many_bytes_it_wants() {
        let mut buffer = b"*2\r\n$3\r\nSET\r\n$1000000\r\nab".to_vec();
        let mut parser = RequestParser::new();
        let cut = parser.cut(&mut buffer, 0, &Limits::default(), &mut Vec::new());
        assert_eq!(cut, Ok(Cut::Incomplete { wanted: 23 + 1_000_000 + 2 }));
        assert_eq!(&buffer[parser.parsed_len()..], b"ab");
        assert!(parser.is_half_sent());
        assert_eq!(size_of::<RequestParser>(), 8);
    }

    #[test]
    fn a_request_that_spans_cannot_reach_is_refused() {
        // The system gives memory only to the pages that are written, which are the last ones.
        let mut memory = vec![0; (1 << 32) + 1];
        for (request, name) in [(&b"*1\r\n$4\r\nPING\r\n"[..], 8), (b"PING\n", 0)] {
            for first_piece in [0, 2] {
                for end in [u32::MAX as usize, u32::MAX as usize + 1] {
                    let start = end - request.len();
                    memory[start..end].copy_from_slice(request);
                    let (mut parser, mut spans, limits) = (RequestParser::new(), Vec::new(), Limits::default());
                    if first_piece > 0 {
                        let cut = parser.cut(&mut memory[..start + first_piece], start, &limits, &mut spans);
                        assert!(matches!(cut, Ok(Cut::Incomplete { .. })), "{cut:?}");
                    }
                    let cut = parser.cut(&mut memory[..end], start, &limits, &mut spans);
                    if end > u32::MAX as usize {
                        assert_eq!(cut, Err(ProtocolError::TooBigRequest));
                    } else {
                        assert!(
                            matches!(cut, Ok(Cut::Request { consumed, .. }) if consumed == request.len()),
                            "{cut:?}"
                        );
                        assert_eq!(spans, [Span { start: (start + name) as u32, len: 4 }]);
                    }
                }
            }
        }
    }

    /// The short way reads what the general rules read, and it reads every number of up to three digits.
    #[test]
    fn short_numbers_are_read_as_all_numbers() {
        let mut texts: Vec<Vec<u8>> = vec![Vec::new()];
        for len in 0..4 {
            let shorter: Vec<Vec<u8>> = texts.iter().filter(|text| text.len() == len).cloned().collect();
            texts.extend(shorter.iter().flat_map(|text| b"0129/:-+ \0".map(|byte| [text, &[byte][..]].concat())));
        }
        for text in &texts {
            let value = parse_i64(text).filter(|value| (0..1000).contains(value));
            let expected = value.map(|value| (value as usize, text.len() + 2));
            assert_eq!(short_number(&[text, &b"\r\n"[..]].concat()), expected, "{}", text.escape_ascii());
            assert_eq!(short_number(&[text, &b"\r"[..]].concat()), None, "the line has not ended");
        }
    }
}
