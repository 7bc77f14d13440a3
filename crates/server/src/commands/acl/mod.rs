//! ACL: users and their rights. `rules.rs` reads and shows the rules of a user, `file.rs` the users of the configuration and of the ACL file.

pub mod file;
pub mod rules;

use std::sync::Arc;

use ochre_datatypes::number;

use super::{
    CommandError, CommandSpec, Flags, Handler,
    context::{Context, Outcome, Run, SessionOnly, Whole},
    help, permissions,
    registry::table,
    table::{Category, Group},
};
use crate::{
    clock,
    pubsub::Kind,
    random,
    server::Server,
    users::{
        ByName, DEFAULT_USER, User,
        denials::Entry,
        user::{Denied, Selector},
    },
};

const ACL: CommandSpec = CommandSpec {
    flags: Flags::ADMIN.union(Flags::NOSCRIPT).union(Flags::LOADING).union(Flags::STALE),
    group: Group::Server,
    since: "6.0.0",
    complexity: "O(1)",
    ..CommandSpec::DEFAULT
};
/// The flags of subcommands that everybody may run.
const HARMLESS: Flags = Flags::NOSCRIPT.union(Flags::LOADING).union(Flags::STALE);
const ALL_NODES: &[&str] = &["request_policy:all_nodes", "response_policy:all_succeeded"];

/// The rows of ACL.
pub const ROWS: &[CommandSpec] = &[CommandSpec {
    name: "acl",
    arity: -2,
    flags: Flags::empty(),
    complexity: "depends on the subcommand",
    summary: "Contains the commands about users and their rights.",
    subcommands: &[
        CommandSpec {
            name: "cat",
            arity: -2,
            flags: HARMLESS,
            complexity: "O(1) since the categories and commands are a fixed set",
            summary: "Lists the categories of commands, or the commands of a category.",
            syntax: "[category]",
            handler: Handler::Session(cat),
            ..ACL
        },
        CommandSpec {
            name: "deluser",
            arity: -3,
            tips: ALL_NODES,
            complexity: "O(N) with N clients",
            summary: "Removes users, and disconnects their clients.",
            syntax: "username...",
            handler: Handler::Whole(deluser),
            ..ACL
        },
        CommandSpec {
            name: "dryrun",
            arity: -4,
            since: "7.0.0",
            summary: "Returns whether a user may run a command, without running it.",
            syntax: "username command [arg...]",
            handler: Handler::Session(dryrun),
            ..ACL
        },
        CommandSpec {
            name: "genpass",
            arity: -2,
            flags: HARMLESS,
            summary: "Returns a random password.",
            syntax: "[bits:integer]",
            handler: Handler::Session(genpass),
            ..ACL
        },
        CommandSpec {
            name: "getuser",
            arity: 3,
            complexity: "O(N) with N rules",
            summary: "Returns the rules of a user.",
            syntax: "username",
            handler: Handler::Session(getuser),
            ..ACL
        },
        CommandSpec {
            name: "help",
            arity: 2,
            flags: Flags::LOADING.union(Flags::STALE),
            summary: "Lists the subcommands.",
            handler: Handler::Session(acl_help),
            ..ACL
        },
        CommandSpec {
            name: "list",
            arity: 2,
            complexity: "O(N) with N users",
            summary: "Returns the users as the ACL file describes them.",
            handler: Handler::Session(list),
            ..ACL
        },
        CommandSpec {
            name: "load",
            arity: 2,
            complexity: "O(N) with N users and clients",
            summary: "Replaces the users by those of the ACL file.",
            handler: Handler::Session(load),
            ..ACL
        },
        CommandSpec {
            name: "log",
            arity: -2,
            complexity: "O(N) with N entries",
            summary: "Returns what users were denied, the newest first.",
            syntax: "[(count:integer|RESET)]",
            handler: Handler::Session(log),
            ..ACL
        },
        CommandSpec {
            name: "save",
            arity: 2,
            tips: ALL_NODES,
            complexity: "O(N) with N users",
            summary: "Writes the users to the ACL file.",
            handler: Handler::Session(save),
            ..ACL
        },
        CommandSpec {
            name: "setuser",
            arity: -3,
            flags: ACL.flags.union(Flags::SECRET_ARGUMENTS),
            tips: ALL_NODES,
            is_secret: |_, index| index > 1,
            complexity: "O(N) with N rules",
            summary: "Creates a user or changes its rules.",
            syntax: "username [rule...]",
            handler: Handler::Whole(setuser),
            ..ACL
        },
        CommandSpec {
            name: "users",
            arity: 2,
            complexity: "O(N) with N users",
            summary: "Returns the names of all users.",
            handler: Handler::Session(users),
            ..ACL
        },
        CommandSpec {
            name: "whoami",
            arity: 2,
            flags: HARMLESS,
            summary: "Returns the name of the user that the connection acts for.",
            handler: Handler::Session(whoami),
            ..ACL
        },
    ],
    ..ACL
}];

