//! The way of a command that a script calls: lookup, refusals, keys, and the run under the script's locks.

use ochre_resp::{Args, ReplyBuffer, ReplyWriter};

use super::{
    check, execute, keys,
    lookup::{Lookup, lookup},
};
use crate::{
    commands::{
        Command, CommandError, Flags,
        context::{InnerCall, ScriptRules},
        permissions,
    },
    core::Core,
    locked::Locked,
    session::Session,
    users::denials::Place,
};

/// Runs a command for a script, and writes its reply.
pub fn call(
    core: &Core,
    session: &mut Session,
    locked: &mut Locked<'_>,
    args: Args<'_>,
    rules: &mut ScriptRules,
    out: &mut ReplyBuffer,
) {
    match allowed(core, session, args, rules) {
        Ok(command) => {
            if command.spec.flags.contains(Flags::WRITE) {
                rules.has_written = true;
                core.server.scripts.writes();
            }
            let mut hashed = Vec::new();
            keys::hash_into(&core.server.keyspace, command.spec, args, &mut hashed);
            // Without a buffer for records nothing is recorded.
            let records = if rules.is_recorded { None } else { locked.records().take() };
            execute::run_inner(core, session, locked, InnerCall { command, args, hashed: &hashed }, out);
            if !rules.is_recorded {
                *locked.records() = records;
            }
        }
        Err(error) => ReplyWriter::new(out, session.protocol).error(error.as_bytes()),
    }
}

/// The command that a script may run with these arguments, or why it may not.
fn allowed(
    core: &Core,
    session: &Session,
    args: Args<'_>,
    rules: &ScriptRules,
) -> Result<&'static Command, CommandError> {
    let Lookup::Command(command) = lookup(args, &[]) else {
        return Err(CommandError::text("ERR Unknown Redis command called from script"));
    };
    if !command.allows_arity(args.len()) || command.is_container() {
        return Err(CommandError::text("ERR Wrong number of args calling Redis command from script"));
    }
    let flags = command.spec.flags;
    if flags.contains(Flags::NOSCRIPT) {
        return Err(CommandError::text("ERR This Redis command is not allowed from script"));
    }
    if flags.contains(Flags::WRITE) && !rules.may_write {
        return Err(CommandError::text("ERR Write commands are not allowed from read-only scripts."));
    }
    if let Some(user) = session.identity.user()
        && let Err(denied) = permissions::check(core, session, command, args, Place::Script)
    {
        let reason = permissions::text(user, command, denied);
        return Err(CommandError::composed([&b"ERR ACL failure in script: "[..], &reason].concat()));
    }
    check::refusal_in_script(core, &core.config(), flags, rules)?;
    Ok(command)
}
