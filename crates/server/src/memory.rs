//! The memory in use, by the allocator's figures.
//!
//! The allocator counts for each thread the bytes that the thread has allocated and freed. Their sum over all threads is what is in use at this
//! moment. It takes no lock of the allocator, which `stats.allocated` does.

use std::{
    cell::RefCell,
    sync::atomic::{AtomicU64, Ordering},
};

use parking_lot::Mutex;
use tikv_jemalloc_ctl::{epoch, stats};

/// The allocator's counters of one thread: the bytes that it has allocated, and those that it has freed. Both include the rounding to the
/// allocator's size classes. A thread also frees what others have allocated.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Counts {
    allocated: *const AtomicU64,
    freed: *const AtomicU64,
}

// SAFETY: the counters are words that are read atomically. They are only read while their thread lives (see `Counted`).
unsafe impl Send for Counts {}

impl Counts {
    /// The counters of the calling thread.
    fn of_this_thread() -> Option<Counts> {
        // SAFETY: both names belong to a value that is a pointer.
        let [allocated, freed] = unsafe {
            [
                tikv_jemalloc_ctl::raw::read::<*const AtomicU64>(b"thread.allocatedp\0").ok()?,
                tikv_jemalloc_ctl::raw::read::<*const AtomicU64>(b"thread.deallocatedp\0").ok()?,
            ]
        };
        Some(Counts { allocated, freed })
    }

    /// The difference of the two, which is negative if the thread frees what others have allocated.
    ///
    /// # Safety
    /// The thread lives.
    #[inline]
    unsafe fn net(self) -> i64 {
        // SAFETY: the allocator keeps the counters for as long as the thread lives. They are aligned words, which it writes with single stores.
        let [allocated, freed] = unsafe { [&*self.allocated, &*self.freed] };
        allocated.load(Ordering::Relaxed).wrapping_sub(freed.load(Ordering::Relaxed)) as i64
    }
}

/// The threads that are counted. A mutex: it is taken when a thread begins or ends, and when all are summed up.
static THREADS: Mutex<Threads> = Mutex::new(Threads { live: Vec::new(), ended: 0 });

struct Threads {
    live: Vec<Counts>,
    /// The sum over threads that have ended.
    ended: i64,
}

/// A thread that is counted. It is dropped when the thread ends.
struct Counted(Counts);

impl Drop for Counted {
    fn drop(&mut self) {
        let mut threads = THREADS.lock();
        threads.live.retain(|&live| live != self.0);
        // SAFETY: this runs on the thread itself.
        threads.ended += unsafe { self.0.net() };
    }
}

thread_local! {
    static COUNTED: RefCell<Option<Counted>> = const { RefCell::new(None) };
}

/// Counts the calling thread from now on, with all that it has allocated so far. Every thread calls this first.
pub fn count_thread() {
    COUNTED.with_borrow_mut(|counted| {
        if counted.is_none()
            && let Some(counts) = Counts::of_this_thread()
        {
            THREADS.lock().live.push(counts);
            *counted = Some(Counted(counts));
        }
    });
}

/// The bytes that are allocated and not freed, by all threads that are counted.
pub fn allocated() -> usize {
    let threads = THREADS.lock();
    // SAFETY: a thread leaves the list before it ends, and that takes the lock.
    let live: i64 = threads.live.iter().map(|counts| unsafe { counts.net() }).sum();
    // A thread may free what another one allocates during the sum.
    usize::try_from(threads.ended + live).unwrap_or(0)
}

/// What the calling thread has allocated less what it has freed, in bytes. Reading it costs two loads.
pub struct OwnMemory {
    counts: Option<Counts>,
    /// The counters belong to one thread.
    not_send: std::marker::PhantomData<*const ()>,
}

impl OwnMemory {
    /// That of the calling thread.
    pub fn of_this_thread() -> OwnMemory {
        OwnMemory { counts: Counts::of_this_thread(), not_send: std::marker::PhantomData }
    }

    /// The bytes; negative if the thread has freed more than it allocated.
    #[inline]
    pub fn bytes(&self) -> i64 {
        // SAFETY: the value is not sent to another thread, so its thread lives.
        self.counts.map_or(0, |counts| unsafe { counts.net() })
    }
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

/// The bytes of physical memory that the allocator's pages take.
pub fn resident() -> usize {
    allocator().resident
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Tests run beside each other, so only a large difference says something.
    #[test]
    fn what_other_threads_allocate_is_counted_until_it_is_freed() {
        const BYTES: usize = 512 << 20;
        count_thread();
        let before = allocated();
        let own = OwnMemory::of_this_thread();
        let own_before = own.bytes();
        let (sender, receiver) = std::sync::mpsc::channel();
        let other = crate::threads::spawn("test", move || sender.send(Vec::<u8>::with_capacity(BYTES))).unwrap();
        let block = receiver.recv().unwrap();
        assert!(allocated() > before + BYTES / 2);
        other.join().unwrap().unwrap();
        assert!(allocated() > before + BYTES / 2, "a thread that has ended is still counted");
        drop(block);
        assert!(allocated() < before + BYTES / 2);
        assert!(own.bytes() < own_before - BYTES as i64 / 2, "it was freed here");
    }

    #[test]
    fn size_classes_are_those_of_the_allocator() {
        let ends = (4..24).flat_map(|bits| [1_usize << bits, 5 << (bits - 2), 3 << (bits - 1), 7 << (bits - 2)]);
        for size in ends.flat_map(|end| [end - 1, end, end + 1, end + end / 17]) {
            // SAFETY: the call reads nothing, and the size is not zero. Entries are aligned to 16 bytes, so no block is smaller.
            let class = unsafe { tikv_jemalloc_sys::nallocx(size, tikv_jemalloc_sys::MALLOCX_ALIGN(16)) };
            assert_eq!(ochre_datatypes::allocation::size_class(size), class, "{size}");
        }
    }
}
