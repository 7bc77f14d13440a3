//! Sockets, as far as no client is spoken of.
//!
//! - `listener.rs`: a bound socket, and how one is bound.
//! - `listening.rs`: the addresses that the server listens on, and how CONFIG SET changes them.
//! - `stream.rs`: a connection's stream, TCP, TLS or Unix; `tls_stream.rs`: the encrypted one.

pub mod listener;
pub mod listening;
pub mod stream;
pub mod tls_stream;
