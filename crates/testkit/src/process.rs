//! Child processes that never outlive their parent, and their CPU time and memory.

use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::sync::mpsc::{self, Sender};
use std::sync::{LazyLock, Mutex};
use std::thread;
use std::time::Duration;

type Order = (Command, Sender<io::Result<Child>>);

/// Spawns a child process that the kernel kills when this process ends, in whatever way.
///
/// The kernel kills the child when the thread that forked it ends. The thread of a test ends before a server that several tests share, so
/// that all children are forked by one thread that lives as long as the process.
pub fn spawn_bound(mut command: Command) -> io::Result<Child> {
    static SPAWNER: LazyLock<Mutex<Sender<Order>>> = LazyLock::new(|| {
        let (orders, inbox) = mpsc::channel::<Order>();
        thread::Builder::new()
            .name("spawner".into())
            .spawn(move || {
                for (mut command, answer) in inbox {
                    // If this fails, the caller no longer waits. The child then runs until this process ends.
                    let _ = answer.send(command.spawn());
                }
            })
            .expect("the system can start a thread");
        Mutex::new(orders)
    });
    // SAFETY: prctl is async-signal-safe, and the closure calls nothing else between fork and exec.
    unsafe {
        command.pre_exec(|| {
            if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) == -1 {
                return Err(io::Error::last_os_error());
            }
            Ok(())
        });
    }
    let (answer, spawned) = mpsc::channel();
    let orders = SPAWNER.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    orders.send((command, answer)).map_err(io::Error::other)?;
    drop(orders);
    spawned.recv().map_err(io::Error::other)?
}

/// Restricts a command that is about to be spawned, with all its threads, to some cores.
pub fn pin(command: &mut Command, cores: &[usize]) {
    // SAFETY: an all-zero cpu_set_t is an empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    for core in cores {
        // SAFETY: CPU_SET checks the core against the set's size.
        unsafe { libc::CPU_SET(*core, &mut set) };
    }
    // SAFETY: sched_setaffinity is async-signal-safe and only reads the set, which the closure owns.
    unsafe {
        command.pre_exec(move || {
            if libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set) == -1 {
                return Err(io::Error::last_os_error());
            }
            Ok(())
        });
    }
}

/// Raises this process's limit of open files to the most that the system allows, and returns it. A benchmark opens thousands of connections.
pub fn raise_file_limit() -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both calls get a pointer to a valid struct, which the kernel writes or reads.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) == -1 {
            return Err(io::Error::last_os_error());
        }
        limit.rlim_cur = limit.rlim_max;
        if libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) == -1 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(limit.rlim_cur)
}

/// Makes a named pipe. What is opened to read it waits until something is opened to write it, and the other way round.
pub fn make_pipe(path: &std::path::Path) -> io::Result<()> {
    use std::os::unix::ffi::OsStrExt;
    let path = std::ffi::CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: the path is a C string that lives during the call.
    match unsafe { libc::mkfifo(path.as_ptr(), 0o600) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Sends a signal to a process, which must be a child that was not waited for.
pub fn signal(pid: u32, signal: i32) -> io::Result<()> {
    // SAFETY: kill takes no pointers.
    if unsafe { libc::kill(pid.cast_signed(), signal) } == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Returns the CPU time that all threads of a process have used, in user mode and in the kernel, to the nanosecond: `/proc/PID/stat`
/// counts in ticks of 10 ms, which are several percent of a short benchmark.
#[cfg(target_os = "linux")]
pub fn cpu_time(pid: u32) -> io::Result<Duration> {
    let mut clock = 0;
    // SAFETY: the kernel writes into `clock`, which lives through the call.
    let error = unsafe { libc::clock_getcpuclockid(pid.cast_signed(), &mut clock) };
    if error != 0 {
        return Err(io::Error::from_raw_os_error(error));
    }
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes into `time`, which lives through the call.
    match unsafe { libc::clock_gettime(clock, &mut time) } {
        0 => Ok(Duration::new(time.tv_sec.cast_unsigned(), time.tv_nsec as u32)),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Returns an error: other systems have no clock of another process.
#[cfg(not(target_os = "linux"))]
pub fn cpu_time(_: u32) -> io::Result<Duration> {
    Err(io::Error::from(io::ErrorKind::Unsupported))
}

/// Returns the resident memory of a process in bytes.
pub fn resident_memory(pid: u32) -> io::Result<u64> {
    memory(pid, "VmRSS:")
}

/// Returns the most resident memory that a process has had so far, in bytes.
pub fn peak_memory(pid: u32) -> io::Result<u64> {
    memory(pid, "VmHWM:")
}

fn memory(pid: u32, field: &str) -> io::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let kilobytes = status
        .lines()
        .find_map(|line| line.strip_prefix(field))
        .and_then(|line| line.split_whitespace().next())
        .and_then(|number| number.parse::<u64>().ok());
    kilobytes.map(|kilobytes| kilobytes * 1024).ok_or_else(|| io::Error::other("the process has ended"))
}
