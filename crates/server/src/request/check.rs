//! Step 4: every reason to refuse a request or to hold it back, in one ordered list (Redis: `processCommand`).

use ochre_resp::{Args, Protocol};

use super::{
    chores,
    eviction::{self, Room},
    keys,
    locks::Unavailable,
};
use crate::{
    commands::{Command, CommandError, Flags, context::ScriptRules, permissions, running},
    config::{Config, EnableCommand},
    core::{Chore, Core},
    session::{ClientFlags, Session, transaction::Queued},
};

/// The result of checking a request.
pub enum Verdict {
    /// It is to be run.
    Run,
    /// It was added to the transaction, and is answered QUEUED.
    Queued,
    /// It is answered with this error.
    Refused(CommandError),
    /// It waits for this, and is checked again afterwards.
    Held(Unavailable),
}

const OUT_OF_MEMORY: CommandError = CommandError::text("OOM command not allowed when used memory > 'maxmemory'.");
const SAVE_FAILED: CommandError = CommandError::text(
    "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk. Commands that may modify the data \
     set are disabled, because this instance is configured to report errors during writes if RDB snapshotting fails \
     (stop-writes-on-bgsave-error option). Please check the Redis logs for details about the RDB error.",
);
const LOADING: CommandError = CommandError::text("LOADING Redis is loading the dataset in memory");
/// The error for a monitor, which Redis takes for a kind of replica.
const MONITORS: CommandError = CommandError::text("ERR Replica can't interact with the keyspace");
const NOT_ENOUGH_REPLICAS: CommandError = CommandError::text("NOREPLICAS Not enough good replicas to write.");
const DEBUG_NOT_ALLOWED: CommandError = CommandError::text(
    "ERR DEBUG command not allowed. If the enable-debug-command option is set to \"local\", you can run it from a local \
     connection, otherwise you need to set this option in the configuration file, and then restart the server.",
);

/// The flags of commands that may need memory.
const NEEDS_ROOM: Flags = Flags::DENYOOM.union(Flags::MAY_REPLICATE);

/// The flags that make a check necessary at present. A command with none of them is only refused for a wrong number of arguments.
///
/// This is computed once for a batch. The commands of a batch change neither the settings nor the session, and a pause that begins
/// in the meantime is noticed under the locks.
#[inline]
pub fn flags_to_check(core: &Core, config: &Config, session: &Session) -> Flags {
    let is_pausing = core.server.pause.is_on();
    if !session.identity.is_unrestricted()
        || core.server.loading.is_on()
        || session.in_transaction()
        || session.is_subscriber()
        || session.client.flags().contains(ClientFlags::MONITOR)
        || is_pausing
        || core.server.scripts.is_busy()
    {
        return Flags::all();
    }
    let has_disk_error = core.server.saves.has_failed() || core.server.aof.has_failed();
    let mut flags_to_check = Flags::DEBUG;
    flags_to_check.set(NEEDS_ROOM, config.maxmemory > 0 && !core.room.is_sure());
    flags_to_check.set(Flags::WRITE, config.min_replicas_to_write > 0 || has_disk_error);
    flags_to_check.set(Flags::HEALTH, has_disk_error);
    flags_to_check
}

/// Checks a request. A refusal between MULTI and EXEC makes the transaction fail.
#[inline]
pub fn check(
    core: &Core,
    config: &Config,
    session: &mut Session,
    command: &'static Command,
    args: Args<'_>,
) -> Verdict {
    let flags = session.flags_of_request(command.spec.flags);
    if let Err(refusal) = refusal(core, config, session, command, flags, args) {
        let error = match refusal {
            Refusal::Final(error) => error,
            Refusal::Until(unavailable) => return Verdict::Held(unavailable),
        };
        if flags.contains(Flags::EXEC) {
            return Verdict::Refused(abort_transaction(core, session, &error));
        }
        refused(session);
        return Verdict::Refused(error);
    }
    // A pause holds a write even if the write would only be queued.
    if core.server.pause.holds(flags) {
        return Verdict::Held(Unavailable::Pause);
    }
    if session.in_transaction() && !flags.contains(Flags::IN_MULTI_AT_ONCE) {
        return queue(core, session, command, args);
    }
    Verdict::Run
}

/// Ends the transaction, since EXEC was refused. Returns the error for the client.
#[cold]
fn abort_transaction(core: &Core, session: &mut Session, error: &CommandError) -> CommandError {
    session.end_transaction();
    if let Some(watch) = session.take_watch() {
        chores::run_or_leave(core, Chore::Unwatch(watch));
    }
    let reason = error.as_bytes().strip_prefix(b"ERR ").unwrap_or(error.as_bytes());
    CommandError::composed([b"EXECABORT Transaction discarded because of: ", reason].concat())
}

/// Records that a request was refused: if it was to be queued, EXEC will fail.
pub fn refused(session: &mut Session) {
    if let Some(transaction) = &mut session.transaction {
        transaction.failed = true;
    }
}

/// Why a request does not run.
enum Refusal {
    /// It is answered with this error.
    Final(CommandError),
    /// It is checked again when this is available.
    Until(Unavailable),
}

impl From<CommandError> for Refusal {
    fn from(error: CommandError) -> Refusal {
        Refusal::Final(error)
    }
}

/// Whether a refusal is for the memory in use, which an earlier request may reduce.
pub fn is_for_memory(error: &CommandError) -> bool {
    error.as_bytes() == OUT_OF_MEMORY.as_bytes()
}

