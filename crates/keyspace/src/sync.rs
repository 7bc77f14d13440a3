//! The primitives of synchronisation, in one place so that a model checker can stand in for them (`--cfg loom`).

#[cfg(not(loom))]
mod primitives {
    pub(crate) use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

    pub(crate) use parking_lot::Mutex;
    use parking_lot::{RawMutex, lock_api::RawMutex as _};

    /// A lock of one byte that is locked and unlocked without a guard: a lock set holds many.
    pub(crate) struct RawLock(RawMutex);

    impl RawLock {
        pub(crate) fn new() -> RawLock {
            RawLock(RawMutex::INIT)
        }

        #[inline]
        pub(crate) fn lock(&self) {
            self.0.lock();
        }

        /// # Safety
        /// The caller locked it.
        #[inline]
        pub(crate) unsafe fn unlock(&self) {
            // SAFETY: the caller's promise.
            unsafe { self.0.unlock() };
        }
    }

    /// Between a write and a read of other cores' words, both sequentially consistent: nothing more is needed.
    #[inline(always)]
    pub(crate) fn order_write_before_read() {}

    /// Waits a little; longer the more turns it took.
    pub(crate) fn spin(turns: &mut u32) {
        *turns += 1;
        if *turns < 64 { std::hint::spin_loop() } else { std::thread::yield_now() }
    }
}

#[cfg(loom)]
mod primitives {
    pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU32, Ordering};

    /// loom's mutex in the shape of parking_lot's.
    pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Mutex<T> {
            Mutex(loom::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> loom::sync::MutexGuard<'_, T> {
            self.0.lock().expect("no thread panicked under the lock")
        }
    }

    /// The lock of a shard as the model sees it: loom's mutex, whose guard is kept beside it.
    pub(crate) struct RawLock {
        mutex: loom::sync::Mutex<()>,
        guard: std::cell::UnsafeCell<Option<loom::sync::MutexGuard<'static, ()>>>,
    }

    impl RawLock {
        pub(crate) fn new() -> RawLock {
            RawLock { mutex: loom::sync::Mutex::new(()), guard: std::cell::UnsafeCell::new(None) }
        }

        pub(crate) fn lock(&self) {
            let guard = self.mutex.lock().expect("no thread panicked under the lock");
            // SAFETY: the guard is dropped by `unlock`, before the shard is; only who holds the mutex reaches the cell.
            unsafe { *self.guard.get() = Some(std::mem::transmute::<_, loom::sync::MutexGuard<'static, ()>>(guard)) };
        }

        /// # Safety
        /// The caller locked it.
        pub(crate) unsafe fn unlock(&self) {
            // SAFETY: the caller holds the mutex.
            drop(unsafe { (*self.guard.get()).take() });
        }
    }

    /// The model checker takes sequentially consistent operations for acquire and release; only its fences are what they are.
    pub(crate) fn order_write_before_read() {
        loom::sync::atomic::fence(Ordering::SeqCst);
    }

    pub(crate) fn spin(_turns: &mut u32) {
        loom::thread::yield_now();
    }
}

pub(crate) use primitives::*;
