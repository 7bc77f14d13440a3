//! A client's mailbox: what others send to it, in order, until its own core puts it into its output.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use parking_lot::Mutex;

use crate::journal::Position;

/// See the module.
#[derive(Default)]
pub struct Mailbox {
    /// Messages as they are sent. A mutex of rank mailbox: taken under a channel's lock, and nothing is locked under it.
    mail: Mutex<Mail>,
    bytes: AtomicUsize,
    /// Whether there is mail that its core was told of.
    announced: AtomicBool,
}

#[derive(Default)]
struct Mail {
    messages: VecDeque<Arc<[u8]>>,
    /// How far in the journal they depend on it.
    position: Position,
}

impl Mailbox {
    /// Puts a message in, which depends on the journal up to `position`; whether the client is to be woken.
    pub fn put(&self, message: Arc<[u8]>, position: Position) -> bool {
        let mut mail = self.mail.lock();
        self.bytes.fetch_add(message.len(), Ordering::Relaxed);
        mail.messages.push_back(message);
        mail.position = mail.position.max(position);
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

    /// Moves what is there to the end of `out`. Returns how far in the journal it depends on it.
    pub fn drain_into(&self, out: &mut Vec<u8>) -> Position {
        let mut mail = self.mail.lock();
        let Mail { messages, position } = &mut *mail;
        self.announced.store(false, Ordering::Release);
        for message in messages.drain(..) {
            out.extend_from_slice(&message);
        }
        if messages.capacity() > 64 {
            messages.shrink_to(0);
        }
        self.bytes.store(0, Ordering::Relaxed);
        *position
    }
}
