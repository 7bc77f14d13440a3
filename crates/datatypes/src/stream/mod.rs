//! Streams: entries of fields and values, in the order of their IDs, and the consumer groups that read them.
//!
//! ```text
//! Stream ─┬─ log ─┬─ blocks   ID of the first entry → block of entries (`block.rs`)
//!         │       └─ the number of entries, the number ever added, the greatest deleted ID
//!         └─ groups           name → group (`group.rs`)
//! ```
//!
//! In a stream of a million entries of two small integers, an entry takes 5 bytes. Blocks are shared when a stream is cloned, and copied
//! when one of the owners writes to them.

mod block;
mod group;
mod id;
mod item;
mod load;
mod trim;

use std::{
    collections::{BTreeMap, btree_map},
    sync::Arc,
};

pub use block::{Block, BlockLimits, Entries, Entry};
pub use group::{Consumer, ConsumerNumber, Delivery, Group};
pub use id::{IdText, NewId, StreamId};
pub use item::Item;
pub use load::LogLoader;
pub use trim::{Deletion, References, Trim, TrimTo};

use crate::{
    Collection, Encoding, ValueType,
    allocation::{ARC_HEADER, btree_bytes, size_class},
    collection::any_collection,
};

/// A stream: its log and its groups. See the module's picture.
#[derive(Default)]
pub struct Stream(Box<Parts>);

/// The two parts of a stream, so that one can be read while the other is edited.
#[derive(Clone, Default)]
pub struct Parts {
    /// The entries.
    pub log: Log,
    /// The consumer groups.
    pub groups: Groups,
}

/// The consumer groups of a stream by name.
pub type Groups = BTreeMap<Box<[u8]>, Group>;

/// The entries of a stream.
#[derive(Clone, Default)]
pub struct Log {
    blocks: BTreeMap<StreamId, Arc<Block>>,
    /// The number of entries.
    length: u64,
    /// The ID of the first entry; zero if there is none.
    first_id: StreamId,
    /// The ID of the entry that was added last, or what XSETID set.
    last_id: StreamId,
    /// The greatest ID that was deleted one by one; trimming does not count.
    max_deleted_id: StreamId,
    /// The number of entries that were ever added.
    entries_added: i64,
}

/// Why an entry was not added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppendError {
    /// The last ID is the greatest possible one.
    Exhausted,
    /// The ID is not greater than the last one.
    NotGreater,
    /// Fields and values have more than 1 GiB.
    TooLarge,
}

/// The arguments of XSETID.
#[derive(Clone, Copy, Debug)]
pub struct NewState {
    /// The new last ID.
    pub last_id: StreamId,
    /// ENTRIESADDED: the number of entries that were ever added. `None` keeps it.
    pub entries_added: Option<i64>,
    /// MAXDELETEDID: the greatest deleted ID. `None` keeps it.
    pub max_deleted_id: Option<StreamId>,
}

/// Why XSETID is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetStateError {
    /// The last ID would be below the greatest deleted one.
    BelowDeleted,
    /// The last ID would be below that of the last entry.
    BelowLastEntry,
    /// The stream has more entries than would ever have been added.
    FewerAddedThanLeft,
}

impl Stream {
    /// Returns the two parts, for editing.
    pub fn parts_mut(&mut self) -> (&mut Log, &mut Groups) {
        (&mut self.0.log, &mut self.0.groups)
    }

    /// Makes a stream of a log that was loaded.
    pub fn from_log(log: Log) -> Stream {
        Stream(Box::new(Parts { log, groups: Groups::default() }))
    }

    /// Returns the entries.
    pub fn log(&self) -> &Log {
        &self.0.log
    }

    /// Returns the consumer groups.
    pub fn groups(&self) -> &Groups {
        &self.0.groups
    }

    /// Returns the group of a name, for editing, and the log that it reads.
    pub fn group_mut(&mut self, name: &[u8]) -> Option<(&Log, &mut Group)> {
        let Parts { log, groups } = &mut *self.0;
        Some((log, groups.get_mut(name)?))
    }

    /// Appends an entry, and returns its ID. `pairs` are fields and values by turns; `now_ms` is the time for `*`, in milliseconds since
    /// 1970. (Redis: `streamAppendItem`)
    #[inline]
    pub fn append(
        &mut self,
        id: NewId,
        pairs: &[&[u8]],
        now_ms: i64,
        limits: &BlockLimits,
    ) -> Result<StreamId, AppendError> {
        self.0.log.append(id, pairs, now_ms, limits)
    }

    /// Deletes an entry. `references` says what happens to groups in which it is pending.
    pub fn delete(&mut self, id: StreamId, references: References) -> Deletion {
        let (log, groups) = self.parts_mut();
        trim::delete(log, groups, id, references)
    }

    /// Trims the stream. Returns the number of entries that were removed.
    pub fn trim(&mut self, trim: &Trim) -> u64 {
        let (log, groups) = self.parts_mut();
        trim::trim(log, groups, trim)
    }

