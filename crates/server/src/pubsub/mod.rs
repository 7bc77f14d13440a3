//! Channels, shard channels and patterns, and their subscribers.
//!
//! ```text
//! channels        stripe 0 … 63, each a mutex around: name → subscribers
//! shard channels  the same, in a name space of their own
//! patterns        one mutex around: pattern → subscribers
//! ```
//!
//! A message is put into its receivers' mailboxes under the lock of its channel's stripe, so all subscribers of a channel receive its
//! messages in the same order. While there are patterns, the lock of the patterns is held too, and all subscribers receive all messages in
//! the same order. Lock ranks: shards of keys < stripe < patterns < mailbox.
//!
//! `message.rs` encodes a message once for all its receivers. This module maps a name to its subscribers; the other direction, from a
//! session to the names, is in `session/subscriptions.rs`.

mod message;

use std::{
    collections::{BTreeMap, HashMap},
    hash::{BuildHasher, RandomState},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use ochre_datatypes::glob::Pattern;
use parking_lot::{Mutex, MutexGuard};
use smallvec::SmallVec;

pub use crate::session::subscriptions::{Kind, Name};

use self::message::Message;
use crate::session::{
    Client, Session,
    delivery::{self, Sending},
    subscriptions::Subscriptions,
};

/// The subscribers of all channels, shard channels and patterns.
#[derive(Default)]
pub struct PubSub {
    channels: Channels,
    shard_channels: Channels,
    /// Sorted, so that a client with several matching patterns receives a message for each of them in a fixed order.
    patterns: Mutex<BTreeMap<Name, PatternSubscribers>>,
    /// The number of patterns. While it is 0, publishing does not take the lock of the patterns.
    pattern_count: AtomicUsize,
}

/// The subscribers of a channel or pattern, sorted by id. A vector, since most channels have few.
#[derive(Default)]
struct Subscribers(Vec<Arc<Client>>);

/// A pattern, and its subscribers.
struct PatternSubscribers {
    pattern: Pattern<Name>,
    subscribers: Subscribers,
}

/// A name space of channels, divided into stripes with a lock each. The hash has a random key, since clients choose the names.
struct Channels {
    stripes: Box<[Stripe]>,
    hasher: RandomState,
}

/// A mutex: it is held for a lookup and for one push into the mailbox of each subscriber. It has a cache line of its own.
#[derive(Default)]
#[repr(align(128))]
struct Stripe(Mutex<Table>);

type Table = HashMap<Name, Subscribers>;

const STRIPES: usize = 64;

/// Clients to wake once the locks are released.
type ToWake = SmallVec<[Arc<Client>; 8]>;

impl PubSub {
    /// Sends a message to the subscribers of a channel and of the patterns that match it. Returns the number of receivers; a client counts
    /// once for each of its subscriptions that match.
    pub fn publish(&self, sending: Sending<'_>, channel: &[u8], message: &[u8]) -> usize {
        let mut to_wake = ToWake::new();
        let channels = self.channels.lock(channel);
        let patterns = (self.pattern_count.load(Ordering::Acquire) > 0).then(|| self.patterns.lock());
        let mut receivers = 0;
        if let Some(subscribers) = channels.get(channel) {
            receivers += subscribers.send(sending, Message::new(&[b"message", channel, message]), &mut to_wake);
        }
        for (name, found) in patterns.iter().flat_map(|patterns| patterns.iter()) {
            if found.pattern.matches(channel) {
                let words: [&[u8]; 4] = [b"pmessage", name, channel, message];
                receivers += found.subscribers.send(sending, Message::new(&words), &mut to_wake);
            }
        }
        drop(patterns);
        drop(channels);
        wake(to_wake);
        receivers
    }

    /// Sends a message to the subscribers of a shard channel. Returns the number of receivers.
    pub fn publish_to_shard(&self, sending: Sending<'_>, channel: &[u8], message: &[u8]) -> usize {
        let mut to_wake = ToWake::new();
        let receivers = match self.shard_channels.lock(channel).get(channel) {
            Some(subscribers) => {
                subscribers.send(sending, Message::new(&[b"smessage", channel, message]), &mut to_wake)
            }
            None => 0,
        };
        wake(to_wake);
        receivers
    }

    /// Adds a subscription. Returns false if the session has it already.
    pub fn subscribe(&self, session: &mut Session, kind: Kind, name: &[u8]) -> bool {
        let client = &session.client;
        let subscriptions = session.subscriptions.get_or_insert_default();
        if subscriptions.of(kind).contains(name) {
            return false;
        }
        let name = match kind {
            Kind::Channel => self.channels.add(name, client),
            Kind::ShardChannel => self.shard_channels.add(name, client),
            Kind::Pattern => {
                let mut patterns = self.patterns.lock();
                let name = patterns.get_key_value(name).map_or_else(|| name.into(), |(name, _)| name.clone());
                let found = patterns.entry(name.clone()).or_insert_with(|| PatternSubscribers {
                    pattern: Pattern::new(name.clone()),
                    subscribers: Subscribers::default(),
                });
                found.subscribers.add(client);
                self.pattern_count.store(patterns.len(), Ordering::Release);
                name
            }
        };
        subscriptions.insert(kind, name);
        subscriptions.show(client);
        true
    }

    /// Ends a subscription. Returns false if the session does not have it.
    pub fn unsubscribe(&self, session: &mut Session, kind: Kind, name: &[u8]) -> bool {
        let Some(subscriptions) = &mut session.subscriptions else { return false };
        if !subscriptions.remove(kind, name) {
            return false;
        }
        self.remove(kind, name, session.client.id);
        subscriptions.show(&session.client);
        if subscriptions.is_empty() {
            session.subscriptions = None;
        }
        true
    }

    /// Ends all subscriptions of a session without sending confirmations.
    pub fn leave(&self, session: &mut Session) {
        let Some(subscriptions) = session.subscriptions.take() else { return };
        for kind in [Kind::Channel, Kind::Pattern, Kind::ShardChannel] {
            for name in subscriptions.of(kind) {
                self.remove(kind, name, session.client.id);
            }
        }
        Subscriptions::default().show(&session.client);
    }

    /// Visits every subscription. Nobody can publish to what is being visited.
    pub fn visit(&self, visit: &mut dyn FnMut(Kind, &Name, &Arc<Client>)) {
        for kind in [Kind::Channel, Kind::ShardChannel] {
            for stripe in &self.channels_of(kind).stripes {
                let table = stripe.0.lock();
                table.iter().for_each(|(name, found)| found.0.iter().for_each(|client| visit(kind, name, client)));
            }
        }
        let patterns = self.patterns.lock();
        for (name, found) in patterns.iter() {
            found.subscribers.0.iter().for_each(|client| visit(Kind::Pattern, name, client));
        }
    }

    /// The channels of a kind that have subscribers and match the pattern, if there is one, in no order. `kind` is not `Pattern`.
    pub fn active(&self, kind: Kind, pattern: Option<&[u8]>) -> Vec<Name> {
        let pattern = pattern.map(Pattern::new);
        let admits = |name: &[u8]| pattern.as_ref().is_none_or(|pattern| pattern.matches(name));
        let mut names = Vec::new();
        for stripe in &self.channels_of(kind).stripes {
            let table = stripe.0.lock();
            names.extend(table.keys().filter(|name| admits(name)).cloned());
        }
        names
    }

    /// The number of subscribers of a channel, without those of matching patterns. `kind` is not `Pattern`.
    pub fn subscribers(&self, kind: Kind, channel: &[u8]) -> usize {
        self.channels_of(kind).lock(channel).get(channel).map_or(0, |subscribers| subscribers.0.len())
    }

    /// The number of channels, shard channels or patterns that have subscribers.
    pub fn count(&self, kind: Kind) -> usize {
        match kind {
            Kind::Pattern => self.pattern_count.load(Ordering::Acquire),
            Kind::Channel | Kind::ShardChannel => {
                self.channels_of(kind).stripes.iter().map(|stripe| stripe.0.lock().len()).sum()
            }
        }
    }

    fn channels_of(&self, kind: Kind) -> &Channels {
        match kind {
            Kind::Channel => &self.channels,
            Kind::ShardChannel => &self.shard_channels,
            Kind::Pattern => unreachable!("a pattern is not a channel"),
        }
    }

    fn remove(&self, kind: Kind, name: &[u8], client: u64) {
        if kind != Kind::Pattern {
            return self.channels_of(kind).remove(name, client);
        }
        let mut patterns = self.patterns.lock();
        if patterns.get_mut(name).is_some_and(|found| found.subscribers.remove(client)) {
            patterns.remove(name);
        }
        self.pattern_count.store(patterns.len(), Ordering::Release);
    }
}

fn wake(to_wake: ToWake) {
    to_wake.iter().for_each(|client| client.waker.wake());
}

impl Channels {
    fn lock(&self, channel: &[u8]) -> MutexGuard<'_, Table> {
        self.stripes[self.hasher.hash_one(channel) as usize % STRIPES].0.lock()
    }

    /// Adds a subscriber. Returns the channel's name as the table shares it.
    fn add(&self, channel: &[u8], client: &Arc<Client>) -> Name {
        let mut table = self.lock(channel);
        let name = table.get_key_value(channel).map_or_else(|| channel.into(), |(name, _)| name.clone());
        table.entry(name.clone()).or_default().add(client);
        name
    }

    fn remove(&self, channel: &[u8], client: u64) {
        let mut table = self.lock(channel);
        if table.get_mut(channel).is_some_and(|subscribers| subscribers.remove(client)) {
            table.remove(channel);
        }
        if table.capacity() > 64 && table.len() < table.capacity() / 8 {
            table.shrink_to_fit();
        }
    }
}

impl Default for Channels {
    fn default() -> Channels {
        Channels { stripes: (0..STRIPES).map(|_| Stripe::default()).collect(), hasher: RandomState::new() }
    }
}

impl Subscribers {
    /// Sends a message to all subscribers. Returns their number, and adds the clients to wake to `to_wake`.
    fn send(&self, sending: Sending<'_>, mut message: Message<'_>, to_wake: &mut ToWake) -> usize {
        for client in &self.0 {
            if delivery::put(sending, client, || message.rendered(client.protocol())) {
                to_wake.push(client.clone());
            }
        }
        self.0.len()
    }

    fn add(&mut self, client: &Arc<Client>) {
        if let Err(index) = self.0.binary_search_by_key(&client.id, |other| other.id) {
            self.0.insert(index, client.clone());
        }
    }

    /// Removes a subscriber by its client's id. Returns whether none is left.
    fn remove(&mut self, client: u64) -> bool {
        if let Ok(index) = self.0.binary_search_by_key(&client, |other| other.id) {
            self.0.remove(index);
        }
        self.0.is_empty()
    }
}
