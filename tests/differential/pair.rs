//! Two servers that are sent the same commands: the server under test and a reference.

use std::io;
use std::time::Duration;

use ochre_testkit::client::encode;
use ochre_testkit::command_table::CommandTable;
use ochre_testkit::quoting::quote_command;
use ochre_testkit::{Client, Kind, Launch, Reply, Server, poll};

use crate::dataset;
use crate::generator::Step;
use crate::rules;
use crate::values;

/// The number of commands to send before their replies are read.
const CHUNK: usize = 64;

/// How long to wait for the end of a server whose connections have ended.
const CRASH_TIME: Duration = Duration::from_secs(2);

pub struct Pair {
    subject_launch: Launch,
    reference_launch: Launch,
    subject: Server,
    reference: Server,
    /// The reference's command table, by which the command of a step is found.
    pub table: CommandTable,
    pub subject_table: CommandTable,
    /// Connections that empty the servers and read their data. They last from sequence to sequence.
    inspectors: Option<[Client; 2]>,
}

/// Why a sequence failed.
#[derive(Clone, Debug)]
pub struct Difference {
    /// The step whose replies differ. Without one, the data differ afterwards, or a server has ended.
    pub step: Option<usize>,
    pub description: String,
    /// Failures of the same class, with the same command and the same kinds of replies, are taken for the same failure.
    pub class: String,
    /// Whether it takes a timeout to notice it, so that each attempt takes seconds.
    pub slow: bool,
}

/// The result of running a sequence.
pub struct Outcome {
    pub difference: Option<Difference>,
    /// The reference's replies, up to where the sequence stopped.
    pub expected: Vec<Reply>,
}

impl Pair {
    pub fn start(reference: Kind, threads: usize) -> Pair {
        let subject_launch = common(Launch::subject().threads(threads));
        let subject = subject_launch.clone().start();
        let reference_launch = common(Launch::new(reference));
        let reference = reference_launch.clone().start();
        let table = read_table(&reference);
        let subject_table = read_table(&subject);
        Pair { subject_launch, reference_launch, subject, reference, table, subject_table, inspectors: None }
    }

    pub fn reference_kind(&self) -> Kind {
        self.reference.kind()
    }

    /// Empties both servers, runs the steps on fresh connections and compares everything.
    pub fn run(&mut self, steps: &[Step]) -> Outcome {
        let mut expected = Vec::new();
        let difference = match self.try_run(steps, &mut expected) {
            Ok(difference) => difference,
            Err(failure) => {
                let description = self.explain(&failure);
                self.inspectors = None;
                let class = format!("connection {}", failure.class);
                // Any of the requests that were sent at once may have ended the server.
                let step = failure.step.filter(|_| failure.slow);
                Some(Difference { step, description, class, slow: failure.slow })
            }
        };
        Outcome { difference, expected }
    }

    fn explain(&mut self, failure: &ConnectionFailure) -> String {
        // A server that crashes closes its connections a moment before its process ends.
        let ends = !failure.slow && poll::until(CRASH_TIME, || (!self.subject.is_running()).then_some(())).is_some();
        let running = !ends && self.subject.is_running();
        let mut description = failure.description.clone();
        if !running || failure.description.contains("in time") {
            let state = if running { "hangs" } else { "has ended" };
            let log = self.subject.log();
            let tail: Vec<&str> = log.lines().rev().take(12).collect();
            description.push_str(&format!("\n  the server under test {state}; the last of its log:"));
            for line in tail.iter().rev() {
                description.push_str(&format!("\n    {line}"));
            }
            // If one server hangs, the other may hang too.
            self.subject = self.subject_launch.clone().start();
            self.reference = self.reference_launch.clone().start();
        }
        description
    }

