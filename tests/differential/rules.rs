//! The rules of the differential test: what it does not draw, what it compares loosely, and where Ochre differs on purpose. Each rule has a
//! row with the reason. Everything without a row must be equal byte for byte.

use ochre_testkit::command_table::CommandTable;
use ochre_testkit::{Kind, Reply};

use crate::values;

/// Commands that are never drawn. The name of a container stands for all its subcommands.
const NOT_DRAWN: &[(&str, &str)] = &[
    ("acl", "changes permissions; has transcripts of its own"),
    ("auth", "its errors name the configuration; has transcripts of its own"),
    ("asking", "only has a meaning in cluster mode"),
    ("bgrewriteaof", "writes files in the background"),
    ("bgsave", "writes files in the background"),
    ("blmove", "waits; blocking has transcripts of its own"),
    ("blmpop", "waits; blocking has transcripts of its own"),
    ("blpop", "waits; blocking has transcripts of its own"),
    ("brpop", "waits; blocking has transcripts of its own"),
    ("brpoplpush", "waits; blocking has transcripts of its own"),
    ("bzmpop", "waits; blocking has transcripts of its own"),
    ("bzpopmax", "waits; blocking has transcripts of its own"),
    ("bzpopmin", "waits; blocking has transcripts of its own"),
    ("client|caching", "belongs to tracking, whose pushes come at other moments"),
    ("client|no-evict", "changes nothing that a reply shows; its syntax is in transcripts"),
    ("client|reply", "suppresses replies"),
    ("client|tracking", "makes pushes come at other moments"),
    ("client|unblock", "names clients by number"),
    ("cluster", "outside of a cluster, replies depend on the configuration; has transcripts of its own"),
    ("clusterscan", "only has a meaning in cluster mode"),
    ("command|docs", "compared by the command_info test, as a whole"),
    ("command|info", "compared by the command_info test"),
    ("command", "compared by the command_info test"),
    ("command|count", "the number of commands is each server's own"),
    ("command|list", "the list of commands is each server's own"),
    ("command|help", "help texts are each server's own"),
    ("commandlog", "shows durations"),
    ("config|rewrite", "writes the configuration file"),
    ("failover", "changes the server's role"),
    ("function|list", "Redis's error breaks the protocol if an argument has a line break; has transcripts"),
    ("hrandfield", "a negative count asks for billions of elements; has transcripts of its own"),
    ("latency", "shows durations"),
    ("lolwut", "a picture with the version"),
    ("migrate", "connects to another server"),
    ("module", "loads code"),
    ("monitor", "sends every command to the client"),
    ("pfdebug", "shows internals"),
    ("pfselftest", "takes seconds"),
    ("psubscribe", "answers once a channel; drawn by the pub/sub part"),
    ("psync", "turns the connection into a replica's"),
    ("punsubscribe", "answers once a channel; drawn by the pub/sub part"),
    ("quit", "closes the connection; the protocol test has it"),
    ("readonly", "only has a meaning in cluster mode; has transcripts of its own"),
    ("readwrite", "only has a meaning in cluster mode; has transcripts of its own"),
    ("replconf", "the replicas' own protocol"),
    ("replicaof", "changes the server's role"),
    ("restore-asking", "only has a meaning in cluster mode"),
    ("save", "writes files"),
    ("script|debug", "takes the connection over"),
    ("shutdown", "ends the server"),
    ("slaveof", "changes the server's role"),
    ("slowlog", "shows durations"),
    ("spop", "removes members at random; has transcripts of its own"),
    ("srandmember", "a negative count asks for billions of elements; has transcripts of its own"),
    ("ssubscribe", "answers once a channel; drawn by the pub/sub part"),
    ("subscribe", "answers once a channel; drawn by the pub/sub part"),
    ("sunsubscribe", "answers once a channel; drawn by the pub/sub part"),
    ("sync", "turns the connection into a replica's"),
    ("unsubscribe", "answers once a channel; drawn by the pub/sub part"),
    ("wait", "waits for replicas, and 0 is for ever"),
    ("waitaof", "waits for replicas, and 0 is for ever"),
    ("zrandmember", "a negative count asks for billions of elements; has transcripts of its own"),
];

