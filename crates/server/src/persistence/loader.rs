//! Loading a file: the calling thread parses it, and the cores insert its keys.

use std::{
    fmt,
    io::{ErrorKind, Read},
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use ochre_keyspace::AccessClock;
use ochre_persist::{
    aof::folder::FolderError,
    fault::Fault,
    files::{Disk, Files},
    rdb::{
        file::{FileReader, Key, Record},
        stream::Stream,
    },
};
use tokio::sync::mpsc;

use super::{aof_files, aof_loader, folder_lock::LockError, saver, stored};
use crate::{
    clock,
    config::Config,
    loading::{KeysToInsert, LoadWork, NewKey},
    process,
    saves::{Ended, Save, Target},
    server::Server,
};

/// How many keys a core inserts at a time.
const PORTION: usize = 128;
/// The bytes of values after which a portion is complete.
const PORTION_BYTES: usize = 256 * 1024;
/// How many portions may wait for each core.
const PORTIONS_MAX: usize = 8;

/// Why data could not be loaded.
#[derive(Debug)]
pub struct LoadError {
    /// What was loaded.
    pub path: PathBuf,
    /// Why.
    pub reason: LoadFault,
}

/// What is wrong with a file.
#[derive(Debug)]
pub enum LoadFault {
    /// It is broken, or cannot be read.
    File(Fault),
    /// A key is in it twice: the number of the database, and the key.
    Duplicate(usize, Box<[u8]>),
    /// Its record at this offset has keys of a database that does not exist.
    Database(u64, u64, usize),
    /// The folder of the append-only file.
    Folder(FolderError),
    /// Another server uses the folder.
    Lock(LockError),
    /// Its record at this offset is a library of functions, which this version cannot keep.
    Function(u64),
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.path.display())?;
        match &self.reason {
            LoadFault::File(fault) => fault.fmt(f),
            LoadFault::Folder(error) => error.fmt(f),
            LoadFault::Lock(error) => error.fmt(f),
            LoadFault::Duplicate(database, key) => {
                write!(f, "the key '{}' is in database {database} twice", key.escape_ascii())
            }
            LoadFault::Database(offset, database, databases) => write!(
                f,
                "at offset {offset}: data of database {database}, but the server is configured to handle {databases} databases"
            ),
            LoadFault::Function(offset) => {
                write!(f, "at offset {offset}: a library of functions, which this version cannot run or keep")
            }
        }
    }
}

impl std::error::Error for LoadError {}

/// What was loaded.
#[derive(Clone, Copy, Default, Debug)]
pub struct Loaded {
    /// The keys that were inserted.
    pub keys: usize,
    /// The keys that had expired, and were left out.
    pub expired: usize,
}

/// Loads the data: the append-only file, or the saved file if there is one. Only the calling thread waits; the cores must be running. (Redis:
/// `loadDataFromDisk`)
///
/// # Errors
/// If a file is broken. What comes before that place may have been loaded.
pub fn load_at_start(server: &Arc<Server>) -> Result<(), LoadError> {
    let config = server.config.current();
    if config.appendonly {
        let locked = aof_files::lock(server, &config);
        locked.map_err(|error| LoadError { path: aof_files::path(&config), reason: LoadFault::Lock(error) })?;
        let folder = aof_loader::load(server, &config)?;
        let started = aof_files::start(server, &config, folder);
        return started.map_err(|error| LoadError {
            path: aof_files::path(&config),
            reason: LoadFault::File(Fault::io(0, error)),
        });
    }
    let path = process::path_of(&config.dbfilename);
    let file = match Disk.open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(LoadError { path, reason: LoadFault::File(Fault::io(0, error)) }),
    };
    let began = Instant::now();
    server.loading.begin(Disk.len(&path).unwrap_or(0));
    let options = RdbOptions { replaces: false, keeps_expired: false };
    let (loaded, _) =
        load_rdb(server, &config, Stream::new(file), options).map_err(|reason| LoadError { path, reason })?;
    server.loading.note_keys(loaded.keys, loaded.expired);
    tracing::info!("Done loading RDB, keys loaded: {}, keys expired: {}.", loaded.keys, loaded.expired);
    tracing::info!("DB loaded from disk: {:.3} seconds", began.elapsed().as_secs_f64());
    Ok(())
}

/// How an RDB file is loaded.
#[derive(Clone, Copy, Debug)]
pub struct RdbOptions {
    /// Whether a key takes the place of one that is there. Otherwise that is an error.
    pub replaces: bool,
    /// Whether keys are kept that have expired. What follows in an append-only file may concern them, and removes them.
    pub keeps_expired: bool,
}

