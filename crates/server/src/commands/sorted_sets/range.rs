//! Sorted sets: ranges by rank, by score and by member.

use std::ops::{ControlFlow, Range};

use ochre_datatypes::{
    Collection,
    number::parse_score_bound,
    sorted_set::{LexBound, LexRange, ScoreRange, SortedSet, SortedSetView},
};
use ochre_keyspace::Missing;

use super::{Elements, SORTED_SET, limits, member_bytes, source, store_result};
use crate::{
    commands::{
        CommandError, CommandSpec, Flags, Handler,
        context::{Context, KeyedRead, KeyedWrite, Outcome, Run},
        table::{KeyFlags, KeySpec},
    },
    events::NotifyClass,
};

/// The rows of commands on ranges.
pub const ROWS: &[CommandSpec] = &[
    CommandSpec {
        name: "zcount",
        arity: 4,
        flags: Flags::READONLY.union(Flags::FAST).union(Flags::BATCH),
        keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
        since: "2.0.0",
        complexity: "O(log(N)) with N the number of elements",
        summary: "Returns the number of members whose scores are in a range.",
        syntax: "key min:double max:double",
        handler: Handler::Read(zcount),
        ..SORTED_SET
    },
    CommandSpec {
        name: "zlexcount",
        arity: 4,
        flags: Flags::READONLY.union(Flags::FAST).union(Flags::BATCH),
        keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
        since: "2.8.9",
        complexity: "O(log(N)) with N the number of elements",
        summary: "Returns the number of members in a lexicographical range, of a sorted set in which all scores are the same.",
        syntax: "key min max",
        handler: Handler::Read(zlexcount),
        ..SORTED_SET
    },
    CommandSpec {
        name: "zrange",
        arity: -4,
        flags: Flags::READONLY.union(Flags::BATCH),
        keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
        since: "1.2.0",
        complexity: "O(log(N)+M) with N the number of elements, and M the returned elements",
        summary: "Returns the members in a range of ranks, of scores or of members.",
        syntax: "key start stop [BYSCORE|BYLEX] [REV] [LIMIT (offset:integer count:integer)] [WITHSCORES]",
        handler: Handler::Read(|cx| range(cx, None, None)),
        ..SORTED_SET
    },
    CommandSpec {
        name: "zrangebylex",
        arity: -4,
        flags: Flags::READONLY.union(Flags::BATCH),
        keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
        since: "2.8.9",
        complexity: "O(log(N)+M) with N the number of elements, and M the returned elements",
        summary: "Returns the members in a lexicographical range, of a sorted set in which all scores are the same.",
        syntax: "key min max [LIMIT (offset:integer count:integer)]",
        deprecated: Some(("6.2.0", "`ZRANGE` with the `BYLEX` argument")),
        handler: Handler::Read(|cx| range(cx, Some(By::Member), Some(false))),
        ..SORTED_SET
    },
    CommandSpec {
        name: "zrangebyscore",
        arity: -4,
        flags: Flags::READONLY.union(Flags::BATCH),
        keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
        since: "1.0.5",
        complexity: "O(log(N)+M) with N the number of elements, and M the returned elements",
        summary: "Returns the members whose scores are in a range.",
        syntax: "key min:double max:double [WITHSCORES] [LIMIT (offset:integer count:integer)]",
        deprecated: Some(("6.2.0", "`ZRANGE` with the `BYSCORE` argument")),
        handler: Handler::Read(|cx| range(cx, Some(By::Score), Some(false))),
        ..SORTED_SET
    },
    CommandSpec {
        name: "zrangestore",
        arity: -5,
        flags: Flags::WRITE.union(Flags::DENYOOM),
        keys: &[
            KeySpec::one(1, KeyFlags::OW.union(KeyFlags::UPDATE)),
            KeySpec::one(2, KeyFlags::RO.union(KeyFlags::ACCESS)),
        ],
        since: "6.2.0",
        complexity: "O(log(N)+M) with N the number of elements, and M the stored elements",
        summary: "Stores the members in a range of ranks, of scores or of members at another key.",
        syntax: "dst:key src:key min max [BYSCORE|BYLEX] [REV] [LIMIT (offset:integer count:integer)]",
        handler: Handler::Write(zrangestore),
        ..SORTED_SET
    },
    CommandSpec {
        name: "zremrangebylex",
        arity: 4,
        flags: Flags::WRITE,
        keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::DELETE))],
        since: "2.8.9",
        complexity: "O(log(N)+M) with N the number of elements, and M the removed elements",
        summary: "Removes the members in a lexicographical range, of a sorted set in which all scores are the same.",
        syntax: "key min max",
        handler: Handler::Write(|cx| remove_range(cx, By::Member, "zremrangebylex")),
        ..SORTED_SET
    },
    CommandSpec {
        name: "zremrangebyrank",
        arity: 4,
        flags: Flags::WRITE,
        keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::DELETE))],
        since: "2.0.0",
        complexity: "O(log(N)+M) with N the number of elements, and M the removed elements",
        summary: "Removes the members in a range of ranks.",
        syntax: "key start:integer stop:integer",
        handler: Handler::Write(|cx| remove_range(cx, By::Rank, "zremrangebyrank")),
        ..SORTED_SET
    },
    CommandSpec {
        name: "zremrangebyscore",
        arity: 4,
        flags: Flags::WRITE,
        keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::DELETE))],
        since: "1.2.0",
        complexity: "O(log(N)+M) with N the number of elements, and M the removed elements",
        summary: "Removes the members whose scores are in a range.",
        syntax: "key min:double max:double",
        handler: Handler::Write(|cx| remove_range(cx, By::Score, "zremrangebyscore")),
        ..SORTED_SET
    },
    CommandSpec {
        name: "zrevrange",
        arity: -4,
        flags: Flags::READONLY.union(Flags::BATCH),
        keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
        since: "1.2.0",
        complexity: "O(log(N)+M) with N the number of elements, and M the returned elements",
        summary: "Returns the members in a range of ranks, counted from the highest score.",
        syntax: "key start:integer stop:integer [WITHSCORES]",
        deprecated: Some(("6.2.0", "`ZRANGE` with the `REV` argument")),
        handler: Handler::Read(|cx| range(cx, Some(By::Rank), Some(true))),
        ..SORTED_SET
    },
    CommandSpec {
        name: "zrevrangebylex",
        arity: -4,
        flags: Flags::READONLY.union(Flags::BATCH),
        keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
        since: "2.8.9",
        complexity: "O(log(N)+M) with N the number of elements, and M the returned elements",
        summary: "Returns the members in a lexicographical range in reverse order, of a sorted set in which all scores are the same.",
        syntax: "key max min [LIMIT (offset:integer count:integer)]",
        deprecated: Some(("6.2.0", "`ZRANGE` with the `REV` and `BYLEX` arguments")),
        handler: Handler::Read(|cx| range(cx, Some(By::Member), Some(true))),
        ..SORTED_SET
    },
    CommandSpec {
        name: "zrevrangebyscore",
        arity: -4,
        flags: Flags::READONLY.union(Flags::BATCH),
        keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
        since: "2.2.0",
        complexity: "O(log(N)+M) with N the number of elements, and M the returned elements",
        summary: "Returns the members whose scores are in a range, from the highest score to the lowest.",
        syntax: "key max:double min:double [WITHSCORES] [LIMIT (offset:integer count:integer)]",
        deprecated: Some(("6.2.0", "`ZRANGE` with the `REV` and `BYSCORE` arguments")),
        handler: Handler::Read(|cx| range(cx, Some(By::Score), Some(true))),
        ..SORTED_SET
    },
];

