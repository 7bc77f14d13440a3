//! A turn: what a core works with while it serves the requests of one connection, and why it stops.

use ochre_resp::{Args, RequestParser, Span};

use super::locks::Unavailable;
use crate::{
    commands::{Command, CommandError},
    config::Config,
    core::Core,
    session::Session,
};

/// See the module.
pub struct Turn<'t> {
    pub core: &'t Core,
    pub config: &'t Config,
    pub session: &'t mut Session,
    pub parser: &'t mut RequestParser,
    /// Replies are appended to it.
    pub out: &'t mut Vec<u8>,
    pub work: &'t mut Workspace,
}

/// Why a turn is over.
pub enum Next {
    /// All complete requests are answered. The next one is known to be at least this long, in bytes.
    Read { wanted: usize },
    /// There is more to serve, but other connections have their turn first.
    Yield,
    /// The next request cannot have its locks: go on when they are available.
    Unavailable(Unavailable),
    /// The session waits for something.
    Blocked,
    /// The connection ends, after what is written is sent.
    Close,
}

/// What a core reads into, cuts in and answers in. Its connections use it one after the other.
#[derive(Default)]
pub struct Scratch {
    pub input: Vec<u8>,
    pub output: Vec<u8>,
    pub work: Workspace,
}

/// Where requests are taken apart.
#[derive(Default)]
pub struct Workspace {
    /// The arguments of all requests of a batch, then of the one after it.
    pub(super) spans: Vec<Span>,
    /// Their keys: index among the request's arguments, and hash.
    pub(super) hashed: Vec<(u32, u64)>,
    pub(super) items: Vec<Item>,
    quoted: Vec<QuotedLine>,
}

/// A request of a batch.
pub(super) struct Item {
    pub(super) command: Option<&'static Command>,
    /// Its arguments among the spans, its keys among the hashes: each begins where the one before ends.
    pub(super) spans_end: u32,
    pub(super) hashed_end: u32,
    /// Where it ends in the input.
    pub(super) end: usize,
    pub(super) refusal: Option<CommandError>,
}

impl Item {
    /// Which argument is an element of its key's collection, 0 where none is.
    #[inline]
    pub(super) fn element(&self) -> usize {
        self.command.map_or(0, |command| command.spec.element.into())
    }
}

/// An inline command with quotes as it came, and where in the input it lies: cutting unescapes it in place.
struct QuotedLine {
    start: usize,
    line: Vec<u8>,
}

/// Spans beyond this number are given back after the request that needed them.
const SPANS_KEPT_MAX: usize = 64 * 1024;

impl Workspace {
    /// Forgets the batch before.
    pub(super) fn clear(&mut self) {
        self.spans.clear();
        self.spans.shrink_to(SPANS_KEPT_MAX);
        self.hashed.clear();
        self.items.clear();
        self.quoted.clear();
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

    /// Keeps an inline command that is about to be cut, if it has quotes.
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

    /// Makes requests that were cut but not run what they were, so that they can be cut again.
    pub(super) fn put_back(&mut self, parser: &mut RequestParser, input: &mut [u8]) {
        *parser = RequestParser::default();
        for QuotedLine { start, line } in self.quoted.drain(..) {
            input[start..start + line.len()].copy_from_slice(&line);
        }
    }
}
