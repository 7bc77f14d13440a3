//! Sorted sets: unions, intersections and differences. A set may be among them; its members have the score 1.

use std::{borrow::Cow, collections::HashMap};

use foldhash::fast::RandomState;
use ochre_datatypes::{
    ValueType,
    listpack::Element,
    number::parse_f64,
    set::{Set, SetView},
    sorted_set::{SortedSet, SortedSetView},
};
use ochre_keyspace::EntryRef;

use super::{Elements, SORTED_SET, counted_keys, limits, member_bytes, store_result};
use crate::commands::{
    CommandError, CommandSpec, Flags, Handler,
    context::{Context, KeyedRead, KeyedWrite, Outcome, Run},
    numbers::not_negative,
    table::{KeyFlags, KeySpec},
};

/// The rows of commands that combine sorted sets.
pub const ROWS: &[CommandSpec] = &[
    CommandSpec {
        name: "zdiff",
        arity: -3,
        flags: Flags::READONLY.union(Flags::MOVABLE_KEYS),
        keys: &[counted_keys(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
        since: "6.2.0",
        complexity: "O(L + (N-K)log(N)) with L elements in all, N in the first and K in the result",
        summary: "Returns the members of the first sorted set that are in none of the others.",
        syntax: "numkeys:integer key... [WITHSCORES]",
        handler: Handler::Read(|cx| combine(cx, Operation::Difference)),
        ..SORTED_SET
    },
    CommandSpec {
        name: "zdiffstore",
        arity: -4,
        flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::MOVABLE_KEYS),
        keys: &[
            KeySpec::one(1, KeyFlags::OW.union(KeyFlags::UPDATE)),
            counted_keys(2, KeyFlags::RO.union(KeyFlags::ACCESS)),
        ],
        since: "6.2.0",
        complexity: "O(L + (N-K)log(N)) with L elements in all, N in the first and K in the result",
        summary: "Stores the members of the first sorted set that are in none of the others.",
        syntax: "destination:key numkeys:integer key...",
        handler: Handler::Write(|cx| combine_and_store(cx, Operation::Difference, "zdiffstore")),
        ..SORTED_SET
    },
    CommandSpec {
        name: "zinter",
        arity: -3,
        flags: Flags::READONLY.union(Flags::MOVABLE_KEYS),
        keys: &[counted_keys(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
        since: "6.2.0",
        complexity: "O(N*K)+O(M*log(M)) with N elements in the smallest of K sorted sets and M in the result",
        summary: "Returns the members that are in all of the sorted sets.",
        syntax: "numkeys:integer key... [WEIGHTS weight:integer...] [AGGREGATE (SUM|MIN|MAX)] [WITHSCORES]",
        handler: Handler::Read(|cx| combine(cx, Operation::Intersection)),
        ..SORTED_SET
    },
    CommandSpec {
        name: "zintercard",
        arity: -3,
        flags: Flags::READONLY.union(Flags::MOVABLE_KEYS),
        keys: &[counted_keys(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
        since: "7.0.0",
        complexity: "O(N*K) with N elements in the smallest of K sorted sets",
        summary: "Returns the number of members that are in all of the sorted sets, up to a limit.",
        syntax: "numkeys:integer key... [LIMIT limit:integer]",
        handler: Handler::Read(zintercard),
        ..SORTED_SET
    },
    CommandSpec {
        name: "zinterstore",
        arity: -4,
        flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::MOVABLE_KEYS),
        keys: &[
            KeySpec::one(1, KeyFlags::OW.union(KeyFlags::UPDATE)),
            counted_keys(2, KeyFlags::RO.union(KeyFlags::ACCESS)),
        ],
        since: "2.0.0",
        complexity: "O(N*K)+O(M*log(M)) with N elements in the smallest of K sorted sets and M in the result",
        summary: "Stores the members that are in all of the sorted sets.",
        syntax: "destination:key numkeys:integer key... [WEIGHTS weight:integer...] [AGGREGATE (SUM|MIN|MAX)]",
        handler: Handler::Write(|cx| combine_and_store(cx, Operation::Intersection, "zinterstore")),
        ..SORTED_SET
    },
    CommandSpec {
        name: "zunion",
        arity: -3,
        flags: Flags::READONLY.union(Flags::MOVABLE_KEYS),
        keys: &[counted_keys(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
        since: "6.2.0",
        complexity: "O(N)+O(M*log(M)) with N elements in all and M in the result",
        summary: "Returns the members that are in any of the sorted sets.",
        syntax: "numkeys:integer key... [WEIGHTS weight:integer...] [AGGREGATE (SUM|MIN|MAX)] [WITHSCORES]",
        handler: Handler::Read(|cx| combine(cx, Operation::Union)),
        ..SORTED_SET
    },
    CommandSpec {
        name: "zunionstore",
        arity: -4,
        flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::MOVABLE_KEYS),
        keys: &[
            KeySpec::one(1, KeyFlags::OW.union(KeyFlags::UPDATE)),
            counted_keys(2, KeyFlags::RO.union(KeyFlags::ACCESS)),
        ],
        since: "2.0.0",
        complexity: "O(N)+O(M*log(M)) with N elements in all and M in the result",
        summary: "Stores the members that are in any of the sorted sets.",
        syntax: "destination:key numkeys:integer key... [WEIGHTS weight:integer...] [AGGREGATE (SUM|MIN|MAX)]",
        handler: Handler::Write(|cx| combine_and_store(cx, Operation::Union, "zunionstore")),
        ..SORTED_SET
    },
];

/// The operation on several sorted sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Union,
    Intersection,
    Difference,
}

/// How the scores that a member has in several sets are combined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Aggregate {
    Sum,
    Min,
    Max,
}

impl Aggregate {
    fn of(self, left: f64, right: f64) -> f64 {
        match self {
            // As in Redis, the sum of infinities of different signs is 0.
            Aggregate::Sum => zero_if_nan(left + right),
            Aggregate::Min => {
                if right < left {
                    right
                } else {
                    left
                }
            }
            Aggregate::Max => {
                if right > left {
                    right
                } else {
                    left
                }
            }
        }
    }
}

fn zero_if_nan(score: f64) -> f64 {
    if score.is_nan() { 0.0 } else { score }
}

/// The value of a source key.
#[derive(Clone, Copy)]
enum Source<'a> {
    Missing,
    SortedSet(SortedSetView<'a>),
    Set(SetView<'a>),
}

impl<'a> Source<'a> {
    fn of(entry: Option<EntryRef<'a>>) -> Result<Source<'a>, CommandError> {
        let Some(entry) = entry else { return Ok(Source::Missing) };
        match entry.value_type() {
            ValueType::Set => Ok(Source::Set(entry.collection::<Set>()?)),
            _ => Ok(Source::SortedSet(entry.collection::<SortedSet>()?)),
        }
    }

    fn len(self) -> usize {
        match self {
            Source::Missing => 0,
            Source::SortedSet(set) => set.len(),
            Source::Set(set) => set.len(),
        }
    }

    fn score(self, member: &[u8]) -> Option<f64> {
        match self {
            Source::Missing => None,
            Source::SortedSet(set) => set.score(member),
            Source::Set(set) => set.contains(member).then_some(1.0),
        }
    }

    /// Whether a lookup of a member walks over the elements.
    fn is_walked(self) -> bool {
        match self {
            Source::Missing => false,
            Source::SortedSet(set) => matches!(set, SortedSetView::Packed(_)),
            Source::Set(set) => matches!(set, SetView::Listpack(_)),
        }
    }

    fn for_each(self, mut visit: impl FnMut(f64, Element<'a>)) {
        match self {
            Source::Missing => {}
            Source::SortedSet(set) => set.for_each(visit),
            Source::Set(set) => set.iter().for_each(|member| visit(1.0, member)),
        }
    }
}

/// The options, which follow the keys.
struct Options {
    weights: Vec<f64>,
    aggregate: Aggregate,
    with_scores: bool,
    /// ZINTERCARD: the most members to count; 0 for all.
    limit: usize,
}

/// The option that only some commands allow.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Allowed {
    WithScores,
    Limit,
    /// Neither, since the result is stored.
    Neither,
}

/// Parses the number of keys at argument `numkeys`.
fn parse_key_count<K>(cx: &Context<'_, K>, numkeys: usize) -> Result<usize, CommandError> {
    let count = cx.integer(numkeys)?;
    let Ok(count @ 1..) = usize::try_from(count) else {
        let name = &cx.command.full_name;
        return Err(CommandError::composed(format!("ERR at least 1 input key is needed for '{name}' command")));
    };
    if count > cx.args.len() - (numkeys + 1) { Err(CommandError::SYNTAX) } else { Ok(count) }
}

impl Options {
    fn parse<K>(
        cx: &Context<'_, K>,
        mut index: usize,
        keys: usize,
        operation: Operation,
        allowed: Allowed,
    ) -> Result<Options, CommandError> {
        let mut options = Options { weights: vec![1.0; keys], aggregate: Aggregate::Sum, with_scores: false, limit: 0 };
        let combines_scores = operation != Operation::Difference && allowed != Allowed::Limit;
        while index < cx.args.len() {
            let remaining = cx.args.len() - index - 1;
            if combines_scores && remaining >= keys && cx.is_word(index, "WEIGHTS") {
                for weight in &mut options.weights {
                    index += 1;
                    *weight =
                        parse_f64(cx.args.get(index)).ok_or(CommandError::text("ERR weight value is not a float"))?;
                }
            } else if combines_scores && remaining >= 1 && cx.is_word(index, "AGGREGATE") {
                index += 1;
                options.aggregate = match () {
                    () if cx.is_word(index, "SUM") => Aggregate::Sum,
                    () if cx.is_word(index, "MIN") => Aggregate::Min,
                    () if cx.is_word(index, "MAX") => Aggregate::Max,
                    () => return Err(CommandError::SYNTAX),
                };
            } else if allowed == Allowed::WithScores && cx.is_word(index, "WITHSCORES") {
                options.with_scores = true;
            } else if allowed == Allowed::Limit && remaining >= 1 && cx.is_word(index, "LIMIT") {
                index += 1;
                options.limit = not_negative(cx, index, "ERR LIMIT can't be negative")?;
            } else {
                return Err(CommandError::SYNTAX);
            }
            index += 1;
        }
        Ok(options)
    }
}

type Members<'a> = Vec<(f64, Cow<'a, [u8]>)>;

/// The elements of the result, unsorted.
fn elements<'a>(sources: &[Source<'a>], options: &Options, operation: Operation) -> Members<'a> {
    let mut order: Vec<(Source<'a>, f64)> = sources.iter().copied().zip(options.weights.iter().copied()).collect();
    if operation == Operation::Difference {
        return difference(sources);
    }
    // From the smallest to the largest source, as in Redis: the order in which doubles are added affects the sum.
    order.sort_by_key(|(source, _)| source.len());
    match operation {
        Operation::Union => union(&order, options.aggregate),
        _ => {
            let mut found = Vec::new();
            intersect(&order, options.aggregate, |score, member| {
                found.push((score, member_bytes(member)));
                true
            });
            found
        }
    }
}

fn union<'a>(sources: &[(Source<'a>, f64)], aggregate: Aggregate) -> Members<'a> {
    let largest = sources.last().map_or(0, |(source, _)| source.len());
    let mut scores: HashMap<Cow<'a, [u8]>, f64, RandomState> =
        HashMap::with_capacity_and_hasher(largest, RandomState::default());
    for (source, weight) in sources {
        source.for_each(|score, member| {
            let score = zero_if_nan(score * weight);
            scores
                .entry(member_bytes(member))
                .and_modify(|before| *before = aggregate.of(*before, score))
                .or_insert(score);
        });
    }
    scores.into_iter().map(|(member, score)| (score, member)).collect()
}

