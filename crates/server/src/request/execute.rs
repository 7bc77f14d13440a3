//! Step 8: runs a command under its locks. Single commands, the commands of a batch and commands inside of others all run through [`run`].

use ochre_keyspace::Walk as WalkVisit;
use ochre_resp::{Args, ReplyBuffer, ReplyWriter};

use super::{
    account::{self, Cost, Limits},
    check, effects, parking, scripted, serving,
};
use crate::{
    clock,
    commands::{
        Command, CommandError, Flags, Handler,
        context::{Context, Inner, InnerCall, NoKeys, Outcome, Run, Suspended},
        effects::Effects,
    },
    core::Core,
    locked::Locked,
    session::{Session, description},
};

/// How a request ended.
pub enum Ended {
    /// Its reply is written.
    Done,
    /// Its reply is written, and the connection closes after it.
    Close,
    /// The session is blocked (`session.blocked`).
    Blocked,
    /// The command goes on later.
    Suspended(Suspended),
    /// The command takes too long to share a batch. It has written nothing, and is to be run again alone.
    Alone,
}

/// One request to run.
#[derive(Clone, Copy)]
pub struct Call<'a> {
    /// The command, or the subcommand if the request names one.
    pub command: &'static Command,
    /// The command's name and the arguments.
    pub args: Args<'a>,
    /// The keys: the index among `args`, and the hash.
    pub hashed: &'a [(u32, u64)],
    /// The clock by which the command runs, in milliseconds since 1970.
    pub now_ms: i64,
    /// Whether the command runs inside of another one.
    pub nested: bool,
    /// Whether the command runs under the locks of a batch, which other requests share.
    pub shares_batch: bool,
}

/// The access to the keyspace that a command has while it runs.
pub enum Access<'s, 'c> {
    /// No access.
    None,
    /// The locks of its keys, or the whole keyspace.
    Keys(&'s mut Locked<'c>),
    /// One shard after another.
    Walk(&'s WalkVisit<'c>),
}

impl<'c> Access<'_, 'c> {
    /// Returns the same access for a shorter time.
    #[inline]
    fn reborrow(&mut self) -> Access<'_, 'c> {
        match self {
            Access::None => Access::None,
            Access::Keys(locked) => Access::Keys(locked),
            Access::Walk(walk) => Access::Walk(walk),
        }
    }

    /// Returns the locks, if there are any.
    fn locked(&mut self) -> Option<&mut Locked<'c>> {
        if let Access::Keys(locked) = self { Some(locked) } else { None }
    }
}

/// Runs a command under locks that are held, makes known what it did, and serves the waiters on the keys that it changed. For a nested
/// command, the waiters are served when the outer command has ended.
#[inline]
pub fn run(
    core: &Core,
    session: &mut Session,
    mut access: Access<'_, '_>,
    call: Call<'_>,
    out: &mut ReplyBuffer,
) -> Ended {
    let mark = out.len();
    let record = access.locked().map_or(0, |locked| locked.record_mark());
    let is_shown_first = call.command.spec.flags.contains(Flags::SKIP_MONITOR);
    if is_shown_first {
        show_monitors(core, session, &mut access, call);
    }
    let result = dispatch(core, session, access.reborrow(), call, out);
    if !call.nested
        && let Some(locked) = access.locked()
    {
        // A command that leaves its batch may have removed something that had expired, so its record is ended too.
        locked.end_record(record);
        serving::serve(core, locked);
    }
    // A command that will be run again is counted when it ends.
    if !matches!(result, Ok(Outcome::Alone | Outcome::Suspended(_))) {
        core.counters.commands_processed.add(1);
        if !is_shown_first {
            show_monitors(core, session, &mut access, call);
        }
    }
    match result {
        Ok(Outcome::Alone) => Ended::Alone,
        Ok(Outcome::Done) => Ended::Done,
        Ok(Outcome::Close) => Ended::Close,
        Ok(Outcome::Suspended(suspended)) => Ended::Suspended(suspended),
        Ok(Outcome::Block(block)) => {
            if call.nested {
                // A nested command cannot block. It ends as if its wait had timed out.
                (block.on_timeout)(&mut ReplyWriter::new(out, session.protocol));
                return Ended::Done;
            }
            session.slices_ticks += clock::ticks_of(block.counts_as);
            parking::park(core, session, access.locked().map(|locked| &**locked), block, call);
            Ended::Blocked
        }
        Err(error) => {
            out.truncate(mark);
            core.counters.of(call.command).failed.add(1);
            write_error(core, session, &error, out);
            Ended::Done
        }
    }
}

