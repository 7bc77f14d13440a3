//! Chores: what a core still has to do to shards that were not free when it came up, in the order in which it came up.
//!
//! A connection that ends is taken off the keys that it watches or waits for, and a waiter that its writer could not serve is served. All
//! of it is tried on the spot first; what fails is left to the core's own task, so that nothing else waits for it.

use std::{future::poll_fn, rc::Rc};

use ochre_keyspace::{HashedKey, ShardList, Visit};

use super::{
    locks::{self, Demand, Unavailable},
    parking, serving,
    widening::{Visitor, Written},
};
use crate::{
    core::{Chore, Core},
    session::LockAttempt,
};

/// Does a chore now, or leaves it to the core's task.
pub fn run_or_leave(core: &Core, chore: Chore) {
    if let Err((chore, _)) = run(core, chore, &mut None) {
        core.leave_chore(chore);
    }
}

/// Does what is left to a core, for as long as the core lives.
pub async fn serve(core: Rc<Core>) {
    loop {
        core.chore_left.notified().await;
        while let Some(chore) = core.next_chore() {
            core.refresh_config();
            let mut attempt = None;
            let mut todo = Some(chore);
            while let Some(chore) = todo.take() {
                let Err((chore, unavailable)) = run(&core, chore, &mut attempt) else { break };
                todo = Some(chore);
                poll_fn(|cx| locks::poll_available(&core, attempt.as_deref(), unavailable, cx)).await;
            }
        }
    }
}

fn run(core: &Core, chore: Chore, attempt: &mut Option<Box<LockAttempt>>) -> Result<(), (Chore, Unavailable)> {
    let keyspace = &core.server.keyspace;
    let shard_of = |hash: u64| keyspace.shard_of(hash) as u16;
    let shards: ShardList = match &chore {
        Chore::Serve(ready) => ShardList::from_slice(&[shard_of(ready.hash)]),
        Chore::Unpark(parked) => parked.awaited.iter().map(|&(_, hash)| shard_of(hash)).collect(),
        Chore::Unwatch(watch) => watch.keys.iter().map(|(_, key)| shard_of(keyspace.hash(key).hash)).collect(),
    };
    let visit_written = |visit: &mut Visitor<'_>| {
        if let Chore::Serve(ready) = &chore {
            let key = HashedKey { bytes: &ready.key, hash: ready.hash };
            visit(Written { key, elements: usize::MAX, value_type: None });
        }
    };
    // Only serving runs a command.
    let is_paused = || matches!(chore, Chore::Serve(_)) && core.server.pause.is_on();
    let demand = Demand {
        shards,
        everything: false,
        visit: Visit::Lasting,
        visit_written: &visit_written,
        is_paused: &is_paused,
    };
    let mut locked = match locks::lock(core, &core.config(), attempt, demand) {
        Ok(locked) => locked,
        Err(unavailable) => return Err((chore, unavailable)),
    };
    match chore {
        Chore::Serve(ready) => {
            core.ready.borrow_mut().push_back(ready);
            serving::serve(core, &mut locked);
        }
        Chore::Unpark(parked) => parking::unpark(&locked, &parked),
        Chore::Unwatch(watch) => watch.release(&locked.reader(), keyspace),
    }
    Ok(())
}
