//! The connection: AUTH, ECHO, HELLO, PING, QUIT, RESET, SELECT. `client.rs` has CLIENT.

use std::time::Instant;

use ochre_datatypes::number;
use ochre_resp::{Args, Protocol};

use super::{
    CommandError, CommandSpec, Flags, Handler,
    client::{name_is_valid, set_name},
    context::{Context, KeyedRead, Outcome, Run, SessionOnly},
    permissions,
    table::{Category, Group},
};
use crate::{
    process::REDIS_VERSION,
    session::{Block, ClientFlags, ReplyMode, delivery},
    users::{
        DEFAULT_USER,
        denials::{Denial, Reason},
    },
};

/// The flags of the commands that a client may send before it is authenticated.
const HANDSHAKE: Flags = Flags::NOSCRIPT
    .union(Flags::LOADING)
    .union(Flags::STALE)
    .union(Flags::FAST)
    .union(Flags::NO_AUTH)
    .union(Flags::ALLOW_BUSY);

/// The rows of commands about the connection.
pub const ROWS: &[CommandSpec] = &[
    CommandSpec {
        name: "auth",
        arity: -2,
        flags: HANDSHAKE.union(Flags::SECRET_ARGUMENTS),
        categories: Category::CONNECTION,
        group: Group::Connection,
        complexity: "O(1)",
        summary: "Authenticates the connection.",
        syntax: "[username] password",
        handler: Handler::Session(auth),
        ..CommandSpec::DEFAULT
    },
    CommandSpec {
        name: "echo",
        arity: 2,
        flags: Flags::LOADING.union(Flags::STALE).union(Flags::FAST),
        categories: Category::CONNECTION,
        group: Group::Connection,
        summary: "Returns the message.",
        syntax: "message",
        handler: Handler::Session(echo),
        ..CommandSpec::DEFAULT
    },
    CommandSpec {
        name: "hello",
        arity: -1,
        flags: HANDSHAKE.union(Flags::SECRET_ARGUMENTS),
        categories: Category::CONNECTION,
        group: Group::Connection,
        since: "6.0.0",
        summary: "Sets the version of the protocol, and returns facts about the server.",
        syntax: "[(protover:integer [AUTH (username password)] [SETNAME clientname])]",
        is_secret: is_hello_secret,
        handler: Handler::Session(hello),
        ..CommandSpec::DEFAULT
    },
    CommandSpec {
        name: "ping",
        arity: -1,
        flags: Flags::FAST.union(Flags::IN_SUBSCRIBE_MODE).union(Flags::HEALTH),
        categories: Category::CONNECTION,
        tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
        group: Group::Connection,
        summary: "Returns PONG, or the message.",
        syntax: "[message]",
        handler: Handler::Session(ping),
        ..CommandSpec::DEFAULT
    },
    CommandSpec {
        name: "quit",
        arity: -1,
        flags: HANDSHAKE.union(Flags::IN_MULTI_AT_ONCE).union(Flags::IN_SUBSCRIBE_MODE),
        categories: Category::CONNECTION,
        group: Group::Connection,
        summary: "Closes the connection.",
        deprecated: Some(("7.2.0", "just closing the connection")),
        handler: Handler::Session(quit),
        ..CommandSpec::DEFAULT
    },
    CommandSpec {
        name: "reset",
        arity: 1,
        flags: HANDSHAKE.union(Flags::IN_MULTI_AT_ONCE).union(Flags::IN_SUBSCRIBE_MODE).union(Flags::RELEASES_WATCH),
        categories: Category::CONNECTION,
        group: Group::Connection,
        since: "6.2.0",
        summary: "Resets the connection to its initial state.",
        handler: Handler::Read(reset),
        ..CommandSpec::DEFAULT
    },
    CommandSpec {
        name: "select",
        arity: 2,
        flags: Flags::LOADING.union(Flags::STALE).union(Flags::FAST),
        categories: Category::CONNECTION,
        group: Group::Connection,
        summary: "Sets the connection's database.",
        syntax: "index:integer",
        handler: Handler::Session(select),
        ..CommandSpec::DEFAULT
    },
];

