//! The arguments of a request, as spans of the buffer that the request was read into.

use std::ops::{Index, RangeFrom};

/// The place of one argument in its buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The offset of the argument's first byte.
    pub start: u32,
    /// The argument's length in bytes.
    pub len: u32,
}

/// The arguments of one request. The first one is the name of the command.
#[derive(Clone, Copy)]
pub struct Args<'a> {
    buffer: &'a [u8],
    spans: &'a [Span],
}

impl<'a> Args<'a> {
    /// Makes arguments of spans, which must lie within the buffer. Reading one that does not panics.
    #[inline]
    pub fn new(buffer: &'a [u8], spans: &'a [Span]) -> Args<'a> {
        Args { buffer, spans }
    }

    /// Returns the number of arguments, including the name of the command.
    #[inline]
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Returns whether there are no arguments.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Returns an argument.
    ///
    /// # Panics
    /// If there are not enough arguments. Callers rely on the check of the command's arity.
    #[inline]
    pub fn get(&self, index: usize) -> &'a [u8] {
        slice(self.buffer, self.spans[index])
    }

    /// Returns an argument, or `None` if there are not enough arguments.
    #[inline]
    pub fn try_get(&self, index: usize) -> Option<&'a [u8]> {
        self.spans.get(index).map(|span| slice(self.buffer, *span))
    }

    /// Returns the arguments from an index on.
    ///
    /// # Panics
    /// If there are fewer arguments than `range.start`.
    #[inline]
    pub fn slice(&self, range: RangeFrom<usize>) -> Args<'a> {
        Args { buffer: self.buffer, spans: &self.spans[range] }
    }

    /// Returns the first `len` arguments, and the others.
    ///
    /// # Panics
    /// If there are fewer arguments.
    #[inline]
    pub fn split_at(&self, len: usize) -> (Args<'a>, Args<'a>) {
        let (first, others) = self.spans.split_at(len);
        (Args { buffer: self.buffer, spans: first }, Args { buffer: self.buffer, spans: others })
    }

    /// Returns all arguments in order.
    #[inline]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &'a [u8]> + DoubleEndedIterator + Clone + use<'a> {
        let buffer = self.buffer;
        self.spans.iter().map(move |span| slice(buffer, *span))
    }
}

impl Index<usize> for Args<'_> {
    type Output = [u8];

    #[inline]
    fn index(&self, index: usize) -> &[u8] {
        self.get(index)
    }
}

impl std::fmt::Debug for Args<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter().map(|arg| arg.escape_ascii().to_string())).finish()
    }
}

#[inline]
fn slice(buffer: &[u8], span: Span) -> &[u8] {
    &buffer[span.start as usize..][..span.len as usize]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_read_in_place() {
        let buffer = b"..GET..key..";
        let spans = [Span { start: 2, len: 3 }, Span { start: 7, len: 3 }, Span { start: 12, len: 0 }];
        let args = Args::new(buffer, &spans);
        assert_eq!((args.len(), args.get(0), &args[1], args.get(2)), (3, &b"GET"[..], &b"key"[..], &b""[..]));
        assert_eq!((args.try_get(2), args.try_get(3)), (Some(&b""[..]), None));
        assert!(!args.is_empty() && args.slice(3..).is_empty());
        assert_eq!(args.slice(1..).iter().collect::<Vec<_>>(), [&b"key"[..], b""]);
        assert_eq!(format!("{args:?}"), r#"["GET", "key", ""]"#);
    }
}
