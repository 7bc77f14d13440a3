//! Step 2, and the loop over steps 3 to 7: cuts the read buffer into requests and runs them.
//!
//! A batch is a run of requests that take bounded time and lock only their keys: all are parsed, their shards locked at once, the memory
//! of all their keys asked for, and then they run in order; so a cache miss is waited for once a batch and not once a command. Any other
//! request runs alone.

use std::ops::Range;

use ochre_keyspace::{HashedKey, LockSet, ShardList};
use ochre_resp::{Args, Cut, Kind, Limits, Protocol, ProtocolError, ReplyWriter, RequestParser, Span};

use super::{
    check::{self, Verdict},
    execute::{self, Call, Ended},
    keys,
    lookup::{Lookup, lookup},
    wake,
};
use crate::{
    clock,
    commands::{Command, CommandError, Flags, Handler},
    config::Config,
    core::Core,
    session::{ReplyMode, Session},
};

/// The most requests of one batch.
const BATCH_MAX: usize = 32;
/// A request with more arguments runs alone.
const BATCH_ARGS_MAX: usize = 64;
/// How many keys lie between asking the processor for a key's shard and for its slots, and how many keys' entries are asked for before they
/// are needed: enough for one to arrive meanwhile, few enough that the processor has not forgotten it.
const SHARDS_AHEAD: usize = 4;
const ENTRIES_AHEAD: usize = 16;
/// After so many bytes of replies a connection lets the others of its core run.
const YIELD_BYTES: usize = 64 * 1024;
/// After so many bytes of replies a batch is broken off: 32 requests can be for 32 values of any size.
const BATCH_REPLY_BYTES_MAX: usize = 4 * YIELD_BYTES;
/// Spans beyond so many are given back after the request that needed them.
const SPANS_KEPT_MAX: usize = 64 * 1024;

/// In the plain protocol only: the seed's second word for ending a conversation.
const PLAIN_ALIASES: &[(&str, &str)] = &[("stop", "quit")];

/// What a core reads into, cuts in and answers in.
#[derive(Default)]
pub struct Scratch {
    pub input: Vec<u8>,
    pub output: Vec<u8>,
    spans: Vec<Span>,
    hashed: Vec<(u32, u64)>,
    items: Vec<Item>,
    quoted: Vec<QuotedLine>,
}

/// An inline command with quotes as it came, and where in the input it lies: cutting unescapes it in place.
struct QuotedLine {
    start: usize,
    line: Vec<u8>,
}

/// A request of a batch.
struct Item {
    command: Option<&'static Command>,
    /// Its arguments among the spans, its keys among the hashes: each begins where the one before ends.
    spans_end: u32,
    hashed_end: u32,
    /// Where it ends in the input.
    end: usize,
    refusal: Option<CommandError>,
}

impl Item {
    /// Which argument is an element of its key's collection, 0 where none is.
    #[inline]
    fn element(&self) -> usize {
        self.command.map_or(0, |command| command.spec.element.into())
    }
}

/// The buffers of [`Scratch`] beside input and output.
pub struct Workspace<'s> {
    spans: &'s mut Vec<Span>,
    hashed: &'s mut Vec<(u32, u64)>,
    items: &'s mut Vec<Item>,
    quoted: &'s mut Vec<QuotedLine>,
}

impl Workspace<'_> {
    /// Keeps an inline command that is about to be cut, if it has quotes.
    #[inline]
    fn keep_quoted(&mut self, input: &[u8], start: usize) {
        if input.get(start).is_some_and(|&byte| byte != b'*') {
            self.keep_quoted_line(input, start);
        }
    }

    #[cold]
    fn keep_quoted_line(&mut self, input: &[u8], start: usize) {
        let Some(len) = memchr::memchr(b'\n', &input[start..]) else { return };
        let line = &input[start..start + len];
        if memchr::memchr2(b'"', b'\'', line).is_some() {
            self.quoted.push(QuotedLine { start, line: line.to_vec() });
        }
    }

    /// Makes requests that were cut but not run what they were, so that they can be cut again.
    fn put_back(&mut self, parser: &mut RequestParser, input: &mut [u8]) {
        *parser = RequestParser::default();
        for QuotedLine { start, line } in self.quoted.drain(..) {
            input[start..start + line.len()].copy_from_slice(&line);
        }
    }
}

