//! `cargo xtask asan`: the tests of the crates with unsafe code, under AddressSanitizer.
//!
//! The option for the sanitizer is unstable, but the stable compiler accepts it with RUSTC_BOOTSTRAP=1, so no nightly toolchain is needed.
//! The flags get a target directory of their own: in the shared one, each change of flags would rebuild everything.

use ochre_testkit::workspace;

use crate::shell;

const CRATES: [&str; 4] = ["ochre-resp", "ochre-datatypes", "ochre-keyspace", "ochre-persist"];

/// The platform. Naming it keeps the sanitizer's flags away from build scripts and procedural macros.
const TARGET: &str = "x86_64-unknown-linux-gnu";

pub fn run() -> Result<(), String> {
    let mut command = shell::cargo(&["test", "--quiet", "--lib", "--tests", "--target", TARGET]);
    for name in CRATES {
        command.args(["--package", name]);
    }
    command
        .env("RUSTC_BOOTSTRAP", "1")
        .env("RUSTFLAGS", "-Zsanitizer=address")
        .env("CARGO_TARGET_DIR", workspace::target_dir().join("asan"));
    shell::run(&mut command)
}
