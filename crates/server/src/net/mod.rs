//! The server's threads: the acceptor, and one thread for each core.
//!
//! - `acceptor.rs`: accepts or refuses connections, and hands each to a core.
//! - `cores.rs`: the thread of a core, and the tasks that it runs beside those of its connections.
//! - `handshake.rs`: the handshakes of encrypted connections, one step at a time.

pub mod acceptor;
pub mod cores;
mod handshake;
