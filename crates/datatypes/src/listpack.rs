//! Listpacks: runs of elements in a compact encoding, which can be walked from either end.
//!
//! ```text
//!   element:  head | bytes, of a string | back length
//!
//!   head              then                                             element
//!   0xxxxxxx                                                           0 to 127
//!   10xxxxxx                          bytes                            a string of up to 63 bytes
//!   110xxxxx xxxxxxxx                                                  −4,096 to 4,095
//!   1110xxxx xxxxxxxx                 bytes                            a string of up to 4,095 bytes
//!   11110000          length in 4 bytes, bytes                         a longer string
//!   11110001 … 11110100               2, 3, 4 or 8 bytes               a greater integer
//! ```
//!
//! The back length is the length of head and bytes. It is read backwards: seven bits a byte, the lowest in the last byte, and the top bit
//! says that another byte lies to the left. A string that is the text of an integer is stored as that integer, so that equal elements have
//! equal bytes. A short string takes two bytes more than its own, and a small integer takes two bytes in all.
//!
//! This is Redis's listpack (listpack.c) without its header and its end byte. They are added where a limit counts them
//! ([`HEADER_AND_END`]), and where a listpack is written to a file ([`Listpack::to_redis`]).
//!
//! To read a run, wrap it in a [`Listpack`]; to edit it, pass the vector to a function of this module. An *offset* is the position at which
//! an element begins. All functions take offsets of a well-formed run; other offsets may panic.

use std::collections::HashSet;

use crate::number::{I64_LEN_MAX, parse_i64};

/// The bytes that a listpack takes on Redis in addition to its elements: size and count before them, and the end byte behind them.
pub const HEADER_AND_END: usize = HEADER + 1;
const HEADER: usize = 6;
const END: u8 = 0xff;
/// The count in the header of a listpack with more elements than 16 bits can count.
const COUNT_UNKNOWN: u16 = u16::MAX;

const STRING_32: u8 = 0xf0;
const INT_16: u8 = 0xf1;
const INT_24: u8 = 0xf2;
const INT_32: u8 = 0xf3;
const INT_64: u8 = 0xf4;

/// The longest string that an element can hold, in bytes. A collection is no longer packed long before that.
pub const STRING_LEN_MAX: usize = 1 << 31;

/// A run of elements, for reading.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Listpack<'a>(pub &'a [u8]);

/// An element. A string that is the text of an integer is that integer, so that equal elements are equal values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element<'a> {
    /// A string that is exactly how the integer is written; see [`parse_i64`].
    Int(i64),
    /// Any other string.
    Bytes(&'a [u8]),
}

impl<'a> Listpack<'a> {
    /// Returns whether there are no elements.
    #[inline]
    pub fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// Counts the elements, by walking over them.
    pub fn len(self) -> usize {
        let mut count = 0;
        let mut offset = 0;
        while offset < self.0.len() {
            offset = self.end_of(offset);
            count += 1;
        }
        count
    }