/// Tokens that are not drawn although their command is: the command, the token and the reason.
const TOKENS_NOT_DRAWN: &[(&str, &str, &str)] = &[
    ("hello", "AUTH", "a wrong password inside EXEC makes Redis answer one reply too few; has transcripts of its own"),
    ("hsetex", "NX", "only Valkey has it, whose refusals and encodings are not Redis's; has transcripts of its own"),
    ("hsetex", "XX", "only Valkey has it, whose refusals and encodings are not Redis's; has transcripts of its own"),
    ("sort", "BY", "the order of elements of equal weight depends on their addresses"),
    ("sort_ro", "BY", "the order of elements of equal weight depends on their addresses"),
    ("xadd", "*", "the ID depends on the clock"),
    ("xread", "BLOCK", "waits; blocking has transcripts of its own"),
    ("xreadgroup", "BLOCK", "waits; blocking has transcripts of its own"),
];

/// Requests that are not drawn for comparison with the reference `beside`, or with either if that is `None`.
struct NotDrawn {
    command: &'static str,
    beside: Option<Kind>,
    when: fn(&[Vec<u8>]) -> bool,
    #[allow(dead_code, reason = "the reason is for the reader of this table")]
    why: &'static str,
}

const REQUESTS_NOT_DRAWN: &[NotDrawn] = &[
    NotDrawn {
        command: "geosearchstore",
        beside: Some(Kind::Valkey),
        when: has_hexadecimal,
        why: "Valkey does not parse hexadecimal doubles, so it stores something else",
    },
    NotDrawn {
        command: "hsetex",
        beside: Some(Kind::Valkey),
        when: |_| true,
        why: "Valkey's errors and encodings differ from Redis's, with which it is compared",
    },
    NotDrawn {
        command: "lset",
        beside: None,
        when: |arguments| arguments.get(2).is_some_and(|index| values::is_wider_than_32_bits(index)),
        why: "the references truncate an index to 32 bits and set another element; Ochre answers that the index is out of range",
    },
];

/// Commands that are drawn but cannot succeed, so coverage does not require it.
const NEVER_SUCCEEDS: &[(&str, &str)] = &[
    ("object|freq", "answers only under an LFU policy; has transcripts of its own"),
    ("fcall", "needs a library; has transcripts of its own"),
    ("fcall_ro", "needs a library; has transcripts of its own"),
    ("evalsha", "needs a known script; has transcripts of its own"),
    ("evalsha_ro", "needs a known script; has transcripts of its own"),
    ("function|kill", "needs a running function"),
    ("function|delete", "needs a library; has transcripts of its own"),
    ("function|load", "needs a library's code; has transcripts of its own"),
    ("function|restore", "needs bytes from FUNCTION DUMP"),
    ("script|kill", "needs a running script"),
    ("script|show", "needs a known script; has transcripts of its own"),
];

/// How two successful replies are compared. Errors are always compared exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Looseness {
    /// The same elements in any order.
    AnyOrder,
    /// The same pairs in any order.
    AnyOrderOfPairs,
    /// Numbers that differ by this much at most, since they depend on a clock. Negative numbers must be equal.
    Near(i64),
    /// The same kind of reply.
    Kind,
}

