//! SORT: sorts the elements of a list, a set or a sorted set, by themselves or by the values of other keys.
//!
//! The names of the other keys follow from the elements. With a BY or GET pattern, SORT therefore has the whole keyspace to itself.

use std::{borrow::Cow, cmp::Ordering, ops::Range};

use ochre_datatypes::{
    ValueType,
    hash::Hash,
    list::{List, ListLimits, ListView},
    listpack::Element,
    number::{parse_i64, parse_score_bound},
    set::{Set, SetView},
    sorted_set::{SortedSet, SortedSetLimits, SortedSetView},
};
use ochre_keyspace::{EntryRef, Missing, ValueRef, Writer};
use ochre_resp::{Args, ReplyWriter};

use super::{
    CommandError, CommandSpec, Flags, Handler,
    context::{KeyedWrite, Outcome, Run},
    elements::{reply_element, reply_element_or_null},
    error::until_zero,
    lists,
    permissions::Asked,
    table::{BeginSearch, Category, FindKeys, Group, KeyFlags, KeySpec},
};
use crate::{core::Core, events::NotifyClass, journal::Position, notify};

/// The rows of SORT and SORT_RO.
pub const ROWS: &[CommandSpec] = &[
    CommandSpec {
        name: "sort",
        flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::MOVABLE_KEYS),
        keys: &[
            SORTED_KEY,
            PATTERN_KEYS,
            KeySpec {
                notes: Some(
                    "For the optional STORE keyword. It is marked 'unknown' because the keyword can appear anywhere in \
                     the argument array",
                ),
                flags: KeyFlags::OW.union(KeyFlags::UPDATE),
                ..PATTERN_KEYS
            },
        ],
        unspecified_keys: Some(visit_stored_key),
        touches_unnamed_keys: Some(|args| Request::parse(args, true).is_ok_and(|request| request.reads_other_keys())),
        since: "1.0.0",
        summary: "Sorts the elements of a list, a set or a sorted set, and returns or stores them.",
        syntax: "key [BY by-pattern:pattern] [LIMIT (offset:integer count:integer)] [GET get-pattern:pattern]... \
                 [ASC|DESC] [ALPHA] [STORE destination:key]",
        handler: Handler::Write(|cx| sort(cx, true)),
        ..SORT
    },
    CommandSpec {
        name: "sort_ro",
        flags: Flags::READONLY.union(Flags::MOVABLE_KEYS),
        keys: &[SORTED_KEY, PATTERN_KEYS],
        touches_unnamed_keys: Some(|args| Request::parse(args, false).is_ok_and(|request| request.reads_other_keys())),
        since: "7.0.0",
        summary: "Sorts the elements of a list, a set or a sorted set, and returns them.",
        syntax: "key [BY by-pattern:pattern] [LIMIT (offset:integer count:integer)] [GET get-pattern:pattern]... \
                 [ASC|DESC] [ALPHA]",
        // It is no reader, since it changes the encoding of a sorted set.
        handler: Handler::Write(|cx| sort(cx, false)),
        ..SORT
    },
];

const SORT: CommandSpec = CommandSpec {
    arity: -2,
    categories: Category::SET.union(Category::SORTEDSET).union(Category::LIST).union(Category::DANGEROUS),
    group: Group::Generic,
    complexity: "O(N+M*log(M)) with N elements, of which M are sorted",
    ..CommandSpec::DEFAULT
};

const SORTED_KEY: KeySpec = KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS));
const PATTERN_KEYS: KeySpec = KeySpec {
    flags: KeyFlags::RO.union(KeyFlags::ACCESS),
    begin: BeginSearch::Unknown,
    find: FindKeys::Unknown,
    notes: Some(
        "For the optional BY/GET keyword. It is marked 'unknown' because the key names derive from the content of the \
         key we sort",
    ),
};

/// The options of the request.
struct Request<'a> {
    is_descending: bool,
    /// ALPHA: sort by text rather than by number.
    is_alpha: bool,
    offset: i64,
    /// The most elements to return; negative for all.
    count: i64,
    by: Option<Pattern<'a>>,
    get: Vec<Pattern<'a>>,
    /// The index of the key at which the result is stored.
    store: Option<usize>,
}

