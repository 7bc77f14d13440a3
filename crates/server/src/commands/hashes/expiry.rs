//! The expiry of hash fields: setting, removing and reading it, alone or together with the fields' values.

use std::{borrow::Cow, ops::Range};

use ochre_datatypes::{
    hash::{Hash, HashView},
    number::parse_i64,
};
use ochre_keyspace::{Edited, HashedKey, Missing};
use smallvec::SmallVec;

use super::{
    super::{
        CommandError, CommandSpec, Flags, Handler,
        context::{Context, KeyedRead, KeyedWrite, Outcome, Run},
        elements::reply_element_or_null,
        expire::TimeUnit,
        table::{KeyFlags, KeySpec},
    },
    HASH, hash_of, limits, record,
};
use crate::events::NotifyClass;

/// The rows of commands on the expiry of fields.
pub const ROWS: &[CommandSpec] = &[
    CommandSpec {
        name: "hexpire",
        summary: "Sets the expiry of fields of a hash, in seconds from now.",
        syntax: "key seconds:integer [NX|XX|GT|LT] FIELDS (numfields:integer field...)",
        handler: Handler::Write(|cx| hexpire(cx, TimeUnit::Seconds, false)),
        ..SETTING
    },
    CommandSpec {
        name: "hexpireat",
        summary: "Sets the expiry of fields of a hash, in seconds since 1970.",
        syntax: "key unix-time-seconds:unix-time [NX|XX|GT|LT] FIELDS (numfields:integer field...)",
        handler: Handler::Write(|cx| hexpire(cx, TimeUnit::Seconds, true)),
        ..SETTING
    },
    CommandSpec {
        name: "hexpiretime",
        summary: "Returns the expiry of fields of a hash, in seconds since 1970.",
        handler: Handler::Read(|cx| times(cx, TimeUnit::Seconds, true)),
        ..READING
    },
    CommandSpec {
        name: "hgetdel",
        arity: -5,
        keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::DELETE))],
        since: "8.0.0",
        summary: "Returns the values of fields of a hash and removes the fields.",
        syntax: "key FIELDS (numfields:integer field...)",
        handler: Handler::Write(hgetdel),
        ..SETTING
    },
    CommandSpec {
        name: "hgetex",
        arity: -5,
        keys: &[KeySpec {
            notes: Some("RW and UPDATE because it changes the TTL"),
            ..KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::UPDATE))
        }],
        since: "8.0.0",
        summary: "Returns the values of fields of a hash, and sets or removes the expiry of the fields.",
        syntax: "key [EX seconds:integer|PX milliseconds:integer|EXAT unix-time-seconds:unix-time|PXAT \
                 unix-time-milliseconds:unix-time|PERSIST] FIELDS (numfields:integer field...)",
        handler: Handler::Write(hgetex),
        ..SETTING
    },
    CommandSpec {
        name: "hpersist",
        arity: -5,
        summary: "Removes the expiry of fields of a hash.",
        syntax: "key FIELDS (numfields:integer field...)",
        handler: Handler::Write(hpersist),
        ..SETTING
    },
    CommandSpec {
        name: "hpexpire",
        summary: "Sets the expiry of fields of a hash, in milliseconds from now.",
        syntax: "key milliseconds:integer [NX|XX|GT|LT] FIELDS (numfields:integer field...)",
        handler: Handler::Write(|cx| hexpire(cx, TimeUnit::Milliseconds, false)),
        ..SETTING
    },
    CommandSpec {
        name: "hpexpireat",
        summary: "Sets the expiry of fields of a hash, in milliseconds since 1970.",
        syntax: "key unix-time-milliseconds:unix-time [NX|XX|GT|LT] FIELDS (numfields:integer field...)",
        handler: Handler::Write(|cx| hexpire(cx, TimeUnit::Milliseconds, true)),
        ..SETTING
    },
    CommandSpec {
        name: "hpexpiretime",
        summary: "Returns the expiry of fields of a hash, in milliseconds since 1970.",
        handler: Handler::Read(|cx| times(cx, TimeUnit::Milliseconds, true)),
        ..READING
    },
    CommandSpec {
        name: "hpttl",
        tips: &["nondeterministic_output"],
        summary: "Returns the time until fields of a hash expire, in milliseconds.",
        handler: Handler::Read(|cx| times(cx, TimeUnit::Milliseconds, false)),
        ..READING
    },
    CommandSpec {
        name: "hsetex",
        flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST).union(Flags::BATCH),
        since: "8.0.0",
        summary: "Sets all of some fields of a hash and their expiry, or none of them.",
        syntax: "key [NX|XX] [FNX|FXX] [EX seconds:integer|PX milliseconds:integer|EXAT \
                 unix-time-seconds:unix-time|PXAT unix-time-milliseconds:unix-time|KEEPTTL] FIELDS (numfields:integer (field value)...)",
        handler: Handler::Write(hsetex),
        ..SETTING
    },
    CommandSpec {
        name: "httl",
        tips: &["nondeterministic_output"],
        summary: "Returns the time until fields of a hash expire, in seconds.",
        handler: Handler::Read(|cx| times(cx, TimeUnit::Seconds, false)),
        ..READING
    },
];