    /// Returns the offsets and the elements, from either end.
    #[inline]
    pub fn iter(self) -> Iter<'a> {
        Iter { bytes: self.0, front: 0, back: self.0.len() }
    }

    /// Returns the offsets and the elements from an offset on, which may be the end.
    #[inline]
    pub fn iter_from(self, offset: usize) -> Iter<'a> {
        Iter { bytes: self.0, front: offset, back: self.0.len() }
    }

    /// Returns the offset of the first element.
    #[inline]
    pub fn first(self) -> Option<usize> {
        (!self.0.is_empty()).then_some(0)
    }

    /// Returns the offset of the last element.
    #[inline]
    pub fn last(self) -> Option<usize> {
        self.prev(self.0.len())
    }

    /// Returns the offset of the element after the one at an offset.
    #[inline]
    pub fn next(self, offset: usize) -> Option<usize> {
        let end = self.end_of(offset);
        (end < self.0.len()).then_some(end)
    }

    /// Returns the offset of the element before an offset, which may be the end.
    #[inline]
    pub fn prev(self, offset: usize) -> Option<usize> {
        (offset > 0).then(|| start_of_last(self.0, offset))
    }

    /// Returns the element at an offset.
    #[inline]
    pub fn get(self, offset: usize) -> Element<'a> {
        decode(self.0, offset).0
    }

    /// Returns the end of the element at an offset, which is the offset of the next element, or the end of the run.
    #[inline]
    pub fn end_of(self, offset: usize) -> usize {
        let (head, body) = lengths(self.0, offset);
        offset + with_back(head + body)
    }

    /// Returns the offset of the element at an index, or `None` if there are not enough elements.
    #[inline]
    pub fn nth(self, index: usize) -> Option<usize> {
        let mut offset = 0;
        for _ in 0..index {
            if offset >= self.0.len() {
                return None;
            }
            offset = self.end_of(offset);
        }
        (offset < self.0.len()).then_some(offset)
    }

    /// As [`Listpack::nth`], where index 0 is the last element.
    #[inline]
    pub fn nth_back(self, index: usize) -> Option<usize> {
        let mut offset = self.last()?;
        for _ in 0..index {
            offset = self.prev(offset)?;
        }
        Some(offset)
    }

    /// As [`Listpack::nth`], for a run of `count` elements: it walks from the nearer end.
    #[inline]
    pub fn nth_of(self, index: usize, count: usize) -> Option<usize> {
        if index >= count {
            None
        } else if index < count.div_ceil(2) {
            self.nth(index)
        } else {
            self.nth_back(count - 1 - index)
        }
    }

    /// Returns the offset of the first element that equals the bytes. After each element that is compared, `skip` elements are not.
    #[inline]
    pub fn find(self, bytes: &[u8], skip: usize) -> Option<usize> {
        self.find_from(0, bytes, skip)
    }

    /// As [`Listpack::find`], from an offset on, which may be the end.
    #[inline]
    pub fn find_from(self, offset: usize, bytes: &[u8], skip: usize) -> Option<usize> {
        let wanted = Encoded::new(bytes);
        let mut offset = offset;
        while offset < self.0.len() {
            if wanted.is_at(self.0, offset) {
                return Some(offset);
            }
            for _ in 0..=skip {
                if offset >= self.0.len() {
                    return None;
                }
                offset = self.end_of(offset);
            }
        }
        None
    }

    /// Returns whether the element at an offset equals an encoded one. For loops that compare many elements with one.
    #[inline]
    pub fn equals(self, offset: usize, wanted: &Encoded<'_>) -> bool {
        wanted.is_at(self.0, offset)
    }

    /// Returns the bytes that the first `elements` elements take, or all if there are fewer.
    #[inline]
    pub fn len_of(self, elements: usize) -> usize {
        self.nth(elements).unwrap_or(self.0.len())
    }

    /// Returns whether the elements come in groups of `stride` whose first elements are all different: the fields of a hash, or the members
    /// of a set or sorted set.
    pub fn has_distinct_groups(self, stride: usize) -> bool {
        /// Up to this many groups are compared with each other.
        const COMPARED_MAX: usize = 8;
        let mut ends = self.iter().skip(1).map(|(offset, _)| offset).chain([self.0.len()]);
        let mut first = Vec::new();
        let mut offset = 0;
        while offset < self.0.len() {
            let end = ends.next().expect("each element has an end");
            // Equal elements have equal bytes.
            first.push(&self.0[offset..end]);
            let Some(next) = (0..stride - 1).try_fold(end, |_, _| ends.next()) else { return false };
            offset = next;
        }
        if first.len() <= COMPARED_MAX {
            return first.iter().enumerate().all(|(index, name)| !first[..index].contains(name));
        }
        let mut seen = HashSet::with_capacity(first.len());
        first.into_iter().all(|name| seen.insert(name))
    }

    /// Returns the listpack as Redis has it, with header and end.
    ///
    /// # Panics
    /// If the run has 4 GiB or more.
    pub fn to_redis(self) -> Vec<u8> {
        let total = self.0.len() + HEADER_AND_END;
        let mut bytes = Vec::with_capacity(total);
        bytes.extend_from_slice(&u32::try_from(total).expect("a listpack has less than 4 GiB").to_le_bytes());
        bytes.extend_from_slice(&u16::try_from(self.len()).unwrap_or(COUNT_UNKNOWN).to_le_bytes());
        bytes.extend_from_slice(self.0);
        bytes.push(END);
        bytes
    }
}

