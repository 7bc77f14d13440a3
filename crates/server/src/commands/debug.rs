//! DEBUG: helps tests, and the search for faults. Clients see one command. Its subcommands are rows that only Ochre has, since they need
//! different rights to keys.
//!
//! DIGEST, DIGEST-VALUE, OBJECT and SDSLEN show what is stored, so they also show what has expired and is not removed yet.

mod digest;
mod protocol;

use std::{
    thread,
    time::{Duration, Instant},
};

use ochre_datatypes::{
    Encoding, ValueType,
    glob::Pattern,
    list::{List, ListView},
};
use ochre_keyspace::{AccessClock, EntryRef, ExpiryChange, NewValue, ValueRef};

use self::digest::Signature;
use super::{
    CommandError, CommandSpec, Flags, Handler,
    context::{Context, KeyedRead, Outcome, Run, SessionOnly, Suspended, Whole},
    help,
    later::LaterReply,
    numbers::count_to_pop,
    strings::TOO_LONG,
    table::{Group, KeyFlags, KeySpec},
};
use crate::{
    clock,
    observe::process_figures,
    persistence::loader::{self, ReloadError, ReloadFailed, ReloadOptions},
    session::{Block, WalkState},
    threads,
};

const DEBUG: CommandSpec = CommandSpec {
    flags: Flags::ADMIN
        .union(Flags::NOSCRIPT)
        .union(Flags::LOADING)
        .union(Flags::STALE)
        .union(Flags::DEBUG)
        .union(Flags::PRIVATE_SUBCOMMANDS),
    group: Group::Server,
    since: "1.0.0",
    complexity: "depends on the subcommand",
    ..CommandSpec::DEFAULT
};

/// The row of a subcommand without keys.
const fn session(name: &'static str, arity: i32, handler: fn(&mut SessionOnly<'_>) -> Run) -> CommandSpec {
    CommandSpec { name, arity, handler: Handler::Session(handler), ..DEBUG }
}

/// The row of a subcommand that reads the key at index 2, or the keys from there on if the arity is negative.
const fn keyed(name: &'static str, arity: i32, handler: fn(&mut KeyedRead<'_>) -> Run) -> CommandSpec {
    const KEY: &[KeySpec] = &[KeySpec::one(2, KeyFlags::RO)];
    CommandSpec { name, arity, keys: KEY, handler: Handler::Read(handler), ..DEBUG }
}

/// The row of a switch for a mechanism that Ochre does not have. It is accepted and does nothing.
const fn switch(name: &'static str) -> CommandSpec {
    session(name, 3, accepted)
}

/// The rows of DEBUG.
pub const ROWS: &[CommandSpec] = &[CommandSpec {
    name: "debug",
    arity: -2,
    summary: "Contains the commands that tests and debugging need.",
    subcommands: &[
        switch("aof-flush-sleep"),
        session("assert", 2, crash),
        session("change-repl-id", 2, change_replication_id),
        session("client-eviction", 2, client_eviction),
        switch("client-enforce-reply-list"),
        session("config-rewrite-force-all", 2, config_rewrite),
        switch("delay-rdb-client-free-seconds"),
        switch("dict-resizing"),
        CommandSpec { name: "digest", arity: 2, handler: Handler::Whole(digest), ..DEBUG },
        CommandSpec {
            name: "digest-value",
            arity: -2,
            keys: &[KeySpec::range(2, -1, 1, KeyFlags::RO)],
            handler: Handler::Read(digest_value),
            ..DEBUG
        },
        switch("drop-cluster-packet-filter"),
        session("error", 3, error),
        switch("hashtable-can-abort-shrink"),
        session("help", 2, help),
        CommandSpec { name: "htstats", arity: -3, handler: Handler::Whole(table_statistics), ..DEBUG },
        keyed("htstats-key", -3, table_statistics_of_key),
        switch("keysizes-hist-assert"),
        session("leak", 3, accepted),
        keyed("listpack", 3, listpack),
        session("loadaof", 2, load_append_only_file),
        session("log", 3, log),
        session("mark-internal-client", -2, accepted),
        keyed("object", -3, object),
        session("panic", 2, crash),
        switch("pause-after-fork"),
        switch("pause-cron"),
        CommandSpec { name: "populate", arity: -3, handler: Handler::Whole(populate), ..DEBUG },
        session("protocol", 3, protocol::protocol),
        keyed("quicklist", -3, quicklist),
        session("quicklist-packed-threshold", 3, quicklist_packed_threshold),
        session("reload", -2, reload),
        switch("repl-pause"),
        session("replybuffer", 4, reply_buffer),
        keyed("sdslen", 3, string_lengths),
        session("segfault", 2, crash),
        session("set-active-expire", 3, set_active_expire),
        switch("set-disable-deny-scripts"),
        switch("set-skip-checksum-validation"),
        session("sleep", 3, sleep),
        session("stringmatch-test", 2, test_patterns),
        session("structsize", 2, struct_sizes),
    ],
    handler: Handler::Session(unknown),
    ..DEBUG
}];

