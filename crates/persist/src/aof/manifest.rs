//! The manifest of an append-only file. (Redis: `aof.c`, `aofLoadManifestFromFile`)
//!
//! ```text
//! file appendonly.aof.2.base.rdb seq 2 type b
//! file appendonly.aof.3.incr.aof seq 3 type i
//! ```

use std::fmt;

use crate::words;

/// The longest line, in bytes.
const LINE_LEN_MAX: usize = 1024;

/// Which files an append-only file consists of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    /// The base, if there is one.
    pub base: Option<Part>,
    /// Files that a rewrite has made useless, and that are still to be removed.
    pub history: Vec<Part>,
    /// The increments, in ascending order.
    pub increments: Vec<Part>,
}

/// A file of a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its name, in the same folder.
    pub name: Vec<u8>,
    /// Its number.
    pub number: u64,
}

/// What is wrong with a manifest, in Redis's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestError {
    /// The number of the line, counted from 1, and its text; none if the manifest has no line.
    pub line: Option<(usize, Vec<u8>)>,
    /// The reason.
    pub reason: &'static str,
}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.line {
            Some((number, line)) => write!(f, "line {number}, '{}': {}", line.escape_ascii(), self.reason),
            None => f.write_str(self.reason),
        }
    }
}

impl std::error::Error for ManifestError {}

const INVALID: &str = "Invalid AOF manifest file format";

impl Manifest {
    /// Reads a manifest.
    ///
    /// # Errors
    /// The first line that is wrong.
    pub fn parse(text: &[u8]) -> Result<Manifest, ManifestError> {
        if text.is_empty() {
            return Err(ManifestError { line: None, reason: "Found an empty AOF manifest" });
        }
        let mut manifest = Manifest::default();
        for (index, line) in text.split_inclusive(|&byte| byte == b'\n').enumerate() {
            if line.first() == Some(&b'#') {
                continue;
            }
            let trimmed = line.trim_ascii();
            manifest
                .add(line, trimmed)
                .map_err(|reason| ManifestError { line: Some((index + 1, trimmed.to_vec())), reason })?;
        }
        Ok(manifest)
    }

    fn add(&mut self, line: &[u8], trimmed: &[u8]) -> Result<(), &'static str> {
        if line.len() > LINE_LEN_MAX || line.last() != Some(&b'\n') {
            return Err("The AOF manifest file contains too long line");
        }
        let words = words::split(trimmed).filter(|words| words.len() >= 6 && words.len().is_multiple_of(2));
        let words = words.ok_or(INVALID)?;
        let (mut name, mut number, mut kind) = (None, 0, None);
        for [key, value] in words.as_chunks::<2>().0 {
            if key.eq_ignore_ascii_case(b"file") {
                if value.contains(&b'/') {
                    return Err("File can't be a path, just a filename");
                }
                name = Some(value.clone());
            } else if key.eq_ignore_ascii_case(b"seq") {
                number = str::from_utf8(value).ok().and_then(|digits| digits.parse().ok()).unwrap_or(0);
            } else if key.eq_ignore_ascii_case(b"type") {
                kind = value.first().copied();
            }
        }
        let (Some(name), Some(kind), 1..) = (name, kind, number) else { return Err(INVALID) };
        let part = Part { name, number };
        match kind {
            b'b' if self.base.is_some() => return Err("Found duplicate base file information"),
            b'b' => self.base = Some(part),
            b'h' => self.history.push(part),
            b'i' if self.increments.last().is_some_and(|last| part.number <= last.number) => {
                return Err("Found a non-monotonic sequence number");
            }
            b'i' => self.increments.push(part),
            _ => return Err("Unknown AOF file type"),
        }
        Ok(())
    }

    /// Returns the manifest as a file has it.
    pub fn text(&self) -> Vec<u8> {
        let mut text = Vec::new();
        let parts = self.base.iter().map(|part| (part, 'b'));
        let parts = parts.chain(self.history.iter().map(|part| (part, 'h')));
        for (part, kind) in parts.chain(self.increments.iter().map(|part| (part, 'i'))) {
            text.extend_from_slice(b"file ");
            text.extend(words::quote_if_needed(&part.name));
            text.extend(format!(" seq {} type {kind}\n", part.number).into_bytes());
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_is_read_as_it_was_written() {
        let part = |name: &str, number| Part { name: name.into(), number };
        let manifest = Manifest {
            base: Some(part("a b.2.base.rdb", 2)),
            history: vec![part("x.1.base.rdb", 1), part("x.1.incr.aof", 1)],
            increments: vec![part("x.3.incr.aof", 3), part("x.4.incr.aof", 4)],
        };
        assert_eq!(Manifest::parse(&manifest.text()), Ok(manifest));
        let text = b"# a comment\nfile x seq 1 type b startoffset 7\nTYPE i SEQ 2 FILE y other 5\n";
        let read = Manifest::parse(text).expect("further keys are allowed");
        assert_eq!((read.base, read.increments), (Some(part("x", 1)), vec![part("y", 2)]));
    }

    #[test]
    fn each_fault_is_named_with_its_line() {
        let fault = |text: &str| Manifest::parse(text.as_bytes()).expect_err(text);
        assert_eq!(fault("").reason, "Found an empty AOF manifest");
        let cases = [
            ("file x seq 1 type b", "The AOF manifest file contains too long line"),
            ("\n", INVALID),
            ("file x seq 1 type\n", INVALID),
            ("file x seq 0 type b\n", INVALID),
            ("seq 1 type b other c\n", INVALID),
            ("file \"x seq 1 type b\n", INVALID),
            ("file a/b seq 1 type b\n", "File can't be a path, just a filename"),
            ("file x seq 1 type x\n", "Unknown AOF file type"),
            ("file x seq 1 type b\nfile y seq 2 type b\n", "Found duplicate base file information"),
            ("file x seq 2 type i\nfile y seq 2 type i\n", "Found a non-monotonic sequence number"),
        ];
        for (text, reason) in cases {
            let fault = fault(text);
            let line = text.lines().count();
            assert_eq!((fault.reason, fault.line.map(|(number, _)| number)), (reason, Some(line)), "{text:?}");
        }
        let long = format!("file {} seq 1 type b\n", "x".repeat(1024));
        assert_eq!(fault(&long).reason, "The AOF manifest file contains too long line");
    }
}
