//! Starting threads: each is named, and what it allocates is counted.

use std::{
    io,
    thread::{Builder, JoinHandle},
};

use crate::memory;

/// Starts a thread with a name that the system's tools show, of at most 15 bytes.
///
/// # Errors
/// If the system cannot start another thread.
pub fn spawn<R: Send + 'static>(name: &str, run: impl FnOnce() -> R + Send + 'static) -> io::Result<JoinHandle<R>> {
    Builder::new().name(name.to_owned()).spawn(move || {
        memory::count_thread();
        run()
    })
}
