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
    thread,
    time::Instant,
};

use ochre_keyspace::{AccessClock, EntryRef, Images, SnapshotWatch};
use ochre_persist::{
    files::Disk,
    new_file::{NewFile, NewFileError, Step},
    rdb::file::{FileWriter, KeyToWrite},
};
use tokio::sync::mpsc;

use crate::{
    config::Config,
    process,
    saves::{Asked, CutFigures, Ended, Part, Save, WalkOrder},
    server::Server,
    stored, sys,
};

/// How many parts may wait to be written.
const PARTS_MAX: usize = 2;
/// After how many bytes a file is synced (`rdb-save-incremental-fsync`). (Redis: `REDIS_AUTOSYNC_BYTES`)
const SYNC_EVERY_BYTES: u64 = 4 << 20;
/// The least default of `snapshot-backlog-limit`, and the share of the memory in use that counts if it is more.
const BACKLOG_BYTES: usize = 64 << 20;
const BACKLOG_SHARE: usize = 20;

/// Begins a save, unless one is running. Returns whether it begins now or as soon as a cancelled one has ended.
pub fn begin(server: &Arc<Server>, save: Save) -> bool {
    match server.saves.ask(save) {
        Asked::Begins => {
            let of_thread = server.clone();
            let run = move || run(&of_thread);
            if let Err(error) = thread::Builder::new().name("ochre-save".into()).spawn(run) {
                tracing::warn!("Can't save in background: {error}");
                server.saves.end(Ended::Failed, 0);
            }
            true
        }
        Asked::Follows => true,
        Asked::Refused => false,
    }
}

/// Begins a save in the background if a save point is reached, or if one was scheduled (Redis: `serverCron`).
pub fn begin_if_due(server: &Arc<Server>, config: &Config, now_s: i64) {
    /// How long after a failure the next try comes, in seconds. (Redis: `CONFIG_BGSAVE_RETRY_DELAY`)
    const RETRY_S: i64 = 5;
    let background = || Save { is_background: true, then: None };
    if server.saves.take_scheduled() {
        begin(server, background());
        return;
    }
    if config.save.is_empty() || server.saves.is_running() {
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
    server.saves.cancel();
    begin(server, Save { is_background: false, then: Some(Box::new(|_| then())) });
}

/// Writes files until no save is asked for.
fn run(server: &Arc<Server>) {
    // Clients come first. An error only means that the thread has the priority of the others.
    let _ = sys::lower_priority();
    loop {
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
        if !server.saves.end(ended, longest_lock_us) {
            return;
        }
    }
}

/// Writes a file. Returns how that ended, and the longest time for which a shard was locked, in microseconds.
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
    let mut snapshot = Parts::order(server, config.databases);
    let written = snapshot.write(server, &config, file);
    let longest_lock_us = snapshot.drain();
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

/// The parts of a snapshot, as they come from the walker.
struct Parts {
    parts: mpsc::Receiver<Part>,
    /// Where images go back to when they are written.
    written: mpsc::UnboundedSender<Images>,
    /// The longest time for which a shard was locked, once the walk has ended.
    longest_lock_us: Option<u64>,
    watch: Option<SnapshotWatch>,
}

impl Parts {
    /// Orders a walk.
    fn order(server: &Server, databases: usize) -> Parts {
        let (to_parts, parts) = mpsc::channel(PARTS_MAX);
        let (written, to_walker) = mpsc::unbounded_channel();
        server.saves.order(WalkOrder { databases, parts: to_parts, written: to_walker });
        Parts { parts, written, longest_lock_us: None, watch: None }
    }

    fn next(&mut self) -> Part {
        let part = self.parts.blocking_recv().expect("the walker sends parts up to the end");
        match &part {
            Part::End(longest_lock_us) => self.longest_lock_us = Some(*longest_lock_us),
            Part::Cut(cut) => self.watch = Some(cut.watch.clone()),
            Part::Images(_) => {}
        }
        part
    }

    /// Writes all parts. After an error, or if the snapshot is cancelled, the rest is left to [`Parts::drain`].
    fn write(&mut self, server: &Server, config: &Config, file: NewFile) -> Result<NewFile, NewFileError> {
        let Part::Cut(cut) = self.next() else { panic!("the cut is the first part") };
        let limit = match config.snapshot_backlog_limit {
            0 => BACKLOG_BYTES.max(server.used_memory() / BACKLOG_SHARE),
            limit => limit as usize,
        };
        server.saves.note_cut(&cut, limit);
        let mut writer = begin_file(server, config, &cut, file);
        let clock = match config.maxmemory_policy.is_lfu() {
            true => AccessClock::lfu(cut.now_ms, config.lfu_log_factor, config.lfu_decay_time, 0),
            false => AccessClock::lru(cut.now_ms),
        };
        while let Part::Images(mut images) = self.next() {
            let mut keys = 0;
            images.visit(&mut |database, entry: EntryRef<'_>| {
                keys += 1;
                writer.key(&KeyToWrite {
                    database: database as u64,
                    name: entry.key(),
                    value: stored::view(entry),
                    expiry_ms: entry.expiry_ms(),
                    access: stored::access(config, clock, entry.access()),
                });
            });
            images.clear();
            server.saves.note_written(keys);
            // The walker may have ended.
            let _ = self.written.send(images);
            if writer.has_failed() || cut.watch.is_cancelled() {
                break;
            }
        }
        writer.finish().map_err(|error| NewFileError { step: Step::Write, error })
    }

    /// Lets the walk go on to its end without images. Returns the longest time for which a shard was locked, in microseconds.
    fn drain(&mut self) -> u64 {
        if self.longest_lock_us.is_none()
            && let Some(watch) = &self.watch
        {
            watch.cancel();
        }
        loop {
            if let Some(longest) = self.longest_lock_us {
                return longest;
            }
            self.next();
        }
    }
}

/// Writes what comes before the keys. (Redis: `rdbSaveInfoAuxFields`)
fn begin_file(server: &Server, config: &Config, cut: &CutFigures, file: NewFile) -> FileWriter<NewFile> {
    let has_field_expiries = cut.sizes.iter().any(|size| size.with_expiring_fields > 0);
    let options = stored::write_options(config, cut.now_ms);
    let mut writer = FileWriter::new(file, options, has_field_expiries, config.rdbchecksum);
    writer.aux("redis-ver", process::REDIS_VERSION);
    writer.aux("ochre-ver", env!("CARGO_PKG_VERSION"));
    writer.aux_number("redis-bits", usize::BITS.into());
    writer.aux_number("ctime", cut.now_ms / 1000);
    writer.aux_number("used-mem", server.used_memory() as i64);
    writer.aux_number("aof-base", 0);
    for (database, size) in cut.sizes.iter().enumerate().filter(|(_, size)| size.keys > 0) {
        writer.resize(database as u64, size.keys as u64, size.expires as u64);
    }
    writer
}
