//! What a handler is given: its arguments, the right to its keys that its row asks for, the reply, the session, and the effects, to which it
//! adds what it does.

use std::borrow::Cow;

use ochre_datatypes::{Collection, ValueType};
use ochre_keyspace::{Busy, Edited, EntryRef, HashedKey, LockSet, Missing, Reader, Walker, WholeKeyspace, Writer};
use ochre_resp::{Args, ReplyBuffer, ReplyWriter};

use super::{effects::Effects, error::CommandError, registry::Command, table::Flags};
use crate::{
    config::Config,
    core::Core,
    events::NotifyClass,
    locked::Locked,
    session::{Block, Session},
};

/// What a handler is given. `K` is its right to keys.
pub struct Context<'a, K> {
    /// The request: `args[0]` is the command's name, `args[1]` the subcommand's, if there is one.
    pub args: Args<'a>,
    /// The command that runs (for a container, the subcommand): its row, its number and its full name.
    pub command: &'static Command,
    /// The right to the command's keys.
    pub keys: K,
    /// The reply, in the connection's protocol version.
    pub reply: ReplyWriter<'a>,
    /// The session of the connection that sent the request.
    pub session: &'a mut Session,
    /// The core that runs the command. `core.server` is what all cores share; `core.config()` returns the settings of this batch.
    pub core: &'a Core,
    /// Milliseconds since 1970. The clock is read once, after locking, and stands still during an EXEC or a script.
    pub now_ms: i64,
    /// What the handler did, as it reports.
    pub effects: Effects<'a>,
    /// The locked keys: the index among the arguments and the hash, ordered by index.
    pub hashed: &'a [(u32, u64)],
    /// Whether the command runs inside EXEC or a script, where no command may block or suspend.
    pub nested: bool,
    /// Whether the command runs under the locks of a batch, which other requests share. A command that would hold them for long returns
    /// [`Outcome::Alone`].
    pub shares_batch: bool,
}

/// The context of a command that reads its keys.
pub type KeyedRead<'a> = Context<'a, Reader<'a>>;
/// The context of a command that reads and writes its keys.
pub type KeyedWrite<'a> = Context<'a, Writer<'a>>;
/// The context of a command that touches no key.
pub type SessionOnly<'a> = Context<'a, NoKeys>;
/// The context of a command that visits one shard after the other.
pub type Walk<'a> = Context<'a, Walker<'a>>;
/// The context of a command that has the whole keyspace to itself.
pub type Whole<'a> = Context<'a, WholeKeyspace<'a>>;
/// The context of a command that runs other commands.
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
    /// The locks on all keys that these commands may touch.
    pub locked: &'a mut Locked<'c>,
    /// Runs one of these commands, as [`Context::run`] describes.
    pub(crate) run: fn(&Core, &mut Session, &mut Locked<'_>, InnerCall<'_>, &mut ReplyBuffer) -> bool,
    /// Looks a command up for a script, checks it, and runs it.
    pub(crate) call: ScriptCall,
    /// The reasons to refuse what a script does at present, given the flags of a command that would do it.
    pub(crate) refusal: fn(&Core, &Config, Flags, &ScriptRules) -> Result<(), CommandError>,
}

/// Runs a command for a script. See [`Inner::call`].
pub(crate) type ScriptCall = fn(&Core, &mut Session, &mut Locked<'_>, Args<'_>, &mut ScriptRules, &mut ReplyBuffer);

/// What a script may do.
pub struct ScriptRules {
    /// Whether it may write.
    pub may_write: bool,
    /// Whether it may use memory beyond `maxmemory`.
    pub allows_oom: bool,
    /// Whether the journal records what it writes.
    pub is_recorded: bool,
    /// Whether it has written. Then no further write is refused for want of memory, so that the script is not left half done.
    pub has_written: bool,
}

/// A command that runs inside another one.
#[derive(Clone, Copy)]
pub struct InnerCall<'a> {
    /// The command.
    pub command: &'static Command,
    /// Its arguments, with its name.
    pub args: Args<'a>,
    /// Its keys, which are locked: the index among the arguments, and the hash.
    pub hashed: &'a [(u32, u64)],
}

impl<'a> Inner<'a, '_> {
    pub(crate) fn lock_set(&self) -> Option<&LockSet<'_>> {
        Some(self.locked)
    }
}

/// What a handler returns. An error becomes the whole reply, in place of what the handler wrote before.
pub type Run = Result<Outcome, CommandError>;