/// Loads an RDB file, or the RDB part of a file. The caller has begun the loading. Returns the file with what follows.
///
/// # Errors
/// If it is broken. Keys before that place may have been inserted.
pub fn load_rdb<R: Read>(
    server: &Arc<Server>,
    config: &Config,
    file: Stream<R>,
    options: RdbOptions,
) -> Result<(Loaded, Stream<R>), LoadFault> {
    let (to_report, mut duplicates) = mpsc::unbounded_channel();
    let replaces = options.replaces;
    let queues = (0..server.cores()).map(|core| {
        let (queue, portions) = mpsc::channel(PORTIONS_MAX);
        let keys = KeysToInsert { empties: false, replaces, portions, duplicates: to_report.clone() };
        server.loading.give(core, LoadWork::Insert(keys));
        queue
    });
    let mut loader = Loader {
        server,
        config,
        keeps_expired: options.keeps_expired,
        queues: queues.collect(),
        next_core: 0,
        portion: Vec::with_capacity(PORTION),
        portion_bytes: 0,
        now_ms: clock::now_ms(),
        loaded: Loaded::default(),
    };
    drop(to_report);
    let result = loader.read(file);
    let loaded = loader.loaded;
    // The cores end when their queues are closed and empty.
    drop(loader);
    let duplicate = duplicates.blocking_recv().map(|(database, key)| LoadFault::Duplicate(database, key));
    let rest = result?;
    match duplicate {
        Some(reason) => Err(reason),
        None => Ok((loaded, rest)),
    }
}

/// How to reload the data (DEBUG RELOAD).
#[derive(Clone, Copy, Debug)]
pub struct ReloadOptions {
    /// Whether the data is saved first.
    pub saves: bool,
    /// Whether the databases are emptied before the file is loaded.
    pub empties: bool,
    /// Whether keys of the file replace those that are there.
    pub replaces: bool,
}

/// Why the data was not reloaded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReloadError {
    /// It could not be saved.
    Save,
    /// It could not be loaded.
    Load,
}

/// Saves the data, and loads it again. Only the calling thread waits. Writes wait meanwhile, and commands that need the data are refused while it
/// is loaded.
///
/// # Errors
/// If one of the two fails; the log says why.
pub fn reload(server: &Arc<Server>, options: ReloadOptions) -> Result<(), ReloadError> {
    server.pause.stop_writes();
    let result = save_and_load(server, options);
    server.pause.resume_writes();
    result
}

fn save_and_load(server: &Arc<Server>, options: ReloadOptions) -> Result<(), ReloadError> {
    if options.saves {
        server.saves.cancel(Target::Rdb);
        let (done, ended) = std::sync::mpsc::channel();
        // If the save is refused, its end is never sent.
        let then = Box::new(move |ended| done.send(ended).expect("the end of the save is waited for"));
        saver::begin(server, Save { target: Target::Rdb, is_background: false, then: Some(then) });
        if ended.recv() != Ok(Ended::Saved) {
            return Err(ReloadError::Save);
        }
    }
    let config = server.config.current();
    let path = process::path_of(&config.dbfilename);
    let file = Disk.open(&path).map_err(|error| {
        tracing::warn!("{}: {error}", path.display());
        ReloadError::Load
    })?;
    server.loading.begin(Disk.len(&path).unwrap_or(0));
    if options.empties {
        empty(server);
    }
    let rdb_options = RdbOptions { replaces: options.replaces, keeps_expired: false };
    let loaded = load_rdb(server, &config, Stream::new(file), rdb_options);
    server.loading.end();
    server.wake_expiry();
    match loaded {
        Ok((loaded, _)) => {
            server.loading.note_keys(loaded.keys, loaded.expired);
            tracing::info!("DB reloaded by DEBUG RELOAD");
            Ok(())
        }
        Err(reason) => {
            tracing::warn!("{}", LoadError { path, reason });
            Err(ReloadError::Load)
        }
    }
}

/// The append-only file was not loaded; the log says why.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReloadFailed;

/// Empties the databases and loads the append-only file, after what was written was synced (DEBUG LOADAOF). Only the calling thread waits.
///
/// # Errors
/// If it cannot be loaded.
pub fn reload_append_only_file(server: &Arc<Server>) -> Result<(), ReloadFailed> {
    let config = server.config.current();
    server.pause.stop_writes();
    server.loading.begin(0);
    if let Some(log) = server.aof.log() {
        log.flush();
    }
    // What is loaded is in the log already.
    let sink = server.journal.suspend();
    empty(server);
    let loaded = aof_loader::load(server, &config);
    server.journal.resume(sink);
    server.loading.end();
    server.pause.resume_writes();
    server.wake_expiry();
    match loaded {
        Ok(_) => {
            tracing::info!("Append Only File loaded by DEBUG LOADAOF");
            Ok(())
        }
        Err(error) => {
            tracing::warn!("{error}");
            Err(ReloadFailed)
        }
    }
}

