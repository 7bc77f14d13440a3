//! Inserts the keys of a file that is being loaded, or applies its records: a task of each core, between the batches of its clients.

use std::{future::poll_fn, rc::Rc};

use ochre_keyspace::{HashedKey, ShardList, Visit};
use tokio::task::yield_now;

use super::{
    locks::{self, Demand},
    replay::Replay,
};
use crate::{
    core::Core,
    journal::RecordedCommand,
    loading::{KeysToInsert, LoadWork, NewKey, RecordToApply, RecordsToApply},
    locked::Locked,
};

/// Does whatever the core is given to do. It never ends.
pub async fn serve(core: Rc<Core>) {
    loop {
        let mut keys = match core.server.loading.next(core.index).await {
            LoadWork::Insert(keys) => keys,
            LoadWork::Apply(records) => {
                apply(&core, records).await;
                continue;
            }
        };
        core.refresh_config();
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

/// Applies records, up to one that cannot be applied.
async fn apply(core: &Core, mut records: RecordsToApply) {
    core.refresh_config();
    let mut replay = Replay::of_file(core);
    while let Some(portion) = records.portions.recv().await {
        for RecordToApply { offset, commands } in portion {
            let commands = commands.iter().map(|(database, words)| RecordedCommand {
                time_ms: 0,
                database: *database,
                words: words.iter().map(Vec::as_slice).collect(),
            });
            if let Err(error) = replay.apply(&commands.collect::<Vec<_>>()).await {
                // If nobody listens, the file could not be read either.
                let _ = records.errors.send((offset, error.to_string()));
                return;
            }
        }
        yield_now().await;
    }
}

/// Locks these shards or, if `everything` is true, the whole keyspace.
async fn lock(core: &Core, shards: ShardList, everything: bool) -> Locked<'_> {
    let mut attempt = None;
    loop {
        let demand = Demand {
            database: 0,
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