/// How a command ended.
#[derive(Debug)]
pub enum Outcome {
    /// The reply is written.
    Done,
    /// The reply is written, and the connection closes once it is sent.
    Close,
    /// Nothing is written yet: the client blocks.
    Block(Block),
    /// Nothing is written or changed, since the command would take too long under the locks of a batch. It runs again, alone.
    Alone,
    /// Nothing is written yet: a walk, or another command that runs in slices, resumes later, from its state in `session.walk`.
    Suspended(Suspended),
}

/// When a walk resumes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suspended {
    /// After the core's other connections have had their turn.
    Slice,
    /// Once a shard is free that another visit holds locked for long.
    Busy(Busy),
}

impl<'a, K> Context<'a, K> {
    /// The key at an argument's index, with its hash.
    ///
    /// # Panics
    /// Panics if the command's row does not say that the argument is a key, since the key is not locked then.
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
            panic!("argument {index} of {} is no key by its row, so it is not locked", self.command.full_name)
        });
        HashedKey { bytes: self.args.get(index), hash: self.hashed[found].1 }
    }

    /// As [`Context::key`], for the `nth` key of the request, which is found without a search.
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

    /// Whether an argument is this word, ignoring ASCII case.
    pub fn is_word(&self, index: usize, word: &str) -> bool {
        self.args.get(index).eq_ignore_ascii_case(word.as_bytes())
    }

    /// Announces a change of a key, under the name of its event, to the key's watchers and waiters, to subscribers of keyspace events and
    /// to the journal.
    #[inline]
    pub fn changed(&mut self, key: HashedKey<'a>, class: NotifyClass, event: &'static str) {
        let database = self.session.database;
        self.changed_in(database, key, class, event);
    }

    /// As [`Context::changed`], in any database.
    #[inline]
    pub fn changed_in(&mut self, database: usize, key: HashedKey<'a>, class: NotifyClass, event: &'static str) {
        self.effects.changed(database, key, class, event);
    }

    /// Announces an event of a key to subscribers only: `new`, `keymiss`, or a second event for a change that is announced already.
    #[inline]
    pub fn announce(&mut self, key: HashedKey<'a>, class: NotifyClass, event: &'static str) {
        let database = self.session.database;
        self.announce_in(database, key, class, event);
    }

    /// As [`Context::announce`], in any database.
    #[inline]
    pub fn announce_in(&mut self, database: usize, key: HashedKey<'a>, class: NotifyClass, event: &'static str) {
        if self.core.announced().intersects(class) {
            self.effects.announce(database, key, class, event);
        }
    }

    /// Whether the reply will not be sent, since it exceeds the client's output limit or the client was killed. A loop that only makes a long
    /// reply may then end.
    #[inline]
    pub fn is_given_up(&self) -> bool {
        self.reply.has_overflowed() || self.session.client.is_killed()
    }

    /// Records the effect as other words than the request's. The first call replaces the request in the journal; further calls add commands.
    /// `words` is called only if a journal is kept.
    pub fn journal(&mut self, words: impl FnOnce() -> Vec<Cow<'a, [u8]>>) {
        if self.core.server.journal.is_kept() {
            self.effects.record(words());
        }
    }
}

impl Compound<'_, '_> {
    /// Runs a command, and writes its reply. Returns whether the connection closes after it.
    pub fn run(&mut self, call: InnerCall<'_>) -> bool {
        (self.keys.run)(self.core, self.session, self.keys.locked, call, self.reply.out())
    }
}

