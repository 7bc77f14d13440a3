//! Pending entries, which were delivered to consumers: acknowledging, listing and claiming them.

use ochre_datatypes::stream::{Deletion, Delivery, Stream, StreamId};
use ochre_keyspace::{HashedKey, Missing};
use smallvec::SmallVec;

use super::{
    super::{
        CommandError, CommandSpec, Flags, Handler,
        context::{KeyedRead, KeyedWrite, Outcome, Run},
        table::{KeyFlags, KeySpec},
    },
    STREAM, Words,
    arguments::{DeleteIds, interval, interval_start, parse_id},
    changed_groups, lookup, no_group_or_key, parse_ids, reply_entry, reply_id, reply_missing,
};
use crate::events::NotifyClass;

/// The rows of commands on pending entries.
pub const ROWS: &[CommandSpec] = &[
    CommandSpec {
        name: "xack",
        arity: -4,
        flags: Flags::WRITE.union(Flags::FAST).union(Flags::BATCH),
        keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::UPDATE))],
        complexity: "O(N log P) with N IDs and P pending entries",
        summary: "Acknowledges entries, so that they are no longer pending in the group.",
        syntax: "key group id...",
        handler: Handler::Write(acknowledge),
        ..STREAM
    },
    CommandSpec {
        name: "xackdel",
        arity: -6,
        flags: Flags::WRITE.union(Flags::FAST),
        keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::UPDATE).union(KeyFlags::DELETE))],
        since: "8.2.0",
        complexity: "O(N log P) with N IDs and P pending entries",
        summary: "Acknowledges entries and deletes them.",
        syntax: "key group [KEEPREF|DELREF|ACKED] IDS (numids:integer id...)",
        handler: Handler::Write(acknowledge_and_delete),
        ..STREAM
    },
    CommandSpec {
        name: "xautoclaim",
        arity: -6,
        flags: Flags::WRITE.union(Flags::FAST),
        keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::DELETE))],
        tips: &["nondeterministic_output"],
        since: "6.2.0",
        complexity: "O(N log P) with N scanned entries and P pending entries",
        summary: "Transfers entries that have been pending for long to a consumer, from an ID on.",
        syntax: "key group consumer min-idle-time start [COUNT count:integer] [JUSTID]",
        handler: Handler::Write(claim_from),
        ..STREAM
    },
    CommandSpec {
        name: "xclaim",
        arity: -6,
        flags: Flags::WRITE.union(Flags::FAST),
        keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::UPDATE))],
        tips: &["nondeterministic_output"],
        complexity: "O(N log P) with N IDs and P pending entries",
        summary: "Transfers entries that have been pending for long to a consumer.",
        syntax: "key group consumer min-idle-time id... [IDLE ms:integer] [TIME unix-time-milliseconds:unix-time] \
                 [RETRYCOUNT count:integer] [FORCE] [JUSTID] [LASTID lastid]",
        handler: Handler::Write(claim),
        ..STREAM
    },
    CommandSpec {
        name: "xpending",
        arity: -3,
        flags: Flags::READONLY,
        keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
        tips: &["nondeterministic_output"],
        complexity: "O(log P + N) with P pending entries and N scanned entries",
        summary: "Returns the pending entries of a group.",
        syntax: "key group [[IDLE min-idle-time:integer] start end count:integer [consumer]]",
        handler: Handler::Read(pending),
        ..STREAM
    },
];

fn acknowledge(cx: &mut KeyedWrite<'_>) -> Run {
    let (key, group) = (cx.key(1), cx.args.get(2));
    if !has_group(cx, key, group)? {
        cx.reply.integer(0);
        return Ok(Outcome::Done);
    }
    let ids = parse_ids(cx, 3, cx.args.len())?;
    let edited = cx.edit(key, Missing::Skip, |stream: &mut Stream| {
        let (_, group) = stream.group_mut(group)?;
        Some(ids.iter().filter(|id| group.acknowledge(**id)).count())
    })?;
    let acknowledged = edited.and_then(|edited| edited.result).unwrap_or(0);
    cx.effects.changed_many(acknowledged as u64);
    cx.reply.integer(acknowledged as i64);
    Ok(Outcome::Done)
}

/// Whether the key exists and has the group. The lookup counts as by a command that reads.
fn has_group<'a>(cx: &mut KeyedWrite<'a>, key: HashedKey<'a>, group: &[u8]) -> Result<bool, CommandError> {
    let stream = lookup(cx, key)?;
    Ok(stream.is_some_and(|stream| stream.groups().contains_key(group)))
}

