//! Steps 1 and 8: the connection. It reads requests, has them served, and sends what is to be sent: the only async file of the way.
//!
//! An idle connection owns no buffers. What is read lies in the core's own buffer; only a half-sent request, and replies that the client
//! does not take, are kept with the connection.

use std::{
    future::poll_fn,
    io,
    pin::{Pin, pin},
    rc::Rc,
    sync::atomic::Ordering,
    task::{Context, Poll},
    time::Instant,
};

use ochre_resp::{ReplyWriter, RequestParser};
use tokio::{io::AsyncReadExt, time::Sleep};

use super::{
    chores,
    locks::{self, Unavailable},
    turn::{Next, Scratch, Turn, Workspace},
    worker::Worker,
};
use crate::{
    config::{Config, OutputLimit},
    core::{Chore, Core},
    journal::Position,
    session::{ClientFlags, ReplyMode, Session, wait::WaitEnd},
    sockets::stream::Stream,
};

/// How much is read at once.
const READ_BYTES: usize = 64 * 1024;
/// A half-sent request up to this size is put before what is read next; a longer one is read to where it lies.
const MOVED_BYTES_MAX: usize = 16 * 1024;
/// After so many bytes read a connection lets the others of its core run, however short its replies are.
const TURN_BYTES: usize = 64 * 1024;
/// The core's own output buffer is given up beyond this size; and so much unsent output is taken over with its buffer, not copied.
const SHARED_OUTPUT_BYTES_MAX: usize = 512 * 1024;
/// What a client may send without its request being complete, before it is authenticated (Redis: `readQueryFromClient`).
const UNAUTHENTICATED_INPUT_BYTES_MAX: u64 = 1024 * 1024;
/// Room for a long request is made in steps of this size or of what is there already: a length that is only announced takes no memory.
const GROWTH_BYTES: usize = 1024 * 1024;

/// See the module.
struct Connection {
    stream: Stream,
    session: Session,
    parser: RequestParser,
    /// What was read and is not done with.
    input: Vec<u8>,
    /// How long the request at the front of `input` is known to be.
    wanted: usize,
    /// Whether `input` may hold a complete request.
    unserved: bool,
    /// What could not be sent at once, of which the first `sent` bytes are sent by now.
    output: Vec<u8>,
    sent: usize,
    /// Since when the output is above its soft limit.
    above_soft_limit_since: Option<Instant>,
    /// The deadline of what the session waits for.
    timer: Option<Pin<Box<Sleep>>>,
    /// What its next request waits for, which was read already. What is to be sent is sent meanwhile.
    held: Option<Unavailable>,
    /// It ends once the output is sent.
    closing: bool,
    /// The client has sent all that it will.
    input_ended: bool,
}

/// Why the connection stops for now.
enum Stop {
    /// There is more to do, but other connections have their turn first.
    Yield,
    /// The connection has ended.
    End,
}

