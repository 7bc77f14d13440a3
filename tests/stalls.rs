//! Proves that no command stalls a core that it does not run on.
//!
//! One core runs a long command. A client of the other core sends the command under test, which needs a lock that the long command holds,
//! or the whole keyspace. A second client of that core, the bystander, goes on with commands on other keys. The order of the replies
//! decides: the bystander must get its replies before the long command is answered. No test passes or fails by a measured time. If the long
//! command ends before the bystander has its replies, the attempt is repeated with a longer one, so a slow machine fails no test.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use ochre_testkit::client::encode;
use ochre_testkit::poll::PATIENCE;
use ochre_testkit::quoting::quote_command;
use ochre_testkit::{Client, Launch, Random, Reply, Server, poll, process, quoting};

/// The core that runs long commands.
const LONG_CORE: usize = 1;
/// The core that must not stall.
const OTHER_CORE: usize = 0;

/// The number of members of the sets that long commands use. A command is long because it names its set many times.
const MEMBERS: usize = 10_000;

/// The duration of the long command in the first attempt: much longer than the round trips of the other clients.
const LONG: Duration = Duration::from_millis(150);

/// The factors by which the long command is lengthened in each attempt.
const LONGER: [usize; 3] = [1, 5, 15];

/// The fewest round trips that the bystander makes during one long command.
const ROUND_TRIPS: usize = 50;

/// The processor time after which the long command is running for sure. Reading a request takes a thousandth of it.
const UNDER_WAY: Duration = Duration::from_millis(20);

/// Lets the tests of this program run one after another, since each of them needs all processors.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    // A failed test has no effect on the next one.
    ALONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

type Words = Vec<Vec<u8>>;

fn words(line: &str) -> Words {
    quoting::split(line.as_bytes()).unwrap_or_else(|error| panic!("{line}: {error}"))
}

fn patient(client: Client) -> Client {
    client.set_timeout(PATIENCE).expect("a timeout can be set");
    client
}

// ---- The long commands

/// A long command. The function is given the number of times that the command names its key, and returns the requests to send at once.
type Long = fn(usize) -> Vec<Words>;

/// Returns a command that names the same key many times.
fn naming(command: &str, key: &str, times: usize) -> Words {
    words(&format!("{command} {times}{}", format!(" {key}").repeat(times)))
}

fn sorted_set_union(times: usize) -> Vec<Words> {
    vec![naming("ZUNIONSTORE out", "busy", times)]
}

fn set_union(times: usize) -> Vec<Words> {
    vec![words(&format!("SUNIONSTORE set-out{}", " busy-set".repeat(times)))]
}

/// A long command that only reads.
fn intersection(times: usize) -> Vec<Words> {
    vec![naming("ZINTERCARD", "busy", times)]
}

fn transaction(times: usize) -> Vec<Words> {
    let half = times.div_ceil(2);
    vec![
        words("MULTI"),
        naming("ZUNIONSTORE out", "busy", half),
        words("GET elsewhere"),
        naming("ZINTERCARD", "busy", half),
        words("EXEC"),
    ]
}

/// A transaction that sets twenty keys, which expire while it still holds their shards. Some of the shards belong to the other core.
fn keys_fall_due(times: usize) -> Vec<Words> {
    let mut requests = vec![words("MULTI")];
    requests.extend((0..20).map(|number| words(&format!("SET brief:{number} v PX 40"))));
    requests.append(&mut sorted_set_union(times));
    requests.push(words("EXEC"));
    requests
}

/// A long command that is running.
struct UnderWay<'a> {
    client: &'a mut Client,
    /// The number of replies that have not come yet.
    missing: usize,
    /// The last reply so far.
    last: Option<Reply>,
}

