//! Hashes: commands on single fields, and on all fields. `random.rs` has random fields, `expiry.rs` the expiry of fields.

pub mod expiry;
pub mod random;

use std::borrow::Cow;

use ochre_datatypes::{
    hash::{Field, Hash, HashLimits, HashView},
    listpack::Element,
    number::{LongDouble, parse_i64},
};
use ochre_keyspace::{HashedKey, Missing};

use super::{
    CommandError, CommandSpec, Flags, Handler,
    context::{Context, KeyedRead, KeyedWrite, Outcome, Run},
    elements::{reply_element, reply_element_or_null},
    scan,
    table::{Category, Group, KeyFlags, KeySpec},
};
use crate::events::NotifyClass;

/// The rows of commands on hashes.
pub const ROWS: &[CommandSpec] = &[
    CommandSpec {
        name: "hdel",
        arity: -3,
        flags: Flags::WRITE.union(Flags::FAST).union(Flags::BATCH),
        keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::DELETE))],
        complexity: "O(N) with N given fields",
        summary: "Removes fields of a hash, and returns the number of removed fields. The hash is removed with its last field.",
        syntax: "key field...",
        element: 2,
        handler: Handler::Write(hdel),
        ..HASH
    },
    CommandSpec {
        name: "hexists",
        arity: 3,
        flags: Flags::READONLY.union(Flags::FAST).union(Flags::BATCH),
        keys: &[KeySpec::one(1, KeyFlags::RO)],
        summary: "Returns whether a hash has a field.",
        syntax: "key field",
        element: 2,
        handler: Handler::Read(hexists),
        ..HASH
    },
    CommandSpec {
        name: "hget",
        arity: 3,
        flags: Flags::READONLY.union(Flags::FAST).union(Flags::BATCH),
        keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
        summary: "Returns the value of a field of a hash.",
        syntax: "key field",
        element: 2,
        handler: Handler::Read(hget),
        ..HASH
    },
    CommandSpec {
        name: "hgetall",
        summary: "Returns all fields of a hash with their values.",
        handler: Handler::Read(hgetall),
        ..WHOLE
    },
    CommandSpec {
        name: "hincrby",
        arity: 4,
        flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST).union(Flags::BATCH),
        keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::UPDATE))],
        summary: "Adds to the integer in a field of a hash. A missing field counts as zero.",
        syntax: "key field increment:integer",
        element: 2,
        handler: Handler::Write(hincrby),
        ..HASH
    },
    CommandSpec {
        name: "hincrbyfloat",
        arity: 4,
        flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST).union(Flags::BATCH),
        keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::UPDATE))],
        since: "2.6.0",
        summary: "Adds to the floating point number in a field of a hash. A missing field counts as zero.",
        syntax: "key field increment:double",
        element: 2,
        handler: Handler::Write(hincrbyfloat),
        ..HASH
    },
    CommandSpec {
        name: "hkeys",
        summary: "Returns all fields of a hash.",
        handler: Handler::Read(|cx| all(cx, |field| field.name)),
        ..WHOLE
    },
    CommandSpec {
        name: "hlen",
        arity: 2,
        flags: Flags::READONLY.union(Flags::FAST).union(Flags::BATCH),
        keys: &[KeySpec::one(1, KeyFlags::RO)],
        summary: "Returns the number of fields of a hash.",
        syntax: "key",
        handler: Handler::Read(hlen),
        ..HASH
    },
    CommandSpec {
        name: "hmget",
        arity: -3,
        flags: Flags::READONLY.union(Flags::FAST).union(Flags::BATCH),
        keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
        complexity: "O(N) with N given fields",
        summary: "Returns the values of several fields of a hash.",
        syntax: "key field...",
        element: 2,
        handler: Handler::Read(hmget),
        ..HASH
    },
    CommandSpec {
        name: "hmset",
        summary: "Sets fields of a hash, which is created if it does not exist.",
        deprecated: Some(("4.0.0", "`HSET` with multiple field-value pairs")),
        element: 2,
        handler: Handler::Write(hmset),
        ..SETTING
    },
    CommandSpec {
        name: "hscan",
        arity: -3,
        flags: Flags::READONLY,
        keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
        tips: &["nondeterministic_output"],
        since: "2.8.0",
        complexity: "O(1) for a call, O(N) for all N fields",
        summary: "Returns some of the fields of a hash, and a cursor to continue from.",
        syntax: "key cursor:integer [MATCH pattern:pattern] [COUNT count:integer] [NOVALUES]",
        handler: Handler::Read(hscan),
        ..HASH
    },
    CommandSpec {
        name: "hset",
        summary: "Sets fields of a hash, which is created if it does not exist, and returns the number of new fields.",
        element: 2,
        handler: Handler::Write(hset),
        ..SETTING
    },
    CommandSpec {
        name: "hsetnx",
        arity: 4,
        keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::INSERT))],
        complexity: "O(1)",
        summary: "Sets a field of a hash, but only if it does not exist.",
        syntax: "key field value",
        element: 2,
        handler: Handler::Write(hsetnx),
        ..SETTING
    },
    CommandSpec {
        name: "hstrlen",
        arity: 3,
        flags: Flags::READONLY.union(Flags::FAST).union(Flags::BATCH),
        keys: &[KeySpec::one(1, KeyFlags::RO)],
        since: "3.2.0",
        summary: "Returns the length of the value of a field of a hash.",
        syntax: "key field",
        element: 2,
        handler: Handler::Read(hstrlen),
        ..HASH
    },
    CommandSpec {
        name: "hvals",
        summary: "Returns all values of a hash.",
        handler: Handler::Read(|cx| all(cx, |field| field.value)),
        ..WHOLE
    },
];

