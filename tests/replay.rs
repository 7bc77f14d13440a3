//! Proves that a replay of the journal gives the same data.
//!
//! A server in this process runs the generator's sequences and keeps its journal in memory. A second server, which is empty, replays the
//! journal. Then both must hold the same data: every value and every expiry. Nothing expires on the second server. So a key that expired on
//! the first is missing on the second only if its removal was recorded.

#[path = "differential/dataset.rs"]
#[allow(dead_code, reason = "this program has its own comparison")]
mod dataset;
#[path = "differential/generator.rs"]
#[allow(dead_code, reason = "this program draws sequences and does not compare them with another server's")]
mod generator;
#[path = "differential/rules.rs"]
#[allow(dead_code, reason = "as above")]
mod rules;
#[path = "differential/values.rs"]
#[allow(dead_code, reason = "as above")]
mod values;

use std::collections::BTreeMap;
use std::env;
use std::sync::{Arc, Mutex, Once};
use std::thread;

use dataset::{Dataset, Entry};
use generator::Generator;
use ochre_resp::{Protocol, ReplyBuffer, RequestParser};
use ochre_server::commands;
use ochre_server::config::{ConfigStore, Invocation};
use ochre_server::core::Core;
use ochre_server::journal::{Frame, RecordedCommand, Sink};
use ochre_server::net::acceptor::Acceptors;
use ochre_server::net::cores::{self, Prepared};
use ochre_server::request::replay::Replay;
use ochre_server::request::turn::{Turn, Workspace};
use ochre_server::server::Server;
use ochre_server::session::wait::WaitEnd;
use ochre_server::session::{Client as ServerClient, Session};
use ochre_server::sockets::listener::{self, Listener, Transport};
use ochre_server::sockets::listening::Listening;
use ochre_testkit::command_table::CommandTable;
use ochre_testkit::quoting::quote_command;
use ochre_testkit::{Client, Kind, Reply, poll};
use tokio::runtime::{Builder, LocalOptions};

/// A command of a record, with its words copied.
#[derive(Clone, Debug)]
struct Recorded {
    time_ms: i64,
    database: usize,
    words: Vec<Vec<u8>>,
}

type Records = Vec<Vec<Recorded>>;

/// A sink that keeps the records of frames in memory, by the number of the frame.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<BTreeMap<u64, Records>>>);

impl Sink for Memory {
    fn append(&self, _core: usize, frame: Frame<'_>) {
        let owned = |command: RecordedCommand<'_>| Recorded {
            time_ms: command.time_ms,
            database: command.database,
            words: command.words.into_iter().map(<[u8]>::to_vec).collect(),
        };
        let records = frame.records().map(|commands| commands.into_iter().map(owned).collect()).collect();
        let before = self.0.lock().unwrap().insert(frame.position.number(), records);
        assert!(before.is_none(), "two frames have the number {}", frame.position.number());
    }
}

/// A server in this process that listens on a port of the loopback interface.
struct Local {
    server: Arc<Server>,
    port: u16,
}

/// Returns a server that serves no client yet.
fn prepared(threads: usize) -> (Arc<Server>, Prepared, Listener) {
    static COMMANDS: Once = Once::new();
    COMMANDS.call_once(|| commands::load(&[]).expect("the commands are loaded once"));
    let threads = threads.to_string();
    let words = ["--port", "0", "--threads", &threads, "--enable-debug-command", "yes", "--save", ""].map(Into::into);
    let Invocation::Serve(sources) = Invocation::parse(&words) else { panic!("these are directives") };
    let config = ConfigStore::load(&sources).expect("the directives are right");
    let listener = listener::bind_tcp(([127, 0, 0, 1], 0).into(), Transport::Tcp, 511).expect("a port is free");
    let (listening, _changes) = Listening::new(&[]).expect("nothing is listened on");
    let (server, cores) = cores::prepare(config, listening);
    (server, cores, listener)
}

