//! Disconnects clients while all clients together use more memory than `maxmemory-clients` allows: those that use the most first.

use std::sync::{Arc, atomic::Ordering};

use crate::{
    clock,
    config::{Config, MaxmemoryClients},
    core::Core,
    session::{Client, ClientFlags},
};

/// Disconnects clients if all of them together use too much memory.
#[inline]
pub fn check(core: &Core, config: &Config) {
    let limit = limit(config);
    if limit > 0 && core.server.client_bytes() > limit {
        evict(core, limit);
    }
}

/// The limit, in bytes; 0 is none. (Redis: `getClientEvictionLimit`)
#[inline]
fn limit(config: &Config) -> u64 {
    match config.maxmemory_clients {
        MaxmemoryClients::Bytes(bytes) => bytes,
        MaxmemoryClients::Percent(percent) => config.maxmemory / 100 * u64::from(percent),
    }
}

#[cold]
fn evict(core: &Core, limit: u64) {
    // The other core is about to disconnect enough clients.
    let Some(_evicting) = core.server.evicting_clients.try_lock() else { return };
    let memory = |client: &Client| client.figures.memory_bytes.load(Ordering::Relaxed);
    // The memory of clients that are killed already is as good as free.
    let clients = core.server.clients.all().into_iter().filter(|client| !client.is_killed());
    let mut clients: Vec<(u64, Arc<Client>)> = clients.map(|client| (memory(&client), client)).collect();
    let mut used: u64 = clients.iter().map(|(bytes, _)| bytes).sum();
    clients.retain(|(_, client)| !client.flags().contains(ClientFlags::NO_EVICT));
    clients.sort_unstable_by_key(|(bytes, client)| (*bytes, client.id));
    while used > limit {
        let Some((bytes, client)) = clients.pop() else { break };
        let description = client.description(clock::now_ms());
        if client.kill() {
            tracing::info!("Evicting client: {description}");
            core.counters.evicted_clients.add(1);
        }
        used -= bytes;
    }
}
