//! Step 6: gives a request its locks. In this order: it looks at the backlog of a snapshot, enters the gate, locks the shards, widens the
//! set for waiters, looks at the pause, and reads the clock.
//!
//! A core never sleeps here. If the locks are not available now, the caller learns what to wait for, and the core serves other connections
//! meanwhile. A request that fails again and again closes the gate instead of locking its shards. Closers queue, so it gets its turn.

use std::task::{Context, Poll};

use ochre_keyspace::{Burial, Busy, LockSet, ShardList, Visit, Walk};

use super::widening::{self, Visitor};
use crate::{clock, config::Config, core::Core, locked::Locked, session::LockAttempt};

/// How often a lock set is widened before the request takes the whole keyspace instead.
const WIDENINGS_MAX: usize = 4;

/// How often a request may find its shards busy before it takes the whole keyspace instead.
pub const FAILURES_MAX: u8 = 4;

/// What a request needs to lock.
pub struct Demand<'d> {
    /// The database of its keys.
    pub database: usize,
    /// The shards of its keys. A shard may occur several times.
    pub shards: ShardList,
    /// Whether it needs the whole keyspace to itself.
    pub everything: bool,
    /// How long it may hold the locks.
    pub visit: Visit,
    /// Calls the visitor with each key that it may write.
    pub visit_written: &'d dyn Fn(&mut Visitor<'_>),
    /// Whether a pause holds it. It is called under the locks. A pause begins with the gate closed, so it cannot begin between this call
    /// and the release of the locks.
    pub is_paused: &'d dyn Fn() -> bool,
    /// Whether users have changed since its rights were checked. It is called under the locks. ACL SETUSER and ACL DELUSER have the gate closed,
    /// so they cannot take rights away between this call and the release of the locks.
    pub is_stale: &'d dyn Fn() -> bool,
    /// Whether it may change keys. It is asked while a snapshot is being taken.
    pub may_write: &'d dyn Fn() -> bool,
}

/// What a request waits for if its locks are not available, or if it may not run yet. It holds no lock meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unavailable {
    /// Its turn at the gate. The attempt has its place in the queue.
    Gate,
    /// A shard that another visit holds.
    Shard(u16),
    /// The end of CLIENT PAUSE.
    Pause,
    /// Nothing: it is tried again at once, and the rights of its user are checked again.
    Rights,
    /// The memory of values that were removed and are being freed.
    Memory(Burial),
    /// The eviction of keys by the core's task.
    Room,
    /// The images that writers have handed to a snapshot, and that are not written yet. There are too many.
    Backlog,
    /// The disk, which has not taken what was written to the append-only file before.
    Log,
    /// A long string that it may change, and that a snapshot has not written yet.
    LongString,
}

/// Locks what a request needs. `attempt` is kept from one try to the next.
///
/// # Errors
/// What to wait for, if the locks are not available now.
#[inline(always)]
pub fn lock<'c>(
    core: &'c Core,
    config: &Config,
    attempt: &mut Option<Box<LockAttempt>>,
    mut demand: Demand<'_>,
) -> Result<Locked<'c>, Unavailable> {
    if core.server.keyspace.has_snapshot() && is_held_back(core, &demand) {
        return Err(Unavailable::Backlog);
    }
    if core.server.aof.is_full() && (demand.may_write)() {
        return Err(Unavailable::Log);
    }
    let mut tried = attempt.take().map_or_else(LockAttempt::default, |attempt| *attempt);
    match try_lock(core, &mut tried, &mut demand) {
        Ok(_) if (demand.is_paused)() => Err(Unavailable::Pause),
        Ok(_) if (demand.is_stale)() => Err(Unavailable::Rights),
        Ok(set) if core.server.keyspace.has_snapshot() && has_unsaved_long_string(&set, &demand) => {
            Err(Unavailable::LongString)
        }
        Ok(set) => Ok(Locked::new(core, config, set)),
        Err(unavailable) => {
            *attempt = Some(Box::new(tried));
            Err(unavailable)
        }
    }
}

