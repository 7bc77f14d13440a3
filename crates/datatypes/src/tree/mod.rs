//! The elements of a large sorted set: a counted B-tree in their order, and an index from members to its leaves.
//!
//! ```text
//!                     ┌───────────────────────────────────┐
//!                     │ inner node: for each child the    │      order: by score, then by member
//!                     │ number of elements below it, and  │
//!                     │ the separator to the next child   │
//!                     └──┬──────────────┬──────────────┬──┘
//!                   ┌────▼─────┐   ┌────▼─────┐   ┌────▼─────┐
//!                   │ leaf 0   │   │ leaf 3   │   │ leaf 1   │  the elements, 2 KiB at most (leaf.rs)
//!                   └────▲─────┘   └──────────┘   └────▲─────┘
//!                        └─────────────┬───────────────┘
//!                     ┌────────────────┴──────────────────┐
//!                     │ index: hash of a member → leaf    │      (index.rs)
//!                     └───────────────────────────────────┘
//! ```
//!
//! The counts make ranks cheap: from an element to its rank, or from a rank to its element, it takes one descent. A member is looked up
//! through the index and one leaf, without the tree. With members of 17 bytes, an element takes about 43 bytes: 29 in its leaf, which is
//! about nine tenths full, and 10 in the index.
//!
//! The tree and the index refer to a leaf by its number, which it keeps while elements are inserted and removed. When a leaf is split or
//! joined, the index is updated for each element that moves, which are some tens. Nodes, leaves and the chunks of the index are shared when
//! the tree is cloned, and each is copied when one of the owners writes to it.

mod index;
mod leaf;
mod leaves;

use std::{cmp::Ordering, ops::ControlFlow, ops::Range, sync::Arc};

use index::{Index, tag_of};
use leaf::{Full, Item, Leaf};
use leaves::Leaves;

use crate::{
    allocation::{ARC_HEADER, size_class},
    spine::hash,
};

/// The most children of an inner node.
const CHILDREN_MAX: usize = 64;
/// A node with fewer children is joined with a neighbour if both together have no more than [`CHILDREN_JOINED_MAX`].
const CHILDREN_MIN: usize = CHILDREN_MAX / 4;
/// The most children of a node that was joined of two, so that the next insert does not split it again.
const CHILDREN_JOINED_MAX: usize = CHILDREN_MAX / 4 * 3;

/// The elements of a sorted set; see the module's picture.
#[derive(Clone, Default)]
pub struct Tree {
    root: Arc<Node>,
    store: Store,
}

/// The leaves, to which the nodes refer, and the index over them.
#[derive(Clone, Default)]
struct Store {
    leaves: Leaves,
    index: Index,
}

/// An inner node.
#[derive(Clone)]
struct Node {
    /// One between each two children: greater than all elements of the first, and not greater than any of the second.
    separators: Vec<Separator>,
    /// The number of elements below each child.
    counts: Vec<usize>,
    children: Children,
}

/// The children of a node: all leaves of the tree are at the same height.
#[derive(Clone)]
enum Children {
    Leaves(Vec<u32>),
    Nodes(Vec<Arc<Node>>),
}

/// A point in the order of the elements. Its member is only as long as is needed to separate the two neighbours.
#[derive(Clone)]
struct Separator {
    score: f64,
    member: Box<[u8]>,
}

impl Separator {
    /// Returns the shortest separator of two neighbours.
    fn between(left: Item<'_>, right: Item<'_>) -> Separator {
        if left.score < right.score {
            return Separator { score: right.score, member: Box::default() };
        }
        let common = left.member.iter().zip(right.member).take_while(|(left, right)| left == right).count();
        Separator { score: right.score, member: right.member[..common + 1].into() }
    }

    /// Returns whether an element belongs to the right of the separator.
    #[inline]
    fn is_at_or_before(&self, score: f64, member: &[u8]) -> bool {
        self.score < score || self.score == score && *self.member <= *member
    }
}

