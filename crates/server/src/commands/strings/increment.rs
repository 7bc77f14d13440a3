//! Strings as numbers: INCR, DECR and their variants.

use ochre_datatypes::number::{LongDouble, parse_i64};
use ochre_keyspace::{ExpiryChange, NewValue, ValueRef};

use super::{STRING, string_of};
use crate::{
    commands::{
        CommandError, CommandSpec, Flags, Handler,
        context::{KeyedWrite, Outcome, Run},
        table::{KeyFlags, KeySpec},
    },
    events::NotifyClass,
};

/// The rows of increments.
pub const ROWS: &[CommandSpec] = &[
    CommandSpec {
        name: "decr",
        arity: 2,
        summary: "Subtracts one from the integer of a key. A missing key counts as zero.",
        syntax: "key",
        handler: Handler::Write(|cx| increment(cx, -1)),
        ..INCREMENT
    },
    CommandSpec {
        name: "decrby",
        arity: 3,
        summary: "Subtracts from the integer of a key. A missing key counts as zero.",
        syntax: "key decrement:integer",
        handler: Handler::Write(decrby),
        ..INCREMENT
    },
    CommandSpec {
        name: "incr",
        arity: 2,
        summary: "Adds one to the integer of a key. A missing key counts as zero.",
        syntax: "key",
        handler: Handler::Write(|cx| increment(cx, 1)),
        ..INCREMENT
    },
    CommandSpec {
        name: "incrby",
        arity: 3,
        summary: "Adds to the integer of a key. A missing key counts as zero.",
        syntax: "key increment:integer",
        handler: Handler::Write(incrby),
        ..INCREMENT
    },
    CommandSpec {
        name: "incrbyfloat",
        arity: 3,
        since: "2.6.0",
        summary: "Adds to the floating point number of a key. A missing key counts as zero.",
        syntax: "key increment:double",
        handler: Handler::Write(incrbyfloat),
        ..INCREMENT
    },
];

/// The fields that these rows share.
const INCREMENT: CommandSpec = CommandSpec {
    flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST).union(Flags::BATCH),
    keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::UPDATE))],
    ..STRING
};

fn incrby(cx: &mut KeyedWrite<'_>) -> Run {
    let by = cx.integer(2)?;
    increment(cx, by)
}

fn decrby(cx: &mut KeyedWrite<'_>) -> Run {
    match cx.integer(2)?.checked_neg() {
        Some(by) => increment(cx, by),
        None => Err(CommandError::text("ERR decrement would overflow")),
    }
}

fn increment(cx: &mut KeyedWrite<'_>, by: i64) -> Run {
    let (key, database) = (cx.key(1), cx.db());
    let mut sum = 0;
    let before = cx.keys.replace(database, key, |entry| {
        let old = match entry.map(string_of).transpose()? {
            None => 0,
            Some(ValueRef::Integer(integer)) => integer,
            Some(ValueRef::Bytes(bytes)) => parse_i64(bytes).ok_or(CommandError::NOT_AN_INTEGER)?,
        };
        sum = old.checked_add(by).ok_or(CommandError::OVERFLOW)?;
        Ok::<_, CommandError>((NewValue::Integer(sum), ExpiryChange::Keep))
    })?;
    if before.is_none() {
        cx.announce(key, NotifyClass::NEW, "new");
    }
    cx.changed(key, NotifyClass::STRING, "incrby");
    cx.reply.integer(sum);
    Ok(Outcome::Done)
}

fn incrbyfloat(cx: &mut KeyedWrite<'_>) -> Run {
    let (key, database) = (cx.key(1), cx.db());
    let old = match cx.keys.get(database, key) {
        Some(entry) => {
            let mut scratch = itoa::Buffer::new();
            let text = string_of(entry)?.as_bytes(&mut scratch);
            Some(LongDouble::parse(text).ok_or(CommandError::NOT_A_FLOAT)?)
        }
        None => None,
    };
    let by = LongDouble::parse(cx.args.get(2)).ok_or(CommandError::NOT_A_FLOAT)?;
    let sum = old.unwrap_or(LongDouble::ZERO) + by;
    if !sum.is_finite() {
        return Err(CommandError::text("ERR increment would produce NaN or Infinity"));
    }
    let text = sum.to_text();
    // The sum is stored as text even if it is an integer: OBJECT ENCODING returns embstr, as in Redis.
    cx.keys.set(database, key, NewValue::Bytes(&text), ExpiryChange::Keep);
    if old.is_none() {
        cx.announce(key, NotifyClass::NEW, "new");
    }
    cx.changed(key, NotifyClass::STRING, "incrbyfloat");
    cx.reply.bulk(&text);
    cx.journal(|| vec![b"SET".into(), key.bytes.into(), text.into(), b"KEEPTTL".into()]);
    Ok(Outcome::Done)
}
