//! Proves that COMMAND INFO describes every command as the reference servers do.

use std::collections::BTreeSet;
use std::fmt::Debug;

use ochre_testkit::command_table::{Command, CommandTable};
use ochre_testkit::{Kind, Launch};

/// The intended differences from Redis, or from Valkey for commands that only Valkey has: the command, the aspect, and the reason.
const ALLOWED: &[(&str, Aspect, &str)] = &[(
    "client|reply",
    Aspect::Flags,
    "no_multi, as in Valkey: on Redis, EXEC then sends fewer replies than it announces",
)];

/// Commands that neither reference server has, with the reason.
const OCHRE_ONLY: &[(&str, &str)] = &[
    ("delex", "Redis 8.4 has it; no reference server here is that new"),
    ("digest", "Redis 8.4 has it; no reference server here is that new"),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(dead_code, reason = "an aspect without an exception is never named in ALLOWED")]
enum Aspect {
    Arity,
    Flags,
    Keys,
    Categories,
    Tips,
    KeySpecs,
    Subcommands,
}

fn table(kind: Kind) -> CommandTable {
    let server = Launch::new(kind).start();
    CommandTable::read(&mut server.client()).unwrap_or_else(|error| panic!("{}: {error}", kind.name()))
}

#[test]
fn command_info_is_as_in_the_reference_servers() {
    let (ours, redis, valkey) = (table(Kind::subject()), table(Kind::Redis), table(Kind::Valkey));
    let mut differences = Vec::new();
    for command in ours.commands.values() {
        match redis
            .get(&command.name)
            .map(|theirs| ("Redis", theirs))
            .or_else(|| valkey.get(&command.name).map(|theirs| ("Valkey", theirs)))
        {
            Some((name, theirs)) => compare(command, theirs, name, &valkey, &mut differences),
            None if OCHRE_ONLY.iter().any(|(row, _)| *row == command.name) => {}
            None => {
                differences.push(format!("{}: no reference server has it, and OCHRE_ONLY has no row", command.name))
            }
        }
    }
    for (name, aspect, _) in ALLOWED {
        if ours.get(name).is_none() {
            differences
                .push(format!("{name}: its row in ALLOWED ({aspect:?}) is for a command that Ochre does not have"));
        }
    }
    assert!(differences.is_empty(), "{} differences:\n{}", differences.len(), differences.join("\n"));
}

fn compare(ours: &Command, theirs: &Command, name: &str, valkey: &CommandTable, differences: &mut Vec<String>) {
    let mut check = |aspect: Aspect, same: bool, ours_shown: &dyn Debug, theirs_shown: &dyn Debug| {
        if !same && !ALLOWED.iter().any(|(row, allowed, _)| *row == ours.name && *allowed == aspect) {
            differences.push(format!("{}: {aspect:?} {ours_shown:?}; in {name} {theirs_shown:?}", ours.name));
        }
    };
    let keys = |command: &Command| (command.first_key, command.last_key, command.key_step);
    check(Aspect::Arity, ours.arity == theirs.arity, &ours.arity, &theirs.arity);
    check(Aspect::Flags, ours.flags == theirs.flags, &ours.flags, &theirs.flags);
    check(Aspect::Keys, keys(ours) == keys(theirs), &keys(ours), &keys(theirs));
    check(Aspect::Categories, ours.categories == theirs.categories, &ours.categories, &theirs.categories);
    check(Aspect::Tips, ours.tips == theirs.tips, &ours.tips, &theirs.tips);
    check(Aspect::KeySpecs, ours.key_specs == theirs.key_specs, &ours.key_specs, &theirs.key_specs);
    // Ochre may have the subcommands of both servers. Those that it lacks are listed in COMPAT.md.
    let known: BTreeSet<&String> = theirs
        .subcommands
        .iter()
        .chain(valkey.get(&ours.name).into_iter().flat_map(|command| &command.subcommands))
        .collect();
    let unknown: Vec<&String> = ours.subcommands.iter().filter(|subcommand| !known.contains(subcommand)).collect();
    check(Aspect::Subcommands, unknown.is_empty(), &unknown, &theirs.subcommands);
}
