//! Sending to a client, within the limits of its output: messages from other connections go through its mailbox.
//!
//! A client's output is what waits to be sent to it, with the messages in its mailbox and the replies that are being built. Above the hard
//! limit of its class (`client-output-buffer-limit`) the client is killed: it gets nothing more, so that a client that never reads cannot
//! fill the memory.

use std::sync::{Arc, atomic::Ordering};

use super::{Client, ClientFlags};
use crate::{
    config::{Config, OutputLimit},
    counters::Counters,
    journal::Position,
};

/// The part of a client's output that does not count toward its limits. Redis holds the first replies in a buffer of this size, which it does
/// not count. (Redis: `PROTO_REPLY_CHUNK_BYTES`)
const UNCOUNTED_BYTES: u64 = 16 * 1024;

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

/// Puts a message into a client's mailbox. Returns whether the caller must wake the client's connection. A client whose output exceeds its
/// hard limit then is killed.
pub fn put(sending: Sending<'_>, client: &Client, message: impl FnOnce() -> Arc<[u8]>) -> bool {
    let Sending { config, counters, position } = sending;
    if client.is_killed() {
        return false;
    }
    let wake = client.mailbox.put(message(), position);
    let waiting = client.mailbox.bytes() as u64 + client.figures.output_bytes.load(Ordering::Relaxed);
    if !is_above(limit(config, client).hard_bytes, waiting) {
        return wake;
    }
    kill_above_limit(client, counters);
    false
}

/// The output limit of a client's class.
pub fn limit<'c>(config: &'c Config, client: &Client) -> &'c OutputLimit {
    let limits = &config.client_output_buffer_limit;
    if client.flags().contains(ClientFlags::PUBSUB) { &limits.pubsub } else { &limits.normal }
}

/// Whether output of `waiting` bytes is above a limit. 0 is no limit.
pub fn is_above(limit_bytes: u64, waiting: u64) -> bool {
    limit_bytes > 0 && waiting > limit_bytes.saturating_add(UNCOUNTED_BYTES)
}

/// The most bytes of replies that may be built for a client before the next ones are sent, beside those that wait to be sent already.
pub fn room(config: &Config, client: &Client) -> usize {
    match limit(config, client).hard_bytes {
        0 => usize::MAX,
        hard => {
            let waiting = client.figures.output_bytes.load(Ordering::Relaxed);
            hard.saturating_add(UNCOUNTED_BYTES).saturating_sub(waiting) as usize
        }
    }
}

/// Kills a client whose output is above its limits, unless it was killed before.
pub fn kill_above_limit(client: &Client, counters: &Counters) {
    let description = client.description(crate::clock::now_ms());
    if client.kill() {
        counters.output_limit_disconnections.add(1);
        tracing::warn!("Client {description} scheduled to be closed ASAP for overcoming of output buffer limits.");
    }
}
