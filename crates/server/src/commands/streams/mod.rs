//! Streams: adding, reading and deleting entries. `groups.rs` and `pending.rs` have consumer groups, `read.rs` XREAD and XREADGROUP, `info.rs`
//! XINFO.

pub mod groups;
pub mod info;
pub mod pending;
pub mod read;

mod arguments;

use std::borrow::Cow;

use ochre_datatypes::stream::{
    AppendError, BlockLimits, Deletion, Entry, NewId, NewState, References, SetStateError, Stream, StreamId, Trim,
    TrimTo,
};
use ochre_keyspace::{HashedKey, Missing};
use ochre_resp::ReplyWriter;
use smallvec::SmallVec;

use self::arguments::{AddOrTrim, interval, parse_id};
use super::{
    CommandError, CommandSpec, Flags, Handler,
    context::{Context, KeyedRead, KeyedWrite, Outcome, Run},
    error::until_zero,
    table::{Category, Group, KeyFlags, KeySpec},
};
use crate::events::NotifyClass;

/// The rows of commands on entries.
pub const ROWS: &[CommandSpec] = &[
    CommandSpec {
        name: "xadd",
        arity: -5,
        flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST).union(Flags::BATCH),
        keys: &[KeySpec {
            notes: Some("UPDATE instead of INSERT because of the optional trimming feature"),
            ..KeySpec::one(1, KeyFlags::RW.union(KeyFlags::UPDATE))
        }],
        tips: &["nondeterministic_output"],
        complexity: "O(1) to add, O(N) to trim with N the number of removed entries",
        summary: "Adds an entry to a stream, which is created if it does not exist.",
        syntax: "key [NOMKSTREAM] [KEEPREF|DELREF|ACKED] [(MAXLEN|MINID) [=|~] threshold [LIMIT count:integer]] (*|id) \
                 (field value)...",
        handler: Handler::Write(add),
        ..STREAM
    },
    CommandSpec {
        name: "xdel",
        arity: -3,
        flags: Flags::WRITE.union(Flags::FAST).union(Flags::BATCH),
        keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::DELETE))],
        complexity: "O(N) with N IDs",
        summary: "Deletes entries of a stream by their IDs.",
        syntax: "key id...",
        handler: Handler::Write(delete),
        ..STREAM
    },
    CommandSpec {
        name: "xdelex",
        arity: -5,
        flags: Flags::WRITE.union(Flags::FAST),
        keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::DELETE))],
        since: "8.2.0",
        complexity: "O(N) with N IDs",
        summary: "Deletes entries of a stream by their IDs, and keeps or deletes the references that consumer groups have to them.",
        syntax: "key [KEEPREF|DELREF|ACKED] IDS (numids:integer id...)",
        handler: Handler::Write(delete_with_references),
        ..STREAM
    },
    CommandSpec {
        name: "xlen",
        arity: 2,
        flags: Flags::READONLY.union(Flags::FAST).union(Flags::BATCH),
        keys: &[KeySpec::one(1, KeyFlags::RO)],
        summary: "Returns the number of entries of a stream.",
        syntax: "key",
        handler: Handler::Read(len),
        ..STREAM
    },
    CommandSpec {
        name: "xrange",
        arity: -4,
        flags: Flags::READONLY,
        keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
        complexity: "O(log S + N) with S entries in the stream and N returned",
        summary: "Returns the entries of a stream in a range of IDs.",
        syntax: "key start end [COUNT count:integer]",
        handler: Handler::Read(range),
        ..STREAM
    },
    CommandSpec {
        name: "xrevrange",
        arity: -4,
        flags: Flags::READONLY,
        keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
        complexity: "O(log S + N) with S entries in the stream and N returned",
        summary: "Returns the entries of a stream in a range of IDs, in reverse order.",
        syntax: "key end start [COUNT count:integer]",
        handler: Handler::Read(range_back),
        ..STREAM
    },
    CommandSpec {
        name: "xsetid",
        arity: -3,
        flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST).union(Flags::BATCH),
        keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::UPDATE))],
        summary: "Sets the last ID of a stream, for replication.",
        syntax: "key last-id [ENTRIESADDED entries-added:integer] [MAXDELETEDID max-deleted-id]",
        handler: Handler::Write(set_id),
        ..STREAM
    },
    CommandSpec {
        name: "xtrim",
        arity: -4,
        flags: Flags::WRITE,
        keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::DELETE))],
        tips: &["nondeterministic_output"],
        complexity: "O(N) with N the number of removed entries",
        summary: "Removes the first entries of a stream, down to a length or up to an ID.",
        syntax: "key ((MAXLEN|MINID) [=|~] threshold [LIMIT count:integer] [KEEPREF|DELREF|ACKED])",
        handler: Handler::Write(trim),
        ..STREAM
    },
];

