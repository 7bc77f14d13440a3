//! Replay: runs the commands of a journal again, on a server that holds the data with which the journal began.
//!
//! Each command runs by the clock by which it ran before. Nothing is removed because it has expired, since each such removal was recorded
//! too. So the result is the same data, at whatever time the journal is replayed.

use std::{fmt, future::poll_fn, sync::Arc};

use ochre_keyspace::{AccessClock, ShardList, Visit};
use ochre_resp::{Args, Protocol, Span};

use super::{
    execute::{self, Access, Call, Ended},
    keys,
    locks::{self, Demand},
    lookup::{Lookup, lookup},
    serving, single,
};
use crate::{
    commands::{self, Command, table::Group},
    core::Core,
    journal::RecordedCommand,
    session::{Client, Session, transaction::Queued},
    users::Identity,
};

/// Applies records, one after another.
pub struct Replay<'c> {
    core: &'c Core,
    /// The session in which the commands run. It belongs to no connection.
    session: Session,
    /// Whether the records are those of a file, which does not say by which clock they ran.
    is_of_file: bool,
}

/// A record cannot be applied, since the journal does not belong to this data or to this server.
#[derive(Debug)]
pub struct ReplayError {
    /// The command and the reply to it.
    text: String,
}

impl fmt::Display for ReplayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A recorded command that was found in the table.
struct Found {
    time_ms: i64,
    database: usize,
    command: &'static Command,
    queued: Queued,
}

impl<'c> Replay<'c> {
    /// Begins a replay on a core.
    pub fn new(core: &'c Core) -> Replay<'c> {
        let client = Client::new(0, String::new(), String::new(), -1, core.index, 0);
        Replay {
            core,
            session: Session::new(Arc::new(client), Protocol::Resp2, Identity::of_server()),
            is_of_file: false,
        }
    }

    /// Begins a replay of a file, whose records have no time.
    ///
    /// Times in such records are absolute. Nothing in them may count as past, since the file says when it was removed. So the clock stands at
    /// the beginning of time, except for commands on streams: these compare the times of deliveries, and know no expiries.
    pub fn of_file(core: &'c Core) -> Replay<'c> {
        Replay { is_of_file: true, ..Replay::new(core) }
    }

    /// Applies a record as a whole. It waits while its keys are locked.
    ///
    /// # Errors
    /// If a command does not exist, or its reply is an error. The commands before it have been applied.
    pub async fn apply(&mut self, record: &[RecordedCommand<'_>]) -> Result<(), ReplayError> {
        let keyspace = &self.core.server.keyspace;
        let found = record.iter().map(|recorded| find(self.core, recorded)).collect::<Result<Vec<_>, _>>()?;
        let hashes = found.iter().flat_map(|found| &found.queued.hashed);
        let shards: ShardList = hashes.map(|&(_, hash)| keyspace.shard_of(hash) as u16).collect();
        let mut attempt = None;
        let mut locked = loop {
            let demand = Demand {
                database: 0,
                shards: shards.clone(),
                everything: found.iter().any(|found| single::needs_everything(&found.queued)),
                visit: Visit::Lasting,
                visit_written: &|_| {},
                is_paused: &|| false,
                is_stale: &|| false,
                may_write: &|| true,
            };
            match locks::lock(self.core, &self.core.config(), &mut attempt, demand) {
                Ok(locked) => break locked,
                Err(unavailable) => {
                    poll_fn(|cx| locks::poll_available(self.core, attempt.as_deref(), unavailable, cx)).await;
                }
            }
        };
        let now_ms = locked.now_ms();
        locked.set_removes_expired(false);
        let mark = locked.record_mark();
        let mut error = None;
        for Found { time_ms, database, command, queued } in &found {
            let time_ms = match self.is_of_file {
                true if command.spec.group != Group::Stream => 0,
                true => now_ms,
                false => *time_ms,
            };
            let access = if self.is_of_file {
                self.core.access_clock(&self.core.config(), now_ms)
            } else {
                AccessClock::lru(time_ms)
            };
            locked.set_clock(time_ms, access);
            self.session.select(*database);
            let (args, hashed) = (queued.args(), &queued.hashed);
            let call = Call { command, args, hashed, now_ms: time_ms, nested: true, shares_batch: false };
            let mut out = ochre_resp::ReplyBuffer::default();
            let ended = execute::run(self.core, &mut self.session, Access::Keys(&mut locked), call, &mut out);
            if !matches!(ended, Ended::Done) || out.starts_with(b"-") {
                error = Some(ReplayError { text: format!("{} was answered {}", shown(args), out.escape_ascii()) });
                break;
            }
        }
        // This server may keep a journal of its own, and have blocked clients.
        locked.end_record(mark);
        serving::serve(self.core, &mut locked);
        error.map_or(Ok(()), Err)
    }
}

/// Finds a recorded command in the table.
fn find(core: &Core, recorded: &RecordedCommand<'_>) -> Result<Found, ReplayError> {
    let buffer = recorded.words.concat();
    let mut start = 0;
    let span = |word: &&[u8]| {
        let span = Span { start, len: word.len() as u32 };
        start += span.len;
        span
    };
    let spans: Vec<Span> = recorded.words.iter().map(span).collect();
    let args = Args::new(&buffer, &spans);
    let Lookup::Command(command) = lookup(args, &[]) else {
        return Err(ReplayError { text: format!("{} is not a command", shown(args)) });
    };
    let mut hashed = Vec::new();
    keys::hash_into(&core.server.keyspace, command.spec, args, &mut hashed);
    let queued = Queued::new(command, args, &hashed);
    let command = commands::table().of(queued.command);
    Ok(Found { time_ms: recorded.time_ms, database: recorded.database, command, queued })
}

/// Returns the words of a command for an error message.
fn shown(args: Args<'_>) -> String {
    args.iter().map(|word| word.escape_ascii().to_string()).collect::<Vec<_>>().join(" ")
}
