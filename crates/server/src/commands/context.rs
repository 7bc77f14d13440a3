//! What a handler works with: its arguments, its keys in the rights that its row asks for, the reply, its session, and the place where
//! it says what it did.

use std::borrow::Cow;

use ochre_datatypes::{Collection, ValueType};
use ochre_keyspace::{Busy, Edited, EntryRef, HashedKey, LockSet, Missing, Reader, Walker, WholeKeyspace, Writer};
use ochre_resp::{Args, ReplyWriter};

use super::{effects::Effects, error::CommandError, registry::Command};
use crate::{
    core::Core,
    events::NotifyClass,
    locked::Locked,
    session::{Block, Session},
};

/// What a handler is given; `K` is its right to keys.
pub struct Context<'a, K> {
    /// The request; `args[0]` is the command's name, `args[1]` the subcommand's where there is one.
    pub args: Args<'a>,
    /// The command that is running (of a container: the subcommand): its row, its number and its full name.
    pub command: &'static Command,
    pub keys: K,
    pub reply: ReplyWriter<'a>,
    pub session: &'a mut Session,
    /// The core that runs it: `core.server` is what all cores share, `core.config` the settings of this batch.
    pub core: &'a Core,
    /// Milliseconds since 1970, read once after locking; the same throughout an EXEC or a script.
    pub now_ms: i64,
    /// What the handler says that it did.
    pub effects: Effects<'a>,
    /// The keys that were hashed for the lock set: argument index and hash, in order.
    pub hashed: &'a [(u32, u64)],
    /// Whether it runs inside EXEC or a script, where nothing may block or answer in slices.
    pub nested: bool,
    /// Whether it runs under the locks of a batch, which are other requests' too: what takes long leaves off with [`Outcome::Alone`].
    pub shares_batch: bool,
}

pub type KeyedRead<'a> = Context<'a, Reader<'a>>;
pub type KeyedWrite<'a> = Context<'a, Writer<'a>>;
pub type SessionOnly<'a> = Context<'a, NoKeys>;
pub type Walk<'a> = Context<'a, Walker<'a>>;
pub type Whole<'a> = Context<'a, WholeKeyspace<'a>>;
pub type Compound<'a, 'c> = Context<'a, Inner<'a, 'c>>;

/// No right to any key.
pub struct NoKeys;

impl NoKeys {
    pub(crate) fn lock_set(&self) -> Option<&LockSet<'_>> {
        None
    }
}

/// The right of a command that runs other commands under its own locks.
pub struct Inner<'a, 'c> {
    /// The locks, of all keys that these commands may touch.
    pub locked: &'a mut Locked<'c>,
    /// Runs one of them, as [`Context::run`] says.
    pub(crate) run: fn(&Core, &mut Session, &mut Locked<'_>, InnerCall<'_>, &mut Vec<u8>) -> bool,
}

/// A command that runs inside of another one.
#[derive(Clone, Copy)]
pub struct InnerCall<'a> {
    pub command: &'static Command,
    pub args: Args<'a>,
    /// Its keys, which are locked: index among the arguments, and hash.
    pub hashed: &'a [(u32, u64)],
}

impl<'a> Inner<'a, '_> {
    pub(crate) fn lock_set(&self) -> Option<&LockSet<'_>> {
        Some(self.locked)
    }
}

/// What a handler returns. An error becomes the whole reply: what was written of one before is taken back.
pub type Run = Result<Outcome, CommandError>;

/// How a command ended.
#[derive(Debug)]
pub enum Outcome {
    /// Its reply is written.
    Done,
    /// Its reply is written, and the connection closes once that is sent.
    Close,
    /// Nothing is written yet: the session waits.
    Block(Block),
    /// Nothing is written or changed: it would take too long under the locks of a batch. It runs again, alone.
    Alone,
    /// Nothing is written yet: a walk goes on later, with what it left in `session.walk`.
    Suspended(Suspended),
}

/// When a walk goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suspended {
    /// After the core's other connections have had their turn.
    Slice,
    /// When a shard is free that another visit has locked for long.
    Busy(Busy),
}

