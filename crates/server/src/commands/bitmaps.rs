//! Bitmaps: strings whose bits are read and written.

use std::{borrow::Cow, ops::Range};

use ochre_datatypes::{
    bits::{self, Field, Operation, Overflow},
    number::parse_i64,
};
use ochre_keyspace::ValueRef;
use ochre_resp::{Args, ReplyWriter};
use smallvec::SmallVec;

use super::{
    CommandError, CommandSpec, Flags, Handler,
    context::{KeyedRead, KeyedWrite, Outcome, Run},
    keys::announce_set,
    strings::string_of,
    table::{Category, Group, KeyFlags, KeySpec},
};
use crate::events::NotifyClass;

/// The rows of commands on bitmaps.
pub const ROWS: &[CommandSpec] = &[
    CommandSpec {
        name: "bitcount",
        arity: -2,
        flags: Flags::READONLY,
        keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
        since: "2.6.0",
        complexity: "O(N) with N the length of the range",
        summary: "Counts the bits that are set in the string of a key, or in a range of it.",
        syntax: "key [start:integer [end:integer [BYTE|BIT]]]",
        handler: Handler::Read(bitcount),
        ..BITMAP
    },
    CommandSpec {
        name: "bitfield",
        arity: -2,
        flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::BATCH),
        keys: &[KeySpec {
            notes: Some("This command allows both access and modification of the key"),
            ..KeySpec::one(
                1,
                KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::UPDATE).union(KeyFlags::VARIABLE_FLAGS),
            )
        }],
        variable_flags: Some(bitfield_key_flags),
        since: "3.2.0",
        complexity: "O(N) with N operations",
        summary: "Reads, sets and increments integers of any number of bits in the string of a key.",
        syntax: "key [GET (encoding offset:integer)|([OVERFLOW (WRAP|SAT|FAIL)] \
                 (SET (encoding offset:integer value:integer)|INCRBY (encoding offset:integer increment:integer)))]...",
        handler: Handler::Write(bitfield),
        ..BITMAP
    },
    CommandSpec {
        name: "bitfield_ro",
        arity: -2,
        flags: Flags::READONLY.union(Flags::FAST).union(Flags::BATCH),
        keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
        since: "6.0.0",
        complexity: "O(N) with N operations",
        summary: "Reads integers of any number of bits from the string of a key.",
        syntax: "key [GET (encoding offset:integer)]...",
        handler: Handler::Read(bitfield_ro),
        ..BITMAP
    },
    CommandSpec {
        name: "bitop",
        arity: -4,
        flags: Flags::WRITE.union(Flags::DENYOOM),
        keys: &[
            KeySpec::one(2, KeyFlags::OW.union(KeyFlags::UPDATE)),
            KeySpec::range(3, -1, 1, KeyFlags::RO.union(KeyFlags::ACCESS)),
        ],
        since: "2.6.0",
        complexity: "O(N) with N the length of all strings together",
        summary: "Combines the strings of several keys bit by bit, and stores the result.",
        syntax: "(AND|OR|XOR|NOT|DIFF|DIFF1|ANDOR|ONE) destkey:key key...",
        handler: Handler::Write(bitop),
        ..BITMAP
    },
    CommandSpec {
        name: "bitpos",
        arity: -3,
        flags: Flags::READONLY,
        keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
        since: "2.8.7",
        complexity: "O(N) with N the length of the range",
        summary: "Returns the offset of the first bit that is set, or clear, in the string of a key or in a range of it.",
        syntax: "key bit:integer [start:integer [end:integer [BYTE|BIT]]]",
        handler: Handler::Read(bitpos),
        ..BITMAP
    },
    CommandSpec {
        name: "getbit",
        arity: 3,
        flags: Flags::READONLY.union(Flags::FAST).union(Flags::BATCH),
        keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
        since: "2.2.0",
        summary: "Returns a bit of the string of a key.",
        syntax: "key offset:integer",
        handler: Handler::Read(getbit),
        ..BITMAP
    },
    CommandSpec {
        name: "setbit",
        arity: 4,
        flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::BATCH),
        keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::UPDATE))],
        since: "2.2.0",
        summary: "Sets or clears a bit of the string of a key, which grows with zeros as needed, and returns what the bit was.",
        syntax: "key offset:integer value:integer",
        handler: Handler::Write(setbit),
        ..BITMAP
    },
];

