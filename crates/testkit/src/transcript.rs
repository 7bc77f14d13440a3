//! Transcripts: tests as text. A transcript is a conversation of clients with a server: commands, and the expected replies.
//!
//! ```text
//! # A comment.
//! @ threads 4                     a directive of the server, before the first command
//! > SET k "a b\x00"               a command, quoted as in redis-cli …
//! +OK                             … and its reply
//! > GET k
//! "a b\x00"
//! > MGET k missing
//! ["a b\x00", $-1]
//! 2> SUBSCRIBE news               another client; `>` is client 1
//! ["subscribe", "news", :1]
//! > PUBLISH news hello
//! :1
//! 2< ["message", "news", "hello"] a push message, or a reply that was not read yet
//! 1> SLOW                         without a reply below, the reply is not read now …
//! 1< +OK                          … but here
//! 1~ BLPOP list 0                 a command that blocks: the next line is sent when INFO counts the client as blocked
//! = GET k                         an inline command: the bytes of the line as they are (`2=` for client 2)
//! "a b\x00"
//! 2!                              the server has closed this client's connection
//! ```
//!
//! Replies: `+simple` `-ERR error` `:integer` `"bulk"` `$-1` `*-1` `_` (the three nulls) `[array]` `~[set]` `push[push]`
//! `{map => value}` `,double` `#t` `#f` `(bignumber` `=txt:"verbatim"`. A reply extends over several lines until its brackets are closed.
//! `...` matches any reply or element; as the last element of an array, it matches any number of elements.
//! At the end of a transcript, no client may have received more than was read.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{env, fs, io};

use crate::client::{Client, encode};
use crate::reply::Reply;
use crate::server::{Launch, Server};
use crate::{poll, quoting};

/// How long to wait at the end of a transcript for messages that should not come.
const SILENCE: Duration = Duration::from_millis(5);

/// A parsed transcript.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transcript {
    /// The names and the values of the server's directives.
    pub directives: Vec<(String, String)>,
    /// The events, in order.
    pub entries: Vec<Entry>,
}

/// An event of a transcript.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The number of the line in the text; 0 if the entry was not parsed.
    pub line: usize,
    /// The number of the client.
    pub client: usize,
    /// The event.
    pub event: Event,
    /// The expected reply. `None`: the reply is not read now.
    pub expected: Option<Pattern>,
}

/// What happens in an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A comment.
    Comment(String),
    /// The client sends a command.
    Command(Vec<Vec<u8>>),
    /// The client sends an inline command: the bytes of the line.
    Inline(Vec<u8>),
    /// The client sends a command that blocks.
    Waits(Vec<Vec<u8>>),
    /// The client reads a push message, or a reply that was not read yet.
    Receive,
    /// The server has closed the client's connection.
    Closed,
}

/// An expected reply, which may have gaps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// Any reply.
    Any,
    /// This reply.
    Exact(Reply),
    /// An aggregate with gaps.
    Items {
        /// An empty aggregate of the expected kind.
        shell: Reply,
        /// The elements; of a map, keys and values by turns.
        items: Vec<Pattern>,
        /// Whether more elements may follow.
        open: bool,
    },
}

impl Pattern {
    /// Returns whether a reply is as expected.
    pub fn matches(&self, reply: &Reply) -> bool {
        match self {
            Pattern::Any => true,
            Pattern::Exact(expected) => expected == reply,
            Pattern::Items { shell, items, open } => {
                let found = reply.items();
                std::mem::discriminant(shell) == std::mem::discriminant(reply)
                    && (found.len() == items.len() || (*open && found.len() > items.len()))
                    && items.iter().zip(found).all(|(pattern, item)| pattern.matches(item))
            }
        }
    }
}

/// Runs a transcript against a new server under test.
///
/// # Panics
/// If a reply is not as expected.
#[track_caller]
pub fn check(text: &str) {
    if let Err(failure) = check_against(text, Launch::subject()) {
        panic!("{failure}");
    }
}