const SETTING: CommandSpec = CommandSpec {
    arity: -6,
    flags: Flags::WRITE.union(Flags::FAST).union(Flags::BATCH),
    keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::UPDATE))],
    since: "7.4.0",
    complexity: "O(N) with N given fields",
    ..HASH
};

const READING: CommandSpec = CommandSpec {
    arity: -5,
    flags: Flags::READONLY.union(Flags::FAST).union(Flags::BATCH),
    keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
    since: "7.4.0",
    complexity: "O(N) with N given fields",
    syntax: "key FIELDS (numfields:integer field...)",
    ..HASH
};

/// The latest expiry of a field, in milliseconds since 1970. (Redis: `HFE_MAX_ABS_TIME_MSEC`)
const EXPIRY_MS_MAX: i64 = (1 << 46) - 1;

// What a field replies with. Redis: "HEXPIRE", "HTTL".
const NO_FIELD: i64 = -2;
const NO_EXPIRY: i64 = -1;
const CONDITION_NOT_MET: i64 = 0;
const CHANGED: i64 = 1;
/// The expiry was in the past, so the field is removed.
const REMOVED: i64 = 2;

/// Parses an argument as an expiry. Returns milliseconds since 1970.
fn parse_expiry<K>(cx: &Context<'_, K>, index: usize, unit: TimeUnit, absolute: bool) -> Result<i64, CommandError> {
    let amount = parse_i64(cx.args.get(index)).ok_or(CommandError::NOT_AN_INTEGER)?;
    if amount < 0 {
        return Err(CommandError::text("ERR invalid expire time, must be >= 0"));
    }
    let base_ms = if absolute { 0 } else { cx.now_ms };
    let at_ms = unit.after(base_ms, amount);
    at_ms.filter(|&at_ms| at_ms <= EXPIRY_MS_MAX).ok_or_else(|| CommandError::invalid_expire(cx.command.spec.name))
}

/// Parses `FIELDS numfields field...` at an index, up to the end. Returns the indexes of the fields. `not_positive` is the error for a
/// number of fields that is not positive.
fn parse_fields<K>(
    cx: &Context<'_, K>,
    index: usize,
    not_positive: &'static str,
) -> Result<Range<usize>, CommandError> {
    if index + 1 >= cx.args.len() {
        return Err(CommandError::wrong_arity(&cx.command.full_name));
    }
    if !cx.is_word(index, "FIELDS") {
        return Err(CommandError::text("ERR Mandatory argument FIELDS is missing or not at the right position"));
    }
    let count = parse_i64(cx.args.get(index + 1)).filter(|&count| count > 0);
    let count = count.ok_or(CommandError::text(not_positive))?;
    let fields = index + 2..cx.args.len();
    if usize::try_from(count) != Ok(fields.len()) {
        return Err(CommandError::text("ERR The `numfields` parameter must match the number of arguments"));
    }
    Ok(fields)
}

const NOT_POSITIVE: &str = "ERR Number of fields must be a positive integer";

/// The condition on which a field's expiry changes.
#[derive(Clone, Copy)]
enum Condition {
    /// No condition is given.
    Always,
    /// NX: the field has no expiry.
    NoExpiry,
    /// XX: the field has an expiry.
    HasExpiry,
    /// GT: the new expiry is later than the field's own. A field without one counts as never expiring.
    Later,
    /// LT: the new expiry is earlier, or the field has none yet.
    EarlierOrNone,
}

