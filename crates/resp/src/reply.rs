//! Writing replies in the protocol of the client.
//!
//! ```text
//!                RESP2              RESP3              plain lines
//! simple OK      +OK\r\n            +OK\r\n            OK\n
//! error          -ERR no\r\n        -ERR no\r\n        ERR no\n
//! integer 7      :7\r\n             :7\r\n             7\n
//! bulk abc       $3\r\nabc\r\n      $3\r\nabc\r\n      abc\n
//! null           $-1\r\n or *-1\r\n _\r\n              \n
//! array of 2     *2\r\n…            *2\r\n…            2\n…
//! map of 2       *4\r\n…            %2\r\n…            4\n…
//! double 0.5     $3\r\n0.5\r\n      ,0.5\r\n           0.5\n
//! boolean        :1\r\n             #t\r\n             1\n
//! ```

use crate::{ReplyBuffer, append, double};

/// The protocol of a client. (Redis: the RESP specification)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// RESP2, which a connection begins with.
    Resp2,
    /// RESP3, which HELLO chooses.
    Resp3,
    /// Lines without type marks, for people.
    Plain,
}

/// Appends replies to a buffer. The caller must write exactly as many elements as it announced for an aggregate, unless the buffer has
/// overflowed: what is written then is dropped.
#[derive(Debug)]
pub struct ReplyWriter<'a> {
    out: &'a mut ReplyBuffer,
    protocol: Protocol,
    errors: u32,
}

/// The place of the header of an aggregate whose length is not known yet. Each mark must be closed once, the marks of inner aggregates
/// before those of outer ones.
#[derive(Debug)]
#[must_use = "the header is written when the mark is closed"]
pub struct LaterMark {
    position: usize,
}

/// The bytes that are reserved for the header of a [`LaterMark`]: enough for a length of one digit, which is the most common.
const LATER_LEN: usize = 4;

