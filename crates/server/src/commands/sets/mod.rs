//! Sets: commands on single members, and on all of them. `random.rs` has random members, `combine.rs` intersections, unions and differences.

pub mod combine;
pub mod random;

use ochre_datatypes::{
    Collection, ValueType,
    set::{Set, SetLimits},
};
use ochre_keyspace::Missing;

use super::{
    CommandError, CommandSpec, Flags, Handler,
    context::{KeyedRead, KeyedWrite, Outcome, Run},
    elements::reply_element,
    scan,
    table::{Category, Group, KeyFlags, KeySpec},
};
use crate::{config::Config, events::NotifyClass};

/// The rows of commands on single members.
pub const ROWS: &[CommandSpec] = &[
    CommandSpec {
        name: "sadd",
        arity: -3,
        flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST).union(Flags::BATCH),
        keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::INSERT))],
        since: "1.0.0",
        complexity: "O(N) with N given members",
        summary: "Adds members to a set, which is created if it does not exist, and returns the number of new members.",
        syntax: "key member...",
        element: 2,
        handler: Handler::Write(sadd),
        ..SET
    },
    CommandSpec {
        name: "scard",
        arity: 2,
        flags: Flags::READONLY.union(Flags::FAST).union(Flags::BATCH),
        keys: &[KeySpec::one(1, KeyFlags::RO)],
        since: "1.0.0",
        summary: "Returns the number of members of a set.",
        syntax: "key",
        handler: Handler::Read(scard),
        ..SET
    },
    CommandSpec {
        name: "sismember",
        arity: 3,
        flags: Flags::READONLY.union(Flags::FAST).union(Flags::BATCH),
        keys: &[KeySpec::one(1, KeyFlags::RO)],
        since: "1.0.0",
        summary: "Returns whether a set has a member.",
        syntax: "key member",
        element: 2,
        handler: Handler::Read(sismember),
        ..SET
    },
    CommandSpec {
        name: "smembers",
        arity: 2,
        flags: Flags::READONLY.union(Flags::BATCH),
        keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
        tips: &["nondeterministic_output_order"],
        since: "1.0.0",
        complexity: "O(N) with N members",
        summary: "Returns all members of a set.",
        syntax: "key",
        handler: Handler::Read(smembers),
        ..SET
    },
    CommandSpec {
        name: "smismember",
        arity: -3,
        flags: Flags::READONLY.union(Flags::FAST).union(Flags::BATCH),
        keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
        since: "6.2.0",
        complexity: "O(N) with N given members",
        summary: "Returns for each of several members whether a set has it.",
        syntax: "key member...",
        element: 2,
        handler: Handler::Read(smismember),
        ..SET
    },
    CommandSpec {
        name: "smove",
        arity: 4,
        flags: Flags::WRITE.union(Flags::FAST),
        keys: &[
            KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::DELETE)),
            KeySpec::one(2, KeyFlags::RW.union(KeyFlags::INSERT)),
        ],
        since: "1.0.0",
        summary: "Moves a member from one set to another.",
        syntax: "source:key destination:key member",
        handler: Handler::Write(smove),
        ..SET
    },
    CommandSpec {
        name: "srem",
        arity: -3,
        flags: Flags::WRITE.union(Flags::FAST).union(Flags::BATCH),
        keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::DELETE))],
        since: "1.0.0",
        complexity: "O(N) with N given members",
        summary: "Removes members from a set, and returns the number of removed members.",
        syntax: "key member...",
        element: 2,
        handler: Handler::Write(srem),
        ..SET
    },
    CommandSpec {
        name: "sscan",
        arity: -3,
        flags: Flags::READONLY,
        keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
        tips: &["nondeterministic_output"],
        since: "2.8.0",
        complexity: "O(1) for a call, O(N) for all N members",
        summary: "Returns some of the members of a set, and a cursor to continue from.",
        syntax: "key cursor:integer [MATCH pattern:pattern] [COUNT count:integer]",
        handler: Handler::Read(sscan),
        ..SET
    },
];

/// The fields that the rows of sets share.
const SET: CommandSpec = CommandSpec { categories: Category::SET, group: Group::Set, ..CommandSpec::DEFAULT };

/// The limits of the encodings of small sets.
pub fn limits(config: &Config) -> SetLimits {
    SetLimits {
        intset_entries_max: config.set_max_intset_entries,
        listpack_entries_max: config.set_max_listpack_entries,
        listpack_value_bytes_max: config.set_max_listpack_value,
    }
}

