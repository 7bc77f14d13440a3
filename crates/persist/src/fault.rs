//! What is wrong with a file or a payload, and where.

use std::{borrow::Cow, fmt, io};

/// Why bytes could not be read as what they should be.
#[derive(Debug)]
pub struct Fault {
    /// The offset in the file or payload at which the faulty part begins.
    pub offset: u64,
    /// What is wrong there.
    pub kind: FaultKind,
}

/// The kinds of faults, which a caller may treat differently.
#[derive(Debug)]
pub enum FaultKind {
    /// The bytes end too early. The tail of a file is missing, as after a crash.
    Truncated,
    /// The bytes are not what the format allows.
    Corrupt(Cow<'static, str>),
    /// The bytes may be valid, but need something that Ochre does not have, such as a module or a newer version.
    Unsupported(Cow<'static, str>),
    /// The file could not be read.
    Io(io::Error),
}

impl Fault {
    /// Returns a fault for bytes that the format does not allow.
    pub fn corrupt(offset: u64, reason: impl Into<Cow<'static, str>>) -> Fault {
        Fault { offset, kind: FaultKind::Corrupt(reason.into()) }
    }

    /// Returns a fault for bytes that need something that is absent.
    pub fn unsupported(offset: u64, reason: impl Into<Cow<'static, str>>) -> Fault {
        Fault { offset, kind: FaultKind::Unsupported(reason.into()) }
    }

    /// Returns a fault for a file that could not be read.
    pub fn io(offset: u64, error: io::Error) -> Fault {
        Fault { offset, kind: FaultKind::Io(error) }
    }

    /// Returns a fault for bytes that end too early.
    pub fn truncated(offset: u64) -> Fault {
        Fault { offset, kind: FaultKind::Truncated }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Fault { offset, kind } = self;
        match kind {
            FaultKind::Truncated => write!(out, "the data ends at offset {offset}, in the middle of a record"),
            FaultKind::Corrupt(reason) | FaultKind::Unsupported(reason) => write!(out, "at offset {offset}: {reason}"),
            FaultKind::Io(error) => write!(out, "reading failed at offset {offset}: {error}"),
        }
    }
}

impl std::error::Error for Fault {}