impl Local {
    /// Starts to serve clients. It goes on until the process ends.
    fn start(server: Arc<Server>, cores: Prepared, listener: Listener) -> Local {
        let port = listener.tcp_address().expect("a TCP listener").port();
        cores.start(&server);
        let accepting = server.clone();
        thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
            runtime.expect("the system gives an event queue").block_on(async {
                let mut acceptors = Acceptors::default();
                acceptors.start(&accepting, vec![listener]);
                std::future::pending::<()>().await;
            });
        });
        Local { server, port }
    }

    fn client(&self) -> Client {
        let client = Client::connect(self.port).expect("the server accepts");
        client.set_timeout(poll::PATIENCE).expect("a timeout can be set");
        client
    }
}

/// The first server and its journal.
struct Recording {
    local: Local,
    memory: Memory,
    /// The number of the frame after which the data was empty and the records begin.
    start: u64,
}

impl Recording {
    fn start() -> Recording {
        let (server, cores, listener) = prepared(2);
        let memory = Memory::default();
        server.journal.keep(Arc::new(memory.clone()));
        let local = Local::start(server, cores, listener);
        Recording { local, memory, start: 0 }
    }

    /// Returns the records in order. No client is writing.
    fn records(&self) -> Records {
        let frames = self.memory.0.lock().unwrap();
        let last = self.local.server.journal.last_position().number();
        assert!(frames.keys().copied().eq(self.start + 1..=last), "the numbers of the frames leave a gap below {last}");
        frames.values().flatten().cloned().collect()
    }

    /// Removes all data and all records.
    fn restart(&mut self) {
        assert_eq!(self.local.client().run("FLUSHALL"), Reply::ok());
        self.start = self.local.server.journal.last_position().number();
        self.memory.0.lock().unwrap().clear();
    }

    /// Replays the records, and compares the data of both servers.
    fn assert_replays(&self, context: &str) {
        let mut client = self.local.client();
        let recorded = dataset::read(&mut client).expect("the data can be read");
        let records = self.records();
        let replayed = replay(&records);
        let is_same = |place: &(usize, Vec<u8>)| match (recorded.get(place), replayed.get(place)) {
            (Some(recorded), Some(replayed)) => data(recorded) == data(replayed),
            _ => false,
        };
        if let Some(place) = recorded.keys().chain(replayed.keys()).find(|place| !is_same(place)) {
            let shown = |it: &Recorded| format!("  [{}] {:.200}", it.database, quote_command(&it.words));
            let about: Vec<String> = records
                .iter()
                .flatten()
                .filter(|it| it.words.contains(&place.1) || it.words[0].eq_ignore_ascii_case(b"FLUSHALL"))
                .map(shown)
                .collect();
            // The last commands with the key are the most useful.
            let about = &about[about.len().saturating_sub(40)..];
            panic!(
                "{context}: {place:?} differs\n  recorded: {:.600?}\n  replayed: {:.600?}\n{}",
                recorded.get(place),
                replayed.get(place),
                about.join("\n")
            );
        }
    }
}

/// Returns the parts of an entry that must be the same. The encoding is not one of them, since it depends on earlier values too.
fn data(entry: &Entry) -> [&Reply; 4] {
    [&entry.kind, &entry.expires, &entry.digest, &entry.value]
}

/// Replays records on an empty server, and returns its data.
fn replay(records: &Records) -> Dataset {
    let (server, cores, listener) = prepared(1);
    server.set_active_expiry(false);
    {
        let core = Core::new(0, server.clone());
        let mut replay = Replay::new(&core);
        let runtime = Builder::new_current_thread().build().expect("a runtime can be built");
        for record in records {
            let borrowed: Vec<RecordedCommand<'_>> = record
                .iter()
                .map(|it| RecordedCommand {
                    time_ms: it.time_ms,
                    database: it.database,
                    words: it.words.iter().map(Vec::as_slice).collect(),
                })
                .collect();
            runtime.block_on(replay.apply(&borrowed)).unwrap_or_else(|error| panic!("{error}"));
        }
    }
    let local = Local::start(server, cores, listener);
    dataset::read(&mut local.client()).expect("the data can be read")
}