const NO_FILE: CommandError = CommandError::text(
    "ERR This Redis instance is not configured to use an ACL file. You may want to specify users via the ACL SETUSER command and then \
     issue a CONFIG REWRITE (assuming you have a Redis configuration file set) in order to store users in the Redis configuration.",
);

fn cat(cx: &mut SessionOnly<'_>) -> Run {
    match cx.args.len() {
        2 => {
            cx.reply.array(Category::NAMES.len());
            Category::NAMES.iter().for_each(|(_, name)| cx.reply.bulk(name.as_bytes()));
        }
        3 => {
            let name = cx.args.get(2);
            let category =
                rules::category(name).ok_or_else(|| CommandError::repeating("ERR Unknown category '", name, "'"))?;
            let is_in =
                |command: &&super::Command| !command.is_private() && command.spec.categories().contains(category);
            let found: Vec<_> = table().all().filter(is_in).collect();
            cx.reply.array(found.len());
            found.iter().for_each(|command| cx.reply.bulk(command.full_name.as_bytes()));
        }
        _ => return Err(help::wrong_arguments(cx)),
    }
    Ok(Outcome::Done)
}

/// Has the whole keyspace to itself, so that no command runs by rights of before once it is answered.
fn setuser(cx: &mut Whole<'_>) -> Run {
    let name = cx.args.get(2);
    if !file::is_valid_name(name) {
        return Err(CommandError::text("ERR Usernames can't contain spaces or null characters"));
    }
    let words: Vec<&[u8]> = cx.args.slice(3..).iter().collect();
    let new_rules = rules::join_selectors(&words).map_err(|word| {
        CommandError::repeating("ERR Unmatched parenthesis in acl selector starting at '", word, "'.")
    })?;
    let has_all_channels = cx.core.config().acl_pubsub_default.is_all();
    let change = |users: &mut ByName| -> Result<(), CommandError> {
        let mut user = match users.get(name) {
            Some(user) => User::clone(user),
            None => rules::new_user(name, has_all_channels),
        };
        for rule in &new_rules {
            rules::apply(&mut user, rule, has_all_channels).map_err(|error| {
                let before = [b"ERR Error in ACL SETUSER modifier '", super::error::until_zero(rule), b"': "].concat();
                CommandError::composed([&before[..], error.text().as_bytes()].concat())
            })?;
        }
        users.insert(name.into(), Arc::new(user));
        Ok(())
    };
    cx.core.server.users.change(change)?;
    cx.reply.ok();
    Ok(close_subscribers(cx, |user| user == name))
}

/// Closes the connections of subscribers whose users may not have their subscriptions any more. (Redis: `ACLKillPubsubClientsIfNeeded`)
fn close_subscribers<K>(cx: &Context<'_, K>, is_changed: impl Fn(&[u8]) -> bool) -> Outcome {
    let server = &cx.core.server;
    let mut outcome = Outcome::Done;
    server.pubsub.visit(&mut |kind, name, client| {
        let user = client.user();
        let is_allowed = |user: Arc<User>| user.may_subscribe(name, kind == Kind::Pattern);
        if is_changed(&user) && !server.users.get(&user).is_some_and(is_allowed) {
            if client.id == cx.session.client.id {
                outcome = Outcome::Close;
            } else {
                client.kill();
            }
        }
    });
    outcome
}

/// Closes the connections of users. The connection that asks for it is closed after the reply.
fn close_clients<K>(cx: &Context<'_, K>, is_gone: impl Fn(&[u8]) -> bool) -> Outcome {
    let mut outcome = Outcome::Done;
    for client in cx.core.server.clients.all() {
        if !is_gone(&client.user()) {
            continue;
        }
        if client.id == cx.session.client.id {
            outcome = Outcome::Close;
        } else {
            client.kill();
        }
    }
    outcome
}

/// As [`setuser`].
fn deluser(cx: &mut Whole<'_>) -> Run {
    let names: Vec<&[u8]> = cx.args.slice(2..).iter().collect();
    let remove = |users: &mut ByName| {
        if names.contains(&DEFAULT_USER) {
            return Err(CommandError::text("ERR The 'default' user cannot be removed"));
        }
        Ok(names.iter().filter(|name| users.remove(**name).is_some()).count())
    };
    let removed = cx.core.server.users.change(remove)?;
    cx.reply.integer(removed as i64);
    Ok(close_clients(cx, |user| names.contains(&user)))
}

