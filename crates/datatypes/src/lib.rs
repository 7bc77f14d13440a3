//! The values and how their text is read and written. No locks, no clock, no I/O: time is passed in.

pub mod glob;
pub mod number;
mod types;

pub use types::{Encoding, ValueType};
