//! A turn: a core serves the requests of one connection until there are none left or another connection must have its turn.

use ochre_resp::{Args, ReplyBuffer, RequestParser, Span};

use super::locks::Unavailable;
use crate::{
    commands::{Command, CommandError, Flags},
    config::Config,
    core::Core,
    session::Session,
};

/// What a core works with during a turn.
pub struct Turn<'t> {
    /// The core.
    pub core: &'t Core,
    /// The settings, which do not change during a turn.
    pub config: &'t Config,
    /// The session of the connection.
    pub session: &'t mut Session,
    /// The parser of the connection, which remembers how far an incomplete request was parsed.
    pub parser: &'t mut RequestParser,
    /// Replies are appended to it.
    pub out: &'t mut ReplyBuffer,
    /// Memory for parsing.
    pub work: &'t mut Workspace,
}

/// What the connection does next, after a turn.
pub enum Next {
    /// It reads on: all complete requests are answered.
    Read {
        /// The known length of the next request, in bytes. The request may be longer.
        wanted: usize,
    },
    /// It goes on after other connections have had their turns.
    Yield,
    /// It goes on when the locks of its next request are available.
    Unavailable(Unavailable),
    /// It goes on when the session is no longer blocked.
    Blocked,
    /// It ends, once the output is sent.
    Close,
}

/// The buffers of a core. One connection uses them at a time.
#[derive(Default)]
pub struct Scratch {
    /// Requests are read into it.
    pub input: Vec<u8>,
    /// Replies are written to it.
    pub output: ReplyBuffer,
    /// Memory for parsing.
    pub work: Workspace,
}

/// The parsed requests of a batch.
#[derive(Default)]
pub struct Workspace {
    /// The arguments of all requests of the batch, then those of the request after it.
    pub(super) spans: Vec<Span>,
    /// The keys of all requests of the batch: the index among the request's arguments, and the hash.
    pub(super) hashed: Vec<(u32, u64)>,
    /// The requests.
    pub(super) items: Vec<Item>,
    quoted: Vec<QuotedLine>,
}

/// A request of a batch.
pub(super) struct Item {
    /// `None` if the command is unknown.
    pub(super) command: Option<&'static Command>,
    /// Where its arguments end among the spans. They begin where those of the request before end.
    pub(super) spans_end: u32,
    /// Where its keys end among the hashes. They begin where those of the request before end.
    pub(super) hashed_end: u32,
    /// Where it ends in the input.
    pub(super) end: usize,
    /// The error to answer instead of running it.
    pub(super) refusal: Option<CommandError>,
}

impl Item {
    /// The index of the argument that is an element of its key's collection, or 0 if there is none.
    #[inline]
    pub(super) fn element(&self) -> usize {
        self.command.map_or(0, |command| command.spec.element.into())
    }
}

/// A copy of an inline command with quotes. Parsing unescapes such a line in place, so the copy is needed to parse it again.
struct QuotedLine {
    /// Where the line begins in the input.
    start: usize,
    line: Vec<u8>,
}

/// The most spans whose memory is kept after the request that needed them.
const SPANS_KEPT_MAX: usize = 64 * 1024;

impl Workspace {
    /// Makes room for the next batch.
    pub(super) fn clear(&mut self) {
        self.spans.clear();
        self.spans.shrink_to(SPANS_KEPT_MAX);
        self.hashed.clear();
        self.items.clear();
        self.quoted.clear();
    }

    /// Whether any request of the batch may write.
    pub(super) fn may_write(&self) -> bool {
        let may_write = |command: &Command| command.spec.flags.contains(Flags::WRITE);
        self.items.iter().any(|item| item.refusal.is_none() && item.command.is_some_and(may_write))
    }

    /// Visits the requests of the batch that are commands, with their arguments and keys.
    pub(super) fn visit(&self, input: &[u8], mut visit: impl FnMut(&'static Command, Args<'_>, &[(u32, u64)])) {
        let (mut span, mut key) = (0, 0);
        for item in &self.items {
            let (spans_end, hashed_end) = (item.spans_end as usize, item.hashed_end as usize);
            if let Some(command) = item.command {
                visit(command, Args::new(input, &self.spans[span..spans_end]), &self.hashed[key..hashed_end]);
            }
            (span, key) = (spans_end, hashed_end);
        }
    }

    /// Copies the inline command at `start`, which is about to be parsed, if it has quotes.
    #[inline]
    pub(super) fn keep_quoted(&mut self, input: &[u8], start: usize) {
        if input.get(start).is_some_and(|&byte| byte != b'*') {
            self.keep_quoted_line(input, start);
        }
    }

    #[cold]
    fn keep_quoted_line(&mut self, input: &[u8], start: usize) {
        let Some(len) = memchr::memchr(b'\n', &input[start..]) else { return };
        let line = &input[start..start + len];
        if memchr::memchr2(b'"', b'\'', line).is_some() {
            self.quoted.push(QuotedLine { start, line: line.to_vec() });
        }
    }

    /// Undoes parsing for requests that were not run, so that they can be parsed again.
    pub(super) fn put_back(&mut self, parser: &mut RequestParser, input: &mut [u8]) {
        *parser = RequestParser::default();
        for QuotedLine { start, line } in self.quoted.drain(..) {
            input[start..start + line.len()].copy_from_slice(&line);
        }
    }
}