    fn try_run(&mut self, steps: &[Step], expected: &mut Vec<Reply>) -> Result<Option<Difference>, ConnectionFailure> {
        self.empty()?;
        let clients = steps.iter().map(|step| step.client).max().unwrap_or(1);
        let mut sessions = Vec::new();
        for _ in 0..clients {
            let connect = |server: &Server| {
                connect_patiently(server).map_err(|error| ConnectionFailure::new(server, None, "connecting", &error))
            };
            sessions.push(Session { ours: connect(&self.subject)?, theirs: connect(&self.reference)?, queued: None });
        }
        let mut start = 0;
        while start < steps.len() {
            let client = steps[start].client;
            let length = steps[start..].iter().take(CHUNK).take_while(|step| step.client == client).count();
            let difference = self.run_chunk(&mut sessions[client - 1], steps, start..start + length, expected)?;
            if difference.is_some() {
                return Ok(difference);
            }
            start += length;
        }
        let [ours, theirs] = self.inspectors.as_mut().expect("emptying has connected them");
        let ours = dataset::read(ours)
            .map_err(|error| ConnectionFailure::new(&self.subject, None, "reading the data set", &error))?;
        let theirs = dataset::read(theirs)
            .map_err(|error| ConnectionFailure::new(&self.reference, None, "reading the data set", &error))?;
        let with_digests = self.subject_table.get("debug").is_some();
        Ok(dataset::difference(&ours, &theirs, self.reference_kind(), with_digests).map(|description| {
            // The words before the values are the kind of the difference.
            let what = description.split(['\n', ':']).next().unwrap_or_default();
            let what =
                what.split(" of database").last().unwrap_or_default().trim_start_matches([' ', '0', '1', '2', '5']);
            let last = steps.last().map(|step| rules::name_of(&self.table, &step.arguments)).unwrap_or_default();
            Difference { step: None, class: format!("{last}: data set {what}"), description, slow: false }
        }))
    }

    fn empty(&mut self) -> Result<(), ConnectionFailure> {
        let fresh = self.inspectors.is_none();
        let [ours, theirs] = match &mut self.inspectors {
            Some(inspectors) => inspectors,
            none => {
                let connect = |server: &Server| {
                    connect_patiently(server)
                        .map_err(|error| ConnectionFailure::new(server, None, "connecting", &error))
                };
                none.insert([connect(&self.subject)?, connect(&self.reference)?])
            }
        };
        let settings = values::SETTINGS.iter().flat_map(|(name, value)| [*name, *value]);
        let settings: Vec<&str> = ["CONFIG", "SET"].into_iter().chain(settings).collect();
        for (client, server) in [(ours, &self.subject), (theirs, &self.reference)] {
            for command in [&["FLUSHALL"][..], &settings] {
                let reply = client
                    .call(command)
                    .map_err(|error| ConnectionFailure::new(server, None, "emptying between sequences", &error))?;
                assert!(
                    reply == Reply::ok(),
                    "{} answers {} with {reply}{}",
                    server.kind().name(),
                    command[0],
                    if fresh { " on a fresh connection" } else { "" }
                );
            }
        }
        Ok(())
    }

    fn run_chunk(
        &self,
        session: &mut Session,
        steps: &[Step],
        range: std::ops::Range<usize>,
        expected: &mut Vec<Reply>,
    ) -> Result<Option<Difference>, ConnectionFailure> {
        let mut bytes = Vec::new();
        for step in &steps[range.clone()] {
            if step.inline {
                bytes.extend_from_slice(quote_command(&step.arguments).as_bytes());
                bytes.extend_from_slice(b"\r\n");
            } else {
                encode(&step.arguments, &mut bytes);
            }
        }
        let failed = |server: &Server, step: usize, error: &io::Error| {
            ConnectionFailure::new(server, Some(step), &rules::name_of(&self.table, &steps[step].arguments), error)
        };
        session.ours.send_bytes(&bytes).map_err(|error| failed(&self.subject, range.start, &error))?;
        session.theirs.send_bytes(&bytes).map_err(|error| failed(&self.reference, range.start, &error))?;
        for index in range {
            let theirs = session.theirs.read_reply().map_err(|error| failed(&self.reference, index, &error))?;
            let ours = session.ours.read_reply();
            if ours.is_err() {
                expected.push(theirs);
                return Err(failed(&self.subject, index, &ours.expect_err("it is an error")));
            }
            let ours = ours.expect("the reply was read");
            let difference = self.compare(session, &steps[index].arguments, &ours, &theirs);
            expected.push(theirs);
            if let Some((name, description)) = difference {
                let class = format!("{name}: {} instead of {}", shape(&ours), shape(&expected[expected.len() - 1]));
                return Ok(Some(Difference { step: Some(index), description, class, slow: false }));
            }
        }
        Ok(None)
    }

