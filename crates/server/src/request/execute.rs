//! Step 7: runs a command under its locks. The same entry serves single commands, batches and the commands inside of others.

use ochre_keyspace::Walk as WalkVisit;
use ochre_resp::{Args, ReplyWriter};

use super::{effects, parking, serving};
use crate::{
    clock,
    commands::{
        Command, CommandError, Handler,
        context::{Context, Inner, InnerCall, NoKeys, Outcome, Run, Suspended},
        effects::Effects,
    },
    core::Core,
    locked::Locked,
    session::Session,
};

/// How a request ended.
pub enum Ended {
    /// Its reply is written.
    Done,
    /// Its reply is written, and the connection closes after it.
    Close,
    /// The session now waits (`session.blocked`).
    Blocked,
    /// A walk goes on later.
    Suspended(Suspended),
    /// Nothing is written: it takes too long to share a batch, and is to run again alone.
    Alone,
}

/// One request to run.
#[derive(Clone, Copy)]
pub struct Call<'a> {
    /// The command; of a container the subcommand.
    pub command: &'static Command,
    /// The request, with the command's name.
    pub args: Args<'a>,
    /// Its keys: index among the arguments, and hash.
    pub hashed: &'a [(u32, u64)],
    /// Milliseconds since 1970.
    pub now_ms: i64,
    /// Whether it runs inside of another command.
    pub nested: bool,
    /// Whether it runs under the locks of a batch, which other requests share.
    pub shares_batch: bool,
}

/// What a request has of the keyspace while it runs.
pub enum Access<'s, 'c> {
    /// Nothing.
    None,
    /// The locks of its keys, or everything.
    Keys(&'s mut Locked<'c>),
    /// Shard after shard.
    Walk(&'s WalkVisit<'c>),
}

impl<'c> Access<'_, 'c> {
    /// The same access, for a part of the time.
    #[inline]
    fn reborrow(&mut self) -> Access<'_, 'c> {
        match self {
            Access::None => Access::None,
            Access::Keys(locked) => Access::Keys(locked),
            Access::Walk(walk) => Access::Walk(walk),
        }
    }

    fn locked(&mut self) -> Option<&mut Locked<'c>> {
        if let Access::Keys(locked) = self { Some(locked) } else { None }
    }
}

/// Runs one command under locks that are held, makes known what it did, and serves the waiters on what it changed. The waiters of a
/// nested command are served when the command around it has ended.
#[inline]
pub fn run(core: &Core, session: &mut Session, mut access: Access<'_, '_>, call: Call<'_>, out: &mut Vec<u8>) -> Ended {
    let mark = out.len();
    let record = access.locked().map_or(0, |locked| locked.record_mark());
    let result = dispatch(core, session, access.reborrow(), call, out);
    if !call.nested
        && let Some(locked) = access.locked()
    {
        // Also of a command that leaves its batch: it may have found something expired.
        locked.end_record(record);
        serving::serve(core, locked);
    }
    // A command that will be entered again is counted then.
    if !matches!(result, Ok(Outcome::Alone | Outcome::Suspended(_))) {
        core.counters.commands_processed.add(1);
    }
    match result {
        Ok(Outcome::Alone) => Ended::Alone,
        Ok(Outcome::Done) => Ended::Done,
        Ok(Outcome::Close) => Ended::Close,
        Ok(Outcome::Suspended(suspended)) => Ended::Suspended(suspended),
        Ok(Outcome::Block(block)) => {
            if call.nested {
                // Nothing waits inside of another command: it ends as if its time were over.
                (block.on_timeout)(&mut ReplyWriter::new(out, session.protocol));
                return Ended::Done;
            }
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

/// Runs a command inside of another one, under its locks; whether the connection closes after it.
fn run_inner(
    core: &Core,
    session: &mut Session,
    locked: &mut Locked<'_>,
    InnerCall { command, args, hashed }: InnerCall<'_>,
    out: &mut Vec<u8>,
) -> bool {
    let start = clock::ticks();
    // A message that it publishes depends on what the commands before it did.
    session.depends_on(locked.position());
    let call = Call { command, args, hashed, now_ms: locked.now_ms(), nested: true, shares_batch: false };
    let ended = run(core, session, Access::Keys(locked), call, out);
    core.counters.ran(command, 1, clock::ticks() - start);
    matches!(ended, Ended::Close)
}

/// Writes an error reply, and counts it.
#[cold]
pub fn write_error(core: &Core, session: &Session, error: &CommandError, out: &mut Vec<u8>) {
    core.counters.error(error.as_bytes());
    ReplyWriter::new(out, session.protocol).error(error.as_bytes());
}

/// Calls the handler with the rights that its row asks for, and makes known what it did.
#[inline(always)]
pub fn dispatch<'a>(
    core: &'a Core,
    session: &'a mut Session,
    access: Access<'a, '_>,
    call: Call<'a>,
    out: &'a mut Vec<u8>,
) -> Run {
    let database = session.database;
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
            call!(compound.run, Inner { locked, run: run_inner })
        }
        (Handler::Container, _) => Err(CommandError::wrong_arity(&call.command.full_name)),
        (_, Access::None | Access::Walk(_)) => unreachable!("a handler is given what its row asks for"),
    }
}