impl UnderWay<'_> {
    /// Returns whether all replies have come.
    fn is_over(&mut self) -> bool {
        while self.missing > 0
            && let Some(reply) = self.client.read_reply_within(Duration::ZERO).expect("the long command's reply")
        {
            self.missing -= 1;
            self.last = Some(reply);
        }
        self.missing == 0
    }

    /// Waits for the end, and returns the last reply.
    fn end(mut self) -> Reply {
        poll::eventually("the long command ends", || self.is_over());
        self.last.expect("a command has a reply")
    }
}

// ---- What must not stall the other core

/// When the command under test is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    /// It may be after the long command, but its core must serve other clients meanwhile.
    AtLast,
    /// Before the long command ends, since it takes no lock.
    Meanwhile,
}

/// A command under test.
struct Row {
    /// The commands that its client runs before the long command begins.
    before: &'static [&'static str],
    command: Words,
    /// The number of times it is sent: once, unless it picks keys at random.
    times: usize,
    when: When,
    /// Whether a reply to it is correct.
    is_right: fn(&Reply) -> bool,
}

fn row(before: &'static [&'static str], command: &str, when: When, is_right: fn(&Reply) -> bool) -> Row {
    Row { before, command: words(command), times: 1, when, is_right }
}

fn is_ok(reply: &Reply) -> bool {
    *reply == Reply::ok()
}

fn is_count(reply: &Reply) -> bool {
    matches!(reply, Reply::Integer(1..))
}

fn has_keys(reply: &Reply) -> bool {
    let names: BTreeSet<&[u8]> = reply.items().into_iter().filter_map(Reply::as_bytes).collect();
    ["busy", "busy-set", "list", "elsewhere"].iter().all(|name| names.contains(name.as_bytes()))
}

/// Returns a command with many keys. The one in the middle is written by the long command.
fn many(command: &str, count: usize, value: Option<&str>) -> Words {
    let mut request = vec![command.as_bytes().to_vec()];
    for number in 0..count {
        let key = if number == count / 2 { "out".to_string() } else { format!("many:{number}") };
        request.push(key.into_bytes());
        request.extend(value.map(|value| value.as_bytes().to_vec()));
    }
    request
}

fn rows() -> Vec<Row> {
    use When::{AtLast, Meanwhile};
    let of_many = |command: Words, is_right| Row { before: &[], command, times: 1, when: AtLast, is_right };
    vec![
        // Commands that take no shard's lock.
        row(&[], "INFO", Meanwhile, |reply| reply.to_text().contains("db0:keys=")),
        row(&[], "INFO everything", Meanwhile, |reply| reply.to_text().contains("db0:keys=")),
        row(&[], "DBSIZE", Meanwhile, is_count),
        row(&[], "CLIENT LIST", Meanwhile, |reply| reply.to_text().lines().count() >= 3),
        row(&[], "CONFIG SET maxmemory-samples 7", Meanwhile, is_ok),
        row(&[], "CONFIG RESETSTAT", Meanwhile, is_ok),
        row(&[], "PUBLISH channel message", Meanwhile, |reply| *reply == Reply::Integer(0)),
        row(&[], "MEMORY STATS", AtLast, |reply| !reply.is_error()),
        // Commands that access the busy key or all keys.
        row(&[], "KEYS *", AtLast, has_keys),
        row(&[], "SCAN 0 COUNT 100000", AtLast, |reply| has_keys(reply.items()[1])),
        Row { times: 50, ..row(&[], "RANDOMKEY", AtLast, |reply| matches!(reply, Reply::Bulk(_))) },
        row(&[], "EXISTS busy", AtLast, |reply| *reply == Reply::Integer(1)),
        row(&[], "GET busy", AtLast, |reply| reply.to_text().starts_with("WRONGTYPE")),
        row(&[], "ZCARD busy", AtLast, |reply| *reply == Reply::Integer(MEMBERS as i64)),
        row(&[], "OBJECT ENCODING busy", AtLast, |reply| *reply == Reply::bulk("skiplist")),
        row(&[], "MEMORY USAGE busy", AtLast, is_count),
        row(&[], "ZADD busy XX 1 nobody", AtLast, |reply| *reply == Reply::Integer(0)),
        row(&[], "WATCH elsewhere busy", AtLast, is_ok),
        row(&["WATCH busy elsewhere"], "UNWATCH", AtLast, is_ok),
        row(&["WATCH busy elsewhere"], "RESET", AtLast, |reply| *reply == Reply::simple("RESET")),
        row(&["WATCH busy", "MULTI"], "DISCARD", AtLast, is_ok),
        row(&["WATCH busy", "MULTI", "GET elsewhere"], "EXEC", AtLast, |reply| reply.items().len() == 1),
        row(&[], "BLPOP busy 0", AtLast, |reply| reply.to_text().starts_with("WRONGTYPE")),
        of_many(many("MGET", 1000, None), |reply| reply.items().len() == 1000),
        of_many(many("EXISTS", 1000, None), |reply| matches!(reply, Reply::Integer(0..))),
        of_many(many("MSET", 1000, Some("v")), is_ok),
        of_many(many("MSETNX", 1000, Some("v")), |reply| *reply == Reply::Integer(0)),
        of_many(many("DEL", 5000, None), is_count),
        // Commands that need the whole keyspace.
        row(&["SELECT 5"], "FLUSHDB", AtLast, is_ok),
        row(&[], "SWAPDB 5 6", AtLast, is_ok),
        row(&[], "CLIENT PAUSE 1 WRITE", AtLast, is_ok),
        row(&[], "SORT list BY weight:*", AtLast, |reply| {
            reply.items() == [&Reply::bulk("3"), &Reply::bulk("2"), &Reply::bulk("1")]
        }),
        row(&["MULTI", "KEYS *", "DBSIZE"], "EXEC", AtLast, |reply| has_keys(reply.items()[0])),
        row(&[], "FLUSHALL", AtLast, is_ok),
    ]
}

