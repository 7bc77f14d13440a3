//! Moves entries out of pages that hold little, so that the pages can be given back. Each core moves those of its own shards, in short slices.

use std::{
    future::poll_fn,
    rc::Rc,
    time::{Duration, Instant},
};

use ochre_keyspace::{Relocated, ScanPosition, ShardList, Visit};
use tokio::{task::yield_now, time::sleep};

use super::locks::{self, Demand, Unavailable};
use crate::{
    blocks::{self, SparseBlocks},
    core::Core,
    session::LockAttempt,
};

/// How many entries are looked at under one lock. Moving all of them takes some ten microseconds.
const ENTRIES_PER_LOCK: usize = 128;

/// Moves entries whenever a pass begins. The task of each core; it never ends.
pub async fn serve(core: Rc<Core>) {
    let mut blocks = SparseBlocks::new();
    let mut passes = 0;
    loop {
        passes = core.server.defragmentation.begun(passes).await;
        pass(&core, &mut blocks).await;
        blocks::flush_cache();
        core.server.defragmentation.end();
    }
}

/// Visits the core's shards.
async fn pass(core: &Core, blocks: &mut SparseBlocks) {
    let server = &*core.server;
    let mut worked = Duration::ZERO;
    for shard in (core.index..server.keyspace.shards()).step_by(server.cores()) {
        let mut next = Some((0, ScanPosition::of_shard(shard)));
        let mut attempt = None;
        while let Some(from) = next {
            let effort = server.defragmentation.effort();
            if effort == 0 {
                return;
            }
            let began = Instant::now();
            match relocate(core, shard, from, blocks, &mut attempt) {
                Ok(rest) => next = rest,
                Err(unavailable) => {
                    poll_fn(|cx| locks::poll_available(core, attempt.as_deref(), unavailable, cx)).await;
                }
            }
            worked += began.elapsed();
            if worked < cycle(core) {
                // The clients of the core have their turns between two locks.
                yield_now().await;
            } else {
                sleep(rest_after(worked, effort)).await;
                worked = Duration::ZERO;
            }
        }
    }
}

/// How long a core works before it rests.
fn cycle(core: &Core) -> Duration {
    core.refresh_config();
    Duration::from_micros(core.config().defrag_cycle_us.into())
}

/// How long a core rests after it has worked, so that it works for `effort` percent of the time.
fn rest_after(worked: Duration, effort: u32) -> Duration {
    worked * 100_u32.saturating_sub(effort) / effort.max(1)
}

/// Moves entries of a shard under its lock. Returns where to go on.
fn relocate(
    core: &Core,
    shard: usize,
    from: (usize, ScanPosition),
    blocks: &mut SparseBlocks,
    attempt: &mut Option<Box<LockAttempt>>,
) -> Result<Option<(usize, ScanPosition)>, Unavailable> {
    let demand = Demand {
        database: 0,
        shards: ShardList::from_slice(&[shard as u16]),
        everything: false,
        visit: Visit::Brief,
        visit_written: &|_| {},
        is_paused: &|| false,
        is_stale: &|| false,
        may_write: &|| false,
    };
    let mut locked = locks::lock(core, &core.config(), attempt, demand)?;
    let mut relocated = Relocated::default();
    let next = locked.writer().relocate(from, ENTRIES_PER_LOCK, blocks, &mut relocated);
    core.server.defragmentation.count(relocated.seen, relocated.moved);
    Ok(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_core_rests_so_long_that_it_works_for_its_share() {
        for (effort, rest_us) in [(1, 49_500), (25, 1_500), (50, 500), (100, 0)] {
            assert_eq!(rest_after(Duration::from_micros(500), effort), Duration::from_micros(rest_us));
        }
    }
}
