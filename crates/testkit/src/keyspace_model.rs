//! A sequential model of GET, SET, INCR, DEL, WATCH and MULTI, and of some commands about all keys, against which the histories of real
//! servers are checked.

use std::collections::{BTreeMap, BTreeSet};

use crate::linearizability::{Call, Model};

/// A key, as a number. Histories have few keys.
pub type Key = usize;

/// A command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// GET.
    Get(Key),
    /// SET to an integer.
    Set(Key, i64),
    /// SET to an integer, with PX: a time to live in milliseconds.
    SetPx(Key, i64, u64),
    /// INCR.
    Incr(Key),
    /// DEL.
    Del(Key),
    /// MSET of several keys, all to the same integer.
    MSet(Vec<Key>, i64),
    /// MGET. It is answered by as many values as it names keys.
    MGet(Vec<Key>),
    /// FLUSHALL, which empties the other database too.
    FlushAll,
    /// DBSIZE. It and SWAPDB are for histories without expiry: a key that has expired may still be counted.
    DbSize,
    /// SWAPDB, which swaps the database of all the other commands with another one.
    SwapDb,
}

/// An operation, which takes effect at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A transaction, or a single command.
    Run {
        /// The commands.
        commands: Vec<Command>,
        /// Whether the commands stood between MULTI and EXEC.
        transaction: bool,
    },
    /// WATCH.
    Watch(Key),
}

/// The reply to an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The reply to each command, one after the other: `Some(0)` for OK, and `None` for a missing value.
    Values(Vec<Option<i64>>),
    /// The null of an EXEC that was aborted, since a watched key had changed.
    Aborted,
}

/// How much the moment of an expiry may differ from the computed one, in microseconds. The server's clock counts whole milliseconds, which
/// begin at other moments than those of our clock.
const CLOCK_SLACK_US: u64 = 3_000;

/// The state of the model.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct State {
    values: BTreeMap<Key, Value>,
    /// What the other database holds.
    others: BTreeMap<Key, Value>,
    watches: BTreeMap<usize, Watch>,
}

/// What a client watches. Which of the keys has changed, and how often, makes no difference: the fewer states, the shorter the
/// search.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Watch {
    Keys(BTreeSet<Key>),
    Changed,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Value {
    number: i64,
    /// The earliest and the latest moment of the expiry, in microseconds.
    expires: Option<(u64, u64)>,
}

/// The model.
#[derive(Debug)]
pub struct Keyspace;

impl Model for Keyspace {
    type State = State;
    type Operation = Operation;
    type Answer = Answer;

    fn initial(&self) -> State {
        State::default()
    }

    fn step(&self, state: &State, call: &Call<Operation, Answer>) -> Vec<State> {
        let mut left = Vec::new();
        for mut state in state.after_expiry(call.invoked, call.returned) {
            match (&call.operation, &call.answer) {
                (Operation::Watch(key), _) => {
                    let watch = state.watches.entry(call.client).or_insert(Watch::Keys(BTreeSet::new()));
                    if let Watch::Keys(keys) = watch {
                        keys.insert(*key);
                    }
                    left.push(state);
                }
                (Operation::Run { transaction, .. }, Answer::Aborted) => {
                    if *transaction && state.watched_changed(call.client) {
                        state.watches.remove(&call.client);
                        left.push(state);
                    }
                }
                (Operation::Run { commands, transaction }, Answer::Values(values)) => {
                    if *transaction {
                        if state.watched_changed(call.client) {
                            continue;
                        }
                        state.watches.remove(&call.client);
                    }
                    let found: Vec<Option<i64>> =
                        commands.iter().flat_map(|command| state.run(command, call.invoked, call.returned)).collect();
                    if found == *values {
                        left.push(state);
                    }
                }
            }
        }
        left
    }
}

impl State {
    /// Returns the possible states at the time of a call: a key whose expiry falls into the call may be there or not.
    fn after_expiry(&self, invoked: u64, returned: u64) -> Vec<State> {
        let mut states = vec![self.clone()];
        for (key, value) in &self.values {
            let Some((earliest, latest)) = value.expires else {
                continue;
            };
            if returned < earliest {
                continue;
            }
            let alive = std::mem::take(&mut states);
            for state in alive {
                let mut gone = state.clone();
                gone.values.remove(key);
                gone.touch(*key);
                states.push(gone);
                if invoked <= latest {
                    states.push(state);
                }
            }
        }
        states
    }

