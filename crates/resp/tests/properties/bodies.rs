//! Properties of the parser and the writer, as functions of arbitrary bytes. The fuzzer calls the same functions.

use ochre_resp::{Cut, LaterMark, Limits, Protocol, ProtocolError, ReplyBuffer, ReplyWriter, RequestParser, double};

/// However a stream is cut into reads, the parser finds the requests that a simple model finds in the whole stream. The first two bytes
/// choose the limits and the reads; the others are the stream.
pub fn requests(data: &[u8]) {
    let [flags, seed, stream @ ..] = data else { return };
    let limits = Limits {
        bulk_len_max: 100,
        args_max: 20,
        inline_len_max: 64,
        unauthenticated: flags & 1 != 0,
        plain: flags & 2 != 0,
    };
    let expected = model(stream, &limits);
    assert_eq!(arriving(stream, &limits, || usize::MAX), expected, "at once");
    assert_eq!(arriving(stream, &limits, || 1), expected, "byte by byte");
    let mut state = u32::from(*seed) + 1;
    let random = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 28) as usize + 1
    };
    assert_eq!(arriving(stream, &limits, random), expected, "in random pieces");
}

#[derive(Debug, PartialEq)]
enum Found {
    Request(Vec<Vec<u8>>),
    BadLine,
    Error(ProtocolError),
}

/// Returns what the parser finds in a stream that arrives in reads of the sizes that `next_size` returns.
fn arriving(stream: &[u8], limits: &Limits, mut next_size: impl FnMut() -> usize) -> Vec<Found> {
    let (mut parser, mut found, mut spans) = (RequestParser::new(), Vec::new(), Vec::new());
    let (mut buffer, mut offset, mut rest) = (Vec::new(), 0, stream);
    while !rest.is_empty() {
        let (read, later) = rest.split_at(next_size().min(rest.len()));
        rest = later;
        if read.len() % 2 == 0 {
            buffer.drain(..offset);
            offset = 0;
        }
        buffer.extend_from_slice(read);
        loop {
            let first = spans.len();
            let consumed = match parser.cut(&mut buffer, offset, limits, &mut spans) {
                Ok(Cut::Request { consumed, .. }) => {
                    let args = ochre_resp::Args::new(&buffer, &spans[first..]);
                    found.push(Found::Request(args.iter().map(<[u8]>::to_vec).collect()));
                    consumed
                }
                Ok(Cut::Nothing { consumed }) => consumed,
                Ok(Cut::BadLine { consumed, .. }) => {
                    found.push(Found::BadLine);
                    consumed
                }
                Ok(Cut::Incomplete { wanted }) => {
                    assert!(wanted > buffer.len() - offset);
                    assert_eq!(parser.is_half_sent(), buffer.len() > offset);
                    break;
                }
                Err(error) => {
                    found.push(Found::Error(error));
                    return found;
                }
            };
            assert!(consumed > 0);
            offset += consumed;
        }
    }
    found
}

/// Returns the requests of a whole stream, parsed in the simplest way.
fn model(stream: &[u8], limits: &Limits) -> Vec<Found> {
    let (mut found, mut at) = (Vec::new(), 0);
    while at < stream.len() {
        let read = match stream[at] {
            b'*' => model_multibulk(stream, &mut at, limits),
            _ => model_line(stream, &mut at, limits),
        };
        match read {
            Ok(Some(Found::Request(args))) if args.is_empty() => {}
            Ok(Some(request)) => found.push(request),
            Ok(None) => break,
            Err(error) => {
                found.push(Found::Error(error));
                break;
            }
        }
    }
    found
}

/// Returns the line at `at`, and advances `at` behind it. `None` is an incomplete line.
fn model_header<'a>(
    stream: &'a [u8],
    at: &mut usize,
    limits: &Limits,
    too_big: ProtocolError,
) -> Result<Option<&'a [u8]>, ProtocolError> {
    let rest = &stream[*at..];
    let end = rest.iter().position(|byte| matches!(byte, b'\r' | 0)).filter(|&end| rest[end] == b'\r');
    if end.unwrap_or(rest.len()) > limits.inline_len_max {
        return Err(too_big);
    }
    let Some(end) = end.filter(|end| end + 1 < rest.len()) else { return Ok(None) };
    *at += end + 2;
    Ok(Some(&rest[..end]))
}

