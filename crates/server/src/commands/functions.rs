//! Functions: FCALL, FCALL_RO, FUNCTION.

use std::sync::Arc;

use ochre_datatypes::glob::Pattern;
use ochre_persist::rdb::payload::{self, FunctionsError};
use ochre_resp::ReplyWriter;
use ochre_script::Kind;

use super::{
    CommandError, CommandSpec, Flags, Handler,
    context::{Compound, Outcome, Run, SessionOnly, Whole},
    help,
    running::{self, Job},
    scripting::{EVAL, EVAL_RO_FLAGS, READ, SCRIPT, WRITTEN, compound, keys},
    table::Group,
};
use crate::functions::{self, Libraries, Library, Place};

const FUNCTION: CommandSpec = CommandSpec { since: "7.0.0", ..SCRIPT };

const CHANGE: CommandSpec = CommandSpec {
    flags: Flags::NOSCRIPT.union(Flags::WRITE),
    tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
    ..FUNCTION
};

/// The rows of commands about functions.
pub const ROWS: &[CommandSpec] = &[
    CommandSpec {
        name: "fcall",
        keys: &[keys(WRITTEN, Some("We cannot tell how the keys will be used so we assume the worst, RW and UPDATE"))],
        since: "7.0.0",
        complexity: "depends on the function",
        summary: "Calls a function.",
        syntax: "function numkeys [key...] [arg...]",
        handler: compound(|cx| fcall(cx, false)),
        ..EVAL
    },
    CommandSpec {
        name: "fcall_ro",
        flags: EVAL_RO_FLAGS,
        keys: &[keys(READ, Some("We cannot tell how the keys will be used so we assume the worst, RO and ACCESS"))],
        since: "7.0.0",
        complexity: "depends on the function",
        summary: "Calls a function that may only read.",
        syntax: "function numkeys [key...] [arg...]",
        handler: compound(|cx| fcall(cx, true)),
        ..EVAL
    },
    CommandSpec {
        name: "function",
        arity: -2,
        group: Group::Scripting,
        since: "7.0.0",
        complexity: "depends on the subcommand",
        summary: "Contains the commands about functions.",
        subcommands: &[
            CommandSpec {
                name: "delete",
                arity: 3,
                summary: "Removes a library and its functions.",
                syntax: "library-name",
                handler: Handler::Whole(delete),
                ..CHANGE
            },
            CommandSpec {
                name: "dump",
                arity: 2,
                complexity: "O(N) with N bytes of all libraries",
                summary: "Returns all libraries as a payload for FUNCTION RESTORE.",
                handler: Handler::Session(dump),
                ..FUNCTION
            },
            CommandSpec {
                name: "flush",
                arity: -2,
                complexity: "O(N) with N functions",
                summary: "Removes all libraries and functions.",
                syntax: "[ASYNC|SYNC]",
                handler: Handler::Whole(flush),
                ..CHANGE
            },
            CommandSpec {
                name: "help",
                arity: 2,
                flags: Flags::LOADING.union(Flags::STALE),
                summary: "Lists the subcommands.",
                handler: Handler::Session(help),
                ..FUNCTION
            },
            CommandSpec {
                name: "kill",
                arity: 2,
                flags: Flags::NOSCRIPT.union(Flags::ALLOW_BUSY),
                tips: &["request_policy:all_shards", "response_policy:one_succeeded"],
                summary: "Ends the function that runs, unless it has written.",
                handler: Handler::Session(|cx| running::kill(cx, Kind::Functions)),
                ..FUNCTION
            },
            CommandSpec {
                name: "list",
                arity: -2,
                tips: &["nondeterministic_output_order"],
                complexity: "O(N) with N functions",
                summary: "Returns the libraries and their functions.",
                syntax: "[LIBRARYNAME library-name-pattern] [WITHCODE]",
                handler: Handler::Session(list),
                ..FUNCTION
            },
            CommandSpec {
                name: "load",
                arity: -3,
                flags: CHANGE.flags.union(Flags::DENYOOM),
                complexity: "O(N) with N functions, and what the library does",
                summary: "Loads a library, which registers its functions. Returns its name.",
                syntax: "[REPLACE] function-code",
                handler: Handler::Whole(load),
                ..CHANGE
            },
            CommandSpec {
                name: "restore",
                arity: -3,
                flags: CHANGE.flags.union(Flags::DENYOOM),
                complexity: "O(N) with N functions, and what the libraries do",
                summary: "Loads the libraries of a payload.",
                syntax: "serialized-value [FLUSH|APPEND|REPLACE]",
                handler: Handler::Whole(restore),
                ..CHANGE
            },
            CommandSpec {
                name: "stats",
                arity: 2,
                flags: Flags::NOSCRIPT.union(Flags::ALLOW_BUSY),
                tips: &["nondeterministic_output", "request_policy:all_shards", "response_policy:special"],
                summary: "Returns the function that runs, and how many there are.",
                handler: Handler::Session(stats),
                ..FUNCTION
            },
        ],
        ..CommandSpec::DEFAULT
    },
];

