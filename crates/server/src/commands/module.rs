//! MODULE. Ochre loads no modules.

use super::{
    CommandError, CommandSpec, Flags, Handler,
    context::{Outcome, Run, SessionOnly},
    help,
    table::Group,
};

const MODULE: CommandSpec = CommandSpec { group: Group::Server, ..CommandSpec::DEFAULT };

const LOAD: CommandSpec = CommandSpec {
    flags: Flags::ADMIN.union(Flags::NOSCRIPT).union(Flags::NO_ASYNC_LOADING),
    complexity: "O(1)",
    handler: Handler::Session(refused),
    ..MODULE
};

/// The rows of MODULE.
pub const ROWS: &[CommandSpec] = &[CommandSpec {
    name: "module",
    arity: -2,
    since: "4.0.0",
    complexity: "depends on the subcommand",
    summary: "Contains the commands about modules.",
    subcommands: &[
        CommandSpec {
            name: "help",
            arity: 2,
            flags: Flags::LOADING.union(Flags::STALE),
            since: "5.0.0",
            complexity: "O(1)",
            summary: "Lists the subcommands.",
            handler: Handler::Session(help),
            ..MODULE
        },
        CommandSpec {
            name: "list",
            arity: 2,
            flags: Flags::ADMIN.union(Flags::NOSCRIPT),
            tips: &["nondeterministic_output_order"],
            since: "4.0.0",
            complexity: "O(N) with N modules",
            summary: "Lists the loaded modules.",
            handler: Handler::Session(list),
            ..MODULE
        },
        CommandSpec {
            name: "load",
            arity: -3,
            since: "4.0.0",
            summary: "Loads a module.",
            syntax: "path [arg...]",
            ..LOAD
        },
        CommandSpec {
            name: "loadex",
            arity: -3,
            since: "7.0.0",
            summary: "Loads a module with its settings.",
            syntax: "path [CONFIG (name value)]... [ARGS args...]",
            ..LOAD
        },
        CommandSpec { name: "unload", arity: 3, since: "4.0.0", summary: "Unloads a module.", syntax: "name", ..LOAD },
    ],
    ..MODULE
}];

fn list(cx: &mut SessionOnly<'_>) -> Run {
    cx.reply.array(0);
    Ok(Outcome::Done)
}

/// Replies like a Redis with `enable-module-command no`.
fn refused(_cx: &mut SessionOnly<'_>) -> Run {
    Err(CommandError::text(
        "ERR MODULE command not allowed. If the enable-module-command option is set to \"local\", you can run it from a \
         local connection, otherwise you need to set this option in the configuration file, and then restart the server.",
    ))
}

fn help(cx: &mut SessionOnly<'_>) -> Run {
    help::write(&mut cx.reply, "module", &["LIST", "    The modules that are loaded: none, for Ochre loads none."]);
    Ok(Outcome::Done)
}