/// Returns the elements of a listpack of Redis's, or `None` if it is not well formed. Each element is encoded anew, so that equal elements
/// have equal bytes whoever wrote the listpack.
pub fn from_redis(bytes: &[u8]) -> Option<Vec<u8>> {
    let (header, rest) = bytes.split_at_checked(HEADER)?;
    let total = u32::from_le_bytes([header[0], header[1], header[2], header[3]]);
    let count = u16::from_le_bytes([header[4], header[5]]);
    let (&END, elements) = rest.split_last()? else { return None };
    if total as usize != bytes.len() {
        return None;
    }
    let mut own = Vec::with_capacity(elements.len());
    let mut found = 0;
    let mut offset = 0;
    while offset < elements.len() {
        let (head, body) = lengths_checked(&elements[offset..])?;
        let back = Back::new(head + body);
        let end = offset + head + body;
        if elements.get(end..end + back.len)? != back.bytes() {
            return None;
        }
        match Listpack(elements).get(offset) {
            Element::Int(value) => push_back_int(&mut own, value),
            Element::Bytes(bytes) => push_back(&mut own, bytes),
        }
        found += 1;
        offset = end + back.len;
    }
    (count == COUNT_UNKNOWN || usize::from(count) == found).then_some(own)
}

/// Appends an element.
#[inline]
pub fn push_back(run: &mut Vec<u8>, bytes: &[u8]) {
    Encoded::new(bytes).push_to(run);
}

/// Appends an integer.
#[inline]
pub fn push_back_int(run: &mut Vec<u8>, value: i64) {
    Encoded::of_int(value).push_to(run);
}

/// Inserts an element in front of all others.
#[inline]
pub fn push_front(run: &mut Vec<u8>, bytes: &[u8]) {
    insert(run, 0, bytes);
}

/// Inserts an element at an offset, which may be the end.
#[inline]
pub fn insert(run: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    Encoded::new(bytes).put(run, offset, 0);
}

/// Replaces the element at an offset.
#[inline]
pub fn replace(run: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let before = Listpack(run).end_of(offset) - offset;
    Encoded::new(bytes).put(run, offset, before);
}

/// As [`insert`], for an integer.
#[inline]
pub fn insert_int(run: &mut Vec<u8>, offset: usize, value: i64) {
    Encoded::of_int(value).put(run, offset, 0);
}

/// As [`replace`], for an integer.
#[inline]
pub fn replace_int(run: &mut Vec<u8>, offset: usize, value: i64) {
    let before = Listpack(run).end_of(offset) - offset;
    Encoded::of_int(value).put(run, offset, before);
}

/// Removes the element at an offset. The next element is then at this offset.
#[inline]
pub fn remove(run: &mut Vec<u8>, offset: usize) {
    remove_range(run, offset, 1);
}

/// Removes `elements` elements from an offset on, or all if there are fewer.
#[inline]
pub fn remove_range(run: &mut Vec<u8>, offset: usize, elements: usize) {
    let mut end = offset;
    for _ in 0..elements {
        if end >= run.len() {
            break;
        }
        end = Listpack(run).end_of(end);
    }
    remove_bytes(run, offset, end);
}

/// Removes the elements between two offsets, of which the second may be the end.
#[inline]
pub fn remove_bytes(run: &mut Vec<u8>, from: usize, to: usize) {
    let len = run.len();
    run.copy_within(to.., from);
    run.truncate(len - (to - from));
}

/// Returns the bytes that an element takes.
#[inline]
pub fn encoded_len(bytes: &[u8]) -> usize {
    Encoded::new(bytes).len()
}

/// Returns the bytes that an integer takes as an element.
#[inline]
pub fn encoded_len_int(value: i64) -> usize {
    Encoded::of_int(value).len()
}

