//! Intersections, unions and differences of sets: as a reply, stored, or counted.
//!
//! No set is copied. The members of one set are looked up in the others, and a member is hashed once for all of them. If there are many
//! others, a table of members takes their place.

use std::ops::ControlFlow;

use ochre_datatypes::{
    Collection,
    listpack::Element,
    set::{Members, Probe, Set, SetLimits, SetView},
};
use smallvec::SmallVec;

use super::{
    super::{
        CommandError, CommandSpec, Flags, Handler,
        context::{KeyedRead, KeyedWrite, Outcome, Run},
        elements::reply_element,
        numbers::{not_negative, positive},
        table::{BeginSearch, FindKeys, KeyFlags, KeySpec},
    },
    SET, limits,
};
use crate::events::NotifyClass;

/// The rows of commands that combine sets.
pub const ROWS: &[CommandSpec] = &[
    CommandSpec {
        name: "sdiff",
        complexity: "O(N) with N members of all sets",
        summary: "Returns the members of the first set that are in none of the others.",
        handler: Handler::Read(|cx| reply_combined(cx, difference)),
        ..COMBINED
    },
    CommandSpec {
        name: "sdiffstore",
        complexity: "O(N) with N members of all sets",
        summary: "Stores the members of the first set that are in none of the others.",
        handler: Handler::Write(|cx| store_combined(cx, "sdiffstore", stored_difference)),
        ..STORED
    },
    CommandSpec {
        name: "sinter",
        complexity: "O(N * M) with N members of the smallest set and M sets",
        summary: "Returns the members that are in all of the sets.",
        handler: Handler::Read(|cx| reply_combined(cx, intersection)),
        ..COMBINED
    },
    CommandSpec {
        name: "sintercard",
        arity: -3,
        flags: Flags::READONLY.union(Flags::MOVABLE_KEYS),
        keys: &[KeySpec {
            flags: KeyFlags::RO.union(KeyFlags::ACCESS),
            begin: BeginSearch::Index(1),
            find: FindKeys::Count { at: 0, first: 1, step: 1 },
            notes: None,
        }],
        since: "7.0.0",
        complexity: "O(N * M) with N members of the smallest set and M sets",
        summary: "Returns the number of members that are in all of the sets, up to a limit.",
        syntax: "numkeys:integer key... [LIMIT limit:integer]",
        handler: Handler::Read(sintercard),
        ..SET
    },
    CommandSpec {
        name: "sinterstore",
        complexity: "O(N * M) with N members of the smallest set and M sets",
        summary: "Stores the members that are in all of the sets.",
        handler: Handler::Write(|cx| store_combined(cx, "sinterstore", stored_intersection)),
        ..STORED
    },
    CommandSpec {
        name: "sunion",
        complexity: "O(N) with N members of all sets",
        summary: "Returns the members that are in any of the sets.",
        handler: Handler::Read(|cx| reply_combined(cx, union)),
        ..COMBINED
    },
    CommandSpec {
        name: "sunionstore",
        complexity: "O(N) with N members of all sets",
        summary: "Stores the members that are in any of the sets.",
        handler: Handler::Write(|cx| store_combined(cx, "sunionstore", stored_union)),
        ..STORED
    },
];

/// The fields that the rows of commands that reply with members share.
const COMBINED: CommandSpec = CommandSpec {
    arity: -2,
    flags: Flags::READONLY,
    keys: &[KeySpec::range(1, -1, 1, KeyFlags::RO.union(KeyFlags::ACCESS))],
    tips: &["nondeterministic_output_order"],
    since: "1.0.0",
    syntax: "key...",
    ..SET
};

/// The fields that the rows of commands that store a result share.
const STORED: CommandSpec = CommandSpec {
    arity: -3,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    keys: &[
        KeySpec::one(1, KeyFlags::OW.union(KeyFlags::UPDATE)),
        KeySpec::range(2, -1, 1, KeyFlags::RO.union(KeyFlags::ACCESS)),
    ],
    since: "1.0.0",
    syntax: "destination:key key...",
    ..SET
};

/// The sets of some keys, in the order of the keys; `None` for a key that does not exist.
type Sources<'s> = SmallVec<[Option<SetView<'s>>; 8]>;

/// Receives the members of a result, until it breaks.
type Visit<'v, 's> = &'v mut dyn FnMut(Element<'s>) -> ControlFlow<()>;

