//! Inserts the keys of a file that is being loaded, or applies its records: a task of each core, between the batches of its clients.

use std::{future::poll_fn, rc::Rc};

use ochre_keyspace::{Entry, HashedKey, NewValue, ShardList, Visit};
use tokio::task::yield_now;

use super::{
    locks::{self, Demand},
    replay::Replay,
};
use crate::{
    core::Core,
    journal::RecordedCommand,
    loading::{KeysToInsert, LoadWork, LoadedValue, Portion, RecordToApply, RecordsToApply},
    locked::Locked,
    persistence::stored,
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
            is_stale: &|| false,
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

async fn insert(core: &Core, mut portion: Portion, keys: &KeysToInsert) {
    let keyspace = &core.server.keyspace;
    portion.keys.iter().for_each(|key| keyspace.prefetch_slot(key.hash));
    let shards: ShardList = portion.keys.iter().map(|key| keyspace.shard_of(key.hash) as u16).collect();
    // The entries are made before the locks are taken, so that these are held for a shorter time.
    let entries = take_entries(&mut portion);
    // The thread that parses may be done.
    let _ = keys.emptied.send(portion);
    let mut locked = lock(core, shards, false).await;
    let mut writer = locked.writer();
    for (database, hash, entry) in entries {
        let Err(entry) = writer.add(database, hash, entry) else { continue };
        let name: Box<[u8]> = entry.view().key().into();
        if keys.replaces {
            writer.put_with_access(database, HashedKey { bytes: &name, hash }, entry);
        } else {
            // Nobody listens if the file is broken anyway.
            let _ = keys.duplicates.send((database, name));
        }
    }
}

/// Makes the entries of a portion, each with its database and its hash, and empties it.
fn take_entries(portion: &mut Portion) -> Vec<(usize, u64, Entry)> {
    let mut bytes = &portion.bytes[..];
    let mut take = |len| {
        let (taken, rest) = bytes.split_at(len);
        bytes = rest;
        taken
    };
    let entries = portion.keys.drain(..).map(|key| {
        let name = take(key.name_len);
        let entry = match key.value {
            LoadedValue::Short(len) => Entry::new(name, NewValue::from_bytes(take(len)), key.expiry_ms, key.access),
            LoadedValue::Whole(value) => stored::entry(name, value, key.expiry_ms, key.access),
        };
        (key.database, key.hash, entry)
    });
    let entries = entries.collect();
    portion.bytes.clear();
    portion.size = 0;
    entries
}
