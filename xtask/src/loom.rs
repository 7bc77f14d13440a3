//! Gate and lock sets under the model checker loom, which runs their tests in every order of events that the memory model allows.
//!
//! It stands in for the primitives of synchronisation by a configuration flag, so it needs a target directory of its own.

use ochre_testkit::workspace;

use crate::shell;

pub fn run() -> Result<(), String> {
    let mut command = shell::cargo(&["test", "--quiet", "--package", "ochre-keyspace", "--test", "loom"]);
    command.env("RUSTFLAGS", "--cfg loom").env("CARGO_TARGET_DIR", workspace::target_dir().join("loom"));
    shell::run(&mut command)
}
