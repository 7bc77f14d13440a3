//! Calls into the C library, each behind a safe function.
//!
//! No other file of this crate calls `libc`, so that everything the server assumes about the system's interface is in one place. A function
//! here does one call and translates its result; what the call is for is its caller's business.

use std::{
    ffi::{CStr, CString, OsStr},
    fs::File,
    io, mem,
    os::{fd::AsRawFd, unix::ffi::OsStrExt},
    path::{Path, PathBuf},
    time::Duration,
};

/// On which side of [`fork`] the process is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fork {
    /// The process that called [`fork`].
    Parent,
    /// The new process.
    Child,
}

/// Makes a copy of the process. (fork(2))
///
/// Only for a process that has started no thread: of several threads, the child has the calling one alone, and any lock that another one
/// held stays locked in it.
pub fn fork() -> io::Result<Fork> {
    // SAFETY: the caller has started no thread, so the child may use everything that it inherits. The allocator has a thread of its own, and
    // registers handlers that bring its state in order in parent and child.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Fork::Child),
        _ => Ok(Fork::Parent),
    }
}

/// Starts a session without a terminal. (setsid(2))
pub fn start_session() -> io::Result<()> {
    // SAFETY: setsid has no argument and touches no memory.
    result_of(unsafe { libc::setsid() })
}

/// Makes a file the standard input, output and error of the process. (dup2(2))
pub fn redirect_standard_streams(to: &File) -> io::Result<()> {
    for standard in [libc::STDIN_FILENO, libc::STDOUT_FILENO, libc::STDERR_FILENO] {
        // SAFETY: `to` is open during the call. The descriptors that are replaced belong to no Rust object: the standard library's handles
        // name them by number and never close them.
        result_of(unsafe { libc::dup2(to.as_raw_fd(), standard) })?;
    }
    Ok(())
}

/// Allows the system to use huge pages for the process, or forbids it. Those that it uses stay. (prctl(2): PR_SET_THP_DISABLE)
///
/// # Errors
/// If the system does not know them.
#[cfg(target_os = "linux")]
pub fn allow_huge_pages(allow: bool) -> io::Result<()> {
    // SAFETY: this option of prctl has a number as its argument, and touches no memory.
    result_of(unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, libc::c_ulong::from(!allow), 0, 0, 0) })
}

/// Elsewhere there is nothing to switch.
///
/// # Errors
/// None.
#[cfg(not(target_os = "linux"))]
pub fn allow_huge_pages(_: bool) -> io::Result<()> {
    Ok(())
}

/// Gives the calling thread a lower priority than the others have. (setpriority(2): on Linux, it is for the thread.)
pub fn lower_priority() -> io::Result<()> {
    const NICE: i32 = 10;
    // SAFETY: setpriority touches no memory.
    result_of(unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICE) })
}

/// Stops the process until it receives SIGCONT. (raise(3))
pub fn stop_process() {
    // SAFETY: raise touches no memory, and SIGSTOP runs no handler.
    unsafe { libc::raise(libc::SIGSTOP) };
}

/// Ignores SIGHUP and SIGPIPE from now on. (signal(2))
pub fn ignore_hangup_and_broken_pipe() {
    for signal in [libc::SIGHUP, libc::SIGPIPE] {
        // SAFETY: ignoring a signal installs no handler, so no code of ours can run inside one.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
}

/// How many files the process may have open.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OpenFilesLimit {
    /// What is enforced. The process may raise it up to `hard`.
    pub soft: u64,
    /// Only a privileged process may raise it.
    pub hard: u64,
}

/// The limit of open files. (getrlimit(2))
pub fn open_files_limit() -> io::Result<OpenFilesLimit> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel writes into `limit`, which lives through the call.
    result_of(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) })?;
    Ok(OpenFilesLimit { soft: limit.rlim_cur, hard: limit.rlim_max })
}