/// Runs all transcripts (`*.txt`) of some folders, each against a new server.
///
/// # Panics
/// If a transcript fails. The message names all that do.
#[track_caller]
pub fn check_folders(folders: &[PathBuf]) {
    let mut failures = Vec::new();
    let mut count = 0;
    for path in folders.iter().flat_map(|folder| in_folder(folder)) {
        count += 1;
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        if let Err(failure) = check_against(&text, Launch::subject()) {
            failures.push(format!("{}: {failure}", path.display()));
        }
    }
    assert!(failures.is_empty(), "{} of {count} transcripts fail:\n{}", failures.len(), failures.join("\n"));
}

/// Returns the paths of the transcripts in a folder.
pub fn in_folder(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "txt"));
    paths.sort();
    paths
}

/// Runs a transcript against a new server. The error is a message for people.
pub fn check_against(text: &str, mut launch: Launch) -> Result<(), String> {
    let transcript = Transcript::parse(text)?;
    for (name, value) in &transcript.directives {
        launch = match name.as_str() {
            "threads" => launch.threads(value.parse().map_err(|_| format!("threads wants a number, not {value}"))?),
            _ => launch.directive(name, value),
        };
    }
    let server = launch.start();
    transcript.run(&server).map_err(|failure| {
        // The log says nothing about most wrong replies, but it does about a server that has ended.
        let log = server.log();
        let lines: Vec<&str> = log.lines().collect();
        let tail = lines[lines.len().saturating_sub(4)..].join("\n    ");
        format!("{failure}\n  the end of the server's log:\n    {tail}")
    })
}

impl Transcript {
    /// Parses a transcript. The error is a message for people, with the number of the line.
    pub fn parse(text: &str) -> Result<Transcript, String> {
        let mut transcript = Transcript { directives: Vec::new(), entries: Vec::new() };
        let mut lines = text.lines().enumerate().peekable();
        while let Some((index, line)) = lines.next() {
            let at = |error: String| format!("line {}: {error}", index + 1);
            let line = line.trim();
            if line.is_empty() {
                continue;
            }
            if let Some(comment) = line.strip_prefix('#')
                && (comment.is_empty() || comment.starts_with(' '))
            {
                transcript.add(index, 1, Event::Comment(comment.trim().into()), None);
                continue;
            }
            if let Some(directive) = line.strip_prefix("@ ") {
                let (name, value) = directive.trim().split_once(' ').unwrap_or((directive.trim(), ""));
                transcript.directives.push((name.into(), value.trim().into()));
                continue;
            }
            if let Some((client, sign, rest)) = prompt(line) {
                match sign {
                    '>' => {
                        let arguments = quoting::split(rest.as_bytes()).map_err(at)?;
                        transcript.add(index, client, Event::Command(arguments), None);
                    }
                    '~' => {
                        let arguments = quoting::split(rest.as_bytes()).map_err(at)?;
                        transcript.add(index, client, Event::Waits(arguments), None);
                    }
                    '=' => transcript.add(index, client, Event::Inline(rest.into()), None),
                    '!' => transcript.add(index, client, Event::Closed, None),
                    _ => {
                        let reply = gather(rest, &mut lines).map_err(at)?;
                        transcript.add(index, client, Event::Receive, Some(reply));
                    }
                }
                continue;
            }
            let reply = gather(line, &mut lines).map_err(at)?;
            match transcript.entries.last_mut() {
                Some(entry)
                    if entry.expected.is_none() && matches!(entry.event, Event::Command(_) | Event::Inline(_)) =>
                {
                    entry.expected = Some(reply);
                }
                _ => return Err(at(format!("a reply without a command: {line}"))),
            }
        }
        Ok(transcript)
    }

    fn add(&mut self, index: usize, client: usize, event: Event, expected: Option<Pattern>) {
        self.entries.push(Entry { line: index + 1, client, event, expected });
    }

