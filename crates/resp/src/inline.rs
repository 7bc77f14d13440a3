//! The words of an inline command, by the rules of Redis's `sdssplitargs`.
//!
//! ```text
//! SET  k"ey"  "a\x41\n"  'it\'s'\r\n      words: SET, key, aA⏎, it's
//! ```
//!
//! Words are parted by white space. Within double quotes `\n \r \t \b \a`, `\xHH` and any other escaped byte are understood, within single
//! quotes only `\'`. A closing quote ends the word: white space or the line's end must follow it.

use crate::Span;

/// A quote is not closed, or something follows a closing one.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct UnbalancedQuotes;

/// Splits the line `buffer[start..end]`, unescaping its words in place: a word is never longer than how it was written. Spans are those
/// of `buffer`.
pub(crate) fn split(
    buffer: &mut [u8],
    start: usize,
    end: usize,
    spans: &mut Vec<Span>,
) -> Result<(), UnbalancedQuotes> {
    let mut read = start;
    loop {
        while read < end && is_space(buffer[read]) {
            read += 1;
        }
        if read == end {
            return Ok(());
        }
        let word = read;
        let mut write = word;
        read = loop {
            if read == end {
                break read;
            }
            match buffer[read] {
                b' ' | b'\n' | b'\r' | b'\t' => break read,
                b'"' => {
                    (read, write) = double_quoted(&mut buffer[..end], read + 1, write)?;
                    break read;
                }
                b'\'' => {
                    (read, write) = single_quoted(&mut buffer[..end], read + 1, write)?;
                    break read;
                }
                byte => {
                    buffer[write] = byte;
                    write += 1;
                    read += 1;
                }
            }
        };
        spans.push(Span { start: word as u32, len: (write - word) as u32 });
    }
}

/// Reads on from behind a `"`; returns the positions behind the closing one and behind what was written.
fn double_quoted(line: &mut [u8], mut read: usize, mut write: usize) -> Result<(usize, usize), UnbalancedQuotes> {
    loop {
        let byte = match line[read..] {
            [b'\\', b'x', high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                read += 4;
                (hex_digit(high) << 4) | hex_digit(low)
            }
            [b'\\', escaped, ..] => {
                read += 2;
                match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 0x08,
                    b'a' => 0x07,
                    other => other,
                }
            }
            [b'"', ..] => return closed(line, read + 1, write),
            [byte, ..] => {
                read += 1;
                byte
            }
            [] => return Err(UnbalancedQuotes),
        };
        line[write] = byte;
        write += 1;
    }
}

/// As [`double_quoted`], from behind a `'`.
fn single_quoted(line: &mut [u8], mut read: usize, mut write: usize) -> Result<(usize, usize), UnbalancedQuotes> {
    loop {
        let byte = match line[read..] {
            [b'\\', b'\'', ..] => {
                read += 2;
                b'\''
            }
            [b'\'', ..] => return closed(line, read + 1, write),
            [byte, ..] => {
                read += 1;
                byte
            }
            [] => return Err(UnbalancedQuotes),
        };
        line[write] = byte;
        write += 1;
    }
}

fn closed(line: &[u8], read: usize, write: usize) -> Result<(usize, usize), UnbalancedQuotes> {
    if read == line.len() || is_space(line[read]) { Ok((read, write)) } else { Err(UnbalancedQuotes) }
}

/// C's `isspace` in the C locale.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

fn hex_digit(digit: u8) -> u8 {
    (digit as char).to_digit(16).unwrap_or(0) as u8
}
