//! The loading of data: its progress, and the queues through which the cores get what to insert or to apply.
//!
//! While the data is loaded the cores serve whatever does not need it, such as PING and INFO.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};

use ochre_persist::rdb::Value;
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc};

use crate::clock;

/// The loading of a server. See the module.
pub struct Loading {
    is_loading: AtomicBool,
    began_ms: AtomicI64,
    total_bytes: AtomicU64,
    loaded_bytes: AtomicU64,
    /// The memory that the data took where it was saved, in bytes.
    used_memory_then: AtomicU64,
    keys_loaded: AtomicUsize,
    keys_expired: AtomicUsize,
    /// The queue of each core, while one waits to be taken.
    queues: Box<[Queue]>,
}

#[derive(Default)]
struct Queue {
    waiting: Mutex<Option<LoadWork>>,
    is_there: Notify,
}

/// What a core is to do for the loading.
pub enum LoadWork {
    /// Insert keys.
    Insert(KeysToInsert),
    /// Apply records of an append-only file.
    Apply(RecordsToApply),
}

/// The records that a core is to apply, one after the other.
pub struct RecordsToApply {
    /// The records, in portions.
    pub portions: mpsc::Receiver<Vec<RecordToApply>>,
    /// Closed when all of them are applied. If one cannot be applied, the reason is sent with its offset, and no further one is applied.
    pub errors: mpsc::UnboundedSender<(u64, String)>,
}

/// A record of an append-only file.
pub struct RecordToApply {
    /// The offset in the file at which it begins.
    pub offset: u64,
    /// For each command its database and its words.
    pub commands: Vec<(usize, Vec<Vec<u8>>)>,
}

/// The keys that a core is to insert, and where it reports that it has.
pub struct KeysToInsert {
    /// Whether all databases are emptied first.
    pub empties: bool,
    /// Whether a key takes the place of one that is there. Otherwise the latter is a duplicate.
    pub replaces: bool,
    /// The keys, in portions.
    pub portions: mpsc::Receiver<Portion>,
    /// Takes the portions back when they are empty, so that their memory is used again.
    pub emptied: mpsc::UnboundedSender<Portion>,
    /// Closed when all of them are inserted. A key that was there already is sent.
    pub duplicates: mpsc::UnboundedSender<(usize, Box<[u8]>)>,
}

/// Keys to be inserted. They are of shards that only one core inserts into, so that cores do not meet at a shard.
#[derive(Default)]
pub struct Portion {
    /// The keys.
    pub keys: Vec<NewKey>,
    /// The name of each key, followed by its value if that is [`LoadedValue::Short`]. The cores make the entries from it, so that an entry is
    /// allocated by a thread that may also free it, and the parsing thread has less to do.
    pub bytes: Vec<u8>,
    /// About how much memory the keys take.
    pub size: usize,
}

/// A key to be inserted.
pub struct NewKey {
    /// The number of its database.
    pub database: usize,
    /// The hash of its name.
    pub hash: u64,
    /// The length of its name in [`Portion::bytes`].
    pub name_len: usize,
    /// Its value.
    pub value: LoadedValue,
    /// When it expires, in milliseconds since 1970.
    pub expiry_ms: Option<i64>,
    /// Its access clock.
    pub access: u32,
}

/// A value to be inserted.
pub enum LoadedValue {
    /// A string of this length in [`Portion::bytes`].
    Short(usize),
    /// A collection or a long string.
    Whole(Value),
}

/// The figures of the loading that is going on, for INFO.
#[derive(Clone, Copy, Debug)]
pub struct LoadingProgress {
    /// When it began, in seconds since 1970.
    pub began_s: i64,
    /// For how many seconds it has been going on.
    pub seconds: f64,
    /// The length of what is loaded, in bytes.
    pub total_bytes: u64,
    /// How much of that has been read.
    pub loaded_bytes: u64,
    /// The memory that the data took where it was saved, in bytes.
    pub used_memory_then: u64,
}

impl Loading {
    /// Nothing is loaded yet.
    pub fn new(cores: usize) -> Loading {
        Loading {
            is_loading: AtomicBool::new(false),
            began_ms: AtomicI64::new(0),
            total_bytes: AtomicU64::new(0),
            loaded_bytes: AtomicU64::new(0),
            used_memory_then: AtomicU64::new(0),
            keys_loaded: AtomicUsize::new(0),
            keys_expired: AtomicUsize::new(0),
            queues: (0..cores).map(|_| Queue::default()).collect(),
        }
    }

    /// Begins to load data of `total_bytes` bytes.
    pub fn begin(&self, total_bytes: u64) {
        self.began_ms.store(clock::now_ms(), Ordering::Relaxed);
        self.total_bytes.store(total_bytes, Ordering::Relaxed);
        self.loaded_bytes.store(0, Ordering::Relaxed);
        self.used_memory_then.store(0, Ordering::Relaxed);
        self.is_loading.store(true, Ordering::Release);
    }

    /// Ends the loading.
    pub fn end(&self) {
        self.is_loading.store(false, Ordering::Release);
    }

    /// Returns whether data is being loaded: commands that need it are refused.
    #[inline]
    pub fn is_on(&self) -> bool {
        self.is_loading.load(Ordering::Acquire)
    }

    /// Notes how much has been read.
    pub fn note_loaded(&self, bytes: u64) {
        self.loaded_bytes.store(bytes, Ordering::Relaxed);
    }

    /// Notes the memory that the data took where it was saved, in bytes.
    pub fn note_memory_then(&self, bytes: u64) {
        self.used_memory_then.store(bytes, Ordering::Relaxed);
    }

    /// Notes how many keys a file had that were inserted, and how many that had expired.
    pub fn note_keys(&self, loaded: usize, expired: usize) {
        self.keys_loaded.store(loaded, Ordering::Relaxed);
        self.keys_expired.store(expired, Ordering::Relaxed);
    }

    /// Returns how many keys the last file had that were inserted, and how many that had expired.
    pub fn keys(&self) -> (usize, usize) {
        (self.keys_loaded.load(Ordering::Relaxed), self.keys_expired.load(Ordering::Relaxed))
    }

    /// Returns the figures of the loading that is going on.
    pub fn progress(&self) -> Option<LoadingProgress> {
        let began_ms = self.began_ms.load(Ordering::Relaxed);
        self.is_on().then(|| LoadingProgress {
            began_s: began_ms / 1000,
            seconds: (clock::now_ms() - began_ms) as f64 / 1000.0,
            total_bytes: self.total_bytes.load(Ordering::Relaxed),
            loaded_bytes: self.loaded_bytes.load(Ordering::Relaxed),
            used_memory_then: self.used_memory_then.load(Ordering::Relaxed),
        })
    }

    /// Gives a core work, once it has done what it was given before.
    pub fn give(&self, core: usize, work: LoadWork) {
        *self.queues[core].waiting.lock() = Some(work);
        self.queues[core].is_there.notify_one();
    }

    /// Returns the next work for a core.
    pub async fn next(&self, core: usize) -> LoadWork {
        let queue = &self.queues[core];
        loop {
            if let Some(work) = queue.waiting.lock().take() {
                return work;
            }
            queue.is_there.notified().await;
        }
    }
}
