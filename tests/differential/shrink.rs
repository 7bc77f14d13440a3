//! Makes a failing sequence smaller: first fewer commands, then fewer and simpler arguments.

use crate::generator::Step;
use crate::pair::{Difference, Outcome, Pair};
use crate::values;

/// The most attempts. They suffice for every sequence that the generator draws, and bound the work for a difference that comes and goes.
const ATTEMPTS_MAX: usize = 1500;

/// The most attempts for a difference that is noticed only by a timeout.
const SLOW_ATTEMPTS_MAX: usize = 12;

pub struct Shrunk {
    pub steps: Vec<Step>,
    pub outcome: Outcome,
}

/// The smallest sequence found that still makes the servers differ, possibly in another way.
pub fn shrink(pair: &mut Pair, steps: Vec<Step>, outcome: Outcome) -> Shrunk {
    let slow = outcome.difference.as_ref().is_some_and(|difference| difference.slow);
    let attempts_left = if slow { SLOW_ATTEMPTS_MAX } else { ATTEMPTS_MAX };
    let mut search = Search { pair, best: Shrunk { steps, outcome }, attempts_left };
    search.cut_after_difference();
    loop {
        let before = size(&search.best.steps);
        search.remove_steps();
        search.simplify_steps();
        if size(&search.best.steps) >= before || search.attempts_left == 0 {
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
    attempts_left: usize,
}

impl Search<'_> {
    /// Runs a candidate, and keeps it as the best if it still fails.
    fn attempt(&mut self, steps: Vec<Step>) -> bool {
        if self.attempts_left == 0 || steps.is_empty() {
            return false;
        }
        self.attempts_left -= 1;
        let outcome = self.pair.run(&steps);
        let fails = outcome.difference.is_some();
        if outcome.difference.as_ref().is_some_and(|difference| difference.slow) {
            self.attempts_left = self.attempts_left.min(SLOW_ATTEMPTS_MAX);
        }
        if fails {
            self.best = Shrunk { steps, outcome };
            self.cut_after_difference();
        }
        fails
    }

    /// Removes the steps after the one whose replies differ, since they cannot matter.
    fn cut_after_difference(&mut self) {
        if let Some(Difference { step: Some(step), .. }) = self.best.outcome.difference {
            self.best.steps.truncate(step + 1);
        }
    }

    /// Tries to remove runs of steps, of ever smaller length.
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
                        let shorter = (found.len(), found.as_slice()) > (simpler.len(), simpler);
                        // A far expiry must not become a near one, since keys would then expire during the comparison.
                        let was_far = values::is_far(found) && values::may_expire_soon(simpler);
                        shorter && found.as_slice() != simpler && !was_far
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
