//! CLIENT PAUSE: requests are held up until its time is over or CLIENT UNPAUSE ends it.

use std::{
    sync::atomic::{AtomicI64, AtomicU8, Ordering},
    task::{Context, Poll, Waker},
};

use parking_lot::Mutex;

use super::Session;
use crate::{clock, label::Flags};

/// What is held up.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum PauseMode {
    None,
    /// Requests that may write.
    Write,
    All,
}

/// See the module.
pub struct Pause {
    mode: AtomicU8,
    /// Milliseconds since 1970.
    until_ms: AtomicI64,
    /// The connections that are held up. A mutex, which also guards changes of the two above: a pause is a rare thing.
    held: Mutex<Vec<Waker>>,
}

/// Commands that a pause of writes holds up: those that write, or may make another server write.
const MAY_WRITE: Flags = Flags::WRITE.union(Flags::MAY_REPLICATE);

impl Pause {
    /// Pauses until a time. Where there is a pause already, the later end and the stricter mode hold (Redis:
    /// `pauseClientsByClient`).
    pub fn begin(&self, mode: PauseMode, until_ms: i64) {
        let _held = self.held.lock();
        let before = self.mode(clock::now_ms());
        let end = self.until_ms.load(Ordering::Relaxed);
        self.until_ms.store(if before == PauseMode::None { until_ms } else { end.max(until_ms) }, Ordering::Relaxed);
        self.mode.store(before.max(mode) as u8, Ordering::Release);
    }

    /// Ends the pause.
    pub fn end(&self) {
        let mut held = self.held.lock();
        self.mode.store(PauseMode::None as u8, Ordering::Release);
        held.drain(..).for_each(Waker::wake);
    }

    /// Ends the pause if its time is over. When a pause begins, this is called once its time is over.
    pub fn end_if_over(&self) {
        if self.mode(clock::now_ms()) == PauseMode::None {
            self.end();
        }
    }

    /// What is paused, and for how many milliseconds more (INFO).
    pub fn state(&self) -> (PauseMode, i64) {
        let now_ms = clock::now_ms();
        let mode = self.mode(now_ms);
        let rest_ms = if mode == PauseMode::None { 0 } else { self.until_ms.load(Ordering::Relaxed) - now_ms };
        (mode, rest_ms)
    }

    /// Whether a session's request is held up, by the flags of its command.
    #[inline]
    pub fn holds(&self, flags: Flags, session: &Session) -> bool {
        self.mode.load(Ordering::Acquire) != PauseMode::None as u8 && self.holds_now(flags, session)
    }

    #[cold]
    fn holds_now(&self, flags: Flags, session: &Session) -> bool {
        match self.mode(clock::now_ms()) {
            PauseMode::None => false,
            PauseMode::All => true,
            PauseMode::Write => {
                let queued_may_write = || {
                    let mut queued = session.transaction.iter().flat_map(|transaction| &transaction.queued);
                    queued.any(|queued| queued.command.flags.intersects(MAY_WRITE))
                };
                flags.intersects(MAY_WRITE) || (flags.contains(Flags::EXEC) && queued_may_write())
            }
        }
    }

    /// Whether anything is paused.
    #[inline]
    pub fn is_on(&self) -> bool {
        self.mode.load(Ordering::Acquire) != PauseMode::None as u8 && self.mode(clock::now_ms()) != PauseMode::None
    }

    /// Whether keys stay although their time has come: nothing changes during a pause.
    #[inline]
    pub fn stops_expiry(&self) -> bool {
        self.is_on()
    }

    /// Ready when no pause holds anybody up.
    pub fn poll_end(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut held = self.held.lock();
        if self.mode(clock::now_ms()) == PauseMode::None {
            return Poll::Ready(());
        }
        if !held.iter().any(|waker| waker.will_wake(cx.waker())) {
            held.push(cx.waker().clone());
        }
        Poll::Pending
    }

    fn mode(&self, now_ms: i64) -> PauseMode {
        if now_ms >= self.until_ms.load(Ordering::Relaxed) {
            return PauseMode::None;
        }
        match self.mode.load(Ordering::Acquire) {
            0 => PauseMode::None,
            1 => PauseMode::Write,
            _ => PauseMode::All,
        }
    }
}

impl Default for Pause {
    fn default() -> Pause {
        Pause { mode: AtomicU8::new(PauseMode::None as u8), until_ms: AtomicI64::new(0), held: Mutex::default() }
    }
}