impl Condition {
    fn holds(self, before_ms: Option<i64>, new_ms: i64) -> bool {
        match self {
            Condition::Always => true,
            Condition::NoExpiry => before_ms.is_none(),
            Condition::HasExpiry => before_ms.is_some(),
            Condition::Later => before_ms.is_some_and(|before_ms| new_ms > before_ms),
            Condition::EarlierOrNone => before_ms.is_none_or(|before_ms| new_ms < before_ms),
        }
    }
}

/// Changes a field's expiry, or removes the field if the new expiry is in the past. Returns what the field replies with.
fn change_expiry(hash: &mut Hash, field: &[u8], at_ms: i64, condition: Condition, now_ms: i64) -> i64 {
    match hash.at(now_ms).expiry_ms(field) {
        None => NO_FIELD,
        Some(before_ms) if !condition.holds(before_ms, at_ms) => CONDITION_NOT_MET,
        Some(_) if at_ms <= now_ms => {
            hash.remove(field, now_ms);
            REMOVED
        }
        Some(_) => {
            hash.set_expiry(field, Some(at_ms), now_ms);
            CHANGED
        }
    }
}

/// Counts removed fields as expired.
fn count_removed(cx: &KeyedWrite<'_>, removed: bool, fields: usize) {
    if removed {
        cx.core.counters.expired_fields.add(fields as u64);
    }
}

/// Announces and records that the fields at some indexes have a new expiry, or were removed because it is in the past.
fn expiry_changed<'a, R>(
    cx: &mut KeyedWrite<'a>,
    key: HashedKey<'a>,
    fields: &[usize],
    at_ms: i64,
    edited: &Edited<R>,
) {
    if fields.is_empty() {
        return;
    }
    let removed = at_ms <= cx.now_ms;
    count_removed(cx, removed, fields.len());
    cx.edited(key, NotifyClass::HASH, if removed { "hdel" } else { "hexpire" }, edited);
    cx.effects.changed_many(fields.len() as u64 - 1);
    let args = cx.args;
    let names = fields.iter().map(|&index| args.get(index));
    cx.journal(|| if removed { record("HDEL", key, names) } else { expiry_record(key, at_ms, fields.len(), names) });
}

fn expiry_record<'a>(
    key: HashedKey<'a>,
    at_ms: i64,
    fields: usize,
    names: impl Iterator<Item = &'a [u8]>,
) -> Vec<Cow<'a, [u8]>> {
    let mut words = record("HPEXPIREAT", key, []);
    words.extend([at_ms.to_string().into_bytes().into(), b"FIELDS".into(), fields.to_string().into_bytes().into()]);
    words.extend(names.map(Cow::Borrowed));
    words
}

fn hexpire(cx: &mut KeyedWrite<'_>, unit: TimeUnit, absolute: bool) -> Run {
    hash_to_write(cx, cx.key(1))?;
    let at_ms = parse_expiry(cx, 2, unit, absolute)?;
    let condition = match cx.args.get(3).to_ascii_uppercase().as_slice() {
        b"NX" => Some(Condition::NoExpiry),
        b"XX" => Some(Condition::HasExpiry),
        b"GT" => Some(Condition::Later),
        b"LT" => Some(Condition::EarlierOrNone),
        _ => None,
    };
    let fields_at = if condition.is_some() { 4 } else { 3 };
    let fields = parse_fields(cx, fields_at, "ERR Parameter `numFields` should be greater than 0")?;
    let condition = condition.unwrap_or(Condition::Always);
    let (key, args, now_ms) = (cx.key(1), cx.args, cx.now_ms);
    let edited = cx.edit(key, Missing::Skip, |hash: &mut Hash| {
        hash.let_expire();
        let results = fields.clone().map(|index| change_expiry(hash, args.get(index), at_ms, condition, now_ms));
        results.collect::<SmallVec<[i64; 8]>>()
    })?;
    cx.reply.array(fields.len());
    let Some(edited) = edited else {
        fields.for_each(|_| cx.reply.integer(NO_FIELD));
        return Ok(Outcome::Done);
    };
    edited.result.iter().for_each(|&result| cx.reply.integer(result));
    let changed = fields.zip(&edited.result).filter(|(_, result)| [CHANGED, REMOVED].contains(result));
    let changed: SmallVec<[usize; 8]> = changed.map(|(index, _)| index).collect();
    expiry_changed(cx, key, &changed, at_ms, &edited);
    Ok(Outcome::Done)
}

