//! Free text, paths and names.

use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use super::{Reason, Rule, WRONG_NUMBER_OF_ARGUMENTS, number::parse_integer, one_word};

/// Any bytes.
pub struct Text;

impl Rule for Text {
    type Value = Vec<u8>;

    fn parse(&self, words: &[&[u8]]) -> Result<Vec<u8>, Reason> {
        one_word(words).map(<[u8]>::to_vec)
    }

    fn show(&self, value: &Vec<u8>) -> Vec<u8> {
        value.clone()
    }

    fn lines(&self, value: &Vec<u8>) -> Vec<Vec<u8>> {
        vec![super::words::quote(value)]
    }
}

/// Any bytes; an empty text is `None`.
pub struct OptionalText;

impl Rule for OptionalText {
    type Value = Option<Vec<u8>>;

    fn parse(&self, words: &[&[u8]]) -> Result<Option<Vec<u8>>, Reason> {
        one_word(words).map(|word| (!word.is_empty()).then(|| word.to_vec()))
    }

    fn show(&self, value: &Option<Vec<u8>>) -> Vec<u8> {
        value.clone().unwrap_or_default()
    }

    fn lines(&self, value: &Option<Vec<u8>>) -> Vec<Vec<u8>> {
        vec![super::words::quote(&self.show(value))]
    }
}

/// A path; an empty text is `None`.
pub struct OptionalPath;

impl Rule for OptionalPath {
    type Value = Option<PathBuf>;

    fn parse(&self, words: &[&[u8]]) -> Result<Option<PathBuf>, Reason> {
        one_word(words).map(|word| (!word.is_empty()).then(|| path(word).to_path_buf()))
    }

    fn show(&self, value: &Option<PathBuf>) -> Vec<u8> {
        value.as_deref().map(|path| path.as_os_str().as_bytes().to_vec()).unwrap_or_default()
    }

    fn lines(&self, value: &Option<PathBuf>) -> Vec<Vec<u8>> {
        vec![super::words::quote(&self.show(value))]
    }
}

/// `dir`: a folder that exists, kept as an absolute path. A relative path starts at the previous value.
pub struct Directory;

impl Rule for Directory {
    type Value = PathBuf;

    fn parse(&self, words: &[&[u8]]) -> Result<PathBuf, Reason> {
        one_word(words).map(|word| path(word).to_path_buf())
    }

    fn parse_after(&self, words: &[&[u8]], before: &PathBuf, _place: super::Place) -> Result<PathBuf, Reason> {
        let wanted = before.join(self.parse(words)?);
        let absolute = wanted.canonicalize().map_err(|error| Reason::from(system_text(&error)))?;
        if absolute.is_dir() { Ok(absolute) } else { Err("Not a directory".into()) }
    }

    fn show(&self, value: &PathBuf) -> Vec<u8> {
        value.as_os_str().as_bytes().to_vec()
    }

    fn lines(&self, value: &PathBuf) -> Vec<Vec<u8>> {
        vec![super::words::quote(&self.show(value))]
    }
}

/// The name of a file or folder within `dir`, not a path.
pub struct FileName {
    /// The error for a path. Redis names the directive in it.
    pub not_a_path: &'static str,
}

impl Rule for FileName {
    type Value = Vec<u8>;

    fn parse(&self, words: &[&[u8]]) -> Result<Vec<u8>, Reason> {
        let word = one_word(words)?;
        if word.contains(&b'/') { Err(self.not_a_path.into()) } else { Ok(word.to_vec()) }
    }

    fn show(&self, value: &Vec<u8>) -> Vec<u8> {
        value.clone()
    }
}

/// `replicaof`: the host and the port of a primary, or `no one`.
pub struct PrimaryAddress;

impl Rule for PrimaryAddress {
    type Value = Option<(Vec<u8>, u16)>;
    const SEVERAL_WORDS: bool = true;

    fn parse(&self, words: &[&[u8]]) -> Result<Self::Value, Reason> {
        match words {
            [] | [b""] => Ok(None),
            [host, port] if host.eq_ignore_ascii_case(b"no") && port.eq_ignore_ascii_case(b"one") => Ok(None),
            [host, port] => match parse_integer(port).and_then(|port| u16::try_from(port).ok()) {
                Some(port) => Ok(Some((host.to_vec(), port))),
                None => Err("Invalid master port".into()),
            },
            _ => Err(WRONG_NUMBER_OF_ARGUMENTS),
        }
    }

    fn show(&self, value: &Self::Value) -> Vec<u8> {
        let Some((host, port)) = value else { return vec![] };
        [host, port.to_string().as_bytes()].join(&b' ')
    }
}

/// The system's text for an error, without the number that Rust adds.
pub fn system_text(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

fn path(word: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(word))
}
