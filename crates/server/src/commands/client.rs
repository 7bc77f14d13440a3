//! CLIENT: lists clients, keeps what they say of themselves, and pauses, unblocks or closes them.

mod filter;

use std::time::Duration;

use ochre_datatypes::number;

use self::filter::{ClientFilter, FilterOf};
use super::{
    CommandError, CommandSpec, Flags, Handler,
    context::{Outcome, Run, SessionOnly, Whole},
    help,
    table::{Category, Group},
};
use crate::{
    clock,
    session::{
        Client, ClientFlags, ReplyMode, Session,
        client::{Details, Unblock},
        description::Running,
        pause::PauseMode,
    },
};

const SELF: Flags = Flags::NOSCRIPT.union(Flags::LOADING).union(Flags::STALE);
const OTHERS: Flags = SELF.union(Flags::ADMIN);

/// The fields that the rows of all subcommands share.
const SUBCOMMAND: CommandSpec =
    CommandSpec { flags: SELF, categories: Category::CONNECTION, group: Group::Connection, ..CommandSpec::DEFAULT };

const FILTERS: &str = "[TYPE (NORMAL|MASTER|PRIMARY|REPLICA|PUBSUB)] [ID client-id:integer...] [USER username] [ADDR addr] [LADDR laddr] \
    [SKIPME (YES|NO)] [MAXAGE maxage:integer] [NAME name] [IDLE idle:integer] [FLAGS flags] [LIB-NAME lib-name] [LIB-VER lib-ver] \
    [DB db:integer] [CAPA capa] [IP ip] [NOT-TYPE (NORMAL|MASTER|PRIMARY|REPLICA|PUBSUB)] [NOT-ID not-client-id:integer...] \
    [NOT-USER not-username] [NOT-ADDR not-addr] [NOT-LADDR not-laddr] [NOT-NAME not-name] [NOT-FLAGS not-flags] \
    [NOT-LIB-NAME not-lib-name] [NOT-LIB-VER not-lib-ver] [NOT-DB not-db:integer] [NOT-CAPA not-capa] [NOT-IP not-ip]";

const KILL_FILTERS: &str = "(ip-port|[ID client-id:integer...|TYPE (NORMAL|MASTER|PRIMARY|SLAVE|REPLICA|PUBSUB)|USER username|ADDR addr|\
    LADDR laddr|SKIPME (YES|NO)|MAXAGE maxage:integer|NAME name|IDLE idle:integer|FLAGS flags|LIB-NAME lib-name|LIB-VER lib-ver|\
    DB db:integer|CAPA capa|IP ip|NOT-TYPE (NORMAL|MASTER|PRIMARY|SLAVE|REPLICA|PUBSUB)|NOT-ID not-client-id:integer...|\
    NOT-USER not-username|NOT-ADDR not-addr|NOT-LADDR not-laddr|NOT-NAME not-name|NOT-FLAGS not-flags|NOT-LIB-NAME not-lib-name|\
    NOT-LIB-VER not-lib-ver|NOT-DB not-db:integer|NOT-CAPA not-capa|NOT-IP not-ip]...)";

