//! The files of the append-only log: opening them at start, rewriting them, and turning the log on and off.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use ochre_persist::{
    aof::folder::{Folder, FolderError, NewBase},
    files::{Disk, Files, OutFile},
    new_file::{NewFile, NewFileError},
    rdb::file::FileWriter,
};

use super::{
    folder_lock::{FolderLock, LockError},
    parts::Parts,
    saver::{self, SYNC_EVERY_BYTES},
    stored,
};
use crate::{
    aof::{Begin, Log, LogOptions, Sync},
    clock,
    config::{AppendFsync, Config},
    journal::{Position, Sink},
    process,
    saves::{Ended, Save, Target},
    server::Server,
};

/// The settings of the log.
pub fn options(config: &Config) -> LogOptions {
    let sync = match config.appendfsync {
        AppendFsync::No => Sync::No,
        AppendFsync::Everysec => Sync::EverySecond,
        AppendFsync::Always => Sync::Always,
    };
    LogOptions { sync, times: config.aof_timestamp_enabled, checksums: config.aof_checksum }
}

/// Opens the folder. It is made if it does not exist.
///
/// # Errors
/// If it cannot be read, or its manifest is wrong.
pub fn open(config: &Config) -> Result<Folder, FolderError> {
    Folder::open(Arc::new(Disk), &process::path_of(&config.appenddirname), &config.appendfilename)
}

/// Keeps other servers away from the folder, if that has not been done.
///
/// # Errors
/// If another server uses it.
pub fn lock(server: &Server, config: &Config) -> Result<(), LockError> {
    let mut lock = server.aof.folder_lock.lock();
    if lock.is_none() {
        *lock = Some(Box::new(FolderLock::take(&path(config))?));
    }
    Ok(())
}

/// Begins the log, after the folder was loaded. No client is served yet. An empty folder gets an empty base.
///
/// # Errors
/// The error of the system.
pub fn start(server: &Arc<Server>, config: &Config, mut folder: Folder) -> io::Result<()> {
    if folder.is_empty() {
        tracing::info!("Creating AOF base file on server start");
        write_empty_base(config, &mut folder)?;
    }
    folder.remove_leftovers()?;
    folder.remove_history()?;
    let base_size = base_size(&folder);
    let (file, len) = folder.resume_increment()?;
    let size = size_of_increments(&folder);
    tracing::debug!("Appending to an increment of {len} bytes");
    let log = Log::start(
        server.cores(),
        options(config),
        Begin { file, len, size, position: server.journal.last_position() },
    )?;
    server.aof.note_sizes(base_size, base_size + size);
    *server.aof.folder.lock() = Some(folder);
    server.aof.set_log(Some(log.clone()));
    server.journal.keep(log as Arc<dyn Sink>);
    Ok(())
}

fn write_empty_base(config: &Config, folder: &mut Folder) -> io::Result<()> {
    let NewBase { mut file, part } =
        folder.begin_base(config.aof_use_rdb_preamble, None).map_err(|failed| failed.error)?;
    if config.aof_use_rdb_preamble {
        let options = stored::write_options(config, clock::now_ms());
        let mut writer = FileWriter::new(file, options, false, config.rdbchecksum);
        writer.aux("redis-ver", process::REDIS_VERSION);
        writer.aux_number("aof-base", 1);
        file = writer.finish()?;
    }
    file.commit().map_err(|failed| failed.error)?;
    folder.finish_rewrite(part, 0, None)
}

fn base_size(folder: &Folder) -> u64 {
    let has_base = folder.manifest().base.is_some();
    folder.files_to_load().first().filter(|_| has_base).map_or(0, |base| len_of(&base.path))
}

fn size_of_increments(folder: &Folder) -> u64 {
    let has_base = usize::from(folder.manifest().base.is_some());
    folder.files_to_load().iter().skip(has_base).map(|file| len_of(&file.path)).sum()
}

fn len_of(path: &Path) -> u64 {
    Disk.len(path).unwrap_or(0)
}

/// Prepares settings that are to change (CONFIG SET): opens the folder for `appendonly yes`.
///
/// # Errors
/// If the folder cannot be opened.
pub fn prepare(server: &Server, before: &Config, after: &Config) -> Result<(), String> {
    if after.appendonly && !before.appendonly {
        lock(server, after).map_err(|error| error.to_string())?;
        let mut folder = server.aof.folder.lock();
        if folder.is_none() {
            *folder = Some(open(after).map_err(|error| error.to_string())?);
        }
    }
    Ok(())
}

/// Follows settings that have changed and are in force. `appendonly yes` begins a rewrite, and the log counts from its end on.
pub fn follow(server: &Arc<Server>, before: &Config, after: &Config) {
    if options(after) != options(before) {
        server.aof.set_options(options(after));
    }
    if after.appendonly && !before.appendonly {
        saver::begin(server, Save { target: Target::AofBase, is_background: true, then: None });
    } else if before.appendonly && !after.appendonly {
        turn_off(server);
    }
}

/// Ends the log. What was written before is synced.
fn turn_off(server: &Server) {
    tracing::info!("Stopping the append-only file");
    server.saves.cancel(Target::AofBase);
    server.journal.end();
    if let Some(log) = server.aof.log() {
        server.aof.set_log(None);
        log.end();
    }
}

/// Writes and syncs what the log has, before the process ends.
pub fn finish(server: &Server) {
    if let Some(log) = server.aof.log() {
        tracing::info!("Calling fsync() on the AOF file.");
        log.end();
    }
}

