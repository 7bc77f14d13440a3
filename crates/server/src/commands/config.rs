//! CONFIG: reads and changes the settings while the server runs.

use std::sync::Arc;

use ochre_resp::Args;

use super::{
    CommandError, CommandSpec, Flags, Handler, acl,
    context::{Outcome, Run, SessionOnly},
    help,
    table::Group,
};
use crate::{
    config::{self, Config, Directive, Hook, NotApplied},
    persistence::aof_files,
    process,
    server::Server,
    tls::Keys,
};

const CONFIG: CommandSpec = CommandSpec {
    flags: Flags::ADMIN.union(Flags::NOSCRIPT).union(Flags::LOADING).union(Flags::STALE),
    group: Group::Server,
    since: "2.0.0",
    complexity: "O(1)",
    ..CommandSpec::DEFAULT
};

const ALL_NODES: &[&str] = &["request_policy:all_nodes", "response_policy:all_succeeded"];

/// The rows of CONFIG.
pub const ROWS: &[CommandSpec] = &[CommandSpec {
    name: "config",
    arity: -2,
    flags: Flags::empty(),
    complexity: "depends on the subcommand",
    summary: "Contains the commands about settings.",
    subcommands: &[
        CommandSpec {
            name: "get",
            arity: -3,
            complexity: "O(N) with N settings",
            summary: "Returns the settings whose names match the patterns.",
            syntax: "parameter...",
            handler: Handler::Session(get),
            ..CONFIG
        },
        CommandSpec {
            name: "help",
            arity: 2,
            flags: Flags::LOADING.union(Flags::STALE),
            since: "5.0.0",
            summary: "Lists the subcommands.",
            handler: Handler::Session(help),
            ..CONFIG
        },
        CommandSpec {
            name: "resetstat",
            arity: 2,
            tips: ALL_NODES,
            summary: "Resets the counters of INFO.",
            handler: Handler::Session(resetstat),
            ..CONFIG
        },
        CommandSpec {
            name: "rewrite",
            arity: 2,
            tips: ALL_NODES,
            since: "2.8.0",
            summary: "Writes the current settings to the configuration file.",
            handler: Handler::Session(rewrite),
            ..CONFIG
        },
        CommandSpec {
            name: "set",
            arity: -4,
            flags: CONFIG.flags.union(Flags::SECRET_ARGUMENTS),
            is_secret: is_secret_value,
            tips: ALL_NODES,
            complexity: "O(N) with N settings",
            summary: "Changes all of the named settings, or none.",
            syntax: "(parameter value)...",
            handler: Handler::Session(set),
            ..CONFIG
        },
    ],
    handler: Handler::Container,
    ..CONFIG
}];

fn get(cx: &mut SessionOnly<'_>) -> Run {
    let patterns: Vec<&[u8]> = cx.args.slice(2..).iter().collect();
    let found = cx.core.server.config.get(&patterns);
    cx.reply.map(found.len());
    for (name, value) in found {
        cx.reply.bulk(name.as_bytes());
        cx.reply.bulk(&value);
    }
    Ok(Outcome::Done)
}

fn set(cx: &mut SessionOnly<'_>) -> Run {
    let words: Vec<&[u8]> = cx.args.slice(2..).iter().collect();
    let (pairs, []) = words.as_chunks::<2>() else { return Err(CommandError::SYNTAX) };
    let pairs: Vec<(&[u8], &[u8])> = pairs.iter().map(|&[name, value]| (name, value)).collect();
    let server = &cx.core.server;
    let result = server
        .config
        .set(&pairs, cx.session.client.is_local(), &mut |before, after, changed| apply(server, before, after, changed));
    let changed = result.map_err(|error| CommandError::composed(error.to_string()))?;
    // What goes by the settings in force follows when the new ones are.
    aof_files::follow(server, &changed.before, &changed.after);
    if changed.after.requirepass != changed.before.requirepass {
        acl::file::set_default_password(&server.users, &changed.after);
    }
    drop(changed);
    cx.core.refresh_config();
    // The limit of the memory may be lower now, or the policy another one.
    cx.core.room.begin_evicting();
    cx.reply.ok();
    Ok(Outcome::Done)
}