fn acknowledge_and_delete(cx: &mut KeyedWrite<'_>) -> Run {
    let (key, group_name) = (cx.key(1), cx.args.get(2));
    let has_group = has_group(cx, key, group_name)?;
    let request = DeleteIds::parse(cx, 3)?;
    if !has_group {
        reply_missing(&mut cx.reply, request.ids.len());
        return Ok(Outcome::Done);
    }
    let ids = parse_ids(cx, request.ids.start, request.ids.end)?;
    let edited = cx.edit(key, Missing::Skip, |stream: &mut Stream| {
        let results = ids.iter().map(|id| {
            let (_, group) = stream.group_mut(group_name)?;
            group.acknowledge(*id).then(|| stream.delete(*id, request.references))
        });
        results.collect::<SmallVec<[Option<Deletion>; 8]>>()
    })?;
    let results = edited.map(|edited| edited.result).unwrap_or_default();
    if results.contains(&Some(Deletion::Deleted)) {
        cx.changed(key, NotifyClass::STREAM, "xdel");
    }
    cx.effects.changed_many(results.iter().flatten().filter(|result| **result != Deletion::Deleted).count() as u64);
    cx.reply.array(results.len());
    for result in results {
        cx.reply.integer(match result {
            None => -1,
            Some(Deletion::Deleted | Deletion::NotThere) => 1,
            Some(Deletion::Referred) => 2,
        });
    }
    Ok(Outcome::Done)
}

fn pending(cx: &mut KeyedRead<'_>) -> Run {
    let len = cx.args.len();
    if len != 3 && !(6..=9).contains(&len) {
        return Err(CommandError::SYNTAX);
    }
    let filter = if len == 3 { None } else { Some(Filter::parse(cx)?) };
    let (key, group_name) = (cx.key(1), cx.args.get(2));
    let stream = cx.read::<Stream>(key)?;
    let group = stream
        .and_then(|stream| stream.groups().get(group_name))
        .ok_or_else(|| no_group_or_key(key.bytes, group_name))?;
    let Some(filter) = filter else {
        cx.reply.array(4);
        cx.reply.integer(group.pending_len() as i64);
        let Some((first, last)) = group.pending_ends() else {
            cx.reply.null();
            cx.reply.null();
            cx.reply.null_array();
            return Ok(Outcome::Done);
        };
        reply_id(&mut cx.reply, first);
        reply_id(&mut cx.reply, last);
        let consumers = || group.consumers().filter(|consumer| consumer.pending_len() > 0);
        cx.reply.array(consumers().count());
        for consumer in consumers() {
            cx.reply.array(2);
            cx.reply.bulk(consumer.name());
            cx.reply.bulk_integer(consumer.pending_len() as i64);
        }
        return Ok(Outcome::Done);
    };
    let consumer = match filter.consumer.map(|name| group.number_of(name)) {
        Some(None) => {
            cx.reply.array(0);
            return Ok(Outcome::Done);
        }
        Some(Some(consumer)) => Some(consumer),
        None => None,
    };
    let now_ms = cx.now_ms;
    let mark = cx.reply.array_later();
    let mut found = 0;
    let mut show = |(id, delivery): (StreamId, Delivery)| {
        let idle_ms = now_ms.wrapping_sub(delivery.at_ms);
        if found == filter.count {
            return false;
        }
        if filter.idle_min_ms == 0 || idle_ms >= filter.idle_min_ms {
            cx.reply.array(4);
            reply_id(&mut cx.reply, id);
            cx.reply.bulk(group.consumer(delivery.consumer).name());
            cx.reply.integer(idle_ms.max(0));
            cx.reply.integer(delivery.count as i64);
            found += 1;
        }
        true
    };
    match consumer {
        Some(consumer) => group.pending_of(consumer, filter.start, filter.end).all(&mut show),
        None => group.pending(filter.start, filter.end).all(&mut show),
    };
    cx.reply.close_array(mark, found);
    Ok(Outcome::Done)
}

/// The filter of XPENDING.
struct Filter<'a> {
    idle_min_ms: i64,
    start: StreamId,
    end: StreamId,
    count: usize,
    consumer: Option<&'a [u8]>,
}