/// Removes the expiry of everything that could expire before it is compared.
fn persist_soon(client: &mut Client) {
    const SOON_MS: i64 = 60_000;
    for database in 0..16 {
        client.run(&format!("SELECT {database}"));
        let keys: Vec<Vec<u8>> =
            client.run("KEYS *").items().into_iter().filter_map(|key| Some(key.as_bytes()?.to_vec())).collect();
        for key in keys {
            let call = |client: &mut Client, words: &[&[u8]]| client.call(words).expect("a reply");
            if matches!(call(client, &[b"PTTL", &key]), Reply::Integer(0..SOON_MS)) {
                call(client, &[b"PERSIST", &key]);
            }
            if call(client, &[b"TYPE", &key]) == Reply::simple("hash") {
                let fields = call(client, &[b"HKEYS", &key]);
                for field in fields.items().into_iter().filter_map(Reply::as_bytes) {
                    call(client, &[b"HPERSIST", &key, b"FIELDS", b"1", field]);
                }
            }
        }
    }
}

#[test]
fn drawn_sequences_replay_to_the_same_data() {
    const SEQUENCES: u64 = 1500;
    let number = |variable: &str| env::var(variable).ok().and_then(|text| text.parse().ok());
    let first = number("OCHRE_SEED").unwrap_or(5_000_001);
    let sequences = number("OCHRE_SEQUENCES").unwrap_or(SEQUENCES);
    let mut recording = Recording::start();
    let (mut records, mut transactions) = (0, 0);
    let mut admin = recording.local.client();
    let table = CommandTable::read(&mut admin).expect("the server tells its commands");
    let writes = table.callable().filter(|command| command.flags.contains("write"));
    let only: Vec<String> = writes.map(|command| command.name.clone()).collect();
    let generator = Generator::new(Kind::subject(), &table, &table, None, &only);
    for seed in first..first + sequences {
        let mut clients = [recording.local.client(), recording.local.client()];
        for step in generator.sequence(seed) {
            clients[step.client - 1].call(&step.arguments).expect("a reply");
        }
        // The data is compared after every few sequences, so that a difference is found near its cause.
        if seed % 20 == 0 {
            persist_soon(&mut admin);
            recording.assert_replays(&format!("up to the sequence with the seed {seed}"));
            records += recording.records().len();
            transactions += recording.records().iter().filter(|record| record.len() > 2).count();
            recording.restart();
        }
    }
    assert!(records as u64 > sequences, "only {records} records were made");
    assert!(transactions > 0, "no transaction was recorded as one");
}

/// A hash may have more expired fields than a lookup removes. Then they are hidden, and a write to one of them treats it as new.
#[test]
fn writes_to_hidden_fields_replay_to_the_same_data() {
    const FIELDS: usize = 200;
    let recording = Recording::start();
    let mut client = recording.local.client();
    client.run("DEBUG SET-ACTIVE-EXPIRE 0");
    for key in ["set", "setnx", "incr", "incrbyfloat", "getdel", "expire", "copied", "renamed"] {
        let fields: Vec<String> = (0..FIELDS).map(|number| format!("f{number}")).collect();
        let pairs: String = fields.iter().map(|field| format!(" {field} 7")).collect();
        client.run(&format!("HSET {key} stays v{pairs}"));
        client.run(&format!("HPEXPIRE {key} 1 FIELDS {FIELDS} {}", fields.join(" ")));
    }
    poll::eventually("the fields expire", || client.run("HEXISTS renamed f199") == Reply::Integer(0));
    for line in [
        "HSET set f1 new",
        "HSETNX setnx f1 new",
        "HINCRBY incr f1 5",
        "HINCRBYFLOAT incrbyfloat f1 1.5",
        "HGETDEL getdel FIELDS 2 f1 stays",
        "HPEXPIRE expire 100000000 FIELDS 2 f1 stays",
        "HPERSIST expire FIELDS 1 stays",
        "COPY copied copy",
        "HSETNX copy f1 new",
        "RENAME renamed name",
        "HINCRBY name f2 1",
    ] {
        let reply = client.run(line);
        assert!(!reply.is_error(), "{line}: {reply}");
    }
    recording.assert_replays("hidden fields");
}

/// Converts a reply of TIME to milliseconds.
fn milliseconds(time: &Reply) -> u64 {
    let parts: Vec<u64> = time.items().into_iter().map(|part| part.to_text().parse().expect("a number")).collect();
    parts[0] * 1000 + parts[1] / 1000
}

