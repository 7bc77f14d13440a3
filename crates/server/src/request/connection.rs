//! Steps 1 and 11: a connection. It reads requests, has them served, and sends the replies. This is the only async file on the path of a
//! request.
//!
//! An idle connection has no buffers. It reads into the buffer of its core and answers in another; only an incomplete request, and replies
//! that the client does not read, are kept with the connection.

use std::{
    collections::VecDeque,
    future::poll_fn,
    io,
    pin::{Pin, pin},
    rc::Rc,
    sync::atomic::Ordering,
    task::{Context, Poll},
    time::Instant,
};

use ochre_resp::{ReplyBuffer, ReplyWriter, RequestParser};
use tokio::{io::AsyncReadExt, time::Sleep};

use super::{
    chores, client_eviction,
    locks::{self, Unavailable},
    turn::{Next, Scratch, Turn, Workspace},
    worker::Worker,
};
use crate::{
    clock,
    config::{Config, words},
    core::{Chore, Core},
    journal::Position,
    session::{ClientFlags, ReplyMode, Session, delivery, wait::WaitEnd},
    sockets::stream::Stream,
};

/// The most bytes to read at once, unless a long request needs more.
const READ_BYTES: usize = 64 * 1024;
/// An incomplete request up to this size is copied to the core's buffer before the next read. The rest of a longer one is read to where the
/// request is.
const MOVED_BYTES_MAX: usize = 16 * 1024;
/// The number of bytes read after which other connections of the core have their turns, however short the replies are.
const TURN_BYTES: usize = 64 * 1024;
/// If more output than this is unsent, the connection takes over the core's output buffer instead of copying from it. A core also frees its
/// output buffer when the buffer has grown beyond this.
const SHARED_OUTPUT_BYTES_MAX: usize = 512 * 1024;
/// The query buffer limit of a client that is not authenticated (Redis: `readQueryFromClient`).
const UNAUTHENTICATED_INPUT_BYTES_MAX: u64 = 1024 * 1024;
/// The buffer of a long request grows by at most this size, or by as much as it holds already: a length that a client only announces takes
/// no memory.
const GROWTH_BYTES: usize = 1024 * 1024;

/// A connection and its session.
struct Connection {
    stream: Stream,
    session: Session,
    parser: RequestParser,
    /// What was read and is not yet served.
    input: Vec<u8>,
    /// The known length of the request at the front of `input`, in bytes.
    wanted: usize,
    /// Whether `input` may hold a complete request.
    unserved: bool,
    /// Replies that could not be sent at once.
    output: Vec<u8>,
    /// The number of bytes of `output` that are sent by now.
    sent: usize,
    /// The end of `output` that waits until a position is durable, in parts: the position and the number of bytes.
    gated: VecDeque<(Position, usize)>,
    /// When the output exceeded its soft limit, if it still does.
    above_soft_limit_since: Option<Instant>,
    /// The timer of the session's blocked command.
    timer: Option<Pin<Box<Sleep>>>,
    /// The bytes of memory that are counted for it.
    counted_bytes: u64,
    /// What the next request, which is in `input`, has to wait for. Replies are sent in the meantime.
    held: Option<Unavailable>,
    /// Whether it ends once the output is sent.
    closing: bool,
    /// Whether the client has closed its sending direction.
    input_ended: bool,
}

/// Why [`Connection::poll`] is ready.
enum Stop {
    /// There is more to do after other connections have had their turns.
    Yield,
    /// The connection has ended.
    End,
}

/// Serves a connection until it ends.
///
/// The connection is created outside of the async block. Inside, the future would also reserve space for its parts.
pub fn serve(worker: Rc<Worker>, stream: Stream, session: Session) -> impl Future<Output = ()> {
    let mut connection = Connection {
        stream,
        session,
        parser: RequestParser::default(),
        input: Vec::new(),
        wanted: 0,
        unserved: false,
        output: Vec::new(),
        sent: 0,
        gated: VecDeque::new(),
        above_soft_limit_since: None,
        timer: None,
        counted_bytes: 0,
        held: None,
        closing: false,
        input_ended: false,
    };
    async move {
        while let Stop::Yield = poll_fn(|cx| connection.poll(&worker, cx)).await {
            tokio::task::yield_now().await;
        }
        connection.end(&worker.core);
    }
}

