//! The settings that Ochre uses, one row for each directive: the field of [`Config`], its name in files, its default and its rule.

use std::{path::PathBuf, sync::Arc};

use crate::events::NotifyClass;

use super::{
    directive::{Access, Directive, Hook, Section, default_value},
    kept,
    rules::{
        Addresses, Bool, Choice, Choices, Directory, FileName, Integer, LimitsByClass, MaxmemoryClients, Memory,
        MemoryOrPercent, NotifyClasses, Octal, OptionalPath, OptionalText, OutputLimits, Percentiles, Rule, SavePoints,
        Text, choices,
    },
};

const I32_MAX: i64 = i32::MAX as i64;
const U32_MAX: i64 = u32::MAX as i64;

const ON_SIGNAL: Choices = Choices {
    names: &["default", "save", "nosave", "now", "force"],
    exclusive: ("save", "nosave"),
    both: "shutdown options SAVE and NOSAVE can't be used simultaneously",
};

/// Declares [`Config`] and the rows of [`SETTINGS`]:
///
/// ```text
/// Section {
///     /// What it does, in sentences for an operator: `ochre.conf` shows them.
///     field: type, "name" | "alias" = "default", rule, modifier(), …;
/// }
/// ```
///
/// The modifiers are the methods of [`Directive`].
macro_rules! settings {
    ($($section:ident {
        $($(#[doc = $doc:literal])+
        $field:ident: $type:ty, $name:literal $(| $alias:literal)* = $default:literal, $rule:expr
            $(, $modifier:ident($($argument:expr)?))*;)+
    })+) => {
        /// All settings.
        ///
        /// The configuration in force is never modified. A change makes a new one, so the holder of a `Config` sees settings of one moment.
        #[derive(Clone, PartialEq, Debug)]
        pub struct Config {
            $($($(#[doc = $doc])+ pub $field: $type,)+)+
            /// The `rename-command` lines in order: the old name and the new one, which is empty where the command is taken away.
            pub renamed_commands: Vec<(Vec<u8>, Vec<u8>)>,
            /// The words of the `user` lines, in order, without `user` itself.
            pub users: Arc<Vec<Vec<Vec<u8>>>>,
            /// The values of the kept directives, as CONFIG GET shows them.
            pub(super) kept: Arc<Vec<Arc<[u8]>>>,
        }

        impl Default for Config {
            fn default() -> Config {
                Config {
                    $($($field: default_value(&$rule, $default),)+)+
                    renamed_commands: vec![],
                    users: Arc::default(),
                    kept: kept::defaults(),
                }
            }
        }

        /// The directives that Ochre uses, by section.
        pub static SETTINGS: &[Directive] = &[$($(
            Directive::row($name, Section::$section, Access::Field {
                set: |config, words, place| {
                    config.$field = ($rule).parse_after(words, &config.$field, place)?;
                    Ok(())
                },
                show: |config| ($rule).show(&config.$field),
                lines: |config| ($rule).lines(&config.$field),
            })
            .described(&[$($alias),*], $default, concat!($($doc),+))
            .ruled::<$type, _>(&$rule)
            $(.$modifier($($argument)?))*,
        )+)+];
    };
}

settings! {
    Network {
        /// The TCP port to listen on; 0 for none.
        port: u16, "port" = "6379", Integer::between(0, 65535),
            hook(Hook::Listen("Unable to listen on this port. Check server logs."));
        /// The addresses to listen on. `*` is every IPv4 address and `::*` every IPv6 address; with `-` in front, an address may be missing on
        /// this machine. As this file has it, only this machine can connect.
        bind: Vec<String>, "bind" = "* -::*", Addresses,
            hook(Hook::Listen("Failed to bind to specified addresses.")), in_file("127.0.0.1 -::1"), example("192.168.1.100 10.0.0.1");
        /// While no password is set, refuse clients of other machines, on whatever address they connect.
        protected_mode: bool, "protected-mode" = "yes", Bool;
        /// The path of a Unix socket to listen on; empty for none.
        unixsocket: Option<PathBuf>, "unixsocket" = "", OptionalPath, immutable(), example("/run/ochre.sock");
        /// The permissions of the Unix socket, in octal digits; 0 leaves them to the umask.
        unixsocketperm: Option<u32>, "unixsocketperm" = "0", Octal, immutable(), example("770");
        /// How many connections may wait to be accepted. The kernel has a limit of its own (net.core.somaxconn), and the lower one counts.
        tcp_backlog: i32, "tcp-backlog" = "511", Integer::between(0, I32_MAX), immutable();
        /// Seconds of silence after which the kernel probes whether a client is still reachable; 0 for no probes.
        tcp_keepalive_s: u64, "tcp-keepalive" = "300", Integer::between(0, I32_MAX);
        /// How to reply to a client that types lines instead of sending RESP: `resp` as Redis does, or `plain` for a person to read.
        inline_replies: InlineReplies, "inline-replies" = "resp", Choice::new();
    }
    Tls {
        /// The port to listen on for encrypted connections, on the addresses of bind; 0 for none. With `port 0` there are no others.
        tls_port: u16, "tls-port" = "0", Integer::between(0, 65535),
            hook(Hook::ListenTls("Unable to listen on this port. Check server logs.")), example("6380");
        /// The server's certificate in PEM, followed by the certificates of authorities between it and the one that clients trust.
        /// CONFIG SET, SIGHUP and tls-auto-reload-interval read the files of certificates and keys again. Connections stay as they are.
        tls_cert_file: Option<PathBuf>, "tls-cert-file" = "", OptionalPath, volatile(), hook(Hook::Tls),
            example("/etc/ochre/tls/server.crt");
        /// The key of the server's certificate in PEM. It may be encrypted (PKCS#8).
        tls_key_file: Option<PathBuf>, "tls-key-file" = "", OptionalPath, volatile(), hook(Hook::Tls),
            example("/etc/ochre/tls/server.key");
        /// The password of an encrypted key.
        tls_key_file_pass: Option<Vec<u8>>, "tls-key-file-pass" = "", OptionalText, sensitive(), hook(Hook::Tls),
            example("\"a long password\"");
        /// The certificates in PEM of the authorities that may issue certificates of clients.
        tls_ca_cert_file: Option<PathBuf>, "tls-ca-cert-file" = "", OptionalPath, volatile(), hook(Hook::Tls),
            example("/etc/ochre/tls/ca.crt");
        /// A folder of such files. Every file in it is read.
        tls_ca_cert_dir: Option<PathBuf>, "tls-ca-cert-dir" = "", OptionalPath, volatile(), hook(Hook::Tls),
            example("/etc/ssl/certs");
        /// Whether clients must present a certificate: `yes`, `no`, or `optional`. One that is presented must be valid, except with `no`,
        /// which does not ask for it.
        tls_auth_clients: TlsAuthClients, "tls-auth-clients" = "yes", Choice::new(), hook(Hook::Tls);
        /// Which part of a client's certificate names the user that it acts for: `CN`, the common name, or `off` for none. If there is no such
        /// user, the client authenticates as without a certificate.
        tls_auth_clients_user: TlsAuthClientsUser, "tls-auth-clients-user" = "off", Choice::new(), example("CN");
        /// The TLS versions to speak, separated by spaces: `TLSv1.2` and `TLSv1.3`. Empty for both. Older versions are refused.
        tls_protocols: Vec<u8>, "tls-protocols" = "", Text, hook(Hook::Tls), example("TLSv1.3");
        /// The cipher suites of TLS 1.2 by their OpenSSL names, separated by colons. Empty for all that Ochre has. A name that it does not
        /// have is refused, and the log lists those that it has.
        tls_ciphers: Vec<u8>, "tls-ciphers" = "", Text, hook(Hook::Tls), example("ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384");
        /// The cipher suites of TLS 1.3, separated by colons. Empty for all that Ochre has.
        tls_ciphersuites: Vec<u8>, "tls-ciphersuites" = "", Text, hook(Hook::Tls), example("TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256");
        /// Choose the cipher suite by the server's order of preference, not by the client's.
        tls_prefer_server_ciphers: bool, "tls-prefer-server-ciphers" = "no", Bool, hook(Hook::Tls);
        /// Let clients that connect again resume their TLS session, which is quicker than a full handshake.
        tls_session_caching: bool, "tls-session-caching" = "yes", Bool, hook(Hook::Tls);
        /// The most TLS sessions that are remembered; 0 is no limit.
        tls_session_cache_size: usize, "tls-session-cache-size" = "20480", Integer::between(0, I32_MAX), hook(Hook::Tls);
        /// Seconds for which a TLS session is remembered.
        tls_session_cache_timeout_s: u64, "tls-session-cache-timeout" = "300", Integer::between(0, I32_MAX), hook(Hook::Tls);
        /// Seconds between looks at the files of certificates and keys. If they have changed, new connections use them; 0 for never.
        tls_auto_reload_interval_s: u64, "tls-auto-reload-interval" = "0", Integer::between(0, I32_MAX), example("3600");
        /// Seconds within which a client must have finished the TLS handshake.
        tls_handshake_timeout_s: u64, "tls-handshake-timeout" = "10", Integer::between(1, 3600);
    }
    Clients {
        /// The most clients at once. A further client gets an error and is disconnected.
        maxclients: u32, "maxclients" = "10000", Integer::unsigned(1, U32_MAX), hook(Hook::OpenFiles);
        /// Seconds after which an idle client is disconnected; 0 for never.
        timeout_s: u64, "timeout" = "0", Integer::between(0, I32_MAX);
        /// The longest argument of a command, and the longest string value.
        proto_max_bulk_len: u64, "proto-max-bulk-len" = "536870912", Memory::between(1 << 20, i64::MAX);
        /// The most bytes that are buffered for one client: an unfinished argument, what it sends while it is blocked, and commands queued since
        /// MULTI. Beyond it the client is disconnected.
        client_query_buffer_limit: u64, "client-query-buffer-limit" = "1073741824", Memory::between(1 << 20, i64::MAX);
        /// The limits of replies that wait to be sent to one client, by class of client: `normal`, `slave` (a replica) or `pubsub`. A line
        /// has a class, a hard limit, a soft limit and seconds. A client is disconnected above the hard limit, or after that many
        /// seconds above the soft one. 0 is no limit.
        client_output_buffer_limit: OutputLimits,
            "client-output-buffer-limit" = "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60", LimitsByClass,
            example("normal 1gb 256mb 60");
        /// The most memory of all clients' buffers together, in bytes or in percent of maxmemory. Beyond it the clients with the largest buffers
        /// are disconnected. 0 is no limit.
        maxmemory_clients: MaxmemoryClients, "maxmemory-clients" = "0", MemoryOrPercent, example("5%"), no_effect_yet();
        /// The most keys that client-side caching remembers on behalf of its clients; 0 is no limit.
        tracking_table_max_keys: u64, "tracking-table-max-keys" = "1000000", Integer::unsigned(0, i64::MAX), no_effect_yet();
    }
    Security {
        /// The password of the default user, which a client must send with AUTH or HELLO; empty for none.
        requirepass: Option<Vec<u8>>, "requirepass" = "", OptionalText, sensitive(), example("\"a long password\"");
        /// The file of users, which ACL LOAD reads and ACL SAVE writes. Without one, users are lines of this file, such as
        /// `user alice on >password ~cache:* +@read`, and CONFIG REWRITE writes them.
        aclfile: Option<PathBuf>, "aclfile" = "", OptionalPath, immutable(), example("/etc/ochre/users.acl");
        /// The most entries of ACL LOG, which shows what users were denied.
        acllog_max_len: u64, "acllog-max-len" = "128", Integer::between(0, i64::MAX);
        /// Whether new users may use all channels: `allchannels` or `resetchannels`.
        acl_pubsub_default: AclPubsubDefault, "acl-pubsub-default" = "resetchannels", Choice::new();
        /// Who may call DEBUG: `no` for nobody, `yes` for every client, `local` for clients of this machine.
        enable_debug_command: EnableCommand, "enable-debug-command" = "no", Choice::new(), immutable();
        /// Who may change, with CONFIG SET, the directives that decide where files are written: `no`, `yes` or `local` as above.
        enable_protected_configs: EnableCommand, "enable-protected-configs" = "no", Choice::new(), immutable();
    }
    Process {
        /// The number of threads that serve clients, each on a core of its own; 0 for one on every core of the machine.
        threads: usize, "threads" = "0", Integer::between(0, 1024), immutable();
        /// The number of databases that SELECT can choose from.
        databases: usize, "databases" = "16", Integer::between(1, I32_MAX), immutable();
        /// Run in the background, without a terminal.
        daemonize: bool, "daemonize" = "no", Bool, immutable();
        /// The file to write the process id to. If it is empty, a server in the background writes /var/run/ochre.pid, and any other server
        /// writes none.
        pidfile: Option<PathBuf>, "pidfile" = "", OptionalPath, immutable(), example("/run/ochre.pid");
        /// The supervisor to notify when the server is ready: `upstart`, `systemd`, `auto` for whichever has started it, or `no`.
        supervised: Supervision, "supervised" = "no", Choice::new(), immutable();
        /// The working directory. Relative paths start here.
        dir: PathBuf, "dir" = ".", Directory, protected(), hook(Hook::Directory);
        /// How SIGTERM shuts the server down, in options of SHUTDOWN: `default`, which saves if there are save points, or some of `save`,
        /// `nosave`, `now` and `force`.
        shutdown_on_sigterm: Vec<&'static str>, "shutdown-on-sigterm" = "default", ON_SIGNAL;
        /// The same for SIGINT.
        shutdown_on_sigint: Vec<&'static str>, "shutdown-on-sigint" = "default", ON_SIGNAL;
        /// The most seconds that a shutdown waits for replicas to catch up.
        shutdown_timeout_s: u32, "shutdown-timeout" = "10", Integer::between(0, I32_MAX), no_effect_yet();
    }
    Log {
        /// How much to log: `debug` (everything), `verbose`, `notice`, `warning`, or `nothing`.
        loglevel: LogLevel, "loglevel" = "notice", Choice::new(), hook(Hook::Log);
        /// The file to log to; empty for standard output. When the file is renamed, the server creates a new one, so log rotation needs no
        /// signal.
        logfile: Option<PathBuf>, "logfile" = "", OptionalPath, local(), hook(Hook::Log), example("/var/log/ochre.log");
    }
    Memory {
        /// The most memory that the server may use. Beyond it, keys are evicted, as maxmemory-policy says. 0 is no limit.
        /// Buffers of clients count for at most a half of it, and what waits to be written to files does not count.
        maxmemory: u64, "maxmemory" = "0", Memory::any(), example("2gb");
        /// Which keys to evict at maxmemory: those least recently used (`lru`), least frequently used (`lfu`) or any (`random`), of all
        /// keys (`allkeys-*`) or of those with an expiry (`volatile-*`); `volatile-ttl` for those that expire soonest; or
        /// `noeviction`, which refuses commands that need more memory. `lrm` is least recently modified: reading a key does not keep it.
        maxmemory_policy: MaxmemoryPolicy, "maxmemory-policy" = "noeviction", Choice::new();
        /// The number of keys that are compared to choose one to evict.
        maxmemory_samples: u32, "maxmemory-samples" = "5", Integer::between(1, 64);
        /// How long eviction may hold up the clients of its core before they have their turn: 0 for the shortest time, 10 for 500 µs, 100 for as
        /// long as it takes. A command that needs memory waits for it in any case.
        maxmemory_eviction_tenacity: u32, "maxmemory-eviction-tenacity" = "10", Integer::between(0, 100);
        /// How slowly the LFU counter of a key grows with its hits. The higher, the more hits a step takes.
        lfu_log_factor: u32, "lfu-log-factor" = "10", Integer::between(0, I32_MAX);
        /// Minutes without a hit after which the LFU counter of a key decreases by one; 0 for never.
        lfu_decay_time: u32, "lfu-decay-time" = "1", Integer::between(0, I32_MAX);
        /// Whether entries are moved in the background, so that pages of memory which hold little become empty and are given back to the system.
        activedefrag: bool, "activedefrag" = "yes", Bool;
        /// The fewest bytes of unused memory in such pages at which entries are moved.
        defrag_ignore_bytes: u64, "active-defrag-ignore-bytes" = "104857600", Memory::between(1, i64::MAX);
        /// The percentage of unused memory, of the memory in use, from which on entries are moved.
        defrag_threshold_lower: u32, "active-defrag-threshold-lower" = "10", Integer::between(0, 1000);
        /// The percentage from which on the greatest effort is made.
        defrag_threshold_upper: u32, "active-defrag-threshold-upper" = "100", Integer::between(0, 1000);
        /// The least effort: the percentage of its time that a core spends on it.
        defrag_cycle_min: u32, "active-defrag-cycle-min" = "1", Integer::between(1, 99);
        /// The greatest effort, in percent.
        defrag_cycle_max: u32, "active-defrag-cycle-max" = "25", Integer::between(1, 99);
        /// How many microseconds a core works before it rests. Its clients have turns in between.
        defrag_cycle_us: u32, "active-defrag-cycle-us" = "500", Integer::between(0, 100_000);
        /// The most elements of a value that are moved at once. Ochre moves entries, and leaves the parts of large values where they are.
        defrag_max_scan_fields: u64, "active-defrag-max-scan-fields" = "1000", Integer::between(1, i64::MAX), no_effect_yet();
        /// Whether FLUSHALL and FLUSHDB, called without SYNC or ASYNC, behave as with ASYNC. Memory is always freed in the background; SYNC
        /// only makes the reply wait for it.
        lazyfree_lazy_user_flush: bool, "lazyfree-lazy-user-flush" = "no", Bool, no_effect_yet();
    }
    DataTypes {
        /// The most fields of a hash that is stored as a listpack. A larger one becomes a table.
        hash_max_listpack_entries: usize,
            "hash-max-listpack-entries" | "hash-max-ziplist-entries" = "512", Integer::unsigned(0, i64::MAX);
        /// The longest field or value, in bytes, of a hash that is stored as a listpack.
        hash_max_listpack_value: usize, "hash-max-listpack-value" | "hash-max-ziplist-value" = "64", Memory::any();
        /// The most members of a set of integers that is stored as an intset. A larger one becomes a listpack or a table.
        set_max_intset_entries: usize, "set-max-intset-entries" = "512", Integer::unsigned(0, i64::MAX);
        /// The most members of a set that is stored as a listpack. A larger one becomes a table.
        set_max_listpack_entries: usize, "set-max-listpack-entries" = "128", Integer::unsigned(0, i64::MAX);
        /// The longest member, in bytes, of a set that is stored as a listpack.
        set_max_listpack_value: usize, "set-max-listpack-value" = "64", Integer::unsigned(0, i64::MAX);
        /// The most members of a sorted set that is stored as a listpack. A larger one becomes a tree.
        zset_max_listpack_entries: usize,
            "zset-max-listpack-entries" | "zset-max-ziplist-entries" = "128", Integer::unsigned(0, i64::MAX);
        /// The longest member, in bytes, of a sorted set that is stored as a listpack.
        zset_max_listpack_value: usize, "zset-max-listpack-value" | "zset-max-ziplist-value" = "64", Memory::any();
        /// The size of a node of a list: a number of elements, or -1, -2, -3, -4 or -5 for 4, 8, 16, 32 or 64 KB.
        list_max_listpack_size: i32,
            "list-max-listpack-size" | "list-max-ziplist-size" = "-2", Integer::between(i32::MIN as i64, I32_MAX);
        /// The number of nodes at each end of a list that are not compressed; 0 to compress none at all.
        list_compress_depth: i32, "list-compress-depth" = "0", Integer::between(0, I32_MAX), no_effect_yet();
        /// The most bytes of a node of a stream; 0 is no limit.
        stream_node_max_bytes: usize, "stream-node-max-bytes" = "4096", Memory::any();
        /// The most entries of a node of a stream; 0 is no limit.
        stream_node_max_entries: i64, "stream-node-max-entries" = "100", Integer::between(0, i64::MAX);
        /// The most bytes of a HyperLogLog in its sparse form. A larger one becomes dense.
        hll_sparse_max_bytes: usize, "hll-sparse-max-bytes" = "3000", Memory::any();
    }
    Events {
        /// The keyspace events to publish, a letter each: `K` and `E` for the channels by key and by event, then the classes of events
        /// `g$lshzxetdmnoc`, or `A` for all of them but `m`, `n`, `o` and `c`. Empty for none.
        notify_keyspace_events: NotifyClass, "notify-keyspace-events" = "", NotifyClasses, example("KEA");
        /// Milliseconds after which other clients are told that a script is running, and may kill it.
        busy_reply_threshold_ms: i64, "busy-reply-threshold" | "lua-time-limit" = "5000", Integer::between(0, i64::MAX);
        /// The most memory that a script may use beside its arguments.
        script_memory_limit: usize, "script-memory-limit" = "64mb", Memory::between(1024 * 1024, i64::MAX);
    }
    Observation {
        /// Microseconds from which a command is recorded in SLOWLOG; a negative number for never.
        slowlog_log_slower_than_us: i64,
            "slowlog-log-slower-than" | "commandlog-execution-slower-than" = "10000", Integer::between(-1, i64::MAX);
        /// The number of commands that SLOWLOG keeps.
        slowlog_max_len: u64,
            "slowlog-max-len" | "commandlog-slow-execution-max-len" = "128", Integer::between(0, i64::MAX);
        /// Bytes from which a request is recorded in COMMANDLOG; -1 for never.
        commandlog_request_larger_than: i64, "commandlog-request-larger-than" = "1048576", Integer::between(-1, i64::MAX);
        /// Bytes from which a reply is recorded in COMMANDLOG; -1 for never.
        commandlog_reply_larger_than: i64, "commandlog-reply-larger-than" = "1048576", Integer::between(-1, i64::MAX);
        /// The number of large requests that COMMANDLOG keeps.
        commandlog_large_request_max_len: u64, "commandlog-large-request-max-len" = "128", Integer::between(0, i64::MAX);
        /// The number of large replies that COMMANDLOG keeps.
        commandlog_large_reply_max_len: u64, "commandlog-large-reply-max-len" = "128", Integer::between(0, i64::MAX);
        /// Milliseconds from which LATENCY records an event; 0 for never.
        latency_monitor_threshold_ms: i64, "latency-monitor-threshold" = "0", Integer::between(0, i64::MAX);
        /// Measure how long each command takes, for the percentiles in INFO.
        latency_tracking: bool, "latency-tracking" = "yes", Bool;
        /// The percentiles of command times that INFO shows.
        latency_tracking_info_percentiles: Vec<f64>, "latency-tracking-info-percentiles" = "50 99 99.9", Percentiles;
    }
    Persistence {
        /// Keep an append-only file (AOF) of everything that is written, and load it at start instead of the saved file.
        appendonly: bool, "appendonly" = "no", Bool, hook(Hook::AppendOnly);
        /// When the AOF is synced to the disk: `always` before a client is answered, `everysec` once a second, or `no` when the system does it.
        appendfsync: AppendFsync, "appendfsync" = "everysec", Choice::new(), hook(Hook::AppendOnly);
        /// What the names of the AOF's files begin with.
        appendfilename: Vec<u8>, "appendfilename" = "appendonly.aof",
            FileName { not_a_path: "appendfilename can't be a path, just a filename" }, immutable();
        /// The folder of the AOF, within dir.
        appenddirname: Vec<u8>, "appenddirname" = "appendonlydir",
            FileName { not_a_path: "appenddirname can't be a path, just a dirname" }, immutable();
        /// The growth of the AOF since it was last rewritten, in percent, at which it is rewritten; 0 for never.
        auto_aof_rewrite_percentage: u32, "auto-aof-rewrite-percentage" = "100", Integer::between(0, I32_MAX);
        /// The size that the AOF must have to be rewritten for its growth.
        auto_aof_rewrite_min_size: u64, "auto-aof-rewrite-min-size" = "67108864", Memory::between(0, i64::MAX);
        /// Begin a rewritten AOF with an RDB file, which loads faster; otherwise with one RESTORE for each key.
        aof_use_rdb_preamble: bool, "aof-use-rdb-preamble" = "yes", Bool;
        /// Load an AOF whose end is missing, as after a crash, and cut the torn end off. Otherwise the server does not start.
        aof_load_truncated: bool, "aof-load-truncated" = "yes", Bool;
        /// Write the time into the AOF whenever its second changes.
        aof_timestamp_enabled: bool, "aof-timestamp-enabled" = "no", Bool, hook(Hook::AppendOnly);
        /// Write a checksum after each block of the AOF, and verify each before it is loaded. Redis and Valkey skip these lines.
        aof_checksum: bool, "aof-checksum" = "yes", Bool, hook(Hook::AppendOnly);
        /// Sync a rewritten AOF in steps while it is written.
        aof_rewrite_incremental_fsync: bool, "aof-rewrite-incremental-fsync" = "yes", Bool;
        /// When to save: after `seconds` with at least `changes` changes of the data. Several lines, or pairs, are all looked at; "" is never.
        save: Vec<(i64, i64)>, "save" = "3600 1 300 100 60 10000", SavePoints, example("900 1");
        /// The file that the data is saved to and loaded from at start, within dir.
        dbfilename: Vec<u8>, "dbfilename" = "dump.rdb",
            FileName { not_a_path: "dbfilename can't be a path, just a filename" }, protected();
        /// Refuse writes after a save in the background has failed, until one succeeds.
        stop_writes_on_bgsave_error: bool, "stop-writes-on-bgsave-error" = "yes", Bool;
        /// Write a checksum at the end of a saved file, and verify it when the file is loaded.
        rdbchecksum: bool, "rdbchecksum" = "yes", Bool, immutable();
        /// Sync a saved file in steps while it is written, so that little is left to sync at its end.
        rdb_save_incremental_fsync: bool, "rdb-save-incremental-fsync" = "yes", Bool;
        /// While the data is saved, the most bytes of old values that writers may hand over before they have to wait for the disk. 0 is 64 MiB, or
        /// 5 percent of the memory in use if that is more.
        snapshot_backlog_limit: u64, "snapshot-backlog-limit" = "0", Memory::between(0, i64::MAX);
        /// Compress strings, where that makes them shorter, in saved files and in what DUMP replies.
        rdbcompression: bool, "rdbcompression" = "yes", Bool;
        /// How the expiries of hash fields are written: `redis` for Redis 7.4 and later, or `valkey` for Valkey 9. All other data is written so
        /// that both can load it. Ochre itself loads either.
        rdb_dialect: RdbDialect, "rdb-dialect" = "redis", Choice::new();
        /// For tests: microseconds to wait after each key that is loaded; -n waits for a microsecond after every n-th key.
        key_load_delay_us: i32, "key-load-delay" = "0", Integer::between(i32::MIN as i64, I32_MAX), hidden();
    }
    Replicas {
        /// Refuse writes while fewer replicas than this are connected; 0 for never. This version has no replicas, so any other number refuses
        /// all writes.
        min_replicas_to_write: u32, "min-replicas-to-write" | "min-slaves-to-write" = "0", Integer::between(0, I32_MAX);
        /// Seconds of silence after which a replica does not count for min-replicas-to-write; 0 turns that directive off.
        min_replicas_max_lag_s: u32, "min-replicas-max-lag" | "min-slaves-max-lag" = "10", Integer::between(0, I32_MAX);
    }
}

choices! {
    /// The form of replies to inline commands.
    InlineReplies {
        /// One line of text, for a person at `nc`.
        Plain = "plain",
        /// RESP, as Redis replies.
        Resp = "resp",
    }

    /// Which clients may use something dangerous.
    EnableCommand {
        /// None.
        No = "no",
        /// All.
        Yes = "yes",
        /// The clients of this machine.
        Local = "local",
    }

    /// Which channels new users may use.
    AclPubsubDefault {
        /// They may use no channel.
        None = "resetchannels",
        /// They may use all channels.
        All = "allchannels",
    }
    /// Which part of a client's certificate names its user.
    TlsAuthClientsUser {
        /// None.
        Off = "off",
        /// The common name.
        CommonName = "CN",
    }
    /// Whether clients must present a certificate.
    TlsAuthClients {
        /// They are not asked for one.
        No = "no",
        /// They must.
        Yes = "yes",
        /// They may, and it must be valid then.
        Optional = "optional",
    }

    /// When the append-only file is synced.
    AppendFsync {
        /// When the system does it.
        No = "no",
        /// Once a second.
        Everysec = "everysec",
        /// Before a client is answered.
        Always = "always",
    }

    /// How the expiries of hash fields are written.
    RdbDialect {
        /// As Redis 7.4 and later write them.
        Redis = "redis",
        /// As Valkey 9 writes them.
        Valkey = "valkey",
    }

    /// Which key to evict when the memory limit is reached.
    MaxmemoryPolicy {
        /// The least recently used one, of the keys with an expiry.
        VolatileLru = "volatile-lru",
        /// The least frequently used one, of the keys with an expiry.
        VolatileLfu = "volatile-lfu",
        /// Any one, of the keys with an expiry.
        VolatileRandom = "volatile-random",
        /// The least recently modified one, of the keys with an expiry.
        VolatileLrm = "volatile-lrm",
        /// The one that expires soonest.
        VolatileTtl = "volatile-ttl",
        /// The least recently used one.
        AllkeysLru = "allkeys-lru",
        /// The least frequently used one.
        AllkeysLfu = "allkeys-lfu",
        /// The least recently modified one.
        AllkeysLrm = "allkeys-lrm",
        /// Any one.
        AllkeysRandom = "allkeys-random",
        /// None: writes are refused instead.
        Noeviction = "noeviction",
    }

    /// The least severe level that is logged.
    LogLevel {
        /// Everything, for developers.
        Debug = "debug",
        /// Much that an operator seldom needs.
        Verbose = "verbose",
        /// What an operator wants to know.
        Notice = "notice",
        /// Only what needs attention.
        Warning = "warning",
        /// No lines at all.
        Nothing = "nothing",
    }

    /// The program that supervises the process and is told when it is ready.
    Supervision {
        /// Upstart.
        Upstart = "upstart",
        /// Systemd.
        Systemd = "systemd",
        /// Whichever of the two has set its environment variable.
        Auto = "auto",
        /// None.
        No = "no",
    }
}

impl MaxmemoryPolicy {
    /// Whether it looks at when a key was last used.
    pub fn is_lru(self) -> bool {
        matches!(self, MaxmemoryPolicy::AllkeysLru | MaxmemoryPolicy::VolatileLru)
    }

    /// Whether it looks at when a key was last modified.
    pub fn is_lrm(self) -> bool {
        matches!(self, MaxmemoryPolicy::AllkeysLrm | MaxmemoryPolicy::VolatileLrm)
    }

    /// Whether it looks at how often a key was used.
    pub fn is_lfu(self) -> bool {
        matches!(self, MaxmemoryPolicy::AllkeysLfu | MaxmemoryPolicy::VolatileLfu)
    }
}

impl AclPubsubDefault {
    /// Whether it is all channels.
    pub fn is_all(self) -> bool {
        self == AclPubsubDefault::All
    }
}
