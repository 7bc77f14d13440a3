//! `cargo xtask growth`: finds commands whose cost grows faster than their work.
//!
//! A client chooses how many arguments a command has, how many elements a collection, how many keys it watches. If the cost of a command
//! grows as the square of such a number, one client holds up a core for seconds. So every command has a case for what can grow, and runs at
//! three sizes: `n`, 2 `n` and 4 `n`. The cost is the server's processor time, the least of several runs, since other programs only add to
//! it. From `n` to 4 `n`, a cost in proportion to the work grows fourfold, and a square sixteenfold.
//!
//! Processor time depends on the machine, so this is no test. A test only checks that no command lacks a case.

mod case;
mod cases;
mod results;
mod stage;

use std::panic;
use std::time::Duration;

use ochre_testkit::{Kind, Launch, process, workspace};

use crate::shell;
use case::Case;
use results::{Measured, Results};
use stage::Stage;

pub use results::page;

const USAGE: &str = "\
usage: cargo xtask growth [COMMAND…] [--rounds N] [--server ochre|valkey|redis] [--write] [--list]

Measures how the processor time of commands grows with what clients can choose. A COMMAND is a name or the
beginning of one: `ZADD`, `CLIENT`. Without one, all commands are measured, which takes some minutes.

  --rounds N        run each size N times and take the least (3)
  --server NAME     measure another server
  --write           store the figures in bench/growth.tsv and write bench/growth.md
  --list            print the cases

It is an error if the cost of a command grows faster than it may.
";

/// The most by which the cost may grow from `n` to 4 `n`: between 4, in proportion, and 16, a square. Sorting, and caches that no longer
/// suffice, take some of the room.
const GROWTH_MAX: f64 = 10.0;
/// The same if the cost may be a square: between 16 and 64, a cube.
const SQUARE_GROWTH_MAX: f64 = 32.0;
/// A cost that does not matter. At the usual size, a square would be far more.
const NEGLIGIBLE: Duration = Duration::from_millis(4);
/// The rounds that are added before a cost is said to grow too fast.
const FURTHER_ROUNDS: usize = 3;
/// A cost for which one round is enough: what other programs add is little beside it.
const LARGE: Duration = Duration::from_millis(500);

pub fn run(arguments: &[String]) -> Result<(), String> {
    let (mut rounds, mut kind) = (3, Kind::Ochre);
    let (mut write, mut list) = (false, false);
    let mut wanted: Vec<String> = Vec::new();
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} needs a value\n\n{USAGE}"));
        match word.as_str() {
            "--rounds" => rounds = value()?.parse().map_err(|_| "--rounds needs a number".to_string())?,
            "--server" => kind = crate::bench::kind(value()?)?,
            "--write" => write = true,
            "--list" => list = true,
            "--help" => {
                print!("{USAGE}");
                return Ok(());
            }
            option if option.starts_with('-') => return Err(format!("unknown option {option}\n\n{USAGE}")),
            command => wanted.push(command.to_ascii_uppercase()),
        }
    }
    let chosen = |case: &&Case| wanted.is_empty() || wanted.iter().any(|it| case.command.starts_with(it.as_str()));
    let cases: Vec<&Case> = cases::all().filter(chosen).collect();
    if list {
        cases.iter().for_each(|case| println!("{}: {}", case.command, case.grows));
        return Ok(());
    }
    if cases.is_empty() {
        return Err(format!("no command begins with {}", wanted.join(" or ")));
    }
    process::raise_file_limit().map_err(|error| format!("the limit of open files: {error}"))?;
    let launch = launch(kind)?;
    let mut results = Results::default();
    let mut failures = Vec::new();
    for case in cases {
        match measure(&launch, case, rounds) {
            Ok(measured) => {
                println!("{}", measured.line());
                failures.extend(measured.grows_too_fast.then(|| measured.line()));
                results.add(measured);
            }
            Err(error) => {
                println!("{}: {}: {error}", case.command, case.grows);
                failures.push(format!("{}: {}: {error}", case.command, case.grows));
            }
        }
    }
    if write {
        results.store()?;
    }
    if failures.is_empty() { Ok(()) } else { Err(format!("these grow too fast:\n{}", failures.join("\n"))) }
}

/// The server, in its release build and with one thread.
fn launch(kind: Kind) -> Result<Launch, String> {
    let launch = Launch::new(kind).threads(1).directive("enable-debug-command", "local");
    if kind != Kind::Ochre || std::env::var_os("OCHRE_BIN").is_some() {
        return Ok(launch);
    }
    shell::run(&mut shell::cargo(&["build", "--release", "--package", "ochre-server"]))?;
    Ok(launch.program(&workspace::target_dir().join("release/ochre")))
}

/// Runs a case at its three sizes.
fn measure(launch: &Launch, case: &Case, rounds: usize) -> Result<Measured, String> {
    // A server that does not start panics, as tests want it.
    let measured = panic::catch_unwind(|| {
        let sizes = [1, 2, 4].map(|times| times * case.size);
        let mut stages = Vec::new();
        for n in sizes {
            stages.push((n, Stage::new(launch.clone(), case, n)?, Duration::MAX));
        }
        let mut left = rounds;
        let mut has_further_rounds = true;
        loop {
            for (n, stage, least) in &mut stages {
                *least = stage.measure(case, *n)?.min(*least);
            }
            let costs: Vec<Duration> = stages.iter().map(|&(_, _, least)| least).collect();
            if costs.last() > Some(&LARGE) {
                (left, has_further_rounds) = (0, false);
            }
            left = left.saturating_sub(1);
            if left > 0 {
                continue;
            }
            let grows_too_fast = grows_too_fast(case, &costs);
            if !grows_too_fast || !has_further_rounds {
                return Ok(Measured::new(case, &costs, grows_too_fast));
            }
            (left, has_further_rounds) = (FURTHER_ROUNDS, false);
        }
    });
    match measured {
        Ok(result) => result.map_err(|error: std::io::Error| error.to_string()),
        Err(_) => Err("the server did not start".into()),
    }
}

fn grows_too_fast(case: &Case, costs: &[Duration]) -> bool {
    let growth_max = if case.square.is_some() { SQUARE_GROWTH_MAX } else { GROWTH_MAX };
    let [first, .., last] = costs else { return false };
    *last > NEGLIGIBLE && last.as_secs_f64() > first.as_secs_f64() * growth_max
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_square_grows_too_fast_unless_it_may() {
        let linear = case::case("GET", "keys", &[], &[]);
        let square = linear.square("a reason");
        let costs = |costs_ms: [u64; 3]| costs_ms.map(Duration::from_millis);
        for (case, costs_ms, expected) in [
            (linear, [10, 20, 40], false),
            (linear, [10, 25, 70], false),
            (linear, [10, 40, 160], true),
            (linear, [0, 1, 3], false),
            (square, [10, 40, 160], false),
            (square, [10, 80, 640], true),
        ] {
            assert_eq!(grows_too_fast(&case, &costs(costs_ms)), expected, "{costs_ms:?}");
        }
    }
}
