//! Mailrooms: the ways in which other threads reach a core.

use std::sync::Arc;

use ochre_resp::Protocol;
use tokio::sync::{Notify, mpsc};

use crate::{session::Client, sockets::stream::Accepted};

/// How others reach a core.
pub struct Mailroom {
    pub arrivals: mpsc::UnboundedSender<Arrival>,
    /// Wakes the core's expiry: one of its shards has an earlier deadline.
    pub deadline: Arc<Notify>,
}

/// A connection on its way to its core.
pub struct Arrival {
    pub stream: Accepted,
    pub client: Arc<Client>,
    /// What it is answered in until it says otherwise.
    pub protocol: Protocol,
}
