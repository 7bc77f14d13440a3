//! The formats on disk: RDB files, the payloads of DUMP, append-only files, and the access to files. There are no locks, no keys in memory and no clients here.
//!
//! | module | what lies there |
//! |---|---|
//! | [`rdb`] | values and files in Redis's and Valkey's RDB format, both ways |
//! | [`aof`] | append-only files in Redis's multi-part layout |
//! | [`words`] | words and quotes in configuration files and manifests |
//! | [`lzf`], [`checksum`] | the compression and the checksum of that format |
//! | [`fault`] | what is wrong with a file, and where |
//! | [`files`] | the disk, or what stands in for it in tests |
//! | [`new_file`] | a file that takes the place of another one once it is whole |

#![warn(missing_docs)]

pub mod aof;
pub mod checksum;
pub mod fault;
pub mod files;
pub mod lzf;
pub mod new_file;
pub mod rdb;
pub mod words;
