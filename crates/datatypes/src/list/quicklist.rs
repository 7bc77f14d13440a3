//! Quicklists: lists of any length, as a deque of listpacks of bounded size.
//!
//! ```text
//!   nodes:  | run, count | run, count | run, count | …          16 bytes each
//!              │            │            │
//!              ▼            ▼            ▼
//!           elements     one large    elements                  shared when the list is cloned, copied when written to
//!           (packed)     (plain)      (packed)
//! ```
//!
//! An element that is longer than a node may be has a *plain* node to itself. The number of a node's elements lies beside its pointer, so
//! that an index is found without following the pointers of the nodes before it. A clone of the list copies the deque; a write after that
//! copies one node.
//!
//! When nodes are made, split and joined is Redis's rule (quicklist.c), since the encoding shows when a list has shrunk to one node.

use std::{
    collections::{VecDeque, vec_deque},
    ops::ControlFlow,
    sync::Arc,
};

use super::{End, ListLimits, NodeView, run::Run};
use crate::{
    allocation::{ARC_HEADER, size_class},
    listpack::{self, Element, Encoded, HEADER_AND_END},
};

/// The bytes that Redis adds to the length of an element when it decides whether a node has room. (Redis: `SIZE_ESTIMATE_OVERHEAD`)
const ELEMENT_OVERHEAD: usize = 8;
/// The most bytes of a node if the limit is a count of elements. (Redis: `SIZE_SAFETY_LIMIT`)
const NODE_LEN_SAFE: usize = 8192;

/// A long list; see the module's picture.
#[derive(Clone)]
pub struct Quicklist {
    nodes: VecDeque<Node>,
    len: usize,
    /// `list-max-listpack-size` at the time when the list became a quicklist.
    node_size: NodeSize,
}

/// A node: a listpack, or a single long element.
#[derive(Clone)]
pub struct Node {
    run: Arc<Run>,
    count: u32,
    /// Whether the run is the text of one element, not a listpack.
    is_plain: bool,
}

/// The place of an element.
#[derive(Clone, Copy, Debug)]
struct Place {
    node: usize,
    /// The index of the element in its node.
    index: usize,
}

/// How large a node may be: `list-max-listpack-size`, which is a count of elements or, if negative, one of five sizes in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeSize(i32);

impl NodeSize {
    /// Makes a size of the directive's value. A value below −5 counts as −5.
    pub fn new(directive: i32) -> NodeSize {
        NodeSize(directive.clamp(-5, i32::MAX))
    }

    /// Returns the most bytes, with the listpack's header and end, and the most elements. One of them is `usize::MAX`.
    pub fn limits(self) -> (usize, usize) {
        match self.0 {
            size @ ..0 => (2048 << size.unsigned_abs(), usize::MAX),
            count @ 0.. => (usize::MAX, count.max(1) as usize),
        }
    }

    /// Returns whether a node of `len` bytes, with the listpack's header and end, and `count` elements is too large.
    #[inline]
    pub fn is_exceeded(self, len: usize, count: usize) -> bool {
        match self.limits() {
            (len_max, usize::MAX) => len > len_max,
            (_, count_max) => len > NODE_LEN_SAFE || count > count_max,
        }
    }

    /// Returns whether an element of this length has a node to itself.
    #[inline]
    fn is_plain(self, len: usize, limits: &ListLimits) -> bool {
        match (limits.plain_len_min, self.limits()) {
            (Some(min), _) => len >= min,
            (None, (usize::MAX, _)) => len > NODE_LEN_SAFE,
            (None, (len_max, _)) => len > len_max,
        }
    }
}

impl Node {
    fn packed(run: Run, count: usize) -> Node {
        Node {
            run: Arc::new(run),
            count: u32::try_from(count).expect("a node has fewer than 2^32 elements"),
            is_plain: false,
        }
    }

    fn new(value: &[u8], is_plain: bool) -> Node {
        if is_plain {
            return Node { run: Arc::new(Run::from(value.to_vec())), count: 1, is_plain };
        }
        let mut run = Run::default();
        run.push_back(&Encoded::new(value));
        Node::packed(run, 1)
    }

    fn count(&self) -> usize {
        self.count as usize
    }

    fn run_mut(&mut self) -> &mut Run {
        Arc::make_mut(&mut self.run)
    }