// ---- The stage

/// A server with two cores, and the clients that all attempts use.
struct Stage {
    server: Server,
    /// Sends the long commands.
    long: Client,
    /// Writes the data while no command is under way.
    filler: Client,
    /// The key that the bystander uses. No long command locks its shard.
    elsewhere: String,
}

impl Stage {
    fn set() -> Stage {
        let server = Launch::subject().threads(2).start();
        let long = patient(server.client_on_core(LONG_CORE));
        let filler = patient(server.client());
        let mut stage = Stage { server, long, filler, elsewhere: String::new() };
        stage.find_elsewhere();
        stage
    }

    /// Finds a key for the bystander whose shard no long command locks. This also shows that the bystander does not stall without a command
    /// under test. If it did, the tests would blame the wrong command.
    fn find_elsewhere(&mut self) {
        const LONGS: [Long; 2] = [transaction, set_union];
        for number in 0..8 {
            self.elsewhere = format!("elsewhere:{number}");
            if LONGS.iter().all(|long| self.observe(*long, None).is_ok()) {
                return;
            }
        }
        panic!("commands on unrelated keys stall while another core runs a long command");
    }

    fn client_of_other_core(&self) -> Client {
        patient(self.server.client_on_core(OTHER_CORE))
    }

    /// Writes the data that the rows use, unless it is there. A row may have removed it.
    fn fill(&mut self) {
        if self.filler.run("EXISTS busy busy-set list elsewhere out") == Reply::Integer(5) {
            return;
        }
        let members = |score: bool| {
            (0..MEMBERS).flat_map(move |number| {
                let member = format!("member:{number}").into_bytes();
                if score { vec![number.to_string().into_bytes(), member] } else { vec![member] }
            })
        };
        let command = |name: &str, key: &str, tail: Vec<Vec<u8>>| [words(&format!("{name} {key}")), tail].concat();
        self.filler
            .pipeline(&[
                command("ZADD", "busy", members(true).collect()),
                command("SADD", "busy-set", members(false).collect()),
                words("DEL list"),
                words("RPUSH list 1 2 3"),
                words("MSET weight:1 30 weight:2 20 weight:3 10 elsewhere v out v"),
            ])
            .expect("the data can be filled in");
    }

