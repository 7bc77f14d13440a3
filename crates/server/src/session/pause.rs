//! CLIENT PAUSE: requests are held until the pause's time is over or CLIENT UNPAUSE ends it.

use std::{
    sync::atomic::{AtomicI64, AtomicU8, Ordering},
    task::{Context, Poll},
};

use ochre_keyspace::WaitingTasks;
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

/// The bit of [`Pause::mode`] that is set while a shutdown waits for the last save.
const STOPPED: u8 = 1 << 2;
/// The bits of [`Pause::mode`] that are a [`PauseMode`].
const MODE: u8 = STOPPED - 1;

/// The pause of a server.
pub struct Pause {
    /// A [`PauseMode`], which stays set when the time is over, until [`Pause::end_if_over`]; and [`STOPPED`].
    mode: AtomicU8,
    /// When the pause ends, in milliseconds since 1970.
    until_ms: AtomicI64,
    /// The connections whose requests are held. A mutex, which also guards changes of the two fields above: pauses are rare.
    held: Mutex<WaitingTasks>,
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
        self.set_mode(before.max(mode));
    }

    /// Ends the pause and wakes the connections that it holds.
    pub fn end(&self) {
        let mut held = self.held.lock();
        self.set_mode(PauseMode::None);
        held.wake_all();
    }

    /// Holds all writes until [`Pause::resume_writes`], whatever CLIENT UNPAUSE does. If a cut follows, no write comes after the cut.
    pub fn stop_writes(&self) {
        self.mode.fetch_or(STOPPED, Ordering::AcqRel);
    }

    /// Ends what [`Pause::stop_writes`] began.
    pub fn resume_writes(&self) {
        let mut held = self.held.lock();
        self.mode.fetch_and(!STOPPED, Ordering::AcqRel);
        held.wake_all();
    }

    /// Sets the mode. The caller has locked `held`.
    fn set_mode(&self, mode: PauseMode) {
        let set = |bits| Some(bits & !MODE | mode as u8);
        let _ = self.mode.fetch_update(Ordering::AcqRel, Ordering::Acquire, set);
    }

    fn is_stopped(&self) -> bool {
        self.mode.load(Ordering::Acquire) & STOPPED != 0
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
        self.mode.load(Ordering::Acquire) != 0 && self.holds_now(flags)
    }

    #[cold]
    fn holds_now(&self, flags: Flags) -> bool {
        match self.mode(clock::now_ms()) {
            PauseMode::None => self.is_stopped() && flags.intersects(MAY_WRITE),
            PauseMode::All => true,
            PauseMode::Write => flags.intersects(MAY_WRITE),
        }
    }

    /// Whether anything is paused.
    #[inline]
    pub fn is_on(&self) -> bool {
        let is_set = self.mode.load(Ordering::Acquire) != 0;
        is_set && (self.is_stopped() || self.mode(clock::now_ms()) != PauseMode::None)
    }

    /// Whether expired keys are kept: no data changes during a pause.
    #[inline]
    pub fn stops_expiry(&self) -> bool {
        self.is_on()
    }

    /// Ready when nothing is held. Otherwise the task is woken at the end of the pause.
    pub fn poll_end(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut held = self.held.lock();
        if !self.is_on() {
            return Poll::Ready(());
        }
        held.add(cx.waker());
        Poll::Pending
    }

    fn mode(&self, now_ms: i64) -> PauseMode {
        if now_ms >= self.until_ms.load(Ordering::Relaxed) {
            return PauseMode::None;
        }
        match self.mode.load(Ordering::Acquire) & MODE {
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