fn model_multibulk(stream: &[u8], at: &mut usize, limits: &Limits) -> Result<Option<Found>, ProtocolError> {
    let Some(line) = model_header(stream, at, limits, ProtocolError::TooBigMultibulkCount)? else { return Ok(None) };
    let count = model_number(&line[1..]).filter(|count| *count <= limits.args_max as i64);
    let count = count.ok_or(ProtocolError::InvalidMultibulkLength)?;
    if limits.unauthenticated && count > 10 {
        return Err(ProtocolError::UnauthenticatedMultibulkLength);
    }
    let mut args = Vec::new();
    for _ in 0..count {
        let start = *at;
        let Some(line) = model_header(stream, at, limits, ProtocolError::TooBigBulkCount)? else { return Ok(None) };
        if stream[start] != b'$' {
            return Err(ProtocolError::ExpectedDollar { got: stream[start] });
        }
        let len = model_number(&line[1..]).filter(|len| (0..=limits.bulk_len_max as i64).contains(len));
        let len = len.ok_or(ProtocolError::InvalidBulkLength)? as usize;
        let Some(arg) = stream[*at..].get(..len + 2) else { return Ok(None) };
        args.push(arg[..len].to_vec());
        *at += len + 2;
    }
    Ok(Some(Found::Request(args)))
}

fn model_number(digits: &[u8]) -> Option<i64> {
    let text = str::from_utf8(digits).ok()?;
    text.parse::<i64>().ok().filter(|value| value.to_string() == text)
}

fn model_line(stream: &[u8], at: &mut usize, limits: &Limits) -> Result<Option<Found>, ProtocolError> {
    let rest = &stream[*at..];
    let stop = rest.iter().position(|&byte| byte == b'\n' || byte == 0 && !limits.plain);
    let end = stop.filter(|&end| rest[end] == b'\n');
    if end.unwrap_or(rest.len()) > limits.inline_len_max {
        return Err(ProtocolError::TooBigInline);
    }
    let Some(end) = end else { return Ok(None) };
    *at += end + 1;
    match model_words(rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end])) {
        Some(words) => Ok(Some(Found::Request(words))),
        None if limits.plain => Ok(Some(Found::BadLine)),
        None => Err(ProtocolError::UnbalancedQuotes),
    }
}

/// Splits a line into words, as Redis's `sdssplitargs` does.
fn model_words(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let is_space = |byte: u8| byte.is_ascii_whitespace() || byte == 0x0b;
    let (mut words, mut at) = (Vec::new(), 0);
    loop {
        while at < line.len() && is_space(line[at]) {
            at += 1;
        }
        if at == line.len() {
            return Some(words);
        }
        let mut word = Vec::new();
        let mut quote = None;
        while let Some(&byte) = line.get(at) {
            at += 1;
            match (quote, byte) {
                (None, b' ' | b'\t' | b'\r' | b'\n') => break,
                (None, b'"' | b'\'') => quote = Some(byte),
                (Some(open), byte) if byte == open => {
                    if line.get(at).is_some_and(|&byte| !is_space(byte)) {
                        return None;
                    }
                    quote = None;
                    break;
                }
                (Some(b'\''), b'\\') if line.get(at) == Some(&b'\'') => {
                    word.push(b'\'');
                    at += 1;
                }
                (Some(b'"'), b'\\') if at < line.len() => {
                    let digits = line
                        .get(at + 1..at + 3)
                        .filter(|digits| line[at] == b'x' && digits.iter().all(u8::is_ascii_hexdigit));
                    if let Some(digits) = digits {
                        let digits = str::from_utf8(digits).expect("hexadecimal digits");
                        word.push(u8::from_str_radix(digits, 16).expect("hexadecimal digits"));
                        at += 3;
                    } else {
                        word.push(match line[at] {
                            b'n' => b'\n',
                            b'r' => b'\r',
                            b't' => b'\t',
                            b'b' => 8,
                            b'a' => 7,
                            other => other,
                        });
                        at += 1;
                    }
                }
                (_, byte) => word.push(byte),
            }
        }
        if quote.is_some() {
            return None;
        }
        words.push(word);
    }
}

