//! The directives of Redis and Valkey that Ochre accepts, keeps and reports for the tools and files that set them, without using them.
//!
//! A value is checked by the same rules as in Redis, so that a mistake is told here too. Where accepting a value would promise something
//! that is not done, such as durability or access control, it is refused.

use std::sync::Arc;

use super::{
    directive::{Access, Directive, Group, kept_lines, numbered, set_kept},
    rules::{
        Bool, Choices, FileName, Integer, Memory, OneOf, Only, OomScores, OptionalText, PrimaryAddress, SavePoints,
        Text,
    },
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

/// A size that Redis keeps in an unsigned type.
const fn any_size() -> Memory<i64> {
    Memory::any()
}

const fn size(min: i64) -> Memory<i64> {
    Memory::between(min, i64::MAX)
}

const ON_SIGNAL: Choices = Choices {
    names: &["default", "save", "nosave", "now", "force"],
    exclusive: ("save", "nosave"),
    both: "shutdown options SAVE and NOSAVE can't be used simultaneously",
};

/// Declares the rows of [`KEPT`]: `/// What it does in Redis.` then `"name" | "alias" = "default", rule, modifier(), …;`
macro_rules! kept {
    ($($(#[doc = $doc:literal])+ $name:literal $(| $alias:literal)* = $default:literal, $rule:expr
        $(, $modifier:ident())*;)+) => {
        /// The kept directives.
        pub static KEPT: &[Directive] = &numbered([$(
            Directive::row($name, Group::Kept, Access::Kept {
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
    /// Snapshots by time and number of changes. This version writes none, which it says at start.
    "save" = "", SavePoints;
    /// Log every write to a file. This version cannot, and so refuses yes.
    "appendonly" = "no",
        Only { rule: Bool, allowed: "no", why: "this version keeps data in memory only and cannot write an append-only file: leave appendonly at 'no'" };
    /// When that file is synced.
    "appendfsync" = "everysec", OneOf(&["everysec", "always", "no"]);
    /// Its name.
    "appendfilename" = "appendonly.aof",
        FileName { not_a_path: "appendfilename can't be a path, just a filename" }, immutable();
    /// The folder that it lies in.
    "appenddirname" = "appendonlydir", FileName { not_a_path: "appenddirname can't be a path, just a dirname" }, immutable();
    /// Do not sync it while a child process saves; Ochre has no child processes.
    "no-appendfsync-on-rewrite" = "no", Bool;
    /// The growth, in percent, at which it is rewritten.
    "auto-aof-rewrite-percentage" = "100", integer(0, I32_MAX);
    /// The least size from which it is rewritten.
    "auto-aof-rewrite-min-size" = "67108864", size(0);
    /// Load a file whose end is cut off.
    "aof-load-truncated" = "yes", Bool;
    /// Begin a rewritten file with a snapshot.
    "aof-use-rdb-preamble" = "yes", Bool;
    /// Note the time between its records.
    "aof-timestamp-enabled" = "no", Bool;
    /// Sync a rewritten file bit by bit.
    "aof-rewrite-incremental-fsync" = "yes", Bool;
    /// Sync a snapshot bit by bit.
    "rdb-save-incremental-fsync" = "yes", Bool;
    /// Compress strings in snapshots.
    "rdbcompression" = "yes", Bool;
    /// End snapshots with a checksum.
    "rdbchecksum" = "yes", Bool, immutable();
    /// Load snapshots of newer versions as far as they can be read (Valkey).
    "rdb-version-check" = "strict", OneOf(&["strict", "relaxed"]);
    /// The snapshot's name.
    "dbfilename" = "dump.rdb", FileName { not_a_path: "dbfilename can't be a path, just a filename" }, protected();
    /// Remove snapshots that were only made for a replica.
    "rdb-del-sync-files" = "no", Bool;
    /// Check loaded values in depth.
    "sanitize-dump-payload" = "no", OneOf(&["no", "yes", "clients"]);
    /// Refuse writes after a snapshot failed.
    "stop-writes-on-bgsave-error" = "yes", Bool;

    /// The primary to follow. This version cannot replicate, and so takes only no one.
    "replicaof" | "slaveof" = "",
        Only { rule: PrimaryAddress, allowed: "", why: "this version cannot replicate: leave replicaof out" }, immutable();
    /// The password for the primary.
    "masterauth" | "primaryauth" = "", OptionalText, sensitive();
    /// The user for the primary.
    "masteruser" | "primaryuser" = "", OptionalText, sensitive();
    /// Answer while out of touch with the primary.
    "replica-serve-stale-data" | "slave-serve-stale-data" = "yes", Bool;
    /// Refuse writes on a replica.
    "replica-read-only" | "slave-read-only" = "yes", Bool;
    /// Leave eviction to the primary.
    "replica-ignore-maxmemory" | "slave-ignore-maxmemory" = "yes", Bool;
    /// Free the old data of a replica in the background.
    "replica-lazy-flush" | "slave-lazy-flush" = "no", Bool;
    /// Which replica a failover prefers; 0 never takes this one.
    "replica-priority" | "slave-priority" = "100", integer(0, I32_MAX);
    /// The address that a replica names to its primary.
    "replica-announce-ip" | "slave-announce-ip" = "", Text;
    /// The port that it names.
    "replica-announce-port" | "slave-announce-port" = "0", port();
    /// Whether sentinels see this replica.
    "replica-announced" = "yes", Bool;
    /// Let a replica go on when it cannot write its files.
    "replica-ignore-disk-write-errors" = "no", Bool;
    /// The most that is buffered for a replica during a full synchronisation.
    "replica-full-sync-buffer-limit" = "0", size(0);
    /// Memory for what a replica may have missed.
    "repl-backlog-size" = "1048576", size(1);
    /// Seconds for which it is kept without replicas.
    "repl-backlog-ttl" = "3600", integer(0, i64::MAX);
    /// Let the kernel gather bytes for replicas.
    "repl-disable-tcp-nodelay" = "no", Bool;
    /// Send snapshots to replicas without a file.
    "repl-diskless-sync" = "yes", Bool;
    /// Seconds to wait for more replicas before that.
    "repl-diskless-sync-delay" = "5", integer(0, I32_MAX);
    /// The number of replicas that ends the wait.
    "repl-diskless-sync-max-replicas" = "0", integer(0, I32_MAX);
    /// Load snapshots from the primary without a file.
    "repl-diskless-load" = "disabled", OneOf(&["disabled", "on-empty-db", "swapdb", "flush-before-load"]);
    /// Send snapshot and new writes over two connections (Redis).
    "repl-rdb-channel" = "no", Bool, hidden();
    /// The same in Valkey.
    "dual-channel-replication-enabled" = "no", Bool;
    /// Seconds between pings to replicas.
    "repl-ping-replica-period" | "repl-ping-slave-period" = "10", integer(1, I32_MAX);
    /// Seconds of silence after which the other side is gone.
    "repl-timeout" = "60", integer(1, I32_MAX);
    /// Use multipath TCP to the primary (Valkey).
    "repl-mptcp" = "no", Bool, immutable();
    /// What a replica does when a command from its primary fails.
    "propagation-error-behavior" = "ignore", OneOf(&["ignore", "panic", "panic-on-replicas"]);

    /// Run as a node of a cluster. This version cannot, and so refuses yes.
    "cluster-enabled" = "no", Only { rule: Bool, allowed: "no", why: "this version cannot run as a node of a cluster: leave cluster-enabled at 'no'" }, immutable();
    /// Where a node keeps its view of the cluster.
    "cluster-config-file" = "nodes.conf", Text, immutable();
    /// Whether a failure to write that file ends the node (Valkey).
    "cluster-config-save-behavior" = "sync", OneOf(&["sync", "best-effort"]);
    /// Milliseconds after which a node counts as failing.
    "cluster-node-timeout" = "15000", integer(0, i64::MAX);
    /// The port between nodes.
    "cluster-port" = "0", port(), immutable();
    /// Databases in cluster mode (Valkey).
    "cluster-databases" = "1", integer(1, I32_MAX), immutable();
    /// The address that a node names to others.
    "cluster-announce-ip" = "", Text;
    /// The IPv4 address that it names to clients (Valkey).
    "cluster-announce-client-ipv4" = "", Text;
    /// The IPv6 address that it names to clients (Valkey).
    "cluster-announce-client-ipv6" = "", Text;
    /// The port that it names to clients (Valkey).
    "cluster-announce-client-port" = "0", port();
    /// The TLS port that it names to clients (Valkey).
    "cluster-announce-client-tls-port" = "0", port();
    /// The host name that it names.
    "cluster-announce-hostname" = "", Text;
    /// The name that people know it by.
    "cluster-announce-human-nodename" = "", Text;
    /// The port that it names.
    "cluster-announce-port" = "0", port();
    /// The TLS port that it names.
    "cluster-announce-tls-port" = "0", port();
    /// The port between nodes that it names.
    "cluster-announce-bus-port" = "0", port();
    /// What clients are sent to: an address, a host name, or neither.
    "cluster-preferred-endpoint-type" = "ip", OneOf(&["ip", "hostname", "unknown-endpoint"]);
    /// Serve nothing while a slot is without a node.
    "cluster-require-full-coverage" = "yes", Bool;
    /// Serve reads while the cluster is down.
    "cluster-allow-reads-when-down" = "no", Bool;
    /// Serve sharded pub/sub while the cluster is down.
    "cluster-allow-pubsubshard-when-down" = "yes", Bool;
    /// Let replicas move to primaries that have none.
    "cluster-allow-replica-migration" = "yes", Bool;
    /// Replicas that a primary keeps when others move.
    "cluster-migration-barrier" = "1", integer(0, I32_MAX);
    /// Never promote this replica by itself.
    "cluster-replica-no-failover" | "cluster-slave-no-failover" = "no", Bool;
    /// How stale a replica may be and still be promoted.
    "cluster-replica-validity-factor" | "cluster-slave-validity-factor" = "10", integer(0, I32_MAX);
    /// Memory for what waits to be sent to another node.
    "cluster-link-sendbuf-limit" = "0", any_size();
    /// Seconds for which a forgotten node stays forgotten (Valkey).
    "cluster-blacklist-ttl" = "60", integer(i64::MIN, i64::MAX);
    /// Milliseconds for a failover by hand (Valkey).
    "cluster-manual-failover-timeout" = "5000", integer(1, I32_MAX);
    /// Milliseconds between pings among nodes.
    "cluster-ping-interval" = "1000", integer(0, I32_MAX), hidden();
    /// Finished migrations of slots that are remembered (Valkey).
    "cluster-slot-migration-log-max-len" = "1000", integer(0, i64::MAX);
    /// Bytes that may be left when a migrating slot is handed over (Valkey).
    "slot-migration-max-failover-repl-bytes" = "0", size(-1);
    /// Count keys and traffic by slot.
    "cluster-slot-stats-enabled" = "no", Bool;
    /// The share of commands that are checked for use in a cluster (Redis).
    "cluster-compatibility-sample-ratio" = "0", integer(0, 100);

    /// The TLS port. This version has no TLS, and so takes only 0.
    "tls-port" = "0", Only { rule: port(), allowed: "0", why: "this version has no TLS: leave tls-port at 0" };
    /// The server's certificate.
    "tls-cert-file" = "", Text;
    /// Its key.
    "tls-key-file" = "", Text;
    /// The key's password.
    "tls-key-file-pass" = "", Text, sensitive();
    /// The certificate for connections to other servers.
    "tls-client-cert-file" = "", Text;
    /// Its key.
    "tls-client-key-file" = "", Text;
    /// That key's password.
    "tls-client-key-file-pass" = "", Text, sensitive();
    /// Diffie-Hellman parameters.
    "tls-dh-params-file" = "", Text;
    /// The certificates that are trusted.
    "tls-ca-cert-file" = "", Text;
    /// A folder of them.
    "tls-ca-cert-dir" = "", Text;
    /// Ask clients for certificates.
    "tls-auth-clients" = "yes", OneOf(&["no", "yes", "optional"]);
    /// The field of a client's certificate that names its user (Valkey).
    "tls-auth-clients-user" = "off", OneOf(&["off", "cn", "uri"]);
    /// Seconds between looks for new certificates (Valkey).
    "tls-auto-reload-interval" = "0", integer(0, I32_MAX);
    /// The versions of TLS.
    "tls-protocols" = "", Text;
    /// Ciphers up to TLS 1.2.
    "tls-ciphers" = "", Text;
    /// Ciphers of TLS 1.3.
    "tls-ciphersuites" = "", Text;
    /// Let the server choose the cipher.
    "tls-prefer-server-ciphers" = "no", Bool;
    /// Let clients resume sessions.
    "tls-session-caching" = "yes", Bool;
    /// Sessions that are remembered.
    "tls-session-cache-size" = "20480", integer(0, I32_MAX);
    /// Seconds for which they are.
    "tls-session-cache-timeout" = "300", integer(0, I32_MAX);
    /// TLS between nodes.
    "tls-cluster" = "no", Bool;
    /// TLS to the primary.
    "tls-replication" = "no", Bool;

    /// A file of users. This version has no other user than the default one, and so takes only none.
    "aclfile" = "", Only { rule: Text, allowed: "", why: "this version has no users but the default one: leave aclfile out, and set requirepass" }, immutable();
    /// Denied commands that ACL LOG remembers.
    "acllog-max-len" = "128", integer(0, i64::MAX);
    /// Whether new users may use every channel.
    "acl-pubsub-default" = "resetchannels", OneOf(&["allchannels", "resetchannels"]);
    /// Who may call MODULE; Ochre has no modules.
    "enable-module-command" = "no", OneOf(&["no", "yes", "local"]), immutable();

    /// Threads beside the main one; Ochre serves on threads of its own, see threads.
    "io-threads" = "1", integer(1, 256), immutable();
    /// Requests whose keys are prefetched together (Valkey); Ochre chooses this itself.
    "prefetch-batch-max-size" = "16", integer(0, 128);
    /// How often a second the chores run; Ochre's wake up when there is something to do.
    "hz" = "10", integer(0, I32_MAX).clamped(1, 500);
    /// Run them more often with more clients.
    "dynamic-hz" = "yes", Bool;
    /// Grow tables in the background; Ochre always does.
    "activerehashing" = "yes", Bool;
    /// How hard to look for expired keys; Ochre removes each when its time comes.
    "active-expire-effort" = "1", integer(1, 10);
    /// Defragment memory.
    "activedefrag" = "no", Bool;
    /// The least waste in bytes from which it is done.
    "active-defrag-ignore-bytes" = "104857600", any_size();
    /// The least waste in percent.
    "active-defrag-threshold-lower" = "10", integer(0, 1000);
    /// The waste from which it is done with all effort.
    "active-defrag-threshold-upper" = "100", integer(0, 1000);
    /// The least share of time that it takes.
    "active-defrag-cycle-min" = "1", integer(1, 99);
    /// The most.
    "active-defrag-cycle-max" = "25", integer(1, 99);
    /// Microseconds of one run of it (Valkey).
    "active-defrag-cycle-us" = "500", integer(0, 100_000);
    /// The most fields of a value that are moved at once.
    "active-defrag-max-scan-fields" = "1000", integer(1, i64::MAX);
    /// Let jemalloc purge in the background.
    "jemalloc-bg-thread" = "yes", Bool;
    /// Free evicted values in the background; Ochre always frees large ones there.
    "lazyfree-lazy-eviction" = "no", Bool;
    /// The same for expired ones.
    "lazyfree-lazy-expire" = "no", Bool;
    /// The same for replaced ones.
    "lazyfree-lazy-server-del" = "no", Bool;
    /// The same for DEL.
    "lazyfree-lazy-user-del" = "no", Bool;
    /// How long to evict before serving on.
    "maxmemory-eviction-tenacity" = "10", integer(0, 100);
    /// Connections that are accepted at once.
    "max-new-connections-per-cycle" = "10", unsigned(1, 1000);
    /// The same for TLS.
    "max-new-tls-connections-per-cycle" = "1", unsigned(1, 1000);
    /// The address from which other servers are called.
    "bind-source-addr" = "", OptionalText;
    /// The group of the Unix socket (Valkey).
    "unixsocketgroup" = "", OptionalText, immutable();
    /// Mark sockets for the kernel's packet filter.
    "socket-mark-id" = "0", unsigned(0, u32::MAX as i64), immutable();
    /// Multipath TCP (Valkey).
    "mptcp" = "no", Bool, immutable();
    /// The RDMA port (Valkey).
    "rdma-port" = "0", port();
    /// The RDMA addresses (Valkey).
    "rdma-bind" = "", OptionalText;
    /// The size of RDMA's receive buffer (Valkey).
    "rdma-rx-size" = "1048576", size(64 << 10), immutable();
    /// RDMA's completion vector (Valkey).
    "rdma-completion-vector" = "-1", integer(-1, 1024), immutable();

    /// Log to syslog. Ochre does not, which it says at start.
    "syslog-enabled" = "no", Bool, immutable();
    /// The name in syslog.
    "syslog-ident" = "ochre", Text, immutable();
    /// The facility in syslog.
    "syslog-facility" = "local0",
        OneOf(&["user", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7"]), immutable();
    /// The shape of log lines (Valkey).
    "log-format" = "legacy", OneOf(&["legacy", "logfmt", "json"]);
    /// The shape of their times (Valkey).
    "log-timestamp-format" = "legacy", OneOf(&["legacy", "iso8601", "milliseconds"]);
    /// Keep keys and values out of the log; Ochre never logs them.
    "hide-user-data-from-log" = "no", Bool;
    /// Show a logo in the log.
    "always-show-logo" = "no", Bool, immutable();
    /// Log a report on a crash.
    "crash-log-enabled" = "yes", Bool;
    /// Test memory after a crash.
    "crash-memcheck-enabled" = "yes", Bool;
    /// End by exit and not by abort on a panic.
    "use-exit-on-panic" = "no", Bool, hidden();
    /// Milliseconds after which a stalled server logs where it is.
    "watchdog-period" = "0", integer(0, I32_MAX), hidden();
    /// Warnings at start that are not wanted.
    "ignore-warnings" = "", Text;
    /// Show the state in the process's title.
    "set-proc-title" = "yes", Bool, immutable();
    /// What the title shows.
    "proc-title-template" = "{title} {listen-addr} {server-mode}", Text;
    /// The locale that sorts strings.
    "locale-collate" = "", Text;
    /// What SIGINT does.
    "shutdown-on-sigint" = "default", ON_SIGNAL;
    /// What SIGTERM does.
    "shutdown-on-sigterm" = "default", ON_SIGNAL;
    /// Ask the kernel to end other processes first when memory is short.
    "oom-score-adj" = "no", OneOf(&["no", "yes", "relative", "absolute"]);
    /// How much sooner: as a primary, a replica, or a child that saves.
    "oom-score-adj-values" = "0 200 800", OomScores;
    /// Turn transparent huge pages off for the process.
    "disable-thp" = "yes", Bool, immutable();
    /// The processors of the server.
    "server-cpulist" | "server_cpulist" = "", OptionalText, immutable();
    /// The processors of its background threads.
    "bio-cpulist" | "bio_cpulist" = "", OptionalText, immutable();
    /// The processors of the process that rewrites the append-only file.
    "aof-rewrite-cpulist" | "aof_rewrite_cpulist" = "", OptionalText, immutable();
    /// The processors of the process that saves.
    "bgsave-cpulist" | "bgsave_cpulist" = "", OptionalText, immutable();

    /// Bytes from which COMMANDLOG remembers a request (Valkey).
    "commandlog-request-larger-than" = "1048576", integer(-1, i64::MAX);
    /// Bytes from which it remembers a reply (Valkey).
    "commandlog-reply-larger-than" = "1048576", integer(-1, i64::MAX);
    /// Requests that it remembers (Valkey).
    "commandlog-large-request-max-len" = "128", integer(0, i64::MAX);
    /// Replies that it remembers (Valkey).
    "commandlog-large-reply-max-len" = "128", integer(0, i64::MAX);
    /// The zone that INFO names (Valkey).
    "availability-zone" = "", Text;
    /// Call itself Redis where clients look (Valkey).
    "extended-redis-compatibility" = "no", Bool;
    /// The seed of the hash function (Valkey); Ochre's is drawn at start, since a known one can be attacked.
    "hash-seed" = "", OptionalText, immutable(), sensitive();
    /// Keep expired keys while a primary is being imported (Valkey).
    "import-mode" = "no", Bool;
    /// Run vector commands on one thread (Redis).
    "vset-force-single-threaded-execution" = "no", Bool;

    /// For tests: microseconds to wait at each key of a snapshot.
    "rdb-key-save-delay" = "0", integer(i32::MIN as i64, I32_MAX), hidden();
    /// For tests: microseconds to wait at each loaded key.
    "key-load-delay" = "0", integer(i32::MIN as i64, I32_MAX), hidden();
    /// For tests: serve after so many bytes while loading.
    "loading-process-events-interval-bytes" = "2097152", integer(1024, I32_MAX), hidden();
    /// For tests: keep old append-only files.
    "aof-disable-auto-gc" = "no", Bool, hidden();
    /// Let scripts use what is deprecated.
    "lua-enable-deprecated-api" = "no", Bool, hidden();
    /// The same in Valkey.
    "lua-enable-insecure-api" = "no", Bool, hidden();
    /// For tests: send longer strings without copying them (Valkey).
    "min-string-size-avoid-copy-reply" = "16384", integer(0, I32_MAX), hidden();
    /// For tests: the same with threads (Valkey).
    "min-string-size-avoid-copy-reply-threaded" = "65536", integer(0, I32_MAX), hidden();
    /// For tests: from how many threads (Valkey).
    "min-io-threads-avoid-copy-reply" = "7", integer(0, I32_MAX), hidden();
    /// For tests: never let threads sleep (Valkey).
    "io-threads-always-active" = "no", Bool, hidden();
    /// For tests: a text in the crash report (Valkey).
    "debug-context" = "", Text, hidden();
}