/// The fields that the rows of streams share.
const STREAM: CommandSpec =
    CommandSpec { categories: Category::STREAM, group: Group::Stream, since: "5.0.0", ..CommandSpec::DEFAULT };

/// The words of a command in the journal.
type Words<'a> = Vec<Cow<'a, [u8]>>;

/// Replies with an ID.
#[inline]
fn reply_id(reply: &mut ReplyWriter<'_>, id: StreamId) {
    reply.bulk(id.to_text().as_bytes());
}

/// Replies with an entry: its ID, and an array of its fields and values.
fn reply_entry(reply: &mut ReplyWriter<'_>, entry: Entry<'_>) {
    reply.array(2);
    reply_id(reply, entry.id);
    reply.array(entry.field_count() * 2);
    let mut digits = itoa::Buffer::new();
    for (field, value) in entry.pairs() {
        reply.bulk(field.text(&mut digits));
        reply.bulk(value.text(&mut digits));
    }
}

/// Replies with at most `count` entries, or with all if `count` is 0.
fn reply_entries<'s>(reply: &mut ReplyWriter<'_>, entries: impl Iterator<Item = Entry<'s>>, count: usize) {
    let mark = reply.array_later();
    let mut len = 0;
    for entry in entries.take(if count == 0 { usize::MAX } else { count }) {
        reply_entry(reply, entry);
        len += 1;
    }
    reply.close_array(mark, len);
}

/// An error that repeats two words of the client, each up to its first zero byte, as C prints them.
fn error_with(before: &str, first: &[u8], between: &str, second: &[u8], after: &str) -> CommandError {
    let parts = [before.as_bytes(), until_zero(first), between.as_bytes(), until_zero(second), after.as_bytes()];
    CommandError::composed(parts.concat())
}

/// The error of commands that need a key and a group, if either does not exist.
fn no_group_or_key(key: &[u8], group: &[u8]) -> CommandError {
    error_with("NOGROUP No such key '", key, "' or consumer group '", group, "'")
}

/// The error of commands that need a group, if it does not exist.
fn no_group(key: &[u8], group: &[u8]) -> CommandError {
    error_with("NOGROUP No such consumer group '", group, "' for key name '", key, "'")
}

/// The stream of a key that the command will write to, looked up as by a command that reads: it counts as a hit or a miss.
fn lookup<'k, 'a>(cx: &'k mut KeyedWrite<'a>, key: HashedKey<'a>) -> Result<Option<&'k Stream>, CommandError> {
    match cx.lookup(key) {
        Some(entry) => Ok(Some(entry.collection::<Stream>()?)),
        None => Ok(None),
    }
}

/// The stream of a key that the command will write to. Counts as an access, but as neither hit nor miss.
fn stream_of<'k>(cx: &'k mut KeyedWrite<'_>, key: HashedKey<'_>) -> Result<Option<&'k Stream>, CommandError> {
    match cx.keys.get(cx.session.database, key) {
        Some(entry) => Ok(Some(entry.collection::<Stream>()?)),
        None => Ok(None),
    }
}

fn add(cx: &mut KeyedWrite<'_>) -> Run {
    let request = AddOrTrim::parse(cx, true)?;
    let pairs: SmallVec<[&[u8]; 32]> = cx.args.iter().skip(request.next_argument + 1).collect();
    let Some(id) = request.id.filter(|_| !pairs.is_empty() && pairs.len().is_multiple_of(2)) else {
        return Err(CommandError::wrong_arity(&cx.command.full_name));
    };
    if id == NewId::Given(StreamId::MIN) {
        return Err(CommandError::text("ERR The ID specified in XADD must be greater than 0-0"));
    }
    let key = cx.key(1);
    let config = cx.core.config();
    let limits = BlockLimits { bytes_max: config.stream_node_max_bytes, entries_max: config.stream_node_max_entries };
    let missing = if request.no_create { Missing::Skip } else { Missing::Create };
    let now_ms = cx.now_ms;
    let edited = cx.edit(key, missing, |stream: &mut Stream| {
        let id = stream.append(id, &pairs, now_ms, &limits)?;
        let trimmed = request.trim.map_or(0, |trim| stream.trim(&trim));
        Ok((id, trimmed, stream.log().len(), stream.log().first_id()))
    })?;
    let Some(edited) = edited else {
        cx.reply.null();
        return Ok(Outcome::Done);
    };
    let (added, trimmed, len, first) = edited.result.map_err(|error| {
        CommandError::text(match error {
            AppendError::Exhausted => "ERR The stream has exhausted the last possible ID, unable to add more items",
            AppendError::NotGreater => {
                "ERR The ID specified in XADD is equal or smaller than the target stream top item"
            }
            AppendError::TooLarge => "ERR Elements are too large to be stored",
        })
    })?;
    cx.changed(key, NotifyClass::STREAM, "xadd");
    if trimmed > 0 {
        cx.announce(key, NotifyClass::STREAM, "xtrim");
    }
    reply_id(&mut cx.reply, added);
    if request.trim.is_some() || !matches!(id, NewId::Given(_)) {
        cx.journal(|| {
            let mut words: Words<'_> = vec![b"XADD".into(), key.bytes.into()];
            words.extend(
                request.trim.filter(|_| trimmed > 0).into_iter().flat_map(|trim| trim_words(&trim, len, first)),
            );
            words.push(added.to_text().as_bytes().to_vec().into());
            words.extend(pairs.iter().map(|text| Cow::Borrowed(*text)));
            words
        });
    }
    Ok(Outcome::Done)
}

