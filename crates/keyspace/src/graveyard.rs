//! The graveyard: a thread that frees what takes long to free, so that no command waits for it.

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
    /// To the thread, which is started when it is first needed and ends with the keyspace.
    sender: OnceLock<Sender<Work>>,
}

/// What the thread does next.
enum Work {
    Free(Box<dyn Any + Send>),
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
    /// Frees the values, later.
    pub(crate) fn bury<T: Send + 'static>(&self, values: Vec<T>) {
        if !values.is_empty() {
            self.send(Work::Free(Box::new(values)));
        }
    }

    /// Calls `then` when all that was handed over before is freed (FLUSHALL SYNC).
    pub(crate) fn when_done(&self, then: Box<dyn FnOnce() + Send>) {
        self.send(Work::Call(then));
    }

    fn send(&self, work: Work) {
        let sender = self.sender.get_or_init(|| {
            let (sender, receiver) = channel::<Work>();
            let run = move || receiver.into_iter().for_each(Work::run);
            thread::Builder::new().name("ochre-free".into()).spawn(run).expect("the system starts a thread");
            sender
        });
        // It fails only where the thread is gone; then it is done here.
        if let Err(SendError(work)) = sender.send(work) {
            work.run();
        }
    }
}
