//! MEMORY: reports on the use of memory.

use ochre_keyspace::{DEADLINE_BYTES_PER_KEY, SLOT_BYTES_PER_KEY};

use super::{
    CommandError, CommandSpec, Flags, Handler,
    context::{KeyedRead, Outcome, Run, SessionOnly},
    help,
    table::{Group, KeyFlags, KeySpec},
};
use crate::{memory, observe::process_figures};

const MEMORY: CommandSpec =
    CommandSpec { arity: 2, group: Group::Server, since: "4.0.0", complexity: "O(1)", ..CommandSpec::DEFAULT };

const REPORT: &[&str] = &["nondeterministic_output", "request_policy:all_shards", "response_policy:special"];

/// The rows of MEMORY.
pub const ROWS: &[CommandSpec] = &[CommandSpec {
    name: "memory",
    arity: -2,
    complexity: "depends on the subcommand",
    summary: "Contains the commands about memory.",
    subcommands: &[
        CommandSpec {
            name: "doctor",
            tips: REPORT,
            summary: "Returns advice on the use of memory.",
            handler: Handler::Session(doctor),
            ..MEMORY
        },
        CommandSpec {
            name: "help",
            flags: Flags::LOADING.union(Flags::STALE),
            summary: "Lists the subcommands.",
            handler: Handler::Session(help),
            ..MEMORY
        },
        CommandSpec {
            name: "malloc-stats",
            tips: REPORT,
            complexity: "O(N) with N arenas of the allocator",
            summary: "Returns the allocator's own report.",
            handler: Handler::Session(malloc_stats),
            ..MEMORY
        },
        CommandSpec {
            name: "purge",
            tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
            complexity: "O(N) with N unused pages",
            summary: "Makes the allocator return unused memory to the system.",
            handler: Handler::Session(purge),
            ..MEMORY
        },
        CommandSpec {
            name: "stats",
            tips: REPORT,
            summary: "Returns statistics on the use of memory.",
            handler: Handler::Session(stats),
            ..MEMORY
        },
        CommandSpec {
            name: "usage",
            arity: -3,
            flags: Flags::READONLY,
            keys: &[KeySpec::one(2, KeyFlags::RO)],
            complexity: "O(1)",
            summary: "Returns the bytes that a key and its value occupy.",
            syntax: "key [SAMPLES count:integer]",
            handler: Handler::Read(usage),
            ..MEMORY
        },
    ],
    ..MEMORY
}];

fn usage(cx: &mut KeyedRead<'_>) -> Run {
    let mut index = 3;
    while index < cx.args.len() {
        if !cx.is_word(index, "SAMPLES") || index + 1 >= cx.args.len() {
            return Err(CommandError::SYNTAX);
        }
        if cx.integer(index + 1)? < 0 {
            return Err(CommandError::SYNTAX);
        }
        index += 2;
    }
    // An expired key takes memory until it is removed.
    match cx.keys.inspect(cx.db(), cx.key(2), |entry| entry.memory_usage() + entry.table_bytes()) {
        Some(bytes) => cx.reply.integer(bytes as i64),
        None => cx.reply.null(),
    }
    Ok(Outcome::Done)
}

