//! XREAD and XREADGROUP: read the entries after an ID from several streams, and block for new ones.

use std::time::Instant;

use ochre_datatypes::{
    ValueType,
    stream::{Delivery, Stream, StreamId},
};
use ochre_keyspace::{HashedKey, Missing};
use ochre_resp::{Args, ReplyWriter};
use smallvec::SmallVec;

use super::{
    super::{
        CommandError, CommandSpec, Flags, Handler,
        context::{Context, KeyedRead, KeyedWrite, Outcome, Run},
        table::{BeginSearch, FindKeys, KeyFlags, KeySpec},
        timeout,
    },
    STREAM,
    arguments::parse_id,
    changed_groups, error_with, lookup,
    pending::{consumer_created, record_claim, record_group},
    reply_entries, reply_entry, reply_id,
};
use crate::session::{AwaitedKeys, Block};

/// The rows of XREAD and XREADGROUP.
pub const ROWS: &[CommandSpec] = &[
    CommandSpec {
        name: "xread",
        arity: -4,
        flags: Flags::READONLY.union(Flags::BLOCKING).union(Flags::MOVABLE_KEYS),
        keys: &[streams_from(1)],
        complexity: "O(log S + N) for each stream, with S entries in it and N returned",
        summary: "Returns the entries after an ID of each of several streams, and may block for new entries.",
        syntax: "[COUNT count:integer] [BLOCK milliseconds:integer] STREAMS (key... id...)",
        handler: Handler::Read(read),
        ..STREAM
    },
    CommandSpec {
        name: "xreadgroup",
        arity: -7,
        flags: Flags::WRITE.union(Flags::BLOCKING).union(Flags::MOVABLE_KEYS),
        keys: &[streams_from(4)],
        unspecified_keys: Some(visit_streams_of_group),
        complexity: "O(log S + N) for each stream, with S entries in it and N returned",
        summary: "Delivers new entries of several streams to a consumer of a group, or returns its pending entries, and may block for new entries.",
        syntax: "GROUP (group consumer) [COUNT count:integer] [BLOCK milliseconds:integer] [NOACK] STREAMS (key... id...)",
        handler: Handler::Write(read_group),
        ..STREAM
    },
];

const fn streams_from(from: i16) -> KeySpec {
    KeySpec {
        flags: KeyFlags::RO.union(KeyFlags::ACCESS),
        begin: BeginSearch::Keyword { keyword: "STREAMS", from },
        find: FindKeys::Range { last: -1, step: 1, limit: 2 },
        notes: None,
    }
}

/// Visits the keys after STREAMS. The spec finds the first STREAMS, which may be the name of the group or of the consumer.
fn visit_streams_of_group(args: Args<'_>, visit: &mut dyn FnMut(usize, KeyFlags)) {
    let mut index = 1;
    while index < args.len() {
        let is = |word: &str| args.get(index).eq_ignore_ascii_case(word.as_bytes());
        if is("STREAMS") {
            let first = index + 1;
            let keys = first..first + (args.len() - first) / 2;
            keys.for_each(|index| visit(index, KeyFlags::RO.union(KeyFlags::ACCESS)));
            return;
        }
        index += match () {
            () if is("GROUP") => 3,
            () if is("BLOCK") || is("COUNT") => 2,
            () => 1,
        };
    }
}

/// The options, which precede the streams, and where the streams are.
struct Options<'a> {
    /// The most entries of each stream; 0 for all.
    count: usize,
    /// BLOCK: the deadline, if any. `None` if the command may not block.
    block: Option<Option<Instant>>,
    /// GROUP: the names of the group and the consumer.
    group: Option<(&'a [u8], &'a [u8])>,
    no_ack: bool,
    /// The index of the first key.
    first: usize,
    /// The number of keys, and of the IDs after them.
    streams: usize,
}

