//! Proves that every command that changes data announces the change.
//!
//! WATCH, blocked clients, notifications and the journal all learn of a change through the same few calls of a handler. This test runs
//! the write commands of the server's own table and compares the data before and after each. It fails if data changed without being
//! announced, that is, if `rdb_changes_since_last_save` did not grow or a client that watches the key can still EXEC.
//!
//! A write command that has not changed any data by the end fails the test too, so a new command cannot be forgotten. The generator of
//! the differential test draws commands from their rows, and [`BY_HAND`] has those that the generator does not draw.
//!
//! An announcement without a change is not a failure. It is counted and printed.

#[path = "differential/generator.rs"]
#[allow(dead_code, reason = "this program draws sequences and does not compare them with another server's")]
mod generator;
#[path = "differential/rules.rs"]
#[allow(dead_code, reason = "as above")]
mod rules;
#[path = "differential/values.rs"]
#[allow(dead_code, reason = "as above")]
mod values;

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::time::Instant;

use generator::{Generator, Step};
use ochre_testkit::command_table::CommandTable;
use ochre_testkit::poll::PATIENCE;
use ochre_testkit::quoting::{quote, quote_command};
use ochre_testkit::{Client, Kind, Launch, Reply, Server, poll, quoting};

/// The number of sequences to run. `OCHRE_SEQUENCES` changes it, and `OCHRE_SEED` the seed of the first sequence.
const SEQUENCES: u64 = 400;

/// The most further sequences to run. They are drawn only from the commands that have not changed any data yet.
const SEQUENCES_MORE: u64 = 200;

/// The most different failures to show.
const FAILURES_MAX: usize = 10;

/// Commands that the generator does not draw, or rarely draws in a form that changes data, each with the commands that prepare the data.
/// Every word of them is watched as a key of database 0.
const BY_HAND: &[ByHand] = &[
    by_hand(&[], r#"RESTORE-ASKING a 0 "\x00\x05hello\x0b\x00\n\xadb\x05\x98\xab\xc9\x83""#),
    by_hand(&["RPUSH a 1 2"], "BLPOP a 0"),
    by_hand(&["RPUSH a 1 2"], "BRPOP a 0"),
    by_hand(&["RPUSH a 1 2"], "BLMOVE a b LEFT RIGHT 0"),
    by_hand(&["RPUSH a 1 2"], "BRPOPLPUSH a b 0"),
    by_hand(&["RPUSH a 1 2"], "BLMPOP 0 2 b a LEFT"),
    by_hand(&["ZADD a 1 x 2 y"], "BZPOPMIN a 0"),
    by_hand(&["ZADD a 1 x 2 y"], "BZPOPMAX a 0"),
    by_hand(&["ZADD a 1 x 2 y"], "BZMPOP 0 2 b a MIN"),
    by_hand(&["SADD a 1 2 3"], "SPOP a"),
    by_hand(&["SADD a 1 2 3"], "SPOP a 2"),
    by_hand(&["SADD a 1 2 3"], "SPOP a 3"),
    by_hand(&["RPUSH a 3 1 2", "MSET w1 3 w2 2 w3 1"], "SORT a BY w* STORE b"),
    by_hand(&[], "XADD a * f v"),
    by_hand(&["XADD a 1-1 f v", "XGROUP CREATE a g 0"], "XREADGROUP GROUP g alice BLOCK 0 STREAMS a >"),
    by_hand(&["ZADD a 0 x 0 y"], "ZREMRANGEBYLEX a - [x"),
    by_hand(&["SET a v"], "DELIFEQ a v"),
    by_hand(&["HSETEX a EX 100000 FIELDS 1 f v"], "HPERSIST a FIELDS 1 f"),
    by_hand(&["RPUSH a x y x"], "LREM a 0 x"),
    by_hand(PENDING, "XTRIM s MAXLEN 1"),
    by_hand(&["PFADD a x y z"], "PFDEBUG TODENSE a"),
    by_hand(PENDING, "XACK s g 1-1"),
    by_hand(PENDING, "XACKDEL s g IDS 1 1-1"),
    by_hand(PENDING, "XAUTOCLAIM s g bob 0 0"),
    by_hand(PENDING, "XCLAIM s g bob 0 1-1"),
    by_hand(PENDING, "XREADGROUP GROUP g bob NOACK STREAMS s >"),
    by_hand(PENDING, "XDEL s 1-1"),
    by_hand(PENDING, "XGROUP CREATECONSUMER s g bob"),
    by_hand(PENDING, "XGROUP DELCONSUMER s g alice"),
    by_hand(PENDING, "XGROUP DESTROY s g"),
    by_hand(PENDING, "XGROUP SETID s g 0"),
    by_hand(PENDING, "XSETID s 9-9"),
    by_hand(PENDING, "XDELEX s IDS 1 1-1"),
    // The changes that a served waiter makes are announced as well.
    served("BLPOP a 0", "RPUSH a x y"),
    served("BLMOVE a b LEFT LEFT 0", "RPUSH a x"),
    served("BLMPOP 0 1 a LEFT COUNT 2", "RPUSH a x y z"),
    served("BZPOPMIN a 0", "ZADD a 1 x 2 y"),
    served("XREADGROUP GROUP g alice BLOCK 0 STREAMS s >", "XADD s 9-1 f v"),
];

/// Prepares a stream with a pending entry and an entry that its group has not delivered.
const PENDING: &[&str] =
    &["XADD s 1-1 f v", "XGROUP CREATE s g 0", "XREADGROUP GROUP g alice COUNT 1 STREAMS s >", "XADD s 2-1 f v"];

/// A command of [`BY_HAND`].
struct ByHand {
    /// The commands that prepare the data.
    before: &'static [&'static str],
    /// A command that is blocked while the write runs.
    waiter: Option<&'static str>,
    /// The command under test.
    write: &'static str,
}

