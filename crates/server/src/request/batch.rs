//! The loop over steps 2 to 10: serves the requests at the front of a read buffer, batch by batch.
//!
//! A batch is a sequence of requests that take bounded time and lock only their keys. All of them are parsed, their shards are locked
//! together, the memory of all their keys is prefetched, and then they run in order. So the cache misses of a batch overlap, instead of
//! each command waiting for its own. Any other request runs alone (`single.rs`).

use std::{ops::Range, time::Duration};

use ochre_keyspace::{HashedKey, LockSet, ShardList, Visit};
use ochre_resp::{Args, ReplyBuffer, RequestParser};

use super::{
    account::{self, Cost, Limits},
    cut::{SHARDS_AHEAD, Stop},
    execute::{self, Access, Call, Ended},
    locks::{self, Demand, Unavailable},
    single,
    turn::{Item, Next, Turn, Workspace},
    widening::{self, Visitor},
};
use crate::{
    clock,
    commands::{Command, CommandError, Flags},
    core::Core,
    session::{ReplyMode, Session},
};

/// The distance, in keys, between prefetching an entry and using it. It is long enough for the entry to arrive in the cache, and short
/// enough for it to be still there.
const ENTRIES_AHEAD: usize = 16;
/// The number of bytes of replies after which they are sent, and the other connections of the core have their turns.
const YIELD_BYTES: usize = 64 * 1024;
/// The number of bytes of replies after which a batch is broken off. Its requests may read values of any size.
const BATCH_REPLY_BYTES_MAX: usize = 4 * YIELD_BYTES;

/// The requests of a run share one measurement of time, unless what is slow is shorter than this.
const SHARED_TIME_MAX: Duration = Duration::from_millis(1);

/// How far a batch was run.
enum BatchRun {
    /// All its requests were run.
    All,
    /// The batch was broken off since its replies are long. The requests before this position in the input were run.
    UpTo(usize),
    /// A request takes too long to share a batch. The requests before it were run, and it is to be run alone.
    Single {
        command: &'static Command,
        /// Where it begins in the input; `None` if it is the first request of the batch.
        start: Option<usize>,
        /// Where it ends in the input.
        end: usize,
        /// Its arguments among the spans.
        spans: Range<usize>,
    },
    /// The locks are not available, and nothing was run.
    Unavailable(Unavailable),
}

