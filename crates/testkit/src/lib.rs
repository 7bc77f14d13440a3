//! What Ochre's tests and tools stand on: servers to start (ours and the two reference ones), a client that keeps a reply
//! exactly as it was on the wire, transcripts, the command table that a server tells of itself, and a checker of
//! linearizability.
//!
//! Everything here is synchronous and knows nothing of the server's code, so that a mistake there cannot hide itself here.

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
