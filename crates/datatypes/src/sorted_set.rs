//! Sorted sets: members, each once, in the order of their scores. Members of the same score are in the order of their bytes.
//!
//! ```text
//! packed   member score member score …     a listpack in the order of the set, while it is small
//! tree     see tree/mod.rs
//! ```
//!
//! In a listpack a score that is a whole number is an integer, and any other score is text. As on Redis, there is no -0 in a listpack. A
//! sorted set that has become a tree stays one.

use std::ops::{ControlFlow, Range};

use ochre_resp::double;

use crate::{
    Collection, Encoding, ValueType,
    allocation::{HEAVY_BYTES_MIN, size_class},
    collection::any_collection,
    element_prefetch::ElementPrefetch,
    listpack::{self, Element, Encoded, Listpack},
    tree::{Tree, compare},
};

/// A sorted set, for editing.
pub enum SortedSet {
    /// A listpack of members and scores.
    Packed(Vec<u8>),
    /// A tree.
    Tree(Box<Tree>),
}

/// A sorted set, for reading. The *rank* of an element is its index in the order of the set.
#[derive(Clone, Copy)]
pub enum SortedSetView<'a> {
    /// A listpack of members and scores.
    Packed(Listpack<'a>),
    /// A tree.
    Tree(&'a Tree),
}

/// The settings up to which a sorted set is packed.
#[derive(Clone, Copy, Debug)]
pub struct SortedSetLimits {
    /// `zset-max-listpack-entries`: the most elements of a listpack.
    pub entries_max: usize,
    /// `zset-max-listpack-value`: the longest member of a listpack, in bytes.
    pub member_len_max: usize,
}

/// A range of scores. Each of the two bounds belongs to the range or not.
#[derive(Clone, Copy, Debug)]
pub struct ScoreRange {
    /// The lower bound.
    pub min: f64,
    /// The upper bound.
    pub max: f64,
    /// Whether the lower bound does not belong to the range.
    pub excludes_min: bool,
    /// Whether the upper bound does not belong to the range.
    pub excludes_max: bool,
}

/// A range of members, in the order of their bytes.
#[derive(Clone, Copy, Debug)]
pub struct LexRange<'a> {
    /// The lower bound.
    pub min: LexBound<'a>,
    /// The upper bound.
    pub max: LexBound<'a>,
}

/// A bound of a [`LexRange`]. (Redis: the ZRANGE page)
#[derive(Clone, Copy, Debug)]
pub enum LexBound<'a> {
    /// `-`: below all members.
    Lowest,
    /// `+`: above all members.
    Highest,
    /// `[member`: the member belongs to the range.
    Included(&'a [u8]),
    /// `(member`: the member does not belong to the range.
    Excluded(&'a [u8]),
}

impl ScoreRange {
    /// Returns whether a score is below the range.
    #[inline]
    pub fn is_below(&self, score: f64) -> bool {
        if self.excludes_min { score <= self.min } else { score < self.min }
    }

    /// Returns whether a score is above the range.
    #[inline]
    pub fn is_above(&self, score: f64) -> bool {
        if self.excludes_max { score >= self.max } else { score > self.max }
    }
}

impl LexRange<'_> {
    #[inline]
    fn is_below(&self, member: &[u8]) -> bool {
        match self.min {
            LexBound::Lowest => false,
            LexBound::Highest => true,
            LexBound::Included(min) => member < min,
            LexBound::Excluded(min) => member <= min,
        }
    }

    #[inline]
    fn is_above(&self, member: &[u8]) -> bool {
        match self.max {
            LexBound::Lowest => true,
            LexBound::Highest => false,
            LexBound::Included(max) => member > max,
            LexBound::Excluded(max) => member >= max,
        }
    }

    /// Returns whether no member can be in the range. (Redis: `zslIsInLexRange`)
    fn is_empty(&self) -> bool {
        match (self.min, self.max) {
            (LexBound::Lowest, LexBound::Lowest) | (LexBound::Highest, _) | (_, LexBound::Lowest) => true,
            (LexBound::Lowest, _) | (_, LexBound::Highest) => false,
            (LexBound::Included(min), LexBound::Included(max)) => min > max,
            (LexBound::Included(min) | LexBound::Excluded(min), LexBound::Included(max) | LexBound::Excluded(max)) => {
                min >= max
            }
        }
    }
}

