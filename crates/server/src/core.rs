//! The state of one core's thread. No other thread touches it, so it has no locks.

use std::{
    cell::{Cell, RefCell},
    collections::{HashSet, VecDeque},
    rc::Rc,
    sync::Arc,
};

use ochre_keyspace::AccessClock;
use tokio::sync::Notify;

use crate::{
    config::Config,
    counters::Counters,
    events::NotifyClass,
    functions::CoreFunctions,
    room::Room,
    scripts::CoreScripts,
    server::Server,
    session::{Watch, wait::Parked},
};

/// A core.
pub struct Core {
    /// Counted from 0.
    pub index: usize,
    /// The state that all cores share.
    pub server: Arc<Server>,
    /// This core's counters. Other cores only read them.
    pub counters: Arc<Counters>,
    /// A copy of the settings, so that reading them takes no lock.
    config: RefCell<Rc<Config>>,
    /// The generation of the settings that `config` is a copy of.
    generation: Cell<u64>,
    /// `notify-keyspace-events`. It is here too because every event needs it.
    announced: Cell<NotifyClass>,
    /// The memory that it may still take.
    pub room: Room,
    /// The state of [`Core::random`]; never 0.
    random: Cell<u64>,
    /// The keys with waiters that the running command has changed.
    pub(crate) ready: RefCell<ReadyKeys>,
    /// The interpreter of scripts.
    pub(crate) scripts: RefCell<CoreScripts>,
    /// The interpreter of functions.
    pub(crate) functions: RefCell<CoreFunctions>,
    /// Work that waits for its shards to be free.
    chores: RefCell<VecDeque<Chore>>,
    /// Notified when a chore is added.
    pub(crate) chore_left: Notify,
    /// Whether chores wait for locks. Then a new one is not tried on the spot, since many may want the same shard.
    pub(crate) chores_wait: Cell<bool>,
    /// Notified when a frame was appended to the journal.
    pub(crate) appended: Notify,
    /// The buffer for the records of the next lock set. Used only while a journal is kept.
    record_buffer: Cell<Vec<u8>>,
}

/// Work on shards that were locked when it came up. The core does it once they are free.
pub enum Chore {
    /// Serve the waiters of a key whose writer did not hold all the locks that this takes.
    Serve(Ready),
    /// Remove a blocked command, whose wait has ended, from its keys.
    Unpark(Arc<Parked>),
    /// Remove a watch from its keys.
    Unwatch(Box<Watch>),
}

/// A key that has changed and has waiters.
pub struct Ready {
    /// The key's database.
    pub database: usize,
    /// The hash of `key`.
    pub hash: u64,
    /// The key.
    pub key: Rc<[u8]>,
}

/// Keys that have changed and have waiters, each once, in the order in which they changed first.
#[derive(Default)]
pub(crate) struct ReadyKeys {
    queue: VecDeque<Ready>,
    /// The databases and keys in the queue. A transaction may change any number of keys, so the queue is not searched.
    queued: HashSet<(usize, Rc<[u8]>)>,
}

impl ReadyKeys {
    /// Adds a key to the end of the queue, unless it is in there.
    pub(crate) fn add(&mut self, ready: Ready) {
        if self.queued.insert((ready.database, ready.key.clone())) {
            self.queue.push_back(ready);
        }
    }

    /// Removes the first key from the queue.
    pub(crate) fn pop(&mut self) -> Option<Ready> {
        /// The largest capacity that is kept while the queue is empty.
        const CAPACITY_MAX: usize = 1024;
        let ready = self.queue.pop_front()?;
        self.queued.remove(&(ready.database, ready.key.clone()));
        if self.queue.is_empty() && self.queue.capacity() > CAPACITY_MAX {
            *self = ReadyKeys::default();
        }
        Some(ready)
    }

    /// Whether there is no key.
    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}