impl<'a> ReplyWriter<'a> {
    /// Makes a writer that appends to `out`.
    #[inline]
    pub fn new(out: &'a mut ReplyBuffer, protocol: Protocol) -> ReplyWriter<'a> {
        ReplyWriter { out, protocol, errors: 0 }
    }

    /// Returns the protocol of the client.
    #[inline]
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Sets the protocol of the replies that follow, as HELLO does.
    pub fn set_protocol(&mut self, protocol: Protocol) {
        self.protocol = protocol;
    }

    /// Returns the number of errors that were written.
    #[inline]
    pub fn errors(&self) -> u32 {
        self.errors
    }

    /// Returns the length of the buffer, for [`ReplyWriter::rewind`].
    #[inline]
    pub fn position(&self) -> usize {
        self.out.len()
    }

    /// Removes everything that was written since `position`. The count of errors stays as it is.
    #[inline]
    pub fn rewind(&mut self, position: usize) {
        debug_assert!(
            position <= self.out.len() || self.out.has_overflowed(),
            "the position lies behind the end of the buffer"
        );
        self.out.truncate(position);
    }

    /// Returns the buffer, for replies that another writer makes.
    #[inline]
    pub fn out(&mut self) -> &mut ReplyBuffer {
        self.out
    }

    /// Appends bytes that are replies in the protocol of the client already.
    #[inline]
    pub fn raw(&mut self, reply: &[u8]) {
        self.out.extend_from_slice(reply);
    }

    /// As [`ReplyWriter::raw`], for a reply in a buffer of its own. If that buffer has overflowed, so has this one.
    pub fn raw_owned(&mut self, reply: ReplyBuffer) {
        self.out.append(reply);
    }

    /// Whether the buffer has overflowed, so that the reply will not be sent. A command that only reads may then stop.
    #[inline]
    pub fn has_overflowed(&self) -> bool {
        self.out.has_overflowed()
    }

    /// Writes `OK`.
    #[inline]
    pub fn ok(&mut self) {
        self.out.extend_from_slice(if self.protocol == Protocol::Plain { b"OK\n" } else { b"+OK\r\n" });
    }

    /// Writes a simple string. `text` must not have line ends.
    #[inline]
    pub fn simple(&mut self, text: &str) {
        debug_assert!(!text.contains(['\r', '\n']), "a simple string has several lines");
        self.line(b"+", text.as_bytes());
    }

    /// Writes an error. `text` begins with the error code. Line ends at the beginning and at the end of the text are removed, and others
    /// become spaces. (Redis: `addReplyErrorFormatInternal`)
    pub fn error(&mut self, text: impl AsRef<[u8]>) {
        let is_line_end = |byte: &u8| matches!(byte, b'\r' | b'\n');
        let text = text.as_ref();
        let start = text.iter().position(|byte| !is_line_end(byte)).unwrap_or(text.len());
        let end = text.iter().rposition(|byte| !is_line_end(byte)).map_or(start, |last| last + 1);
        self.errors += 1;
        if self.protocol != Protocol::Plain {
            self.out.extend_from_slice(b"-");
        }
        if let Some(out) = self.out.room(end - start) {
            out.extend(text[start..end].iter().map(|byte| if is_line_end(byte) { b' ' } else { *byte }));
        }
        self.end_line();
    }

    /// Writes an integer.
    #[inline]
    pub fn integer(&mut self, value: i64) {
        let plain = self.protocol == Protocol::Plain;
        if (0..10).contains(&value) && !plain {
            self.out.extend_from_slice(&[b':', b'0' + value as u8, b'\r', b'\n']);
            return;
        }
        self.line(b":", itoa::Buffer::new().format(value).as_bytes());
    }

    /// Writes a bulk string, of any bytes.
    #[inline]
    pub fn bulk(&mut self, bytes: &[u8]) {
        if self.protocol == Protocol::Plain {
            self.out.extend_from_slice(bytes);
            self.end_line();
            return;
        }
        append::bulk(self.out, bytes);
    }

    /// Writes an integer as a bulk string.
    #[inline]
    pub fn bulk_integer(&mut self, value: i64) {
        self.bulk(itoa::Buffer::new().format(value).as_bytes());
    }

    /// Writes a null.
    #[inline]
    pub fn null(&mut self) {
        self.out.extend_from_slice(match self.protocol {
            Protocol::Resp2 => b"$-1\r\n",
            Protocol::Resp3 => b"_\r\n",
            Protocol::Plain => b"\n",
        });
    }

    /// Writes a null in the place of an array, which is another null in RESP2.
    #[inline]
    pub fn null_array(&mut self) {
        self.out.extend_from_slice(match self.protocol {
            Protocol::Resp2 => b"*-1\r\n",
            Protocol::Resp3 => b"_\r\n",
            Protocol::Plain => b"\n",
        });
    }

    /// Writes the header of an array. The caller writes its `len` elements next.
    #[inline]
    pub fn array(&mut self, len: usize) {
        self.header(b'*', len);
    }

    /// Writes the header of a map. The caller writes its `len` pairs of a key and a value next.
    #[inline]
    pub fn map(&mut self, len: usize) {
        match self.protocol {
            Protocol::Resp3 => self.header(b'%', len),
            Protocol::Resp2 | Protocol::Plain => self.header(b'*', len * 2),
        }
    }

    /// Writes the header of a set. The caller writes its `len` elements next.
    #[inline]
    pub fn set(&mut self, len: usize) {
        self.header(if self.protocol == Protocol::Resp3 { b'~' } else { b'*' }, len);
    }

    /// Writes the header of a push message. The caller writes its `len` elements next.
    #[inline]
    pub fn push(&mut self, len: usize) {
        self.header(if self.protocol == Protocol::Resp3 { b'>' } else { b'*' }, len);
    }

    /// Writes the header of an attribute. The caller writes its `len` pairs next, and then the reply to which the attribute belongs.
    ///
    /// # Panics
    /// If the protocol is not RESP3, which is the only one with attributes.
    pub fn attribute(&mut self, len: usize) {
        assert_eq!(self.protocol, Protocol::Resp3, "an attribute outside RESP3");
        self.header(b'|', len);
    }

    /// Writes a double, with the digits of [`double::write`].
    pub fn double(&mut self, value: f64) {
        /// More bytes than a double takes, with its marks.
        const ROOM: usize = 64;
        let Some(out) = self.out.room(ROOM) else { return };
        if self.protocol == Protocol::Resp3 {
            out.push(b',');
        }
        let start = out.len();
        double::write(out, value);
        if self.protocol == Protocol::Resp2 {
            // Now that the length is known, the digits are moved to make room for the header.
            let len = out.len() - start;
            let header = [b'$', b'0' + (len / 10) as u8, b'0' + (len % 10) as u8, b'\r', b'\n'];
            let header_len = if len < 10 { 4 } else { 5 };
            out.extend_from_slice(&[0; 5][..header_len]);
            out.copy_within(start..start + len, start + header_len);
            out[start] = header[0];
            out[start + 1..start + header_len].copy_from_slice(&header[6 - header_len..]);
        }
        self.end_line();
    }

    /// Writes a double whose text has a layout of its own, such as a long double or a coordinate. (Redis: `addReplyHumanLongDouble`)
    pub fn double_text(&mut self, text: &[u8]) {
        match self.protocol {
            Protocol::Resp3 => self.line(b",", text),
            Protocol::Resp2 | Protocol::Plain => self.bulk(text),
        }
    }

    /// Writes a boolean.
    pub fn boolean(&mut self, value: bool) {
        match self.protocol {
            Protocol::Resp3 => self.out.extend_from_slice(if value { b"#t\r\n" } else { b"#f\r\n" }),
            Protocol::Resp2 | Protocol::Plain => self.integer(value.into()),
        }
    }

    /// Writes an integer of any length, whose text is `digits`.
    pub fn big_number(&mut self, digits: &[u8]) {
        match self.protocol {
            Protocol::Resp3 => self.line(b"(", digits),
            Protocol::Resp2 | Protocol::Plain => self.bulk(digits),
        }
    }

    /// Writes a verbatim string. `extension` is the format of the text: `txt` or `mkd`.
    pub fn verbatim(&mut self, extension: &str, text: &[u8]) {
        debug_assert_eq!(extension.len(), 3, "the extension does not have three letters");
        match self.protocol {
            Protocol::Resp3 => {
                self.header(b'=', text.len() + 4);
                self.out.extend_from_slice(extension.as_bytes());
                self.out.extend_from_slice(b":");
                self.out.extend_from_slice(text);
                self.end_line();
            }
            Protocol::Resp2 | Protocol::Plain => self.bulk(text),
        }
    }

    /// Reserves room for the header of an aggregate whose length is not known before its elements are written.
    pub fn array_later(&mut self) -> LaterMark {
        let position = self.out.len();
        self.out.extend_from_slice(&[0; LATER_LEN]);
        LaterMark { position }
    }

    /// Writes the header of an array of `len` elements at `mark`.
    pub fn close_array(&mut self, mark: LaterMark, len: usize) {
        self.close(mark, |writer| writer.array(len));
    }

    /// As [`ReplyWriter::close_array`], for a map of `len` pairs.
    pub fn close_map(&mut self, mark: LaterMark, len: usize) {
        self.close(mark, |writer| writer.map(len));
    }

    /// As [`ReplyWriter::close_array`], for a set.
    pub fn close_set(&mut self, mark: LaterMark, len: usize) {
        self.close(mark, |writer| writer.set(len));
    }

    /// As [`ReplyWriter::close_array`], for a push message.
    pub fn close_push(&mut self, mark: LaterMark, len: usize) {
        self.close(mark, |writer| writer.push(len));
    }

    fn close(&mut self, mark: LaterMark, write_header: impl FnOnce(&mut ReplyWriter<'_>)) {
        /// More bytes than a header takes.
        const ROOM: usize = 32;
        let mut header = ReplyBuffer::default();
        write_header(&mut ReplyWriter::new(&mut header, self.protocol));
        let Some(out) = self.out.room(ROOM) else { return };
        // The mark of a buffer that has overflowed leads nowhere.
        let Some(room) = out.get_mut(mark.position..mark.position + LATER_LEN) else { return };
        if header.len() == LATER_LEN {
            room.copy_from_slice(&header);
        } else {
            out.splice(mark.position..mark.position + LATER_LEN, header.iter().copied());
        }
    }

    /// Writes a type mark, a length and a line end. Plain lines have no marks.
    #[inline(always)]
    fn header(&mut self, mark: u8, len: usize) {
        if self.protocol == Protocol::Plain {
            self.line(b"", itoa::Buffer::new().format(len).as_bytes());
        } else if len < 10 {
            self.out.extend_from_slice(&[mark, b'0' + len as u8, b'\r', b'\n']);
        } else if len < 100 {
            let (tens, ones) = (b'0' + (len / 10) as u8, b'0' + (len % 10) as u8);
            self.out.extend_from_slice(&[mark, tens, ones, b'\r', b'\n']);
        } else {
            self.line(&[mark], itoa::Buffer::new().format(len).as_bytes());
        }
    }

    #[inline]
    fn line(&mut self, mark: &[u8], text: &[u8]) {
        let Some(out) = self.out.room(text.len() + 3) else { return };
        if self.protocol == Protocol::Plain {
            out.extend_from_slice(text);
            out.push(b'\n');
        } else {
            out.extend_from_slice(mark);
            out.extend_from_slice(text);
            out.extend_from_slice(b"\r\n");
        }
    }

    #[inline]
    fn end_line(&mut self) {
        self.out.extend_from_slice(if self.protocol == Protocol::Plain { b"\n" } else { b"\r\n" });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks a reply in RESP2, in RESP3 and in plain lines.
    #[track_caller]
    fn check(write: impl Fn(&mut ReplyWriter<'_>), expected: [&str; 3]) {
        for (protocol, expected) in [Protocol::Resp2, Protocol::Resp3, Protocol::Plain].into_iter().zip(expected) {
            // A reply is appended to other bytes, which must stay as they are.
            let mut out = ReplyBuffer::from(b"before".to_vec());
            write(&mut ReplyWriter::new(&mut out, protocol));
            assert_eq!(out.escape_ascii().to_string(), format!("before{}", expected.escape_debug()), "{protocol:?}");
        }
    }

    /// Checks a reply that is the same in RESP2 and RESP3.
    #[track_caller]
    fn check_marked(write: impl Fn(&mut ReplyWriter<'_>), resp: &str, plain: &str) {
        check(write, [resp, resp, plain]);
    }

    #[test]
    fn scalars() {
        check_marked(|w| w.ok(), "+OK\r\n", "OK\n");
        check_marked(|w| w.simple("PONG"), "+PONG\r\n", "PONG\n");
        for value in [0, 7, 9, 10, -1, i64::MAX, i64::MIN] {
            check_marked(|w| w.integer(value), &format!(":{value}\r\n"), &format!("{value}\n"));
        }
        for len in [0, 1, 9, 10, 42, 99, 100, 12_345] {
            let text = "x".repeat(len);
            check_marked(|w| w.bulk(text.as_bytes()), &format!("${len}\r\n{text}\r\n"), &format!("{text}\n"));
        }
        check_marked(|w| w.bulk_integer(-12), "$3\r\n-12\r\n", "-12\n");
        check(|w| w.null(), ["$-1\r\n", "_\r\n", "\n"]);
        check(|w| w.null_array(), ["*-1\r\n", "_\r\n", "\n"]);
        check(|w| w.double(0.5), ["$3\r\n0.5\r\n", ",0.5\r\n", "0.5\n"]);
        check(|w| w.double(-1.25e-100), ["$10\r\n-1.25e-100\r\n", ",-1.25e-100\r\n", "-1.25e-100\n"]);
        check(|w| w.double_text(b"3.10"), ["$4\r\n3.10\r\n", ",3.10\r\n", "3.10\n"]);
        check(|w| w.boolean(true), [":1\r\n", "#t\r\n", "1\n"]);
        check(|w| w.boolean(false), [":0\r\n", "#f\r\n", "0\n"]);
        check(|w| w.big_number(b"-123"), ["$4\r\n-123\r\n", "(-123\r\n", "-123\n"]);
        check(|w| w.verbatim("txt", b"a\nb"), ["$3\r\na\nb\r\n", "=7\r\ntxt:a\nb\r\n", "a\nb\n"]);
        check_marked(|w| w.raw(b":1\r\n"), ":1\r\n", ":1\r\n");
    }

    #[test]
    fn aggregates() {
        check_marked(|w| w.array(2), "*2\r\n", "2\n");
        for len in [0, 9, 10, 11, 99, 100, 1000] {
            check_marked(|w| w.array(len), &format!("*{len}\r\n"), &format!("{len}\n"));
        }
        check(|w| w.map(2), ["*4\r\n", "%2\r\n", "4\n"]);
        check(|w| w.set(12), ["*12\r\n", "~12\r\n", "12\n"]);
        check(|w| w.push(3), ["*3\r\n", ">3\r\n", "3\n"]);
        let mut out = ReplyBuffer::default();
        ReplyWriter::new(&mut out, Protocol::Resp3).attribute(1);
        assert_eq!(*out, *b"|1\r\n");
    }

    #[test]
    fn an_error_is_one_line_and_counted() {
        check_marked(|w| w.error("ERR no"), "-ERR no\r\n", "ERR no\n");
        check_marked(|w| w.error("\r\nERR a\r\nb\n"), "-ERR a  b\r\n", "ERR a  b\n");
        check_marked(|w| w.error(b"\n"), "-\r\n", "\n");
        let mut out = ReplyBuffer::default();
        let mut writer = ReplyWriter::new(&mut out, Protocol::Resp2);
        let start = writer.position();
        writer.array(3);
        writer.rewind(start);
        assert_eq!(writer.errors(), 0);
        for count in 1..4 {
            writer.error("ERR no");
            assert_eq!(writer.errors(), count);
        }
        assert_eq!(*out, *b"-ERR no\r\n".repeat(3));
        // The bytes that are removed need no room.
        let mut out = ReplyBuffer::new(9);
        ReplyWriter::new(&mut out, Protocol::Resp2)
            .error([b'\n'; 100].iter().chain(b"ERR no").copied().collect::<Vec<_>>());
        assert_eq!((&*out, out.has_overflowed()), (&b"-ERR no\r\n"[..], false));
    }

    #[test]
    fn a_writer_passes_on_what_others_wrote() {
        let mut out = ReplyBuffer::new(100);
        let mut writer = ReplyWriter::new(&mut out, Protocol::Resp2);
        writer.set_protocol(Protocol::Resp3);
        assert_eq!(writer.protocol(), Protocol::Resp3);
        writer.null();
        writer.out().extend_from_slice(b":1\r\n");
        writer.raw_owned(b":2\r\n".to_vec().into());
        assert!(!writer.has_overflowed());
        assert_eq!(*out, *b"_\r\n:1\r\n:2\r\n");

        let mut writer = ReplyWriter::new(&mut out, Protocol::Resp2);
        writer.bulk(&[b'x'; 100]);
        assert!(writer.has_overflowed());
    }

    #[test]
    fn headers_that_are_written_later() {
        for len in [0, 9, 10, 12_345] {
            let write = |w: &mut ReplyWriter<'_>| {
                let outer = w.array_later();
                w.integer(1);
                let inner = w.array_later();
                w.ok();
                w.close_map(inner, len);
                w.ok();
                w.close_array(outer, len);
            };
            check(
                write,
                [
                    &format!("*{len}\r\n:1\r\n*{}\r\n+OK\r\n+OK\r\n", 2 * len),
                    &format!("*{len}\r\n:1\r\n%{len}\r\n+OK\r\n+OK\r\n"),
                    &format!("{len}\n1\n{}\nOK\nOK\n", 2 * len),
                ],
            );
        }
    }
}