fn intersection<'s>(sources: &[Option<SetView<'s>>], visit: Visit<'_, 's>) {
    let Some(mut sets) = sources.iter().copied().collect::<Option<SmallVec<[SetView<'s>; 8]>>>() else { return };
    sets.sort_by_key(|set| set.len());
    let _ = match &sets[..] {
        [only] => only.iter().try_for_each(visit),
        [smallest, next, others @ ..] => smallest.walk_common(*next, |probe| {
            let is_in_all = others.iter().all(|other| probe.is_in(*other));
            if is_in_all { visit(probe.member()) } else { ControlFlow::Continue(()) }
        }),
        [] => unreachable!("the arity requires a key"),
    };
}

/// From this number of sets on, a member is not looked up in all of them if that takes long: with 100,000 sets of a few members, it would
/// take hours.
const MANY_SETS: usize = 8;

fn union<'s>(sources: &[Option<SetView<'s>>], visit: Visit<'_, 's>) {
    let mut sets: SmallVec<[SetView<'s>; 8]> = sources.iter().copied().flatten().collect();
    // A member of a set is looked up in all sets before that one, so the small sets, with few members, come last.
    sets.sort_by_key(|set| std::cmp::Reverse(set.len()));
    if sets.len() >= MANY_SETS {
        return union_of_many(&sets, visit);
    }
    for (number, set) in sets.iter().enumerate() {
        let before = &sets[..number];
        let _ = set.iter().try_for_each(|member| {
            let mut probe = Probe::new(member);
            if before.iter().any(|other| probe.is_in(*other)) { ControlFlow::Continue(()) } else { visit(member) }
        });
    }
}

/// The union of many sets; the first one is the largest. Each member of the others is looked up in the largest set, and in a table of the
/// members that were added to it so far.
fn union_of_many<'s>(sets: &[SetView<'s>], visit: Visit<'_, 's>) {
    let (largest, others) = (sets[0], &sets[1..]);
    let mut added = Members::default();
    let is_new = |member: &Element<'s>| {
        let mut probe = Probe::new(*member);
        !probe.is_in(largest) && added.add(&mut probe)
    };
    let new = others.iter().flat_map(|set| set.iter()).filter(is_new);
    let _ = largest.iter().chain(new).try_for_each(visit);
}

fn difference<'s>(sources: &[Option<SetView<'s>>], visit: Visit<'_, 's>) {
    let Some((Some(first), others)) = sources.split_first() else { return };
    let mut others: SmallVec<[SetView<'s>; 8]> = others.iter().copied().flatten().collect();
    if others.len() >= MANY_SETS && removing_is_faster(*first, others.iter().copied()) {
        let mut removed = Members::default();
        for member in others.iter().flat_map(|set| set.iter()) {
            let mut probe = Probe::new(member);
            if probe.is_in(*first) {
                removed.add(&mut probe);
            }
        }
        let _ = first.iter().filter(|member| !removed.contains(&mut Probe::new(*member))).try_for_each(visit);
        return;
    }
    // A large set is the most likely to have a member, which ends the search.
    others.sort_by_key(|set| std::cmp::Reverse(set.len()));
    let _ = first.iter().try_for_each(|member| {
        let mut probe = Probe::new(member);
        if others.iter().any(|other| probe.is_in(*other)) { ControlFlow::Continue(()) } else { visit(member) }
    });
}

/// Redis's estimate of whether it is faster to remove the members of the others than to look each member up in the others.
fn removing_is_faster<'s>(first: SetView<'s>, others: impl Iterator<Item = SetView<'s>>) -> bool {
    let (count, members) = others.fold((0, 0), |(count, members), set| (count + 1, members + set.len()));
    first.len() * (1 + count) / 2 > first.len() + members
}

