//! Splitting an inline command into words, by the rules of Redis's `sdssplitargs`.
//!
//! ```text
//! SET  k"ey"  "a\x41\n"  'it\'s'\r\n      words: SET, key, aA⏎, it's
//! ```
//!
//! White space separates words. Double quotes allow the escapes `\n \r \t \b \a` and `\xHH`, and `\` before any other byte stands for that
//! byte. Single quotes allow `\'` only. A closing quote ends the word: white space or the end of the line must follow it.

use crate::Span;

/// A quote is not closed, or a closing quote is not followed by white space.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct UnbalancedQuotes;

/// Splits the line `buffer[start..end]` into words, and pushes their spans. Words are unescaped in place, which never makes them longer.
/// Offsets count from the start of `buffer`.
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

/// Reads from behind a `"` to the closing one, and writes the unescaped bytes at `write`. Returns the positions behind the closing quote
/// and behind the written bytes.
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

/// As [`double_quoted`], for single quotes.
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

/// Checks what follows a closing quote, and returns the two positions.
fn closed(line: &[u8], read: usize, write: usize) -> Result<(usize, usize), UnbalancedQuotes> {
    if read == line.len() || is_space(line[read]) { Ok((read, write)) } else { Err(UnbalancedQuotes) }
}

/// Returns whether a byte is white space: C's `isspace` in the C locale.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

fn hex_digit(digit: u8) -> u8 {
    (digit as char).to_digit(16).unwrap_or(0) as u8
}