    /// Returns how often a long command must name its key to take about [`LONG`].
    fn calibrate(&mut self, long: Long) -> usize {
        self.fill();
        let mut times = 2;
        loop {
            // The least of several runs, since a busy machine makes single ones longer.
            let mut run = || {
                let began = Instant::now();
                self.long.pipeline(&long(times)).expect("replies");
                began.elapsed()
            };
            let took = (0..3).map(|_| run()).min().expect("there are three");
            if took * 8 > LONG {
                return (times as f64 * LONG.as_secs_f64() / took.as_secs_f64()).ceil() as usize;
            }
            times *= 2;
        }
    }

    /// Sends a long command, and returns once the server is running it. No other client may be sending at the same time.
    fn begin(&mut self, long: Long, times: usize) -> UnderWay<'_> {
        let requests = long(times);
        let mut bytes = Vec::new();
        requests.iter().for_each(|request| encode(request, &mut bytes));
        let cpu_time = |server: &Server| process::cpu_time(server.pid()).expect("the server runs");
        let before = cpu_time(&self.server);
        self.long.send_bytes(&bytes).expect("the long command is sent");
        poll::eventually("the long command begins", || cpu_time(&self.server) >= before + UNDER_WAY);
        UnderWay { client: &mut self.long, missing: requests.len(), last: None }
    }

    /// Checks that the other core serves its clients while a command waits for a long one.
    ///
    /// # Errors
    /// What came too late in every attempt.
    fn observe(&mut self, long: Long, row: Option<&Row>) -> Result<(), String> {
        let times = self.calibrate(long);
        let mut result = Ok(());
        for longer in LONGER {
            result = self.attempt(long, times * longer, row);
            if result.is_ok() {
                break;
            }
        }
        result
    }

    /// Makes one attempt of [`Stage::observe`].
    fn attempt(&mut self, long: Long, times: usize, row: Option<&Row>) -> Result<(), String> {
        self.fill();
        let mut subject = self.client_of_other_core();
        for line in row.map_or(&[][..], |row| row.before) {
            let reply = subject.run(line);
            assert!(!reply.is_error(), "{line}: {reply}");
        }
        let mut bystander = self.client_of_other_core();
        let elsewhere = self.elsewhere.clone();
        let mut under_way = self.begin(long, times);
        if let Some(row) = row {
            let mut bytes = Vec::new();
            (0..row.times).for_each(|_| encode(&row.command, &mut bytes));
            subject.send_bytes(&bytes).expect("the command is sent");
        }
        let mut reply = None;
        if let Some(Row { when: When::Meanwhile, .. }) = row {
            while reply.is_none() && !under_way.is_over() {
                reply = subject.read_reply_within(Duration::ZERO).expect("a reply");
            }
        }
        // The round trips come after the reply, so a reply that comes at the very end of the long command does not pass.
        for number in 0..ROUND_TRIPS {
            round_trip(&mut bystander, &elsewhere, number);
        }
        let result = match (under_way.is_over(), row.map(|row| row.when)) {
            (false, _) => Ok(()),
            (true, Some(When::Meanwhile)) => Err("the reply came too late".to_string()),
            (true, _) => Err("the core stalled".to_string()),
        };
        let last = under_way.end();
        assert!(!last.is_error(), "the long command was answered by {last}");
        if let Some(row) = row {
            let read = usize::from(reply.is_some());
            let others = (read..row.times).map(|_| subject.read_reply().expect("a reply at last"));
            for reply in reply.into_iter().chain(others) {
                assert!((row.is_right)(&reply), "{}: {reply}", shown(&row.command));
            }
        }
        result
    }
}

