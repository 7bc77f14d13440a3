//! Sending to another connection: through its mailbox, within its limits.

use std::sync::{Arc, atomic::Ordering};

use super::{Client, ClientFlags};
use crate::{config::Config, counters::Counters, journal::Position};

/// What sending a message needs beside the message and its receiver.
#[derive(Clone, Copy)]
pub struct Sending<'s> {
    /// The settings, for the output limits.
    pub config: &'s Config,
    /// The counters of the sender's core.
    pub counters: &'s Counters,
    /// The journal position that the message depends on.
    pub position: Position,
}

/// Puts a message into a client's mailbox. Returns whether the caller must wake the client's connection.
///
/// If the client then has more unsent output than the hard limit of its class allows, it is killed, so that a client that never reads
/// cannot fill the memory.
pub fn put(sending: Sending<'_>, client: &Client, message: impl FnOnce() -> Arc<[u8]>) -> bool {
    let Sending { config, counters, position } = sending;
    if client.is_killed() {
        return false;
    }
    let wake = client.mailbox.put(message(), position);
    let limits = &config.client_output_buffer_limit;
    let subscribed = client.flags().contains(ClientFlags::PUBSUB);
    let limit = if subscribed { &limits.pubsub } else { &limits.normal };
    let waiting = client.mailbox.bytes() as u64 + client.figures.output_bytes.load(Ordering::Relaxed);
    if limit.hard_bytes == 0 || waiting <= limit.hard_bytes {
        return wake;
    }
    counters.output_limit_disconnections.add(1);
    tracing::warn!(
        "Client {} scheduled to be closed ASAP for overcoming of output buffer limits.",
        client.description(crate::clock::now_ms())
    );
    client.kill();
    false
}
