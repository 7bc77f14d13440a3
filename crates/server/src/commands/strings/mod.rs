//! Strings: reading and changing a value, or a part of it. `set.rs` sets strings, `increment.rs` counts, `compare.rs` compares.

pub mod compare;
pub mod increment;
pub mod set;

use ochre_datatypes::{ValueType, allocation::reserve_to_append, bits};
use ochre_keyspace::{EntryRef, ExpiryChange, HashedKey, NewValue, ValueRef};
use ochre_resp::ReplyWriter;

use super::{
    CommandError, CommandSpec, Flags, Handler,
    context::{KeyedRead, KeyedWrite, Outcome, Run},
    table::{Category, Group, KeyFlags, KeySpec},
};
use crate::events::NotifyClass;

/// The rows of commands that read or change a string.
pub const ROWS: &[CommandSpec] = &[
    CommandSpec {
        name: "append",
        arity: 3,
        flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST).union(Flags::BATCH),
        keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::INSERT))],
        since: "2.0.0",
        complexity: "O(M) with M the length of the appended value, amortized",
        summary: "Appends to the string of a key, which is created if it does not exist.",
        syntax: "key value",
        handler: Handler::Write(append),
        ..STRING
    },
    CommandSpec {
        name: "get",
        arity: 2,
        flags: Flags::READONLY.union(Flags::FAST).union(Flags::BATCH),
        keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
        since: "1.0.0",
        summary: "Returns the string of a key.",
        syntax: "key",
        handler: Handler::Read(get),
        ..STRING
    },
    CommandSpec {
        name: "getdel",
        arity: 2,
        flags: Flags::WRITE.union(Flags::FAST).union(Flags::BATCH),
        keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::DELETE))],
        since: "6.2.0",
        summary: "Returns the string of a key and deletes the key.",
        syntax: "key",
        handler: Handler::Write(getdel),
        ..STRING
    },
    CommandSpec {
        name: "getrange",
        arity: 4,
        flags: Flags::READONLY.union(Flags::BATCH),
        keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
        since: "2.4.0",
        complexity: "O(N) with N the length of the returned string",
        summary: "Returns a part of the string of a key, between two offsets, both included.",
        syntax: "key start:integer end:integer",
        handler: Handler::Read(getrange),
        ..STRING
    },
    CommandSpec {
        name: "mget",
        arity: -2,
        flags: Flags::READONLY.union(Flags::FAST).union(Flags::BATCH),
        keys: &[KeySpec::range(1, -1, 1, KeyFlags::RO.union(KeyFlags::ACCESS))],
        tips: &["request_policy:multi_shard"],
        since: "1.0.0",
        complexity: "O(N) with N keys",
        summary: "Returns the strings of several keys, atomically.",
        syntax: "key...",
        handler: Handler::Read(mget),
        ..STRING
    },
    CommandSpec {
        name: "setrange",
        arity: 4,
        flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::BATCH),
        keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::UPDATE))],
        since: "2.2.0",
        complexity: "O(M) with M the length of the value and of the zeros before it",
        summary: "Overwrites a part of the string of a key from an offset on, and pads the string with zeros up to there.",
        syntax: "key offset:integer value",
        handler: Handler::Write(setrange),
        ..STRING
    },
    CommandSpec {
        name: "strlen",
        arity: 2,
        flags: Flags::READONLY.union(Flags::FAST).union(Flags::BATCH),
        keys: &[KeySpec::one(1, KeyFlags::RO)],
        since: "2.2.0",
        summary: "Returns the length of the string of a key.",
        syntax: "key",
        handler: Handler::Read(strlen),
        ..STRING
    },
    CommandSpec {
        name: "substr",
        arity: 4,
        flags: Flags::READONLY.union(Flags::BATCH),
        keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
        since: "1.0.0",
        complexity: "O(N) with N the length of the returned string",
        summary: "Returns a part of the string of a key.",
        syntax: "key start:integer end:integer",
        deprecated: Some(("2.0.0", "`GETRANGE`")),
        handler: Handler::Read(getrange),
        ..STRING
    },
];

/// The fields that the rows of strings share.
const STRING: CommandSpec = CommandSpec { categories: Category::STRING, group: Group::String, ..CommandSpec::DEFAULT };

/// The error for a string that would be longer than `proto-max-bulk-len`.
pub const TOO_LONG: CommandError = CommandError::text("ERR string exceeds maximum allowed size (proto-max-bulk-len)");

/// The string of an entry. The error is for an entry of another type.
#[inline]
pub fn string_of(entry: EntryRef<'_>) -> Result<ValueRef<'_>, CommandError> {
    if entry.value_type() == ValueType::String { Ok(entry.value()) } else { Err(CommandError::WRONG_TYPE) }
}

/// Replies with a string.
#[inline]
pub fn reply_string(reply: &mut ReplyWriter<'_>, value: ValueRef<'_>) {
    match value {
        ValueRef::Integer(integer) => reply.bulk_integer(integer),
        ValueRef::Bytes(bytes) => reply.bulk(bytes),
    }
}

/// Replies as GET does, in a command that will write to the key: with its string, or null. Returns whether the key exists.
fn reply_old_string<'a>(cx: &mut KeyedWrite<'a>, key: HashedKey<'a>) -> Result<bool, CommandError> {
    let database = cx.db();
    match cx.keys.get(database, key) {
        Some(entry) => {
            cx.core.counters.lookup(true);
            reply_string(&mut cx.reply, string_of(entry)?);
            Ok(true)
        }
        None => {
            cx.core.counters.lookup(false);
            cx.reply.null();
            cx.announce(key, NotifyClass::KEY_MISS, "keymiss");
            Ok(false)
        }
    }
}