/// The rows of CLIENT.
pub const ROWS: &[CommandSpec] = &[CommandSpec {
    name: "client",
    arity: -2,
    group: Group::Connection,
    since: "2.4.0",
    complexity: "depends on the subcommand",
    summary: "Contains the commands about clients.",
    subcommands: &[
        CommandSpec {
            name: "caching",
            arity: 3,
            since: "6.0.0",
            summary: "Sets whether the keys of the next command are tracked.",
            syntax: "(YES|NO)",
            handler: Handler::Session(caching),
            ..SUBCOMMAND
        },
        CommandSpec {
            name: "capa",
            arity: -3,
            flags: SUBCOMMAND.flags.union(Flags::ALLOW_BUSY),
            since: "8.0.0",
            summary: "Tells the server what the client is capable of.",
            syntax: "capability...",
            handler: Handler::Session(capa),
            ..SUBCOMMAND
        },
        CommandSpec {
            name: "getname",
            arity: 2,
            since: "2.6.9",
            summary: "Returns the connection's name.",
            handler: Handler::Session(getname),
            ..SUBCOMMAND
        },
        CommandSpec {
            name: "getredir",
            arity: 2,
            since: "6.0.0",
            summary: "Returns the ID of the client that receives the connection's tracking messages.",
            handler: Handler::Session(getredir),
            ..SUBCOMMAND
        },
        CommandSpec {
            name: "help",
            arity: 2,
            flags: Flags::LOADING.union(Flags::STALE),
            since: "5.0.0",
            summary: "Lists the subcommands.",
            handler: Handler::Session(client_help),
            ..SUBCOMMAND
        },
        CommandSpec {
            name: "id",
            arity: 2,
            since: "5.0.0",
            summary: "Returns the connection's ID, which is unique.",
            handler: Handler::Session(id),
            ..SUBCOMMAND
        },
        CommandSpec {
            name: "import-source",
            arity: 3,
            since: "8.1.0",
            summary: "Marks the connection as the source of an import.",
            syntax: "(ON|OFF)",
            handler: Handler::Session(import_source),
            ..SUBCOMMAND
        },
        CommandSpec {
            name: "info",
            arity: 2,
            tips: &["nondeterministic_output"],
            since: "6.2.0",
            summary: "Returns a line that describes the connection.",
            handler: Handler::Session(info),
            ..SUBCOMMAND
        },
        CommandSpec {
            name: "kill",
            arity: -3,
            flags: OTHERS,
            since: "2.4.0",
            complexity: "O(N) with N clients",
            summary: "Closes the connections that match the filters.",
            syntax: KILL_FILTERS,
            handler: Handler::Session(kill),
            ..SUBCOMMAND
        },
        CommandSpec {
            name: "list",
            arity: -2,
            flags: OTHERS,
            tips: &["nondeterministic_output"],
            since: "2.4.0",
            complexity: "O(N) with N clients",
            summary: "Returns a line for each connection that matches the filters.",
            syntax: FILTERS,
            handler: Handler::Session(list),
            ..SUBCOMMAND
        },
        CommandSpec {
            name: "no-evict",
            arity: 3,
            flags: OTHERS,
            since: "7.0.0",
            summary: "Sets whether the connection may be closed to save memory.",
            syntax: "(ON|OFF)",
            handler: Handler::Session(no_evict),
            ..SUBCOMMAND
        },
        CommandSpec {
            name: "no-touch",
            arity: 3,
            since: "7.2.0",
            summary: "Sets whether the connection's commands count as accesses to keys.",
            syntax: "(ON|OFF)",
            handler: Handler::Session(no_touch),
            ..SUBCOMMAND
        },
        CommandSpec {
            name: "pause",
            arity: -3,
            flags: OTHERS,
            since: "3.0.0",
            summary: "Pauses all commands, or those that write, for some time.",
            syntax: "timeout:integer [[WRITE|ALL]]",
            handler: Handler::Whole(pause),
            ..SUBCOMMAND
        },
        CommandSpec {
            name: "reply",
            arity: 3,
            flags: SUBCOMMAND.flags.union(Flags::NO_MULTI),
            since: "3.2.0",
            summary: "Sets whether commands are replied to.",
            syntax: "(ON|OFF|SKIP)",
            handler: Handler::Session(reply),
            ..SUBCOMMAND
        },
        CommandSpec {
            name: "setinfo",
            arity: 4,
            tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
            since: "7.2.0",
            summary: "Sets the name or the version of the client's library.",
            syntax: "(LIB-NAME libname|LIB-VER libver)",
            handler: Handler::Session(setinfo),
            ..SUBCOMMAND
        },
        CommandSpec {
            name: "setname",
            arity: 3,
            tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
            since: "2.6.9",
            summary: "Names the connection.",
            syntax: "connection-name",
            handler: Handler::Session(setname),
            ..SUBCOMMAND
        },
        CommandSpec {
            name: "tracking",
            arity: -3,
            since: "6.0.0",
            complexity: "O(1), and more with some options",
            summary: "Sets whether the client is told when keys that it has read change.",
            syntax: "(ON|OFF) [REDIRECT client-id:integer] [PREFIX prefix]... [BCAST] [OPTIN] [OPTOUT] [NOLOOP]",
            handler: Handler::Session(tracking),
            ..SUBCOMMAND
        },
        CommandSpec {
            name: "trackinginfo",
            arity: 2,
            since: "6.2.0",
            summary: "Returns the state of the connection's tracking.",
            handler: Handler::Session(trackinginfo),
            ..SUBCOMMAND
        },
        CommandSpec {
            name: "unblock",
            arity: -3,
            flags: OTHERS,
            since: "5.0.0",
            complexity: "O(log N) with N clients",
            summary: "Unblocks a client that waits in a blocking command.",
            syntax: "client-id:integer [[TIMEOUT|ERROR]]",
            handler: Handler::Session(unblock),
            ..SUBCOMMAND
        },
        CommandSpec {
            name: "unpause",
            arity: 2,
            flags: OTHERS,
            since: "6.2.0",
            complexity: "O(N) with N paused clients",
            summary: "Ends a CLIENT PAUSE.",
            handler: Handler::Session(unpause),
            ..SUBCOMMAND
        },
    ],
    ..CommandSpec::DEFAULT
}];