fn hpersist(cx: &mut KeyedWrite<'_>) -> Run {
    let (key, args, now_ms) = (cx.key(1), cx.args, cx.now_ms);
    hash_to_write(cx, key)?;
    let fields = parse_fields(cx, 2, NOT_POSITIVE)?;
    let edited = cx.edit(key, Missing::Skip, |hash: &mut Hash| {
        let persist = |index: usize| match hash.at(now_ms).expiry_ms(args.get(index)) {
            None => NO_FIELD,
            Some(None) => NO_EXPIRY,
            Some(Some(_)) => {
                hash.set_expiry(args.get(index), None, now_ms);
                CHANGED
            }
        };
        fields.clone().map(persist).collect::<SmallVec<[i64; 8]>>()
    })?;
    cx.reply.array(fields.len());
    match edited {
        None => fields.for_each(|_| cx.reply.integer(NO_FIELD)),
        Some(edited) => {
            edited.result.iter().for_each(|&result| cx.reply.integer(result));
            if edited.result.contains(&CHANGED) {
                cx.edited(key, NotifyClass::HASH, "hpersist", &edited);
            }
        }
    }
    Ok(Outcome::Done)
}

/// HTTL, HPTTL, HEXPIRETIME and HPEXPIRETIME.
fn times(cx: &mut KeyedRead<'_>, unit: TimeUnit, absolute: bool) -> Run {
    let key = cx.key(1);
    let hash = hash_of(cx, key)?;
    let fields = parse_fields(cx, 2, NOT_POSITIVE)?;
    let base_ms = if absolute { 0 } else { cx.now_ms };
    cx.reply.array(fields.len());
    for index in fields {
        let answer = match hash.and_then(|hash| hash.expiry_ms(cx.args.get(index))) {
            None => NO_FIELD,
            Some(None) => NO_EXPIRY,
            // Rounded up, as in Redis.
            Some(Some(at_ms)) => (at_ms - base_ms + unit.ms() - 1) / unit.ms(),
        };
        cx.reply.integer(answer);
    }
    Ok(Outcome::Done)
}

/// What HGETEX and HSETEX do with the fields' expiry.
#[derive(Clone, Copy)]
enum Change {
    Keep,
    Clear,
    At(i64),
}

/// Parses EX, PX, EXAT or PXAT and its value at an index. Returns milliseconds since 1970, or `None` if the word is none of these.
fn parse_expiry_option<K>(cx: &Context<'_, K>, index: usize) -> Option<Result<i64, CommandError>> {
    let (unit, absolute) = TimeUnit::of_option(cx.args.get(index))?;
    let is_last = index + 1 >= cx.args.len();
    Some(if is_last {
        Err(CommandError::text("ERR missing expire time"))
    } else {
        parse_expiry(cx, index + 1, unit, absolute)
    })
}

/// The hash of a key that the command will write to, with expired fields hidden.
fn hash_to_write<'c>(cx: &'c KeyedWrite<'_>, key: HashedKey<'_>) -> Result<Option<HashView<'c>>, CommandError> {
    match cx.keys.get(cx.db(), key) {
        Some(entry) => Ok(Some(entry.collection::<Hash>()?.at(cx.now_ms))),
        None => Ok(None),
    }
}