    fn watched_changed(&self, client: usize) -> bool {
        self.watches.get(&client) == Some(&Watch::Changed)
    }

    fn touch(&mut self, key: Key) {
        for watch in self.watches.values_mut() {
            if matches!(watch, Watch::Keys(keys) if keys.contains(&key)) {
                *watch = Watch::Changed;
            }
        }
    }

    fn run(&mut self, command: &Command, invoked: u64, returned: u64) -> Vec<Option<i64>> {
        match command {
            Command::Get(key) => vec![self.get(*key)],
            Command::Set(key, number) => {
                self.set(*key, *number, None);
                vec![Some(0)]
            }
            Command::SetPx(key, number, ttl_ms) => {
                let earliest = (invoked + ttl_ms * 1000).saturating_sub(CLOCK_SLACK_US);
                let latest = returned + ttl_ms * 1000 + CLOCK_SLACK_US;
                self.set(*key, *number, Some((earliest, latest)));
                vec![Some(0)]
            }
            Command::Incr(key) => {
                self.touch(*key);
                let value = self.values.entry(*key).or_insert(Value { number: 0, expires: None });
                value.number += 1;
                vec![Some(value.number)]
            }
            Command::Del(key) => {
                let removed = self.values.remove(key).is_some();
                if removed {
                    self.touch(*key);
                }
                vec![Some(i64::from(removed))]
            }
            Command::MSet(keys, number) => {
                keys.iter().for_each(|key| self.set(*key, *number, None));
                vec![Some(0)]
            }
            Command::MGet(keys) => keys.iter().map(|key| self.get(*key)).collect(),
            Command::FlushAll => {
                self.others.clear();
                for key in std::mem::take(&mut self.values).into_keys() {
                    self.touch(key);
                }
                vec![Some(0)]
            }
            Command::DbSize => vec![i64::try_from(self.values.len()).ok()],
            Command::SwapDb => {
                std::mem::swap(&mut self.values, &mut self.others);
                // A key that only one of them holds comes or goes, and one that both hold is another.
                let keys: BTreeSet<Key> = self.values.keys().chain(self.others.keys()).copied().collect();
                keys.into_iter().for_each(|key| self.touch(key));
                vec![Some(0)]
            }
        }
    }

    fn get(&self, key: Key) -> Option<i64> {
        self.values.get(&key).map(|value| value.number)
    }

