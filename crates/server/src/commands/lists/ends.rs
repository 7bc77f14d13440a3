//! The ends of lists: pushes, pops, and moves between lists, with the blocking forms.

use std::{borrow::Cow, time::Instant};

use ochre_datatypes::{
    ValueType,
    list::{End, List},
    listpack::Element,
};
use ochre_keyspace::Missing;

use super::{LIST, end, limits};
use crate::{
    commands::{
        CommandError, CommandSpec, Flags, Handler,
        context::{KeyedWrite, Outcome, Run},
        elements::reply_element,
        multi_pop::MultiPop,
        numbers::count_to_pop,
        table::{BeginSearch, FindKeys, KeyFlags, KeySpec},
        timeout::{deadline_s, wait_for_one_of},
    },
    events::NotifyClass,
};

/// The rows of pushes, pops and moves.
pub const ROWS: &[CommandSpec] = &[
    CommandSpec {
        name: "blmove",
        arity: 6,
        flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::BLOCKING),
        keys: MOVE_KEYS,
        since: "6.2.0",
        summary: "Moves an element from an end of a list to an end of another, and blocks while there is none.",
        syntax: "source:key destination:key (LEFT|RIGHT) (LEFT|RIGHT) timeout:double",
        handler: Handler::Write(blmove),
        ..LIST
    },
    CommandSpec {
        name: "blmpop",
        arity: -5,
        flags: Flags::WRITE.union(Flags::BLOCKING).union(Flags::MOVABLE_KEYS),
        keys: &[KeySpec { begin: BeginSearch::Index(2), ..COUNTED_KEYS }],
        since: "7.0.0",
        complexity: "O(N+M) with N keys and M elements",
        summary: "Removes and returns elements at an end of the first list that is not empty, and blocks while all are empty.",
        syntax: "timeout:double numkeys:integer key... (LEFT|RIGHT) [COUNT count:integer]",
        handler: Handler::Write(blmpop),
        ..LIST
    },
    CommandSpec {
        name: "blpop",
        arity: -3,
        flags: Flags::WRITE.union(Flags::BLOCKING),
        keys: &[KeySpec::range(1, -2, 1, POP)],
        since: "2.0.0",
        complexity: "O(N) with N keys",
        summary: "Removes and returns the first element of the first list that is not empty, and blocks while all are empty.",
        syntax: "key... timeout:double",
        handler: Handler::Write(blpop),
        ..LIST
    },
    CommandSpec {
        name: "brpop",
        arity: -3,
        flags: Flags::WRITE.union(Flags::BLOCKING),
        keys: &[KeySpec::range(1, -2, 1, POP)],
        since: "2.0.0",
        complexity: "O(N) with N keys",
        summary: "Removes and returns the last element of the first list that is not empty, and blocks while all are empty.",
        syntax: "key... timeout:double",
        handler: Handler::Write(brpop),
        ..LIST
    },
    CommandSpec {
        name: "brpoplpush",
        arity: 4,
        flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::BLOCKING),
        keys: MOVE_KEYS,
        since: "2.2.0",
        summary: "Moves the last element of a list to the beginning of another, and blocks while there is none.",
        syntax: "source:key destination:key timeout:double",
        deprecated: Some(("6.2.0", "`BLMOVE` with the `RIGHT` and `LEFT` arguments")),
        handler: Handler::Write(brpoplpush),
        ..LIST
    },
    CommandSpec {
        name: "lmove",
        arity: 5,
        flags: Flags::WRITE.union(Flags::DENYOOM),
        keys: MOVE_KEYS,
        since: "6.2.0",
        summary: "Moves an element from an end of a list to an end of another, or of the same one.",
        syntax: "source:key destination:key (LEFT|RIGHT) (LEFT|RIGHT)",
        handler: Handler::Write(lmove),
        ..LIST
    },
    CommandSpec {
        name: "lmpop",
        arity: -4,
        flags: Flags::WRITE.union(Flags::MOVABLE_KEYS),
        keys: &[COUNTED_KEYS],
        since: "7.0.0",
        complexity: "O(N+M) with N keys and M elements",
        summary: "Removes and returns elements at an end of the first list that is not empty.",
        syntax: "numkeys:integer key... (LEFT|RIGHT) [COUNT count:integer]",
        handler: Handler::Write(lmpop),
        ..LIST
    },
    CommandSpec {
        name: "lpop",
        arity: -2,
        flags: Flags::WRITE.union(Flags::FAST).union(Flags::BATCH_BARE),
        keys: &[KeySpec::one(1, POP)],
        since: "1.0.0",
        complexity: "O(N) with N elements",
        summary: "Removes and returns one or more elements at the beginning of a list.",
        syntax: "key [count:integer]",
        handler: Handler::Write(lpop),
        ..LIST
    },
    CommandSpec {
        name: "lpush",
        since: "1.0.0",
        summary: "Adds values at the beginning of a list, one after the other. The list is created if it does not exist.",
        handler: Handler::Write(lpush),
        ..PUSH
    },
    CommandSpec {
        name: "lpushx",
        since: "2.2.0",
        summary: "Adds values at the beginning of a list, one after the other, but only if the list exists.",
        handler: Handler::Write(lpushx),
        ..PUSH
    },
    CommandSpec {
        name: "rpop",
        arity: -2,
        flags: Flags::WRITE.union(Flags::FAST).union(Flags::BATCH_BARE),
        keys: &[KeySpec::one(1, POP)],
        since: "1.0.0",
        complexity: "O(N) with N elements",
        summary: "Removes and returns one or more elements at the end of a list.",
        syntax: "key [count:integer]",
        handler: Handler::Write(rpop),
        ..LIST
    },
    CommandSpec {
        name: "rpoplpush",
        arity: 3,
        flags: Flags::WRITE.union(Flags::DENYOOM),
        keys: MOVE_KEYS,
        since: "1.2.0",
        summary: "Moves the last element of a list to the beginning of another, or of the same one.",
        syntax: "source:key destination:key",
        deprecated: Some(("6.2.0", "`LMOVE` with the `RIGHT` and `LEFT` arguments")),
        handler: Handler::Write(rpoplpush),
        ..LIST
    },
    CommandSpec {
        name: "rpush",
        since: "1.0.0",
        summary: "Adds values at the end of a list, one after the other. The list is created if it does not exist.",
        handler: Handler::Write(rpush),
        ..PUSH
    },
    CommandSpec {
        name: "rpushx",
        since: "2.2.0",
        summary: "Adds values at the end of a list, one after the other, but only if the list exists.",
        handler: Handler::Write(rpushx),
        ..PUSH
    },
];