const WRONG_PASSWORD: CommandError =
    CommandError::text("WRONGPASS invalid username-password pair or user is disabled.");

fn auth(cx: &mut SessionOnly<'_>) -> Run {
    let (user, password) = match cx.args.len() {
        2 if cx.core.server.users.default_user().needs_no_password => {
            return Err(CommandError::text(
                "ERR AUTH <password> called without any password configured for the default user. Are you sure your \
                 configuration is correct?",
            ));
        }
        2 => (DEFAULT_USER, cx.args.get(1)),
        3 => (cx.args.get(1), cx.args.get(2)),
        _ => return Err(CommandError::SYNTAX),
    };
    if !authenticate(cx, user, password) {
        return refuse(cx);
    }
    cx.reply.ok();
    Ok(Outcome::Done)
}

/// Makes the session act for a user, if the password is right.
fn authenticate(cx: &mut SessionOnly<'_>, user: &[u8], password: &[u8]) -> bool {
    let noted = || cx.session.client.change_details(|details| details.user = user.into());
    if let Some(identity) = cx.core.server.users.authenticate(user, password, noted) {
        cx.session.identity = identity;
        return true;
    }
    let place = permissions::place(cx.session);
    let denial = Denial { reason: Reason::Auth, place, object: cx.args.get(0).into(), user: user.into() };
    permissions::push(cx.core, cx.session, denial);
    false
}

/// Answers a wrong password, later if the address has sent many of them.
fn refuse(cx: &mut SessionOnly<'_>) -> Run {
    let client = &cx.session.client;
    if client.flags().contains(ClientFlags::UNIX_SOCKET) {
        return Err(WRONG_PASSWORD);
    }
    let delay = cx.core.server.users.failures.note(client.ip(), cx.now_ms);
    if delay.is_zero() {
        return Err(WRONG_PASSWORD);
    }
    Ok(Outcome::Block(Block::until(Some(Instant::now() + delay), |reply| reply.error(WRONG_PASSWORD.as_bytes()))))
}

fn echo(cx: &mut SessionOnly<'_>) -> Run {
    cx.reply.bulk(cx.args.get(1));
    Ok(Outcome::Done)
}

fn hello(cx: &mut SessionOnly<'_>) -> Run {
    let protocol = match cx.args.try_get(1).map(number::parse_i64) {
        None => None,
        Some(Some(2)) => Some(Protocol::Resp2),
        Some(Some(3)) => Some(Protocol::Resp3),
        Some(None) => return Err(CommandError::text("ERR Protocol version is not an integer or out of range")),
        Some(Some(_)) => return Err(CommandError::text("NOPROTO unsupported protocol version")),
    };
    let mut credentials = None;
    let mut name = None;
    let mut index = 2;
    while let Some(option) = cx.args.try_get(index) {
        let remaining = cx.args.len() - index - 1;
        if cx.is_word(index, "AUTH") && remaining >= 2 {
            credentials = Some((cx.args.get(index + 1), cx.args.get(index + 2)));
            index += 3;
        } else if cx.is_word(index, "SETNAME") && remaining >= 1 {
            let given = cx.args.get(index + 1);
            name_is_valid(given)?;
            name = Some(given);
            index += 2;
        } else {
            return Err(CommandError::repeating("ERR Syntax error in HELLO option '", option, "'"));
        }
    }
    if let Some((user, password)) = credentials
        && !authenticate(cx, user, password)
    {
        return refuse(cx);
    }
    if !cx.session.identity.is_authenticated() {
        return Err(CommandError::text(
            "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass> \
             option can be used to authenticate the client and select the RESP protocol version at the same time",
        ));
    }
    if let Some(name) = name {
        set_name(cx.session, name);
    }
    if let Some(protocol) = protocol {
        // Messages that are already queued precede this reply, which is the first in the new protocol.
        cx.deliver_mail();
        cx.session.speak(protocol);
        cx.reply.set_protocol(protocol);
    }
    let reply = &mut cx.reply;
    reply.map(7);
    for (field, value) in [("server", "redis"), ("version", REDIS_VERSION)] {
        reply.bulk(field.as_bytes());
        reply.bulk(value.as_bytes());
    }
    reply.bulk(b"proto");
    reply.integer(if cx.session.protocol == Protocol::Resp3 { 3 } else { 2 });
    reply.bulk(b"id");
    reply.integer(cx.session.client.id as i64);
    for (field, value) in [("mode", "standalone"), ("role", "master")] {
        reply.bulk(field.as_bytes());
        reply.bulk(value.as_bytes());
    }
    reply.bulk(b"modules");
    reply.array(0);
    Ok(Outcome::Done)
}