impl<'a> Element<'a> {
    /// Makes the element of these bytes.
    #[inline]
    pub fn of(bytes: &'a [u8]) -> Element<'a> {
        match parse_i64(bytes) {
            Some(value) => Element::Int(value),
            None => Element::Bytes(bytes),
        }
    }

    /// Returns the element's bytes. Those of an integer are written to the buffer.
    #[inline]
    pub fn as_bytes<'b>(&self, buffer: &'b mut itoa::Buffer) -> &'b [u8]
    where
        'a: 'b,
    {
        match *self {
            Element::Int(value) => buffer.format(value).as_bytes(),
            Element::Bytes(bytes) => bytes,
        }
    }

    /// Appends the element's bytes.
    #[inline]
    pub fn write_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.as_bytes(&mut itoa::Buffer::new()));
    }

    /// Returns the element's bytes as a vector.
    pub fn to_vec(&self) -> Vec<u8> {
        self.as_bytes(&mut itoa::Buffer::new()).to_vec()
    }

    /// Returns the length of the element's bytes.
    #[inline]
    pub fn len(&self) -> usize {
        match self {
            Element::Int(_) => self.as_bytes(&mut itoa::Buffer::new()).len(),
            Element::Bytes(bytes) => bytes.len(),
        }
    }

    /// Returns whether the element is the empty string.
    #[inline]
    pub fn is_empty(&self) -> bool {
        matches!(self, Element::Bytes([]))
    }

    /// Returns whether the element equals these bytes.
    #[inline]
    pub fn is(&self, bytes: &[u8]) -> bool {
        match *self {
            Element::Int(value) => bytes.len() <= I64_LEN_MAX && parse_i64(bytes) == Some(value),
            Element::Bytes(own) => own == bytes,
        }
    }

    /// Returns the integer, if the element is one.
    #[inline]
    pub fn as_int(&self) -> Option<i64> {
        match *self {
            Element::Int(value) => Some(value),
            Element::Bytes(_) => None,
        }
    }
}

/// An iterator over the offsets and the elements of a listpack, from either end.
#[derive(Clone, Debug)]
pub struct Iter<'a> {
    bytes: &'a [u8],
    front: usize,
    back: usize,
}

impl Iter<'_> {
    /// Returns the offset of the next element, or the end.
    #[inline]
    pub fn offset(&self) -> usize {
        self.front
    }
}

impl<'a> Iterator for Iter<'a> {
    type Item = (usize, Element<'a>);

    #[inline]
    fn next(&mut self) -> Option<(usize, Element<'a>)> {
        if self.front >= self.back {
            return None;
        }
        let offset = self.front;
        let (element, end) = decode(self.bytes, offset);
        self.front = end;
        Some((offset, element))
    }
}

impl DoubleEndedIterator for Iter<'_> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        if self.front >= self.back {
            return None;
        }
        self.back = start_of_last(self.bytes, self.back);
        Some((self.back, decode(self.bytes, self.back).0))
    }
}

/// An encoded element, to be written or compared: its head, and its bytes.
pub struct Encoded<'a> {
    head: [u8; 9],
    head_len: u8,
    body: &'a [u8],
}