/// The fields that the rows of pushes share.
const PUSH: CommandSpec = CommandSpec {
    arity: -3,
    flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST).union(Flags::BATCH),
    keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::INSERT))],
    complexity: "O(N) with N values",
    syntax: "key element...",
    ..LIST
};

const POP: KeyFlags = KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::DELETE);
const MOVE_KEYS: &[KeySpec] = &[KeySpec::one(1, POP), KeySpec::one(2, KeyFlags::RW.union(KeyFlags::INSERT))];
const COUNTED_KEYS: KeySpec = KeySpec {
    flags: POP,
    begin: BeginSearch::Index(1),
    find: FindKeys::Count { at: 0, first: 1, step: 1 },
    notes: None,
};

fn lpush(cx: &mut KeyedWrite<'_>) -> Run {
    push(cx, End::Left, Missing::Create)
}

fn rpush(cx: &mut KeyedWrite<'_>) -> Run {
    push(cx, End::Right, Missing::Create)
}

fn lpushx(cx: &mut KeyedWrite<'_>) -> Run {
    push(cx, End::Left, Missing::Skip)
}

fn rpushx(cx: &mut KeyedWrite<'_>) -> Run {
    push(cx, End::Right, Missing::Skip)
}

#[inline]
fn push(cx: &mut KeyedWrite<'_>, end: End, missing: Missing) -> Run {
    let (key, values, limits) = (cx.key(1), cx.args.slice(2..).iter(), limits(cx));
    let edited = cx.edit::<List, _>(key, missing, |list| list.push(end, values, &limits))?;
    let len = match edited {
        None => 0,
        Some(edited) => {
            cx.edited(key, NotifyClass::LIST, push_event(end), &edited);
            cx.effects.count_as(cx.args.len() - 2);
            edited.result
        }
    };
    cx.reply.integer(len as i64);
    Ok(Outcome::Done)
}

