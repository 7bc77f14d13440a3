//! Ochre's server. The modules lie on floors, here from the highest to the lowest; each knows its own floor and those below it
//! (ARCHITECTURE.md has the table, and a test holds it).
//!
//! ```text
//! start                                          from the command line to a running server
//! net                                            the threads: one a core, and the acceptor
//! request                                        the way of a request, from the socket and back
//! commands, observe                              what each command does; INFO
//! commands::{table, context, registry, …}        what a command is
//! server, core, mailroom, notify                 what all cores share, and what each has
//! session, pubsub                                what is known of a connection; messages between clients
//! config, log, process, sockets, counters, …     what a process has that serves nobody yet
//! clock, random, memory, events, label           what everything may speak of
//! ```
//!
//! Keys and values are crates of their own: `ochre_keyspace` and `ochre_datatypes`.

pub mod clock;
pub mod commands;
pub mod config;
pub mod core;
pub mod counters;
pub mod events;
pub mod journal;
pub mod label;
pub mod locked;
pub mod log;
pub mod mailroom;
pub mod memory;
pub mod net;
pub mod notify;
pub mod observe;
pub mod process;
pub mod pubsub;
pub mod random;
pub mod rates;
pub mod request;
pub mod server;
pub mod session;
pub mod sockets;
pub mod start;
mod sys;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// How the allocator is set up. Huge pages spare most of the TLB misses of random keys; nothing here forks, so none is ever copied for a
/// child. A thread of the allocator gives back what has been free for a few seconds, also while nothing is allocated.
#[unsafe(export_name = "_rjem_malloc_conf")]
pub static ALLOCATOR_CONFIGURATION: &[u8] = b"background_thread:true,thp:always,dirty_decay_ms:3000,muzzy_decay_ms:0\0";