impl Scratch {
    /// Input, output and the rest, apart.
    pub fn parts(&mut self) -> (&mut Vec<u8>, &mut Vec<u8>, Workspace<'_>) {
        let work = Workspace {
            spans: &mut self.spans,
            hashed: &mut self.hashed,
            items: &mut self.items,
            quoted: &mut self.quoted,
        };
        (&mut self.input, &mut self.output, work)
    }
}

/// Why serving stopped.
pub enum Next {
    /// All complete requests are answered. The next one is known to be at least so many bytes long.
    Read { wanted: usize },
    /// There is more, but others may want to run.
    Yield,
    /// The gate is closed: go on when it opens.
    Gate,
    /// CLIENT PAUSE: go on when it ends.
    Pause,
    /// The session waits for something.
    Blocked,
    /// The connection ends, after what is written is sent.
    Close,
}

/// Serves the requests at the front of `input`. Returns how many bytes are done with; what follows them is to be offered again.
pub fn serve(
    core: &Core,
    config: &Config,
    session: &mut Session,
    parser: &mut RequestParser,
    input: &mut [u8],
    out: &mut Vec<u8>,
    work: &mut Workspace<'_>,
) -> (usize, Next) {
    let mut done = 0;
    // When the first request began that ran alone.
    let mut began = None;
    loop {
        if out.len() >= YIELD_BYTES {
            *parser = RequestParser::default();
            return (done, Next::Yield);
        }
        let limits = limits(config, session);
        let cut = cut_batch(core, config, session, parser, input, done, &limits, work);
        if !work.items.is_empty() {
            match run_batch(core, config, session, input, out, work) {
                BatchRun::All => done = cut.batch_end,
                BatchRun::UpTo(end) => {
                    work.put_back(parser, input);
                    return (end, Next::Yield);
                }
                BatchRun::Alone { command, start, end, spans } => {
                    let args = Args::new(input, &work.spans[spans]);
                    let next = run_alone(core, config, session, command, args, out);
                    work.put_back(parser, input);
                    return match next {
                        Some(next @ (Next::Gate | Next::Pause)) => (start.unwrap_or(done), next),
                        next => (end, next.unwrap_or(Next::Yield)),
                    };
                }
                BatchRun::GateClosed => {
                    work.put_back(parser, input);
                    return (done, Next::Gate);
                }
            }
        }
        match cut.stop {
            Stop::Full => {}
            Stop::Alone { command, end } => {
                let args = Args::new(input, &work.spans[cut.spans..]);
                let began = *began.get_or_insert_with(clock::ticks);
                match run_alone(core, config, session, command, args, out) {
                    Some(next @ (Next::Gate | Next::Pause)) => {
                        work.put_back(parser, input);
                        return (done, next);
                    }
                    // A walk is entered again with the same request.
                    Some(next @ Next::Yield) if session.walk.is_some() => {
                        work.put_back(parser, input);
                        return (done, next);
                    }
                    Some(next) => return (end, next),
                    None => done = end,
                }
                if clock::ticks().saturating_sub(began) > clock::ticks_of(execute::SLICE) {
                    *parser = RequestParser::default();
                    return (done, Next::Yield);
                }
            }
            Stop::Incomplete { wanted } => return (cut.batch_end, Next::Read { wanted }),
            Stop::BadLine { end, error } => {
                apply_reply_mode(session, out, |session, out| {
                    execute::write_error(core, session, &CommandError::text(error), out);
                });
                done = end;
            }
            Stop::ProtocolError(error) => {
                let text = String::from_utf8_lossy(&error.reply()).into_owned();
                tracing::debug!("Protocol error from client: {text} id={}", session.client.id);
                apply_reply_mode(session, out, |session, out| {
                    execute::write_error(core, session, &CommandError::composed(text), out);
                });
                return (input.len(), Next::Close);
            }
            Stop::CrossProtocol => {
                tracing::warn!(
                    "Possible SECURITY ATTACK detected. It looks like somebody is sending POST or Host: commands to Ochre. \
                     This is likely due to an attacker attempting to use Cross Protocol Scripting to compromise your Ochre \
                     instance. Connection from {} aborted.",
                    session.client.address
                );
                out.clear();
                return (input.len(), Next::Close);
            }
        }
    }
}

/// What a client may send; less before it is authenticated.
fn limits(config: &Config, session: &Session) -> Limits {
    Limits {
        bulk_len_max: config.proto_max_bulk_len as usize,
        unauthenticated: !session.authenticated,
        plain: session.protocol == Protocol::Plain,
        ..Limits::default()
    }
}

