//! The graveyard: a thread that frees what takes long to free, so that no command waits for it.

use std::{
    any::Any,
    sync::{
        OnceLock,
        mpsc::{Sender, channel},
    },
    thread,
};

/// See the module.
#[derive(Default)]
pub(crate) struct Graveyard {
    /// To the thread, which is started when it is first needed and ends with the keyspace.
    sender: OnceLock<Sender<Box<dyn Any + Send>>>,
}

impl Graveyard {
    fn send(&self, values: Box<dyn Any + Send>) {
        let sender = self.sender.get_or_init(|| {
            let (sender, receiver) = channel::<Box<dyn Any + Send>>();
            let run = move || receiver.into_iter().for_each(drop);
            thread::Builder::new().name("ochre-free".into()).spawn(run).expect("the system starts a thread");
            sender
        });
        // It fails only where the thread is gone; then they are freed here.
        let _ = sender.send(values);
    }

    /// Frees the values, later.
    pub(crate) fn bury<T: Send + 'static>(&self, values: Vec<T>) {
        if !values.is_empty() {
            self.send(Box::new(values));
        }
    }

    /// Waits until all that was handed over before is freed (FLUSHALL SYNC).
    pub(crate) fn wait(&self) {
        let (done, waiting) = channel::<()>();
        // The sender is dropped when its turn comes, which ends the wait.
        self.send(Box::new(done));
        let _ = waiting.recv();
    }
}
