//! Lists: elements in order, with quick access to both ends.
//!
//! ```text
//!   packed:     count, 2 bytes | listpack                (a count of 65,535 says that the elements must be counted)
//!   quicklist:  a deque of listpacks, see `quicklist.rs`
//! ```
//!
//! A list is packed until it exceeds `list-max-listpack-size`, and is packed again when it has shrunk to half of that. Both rules are
//! Redis's to the byte (t_list.c), since OBJECT ENCODING shows them.

mod quicklist;
mod run;

use std::ops::ControlFlow;

use self::{
    quicklist::{NodeSize, Quicklist, wanted_ranges},
    run::Run,
};
pub use quicklist::Elements;

use crate::{
    Collection, Encoding, ValueType,
    allocation::{HEAVY_BYTES_MIN, size_class},
    collection::any_collection,
    listpack::{Element, Encoded, HEADER_AND_END, Listpack},
    number::parse_i64,
};

/// A list, for editing. The left end is the beginning.
pub enum List {
    /// A count and a listpack.
    Packed(Run),
    /// A quicklist.
    Quick(Box<Quicklist>),
}

/// A list, for reading.
#[derive(Clone, Copy)]
pub enum ListView<'a> {
    /// A count and a listpack.
    Packed(&'a [u8]),
    /// A quicklist.
    Quick(&'a Quicklist),
}

/// The settings that decide about a list's form.
#[derive(Clone, Copy, Debug)]
pub struct ListLimits {
    /// `list-max-listpack-size`: the most elements of a listpack or, if negative, one of five sizes in bytes: −1 is 4 KiB, −5 is 64 KiB.
    pub listpack_size_max: i32,
    /// An element of at least this many bytes has a node of a quicklist to itself. `None`: an element that is longer than a listpack may be.
    /// (Redis: `DEBUG QUICKLIST-PACKED-THRESHOLD`)
    pub plain_len_min: Option<usize>,
}

/// An end of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The beginning, where index 0 is.
    Left,
    /// The end of the list.
    Right,
}

/// An element to search for. Whether it is the text of an integer is determined once, not for each comparison.
#[derive(Clone, Copy)]
pub struct Wanted<'a> {
    bytes: &'a [u8],
    integer: Option<i64>,
}

/// The bytes of the count of a packed list.
const COUNT_LEN: usize = 2;
/// The count of a packed list whose elements must be counted.
const COUNT_UNKNOWN: u16 = u16::MAX;

impl List {
    /// Returns the number of elements.
    pub fn len(&self) -> usize {
        self.view().len()
    }

    /// Returns whether there are no elements.
    pub fn is_empty(&self) -> bool {
        match self {
            List::Packed(run) => run.len() <= COUNT_LEN,
            List::Quick(list) => list.len() == 0,
        }
    }

