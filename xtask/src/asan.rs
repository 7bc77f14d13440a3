//! The crates with unsafe code, under AddressSanitizer.
//!
//! The sanitizer is not a stable option of the compiler, but the stable compiler carries it: RUSTC_BOOTSTRAP lets us ask for it
//! without a nightly toolchain. The flags need a target directory of their own, or every other build would start anew.

use ochre_testkit::workspace;

use crate::shell;

const CRATES: [&str; 3] = ["ochre-resp", "ochre-datatypes", "ochre-keyspace"];

/// The one platform that the sanitizer is used on; naming it keeps its flags away from build scripts and macros.
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
