//! Bytes ⇄ requests and replies: RESP2, RESP3, inline commands, plain lines. No I/O: a caller brings the bytes and takes them away.
//!
//! - [`RequestParser`] cuts requests off a read buffer; [`Args`] are a request's arguments, lying in that buffer.
//! - [`ReplyWriter`] writes replies in the client's [`Protocol`].
//! - [`double`] writes doubles as Redis does.

#![deny(unsafe_code)]

#[allow(unsafe_code)]
mod append;
mod args;
pub mod double;
mod inline;
mod reply;
mod request;

pub use args::{Args, Span};
pub use reply::{LaterMark, Protocol, ReplyWriter};
pub use request::{Cut, Kind, Limits, ProtocolError, RequestParser};