impl Connection {
    /// Reads, serves and sends until it has to wait.
    fn poll(&mut self, worker: &Worker, cx: &mut Context<'_>) -> Poll<Stop> {
        let core = &worker.core;
        self.session.client.waker.register(cx.waker());
        core.refresh_config();
        let config = core.config();
        let mut scratch = worker.scratch.borrow_mut();
        let Scratch { input, output, work } = &mut *scratch;
        let mut read_bytes = 0;
        loop {
            if self.session.client.is_killed() {
                return Poll::Ready(Stop::End);
            }
            output.restart(delivery::room(&config, &self.session.client));
            // Messages that arrived before its request come before the reply.
            self.session.take_mail(output);
            self.poll_blocked(core, cx, output);
            self.poll_held(core, cx);
            let mut next = None;
            if !self.serves() {
                // `watch_for_end` reads instead, only to notice that the client is gone.
            } else if self.unserved {
                let (session, parser) = (&mut self.session, &mut self.parser);
                let mut turn = Turn { core, config: &config, session, parser, out: output, work };
                let (done, stopped) = turn.serve(&mut self.input);
                self.input.drain(..done);
                next = Some(stopped);
            } else if let Poll::Ready(read) = self.poll_read(core, &config, cx, input, output, work) {
                match read {
                    Ok((read, stopped)) => {
                        read_bytes += read;
                        next = Some(stopped);
                    }
                    // The requests before the end are answered.
                    Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => self.close(),
                    Err(error) => {
                        tracing::trace!(client = self.session.client.id, %error, "connection lost");
                        return Poll::Ready(Stop::End);
                    }
                }
            }
            let yields = self.follow(next.as_ref());
            if self.closing {
                // New messages must not keep it from ending.
                core.server.pubsub.leave(&mut self.session);
                core.server.monitors.remove(&self.session.client);
            }
            self.session.take_mail(output);
            if self.poll_write(core, &config, cx, output).is_err() {
                return Poll::Ready(Stop::End);
            }
            if self.closing && self.unsent() == 0 {
                return Poll::Ready(Stop::End);
            }
            self.release_memory();
            self.count_memory(core, &config);
            if yields || read_bytes >= TURN_BYTES && self.serves() {
                return Poll::Ready(Stop::Yield);
            }
            if next.is_none() || self.closing || self.session.blocked.is_some() {
                if self.watch_for_end(core, &config, cx) {
                    return Poll::Ready(Stop::End);
                }
                self.count_memory(core, &config);
                if self.session.blocked.is_some() && self.arm_timer(cx) {
                    continue;
                }
                return Poll::Pending;
            }
        }
    }

    /// Whether it may serve requests at present.
    fn serves(&self) -> bool {
        /// While as many bytes of replies wait for the disk, nothing more is served.
        const GATED_BYTES_MAX: usize = 1 << 20;
        let is_free = !self.closing && self.session.blocked.is_none() && self.held.is_none();
        is_free && (self.gated.is_empty() || self.gated_bytes() < GATED_BYTES_MAX)
    }

    /// Records what to do next after a turn. Returns whether other connections must have their turns first.
    fn follow(&mut self, next: Option<&Next>) -> bool {
        let Some(next) = next else { return false };
        // A request that is tried again keeps its attempt, and so does a walk that goes on.
        let is_retry = matches!(next, Next::Unavailable(Unavailable::Gate | Unavailable::Shard(_)));
        if !is_retry && self.session.walk.is_none() {
            self.session.attempt = None;
        }
        self.unserved = match next {
            Next::Read { wanted } => {
                self.wanted = *wanted;
                false
            }
            Next::Yield => true,
            Next::Unavailable(unavailable) => {
                self.held = Some(*unavailable);
                let is_pause = *unavailable == Unavailable::Pause;
                let flag = if is_pause { ClientFlags::PAUSED } else { ClientFlags::WAITS_FOR_LOCKS };
                self.session.client.set_flag(flag, true);
                true
            }
            Next::Blocked => true,
            Next::Close => {
                self.close();
                false
            }
        };
        matches!(next, Next::Yield)
    }

    /// Stops serving. The connection ends once the output is sent.
    fn close(&mut self) {
        self.closing = true;
        self.session.client.set_flag(ClientFlags::CLOSING, true);
        self.input = Vec::new();
    }

