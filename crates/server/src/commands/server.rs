//! The server as a whole: its size and time, flushing it, shutting it down.

use super::{
    CommandError, CommandSpec, Flags, Handler,
    context::{Outcome, Run, SessionOnly, Walk, Whole},
    later::LaterReply,
    table::{Category, Group},
};
use crate::{
    clock,
    persistence::saver,
    session::{Block, client::Unblock},
    shutdown::ShutdownOptions,
    stop,
};

const SERVER: CommandSpec = CommandSpec { group: Group::Server, ..CommandSpec::DEFAULT };

const FLUSH: CommandSpec = CommandSpec {
    arity: -1,
    flags: Flags::WRITE,
    categories: Category::KEYSPACE.union(Category::DANGEROUS),
    tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
    since: "1.0.0",
    syntax: "[ASYNC|SYNC]",
    ..SERVER
};

/// The rows of commands on the whole server.
pub const ROWS: &[CommandSpec] = &[
    CommandSpec {
        name: "dbsize",
        arity: 1,
        flags: Flags::READONLY.union(Flags::FAST),
        categories: Category::KEYSPACE,
        tips: &["request_policy:all_shards", "response_policy:agg_sum"],
        since: "1.0.0",
        complexity: "O(1)",
        summary: "Returns the number of keys in the database.",
        handler: Handler::Walk(dbsize),
        ..SERVER
    },
    CommandSpec {
        name: "flushall",
        complexity: "O(1); freeing N keys in the background is O(N)",
        summary: "Removes all keys of all databases.",
        handler: Handler::Whole(flushall),
        ..FLUSH
    },
    CommandSpec {
        name: "flushdb",
        complexity: "O(1); freeing N keys in the background is O(N)",
        summary: "Removes all keys of the database.",
        handler: Handler::Whole(flushdb),
        ..FLUSH
    },
    CommandSpec {
        name: "lolwut",
        arity: -1,
        flags: Flags::READONLY.union(Flags::FAST),
        since: "5.0.0",
        summary: "Returns a drawing and the version.",
        syntax: "[VERSION version:integer]",
        handler: Handler::Session(lolwut),
        ..SERVER
    },
    CommandSpec {
        name: "shutdown",
        arity: -1,
        flags: Flags::ADMIN
            .union(Flags::NOSCRIPT)
            .union(Flags::LOADING)
            .union(Flags::STALE)
            .union(Flags::NO_MULTI)
            .union(Flags::ALLOW_BUSY),
        since: "1.0.0",
        complexity: "O(N) with N keys if it saves, else O(1)",
        summary: "Shuts the server down, after saving the data if it is configured to.",
        syntax: "[[NOSAVE|SAVE] [NOW] [FORCE] [SAFE] [FAILOVER]|ABORT]",
        handler: Handler::Session(shutdown),
        ..SERVER
    },
    CommandSpec {
        name: "swapdb",
        arity: 3,
        flags: Flags::WRITE.union(Flags::FAST),
        categories: Category::KEYSPACE.union(Category::DANGEROUS),
        since: "4.0.0",
        complexity: "O(N) with N clients that watch or wait for keys of the two databases",
        summary: "Exchanges two databases.",
        syntax: "index1:integer index2:integer",
        handler: Handler::Whole(swapdb),
        ..SERVER
    },
    CommandSpec {
        name: "time",
        arity: 1,
        flags: Flags::LOADING.union(Flags::STALE).union(Flags::FAST),
        tips: &["nondeterministic_output"],
        since: "2.6.0",
        complexity: "O(1)",
        summary: "Returns the server's time: seconds since 1970, and microseconds.",
        handler: Handler::Session(time),
        ..SERVER
    },
];

fn dbsize(cx: &mut Walk<'_>) -> Run {
    cx.reply.integer(cx.core.server.keyspace.len_of(cx.core.index, cx.db()) as i64);
    Ok(Outcome::Done)
}

fn flushall(cx: &mut Whole<'_>) -> Run {
    let databases = cx.core.config().databases;
    flush(cx, 0..databases)
}

fn flushdb(cx: &mut Whole<'_>) -> Run {
    let database = cx.db();
    flush(cx, database..database + 1)
}

/// Detaches the databases' tables with the gate closed. A background thread frees them; with SYNC, the client blocks until it has.
fn flush(cx: &mut Whole<'_>, databases: std::ops::Range<usize>) -> Run {
    let synchronous = match cx.args.len() {
        1 => false,
        2 if cx.is_word(1, "SYNC") => true,
        2 if cx.is_word(1, "ASYNC") => false,
        _ => return Err(CommandError::SYNTAX),
    };
    let config = cx.core.config();
    let saves = databases.len() == config.databases && !config.save.is_empty();
    if saves {
        // The file is complete when the client is answered, since the keys must not come back.
        let later = if cx.nested { None } else { Some(LaterReply::of(cx.session)) };
        saver::save_emptied(&cx.core.server, || later.into_iter().for_each(|later| later.give(Ok(()))));
    }
    let removed = cx.keys.flush(databases.clone());
    cx.effects.replaced(databases);
    cx.effects.changed_many(removed as u64);
    if saves && !cx.nested {
        return Ok(Outcome::Block(Block::until(None, |_| {})));
    }
    if synchronous && !cx.nested {
        let (client, wait) = (cx.session.client.clone(), cx.session.client.begin_wait());
        cx.core.server.keyspace.when_freed(move || {
            // The wait may have ended already: the client disconnected, or was unblocked.
            if wait.unblock(Unblock::Timeout) {
                client.wake();
            }
        });
        return Ok(Outcome::Block(Block::until(None, |reply| reply.ok())));
    }
    cx.reply.ok();
    Ok(Outcome::Done)
}

