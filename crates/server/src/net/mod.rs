//! The threads that serve: one runtime a core, one acceptor.
//!
//! - `acceptor.rs`: takes connections in, or refuses them, and gives each to a core.
//! - `cores.rs`: a core's thread, and the tasks that run on it beside the connections.

pub mod acceptor;
pub mod cores;
