//! Publish and subscribe: (P|S)SUBSCRIBE, (P|S)UNSUBSCRIBE, PUBLISH, SPUBLISH, PUBSUB.

use super::{
    CommandSpec, Flags, Handler,
    context::{Outcome, Run, SessionOnly},
    help,
    table::{Channels, Group, KeyFlags, KeySpec},
};
use crate::{config::Config, pubsub::Kind, session::delivery::Sending, users::User};

/// The flags of the commands that change subscriptions. They reply with pushed messages, which CLIENT REPLY does not suppress.
const LISTENING: Flags = Flags::PUBSUB
    .union(Flags::NOSCRIPT)
    .union(Flags::LOADING)
    .union(Flags::STALE)
    .union(Flags::IN_SUBSCRIBE_MODE)
    .union(Flags::PUSHES);
const PUBLISHING: Flags =
    Flags::PUBSUB.union(Flags::LOADING).union(Flags::STALE).union(Flags::FAST).union(Flags::MAY_REPLICATE);
const ASKING: Flags = Flags::PUBSUB.union(Flags::LOADING).union(Flags::STALE);

/// A cluster routes shard channels like keys, but they are not keys.
const SHARD_CHANNELS: &[KeySpec] = &[KeySpec::range(1, -1, 1, KeyFlags::NOT_KEY)];

/// The rows of publish and subscribe.
pub const ROWS: &[CommandSpec] = &[
    CommandSpec {
        name: "psubscribe",
        channels: Channels::Patterns,
        arity: -2,
        flags: LISTENING,
        group: Group::PubSub,
        since: "2.0.0",
        complexity: "O(N) with N patterns",
        summary: "Subscribes to all channels whose names match patterns.",
        syntax: "pattern:pattern...",
        handler: Handler::Session(psubscribe),
        ..CommandSpec::DEFAULT
    },
    CommandSpec {
        name: "publish",
        channels: Channels::First,
        arity: 3,
        flags: PUBLISHING,
        group: Group::PubSub,
        since: "2.0.0",
        complexity: "O(N+M) with N subscribers of the channel and M patterns of all clients",
        summary: "Sends a message to the subscribers of a channel.",
        syntax: "channel message",
        handler: Handler::Session(publish),
        ..CommandSpec::DEFAULT
    },
    CommandSpec {
        name: "pubsub",
        arity: -2,
        group: Group::PubSub,
        since: "2.8.0",
        complexity: "depends on the subcommand",
        summary: "Contains the commands about channels and their subscribers.",
        subcommands: &[
            CommandSpec {
                name: "channels",
                arity: -2,
                flags: ASKING,
                group: Group::PubSub,
                since: "2.8.0",
                complexity: "O(N) with N channels",
                summary: "Lists the channels that have subscribers.",
                syntax: "[pattern:pattern]",
                handler: Handler::Session(channels),
                ..CommandSpec::DEFAULT
            },
            CommandSpec {
                name: "help",
                arity: 2,
                flags: Flags::LOADING.union(Flags::STALE),
                group: Group::PubSub,
                since: "6.2.0",
                summary: "Lists the subcommands.",
                handler: Handler::Session(pubsub_help),
                ..CommandSpec::DEFAULT
            },
            CommandSpec {
                name: "numpat",
                arity: 2,
                flags: ASKING,
                group: Group::PubSub,
                since: "2.8.0",
                summary: "Returns the number of different patterns that clients are subscribed to.",
                handler: Handler::Session(numpat),
                ..CommandSpec::DEFAULT
            },
            CommandSpec {
                name: "numsub",
                arity: -2,
                flags: ASKING,
                group: Group::PubSub,
                since: "2.8.0",
                complexity: "O(N) with N named channels",
                summary: "Returns the number of subscribers of each channel.",
                syntax: "[channel...]",
                handler: Handler::Session(numsub),
                ..CommandSpec::DEFAULT
            },
            CommandSpec {
                name: "shardchannels",
                arity: -2,
                flags: ASKING,
                group: Group::PubSub,
                since: "7.0.0",
                complexity: "O(N) with N shard channels",
                summary: "Lists the shard channels that have subscribers.",
                syntax: "[pattern:pattern]",
                handler: Handler::Session(shardchannels),
                ..CommandSpec::DEFAULT
            },
            CommandSpec {
                name: "shardnumsub",
                arity: -2,
                flags: ASKING,
                group: Group::PubSub,
                since: "7.0.0",
                complexity: "O(N) with N named shard channels",
                summary: "Returns the number of subscribers of each shard channel.",
                syntax: "[shardchannel...]",
                handler: Handler::Session(shardnumsub),
                ..CommandSpec::DEFAULT
            },
        ],
        ..CommandSpec::DEFAULT
    },
    CommandSpec {
        name: "punsubscribe",
        arity: -1,
        flags: LISTENING,
        group: Group::PubSub,
        since: "2.0.0",
        complexity: "O(N) with N patterns",
        summary: "Unsubscribes from patterns, or from all of them.",
        syntax: "[pattern:pattern...]",
        handler: Handler::Session(punsubscribe),
        ..CommandSpec::DEFAULT
    },
    CommandSpec {
        name: "spublish",
        channels: Channels::First,
        arity: 3,
        flags: PUBLISHING,
        keys: &[KeySpec::one(1, KeyFlags::NOT_KEY)],
        group: Group::PubSub,
        since: "7.0.0",
        complexity: "O(N) with N subscribers of the shard channel",
        summary: "Sends a message to the subscribers of a shard channel.",
        syntax: "shardchannel message",
        handler: Handler::Session(spublish),
        ..CommandSpec::DEFAULT
    },
    CommandSpec {
        name: "ssubscribe",
        channels: Channels::All,
        arity: -2,
        flags: LISTENING,
        keys: SHARD_CHANNELS,
        group: Group::PubSub,
        since: "7.0.0",
        complexity: "O(N) with N shard channels",
        summary: "Subscribes to shard channels.",
        syntax: "shardchannel...",
        handler: Handler::Session(ssubscribe),
        ..CommandSpec::DEFAULT
    },
    CommandSpec {
        name: "subscribe",
        channels: Channels::All,
        arity: -2,
        flags: LISTENING,
        group: Group::PubSub,
        since: "2.0.0",
        complexity: "O(N) with N channels",
        summary: "Subscribes to channels.",
        syntax: "channel...",
        handler: Handler::Session(subscribe),
        ..CommandSpec::DEFAULT
    },
    CommandSpec {
        name: "sunsubscribe",
        arity: -1,
        flags: LISTENING,
        keys: SHARD_CHANNELS,
        group: Group::PubSub,
        since: "7.0.0",
        complexity: "O(N) with N shard channels",
        summary: "Unsubscribes from shard channels, or from all of them.",
        syntax: "[shardchannel...]",
        handler: Handler::Session(sunsubscribe),
        ..CommandSpec::DEFAULT
    },
    CommandSpec {
        name: "unsubscribe",
        arity: -1,
        flags: LISTENING,
        group: Group::PubSub,
        since: "2.0.0",
        complexity: "O(N) with N channels",
        summary: "Unsubscribes from channels, or from all of them.",
        syntax: "[channel...]",
        handler: Handler::Session(unsubscribe),
        ..CommandSpec::DEFAULT
    },
];

