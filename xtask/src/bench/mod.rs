//! `cargo xtask bench`: measures Ochre and the reference servers, on one machine in one run.
//!
//! The server runs on core 0 and its clients on core 1. Commands per second depend on the machine and on what else runs on it. The processor
//! time that the server spends on a command varies least, so that is the figure to compare. Each figure is the median of several rounds, and
//! the servers take turns within a round.

mod collections;
mod expiry;
mod fragmentation;
mod hits;
mod latency;
mod loading;
mod memory;
pub mod results;
mod throughput;

use std::path::PathBuf;

use ochre_testkit::{Kind, Launch, workspace};

use crate::shell;
use results::Results;

const USAGE: &str = "\
usage: cargo xtask bench [ROW…] [--rounds N] [--servers ochre,valkey,redis] [--write] [--list]

A ROW is a name or the beginning of one: `GET`, `GET-p16`, `SET-p1-unix`, `ZRANGE`, `memory`, `latency`,
`expiry`, `loading`, `hits`,
`fragmentation`. Without a ROW, all rows are measured.

  --rounds N        measure each row N times and take the median (3)
  --servers …       measure only these servers
  --write           store the figures in bench/results.tsv and write bench/README.md; figures of other rows
                    stay
  --list            print the names of the rows

The variable BENCH names a redis-benchmark to use in place of the one on the PATH.
";

/// The core that the server runs on.
pub const SERVER_CORE: usize = 0;
/// The core that its clients run on.
pub const CLIENT_CORE: usize = 1;

/// A server to measure.
#[derive(Clone, Debug)]
pub struct Contestant {
    pub kind: Kind,
    /// The release build of Ochre; `None` for the other servers.
    program: Option<PathBuf>,
}

impl Contestant {
    /// The server as it is measured: with one thread, on its core, writing nothing to disk.
    pub fn launch(&self) -> Launch {
        let launch = Launch::new(self.kind).threads(1).unix_socket().pinned(&[SERVER_CORE]);
        match &self.program {
            Some(program) => launch.program(program),
            None => launch,
        }
    }

    pub fn name(&self) -> &'static str {
        self.kind.name()
    }
}

pub fn run(arguments: &[String]) -> Result<(), String> {
    let mut rounds = 3;
    let mut kinds = vec![Kind::Ochre, Kind::Valkey, Kind::Redis];
    let mut wanted: Vec<String> = Vec::new();
    let (mut write, mut list) = (false, false);
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} needs a value\n\n{USAGE}"));
        match word.as_str() {
            "--rounds" => rounds = value()?.parse().map_err(|_| "--rounds needs a number".to_string())?,
            "--servers" => kinds = value()?.split(',').map(kind).collect::<Result<_, _>>()?,
            "--write" => write = true,
            "--list" => list = true,
            "--help" => {
                print!("{USAGE}");
                return Ok(());
            }
            option if option.starts_with('-') => return Err(format!("unknown option {option}\n\n{USAGE}")),
            row => wanted.push(row.to_string()),
        }
    }
    let chosen = |name: &str| wanted.is_empty() || wanted.iter().any(|beginning| begins(name, beginning));
    let rows = throughput::rows().into_iter().chain(collections::rows());
    let rows: Vec<throughput::Row> = rows.filter(|row| chosen(&row.name)).collect();
    let memory_rows: Vec<memory::Row> = memory::ROWS.into_iter().filter(|row| chosen(row.name)).collect();
    let hit_rows: Vec<_> = hits::rows().into_iter().filter(|(name, ..)| chosen(name)).collect();
    let (latency, expiry, loading) = (chosen(latency::NAME), chosen(expiry::NAME), chosen(loading::NAME));
    let fragmentation = chosen(fragmentation::NAME);
    if list {
        for row in &rows {
            println!("{}", row.name);
        }
        memory_rows.iter().for_each(|row| println!("{}", row.name));
        hit_rows.iter().for_each(|(name, ..)| println!("{name}"));
        if latency {
            println!("{}", latency::NAME);
        }
        if expiry {
            println!("{}", expiry::NAME);
        }
        if loading {
            println!("{}", loading::NAME);
        }
        if fragmentation {
            println!("{}", fragmentation::NAME);
        }
        return Ok(());
    }
    if rows.is_empty()
        && memory_rows.is_empty()
        && hit_rows.is_empty()
        && !latency
        && !expiry
        && !loading
        && !fragmentation
    {
        return Err(format!("no row begins with {}\n\n{USAGE}", wanted.join(" or ")));
    }

    let contestants = contestants(&kinds)?;
    let mut results = Results::default();
    let mut failures = Vec::new();
    failures.extend(throughput::measure(&contestants, &rows, rounds, &mut results).err());
    failures.extend(memory::measure(&contestants, &memory_rows, rounds, &mut results).err());
    failures.extend(hits::measure(&contestants, &hit_rows, &mut results).err());
    if latency {
        failures.extend(latency::measure(&contestants, rounds, &mut results).err());
    }
    if expiry {
        failures.extend(expiry::measure(&contestants, rounds, &mut results).err());
    }
    if loading {
        failures.extend(loading::measure(&contestants, rounds, &mut results).err());
    }
    if fragmentation {
        failures.extend(fragmentation::measure(&contestants, &mut results).err());
    }
    println!("\n{}", results.tables());
    if write {
        results.store()?;
    }
    if failures.is_empty() { Ok(()) } else { Err(failures.join("\n")) }
}

/// Whether a row's name begins with `beginning` at a hyphen: `GET-p1` is a beginning of `GET-p1-unix`, not of `GET-p16`.
fn begins(name: &str, beginning: &str) -> bool {
    name.strip_prefix(beginning).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

/// Returns the server of a name.
pub fn kind(name: &str) -> Result<Kind, String> {
    match name {
        "ochre" => Ok(Kind::Ochre),
        "valkey" => Ok(Kind::Valkey),
        "redis" => Ok(Kind::Redis),
        _ => Err(format!("there is no server {name}; there are ochre, valkey and redis")),
    }
}

fn contestants(kinds: &[Kind]) -> Result<Vec<Contestant>, String> {
    let contestant = |kind: &Kind| {
        let program = match (kind, std::env::var_os("OCHRE_BIN")) {
            (Kind::Ochre, None) => {
                shell::run(&mut shell::cargo(&["build", "--release", "--package", "ochre-server"]))?;
                Some(workspace::target_dir().join("release/ochre"))
            }
            _ => None,
        };
        Ok(Contestant { kind: *kind, program })
    };
    kinds.iter().map(contestant).collect()
}
