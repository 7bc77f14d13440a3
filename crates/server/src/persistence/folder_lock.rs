//! The lock of the append-only file's folder: one server writes there at a time.

use std::{
    fs::{File, TryLockError},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

/// The name of the lock's file. Redis and Valkey do not look at it.
const NAME: &str = "ochre.lock";

/// The lock of a folder, held until it is dropped or the process ends, however it ends. (flock(2))
#[derive(Debug)]
pub struct FolderLock {
    _file: File,
}

/// Why a folder could not be locked.
#[derive(Debug)]
pub enum LockError {
    /// Another process holds the lock: its number, as the file has it.
    Held(String),
    /// The file of the lock could not be opened or written.
    Io(PathBuf, io::Error),
}

impl std::fmt::Display for LockError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            LockError::Held(pid) => write!(f, "the folder is used by the server with the process ID {pid}"),
            LockError::Io(path, error) => write!(f, "{}: {error}", path.display()),
        }
    }
}

impl FolderLock {
    /// Locks a folder, which is made if it does not exist, and writes the number of this process there.
    ///
    /// # Errors
    /// If another process holds the lock.
    pub fn take(folder: &Path) -> Result<FolderLock, LockError> {
        let path = folder.join(NAME);
        let failed = |error| LockError::Io(path.clone(), error);
        if let Err(error) = std::fs::create_dir(folder)
            && !folder.is_dir()
        {
            return Err(failed(error));
        }
        let mut file =
            File::options().read(true).write(true).create(true).truncate(false).open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                file.read_to_string(&mut pid).map_err(failed)?;
                return Err(LockError::Held(pid.trim().to_owned()));
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())).map_err(failed)?;
        Ok(FolderLock { _file: file })
    }
}
