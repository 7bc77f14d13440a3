//! `cargo xtask differential`: runs the differential test with other seeds, more sequences, or fewer commands.

use crate::shell;

const USAGE: &str = "\
usage: cargo xtask differential [--seed N] [--sequences M] [--against redis|valkey] [--threads 1|4]
                                [--only COMMAND-OR-GROUP,…] [--failures N] [--subject redis|valkey]

Draws random sequences of commands, sends them to Ochre and to a reference server, and compares replies and data.

  --seed N          the seed of the first sequence; each further sequence has the next number
  --sequences M     the number of sequences
  --only …          draw only these commands or groups; a subcommand is written config|get, and a group is
                    one of COMMAND DOCS: string, generic, transactions, …
  --failures N      stop after N different failures
  --subject …       run a reference server in Ochre's place
";

fn test_name(against: &str, threads: &str) -> Result<String, String> {
    match (against, threads) {
        ("redis", "1") => Ok("one_thread_against_redis".into()),
        ("redis", "4") => Ok("four_threads_against_redis".into()),
        ("valkey", _) => Ok("four_threads_against_valkey".into()),
        _ => Err(format!("there is no run against {against} with {threads} threads\n\n{USAGE}")),
    }
}

pub fn run(arguments: &[String]) -> Result<(), String> {
    let mut command = shell::cargo(&["test", "--quiet", "--package", "ochre-tests", "--test", "differential", "--"]);
    // A person who explores wants to see many failures, not only the first.
    command.env("OCHRE_FAILURES", "60").env("RUST_BACKTRACE", "0");
    let (mut against, mut threads) = ("redis", "4");
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        if word == "--help" {
            print!("{USAGE}");
            return Ok(());
        }
        let value = words.next().ok_or_else(|| format!("{word} needs a value\n\n{USAGE}"))?;
        match word.as_str() {
            "--seed" => {
                command.env("OCHRE_SEED", value);
            }
            "--sequences" => {
                command.env("OCHRE_SEQUENCES", value);
            }
            "--only" => {
                command.env("OCHRE_ONLY", value);
            }
            "--failures" => {
                command.env("OCHRE_FAILURES", value);
            }
            "--subject" => {
                command.env("OCHRE_SUBJECT", value);
            }
            "--against" => against = value,
            "--threads" => threads = value,
            _ => return Err(format!("unknown option {word}\n\n{USAGE}")),
        }
    }
    command.args([&test_name(against, threads)?, "--exact", "--nocapture"]);
    shell::run(&mut command)
}