impl<'a> Request<'a> {
    fn parse(args: Args<'a>, may_store: bool) -> Result<Request<'a>, CommandError> {
        let mut request = Request {
            is_descending: false,
            is_alpha: false,
            offset: 0,
            count: -1,
            by: None,
            get: Vec::new(),
            store: None,
        };
        let integer = |index| parse_i64(args.get(index)).ok_or(CommandError::NOT_AN_INTEGER);
        let mut index = 2;
        while index < args.len() {
            let is = |word: &str| args.get(index).eq_ignore_ascii_case(word.as_bytes());
            let remaining = args.len() - index - 1;
            if is("ASC") {
                request.is_descending = false;
            } else if is("DESC") {
                request.is_descending = true;
            } else if is("ALPHA") {
                request.is_alpha = true;
            } else if is("LIMIT") && remaining >= 2 {
                (request.offset, request.count) = (integer(index + 1)?, integer(index + 2)?);
                index += 2;
            } else if is("STORE") && may_store && remaining >= 1 {
                request.store = Some(index + 1);
                index += 1;
            } else if is("BY") && remaining >= 1 {
                request.by = Some(Pattern::new(args.get(index + 1)));
                index += 1;
            } else if is("GET") && remaining >= 1 {
                request.get.push(Pattern::new(args.get(index + 1)));
                index += 1;
            } else {
                return Err(CommandError::SYNTAX);
            }
            index += 1;
        }
        Ok(request)
    }

    /// Whether it reads other keys than the sorted one.
    fn reads_other_keys(&self) -> bool {
        self.by.iter().chain(&self.get).any(|pattern| matches!(pattern, Pattern::Key { .. }))
    }

    /// The range of the sorted elements that is returned, of `len` elements in all.
    fn limits(&self, len: usize) -> Range<usize> {
        let start = usize::try_from(self.offset).unwrap_or(0).min(len);
        let count = usize::try_from(self.count).unwrap_or(usize::MAX).min(len - start);
        start..start + count
    }
}

/// Visits the key after STORE.
fn visit_stored_key(args: Args<'_>, visit: &mut dyn FnMut(usize, KeyFlags)) {
    let found = match Request::parse(args, true) {
        Ok(request) => request.store,
        Err(_) => stored_key_despite_errors(args),
    };
    found.into_iter().for_each(|index| visit(index, KeyFlags::OW.union(KeyFlags::UPDATE)));
}

/// The index of the key that COMMAND GETKEYS returns for a request that SORT would refuse. (Redis: `sortGetKeys`)
fn stored_key_despite_errors(args: Args<'_>) -> Option<usize> {
    let (mut index, mut found) = (2, None);
    while index < args.len() {
        let is = |word: &str| args.get(index).eq_ignore_ascii_case(word.as_bytes());
        if is("LIMIT") {
            index += 2;
        } else if is("GET") || is("BY") {
            index += 1;
        } else if is("STORE") && index + 1 < args.len() {
            found = Some(index + 1);
        }
        index += 1;
    }
    found
}

/// The pattern of BY or GET.
enum Pattern<'a> {
    /// `#`: the element itself.
    Element,
    /// A pattern without `*`: it stands for nothing. As BY, it means not to sort.
    Constant,
    /// The name of a key, with the element between the two parts, and a field if the value is in a hash.
    Key { before: &'a [u8], after: &'a [u8], field: Option<&'a [u8]> },
}

impl<'a> Pattern<'a> {
    fn new(text: &'a [u8]) -> Pattern<'a> {
        // Redis searches up to the first zero byte, like C.
        let Some(star) = until_zero(text).iter().position(|&byte| byte == b'*') else {
            return if text == b"#" { Pattern::Element } else { Pattern::Constant };
        };
        let (before, after) = (&text[..star], &text[star + 1..]);
        let arrow = until_zero(after).windows(2).position(|pair| pair == b"->");
        match arrow.filter(|at| !until_zero(&after[at + 2..]).is_empty()) {
            Some(at) => Pattern::Key { before, after: &after[..at], field: Some(&after[at + 2..]) },
            None => Pattern::Key { before, after, field: None },
        }
    }
}

/// The collection to sort.
#[derive(Clone, Copy)]
enum Source<'v> {
    None,
    List(ListView<'v>),
    Set(SetView<'v>),
    SortedSet(SortedSetView<'v>),
}

impl<'v> Source<'v> {
    fn of(entry: Option<EntryRef<'v>>) -> Result<Source<'v>, CommandError> {
        let Some(entry) = entry else { return Ok(Source::None) };
        Ok(match entry.value_type() {
            ValueType::List => Source::List(entry.collection::<List>()?),
            ValueType::Set => Source::Set(entry.collection::<Set>()?),
            ValueType::SortedSet => Source::SortedSet(entry.collection::<SortedSet>()?),
            _ => return Err(CommandError::WRONG_TYPE),
        })
    }

    fn len(self) -> usize {
        match self {
            Source::None => 0,
            Source::List(list) => list.len(),
            Source::Set(set) => set.len(),
            Source::SortedSet(sorted_set) => sorted_set.len(),
        }
    }

    /// A range of the elements, unsorted.
    fn elements(self, range: Range<usize>, is_reverse: bool) -> Vec<Element<'v>> {
        let mut elements = Vec::with_capacity(range.len());
        match self {
            _ if range.is_empty() => {}
            Source::None => {}
            Source::List(list) => {
                let first = if is_reverse { list.len() - 1 - range.start } else { range.start };
                elements.extend(list.iter_from(first, is_reverse).take(range.len()));
            }
            Source::Set(set) => elements.extend(set.iter().skip(range.start).take(range.len())),
            Source::SortedSet(sorted_set) => {
                let len = sorted_set.len();
                let ranks = if is_reverse { len - range.end..len - range.start } else { range };
                let _ = sorted_set.walk(ranks, is_reverse, |_, member| {
                    elements.push(member);
                    std::ops::ControlFlow::Continue(())
                });
            }
        }
        elements
    }
}

/// Looks up the values of patterns.
struct Lookup<'v> {
    keys: &'v Writer<'v>,
    core: &'v Core,
    database: usize,
    now_ms: i64,
}

impl<'v> Lookup<'v> {
    /// The value of a pattern for an element. (Redis: `lookupKeyByPattern`)
    fn value(&self, pattern: &Pattern<'_>, element: Element<'v>) -> Option<Element<'v>> {
        let (before, after, field) = match pattern {
            Pattern::Element => return Some(element),
            Pattern::Constant => return None,
            Pattern::Key { before, after, field } => (before, after, field),
        };
        let key = [before, element.as_bytes(&mut itoa::Buffer::new()), after].concat();
        let found = self.keys.get(self.database, self.core.server.keyspace.hash(&key));
        self.core.counters.lookup(found.is_some());
        let Some(entry) = found else {
            notify::publish(self.core, Position::default(), NotifyClass::KEY_MISS, "keymiss", self.database, &key);
            return None;
        };
        match field {
            Some(field) => entry.collection::<Hash>().ok()?.at(self.now_ms).get(field),
            None if entry.value_type() != ValueType::String => None,
            None => Some(match entry.value() {
                ValueRef::Integer(value) => Element::Int(value),
                ValueRef::Bytes(bytes) => Element::Bytes(bytes),
            }),
        }
    }
}

/// An element, and its weight: the value that it is sorted by.
struct Weighed<'v> {
    element: Element<'v>,
    score: f64,
    text: Option<Element<'v>>,
}

/// The sorted elements that are returned.
fn sorted<'v>(
    request: &Request<'_>,
    source: Source<'v>,
    lookup: &Lookup<'v>,
) -> Result<Vec<Element<'v>>, CommandError> {
    let len = source.len();
    let range = request.limits(len);
    let by = match &request.by {
        // A constant does not sort. A set that is stored is sorted nevertheless, so that replicas store the same list.
        Some(Pattern::Constant | Pattern::Element) if matches!(source, Source::Set(_)) && request.store.is_some() => {
            return Ok(by_weight(request, true, None, source, lookup)?.drain(range).collect());
        }
        Some(Pattern::Constant | Pattern::Element) => return Ok(source.elements(range, request.is_descending)),
        by => by.as_ref(),
    };
    Ok(by_weight(request, request.is_alpha, by, source, lookup)?.drain(range).collect())
}

