//! INFO: a text in sections, each of them a line `# Name` followed by lines `field:value`.
//!
//! The fields are those that tools for Redis read. A field is 0 if it describes something that Ochre does not have.

use std::{
    cell::OnceCell,
    collections::BTreeMap,
    fmt::Display,
    sync::{Arc, atomic::Ordering},
};

use ochre_keyspace::{DatabaseSize, SLOT_BYTES_PER_KEY};

use super::{
    command_times,
    process_figures::{self, CpuSeconds},
};
use crate::{
    clock,
    commands::{self, Command},
    config::{self, Config},
    core::Core,
    counters::Counters,
    loading::LoadingProgress,
    memory, process,
    pubsub::Kind,
    saves::Target,
    server::Server,
    session::{Client, ClientFlags},
    tls::certificate::Certificate,
    users::denials::Reason,
};

/// A section of the text.
struct Section {
    /// The argument of INFO that selects it.
    name: &'static str,
    /// Its first line, without the `#`.
    heading: &'static str,
    /// Whether INFO without arguments shows it.
    shown: Shown,
    /// Writes its fields.
    write: fn(&View<'_>, &mut Text),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Shown {
    ByDefault,
    /// Only when named, or with `all` or `everything`.
    WithAll,
}

const SECTIONS: &[Section] = &[
    Section { name: "server", heading: "Server", shown: Shown::ByDefault, write: server },
    Section { name: "tls", heading: "TLS", shown: Shown::WithAll, write: tls },
    Section { name: "clients", heading: "Clients", shown: Shown::ByDefault, write: clients },
    Section { name: "memory", heading: "Memory", shown: Shown::ByDefault, write: memory },
    Section { name: "persistence", heading: "Persistence", shown: Shown::ByDefault, write: persistence },
    Section { name: "threads", heading: "Threads", shown: Shown::ByDefault, write: threads },
    Section { name: "stats", heading: "Stats", shown: Shown::ByDefault, write: stats },
    Section { name: "replication", heading: "Replication", shown: Shown::ByDefault, write: replication },
    Section { name: "cpu", heading: "CPU", shown: Shown::ByDefault, write: cpu },
    Section { name: "modules", heading: "Modules", shown: Shown::ByDefault, write: |_, _| {} },
    Section { name: "commandstats", heading: "Commandstats", shown: Shown::WithAll, write: commandstats },
    Section { name: "errorstats", heading: "Errorstats", shown: Shown::ByDefault, write: errorstats },
    Section { name: "latencystats", heading: "Latencystats", shown: Shown::WithAll, write: latencystats },
    Section { name: "cluster", heading: "Cluster", shown: Shown::ByDefault, write: cluster },
    Section { name: "keyspace", heading: "Keyspace", shown: Shown::ByDefault, write: keyspace },
];

/// The text of the sections that `asked` names, or of the default ones if it names none.
pub fn text(core: &Core, now_ms: i64, asked: &[&[u8]]) -> String {
    let config = core.config();
    let view = View {
        server: &core.server,
        core: core.index,
        config: &config,
        now_ms,
        clients: core.server.clients.all(),
        sizes: OnceCell::new(),
    };
    let is_asked = |name: &str| asked.iter().any(|word| word.eq_ignore_ascii_case(name.as_bytes()));
    let everything = is_asked("all") || is_asked("everything");
    let usual = asked.is_empty() || is_asked("default");
    let mut text = Text::default();
    for section in SECTIONS {
        if everything || is_asked(section.name) || usual && section.shown == Shown::ByDefault {
            text.heading(section.heading);
            (section.write)(&view, &mut text);
        }
    }
    text.0
}

/// What the sections read their figures from.
struct View<'a> {
    server: &'a Server,
    /// The index of the core that answers.
    core: usize,
    config: &'a Config,
    now_ms: i64,
    clients: Vec<Arc<Client>>,
    sizes: OnceCell<Vec<DatabaseSize>>,
}