impl<'a> Filter<'a> {
    fn parse(cx: &KeyedRead<'a>) -> Result<Filter<'a>, CommandError> {
        let mut first = 3;
        let mut idle_min_ms = 0;
        if cx.is_word(3, "IDLE") {
            idle_min_ms = cx.integer(4)?;
            if cx.args.len() < 8 {
                return Err(CommandError::SYNTAX);
            }
            first = 5;
        }
        let count = cx.integer(first + 2)?.max(0) as usize;
        let (start, end) = interval(cx.args.get(first), cx.args.get(first + 1))?;
        Ok(Filter { idle_min_ms, start, end, count, consumer: cx.args.try_get(first + 3) })
    }
}

/// How XCLAIM and XAUTOCLAIM claim entries.
struct Claim {
    idle_min_ms: i64,
    /// The time of delivery to set, in milliseconds since 1970.
    at_ms: i64,
    /// The number of deliveries to set; `None` to keep counting.
    count: Option<u64>,
    /// FORCE: claim entries that are not pending too.
    force: bool,
    /// JUSTID: reply with IDs only, and do not count a delivery.
    just_id: bool,
}

/// The result of claiming one entry.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Claimed {
    Yes,
    No,
    /// The entry is deleted from the stream, and so it is no longer pending.
    Gone,
}

impl Claim {
    /// Claims one entry, and replies with it.
    fn run(
        &self,
        stream: &mut Stream,
        group: &[u8],
        consumer: &[u8],
        id: StreamId,
        cx: &mut Claiming<'_, '_>,
    ) -> Claimed {
        let (log, group) = stream.group_mut(group).expect("the group was found before");
        let delivery = group.delivery(id);
        let Some(entry) = log.get(id) else {
            return if group.acknowledge(id) { Claimed::Gone } else { Claimed::No };
        };
        let number = group.number_of(consumer).expect("the consumer was created before");
        let count = match delivery {
            Some(delivery) if self.idle_min_ms > 0 && cx.now_ms.wrapping_sub(delivery.at_ms) < self.idle_min_ms => {
                return Claimed::No;
            }
            Some(delivery) => delivery.count,
            None if self.force => 1,
            None => return Claimed::No,
        };
        let count = self.count.unwrap_or(if self.just_id { count } else { count + 1 });
        group.set_delivery(id, Delivery { at_ms: self.at_ms, count, consumer: number });
        group.consumer_mut(number).active_ms = Some(cx.now_ms);
        if self.just_id {
            reply_id(cx.reply, id);
        } else {
            reply_entry(cx.reply, entry);
        }
        Claimed::Yes
    }
}

/// What claiming an entry needs of the context.
struct Claiming<'c, 'r> {
    reply: &'c mut ochre_resp::ReplyWriter<'r>,
    now_ms: i64,
}

/// A claimed entry, and its delivery if it is still pending, for the journal.
type Record = (StreamId, Option<Delivery>);