/// Empties all databases, and waits until that is done.
fn empty(server: &Server) {
    let ((_, portions), (duplicates, mut done)) = (mpsc::channel(1), mpsc::unbounded_channel());
    server.loading.give(0, LoadWork::Insert(KeysToInsert { empties: true, replaces: false, portions, duplicates }));
    done.blocking_recv();
}

struct Loader<'s> {
    server: &'s Server,
    config: &'s Config,
    keeps_expired: bool,
    /// The queues of the cores.
    queues: Vec<mpsc::Sender<Vec<NewKey>>>,
    next_core: usize,
    portion: Vec<NewKey>,
    portion_bytes: usize,
    now_ms: i64,
    loaded: Loaded,
}

impl Loader<'_> {
    fn read<R: Read>(&mut self, file: Stream<R>) -> Result<Stream<R>, LoadFault> {
        let limits = stored::limits(self.config, self.server.plain_len_min());
        let mut reader = FileReader::of(file, limits).map_err(LoadFault::File)?;
        reader.set_verifies_checksum(self.config.rdbchecksum);
        let mut database = 0;
        let mut last_note = Instant::now();
        loop {
            let offset = reader.offset();
            match reader.read_record().map_err(LoadFault::File)? {
                None => break,
                Some(Record::Aux(name, value)) => self.note_origin(&name, &value),
                Some(Record::Select(index)) => {
                    let databases = self.config.databases;
                    let exists = |&index: &usize| index < databases;
                    let found = usize::try_from(index).ok().filter(exists);
                    database = found.ok_or(LoadFault::Database(offset, index, databases))?;
                }
                Some(Record::Resize(..)) => {}
                Some(Record::Function(_)) => return Err(LoadFault::Function(offset)),
                Some(Record::Key(key)) => self.add(database, key),
            }
            /// How often the progress is noted.
            const NOTE_EVERY: Duration = Duration::from_millis(10);
            if self.portion.is_empty() && last_note.elapsed() > NOTE_EVERY {
                self.server.loading.note_loaded(reader.offset());
                last_note = Instant::now();
            }
        }
        self.send();
        Ok(reader.into_rest())
    }

    /// Logs where the file comes from, as Redis does.
    fn note_origin(&self, name: &[u8], value: &[u8]) {
        let text = String::from_utf8_lossy(value);
        let number = text.parse::<i64>();
        match name {
            b"redis-ver" | b"valkey-ver" => tracing::info!("Loading RDB produced by version {text}"),
            b"ctime" => {
                let age_s = number.map_or(0, |created_s| self.now_ms / 1000 - created_s);
                tracing::info!("RDB age {} seconds", age_s.max(0));
            }
            b"used-mem" => {
                let bytes = number.unwrap_or(0).max(0);
                tracing::info!("RDB memory usage when created {:.2} Mb", bytes as f64 / (1024.0 * 1024.0));
                self.server.loading.note_memory_then(bytes as u64);
            }
            _ => tracing::debug!("RDB field {}: {text}", String::from_utf8_lossy(name)),
        }
    }

    fn add(&mut self, database: usize, key: Key) {
        let Some(value) = key.value else {
            tracing::info!("rdbLoadObject skipping empty key: {}", key.name.escape_ascii());
            return;
        };
        if !self.keeps_expired && key.expiry_ms.is_some_and(|expiry_ms| expiry_ms < self.now_ms) {
            self.loaded.expired += 1;
            return;
        }
        let clock = match self.config.maxmemory_policy.is_lfu() {
            true => AccessClock::lfu(self.now_ms, self.config.lfu_log_factor, self.config.lfu_decay_time, 0),
            false => AccessClock::lru(self.now_ms),
        };
        let idle = key.idle_s.and_then(|seconds| clock.idle_for(i64::try_from(seconds).unwrap_or(i64::MAX)));
        let access = idle.or(key.frequency.and_then(|frequency| clock.with_frequency(frequency)));
        let entry = stored::entry(&key.name, value, key.expiry_ms, access.unwrap_or(clock.initial()));
        self.loaded.keys += 1;
        self.portion_bytes += key.bytes as usize;
        self.portion.push(NewKey { database, entry });
        if self.portion.len() == PORTION || self.portion_bytes >= PORTION_BYTES {
            self.send();
        }
    }

    /// Sends the portion to the next core.
    fn send(&mut self) {
        let portion = std::mem::replace(&mut self.portion, Vec::with_capacity(PORTION));
        self.portion_bytes = 0;
        self.queues[self.next_core].blocking_send(portion).expect("a core takes its queue to the end");
        self.next_core = (self.next_core + 1) % self.queues.len();
    }
}
