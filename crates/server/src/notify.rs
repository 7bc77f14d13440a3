//! Keyspace notifications: the messages that announce events of keys (Redis: `notify.c`).

use crate::{core::Core, events::NotifyClass, journal::Position, session::delivery::Sending};

/// Announces an event of a key to the subscribers of `__keyspace@<db>__:<key>` and `__keyevent@<db>__:<event>`, if
/// `notify-keyspace-events` enables its class. `position` is that of the change in the journal. The caller holds the key's lock, so the
/// events of a key arrive in the order of its changes.
#[inline]
pub fn publish(core: &Core, position: Position, class: NotifyClass, event: &str, database: usize, key: &[u8]) {
    let asked = core.announced();
    if asked.intersects(class) {
        announce(core, position, asked, event, database, key);
    }
}

#[cold]
fn announce(core: &Core, position: Position, asked: NotifyClass, event: &str, database: usize, key: &[u8]) {
    let (pubsub, config) = (&core.server.pubsub, core.config());
    let sending = Sending { config: &config, counters: &core.counters, position };
    if asked.contains(NotifyClass::KEYSPACE) {
        let mut channel = format!("__keyspace@{database}__:").into_bytes();
        channel.extend_from_slice(key);
        pubsub.publish(sending, &channel, event.as_bytes());
    }
    if asked.contains(NotifyClass::KEYEVENT) {
        let channel = format!("__keyevent@{database}__:{event}");
        pubsub.publish(sending, channel.as_bytes(), key);
    }
}