impl Turn<'_> {
    /// Serves the requests at the front of `input`. Returns the number of bytes that were served, and what the connection does next. The
    /// rest of the input is to be passed again.
    pub fn serve(&mut self, input: &mut [u8]) -> (usize, Next) {
        let mut done = 0;
        // When the first request that runs alone began.
        let mut began = None;
        loop {
            // Nothing more is run for a client whose reply was too long, or that has got too many of its own messages.
            if self.out.reaches(YIELD_BYTES) || self.session.client.is_killed() {
                *self.parser = RequestParser::default();
                return (done, Next::Yield);
            }
            let cut = self.cut_batch(input, done);
            if !self.work.items.is_empty() {
                match self.run_batch(input, done) {
                    BatchRun::All => done = cut.batch_end,
                    BatchRun::UpTo(end) => {
                        self.work.put_back(self.parser, input);
                        return (end, Next::Yield);
                    }
                    BatchRun::Single { command, start, end, spans } => {
                        let next = self.run_single(command, input, spans);
                        self.work.put_back(self.parser, input);
                        if let Some(attempt) = &mut self.session.attempt {
                            attempt.has_left_batch = true;
                        }
                        return match next {
                            Some(next @ Next::Unavailable(_)) => (start.unwrap_or(done), next),
                            next => (end, next.unwrap_or(Next::Yield)),
                        };
                    }
                    BatchRun::Unavailable(unavailable) => {
                        self.work.put_back(self.parser, input);
                        return (done, Next::Unavailable(unavailable));
                    }
                }
            }
            match cut.stop {
                Stop::Full => {}
                Stop::Single { command, end } => {
                    let spans = cut.spans..self.work.spans.len();
                    let began = *began.get_or_insert_with(clock::ticks);
                    match self.run_single(command, input, spans) {
                        // A walk that is suspended is entered again with the same request.
                        Some(next) if matches!(next, Next::Unavailable(_)) || self.session.walk.is_some() => {
                            self.work.put_back(self.parser, input);
                            return (done, next);
                        }
                        Some(next) => return (end, next),
                        None => done = end,
                    }
                    if clock::ticks().saturating_sub(began) > clock::ticks_of(single::SLICE) {
                        *self.parser = RequestParser::default();
                        return (done, Next::Yield);
                    }
                }
                Stop::Incomplete { wanted } => return (cut.batch_end, Next::Read { wanted }),
                Stop::BadLine { end, error } => {
                    self.answer_error(&CommandError::text(error));
                    done = end;
                }
                Stop::ProtocolError(error) => {
                    let text = String::from_utf8_lossy(&error.reply()).into_owned();
                    tracing::debug!("Protocol error from client: {text} id={}", self.session.client.id);
                    self.answer_error(&CommandError::composed(text));
                    return (input.len(), Next::Close);
                }
                Stop::CrossProtocol => {
                    tracing::warn!(
                        "Possible SECURITY ATTACK detected. It looks like somebody is sending POST or Host: commands to Ochre. \
                         This is likely due to an attacker attempting to use Cross Protocol Scripting to compromise your Ochre \
                         instance. Connection from {} aborted.",
                        self.session.client.address
                    );
                    self.out.truncate(0);
                    return (input.len(), Next::Close);
                }
            }
        }
    }

    /// Runs the requests of a batch, the first of which begins at `begin` in the input.
    fn run_batch(&mut self, input: &[u8], begin: usize) -> BatchRun {
        let Turn { core, config, session, out, work, .. } = self;
        let keyspace = &core.server.keyspace;
        let mut locked = None;
        if !work.hashed.is_empty() {
            let shards: ShardList = work.hashed.iter().map(|&(_, hash)| keyspace.shard_of(hash) as u16).collect();
            work.hashed.iter().rev().take(SHARDS_AHEAD).for_each(|&(_, hash)| keyspace.prefetch_slot(hash));
            let visit_written = |visit: &mut Visitor<'_>| {
                work.visit(input, |command, args, hashed| widening::visit_written(command, args, hashed, visit));
            };
            let mut attempt = session.attempt.take();
            let is_held = |item: &Item| item.command.is_some_and(|it| core.server.pause.holds(it.spec.flags));
            let demand = Demand {
                database: session.database,
                shards,
                everything: false,
                visit: Visit::Brief,
                visit_written: &visit_written,
                is_paused: &|| core.server.pause.is_on() && work.items.iter().any(is_held),
                is_stale: &|| !core.server.users.is_current(&session.identity),
                may_write: &|| {
                    work.items.iter().any(|item| item.command.is_some_and(|it| it.spec.flags.contains(Flags::WRITE)))
                },
            };
            match locks::lock(core, config, &mut attempt, demand) {
                Ok(set) => locked = Some(set),
                Err(unavailable) => {
                    session.attempt = attempt;
                    return BatchRun::Unavailable(unavailable);
                }
            }
        }
        let mut entries_asked = 0;
        if let Some(locked) = &mut locked
            && work.items.iter().filter(|item| item.element() > 0).nth(1).is_some()
        {
            prefetch_elements(locked, session.database, input, work);
            entries_asked = work.hashed.len();
        }
        let mut now_ms = locked.as_ref().map_or_else(clock::now_ms, |locked| locked.now_ms());

        let limits = Limits::of(config);
        let mut time = RunTime { ticks: clock::ticks(), of: None, tracks: config.latency_tracking };
        // With a low limit each request has a time of its own.
        let are_all_timed = limits.ticks < clock::ticks_of(SHARED_TIME_MAX);
        let (mut first_span, mut first_key) = (0, 0);
        let (mut last, mut count) = (None, 0);
        let mut start = None;
        let mut ran = BatchRun::All;
        for item in work.items.iter_mut() {
            let (spans_end, hashed_end) = (item.spans_end as usize, item.hashed_end as usize);
            match (item.command, item.refusal.take()) {
                (Some(command), None) => {
                    if let Some(locked) = &locked {
                        let ahead = (hashed_end + ENTRIES_AHEAD).min(work.hashed.len());
                        for (_, hash) in work.hashed.get_mut(entries_asked..ahead).unwrap_or_default() {
                            *hash = locked.prefetch_entry(session.database, *hash);
                        }
                        entries_asked = entries_asked.max(ahead);
                        // The clock is read anew when waiters are served.
                        now_ms = locked.now_ms();
                    }
                    let args = Args::new(input, &work.spans[first_span..spans_end]);
                    let hashed = &work.hashed[first_key..hashed_end];
                    let call = Call { command, args, hashed, now_ms, nested: false, shares_batch: true };
                    let spans = first_span..spans_end;
                    if let Some(run) = time.begins(core, command, spans)
                        && run.calls > 0
                        && run.ticks >= limits.ticks
                    {
                        let args = Args::new(input, &work.spans[run.spans.clone()]);
                        account::note(core, config, session, run.command, args, run.cost());
                    }
                    let mark = out.len();
                    let access = locked.as_mut().map_or(Access::None, Access::Keys);
                    if let Ended::Alone = execute::run(core, session, access, call, out) {
                        time.take_back();
                        ran = BatchRun::Single { command, start, end: item.end, spans: first_span..spans_end };
                        break;
                    }
                    last = Some(command);
                    count += 1;
                    let request_bytes = item.end - start.unwrap_or(begin);
                    let reply_bytes = out.len().saturating_sub(mark);
                    if are_all_timed || request_bytes.max(reply_bytes) as u64 >= limits.bytes {
                        let ticks = time.end(core).map_or(0, |run| run.ticks);
                        let cost = Cost { ticks, request_bytes, reply_bytes };
                        if limits.are_reached(cost) {
                            account::note(core, config, session, command, args, cost);
                        }
                    }
                }
                (command, refusal) => {
                    command.inspect(|command| core.counters.of(command).rejected.add(1));
                    let error = refusal.expect("a request without a command was refused");
                    answer_error(core, session, out, &error);
                }
            }
            (first_span, first_key) = (spans_end, hashed_end);
            start = Some(item.end);
            if out.reaches(BATCH_REPLY_BYTES_MAX) {
                ran = BatchRun::UpTo(item.end);
                break;
            }
        }
        if let Some(run) = time.end(core)
            && run.calls > 0
            && run.ticks >= limits.ticks
        {
            let args = Args::new(input, &work.spans[run.spans.clone()]);
            account::note(core, config, session, run.command, args, run.cost());
        }
        if let Some(locked) = &locked {
            session.depends_on(locked.position());
        }
        drop(locked);
        if let Some(command) = last {
            session.client.ran(command, count, now_ms);
        }
        ran
    }

    fn answer_error(&mut self, error: &CommandError) {
        answer_error(self.core, self.session, self.out, error);
    }
}

