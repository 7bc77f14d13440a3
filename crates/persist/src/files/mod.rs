//! Access to files: everything that this crate reads from a disk and writes to it goes through [`Files`], so that a test can stand in for
//! the disk, lose what was not synced, and fail at any call.
//!
//! What the callers may rely on is what a file system promises, and no more. Written bytes survive a crash once [`OutFile::sync`] has
//! returned; until then any part of them may be lost. The name of a file that was created, renamed or removed survives a crash as it is
//! once [`Files::sync_dir`] of its directory has returned; until then the old name or the new one may be found.

mod disk;

use std::{
    ffi::OsString,
    fmt,
    io::{self, Read},
    path::Path,
    sync::Arc,
};

pub use disk::Disk;

/// A place where files are kept: the disk, or what stands in for it in tests. Relative paths are relative to the working directory.
///
/// All methods return the error of the system.
pub trait Files: fmt::Debug + Send + Sync {
    /// Opens a file, to read it from its start.
    fn open(&self, path: &Path) -> io::Result<Box<dyn Read + Send>>;

    /// Returns the length of a file in bytes.
    fn len(&self, path: &Path) -> io::Result<u64>;

    /// Creates a file, or empties the one that is there, to write it from its start.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn OutFile>>;

    /// Opens a file that exists, to write behind its end.
    fn append(&self, path: &Path) -> io::Result<Arc<dyn OutFile>>;

    /// Gives a file a new name in the same directory, and removes the file that had this name, at one instant.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Creates a directory, if it does not exist.
    fn create_dir(&self, path: &Path) -> io::Result<()>;

    /// Returns the names of the files in a directory, in any order.
    fn list(&self, path: &Path) -> io::Result<Vec<OsString>>;

    /// Makes the names in a directory survive a crash.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
}

/// A file that is written. One thread writes; another may sync at the same time.
pub trait OutFile: fmt::Debug + Send + Sync {
    /// Writes all bytes behind those that were written before.
    ///
    /// # Errors
    /// The error of the system. Some of the bytes may have been written; [`OutFile::truncate`] removes them.
    fn write(&self, bytes: &[u8]) -> io::Result<()>;

    /// Makes everything that was written before survive a crash.
    ///
    /// # Errors
    /// The error of the system. It is not known then which bytes survive, and a second try may succeed without having written them.
    fn sync(&self) -> io::Result<()>;

    /// Removes all bytes from an offset on. What is written next comes behind it.
    fn truncate(&self, len: u64) -> io::Result<()>;
}