/// A buffer does what a vector with a maximum does. Each two bytes choose an operation and a number.
pub fn buffers(data: &[u8]) {
    let (mut buffer, mut model, mut len_max) = (ReplyBuffer::new(2_000), Vec::new(), 2_000);
    // Memory is never taken away from a buffer that is within its maximum, so a lower maximum leaves it the capacity that it has.
    let mut capacity_max = len_max;
    let mut overflowed = false;
    for pair in data.as_chunks::<2>().0 {
        let [choice, number] = *pair;
        let number = usize::from(number) * usize::from(choice / 16);
        let text = vec![b'a' + choice % 26; number];
        let room = len_max.max(buffer.capacity());
        match choice % 16 {
            0 => {
                buffer.restart(number);
                (model, len_max, overflowed) = (Vec::new(), number, false);
            }
            1 if !overflowed => {
                assert_eq!(buffer.take(), model);
                model.clear();
                assert_eq!(buffer.capacity(), 0);
            }
            2 => {
                buffer.set_len_max(number);
                len_max = number;
            }
            3 => {
                buffer.truncate(number);
                model.truncate(number);
            }
            4 => {
                buffer.overflow();
                overflowed = true;
            }
            5 => {
                buffer = ReplyBuffer::with_capacity(number, 2_000);
                assert!((number.min(2_000)..=2_000).contains(&buffer.capacity()), "{number} bytes");
                (model, len_max, overflowed) = (Vec::new(), 2_000, false);
            }
            6..8 => {
                let mut part = buffer.part();
                assert_eq!((part.len(), part.room_left()), (0, buffer.room_left()));
                part.extend_from_slice(&text);
                overflowed |= part.has_overflowed();
                buffer.append(part);
                model.extend(text);
            }
            8..10 => {
                overflowed |= model.len() + number > room;
                buffer.append(text.clone().into());
                model.extend(text);
            }
            _ => {
                overflowed |= model.len() + number > room;
                buffer.extend_from_slice(&text);
                model.extend(text);
            }
        }
        capacity_max = capacity_max.max(len_max);
        assert_eq!(buffer.has_overflowed(), overflowed);
        assert!(buffer.reaches(0));
        if overflowed {
            assert!(buffer.reaches(usize::MAX) && buffer.room_left() == 0 && buffer.capacity() <= 4_096);
        } else {
            assert_eq!(*buffer, *model);
            assert_eq!(buffer.room_left(), len_max.saturating_sub(model.len()));
            assert!(buffer.reaches(model.len()) && !buffer.reaches(model.len() + 1));
            assert!((model.len()..=capacity_max.max(4_096)).contains(&buffer.capacity()), "{}", buffer.capacity());
        }
    }
}

/// A reply as a client understands it.
#[derive(Clone, Debug, PartialEq)]
enum Reply {
    Simple(String),
    Error(String),
    Integer(i64),
    Bulk(Vec<u8>),
    Double(String),
    Boolean(bool),
    Null,
    Array(Vec<Reply>),
    Map(Vec<Reply>),
    Set(Vec<Reply>),
    Push(Vec<Reply>),
}

/// A reply that was written in RESP3 reads back. In RESP2, what reads back is the form that RESP2 has for it.
pub fn replies(data: &[u8]) {
    let mut rest = data;
    let reply = reply_from(&mut rest, 0);
    for (protocol, expected) in [(Protocol::Resp3, reply.clone()), (Protocol::Resp2, in_resp2(&reply))] {
        let mut out = ReplyBuffer::default();
        write(&mut ReplyWriter::new(&mut out, protocol), &reply);
        let mut rest = &out[..];
        assert_eq!(read(&mut rest), expected);
        assert!(rest.is_empty());
        // A buffer with a maximum holds the whole reply, or overflows.
        for len_max in [0, 1, out.len() / 2, out.len().saturating_sub(1), out.len(), out.len() + 64] {
            let mut limited = ReplyBuffer::new(len_max);
            write(&mut ReplyWriter::new(&mut limited, protocol), &reply);
            assert!(limited.has_overflowed() || (limited.len() <= len_max && *limited == *out), "{len_max} bytes");
            assert!(!limited.has_overflowed() || len_max < out.len() + 64, "{len_max} bytes are enough");
        }
    }
}