/// Compares two elements, each a score and a member, in the order of a sorted set. Scores are never NaN.
#[inline]
pub fn compare(left: (f64, &[u8]), right: (f64, &[u8])) -> Ordering {
    left.0.partial_cmp(&right.0).expect("a score is NaN").then_with(|| left.1.cmp(right.1))
}

/// The place of an element.
#[derive(Clone, Copy)]
struct Place {
    leaf: u32,
    /// Its index in the leaf.
    at: usize,
}

/// A lookup of one member that only prefetches; see [`ElementPrefetch`](crate::ElementPrefetch).
pub struct LookupPrefetch<'a> {
    store: &'a Store,
    hash: u64,
    next: Step,
}

/// What a [`LookupPrefetch`] asks for next. The chunk of the index was asked for when it was made.
enum Step {
    Items,
    LeafAddress,
    Tags(u32),
    Score(u32),
    Member(Place),
}

impl LookupPrefetch<'_> {
    /// Prefetches the next lines. Returns whether there is another step.
    #[inline]
    pub fn step(&mut self) -> bool {
        let Store { leaves, index } = self.store;
        let next = match self.next {
            Step::Items => {
                index.prefetch_items(self.hash);
                Some(Step::LeafAddress)
            }
            Step::LeafAddress => index.candidates(self.hash).next().map(|leaf| {
                leaves.prefetch(leaf);
                Step::Tags(leaf)
            }),
            Step::Tags(leaf) => {
                leaves.get(leaf).prefetch_tags();
                Some(Step::Score(leaf))
            }
            Step::Score(leaf) => {
                leaves.get(leaf).prefetch_score(tag_of(self.hash)).map(|at| Step::Member(Place { leaf, at }))
            }
            Step::Member(place) => {
                leaves.get(place.leaf).prefetch_member(place.at);
                None
            }
        };
        match next {
            Some(next) => {
                self.next = next;
                true
            }
            None => false,
        }
    }
}

/// How the first element to be removed is found.
#[derive(Clone, Copy)]
enum Target<'a> {
    Element(f64, &'a [u8]),
    Rank(usize),
}

impl Default for Node {
    fn default() -> Node {
        Node { separators: Vec::new(), counts: Vec::new(), children: Children::Leaves(Vec::new()) }
    }
}

impl Tree {
    /// Returns the number of elements.
    pub fn len(&self) -> usize {
        self.root.len()
    }

    /// Returns whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    #[inline]
    fn find(&self, hash: u64, member: &[u8]) -> Option<Place> {
        self.store.index.candidates(hash).find_map(|leaf| {
            let at = self.store.leaves.get(leaf).find(tag_of(hash), member)?;
            Some(Place { leaf, at })
        })
    }

