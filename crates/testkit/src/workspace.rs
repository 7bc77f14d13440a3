//! The paths of the workspace: its root, and its target directory.

use std::env;
use std::path::{Path, PathBuf};

/// Returns the root of the workspace.
pub fn root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.ancestors().nth(2).expect("crates/testkit lies two folders below the root").to_path_buf()
}

/// Returns the target directory in which this program was built. It is found from the program's path, which is like
/// `target/debug/deps/name-hash` for a test, and `target/debug/xtask` for the tools.
pub fn target_dir() -> PathBuf {
    let program = env::current_exe().expect("a running program has a path");
    let built = |dir: &&Path| dir.join("CACHEDIR.TAG").exists() || dir.file_name().is_some_and(|name| name == "target");
    program.ancestors().skip(1).find(built).map(Path::to_path_buf).unwrap_or_else(|| root().join("target"))
}
