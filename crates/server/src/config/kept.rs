//! Directives of Redis and Valkey that Ochre accepts, keeps and reports without using them, for the tools and files that set them.
//!
//! A value is checked by the same rules as in Redis, so a mistake is an error here too. A value is refused if it asks for something that Ochre
//! does not do and that its operator relies on, such as durability or access control.

use std::sync::Arc;

use super::{
    directive::{Access, Directive, Section, kept_lines, numbered, set_kept},
    rules::{Bool, Integer, Memory, OneOf, Only, OomScores, OptionalText, PrimaryAddress, Text},
};

/// The default of every kept directive.
pub(super) fn defaults() -> Arc<Vec<Arc<[u8]>>> {
    Arc::new(KEPT.iter().map(|directive| directive.default.as_bytes().into()).collect())
}

const I32_MAX: i64 = i32::MAX as i64;

const fn integer(min: i64, max: i64) -> Integer<i64> {
    Integer::between(min, max)
}

const fn unsigned(min: i64, max: i64) -> Integer<i64> {
    Integer::unsigned(min, max)
}

const fn port() -> Integer<i64> {
    integer(0, 65535)
}

/// A size that Redis stores in an unsigned type.
const fn any_size() -> Memory<i64> {
    Memory::any()
}

const fn size(min: i64) -> Memory<i64> {
    Memory::between(min, i64::MAX)
}

