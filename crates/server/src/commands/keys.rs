//! Keys of any type: existence and type; deleting, renaming, moving and copying.

use ochre_datatypes::ValueType;
use ochre_keyspace::{Entry, HashedKey, RandomKey};

use super::{
    CommandError, CommandSpec, Flags, Handler,
    context::{KeyedRead, KeyedWrite, Outcome, Run, Suspended, Walk},
    scan,
    table::{Category, Group, KeyFlags, KeySpec},
};
use crate::{events::NotifyClass, session::WalkState};

/// The rows of commands on keys of any type.
pub const ROWS: &[CommandSpec] = &[
    CommandSpec {
        name: "copy",
        arity: -3,
        flags: Flags::WRITE.union(Flags::DENYOOM),
        keys: &[
            KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS)),
            KeySpec::one(2, KeyFlags::OW.union(KeyFlags::UPDATE)),
        ],
        since: "6.2.0",
        complexity: "O(N) with N the size of the value",
        summary: "Copies the value of a key, and its expiry, to another key.",
        syntax: "source:key destination:key [DB destination-db:integer] [REPLACE]",
        handler: Handler::Write(copy),
        ..GENERIC
    },
    CommandSpec {
        name: "del",
        arity: -2,
        flags: Flags::WRITE.union(Flags::BATCH),
        keys: &[KeySpec::range(1, -1, 1, KeyFlags::RM.union(KeyFlags::DELETE))],
        tips: &["request_policy:multi_shard", "response_policy:agg_sum"],
        since: "1.0.0",
        complexity: "O(N) with N keys; large values are freed in the background",
        summary: "Deletes keys, and returns the number of deleted keys.",
        syntax: "key...",
        handler: Handler::Write(del),
        ..GENERIC
    },
    CommandSpec {
        name: "exists",
        arity: -2,
        flags: Flags::READONLY.union(Flags::FAST).union(Flags::BATCH),
        keys: &[KeySpec::range(1, -1, 1, KeyFlags::RO)],
        tips: &["request_policy:multi_shard", "response_policy:agg_sum"],
        since: "1.0.0",
        complexity: "O(N) with N keys",
        summary: "Returns the number of the keys that exist. A key that is named twice counts twice.",
        syntax: "key...",
        handler: Handler::Read(exists),
        ..GENERIC
    },
    CommandSpec {
        name: "move",
        arity: 3,
        flags: Flags::WRITE.union(Flags::FAST).union(Flags::BATCH),
        keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::UPDATE))],
        since: "1.0.0",
        summary: "Moves a key to another database, unless the key exists there.",
        syntax: "key db:integer",
        handler: Handler::Write(move_to_database),
        ..GENERIC
    },
    CommandSpec {
        name: "randomkey",
        arity: 1,
        flags: Flags::READONLY,
        tips: &["request_policy:all_shards", "response_policy:special", "nondeterministic_output"],
        since: "1.0.0",
        summary: "Returns a random key.",
        handler: Handler::Walk(randomkey),
        ..GENERIC
    },
    CommandSpec {
        name: "rename",
        arity: 3,
        flags: Flags::WRITE,
        keys: &[
            KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::DELETE)),
            KeySpec::one(2, KeyFlags::OW.union(KeyFlags::UPDATE)),
        ],
        since: "1.0.0",
        summary: "Renames a key, and replaces the key of the new name if there is one.",
        syntax: "key newkey:key",
        handler: Handler::Write(rename),
        ..GENERIC
    },
    CommandSpec {
        name: "renamenx",
        arity: 3,
        flags: Flags::WRITE.union(Flags::FAST),
        keys: &[
            KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::DELETE)),
            KeySpec::one(2, KeyFlags::OW.union(KeyFlags::INSERT)),
        ],
        since: "1.0.0",
        summary: "Renames a key, but only if no key has the new name.",
        syntax: "key newkey:key",
        handler: Handler::Write(renamenx),
        ..GENERIC
    },
    CommandSpec {
        name: "touch",
        arity: -2,
        flags: Flags::READONLY.union(Flags::FAST).union(Flags::BATCH),
        keys: &[KeySpec::range(1, -1, 1, KeyFlags::RO)],
        tips: &["request_policy:multi_shard", "response_policy:agg_sum"],
        since: "3.2.1",
        complexity: "O(N) with N keys",
        summary: "Marks keys as accessed, and returns the number of the keys that exist.",
        syntax: "key...",
        handler: Handler::Read(touch),
        ..GENERIC
    },
    CommandSpec {
        name: "type",
        arity: 2,
        flags: Flags::READONLY.union(Flags::FAST).union(Flags::BATCH),
        keys: &[KeySpec::one(1, KeyFlags::RO)],
        since: "1.0.0",
        summary: "Returns the type of the value of a key.",
        syntax: "key",
        handler: Handler::Read(value_type),
        ..GENERIC
    },
    CommandSpec {
        name: "unlink",
        arity: -2,
        flags: Flags::WRITE.union(Flags::FAST).union(Flags::BATCH),
        keys: &[KeySpec::range(1, -1, 1, KeyFlags::RM.union(KeyFlags::DELETE))],
        tips: &["request_policy:multi_shard", "response_policy:agg_sum"],
        since: "4.0.0",
        complexity: "O(N) with N keys; large values are freed in the background",
        summary: "Deletes keys, and returns the number of deleted keys. It does the same as DEL.",
        syntax: "key...",
        handler: Handler::Write(del),
        ..GENERIC
    },
];