fn by_weight<'v>(
    request: &Request<'_>,
    is_alpha: bool,
    by: Option<&Pattern<'_>>,
    source: Source<'v>,
    lookup: &Lookup<'v>,
) -> Result<Vec<Element<'v>>, CommandError> {
    let mut is_no_number = false;
    let weigh = |element: Element<'v>| {
        let weight = by.map_or(Some(element), |pattern| lookup.value(pattern, element));
        let mut weighed = Weighed { element, score: 0.0, text: None };
        if is_alpha {
            weighed.text = weight;
        } else if let Some(weight) = weight {
            match score(weight) {
                Some(score) => weighed.score = score,
                None => is_no_number = true,
            }
        }
        weighed
    };
    let mut elements: Vec<Weighed<'v>> = source.elements(0..source.len(), false).into_iter().map(weigh).collect();
    if is_no_number {
        return Err(CommandError::text("ERR One or more scores can't be converted into double"));
    }
    let compare = |left: &Weighed<'_>, right: &Weighed<'_>| {
        if !is_alpha {
            let order = left.score.partial_cmp(&right.score).unwrap_or(Ordering::Equal);
            return order.then_with(|| compare_texts(left.element, right.element));
        }
        match (left.text, right.text) {
            (Some(left), Some(right)) if request.store.is_some() => compare_texts(left, right),
            (Some(left), Some(right)) => collate(left, right),
            (left, right) => left.is_some().cmp(&right.is_some()),
        }
    };
    if request.is_descending {
        elements.sort_by(|left, right| compare(right, left));
    } else {
        elements.sort_by(compare);
    }
    Ok(elements.into_iter().map(|weighed| weighed.element).collect())
}

