//! How the server stops: what SHUTDOWN and the signals begin.
//!
//! If the data is to be saved first, writes wait from the cut on, so that nothing is acknowledged that the file does not have. Reads go on.

use std::sync::Arc;

use crate::{
    config::Config,
    persistence::saver,
    saves::{Ended, Save, Target},
    server::Server,
    shutdown::{ShutdownOptions, TakenBack},
};

/// Begins to shut the server down. `taken_back` is called if that fails or is aborted. (Redis: `prepareForShutdown`)
pub fn begin(server: &Arc<Server>, config: &Config, options: ShutdownOptions, taken_back: TakenBack) {
    tracing::info!("User requested shutdown...");
    if !server.shutdown.begin(taken_back) {
        return;
    }
    server.saves.cancel(Target::AofBase);
    if server.saves.cancel(Target::Rdb) {
        tracing::warn!("A snapshot is being written. It is cancelled.");
    }
    let saves_always = options.contains(ShutdownOptions::SAVE);
    let never_saves = options.contains(ShutdownOptions::NOSAVE) || server.loading.is_on();
    if never_saves || !saves_always && config.save.is_empty() {
        server.pause.stop_writes();
        server.shutdown.decide();
        return;
    }
    tracing::info!("Saving the final RDB snapshot before exiting.");
    server.pause.stop_writes();
    let of_save = server.clone();
    let then = Box::new(move |ended| saved(&of_save, options, ended));
    saver::begin(server, Save { target: Target::Rdb, is_background: false, then: Some(then) });
}

/// Ends the process if the data was saved, or if it is to end in any case.
fn saved(server: &Server, options: ShutdownOptions, ended: Ended) {
    if ended == Ended::Saved {
        server.shutdown.decide();
    } else if options.contains(ShutdownOptions::FORCE) {
        tracing::warn!("Error trying to save the DB. Exit anyway.");
        server.shutdown.decide();
    } else if take_back(server) {
        tracing::warn!("Error trying to save the DB, can't exit.");
        tracing::warn!("Errors trying to shut down the server. Check the logs for more information.");
    }
}

/// Takes back a shutdown that waits (SHUTDOWN ABORT). Returns whether there is one.
pub fn abort(server: &Server) -> bool {
    let is_taken_back = take_back(server);
    if is_taken_back {
        server.saves.cancel(Target::Rdb);
        tracing::info!("Shutdown manually aborted.");
    }
    is_taken_back
}

fn take_back(server: &Server) -> bool {
    let is_taken_back = server.shutdown.take_back();
    if is_taken_back {
        server.pause.resume_writes();
    }
    is_taken_back
}