/// Serves a connection until it ends.
///
/// The connection is made outside of the future, which would have room for its parts beside it, and is not moved any more.
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
        above_soft_limit_since: None,
        timer: None,
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
    /// Does what can be done, until there is nothing to do but wait.
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
            output.clear();
            // What was sent to it before it asked comes before what it is answered.
            self.session.take_mail(output);
            self.poll_blocked(core, cx, output);
            self.poll_held(core, cx);
            let mut next = None;
            if !self.serves() {
                // Reading only tells whether the client is still there.
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
                    // What was asked before the end is answered.
                    Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => self.close(),
                    Err(error) => {
                        tracing::trace!(client = self.session.client.id, %error, "connection lost");
                        return Poll::Ready(Stop::End);
                    }
                }
            }
            let yields = self.follow(next.as_ref());
            if self.closing {
                // Nothing new may keep it from its end.
                core.server.pubsub.leave(&mut self.session);
            }
            self.session.take_mail(output);
            if self.poll_write(core, &config, cx, output).is_err() {
                return Poll::Ready(Stop::End);
            }
            if self.closing && self.unsent() == 0 {
                return Poll::Ready(Stop::End);
            }
            self.release_memory();
            if yields || read_bytes >= TURN_BYTES && self.serves() {
                return Poll::Ready(Stop::Yield);
            }
            if next.is_none() || self.closing || self.session.blocked.is_some() {
                if self.watch_for_end(core, &config, cx) {
                    return Poll::Ready(Stop::End);
                }
                if self.session.blocked.is_some() && self.arm_timer(cx) {
                    continue;
                }
                return Poll::Pending;
            }
        }
    }

    /// Whether its requests are served at the moment.
    fn serves(&self) -> bool {
        !self.closing && self.session.blocked.is_none() && self.held.is_none()
    }

    /// Takes over why serving stopped; whether others are to have their turn.
    fn follow(&mut self, next: Option<&Next>) -> bool {
        let Some(next) = next else { return false };
        if !matches!(next, Next::Unavailable(Unavailable::Gate | Unavailable::Shard(_))) {
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
                if *unavailable == Unavailable::Pause {
                    self.session.client.set_flag(ClientFlags::PAUSED, true);
                }
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

    /// Nothing more is served; what is to be sent is sent.
    fn close(&mut self) {
        self.closing = true;
        self.session.client.set_flag(ClientFlags::CLOSING, true);
        self.input = Vec::new();
    }

    /// Reads, and serves what was read.
    fn poll_read(
        &mut self,
        core: &Core,
        config: &Config,
        cx: &mut Context<'_>,
        input: &mut Vec<u8>,
        output: &mut Vec<u8>,
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
        if self.is_above_input_limit(core, config) {
            return Poll::Ready(Err(io::ErrorKind::OutOfMemory.into()));
        }
        Poll::Ready(Ok((read, next)))
    }

    /// Whether the client has sent more that is not done with than it may.
    fn is_above_input_limit(&self, core: &Core, config: &Config) -> bool {
        // What is queued was sent and is not done with either.
        let queued = self.session.client.figures.queued_bytes.load(Ordering::Relaxed);
        let limit = if self.session.authenticated { u64::MAX } else { UNAUTHENTICATED_INPUT_BYTES_MAX };
        let is_above = self.input.len() as u64 + queued > config.client_query_buffer_limit.min(limit);
        if is_above {
            core.counters.query_limit_disconnections.add(1);
            tracing::warn!("Closing client that reached max query buffer length: id={}", self.session.client.id);
        }
        is_above
    }

    /// How many bytes are kept to be sent.
    fn unsent(&self) -> usize {
        self.output.len() - self.sent
    }

    /// Sends what can be sent, and keeps the rest within its limits.
    fn poll_write(
        &mut self,
        core: &Core,
        config: &Config,
        cx: &mut Context<'_>,
        output: &mut Vec<u8>,
    ) -> Result<(), ()> {
        let kept = self.unsent() > 0;
        if kept {
            self.output.extend_from_slice(output);
        }
        let unsent = if kept { &self.output[self.sent..] } else { &output[..] };
        let written = if unsent.is_empty() { Ok(0) } else { self.stream.write_what_fits(cx, unsent) };
        let Ok(written) = written else { return Err(()) };
        if kept {
            self.sent += written;
            // Moved down only when that halves it, so that each byte is moved once on average.
            if self.sent >= self.output.len() - self.sent {
                self.output.drain(..self.sent);
                self.sent = 0;
            }
        } else if output.len() - written > SHARED_OUTPUT_BYTES_MAX {
            self.output = std::mem::take(output);
            self.sent = written;
        } else {
            self.output.extend_from_slice(&output[written..]);
        }
        if output.capacity() > SHARED_OUTPUT_BYTES_MAX {
            *output = Vec::new();
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
        if self.is_above_limits(core, config) { Err(()) } else { Ok(()) }
    }

    /// Whether the output has grown beyond what the configuration allows to this class of client.
    fn is_above_limits(&mut self, core: &Core, config: &Config) -> bool {
        if self.unsent() == 0 {
            self.above_soft_limit_since = None;
            return false;
        }
        let limit: &OutputLimit = if self.session.is_subscriber() {
            &config.client_output_buffer_limit.pubsub
        } else {
            &config.client_output_buffer_limit.normal
        };
        let waiting = (self.unsent() + self.session.client.mailbox.bytes()) as u64;
        let above_hard = limit.hard_bytes > 0 && waiting > limit.hard_bytes;
        let above_soft = limit.soft_bytes > 0 && waiting > limit.soft_bytes;
        let since = above_soft.then(|| self.above_soft_limit_since.unwrap_or_else(Instant::now));
        self.above_soft_limit_since = since;
        let too_long = since.is_some_and(|since| since.elapsed().as_secs() > limit.soft_seconds);
        if above_hard || too_long {
            core.counters.output_limit_disconnections.add(1);
            tracing::warn!(
                "Client id={} addr={} scheduled to be closed ASAP for overcoming of output buffer limits.",
                self.session.client.id,
                self.session.client.address
            );
        }
        above_hard || too_long
    }

    /// Gives back what an idle connection does not need.
    fn release_memory(&mut self) {
        if self.input.is_empty() && self.input.capacity() > 0 {
            self.input = Vec::new();
        }
        if self.output.is_empty() && self.output.capacity() > 0 {
            self.output = Vec::new();
        }
    }

    /// Answers what the session waits for, where the wait has ended or its time is over.
    fn poll_blocked(&mut self, core: &Rc<Core>, cx: &mut Context<'_>, output: &mut Vec<u8>) {
        let Some(waiting) = &self.session.blocked else { return };
        let is_late = self.timer.as_mut().is_some_and(|timer| timer.as_mut().poll(cx).is_ready());
        if is_late {
            waiting.wait.time_out();
        }
        let Some(end) = waiting.wait.end() else { return };
        let is_served = matches!(end, WaitEnd::Served(..));
        let mark = output.len();
        let mut served_at = Position::default();
        let mut reply = ReplyWriter::new(output, self.session.protocol);
        match end {
            WaitEnd::Served(reply, position) => {
                output.extend_from_slice(&reply);
                served_at = position;
            }
            WaitEnd::Timeout => (waiting.on_timeout)(&mut reply),
            WaitEnd::UnblockedWithError => {
                core.counters.error(b"UNBLOCKED");
                reply.error("UNBLOCKED client unblocked via CLIENT UNBLOCK");
            }
        }
        match self.session.reply_mode {
            ReplyMode::On => {}
            ReplyMode::Skip => {
                output.truncate(mark);
                self.session.reply_mode = ReplyMode::On;
            }
            ReplyMode::Off | ReplyMode::SkipNext => output.truncate(mark),
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

    /// Takes its blocked command off the keys that it waits for.
    fn stop_waiting(&mut self, core: &Core) {
        let parked = self.session.blocked.as_mut().and_then(|waiting| waiting.parked.take());
        if let Some(parked) = parked {
            chores::run_or_leave(core, Chore::Unpark(parked));
        }
    }

    /// Lets the held request go where what it waits for is there; else the connection is woken then.
    fn poll_held(&mut self, core: &Core, cx: &mut Context<'_>) {
        let Some(unavailable) = self.held else { return };
        if locks::poll_available(core, self.session.attempt.as_deref(), unavailable, cx).is_ready() {
            self.held = None;
            self.session.client.set_flag(ClientFlags::PAUSED, false);
        }
    }

    /// Starts the timer of the session's wait; whether that is over already. Where a writer is running its command again just now, the
    /// writer wakes it afterwards.
    fn arm_timer(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(waiting) = &self.session.blocked else { return false };
        let Some(deadline) = waiting.deadline else { return false };
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline.into())));
        timer.as_mut().poll(cx).is_ready() && waiting.wait.time_out()
    }

    /// While nothing is served: reads on, so that a client that has gone is noticed. Whether that ends the connection.
    fn watch_for_end(&mut self, core: &Core, config: &Config, cx: &mut Context<'_>) -> bool {
        // A request that waits for its locks is run also where the input has ended behind it.
        if self.serves() || matches!(self.held, Some(Unavailable::Gate | Unavailable::Shard(_))) {
            return false;
        }
        // A blocked client is still read from, so that its disconnect is noticed before an element is handed to it. Its limit is that of the
        // query buffer.
        while !self.input_ended && (self.session.blocked.is_some() || self.input.len() <= GROWTH_BYTES) {
            match pin!(self.stream.read_buf(&mut self.input)).poll(cx) {
                Poll::Pending => return false,
                Poll::Ready(Err(_)) => return true,
                Poll::Ready(Ok(0)) => {
                    self.input_ended = true;
                    // A client that has closed one direction may still read its replies in the other.
                    return !self.closing;
                }
                Poll::Ready(Ok(_)) if self.closing => self.input.clear(),
                Poll::Ready(Ok(_)) if self.is_above_input_limit(core, config) => return true,
                Poll::Ready(Ok(_)) => self.unserved = true,
            }
        }
        false
    }

    /// Takes the session out of everything that knows it.
    fn end(&mut self, core: &Core) {
        self.session.attempt = None;
        // From here on a writer skips this waiter.
        if let Some(waiting) = &self.session.blocked {
            waiting.wait.time_out();
            self.stop_waiting(core);
        }
        core.server.pubsub.leave(&mut self.session);
        if let Some(watch) = self.session.take_watch() {
            chores::run_or_leave(core, Chore::Unwatch(watch));
        }
        core.server.clients.remove(&self.session.client);
    }
}
