//! Waiting for a condition, instead of sleeping for a guessed time.

use std::thread;
use std::time::{Duration, Instant};

/// How long a test waits for a condition before it fails. A busy machine needs much of it.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Polls `condition` until it returns something, and returns that. Returns `None` after `limit`.
pub fn until<T>(limit: Duration, mut condition: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + limit;
    let mut pause = Duration::from_micros(200);
    loop {
        if let Some(found) = condition() {
            return Some(found);
        }
        if Instant::now() >= deadline {
            return None;
        }
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(10));
    }
}

/// Polls `condition` until it is true.
///
/// # Panics
/// If it is not true within [`PATIENCE`]. `what` describes the condition.
#[track_caller]
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let held = until(PATIENCE, || condition().then_some(()));
    assert!(held.is_some(), "not true within {PATIENCE:?}: {what}");
}
