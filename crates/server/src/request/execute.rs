//! Step 6: runs a command under its locks. The same entry serves single commands, batches and EXEC.

use std::time::Duration;

use ochre_keyspace::{LockSet, ShardList};
use ochre_resp::{Args, ReplyWriter};

use super::{effects, keys, wake};
use crate::{
    clock,
    commands::{
        self, Command, CommandError, Flags, Handler,
        context::{Context, NoKeys, Outcome, Run},
        effects::Effects,
    },
    config::Config,
    core::Core,
    session::{Session, transaction::Queued},
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
    Continue,
    /// Nothing is written: it takes too long to share a batch, and is to run again alone.
    Alone,
    /// The gate is closed, or another closes it: nothing happened, try again when it opens.
    GateClosed,
}

/// One request to run.
#[derive(Clone, Copy)]
pub struct Call<'a> {
    pub command: &'static Command,
    pub args: Args<'a>,
    /// Its keys: index among the arguments, and hash.
    pub hashed: &'a [(u32, u64)],
    /// Milliseconds since 1970.
    pub now_ms: i64,
    /// Whether it is part of an EXEC.
    pub nested: bool,
    /// Whether it runs under the locks of a batch, which are other requests' too.
    pub shares_batch: bool,
}

/// Runs a request that is alone: takes the locks that its row asks for.
pub fn run_alone(
    core: &Core,
    config: &Config,
    session: &mut Session,
    command: &'static Command,
    args: Args<'_>,
    out: &mut Vec<u8>,
) -> Ended {
    if command.spec.flags.contains(Flags::EXEC) && session.in_transaction() {
        return run_transaction(core, config, session, command, out);
    }
    let keyspace = &core.server.keyspace;
    let mut hashed = Vec::new();
    let handler = command.spec.handler;
    let mut set = match handler {
        Handler::Session(_) | Handler::Container => None,
        _ if needs_everything(command, args) => match keyspace.gate().close(&mut session.gate_turn) {
            Some(closed) => {
                keys::hash_into(keyspace, command.spec, args, &mut hashed);
                Some(LockSet::whole(keyspace, closed))
            }
            None => return Ended::GateClosed,
        },
        Handler::Whole(_) => unreachable!("it needs everything"),
        Handler::Read(_) | Handler::Write(_) | Handler::Walk(_) => {
            let Some(entered) = keyspace.gate().enter(core.index) else { return Ended::GateClosed };
            if let Handler::Walk(_) = handler {
                Some(LockSet::walking(keyspace, entered))
            } else {
                keys::hash_into(keyspace, command.spec, args, &mut hashed);
                let mut shards: ShardList = hashed.iter().map(|&(_, hash)| keyspace.shard_of(hash) as u16).collect();
                if command.spec.flags.contains(Flags::RELEASES_WATCH) {
                    shards.extend(watched_shards(core, session));
                }
                let written = |visit: &mut wake::Visitor<'_>| wake::visit_written(command, args, &hashed, visit);
                let Some(set) = wake::lock(core, entered, &mut session.gate_turn, shards, written) else {
                    return Ended::GateClosed;
                };
                Some(set)
            }
        }
    };
    // A pause begins with the gate closed: one that began since the request was checked is seen here.
    if set.is_some() && session.walk.is_none() && core.server.pause.holds(command.spec.flags, session) {
        return Ended::GateClosed;
    }
    let now_ms = clock::now_ms();
    prepare(core, config, set.as_mut(), now_ms);
    let start = clock::ticks();
    let call = Call { command, args, hashed: &hashed, now_ms, nested: false, shares_batch: false };
    let ended = run(core, session, set.as_mut(), call, out);
    core.counters.ran(command, 1, clock::ticks() - start);
    session.client.ran(command, 1, now_ms);
    ended
}

/// Whether a request needs the whole keyspace to itself.
fn needs_everything(command: &Command, args: Args<'_>) -> bool {
    matches!(command.spec.handler, Handler::Whole(_)) || command.spec.needs_everything(args)
}

/// Gives a lock set the clock of what will run under it.
#[inline]
pub fn prepare(core: &Core, config: &Config, set: Option<&mut LockSet<'_>>, now_ms: i64) {
    if let Some(set) = set {
        set.set_clock(now_ms, core.access_clock(config, now_ms));
        set.set_removes_expired(!core.server.pause.stops_expiry());
    }
}

