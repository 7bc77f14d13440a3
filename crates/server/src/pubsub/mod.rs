//! Channels, shard channels and patterns, and who subscribed to them.
//!
//! ```text
//! channels        stripe 0 … 63, each a mutex around: name → subscribers
//! shard channels  the same, in a space of names of their own
//! patterns        one mutex around: pattern → subscribers
//! ```
//!
//! A message is put into its receivers' mailboxes under the lock of its channel's stripe, so that all subscribers of a channel get its
//! messages in one order. While there are patterns, it is put there under their lock too: then all messages have one order for everybody.
//! Ranks: shards of keys < stripe < patterns < mailbox.
//!
//! `message.rs` writes a message once for all its receivers. What a session subscribed to lies with the session
//! (`session/subscriptions.rs`); this is the other direction, from a name to its subscribers.

mod message;

use std::{
    collections::{BTreeMap, HashMap},
    hash::{BuildHasher, RandomState},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use ochre_datatypes::glob;
use parking_lot::{Mutex, MutexGuard};
use smallvec::SmallVec;

pub use crate::session::subscriptions::{Kind, Name};

use self::message::Message;
use crate::session::{
    Client, Session,
    delivery::{self, Sending},
    subscriptions::Subscriptions,
};

/// See the module.
#[derive(Default)]
pub struct PubSub {
    channels: Topics,
    shard_channels: Topics,
    /// Sorted, so that a client gets a message once for each of its patterns in the same order every time.
    patterns: Mutex<BTreeMap<Name, Subscribers>>,
    /// How many patterns there are: while there are none, publishing does not take their lock.
    pattern_count: AtomicUsize,
}

/// The subscribers of a channel or pattern, sorted by their ids. Most channels have few.
#[derive(Default)]
struct Subscribers(Vec<Arc<Client>>);

/// A space of channels, in stripes that are locked apart from each other. Clients choose the names, so they are hashed with a key.
struct Topics {
    stripes: Box<[Stripe]>,
    hasher: RandomState,
}

/// A mutex: held for a look-up and for as many pushes into mailboxes as a channel has subscribers. On a cache line of its own.
#[derive(Default)]
#[repr(align(128))]
struct Stripe(Mutex<Table>);

type Table = HashMap<Name, Subscribers>;

const STRIPES: usize = 64;

/// Clients whose cores are to be woken once the locks are given back.
type Woken = SmallVec<[Arc<Client>; 8]>;

impl PubSub {
    /// Sends a message to the subscribers of a channel and of the patterns that match it; how many got it, a client counting once for each
    /// of its subscriptions that match.
    pub fn publish(&self, sending: Sending<'_>, channel: &[u8], message: &[u8]) -> usize {
        let mut woken = Woken::new();
        let channels = self.channels.lock(channel);
        let patterns = (self.pattern_count.load(Ordering::Acquire) > 0).then(|| self.patterns.lock());
        let mut receivers = 0;
        if let Some(subscribers) = channels.get(channel) {
            receivers += subscribers.send(sending, Message::new(&[b"message", channel, message]), &mut woken);
        }
        for (pattern, subscribers) in patterns.iter().flat_map(|patterns| patterns.iter()) {
            if glob::matches(pattern, channel) {
                let words: [&[u8]; 4] = [b"pmessage", pattern, channel, message];
                receivers += subscribers.send(sending, Message::new(&words), &mut woken);
            }
        }
        drop(patterns);
        drop(channels);
        wake(woken);
        receivers
    }

    /// Sends a message to the subscribers of a shard channel; how many got it.
    pub fn publish_to_shard(&self, sending: Sending<'_>, channel: &[u8], message: &[u8]) -> usize {
        let mut woken = Woken::new();
        let receivers = match self.shard_channels.lock(channel).get(channel) {
            Some(subscribers) => subscribers.send(sending, Message::new(&[b"smessage", channel, message]), &mut woken),
            None => 0,
        };
        wake(woken);
        receivers
    }

    /// Adds a subscription; whether the session did not have it.
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
                patterns.entry(name.clone()).or_default().add(client);
                self.pattern_count.store(patterns.len(), Ordering::Release);
                name
            }
        };
        subscriptions.of_mut(kind).insert(name);
        subscriptions.show(client);
        true
    }

    /// Ends a subscription; whether there was one.
    pub fn unsubscribe(&self, session: &mut Session, kind: Kind, name: &[u8]) -> bool {
        let Some(subscriptions) = &mut session.subscriptions else { return false };
        if !subscriptions.of_mut(kind).remove(name) {
            return false;
        }
        self.remove(kind, name, session.client.id);
        subscriptions.show(&session.client);
        if subscriptions.is_empty() {
            session.subscriptions = None;
        }
        true
    }

    /// Ends all subscriptions of a session, without a word to it.
    pub fn leave(&self, session: &mut Session) {
        let Some(subscriptions) = session.subscriptions.take() else { return };
        for kind in [Kind::Channel, Kind::Pattern, Kind::ShardChannel] {
            for name in subscriptions.of(kind) {
                self.remove(kind, name, session.client.id);
            }
        }
        Subscriptions::default().show(&session.client);
    }

    /// The channels that have subscribers, as far as a pattern matches them.
    pub fn active(&self, kind: Kind, pattern: Option<&[u8]>) -> Vec<Name> {
        let mut names = Vec::new();
        for stripe in &self.topics(kind).stripes {
            let table = stripe.0.lock();
            names.extend(
                table.keys().filter(|name| pattern.is_none_or(|pattern| glob::matches(pattern, name))).cloned(),
            );
        }
        names
    }

    /// How many subscribers a channel has, without those of patterns.
    pub fn subscribers(&self, kind: Kind, channel: &[u8]) -> usize {
        self.topics(kind).lock(channel).get(channel).map_or(0, |subscribers| subscribers.0.len())
    }

    /// How many channels of a kind, or patterns, have subscribers.
    pub fn count(&self, kind: Kind) -> usize {
        match kind {
            Kind::Pattern => self.pattern_count.load(Ordering::Acquire),
            Kind::Channel | Kind::ShardChannel => {
                self.topics(kind).stripes.iter().map(|stripe| stripe.0.lock().len()).sum()
            }
        }
    }

    fn topics(&self, kind: Kind) -> &Topics {
        match kind {
            Kind::Channel => &self.channels,
            Kind::ShardChannel => &self.shard_channels,
            Kind::Pattern => unreachable!("patterns are no channels"),
        }
    }

    fn remove(&self, kind: Kind, name: &[u8], client: u64) {
        if kind != Kind::Pattern {
            return self.topics(kind).remove(name, client);
        }
        let mut patterns = self.patterns.lock();
        if patterns.get_mut(name).is_some_and(|subscribers| subscribers.remove(client)) {
            patterns.remove(name);
        }
        self.pattern_count.store(patterns.len(), Ordering::Release);
    }
}