/// Refuses an unknown subcommand, or one with the wrong number of arguments.
fn unknown(cx: &mut SessionOnly<'_>) -> Run {
    Err(too_many_arguments(cx))
}

fn too_many_arguments<K>(cx: &Context<'_, K>) -> CommandError {
    let name = cx.args.get(1);
    let name = String::from_utf8_lossy(&name[..name.len().min(128)]);
    CommandError::composed(format!(
        "ERR unknown subcommand or wrong number of arguments for '{name}'. Try {} HELP.",
        cx.command.full_name.to_uppercase(),
    ))
}

fn accepted(cx: &mut SessionOnly<'_>) -> Run {
    cx.reply.ok();
    Ok(Outcome::Done)
}

/// Saves the data and loads it again. Options: MERGE, NOFLUSH, NOSAVE.
fn reload(cx: &mut SessionOnly<'_>) -> Run {
    let mut options = ReloadOptions { saves: true, empties: true, replaces: false };
    for index in 2..cx.args.len() {
        if cx.is_word(index, "MERGE") {
            options.replaces = true;
        } else if cx.is_word(index, "NOFLUSH") {
            options.empties = false;
        } else if cx.is_word(index, "NOSAVE") {
            options.saves = false;
        } else {
            return Err(CommandError::text("ERR DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options."));
        }
    }
    if cx.nested {
        return Err(CommandError::text("ERR DEBUG RELOAD is not possible in a transaction"));
    }
    let (server, later) = (cx.core.server.clone(), LaterReply::of(cx.session));
    let run = move || {
        later.give(loader::reload(&server, options).map_err(|error| match error {
            ReloadError::Save => CommandError::text("ERR"),
            ReloadError::Load => CommandError::text("ERR Error trying to load the RDB dump, check server logs."),
        }));
    };
    let started = threads::spawn("ochre-reload", run);
    started.map_err(|error| CommandError::composed(format!("ERR {error}")))?;
    Ok(Outcome::Block(Block::until(None, |_| {})))
}

/// Empties the databases and loads the append-only file.
fn load_append_only_file(cx: &mut SessionOnly<'_>) -> Run {
    if cx.nested {
        return Err(CommandError::text("ERR DEBUG LOADAOF is not possible in a transaction"));
    }
    let (server, later) = (cx.core.server.clone(), LaterReply::of(cx.session));
    let run = move || {
        const FAILED: CommandError = CommandError::text("ERR Error trying to load the AOF files, check server logs.");
        later.give(loader::reload_append_only_file(&server).map_err(|ReloadFailed| FAILED));
    };
    let started = threads::spawn("ochre-reload", run);
    started.map_err(|error| CommandError::composed(format!("ERR {error}")))?;
    Ok(Outcome::Block(Block::until(None, |_| {})))
}

/// Delays this client's next command, and no other client. Inside EXEC it delays the following commands while their keys are locked.
fn sleep(cx: &mut SessionOnly<'_>) -> Run {
    let seconds = leading_number(cx.args.get(2)).max(0.0);
    let duration = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
    if cx.nested {
        thread::sleep(duration);
        return accepted(cx);
    }
    let wait = Block::until(Instant::now().checked_add(duration), |reply| reply.ok());
    Ok(Outcome::Block(Block { counts_as: duration, ..wait }))
}

/// The number at the start of a text, as C's `strtod` parses it: 0 if there is none.
fn leading_number(text: &[u8]) -> f64 {
    let text = String::from_utf8_lossy(text);
    let text = text.trim_start();
    let end =
        text.find(|letter: char| !matches!(letter, '0'..='9' | '.' | '-' | '+' | 'e' | 'E')).unwrap_or(text.len());
    (0..=end).rev().find_map(|end| text.get(..end)?.parse().ok()).unwrap_or(0.0)
}

fn set_active_expire(cx: &mut SessionOnly<'_>) -> Run {
    let on = leading_number(cx.args.get(2)) as i64 != 0;
    cx.core.server.set_active_expiry(on);
    accepted(cx)
}

fn change_replication_id(cx: &mut SessionOnly<'_>) -> Run {
    tracing::info!("Changing replication IDs after receiving change-repl-id");
    cx.core.server.change_replication_id();
    accepted(cx)
}

