//! Memory in use, from the allocator's own figures.

use tikv_jemalloc_ctl::thread::{ThreadLocal, allocatedp, deallocatedp};

fn counters() -> Option<(ThreadLocal<u64>, ThreadLocal<u64>)> {
    Some((allocatedp::read().ok()?, deallocatedp::read().ok()?))
}

thread_local! {
    /// Where the allocator counts for this thread: reading it costs a load, not a question to the allocator.
    static COUNTERS: Option<(ThreadLocal<u64>, ThreadLocal<u64>)> = counters();
}

/// Bytes that this thread allocated less those that it freed, modulo 2^64: what one thread allocates another may free, so only the sum
/// over all threads means something.
pub fn allocated_by_thread() -> u64 {
    COUNTERS.with(|counters| {
        counters.as_ref().map_or(0, |(allocated, freed)| allocated.get().wrapping_sub(freed.get()))
    })
}

/// Bytes that the process has allocated, from the allocator's summary of all threads.
pub fn allocated() -> usize {
    let _ = tikv_jemalloc_ctl::epoch::advance();
    tikv_jemalloc_ctl::stats::allocated::read().unwrap_or(0)
}

/// Bytes of physical memory that the allocator's pages take.
pub fn resident() -> usize {
    let _ = tikv_jemalloc_ctl::epoch::advance();
    tikv_jemalloc_ctl::stats::resident::read().unwrap_or(0)
}