/// The fields that the rows of commands on keys share.
pub const GENERIC: CommandSpec =
    CommandSpec { categories: Category::KEYSPACE, group: Group::Generic, ..CommandSpec::DEFAULT };

const SAME_OBJECT: CommandError = CommandError::text("ERR source and destination objects are the same");

/// Announces that a key was set to a string. `before` is the type of the value it replaced, if any.
#[inline]
pub fn announce_set<'a>(cx: &mut KeyedWrite<'a>, key: HashedKey<'a>, before: Option<ValueType>) {
    match before {
        None => cx.announce(key, NotifyClass::NEW, "new"),
        Some(before) => cx.announce_overwritten(cx.db(), key, before, ValueType::String),
    }
    cx.changed(key, NotifyClass::STRING, "set");
}

fn exists(cx: &mut KeyedRead<'_>) -> Run {
    let mut existing = 0;
    for index in 1..cx.args.len() {
        let key = cx.nth_key(index - 1, index);
        existing += i64::from(cx.lookup_untouched(key).is_some());
    }
    cx.reply.integer(existing);
    Ok(Outcome::Done)
}

fn touch(cx: &mut KeyedRead<'_>) -> Run {
    let (database, mut existing) = (cx.db(), 0);
    for index in 1..cx.args.len() {
        let key = cx.nth_key(index - 1, index);
        if cx.lookup_untouched(key).is_some() {
            // TOUCH is an access even under CLIENT NO-TOUCH.
            cx.keys.touch(database, key);
            existing += 1;
        }
    }
    cx.reply.integer(existing);
    Ok(Outcome::Done)
}

fn value_type(cx: &mut KeyedRead<'_>) -> Run {
    let key = cx.key(1);
    let name = cx.lookup_untouched(key).map_or("none", |entry| entry.value_type().name());
    cx.reply.simple(name);
    Ok(Outcome::Done)
}

fn randomkey(cx: &mut Walk<'_>) -> Run {
    cx.session.walk = None;
    loop {
        match cx.keys.random_key(cx.db(), || cx.core.random()) {
            Ok(RandomKey::Found(key)) => cx.reply.bulk(&key),
            Ok(RandomKey::None) => cx.reply.null(),
            Ok(RandomKey::Expired(key)) if cx.nested => {
                scan::remove_expired(cx, &key);
                continue;
            }
            Ok(RandomKey::Expired(key)) => {
                cx.session.walk = Some(Box::new(WalkState { expired: vec![key], ..WalkState::default() }));
                return Ok(Outcome::Suspended(Suspended::Slice));
            }
            Err(busy) => return Ok(Outcome::Suspended(Suspended::Busy(busy))),
        }
        return Ok(Outcome::Done);
    }
}

/// DEL and UNLINK. Both free large values in the background.
fn del(cx: &mut KeyedWrite<'_>) -> Run {
    let (database, mut deleted) = (cx.db(), 0);
    for index in 1..cx.args.len() {
        let key = cx.nth_key(index - 1, index);
        if cx.keys.remove(database, key) {
            cx.changed(key, NotifyClass::GENERIC, "del");
            deleted += 1;
        }
    }
    cx.reply.integer(deleted);
    Ok(Outcome::Done)
}

fn rename(cx: &mut KeyedWrite<'_>) -> Run {
    rename_key(cx, true)?;
    cx.reply.ok();
    Ok(Outcome::Done)
}

