//! The formats on disk: RDB files and the payloads of DUMP. There are no locks, no keys in memory and no clients here.
//!
//! | module | what lies there |
//! |---|---|
//! | [`rdb`] | values and files in Redis's and Valkey's RDB format, both ways |
//! | [`lzf`], [`checksum`] | the compression and the checksum of that format |
//! | [`fault`] | what is wrong with a file, and where |

#![warn(missing_docs)]

pub mod checksum;
pub mod fault;
pub mod lzf;
pub mod rdb;
