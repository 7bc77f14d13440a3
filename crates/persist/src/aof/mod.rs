//! The append-only file (AOF): what was written, command by command, in Redis's multi-part layout.
//!
//! ```text
//! appendonlydir/
//!   appendonly.aof.manifest       which files there are, in the order in which they are loaded
//!   appendonly.aof.1.base.rdb     the data at the last rewrite, as an RDB file (or as commands: .base.aof)
//!   appendonly.aof.1.incr.aof     what was written since then
//!   appendonly.aof.2.incr.aof     … and since a rewrite began that has not ended
//! ```
//!
//! | file | what it does |
//! |---|---|
//! | `manifest.rs` | the manifest, both ways |
//! | `folder.rs` | the files in the folder, and the steps in which they change: a crash between any two calls leaves a folder that loads |
//! | `encode.rs` | what was written → bytes of a file |
//! | `read.rs` | a file → what was written |
//!
//! An increment consists of commands as a client would send them, and of annotations, which are lines that begin with `#`:
//!
//! ```text
//! #TS:1700000000                      the time of what follows, in seconds since 1970 (aof-timestamp-enabled)
//! *2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n   the database of what follows
//! *3\r\n$3\r\nSET\r\n…                a command
//! *1\r\n$5\r\nMULTI\r\n               commands up to EXEC count as one
//! #CRC64:0123456789abcdef:1234        the checksum of the 1234 bytes before this line (aof-checksum)
//! ```
//!
//! A checksum of no bytes begins a file that has checksums: it says that blocks with checksums follow. A block counts only once its checksum was
//! verified. Redis and Valkey skip annotations, so they load files with checksums too. If they have gone on writing, there are commands behind the
//! last block, up to the end or to the next checksum of no bytes. These count as far as they are whole.

pub mod encode;
pub mod folder;
pub mod manifest;
pub mod read;
