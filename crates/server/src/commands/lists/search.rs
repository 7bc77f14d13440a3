//! Commands that find elements of a list by value.

use ochre_datatypes::list::{End, List, Wanted};
use ochre_keyspace::Missing;

use super::{LIST, limits};
use crate::{
    commands::{
        CommandError, CommandSpec, Flags, Handler,
        context::{KeyedRead, KeyedWrite, Outcome, Run},
        numbers::{negatable, not_negative},
        table::{KeyFlags, KeySpec},
    },
    events::NotifyClass,
};

/// The rows of commands that search a list.
pub const ROWS: &[CommandSpec] = &[
    CommandSpec {
        name: "linsert",
        arity: 5,
        flags: Flags::WRITE.union(Flags::DENYOOM),
        keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::INSERT))],
        since: "2.2.0",
        complexity: "O(N) with N the elements before the pivot",
        summary: "Inserts a value before or after the first element of a list that equals the pivot.",
        syntax: "key (BEFORE|AFTER) pivot element",
        handler: Handler::Write(linsert),
        ..LIST
    },
    CommandSpec {
        name: "lpos",
        arity: -3,
        flags: Flags::READONLY,
        keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
        since: "6.0.6",
        complexity: "O(N) with N the compared elements, at most MAXLEN",
        summary: "Returns the indexes of elements of a list that equal a value.",
        syntax: "key element [RANK rank:integer] [COUNT num-matches:integer] [MAXLEN len:integer]",
        handler: Handler::Read(lpos),
        ..LIST
    },
    CommandSpec {
        name: "lrem",
        arity: 4,
        flags: Flags::WRITE,
        keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::DELETE))],
        since: "1.0.0",
        complexity: "O(N) with N the length of the list",
        summary: "Removes elements of a list that equal a value: all of them, or the first or last few.",
        syntax: "key count:integer element",
        handler: Handler::Write(lrem),
        ..LIST
    },
];

fn linsert(cx: &mut KeyedWrite<'_>) -> Run {
    let is_after = if cx.is_word(2, "AFTER") {
        true
    } else if cx.is_word(2, "BEFORE") {
        false
    } else {
        return Err(CommandError::SYNTAX);
    };
    let (key, pivot, value, limits) = (cx.key(1), Wanted::new(cx.args.get(3)), cx.args.get(4), limits(cx));
    let edited = cx.edit::<List, _>(key, Missing::Skip, |list| list.insert(&pivot, is_after, value, &limits))?;
    let answer = match &edited {
        None => 0,
        Some(edited) => match edited.result {
            None => -1,
            Some(len) => {
                cx.edited(key, NotifyClass::LIST, "linsert", edited);
                len as i64
            }
        },
    };
    cx.reply.integer(answer);
    Ok(Outcome::Done)
}

fn lrem(cx: &mut KeyedWrite<'_>) -> Run {
    let count = negatable(cx, 2)?;
    let (key, wanted, limits) = (cx.key(1), Wanted::new(cx.args.get(3)), limits(cx));
    let from = if count < 0 { End::Right } else { End::Left };
    let count_max = if count == 0 { usize::MAX } else { count.unsigned_abs() as usize };
    let edited = cx.edit::<List, _>(key, Missing::Skip, |list| list.remove(from, count_max, &wanted, &limits))?;
    let removed = edited.map_or(0, |edited| edited.result);
    if let Some(edited) = edited.filter(|edited| edited.result > 0) {
        cx.edited(key, NotifyClass::LIST, "lrem", &edited);
        cx.effects.count_as(removed);
    }
    cx.reply.integer(removed as i64);
    Ok(Outcome::Done)
}

/// The options of LPOS.
struct Search {
    /// The number of the first match to return, from 1; negative to search from the end.
    rank: i64,
    /// The most matches to return, as an array; 0 for all.
    count: Option<usize>,
    /// The most elements to compare; 0 for all.
    len_max: usize,
}

impl Search {
    fn parse(cx: &KeyedRead<'_>) -> Result<Search, CommandError> {
        let mut search = Search { rank: 1, count: None, len_max: 0 };
        let mut index = 3;
        while index < cx.args.len() {
            if index + 1 == cx.args.len() {
                return Err(CommandError::SYNTAX);
            }
            if cx.is_word(index, "RANK") {
                search.rank = negatable(cx, index + 1)?;
                if search.rank == 0 {
                    return Err(CommandError::text(
                        "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... \
                         or use negative to start from the end of the list",
                    ));
                }
            } else if cx.is_word(index, "COUNT") {
                search.count = Some(not_negative(cx, index + 1, "ERR COUNT can't be negative")?);
            } else if cx.is_word(index, "MAXLEN") {
                search.len_max = not_negative(cx, index + 1, "ERR MAXLEN can't be negative")?;
            } else {
                return Err(CommandError::SYNTAX);
            }
            index += 2;
        }
        Ok(search)
    }
}

fn lpos(cx: &mut KeyedRead<'_>) -> Run {
    let search = Search::parse(cx)?;
    let (key, wanted) = (cx.key(1), Wanted::new(cx.args.get(2)));
    let Some(list) = cx.read::<List>(key)? else {
        match search.count {
            Some(_) => cx.reply.array(0),
            None => cx.reply.null(),
        }
        return Ok(Outcome::Done);
    };
    let len = list.len();
    let is_reverse = search.rank < 0;
    let unlimited_if_zero = |count: usize| if count == 0 { usize::MAX } else { count };
    let matches = list
        .iter_from(if is_reverse { len.saturating_sub(1) } else { 0 }, is_reverse)
        .take(unlimited_if_zero(search.len_max))
        .enumerate()
        .filter(|(_, element)| wanted.is(*element))
        .map(|(at, _)| if is_reverse { len - 1 - at } else { at });
    let mut matches = matches.skip(usize::try_from(search.rank.unsigned_abs() - 1).unwrap_or(usize::MAX));
    match search.count {
        None => match matches.next() {
            Some(index) => cx.reply.integer(index as i64),
            None => cx.reply.null(),
        },
        Some(count) => {
            let mark = cx.reply.array_later();
            let mut found = 0;
            for index in matches.take(unlimited_if_zero(count)) {
                cx.reply.integer(index as i64);
                found += 1;
            }
            cx.reply.close_array(mark, found);
        }
    }
    Ok(Outcome::Done)
}