fn client_eviction(_cx: &mut SessionOnly<'_>) -> Run {
    Err(CommandError::text("ERR maxmemory-clients is disabled."))
}

fn config_rewrite(cx: &mut SessionOnly<'_>) -> Run {
    let rewritten = super::acl::rewrite_configuration(&cx.core.server);
    rewritten.map_err(|reason| {
        let reason = reason.strip_prefix("ERR ").unwrap_or(&reason);
        CommandError::composed(format!("ERR CONFIG-REWRITE-FORCE-ALL failed: {reason}"))
    })?;
    accepted(cx)
}

fn crash(cx: &mut SessionOnly<'_>) -> Run {
    tracing::error!("DEBUG {} asked for: the process ends", cx.command.spec.name.to_uppercase());
    std::process::abort();
}

fn error(cx: &mut SessionOnly<'_>) -> Run {
    Err(CommandError::composed(String::from_utf8_lossy(cx.args.get(2)).into_owned()))
}

fn log(cx: &mut SessionOnly<'_>) -> Run {
    tracing::warn!("DEBUG LOG: {}", String::from_utf8_lossy(cx.args.get(2)));
    accepted(cx)
}

fn quicklist_packed_threshold(cx: &mut SessionOnly<'_>) -> Run {
    let bytes = crate::config::parse_memory(cx.args.get(2)).and_then(|bytes| u32::try_from(bytes).ok());
    let bytes =
        bytes.ok_or(CommandError::text("ERR argument must be a memory value bigger than 1 and smaller than 4gb"))?;
    cx.core.server.set_plain_len_min(bytes);
    accepted(cx)
}

/// Accepts the settings of Redis's reply buffers. Ochre writes replies to the core's buffer, so no client has one that could shrink.
fn reply_buffer(cx: &mut SessionOnly<'_>) -> Run {
    if cx.is_word(2, "PEAK-RESET-TIME") {
        if !cx.is_word(3, "NEVER") && !cx.is_word(3, "RESET") {
            cx.integer(3)?;
        }
    } else if !cx.is_word(2, "RESIZING") {
        return unknown(cx);
    }
    accepted(cx)
}

/// Matches random patterns against random texts, to show that the server survives it.
fn test_patterns(cx: &mut SessionOnly<'_>) -> Run {
    const LETTERS: &[u8] = b"ab*?[]^-\\";
    for _ in 0..10_000 {
        let random_text = || -> Vec<u8> {
            let len = cx.core.random() % 16;
            (0..len).map(|_| LETTERS[(cx.core.random() >> 32) as usize % LETTERS.len()]).collect()
        };
        let (pattern, text) = (random_text(), random_text());
        Pattern::new(&pattern).matches(&text);
    }
    cx.reply.simple("Apparently the server did not crash: test passed");
    Ok(Outcome::Done)
}

fn struct_sizes(cx: &mut SessionOnly<'_>) -> Run {
    let client = size_of::<crate::session::Client>();
    let session = size_of::<crate::session::Session>();
    cx.reply.bulk(format!("bits:{} client:{client} session:{session}", usize::BITS).as_bytes());
    Ok(Outcome::Done)
}

fn object(cx: &mut KeyedRead<'_>) -> Run {
    let (now_ms, listpack_size) = (cx.now_ms, cx.core.config().list_max_listpack_size);
    let text = cx.keys.inspect(cx.db(), cx.key(2), |entry| object_text(entry, now_ms, listpack_size));
    cx.reply.simple(&text.ok_or(CommandError::NO_SUCH_KEY)?);
    Ok(Outcome::Done)
}

fn object_text(entry: EntryRef<'_>, now_ms: i64, listpack_size: i32) -> String {
    let access = entry.access();
    let text = format!(
        "Value at:{:p} refcount:1 encoding:{} serializedlength:{} lru:{access} lru_seconds_idle:{}",
        entry.key().as_ptr(),
        entry.encoding().name(),
        if entry.value_type() == ValueType::String { serialized_len(entry.value()) } else { entry.memory_usage() },
        AccessClock::lru(now_ms).idle_s(access),
    );
    let nodes = match entry.collection::<List>() {
        Ok(ListView::Quick(list)) => {
            let (nodes, bytes) = list.nodes();
            format!(
                " ql_nodes:{nodes} ql_avg_node:{:.2} ql_listpack_max:{listpack_size} ql_compressed:0 \
                 ql_uncompressed_size:{bytes}",
                list.len() as f64 / nodes as f64,
            )
        }
        _ => String::new(),
    };
    text + &nodes
}

