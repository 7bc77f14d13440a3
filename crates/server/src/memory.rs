//! The memory in use, by the allocator's figures.

use tikv_jemalloc_ctl::{epoch, stats};

/// The bytes that the process has allocated and not freed.
pub fn allocated() -> usize {
    // The allocator updates its figures when its epoch advances.
    let _ = epoch::advance();
    stats::allocated::read().unwrap_or(0)
}

/// The bytes of physical memory that the allocator's pages take.
pub fn resident() -> usize {
    let _ = epoch::advance();
    stats::resident::read().unwrap_or(0)
}

/// The allocator's figures, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct AllocatorFigures {
    /// In objects that are allocated.
    pub allocated: usize,
    /// In pages that hold at least one object.
    pub active: usize,
    /// In pages that are in physical memory.
    pub resident: usize,
}

/// All figures at one moment.
pub fn allocator() -> AllocatorFigures {
    let _ = epoch::advance();
    AllocatorFigures {
        allocated: stats::allocated::read().unwrap_or(0),
        active: stats::active::read().unwrap_or(0),
        resident: stats::resident::read().unwrap_or(0),
    }
}

/// Returns all unused pages to the system. The result is whether that succeeded.
pub fn purge() -> bool {
    /// jemalloc's number for all arenas together is 4096.
    const PURGE: &std::ffi::CStr = c"arena.4096.purge";
    let (nothing, no_len) = (std::ptr::null_mut(), std::ptr::null_mut());
    // SAFETY: the name ends with a zero, and a purge reads and writes nothing.
    unsafe { tikv_jemalloc_sys::mallctl(PURGE.as_ptr(), nothing, no_len, nothing, 0) == 0 }
}

/// Starts the allocator's background thread. To be called in a process that was forked, since it does not inherit the thread.
pub fn start_background_thread() {
    // An error is harmless. Without the thread, memory is still returned to the system, though only when the process allocates or frees.
    let _ = tikv_jemalloc_ctl::background_thread::write(true);
}

/// jemalloc's own report, a text.
pub fn allocator_report() -> Vec<u8> {
    let mut report = Vec::new();
    // Only the writer can fail, and a vector does not.
    let _ = tikv_jemalloc_ctl::stats_print::stats_print(&mut report, Default::default());
    report
}

/// The allocator's name and version, such as `jemalloc-5.3.1`.
pub fn allocator_name() -> String {
    let version = tikv_jemalloc_ctl::version::read().unwrap_or_default();
    format!("jemalloc-{}", version.split('-').next().unwrap_or_default())
}