/// Runs PING, SET and GET, and returns the reply to GET. GET finds nothing if another client has flushed the database in between.
fn round_trip(client: &mut Client, key: &str, number: usize) -> Reply {
    assert_eq!(client.run("PING"), Reply::simple("PONG"));
    assert_eq!(client.run(&format!("SET {key} {number}")), Reply::ok());
    let found = client.run(&format!("GET {key}"));
    assert!(found == Reply::bulk(number.to_string()) || found == Reply::NullBulk, "GET {key} after SET: {found}");
    found
}

fn shown(command: &Words) -> String {
    let mut text = quote_command(&command[..command.len().min(5)]);
    if command.len() > 5 {
        text.push_str(&format!(" … ({} arguments)", command.len()));
    }
    text
}

#[track_caller]
fn assert_none(failures: &[String]) {
    assert!(failures.is_empty(), "{} of them stall a core:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn no_command_stalls_its_core_while_another_core_runs_a_long_one() {
    let _alone = alone();
    let mut stage = Stage::set();
    let mut failures = Vec::new();
    for row in rows() {
        if let Err(what) = stage.observe(sorted_set_union, Some(&row)) {
            failures.push(format!("{:?} {}: {what}", row.before, shown(&row.command)));
        }
    }
    assert_none(&failures);
}

/// As above, with long commands of other kinds: a write of another type, a read, and a transaction.
#[test]
fn no_kind_of_long_command_stalls_another_core() {
    use When::{AtLast, Meanwhile};
    let _alone = alone();
    let mut stage = Stage::set();
    let mut failures = Vec::new();
    let longs: [(&str, Long); 3] =
        [("SUNIONSTORE", set_union), ("ZINTERCARD", intersection), ("a transaction", transaction)];
    for (name, long) in longs {
        for row in [
            row(&[], "INFO", Meanwhile, |reply| reply.to_text().contains("db0:keys=")),
            row(&[], "EXISTS busy busy-set", AtLast, |reply| *reply == Reply::Integer(2)),
            row(&[], "ZREM busy nobody", AtLast, |reply| *reply == Reply::Integer(0)),
            row(&["SELECT 5"], "FLUSHDB", AtLast, is_ok),
        ] {
            if let Err(what) = stage.observe(long, Some(&row)) {
                failures.push(format!("{} during {name}: {what}", shown(&row.command)));
            }
        }
    }
    assert_none(&failures);
}

/// A core removes the expired keys of its shards. It must not stall if another core has locked such a shard.
#[test]
fn keys_that_expire_in_a_locked_shard_stall_no_core() {
    let _alone = alone();
    let mut stage = Stage::set();
    let mut result = Ok(());
    let times = stage.calibrate(keys_fall_due);
    for longer in LONGER {
        let elsewhere = stage.elsewhere.clone();
        let mut bystander = stage.client_of_other_core();
        let mut under_way = stage.begin(keys_fall_due, times * longer);
        // The keys were set before this moment, so they expire before `due`.
        let due = Instant::now() + Duration::from_millis(41);
        let mut number = 0;
        while number < ROUND_TRIPS || Instant::now() < due + UNDER_WAY {
            round_trip(&mut bystander, &elsewhere, number);
            number += 1;
        }
        result = if under_way.is_over() { Err("the core stalled") } else { Ok(()) };
        let replies = under_way.end();
        assert_eq!(replies.items().len(), 21, "{replies}");
        let names: String = (0..20).map(|number| format!(" brief:{number}")).collect();
        poll::eventually("the keys are gone", || bystander.run(&format!("EXISTS{names}")) == Reply::Integer(0));
        if result.is_ok() {
            break;
        }
    }
    assert_eq!(result, Ok(()));
}

/// A watcher that disconnects, a waiter that disconnects, and a waiter that times out are removed from a locked shard without a stall.
#[test]
fn clients_that_leave_a_locked_key_stall_no_core() {
    let _alone = alone();
    let mut stage = Stage::set();
    let mut failures = Vec::new();
    let times = stage.calibrate(sorted_set_union);
    for (line, leaves) in
        [("WATCH out busy", true), ("BZPOPMIN out absent 0", true), ("BZPOPMIN out absent 0.1", false)]
    {
        let mut result = Ok(());
        for longer in LONGER {
            let elsewhere = stage.elsewhere.clone();
            let mut bystander = stage.client_of_other_core();
            let mut leaver = stage.client_of_other_core();
            bystander.run("DEL out");
            let sent = Instant::now();
            leaver.send(&words(line)).expect("the command is sent");
            let blocked = if line.starts_with("BZ") { 1 } else { 0 };
            poll::eventually("the client is blocked", || {
                bystander.run("INFO clients").to_text().contains(&format!("blocked_clients:{blocked}\r"))
            });
            if blocked == 0 {
                assert_eq!(leaver.read_reply().expect("a reply"), Reply::ok());
            }
            let mut under_way = stage.begin(sorted_set_union, times * longer);
            let mut left = Some(leaver);
            if leaves {
                left = None;
            }
            let over = sent + Duration::from_millis(100);
            let mut number = 0;
            while number < ROUND_TRIPS || (!leaves && Instant::now() < over + UNDER_WAY) {
                round_trip(&mut bystander, &elsewhere, number);
                number += 1;
            }
            result = if under_way.is_over() { Err("the core stalled") } else { Ok(()) };
            assert_eq!(under_way.end(), Reply::Integer(MEMBERS as i64));
            // If the long command was too short, the waiter may have been served before its time was over.
            if let (Some(waiter), Ok(())) = (&mut left, result) {
                assert_eq!(waiter.read_reply().expect("a reply"), Reply::NullArray);
            }
            drop(left);
            poll::eventually("no client waits", || {
                bystander.run("INFO clients").to_text().contains("total_blocking_keys:0\r")
            });
            if result.is_ok() {
                // No element was handed to a client that is gone.
                assert_eq!(bystander.run("ZCARD out"), Reply::Integer(MEMBERS as i64), "after {line}");
                break;
            }
        }
        if let Err(what) = result {
            failures.push(format!("{line}: {what}"));
        }
    }
    assert_none(&failures);
}

/// DEBUG POPULATE needs the whole keyspace, which it gives back again and again, so clients of all cores go on meanwhile.
#[test]
fn filling_a_database_stalls_no_core() {
    let _alone = alone();
    let server = Launch::subject().threads(2).directive("enable-debug-command", "yes").start();
    let mut populating = patient(server.client_on_core(OTHER_CORE));
    let mut bystanders = [OTHER_CORE, LONG_CORE].map(|core| patient(server.client_on_core(core)));
    let mut result = Ok(());
    for longer in LONGER {
        let count = 200_000 * longer;
        populating.send(&words(&format!("DEBUG POPULATE {count}"))).expect("the command is sent");
        poll::eventually("the first keys are there", || bystanders[0].run("EXISTS key:0") == Reply::Integer(1));
        for number in 0..ROUND_TRIPS {
            for bystander in &mut bystanders {
                round_trip(bystander, "elsewhere", number);
            }
        }
        let early = populating.read_reply_within(Duration::ZERO).expect("the connection is there");
        result = if early.is_none() { Ok(()) } else { Err("the bystanders had their replies only afterwards") };
        let reply = early.unwrap_or_else(|| populating.read_reply().expect("a reply at last"));
        assert_eq!(reply, Reply::ok());
        assert_eq!(populating.run("DBSIZE"), Reply::Integer(count as i64 + 1));
        if result.is_ok() {
            break;
        }
        assert_eq!(populating.run("FLUSHALL"), Reply::ok());
    }
    assert_eq!(result, Ok(()));
}

// ---- Fairness

/// Runs `act` while the clients send requests, and stops them when it ends. Each client has a counter of its completed rounds.
fn meanwhile<R>(clients: Vec<Busy>, act: impl FnOnce(&[AtomicUsize]) -> R) -> R {
    let counts: Vec<AtomicUsize> = clients.iter().map(|_| AtomicUsize::new(0)).collect();
    let stop = AtomicBool::new(false);
    /// Stops the clients even if `act` panics, since they would go on for ever.
    struct Stop<'a>(&'a AtomicBool);
    impl Drop for Stop<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    thread::scope(|scope| {
        for (mut busy, count) in clients.into_iter().zip(&counts) {
            let stop = &stop;
            scope.spawn(move || {
                busy.send();
                while !stop.load(Ordering::Relaxed) {
                    // The next request is sent before the reply to the last one is read, so that there is no pause.
                    busy.send();
                    busy.read();
                    count.fetch_add(1, Ordering::Relaxed);
                }
                busy.read();
            });
        }
        let _stop = Stop(&stop);
        act(&counts)
    })
}

