//! MONITOR: shows every command that the server runs.

use super::{
    CommandError, CommandSpec, Flags, Handler,
    context::{Outcome, Run, SessionOnly},
    table::Group,
};

/// The row of MONITOR.
pub const ROWS: &[CommandSpec] = &[CommandSpec {
    name: "monitor",
    arity: 1,
    flags: Flags::ADMIN.union(Flags::NOSCRIPT).union(Flags::LOADING).union(Flags::STALE),
    group: Group::Server,
    since: "1.0.0",
    complexity: "O(1); each command then takes O(N) with N monitors",
    summary: "Sends a line to the client for every command that any client runs.",
    handler: Handler::Session(monitor),
    ..CommandSpec::DEFAULT
}];

fn monitor(cx: &mut SessionOnly<'_>) -> Run {
    if cx.nested {
        return Err(CommandError::text("ERR MONITOR isn't allowed for DENY BLOCKING client"));
    }
    // A monitor that asks again gets no reply, as in Redis.
    if cx.core.server.monitors.add(&cx.session.client) {
        cx.reply.ok();
    }
    Ok(Outcome::Done)
}