/// The fields that the rows of hashes share.
const HASH: CommandSpec =
    CommandSpec { categories: Category::HASH, group: Group::Hash, since: "2.0.0", ..CommandSpec::DEFAULT };

const SETTING: CommandSpec = CommandSpec {
    arity: -4,
    flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST).union(Flags::BATCH),
    keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::UPDATE))],
    complexity: "O(N) with N given fields",
    syntax: "key (field value)...",
    ..HASH
};

/// The fields that the rows of commands on all fields share.
const WHOLE: CommandSpec = CommandSpec {
    arity: 2,
    flags: Flags::READONLY.union(Flags::BATCH),
    keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
    tips: &["nondeterministic_output_order"],
    complexity: "O(N) with N fields",
    syntax: "key",
    ..HASH
};

/// The settings that decide about the encoding of a hash.
pub fn limits<K>(cx: &Context<'_, K>) -> HashLimits {
    let config = cx.core.config();
    HashLimits { entries_max: config.hash_max_listpack_entries, value_bytes_max: config.hash_max_listpack_value }
}

/// The hash of a key, with expired fields hidden.
#[inline]
fn hash_of<'a>(cx: &mut KeyedRead<'a>, key: HashedKey<'a>) -> Result<Option<HashView<'a>>, CommandError> {
    let now_ms = cx.now_ms;
    Ok(cx.read::<Hash>(key)?.map(|hash| hash.at(now_ms)))
}

/// The words of a command on a key, for the journal.
fn record<'a>(
    command: &'static str,
    key: HashedKey<'a>,
    words: impl IntoIterator<Item = &'a [u8]>,
) -> Vec<Cow<'a, [u8]>> {
    [command.as_bytes(), key.bytes].into_iter().chain(words).map(Cow::Borrowed).collect()
}

/// Sets the fields of the request. Returns the number of new fields.
fn set_fields(cx: &mut KeyedWrite<'_>) -> Result<i64, CommandError> {
    if !cx.args.len().is_multiple_of(2) {
        return Err(CommandError::wrong_arity(&cx.command.full_name));
    }
    let (key, args, limits, now_ms) = (cx.key(1), cx.args, limits(cx), cx.now_ms);
    let fields = (args.len() - 2) / 2;
    let edited = cx.edit(key, Missing::Create, |hash: &mut Hash| {
        hash.prepare(fields, &limits);
        let set = |index: usize| i64::from(hash.set(args.get(index), args.get(index + 1), false, &limits, now_ms));
        (2..args.len()).step_by(2).map(set).sum::<i64>()
    })?;
    let edited = edited.expect("a missing key is created");
    cx.edited(key, NotifyClass::HASH, "hset", &edited);
    cx.effects.changed_many(fields as u64 - 1);
    Ok(edited.result)
}