    /// Runs the transcript against a server that is running already.
    pub fn run(&self, server: &Server) -> Result<(), String> {
        let mut clients: BTreeMap<usize, Client> = BTreeMap::new();
        for entry in &self.entries {
            if matches!(entry.event, Event::Comment(_)) {
                continue;
            }
            let blocked_before = entry.blocked_clients(server);
            let client = clients.entry(entry.client).or_insert_with(|| server.client());
            if let Err(why) = entry.run(client).and_then(|()| entry.wait_until_blocked(server, blocked_before)) {
                return Err(format!("line {}: {}{why}", entry.line, entry.title()));
            }
        }
        for (number, mut client) in clients {
            match client.read_reply_within(SILENCE) {
                Ok(Some(reply)) => {
                    return Err(format!("at the end, client {number} had received another message: {reply}"));
                }
                Ok(None) => {}
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {}
                Err(error) => return Err(format!("at the end, client {number}: {error}")),
            }
        }
        Ok(())
    }

    /// Returns the transcript as text, which [`Transcript::parse`] parses.
    pub fn print(&self) -> String {
        let mut text = String::new();
        for (name, value) in &self.directives {
            writeln!(text, "@ {name} {value}").expect("writing to a string cannot fail");
        }
        for entry in &self.entries {
            text.push_str(&entry.title());
            if let Some(expected) = &entry.expected {
                writeln!(text, "{}", expected.print()).expect("writing to a string cannot fail");
            }
        }
        text
    }
}

impl Entry {
    /// Makes an entry of a command, and the reply that it must get.
    pub fn command(client: usize, arguments: Vec<Vec<u8>>, expected: Option<Reply>) -> Entry {
        Entry { line: 0, client, event: Event::Command(arguments), expected: expected.map(Pattern::Exact) }
    }

    fn run(&self, client: &mut Client) -> Result<(), String> {
        match &self.event {
            Event::Comment(_) | Event::Receive => {}
            Event::Command(arguments) | Event::Waits(arguments) => {
                let mut bytes = Vec::new();
                encode(arguments, &mut bytes);
                client.send_bytes(&bytes).map_err(|error| error.to_string())?;
            }
            Event::Inline(line) => {
                client.send_bytes(&[line, &b"\r\n"[..]].concat()).map_err(|error| error.to_string())?;
            }
            Event::Closed => {
                let left = client.read_to_end().map_err(|error| format!("still open: {error}"))?;
                return if left.is_empty() {
                    Ok(())
                } else {
                    Err(format!("before the end came {}", quoting::quote(&left)))
                };
            }
        }
        let Some(expected) = &self.expected else {
            return Ok(());
        };
        match client.read_reply() {
            Ok(reply) if expected.matches(&reply) => Ok(()),
            Ok(reply) => Err(format!("expected: {}\n  received: {reply}", expected.print())),
            Err(error) => Err(format!("expected: {}\n  but {error}", expected.print())),
        }
    }

    /// Returns the number of blocked clients, if this entry is a command that blocks.
    fn blocked_clients(&self, server: &Server) -> Option<usize> {
        matches!(self.event, Event::Waits(_)).then(|| blocked_clients(server))
    }

    fn wait_until_blocked(&self, server: &Server, before: Option<usize>) -> Result<(), String> {
        let Some(before) = before else { return Ok(()) };
        match poll::until(poll::PATIENCE, || (blocked_clients(server) > before).then_some(())) {
            Some(()) => Ok(()),
            None => Err("the command does not block".into()),
        }
    }

    /// Returns the line of the command, or the prompt of the client that receives.
    fn title(&self) -> String {
        let number = if self.client == 1 { String::new() } else { self.client.to_string() };
        match &self.event {
            Event::Comment(text) => format!("# {text}\n"),
            Event::Command(arguments) => format!("{number}> {}\n", quoting::quote_command(arguments)),
            Event::Waits(arguments) => format!("{number}~ {}\n", quoting::quote_command(arguments)),
            Event::Inline(line) => format!("{number}= {}\n", String::from_utf8_lossy(line)),
            Event::Receive => format!("{}< ", self.client),
            Event::Closed => format!("{}!\n", self.client),
        }
    }
}