    /// Starts to prefetch the element of a member.
    #[inline]
    pub fn prefetch_lookup(&self, member: &[u8]) -> LookupPrefetch<'_> {
        let hash = hash(member);
        self.store.index.prefetch(hash);
        LookupPrefetch { store: &self.store, hash, next: Step::Items }
    }

    /// Returns the score of a member, or `None` if it is not there.
    #[inline]
    pub fn score(&self, member: &[u8]) -> Option<f64> {
        self.find(hash(member), member).map(|place| self.store.leaves.get(place.leaf).score(place.at))
    }

    /// Sets the score of a member, or inserts the member. `decide` is given the present score, or `None` if the member is not there. It
    /// returns the new score, or `None` to change nothing, and a result that is passed on to the caller.
    #[inline]
    pub fn set<R>(&mut self, member: &[u8], decide: impl FnOnce(Option<f64>) -> (Option<f64>, R)) -> R {
        let hash = hash(member);
        let place = self.find(hash, member);
        let before = place.map(|place| self.store.leaves.get(place.leaf).score(place.at));
        let (score, result) = decide(before);
        match (score, place, before) {
            (None, ..) => {}
            (Some(score), Some(place), Some(before)) => self.set_score(place, member, hash, before, score),
            (Some(score), ..) => self.insert_hashed(score, member, hash),
        }
        result
    }

    /// Sets the score of the member at a place. An element that keeps its place in the middle of its leaf is edited there; any other one is
    /// removed and inserted again.
    fn set_score(&mut self, place: Place, member: &[u8], hash: u64, before: f64, score: f64) {
        debug_assert!(!score.is_nan());
        let leaf = self.store.leaves.get(place.leaf);
        let is_in_place = place.at > 0 && place.at + 1 < leaf.len() && {
            let [previous, next] = [place.at - 1, place.at + 1].map(|at| (leaf.score(at), leaf.member(at)));
            compare(previous, (score, member)).is_lt() && compare((score, member), next).is_lt()
        };
        if is_in_place {
            self.store.leaves.get_mut(place.leaf).set_score(place.at, score);
        } else {
            self.remove_target(Target::Element(before, member), 1, &mut |_, _| {});
            self.insert_hashed(score, member, hash);
        }
    }

    /// Inserts an element. Its member must not be there.
    pub fn insert(&mut self, score: f64, member: &[u8]) {
        self.insert_hashed(score, member, hash(member));
    }

    fn insert_hashed(&mut self, score: f64, member: &[u8], hash: u64) {
        debug_assert!(!score.is_nan());
        let item = Item { score, tag: tag_of(hash), member };
        let root = Arc::make_mut(&mut self.root);
        if let Some((separator, right)) = root.insert(&mut self.store, item, hash, true) {
            let left = std::mem::take(root);
            *root = Node {
                separators: vec![separator],
                counts: vec![left.len(), right.len()],
                children: Children::Nodes(vec![Arc::new(left), Arc::new(right)]),
            };
        }
    }

    /// Removes a member. Returns whether it was there.
    pub fn remove(&mut self, member: &[u8]) -> bool {
        let Some(place) = self.find(hash(member), member) else { return false };
        let score = self.store.leaves.get(place.leaf).score(place.at);
        self.remove_target(Target::Element(score, member), 1, &mut |_, _| {});
        true
    }

    /// Removes the elements of a range of ranks. `removed` is called for each of them.
    pub fn remove_range(&mut self, range: Range<usize>, mut removed: impl FnMut(f64, &[u8])) {
        let mut left = range.len();
        while left > 0 {
            left -= self.remove_target(Target::Rank(range.start), left, &mut removed);
        }
    }

    /// Removes elements from a target on, at most `max` and only from its leaf. Returns how many were removed, which is at least one.
    fn remove_target(&mut self, target: Target<'_>, max: usize, removed: &mut dyn FnMut(f64, &[u8])) -> usize {
        let root = Arc::make_mut(&mut self.root);
        let count = root.remove(&mut self.store, target, max, removed);
        while let Children::Nodes(nodes) = &mut root.children {
            if nodes.len() > 1 {
                break;
            }
            *root = nodes.pop().map_or_else(Node::default, Arc::unwrap_or_clone);
        }
        count
    }

    /// Returns the rank of an element, which must be there.
    pub fn rank(&self, score: f64, member: &[u8]) -> usize {
        let (mut node, mut before) = (&*self.root, 0);
        loop {
            let child = node.child_of(score, member);
            before += node.counts[..child].iter().sum::<usize>();
            match &node.children {
                Children::Nodes(nodes) => node = &nodes[child],
                Children::Leaves(leaves) => {
                    let (Ok(at) | Err(at)) = self.store.leaves.get(leaves[child]).search(score, member);
                    return before + at;
                }
            }
        }
    }

    /// Returns the number of elements for which `is_before` is true. It must be true for a first part of the order and false for the rest.
    pub fn partition(&self, is_before: impl Fn(f64, &[u8]) -> bool + Copy) -> usize {
        let (mut node, mut before) = (&*self.root, 0);
        loop {
            let child = node.separators.partition_point(|separator| is_before(separator.score, &separator.member));
            before += node.counts[..child].iter().sum::<usize>();
            match &node.children {
                Children::Nodes(nodes) => node = &nodes[child],
                Children::Leaves(leaves) => {
                    return before
                        + leaves.get(child).map_or(0, |leaf| self.store.leaves.get(*leaf).partition(is_before));
                }
            }
        }
    }

    /// Visits the elements of a range of ranks, in order or in reverse, until `visit` breaks. The range must lie within the tree.
    pub fn walk<'a>(
        &'a self,
        range: Range<usize>,
        reverse: bool,
        mut visit: impl FnMut(f64, &'a [u8]) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        if range.is_empty() {
            return ControlFlow::Continue(());
        }
        self.walk_node(&self.root, range, reverse, &mut visit)
    }

    fn walk_node<'a>(
        &'a self,
        node: &'a Node,
        range: Range<usize>,
        reverse: bool,
        visit: &mut impl FnMut(f64, &'a [u8]) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        // The first and the last child that the range touches, and the rank of the first child's first element.
        let (mut first, mut before) = (0, 0);
        while before + node.counts[first] <= range.start {
            before += node.counts[first];
            first += 1;
        }
        let (mut last, mut end) = (first, before + node.counts[first]);
        while end < range.end {
            last += 1;
            end += node.counts[last];
        }
        let mut step = |child: usize, from: usize| {
            let within = range.start.saturating_sub(from)..node.counts[child].min(range.end - from);
            match &node.children {
                Children::Nodes(nodes) => self.walk_node(&nodes[child], within, reverse, visit),
                Children::Leaves(leaves) => {
                    let leaf = self.store.leaves.get(leaves[child]);
                    let mut show = |at| visit(leaf.score(at), leaf.member(at));
                    if reverse {
                        within.rev().try_for_each(&mut show)
                    } else {
                        within.into_iter().try_for_each(&mut show)
                    }
                }
            }
        };
        if reverse {
            let mut from = end;
            for child in (first..=last).rev() {
                from -= node.counts[child];
                step(child, from)?;
            }
        } else {
            let mut from = before;
            for child in first..=last {
                step(child, from)?;
                from += node.counts[child];
            }
        }
        ControlFlow::Continue(())
    }

    /// Visits about `count` elements from a cursor on. Zero is the cursor of the start. Returns the cursor to continue from, which is zero
    /// at the end. The order is that of the members' hashes, so that an element that is there throughout a scan is visited, however its
    /// score changes.
    pub fn scan(&self, cursor: u64, count: usize, mut visit: impl FnMut(f64, &[u8])) -> u64 {
        let mut shown = 0;
        self.store.index.walk(cursor, |items| {
            for (position, &item) in items.iter().enumerate() {
                // Two equal items are those of two members with the same hash in one leaf. Both were visited at the first of the items.
                if items[..position].contains(&item) {
                    continue;
                }
                let leaf = self.store.leaves.get(item as u32);
                for at in leaf.with_tag(tag_of(item >> 32)) {
                    let member = leaf.member(at);
                    if index::is_candidate(item, hash(member)) {
                        visit(leaf.score(at), member);
                        shown += 1;
                    }
                }
            }
            shown < count
        })
    }

    /// Returns the bytes on the heap.
    pub fn memory_usage(&self) -> usize {
        self.root.memory_usage() + self.store.leaves.memory_usage() + self.store.index.memory_usage()
    }

    /// Returns roughly how many allocations the tree is made of.
    pub fn allocations(&self) -> usize {
        3 * self.store.leaves.len()
    }
}