fn hset(cx: &mut KeyedWrite<'_>) -> Run {
    let added = set_fields(cx)?;
    cx.reply.integer(added);
    Ok(Outcome::Done)
}

fn hmset(cx: &mut KeyedWrite<'_>) -> Run {
    set_fields(cx)?;
    cx.reply.ok();
    Ok(Outcome::Done)
}

fn hsetnx(cx: &mut KeyedWrite<'_>) -> Run {
    let (key, field, value, limits, now_ms) = (cx.key(1), cx.args.get(2), cx.args.get(3), limits(cx), cx.now_ms);
    let edited = cx.edit(key, Missing::Create, |hash: &mut Hash| {
        !hash.at(now_ms).contains(field) && hash.set(field, value, false, &limits, now_ms)
    })?;
    let edited = edited.expect("a missing key is created");
    if edited.result {
        cx.edited(key, NotifyClass::HASH, "hset", &edited);
    }
    cx.reply.integer(edited.result.into());
    Ok(Outcome::Done)
}

fn hget(cx: &mut KeyedRead<'_>) -> Run {
    let (key, field) = (cx.key(1), cx.args.get(2));
    let value = hash_of(cx, key)?.and_then(|hash| hash.get(field));
    reply_element_or_null(&mut cx.reply, value);
    Ok(Outcome::Done)
}

fn hmget(cx: &mut KeyedRead<'_>) -> Run {
    let key = cx.key(1);
    let hash = hash_of(cx, key)?;
    cx.reply.array(cx.args.len() - 2);
    for index in 2..cx.args.len() {
        let value = hash.and_then(|hash| hash.get(cx.args.get(index)));
        reply_element_or_null(&mut cx.reply, value);
    }
    Ok(Outcome::Done)
}

fn hexists(cx: &mut KeyedRead<'_>) -> Run {
    let (key, field) = (cx.key(1), cx.args.get(2));
    let exists = hash_of(cx, key)?.is_some_and(|hash| hash.contains(field));
    cx.reply.integer(exists.into());
    Ok(Outcome::Done)
}

fn hstrlen(cx: &mut KeyedRead<'_>) -> Run {
    let (key, field) = (cx.key(1), cx.args.get(2));
    let value = hash_of(cx, key)?.and_then(|hash| hash.get(field));
    cx.reply.integer(value.map_or(0, |value| value.len() as i64));
    Ok(Outcome::Done)
}

fn hlen(cx: &mut KeyedRead<'_>) -> Run {
    let key = cx.key(1);
    let len = hash_of(cx, key)?.map_or(0, HashView::len);
    cx.reply.integer(len as i64);
    Ok(Outcome::Done)
}

fn hgetall(cx: &mut KeyedRead<'_>) -> Run {
    let key = cx.key(1);
    if cx.is_too_long_to_share(key) {
        return Ok(Outcome::Alone);
    }
    let Some(hash) = hash_of(cx, key)? else {
        cx.reply.map(0);
        return Ok(Outcome::Done);
    };
    cx.reply.map(hash.len());
    hash.for_each(|field| {
        reply_element(&mut cx.reply, field.name);
        reply_element(&mut cx.reply, field.value);
    });
    Ok(Outcome::Done)
}

/// HKEYS and HVALS. `part` chooses the name or the value.
fn all<'a>(cx: &mut KeyedRead<'a>, part: fn(Field<'a>) -> Element<'a>) -> Run {
    let key = cx.key(1);
    if cx.is_too_long_to_share(key) {
        return Ok(Outcome::Alone);
    }
    let Some(hash) = hash_of(cx, key)? else {
        cx.reply.array(0);
        return Ok(Outcome::Done);
    };
    cx.reply.array(hash.len());
    hash.for_each(|field| reply_element(&mut cx.reply, part(field)));
    Ok(Outcome::Done)
}

