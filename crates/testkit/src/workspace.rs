//! The paths of the workspace: its root, and its target directory.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Returns the root of the workspace.
pub fn root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.ancestors().nth(2).expect("crates/testkit lies two folders below the root").to_path_buf()
}

/// Returns a command of the cargo that runs this program, in the root of the workspace.
///
/// Cargo tells the programs that it runs about their package. Build scripts that look at these variables would run again, and all that depends
/// on them would be built again, each time that another program calls cargo.
pub fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    let is_of_package = |name: &str| ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|prefix| name.starts_with(prefix));
    for (name, _) in env::vars_os().filter(|(name, _)| name.to_str().is_some_and(is_of_package)) {
        command.env_remove(name);
    }
    command
}

/// Returns the target directory in which this program was built. It is found from the program's path, which is like
/// `target/debug/deps/name-hash` for a test, and `target/debug/xtask` for the tools.
pub fn target_dir() -> PathBuf {
    let program = env::current_exe().expect("a running program has a path");
    let built = |dir: &&Path| dir.join("CACHEDIR.TAG").exists() || dir.file_name().is_some_and(|name| name == "target");
    program.ancestors().skip(1).find(built).map(Path::to_path_buf).unwrap_or_else(|| root().join("target"))
}
