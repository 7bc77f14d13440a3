//! The primitives of synchronisation, in one place so that a model checker can stand in for them (`--cfg loom`).

#[cfg(not(loom))]
mod primitives {
    pub(crate) use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};

    pub(crate) use parking_lot::Mutex;

    /// Placed between a write of one's own word and a read of other cores' words. Both are sequentially consistent, so nothing more is
    /// needed.
    #[inline(always)]
    pub(crate) fn order_write_before_read() {}

    /// Waits a little, while a lock is held for a moment; `false` once it has waited `turns_max` times.
    #[inline]
    pub(crate) fn spin(turns: &mut u32, turns_max: u32) -> bool {
        *turns += 1;
        std::hint::spin_loop();
        *turns <= turns_max
    }
}

#[cfg(loom)]
mod primitives {
    pub(crate) use loom::sync::atomic::{AtomicU8, AtomicU32, Ordering};

    /// loom's mutex in the shape of parking_lot's.
    #[derive(Default)]
    pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Mutex<T> {
            Mutex(loom::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> loom::sync::MutexGuard<'_, T> {
            self.0.lock().expect("no thread panicked under the lock")
        }
    }

    /// The model checker takes sequentially consistent operations for acquire and release; only its fences are what they are.
    pub(crate) fn order_write_before_read() {
        loom::sync::atomic::fence(Ordering::SeqCst);
    }

    /// One more try is enough for the model: more of them only repeat the same states.
    pub(crate) fn spin(turns: &mut u32, _turns_max: u32) -> bool {
        *turns += 1;
        loom::thread::yield_now();
        *turns <= 1
    }
}

pub(crate) use primitives::*;

use std::{collections::HashMap, task::Context, task::Poll, task::Waker};

/// The lock of a shard: a word that names the holder. It is never waited for by a thread: the caller tries, and parks a task on it.
///
/// ```text
///  31              1  0
/// ┌──────────────────┬─┐
/// │ holder, 0: free  │ │ bit 0: a task is parked on it
/// └──────────────────┴─┘
/// ```
///
/// A mutex and not a read-write lock: most critical sections are shorter than the second atomic step of a read lock.
pub(crate) struct ShardLock(AtomicU32);

const PARKED: u32 = 1;

/// The number of whoever holds locks, from 1 on.
pub(crate) type Holder = u32;

impl ShardLock {
    pub(crate) fn new() -> ShardLock {
        ShardLock(AtomicU32::new(0))
    }

    #[inline]
    pub(crate) fn try_lock(&self, holder: Holder) -> bool {
        self.0.compare_exchange(0, holder << 1, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    #[inline]
    pub(crate) fn is_held_by(&self, holder: Holder) -> bool {
        self.0.load(Ordering::Relaxed) >> 1 == holder
    }

    /// Unlocks; whether tasks are parked on it, which the caller wakes with [`ParkedTasks::wake`].
    ///
    /// # Safety
    /// The caller locked it.
    #[inline]
    pub(crate) unsafe fn unlock(&self) -> bool {
        self.0.swap(0, Ordering::Release) & PARKED != 0
    }

    /// Sets the bit for parked tasks; not where the lock is free.
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

/// The tasks that are parked on shards' locks, by shard. One table for all shards: it is touched only where a lock is held for long.
#[derive(Default)]
pub(crate) struct ParkedTasks(Mutex<HashMap<u16, Vec<Waker>, foldhash::fast::RandomState>>);

impl ParkedTasks {
    /// Ready where the lock is free; else the task is parked, and woken when the lock is unlocked.
    ///
    /// No wake-up is lost: the bit is set while the lock is held, so its holder sees the bit when it unlocks, and then waits for the
    /// table, in which the task is by then.
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

    /// Wakes the tasks that are parked on a shard, in the order in which they came.
    #[cold]
    pub(crate) fn wake(&self, shard: u16) {
        let wakers = self.0.lock().remove(&shard);
        wakers.into_iter().flatten().for_each(Waker::wake);
    }
}
