//! SLOWLOG, and COMMANDLOG of Valkey: the commands that took long, and those whose requests or replies were large.

use super::{
    CommandError, CommandSpec, Flags, Handler,
    context::{Outcome, Run, SessionOnly},
    help,
    table::Group,
};
use crate::commandlog::Reason;

const SLOWLOG: CommandSpec = CommandSpec {
    arity: 2,
    flags: Flags::ADMIN.union(Flags::LOADING).union(Flags::STALE),
    group: Group::Server,
    since: "2.2.12",
    complexity: "O(1)",
    ..CommandSpec::DEFAULT
};

const COMMANDLOG: CommandSpec = CommandSpec { arity: 3, since: "8.1.0", ..SLOWLOG };

const GET_TIPS: &[&str] = &["request_policy:all_nodes", "nondeterministic_output"];
const LEN_TIPS: &[&str] = &["request_policy:all_nodes", "response_policy:agg_sum", "nondeterministic_output"];
const RESET_TIPS: &[&str] = &["request_policy:all_nodes", "response_policy:all_succeeded"];

/// The rows of SLOWLOG and COMMANDLOG.
pub const ROWS: &[CommandSpec] = &[
    CommandSpec {
        name: "slowlog",
        arity: -2,
        flags: Flags::empty(),
        complexity: "depends on the subcommand",
        summary: "Contains the commands about the log of slow commands.",
        subcommands: &[
            CommandSpec {
                name: "get",
                arity: -2,
                tips: GET_TIPS,
                complexity: "O(N) with N entries",
                summary: "Returns the newest entries of the slow log.",
                syntax: "[count:integer]",
                handler: Handler::Session(slowlog_get),
                ..SLOWLOG
            },
            CommandSpec {
                name: "help",
                flags: Flags::LOADING.union(Flags::STALE),
                since: "6.2.0",
                summary: "Lists the subcommands.",
                handler: Handler::Session(slowlog_help),
                ..SLOWLOG
            },
            CommandSpec {
                name: "len",
                tips: LEN_TIPS,
                summary: "Returns the number of entries in the slow log.",
                handler: Handler::Session(slowlog_len),
                ..SLOWLOG
            },
            CommandSpec {
                name: "reset",
                tips: RESET_TIPS,
                complexity: "O(N) with N entries",
                summary: "Clears the slow log.",
                handler: Handler::Session(slowlog_reset),
                ..SLOWLOG
            },
        ],
        ..SLOWLOG
    },
    CommandSpec {
        name: "commandlog",
        arity: -2,
        flags: Flags::empty(),
        complexity: "depends on the subcommand",
        summary: "Contains the commands about the log of commands that were slow or large.",
        subcommands: &[
            CommandSpec {
                name: "get",
                arity: 4,
                tips: GET_TIPS,
                complexity: "O(N) with N entries",
                summary: "Returns the newest entries of one type.",
                syntax: "count:integer type",
                handler: Handler::Session(get),
                ..COMMANDLOG
            },
            CommandSpec {
                name: "help",
                arity: 2,
                flags: Flags::LOADING.union(Flags::STALE),
                summary: "Lists the subcommands.",
                handler: Handler::Session(help),
                ..COMMANDLOG
            },
            CommandSpec {
                name: "len",
                tips: LEN_TIPS,
                summary: "Returns the number of entries of one type.",
                syntax: "type",
                handler: Handler::Session(len),
                ..COMMANDLOG
            },
            CommandSpec {
                name: "reset",
                tips: RESET_TIPS,
                complexity: "O(N) with N entries",
                summary: "Clears the entries of one type.",
                syntax: "type",
                handler: Handler::Session(reset),
                ..COMMANDLOG
            },
        ],
        ..COMMANDLOG
    },
];

/// The number of entries that SLOWLOG GET shows without a count.
const COUNT_DEFAULT: usize = 10;

