//! Comparisons of strings: with a value or a digest that the client knows, and with each other.

use ochre_datatypes::{
    digest::Digest,
    lcs::{self, Lcs},
};
use ochre_keyspace::{HashedKey, ValueRef};

use super::{STRING, string_of};
use crate::{
    commands::{
        CommandError, CommandSpec, Flags, Handler,
        context::{KeyedRead, KeyedWrite, Outcome, Run},
        table::{KeyFlags, KeySpec},
    },
    events::NotifyClass,
};

/// The rows of commands that compare strings.
pub const ROWS: &[CommandSpec] = &[
    CommandSpec {
        name: "delex",
        arity: -2,
        flags: Flags::WRITE.union(Flags::FAST).union(Flags::BATCH),
        keys: &[KeySpec::one(1, KeyFlags::RM.union(KeyFlags::DELETE))],
        since: "8.4.0",
        complexity: "O(1); O(N) for a comparison, with N the length of the string",
        summary: "Deletes a key if its string, or the digest of it, meets a condition.",
        syntax: "key [IFEQ value|IFNE value|IFDEQ digest|IFDNE digest]",
        handler: Handler::Write(delex),
        ..STRING
    },
    CommandSpec {
        name: "delifeq",
        arity: 3,
        flags: Flags::WRITE.union(Flags::FAST).union(Flags::BATCH),
        keys: &[KeySpec::one(1, KeyFlags::RM.union(KeyFlags::DELETE))],
        since: "9.0.0",
        summary: "Deletes a key if its string equals the value.",
        syntax: "key value",
        handler: Handler::Write(delifeq),
        ..STRING
    },
    CommandSpec {
        name: "digest",
        arity: 2,
        flags: Flags::READONLY.union(Flags::FAST).union(Flags::BATCH),
        keys: &[KeySpec::one(1, KeyFlags::RO)],
        since: "8.4.0",
        complexity: "O(N) with N the length of the string",
        summary: "Returns the XXH3 digest of the string of a key, as sixteen hexadecimal digits.",
        syntax: "key",
        handler: Handler::Read(digest),
        ..STRING
    },
    CommandSpec {
        name: "lcs",
        arity: -3,
        flags: Flags::READONLY,
        keys: &[KeySpec::range(1, 1, 1, KeyFlags::RO.union(KeyFlags::ACCESS))],
        since: "7.0.0",
        complexity: "O(N*M) with N and M the lengths of the two strings",
        summary: "Returns the longest common subsequence of the strings of two keys, or its length or positions.",
        syntax: "key1:key key2:key [LEN] [IDX] [MINMATCHLEN min-match-len:integer] [WITHMATCHLEN]",
        handler: Handler::Read(longest_common_subsequence),
        ..STRING
    },
];

