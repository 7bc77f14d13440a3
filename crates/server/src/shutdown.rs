//! The state of a shutdown: whether one is in progress, and who waits for it. `stop.rs` begins it, and `start.rs` ends the process.

use bitflags::bitflags;
use parking_lot::Mutex;
use tokio::sync::Notify;

bitflags! {
    /// How to shut down.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct ShutdownOptions: u8 {
        /// Save the data first, whatever the save points are.
        const SAVE = 1;
        /// Do not save the data, whatever the save points are.
        const NOSAVE = 1 << 1;
        /// Do not wait for replicas.
        const NOW = 1 << 2;
        /// Exit even if the data cannot be saved.
        const FORCE = 1 << 3;
    }
}

impl ShutdownOptions {
    /// The options whose names, in lower case, are among these words. Other words are ignored.
    pub fn of_names(names: &[&str]) -> ShutdownOptions {
        let named = [
            ("save", ShutdownOptions::SAVE),
            ("nosave", ShutdownOptions::NOSAVE),
            ("now", ShutdownOptions::NOW),
            ("force", ShutdownOptions::FORCE),
        ];
        named.iter().filter(|(name, _)| names.contains(name)).map(|&(_, option)| option).collect()
    }
}

/// Whether the process is to end.
#[derive(Default)]
pub struct Shutdown {
    progress: Mutex<Progress>,
    decided: Notify,
}

#[derive(Default)]
enum Progress {
    #[default]
    None,
    /// It waits for something, and can be taken back. Each of these is called if it is, or if it fails.
    Waiting(Vec<TakenBack>),
    /// The process ends.
    Decided,
}

/// Called when a shutdown does not come about.
pub type TakenBack = Box<dyn FnOnce() + Send>;

impl Shutdown {
    /// Begins a shutdown. Returns false if one is in progress, which then goes on for this caller too.
    pub fn begin(&self, taken_back: TakenBack) -> bool {
        let mut progress = self.progress.lock();
        match &mut *progress {
            Progress::None => *progress = Progress::Waiting(vec![taken_back]),
            Progress::Waiting(waiting) => {
                waiting.push(taken_back);
                return false;
            }
            Progress::Decided => return false,
        }
        true
    }

    /// Decides that the process ends, unless the shutdown was taken back.
    pub fn decide(&self) {
        let mut progress = self.progress.lock();
        if matches!(*progress, Progress::Waiting(_)) {
            *progress = Progress::Decided;
            self.decided.notify_one();
        }
    }

    /// Takes back a shutdown that waits: the process goes on. Returns whether there is one.
    pub fn take_back(&self) -> bool {
        let mut progress = self.progress.lock();
        let Progress::Waiting(waiting) = &mut *progress else { return false };
        let waiting = std::mem::take(waiting);
        *progress = Progress::None;
        drop(progress);
        waiting.into_iter().for_each(|taken_back| taken_back());
        true
    }

    /// Returns whether a shutdown waits for something.
    pub fn is_waiting(&self) -> bool {
        matches!(*self.progress.lock(), Progress::Waiting(_))
    }

    /// Returns when the process is to end.
    pub async fn decided(&self) {
        self.decided.notified().await;
    }
}