fn hdel(cx: &mut KeyedWrite<'_>) -> Run {
    let (key, args, now_ms) = (cx.key(1), cx.args, cx.now_ms);
    let edited = cx.edit(key, Missing::Skip, |hash: &mut Hash| {
        (2..args.len()).filter(|&index| hash.remove(args.get(index), now_ms)).count()
    })?;
    let mut removed = 0;
    if let Some(edited) = edited.filter(|edited| edited.result > 0) {
        removed = edited.result;
        cx.edited(key, NotifyClass::HASH, "hdel", &edited);
        cx.effects.changed_many(removed as u64 - 1);
    }
    cx.reply.integer(removed as i64);
    Ok(Outcome::Done)
}

fn hincrby(cx: &mut KeyedWrite<'_>) -> Run {
    const NOT_AN_INTEGER: CommandError = CommandError::text("ERR hash value is not an integer");
    let by = cx.integer(3)?;
    let (key, field, limits, now_ms) = (cx.key(1), cx.args.get(2), limits(cx), cx.now_ms);
    let edited = cx.edit(key, Missing::Create, |hash: &mut Hash| {
        let old = match hash.at(now_ms).get(field) {
            None => 0,
            Some(Element::Int(integer)) => integer,
            Some(Element::Bytes(bytes)) => parse_i64(bytes).ok_or(NOT_AN_INTEGER)?,
        };
        let sum = old.checked_add(by).ok_or(CommandError::OVERFLOW)?;
        hash.set(field, itoa::Buffer::new().format(sum).as_bytes(), true, &limits, now_ms);
        Ok::<_, CommandError>(sum)
    })?;
    let edited = edited.expect("a missing key is created");
    let sum = edited.result.clone()?;
    cx.edited(key, NotifyClass::HASH, "hincrby", &edited);
    cx.reply.integer(sum);
    Ok(Outcome::Done)
}

fn hincrbyfloat(cx: &mut KeyedWrite<'_>) -> Run {
    let by = LongDouble::parse(cx.args.get(3)).ok_or(CommandError::NOT_A_FLOAT)?;
    if !by.is_finite() {
        return Err(CommandError::text("ERR value is NaN or Infinity"));
    }
    let (key, field, limits, now_ms) = (cx.key(1), cx.args.get(2), limits(cx), cx.now_ms);
    let edited = cx.edit(key, Missing::Create, |hash: &mut Hash| {
        let old = match hash.at(now_ms).get(field) {
            None => LongDouble::ZERO,
            Some(value) => LongDouble::parse(value.as_bytes(&mut itoa::Buffer::new()))
                .ok_or(CommandError::text("ERR hash value is not a float"))?,
        };
        let sum = old + by;
        if !sum.is_finite() {
            return Err(CommandError::text("ERR increment would produce NaN or Infinity"));
        }
        let text = sum.to_text();
        hash.set(field, &text, true, &limits, now_ms);
        Ok(text)
    })?;
    let edited = edited.expect("a missing key is created");
    let text = edited.result.clone()?;
    cx.edited(key, NotifyClass::HASH, "hincrbyfloat", &edited);
    cx.reply.bulk(&text);
    cx.journal(|| {
        let mut words = record("HSETEX", key, [&b"KEEPTTL"[..], b"FIELDS", b"1", field]);
        words.push(text.into());
        words
    });
    Ok(Outcome::Done)
}

fn hscan(cx: &mut KeyedRead<'_>) -> Run {
    let now_ms = cx.now_ms;
    scan::scan_collection::<Hash>(cx, |hash, cursor, options, found| {
        hash.at(now_ms).scan(cursor, options.count, |field| {
            if options.admits(field.name) {
                found.element(field.name);
                if !options.names_only {
                    found.element(field.value);
                }
            }
        })
    })
}
