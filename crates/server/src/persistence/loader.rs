//! Loading a file: the calling thread parses it, and the cores insert its keys.

use std::{
    fmt,
    io::{ErrorKind, Read},
    path::PathBuf,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use ochre_keyspace::AccessClock;
use ochre_persist::{
    aof::folder::FolderError,
    fault::Fault,
    files::{Disk, Files},
    rdb::{
        Value,
        file::{FileReader, Key, Record},
        stream::Stream,
    },
};
use ochre_script::{Engine, Kind};
use tokio::sync::mpsc;

use super::{aof_files, aof_loader, folder_lock::LockError, saver, stored};
use crate::{
    clock,
    config::Config,
    functions::{self, Libraries},
    loading::{KeysToInsert, LoadWork, LoadedValue, NewKey, Portion},
    process,
    saves::{Ended, Save, Target},
    scripts,
    server::Server,
};

/// The shards are divided into this number of groups, and the keys are gathered by group; see [`Portion`]. With more groups, what is gathered
/// does not stay in the cache of the thread that parses. That thread cannot occupy more cores anyway.
const GROUPS: usize = 8;
/// How many keys a core inserts at a time.
const PORTION_KEYS: usize = 512;
/// The size in bytes from which on a portion is complete.
const PORTION_SIZE: usize = 256 * 1024;
/// The memory of a portion that is used again at most, in bytes.
const REUSED_BYTES_MAX: usize = 2 * PORTION_SIZE;
/// How many portions may wait for each core.
const PORTIONS_MAX: usize = 8;
/// The longest string that is copied into its portion.
const SHORT_LEN: usize = 4096;

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
    /// Its record at this offset is a library of functions that cannot be loaded, and why.
    Library(u64, String),
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
            LoadFault::Library(offset, reason) => write!(f, "at offset {offset}: Failed loading function: {reason}"),
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
    /// The keys whose values were empty collections, which were left out.
    pub empty: usize,
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
    let (emptied, spent) = mpsc::unbounded_channel();
    let replaces = options.replaces;
    let queues = (0..server.cores()).map(|core| {
        let (queue, portions) = mpsc::channel(PORTIONS_MAX);
        let keys = KeysToInsert {
            empties: false,
            replaces,
            portions,
            emptied: emptied.clone(),
            duplicates: to_report.clone(),
        };
        server.loading.give(core, LoadWork::Insert(keys));
        queue
    });
    let now_ms = clock::now_ms();
    let mut loader = Loader {
        server,
        config,
        keeps_expired: options.keeps_expired,
        replaces,
        engine: None,
        queues: queues.collect(),
        groups: std::iter::repeat_with(Portion::default).take(GROUPS).collect(),
        emptied: spent,
        now_ms,
        clock: config.access_clock(now_ms, || 0),
        delay_us: config.key_load_delay_us,
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
        None => {
            let Loaded { keys, expired, empty } = loaded;
            let empty = if empty > 0 { format!(", empty keys skipped: {empty}") } else { String::new() };
            tracing::info!("Done loading RDB, keys loaded: {keys}, keys expired: {expired}{empty}.");
            Ok((loaded, rest))
        }
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

/// Empties all databases and removes all functions, and waits until that is done.
fn empty(server: &Server) {
    server.functions.replace(Libraries::default());
    let ((_, portions), (duplicates, mut done)) = (mpsc::channel(1), mpsc::unbounded_channel());
    let (emptied, _) = mpsc::unbounded_channel();
    let keys = KeysToInsert { empties: true, replaces: false, portions, emptied, duplicates };
    server.loading.give(0, LoadWork::Insert(keys));
    done.blocking_recv();
}

struct Loader<'s> {
    server: &'s Server,
    config: &'s Config,
    keeps_expired: bool,
    /// Whether a library takes the place of one that is there.
    replaces: bool,
    /// The interpreter that has loaded libraries.
    engine: Option<Engine>,
    /// The queues of the cores.
    queues: Vec<mpsc::Sender<Portion>>,
    /// The portion of each group that is not complete yet.
    groups: Vec<Portion>,
    /// Portions that the cores are done with.
    emptied: mpsc::UnboundedReceiver<Portion>,
    now_ms: i64,
    clock: AccessClock,
    /// How long to wait after each key (`key-load-delay`).
    delay_us: i32,
    loaded: Loaded,
}

impl Loader<'_> {
    fn read<R: Read>(&mut self, file: Stream<R>) -> Result<Stream<R>, LoadFault> {
        let limits = stored::limits(self.config, self.server.plain_len_min());
        let mut reader = FileReader::of(file, limits).map_err(LoadFault::File)?;
        reader.set_verifies_checksum(self.config.rdbchecksum);
        let mut database = 0;
        let mut last_note = Instant::now();
        for number in 0u64.. {
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
                Some(Record::Function(code)) => {
                    self.add_library(&code).map_err(|reason| LoadFault::Library(offset, reason))?;
                }
                Some(Record::Key(key)) => {
                    self.add(database, key);
                    self.wait();
                }
            }
            /// How often the progress is noted, and how many records are read before the time is asked for.
            const NOTE_EVERY: Duration = Duration::from_millis(10);
            const RECORDS: u64 = 64;
            if (number.is_multiple_of(RECORDS) || self.delay_us != 0) && last_note.elapsed() > NOTE_EVERY {
                self.server.loading.note_loaded(reader.offset());
                self.delay_us = self.server.config.current().key_load_delay_us;
                last_note = Instant::now();
            }
        }
        (0..GROUPS).for_each(|group| self.send(group));
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

    /// Adds a library of functions. While data is loaded nobody else changes the libraries.
    fn add_library(&mut self, code: &[u8]) -> Result<(), String> {
        let functions = &self.server.functions;
        let engine = self.engine.get_or_insert_with(|| scripts::engine(Kind::Functions));
        let memory_bytes = self.config.script_memory_limit;
        let loaded = functions::load(engine, code, memory_bytes, (!self.replaces).then_some(&*functions.current()));
        let (library, _) = loaded.map_err(|error| error.escape_ascii().to_string())?;
        functions.change(|libraries| libraries.put(Arc::new(library)))
    }

    fn add(&mut self, database: usize, key: Key) {
        let Some(value) = key.value else {
            /// After this number of keys without a value the log only has how many there were.
            const EMPTY_LOGGED: usize = 10;
            if self.loaded.empty < EMPTY_LOGGED {
                tracing::info!("rdbLoadObject skipping empty key: {}", key.name.escape_ascii());
            }
            self.loaded.empty += 1;
            return;
        };
        if !self.keeps_expired && key.expiry_ms.is_some_and(|expiry_ms| expiry_ms < self.now_ms) {
            self.loaded.expired += 1;
            return;
        }
        self.loaded.keys += 1;
        let idle = key.idle_s.and_then(|seconds| self.clock.idle_for(i64::try_from(seconds).unwrap_or(i64::MAX)));
        let access = idle.or(key.frequency.and_then(|frequency| self.clock.with_frequency(frequency)));
        let keyspace = &self.server.keyspace;
        let hash = keyspace.hash(&key.name).hash;
        // Ochre's own files are in the order of the shards, and should occupy all cores too.
        let group = keyspace.shard_of(hash) % GROUPS;
        let portion = &mut self.groups[group];
        let name_len = key.name.len();
        let size = match &value {
            // It may have been compressed.
            Value::String(string) => name_len + string.len(),
            Value::Collection(_) => key.bytes as usize,
        };
        portion.bytes.extend_from_slice(&key.name);
        let value = match value {
            Value::String(string) if string.len() <= SHORT_LEN => {
                portion.bytes.extend_from_slice(&string);
                LoadedValue::Short(string.len())
            }
            value => LoadedValue::Whole(value),
        };
        let access = access.unwrap_or(self.clock.initial());
        portion.keys.push(NewKey { database, hash, name_len, value, expiry_ms: key.expiry_ms, access });
        portion.size += size;
        if portion.keys.len() == PORTION_KEYS || portion.size >= PORTION_SIZE {
            self.send(group);
        }
    }

    /// Sends the portion of a group to the group's core.
    fn send(&mut self, group: usize) {
        if self.groups[group].keys.is_empty() {
            return;
        }
        let is_small = |portion: &Portion| portion.bytes.capacity() <= REUSED_BYTES_MAX;
        let next = self.emptied.try_recv().ok().filter(is_small).unwrap_or_default();
        let portion = std::mem::replace(&mut self.groups[group], next);
        let queue = &self.queues[group % self.queues.len()];
        queue.blocking_send(portion).expect("a core takes its queue to the end");
    }

    /// Waits as `key-load-delay` says. A wait is longer than a microsecond, so -n is one microsecond after every n-th key. (Redis: `debugDelay`)
    fn wait(&self) {
        let is_due = match self.delay_us {
            0 => false,
            1.. => true,
            every => self.loaded.keys.is_multiple_of(every.unsigned_abs() as usize),
        };
        if is_due {
            thread::sleep(Duration::from_micros(self.delay_us.max(1) as u64));
        }
    }
}
