//! The values and how their text is read and written. No locks, no clock, no I/O: time is passed in.

pub mod digest;
pub mod glob;
pub mod lcs;
mod long_double;
pub mod number;
mod types;

pub use types::{Encoding, ValueType};