impl<'a> KeyedRead<'a> {
    /// The entry of a key in the session's database. The lookup counts as an access, unless CLIENT NO-TOUCH is on, and as a hit or a miss;
    /// a miss is announced to subscribers.
    #[inline]
    pub fn lookup(&mut self, key: HashedKey<'a>) -> Option<EntryRef<'a>> {
        let found = self.keys.get(self.session.database, key);
        self.count_lookup(key, found)
    }

    /// Whether a walk over the key's whole value takes too long under the locks of a batch.
    #[inline]
    pub fn is_too_long_to_share(&self, key: HashedKey<'_>) -> bool {
        self.shares_batch && self.keys.peek(self.session.database, key).is_some_and(EntryRef::is_heavy)
    }

    /// As [`Context::lookup`], but not counted as an access.
    #[inline]
    pub fn lookup_untouched(&mut self, key: HashedKey<'a>) -> Option<EntryRef<'a>> {
        let found = self.keys.peek(self.session.database, key);
        self.count_lookup(key, found)
    }

    /// Whether a walk over `steps` elements takes too long under the locks of a batch.
    #[inline]
    pub fn is_too_far_to_share(&self, steps: usize) -> bool {
        /// These take a few microseconds.
        const STEPS_MAX: usize = 256;
        self.shares_batch && steps > STEPS_MAX
    }

    /// The position that the reply may not pass under the locks of a batch.
    #[inline]
    pub fn shared_reply_end(&self) -> usize {
        const BYTES_MAX: usize = 16 * 1024;
        if self.shares_batch { self.reply.position() + BYTES_MAX } else { usize::MAX }
    }

    /// Leaves a batch: takes back what was written of the reply since `mark`, and the hit that was counted.
    pub fn leave_batch(&mut self, mark: usize) -> Run {
        self.reply.rewind(mark);
        self.core.counters.take_hit_back();
        Ok(Outcome::Alone)
    }

    /// The collection of a key, looked up as by [`Context::lookup`]. The error is WRONGTYPE.
    #[inline]
    pub fn read<C: Collection>(&mut self, key: HashedKey<'a>) -> Result<Option<C::View<'a>>, CommandError> {
        match self.lookup(key) {
            Some(entry) => Ok(Some(entry.collection::<C>()?)),
            None => Ok(None),
        }
    }

    #[inline]
    fn count_lookup(&mut self, key: HashedKey<'a>, found: Option<EntryRef<'a>>) -> Option<EntryRef<'a>> {
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

    /// As [`Context::edit`], for an edit that replies with elements of the collection: `change` is given the reply too.
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

    /// The entry of a key, for a command that reads this key although it writes another one. The lookup counts as an access and as a hit or
    /// a miss; a miss is announced to subscribers.
    pub fn lookup(&mut self, key: HashedKey<'a>) -> Option<EntryRef<'_>> {
        let database = self.session.database;
        let found = self.keys.get(database, key);
        self.core.counters.lookup(found.is_some());
        if found.is_none() && self.core.announced().intersects(NotifyClass::KEY_MISS) {
            self.effects.announce(database, key, NotifyClass::KEY_MISS, "keymiss");
        }
        found
    }

    /// Announces that an edit changed a key, as [`Context::changed`] does, and `del` if the edit removed the key.
    #[inline]
    pub fn edited<R>(&mut self, key: HashedKey<'a>, class: NotifyClass, event: &'static str, edited: &Edited<R>) {
        self.changed(key, class, event);
        if edited.removed {
            self.announce(key, NotifyClass::GENERIC, "del");
        }
    }

    /// Announces that a key's value was replaced, and whether its type changed.
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

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    /// Finds the calls of `edit` whose receiver is not the context. White space does not matter.
    fn direct_edits(source: &str) -> Vec<String> {
        let source: String = source.split_whitespace().collect();
        let calls = source.match_indices(".edit").filter(|(at, call)| {
            let after = &source[at + call.len()..];
            after.starts_with(['(', ':'])
        });
        let receivers = calls.map(|(at, _)| {
            let before = &source[..at];
            let start = before.rfind(|letter: char| !letter.is_alphanumeric() && !"_.".contains(letter));
            &before[start.map_or(0, |start| start + 1)..]
        });
        receivers.filter(|receiver| *receiver != "cx").map(str::to_owned).collect()
    }

    fn check(folder: &Path) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                check(&path);
            } else if !path.ends_with("commands/context.rs") {
                let source = fs::read_to_string(&path).unwrap();
                let direct = direct_edits(&source);
                assert!(direct.is_empty(), "{}: {direct:?} edits past the context", path.display());
                assert!(!source.contains("Writer::edit"), "{}: edits past the context", path.display());
            }
        }
    }

    /// An edit that a handler makes with the right itself would not announce a key that it creates, and the effects of such edits would be
    /// hard to find. So all edits go through [`super::Context`].
    #[test]
    fn handlers_edit_through_their_context() {
        assert_eq!(direct_edits("let edited = cx.keys\n .edit::<List, _>(db, key, |list| cx.edit(..));"), ["cx.keys"]);
        assert_eq!(direct_edits("keys.edit(database, key)"), ["keys"]);
        assert_eq!(direct_edits("cx.edited(key); cx.edit_and_reply(key); cx.edit(key)"), [""; 0]);
        check(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/commands"));
    }
}
