//! How scripts and functions run: the server as they reach it, what they may do, and how they are ended.

use ochre_resp::{Args, Protocol, ReplyBuffer};
use ochre_script::{Engine, Host, Kind, Limits, Script, flags::ScriptFlags};

use super::{
    CommandError, Flags,
    context::{Compound, Outcome, Run, ScriptCall, ScriptRules, SessionOnly},
    permissions::Asked,
};
use crate::{
    config::Config,
    core::Core,
    locked::Locked,
    log,
    scripts::{BusyFunction, Kill},
    session::Session,
};

/// A script or function to run.
pub struct Job<'j> {
    /// Which of the two.
    pub kind: Kind,
    /// Its interpreter.
    pub engine: &'j Engine,
    /// What runs.
    pub script: &'j Script,
    /// The SHA-1 or the function's name, for error texts.
    pub name: &'j str,
    /// What it declares. `None` for a script of the old kind, which is checked call by call.
    pub declared: Option<ScriptFlags>,
    /// The number of keys in the request.
    pub keys: usize,
    /// Whether the request lets it only read.
    pub is_read_only: bool,
}

/// The number of keys that a request gives.
///
/// # Errors
/// If it is no number, `not_a_number`.
pub fn count_of_keys(cx: &Compound<'_, '_>, not_a_number: CommandError) -> Result<usize, CommandError> {
    let count = cx.integer(2).map_err(|_| not_a_number)?;
    if count > cx.args.len() as i64 - 3 {
        return Err(CommandError::text("ERR Number of keys can't be greater than number of args"));
    }
    usize::try_from(count).map_err(|_| CommandError::text("ERR Number of keys can't be negative"))
}

/// The server as a running script reaches it.
struct ScriptHost<'h, 'c> {
    core: &'h Core,
    session: &'h mut Session,
    locked: &'h mut Locked<'c>,
    call: ScriptCall,
    rules: ScriptRules,
    threshold_ms: i64,
    /// The name and the request of a function that is not known to be busy yet.
    function: Option<(&'h str, Args<'h>)>,
}

impl Host for ScriptHost<'_, '_> {
    fn call(&mut self, args: Args<'_>, protocol: Protocol, reply: &mut ReplyBuffer) {
        let before = std::mem::replace(&mut self.session.protocol, protocol);
        (self.call)(self.core, self.session, self.locked, args, &mut self.rules, reply);
        self.session.protocol = before;
    }

    fn may_run(&mut self, args: Args<'_>) -> Option<bool> {
        let command = super::table().named_by(args)?;
        let user = self.session.identity.user();
        Some(user.is_some_and(|user| user.allows(&Asked { command, args }).is_ok()))
    }

    fn log(&mut self, level: u8, text: &[u8]) {
        log::of_script(level, text);
    }

    fn set_recorded(&mut self, is_recorded: bool) {
        self.rules.is_recorded = is_recorded;
    }

    fn must_end(&mut self) -> bool {
        let scripts = &self.core.server.scripts;
        let must_end = scripts.poll(self.threshold_ms, self.core.server.cores() == 1);
        if scripts.is_busy()
            && let Some((name, args)) = self.function.take()
        {
            let command = args.iter().map(<[u8]>::to_vec).collect();
            scripts.note_function(BusyFunction { name: name.to_owned(), command });
        }
        must_end
    }
}

/// The reasons not to begin a script that declares what it does. (Redis: `processCommand` with `scriptFlagsToCmdFlags`, and `scriptPrepareForRun`)
fn refuse(
    cx: &Compound<'_, '_>,
    config: &Config,
    declared: ScriptFlags,
    is_read_only: bool,
    rules: &ScriptRules,
) -> Result<(), CommandError> {
    if declared.contains(ScriptFlags::NO_WRITES) {
        return Ok(());
    }
    let needs = if declared.contains(ScriptFlags::ALLOW_OOM) { Flags::WRITE } else { Flags::WRITE | Flags::DENYOOM };
    (cx.keys.refusal)(cx.core, config, needs, rules)?;
    if is_read_only {
        return Err(CommandError::text("ERR Can not execute a script with write flag using *_ro command."));
    }
    Ok(())
}

/// Runs a script or function to its end.
pub fn run(cx: &mut Compound<'_, '_>, job: &Job<'_>) -> Run {
    let core = cx.core;
    let scripts = &core.server.scripts;
    let config = core.config();
    let declared = job.declared.unwrap_or_default();
    let rules = ScriptRules {
        may_write: !job.is_read_only && !declared.contains(ScriptFlags::NO_WRITES),
        allows_oom: declared.contains(ScriptFlags::ALLOW_OOM),
        is_recorded: true,
        has_written: false,
    };
    if job.declared.is_some() {
        refuse(cx, &config, declared, job.is_read_only, &rules)?;
    }
    let arguments = cx.args.slice(3..);
    let (words_of_keys, words) = arguments.split_at(job.keys);
    let (database, no_touch) = (cx.session.database, cx.session.no_touch);
    let mut host = ScriptHost {
        core,
        session: cx.session,
        locked: cx.keys.locked,
        call: cx.keys.call,
        rules,
        threshold_ms: config.busy_reply_threshold_ms,
        function: (job.kind == Kind::Functions).then_some((job.name, cx.args)),
    };
    let limits = Limits { memory_bytes: config.script_memory_limit };
    scripts.begin(core.index, job.kind);
    let result = job.engine.run(job.script, words_of_keys, words, &limits, &mut host, &mut cx.reply);
    scripts.end();
    cx.session.no_touch = no_touch;
    // SELECT in a script is for the script alone.
    if cx.session.database != database {
        cx.session.select(database);
    }
    let Err(error) = result else { return Ok(Outcome::Done) };
    let mut text = error.text;
    if let Some(place) = error.place {
        text.extend_from_slice(format!(" script: {}, on ", job.name).as_bytes());
        text.extend_from_slice(&place);
        text.push(b'.');
    }
    Err(CommandError::composed(text))
}

/// The error of a request while a script or a function runs for too long.
pub fn busy(core: &Core) -> CommandError {
    if core.server.scripts.is_busy_with_function() {
        return CommandError::text(
            "BUSY Redis is busy running a script. You can only call FUNCTION KILL or SHUTDOWN NOSAVE.",
        );
    }
    CommandError::text("BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.")
}

/// SCRIPT KILL and FUNCTION KILL.
pub fn kill(cx: &mut SessionOnly<'_>, kind: Kind) -> Run {
    match cx.core.server.scripts.kill(kind) {
        Kill::Done => cx.reply.ok(),
        Kill::NotBusy => return Err(CommandError::text("NOTBUSY No scripts in execution right now.")),
        Kill::OtherKind => return Err(busy(cx.core)),
        Kill::Unkillable => {
            return Err(CommandError::text(
                "UNKILLABLE Sorry the script already executed write commands against the dataset. You can either wait the script \
                 termination or kill the server in a hard way using the SHUTDOWN NOSAVE command.",
            ));
        }
    }
    Ok(Outcome::Done)
}