fn hgetex(cx: &mut KeyedWrite<'_>) -> Run {
    let (key, args, now_ms) = (cx.key(1), cx.args, cx.now_ms);
    let exists = hash_to_write(cx, key)?.is_some();
    let (change, fields_at) = match parse_expiry_option(cx, 2) {
        Some(at_ms) => (Change::At(at_ms?), 4),
        None if cx.is_word(2, "PERSIST") => (Change::Clear, 3),
        None => (Change::Keep, 2),
    };
    let fields = parse_fields(cx, fields_at, NOT_POSITIVE)?;
    cx.reply.array(fields.len());
    if !exists {
        fields.for_each(|_| cx.reply.null());
        return Ok(Outcome::Done);
    }
    // A field is changed before the next one is read, since a request may name a field twice.
    let edited = cx.edit_and_reply(key, Missing::Skip, |hash: &mut Hash, reply| {
        if !matches!(change, Change::Keep) {
            hash.let_expire();
        }
        let mut changed = SmallVec::<[usize; 8]>::new();
        for index in fields {
            let field = args.get(index);
            reply_element_or_null(reply, hash.at(now_ms).get(field));
            let has_changed = match change {
                Change::Keep => false,
                Change::At(at_ms) => change_expiry(hash, field, at_ms, Condition::Always, now_ms) != NO_FIELD,
                Change::Clear => {
                    let expires = matches!(hash.at(now_ms).expiry_ms(field), Some(Some(_)));
                    expires && hash.set_expiry(field, None, now_ms)
                }
            };
            if has_changed {
                changed.push(index);
            }
        }
        changed
    })?;
    let edited = edited.expect("the key was found under the same lock");
    match change {
        Change::At(at_ms) => expiry_changed(cx, key, &edited.result, at_ms, &edited),
        Change::Clear if !edited.result.is_empty() => {
            cx.edited(key, NotifyClass::HASH, "hpersist", &edited);
            cx.journal(|| {
                let mut words = record("HPERSIST", key, [&b"FIELDS"[..]]);
                words.push(edited.result.len().to_string().into_bytes().into());
                words.extend(edited.result.iter().map(|&index| Cow::Borrowed(args.get(index))));
                words
            });
        }
        Change::Clear | Change::Keep => {}
    }
    Ok(Outcome::Done)
}

fn hgetdel(cx: &mut KeyedWrite<'_>) -> Run {
    let (key, args, now_ms) = (cx.key(1), cx.args, cx.now_ms);
    let exists = hash_to_write(cx, key)?.is_some();
    let fields = parse_fields(cx, 2, NOT_POSITIVE)?;
    cx.reply.array(fields.len());
    if !exists {
        fields.for_each(|_| cx.reply.null());
        return Ok(Outcome::Done);
    }
    let edited = cx.edit_and_reply(key, Missing::Skip, |hash: &mut Hash, reply| {
        let mut removed = SmallVec::<[usize; 8]>::new();
        for index in fields {
            let field = args.get(index);
            reply_element_or_null(reply, hash.at(now_ms).get(field));
            if hash.remove(field, now_ms) {
                removed.push(index);
            }
        }
        removed
    })?;
    let edited = edited.expect("the key was found under the same lock");
    if !edited.result.is_empty() {
        cx.edited(key, NotifyClass::HASH, "hdel", &edited);
        cx.effects.changed_many(edited.result.len() as u64 - 1);
        cx.journal(|| record("HDEL", key, edited.result.iter().map(|&index| args.get(index))));
    }
    Ok(Outcome::Done)
}

/// The arguments of HSETEX.
struct HashSetEx {
    /// NX: false, the key must not exist. XX: true, it must exist.
    key_exists: Option<bool>,
    /// FNX: false, no field may exist. FXX: true, all fields must exist.
    fields_exist: Option<bool>,
    expiry: Option<Change>,
    /// The indexes of the fields and values.
    fields: Range<usize>,
}

impl HashSetEx {
    fn parse(cx: &KeyedWrite<'_>) -> Result<HashSetEx, CommandError> {
        const EXPIRY_TWICE: CommandError =
            CommandError::text("ERR Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified");
        const FIELDS_TWICE: CommandError = CommandError::text("ERR Only one of FXX or FNX arguments can be specified");
        let mut options = HashSetEx { key_exists: None, fields_exist: None, expiry: None, fields: 0..0 };
        let mut index = 2;
        while index < cx.args.len() {
            let word = cx.args.get(index).to_ascii_uppercase();
            match word.as_slice() {
                b"FIELDS" => {
                    options.fields = Self::parse_fields(cx, index)?;
                    return Ok(options);
                }
                b"FNX" | b"FXX" => {
                    let before = options.fields_exist.replace(word == b"FXX");
                    before.map_or(Ok(()), |_| Err(FIELDS_TWICE))?;
                }
                b"NX" | b"XX" => {
                    let before = options.key_exists.replace(word == b"XX");
                    before.map_or(Ok(()), |_| Err(CommandError::SYNTAX))?;
                }
                b"EX" | b"PX" | b"EXAT" | b"PXAT" | b"KEEPTTL" if options.expiry.is_some() => return Err(EXPIRY_TWICE),
                b"KEEPTTL" => options.expiry = Some(Change::Keep),
                _ => {
                    let unknown = || CommandError::repeating("ERR unknown argument: ", cx.args.get(index), "");
                    options.expiry = Some(Change::At(parse_expiry_option(cx, index).ok_or_else(unknown)??));
                    index += 1;
                }
            }
            index += 1;
        }
        Err(CommandError::wrong_arity(&cx.command.full_name))
    }

