//! Sockets and threads: one runtime a core, one acceptor.

pub mod cores;
pub mod listener;
pub mod listening;
pub mod stream;