const fn by_hand(before: &'static [&'static str], write: &'static str) -> ByHand {
    ByHand { before, waiter: None, write }
}

const fn served(waiter: &'static str, write: &'static str) -> ByHand {
    ByHand { before: &["XADD s 1-1 f v", "XGROUP CREATE s g $"], waiter: Some(waiter), write }
}

fn words(line: &str) -> Vec<Vec<u8>> {
    quoting::split(line.as_bytes()).unwrap_or_else(|error| panic!("{line}: {error}"))
}

/// A key of a database.
type Place = (usize, Vec<u8>);

fn shown((database, key): &Place) -> String {
    format!("key {} of database {database}", quote(key))
}

/// The value at a place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Held {
    /// The type, the digest, the expiry, and the expiry of each field.
    watched: Vec<Reply>,
    /// The data whose changes WATCH does not see, as in Redis: the consumer groups of a stream.
    unwatched: Option<Reply>,
}

impl Held {
    fn shown(held: Option<&Held>) -> String {
        match held {
            None => "nothing".into(),
            Some(held) => {
                held.watched.iter().chain(&held.unwatched).map(Reply::to_string).collect::<Vec<_>>().join(" ")
            }
        }
    }
}

#[derive(Debug, Default)]
struct Data {
    places: BTreeMap<Place, Held>,
    /// INFO's `rdb_changes_since_last_save`.
    changes: u64,
}

impl Data {
    fn read(client: &mut Client) -> Data {
        let info = client.run("INFO persistence keyspace").to_text();
        let field = |name: &str| info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let changes = field("rdb_changes_since_last_save").and_then(|text| text.parse().ok());
        let mut data = Data { places: BTreeMap::new(), changes: changes.expect("INFO counts changes") };
        for database in (0..16).filter(|database| field(&format!("db{database}")).is_some()) {
            client.run(&format!("SELECT {database}"));
            let keys = client.run("KEYS *");
            let keys: Vec<&[u8]> = keys.items().into_iter().filter_map(Reply::as_bytes).collect();
            data.read_keys(client, database, &keys);
        }
        data
    }

