//! Locking: the one function that gives a request its locks. Gate, shards, widening, pause and clock come in this order.
//!
//! A core never sleeps here. Where a request cannot have its locks now, it is told what to wait for, and its connection is parked while
//! the core serves others. A request that fails again and again asks for the gate instead of its shards: closers queue, so it gets
//! its turn.

use std::task::{Context, Poll};

use ochre_keyspace::{Busy, LockSet, ShardList, Visit, Walk};

use super::widening::{self, Visitor};
use crate::{clock, config::Config, core::Core, locked::Locked, session::LockAttempt};

/// How often a lock set is widened before the whole keyspace is taken instead.
const WIDENINGS_MAX: usize = 4;

/// How often the shards of a request may be busy before it takes the whole keyspace instead.
pub const FAILURES_MAX: u8 = 8;

/// What a request is to lock.
pub struct Demand<'d> {
    /// The shards of its keys; they may repeat.
    pub shards: ShardList,
    /// Whether it needs the whole keyspace to itself.
    pub everything: bool,
    /// How long it may hold them.
    pub visit: Visit,
    /// Shows the keys that it writes.
    pub visit_written: &'d dyn Fn(&mut Visitor<'_>),
    /// Whether a pause holds it up. Asked under the locks, since a pause that began after the request was checked began with the gate
    /// closed.
    pub is_paused: &'d dyn Fn() -> bool,
}

/// What a request waits for that cannot have its locks now. Nothing is locked then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unavailable {
    /// Its place at the gate, which its attempt holds.
    Gate,
    /// A shard that another visit has locked for long.
    Shard(u16),
    /// The end of CLIENT PAUSE.
    Pause,
}

/// Locks what a request demands. `attempt` is kept from one try to the next.
#[inline]
pub fn lock<'c>(
    core: &'c Core,
    config: &Config,
    attempt: &mut Option<Box<LockAttempt>>,
    mut demand: Demand<'_>,
) -> Result<Locked<'c>, Unavailable> {
    let mut tried = attempt.take().map_or_else(LockAttempt::default, |attempt| *attempt);
    let set = try_lock(core, &mut tried, &mut demand);
    let set = set.and_then(|set| if (demand.is_paused)() { Err(Unavailable::Pause) } else { Ok(set) });
    match set {
        Ok(set) => Ok(Locked::new(core, config, set)),
        Err(unavailable) => {
            *attempt = Some(Box::new(tried));
            Err(unavailable)
        }
    }
}

#[inline]
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
            let set = LockSet::try_lock(keyspace, entered, shards).map_err(|Busy { shard }| {
                *failures += 1;
                Unavailable::Shard(shard)
            })?;
            // Waiters that are parked later come under the locks of their keys, so after this set.
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
    Ok(LockSet::whole(keyspace, closed))
}

/// Begins or goes on with a walk, which locks one shard at a time by itself.
pub fn begin_walk<'c>(
    core: &'c Core,
    attempt: &mut Option<Box<LockAttempt>>,
    is_paused: impl Fn() -> bool,
) -> Result<Walk<'c>, Unavailable> {
    let keyspace = &core.server.keyspace;
    let mut tried = attempt.take().map_or_else(LockAttempt::default, |attempt| *attempt);
    match keyspace.gate().enter(core.index, Visit::Brief, &mut tried.place) {
        Some(_) if is_paused() => Err(Unavailable::Pause),
        Some(entered) => Ok(Walk::new(keyspace, entered, clock::now_ms())),
        None => {
            *attempt = Some(Box::new(tried));
            Err(Unavailable::Gate)
        }
    }
}

/// Ready when it is worth trying again to lock what was unavailable; else the task is woken then.
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
    }
}
