//! OBJECT: shows how a value is stored, and when it was accessed.

use ochre_keyspace::{AccessClock, EntryRef};

use super::{
    CommandError, CommandSpec, Flags, Handler,
    context::{KeyedRead, Outcome, Run, SessionOnly},
    keys::GENERIC,
    table::{Category, KeyFlags, KeySpec},
};

/// The rows of OBJECT.
pub const ROWS: &[CommandSpec] = &[CommandSpec {
    name: "object",
    arity: -2,
    categories: Category::empty(),
    since: "2.2.3",
    complexity: "depends on the subcommand",
    summary: "Contains the commands that inspect how values are stored.",
    subcommands: &[
        CommandSpec {
            name: "encoding",
            since: "2.2.3",
            summary: "Returns the encoding of the value of a key.",
            handler: Handler::Read(encoding),
            ..OF_KEY
        },
        CommandSpec {
            name: "freq",
            since: "4.0.0",
            summary: "Returns the access frequency of a key, on a logarithmic scale.",
            handler: Handler::Read(freq),
            ..OF_KEY
        },
        CommandSpec {
            name: "help",
            arity: 2,
            flags: Flags::LOADING.union(Flags::STALE),
            since: "6.2.0",
            summary: "Lists the subcommands.",
            handler: Handler::Session(help),
            ..GENERIC
        },
        CommandSpec {
            name: "idletime",
            since: "2.2.3",
            summary: "Returns the seconds since a key was accessed.",
            handler: Handler::Read(idletime),
            ..OF_KEY
        },
        CommandSpec {
            name: "refcount",
            since: "2.2.3",
            summary: "Returns the reference count of the value of a key, which is 1.",
            handler: Handler::Read(refcount),
            ..OF_KEY
        },
    ],
    ..GENERIC
}];

const OF_KEY: CommandSpec = CommandSpec {
    arity: 3,
    flags: Flags::READONLY,
    keys: &[KeySpec::one(2, KeyFlags::RO)],
    tips: &["nondeterministic_output"],
    syntax: "key",
    ..GENERIC
};

const HELP: &[&str] = &[
    "OBJECT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "ENCODING <key>",
    "    Return the kind of internal representation used in order to store the value",
    "    associated with a <key>.",
    "FREQ <key>",
    "    Return the access frequency index of the <key>. The returned integer is",
    "    proportional to the logarithm of the recent access frequency of the key.",
    "IDLETIME <key>",
    "    Return the idle time of the <key>, that is the approximated number of",
    "    seconds elapsed since the last access to the key.",
    "REFCOUNT <key>",
    "    Return the number of references of the value associated with the specified",
    "    <key>.",
    "HELP",
    "    Print this help.",
];

fn help(cx: &mut SessionOnly<'_>) -> Run {
    cx.reply.array(HELP.len());
    for line in HELP {
        cx.reply.simple(line);
    }
    Ok(Outcome::Done)
}

/// The entry of the key; the lookup does not count as an access. Replies with null if there is no key.
fn entry<'a>(cx: &mut KeyedRead<'a>) -> Option<EntryRef<'a>> {
    let found = cx.keys.peek(cx.db(), cx.key(2));
    cx.core.counters.lookup(found.is_some());
    if found.is_none() {
        cx.reply.null();
    }
    found
}

fn encoding(cx: &mut KeyedRead<'_>) -> Run {
    if let Some(entry) = entry(cx) {
        cx.reply.bulk(entry.encoding().name().as_bytes());
    }
    Ok(Outcome::Done)
}

fn refcount(cx: &mut KeyedRead<'_>) -> Run {
    if entry(cx).is_some() {
        cx.reply.integer(1);
    }
    Ok(Outcome::Done)
}

fn access_clock(cx: &KeyedRead<'_>) -> AccessClock {
    cx.core.access_clock(&cx.core.config(), cx.now_ms)
}

fn freq(cx: &mut KeyedRead<'_>) -> Run {
    let Some(entry) = entry(cx) else { return Ok(Outcome::Done) };
    match access_clock(cx) {
        clock @ AccessClock::Lfu { .. } => cx.reply.integer(clock.frequency(entry.access()).into()),
        AccessClock::Lru { .. } | AccessClock::Lrm { .. } => {
            return Err(CommandError::text(
                "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when \
                 switching between policies at runtime LRU and LFU data will take some time to adjust.",
            ));
        }
    }
    Ok(Outcome::Done)
}

fn idletime(cx: &mut KeyedRead<'_>) -> Run {
    let Some(entry) = entry(cx) else { return Ok(Outcome::Done) };
    match access_clock(cx) {
        clock @ (AccessClock::Lru { .. } | AccessClock::Lrm { .. }) => {
            cx.reply.integer(clock.idle_s(entry.access()).into())
        }
        AccessClock::Lfu { .. } => {
            return Err(CommandError::text(
                "ERR An LFU maxmemory policy is selected, idle time not tracked. Please note that when switching \
                 between policies at runtime LRU and LFU data will take some time to adjust.",
            ));
        }
    }
    Ok(Outcome::Done)
}
