//! The foundation of Ochre's tests and tools.
//!
//! | module | what lies there |
//! |---|---|
//! | [`server`] | starting and stopping servers: Ochre, and the reference servers Redis and Valkey |
//! | [`references`] | installing the reference servers, at fixed versions |
//! | [`client`], [`reply`] | a client that keeps a reply exactly as it was on the wire |
//! | [`transcript`], [`quoting`] | tests as text: commands and the expected replies |
//! | [`command_table`] | the commands of a server, as COMMAND and COMMAND DOCS describe them |
//! | [`differences`] | where Ochre means to differ from the reference servers |
//! | [`linearizability`], [`keyspace_model`] | checking histories of concurrent commands against a sequential model |
//! | [`random`] | random numbers that depend on a seed alone |
//! | [`poll`] | waiting for a condition |
//! | [`process`] | child processes, and their CPU time and memory |
//! | [`workspace`] | the paths of the workspace |
//!
//! All of this is synchronous and uses no code of the server, so that a mistake in the server cannot hide itself in its tests.

#![warn(missing_docs)]

pub mod client;
pub mod command_table;
pub mod differences;
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
pub use server::{Kind, Launch, Server, new_folder};
pub use transcript::check;
