//! Configuration files: a line has a directive and its words, `#` begins a comment line, and `include` reads another file.

use std::{
    ffi::OsStr,
    fmt, io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    Directive, directives, lookup,
    rules::{Place, Reason, system_text},
    settings::Config,
    words,
};
use crate::sys;

/// A line that is neither empty nor a comment.
#[derive(PartialEq, Eq, Debug)]
pub struct Line<'a> {
    /// Counted from 1.
    pub number: usize,
    /// Without leading and trailing space.
    pub text: &'a [u8],
    /// The words, at least one. The first is the directive's name in lowercase.
    pub words: Vec<Vec<u8>>,
}

/// The lines of a file without comments and empty lines. A line with unbalanced quotes is an error, and the lines after it still follow.
pub fn lines(text: &[u8]) -> impl Iterator<Item = Result<Line<'_>, (usize, &[u8])>> {
    let trimmed = text.split(|&byte| byte == b'\n').map(trim).zip(1..);
    trimmed.filter(|(text, _)| !text.is_empty() && text[0] != b'#').filter_map(|(text, number)| {
        let Some(mut words) = words::split(text) else { return Some(Err((number, text))) };
        words.first_mut()?.make_ascii_lowercase();
        Some(Ok(Line { number, text, words }))
    })
}

/// Where a line comes from, for messages.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Origin {
    /// A configuration file.
    File(PathBuf),
    /// Standard input.
    StandardInput,
    /// The arguments of the process.
    CommandLine,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::File(path) => write!(f, "the file {}", path.display()),
            Origin::StandardInput => f.write_str("standard input"),
            Origin::CommandLine => f.write_str("the command line"),
        }
    }
}

/// Why the server does not start.
#[derive(Debug)]
pub enum StartError {
    /// A line is wrong.
    Line {
        /// Where the line comes from.
        origin: Origin,
        /// Its number in that source, from 1.
        number: usize,
        /// The line itself.
        text: String,
        /// What is wrong.
        reason: String,
    },
    /// A file cannot be read.
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's error.
        error: io::Error,
    },
    /// A setting cannot be applied on this machine.
    Setting {
        /// Why, in a sentence.
        reason: String,
    },
}

impl fmt::Display for StartError {
    /// In Redis's format, which tools look for, and in a last sentence where the line comes from.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let title = concat!("\n*** FATAL CONFIG FILE ERROR (Ochre ", env!("CARGO_PKG_VERSION"), ") ***");
        match self {
            StartError::Line { origin, number, text, reason } => {
                writeln!(f, "{title}\nReading the configuration file, at line {number}\n>>> '{text}'\n{reason}")?;
                write!(f, "This line is from {origin}.")
            }
            StartError::Unreadable { path, error } => {
                write!(f, "Fatal error, can't open config file '{}': {}", path.display(), system_text(error))
            }
            StartError::Setting { reason } => write!(f, "{title}\n{reason}"),
        }
    }
}

impl std::error::Error for StartError {}

/// Reads lines into a configuration.
pub struct Reader {
    /// The configuration as it is after the lines read so far.
    pub config: Config,
    /// The names of the directives that were set: a further line of a directive may add to its value.
    seen: Vec<&'static str>,
    include_depth: usize,
}

impl Reader {
    pub fn new(config: Config) -> Reader {
        Reader { config, seen: vec![], include_depth: 0 }
    }

    /// Applies the lines of a file and of the files that it includes.
    pub fn read_file(&mut self, path: &Path) -> Result<(), StartError> {
        let text = std::fs::read(path).map_err(|error| StartError::Unreadable { path: path.to_owned(), error })?;
        self.read_text(&Origin::File(path.to_owned()), &text)
    }