impl<'a> Options<'a> {
    /// Parses the options. (Redis: `xreadCommand`)
    fn parse<K>(cx: &Context<'a, K>, with_group: bool) -> Result<Options<'a>, CommandError> {
        let len = cx.args.len();
        let mut options = Options { count: 0, block: None, group: None, no_ack: false, first: 0, streams: 0 };
        let mut index = 1;
        while index < len {
            let remaining = len - 1 - index;
            if remaining > 0 && cx.is_word(index, "BLOCK") {
                index += 1;
                options.block = Some(timeout::deadline_ms(cx, index)?);
            } else if remaining > 0 && cx.is_word(index, "COUNT") {
                index += 1;
                options.count = cx.integer(index)?.max(0) as usize;
            } else if remaining > 0 && cx.is_word(index, "STREAMS") {
                options.first = index + 1;
                if !remaining.is_multiple_of(2) {
                    return Err(CommandError::text(if with_group {
                        "ERR Unbalanced 'xreadgroup' list of streams: for each stream key an ID or '>' must be specified."
                    } else {
                        "ERR Unbalanced 'xread' list of streams: for each stream key an ID, '+', or '$' must be specified."
                    }));
                }
                options.streams = remaining / 2;
                break;
            } else if remaining >= 2 && cx.is_word(index, "GROUP") {
                if !with_group {
                    return Err(CommandError::text(
                        "ERR The GROUP option is only supported by XREADGROUP. You called XREAD instead.",
                    ));
                }
                options.group = Some((cx.args.get(index + 1), cx.args.get(index + 2)));
                index += 2;
            } else if cx.is_word(index, "NOACK") {
                if !with_group {
                    return Err(CommandError::text(
                        "ERR The NOACK option is only supported by XREADGROUP. You called XREAD instead.",
                    ));
                }
                options.no_ack = true;
            } else {
                return Err(CommandError::SYNTAX);
            }
            index += 1;
        }
        if options.first == 0 {
            return Err(CommandError::SYNTAX);
        }
        if with_group && options.group.is_none() {
            return Err(CommandError::text("ERR Missing GROUP option for XREADGROUP"));
        }
        Ok(options)
    }

    fn key<K>(&self, cx: &Context<'a, K>, nth: usize) -> HashedKey<'a> {
        cx.nth_key(nth, self.first + nth)
    }

    /// The text of the `nth` stream's ID.
    fn id<K>(&self, cx: &Context<'a, K>, nth: usize) -> &'a [u8] {
        cx.args.get(self.first + self.streams + nth)
    }

    /// Ends the command if no stream has entries: it blocks or replies with null. `args` replaces the arguments while it waits.
    fn block_or_reply_null<K>(&self, cx: &mut Context<'a, K>, args: Option<Vec<Vec<u8>>>) -> Run {
        let Some(deadline) = self.block else {
            cx.reply.null_array();
            return Ok(Outcome::Done);
        };
        let range = self.first..self.first + self.streams;
        let keys =
            Some(AwaitedKeys { keys: range, value_type: ValueType::Stream, or_gone: self.group.is_some(), args });
        Ok(Outcome::Block(Block { keys, ..Block::until(deadline, |reply| reply.null_array()) }))
    }
}

/// The reply: a map from keys to entries, which is an array of pairs in RESP2. It is not begun before the first key.
struct Answer {
    mark: Option<ochre_resp::LaterMark>,
    len: usize,
}

impl Answer {
    fn begin(&mut self, reply: &mut ReplyWriter<'_>, key: &[u8]) {
        if self.mark.is_none() {
            self.mark = Some(reply.array_later());
        }
        self.len += 1;
        if reply.protocol() != ochre_resp::Protocol::Resp3 {
            reply.array(2);
        }
        reply.bulk(key);
    }

    /// Ends the reply. Returns whether it was begun.
    fn end(self, reply: &mut ReplyWriter<'_>) -> bool {
        let Some(mark) = self.mark else { return false };
        if reply.protocol() == ochre_resp::Protocol::Resp3 {
            reply.close_map(mark, self.len);
        } else {
            reply.close_array(mark, self.len);
        }
        true
    }
}

fn read(cx: &mut KeyedRead<'_>) -> Run {
    let options = Options::parse(cx, false)?;
    let mut after: SmallVec<[StreamId; 8]> = SmallVec::new();
    let mut is_relative = false;
    for nth in 0..options.streams {
        let key = options.key(cx, nth);
        let stream = cx.read::<Stream>(key)?;
        after.push(match options.id(cx, nth) {
            b"$" => {
                is_relative = true;
                stream.map_or(StreamId::MIN, |stream| stream.log().last_id())
            }
            // The last entry, which may be older than the last ID: entries are deleted, and XSETID sets the last ID.
            b"+" => stream.and_then(|stream| stream.log().last_entry_id().previous()).unwrap_or(StreamId::MIN),
            b">" => {
                return Err(CommandError::text(
                    "ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> \
                     option.",
                ));
            }
            text => parse_id(text)?,
        });
    }
    let mut answer = Answer { mark: None, len: 0 };
    for (nth, after) in after.iter().enumerate() {
        let key = options.key(cx, nth);
        let Some(stream) = cx.read::<Stream>(key)? else { continue };
        let log = stream.log();
        if let Some(start) = after.next().filter(|start| !log.is_empty() && log.last_entry_id() >= *start) {
            answer.begin(&mut cx.reply, key.bytes);
            reply_entries(&mut cx.reply, log.range(start, StreamId::MAX), options.count);
        }
    }
    if answer.end(&mut cx.reply) {
        return Ok(Outcome::Done);
    }
    // While the command waits, `$` stands for the last ID of now, so that ID replaces it.
    let absolute = |cx: &KeyedRead<'_>| {
        let ids = options.first + options.streams;
        let words = cx.args.iter().enumerate();
        words
            .map(|(index, word)| match word {
                b"$" if index >= ids => after[index - ids].to_text().as_bytes().to_vec(),
                word => word.to_vec(),
            })
            .collect()
    };
    let args = (is_relative && options.block.is_some()).then(|| absolute(cx));
    options.block_or_reply_null(cx, args)
}

fn read_group(cx: &mut KeyedWrite<'_>) -> Run {
    let options = Options::parse(cx, true)?;
    let (group_name, consumer_name) = options.group.expect("parse refuses the command without a group");
    let mut after: SmallVec<[StreamId; 8]> = SmallVec::new();
    for nth in 0..options.streams {
        let key = options.key(cx, nth);
        let stream = lookup(cx, key)?;
        if !stream.is_some_and(|stream| stream.groups().contains_key(group_name)) {
            return Err(error_with(
                "NOGROUP No such key '",
                key.bytes,
                "' or consumer group '",
                group_name,
                "' in XREADGROUP with GROUP option",
            ));
        }
        after.push(match options.id(cx, nth) {
            b"$" => {
                return Err(CommandError::text(
                    "ERR The $ ID is meaningless in the context of XREADGROUP: you want to read the history of this \
                     consumer by specifying a proper ID, or use the > ID to get new messages. The $ ID would just \
                     return an empty result set.",
                ));
            }
            b"+" => {
                return Err(CommandError::text(
                    "ERR The + ID is meaningless in the context of XREADGROUP: you want to read the history of this \
                     consumer by specifying a proper ID, or use the > ID to get new messages. The + ID would just \
                     return an empty result set.",
                ));
            }
            // As in Redis, the greatest ID means the same as `>`.
            b">" => StreamId::MAX,
            text => parse_id(text)?,
        });
    }
    let mut answer = Answer { mark: None, len: 0 };
    for (nth, after) in after.iter().enumerate() {
        let key = options.key(cx, nth);
        cx.core.counters.lookup(true);
        let (now_ms, is_journaled) = (cx.now_ms, cx.core.server.journal.is_kept());
        let edited = cx.edit_and_reply(key, Missing::Skip, |stream: &mut Stream, reply| {
            let (log, group) = stream.group_mut(group_name)?;
            let (consumer, created) = group.consumer_or_new(consumer_name, now_ms);
            group.consumer_mut(consumer).seen_ms = now_ms;
            let mut served = Served { created, ..Served::default() };
            let Some(start) = after.next() else {
                // New entries, which were delivered to no consumer of the group.
                if log.is_empty() || log.last_entry_id() <= group.last_id {
                    return Some(served);
                }
                answer.begin(reply, key.bytes);
                let start = group.last_id.next()?;
                let count = if options.count == 0 { usize::MAX } else { options.count };
                let mark = reply.array_later();
                let mut len = 0;
                for entry in log.range(start, StreamId::MAX).take(count) {
                    log.delivered(group, entry.id);
                    reply_entry(reply, entry);
                    len += 1;
                    if !options.no_ack {
                        let delivery = Delivery { at_ms: now_ms, count: 1, consumer };
                        group.set_delivery(entry.id, delivery);
                        if is_journaled {
                            served.delivered.push((entry.id, delivery));
                        }
                    }
                }
                reply.close_array(mark, len);
                if !options.no_ack {
                    group.consumer_mut(consumer).active_ms = Some(now_ms);
                }
                served.moved_to = Some((group.last_id, group.entries_read));
                return Some(served);
            };
            // The consumer's pending entries.
            answer.begin(reply, key.bytes);
            let mark = reply.array_later();
            let mut len = 0;
            let mut next = Some(start);
            while let Some(id) = next.and_then(|start| group.next_pending_of(consumer, start)) {
                if options.count > 0 && len == options.count {
                    break;
                }
                match log.get(id) {
                    Some(entry) => {
                        reply_entry(reply, entry);
                        group.redelivered(id, now_ms);
                    }
                    None => {
                        reply.array(2);
                        reply_id(reply, id);
                        reply.null_array();
                    }
                }
                len += 1;
                next = id.next();
            }
            reply.close_array(mark, len);
            Some(served)
        })?;
        let Some(served) = edited.and_then(|edited| edited.result) else { continue };
        if served.created {
            consumer_created(cx, key, group_name, consumer_name);
        }
        if let Some((last_id, entries_read)) = served.moved_to {
            changed_groups(cx, key, None);
            for (id, delivery) in served.delivered {
                record_claim(cx, key, group_name, consumer_name, id, delivery, last_id);
            }
            record_group(cx, key, group_name, last_id, entries_read);
        }
    }
    if answer.end(&mut cx.reply) {
        return Ok(Outcome::Done);
    }
    options.block_or_reply_null(cx, None)
}

/// What XREADGROUP did for one stream.
#[derive(Default)]
struct Served {
    /// Whether the consumer was created.
    created: bool,
    /// The group's new last ID and number of read entries, if it advanced.
    moved_to: Option<(StreamId, Option<i64>)>,
    /// The new pending entries, for the journal.
    delivered: Vec<(StreamId, Delivery)>,
}
