//! What the differential test does not draw, what it compares loosely, and where Ochre means to differ: one row each, with
//! the reason. Whatever has no row here must be the same, byte for byte.

use ochre_testkit::command_table::CommandTable;
use ochre_testkit::{Kind, Reply};

use crate::values;

/// Commands (a container's name stands for all its subcommands) that are never drawn.
const NOT_DRAWN: &[(&str, &str)] = &[
    ("acl", "changes who may do what; has transcripts of its own"),
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
    ("client|no-evict", "changes nothing that a reply shows, but its syntax is in transcripts"),
    ("client|reply", "makes replies not come"),
    ("client|tracking", "makes pushes come at other moments"),
    ("client|unblock", "names clients by number"),
    ("cluster", "a server that is no cluster answers from its configuration; has transcripts of its own"),
    ("clusterscan", "only has a meaning in cluster mode"),
    ("command|docs", "compared by the command_info test, as a whole"),
    ("command|info", "compared by the command_info test"),
    ("command", "compared by the command_info test"),
    ("command|count", "the number of commands is each server's own"),
    ("command|list", "the list of commands is each server's own"),
    ("command|help", "help texts are each server's own"),
    ("commandlog", "shows durations"),
    ("config|rewrite", "writes the configuration file"),
    ("dump", "its bytes depend on the RDB version; has transcripts of its own"),
    ("failover", "changes the server's role"),
    ("function|list", "Redis's error breaks the protocol where an argument holds a line break; has transcripts"),
    ("hrandfield", "a negative count asks for billions of elements; has transcripts of its own"),
    ("latency", "shows durations"),
    ("lolwut", "a picture with the version"),
    ("migrate", "connects to another server"),
    ("module", "loads code"),
    ("monitor", "makes every command come as a push"),
    ("pfdebug", "shows the insides"),
    ("pfselftest", "takes seconds"),
    ("psubscribe", "answers once a channel; drawn by the pub/sub part"),
    ("psync", "turns the connection into a replica's"),
    ("punsubscribe", "answers once a channel; drawn by the pub/sub part"),
    ("quit", "closes the connection; the protocol test has it"),
    ("readonly", "only has a meaning in cluster mode; has transcripts of its own"),
    ("readwrite", "only has a meaning in cluster mode; has transcripts of its own"),
    ("replconf", "the replicas' own protocol"),
    ("replicaof", "changes the server's role"),
    ("restore", "needs bytes from DUMP; has transcripts of its own"),
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

/// Tokens that are not drawn where their command is.
const TOKENS_NOT_DRAWN: &[(&str, &str, &str)] = &[
    ("hello", "AUTH", "a wrong password inside EXEC makes Redis answer one reply too few; has transcripts of its own"),
    ("hsetex", "NX", "only Valkey has it, whose refusals and encodings are not Redis's; has transcripts of its own"),
    ("hsetex", "XX", "only Valkey has it, whose refusals and encodings are not Redis's; has transcripts of its own"),
    ("sort", "BY", "elements of equal weight come in an order that depends on where they lie in memory"),
    ("sort_ro", "BY", "elements of equal weight come in an order that depends on where they lie in memory"),
    ("xadd", "*", "an ID from the clock"),
    ("xread", "BLOCK", "waits; blocking has transcripts of its own"),
    ("xreadgroup", "BLOCK", "waits; blocking has transcripts of its own"),
];

/// Requests that are not drawn beside a reference server, or beside both where none is named.
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
        why: "Valkey reads no hexadecimal doubles, so that what is stored differs",
    },
    NotDrawn {
        command: "hsetex",
        beside: Some(Kind::Valkey),
        when: |_| true,
        why: "Valkey's refusals and encodings are not Redis's, beside which it is drawn",
    },
    NotDrawn {
        command: "lset",
        beside: None,
        when: |arguments| arguments.get(2).is_some_and(|index| values::is_wider_than_32_bits(index)),
        why: "the references cut an index to 32 bits and set some other element; Ochre says that there is none",
    },
];

/// Drawn commands of which a success cannot be had, so that coverage does not ask for one.
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
    /// Numbers that a clock moved apart, by this much at most; a negative one must be the same.
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
    ("memory|doctor", Looseness::Kind, "words about the server's own memory"),
    ("memory|help", Looseness::Kind, "help texts are each server's own"),
    ("memory|malloc-stats", Looseness::Kind, "figures of the allocator"),
    ("memory|stats", Looseness::Kind, "figures of the server itself"),
    ("memory|usage", Looseness::Kind, "Ochre's entries have other sizes, which is the point"),
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