/// Sets the limit of open files. (setrlimit(2))
pub fn set_open_files_limit(limit: OpenFilesLimit) -> io::Result<()> {
    let limit = libc::rlimit { rlim_cur: limit.soft, rlim_max: limit.hard };
    // SAFETY: the kernel reads from `limit`, which lives through the call.
    result_of(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) })
}

/// Whose processor time [`cpu_time`] tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CpuTimeOf {
    /// All threads of the process.
    Process,
    /// The child processes that have ended.
    Children,
    /// The calling thread. Only Linux tells it; elsewhere it is zero.
    Thread,
}

/// Processor time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CpuTime {
    /// Spent in the kernel.
    pub system: Duration,
    /// Spent in the program itself.
    pub user: Duration,
}

/// The processor time used so far. (getrusage(2))
pub fn cpu_time(of: CpuTimeOf) -> CpuTime {
    let who = match of {
        CpuTimeOf::Process => libc::RUSAGE_SELF,
        CpuTimeOf::Children => libc::RUSAGE_CHILDREN,
        #[cfg(target_os = "linux")]
        CpuTimeOf::Thread => libc::RUSAGE_THREAD,
        #[cfg(not(target_os = "linux"))]
        CpuTimeOf::Thread => return CpuTime::default(),
    };
    // SAFETY: `rusage` consists of integers, for which zero is a value.
    let mut usage: libc::rusage = unsafe { mem::zeroed() };
    // SAFETY: the kernel writes into `usage`, which lives through the call.
    unsafe { libc::getrusage(who, &mut usage) };
    let duration = |time: libc::timeval| Duration::new(time.tv_sec as u64, time.tv_usec as u32 * 1000);
    CpuTime { system: duration(usage.ru_stime), user: duration(usage.ru_utime) }
}

/// The system's name, release and machine: `Linux`, `6.1.0`, `x86_64`. (uname(2))
pub fn system_name() -> [String; 3] {
    // SAFETY: `utsname` consists of characters, for which zero is a value.
    let mut name: libc::utsname = unsafe { mem::zeroed() };
    // SAFETY: the kernel writes into `name`, which lives through the call.
    unsafe { libc::uname(&mut name) };
    [&name.sysname, &name.release, &name.machine].map(|field| {
        // SAFETY: each field holds a string that ends with a zero byte within the field; it is all zeros if uname failed.
        unsafe { CStr::from_ptr(field.as_ptr()) }.to_string_lossy().into_owned()
    })
}

/// Bytes of a page of memory. (sysconf(3))
pub fn page_size() -> u64 {
    configuration(libc::_SC_PAGESIZE)
}

/// Bytes of physical memory in the machine. (sysconf(3))
pub fn physical_memory() -> u64 {
    configuration(libc::_SC_PHYS_PAGES) * page_size()
}

/// A value of sysconf(3), 0 where the system has none.
fn configuration(name: libc::c_int) -> u64 {
    // SAFETY: sysconf reads its argument only.
    u64::try_from(unsafe { libc::sysconf(name) }).unwrap_or(0)
}

/// A moment as a clock on the wall shows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LocalTime {
    /// As people write it: 2026.
    pub year: i32,
    /// From 0 for January to 11 for December.
    pub month: usize,
    /// From 1.
    pub day: i32,
    /// From 0 to 23.
    pub hour: i32,
    /// From 0 to 59.
    pub minute: i32,
    /// From 0 to 60; 60 is a leap second.
    pub second: i32,
}

/// The time in the machine's time zone, from seconds since 1970. (localtime_r(3))
pub fn local_time(seconds: i64) -> LocalTime {
    let seconds = seconds as libc::time_t;
    // SAFETY: `tm` consists of integers and of a pointer that may be null.
    let mut local: libc::tm = unsafe { mem::zeroed() };
    // SAFETY: both pointers are to values that live through the call; localtime_r keeps neither.
    unsafe { libc::localtime_r(&seconds, &mut local) };
    LocalTime {
        year: local.tm_year + 1900,
        month: usize::try_from(local.tm_mon).unwrap_or(0).min(11),
        day: local.tm_mday,
        hour: local.tm_hour,
        minute: local.tm_min,
        second: local.tm_sec,
    }
}