fn push_event(end: End) -> &'static str {
    match end {
        End::Left => "lpush",
        End::Right => "rpush",
    }
}

fn pop_event(end: End) -> &'static str {
    match end {
        End::Left => "lpop",
        End::Right => "rpop",
    }
}

fn lpop(cx: &mut KeyedWrite<'_>) -> Run {
    pop(cx, End::Left)
}

fn rpop(cx: &mut KeyedWrite<'_>) -> Run {
    pop(cx, End::Right)
}

#[inline]
fn pop(cx: &mut KeyedWrite<'_>, end: End) -> Run {
    let count = match cx.args.len() {
        2 => None,
        3 => Some(count_to_pop(cx, 2)?),
        _ => return Err(CommandError::wrong_arity(&cx.command.full_name)),
    };
    let (key, limits) = (cx.key(1), limits(cx));
    let edited = cx.edit_and_reply::<List, _>(key, Missing::Skip, |list, reply| {
        if let Some(count) = count {
            reply.array(count.min(list.len()));
        }
        list.pop(end, count.unwrap_or(1), &limits, |element| reply_element(reply, element))
    })?;
    match edited {
        Some(edited) if edited.result > 0 => {
            cx.edited(key, NotifyClass::LIST, pop_event(end), &edited);
            cx.effects.count_as(edited.result);
        }
        Some(_) => {}
        None if count.is_some() => cx.reply.null_array(),
        None => cx.reply.null(),
    }
    Ok(Outcome::Done)
}

fn lmpop(cx: &mut KeyedWrite<'_>) -> Run {
    let pops = MultiPop::parse(cx, 1, end)?;
    if !pop_of_several(cx, pops.first_key, pops.keys, pops.end, Some(pops.count))? {
        cx.reply.null_array();
    }
    Ok(Outcome::Done)
}

fn blmpop(cx: &mut KeyedWrite<'_>) -> Run {
    let pops = MultiPop::parse(cx, 2, end)?;
    let deadline = deadline_s(cx, 1)?;
    if pop_of_several(cx, pops.first_key, pops.keys, pops.end, Some(pops.count))? {
        return Ok(Outcome::Done);
    }
    Ok(wait_for_one_of(pops.first_key..pops.first_key + pops.keys, ValueType::List, deadline))
}

fn blpop(cx: &mut KeyedWrite<'_>) -> Run {
    blocking_pop(cx, End::Left)
}

fn brpop(cx: &mut KeyedWrite<'_>) -> Run {
    blocking_pop(cx, End::Right)
}

fn blocking_pop(cx: &mut KeyedWrite<'_>, end: End) -> Run {
    let timeout = cx.args.len() - 1;
    let deadline = deadline_s(cx, timeout)?;
    if pop_of_several(cx, 1, timeout - 1, end, None)? {
        return Ok(Outcome::Done);
    }
    Ok(wait_for_one_of(1..timeout, ValueType::List, deadline))
}

/// Pops from the first of the keys that holds a list. Replies with the key and one element or, with a count, an array of at most `count`
/// elements. Returns whether there was a list.
fn pop_of_several(
    cx: &mut KeyedWrite<'_>,
    first_key: usize,
    keys: usize,
    end: End,
    count: Option<usize>,
) -> Result<bool, CommandError> {
    let limits = limits(cx);
    for nth in 0..keys {
        let key = cx.nth_key(nth, first_key + nth);
        let edited = cx.edit_and_reply::<List, _>(key, Missing::Skip, |list, reply| {
            reply.array(2);
            reply.bulk(key.bytes);
            if let Some(count) = count {
                reply.array(count.min(list.len()));
            }
            list.pop(end, count.unwrap_or(1), &limits, |element| reply_element(reply, element))
        })?;
        if let Some(edited) = edited {
            cx.edited(key, NotifyClass::LIST, pop_event(end), &edited);
            cx.effects.count_as(edited.result);
            // The record names the list, so that a replay does not depend on the other keys.
            cx.journal(|| {
                let name: &[u8] = if end == End::Left { b"LPOP" } else { b"RPOP" };
                let popped = edited.result.to_string().into_bytes();
                vec![Cow::Borrowed(name), Cow::Borrowed(key.bytes), Cow::Owned(popped)]
            });
            return Ok(true);
        }
    }
    Ok(false)
}

