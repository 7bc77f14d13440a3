//! The settings that Ochre uses, one row a directive: the field of [`Config`], its name in files, its default and its rule.

use std::{path::PathBuf, sync::Arc};

use crate::events::NotifyClass;

use super::{
    directive::{Access, Directive, Group, Hook, default_value},
    kept,
    rules::{
        Addresses, Bool, Choice, Directory, Integer, LimitsByClass, MaxmemoryClients, Memory, MemoryOrPercent,
        NotifyClasses, Octal, OptionalPath, OptionalText, OutputLimits, Percentiles, Rule, choices,
    },
};

const I32_MAX: i64 = i32::MAX as i64;
const U32_MAX: i64 = u32::MAX as i64;

/// Declares [`Config`] and the rows of [`SETTINGS`]:
///
/// ```text
/// /// What it does.
/// field: type, "name" | "alias" = "default", rule, modifier(), …;
/// ```
macro_rules! settings {
    ($($group:ident {
        $($(#[doc = $doc:literal])+
        $field:ident: $type:ty, $name:literal $(| $alias:literal)* = $default:literal, $rule:expr
            $(, $modifier:ident($($argument:expr)?))*;)+
    })+) => {
        /// All settings. One is never changed: a change makes a new one, so whoever holds one sees settings that belong together.
        #[derive(Clone, PartialEq, Debug)]
        pub struct Config {
            $($($(#[doc = $doc])+ pub $field: $type,)+)+
            /// `rename-command` lines in order: the old name, and the new one, empty to have the command no more.
            pub renamed_commands: Vec<(Vec<u8>, Vec<u8>)>,
            /// The values of the kept directives, as CONFIG GET shows them.
            pub(super) kept: Arc<Vec<Arc<[u8]>>>,
        }

        impl Default for Config {
            fn default() -> Config {
                Config {
                    $($($field: default_value(&$rule, $default),)+)+
                    renamed_commands: vec![],
                    kept: kept::defaults(),
                }
            }
        }

        /// The directives that Ochre uses, by group.
        pub static SETTINGS: &[Directive] = &[$($(
            Directive::row($name, Group::$group, Access::Field {
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
        /// The TCP port; 0 listens on none.
        port: u16, "port" = "6379", Integer::between(0, 65535), hook(Hook::Listen);
        /// The addresses to listen on; - before one means that it may be missing on this machine, * is every IPv4 address, ::* every
        /// IPv6 one. Loopback unless told otherwise: a data store that the network can reach is a decision.
        bind: Vec<String>, "bind" = "127.0.0.1 -::1", Addresses, hook(Hook::Listen);
        /// With no password set, serve only clients of this machine, on whatever address they come.
        protected_mode: bool, "protected-mode" = "yes", Bool;
        /// The path of a Unix socket to listen on; none if empty.
        unixsocket: Option<PathBuf>, "unixsocket" = "", OptionalPath, immutable();
        /// The mode of that socket, in octal digits; 0 leaves it to the umask.
        unixsocketperm: Option<u32>, "unixsocketperm" = "0", Octal, immutable();
        /// How many connections the kernel holds until they are accepted; it caps this at its own limit.
        tcp_backlog: i32, "tcp-backlog" = "511", Integer::between(0, I32_MAX), immutable();
        /// Seconds between the kernel's probes of a silent connection, so that dead ones are noticed; 0 sends none.
        tcp_keepalive_s: u64, "tcp-keepalive" = "300", Integer::between(0, I32_MAX);
        /// How a client that types lines instead of speaking RESP is answered: resp, as Redis does, or plain text for a person.
        inline_replies: InlineReplies, "inline-replies" = "resp", Choice::new();
    }
    Clients {
        /// The most clients at once. More are told so and disconnected.
        maxclients: u32, "maxclients" = "10000", Integer::unsigned(1, U32_MAX), hook(Hook::OpenFiles);
        /// Seconds after which an idle client is disconnected; 0 never.
        timeout_s: u64, "timeout" = "0", Integer::between(0, I32_MAX);
        /// The longest argument, and the longest string value.
        proto_max_bulk_len: u64, "proto-max-bulk-len" = "536870912", Memory::between(1 << 20, i64::MAX);
        /// The most that may be read and not yet executed for one client, before it is disconnected.
        client_query_buffer_limit: u64, "client-query-buffer-limit" = "1073741824", Memory::any();
        /// By class of client (normal, replica, pubsub): the bytes that may wait to be sent before it is disconnected at once, and the
        /// bytes that may wait for so many seconds. 0 is no limit. A line a class.
        client_output_buffer_limit: OutputLimits,
            "client-output-buffer-limit" = "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60", LimitsByClass;
        /// What all clients' buffers together may hold, in bytes or as a share of maxmemory, before the largest are disconnected; 0 is no
        /// limit.
        maxmemory_clients: MaxmemoryClients, "maxmemory-clients" = "0", MemoryOrPercent;
        /// How many keys client-side caching remembers as read by its clients; 0 is no limit.
        tracking_table_max_keys: u64, "tracking-table-max-keys" = "1000000", Integer::unsigned(0, i64::MAX);
    }
    Security {
        /// The password that clients have to give; none if empty.
        requirepass: Option<Vec<u8>>, "requirepass" = "", OptionalText, sensitive(), hook(Hook::Password);
        /// Who may call DEBUG: nobody (no), everybody (yes), or clients of this machine (local).
        enable_debug_command: EnableCommand, "enable-debug-command" = "no", Choice::new(), immutable();
        /// Who may set the directives that decide where files are written.
        enable_protected_configs: EnableCommand, "enable-protected-configs" = "no", Choice::new(), immutable();
    }
    Process {
        /// How many threads serve clients, each on a core of its own; 0 is one a core of this machine.
        threads: usize, "threads" = "0", Integer::between(0, 1024), immutable();
        /// How many databases SELECT can choose from.
        databases: usize, "databases" = "16", Integer::between(1, I32_MAX), immutable();
        /// Go to the background at start.
        daemonize: bool, "daemonize" = "no", Bool, immutable();
        /// Where to write the process's id. If empty, only a server in the background writes one, to /var/run/ochre.pid.
        pidfile: Option<PathBuf>, "pidfile" = "", OptionalPath, immutable();
        /// Who supervises the process and is told when it is ready: upstart, systemd, auto to look, or no one.
        supervised: Supervision, "supervised" = "no", Choice::new(), immutable();
        /// The working directory; relative paths start here.
        dir: PathBuf, "dir" = ".", Directory, protected(), hook(Hook::Directory);
        /// Seconds for which a shutdown waits for replicas to catch up.
        shutdown_timeout_s: u32, "shutdown-timeout" = "10", Integer::between(0, I32_MAX);
    }
    Log {
        /// The least level that is logged: debug, verbose, notice, warning, or nothing at all.
        loglevel: LogLevel, "loglevel" = "notice", Choice::new(), hook(Hook::Log);
        /// Where the log goes; standard output if empty. A file that was renamed away is made anew, so rotating it needs no signal.
        logfile: Option<PathBuf>, "logfile" = "", OptionalPath, local(), hook(Hook::Log);
    }
    Memory {
        /// The most memory that data may take; 0 is no limit.
        maxmemory: u64, "maxmemory" = "0", Memory::any(), hook(Hook::Memory);
        /// What is evicted at that limit: keys by last use (lru), by how often they are used (lfu), by chance, or by their time to live,
        /// of all keys or of those that expire (volatile); with noeviction, writes are refused instead.
        maxmemory_policy: MaxmemoryPolicy, "maxmemory-policy" = "noeviction", Choice::new();
        /// How many keys are compared to choose one to evict.
        maxmemory_samples: u32, "maxmemory-samples" = "5", Integer::between(1, 64);
        /// How many hits double a key's chance to be counted: the higher, the slower the LFU counter grows.
        lfu_log_factor: u32, "lfu-log-factor" = "10", Integer::between(0, I32_MAX);
        /// Minutes after which an LFU counter loses one; 0 never.
        lfu_decay_time: u32, "lfu-decay-time" = "1", Integer::between(0, I32_MAX);
        /// Whether FLUSHALL and FLUSHDB without SYNC or ASYNC reply before the memory is free; freeing is in the background either way.
        lazyfree_lazy_user_flush: bool, "lazyfree-lazy-user-flush" = "no", Bool;
    }
    DataTypes {
        /// A hash with more fields than this becomes a table.
        hash_max_listpack_entries: usize,
            "hash-max-listpack-entries" | "hash-max-ziplist-entries" = "512", Integer::unsigned(0, i64::MAX);
        /// A hash with a longer field or value than this becomes a table.
        hash_max_listpack_value: usize, "hash-max-listpack-value" | "hash-max-ziplist-value" = "64", Memory::any();
        /// A set of integers with more members than this becomes a listpack or a table.
        set_max_intset_entries: usize, "set-max-intset-entries" = "512", Integer::unsigned(0, i64::MAX);
        /// A set with more members than this becomes a table.
        set_max_listpack_entries: usize, "set-max-listpack-entries" = "128", Integer::unsigned(0, i64::MAX);
        /// A set with a longer member than this becomes a table.
        set_max_listpack_value: usize, "set-max-listpack-value" = "64", Integer::unsigned(0, i64::MAX);
        /// A sorted set with more members than this becomes a tree.
        zset_max_listpack_entries: usize,
            "zset-max-listpack-entries" | "zset-max-ziplist-entries" = "128", Integer::unsigned(0, i64::MAX);
        /// A sorted set with a longer member than this becomes a tree.
        zset_max_listpack_value: usize, "zset-max-listpack-value" | "zset-max-ziplist-value" = "64", Memory::any();
        /// The size of a node of a list: so many elements, or -1 to -5 for 4, 8, 16, 32 or 64 KB.
        list_max_listpack_size: i32,
            "list-max-listpack-size" | "list-max-ziplist-size" = "-2", Integer::between(i32::MIN as i64, I32_MAX);
        /// How many nodes at each end of a list are not compressed; 0 compresses none.
        list_compress_depth: i32, "list-compress-depth" = "0", Integer::between(0, I32_MAX);
        /// A node of a stream takes no more bytes than this; 0 is no limit.
        stream_node_max_bytes: usize, "stream-node-max-bytes" = "4096", Memory::any();
        /// A node of a stream takes no more entries than this; 0 is no limit.
        stream_node_max_entries: i64, "stream-node-max-entries" = "100", Integer::between(0, i64::MAX);
        /// A HyperLogLog with a longer sparse form than this becomes dense.
        hll_sparse_max_bytes: usize, "hll-sparse-max-bytes" = "3000", Memory::any();
    }
    Events {
        /// Which changes of keys are published: K and E for the channels by key and by event, then the classes g$lshzxetdmn, or A for most
        /// of them. None if empty.
        notify_keyspace_events: NotifyClass, "notify-keyspace-events" = "", NotifyClasses;
        /// Milliseconds after which a script is called busy and may be killed.
        busy_reply_threshold_ms: i64, "busy-reply-threshold" | "lua-time-limit" = "5000", Integer::between(0, i64::MAX);
    }
    Observation {
        /// Microseconds from which a command is in SLOWLOG; negative for none.
        slowlog_log_slower_than_us: i64,
            "slowlog-log-slower-than" | "commandlog-execution-slower-than" = "10000", Integer::between(-1, i64::MAX);
        /// How many commands SLOWLOG remembers.
        slowlog_max_len: u64, "slowlog-max-len" | "commandlog-slow-execution-max-len" = "128", Integer::between(0, i64::MAX);
        /// Milliseconds from which LATENCY remembers an event; 0 for none.
        latency_monitor_threshold_ms: i64, "latency-monitor-threshold" = "0", Integer::between(0, i64::MAX);
        /// Measure how long each command takes.
        latency_tracking: bool, "latency-tracking" = "yes", Bool;
        /// The percentiles of those times in INFO.
        latency_tracking_info_percentiles: Vec<f64>, "latency-tracking-info-percentiles" = "50 99 99.9", Percentiles;
    }
    Replicas {
        /// Refuse writes with fewer replicas than this; as there are none yet, any other number than 0 refuses all.
        min_replicas_to_write: u32, "min-replicas-to-write" | "min-slaves-to-write" = "0", Integer::between(0, I32_MAX);
        /// Seconds after which a silent replica does not count; 0 turns min-replicas-to-write off.
        min_replicas_max_lag_s: u32, "min-replicas-max-lag" | "min-slaves-max-lag" = "10", Integer::between(0, I32_MAX);
    }
}

choices! {
    /// How inline commands are answered.
    InlineReplies {
        /// One line of text, for a person at `nc`.
        Plain = "plain",
        Resp = "resp",
    }

    /// Who may use something dangerous.
    EnableCommand {
        No = "no",
        Yes = "yes",
        /// Clients of this machine.
        Local = "local",
    }

    /// What is evicted when memory is full.
    MaxmemoryPolicy {
        VolatileLru = "volatile-lru",
        VolatileLfu = "volatile-lfu",
        VolatileRandom = "volatile-random",
        VolatileTtl = "volatile-ttl",
        AllkeysLru = "allkeys-lru",
        AllkeysLfu = "allkeys-lfu",
        AllkeysRandom = "allkeys-random",
        Noeviction = "noeviction",
    }

    /// The least level that is logged.
    LogLevel {
        Debug = "debug",
        Verbose = "verbose",
        Notice = "notice",
        Warning = "warning",
        Nothing = "nothing",
    }

    /// What started the process and wants to know when it is ready.
    Supervision {
        Upstart = "upstart",
        Systemd = "systemd",
        /// Whichever of the two the environment tells of.
        Auto = "auto",
        No = "no",
    }
}
