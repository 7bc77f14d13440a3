//! Shutting down: SHUTDOWN and the signals begin it, and `start.rs` ends the process.
//!
//! In this version a shutdown waits for nothing: there are no replicas to catch up, and no snapshot to write. So it is never in progress
//! while clients are served, and SHUTDOWN ABORT has nothing to abort. Whatever a shutdown has to wait for is started by
//! [`Shutdown::begin`], and keeps [`Shutdown::begun`] waiting until it is finished, until `shutdown-timeout` has passed, or until
//! [`Shutdown::abort`] takes the shutdown back.

use bitflags::bitflags;
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

/// Whether the process is to end.
#[derive(Default)]
pub struct Shutdown {
    begun: Notify,
}

/// The data could not be saved, so the server goes on. The log says why.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NotSaved;

impl Shutdown {
    /// Begins to shut the server down. If the data cannot be saved as the options demand, the server goes on.
    pub fn begin(&self, options: ShutdownOptions) -> Result<(), NotSaved> {
        tracing::info!("User requested shutdown...");
        if options.contains(ShutdownOptions::SAVE) {
            tracing::warn!("This version keeps data in memory only: it cannot save a snapshot.");
            if !options.contains(ShutdownOptions::FORCE) {
                tracing::warn!("Error trying to save the DB, can't exit.");
                tracing::warn!("Errors trying to shut down the server. Check the logs for more information.");
                return Err(NotSaved);
            }
            tracing::warn!("Error trying to save the DB. Exit anyway.");
        }
        self.begun.notify_one();
        Ok(())
    }

    /// Takes back a shutdown that waits. Returns whether there is one.
    pub fn abort(&self) -> bool {
        false
    }

    /// Returns when the process is to end.
    pub async fn begun(&self) {
        self.begun.notified().await;
    }
}