impl View<'_> {
    fn sum(&self, figure: impl Fn(&Counters) -> u64) -> u64 {
        self.server.sum(figure)
    }

    fn clients_with(&self, flags: ClientFlags) -> usize {
        self.clients.iter().filter(|client| client.flags().intersects(flags)).count()
    }

    /// A directive's value as CONFIG GET shows it.
    fn setting(&self, name: &str) -> String {
        let directive = config::lookup(name.as_bytes()).expect("it is in the table");
        String::from_utf8_lossy(&directive.show(self.config)).into_owned()
    }

    /// The size of each database.
    fn sizes(&self) -> &[DatabaseSize] {
        self.sizes.get_or_init(|| self.server.keyspace.sizes(self.core, 0..self.config.databases))
    }

    /// Bytes of the keyspace's tables, and bytes of clients' buffers.
    fn overhead(&self) -> (u64, u64) {
        let keys: usize = self.sizes().iter().map(|size| size.keys).sum();
        ((keys * SLOT_BYTES_PER_KEY) as u64, self.server.client_bytes())
    }
}

/// The text so far.
#[derive(Default)]
struct Text(String);

impl Text {
    fn heading(&mut self, name: &str) {
        if !self.0.is_empty() {
            self.0.push_str("\r\n");
        }
        self.0.push_str(&format!("# {name}\r\n"));
    }

    fn field(&mut self, name: &str, value: impl Display) {
        self.0.push_str(&format!("{name}:{value}\r\n"));
    }

    fn zeros(&mut self, names: &[&str]) {
        names.iter().for_each(|name| self.field(name, 0));
    }

    /// Writes a number of bytes twice: as digits, and rounded with a unit.
    fn bytes(&mut self, name: &str, bytes: u64) {
        self.field(name, bytes);
        self.field(&format!("{name}_human"), human(bytes));
    }
}

/// A number of bytes, rounded and with a unit (Redis: `bytesToHuman`).
pub fn human(bytes: u64) -> String {
    let units = ["K", "M", "G", "T", "P"];
    let Some(power) = (1..=units.len()).rev().find(|&power| bytes >> (10 * power) > 0) else {
        return format!("{bytes}B");
    };
    format!("{:.2}{}", bytes as f64 / (1_u64 << (10 * power)) as f64, units[power - 1])
}

fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

fn server(view: &View<'_>, text: &mut Text) {
    let (server, config) = (view.server, view.config);
    let uptime_s = server.started.elapsed().as_secs();
    let build = config::commit();
    text.field("redis_version", process::REDIS_VERSION);
    text.field("server_name", "ochre");
    text.field("ochre_version", env!("CARGO_PKG_VERSION"));
    text.field("redis_git_sha1", build);
    text.field("redis_git_dirty", 0);
    text.field("redis_build_id", build);
    text.field("redis_mode", "standalone");
    text.field("os", process_figures::system());
    text.field("arch_bits", usize::BITS);
    text.field("monotonic_clock", "POSIX clock_gettime");
    text.field("multiplexing_api", if cfg!(target_os = "linux") { "epoll" } else { "kqueue" });
    text.field("atomicvar_api", "c11-builtin");
    text.field("gcc_version", "0.0.0");
    text.field("process_id", std::process::id());
    text.field("process_supervised", view.setting("supervised"));
    text.field("run_id", &server.run_id);
    text.field("tcp_port", config.shown_port());
    text.field("server_time_usec", clock::now_us());
    text.field("uptime_in_seconds", uptime_s);
    text.field("uptime_in_days", uptime_s / 86_400);
    text.field("hz", view.setting("hz"));
    text.field("configured_hz", view.setting("hz"));
    text.field("lru_clock", (view.now_ms / 1000) & 0xff_ffff);
    text.field("executable", std::env::current_exe().unwrap_or_default().display());
    text.field("config_file", server.config.file().map(|path| path.display().to_string()).unwrap_or_default());
    text.field("threads", server.cores());
    text.field("io_threads_active", u8::from(server.cores() > 1));
    let mut listeners = Vec::new();
    let binds: String = config.bind.iter().map(|address| format!("bind={address},")).collect();
    if config.port != 0 {
        listeners.push(format!("name=tcp,{binds}port={}", config.port));
    }
    if let Some(path) = &config.unixsocket {
        listeners.push(format!("name=unix,bind={}", path.display()));
    }
    if config.tls_port != 0 {
        listeners.push(format!("name=tls,{binds}port={}", config.tls_port));
    }
    for (index, listener) in listeners.iter().enumerate() {
        text.field(&format!("listener{index}"), listener);
    }
}

