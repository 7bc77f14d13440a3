//! The differential test. It proves that Ochre behaves as a reference server does: both are sent the same random commands, and every reply,
//! and in the end the whole data, must be equal.
//!
//! Commands are drawn from the table that Ochre reports (COMMAND, COMMAND DOCS), so a new command is tested as soon as it has a row.
//! `rules.rs` lists what may differ and what is not drawn, with the reasons.
//!
//! `cargo xtask differential` runs more sequences. It sets these variables:
//!
//! | variable | meaning |
//! |---|---|
//! | `OCHRE_SEED` | the seed of the first sequence; the next has the next number |
//! | `OCHRE_SEQUENCES` | the number of sequences |
//! | `OCHRE_ONLY` | commands, or groups as in COMMAND DOCS, separated by commas: draw only from these |
//! | `OCHRE_FAILURES` | the number of different failures after which to stop |

mod dataset;
mod explore;
mod generator;
mod pair;
mod pubsub;
mod rules;
mod shrink;
mod values;

use std::env;

use ochre_testkit::Kind;

use explore::Exploration;

#[test]
fn one_thread_against_redis() {
    explore(Exploration { reference: Kind::Redis, threads: 1, first_seed: 1, sequences: 10_000 });
}

#[test]
fn four_threads_against_redis() {
    explore(Exploration { reference: Kind::Redis, threads: 4, first_seed: 1_000_001, sequences: 10_000 });
}

/// Draws the commands and options that only Valkey has.
#[test]
fn four_threads_against_valkey() {
    explore(Exploration { reference: Kind::Valkey, threads: 4, first_seed: 2_000_001, sequences: 3000 });
}

/// Three clients subscribe and publish, and each must receive the same from both servers.
#[test]
fn pubsub_against_redis() {
    pubsub::explore(4, number("OCHRE_SEED").unwrap_or(3_000_001), number("OCHRE_SEQUENCES").unwrap_or(600));
}

fn explore(mut exploration: Exploration) {
    if let Some(seed) = number("OCHRE_SEED") {
        exploration.first_seed = seed;
    }
    if let Some(sequences) = number("OCHRE_SEQUENCES") {
        exploration.sequences = sequences;
    }
    let only: Vec<String> = env::var("OCHRE_ONLY")
        .map(|list| list.split(',').map(|name| name.trim().to_ascii_lowercase().replace(' ', "|")).collect())
        .unwrap_or_default();
    exploration.run(&only, number("OCHRE_FAILURES").unwrap_or(10));
}

fn number(variable: &str) -> Option<u64> {
    let text = env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} must be a number, not {text}")))
}