/// Some removals are made by no write command. A lookup that finds a few expired fields removes them, even if its command then leaves the
/// batch. A key that expires while its transaction runs is removed before waiters are served.
#[test]
fn removals_outside_of_a_command_replay_to_the_same_data() {
    let recording = Recording::start();
    let mut client = recording.local.client();
    client.run("DEBUG SET-ACTIVE-EXPIRE 0");
    let pairs: String = (0..3000).map(|number| format!(" f{number} {number:064}")).collect();
    client.run(&format!("HSET large{pairs}"));
    client.run("HPEXPIRE large 1 FIELDS 3 f1 f2 f3");
    poll::eventually("the fields expire", || client.run("HEXISTS large f1") == Reply::Integer(0));
    // One more field, which is found expired by HGETALL.
    client.run("HPEXPIRE large 1 FIELDS 1 f4");
    let set = client.run("TIME");
    poll::eventually("it expires", || milliseconds(&client.run("TIME")) > milliseconds(&set) + 1);
    assert_eq!(client.run("HGETALL large").items().len(), 2 * 2996);

    let mut waiter = recording.local.client();
    waiter.send(&["BLPOP", "list", "0"]).expect("it is sent");
    poll::eventually("it waits", || client.run("INFO clients").to_text().contains("blocked_clients:1\r"));
    for line in ["MULTI", "RPUSH list x", "PEXPIRE list 20", "DEBUG SLEEP 0.05", "EXEC"] {
        assert!(!client.run(line).is_error());
    }
    let records = recording.records();
    let last = records.last().expect("there are records");
    assert_eq!(last.iter().map(|it| quote_command(&it.words)).collect::<Vec<_>>(), ["DEL list"]);
    assert!(client.run("INFO stats").to_text().contains("expired_keys:1\r"));
    recording.assert_replays("removals outside of a command");
}

/// SCAN and RANDOMKEY write nothing, but they remove the expired keys that they meet.
#[test]
fn removals_by_walks_are_recorded() {
    let recording = Recording::start();
    let mut client = recording.local.client();
    client.run("DEBUG SET-ACTIVE-EXPIRE 0");
    let mut expected: Vec<String> = Vec::new();
    for (walk, keys) in [("SCAN 0 COUNT 100000", 300), ("RANDOMKEY", 1), ("MULTI\nSCAN 0 COUNT 100000\nEXEC", 300)] {
        let database = expected.len() % 2;
        client.run(&format!("SELECT {database}"));
        for number in 0..keys {
            client.run(&format!("SET {}:{number} v PX 1", expected.len()));
        }
        let set = client.run("TIME");
        poll::eventually("the keys expire", || milliseconds(&client.run("TIME")) > milliseconds(&set) + 1);
        let prefix = expected.len();
        expected.extend((0..keys).map(|number| format!("[{database}] DEL {prefix}:{number}")));
        for line in walk.lines() {
            assert!(!client.run(line).is_error());
        }
        assert_eq!(client.run("DBSIZE"), Reply::Integer(0), "after {walk}");
    }
    let records = recording.records();
    let mut removals: Vec<String> = records
        .iter()
        .flatten()
        .filter(|it| it.words[0] == b"DEL")
        .map(|it| format!("[{}] {}", it.database, quote_command(&it.words)))
        .collect();
    removals.sort();
    expected.sort();
    assert_eq!(removals, expected);
    recording.assert_replays("removals by walks");
}

/// An EXEC is one record. The command of a waiter is a record of its own, after the record of the write that served the waiter.
#[test]
fn transactions_and_served_waiters_are_recorded_in_their_order() {
    let recording = Recording::start();
    let (mut client, mut waiter) = (recording.local.client(), recording.local.client());
    waiter.send(&["BLMOVE", "source", "destination", "LEFT", "RIGHT", "0"]).expect("it is sent");
    poll::eventually("it waits", || client.run("INFO clients").to_text().contains("blocked_clients:1\r"));
    for line in ["MULTI", "SET counter 1", "RPUSH source a b", "INCR counter", "EXEC", "DEL counter"] {
        assert!(!client.run(line).is_error());
    }
    assert_eq!(waiter.read_reply().expect("it is served"), Reply::bulk("a"));
    let shown = |record: &Vec<Recorded>| {
        record.iter().map(|it| quote_command(&it.words).to_lowercase()).collect::<Vec<_>>().join("; ")
    };
    let records: Vec<String> = recording.records().iter().map(shown).collect();
    assert_eq!(
        records,
        ["set counter 1; rpush source a b; incr counter", "lmove source destination left right", "del counter",]
    );
    recording.assert_replays("a served waiter");
}