fn sadd(cx: &mut KeyedWrite<'_>) -> Run {
    let (key, args, limits) = (cx.key(1), cx.args, limits(&cx.core.config()));
    let given = args.len() - 2;
    let edited = cx.edit(key, Missing::Create, |set: &mut Set| {
        if set.is_empty() {
            *set = Set::suiting(args.get(2), given, &limits);
        } else {
            set.prepare(given, &limits);
        }
        (2..args.len()).filter(|&index| set.add(args.get(index), &limits)).count()
    })?;
    let edited = edited.expect("a missing key is created");
    if edited.result > 0 {
        cx.edited(key, NotifyClass::SET, "sadd", &edited);
        cx.effects.count_as(edited.result);
    }
    cx.reply.integer(edited.result as i64);
    Ok(Outcome::Done)
}

fn srem(cx: &mut KeyedWrite<'_>) -> Run {
    let (key, args) = (cx.key(1), cx.args);
    let edited = cx.edit(key, Missing::Skip, |set: &mut Set| {
        (2..args.len()).filter(|&index| set.remove(args.get(index))).count()
    })?;
    let removed = edited.as_ref().map_or(0, |edited| edited.result);
    if let Some(edited) = edited.filter(|edited| edited.result > 0) {
        cx.edited(key, NotifyClass::SET, "srem", &edited);
        cx.effects.count_as(removed);
    }
    cx.reply.integer(removed as i64);
    Ok(Outcome::Done)
}

fn smove(cx: &mut KeyedWrite<'_>) -> Run {
    let (source, target, member, database) = (cx.key(1), cx.key(2), cx.args.get(3), cx.db());
    let limits = limits(&cx.core.config());
    // Both keys count as accessed, even if the command fails.
    let target_is_other = cx.keys.get(database, target).is_some_and(|entry| entry.value_type() != ValueType::Set);
    let has_member = match cx.keys.get(database, source) {
        None => {
            cx.reply.integer(0);
            return Ok(Outcome::Done);
        }
        Some(entry) => entry.collection::<Set>()?.contains(member),
    };
    if target_is_other {
        return Err(CommandError::WRONG_TYPE);
    }
    if has_member && source.bytes != target.bytes {
        let removed = cx.edit(source, Missing::Skip, |set: &mut Set| _ = set.remove(member))?;
        cx.edited(source, NotifyClass::SET, "srem", &removed.expect("the key was found under the same lock"));
        let added = cx.edit(target, Missing::Create, |set: &mut Set| {
            if set.is_empty() {
                *set = Set::suiting(member, 1, &limits);
            }
            set.add(member, &limits)
        })?;
        let added = added.expect("a missing key is created");
        if added.result {
            cx.edited(target, NotifyClass::SET, "sadd", &added);
        }
    }
    cx.reply.integer(has_member.into());
    Ok(Outcome::Done)
}

fn scard(cx: &mut KeyedRead<'_>) -> Run {
    let key = cx.key(1);
    let len = cx.read::<Set>(key)?.map_or(0, |set| set.len());
    cx.reply.integer(len as i64);
    Ok(Outcome::Done)
}

fn sismember(cx: &mut KeyedRead<'_>) -> Run {
    let (key, member) = (cx.key(1), cx.args.get(2));
    let is_member = cx.read::<Set>(key)?.is_some_and(|set| set.contains(member));
    cx.reply.integer(is_member.into());
    Ok(Outcome::Done)
}

fn smismember(cx: &mut KeyedRead<'_>) -> Run {
    let key = cx.key(1);
    let set = cx.read::<Set>(key)?;
    cx.reply.array(cx.args.len() - 2);
    for index in 2..cx.args.len() {
        let is_member = set.is_some_and(|set| set.contains(cx.args.get(index)));
        cx.reply.integer(is_member.into());
    }
    Ok(Outcome::Done)
}

fn smembers(cx: &mut KeyedRead<'_>) -> Run {
    let key = cx.key(1);
    if cx.is_too_long_to_share(key) {
        return Ok(Outcome::Alone);
    }
    match cx.read::<Set>(key)? {
        Some(set) => {
            cx.reply.set(set.len());
            set.iter().for_each(|member| reply_element(&mut cx.reply, member));
        }
        None => cx.reply.set(0),
    }
    Ok(Outcome::Done)
}

fn sscan(cx: &mut KeyedRead<'_>) -> Run {
    scan::scan_collection::<Set>(cx, |set, cursor, options, found| {
        set.scan(cursor, options.count, |member| {
            if options.admits(member) {
                found.element(member);
            }
        })
    })
}
