//! Proves that the data outlives the process: saved files, the append-only file, and crashes.

mod append_only;
mod crashes;
mod loading;
mod saves;

use std::{
    fs,
    path::{Path, PathBuf},
};

use ochre_testkit::{Client, Kind, new_folder, poll};

/// A folder that is removed when it is dropped.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        Folder(new_folder(Kind::subject()))
    }
}

impl std::ops::Deref for Folder {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left behind is in the folder of temporary files.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A field of INFO.
fn info(client: &mut Client, field: &str) -> String {
    let text = client.run("INFO everything").to_text();
    let line = text.lines().find_map(|line| line.trim().strip_prefix(field)?.strip_prefix(':').map(str::to_owned));
    line.unwrap_or_else(|| panic!("INFO has no {field}"))
}

/// Waits until a field of INFO has a value.
#[track_caller]
fn wait_for(client: &mut Client, field: &str, value: &str) {
    poll::eventually(&format!("{field}:{value}"), || info(client, field) == value);
}