/// Where Ochre means to differ from a reference server, or follows the other one.
struct Allowed {
    command: &'static str,
    /// The reference it differs from; both where there is none.
    from: Option<Kind>,
    /// Arguments, Ochre's reply, the reference's reply.
    when: fn(&[Vec<u8>], &Reply, &Reply) -> bool,
    /// The reason; only people read it.
    #[allow(dead_code, reason = "the reason is for the reader of this table")]
    why: &'static str,
}

const ALLOWED: &[Allowed] = &[
    Allowed {
        command: "client|setname",
        from: None,
        when: |arguments, ours, _| has_zero_byte(arguments) && ours.is_error(),
        why: "the references look at a name up to its first zero byte only, and then list a name that breaks the list",
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
        why: "Valkey refuses a wrong ID in other words; Ochre has Redis's",
    },
    Allowed {
        command: "client|list",
        from: Some(Kind::Valkey),
        when: |_, ours, theirs| {
            let names_client = |reply: &Reply| reply.is_error() && reply.to_text().contains("client");
            ours.is_error() != theirs.is_error() || names_client(ours) || names_client(theirs)
        },
        why: "Redis takes an ID of 0 and no empty list of IDs, Valkey the opposite; Ochre does what Redis does",
    },
    Allowed {
        command: "client|list",
        from: Some(Kind::Valkey),
        when: |arguments, ours, theirs| has_zero_byte(arguments) && ours.is_error() && theirs.is_error(),
        why: "Valkey looks at letters up to the first zero byte only",
    },
    Allowed {
        command: "client|list",
        from: Some(Kind::Redis),
        when: |_, _, theirs| theirs.is_error(),
        why: "Ochre takes Valkey's filters, any number of them, where Redis takes one",
    },
    Allowed {
        command: "geosearch",
        from: Some(Kind::Valkey),
        when: |arguments, ours, theirs| ours.is_error() && theirs.is_error() || has_hexadecimal(arguments),
        why: "Valkey's errors have other words here, and it reads no hexadecimal doubles",
    },
    Allowed {
        command: "geosearch",
        from: Some(Kind::Valkey),
        when: |arguments, _, _| arguments.iter().any(|argument| argument.eq_ignore_ascii_case(b"WITHCOORD")),
        why: "Valkey cuts coordinates off after seventeen decimals; Ochre has Redis's, beside which they are compared",
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

/// Whether a key may have these two encodings. Valkey embeds strings of other lengths than Redis does.
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

/// The references put arguments into many of their errors as C strings, which end at the first zero byte. Ochre shows all of
/// an argument: nothing is gained by hiding what was wrong.
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

/// Why a command is not drawn, if it is not.
pub fn not_drawn(name: &str) -> Option<&'static str> {
    let container = name.split('|').next().unwrap_or(name);
    let found = NOT_DRAWN.iter().find(|(row, _)| *row == name || (*row == container && *row != "command"));
    found.map(|(_, why)| *why)
}

pub fn token_is_drawn(name: &str, token: &str) -> bool {
    !TOKENS_NOT_DRAWN.iter().any(|(command, row, _)| *command == name && row.eq_ignore_ascii_case(token))
}

/// Whether a request of this command is drawn beside a reference.
pub fn request_is_drawn(name: &str, arguments: &[Vec<u8>], reference: Kind) -> bool {
    !REQUESTS_NOT_DRAWN
        .iter()
        .any(|row| row.command == name && row.beside.is_none_or(|kind| kind == reference) && (row.when)(arguments))
}

/// Why coverage asks for no success of a command, if it does not.
pub fn never_succeeds(name: &str) -> Option<&'static str> {
    NEVER_SUCCEEDS.iter().find(|(row, _)| *row == name).map(|(_, why)| *why)
}

/// The name under which the tables above know what these arguments call.
pub fn name_of(table: &CommandTable, arguments: &[Vec<u8>]) -> String {
    let word = |index: usize| {
        let bytes: &[u8] = arguments.get(index).map_or(b"", |argument| argument);
        String::from_utf8_lossy(bytes).to_ascii_lowercase()
    };
    let name = word(0);
    let full = format!("{name}|{}", word(1));
    if table.get(&full).is_some() { full } else { name }
}

/// Whether a command's replies are compared by other means than equality.
pub fn is_loose(name: &str) -> bool {
    LOOSE.iter().any(|(row, _, _)| *row == name)
}

/// Whether a reply of Ochre may stand where the reference gave another.
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
            // A random answer is missing on both sides or on none.
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

/// Negative numbers are answers of another kind (no such key, no expiry), and never near.
pub fn near(ours: i64, theirs: i64, distance: i64) -> bool {
    ours == theirs || (ours >= 0 && theirs >= 0 && ours.abs_diff(theirs) <= distance.unsigned_abs())
}
