//! The room that a core has left below `maxmemory`, and what it needs to make more.
//!
//! To know how much memory is in use, the counters of all threads are summed up. A core does not do that for each request. When it has done it,
//! it may allocate a share of what was left before it does it again. The shares of all cores together are less than what was left.

use std::{
    cell::{Cell, RefCell},
    task::{Context, Poll, Waker},
};

use ochre_keyspace::Evictor;
use tokio::sync::Notify;

use crate::memory::OwnMemory;

/// See the module.
pub struct Room {
    own: OwnMemory,
    /// Up to which value of `own` the core may allocate without looking at the memory of all.
    allowance: Cell<i64>,
    /// The keys that may be evicted next.
    pub evictor: RefCell<Evictor>,
    /// Whether the core's task is evicting keys.
    is_evicting: Cell<bool>,
    /// Notified when keys are to be evicted.
    begin: Notify,
    /// The tasks that wait until the core has stopped evicting.
    waiting: RefCell<Vec<Waker>>,
}

impl Room {
    /// That of the calling thread's core.
    pub fn new() -> Room {
        Room {
            own: OwnMemory::of_this_thread(),
            allowance: Cell::new(i64::MIN),
            evictor: RefCell::default(),
            is_evicting: Cell::new(false),
            begin: Notify::new(),
            waiting: RefCell::default(),
        }
    }

    /// What the core has allocated less what it has freed, in bytes.
    #[inline]
    pub fn own_bytes(&self) -> i64 {
        self.own.bytes()
    }

    /// Whether the core is below its share, so that the limit is not exceeded for sure.
    #[inline]
    pub fn is_sure(&self) -> bool {
        self.own_bytes() < self.allowance.get()
    }

    /// Gives the core its share of `left` bytes, which all `cores` have left together.
    pub fn allow(&self, left: u64, cores: usize) {
        // Half of it, since the shares are given at different times.
        let share = left / (2 * cores as u64);
        self.allowance.set(self.own_bytes().saturating_add_unsigned(share));
    }

    /// Takes the share back, since other threads have allocated too, or since the limit has changed.
    pub fn forget(&self) {
        self.allowance.set(i64::MIN);
    }

    /// Has the core's task evict keys.
    pub fn begin_evicting(&self) {
        self.is_evicting.set(true);
        self.begin.notify_one();
    }

    /// Waits until keys are to be evicted.
    pub async fn wanted(&self) {
        self.begin.notified().await;
        self.is_evicting.set(true);
    }

    /// Notes that enough keys are evicted, or that none is left, and wakes the tasks that wait for that.
    pub fn end_evicting(&self) {
        self.is_evicting.set(false);
        self.waiting.take().into_iter().for_each(Waker::wake);
    }

    /// Returns `Ready` if the core does not evict keys. Otherwise the task is woken when it has stopped.
    pub fn poll_evicted(&self, context: &mut Context<'_>) -> Poll<()> {
        if !self.is_evicting.get() {
            return Poll::Ready(());
        }
        self.waiting.borrow_mut().push(context.waker().clone());
        Poll::Pending
    }
}

impl Default for Room {
    fn default() -> Room {
        Room::new()
    }
}
