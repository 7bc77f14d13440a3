//! Running cargo and other programs from the workspace's root.

use std::env;
use std::process::Command;

use ochre_testkit::workspace;

/// The cargo that runs us.
pub fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(workspace::root());
    command
}

/// Runs a command with our own input and output; anything but success is an error.
pub fn run(command: &mut Command) -> Result<(), String> {
    let shown = show(command);
    let status = command.status().map_err(|error| format!("{shown} did not start: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{shown} ended with {status}")) }
}

/// A command as one would type it.
fn show(command: &Command) -> String {
    let name = command.get_program().to_string_lossy();
    let name = name.rsplit('/').next().unwrap_or_default().to_string();
    let words = command.get_args().map(|argument| argument.to_string_lossy().into_owned());
    [name].into_iter().chain(words).collect::<Vec<_>>().join(" ")
}
