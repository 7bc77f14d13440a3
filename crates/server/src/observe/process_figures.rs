//! Figures of the process and of the machine, as the system reports them.

use std::fs;

use crate::sys::{self, CpuTimeOf};

/// Processor time in seconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct CpuSeconds {
    /// Spent in the kernel.
    pub system: f64,
    /// Spent in the program itself.
    pub user: f64,
}

/// The processor time of all threads of the process.
pub fn cpu_of_process() -> CpuSeconds {
    cpu(CpuTimeOf::Process)
}

/// The processor time of child processes that have ended.
pub fn cpu_of_children() -> CpuSeconds {
    cpu(CpuTimeOf::Children)
}

/// The processor time of the calling thread; 0 if the system does not report it.
pub fn cpu_of_thread() -> CpuSeconds {
    cpu(CpuTimeOf::Thread)
}

fn cpu(of: CpuTimeOf) -> CpuSeconds {
    let time = sys::cpu_time(of);
    CpuSeconds { system: time.system.as_secs_f64(), user: time.user.as_secs_f64() }
}

/// The system's name, release and machine: `Linux 6.1.0 x86_64`.
pub fn system() -> String {
    sys::system_name().join(" ")
}

/// Bytes of physical memory in the machine.
pub fn total_memory() -> u64 {
    sys::physical_memory()
}

/// Bytes of physical memory that the process occupies; 0 if the system does not report it.
pub fn resident_memory() -> u64 {
    let pages = || fs::read_to_string("/proc/self/statm").ok()?.split(' ').nth(1)?.parse::<u64>().ok();
    pages().unwrap_or(0) * sys::page_size()
}