impl Pattern {
    fn print(&self) -> String {
        match self {
            Pattern::Any => "...".into(),
            Pattern::Exact(reply) => reply.to_string(),
            Pattern::Items { shell, items, open } => {
                let mut parts: Vec<String> = items.iter().map(Pattern::print).collect();
                if matches!(shell, Reply::Map(_)) {
                    parts = parts.chunks(2).map(|pair| pair.join(" => ")).collect();
                }
                if *open {
                    parts.push("...".into());
                }
                let parts = parts.join(", ");
                match shell {
                    Reply::Map(_) => format!("{{{parts}}}"),
                    Reply::Set(_) => format!("~[{parts}]"),
                    Reply::Push(_) => format!("push[{parts}]"),
                    _ => format!("[{parts}]"),
                }
            }
        }
    }
}

/// Returns the number of blocked clients in INFO.
fn blocked_clients(server: &Server) -> usize {
    let info = server.client().run("INFO clients");
    let text = info.to_text();
    let figure = text.lines().find_map(|line| line.strip_prefix("blocked_clients:"));
    figure.and_then(|figure| figure.trim().parse().ok()).expect("INFO has the number of blocked clients")
}

/// Parses a prompt such as `2> rest`: the client, the sign, and the rest of the line.
fn prompt(line: &str) -> Option<(usize, char, &str)> {
    let digits = line.bytes().take_while(u8::is_ascii_digit).count();
    let client = if digits == 0 { 1 } else { line[..digits].parse().ok()? };
    let rest = &line[digits..];
    let sign = rest.chars().next()?;
    let rest = &rest[1..];
    match sign {
        '!' if rest.is_empty() => Some((client, sign, rest)),
        '>' | '<' | '=' | '~' if rest.starts_with(' ') => Some((client, sign, &rest[1..])),
        _ => None,
    }
}

/// Parses a reply that begins in `line` and may extend over the next lines.
fn gather<'a>(line: &str, lines: &mut impl Iterator<Item = (usize, &'a str)>) -> Result<Pattern, String> {
    let mut text = line.trim().to_string();
    loop {
        let mut notation = Notation { rest: text.as_bytes() };
        match notation.value(true) {
            Ok(pattern) => {
                let rest = notation.rest.trim_ascii();
                return if rest.is_empty() {
                    Ok(pattern)
                } else {
                    Err(format!("after a reply stands {}", quoting::quote(rest)))
                };
            }
            Err(NotationError::Unfinished) => match lines.next() {
                Some((_, line)) => {
                    text.push(' ');
                    text.push_str(line.trim());
                }
                None => return Err(format!("a bracket is not closed: {text}")),
            },
            Err(NotationError::Wrong(why)) => return Err(format!("{why} in {text}")),
        }
    }
}

/// Why a reply cannot be parsed.
enum NotationError {
    /// The reply continues in the next line.
    Unfinished,
    /// The text is no reply.
    Wrong(String),
}

impl From<String> for NotationError {
    fn from(why: String) -> NotationError {
        NotationError::Wrong(why)
    }
}

/// A parser of the notation of replies.
struct Notation<'a> {
    rest: &'a [u8],
}