    /// Reads, and serves what was read. Returns the number of bytes read.
    fn poll_read(
        &mut self,
        core: &Core,
        config: &Config,
        cx: &mut Context<'_>,
        input: &mut Vec<u8>,
        output: &mut ReplyBuffer,
        work: &mut Workspace,
    ) -> Poll<io::Result<(usize, Next)>> {
        let in_place = self.input.len() > MOVED_BYTES_MAX;
        let (buffer, before) = if in_place {
            let missing = self.wanted.saturating_sub(self.input.len());
            self.input.reserve(missing.clamp(READ_BYTES, self.input.len().max(GROWTH_BYTES)));
            let before = self.input.len();
            (&mut self.input, before)
        } else {
            input.clear();
            input.reserve(READ_BYTES);
            input.extend_from_slice(&self.input);
            (&mut *input, self.input.len())
        };
        let read = match pin!(self.stream.read_buf(buffer)).poll(cx) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Ok(0)) => {
                self.input_ended = true;
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Ready(Ok(read)) => read,
        };
        debug_assert_eq!(buffer.len(), before + read);
        // Arguments that have arrived as a whole do not count, nor does what follows the argument that is being sent.
        let unparsed = self.parser.parsed_len()..buffer.len().min(self.wanted);
        if is_above_input_limit(core, config, &self.session, buffer.get(unparsed).unwrap_or_default()) {
            return Poll::Ready(Err(io::ErrorKind::OutOfMemory.into()));
        }
        core.counters.reads.add(1);
        core.counters.read_bytes.add(read as u64);
        let figures = &self.session.client.figures;
        figures.read_bytes.store(figures.read_bytes.load(Ordering::Relaxed) + read as u64, Ordering::Relaxed);
        self.session.client.mark_active();

