//! Runs sequences, shrinks those that fail, and reports at the end what was drawn and what differed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use ochre_testkit::command_table::CommandTable;
use ochre_testkit::quoting::quote_command;
use ochre_testkit::transcript::{Entry, Event, Pattern, Transcript};
use ochre_testkit::{Kind, Launch, Reply};

use crate::generator::{Generator, Step};
use crate::pair::Pair;
use crate::rules;
use crate::shrink::{self, Shrunk};

/// The number of times a command must be drawn in a full run to count as tested.
const DRAWN_MIN: usize = 30;

/// The number of differences after which a command is not drawn any more, since it would hide the others.
const DIFFERENCES_MAX: usize = 4;

pub struct Exploration {
    pub reference: Kind,
    pub threads: usize,
    pub first_seed: u64,
    pub sequences: u64,
}

/// How often a command was drawn and how often it succeeded.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    drawn: usize,
    succeeded: usize,
}

impl Exploration {
    pub fn run(&self, only: &[String], failures_max: u64) {
        let mut pair = Pair::start(self.reference, self.threads);
        let other = (self.reference == Kind::Valkey).then(|| table_of(Kind::Redis));
        let mut generator = Generator::new(self.reference, &pair.subject_table, &pair.table, other.as_ref(), only);
        let drawn_names: BTreeSet<String> = generator.command_names().map(str::to_string).collect();
        assert!(!drawn_names.is_empty(), "nothing to draw: no command is named {}", only.join(" or "));

        let start = Instant::now();
        let mut counts: BTreeMap<String, Count> = BTreeMap::new();
        let mut failures: BTreeMap<String, String> = BTreeMap::new();
        let mut blamed: BTreeMap<String, usize> = BTreeMap::new();
        let mut commands = 0;
        for seed in self.first_seed..self.first_seed + self.sequences {
            let steps = generator.sequence(seed);
            let outcome = pair.run(&steps);
            commands += outcome.expected.len();
            count(&mut counts, &pair.table, &steps, &outcome.expected);
            let Some(difference) = &outcome.difference else {
                continue;
            };
            // Shrinking is expensive. It is not needed to tell the class of a failure if a reply differs, only if the data differ.
            if difference.step.is_some() && failures.contains_key(&difference.class) {
                continue;
            }
            let shrunk = shrink::shrink(&mut pair, steps, outcome);
            let difference = shrunk.outcome.difference.clone().expect("shrinking keeps a difference");
            let culprit = difference.step.unwrap_or(shrunk.steps.len() - 1);
            let name = rules::name_of(&pair.table, &shrunk.steps[culprit.min(shrunk.steps.len() - 1)].arguments);
            let times = blamed.entry(name.clone()).or_default();
            *times += 1;
            if *times == DIFFERENCES_MAX {
                generator.drop_command(&name);
            }
            failures.entry(difference.class.clone()).or_insert_with(|| self.report(seed, &shrunk, &pair.table));
            if failures.len() as u64 >= failures_max {
                break;
            }
        }
        // The servers' logs are of no use for a reply that differs.
        drop(pair);
        let title =
            format!("{} with {} thread(s) beside {}", Kind::subject().name(), self.threads, self.reference.name());
        println!("{title}: {commands} commands in {}, {} failures", seconds(start.elapsed()), failures.len());
        assert!(
            failures.is_empty(),
            "{title}: {} different failures{}\n{}",
            failures.len(),
            if failures.len() as u64 >= failures_max { " (there may be more: OCHRE_FAILURES)" } else { "" },
            failures.into_values().collect::<Vec<_>>().join("\n")
        );
        if only.is_empty() {
            self.check_coverage(&drawn_names, &counts);
        }
    }

    /// Checks that every command was drawn at least [`DRAWN_MIN`] times and has succeeded. Otherwise a command that the generator cannot
    /// call well would pass untested.
    fn check_coverage(&self, names: &BTreeSet<String>, counts: &BTreeMap<String, Count>) {
        // A short run cannot draw every command often enough.
        if self.sequences < 300 {
            return;
        }
        let mut weak = Vec::new();
        for name in names {
            let count = counts.get(name).copied().unwrap_or_default();
            if count.drawn < DRAWN_MIN {
                weak.push(format!("{name} was drawn only {} times", count.drawn));
            } else if count.succeeded == 0 && rules::never_succeeds(name).is_none() {
                weak.push(format!("{name} was drawn {} times and never succeeded", count.drawn));
            }
        }
        assert!(
            weak.is_empty(),
            "the generator is too weak (see values.rs, or give a reason in rules.rs):\n{}",
            weak.join("\n")
        );
    }

    fn report(&self, seed: u64, shrunk: &Shrunk, table: &CommandTable) -> String {
        let difference = shrunk.outcome.difference.as_ref().expect("only differences are reported");
        let mut transcript = Transcript { directives: Vec::new(), entries: Vec::new() };
        if self.threads != 1 {
            transcript.directives.push(("threads".into(), self.threads.to_string()));
        }
        for (index, step) in shrunk.steps.iter().enumerate() {
            let reply = shrunk.outcome.expected.get(index).cloned();
            let mut entry = Entry::command(step.client, step.arguments.clone(), reply);
            if step.inline {
                entry.event = Event::Inline(quote_command(&step.arguments).into_bytes());
            }
            if difference.step != Some(index) && rules::is_loose(&rules::name_of(table, &step.arguments)) {
                entry.expected = Some(Pattern::Any);
            }
            transcript.entries.push(entry);
        }
        format!("---- seed {seed} beside {}: {}\n{}", self.reference.name(), difference.description, transcript.print())
    }
}

fn count(counts: &mut BTreeMap<String, Count>, table: &CommandTable, steps: &[Step], replies: &[Reply]) {
    let mut queued: Vec<Vec<String>> = vec![Vec::new(); 3];
    for (step, reply) in steps.iter().zip(replies) {
        let name = rules::name_of(table, &step.arguments);
        let queue = &mut queued[step.client];
        match (name.as_str(), reply) {
            ("exec", Reply::Array(replies)) => {
                for (name, reply) in queue.drain(..).zip(replies) {
                    counts.entry(name).or_default().succeeded += usize::from(!reply.is_error());
                }
            }
            ("exec" | "discard" | "reset", _) => queue.clear(),
            (_, Reply::Simple(text)) if text == b"QUEUED" => {
                queue.push(name.clone());
                counts.entry(name).or_default().drawn += 1;
                continue;
            }
            _ => {}
        }
        let count = counts.entry(name).or_default();
        count.drawn += 1;
        count.succeeded += usize::from(!reply.is_error());
    }
}

fn table_of(kind: Kind) -> CommandTable {
    let server = Launch::new(kind).start();
    CommandTable::read(&mut server.client()).expect("a reference server tells its table")
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}
