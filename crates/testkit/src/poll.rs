//! Waiting for a condition instead of sleeping for a guess.

use std::thread;
use std::time::{Duration, Instant};

/// How long a condition may take on a busy machine before a test calls it a failure.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Polls until `condition` gives something, or `None` once `limit` has passed.
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

/// Polls until `condition` holds; panics with `what` if it does not within [`PATIENCE`].
#[track_caller]
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let held = until(PATIENCE, || condition().then_some(()));
    assert!(held.is_some(), "waited {PATIENCE:?} in vain: {what}");
}
