//! Walks: KEYS and SCAN over the keys of a database, in slices between which their core serves other clients; and what HSCAN, SSCAN and ZSCAN
//! share.

use std::cell::Cell;

use ochre_datatypes::{Collection, ValueType, glob::Pattern, listpack::Element};
use ochre_keyspace::{Busy, EntryRef, Met, ScanPosition, Visited};
use ochre_resp::{ReplyBuffer, ReplyWriter};

use super::{
    CommandError, CommandSpec, Flags, Handler,
    context::{Context, KeyedRead, Outcome, Run, Suspended, Walk},
    elements::reply_element,
    keys::GENERIC,
    table::Category,
};
use crate::session::WalkState;

/// The rows of KEYS and SCAN.
pub const ROWS: &[CommandSpec] = &[
    CommandSpec {
        name: "keys",
        arity: 2,
        flags: Flags::READONLY,
        categories: Category::KEYSPACE.union(Category::DANGEROUS),
        tips: &["request_policy:all_shards", "nondeterministic_output_order"],
        since: "1.0.0",
        complexity: "O(N) with N the number of keys of the database, in slices between which others run",
        summary: "Returns all keys that match a pattern.",
        syntax: "pattern:pattern",
        handler: Handler::Walk(keys),
        ..GENERIC
    },
    CommandSpec {
        name: "scan",
        arity: -2,
        flags: Flags::READONLY,
        tips: &["nondeterministic_output", "request_policy:special", "response_policy:special"],
        since: "2.8.0",
        complexity: "O(1) for a call, O(N) for all N keys",
        summary: "Returns some of the keys of a database, and a cursor to continue from.",
        syntax: "cursor:integer [MATCH pattern:pattern] [COUNT count:integer] [TYPE type]",
        handler: Handler::Walk(scan),
        ..GENERIC
    },
];

/// The most work of a slice. An entry counts as one, and so does a shard.
const SLICE_MAX: usize = 4096;
/// The most expired keys that a slice meets: their removal is bounded too.
const EXPIRED_MAX: usize = 256;
/// The size of the pieces in which the result is kept, in bytes.
const PIECE_BYTES: usize = 64 * 1024;
/// The most bytes of a long reply that one slice assembles.
const JOINED_BYTES_MAX: usize = 512 * 1024;

/// The options of SCAN, HSCAN, SSCAN and ZSCAN.
pub struct ScanOptions<'a> {
    /// MATCH; `None` if everything matches.
    pattern: Option<Pattern<&'a [u8]>>,
    /// COUNT: about the number of elements to visit; at least 1.
    pub count: usize,
    /// TYPE; `Some(None)` if no type has the name, so that no key matches.
    value_type: Option<Option<ValueType>>,
    /// NOVALUES or NOSCORES: return the names of fields without values, or members without scores.
    pub names_only: bool,
}

