//! Sorted sets: commands on single members. `range.rs` has ranges, `pop.rs` pops, `combine.rs` unions, intersections and differences.

pub mod combine;
pub mod pop;
pub mod range;

use std::{borrow::Cow, ops::ControlFlow};

use ochre_datatypes::{
    listpack::Element,
    number::{parse_f64, write_general},
    sorted_set::{SortedSet, SortedSetLimits, SortedSetView},
    spine::below,
};
use ochre_keyspace::{HashedKey, Missing};
use ochre_resp::{Protocol, ReplyWriter, double};
use smallvec::SmallVec;

use super::{
    CommandError, CommandSpec, Flags, Handler,
    context::{Context, KeyedRead, KeyedWrite, Outcome, Run},
    elements::{RandomCount, reply_element},
    scan,
    table::{BeginSearch, Category, FindKeys, Group, KeyFlags, KeySpec},
};
use crate::{core::Core, events::NotifyClass};

/// The rows of commands on single members.
pub const ROWS: &[CommandSpec] = &[
    CommandSpec {
        name: "zadd",
        arity: -4,
        flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST).union(Flags::BATCH),
        keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::UPDATE))],
        since: "1.2.0",
        complexity: "O(log(N)) for each member, with N the number of elements",
        summary: "Adds members with their scores to a sorted set, or changes the scores of members that exist.",
        syntax: "key [NX|XX] [GT|LT] [CH] [INCR] (score:double member)...",
        element: 3,
        handler: Handler::Write(zadd),
        ..SORTED_SET
    },
    CommandSpec {
        name: "zcard",
        arity: 2,
        flags: Flags::READONLY.union(Flags::FAST).union(Flags::BATCH),
        keys: &[KeySpec::one(1, KeyFlags::RO)],
        since: "1.2.0",
        summary: "Returns the number of members of a sorted set.",
        syntax: "key",
        handler: Handler::Read(zcard),
        ..SORTED_SET
    },
    CommandSpec {
        name: "zincrby",
        arity: 4,
        flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST).union(Flags::BATCH),
        keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::UPDATE))],
        since: "1.2.0",
        complexity: "O(log(N)) with N the number of elements",
        summary: "Adds to the score of a member. A missing member is created with the score 0 first.",
        syntax: "key increment:integer member",
        element: 3,
        handler: Handler::Write(zincrby),
        ..SORTED_SET
    },
    CommandSpec {
        name: "zmscore",
        arity: -3,
        flags: Flags::READONLY.union(Flags::FAST).union(Flags::BATCH),
        keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
        since: "6.2.0",
        complexity: "O(N) with N members",
        summary: "Returns the scores of several members of a sorted set.",
        syntax: "key member...",
        element: 2,
        handler: Handler::Read(zmscore),
        ..SORTED_SET
    },
    CommandSpec {
        name: "zrandmember",
        arity: -2,
        flags: Flags::READONLY.union(Flags::BATCH_BARE),
        keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
        tips: &["nondeterministic_output"],
        since: "6.2.0",
        complexity: "O(N*log(M)) with N returned members of M",
        summary: "Returns one or more random members of a sorted set. With a negative count, members may repeat.",
        syntax: "key [count:integer [WITHSCORES]]",
        handler: Handler::Read(zrandmember),
        ..SORTED_SET
    },
    CommandSpec {
        name: "zrank",
        arity: -3,
        flags: Flags::READONLY.union(Flags::FAST).union(Flags::BATCH),
        keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
        since: "2.0.0",
        complexity: "O(log(N)) with N the number of elements",
        summary: "Returns the rank of a member, from the lowest score.",
        syntax: "key member [WITHSCORE]",
        element: 2,
        handler: Handler::Read(|cx| rank(cx, false)),
        ..SORTED_SET
    },
    CommandSpec {
        name: "zrem",
        arity: -3,
        flags: Flags::WRITE.union(Flags::FAST).union(Flags::BATCH),
        keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::DELETE))],
        since: "1.2.0",
        complexity: "O(M*log(N)) with N the number of elements, and M members",
        summary: "Removes members from a sorted set, and returns the number of removed members.",
        syntax: "key member...",
        element: 2,
        handler: Handler::Write(zrem),
        ..SORTED_SET
    },
    CommandSpec {
        name: "zrevrank",
        arity: -3,
        flags: Flags::READONLY.union(Flags::FAST).union(Flags::BATCH),
        keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
        since: "2.0.0",
        complexity: "O(log(N)) with N the number of elements",
        summary: "Returns the rank of a member, from the highest score.",
        syntax: "key member [WITHSCORE]",
        element: 2,
        handler: Handler::Read(|cx| rank(cx, true)),
        ..SORTED_SET
    },
    CommandSpec {
        name: "zscan",
        arity: -3,
        flags: Flags::READONLY,
        keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
        tips: &["nondeterministic_output"],
        since: "2.8.0",
        complexity: "O(1) for a call, O(N) for all N members",
        summary: "Returns some of the members of a sorted set with their scores, and a cursor to continue from.",
        syntax: "key cursor:integer [MATCH pattern:pattern] [COUNT count:integer] [NOSCORES]",
        handler: Handler::Read(zscan),
        ..SORTED_SET
    },
    CommandSpec {
        name: "zscore",
        arity: 3,
        flags: Flags::READONLY.union(Flags::FAST).union(Flags::BATCH),
        keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
        since: "1.2.0",
        summary: "Returns the score of a member of a sorted set.",
        syntax: "key member",
        element: 2,
        handler: Handler::Read(zscore),
        ..SORTED_SET
    },
];