fn claim(cx: &mut KeyedWrite<'_>) -> Run {
    let (key, group_name, consumer_name) = (cx.key(1), cx.args.get(2), cx.args.get(3));
    if !has_group(cx, key, group_name)? {
        return Err(no_group_or_key(key.bytes, group_name));
    }
    let idle_min_ms = cx.integer(4).map_err(|_| CommandError::text("ERR Invalid min-idle-time argument for XCLAIM"))?;
    let mut ids: SmallVec<[StreamId; 8]> = SmallVec::new();
    let mut index = 5;
    while let Some(id) = cx.args.try_get(index).and_then(|text| StreamId::parse(text, 0)) {
        ids.push(id);
        index += 1;
    }
    let now_ms = cx.now_ms;
    let mut at_ms = None;
    let mut last_id = StreamId::MIN;
    let mut claim = Claim { idle_min_ms, at_ms: now_ms, count: None, force: false, just_id: false };
    while index < cx.args.len() {
        let has_value = index + 1 < cx.args.len();
        if cx.is_word(index, "FORCE") {
            claim.force = true;
        } else if cx.is_word(index, "JUSTID") {
            claim.just_id = true;
        } else if cx.is_word(index, "IDLE") && has_value {
            index += 1;
            let idle_ms =
                cx.integer(index).map_err(|_| CommandError::text("ERR Invalid IDLE option argument for XCLAIM"))?;
            at_ms = Some(now_ms.wrapping_sub(idle_ms));
        } else if cx.is_word(index, "TIME") && has_value {
            index += 1;
            let time_ms =
                cx.integer(index).map_err(|_| CommandError::text("ERR Invalid TIME option argument for XCLAIM"))?;
            at_ms = Some(time_ms);
        } else if cx.is_word(index, "RETRYCOUNT") && has_value {
            index += 1;
            let count = cx
                .integer(index)
                .map_err(|_| CommandError::text("ERR Invalid RETRYCOUNT option argument for XCLAIM"))?;
            claim.count = u64::try_from(count).ok();
        } else if cx.is_word(index, "LASTID") && has_value {
            index += 1;
            last_id = parse_id(cx.args.get(index))?;
        } else {
            return Err(CommandError::repeating("ERR Unrecognized XCLAIM option '", cx.args.get(index), "'"));
        }
        index += 1;
    }
    // A time in the future becomes now, since clients' clocks may differ. So does a negative time.
    claim.at_ms = at_ms.filter(|at_ms| (0..=now_ms).contains(at_ms)).unwrap_or(now_ms);
    let is_journaled = cx.core.server.journal.is_kept();
    let mut records: Vec<Record> = Vec::new();
    let mut changes = 0;
    let edited = cx.edit_and_reply(key, Missing::Skip, |stream: &mut Stream, reply| {
        let (_, group) = stream.group_mut(group_name).expect("the group was found above");
        let moved = last_id > group.last_id;
        group.last_id = group.last_id.max(last_id);
        let (number, created) = group.consumer_or_new(consumer_name, now_ms);
        group.consumer_mut(number).seen_ms = now_ms;
        let mark = reply.array_later();
        let mut claimed = 0;
        for id in &ids {
            let result = claim.run(stream, group_name, consumer_name, *id, &mut Claiming { reply, now_ms });
            claimed += usize::from(result == Claimed::Yes);
            if result != Claimed::No {
                changes += 1;
                if is_journaled {
                    records.push((*id, stream.groups()[group_name].delivery(*id)));
                }
            }
        }
        reply.close_array(mark, claimed);
        let group = &stream.groups()[group_name];
        (created, moved, group.last_id, group.entries_read)
    })?;
    let (created, moved, last_id, entries_read) = edited.expect("the group was found above").result;
    if moved {
        // As in Redis, the new last ID belongs to the claims, if there are any.
        cx.effects.changed_many(u64::from(changes == 0));
        record_group(cx, key, group_name, last_id, entries_read);
    }
    publish_claims(cx, key, [group_name, consumer_name], created, changes, records, last_id);
    Ok(Outcome::Done)
}

/// Announces and records what XCLAIM or XAUTOCLAIM did.
fn publish_claims<'a>(
    cx: &mut KeyedWrite<'a>,
    key: HashedKey<'a>,
    [group, consumer]: [&'a [u8]; 2],
    created: bool,
    changes: u64,
    records: Vec<Record>,
    last_id: StreamId,
) {
    if created {
        consumer_created(cx, key, group, consumer);
    }
    cx.effects.changed_many(changes);
    for (id, delivery) in records {
        match delivery {
            Some(delivery) => record_claim(cx, key, group, consumer, id, delivery, last_id),
            None => cx.journal(|| {
                let id = id.to_text().as_bytes().to_vec();
                vec![b"XACK".into(), key.bytes.into(), group.into(), id.into()]
            }),
        }
    }
}

