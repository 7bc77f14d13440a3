//! The folder of an append-only file, and the steps in which its files change.
//!
//! A file is made before the manifest names it, and removed after the manifest has ceased to. The names of new files are synced before the
//! manifest is, and the manifest is replaced by renaming. So the manifest that a crash leaves, the old one or the new one, names files that are
//! there. What it does not name is useless, and its name may be used again.

use std::{
    ffi::OsStr,
    fmt,
    io::{self, ErrorKind, Read, Write},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::manifest::{Manifest, ManifestError, Part};
use crate::{
    files::{Files, OutFile},
    new_file::NewFile,
};

/// What the names of files begin with that are not complete.
const TEMPORARY: &[u8] = b"temp-";

/// The folder of an append-only file; see the module.
#[derive(Debug)]
pub struct Folder {
    files: Arc<dyn Files>,
    /// The path of the folder.
    path: PathBuf,
    /// What the names of its files begin with (`appendfilename`).
    name: Vec<u8>,
    manifest: Manifest,
}

/// Why a folder could not be opened.
#[derive(Debug)]
pub enum FolderError {
    /// It could not be read, or not be changed.
    Io(PathBuf, io::Error),
    /// The manifest is wrong.
    Manifest(PathBuf, ManifestError),
}

impl fmt::Display for FolderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FolderError::Io(path, error) => write!(f, "{}: {error}", path.display()),
            FolderError::Manifest(path, error) => write!(f, "{}: {error}", path.display()),
        }
    }
}

impl std::error::Error for FolderError {}

/// A file to be loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileToLoad {
    /// Its path.
    pub path: PathBuf,
    /// Whether it is the last one, whose tail a crash may have torn.
    pub is_last: bool,
}

impl Folder {
    /// Opens the folder `path`, or makes it if it does not exist. `name` is what the names of the files begin with. A single file of this name
    /// beside the folder, as old versions of Redis have kept it, becomes the base. (Redis: `aofLoadManifestFromDisk`, `aofUpgradePrepare`)
    ///
    /// # Errors
    /// If the folder cannot be read or written, or if the manifest is wrong.
    pub fn open(files: Arc<dyn Files>, path: &Path, name: &[u8]) -> Result<Folder, FolderError> {
        let mut folder = Folder { files, path: path.to_owned(), name: name.to_vec(), manifest: Manifest::default() };
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |error| FolderError::Io(path, error)
        };
        folder.files.create_dir(path).map_err(failed(path))?;
        let manifest_path = folder.manifest_path();
        match folder.read(&manifest_path) {
            Ok(text) => {
                let manifest = Manifest::parse(&text);
                folder.manifest = manifest.map_err(|error| FolderError::Manifest(manifest_path, error))?;
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(failed(&manifest_path)(error)),
        }
        let single = path.parent().unwrap_or(Path::new("")).join(OsStr::from_bytes(name));
        if folder.is_to_be_upgraded(&single).map_err(failed(&single))? {
            folder.upgrade(&single).map_err(failed(&single))?;
        }
        Ok(folder)
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        self.files.open(path)?.read_to_end(&mut text)?;
        Ok(text)
    }