/// Fills a buffer with the system's random bytes. (getrandom(2))
pub fn fill_random(bytes: &mut [u8]) {
    let mut filled = 0;
    while filled < bytes.len() {
        let rest = &mut bytes[filled..];
        // SAFETY: the pointer and the length are those of `rest`.
        let got = unsafe { libc::getrandom(rest.as_mut_ptr().cast(), rest.len(), 0) };
        match usize::try_from(got) {
            Ok(got) => filled += got,
            Err(_) => assert_eq!(
                io::Error::last_os_error().kind(),
                io::ErrorKind::Interrupted,
                "the system has random bytes for every process"
            ),
        }
    }
}

/// The files that a pattern matches, sorted by name; empty if none does. (glob(3))
pub fn glob(pattern: &Path) -> Vec<PathBuf> {
    let Ok(pattern) = CString::new(pattern.as_os_str().as_bytes()) else { return vec![] };
    // SAFETY: `glob_t` consists of integers and of pointers that may be null.
    let mut found: libc::glob_t = unsafe { mem::zeroed() };
    // SAFETY: the pattern ends with a zero byte, there is no error callback, and `found` lives through the call.
    let status = unsafe { libc::glob(pattern.as_ptr(), 0, None, &mut found) };
    let mut paths = Vec::new();
    if status == 0 {
        for index in 0..found.gl_pathc {
            // SAFETY: after success gl_pathv holds gl_pathc pointers to strings, which live until globfree.
            let path = unsafe { CStr::from_ptr(*found.gl_pathv.add(index)) };
            paths.push(PathBuf::from(OsStr::from_bytes(path.to_bytes())));
        }
    }
    // SAFETY: `found` was passed to glob(3), and no pointer into it is left.
    unsafe { libc::globfree(&mut found) };
    paths
}

/// Whether a socket failed because this machine does not speak its protocol, such as IPv6.
pub fn is_unsupported_protocol(error: &io::Error) -> bool {
    let Some(number) = error.raw_os_error() else { return false };
    [libc::EAFNOSUPPORT, libc::EPFNOSUPPORT, libc::ESOCKTNOSUPPORT, libc::EPROTONOSUPPORT, libc::ENOPROTOOPT]
        .contains(&number)
}

/// The error of a call that returned -1.
fn result_of(returned: libc::c_int) -> io::Result<()> {
    if returned == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_answers() {
        let limit = open_files_limit().unwrap();
        assert!(limit.soft > 0 && limit.soft <= limit.hard, "{limit:?}");
        assert_eq!(set_open_files_limit(limit).map_err(|error| error.kind()), Ok(()));
        assert!(page_size().is_power_of_two() && physical_memory() > page_size());
        assert!(system_name().iter().all(|part| !part.is_empty()));
        let (mut first, mut second) = ([0; 32], [0; 32]);
        fill_random(&mut first);
        fill_random(&mut second);
        assert_ne!(first, second);
    }

    #[test]
    fn local_time_counts_from_1970() {
        // A time zone may move it by half a day at most, so the middle of a day stays within it.
        let time = local_time(12 * 3600);
        assert_eq!(time.year, 1970);
        assert_eq!((time.month, time.hour < 24, time.minute < 60, time.second < 61), (0, true, true, true));
    }

    #[test]
    fn a_pattern_finds_files_in_order() {
        let folder = std::env::temp_dir().join(format!("ochre-glob-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        for name in ["b.conf", "a.conf", "c.other"] {
            std::fs::write(folder.join(name), "").unwrap();
        }
        assert_eq!(glob(&folder.join("*.conf")), [folder.join("a.conf"), folder.join("b.conf")]);
        assert!(glob(&folder.join("*.none")).is_empty());
        assert!(glob(Path::new(OsStr::from_bytes(b"a\0b"))).is_empty());
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