    /// The name of the command whose replies differ, and a description. For EXEC, that is the queued command.
    fn compare(
        &self,
        session: &mut Session,
        arguments: &[Vec<u8>],
        ours: &Reply,
        theirs: &Reply,
    ) -> Option<(String, String)> {
        let name = rules::name_of(&self.table, arguments);
        let describe = |arguments: &[Vec<u8>], ours: &Reply, theirs: &Reply| {
            format!("{}\n  Ochre:     {ours}\n  reference: {theirs}", quote_command(arguments))
        };
        let queued = session.queued.take();
        session.queued = match (theirs, name.as_str()) {
            (Reply::Simple(text), "multi") if text == b"OK" => Some(Vec::new()),
            (_, "exec" | "discard" | "reset") if !theirs.is_error() => None,
            (Reply::Error(text), "exec") if text.starts_with(b"EXECABORT") => None,
            (Reply::Simple(text), _) if text == b"QUEUED" => queued.clone().map(|mut queued| {
                queued.push(arguments.to_vec());
                queued
            }),
            _ => queued.clone(),
        };
        if name == "exec"
            && let (Reply::Array(ours), Reply::Array(theirs), Some(queued)) = (ours, theirs, queued)
            && ours.len() == theirs.len()
            && theirs.len() == queued.len()
        {
            return queued.iter().zip(ours.iter().zip(theirs)).find_map(|(arguments, (ours, theirs))| {
                let name = rules::name_of(&self.table, arguments);
                (!rules::same(&name, arguments, self.reference_kind(), ours, theirs))
                    .then(|| (name, format!("in EXEC: {}", describe(arguments, ours, theirs))))
            });
        }
        (!rules::same(&name, arguments, self.reference_kind(), ours, theirs))
            .then(|| (name, describe(arguments, ours, theirs)))
    }
}

/// The time after which a server counts as hanging. No command that is drawn takes long.
const REPLY_TIMEOUT: Duration = Duration::from_secs(4);

fn connect_patiently(server: &Server) -> io::Result<Client> {
    let client = Client::connect(server.port())?;
    client.set_timeout(REPLY_TIMEOUT)?;
    Ok(client)
}

struct Session {
    ours: Client,
    theirs: Client,
    /// The commands queued since MULTI.
    queued: Option<Vec<Vec<Vec<u8>>>>,
}

struct ConnectionFailure {
    step: Option<usize>,
    description: String,
    class: String,
    slow: bool,
}

impl ConnectionFailure {
    fn new(server: &Server, step: Option<usize>, doing: &str, error: &io::Error) -> ConnectionFailure {
        let class = format!("{} {doing}", server.kind().name());
        ConnectionFailure {
            step,
            description: format!("{class}: {error}"),
            class,
            slow: error.kind() == io::ErrorKind::TimedOut,
        }
    }
}

/// Adds the settings that make both servers answer alike and keep random offsets from filling the memory. `values::SETTINGS` are set later.
fn common(launch: Launch) -> Launch {
    launch.directive("enable-debug-command", "yes").directive("proto-max-bulk-len", "1mb")
}

fn read_table(server: &Server) -> CommandTable {
    CommandTable::read(&mut server.client())
        .unwrap_or_else(|error| panic!("{} does not report its command table: {error}", server.kind().name()))
}

/// The kind of a reply, with the first words of an error.
fn shape(reply: &Reply) -> String {
    match reply {
        Reply::Error(text) => String::from_utf8_lossy(text).split([' ', '\'']).take(6).collect::<Vec<_>>().join(" "),
        other => format!("{other:?}").split(['(', ' ', '{', '[']).next().unwrap_or_default().to_string(),
    }
}
