//! The gate: how one command has the whole keyspace to itself.
//!
//! Every core enters the gate for a batch and leaves it after; entering is a try, which fails while the gate is closed. Who closes it
//! waits until all others are out, which takes one batch at most, and then is alone.
//!
//! Entering writes a word of the core's own and reads the flag; closing writes the flag and reads all words. Both sides write before
//! they read, in one total order (sequential consistency), so at least one of two sees the other (Dekker's algorithm).

use std::task::{Context, Poll, Waker};

use crate::sync::{AtomicBool, AtomicU32, Mutex, Ordering, order_write_before_read, spin};

#[repr(align(128))]
struct Word(AtomicU32);

/// See the module.
pub struct Gate {
    closed: AtomicBool,
    /// One word a core: 1 while it is inside.
    inside: Box<[Word]>,
    /// Who found the gate closed and waits for it to open. A mutex, since it is touched only when the gate is used.
    parked: Mutex<Vec<Waker>>,
}

/// Being inside: the gate cannot be closed until it is dropped.
pub struct Entered<'g> {
    gate: &'g Gate,
    core: usize,
}

impl Entered<'_> {
    /// The core that is inside.
    #[inline]
    pub(crate) fn core(&self) -> usize {
        self.core
    }
}

/// Having the keyspace alone, until it is dropped.
pub struct Closed<'g> {
    gate: &'g Gate,
}

impl Gate {
    pub(crate) fn new(cores: usize) -> Gate {
        Gate {
            closed: AtomicBool::new(false),
            inside: (0..cores).map(|_| Word(AtomicU32::new(0))).collect(),
            parked: Mutex::new(Vec::new()),
        }
    }

    /// Enters, or not where the gate is closed. A core enters once at a time.
    #[inline]
    pub fn enter(&self, core: usize) -> Option<Entered<'_>> {
        let before = self.inside[core].0.swap(1, Ordering::SeqCst);
        debug_assert_eq!(before, 0, "a core is inside once");
        order_write_before_read();
        if self.closed.load(Ordering::SeqCst) {
            self.inside[core].0.store(0, Ordering::Release);
            return None;
        }
        Some(Entered { gate: self, core })
    }

    /// Closes the gate and waits until everybody else is out; not where another has closed it. The caller is not inside.
    pub fn close(&self) -> Option<Closed<'_>> {
        if self.closed.swap(true, Ordering::SeqCst) {
            return None;
        }
        order_write_before_read();
        for word in &self.inside {
            let mut turns = 0;
            while word.0.load(Ordering::SeqCst) != 0 {
                spin(&mut turns);
            }
        }
        Some(Closed { gate: self })
    }

    /// Ready when the gate is open; else the task is woken when it opens.
    pub fn poll_open(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut parked = self.parked.lock();
        if !self.closed.load(Ordering::SeqCst) {
            return Poll::Ready(());
        }
        parked.push(context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Entered<'_> {
    #[inline]
    fn drop(&mut self) {
        self.gate.inside[self.core].0.store(0, Ordering::Release);
    }
}

impl Drop for Closed<'_> {
    fn drop(&mut self) {
        let parked = {
            let mut parked = self.gate.parked.lock();
            self.gate.closed.store(false, Ordering::SeqCst);
            std::mem::take(&mut *parked)
        };
        for waker in parked {
            waker.wake();
        }
    }
}