    fn read_keys(&mut self, client: &mut Client, database: usize, keys: &[&[u8]]) {
        let requests = keys.iter().flat_map(|key| {
            [&[b"TYPE".as_slice()][..], &[b"PEXPIRETIME"], &[b"DEBUG", b"DIGEST-VALUE"], &[b"HKEYS"]]
                .map(|command| command.iter().chain([key]).map(|word| word.to_vec()).collect())
        });
        let replies = client.pipeline(&requests.collect::<Vec<_>>()).expect("the keys' replies");
        for (key, replies) in keys.iter().zip(replies.chunks_exact(4)) {
            let [kind, expiry, digest, fields] = replies else { unreachable!("chunks of four") };
            let mut held = Held { watched: vec![kind.clone(), expiry.clone(), digest.clone()], unwatched: None };
            match kind.to_text().as_str() {
                "hash" => {
                    let fields: Vec<&[u8]> = fields.items().into_iter().filter_map(Reply::as_bytes).collect();
                    let count = fields.len().to_string();
                    let mut request: Vec<&[u8]> = vec![b"HPEXPIRETIME", key, b"FIELDS", count.as_bytes()];
                    request.extend(&fields);
                    let times = client.call(&request).expect("the fields' times");
                    let mut times: Vec<_> = fields.iter().zip(times.items()).collect();
                    times.sort();
                    held.watched.extend(times.into_iter().map(|(_, time)| time.clone()));
                }
                "stream" => {
                    let about =
                        client.call(&[&b"XINFO"[..], b"STREAM", *key, b"FULL", b"COUNT", b"0"]).expect("a stream");
                    held.unwatched = Some(without_times(&about));
                }
                _ => {}
            }
            self.places.insert((database, key.to_vec()), held);
        }
    }

    fn difference<'a>(&'a self, after: &'a Data) -> BTreeSet<&'a Place> {
        let places = self.places.keys().chain(after.places.keys());
        places.filter(|place| self.places.get(*place) != after.places.get(*place)).collect()
    }

    fn is_watched_difference(&self, after: &Data, place: &Place) -> bool {
        self.places.get(place).map(|held| &held.watched) != after.places.get(place).map(|held| &held.watched)
    }
}

/// Returns a reply of XINFO STREAM without the times at which consumers were last seen, since a read changes these.
fn without_times(reply: &Reply) -> Reply {
    let is_time = |reply: &Reply| reply.as_bytes().is_some_and(|name| name == b"seen-time" || name == b"active-time");
    match reply {
        Reply::Array(items) => {
            let mut kept = Vec::new();
            let mut items = items.iter();
            while let Some(item) = items.next() {
                if is_time(item) {
                    items.next();
                } else {
                    kept.push(without_times(item));
                }
            }
            Reply::Array(kept)
        }
        other => other.clone(),
    }
}

/// Connections that watch one key each, so that a change that is announced for another key is noticed.
struct Watchers {
    clients: Vec<Client>,
}

impl Watchers {
    fn watch(&mut self, server: &Server, places: &[Place]) {
        while self.clients.len() < places.len() {
            self.clients.push(patient(server));
        }
        for (client, (database, key)) in self.clients.iter_mut().zip(places) {
            let request =
                [vec![b"SELECT".to_vec(), database.to_string().into_bytes()], vec![b"WATCH".to_vec(), key.clone()]];
            send_all(client, &request);
        }
        for (client, place) in self.clients.iter_mut().zip(places) {
            for _ in 0..2 {
                assert_eq!(client.read_reply().expect("a reply"), Reply::ok(), "watching {}", shown(place));
            }
        }
    }

    /// Returns the places whose watchers were told of a change.
    fn told<'a>(&mut self, places: &'a [Place]) -> BTreeSet<&'a Place> {
        for (client, _) in self.clients.iter_mut().zip(places) {
            send_all(client, &[words("MULTI"), words("EXEC")]);
        }
        let mut told = BTreeSet::new();
        for (client, place) in self.clients.iter_mut().zip(places) {
            assert_eq!(client.read_reply().expect("a reply"), Reply::ok());
            match client.read_reply().expect("a reply") {
                Reply::NullArray => {
                    told.insert(place);
                }
                reply => assert_eq!(reply, Reply::Array(Vec::new()), "EXEC of nothing"),
            }
        }
        told
    }
}

fn send_all(client: &mut Client, requests: &[Vec<Vec<u8>>]) {
    let mut bytes = Vec::new();
    requests.iter().for_each(|request| ochre_testkit::client::encode(request, &mut bytes));
    client.send_bytes(&bytes).expect("requests are sent");
}

fn patient(server: &Server) -> Client {
    let client = server.client();
    client.set_timeout(PATIENCE).expect("a timeout can be set");
    client
}

/// The run of the test, and its results so far.
struct Run {
    server: Server,
    table: CommandTable,
    reader: Client,
    watchers: Watchers,
    before: Data,
    /// The commands that have changed data.
    changed: BTreeSet<String>,
    /// The first failure of each kind, by the command and what went wrong.
    failures: BTreeMap<String, String>,
    steps: usize,
    announced_in_vain: BTreeMap<String, usize>,
}