impl Default for SortedSet {
    fn default() -> SortedSet {
        SortedSet::Packed(Vec::new())
    }
}

impl SortedSet {
    /// Makes a sorted set of elements, which may come in any order. Their members must all be different.
    pub fn from_elements<M: AsRef<[u8]>>(mut elements: Vec<(f64, M)>, limits: &SortedSetLimits) -> SortedSet {
        elements.sort_unstable_by(|left, right| compare((left.0, left.1.as_ref()), (right.0, right.1.as_ref())));
        let len_max = elements.iter().map(|(_, member)| member.as_ref().len()).max().unwrap_or(0);
        if elements.len() <= limits.entries_max && len_max <= limits.member_len_max {
            let mut run = Vec::new();
            for (score, member) in &elements {
                listpack::push_back(&mut run, member.as_ref());
                ScoreText::of(*score).encoded().push_to(&mut run);
            }
            return SortedSet::Packed(run);
        }
        let mut tree = Tree::default();
        elements.iter().for_each(|(score, member)| tree.insert(*score, member.as_ref()));
        SortedSet::Tree(Box::new(tree))
    }

    /// Makes a sorted set of a listpack of members and scores. Returns `None` if it is not what a sorted set may consist of. As on Redis,
    /// only the number of elements decides whether the set becomes a tree.
    pub fn from_listpack(run: Vec<u8>, limits: &SortedSetLimits) -> Option<SortedSet> {
        let pack = Listpack(&run);
        let is_score = |element| match element {
            Element::Int(_) => true,
            Element::Bytes(text) => parse_score(text).is_some(),
        };
        if !pack.has_distinct_groups(2) || !pack.iter().skip(1).step_by(2).all(|(_, element)| is_score(element)) {
            return None;
        }
        let (mut left_text, mut right_text) = (itoa::Buffer::new(), itoa::Buffer::new());
        let is_ordered =
            entries(pack).zip(entries(pack).skip(1)).all(|((_, left_score, left), (_, right_score, right))| {
                let (left, right) = (left.as_bytes(&mut left_text), right.as_bytes(&mut right_text));
                compare((left_score, left), (right_score, right)).is_lt()
            });
        if pack.len() / 2 > limits.entries_max || !is_ordered {
            let elements = entries(pack).map(|(_, score, member)| (score, member.to_vec())).collect();
            let own = SortedSetLimits { entries_max: limits.entries_max, member_len_max: usize::MAX };
            return Some(SortedSet::from_elements(elements, &own));
        }
        Some(SortedSet::Packed(run))
    }

    /// Converts the set to a tree at once if `entries` elements, which are about to be set, or the longest of their members are too much
    /// for a listpack. As on Redis, only the arguments of the request count: a member that is given twice counts twice.
    pub fn prepare(&mut self, entries: usize, member_len_max: usize, limits: &SortedSetLimits) {
        if entries > limits.entries_max || self.is_empty() && member_len_max > limits.member_len_max {
            self.unpack();
        }
    }

    /// Converts the set to a tree, if it is not one.
    fn unpack(&mut self) -> &mut Tree {
        if let SortedSet::Packed(run) = self {
            let mut tree = Tree::default();
            let mut buffer = itoa::Buffer::new();
            for (_, score, member) in entries(Listpack(run)) {
                tree.insert(score, member.as_bytes(&mut buffer));
            }
            *self = SortedSet::Tree(Box::new(tree));
        }
        match self {
            SortedSet::Tree(tree) => tree,
            SortedSet::Packed(_) => unreachable!("the set was converted above"),
        }
    }

