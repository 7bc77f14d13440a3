//! The files that are generated and committed, a row for each.

use std::fs;
use std::path::PathBuf;

use ochre_testkit::{Kind, workspace};

use crate::bench::results;
use crate::{compat, growth, shell};

/// A generated file.
struct Generated {
    /// From the root of the workspace.
    path: &'static str,
    generate: fn() -> Result<String, String>,
}

const FILES: [Generated; 4] = [
    Generated { path: "COMPAT.md", generate: compat::generate },
    Generated { path: "ochre.conf", generate: default_config },
    Generated { path: "bench/README.md", generate: results::page },
    Generated { path: "bench/growth.md", generate: growth::page },
];

impl Generated {
    fn full_path(&self) -> PathBuf {
        workspace::root().join(self.path)
    }

    fn write(&self) -> Result<(), String> {
        let path = self.full_path();
        fs::write(&path, (self.generate)()?).map_err(|error| format!("{}: {error}", path.display()))
    }
}

/// Compares the committed files with what would be generated now.
pub fn are_current() -> Result<(), String> {
    for file in &FILES {
        let committed = fs::read_to_string(file.full_path()).unwrap_or_default();
        if committed != (file.generate)()? {
            return Err(format!("{} is not current; `cargo xtask fix` writes it", file.path));
        }
    }
    Ok(())
}

/// Writes all generated files.
pub fn write() -> Result<(), String> {
    FILES.iter().try_for_each(Generated::write)
}

/// Writes COMPAT.md only.
pub fn write_compat() -> Result<(), String> {
    shell::build_server()?;
    FILES.iter().filter(|file| file.path == "COMPAT.md").try_for_each(Generated::write)
}

/// The text of ochre.conf, which the server writes from the rows of its directives.
fn default_config() -> Result<String, String> {
    shell::output(std::process::Command::new(Kind::Ochre.program()).arg("--default-config"))
}