fn get(cx: &mut KeyedRead<'_>) -> Run {
    let key = cx.key(1);
    match cx.lookup(key) {
        Some(entry) => reply_string(&mut cx.reply, string_of(entry)?),
        None => cx.reply.null(),
    }
    Ok(Outcome::Done)
}

fn mget(cx: &mut KeyedRead<'_>) -> Run {
    cx.reply.array(cx.args.len() - 1);
    for index in 1..cx.args.len() {
        let key = cx.nth_key(index - 1, index);
        match cx.lookup(key).map(string_of) {
            Some(Ok(value)) => reply_string(&mut cx.reply, value),
            // MGET treats a key of another type like a missing key.
            Some(Err(_)) | None => cx.reply.null(),
        }
    }
    Ok(Outcome::Done)
}

fn strlen(cx: &mut KeyedRead<'_>) -> Run {
    let key = cx.key(1);
    let len = match cx.lookup(key) {
        Some(entry) => string_of(entry)?.len(),
        None => 0,
    };
    cx.reply.integer(len as i64);
    Ok(Outcome::Done)
}

fn getrange(cx: &mut KeyedRead<'_>) -> Run {
    let (start, end) = (cx.integer(2)?, cx.integer(3)?);
    let key = cx.key(1);
    let Some(entry) = cx.lookup(key) else {
        cx.reply.bulk(b"");
        return Ok(Outcome::Done);
    };
    let mut scratch = itoa::Buffer::new();
    let bytes = string_of(entry)?.as_bytes(&mut scratch);
    cx.reply.bulk(range(bytes, start, end));
    Ok(Outcome::Done)
}

/// The bytes between two offsets, both included. A negative offset counts from the end.
fn range(bytes: &[u8], start: i64, end: i64) -> &[u8] {
    let len = bytes.len() as i64;
    if start < 0 && end < 0 && start > end {
        return b"";
    }
    let from_start = |offset: i64| if offset < 0 { (len + offset).max(0) } else { offset };
    let (start, end) = (from_start(start), from_start(end).min(len - 1));
    if start > end { b"" } else { &bytes[start as usize..=end as usize] }
}

fn getdel(cx: &mut KeyedWrite<'_>) -> Run {
    let key = cx.key(1);
    if reply_old_string(cx, key)? {
        let database = cx.db();
        cx.keys.remove(database, key);
        cx.changed(key, NotifyClass::GENERIC, "del");
        cx.journal(|| vec![b"DEL".into(), key.bytes.into()]);
    }
    Ok(Outcome::Done)
}

/// Refuses a string that would be longer than `proto-max-bulk-len`, the longest that a client can send.
fn check_len(cx: &KeyedWrite<'_>, before: usize, added: usize) -> Result<(), CommandError> {
    let max = cx.core.config().proto_max_bulk_len as usize;
    match before.checked_add(added) {
        Some(total) if total <= max => Ok(()),
        _ => Err(TOO_LONG),
    }
}

fn append(cx: &mut KeyedWrite<'_>) -> Run {
    let (key, added, database) = (cx.key(1), cx.args.get(2), cx.db());
    let before = match cx.keys.get(database, key) {
        Some(entry) => Some(string_of(entry)?.len()),
        None => None,
    };
    let len = match before {
        Some(before) => {
            check_len(cx, before, added.len())?;
            cx.keys.modify(database, key, |value| {
                reserve_to_append(value, added.len());
                value.extend_from_slice(added);
            });
            before + added.len()
        }
        None => {
            cx.keys.set(database, key, NewValue::from_bytes(added), ExpiryChange::Clear);
            cx.announce(key, NotifyClass::NEW, "new");
            added.len()
        }
    };
    cx.changed(key, NotifyClass::STRING, "append");
    cx.reply.integer(len as i64);
    Ok(Outcome::Done)
}

fn setrange(cx: &mut KeyedWrite<'_>) -> Run {
    let offset = cx.integer(2)?;
    let Ok(offset) = usize::try_from(offset) else {
        return Err(CommandError::text("ERR offset is out of range"));
    };
    let (key, part, database) = (cx.key(1), cx.args.get(3), cx.db());
    let before = match cx.keys.get(database, key) {
        Some(entry) => Some(string_of(entry)?.len()),
        None => None,
    };
    if part.is_empty() {
        cx.reply.integer(before.unwrap_or(0) as i64);
        return Ok(Outcome::Done);
    }
    check_len(cx, offset, part.len())?;
    if before.is_none() {
        cx.keys.set(database, key, NewValue::Bytes(b""), ExpiryChange::Clear);
        cx.announce(key, NotifyClass::NEW, "new");
    }
    let len = cx.keys.modify(database, key, |value| {
        let end = offset + part.len();
        bits::grow(value, end);
        value[offset..end].copy_from_slice(part);
        value.len()
    });
    cx.changed(key, NotifyClass::STRING, "setrange");
    cx.reply.integer(len.expect("the key was found, or created above") as i64);
    Ok(Outcome::Done)
}

#[cfg(test)]
mod tests {
    use super::range;

    #[test]
    fn range_counts_from_both_ends() {
        let check = |start, end, expected: &str| {
            assert_eq!(range(b"hello", start, end), expected.as_bytes(), "{start} to {end}");
        };
        check(0, -1, "hello");
        check(1, 2, "el");
        check(-3, -2, "ll");
        check(-100, 100, "hello");
        check(3, 1, "");
        check(-1, -2, "");
        check(0, -100, "h");
        check(5, 6, "");
        assert_eq!(range(b"", 0, -1), b"");
        assert_eq!(range(b"", i64::MIN, i64::MAX), b"");
    }
}
