//! Locks and atomics. They are in one place so that the model checker loom can stand in for them (`--cfg loom`).

#[cfg(not(loom))]
mod primitives {
    pub(crate) use std::sync::{
        OnceLock,
        atomic::{AtomicI64, AtomicU8, AtomicU32, AtomicU64, Ordering, fence},
    };

    pub(crate) use parking_lot::Mutex;

    /// Orders a write before a read of another word. It does nothing, since both are sequentially consistent.
    #[inline(always)]
    pub(crate) fn order_write_before_read() {}

    /// Spins once, and counts it in `turns`. Returns whether to go on: false after `turns_max` turns.
    #[inline]
    pub(crate) fn spin(turns: &mut u32, turns_max: u32) -> bool {
        *turns += 1;
        std::hint::spin_loop();
        *turns <= turns_max
    }

    /// Waits for another thread to make a few stores. If that takes long, the other thread was interrupted, and is given the processor.
    #[inline]
    pub(crate) fn wait_a_moment(turns: &mut u32) {
        const TURNS_MAX: u32 = 100;
        if !spin(turns, TURNS_MAX) {
            std::thread::yield_now();
        }
    }
}

#[cfg(loom)]
mod primitives {
    /// Loom has none. The tests use one database, which needs none.
    pub(crate) use std::sync::OnceLock;

    pub(crate) use loom::sync::atomic::{AtomicI64, AtomicU8, AtomicU32, AtomicU64, Ordering, fence};

    /// Loom's mutex with the methods of parking_lot's.
    #[derive(Default)]
    pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Mutex<T> {
            Mutex(loom::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> loom::sync::MutexGuard<'_, T> {
            self.0.lock().expect("no thread panics while it holds the lock")
        }
    }

    /// Orders a write before a read of another word. Loom treats sequentially consistent operations as acquire and release, so it needs a
    /// fence.
    pub(crate) fn order_write_before_read() {
        loom::sync::atomic::fence(Ordering::SeqCst);
    }

    /// As above, but for one turn: further turns would only repeat the same states.
    pub(crate) fn spin(turns: &mut u32, _turns_max: u32) -> bool {
        *turns += 1;
        loom::thread::yield_now();
        *turns <= 1
    }

    /// As above.
    pub(crate) fn wait_a_moment(_turns: &mut u32) {
        loom::thread::yield_now();
    }
}

pub(crate) use primitives::*;

use std::{collections::HashMap, task::Context, task::Poll, task::Waker};

/// The lock of a shard: a word with the number of its holder. No thread sleeps on it: a caller that cannot lock it parks a task on it.
///
/// ```text
///  31              1  0
/// ┌──────────────────┬─┐
/// │ holder; 0: free  │ │ bit 0: tasks are parked
/// └──────────────────┴─┘
/// ```
///
/// It does not tell readers from writers, because most visits are shorter than the second atomic operation of a read-write lock.
pub(crate) struct ShardLock(AtomicU32);

/// The bit of a lock that says that tasks are parked on it.
const PARKED: u32 = 1;

/// The number of a visit that holds locks, of 31 bits, from 1 on.
pub(crate) type Holder = u32;

impl ShardLock {
    pub(crate) fn new() -> ShardLock {
        ShardLock(AtomicU32::new(0))
    }

    /// Locks, if the lock is free. Returns whether it was.
    #[inline]
    pub(crate) fn try_lock(&self, holder: Holder) -> bool {
        self.0.compare_exchange(0, holder << 1, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// Returns whether this holder has the lock.
    #[inline]
    pub(crate) fn is_held_by(&self, holder: Holder) -> bool {
        self.0.load(Ordering::Relaxed) >> 1 == holder
    }

    /// Unlocks. Returns whether tasks are parked on the lock, which the caller then wakes with [`ParkedTasks::wake`].
    ///
    /// # Safety
    /// The caller has the lock.
    #[inline]
    pub(crate) unsafe fn unlock(&self) -> bool {
        self.0.swap(0, Ordering::Release) & PARKED != 0
    }

    /// Notes that a task is parked on the lock, unless it is free. Returns whether it is held.
    fn note_parked(&self) -> bool {
        let mut word = self.0.load(Ordering::Relaxed);
        while word != 0 {
            match self.0.compare_exchange(word, word | PARKED, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(now) => word = now,
            }
        }
        false
    }
}

/// The tasks that are parked on the locks of shards, by shard. One table serves all shards, since it is used only when a lock is held for long.
#[derive(Default)]
pub(crate) struct ParkedTasks(Mutex<HashMap<u16, Vec<Waker>, foldhash::fast::RandomState>>);

impl ParkedTasks {
    /// Returns `Ready` if the lock is free. Otherwise the task is parked, and is woken when the lock is unlocked.
    ///
    /// No wake-up is lost. The bit is set while the lock is held and while this function has the table locked. So the holder sees the bit when
    /// it unlocks, and then waits for the table, which contains the task by then.
    pub(crate) fn poll_free(&self, shard: u16, lock: &ShardLock, context: &mut Context<'_>) -> Poll<()> {
        let mut tasks = self.0.lock();
        if !lock.note_parked() {
            return Poll::Ready(());
        }
        let wakers = tasks.entry(shard).or_default();
        if !wakers.iter().any(|waker| waker.will_wake(context.waker())) {
            wakers.push(context.waker().clone());
        }
        Poll::Pending
    }

    /// Wakes the tasks that are parked on a shard, in order of arrival. Another visit may have locked the shard again meanwhile; then a task
    /// that was just parked is woken too early, and parks again.
    #[cold]
    pub(crate) fn wake(&self, shard: u16) {
        let wakers = self.0.lock().remove(&shard);
        wakers.into_iter().flatten().for_each(Waker::wake);
    }
}
