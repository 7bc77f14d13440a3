//! RDB: the format in which Redis and Valkey keep a dataset in a file, and one value in the payload of DUMP.
//!
//! ```text
//! file      magic and version │ records │ END │ CRC-64 of all before, 8 bytes
//! record    AUX name, value │ SELECT database │ RESIZE keys, expiring keys │ FUNCTION code │ …
//!           [EXPIRY] [FREQUENCY or IDLE TIME] type │ key │ value
//! payload   type │ value │ version, 2 bytes │ CRC-64 of all before, 8 bytes
//! ```
//!
//! | file | what it does |
//! |---|---|
//! | `codes.rs` | the numbers of types and records, and the dialects |
//! | `output.rs`, `source.rs` | lengths, strings and numbers: what everything else consists of |
//! | `stream.rs` | a file as a source, with its checksum |
//! | `write.rs` | a value of Ochre's → bytes |
//! | `read/` | bytes → a value, from all encodings that Redis up to 8.2 and Valkey up to 9.1 have written |
//! | `node.rs` | the blocks of streams |
//! | `file/` | a file, record by record |
//! | `payload.rs` | the payloads of DUMP and RESTORE |
//!
//! Whatever the bytes are, reading them ends with a value or a [`Fault`](crate::fault::Fault), in time and memory that the length of the input
//! justifies. A value that was read is as valid as one that commands have made: order, uniqueness and numbers are checked, not trusted.

pub mod codes;
pub mod file;
mod node;
pub mod output;
pub mod payload;
mod read;
pub mod source;
pub mod stream;
mod write;

use ochre_datatypes::{
    AnyCollection, AnyView, hash::HashLimits, list::ListLimits, set::SetLimits, sorted_set::SortedSetLimits,
};

pub use self::{
    codes::Dialect,
    read::read_value,
    write::{WriteOptions, value_type, write_value},
};

/// A value to be written.
#[derive(Clone, Copy)]
pub enum ValueView<'a> {
    /// A string that is stored as an integer.
    Integer(i64),
    /// Any other string.
    String(&'a [u8]),
    /// A collection, at the time at which it is written: fields of hashes that have expired by then are left out.
    Collection(AnyView<'a>),
}

/// A value that was read.
pub enum Value {
    /// A string.
    String(Vec<u8>),
    /// A collection, which is not empty unless it is a stream.
    Collection(AnyCollection),
}

/// The settings that decide in which forms collections are made.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Of hashes.
    pub hash: HashLimits,
    /// Of lists.
    pub list: ListLimits,
    /// Of sets.
    pub set: SetLimits,
    /// Of sorted sets.
    pub sorted_set: SortedSetLimits,
}
