//! All clients, by their ids: a list for each core, so that a core looks after its own without holding up the others.

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

/// See the module.
pub struct Registry {
    /// The clients of each core. Mutexes: touched when a client comes or goes, by their core's housekeeping, and by commands about clients.
    of_core: Box<[Mutex<ById>]>,
    len: AtomicUsize,
    last_id: AtomicU64,
}

impl Registry {
    /// For so many cores.
    pub fn new(cores: usize) -> Registry {
        Registry {
            of_core: (0..cores).map(|_| Mutex::default()).collect(),
            len: AtomicUsize::new(0),
            last_id: AtomicU64::new(0),
        }
    }

    /// The id of the next client; they are given out in ascending order and never again.
    pub fn next_id(&self) -> u64 {
        self.last_id.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub fn add(&self, client: Arc<Client>) {
        if self.of_core[client.core].lock().insert(client.id, client.clone()).is_none() {
            self.len.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub fn remove(&self, client: &Client) {
        if self.of_core[client.core].lock().remove(&client.id).is_some() {
            self.len.fetch_sub(1, Ordering::Relaxed);
        }
    }

    pub fn get(&self, id: u64) -> Option<Arc<Client>> {
        self.of_core.iter().find_map(|clients| clients.lock().get(&id).cloned())
    }

    pub fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All of them, in the order of their ids.
    pub fn all(&self) -> Vec<Arc<Client>> {
        let mut all = Vec::with_capacity(self.len());
        for clients in &self.of_core {
            all.extend(clients.lock().values().cloned());
        }
        all.sort_unstable_by_key(|client| client.id);
        all
    }

    /// Visits those that a core serves, under the lock of their list.
    pub fn visit_core(&self, core: usize, visit: impl FnMut(&Arc<Client>)) {
        self.of_core[core].lock().values().for_each(visit);
    }
}