/// The intersection in the encoding that Redis gives it: an intset if the smallest source is one or if all members are integers, else a
/// listpack while it fits.
fn stored_intersection(sources: &[Option<SetView<'_>>], limits: &SetLimits) -> Set {
    let smallest = sources.iter().flatten().min_by_key(|set| set.len());
    let mut result = if matches!(smallest, Some(SetView::Ints(_))) { Set::default() } else { Set::empty_listpack() };
    intersection(sources, &mut |member| {
        result.add_element(member, limits);
        ControlFlow::Continue(())
    });
    result.convert_to_intset(limits);
    result
}

fn stored_union(sources: &[Option<SetView<'_>>], limits: &SetLimits) -> Set {
    let mut result = Set::default();
    for set in sources.iter().flatten() {
        set.iter().for_each(|member| _ = result.add_element(member, limits));
    }
    result
}

/// The difference in the encoding that Redis gives it. If Redis estimates it to be faster, it removes the other sets from a copy of the
/// first one, and the result keeps the encoding of the copy. So the estimate is made here too, although it decides nothing else.
fn stored_difference(sources: &[Option<SetView<'_>>], limits: &SetLimits) -> Set {
    let mut result = Set::default();
    let Some((Some(first), others)) = sources.split_first() else { return result };
    let existing = || others.iter().flatten();
    if !removing_is_faster(*first, existing().copied()) {
        difference(sources, &mut |member| {
            result.add_element(member, limits);
            ControlFlow::Continue(())
        });
        return result;
    }
    first.iter().for_each(|member| _ = result.add_element(member, limits));
    let mut text = itoa::Buffer::new();
    for set in existing() {
        set.iter().for_each(|member| _ = result.remove(member.as_bytes(&mut text)));
    }
    result
}

/// The sets of the keys from argument `first` up to, but not including, `end`.
fn read_sources<'a>(cx: &mut KeyedRead<'a>, first: usize, end: usize) -> Result<Sources<'a>, CommandError> {
    (first..end)
        .map(|index| {
            let key = cx.key(index);
            cx.read::<Set>(key)
        })
        .collect()
}

fn reply_combined<'a>(cx: &mut KeyedRead<'a>, combine: fn(&[Option<SetView<'a>>], Visit<'_, 'a>)) -> Run {
    let sources = read_sources(cx, 1, cx.args.len())?;
    let mark = cx.reply.array_later();
    let mut count = 0;
    combine(&sources, &mut |member| {
        count += 1;
        reply_element(&mut cx.reply, member);
        ControlFlow::Continue(())
    });
    cx.reply.close_set(mark, count);
    Ok(Outcome::Done)
}

fn store_combined(
    cx: &mut KeyedWrite<'_>,
    event: &'static str,
    combine: fn(&[Option<SetView<'_>>], &SetLimits) -> Set,
) -> Run {
    let (database, limits) = (cx.db(), limits(&cx.core.config()));
    let keys = 2..cx.args.len();
    for index in keys.clone() {
        let key = cx.key(index);
        if let Some(entry) = cx.lookup(key) {
            entry.collection::<Set>()?;
        }
    }
    let sources: Result<Sources<'_>, CommandError> = keys
        .map(|index| Ok(cx.keys.peek(database, cx.key(index)).map(|entry| entry.collection::<Set>()).transpose()?))
        .collect();
    let result = combine(&sources?, &limits);
    let (target, len) = (cx.key(1), result.view().len());
    cx.store_result(target, result, NotifyClass::SET, event);
    cx.reply.integer(len as i64);
    Ok(Outcome::Done)
}

fn sintercard(cx: &mut KeyedRead<'_>) -> Run {
    let count = positive(cx, 1, "ERR numkeys should be greater than 0")?;
    let end = count.saturating_add(2);
    if end > cx.args.len() {
        return Err(CommandError::text("ERR Number of keys can't be greater than number of args"));
    }
    let mut limit = 0;
    let mut index = end;
    while index < cx.args.len() {
        if !cx.is_word(index, "LIMIT") || index + 1 == cx.args.len() {
            return Err(CommandError::SYNTAX);
        }
        limit = not_negative(cx, index + 1, "ERR LIMIT can't be negative")?;
        index += 2;
    }
    let sources = read_sources(cx, 2, end)?;
    let mut count = 0;
    intersection(&sources, &mut |_| {
        count += 1;
        if count == limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    cx.reply.integer(count as i64);
    Ok(Outcome::Done)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    type Combine = for<'s> fn(&[Option<SetView<'s>>], Visit<'_, 's>);

    const LIMITS: SetLimits =
        SetLimits { intset_entries_max: 6, listpack_entries_max: 12, listpack_value_bytes_max: 64 };

    fn combined(combine: Combine, sets: &[Option<Set>]) -> Vec<Vec<u8>> {
        let sources: Vec<Option<SetView<'_>>> = sets.iter().map(|set| set.as_ref().map(Collection::view)).collect();
        let mut members = Vec::new();
        combine(&sources, &mut |member| {
            members.push(member.as_bytes(&mut itoa::Buffer::new()).to_vec());
            ControlFlow::Continue(())
        });
        members
    }

    /// Some of the members are integers, so that the sets have all encodings.
    fn set() -> impl Strategy<Value = BTreeSet<Vec<u8>>> {
        let number = prop_oneof![3 => 0u32..12, 1 => 0u32..60];
        let member = (number, any::<bool>()).prop_map(|(number, is_integer)| match is_integer {
            true => number.to_string().into_bytes(),
            false => format!("m{number}").into_bytes(),
        });
        let integer = (0u32..9).prop_map(|number| number.to_string().into_bytes());
        prop_oneof![
            2 => prop::collection::btree_set(member, 1..40),
            5 => prop::collection::btree_set(integer, 1..4),
        ]
    }

    proptest! {
        /// Few sets and many are combined in different ways.
        #[test]
        fn many_sets_are_combined_as_few_are(models in prop::collection::vec(prop::option::weighted(0.9, set()), 1..24)) {
            let sets: Vec<Option<Set>> = models.iter().map(|model| model.as_ref().map(|members| {
                let mut set = Set::default();
                members.iter().for_each(|member| _ = set.add(member, &LIMITS));
                set
            })).collect();
            let existing = || models.iter().flatten();

            let all: BTreeSet<Vec<u8>> = existing().flatten().cloned().collect();
            let found = combined(union, &sets);
            prop_assert_eq!(found.len(), all.len(), "each member once");
            prop_assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), all);

            let (first, others) = models.split_first().expect("there is a set");
            let stays = |member: &&Vec<u8>| !others.iter().flatten().any(|other| other.contains(*member));
            let left: BTreeSet<Vec<u8>> = first.iter().flatten().filter(stays).cloned().collect();
            let found = combined(difference, &sets);
            prop_assert_eq!(found.len(), left.len(), "each member once");
            prop_assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), left);
        }
    }
}
