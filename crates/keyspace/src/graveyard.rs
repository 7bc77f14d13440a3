//! The graveyard: a thread that frees large values, so that no command waits for that.

use std::{
    any::Any,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
        mpsc::{SendError, Sender, channel},
    },
    task::{Context, Poll},
    thread::{self, JoinHandle},
};

/// See the module.
#[derive(Default)]
pub(crate) struct Graveyard {
    /// The thread. It is started when it is first needed, and ends with the keyspace.
    thread: OnceLock<(Sender<Work>, JoinHandle<()>)>,
    /// The number of burials so far.
    buried: AtomicU64,
    /// The number of burials whose values are freed. It is shared with the thread.
    freed: Arc<AtomicU64>,
}

/// Values that are being freed: the number of their burial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Burial(u64);

/// A job for the thread.
enum Work {
    /// Frees these values, and counts it.
    Free(Box<dyn Any + Send>, Arc<AtomicU64>),
    /// Calls this.
    Call(Box<dyn FnOnce() + Send>),
}

impl Work {
    fn run(self) {
        match self {
            Work::Free(values, freed) => {
                drop(values);
                freed.fetch_add(1, Ordering::Release);
            }
            Work::Call(then) => then(),
        }
    }
}

impl Graveyard {
    /// Hands values over to be freed.
    pub(crate) fn bury<T: Send + 'static>(&self, values: Vec<T>) {
        if !values.is_empty() {
            self.buried.fetch_add(1, Ordering::Relaxed);
            self.send(Work::Free(Box::new(values), self.freed.clone()));
        }
    }

    /// Calls `then`, on the thread, when everything that was handed over before is freed (FLUSHALL SYNC).
    pub(crate) fn when_done(&self, then: Box<dyn FnOnce() + Send>) {
        self.send(Work::Call(then));
    }

    /// Returns the last burial, if values of it or of an earlier one are still being freed.
    pub(crate) fn unfinished(&self) -> Option<Burial> {
        // The order of the two loads matters: a burial that ends in between counts as unfinished.
        let freed = self.freed.load(Ordering::Acquire);
        let buried = self.buried.load(Ordering::Relaxed);
        (freed < buried).then_some(Burial(buried))
    }

    /// Returns the number of burials whose values are not freed yet, and of those whose values are.
    pub(crate) fn burials(&self) -> (u64, u64) {
        let freed = self.freed();
        (self.buried.load(Ordering::Relaxed).saturating_sub(freed), freed)
    }

    /// Returns the number of burials whose values are freed.
    fn freed(&self) -> u64 {
        self.freed.load(Ordering::Acquire)
    }

    /// Returns `Ready` if as many burials have ended as had begun with this one. Otherwise the task is woken when that is so.
    pub(crate) fn poll_freed(&self, Burial(number): Burial, context: &mut Context<'_>) -> Poll<()> {
        if self.freed() >= number {
            return Poll::Ready(());
        }
        let waker = context.waker().clone();
        self.when_done(Box::new(move || waker.wake()));
        Poll::Pending
    }

    fn send(&self, work: Work) {
        let (sender, _) = self.thread.get_or_init(|| {
            let (sender, receiver) = channel::<Work>();
            let run = move || receiver.into_iter().for_each(Work::run);
            let builder = thread::Builder::new().name("ochre-free".into());
            (sender, builder.spawn(run).expect("the system can start a thread"))
        });
        // This fails only if the thread is gone. Then the job is done here.
        if let Err(SendError(work)) = sender.send(work) {
            work.run();
        }
    }
}

/// Waits until everything is freed: a process that ended meanwhile would leave memory behind that a leak checker reports.
impl Drop for Graveyard {
    fn drop(&mut self) {
        let Some((sender, thread)) = self.thread.take() else { return };
        drop(sender);
        // A job may hold the last reference to the keyspace. A thread cannot wait for itself.
        if thread.thread().id() != thread::current().id() {
            // If a job panicked, the thread's message has said so.
            let _ = thread.join();
        }
    }
}