fn clients(view: &View<'_>, text: &mut Text) {
    let largest = |figure: fn(&Client) -> u64| view.clients.iter().map(|client| figure(client)).max().unwrap_or(0);
    // As in Redis, clients that wait for the end of a CLIENT PAUSE count as blocked.
    let blocked = view.clients_with(ClientFlags::BLOCKED | ClientFlags::PAUSED);
    let watched = |client: &Client| client.figures.watched_keys.load(Ordering::Relaxed);
    text.field("connected_clients", view.clients.len());
    text.field("cluster_connections", 0);
    text.field("maxclients", view.config.maxclients);
    text.field("client_recent_max_input_buffer", largest(|client| client.figures.input_bytes.load(Ordering::Relaxed)));
    text.field(
        "client_recent_max_output_buffer",
        largest(|client| client.figures.output_bytes.load(Ordering::Relaxed)),
    );
    text.field("blocked_clients", blocked);
    text.field("tracking_clients", 0);
    text.field("pubsub_clients", view.clients_with(ClientFlags::PUBSUB));
    text.field("watching_clients", view.clients.iter().filter(|client| watched(client) > 0).count());
    text.field("clients_in_timeout_table", view.clients_with(ClientFlags::HAS_DEADLINE));
    text.field("total_watched_keys", view.clients.iter().map(|client| u64::from(watched(client))).sum::<u64>());
    let awaited = view.server.keyspace.awaited_keys();
    text.field("total_blocking_keys", awaited.keys);
    text.field("total_blocking_keys_on_nokey", awaited.keys_for_removal);
}

fn memory(view: &View<'_>, text: &mut Text) {
    let server = view.server;
    let used = server.used_memory() as u64;
    let resident = process_figures::resident_memory();
    let (peak, peak_time_s) = server.memory.peak();
    let peak = peak as u64;
    let initial = server.memory.initial_bytes() as u64;
    let (tables, clients) = view.overhead();
    let overhead = (initial + tables + clients).min(used);
    let dataset = used - overhead;
    let allocator = memory::allocator();
    let [allocated, active, pages] = [allocator.allocated, allocator.active, allocator.resident].map(|b| b as u64);
    text.bytes("used_memory", used);
    text.bytes("used_memory_rss", resident);
    text.bytes("used_memory_peak", peak);
    text.field("used_memory_peak_time", peak_time_s);
    text.field("used_memory_peak_perc", format_args!("{:.2}%", ratio(used, peak) * 100.0));
    text.field("used_memory_overhead", overhead);
    text.field("used_memory_startup", initial);
    text.field("used_memory_dataset", dataset);
    let net = used.saturating_sub(initial);
    text.field("used_memory_dataset_perc", format_args!("{:.2}%", ratio(dataset, net) * 100.0));
    text.field("allocator_allocated", allocated);
    text.field("allocator_active", active);
    text.field("allocator_resident", pages);
    text.field("allocator_muzzy", 0);
    text.bytes("total_system_memory", process_figures::total_memory());
    text.field("used_memory_lua", 0);
    text.field("used_memory_vm_eval", 0);
    text.field("used_memory_lua_human", human(0));
    text.zeros(&["used_memory_scripts_eval"]);
    text.field("number_of_cached_scripts", view.server.scripts.count());
    let libraries = view.server.functions.current();
    text.field("number_of_functions", libraries.functions_count());
    text.field("number_of_libraries", libraries.count());
    text.zeros(&["used_memory_vm_functions"]);
    text.bytes("used_memory_vm_total", 0);
    text.field("used_memory_functions", 0);
    text.bytes("used_memory_scripts", 0);
    text.bytes("maxmemory", view.config.maxmemory);
    text.field("maxmemory_policy", view.setting("maxmemory-policy"));
    let excess = |large: u64, small: u64| large as i64 - small as i64;
    text.field("allocator_frag_ratio", format_args!("{:.2}", ratio(active, allocated)));
    text.field("allocator_frag_bytes", excess(active, allocated));
    text.field("allocator_rss_ratio", format_args!("{:.2}", ratio(pages, active)));
    text.field("allocator_rss_bytes", excess(pages, active));
    text.field("rss_overhead_ratio", format_args!("{:.2}", ratio(resident, pages)));
    text.field("rss_overhead_bytes", excess(resident, pages));
    text.field("mem_fragmentation_ratio", format_args!("{:.2}", ratio(resident, used)));
    text.field("mem_fragmentation_bytes", excess(resident, used));
    text.field("mem_not_counted_for_evict", server.uncounted_bytes());
    text.zeros(&[
        "mem_replication_backlog",
        "mem_total_replication_buffers",
        "mem_replica_full_sync_buffer",
        "mem_clients_slaves",
    ]);
    text.field("mem_clients_normal", clients);
    text.zeros(&["mem_cluster_links"]);
    text.field("mem_aof_buffer", server.aof.backlog());
    text.field("mem_allocator", memory::allocator_name());
    text.zeros(&["mem_overhead_db_hashtable_rehashing"]);
    text.field("active_defrag_running", server.defragmentation.figures().effort);
    let (pending, freed) = server.keyspace.burials();
    text.field("lazyfree_pending_objects", pending);
    text.field("lazyfreed_objects", freed);
}

