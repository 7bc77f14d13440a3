//! A core: what one thread has for itself. Nothing here is shared, so nothing here is locked.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    rc::Rc,
    sync::Arc,
};

use ochre_keyspace::AccessClock;
use tokio::sync::Notify;

use crate::{
    config::{Config, MaxmemoryPolicy},
    counters::Counters,
    events::NotifyClass,
    server::Server,
    session::{Watch, wait::Parked},
};

/// See the module.
pub struct Core {
    pub index: usize,
    pub server: Arc<Server>,
    /// What this core counts; others only read it.
    pub counters: Arc<Counters>,
    config: RefCell<Rc<Config>>,
    generation: Cell<u64>,
    /// `notify-keyspace-events`, looked at for every event.
    announced: Cell<NotifyClass>,
    random: Cell<u64>,
    /// The keys that changed in the command that is running and that have waiters.
    pub(crate) ready: RefCell<VecDeque<Ready>>,
    /// What is left to be done when its shards are free.
    chores: RefCell<VecDeque<Chore>>,
    /// Notified when a chore is left.
    pub(crate) chore_left: Notify,
    /// The buffer for the records of the next lock set, where a journal is kept.
    record_buffer: Cell<Vec<u8>>,
}

/// Something that is still to be done to shards that were not free.
pub enum Chore {
    /// Serve the waiters on a key, which its writer could not serve under its locks.
    Serve(Ready),
    /// Take a blocked command off its keys.
    Unpark(Arc<Parked>),
    /// Take a watch off its keys.
    Unwatch(Box<Watch>),
}

/// A key that changed while it had waiters.
pub struct Ready {
    pub database: usize,
    pub hash: u64,
    pub key: Box<[u8]>,
}

impl Core {
    pub fn new(index: usize, server: Arc<Server>) -> Core {
        // In this order: a change in between is seen again, not missed.
        let generation = server.config.generation();
        let config = Rc::new((*server.config.current()).clone());
        Core {
            index,
            counters: server.counters[index].clone(),
            generation: Cell::new(generation),
            announced: Cell::new(config.notify_keyspace_events),
            config: RefCell::new(config),
            random: Cell::new(crate::random::seed_64() | 1),
            ready: RefCell::default(),
            chores: RefCell::default(),
            chore_left: Notify::new(),
            record_buffer: Cell::default(),
            server,
        }
    }

    /// Leaves something to be done later, in the order of the calls.
    pub fn leave_chore(&self, chore: Chore) {
        self.chores.borrow_mut().push_back(chore);
        self.chore_left.notify_one();
    }

    /// What is to be done next of what was left.
    pub fn next_chore(&self) -> Option<Chore> {
        self.chores.borrow_mut().pop_front()
    }

    /// An empty buffer for records.
    pub fn take_record_buffer(&self) -> Vec<u8> {
        self.record_buffer.take()
    }

    /// Gives a buffer back for the next lock set, unless a large frame has made it large.
    pub fn give_record_buffer(&self, mut buffer: Vec<u8>) {
        /// The capacity that is kept.
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

    /// Takes over settings that were changed.
    #[inline]
    pub fn refresh_config(&self) {
        let generation = self.server.config.generation();
        if generation != self.generation.get() {
            self.generation.set(generation);
            let config = Rc::new((*self.server.config.current()).clone());
            self.announced.set(config.notify_keyspace_events);
            *self.config.borrow_mut() = config;
        }
    }

    /// The classes of events that the settings ask to be announced.
    #[inline]
    pub fn announced(&self) -> NotifyClass {
        self.announced.get()
    }

    /// 64 random bits (xorshift64*; Vigna 2016): for sampling, not for secrets.
    pub fn random(&self) -> u64 {
        let mut x = self.random.get();
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        self.random.set(x);
        x.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// The access clock of what runs at this moment.
    #[inline]
    pub fn access_clock(&self, config: &Config, now_ms: i64) -> AccessClock {
        match config.maxmemory_policy {
            MaxmemoryPolicy::AllkeysLfu | MaxmemoryPolicy::VolatileLfu => {
                AccessClock::lfu(now_ms, config.lfu_log_factor, config.lfu_decay_time, self.random() as u32)
            }
            _ => AccessClock::lru(now_ms),
        }
    }
}