impl Store {
    /// Updates the index for the elements of leaf `to`, which were in leaf `from`.
    fn relocated(&mut self, from: u32, to: u32) {
        let Store { leaves, index } = self;
        leaves.get(to).items().for_each(|item| index.relocate(hash(item.member), from, to));
    }

    fn first(&self, leaf: u32) -> Item<'_> {
        self.leaves.get(leaf).item(0)
    }

    fn last(&self, leaf: u32) -> Item<'_> {
        let leaf = self.leaves.get(leaf);
        leaf.item(leaf.len() - 1)
    }
}

impl Node {
    fn len(&self) -> usize {
        self.counts.iter().sum()
    }

    /// Returns the child to which an element belongs.
    #[inline]
    fn child_of(&self, score: f64, member: &[u8]) -> usize {
        self.separators.partition_point(|separator| separator.is_at_or_before(score, member))
    }

    /// Inserts an element. A node that has become too large is split: it keeps its left part, and the separator and the right part are
    /// returned. `at_end` says that this is the last node of its height.
    fn insert(&mut self, store: &mut Store, item: Item<'_>, hash: u64, at_end: bool) -> Option<(Separator, Node)> {
        let child = self.child_of(item.score, item.member);
        let is_last = at_end && child + 1 >= self.counts.len();
        match &mut self.children {
            Children::Nodes(nodes) => {
                let split = Arc::make_mut(&mut nodes[child]).insert(store, item, hash, is_last);
                self.counts[child] += 1;
                if let Some((separator, right)) = split {
                    self.counts[child] -= right.len();
                    self.counts.insert(child + 1, right.len());
                    nodes.insert(child + 1, Arc::new(right));
                    self.separators.insert(child, separator);
                }
            }
            Children::Leaves(_) => self.insert_into_leaf(store, child, item, hash, is_last),
        }
        (self.counts.len() > CHILDREN_MAX).then(|| self.split(if is_last { CHILDREN_MAX } else { CHILDREN_MAX / 2 }))
    }

