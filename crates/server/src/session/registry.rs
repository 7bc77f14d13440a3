//! All clients, by their ids.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;

use super::Client;

/// See the module.
#[derive(Default)]
pub struct Registry {
    /// A mutex: touched when a client comes or goes, and by commands about clients.
    clients: Mutex<BTreeMap<u64, Arc<Client>>>,
    last_id: AtomicU64,
}

impl Registry {
    /// The id of the next client; they are given out in ascending order and never again.
    pub fn next_id(&self) -> u64 {
        self.last_id.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub fn add(&self, client: Arc<Client>) {
        self.clients.lock().insert(client.id, client);
    }

    pub fn remove(&self, id: u64) {
        self.clients.lock().remove(&id);
    }

    pub fn get(&self, id: u64) -> Option<Arc<Client>> {
        self.clients.lock().get(&id).cloned()
    }

    pub fn len(&self) -> usize {
        self.clients.lock().len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All of them, in the order of their ids.
    pub fn all(&self) -> Vec<Arc<Client>> {
        self.clients.lock().values().cloned().collect()
    }

    /// Those that a core serves.
    pub fn of_core(&self, core: usize) -> Vec<Arc<Client>> {
        self.clients.lock().values().filter(|client| client.core == core).cloned().collect()
    }
}