    /// Sets the score of a member, or inserts the member. `decide` is given the present score, or `None` if the member is not there. It
    /// returns the new score, or `None` to change nothing, and a result that is passed on to the caller.
    #[inline]
    pub fn set<R>(
        &mut self,
        member: &[u8],
        limits: &SortedSetLimits,
        decide: impl FnOnce(Option<f64>) -> (Option<f64>, R),
    ) -> R {
        let run = match self {
            SortedSet::Tree(tree) => return tree.set(member, decide),
            SortedSet::Packed(run) => run,
        };
        let wanted = Encoded::new(member);
        let pack = Listpack(run);
        let (mut offset, mut count) = (0, 0);
        let mut found = None;
        while offset < run.len() {
            let score = pack.end_of(offset);
            if pack.equals(offset, &wanted) {
                found = Some((offset, score));
                break;
            }
            offset = pack.end_of(score);
            count += 1;
        }
        let before = found.map(|(_, score)| score_at(pack, score));
        let (decided, result) = decide(before);
        let Some(score) = decided else { return result };
        match found {
            Some((offset, at)) => {
                if before != Some(score) {
                    let end = pack.end_of(at);
                    listpack::remove_bytes(run, offset, end);
                    insert_packed(run, score, member, &wanted);
                }
            }
            None if count >= limits.entries_max || member.len() > limits.member_len_max => {
                self.unpack().insert(score, member);
            }
            None => insert_packed(run, score, member, &wanted),
        }
        result
    }

    /// Removes a member. Returns whether it was there.
    pub fn remove(&mut self, member: &[u8]) -> bool {
        match self {
            SortedSet::Tree(tree) => tree.remove(member),
            SortedSet::Packed(run) => {
                let Some(offset) = Listpack(run).find(member, 1) else { return false };
                listpack::remove_range(run, offset, 2);
                true
            }
        }
    }

    /// Removes the elements of a range of ranks. `removed` is called for each of them.
    pub fn remove_range(&mut self, range: Range<usize>, mut removed: impl FnMut(f64, Element<'_>)) {
        match self {
            SortedSet::Tree(tree) => tree.remove_range(range, |score, member| removed(score, Element::Bytes(member))),
            SortedSet::Packed(run) => {
                let start = Listpack(run).nth(2 * range.start).unwrap_or(run.len());
                let mut end = start;
                for (_, score, member) in entries_from(Listpack(run), start).take(range.len()) {
                    removed(score, member);
                }
                for _ in 0..2 * range.len() {
                    end = Listpack(run).end_of(end);
                }
                listpack::remove_bytes(run, start, end);
            }
        }
    }
}

/// A score in the form that it has in a listpack.
enum ScoreText {
    Integer(i64),
    Text(Vec<u8>),
}

impl ScoreText {
    #[inline]
    fn of(score: f64) -> ScoreText {
        /// The greatest score that is kept as an integer: half the range of 64 bits. (Redis: `double2ll`)
        const INTEGER_MAX: f64 = (i64::MAX / 2) as f64;
        let integer = score as i64;
        if score.abs() <= INTEGER_MAX && integer as f64 == score {
            ScoreText::Integer(integer)
        } else {
            ScoreText::Text(double::to_text(score))
        }
    }

    #[inline]
    fn encoded(&self) -> Encoded<'_> {
        match self {
            ScoreText::Integer(integer) => Encoded::of_int(*integer),
            ScoreText::Text(text) => Encoded::new(text),
        }
    }
}

#[inline]
fn score_of(element: Element<'_>) -> f64 {
    match element {
        Element::Int(integer) => integer as f64,
        Element::Bytes(text) => parse_score(text).expect("a score in a listpack is not a number"),
    }
}

fn parse_score(text: &[u8]) -> Option<f64> {
    str::from_utf8(text).ok()?.parse().ok().filter(|score: &f64| !score.is_nan())
}

#[inline]
fn score_at(pack: Listpack<'_>, offset: usize) -> f64 {
    score_of(pack.get(offset))
}

/// Returns the offset, the score and the member of each element.
#[inline]
fn entries(pack: Listpack<'_>) -> impl Iterator<Item = (usize, f64, Element<'_>)> {
    entries_from(pack, 0)
}

#[inline]
fn entries_from(pack: Listpack<'_>, offset: usize) -> impl Iterator<Item = (usize, f64, Element<'_>)> {
    let mut elements = pack.iter_from(offset);
    std::iter::from_fn(move || {
        let (offset, member) = elements.next()?;
        let (_, score) = elements.next().expect("a member in a listpack has no score");
        Some((offset, score_of(score), member))
    })
}

/// Inserts an element at its place in the order. Its member must not be there.
fn insert_packed(run: &mut Vec<u8>, score: f64, member: &[u8], encoded: &Encoded<'_>) {
    let pack = Listpack(run);
    // Elements are often inserted in ascending order.
    let is_last = pack.last().is_none_or(|last| score > score_at(pack, last));
    let offset = if is_last { run.len() } else { place_packed(pack, score, member) };
    let text = ScoreText::of(score);
    text.encoded().put(run, offset, 0);
    encoded.put(run, offset, 0);
}