    #[inline]
    fn insert_into_leaf(&mut self, store: &mut Store, child: usize, item: Item<'_>, hash: u64, at_end: bool) {
        let Children::Leaves(leaves) = &mut self.children else { unreachable!("the children are leaves") };
        let Some(&number) = leaves.get(child) else {
            // The tree was empty.
            let number = store.leaves.add(Leaf::new(std::iter::once(item)));
            leaves.push(number);
            self.counts.push(1);
            store.index.insert(hash, number);
            return;
        };
        let leaf = store.leaves.get_mut(number);
        let (Ok(at) | Err(at)) = leaf.search(item.score, item.member);
        match leaf.insert(at, item) {
            Ok(()) => {
                self.counts[child] += 1;
                store.index.insert(hash, number);
            }
            Err(Full) => self.split_leaf(store, child, at, item, hash, at_end),
        }
    }

    /// Inserts an element into a full leaf, by splitting it. An element behind a long member goes to the next leaf, if that has room.
    #[cold]
    fn split_leaf(&mut self, store: &mut Store, child: usize, at: usize, item: Item<'_>, hash: u64, at_end: bool) {
        let Children::Leaves(leaves) = &mut self.children else { unreachable!("the children are leaves") };
        let number = leaves[child];
        let is_behind_long = at == 1 && store.leaves.get(number).is_long();
        if is_behind_long
            && let Some(&next) = leaves.get(child + 1)
            && store.leaves.get_mut(next).insert(0, item).is_ok()
        {
            store.index.insert(hash, next);
            self.counts[child + 1] += 1;
            self.separators[child] = Separator::between(store.last(number), item);
            return;
        }
        store.index.insert(hash, number);
        let right = store.leaves.get_mut(number).split(at, item, at_end);
        self.counts[child] = store.leaves.get(number).len();
        for (nth, leaf) in right.into_iter().enumerate() {
            let position = child + 1 + nth;
            self.counts.insert(position, leaf.len());
            let new = store.leaves.add(leaf);
            leaves.insert(position, new);
            store.relocated(number, new);
            let separator = Separator::between(store.last(leaves[position - 1]), store.first(new));
            self.separators.insert(position - 1, separator);
        }
    }

    /// Splits off the children from an index on.
    fn split(&mut self, at: usize) -> (Separator, Node) {
        let separators = self.separators.split_off(at);
        let separator = self.separators.pop().expect("each child but the first has a separator before it");
        let counts = self.counts.split_off(at);
        let children = match &mut self.children {
            Children::Leaves(leaves) => Children::Leaves(leaves.split_off(at)),
            Children::Nodes(nodes) => Children::Nodes(nodes.split_off(at)),
        };
        (separator, Node { separators, counts, children })
    }