/// Returns whether a writer has to wait since too many images wait to be written. A writer of shards that the walker has passed hands none
/// over.
#[cold]
fn is_held_back(core: &Core, demand: &Demand<'_>) -> bool {
    let Some(snapshot) = core.server.keyspace.snapshot() else { return false };
    let is_passed = !demand.everything && demand.shards.iter().all(|&shard| usize::from(shard) < snapshot.passed());
    !is_passed && core.server.saves.holds_back(&snapshot) && (demand.may_write)()
}

/// Returns whether a writer has to wait until a snapshot has written a long string. A change of the string would copy all of it.
#[cold]
fn has_unsaved_long_string(set: &LockSet<'_>, demand: &Demand<'_>) -> bool {
    let mut has_one = false;
    (demand.visit_written)(&mut |written| has_one |= set.is_long_and_unsaved(demand.database, written.key));
    has_one
}

/// A lock set is some hundred bytes long, so it is made where it is used.
#[inline(always)]
fn try_lock<'c>(
    core: &'c Core,
    LockAttempt { place, failures, .. }: &mut LockAttempt,
    demand: &mut Demand<'_>,
) -> Result<LockSet<'c>, Unavailable> {
    let keyspace = &core.server.keyspace;
    let gate = keyspace.gate();
    if !demand.everything && *failures < FAILURES_MAX {
        let mut shards = std::mem::take(&mut demand.shards);
        for _ in 0..=WIDENINGS_MAX {
            let entered = gate.enter(core.index, demand.visit, place).ok_or(Unavailable::Gate)?;
            let set = match LockSet::try_lock(keyspace, entered, shards) {
                Ok(set) => set,
                Err(Busy { shard }) => {
                    *failures += 1;
                    return Err(Unavailable::Shard(shard));
                }
            };
            // A waiter is parked under the locks of its keys, so none is added for these keys while the set is held.
            if !keyspace.is_awaited() {
                return Ok(set);
            }
            let missing = widening::missing_shards(keyspace, &set, demand.visit_written);
            if missing.is_empty() {
                return Ok(set);
            }
            shards = set.release();
            shards.extend(missing);
        }
        *failures = FAILURES_MAX;
    }
    let closed = gate.close(place).ok_or(Unavailable::Gate)?;
    Ok(LockSet::whole(keyspace, closed, core.index))
}

/// Enters the gate for a walk, or for its next slice. The walk itself locks one shard at a time.
///
/// # Errors
/// As for [`lock`].
pub fn begin_walk<'c>(
    core: &'c Core,
    attempt: &mut Option<Box<LockAttempt>>,
    is_paused: impl Fn() -> bool,
    is_stale: impl Fn() -> bool,
) -> Result<Walk<'c>, Unavailable> {
    let keyspace = &core.server.keyspace;
    let mut tried = attempt.take().map_or_else(LockAttempt::default, |attempt| *attempt);
    match keyspace.gate().enter(core.index, Visit::Brief, &mut tried.place) {
        Some(_) if is_paused() => Err(Unavailable::Pause),
        Some(_) if is_stale() => Err(Unavailable::Rights),
        Some(entered) => Ok(Walk::new(keyspace, entered, clock::now_ms(), !core.server.pause.stops_expiry())),
        None => {
            *attempt = Some(Box::new(tried));
            Err(Unavailable::Gate)
        }
    }
}

/// Returns `Ready` if it is worth trying to lock again. Otherwise the task is woken when that is so.
pub fn poll_available(
    core: &Core,
    attempt: Option<&LockAttempt>,
    unavailable: Unavailable,
    context: &mut Context<'_>,
) -> Poll<()> {
    let keyspace = &core.server.keyspace;
    match unavailable {
        Unavailable::Gate => keyspace.gate().poll_turn(attempt.and_then(|attempt| attempt.place.as_ref()), context),
        Unavailable::Shard(shard) => keyspace.poll_free(shard, context),
        Unavailable::Pause => core.server.pause.poll_end(context),
        Unavailable::Rights => Poll::Ready(()),
        Unavailable::Memory(burial) => keyspace.poll_freed(burial, context),
        Unavailable::Room => core.room.poll_evicted(context),
        Unavailable::Log => core.server.aof.poll_room(context),
        Unavailable::LongString => core.server.saves.poll_written(|| keyspace.has_snapshot(), context),
        Unavailable::Backlog => core.server.saves.poll_backlog(keyspace.snapshot().as_ref(), context),
    }
}