/// The fields that the rows of sorted sets share.
const SORTED_SET: CommandSpec =
    CommandSpec { categories: Category::SORTEDSET, group: Group::SortedSet, ..CommandSpec::DEFAULT };

const NOT_A_NUMBER: CommandError = CommandError::text("ERR resulting score is not a number (NaN)");

/// The spec of `numkeys key...` at an index.
const fn counted_keys(index: u16, flags: KeyFlags) -> KeySpec {
    KeySpec { flags, begin: BeginSearch::Index(index), find: FindKeys::Count { at: 0, first: 1, step: 1 }, notes: None }
}

/// The limits up to which sorted sets are packed.
pub fn limits(core: &Core) -> SortedSetLimits {
    let config = core.config();
    SortedSetLimits { entries_max: config.zset_max_listpack_entries, member_len_max: config.zset_max_listpack_value }
}

/// Parses an argument as a score.
pub fn score_at<K>(cx: &Context<'_, K>, index: usize) -> Result<f64, CommandError> {
    parse_f64(cx.args.get(index)).ok_or(CommandError::NOT_A_FLOAT)
}

/// Replies with elements one by one: members alone, or with their scores. In RESP3, a member and its score are an array of their own.
struct Elements {
    with_scores: bool,
    in_pairs: bool,
}

impl Elements {
    fn new(with_scores: bool, reply: &ReplyWriter<'_>) -> Elements {
        Elements { with_scores, in_pairs: with_scores && reply.protocol() == Protocol::Resp3 }
    }

    /// Begins a reply of `count` elements.
    fn open(&self, reply: &mut ReplyWriter<'_>, count: usize) {
        reply.array(if self.with_scores && !self.in_pairs { 2 * count } else { count });
    }

    #[inline]
    fn add(&self, reply: &mut ReplyWriter<'_>, score: f64, member: Element<'_>) {
        if self.in_pairs {
            reply.array(2);
        }
        reply_element(reply, member);
        if self.with_scores {
            reply.double(score);
        }
    }
}

