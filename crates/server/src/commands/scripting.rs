//! Scripts: EVAL, EVALSHA, EVAL_RO, EVALSHA_RO, SCRIPT.

use ochre_script::Kind;

use super::{
    CommandError, CommandSpec, Flags, Handler,
    context::{Compound, Outcome, Run, SessionOnly},
    help,
    running::{self, Job},
    table::{BeginSearch, Category, CompoundHandler, FindKeys, Group, KeyFlags, KeySpec},
};
use crate::scripts::{Compiled, Sha, sha_of};

pub(super) const EVAL_FLAGS: Flags = Flags::NOSCRIPT
    .union(Flags::STALE)
    .union(Flags::SKIP_MONITOR)
    .union(Flags::NO_MANDATORY_KEYS)
    .union(Flags::MOVABLE_KEYS)
    .union(Flags::MAY_REPLICATE);
pub(super) const EVAL_RO_FLAGS: Flags = EVAL_FLAGS.difference(Flags::MAY_REPLICATE).union(Flags::READONLY);

pub(super) const fn keys(flags: KeyFlags, notes: Option<&'static str>) -> KeySpec {
    KeySpec { flags, begin: BeginSearch::Index(2), find: FindKeys::Count { at: 0, first: 1, step: 1 }, notes }
}

pub(super) const WRITTEN: KeyFlags = KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::UPDATE);
pub(super) const READ: KeyFlags = KeyFlags::RO.union(KeyFlags::ACCESS);

pub(super) const EVAL: CommandSpec = CommandSpec {
    arity: -3,
    flags: EVAL_FLAGS,
    // A script may call commands on any key.
    touches_unnamed_keys: Some(|_| true),
    categories: Category::SCRIPTING,
    group: Group::Scripting,
    complexity: "depends on the script",
    ..CommandSpec::DEFAULT
};

pub(super) const SCRIPT: CommandSpec = CommandSpec {
    categories: Category::SCRIPTING,
    flags: Flags::NOSCRIPT,
    group: Group::Scripting,
    complexity: "O(1)",
    ..CommandSpec::DEFAULT
};

pub(super) const fn compound(run: fn(&mut Compound<'_, '_>) -> Run) -> Handler {
    Handler::Compound(CompoundHandler { queued: |_| &[], run })
}

