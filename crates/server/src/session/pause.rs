//! CLIENT PAUSE: requests are held until the pause's time is over or CLIENT UNPAUSE ends it.

use std::{
    sync::atomic::{AtomicI64, AtomicU8, Ordering},
    task::{Context, Poll, Waker},
};

use parking_lot::Mutex;

use crate::{clock, label::Flags};

/// Which requests are held.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum PauseMode {
    /// No request.
    None,
    /// Requests that may write.
    Write,
    /// Every request.
    All,
}

/// The pause of a server.
pub struct Pause {
    /// A [`PauseMode`]. It stays set when the time is over, until [`Pause::end_if_over`].
    mode: AtomicU8,
    /// When the pause ends, in milliseconds since 1970.
    until_ms: AtomicI64,
    /// The connections whose requests are held. A mutex, which also guards changes of the two fields above: pauses are rare.
    held: Mutex<Vec<Waker>>,
}

/// The flags of the commands that a pause of writes holds: commands that write or that Redis may replicate.
const MAY_WRITE: Flags = Flags::WRITE.union(Flags::MAY_REPLICATE);

impl Pause {
    /// Pauses until `until_ms`, in milliseconds since 1970. If there is a pause already, the later end and the stricter mode hold
    /// (Redis: `pauseClientsByClient`).
    pub fn begin(&self, mode: PauseMode, until_ms: i64) {
        let _held = self.held.lock();
        let before = self.mode(clock::now_ms());
        let end = self.until_ms.load(Ordering::Relaxed);
        self.until_ms.store(if before == PauseMode::None { until_ms } else { end.max(until_ms) }, Ordering::Relaxed);
        self.mode.store(before.max(mode) as u8, Ordering::Release);
    }

    /// Ends the pause and wakes the connections that it holds.
    pub fn end(&self) {
        let mut held = self.held.lock();
        self.mode.store(PauseMode::None as u8, Ordering::Release);
        held.drain(..).for_each(Waker::wake);
    }

    /// Ends the pause if its time is over. CLIENT PAUSE arranges for a call of this at the pause's end.
    pub fn end_if_over(&self) {
        if self.mode(clock::now_ms()) == PauseMode::None {
            self.end();
        }
    }

    /// The mode, and how many milliseconds of the pause are left (INFO).
    pub fn state(&self) -> (PauseMode, i64) {
        let now_ms = clock::now_ms();
        let mode = self.mode(now_ms);
        let rest_ms = if mode == PauseMode::None { 0 } else { self.until_ms.load(Ordering::Relaxed) - now_ms };
        (mode, rest_ms)
    }

    /// Whether a request with these flags is held (see [`super::Session::flags_of_request`]).
    #[inline]
    pub fn holds(&self, flags: Flags) -> bool {
        self.mode.load(Ordering::Acquire) != PauseMode::None as u8 && self.holds_now(flags)
    }

    #[cold]
    fn holds_now(&self, flags: Flags) -> bool {
        match self.mode(clock::now_ms()) {
            PauseMode::None => false,
            PauseMode::All => true,
            PauseMode::Write => flags.intersects(MAY_WRITE),
        }
    }

    /// Whether anything is paused.
    #[inline]
    pub fn is_on(&self) -> bool {
        self.mode.load(Ordering::Acquire) != PauseMode::None as u8 && self.mode(clock::now_ms()) != PauseMode::None
    }

    /// Whether expired keys are kept: no data changes during a pause.
    #[inline]
    pub fn stops_expiry(&self) -> bool {
        self.is_on()
    }

    /// Ready when there is no pause. Otherwise the task is woken at the end of the pause.
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
