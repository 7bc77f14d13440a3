//! Mailrooms: how other threads reach a core.

use std::sync::Arc;

use ochre_resp::Protocol;
use tokio::sync::{Notify, mpsc};

use crate::{session::Client, sockets::stream::Accepted};

/// The mailroom of one core.
pub struct Mailroom {
    /// Connections for the core to serve.
    pub arrivals: mpsc::UnboundedSender<Arrival>,
    /// Wakes the core's expiry, for example since one of its shards has got an earlier deadline.
    pub deadline: Arc<Notify>,
}

/// An accepted connection on its way to its core.
pub struct Arrival {
    /// The socket.
    pub stream: Accepted,
    /// Its client, which is registered already.
    pub client: Arc<Client>,
    /// The protocol of its replies until HELLO changes it.
    pub protocol: Protocol,
    /// What an encrypted connection is told, once it is encrypted, before it is closed. It is not served then.
    pub refusal: Option<&'static [u8]>,
}