/// What a range is of: ranks, scores or members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// Ranks, which is the default of ZRANGE.
    Rank,
    /// Scores: BYSCORE.
    Score,
    /// Members, in lexicographical order: BYLEX.
    Member,
}

/// A range as the request gives it.
#[derive(Clone, Copy, Debug)]
enum Selection<'a> {
    /// The first and the last rank, both included. A negative rank counts from the end.
    Ranks(i64, i64),
    Scores(ScoreRange),
    Members(LexRange<'a>),
}

/// The arguments of a command on a range.
struct Request<'a> {
    selection: Selection<'a>,
    reverse: bool,
    /// LIMIT: the number of elements to skip, and the most elements to return then; a negative count is no limit.
    offset: i64,
    limit: i64,
    with_scores: bool,
}

impl<'a> Selection<'a> {
    /// Parses the two ends, which are at the arguments `min` and `max`.
    fn parse<K>(cx: &Context<'a, K>, by: By, min: usize, max: usize) -> Result<Selection<'a>, CommandError> {
        const NO_MEMBERS: CommandError = CommandError::text("ERR min or max not valid string range item");
        Ok(match by {
            By::Rank => Selection::Ranks(cx.integer(min)?, cx.integer(max)?),
            By::Score => Selection::Scores(parse_scores(cx.args.get(min), cx.args.get(max))?),
            By::Member => {
                let min = parse_member(cx.args.get(min)).ok_or(NO_MEMBERS)?;
                let max = parse_member(cx.args.get(max)).ok_or(NO_MEMBERS)?;
                Selection::Members(LexRange { min, max })
            }
        })
    }

    /// The ranks of the elements in the range, from the lowest score. With `reverse`, a range of ranks counts from the highest score.
    fn ranks(&self, set: SortedSetView<'_>, reverse: bool) -> Range<usize> {
        match self {
            Selection::Ranks(start, end) => {
                let len = set.len() as i64;
                let from_start = |rank: i64| if rank < 0 { rank.saturating_add(len) } else { rank };
                let (start, end) = (from_start(*start).max(0), from_start(*end).min(len - 1));
                if start > end {
                    return 0..0;
                }
                let (start, end) = if reverse { (len - 1 - end, len - 1 - start) } else { (start, end) };
                start as usize..end as usize + 1
            }
            Selection::Scores(range) => set.score_range(range),
            Selection::Members(range) => set.lex_range(range, reverse),
        }
    }
}

/// Parses both ends of a range of scores.
fn parse_scores(min: &[u8], max: &[u8]) -> Result<ScoreRange, CommandError> {
    let parse = |text: &[u8]| {
        let (excludes, text) = text.strip_prefix(b"(").map_or((false, text), |text| (true, text));
        let score = parse_score_bound(text).ok_or(CommandError::text("ERR min or max is not a float"))?;
        Ok::<_, CommandError>((score, excludes))
    };
    let ((min, excludes_min), (max, excludes_max)) = (parse(min)?, parse(max)?);
    Ok(ScoreRange { min, max, excludes_min, excludes_max })
}

fn parse_member(text: &[u8]) -> Option<LexBound<'_>> {
    match text {
        b"-" => Some(LexBound::Lowest),
        b"+" => Some(LexBound::Highest),
        [b'[', member @ ..] => Some(LexBound::Included(member)),
        [b'(', member @ ..] => Some(LexBound::Excluded(member)),
        _ => None,
    }
}