impl<'a> Encoded<'a> {
    /// Encodes a string.
    ///
    /// # Panics
    /// If it has more than [`STRING_LEN_MAX`] bytes.
    #[inline]
    pub fn new(bytes: &'a [u8]) -> Encoded<'a> {
        if let Some(value) = parse_i64(bytes) {
            return Encoded::of_int(value);
        }
        let mut head = [0; 9];
        let head_len = match bytes.len() {
            len @ ..64 => {
                head[0] = 0x80 | len as u8;
                1
            }
            len @ 64..4096 => {
                head[0] = 0xe0 | (len >> 8) as u8;
                head[1] = len as u8;
                2
            }
            len => {
                assert!(len <= STRING_LEN_MAX, "a string of {len} bytes is too long for a listpack");
                head[0] = STRING_32;
                head[1..5].copy_from_slice(&(len as u32).to_le_bytes());
                5
            }
        };
        Encoded { head, head_len, body: bytes }
    }

    /// Encodes an integer.
    #[inline]
    pub fn of_int(value: i64) -> Encoded<'a> {
        let bytes = value.to_le_bytes();
        let mut head = [0; 9];
        let mut with = |mark: u8, len: usize| {
            head[0] = mark;
            head[1..=len].copy_from_slice(&bytes[..len]);
            1 + len as u8
        };
        let head_len = match value {
            0..=127 => {
                head[0] = value as u8;
                1
            }
            -4096..=4095 => {
                head[0] = 0xc0 | (value >> 8) as u8 & 0x1f;
                head[1] = value as u8;
                2
            }
            -0x8000..=0x7fff => with(INT_16, 2),
            -0x80_0000..=0x7f_ffff => with(INT_24, 3),
            -0x8000_0000..=0x7fff_ffff => with(INT_32, 4),
            _ => with(INT_64, 8),
        };
        Encoded { head, head_len, body: &[] }
    }

    /// Returns the bytes that the element takes, with its back length.
    #[inline]
    pub fn len(&self) -> usize {
        with_back(self.inner_len())
    }

    /// Returns false: an element takes at least two bytes.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Appends the element to a run.
    #[inline]
    pub fn push_to(&self, run: &mut Vec<u8>) {
        run.extend_from_slice(self.head());
        run.extend_from_slice(self.body);
        run.extend_from_slice(Back::new(self.inner_len()).bytes());
    }

    /// Writes the element in the place of the `before` bytes at an offset; 0 inserts it.
    #[inline]
    pub fn put(&self, run: &mut Vec<u8>, offset: usize, before: usize) {
        let len = self.len();
        let old = run.len();
        if len > before {
            run.resize(old + (len - before), 0);
            run.copy_within(offset + before..old, offset + len);
        } else if len < before {
            remove_bytes(run, offset + len, offset + before);
        }
        self.write_to(&mut run[offset..offset + len]);
    }

    /// Writes the element to a slice of exactly [`Encoded::len`] bytes.
    #[inline]
    pub fn write_to(&self, out: &mut [u8]) {
        let (head, rest) = out.split_at_mut(usize::from(self.head_len));
        let (body, tail) = rest.split_at_mut(self.body.len());
        head.copy_from_slice(self.head());
        body.copy_from_slice(self.body);
        tail.copy_from_slice(Back::new(self.inner_len()).bytes());
    }

    #[inline]
    fn is_at(&self, run: &[u8], offset: usize) -> bool {
        // The first byte differs for most elements, since it has the type, and the length of a short string or the value of a small integer.
        if run[offset] != self.head[0] {
            return false;
        }
        let body = offset + usize::from(self.head_len);
        run.get(offset..body) == Some(self.head()) && run.get(body..body + self.body.len()) == Some(self.body)
    }

    #[inline]
    fn head(&self) -> &[u8] {
        &self.head[..usize::from(self.head_len)]
    }

    #[inline]
    fn inner_len(&self) -> usize {
        usize::from(self.head_len) + self.body.len()
    }
}

/// An encoded back length.
struct Back {
    bytes: [u8; 5],
    len: usize,
}

impl Back {
    #[inline]
    fn new(inner: usize) -> Back {
        let len = with_back(inner) - inner;
        let mut bytes = [0; 5];
        for (at, byte) in bytes[..len].iter_mut().rev().enumerate() {
            // The first byte is the only one without another byte to its left.
            let more = if at + 1 < len { 0x80 } else { 0 };
            *byte = (inner >> (7 * at)) as u8 & 0x7f | more;
        }
        Back { bytes, len }
    }