/// A client that sends requests without a pause.
struct Busy {
    client: Client,
    /// Returns the next requests, which are sent at once.
    next: Box<dyn FnMut() -> Vec<Words> + Send>,
    /// The number of requests in each sending whose replies are not read yet.
    unread: std::collections::VecDeque<usize>,
}

impl Busy {
    fn new(client: Client, next: impl FnMut() -> Vec<Words> + Send + 'static) -> Busy {
        Busy { client: patient(client), next: Box::new(next), unread: Default::default() }
    }

    fn send(&mut self) {
        let requests = (self.next)();
        let mut bytes = Vec::new();
        requests.iter().for_each(|request| encode(request, &mut bytes));
        self.client.send_bytes(&bytes).expect("a busy client sends");
        self.unread.push_back(requests.len());
    }

    fn read(&mut self) {
        for _ in 0..self.unread.pop_front().expect("something was sent") {
            let reply = self.client.read_reply().expect("a busy client is answered");
            assert!(!reply.is_error(), "a busy client got {reply}");
        }
    }
}

/// Waits until each of the counters has grown.
fn wait_for_progress(counts: &[AtomicUsize]) {
    let before: Vec<usize> = counts.iter().map(|count| count.load(Ordering::Relaxed)).collect();
    poll::eventually("all progress", || {
        counts.iter().zip(&before).all(|(count, before)| count.load(Ordering::Relaxed) > *before)
    });
}

