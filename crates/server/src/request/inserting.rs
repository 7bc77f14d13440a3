//! Inserts the keys of a file that is being loaded: a task of each core, between the batches of its clients.

use std::{future::poll_fn, rc::Rc};

use ochre_keyspace::{HashedKey, ShardList, Visit};
use tokio::task::yield_now;

use super::locks::{self, Demand};
use crate::{
    core::Core,
    loading::{KeysToInsert, NewKey},
    locked::Locked,
};

/// Inserts whatever the core is given. It never ends.
pub async fn serve(core: Rc<Core>) {
    loop {
        let mut keys = core.server.loading.next(core.index).await;
        if keys.empties {
            let mut locked = lock(&core, ShardList::new(), true).await;
            let databases = core.config().databases;
            locked.whole_keyspace().flush(0..databases);
        }
        while let Some(portion) = keys.portions.recv().await {
            insert(&core, portion, &keys).await;
            yield_now().await;
        }
    }
}

/// Locks these shards or, if `everything` is true, the whole keyspace.
async fn lock(core: &Core, shards: ShardList, everything: bool) -> Locked<'_> {
    let mut attempt = None;
    loop {
        let demand = Demand {
            shards: shards.clone(),
            everything,
            visit: Visit::Brief,
            visit_written: &|_| {},
            is_paused: &|| false,
            may_write: &|| true,
        };
        match locks::lock(core, &core.config(), &mut attempt, demand) {
            Ok(locked) => return locked,
            Err(unavailable) => {
                poll_fn(|cx| locks::poll_available(core, attempt.as_deref(), unavailable, cx)).await;
            }
        }
    }
}

async fn insert(core: &Core, portion: Vec<NewKey>, keys: &KeysToInsert) {
    let keyspace = &core.server.keyspace;
    let hashes: Vec<u64> = portion
        .iter()
        .map(|key| {
            let hash = keyspace.hash(key.entry.view().key()).hash;
            keyspace.prefetch_shard(hash);
            hash
        })
        .collect();
    hashes.iter().for_each(|&hash| keyspace.prefetch_slot(hash));
    let shards: ShardList = hashes.iter().map(|&hash| keyspace.shard_of(hash) as u16).collect();
    let mut locked = lock(core, shards, false).await;
    let mut writer = locked.writer();
    for (NewKey { database, entry }, hash) in portion.into_iter().zip(hashes) {
        let name = entry.view().key();
        // A name is copied only if the key must not be there.
        let key = HashedKey { bytes: name, hash };
        if keys.replaces {
            writer.remove(database, key);
        } else if writer.peek(database, key).is_some() {
            // Nobody listens if the file is broken anyway.
            let _ = keys.duplicates.send((database, name.into()));
            continue;
        }
        writer.add(database, hash, entry);
    }
}
