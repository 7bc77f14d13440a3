//! Evicts keys while more memory is in use than `maxmemory` allows.
//!
//! A command that needs memory first makes room, before any lock is taken. It evicts for a short time; if that does not suffice, the core's task
//! goes on, and the command waits for it. So the memory exceeds its limit by no more than what the requests in progress allocate: one batch or
//! one command on each core.
//!
//! Each core evicts its share of what is too much, then looks at the memory again. The shares are small near the end, so that cores that evict
//! at the same time do not evict far too much together.

use std::{future::poll_fn, rc::Rc, time::Duration};

use ochre_keyspace::{Burial, EvictionOrder, EvictionRule, Victim, Visit, Walk};

use super::{
    effects,
    locks::{self, Demand, Unavailable},
    serving,
};
use crate::{
    clock,
    config::{Config, MaxmemoryPolicy},
    core::Core,
    server::Server,
    session::LockAttempt,
};

/// Whether a command that needs memory may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// There is room.
    Free,
    /// There will be room when the core's task has evicted more keys.
    Evicting,
    /// There will be room when values that were removed are freed.
    Freeing(Burial),
    /// There is no room, and nothing to evict.
    Full,
}

/// Looks whether there is room, and evicts keys for a short time if there is none.
#[inline]
pub fn make_room(core: &Core, config: &Config) -> Room {
    if config.maxmemory == 0 || core.room.is_sure() {
        return Room::Free;
    }
    match evict_for_a_while(core, config) {
        Ok(room) => room,
        Err(_) => {
            core.room.begin_evicting();
            Room::Evicting
        }
    }
}

/// Returns whether there is neither room nor a key to evict. It evicts nothing, so it can be asked under locks.
pub fn is_full(core: &Core, config: &Config) -> bool {
    if config.maxmemory == 0 || core.room.is_sure() || used(&core.server, config) <= config.maxmemory {
        return false;
    }
    let Some(rule) = rule(config) else { return true };
    let sizes = core.server.keyspace.sizes(core.index, 0..config.databases);
    sizes.iter().all(|size| if rule.only_expiring { size.expires == 0 } else { size.keys == 0 })
}

/// Evicts keys whenever the memory exceeds its limit. The task of each core; it never ends.
pub async fn serve(core: Rc<Core>) {
    loop {
        core.room.wanted().await;
        loop {
            core.refresh_config();
            match evict_for_a_while(&core, &core.config()) {
                Ok(Room::Free | Room::Full) => break,
                Ok(Room::Freeing(burial)) => {
                    poll_fn(|cx| core.server.keyspace.poll_freed(burial, cx)).await;
                }
                Ok(Room::Evicting) => tokio::task::yield_now().await,
                Err(Stopped { unavailable, attempt }) => {
                    poll_fn(|cx| locks::poll_available(&core, attempt.as_deref(), unavailable, cx)).await;
                    // What is available at once must not keep the core from its clients.
                    tokio::task::yield_now().await;
                }
            }
        }
        core.room.end_evicting();
    }
}

/// Has the core evict keys if the memory exceeds its limit. Called regularly, for a server to which nobody writes.
pub fn check(core: &Core, config: &Config) {
    if config.maxmemory == 0 {
        return;
    }
    // Threads other than the cores allocate too.
    core.room.forget();
    if used(&core.server, config) > config.maxmemory {
        core.room.begin_evicting();
    } else {
        core.server.memory.note_exceeded(false);
    }
}

/// The locks that stopped an eviction.
struct Stopped {
    unavailable: Unavailable,
    attempt: Option<Box<LockAttempt>>,
}

/// Evicts keys until there is room, or for as long as eviction may hold up the core.
///
/// # Errors
/// What to wait for, if a shard or the gate is not available.
fn evict_for_a_while(core: &Core, config: &Config) -> Result<Room, Stopped> {
    let server = &*core.server;
    // A paused server evicts nothing, and refuses nothing for want of memory. (Redis: `isSafeToPerformEvictions`)
    if config.maxmemory == 0 || server.pause.stops_expiry() || server.loading.is_on() {
        return Ok(Room::Free);
    }
    let began = clock::ticks();
    let is_over =
        || time_limit(config).is_some_and(|limit| clock::ticks().saturating_sub(began) > clock::ticks_of(limit));
    loop {
        let used = used(server, config);
        if used <= config.maxmemory {
            core.room.allow(config.maxmemory - used, server.cores());
            server.memory.note_exceeded(false);
            return Ok(Room::Free);
        }
        let Some(rule) = rule(config) else { return Ok(nothing_to_evict(server, config)) };
        server.memory.note_exceeded(true);
        let excess = used - config.maxmemory + spare(config);
        let goal = core.room.own_bytes().saturating_sub_unsigned(excess.div_ceil(server.cores() as u64));
        // Large values are freed by another thread.
        let mut freed_elsewhere = 0;
        while core.room.own_bytes() - freed_elsewhere > goal {
            match evict_one(core, config, rule)? {
                Evicted::Key { freed_elsewhere: bytes } => freed_elsewhere += bytes,
                Evicted::Changed => {}
                Evicted::None => return Ok(nothing_to_evict(server, config)),
            }
            if is_over() {
                core.room.begin_evicting();
                return Ok(Room::Evicting);
            }
        }
        if freed_elsewhere > 0
            && let Some(burial) = server.keyspace.unfinished_burial()
        {
            return Ok(Room::Freeing(burial));
        }
    }
}

