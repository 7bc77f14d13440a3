//! Requests that share no batch. Each is checked, is given the locks that its row requires, and runs alone.

use std::{ops::Range, time::Duration};

use ochre_keyspace::{ShardList, Visit};
use ochre_resp::{Args, ReplyBuffer, ReplyWriter};

use super::{
    account::{self, Cost, Limits},
    batch::{answer_error, apply_reply_mode},
    check::{self, Verdict},
    effects,
    execute::{self, Access, Call, Ended},
    keys,
    locks::{self, Demand, Unavailable},
    serving,
    turn::{Next, Turn},
    widening::{self, Visitor},
};
use crate::{
    clock,
    commands::{self, Command, CommandError, Flags, Handler, context::Suspended},
    config::Config,
    core::Core,
    locked::Locked,
    session::{LockAttempt, ReplyMode, Session, description, transaction::Queued},
};

/// How long the single requests of one connection, or a slice of a walk, may take before other connections have their turns.
pub const SLICE: Duration = Duration::from_micros(500);

impl Turn<'_> {
    /// Checks and runs a request. `spans` are its arguments among the spans of the workspace. Returns what the connection does next, or
    /// `None` if it goes on with the next request.
    pub(super) fn run_single(&mut self, command: &'static Command, input: &[u8], spans: Range<usize>) -> Option<Next> {
        let Turn { core, config, session, out, work, .. } = self;
        let args = Args::new(input, &work.spans[spans]);
        // A walk that goes on was checked when it began.
        if session.walk.is_none() {
            match check::check(core, config, session, command, args) {
                Verdict::Run => {}
                Verdict::Queued => {
                    session.attempt = None;
                    apply_reply_mode(session, out, |session, out| {
                        ReplyWriter::new(out, session.protocol).simple("QUEUED");
                    });
                    return None;
                }
                Verdict::Refused(error) => {
                    session.attempt = None;
                    core.counters.of(command).rejected.add(1);
                    answer_error(core, session, out, &error);
                    return None;
                }
                Verdict::Held(unavailable) => return Some(Next::Unavailable(unavailable)),
            }
        }
        let reply_mode = session.reply_mode;
        let run =
            |session: &mut Session, out: &mut ReplyBuffer| lock_and_run(core, config, session, command, args, out);
        let ended = if matches!(command.spec.handler, Handler::Container) {
            execute::write_error(core, session, &CommandError::wrong_arity(&command.full_name), out);
            Ok(Ended::Done)
        } else if command.spec.flags.contains(Flags::PUSHES) {
            // It replies with pushed messages, which CLIENT REPLY does not suppress. A SKIP is used up all the same.
            let reply_mode = &mut session.reply_mode;
            if matches!(reply_mode, ReplyMode::SkipNext | ReplyMode::Skip) {
                *reply_mode = ReplyMode::On;
            }
            run(session, out)
        } else {
            apply_reply_mode(session, out, run)
        };
        // Messages that the client sent to itself follow the reply.
        session.take_mail(out);
        match ended {
            // The request will be run again as if for the first time.
            Err(_) | Ok(Ended::Suspended(_)) => session.reply_mode = reply_mode,
            // The reply that the blocked client will get is skipped too.
            Ok(Ended::Blocked) if reply_mode == ReplyMode::SkipNext => session.reply_mode = ReplyMode::Skip,
            Ok(_) => {}
        }
        match ended {
            Ok(Ended::Done) => None,
            Ok(Ended::Close) => Some(Next::Close),
            Ok(Ended::Blocked) => Some(Next::Blocked),
            Ok(Ended::Suspended(Suspended::Slice)) => Some(Next::Yield),
            Ok(Ended::Suspended(Suspended::Busy(busy))) => Some(Next::Unavailable(Unavailable::Shard(busy.shard))),
            Ok(Ended::Alone) => unreachable!("the request runs alone already"),
            Err(unavailable) => Some(Next::Unavailable(unavailable)),
        }
    }
}

