//! MULTI's queue and WATCH's keys.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use ochre_resp::{Args, Span};

use crate::label::CommandLabel;

/// What was queued since MULTI.
#[derive(Default)]
pub struct Transaction {
    pub queued: Vec<Queued>,
    /// Commands that were not kept, for the transaction cannot run any more.
    pub dropped: usize,
    /// A command was refused while queueing: EXEC will not run.
    pub failed: bool,
}

/// One queued command, with its arguments copied.
pub struct Queued {
    pub command: &'static CommandLabel,
    buffer: Box<[u8]>,
    spans: Box<[Span]>,
}

impl Queued {
    pub fn new(command: &'static CommandLabel, args: Args<'_>) -> Queued {
        Queued::of(command, args.iter())
    }

    /// The command with these arguments.
    pub fn of<'a>(command: &'static CommandLabel, args: impl Iterator<Item = &'a [u8]> + Clone) -> Queued {
        let mut buffer = Vec::with_capacity(args.clone().map(<[u8]>::len).sum());
        let mut spans = Vec::new();
        for arg in args {
            spans.push(Span { start: buffer.len() as u32, len: arg.len() as u32 });
            buffer.extend_from_slice(arg);
        }
        Queued { command, buffer: buffer.into(), spans: spans.into() }
    }

    pub fn args(&self) -> Args<'_> {
        Args::new(&self.buffer, &self.spans)
    }

    /// The bytes that it takes, for CLIENT LIST.
    pub fn memory_usage(&self) -> usize {
        size_of::<Queued>() + self.buffer.len() + size_of_val(&*self.spans)
    }
}

/// The keys of WATCH, and whether one of them changed.
#[derive(Default)]
pub struct Watch {
    /// Database and key.
    pub keys: Vec<(usize, Box<[u8]>)>,
    /// Set by who changes one of the keys.
    pub changed: Arc<AtomicBool>,
}

impl Watch {
    pub fn is_changed(&self) -> bool {
        self.changed.load(Ordering::Acquire)
    }

    pub fn contains(&self, database: usize, key: &[u8]) -> bool {
        self.keys.iter().any(|(other, name)| *other == database && **name == *key)
    }
}
