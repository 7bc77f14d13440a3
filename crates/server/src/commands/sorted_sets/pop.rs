//! Sorted sets: pops of the elements with the lowest or the highest scores, with the blocking forms.

use ochre_datatypes::{Collection, ValueType, sorted_set::SortedSet};
use ochre_keyspace::{HashedKey, Missing};
use ochre_resp::Protocol;

use super::{SORTED_SET, counted_keys};
use crate::{
    commands::{
        CommandError, CommandSpec, Flags, Handler,
        context::{KeyedWrite, Outcome, Run},
        elements::reply_element,
        multi_pop::MultiPop,
        numbers::count_to_pop,
        table::{KeyFlags, KeySpec},
        timeout::{deadline_s, wait_for_one_of},
    },
    events::NotifyClass,
};

/// The rows of pops.
pub const ROWS: &[CommandSpec] = &[
    CommandSpec {
        name: "bzmpop",
        arity: -5,
        flags: Flags::WRITE.union(Flags::BLOCKING).union(Flags::MOVABLE_KEYS),
        keys: &[counted_keys(2, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::DELETE))],
        since: "7.0.0",
        complexity: "O(K)+O(M*log(N)) with K keys, N the number of elements, and M the removed elements",
        summary: "Removes and returns the members with the lowest or highest scores from the first sorted set that is not empty, and blocks while all are empty.",
        syntax: "timeout:double numkeys:integer key... (MIN|MAX) [COUNT count:integer]",
        handler: Handler::Write(bzmpop),
        ..SORTED_SET
    },
    CommandSpec {
        name: "bzpopmax",
        arity: -3,
        flags: Flags::WRITE.union(Flags::BLOCKING).union(Flags::FAST),
        keys: &[KeySpec::range(1, -2, 1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::DELETE))],
        since: "5.0.0",
        complexity: "O(log(N)) with N the number of elements",
        summary: "Removes and returns the member with the highest score from the first sorted set that is not empty, and blocks while all are empty.",
        syntax: "key... timeout:double",
        handler: Handler::Write(|cx| wait_for_one(cx, End::Highest)),
        ..SORTED_SET
    },
    CommandSpec {
        name: "bzpopmin",
        arity: -3,
        flags: Flags::WRITE.union(Flags::BLOCKING).union(Flags::FAST),
        keys: &[KeySpec::range(1, -2, 1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::DELETE))],
        since: "5.0.0",
        complexity: "O(log(N)) with N the number of elements",
        summary: "Removes and returns the member with the lowest score from the first sorted set that is not empty, and blocks while all are empty.",
        syntax: "key... timeout:double",
        handler: Handler::Write(|cx| wait_for_one(cx, End::Lowest)),
        ..SORTED_SET
    },
    CommandSpec {
        name: "zmpop",
        arity: -4,
        flags: Flags::WRITE.union(Flags::MOVABLE_KEYS),
        keys: &[counted_keys(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::DELETE))],
        since: "7.0.0",
        complexity: "O(K)+O(M*log(N)) with K keys, N the number of elements, and M the removed elements",
        summary: "Removes and returns the members with the lowest or highest scores from the first sorted set that is not empty.",
        syntax: "numkeys:integer key... (MIN|MAX) [COUNT count:integer]",
        handler: Handler::Write(zmpop),
        ..SORTED_SET
    },
    CommandSpec {
        name: "zpopmax",
        arity: -2,
        flags: Flags::WRITE.union(Flags::FAST).union(Flags::BATCH_BARE),
        keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::DELETE))],
        since: "5.0.0",
        complexity: "O(M*log(N)) with N the number of elements, and M the removed elements",
        summary: "Removes and returns the members with the highest scores.",
        syntax: "key [count:integer]",
        handler: Handler::Write(|cx| pop(cx, End::Highest)),
        ..SORTED_SET
    },
    CommandSpec {
        name: "zpopmin",
        arity: -2,
        flags: Flags::WRITE.union(Flags::FAST).union(Flags::BATCH_BARE),
        keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::DELETE))],
        since: "5.0.0",
        complexity: "O(M*log(N)) with N the number of elements, and M the removed elements",
        summary: "Removes and returns the members with the lowest scores.",
        syntax: "key [count:integer]",
        handler: Handler::Write(|cx| pop(cx, End::Lowest)),
        ..SORTED_SET
    },
];

/// The end from which elements are popped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Lowest,
    Highest,
}

/// How popped elements are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    /// An array of members and scores in turn.
    Flat,
    /// An array of pairs.
    Pairs,
}