fn fcall(cx: &mut Compound<'_, '_>, is_read_only: bool) -> Run {
    let core = cx.core;
    let Some(place) = core.server.functions.function(cx.args.get(1)) else {
        return Err(CommandError::text("ERR Function not found"));
    };
    let keys = running::count_of_keys(cx, CommandError::text("ERR Bad number of keys provided"))?;
    let (engine, scripts) = {
        let mut of_core = core.functions.borrow_mut();
        let scripts = of_core.scripts(&core.server.functions, &place.library, core.config().script_memory_limit);
        (of_core.engine(), scripts.map_err(|error| refused(&error))?)
    };
    let Place { library, index } = place;
    let function = &library.functions[index];
    let (script, declared) = (&scripts[index], Some(function.flags));
    let job =
        Job { kind: Kind::Functions, engine: &engine, script, name: &function.name, declared, keys, is_read_only };
    running::run(cx, &job)
}

fn refused(reason: &[u8]) -> CommandError {
    CommandError::composed([b"ERR ", reason].concat())
}

/// Loads a library on this core, where it stays loaded. See [`functions::load`] for `others`.
fn compile(cx: &Whole<'_>, code: &[u8], others: Option<&Libraries>) -> Result<Arc<Library>, CommandError> {
    let mut of_core = cx.core.functions.borrow_mut();
    let loaded = functions::load(&of_core.engine(), code, cx.core.config().script_memory_limit, others);
    let (library, scripts) = loaded.map_err(|error| refused(&error))?;
    of_core.keep(&cx.core.server.functions, &library, scripts);
    Ok(Arc::new(library))
}

fn load(cx: &mut Whole<'_>) -> Run {
    let last = cx.args.len() - 1;
    let mut replaces = false;
    for index in 2..last {
        if !cx.is_word(index, "REPLACE") {
            return Err(refused(&[b"Unknown option given: ", cx.args.get(index)].concat()));
        }
        replaces = true;
    }
    let functions = &cx.core.server.functions;
    let library = compile(cx, cx.args.get(last), (!replaces).then_some(&*functions.current()))?;
    let result = functions.change(|libraries| libraries.put(library.clone()));
    result.map_err(|error| refused(error.as_bytes()))?;
    cx.effects.changed_many(1);
    cx.reply.bulk(library.name.as_bytes());
    Ok(Outcome::Done)
}

fn delete(cx: &mut Whole<'_>) -> Run {
    if !cx.core.server.functions.change(|libraries| libraries.remove(cx.args.get(2))) {
        return Err(CommandError::text("ERR Library not found"));
    }
    cx.effects.changed_many(1);
    cx.reply.ok();
    Ok(Outcome::Done)
}

/// The error for a subcommand with too many arguments. (Redis: `addReplySubcommandSyntaxError`)
fn too_many(cx: &Whole<'_>) -> CommandError {
    let subcommand = cx.args.get(1).escape_ascii();
    CommandError::composed(format!(
        "ERR unknown subcommand or wrong number of arguments for '{subcommand}'. Try FUNCTION HELP."
    ))
}