/// The length of a string in an RDB file, without compression. (Redis: `rdbSaveRawString`)
fn serialized_len(value: ValueRef<'_>) -> usize {
    /// The most bytes of a string that is saved as an integer.
    const INTEGER_LEN_MAX: usize = 11;
    let integer = match value {
        ValueRef::Integer(integer) => Some(integer),
        ValueRef::Bytes(bytes) if bytes.len() <= INTEGER_LEN_MAX => ochre_datatypes::number::parse_i64(bytes),
        ValueRef::Bytes(_) => None,
    };
    match integer {
        Some(integer) if i8::try_from(integer).is_ok() => return 2,
        Some(integer) if i16::try_from(integer).is_ok() => return 3,
        Some(integer) if i32::try_from(integer).is_ok() => return 5,
        _ => {}
    }
    let len = value.len();
    let prefix = match len {
        0..0x40 => 1,
        0x40..0x4000 => 2,
        _ => 5,
    };
    prefix + len
}

fn listpack(cx: &mut KeyedRead<'_>) -> Run {
    let entry = cx.keys.peek(cx.db(), cx.key(2)).ok_or(CommandError::NO_SUCH_KEY)?;
    if ![Encoding::Listpack, Encoding::ListpackEx].contains(&entry.encoding()) {
        return Err(CommandError::text("ERR Not a listpack encoded object."));
    }
    tracing::debug!("{entry:?}");
    cx.reply.simple("Listpack structure printed on stdout");
    Ok(Outcome::Done)
}

fn quicklist(cx: &mut KeyedRead<'_>) -> Run {
    let entry = cx.keys.peek(cx.db(), cx.key(2)).ok_or(CommandError::NO_SUCH_KEY)?;
    if entry.encoding() != Encoding::Quicklist {
        return Err(CommandError::text("ERR Not a quicklist encoded object."));
    }
    tracing::debug!("{entry:?}");
    cx.reply.simple("Quicklist structure printed on stdout");
    Ok(Outcome::Done)
}

fn string_lengths(cx: &mut KeyedRead<'_>) -> Run {
    let lengths = cx.keys.inspect(cx.db(), cx.key(2), |entry| {
        let is_text = entry.value_type() == ValueType::String && entry.encoding() != Encoding::Int;
        is_text.then(|| (entry.key().len(), entry.value().len(), entry.memory_usage()))
    });
    let lengths = lengths.ok_or(CommandError::NO_SUCH_KEY)?;
    let (key, value, memory) = lengths.ok_or(CommandError::text("ERR Not an sds encoded string."))?;
    let text = format!(
        "key_sds_len:{key}, key_sds_avail:0, key_zmalloc: {memory}, val_sds_len:{value}, val_sds_avail:{}, val_zmalloc: 0",
        memory.saturating_sub(key + value),
    );
    cx.reply.simple(&text);
    Ok(Outcome::Done)
}

fn table_statistics_of_key(cx: &mut KeyedRead<'_>) -> Run {
    let entry = cx.keys.peek(cx.db(), cx.key(2)).ok_or(CommandError::NO_SUCH_KEY)?;
    if matches!(entry.encoding(), Encoding::Hashtable | Encoding::Skiplist) {
        cx.reply.verbatim("txt", format!("[Dictionary HT]\nmemory: {}\n", entry.memory_usage()).as_bytes());
        return Ok(Outcome::Done);
    }
    Err(CommandError::text("ERR The value stored at the specified key is not represented using an hash table"))
}

fn table_statistics(cx: &mut Whole<'_>) -> Run {
    let database = cx.integer(2)?;
    let databases = cx.core.config().databases;
    let database = usize::try_from(database).ok().filter(|&database| database < databases);
    let database = database.ok_or(CommandError::text("ERR Out of range database"))?;
    let size = cx.core.server.keyspace.sizes(cx.core.index, database..database + 1)[0];
    let slots = cx.keys.slots(database);
    let table = |title: &str, slots: usize, elements: usize| {
        if elements == 0 {
            return format!("[{title} HT]\n");
        }
        format!(
            "[{title} HT]\nHash table 0 stats (main hash table):\n table size: {slots}\n number of elements: {elements}\n"
        )
    };
    let text = table("Dictionary", slots, size.keys) + &table("Expires", size.expires, size.expires);
    cx.reply.verbatim("txt", text.as_bytes());
    Ok(Outcome::Done)
}

fn digest(cx: &mut Whole<'_>) -> Run {
    let core = cx.core;
    let signature =
        Signature::of_data_set(&core.server.keyspace, core.index, cx.keys.walker(), core.config().databases);
    cx.reply.simple(&signature.to_hex());
    Ok(Outcome::Done)
}

