//! MULTI's queue and WATCH's keys.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use ochre_keyspace::{Keyspace, Reader};
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
    /// Its keys: index among the arguments, and hash.
    pub hashed: Box<[(u32, u64)]>,
}

impl Queued {
    pub fn new(command: &'static CommandLabel, args: Args<'_>, hashed: &[(u32, u64)]) -> Queued {
        Queued::of(command, args.iter(), hashed)
    }

    /// The command with these arguments.
    pub fn of<'a>(
        command: &'static CommandLabel,
        args: impl Iterator<Item = &'a [u8]> + Clone,
        hashed: &[(u32, u64)],
    ) -> Queued {
        let mut buffer = Vec::with_capacity(args.clone().map(<[u8]>::len).sum());
        let mut spans = Vec::new();
        for arg in args {
            spans.push(Span { start: buffer.len() as u32, len: arg.len() as u32 });
            buffer.extend_from_slice(arg);
        }
        Queued { command, buffer: buffer.into(), spans: spans.into(), hashed: hashed.into() }
    }

    pub fn args(&self) -> Args<'_> {
        Args::new(&self.buffer, &self.spans)
    }

    /// The bytes that it takes, for CLIENT LIST.
    pub fn memory_usage(&self) -> usize {
        size_of::<Queued>() + self.buffer.len() + size_of_val(&*self.spans) + size_of_val(&*self.hashed)
    }
}

/// The keys of WATCH, and whether one of them changed.
#[derive(Default)]
pub struct Watch {
    /// Database and key.
    pub keys: Vec<(usize, Box<[u8]>)>,
    /// Set by the writer that changes one of the keys.
    pub changed: Arc<AtomicBool>,
}

impl Watch {
    /// Takes it off its keys, which are locked.
    pub fn release(&self, keys: &Reader<'_>, keyspace: &Keyspace) {
        for (database, key) in &self.keys {
            keys.unwatch(*database, keyspace.hash(key), &self.changed);
        }
    }

    pub fn is_changed(&self) -> bool {
        self.changed.load(Ordering::Acquire)
    }

    pub fn contains(&self, database: usize, key: &[u8]) -> bool {
        self.keys.iter().any(|(other, name)| *other == database && **name == *key)
    }
}
