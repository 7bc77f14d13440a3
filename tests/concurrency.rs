//! Proves that commands are linearizable: several clients use the same few keys of a server with four threads, and some sequential order of
//! their commands must explain all replies.

use std::sync::Barrier;
use std::thread;
use std::time::Instant;

use ochre_testkit::keyspace_model::{Answer, Command, Key, Keyspace, Operation};
use ochre_testkit::linearizability::{self, Call, Verdict};
use ochre_testkit::{Client, Launch, Random, Reply};

const CLIENTS: usize = 6;
const KEYS: usize = 3;

/// The calls that one client makes in a round. Rounds are short, since the cost of the search grows with the number of overlapping calls.
const CALLS: usize = 14;

type History = Vec<Call<Operation, Answer>>;

#[test]
fn histories_are_linearizable() {
    rounds(300, 1, Choice::default());
}

/// Keys that expire within the round, so that expiry races with everything else.
#[test]
fn histories_with_expiry_are_linearizable() {
    rounds(150, 2, Choice { ttls_ms: &[1, 2, 5], ..Choice::default() });
}

/// Commands that lock many keys or the whole keyspace race with commands that lock one key.
#[test]
fn histories_of_all_keys_at_once_are_linearizable() {
    rounds(300, 3, Choice { all_keys: true, ..Choice::default() });
}

/// Which commands a history has beside those on one key.
#[derive(Clone, Copy, Default)]
struct Choice {
    ttls_ms: &'static [u64],
    all_keys: bool,
}

fn rounds(count: u64, seed: u64, choice: Choice) {
    let server = Launch::subject().threads(4).start();
    let mut clients: Vec<Client> = (0..CLIENTS).map(|_| server.client()).collect();
    let (mut overlapping, mut aborted) = (0, 0);
    for round in 0..count {
        assert_eq!(server.client().run("FLUSHALL"), Reply::ok());
        let history = one_round(&mut clients, seed * 1_000_000 + round, choice);
        overlapping += overlaps(&history);
        aborted += history.iter().filter(|call| call.answer == Answer::Aborted).count();
        match linearizability::check(&Keyspace, &history) {
            Verdict::Linearizable => {}
            Verdict::Violation { explained } => panic!(
                "round {round}: no order explains more than {explained} of these {} calls:\n{}",
                history.len(),
                print(history)
            ),
            Verdict::TooLong => panic!("round {round}: the search takes too long; make CALLS smaller"),
        }
    }
    // If no calls raced, the test would prove nothing.
    assert!(overlapping > 100, "only {overlapping} pairs of calls overlapped");
    assert!(aborted > 0, "no transaction was aborted: WATCH was not tested");
}

fn one_round(clients: &mut [Client], seed: u64, choice: Choice) -> History {
    let barrier = Barrier::new(clients.len());
    let origin = Instant::now();
    thread::scope(|scope| {
        let workers: Vec<_> = clients
            .iter_mut()
            .enumerate()
            .map(|(number, client)| {
                let barrier = &barrier;
                let mut random = Random::new(seed * 100 + number as u64);
                scope.spawn(move || {
                    barrier.wait();
                    let mut worker = Worker { number, client, origin, calls: Vec::new() };
                    while worker.calls.len() < CALLS {
                        worker.act(&mut random, choice);
                    }
                    worker.calls
                })
            })
            .collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("the client's thread does not panic")).collect()
    })
}

struct Worker<'a> {
    number: usize,
    client: &'a mut Client,
    origin: Instant,
    calls: History,
}

impl Worker<'_> {
    fn act(&mut self, random: &mut Random, choice: Choice) {
        match random.below(10) {
            0..6 => {
                let command = any_command(random, choice, false);
                self.run(vec![command], false);
            }
            6..8 => {
                let commands = (0..random.between(1, 4)).map(|_| any_command(random, choice, true)).collect();
                self.run(commands, true);
            }
            _ => {
                self.watch(random.below(KEYS));
                if random.chance(50) {
                    self.run(vec![Command::Get(random.below(KEYS))], false);
                }
                let commands = (0..random.between(1, 3)).map(|_| any_command(random, choice, true)).collect();
                self.run(commands, true);
            }
        }
    }

    fn watch(&mut self, key: Key) {
        let invoked = self.now();
        let reply = self.client.call(&["WATCH", &name(key)]).expect("a reply to WATCH");
        assert_eq!(reply, Reply::ok());
        self.record(Operation::Watch(key), Answer::Values(Vec::new()), invoked);
    }

    fn run(&mut self, commands: Vec<Command>, transaction: bool) {
        let mut requests: Vec<Vec<Vec<u8>>> = commands.iter().map(request).collect();
        if transaction {
            requests.insert(0, vec![b"MULTI".to_vec()]);
            requests.push(vec![b"EXEC".to_vec()]);
        }
        let invoked = self.now();
        let replies = self.client.pipeline(&requests).expect("replies");
        let answer = match (transaction, &replies[replies.len() - 1]) {
            (true, Reply::Array(replies)) => Answer::Values(replies.iter().flat_map(values).collect()),
            (true, Reply::NullArray) => Answer::Aborted,
            (true, other) => panic!("unexpected reply to EXEC: {other}"),
            (false, reply) => Answer::Values(values(reply)),
        };
        self.record(Operation::Run { commands, transaction }, answer, invoked);
    }

    fn record(&mut self, operation: Operation, answer: Answer, invoked: u64) {
        let returned = self.now();
        self.calls.push(Call { client: self.number, operation, answer, invoked, returned });
    }

    fn now(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_micros()).expect("a round is short")
    }
}

