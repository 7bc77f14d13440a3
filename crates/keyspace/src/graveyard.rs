//! The graveyard: a thread that frees what takes long to free, so that no command waits for it.

use std::{
    any::Any,
    sync::mpsc::{Sender, channel},
    thread,
};

/// See the module.
pub(crate) struct Graveyard {
    sender: Sender<Box<dyn Any + Send>>,
}

impl Graveyard {
    pub(crate) fn new() -> Graveyard {
        let (sender, receiver) = channel::<Box<dyn Any + Send>>();
        let run = move || receiver.into_iter().for_each(drop);
        thread::Builder::new().name("ochre-free".into()).spawn(run).expect("the system starts a thread");
        Graveyard { sender }
    }

    /// Frees the values, later.
    pub(crate) fn bury<T: Send + 'static>(&self, values: Vec<T>) {
        if !values.is_empty() {
            // It fails only where the thread is gone; then they are freed here.
            let _ = self.sender.send(Box::new(values));
        }
    }

    /// Waits until all that was handed over before is freed (FLUSHALL SYNC).
    pub(crate) fn wait(&self) {
        let (done, waiting) = channel::<()>();
        // The sender is dropped when its turn comes, which ends the wait.
        let _ = self.sender.send(Box::new(done));
        let _ = waiting.recv();
    }
}
