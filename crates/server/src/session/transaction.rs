//! The queue of MULTI and the keys of WATCH.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use ochre_keyspace::{Keyspace, Reader};
use ochre_resp::{Args, Span};

use crate::label::{CommandLabel, Flags};

/// The state of a session between MULTI and EXEC.
pub struct Transaction {
    /// The queued commands in order.
    pub queued: Vec<Queued>,
    /// The number of commands that were answered QUEUED but not kept, since EXEC is sure to fail.
    pub dropped: usize,
    /// Whether a command was refused since MULTI, so that EXEC answers EXECABORT.
    pub failed: bool,
    /// The flags of the queued commands by which EXEC is checked and held back, as if it were each of them.
    flags: Flags,
}

/// See [`Transaction::flags`].
const CHECKED_AT_EXEC: Flags = Flags::WRITE.union(Flags::MAY_REPLICATE).union(Flags::DENYOOM);

impl Default for Transaction {
    fn default() -> Transaction {
        Transaction { queued: Vec::new(), dropped: 0, failed: false, flags: Flags::empty() }
    }
}

impl Transaction {
    /// Adds a command to the queue.
    pub fn queue(&mut self, queued: Queued) {
        self.flags |= queued.command.flags & CHECKED_AT_EXEC;
        self.queued.push(queued);
    }

    /// The flags that EXEC has because of what it will run: those of the queued commands that decide whether they are refused or held back.
    #[inline]
    pub fn flags(&self) -> Flags {
        self.flags
    }
}

/// A command to be run later, with a copy of its arguments.
pub struct Queued {
    /// The command or subcommand.
    pub command: &'static CommandLabel,
    buffer: Box<[u8]>,
    spans: Box<[Span]>,
    /// Its keys: the index of the argument, and the hash.
    pub hashed: Box<[(u32, u64)]>,
}

impl Queued {
    /// Copies the arguments of a request. `hashed` is as in [`Queued::hashed`].
    pub fn new(command: &'static CommandLabel, args: Args<'_>, hashed: &[(u32, u64)]) -> Queued {
        Queued::of(command, args.iter(), hashed)
    }

    /// Copies arguments that need not come from a request.
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

    /// The arguments, beginning with the command's name.
    pub fn args(&self) -> Args<'_> {
        Args::new(&self.buffer, &self.spans)
    }

    /// Its size in bytes, for CLIENT LIST.
    pub fn memory_usage(&self) -> usize {
        size_of::<Queued>() + self.buffer.len() + size_of_val(&*self.spans) + size_of_val(&*self.hashed)
    }
}

/// The keys of WATCH, and whether one of them has changed.
#[derive(Default)]
pub struct Watch {
    /// Database and key.
    pub keys: Vec<(usize, Box<[u8]>)>,
    /// Set by a writer that changes one of the keys.
    pub changed: Arc<AtomicBool>,
}

impl Watch {
    /// Removes the watch from its keys, which `keys` has locked.
    pub fn release(&self, keys: &Reader<'_>, keyspace: &Keyspace) {
        for (database, key) in &self.keys {
            keys.unwatch(*database, keyspace.hash(key), &self.changed);
        }
    }

    /// Whether one of the keys has changed since WATCH.
    pub fn is_changed(&self) -> bool {
        self.changed.load(Ordering::Acquire)
    }

    /// Whether a key is watched.
    pub fn contains(&self, database: usize, key: &[u8]) -> bool {
        self.keys.iter().any(|(other, name)| *other == database && **name == *key)
    }
}
