//! Transactions: MULTI, EXEC, DISCARD, WATCH, UNWATCH.

use super::{
    Command, CommandError, CommandSpec, Flags, Handler,
    context::{Compound, InnerCall, KeyedRead, Outcome, Run, SessionOnly},
    permissions, registry,
    table::{Category, CompoundHandler, Group, KeyFlags, KeySpec},
};
use crate::{
    session::{ClientFlags, Session, Transaction, Watch, transaction::Queued},
    users::{denials::Place, user::Denied},
};

const COMMON: Flags = Flags::NOSCRIPT.union(Flags::LOADING).union(Flags::STALE).union(Flags::FAST);

/// The rows of commands of transactions.
pub const ROWS: &[CommandSpec] = &[
    CommandSpec {
        name: "discard",
        arity: 1,
        flags: COMMON.union(Flags::ALLOW_BUSY).union(Flags::IN_MULTI_AT_ONCE).union(Flags::RELEASES_WATCH),
        categories: Category::TRANSACTION,
        group: Group::Transactions,
        since: "2.0.0",
        complexity: "O(N) with N queued commands",
        summary: "Ends a transaction without running its queued commands.",
        handler: Handler::Read(discard),
        ..CommandSpec::DEFAULT
    },
    CommandSpec {
        name: "exec",
        arity: 1,
        flags: Flags::NOSCRIPT
            .union(Flags::LOADING)
            .union(Flags::STALE)
            .union(Flags::SKIP_SLOWLOG)
            .union(Flags::IN_MULTI_AT_ONCE)
            .union(Flags::EXEC)
            .union(Flags::RELEASES_WATCH),
        categories: Category::TRANSACTION,
        group: Group::Transactions,
        since: "1.2.0",
        complexity: "depends on the queued commands",
        summary: "Runs the queued commands of a transaction atomically.",
        handler: Handler::Compound(CompoundHandler { queued, run: exec }),
        ..CommandSpec::DEFAULT
    },
    CommandSpec {
        name: "multi",
        arity: 1,
        flags: COMMON.union(Flags::ALLOW_BUSY).union(Flags::IN_MULTI_AT_ONCE),
        categories: Category::TRANSACTION,
        group: Group::Transactions,
        since: "1.2.0",
        summary: "Begins a transaction: the following commands are queued until EXEC.",
        handler: Handler::Session(multi),
        ..CommandSpec::DEFAULT
    },
    CommandSpec {
        name: "unwatch",
        arity: 1,
        flags: COMMON.union(Flags::ALLOW_BUSY).union(Flags::RELEASES_WATCH),
        categories: Category::TRANSACTION,
        group: Group::Transactions,
        since: "2.2.0",
        summary: "Forgets the keys that this connection watches.",
        handler: Handler::Read(unwatch),
        ..CommandSpec::DEFAULT
    },
    CommandSpec {
        name: "watch",
        arity: -2,
        flags: COMMON.union(Flags::ALLOW_BUSY).union(Flags::IN_MULTI_AT_ONCE),
        keys: &[KeySpec::range(1, -1, 1, KeyFlags::RO)],
        categories: Category::TRANSACTION,
        group: Group::Transactions,
        since: "2.2.0",
        complexity: "O(1) for each key",
        summary: "Watches keys. The next transaction does not run if any of them has changed by then.",
        syntax: "key...",
        handler: Handler::Read(watch),
        ..CommandSpec::DEFAULT
    },
];

fn multi(cx: &mut SessionOnly<'_>) -> Run {
    if cx.session.in_transaction() {
        return Err(CommandError::text("ERR MULTI calls can not be nested"));
    }
    cx.session.transaction = Some(Box::new(Transaction::default()));
    cx.session.client.set_flag(ClientFlags::MULTI, true);
    cx.reply.ok();
    Ok(Outcome::Done)
}