/// The fields that the rows of bitmaps share.
const BITMAP: CommandSpec = CommandSpec { categories: Category::BITMAP, group: Group::Bitmap, ..CommandSpec::DEFAULT };

/// Parses a bit's offset. An offset that begins with `#` counts fields of `field_bits` bits rather than bits. `len_max` is the most bytes
/// that a string may have, and an offset beyond it is an error.
fn bit_offset(text: &[u8], field_bits: Option<u8>, len_max: u64) -> Result<u64, CommandError> {
    const INVALID: CommandError = CommandError::text("ERR bit offset is not an integer or out of range");
    let (digits, factor) = match (text, field_bits) {
        ([b'#', digits @ ..], Some(bits)) => (digits, bits),
        _ => (text, 1),
    };
    let offset = parse_i64(digits).and_then(|offset| offset.checked_mul(factor.into())).ok_or(INVALID)?;
    match u64::try_from(offset) {
        Ok(offset) if offset / 8 < len_max => Ok(offset),
        _ => Err(INVALID),
    }
}

fn getbit(cx: &mut KeyedRead<'_>) -> Run {
    let offset = bit_offset(cx.args.get(2), None, cx.core.config().proto_max_bulk_len)?;
    let key = cx.key(1);
    let bit = match cx.lookup(key) {
        Some(entry) => bits::get(string_of(entry)?.as_bytes(&mut itoa::Buffer::new()), offset),
        None => false,
    };
    cx.reply.integer(bit.into());
    Ok(Outcome::Done)
}

fn setbit(cx: &mut KeyedWrite<'_>) -> Run {
    let offset = bit_offset(cx.args.get(2), None, cx.core.config().proto_max_bulk_len)?;
    let on = match parse_i64(cx.args.get(3)) {
        Some(0) => false,
        Some(1) => true,
        _ => return Err(CommandError::text("ERR bit is not an integer or out of range")),
    };
    let written = write_bits(cx, offset + 1, |bytes, grew| {
        let before = bits::set(bytes, offset, on);
        (before, usize::from(grew || before != on))
    })?;
    cx.reply.integer(written.into());
    Ok(Outcome::Done)
}

/// Changes the string of a key, which first grows to `bits` bits if it is shorter. `change` is given the bytes and whether the string grew,
/// and returns the number of its changes.
fn write_bits<R>(
    cx: &mut KeyedWrite<'_>,
    bits: u64,
    change: impl Fn(&mut [u8], bool) -> (R, usize),
) -> Result<R, CommandError> {
    let (key, database, len) = (cx.key(1), cx.db(), bits.div_ceil(8) as usize);
    let modified = cx.keys.modify_checked(
        database,
        key,
        |entry| string_of(entry).map(|_| ()),
        |value| {
            let grows = value.len() < len;
            bits::grow(value, len);
            (change(value, grows), grows)
        },
    )?;
    let ((result, changes), grew) = match modified {
        Some(modified) => modified,
        None => {
            let mut value = vec![0; len];
            let made = change(&mut value, true);
            cx.keys.set_vec(database, key, value);
            cx.announce(key, NotifyClass::NEW, "new");
            (made, true)
        }
    };
    if changes > 0 {
        cx.changed(key, NotifyClass::STRING, "setbit");
        cx.effects.count_as(changes);
    } else if grew {
        // The string is longer, which is a change without an event: nobody subscribes to an empty class.
        cx.changed(key, NotifyClass::empty(), "");
    }
    Ok(result)
}

/// Parses the unit of a range: true for BIT, false for BYTE.
fn is_in_bits(word: &[u8]) -> Result<bool, CommandError> {
    match word {
        _ if word.eq_ignore_ascii_case(b"BIT") => Ok(true),
        _ if word.eq_ignore_ascii_case(b"BYTE") => Ok(false),
        _ => Err(CommandError::SYNTAX),
    }
}

