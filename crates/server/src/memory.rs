//! Memory in use, from the allocator's own figures.

use tikv_jemalloc_ctl::{epoch, stats};

/// Bytes that the process has allocated.
pub fn allocated() -> usize {
    // The figures are those of the last epoch.
    let _ = epoch::advance();
    stats::allocated::read().unwrap_or(0)
}

/// Bytes of physical memory that the allocator's pages take.
pub fn resident() -> usize {
    let _ = epoch::advance();
    stats::resident::read().unwrap_or(0)
}
