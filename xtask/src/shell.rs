//! Runs cargo and other programs in the workspace's root.

use std::env;
use std::process::Command;

use ochre_testkit::workspace;

/// A command of the cargo that runs this program.
pub fn cargo(arguments: &[&str]) -> Command {
    let mut command = workspace::cargo();
    command.args(arguments);
    command
}

/// Runs a command, which shares this program's input and output. It is an error if the command fails.
pub fn run(command: &mut Command) -> Result<(), String> {
    let shown = show(command);
    let status = command.status().map_err(|error| format!("{shown} did not start: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{shown} ended with {status}")) }
}

/// Runs a command and returns what it writes to its standard output. It is an error if the command fails.
pub fn output(command: &mut Command) -> Result<String, String> {
    let shown = show(command);
    let output = command.output().map_err(|error| format!("{shown} did not start: {error}"))?;
    if !output.status.success() {
        let error = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{shown} ended with {}: {}", output.status, error.trim()));
    }
    String::from_utf8(output.stdout).map_err(|error| format!("{shown}: {error}"))
}

/// Builds the server that the tests run, unless `OCHRE_BIN` names another one.
pub fn build_server() -> Result<(), String> {
    if env::var_os("OCHRE_BIN").is_some() {
        return Ok(());
    }
    run(&mut cargo(&["build", "--quiet", "--package", "ochre-server"]))
}

/// The command as a person would type it.
fn show(command: &Command) -> String {
    let name = command.get_program().to_string_lossy();
    let name = name.rsplit('/').next().unwrap_or_default().to_string();
    let words = command.get_args().map(|argument| argument.to_string_lossy().into_owned());
    [name].into_iter().chain(words).collect::<Vec<_>>().join(" ")
}
