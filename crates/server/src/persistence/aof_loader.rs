//! Loading the append-only file at start: its files in order, each with its RDB part first. The calling thread parses; a core applies the records.

use std::{path::Path, sync::Arc, time::Instant};

use ochre_persist::{
    aof::{folder::Folder, read::AofReader},
    fault::{Fault, FaultKind},
    files::{Disk, Files},
    rdb::stream::Stream,
};
use tokio::sync::mpsc;

use super::{
    aof_files,
    loader::{self, LoadError, LoadFault, RdbOptions},
};
use crate::{
    config::Config,
    loading::{LoadWork, RecordToApply, RecordsToApply},
    server::Server,
};

/// How many records are handed over at a time.
const PORTION: usize = 128;
/// How many portions may wait.
const PORTIONS_MAX: usize = 8;
/// The core that applies the records.
const APPLYING_CORE: usize = 0;

/// Opens the folder, and loads what is in it. The caller has begun the loading. (Redis: `loadAppendOnlyFiles`)
///
/// # Errors
/// If a file is broken or missing. What comes before that place may have been loaded. Nothing on the disk is changed, except that a torn tail of the
/// last file is cut off if `aof-load-truncated` allows it.
pub fn load(server: &Arc<Server>, config: &Config) -> Result<Folder, LoadError> {
    let error = |reason| LoadError { path: aof_files::path(config), reason };
    let folder = aof_files::open(config).map_err(|failed| error(LoadFault::Folder(failed)))?;
    let files = folder.files_to_load();
    let began = Instant::now();
    let total = files.iter().map(|file| Disk.len(&file.path).unwrap_or(0)).sum();
    server.loading.begin(total);
    let mut before = 0;
    for file in &files {
        let began = Instant::now();
        load_file(server, config, &file.path, file.is_last, before)
            .map_err(|reason| LoadError { path: file.path.clone(), reason })?;
        before += Disk.len(&file.path).unwrap_or(0);
        tracing::info!("DB loaded from file {}: {:.3} seconds", file.path.display(), began.elapsed().as_secs_f64());
    }
    if !files.is_empty() {
        tracing::info!("DB loaded from append only file: {:.3} seconds", began.elapsed().as_secs_f64());
    }
    Ok(folder)
}

/// Loads a file. `before` is the number of bytes of the files before it.
fn load_file(server: &Arc<Server>, config: &Config, path: &Path, is_last: bool, before: u64) -> Result<(), LoadFault> {
    let file = Disk.open(path).map_err(|error| LoadFault::File(Fault::io(0, error)))?;
    let mut file = Stream::new(file);
    // An RDB part begins with the name of Redis or Valkey.
    let first = file.peek().map_err(LoadFault::File)?;
    if matches!(first, Some(b'R' | b'V')) {
        let options = RdbOptions { replaces: false, keeps_expired: true };
        let (loaded, rest) = loader::load_rdb(server, config, file, options)?;
        server.loading.note_keys(loaded.keys, loaded.expired);
        file = rest;
    }
    let mut reader = AofReader::new(file);
    let Err(reason) = apply(server, config, &mut reader, before) else { return Ok(()) };
    let is_torn = matches!(&reason, LoadFault::File(fault) if matches!(fault.kind, FaultKind::Truncated));
    if !is_torn || !is_last || !config.aof_load_truncated {
        return Err(reason);
    }
    let whole = reader.whole_until();
    let lost = Disk.len(path).unwrap_or(whole) - whole;
    tracing::warn!("!!! Warning: short read while loading the AOF file {}!!!", path.display());
    tracing::warn!("AOF {} loaded anyway because aof-load-truncated is enabled", path.display());
    tracing::warn!(
        "Truncating the AOF {} at offset {whole}: {lost} bytes of a record that was not complete",
        path.display()
    );
    let cut = Disk.append(path).and_then(|file| file.truncate(whole).and_then(|()| file.sync()));
    cut.map_err(|error| LoadFault::File(Fault::io(whole, error)))
}

/// Has a core apply the records of a file, up to its end or to a fault.
fn apply<R: std::io::Read>(
    server: &Server,
    config: &Config,
    reader: &mut AofReader<R>,
    before: u64,
) -> Result<(), LoadFault> {
    let ((to_core, portions), (errors, mut failed)) = (mpsc::channel(PORTIONS_MAX), mpsc::unbounded_channel());
    server.loading.give(APPLYING_CORE, LoadWork::Apply(RecordsToApply { portions, errors }));
    let mut databases = Databases { selected: 0, count: config.databases };
    let mut portion = Vec::with_capacity(PORTION);
    let result = loop {
        let record = match reader.read_record() {
            Ok(Some(record)) => record,
            Ok(None) => break Ok(()),
            Err(fault) => break Err(LoadFault::File(fault)),
        };
        match databases.assign(record.offset, record.commands) {
            Ok(record) => portion.push(record),
            Err(fault) => break Err(LoadFault::File(fault)),
        }
        if portion.len() == PORTION {
            server.loading.note_loaded(before + reader.offset());
            let full = std::mem::replace(&mut portion, Vec::with_capacity(PORTION));
            // The core has stopped if a record could not be applied.
            if to_core.blocking_send(full).is_err() {
                break Ok(());
            }
        }
    };
    let _ = to_core.blocking_send(portion);
    drop(to_core);
    match failed.blocking_recv() {
        Some((offset, reason)) => Err(LoadFault::File(Fault::corrupt(offset, reason))),
        None => result,
    }
}

/// The database that is selected in a file.
struct Databases {
    selected: usize,
    count: usize,
}

impl Databases {
    /// Gives each command its database. SELECT itself is left out.
    fn assign(&mut self, offset: u64, commands: Vec<Vec<Vec<u8>>>) -> Result<RecordToApply, Fault> {
        let mut assigned = Vec::with_capacity(commands.len());
        for words in commands {
            let [name, number] = &*words else {
                assigned.push((self.selected, words));
                continue;
            };
            if !name.eq_ignore_ascii_case(b"SELECT") {
                assigned.push((self.selected, words));
                continue;
            }
            let number = str::from_utf8(number).ok().and_then(|digits| digits.parse().ok());
            let number = number.filter(|&number: &usize| number < self.count);
            self.selected =
                number.ok_or_else(|| Fault::corrupt(offset, "a database that does not exist is selected"))?;
        }
        Ok(RecordToApply { offset, commands: assigned })
    }
}