fn claim_from(cx: &mut KeyedWrite<'_>) -> Run {
    let idle_min_ms =
        cx.integer(4).map_err(|_| CommandError::text("ERR Invalid min-idle-time argument for XAUTOCLAIM"))?;
    let start = interval_start(cx.args.get(5))?;
    /// The most entries to scan for each entry of COUNT.
    const ATTEMPTS: usize = 10;
    const COUNT_MAX: i64 = i64::MAX / 16;
    /// The most IDs that fit in memory.
    const COUNT_FEASIBLE: i64 = 1 << 43;
    let mut count = 100;
    let mut claim = Claim { idle_min_ms, at_ms: cx.now_ms, count: None, force: false, just_id: false };
    let mut index = 6;
    while index < cx.args.len() {
        if cx.is_word(index, "COUNT") && index + 1 < cx.args.len() {
            index += 1;
            count = cx
                .integer(index)
                .ok()
                .filter(|count| (1..=COUNT_MAX).contains(count))
                .ok_or(CommandError::text("ERR COUNT must be > 0"))?;
        } else if cx.is_word(index, "JUSTID") {
            claim.just_id = true;
        } else {
            return Err(CommandError::SYNTAX);
        }
        index += 1;
    }
    let (key, group_name, consumer_name) = (cx.key(1), cx.args.get(2), cx.args.get(3));
    if !has_group(cx, key, group_name)? {
        return Err(no_group_or_key(key.bytes, group_name));
    }
    if count > COUNT_FEASIBLE {
        return Err(CommandError::text("ERR Insufficient memory, failed allocating transient memory, COUNT too high."));
    }
    let (now_ms, is_journaled) = (cx.now_ms, cx.core.server.journal.is_kept());
    let mut records: Vec<Record> = Vec::new();
    let mut changes = 0;
    cx.reply.array(3);
    let edited = cx.edit_and_reply(key, Missing::Skip, |stream: &mut Stream, reply| {
        let (_, group) = stream.group_mut(group_name).expect("the group was found above");
        let (number, created) = group.consumer_or_new(consumer_name, now_ms);
        group.consumer_mut(number).seen_ms = now_ms;
        // The reply begins with the ID to continue from, which is known last.
        let protocol = reply.protocol();
        let mut entries = reply.out().part();
        let mut entries_reply = ochre_resp::ReplyWriter::new(&mut entries, protocol);
        let mut gone: Vec<StreamId> = Vec::new();
        let mut claimed = 0;
        let mut left = count as usize;
        let mut attempts = left.saturating_mul(ATTEMPTS);
        let mut next = Some(start);
        let next_pending = |stream: &Stream, next: Option<StreamId>| {
            next.and_then(|start| stream.groups()[group_name].next_pending(start)).map(|(id, _)| id)
        };
        while attempts > 0
            && left > 0
            && let Some(id) = next_pending(stream, next)
        {
            attempts -= 1;
            next = id.next();
            let claiming = &mut Claiming { reply: &mut entries_reply, now_ms };
            let result = claim.run(stream, group_name, consumer_name, id, claiming);
            match result {
                Claimed::No => continue,
                Claimed::Yes => claimed += 1,
                Claimed::Gone => gone.push(id),
            }
            left -= 1;
            changes += 1;
            if is_journaled {
                records.push((id, stream.groups()[group_name].delivery(id)));
            }
        }
        reply_id(reply, next_pending(stream, next).unwrap_or(StreamId::MIN));
        reply.array(claimed);
        reply.raw_owned(entries);
        reply.array(gone.len());
        gone.into_iter().for_each(|id| reply_id(reply, id));
        (created, stream.groups()[group_name].last_id)
    })?;
    let (created, last_id) = edited.expect("the group was found above").result;
    publish_claims(cx, key, [group_name, consumer_name], created, changes, records, last_id);
    Ok(Outcome::Done)
}

/// Records a delivery, in words whose effect does not depend on the entry's state before.
pub fn record_claim<'a>(
    cx: &mut KeyedWrite<'a>,
    key: HashedKey<'a>,
    group: &'a [u8],
    consumer: &'a [u8],
    id: StreamId,
    delivery: Delivery,
    last_id: StreamId,
) {
    cx.journal(|| {
        let number = |number: i64| itoa::Buffer::new().format(number).as_bytes().to_vec();
        let mut words: Words<'a> = [b"XCLAIM", key.bytes, group, consumer, b"0"].into_iter().map(Into::into).collect();
        words.push(id.to_text().as_bytes().to_vec().into());
        words.extend([b"TIME".into(), number(delivery.at_ms).into()]);
        words.extend([b"RETRYCOUNT".into(), number(delivery.count as i64).into()]);
        words.extend([b"FORCE".into(), b"JUSTID".into()]);
        words.extend([b"LASTID".into(), last_id.to_text().as_bytes().to_vec().into()]);
        words
    });
}

/// Announces and records that reading or claiming created a consumer.
pub fn consumer_created<'a>(cx: &mut KeyedWrite<'a>, key: HashedKey<'a>, group: &'a [u8], consumer: &'a [u8]) {
    changed_groups(cx, key, Some("xgroup-createconsumer"));
    cx.journal(|| {
        let words = [b"XGROUP", &b"CREATECONSUMER"[..], key.bytes, group, consumer];
        words.into_iter().map(Into::into).collect()
    });
}

/// Records a group's last ID, and the number of entries that it has read.
pub fn record_group<'a>(
    cx: &mut KeyedWrite<'a>,
    key: HashedKey<'a>,
    group: &'a [u8],
    last_id: StreamId,
    entries_read: Option<i64>,
) {
    cx.journal(|| {
        let read = itoa::Buffer::new().format(entries_read.unwrap_or(-1)).as_bytes().to_vec();
        let mut words: Words<'a> = [b"XGROUP", &b"SETID"[..], key.bytes, group].into_iter().map(Into::into).collect();
        words.push(last_id.to_text().as_bytes().to_vec().into());
        words.extend([b"ENTRIESREAD".into(), read.into()]);
        words
    });
}