const LOOSE: &[(&str, Looseness, &str)] = &[
    ("client|getredir", Looseness::Kind, "a number that the server chose"),
    ("client|help", Looseness::Kind, "help texts are each server's own"),
    ("client|id", Looseness::Kind, "a number that the server chose"),
    ("client|info", Looseness::Kind, "shows addresses and ages; its fields have transcripts"),
    ("client|list", Looseness::Kind, "shows addresses and ages"),
    ("client|trackinginfo", Looseness::AnyOrder, "a set of flags"),
    ("config|get", Looseness::AnyOrderOfPairs, "a table's order is its own"),
    ("config|help", Looseness::Kind, "help texts are each server's own"),
    ("dump", Looseness::Kind, "the version in its bytes is each server's own; the payloads test compares them"),
    ("expiretime", Looseness::Near(2), "a relative period counts from when each server got it"),
    ("function|help", Looseness::Kind, "help texts are each server's own"),
    ("function|stats", Looseness::Kind, "names the engines"),
    ("hello", Looseness::Kind, "names the server and its version; has transcripts of its own"),
    ("hgetall", Looseness::AnyOrderOfPairs, "a table's order is its own"),
    ("hkeys", Looseness::AnyOrder, "a table's order is its own"),
    ("hpexpiretime", Looseness::Near(2000), "a relative period counts from when each server got it"),
    ("hexpiretime", Looseness::Near(2), "a relative period counts from when each server got it"),
    ("hpttl", Looseness::Near(2000), "time passes"),
    ("hscan", Looseness::Kind, "a table's order is its own; full iterations have a test of their own"),
    ("httl", Looseness::Near(2), "time passes"),
    ("hvals", Looseness::AnyOrder, "a table's order is its own"),
    ("info", Looseness::Kind, "figures of the server itself; its fields have transcripts"),
    ("keys", Looseness::AnyOrder, "a table's order is its own"),
    ("lastsave", Looseness::Kind, "a clock"),
    ("memory|doctor", Looseness::Kind, "a text about the server's own memory"),
    ("memory|help", Looseness::Kind, "help texts are each server's own"),
    ("memory|malloc-stats", Looseness::Kind, "figures of the allocator"),
    ("memory|stats", Looseness::Kind, "figures of the server itself"),
    ("memory|usage", Looseness::Kind, "Ochre's entries have other sizes on purpose"),
    ("object|help", Looseness::Kind, "help texts are each server's own"),
    ("object|idletime", Looseness::Near(2), "time passes"),
    ("object|refcount", Looseness::Kind, "which values are shared is each server's own"),
    ("pexpiretime", Looseness::Near(2000), "a relative period counts from when each server got it"),
    ("pttl", Looseness::Near(2000), "time passes"),
    ("pubsub|channels", Looseness::AnyOrder, "a table's order is its own"),
    ("pubsub|help", Looseness::Kind, "help texts are each server's own"),
    ("pubsub|shardchannels", Looseness::AnyOrder, "a table's order is its own"),
    ("randomkey", Looseness::Kind, "random"),
    ("scan", Looseness::Kind, "a table's order is its own; full iterations have a test of their own"),
    ("script|help", Looseness::Kind, "help texts are each server's own"),
    ("sdiff", Looseness::AnyOrder, "a set's order is its own"),
    ("sinter", Looseness::AnyOrder, "a set's order is its own"),
    ("smembers", Looseness::AnyOrder, "a set's order is its own"),
    ("sscan", Looseness::Kind, "a table's order is its own; full iterations have a test of their own"),
    ("sunion", Looseness::AnyOrder, "a set's order is its own"),
    ("time", Looseness::Kind, "a clock"),
    ("ttl", Looseness::Near(2), "time passes"),
    ("xgroup|help", Looseness::Kind, "help texts are each server's own"),
    ("xinfo|consumers", Looseness::Near(5000), "shows idle times"),
    ("xinfo|help", Looseness::Kind, "help texts are each server's own"),
    ("xinfo|stream", Looseness::Near(5000), "shows times of deliveries"),
    ("xpending", Looseness::Near(5000), "shows idle times"),
    ("zscan", Looseness::Kind, "a table's order is its own; full iterations have a test of their own"),
];

/// A reply that differs from a reference's on purpose, for example since Ochre follows the other reference.
struct Allowed {
    command: &'static str,
    /// The reference that Ochre differs from. `None` means both.
    from: Option<Kind>,
    /// Whether the row applies, by the arguments, Ochre's reply and the reference's reply.
    when: fn(&[Vec<u8>], &Reply, &Reply) -> bool,
    /// The reason.
    #[allow(dead_code, reason = "the reason is for the reader of this table")]
    why: &'static str,
}

