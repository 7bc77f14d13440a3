//! Configuration files: a line is a directive and its words, `#` begins a comment line, `include` reads another file.

use std::{
    ffi::{CString, OsStr},
    fmt, io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use super::{
    Directive, directives, lookup,
    rules::{Place, Reason, system_text},
    settings::Config,
    words,
};

/// A line that says something.
#[derive(PartialEq, Eq, Debug)]
pub struct Line<'a> {
    /// From 1.
    pub number: usize,
    /// Without the space around it.
    pub text: &'a [u8],
    /// At least one; the first is the directive's name in lowercase.
    pub words: Vec<Vec<u8>>,
}

/// The lines of a file, comments and empty ones left out. A line with unbalanced quotes is an error of its own and does not end the
/// others.
pub fn lines(text: &[u8]) -> impl Iterator<Item = Result<Line<'_>, (usize, &[u8])>> {
    let trimmed = text.split(|&byte| byte == b'\n').map(trim).zip(1..);
    trimmed.filter(|(text, _)| !text.is_empty() && text[0] != b'#').filter_map(|(text, number)| {
        let Some(mut words) = words::split(text) else { return Some(Err((number, text))) };
        words.first_mut()?.make_ascii_lowercase();
        Some(Ok(Line { number, text, words }))
    })
}

/// Where lines come from, for messages.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Origin {
    File(PathBuf),
    StandardInput,
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
    /// A line that cannot be followed.
    Line { origin: Origin, number: usize, text: String, reason: String },
    /// A file that cannot be read.
    Unreadable { path: PathBuf, error: io::Error },
    /// A setting that does not fit the machine.
    Setting { reason: String },
}

impl fmt::Display for StartError {
    /// In Redis's shape, which tools look for, with the place that the line came from.
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
    pub config: Config,
    /// The names of the directives that were set, for those whose lines add up.
    seen: Vec<&'static str>,
    include_depth: usize,
}

impl Reader {
    pub fn new(config: Config) -> Reader {
        Reader { config, seen: vec![], include_depth: 0 }
    }

    /// The configuration that a file and what it includes make, from the defaults on.
    pub fn read_file(&mut self, path: &Path) -> Result<(), StartError> {
        let text = std::fs::read(path).map_err(|error| StartError::Unreadable { path: path.to_owned(), error })?;
        self.read_text(&Origin::File(path.to_owned()), &text)
    }

    /// Follows all lines of a text.
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
                self.follow(words[0], &words[1..])
                    .map_err(|reason| refused(line.number, line.text, reason.into_owned()))?;
            }
        }
        Ok(())
    }

    fn follow(&mut self, name: &[u8], words: &[&[u8]]) -> Result<(), Reason> {
        if let Some(directive) = lookup(name) {
            return self.set(directive, words);
        }
        match (name, words) {
            (b"rename-command", [old, new]) => {
                self.config.renamed_commands.push((old.to_vec(), new.to_vec()));
                Ok(())
            }
            (b"user", words) if is_unrestricted_default_user(words) => Ok(()),
            (b"user", [_, ..]) => Err("this version has no users but the default one: set requirepass instead".into()),
            (b"loadmodule", [_, ..]) => Err("Ochre cannot load modules: remove this line".into()),
            (b"sentinel", [_, ..]) => Err("sentinel directive while not in sentinel mode".into()),
            (name, [_]) if OBSOLETE.contains(&name) => Ok(()),
            _ => Err(unknown(name)),
        }
    }

    fn set(&mut self, directive: &'static Directive, words: &[&[u8]]) -> Result<(), Reason> {
        use super::Flags;
        let place = if self.seen.contains(&directive.name) { Place::FurtherLine } else { Place::FirstLine };
        // `--save "900 1"`: the words may come as one.
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

    /// Relative paths are taken from the working directory, or from `dir` once a line has set it, as Redis goes there at once.
    fn include(&mut self, path: &[u8]) -> Result<(), StartError> {
        let full = self.config.dir.join(OsStr::from_bytes(path));
        if !is_pattern(path) {
            return self.read_file(&full);
        }
        glob(&full).iter().try_for_each(|path| self.read_file(path))
    }
}

/// Whether a name has wildcards, for `include` and for CONFIG GET.
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

/// CONFIG REWRITE of Redis writes the default user down even if it may do everything; only then nothing is lost by not having users.
fn is_unrestricted_default_user(words: &[&[u8]]) -> bool {
    let everything: [&[u8]; 9] = [
        b"on",
        b"nopass",
        b"sanitize-payload",
        b"skip-sanitize-payload",
        b"~*",
        b"&*",
        b"+@all",
        b"allkeys",
        b"allchannels",
    ];
    matches!(words, [b"default", rules @ ..] if rules.contains(&&b"on"[..]) && rules.iter().all(|rule| everything.contains(rule)))
}

fn unknown(name: &[u8]) -> Reason {
    const REASON: &str = "Bad directive or wrong number of arguments";
    let name = String::from_utf8_lossy(name);
    let names = directives().flat_map(Directive::names);
    match names.map(|known| (edit_distance(&name, known), known)).min() {
        Some((distance @ 1..=2, known)) if distance * 3 <= known.len() => {
            format!("{REASON}\nDid you mean '{known}'?").into()
        }
        _ => REASON.into(),
    }
}

/// How many letters have to be changed, added or removed to make one word of the other.
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

/// The files of a pattern, sorted; none if it matches none.
fn glob(pattern: &Path) -> Vec<PathBuf> {
    let Ok(pattern) = CString::new(pattern.as_os_str().as_bytes()) else { return vec![] };
    // SAFETY: all zeros is a valid glob_t, and what glob(3) expects of one that it is to fill.
    let mut found: libc::glob_t = unsafe { std::mem::zeroed() };
    // SAFETY: the pattern ends with a zero byte, there is no error function, and `found` is ours.
    let status = unsafe { libc::glob(pattern.as_ptr(), 0, None, &mut found) };
    let mut paths = Vec::new();
    if status == 0 {
        for index in 0..found.gl_pathc {
            // SAFETY: on success gl_pathv holds gl_pathc pointers to strings that live until globfree.
            let path = unsafe { std::ffi::CStr::from_ptr(*found.gl_pathv.add(index)) };
            paths.push(PathBuf::from(OsStr::from_bytes(path.to_bytes())));
        }
    }
    // SAFETY: `found` was given to glob(3) and is not used any more.
    unsafe { libc::globfree(&mut found) };
    paths
}
