//! How the data outlives the process: files that are written while clients are served, and loaded at start.
//!
//! | file | what it does |
//! |---|---|
//! | `saver.rs` | begins saves, and has the thread that writes them |
//! | `parts.rs` | a snapshot, part by part → an RDB file or commands |
//! | `aof_files.rs` | opens, rewrites, begins and ends the append-only file |
//! | `loader.rs` | loads at start, and for DEBUG RELOAD |
//! | `aof_loader.rs` | loads the append-only file |
//! | `folder_lock.rs` | keeps a second server away from the folder |
//! | `stored.rs` | entries as files have them, both ways |
//!
//! What commands and INFO see of it is on lower floors: `saves.rs`, `loading.rs` and `aof/`. The walker, which takes the images of a snapshot, and
//! the tasks that insert what is loaded are in `request/`, since they lock shards as requests do.

pub mod aof_files;
pub mod aof_loader;
pub mod folder_lock;
pub mod loader;
mod parts;
pub mod saver;
pub mod stored;
