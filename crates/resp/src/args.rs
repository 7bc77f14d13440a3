//! The arguments of a request, as spans of the buffer that it was read into.

use std::ops::{Index, RangeFrom};

/// Where one argument lies in its buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub start: u32,
    pub len: u32,
}

/// The arguments of one request; the first is the command's name.
#[derive(Clone, Copy)]
pub struct Args<'a> {
    buffer: &'a [u8],
    spans: &'a [Span],
}

impl<'a> Args<'a> {
    /// `spans` must lie within `buffer`: an argument outside panics when it is read.
    #[inline]
    pub fn new(buffer: &'a [u8], spans: &'a [Span]) -> Args<'a> {
        Args { buffer, spans }
    }

    /// How many arguments there are, the name included.
    #[inline]
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// One argument. Panics when there are not as many: the arity was checked before.
    #[inline]
    pub fn get(&self, index: usize) -> &'a [u8] {
        slice(self.buffer, self.spans[index])
    }

    /// One argument, where there are as many.
    #[inline]
    pub fn try_get(&self, index: usize) -> Option<&'a [u8]> {
        self.spans.get(index).map(|span| slice(self.buffer, *span))
    }

    /// The arguments from an index on. Panics when there are fewer than `range.start`.
    #[inline]
    pub fn slice(&self, range: RangeFrom<usize>) -> Args<'a> {
        Args { buffer: self.buffer, spans: &self.spans[range] }
    }

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
        assert_eq!(args.try_get(3), None);
        assert_eq!(args.slice(1..).iter().collect::<Vec<_>>(), [&b"key"[..], b""]);
        assert_eq!(format!("{args:?}"), r#"["GET", "key", ""]"#);
    }
}
