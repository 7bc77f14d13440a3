//! A file that takes the place of another one once it is whole.
//!
//! It is written under another name, synced, and renamed; then the directory is synced. A crash at any instant leaves the old file or the new
//! one, and perhaps a useless file under the other name.

use std::{
    fmt,
    io::{self, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::files::{Files, OutFile};

/// A file that is being written; see the module. Dropping it removes what was written.
pub struct NewFile {
    files: Arc<dyn Files>,
    file: Arc<dyn OutFile>,
    path: PathBuf,
    /// The name until it is whole.
    temporary: PathBuf,
    /// After how many bytes the file is synced, if not only at its end.
    sync_every: Option<u64>,
    /// The bytes since the last sync.
    unsynced: u64,
    is_whole: bool,
}

/// What failed, and the error of the system.
#[derive(Debug)]
pub struct NewFileError {
    /// Which step failed.
    pub step: Step,
    /// Why.
    pub error: io::Error,
}

/// A step of making a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// Creating it under its temporary name.
    Create,
    /// Writing or syncing it.
    Write,
    /// Giving it its name, or syncing the directory.
    Rename,
}

impl fmt::Display for NewFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl std::error::Error for NewFileError {}

impl NewFile {
    /// Begins a file that is to be at `path`, under the name `temporary` in the same directory. It is synced whenever `sync_every` bytes were
    /// written, if that is given, so that there is little left to sync at the end.
    ///
    /// # Errors
    /// If it cannot be created.
    pub fn create(
        files: Arc<dyn Files>,
        path: &Path,
        temporary: &Path,
        sync_every: Option<u64>,
    ) -> Result<NewFile, NewFileError> {
        let file = files.create(temporary).map_err(|error| NewFileError { step: Step::Create, error })?;
        let (path, temporary) = (path.to_owned(), temporary.to_owned());
        Ok(NewFile { files, file, path, temporary, sync_every, unsynced: 0, is_whole: false })
    }

    /// Syncs the file, and gives it its name. When this returns, the file survives a crash.
    ///
    /// # Errors
    /// If a step fails. The file that was at the path is there still, unless syncing the directory failed.
    pub fn commit(mut self) -> Result<(), NewFileError> {
        self.file.sync().map_err(|error| NewFileError { step: Step::Write, error })?;
        let renamed = self.files.rename(&self.temporary, &self.path).and_then(|()| {
            self.is_whole = true;
            let directory = self.path.parent().filter(|parent| !parent.as_os_str().is_empty());
            self.files.sync_dir(directory.unwrap_or(Path::new(".")))
        });
        renamed.map_err(|error| NewFileError { step: Step::Rename, error })
    }
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)?;
        self.unsynced += bytes.len() as u64;
        if self.sync_every.is_some_and(|every| self.unsynced >= every) {
            self.file.sync()?;
            self.unsynced = 0;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.is_whole {
            // An error leaves a file that nobody reads.
            let _ = self.files.remove(&self.temporary);
        }
    }
}
