//! The values of keys, and the computations on them. There are no locks, no clock and no I/O here: a caller that needs the time passes it
//! in.
//!
//! A collection is packed into one run of bytes while it is small, and becomes a structure of many allocations when it grows. When it does
//! so is Redis's rule to the letter, since clients see it through OBJECT ENCODING.
//!
//! | module | what lies there |
//! |---|---|
//! | `collection.rs` | [`Collection`], the trait of all types with elements, and [`AnyCollection`], a value of any of them |
//! | [`hash`], [`list`], [`set`], [`sorted_set`], [`stream`] | the types: the operations of their commands, and when the encoding changes |
//! | `types.rs` | [`ValueType`] and [`Encoding`]: the names that TYPE and OBJECT ENCODING reply |
//! | `element_prefetch.rs` | [`ElementPrefetch`]: prefetching elements of many large collections at once |
//! | [`listpack`], [`intset`] | the packed encodings |
//! | [`hashtable`] | large sets and hashes |
//! | `tree/` | large sorted sets: a counted B-tree, and an index from members to its leaves |
//! | [`spine`] | linear hashing of small chunks, on which the hash table and the tree's index stand |
//! | [`deadlines`] | expiry times in order: those of keys, and those of the fields of a hash |
//! | [`bits`], [`hyperloglog`], [`geo`] | bitmaps and HyperLogLogs, which are strings, and geo indexes, which are sorted sets |
//! | [`lcs`], [`glob`], [`digest`] | the longest common subsequence, glob patterns, the digest of a string |
//! | [`number`], `long_double.rs` | numbers, as Redis parses and prints them |
//! | [`allocation`], [`prefetch`] | what an allocation really takes; asking the processor for memory beforehand |
//!
//! Imports go downwards in this table. The one exception is that the types implement the trait of `collection.rs`, which lists them.

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

pub use collection::{AnyCollection, AnyView, Collection, WrongType, packed_encoding, packed_view};
pub use element_prefetch::ElementPrefetch;
pub use types::{Encoding, ValueType};