fn slowlog_get(cx: &mut SessionOnly<'_>) -> Run {
    let count = match cx.args.len() {
        2 => COUNT_DEFAULT,
        3 => count(cx)?,
        _ => return Err(help::wrong_arguments(cx)),
    };
    write_entries(cx, Reason::Slow, count);
    Ok(Outcome::Done)
}

fn slowlog_len(cx: &mut SessionOnly<'_>) -> Run {
    write_len(cx, Reason::Slow)
}

fn slowlog_reset(cx: &mut SessionOnly<'_>) -> Run {
    clear(cx, Reason::Slow)
}

fn get(cx: &mut SessionOnly<'_>) -> Run {
    let count = count(cx)?;
    let reason = reason(cx, 3)?;
    write_entries(cx, reason, count);
    Ok(Outcome::Done)
}

fn len(cx: &mut SessionOnly<'_>) -> Run {
    let reason = reason(cx, 2)?;
    write_len(cx, reason)
}

fn reset(cx: &mut SessionOnly<'_>) -> Run {
    let reason = reason(cx, 2)?;
    clear(cx, reason)
}

/// The count of GET; -1 is all.
fn count(cx: &SessionOnly<'_>) -> Result<usize, CommandError> {
    match cx.integer(2) {
        Ok(-1) => Ok(usize::MAX),
        Ok(count @ 0..) => Ok(count as usize),
        _ => Err(CommandError::text("ERR count should be greater than or equal to -1")),
    }
}

fn reason(cx: &SessionOnly<'_>, index: usize) -> Result<Reason, CommandError> {
    let found = Reason::NAMES.into_iter().find(|(_, name)| cx.is_word(index, name));
    found
        .map(|(reason, _)| reason)
        .ok_or(CommandError::text("ERR type should be one of the following: slow, large-request, large-reply"))
}

fn write_entries(cx: &mut SessionOnly<'_>, reason: Reason, count: usize) {
    let entries = cx.core.server.command_log.newest(reason, count);
    let reply = &mut cx.reply;
    reply.array(entries.len());
    for entry in entries {
        reply.array(6);
        reply.integer(entry.id as i64);
        reply.integer(entry.time_s);
        reply.integer(entry.figure as i64);
        reply.array(entry.arguments.len());
        entry.arguments.iter().for_each(|argument| reply.bulk(argument));
        reply.bulk(entry.address.as_bytes());
        reply.bulk(&entry.name);
    }
}

fn write_len(cx: &mut SessionOnly<'_>, reason: Reason) -> Run {
    let len = cx.core.server.command_log.len(reason);
    cx.reply.integer(len as i64);
    Ok(Outcome::Done)
}

fn clear(cx: &mut SessionOnly<'_>, reason: Reason) -> Run {
    cx.core.server.command_log.reset(reason);
    cx.reply.ok();
    Ok(Outcome::Done)
}

fn slowlog_help(cx: &mut SessionOnly<'_>) -> Run {
    help::write(
        &mut cx.reply,
        "slowlog",
        &[
            "GET [<count>]",
            "    The newest entries: 10 if there is no count, all with -1.",
            "    An entry is its number, the time, the microseconds that the command took,",
            "    the arguments, and the client's address and name.",
            "LEN",
            "    The number of entries.",
            "RESET",
            "    Drop all entries.",
        ],
    );
    Ok(Outcome::Done)
}

fn help(cx: &mut SessionOnly<'_>) -> Run {
    help::write(
        &mut cx.reply,
        "commandlog",
        &[
            "GET <count> <type>",
            "    The newest entries of a type: slow, large-request or large-reply. All with -1.",
            "    An entry is its number, the time, the microseconds that the command took or",
            "    the bytes of the request or reply, the arguments, and the client's address and name.",
            "LEN <type>",
            "    The number of entries of a type.",
            "RESET <type>",
            "    Drop all entries of a type.",
        ],
    );
    Ok(Outcome::Done)
}