/// The rows of commands about scripts.
pub const ROWS: &[CommandSpec] = &[
    CommandSpec {
        name: "eval",
        keys: &[keys(WRITTEN, Some("We cannot tell how the keys will be used so we assume the worst, RW and UPDATE"))],
        since: "2.6.0",
        summary: "Runs a Lua script.",
        syntax: "script numkeys [key...] [arg...]",
        handler: compound(|cx| eval(cx, false)),
        ..EVAL
    },
    CommandSpec {
        name: "evalsha",
        keys: &[keys(WRITTEN, None)],
        since: "2.6.0",
        summary: "Runs a Lua script that the server knows, by its SHA-1.",
        syntax: "sha1 numkeys [key...] [arg...]",
        handler: compound(|cx| evalsha(cx, false)),
        ..EVAL
    },
    CommandSpec {
        name: "eval_ro",
        flags: EVAL_RO_FLAGS,
        keys: &[keys(READ, Some("We cannot tell how the keys will be used so we assume the worst, RO and ACCESS"))],
        since: "7.0.0",
        summary: "Runs a Lua script that may only read.",
        syntax: "script numkeys [key...] [arg...]",
        handler: compound(|cx| eval(cx, true)),
        ..EVAL
    },
    CommandSpec {
        name: "evalsha_ro",
        flags: EVAL_RO_FLAGS,
        keys: &[keys(READ, None)],
        since: "7.0.0",
        summary: "Runs a Lua script that the server knows, by its SHA-1. It may only read.",
        syntax: "sha1 numkeys [key...] [arg...]",
        handler: compound(|cx| evalsha(cx, true)),
        ..EVAL
    },
    CommandSpec {
        name: "script",
        arity: -2,
        group: Group::Scripting,
        since: "2.6.0",
        complexity: "depends on the subcommand",
        summary: "Contains the commands about scripts.",
        subcommands: &[
            CommandSpec {
                name: "debug",
                arity: 3,
                since: "3.2.0",
                summary: "Sets the debug mode, which Ochre does not have: only NO is accepted.",
                syntax: "(YES|SYNC|NO)",
                handler: Handler::Session(debug),
                ..SCRIPT
            },
            CommandSpec {
                name: "exists",
                arity: -3,
                tips: &["request_policy:all_shards", "response_policy:agg_logical_and"],
                since: "2.6.0",
                complexity: "O(N) with N scripts",
                summary: "Returns which scripts the server knows.",
                syntax: "sha1...",
                handler: Handler::Session(exists),
                ..SCRIPT
            },
            CommandSpec {
                name: "flush",
                arity: -2,
                tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
                since: "2.6.0",
                complexity: "O(N) with N scripts",
                summary: "Forgets all scripts.",
                syntax: "[ASYNC|SYNC]",
                handler: Handler::Session(flush),
                ..SCRIPT
            },
            CommandSpec {
                name: "help",
                arity: 2,
                flags: Flags::LOADING.union(Flags::STALE),
                since: "5.0.0",
                summary: "Lists the subcommands.",
                handler: Handler::Session(help),
                ..SCRIPT
            },
            CommandSpec {
                name: "kill",
                arity: 2,
                flags: Flags::NOSCRIPT.union(Flags::ALLOW_BUSY),
                tips: &["request_policy:all_shards", "response_policy:one_succeeded"],
                since: "2.6.0",
                summary: "Ends the script that runs, unless it has written.",
                handler: Handler::Session(kill),
                ..SCRIPT
            },
            CommandSpec {
                name: "load",
                arity: 3,
                flags: Flags::NOSCRIPT.union(Flags::STALE),
                tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
                since: "2.6.0",
                complexity: "O(N) with N bytes of the script",
                summary: "Keeps a script, and returns its SHA-1.",
                syntax: "script",
                handler: Handler::Session(load),
                ..SCRIPT
            },
            CommandSpec {
                name: "show",
                arity: 3,
                flags: SCRIPT.flags.union(Flags::STALE),
                since: "8.0.0",
                summary: "Returns the source of a script.",
                syntax: "sha1",
                handler: Handler::Session(show),
                ..SCRIPT
            },
        ],
        ..CommandSpec::DEFAULT
    },
];

/// The SHA-1 that an argument gives, in any case of letters.
fn sha_argument(argument: &[u8]) -> Option<Sha> {
    let mut sha = Sha::try_from(argument).ok()?;
    sha.make_ascii_lowercase();
    Some(sha)
}

fn eval(cx: &mut Compound<'_, '_>, is_read_only: bool) -> Run {
    let keys = running::count_of_keys(cx, CommandError::NOT_AN_INTEGER)?;
    let source = cx.args.get(1);
    let sha = sha_of(source);
    let loaded = cx.core.scripts.borrow_mut().load(&cx.core.server.scripts, sha, source, true);
    let compiled = loaded.map_err(|error| CommandError::composed([b"ERR ", &*error].concat()))?;
    run(cx, &sha, &compiled, keys, is_read_only)
}

fn evalsha(cx: &mut Compound<'_, '_>, is_read_only: bool) -> Run {
    const UNKNOWN: CommandError = CommandError::text("NOSCRIPT No matching script. Please use EVAL.");
    let sha = sha_argument(cx.args.get(1)).ok_or(UNKNOWN)?;
    let keys = running::count_of_keys(cx, CommandError::NOT_AN_INTEGER)?;
    let compiled = cx.core.scripts.borrow_mut().find(&cx.core.server.scripts, &sha).ok_or(UNKNOWN)?;
    run(cx, &sha, &compiled, keys, is_read_only)
}

