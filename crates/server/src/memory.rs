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

/// The allocator's figures, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct AllocatorFigures {
    /// In objects that are in use.
    pub allocated: usize,
    /// In pages that hold anything.
    pub active: usize,
    /// In pages that are in physical memory.
    pub resident: usize,
}

/// All of them, of one moment.
pub fn allocator() -> AllocatorFigures {
    let _ = epoch::advance();
    AllocatorFigures {
        allocated: stats::allocated::read().unwrap_or(0),
        active: stats::active::read().unwrap_or(0),
        resident: stats::resident::read().unwrap_or(0),
    }
}

/// Gives all pages that are held unused back to the system; whether that went well.
pub fn purge() -> bool {
    /// jemalloc's number for all arenas together is 4096.
    const PURGE: &std::ffi::CStr = c"arena.4096.purge";
    let (nothing, no_len) = (std::ptr::null_mut(), std::ptr::null_mut());
    // SAFETY: the name ends with a zero, and a purge reads and writes nothing.
    unsafe { tikv_jemalloc_sys::mallctl(PURGE.as_ptr(), nothing, no_len, nothing, 0) == 0 }
}

/// Starts the allocator's background thread, which a child process does not inherit.
pub fn start_background_thread() {
    // Without the thread, memory is still returned to the system, but only when the process allocates or frees.
    let _ = tikv_jemalloc_ctl::background_thread::write(true);
}

/// The allocator's own report.
pub fn allocator_report() -> Vec<u8> {
    let mut report = Vec::new();
    // It fails only where the writer does, which a vector does not.
    let _ = tikv_jemalloc_ctl::stats_print::stats_print(&mut report, Default::default());
    report
}

/// The allocator's name and version.
pub fn allocator_name() -> String {
    let version = tikv_jemalloc_ctl::version::read().unwrap_or_default();
    format!("jemalloc-{}", version.split('-').next().unwrap_or_default())
}
