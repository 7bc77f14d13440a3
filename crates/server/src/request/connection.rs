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

use super::batch::{self, Next};
use crate::{
    config::{Config, OutputLimit},
    core::Core,
    net::stream::Stream,
    session::{ClientFlags, Session, client::Unblock},
};

/// How much is read at once.
const READ_BYTES: usize = 64 * 1024;
/// A half-sent request up to this size is put before what is read next; a longer one is read to where it lies.
const MOVED_BYTES_MAX: usize = 16 * 1024;
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
    /// What could not be sent yet.
    output: Vec<u8>,
    /// Since when the output is above its soft limit.
    above_soft_limit_since: Option<Instant>,
    /// The deadline of what the session waits for.
    timer: Option<Pin<Box<Sleep>>>,
    /// It ends once the output is sent.
    closing: bool,
}

/// What the connection waits for outside of its socket.
enum Wait {
    /// Others' turn.
    Yield,
    Gate,
    Pause,
    /// It has ended.
    End,
}

/// Serves a connection until it ends.
pub async fn serve(core: Rc<Core>, stream: Stream, session: Session) {
    let mut connection = Connection {
        stream,
        session,
        parser: RequestParser::default(),
        input: Vec::new(),
        wanted: 0,
        unserved: false,
        output: Vec::new(),
        above_soft_limit_since: None,
        timer: None,
        closing: false,
    };
    loop {
        match poll_fn(|cx| connection.poll(&core, cx)).await {
            Wait::Yield => tokio::task::yield_now().await,
            Wait::Gate => poll_fn(|cx| core.server.keyspace.gate().poll_open(cx)).await,
            Wait::Pause => {
                connection.session.client.set_flag(ClientFlags::PAUSED, true);
                poll_fn(|cx| {
                    connection.session.client.waker.register(cx.waker());
                    if connection.session.client.is_killed() {
                        return Poll::Ready(());
                    }
                    core.server.pause.poll_end(cx)
                })
                .await;
                connection.session.client.set_flag(ClientFlags::PAUSED, false);
            }
            Wait::End => break,
        }
    }
    connection.end(&core).await;
}

impl Connection {
    /// Does what can be done, until there is nothing to do but wait.
    fn poll(&mut self, core: &Core, cx: &mut Context<'_>) -> Poll<Wait> {
        self.session.client.waker.register(cx.waker());
        core.refresh_config();
        let config = core.config();
        let mut scratch = core.scratch.borrow_mut();
        let (input, output, mut work) = scratch.parts();
        loop {
            if self.session.client.is_killed() && !self.closing {
                return Poll::Ready(Wait::End);
            }
            output.clear();
            if self.session.blocked.is_some() {
                self.poll_blocked(core, cx, output);
            }
            let mut next = None;
            if self.closing || self.session.blocked.is_some() {
                // Nothing is served; reading only tells whether the client is still there.
            } else if self.unserved {
                let (done, stopped) = batch::serve(
                    core,
                    &config,
                    &mut self.session,
                    &mut self.parser,
                    &mut self.input,
                    output,
                    &mut work,
                );
                self.input.drain(..done);
                next = Some(stopped);
            } else if let Poll::Ready(read) = self.poll_read(core, &config, cx, input, output, &mut work) {
                match read {
                    Ok(stopped) => next = Some(stopped),
                    Err(error) => {
                        tracing::trace!(client = self.session.client.id, %error, "connection lost");
                        return Poll::Ready(Wait::End);
                    }
                }
            }
            let wait = self.follow(next.as_ref());
            if self.session.client.mailbox.has_mail() {
                self.session.client.mailbox.drain_into(output);
            }
            if self.poll_write(core, &config, cx, output).is_err() {
                return Poll::Ready(Wait::End);
            }
            if self.closing && self.output.is_empty() {
                return Poll::Ready(Wait::End);
            }
            self.release_memory();
            if let Some(wait) = wait {
                return Poll::Ready(wait);
            }
            if next.is_none() || self.closing || self.session.blocked.is_some() {
                if self.watch_for_end(cx) {
                    return Poll::Ready(Wait::End);
                }
                if self.session.blocked.is_some() && self.arm_timer(cx) {
                    continue;
                }
                return Poll::Pending;
            }
        }
    }

    /// Takes over why serving stopped.
    fn follow(&mut self, next: Option<&Next>) -> Option<Wait> {
        let (unserved, wait) = match next? {
            Next::Read { wanted } => {
                self.wanted = *wanted;
                (false, None)
            }
            Next::Yield => (true, Some(Wait::Yield)),
            Next::Gate => (true, Some(Wait::Gate)),
            Next::Pause => (true, Some(Wait::Pause)),
            Next::Blocked => {
                self.session.client.set_flag(ClientFlags::BLOCKED, true);
                (true, None)
            }
            Next::Close => {
                self.closing = true;
                self.session.client.set_flag(ClientFlags::CLOSING, true);
                (false, None)
            }
        };
        self.unserved = unserved;
        wait
    }

    /// Reads, and serves what was read.
    fn poll_read(
        &mut self,
        core: &Core,
        config: &Config,
        cx: &mut Context<'_>,
        input: &mut Vec<u8>,
        output: &mut Vec<u8>,
        work: &mut batch::Workspace<'_>,
    ) -> Poll<io::Result<Next>> {
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
            Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Ready(Ok(read)) => read,
        };
        debug_assert_eq!(buffer.len(), before + read);
        core.counters.reads.add(1);
        core.counters.read_bytes.add(read as u64);
        let figures = &self.session.client.figures;
        figures.read_bytes.store(figures.read_bytes.load(Ordering::Relaxed) + read as u64, Ordering::Relaxed);