    #[inline]
    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// Returns the length of an element whose head and bytes have `inner` bytes, with its back length. As on Redis, the back length of 16,383
/// takes one byte more than it needs, and so do 2,097,151 and 268,435,455.
#[inline]
fn with_back(inner: usize) -> usize {
    inner
        + match inner {
            ..=127 => 1,
            128..16_383 => 2,
            16_383..2_097_151 => 3,
            2_097_151..268_435_455 => 4,
            _ => 5,
        }
}

/// Returns the offset of the element that ends at `end`.
#[inline]
fn start_of_last(bytes: &[u8], end: usize) -> usize {
    let last = bytes[end - 1];
    if last < 0x80 {
        return end - 1 - usize::from(last);
    }
    let mut inner = usize::from(last & 0x7f);
    let mut len = 1;
    loop {
        let byte = bytes[end - 1 - len];
        inner |= usize::from(byte & 0x7f) << (7 * len);
        len += 1;
        if byte < 0x80 {
            return end - len - inner;
        }
    }
}

/// Returns the lengths of the head and of the bytes of the element at an offset.
#[inline]
fn lengths(bytes: &[u8], offset: usize) -> (usize, usize) {
    let first = bytes[offset];
    match first {
        ..0x80 => (1, 0),
        0x80..0xc0 => (1, usize::from(first & 0x3f)),
        0xc0..0xe0 => (2, 0),
        0xe0..0xf0 => (2, usize::from(first & 0xf) << 8 | usize::from(bytes[offset + 1])),
        STRING_32 => (5, u32::from_le_bytes(array(bytes, offset + 1)) as usize),
        INT_16 => (3, 0),
        INT_24 => (4, 0),
        INT_32 => (5, 0),
        INT_64 => (9, 0),
        _ => unreachable!("no element of a listpack begins with {first:#x}"),
    }
}

/// As [`lengths`], for the first element of bytes that may not be well formed.
fn lengths_checked(bytes: &[u8]) -> Option<(usize, usize)> {
    let needed = match bytes.first()? {
        0xe0..0xf0 => 2,
        &STRING_32 => 5,
        0xf5.. => return None,
        _ => 1,
    };
    let (head, body) = (bytes.len() >= needed).then(|| lengths(bytes, 0))?;
    (bytes.len() >= head.checked_add(body)?).then_some((head, body))
}

/// Returns the element at an offset, and its end.
#[inline]
fn decode(bytes: &[u8], offset: usize) -> (Element<'_>, usize) {
    let first = bytes[offset];
    let string = |head: usize, len: usize| {
        let body = offset + head;
        (Element::Bytes(&bytes[body..body + len]), offset + with_back(head + len))
    };
    let int = |value: i64, head: usize| (Element::Int(value), offset + head + 1);
    match first {
        ..0x80 => int(i64::from(first), 1),
        0x80..0xc0 => {
            // This is the usual case. The back length takes one byte.
            let (body, len) = (offset + 1, usize::from(first & 0x3f));
            (Element::Bytes(&bytes[body..body + len]), body + len + 1)
        }
        0xc0..0xe0 => {
            let value = i16::from(first & 0x1f) << 8 | i16::from(bytes[offset + 1]);
            int(i64::from(value << 3 >> 3), 2)
        }
        INT_16 => int(i64::from(i16::from_le_bytes(array(bytes, offset + 1))), 3),
        INT_24 => {
            let [low, middle, high] = array(bytes, offset + 1);
            int(i64::from(i32::from_le_bytes([0, low, middle, high]) >> 8), 4)
        }
        INT_32 => int(i64::from(i32::from_le_bytes(array(bytes, offset + 1))), 5),
        INT_64 => int(i64::from_le_bytes(array(bytes, offset + 1)), 9),
        _ => {
            let (head, body) = lengths(bytes, offset);
            string(head, body)
        }
    }
}

#[inline]
fn array<const N: usize>(bytes: &[u8], offset: usize) -> [u8; N] {
    bytes[offset..offset + N].try_into().expect("the slice has N bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_distinct_by_their_first_elements() {
        let check = |elements: &[&str], stride, expected| {
            let mut run = Vec::new();
            elements.iter().for_each(|element| push_back(&mut run, element.as_bytes()));
            assert_eq!(Listpack(&run).has_distinct_groups(stride), expected, "{elements:?} by {stride}");
        };
        check(&[], 2, true);
        check(&["a"], 1, true);
        check(&["a"], 2, false);
        check(&["a", "1", "b", "1"], 2, true);
        check(&["a", "1", "a", "2"], 2, false);
        check(&["a", "1", "0", "b", "1"], 3, false);
        let many: Vec<String> = (0..20).map(|number| number.to_string()).collect();
        let mut many: Vec<&str> = many.iter().map(String::as_str).collect();
        check(&many, 1, true);
        check(&many, 2, true);
        many.push("7");
        check(&many, 1, false);
        check(&many, 2, false);
    }

    fn run(elements: &[&[u8]]) -> Vec<u8> {
        let mut run = Vec::new();
        elements.iter().for_each(|element| push_back(&mut run, element));
        run
    }

    #[test]
    fn elements_are_as_short_as_redis_has_them() {
        let long = vec![b'x'; 5000];
        for (text, head, len) in [
            (&b"0"[..], 0x00, 2),
            (b"127", 0x7f, 2),
            (b"128", 0xc0, 3),
            (b"-1", 0xdf, 3),
            (b"4095", 0xcf, 3),
            (b"-4096", 0xd0, 3),
            (b"4096", INT_16, 4),
            (b"-32768", INT_16, 4),
            (b"32768", INT_24, 5),
            (b"-8388608", INT_24, 5),
            (b"8388608", INT_32, 6),
            (b"-2147483649", INT_64, 10),
            (b"", 0x80, 2),
            (b"01", 0x82, 4),
            (b"-0", 0x82, 4),
            (&long[..63], 0xbf, 65),
            (&long[..64], 0xe0, 67),
            (&long[..126], 0xe0, 130),
            (&long[..4095], 0xef, 4099),
            (&long[..4096], STRING_32, 4103),
        ] {
            let run = run(&[text]);
            assert_eq!((run[0], run.len()), (head, len), "{}", text.escape_ascii());
            assert_eq!(encoded_len(text), len);
            assert!(Listpack(&run).get(0).is(text));
            assert_eq!(Listpack(&run).get(0).to_vec(), text);
        }
    }

    #[test]
    fn a_listpack_of_redis_reads_back() {
        // The listpack that DUMP returns after RPUSH of a, 1, -5000 and a string of 130 bytes.
        let mut bytes = vec![0, 0, 0, 0, 4, 0];
        bytes.extend_from_slice(b"\x81a\x02\x01\x01\xf1\x78\xec\x03\xe0\x82");
        bytes.extend_from_slice(&[b'y'; 130]);
        bytes.extend_from_slice(&[0x01, 0x84, END]);
        bytes[0] = bytes.len() as u8;
        let own = from_redis(&bytes).expect("well formed");
        assert_eq!(own, run(&[b"a", b"1", b"-5000", &[b'y'; 130]]));
        assert_eq!(Listpack(&own).to_redis(), bytes);
        assert_eq!(Listpack(&own).iter().rev().map(|(_, element)| element.len()).collect::<Vec<_>>(), [130, 5, 1, 1]);
    }

    #[test]
    fn a_malformed_listpack_is_refused() {
        let good = Listpack(&run(&[b"hello", b"12345", &[b'z'; 200]])).to_redis();
        assert!(from_redis(&good).is_some());
        for len in 0..good.len() {
            assert_eq!(from_redis(&good[..len]), None);
        }
        let mut bad = good.clone();
        bad[4] = 2;
        assert_eq!(from_redis(&bad), None, "the count is wrong");
        let mut bad = good.clone();
        bad[12] = 9;
        assert_eq!(from_redis(&bad), None, "a back length is wrong");
        let mut bad = good;
        bad[6] = 0xf7;
        assert_eq!(from_redis(&bad), None, "there is no such element");
    }

    #[test]
    fn equal_elements_have_equal_bytes() {
        // The integer 5 in a longer encoding, and as a string.
        let bytes = b"\x0e\0\0\0\x02\0\xf1\x05\x00\x03\x815\x02\xff";
        assert_eq!(from_redis(bytes), Some(run(&[b"5", b"5"])));
    }
}