/// A weight as a number; `None` if it is none.
fn score(weight: Element<'_>) -> Option<f64> {
    match weight {
        Element::Int(value) => Some(value as f64),
        Element::Bytes(bytes) => parse_score_bound(bytes),
    }
}

/// Compares like C's `strcoll` in the locale "C", which ends texts at a zero byte.
fn collate(left: Element<'_>, right: Element<'_>) -> Ordering {
    let (mut left_text, mut right_text) = (itoa::Buffer::new(), itoa::Buffer::new());
    until_zero(left.as_bytes(&mut left_text)).cmp(until_zero(right.as_bytes(&mut right_text)))
}

fn compare_texts(left: Element<'_>, right: Element<'_>) -> Ordering {
    left.as_bytes(&mut itoa::Buffer::new()).cmp(right.as_bytes(&mut itoa::Buffer::new()))
}

/// Refuses patterns if the user may not read every key, since they may stand for any.
fn check_rights(cx: &KeyedWrite<'_>, request: &Request<'_>) -> Result<(), CommandError> {
    let asked = Asked { command: cx.command, args: cx.args };
    if cx.session.identity.user().is_some_and(|user| user.allows_with_all_keys(&asked)) {
        return Ok(());
    }
    Err(match request.by {
        Some(Pattern::Key { .. }) => {
            CommandError::text("ERR BY option of SORT denied due to insufficient ACL permissions.")
        }
        _ => CommandError::text("ERR GET option of SORT denied due to insufficient ACL permissions."),
    })
}

fn sort(cx: &mut KeyedWrite<'_>, may_store: bool) -> Run {
    let request = Request::parse(cx.args, may_store)?;
    if request.reads_other_keys() {
        check_rights(cx, &request)?;
    }
    let (key, database, limits) = (cx.key(1), cx.db(), lists::limits(cx));
    let value_type = cx.lookup(key).map(EntryRef::value_type);
    if value_type == Some(ValueType::SortedSet) {
        // Redis converts the sorted set to a skiplist, whatever its size, and OBJECT ENCODING shows it.
        let no_listpack = SortedSetLimits { entries_max: 0, member_len_max: 0 };
        // Nothing is announced: the elements stay the same, and Redis announces nothing either.
        let _ = cx.edit::<SortedSet, _>(key, Missing::Skip, |set| set.prepare(1, 0, &no_listpack))?;
    }
    let lookup = Lookup { keys: &cx.keys, core: cx.core, database, now_ms: cx.now_ms };
    let source = Source::of(cx.keys.peek(database, key))?;
    let elements = sorted(&request, source, &lookup)?;
    let Some(store) = request.store else {
        reply_sorted(&mut cx.reply, &request, &elements, &lookup);
        return Ok(Outcome::Done);
    };
    let list = stored(&request, &elements, &lookup, &limits);
    store_list(cx, store, list);
    Ok(Outcome::Done)
}

fn reply_sorted(reply: &mut ReplyWriter<'_>, request: &Request<'_>, elements: &[Element<'_>], lookup: &Lookup<'_>) {
    reply.array(elements.len() * request.get.len().max(1));
    for &element in elements {
        if request.get.is_empty() {
            reply_element(reply, element);
        }
        for pattern in &request.get {
            reply_element_or_null(reply, lookup.value(pattern, element));
        }
    }
}

/// The list to store. A missing value becomes an empty string.
fn stored<'v>(request: &Request<'_>, elements: &[Element<'v>], lookup: &Lookup<'v>, limits: &ListLimits) -> List {
    if request.get.is_empty() {
        return List::from_elements(elements.iter().copied(), limits);
    }
    let values = elements.iter().flat_map(|&element| {
        request.get.iter().map(move |pattern| lookup.value(pattern, element).unwrap_or(Element::Bytes(b"")))
    });
    List::from_elements(values, limits)
}

fn store_list(cx: &mut KeyedWrite<'_>, index: usize, list: List) {
    let destination = cx.key(index);
    let len = list.len();
    // The result is recorded rather than the request, since it depends on other keys.
    cx.journal(|| vec![Cow::Borrowed(b"DEL"), Cow::Borrowed(destination.bytes)]);
    if len > 0 {
        cx.journal(|| {
            let elements = ochre_datatypes::Collection::view(&list).iter().map(|element| Cow::Owned(element.to_vec()));
            [Cow::Borrowed(&b"RPUSH"[..]), Cow::Borrowed(destination.bytes)].into_iter().chain(elements).collect()
        });
    }
    cx.store_result(destination, list, NotifyClass::LIST, "sortstore");
    if len > 0 {
        cx.effects.count_as(len);
    }
    cx.reply.integer(len as i64);
}
