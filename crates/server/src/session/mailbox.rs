//! A client's mailbox: what others send to it, in order, until its own core puts it into its output.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use parking_lot::Mutex;

/// See the module.
#[derive(Default)]
pub struct Mailbox {
    /// Messages as they are sent. A mutex of rank mailbox: taken under a channel's lock, and nothing is locked under it.
    messages: Mutex<VecDeque<Arc<[u8]>>>,
    bytes: AtomicUsize,
    /// Whether there is mail that its core was told of.
    announced: AtomicBool,
}

impl Mailbox {
    /// Puts a message in; whether its reader is to be woken.
    pub fn put(&self, message: Arc<[u8]>) -> bool {
        let mut messages = self.messages.lock();
        self.bytes.fetch_add(message.len(), Ordering::Relaxed);
        messages.push_back(message);
        !self.announced.swap(true, Ordering::AcqRel)
    }

    /// The bytes that wait in it.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    #[inline]
    pub fn has_mail(&self) -> bool {
        self.announced.load(Ordering::Acquire)
    }

    /// Moves what is there to the end of `out`.
    pub fn drain_into(&self, out: &mut Vec<u8>) {
        let mut messages = self.messages.lock();
        self.announced.store(false, Ordering::Release);
        for message in messages.drain(..) {
            out.extend_from_slice(&message);
        }
        if messages.capacity() > 64 {
            messages.shrink_to(0);
        }
        self.bytes.store(0, Ordering::Relaxed);
    }
}