impl<'a, K> Context<'a, K> {
    /// The key at an argument's index, with its hash.
    ///
    /// # Panics
    /// The command's row does not say that this is a key, so it is not locked.
    #[inline]
    pub fn key(&self, index: usize) -> HashedKey<'a> {
        match self.hashed {
            // A single key is the usual case.
            [(at, hash)] if *at as usize == index => HashedKey { bytes: self.args.get(index), hash: *hash },
            _ => self.one_of_keys(index),
        }
    }

    fn one_of_keys(&self, index: usize) -> HashedKey<'a> {
        let found = self.hashed.binary_search_by_key(&(index as u32), |&(at, _)| at);
        let found = found.unwrap_or_else(|_| {
            panic!("argument {index} of {}, which its row names no key, is not locked", self.command.full_name)
        });
        HashedKey { bytes: self.args.get(index), hash: self.hashed[found].1 }
    }

    /// As [`Context::key`], for the key that is the `nth` of the request: found without a search.
    #[inline]
    pub fn nth_key(&self, nth: usize, index: usize) -> HashedKey<'a> {
        match self.hashed.get(nth) {
            Some(&(at, hash)) if at as usize == index => HashedKey { bytes: self.args.get(index), hash },
            _ => self.key(index),
        }
    }

    /// The session's database.
    #[inline]
    pub fn db(&self) -> usize {
        self.session.database
    }

    /// An argument as a 64-bit integer.
    pub fn integer(&self, index: usize) -> Result<i64, CommandError> {
        ochre_datatypes::number::parse_i64(self.args.get(index)).ok_or(CommandError::NOT_AN_INTEGER)
    }

    /// Whether an argument is this word, in any case of its letters.
    pub fn is_word(&self, index: usize, word: &str) -> bool {
        self.args.get(index).eq_ignore_ascii_case(word.as_bytes())
    }

    /// Says that a key was changed, and the event that this is called: the key's watchers, its waiters, those who subscribed to events
    /// and the journal will know.
    #[inline]
    pub fn changed(&mut self, key: HashedKey<'a>, class: NotifyClass, event: &'static str) {
        let database = self.session.database;
        self.changed_in(database, key, class, event);
    }

    /// As [`Context::changed`], in another database than the session's.
    #[inline]
    pub fn changed_in(&mut self, database: usize, key: HashedKey<'a>, class: NotifyClass, event: &'static str) {
        self.effects.changed(database, key, class, event);
    }

    /// Announces an event of a key that changed nothing more: `new`, `keymiss`, or the second event of one change.
    #[inline]
    pub fn announce(&mut self, key: HashedKey<'a>, class: NotifyClass, event: &'static str) {
        let database = self.session.database;
        self.announce_in(database, key, class, event);
    }

    /// As [`Context::announce`], in another database than the session's.
    #[inline]
    pub fn announce_in(&mut self, database: usize, key: HashedKey<'a>, class: NotifyClass, event: &'static str) {
        if self.core.announced().intersects(class) {
            self.effects.announce(database, key, class, event);
        }
    }

    /// Records the effect in other words than the request's, where anybody keeps a journal: `words` is called only then. The first call
    /// replaces the request; further calls add to it.
    pub fn journal(&mut self, words: impl FnOnce() -> Vec<Cow<'a, [u8]>>) {
        if self.core.server.journal.is_kept() {
            self.effects.record(words());
        }
    }
}

impl Compound<'_, '_> {
    /// Runs a command, and writes its reply; whether the connection closes after it.
    pub fn run(&mut self, call: InnerCall<'_>) -> bool {
        (self.keys.run)(self.core, self.session, self.keys.locked, call, self.reply.out())
    }
}

