//! RESP: cutting requests off a byte buffer, and appending replies to one. There is no I/O here: the caller reads and writes the socket.
//!
//! | module | what lies there |
//! |---|---|
//! | `request.rs` | [`RequestParser`] cuts requests off a read buffer, within [`Limits`]; a [`ProtocolError`] ends the connection |
//! | `inline.rs` | the words of an inline command, with their quotes and escapes |
//! | `args.rs` | [`Args`]: a request's arguments, which stay where they lie in the buffer |
//! | `reply.rs` | [`ReplyWriter`] writes replies in the client's [`Protocol`]: RESP2, RESP3 or plain lines |
//! | `buffer.rs` | [`ReplyBuffer`]: what replies are written to, with a maximal length |
//! | `append.rs` | the one unsafe module: a bulk string is appended with a single check of the buffer's room |
//! | `integer.rs` | [`parse_i64`]: the strict integers of requests and of values |
//! | `double.rs` | [`double::write`]: doubles, digit for digit as Redis writes them |

#![deny(unsafe_code)]
#![warn(missing_docs)]

#[allow(unsafe_code)]
mod append;
mod args;
mod buffer;
pub mod double;
mod inline;
mod integer;
mod reply;
mod request;

pub use args::{Args, Span};
pub use buffer::ReplyBuffer;
pub use integer::{I64_LEN_MAX, parse_i64};
pub use reply::{LaterMark, Protocol, ReplyWriter};
pub use request::{Cut, Kind, Limits, ProtocolError, RequestParser};