/// The words that repeat exactly what a trim did. `len` is the number of entries that it left, and `first` the ID of the first of them.
fn trim_words<'a>(trim: &Trim, len: u64, first: StreamId) -> Words<'a> {
    let is_followed = trim.references == References::Keep;
    let (strategy, threshold): (&[u8], Vec<u8>) = match trim.to {
        TrimTo::Length(to) => (b"MAXLEN", if is_followed { len } else { to }.to_string().into_bytes()),
        // If the stream is empty now, the trim reached this ID.
        TrimTo::From(to) => {
            let from = if is_followed && len > 0 && trim.approximate { first } else { to };
            (b"MINID", from.to_text().as_bytes().to_vec())
        }
    };
    let mut words: Words<'a> = vec![strategy.into(), b"=".into(), threshold.into()];
    match trim.references {
        References::Keep => {}
        References::Delete => words.push(b"DELREF".into()),
        References::Acknowledged => words.push(b"ACKED".into()),
    }
    words
}

fn trim(cx: &mut KeyedWrite<'_>) -> Run {
    let request = AddOrTrim::parse(cx, false)?;
    let trim = request.trim.expect("parse refuses XTRIM without a trim");
    let key = cx.key(1);
    let edited = cx.edit(key, Missing::Skip, |stream: &mut Stream| {
        (stream.trim(&trim), stream.log().len(), stream.log().first_id())
    })?;
    let (trimmed, len, first) = edited.map_or((0, 0, StreamId::MIN), |edited| edited.result);
    if trimmed > 0 {
        cx.changed(key, NotifyClass::STREAM, "xtrim");
        cx.effects.count_as(trimmed as usize);
        if trim.approximate {
            cx.journal(|| {
                let mut words: Words<'_> = vec![b"XTRIM".into(), key.bytes.into()];
                words.extend(trim_words(&trim, len, first));
                words
            });
        }
    }
    cx.reply.integer(trimmed as i64);
    Ok(Outcome::Done)
}

fn delete(cx: &mut KeyedWrite<'_>) -> Run {
    let key = cx.key(1);
    if stream_of(cx, key)?.is_none() {
        cx.reply.integer(0);
        return Ok(Outcome::Done);
    }
    let ids = parse_ids(cx, 2, cx.args.len())?;
    let edited = cx.edit(key, Missing::Skip, |stream: &mut Stream| {
        ids.iter().filter(|id| stream.delete(**id, References::Keep) == Deletion::Deleted).count()
    })?;
    let deleted = edited.map_or(0, |edited| edited.result);
    if deleted > 0 {
        cx.changed(key, NotifyClass::STREAM, "xdel");
        cx.effects.changed_many(deleted as u64 - 1);
    }
    cx.reply.integer(deleted as i64);
    Ok(Outcome::Done)
}

/// Parses the arguments from `start` up to, but not including, `end` as IDs.
fn parse_ids<K>(cx: &Context<'_, K>, start: usize, end: usize) -> Result<SmallVec<[StreamId; 8]>, CommandError> {
    (start..end).map(|index| parse_id(cx.args.get(index))).collect()
}

fn delete_with_references(cx: &mut KeyedWrite<'_>) -> Run {
    let key = cx.key(1);
    let is_missing = stream_of(cx, key)?.is_none();
    let request = arguments::DeleteIds::parse(cx, 2)?;
    if is_missing {
        reply_missing(&mut cx.reply, request.ids.len());
        return Ok(Outcome::Done);
    }
    let ids = parse_ids(cx, request.ids.start, request.ids.end)?;
    let edited = cx.edit(key, Missing::Skip, |stream: &mut Stream| {
        ids.iter().map(|id| stream.delete(*id, request.references)).collect::<SmallVec<[Deletion; 8]>>()
    })?;
    let deletions = edited.map(|edited| edited.result).unwrap_or_default();
    let deleted = deletions.iter().filter(|deletion| **deletion == Deletion::Deleted).count();
    if deleted > 0 {
        cx.changed(key, NotifyClass::STREAM, "xdel");
        cx.effects.changed_many(deleted as u64 - 1);
    } else if request.references == References::Delete {
        // The entries did not exist, but references to them may have been deleted.
        cx.effects.changed_many(1);
    }
    cx.reply.array(deletions.len());
    for deletion in deletions {
        cx.reply.integer(match deletion {
            Deletion::Deleted => 1,
            Deletion::NotThere => -1,
            Deletion::Referred => 2,
        });
    }
    Ok(Outcome::Done)
}