fn swapdb(cx: &mut Whole<'_>) -> Run {
    let databases = cx.core.config().databases;
    let index = |at: usize, which: &str| {
        let number = cx.integer(at).ok().and_then(|number| i32::try_from(number).ok());
        number.ok_or_else(|| CommandError::composed(format!("ERR invalid {which} DB index")))
    };
    let (first, second) = (index(1, "first")?, index(2, "second")?);
    let in_range = |index: i32| usize::try_from(index).ok().filter(|&index| index < databases);
    let (Some(first), Some(second)) = (in_range(first), in_range(second)) else {
        return Err(CommandError::text("ERR DB index is out of range"));
    };
    if first != second {
        cx.keys.swap(first, second);
        cx.effects.replaced([first, second]);
    }
    cx.effects.changed_many(1);
    cx.reply.ok();
    Ok(Outcome::Done)
}

fn time(cx: &mut SessionOnly<'_>) -> Run {
    let now_us = clock::now_us();
    cx.reply.array(2);
    cx.reply.bulk_integer(now_us / 1_000_000);
    cx.reply.bulk_integer(now_us % 1_000_000);
    Ok(Outcome::Done)
}

fn shutdown(cx: &mut SessionOnly<'_>) -> Run {
    /// The options of Valkey: to keep the slots of a cluster available, which this server has none of.
    const WITHOUT_EFFECT: [&str; 2] = ["SAFE", "FAILOVER"];
    let mut options = ShutdownOptions::empty();
    let (mut aborts, mut has_options) = (false, false);
    for index in 1..cx.args.len() {
        if cx.is_word(index, "ABORT") {
            aborts = true;
            continue;
        }
        has_options = true;
        options |= if cx.is_word(index, "SAVE") {
            ShutdownOptions::SAVE
        } else if cx.is_word(index, "NOSAVE") {
            ShutdownOptions::NOSAVE
        } else if cx.is_word(index, "NOW") {
            ShutdownOptions::NOW
        } else if cx.is_word(index, "FORCE") {
            ShutdownOptions::FORCE
        } else if WITHOUT_EFFECT.iter().any(|word| cx.is_word(index, word)) {
            ShutdownOptions::empty()
        } else {
            return Err(CommandError::SYNTAX);
        };
    }
    if aborts && has_options || options.contains(ShutdownOptions::SAVE | ShutdownOptions::NOSAVE) {
        return Err(CommandError::SYNTAX);
    }
    let server = &cx.core.server;
    if aborts {
        if !stop::abort(server) {
            return Err(CommandError::text("ERR No shutdown in progress."));
        }
        cx.reply.ok();
        return Ok(Outcome::Done);
    }
    // If nothing goes wrong there is no reply: the process ends.
    let later = LaterReply::of(cx.session);
    let taken_back = move || later.give(Err(CommandError::text("ERR Errors trying to SHUTDOWN. Check logs.")));
    stop::begin(server, &cx.core.config(), options, Box::new(taken_back));
    Ok(Outcome::Block(Block::until(None, |_| {})))
}

/// LOLWUT. Draws a vein of ochre: layers of earth with wandering borders.
fn lolwut(cx: &mut SessionOnly<'_>) -> Run {
    if cx.args.len() >= 3 && cx.is_word(1, "VERSION") {
        cx.integer(2)?;
    }
    const WIDTH: usize = 64;
    const LAYERS: [&str; 6] = [" ", ".", ":", "o", "8", "#"];
    let mut border = [0_usize; LAYERS.len()];
    let mut text = String::new();
    for (layer, height) in border.iter_mut().enumerate() {
        *height = 2 * layer + 1;
    }
    let mut columns = Vec::with_capacity(WIDTH);
    for _ in 0..WIDTH {
        for (layer, height) in border.iter_mut().enumerate().skip(1) {
            let step = (cx.core.random() >> 32) % 3;
            *height = (*height + step as usize).saturating_sub(1).clamp(2 * layer - 1, 2 * layer + 3);
        }
        columns.push(border);
    }
    for row in 0..2 * LAYERS.len() {
        for column in &columns {
            let layer = column.iter().rposition(|&height| row + 1 >= height).unwrap_or(0);
            text.push_str(LAYERS[layer]);
        }
        text.push('\n');
    }
    text.push_str(concat!("\nOchre ver. ", env!("CARGO_PKG_VERSION"), "\n"));
    cx.reply.verbatim("txt", text.as_bytes());
    Ok(Outcome::Done)
}