fn wake(woken: Woken) {
    woken.iter().for_each(|client| client.waker.wake());
}

impl Topics {
    fn lock(&self, channel: &[u8]) -> MutexGuard<'_, Table> {
        self.stripes[self.hasher.hash_one(channel) as usize % STRIPES].0.lock()
    }

    /// Adds a subscriber; the channel's name, as the table has it.
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

impl Default for Topics {
    fn default() -> Topics {
        Topics { stripes: (0..STRIPES).map(|_| Stripe::default()).collect(), hasher: RandomState::new() }
    }
}

impl Subscribers {
    /// Sends a message to all of them; how many they are.
    fn send(&self, sending: Sending<'_>, mut message: Message<'_>, woken: &mut Woken) -> usize {
        for client in &self.0 {
            if delivery::put(sending, client, || message.rendered(client.protocol())) {
                woken.push(client.clone());
            }
        }
        self.0.len()
    }

    fn add(&mut self, client: &Arc<Client>) {
        if let Err(index) = self.0.binary_search_by_key(&client.id, |other| other.id) {
            self.0.insert(index, client.clone());
        }
    }

    /// Removes one; whether nobody is left.
    fn remove(&mut self, client: u64) -> bool {
        if let Ok(index) = self.0.binary_search_by_key(&client, |other| other.id) {
            self.0.remove(index);
        }
        self.0.is_empty()
    }
}