/// The bits between two offsets, both included. Offsets are in bits if `in_bits`, else in bytes; a negative offset counts from the end.
fn bit_range(len: usize, start: i64, end: i64, in_bits: bool) -> Range<u64> {
    let units = if in_bits { len as i64 * 8 } else { len as i64 };
    let from_start = |offset: i64| if offset < 0 { (units + offset).max(0) } else { offset };
    let (start, end) = (from_start(start), from_start(end).min(units - 1));
    if start > end {
        return 0..0;
    }
    let factor = if in_bits { 1 } else { 8 };
    start as u64 * factor..(end as u64 + 1) * factor
}

fn bitcount(cx: &mut KeyedRead<'_>) -> Run {
    let (start, end, in_bits) = match cx.args.len() {
        2 => (0, -1, false),
        // As in Valkey. Redis wants both ends or none.
        3 => (cx.integer(2)?, -1, false),
        4 => (cx.integer(2)?, cx.integer(3)?, false),
        5 => (cx.integer(2)?, cx.integer(3)?, is_in_bits(cx.args.get(4))?),
        _ => return Err(CommandError::SYNTAX),
    };
    let key = cx.key(1);
    let count = match cx.lookup(key) {
        Some(entry) => {
            let mut scratch = itoa::Buffer::new();
            let bytes = string_of(entry)?.as_bytes(&mut scratch);
            // If both ends count from the end, they are compared before they are clamped to the string.
            let is_empty = start < 0 && end < 0 && start > end;
            if is_empty { 0 } else { bits::count(bytes, bit_range(bytes.len(), start, end, in_bits)) }
        }
        None => 0,
    };
    cx.reply.integer(count as i64);
    Ok(Outcome::Done)
}

fn bitpos(cx: &mut KeyedRead<'_>) -> Run {
    let on = match cx.integer(2)? {
        0 => false,
        1 => true,
        _ => return Err(CommandError::text("ERR The bit argument must be 1 or 0.")),
    };
    let count = cx.args.len();
    if count > 6 {
        return Err(CommandError::SYNTAX);
    }
    let start = if count > 3 { cx.integer(3)? } else { 0 };
    let in_bits = count == 6 && is_in_bits(cx.args.get(5))?;
    let end = if count > 4 { Some(cx.integer(4)?) } else { None };
    let key = cx.key(1);
    let position = match cx.lookup(key) {
        Some(entry) => {
            let mut scratch = itoa::Buffer::new();
            let bytes = string_of(entry)?.as_bytes(&mut scratch);
            let range = bit_range(bytes.len(), start, end.unwrap_or(-1), in_bits);
            match bits::position(bytes, on, range.clone()) {
                Some(position) => position as i64,
                // Zeros follow the string, unless the range has an end.
                None if !on && end.is_none() && !range.is_empty() => range.end as i64,
                None => -1,
            }
        }
        None if on => -1,
        None => 0,
    };
    cx.reply.integer(position);
    Ok(Outcome::Done)
}

fn bitop(cx: &mut KeyedWrite<'_>) -> Run {
    let word = cx.args.get(1);
    let operation = Operation::parse(word).ok_or(CommandError::SYNTAX)?;
    match operation {
        Operation::Not if cx.args.len() != 4 => {
            return Err(CommandError::text("ERR BITOP NOT must be called with a single source key."));
        }
        Operation::Diff | Operation::Diff1 | Operation::AndOr if cx.args.len() < 5 => {
            let name = String::from_utf8_lossy(word).to_ascii_uppercase();
            return Err(CommandError::composed(format!(
                "ERR BITOP {name} must be called with at least two source keys."
            )));
        }
        _ => {}
    }
    let result = combine_sources(cx, operation)?;
    let (destination, database, len) = (cx.key(2), cx.db(), result.len());
    if len > 0 {
        let before = cx.keys.set_vec(database, destination, result);
        announce_set(cx, destination, before);
    } else if cx.keys.remove(database, destination) {
        cx.changed(destination, NotifyClass::GENERIC, "del");
    }
    cx.reply.integer(len as i64);
    Ok(Outcome::Done)
}

