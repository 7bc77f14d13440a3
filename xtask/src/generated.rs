//! The files that are generated and committed. A new one is a row here.

use std::fs;
use std::path::PathBuf;

use ochre_testkit::workspace;

use crate::compat;

struct Generated {
    path: &'static str,
    generate: fn() -> Result<String, String>,
}

const FILES: [Generated; 1] = [Generated { path: "COMPAT.md", generate: compat::generate }];

fn full(path: &str) -> PathBuf {
    workspace::root().join(path)
}

/// Whether the committed files are what would be generated now.
pub fn are_current() -> Result<(), String> {
    for file in &FILES {
        let found = fs::read_to_string(full(file.path)).unwrap_or_default();
        if found != (file.generate)()? {
            return Err(format!("{} is not current; `cargo xtask fix` writes it anew", file.path));
        }
    }
    Ok(())
}

pub fn write() -> Result<(), String> {
    for file in &FILES {
        let path = full(file.path);
        fs::write(&path, (file.generate)()?).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(())
}