const ALLOWED: &[Allowed] = &[
    Allowed {
        command: "client|setname",
        from: None,
        when: |arguments, ours, _| has_zero_byte(arguments) && ours.is_error(),
        why: "the references check a name only up to its first zero byte, and so accept names that break the format of CLIENT LIST",
    },
    Allowed {
        command: "client|getname",
        from: None,
        when: |_, _, theirs| theirs.as_bytes().is_some_and(|name| name.contains(&0)),
        why: "as for CLIENT SETNAME",
    },
    Allowed {
        command: "hello",
        from: None,
        when: |arguments, ours, _| has_zero_byte(arguments) && ours.is_error(),
        why: "as for CLIENT SETNAME",
    },
    Allowed {
        command: "client|setinfo",
        from: None,
        when: |arguments, ours, _| has_zero_byte(arguments) && ours.is_error(),
        why: "as for CLIENT SETNAME",
    },
    Allowed {
        command: "client|kill",
        from: Some(Kind::Valkey),
        when: |_, ours, theirs| ours.is_error() && theirs.is_error(),
        why: "Valkey's error for a wrong ID has another text; Ochre has Redis's",
    },
    Allowed {
        command: "client|list",
        from: Some(Kind::Valkey),
        when: |_, ours, theirs| {
            let names_client = |reply: &Reply| reply.is_error() && reply.to_text().contains("client");
            ours.is_error() != theirs.is_error() || names_client(ours) || names_client(theirs)
        },
        why: "Redis accepts the ID 0 and refuses an empty list of IDs, Valkey the opposite; Ochre does as Redis",
    },
    Allowed {
        command: "client|list",
        from: Some(Kind::Valkey),
        when: |arguments, ours, theirs| has_zero_byte(arguments) && ours.is_error() && theirs.is_error(),
        why: "Valkey reads letters only up to the first zero byte",
    },
    Allowed {
        command: "client|list",
        from: Some(Kind::Redis),
        when: |_, _, theirs| theirs.is_error(),
        why: "Ochre accepts Valkey's filters, any number of them; Redis accepts one",
    },
    Allowed {
        command: "geosearch",
        from: Some(Kind::Valkey),
        when: |arguments, ours, theirs| ours.is_error() && theirs.is_error() || has_hexadecimal(arguments),
        why: "Valkey's errors have other texts here, and it does not parse hexadecimal doubles",
    },
    Allowed {
        command: "geosearch",
        from: Some(Kind::Valkey),
        when: |arguments, _, _| arguments.iter().any(|argument| argument.eq_ignore_ascii_case(b"WITHCOORD")),
        why: "Valkey truncates coordinates after seventeen decimals; Ochre does as Redis, with which they are compared",
    },
    Allowed {
        command: "geosearchstore",
        from: Some(Kind::Valkey),
        when: |arguments, ours, theirs| ours.is_error() && theirs.is_error() || has_hexadecimal(arguments),
        why: "as for GEOSEARCH",
    },
    Allowed {
        command: "object|encoding",
        from: Some(Kind::Valkey),
        when: |_, ours, theirs| same_encoding(Kind::Valkey, ours, theirs),
        why: "Valkey embeds strings of other lengths than Redis",
    },
];

/// Whether a key may have these encodings on the two servers. Valkey embeds strings of other lengths than Redis does.
pub fn same_encoding(reference: Kind, ours: &Reply, theirs: &Reply) -> bool {
    let is_text = |encoding: &Reply| ["raw", "embstr"].contains(&encoding.to_text().as_str());
    ours == theirs || (reference == Kind::Valkey && is_text(ours) && is_text(theirs))
}

fn has_hexadecimal(arguments: &[Vec<u8>]) -> bool {
    arguments.iter().any(|argument| argument.starts_with(b"0x"))
}

fn has_zero_byte(arguments: &[Vec<u8>]) -> bool {
    arguments.iter().any(|argument| argument.contains(&0))
}

/// Whether two errors differ only after a zero byte in an argument. The references copy arguments into errors as C strings, which end at
/// the first zero byte. Ochre shows the whole argument.
fn differs_after_zero_byte(arguments: &[Vec<u8>], ours: &Reply, theirs: &Reply) -> bool {
    let (Reply::Error(ours), Reply::Error(theirs)) = (ours, theirs) else {
        return false;
    };
    arguments.iter().filter(|argument| argument.contains(&0)).any(|argument| {
        let length = argument.iter().take_while(|byte| **byte != 0).count();
        let at = ours.windows(argument.len()).position(|window| window == argument);
        at.is_some_and(|at| [&ours[..at + length], &ours[at + argument.len()..]].concat() == *theirs)
    })
}

/// The reason if a command is not drawn.
pub fn not_drawn(name: &str) -> Option<&'static str> {
    let container = name.split('|').next().unwrap_or(name);
    let found = NOT_DRAWN.iter().find(|(row, _)| *row == name || (*row == container && *row != "command"));
    found.map(|(_, why)| *why)
}