fn place_packed(pack: Listpack<'_>, score: f64, member: &[u8]) -> usize {
    let mut buffer = itoa::Buffer::new();
    entries(pack)
        .find(|(_, other, element)| *other > score || *other == score && element.as_bytes(&mut buffer) > member)
        .map_or(pack.0.len(), |(offset, ..)| offset)
}

impl<'a> SortedSetView<'a> {
    /// Returns the number of elements.
    pub fn len(self) -> usize {
        match self {
            SortedSetView::Packed(pack) => pack.len() / 2,
            SortedSetView::Tree(tree) => tree.len(),
        }
    }

    /// Returns whether there are no elements.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Returns the score of a member, or `None` if it is not there.
    #[inline]
    pub fn score(self, member: &[u8]) -> Option<f64> {
        match self {
            SortedSetView::Packed(pack) => {
                let offset = pack.find(member, 1)?;
                Some(score_at(pack, pack.end_of(offset)))
            }
            SortedSetView::Tree(tree) => tree.score(member),
        }
    }

    /// Returns the rank and the score of a member, or `None` if it is not there.
    pub fn rank(self, member: &[u8]) -> Option<(usize, f64)> {
        match self {
            SortedSetView::Packed(pack) => {
                let wanted = Encoded::new(member);
                entries(pack)
                    .enumerate()
                    .find(|(_, (offset, ..))| pack.equals(*offset, &wanted))
                    .map(|(rank, (_, score, _))| (rank, score))
            }
            SortedSetView::Tree(tree) => {
                let score = tree.score(member)?;
                Some((tree.rank(score, member), score))
            }
        }
    }

    /// Returns the ranks of the elements whose scores are in a range.
    pub fn score_range(self, range: &ScoreRange) -> Range<usize> {
        match self {
            SortedSetView::Packed(pack) => {
                let (mut start, mut end) = (0, 0);
                for (_, score, _) in entries(pack) {
                    if range.is_below(score) {
                        start += 1;
                    } else if range.is_above(score) {
                        break;
                    }
                    end += 1;
                }
                start..end.max(start)
            }
            SortedSetView::Tree(tree) => {
                let start = tree.partition(|score, _| range.is_below(score));
                let end = tree.partition(|score, _| !range.is_above(score));
                start..end.max(start)
            }
        }
    }

    /// Returns the ranks of the elements whose members are in a range. All scores should be the same. If they are not, the result is that of
    /// Redis: a listpack is walked, from the end if `reverse` is true, from the first element in the range to the first one outside.
    pub fn lex_range(self, range: &LexRange<'_>, reverse: bool) -> Range<usize> {
        if range.is_empty() {
            return 0..0;
        }
        match self {
            SortedSetView::Packed(pack) => packed_lex_range(pack, range, reverse).unwrap_or(0..0),
            SortedSetView::Tree(tree) => {
                let start = tree.partition(|_, member| range.is_below(member));
                let end = tree.partition(|_, member| !range.is_above(member));
                start..end.max(start)
            }
        }
    }

    /// Visits the elements whose scores are in a range, in order, until `visit` breaks.
    pub fn walk_scores(
        self,
        range: &ScoreRange,
        mut visit: impl FnMut(f64, Element<'a>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let start = match self {
            SortedSetView::Packed(_) => self.score_range(range).start,
            SortedSetView::Tree(tree) => tree.partition(|score, _| range.is_below(score)),
        };
        let mut result = ControlFlow::Continue(());
        let _ = self.walk(start..self.len(), false, |score, member| {
            if range.is_above(score) {
                return ControlFlow::Break(());
            }
            result = visit(score, member);
            result
        });
        result
    }

    /// Returns the element of a rank, or `None` if there are not enough elements.
    pub fn get(self, rank: usize) -> Option<(f64, Element<'a>)> {
        let mut found = None;
        if rank < self.len() {
            let _ = self.walk(rank..rank + 1, false, |score, member| {
                found = Some((score, member));
                ControlFlow::Continue(())
            });
        }
        found
    }

