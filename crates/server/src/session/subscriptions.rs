//! What one session subscribed to.

use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::Ordering},
};

use super::{Client, ClientFlags};

/// What a subscription is to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Channel,
    Pattern,
    ShardChannel,
}

/// A channel's name or a pattern, shared by the tables and the sessions.
pub type Name = Arc<[u8]>;

/// See the module. Sorted, so that UNSUBSCRIBE without arguments answers in the same order every time.
#[derive(Default)]
pub struct Subscriptions {
    channels: BTreeSet<Name>,
    patterns: BTreeSet<Name>,
    shard_channels: BTreeSet<Name>,
}

impl Subscriptions {
    pub fn of(&self, kind: Kind) -> &BTreeSet<Name> {
        match kind {
            Kind::Channel => &self.channels,
            Kind::Pattern => &self.patterns,
            Kind::ShardChannel => &self.shard_channels,
        }
    }

    pub(crate) fn of_mut(&mut self, kind: Kind) -> &mut BTreeSet<Name> {
        match kind {
            Kind::Channel => &mut self.channels,
            Kind::Pattern => &mut self.patterns,
            Kind::ShardChannel => &mut self.shard_channels,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.channels.is_empty() && self.patterns.is_empty() && self.shard_channels.is_empty()
    }

    /// The count that a confirmation holds: channels and patterns together, shard channels for themselves.
    pub fn count_with(&self, kind: Kind) -> usize {
        match kind {
            Kind::Channel | Kind::Pattern => self.channels.len() + self.patterns.len(),
            Kind::ShardChannel => self.shard_channels.len(),
        }
    }

    /// Shows others how many there are.
    pub(crate) fn show(&self, client: &Client) {
        client.figures.channels.store(self.channels.len() as u32, Ordering::Relaxed);
        client.figures.patterns.store(self.patterns.len() as u32, Ordering::Relaxed);
        client.figures.shard_channels.store(self.shard_channels.len() as u32, Ordering::Relaxed);
        client.set_flag(ClientFlags::PUBSUB, !self.is_empty());
    }
}