impl<'a> Request<'a> {
    /// Parses what follows the key at argument `source`: the two ends, then options. `by` and `reverse` are `None` if options decide them.
    fn parse<K>(
        cx: &Context<'a, K>,
        source: usize,
        by: Option<By>,
        reverse: Option<bool>,
        stores: bool,
    ) -> Result<Request<'a>, CommandError> {
        let (mut given_by, mut given_reverse) = (by, reverse);
        let (mut offset, mut limit, mut with_scores) = (0, -1, false);
        let mut index = source + 3;
        while index < cx.args.len() {
            if !stores && cx.is_word(index, "WITHSCORES") {
                with_scores = true;
            } else if cx.is_word(index, "LIMIT") && index + 2 < cx.args.len() {
                offset = cx.integer(index + 1)?;
                limit = cx.integer(index + 2)?;
                index += 2;
            } else if given_reverse.is_none() && cx.is_word(index, "REV") {
                given_reverse = Some(true);
            } else if given_by.is_none() && cx.is_word(index, "BYLEX") {
                given_by = Some(By::Member);
            } else if given_by.is_none() && cx.is_word(index, "BYSCORE") {
                given_by = Some(By::Score);
            } else {
                return Err(CommandError::SYNTAX);
            }
            index += 1;
        }
        let (by, reverse) = (given_by.unwrap_or(By::Rank), given_reverse.unwrap_or(false));
        if by == By::Rank && limit != -1 {
            return Err(CommandError::text(
                "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX",
            ));
        }
        if by == By::Member && with_scores {
            return Err(CommandError::text("ERR syntax error, WITHSCORES not supported in combination with BYLEX"));
        }
        let is_swapped = reverse && by != By::Rank;
        let (min, max) = if is_swapped { (source + 2, source + 1) } else { (source + 1, source + 2) };
        let selection = Selection::parse(cx, by, min, max)?;
        Ok(Request { selection, reverse, offset, limit, with_scores })
    }

    /// The ranks of the requested elements.
    fn ranks(&self, set: SortedSetView<'_>) -> Range<usize> {
        let found = self.selection.ranks(set, self.reverse);
        let Some(offset) = usize::try_from(self.offset).ok().filter(|offset| *offset < found.len()) else {
            return 0..0;
        };
        let count = usize::try_from(self.limit).unwrap_or(usize::MAX).min(found.len() - offset);
        if self.reverse {
            found.end - offset - count..found.end - offset
        } else {
            found.start + offset..found.start + offset + count
        }
    }
}