impl<'a> ScanOptions<'a> {
    /// Parses the options from an argument on, for a collection of this type.
    fn of<K>(cx: &Context<'a, K>, from: usize, walked: ValueType) -> Result<ScanOptions<'a>, CommandError> {
        ScanOptions::read(cx, from, Some(walked))
    }

    fn of_keys<K>(cx: &Context<'a, K>) -> Result<ScanOptions<'a>, CommandError> {
        ScanOptions::read(cx, 2, None)
    }

    fn read<K>(cx: &Context<'a, K>, from: usize, walked: Option<ValueType>) -> Result<ScanOptions<'a>, CommandError> {
        let mut options = ScanOptions { pattern: None, count: 10, value_type: None, names_only: false };
        let mut index = from;
        while index < cx.args.len() {
            let has_value = index + 1 < cx.args.len();
            if cx.is_word(index, "COUNT") && has_value {
                let count = cx.integer(index + 1)?;
                if count < 1 {
                    return Err(CommandError::SYNTAX);
                }
                options.count = count as usize;
            } else if cx.is_word(index, "MATCH") && has_value {
                let pattern = cx.args.get(index + 1);
                options.pattern = pattern_of(pattern);
            } else if cx.is_word(index, "TYPE") && has_value && walked.is_none() {
                options.value_type = Some(ValueType::from_name(cx.args.get(index + 1)));
            } else if cx.is_word(index, "NOVALUES") {
                if walked != Some(ValueType::Hash) {
                    return Err(CommandError::text("ERR NOVALUES option can only be used in HSCAN"));
                }
                options.names_only = true;
                index -= 1;
            } else if cx.is_word(index, "NOSCORES") {
                if walked != Some(ValueType::SortedSet) {
                    return Err(CommandError::text("ERR NOSCORES option can only be used in ZSCAN"));
                }
                options.names_only = true;
                index -= 1;
            } else {
                return Err(CommandError::SYNTAX);
            }
            index += 2;
        }
        Ok(options)
    }

    /// Whether MATCH lets an element through, by its name: a field, a member.
    #[inline]
    pub fn admits(&self, name: Element<'_>) -> bool {
        self.pattern.as_ref().is_none_or(|pattern| pattern.matches(name.as_bytes(&mut itoa::Buffer::new())))
    }
}

/// Prepares a pattern; `None` if it matches everything.
fn pattern_of(pattern: &[u8]) -> Option<Pattern<&[u8]>> {
    (pattern != b"*").then(|| Pattern::new(pattern))
}

/// Parses a cursor.
fn cursor(text: &[u8]) -> Result<u64, CommandError> {
    parse_cursor(text).ok_or(CommandError::text("ERR invalid cursor"))
}

/// What HSCAN, SSCAN or ZSCAN found, as the reply's array.
pub struct Found<'r> {
    reply: ReplyWriter<'r>,
    len: usize,
}

impl Found<'_> {
    /// Adds an element of the collection.
    #[inline]
    pub fn element(&mut self, element: Element<'_>) {
        reply_element(&mut self.reply, element);
        self.len += 1;
    }

    /// Adds a text.
    #[inline]
    pub fn bulk(&mut self, text: &[u8]) {
        self.reply.bulk(text);
        self.len += 1;
    }
}

/// Runs HSCAN, SSCAN or ZSCAN: `key cursor [options]`. `scan` walks a part of the collection from a cursor on, adds what it finds, and
/// returns the next cursor, which is 0 at the end.
pub fn scan_collection<'a, C: Collection>(
    cx: &mut KeyedRead<'a>,
    scan: impl FnOnce(C::View<'a>, u64, &ScanOptions<'a>, &mut Found<'_>) -> u64,
) -> Run {
    let cursor = cursor(cx.args.get(2))?;
    let key = cx.key(1);
    // The reply begins with the next cursor, which is known last.
    let protocol = cx.reply.protocol();
    let mut text = cx.reply.out().part();
    let mut found = Found { reply: ReplyWriter::new(&mut text, protocol), len: 0 };
    let next = match cx.read::<C>(key)? {
        Some(view) => scan(view, cursor, &ScanOptions::of(cx, 3, C::TYPE)?, &mut found),
        None => 0,
    };
    let len = found.len;
    cx.reply.array(2);
    cx.reply.bulk(itoa::Buffer::new().format(next).as_bytes());
    cx.reply.array(len);
    cx.reply.raw_owned(text);
    Ok(Outcome::Done)
}

/// What a walk visits, and which keys it returns.
struct Plan<'a> {
    /// Where it begins.
    start: ScanPosition,
    /// The number of entries after which it ends.
    visited_max: usize,
    /// `None` if every key matches.
    pattern: Option<Pattern<&'a [u8]>>,
    /// `Some(None)` if no key matches.
    value_type: Option<Option<ValueType>>,
    /// Whether it removes the expired keys that it meets, matching or not. Otherwise it passes them over.
    removes_expired: bool,
}

impl Plan<'_> {
    fn admits(&self, entry: EntryRef<'_>) -> bool {
        self.value_type.is_none_or(|wanted| wanted == Some(entry.value_type()))
            && self.pattern.as_ref().is_none_or(|pattern| pattern.matches(entry.key()))
    }
}

