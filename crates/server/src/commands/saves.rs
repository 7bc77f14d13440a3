//! Saving the data into a file: SAVE, BGSAVE and LASTSAVE; and BGREWRITEAOF.

use super::{
    CommandError, CommandSpec, Flags, Handler,
    context::{Outcome, Run, SessionOnly},
    later::LaterReply,
    table::{Category, Group},
};
use crate::{
    persistence::saver,
    saves::{Ended, Save, Target},
    session::Block,
};

const SAVES: CommandSpec =
    CommandSpec { group: Group::Server, since: "1.0.0", flags: ADMIN_ONLY, ..CommandSpec::DEFAULT };

const ADMIN_ONLY: Flags = Flags::NO_ASYNC_LOADING.union(Flags::ADMIN).union(Flags::NOSCRIPT);

/// The rows of the commands that save.
pub const ROWS: &[CommandSpec] = &[
    CommandSpec {
        name: "bgrewriteaof",
        arity: 1,
        complexity: "O(1)",
        summary: "Begins to rewrite the append-only file, while clients are served.",
        handler: Handler::Session(bgrewriteaof),
        ..SAVES
    },
    CommandSpec {
        name: "bgsave",
        arity: -1,
        complexity: "O(1)",
        summary: "Begins to save the data into a file, while clients are served.",
        syntax: "[SCHEDULE|CANCEL]",
        handler: Handler::Session(bgsave),
        ..SAVES
    },
    CommandSpec {
        name: "lastsave",
        arity: 1,
        flags: Flags::LOADING.union(Flags::STALE).union(Flags::FAST),
        categories: Category::ADMIN.union(Category::DANGEROUS),
        tips: &["nondeterministic_output"],
        complexity: "O(1)",
        summary: "Returns the time of the last save that succeeded.",
        handler: Handler::Session(lastsave),
        ..SAVES
    },
    CommandSpec {
        name: "save",
        arity: 1,
        flags: ADMIN_ONLY.union(Flags::NO_MULTI),
        complexity: "O(N) with N keys",
        summary: "Saves the data into a file, and returns when it is on the disk.",
        handler: Handler::Session(save),
        ..SAVES
    },
];

const IN_PROGRESS: CommandError = CommandError::text("ERR Background save already in progress");

fn bgsave(cx: &mut SessionOnly<'_>) -> Run {
    let saves = &cx.core.server.saves;
    let is_scheduled = match cx.args.len() {
        1 => false,
        2 if cx.is_word(1, "SCHEDULE") => true,
        2 if cx.is_word(1, "CANCEL") => {
            cx.reply.simple(if saves.cancel(Target::Rdb) {
                tracing::info!("Background saving will be aborted due to user request");
                "Background saving cancelled"
            } else if saves.cancel_scheduled() {
                tracing::info!("Scheduled background saving will be cancelled due to user request");
                "Scheduled background saving cancelled"
            } else {
                return Err(CommandError::text("ERR Background saving is currently not in progress or scheduled"));
            });
            return Ok(Outcome::Done);
        }
        _ => return Err(CommandError::SYNTAX),
    };
    if saves.is_running(Target::Rdb) {
        return Err(IN_PROGRESS);
    }
    let is_busy = saves.is_running(Target::AofBase);
    if is_busy && !is_scheduled && !cx.nested {
        return Err(CommandError::text(
            "ERR Another child process is active (AOF?): can't BGSAVE right now. Use BGSAVE SCHEDULE in order to schedule a BGSAVE \
             whenever possible.",
        ));
    }
    // In a transaction it waits for the end of the transaction.
    if cx.nested || is_busy {
        saves.schedule();
        cx.reply.simple("Background saving scheduled");
    } else if saver::begin(&cx.core.server, Save { target: Target::Rdb, is_background: true, then: None }) {
        cx.reply.simple("Background saving started");
    } else {
        return Err(IN_PROGRESS);
    }
    Ok(Outcome::Done)
}

fn bgrewriteaof(cx: &mut SessionOnly<'_>) -> Run {
    let (server, saves) = (&cx.core.server, &cx.core.server.saves);
    if saves.is_running(Target::AofBase) {
        return Err(CommandError::text("ERR Background append only file rewriting already in progress"));
    }
    if saves.is_running(Target::Rdb) || cx.nested {
        server.aof.change_rewrites(|rewrites| rewrites.is_scheduled = true);
        cx.reply.simple("Background append only file rewriting scheduled");
    } else {
        saver::begin(server, Save { target: Target::AofBase, is_background: true, then: None });
        cx.reply.simple("Background append only file rewriting started");
    }
    Ok(Outcome::Done)
}

fn lastsave(cx: &mut SessionOnly<'_>) -> Run {
    cx.reply.integer(cx.core.server.saves.figures().last_saved_s);
    Ok(Outcome::Done)
}

fn save(cx: &mut SessionOnly<'_>) -> Run {
    let later = LaterReply::of(cx.session);
    let then = |ended| later.give(if ended == Ended::Saved { Ok(()) } else { Err(CommandError::text("ERR")) });
    if !saver::begin(&cx.core.server, Save { target: Target::Rdb, is_background: false, then: Some(Box::new(then)) }) {
        return Err(IN_PROGRESS);
    }
    Ok(Outcome::Block(Block::until(None, |_| {})))
}