fn getuser(cx: &mut SessionOnly<'_>) -> Run {
    let Some(user) = cx.core.server.users.get(cx.args.get(2)) else {
        cx.reply.null();
        return Ok(Outcome::Done);
    };
    let reply = &mut cx.reply;
    reply.map(6);
    reply.bulk(b"flags");
    let flags = rules::flags_of(&user);
    reply.set(flags.len());
    flags.iter().for_each(|flag| reply.bulk(flag.as_bytes()));
    reply.bulk(b"passwords");
    reply.array(user.passwords.len());
    user.passwords.iter().for_each(|hash| reply.bulk(rules::hexadecimal(hash).as_bytes()));
    let (own, further) = user.selectors.split_first().expect("a user has a selector of its own");
    let fields = |selector: &Selector| {
        [
            ("commands", rules::commands_of(selector)),
            ("keys", rules::keys_of(selector)),
            ("channels", rules::channels_of(selector)),
        ]
    };
    for (name, value) in fields(own) {
        reply.bulk(name.as_bytes());
        reply.bulk(&value);
    }
    reply.bulk(b"selectors");
    reply.array(further.len());
    for selector in further {
        reply.map(3);
        for (name, value) in fields(selector) {
            reply.bulk(name.as_bytes());
            reply.bulk(&value);
        }
    }
    Ok(Outcome::Done)
}

fn list(cx: &mut SessionOnly<'_>) -> Run {
    let users = cx.core.server.users.all();
    cx.reply.array(users.len());
    users.iter().for_each(|user| cx.reply.bulk(&rules::line_of(user)));
    Ok(Outcome::Done)
}

fn users(cx: &mut SessionOnly<'_>) -> Run {
    let users = cx.core.server.users.all();
    cx.reply.array(users.len());
    users.iter().for_each(|user| cx.reply.bulk(&user.name));
    Ok(Outcome::Done)
}

fn whoami(cx: &mut SessionOnly<'_>) -> Run {
    match cx.session.identity.user() {
        Some(user) => cx.reply.bulk(&user.name),
        None => cx.reply.null(),
    }
    Ok(Outcome::Done)
}

fn load(cx: &mut SessionOnly<'_>) -> Run {
    let server = &cx.core.server;
    let config = cx.core.config();
    let path = config.aclfile.as_ref().ok_or(NO_FILE)?;
    file::load(&server.users, path, &config).map_err(|error| {
        tracing::warn!("{error}");
        CommandError::composed(format!("ERR {error}"))
    })?;
    cx.reply.ok();
    // As in Redis, only clients of users that are gone are disconnected, and subscribers that may not have their subscriptions any more.
    let of_subscribers = close_subscribers(cx, |_| true);
    let of_users = close_clients(cx, |user| server.users.get(user).is_none());
    Ok(if matches!(of_subscribers, Outcome::Close) { of_subscribers } else { of_users })
}

fn save(cx: &mut SessionOnly<'_>) -> Run {
    let config = cx.core.config();
    let path = config.aclfile.as_ref().ok_or(NO_FILE)?;
    file::save(&cx.core.server.users, path).map_err(|error| {
        tracing::warn!("Writing the ACL file {}: {error}", path.display());
        CommandError::text(
            "ERR There was an error trying to save the ACLs. Please check the server logs for more information",
        )
    })?;
    cx.reply.ok();
    Ok(Outcome::Done)
}

fn log(cx: &mut SessionOnly<'_>) -> Run {
    /// How many entries are shown without a count.
    const SHOWN: i64 = 10;
    let count = match cx.args.len() {
        2 => SHOWN,
        3 if cx.is_word(2, "RESET") => {
            cx.core.server.users.denials.reset();
            cx.reply.ok();
            return Ok(Outcome::Done);
        }
        3 => cx.integer(2)?.max(0),
        _ => return Err(help::wrong_arguments(cx)),
    };
    let entries = cx.core.server.users.denials.newest(usize::try_from(count).unwrap_or(usize::MAX));
    let now_ms = clock::now_ms();
    cx.reply.array(entries.len());
    for entry in entries {
        write_entry(cx, &entry, now_ms);
    }
    Ok(Outcome::Done)
}