impl Run {
    fn start() -> Run {
        let server = Launch::subject()
            .threads(2)
            .directive("enable-debug-command", "yes")
            .directive("proto-max-bulk-len", "1mb")
            .start();
        let mut reader = patient(&server);
        assert_eq!(reader.run("DEBUG SET-ACTIVE-EXPIRE 0"), Reply::ok());
        let table = CommandTable::read(&mut reader).expect("the server describes its commands");
        Run {
            server,
            table,
            reader,
            watchers: Watchers { clients: Vec::new() },
            before: Data::default(),
            changed: BTreeSet::new(),
            failures: BTreeMap::new(),
            steps: 0,
            announced_in_vain: BTreeMap::new(),
        }
    }

    fn empty(&mut self) {
        assert_eq!(self.reader.run("FLUSHALL"), Reply::ok());
        self.before = Data::read(&mut self.reader);
    }

    /// Calls `act`, which runs the command `name`, and checks that its changes were announced. `named` are words that may be keys in any of
    /// the `databases`. `context` describes the run for the message of a failure.
    fn observe<R>(
        &mut self,
        name: &str,
        named: &[Vec<u8>],
        databases: &BTreeSet<usize>,
        context: impl Fn() -> String,
        act: impl FnOnce(&mut Run) -> R,
    ) -> R {
        // A key that exists in one database may be created in another.
        let names: BTreeSet<&Vec<u8>> = self.before.places.keys().map(|(_, key)| key).chain(named).collect();
        let elsewhere = databases.iter().flat_map(|database| names.iter().map(|key| (*database, (*key).clone())));
        let places: BTreeSet<Place> = self.before.places.keys().cloned().chain(elsewhere).collect();
        let places: Vec<Place> = places.into_iter().collect();
        self.watchers.watch(&self.server, &places);
        let result = act(self);
        let after = Data::read(&mut self.reader);
        let told = self.watchers.told(&places);
        self.steps += 1;

        let changed = self.before.difference(&after);
        let counted = after.changes > self.before.changes;
        let mut faults = Vec::new();
        if let Some(place) = changed.first()
            && !counted
        {
            faults.push(("counted no change", *place));
        }
        for place in &changed {
            if self.before.is_watched_difference(&after, place) {
                if !places.contains(place) {
                    faults.push(("changed a key that this test does not watch", place));
                } else if !told.contains(*place) {
                    faults.push(("was not seen by WATCH", place));
                }
            }
        }
        for (what, place) in faults {
            let held = Held::shown(self.before.places.get(place));
            let holds = Held::shown(after.places.get(place));
            self.failures.entry(format!("{name} {what}")).or_insert_with(|| {
                format!("---- {name} {what}: {}\n  before: {held}\n  after:  {holds}\n{}", shown(place), context())
            });
        }
        if changed.is_empty() {
            if counted || !told.is_empty() {
                *self.announced_in_vain.entry(name.to_string()).or_default() += 1;
            }
        } else {
            self.changed.insert(name.to_string());
        }
        self.before = after;
        result
    }

    fn by_hand(&mut self, row: &ByHand) {
        self.empty();
        let databases = BTreeSet::from([0]);
        let mut client = patient(&self.server);
        for line in row.before {
            let arguments = words(line);
            let name = rules::name_of(&self.table, &arguments);
            let reply = self.observe(&name, &arguments, &databases, || line.to_string(), |_| client.run(line));
            assert!(!reply.is_error(), "{line}: {reply}");
        }
        let mut waiting = row.waiter.map(|line| {
            let mut waiter = patient(&self.server);
            waiter.send(&words(line)).expect("the waiter's command is sent");
            poll::eventually("the waiter is blocked", || {
                self.reader.run("INFO clients").to_text().contains("blocked_clients:1\r")
            });
            waiter
        });
        let mut named = words(row.write);
        named.extend(row.waiter.map(words).unwrap_or_default());
        let mut name = rules::name_of(&self.table, &words(row.write));
        if let Some(waiter) = row.waiter {
            name = format!("{name} that serves {}", rules::name_of(&self.table, &words(waiter)));
        }
        let context = || format!("{:?}, waiting: {:?}, {}", row.before, row.waiter, row.write);
        let reply = self.observe(&name, &named, &databases, context, |_| {
            let reply = client.run(row.write);
            if let Some(waiter) = &mut waiting {
                let reply = waiter.read_reply().expect("the waiter is served");
                assert!(!reply.is_error() && reply != Reply::NullArray, "{}: {reply}", context());
            }
            reply
        });
        assert!(!reply.is_error(), "{}: {reply}", row.write);
        assert!(self.changed.contains(&name), "{name} changed nothing: {}", context());
    }