impl Notation<'_> {
    /// Skips white space and a token. Returns whether the token was there.
    fn take(&mut self, token: &str) -> bool {
        self.rest = self.rest.trim_ascii_start();
        match self.rest.strip_prefix(token.as_bytes()) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn value(&mut self, top: bool) -> Result<Pattern, NotationError> {
        self.rest = self.rest.trim_ascii_start();
        let exact = |reply| Ok(Pattern::Exact(reply));
        if self.rest.is_empty() {
            return Err(NotationError::Unfinished);
        }
        if self.take("...") {
            return Ok(Pattern::Any);
        }
        for (open, close, shell) in [
            ("[", "]", Reply::Array(Vec::new())),
            ("~[", "]", Reply::Set(Vec::new())),
            ("push[", "]", Reply::Push(Vec::new())),
            ("{", "}", Reply::Map(Vec::new())),
        ] {
            if self.take(open) {
                return self.items(shell, close);
            }
        }
        if self.rest.starts_with(b"\"") {
            let (text, rest) = quoting::unquote(self.rest)?;
            self.rest = rest;
            return exact(Reply::Bulk(text));
        }
        for (text, reply) in [
            ("$-1", Reply::NullBulk),
            ("*-1", Reply::NullArray),
            ("#t", Reply::Boolean(true)),
            ("#f", Reply::Boolean(false)),
        ] {
            if self.take(text) {
                return exact(reply);
            }
        }
        let (sign, rest) = (self.rest[0], &self.rest[1..]);
        self.rest = rest;
        match sign {
            b'+' => exact(Reply::Simple(self.word(top)?)),
            b'-' => exact(Reply::Error(self.word(top)?)),
            b',' => exact(Reply::Double(self.word(false)?)),
            b'(' => exact(Reply::BigNumber(self.word(false)?)),
            b'_' => exact(Reply::Null),
            b':' => {
                let text = self.word(false)?;
                let number = std::str::from_utf8(&text).ok().and_then(|text| text.parse().ok());
                exact(Reply::Integer(number.ok_or_else(|| format!("no integer: {}", quoting::quote(&text)))?))
            }
            b'=' => {
                let Some((format, rest)) = self.rest.split_first_chunk::<3>() else {
                    return Err(String::from("a verbatim string lacks its format").into());
                };
                let Some(text) = rest.strip_prefix(b":").filter(|text| text.starts_with(b"\"")) else {
                    return Err(String::from("a verbatim string is =txt:\"…\"").into());
                };
                let (text, rest) = quoting::unquote(text)?;
                let format = *format;
                self.rest = rest;
                exact(Reply::Verbatim { format, text })
            }
            _ => Err(format!("no reply begins with {}", quoting::quote(&[sign])).into()),
        }
    }

    /// Parses a word, bare or quoted. `top` says that a bare word extends to the end of the line.
    fn word(&mut self, top: bool) -> Result<Vec<u8>, NotationError> {
        if self.rest.starts_with(b"\"") {
            let (text, rest) = quoting::unquote(self.rest)?;
            self.rest = rest;
            return Ok(text);
        }
        let stops = |at: usize| b",]}".contains(&self.rest[at]) || self.rest[at..].starts_with(b" =>");
        let end =
            if top { self.rest.len() } else { (0..self.rest.len()).find(|at| stops(*at)).unwrap_or(self.rest.len()) };
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        Ok(word.trim_ascii_end().to_vec())
    }

    fn items(&mut self, shell: Reply, close: &str) -> Result<Pattern, NotationError> {
        let mut items = Vec::new();
        let mut open = false;
        loop {
            if self.take(close) {
                break;
            }
            let item = self.value(false)?;
            if matches!(shell, Reply::Map(_)) && item != Pattern::Any {
                if !self.take("=>") {
                    return Err(if self.rest.is_empty() {
                        NotationError::Unfinished
                    } else {
                        NotationError::Wrong("a map's key lacks its =>".into())
                    });
                }
                items.push(item);
                items.push(self.value(false)?);
            } else {
                items.push(item);
            }
            if !self.take(",") {
                if self.take(close) {
                    break;
                }
                return Err(if self.rest.is_empty() {
                    NotationError::Unfinished
                } else {
                    NotationError::Wrong("elements want a comma between them".into())
                });
            }
        }
        if items.last() == Some(&Pattern::Any) {
            // `[...]` matches any number of elements, and `[..., ...]` at least one.
            items.pop();
            open = true;
        }
        let exact: Option<Vec<Reply>> = items
            .iter()
            .map(|item| match item {
                Pattern::Exact(reply) => Some(reply.clone()),
                _ => None,
            })
            .collect();
        Ok(match (exact, open) {
            (Some(items), false) => Pattern::Exact(match shell {
                Reply::Map(_) => {
                    let mut items = items.into_iter();
                    let mut pairs = Vec::new();
                    while let (Some(key), Some(value)) = (items.next(), items.next()) {
                        pairs.push((key, value));
                    }
                    Reply::Map(pairs)
                }
                Reply::Set(_) => Reply::Set(items),
                Reply::Push(_) => Reply::Push(items),
                _ => Reply::Array(items),
            }),
            _ => Pattern::Items { shell, items, open },
        })
    }
}

