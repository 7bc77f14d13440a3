//! Lists: elements in order, with short ways to both ends.
//!
//! ```text
//!   packed:     count, 2 bytes | listpack                (65,535: as many or more, to be counted)
//!   quicklist:  a row of listpacks, see `quicklist.rs`
//! ```
//!
//! A list is packed until `list-max-listpack-size` is exceeded, and becomes packed again when it has come down to half of that: both as
//! in Redis (t_list.c), to the byte, since OBJECT ENCODING shows it.

mod quicklist;
mod run;

use std::ops::ControlFlow;

use self::{
    quicklist::{NodeSize, Quicklist, wanted_ranges},
    run::Run,
};
pub use quicklist::Elements;

use crate::{
    Collection, Encoding, ValueType, any_collection,
    listpack::{Element, Encoded, HEADER_AND_END, Listpack},
    number::parse_i64,
};

/// A list, to be edited.
pub enum List {
    Packed(Run),
    Quick(Box<Quicklist>),
}

/// A list, to be read.
#[derive(Clone, Copy)]
pub enum ListView<'a> {
    Packed(&'a [u8]),
    Quick(&'a Quicklist),
}

/// The settings that lists depend on.
#[derive(Clone, Copy, Debug)]
pub struct ListLimits {
    /// `list-max-listpack-size`: the size of a listpack, as so many elements or, negative, one of five sizes in bytes.
    pub listpack_size_max: i32,
    /// From which length on an element of a long list lies alone; by default, where it is longer than a listpack may be.
    pub plain_len_min: Option<usize>,
}

/// An end of a list: the left one is the beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Left,
    Right,
}

/// An element that others are compared with: whether it is the text of an integer is found once.
#[derive(Clone, Copy)]
pub struct Wanted<'a> {
    bytes: &'a [u8],
    integer: Option<i64>,
}

const COUNT_LEN: usize = 2;
const COUNT_UNKNOWN: u16 = u16::MAX;

impl List {
    pub fn len(&self) -> usize {
        self.view().len()
    }

    pub fn is_empty(&self) -> bool {
        match self {
            List::Packed(run) => run.len() <= COUNT_LEN,
            List::Quick(list) => list.len() == 0,
        }
    }