/// Runs a slice of a walk, from where the last slice stopped. Until the walk has ended, and what it found expired is removed, the command
/// suspends. The reply is what `header` writes, given the next position and the number of elements, followed by the elements.
fn walk(
    cx: &mut Walk<'_>,
    plan: &Plan<'_>,
    header: impl FnOnce(&mut ReplyWriter<'_>, Option<ScanPosition>, usize),
) -> Run {
    let begin = || Box::new(WalkState { position: plan.start, ..WalkState::default() });
    let mut state = cx.session.walk.take().unwrap_or_else(begin);
    let busy = if state.ended.is_none() { visit(cx, &mut state, plan) } else { None };
    if state.found.back().is_some_and(ReplyBuffer::has_overflowed) {
        cx.reply.out().overflow();
        return Ok(Outcome::Done);
    }
    let Some(next) = state.ended.filter(|_| state.expired.is_empty()) else {
        cx.session.walk = Some(state);
        return Ok(Outcome::Suspended(busy.map_or(Suspended::Slice, Suspended::Busy)));
    };
    let count = state.count;
    let total = state.full_bytes + state.found.back().map_or(0, |piece| piece.len());
    if state.reply.is_none() && total <= JOINED_BYTES_MAX {
        header(&mut cx.reply, next, count);
        state.found.iter().for_each(|piece| cx.reply.raw(piece));
        return Ok(Outcome::Done);
    }
    let protocol = cx.reply.protocol();
    let reply = state.reply.get_or_insert_with(|| {
        let mut reply = ReplyBuffer::with_capacity(total + 128, usize::MAX);
        header(&mut ReplyWriter::new(&mut reply, protocol), next, count);
        reply
    });
    let end = if cx.nested { usize::MAX } else { reply.len() + JOINED_BYTES_MAX };
    while reply.len() < end {
        let Some(piece) = state.found.pop_front() else {
            cx.reply.raw_owned(state.reply.take().unwrap_or_default());
            return Ok(Outcome::Done);
        };
        reply.extend_from_slice(&piece);
    }
    cx.session.walk = Some(state);
    Ok(Outcome::Suspended(Suspended::Slice))
}

/// Visits the entries of a slice. Returns the shard to wait for, if one is locked for long.
fn visit(cx: &mut Walk<'_>, state: &mut WalkState, plan: &Plan<'_>) -> Option<Busy> {
    let (database, protocol) = (cx.db(), cx.reply.protocol());
    let removes_expired = plan.removes_expired && cx.keys.removes_expired();
    let visited_max = plan.visited_max;
    let mut shards = 0;
    let visited_before = state.visited;
    if state.found.back().is_none_or(|piece| piece.len() >= PIECE_BYTES) {
        state.full_bytes += state.found.back().map_or(0, |piece| piece.len());
        // The first piece may stay small.
        let capacity = if state.found.is_empty() { 0 } else { 2 * PIECE_BYTES };
        let room = cx.reply.out().room_left().saturating_sub(state.full_bytes);
        state.found.push_back(ReplyBuffer::with_capacity(capacity, room));
    }
    let piece = state.found.back_mut().expect("a piece was added above");
    loop {
        let (visited, expired) = (Cell::new(state.visited), Cell::new(state.expired.len()));
        let slice_end = if cx.nested { usize::MAX } else { visited_before + SLICE_MAX };
        let mut found = ReplyWriter::new(piece, protocol);
        let next = cx.keys.visit(
            database,
            state.position,
            &mut |met| {
                // An expired entry counts as visited, as on Redis.
                visited.set(visited.get() + 1);
                match met {
                    Met::Live(entry) if plan.admits(entry) => {
                        found.bulk(entry.key());
                        state.count += 1;
                    }
                    Met::Expired(entry) if removes_expired => {
                        state.expired.push(entry.key().into());
                        expired.set(expired.get() + 1);
                    }
                    Met::Live(_) | Met::Expired(_) => {}
                }
            },
            &mut || visited.get() >= visited_max.min(slice_end) || expired.get() >= EXPIRED_MAX,
        );
        if cx.nested {
            state.expired.drain(..).for_each(|key| remove_expired(cx, &key));
        }
        state.visited = visited.get();
        let next = match next {
            Visited::UpTo(next) => next,
            Visited::All => {
                state.ended = Some(None);
                return None;
            }
            Visited::Busy(busy) => return Some(busy),
        };
        if state.visited >= visited_max {
            state.ended = Some(Some(next));
            return None;
        }
        state.position = next;
        shards += 1;
        let is_over = state.visited - visited_before + shards >= SLICE_MAX || state.expired.len() >= EXPIRED_MAX;
        if !cx.nested && is_over {
            return None;
        }
    }
}

/// Removes an expired key that a walk inside of another command has met. Such a walk has the whole keyspace to itself.
pub fn remove_expired(cx: &Walk<'_>, key: &[u8]) {
    if let Some(set) = cx.keys.lock_set() {
        // A lookup removes what has expired.
        set.reader().peek(cx.db(), cx.core.server.keyspace.hash(key));
    }
}

fn keys(cx: &mut Walk<'_>) -> Run {
    let plan = Plan {
        start: ScanPosition::START,
        visited_max: usize::MAX,
        pattern: pattern_of(cx.args.get(1)),
        value_type: None,
        removes_expired: false,
    };
    walk(cx, &plan, |reply, _, count| reply.array(count))
}

fn scan(cx: &mut Walk<'_>) -> Run {
    let cursor = cursor(cx.args.get(1))?;
    let options = ScanOptions::of_keys(cx)?;
    let plan = Plan {
        start: ScanPosition::from_cursor(cursor),
        visited_max: options.count,
        pattern: options.pattern,
        value_type: options.value_type,
        removes_expired: true,
    };
    walk(cx, &plan, |reply, next, count| {
        reply.array(2);
        reply.bulk(next.map_or(0, ScanPosition::cursor).to_string().as_bytes());
        reply.array(count);
    })
}

/// Parses a cursor as leniently as Redis: with C's `strtoull`, except that plain negative integers are refused. (Redis: `string2ull`)
pub fn parse_cursor(text: &[u8]) -> Option<u64> {
    if ochre_datatypes::number::parse_i64(text).is_some_and(|integer| integer < 0) {
        return None;
    }
    let spaces = text.iter().take_while(|byte| byte.is_ascii_whitespace() || **byte == 0x0b).count();
    let (negative, digits) = match &text[spaces..] {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let magnitude: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    Some(if negative { magnitude.wrapping_neg() } else { magnitude })
}

#[cfg(test)]
mod tests {
    use super::parse_cursor;

    #[test]
    fn cursors_are_read_as_redis_reads_them() {
        let check = |text: &str, expected| assert_eq!(parse_cursor(text.as_bytes()), expected, "{text:?}");
        check("0", Some(0));
        check("18446744073709551615", Some(u64::MAX));
        check("18446744073709551616", None);
        check(" 7", Some(7));
        check("+7", Some(7));
        check("007", Some(7));
        check("-7", None);
        check("-07", Some(u64::MAX - 6));
        check("-0", Some(0));
        check("", None);
        check("+", None);
        check("7 ", None);
        check("x", None);
    }
}
