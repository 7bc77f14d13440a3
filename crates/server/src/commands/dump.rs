//! DUMP and RESTORE: a value as a payload, which Redis and Valkey understand too.

use std::borrow::Cow;

use ochre_keyspace::EntryRef;
use ochre_persist::rdb::payload::{self, PayloadError};

use super::{
    CommandError, CommandSpec, Flags, Handler,
    context::{Context, KeyedRead, KeyedWrite, Outcome, Run},
    keys::GENERIC,
    table::{Category, KeyFlags, KeySpec},
};
use crate::{events::NotifyClass, persistence::stored};

/// The rows of DUMP and RESTORE.
pub const ROWS: &[CommandSpec] = &[
    CommandSpec {
        name: "dump",
        arity: 2,
        flags: Flags::READONLY,
        keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
        tips: &["nondeterministic_output"],
        since: "2.6.0",
        complexity: "O(N) with N the size of the value",
        summary: "Returns the value of a key as a payload for RESTORE.",
        syntax: "key",
        handler: Handler::Read(dump),
        ..GENERIC
    },
    CommandSpec { name: "restore", since: "2.6.0", handler: Handler::Write(restore), ..RESTORE },
    CommandSpec {
        name: "restore-asking",
        flags: RESTORE.flags.union(Flags::ASKING),
        since: "3.0.0",
        handler: Handler::Write(restore),
        ..RESTORE
    },
];

const RESTORE: CommandSpec = CommandSpec {
    arity: -4,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    categories: Category::DANGEROUS.union(Category::KEYSPACE),
    keys: &[KeySpec::one(1, KeyFlags::OW.union(KeyFlags::UPDATE))],
    complexity: "O(N) with N the size of the value",
    summary: "Creates a key from the payload of DUMP.",
    syntax: "key ttl:integer serialized-value [REPLACE] [ABSTTL] [IDLETIME seconds:integer] [FREQ frequency:integer]",
    ..GENERIC
};

fn dump(cx: &mut KeyedRead<'_>) -> Run {
    let key = cx.key(1);
    match cx.lookup(key) {
        Some(entry) => {
            let options = stored::write_options(&cx.core.config(), cx.now_ms);
            cx.reply.bulk(&payload::dump(stored::view(entry), &options));
        }
        None => cx.reply.null(),
    }
    Ok(Outcome::Done)
}

/// The options of RESTORE.
#[derive(Default)]
struct Options {
    replace: bool,
    /// The TTL is a time since 1970, not one from now on.
    is_absolute: bool,
    idle_s: Option<i64>,
    frequency: Option<u8>,
}

impl Options {
    fn parse<K>(cx: &Context<'_, K>) -> Result<Options, CommandError> {
        let mut options = Options::default();
        let mut index = 4;
        while index < cx.args.len() {
            let has_value = index + 1 < cx.args.len();
            if cx.is_word(index, "REPLACE") {
                options.replace = true;
            } else if cx.is_word(index, "ABSTTL") {
                options.is_absolute = true;
            } else if cx.is_word(index, "IDLETIME") && has_value && options.frequency.is_none() {
                let idle_s = cx.integer(index + 1)?;
                if idle_s < 0 {
                    return Err(CommandError::text("ERR Invalid IDLETIME value, must be >= 0"));
                }
                options.idle_s = Some(idle_s);
                index += 1;
            } else if cx.is_word(index, "FREQ") && has_value && options.idle_s.is_none() {
                let out_of_range = CommandError::text("ERR Invalid FREQ value, must be >= 0 and <= 255");
                options.frequency = Some(u8::try_from(cx.integer(index + 1)?).map_err(|_| out_of_range)?);
                index += 1;
            } else {
                return Err(CommandError::SYNTAX);
            }
            index += 1;
        }
        Ok(options)
    }
}

fn restore(cx: &mut KeyedWrite<'_>) -> Run {
    let options = Options::parse(cx)?;
    let (key, database) = (cx.key(1), cx.db());
    let existing = cx.keys.get(database, key).map(EntryRef::value_type);
    if existing.is_some() && !options.replace {
        return Err(CommandError::text("BUSYKEY Target key name already exists."));
    }
    let ttl = cx.integer(2)?;
    if ttl < 0 {
        return Err(CommandError::text("ERR Invalid TTL value, must be >= 0"));
    }
    let limits = stored::limits(&cx.core.config(), cx.core.server.plain_len_min());
    let value = payload::restore(cx.args.get(3), &limits).map_err(|error| {
        CommandError::text(match error {
            PayloadError::VersionOrChecksum => "ERR DUMP payload version or checksum are wrong",
            PayloadError::Format => "ERR Bad data format",
        })
    })?;
    let expiry_ms = match ttl {
        0 => None,
        ttl if options.is_absolute => Some(ttl),
        ttl => Some(ttl.saturating_add(cx.now_ms)),
    };
    if expiry_ms.is_some_and(|expiry_ms| expiry_ms <= cx.now_ms) {
        if existing.is_some() {
            cx.keys.remove(database, key);
            cx.journal(|| vec![Cow::Borrowed(b"DEL"), Cow::Borrowed(key.bytes)]);
            cx.changed(key, NotifyClass::GENERIC, "del");
        }
        cx.reply.simple("OK");
        return Ok(Outcome::Done);
    }
    let clock = cx.core.access_clock(&cx.core.config(), cx.now_ms);
    let given = options.idle_s.and_then(|idle_s| clock.idle_for(idle_s));
    let given = given.or(options.frequency.and_then(|frequency| clock.with_frequency(frequency)));
    let access = given.unwrap_or(clock.initial());
    let entry = stored::entry(key.bytes, value, expiry_ms, access);
    let value_type = entry.view().value_type();
    cx.keys.put_with_access(database, key, entry);
    if let Some(expiry_ms) = expiry_ms {
        let (args, expiry_ms) = (cx.args, expiry_ms.to_string());
        cx.journal(|| {
            let mut words = vec![Cow::Borrowed(args.get(0)), Cow::Borrowed(key.bytes), expiry_ms.into_bytes().into()];
            words.extend((3..args.len()).map(|index| Cow::Borrowed(args.get(index))));
            words.push(Cow::Borrowed(b"ABSTTL"));
            words
        });
    }
    // As on Redis, a key that is replaced is new too.
    cx.announce(key, NotifyClass::NEW, "new");
    cx.changed(key, NotifyClass::GENERIC, "restore");
    if let Some(before) = existing {
        cx.announce_overwritten(database, key, before, value_type);
    }
    cx.reply.simple("OK");
    Ok(Outcome::Done)
}
