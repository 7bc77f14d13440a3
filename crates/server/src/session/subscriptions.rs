//! The subscriptions of one session.

use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::Ordering},
};

use super::{Client, ClientFlags};

/// The kinds of subscriptions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// To a channel (SUBSCRIBE).
    Channel,
    /// To all channels that match a pattern (PSUBSCRIBE).
    Pattern,
    /// To a shard channel (SSUBSCRIBE). Shard channels have a name space of their own.
    ShardChannel,
}

/// The name of a channel, or a pattern. The table of subscribers and the sessions share it.
pub type Name = Arc<[u8]>;

/// The channels, patterns and shard channels that a session is subscribed to. They are sorted, so that UNSUBSCRIBE without arguments
/// answers in a fixed order.
#[derive(Default)]
pub struct Subscriptions {
    channels: BTreeSet<Name>,
    patterns: BTreeSet<Name>,
    shard_channels: BTreeSet<Name>,
    /// The length of all names together.
    bytes: usize,
}

impl Subscriptions {
    /// The names of one kind.
    pub fn of(&self, kind: Kind) -> &BTreeSet<Name> {
        match kind {
            Kind::Channel => &self.channels,
            Kind::Pattern => &self.patterns,
            Kind::ShardChannel => &self.shard_channels,
        }
    }

    /// Adds a name.
    pub(crate) fn insert(&mut self, kind: Kind, name: Name) {
        let len = name.len();
        if self.of_mut(kind).insert(name) {
            self.bytes += len;
        }
    }

    /// Removes a name. Returns whether it was there.
    pub(crate) fn remove(&mut self, kind: Kind, name: &[u8]) -> bool {
        let is_removed = self.of_mut(kind).remove(name);
        if is_removed {
            self.bytes -= name.len();
        }
        is_removed
    }

    fn of_mut(&mut self, kind: Kind) -> &mut BTreeSet<Name> {
        match kind {
            Kind::Channel => &mut self.channels,
            Kind::Pattern => &mut self.patterns,
            Kind::ShardChannel => &mut self.shard_channels,
        }
    }

    /// Whether there is no subscription of any kind.
    pub fn is_empty(&self) -> bool {
        self.channels.is_empty() && self.patterns.is_empty() && self.shard_channels.is_empty()
    }

    /// The count in the confirmation of a subscription: channels and patterns are counted together, shard channels apart.
    pub fn count_with(&self, kind: Kind) -> usize {
        match kind {
            Kind::Channel | Kind::Pattern => self.channels.len() + self.patterns.len(),
            Kind::ShardChannel => self.shard_channels.len(),
        }
    }

    /// Copies the counts to the client, where CLIENT LIST and INFO read them.
    pub(crate) fn show(&self, client: &Client) {
        client.figures.channels.store(self.channels.len() as u32, Ordering::Relaxed);
        client.figures.patterns.store(self.patterns.len() as u32, Ordering::Relaxed);
        client.figures.shard_channels.store(self.shard_channels.len() as u32, Ordering::Relaxed);
        let names = self.channels.len() + self.patterns.len() + self.shard_channels.len();
        let bytes = self.bytes + names * size_of::<Name>();
        client.figures.subscription_bytes.store(bytes as u64, Ordering::Relaxed);
        client.set_flag(ClientFlags::PUBSUB, !self.is_empty());
    }
}