fn flush(cx: &mut Whole<'_>) -> Run {
    if cx.args.len() > 3 {
        return Err(too_many(cx));
    }
    if cx.args.len() == 3 && !cx.is_word(2, "SYNC") && !cx.is_word(2, "ASYNC") {
        return Err(CommandError::text("ERR FUNCTION FLUSH only supports SYNC|ASYNC option"));
    }
    cx.core.server.functions.replace(Libraries::default());
    cx.effects.changed_many(1);
    cx.reply.ok();
    Ok(Outcome::Done)
}

fn dump(cx: &mut SessionOnly<'_>) -> Run {
    let libraries = cx.core.server.functions.current();
    let sources = libraries.iter().map(|library| &*library.code);
    cx.reply.bulk(&payload::dump_functions(sources, cx.core.config().rdbcompression));
    Ok(Outcome::Done)
}

fn restore(cx: &mut Whole<'_>) -> Run {
    if cx.args.len() > 4 {
        return Err(too_many(cx));
    }
    let has_policy = cx.args.len() == 4;
    let is_policy = |policy: &str| has_policy && cx.is_word(3, policy);
    let (flushes, replaces) = (is_policy("FLUSH"), is_policy("REPLACE"));
    if has_policy && !flushes && !replaces && !is_policy("APPEND") {
        return Err(CommandError::text(
            "ERR Wrong restore policy given, value should be either FLUSH, APPEND or REPLACE.",
        ));
    }
    let sources = payload::restore_functions(cx.args.get(2)).map_err(|error| match error {
        FunctionsError::VersionOrChecksum => CommandError::text("ERR DUMP payload version or checksum are wrong"),
        FunctionsError::NotAFunction => CommandError::text("ERR given type is not a function"),
        FunctionsError::Format => CommandError::text("ERR failed loading the given functions payload"),
    })?;
    let mut restored = Libraries::default();
    for code in &sources {
        let library = compile(cx, code, Some(&restored))?;
        restored.put(library).map_err(|error| refused(error.as_bytes()))?;
    }
    let functions = &cx.core.server.functions;
    functions.replace(if flushes { restored } else { joined(&functions.current(), &restored, replaces)? });
    cx.effects.changed_many(1);
    cx.reply.ok();
    Ok(Outcome::Done)
}

/// Joins two sets of libraries. (Redis: `libraryJoin`)
fn joined(current: &Libraries, restored: &Libraries, replaces: bool) -> Result<Libraries, CommandError> {
    let mut libraries = current.clone();
    for library in restored.iter() {
        if libraries.contains(&library.name) && !replaces {
            return Err(CommandError::composed(format!("ERR Library {} already exists", library.name)));
        }
        // A function may move from one library that is replaced to another one.
        libraries.remove(library.name.as_bytes());
    }
    for library in restored.iter() {
        libraries.put(library.clone()).map_err(|error| refused(error.as_bytes()))?;
    }
    Ok(libraries)
}

fn list(cx: &mut SessionOnly<'_>) -> Run {
    let (mut with_code, mut pattern) = (false, None);
    let mut index = 2;
    while index < cx.args.len() {
        if !with_code && cx.is_word(index, "WITHCODE") {
            with_code = true;
        } else if pattern.is_none() && cx.is_word(index, "LIBRARYNAME") {
            index += 1;
            if index >= cx.args.len() {
                return Err(CommandError::text("ERR library name argument was not given"));
            }
            pattern = Some(cx.args.get(index).to_ascii_lowercase());
        } else {
            return Err(refused(&[b"Unknown argument ", cx.args.get(index)].concat()));
        }
        index += 1;
    }
    let pattern = pattern.as_deref().map(Pattern::new);
    let libraries = cx.core.server.functions.current();
    let is_shown = |library: &&Arc<Library>| {
        pattern.as_ref().is_none_or(|pattern| pattern.matches(library.name.to_ascii_lowercase().as_bytes()))
    };
    let shown: Vec<&Arc<Library>> = libraries.iter().filter(is_shown).collect();
    cx.reply.array(shown.len());
    shown.into_iter().for_each(|library| describe(&mut cx.reply, library, with_code));
    Ok(Outcome::Done)
}