impl Core {
    /// The core with this index, which is below the server's number of cores.
    pub fn new(index: usize, server: Arc<Server>) -> Core {
        // The generation is read first: a change in between is then copied twice rather than missed.
        let generation = server.config.generation();
        let config = Rc::new((*server.config.current()).clone());
        Core {
            index,
            counters: server.counters[index].clone(),
            generation: Cell::new(generation),
            announced: Cell::new(config.notify_keyspace_events),
            config: RefCell::new(config),
            room: Room::new(),
            random: Cell::new(crate::random::seed_64() | 1),
            ready: RefCell::default(),
            scripts: RefCell::default(),
            functions: RefCell::default(),
            chores: RefCell::default(),
            chore_left: Notify::new(),
            chores_wait: Cell::new(false),
            appended: Notify::new(),
            record_buffer: Cell::default(),
            server,
        }
    }

    /// Adds a chore to the end of the queue.
    pub fn leave_chore(&self, chore: Chore) {
        self.chores.borrow_mut().push_back(chore);
        self.chore_left.notify_one();
    }

    /// Removes the first chore from the queue.
    pub fn next_chore(&self) -> Option<Chore> {
        self.chores.borrow_mut().pop_front()
    }

    /// An empty buffer for records, which [`Core::give_record_buffer`] takes back.
    pub fn take_record_buffer(&self) -> Vec<u8> {
        self.record_buffer.take()
    }

    /// Keeps a buffer for the next lock set, unless a large frame has made it large.
    pub fn give_record_buffer(&self, mut buffer: Vec<u8>) {
        /// The largest capacity that is kept.
        const BYTES_MAX: usize = 64 * 1024;
        if buffer.capacity() <= BYTES_MAX {
            buffer.clear();
            self.record_buffer.set(buffer);
        }
    }

    /// The settings. They stay the same until [`Core::refresh_config`].
    pub fn config(&self) -> Rc<Config> {
        self.config.borrow().clone()
    }

    /// Copies the settings again if they have changed.
    #[inline]
    pub fn refresh_config(&self) {
        let generation = self.server.config.generation();
        if generation != self.generation.get() {
            self.generation.set(generation);
            let config = Rc::new((*self.server.config.current()).clone());
            self.announced.set(config.notify_keyspace_events);
            *self.config.borrow_mut() = config;
            self.room.forget();
        }
    }

    /// The classes of events that `notify-keyspace-events` enables.
    #[inline]
    pub fn announced(&self) -> NotifyClass {
        self.announced.get()
    }

    /// 64 random bits (xorshift64*; Vigna 2016). For sampling, not for secrets.
    pub fn random(&self) -> u64 {
        let mut x = self.random.get();
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        self.random.set(x);
        x.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// The access clock for a command that runs at `now_ms`: LRU, LRM or LFU, as `maxmemory-policy` requires.
    #[inline]
    pub fn access_clock(&self, config: &Config, now_ms: i64) -> AccessClock {
        config.access_clock(now_ms, || self.random() as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_queued_once_until_it_is_taken() {
        let ready = |database, key: &str| Ready { database, hash: 0, key: key.as_bytes().into() };
        let mut keys = ReadyKeys::default();
        for (database, key) in [(0, "b"), (0, "a"), (1, "b"), (0, "b"), (0, "a")] {
            keys.add(ready(database, key));
        }
        let pop = |keys: &mut ReadyKeys| keys.pop().map(|ready| (ready.database, ready.key.to_vec()));
        assert_eq!(pop(&mut keys), Some((0, b"b".to_vec())));
        // The one that was taken may become ready again while others are in the queue.
        keys.add(ready(0, "b"));
        let rest: Vec<_> = std::iter::from_fn(|| pop(&mut keys)).collect();
        assert_eq!(rest, [(0, b"a".to_vec()), (1, b"b".to_vec()), (0, b"b".to_vec())]);
        assert!(keys.is_empty());
    }
}