impl<'a> KeyedRead<'a> {
    /// The entry of a key in the session's database: counts as an access (unless CLIENT NO-TOUCH), as a hit or a miss, and a miss is
    /// announced to those who asked for such events.
    #[inline]
    pub fn lookup(&mut self, key: HashedKey<'a>) -> Option<EntryRef<'a>> {
        if self.session.no_touch {
            return self.lookup_untouched(key);
        }
        let found = self.keys.get(self.session.database, key);
        self.looked_up(key, found)
    }

    /// Whether it is too long a way through all of a key's value for a batch.
    #[inline]
    pub fn is_too_long_to_share(&self, key: HashedKey<'_>) -> bool {
        self.shares_batch && self.keys.peek(self.session.database, key).is_some_and(EntryRef::is_heavy)
    }

    /// As [`Context::lookup`], without counting as an access.
    #[inline]
    pub fn lookup_untouched(&mut self, key: HashedKey<'a>) -> Option<EntryRef<'a>> {
        let found = self.keys.peek(self.session.database, key);
        self.looked_up(key, found)
    }

    /// Whether a command that goes through so many elements takes too long under the locks of a batch.
    #[inline]
    pub fn is_too_far_to_share(&self, steps: usize) -> bool {
        /// A few microseconds.
        const STEPS_MAX: usize = 256;
        self.shares_batch && steps > STEPS_MAX
    }

    /// Up to where the reply may go under the locks of a batch.
    #[inline]
    pub fn shared_reply_end(&self) -> usize {
        const BYTES_MAX: usize = 16 * 1024;
        if self.shares_batch { self.reply.position() + BYTES_MAX } else { usize::MAX }
    }

    /// Leaves a batch: what was written of the reply since `mark`, and the hit that was counted, are taken back.
    pub fn leave_batch(&mut self, mark: usize) -> Run {
        self.reply.rewind(mark);
        self.core.counters.take_hit_back();
        Ok(Outcome::Alone)
    }

    /// The collection of a key, looked up as by [`Context::lookup`].
    #[inline]
    pub fn read<C: Collection>(&mut self, key: HashedKey<'a>) -> Result<Option<C::View<'a>>, CommandError> {
        match self.lookup(key) {
            Some(entry) => Ok(Some(entry.collection::<C>()?)),
            None => Ok(None),
        }
    }

    #[inline]
    fn looked_up(&mut self, key: HashedKey<'a>, found: Option<EntryRef<'a>>) -> Option<EntryRef<'a>> {
        self.core.counters.lookup(found.is_some());
        if found.is_none() {
            self.announce(key, NotifyClass::KEY_MISS, "keymiss");
        }
        found
    }
}

impl<'a> KeyedWrite<'a> {
    /// Edits the collection of a key in the session's database. Returns `None` if the key does not exist and `missing` says to skip it.
    ///
    /// The key is removed together with its last element. A key that the edit creates is announced as `new`; the handler announces
    /// everything else itself, usually with [`Context::edited`].
    #[inline]
    pub fn edit<C: Collection, R>(
        &mut self,
        key: HashedKey<'a>,
        missing: Missing,
        change: impl FnOnce(&mut C) -> R,
    ) -> Result<Option<Edited<R>>, CommandError> {
        self.edit_and_reply(key, missing, |collection, _| change(collection))
    }

    /// As [`Context::edit`], for an edit that replies with the elements while it has them: `change` is given the reply too.
    #[inline]
    pub fn edit_and_reply<C: Collection, R>(
        &mut self,
        key: HashedKey<'a>,
        missing: Missing,
        change: impl FnOnce(&mut C, &mut ReplyWriter<'a>) -> R,
    ) -> Result<Option<Edited<R>>, CommandError> {
        let reply = &mut self.reply;
        let edited =
            self.keys.edit::<C, R>(self.session.database, key, missing, |collection| change(collection, reply))?;
        if edited.as_ref().is_some_and(|edited| edited.created) {
            self.announce(key, NotifyClass::NEW, "new");
        }
        Ok(edited)
    }

    /// Looks up a key as a command that reads does: counts as an access and as a hit or a miss, and announces a miss. Returns whether the
    /// key exists.
    pub fn count_lookup(&mut self, key: HashedKey<'a>) -> bool {
        let exists = self.keys.get(self.session.database, key).is_some();
        self.core.counters.lookup(exists);
        if !exists {
            self.announce(key, NotifyClass::KEY_MISS, "keymiss");
        }
        exists
    }

    /// Says that an edit changed a key, as [`Context::changed`] does, and that the key is gone where it is.
    #[inline]
    pub fn edited<R>(&mut self, key: HashedKey<'a>, class: NotifyClass, event: &'static str, edited: &Edited<R>) {
        self.changed(key, class, event);
        if edited.removed {
            self.announce(key, NotifyClass::GENERIC, "del");
        }
    }

    /// Announces that a key now holds something else.
    #[inline]
    pub fn announce_overwritten(&mut self, database: usize, key: HashedKey<'a>, before: ValueType, now: ValueType) {
        self.announce_in(database, key, NotifyClass::OVERWRITTEN, "overwritten");
        if before != now {
            self.announce_in(database, key, NotifyClass::TYPE_CHANGED, "type_changed");
        }
    }

    /// Stores a result at a key, in place of whatever the key holds, and announces it as `event`. An empty result removes the key, which
    /// is announced as `del` if the key existed.
    pub fn store_result<C: Collection>(
        &mut self,
        key: HashedKey<'a>,
        result: C,
        class: NotifyClass,
        event: &'static str,
    ) {
        let is_empty = result.is_empty();
        let existed = self.store(key, result);
        if !is_empty {
            self.changed(key, class, event);
        } else if existed {
            self.changed(key, NotifyClass::GENERIC, "del");
        }
    }

    /// Stores a collection at a key, in place of whatever the key holds. An empty collection removes the key. Returns whether the key
    /// existed before. Announces only `new`, `overwritten` and `type_changed`.
    fn store<C: Collection>(&mut self, key: HashedKey<'a>, value: C) -> bool {
        let database = self.session.database;
        if C::GOES_WHEN_EMPTY && value.is_empty() {
            return self.keys.remove(database, key);
        }
        match self.keys.store(database, key, value) {
            None => {
                self.announce(key, NotifyClass::NEW, "new");
                false
            }
            Some(before) => {
                self.announce_overwritten(database, key, before, C::TYPE);
                true
            }
        }
    }
}