    fn parse_fields(cx: &KeyedWrite<'_>, index: usize) -> Result<Range<usize>, CommandError> {
        let wrong_arity = || CommandError::wrong_arity(&cx.command.full_name);
        if index + 3 >= cx.args.len() {
            return Err(wrong_arity());
        }
        let count = parse_i64(cx.args.get(index + 1)).filter(|count| (1..=i64::from(i32::MAX)).contains(count));
        let count = count.ok_or(CommandError::text("ERR invalid number of fields"))?;
        let fields = index + 2..cx.args.len();
        if fields.len() != 2 * count as usize { Err(wrong_arity()) } else { Ok(fields) }
    }
}

fn hsetex(cx: &mut KeyedWrite<'_>) -> Run {
    let options = HashSetEx::parse(cx)?;
    let (key, args, limits, now_ms) = (cx.key(1), cx.args, limits(cx), cx.now_ms);
    let names = || options.fields.clone().step_by(2);
    let hash = hash_to_write(cx, key)?;
    let exists = hash.is_some();
    let has = |index: usize| hash.is_some_and(|hash| hash.contains(args.get(index)));
    let holds = options.key_exists.is_none_or(|wanted| wanted == exists)
        && options.fields_exist.is_none_or(|wanted| names().all(|index| has(index) == wanted));
    if !holds {
        cx.reply.integer(0);
        return Ok(Outcome::Done);
    }
    let edited = cx.edit(key, Missing::Create, |hash: &mut Hash| {
        hash.prepare(options.fields.len() / 2, &limits);
        if let Some(Change::At(_)) = options.expiry {
            hash.let_expire();
        }
        for index in names() {
            let (field, value) = (args.get(index), args.get(index + 1));
            hash.set(field, value, matches!(options.expiry, Some(Change::Keep)), &limits, now_ms);
            if let Some(Change::At(at_ms)) = options.expiry {
                change_expiry(hash, field, at_ms, Condition::Always, now_ms);
            }
        }
    })?;
    let edited = edited.expect("a missing key is created");
    let fields = options.fields.len() / 2;
    cx.reply.integer(1);
    let Some(Change::At(at_ms)) = options.expiry else {
        cx.edited(key, NotifyClass::HASH, "hset", &edited);
        cx.effects.changed_many(fields as u64 - 1);
        return Ok(Outcome::Done);
    };
    let removed = at_ms <= now_ms;
    if !exists && !edited.created {
        // The hash was created, and is gone again: all its fields expired at once.
        cx.announce(key, NotifyClass::NEW, "new");
    }
    count_removed(cx, removed, fields);
    cx.changed(key, NotifyClass::HASH, "hset");
    cx.announce(key, NotifyClass::HASH, if removed { "hdel" } else { "hexpire" });
    if edited.removed || !exists && !edited.created {
        cx.announce(key, NotifyClass::GENERIC, "del");
    }
    cx.effects.changed_many(fields as u64 - 1);
    cx.journal(|| {
        if removed {
            return record("HDEL", key, names().map(|index| args.get(index)));
        }
        let mut words = record("HSETEX", key, [&b"PXAT"[..]]);
        words.extend([at_ms.to_string().into_bytes().into(), b"FIELDS".into(), fields.to_string().into_bytes().into()]);
        words.extend(options.fields.clone().map(|index| Cow::Borrowed(args.get(index))));
        words
    });
    Ok(Outcome::Done)
}