/// A comparison of a string with an operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Comparison<'a> {
    with: With<'a>,
    /// True for IFEQ and IFDEQ, false for IFNE and IFDNE.
    wants_equal: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum With<'a> {
    Value(&'a [u8]),
    Digest(&'a [u8]),
}

impl<'a> Comparison<'a> {
    /// The comparison of the option `word` with `operand`; `None` if the word is another option.
    pub fn parse(word: &[u8], operand: &'a [u8]) -> Option<Comparison<'a>> {
        let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
        let (with, wants_equal) = match () {
            () if is("IFEQ") => (With::Value(operand), true),
            () if is("IFNE") => (With::Value(operand), false),
            () if is("IFDEQ") => (With::Digest(operand), true),
            () if is("IFDNE") => (With::Digest(operand), false),
            () => return None,
        };
        Some(Comparison { with, wants_equal })
    }

    /// Whether the comparison holds for a key that does not exist, which equals nothing.
    pub fn holds_without_key(self) -> bool {
        !self.wants_equal
    }

    /// Whether the comparison holds for a string. The error is for a digest that is not 16 hexadecimal digits.
    pub fn holds(self, value: ValueRef<'_>) -> Result<bool, CommandError> {
        let mut scratch = itoa::Buffer::new();
        let bytes = value.as_bytes(&mut scratch);
        let equal = match self.with {
            With::Value(operand) => bytes == operand,
            With::Digest(operand) => {
                let operand = Digest::parse(operand)
                    .ok_or(CommandError::text("ERR must be exactly 16 hexadecimal characters"))?;
                operand == Digest::of(bytes)
            }
        };
        Ok(equal == self.wants_equal)
    }
}

fn delex(cx: &mut KeyedWrite<'_>) -> Run {
    let (key, database) = (cx.key(1), cx.db());
    if cx.args.len() == 2 {
        return delete_if(cx, key, true);
    }
    if cx.args.len() != 4 {
        return Err(CommandError::wrong_arity(cx.command.spec.name));
    }
    let holds = match cx.keys.get(database, key) {
        None => false,
        Some(entry) => {
            let value = string_of(entry)
                .map_err(|_| CommandError::text("ERR Key should be of string type if conditions are specified"))?;
            let comparison = Comparison::parse(cx.args.get(2), cx.args.get(3))
                .ok_or(CommandError::text("ERR Invalid condition. Use IFEQ, IFNE, IFDEQ, or IFDNE"))?;
            comparison.holds(value)?
        }
    };
    delete_if(cx, key, holds)
}

fn delifeq(cx: &mut KeyedWrite<'_>) -> Run {
    let (key, database) = (cx.key(1), cx.db());
    let equal = match cx.keys.get(database, key) {
        None => false,
        Some(entry) => string_of(entry)?.as_bytes(&mut itoa::Buffer::new()) == cx.args.get(2),
    };
    delete_if(cx, key, equal)
}

/// Deletes a key if `condition` holds, and replies with the number of deleted keys.
fn delete_if<'a>(cx: &mut KeyedWrite<'a>, key: HashedKey<'a>, condition: bool) -> Run {
    let database = cx.db();
    let deleted = condition && cx.keys.remove(database, key);
    if deleted {
        cx.changed(key, NotifyClass::GENERIC, "del");
        cx.journal(|| vec![b"DEL".into(), key.bytes.into()]);
    }
    cx.reply.integer(deleted.into());
    Ok(Outcome::Done)
}

fn digest(cx: &mut KeyedRead<'_>) -> Run {
    let key = cx.key(1);
    match cx.lookup(key) {
        Some(entry) => {
            let mut scratch = itoa::Buffer::new();
            cx.reply.bulk(&Digest::of(string_of(entry)?.as_bytes(&mut scratch)).to_text());
        }
        None => cx.reply.null(),
    }
    Ok(Outcome::Done)
}

/// The options of LCS.
#[derive(Default)]
struct LcsOptions {
    wants_len: bool,
    wants_ranges: bool,
    with_match_len: bool,
    match_len_min: usize,
}

impl LcsOptions {
    fn parse(cx: &KeyedRead<'_>) -> Result<LcsOptions, CommandError> {
        let mut options = LcsOptions::default();
        let mut index = 3;
        while index < cx.args.len() {
            if cx.is_word(index, "IDX") {
                options.wants_ranges = true;
            } else if cx.is_word(index, "LEN") {
                options.wants_len = true;
            } else if cx.is_word(index, "WITHMATCHLEN") {
                options.with_match_len = true;
            } else if cx.is_word(index, "MINMATCHLEN") && index + 1 < cx.args.len() {
                index += 1;
                options.match_len_min = cx.integer(index)?.max(0) as usize;
            } else {
                return Err(CommandError::SYNTAX);
            }
            index += 1;
        }
        if options.wants_len && options.wants_ranges {
            return Err(CommandError::text("ERR If you want both the length and indexes, please just use IDX."));
        }
        Ok(options)
    }
}

/// LCS.
fn longest_common_subsequence(cx: &mut KeyedRead<'_>) -> Run {
    let found = [1, 2].map(|index| cx.lookup(cx.key(index)).map(string_of).transpose());
    let [Ok(a), Ok(b)] = found else {
        return Err(CommandError::text("ERR The specified keys must contain string values"));
    };
    let options = LcsOptions::parse(cx)?;
    let (mut scratch_a, mut scratch_b) = (itoa::Buffer::new(), itoa::Buffer::new());
    let a = a.map_or(&b""[..], |value| value.as_bytes(&mut scratch_a));
    let b = b.map_or(&b""[..], |value| value.as_bytes(&mut scratch_b));
    let memory_max = cx.core.config().proto_max_bulk_len as usize;
    let refuse = |error: lcs::LcsError| CommandError::text(error.reply());
    if options.wants_len {
        cx.reply.integer(lcs::length(a, b, memory_max).map_err(refuse)? as i64);
        return Ok(Outcome::Done);
    }
    let lcs = Lcs::new(a, b, memory_max).map_err(refuse)?;
    if !options.wants_ranges {
        cx.reply.bulk(&lcs.string());
        return Ok(Outcome::Done);
    }
    let matches = lcs.matches(options.match_len_min);
    cx.reply.map(2);
    cx.reply.bulk(b"matches");
    cx.reply.array(matches.len());
    for found in matches {
        let len = found.a.len();
        cx.reply.array(if options.with_match_len { 3 } else { 2 });
        for range in [found.a, found.b] {
            cx.reply.array(2);
            cx.reply.integer(range.start as i64);
            cx.reply.integer(range.end as i64 - 1);
        }
        if options.with_match_len {
            cx.reply.integer(len as i64);
        }
    }
    cx.reply.bulk(b"len");
    cx.reply.integer(lcs.len() as i64);
    Ok(Outcome::Done)
}