fn any_command(random: &mut Random, choice: Choice, in_transaction: bool) -> Command {
    let ttls_ms = choice.ttls_ms;
    let key = random.below(KEYS);
    let number = i64::try_from(random.below(1000)).expect("the number is small");
    if choice.all_keys && random.chance(40) {
        return match random.below(8) {
            0..2 => Command::MSet((0..KEYS).collect(), number),
            2..5 => Command::MGet((0..KEYS).collect()),
            5 => Command::FlushAll,
            // Outside of a transaction, its count is not that of a single moment: keys may come and go while it counts.
            6 if in_transaction => Command::DbSize,
            _ => Command::SwapDb,
        };
    }
    match random.below(10) {
        0..4 => Command::Get(key),
        4..6 if !ttls_ms.is_empty() => Command::SetPx(key, number, *random.pick(ttls_ms)),
        4..7 => Command::Set(key, number),
        7..9 => Command::Incr(key),
        _ => Command::Del(key),
    }
}

fn name(key: Key) -> String {
    format!("key:{key}")
}

fn request(command: &Command) -> Vec<Vec<u8>> {
    let words = match command {
        Command::Get(key) => vec!["GET".into(), name(*key)],
        Command::Set(key, number) => vec!["SET".into(), name(*key), number.to_string()],
        Command::SetPx(key, number, ttl_ms) => {
            vec!["SET".into(), name(*key), number.to_string(), "PX".into(), ttl_ms.to_string()]
        }
        Command::Incr(key) => vec!["INCR".into(), name(*key)],
        Command::Del(key) => vec!["DEL".into(), name(*key)],
        Command::MSet(keys, number) => {
            let pairs = keys.iter().flat_map(|key| [name(*key), number.to_string()]);
            ["MSET".into()].into_iter().chain(pairs).collect()
        }
        Command::MGet(keys) => ["MGET".into()].into_iter().chain(keys.iter().map(|key| name(*key))).collect(),
        Command::FlushAll => vec!["FLUSHALL".into()],
        Command::DbSize => vec!["DBSIZE".into()],
        Command::SwapDb => vec!["SWAPDB".into(), "0".into(), "1".into()],
    };
    words.into_iter().map(String::into_bytes).collect()
}

/// The answers in the reply to a command. MGET has several.
fn values(reply: &Reply) -> Vec<Option<i64>> {
    match reply {
        Reply::Array(replies) => replies.iter().map(value).collect(),
        reply => vec![value(reply)],
    }
}

fn value(reply: &Reply) -> Option<i64> {
    match reply {
        Reply::Integer(number) => Some(*number),
        Reply::Simple(text) if text == b"OK" => Some(0),
        Reply::NullBulk => None,
        Reply::Bulk(_) => Some(reply.to_text().parse().expect("only numbers were set")),
        other => panic!("unexpected reply: {other}"),
    }
}

fn overlaps(history: &History) -> usize {
    let overlap = |a: &Call<_, _>, b: &Call<_, _>| a.invoked < b.returned && b.invoked < a.returned;
    (0..history.len())
        .map(|index| history[index + 1..].iter().filter(|other| overlap(&history[index], other)).count())
        .sum()
}

fn print(mut history: History) -> String {
    history.sort_by_key(|call| call.invoked);
    let line = |call: &Call<Operation, Answer>| {
        format!(
            "{:>6}–{:<6} client {}: {:?} → {:?}",
            call.invoked, call.returned, call.client, call.operation, call.answer
        )
    };
    history.iter().map(line).collect::<Vec<_>>().join("\n")
}
