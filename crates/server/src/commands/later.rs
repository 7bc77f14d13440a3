//! Replies that are given later, by another thread, while their clients are blocked.

use std::sync::Arc;

use ochre_resp::{Protocol, ReplyBuffer, ReplyWriter};

use super::CommandError;
use crate::{
    journal::Position,
    session::{Client, Session, wait::Wait},
};

/// The right to answer a request whose handler returns [`super::context::Outcome::Block`]. If it is dropped, the client stays blocked.
pub struct LaterReply {
    client: Arc<Client>,
    wait: Arc<Wait>,
    protocol: Protocol,
}

impl LaterReply {
    /// The reply to the request that a session is running.
    pub fn of(session: &Session) -> LaterReply {
        LaterReply { client: session.client.clone(), wait: session.client.begin_wait(), protocol: session.protocol }
    }

    /// Gives the reply, unless the wait has ended otherwise.
    pub fn give(self, reply: Result<(), CommandError>) {
        self.give_with(|writer| match reply {
            Ok(()) => writer.ok(),
            Err(error) => writer.error(error.as_bytes()),
        });
    }

    /// As [`LaterReply::give`], for a reply that `write` writes.
    pub fn give_with(self, write: impl FnOnce(&mut ReplyWriter<'_>)) {
        if !self.wait.claim() {
            return;
        }
        let mut out = ReplyBuffer::default();
        write(&mut ReplyWriter::new(&mut out, self.protocol));
        self.wait.serve(out, Position::default());
        self.client.wake();
    }
}