    /// Adds a consumer group. Returns false, and changes nothing, if there is a group of this name. `entries_read` is limited to the number
    /// of entries that were ever added.
    pub fn create_group(&mut self, name: &[u8], last_id: StreamId, entries_read: Option<i64>) -> bool {
        let (log, groups) = self.parts_mut();
        match groups.entry(name.into()) {
            btree_map::Entry::Vacant(vacant) => {
                vacant.insert(Group::new(last_id, entries_read.map(|read| read.min(log.entries_added))));
                true
            }
            btree_map::Entry::Occupied(_) => false,
        }
    }
}

impl Log {
    /// Returns the number of entries.
    pub fn len(&self) -> u64 {
        self.length
    }

    /// Returns whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Returns the ID of the first entry; zero if there is none.
    pub fn first_id(&self) -> StreamId {
        self.first_id
    }

    /// Returns the ID of the entry that was added last, or what XSETID set.
    pub fn last_id(&self) -> StreamId {
        self.last_id
    }

    /// Returns the greatest ID that was deleted one by one; trimming does not count.
    pub fn max_deleted_id(&self) -> StreamId {
        self.max_deleted_id
    }

    /// Returns the number of entries that were ever added.
    pub fn entries_added(&self) -> i64 {
        self.entries_added
    }

    /// Returns the blocks in order.
    pub fn blocks(&self) -> impl ExactSizeIterator<Item = &Block> {
        self.blocks.values().map(|block| &**block)
    }

    /// Returns the ID of the last entry; zero if there is none.
    pub fn last_entry_id(&self) -> StreamId {
        match self.blocks.last_key_value().and_then(|(_, tail)| tail.last_live()) {
            Some(last) => last,
            None => self.range_back(StreamId::MIN, StreamId::MAX).next().map_or(StreamId::MIN, |entry| entry.id),
        }
    }

    /// As [`Stream::append`].
    #[inline]
    fn append(
        &mut self,
        id: NewId,
        pairs: &[&[u8]],
        now_ms: i64,
        limits: &BlockLimits,
    ) -> Result<StreamId, AppendError> {
        let last = self.last_id;
        if last == StreamId::MAX {
            return Err(AppendError::Exhausted);
        }
        let id = match id {
            NewId::Auto if now_ms > 0 && now_ms as u64 > last.ms => StreamId::new(now_ms as u64, 0),
            NewId::Auto => last.next().ok_or(AppendError::NotGreater)?,
            NewId::AutoSequence(ms) if ms == last.ms => {
                StreamId::new(ms, last.seq.checked_add(1).ok_or(AppendError::NotGreater)?)
            }
            NewId::AutoSequence(ms) => StreamId::new(ms, 0),
            NewId::Given(id) => id,
        };
        if id <= last {
            return Err(AppendError::NotGreater);
        }
        let added: usize = pairs.iter().map(|text| text.len()).sum();
        if added > block::BYTES_MAX {
            return Err(AppendError::TooLarge);
        }
        let mut capacity = 0;
        let has_room = match self.blocks.last_entry() {
            Some(mut tail) => {
                let tail = Arc::make_mut(tail.get_mut());
                let is_full = tail.is_full(added, limits);
                if is_full {
                    tail.shrink();
                    // The next block will probably be about as large.
                    capacity = tail.bytes_len();
                } else {
                    tail.push(id, pairs);
                }
                !is_full
            }
            None => false,
        };
        if !has_room {
            self.blocks.insert(id, Arc::new(Block::new(id, pairs, capacity)));
        }
        self.length += 1;
        self.entries_added += 1;
        self.last_id = id;
        if self.length == 1 {
            self.first_id = id;
        }
        Ok(id)
    }