/// Checks that a client may have this name: it has no spaces, line ends or special characters, which CLIENT LIST could not show.
pub fn name_is_valid(name: &[u8]) -> Result<(), CommandError> {
    if is_one_word(name) {
        Ok(())
    } else {
        Err(CommandError::text("ERR Client names cannot contain spaces, newlines or special characters."))
    }
}

fn is_one_word(text: &[u8]) -> bool {
    text.iter().all(u8::is_ascii_graphic)
}

/// Sets a client's name. An empty name removes it.
pub fn set_name(session: &Session, name: &[u8]) {
    session.client.change_details(|details| details.name = name.into());
}

fn id(cx: &mut SessionOnly<'_>) -> Run {
    cx.reply.integer(cx.session.client.id as i64);
    Ok(Outcome::Done)
}

fn getname(cx: &mut SessionOnly<'_>) -> Run {
    let details = cx.session.client.details.lock();
    if details.name.is_empty() {
        cx.reply.null()
    } else {
        cx.reply.bulk(&details.name)
    }
    Ok(Outcome::Done)
}

fn setname(cx: &mut SessionOnly<'_>) -> Run {
    let name = cx.args.get(2);
    name_is_valid(name)?;
    set_name(cx.session, name);
    cx.reply.ok();
    Ok(Outcome::Done)
}

fn setinfo(cx: &mut SessionOnly<'_>) -> Run {
    let (option, value) = (cx.args.get(2), cx.args.get(3));
    let destination: fn(&mut Details) -> &mut Box<[u8]> = if cx.is_word(2, "LIB-NAME") {
        |details| &mut details.library_name
    } else if cx.is_word(2, "LIB-VER") {
        |details| &mut details.library_version
    } else {
        return Err(CommandError::repeating("ERR Unrecognized option '", option, "'"));
    };
    if !is_one_word(value) {
        return Err(CommandError::repeating("ERR ", option, " cannot contain spaces, newlines or special characters."));
    }
    cx.session.client.change_details(|details| *destination(details) = value.into());
    cx.reply.ok();
    Ok(Outcome::Done)
}

fn info(cx: &mut SessionOnly<'_>) -> Run {
    let line = describe(cx, &cx.session.client) + "\n";
    cx.reply.verbatim("txt", line.as_bytes());
    Ok(Outcome::Done)
}

/// A client's line. The caller's own line includes the command that runs.
fn describe(cx: &SessionOnly<'_>, client: &Client) -> String {
    let running = Running { command: cx.command, args: cx.args };
    client.description_while(cx.now_ms, (client.id == cx.session.client.id).then_some(running))
}

fn list(cx: &mut SessionOnly<'_>) -> Run {
    let databases = cx.core.config().databases;
    let filter = ClientFilter::parse(cx.args, 2, FilterOf::List, (databases, &cx.core.server.users))?;
    let me = cx.session.client.id;
    let skip_me = filter.skip_me == Some(true);
    let mut lines = String::new();
    for client in cx.core.server.clients.all() {
        let meant = !(client.is_killed() || skip_me && client.id == me);
        if meant && filter.matches(&client, cx.now_ms) {
            lines += &describe(cx, &client);
            lines.push('\n');
        }
    }
    cx.reply.verbatim("txt", lines.as_bytes());
    Ok(Outcome::Done)
}

fn kill(cx: &mut SessionOnly<'_>) -> Run {
    // The old form has an address alone.
    if cx.args.len() == 3 {
        let address = cx.args.get(2);
        let clients = cx.core.server.clients.all();
        let Some(client) = clients.iter().find(|client| !client.is_killed() && client.address.as_bytes() == address)
        else {
            return Err(CommandError::text("ERR No such client"));
        };
        cx.reply.ok();
        return Ok(end(cx, client));
    }
    let databases = cx.core.config().databases;
    let filter = ClientFilter::parse(cx.args, 2, FilterOf::Kill, (databases, &cx.core.server.users))?;
    let me = cx.session.client.id;
    let skip_me = filter.skip_me != Some(false);
    let mut killed = 0;
    let mut outcome = Outcome::Done;
    for client in cx.core.server.clients.all() {
        let meant = !(client.is_killed() || skip_me && client.id == me);
        if meant && filter.matches(&client, cx.now_ms) {
            killed += 1;
            if let Outcome::Close = end(cx, &client) {
                outcome = Outcome::Close;
            }
        }
    }
    cx.reply.integer(killed);
    Ok(outcome)
}

