//! Ochre's server. Its modules are layered into floors, shown here from the highest to the lowest. A module imports only from its own floor
//! and from lower ones (ARCHITECTURE.md has the table, and a test enforces it).
//!
//! ```text
//! start                                          from the command line to a running server
//! check                                          the subcommand that looks into files of data
//! net                                            the threads: the acceptor, and one for each core
//! request                                        the path of a request, from the socket and back to it
//! commands, observe                              the commands; INFO
//! commands::{table, context, registry, …}        what a command is
//! server, core, locked, persistence, stop, …      the state that all cores share, and the state of each core; files
//! session, pubsub                                the state of a connection; messages between clients
//! config, log, process, saves, sockets, tls, …   what does not depend on clients
//! clock, random, memory, sys, events, label      what depends on nothing else
//! ```
//!
//! Keys and values are in crates of their own, `ochre_keyspace` and `ochre_datatypes`.

#![warn(missing_docs)]

pub mod aof;
pub mod blocks;
pub mod check;
pub mod clock;
pub mod commandlog;
pub mod commands;
pub mod config;
pub mod core;
pub mod counters;
pub mod defragmentation;
pub mod events;
pub mod functions;
pub mod huge_pages;
pub mod journal;
pub mod label;
pub mod latency;
pub mod loading;
pub mod locked;
pub mod log;
pub mod mailroom;
pub mod memory;
pub mod memory_use;
pub mod monitors;
pub mod net;
pub mod notify;
pub mod observe;
pub mod persistence;
pub mod process;
pub mod pubsub;
pub mod random;
pub mod rates;
pub mod request;
pub mod room;
pub mod saves;
pub mod scripts;
pub mod server;
pub mod session;
pub mod shutdown;
pub mod sockets;
pub mod start;
pub mod stop;
mod sys;
pub mod threads;
pub mod tls;
pub mod users;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// The configuration of the allocator. Huge pages avoid most of the TLB misses of random keys (see `huge_pages.rs`). A server that
/// forks would have to copy them for its child; this one does not fork while it serves. A background thread returns memory that has been free for a few seconds, even
/// while nothing is allocated.
#[unsafe(export_name = "_rjem_malloc_conf")]
pub static ALLOCATOR_CONFIGURATION: &[u8] = b"background_thread:true,thp:always,dirty_decay_ms:3000,muzzy_decay_ms:0\0";