/// Where cutting stopped.
struct CutBatch {
    /// Where the batch's last request ends.
    batch_end: usize,
    /// How many spans belong to the batch; those of a request to be run alone follow.
    spans: usize,
    stop: Stop,
}

enum Stop {
    Full,
    Alone { command: &'static Command, end: usize },
    Incomplete { wanted: usize },
    BadLine { end: usize, error: &'static str },
    ProtocolError(ProtocolError),
    CrossProtocol,
}

/// How far a batch was run.
enum BatchRun {
    All,
    /// Its replies are long: up to here in the input.
    UpTo(usize),
    /// Up to this request, which takes too long to share a batch. It begins where the one before ends, and its arguments are among the
    /// spans.
    Alone {
        command: &'static Command,
        start: Option<usize>,
        end: usize,
        spans: Range<usize>,
    },
    /// The gate is closed, and nothing was run.
    GateClosed,
}

/// Cuts requests off the input from `start` on, while they may share a batch.
#[allow(clippy::too_many_arguments)]
fn cut_batch(
    core: &Core,
    config: &Config,
    session: &mut Session,
    parser: &mut RequestParser,
    input: &mut [u8],
    start: usize,
    limits: &Limits,
    work: &mut Workspace<'_>,
) -> CutBatch {
    work.spans.clear();
    work.spans.shrink_to(SPANS_KEPT_MAX);
    work.hashed.clear();
    work.items.clear();
    work.quoted.clear();
    let keyspace = &core.server.keyspace;
    let aliases = if limits.plain { PLAIN_ALIASES } else { &[] };
    let is_plain = session.is_plain();
    let questionable = check::questionable_flags(core, config, session);
    // The command before and its name: pipelines repeat themselves.
    let mut before: Option<(Span, &'static Command)> = None;
    let mut at = start;
    let mut slots_asked = 0;
    loop {
        let first_span = work.spans.len();
        let stopped = |stop| CutBatch { batch_end: at, spans: first_span, stop };
        if work.items.len() == BATCH_MAX {
            return stopped(Stop::Full);
        }
        work.keep_quoted(input, at);
        let end = match parser.cut(input, at, limits, work.spans) {
            Ok(Cut::Request { consumed, kind }) => {
                // Who speaks RESP to a listener of plain lines is answered in RESP.
                if kind == Kind::Multibulk && session.protocol == Protocol::Plain {
                    session.speak(Protocol::Resp2);
                }
                at + consumed
            }
            Ok(Cut::Nothing { consumed }) => {
                at += consumed;
                continue;
            }
            Ok(Cut::Incomplete { wanted }) => return stopped(Stop::Incomplete { wanted }),
            Ok(Cut::BadLine { consumed, reason }) => {
                return stopped(Stop::BadLine { end: at + consumed, error: reason });
            }
            Err(error) => return stopped(Stop::ProtocolError(error)),
        };
        let args = Args::new(input, &work.spans[first_span..]);
        let found = match before {
            Some((name, command)) if Args::new(input, &[name]).get(0) == args.get(0) => Lookup::Command(command),
            _ => lookup(args, aliases),
        };
        let (command, refusal) = match found {
            Lookup::Command(command) => {
                let flags = command.spec.flags;
                if !(command.spec.may_share_batch(args.len()) && is_plain && args.len() <= BATCH_ARGS_MAX) {
                    return stopped(Stop::Alone { command, end });
                }
                before = Some((work.spans[first_span], command));
                let verdict = if command.allows_arity(args.len()) && !flags.intersects(questionable) {
                    Verdict::Run
                } else {
                    check::check(core, config, session, command, args)
                };
                match verdict {
                    Verdict::Run => {
                        let first = work.hashed.len();
                        keys::hash_into(keyspace, command.spec, args, work.hashed);
                        for &(_, hash) in &work.hashed[first..] {
                            keyspace.prefetch_shard(hash);
                        }
                        // By now the shards of earlier keys have arrived.
                        while slots_asked + SHARDS_AHEAD < work.hashed.len() {
                            keyspace.prefetch_slot(work.hashed[slots_asked].1);
                            slots_asked += 1;
                        }
                        (Some(command), None)
                    }
                    Verdict::Refused(error) => (Some(command), Some(error)),
                    Verdict::Paused | Verdict::Queued => return stopped(Stop::Alone { command, end }),
                }
            }
            Lookup::Unknown(error) => {
                check::refused(session);
                (None, Some(error))
            }
            Lookup::CrossProtocol => return stopped(Stop::CrossProtocol),
        };
        work.items.push(Item {
            command,
            spans_end: work.spans.len() as u32,
            hashed_end: work.hashed.len() as u32,
            end,
            refusal,
        });
        at = end;
    }
}

/// Runs the requests of a batch.
fn run_batch(
    core: &Core,
    config: &Config,
    session: &mut Session,
    input: &[u8],
    out: &mut Vec<u8>,
    work: &mut Workspace<'_>,
) -> BatchRun {
    let keyspace = &core.server.keyspace;
    let mut set = None;
    if !work.hashed.is_empty() {
        let Some(entered) = keyspace.gate().enter(core.index) else { return BatchRun::GateClosed };
        let shards: ShardList = work.hashed.iter().map(|&(_, hash)| keyspace.shard_of(hash) as u16).collect();
        work.hashed.iter().rev().take(SHARDS_AHEAD).for_each(|&(_, hash)| keyspace.prefetch_slot(hash));
        let written = |visit: &mut wake::Visitor<'_>| {
            let (mut span, mut key) = (0, 0);
            for item in &*work.items {
                let (spans_end, hashed_end) = (item.spans_end as usize, item.hashed_end as usize);
                if let Some(command) = item.command {
                    let args = Args::new(input, &work.spans[span..spans_end]);
                    wake::visit_written(command, args, &work.hashed[key..hashed_end], visit);
                }
                (span, key) = (spans_end, hashed_end);
            }
        };
        set = wake::lock(core, entered, &mut session.gate_turn, shards, written);
        if set.is_none() {
            return BatchRun::GateClosed;
        }
        // A pause begins with the gate closed: one that began since the requests were checked is seen here.
        let is_held = |item: &Item| item.command.is_some_and(|it| core.server.pause.holds(it.spec.flags, session));
        if core.server.pause.is_on() && work.items.iter().any(is_held) {
            return BatchRun::GateClosed;
        }
    }
    let mut entries_asked = 0;
    if let Some(set) = &mut set
        && work.items.iter().filter(|item| item.element() > 0).nth(1).is_some()
    {
        prefetch_elements(set, session.database, input, work);
        entries_asked = work.hashed.len();
    }
    let now_ms = clock::now_ms();
    execute::prepare(core, config, set.as_mut(), now_ms);

    let mut time = RunTime { ticks: clock::ticks(), of: None };
    let (mut first_span, mut first_key) = (0, 0);
    let (mut last, mut count) = (None, 0);
    let mut start = None;
    let mut ran = BatchRun::All;
    for item in work.items.iter_mut() {
        let (spans_end, hashed_end) = (item.spans_end as usize, item.hashed_end as usize);
        match (item.command, item.refusal.take()) {
            (Some(command), None) => {
                if let Some(set) = &set {
                    let ahead = (hashed_end + ENTRIES_AHEAD).min(work.hashed.len());
                    for (_, hash) in work.hashed.get_mut(entries_asked..ahead).unwrap_or_default() {
                        *hash = set.prefetch_entry(session.database, *hash);
                    }
                    entries_asked = entries_asked.max(ahead);
                }
                let args = Args::new(input, &work.spans[first_span..spans_end]);
                let hashed = &work.hashed[first_key..hashed_end];
                let call = Call { command, args, hashed, now_ms, nested: false, shares_batch: true };
                time.begins(core, command);
                if let Ended::Alone = execute::run(core, session, set.as_mut(), call, out) {
                    time.take_back();
                    ran = BatchRun::Alone { command, start, end: item.end, spans: first_span..spans_end };
                    break;
                }
                last = Some(command);
                count += 1;
            }
            (command, refusal) => {
                command.inspect(|command| core.counters.of(command).rejected.add(1));
                let error = refusal.expect("what is no command was refused");
                apply_reply_mode(session, out, |session, out| execute::write_error(core, session, &error, out));
            }
        }
        (first_span, first_key) = (spans_end, hashed_end);
        start = Some(item.end);
        if out.len() >= BATCH_REPLY_BYTES_MAX {
            ran = BatchRun::UpTo(item.end);
            break;
        }
    }
    time.end(core);
    if let Some(command) = last {
        session.client.ran(command, count, now_ms);
    }
    ran
}

/// Asks for the elements that the requests of a batch name, which lie behind the entries of their keys.
fn prefetch_elements(set: &mut LockSet<'_>, database: usize, input: &[u8], work: &mut Workspace<'_>) {
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

/// How long the commands of a batch run: the clock is read when another command's turn comes, not after each request.
struct RunTime {
    ticks: u64,
    /// The command that is running, and how often it ran since the clock was read.
    of: Option<(&'static Command, u64)>,
}

impl RunTime {
    #[inline]
    fn begins(&mut self, core: &Core, command: &'static Command) {
        match &mut self.of {
            Some((running, calls)) if std::ptr::eq(*running, command) => *calls += 1,
            _ => {
                self.end(core);
                self.of = Some((command, 1));
            }
        }
    }

    /// What began last will begin again elsewhere.
    fn take_back(&mut self) {
        if let Some((_, calls)) = &mut self.of {
            *calls -= 1;
        }
    }

    /// Counts what ran since the clock was read.
    fn end(&mut self, core: &Core) {
        if let Some((command, calls)) = self.of.take() {
            let now = clock::ticks();
            core.counters.ran(command, calls, now - self.ticks);
            self.ticks = now;
        }
    }
}

/// Checks and runs a request that shares no batch. `None`: go on with the next one.
fn run_alone(
    core: &Core,
    config: &Config,
    session: &mut Session,
    command: &'static Command,
    args: Args<'_>,
    out: &mut Vec<u8>,
) -> Option<Next> {
    // A walk that goes on was checked when it began.
    if session.walk.is_none() {
        match check::check(core, config, session, command, args) {
            Verdict::Run => {}
            Verdict::Queued => {
                apply_reply_mode(session, out, |session, out| {
                    ReplyWriter::new(out, session.protocol).simple("QUEUED");
                });
                return None;
            }
            Verdict::Refused(error) => {
                core.counters.of(command).rejected.add(1);
                apply_reply_mode(session, out, |session, out| execute::write_error(core, session, &error, out));
                return None;
            }
            Verdict::Paused => return Some(Next::Pause),
        }
    }
    let reply_mode = session.reply_mode;
    let ended = if matches!(command.spec.handler, Handler::Container) {
        execute::write_error(core, session, &CommandError::wrong_arity(&command.full_name), out);
        Ended::Done
    } else {
        let run =
            |session: &mut Session, out: &mut Vec<u8>| execute::run_alone(core, config, session, command, args, out);
        if command.spec.flags.contains(Flags::PUSHES) {
            // What it writes are pushed messages, which CLIENT REPLY does not hold back; only what is skipped is used up.
            let reply_mode = &mut session.reply_mode;
            if matches!(reply_mode, ReplyMode::SkipNext | ReplyMode::Skip) {
                *reply_mode = ReplyMode::On;
            }
            run(session, out)
        } else {
            apply_reply_mode(session, out, run)
        }
    };
    // What it sent to itself follows its own reply.
    if session.client.mailbox.has_mail() {
        session.client.mailbox.drain_into(out);
    }
    match ended {
        // It will be run again, as if for the first time.
        Ended::GateClosed | Ended::Continue => session.reply_mode = reply_mode,
        // What it will be answered is skipped too.
        Ended::Blocked if reply_mode == ReplyMode::SkipNext => session.reply_mode = ReplyMode::Skip,
        _ => {}
    }
    match ended {
        Ended::Done => None,
        Ended::Close => Some(Next::Close),
        Ended::Blocked => Some(Next::Blocked),
        Ended::Continue => Some(Next::Yield),
        Ended::GateClosed => Some(Next::Gate),
        Ended::Alone => unreachable!("it is alone already"),
    }
}

/// Runs `answer`, and takes back what it wrote where CLIENT REPLY says so.
fn apply_reply_mode<R>(
    session: &mut Session,
    out: &mut Vec<u8>,
    answer: impl FnOnce(&mut Session, &mut Vec<u8>) -> R,
) -> R {
    let mark = out.len();
    if session.reply_mode == ReplyMode::SkipNext {
        session.reply_mode = ReplyMode::Skip;
    }
    let before = session.reply_mode;
    let result = answer(session, out);
    match (before, session.reply_mode) {
        (_, ReplyMode::On) => {}
        (ReplyMode::Skip, ReplyMode::Skip) => {
            out.truncate(mark);
            session.reply_mode = ReplyMode::On;
        }
        (_, ReplyMode::Off | ReplyMode::SkipNext | ReplyMode::Skip) => out.truncate(mark),
    }
    result
}
