//! When memory is defragmented: the state that the cores and INFO share.
//!
//! A pass visits all shards once, each core its own. One begins when so much of the allocator's pages is unused as the directives say, and the next
//! one when that is still so, or so again. A pass that moved little is not repeated until the memory in use has changed.

use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

use tokio::sync::Notify;

use crate::{
    clock,
    config::Config,
    memory::{self, AllocatorFigures},
};

/// See the module.
#[derive(Default)]
pub struct Defragmentation {
    /// The percentage of a core's time that the running pass may take; 0 if none runs.
    effort: AtomicU32,
    /// The cores that have not ended the running pass.
    cores_left: AtomicUsize,
    /// The number of passes that have begun.
    passes: AtomicU64,
    /// Notified when a pass begins.
    begin: Notify,
    /// The memory in use at the end of the last pass, if that moved little, in bytes.
    futile_at: AtomicUsize,
    /// When the running pass began, in milliseconds since 1970; 0 if none runs.
    began_ms: AtomicU64,
    /// Milliseconds of the passes that have ended.
    total_ms: AtomicU64,
    seen: AtomicU64,
    moved: AtomicU64,
    /// The entries seen and moved before the running pass.
    before: [AtomicU64; 2],
}

/// Figures of INFO.
#[derive(Clone, Copy, Debug, Default)]
pub struct DefragmentationFigures {
    /// The percentage of a core's time that the running pass may take; 0 if none runs.
    pub effort: u32,
    /// Entries that were moved.
    pub moved: u64,
    /// Entries that lie well.
    pub kept: u64,
    /// Milliseconds of all passes.
    pub total_ms: u64,
    /// Milliseconds of the running pass.
    pub current_ms: u64,
}

impl Defragmentation {
    /// Looks at the allocator's pages, and begins a pass if that is worth it. One core calls this regularly.
    pub fn plan(&self, config: &Config, figures: &AllocatorFigures, cores: usize) {
        let is_running = self.cores_left.load(Ordering::Acquire) > 0;
        if !config.activedefrag {
            // A pass that is running ends.
            self.effort.store(0, Ordering::Release);
            return;
        }
        let Some(effort) = effort(config, figures.active, figures.allocated) else { return };
        if is_running {
            // More may be free than when the pass began. It has less to do near its end, but should reach that.
            self.effort.fetch_max(effort, Ordering::AcqRel);
            return;
        }
        let futile_at = self.futile_at.load(Ordering::Relaxed);
        if futile_at > 0 && figures.allocated.abs_diff(futile_at) < futile_at / 10 {
            return;
        }
        self.futile_at.store(0, Ordering::Relaxed);
        for (before, now) in self.before.iter().zip([&self.seen, &self.moved]) {
            before.store(now.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        self.began_ms.store(clock::now_ms() as u64, Ordering::Relaxed);
        self.effort.store(effort, Ordering::Release);
        self.cores_left.store(cores, Ordering::Release);
        self.passes.fetch_add(1, Ordering::AcqRel);
        self.begin.notify_waiters();
    }

    /// Waits until more passes have begun than `passes`. Returns how many have.
    pub async fn begun(&self, passes: u64) -> u64 {
        loop {
            let mut begin = std::pin::pin!(self.begin.notified());
            // From here on no notification is missed.
            begin.as_mut().enable();
            let begun = self.passes.load(Ordering::Acquire);
            if begun > passes {
                return begun;
            }
            begin.await;
        }
    }

    /// The percentage of its time that a core may spend on the running pass; 0 if the pass is to end.
    pub fn effort(&self) -> u32 {
        self.effort.load(Ordering::Acquire)
    }

    /// Counts entries that a core has looked at, and those that it has moved.
    pub fn count(&self, seen: usize, moved: usize) {
        self.seen.fetch_add(seen as u64, Ordering::Relaxed);
        self.moved.fetch_add(moved as u64, Ordering::Relaxed);
    }

    /// Notes that a core has ended its part of the pass.
    pub fn end(&self) {
        if self.cores_left.fetch_sub(1, Ordering::AcqRel) > 1 {
            return;
        }
        let since = |now: &AtomicU64, before: &AtomicU64| now.load(Ordering::Relaxed) - before.load(Ordering::Relaxed);
        let (seen, moved) = (since(&self.seen, &self.before[0]), since(&self.moved, &self.before[1]));
        if moved < seen / 20 {
            self.futile_at.store(memory::allocator().allocated.max(1), Ordering::Relaxed);
        }
        self.total_ms.fetch_add(self.current_ms(), Ordering::Relaxed);
        self.began_ms.store(0, Ordering::Relaxed);
        self.effort.store(0, Ordering::Release);
    }

    fn current_ms(&self) -> u64 {
        match self.began_ms.load(Ordering::Relaxed) {
            0 => 0,
            began_ms => (clock::now_ms() as u64).saturating_sub(began_ms),
        }
    }

    /// The figures of INFO.
    pub fn figures(&self) -> DefragmentationFigures {
        let (seen, moved) = (self.seen.load(Ordering::Relaxed), self.moved.load(Ordering::Relaxed));
        let current_ms = self.current_ms();
        DefragmentationFigures {
            effort: self.effort(),
            moved,
            kept: seen.saturating_sub(moved),
            total_ms: self.total_ms.load(Ordering::Relaxed) + current_ms,
            current_ms,
        }
    }

    /// Begins anew with counting (CONFIG RESETSTAT).
    pub fn reset(&self) {
        let counters = [&self.seen, &self.moved, &self.before[0], &self.before[1], &self.total_ms];
        counters.into_iter().for_each(|counter| counter.store(0, Ordering::Relaxed));
    }
}

/// The percentage of time to spend, if so much of the pages is unused that defragmenting begins. It grows from the least to the greatest effort as the
/// waste grows from the lower to the upper threshold. (Redis: `computeDefragCycles`)
fn effort(config: &Config, active: usize, allocated: usize) -> Option<u32> {
    let waste = active.saturating_sub(allocated);
    let percent = 100.0 * waste as f64 / allocated.max(1) as f64;
    let (lower, upper) = (f64::from(config.defrag_threshold_lower), f64::from(config.defrag_threshold_upper));
    if (waste as u64) < config.defrag_ignore_bytes || percent < lower {
        return None;
    }
    let (least, most) = (f64::from(config.defrag_cycle_min), f64::from(config.defrag_cycle_max));
    let share = ((percent - lower) / (upper - lower).max(1.0)).clamp(0.0, 1.0);
    Some((least + share * (most - least)).round().clamp(1.0, 99.0) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn the_effort_grows_with_the_waste() {
        let mut config = Config::default();
        (config.defrag_cycle_min, config.defrag_cycle_max) = (5, 25);
        (config.defrag_threshold_lower, config.defrag_threshold_upper) = (10, 110);
        config.defrag_ignore_bytes = 100;
        let check = |allocated: usize, waste: usize, expected: Option<u32>| {
            assert_eq!(effort(&config, allocated + waste, allocated), expected, "{waste} of {allocated}");
        };
        check(10_000, 999, None);
        check(10_000, 1_000, Some(5));
        check(10_000, 6_000, Some(15));
        check(10_000, 11_000, Some(25));
        check(10_000, 90_000, Some(25));
        check(100, 99, None);
        check(0, 100, Some(25));
        check(100, 0, None);
    }
}