/// A session that the test serves on its own thread.
struct Direct {
    core: Core,
    session: Session,
}

impl Direct {
    fn new(server: &Arc<Server>) -> Direct {
        let core = Core::new(0, server.clone());
        let client = ServerClient::new(server.clients.next_id(), String::new(), String::new(), -1, 0, 0);
        Direct {
            core,
            session: Session::new(Arc::new(client), Protocol::Resp2, ochre_server::users::Identity::of_server()),
        }
    }

    /// Runs inline commands, and returns the replies.
    fn run(&mut self, lines: &str) -> String {
        let (mut out, mut input) = (ReplyBuffer::default(), format!("{lines}\r\n").into_bytes());
        let mut turn = Turn {
            core: &self.core,
            config: &self.core.config(),
            session: &mut self.session,
            parser: &mut RequestParser::default(),
            out: &mut out,
            work: &mut Workspace::default(),
        };
        turn.serve(&mut input);
        String::from_utf8(out.take()).expect("replies of this test are text")
    }

    fn position(&self) -> u64 {
        self.session.position.number()
    }
}

/// Replies, pushed messages and the replies to blocked clients carry the position in the journal that they depend on.
#[test]
fn whatever_is_sent_carries_its_position() {
    let (server, _cores, _listener) = prepared(1);
    let memory = Memory::default();
    server.journal.keep(Arc::new(memory.clone()));
    let mut writer = Direct::new(&server);
    assert_eq!(writer.run("SET a 1\r\nINCR a\r\nSET b 1"), "+OK\r\n:2\r\n+OK\r\n");
    assert_eq!(writer.position(), 1, "a batch is one frame");
    assert_eq!(memory.0.lock().unwrap()[&1].len(), 3);

    let mut reader = Direct::new(&server);
    assert_eq!(reader.run("PING"), "+PONG\r\n");
    assert_eq!(reader.position(), 0, "a reply that depends on no data depends on no frame");
    assert_eq!(reader.run("GET a"), "$1\r\n2\r\n");
    assert_eq!(reader.position(), 1, "a read depends on what was written before it");

    let mut subscriber = Direct::new(&server);
    writer.run("CONFIG SET notify-keyspace-events KEA");
    writer.core.refresh_config();
    subscriber.run("SUBSCRIBE __keyevent@0__:del");
    let mut waiter = Direct::new(&server);
    assert_eq!(waiter.run("BLPOP list 0"), "");
    assert_eq!((waiter.position(), subscriber.position()), (1, 0));
    writer.run("MULTI\r\nRPUSH list x\r\nDEL a\r\nEXEC");
    assert_eq!(writer.position(), 2);
    let mut mail = ReplyBuffer::default();
    subscriber.session.take_mail(&mut mail);
    assert!(mail.starts_with(b"*3\r\n$7\r\nmessage\r\n"), "{}", mail.escape_ascii());
    assert_eq!(subscriber.position(), 2);
    // A message that a client publishes depends on what the client has done before, even within the same transaction.
    let mut listener = Direct::new(&server);
    listener.run("SUBSCRIBE news");
    writer.run("MULTI\r\nSET c 1\r\nPUBLISH news hot\r\nEXEC");
    let mut mail = ReplyBuffer::default();
    listener.session.take_mail(&mut mail);
    assert_eq!((writer.position(), listener.position()), (3, 3));
    match waiter.session.blocked.expect("it waits").wait.end() {
        Some(WaitEnd::Served(reply, position)) => {
            assert_eq!((&*reply, position.number()), (&b"*2\r\n$4\r\nlist\r\n$1\r\nx\r\n"[..], 2));
        }
        _ => panic!("the waiter was not served"),
    }
}
