//! A client's line in CLIENT LIST: the fields of Redis in its order, then Valkey's `capa`.

use std::sync::atomic::Ordering;

use ochre_resp::{Args, Protocol};

use super::{Client, ClientFlags};
use crate::{label::CommandLabel, users::DEFAULT_USER};

/// The command that a client is running. It is known only for the client that asks for the line.
#[derive(Clone, Copy)]
pub struct Running<'a> {
    /// The command or subcommand.
    pub command: &'static CommandLabel,
    /// The whole request, beginning with the command's name.
    pub args: Args<'a>,
}

/// The letters of the flags, in the order in which CLIENT LIST shows them.
pub const FLAG_LETTERS: [(char, ClientFlags); 10] = [
    ('O', ClientFlags::MONITOR),
    ('P', ClientFlags::PUBSUB),
    ('x', ClientFlags::MULTI),
    ('b', ClientFlags::BLOCKED.union(ClientFlags::PAUSED)),
    ('d', ClientFlags::DIRTY),
    ('c', ClientFlags::CLOSING),
    ('U', ClientFlags::UNIX_SOCKET),
    ('e', ClientFlags::NO_EVICT),
    ('T', ClientFlags::NO_TOUCH),
    ('I', ClientFlags::IMPORT_SOURCE),
];

impl Client {
    /// The line, without a line end.
    pub fn description(&self, now_ms: i64) -> String {
        self.description_while(now_ms, None)
    }

    /// The line, without a line end, of a client that may be running a command.
    pub fn description_while(&self, now_ms: i64, running: Option<Running<'_>>) -> String {
        let figures = &self.figures;
        let details = self.details.lock();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let flags = self.flags();
        let seconds_since = |time_ms: i64| (now_ms - time_ms).max(0) / 1000;
        let multi =
            if flags.contains(ClientFlags::MULTI) { i64::from(figures.queued.load(Ordering::Relaxed)) } else { -1 };
        let command = running.map(|running| running.command).or_else(|| self.last_command());
        let (request_bytes, argument_bytes) = match running {
            Some(running) => (request_len(running.args), running.args.iter().map(<[u8]>::len).sum()),
            None => (figures.input_bytes.load(Ordering::Relaxed) as usize, 0),
        };
        let queued_bytes = figures.queued_bytes.load(Ordering::Relaxed);
        let waiting = figures.output_bytes.load(Ordering::Relaxed) + self.mailbox.bytes() as u64;
        let running_bytes = if running.is_some() { request_bytes + argument_bytes } else { 0 };
        let total = figures.memory_bytes.load(Ordering::Relaxed) + running_bytes as u64;
        let idle_s = if running.is_some() { 0 } else { seconds_since(self.last_active_ms()) };
        format!(
            "id={id} addr={address} laddr={local_address} fd={fd} name={name} age={age_s} idle={idle_s} flags={flags} db={db} \
             sub={sub} psub={psub} ssub={ssub} multi={multi} watch={watch} qbuf={request_bytes} qbuf-free=0 \
             argv-mem={argument_bytes} multi-mem={queued_bytes} rbs=0 rbp=0 obl=0 oll={oll} omem={waiting} tot-mem={total} \
             events={events} cmd={command} user={user} redir=-1 resp={resp} lib-name={lib_name} lib-ver={lib_ver} \
             io-thread={core} tot-net-in={net_in} tot-net-out={net_out} tot-cmds={commands} capa={capa}",
            id = self.id,
            address = self.address,
            local_address = self.local_address,
            fd = self.fd,
            name = text(&details.name),
            age_s = seconds_since(self.created_ms),
            flags = letters(flags),
            db = self.database(),
            sub = figures.channels.load(Ordering::Relaxed),
            psub = figures.patterns.load(Ordering::Relaxed),
            ssub = figures.shard_channels.load(Ordering::Relaxed),
            watch = figures.watched_keys.load(Ordering::Relaxed),
            oll = u8::from(waiting > 0),
            events = if waiting > 0 { "rw" } else { "r" },
            command = command.map_or("NULL", |command| &command.full_name),
            user = if details.user.is_empty() { text(DEFAULT_USER) } else { text(&details.user) },
            resp = if self.protocol() == Protocol::Resp3 { 3 } else { 2 },
            lib_name = text(&details.library_name),
            lib_ver = text(&details.library_version),
            core = self.core,
            net_in = figures.read_bytes.load(Ordering::Relaxed),
            net_out = figures.written_bytes.load(Ordering::Relaxed),
            commands = figures.commands.load(Ordering::Relaxed),
            capa = details.capabilities,
        )
    }
}

/// The letters of a client's flags, or `N` if it has none.
pub fn letters(flags: ClientFlags) -> String {
    let letters: String =
        FLAG_LETTERS.iter().filter(|(_, flag)| flags.intersects(*flag)).map(|(letter, _)| *letter).collect();
    if letters.is_empty() { "N".to_owned() } else { letters }
}

/// The length of a request on the wire, in bytes.
pub fn request_len(args: Args<'_>) -> usize {
    let digits = |number: usize| number.checked_ilog10().map_or(1, |power| power as usize + 1);
    let header = |number: usize| 1 + digits(number) + 2;
    header(args.len()) + args.iter().map(|arg| header(arg.len()) + arg.len() + 2).sum::<usize>()
}
