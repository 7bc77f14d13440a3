//! A disk in memory that knows what a crash may leave of it.
//!
//! It promises what [`Files`] promises, and nothing more. Of what was written and not synced, a crash leaves nothing, a part, or everything. Of the
//! names that were created, changed or removed and not synced, it leaves any selection.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    io::{self, Cursor, ErrorKind, Read},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard},
};

use ochre_persist::files::{Files, OutFile};

/// The contents of a disk: the bytes of each file by its path.
pub type Image = BTreeMap<PathBuf, Vec<u8>>;

/// A disk. Its clones are the same disk.
#[derive(Clone, Debug, Default)]
pub struct Disk(Arc<Mutex<State>>);

#[derive(Clone, Debug, Default)]
struct State {
    /// The contents of files by their number: what is there, and what was there at the last sync.
    contents: BTreeMap<u64, Content>,
    /// The names as they are.
    names: BTreeMap<PathBuf, u64>,
    /// The names as they were when their directories were last synced, and what has changed since then.
    synced_names: BTreeMap<PathBuf, u64>,
    changes: Vec<Change>,
    directories: BTreeSet<PathBuf>,
    last_number: u64,
    /// The state after each call.
    history: Vec<State>,
    keeps_history: bool,
    /// The call that fails, counted from 0, and how many there were.
    fails: Option<usize>,
    calls: usize,
}

#[derive(Clone, Debug, Default)]
struct Content {
    bytes: Vec<u8>,
    synced: Vec<u8>,
}

/// A change of names that is not synced.
#[derive(Clone, Debug)]
enum Change {
    Set(PathBuf, u64),
    Rename(PathBuf, PathBuf, u64),
    Remove(PathBuf),
}

impl Change {
    fn directory(&self) -> &Path {
        let (Change::Set(path, _) | Change::Rename(_, path, _) | Change::Remove(path)) = self;
        path.parent().expect("a file lies in a directory")
    }

    fn apply(&self, names: &mut BTreeMap<PathBuf, u64>) {
        match self {
            Change::Set(path, number) => drop(names.insert(path.clone(), *number)),
            Change::Rename(from, to, number) => {
                names.remove(from);
                names.insert(to.clone(), *number);
            }
            Change::Remove(path) => drop(names.remove(path)),
        }
    }
}

impl Disk {
    /// A disk with these contents, all of them synced.
    pub fn of(image: &Image) -> Disk {
        let disk = Disk::default();
        let mut state = disk.state();
        for (path, bytes) in image {
            state.last_number += 1;
            let number = state.last_number;
            state.contents.insert(number, Content { bytes: bytes.clone(), synced: bytes.clone() });
            state.names.insert(path.clone(), number);
            state.synced_names.insert(path.clone(), number);
        }
        drop(state);
        disk
    }

    /// From now on keeps the state after each call.
    pub fn keep_history(&self) {
        self.state().keeps_history = true;
    }

    /// Has the call of this number from now on fail, with half of its bytes written if it writes.
    pub fn fail(&self, call: usize) {
        let mut state = self.state();
        (state.fails, state.calls) = (Some(call), 0);
    }

    /// Returns how many calls there were since [`Disk::fail`], or since the beginning.
    pub fn calls(&self) -> usize {
        self.state().calls
    }

    /// Returns what is on the disk now.
    pub fn image(&self) -> Image {
        let state = self.state();
        state.names.iter().map(|(path, number)| (path.clone(), state.contents[number].bytes.clone())).collect()
    }

    /// Returns, for each call of the history, all images that a crash after it may leave.
    pub fn crashes(&self) -> Vec<Vec<Image>> {
        self.state().history.iter().map(State::crashes).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no test panics while it holds the lock")
    }

    /// Does a call, which changes the disk unless it is to fail.
    fn call<T>(&self, change: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.state();
        let fails = state.fails == Some(state.calls);
        state.calls += 1;
        let result = if fails { Err(io::Error::other("the disk fails")) } else { change(&mut state) };
        state.note();
        result
    }
}

impl State {
    fn note(&mut self) {
        if self.keeps_history {
            let state = State { history: Vec::new(), ..self.clone() };
            self.history.push(state);
        }
    }

