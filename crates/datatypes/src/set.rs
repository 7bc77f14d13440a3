//! Sets: members without order, each once.
//!
//! ```text
//!                      packed                                      large
//!  ┌────────────────────┐   ┌────────────────────────┐   ┌────────────────────────────┐
//!  │ intset, sorted     │──▶│ listpack, in the order │──▶│ hash table                 │
//!  │ (see `intset.rs`)  │   │ of arrival             │   │ (see `hashtable.rs`)       │
//!  └────────┬───────────┘   └────────────────────────┘   └─────────────▲──────────────┘
//!           └──────────────────────────────────────────────────────────┘
//! ```
//!
//! When a set changes its form is Redis's rule to the letter (`t_set.c`), since OBJECT ENCODING shows it. A set never changes back, with one
//! exception: a stored result that has only integers becomes an intset.

use std::{collections::HashSet, ops::ControlFlow};

use crate::{
    Collection, Encoding, ValueType,
    allocation::{HEAVY_BYTES_MIN, size_class},
    collection::any_collection,
    element_prefetch::ElementPrefetch,
    hashtable::Hashtable,
    intset::{self, Intset, Width},
    listpack::{self, Element, Listpack},
    number::parse_i64,
    spine,
};

/// The settings that decide about a set's form. Their names in the configuration are `set-max-…`.
#[derive(Clone, Copy, Debug)]
pub struct SetLimits {
    /// `set-max-intset-entries`: the most members of an intset.
    pub intset_entries_max: usize,
    /// `set-max-listpack-entries`: the most members of a listpack.
    pub listpack_entries_max: usize,
    /// `set-max-listpack-value`: the longest member of a listpack, in bytes.
    pub listpack_value_bytes_max: usize,
}

impl SetLimits {
    /// An intset never has more members than this, whatever the configuration says. (Redis: `intsetMaxEntries`)
    const INTSET_ENTRIES_MAX: usize = 1 << 30;
    /// A listpack never grows beyond this, whatever the configuration says. (Redis: `LISTPACK_MAX_SAFETY_LIMIT`)
    const LISTPACK_BYTES_MAX: usize = 1 << 30;

    fn intset_entries_max(&self) -> usize {
        self.intset_entries_max.min(Self::INTSET_ENTRIES_MAX)
    }
}

/// A set, for editing.
pub enum Set {
    /// An intset.
    Ints {
        /// The width of the members.
        width: Width,
        /// The members; see [`Intset`].
        bytes: Vec<u8>,
    },
    /// A listpack of members.
    Listpack(Vec<u8>),
    /// A hash table whose keys are the members.
    Table(Box<Hashtable>),
}