/// The memory in use that counts toward `maxmemory`, in bytes.
///
/// What waits to be written to files goes away by itself, so evicting keys for it would be a mistake. Buffers of clients count for at most a half of
/// the limit: clients that do not read must not empty the store.
fn used(server: &Server, config: &Config) -> u64 {
    let clients = server.client_bytes();
    let uncounted = server.uncounted_bytes() + clients.saturating_sub(config.maxmemory / 2);
    (server.memory.bytes() as u64).saturating_sub(uncounted)
}

/// How much more is evicted than is too much, so that not every command has to evict.
fn spare(config: &Config) -> u64 {
    const BYTES_MAX: u64 = 64 << 10;
    (config.maxmemory / 4096).min(BYTES_MAX)
}

/// What is so if no key can be evicted. Values that were removed may still be in memory.
fn nothing_to_evict(server: &Server, config: &Config) -> Room {
    // A burial that ends while the memory is summed up counts as unfinished.
    let burial = server.keyspace.unfinished_burial();
    if used(server, config) <= config.maxmemory {
        return Room::Free;
    }
    burial.map_or(Room::Full, Room::Freeing)
}

/// How long eviction may hold up a core's clients; `None` for as long as it takes. (Redis: `evictionTimeLimitUs`)
fn time_limit(config: &Config) -> Option<Duration> {
    let microseconds = match config.maxmemory_eviction_tenacity {
        tenacity @ 0..=10 => 50.0 * f64::from(tenacity),
        tenacity @ 11..100 => 500.0 * 1.15_f64.powi(tenacity as i32 - 10),
        _ => return None,
    };
    Some(Duration::from_secs_f64(microseconds / 1e6))
}

/// Which keys `maxmemory-policy` lets go; `None` for no keys.
fn rule(config: &Config) -> Option<EvictionRule> {
    use MaxmemoryPolicy::{
        AllkeysLfu, AllkeysLrm, AllkeysLru, AllkeysRandom, Noeviction, VolatileLfu, VolatileLrm, VolatileLru,
        VolatileRandom, VolatileTtl,
    };
    let (order, only_expiring) = match config.maxmemory_policy {
        Noeviction => return None,
        AllkeysLru | AllkeysLfu | AllkeysLrm => (EvictionOrder::ByAccess, false),
        VolatileLru | VolatileLfu | VolatileLrm => (EvictionOrder::ByAccess, true),
        AllkeysRandom => (EvictionOrder::Random, false),
        VolatileRandom => (EvictionOrder::Random, true),
        VolatileTtl => (EvictionOrder::SoonestExpiry, true),
    };
    Some(EvictionRule { order, only_expiring, samples: config.maxmemory_samples as usize })
}

/// The result of [`evict_one`].
enum Evicted {
    /// A key was evicted. This many bytes of it are freed by another thread.
    Key { freed_elsewhere: i64 },
    /// The key that was chosen had changed, or was gone.
    Changed,
    /// There is no key to evict.
    None,
}

/// Evicts a key.
fn evict_one(core: &Core, config: &Config, rule: EvictionRule) -> Result<Evicted, Stopped> {
    let mut attempt = None;
    let stopped = |unavailable, attempt| Stopped { unavailable, attempt };
    let victim = match choose(core, config, rule, &mut attempt) {
        Ok(Some(victim)) => victim,
        Ok(None) => return Ok(Evicted::None),
        Err(unavailable) => return Err(stopped(unavailable, attempt)),
    };
    let demand = Demand {
        database: victim.database,
        shards: [core.server.keyspace.shard_of(victim.hash) as u16].into_iter().collect(),
        everything: false,
        visit: Visit::Brief,
        visit_written: &|_| {},
        is_paused: &|| core.server.pause.stops_expiry(),
        is_stale: &|| false,
        may_write: &|| true,
    };
    let mut locked = match locks::lock(core, config, &mut attempt, demand) {
        Ok(locked) => locked,
        // Another key may be free.
        Err(Unavailable::Shard(_)) => return Ok(Evicted::Changed),
        Err(unavailable) => return Err(stopped(unavailable, attempt)),
    };
    let evicted = locked.writer().evict(&victim);
    effects::publish_expired_alone(core, &locked);
    let result = match evicted {
        None => Evicted::Changed,
        Some(entry) => {
            let freed_elsewhere = if entry.is_heavy() { entry.view().memory_usage() as i64 } else { 0 };
            effects::publish_evicted(core, &locked, &victim, entry);
            Evicted::Key { freed_elsewhere }
        }
    };
    serving::serve(core, &mut locked);
    Ok(result)
}

/// Chooses a key to evict.
fn choose(
    core: &Core,
    config: &Config,
    rule: EvictionRule,
    attempt: &mut Option<Box<LockAttempt>>,
) -> Result<Option<Victim>, Unavailable> {
    let walk: Walk<'_> = locks::begin_walk(core, attempt, || false, || false)?;
    let clock = core.access_clock(config, walk.now_ms());
    let mut evictor = core.room.evictor.borrow_mut();
    let victim = walk.walker().choose_victim(&mut evictor, rule, clock, &mut || core.random());
    victim.map_err(|busy| Unavailable::Shard(busy.shard))
}
