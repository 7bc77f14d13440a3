//! Checking whether a history of concurrent calls is linearizable.
//!
//! A history is linearizable if each call can be assigned a moment between its invocation and its return so that the calls, executed one by
//! one in the order of these moments, return the answers of the history. The search is Wing and Gong's. As in Lowe's version, each pair of
//! a set of executed calls and a state is explored only once.
//!
//! - J. M. Wing, C. Gong: Testing and Verifying Concurrent Objects, 1993
//! - G. Lowe: Testing for Linearizability, 2017

use std::collections::HashSet;
use std::fmt::Debug;
use std::hash::Hash;

/// A sequential model of the system that is checked.
pub trait Model {
    /// The state of the system.
    type State: Clone + Eq + Hash;
    /// What a call asks for.
    type Operation: Debug;
    /// What a call returns.
    type Answer: Debug;

    /// Returns the state before the first call.
    fn initial(&self) -> Self::State;

    /// Returns the states that a call may lead to; none if the call cannot return its answer in this state. There may be several, since
    /// some changes, such as an expiry, happen by themselves.
    fn step(&self, state: &Self::State, call: &Call<Self::Operation, Self::Answer>) -> Vec<Self::State>;
}

/// A call of a client. The times are in microseconds, by the same clock for all calls.
#[derive(Clone, Debug)]
pub struct Call<O, A> {
    /// The number of the client.
    pub client: usize,
    /// What the call asked for.
    pub operation: O,
    /// What the call returned.
    pub answer: A,
    /// When the call was sent.
    pub invoked: u64,
    /// When the answer arrived.
    pub returned: u64,
}

/// The result of the search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The history is linearizable.
    Linearizable,
    /// The history is not linearizable.
    Violation {
        /// The most calls that any order could execute.
        explained: usize,
    },
    /// The search took too many steps. A shorter history may be checked.
    TooLong,
}

/// The most steps of the model before the search is given up.
const STEPS_MAX: usize = 5_000_000;

/// Checks a history, whose calls may come in any order.
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
        // A call can be the next one only if no other call that is left returned before it was invoked.
        let first_return =
            (0..calls.len()).filter(|index| !done.has(*index)).map(|index| calls[index].returned).min().unwrap_or(0);
        let candidates = calls.iter().take_while(|call| call.invoked <= first_return).count();
        // The state that is pushed last is explored first. It is that of the call that was invoked first, which is most often the next one.
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

/// The set of executed calls, as one bit for each call.
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
    fn a_value_that_was_read_stays() {
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