    /// Removes elements from a target on, at most `max` and only from its leaf. Returns how many were removed.
    fn remove(
        &mut self,
        store: &mut Store,
        target: Target<'_>,
        max: usize,
        removed: &mut dyn FnMut(f64, &[u8]),
    ) -> usize {
        let (child, target) = self.step_to(target);
        match &mut self.children {
            Children::Nodes(nodes) => {
                let node = Arc::make_mut(&mut nodes[child]);
                let count = node.remove(store, target, max, removed);
                let left = node.counts.len();
                self.counts[child] -= count;
                if left == 0 {
                    self.remove_child(child);
                } else if left < CHILDREN_MIN {
                    self.join_child(store, child);
                }
                count
            }
            Children::Leaves(leaves) => {
                let number = leaves[child];
                let leaf = store.leaves.get_mut(number);
                let at = match target {
                    Target::Rank(rank) => rank,
                    Target::Element(score, member) => {
                        leaf.search(score, member).expect("the index has a member that its leaf does not have")
                    }
                };
                let count = max.min(leaf.len() - at);
                for item in leaf.items().skip(at).take(count) {
                    removed(item.score, item.member);
                    store.index.remove(hash(item.member), number);
                }
                // ZPOPMIN is called again and again: the index entries of the elements that come next are prefetched.
                if let Some(next) = leaf.items().nth(at + count + 2) {
                    store.index.prefetch_items(hash(next.member));
                }
                if let Some(next) = leaf.items().nth(at + count + 5) {
                    store.index.prefetch(hash(next.member));
                }
                self.counts[child] -= count;
                if self.counts[child] == 0 {
                    store.leaves.remove(number);
                    self.remove_child(child);
                    return count;
                }
                leaf.remove(at, count);
                if leaf.is_sparse() {
                    self.join_child(store, child);
                }
                count
            }
        }
    }

