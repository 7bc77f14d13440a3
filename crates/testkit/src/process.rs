//! Child processes that never outlive the one who started them, and what the kernel tells of them.

use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::sync::mpsc::{self, Sender};
use std::sync::{LazyLock, Mutex};
use std::thread;
use std::time::Duration;

type Order = (Command, Sender<io::Result<Child>>);

/// Spawns a child that the kernel kills when this process ends, however it ends.
///
/// The kernel ties that to the thread which forked, and a test's thread ends before a server that several tests share: one
/// thread that lives as long as the process does all the forking.
pub fn spawn_bound(mut command: Command) -> io::Result<Child> {
    static SPAWNER: LazyLock<Mutex<Sender<Order>>> = LazyLock::new(|| {
        let (orders, inbox) = mpsc::channel::<Order>();
        thread::Builder::new()
            .name("spawner".into())
            .spawn(move || {
                for (mut command, answer) in inbox {
                    // Nobody waits any more if this fails; the child is then dropped, and lives until the process ends.
                    let _ = answer.send(command.spawn());
                }
            })
            .expect("a thread can be started");
        Mutex::new(orders)
    });
    // SAFETY: prctl is async-signal-safe, and nothing else happens between fork and exec.
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

/// Has a command run on some cores only, with all threads that it will start.
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

/// Lets this process have as many open files as the system allows it: a benchmark opens thousands of connections.
pub fn raise_file_limit() -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel writes the limits into the struct, and reads them from it.
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

/// Sends a signal to a process that we started.
pub fn signal(pid: u32, signal: i32) -> io::Result<()> {
    // SAFETY: kill has no memory of ours to touch.
    if unsafe { libc::kill(pid.cast_signed(), signal) } == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The processor time that all threads of a process have used, in user mode and in the kernel.
pub fn cpu_time(pid: u32) -> io::Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name in parentheses may hold spaces: count the fields after it.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |field: usize| fields.get(field).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    // SAFETY: sysconf has no memory of ours to touch.
    let ticks_a_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) }.cast_unsigned().max(1);
    Ok(Duration::from_micros((ticks(11) + ticks(12)) * 1_000_000 / ticks_a_second))
}

/// The resident memory of a process, in bytes.
pub fn resident_memory(pid: u32) -> io::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let kilobytes = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|line| line.split_whitespace().next())
        .and_then(|number| number.parse::<u64>().ok());
    kilobytes.map(|kilobytes| kilobytes * 1024).ok_or_else(|| io::Error::other("the process has ended"))
}