    /// A list of these elements. (Redis: a long list that is converted at the end, `LIST_CONV_AUTO`)
    pub fn from_elements<'v>(elements: impl Iterator<Item = Element<'v>>, limits: &ListLimits) -> List {
        let mut list = Quicklist::new(NodeSize::new(limits.listpack_size_max));
        let mut text = itoa::Buffer::new();
        elements.for_each(|element| list.push(End::Right, element.as_bytes(&mut text), limits));
        let mut list = List::Quick(Box::new(list));
        list.pack_within(limits, 1);
        list
    }

    /// Pushes values one after the other, so that the last one is outermost. Returns the new length.
    #[inline]
    pub fn push<'v>(
        &mut self,
        end: End,
        values: impl ExactSizeIterator<Item = &'v [u8]> + Clone,
        limits: &ListLimits,
    ) -> usize {
        let added = values.clone().map(<[u8]>::len).sum();
        self.grow_for(added, values.len(), limits);
        match self {
            List::Packed(run) => edit_packed(run, |run, count| {
                for value in values {
                    *count += 1;
                    push_packed(run, end, &Encoded::new(value));
                }
                *count
            }),
            List::Quick(list) => {
                values.for_each(|value| list.push(end, value, limits));
                list.len()
            }
        }
    }

    /// As [`List::push`], for an element that was popped from a list: integers count for nothing against the limit, as in Redis.
    pub fn push_element(&mut self, end: End, element: Element<'_>, limits: &ListLimits) -> usize {
        let added = match element {
            Element::Int(_) => 0,
            Element::Bytes(bytes) => bytes.len(),
        };
        self.grow_for(added, 1, limits);
        match self {
            List::Packed(run) => edit_packed(run, |run, count| {
                *count += 1;
                match element {
                    Element::Int(value) => push_packed(run, end, &Encoded::of_int(value)),
                    Element::Bytes(bytes) => push_packed(run, end, &Encoded::new(bytes)),
                }
                *count
            }),
            List::Quick(list) => {
                list.push(end, element.as_bytes(&mut itoa::Buffer::new()), limits);
                list.len()
            }
        }
    }

    /// Removes so many elements at an end, or all there are, each of them shown before. Returns how many.
    #[inline]
    pub fn pop(&mut self, end: End, count: usize, limits: &ListLimits, show: impl FnMut(Element<'_>)) -> usize {
        let popped = self.pop_as_it_is(end, count, show);
        if popped > 0 {
            self.shrink(limits);
        }
        popped
    }

    /// Moves the element at an end to an end, after it was shown. There must be one.
    pub fn rotate(&mut self, from: End, to: End, limits: &ListLimits, mut show: impl FnMut(Element<'_>)) {
        let (mut text, mut integer) = (Vec::new(), None);
        self.pop_as_it_is(from, 1, |element| {
            show(element);
            integer = element.as_int();
            element.write_to(&mut text);
        });
        self.push_element(to, integer.map_or(Element::Bytes(&text), Element::Int), limits);
        self.shrink(limits);
    }

    #[inline]
    fn pop_as_it_is(&mut self, end: End, count: usize, show: impl FnMut(Element<'_>)) -> usize {
        let len = self.len();
        let count = count.min(len);
        let is_reverse = end == End::Right;
        let from = if is_reverse { len.saturating_sub(1) } else { 0 };
        self.view().iter_from(from, is_reverse).take(count).for_each(show);
        self.remove_range(if is_reverse { len - count } else { 0 }, count);
        count
    }

    /// Puts a value in place of the element at an index. Returns whether there is one; the encoding may change nevertheless.
    pub fn set(&mut self, index: usize, value: &[u8], limits: &ListLimits) -> bool {
        self.grow_for(value.len(), 1, limits);
        if index >= self.len() {
            return false;
        }
        match self {
            List::Packed(run) => edit_packed(run, |run, count| {
                let listpack = run.listpack();
                let Some(from) = listpack.nth_of(index, *count) else { unreachable!("there is an element {index}") };
                let to = listpack.end_of(from);
                run.replace(from, to, &Encoded::new(value));
            }),
            List::Quick(list) => list.set(index, value, limits),
        }
        self.shrink(limits);
        true
    }

    /// Puts a value beside the first element that equals the pivot. Returns the new length, or `None` where there is no such element; the
    /// encoding may change nevertheless.
    pub fn insert(&mut self, pivot: &Wanted<'_>, is_after: bool, value: &[u8], limits: &ListLimits) -> Option<usize> {
        self.grow_for(value.len(), 1, limits);
        match self {
            List::Packed(run) => edit_packed(run, |run, count| {
                let listpack = run.listpack();
                let (offset, _) = listpack.iter().find(|(_, element)| pivot.is(*element))?;
                let offset = if is_after { listpack.end_of(offset) } else { offset };
                run.insert(offset, &Encoded::new(value));
                *count += 1;
                Some(*count)
            }),
            List::Quick(list) => {
                let index = list.iter_from(0, false).position(|element| pivot.is(element))?;
                list.insert(index, is_after, value, limits);
                Some(list.len())
            }
        }
    }

    /// Removes elements that equal the wanted one, of so many at most, from an end on. Returns how many.
    pub fn remove(&mut self, from: End, count_max: usize, wanted: &Wanted<'_>, limits: &ListLimits) -> usize {
        let is_reverse = from == End::Right;
        let removed = match self {
            List::Packed(run) => edit_packed(run, |run, count| {
                let mut ranges = Vec::new();
                wanted_ranges(run.bytes(), is_reverse, count_max, &mut |element| wanted.is(element), &mut ranges);
                run.remove_all(&ranges);
                *count -= ranges.len();
                ranges.len()
            }),
            List::Quick(list) => list.remove_where(is_reverse, count_max, |element| wanted.is(element)),
        };
        if removed > 0 {
            self.shrink(limits);
        }
        removed
    }

    /// Leaves only so many elements from an index on.
    pub fn trim(&mut self, from: usize, kept: usize, limits: &ListLimits) {
        let len = self.len();
        self.remove_range(from + kept, len - from - kept);
        self.remove_range(0, from);
        self.shrink(limits);
    }

    #[inline]
    fn remove_range(&mut self, index: usize, removed: usize) {
        if removed == 0 {
            return;
        }
        match self {
            List::Packed(run) => edit_packed(run, |run, count| {
                let offset = |index| run.listpack().nth_of(index, *count).unwrap_or(run.len());
                let (from, to) = (offset(index), offset(index + removed));
                run.remove(from, to);
                *count -= removed;
            }),
            List::Quick(list) => list.remove_range(index, removed),
        }
    }

    /// Becomes a quicklist where so many more bytes and elements are too many for a listpack. (Redis: `listTypeTryConversionAppend`)
    #[inline]
    fn grow_for(&mut self, bytes: usize, elements: usize, limits: &ListLimits) {
        let List::Packed(run) = self else { return };
        let node_size = NodeSize::new(limits.listpack_size_max);
        let len = run.len().saturating_sub(COUNT_LEN) + HEADER_AND_END + bytes;
        if !node_size.is_exceeded(len, count_of(run.bytes()) + elements) {
            return;
        }
        let (run, count) = opened(std::mem::take(run));
        let list = if count == 0 { Quicklist::new(node_size) } else { Quicklist::with_node(node_size, run, count) };
        *self = List::Quick(Box::new(list));
    }

    /// Becomes packed where it is well below the limit. (Redis: `listTypeTryConversion` with `LIST_CONV_SHRINKING`)
    #[inline]
    fn shrink(&mut self, limits: &ListLimits) {
        self.pack_within(limits, 2);
    }

    /// Becomes packed where it is one node of no more than that part of the limit.
    #[inline]
    fn pack_within(&mut self, limits: &ListLimits, part: usize) {
        let List::Quick(list) = self else { return };
        let Some((run, count)) = list.only_node() else { return };
        let (len_max, count_max) = NodeSize::new(limits.listpack_size_max).limits();
        if run.len() + HEADER_AND_END <= len_max / part && count <= count_max / part {
            let run = list.take_only_node();
            *self = List::Packed(closed(run, count));
        }
    }
}

impl<'a> ListView<'a> {
    #[inline]
    pub fn len(self) -> usize {
        match self {
            ListView::Packed(bytes) => count_of(bytes),
            ListView::Quick(list) => list.len(),
        }
    }

    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    #[inline]
    pub fn get(self, index: usize) -> Option<Element<'a>> {
        match self {
            ListView::Packed(bytes) => {
                let listpack = listpack_of(bytes);
                listpack.nth_of(index, count_of(bytes)).map(|offset| listpack.get(offset))
            }
            ListView::Quick(list) => list.get(index),
        }
    }

    #[inline]
    pub fn iter(self) -> Elements<'a> {
        self.iter_from(0, false)
    }

    /// Shows so many elements from an index on, as many as there are at most, until `visit` breaks off.
    #[inline]
    pub fn walk(
        self,
        index: usize,
        count: usize,
        mut visit: impl FnMut(Element<'a>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        match self {
            ListView::Packed(_) => self.iter_from(index, false).take(count).try_for_each(visit),
            ListView::Quick(list) => list.walk(index, count, &mut visit),
        }
    }

    /// The elements from an index on, forwards or backwards.
    #[inline]
    pub fn iter_from(self, index: usize, is_reverse: bool) -> Elements<'a> {
        match self {
            ListView::Packed(bytes) => {
                let listpack = listpack_of(bytes);
                let count = count_of(bytes);
                let iter = match is_reverse {
                    _ if index >= count => Listpack::default().iter(),
                    false if index == 0 => listpack.iter(),
                    false => listpack.iter_from(listpack.nth_of(index, count).unwrap_or(listpack.0.len())),
                    true => {
                        Listpack(&listpack.0[..listpack.nth_of(index + 1, count).unwrap_or(listpack.0.len())]).iter()
                    }
                };
                Elements::of_listpack(iter, is_reverse)
            }
            ListView::Quick(list) => list.iter_from(index, is_reverse),
        }
    }
}