    /// Visits the elements of a range of ranks, in order or in reverse, until `visit` breaks. The range must lie within the set.
    pub fn walk(
        self,
        range: Range<usize>,
        reverse: bool,
        mut visit: impl FnMut(f64, Element<'a>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        if range.is_empty() {
            return ControlFlow::Continue(());
        }
        match self {
            SortedSetView::Tree(tree) => {
                tree.walk(range, reverse, |score, member| visit(score, Element::Bytes(member)))
            }
            SortedSetView::Packed(pack) if reverse => {
                let mut next = pack.nth(2 * (range.end - 1));
                for _ in range {
                    let Some(offset) = next else { break };
                    visit(score_at(pack, pack.end_of(offset)), pack.get(offset))?;
                    next = pack.prev(offset).and_then(|score| pack.prev(score));
                }
                ControlFlow::Continue(())
            }
            SortedSetView::Packed(pack) => {
                let start = pack.nth(2 * range.start).unwrap_or(pack.0.len());
                entries_from(pack, start).take(range.len()).try_for_each(|(_, score, member)| visit(score, member))
            }
        }
    }

    /// Visits all elements in order.
    pub fn for_each(self, mut visit: impl FnMut(f64, Element<'a>)) {
        let _ = self.walk(0..self.len(), false, |score, member| {
            visit(score, member);
            ControlFlow::Continue(())
        });
    }

    /// Visits about `count` elements from a cursor on. Zero is the cursor of the start. Returns the cursor to continue from, which is zero
    /// at the end. A packed set is visited as a whole by one call.
    pub fn scan(self, cursor: u64, count: usize, mut visit: impl FnMut(f64, Element<'_>)) -> u64 {
        match self {
            SortedSetView::Tree(tree) => tree.scan(cursor, count, |score, member| visit(score, Element::Bytes(member))),
            SortedSetView::Packed(pack) => {
                entries(pack).for_each(|(_, score, member)| visit(score, member));
                0
            }
        }
    }
}

/// Walks a listpack as Redis does; see [`SortedSetView::lex_range`]. `None` is an empty range. (Redis: `zzlFirstInLexRange`,
/// `zzlLastInLexRange`)
fn packed_lex_range(pack: Listpack<'_>, range: &LexRange<'_>, reverse: bool) -> Option<Range<usize>> {
    let mut buffer = itoa::Buffer::new();
    let mut compared = |offset: usize| {
        let element = pack.get(offset);
        let member = element.as_bytes(&mut buffer);
        // Whether the member is below the range, and whether it is above. If scores differ, members are not in ascending order.
        (range.is_below(member), range.is_above(member))
    };
    let last = pack.prev(pack.last()?)?;
    if compared(last).0 || compared(0).1 {
        return None;
    }
    let offsets: Vec<usize> = entries(pack).map(|(offset, ..)| offset).collect();
    if reverse {
        let end = offsets.iter().rposition(|&offset| !compared(offset).1)? + 1;
        let start = offsets[..end].iter().rposition(|&offset| compared(offset).0).map_or(0, |below| below + 1);
        Some(start..end)
    } else {
        let start = offsets.iter().position(|&offset| !compared(offset).0)?;
        let end = offsets[start..].iter().position(|&offset| compared(offset).1);
        Some(start..end.map_or(offsets.len(), |above| start + above))
    }
}

impl Collection for SortedSet {
    const TYPE: ValueType = ValueType::SortedSet;
    type View<'a> = SortedSetView<'a>;

    any_collection!(SortedSet);

    #[inline]
    fn view(&self) -> SortedSetView<'_> {
        match self {
            SortedSet::Packed(run) => SortedSetView::Packed(Listpack(run)),
            SortedSet::Tree(tree) => SortedSetView::Tree(tree),
        }
    }

    #[inline]
    fn view_packed(_form: u8, bytes: &[u8]) -> SortedSetView<'_> {
        SortedSetView::Packed(Listpack(bytes))
    }

    #[inline]
    fn packed(&self) -> Option<(u8, &[u8])> {
        match self {
            SortedSet::Packed(run) => Some((0, run)),
            SortedSet::Tree(_) => None,
        }
    }

    #[inline]
    fn from_packed(_form: u8, bytes: Vec<u8>) -> SortedSet {
        SortedSet::Packed(bytes)
    }

    #[inline]
    fn into_packed(self) -> Result<(u8, Vec<u8>), SortedSet> {
        match self {
            SortedSet::Packed(run) => Ok((0, run)),
            SortedSet::Tree(_) => Err(self),
        }
    }