    /// Returns the child in which a target is, and the target relative to that child.
    fn step_to<'a>(&self, target: Target<'a>) -> (usize, Target<'a>) {
        match target {
            Target::Element(score, member) => (self.child_of(score, member), target),
            Target::Rank(mut rank) => {
                let mut child = 0;
                while rank >= self.counts[child] {
                    rank -= self.counts[child];
                    child += 1;
                }
                (child, Target::Rank(rank))
            }
        }
    }

    fn remove_child(&mut self, child: usize) {
        self.counts.remove(child);
        match &mut self.children {
            Children::Leaves(leaves) => drop(leaves.remove(child)),
            Children::Nodes(nodes) => drop(nodes.remove(child)),
        }
        if !self.separators.is_empty() {
            self.separators.remove(child.saturating_sub(1));
        }
    }

    /// Joins a child with one of its neighbours, if both together are small enough.
    fn join_child(&mut self, store: &mut Store, child: usize) {
        let is_joined = |node: &mut Node, left: usize| left + 1 < node.counts.len() && node.join_children(store, left);
        let mut is_joined = is_joined;
        let _ = is_joined(self, child) || child > 0 && is_joined(self, child - 1);
    }

    /// Joins a child with the next one. Returns whether they were small enough.
    fn join_children(&mut self, store: &mut Store, left: usize) -> bool {
        match &mut self.children {
            Children::Leaves(leaves) => {
                let (left, right) = (leaves[left], leaves[left + 1]);
                let neighbour = store.leaves.get(right).clone();
                if store.leaves.get_mut(left).join(&neighbour).is_err() {
                    return false;
                }
                store.leaves.remove(right);
                neighbour.items().for_each(|item| store.index.relocate(hash(item.member), right, left));
            }
            Children::Nodes(nodes) => {
                if nodes[left].counts.len() + nodes[left + 1].counts.len() > CHILDREN_JOINED_MAX {
                    return false;
                }
                let right = Node::clone(&nodes[left + 1]);
                let node = Arc::make_mut(&mut nodes[left]);
                node.separators.push(self.separators[left].clone());
                node.separators.extend(right.separators);
                node.counts.extend(right.counts);
                match (&mut node.children, right.children) {
                    (Children::Leaves(leaves), Children::Leaves(others)) => leaves.extend(others),
                    (Children::Nodes(nodes), Children::Nodes(others)) => nodes.extend(others),
                    _ => unreachable!("all leaves of the tree are at the same height"),
                }
            }
        }
        self.counts[left] += self.counts[left + 1];
        // Together with the right child the separator between the two is removed.
        self.remove_child(left + 1);
        true
    }

    fn memory_usage(&self) -> usize {
        let heap = |bytes: usize| if bytes == 0 { 0 } else { size_class(bytes) };
        let members: usize = self.separators.iter().map(|separator| heap(separator.member.len())).sum();
        let children = match &self.children {
            Children::Leaves(leaves) => heap(leaves.capacity() * size_of::<u32>()),
            Children::Nodes(nodes) => {
                heap(nodes.capacity() * 8) + nodes.iter().map(|node| node.memory_usage()).sum::<usize>()
            }
        };
        size_class(ARC_HEADER + size_of::<Node>())
            + heap(self.separators.capacity() * size_of::<Separator>())
            + members
            + heap(self.counts.capacity() * 8)
            + children
    }

    #[cfg(test)]
    fn check(&self, store: &Store) {
        assert_eq!(self.separators.len(), self.counts.len().saturating_sub(1));
        for child in 0..self.counts.len() {
            match &self.children {
                Children::Nodes(nodes) => {
                    assert_eq!(nodes[child].len(), self.counts[child]);
                    nodes[child].check(store);
                }
                Children::Leaves(leaves) => {
                    let leaf = store.leaves.get(leaves[child]);
                    assert_eq!(leaf.len(), self.counts[child]);
                    assert!(leaf.len() > 0);
                    for item in leaf.items() {
                        assert_eq!(
                            self.child_of(item.score, item.member),
                            child,
                            "an element is on the wrong side of a separator"
                        );
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::element_prefetch::ElementPrefetch;

    /// A generator of random numbers that depends on its seed alone (xorshift).
    struct Numbers(u64);

    impl Numbers {
        fn below(&mut self, bound: u64) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            (self.0 >> 11) % bound
        }
    }

    fn in_order(model: &BTreeMap<Vec<u8>, f64>) -> Vec<(f64, Vec<u8>)> {
        let mut order: Vec<_> = model.iter().map(|(member, score)| (*score, member.clone())).collect();
        order.sort_by(|left, right| compare((left.0, &left.1), (right.0, &right.1)));
        order
    }

    fn elements(tree: &Tree, range: Range<usize>, reverse: bool) -> Vec<(f64, Vec<u8>)> {
        let mut found = Vec::new();
        let _ = tree.walk(range, reverse, |score, member| {
            found.push((score, member.to_vec()));
            ControlFlow::Continue(())
        });
        found
    }

    fn check(tree: &Tree, model: &BTreeMap<Vec<u8>, f64>, numbers: &mut Numbers) {
        tree.root.check(&tree.store);
        let order = in_order(model);
        assert_eq!(tree.len(), order.len());
        let members = order.iter().map(|(_, member)| &member[..]).chain([&b"none"[..]]);
        ElementPrefetch::run_all(
            &mut members.map(|member| ElementPrefetch::Tree(tree.prefetch_lookup(member))).collect::<Vec<_>>(),
        );
        assert_eq!(elements(tree, 0..order.len(), false), order);
        for (rank, (score, member)) in order.iter().enumerate() {
            assert_eq!(tree.score(member), Some(*score));
            assert_eq!(tree.rank(*score, member), rank);
        }
        for _ in 0..20 {
            let start = numbers.below(order.len() as u64 + 1) as usize;
            let end = start + numbers.below((order.len() - start) as u64 + 1) as usize;
            let mut expected = order[start..end].to_vec();
            assert_eq!(elements(tree, start..end, false), expected);
            expected.reverse();
            assert_eq!(elements(tree, start..end, true), expected);
        }
        let mut scanned = Vec::new();
        let mut cursor = 0;
        loop {
            cursor = tree.scan(cursor, 10, |score, member| scanned.push((score, member.to_vec())));
            if cursor == 0 {
                break;
            }
        }
        scanned.sort_by(|left, right| compare((left.0, &left.1), (right.0, &right.1)));
        assert_eq!(scanned, order);
    }

    /// Applies random steps to a tree and a model, with numbers of members, of scores and of lengths to choose from.
    fn try_steps(seed: u64, steps: u64, members: u64, scores: u64, len_max: u64) {
        let mut numbers = Numbers(seed);
        let (mut tree, mut model) = (Tree::default(), BTreeMap::new());
        let mut frozen = None;
        for step in 0..steps {
            let number = numbers.below(members);
            let mut member = format!("member:{number}").into_bytes();
            member.resize(member.len() + (number * 7919 % len_max) as usize, b'x');
            let score = numbers.below(scores) as f64 - 3.0;
            // The tree grows and shrinks by turns.
            let removes = if step % 4000 < 2000 { 20 } else { 80 };
            match numbers.below(100) {
                percent if percent < removes => {
                    assert_eq!(tree.remove(&member), model.remove(&member).is_some());
                }
                99 => {
                    let start = numbers.below(tree.len() as u64 + 1) as usize;
                    let end = (start + numbers.below(40) as usize).min(tree.len());
                    let mut removed = Vec::new();
                    tree.remove_range(start..end, |score, member| removed.push((score, member.to_vec())));
                    assert_eq!(removed, in_order(&model)[start..end]);
                    model.retain(|member, _| !removed.iter().any(|(_, other)| other == member));
                }
                _ => {
                    let before = model.insert(member.clone(), score);
                    assert_eq!(tree.set(&member, |found| (Some(score), found)), before);
                }
            }
            if step % 1500 == 1499 {
                check(&tree, &model, &mut numbers);
            }
            if step == steps / 2 {
                frozen = Some((tree.clone(), model.clone()));
            }
        }
        let (frozen, of_then) = frozen.expect("the clone was made after half of the steps");
        check(&frozen, &of_then, &mut numbers);
        tree.remove_range(0..tree.len(), |_, _| {});
        check(&tree, &BTreeMap::new(), &mut numbers);
    }

    #[test]
    fn does_what_a_sorted_map_does() {
        try_steps(1, 12_000, 3000, 1_000_000, 1);
        try_steps(2, 12_000, 3000, 3, 20);
        try_steps(3, 12_000, 500, 1, 400);
    }

    #[test]
    fn long_members_lie_alone() {
        try_steps(4, 6000, 400, 5, 2000);
        try_steps(5, 2000, 100, 1, 70_000);
    }

    #[test]
    fn elements_in_order_fill_their_leaves() {
        let mut tree = Tree::default();
        for number in 0..100_000u32 {
            tree.insert(f64::from(number), format!("member:{number:010}").as_bytes());
        }
        tree.root.check(&tree.store);
        assert!(tree.memory_usage() / tree.len() <= 48, "{}", tree.memory_usage() / tree.len());
        assert_eq!(tree.partition(|score, _| score < 5000.5), 5001);
        assert_eq!(tree.rank(77.0, b"member:0000000077"), 77);
    }

    #[test]
    fn random_elements_are_small() {
        let (mut tree, mut numbers) = (Tree::default(), Numbers(7));
        for number in 0..100_000u32 {
            tree.insert(numbers.below(1 << 40) as f64, format!("member:{number:010}").as_bytes());
        }
        tree.root.check(&tree.store);
        assert!(tree.memory_usage() / tree.len() <= 50, "{}", tree.memory_usage() / tree.len());
    }
}