/// The bytes of a member, which are copied only if they do not lie in memory as text.
pub fn member_bytes(member: Element<'_>) -> Cow<'_, [u8]> {
    match member {
        Element::Bytes(bytes) => Cow::Borrowed(bytes),
        Element::Int(_) => Cow::Owned(member.to_vec()),
    }
}

/// The sorted set of a source key, looked up as by a command that reads.
pub fn source<'s, 'a>(
    cx: &'s mut KeyedWrite<'a>,
    key: HashedKey<'a>,
) -> Result<Option<SortedSetView<'s>>, CommandError> {
    match cx.lookup(key) {
        Some(entry) => Ok(Some(entry.collection::<SortedSet>()?)),
        None => Ok(None),
    }
}

/// Stores a result at a key, as [`Context::store_result`] does. Returns its length.
pub fn store_result<'a>(cx: &mut KeyedWrite<'a>, key: HashedKey<'a>, result: SortedSet, event: &'static str) -> usize {
    use ochre_datatypes::Collection;
    let count = result.view().len();
    cx.store_result(key, result, NotifyClass::SORTED_SET, event);
    count
}

/// The options of ZADD.
#[derive(Clone, Copy, Default)]
pub struct AddOptions {
    /// NX: only add new members.
    pub only_new: bool,
    /// XX: only update members that exist.
    pub only_present: bool,
    /// GT: only update to a greater score.
    pub only_greater: bool,
    /// LT: only update to a lower score.
    pub only_lower: bool,
    /// CH: the reply counts updated members too.
    pub counts_changes: bool,
    /// INCR: add to the member's score, and reply with the sum.
    pub increments: bool,
}

/// What ZADD did with a member.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Added {
    New,
    Changed,
    /// The member has the score already.
    Same,
    Left,
    NotANumber,
}

impl AddOptions {
    /// Sets the option that an argument names. Returns whether it names one.
    fn take(&mut self, cx: &KeyedWrite<'_>, index: usize) -> bool {
        let option = match () {
            () if cx.is_word(index, "NX") => &mut self.only_new,
            () if cx.is_word(index, "XX") => &mut self.only_present,
            () if cx.is_word(index, "CH") => &mut self.counts_changes,
            () if cx.is_word(index, "INCR") => &mut self.increments,
            () if cx.is_word(index, "GT") => &mut self.only_greater,
            () if cx.is_word(index, "LT") => &mut self.only_lower,
            () => return false,
        };
        *option = true;
        true
    }

    /// Decides about a member. Returns the score to set, if any; what ZADD does with the member; and the score that the member has or would
    /// have.
    #[inline]
    fn decide(self, before: Option<f64>, score: f64) -> (Option<f64>, (Added, f64)) {
        let Some(before) = before else {
            return if self.only_present { (None, (Added::Left, score)) } else { (Some(score), (Added::New, score)) };
        };
        if self.only_new {
            return (None, (Added::Left, score));
        }
        let score = if self.increments { before + score } else { score };
        if score.is_nan() {
            return (None, (Added::NotANumber, score));
        }
        if self.only_lower && score >= before || self.only_greater && score <= before {
            return (None, (Added::Left, score));
        }
        if score == before { (None, (Added::Same, score)) } else { (Some(score), (Added::Changed, score)) }
    }
}

fn zadd(cx: &mut KeyedWrite<'_>) -> Run {
    let mut options = AddOptions::default();
    let mut first = 2;
    while first < cx.args.len() && options.take(cx, first) {
        first += 1;
    }
    let words = cx.args.len() - first;
    if words == 0 || !words.is_multiple_of(2) {
        return Err(CommandError::SYNTAX);
    }
    if options.only_new && options.only_present {
        return Err(CommandError::text("ERR XX and NX options at the same time are not compatible"));
    }
    if (options.only_greater || options.only_lower) && options.only_new || options.only_greater && options.only_lower {
        return Err(CommandError::text("ERR GT, LT, and/or NX options at the same time are not compatible"));
    }
    if options.increments && words > 2 {
        return Err(CommandError::text("ERR INCR option supports a single increment-element pair"));
    }
    let mut elements: SmallVec<[(f64, &[u8]); 8]> = SmallVec::new();
    for index in (first..cx.args.len()).step_by(2) {
        elements.push((score_at(cx, index)?, cx.args.get(index + 1)));
    }
    add(cx, options, &elements)
}