/// The user and the password: two words after AUTH. A name that is `AUTH` too makes the words after it count as secrets, which does no harm.
fn is_hello_secret(args: Args<'_>, index: usize) -> bool {
    let is_auth = |index: usize| args.get(index).eq_ignore_ascii_case(b"AUTH");
    (index.saturating_sub(2).max(2)..index).any(is_auth)
}

fn ping(cx: &mut SessionOnly<'_>) -> Run {
    let message = match cx.args.len() {
        1 => None,
        2 => Some(cx.args.get(1)),
        _ => return Err(CommandError::wrong_arity(&cx.command.full_name)),
    };
    if cx.session.is_subscriber() && cx.session.protocol == Protocol::Resp2 {
        // A RESP2 subscriber expects messages, which are arrays, so its PONG is an array too.
        cx.reply.array(2);
        cx.reply.bulk(b"pong");
        cx.reply.bulk(message.unwrap_or_default());
    } else if let Some(message) = message {
        cx.reply.bulk(message);
    } else {
        cx.reply.simple("PONG");
    }
    Ok(Outcome::Done)
}

fn quit(cx: &mut SessionOnly<'_>) -> Run {
    if cx.session.protocol != Protocol::Plain {
        cx.reply.ok();
    }
    Ok(Outcome::Close)
}

fn reset(cx: &mut KeyedRead<'_>) -> Run {
    cx.core.server.pubsub.leave(cx.session);
    cx.core.server.monitors.remove(&cx.session.client);
    cx.follow_class();
    cx.deliver_mail();
    cx.session.end_transaction();
    cx.session.release_watch(&cx.keys, &cx.core.server.keyspace);
    cx.session.select(0);
    if cx.session.protocol != Protocol::Plain {
        cx.session.speak(Protocol::Resp2);
        cx.reply.set_protocol(Protocol::Resp2);
    }
    cx.session.client.change_details(|details| details.user = DEFAULT_USER.into());
    cx.session.identity = cx.core.server.users.identity_of_new_client();
    cx.session.reply_mode = ReplyMode::On;
    cx.session.no_touch = false;
    set_name(cx.session, b"");
    cx.session.client.set_flag(ClientFlags::NO_TOUCH | ClientFlags::NO_EVICT, false);
    cx.reply.simple("RESET");
    Ok(Outcome::Done)
}

fn select(cx: &mut SessionOnly<'_>) -> Run {
    let index = cx.integer(1)?;
    if i32::try_from(index).is_err() {
        return Err(CommandError::text("ERR value is out of range, value must between -2147483648 and 2147483647"));
    }
    match usize::try_from(index) {
        Ok(index) if index < cx.core.config().databases => cx.session.select(index),
        _ => return Err(CommandError::text("ERR DB index is out of range")),
    }
    cx.reply.ok();
    Ok(Outcome::Done)
}

impl<K> Context<'_, K> {
    /// Writes the messages in the client's mailbox, so that they precede the reply. Inside EXEC, whose reply is one array, they follow it.
    pub fn deliver_mail(&mut self) {
        if !self.nested {
            self.session.take_mail(self.reply.out());
        }
    }

    /// Gives the replies that follow the output limit of the client's class, which its subscriptions have just changed.
    pub fn follow_class(&mut self) {
        self.reply.out().set_len_max(delivery::room(&self.core.config(), &self.session.client));
    }
}
