//! Lists by index: reading, replacing and trimming. `ends.rs` has pushes and pops, `search.rs` the commands that find elements by value.

pub mod ends;
pub mod search;

use std::ops::ControlFlow;

use ochre_datatypes::list::{End, List, ListLimits};
use ochre_keyspace::Missing;

use super::{
    CommandError, CommandSpec, Flags, Handler,
    context::{Context, KeyedRead, KeyedWrite, Outcome, Run},
    elements::{reply_element, reply_element_or_null},
    table::{Category, Group, KeyFlags, KeySpec},
};
use crate::events::NotifyClass;

/// The rows of commands on elements by index.
pub const ROWS: &[CommandSpec] = &[
    CommandSpec {
        name: "lindex",
        arity: 3,
        flags: Flags::READONLY.union(Flags::BATCH),
        keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
        since: "1.0.0",
        complexity: "O(N) with N the nodes between the element and the nearer end, each of hundreds of elements",
        summary: "Returns an element of a list by its index. A negative index counts from the end.",
        syntax: "key index:integer",
        handler: Handler::Read(lindex),
        ..LIST
    },
    CommandSpec {
        name: "llen",
        arity: 2,
        flags: Flags::READONLY.union(Flags::FAST).union(Flags::BATCH),
        keys: &[KeySpec::one(1, KeyFlags::RO)],
        since: "1.0.0",
        summary: "Returns the length of a list.",
        syntax: "key",
        handler: Handler::Read(llen),
        ..LIST
    },
    CommandSpec {
        name: "lrange",
        arity: 4,
        flags: Flags::READONLY.union(Flags::BATCH),
        keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
        since: "1.0.0",
        complexity: "O(S+N) with S the nodes between the range and the nearer end, and N the returned elements",
        summary: "Returns the elements of a list between two indexes, both included.",
        syntax: "key start:integer stop:integer",
        handler: Handler::Read(lrange),
        ..LIST
    },
    CommandSpec {
        name: "lset",
        arity: 4,
        flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::BATCH),
        keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::UPDATE))],
        since: "1.0.0",
        complexity: "O(N) with N the nodes between the element and the nearer end, each of hundreds of elements",
        summary: "Replaces the element of a list at an index.",
        syntax: "key index:integer element",
        handler: Handler::Write(lset),
        ..LIST
    },
    CommandSpec {
        name: "ltrim",
        arity: 4,
        flags: Flags::WRITE,
        keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::DELETE))],
        since: "1.0.0",
        complexity: "O(N) with N the removed nodes, each of hundreds of elements",
        summary: "Removes the elements of a list outside a range of indexes, both ends included.",
        syntax: "key start:integer stop:integer",
        handler: Handler::Write(ltrim),
        ..LIST
    },
];

/// The fields that the rows of lists share.
const LIST: CommandSpec = CommandSpec { categories: Category::LIST, group: Group::List, ..CommandSpec::DEFAULT };

/// The limits of a list's nodes.
#[inline]
pub fn limits<K>(cx: &Context<'_, K>) -> ListLimits {
    ListLimits {
        listpack_size_max: cx.core.config().list_max_listpack_size,
        plain_len_min: cx.core.server.plain_len_min(),
    }
}

/// Parses LEFT or RIGHT at an index.
fn end(cx: &KeyedWrite<'_>, index: usize) -> Result<End, CommandError> {
    if cx.is_word(index, "LEFT") {
        Ok(End::Left)
    } else if cx.is_word(index, "RIGHT") {
        Ok(End::Right)
    } else {
        Err(CommandError::SYNTAX)
    }
}

/// The position of the element at an index, which counts from the end if it is negative. Returns `None` outside the list.
fn resolve(index: i64, len: usize) -> Option<usize> {
    let index = if index < 0 { len.checked_sub(usize::try_from(index.unsigned_abs()).ok()?)? } else { index as usize };
    (index < len).then_some(index)
}

/// The start and the length of the range between two indexes, both included. A negative index counts from the end.
fn resolve_range(start: i64, stop: i64, len: usize) -> (usize, usize) {
    let from_start = |index: i64| if index < 0 { index.saturating_add(len as i64) } else { index };
    let (start, stop) = (from_start(start).max(0), from_start(stop).min(len as i64 - 1));
    if start > stop { (0, 0) } else { (start as usize, (stop - start + 1) as usize) }
}

fn llen(cx: &mut KeyedRead<'_>) -> Run {
    let key = cx.key(1);
    let len = cx.read::<List>(key)?.map_or(0, |list| list.len());
    cx.reply.integer(len as i64);
    Ok(Outcome::Done)
}

fn lindex(cx: &mut KeyedRead<'_>) -> Run {
    let key = cx.key(1);
    let Some(list) = cx.read::<List>(key)? else {
        cx.reply.null();
        return Ok(Outcome::Done);
    };
    let index = resolve(cx.integer(2)?, list.len());
    reply_element_or_null(&mut cx.reply, index.and_then(|index| list.get(index)));
    Ok(Outcome::Done)
}

fn lrange(cx: &mut KeyedRead<'_>) -> Run {
    let (start, stop) = (cx.integer(2)?, cx.integer(3)?);
    let key = cx.key(1);
    let Some(list) = cx.read::<List>(key)? else {
        cx.reply.array(0);
        return Ok(Outcome::Done);
    };
    let (mark, end) = (cx.reply.position(), cx.shared_reply_end());
    let (from, count) = resolve_range(start, stop, list.len());
    // The walk to the start, from the nearer end, skips whole nodes, which have about sixteen elements or more.
    if cx.is_too_far_to_share(count.max(from.min(list.len() - from) / 16)) {
        return cx.leave_batch(mark);
    }
    cx.reply.array(count);
    let reply = &mut cx.reply;
    let walked = list.walk(from, count, |element| {
        reply_element(reply, element);
        if reply.position() > end { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    if walked.is_break() { cx.leave_batch(mark) } else { Ok(Outcome::Done) }
}

fn lset(cx: &mut KeyedWrite<'_>) -> Run {
    let (key, value, limits) = (cx.key(1), cx.args.get(3), limits(cx));
    let text = cx.args.get(2);
    // The index is parsed after the key is found, as in Redis.
    let edited = cx.edit::<List, _>(key, Missing::Skip, |list| {
        let index = ochre_datatypes::number::parse_i64(text).ok_or(CommandError::NOT_AN_INTEGER)?;
        let index = resolve(index, list.len()).unwrap_or(usize::MAX);
        let is_set = list.set(index, value, &limits);
        is_set.then_some(()).ok_or(CommandError::text("ERR index out of range"))
    })?;
    let Some(edited) = edited else { return Err(CommandError::NO_SUCH_KEY) };
    edited.result.clone()?;
    cx.edited(key, NotifyClass::LIST, "lset", &edited);
    cx.reply.ok();
    Ok(Outcome::Done)
}

fn ltrim(cx: &mut KeyedWrite<'_>) -> Run {
    let (start, stop) = (cx.integer(2)?, cx.integer(3)?);
    let (key, limits) = (cx.key(1), limits(cx));
    let edited = cx.edit::<List, _>(key, Missing::Skip, |list| {
        let (from, kept) = resolve_range(start, stop, list.len());
        let removed = list.len() - kept;
        list.trim(from, kept, &limits);
        removed
    })?;
    if let Some(edited) = edited {
        // As in Redis, a trim that removes nothing is announced, but is no change.
        cx.edited(key, NotifyClass::LIST, "ltrim", &edited);
        cx.effects.count_as(edited.result);
    }
    cx.reply.ok();
    Ok(Outcome::Done)
}