/// Takes the locks that the row of a request requires, and runs it.
///
/// # Errors
/// What to wait for, if the locks are not available now. Nothing was run then.
fn lock_and_run(
    core: &Core,
    config: &Config,
    session: &mut Session,
    command: &'static Command,
    args: Args<'_>,
    out: &mut ReplyBuffer,
) -> Result<Ended, Unavailable> {
    let keyspace = &core.server.keyspace;
    let mut attempt = session.attempt.take();
    // A pause does not hold a walk that has begun.
    let goes_on = session.walk.is_some();
    let is_paused =
        |session: &Session| !goes_on && core.server.pause.holds(session.flags_of_request(command.spec.flags));
    let is_stale = |session: &Session| !goes_on && !core.server.users.is_current(&session.identity);
    // A walk that has met locked shards again and again runs its next slice with the keyspace to itself.
    let walk_failures = attempt.as_ref().map_or(0, |attempt| attempt.failures);
    match command.spec.handler {
        Handler::Session(_) | Handler::Container => {
            let call = Call { command, args, hashed: &[], now_ms: clock::now_ms(), nested: false, shares_batch: false };
            Ok(run(core, session, Access::None, call, out))
        }
        Handler::Walk(_) if walk_failures < locks::FAILURES_MAX => {
            if let Err(unavailable) = remove_met(core, config, session, &mut attempt) {
                session.attempt = attempt;
                return Err(unavailable);
            }
            let walk = match locks::begin_walk(core, &mut attempt, || is_paused(session), || is_stale(session)) {
                Ok(walk) => walk,
                Err(unavailable) => {
                    session.attempt = attempt;
                    return Err(unavailable);
                }
            };
            let call = Call { command, args, hashed: &[], now_ms: walk.now_ms(), nested: false, shares_batch: false };
            let ended = run(core, session, Access::Walk(&walk), call, out);
            if let Ended::Suspended(suspended) = ended {
                // The failures of all slices count together.
                let failures = walk_failures + u8::from(suspended != Suspended::Slice);
                session.attempt = Some(Box::new(LockAttempt { failures, ..LockAttempt::default() }));
            }
            session.depends_on(core.server.journal.last_position());
            Ok(ended)
        }
        handler => {
            let mut hashed = Vec::new();
            keys::hash_into(keyspace, command.spec, args, &mut hashed);
            let queued: &[Queued] = match handler {
                Handler::Compound(compound) => (compound.queued)(session),
                _ => &[],
            };
            let shard_of = |&(_, hash): &(u32, u64)| keyspace.shard_of(hash) as u16;
            let mut shards: ShardList = hashed.iter().map(shard_of).collect();
            shards.extend(queued.iter().flat_map(|queued| &queued.hashed).map(shard_of));
            if command.spec.flags.contains(Flags::RELEASES_WATCH) {
                let watched = session.watch.iter().flat_map(|watch| &watch.keys);
                shards.extend(watched.map(|(_, key)| keyspace.shard_of(keyspace.hash(key).hash) as u16));
            }
            let visit_written = |visit: &mut Visitor<'_>| {
                widening::visit_written(command, args, &hashed, visit);
                for queued in queued {
                    let command = commands::table().of(queued.command);
                    widening::visit_written(command, queued.args(), &queued.hashed, visit);
                }
            };
            let demand = Demand {
                database: session.database,
                shards,
                everything: matches!(handler, Handler::Walk(_))
                    || command.spec.needs_everything(args)
                    || queued.iter().any(needs_everything),
                visit: Visit::Lasting,
                visit_written: &visit_written,
                is_paused: &|| is_paused(session),
                is_stale: &|| is_stale(session),
                may_write: &|| {
                    session.flags_of_request(command.spec.flags).intersects(Flags::WRITE.union(Flags::MAY_REPLICATE))
                },
            };
            let mut locked = match locks::lock(core, config, &mut attempt, demand) {
                Ok(locked) => locked,
                Err(unavailable) => {
                    session.attempt = attempt;
                    return Err(unavailable);
                }
            };
            remove_met_in(core, session, &mut locked);
            let now_ms = locked.now_ms();
            let call = Call { command, args, hashed: &hashed, now_ms, nested: false, shares_batch: false };
            let ended = run(core, session, Access::Keys(&mut locked), call, out);
            session.depends_on(locked.position());
            Ok(ended)
        }
    }
}