    /// Returns the size of a packed node as limits count it, with the listpack's header and end.
    fn limited_len(&self) -> usize {
        self.run.len() + HEADER_AND_END
    }

    #[inline]
    fn iter(&self) -> NodeElements<'_> {
        if self.is_plain {
            NodeElements::Plain(Some(self.run.bytes()))
        } else {
            NodeElements::Packed(self.run.listpack().iter())
        }
    }

    fn get(&self, index: usize) -> Element<'_> {
        if self.is_plain { Element::Bytes(self.run.bytes()) } else { self.run.listpack().get(self.offset(index)) }
    }

    /// Returns the offset of an element of a packed node. For the index behind the last element, that is the end.
    fn offset(&self, index: usize) -> usize {
        self.run.listpack().nth_of(index, self.count()).unwrap_or(self.run.len())
    }

    /// Removes `count` elements of a packed node from an index on.
    fn remove(&mut self, index: usize, count: usize) {
        let (from, to) = (self.offset(index), self.offset(index + count));
        self.run_mut().remove(from, to);
        self.count -= count as u32;
    }

    /// Returns whether the node has room for another element.
    #[inline]
    fn has_room(&self, node_size: NodeSize, value_len: usize) -> bool {
        !self.is_plain && !node_size.is_exceeded(self.limited_len() + value_len + ELEMENT_OVERHEAD, self.count() + 1)
    }
}

impl Quicklist {
    /// Makes an empty list.
    pub fn new(node_size: NodeSize) -> Quicklist {
        Quicklist { nodes: VecDeque::new(), len: 0, node_size }
    }

    /// Makes a list of one packed node.
    pub fn with_node(node_size: NodeSize, run: Run, count: usize) -> Quicklist {
        Quicklist { nodes: VecDeque::from([Node::packed(run, count)]), len: count, node_size }
    }

    /// Returns the number of elements.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns the elements of the list and their number, if the list has a single node and that is packed.
    pub fn only_node(&self) -> Option<(&Run, usize)> {
        let node = self.nodes.front().filter(|node| self.nodes.len() == 1 && !node.is_plain)?;
        Some((&node.run, node.count()))
    }

    /// Takes the elements of the only node, and leaves the list without nodes.
    pub fn take_only_node(&mut self) -> Run {
        let node = self.nodes.pop_front().expect("the list has one node");
        Arc::unwrap_or_clone(node.run)
    }

    /// Returns the bytes on the heap, and those of the list itself.
    pub fn memory_usage(&self) -> usize {
        let node = |node: &Node| size_class(ARC_HEADER + size_of::<Run>()) + size_class(node.run.capacity());
        size_class(size_of::<Quicklist>())
            + size_class(self.nodes.capacity() * size_of::<Node>())
            + self.nodes.iter().map(node).sum::<usize>()
    }

    /// Returns the number of nodes, and the bytes that their listpacks take on Redis, for DEBUG OBJECT.
    pub fn nodes(&self) -> (usize, usize) {
        let len = |node: &Node| node.run.len() + if node.is_plain { 0 } else { HEADER_AND_END };
        (self.nodes.len(), self.nodes.iter().map(len).sum())
    }

    /// Visits the nodes in order.
    pub fn for_each_node<'a>(&'a self, mut visit: impl FnMut(NodeView<'a>)) {
        for node in &self.nodes {
            visit(if node.is_plain {
                NodeView::Plain(node.run.bytes())
            } else {
                NodeView::Packed(node.run.listpack())
            });
        }
    }

    /// See [`Collection::is_heavy`](crate::Collection::is_heavy).
    pub fn is_heavy(&self) -> bool {
        self.nodes.len() > 8 || self.nodes.iter().any(|node| node.run.len() > 64 * 1024)
    }