/// Declares the rows of [`KEPT`]:
///
/// ```text
/// /// What it does in Redis, or in Valkey if only that has it: `ochre.conf` shows it.
/// "name" | "alias" = "default", rule, modifier(), …;
/// ```
///
/// The modifiers are the methods of [`Directive`] without arguments.
macro_rules! kept {
    ($($(#[doc = $doc:literal])+ $name:literal $(| $alias:literal)* = $default:literal, $rule:expr
        $(, $modifier:ident())*;)+) => {
        /// The directives that are only kept.
        pub static KEPT: &[Directive] = &numbered([$(
            Directive::row($name, Section::Kept, Access::Kept {
                index: 0,
                set: |before, words, place| set_kept(&$rule, before, words, place),
                lines: |shown| kept_lines(&$rule, shown),
            })
            .described(&[$($alias),*], $default, concat!($($doc),+))
            .ruled(&$rule)
            $(.$modifier())*,
        )+]);
    };
}

kept! {
    /// Do not sync the AOF while a child process is writing. Ochre has no child processes.
    "no-appendfsync-on-rewrite" = "no", Bool;
    /// Whether to refuse snapshots of newer versions (`strict`) or to load what can be read (`relaxed`) (Valkey).
    "rdb-version-check" = "strict", OneOf(&["strict", "relaxed"]);
    /// Remove snapshots that were only written for replication.
    "rdb-del-sync-files" = "no", Bool;
    /// Check in depth the values that snapshots and RESTORE load. Ochre always does.
    "sanitize-dump-payload" = "no", OneOf(&["no", "yes", "clients"]);
    /// The primary to replicate. This version cannot replicate, so it accepts no other value than `no one`.
    "replicaof" | "slaveof" = "",
        Only { rule: PrimaryAddress, allowed: "", why: "this version cannot replicate: leave replicaof out" }, immutable();
    /// The password for the primary.
    "masterauth" | "primaryauth" = "", OptionalText, sensitive();
    /// The user for the primary.
    "masteruser" | "primaryuser" = "", OptionalText, sensitive();
    /// Whether a replica answers while it has no connection to its primary.
    "replica-serve-stale-data" | "slave-serve-stale-data" = "yes", Bool;
    /// Whether a replica refuses writes.
    "replica-read-only" | "slave-read-only" = "yes", Bool;
    /// Whether a replica leaves eviction to its primary.
    "replica-ignore-maxmemory" | "slave-ignore-maxmemory" = "yes", Bool;
    /// Whether a replica frees its old data set in the background.
    "replica-lazy-flush" | "slave-lazy-flush" = "no", Bool;
    /// The rank of this replica in a failover, lowest first; 0 means that it is never promoted.
    "replica-priority" | "slave-priority" = "100", integer(0, I32_MAX);
    /// The address that a replica reports to its primary.
    "replica-announce-ip" | "slave-announce-ip" = "", Text;
    /// The port that a replica reports to its primary.
    "replica-announce-port" | "slave-announce-port" = "0", port();
    /// Whether sentinels see this replica.
    "replica-announced" = "yes", Bool;
    /// Whether a replica continues when it cannot write to disk.
    "replica-ignore-disk-write-errors" = "no", Bool;
    /// The most bytes that are buffered for a replica during a full synchronisation.
    "replica-full-sync-buffer-limit" = "0", size(0);
    /// The bytes of replicated writes that are kept for replicas that reconnect.
    "repl-backlog-size" = "1048576", size(1);
    /// Seconds without replicas after which the replication backlog is freed.
    "repl-backlog-ttl" = "3600", integer(0, i64::MAX);
    /// Let the kernel collect small packets to replicas.
    "repl-disable-tcp-nodelay" = "no", Bool;
    /// Send snapshots to replicas without writing them to disk.
    "repl-diskless-sync" = "yes", Bool;
    /// Seconds to wait for further replicas before such a snapshot is sent.
    "repl-diskless-sync-delay" = "5", integer(0, I32_MAX);
    /// The number of replicas at which the snapshot is sent without further delay.
    "repl-diskless-sync-max-replicas" = "0", integer(0, I32_MAX);
    /// Load the primary's snapshot without writing it to disk.
    "repl-diskless-load" = "disabled", OneOf(&["disabled", "on-empty-db", "swapdb", "flush-before-load"]);
    /// Send the snapshot and new writes to a replica over two connections (Redis).
    "repl-rdb-channel" = "yes", Bool, hidden();
    /// Send the snapshot and new writes to a replica over two connections (Valkey).
    "dual-channel-replication-enabled" = "no", Bool;
    /// Seconds between pings to replicas.
    "repl-ping-replica-period" | "repl-ping-slave-period" = "10", integer(1, I32_MAX);
    /// Seconds of silence after which a replication connection is closed.
    "repl-timeout" = "60", integer(1, I32_MAX);
    /// Use multipath TCP to the primary (Valkey).
    "repl-mptcp" = "no", Bool, immutable();
    /// What a replica does when a command from its primary fails.
    "propagation-error-behavior" = "ignore", OneOf(&["ignore", "panic", "panic-on-replicas"]);

    /// Run as a node of a cluster. This version cannot, so it refuses `yes`.
    "cluster-enabled" = "no", Only { rule: Bool, allowed: "no", why: "this version cannot run as a node of a cluster: leave cluster-enabled at 'no'" }, immutable();
    /// The file with a node's view of the cluster.
    "cluster-config-file" = "nodes.conf", Text, immutable();
    /// Whether a node exits when it cannot write that file (Valkey).
    "cluster-config-save-behavior" = "sync", OneOf(&["sync", "best-effort"]);
    /// Milliseconds of silence after which a node is considered failing.
    "cluster-node-timeout" = "15000", integer(0, i64::MAX);
    /// The port for connections between nodes.
    "cluster-port" = "0", port(), immutable();
    /// The number of databases in cluster mode (Valkey).
    "cluster-databases" = "1", integer(1, I32_MAX), immutable();
    /// The address that a node reports to other nodes and to clients.
    "cluster-announce-ip" = "", Text;
    /// The IPv4 address that a node reports to clients (Valkey).
    "cluster-announce-client-ipv4" = "", Text;
    /// The IPv6 address that a node reports to clients (Valkey).
    "cluster-announce-client-ipv6" = "", Text;
    /// The port that a node reports to clients (Valkey).
    "cluster-announce-client-port" = "0", port();
    /// The TLS port that a node reports to clients (Valkey).
    "cluster-announce-client-tls-port" = "0", port();
    /// The host name that a node reports.
    "cluster-announce-hostname" = "", Text;
    /// The name of a node in logs.
    "cluster-announce-human-nodename" = "", Text;
    /// The port that a node reports.
    "cluster-announce-port" = "0", port();
    /// The TLS port that a node reports.
    "cluster-announce-tls-port" = "0", port();
    /// The port for connections between nodes that a node reports.
    "cluster-announce-bus-port" = "0", port();
    /// How clients are told where a slot is: by address, by host name, or by port only.
    "cluster-preferred-endpoint-type" = "ip", OneOf(&["ip", "hostname", "unknown-endpoint"]);
    /// Refuse all requests while any slot has no node.
    "cluster-require-full-coverage" = "yes", Bool;
    /// Serve reads while the cluster is down.
    "cluster-allow-reads-when-down" = "no", Bool;
    /// Serve sharded pub/sub while the cluster is down.
    "cluster-allow-pubsubshard-when-down" = "yes", Bool;
    /// Let replicas move to primaries that have none.
    "cluster-allow-replica-migration" = "yes", Bool;
    /// The number of replicas that a primary keeps when others move.
    "cluster-migration-barrier" = "1", integer(0, I32_MAX);
    /// Never promote this replica automatically.
    "cluster-replica-no-failover" | "cluster-slave-no-failover" = "no", Bool;
    /// How stale a replica may be and still be promoted.
    "cluster-replica-validity-factor" | "cluster-slave-validity-factor" = "10", integer(0, I32_MAX);
    /// The most bytes that wait to be sent to another node.
    "cluster-link-sendbuf-limit" = "0", any_size();
    /// Seconds for which a node that CLUSTER FORGET removed cannot return (Valkey).
    "cluster-blacklist-ttl" = "60", integer(i64::MIN, i64::MAX);
    /// Milliseconds that CLUSTER FAILOVER may take (Valkey).
    "cluster-manual-failover-timeout" = "5000", integer(1, I32_MAX);
    /// Milliseconds between pings among nodes.
    "cluster-ping-interval" = "0", integer(0, i64::MAX), hidden();
    /// The percentage of all nodes about which a message among nodes tells (Valkey).
    "cluster-message-gossip-perc" = "10", integer(1, 100), hidden();
    /// The number of finished slot migrations that are remembered (Valkey).
    "cluster-slot-migration-log-max-len" = "1000", integer(0, i64::MAX);
    /// The most bytes left to send at which a migrating slot is handed over (Valkey).
    "slot-migration-max-failover-repl-bytes" = "0", size(-1);
    /// Count keys and traffic by slot.
    "cluster-slot-stats-enabled" = "no", Bool;
    /// The percentage of commands that are checked for use in a cluster (Redis).
    "cluster-compatibility-sample-ratio" = "0", integer(0, 100);

    /// The certificate for connections to other servers.
    "tls-client-cert-file" = "", Text, volatile();
    /// The key of the client certificate.
    "tls-client-key-file" = "", Text, volatile();
    /// The password of that key.
    "tls-client-key-file-pass" = "", Text, sensitive();
    /// The parameters of Diffie-Hellman key exchange in TLS 1.2. Ochre agrees on keys by elliptic curves only, which need none.
    "tls-dh-params-file" = "", Text, volatile();
    /// Use TLS between nodes.
    "tls-cluster" = "no", Bool;
    /// Use TLS to the primary.
    "tls-replication" = "no", Bool;

    /// Who may call MODULE. Ochre has no modules.
    "enable-module-command" = "no", OneOf(&["no", "yes", "local"]), immutable();

    /// The number of threads that read and write sockets. Ochre's threads do that and run commands too; see threads.
    "io-threads" = "1", integer(1, 256), immutable();
    /// The number of requests whose keys are prefetched together (Valkey). Ochre chooses it itself.
    "prefetch-batch-max-size" = "16", integer(0, 128);
    /// How often a second background tasks run. Ochre runs them when there is something to do.
    "hz" = "10", integer(0, I32_MAX).clamped(1, 500);
    /// Run background tasks more often while there are more clients.
    "dynamic-hz" = "yes", Bool;
    /// Spend idle time on growing hash tables. Ochre's tables grow in small steps as they are written to.
    "activerehashing" = "yes", Bool;
    /// How much time to spend on finding expired keys. Ochre removes each key when its time comes.
    "active-expire-effort" = "1", integer(1, 10);
    /// Let a thread of the allocator return unused memory to the system. Ochre always does.
    "jemalloc-bg-thread" = "yes", Bool;
    /// Free evicted values in the background. Ochre always frees large values there.
    "lazyfree-lazy-eviction" = "no", Bool;
    /// Free expired values in the background. Ochre always frees large values there.
    "lazyfree-lazy-expire" = "no", Bool;
    /// Free replaced values in the background. Ochre always frees large values there.
    "lazyfree-lazy-server-del" = "no", Bool;
    /// Make DEL free values in the background, as UNLINK does. Ochre always frees large values there.
    "lazyfree-lazy-user-del" = "no", Bool;
    /// The most connections that are accepted at once.
    "max-new-connections-per-cycle" = "10", unsigned(1, 1000);
    /// The most TLS connections that are accepted at once.
    "max-new-tls-connections-per-cycle" = "1", unsigned(1, 1000);
    /// The local address of connections to other servers.
    "bind-source-addr" = "", OptionalText;
    /// The group of the Unix socket (Valkey).
    "unixsocketgroup" = "", OptionalText, immutable();
    /// The mark of the server's sockets, for packet filters.
    "socket-mark-id" = "0", unsigned(0, u32::MAX as i64), immutable();
    /// Accept multipath TCP (Valkey).
    "mptcp" = "no", Bool, immutable();
    /// The RDMA port (Valkey).
    "rdma-port" = "0", port();
    /// The RDMA addresses to listen on (Valkey).
    "rdma-bind" = "", OptionalText;
    /// The size of RDMA's receive buffer (Valkey).
    "rdma-rx-size" = "1048576", size(64 << 10), immutable();
    /// RDMA's completion vector (Valkey).
    "rdma-completion-vector" = "-1", integer(-1, 1024), immutable();

    /// Log to syslog. Ochre does not, and warns about it at start.
    "syslog-enabled" = "no", Bool, immutable();
    /// The program's name in syslog.
    "syslog-ident" = "ochre", Text, immutable();
    /// The facility in syslog.
    "syslog-facility" = "local0",
        OneOf(&["user", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7"]), immutable();
    /// The format of log lines (Valkey).
    "log-format" = "legacy", OneOf(&["legacy", "logfmt", "json"]);
    /// The format of times in log lines (Valkey).
    "log-timestamp-format" = "legacy", OneOf(&["legacy", "iso8601", "milliseconds"]);
    /// Keep keys and values out of the log. Ochre never logs them.
    "hide-user-data-from-log" = "no", Bool;
    /// Log a logo at start.
    "always-show-logo" = "no", Bool, immutable();
    /// Log a report after a crash.
    "crash-log-enabled" = "yes", Bool;
    /// Test the memory after a crash.
    "crash-memcheck-enabled" = "yes", Bool;
    /// Exit instead of aborting after an internal error.
    "use-exit-on-panic" = "no", Bool, hidden();
    /// Milliseconds after which a stalled server logs where it is.
    "watchdog-period" = "0", integer(0, I32_MAX), hidden();
    /// Warnings at start to leave out.
    "ignore-warnings" = "", Text;
    /// Show the server's state as the title of the process.
    "set-proc-title" = "yes", Bool, immutable();
    /// The template of that title.
    "proc-title-template" = "{title} {listen-addr} {server-mode}", Text;
    /// The locale that strings are sorted by.
    "locale-collate" = "", Text;
    /// Adjust which process the kernel kills first when memory runs out.
    "oom-score-adj" = "no", OneOf(&["no", "yes", "relative", "absolute"]);
    /// The adjustment for a primary, a replica, and a child process that saves.
    "oom-score-adj-values" = "0 200 800", OomScores;
    /// Turn transparent huge pages off for the process. Ochre uses them, since it does not fork.
    "disable-thp" = "yes", Bool, immutable();
    /// The processors that the server runs on.
    "server-cpulist" | "server_cpulist" = "", OptionalText, immutable();
    /// The processors that background threads run on.
    "bio-cpulist" | "bio_cpulist" = "", OptionalText, immutable();
    /// The processors that the rewriting of the AOF runs on.
    "aof-rewrite-cpulist" | "aof_rewrite_cpulist" = "", OptionalText, immutable();
    /// The processors that the writing of snapshots runs on.
    "bgsave-cpulist" | "bgsave_cpulist" = "", OptionalText, immutable();

    /// The availability zone that INFO shows (Valkey).
    "availability-zone" = "", Text;
    /// Report Redis's name and version to clients (Valkey).
    "extended-redis-compatibility" = "no", Bool;
    /// The seed of the hash function (Valkey). Ochre draws a random one at start, since a known seed can be attacked.
    "hash-seed" = "", OptionalText, immutable(), sensitive();
    /// Keep expired keys while data is imported (Valkey).
    "import-mode" = "no", Bool;
    /// Run commands of vector sets on one thread (Redis).
    "vset-force-single-threaded-execution" = "no", Bool;

    /// For tests: microseconds to wait before each key of a snapshot is written.
    "rdb-key-save-delay" = "0", integer(i32::MIN as i64, I32_MAX), hidden();
    /// For tests: the bytes to load between two looks at the network.
    "loading-process-events-interval-bytes" = "524288", integer(1024, I32_MAX), hidden();
    /// For tests: keep AOF files that are not needed any more.
    "aof-disable-auto-gc" = "no", Bool, hidden();
    /// Let scripts use deprecated functions (Redis).
    "lua-enable-deprecated-api" = "no", Bool, immutable(), hidden();
    /// Let scripts use functions that are insecure (Valkey).
    "lua-enable-insecure-api" = "no", Bool, hidden();
    /// For tests: the least bytes of a string that is sent without copying it (Valkey).
    "min-string-size-avoid-copy-reply" = "16384", integer(0, I32_MAX), hidden();
    /// For tests: the same limit while several threads write to sockets (Valkey).
    "min-string-size-avoid-copy-reply-threaded" = "65536", integer(0, I32_MAX), hidden();
    /// For tests: the number of threads from which that limit applies (Valkey).
    "min-io-threads-avoid-copy-reply" = "7", integer(0, I32_MAX), hidden();
    /// For tests: keep all threads awake (Valkey).
    "io-threads-always-active" = "no", Bool, hidden();
    /// For tests: run further checks, and end the process if one fails (Valkey). Ochre's checks always run.
    "enable-debug-assert" = "no", Bool, immutable(), hidden();
    /// For tests: let commands remove expired keys beside those that they name, even in a transaction or a script (Redis).
    "lazyexpire-nested-arbitrary-keys" = "yes", Bool, hidden();
    /// For tests: a text to include in a crash report (Valkey).
    "debug-context" = "", Text, hidden();
}