/// Removes the expired keys that the last slice of a walk has met, under the locks of one shard after the other. The walk itself may not
/// write. It is answered after the removal, so its client and whoever knows of the reply see the keys no more.
///
/// # Errors
/// What to wait for, if a shard is locked. The keys of other shards may have been removed.
fn remove_met(
    core: &Core,
    config: &Config,
    session: &mut Session,
    attempt: &mut Option<Box<LockAttempt>>,
) -> Result<(), Unavailable> {
    let keyspace = &core.server.keyspace;
    while let Some(key) = session.walk.as_ref().and_then(|walk| walk.expired.last()) {
        let demand = Demand {
            database: session.database,
            shards: ShardList::from_slice(&[keyspace.shard_of(keyspace.hash(key).hash) as u16]),
            everything: false,
            visit: Visit::Brief,
            visit_written: &|_| {},
            is_paused: &|| false,
            is_stale: &|| false,
            may_write: &|| true,
        };
        let mut locked = locks::lock(core, config, attempt, demand)?;
        remove_met_in(core, session, &mut locked);
    }
    Ok(())
}

/// Removes the expired keys that the last slice of a walk has met, as far as their shards are locked.
fn remove_met_in(core: &Core, session: &mut Session, locked: &mut Locked<'_>) {
    let Some(walk) = &mut session.walk else { return };
    let keyspace = &core.server.keyspace;
    let is_locked = |key: &mut Box<[u8]>| locked.holds(keyspace.shard_of(keyspace.hash(key).hash));
    while let Some(key) = walk.expired.pop_if(is_locked) {
        // A lookup removes what has expired. By now the key may hold something else.
        locked.reader().peek(session.database, keyspace.hash(&key));
    }
    effects::publish_expired_alone(core, locked);
    serving::serve(core, locked);
}

/// Runs a request with its locks, and counts it.
fn run(core: &Core, session: &mut Session, access: Access<'_, '_>, call: Call<'_>, out: &mut ReplyBuffer) -> Ended {
    let start = clock::ticks();
    let mark = out.len();
    let ended = execute::run(core, session, access, call, out);
    // A suspended walk is counted when it has ended, and its slices are one call.
    let count = u64::from(!matches!(ended, Ended::Suspended(_)));
    let slice = clock::ticks() - start;
    session.slices_ticks += slice;
    core.counters.ran(call.command, count, slice, false);
    if count > 0 {
        let ticks = std::mem::take(&mut session.slices_ticks);
        // CONFIG SET is accounted by the settings that it has made.
        let config = core.config();
        if config.latency_tracking {
            core.counters.of(call.command).took(1, clock::ticks_to_ns(ticks));
        }
        let (request_bytes, reply_bytes) = (description::request_len(call.args), out.len().saturating_sub(mark));
        let cost = Cost { ticks, request_bytes, reply_bytes };
        // What a blocked command waits for is not its own time, except for a command that does nothing but wait.
        if (!matches!(ended, Ended::Blocked) || ticks > slice) && Limits::of(&config).are_reached(cost) {
            account::note(core, &config, session, call.command, call.args, cost);
        }
    }
    session.client.ran(call.command, count, call.now_ms);
    ended
}

/// Returns whether a queued command needs the whole keyspace to itself. A walk inside of another command does, since it must see one state
/// of the data.
pub(super) fn needs_everything(queued: &Queued) -> bool {
    let spec = commands::table().of(queued.command).spec;
    matches!(spec.handler, Handler::Walk(_)) || spec.needs_everything(queued.args())
}