/// Pops at most `count` elements from an end of a key's sorted set, and replies with them. Returns false, and writes no reply, if the key
/// does not exist.
fn take<'a>(
    cx: &mut KeyedWrite<'a>,
    key: HashedKey<'a>,
    end: End,
    count: usize,
    shown: Shown,
) -> Result<bool, CommandError> {
    let edited = cx.edit_and_reply::<SortedSet, _>(key, Missing::Skip, |set, reply| {
        let len = set.view().len();
        let count = count.min(len);
        reply.array(if shown == Shown::Flat { 2 * count } else { count });
        let mut show = |score, member: ochre_datatypes::listpack::Element<'_>| {
            if shown == Shown::Pairs {
                reply.array(2);
            }
            reply_element(reply, member);
            reply.double(score);
        };
        match end {
            End::Lowest => set.remove_range(0..count, show),
            // The reply begins with the highest score.
            End::Highest => {
                let _ = set.view().walk(len - count..len, true, |score, member| {
                    show(score, member);
                    std::ops::ControlFlow::Continue(())
                });
                set.remove_range(len - count..len, |_, _| {});
            }
        }
        count
    })?;
    let Some(edited) = edited else { return Ok(false) };
    if count > 0 {
        let event = if end == End::Lowest { "zpopmin" } else { "zpopmax" };
        cx.edited(key, NotifyClass::SORTED_SET, event, &edited);
        cx.effects.count_as(edited.result);
        cx.journal(|| {
            let name: &[u8] = if end == End::Lowest { b"ZPOPMIN" } else { b"ZPOPMAX" };
            vec![name.into(), key.bytes.into(), count.to_string().into_bytes().into()]
        });
    }
    Ok(true)
}

/// ZPOPMIN and ZPOPMAX.
fn pop(cx: &mut KeyedWrite<'_>, end: End) -> Run {
    let key = cx.key(1);
    let has_count = match cx.args.len() {
        2 => false,
        3 => true,
        _ => return Err(CommandError::SYNTAX),
    };
    let count = if has_count { count_to_pop(cx, 2)? } else { 1 };
    let shown = if has_count && cx.reply.protocol() == Protocol::Resp3 { Shown::Pairs } else { Shown::Flat };
    if !take(cx, key, end, count, shown)? {
        cx.reply.array(0);
    }
    Ok(Outcome::Done)
}

/// ZMPOP, and BZMPOP before it blocks. The number of keys is at argument `numkeys`. Returns whether anything was popped.
fn pop_from_one_of(cx: &mut KeyedWrite<'_>, numkeys: usize) -> Result<bool, CommandError> {
    let pops = MultiPop::parse(cx, numkeys, |cx, index| match () {
        () if cx.is_word(index, "MIN") => Ok(End::Lowest),
        () if cx.is_word(index, "MAX") => Ok(End::Highest),
        () => Err(CommandError::SYNTAX),
    })?;
    for nth in 0..pops.keys {
        let key = cx.nth_key(nth, pops.first_key + nth);
        if cx.keys.peek(cx.db(), key).is_none() {
            continue;
        }
        let start = cx.reply.position();
        cx.reply.array(2);
        cx.reply.bulk(key.bytes);
        if take(cx, key, pops.end, pops.count, Shown::Pairs)? {
            return Ok(true);
        }
        cx.reply.rewind(start);
    }
    Ok(false)
}

fn zmpop(cx: &mut KeyedWrite<'_>) -> Run {
    if !pop_from_one_of(cx, 1)? {
        cx.reply.null_array();
    }
    Ok(Outcome::Done)
}

fn bzmpop(cx: &mut KeyedWrite<'_>) -> Run {
    let deadline = deadline_s(cx, 1)?;
    if pop_from_one_of(cx, 2)? {
        return Ok(Outcome::Done);
    }
    let keys = 3..3 + cx.hashed.len();
    Ok(wait_for_one_of(keys, ValueType::SortedSet, deadline))
}

/// BZPOPMIN and BZPOPMAX.
fn wait_for_one(cx: &mut KeyedWrite<'_>, end: End) -> Run {
    let last = cx.args.len() - 1;
    let deadline = deadline_s(cx, last)?;
    for index in 1..last {
        let key = cx.nth_key(index - 1, index);
        let Some(entry) = cx.keys.get(cx.db(), key) else { continue };
        let set = entry.collection::<SortedSet>()?;
        let rank = if end == End::Lowest { 0 } else { set.len() - 1 };
        let (score, member) = set.get(rank).expect("a sorted set has at least one element");
        cx.reply.array(3);
        cx.reply.bulk(key.bytes);
        reply_element(&mut cx.reply, member);
        cx.reply.double(score);
        let start = cx.reply.position();
        take(cx, key, end, 1, Shown::Flat)?;
        // The element is in the reply already, in the shape of this command.
        cx.reply.rewind(start);
        return Ok(Outcome::Done);
    }
    Ok(wait_for_one_of(1..last, ValueType::SortedSet, deadline))
}