/// Runs a script that was found or loaded, with `keys` keys.
fn run(cx: &mut Compound<'_, '_>, sha: &Sha, compiled: &Compiled, keys: usize, is_read_only: bool) -> Run {
    let engine = cx.core.scripts.borrow_mut().engine();
    let declared = compiled.declared.is_present.then_some(compiled.declared.flags);
    let name = str::from_utf8(sha).expect("a SHA-1 is hexadecimal digits");
    let job =
        Job { kind: Kind::Scripts, engine: &engine, script: &compiled.script, name, declared, keys, is_read_only };
    running::run(cx, &job)
}

fn load(cx: &mut SessionOnly<'_>) -> Run {
    let source = cx.args.get(2);
    let sha = sha_of(source);
    let loaded = cx.core.scripts.borrow_mut().load(&cx.core.server.scripts, sha, source, false);
    loaded.map_err(|error| CommandError::composed([b"ERR ", &*error].concat()))?;
    cx.reply.bulk(&sha);
    Ok(Outcome::Done)
}

fn exists(cx: &mut SessionOnly<'_>) -> Run {
    cx.reply.array(cx.args.len() - 2);
    for argument in cx.args.iter().skip(2) {
        let is_known = sha_argument(argument).is_some_and(|sha| cx.core.server.scripts.source(&sha).is_some());
        cx.reply.integer(is_known.into());
    }
    Ok(Outcome::Done)
}

fn show(cx: &mut SessionOnly<'_>) -> Run {
    let source = sha_argument(cx.args.get(2)).and_then(|sha| cx.core.server.scripts.source(&sha));
    let source = source.ok_or(CommandError::text("NOSCRIPT No matching script."))?;
    cx.reply.bulk(&source);
    Ok(Outcome::Done)
}

fn flush(cx: &mut SessionOnly<'_>) -> Run {
    let is_valid = match cx.args.len() {
        2 => true,
        3 => cx.is_word(2, "sync") || cx.is_word(2, "async"),
        _ => false,
    };
    if !is_valid {
        return Err(CommandError::text("ERR SCRIPT FLUSH only support SYNC|ASYNC option"));
    }
    cx.core.server.scripts.flush();
    cx.reply.ok();
    Ok(Outcome::Done)
}

fn kill(cx: &mut SessionOnly<'_>) -> Run {
    running::kill(cx, Kind::Scripts)
}

fn debug(cx: &mut SessionOnly<'_>) -> Run {
    if cx.is_word(2, "no") {
        cx.reply.ok();
        return Ok(Outcome::Done);
    }
    if cx.is_word(2, "yes") || cx.is_word(2, "sync") {
        return Err(CommandError::text("ERR Ochre has no debugger of scripts"));
    }
    Err(CommandError::text("ERR Use SCRIPT DEBUG YES/SYNC/NO"))
}

fn help(cx: &mut SessionOnly<'_>) -> Run {
    help::write(
        &mut cx.reply,
        "script",
        &[
            "DEBUG (YES|SYNC|NO)",
            "    Set the debug mode for subsequent scripts executed.",
            "EXISTS <sha1> [<sha1> ...]",
            "    Return information about the existence of the scripts in the script cache.",
            "FLUSH [ASYNC|SYNC]",
            "    Flush the Lua scripts cache. Very dangerous on replicas.",
            "    When called without the optional mode argument, the behavior is determined by the",
            "    lazyfree-lazy-user-flush configuration directive. Valid modes are:",
            "    * ASYNC: Asynchronously flush the scripts cache.",
            "    * SYNC: Synchronously flush the scripts cache.",
            "KILL",
            "    Kill the currently executing Lua script.",
            "LOAD <script>",
            "    Load a script into the scripts cache without executing it.",
            "SHOW <sha1>",
            "    Show the source of a script.",
        ],
    );
    Ok(Outcome::Done)
}
