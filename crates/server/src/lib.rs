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
mod sys;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// How the allocator is set up. Huge pages spare most of the TLB misses of random keys; nothing here forks, so none is ever copied for a
/// child. A thread of the allocator gives back what has been free for a few seconds, also while nothing is allocated.
#[unsafe(export_name = "_rjem_malloc_conf")]
pub static ALLOCATOR_CONFIGURATION: &[u8] = b"background_thread:true,thp:always,dirty_decay_ms:3000,muzzy_decay_ms:0\0";