    /// Returns whether a single file is to become the base: if the folder is empty, or if a crash has interrupted that step.
    fn is_to_be_upgraded(&self, single: &Path) -> io::Result<bool> {
        let exists = |path: &Path| match self.files.len(path) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        };
        if !exists(single)? || !self.manifest.increments.is_empty() {
            return Ok(false);
        }
        match &self.manifest.base {
            None => Ok(true),
            Some(base) => Ok(base.name == self.name && !exists(&self.path_of(base))?),
        }
    }

    fn upgrade(&mut self, single: &Path) -> io::Result<()> {
        let base = Part { name: self.name.clone(), number: 1 };
        let moved = self.path_of(&base);
        self.change(Manifest { base: Some(base), ..Manifest::default() })?;
        self.files.rename(single, &moved)?;
        self.files.sync_dir(&self.path)?;
        self.files.sync_dir(single.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new(".")))
    }

    /// Returns whether there is nothing to load.
    pub fn is_empty(&self) -> bool {
        self.manifest.base.is_none() && self.manifest.increments.is_empty()
    }

    /// Returns the files in the order in which they are loaded.
    pub fn files_to_load(&self) -> Vec<FileToLoad> {
        let parts: Vec<&Part> = self.manifest.base.iter().chain(&self.manifest.increments).collect();
        let file =
            |(index, part): (usize, &&Part)| FileToLoad { path: self.path_of(part), is_last: index + 1 == parts.len() };
        parts.iter().enumerate().map(file).collect()
    }

    /// Returns the manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Opens the last increment, to write behind its end, or begins one if there is none. Returns its length in bytes.
    ///
    /// # Errors
    /// The error of the system.
    pub fn resume_increment(&mut self) -> io::Result<(Arc<dyn OutFile>, u64)> {
        match self.manifest.increments.last() {
            Some(last) => {
                let path = self.path_of(last);
                Ok((self.files.append(&path)?, self.files.len(&path)?))
            }
            None => {
                let (part, file) = self.new_increment()?;
                self.list(part)?;
                Ok((file, 0))
            }
        }
    }

    /// Makes a further increment, which the manifest does not name yet.
    ///
    /// # Errors
    /// The error of the system.
    pub fn new_increment(&mut self) -> io::Result<(Part, Arc<dyn OutFile>)> {
        let manifest = &self.manifest;
        let number = manifest.increments.last().map_or(0, |last| last.number) + 1;
        let number = number.max(manifest.history.iter().map(|part| part.number + 1).max().unwrap_or(0));
        let part = Part { name: self.name_of(number, "incr.aof"), number };
        let file = self.files.create(&self.path_of(&part))?;
        self.files.sync_dir(&self.path)?;
        Ok((part, file))
    }

    /// Names an increment in the manifest.
    ///
    /// # Errors
    /// The error of the system. Then the increments are what they were.
    pub fn list(&mut self, increment: Part) -> io::Result<()> {
        let mut manifest = self.manifest.clone();
        manifest.increments.push(increment);
        self.change(manifest)
    }

    /// Returns whether the manifest names an increment.
    pub fn lists(&self, increment: &Part) -> bool {
        self.manifest.increments.contains(increment)
    }

    /// Begins to write a new base: an RDB file, or one of commands. It counts from [`Folder::finish_rewrite`] on.
    ///
    /// # Errors
    /// If it cannot be created.
    pub fn begin_base(&self, is_rdb: bool, sync_every: Option<u64>) -> Result<NewBase, crate::new_file::NewFileError> {
        let number = self.manifest.base.as_ref().map_or(0, |base| base.number) + 1;
        let part = Part { name: self.name_of(number, if is_rdb { "base.rdb" } else { "base.aof" }), number };
        let path = self.path_of(&part);
        let temporary = self.path.join(format!("temp-rewriteaof-{}.aof", std::process::id()));
        Ok(NewBase { file: NewFile::create(self.files.clone(), &path, &temporary, sync_every)?, part })
    }

    /// Puts a base, which is complete, in the place of the old one and of the increments before the number `first_increment`. `begun` is an
    /// increment that counts together with the base.
    ///
    /// # Errors
    /// The error of the system. The manifest is the old one then, unless only syncing the directory failed.
    pub fn finish_rewrite(&mut self, base: Part, first_increment: u64, begun: Option<Part>) -> io::Result<()> {
        let (old, mut kept): (Vec<Part>, Vec<Part>) =
            self.manifest.increments.iter().cloned().partition(|part| part.number < first_increment);
        kept.extend(begun);
        let history = self.manifest.history.iter().cloned().chain(self.manifest.base.clone()).chain(old).collect();
        self.change(Manifest { base: Some(base), history, increments: kept })?;
        self.remove_history()
    }

    /// Removes the files that a rewrite has made useless. Those that cannot be removed are left for the next call.
    ///
    /// # Errors
    /// If the manifest cannot be written.
    pub fn remove_history(&mut self) -> io::Result<()> {
        let is_left = |part: &Part| match self.files.remove(&self.path_of(part)) {
            Ok(()) => false,
            Err(error) => error.kind() != ErrorKind::NotFound,
        };
        let history: Vec<Part> = self.manifest.history.iter().filter(|part| is_left(part)).cloned().collect();
        if history.len() == self.manifest.history.len() {
            return Ok(());
        }
        let manifest = Manifest { history, ..self.manifest.clone() };
        self.change(manifest)
    }

    /// Removes temporary files that a crash has left. No other server may use the folder.
    ///
    /// # Errors
    /// If the folder cannot be read, or a file not be removed.
    pub fn remove_leftovers(&self) -> io::Result<()> {
        for name in self.files.list(&self.path)? {
            if name.as_bytes().starts_with(TEMPORARY) {
                self.files.remove(&self.path.join(name))?;
            }
        }
        Ok(())
    }

    /// Writes the manifest.
    fn change(&mut self, manifest: Manifest) -> io::Result<()> {
        let path = self.manifest_path();
        let temporary = self.path.join(OsStr::from_bytes(&[b"temp-", &self.name[..], b".manifest"].concat()));
        let mut file = NewFile::create(self.files.clone(), &path, &temporary, None).map_err(|failed| failed.error)?;
        file.write_all(&manifest.text())?;
        file.commit().map_err(|failed| failed.error)?;
        self.manifest = manifest;
        Ok(())
    }

    fn manifest_path(&self) -> PathBuf {
        self.path.join(OsStr::from_bytes(&[&self.name[..], b".manifest"].concat()))
    }

    /// Returns the path of a file.
    pub fn path_of(&self, part: &Part) -> PathBuf {
        self.path.join(OsStr::from_bytes(&part.name))
    }

    fn name_of(&self, number: u64, suffix: &str) -> Vec<u8> {
        [&self.name[..], format!(".{number}.{suffix}").as_bytes()].concat()
    }
}

/// A base that is being written.
pub struct NewBase {
    /// The file.
    pub file: NewFile,
    /// Its entry for the manifest.
    pub part: Part,
}