fn subscribe(cx: &mut SessionOnly<'_>) -> Run {
    listen(cx, Kind::Channel, "subscribe")
}

fn psubscribe(cx: &mut SessionOnly<'_>) -> Run {
    listen(cx, Kind::Pattern, "psubscribe")
}

fn ssubscribe(cx: &mut SessionOnly<'_>) -> Run {
    listen(cx, Kind::ShardChannel, "ssubscribe")
}

fn listen(cx: &mut SessionOnly<'_>, kind: Kind, verb: &str) -> Run {
    for name in cx.args.iter().skip(1) {
        cx.core.server.pubsub.subscribe(cx.session, kind, name);
        confirm(cx, kind, verb, Some(name));
    }
    cx.follow_class();
    // If the user has lost rights since they were checked, ACL SETUSER may have looked for subscriptions before these were added.
    let users = &cx.core.server.users;
    if !users.is_current(&cx.session.identity) {
        let user = users.get(&cx.session.client.user());
        let may = |user: &User| cx.args.iter().skip(1).all(|name| user.may_subscribe(name, kind == Kind::Pattern));
        if !user.is_some_and(|user| may(&user)) {
            return Ok(Outcome::Close);
        }
    }
    Ok(Outcome::Done)
}

fn unsubscribe(cx: &mut SessionOnly<'_>) -> Run {
    leave(cx, Kind::Channel, "unsubscribe")
}

fn punsubscribe(cx: &mut SessionOnly<'_>) -> Run {
    leave(cx, Kind::Pattern, "punsubscribe")
}

fn sunsubscribe(cx: &mut SessionOnly<'_>) -> Run {
    leave(cx, Kind::ShardChannel, "sunsubscribe")
}

