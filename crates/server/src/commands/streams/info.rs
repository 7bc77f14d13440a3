//! XINFO: reports on a stream, its consumer groups and their consumers.

use ochre_datatypes::stream::{Delivery, Group, Log, Stream, StreamId};
use ochre_resp::ReplyWriter;

use super::{
    super::{
        CommandError, CommandSpec, Flags, Handler,
        context::{KeyedRead, Outcome, Run, SessionOnly},
        help,
        table::{Category, KeyFlags, KeySpec},
    },
    STREAM, no_group, reply_entries, reply_entry, reply_id,
};

/// The rows of XINFO.
pub const ROWS: &[CommandSpec] = &[CommandSpec {
    name: "xinfo",
    arity: -2,
    categories: Category::empty(),
    complexity: "depends on the subcommand",
    summary: "Contains the commands that report on streams.",
    subcommands: &[
        CommandSpec {
            name: "consumers",
            arity: 4,
            flags: Flags::READONLY,
            keys: &[KeySpec::one(2, KeyFlags::RO.union(KeyFlags::ACCESS))],
            tips: &["nondeterministic_output"],
            summary: "Returns the consumers of a group.",
            syntax: "key group",
            handler: Handler::Read(consumers),
            ..STREAM
        },
        CommandSpec {
            name: "groups",
            arity: 3,
            flags: Flags::READONLY,
            keys: &[KeySpec::one(2, KeyFlags::RO.union(KeyFlags::ACCESS))],
            summary: "Returns the consumer groups of a stream.",
            syntax: "key",
            handler: Handler::Read(groups),
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
            name: "stream",
            arity: -3,
            flags: Flags::READONLY,
            keys: &[KeySpec::one(2, KeyFlags::RO.union(KeyFlags::ACCESS))],
            summary: "Returns facts about a stream.",
            syntax: "key [FULL [COUNT count:integer]]",
            handler: Handler::Read(stream),
            ..STREAM
        },
    ],
    ..STREAM
}];

/// The stream of the key. The error is for a missing key.
fn existing<'a>(cx: &mut KeyedRead<'a>) -> Result<&'a Stream, CommandError> {
    let key = cx.key(2);
    cx.read::<Stream>(key)?.ok_or(CommandError::NO_SUCH_KEY)
}

fn stream(cx: &mut KeyedRead<'_>) -> Run {
    let stream = existing(cx)?;
    let log = stream.log();
    let count = match cx.args.len() {
        3 => None,
        4 if cx.is_word(3, "FULL") => Some(10),
        6 if cx.is_word(3, "FULL") && cx.is_word(4, "COUNT") => match cx.integer(5)? {
            count @ 0.. => Some(count as usize),
            _ => Some(10),
        },
        _ => return Err(help::wrong_arguments(cx)),
    };
    let reply = &mut cx.reply;
    reply.map(if count.is_some() { 9 } else { 10 });
    reply_figure(reply, "length", log.len() as i64);
    reply_figure(reply, "radix-tree-keys", log.blocks().len() as i64);
    reply_figure(reply, "radix-tree-nodes", radix_tree_nodes(log));
    for (name, id) in [("last-generated-id", log.last_id()), ("max-deleted-entry-id", log.max_deleted_id())] {
        reply.bulk(name.as_bytes());
        reply_id(reply, id);
    }
    reply_figure(reply, "entries-added", log.entries_added());
    reply.bulk(b"recorded-first-entry-id");
    reply_id(reply, log.first_id());
    match count {
        Some(count) => {
            reply.bulk(b"entries");
            reply_entries(reply, log.range(StreamId::MIN, StreamId::MAX), count);
            reply.bulk(b"groups");
            reply.array(stream.groups().len());
            for (name, group) in stream.groups() {
                reply_group_in_full(reply, log, name, group, count);
            }
        }
        None => {
            reply_figure(reply, "groups", stream.groups().len() as i64);
            let first = log.range(StreamId::MIN, StreamId::MAX).next();
            let last = log.range_back(StreamId::MIN, StreamId::MAX).next();
            for (name, entry) in [("first-entry", first), ("last-entry", last)] {
                reply.bulk(name.as_bytes());
                match entry {
                    Some(entry) => reply_entry(reply, entry),
                    None => reply.null(),
                }
            }
        }
    }
    Ok(Outcome::Done)
}

fn reply_figure(reply: &mut ReplyWriter<'_>, name: &str, figure: i64) {
    reply.bulk(name.as_bytes());
    reply.integer(figure);
}

/// Replies with the entries that a group has read, and with its lag.
fn reply_progress(reply: &mut ReplyWriter<'_>, log: &Log, group: &Group) {
    reply.bulk(b"last-delivered-id");
    reply_id(reply, group.last_id);
    for (name, figure) in [("entries-read", group.entries_read), ("lag", log.lag(group))] {
        reply.bulk(name.as_bytes());
        match figure {
            Some(figure) => reply.integer(figure),
            None => reply.null(),
        }
    }
}