    /// Makes a list of elements, in their order. As on Redis, it is filled as a quicklist and packed at the end. (Redis: `LIST_CONV_AUTO`)
    pub fn from_elements<'v>(elements: impl Iterator<Item = Element<'v>>, limits: &ListLimits) -> List {
        let mut list = ListBuilder::new(limits);
        let mut text = itoa::Buffer::new();
        elements.for_each(|element| list.push(element.as_bytes(&mut text)));
        list.finish()
    }

    /// Pushes values one by one, so that the last value is at the end of the list. Returns the new length.
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

    /// As [`List::push`], for an element that was popped from a list. As on Redis, an integer does not count against the limit.
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

    /// Removes `count` elements at an end, or all if there are fewer. `show` is called for each of them. Returns how many were removed.
    #[inline]
    pub fn pop(&mut self, end: End, count: usize, limits: &ListLimits, show: impl FnMut(Element<'_>)) -> usize {
        let popped = self.pop_without_packing(end, count, show);
        if popped > 0 {
            self.shrink(limits);
        }
        popped
    }

    /// Moves the element at one end to the same or the other end, and calls `show` for it. There must be an element.
    pub fn rotate(&mut self, from: End, to: End, limits: &ListLimits, mut show: impl FnMut(Element<'_>)) {
        let (mut text, mut integer) = (Vec::new(), None);
        self.pop_without_packing(from, 1, |element| {
            show(element);
            integer = element.as_int();
            element.write_to(&mut text);
        });
        self.push_element(to, integer.map_or(Element::Bytes(&text), Element::Int), limits);
        self.shrink(limits);
    }

    /// As [`List::pop`], without packing the list again.
    #[inline]
    fn pop_without_packing(&mut self, end: End, count: usize, show: impl FnMut(Element<'_>)) -> usize {
        let len = self.len();
        let count = count.min(len);
        let is_reverse = end == End::Right;
        let from = if is_reverse { len.saturating_sub(1) } else { 0 };
        self.view().iter_from(from, is_reverse).take(count).for_each(show);
        self.remove_range(if is_reverse { len - count } else { 0 }, count);
        count
    }

    /// Replaces the element at an index. Returns whether there is such an element. As on Redis, the encoding may change even if there is
    /// none.
    pub fn set(&mut self, index: usize, value: &[u8], limits: &ListLimits) -> bool {
        self.grow_for(value.len(), 1, limits);
        if index >= self.len() {
            return false;
        }
        match self {
            List::Packed(run) => edit_packed(run, |run, count| {
                let listpack = run.listpack();
                let Some(from) = listpack.nth_of(index, *count) else {
                    unreachable!("the list has an element {index}")
                };
                let to = listpack.end_of(from);
                run.replace(from, to, &Encoded::new(value));
            }),
            List::Quick(list) => list.set(index, value, limits),
        }
        self.shrink(limits);
        true
    }

    /// Inserts a value before or after the first element that equals the pivot. Returns the new length, or `None` if no element equals it.
    /// As on Redis, the encoding may change even then.
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

    /// Removes at most `count_max` elements that equal the wanted one, searching from an end. Returns how many were removed.
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

    /// Removes all elements but the `kept` ones from an index on. They must be there.
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

    /// Converts a packed list to a quicklist if `bytes` more bytes in `elements` more elements are too much for a listpack.
    /// (Redis: `listTypeTryConversionAppend`)
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

    /// Packs a quicklist that is at most half as large as the limit. (Redis: `listTypeTryConversion` with `LIST_CONV_SHRINKING`)
    #[inline]
    fn shrink(&mut self, limits: &ListLimits) {
        self.pack_within(limits, 2);
    }

    /// Packs a quicklist that has a single node of at most the limit divided by `part`.
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

/// A node of a list, for reading.
#[derive(Clone, Copy, Debug)]
pub enum NodeView<'a> {
    /// Several elements.
    Packed(Listpack<'a>),
    /// A single long element.
    Plain(&'a [u8]),
}

/// Makes a list of elements that come one by one; see [`List::from_elements`].
pub struct ListBuilder<'l> {
    list: Quicklist,
    limits: &'l ListLimits,
}

impl<'l> ListBuilder<'l> {
    /// Begins an empty list.
    pub fn new(limits: &'l ListLimits) -> ListBuilder<'l> {
        ListBuilder { list: Quicklist::new(NodeSize::new(limits.listpack_size_max)), limits }
    }

    /// Appends an element.
    pub fn push(&mut self, element: &[u8]) {
        self.list.push(End::Right, element, self.limits);
    }

    /// Appends the elements of a listpack, as a node of their own unless they are more than any node has.
    pub fn push_node(&mut self, run: Vec<u8>) {
        /// The longest listpack that `list-max-listpack-size` allows.
        const NODE_LEN_MAX: usize = 64 * 1024;
        if run.len() <= NODE_LEN_MAX {
            if !run.is_empty() {
                self.list.push_node(Run::from(run));
            }
            return;
        }
        let mut text = itoa::Buffer::new();
        Listpack(&run).iter().for_each(|(_, element)| self.push(element.as_bytes(&mut text)));
    }

    /// Appends an element as a node of its own.
    pub fn push_plain(&mut self, element: &[u8]) {
        self.list.push_plain(element);
    }

    /// Returns the list.
    pub fn finish(self) -> List {
        let mut list = List::Quick(Box::new(self.list));
        list.pack_within(self.limits, 1);
        list
    }
}

impl<'a> ListView<'a> {
    /// Returns the number of elements.
    #[inline]
    pub fn len(self) -> usize {
        match self {
            ListView::Packed(bytes) => count_of(bytes),
            ListView::Quick(list) => list.len(),
        }
    }

    /// Returns whether there are no elements.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Returns the number of nodes: a packed list is one.
    pub fn node_count(self) -> usize {
        match self {
            ListView::Packed(_) => 1,
            ListView::Quick(list) => list.nodes().0,
        }
    }

    /// Visits the nodes in order.
    pub fn for_each_node(self, mut visit: impl FnMut(NodeView<'a>)) {
        match self {
            ListView::Packed(bytes) => visit(NodeView::Packed(listpack_of(bytes))),
            ListView::Quick(list) => list.for_each_node(visit),
        }
    }

    /// Returns the element at an index, or `None` if there are not enough elements.
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

    /// Returns all elements in order.
    #[inline]
    pub fn iter(self) -> Elements<'a> {
        self.iter_from(0, false)
    }

    /// Visits at most `count` elements from an index on, until `visit` breaks.
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

    /// Returns the elements from an index on, forwards or backwards.
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
    /// Makes an element to search for.
    pub fn new(bytes: &'a [u8]) -> Wanted<'a> {
        Wanted { bytes, integer: parse_i64(bytes) }
    }

    /// Returns whether an element equals the wanted one.
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
            List::Packed(run) => size_class(run.capacity()),
            List::Quick(list) => list.memory_usage(),
        }
    }

    fn is_heavy(&self) -> bool {
        match self {
            List::Packed(run) => run.capacity() > HEAVY_BYTES_MIN,
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

/// Returns the listpack in the bytes of a packed list.
#[inline]
fn listpack_of(packed: &[u8]) -> Listpack<'_> {
    Listpack(packed.get(COUNT_LEN..).unwrap_or_default())
}

/// Returns the number of elements in the bytes of a packed list.
#[inline]
fn count_of(packed: &[u8]) -> usize {
    match packed.first_chunk().map(|count| u16::from_le_bytes(*count)) {
        None => 0,
        Some(COUNT_UNKNOWN) => listpack_of(packed).len(),
        Some(count) => count.into(),
    }
}

/// Edits the listpack of a packed list. `change` must keep the count right.
#[inline]
fn edit_packed<R>(packed: &mut Run, change: impl FnOnce(&mut Run, &mut usize) -> R) -> R {
    let (mut run, mut count) = opened(std::mem::take(packed));
    let result = change(&mut run, &mut count);
    *packed = closed(run, count);
    result
}

/// Takes a packed list apart, into listpack and count.
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

/// Puts a packed list together, of listpack and count.
#[inline]
fn closed(mut run: Run, count: usize) -> Run {
    run.prepend(&u16::try_from(count).unwrap_or(COUNT_UNKNOWN).to_le_bytes());
    run
}

#[inline]
fn push_packed(run: &mut Run, end: End, element: &Encoded<'_>) {
    match end {
        End::Left => {
            // The room is for the count too, which is put before the elements again.
            run.make_room(element.len() + COUNT_LEN);
            run.push_front(element);
        }
        End::Right => run.push_back(element),
    }
}