impl<'a> Wanted<'a> {
    pub fn new(bytes: &'a [u8]) -> Wanted<'a> {
        Wanted { bytes, integer: parse_i64(bytes) }
    }

    #[inline]
    pub fn is(&self, element: Element<'_>) -> bool {
        match element {
            Element::Int(value) => self.integer == Some(value),
            Element::Bytes(bytes) => bytes == self.bytes,
        }
    }
}

impl Default for List {
    fn default() -> List {
        List::Packed(Run::default())
    }
}

impl Collection for List {
    const TYPE: ValueType = ValueType::List;
    type View<'a> = ListView<'a>;

    any_collection!(List);

    #[inline]
    fn view(&self) -> ListView<'_> {
        match self {
            List::Packed(run) => ListView::Packed(run.bytes()),
            List::Quick(list) => ListView::Quick(list),
        }
    }

    #[inline]
    fn view_packed(_: u8, bytes: &[u8]) -> ListView<'_> {
        ListView::Packed(bytes)
    }

    #[inline]
    fn packed(&self) -> Option<(u8, &[u8])> {
        match self {
            List::Packed(run) => Some((0, run.bytes())),
            List::Quick(_) => None,
        }
    }

    #[inline]
    fn from_packed(_: u8, bytes: Vec<u8>) -> List {
        List::Packed(Run::from(bytes))
    }

    #[inline]
    fn into_packed(self) -> Result<(u8, Vec<u8>), List> {
        match self {
            List::Packed(run) => Ok((0, run.into_vec())),
            list => Err(list),
        }
    }

    fn is_empty(&self) -> bool {
        List::is_empty(self)
    }

    fn encoding(view: ListView<'_>) -> Encoding {
        match view {
            ListView::Packed(_) => Encoding::Listpack,
            ListView::Quick(_) => Encoding::Quicklist,
        }
    }

    fn memory_usage(&self) -> usize {
        match self {
            List::Packed(run) => run.capacity(),
            List::Quick(list) => list.memory_usage(),
        }
    }

    fn is_heavy(&self) -> bool {
        match self {
            List::Packed(run) => run.capacity() > 64 * 1024,
            List::Quick(list) => list.is_heavy(),
        }
    }

    fn duplicate(view: ListView<'_>) -> List {
        match view {
            ListView::Packed(bytes) => List::Packed(Run::from(bytes.to_vec())),
            ListView::Quick(list) => List::Quick(Box::new(list.clone())),
        }
    }
}

