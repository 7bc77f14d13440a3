//! Ochre's server. `request/` is the way of a request; `commands/` what commands do; the keyspace is a crate of its own.

pub mod clock;
pub mod commands;
pub mod config;
pub mod core;
pub mod counters;
pub mod journal;
pub mod log;
pub mod memory;
pub mod net;
pub mod notify;
pub mod observe;
pub mod process;
pub mod pubsub;
pub mod random;
pub mod request;
pub mod server;
pub mod session;
pub mod start;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;