/// Makes a reply that the bytes choose.
fn reply_from(data: &mut &[u8], depth: usize) -> Reply {
    let [choice, number, rest @ ..] = *data else { return Reply::Null };
    *data = rest;
    let text: String = rest.iter().take(usize::from(*number) % 8).map(|byte| char::from(b'a' + byte % 26)).collect();
    let mut elements = |count: u8| (0..count).map(|_| reply_from(data, depth + 1)).collect::<Vec<_>>();
    match choice % if depth < 4 { 11 } else { 7 } {
        0 => Reply::Simple(text),
        1 => Reply::Error(format!("ERR {text}")),
        2 => Reply::Integer(i64::from(*number as i8) << (choice % 57)),
        3 => Reply::Bulk(rest[..rest.len().min(usize::from(*number))].to_vec()),
        4 => Reply::Double(String::from_utf8_lossy(&double::to_text(f64::from(*number as i8) / 7.0)).into_owned()),
        5 => Reply::Boolean(number % 2 == 0),
        6 => Reply::Null,
        7 => Reply::Array(elements(number % 16)),
        8 => Reply::Map(elements(number % 8 * 2)),
        9 => Reply::Set(elements(number % 16)),
        _ => Reply::Push(elements(number % 4)),
    }
}

fn in_resp2(reply: &Reply) -> Reply {
    match reply {
        Reply::Double(text) => Reply::Bulk(text.clone().into_bytes()),
        Reply::Boolean(value) => Reply::Integer((*value).into()),
        Reply::Array(elements) | Reply::Map(elements) | Reply::Set(elements) | Reply::Push(elements) => {
            Reply::Array(elements.iter().map(in_resp2).collect())
        }
        other => other.clone(),
    }
}

fn write(writer: &mut ReplyWriter<'_>, reply: &Reply) {
    let later = |writer: &mut ReplyWriter<'_>, elements: &[Reply]| -> LaterMark {
        let mark = writer.array_later();
        elements.iter().for_each(|element| write(writer, element));
        mark
    };
    match reply {
        Reply::Simple(text) => writer.simple(text),
        Reply::Error(text) => writer.error(text),
        Reply::Integer(value) => writer.integer(*value),
        Reply::Bulk(bytes) => writer.bulk(bytes),
        Reply::Double(text) => writer.double_text(text.as_bytes()),
        Reply::Boolean(value) => writer.boolean(*value),
        Reply::Null => writer.null(),
        Reply::Array(elements) => {
            writer.array(elements.len());
            elements.iter().for_each(|element| write(writer, element));
        }
        Reply::Map(elements) => {
            let mark = later(writer, elements);
            writer.close_map(mark, elements.len() / 2);
        }
        Reply::Set(elements) => {
            let mark = later(writer, elements);
            writer.close_set(mark, elements.len());
        }
        Reply::Push(elements) => {
            let mark = later(writer, elements);
            writer.close_push(mark, elements.len());
        }
    }
}

fn read(data: &mut &[u8]) -> Reply {
    let end = data.windows(2).position(|pair| pair == b"\r\n").expect("a line ends with CRLF");
    let (mark, line) = (data[0], str::from_utf8(&data[1..end]).expect("a header is text").to_string());
    *data = &data[end + 2..];
    let mut elements =
        |times: usize| (0..line.parse::<usize>().expect("a count") * times).map(|_| read(data)).collect();
    match mark {
        b'+' => Reply::Simple(line),
        b'-' => Reply::Error(line),
        b':' => Reply::Integer(line.parse().expect("an integer")),
        b',' => Reply::Double(line),
        b'#' => Reply::Boolean(line == "t"),
        b'_' => Reply::Null,
        b'$' if line == "-1" => Reply::Null,
        b'$' => {
            let (bytes, rest) = data.split_at(line.parse().expect("a length"));
            *data = rest.strip_prefix(b"\r\n").expect("a bulk string ends with CRLF");
            Reply::Bulk(bytes.to_vec())
        }
        b'*' => Reply::Array(elements(1)),
        b'%' => Reply::Map(elements(2)),
        b'~' => Reply::Set(elements(1)),
        b'>' => Reply::Push(elements(1)),
        other => panic!("an unknown mark {other}"),
    }
}