/// The fields of Valkey. Connections to other servers, which a client certificate would be for, are not made.
fn tls(view: &View<'_>, text: &mut Text) {
    let keys = view.server.tls.keys();
    let mut write = |name: &str, certificate: Option<&Certificate>| {
        let expires_in_s = certificate.map_or(0, |it| (it.expires_s - view.now_ms / 1000).max(0));
        text.field(&format!("tls_{name}_cert_serial"), certificate.map_or("none", |it| it.serial.as_str()));
        text.field(&format!("tls_{name}_cert_expires_in_seconds"), expires_in_s);
    };
    write("server", keys.as_ref().and_then(|keys| keys.certificate.as_ref()));
    write("client", None);
    write("ca", keys.as_ref().and_then(|keys| keys.authority.as_ref()));
    text.field("tls_failed_handshakes", view.server.tls.failed_handshakes());
}

fn persistence(view: &View<'_>, text: &mut Text) {
    let loading = view.server.loading.progress();
    text.field("loading", u8::from(loading.is_some()));
    text.zeros(&["async_loading"]);
    write_saves(view, text);
    write_append_only_file(view, text);
    if let Some(loading) = loading {
        write_loading(&loading, text);
    }
}

/// The saved file, and the snapshot that is being taken.
fn write_saves(view: &View<'_>, text: &mut Text) {
    let (figures, running) = (view.server.saves.figures(), view.server.saves.progress());
    // What Redis copies for its child process when pages are written is here what writers hand over of the old values.
    text.field("current_cow_peak", running.map_or(0, |_| figures.last_backlog_peak));
    text.field("current_cow_size", running.map_or(0, |running| running.backlog));
    text.zeros(&["current_cow_size_age"]);
    let (written, total) = running.map_or((0, 0), |running| (running.keys_written, running.keys_total));
    let share = 100.0 * written.min(total) as f64 / total.max(1) as f64;
    text.field("current_fork_perc", format_args!("{share:.2}"));
    text.field("current_save_keys_processed", written.min(total));
    text.field("current_save_keys_total", total);
    let background = running.filter(|running| running.is_background && running.target == Target::Rdb);
    text.field("rdb_changes_since_last_save", view.server.changes() - figures.changes_saved);
    let is_running = view.server.saves.is_running_in_background(Target::Rdb);
    text.field("rdb_bgsave_in_progress", u8::from(is_running));
    text.field("rdb_last_save_time", figures.last_saved_s);
    text.field("rdb_last_bgsave_status", if view.server.saves.has_failed() { "err" } else { "ok" });
    text.field("rdb_last_bgsave_time_sec", figures.last_seconds.unwrap_or(-1));
    text.field("rdb_current_bgsave_time_sec", background.map_or(-1, |running| running.seconds));
    text.field("rdb_saves", figures.saves);
    text.field("rdb_last_cow_size", figures.last_backlog_peak);
    text.field("rdb_last_lock_usec", figures.longest_lock_us);
    let (keys_loaded, keys_expired) = view.server.loading.keys();
    text.field("rdb_last_load_keys_expired", keys_expired);
    text.field("rdb_last_load_keys_loaded", keys_loaded);
}