    fn crashes(&self) -> Vec<Image> {
        assert!(self.changes.len() < 10, "too many names are not synced to try all selections");
        let mut images = BTreeSet::new();
        for selection in 0..1u32 << self.changes.len() {
            let mut names = self.synced_names.clone();
            let chosen = self.changes.iter().enumerate().filter(|(index, _)| selection >> index & 1 == 1);
            chosen.for_each(|(_, change)| change.apply(&mut names));
            let mut of_selection = vec![Image::new()];
            for (path, number) in &names {
                let kept = self.contents[number].after_crash();
                let with = |image: &Image| {
                    let image = image.clone();
                    let with = |bytes: &Vec<u8>| {
                        let mut image = image.clone();
                        image.insert(path.clone(), bytes.clone());
                        image
                    };
                    kept.iter().map(with).collect::<Vec<_>>()
                };
                of_selection = of_selection.iter().flat_map(with).collect();
            }
            images.extend(of_selection);
        }
        images.into_iter().collect()
    }
}

impl Content {
    /// What a crash may leave: what was synced, what is there, and parts of what lies between the two.
    fn after_crash(&self) -> Vec<Vec<u8>> {
        let mut kept = BTreeSet::from([self.synced.clone(), self.bytes.clone()]);
        if let Some(unsynced) = self.bytes.strip_prefix(&self.synced[..]) {
            for len in [1, unsynced.len() / 2, unsynced.len().saturating_sub(1)] {
                kept.insert([&self.synced, &unsynced[..len.min(unsynced.len())]].concat());
            }
        }
        kept.into_iter().collect()
    }
}

impl Files for Disk {
    fn open(&self, path: &Path) -> io::Result<Box<dyn Read + Send>> {
        self.call(|state| {
            let number = state.names.get(path).ok_or(ErrorKind::NotFound)?;
            Ok(Box::new(Cursor::new(state.contents[number].bytes.clone())) as Box<dyn Read + Send>)
        })
    }

    fn len(&self, path: &Path) -> io::Result<u64> {
        self.call(|state| {
            let number = state.names.get(path).ok_or(ErrorKind::NotFound)?;
            Ok(state.contents[number].bytes.len() as u64)
        })
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn OutFile>> {
        let number = self.call(|state| {
            if let Some(&number) = state.names.get(path) {
                state.contents.get_mut(&number).expect("a name has contents").bytes.clear();
                return Ok(number);
            }
            state.last_number += 1;
            let number = state.last_number;
            state.contents.insert(number, Content::default());
            state.names.insert(path.to_owned(), number);
            state.changes.push(Change::Set(path.to_owned(), number));
            Ok(number)
        })?;
        Ok(Arc::new(File { disk: self.clone(), number }))
    }

    fn append(&self, path: &Path) -> io::Result<Arc<dyn OutFile>> {
        let number = self.call(|state| Ok(*state.names.get(path).ok_or(ErrorKind::NotFound)?))?;
        Ok(Arc::new(File { disk: self.clone(), number }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.call(|state| {
            let number = state.names.remove(from).ok_or(ErrorKind::NotFound)?;
            state.names.insert(to.to_owned(), number);
            state.changes.push(Change::Rename(from.to_owned(), to.to_owned(), number));
            Ok(())
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.call(|state| {
            state.names.remove(path).ok_or(ErrorKind::NotFound)?;
            state.changes.push(Change::Remove(path.to_owned()));
            Ok(())
        })
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.call(|state| {
            state.directories.insert(path.to_owned());
            Ok(())
        })
    }

    fn list(&self, path: &Path) -> io::Result<Vec<OsString>> {
        self.call(|state| {
            let lies_there = |name: &&PathBuf| name.parent() == Some(path);
            let name = |path: &PathBuf| path.file_name().expect("a file has a name").to_owned();
            Ok(state.names.keys().filter(lies_there).map(name).collect())
        })
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.call(|state| {
            let path = if path == Path::new(".") { Path::new("") } else { path };
            let (synced, left): (Vec<_>, Vec<_>) =
                std::mem::take(&mut state.changes).into_iter().partition(|change| change.directory() == path);
            synced.iter().for_each(|change| change.apply(&mut state.synced_names));
            state.changes = left;
            Ok(())
        })
    }
}

/// A file of the disk.
#[derive(Debug)]
struct File {
    disk: Disk,
    number: u64,
}

impl OutFile for File {
    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.disk.state();
        let fails = state.fails == Some(state.calls);
        state.calls += 1;
        let written = if fails { &bytes[..bytes.len() / 2] } else { bytes };
        state.contents.get_mut(&self.number).expect("an open file has contents").bytes.extend_from_slice(written);
        state.note();
        if fails { Err(io::Error::from(ErrorKind::StorageFull)) } else { Ok(()) }
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.call(|state| {
            let content = state.contents.get_mut(&self.number).expect("an open file has contents");
            content.synced = content.bytes.clone();
            Ok(())
        })
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.disk.call(|state| {
            state.contents.get_mut(&self.number).expect("an open file has contents").bytes.truncate(len as usize);
            Ok(())
        })
    }
}