/// Computes BITOP. A source that does not exist is an empty string.
fn combine_sources(cx: &mut KeyedWrite<'_>, operation: Operation) -> Result<Vec<u8>, CommandError> {
    let database = cx.db();
    let mut sources: SmallVec<[Cow<'_, [u8]>; 8]> = SmallVec::new();
    for index in 3..cx.args.len() {
        let key = cx.key(index);
        let found = cx.keys.get(database, key);
        cx.core.counters.lookup(found.is_some());
        sources.push(match found.map(string_of).transpose()? {
            Some(ValueRef::Bytes(bytes)) => Cow::Borrowed(bytes),
            Some(ValueRef::Integer(integer)) => integer.to_string().into_bytes().into(),
            None => {
                if cx.core.announced().intersects(NotifyClass::KEY_MISS) {
                    cx.effects.announce(database, key, NotifyClass::KEY_MISS, "keymiss");
                }
                Cow::Borrowed(b"")
            }
        });
    }
    let strings: SmallVec<[&[u8]; 8]> = sources.iter().map(|source| &**source).collect();
    Ok(operation.of(&strings))
}

/// One operation of BITFIELD or BITFIELD_RO.
#[derive(Clone, Copy)]
struct FieldOperation {
    action: FieldAction,
    field: Field,
    offset: u64,
}

#[derive(Clone, Copy)]
enum FieldAction {
    Get,
    Set(i64, Overflow),
    IncrementBy(i64, Overflow),
}

/// All operations of a BITFIELD or BITFIELD_RO.
#[derive(Default)]
struct FieldOperations {
    list: SmallVec<[FieldOperation; 4]>,
    /// The number of bits that the string needs for the operations that write, if any does.
    bits_written: Option<u64>,
}

impl FieldOperations {
    fn parse(args: Args<'_>, len_max: u64) -> Result<FieldOperations, CommandError> {
        let mut operations = FieldOperations::default();
        let mut overflow = Overflow::default();
        let mut index = 2;
        while index < args.len() {
            let (word, rest) = (args.get(index), args.len() - index - 1);
            let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
            if is("OVERFLOW") && rest >= 1 {
                let invalid = CommandError::text("ERR Invalid OVERFLOW type specified");
                overflow = Overflow::parse(args.get(index + 1)).ok_or(invalid)?;
                index += 2;
                continue;
            }
            let writes = match () {
                () if is("GET") && rest >= 2 => false,
                () if (is("SET") || is("INCRBY")) && rest >= 3 => true,
                () => return Err(CommandError::SYNTAX),
            };
            let invalid = CommandError::text(
                "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.",
            );
            let field = Field::parse(args.get(index + 1)).ok_or(invalid)?;
            let offset = bit_offset(args.get(index + 2), Some(field.bits()), len_max)?;
            let action = if writes {
                let end = offset + u64::from(field.bits());
                operations.bits_written = operations.bits_written.max(Some(end));
                let operand = parse_i64(args.get(index + 3)).ok_or(CommandError::NOT_AN_INTEGER)?;
                if is("SET") {
                    FieldAction::Set(operand, overflow)
                } else {
                    FieldAction::IncrementBy(operand, overflow)
                }
            } else {
                FieldAction::Get
            };
            operations.list.push(FieldOperation { action, field, offset });
            index += if writes { 4 } else { 3 };
        }
        Ok(operations)
    }

    /// Replies to operations that only read.
    fn read(&self, bytes: &[u8], reply: &mut ReplyWriter<'_>) {
        reply.array(self.list.len());
        for operation in &self.list {
            reply.integer(operation.field.get(bytes, operation.offset));
        }
    }
}

impl FieldOperation {
    /// Runs the operation on bytes that are long enough. Returns its reply, and whether it changed anything.
    fn run(self, bytes: &mut [u8]) -> (Option<i64>, bool) {
        let FieldOperation { action, field, offset } = self;
        let before = field.get(bytes, offset);
        let (stored, returns_stored) = match action {
            FieldAction::Get => return (Some(before), false),
            FieldAction::Set(value, overflow) => (field.fit(value, overflow), false),
            FieldAction::IncrementBy(increment, overflow) => (field.sum(before, increment, overflow), true),
        };
        let Some(stored) = stored else { return (None, false) };
        field.set(bytes, offset, stored);
        (Some(if returns_stored { stored } else { before }), stored != before)
    }
}

/// BITFIELD writes, unless all its operations are GET. (Redis: `bitfieldGetKeys`)
fn bitfield_key_flags(args: Args<'_>) -> KeyFlags {
    let mut index = 2;
    while index < args.len() {
        let (word, rest) = (args.get(index), args.len() - index - 1);
        index += match () {
            () if word.eq_ignore_ascii_case(b"GET") && rest >= 2 => 3,
            () if word.eq_ignore_ascii_case(b"OVERFLOW") && rest >= 1 => 2,
            () => return KeyFlags::RW | KeyFlags::ACCESS | KeyFlags::UPDATE,
        };
    }
    KeyFlags::RO | KeyFlags::ACCESS
}

fn bitfield(cx: &mut KeyedWrite<'_>) -> Run {
    let operations = FieldOperations::parse(cx.args, cx.core.config().proto_max_bulk_len)?;
    let Some(bits) = operations.bits_written else {
        let (key, database) = (cx.key(1), cx.db());
        let found = cx.keys.get(database, key);
        cx.core.counters.lookup(found.is_some());
        match found {
            Some(entry) => operations.read(string_of(entry)?.as_bytes(&mut itoa::Buffer::new()), &mut cx.reply),
            None => {
                operations.read(b"", &mut cx.reply);
                cx.announce(key, NotifyClass::KEY_MISS, "keymiss");
            }
        }
        return Ok(Outcome::Done);
    };
    let replies: SmallVec<[Option<i64>; 4]> = write_bits(cx, bits, |bytes, grew| {
        let mut changed = 0;
        let replies = operations.list.iter().map(|operation| {
            let (reply, changes) = operation.run(bytes);
            // If the string grew, any write is a change.
            let stores = !matches!(operation.action, FieldAction::Get) && reply.is_some();
            changed += usize::from(changes || grew && stores);
            reply
        });
        (replies.collect(), changed)
    })?;
    cx.reply.array(replies.len());
    for reply in replies {
        match reply {
            Some(value) => cx.reply.integer(value),
            None => cx.reply.null(),
        }
    }
    Ok(Outcome::Done)
}

fn bitfield_ro(cx: &mut KeyedRead<'_>) -> Run {
    let operations = FieldOperations::parse(cx.args, cx.core.config().proto_max_bulk_len)?;
    if operations.bits_written.is_some() {
        return Err(CommandError::text("ERR BITFIELD_RO only supports the GET subcommand"));
    }
    let key = cx.key(1);
    match cx.lookup(key) {
        Some(entry) => operations.read(string_of(entry)?.as_bytes(&mut itoa::Buffer::new()), &mut cx.reply),
        None => operations.read(b"", &mut cx.reply),
    }
    Ok(Outcome::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_count_from_both_ends() {
        let check = |start, end, in_bits, expected: Range<u64>| {
            assert_eq!(bit_range(3, start, end, in_bits), expected, "{start} to {end}");
        };
        check(0, -1, false, 0..24);
        check(1, 1, false, 8..16);
        check(-2, 100, false, 8..24);
        check(0, -100, false, 0..8);
        check(3, 5, false, 0..0);
        check(5, -7, true, 5..18);
        check(i64::MIN, i64::MAX, true, 0..24);
        assert_eq!(bit_range(0, 0, -1, false), 0..0);
    }

    #[test]
    fn offsets_may_count_fields() {
        let invalid = |text: &str| bit_offset(text.as_bytes(), Some(8), 512).is_err();
        assert_eq!(bit_offset(b"#3", Some(8), 512), Ok(24));
        assert_eq!(bit_offset(b"4095", None, 512), Ok(4095));
        assert!(bit_offset(b"#3", None, 512).is_err());
        for text in ["4096", "-1", "#", "##1", "#512", "#1152921504606846976", "", " 1", "x"] {
            assert!(invalid(text), "{text}");
        }
    }
}