/// The append-only file.
fn write_append_only_file(view: &View<'_>, text: &mut Text) {
    let (aof, rewrites) = (&view.server.aof, view.server.aof.rewrites());
    let running = view.server.saves.progress().filter(|running| running.target == Target::AofBase);
    text.field("aof_enabled", u8::from(view.config.appendonly));
    let is_running = view.server.saves.is_running_in_background(Target::AofBase);
    text.field("aof_rewrite_in_progress", u8::from(is_running));
    text.field("aof_rewrite_scheduled", u8::from(rewrites.is_scheduled));
    text.field("aof_last_rewrite_time_sec", rewrites.last_seconds.unwrap_or(-1));
    text.field("aof_current_rewrite_time_sec", running.map_or(-1, |running| running.seconds));
    text.field("aof_last_bgrewrite_status", if rewrites.failures == 0 { "ok" } else { "err" });
    text.field("aof_rewrites", rewrites.count);
    text.field("aof_rewrites_consecutive_failures", rewrites.failures);
    text.field("aof_last_write_status", if aof.has_failed() { "err" } else { "ok" });
    text.zeros(&["aof_last_cow_size", "module_fork_in_progress", "module_fork_last_cow_size"]);
    if let Some(log) = aof.log() {
        let (size, _, base) = aof.sizes();
        text.field("aof_current_size", size);
        text.field("aof_base_size", base);
        text.field("aof_pending_rewrite", u8::from(rewrites.is_scheduled));
        text.field("aof_buffer_length", log.backlog());
        text.field("aof_pending_bio_fsync", u8::from(log.is_syncing()));
        text.field("aof_delayed_fsync", log.delayed_syncs());
    }
}

/// How far the loading of data is.
fn write_loading(loading: &LoadingProgress, text: &mut Text) {
    let share = loading.loaded_bytes as f64 / loading.total_bytes.max(1) as f64;
    let left_s = if share > 0.0 { loading.seconds * (1.0 / share - 1.0) } else { 1.0 };
    text.field("loading_start_time", loading.began_s);
    text.field("loading_total_bytes", loading.total_bytes);
    text.field("loading_rdb_used_mem", loading.used_memory_then);
    text.field("loading_loaded_bytes", loading.loaded_bytes);
    text.field("loading_loaded_perc", format_args!("{:.2}", 100.0 * share));
    text.field("loading_eta_seconds", left_s.max(0.0) as i64);
}

/// The clients, reads and writes of each core, in the fields of Redis's I/O threads.
fn threads(view: &View<'_>, text: &mut Text) {
    for (index, counters) in view.server.counters.iter().enumerate() {
        let clients = view.clients.iter().filter(|client| client.core == index).count();
        let (reads, writes) = (counters.reads.get(), counters.writes.get());
        text.field(&format!("io_thread_{index}"), format_args!("clients={clients},reads={reads},writes={writes}"));
    }
}

