//! stub
use std::path::PathBuf;
use std::sync::Arc;
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MaxmemoryPolicy {
    Noeviction,
    AllkeysLfu,
    VolatileLfu,
}
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EnableCommand {
    No,
    Yes,
    Local,
}
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum InlineReplies {
    Plain,
    Resp,
}
#[derive(Clone, Debug)]
pub struct OutputLimit {
    pub hard_bytes: u64,
    pub soft_bytes: u64,
    pub soft_seconds: u64,
}
#[derive(Clone, Debug)]
pub struct OutputLimits {
    pub normal: OutputLimit,
    pub replica: OutputLimit,
    pub pubsub: OutputLimit,
}
#[derive(Clone, Debug)]
pub struct Config {
    pub port: u16,
    pub bind: Vec<String>,
    pub threads: usize,
    pub requirepass: Option<Vec<u8>>,
    pub maxmemory: u64,
    pub maxmemory_policy: MaxmemoryPolicy,
    pub lfu_log_factor: i64,
    pub lfu_decay_time: i64,
    pub proto_max_bulk_len: u64,
    pub client_query_buffer_limit: u64,
    pub client_output_buffer_limit: OutputLimits,
    pub enable_debug_command: EnableCommand,
    pub inline_replies: InlineReplies,
    pub maxclients: u32,
    pub protected_mode: bool,
    pub tcp_keepalive_s: u64,
    pub tcp_backlog: i32,
    pub timeout_s: u64,
    pub unixsocket: Option<PathBuf>,
    pub unixsocketperm: Option<u32>,
}
pub struct ConfigStore(Arc<Config>);
impl ConfigStore {
    pub fn current(&self) -> Arc<Config> {
        self.0.clone()
    }
    pub fn generation(&self) -> u64 {
        0
    }
    pub fn load() -> ConfigStore {
        let none = OutputLimit { hard_bytes: 0, soft_bytes: 0, soft_seconds: 0 };
        let mut port = 6379;
        let mut plain = InlineReplies::Resp;
        let mut threads = 2;
        let mut unixsocket = None;
        let a: Vec<String> = std::env::args().collect();
        let mut i = 1;
        while i < a.len() {
            match a[i].as_str() {
                "--port" => {
                    port = a[i + 1].parse().unwrap();
                    i += 2;
                }
                "--threads" => {
                    threads = a[i + 1].parse().unwrap();
                    i += 2;
                }
                "--unixsocket" => {
                    unixsocket = Some(a[i + 1].clone().into());
                    i += 2
                }
                x => {
                    if let Ok(p) = x.parse() {
                        port = p;
                        plain = InlineReplies::Plain;
                    }
                    i += 1
                }
            }
        }
        ConfigStore(Arc::new(Config {
            port,
            bind: vec!["127.0.0.1".into()],
            threads,
            requirepass: None,
            maxmemory: 0,
            maxmemory_policy: MaxmemoryPolicy::Noeviction,
            lfu_log_factor: 10,
            lfu_decay_time: 1,
            proto_max_bulk_len: 512 << 20,
            client_query_buffer_limit: 1 << 30,
            client_output_buffer_limit: OutputLimits { normal: none.clone(), replica: none.clone(), pubsub: none },
            enable_debug_command: EnableCommand::Yes,
            inline_replies: plain,
            maxclients: 10000,
            protected_mode: true,
            tcp_keepalive_s: 300,
            tcp_backlog: 511,
            timeout_s: 0,
            unixsocket,
            unixsocketperm: None,
        }))
    }
}