/// Answers a request with an error, unless CLIENT REPLY suppresses the reply.
pub(super) fn answer_error(core: &Core, session: &mut Session, out: &mut ReplyBuffer, error: &CommandError) {
    apply_reply_mode(session, out, |session, out| execute::write_error(core, session, error, out));
}

/// Prefetches the elements that the requests of a batch name. To find them, the entries of all keys are prefetched first.
fn prefetch_elements(set: &mut LockSet<'_>, database: usize, input: &[u8], work: &mut Workspace) {
    for (_, hash) in work.hashed.iter_mut() {
        *hash = set.prefetch_entry(database, *hash);
    }
    let (mut span, mut key) = (0, 0);
    let elements = work.items.iter().filter_map(|item| {
        let args = Args::new(input, &work.spans[span..item.spans_end as usize]);
        let hashed = work.hashed[key..item.hashed_end as usize].first();
        (span, key) = (item.spans_end as usize, item.hashed_end as usize);
        let (&(at, hash), element) = (hashed?, item.element());
        let element = args.try_get(element).filter(|_| element > 0)?;
        Some((HashedKey { bytes: args.get(at as usize), hash }, element))
    });
    set.prefetch_elements(database, elements);
}

/// The time that the commands of a batch take. The processor's time stamp is read when another command begins, not after each request.
struct RunTime {
    /// The time stamp that was read last.
    ticks: u64,
    /// What has run since `ticks`.
    of: Option<Run>,
    /// Whether the times go into histograms (`latency-tracking`).
    tracks: bool,
}