fn stats(view: &View<'_>, text: &mut Text) {
    let server = view.server;
    let rates = server.rates.a_second();
    let kilobytes = |bytes: f64| format!("{:.2}", bytes / 1024.0);
    let refused = server.refused_connections.load(Ordering::Relaxed);
    text.field("total_connections_received", view.sum(|counters| counters.connections_received.get()) + refused);
    text.field("total_commands_processed", view.sum(|counters| counters.commands_processed.get()));
    text.field("instantaneous_ops_per_sec", rates.commands as u64);
    text.field("total_net_input_bytes", view.sum(|counters| counters.read_bytes.get()));
    text.field("total_net_output_bytes", view.sum(|counters| counters.written_bytes.get()));
    text.zeros(&["total_net_repl_input_bytes", "total_net_repl_output_bytes"]);
    text.field("instantaneous_input_kbps", kilobytes(rates.read_bytes));
    text.field("instantaneous_output_kbps", kilobytes(rates.written_bytes));
    text.field("instantaneous_input_repl_kbps", "0.00");
    text.field("instantaneous_output_repl_kbps", "0.00");
    text.field("rejected_connections", refused);
    text.zeros(&["sync_full", "sync_partial_ok", "sync_partial_err"]);
    text.field("expired_subkeys", view.sum(|counters| counters.expired_fields.get()));
    text.field("expired_keys", view.sum(|counters| counters.expired_keys.get()));
    // Ochre does not sample for expired keys: each is removed when its time comes.
    text.field("expired_stale_perc", "0.00");
    text.zeros(&["expired_time_cap_reached_count", "expire_cycle_cpu_milliseconds"]);
    text.field("evicted_keys", view.sum(|counters| counters.evicted_keys.get()));
    text.field("evicted_clients", view.sum(|counters| counters.evicted_clients.get()));
    text.field("evicted_scripts", view.server.scripts.evictions());
    let exceeded = server.memory.exceeded();
    text.field("total_eviction_exceeded_time", exceeded.total_ms);
    text.field("current_eviction_exceeded_time", exceeded.current_ms(view.now_ms));
    text.field("keyspace_hits", view.sum(|counters| counters.keyspace_hits.get()));
    text.field("keyspace_misses", view.sum(|counters| counters.keyspace_misses.get()));
    text.field("pubsub_channels", server.pubsub.count(Kind::Channel));
    text.field("pubsub_patterns", server.pubsub.count(Kind::Pattern));
    text.field("pubsubshard_channels", server.pubsub.count(Kind::ShardChannel));
    text.zeros(&["latest_fork_usec", "total_forks", "migrate_cached_sockets", "slave_expires_tracked_keys"]);
    let defragmentation = server.defragmentation.figures();
    // What is moved is a whole entry, so keys and allocations are the same.
    text.field("active_defrag_hits", defragmentation.moved);
    text.field("active_defrag_misses", defragmentation.kept);
    text.field("active_defrag_key_hits", defragmentation.moved);
    text.field("active_defrag_key_misses", defragmentation.kept);
    text.field("total_active_defrag_time", defragmentation.total_ms);
    text.field("current_active_defrag_time", defragmentation.current_ms);
    text.zeros(&["tracking_total_keys", "tracking_total_items", "tracking_total_prefixes"]);
    text.field("unexpected_error_replies", 0);
    text.field("total_error_replies", view.sum(|counters| counters.error_replies.get()));
    text.field("dump_payload_sanitizations", 0);
    text.field("total_reads_processed", view.sum(|counters| counters.reads.get()));
    text.field("total_writes_processed", view.sum(|counters| counters.writes.get()));
    text.zeros(&["io_threaded_reads_processed", "io_threaded_writes_processed"]);
    text.field(
        "client_query_buffer_limit_disconnections",
        view.sum(|counters| counters.query_limit_disconnections.get()),
    );
    text.field(
        "client_output_buffer_limit_disconnections",
        view.sum(|counters| counters.output_limit_disconnections.get()),
    );
    text.zeros(&["reply_buffer_shrinks", "reply_buffer_expands"]);
    text.zeros(&["eventloop_cycles", "eventloop_duration_sum", "eventloop_duration_cmd_sum"]);
    text.zeros(&["instantaneous_eventloop_cycles_per_sec", "instantaneous_eventloop_duration_usec"]);
    for (name, reason) in [
        ("acl_access_denied_auth", Reason::Auth),
        ("acl_access_denied_cmd", Reason::Command),
        ("acl_access_denied_key", Reason::Key),
        ("acl_access_denied_channel", Reason::Channel),
    ] {
        text.field(name, server.users.denials.count(reason));
    }
}