/// Rewrites a transcript with the replies of the server under test, and keeps its commands and comments. So a transcript is recorded from a
/// reference server, with `OCHRE_SUBJECT=redis OCHRE_RECORD=1`.
pub fn record(path: &Path) -> Result<(), String> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let mut transcript = Transcript::parse(&text)?;
    let mut launch = Launch::subject();
    for (name, value) in &transcript.directives {
        launch = launch.directive(name, value);
    }
    let server = launch.start();
    let mut clients: BTreeMap<usize, Client> = BTreeMap::new();
    for entry in &mut transcript.entries {
        if matches!(entry.event, Event::Comment(_) | Event::Closed) {
            continue;
        }
        let blocked_before = entry.blocked_clients(&server);
        let client = clients.entry(entry.client).or_insert_with(|| server.client());
        let expected = entry.expected.take();
        let waits = entry.run(client).and_then(|()| entry.wait_until_blocked(&server, blocked_before));
        waits.map_err(|why| format!("line {}: {}{why}", entry.line, entry.title()))?;
        if let Some(expected) = expected {
            let reply = client.read_reply().map_err(|error| error.to_string())?;
            entry.expected = Some(if expected == Pattern::Any { expected } else { Pattern::Exact(reply) });
        }
    }
    fs::write(path, transcript.print()).map_err(|error| format!("{}: {error}", path.display()))
}

/// Returns whether transcripts should be recorded instead of checked: whether the environment variable `OCHRE_RECORD` is set.
pub fn recording() -> bool {
    env::var_os("OCHRE_RECORD").is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_printed_transcript_reads_back() {
        let text = r##"@ threads 4
# Every kind of reply.
> SET k "a b\x00"
+OK
> GET #k
"a b\x00"
> EVAL x 0
-ERR some, error]
2> LOLWUT
=txt:"hi\n"
> MGET a b
["a", $-1, *-1, _, :5, #t, ,1.5, (99, +"a, b", -ERR x, {"k" => ~[:1]}, []]
~ BLPOP x 0
2> RPUSH x 1
:1
1< ["x", "1"]
= PING
+PONG
2!
"##;
        let transcript = Transcript::parse(text).unwrap();
        assert_eq!(transcript.print(), text);
        assert_eq!(Transcript::parse(&transcript.print()).unwrap().print(), text);
    }

    #[test]
    fn long_replies_break_and_join() {
        let items: Vec<Reply> = (0..60).map(Reply::Integer).collect();
        let reply = Reply::Array(vec![Reply::Array(items), Reply::Map(vec![(Reply::bulk("k"), Reply::NullBulk)])]);
        let printed = format!("> X\n{reply}\n> Y\n");
        assert!(printed.lines().count() > 10);
        let transcript = Transcript::parse(&printed).unwrap();
        assert_eq!(transcript.entries[0].expected, Some(Pattern::Exact(reply)));
        assert_eq!(transcript.entries.len(), 2);
    }

    #[test]
    fn gaps_match_any_elements() {
        let pattern =
            |text: &str| Transcript::parse(&format!("> X\n{text}")).unwrap().entries[0].expected.clone().unwrap();
        let reply = Reply::Array(vec![Reply::Integer(1), Reply::bulk("a"), Reply::Null]);
        assert!(pattern("...").matches(&reply));
        assert!(pattern("[:1, ...]").matches(&reply));
        assert!(pattern("[:1, ..., _]").matches(&reply));
        assert!(!pattern("[:2, ...]").matches(&reply));
        assert!(!pattern("~[:1, ...]").matches(&reply));
        assert!(!pattern("[:1, ..., _, _]").matches(&reply));
    }

    #[test]
    fn mistakes_are_named_with_their_line() {
        assert_eq!(Transcript::parse("> GET a\n\n?\n"), Err("line 3: no reply begins with \"?\" in ?".into()));
        assert_eq!(Transcript::parse(":1").unwrap_err(), "line 1: a reply without a command: :1");
        assert!(Transcript::parse("> A\n[:1").unwrap_err().contains("not closed"));
    }
}
