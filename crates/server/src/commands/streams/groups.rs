//! XGROUP: creates, moves and removes consumer groups and their consumers.

use ochre_datatypes::stream::{Stream, StreamId};
use ochre_keyspace::Missing;

use super::{
    super::{
        CommandError, CommandSpec, Flags, Handler,
        context::{KeyedWrite, Outcome, Run, SessionOnly},
        help,
        table::{Category, KeyFlags, KeySpec},
    },
    STREAM,
    arguments::{parse_bound, parse_id},
    changed_groups, no_group, stream_of,
};
use crate::events::NotifyClass;

/// The rows of XGROUP.
pub const ROWS: &[CommandSpec] = &[CommandSpec {
    name: "xgroup",
    arity: -2,
    categories: Category::empty(),
    complexity: "depends on the subcommand",
    summary: "Contains the commands about consumer groups.",
    subcommands: &[
        CommandSpec {
            name: "create",
            arity: -5,
            flags: Flags::WRITE.union(Flags::DENYOOM),
            keys: &[KeySpec::one(2, KeyFlags::RW.union(KeyFlags::INSERT))],
            summary: "Creates a consumer group.",
            syntax: "key group (id|$) [MKSTREAM] [ENTRIESREAD entriesread:integer]",
            handler: Handler::Write(create),
            ..STREAM
        },
        CommandSpec {
            name: "createconsumer",
            arity: 5,
            flags: Flags::WRITE.union(Flags::DENYOOM),
            keys: &[KeySpec::one(2, KeyFlags::RW.union(KeyFlags::INSERT))],
            since: "6.2.0",
            summary: "Creates a consumer in a group.",
            syntax: "key group consumer",
            handler: Handler::Write(create_consumer),
            ..STREAM
        },
        CommandSpec {
            name: "delconsumer",
            arity: 5,
            flags: Flags::WRITE,
            keys: &[KeySpec::one(2, KeyFlags::RW.union(KeyFlags::DELETE))],
            complexity: "O(N) with N pending entries of the consumer",
            summary: "Removes a consumer of a group, together with its pending entries.",
            syntax: "key group consumer",
            handler: Handler::Write(delete_consumer),
            ..STREAM
        },
        CommandSpec {
            name: "destroy",
            arity: 4,
            flags: Flags::WRITE,
            keys: &[KeySpec::one(2, KeyFlags::RW.union(KeyFlags::DELETE))],
            complexity: "O(N) with N pending entries of the group",
            summary: "Removes a consumer group.",
            syntax: "key group",
            handler: Handler::Write(destroy),
            ..STREAM
        },
        CommandSpec {
            name: "help",
            arity: 2,
            flags: Flags::LOADING.union(Flags::STALE),
            summary: "Lists the subcommands.",
            handler: Handler::Session(print_help),
            ..STREAM
        },
        CommandSpec {
            name: "setid",
            arity: -5,
            flags: Flags::WRITE,
            keys: &[KeySpec::one(2, KeyFlags::RW.union(KeyFlags::UPDATE))],
            summary: "Sets the ID of the last entry that was delivered to a group.",
            syntax: "key group (id|$) [ENTRIESREAD entriesread:integer]",
            handler: Handler::Write(set_id),
            ..STREAM
        },
    ],
    ..STREAM
}];

const KEY_REQUIRED: CommandError = CommandError::text(
    "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the MKSTREAM option to \
     create an empty stream automatically.",
);

/// The options of CREATE and SETID, which follow the ID.
#[derive(Default)]
struct Options {
    create_stream: bool,
    entries_read: Option<i64>,
}

impl Options {
    fn parse(cx: &KeyedWrite<'_>, may_create: bool) -> Result<Options, CommandError> {
        let mut options = Options::default();
        let mut index = 5;
        while index < cx.args.len() {
            if may_create && cx.is_word(index, "MKSTREAM") {
                options.create_stream = true;
                index += 1;
            } else if cx.is_word(index, "ENTRIESREAD") && index + 1 < cx.args.len() {
                options.entries_read = match cx.integer(index + 1)? {
                    -1 => None,
                    read @ 0.. => Some(read),
                    _ => return Err(CommandError::text("ERR value for ENTRIESREAD must be positive or -1")),
                };
                index += 2;
            } else {
                return Err(help::wrong_arguments(cx));
            }
        }
        Ok(options)
    }
}

/// The last ID of the key's stream. The error is for a missing key or group.
fn last_id_of_group(cx: &mut KeyedWrite<'_>) -> Result<StreamId, CommandError> {
    let (key, group) = (cx.key(2), cx.args.get(3));
    let stream = stream_of(cx, key)?.ok_or(KEY_REQUIRED)?;
    if !stream.groups().contains_key(group) {
        return Err(no_group(key.bytes, group));
    }
    Ok(stream.log().last_id())
}