        let (session, parser) = (&mut self.session, &mut self.parser);
        let (done, next) = batch::serve(core, config, session, parser, buffer, output, work);
        if in_place {
            self.input.drain(..done);
        } else {
            self.input.clear();
            self.input.extend_from_slice(&input[done..]);
        }
        self.session.client.figures.input_bytes.store(self.input.len() as u64, Ordering::Relaxed);
        if self.input.len() as u64 > config.client_query_buffer_limit {
            core.counters.query_limit_disconnections.add(1);
            tracing::warn!("Closing client that reached max query buffer length: id={}", self.session.client.id);
            return Poll::Ready(Err(io::ErrorKind::OutOfMemory.into()));
        }
        Poll::Ready(Ok(next))
    }

    /// Sends what can be sent, and keeps the rest within its limits.
    fn poll_write(&mut self, core: &Core, config: &Config, cx: &mut Context<'_>, output: &mut [u8]) -> Result<(), ()> {
        let mut fresh: &[u8] = output;
        let mut failed = false;
        let mut written = 0;
        if self.output.is_empty() && !fresh.is_empty() {
            match self.stream.write_what_fits(cx, fresh) {
                Ok(sent) => {
                    fresh = &fresh[sent..];
                    written += sent;
                }
                Err(_) => failed = true,
            }
            self.output.extend_from_slice(fresh);
        } else {
            self.output.extend_from_slice(fresh);
            if !self.output.is_empty() {
                match self.stream.write_what_fits(cx, &self.output) {
                    Ok(sent) => {
                        self.output.drain(..sent);
                        written += sent;
                    }
                    Err(_) => failed = true,
                }
            }
        }
        if written > 0 {
            core.counters.writes.add(1);
            core.counters.written_bytes.add(written as u64);
            let figures = &self.session.client.figures;
            figures
                .written_bytes
                .store(figures.written_bytes.load(Ordering::Relaxed) + written as u64, Ordering::Relaxed);
        }
        let figures = &self.session.client.figures;
        if self.output.len() as u64 != figures.output_bytes.load(Ordering::Relaxed) {
            figures.output_bytes.store(self.output.len() as u64, Ordering::Relaxed);
        }
        if failed || self.is_above_limits(core, config) { Err(()) } else { Ok(()) }
    }

    /// Whether the output has grown beyond what the configuration allows to this class of client.
    fn is_above_limits(&mut self, core: &Core, config: &Config) -> bool {
        if self.output.is_empty() {
            self.above_soft_limit_since = None;
            return false;
        }
        let limit: &OutputLimit = if self.session.is_subscriber() {
            &config.client_output_buffer_limit.pubsub
        } else {
            &config.client_output_buffer_limit.normal
        };
        let waiting = (self.output.len() + self.session.client.mailbox.bytes()) as u64;
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

    /// Ends the session's wait where its time is over or CLIENT UNBLOCK asked for it.
    fn poll_blocked(&mut self, core: &Core, cx: &mut Context<'_>, output: &mut Vec<u8>) {
        let Some(block) = &self.session.blocked else { return };
        let asked = self.session.client.take_unblock();
        let timed_out = self.timer.as_mut().is_some_and(|timer| timer.as_mut().poll(cx).is_ready());
        if asked.is_none() && !timed_out {
            return;
        }
        let mut reply = ReplyWriter::new(output, self.session.protocol);
        if asked == Some(Unblock::Error) {
            core.counters.error(b"UNBLOCKED");
            reply.error("UNBLOCKED client unblocked via CLIENT UNBLOCK");
        } else {
            (block.on_timeout)(&mut reply);
        }
        self.session.blocked = None;
        self.timer = None;
        self.session.client.set_flag(ClientFlags::BLOCKED, false);
    }

    /// Starts the timer of the session's wait; whether it is over already.
    fn arm_timer(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(deadline) = self.session.blocked.as_ref().and_then(|block| block.deadline) else { return false };
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline.into())));
        timer.as_mut().poll(cx).is_ready()
    }

    /// While nothing is served: reads on, so that a client that has gone is noticed. Whether it has gone.
    fn watch_for_end(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.closing && self.session.blocked.is_none() {
            return false;
        }
        while self.input.len() < GROWTH_BYTES {
            match pin!(self.stream.read_buf(&mut self.input)).poll(cx) {
                Poll::Pending => return false,
                Poll::Ready(Ok(0) | Err(_)) => return true,
                Poll::Ready(Ok(_)) if self.closing => self.input.clear(),
                Poll::Ready(Ok(_)) => self.unserved = true,
            }
        }
        false
    }

    /// Takes the session out of everything that knows it.
    async fn end(mut self, core: &Core) {
        crate::pubsub::leave(&core.server, &mut self.session);
        while self.session.watch.is_some() {
            match core.server.keyspace.gate().enter(core.index) {
                Some(entered) => self.session.leave_watch(&core.server.keyspace, entered),
                None => poll_fn(|cx| core.server.keyspace.gate().poll_open(cx)).await,
            }
        }
        core.server.clients.remove(self.session.client.id);
    }
}
