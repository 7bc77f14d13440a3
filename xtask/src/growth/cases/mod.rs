//! The cases, by family, and the commands that need none.

mod collections;
mod connection;
mod keys;
mod lists;
mod pubsub;
mod scripting;
mod server;
mod sorted_sets;
mod streams;
mod strings;
mod transactions;

use super::case::Case;

/// All cases.
pub fn all() -> impl Iterator<Item = &'static Case> {
    let families = [
        strings::CASES,
        keys::CASES,
        lists::CASES,
        collections::CASES,
        sorted_sets::CASES,
        streams::CASES,
        transactions::CASES,
        pubsub::CASES,
        scripting::CASES,
        connection::CASES,
        server::CASES,
    ];
    families.into_iter().flatten()
}

/// Commands for which a client can choose nothing that grows, or that refuse what it chooses; each list with its reason.
pub const FIXED: &[(&str, &[&str])] = &[
    ("it takes a payload of DUMP, which a line of text cannot hold", &["RESTORE", "RESTORE-ASKING"]),
    (
        "the text or the figures are of a fixed size",
        &[
            "ACL CAT",
            "ACL GENPASS",
            "ACL HELP",
            "CLIENT HELP",
            "CLUSTER HELP",
            "CLUSTER INFO",
            "CLUSTER LINKS",
            "CLUSTER MYID",
            "CLUSTER MYSHARDID",
            "CLUSTER NODES",
            "CLUSTER REPLICAS",
            "CLUSTER SHARDS",
            "CLUSTER SLAVES",
            "CLUSTER SLOTS",
            "COMMAND HELP",
            "COMMANDLOG HELP",
            "CONFIG HELP",
            "CONFIG RESETSTAT",
            "FUNCTION HELP",
            "FUNCTION KILL",
            "FUNCTION STATS",
            "LASTSAVE",
            "LATENCY DOCTOR",
            "LATENCY GRAPH",
            "LATENCY HELP",
            "LATENCY HISTORY",
            "LATENCY LATEST",
            "LOLWUT",
            "MEMORY DOCTOR",
            "MEMORY HELP",
            "MEMORY MALLOC-STATS",
            "MEMORY PURGE",
            "MODULE HELP",
            "MODULE LIST",
            "OBJECT HELP",
            "PFSELFTEST",
            "PUBSUB HELP",
            "SCRIPT DEBUG",
            "SCRIPT HELP",
            "SCRIPT KILL",
            "ROLE",
            "SLOWLOG HELP",
            "TIME",
            "XGROUP HELP",
            "XINFO HELP",
        ],
    ),
    (
        "it sets or reads a word of the connection or of the server",
        &[
            "ACL WHOAMI",
            "ASKING",
            "CLIENT CACHING",
            "CLIENT GETREDIR",
            "CLIENT ID",
            "CLIENT IMPORT-SOURCE",
            "CLIENT NO-EVICT",
            "CLIENT NO-TOUCH",
            "CLIENT REPLY",
            "CLIENT TRACKING",
            "CLIENT TRACKINGINFO",
            "MONITOR",
            "QUIT",
            "READONLY",
            "READWRITE",
            "WAIT",
            "WAITAOF",
        ],
    ),
    (
        "it is refused, since there is neither a cluster, nor a replica, nor a module",
        &[
            "CLUSTER ADDSLOTS",
            "CLUSTER ADDSLOTSRANGE",
            "CLUSTER BUMPEPOCH",
            "CLUSTER COUNT-FAILURE-REPORTS",
            "CLUSTER COUNTKEYSINSLOT",
            "CLUSTER DELSLOTS",
            "CLUSTER DELSLOTSRANGE",
            "CLUSTER FAILOVER",
            "CLUSTER FLUSHSLOTS",
            "CLUSTER FORGET",
            "CLUSTER GETKEYSINSLOT",
            "CLUSTER KEYSLOT",
            "CLUSTER MEET",
            "CLUSTER REPLICATE",
            "CLUSTER RESET",
            "CLUSTER SAVECONFIG",
            "CLUSTER SET-CONFIG-EPOCH",
            "CLUSTER SETSLOT",
            "CLUSTER SLOT-STATS",
            "FAILOVER",
            "MODULE LOAD",
            "MODULE LOADEX",
            "MODULE UNLOAD",
            "REPLICAOF",
            "SLAVEOF",
        ],
    ),
    ("it writes a line for each directive to the file that the server was started with", &["CONFIG REWRITE"]),
    (
        "it reads or writes a line for each user, in the file that the server was started with",
        &["ACL LOAD", "ACL SAVE"],
    ),
    ("it shows requests that were refused, and a line that is refused ends a case", &["ACL LOG"]),
    (
        "it needs a library, whose source has several lines, which a line of text cannot hold",
        &[
            "FCALL",
            "FCALL_RO",
            "FUNCTION DELETE",
            "FUNCTION DUMP",
            "FUNCTION FLUSH",
            "FUNCTION LIST",
            "FUNCTION LOAD",
            "FUNCTION RESTORE",
        ],
    ),
    ("it ends the server", &["SHUTDOWN"]),
    ("it replies before the work, which a task beside the commands does", &["BGREWRITEAOF", "BGSAVE"]),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;

    use ochre_testkit::workspace;

    use super::super::case::Line;
    use super::*;

    /// The commands that COMPAT.md lists for Ochre, without those that only have subcommands. COMPAT.md is generated from the server's table.
    fn commands() -> BTreeSet<String> {
        let page = fs::read_to_string(workspace::root().join("COMPAT.md")).unwrap();
        let rows = page.lines().filter_map(|line| {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            matches!(cells.as_slice(), ["", _, "yes", ..]).then(|| cells[1].to_string())
        });
        let all: BTreeSet<String> = rows.collect();
        let is_container = |name: &str| {
            let beginning = format!("{name} ");
            // COMMAND is a command too.
            name != "COMMAND" && all.iter().any(|it| it.starts_with(&beginning))
        };
        all.iter().filter(|name| !is_container(name)).cloned().collect()
    }

    #[test]
    fn every_command_has_a_case_or_a_reason() {
        let commands = commands();
        assert!(commands.len() > 200, "COMPAT.md is read: {}", commands.len());
        let with_case: BTreeSet<String> = all().map(|case| case.command.to_string()).collect();
        let fixed: BTreeSet<String> =
            FIXED.iter().flat_map(|(_, names)| names.iter().map(|it| it.to_string())).collect();
        let named: BTreeSet<String> = with_case.union(&fixed).cloned().collect();
        let missing: Vec<&String> = commands.difference(&named).collect();
        assert!(missing.is_empty(), "add a case to xtask/src/growth/cases for {missing:?}");
        let unknown: Vec<&String> = named.difference(&commands).collect();
        assert!(unknown.is_empty(), "no such command: {unknown:?}");
        let both: Vec<&String> = with_case.intersection(&fixed).collect();
        assert!(both.is_empty(), "it has a case: {both:?}");
    }

    #[test]
    fn a_case_runs_its_command_and_has_a_name_of_its_own() {
        let mut names = BTreeSet::new();
        for case in all() {
            assert!(names.insert((case.command, case.grows)), "twice: {}, {}", case.command, case.grows);
            let runs = case.run.iter().any(|text| {
                let line = Line::parse(text, 2);
                let requests: Vec<String> = line.round(1, 2).map(|words| words.join(" ")).collect();
                // The end of a connection releases what a command has left.
                *text == "close" || requests.iter().any(|request| request.starts_with(case.command))
            });
            assert!(runs, "the lines of {}, {} do not run it", case.command, case.grows);
            let lines = case.prepare.iter().chain(case.run);
            lines.for_each(|text| drop(Line::parse(text, 2).round(1, 2).collect::<Vec<_>>()));
        }
    }
}