fn describe(reply: &mut ReplyWriter<'_>, library: &Library, with_code: bool) {
    reply.map(if with_code { 4 } else { 3 });
    reply.bulk(b"library_name");
    reply.bulk(library.name.as_bytes());
    reply.bulk(b"engine");
    reply.bulk(b"LUA");
    reply.bulk(b"functions");
    reply.array(library.functions.len());
    for function in &library.functions {
        reply.map(3);
        reply.bulk(b"name");
        reply.bulk(function.name.as_bytes());
        reply.bulk(b"description");
        match &function.description {
            Some(text) => reply.bulk(text),
            None => reply.null(),
        }
        reply.bulk(b"flags");
        reply.set(function.flags.names().count());
        function.flags.names().for_each(|flag| reply.simple(flag));
    }
    if with_code {
        reply.bulk(b"library_code");
        reply.bulk(&library.code);
    }
}

fn stats(cx: &mut SessionOnly<'_>) -> Run {
    let server = &cx.core.server;
    let reply = &mut cx.reply;
    reply.map(2);
    reply.bulk(b"running_script");
    match server.scripts.busy_function() {
        None => reply.null(),
        Some((function, running_ms)) => {
            reply.map(3);
            reply.bulk(b"name");
            reply.bulk(function.name.as_bytes());
            reply.bulk(b"command");
            reply.array(function.command.len());
            function.command.iter().for_each(|word| reply.bulk(word));
            reply.bulk(b"duration_ms");
            reply.integer(running_ms);
        }
    }
    reply.bulk(b"engines");
    reply.map(1);
    reply.bulk(b"LUA");
    let libraries = server.functions.current();
    reply.map(2);
    reply.bulk(b"libraries_count");
    reply.integer(libraries.count() as i64);
    reply.bulk(b"functions_count");
    reply.integer(libraries.functions_count() as i64);
    Ok(Outcome::Done)
}

fn help(cx: &mut SessionOnly<'_>) -> Run {
    help::write(
        &mut cx.reply,
        "function",
        &[
            "LOAD [REPLACE] <FUNCTION CODE>",
            "    Create a new library with the given library name and code.",
            "DELETE <LIBRARY NAME>",
            "    Delete the given library.",
            "LIST [LIBRARYNAME PATTERN] [WITHCODE]",
            "    Return general information on all the libraries:",
            "    * Library name",
            "    * The engine used to run the Library",
            "    * Functions list",
            "    * Library code (if WITHCODE is given)",
            "    It also possible to get only function that matches a pattern using LIBRARYNAME argument.",
            "STATS",
            "    Return information about the current function running:",
            "    * Function name",
            "    * Command used to run the function",
            "    * Duration in MS that the function is running",
            "    If no function is running, return nil",
            "    In addition, returns a list of available engines.",
            "KILL",
            "    Kill the current running function.",
            "FLUSH [ASYNC|SYNC]",
            "    Delete all the libraries.",
            "    When called without the optional mode argument, the behavior is determined by the",
            "    lazyfree-lazy-user-flush configuration directive. Valid modes are:",
            "    * ASYNC: Asynchronously flush the libraries.",
            "    * SYNC: Synchronously flush the libraries.",
            "DUMP",
            "    Return a serialized payload representing the current libraries, can be restored using FUNCTION RESTORE command",
            "RESTORE <PAYLOAD> [FLUSH|APPEND|REPLACE]",
            "    Restore the libraries represented by the given payload, it is possible to give a restore policy to",
            "    control how to handle existing libraries (default APPEND):",
            "    * FLUSH: delete all existing libraries.",
            "    * APPEND: appends the restored libraries to the existing libraries. On collision, abort.",
            "    * REPLACE: appends the restored libraries to the existing libraries, On collision, replace the old",
            "      libraries with the new libraries (notice that even on this option there is a chance of failure",
            "      in case of functions name collision with another library).",
        ],
    );
    Ok(Outcome::Done)
}