/// A set, for reading.
#[derive(Clone, Copy)]
pub enum SetView<'a> {
    /// An intset.
    Ints(Intset<'a>),
    /// A listpack of members.
    Listpack(Listpack<'a>),
    /// A hash table whose keys are the members.
    Table(&'a Hashtable),
}

/// The packed form of a listpack; see [`Collection::view_packed`]. The forms of intsets are indices into [`WIDTHS`].
const LISTPACK_FORM: u8 = 3;
const WIDTHS: [Width; 3] = [Width::Two, Width::Four, Width::Eight];

impl Default for Set {
    fn default() -> Set {
        Set::Ints { width: Width::Two, bytes: Vec::new() }
    }
}

impl Set {
    /// Makes an empty set in the form that suits `members` members, of which `first` is the first. (Redis: `setTypeCreate`)
    pub fn suiting(first: &[u8], members: usize, limits: &SetLimits) -> Set {
        if members <= limits.intset_entries_max() && parse_i64(first).is_some() {
            Set::default()
        } else if members <= limits.listpack_entries_max {
            Set::Listpack(Vec::new())
        } else {
            Set::Table(Box::default())
        }
    }

    /// Makes an empty set that is a listpack.
    pub fn empty_listpack() -> Set {
        Set::Listpack(Vec::new())
    }

    /// Makes a set of a listpack of members. Returns `None` if they are not all different. As on Redis, only their number decides whether
    /// the set becomes a hash table.
    pub fn from_listpack(run: Vec<u8>, limits: &SetLimits) -> Option<Set> {
        if !Listpack(&run).has_distinct_groups(1) {
            return None;
        }
        let is_large = Listpack(&run).len() > limits.listpack_entries_max;
        let mut set = Set::Listpack(run);
        if is_large {
            set.make_table();
        }
        Some(set)
    }

    /// Makes a set of the bytes of an intset. Returns `None` if the members are not in ascending order.
    pub fn from_intset(width: Width, bytes: Vec<u8>, limits: &SetLimits) -> Option<Set> {
        if !bytes.len().is_multiple_of(width.bytes()) {
            return None;
        }
        let ints = Intset::new(width, &bytes);
        if !ints.iter().is_sorted_by(|left, right| left < right) {
            return None;
        }
        let is_large = ints.len() > limits.intset_entries_max();
        let mut set = Set::Ints { width, bytes };
        if is_large {
            set.make_table();
        }
        Some(set)
    }

    /// Converts the set to a hash table at once if `members` members, which are about to be added, are more than its packed form may have.
    /// (Redis: `setTypeMaybeConvert`)
    pub fn prepare(&mut self, members: usize, limits: &SetLimits) {
        let packed_max = match self {
            Set::Ints { .. } => limits.intset_entries_max(),
            Set::Listpack(_) => limits.listpack_entries_max,
            Set::Table(_) => return,
        };
        if members > packed_max {
            self.make_table();
        }
    }

    /// Adds a member. Returns whether it is new.
    pub fn add(&mut self, member: &[u8], limits: &SetLimits) -> bool {
        match self {
            Set::Table(table) => table.insert(member, b""),
            Set::Listpack(bytes) => {
                if Listpack(bytes).find(member, 0).is_some() {
                    return false;
                }
                if listpack_admits(bytes, member, limits) {
                    listpack::push_back(bytes, member);
                    return true;
                }
                self.make_table().insert(member, b"")
            }
            Set::Ints { width, bytes } => match parse_i64(member) {
                Some(integer) => {
                    let is_new = intset::insert(width, bytes, integer);
                    if is_new && Intset::new(*width, bytes).len() > limits.intset_entries_max() {
                        self.make_table();
                    }
                    is_new
                }
                None => {
                    if ints_admit(Intset::new(*width, bytes), member, limits) {
                        listpack::push_back(self.make_listpack(), member);
                    } else {
                        self.make_table().insert(member, b"");
                    }
                    true
                }
            },
        }
    }

    /// Adds a member of another set. Returns whether it is new.
    pub fn add_element(&mut self, member: Element<'_>, limits: &SetLimits) -> bool {
        self.add(member.as_bytes(&mut itoa::Buffer::new()), limits)
    }

    /// Removes a member. Returns whether it was there.
    pub fn remove(&mut self, member: &[u8]) -> bool {
        match self {
            Set::Table(table) => table.remove(member),
            Set::Listpack(bytes) => {
                let found = Listpack(bytes).find(member, 0);
                if let Some(offset) = found {
                    listpack::remove(bytes, offset);
                }
                found.is_some()
            }
            Set::Ints { width, bytes } => {
                parse_i64(member).is_some_and(|integer| intset::remove(*width, bytes, integer))
            }
        }
    }

    /// Removes a random member, each with the same probability. Returns what `take` made of it, or `None` if the set is empty.
    pub fn pop_random<R>(
        &mut self,
        random: &mut impl FnMut() -> u64,
        take: impl FnOnce(Element<'_>) -> R,
    ) -> Option<R> {
        match self {
            Set::Table(table) => table.pop_random(random, |record| take(Element::Bytes(record.key))),
            Set::Listpack(bytes) => {
                let count = Listpack(bytes).len();
                let offset = Listpack(bytes).nth_of(spine::below(count, random()), count)?;
                let taken = take(Listpack(bytes).get(offset));
                listpack::remove(bytes, offset);
                Some(taken)
            }
            Set::Ints { width, bytes } => {
                let set = Intset::new(*width, bytes);
                if set.is_empty() {
                    return None;
                }
                let rank = spine::below(set.len(), random());
                let taken = take(Element::Int(set.get(rank)));
                intset::remove_at(*width, bytes, rank);
                Some(taken)
            }
        }
    }

    /// Removes `count` random members, or all if there are fewer. `take` is called for each of them.
    pub fn pop_many(&mut self, count: usize, random: &mut impl FnMut() -> u64, mut take: impl FnMut(Element<'_>)) {
        match self {
            Set::Table(table) => {
                for _ in 0..count.min(table.len()) {
                    table.pop_random(random, |record| take(Element::Bytes(record.key)));
                }
            }
            // One pass over the listpack, whatever the count.
            Set::Listpack(bytes) => {
                let set = Listpack(bytes);
                let mut kept = Vec::with_capacity(bytes.len());
                let mut drawn = Draw::new(count, set.len());
                let mut offset = 0;
                while offset < bytes.len() {
                    let end = set.end_of(offset);
                    if drawn.draws(random) {
                        take(set.get(offset));
                    } else {
                        kept.extend_from_slice(&bytes[offset..end]);
                    }
                    offset = end;
                }
                *bytes = kept;
            }
            Set::Ints { width, bytes } => {
                let set = Intset::new(*width, bytes);
                let mut kept = Vec::with_capacity(bytes.len());
                let mut drawn = Draw::new(count, set.len());
                for (integer, own) in set.iter().zip(bytes.chunks_exact(width.bytes())) {
                    if drawn.draws(random) {
                        take(Element::Int(integer));
                    } else {
                        kept.extend_from_slice(own);
                    }
                }
                *bytes = kept;
            }
        }
    }

    /// Converts the set to an intset if all its members are integers and not too many. (Redis: `maybeConvertToIntset`)
    pub fn convert_to_intset(&mut self, limits: &SetLimits) {
        let view = self.view();
        if matches!(view, SetView::Ints(_)) || view.len() > limits.intset_entries_max() {
            return;
        }
        let (mut width, mut bytes) = (Width::Two, Vec::new());
        for member in view.iter() {
            let integer = match member {
                Element::Int(integer) => Some(integer),
                Element::Bytes(text) => parse_i64(text),
            };
            let Some(integer) = integer else { return };
            intset::insert(&mut width, &mut bytes, integer);
        }
        *self = Set::Ints { width, bytes };
    }

    fn make_table(&mut self) -> &mut Hashtable {
        let mut table = Box::<Hashtable>::default();
        let mut text = itoa::Buffer::new();
        for member in self.view().iter() {
            table.insert(member.as_bytes(&mut text), b"");
        }
        *self = Set::Table(table);
        let Set::Table(table) = self else { unreachable!("the set was just made a table") };
        table
    }

    fn make_listpack(&mut self) -> &mut Vec<u8> {
        let mut bytes = Vec::new();
        for member in self.view().iter() {
            match member {
                Element::Int(integer) => listpack::push_back_int(&mut bytes, integer),
                Element::Bytes(text) => listpack::push_back(&mut bytes, text),
            }
        }
        *self = Set::Listpack(bytes);
        let Set::Listpack(bytes) = self else { unreachable!("the set was just made a listpack") };
        bytes
    }
}

/// Returns whether a listpack may take another member.
fn listpack_admits(bytes: &[u8], member: &[u8], limits: &SetLimits) -> bool {
    // An element takes at least two bytes, so that the elements of most listpacks need not be counted.
    let has_room = bytes.len() / 2 < limits.listpack_entries_max || Listpack(bytes).len() < limits.listpack_entries_max;
    has_room
        && member.len() <= limits.listpack_value_bytes_max
        && bytes.len() + member.len() < SetLimits::LISTPACK_BYTES_MAX
}

/// Returns whether an intset may become a listpack with another member, which is no integer.
fn ints_admit(set: Intset<'_>, member: &[u8], limits: &SetLimits) -> bool {
    let text_len = |rank: usize| itoa::Buffer::new().format(set.get(rank)).len();
    let longest = if set.is_empty() { 0 } else { text_len(0).max(text_len(set.len() - 1)) };
    set.len() < limits.listpack_entries_max
        && member.len().max(longest) <= limits.listpack_value_bytes_max
        && set.len() * longest + member.len() < SetLimits::LISTPACK_BYTES_MAX
}

/// Selection sampling: draws `wanted` of `left` items that come one after the other. All selections have the same probability. (Knuth's
/// algorithm S)
struct Draw {
    wanted: usize,
    left: usize,
}

impl Draw {
    fn new(wanted: usize, left: usize) -> Draw {
        Draw { wanted: wanted.min(left), left }
    }

    /// Returns whether the next item is drawn.
    fn draws(&mut self, random: &mut impl FnMut() -> u64) -> bool {
        let draws = spine::below(self.left, random()) < self.wanted;
        self.wanted -= usize::from(draws);
        self.left -= 1;
        draws
    }
}

impl<'a> SetView<'a> {
    /// Returns the number of members.
    pub fn len(self) -> usize {
        match self {
            SetView::Ints(set) => set.len(),
            SetView::Listpack(set) => set.len(),
            SetView::Table(table) => table.len(),
        }
    }

    /// Returns whether there are no members.
    pub fn is_empty(self) -> bool {
        match self {
            SetView::Ints(set) => set.is_empty(),
            SetView::Listpack(set) => set.is_empty(),
            SetView::Table(table) => table.is_empty(),
        }
    }

    /// Returns whether the set has the member.
    #[inline]
    pub fn contains(self, member: &[u8]) -> bool {
        match self {
            SetView::Ints(set) => parse_i64(member).is_some_and(|integer| set.contains(integer)),
            SetView::Listpack(set) => set.find(member, 0).is_some(),
            SetView::Table(table) => table.contains(member),
        }
    }

    /// Returns the members: those of an intset in ascending order, those of a listpack in the order of arrival, those of a table in an
    /// order that changes when the table grows or shrinks.
    pub fn iter(self) -> impl Iterator<Item = Element<'a>> {
        let (mut ints, mut listpack, mut table) = (None, None, None);
        match self {
            SetView::Ints(set) => ints = Some(set),
            SetView::Listpack(set) => listpack = Some(set),
            SetView::Table(set) => table = Some(set),
        }
        let ints = ints.into_iter().flat_map(Intset::iter).map(Element::Int);
        let listpack = listpack.into_iter().flat_map(Listpack::iter).map(|(_, element)| element);
        let table = table.into_iter().flat_map(Hashtable::iter).map(|record| Element::Bytes(record.key));
        ints.chain(listpack).chain(table)
    }

    /// Visits the members that the other set has too, until `visit` breaks. `visit` is given a [`Probe`], with which the member can be
    /// looked up in further sets.
    pub fn walk_common(
        self,
        other: SetView<'_>,
        mut visit: impl FnMut(&mut Probe<'a>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        /// If the other table has more chunks than this for each of its own, it is quicker to look the members up one by one.
        const CHUNKS_MAX: usize = 4;
        match (self, other) {
            (SetView::Table(own), SetView::Table(other)) if other.chunks() <= CHUNKS_MAX * own.chunks() => {
                own.walk_common(other, |record| visit(&mut Probe::new(Element::Bytes(record.key))))
            }
            _ => self.iter().map(Probe::new).try_for_each(|mut probe| {
                if probe.is_in(other) { visit(&mut probe) } else { ControlFlow::Continue(()) }
            }),
        }
    }

    /// Returns a random member, each with the same probability, or `None` if the set is empty.
    pub fn random(self, random: &mut impl FnMut() -> u64) -> Option<Element<'a>> {
        match self {
            SetView::Table(table) => table.random(random).map(|record| Element::Bytes(record.key)),
            SetView::Ints(set) if set.is_empty() => None,
            SetView::Ints(set) => Some(Element::Int(set.get(spine::below(set.len(), random())))),
            SetView::Listpack(set) => {
                let count = set.len();
                set.nth_of(spine::below(count, random()), count).map(|offset| set.get(offset))
            }
        }
    }

    /// Visits `count` different random members, or all if there are fewer.
    pub fn sample(self, count: usize, random: &mut impl FnMut() -> u64, mut visit: impl FnMut(Element<'a>)) {
        /// A table that has more members than this for each wanted one is drawn from at random; a smaller one is walked over.
        const SPARSE: usize = 8;
        match self {
            SetView::Table(table) if count < table.len() / SPARSE => {
                let mut drawn = HashSet::with_capacity(count);
                while drawn.len() < count {
                    let Some(record) = table.random(random) else { return };
                    if drawn.insert(record.key) {
                        visit(Element::Bytes(record.key));
                    }
                }
            }
            _ => {
                let mut drawn = Draw::new(count, self.len());
                self.iter().filter(|_| drawn.draws(random)).for_each(visit);
            }
        }
    }

    /// Visits `count` random members, each drawn from all, so that one may be visited several times.
    pub fn sample_repeated(
        self,
        count: usize,
        random: &mut impl FnMut() -> u64,
        mut visit: impl FnMut(Element<'a>) -> ControlFlow<()>,
    ) {
        match self {
            // An element of a listpack is found by walking over those before it. The walk is done once for all draws.
            SetView::Listpack(set) if count > 1 => {
                let members: Vec<Element<'a>> = set.iter().map(|(_, member)| member).collect();
                let _ = (0..count).try_for_each(|_| visit(members[spine::below(members.len(), random())]));
            }
            _ => {
                let _ = (0..count).filter_map(|_| self.random(random)).try_for_each(visit);
            }
        }
    }

    /// As [`Hashtable::scan`]. A packed set is visited as a whole by one call.
    pub fn scan(self, cursor: u64, count: usize, mut visit: impl FnMut(Element<'a>)) -> u64 {
        match self {
            SetView::Table(table) => table.scan(cursor, count, |record| visit(Element::Bytes(record.key))),
            _ => {
                self.iter().for_each(visit);
                0
            }
        }
    }
}

/// A member that is looked up in several sets. Its text and its hash are computed once.
pub struct Probe<'a> {
    member: Element<'a>,
    text: itoa::Buffer,
    hash: Option<u64>,
}

impl<'a> Probe<'a> {
    /// Makes a probe for a member.
    pub fn new(member: Element<'a>) -> Probe<'a> {
        Probe { member, text: itoa::Buffer::new(), hash: None }
    }

    /// Returns the member.
    pub fn member(&self) -> Element<'a> {
        self.member
    }

    /// Returns whether a set has the member.
    #[inline]
    pub fn is_in(&mut self, set: SetView<'_>) -> bool {
        match set {
            SetView::Ints(set) => match self.member {
                Element::Int(integer) => set.contains(integer),
                Element::Bytes(text) => parse_i64(text).is_some_and(|integer| set.contains(integer)),
            },
            SetView::Listpack(set) => set.find(self.member.as_bytes(&mut self.text), 0).is_some(),
            SetView::Table(table) => {
                let (hash, text) = self.hashed();
                table.contains_hashed(hash, text)
            }
        }
    }

    /// Returns the member's hash, which is computed once, and its text.
    #[inline]
    fn hashed(&mut self) -> (u64, &[u8]) {
        let text = self.member.as_bytes(&mut self.text);
        (*self.hash.get_or_insert_with(|| spine::hash(text)), text)
    }
}

/// Members of several sets, each once.
#[derive(Default)]
pub struct Members(Hashtable);

impl Members {
    /// Adds a member. Returns whether it is new.
    pub fn add(&mut self, member: &mut Probe<'_>) -> bool {
        let (hash, text) = member.hashed();
        self.0.insert_hashed(hash, text, b"")
    }

    /// Returns whether a member was added.
    pub fn contains(&self, member: &mut Probe<'_>) -> bool {
        let (hash, text) = member.hashed();
        self.0.contains_hashed(hash, text)
    }
}

impl Collection for Set {
    const TYPE: ValueType = ValueType::Set;
    type View<'a> = SetView<'a>;

    any_collection!(Set);

    #[inline]
    fn view(&self) -> SetView<'_> {
        match self {
            Set::Ints { width, bytes } => SetView::Ints(Intset::new(*width, bytes)),
            Set::Listpack(bytes) => SetView::Listpack(Listpack(bytes)),
            Set::Table(table) => SetView::Table(table),
        }
    }

    #[inline]
    fn view_packed(form: u8, bytes: &[u8]) -> SetView<'_> {
        match form {
            LISTPACK_FORM => SetView::Listpack(Listpack(bytes)),
            width => SetView::Ints(Intset::new(WIDTHS[width as usize], bytes)),
        }
    }

    #[inline]
    fn packed(&self) -> Option<(u8, &[u8])> {
        match self {
            Set::Ints { width, bytes } => Some((*width as u8, bytes)),
            Set::Listpack(bytes) => Some((LISTPACK_FORM, bytes)),
            Set::Table(_) => None,
        }
    }

    #[inline]
    fn from_packed(form: u8, bytes: Vec<u8>) -> Set {
        match form {
            LISTPACK_FORM => Set::Listpack(bytes),
            width => Set::Ints { width: WIDTHS[width as usize], bytes },
        }
    }

    #[inline]
    fn into_packed(self) -> Result<(u8, Vec<u8>), Set> {
        match self {
            Set::Ints { width, bytes } => Ok((width as u8, bytes)),
            Set::Listpack(bytes) => Ok((LISTPACK_FORM, bytes)),
            Set::Table(_) => Err(self),
        }
    }

    fn is_empty(&self) -> bool {
        self.view().is_empty()
    }

    fn encoding(view: SetView<'_>) -> Encoding {
        match view {
            SetView::Ints(_) => Encoding::Intset,
            SetView::Listpack(_) => Encoding::Listpack,
            SetView::Table(_) => Encoding::Hashtable,
        }
    }

    fn memory_usage(&self) -> usize {
        match self {
            Set::Ints { bytes, .. } | Set::Listpack(bytes) => size_class(bytes.capacity()),
            Set::Table(table) => size_of::<Hashtable>() + table.memory_usage(),
        }
    }

    fn is_heavy(&self) -> bool {
        match self {
            Set::Ints { bytes, .. } | Set::Listpack(bytes) => bytes.capacity() >= HEAVY_BYTES_MIN,
            Set::Table(table) => table.is_heavy(),
        }
    }

    #[inline]
    fn prefetch_element(&self, element: &[u8]) -> Option<ElementPrefetch<'_>> {
        match self {
            Set::Table(table) => Some(ElementPrefetch::Table(table.prefetch_lookup(element))),
            _ => None,
        }
    }

    fn duplicate(view: SetView<'_>) -> Set {
        match view {
            SetView::Ints(set) => Set::Ints { width: set.width(), bytes: set.bytes().to_vec() },
            SetView::Listpack(set) => Set::Listpack(set.0.to_vec()),
            SetView::Table(table) => Set::Table(Box::new(table.clone())),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    const LIMITS: SetLimits =
        SetLimits { intset_entries_max: 20, listpack_entries_max: 10, listpack_value_bytes_max: 12 };

    fn random_numbers(seed: u64) -> impl FnMut() -> u64 {
        let mut state = seed;
        move || {
            state = state.wrapping_add(1);
            spine::hash(&state.to_le_bytes())
        }
    }

    fn of(members: &[&str]) -> Set {
        let mut set = Set::suiting(members[0].as_bytes(), 1, &LIMITS);
        members.iter().for_each(|member| _ = set.add(member.as_bytes(), &LIMITS));
        set
    }

    fn members(set: &Set) -> BTreeSet<Vec<u8>> {
        set.view().iter().map(|member| member.to_vec()).collect()
    }

    fn encoding(set: &Set) -> Encoding {
        Set::encoding(set.view())
    }

    #[test]
    fn forms_change_as_on_redis() {
        let ints = |count: usize| -> Set {
            let texts: Vec<String> = (0..count).map(|number| number.to_string()).collect();
            of(&texts.iter().map(String::as_str).collect::<Vec<_>>())
        };
        assert_eq!(encoding(&ints(20)), Encoding::Intset);
        assert_eq!(encoding(&ints(21)), Encoding::Hashtable);
        let with_text = |mut set: Set, text: &str| {
            set.add(text.as_bytes(), &LIMITS);
            encoding(&set)
        };
        assert_eq!(with_text(ints(9), "a"), Encoding::Listpack);
        assert_eq!(with_text(ints(10), "a"), Encoding::Hashtable);
        assert_eq!(with_text(ints(3), "more than twelve"), Encoding::Hashtable);
        assert_eq!(with_text(of(&["1234567890123"]), "a"), Encoding::Hashtable);
        assert_eq!(encoding(&of(&["a", "01", "1"])), Encoding::Listpack);
        assert_eq!(encoding(&Set::suiting(b"1", 21, &LIMITS)), Encoding::Hashtable);
        assert_eq!(encoding(&Set::suiting(b"a", 10, &LIMITS)), Encoding::Listpack);
        let mut prepared = of(&["a"]);
        prepared.prepare(11, &LIMITS);
        assert_eq!((encoding(&prepared), prepared.view().len()), (Encoding::Hashtable, 1));
        let mut result = of(&["a", "1", "2"]);
        result.convert_to_intset(&LIMITS);
        assert_eq!(encoding(&result), Encoding::Listpack);
        result.remove(b"a");
        result.convert_to_intset(&LIMITS);
        assert_eq!(encoding(&result), Encoding::Intset);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Add(String),
        Remove(String),
        Pop,
        PopMany(usize),
        PackAndUnpack,
    }

    fn member() -> impl Strategy<Value = String> {
        prop_oneof![
            6 => (0..40i32).prop_map(|number| number.to_string()),
            2 => (0..12i32).prop_map(|number| format!("m{number}")),
            1 => any::<i64>().prop_map(|number| number.to_string()),
            1 => prop::sample::select(vec!["", "01", "-0", " 1", "somewhat longer", "9223372036854775808"])
                .prop_map(str::to_owned),
        ]
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            10 => member().prop_map(Step::Add),
            4 => member().prop_map(Step::Remove),
            1 => Just(Step::Pop),
            1 => (0..6usize).prop_map(Step::PopMany),
            1 => Just(Step::PackAndUnpack),
        ]
    }

    proptest! {
        #[test]
        fn does_what_a_set_does(steps in prop::collection::vec(step(), 1..100), seed: u64) {
            let (mut set, mut model) = (Set::default(), BTreeSet::new());
            let mut random = random_numbers(seed);
            for step in steps {
                match step {
                    Step::Add(member) => {
                        prop_assert_eq!(set.add(member.as_bytes(), &LIMITS), model.insert(member.into_bytes()));
                    }
                    Step::Remove(member) => {
                        prop_assert_eq!(set.remove(member.as_bytes()), model.remove(member.as_bytes()));
                    }
                    Step::Pop => match set.pop_random(&mut random, |member| member.to_vec()) {
                        Some(member) => prop_assert!(model.remove(&member)),
                        None => prop_assert!(model.is_empty()),
                    },
                    Step::PopMany(count) => {
                        let mut popped = Vec::new();
                        set.pop_many(count, &mut random, |member| popped.push(member.to_vec()));
                        prop_assert_eq!(popped.len(), count.min(model.len()));
                        for member in popped {
                            prop_assert!(model.remove(&member));
                        }
                    }
                    Step::PackAndUnpack => {
                        set = match set.into_packed() {
                            Ok((form, bytes)) => Set::from_packed(form, bytes),
                            Err(set) => set,
                        };
                    }
                }
                prop_assert_eq!(set.view().len(), model.len());
            }
            prop_assert_eq!(&members(&set), &model);
            prop_assert_eq!(members(&Set::duplicate(set.view())), model.clone());
            for member in &model {
                prop_assert!(set.view().contains(member));
                prop_assert!(Probe::new(Element::of(member)).is_in(set.view()));
            }
            prop_assert!(!set.view().contains(b"nothing"));
            let mut sampled = BTreeSet::new();
            set.view().sample(7, &mut random, |member| assert!(sampled.insert(member.to_vec())));
            prop_assert_eq!(sampled.len(), model.len().min(7));
            prop_assert!(sampled.is_subset(&model));
        }
    }

    #[test]
    fn samples_are_fair() {
        for size in [8, 15, 200] {
            let set = of(&(0..size)
                .map(|number| format!("{number}x"))
                .collect::<Vec<_>>()
                .iter()
                .map(String::as_str)
                .collect::<Vec<_>>());
            let mut random = random_numbers(size);
            let mut drawn = std::collections::HashMap::new();
            let rounds = 2000 * size / 4;
            for _ in 0..rounds {
                set.view().sample(4, &mut random, |member| *drawn.entry(member.to_vec()).or_insert(0) += 1);
            }
            assert_eq!(drawn.len(), size as usize);
            // 2000 draws of each are expected, with a standard deviation of less than 45.
            assert!(drawn.values().all(|count| (1780..2220).contains(count)), "{size}: {drawn:?}");
        }
    }
}
