//! Replication: the replies of a server without replicas.

use std::sync::Arc;

use ochre_resp::ReplyWriter;

use super::{
    CommandError, CommandSpec, Flags, Handler,
    context::{Outcome, Run, SessionOnly},
    later::LaterReply,
    table::{Category, Group},
    timeout::deadline_ms,
};
use crate::{aof::Log, session::Block};

const WAIT: CommandSpec = CommandSpec {
    flags: Flags::BLOCKING,
    categories: Category::CONNECTION,
    tips: &["request_policy:all_shards", "response_policy:agg_min"],
    group: Group::Generic,
    complexity: "O(1)",
    ..CommandSpec::DEFAULT
};

const REPLICAOF: CommandSpec = CommandSpec {
    arity: 3,
    flags: Flags::ADMIN.union(Flags::NOSCRIPT).union(Flags::STALE).union(Flags::NO_ASYNC_LOADING),
    group: Group::Server,
    complexity: "O(1)",
    summary: "Makes the server a replica of another server, or a primary.",
    syntax: "(host port:integer|NO ONE)",
    handler: Handler::Session(replicaof),
    ..CommandSpec::DEFAULT
};

/// The rows of commands about replication.
pub const ROWS: &[CommandSpec] = &[
    CommandSpec {
        name: "failover",
        arity: -1,
        flags: Flags::ADMIN.union(Flags::NOSCRIPT).union(Flags::STALE),
        group: Group::Server,
        since: "6.2.0",
        complexity: "O(1)",
        summary: "Hands the role of primary over to a replica.",
        syntax: "[TO (host port:integer [FORCE])] [ABORT] [TIMEOUT milliseconds:integer]",
        handler: Handler::Session(failover),
        ..CommandSpec::DEFAULT
    },
    CommandSpec { name: "replicaof", since: "5.0.0", ..REPLICAOF },
    CommandSpec {
        name: "role",
        arity: 1,
        flags: Flags::NOSCRIPT.union(Flags::LOADING).union(Flags::STALE).union(Flags::FAST),
        categories: Category::ADMIN.union(Category::DANGEROUS),
        group: Group::Server,
        since: "2.8.12",
        complexity: "O(1)",
        summary: "Returns the server's role in replication.",
        handler: Handler::Session(role),
        ..CommandSpec::DEFAULT
    },
    CommandSpec { name: "slaveof", since: "1.0.0", deprecated: Some(("5.0.0", "`REPLICAOF`")), ..REPLICAOF },
    CommandSpec {
        name: "wait",
        arity: 3,
        since: "3.0.0",
        summary: "Blocks until the connection's writes have reached a number of replicas.",
        syntax: "numreplicas:integer timeout:integer",
        handler: Handler::Session(wait),
        ..WAIT
    },
    CommandSpec {
        name: "waitaof",
        arity: 4,
        since: "7.2.0",
        summary: "Blocks until the connection's writes are on disk, on this server and on a number of replicas.",
        syntax: "numlocal:integer numreplicas:integer timeout:integer",
        handler: Handler::Session(waitaof),
        ..WAIT
    },
];

fn role(cx: &mut SessionOnly<'_>) -> Run {
    cx.reply.array(3);
    cx.reply.bulk(b"master");
    cx.reply.integer(0);
    cx.reply.array(0);
    Ok(Outcome::Done)
}

fn wait(cx: &mut SessionOnly<'_>) -> Run {
    let replicas = cx.integer(1)?;
    let deadline = deadline_ms(cx, 2)?;
    if replicas <= 0 || cx.nested {
        cx.reply.integer(0);
        return Ok(Outcome::Done);
    }
    Ok(Outcome::Block(Block::until(deadline, |reply| reply.integer(0))))
}

fn waitaof(cx: &mut SessionOnly<'_>) -> Run {
    let local = cx.integer(1)?;
    if !(0..=1).contains(&local) {
        return Err(CommandError::text("ERR value is out of range, value must between 0 and 1"));
    }
    let replicas = cx.integer(2).ok().filter(|&replicas| replicas >= 0);
    let replicas = replicas.ok_or(CommandError::text("ERR value is out of range, must be positive"))?;
    let deadline = deadline_ms(cx, 3)?;
    let log = cx.core.server.aof.log();
    if local > 0 && log.is_none() {
        return Err(CommandError::text("ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled."));
    }
    // What this client has written, or may have read.
    let position = cx.session.position;
    let synced = |log: &Arc<Log>| u8::from(log.durable() >= position);
    let is_local_done = local == 0 || log.as_ref().is_some_and(|log| synced(log) == 1);
    if replicas == 0 && is_local_done || cx.nested {
        write_waitaof(&mut cx.reply, log.as_ref().map_or(0, synced));
        return Ok(Outcome::Done);
    }
    if let Some(log) = log.filter(|_| replicas == 0) {
        let later = LaterReply::of(cx.session);
        log.when_durable(position, Box::new(move || later.give_with(|reply| write_waitaof(reply, 1))));
    }
    Ok(Outcome::Block(Block::until(deadline, |reply| write_waitaof(reply, 0))))
}

/// Writes the reply of WAITAOF: whether this server has synced, and how many replicas have.
fn write_waitaof(reply: &mut ReplyWriter<'_>, local: u8) {
    reply.array(2);
    reply.integer(local.into());
    reply.integer(0);
}

fn replicaof(cx: &mut SessionOnly<'_>) -> Run {
    if cx.is_word(1, "NO") && cx.is_word(2, "ONE") {
        cx.reply.ok();
        return Ok(Outcome::Done);
    }
    let port = cx.integer(2).ok().and_then(|port| u16::try_from(port).ok());
    port.ok_or(CommandError::text("ERR Invalid master port"))?;
    Err(CommandError::text("ERR this version of Ochre does not replicate: it cannot become a replica"))
}

fn failover(cx: &mut SessionOnly<'_>) -> Run {
    let (mut timeout, mut target, mut forced) = (false, false, false);
    let len = cx.args.len();
    let mut index = 1;
    while index < len {
        if cx.is_word(index, "TIMEOUT") && index + 1 < len && !timeout {
            if cx.integer(index + 1)? <= 0 {
                return Err(CommandError::text("ERR FAILOVER timeout must be greater than 0"));
            }
            timeout = true;
            index += 1;
        } else if cx.is_word(index, "ABORT") && len == 2 {
            return Err(CommandError::text("ERR No failover in progress."));
        } else if cx.is_word(index, "TO") && index + 2 < len && !target {
            cx.integer(index + 2)?;
            target = true;
            index += 2;
        } else if cx.is_word(index, "FORCE") && !forced {
            forced = true;
        } else {
            return Err(CommandError::SYNTAX);
        }
        index += 1;
    }
    Err(CommandError::text("ERR FAILOVER requires connected replicas."))
}
