//! The rules of the differential test: what it does not draw, and what it compares loosely. Each rule has a row with the reason. Where Ochre
//! means to differ is in `ochre_testkit::differences`. Everything else must be equal byte for byte.

use ochre_testkit::command_table::CommandTable;
use ochre_testkit::{Kind, Reply, differences};

/// Commands that are never drawn. The name of a container stands for all its subcommands.
const NOT_DRAWN: &[(&str, &str)] = &[
    ("acl", "changes permissions; the acl test draws rules and commands"),
    ("auth", "its errors name the configuration; the acl test has them"),
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
    (
        "function|dump",
        Looseness::Kind,
        "the version in its bytes is each server's own; tests/functions.rs exchanges them",
    ),
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
    differences::is_intended(name, arguments, reference, ours, theirs)
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
