//! The arguments that commands on streams share: IDs, intervals of IDs, trims, lists of IDs to delete.

use std::ops::Range;

use ochre_datatypes::stream::{NewId, References, StreamId, Trim, TrimTo};

use super::super::{CommandError, context::Context};

const INVALID_ID: CommandError = CommandError::text("ERR Invalid stream ID specified as stream command argument");

/// Parses an ID. A missing sequence number is 0.
pub fn parse_id(text: &[u8]) -> Result<StreamId, CommandError> {
    StreamId::parse(text, 0).ok_or(INVALID_ID)
}

/// As [`parse_id`], but also takes `-` for the lowest ID and `+` for the highest.
pub fn parse_bound(text: &[u8]) -> Result<StreamId, CommandError> {
    StreamId::parse_bound(text, 0).ok_or(INVALID_ID)
}

/// Parses the two ends of an interval. Returns the first and the last ID in it. An end that begins with `(` is not part of the interval.
pub fn interval(start: &[u8], end: &[u8]) -> Result<(StreamId, StreamId), CommandError> {
    let start = interval_start(start)?;
    let end = match exclusive(end) {
        Some(end) => StreamId::parse(end, u64::MAX)
            .ok_or(INVALID_ID)?
            .previous()
            .ok_or(CommandError::text("ERR invalid end ID for the interval"))?,
        None => StreamId::parse_bound(end, u64::MAX).ok_or(INVALID_ID)?,
    };
    Ok((start, end))
}

/// Parses the start of an interval, as [`interval`] does.
pub fn interval_start(start: &[u8]) -> Result<StreamId, CommandError> {
    match exclusive(start) {
        Some(start) => parse_id(start)?.next().ok_or(CommandError::text("ERR invalid start ID for the interval")),
        None => parse_bound(start),
    }
}

fn exclusive(text: &[u8]) -> Option<&[u8]> {
    text.strip_prefix(b"(").filter(|rest| !rest.is_empty())
}

/// The arguments of XADD before the fields, and those of XTRIM.
pub struct AddOrTrim {
    /// NOMKSTREAM: do not create the stream.
    pub no_create: bool,
    /// What to trim, if anything.
    pub trim: Option<Trim>,
    /// XADD's ID, if it is given.
    pub id: Option<NewId>,
    /// The index of the ID, or the number of arguments if there is none.
    pub next_argument: usize,
}

impl AddOrTrim {
    /// Parses the arguments in Redis's order, on which the errors depend. (Redis: `streamParseAddOrTrimArgsOrReply`)
    pub fn parse<K>(cx: &Context<'_, K>, is_add: bool) -> Result<AddOrTrim, CommandError> {
        let len = cx.args.len();
        let mut to = None;
        let mut approximate = false;
        let mut limit = None;
        let mut references = None;
        let mut no_create = false;
        let mut id = None;
        let mut index = 2;
        while index < len {
            let word = cx.args.get(index);
            let remaining = len - 1 - index;
            if is_add && word == b"*" {
                id = Some(NewId::Auto);
                break;
            }
            let is_length = cx.is_word(index, "MAXLEN");
            if remaining > 0 && (is_length || cx.is_word(index, "MINID")) {
                if to.is_some() {
                    return Err(CommandError::text(
                        "ERR syntax error, MAXLEN and MINID options at the same time are not compatible",
                    ));
                }
                index += 1;
                approximate = remaining >= 2 && cx.args.get(index) == b"~";
                if remaining >= 2 && matches!(cx.args.get(index), b"~" | b"=") {
                    index += 1;
                }
                to = Some(if is_length {
                    let length = cx.integer(index)?;
                    TrimTo::Length(
                        u64::try_from(length)
                            .map_err(|_| CommandError::text("ERR The MAXLEN argument must be >= 0."))?,
                    )
                } else {
                    TrimTo::From(parse_id(cx.args.get(index))?)
                });
            } else if remaining > 0 && cx.is_word(index, "LIMIT") {
                index += 1;
                let given = cx.integer(index)?;
                limit =
                    Some(u64::try_from(given).map_err(|_| CommandError::text("ERR The LIMIT argument must be >= 0."))?);
            } else if is_add && cx.is_word(index, "NOMKSTREAM") {
                no_create = true;
            } else if let Some(given) = references_of(word).filter(|_| references.is_none()) {
                references = Some(given);
            } else if is_add {
                id = Some(NewId::parse(word).ok_or(INVALID_ID)?);
                break;
            } else {
                return Err(CommandError::SYNTAX);
            }
            index += 1;
        }
        if limit.is_some_and(|limit| limit > 0) && to.is_none() {
            return Err(CommandError::text(
                "ERR syntax error, LIMIT cannot be used without specifying a trimming strategy",
            ));
        }
        if !is_add && to.is_none() {
            return Err(CommandError::text("ERR syntax error, XTRIM must be called with a trimming strategy"));
        }
        if limit.is_some() && !approximate {
            return Err(CommandError::text("ERR syntax error, LIMIT cannot be used without the special ~ option"));
        }
        let limit = match limit {
            Some(limit) => limit,
            None if approximate => default_limit(cx.core.config().stream_node_max_entries),
            None => 0,
        };
        let references = references.unwrap_or_default();
        let trim = to.map(|to| Trim { to, approximate, limit, references });
        Ok(AddOrTrim { no_create, trim, id, next_argument: index })
    }
}

/// The most entries that an approximate trim without LIMIT removes: those of 100 blocks.
fn default_limit(block_entries_max: i64) -> u64 {
    match block_entries_max.saturating_mul(100) {
        ..=0 => 10_000,
        limit => limit.min(1_000_000) as u64,
    }
}

/// Parses KEEPREF, DELREF or ACKED.
fn references_of(word: &[u8]) -> Option<References> {
    [(&b"KEEPREF"[..], References::Keep), (b"DELREF", References::Delete), (b"ACKED", References::Acknowledged)]
        .into_iter()
        .find(|(name, _)| word.eq_ignore_ascii_case(name))
        .map(|(_, references)| references)
}

/// The arguments of XDELEX after the key, and of XACKDEL after the group.
pub struct DeleteIds {
    /// What to do with the references that consumer groups have to the entries.
    pub references: References,
    /// The indexes of the IDs.
    pub ids: Range<usize>,
}

impl DeleteIds {
    /// Parses the arguments from `start` on.
    pub fn parse<K>(cx: &Context<'_, K>, start: usize) -> Result<DeleteIds, CommandError> {
        let len = cx.args.len();
        let mut references = None;
        let mut ids = None;
        let mut index = start;
        while index < len {
            if let Some(given) = references_of(cx.args.get(index)).filter(|_| references.is_none()) {
                references = Some(given);
                index += 1;
            } else if cx.is_word(index, "IDS") && index + 1 < len {
                let count = cx.integer(index + 1).ok().and_then(|count| usize::try_from(count).ok());
                let count = count
                    .filter(|count| *count > 0)
                    .ok_or(CommandError::text("ERR Number of IDs must be a positive integer"))?;
                let first = index + 2;
                if count > len - first {
                    return Err(CommandError::text("ERR The `numids` parameter must match the number of arguments"));
                }
                index = first + count;
                ids = Some(first..index);
            } else {
                return Err(CommandError::SYNTAX);
            }
        }
        Ok(DeleteIds { references: references.unwrap_or_default(), ids: ids.ok_or(CommandError::SYNTAX)? })
    }
}
