//! Step 4: everything for which a request can be refused or put off, in one ordered list (Redis: `processCommand`).

use ochre_resp::{Args, Protocol};

use super::{chores, keys};
use crate::{
    commands::{Command, CommandError, Flags},
    config::{Config, EnableCommand},
    core::{Chore, Core},
    session::{Session, transaction::Queued},
};

/// What becomes of a request.
pub enum Verdict {
    Run,
    /// It was added to the transaction.
    Queued,
    Refused(CommandError),
    /// CLIENT PAUSE holds it up.
    Paused,
}

const AUTH_REQUIRED: CommandError = CommandError::text("NOAUTH Authentication required.");
const OUT_OF_MEMORY: CommandError = CommandError::text("OOM command not allowed when used memory > 'maxmemory'.");
const NOT_ENOUGH_REPLICAS: CommandError = CommandError::text("NOREPLICAS Not enough good replicas to write.");
const NOT_IN_TRANSACTION: CommandError = CommandError::text("ERR Command not allowed inside a transaction");
const DEBUG_NOT_ALLOWED: CommandError = CommandError::text(
    "ERR DEBUG command not allowed. If the enable-debug-command option is set to \"local\", you can run it from a local \
     connection, otherwise you need to set this option in the configuration file, and then restart the server.",
);

/// The flags of commands that the list may refuse or put off as things stand; all others need the right number of arguments and nothing
/// else. It is asked once for a batch: what runs in one changes neither settings nor the session, and a pause that begins meanwhile is
/// seen under the locks.
#[inline]
pub fn questionable_flags(core: &Core, config: &Config, session: &Session) -> Flags {
    let is_pausing = core.server.pause.is_on();
    if !session.authenticated || session.in_transaction() || session.is_subscriber() || is_pausing {
        return Flags::all();
    }
    let mut questionable = Flags::DEBUG;
    questionable.set(Flags::DENYOOM, config.maxmemory > 0);
    questionable.set(Flags::WRITE, config.min_replicas_to_write > 0);
    questionable
}

/// Goes through the list. A request that is refused while a transaction is queued makes the transaction fail.
#[inline]
pub fn check(
    core: &Core,
    config: &Config,
    session: &mut Session,
    command: &'static Command,
    args: Args<'_>,
) -> Verdict {
    if let Err(error) = refusal(core, config, session, command, args) {
        if command.spec.flags.contains(Flags::EXEC) {
            return Verdict::Refused(abort_transaction(core, session, &error));
        }
        refused(session);
        return Verdict::Refused(error);
    }
    let flags = command.spec.flags;
    // A write is held up even where it would only be queued.
    if core.server.pause.holds(flags, session) {
        return Verdict::Paused;
    }
    if session.in_transaction() && !flags.contains(Flags::IN_MULTI_AT_ONCE) {
        return queue(core, session, command, args);
    }
    Verdict::Run
}

/// EXEC was refused: that ends the transaction.
#[cold]
fn abort_transaction(core: &Core, session: &mut Session, error: &CommandError) -> CommandError {
    session.end_transaction();
    if let Some(watch) = session.take_watch() {
        chores::run_or_leave(core, Chore::Unwatch(watch));
    }
    let reason = error.as_bytes().strip_prefix(b"ERR ").unwrap_or(error.as_bytes());
    CommandError::composed([b"EXECABORT Transaction discarded because of: ", reason].concat())
}

/// A request was refused: the transaction that it was meant for will not run.
pub fn refused(session: &mut Session) {
    if let Some(transaction) = &mut session.transaction {
        transaction.failed = true;
    }
}

/// The list of refusals.
#[inline]
fn refusal(
    core: &Core,
    config: &Config,
    session: &Session,
    command: &'static Command,
    args: Args<'_>,
) -> Result<(), CommandError> {
    let flags = command.spec.flags;
    if !command.allows_arity(args.len()) {
        return Err(wrong_arity(session, command, args));
    }
    if flags.contains(Flags::DEBUG) && !debug_is_allowed(config, session) {
        return Err(DEBUG_NOT_ALLOWED);
    }
    if !session.authenticated && config.requirepass.is_some() && !flags.contains(Flags::NO_AUTH) {
        return Err(AUTH_REQUIRED);
    }
    if session.in_transaction() && flags.contains(Flags::NO_MULTI) {
        return Err(NOT_IN_TRANSACTION);
    }
    if flags.contains(Flags::DENYOOM) && config.maxmemory > 0 && core.server.is_out_of_memory(config.maxmemory) {
        return Err(OUT_OF_MEMORY);
    }
    if flags.contains(Flags::WRITE) && config.min_replicas_to_write > 0 && config.min_replicas_max_lag_s > 0 {
        return Err(NOT_ENOUGH_REPLICAS);
    }
    if session.is_subscriber() && session.protocol == Protocol::Resp2 && !flags.contains(Flags::IN_SUBSCRIBE_MODE) {
        return Err(CommandError::composed(format!(
            "ERR Can't execute '{}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context",
            command.full_name,
        )));
    }
    Ok(())
}

#[cold]
fn wrong_arity(session: &Session, command: &Command, args: Args<'_>) -> CommandError {
    // Plain lines: words too many are not part of a value by mistake, so the error says that the line is wrong as a whole.
    let too_many = command.spec.arity > 0 && args.len() > command.spec.arity as usize;
    if session.protocol == Protocol::Plain && too_many {
        return CommandError::SYNTAX;
    }
    CommandError::wrong_arity(&command.full_name)
}

fn debug_is_allowed(config: &Config, session: &Session) -> bool {
    match config.enable_debug_command {
        EnableCommand::Yes => true,
        EnableCommand::No => false,
        EnableCommand::Local => session.client.is_local(),
    }
}

fn queue(core: &Core, session: &mut Session, command: &'static Command, args: Args<'_>) -> Verdict {
    let Some(transaction) = &mut session.transaction else { return Verdict::Run };
    // Nothing is kept for a transaction that is sure to fail already.
    let watch_failed = session.watch.as_ref().is_some_and(|watch| watch.is_changed());
    if !transaction.failed && !watch_failed {
        let mut hashed = Vec::new();
        keys::hash_into(&core.server.keyspace, command.spec, args, &mut hashed);
        transaction.queued.push(Queued::new(command, args, &hashed));
    } else {
        transaction.dropped += 1;
    }
    session.count_queued();
    Verdict::Queued
}