fn write_entry(cx: &mut SessionOnly<'_>, entry: &Entry, now_ms: i64) {
    let reply = &mut cx.reply;
    reply.map(10);
    reply.bulk(b"count");
    reply.integer(entry.count as i64);
    let texts: [(&str, &[u8]); 4] = [
        ("reason", entry.denial.reason.name().as_bytes()),
        ("context", entry.denial.place.name().as_bytes()),
        ("object", &entry.denial.object),
        ("username", &entry.denial.user),
    ];
    for (name, value) in texts {
        reply.bulk(name.as_bytes());
        reply.bulk(value);
    }
    reply.bulk(b"age-seconds");
    reply.double((now_ms - entry.updated_ms) as f64 / 1000.0);
    reply.bulk(b"client-info");
    reply.bulk(entry.client.as_bytes());
    for (name, value) in [
        ("entry-id", entry.id as i64),
        ("timestamp-created", entry.created_ms),
        ("timestamp-last-updated", entry.updated_ms),
    ] {
        reply.bulk(name.as_bytes());
        reply.integer(value);
    }
}

fn dryrun(cx: &mut SessionOnly<'_>) -> Run {
    let name = cx.args.get(2);
    let user =
        cx.core.server.users.get(name).ok_or_else(|| CommandError::repeating("ERR User '", name, "' not found"))?;
    let args = cx.args.slice(3..);
    let not_found = || CommandError::repeating("ERR Command '", args.get(0), "' not found");
    let command = table().named_by(args).ok_or_else(not_found)?;
    if !command.allows_arity(args.len()) {
        return Err(CommandError::wrong_arity(&command.full_name));
    }
    match user.allows(&permissions::Asked { command, args }) {
        Ok(()) => cx.reply.ok(),
        Err(denied) => cx.reply.bulk(&reason(&user, command, args, denied)),
    }
    Ok(Outcome::Done)
}

/// Why DRYRUN says that a command is denied: unlike an error, it names the key or the channel.
fn reason(user: &User, command: &super::Command, args: ochre_resp::Args<'_>, denied: Denied) -> Vec<u8> {
    let (index, what) = match denied {
        Denied::Command => return permissions::text(user, command, denied),
        Denied::Key(index) => (index, &b"' key"[..]),
        Denied::Channel(index) => (index, &b"' channel"[..]),
    };
    [b"User ", &user.name[..], b" has no permissions to access the '", args.get(index), what].concat()
}

fn genpass(cx: &mut SessionOnly<'_>) -> Run {
    const WRONG: CommandError = CommandError::text(
        "ERR ACL GENPASS argument must be the number of bits for the output password, a positive number up to 4096",
    );
    let bits = match cx.args.len() {
        2 => 256,
        3 => number::parse_i64(cx.args.get(2)).ok_or(CommandError::NOT_AN_INTEGER)?,
        _ => return Err(help::wrong_arguments(cx)),
    };
    if !(1..=4096).contains(&bits) {
        return Err(WRONG);
    }
    cx.reply.bulk(random::hex((bits as usize).div_ceil(4)).as_bytes());
    Ok(Outcome::Done)
}

fn acl_help(cx: &mut SessionOnly<'_>) -> Run {
    help::write(
        &mut cx.reply,
        "acl",
        &[
            "CAT [<category>]",
            "    List all commands that belong to <category>, or all command categories",
            "    when no category is specified.",
            "DELUSER <username> [<username> ...]",
            "    Delete a list of users.",
            "DRYRUN <username> <command> [<arg> ...]",
            "    Returns whether the user can execute the given command without executing the command.",
            "GETUSER <username>",
            "    Get the user's details.",
            "GENPASS [<bits>]",
            "    Generate a secure 256-bit user password. The optional `bits` argument can",
            "    be used to specify a different size.",
            "LIST",
            "    Show users details in config file format.",
            "LOAD",
            "    Reload users from the ACL file.",
            "LOG [<count> | RESET]",
            "    Show the ACL log entries.",
            "SAVE",
            "    Save the current config to the ACL file.",
            "SETUSER <username> <attribute> [<attribute> ...]",
            "    Create or modify a user with the specified attributes.",
            "USERS",
            "    List all the registered usernames.",
            "WHOAMI",
            "    Return the current connection username.",
        ],
    );
    Ok(Outcome::Done)
}

/// Updates the configuration file to the settings and the users in force (CONFIG REWRITE). Users that are in a file of their own stay there.
pub fn rewrite_configuration(server: &Server) -> Result<(), String> {
    let lines: Option<Vec<Vec<u8>>> = match server.config.current().aclfile {
        Some(_) => None,
        None => Some(server.users.all().iter().map(|user| rules::line_of(user)).collect()),
    };
    server.config.rewrite(lines.as_deref())
}