fn replication(view: &View<'_>, text: &mut Text) {
    text.field("role", "master");
    text.field("connected_slaves", 0);
    text.field("master_failover_state", "no-failover");
    text.field("master_replid", view.server.replication_id());
    text.field("master_replid2", "0".repeat(40));
    text.field("master_repl_offset", 0);
    text.field("second_repl_offset", -1);
    text.field("repl_backlog_active", 0);
    text.field("repl_backlog_size", view.setting("repl-backlog-size"));
    text.zeros(&["repl_backlog_first_byte_offset", "repl_backlog_histlen"]);
}

fn cpu(_view: &View<'_>, text: &mut Text) {
    let mut write = |suffix: &str, seconds: CpuSeconds| {
        text.field(&format!("used_cpu_sys{suffix}"), format_args!("{:.6}", seconds.system));
        text.field(&format!("used_cpu_user{suffix}"), format_args!("{:.6}", seconds.user));
    };
    write("", process_figures::cpu_of_process());
    write("_children", process_figures::cpu_of_children());
    write("_main_thread", process_figures::cpu_of_thread());
}

fn commandstats(view: &View<'_>, text: &mut Text) {
    for command in commands::table().all().filter(|command| !command.is_private()) {
        let of =
            |figure: fn(&crate::counters::CommandCounters) -> u64| view.sum(|counters| figure(counters.of(command)));
        let (calls, failed) = (of(|counters| counters.calls.get()), of(|counters| counters.failed.get()));
        let rejected = of(|counters| counters.rejected.get());
        if calls + rejected > 0 {
            let us = clock::ticks_to_us(of(|counters| counters.ticks.get()));
            text.field(
                &stat_name("cmdstat", command),
                format_args!(
                    "calls={calls},usec={us:.0},usec_per_call={:.2},rejected_calls={rejected},failed_calls={failed}",
                    if calls == 0 { 0.0 } else { us / calls as f64 },
                ),
            );
        }
    }
}

fn stat_name(prefix: &str, command: &Command) -> String {
    format!("{prefix}_{}", command.full_name)
}

fn errorstats(view: &View<'_>, text: &mut Text) {
    let mut sums: BTreeMap<String, u64> = BTreeMap::new();
    for counters in &view.server.counters {
        for (code, count) in counters.by_error.lock().iter() {
            *sums.entry(code.to_string()).or_default() += count;
        }
    }
    for (code, count) in sums {
        text.field(&format!("errorstat_{code}"), format_args!("count={count}"));
    }
}

fn latencystats(view: &View<'_>, text: &mut Text) {
    if !view.config.latency_tracking {
        return;
    }
    for command in commands::table().all().filter(|command| !command.is_private()) {
        let Some(times) = command_times::of(view.server, command) else { continue };
        let percentiles = view.config.latency_tracking_info_percentiles.iter();
        let values: Vec<_> = percentiles.map(|&at| format!("p{at}={:.3}", times.percentile_us(at))).collect();
        text.field(&stat_name("latency_percentiles_usec", command), values.join(","));
    }
}

fn cluster(_view: &View<'_>, text: &mut Text) {
    text.field("cluster_enabled", 0);
}

fn keyspace(view: &View<'_>, text: &mut Text) {
    for (index, size) in view.sizes().iter().enumerate().filter(|(_, size)| size.keys > 0) {
        let mean_ms = if size.expires == 0 { 0 } else { (size.mean_expiry_ms - view.now_ms).max(0) };
        text.field(
            &format!("db{index}"),
            format_args!(
                "keys={},expires={},avg_ttl={mean_ms},subexpiry={}",
                size.keys, size.expires, size.with_expiring_fields,
            ),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_for_people() {
        for (bytes, expected) in
            [(0, "0B"), (1023, "1023B"), (1024, "1.00K"), (1_605_680, "1.53M"), (25_276_502_016, "23.54G")]
        {
            assert_eq!(human(bytes), expected);
        }
    }
}