fn discard(cx: &mut KeyedRead<'_>) -> Run {
    if !cx.session.in_transaction() {
        return Err(CommandError::text("ERR DISCARD without MULTI"));
    }
    cx.session.end_transaction();
    cx.session.release_watch(&cx.keys, &cx.core.server.keyspace);
    cx.reply.ok();
    Ok(Outcome::Done)
}

/// The queued commands of the session.
fn queued(session: &Session) -> &[Queued] {
    session.transaction.as_ref().map_or(&[], |transaction| &transaction.queued)
}

/// EXEC. Runs the queued commands under the locks of all their keys and of the watched keys.
fn exec(cx: &mut Compound<'_, '_>) -> Run {
    if !cx.session.in_transaction() {
        return Err(CommandError::text("ERR EXEC without MULTI"));
    }
    let keyspace = &cx.core.server.keyspace;
    // A watched key that has expired has changed, even if no command has looked it up since. The lookup removes it.
    for (database, key) in cx.session.watch.iter().flat_map(|watch| &watch.keys) {
        cx.keys.locked.reader().peek(*database, keyspace.hash(key));
    }
    let watch_failed = cx.session.watch.as_ref().is_some_and(|watch| watch.is_changed());
    cx.session.release_watch(&cx.keys.locked.reader(), keyspace);
    let transaction = cx.session.end_transaction().expect("the session is in a transaction");
    if transaction.failed {
        return Err(CommandError::text("EXECABORT Transaction discarded because of previous errors."));
    }
    if watch_failed {
        cx.reply.null_array();
        return Ok(Outcome::Done);
    }
    cx.reply.array(transaction.queued.len());
    let mut outcome = Outcome::Done;
    for queued in &transaction.queued {
        let mark = cx.reply.position();
        let command = registry::table().of(queued.command);
        if let Some(error) = denial(cx, command, queued) {
            cx.reply.error(error.as_bytes());
            continue;
        }
        let closes = cx.run(InnerCall { command, args: queued.args(), hashed: &queued.hashed });
        // Nothing follows the reply of a command that closes the connection.
        if matches!(outcome, Outcome::Close) {
            cx.reply.rewind(mark);
        } else if closes {
            outcome = Outcome::Close;
        }
    }
    Ok(outcome)
}

/// The error for a queued command that the user may not run any more.
fn denial(cx: &Compound<'_, '_>, command: &'static Command, queued: &Queued) -> Option<CommandError> {
    let denied = permissions::check(cx.core, cx.session, command, queued.args(), Place::Multi).err()?;
    let reason = match denied {
        Denied::Command => "no permission to execute the command or subcommand",
        Denied::Key(_) => "no permission to touch the specified keys",
        Denied::Channel(_) => "no permission to access one of the channels used as arguments",
    };
    Some(CommandError::composed(format!(
        "NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC call. This command is no longer \
         allowed for the following reason: {reason}"
    )))
}

fn watch(cx: &mut KeyedRead<'_>) -> Run {
    if cx.session.in_transaction() {
        return Err(CommandError::text("ERR WATCH inside MULTI is not allowed"));
    }
    let database = cx.db();
    let session = &mut *cx.session;
    let watch = session.watch.get_or_insert_with(Box::<Watch>::default);
    for index in 1..cx.args.len() {
        let bytes = cx.args.get(index);
        // A watch stays failed once a key has changed.
        if watch.is_changed() {
            break;
        }
        let key = cx.core.server.keyspace.hash(bytes);
        // An expired key is removed now, so that its removal does not count as a change later.
        cx.keys.peek(database, key);
        if cx.keys.watch(database, key, &watch.changed) {
            watch.keys.push((database, bytes.into()));
        }
    }
    session.client.figures.watched_keys.store(watch.keys.len() as u32, std::sync::atomic::Ordering::Relaxed);
    cx.reply.ok();
    Ok(Outcome::Done)
}

fn unwatch(cx: &mut KeyedRead<'_>) -> Run {
    cx.session.release_watch(&cx.keys, &cx.core.server.keyspace);
    cx.reply.ok();
    Ok(Outcome::Done)
}
