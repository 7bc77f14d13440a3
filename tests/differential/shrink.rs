//! Makes a failing sequence small: fewer commands first, then fewer and simpler arguments.

use crate::generator::Step;
use crate::pair::{Difference, Outcome, Pair};

/// Enough for any sequence that the generator draws; a difference that comes and goes must not hold us up for ever.
const ATTEMPTS_MAX: usize = 1500;

pub struct Shrunk {
    pub steps: Vec<Step>,
    pub outcome: Outcome,
}

/// The smallest sequence found that still makes the servers differ, in whatever way.
pub fn shrink(pair: &mut Pair, steps: Vec<Step>, outcome: Outcome) -> Shrunk {
    let mut search = Search { pair, best: Shrunk { steps, outcome }, attempts: 0 };
    search.cut_after_difference();
    loop {
        let before = size(&search.best.steps);
        search.remove_steps();
        search.simplify_steps();
        if size(&search.best.steps) >= before || search.attempts >= ATTEMPTS_MAX {
            return search.best;
        }
    }
}

fn size(steps: &[Step]) -> usize {
    steps.iter().map(|step| 10 + step.arguments.iter().map(|argument| 2 + argument.len()).sum::<usize>()).sum()
}

struct Search<'a> {
    pair: &'a mut Pair,
    best: Shrunk,
    attempts: usize,
}

impl Search<'_> {
    /// Takes the candidate over if it still fails.
    fn attempt(&mut self, steps: Vec<Step>) -> bool {
        if self.attempts >= ATTEMPTS_MAX || steps.is_empty() {
            return false;
        }
        self.attempts += 1;
        let outcome = self.pair.run(&steps);
        let fails = outcome.difference.is_some();
        if fails {
            self.best = Shrunk { steps, outcome };
            self.cut_after_difference();
        }
        fails
    }

    /// Nothing after the step that was answered differently has mattered.
    fn cut_after_difference(&mut self) {
        if let Some(Difference { step: Some(step), .. }) = self.best.outcome.difference {
            self.best.steps.truncate(step + 1);
        }
    }

    /// Tries without ever smaller runs of steps.
    fn remove_steps(&mut self) {
        let mut length = self.best.steps.len() / 2;
        while length >= 1 {
            let mut start = 0;
            while start < self.best.steps.len() {
                let mut candidate = self.best.steps.clone();
                candidate.drain(start..(start + length).min(candidate.len()));
                if !self.attempt(candidate) {
                    start += length;
                }
            }
            length /= 2;
        }
    }

    fn simplify_steps(&mut self) {
        let mut index = 0;
        while index < self.best.steps.len() {
            self.change_step(index, |step| step.inline = false);
            self.change_step(index, |step| step.client = 1);
            let mut argument = 1;
            while self.best.steps.get(index).is_some_and(|step| argument < step.arguments.len()) {
                if self.change_step(index, |step| {
                    step.arguments.remove(argument);
                }) {
                    continue;
                }
                for simpler in [&b"a"[..], b"1", b"0", b""] {
                    let simplifies = self.best.steps[index].arguments.get(argument).is_some_and(|found| {
                        (found.len(), found.as_slice()) > (simpler.len(), simpler) && found.as_slice() != simpler
                    });
                    if simplifies && self.change_step(index, |step| step.arguments[argument] = simpler.to_vec()) {
                        break;
                    }
                }
                argument += 1;
            }
            index += 1;
        }
    }

    fn change_step(&mut self, index: usize, change: impl FnOnce(&mut Step)) -> bool {
        let mut candidate = self.best.steps.clone();
        let Some(step) = candidate.get_mut(index) else {
            return false;
        };
        change(step);
        candidate != self.best.steps && self.attempt(candidate)
    }
}