fn range(cx: &mut KeyedRead<'_>, by: Option<By>, reverse: Option<bool>) -> Run {
    let request = Request::parse(cx, 1, by, reverse, false)?;
    let key = cx.key(1);
    let Some(set) = cx.read::<SortedSet>(key)? else {
        cx.reply.array(0);
        return Ok(Outcome::Done);
    };
    let (mark, end) = (cx.reply.position(), cx.shared_reply_end());
    let ranks = request.ranks(set);
    if cx.is_too_far_to_share(ranks.len()) {
        return cx.leave_batch(mark);
    }
    let elements = Elements::new(request.with_scores, &cx.reply);
    elements.open(&mut cx.reply, ranks.len());
    let reply = &mut cx.reply;
    let walked = set.walk(ranks, request.reverse, |score, member| {
        elements.add(reply, score, member);
        if reply.position() > end { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    if walked.is_break() { cx.leave_batch(mark) } else { Ok(Outcome::Done) }
}

fn zrangestore(cx: &mut KeyedWrite<'_>) -> Run {
    let request = Request::parse(cx, 2, None, None, true)?;
    let (destination, key, limits) = (cx.key(1), cx.key(2), limits(cx.core));
    let mut result = SortedSet::default();
    if let Some(set) = source(cx, key)? {
        let ranks = request.ranks(set);
        let mut elements = Vec::with_capacity(ranks.len());
        let _ = set.walk(ranks, false, |score, member| {
            elements.push((score, member_bytes(member)));
            ControlFlow::Continue(())
        });
        result = SortedSet::from_elements(elements, &limits);
    }
    let count = store_result(cx, destination, result, "zrangestore");
    cx.reply.integer(count as i64);
    Ok(Outcome::Done)
}

fn count(cx: &mut KeyedRead<'_>, by: By) -> Run {
    let selection = Selection::parse(cx, by, 2, 3)?;
    let key = cx.key(1);
    let count = cx.read::<SortedSet>(key)?.map_or(0, |set| selection.ranks(set, false).len());
    cx.reply.integer(count as i64);
    Ok(Outcome::Done)
}

fn zcount(cx: &mut KeyedRead<'_>) -> Run {
    count(cx, By::Score)
}

fn zlexcount(cx: &mut KeyedRead<'_>) -> Run {
    count(cx, By::Member)
}

fn remove_range(cx: &mut KeyedWrite<'_>, by: By, event: &'static str) -> Run {
    let selection = Selection::parse(cx, by, 2, 3)?;
    let key = cx.key(1);
    let edited = cx.edit::<SortedSet, _>(key, Missing::Skip, |set| {
        let ranks = selection.ranks(set.view(), false);
        let removed = ranks.len();
        if removed == set.view().len() {
            return (removed, Some(std::mem::take(set)));
        }
        set.remove_range(ranks, |_, _| {});
        (removed, None)
    })?;
    let mut removed = 0;
    if let Some(mut edited) = edited {
        let all = edited.result.1.take();
        all.filter(SortedSet::is_heavy).into_iter().for_each(|all| cx.keys.bury(all));
        removed = edited.result.0;
        if removed > 0 {
            cx.edited(key, NotifyClass::SORTED_SET, event, &edited);
            cx.effects.count_as(removed);
        }
    }
    cx.reply.integer(removed as i64);
    Ok(Outcome::Done)
}