        let (session, parser) = (&mut self.session, &mut self.parser);
        let (done, next) = Turn { core, config, session, parser, out: output, work }.serve(buffer);
        if in_place {
            self.input.drain(..done);
        } else {
            self.input.clear();
            self.input.extend_from_slice(&input[done..]);
        }
        self.session.client.figures.input_bytes.store(self.input.len() as u64, Ordering::Relaxed);
        Poll::Ready(Ok((read, next)))
    }

    /// The number of bytes kept to be sent.
    fn unsent(&self) -> usize {
        self.output.len() - self.sent
    }

    /// Sends what the socket accepts, and keeps the rest. Its hard limit is checked before, and its soft limit afterwards. An error means that
    /// the connection must end.
    fn poll_write(
        &mut self,
        core: &Core,
        config: &Config,
        cx: &mut Context<'_>,
        output: &mut ReplyBuffer,
    ) -> Result<(), ()> {
        if self.is_above_hard_limit(config, output) {
            delivery::kill_above_limit(&self.session.client, &core.counters);
        }
        // A client that is killed gets nothing more.
        if self.session.client.is_killed() {
            return Err(());
        }
        let gate = &core.server.aof;
        if (gate.is_gated() || !self.gated.is_empty()) && !self.pass_gate(core, cx, output) {
            return Ok(());
        }
        let kept = self.unsent() > 0;
        if kept {
            self.output.extend_from_slice(output);
        }
        let unsent = if kept { &self.output[self.sent..self.output.len() - self.gated_bytes()] } else { &output[..] };
        let written = if unsent.is_empty() { Ok(0) } else { self.stream.write_what_fits(cx, unsent) };
        let Ok(written) = written else { return Err(()) };
        if kept {
            self.sent += written;
            // The rest is moved to the front only when at least half is sent, so that each byte is moved at most once on average.
            if self.sent >= self.output.len() - self.sent {
                self.output.drain(..self.sent);
                self.sent = 0;
            }
        } else if output.len() - written > SHARED_OUTPUT_BYTES_MAX {
            self.output = output.take();
            self.sent = written;
        } else {
            self.output.extend_from_slice(&output[written..]);
        }
        if output.capacity() > SHARED_OUTPUT_BYTES_MAX {
            output.take();
        }
        let figures = &self.session.client.figures;
        if written > 0 {
            core.counters.writes.add(1);
            core.counters.written_bytes.add(written as u64);
            figures
                .written_bytes
                .store(figures.written_bytes.load(Ordering::Relaxed) + written as u64, Ordering::Relaxed);
            if kept {
                self.session.client.mark_active();
            }
        }
        let unsent = self.unsent() as u64;
        if unsent != figures.output_bytes.load(Ordering::Relaxed) {
            figures.output_bytes.store(unsent, Ordering::Relaxed);
        }
        if self.is_above_soft_limit(config) {
            delivery::kill_above_limit(&self.session.client, &core.counters);
            return Err(());
        }
        Ok(())
    }

    /// The number of bytes that wait until what they depend on is durable.
    fn gated_bytes(&self) -> usize {
        self.gated.iter().map(|&(_, bytes)| bytes).sum()
    }

    /// Moves the output behind what is kept, and finds how much of it may be sent (`appendfsync always`). Returns whether anything may.
    #[cold]
    fn pass_gate(&mut self, core: &Core, cx: &mut Context<'_>, output: &mut ReplyBuffer) -> bool {
        if !output.is_empty() {
            self.gated.push_back((self.session.position, output.len()));
            self.output.extend_from_slice(output);
            output.truncate(0);
        }
        while let Some(&(position, _)) = self.gated.front()
            && core.server.aof.poll_durable(position, cx).is_ready()
        {
            self.gated.pop_front();
        }
        let unsent = self.unsent() as u64;
        self.session.client.figures.output_bytes.store(unsent, Ordering::Relaxed);
        self.unsent() > self.gated_bytes()
    }

    /// Whether the output, with the replies that are to be sent next, exceeds the hard limit of the client's class.
    fn is_above_hard_limit(&self, config: &Config, next: &ReplyBuffer) -> bool {
        let waiting = self.unsent() + next.len() + self.session.client.mailbox.bytes();
        next.has_overflowed()
            || delivery::is_above(delivery::limit(config, &self.session.client).hard_bytes, waiting as u64)
    }

    /// Whether the output has exceeded the soft limit of the client's class for too long.
    fn is_above_soft_limit(&mut self, config: &Config) -> bool {
        if self.unsent() == 0 {
            self.above_soft_limit_since = None;
            return false;
        }
        let limit = delivery::limit(config, &self.session.client);
        let waiting = self.unsent() + self.session.client.mailbox.bytes();
        let is_above = delivery::is_above(limit.soft_bytes, waiting as u64);
        let since = is_above.then(|| self.above_soft_limit_since.unwrap_or_else(Instant::now));
        self.above_soft_limit_since = since;
        since.is_some_and(|since| since.elapsed().as_secs() > limit.soft_seconds)
    }

    /// Frees buffers that are empty.
    fn release_memory(&mut self) {
        if self.input.is_empty() && self.input.capacity() > 0 {
            self.input = Vec::new();
        }
        if self.output.is_empty() && self.output.capacity() > 0 {
            self.output = Vec::new();
        }
    }

    /// Counts the memory that the client takes, and looks whether all clients together take too much.
    #[inline]
    fn count_memory(&mut self, core: &Core, config: &Config) {
        let client = &self.session.client;
        let buffers =
            self.input.capacity() + self.output.capacity() + size_of::<Connection>() + self.stream.memory_bytes();
        let bytes = client.memory_usage() + buffers as u64;
        if bytes != self.counted_bytes {
            core.counters.client_bytes.add(bytes.wrapping_sub(self.counted_bytes));
            client.figures.memory_bytes.store(bytes, Ordering::Relaxed);
            client.figures.input_bytes.store(self.input.len() as u64, Ordering::Relaxed);
            self.counted_bytes = bytes;
            client_eviction::check(core, config);
        }
    }

    /// If the session is blocked and its wait has ended or timed out, writes the reply and unblocks the session.
    fn poll_blocked(&mut self, core: &Rc<Core>, cx: &mut Context<'_>, output: &mut ReplyBuffer) {
        let Some(waiting) = &self.session.blocked else { return };
        let is_late = self.timer.as_mut().is_some_and(|timer| timer.as_mut().poll(cx).is_ready());
        if is_late {
            waiting.wait.time_out();
        }
        let Some(end) = waiting.wait.end() else { return };
        let is_served = matches!(end, WaitEnd::Served(..));
        let mut served_at = Position::default();
        let mut reply = output.part();
        let mut writer = ReplyWriter::new(&mut reply, self.session.protocol);
        match end {
            WaitEnd::Served(served, position) => {
                reply = served;
                served_at = position;
            }
            WaitEnd::Timeout => (waiting.on_timeout)(&mut writer),
            WaitEnd::UnblockedWithError => {
                core.counters.error(b"UNBLOCKED");
                writer.error("UNBLOCKED client unblocked via CLIENT UNBLOCK");
            }
        }
        match self.session.reply_mode {
            ReplyMode::On => output.append(reply),
            ReplyMode::Skip => self.session.reply_mode = ReplyMode::On,
            ReplyMode::Off | ReplyMode::SkipNext => {}
        }
        if !is_served {
            self.stop_waiting(core);
        }
        self.session.depends_on(served_at);
        self.session.blocked = None;
        self.timer = None;
        *self.session.client.wait.lock() = None;
        self.session.client.set_flag(ClientFlags::BLOCKED | ClientFlags::HAS_DEADLINE, false);
    }

    /// Removes its blocked command from the keys that it waits for.
    fn stop_waiting(&mut self, core: &Core) {
        let parked = self.session.blocked.as_mut().and_then(|waiting| waiting.parked.take());
        if let Some(parked) = parked {
            chores::run_or_leave(core, Chore::Unpark(parked));
        }
    }

    /// Releases the held request if it need not wait any longer. Otherwise the task is woken when that is so.
    fn poll_held(&mut self, core: &Core, cx: &mut Context<'_>) {
        let Some(unavailable) = self.held else { return };
        if locks::poll_available(core, self.session.attempt.as_deref(), unavailable, cx).is_ready() {
            self.held = None;
            self.session.client.set_flag(ClientFlags::PAUSED | ClientFlags::WAITS_FOR_LOCKS, false);
        }
    }

    /// Starts the timer of the session's wait. Returns whether the wait has just timed out. It cannot time out while a writer is running
    /// the command again; the writer then wakes the connection.
    fn arm_timer(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(waiting) = &self.session.blocked else { return false };
        let Some(deadline) = waiting.deadline else { return false };
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline.into())));
        timer.as_mut().poll(cx).is_ready() && waiting.wait.time_out()
    }

    /// Reads on while nothing is served, to notice that the client is gone. Returns whether the connection must end.
    fn watch_for_end(&mut self, core: &Core, config: &Config, cx: &mut Context<'_>) -> bool {
        // A request that waits for its locks is still run if the input has ended after it.
        if self.serves() || self.held.is_some_and(|held| held != Unavailable::Pause) {
            return false;
        }
        // A blocked client is still read from, so that its disconnect is noticed before an element is handed to it. It may send as much as
        // its query buffer limit allows.
        while !self.input_ended && (self.session.blocked.is_some() || self.input.len() <= GROWTH_BYTES) {
            match pin!(self.stream.read_buf(&mut self.input)).poll(cx) {
                Poll::Pending => return false,
                Poll::Ready(Err(_)) => return true,
                Poll::Ready(Ok(0)) => {
                    self.input_ended = true;
                    // A client that has closed its sending direction may still read replies.
                    return !self.closing;
                }
                Poll::Ready(Ok(_)) if self.closing => self.input.clear(),
                Poll::Ready(Ok(_)) if is_above_input_limit(core, config, &self.session, &self.input) => return true,
                Poll::Ready(Ok(_)) => self.unserved = true,
            }
        }
        false
    }

    /// Removes the session from everything that refers to it.
    fn end(&mut self, core: &Core) {
        self.session.attempt = None;
        // From here on a writer skips this waiter.
        if let Some(waiting) = &self.session.blocked {
            waiting.wait.time_out();
            self.stop_waiting(core);
        }
        core.server.pubsub.leave(&mut self.session);
        core.server.monitors.remove(&self.session.client);
        if let Some(watch) = self.session.take_watch() {
            chores::run_or_leave(core, Chore::Unwatch(watch));
        }
        core.server.clients.remove(&self.session.client);
        core.counters.client_bytes.add(0_u64.wrapping_sub(self.counted_bytes));
    }
}

/// Whether a client has exceeded its query buffer limit. `unparsed` is what was read and not parsed. Commands queued since MULTI count too.
/// (Redis: `readQueryFromClient`)
fn is_above_input_limit(core: &Core, config: &Config, session: &Session, unparsed: &[u8]) -> bool {
    let figures = &session.client.figures;
    let limit = if session.identity.is_authenticated() { u64::MAX } else { UNAUTHENTICATED_INPUT_BYTES_MAX };
    let queued = figures.queued_bytes.load(Ordering::Relaxed);
    let is_above = unparsed.len() as u64 + queued > config.client_query_buffer_limit.min(limit);
    if is_above {
        /// As many of the bytes are logged.
        const LOGGED_MAX: usize = 64;
        core.counters.query_limit_disconnections.add(1);
        figures.input_bytes.store(unparsed.len() as u64, Ordering::Relaxed);
        tracing::warn!(
            "Closing client that reached max query buffer length: {} (qbuf initial bytes: {})",
            session.client.description(clock::now_ms()),
            String::from_utf8_lossy(&words::quote(&unparsed[..unparsed.len().min(LOGGED_MAX)]))
        );
    }
    is_above
}