/// Visits the elements that are in all sources, of which the smallest is the first, until `visit` returns false.
fn intersect<'a>(sources: &[(Source<'a>, f64)], aggregate: Aggregate, mut visit: impl FnMut(f64, Element<'a>) -> bool) {
    let Some(((smallest, weight), others)) = sources.split_first() else { return };
    let mut buffer = itoa::Buffer::new();
    let mut goes_on = smallest.len() > 0;
    smallest.for_each(|score, member| {
        if !goes_on {
            return;
        }
        let bytes = member.as_bytes(&mut buffer);
        let mut sum = zero_if_nan(score * weight);
        for (other, weight) in others {
            match other.score(bytes) {
                Some(score) => sum = aggregate.of(sum, score * weight),
                None => return,
            }
        }
        goes_on = visit(sum, member);
    });
}

fn difference<'a>(sources: &[Source<'a>]) -> Members<'a> {
    let Some((first, others)) = sources.split_first() else { return Vec::new() };
    // Sources that would be walked for each member are collected in one table first.
    let (walked, found): (Vec<&Source<'a>>, Vec<&Source<'a>>) = others.iter().partition(|source| source.is_walked());
    let mut unwanted: HashMap<Cow<'a, [u8]>, (), RandomState> = HashMap::default();
    walked.iter().for_each(|source| {
        source.for_each(|_, member| {
            unwanted.insert(member_bytes(member), ());
        });
    });
    let mut left = Vec::new();
    let mut buffer = itoa::Buffer::new();
    first.for_each(|score, member| {
        let bytes = member.as_bytes(&mut buffer);
        if !unwanted.contains_key(bytes) && found.iter().all(|source| source.score(bytes).is_none()) {
            left.push((score, member_bytes(member)));
        }
    });
    left
}