/// Replies for a number of IDs that they do not exist.
fn reply_missing(reply: &mut ReplyWriter<'_>, ids: usize) {
    reply.array(ids);
    (0..ids).for_each(|_| reply.integer(-1));
}

fn len(cx: &mut KeyedRead<'_>) -> Run {
    let key = cx.key(1);
    let len = cx.read::<Stream>(key)?.map_or(0, |stream| stream.log().len());
    cx.reply.integer(len as i64);
    Ok(Outcome::Done)
}

fn range(cx: &mut KeyedRead<'_>) -> Run {
    reply_range(cx, 2, 3, false)
}

fn range_back(cx: &mut KeyedRead<'_>) -> Run {
    reply_range(cx, 3, 2, true)
}

/// Replies with the entries between the IDs at two arguments, in reverse order if `back`. (Redis: `xrangeGenericCommand`)
fn reply_range(cx: &mut KeyedRead<'_>, start: usize, end: usize, back: bool) -> Run {
    let (start, end) = interval(cx.args.get(start), cx.args.get(end))?;
    let mut count = None;
    let mut index = 4;
    while index < cx.args.len() {
        if !cx.is_word(index, "COUNT") || index + 1 >= cx.args.len() {
            return Err(CommandError::SYNTAX);
        }
        count = Some(cx.integer(index + 1)?.max(0) as usize);
        index += 2;
    }
    let key = cx.key(1);
    let Some(stream) = cx.read::<Stream>(key)? else {
        cx.reply.array(0);
        return Ok(Outcome::Done);
    };
    let count = match count {
        Some(0) => {
            cx.reply.null_array();
            return Ok(Outcome::Done);
        }
        count => count.unwrap_or(0),
    };
    if back {
        reply_entries(&mut cx.reply, stream.log().range_back(start, end), count);
    } else {
        reply_entries(&mut cx.reply, stream.log().range(start, end), count);
    }
    Ok(Outcome::Done)
}

fn set_id(cx: &mut KeyedWrite<'_>) -> Run {
    let last_id = parse_id(cx.args.get(2))?;
    let mut state = NewState { last_id, entries_added: None, max_deleted_id: None };
    let mut index = 3;
    while index < cx.args.len() {
        let has_value = index + 1 < cx.args.len();
        if cx.is_word(index, "ENTRIESADDED") && has_value {
            let added = cx.integer(index + 1)?;
            if added < 0 {
                return Err(CommandError::text("ERR entries_added must be positive"));
            }
            state.entries_added = Some(added);
        } else if cx.is_word(index, "MAXDELETEDID") && has_value {
            let id = parse_id(cx.args.get(index + 1))?;
            if last_id < id {
                return Err(CommandError::text(
                    "ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id",
                ));
            }
            state.max_deleted_id = Some(id).filter(|id| !id.is_zero());
        } else {
            return Err(CommandError::SYNTAX);
        }
        index += 2;
    }
    let key = cx.key(1);
    let edited = cx.edit(key, Missing::Skip, |stream: &mut Stream| stream.parts_mut().0.set_state(&state))?;
    edited.ok_or(CommandError::NO_SUCH_KEY)?.result.map_err(|error| {
        CommandError::text(match error {
            SetStateError::BelowDeleted => {
                "ERR The ID specified in XSETID is smaller than current max_deleted_entry_id"
            }
            SetStateError::BelowLastEntry => {
                "ERR The ID specified in XSETID is smaller than the target stream top item"
            }
            SetStateError::FewerAddedThanLeft => {
                "ERR The entries_added specified in XSETID is smaller than the target stream length"
            }
        })
    })?;
    changed_groups(cx, key, Some("xsetid"));
    cx.reply.ok();
    Ok(Outcome::Done)
}

/// Announces a change of a stream's consumer groups, and its event, if any. As in Redis, WATCH does not see it.
fn changed_groups<'a>(cx: &mut KeyedWrite<'a>, key: HashedKey<'a>, event: Option<&'static str>) {
    cx.effects.changed_many(1);
    if let Some(event) = event {
        cx.announce(key, NotifyClass::STREAM, event);
    }
}
