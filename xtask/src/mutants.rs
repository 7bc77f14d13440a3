//! `cargo xtask mutants`: changes the code in one place at a time, and lists the changes that no test notices.
//!
//! The tool cargo-mutants makes the changes, the mutants, in a copy of the workspace. All mutants share a target directory, so only the crate
//! that is changed and what depends on it is compiled again. `.cargo/mutants.toml` names the code that is left out, and why. Lists and logs
//! are below `target/mutants/`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use ochre_testkit::workspace;

use crate::shell;

const USAGE: &str = "\
usage: cargo xtask mutants [PLACE…] [OPTION…]

A place is a crate, a folder or a file of crates/resp/src, crates/keyspace/src, crates/datatypes/src and
crates/server/src/request, all of which are run without one. The options are those of cargo-mutants, among them:

  --list            list the mutants without running them
  --shard K/N       run only every N-th mutant, from the K-th on (the first is 0)
  --iterate         leave out the mutants that an earlier run has caught
  --re REGEX        run only the mutants whose line in the list matches
";

/// The version of cargo-mutants. Another one may make other changes, and the counts of two runs could not be compared.
const VERSION: &str = "27.1.0";

/// The address space for the compiler and for the tests of a mutant, in KiB: a mutant may allocate without end.
const ADDRESS_SPACE_KIB: u64 = 16 << 20;

/// Code that is changed, and the tests that must notice it.
struct Subject {
    /// The folder, from the root of the workspace.
    folder: &'static str,
    /// The packages with the tests.
    packages: &'static [&'static str],
    /// The arguments of `cargo test`. Examples in the documentation are left out, since each is compiled and linked anew.
    tests: &'static [&'static str],
}

const SUBJECTS: [Subject; 4] = [
    Subject { folder: "crates/resp/src", packages: &["ochre-resp"], tests: &["--lib", "--tests"] },
    Subject { folder: "crates/keyspace/src", packages: &["ochre-keyspace"], tests: &["--lib", "--tests"] },
    Subject { folder: "crates/datatypes/src", packages: &["ochre-datatypes"], tests: &["--lib", "--tests"] },
    Subject {
        folder: "crates/server/src/request",
        packages: &["ochre-server", "ochre-tests"],
        // Quick programs that need no reference server, with requests in batches, in transactions, blocked, at once and replayed.
        tests: &["--lib", "--test", "transcripts", "--test", "blocking", "--test", "concurrency", "--test", "replay"],
    },
];

pub fn run(arguments: &[String]) -> Result<(), String> {
    if arguments.iter().any(|argument| argument == "--help") {
        print!("{USAGE}");
        return Ok(());
    }
    let options_start = arguments.iter().position(|argument| argument.starts_with('-')).unwrap_or(arguments.len());
    let (places, options) = arguments.split_at(options_start);
    let all = SUBJECTS.map(|subject| subject.folder.to_string());
    let places = if places.is_empty() { &all[..] } else { places };
    let chosen = places.iter().map(|place| find(place)).collect::<Result<Vec<_>, _>>()?;
    let tool = install()?;
    let failures: Vec<String> = chosen
        .iter()
        .filter_map(|(subject, files)| {
            println!("\n== {files}");
            mutate(&tool, subject, files, options).err().map(|error| format!("{files}: {error}"))
        })
        .collect();
    if failures.is_empty() { Ok(()) } else { Err(failures.join("; ")) }
}

/// Returns the subject to which a place belongs, and a glob for the place's files.
fn find(place: &str) -> Result<(Subject, String), String> {
    let place = place.trim_end_matches('/');
    let place =
        if place.contains('/') { place.to_string() } else { format!("crates/{}", place.trim_start_matches("ochre-")) };
    let is_below = |path: &str, folder: &str| {
        path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let found =
        SUBJECTS.into_iter().find(|subject| is_below(&place, subject.folder) || is_below(subject.folder, &place));
    let subject = found
        .ok_or_else(|| format!("{place} is not below one of {}", SUBJECTS.map(|subject| subject.folder).join(", ")))?;
    let narrower = if is_below(&place, subject.folder) { &place } else { subject.folder };
    let path = workspace::root().join(narrower);
    if !path.exists() {
        return Err(format!("there is no {}", path.display()));
    }
    let files = if path.is_dir() { format!("{narrower}/**/*.rs") } else { narrower.to_string() };
    Ok((subject, files))
}

/// Installs cargo-mutants below the target directory, unless it is there.
fn install() -> Result<PathBuf, String> {
    let home = workspace::target_dir().join("tools");
    let program = home.join("bin/cargo-mutants");
    let version = shell::output(Command::new(&program).args(["mutants", "--version"]));
    if version.is_ok_and(|version| version.trim() == format!("cargo-mutants {VERSION}")) {
        return Ok(program);
    }
    let mut command = shell::cargo(&["install", "--quiet", "--locked", "cargo-mutants", "--version", VERSION]);
    shell::run(command.arg("--root").arg(home))?;
    Ok(program)
}

/// Runs the mutants of some files. It is an error if there is one that the tests do not notice.
fn mutate(tool: &Path, subject: &Subject, files: &str, options: &[String]) -> Result<(), String> {
    let home = workspace::target_dir().join("mutants");
    let output = home.join(subject.folder.replace('/', "-"));
    fs::create_dir_all(&output).map_err(|error| format!("cannot create {}: {error}", output.display()))?;
    let mut command = Command::new("sh");
    command
        .args(["-c", &format!("ulimit -v {ADDRESS_SPACE_KIB} && exec \"$0\" \"$@\"")])
        .arg(tool)
        .args(["mutants", "--workspace", "--jobs", "1", "--file", files])
        .arg("--output")
        .arg(output);
    for package in subject.packages {
        command.args(["--test-package", package]);
    }
    command
        .args(options)
        .arg("--")
        .args(subject.tests)
        .current_dir(workspace::root())
        .env("CARGO_TARGET_DIR", home.join("build"))
        // What a test prints about a mutant is hardly ever read, so it need not name lines, nor the shortest input that fails.
        .env("CARGO_PROFILE_DEV_DEBUG", "false")
        .env("PROPTEST_MAX_SHRINK_ITERS", "0")
        .env("PROPTEST_DISABLE_FAILURE_PERSISTENCE", "true");
    let status = command.status().map_err(|error| format!("cargo-mutants did not start: {error}"))?;
    match status.code() {
        // 3: the tests noticed all mutants, some by not coming to an end.
        Some(0 | 3) => Ok(()),
        Some(2) => Err("the tests do not notice all mutants".into()),
        Some(4) => Err("the tests fail without a mutant".into()),
        _ => Err(format!("cargo-mutants ended with {status}")),
    }
}
