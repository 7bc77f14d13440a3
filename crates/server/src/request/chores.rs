//! Chores: work of a core on shards that were locked when the work came up.
//!
//! A connection that ends is removed from the keys that it watches or waits for. A waiter that its writer could not serve is served later.
//! The core has a task of its own for such work, so no connection waits for it.

use std::{
    collections::{HashSet, VecDeque},
    future::poll_fn,
    pin::pin,
    rc::Rc,
    task::{Context, Poll},
};

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

/// Does a chore now. If its shards are locked, or if others wait already, it is left to the core's task.
pub fn run_or_leave(core: &Core, chore: Chore) {
    if core.chores_wait.get() {
        core.leave_chore(chore);
    } else if let Err((chore, _)) = run(core, chore, &mut None) {
        core.chores_wait.set(true);
        core.leave_chore(chore);
    }
}

/// Does the chores that are left to a core. It never ends.
pub async fn serve(core: Rc<Core>) {
    loop {
        core.chore_left.notified().await;
        let mut waiting: VecDeque<Waiting> = VecDeque::new();
        loop {
            core.refresh_config();
            let new = std::iter::from_fn(|| core.next_chore());
            waiting.extend(new.map(|chore| Waiting { chore, attempt: None, unavailable: None }));
            core.chores_wait.set(!waiting.is_empty());
            if waiting.is_empty() {
                break;
            }
            let mut chore_left = pin!(core.chore_left.notified());
            poll_fn(|cx| match poll_any(&core, &mut waiting, cx) {
                Poll::Pending => chore_left.as_mut().poll(cx),
                ready => ready,
            })
            .await;
        }
    }
}

/// A chore that could not be done yet.
struct Waiting {
    chore: Chore,
    attempt: Option<Box<LockAttempt>>,
    /// What it waits for; `None` before the first try.
    unavailable: Option<Unavailable>,
}

/// Tries each chore whose locks may be available, so that no chore waits for another. Returns `Ready` if one was done.
fn poll_any(core: &Core, waiting: &mut VecDeque<Waiting>, cx: &mut Context<'_>) -> Poll<()> {
    let mut is_progress = false;
    // The shards that the task is parked on by now. No further chore tries them.
    let mut busy = HashSet::new();
    for _ in 0..waiting.len() {
        let Some(Waiting { mut chore, mut attempt, mut unavailable }) = waiting.pop_front() else { break };
        // A chore with a place at the gate goes on there, for others queue behind it.
        if attempt.as_deref().is_none_or(|attempt: &LockAttempt| attempt.place.is_none())
            && let Some(shard) = shards(core, &chore).into_iter().find(|shard| busy.contains(shard))
        {
            waiting.push_back(Waiting { chore, attempt, unavailable: Some(Unavailable::Shard(shard)) });
            continue;
        }
        loop {
            let is_available = |reason| locks::poll_available(core, attempt.as_deref(), reason, cx).is_ready();
            if !unavailable.is_none_or(is_available) {
                if let Some(Unavailable::Shard(shard)) = unavailable {
                    busy.insert(shard);
                }
                waiting.push_back(Waiting { chore, attempt, unavailable });
                break;
            }
            match run(core, chore, &mut attempt) {
                Ok(()) => {
                    is_progress = true;
                    break;
                }
                Err((again, reason)) => (chore, unavailable) = (again, Some(reason)),
            }
        }
    }
    if is_progress { Poll::Ready(()) } else { Poll::Pending }
}

/// Returns the shards that a chore needs at least.
fn shards(core: &Core, chore: &Chore) -> ShardList {
    let keyspace = &core.server.keyspace;
    let shard_of = |hash: u64| keyspace.shard_of(hash) as u16;
    match chore {
        Chore::Serve(ready) => ShardList::from_slice(&[shard_of(ready.hash)]),
        Chore::Unpark(parked) => parked.awaited.iter().map(|&(_, hash)| shard_of(hash)).collect(),
        Chore::Unwatch(watch) => watch.keys.iter().map(|(_, key)| shard_of(keyspace.hash(key).hash)).collect(),
    }
}

/// Does a chore.
///
/// # Errors
/// The chore, and what it has to wait for.
fn run(core: &Core, chore: Chore, attempt: &mut Option<Box<LockAttempt>>) -> Result<(), (Chore, Unavailable)> {
    let keyspace = &core.server.keyspace;
    let visit_written = |visit: &mut Visitor<'_>| {
        if let Chore::Serve(ready) = &chore {
            let key = HashedKey { bytes: &ready.key, hash: ready.hash };
            visit(Written { key, elements: usize::MAX, value_type: None });
        }
    };
    // The other chores change no data, so a pause does not hold them.
    let is_paused = || matches!(chore, Chore::Serve(_)) && core.server.pause.is_on();
    let demand = Demand {
        database: 0,
        shards: shards(core, &chore),
        everything: false,
        visit: Visit::Lasting,
        visit_written: &visit_written,
        is_paused: &is_paused,
        is_stale: &|| false,
        may_write: &|| matches!(chore, Chore::Serve(_)),
    };
    let mut locked = match locks::lock(core, &core.config(), attempt, demand) {
        Ok(locked) => locked,
        Err(unavailable) => return Err((chore, unavailable)),
    };
    match chore {
        Chore::Serve(ready) => {
            core.ready.borrow_mut().add(ready);
            serving::serve(core, &mut locked);
        }
        Chore::Unpark(parked) => parking::unpark(&locked, &parked),
        Chore::Unwatch(watch) => watch.release(&locked.reader(), keyspace),
    }
    Ok(())
}
