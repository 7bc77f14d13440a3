//! A client's mailbox: the messages that other connections send to it. They stay here in order until the client's own core moves them
//! to its output.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use ochre_resp::ReplyBuffer;
use parking_lot::Mutex;

use crate::journal::Position;

/// The mailbox of one client.
#[derive(Default)]
pub struct Mailbox {
    /// A mutex of rank mailbox: it is taken under a channel's lock, and no other lock is taken under it.
    mail: Mutex<Mail>,
    /// The length of the messages together. Read without the lock.
    bytes: AtomicUsize,
    /// Whether there is mail. The sender that sets it wakes the client.
    announced: AtomicBool,
}

#[derive(Default)]
struct Mail {
    /// In the form in which they are sent.
    messages: VecDeque<Arc<[u8]>>,
    /// The journal position that the messages depend on.
    position: Position,
}

impl Mailbox {
    /// Adds a message that depends on the journal up to `position`. Returns whether the caller must wake the client.
    pub fn put(&self, message: Arc<[u8]>, position: Position) -> bool {
        let mut mail = self.mail.lock();
        self.bytes.fetch_add(message.len(), Ordering::Relaxed);
        mail.messages.push_back(message);
        mail.position = mail.position.max(position);
        !self.announced.swap(true, Ordering::AcqRel)
    }

    /// The length of its messages together.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Whether it holds a message.
    #[inline]
    pub fn has_mail(&self) -> bool {
        self.announced.load(Ordering::Acquire)
    }

    /// Moves its messages to the end of `out`. Returns the journal position that they depend on.
    pub fn drain_into(&self, out: &mut ReplyBuffer) -> Position {
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