/// The values of keys, which are looked up in their order.
fn sources<'a>(cx: &mut KeyedRead<'a>, first: usize, keys: usize) -> Result<Vec<Source<'a>>, CommandError> {
    (first..first + keys)
        .map(|index| {
            let key = cx.nth_key(index - first, index);
            Source::of(cx.lookup(key))
        })
        .collect()
}

fn combine(cx: &mut KeyedRead<'_>, operation: Operation) -> Run {
    let keys = parse_key_count(cx, 1)?;
    let sources = sources(cx, 2, keys)?;
    let options = Options::parse(cx, 2 + keys, keys, operation, Allowed::WithScores)?;
    let mut found = elements(&sources, &options, operation);
    found.sort_unstable_by(|left, right| {
        left.0.partial_cmp(&right.0).expect("a score is a number").then_with(|| left.1.cmp(&right.1))
    });
    let elements = Elements::new(options.with_scores, &cx.reply);
    elements.open(&mut cx.reply, found.len());
    for (score, member) in &found {
        elements.add(&mut cx.reply, *score, Element::Bytes(member));
    }
    Ok(Outcome::Done)
}

fn zintercard(cx: &mut KeyedRead<'_>) -> Run {
    let keys = parse_key_count(cx, 1)?;
    let sources = sources(cx, 2, keys)?;
    let options = Options::parse(cx, 2 + keys, keys, Operation::Intersection, Allowed::Limit)?;
    let mut order: Vec<(Source<'_>, f64)> = sources.into_iter().map(|source| (source, 1.0)).collect();
    order.sort_by_key(|(source, _)| source.len());
    let mut count = 0;
    intersect(&order, Aggregate::Sum, |_, _| {
        count += 1;
        count != options.limit
    });
    cx.reply.integer(count as i64);
    Ok(Outcome::Done)
}

fn combine_and_store(cx: &mut KeyedWrite<'_>, operation: Operation, event: &'static str) -> Run {
    let keys = parse_key_count(cx, 2)?;
    let (first, database) = (3, cx.db());
    for index in first..first + keys {
        let key = cx.key(index);
        Source::of(cx.lookup(key))?;
    }
    let options = Options::parse(cx, first + keys, keys, operation, Allowed::Neither)?;
    let limits = limits(cx.core);
    let result = {
        let sources: Result<Vec<Source<'_>>, CommandError> =
            (first..first + keys).map(|index| Source::of(cx.keys.peek(database, cx.key(index)))).collect();
        SortedSet::from_elements(elements(&sources?, &options, operation), &limits)
    };
    let destination = cx.key(1);
    let count = store_result(cx, destination, result, event);
    cx.reply.integer(count as i64);
    Ok(Outcome::Done)
}