/// Returns whether the log is to be rewritten now: BGREWRITEAOF was scheduled, it has grown, or a file was given up.
pub fn rewrite_is_due(server: &Server, config: &Config) -> bool {
    /// From so many failures on, a rewrite is begun by growth only every so many minutes. (Redis: `aofRewriteLimited`)
    const FAILURES_MAX: u32 = 3;
    let rewrites = server.aof.rewrites();
    if !config.appendonly {
        return rewrites.is_scheduled;
    }
    let Some(log) = server.aof.log() else {
        // It was turned on, but the rewrite that begins it has failed.
        return server.aof.folder_lock.lock().is_some() && rewrites.may_try(FAILURES_MAX);
    };
    if rewrites.is_scheduled || log.needs_rewrite() && rewrites.may_try(FAILURES_MAX) {
        return true;
    }
    let (size, before, _) = server.aof.sizes();
    let percentage = u64::from(config.auto_aof_rewrite_percentage);
    if percentage == 0 || size <= config.auto_aof_rewrite_min_size {
        return false;
    }
    let growth = (size * 100 / before.max(1)).saturating_sub(100);
    let is_due = growth >= percentage && rewrites.may_try(FAILURES_MAX);
    if is_due {
        tracing::info!("Starting automatic rewriting of AOF on {growth}% growth");
    }
    is_due
}

/// Rewrites the log: a snapshot becomes the base, and what is written after the cut goes to a further increment. Returns how that ended, and the
/// longest time for which a shard was locked, in microseconds. (Redis: `rewriteAppendOnlyFileBackground`)
pub fn rewrite(server: &Arc<Server>) -> (Ended, u64) {
    let began = Instant::now();
    tracing::info!("Background append only file rewriting started by pid {}", std::process::id());
    server.aof.change_rewrites(|rewrites| rewrites.is_scheduled = false);
    let mut longest_lock_us = 0;
    let result = try_rewrite(server, &mut longest_lock_us);
    let is_cancelled = server.saves.is_cancelled();
    let ended = match &result {
        Ok(()) => Ended::Saved,
        Err(_) if is_cancelled => Ended::Cancelled,
        Err(_) => Ended::Failed,
    };
    server.aof.change_rewrites(|rewrites| {
        rewrites.last_seconds = Some(began.elapsed().as_secs() as i64);
        rewrites.note_end(ended);
    });
    match result {
        Ok(()) => tracing::info!("Background AOF rewrite finished successfully"),
        Err(_) if is_cancelled => tracing::warn!("Background AOF rewrite terminated: it was cancelled"),
        Err(error) => tracing::warn!("Background AOF rewrite terminated with error: {error}"),
    }
    (ended, longest_lock_us)
}

fn try_rewrite(server: &Arc<Server>, longest_lock_us: &mut u64) -> io::Result<()> {
    let config = server.config.current();
    let plain = |failed: NewFileError| failed.error;
    let (increment, base, path) = {
        let mut folder = server.aof.folder.lock();
        let folder = match &mut *folder {
            Some(folder) => folder,
            none => none.insert(open(&config).map_err(io::Error::other)?),
        };
        let increment = if config.appendonly { Some(folder.new_increment()?) } else { None };
        // A log that goes on is complete only with this increment. One that begins has it when the base is complete.
        if server.aof.is_on()
            && let Some((part, _)) = &increment
        {
            folder.list(part.clone())?;
        }
        let sync_every = config.aof_rewrite_incremental_fsync.then_some(SYNC_EVERY_BYTES);
        let base = folder.begin_base(config.aof_use_rdb_preamble, sync_every).map_err(plain)?;
        let path = folder.path_of(&base.part);
        (increment, base, path)
    };
    let NewBase { file, part } = base;
    let at_cut = increment.as_ref().map(|(_, file)| {
        let (server, file, options) = (server.clone(), file.clone(), options(&config));
        Box::new(move |position| cut(&server, options, file, position)) as Box<dyn FnOnce(Position) + Send>
    });
    let mut parts = Parts::order(server, config.databases, at_cut);
    let written = if config.aof_use_rdb_preamble {
        parts.write_rdb(server, &config, file, Target::AofBase)
    } else {
        parts.write_commands(server, &config, file)
    };
    *longest_lock_us = parts.drain();
    if server.saves.is_cancelled() {
        return Err(io::Error::other("cancelled"));
    }
    written.and_then(NewFile::commit).map_err(plain)?;
    let base_size = len_of(&path);
    let mut folder = server.aof.folder.lock();
    let folder = folder.as_mut().expect("it was opened above");
    let (first, unlisted) = match &increment {
        Some((part, _)) if folder.lists(part) => (part.number, None),
        Some((part, _)) => (part.number, Some(part.clone())),
        None => (u64::MAX, None),
    };
    folder.finish_rewrite(part, first, unlisted)?;
    let size = size_of_increments(folder);
    server.aof.note_sizes(base_size, base_size + size);
    if let Some(log) = server.aof.log() {
        log.rewritten(parts.position(), size);
    }
    Ok(())
}

/// With the gate closed: what comes from now on goes to another increment. If there is no log yet, it begins.
fn cut(server: &Arc<Server>, options: LogOptions, file: Arc<dyn OutFile>, position: Position) {
    if let Some(log) = server.aof.log() {
        log.switch(position, file);
        return;
    }
    match Log::start(server.cores(), options, Begin { file, len: 0, size: 0, position }) {
        Ok(log) => {
            server.aof.set_log(Some(log.clone()));
            server.journal.keep(log as Arc<dyn Sink>);
        }
        Err(error) => tracing::warn!("The append-only file cannot be written: {error}"),
    }
}

/// The path of the folder.
pub fn path(config: &Config) -> PathBuf {
    process::path_of(&config.appenddirname)
}
