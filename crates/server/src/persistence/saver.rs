//! Saving: a thread that writes a snapshot into a file while the cores go on.
//!
//! ```text
//!  ask ─▶ thread: temporary file ─▶ order ─▶ walker (a task of a core): cut, then shard after shard
//!                    │                                  │ parts: the cut, images, the end
//!                    ◀──────────────────────────────────┘
//!         thread: records into the file ─▶ sync, rename, sync of the directory
//! ```

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use ochre_persist::{
    files::Disk,
    new_file::{NewFile, NewFileError, Step},
};

use super::{aof_files, parts::Parts};
use crate::{
    config::Config,
    process,
    saves::{Asked, Ended, Save, Target},
    server::Server,
    sys, threads,
};

/// After how many bytes a file is synced (`rdb-save-incremental-fsync`). (Redis: `REDIS_AUTOSYNC_BYTES`)
pub const SYNC_EVERY_BYTES: u64 = 4 << 20;
/// Begins a save, unless one is running. Returns whether it begins now or as soon as a cancelled one has ended.
pub fn begin(server: &Arc<Server>, save: Save) -> bool {
    match server.saves.ask(save) {
        Asked::Begins => {
            let of_thread = server.clone();
            let run = move || run(&of_thread);
            if let Err(error) = threads::spawn("ochre-save", run) {
                tracing::warn!("Can't save in background: {error}");
                server.saves.end(Ended::Failed, 0);
            }
            true
        }
        Asked::Follows => true,
        Asked::Refused => false,
    }
}

/// Begins what is due: a save that was scheduled or whose save point is reached, or a rewrite of the append-only file (Redis: `serverCron`).
pub fn begin_if_due(server: &Arc<Server>, config: &Config, now_s: i64) {
    /// How long after a failure the next try comes, in seconds. (Redis: `CONFIG_BGSAVE_RETRY_DELAY`)
    const RETRY_S: i64 = 5;
    if !server.saves.is_idle() {
        return;
    }
    let background = || Save { target: Target::Rdb, is_background: true, then: None };
    if server.saves.take_scheduled() {
        begin(server, background());
        return;
    }
    if aof_files::rewrite_is_due(server, config) {
        begin(server, Save { target: Target::AofBase, is_background: true, then: None });
        return;
    }
    if config.save.is_empty() {
        return;
    }
    let figures = server.saves.figures();
    let changes = server.changes() - figures.changes_saved;
    let may_try = !server.saves.has_failed() || now_s - figures.last_tried_s > RETRY_S;
    let is_reached =
        |&&(seconds, least): &&(i64, i64)| changes >= least as u64 && now_s - figures.last_saved_s > seconds;
    if may_try && let Some((seconds, least)) = config.save.iter().find(is_reached) {
        tracing::info!("{least} changes in {seconds} seconds. Saving...");
        begin(server, background());
    }
}

/// Saves the empty dataset that FLUSHALL leaves, whose handler has closed the gate and calls this first. A save that is running would write what
/// is removed, so it is cancelled. `then` is called at the end.
pub fn save_emptied(server: &Arc<Server>, then: impl FnOnce() + Send + 'static) {
    server.saves.cancel(Target::Rdb);
    begin(server, Save { target: Target::Rdb, is_background: false, then: Some(Box::new(|_| then())) });
}

/// Writes files until no save is asked for.
fn run(server: &Arc<Server>) {
    // Clients come first. An error only means that the thread has the priority of the others.
    let _ = sys::lower_priority();
    while let Some(target) = server.saves.target() {
        let (ended, longest_lock_us) = match target {
            Target::Rdb => save_in_its_words(server),
            Target::AofBase => aof_files::rewrite(server),
        };
        if !server.saves.end(ended, longest_lock_us) {
            return;
        }
    }
}

/// Writes the file, and logs what Redis logs.
fn save_in_its_words(server: &Server) -> (Ended, u64) {
    let is_background = server.saves.progress().is_some_and(|progress| progress.is_background);
    if is_background {
        tracing::info!("Background saving started by pid {}", std::process::id());
    }
    let (ended, longest_lock_us) = save(server);
    if is_background {
        match ended {
            Ended::Saved => tracing::info!("Background saving terminated with success"),
            Ended::Failed => tracing::warn!("Background saving error"),
            Ended::Cancelled => tracing::warn!("Background saving terminated: it was cancelled"),
        }
    }
    (ended, longest_lock_us)
}

/// Writes the file. Returns how that ended, and the longest time for which a shard was locked, in microseconds.
fn save(server: &Server) -> (Ended, u64) {
    let config = server.config.current();
    let began = Instant::now();
    let path = process::path_of(&config.dbfilename);
    let temporary = PathBuf::from(format!("temp-{}.rdb", std::process::id()));
    let sync_every = config.rdb_save_incremental_fsync.then_some(SYNC_EVERY_BYTES);
    let file = match NewFile::create(Arc::new(Disk), &path, &temporary, sync_every) {
        Ok(file) => file,
        Err(error) => {
            log_error(&error, &path, &temporary);
            return (Ended::Failed, 0);
        }
    };
    let mut parts = Parts::order(server, config.databases, None);
    let written = parts.write_rdb(server, &config, file, Target::Rdb);
    let longest_lock_us = parts.drain();
    if server.saves.is_cancelled() {
        return (Ended::Cancelled, longest_lock_us);
    }
    match written.and_then(NewFile::commit) {
        Ok(()) => {
            tracing::info!("DB saved on disk");
            tracing::debug!("Saved in {:?}, shards locked for {longest_lock_us} µs at most", began.elapsed());
            (Ended::Saved, longest_lock_us)
        }
        Err(error) => {
            log_error(&error, &path, &temporary);
            (Ended::Failed, longest_lock_us)
        }
    }
}

/// Logs why a file could not be saved, as Redis does.
fn log_error(error: &NewFileError, path: &Path, temporary: &Path) {
    let (temporary, path) = (temporary.display(), path.display());
    let directory = std::env::current_dir().unwrap_or_default();
    let directory = directory.display();
    match error.step {
        Step::Create => {
            tracing::warn!(
                "Failed opening the temp RDB file {temporary} (in server root dir {directory}) for saving: {error}"
            );
        }
        Step::Write => tracing::warn!("Write error saving DB on disk: {error}"),
        Step::Rename => tracing::warn!(
            "Error moving temp DB file {temporary} on the final destination {path} (in server root dir {directory}): {error}"
        ),
    }
}