/// The reasons to refuse a request, in order. `flags` are those of [`Session::flags_of_request`].
#[inline]
fn refusal(
    core: &Core,
    config: &Config,
    session: &Session,
    command: &'static Command,
    flags: Flags,
    args: Args<'_>,
) -> Result<(), Refusal> {
    if !command.allows_arity(args.len()) {
        return Err(wrong_arity(session, command, args).into());
    }
    if flags.contains(Flags::DEBUG) && !debug_is_allowed(config, session) {
        return Err(DEBUG_NOT_ALLOWED.into());
    }
    if !session.identity.is_authenticated() && !flags.contains(Flags::NO_AUTH) {
        return Err(permissions::AUTH_REQUIRED.into());
    }
    if session.in_transaction() && flags.contains(Flags::NO_MULTI) {
        return Err(not_in_transaction(command).into());
    }
    // A client that is not authenticated came this far with a command that everybody may run.
    if session.identity.is_authenticated() {
        permissions::allow(core, session, command, args, permissions::place(session))?;
    }
    if core.server.scripts.is_busy() && !flags.contains(Flags::ALLOW_BUSY) {
        return Err(running::busy(core).into());
    }
    // While the data is loaded the memory is not limited. Room is also made for a script, of which it is not known yet whether it needs any.
    if flags.intersects(NEEDS_ROOM) && config.maxmemory > 0 && !core.server.loading.is_on() {
        match eviction::make_room(core, config) {
            Room::Free => {}
            Room::Evicting => return Err(Refusal::Until(Unavailable::Room)),
            Room::Freeing(burial) => return Err(Refusal::Until(Unavailable::Memory(burial))),
            Room::Full if flags.contains(Flags::DENYOOM) => return Err(OUT_OF_MEMORY.into()),
            Room::Full => {}
        }
    }
    if flags.intersects(Flags::WRITE.union(Flags::HEALTH)) {
        disk_error(core, config)?;
    }
    if flags.contains(Flags::WRITE) && config.min_replicas_to_write > 0 && config.min_replicas_max_lag_s > 0 {
        return Err(NOT_ENOUGH_REPLICAS.into());
    }
    if session.is_subscriber() && session.protocol == Protocol::Resp2 && !flags.contains(Flags::IN_SUBSCRIBE_MODE) {
        return Err(CommandError::composed(format!(
            "ERR Can't execute '{}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context",
            command.full_name,
        ))
        .into());
    }
    if core.server.loading.is_on() && !flags.contains(Flags::LOADING) {
        return Err(LOADING.into());
    }
    let touches_data = Flags::WRITE.union(Flags::READONLY).union(Flags::MAY_REPLICATE);
    if flags.intersects(touches_data) && session.client.flags().contains(ClientFlags::MONITOR) {
        return Err(MONITORS.into());
    }
    Ok(())
}

/// The reasons to refuse a command that a script calls, beside those of the script itself.
pub fn refusal_in_script(core: &Core, config: &Config, flags: Flags, rules: &ScriptRules) -> Result<(), CommandError> {
    if flags.contains(Flags::DENYOOM)
        && config.maxmemory > 0
        && !rules.allows_oom
        && !rules.has_written
        && eviction::is_full(core, config)
    {
        return Err(OUT_OF_MEMORY);
    }
    if flags.contains(Flags::WRITE) {
        disk_error(core, config)?;
        if config.min_replicas_to_write > 0 && config.min_replicas_max_lag_s > 0 {
            return Err(NOT_ENOUGH_REPLICAS);
        }
    }
    Ok(())
}

/// Refuses a write if the data cannot be kept. (Redis: `writeCommandsDeniedByDiskError`)
fn disk_error(core: &Core, config: &Config) -> Result<(), CommandError> {
    if core.server.saves.has_failed() && config.stop_writes_on_bgsave_error && !config.save.is_empty() {
        return Err(SAVE_FAILED);
    }
    match core.server.aof.error() {
        Some(error) => Err(CommandError::composed(format!("MISCONF Errors writing to the AOF file: {error}"))),
        None => Ok(()),
    }
}

/// Only Valkey refuses a subcommand, CLIENT REPLY, and its error has the name. Without the refusal, EXEC would have a reply too few.
#[cold]
fn not_in_transaction(command: &Command) -> CommandError {
    if command.full_name.contains('|') {
        return CommandError::composed(format!("ERR Command '{}' not allowed inside a transaction", command.full_name));
    }
    CommandError::text("ERR Command not allowed inside a transaction")
}

#[cold]
fn wrong_arity(session: &Session, command: &Command, args: Args<'_>) -> CommandError {
    // In the plain protocol, words are separated by spaces alone. Surplus words are likely to be a value with spaces, so the whole line is
    // called wrong.
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

/// Adds a request to the transaction.
fn queue(core: &Core, session: &mut Session, command: &'static Command, args: Args<'_>) -> Verdict {
    let Some(transaction) = &mut session.transaction else { return Verdict::Run };
    // A transaction that is sure to fail keeps no commands.
    let watch_failed = session.watch.as_ref().is_some_and(|watch| watch.is_changed());
    if !transaction.failed && !watch_failed {
        let mut hashed = Vec::new();
        keys::hash_into(&core.server.keyspace, command.spec, args, &mut hashed);
        transaction.queue(Queued::new(command, args, &hashed));
    } else {
        transaction.dropped += 1;
    }
    session.count_queued();
    Verdict::Queued
}