#[test]
fn many_keys_at_once_get_their_turn_under_streams_of_small_writes() {
    const KEYS: usize = 5000;
    let _alone = alone();
    let server = Launch::subject().threads(3).start();
    let streams = (0..2)
        .map(|core| {
            let mut random = Random::new(core as u64);
            Busy::new(server.client_on_core(core), move || {
                (0..16).map(|number| words(&format!("SET many:{} {number}", random.below(KEYS)))).collect()
            })
        })
        .collect();
    let mut client = patient(server.client_on_core(2));
    meanwhile(streams, |counts| {
        for _ in 0..3 {
            wait_for_progress(counts);
            for (command, is_right) in [
                (many("MSET", KEYS, Some("v")), is_ok as fn(&Reply) -> bool),
                (many("EXISTS", KEYS, None), is_count),
                (many("MGET", KEYS, None), |reply| reply.items().len() == KEYS),
                (many("DEL", KEYS, None), is_count),
                (words("SELECT 5"), is_ok),
                (words("FLUSHDB"), is_ok),
                (words("SWAPDB 5 6"), is_ok),
                (words("SELECT 0"), is_ok),
            ] {
                let reply = client.call(&command).unwrap_or_else(|error| panic!("{}: {error}", shown(&command)));
                assert!(is_right(&reply), "{}: {reply}", shown(&command));
            }
            wait_for_progress(counts);
        }
    });
}

