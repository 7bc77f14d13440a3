//! The differential test: the same random commands to Ochre and to a reference server, and every reply and then the whole
//! data set must be the same.
//!
//! What is drawn comes from the command table that Ochre itself tells (COMMAND, COMMAND DOCS), so a new command is tested
//! from the moment it has a row. What may differ, and what is not drawn, stands with its reason in `rules.rs`.
//!
//! `cargo xtask differential` explores more; these variables are what it sets:
//!
//! | variable | meaning |
//! |---|---|
//! | `OCHRE_SEED` | the seed of the first sequence; the next has the next number |
//! | `OCHRE_SEQUENCES` | how many sequences |
//! | `OCHRE_ONLY` | commands, or groups as in COMMAND DOCS, separated by commas: draw only from these |
//! | `OCHRE_FAILURES` | how many different failures to show before giving up |

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

/// Commands and options that only Valkey has.
#[test]
fn four_threads_against_valkey() {
    explore(Exploration { reference: Kind::Valkey, threads: 4, first_seed: 2_000_001, sequences: 3000 });
}

/// Three clients that subscribe and publish; whatever anyone receives must be the same.
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