fn zincrby(cx: &mut KeyedWrite<'_>) -> Run {
    // Redis runs it as ZADD with INCR, and so takes an increment such as `NX` for an option, which is an error.
    if AddOptions::default().take(cx, 2) {
        return Err(CommandError::SYNTAX);
    }
    let elements = [(score_at(cx, 2)?, cx.args.get(3))];
    add(cx, AddOptions { increments: true, ..AddOptions::default() }, &elements)
}

/// Adds elements by the options, and replies.
pub fn add(cx: &mut KeyedWrite<'_>, options: AddOptions, elements: &[(f64, &[u8])]) -> Run {
    let (key, limits) = (cx.key(1), limits(cx.core));
    let missing = if options.only_present { Missing::Skip } else { Missing::Create };
    let (mut new, mut changed) = (0, 0);
    let mut last = (Added::Left, 0.0);
    let edited = cx.edit::<SortedSet, _>(key, missing, |set| {
        if elements.len() > 1 {
            let len_max = elements.iter().map(|(_, member)| member.len()).max().unwrap_or(0);
            set.prepare(elements.len(), len_max, &limits);
        }
        for (score, member) in elements {
            last = set.set(member, &limits, |before| options.decide(before, *score));
            new += i64::from(last.0 == Added::New);
            changed += i64::from(last.0 == Added::Changed);
        }
    })?;
    if last.0 == Added::NotANumber {
        return Err(NOT_A_NUMBER);
    }
    if let Some(edited) = edited
        && new + changed > 0
    {
        cx.edited(key, NotifyClass::SORTED_SET, if options.increments { "zincr" } else { "zadd" }, &edited);
        cx.effects.count_as((new + changed) as usize);
    }
    match last {
        (Added::Left, _) if options.increments => cx.reply.null(),
        (_, score) if options.increments => cx.reply.double(score),
        _ => cx.reply.integer(if options.counts_changes { new + changed } else { new }),
    }
    Ok(Outcome::Done)
}

fn zrem(cx: &mut KeyedWrite<'_>) -> Run {
    let (key, args) = (cx.key(1), cx.args);
    let edited = cx.edit::<SortedSet, _>(key, Missing::Skip, |set| {
        args.slice(2..).iter().filter(|member| set.remove(member)).count()
    })?;
    let removed = edited.map_or(0, |edited| edited.result);
    if let Some(edited) = edited
        && removed > 0
    {
        cx.edited(key, NotifyClass::SORTED_SET, "zrem", &edited);
        cx.effects.count_as(removed);
    }
    cx.reply.integer(removed as i64);
    Ok(Outcome::Done)
}

fn zcard(cx: &mut KeyedRead<'_>) -> Run {
    let key = cx.key(1);
    let count = cx.read::<SortedSet>(key)?.map_or(0, SortedSetView::len);
    cx.reply.integer(count as i64);
    Ok(Outcome::Done)
}

fn reply_score(reply: &mut ReplyWriter<'_>, score: Option<f64>) {
    match score {
        Some(score) => reply.double(score),
        None => reply.null(),
    }
}

fn zscore(cx: &mut KeyedRead<'_>) -> Run {
    let key = cx.key(1);
    let score = cx.read::<SortedSet>(key)?.and_then(|set| set.score(cx.args.get(2)));
    reply_score(&mut cx.reply, score);
    Ok(Outcome::Done)
}

fn zmscore(cx: &mut KeyedRead<'_>) -> Run {
    let key = cx.key(1);
    let set = cx.read::<SortedSet>(key)?;
    cx.reply.array(cx.args.len() - 2);
    for member in cx.args.slice(2..).iter() {
        reply_score(&mut cx.reply, set.and_then(|set| set.score(member)));
    }
    Ok(Outcome::Done)
}