/// Replies with a group and its consumers, and with at most `count` pending entries of each, or with all if `count` is 0.
fn reply_group_in_full(reply: &mut ReplyWriter<'_>, log: &Log, name: &[u8], group: &Group, count: usize) {
    let shown = |len: usize| if count == 0 { len } else { len.min(count) };
    let reply_delivery = |reply: &mut ReplyWriter<'_>, delivery: Delivery| {
        reply.integer(delivery.at_ms);
        reply.integer(delivery.count as i64);
    };
    reply.map(7);
    reply.bulk(b"name");
    reply.bulk(name);
    reply_progress(reply, log, group);
    reply_figure(reply, "pel-count", group.pending_len() as i64);
    reply.bulk(b"pending");
    reply.array(shown(group.pending_len()));
    for (id, delivery) in group.pending(StreamId::MIN, StreamId::MAX).take(shown(group.pending_len())) {
        reply.array(4);
        reply_id(reply, id);
        reply.bulk(group.consumer(delivery.consumer).name());
        reply_delivery(reply, delivery);
    }
    reply.bulk(b"consumers");
    reply.array(group.consumers().len());
    for consumer in group.consumers() {
        reply.map(5);
        reply.bulk(b"name");
        reply.bulk(consumer.name());
        reply_figure(reply, "seen-time", consumer.seen_ms);
        reply_figure(reply, "active-time", consumer.active_ms.unwrap_or(-1));
        reply_figure(reply, "pel-count", consumer.pending_len() as i64);
        reply.bulk(b"pending");
        reply.array(shown(consumer.pending_len()));
        let number = group.number_of(consumer.name()).expect("the consumer belongs to the group");
        let pending = group.pending_of(number, StreamId::MIN, StreamId::MAX);
        for (id, delivery) in pending.take(shown(consumer.pending_len())) {
            reply.array(3);
            reply_id(reply, id);
            reply_delivery(reply, delivery);
        }
    }
}

fn groups(cx: &mut KeyedRead<'_>) -> Run {
    let stream = existing(cx)?;
    cx.reply.array(stream.groups().len());
    for (name, group) in stream.groups() {
        cx.reply.map(6);
        cx.reply.bulk(b"name");
        cx.reply.bulk(name);
        reply_figure(&mut cx.reply, "consumers", group.consumers().len() as i64);
        reply_figure(&mut cx.reply, "pending", group.pending_len() as i64);
        reply_progress(&mut cx.reply, stream.log(), group);
    }
    Ok(Outcome::Done)
}

fn consumers(cx: &mut KeyedRead<'_>) -> Run {
    let stream = existing(cx)?;
    let name = cx.args.get(3);
    let group = stream.groups().get(name).ok_or_else(|| no_group(cx.args.get(2), name))?;
    let now_ms = cx.now_ms;
    cx.reply.array(group.consumers().len());
    for consumer in group.consumers() {
        cx.reply.map(4);
        cx.reply.bulk(b"name");
        cx.reply.bulk(consumer.name());
        reply_figure(&mut cx.reply, "pending", consumer.pending_len() as i64);
        reply_figure(&mut cx.reply, "idle", (now_ms - consumer.seen_ms).max(0));
        reply_figure(&mut cx.reply, "inactive", consumer.active_ms.map_or(-1, |active_ms| (now_ms - active_ms).max(0)));
    }
    Ok(Outcome::Done)
}

/// The number of nodes of the radix tree in which Redis keeps the blocks, whose keys are the blocks' IDs. A node is a byte in which keys
/// differ, a run of bytes that all keys below share, or the end of a key. For very many blocks the number is estimated.
fn radix_tree_nodes(log: &Log) -> i64 {
    const BLOCKS_MAX: usize = 10_000;
    const KEY_LEN: i64 = 16;
    let len = log.blocks().len();
    let keys =
        log.blocks().take(BLOCKS_MAX).map(|block| u128::from(block.first().ms) << 64 | u128::from(block.first().seq));
    let keys: Vec<u128> = keys.collect();
    if keys.len() < 2 {
        return 1 + keys.len() as i64;
    }
    // The number of bytes that each key shares with the next.
    let shared: Vec<i64> = keys.windows(2).map(|pair| i64::from((pair[0] ^ pair[1]).leading_zeros() / 8)).collect();
    // Counts a node at a depth, and the run between it and the differing byte above it.
    let nodes_at = |depth: i64, above: i64| 1 + i64::from(depth - above > 1);
    let mut nodes = 0;
    for index in 0..keys.len() {
        let before = if index == 0 { 0 } else { shared[index - 1] };
        let above = before.max(shared.get(index).copied().unwrap_or(0));
        nodes += nodes_at(KEY_LEN, above);
    }
    // The depths at which keys branch off the path to the current key, from the root on.
    let mut branches: Vec<i64> = Vec::new();
    for depth in shared.into_iter().chain([-1]) {
        while let Some(branch) = branches.pop_if(|branch| *branch > depth) {
            nodes += nodes_at(branch, branches.last().map_or(depth, |above| depth.max(*above)));
        }
        if depth >= 0 && branches.last() != Some(&depth) {
            branches.push(depth);
        }
    }
    if len > keys.len() { nodes * len as i64 / keys.len() as i64 } else { nodes }
}

fn print_help(cx: &mut SessionOnly<'_>) -> Run {
    help::write(
        &mut cx.reply,
        "xinfo",
        &[
            "CONSUMERS <key> <groupname>",
            "    Show consumers of <groupname>.",
            "GROUPS <key>",
            "    Show the stream consumer groups.",
            "STREAM <key> [FULL [COUNT <count>]",
            "    Show information about the stream.",
        ],
    );
    Ok(Outcome::Done)
}