fn stats(cx: &mut SessionOnly<'_>) -> Run {
    let server = &cx.core.server;
    let sizes = server.keyspace.sizes(cx.core.index, 0..cx.core.config().databases);
    let used = server.used_memory() as i64;
    let (peak, _) = server.memory.peak();
    let initial = server.memory.initial_bytes() as i64;
    let allocator = memory::allocator();
    let resident = process_figures::resident_memory() as i64;
    let keys: i64 = sizes.iter().map(|size| size.keys as i64).sum();
    let tables = keys * SLOT_BYTES_PER_KEY as i64;
    let clients = server.client_bytes() as i64;
    let overhead = (initial + tables + clients).min(used);
    let net = (used - initial).max(1);
    let [allocated, active, pages] = [allocator.allocated, allocator.active, allocator.resident].map(|b| b as i64);
    let quotient = |part: i64, whole: i64| if whole == 0 { 0.0 } else { part as f64 / whole as f64 };

    enum Figure {
        Integer(i64),
        Double(f64),
        /// The bytes of a database's tables: those for keys, and those for expiries.
        Database(i64, i64),
    }
    use Figure::{Database, Double, Integer};
    let mut figures: Vec<(String, Figure)> = Vec::new();
    let mut add = |name: &str, figure| figures.push((name.to_owned(), figure));
    add("peak.allocated", Integer(peak as i64));
    add("total.allocated", Integer(used));
    add("startup.allocated", Integer(initial));
    for name in ["replication.backlog", "replica.fullsync.buffer", "clients.slaves"] {
        add(name, Integer(0));
    }
    add("clients.normal", Integer(clients));
    add("cluster.links", Integer(0));
    add("aof.buffer", Integer(server.aof.backlog() as i64));
    for name in ["lua.caches", "functions.caches", "script.VMs"] {
        add(name, Integer(0));
    }
    for (index, size) in sizes.iter().enumerate().filter(|(_, size)| size.keys > 0) {
        add(
            &format!("db.{index}"),
            Database((size.keys * SLOT_BYTES_PER_KEY) as i64, (size.expires * DEADLINE_BYTES_PER_KEY) as i64),
        );
    }
    add("overhead.db.hashtable.lut", Integer(tables));
    add("overhead.db.hashtable.rehashing", Integer(0));
    add("overhead.total", Integer(overhead));
    add("db.dict.rehashing.count", Integer(0));
    add("keys.count", Integer(keys));
    add("keys.bytes-per-key", Integer(if keys == 0 { 0 } else { net / keys }));
    add("dataset.bytes", Integer(used - overhead));
    add("dataset.percentage", Double(quotient(used - overhead, net) * 100.0));
    add("peak.percentage", Double(quotient(used, peak as i64) * 100.0));
    add("allocator.allocated", Integer(allocated));
    add("allocator.active", Integer(active));
    add("allocator.resident", Integer(pages));
    add("allocator.muzzy", Integer(0));
    add("allocator-fragmentation.ratio", Double(quotient(active, allocated)));
    add("allocator-fragmentation.bytes", Integer(active - allocated));
    add("allocator-rss.ratio", Double(quotient(pages, active)));
    add("allocator-rss.bytes", Integer(pages - active));
    add("rss-overhead.ratio", Double(quotient(resident, pages)));
    add("rss-overhead.bytes", Integer(resident - pages));
    add("fragmentation", Double(quotient(resident, used)));
    add("fragmentation.bytes", Integer(resident - used));

    cx.reply.map(figures.len());
    for (name, figure) in figures {
        cx.reply.bulk(name.as_bytes());
        match figure {
            Integer(value) => cx.reply.integer(value),
            Double(value) => cx.reply.double(value),
            Database(keys, expires) => {
                cx.reply.map(2);
                cx.reply.bulk(b"overhead.hashtable.main");
                cx.reply.integer(keys);
                cx.reply.bulk(b"overhead.hashtable.expires");
                cx.reply.integer(expires);
            }
        }
    }
    Ok(Outcome::Done)
}

fn doctor(cx: &mut SessionOnly<'_>) -> Run {
    let server = &cx.core.server;
    let used = server.used_memory();
    let (peak, _) = server.memory.peak();
    let allocator = memory::allocator();
    const SMALL: usize = 5 << 20;
    let mut text = String::new();
    if used < SMALL {
        text.push_str("This server holds next to nothing, which is too little to judge how its memory is used.\n");
    } else {
        let mut advise = |found: bool, advice: &str| {
            if found {
                text.push_str(&format!(" * {advice}\n"));
            }
        };
        advise(
            peak * 2 > used * 3,
            "Peak: there was a time when far more memory was in use. The allocator may keep what was freed since then; \
             MEMORY PURGE gives it back.",
        );
        advise(
            allocator.active * 10 > allocator.allocated * 14,
            "Fragmentation: pages are in use for few bytes each. It goes away as keys are written anew, or with a restart.",
        );
        advise(
            allocator.resident * 10 > allocator.active * 13,
            "Unused pages: the allocator holds pages that it does not use. MEMORY PURGE gives them back.",
        );
        if text.is_empty() {
            text.push_str("Nothing is wrong with how memory is used.\n");
        }
    }
    cx.reply.verbatim("txt", text.as_bytes());
    Ok(Outcome::Done)
}

fn malloc_stats(cx: &mut SessionOnly<'_>) -> Run {
    let text = memory::allocator_report();
    cx.reply.verbatim("txt", &text);
    Ok(Outcome::Done)
}

fn purge(cx: &mut SessionOnly<'_>) -> Run {
    if !memory::purge() {
        return Err(CommandError::text("ERR Error purging dirty pages"));
    }
    cx.reply.ok();
    Ok(Outcome::Done)
}

fn help(cx: &mut SessionOnly<'_>) -> Run {
    help::write(
        &mut cx.reply,
        "memory",
        &[
            "DOCTOR",
            "    Whether memory is used well, in words.",
            "MALLOC-STATS",
            "    The allocator's own report.",
            "PURGE",
            "    Give back what the allocator holds unused.",
            "STATS",
            "    What takes how much memory.",
            "USAGE <key> [SAMPLES <count>]",
            "    The bytes that a key and its value take.",
        ],
    );
    Ok(Outcome::Done)
}
