//! Decides whether a history of concurrent calls could have come from one that did them one after the other.
//!
//! A history is linearizable if every call can be given a moment between its invocation and its return such that, done in
//! the order of those moments, all calls answer what they answered. The search is Wing and Gong's, with Lowe's memory of what was
//! tried: a set of calls done, and the state that it led to, are explored once.
//!
//! - J. M. Wing, C. Gong: Testing and Verifying Concurrent Objects, 1993
//! - G. Lowe: Testing for Linearizability, 2017

use std::collections::HashSet;
use std::fmt::Debug;
use std::hash::Hash;

/// What a history must look like when its calls come one at a time.
pub trait Model {
    type State: Clone + Eq + Hash;
    type Operation: Debug;
    type Answer: Debug;

    fn initial(&self) -> Self::State;

    /// The states that the call may leave behind; none if it cannot answer so in this state. There are several where
    /// something happens by itself, as expiry does.
    fn step(&self, state: &Self::State, call: &Call<Self::Operation, Self::Answer>) -> Vec<Self::State>;
}

/// One call of one client, with the times (of one clock, in microseconds) between which it took effect.
#[derive(Clone, Debug)]
pub struct Call<O, A> {
    pub client: usize,
    pub operation: O,
    pub answer: A,
    pub invoked: u64,
    pub returned: u64,
}

/// What the search found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Linearizable,
    /// No order explains more than the first so many calls of some order.
    Violation {
        explained: usize,
    },
    /// The search was given up: make the history shorter.
    TooLong,
}

/// So many steps of the model are tried before the search is given up.
const STEPS_MAX: usize = 5_000_000;

pub fn check<M: Model>(model: &M, calls: &[Call<M::Operation, M::Answer>]) -> Verdict {
    let mut order: Vec<usize> = (0..calls.len()).collect();
    order.sort_by_key(|index| calls[*index].invoked);
    let calls: Vec<&Call<M::Operation, M::Answer>> = order.into_iter().map(|index| &calls[index]).collect();

    let nothing = Done::none(calls.len());
    let mut seen = HashSet::from([(nothing.clone(), model.initial())]);
    let mut pending = vec![(nothing, model.initial())];
    let (mut explained, mut steps) = (0, 0);
    while let Some((done, state)) = pending.pop() {
        let count = done.count();
        explained = explained.max(count);
        if count == calls.len() {
            return Verdict::Linearizable;
        }
        // A call can come next only if no other one that is left had returned before it was invoked.
        let first_return =
            (0..calls.len()).filter(|index| !done.has(*index)).map(|index| calls[index].returned).min().unwrap_or(0);
        let candidates = calls.iter().take_while(|call| call.invoked <= first_return).count();
        // The last one pushed is tried first: let that be the one invoked first, which most often came first.
        for (index, call) in calls[..candidates].iter().enumerate().rev() {
            if done.has(index) {
                continue;
            }
            for state in model.step(&state, call) {
                steps += 1;
                let next = (done.with(index), state);
                if seen.insert(next.clone()) {
                    pending.push(next);
                }
            }
        }
        if steps > STEPS_MAX {
            return Verdict::TooLong;
        }
    }
    Verdict::Violation { explained }
}

/// The set of calls that have taken effect, a bit a call.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Done {
    words: Vec<u64>,
}

impl Done {
    fn none(calls: usize) -> Done {
        Done { words: vec![0; calls.div_ceil(64)] }
    }

    fn has(&self, index: usize) -> bool {
        self.words[index / 64] & (1 << (index % 64)) != 0
    }

    fn with(&self, index: usize) -> Done {
        let mut with = self.clone();
        with.words[index / 64] |= 1 << (index % 64);
        with
    }

    fn count(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A register: `Some(value)` writes, `None` reads.
    struct Register;

    impl Model for Register {
        type State = i32;
        type Operation = Option<i32>;
        type Answer = i32;

        fn initial(&self) -> i32 {
            0
        }

        fn step(&self, state: &i32, call: &Call<Option<i32>, i32>) -> Vec<i32> {
            match call.operation {
                Some(value) => vec![value],
                None if call.answer == *state => vec![*state],
                None => Vec::new(),
            }
        }
    }

    fn verdict(calls: &[(usize, Option<i32>, i32, u64, u64)]) -> Verdict {
        let calls: Vec<_> = calls
            .iter()
            .map(|&(client, operation, answer, invoked, returned)| Call {
                client,
                operation,
                answer,
                invoked,
                returned,
            })
            .collect();
        check(&Register, &calls)
    }

    #[test]
    fn reads_may_fall_on_either_side_of_a_concurrent_write() {
        assert_eq!(verdict(&[(1, Some(1), 0, 0, 10), (2, None, 0, 1, 3), (2, None, 1, 4, 6)]), Verdict::Linearizable);
    }

    #[test]
    fn a_value_once_seen_is_not_unseen() {
        let history = [(1, Some(1), 0, 0, 10), (2, None, 1, 1, 3), (3, None, 0, 4, 6)];
        assert!(matches!(verdict(&history), Verdict::Violation { .. }));
    }

    #[test]
    fn a_read_after_a_write_sees_it() {
        assert!(matches!(verdict(&[(1, Some(1), 0, 0, 1), (2, None, 0, 2, 3)]), Verdict::Violation { .. }));
    }

    #[test]
    fn every_order_of_concurrent_calls_is_considered() {
        let mut history: Vec<_> = (1..=12).map(|value| (value as usize, Some(value), 0, 0, 100)).collect();
        history.push((13, None, 7, 101, 102));
        history.push((13, None, 7, 103, 104));
        assert_eq!(verdict(&history), Verdict::Linearizable);
    }
}
