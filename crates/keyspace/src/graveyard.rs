//! The graveyard: a thread that frees large values, so that no command waits for that.

use std::{
    any::Any,
    sync::{
        OnceLock,
        mpsc::{SendError, Sender, channel},
    },
    thread,
};

/// See the module.
#[derive(Default)]
pub(crate) struct Graveyard {
    /// The queue of the thread. It is started when it is first needed, and ends with the keyspace.
    sender: OnceLock<Sender<Work>>,
}

/// A job for the thread.
enum Work {
    /// Frees these values.
    Free(Box<dyn Any + Send>),
    /// Calls this.
    Call(Box<dyn FnOnce() + Send>),
}

impl Work {
    fn run(self) {
        match self {
            Work::Free(values) => drop(values),
            Work::Call(then) => then(),
        }
    }
}

impl Graveyard {
    /// Hands values over to be freed.
    pub(crate) fn bury<T: Send + 'static>(&self, values: Vec<T>) {
        if !values.is_empty() {
            self.send(Work::Free(Box::new(values)));
        }
    }

    /// Calls `then`, on the thread, when everything that was handed over before is freed (FLUSHALL SYNC).
    pub(crate) fn when_done(&self, then: Box<dyn FnOnce() + Send>) {
        self.send(Work::Call(then));
    }

    fn send(&self, work: Work) {
        let sender = self.sender.get_or_init(|| {
            let (sender, receiver) = channel::<Work>();
            let run = move || receiver.into_iter().for_each(Work::run);
            thread::Builder::new().name("ochre-free".into()).spawn(run).expect("the system can start a thread");
            sender
        });
        // This fails only if the thread is gone. Then the job is done here.
        if let Err(SendError(work)) = sender.send(work) {
            work.run();
        }
    }
}