fn create(cx: &mut KeyedWrite<'_>) -> Run {
    let options = Options::parse(cx, true)?;
    let (key, group, id) = (cx.key(2), cx.args.get(3), cx.args.get(4));
    let last_id = stream_of(cx, key)?.map(|stream| stream.log().last_id());
    if last_id.is_none() && !options.create_stream {
        return Err(KEY_REQUIRED);
    }
    if cx.args.len() > 8 {
        return Err(help::wrong_arguments(cx));
    }
    let id = if id == b"$" { last_id.unwrap_or_default() } else { parse_id(id)? };
    let edited =
        cx.edit(key, Missing::Create, |stream: &mut Stream| stream.create_group(group, id, options.entries_read))?;
    let edited = edited.expect("a missing key is created");
    if !edited.result {
        return Err(CommandError::text("BUSYGROUP Consumer Group name already exists"));
    }
    if edited.created {
        cx.changed(key, NotifyClass::STREAM, "xgroup-create");
    } else {
        changed_groups(cx, key, Some("xgroup-create"));
    }
    cx.reply.ok();
    Ok(Outcome::Done)
}

fn set_id(cx: &mut KeyedWrite<'_>) -> Run {
    let options = Options::parse(cx, false)?;
    let last_id = last_id_of_group(cx)?;
    if !matches!(cx.args.len(), 5 | 7) {
        return Err(help::wrong_arguments(cx));
    }
    let (key, group, id) = (cx.key(2), cx.args.get(3), cx.args.get(4));
    let id = if id == b"$" { last_id } else { parse_bound(id)? };
    // `changed_groups` announces the edit, since WATCH does not see changes of groups.
    let _ = cx.edit(key, Missing::Skip, |stream: &mut Stream| {
        let (log, group) = stream.group_mut(group).expect("the group was found above");
        group.last_id = id;
        group.entries_read = options.entries_read.map(|read| read.min(log.entries_added()));
    })?;
    changed_groups(cx, key, Some("xgroup-setid"));
    cx.reply.ok();
    Ok(Outcome::Done)
}

fn destroy(cx: &mut KeyedWrite<'_>) -> Run {
    let (key, group) = (cx.key(2), cx.args.get(3));
    let edited = cx.edit(key, Missing::Skip, |stream: &mut Stream| stream.parts_mut().1.remove(group))?;
    let group = edited.ok_or(KEY_REQUIRED)?.result;
    let removed = group.is_some();
    if let Some(group) = group {
        if group.is_heavy() {
            cx.keys.bury(group);
        }
        // Clients that wait for entries of the group are unblocked with an error.
        let database = cx.db();
        cx.effects.wake(database, key, NotifyClass::STREAM, "xgroup-destroy");
    }
    cx.reply.integer(removed.into());
    Ok(Outcome::Done)
}

fn create_consumer(cx: &mut KeyedWrite<'_>) -> Run {
    last_id_of_group(cx)?;
    let (key, group, consumer, now_ms) = (cx.key(2), cx.args.get(3), cx.args.get(4), cx.now_ms);
    let edited = cx.edit(key, Missing::Skip, |stream: &mut Stream| {
        let (_, group) = stream.group_mut(group)?;
        Some(group.consumer_or_new(consumer, now_ms).1)
    })?;
    let created = edited.and_then(|edited| edited.result).unwrap_or(false);
    if created {
        changed_groups(cx, key, Some("xgroup-createconsumer"));
    }
    cx.reply.integer(created.into());
    Ok(Outcome::Done)
}

fn delete_consumer(cx: &mut KeyedWrite<'_>) -> Run {
    last_id_of_group(cx)?;
    let (key, group, consumer) = (cx.key(2), cx.args.get(3), cx.args.get(4));
    let edited = cx.edit(key, Missing::Skip, |stream: &mut Stream| {
        let (_, group) = stream.group_mut(group)?;
        group.remove_consumer(consumer)
    })?;
    let pending = edited.and_then(|edited| edited.result);
    if pending.is_some() {
        changed_groups(cx, key, Some("xgroup-delconsumer"));
    }
    cx.reply.integer(pending.unwrap_or(0) as i64);
    Ok(Outcome::Done)
}

fn print_help(cx: &mut SessionOnly<'_>) -> Run {
    help::write(
        &mut cx.reply,
        "xgroup",
        &[
            "CREATE <key> <groupname> <id|$> [option]",
            "    Create a new consumer group. Options are:",
            "    * MKSTREAM",
            "      Create the empty stream if it does not exist.",
            "    * ENTRIESREAD entries_read",
            "      Set the group's entries_read counter (internal use).",
            "CREATECONSUMER <key> <groupname> <consumer>",
            "    Create a new consumer in the specified group.",
            "DELCONSUMER <key> <groupname> <consumer>",
            "    Remove the specified consumer.",
            "DESTROY <key> <groupname>",
            "    Remove the specified group.",
            "SETID <key> <groupname> <id|$> [ENTRIESREAD entries_read]",
            "    Set the current group ID and entries_read counter.",
        ],
    );
    Ok(Outcome::Done)
}