    /// Returns the element at an index, or `None` if there are not enough elements.
    pub fn get(&self, index: usize) -> Option<Element<'_>> {
        let place = self.place(index)?;
        Some(self.nodes[place.node].get(place.index))
    }

    /// Returns the elements from an index on, forwards or backwards.
    pub fn iter_from(&self, index: usize, is_reverse: bool) -> Elements<'_> {
        let Some(place) = self.place(index) else { return Elements::default() };
        let node = &self.nodes[place.node];
        let mut current = node.iter();
        let (nodes, skipped) = if is_reverse {
            (self.nodes.range(..place.node), node.count() - 1 - place.index)
        } else {
            (self.nodes.range(place.node + 1..), place.index)
        };
        for _ in 0..skipped {
            current.next(is_reverse);
        }
        Elements { nodes, current, is_reverse }
    }

    /// Visits at most `count` elements from an index on, until `visit` breaks.
    #[inline]
    pub fn walk<'a>(
        &'a self,
        index: usize,
        count: usize,
        visit: &mut impl FnMut(Element<'a>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let Some(place) = self.place(index) else { return ControlFlow::Continue(()) };
        let (mut left, mut skipped) = (count, place.index);
        for node in self.nodes.range(place.node..) {
            let shown = left.min(node.count() - skipped);
            if shown == 0 {
                break;
            }
            if node.is_plain {
                visit(Element::Bytes(node.run.bytes()))?;
            } else {
                let offset = if skipped == 0 { 0 } else { node.offset(skipped) };
                node.run.listpack().iter_from(offset).take(shown).try_for_each(|(_, element)| visit(element))?;
            }
            left -= shown;
            skipped = 0;
        }
        ControlFlow::Continue(())
    }

    /// Pushes an element at an end.
    pub fn push(&mut self, end: End, value: &[u8], limits: &ListLimits) {
        self.len += 1;
        let is_plain = self.node_size.is_plain(value.len(), limits);
        let node_size = self.node_size;
        let outer = match end {
            End::Left => self.nodes.front_mut(),
            End::Right => self.nodes.back_mut(),
        };
        if let Some(node) = outer {
            if !is_plain && node.has_room(node_size, value.len()) {
                node.count += 1;
                match end {
                    End::Left => node.run_mut().push_front(&Encoded::new(value)),
                    End::Right => node.run_mut().push_back(&Encoded::new(value)),
                }
                return;
            }
            // Little will be added to the full node. A node that a clone shares is not worth a copy.
            if let Some(run) = Arc::get_mut(&mut node.run) {
                run.fit();
            }
        }
        let node = Node::new(value, is_plain);
        match end {
            End::Left => self.nodes.push_front(node),
            End::Right => self.nodes.push_back(node),
        }
    }

    /// Appends a node of packed elements as it is.
    pub fn push_node(&mut self, run: Run) {
        let count = run.listpack().len();
        self.len += count;
        self.nodes.push_back(Node::packed(run, count));
    }

    /// Appends a node of one element, however short that is.
    pub fn push_plain(&mut self, element: &[u8]) {
        self.len += 1;
        self.nodes.push_back(Node::new(element, true));
    }

    /// Inserts an element before or after the one at an index, which must be there.
    pub fn insert(&mut self, index: usize, is_after: bool, value: &[u8], limits: &ListLimits) {
        let Some(Place { node: at, index }) = self.place(index) else { unreachable!("no element at index {index}") };
        self.len += 1;
        let node = &self.nodes[at];
        let is_at_edge = if is_after { index + 1 == node.count() } else { index == 0 };
        let beside = if is_after { at + 1 } else { at };
        if self.node_size.is_plain(value.len(), limits) {
            if !node.is_plain && !is_at_edge {
                self.split(at, if is_after { index + 1 } else { index });
                self.nodes.insert(at + 1, Node::new(value, true));
            } else {
                self.nodes.insert(beside, Node::new(value, true));
            }
            return;
        }
        if node.has_room(self.node_size, value.len()) {
            let offset = node.offset(if is_after { index + 1 } else { index });
            let node = &mut self.nodes[at];
            node.count += 1;
            node.run_mut().insert(offset, &Encoded::new(value));
            return;
        }
        if is_at_edge {
            let neighbour = if is_after { Some(at + 1) } else { at.checked_sub(1) };
            let neighbour = neighbour.and_then(|it| self.nodes.get_mut(it));
            match neighbour.filter(|node| node.has_room(self.node_size, value.len())) {
                Some(node) => {
                    node.count += 1;
                    match is_after {
                        true => node.run_mut().push_front(&Encoded::new(value)),
                        false => node.run_mut().push_back(&Encoded::new(value)),
                    }
                }
                None => self.nodes.insert(beside, Node::new(value, false)),
            }
            return;
        }
        self.split(at, if is_after { index + 1 } else { index });
        // As on Redis, the element goes to the new part, and neighbours are joined around the old one.
        let (part, kept) = if is_after { (at + 1, at) } else { (at, at + 1) };
        let node = &mut self.nodes[part];
        node.count += 1;
        match is_after {
            true => node.run_mut().push_front(&Encoded::new(value)),
            false => node.run_mut().push_back(&Encoded::new(value)),
        }
        self.join_around(kept);
    }

    /// Replaces the element at an index, which must be there.
    pub fn set(&mut self, index: usize, value: &[u8], limits: &ListLimits) {
        let Some(Place { node: at, index: within }) = self.place(index) else {
            unreachable!("no element at index {index}")
        };
        let is_plain = self.node_size.is_plain(value.len(), limits);
        let node = &mut self.nodes[at];
        match (node.is_plain, is_plain) {
            (false, false) => {
                let from = node.offset(within);
                let to = node.run.listpack().end_of(from);
                node.run_mut().replace(from, to, &Encoded::new(value));
            }
            (true, true) => node.run = Arc::new(Run::from(value.to_vec())),
            (true, false) => {
                self.insert(index, true, value, limits);
                self.len -= 1;
                self.nodes.remove(at);
            }
            (false, true) => {
                if within + 1 < node.count() {
                    self.split(at, within + 1);
                }
                self.nodes.insert(at + 1, Node::new(value, true));
                let node = &mut self.nodes[at];
                if node.count() == 1 {
                    self.nodes.remove(at);
                } else {
                    node.remove(node.count() - 1, 1);
                    self.join_around(at + 1);
                }
            }
        }
    }

    /// Removes `count` elements from an index on, which must be there.
    pub fn remove_range(&mut self, index: usize, count: usize) {
        let Some(mut place) = self.place(index) else { return };
        self.len -= count;
        let mut left = count;
        // The first and the last node may lose a part of their elements; all nodes between are removed.
        let mut whole = place.node..place.node;
        while left > 0 {
            let node = &mut self.nodes[place.node];
            let here = left.min(node.count() - place.index);
            if here == node.count() {
                if whole.is_empty() {
                    whole.start = place.node;
                }
                whole.end = place.node + 1;
            } else {
                node.remove(place.index, here);
            }
            left -= here;
            place = Place { node: place.node + 1, index: 0 };
        }
        match (whole.start, whole.end) {
            (0, 1) => drop(self.nodes.pop_front()),
            (from, to) if from < to => drop(self.nodes.drain(from..to)),
            _ => {}
        }
    }

    /// Removes at most `count_max` elements for which `is_wanted` is true, from the beginning or from the end. Returns how many were
    /// removed.
    pub fn remove_where(
        &mut self,
        is_reverse: bool,
        count_max: usize,
        mut is_wanted: impl FnMut(Element<'_>) -> bool,
    ) -> usize {
        let mut ranges = Vec::new();
        let mut removed = 0;
        let mut is_any_empty = false;
        for step in 0..self.nodes.len() {
            if removed == count_max {
                break;
            }
            let node = if is_reverse { self.nodes.len() - 1 - step } else { step };
            let node = &mut self.nodes[node];
            if node.is_plain {
                if is_wanted(Element::Bytes(node.run.bytes())) {
                    node.count = 0;
                    removed += 1;
                    is_any_empty = true;
                }
                continue;
            }
            wanted_ranges(node.run.bytes(), is_reverse, count_max - removed, &mut is_wanted, &mut ranges);
            if !ranges.is_empty() {
                node.run_mut().remove_all(&ranges);
                node.count -= ranges.len() as u32;
                removed += ranges.len();
                is_any_empty |= node.count == 0;
            }
        }
        if is_any_empty {
            self.nodes.retain(|node| node.count > 0);
        }
        self.len -= removed;
        removed
    }

    /// Returns the place of an index. The nodes are counted from the nearer end.
    #[inline]
    fn place(&self, index: usize) -> Option<Place> {
        if index >= self.len {
            return None;
        }
        if index < self.len / 2 {
            let mut left = index;
            for (at, node) in self.nodes.iter().enumerate() {
                if left < node.count() {
                    return Some(Place { node: at, index: left });
                }
                left -= node.count();
            }
        } else {
            let mut left = self.len - 1 - index;
            for (at, node) in self.nodes.iter().enumerate().rev() {
                if left < node.count() {
                    return Some(Place { node: at, index: node.count() - 1 - left });
                }
                left -= node.count();
            }
        }
        unreachable!("the nodes have fewer than {} elements", self.len)
    }

    /// Splits a packed node in two. The second one begins with the element at `index`.
    fn split(&mut self, at: usize, index: usize) {
        let node = &mut self.nodes[at];
        debug_assert!(index > 0 && index < node.count());
        let offset = node.offset(index);
        let second = Node::packed(node.run_mut().split_off(offset), node.count() - index);
        node.count = index as u32;
        self.nodes.insert(at + 1, second);
    }

    /// Joins a node with its neighbours, and these with theirs, if they fit into one node. (Redis: `_quicklistMergeNodes`)
    fn join_around(&mut self, mut at: usize) {
        if at >= 2 && self.join(at - 2) {
            at -= 1;
        }
        self.join(at + 1);
        if at >= 1 && self.join(at - 1) {
            at -= 1;
        }
        self.join(at);
    }

    /// Joins a node with the next one, if both fit into one node. Returns whether they did.
    fn join(&mut self, at: usize) -> bool {
        let (Some(first), Some(second)) = (self.nodes.get(at), self.nodes.get(at + 1)) else { return false };
        let len = first.limited_len() + second.run.len();
        let count = first.count() + second.count();
        if first.is_plain || second.is_plain || self.node_size.is_exceeded(len, count) {
            return false;
        }
        let Some(second) = self.nodes.remove(at + 1) else { unreachable!("the second node is there") };
        let first = &mut self.nodes[at];
        first.count += second.count;
        first.run_mut().append(second.run.bytes());
        true
    }
}