/// Whether a token of a command is drawn.
pub fn token_is_drawn(name: &str, token: &str) -> bool {
    !TOKENS_NOT_DRAWN.iter().any(|(command, row, _)| *command == name && row.eq_ignore_ascii_case(token))
}

/// Whether a request is drawn for comparison with a reference.
pub fn request_is_drawn(name: &str, arguments: &[Vec<u8>], reference: Kind) -> bool {
    !REQUESTS_NOT_DRAWN
        .iter()
        .any(|row| row.command == name && row.beside.is_none_or(|kind| kind == reference) && (row.when)(arguments))
}

/// The reason if coverage does not require that a command succeeds.
pub fn never_succeeds(name: &str) -> Option<&'static str> {
    NEVER_SUCCEEDS.iter().find(|(row, _)| *row == name).map(|(_, why)| *why)
}

/// The name of the command or subcommand that a request calls, as in the tables above.
pub fn name_of(table: &CommandTable, arguments: &[Vec<u8>]) -> String {
    let word = |index: usize| {
        let bytes: &[u8] = arguments.get(index).map_or(b"", |argument| argument);
        String::from_utf8_lossy(bytes).to_ascii_lowercase()
    };
    let name = word(0);
    let full = format!("{name}|{}", word(1));
    if table.get(&full).is_some() { full } else { name }
}

/// Whether a command's replies are compared loosely.
pub fn is_loose(name: &str) -> bool {
    LOOSE.iter().any(|(row, _, _)| *row == name)
}

/// Whether Ochre's reply to a request is acceptable, given the reference's reply.
pub fn same(name: &str, arguments: &[Vec<u8>], reference: Kind, ours: &Reply, theirs: &Reply) -> bool {
    if ours == theirs {
        return true;
    }
    let loosely = LOOSE.iter().find(|(row, _, _)| *row == name);
    if let Some((_, looseness, _)) = loosely
        && !ours.is_error()
        && !theirs.is_error()
        && loosely_same(*looseness, ours, theirs)
    {
        return true;
    }
    differs_after_zero_byte(arguments, ours, theirs)
        || ALLOWED.iter().any(|row| {
            row.command == name && row.from.is_none_or(|kind| kind == reference) && (row.when)(arguments, ours, theirs)
        })
}

fn loosely_same(looseness: Looseness, ours: &Reply, theirs: &Reply) -> bool {
    let same_kind = std::mem::discriminant(ours) == std::mem::discriminant(theirs);
    match looseness {
        Looseness::Kind => {
            // A random reply is empty on both servers or on neither.
            same_kind && ours.items().is_empty() == theirs.items().is_empty()
        }
        Looseness::AnyOrder => {
            let (mut ours, mut theirs) = (ours.items(), theirs.items());
            ours.sort();
            theirs.sort();
            same_kind && ours == theirs
        }
        Looseness::AnyOrderOfPairs => {
            let (mut ours, mut theirs) = (ours.pairs(), theirs.pairs());
            ours.sort();
            theirs.sort();
            same_kind && ours == theirs
        }
        Looseness::Near(distance) => match (ours, theirs) {
            (Reply::Integer(ours), Reply::Integer(theirs)) => near(*ours, *theirs, distance),
            (Reply::Array(ours), Reply::Array(theirs)) => {
                ours.len() == theirs.len()
                    && ours
                        .iter()
                        .zip(theirs)
                        .all(|(ours, theirs)| ours == theirs || loosely_same(looseness, ours, theirs))
            }
            (Reply::Map(ours), Reply::Map(theirs)) => {
                ours.len() == theirs.len()
                    && ours.iter().zip(theirs).all(|((name, ours), (other_name, theirs))| {
                        name == other_name && (ours == theirs || loosely_same(looseness, ours, theirs))
                    })
            }
            _ => false,
        },
    }
}

/// Whether two numbers are near each other. A negative number has a special meaning (no such key, no expiry), so it is near only to itself.
pub fn near(ours: i64, theirs: i64, distance: i64) -> bool {
    ours == theirs || (ours >= 0 && theirs >= 0 && ours.abs_diff(theirs) <= distance.unsigned_abs())
}
