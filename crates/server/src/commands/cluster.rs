//! CLUSTER and the commands for clients of a cluster: Ochre runs alone, and says so.

use super::{
    CommandError, CommandSpec, Flags, Handler,
    context::{Run, SessionOnly},
    table::{Category, Group},
};

const CLUSTER: CommandSpec =
    CommandSpec { group: Group::Cluster, handler: Handler::Session(disabled), ..CommandSpec::DEFAULT };

const MODE: CommandSpec = CommandSpec {
    arity: 1,
    flags: Flags::LOADING.union(Flags::STALE).union(Flags::FAST),
    categories: Category::CONNECTION,
    since: "3.0.0",
    complexity: "O(1)",
    ..CLUSTER
};

/// What is asked of a node.
const QUERY: Flags = Flags::STALE;
/// What changes a node.
const CHANGE: Flags = Flags::ADMIN.union(Flags::STALE).union(Flags::NO_ASYNC_LOADING);
const NONDETERMINISTIC: &[&str] = &["nondeterministic_output"];

pub const ROWS: &[CommandSpec] = &[
    CommandSpec {
        name: "asking",
        flags: Flags::FAST,
        summary: "Lets the next command reach a slot that is being moved here.",
        ..MODE
    },
    CommandSpec {
        name: "cluster",
        arity: -2,
        since: "3.0.0",
        complexity: "depends on the subcommand",
        summary: "Contains the commands about the cluster.",
        subcommands: &[
            CommandSpec {
                name: "addslots",
                arity: -3,
                flags: CHANGE,
                since: "3.0.0",
                complexity: "O(N) with N slots",
                summary: "Gives slots to this node.",
                syntax: "slot:integer...",
                ..CLUSTER
            },
            CommandSpec {
                name: "addslotsrange",
                arity: -4,
                flags: CHANGE,
                since: "7.0.0",
                complexity: "O(N) with N slots",
                summary: "Gives ranges of slots to this node.",
                syntax: "(start-slot:integer end-slot:integer)...",
                ..CLUSTER
            },
            CommandSpec {
                name: "bumpepoch",
                arity: 2,
                flags: CHANGE,
                tips: NONDETERMINISTIC,
                since: "3.0.0",
                complexity: "O(1)",
                summary: "Raises the epoch of the cluster's configuration.",
                ..CLUSTER
            },
            CommandSpec {
                name: "count-failure-reports",
                arity: 3,
                flags: Flags::ADMIN.union(Flags::STALE),
                tips: NONDETERMINISTIC,
                since: "3.0.0",
                complexity: "O(N) with N reports",
                summary: "Counts the reports that a node has failed.",
                syntax: "node-id",
                ..CLUSTER
            },
            CommandSpec {
                name: "countkeysinslot",
                arity: 3,
                flags: QUERY,
                since: "3.0.0",
                complexity: "O(1)",
                summary: "Counts the keys of a slot.",
                syntax: "slot:integer",
                ..CLUSTER
            },
            CommandSpec {
                name: "delslots",
                arity: -3,
                flags: CHANGE,
                since: "3.0.0",
                complexity: "O(N) with N slots",
                summary: "Takes slots away from this node.",
                syntax: "slot:integer...",
                ..CLUSTER
            },
            CommandSpec {
                name: "delslotsrange",
                arity: -4,
                flags: CHANGE,
                since: "7.0.0",
                complexity: "O(N) with N slots",
                summary: "Takes ranges of slots away from this node.",
                syntax: "(start-slot:integer end-slot:integer)...",
                ..CLUSTER
            },
            CommandSpec {
                name: "failover",
                arity: -2,
                flags: CHANGE,
                since: "3.0.0",
                complexity: "O(1)",
                summary: "Makes a replica take over from its primary.",
                syntax: "[FORCE|TAKEOVER]",
                ..CLUSTER
            },
            CommandSpec {
                name: "flushslots",
                arity: 2,
                flags: CHANGE,
                since: "3.0.0",
                complexity: "O(1)",
                summary: "Takes all slots away from this node.",
                ..CLUSTER
            },
            CommandSpec {
                name: "forget",
                arity: 3,
                flags: CHANGE,
                since: "3.0.0",
                complexity: "O(1)",
                summary: "Removes a node from those that are known.",
                syntax: "node-id",
                ..CLUSTER
            },
            CommandSpec {
                name: "getkeysinslot",
                arity: 4,
                flags: QUERY,
                tips: NONDETERMINISTIC,
                since: "3.0.0",
                complexity: "O(N) with N keys asked for",
                summary: "Lists keys of a slot.",
                syntax: "slot:integer count:integer",
                ..CLUSTER
            },
            CommandSpec {
                name: "help",
                arity: 2,
                flags: Flags::LOADING.union(Flags::STALE),
                since: "5.0.0",
                complexity: "O(1)",
                summary: "Lists the subcommands.",
                ..CLUSTER
            },
            CommandSpec {
                name: "info",
                arity: 2,
                flags: QUERY,
                tips: NONDETERMINISTIC,
                since: "3.0.0",
                complexity: "O(1)",
                summary: "Tells the state of the cluster as this node sees it.",
                ..CLUSTER
            },
            CommandSpec {
                name: "keyslot",
                arity: 3,
                flags: QUERY,
                since: "3.0.0",
                complexity: "O(N) with N bytes of the key",
                summary: "Tells the slot of a key.",
                syntax: "key:string",
                ..CLUSTER
            },
            CommandSpec {
                name: "links",
                arity: 2,
                flags: QUERY,
                tips: NONDETERMINISTIC,
                since: "7.0.0",
                complexity: "O(N) with N nodes",
                summary: "Lists the connections to other nodes.",
                ..CLUSTER
            },
            CommandSpec {
                name: "meet",
                arity: -4,
                flags: CHANGE,
                since: "3.0.0",
                complexity: "O(1)",
                summary: "Makes another node known.",
                syntax: "ip port:integer [cluster-bus-port:integer]",
                ..CLUSTER
            },
            CommandSpec {
                name: "myid",
                arity: 2,
                flags: QUERY,
                since: "3.0.0",
                complexity: "O(1)",
                summary: "Tells the id of this node.",
                ..CLUSTER
            },
            CommandSpec {
                name: "myshardid",
                arity: 2,
                flags: QUERY,
                tips: NONDETERMINISTIC,
                since: "7.2.0",
                complexity: "O(1)",
                summary: "Tells the id of the shard of this node.",
                ..CLUSTER
            },
            CommandSpec {
                name: "nodes",
                arity: 2,
                flags: QUERY,
                tips: NONDETERMINISTIC,
                since: "3.0.0",
                complexity: "O(N) with N nodes",
                summary: "Tells the cluster's configuration as this node sees it.",
                ..CLUSTER
            },
            CommandSpec {
                name: "replicas",
                arity: 3,
                flags: Flags::ADMIN.union(Flags::STALE),
                tips: NONDETERMINISTIC,
                since: "5.0.0",
                complexity: "O(N) with N replicas",
                summary: "Lists the replicas of a node.",
                syntax: "node-id",
                ..CLUSTER
            },
            CommandSpec {
                name: "replicate",
                arity: 3,
                flags: CHANGE,
                since: "3.0.0",
                complexity: "O(1)",
                summary: "Makes this node a replica of another.",
                syntax: "node-id",
                ..CLUSTER
            },
            CommandSpec {
                name: "reset",
                arity: -2,
                flags: Flags::ADMIN.union(Flags::NOSCRIPT).union(Flags::STALE),
                since: "3.0.0",
                complexity: "O(N) with N nodes",
                summary: "Makes this node leave the cluster and forget it.",
                syntax: "[HARD|SOFT]",
                ..CLUSTER
            },
            CommandSpec {
                name: "saveconfig",
                arity: 2,
                flags: CHANGE,
                since: "3.0.0",
                complexity: "O(1)",
                summary: "Writes the cluster's configuration to disk.",
                ..CLUSTER
            },
            CommandSpec {
                name: "set-config-epoch",
                arity: 3,
                flags: CHANGE,
                since: "3.0.0",
                complexity: "O(1)",
                summary: "Sets the epoch of a new node.",
                syntax: "config-epoch:integer",
                ..CLUSTER
            },
            CommandSpec {
                name: "setslot",
                arity: -4,
                flags: CHANGE,
                since: "3.0.0",
                complexity: "O(1)",
                summary: "Says which node has a slot, or that it moves.",
                syntax: "slot:integer (IMPORTING node-id|MIGRATING node-id|NODE node-id|STABLE)",
                ..CLUSTER
            },
            CommandSpec {
                name: "shards",
                arity: 2,
                flags: Flags::LOADING.union(Flags::STALE),
                tips: NONDETERMINISTIC,
                since: "7.0.0",
                complexity: "O(N) with N nodes",
                summary: "Lists the cluster's shards with their slots and nodes.",
                ..CLUSTER
            },
            CommandSpec {
                name: "slaves",
                arity: 3,
                flags: Flags::ADMIN.union(Flags::STALE),
                tips: NONDETERMINISTIC,
                since: "3.0.0",
                complexity: "O(N) with N replicas",
                summary: "Lists the replicas of a node.",
                syntax: "node-id",
                deprecated: Some(("5.0.0", "`CLUSTER REPLICAS`")),
                ..CLUSTER
            },
            CommandSpec {
                name: "slot-stats",
                arity: -4,
                flags: Flags::LOADING.union(Flags::STALE),
                tips: &["nondeterministic_output", "request_policy:all_shards"],
                since: "8.2.0",
                complexity: "O(N) with N slots, O(N*log(N)) where they are sorted",
                summary: "Tells figures of this node's slots.",
                syntax: "(SLOTSRANGE (start-slot:integer end-slot:integer)|ORDERBY (metric [LIMIT limit:integer] [ASC|DESC]))",
                ..CLUSTER
            },
            CommandSpec {
                name: "slots",
                arity: 2,
                flags: Flags::LOADING.union(Flags::STALE),
                tips: NONDETERMINISTIC,
                since: "3.0.0",
                complexity: "O(N) with N nodes",
                summary: "Lists ranges of slots with their nodes.",
                deprecated: Some(("7.0.0", "`CLUSTER SHARDS`")),
                ..CLUSTER
            },
        ],
        handler: Handler::Container,
        ..CLUSTER
    },
    CommandSpec { name: "readonly", summary: "Lets the connection read from a replica.", ..MODE },
    CommandSpec { name: "readwrite", summary: "Ends what READONLY began.", ..MODE },
];

fn disabled(_cx: &mut SessionOnly<'_>) -> Run {
    Err(CommandError::text("ERR This instance has cluster support disabled"))
}