/// Finds the elements of a listpack for which `is_wanted` is true, at most `count_max`, from the beginning or from the end. Their pairs of
/// offsets replace the contents of `ranges`, in order.
pub fn wanted_ranges(
    bytes: &[u8],
    is_reverse: bool,
    count_max: usize,
    is_wanted: &mut impl FnMut(Element<'_>) -> bool,
    ranges: &mut Vec<(usize, usize)>,
) {
    ranges.clear();
    let run = listpack::Listpack(bytes);
    let mut elements = run.iter();
    while ranges.len() < count_max
        && let Some((offset, element)) = if is_reverse { elements.next_back() } else { elements.next() }
    {
        if is_wanted(element) {
            ranges.push((offset, run.end_of(offset)));
        }
    }
    if is_reverse {
        ranges.reverse();
    }
}

/// An iterator over the elements of a list, in either direction.
#[derive(Clone, Default)]
pub struct Elements<'a> {
    /// The nodes that are still to come.
    nodes: vec_deque::Iter<'a, Node>,
    current: NodeElements<'a>,
    is_reverse: bool,
}

impl<'a> Elements<'a> {
    /// Makes an iterator over the elements of a listpack.
    #[inline]
    pub fn of_listpack(elements: listpack::Iter<'a>, is_reverse: bool) -> Elements<'a> {
        Elements { nodes: vec_deque::Iter::default(), current: NodeElements::Packed(elements), is_reverse }
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = Element<'a>;

    #[inline]
    fn next(&mut self) -> Option<Element<'a>> {
        loop {
            if let Some(element) = self.current.next(self.is_reverse) {
                return Some(element);
            }
            let node = if self.is_reverse { self.nodes.next_back() } else { self.nodes.next() };
            self.current = node?.iter();
        }
    }
}

/// An iterator over the elements of a node.
#[derive(Clone)]
enum NodeElements<'a> {
    Packed(listpack::Iter<'a>),
    Plain(Option<&'a [u8]>),
}

impl Default for NodeElements<'_> {
    fn default() -> Self {
        NodeElements::Plain(None)
    }
}

impl<'a> NodeElements<'a> {
    #[inline]
    fn next(&mut self, is_reverse: bool) -> Option<Element<'a>> {
        match self {
            NodeElements::Packed(elements) => {
                let found = if is_reverse { elements.next_back() } else { elements.next() };
                found.map(|(_, element)| element)
            }
            NodeElements::Plain(element) => element.take().map(Element::Bytes),
        }
    }
}