    #[inline]
    fn is_empty(&self) -> bool {
        match self {
            SortedSet::Packed(run) => run.is_empty(),
            SortedSet::Tree(tree) => tree.is_empty(),
        }
    }

    fn encoding(view: SortedSetView<'_>) -> Encoding {
        match view {
            SortedSetView::Packed(_) => Encoding::Listpack,
            SortedSetView::Tree(_) => Encoding::Skiplist,
        }
    }

    fn memory_usage(&self) -> usize {
        match self {
            SortedSet::Packed(run) => size_class(run.capacity()),
            SortedSet::Tree(tree) => size_of::<Tree>() + tree.memory_usage(),
        }
    }

    fn is_heavy(&self) -> bool {
        match self {
            SortedSet::Packed(run) => run.capacity() > HEAVY_BYTES_MIN,
            SortedSet::Tree(tree) => tree.allocations() > 100,
        }
    }

    #[inline]
    fn prefetch_element(&self, element: &[u8]) -> Option<ElementPrefetch<'_>> {
        match self {
            SortedSet::Tree(tree) => Some(ElementPrefetch::Tree(tree.prefetch_lookup(element))),
            _ => None,
        }
    }

    fn duplicate(view: SortedSetView<'_>) -> SortedSet {
        match view {
            SortedSetView::Packed(pack) => SortedSet::Packed(pack.0.to_vec()),
            SortedSetView::Tree(tree) => SortedSet::Tree(Box::new(tree.clone())),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const LIMITS: SortedSetLimits = SortedSetLimits { entries_max: 8, member_len_max: 12 };

    fn shown(view: SortedSetView<'_>, range: Range<usize>, reverse: bool) -> Vec<(f64, Vec<u8>)> {
        let mut found = Vec::new();
        let _ = view.walk(range, reverse, |score, member| {
            found.push((score, member.to_vec()));
            ControlFlow::Continue(())
        });
        found
    }

    fn in_order(model: &BTreeMap<Vec<u8>, f64>) -> Vec<(f64, Vec<u8>)> {
        let mut order: Vec<_> = model.iter().map(|(member, score)| (*score, member.clone())).collect();
        order.sort_by(|left, right| compare((left.0, &left.1), (right.0, &right.1)));
        order
    }

    fn check(set: &SortedSet, model: &BTreeMap<Vec<u8>, f64>) {
        let (view, order) = (set.view(), in_order(model));
        assert_eq!(view.len(), order.len());
        for start in 0..=order.len() {
            for end in start..=order.len() {
                let mut expected = order[start..end].to_vec();
                assert_eq!(shown(view, start..end, false), expected);
                expected.reverse();
                assert_eq!(shown(view, start..end, true), expected);
            }
        }
        for (rank, (score, member)) in order.iter().enumerate() {
            assert_eq!(view.score(member), Some(*score));
            assert_eq!(view.rank(member), Some((rank, *score)));
            assert_eq!(view.get(rank).map(|(score, member)| (score, member.to_vec())), Some((*score, member.clone())));
            for excludes in 0..4 {
                let (excludes_min, excludes_max) = (excludes & 1 == 1, excludes & 2 == 2);
                let range = ScoreRange { min: *score, max: score + 2.0, excludes_min, excludes_max };
                let inside = |score: f64| !range.is_below(score) && !range.is_above(score);
                let expected: Vec<_> = order.iter().filter(|(score, _)| inside(*score)).cloned().collect();
                assert_eq!(shown(view, view.score_range(&range), false), expected);
                let mut walked = Vec::new();
                let _ = view.walk_scores(&range, |score, member| {
                    walked.push((score, member.to_vec()));
                    ControlFlow::Continue(())
                });
                assert_eq!(walked, expected);
            }
        }
        let mut scanned = Vec::new();
        let mut cursor = 0;
        loop {
            cursor = view.scan(cursor, 2, |score, member| scanned.push((score, member.to_vec())));
            if cursor == 0 {
                break;
            }
        }
        scanned.sort_by(|left, right| compare((left.0, &left.1), (right.0, &right.1)));
        assert_eq!(scanned, order);
        let copy = SortedSet::duplicate(view);
        assert_eq!(shown(copy.view(), 0..order.len(), false), order);
    }

    #[test]
    fn does_what_a_sorted_map_does() {
        let scores = [0.0, 1.0, -1.0, 0.5, 1e300, f64::INFINITY, f64::NEG_INFINITY, 3.0, 1e18, 5e18, 0.1 + 0.2];
        let mut random = 7u64;
        let mut below = |bound: usize| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            (random >> 11) as usize % bound
        };
        for _ in 0..60 {
            let (mut set, mut model) = (SortedSet::default(), BTreeMap::new());
            let (members, removes) = (3 + below(12), below(50));
            for _ in 0..60 {
                let number = below(members);
                let member = match number % 4 {
                    0 => (number * 77).to_string().into_bytes(),
                    1 => format!("-{number}").into_bytes(),
                    2 => format!("m{number}").into_bytes(),
                    _ if members > 13 => vec![b'l'; 10 + number],
                    _ => vec![0xff; number],
                };
                if below(100) < removes {
                    assert_eq!(set.remove(&member), model.remove(&member).is_some());
                } else if below(20) == 0 {
                    let start = below(model.len() + 1);
                    let end = (start + below(3)).min(model.len());
                    let mut removed = Vec::new();
                    set.remove_range(start..end, |score, member| removed.push((score, member.to_vec())));
                    assert_eq!(removed, in_order(&model)[start..end]);
                    model.retain(|member, _| !removed.iter().any(|(_, other)| other == member));
                } else {
                    let score = scores[below(scores.len())];
                    let before = set.set(&member, &LIMITS, |before| (Some(score), before));
                    assert_eq!(before, model.insert(member, score));
                }
            }
            check(&set, &model);
            let built = SortedSet::from_elements(in_order(&model), &LIMITS);
            check(&built, &model);
        }
    }

    #[test]
    fn a_set_is_packed_up_to_its_limits() {
        let is_packed = |set: &SortedSet| set.packed().is_some();
        let mut set = SortedSet::default();
        for number in 0..8 {
            set.set(number.to_string().as_bytes(), &LIMITS, |_| (Some(1.0), ()));
        }
        assert!(is_packed(&set));
        set.set(b"7", &LIMITS, |_| (Some(2.0), ()));
        assert!(is_packed(&set));
        set.set(b"8", &LIMITS, |_| (Some(2.0), ()));
        assert!(!is_packed(&set));
        (0..8).for_each(|number: i32| assert!(set.remove(number.to_string().as_bytes())));
        assert!(!is_packed(&set) && !set.is_empty());
        let mut set = SortedSet::default();
        set.set(&[b'x'; 12], &LIMITS, |_| (Some(-0.0), ()));
        assert!(is_packed(&set) && set.view().score(&[b'x'; 12]).is_some_and(|score| score.is_sign_positive()));
        set.set(&[b'x'; 13], &LIMITS, |_| (Some(0.0), ()));
        assert!(!is_packed(&set));
        let mut set = SortedSet::default();
        set.prepare(9, 1, &LIMITS);
        assert!(!is_packed(&set));
        assert!(size_of::<SortedSet>() <= 40);
    }

    #[test]
    fn ranges_of_members() {
        use LexBound::{Excluded, Highest, Included, Lowest};
        let members = ["a", "b", "c", "d"];
        let elements = || members.iter().map(|member| (0.0, *member)).collect::<Vec<_>>();
        let check = |min, max, expected: Range<usize>| {
            for entries_max in [0, 100] {
                let set = SortedSet::from_elements(elements(), &SortedSetLimits { entries_max, ..LIMITS });
                for reverse in [false, true] {
                    let found = set.view().lex_range(&LexRange { min, max }, reverse);
                    assert!(found == expected || found.is_empty() && expected.is_empty(), "{min:?} {max:?} {found:?}");
                }
            }
        };
        check(Lowest, Highest, 0..4);
        check(Included(b"b"), Included(b"c"), 1..3);
        check(Excluded(b"b"), Included(b"c"), 2..3);
        check(Excluded(b"b"), Excluded(b"c"), 2..2);
        check(Included(b"bb"), Highest, 2..4);
        check(Lowest, Excluded(b"a"), 0..0);
        check(Included(b"e"), Highest, 0..0);
        check(Highest, Lowest, 0..0);
        check(Included(b"c"), Included(b"b"), 0..0);
    }
}
