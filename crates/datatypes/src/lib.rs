//! The values of keys, and the computations on them. There are no locks, no clock and no I/O here: a caller that needs the time passes it in.
//!
//! A collection is packed into one run of bytes while it is small, and becomes a structure of many allocations when it grows. When it does so
//! is Redis's rule to the letter, since clients see it through OBJECT ENCODING. From the top down:
//!
//! | module | what lies there |
//! |---|---|
//! | `collection.rs` | [`Collection`]: what the keyspace asks of every type with elements; [`AnyCollection`]: one value of any of these types |
//! | `types.rs` | [`ValueType`] and [`Encoding`]: the names that TYPE and OBJECT ENCODING reply |
//! | [`hash`], [`list`], [`set`], [`sorted_set`], [`stream`] | the types: when they change their encoding, and the operations of their commands |
//! | `element_prefetch.rs` | [`ElementPrefetch`]: prefetching elements of many large collections at once |
//! | [`listpack`], [`intset`] | the packed encodings |
//! | [`hashtable`] | large sets and hashes |
//! | `tree/` | large sorted sets: a counted B-tree, and an index from members to its leaves |
//! | [`spine`] | linear hashing of small chunks, on which the hash table and the tree's index stand |
//! | [`deadlines`] | expiry times in order: those of keys and those of the fields of a hash |
//! | [`allocation`], [`prefetch`] | what an allocation really takes; asking the processor for memory beforehand |
//! | [`bits`], [`hyperloglog`], [`geo`], [`lcs`], [`glob`], [`digest`] | the computations of the commands on bitmaps, HyperLogLogs, geo indexes, strings and patterns |
//! | [`number`] | numbers as Redis parses and prints them, long doubles included |
//!
//! Imports go downwards in this table.

#![warn(missing_docs)]

pub mod allocation;
pub mod bits;
mod collection;
pub mod deadlines;
pub mod digest;
mod element_prefetch;
pub mod geo;
pub mod glob;
pub mod hash;
pub mod hashtable;
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
mod tree;
mod types;

pub use collection::{AnyCollection, Collection, WrongType, packed_encoding};
pub use element_prefetch::ElementPrefetch;
pub use types::{Encoding, ValueType};
