//! `cargo xtask crash`: kills servers that write, more often than the tests do.

use crate::shell;

const USAGE: &str = "\
usage: cargo xtask crash [--rounds N]

Kills a server at random instants while clients write, restarts it, and compares what is there with what
was acknowledged.

  --rounds N        how often the server is killed under each policy; by default 500
";

/// Runs the crash tests.
pub fn run(arguments: &[String]) -> Result<(), String> {
    let rounds = match arguments {
        [] => "500",
        [word] if word == "--help" => {
            print!("{USAGE}");
            return Ok(());
        }
        [word, rounds] if word == "--rounds" => rounds,
        _ => return Err(format!("the arguments are wrong\n\n{USAGE}")),
    };
    let test = ["test", "--package", "ochre-tests", "--test", "persistence", "--", "--nocapture", "crashes"];
    let mut command = shell::cargo(&test);
    command.env("OCHRE_CRASH_ROUNDS", rounds);
    shell::run(&mut command)
}