/// Closes a client: another client at once, the caller after the reply.
fn end(cx: &SessionOnly<'_>, client: &Client) -> Outcome {
    if client.id == cx.session.client.id {
        return Outcome::Close;
    }
    client.kill();
    Outcome::Done
}

/// Parses ON or OFF at argument 2.
fn switch(cx: &SessionOnly<'_>) -> Result<bool, CommandError> {
    match () {
        () if cx.is_word(2, "ON") => Ok(true),
        () if cx.is_word(2, "OFF") => Ok(false),
        () => Err(CommandError::SYNTAX),
    }
}

fn no_evict(cx: &mut SessionOnly<'_>) -> Run {
    cx.session.client.set_flag(ClientFlags::NO_EVICT, switch(cx)?);
    cx.reply.ok();
    Ok(Outcome::Done)
}

fn no_touch(cx: &mut SessionOnly<'_>) -> Run {
    let on = switch(cx)?;
    cx.session.no_touch = on;
    cx.session.client.set_flag(ClientFlags::NO_TOUCH, on);
    cx.reply.ok();
    Ok(Outcome::Done)
}

fn reply(cx: &mut SessionOnly<'_>) -> Run {
    if cx.is_word(2, "ON") {
        cx.session.reply_mode = ReplyMode::On;
        cx.reply.ok();
    } else if cx.is_word(2, "OFF") {
        cx.session.reply_mode = ReplyMode::Off;
    } else if cx.is_word(2, "SKIP") {
        if cx.session.reply_mode != ReplyMode::Off {
            cx.session.reply_mode = ReplyMode::SkipNext;
        }
    } else {
        return Err(CommandError::SYNTAX);
    }
    Ok(Outcome::Done)
}

/// A pause begins with the gate closed. Commands that were checked before and have not begun are checked again (`request/locks.rs`), so
/// that nothing is written after CLIENT PAUSE has replied.
fn pause(cx: &mut Whole<'_>) -> Run {
    let mode = match cx.args.len() {
        3 => PauseMode::All,
        4 if cx.is_word(3, "ALL") => PauseMode::All,
        4 if cx.is_word(3, "WRITE") => PauseMode::Write,
        4 => return Err(CommandError::text("ERR CLIENT PAUSE mode must be WRITE or ALL")),
        _ => return Err(help::wrong_arguments(cx)),
    };
    let timeout_ms =
        number::parse_i64(cx.args.get(2)).ok_or(CommandError::text("ERR timeout is not an integer or out of range"))?;
    if timeout_ms < 0 {
        return Err(CommandError::text("ERR timeout is negative"));
    }
    let until_ms = clock::now_ms().checked_add(timeout_ms).ok_or(CommandError::text("ERR timeout is out of range"))?;
    let server = cx.core.server.clone();
    server.pause.begin(mode, until_ms);
    let (_, rest_ms) = server.pause.state();
    tokio::task::spawn_local(async move {
        tokio::time::sleep(Duration::from_millis(rest_ms.unsigned_abs())).await;
        server.pause.end_if_over();
        server.wake_expiry();
    });
    cx.reply.ok();
    Ok(Outcome::Done)
}

fn unpause(cx: &mut SessionOnly<'_>) -> Run {
    cx.core.server.pause.end();
    cx.core.server.wake_expiry();
    cx.reply.ok();
    Ok(Outcome::Done)
}

fn unblock(cx: &mut SessionOnly<'_>) -> Run {
    let how = match cx.args.len() {
        3 => Unblock::Timeout,
        4 if cx.is_word(3, "TIMEOUT") => Unblock::Timeout,
        4 if cx.is_word(3, "ERROR") => Unblock::Error,
        4 => return Err(CommandError::text("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR")),
        _ => return Err(help::wrong_arguments(cx)),
    };
    let id = u64::try_from(cx.integer(2)?).ok();
    let client = id.and_then(|id| cx.core.server.clients.get(id));
    let unblocked = client.is_some_and(|client| client.unblock(how));
    cx.reply.integer(i64::from(unblocked));
    Ok(Outcome::Done)
}

fn getredir(cx: &mut SessionOnly<'_>) -> Run {
    cx.reply.integer(-1);
    Ok(Outcome::Done)
}