    fn sequence(&mut self, seed: u64, steps: &[Step]) {
        self.empty();
        let mut clients = [patient(&self.server), patient(&self.server)];
        let mut queued: [Vec<Vec<u8>>; 2] = Default::default();
        let mut databases = BTreeSet::from([0]);
        for (index, step) in steps.iter().enumerate() {
            let name = rules::name_of(&self.table, &step.arguments);
            if ["select", "swapdb", "move", "copy"].contains(&name.as_str()) {
                let numbers = step.arguments.iter().filter_map(|word| std::str::from_utf8(word).ok()?.parse().ok());
                databases.extend(numbers.filter(|number: &usize| *number < 16));
            }
            let client = &mut clients[step.client - 1];
            let queue = &mut queued[step.client - 1];
            let mut named = step.arguments.clone();
            if name == "exec" {
                named.append(queue);
            }
            let context = || {
                let lines = steps[..=index]
                    .iter()
                    .map(|step| format!("  client {}: {}", step.client, quote_command(&step.arguments)));
                format!("in the sequence with the seed {seed}:\n{}", lines.collect::<Vec<_>>().join("\n"))
            };
            let reply = self.observe(&name, &named, &databases, context, |_| {
                client.call(&step.arguments).unwrap_or_else(|error| panic!("{error}\n{}", context()))
            });
            if reply == Reply::simple("QUEUED") {
                queue.append(&mut named);
            }
        }
    }

    /// Returns the write commands of the table that write data. Those of FUNCTION write libraries, which nothing announces.
    fn writes(&self) -> Vec<&str> {
        let writes_data = |name: &str| !name.starts_with("function|");
        let writes =
            self.table.callable().filter(|command| command.flags.contains("write") && writes_data(&command.name));
        writes.map(|command| command.name.as_str()).collect()
    }

    /// Returns the write commands of the table that have not changed any data.
    fn without_effect(&self) -> Vec<&str> {
        self.writes().into_iter().filter(|name| !self.changed.contains(*name)).collect()
    }

    /// Returns a generator that draws from these commands, or from all write commands if none of these can be drawn.
    fn generator<'a>(&self, names: impl Iterator<Item = &'a str>) -> Generator {
        let only: Vec<String> = names.filter(|name| rules::not_drawn(name).is_none()).map(str::to_string).collect();
        let only = if only.is_empty() { self.writes().into_iter().map(str::to_string).collect() } else { only };
        Generator::new(Kind::subject(), &self.table, &self.table, None, &only)
    }
}

#[test]
fn every_change_is_announced() {
    let began = Instant::now();
    let mut run = Run::start();
    BY_HAND.iter().for_each(|row| run.by_hand(row));

    let number = |variable: &str| env::var(variable).ok().and_then(|text| text.parse().ok());
    let first = number("OCHRE_SEED").unwrap_or(4_000_001);
    let sequences = number("OCHRE_SEQUENCES").unwrap_or(SEQUENCES);
    let mut generator = run.generator(run.writes().into_iter());
    let mut seed = first;
    while seed < first + sequences && run.failures.len() < FAILURES_MAX {
        run.sequence(seed, &generator.sequence(seed));
        seed += 1;
    }
    // Commands that have not changed data by chance are drawn alone.
    while seed < first + sequences + SEQUENCES_MORE && !run.without_effect().is_empty() {
        if (seed - first).is_multiple_of(10) {
            generator = run.generator(run.without_effect().into_iter());
        }
        run.sequence(seed, &generator.sequence(seed));
        seed += 1;
    }

    println!(
        "{} commands of {} sequences in {:.1} s; announced though nothing changed: {:?}",
        run.steps,
        seed - first,
        began.elapsed().as_secs_f64(),
        run.announced_in_vain
    );
    let failures: Vec<&str> = run.failures.values().map(String::as_str).collect();
    assert!(failures.is_empty(), "{} changes were not announced:\n{}", failures.len(), failures.join("\n"));
    let without = run.without_effect();
    assert!(
        without.is_empty(),
        "these write commands changed no data, so the test says nothing about them (add a row to BY_HAND): {}",
        without.join(", ")
    );
}
