//! What the system knows of the process and of the machine.

use std::{ffi::CStr, fs};

/// Processor seconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct CpuSeconds {
    pub system: f64,
    pub user: f64,
}

/// The processor time of the process, with all its threads.
pub fn cpu_of_process() -> CpuSeconds {
    cpu(libc::RUSAGE_SELF)
}

/// The processor time of children that have ended.
pub fn cpu_of_children() -> CpuSeconds {
    cpu(libc::RUSAGE_CHILDREN)
}

/// The processor time of this thread; 0 where the system does not tell.
pub fn cpu_of_thread() -> CpuSeconds {
    #[cfg(target_os = "linux")]
    return cpu(libc::RUSAGE_THREAD);
    #[cfg(not(target_os = "linux"))]
    CpuSeconds::default()
}

fn cpu(who: libc::c_int) -> CpuSeconds {
    // SAFETY: `rusage` is made of integers, for which zero is a value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a `rusage` that lives through the call.
    unsafe { libc::getrusage(who, &mut usage) };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    CpuSeconds { system: seconds(usage.ru_stime), user: seconds(usage.ru_utime) }
}

/// The system's name, release and machine: `Linux 6.1.0 x86_64`.
pub fn system() -> String {
    // SAFETY: `utsname` is made of characters, for which zero is a value.
    let mut name: libc::utsname = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a `utsname` that lives through the call.
    unsafe { libc::uname(&mut name) };
    // SAFETY: the fields are strings that end with a zero, or all zeros.
    let text = |field: &[libc::c_char]| unsafe { CStr::from_ptr(field.as_ptr()) }.to_string_lossy().into_owned();
    format!("{} {} {}", text(&name.sysname), text(&name.release), text(&name.machine))
}

/// Bytes of physical memory in the machine.
pub fn total_memory() -> u64 {
    // SAFETY: `sysconf` only reads its argument.
    let (pages, size) = unsafe { (libc::sysconf(libc::_SC_PHYS_PAGES), libc::sysconf(libc::_SC_PAGESIZE)) };
    pages.max(0) as u64 * size.max(0) as u64
}

/// Bytes of physical memory that the process takes; 0 where the system does not tell.
pub fn resident_memory() -> u64 {
    let pages = || fs::read_to_string("/proc/self/statm").ok()?.split(' ').nth(1)?.parse::<u64>().ok();
    // SAFETY: `sysconf` only reads its argument.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    pages().unwrap_or(0) * size.max(0) as u64
}