/// Runs one command under locks that are held, and makes known what it did.
#[inline]
pub fn run(
    core: &Core,
    session: &mut Session,
    set: Option<&mut LockSet<'_>>,
    call: Call<'_>,
    out: &mut Vec<u8>,
) -> Ended {
    let mark = out.len();
    let mut set = set;
    let result = dispatch(core, session, set.as_deref_mut(), call, out);
    if let Ok(Outcome::Alone) = result {
        return Ended::Alone;
    }
    core.counters.commands_processed.add(1);
    if !call.nested
        && let Some(set) = set.as_deref_mut()
    {
        wake::serve(core, set, call.now_ms);
    }
    match result {
        Ok(Outcome::Done) => Ended::Done,
        Ok(Outcome::Close) => Ended::Close,
        Ok(Outcome::Continue) => Ended::Continue,
        Ok(Outcome::Alone) => unreachable!("it was looked at above"),
        Ok(Outcome::Block(block)) => {
            if call.nested {
                // Inside EXEC nothing waits: it ends as if its time were over.
                (block.on_timeout)(&mut ReplyWriter::new(out, session.protocol));
                return Ended::Done;
            }
            wake::park(core, session, set.as_deref(), block, call);
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
    set: Option<&'a mut LockSet<'_>>,
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
                spec: call.command.spec,
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
    const LOCKED: &str = "a handler of keys runs under a lock set";
    match call.command.spec.handler {
        Handler::Read(handler) => {
            let set: &'a LockSet<'_> = set.expect(LOCKED);
            call!(handler, set.reader())
        }
        Handler::Write(handler) => call!(handler, set.expect(LOCKED).writer()),
        Handler::Session(handler) => call!(handler, NoKeys),
        Handler::Walk(handler) => {
            let set: &'a LockSet<'_> = set.expect(LOCKED);
            call!(handler, set.walker())
        }
        Handler::Whole(handler) => call!(handler, set.expect(LOCKED).whole_keyspace()),
        Handler::Container => Err(CommandError::wrong_arity(&call.command.full_name)),
    }
}

fn watched_shards<'s>(core: &'s Core, session: &'s Session) -> impl Iterator<Item = u16> + 's {
    let keyspace = &core.server.keyspace;
    let keys = session.watch.iter().flat_map(|watch| &watch.keys);
    keys.map(|(_, key)| keyspace.shard_of(keyspace.hash(key).hash) as u16)
}

/// EXEC: runs what was queued as one, under the locks of all its keys and of the watched ones, or under the gate where one of the
/// commands asks for more than keys.
fn run_transaction(
    core: &Core,
    config: &Config,
    session: &mut Session,
    exec: &'static Command,
    out: &mut Vec<u8>,
) -> Ended {
    let start = clock::ticks();
    let server = &core.server;
    let keyspace = &server.keyspace;
    let Some(transaction) = &session.transaction else { return Ended::Done };

    let mut hashed = Vec::new();
    let mut spans = Vec::with_capacity(transaction.queued.len());
    for queued in &transaction.queued {
        let first = hashed.len();
        keys::hash_into(keyspace, commands::table().of(queued.command).spec, queued.args(), &mut hashed);
        spans.push(first..hashed.len());
    }
    let wants_all = |queued: &Queued| {
        let command = commands::table().of(queued.command);
        needs_everything(command, queued.args()) || matches!(command.spec.handler, Handler::Walk(_))
    };
    let mut set = if transaction.queued.iter().any(wants_all) {
        let Some(closed) = keyspace.gate().close(&mut session.gate_turn) else { return Ended::GateClosed };
        LockSet::whole(keyspace, closed)
    } else {
        let Some(entered) = keyspace.gate().enter(core.index) else { return Ended::GateClosed };
        let mut shards: ShardList = hashed.iter().map(|&(_, hash)| keyspace.shard_of(hash) as u16).collect();
        shards.extend(watched_shards(core, session));
        let written = |visit: &mut wake::Visitor<'_>| {
            for (queued, span) in transaction.queued.iter().zip(&spans) {
                wake::visit_written(commands::table().of(queued.command), queued.args(), &hashed[span.clone()], visit);
            }
        };
        let Some(set) = wake::lock(core, entered, &mut session.gate_turn, shards, written) else {
            return Ended::GateClosed;
        };
        set
    };
    if server.pause.holds(exec.spec.flags, session) {
        return Ended::GateClosed;
    }
    let now_ms = clock::now_ms();
    prepare(core, config, Some(&mut set), now_ms);

    // A watched key whose time has come has changed, though nobody has looked at it since.
    for (database, key) in session.watch.iter().flat_map(|watch| &watch.keys) {
        set.reader().peek(*database, keyspace.hash(key));
    }
    effects::publish_expired(core, &set);
    let watch_failed = session.watch.as_ref().is_some_and(|watch| watch.is_changed());
    session.release_watch(&set.reader(), keyspace);
    let transaction = session.end_transaction().expect("it was there above");

    let mut ended = Ended::Done;
    if transaction.failed {
        let error = CommandError::text("EXECABORT Transaction discarded because of previous errors.");
        core.counters.of(exec).failed.add(1);
        write_error(core, session, &error, out);
    } else if watch_failed {
        ReplyWriter::new(out, session.protocol).null_array();
    } else {
        ReplyWriter::new(out, session.protocol).array(transaction.queued.len());
        for (queued, span) in transaction.queued.iter().zip(spans) {
            let start = clock::ticks();
            let hashed = &hashed[span];
            let call = Call {
                command: commands::table().of(queued.command),
                args: queued.args(),
                hashed,
                now_ms,
                nested: true,
                shares_batch: false,
            };
            let mark = out.len();
            match run(core, session, Some(&mut set), call, out) {
                // Nothing is sent after the reply of the command that closes the connection.
                _ if matches!(ended, Ended::Close) => out.truncate(mark),
                Ended::Close => ended = Ended::Close,
                _ => {}
            }
            core.counters.ran(queued.command, 1, clock::ticks() - start);
        }
    }
    wake::serve(core, &mut set, now_ms);
    core.counters.commands_processed.add(1);
    core.counters.ran(exec, 1, clock::ticks() - start);
    session.client.ran(exec, 1, now_ms);
    ended
}

/// How long a walk may run before it lets others run.
pub const SLICE: Duration = Duration::from_micros(500);
