//! `cargo xtask fuzz`: runs a target of fuzz/, or lists them.

use std::fs;

use ochre_testkit::workspace;

use crate::shell;

pub fn run(arguments: &[String]) -> Result<(), String> {
    let folder = workspace::root().join("fuzz");
    let targets = folder.join("targets");
    let entries =
        fs::read_dir(&targets).map_err(|error| format!("no fuzz targets in {}: {error}", targets.display()))?;
    let mut names: Vec<String> =
        entries.filter_map(|entry| Some(entry.ok()?.path().file_stem()?.to_string_lossy().into_owned())).collect();
    names.sort();
    let Some((target, options)) = arguments.split_first() else {
        println!("{}", names.join("\n"));
        return Ok(());
    };
    if !names.contains(target) {
        return Err(format!("there is no fuzz target {target}; there are {}", names.join(", ")));
    }
    let mut command = shell::cargo(&["fuzz", "run", target]);
    // libFuzzer needs unstable flags, which the stable compiler accepts with this variable.
    command.args(options).env("RUSTC_BOOTSTRAP", "1");
    shell::run(&mut command).map_err(|error| format!("{error}; `cargo install cargo-fuzz` installs the command"))
}