fn leave(cx: &mut SessionOnly<'_>, kind: Kind, verb: &str) -> Run {
    let all: Vec<_> = match &cx.session.subscriptions {
        Some(subscriptions) if cx.args.len() == 1 => subscriptions.of(kind).iter().cloned().collect(),
        _ => Vec::new(),
    };
    let named = cx.args.iter().skip(1).chain(all.iter().map(|name| &**name));
    let mut count = 0;
    for name in named {
        cx.core.server.pubsub.unsubscribe(cx.session, kind, name);
        // Messages that are already queued precede the confirmation, since no message of a channel may follow it.
        cx.deliver_mail();
        confirm(cx, kind, verb, Some(name));
        count += 1;
    }
    if count == 0 {
        confirm(cx, kind, verb, None);
    }
    cx.follow_class();
    Ok(Outcome::Done)
}

/// Confirms a subscription, or its end, with the number of remaining subscriptions.
fn confirm(cx: &mut SessionOnly<'_>, kind: Kind, verb: &str, name: Option<&[u8]>) {
    let count = cx.session.subscriptions.as_ref().map_or(0, |subscriptions| subscriptions.count_with(kind));
    cx.reply.push(3);
    cx.reply.bulk(verb.as_bytes());
    match name {
        Some(name) => cx.reply.bulk(name),
        None => cx.reply.null(),
    }
    cx.reply.integer(count as i64);
}

/// How a client's message is sent. It depends on what the client has done or read before.
fn sending<'s>(cx: &'s SessionOnly<'_>, config: &'s Config) -> Sending<'s> {
    Sending { config, counters: &cx.core.counters, position: cx.session.position }
}

fn publish(cx: &mut SessionOnly<'_>) -> Run {
    let config = cx.core.config();
    let receivers = cx.core.server.pubsub.publish(sending(cx, &config), cx.args.get(1), cx.args.get(2));
    cx.reply.integer(receivers as i64);
    Ok(Outcome::Done)
}

fn spublish(cx: &mut SessionOnly<'_>) -> Run {
    let config = cx.core.config();
    let receivers = cx.core.server.pubsub.publish_to_shard(sending(cx, &config), cx.args.get(1), cx.args.get(2));
    cx.reply.integer(receivers as i64);
    Ok(Outcome::Done)
}

fn channels(cx: &mut SessionOnly<'_>) -> Run {
    list(cx, Kind::Channel)
}

fn shardchannels(cx: &mut SessionOnly<'_>) -> Run {
    list(cx, Kind::ShardChannel)
}

fn list(cx: &mut SessionOnly<'_>, kind: Kind) -> Run {
    if cx.args.len() > 3 {
        return Err(help::wrong_arguments(cx));
    }
    let names = cx.core.server.pubsub.active(kind, cx.args.try_get(2));
    cx.reply.array(names.len());
    names.iter().for_each(|name| cx.reply.bulk(name));
    Ok(Outcome::Done)
}

fn numsub(cx: &mut SessionOnly<'_>) -> Run {
    count(cx, Kind::Channel)
}

fn shardnumsub(cx: &mut SessionOnly<'_>) -> Run {
    count(cx, Kind::ShardChannel)
}

/// Replies with names and numbers of subscribers in turn. It is an array in RESP3 too, not a map.
fn count(cx: &mut SessionOnly<'_>, kind: Kind) -> Run {
    cx.reply.array(2 * (cx.args.len() - 2));
    for name in cx.args.iter().skip(2) {
        cx.reply.bulk(name);
        cx.reply.integer(cx.core.server.pubsub.subscribers(kind, name) as i64);
    }
    Ok(Outcome::Done)
}

fn numpat(cx: &mut SessionOnly<'_>) -> Run {
    cx.reply.integer(cx.core.server.pubsub.count(Kind::Pattern) as i64);
    Ok(Outcome::Done)
}

fn pubsub_help(cx: &mut SessionOnly<'_>) -> Run {
    help::write(
        &mut cx.reply,
        "pubsub",
        &[
            "CHANNELS [<pattern>]",
            "    List the channels that have subscribers (default: all of them).",
            "NUMPAT",
            "    Count the different patterns that clients subscribed to.",
            "NUMSUB [<channel> ...]",
            "    Count the subscribers of each channel named, not counting patterns.",
            "SHARDCHANNELS [<pattern>]",
            "    List the shard channels that have subscribers (default: all of them).",
            "SHARDNUMSUB [<shardchannel> ...]",
            "    Count the subscribers of each shard channel named.",
        ],
    );
    Ok(Outcome::Done)
}