fn rank(cx: &mut KeyedRead<'_>, from_the_end: bool) -> Run {
    if cx.args.len() > 4 {
        return Err(CommandError::wrong_arity(&cx.command.full_name));
    }
    let with_score = cx.args.len() == 4;
    if with_score && !cx.is_word(3, "WITHSCORE") {
        return Err(CommandError::SYNTAX);
    }
    let key = cx.key(1);
    let set = cx.read::<SortedSet>(key)?;
    let Some((set, (rank, score))) = set.and_then(|set| Some((set, set.rank(cx.args.get(2))?))) else {
        if with_score {
            cx.reply.null_array()
        } else {
            cx.reply.null()
        }
        return Ok(Outcome::Done);
    };
    let rank = if from_the_end { set.len() - 1 - rank } else { rank };
    if with_score {
        cx.reply.array(2);
    }
    cx.reply.integer(rank as i64);
    if with_score {
        cx.reply.double(score);
    }
    Ok(Outcome::Done)
}

fn zrandmember(cx: &mut KeyedRead<'_>) -> Run {
    let key = cx.key(1);
    if cx.args.len() == 2 {
        match cx.read::<SortedSet>(key)? {
            Some(set) => {
                let rank = below(set.len(), cx.core.random());
                let (_, member) = set.get(rank).expect("the rank is below the length");
                reply_element(&mut cx.reply, member);
            }
            None => cx.reply.null(),
        }
        return Ok(Outcome::Done);
    }
    let (count, with_scores) = RandomCount::parse_with(cx, "WITHSCORES")?;
    let Some(set) = cx.read::<SortedSet>(key)? else {
        cx.reply.array(0);
        return Ok(Outcome::Done);
    };
    let (len, is_repeated) = (set.len(), matches!(count, RandomCount::Repeated(_)));
    let count = count.len(len);
    let elements = Elements::new(with_scores, &cx.reply);
    elements.open(&mut cx.reply, count);
    let show = |cx: &mut KeyedRead<'_>, score, member| elements.add(&mut cx.reply, score, member);
    if is_repeated {
        for _ in 0..count {
            let (score, member) = set.get(below(len, cx.core.random())).expect("the rank is below the length");
            show(cx, score, member);
            if cx.is_given_up() {
                break;
            }
        }
    } else if count == len {
        let _ = set.walk(0..len, true, |score, member| {
            show(cx, score, member);
            ControlFlow::Continue(())
        });
    } else if count * 4 > len {
        // Selection sampling (Knuth, volume 2, 3.4.2, algorithm S) passes over all elements once.
        let (mut left, mut wanted) = (len, count);
        let _ = set.walk(0..len, false, |score, member| {
            if below(left, cx.core.random()) < wanted {
                show(cx, score, member);
                wanted -= 1;
            }
            left -= 1;
            if wanted == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
    } else {
        let mut drawn = std::collections::HashSet::with_capacity(count);
        while drawn.len() < count {
            let rank = below(len, cx.core.random());
            if drawn.insert(rank) {
                let (score, member) = set.get(rank).expect("the rank is below the length");
                show(cx, score, member);
            }
        }
    }
    Ok(Outcome::Done)
}

fn zscan(cx: &mut KeyedRead<'_>) -> Run {
    scan::scan_collection::<SortedSet>(cx, |set, cursor, options, found| {
        // As in Redis: a score of a packed sorted set has the digits that it is stored with, another one has all its digits.
        let is_packed = matches!(set, SortedSetView::Packed(_));
        let mut text = Vec::new();
        set.scan(cursor, options.count, |score, member| {
            if !options.admits(member) {
                return;
            }
            found.element(member);
            if !options.names_only {
                text.clear();
                if is_packed {
                    double::write(&mut text, score)
                } else {
                    write_general(&mut text, score)
                }
                found.bulk(&text);
            }
        })
    })
}