fn lmove(cx: &mut KeyedWrite<'_>) -> Run {
    let (from, to) = (end(cx, 3)?, end(cx, 4)?);
    if !move_element(cx, from, to)? {
        cx.reply.null();
    }
    Ok(Outcome::Done)
}

fn rpoplpush(cx: &mut KeyedWrite<'_>) -> Run {
    if !move_element(cx, End::Right, End::Left)? {
        cx.reply.null();
    }
    Ok(Outcome::Done)
}

fn blmove(cx: &mut KeyedWrite<'_>) -> Run {
    let (from, to) = (end(cx, 3)?, end(cx, 4)?);
    let deadline = deadline_s(cx, 5)?;
    blocking_move(cx, from, to, deadline)
}

fn brpoplpush(cx: &mut KeyedWrite<'_>) -> Run {
    let deadline = deadline_s(cx, 3)?;
    blocking_move(cx, End::Right, End::Left, deadline)
}

fn blocking_move(cx: &mut KeyedWrite<'_>, from: End, to: End, deadline: Option<Instant>) -> Run {
    if !move_element(cx, from, to)? {
        if !cx.nested {
            return Ok(wait_for_one_of(1..2, ValueType::List, deadline));
        }
        cx.reply.null();
        return Ok(Outcome::Done);
    }
    let (source, destination) = (cx.args.get(1), cx.args.get(2));
    cx.journal(|| {
        let word = |end: End| Cow::Borrowed(if end == End::Left { &b"LEFT"[..] } else { b"RIGHT" });
        vec![Cow::Borrowed(b"LMOVE"), Cow::Borrowed(source), Cow::Borrowed(destination), word(from), word(to)]
    });
    Ok(Outcome::Done)
}

/// Moves an element from the first key's list to the second key's list, and replies with it. Returns whether there was an element.
fn move_element(cx: &mut KeyedWrite<'_>, from: End, to: End) -> Result<bool, CommandError> {
    let (source, destination, database, limits) = (cx.key(1), cx.key(2), cx.db(), limits(cx));
    let Some(entry) = cx.keys.get(database, source) else { return Ok(false) };
    entry.collection::<List>()?;
    if let Some(entry) = cx.keys.get(database, destination) {
        entry.collection::<List>()?;
    }
    if source.bytes == destination.bytes {
        let edited = cx.edit_and_reply::<List, _>(source, Missing::Skip, |list, reply| {
            list.rotate(from, to, &limits, |element| reply_element(reply, element));
        })?;
        if let Some(edited) = edited {
            cx.changed(destination, NotifyClass::LIST, push_event(to));
            cx.edited(source, NotifyClass::LIST, pop_event(from), &edited);
            cx.effects.count_as(1);
        }
        return Ok(true);
    }
    // An element that is no integer is copied, since the two lists cannot be borrowed at once.
    let (mut text, mut integer) = (Vec::new(), None);
    let popped = cx.edit_and_reply::<List, _>(source, Missing::Skip, |list, reply| {
        list.pop(from, 1, &limits, |element| {
            reply_element(reply, element);
            integer = element.as_int();
            if integer.is_none() {
                element.write_to(&mut text);
            }
        });
    })?;
    let element = integer.map_or(Element::Bytes(&text), Element::Int);
    let pushed = cx.edit::<List, _>(destination, Missing::Create, |list| list.push_element(to, element, &limits))?;
    if let (Some(popped), Some(pushed)) = (popped, pushed) {
        cx.edited(destination, NotifyClass::LIST, push_event(to), &pushed);
        cx.edited(source, NotifyClass::LIST, pop_event(from), &popped);
        cx.effects.count_as(1);
    }
    Ok(true)
}
