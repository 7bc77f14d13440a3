//! Random members of a set: SPOP removes them, SRANDMEMBER only returns them.

use std::ops::ControlFlow;

use ochre_datatypes::set::Set;
use ochre_keyspace::Missing;
use smallvec::SmallVec;

use super::{
    super::{
        CommandError, CommandSpec, Flags, Handler,
        context::{KeyedRead, KeyedWrite, Outcome, Run},
        elements::{RandomCount, reply_element, reply_element_or_null},
        numbers::count_to_pop,
        table::{KeyFlags, KeySpec},
    },
    SET,
};
use crate::events::NotifyClass;

/// The rows of SPOP and SRANDMEMBER.
pub const ROWS: &[CommandSpec] = &[
    CommandSpec {
        name: "spop",
        arity: -2,
        flags: Flags::WRITE.union(Flags::FAST).union(Flags::BATCH_BARE),
        keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::DELETE))],
        tips: &["nondeterministic_output"],
        since: "1.0.0",
        complexity: "O(N) with N the count, O(1) without a count",
        summary: "Removes and returns one or more random members of a set.",
        syntax: "key [count:integer]",
        handler: Handler::Write(spop),
        ..SET
    },
    CommandSpec {
        name: "srandmember",
        arity: -2,
        flags: Flags::READONLY.union(Flags::BATCH_BARE),
        keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
        tips: &["nondeterministic_output"],
        since: "1.0.0",
        complexity: "O(N) with N the absolute value of the count, O(1) without a count",
        summary: "Returns one or more random members of a set. With a negative count, members may repeat.",
        syntax: "key [count:integer]",
        handler: Handler::Read(srandmember),
        ..SET
    },
];

fn spop(cx: &mut KeyedWrite<'_>) -> Run {
    match cx.args.len() {
        2 => spop_one(cx),
        3 => spop_many(cx),
        _ => Err(CommandError::SYNTAX),
    }
}

fn spop_one(cx: &mut KeyedWrite<'_>) -> Run {
    let (key, core) = (cx.key(1), cx.core);
    let edited = cx.edit(key, Missing::Skip, |set: &mut Set| {
        set.pop_random(&mut || core.random(), |member| {
            SmallVec::<[u8; 64]>::from_slice(member.as_bytes(&mut itoa::Buffer::new()))
        })
    })?;
    match edited {
        Some(edited) => {
            let member = edited.result.as_deref().expect("a set has at least one member");
            cx.reply.bulk(member);
            cx.edited(key, NotifyClass::SET, "spop", &edited);
            cx.journal(|| vec![b"SREM".into(), key.bytes.into(), member.to_vec().into()]);
        }
        None => cx.reply.null(),
    }
    Ok(Outcome::Done)
}

fn spop_many(cx: &mut KeyedWrite<'_>) -> Run {
    let count = count_to_pop(cx, 2)?;
    let (key, core, database) = (cx.key(1), cx.core, cx.db());
    let set = match cx.keys.get(database, key) {
        Some(entry) => Some(entry.collection::<Set>()?),
        None => None,
    };
    let Some(set) = set.filter(|_| count > 0) else {
        cx.reply.set(0);
        return Ok(Outcome::Done);
    };
    let len = set.len();
    if count >= len {
        cx.reply.set(len);
        set.iter().for_each(|member| reply_element(&mut cx.reply, member));
        cx.keys.remove(database, key);
        cx.changed(key, NotifyClass::SET, "spop");
        cx.effects.count_as(len);
        cx.announce(key, NotifyClass::GENERIC, "del");
        cx.journal(|| vec![b"DEL".into(), key.bytes.into()]);
        return Ok(Outcome::Done);
    }
    // The popped members are concatenated; `ends` has the end of each.
    let (mut popped, mut ends) = (Vec::new(), Vec::with_capacity(count));
    let edited = cx.edit(key, Missing::Skip, |set: &mut Set| {
        set.pop_many(count, &mut || core.random(), |member| {
            member.write_to(&mut popped);
            ends.push(popped.len());
        });
    })?;
    let members = || ends.iter().scan(0, |start, &end| Some(&popped[std::mem::replace(start, end)..end]));
    cx.reply.set(count);
    members().for_each(|member| cx.reply.bulk(member));
    cx.edited(key, NotifyClass::SET, "spop", &edited.expect("the key was found under the same lock"));
    cx.effects.count_as(count);
    cx.journal(|| {
        let removed = members().map(|member| member.to_vec().into());
        [b"SREM".into(), key.bytes.into()].into_iter().chain(removed).collect()
    });
    Ok(Outcome::Done)
}

fn srandmember(cx: &mut KeyedRead<'_>) -> Run {
    let (key, core) = (cx.key(1), cx.core);
    let mut random = || core.random();
    match cx.args.len() {
        2 => {
            let member = cx.read::<Set>(key)?.and_then(|set| set.random(&mut random));
            reply_element_or_null(&mut cx.reply, member);
        }
        3 => {
            let count = RandomCount::parse(cx)?;
            let Some(set) = cx.read::<Set>(key)? else {
                cx.reply.array(0);
                return Ok(Outcome::Done);
            };
            let len = count.len(set.len());
            cx.reply.array(len);
            match count {
                RandomCount::Different(_) => {
                    set.sample(len, &mut random, |member| reply_element(&mut cx.reply, member));
                }
                RandomCount::Repeated(_) => set.sample_repeated(len, &mut random, |member| {
                    reply_element(&mut cx.reply, member);
                    if cx.is_given_up() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
                }),
            }
        }
        _ => return Err(CommandError::SYNTAX),
    }
    Ok(Outcome::Done)
}
