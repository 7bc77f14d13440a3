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
    /// The keys that changed in the command that is running and that somebody waits for.
    pub(crate) ready: RefCell<VecDeque<Ready>>,
    /// Those of them whose waiters could not be served under its locks.
    pub(crate) unserved: RefCell<Vec<Ready>>,
    pub(crate) unserved_notify: Notify,
}

/// A key that changed while somebody waited for it.
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
            unserved: RefCell::default(),
            unserved_notify: Notify::new(),
            server,
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