fn renamenx(cx: &mut KeyedWrite<'_>) -> Run {
    let renamed = rename_key(cx, false)? == Renamed::Done;
    cx.reply.integer(renamed.into());
    Ok(Outcome::Done)
}

#[derive(PartialEq, Eq)]
enum Renamed {
    Done,
    SameName,
    NameTaken,
}

fn rename_key(cx: &mut KeyedWrite<'_>, replaces: bool) -> Result<Renamed, CommandError> {
    let (old, new, database) = (cx.key(1), cx.key(2), cx.db());
    if cx.keys.get(database, old).is_none() {
        return Err(CommandError::NO_SUCH_KEY);
    }
    if old.bytes == new.bytes {
        return Ok(Renamed::SameName);
    }
    if !replaces && cx.keys.get(database, new).is_some() {
        return Ok(Renamed::NameTaken);
    }
    let entry = cx.keys.take(database, old).expect("the key was found under the same lock");
    let value_type = entry.view().value_type();
    let before = cx.keys.put(database, new, entry.renamed(new.bytes));
    cx.announce(new, NotifyClass::NEW, "new");
    cx.changed(old, NotifyClass::GENERIC, "rename_from");
    cx.changed(new, NotifyClass::GENERIC, "rename_to");
    cx.effects.count_as(1);
    if let Some(before) = before {
        cx.announce_overwritten(database, new, before, value_type);
    }
    Ok(Renamed::Done)
}

/// Parses an argument as the index of a database.
fn database_index(cx: &KeyedWrite<'_>, index: usize) -> Result<usize, CommandError> {
    let number = cx.integer(index)?;
    if i32::try_from(number).is_err() {
        return Err(CommandError::text("ERR value is out of range, value must between -2147483648 and 2147483647"));
    }
    match usize::try_from(number) {
        Ok(database) if database < cx.core.config().databases => Ok(database),
        _ => Err(CommandError::text("ERR DB index is out of range")),
    }
}

/// MOVE.
fn move_to_database(cx: &mut KeyedWrite<'_>) -> Run {
    let target = database_index(cx, 2)?;
    let (key, source) = (cx.key(1), cx.db());
    if source == target {
        return Err(SAME_OBJECT);
    }
    let moves = cx.keys.get(source, key).is_some() && cx.keys.get(target, key).is_none();
    if moves {
        let entry = cx.keys.take(source, key).expect("the key was found under the same lock");
        cx.keys.put(target, key, entry);
        cx.announce_in(target, key, NotifyClass::NEW, "new");
        cx.changed(key, NotifyClass::GENERIC, "move_from");
        cx.changed_in(target, key, NotifyClass::GENERIC, "move_to");
        cx.effects.count_as(1);
    }
    cx.reply.integer(moves.into());
    Ok(Outcome::Done)
}

fn copy(cx: &mut KeyedWrite<'_>) -> Run {
    let (mut target, mut replaces) = (cx.db(), false);
    let mut index = 3;
    while index < cx.args.len() {
        if cx.is_word(index, "REPLACE") {
            replaces = true;
        } else if cx.is_word(index, "DB") && index + 1 < cx.args.len() {
            index += 1;
            target = database_index(cx, index)?;
        } else {
            return Err(CommandError::SYNTAX);
        }
        index += 1;
    }
    let (from, to, source) = (cx.key(1), cx.key(2), cx.db());
    if source == target && from.bytes == to.bytes {
        return Err(SAME_OBJECT);
    }
    let found = cx.keys.get(source, from);
    cx.core.counters.lookup(found.is_some());
    let Some(entry) = found else {
        cx.announce(from, NotifyClass::KEY_MISS, "keymiss");
        cx.reply.integer(0);
        return Ok(Outcome::Done);
    };
    if !replaces && cx.keys.get(target, to).is_some() {
        cx.reply.integer(0);
        return Ok(Outcome::Done);
    }
    let value_type = entry.value_type();
    let copy = Entry::duplicate(entry, to.bytes);
    let before = cx.keys.put(target, to, copy);
    cx.announce_in(target, to, NotifyClass::NEW, "new");
    cx.changed_in(target, to, NotifyClass::GENERIC, "copy_to");
    if let Some(before) = before {
        cx.announce_overwritten(target, to, before, value_type);
    }
    cx.reply.integer(1);
    Ok(Outcome::Done)
}
