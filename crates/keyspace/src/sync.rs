//! The primitives of synchronisation, in one place so that a model checker can stand in for them (`--cfg loom`).

#[cfg(not(loom))]
mod primitives {
    pub(crate) use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

    pub(crate) use parking_lot::Mutex;
    pub(crate) use parking_lot::RawMutex;
    pub(crate) use parking_lot::lock_api::RawMutex as RawMutexTrait;

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

    pub(crate) fn spin(_turns: &mut u32) {
        loom::thread::yield_now();
    }
}

pub(crate) use primitives::*;