/// Applies changed settings to the process and the server. Applies all of them or, on an error, none.
fn apply(
    server: &Arc<Server>,
    before: &Config,
    after: &Config,
    changed: &[&'static Directive],
) -> Result<(), NotApplied> {
    process::apply(before, after, changed)?;
    if changed.iter().any(|directive| directive.hook == Some(Hook::AppendOnly)) {
        aof_files::prepare(server, before, after).map_err(|reason| NotApplied { directive: "appendonly", reason })?;
    }
    let used = server.used_memory() as u64;
    if after.maxmemory != before.maxmemory && after.maxmemory > 0 && used > after.maxmemory {
        tracing::warn!(
            "WARNING: the new maxmemory value set via CONFIG SET ({}) is smaller than the current memory usage ({used}). This will \
             result in key eviction and/or the inability to accept new write commands depending on the maxmemory-policy.",
            after.maxmemory
        );
    }
    let keys_before = replace_keys(server, after, changed).inspect_err(|_| {
        let _ = process::apply(after, before, changed);
    })?;
    let listen = changed.iter().find_map(|directive| match directive.hook {
        Some(Hook::Listen(error) | Hook::ListenTls(error)) => Some((directive.name, error)),
        _ => None,
    });
    let Some((directive, error)) = listen else { return Ok(()) };
    server.listening.change(after).map_err(|_| {
        if let Some(keys) = keys_before {
            server.tls.replace(keys);
        }
        // The old settings were in force a moment ago. If even they fail now, nothing better can be done.
        let _ = process::apply(after, before, changed);
        NotApplied { directive, reason: error.to_owned() }
    })
}

/// Uses other keys for encrypted connections, if a directive has changed that they depend on. Returns those that were in use then.
fn replace_keys(
    server: &Server,
    after: &Config,
    changed: &[&'static Directive],
) -> Result<Option<Option<Arc<Keys>>>, NotApplied> {
    let is_of_tls = |directive: &&&Directive| matches!(directive.hook, Some(Hook::Tls | Hook::ListenTls(_)));
    let Some(directive) = changed.iter().find(is_of_tls) else { return Ok(None) };
    let keys = Keys::load(after).map_err(|error| {
        tracing::warn!("{error}");
        let reason = "Unable to update TLS configuration. Check server logs.".to_owned();
        NotApplied { directive: directive.name, reason }
    })?;
    Ok(Some(server.tls.replace(keys)))
}

/// The value of a directive that is a secret, such as `requirepass`.
fn is_secret_value(args: Args<'_>, index: usize) -> bool {
    index > 2 && index % 2 == 1 && config::lookup(args.get(index - 1)).is_some_and(|directive| directive.is_sensitive())
}

fn resetstat(cx: &mut SessionOnly<'_>) -> Run {
    cx.core.server.reset_statistics();
    cx.reply.ok();
    Ok(Outcome::Done)
}

fn rewrite(cx: &mut SessionOnly<'_>) -> Run {
    acl::rewrite_configuration(&cx.core.server).map_err(CommandError::composed)?;
    cx.reply.ok();
    Ok(Outcome::Done)
}

fn help(cx: &mut SessionOnly<'_>) -> Run {
    help::write(
        &mut cx.reply,
        "config",
        &[
            "GET <pattern> [<pattern> ...]",
            "    The settings whose names match, with their values.",
            "SET <directive> <value> [<directive> <value> ...]",
            "    Change settings, all or none.",
            "RESETSTAT",
            "    Set the statistics of INFO back to zero.",
            "REWRITE",
            "    Make the configuration file say what is in force.",
        ],
    );
    Ok(Outcome::Done)
}