/// The listpack of packed bytes.
#[inline]
fn listpack_of(packed: &[u8]) -> Listpack<'_> {
    Listpack(packed.get(COUNT_LEN..).unwrap_or_default())
}

/// How many elements there are in packed bytes.
#[inline]
fn count_of(packed: &[u8]) -> usize {
    match packed.first_chunk().map(|count| u16::from_le_bytes(*count)) {
        None => 0,
        Some(COUNT_UNKNOWN) => listpack_of(packed).len(),
        Some(count) => count.into(),
    }
}

/// Changes the listpack of packed bytes, and the number of its elements.
#[inline]
fn edit_packed<R>(packed: &mut Run, change: impl FnOnce(&mut Run, &mut usize) -> R) -> R {
    let (mut run, mut count) = opened(std::mem::take(packed));
    let result = change(&mut run, &mut count);
    *packed = closed(run, count);
    result
}

#[inline]
fn opened(mut packed: Run) -> (Run, usize) {
    if packed.len() == 0 {
        packed.make_room(COUNT_LEN);
        return (packed, 0);
    }
    let count = count_of(packed.bytes());
    packed.remove(0, COUNT_LEN);
    (packed, count)
}

#[inline]
fn closed(mut run: Run, count: usize) -> Run {
    run.prepend(&u16::try_from(count).unwrap_or(COUNT_UNKNOWN).to_le_bytes());
    run
}

#[inline]
fn push_packed(run: &mut Run, end: End, element: &Encoded<'_>) {
    match end {
        End::Left => {
            // With the count, which is put there next.
            run.make_room(element.len() + COUNT_LEN);
            run.push_front(element);
        }
        End::Right => run.push_back(element),
    }
}