fn digest_value(cx: &mut KeyedRead<'_>) -> Run {
    cx.reply.array(cx.args.len() - 2);
    for index in 2..cx.args.len() {
        let signature = cx.keys.inspect(cx.db(), cx.key(index), Signature::of_value).unwrap_or_default();
        cx.reply.simple(&signature.to_hex());
    }
    Ok(Outcome::Done)
}

/// Creates the keys `key:0`, `key:1`, … with the values `value:0`, `value:1`, …, which are padded with zero bytes or cut to a size. Keys
/// that exist stay as they are. As on Redis, the keys do not count as changes.
///
/// It runs in slices, between which others run. Each slice has the keyspace to itself.
fn populate(cx: &mut Whole<'_>) -> Run {
    /// A key with a short value takes at least this.
    const KEY_BYTES_MIN: usize = 32;
    /// How long a slice takes.
    const SLICE: Duration = Duration::from_micros(250);
    let first = cx.session.walk.take().map_or(0, |walk| walk.visited);
    if cx.args.len() > 5 {
        return Err(too_many_arguments(cx));
    }
    let count = count_to_pop(cx, 2)?;
    let prefix = String::from_utf8_lossy(cx.args.try_get(3).unwrap_or(b"key")).into_owned();
    let size = if cx.args.len() > 4 { count_to_pop(cx, 4)? } else { 0 };
    if size > cx.core.config().proto_max_bulk_len as usize {
        return Err(TOO_LONG);
    }
    // It does not begin what cannot end well.
    let bytes = count.saturating_mul(KEY_BYTES_MIN + size);
    if bytes > process_figures::total_memory() as usize {
        return Err(CommandError::text("ERR the keys would not fit into the memory of this machine"));
    }
    let database = cx.db();
    let began = clock::ticks();
    for number in first..count {
        if !cx.nested && number > first && clock::ticks().saturating_sub(began) > clock::ticks_of(SLICE) {
            cx.session.walk = Some(Box::new(WalkState { visited: number, ..WalkState::default() }));
            return Ok(Outcome::Suspended(Suspended::Slice));
        }
        let name = format!("{prefix}:{number}");
        let key = cx.core.server.keyspace.hash(name.as_bytes());
        let mut keys = cx.keys.writer();
        if keys.peek(database, key).is_some() {
            continue;
        }
        let mut value = format!("value:{number}").into_bytes();
        if size > 0 {
            value.resize(size, 0);
        }
        keys.set(database, key, NewValue::Bytes(&value), ExpiryChange::Clear);
        if let Some(set) = cx.keys.lock_set() {
            set.touch(database, key.hash, key.bytes);
        }
    }
    cx.reply.ok();
    Ok(Outcome::Done)
}

fn help(cx: &mut SessionOnly<'_>) -> Run {
    help::write(
        &mut cx.reply,
        "debug",
        &[
            "ASSERT | PANIC | SEGFAULT",
            "    End the process, without any care.",
            "CHANGE-REPL-ID",
            "    Draw another replication ID.",
            "CONFIG-REWRITE-FORCE-ALL",
            "    As CONFIG REWRITE.",
            "DIGEST",
            "    A signature of the data set.",
            "DIGEST-VALUE <key> [<key> ...]",
            "    Signatures of values.",
            "ERROR <string>",
            "    Answer with this error.",
            "HTSTATS <dbid> [full]",
            "    Figures of the tables of a database.",
            "LISTPACK <key> | QUICKLIST <key>",
            "    What a compact value is made of.",
            "LOG <message>",
            "    Write a line to the log.",
            "OBJECT <key>",
            "    How a value is stored.",
            "POPULATE <count> [<prefix>] [<size>]",
            "    Make keys <prefix>:0, <prefix>:1, … that hold strings.",
            "PROTOCOL <type>",
            "    A reply of the type: string, integer, double, bignum, null, array, set, map, attrib, push, verbatim,",
            "    true, false.",
            "SDSLEN <key>",
            "    Lengths of a key and its string.",
            "SET-ACTIVE-EXPIRE <0|1>",
            "    Whether keys are removed when their time comes, without anybody looking at them.",
            "SLEEP <seconds>",
            "    Answer later.",
            "STRINGMATCH-TEST",
            "    Match random patterns.",
            "AOF-FLUSH-SLEEP, DICT-RESIZING, PAUSE-CRON, QUICKLIST-PACKED-THRESHOLD, REPLYBUFFER, …",
            "    Taken for the sake of tests, and without consequence.",
        ],
    );
    Ok(Outcome::Done)
}