    /// Applies the lines of a text.
    pub fn read_text(&mut self, origin: &Origin, text: &[u8]) -> Result<(), StartError> {
        for line in lines(text) {
            let refused = |number, text: &[u8], reason: String| StartError::Line {
                origin: origin.clone(),
                number,
                text: String::from_utf8_lossy(text).into_owned(),
                reason,
            };
            let line = line.map_err(|(number, text)| {
                refused(number, text, "Unbalanced quotes in configuration line".to_owned())
            })?;
            let words: Vec<&[u8]> = line.words.iter().map(Vec::as_slice).collect();
            if let [b"include", path] = words[..] {
                const INCLUDE_DEPTH_MAX: usize = 16;
                if self.include_depth == INCLUDE_DEPTH_MAX {
                    let reason =
                        format!("Files are included more than {INCLUDE_DEPTH_MAX} deep: does one include itself?");
                    return Err(refused(line.number, line.text, reason));
                }
                self.include_depth += 1;
                self.include(path)?;
                self.include_depth -= 1;
            } else {
                self.apply(words[0], &words[1..])
                    .map_err(|reason| refused(line.number, line.text, reason.into_owned()))?;
            }
        }
        Ok(())
    }

    fn apply(&mut self, name: &[u8], words: &[&[u8]]) -> Result<(), Reason> {
        if let Some(directive) = lookup(name) {
            return self.set(directive, words);
        }
        match (name, words) {
            (b"rename-command", [old, new]) => {
                self.config.renamed_commands.push((old.to_vec(), new.to_vec()));
                Ok(())
            }
            (b"user", [_, ..]) => {
                Arc::make_mut(&mut self.config.users).push(words.iter().map(|word| word.to_vec()).collect());
                Ok(())
            }
            (b"loadmodule", [_, ..]) => Err("Ochre cannot load modules: remove this line".into()),
            (b"sentinel", [_, ..]) => Err("sentinel directive while not in sentinel mode".into()),
            (name, [_]) if OBSOLETE.contains(&name) => Ok(()),
            _ => Err(unknown(name)),
        }
    }

    fn set(&mut self, directive: &'static Directive, words: &[&[u8]]) -> Result<(), Reason> {
        use super::Flags;
        let place = if self.seen.contains(&directive.name) { Place::FurtherLine } else { Place::FirstLine };
        // A value of several words may come as one word: `--save "900 1"`.
        let cut = match words {
            [word] if directive.flags.contains(Flags::SEVERAL_WORDS) && !word.is_empty() => words::split(word),
            _ => None,
        };
        match cut {
            Some(cut) => directive.set(&mut self.config, &cut.iter().map(Vec::as_slice).collect::<Vec<_>>(), place)?,
            None if words.is_empty() => return Err("wrong number of arguments".into()),
            None => directive.set(&mut self.config, words, place)?,
        }
        self.seen.push(directive.name);
        Ok(())
    }

    /// Reads an included file, or the files that a pattern matches. A relative path starts at the working directory, or at `dir` once a line
    /// has set that, as in Redis.
    fn include(&mut self, path: &[u8]) -> Result<(), StartError> {
        let full = self.config.dir.join(OsStr::from_bytes(path));
        if !is_pattern(path) {
            return self.read_file(&full);
        }
        sys::glob(&full).iter().try_for_each(|path| self.read_file(path))
    }
}

/// Whether a name has wildcards, in `include` and in CONFIG GET.
pub fn is_pattern(name: &[u8]) -> bool {
    name.iter().any(|byte| matches!(byte, b'*' | b'?' | b'['))
}

/// Directives that Redis and Valkey ignore.
const OBSOLETE: [&[u8]; 5] = [
    b"list-max-ziplist-entries",
    b"list-max-ziplist-value",
    b"lua-replicate-commands",
    b"io-threads-do-reads",
    b"events-per-io-thread",
];

fn unknown(name: &[u8]) -> Reason {
    const REASON: &str = "Bad directive or wrong number of arguments";
    let name = String::from_utf8_lossy(name);
    let names = directives().flat_map(Directive::names);
    match names.map(|known| (edit_distance(&name, known), known)).min() {
        Some((distance @ 1..=2, known)) if distance * 2 <= known.len() => {
            format!("{REASON}\nDid you mean '{known}'?").into()
        }
        _ => REASON.into(),
    }
}

/// The number of letters to change, add or remove to turn one word into the other.
fn edit_distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, right) in b.bytes().enumerate() {
            let substituted = diagonal + usize::from(left != right);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

fn trim(mut text: &[u8]) -> &[u8] {
    let is_trimmed = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
    while let [first, rest @ ..] = text
        && is_trimmed(first)
    {
        text = rest;
    }
    while let [rest @ .., last] = text
        && is_trimmed(last)
    {
        text = rest;
    }
    text
}