    fn set(&mut self, key: Key, number: i64, expires: Option<(u64, u64)>) {
        self.values.insert(key, Value { number, expires });
        self.touch(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linearizability::{Verdict, check};

    fn call(
        client: usize,
        operation: Operation,
        answer: Answer,
        invoked: u64,
        returned: u64,
    ) -> Call<Operation, Answer> {
        Call { client, operation, answer, invoked, returned }
    }

    fn one(command: Command) -> Operation {
        Operation::Run { commands: vec![command], transaction: false }
    }

    fn values(values: &[Option<i64>]) -> Answer {
        Answer::Values(values.to_vec())
    }

    fn is_good(history: &[Call<Operation, Answer>]) -> bool {
        match check(&Keyspace, history) {
            Verdict::Linearizable => true,
            Verdict::Violation { .. } => false,
            Verdict::TooLong => panic!("the history is short"),
        }
    }

    #[test]
    fn two_increments_may_not_give_the_same_number() {
        let increments = |second| {
            [
                call(1, one(Command::Incr(0)), values(&[Some(1)]), 0, 10),
                call(2, one(Command::Incr(0)), values(&[Some(second)]), 0, 10),
            ]
        };
        assert!(is_good(&increments(2)));
        assert!(!is_good(&increments(1)));
    }

    #[test]
    fn a_transaction_is_not_torn() {
        let both = |commands| Operation::Run { commands, transaction: true };
        let history = |seen: &[Option<i64>]| {
            [
                call(1, both(vec![Command::Set(0, 5), Command::Set(1, 5)]), values(&[Some(0), Some(0)]), 0, 10),
                call(2, both(vec![Command::Get(0), Command::Get(1)]), values(seen), 0, 10),
            ]
        };
        assert!(is_good(&history(&[Some(5), Some(5)])));
        assert!(is_good(&history(&[None, None])));
        assert!(!is_good(&history(&[Some(5), None])));
    }

    #[test]
    fn watch_aborts_exactly_when_the_key_changed() {
        let history = |changes: bool, answer: Answer| {
            let mut history = vec![call(1, Operation::Watch(0), values(&[]), 0, 1)];
            if changes {
                history.push(call(2, one(Command::Set(0, 9)), values(&[Some(0)]), 2, 3));
            }
            let transaction = Operation::Run { commands: vec![Command::Incr(1)], transaction: true };
            history.push(call(1, transaction, answer, 4, 5));
            history
        };
        assert!(is_good(&history(false, values(&[Some(1)]))));
        assert!(is_good(&history(true, Answer::Aborted)));
        assert!(!is_good(&history(true, values(&[Some(1)]))));
        assert!(!is_good(&history(false, Answer::Aborted)));
    }

    #[test]
    fn a_key_expires_at_its_time_and_not_before() {
        let history = |at: u64, seen: Option<i64>| {
            [
                call(1, one(Command::SetPx(0, 7, 50)), values(&[Some(0)]), 0, 1_000),
                call(1, one(Command::Get(0)), values(&[seen]), at, at + 100),
            ]
        };
        assert!(is_good(&history(10_000, Some(7))));
        assert!(!is_good(&history(10_000, None)));
        assert!(is_good(&history(50_000, Some(7))) && is_good(&history(50_000, None)));
        assert!(!is_good(&history(90_000, Some(7))));
        assert!(is_good(&history(90_000, None)));
    }

    #[test]
    fn several_keys_are_read_and_written_at_one_moment() {
        let history = |seen: [Option<i64>; 2]| {
            [
                call(1, one(Command::MSet(vec![0, 1], 1)), values(&[Some(0)]), 0, 9),
                call(2, one(Command::MSet(vec![0, 1], 2)), values(&[Some(0)]), 0, 9),
                call(3, one(Command::MGet(vec![0, 1])), values(&seen), 0, 9),
            ]
        };
        for seen in [[None, None], [Some(1), Some(1)], [Some(2), Some(2)]] {
            assert!(is_good(&history(seen)));
        }
        for seen in [[Some(1), Some(2)], [None, Some(1)], [Some(2), None]] {
            assert!(!is_good(&history(seen)));
        }
    }

    #[test]
    fn all_keys_go_or_are_swapped_at_one_moment() {
        let history = |command: Command, counts: [i64; 2]| {
            let all = |number| Command::MSet(vec![0, 1], number);
            let both = Operation::Run { commands: vec![command, Command::DbSize], transaction: true };
            [
                call(1, one(all(7)), values(&[Some(0)]), 0, 1),
                call(1, both, values(&[Some(0), Some(counts[0])]), 2, 9),
                call(2, one(Command::MGet(vec![0, 1])), values(&[Some(7), Some(7)]), 2, 9),
                call(2, one(Command::DbSize), values(&[Some(counts[1])]), 10, 11),
            ]
        };
        for command in [Command::FlushAll, Command::SwapDb] {
            assert!(is_good(&history(command.clone(), [0, 0])));
            assert!(!is_good(&history(command.clone(), [1, 0])));
            assert!(!is_good(&history(command, [0, 2])));
        }
    }

    #[test]
    fn swapping_twice_brings_all_back_and_is_seen_by_watchers() {
        let swap = |from: u64| call(1, one(Command::SwapDb), values(&[Some(0)]), from, from + 1);
        let history = |watched: bool, answer: Answer| {
            let mut history = vec![call(1, one(Command::Set(0, 5)), values(&[Some(0)]), 0, 1)];
            history.extend(watched.then(|| call(2, Operation::Watch(0), values(&[]), 2, 3)));
            history.extend([swap(4), swap(6)]);
            let get = Operation::Run { commands: vec![Command::Get(0)], transaction: true };
            history.push(call(2, get, answer, 8, 9));
            history
        };
        assert!(is_good(&history(false, values(&[Some(5)]))));
        assert!(is_good(&history(true, Answer::Aborted)));
        assert!(!is_good(&history(true, values(&[Some(5)]))));
    }
}