fn trackinginfo(cx: &mut SessionOnly<'_>) -> Run {
    cx.reply.map(3);
    cx.reply.bulk(b"flags");
    cx.reply.set(1);
    cx.reply.bulk(b"off");
    cx.reply.bulk(b"redirect");
    cx.reply.integer(-1);
    cx.reply.bulk(b"prefixes");
    cx.reply.array(0);
    Ok(Outcome::Done)
}

fn tracking(cx: &mut SessionOnly<'_>) -> Run {
    if switch(cx)? {
        return Err(CommandError::text(
            "ERR client-side caching is not supported yet: CLIENT TRACKING cannot be turned on",
        ));
    }
    cx.reply.ok();
    Ok(Outcome::Done)
}

fn caching(_cx: &mut SessionOnly<'_>) -> Run {
    Err(CommandError::text(
        "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled",
    ))
}

/// Valkey's CLIENT CAPA. Unknown capabilities are accepted, since later servers may know them.
fn capa(cx: &mut SessionOnly<'_>) -> Run {
    if cx.args.iter().skip(2).any(|word| word.eq_ignore_ascii_case(b"redirect")) {
        cx.session.client.change_details(|details| details.capabilities = "r".into());
    }
    cx.reply.ok();
    Ok(Outcome::Done)
}

/// Valkey's CLIENT IMPORT-SOURCE. Ochre has no import mode.
fn import_source(cx: &mut SessionOnly<'_>) -> Run {
    if !cx.is_word(2, "OFF") {
        return Err(CommandError::text("ERR Server is not in import mode"));
    }
    cx.session.client.set_flag(ClientFlags::IMPORT_SOURCE, false);
    cx.reply.ok();
    Ok(Outcome::Done)
}

fn client_help(cx: &mut SessionOnly<'_>) -> Run {
    help::write(
        &mut cx.reply,
        "client",
        &[
            "CACHING (YES|NO)",
            "    Say whether the keys of the next command are tracked, in the modes OPTIN and OPTOUT.",
            "CAPA <option> [<option> ...]",
            "    Say what the client is capable of: REDIRECT.",
            "GETREDIR",
            "    Show the ID of the client that tracking messages go to.",
            "GETNAME",
            "    Show the name of this connection.",
            "ID",
            "    Show the ID of this connection.",
            "IMPORT-SOURCE (ON|OFF)",
            "    Mark this connection as the source of an import.",
            "INFO",
            "    Describe this connection.",
            "KILL <ip:port>",
            "    Close the connection from an address.",
            "KILL <option> <value> [<option> <value> [...]]",
            "    Close the connections that meet all conditions, which are those of LIST.",
            "    SKIPME is yes unless it is given.",
            "LIST [<option> <value> [...]]",
            "    Describe the connections that meet all conditions:",
            "    * ID <client-id> [<client-id> ...]",
            "    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)",
            "    * ADDR (<ip:port>|<unixsocket>:0), LADDR likewise for our side, IP <ip>",
            "    * USER, NAME, LIB-NAME, LIB-VER <text>",
            "    * DB <index>, FLAGS <letters>, CAPA <letters>",
            "    * MAXAGE <seconds>, IDLE <seconds>: not younger, or not active, for so long",
            "    * NOT-<option> <value>, for all but the last two: those that do not meet it",
            "    * SKIPME (YES|NO): without this connection (default: no)",
            "NO-EVICT (ON|OFF)",
            "    Say whether this connection is safe from being closed to save memory.",
            "NO-TOUCH (ON|OFF)",
            "    Say whether commands of this connection leave the access clocks of keys alone.",
            "PAUSE <timeout> [WRITE|ALL]",
            "    Hold up all commands, or those that write, for a number of milliseconds.",
            "REPLY (ON|OFF|SKIP)",
            "    Say whether commands of this connection are answered.",
            "SETINFO <option> <value>",
            "    Note LIB-NAME or LIB-VER, the client's library.",
            "SETNAME <name>",
            "    Name this connection.",
            "TRACKING (ON|OFF) [REDIRECT <id>] [BCAST] [PREFIX <prefix> [...]]",
            "         [OPTIN] [OPTOUT] [NOLOOP]",
            "    Say whether this client is told when keys that it has read change.",
            "TRACKINGINFO",
            "    Tell about the tracking of this connection.",
            "UNBLOCK <clientid> [TIMEOUT|ERROR]",
            "    End the wait of a client in a blocking command.",
            "UNPAUSE",
            "    End a pause.",
        ],
    );
    Ok(Outcome::Done)
}