    /// Returns the entry of an ID, or `None` if there is no such entry.
    pub fn get(&self, id: StreamId) -> Option<Entry<'_>> {
        self.blocks.range(..=id).next_back()?.1.find(id)
    }

    /// Returns the entries from `start` to `end`, both included, in order.
    pub fn range(&self, start: StreamId, end: StreamId) -> impl Iterator<Item = Entry<'_>> {
        let first = self.blocks.range(..=start).next_back().map_or(start, |(key, _)| *key);
        let blocks = (first <= end).then(|| self.blocks.range(first..=end));
        blocks
            .into_iter()
            .flatten()
            .flat_map(|(_, block)| block.entries())
            .skip_while(move |entry| entry.id < start)
            .take_while(move |entry| entry.id <= end)
            .filter(|entry| !entry.is_deleted())
    }

    /// Returns the entries from `start` to `end`, both included, in reverse.
    pub fn range_back(&self, start: StreamId, end: StreamId) -> impl Iterator<Item = Entry<'_>> {
        self.blocks
            .range(..=end)
            .rev()
            .take_while(move |(_, block)| block.last() >= start)
            .flat_map(move |(_, block)| {
                // The entries of a block can only be walked forwards. There are few of them.
                let entries: Vec<Entry<'_>> = block.entries().take_while(|entry| entry.id <= end).collect();
                entries.into_iter().rev()
            })
            .take_while(move |entry| entry.id >= start)
            .filter(|entry| !entry.is_deleted())
    }

    /// Executes XSETID. (Redis: `xsetidCommand`)
    pub fn set_state(&mut self, state: &NewState) -> Result<(), SetStateError> {
        if state.last_id < self.max_deleted_id {
            return Err(SetStateError::BelowDeleted);
        }
        if self.length > 0 {
            if state.last_id < self.last_entry_id() {
                return Err(SetStateError::BelowLastEntry);
            }
            if state.entries_added.is_some_and(|added| (added as u64) < self.length) {
                return Err(SetStateError::FewerAddedThanLeft);
            }
        }
        self.last_id = state.last_id;
        if let Some(added) = state.entries_added {
            self.entries_added = added;
        }
        if let Some(id) = state.max_deleted_id {
            self.max_deleted_id = id;
        }
        Ok(())
    }

    /// Returns the number of entries that a group has not read yet, or `None` if that is not known. (Redis: `streamReplyWithCGLag`)
    pub fn lag(&self, group: &Group) -> Option<i64> {
        if self.entries_added == 0 || self.length == 0 {
            return Some(0);
        }
        if group.last_id < self.first_id && self.max_deleted_id < self.first_id {
            return Some(self.length as i64);
        }
        if let Some(read) = group.entries_read
            && !self.has_deleted_from(group.last_id)
        {
            return Some(self.entries_added.wrapping_sub(read));
        }
        Some(self.entries_added.wrapping_sub(self.entries_up_to(group.last_id)?))
    }

    /// Records that the entry of this ID was delivered to a group. (Redis: `streamReplyWithRange`)
    pub fn delivered(&self, group: &mut Group, id: StreamId) {
        if let Some(read) = group.entries_read
            && group.last_id >= self.first_id
            && !self.has_deleted_from(group.last_id)
        {
            group.entries_read = Some(read + 1);
        } else if self.entries_added > 0 {
            group.entries_read = self.entries_up_to(id);
        }
        group.last_id = id;
    }

    /// Returns whether an entry from this ID on was deleted one by one. (Redis: `streamRangeHasTombstones`)
    fn has_deleted_from(&self, id: StreamId) -> bool {
        self.length > 0 && !self.max_deleted_id.is_zero() && id <= self.max_deleted_id
    }

    /// Returns how many of the entries that were ever added have an ID up to this one, or `None` if that is not known.
    /// (Redis: `streamEstimateDistanceFromFirstEverEntry`)
    pub fn entries_up_to(&self, id: StreamId) -> Option<i64> {
        if self.entries_added == 0 {
            return Some(0);
        }
        if self.length == 0 && id <= self.last_id {
            return Some(self.entries_added);
        }
        if !id.is_zero() && id < self.max_deleted_id {
            return None;
        }
        if id == self.last_id {
            return Some(self.entries_added);
        }
        if id > self.last_id {
            return None;
        }
        let left = self.entries_added.wrapping_sub(self.length as i64);
        if self.max_deleted_id.is_zero() || self.max_deleted_id < self.first_id {
            if id < self.first_id {
                return Some(left);
            }
            if id == self.first_id {
                return Some(left + 1);
            }
        }
        None
    }
}

impl Collection for Stream {
    const TYPE: ValueType = ValueType::Stream;
    const GOES_WHEN_EMPTY: bool = false;
    type View<'a> = &'a Stream;

    any_collection!(Stream);

    fn view(&self) -> &Stream {
        self
    }

    fn view_packed(_form: u8, _bytes: &[u8]) -> &Stream {
        unreachable!("a stream is never packed")
    }

    fn packed(&self) -> Option<(u8, &[u8])> {
        None
    }

    fn from_packed(_form: u8, _bytes: Vec<u8>) -> Stream {
        unreachable!("a stream is never packed")
    }

    fn into_packed(self) -> Result<(u8, Vec<u8>), Stream> {
        Err(self)
    }

    /// Returns whether nothing was ever done to the stream. Such a stream was made for a command that then failed.
    fn is_empty(&self) -> bool {
        let Parts { log, groups } = &*self.0;
        log.entries_added == 0 && log.last_id.is_zero() && groups.is_empty()
    }

    fn encoding(_view: &Stream) -> Encoding {
        Encoding::Stream
    }

    fn memory_usage(&self) -> usize {
        let Parts { log, groups } = &*self.0;
        let blocks: usize = log.blocks().map(|block| ARC_HEADER + block.memory_usage()).sum();
        let names: usize = groups.keys().map(|name| size_class(name.len())).sum();
        size_class(ARC_HEADER + size_of::<Parts>())
            + btree_bytes(log.blocks.len(), size_of::<(StreamId, Arc<Block>)>())
            + blocks
            + btree_bytes(groups.len(), size_of::<(Box<[u8]>, Group)>())
            + names
            + groups.values().map(Group::memory_usage).sum::<usize>()
    }

    fn is_heavy(&self) -> bool {
        let Parts { log, groups } = &*self.0;
        log.blocks.len() > 16 || groups.values().map(Group::pending_len).sum::<usize>() > 500
    }

    fn duplicate(view: &Stream) -> Stream {
        Stream(view.0.clone())
    }
}