/// Two long commands on the same keys wait for each other. On different keys they overlap, so that one of them always holds its locks.
#[test]
fn other_commands_get_their_turn_between_overlapping_long_commands() {
    let _alone = alone();
    for same_keys in [true, false] {
        let server = Launch::subject().threads(3).start();
        let mut client = patient(server.client_on_core(2));
        for core in 0..2 {
            let members: String = (0..MEMBERS).map(|number| format!(" {number} member:{number}")).collect();
            client.run(&format!("ZADD busy:{core}{members}"));
        }
        let mut times = 2;
        loop {
            let began = Instant::now();
            client.call(&naming("ZUNIONSTORE out", "busy:0", times)).expect("a reply");
            if began.elapsed() > LONG / 8 {
                break;
            }
            times *= 2;
        }
        let longs = (0..2)
            .map(|core| {
                let suffix = if same_keys { 0 } else { core };
                let request = naming(&format!("ZUNIONSTORE out:{suffix}"), &format!("busy:{suffix}"), times);
                Busy::new(server.client_on_core(core), move || vec![request.clone()])
            })
            .collect();
        meanwhile(longs, |counts| {
            wait_for_progress(counts);
            for line in [
                "EXISTS busy:0",
                "SELECT 5",
                "FLUSHDB",
                "SWAPDB 5 6",
                "SELECT 0",
                "MSET out:0 v out:1 v a v b v",
                "KEYS nothing",
                "CLIENT PAUSE 1 WRITE",
                "SORT list BY weight:*",
            ] {
                finishes_within_ten_rounds(&mut client, line, counts, same_keys);
            }
        });
    }
}

/// Runs a command, and checks that it is answered before each long command has run about ten times.
fn finishes_within_ten_rounds(client: &mut Client, line: &str, counts: &[AtomicUsize], same_keys: bool) {
    let done = || counts.iter().map(|count| count.load(Ordering::Relaxed)).sum::<usize>();
    let before = done();
    client.send(&words(line)).expect("the command is sent");
    let reply = poll::until(PATIENCE, || {
        let reply = client.read_reply_within(Duration::ZERO).expect("a reply");
        let over = done() > before + 10 * counts.len();
        (reply.is_some() || over).then_some(reply)
    });
    let reply = reply.unwrap_or_else(|| panic!("{line}: neither the command nor the long commands end"));
    let keys = if same_keys { "the same keys" } else { "different keys" };
    let reply = reply.unwrap_or_else(|| panic!("{line} waits for more than ten rounds of long commands on {keys}"));
    assert!(!reply.is_error(), "{line}: {reply}");
}

#[test]
fn small_commands_progress_while_several_clients_flush() {
    const TURNS: usize = 200;
    let _alone = alone();
    let server = Launch::subject().threads(3).start();
    let flushers = (0..3)
        .map(|core| {
            let mut client = server.client_on_core(core);
            client.run("SELECT 5");
            Busy::new(client, || vec![words("FLUSHDB")])
        })
        .collect();
    meanwhile(flushers, |counts| {
        wait_for_progress(counts);
        thread::scope(|scope| {
            for core in 0..3 {
                let mut reader = patient(server.client_on_core(core));
                scope.spawn(move || {
                    for number in 0..TURNS {
                        let found = round_trip(&mut reader, &format!("key:{core}"), number);
                        assert_eq!(found, Reply::bulk(number.to_string()));
                    }
                });
                let mut waiter = patient(server.client_on_core(core));
                let mut pusher = patient(server.client_on_core((core + 1) % 3));
                scope.spawn(move || {
                    for number in 0..TURNS {
                        waiter.send(&words(&format!("BLPOP list:{core} 0"))).expect("BLPOP is sent");
                        let pushed = pusher.run(&format!("RPUSH list:{core} {number}"));
                        assert_eq!(pushed, Reply::Integer(1));
                        let popped = waiter.read_reply().expect("BLPOP is answered");
                        assert_eq!(popped.items()[1], &Reply::bulk(number.to_string()));
                    }
                });
            }
        });
        wait_for_progress(counts);
    });
}
