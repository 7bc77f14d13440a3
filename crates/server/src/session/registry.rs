//! All clients by id. Each core has a list of its own, so its housekeeping does not delay the other cores.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use parking_lot::Mutex;

use super::Client;

type ById = BTreeMap<u64, Arc<Client>>;

/// The clients of a server.
pub struct Registry {
    /// The clients of each core. Mutexes: they are taken when a client connects or ends, by the core's housekeeping, and by commands such
    /// as CLIENT LIST.
    of_core: Box<[Mutex<ById>]>,
    len: AtomicUsize,
    last_id: AtomicU64,
}

impl Registry {
    /// An empty registry for a number of cores.
    pub fn new(cores: usize) -> Registry {
        Registry {
            of_core: (0..cores).map(|_| Mutex::default()).collect(),
            len: AtomicUsize::new(0),
            last_id: AtomicU64::new(0),
        }
    }

    /// A new id, greater than every id before it.
    pub fn next_id(&self) -> u64 {
        self.last_id.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Adds a client that has connected.
    pub fn add(&self, client: Arc<Client>) {
        if self.of_core[client.core].lock().insert(client.id, client.clone()).is_none() {
            self.len.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Removes a client whose connection has ended.
    pub fn remove(&self, client: &Client) {
        if self.of_core[client.core].lock().remove(&client.id).is_some() {
            self.len.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// The client with an id.
    pub fn get(&self, id: u64) -> Option<Arc<Client>> {
        self.of_core.iter().find_map(|clients| clients.lock().get(&id).cloned())
    }

    /// The number of connected clients.
    pub fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    /// Whether no client is connected.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All clients in the order of their ids.
    pub fn all(&self) -> Vec<Arc<Client>> {
        let mut all = Vec::with_capacity(self.len());
        for clients in &self.of_core {
            all.extend(clients.lock().values().cloned());
        }
        all.sort_unstable_by_key(|client| client.id);
        all
    }

    /// Visits the clients of a core, under the lock of its list.
    pub fn visit_core(&self, core: usize, visit: impl FnMut(&Arc<Client>)) {
        self.of_core[core].lock().values().for_each(visit);
    }
}
