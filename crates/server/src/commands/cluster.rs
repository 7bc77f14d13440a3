//! CLUSTER and the commands for clients of a cluster. Ochre has no cluster mode, and replies like a Redis without cluster mode.

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

/// The flags of the commands that query a node.
const QUERY: Flags = Flags::STALE;
/// The flags of the commands that change a node.
const CHANGE: Flags = Flags::ADMIN.union(Flags::STALE).union(Flags::NO_ASYNC_LOADING);
const NONDETERMINISTIC: &[&str] = &["nondeterministic_output"];

/// The rows of CLUSTER, ASKING, READONLY and READWRITE.
pub const ROWS: &[CommandSpec] = &[
    CommandSpec {
        name: "asking",
        flags: Flags::FAST,
        summary: "Lets the next command use a slot that is being imported.",
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
                summary: "Assigns slots to this node.",
                syntax: "slot:integer...",
                ..CLUSTER
            },
            CommandSpec {
                name: "addslotsrange",
                arity: -4,
                flags: CHANGE,
                since: "7.0.0",
                complexity: "O(N) with N slots",
                summary: "Assigns ranges of slots to this node.",
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
                summary: "Advances the epoch of the cluster's configuration.",
                ..CLUSTER
            },
            CommandSpec {
                name: "count-failure-reports",
                arity: 3,
                flags: Flags::ADMIN.union(Flags::STALE),
                tips: NONDETERMINISTIC,
                since: "3.0.0",
                complexity: "O(N) with N failure reports",
                summary: "Returns the number of failure reports about a node.",
                syntax: "node-id",
                ..CLUSTER
            },
            CommandSpec {
                name: "countkeysinslot",
                arity: 3,
                flags: QUERY,
                since: "3.0.0",
                complexity: "O(1)",
                summary: "Returns the number of keys in a slot.",
                syntax: "slot:integer",
                ..CLUSTER
            },
            CommandSpec {
                name: "delslots",
                arity: -3,
                flags: CHANGE,
                since: "3.0.0",
                complexity: "O(N) with N slots",
                summary: "Removes slots from this node.",
                syntax: "slot:integer...",
                ..CLUSTER
            },
            CommandSpec {
                name: "delslotsrange",
                arity: -4,
                flags: CHANGE,
                since: "7.0.0",
                complexity: "O(N) with N slots",
                summary: "Removes ranges of slots from this node.",
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
                summary: "Removes all slots from this node.",
                ..CLUSTER
            },
            CommandSpec {
                name: "forget",
                arity: 3,
                flags: CHANGE,
                since: "3.0.0",
                complexity: "O(1)",
                summary: "Removes a node from the list of known nodes.",
                syntax: "node-id",
                ..CLUSTER
            },
            CommandSpec {
                name: "getkeysinslot",
                arity: 4,
                flags: QUERY,
                tips: NONDETERMINISTIC,
                since: "3.0.0",
                complexity: "O(N) with N requested keys",
                summary: "Returns keys in a slot.",
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
                summary: "Returns the state of the cluster as this node sees it.",
                ..CLUSTER
            },
            CommandSpec {
                name: "keyslot",
                arity: 3,
                flags: QUERY,
                since: "3.0.0",
                complexity: "O(N) with N bytes of the key",
                summary: "Returns the slot of a key.",
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
                summary: "Adds a node to the list of known nodes.",
                syntax: "ip port:integer [cluster-bus-port:integer]",
                ..CLUSTER
            },
            CommandSpec {
                name: "myid",
                arity: 2,
                flags: QUERY,
                since: "3.0.0",
                complexity: "O(1)",
                summary: "Returns the ID of this node.",
                ..CLUSTER
            },
            CommandSpec {
                name: "myshardid",
                arity: 2,
                flags: QUERY,
                tips: NONDETERMINISTIC,
                since: "7.2.0",
                complexity: "O(1)",
                summary: "Returns the ID of this node's shard.",
                ..CLUSTER
            },
            CommandSpec {
                name: "nodes",
                arity: 2,
                flags: QUERY,
                tips: NONDETERMINISTIC,
                since: "3.0.0",
                complexity: "O(N) with N nodes",
                summary: "Returns the cluster's configuration as this node sees it.",
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
                summary: "Makes this node a replica of another node.",
                syntax: "node-id",
                ..CLUSTER
            },
            CommandSpec {
                name: "reset",
                arity: -2,
                flags: Flags::ADMIN.union(Flags::NOSCRIPT).union(Flags::STALE),
                since: "3.0.0",
                complexity: "O(N) with N nodes",
                summary: "Resets this node, which leaves the cluster.",
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
                summary: "Assigns a slot to a node, or marks it as being moved.",
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
                complexity: "O(N) with N slots, O(N*log(N)) if they are sorted",
                summary: "Returns statistics of this node's slots.",
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
    CommandSpec { name: "readonly", summary: "Allows the connection to read from a replica.", ..MODE },
    CommandSpec { name: "readwrite", summary: "Ends READONLY.", ..MODE },
];

fn disabled(_cx: &mut SessionOnly<'_>) -> Run {
    Err(CommandError::text("ERR This instance has cluster support disabled"))
}