/// Calls of one command, one after the other.
struct Run {
    command: &'static Command,
    calls: u64,
    /// The arguments of the last call, among the spans.
    spans: Range<usize>,
    /// The ticks that the calls took together, when they have ended.
    ticks: u64,
}

impl RunTime {
    /// Notes that a call begins. Returns the calls of another command that ended with it.
    #[inline]
    fn begins(&mut self, core: &Core, command: &'static Command, spans: Range<usize>) -> Option<Run> {
        match &mut self.of {
            Some(run) if std::ptr::eq(run.command, command) => {
                run.calls += 1;
                run.spans = spans;
                None
            }
            _ => {
                let ended = self.end(core);
                self.of = Some(Run { command, calls: 1, spans, ticks: 0 });
                ended
            }
        }
    }

    /// Does not count the call that began last: the command is run again outside of the batch.
    fn take_back(&mut self) {
        if let Some(run) = &mut self.of {
            run.calls -= 1;
        }
    }

    /// Counts what has run since `ticks`.
    #[inline]
    fn end(&mut self, core: &Core) -> Option<Run> {
        let mut run = self.of.take()?;
        let now = clock::ticks();
        run.ticks = now - self.ticks;
        core.counters.ran(run.command, run.calls, run.ticks, self.tracks);
        self.ticks = now;
        Some(run)
    }
}

impl Run {
    /// The cost by which its last call is noted, on behalf of all. Requests that share a time are short and take bounded time, so it is not one
    /// of them that took so long: the thread was interrupted.
    fn cost(&self) -> Cost {
        Cost { ticks: self.ticks, request_bytes: 0, reply_bytes: 0 }
    }
}

/// Runs `answer`, and drops the reply that it wrote if CLIENT REPLY suppresses it.
pub(super) fn apply_reply_mode<R>(
    session: &mut Session,
    out: &mut ReplyBuffer,
    answer: impl FnOnce(&mut Session, &mut ReplyBuffer) -> R,
) -> R {
    if session.reply_mode == ReplyMode::SkipNext {
        session.reply_mode = ReplyMode::Skip;
    }
    if session.reply_mode == ReplyMode::On {
        let mark = out.len();
        let result = answer(session, out);
        if session.reply_mode != ReplyMode::On {
            out.truncate(mark);
        }
        return result;
    }
    // A reply that is not sent must not count toward the output limit. It is sent only if the command turns replies on.
    let skips_once = session.reply_mode == ReplyMode::Skip;
    let mut reply = out.part();
    let result = answer(session, &mut reply);
    match session.reply_mode {
        ReplyMode::On => out.append(reply),
        ReplyMode::Skip if skips_once => session.reply_mode = ReplyMode::On,
        ReplyMode::Off | ReplyMode::SkipNext | ReplyMode::Skip => {}
    }
    result
}
