//! Proves that the server answers every transcript as the transcript says.
//!
//! `regression/` has the mistakes that the differential test found. `commands/`, with a folder for each family of commands, has what that
//! test cannot cover: replies that come late, depend on the server's configuration, or exist only in Ochre.
//!
//! `OCHRE_SUBJECT=redis OCHRE_RECORD=1 cargo test -p ochre-tests --test transcripts` writes a reference server's replies into the files of
//! `$OCHRE_TRANSCRIPTS` (a folder below tests/) instead of checking them.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use ochre_testkit::transcript::{check_folders, in_folder, record, recording};

fn folders() -> Vec<PathBuf> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    if let Ok(named) = env::var("OCHRE_TRANSCRIPTS") {
        return vec![tests.join(named)];
    }
    let mut folders = vec![tests.join("regression")];
    let families = fs::read_dir(tests.join("commands")).expect("tests/commands can be read");
    folders.extend(families.map(|entry| entry.expect("the entry can be read").path()).filter(|path| path.is_dir()));
    folders.sort();
    folders
}

#[test]
fn transcripts_hold() {
    let folders = folders();
    if recording() {
        for path in folders.iter().flat_map(|folder| in_folder(folder)) {
            record(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        }
    } else {
        check_folders(&folders);
    }
}
