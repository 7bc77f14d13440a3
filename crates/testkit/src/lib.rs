//! What Ochre's tests and tools stand on: servers to start (ours and the two reference ones), a client that keeps a reply
//! exactly as it was on the wire, transcripts, the command table that a server tells of itself, and a checker of
//! linearizability.
//!
//! Everything here is synchronous and knows nothing of the server's code, so that a mistake there cannot hide itself here.
//!
//! | file | what it is |
//! |---|---|
//! | `server.rs`, `references.rs`, `process.rs` | starting servers: ours, and the two reference ones |
//! | `client.rs`, `reply.rs`, `quoting.rs` | talking to them, and showing what was said |
//! | `transcript.rs` | tests that are conversations |
//! | `command_table.rs` | what a server tells of its own commands |
//! | `keyspace_model.rs`, `linearizability.rs` | what concurrent clients may be answered |
//! | `poll.rs`, `random.rs`, `workspace.rs` | waiting, chance, places |

pub mod client;
pub mod command_table;
pub mod keyspace_model;
pub mod linearizability;
pub mod poll;
pub mod process;
pub mod quoting;
pub mod random;
pub mod references;
pub mod reply;
pub mod server;
pub mod transcript;
pub mod workspace;

pub use client::Client;
pub use poll::{eventually, until};
pub use random::Random;
pub use reply::Reply;
pub use server::{Kind, Launch, Server};
pub use transcript::check;
