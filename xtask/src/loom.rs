//! `cargo xtask loom`: gate and lock sets under the model checker loom, which runs a test in all orders of events that the memory model
//! allows.
//!
//! With `--cfg loom` the keyspace uses loom's locks and atomics. The flag gets a target directory of its own: in the shared one, each change of
//! flags would rebuild everything.

use ochre_testkit::workspace;

use crate::shell;

pub fn run() -> Result<(), String> {
    let mut command = shell::cargo(&["test", "--quiet", "--package", "ochre-keyspace", "--test", "loom"]);
    command.env("RUSTFLAGS", "--cfg loom").env("CARGO_TARGET_DIR", workspace::target_dir().join("loom"));
    shell::run(&mut command)
}
