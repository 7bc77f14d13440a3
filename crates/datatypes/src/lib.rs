//! The values and how their text is read and written. No locks, no clock, no I/O: time is passed in.

pub mod bits;
mod collection;
pub mod deadlines;
pub mod digest;
pub mod geo;
pub mod glob;
pub mod hash;
pub mod hyperloglog;
pub mod intset;
pub mod lcs;
pub mod list;
pub mod listpack;
mod long_double;
pub mod number;
pub mod prefetch;
pub mod set;
pub mod sorted_set;
pub mod spine;
pub mod stream;
pub mod table;
mod tree;
mod types;

pub use collection::{AnyCollection, Collection, WrongType, packed_encoding};
pub use types::{Encoding, ValueType};