/// Shows a command to the monitors, if there are any. A client without a number replays a log.
#[inline]
fn show_monitors(core: &Core, session: &Session, access: &mut Access<'_, '_>, call: Call<'_>) {
    if core.server.monitors.are_there() && session.client.id != 0 {
        let position = access.locked().map_or_else(Default::default, |locked| locked.position());
        account::show_monitors(core, session, call.command, call.args, position);
    }
}

/// Runs a command inside of another one, under the locks of that one. Returns whether the connection closes afterwards.
pub(super) fn run_inner(
    core: &Core,
    session: &mut Session,
    locked: &mut Locked<'_>,
    InnerCall { command, args, hashed }: InnerCall<'_>,
    out: &mut ReplyBuffer,
) -> bool {
    let start = clock::ticks();
    // A message that the command publishes depends on what the commands before it did.
    session.depends_on(locked.position());
    let call = Call { command, args, hashed, now_ms: locked.now_ms(), nested: true, shares_batch: false };
    let mark = out.len();
    let ended = run(core, session, Access::Keys(locked), call, out);
    let config = core.config();
    let ticks = clock::ticks() - start;
    core.counters.ran(command, 1, ticks, config.latency_tracking);
    let (request_bytes, reply_bytes) = (description::request_len(args), out.len().saturating_sub(mark));
    let cost = Cost { ticks, request_bytes, reply_bytes };
    if Limits::of(&config).are_reached(cost) {
        account::note(core, &config, session, command, args, cost);
    }
    matches!(ended, Ended::Close)
}

/// Writes an error reply, and counts it.
#[cold]
pub fn write_error(core: &Core, session: &Session, error: &CommandError, out: &mut ReplyBuffer) {
    core.counters.error(error.as_bytes());
    ReplyWriter::new(out, session.protocol).error(error.as_bytes());
}

/// Calls the handler with the rights that its row requires, and makes known what it did.
#[inline(always)]
pub fn dispatch<'a>(
    core: &'a Core,
    session: &'a mut Session,
    mut access: Access<'a, '_>,
    call: Call<'a>,
    out: &'a mut ReplyBuffer,
) -> Run {
    let database = session.database;
    if let Access::Keys(locked) = &mut access {
        // A batch is of one session, but the commands that it serves, and CLIENT NO-TOUCH inside of EXEC, change this.
        locked.set_touches(!session.no_touch);
    }
    let reply = ReplyWriter::new(out, session.protocol);
    macro_rules! call {
        ($handler:expr, $keys:expr) => {{
            let mut context = Context {
                args: call.args,
                command: call.command,
                keys: $keys,
                reply,
                session,
                core,
                now_ms: call.now_ms,
                effects: Effects::default(),
                hashed: call.hashed,
                nested: call.nested,
                shares_batch: call.shares_batch,
            };
            let result = $handler(&mut context);
            effects::publish(core, context.keys.lock_set(), &mut context.effects, database, call.args);
            result
        }};
    }
    match (call.command.spec.handler, access) {
        (Handler::Read(handler), Access::Keys(locked)) => {
            let locked: &'a Locked<'_> = locked;
            call!(handler, locked.reader())
        }
        (Handler::Write(handler), Access::Keys(locked)) => call!(handler, locked.writer()),
        (Handler::Session(handler), _) => call!(handler, NoKeys),
        (Handler::Walk(handler), Access::Walk(walk)) => call!(handler, walk.walker()),
        (Handler::Walk(handler), Access::Keys(locked)) => {
            let locked: &'a Locked<'_> = locked;
            call!(handler, locked.walker())
        }
        (Handler::Whole(handler), Access::Keys(locked)) => call!(handler, locked.whole_keyspace()),
        (Handler::Compound(compound), Access::Keys(locked)) => {
            call!(
                compound.run,
                Inner { locked, run: run_inner, call: scripted::call, refusal: check::refusal_in_script }
            )
        }
        (Handler::Container, _) => Err(CommandError::wrong_arity(&call.command.full_name)),
        (_, Access::None | Access::Walk(_)) => unreachable!("a handler is given the access that its row requires"),
    }
}
