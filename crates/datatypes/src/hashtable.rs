//! The table of large sets and hashes: keys, each with some bytes of its owner's (a hash's value; a set has none).
//!
//! Its chunks (see [`crate::spine`]) are slotted pages of about a kilobyte, one allocation each:
//!
//! ```text
//!  0          4          8                         start                                        end
//! ┌──────────┬──────────┬──────────┬──────────────┬──────────┬─────────────────────┬───────────┐
//! │ slot 0   │ slot 1   │ slot 2   │ room         │ record 2 │ (removed)           │ record 0  │
//! └──────────┴──────────┴──────────┴──────────────┴──────────┴─────────────────────┴───────────┘
//!   slot      16 bits: where its record begins; 16 bits: the tag, the upper bits of the key's hash
//!   record    head [payload length] key payload              where it is short
//!             head [payload length] index                    where it is long: 16 bits, which of the chunk's long records
//!   head      key length ∙ 4 + (has a payload) ∙ 2 + (is long), seven bits a byte as the payload length, lowest first
//! ```
//!
//! A key of 17 bytes takes 18 for its record and 4 for its slot, and its share of the chunk's header and of the room: about 25 in all.
//! Looking a key up compares the tags, several at once, and then one record. A chunk is grown a size class of the allocator at a time, and
//! put together anew where removed records leave enough room.

use std::{ops::ControlFlow, sync::Arc};

use crate::{
    allocation::{ARC_HEADER, arc_len},
    prefetch,
    spine::{self, Spine},
};

/// A chunk is added where they have more bytes than this on average, and one taken away where they have fewer than the other.
const CHUNK_BYTES_GROW: usize = 896;
const CHUNK_BYTES_SHRINK: usize = 320;
/// Records longer than this are kept in an allocation of their own, so that a change of another record does not copy them.
const RECORD_INLINE_MAX: usize = 512;
/// In a chunk with so many bytes all records are; which happens to none whose keys' hashes are what they should be.
const CHUNK_BYTES_INLINE_MAX: usize = 24 * 1024;
const SLOT: usize = 4;
const INDEX: usize = 2;
/// A table of so many bytes is freed where that holds nobody up.
const HEAVY_MIN: usize = 64 * 1024;

/// See the module's picture. Its clone shares all chunks, each until one of the two writes to it.
#[derive(Clone, Default)]
pub struct Hashtable {
    spine: Spine<Chunk>,
    len: usize,
    /// What the chunks use for slots and records.
    used: usize,
    /// What they have allocated.
    allocated: usize,
}

/// See [`prefetch::LookupPrefetch`].
pub struct LookupPrefetch<'a> {
    table: &'a Hashtable,
    hash: u64,
    next: Step,
}

/// What is asked for next on the way to a record.
enum Step {
    Slots,
    Record,
}

impl LookupPrefetch<'_> {
    #[inline]
    pub fn step(&mut self) -> bool {
        let chunk = self.table.spine.get(self.hash);
        match self.next {
            Step::Slots => {
                prefetch::read_lines(chunk.bytes.as_ptr(), chunk.slots_len() / prefetch::LINE + 1);
                self.next = Step::Record;
                true
            }
            Step::Record => {
                if let Some(slot) = chunk.find_slot(tag(self.hash), |_| true) {
                    prefetch::read_lines(chunk.bytes[chunk.offset(slot)..].as_ptr(), 2);
                }
                false
            }
        }
    }
}

/// A key, and what its owner put beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    pub key: &'a [u8],
    pub payload: &'a [u8],
}

impl Hashtable {
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The bytes on the heap.
    pub fn memory_usage(&self) -> usize {
        self.spine.memory_usage() + self.allocated
    }

    /// Whether freeing it takes long.
    pub fn is_heavy(&self) -> bool {
        self.allocated >= HEAVY_MIN
    }

    /// The way to the record of a key.
    #[inline]
    pub fn prefetch_lookup(&self, key: &[u8]) -> LookupPrefetch<'_> {
        let hash = spine::hash(key);
        self.spine.prefetch(hash);
        LookupPrefetch { table: self, hash, next: Step::Slots }
    }

    #[inline]
    pub fn contains(&self, key: &[u8]) -> bool {
        self.contains_hashed(spine::hash(key), key)
    }

    /// As [`Hashtable::contains`], of a key whose [`spine::hash`] is known already.
    #[inline]
    pub fn contains_hashed(&self, hash: u64, key: &[u8]) -> bool {
        self.spine.get(hash).find(hash, key).is_some()
    }

    /// The payload of a key.
    #[inline]
    pub fn get(&self, key: &[u8]) -> Option<&[u8]> {
        let hash = spine::hash(key);
        let chunk = self.spine.get(hash);
        chunk.find(hash, key).map(|slot| chunk.record(slot).payload)
    }

    /// Puts a key with its payload in, or another payload in the place of its payload; whether the key is new.
    #[inline]
    pub fn insert(&mut self, key: &[u8], payload: &[u8]) -> bool {
        self.insert_hashed(spine::hash(key), key, payload)
    }

    /// As [`Hashtable::insert`], of a key whose [`spine::hash`] is known already.
    pub fn insert_hashed(&mut self, hash: u64, key: &[u8], payload: &[u8]) -> bool {
        let index = self.spine.index(hash);
        let found = self.spine.chunk(index).find(hash, key);
        match found {
            Some(slot) if self.spine.chunk(index).record(slot).payload == payload => return false,
            Some(slot) => self.edit(index, |chunk| chunk.replace(slot, hash, key, payload)),
            None => {
                self.edit(index, |chunk| chunk.insert(hash, key, payload));
                self.len += 1;
            }
        }
        self.fit();
        found.is_none()
    }

    /// Takes a key out; whether it was there.
    #[inline]
    pub fn remove(&mut self, key: &[u8]) -> bool {
        let hash = spine::hash(key);
        let index = self.spine.index(hash);
        let Some(slot) = self.spine.chunk(index).find(hash, key) else { return false };
        self.remove_at(index, slot);
        true
    }

    fn remove_at(&mut self, index: usize, slot: usize) {
        self.edit(index, |chunk| chunk.remove(slot));
        self.len -= 1;
        self.fit();
    }

    /// All records, in no order that lasts.
    pub fn iter(&self) -> impl Iterator<Item = Record<'_>> {
        self.spine.iter().flat_map(Chunk::records)
    }

    /// How many chunks there are.
    pub fn chunks(&self) -> usize {
        self.spine.chunks()
    }

    /// Shows the records whose keys another table has too, until `visit` breaks off. The two are walked side by side: what a chunk of the
    /// one has lies in one chunk of the other, or in the few that a finer division makes of it, so no key is hashed.
    pub fn walk_common<'a>(
        &'a self,
        other: &Hashtable,
        mut visit: impl FnMut(Record<'a>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        for (index, chunk) in self.spine.iter().enumerate() {
            for counterpart in other.spine.counterparts(&self.spine, index) {
                for slot in 0..chunk.count as usize {
                    let record = || chunk.record(slot);
                    if counterpart
                        .find_slot(chunk.tag(slot), |found| counterpart.record(found).key == record().key)
                        .is_some()
                    {
                        visit(record())?;
                    }
                }
            }
        }
        ControlFlow::Continue(())
    }

    /// The records whose keys' [`spine::hash`] ends in these bits, and others: what some of a hash was kept of is looked for among few.
    pub fn records_near(&self, hash: u64, bits: u32) -> impl Iterator<Item = Record<'_>> {
        let chunks = (self.spine.chunks().next_power_of_two() >> bits).max(1) as u64;
        (0..chunks).flat_map(move |high| self.spine.get(hash | high << bits).records())
    }

    /// Visits records from a cursor on, zero for the start, until there were `count` or the end. The cursor to go on from, which is zero
    /// after the last. What is there throughout a walk is visited, however the table changes meanwhile.
    pub fn scan<'a>(&'a self, cursor: u64, count: usize, mut visit: impl FnMut(Record<'a>)) -> u64 {
        let (mut visited, mut chunks) = (0, 0usize);
        self.spine.walk(cursor, |chunk| {
            chunk.records().for_each(&mut visit);
            visited += chunk.count as usize;
            chunks += 1;
            visited < count && chunks < count.saturating_mul(10)
        })
    }

    /// A record, each with the same chance.
    pub fn random(&self, random: &mut impl FnMut() -> u64) -> Option<Record<'_>> {
        if self.is_empty() {
            return None;
        }
        let (index, slot) = self.spine.random(random);
        Some(self.spine.chunk(index).record(slot))
    }

    /// Takes a record out, each with the same chance, after `take` saw it.
    pub fn pop_random<R>(&mut self, random: &mut impl FnMut() -> u64, take: impl FnOnce(Record<'_>) -> R) -> Option<R> {
        if self.is_empty() {
            return None;
        }
        let (index, slot) = self.spine.random(random);
        let taken = take(self.spine.chunk(index).record(slot));
        self.remove_at(index, slot);
        Some(taken)
    }

    /// Changes a chunk, and keeps count of the bytes.
    #[inline]
    fn edit<R>(&mut self, index: usize, change: impl FnOnce(&mut Chunk) -> R) -> R {
        let (result, used, allocated) = self.spine.edit(index, |chunk| {
            let (used, allocated) = (chunk.used(), chunk.allocated());
            let result = change(chunk);
            (result, chunk.used().wrapping_sub(used), chunk.allocated().wrapping_sub(allocated))
        });
        self.used = self.used.wrapping_add(used);
        self.allocated = self.allocated.wrapping_add(allocated);
        result
    }

    /// Adds chunks or takes some away, after one record came or went: two at most.
    #[inline]
    fn fit(&mut self) {
        while self.used > self.spine.chunks() * CHUNK_BYTES_GROW {
            self.grow();
        }
        while self.used < self.spine.chunks() * CHUNK_BYTES_SHRINK && self.spine.chunks() > 1 {
            self.shrink();
        }
    }

    #[cold]
    fn grow(&mut self) {
        let mut difference = 0usize;
        self.spine.grow(|chunk, bit| {
            let before = chunk.allocated();
            let split = chunk.split(bit);
            difference = (chunk.allocated() + split.allocated()).wrapping_sub(before);
            split
        });
        self.allocated = self.allocated.wrapping_add(difference);
    }

    #[cold]
    fn shrink(&mut self) {
        let (mut used, mut allocated) = (0usize, 0usize);
        self.spine.shrink(|chunk, last| {
            let before = (chunk.used() + last.used(), chunk.allocated() + last.allocated());
            chunk.join(last);
            used = chunk.used().wrapping_sub(before.0);
            allocated = chunk.allocated().wrapping_sub(before.1);
        });
        self.used = self.used.wrapping_add(used);
        self.allocated = self.allocated.wrapping_add(allocated);
    }
}

/// See the module's picture.
#[derive(Clone, Default)]
struct Chunk {
    bytes: Arc<[u8]>,
    long: Option<Box<LongRecords>>,
    count: u16,
    /// Where the records begin.
    start: u16,
    /// The bytes of records that were removed.
    dead: u16,
}

/// Key and payload of records too long for the chunk's own bytes; none where one was removed.
#[derive(Clone, Default)]
struct LongRecords {
    records: Vec<Option<Arc<[u8]>>>,
    bytes: usize,
}

/// What a record begins with.
struct Head {
    key_len: usize,
    payload_len: usize,
    is_long: bool,
    /// Its own length.
    len: usize,
}

impl Head {
    fn new(key: &[u8], payload: &[u8], is_long: bool) -> Head {
        let mut head = Head { key_len: key.len(), payload_len: payload.len(), is_long, len: 0 };
        head.len = varint_len(head.first()) + if payload.is_empty() { 0 } else { varint_len(payload.len() as u64) };
        head
    }

    fn first(&self) -> u64 {
        (self.key_len as u64) << 2 | u64::from(self.payload_len > 0) << 1 | u64::from(self.is_long)
    }

    #[inline]
    fn read(bytes: &[u8]) -> Head {
        let (first, mut len) = read_varint(bytes);
        let mut payload_len = 0;
        if first & 2 != 0 {
            let (read, more) = read_varint(&bytes[len..]);
            (payload_len, len) = (read as usize, len + more);
        }
        Head { key_len: (first >> 2) as usize, payload_len, is_long: first & 1 != 0, len }
    }

    fn write(&self, bytes: &mut [u8]) {
        let written = write_varint(bytes, self.first());
        if self.payload_len > 0 {
            write_varint(&mut bytes[written..], self.payload_len as u64);
        }
    }

    /// The bytes that the record takes in the chunk.
    fn record_len(&self) -> usize {
        self.len + if self.is_long { INDEX } else { self.key_len + self.payload_len }
    }
}

fn varint_len(value: u64) -> usize {
    (64 - (value | 1).leading_zeros()).div_ceil(7) as usize
}

fn write_varint(bytes: &mut [u8], mut value: u64) -> usize {
    let mut at = 0;
    while value >= 0x80 {
        bytes[at] = value as u8 | 0x80;
        value >>= 7;
        at += 1;
    }
    bytes[at] = value as u8;
    at + 1
}

/// The value, and how many bytes it takes.
#[inline]
fn read_varint(bytes: &[u8]) -> (u64, usize) {
    if bytes[0] < 0x80 {
        return (u64::from(bytes[0]), 1);
    }
    let (mut value, mut at) = (0, 0);
    loop {
        value |= u64::from(bytes[at] & 0x7f) << (7 * at);
        at += 1;
        if bytes[at - 1] < 0x80 {
            return (value, at);
        }
    }
}

fn tag(hash: u64) -> u16 {
    (hash >> 48) as u16
}

impl spine::Chunk for Chunk {
    #[inline]
    fn len(&self) -> usize {
        self.count as usize
    }
}

impl Chunk {
    fn slots_len(&self) -> usize {
        SLOT * self.count as usize
    }

    /// The bytes of slots and records.
    fn used(&self) -> usize {
        self.slots_len() + self.bytes.len() - self.start as usize - self.dead as usize
    }

    fn allocated(&self) -> usize {
        let bytes = if self.bytes.is_empty() { 0 } else { ARC_HEADER + self.bytes.len() };
        bytes + self.long.as_ref().map_or(0, |long| size_of::<LongRecords>() + long.bytes)
    }

    fn offset(&self, slot: usize) -> usize {
        let at = slot * SLOT;
        u16::from_le_bytes([self.bytes[at], self.bytes[at + 1]]) as usize
    }

    #[inline]
    fn tag(&self, slot: usize) -> u16 {
        let at = slot * SLOT + 2;
        u16::from_le_bytes([self.bytes[at], self.bytes[at + 1]])
    }

    #[inline]
    fn record(&self, slot: usize) -> Record<'_> {
        let bytes = &self.bytes[self.offset(slot)..];
        let head = Head::read(bytes);
        let bytes = &bytes[head.len..];
        let bytes = if head.is_long { self.long(u16::from_le_bytes([bytes[0], bytes[1]])) } else { bytes };
        Record { key: &bytes[..head.key_len], payload: &bytes[head.key_len..][..head.payload_len] }
    }

    fn long(&self, index: u16) -> &[u8] {
        let long = self.long.as_ref().expect("a long record is in the list");
        long.records[index as usize].as_ref().expect("a record's bytes go with it")
    }

    fn records(&self) -> impl Iterator<Item = Record<'_>> {
        (0..self.count as usize).map(|slot| self.record(slot))
    }

    /// The slot of a key.
    #[inline]
    fn find(&self, hash: u64, key: &[u8]) -> Option<usize> {
        self.find_slot(tag(hash), |slot| self.record(slot).key == key)
    }

    /// The first slot with a tag that is the one looked for.
    #[inline(always)]
    fn find_slot(&self, tag: u16, is_it: impl Fn(usize) -> bool) -> Option<usize> {
        let (slots, _) = self.bytes[..self.slots_len()].as_chunks::<SLOT>();
        let wanted = u32::from(tag) << 16;
        let has_tag = |slot: &[u8; SLOT]| (u32::from_le_bytes(*slot) ^ wanted) >> 16 == 0;
        // Eight slots are compared at once; where one of them has the tag, it is looked for.
        let (blocks, rest) = slots.as_chunks::<8>();
        for (number, block) in blocks.iter().enumerate() {
            if block.iter().fold(false, |any, slot| any | has_tag(slot)) {
                let mut places = (0..8).filter(|&place| has_tag(&block[place])).map(|place| number * 8 + place);
                if let Some(slot) = places.find(|&slot| is_it(slot)) {
                    return Some(slot);
                }
            }
        }
        let first = blocks.len() * 8;
        (0..rest.len()).find(|&place| has_tag(&rest[place]) && is_it(first + place)).map(|place| first + place)
    }

    /// Adds a key that is not there.
    fn insert(&mut self, hash: u64, key: &[u8], payload: &[u8]) {
        let mut head = Head::new(key, payload, false);
        if head.record_len() > RECORD_INLINE_MAX || self.used() + head.record_len() > CHUNK_BYTES_INLINE_MAX {
            head = Head::new(key, payload, true);
        }
        let at = self.take_room(tag(hash), head.record_len());
        if head.is_long {
            let index = self.insert_long([key, payload].concat().into());
            let bytes = &mut Arc::make_mut(&mut self.bytes)[at..];
            head.write(bytes);
            bytes[head.len..][..INDEX].copy_from_slice(&index.to_le_bytes());
        } else {
            let bytes = &mut Arc::make_mut(&mut self.bytes)[at..];
            head.write(bytes);
            bytes[head.len..][..key.len()].copy_from_slice(key);
            bytes[head.len + key.len()..][..payload.len()].copy_from_slice(payload);
        }
    }

    fn insert_long(&mut self, bytes: Arc<[u8]>) -> u16 {
        let long = self.long.get_or_insert_default();
        long.bytes += ARC_HEADER + bytes.len();
        let index = match long.records.iter().position(Option::is_none) {
            Some(free) => free,
            None => {
                long.bytes += size_of::<Option<Arc<[u8]>>>();
                long.records.push(None);
                long.records.len() - 1
            }
        };
        long.records[index] = Some(bytes);
        u16::try_from(index).expect("a chunk's records are fewer than its bytes")
    }

    /// Appends a slot for a record of so many bytes. Where the record lies.
    fn take_room(&mut self, tag: u16, record_len: usize) -> usize {
        if (self.start as usize) < self.slots_len() + SLOT + record_len {
            self.reallocate(self.used() + SLOT + record_len);
        }
        let at = self.start - record_len as u16;
        let slot = self.slots_len();
        let bytes = Arc::make_mut(&mut self.bytes);
        bytes[slot..slot + 2].copy_from_slice(&at.to_le_bytes());
        bytes[slot + 2..slot + SLOT].copy_from_slice(&tag.to_le_bytes());
        self.start = at;
        self.count += 1;
        at as usize
    }

    /// Takes other bytes with room for `len`, without those of removed records.
    fn reallocate(&mut self, len: usize) {
        let size = arc_len(len);
        assert!(size <= u16::MAX as usize, "hashes spread keys over the chunks");
        let mut bytes: Arc<[u8]> = std::iter::repeat_n(0, size).collect();
        let new = Arc::get_mut(&mut bytes).expect("it was just made");
        let old = &*self.bytes;
        let mut start = size;
        if self.dead == 0 {
            let records = &old[self.start as usize..];
            start -= records.len();
            new[start..].copy_from_slice(records);
            let moved = (size as u16).wrapping_sub(old.len() as u16);
            let (old_slots, _) = old[..self.slots_len()].as_chunks::<SLOT>();
            let (new_slots, _) = new[..self.slots_len()].as_chunks_mut::<SLOT>();
            for (new, old) in new_slots.iter_mut().zip(old_slots) {
                let [low, high] = u16::from_le_bytes([old[0], old[1]]).wrapping_add(moved).to_le_bytes();
                *new = [low, high, old[2], old[3]];
            }
        } else {
            for slot in 0..self.count as usize {
                let at = self.offset(slot);
                let record = &old[at..][..Head::read(&old[at..]).record_len()];
                start -= record.len();
                new[start..][..record.len()].copy_from_slice(record);
                let slot = slot * SLOT;
                new[slot..slot + 2].copy_from_slice(&(start as u16).to_le_bytes());
                new[slot + 2..slot + SLOT].copy_from_slice(&old[slot + 2..slot + SLOT]);
            }
        }
        (self.bytes, self.start, self.dead) = (bytes, start as u16, 0);
    }

    fn remove(&mut self, slot: usize) {
        let at = self.offset(slot);
        let head = Head::read(&self.bytes[at..]);
        if head.is_long {
            self.remove_long(at + head.len);
        }
        let last = self.slots_len() - SLOT;
        let bytes = Arc::make_mut(&mut self.bytes);
        bytes.copy_within(last..last + SLOT, slot * SLOT);
        self.count -= 1;
        if at == self.start as usize {
            self.start += head.record_len() as u16;
        } else {
            self.dead += head.record_len() as u16;
        }
        let used = self.used();
        if self.count == 0 {
            *self = Chunk::default();
        } else if self.bytes.len() > 2 * used + ARC_HEADER {
            self.reallocate(used);
        }
    }

    /// `at`: where the record's index is.
    fn remove_long(&mut self, at: usize) {
        let index = u16::from_le_bytes([self.bytes[at], self.bytes[at + 1]]);
        let long = self.long.as_mut().expect("a long record is in the list");
        let bytes = long.records[index as usize].take().expect("a record's bytes go with it");
        long.bytes -= ARC_HEADER + bytes.len();
        if long.records.iter().all(Option::is_none) {
            self.long = None;
        }
    }

    /// Puts another payload beside a key.
    fn replace(&mut self, slot: usize, hash: u64, key: &[u8], payload: &[u8]) {
        let at = self.offset(slot);
        let head = Head::read(&self.bytes[at..]);
        if head.is_long || head.payload_len != payload.len() {
            self.remove(slot);
            return self.insert(hash, key, payload);
        }
        let payload_at = at + head.len + head.key_len;
        Arc::make_mut(&mut self.bytes)[payload_at..][..payload.len()].copy_from_slice(payload);
    }

    /// Takes the records out whose keys' hashes have the bit set.
    fn split(&mut self, bit: u64) -> Chunk {
        let hashes: Vec<u64> = self.records().map(|record| spine::hash(record.key)).collect();
        let mut halves = [Chunk::default(), Chunk::default()];
        let mut lens = [0; 2];
        for (slot, hash) in hashes.iter().enumerate() {
            lens[usize::from(hash & bit != 0)] += SLOT + self.record_len(slot);
        }
        for (half, len) in halves.iter_mut().zip(lens).filter(|(_, len)| *len > 0) {
            half.reallocate(len);
        }
        for (slot, hash) in hashes.into_iter().enumerate() {
            self.move_record(slot, hash, &mut halves[usize::from(hash & bit != 0)]);
        }
        let [kept, taken] = halves;
        *self = kept;
        taken
    }

    /// Takes another's records in.
    fn join(&mut self, mut other: Chunk) {
        self.reallocate((self.used() + other.used()).max(1));
        for slot in 0..other.count as usize {
            let hash = spine::hash(other.record(slot).key);
            other.move_record(slot, hash, self);
        }
    }

    fn record_len(&self, slot: usize) -> usize {
        Head::read(&self.bytes[self.offset(slot)..]).record_len()
    }

    /// Copies a record to another chunk, and takes its long bytes along. The record is not to be used any more.
    fn move_record(&mut self, slot: usize, hash: u64, to: &mut Chunk) {
        let at = self.offset(slot);
        let head = Head::read(&self.bytes[at..]);
        let record = &self.bytes[at..][..head.record_len()];
        let to_at = to.take_room(tag(hash), record.len());
        let copied = &mut Arc::make_mut(&mut to.bytes)[to_at..][..record.len()];
        copied.copy_from_slice(record);
        if head.is_long {
            let index = u16::from_le_bytes([record[head.len], record[head.len + 1]]);
            let long = self.long.as_mut().expect("a long record is in the list");
            let bytes = long.records[index as usize].take().expect("a record's bytes go with it");
            let index = to.insert_long(bytes);
            Arc::make_mut(&mut to.bytes)[to_at + head.len..][..INDEX].copy_from_slice(&index.to_le_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;
    use crate::element_prefetch::ElementPrefetch;

    impl Hashtable {
        fn assert_consistent(&self) {
            let used: usize = self.spine.iter().map(Chunk::used).sum();
            let allocated: usize = self.spine.iter().map(Chunk::allocated).sum();
            let len: usize = self.spine.iter().map(|chunk| chunk.count as usize).sum();
            assert_eq!((self.used, self.allocated, self.len), (used, allocated, len));
            for chunk in self.spine.iter() {
                let records: usize = (0..chunk.count as usize).map(|slot| chunk.record_len(slot)).sum();
                assert_eq!(chunk.used(), records + chunk.slots_len());
            }
        }
    }

    fn random_numbers(seed: u64) -> impl FnMut() -> u64 {
        let mut state = seed;
        move || {
            state = state.wrapping_add(1);
            spine::hash(&state.to_le_bytes())
        }
    }

    #[test]
    fn tables_of_any_sizes_have_in_common_what_both_have() {
        let table = |numbers: std::ops::Range<u32>| {
            let mut table = Hashtable::default();
            numbers.for_each(|number| _ = table.insert(format!("member:{number}").as_bytes(), b""));
            table
        };
        for (own, other) in
            [(0, 10), (1, 1), (30, 31), (40, 300), (1000, 1000), (3000, 900), (700, 20_000), (5000, 6500)]
        {
            let (first, second) = (table(0..own), table(own / 2..own / 2 + other));
            for (first, second) in [(&first, &second), (&second, &first)] {
                let mut common = Vec::new();
                let walked = first.walk_common(second, |record| {
                    common.push(record.key.to_vec());
                    ControlFlow::Continue(())
                });
                let mut expected: Vec<Vec<u8>> =
                    first.iter().map(|record| record.key.to_vec()).filter(|key| second.contains(key)).collect();
                assert!(walked.is_continue());
                common.sort();
                expected.sort();
                assert_eq!(common, expected, "{own} and {other}");
            }
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Insert(u16, usize, usize),
        Remove(u16),
        Many(u16, u16),
        RemoveMany(u16, u16),
        Freeze,
    }

    fn key(number: u16, len: usize) -> Vec<u8> {
        let mut key = number.to_string().into_bytes();
        let len = len.max(key.len());
        key.resize(len, b'k');
        key
    }

    fn key_len(number: u16) -> usize {
        match number % 50 {
            0 => 600,
            1 => 200,
            _ => 12,
        }
    }

    fn step() -> impl Strategy<Value = Step> {
        let len = prop_oneof![8 => 0..40usize, 2 => 100..600usize, 1 => 600..3000usize];
        prop_oneof![
            6 => (0..500u16, Just(0), len).prop_map(|(number, _, len)| Step::Insert(number, key_len(number), len)),
            4 => (0..500u16).prop_map(Step::Remove),
            1 => (0..500u16, 1..300u16).prop_map(|(from, count)| Step::Many(from, count)),
            1 => (0..500u16, 1..300u16).prop_map(|(from, count)| Step::RemoveMany(from, count)),
            1 => Just(Step::Freeze),
        ]
    }

    proptest! {
        #[test]
        fn does_what_a_map_does(steps in prop::collection::vec(step(), 1..120)) {
            let mut table = Hashtable::default();
            let mut model = HashMap::new();
            let mut frozen = (table.clone(), model.clone());
            for step in steps {
                match step {
                    Step::Insert(number, key_len, len) => {
                        let (key, payload) = (key(number, key_len), vec![number as u8; len]);
                        prop_assert_eq!(table.insert(&key, &payload), model.insert(key, payload).is_none());
                    }
                    Step::Remove(number) => {
                        let key = key(number, key_len(number));
                        prop_assert_eq!(table.remove(&key), model.remove(&key).is_some());
                    }
                    Step::Many(from, count) => for number in from..from + count {
                        let key = key(number, key_len(number));
                        prop_assert_eq!(table.insert(&key, b""), model.insert(key, Vec::new()).is_none());
                    }
                    Step::RemoveMany(from, count) => for number in from..from + count {
                        let key = key(number, key_len(number));
                        prop_assert_eq!(table.remove(&key), model.remove(&key).is_some());
                    }
                    Step::Freeze => frozen = (table.clone(), model.clone()),
                }
                table.assert_consistent();
            }
            for (table, model) in [(&table, &model), (&frozen.0, &frozen.1)] {
                prop_assert_eq!(table.len(), model.len());
                let keys: Vec<Vec<u8>> = (0..800).map(|number| key(number, key_len(number))).collect();
                ElementPrefetch::run_all(&mut keys.iter().map(|key| ElementPrefetch::Table(table.prefetch_lookup(key))).collect::<Vec<_>>());
                for number in 0..800 {
                    let key = key(number, key_len(number));
                    prop_assert_eq!(table.get(&key), model.get(&key).map(Vec::as_slice));
                }
                let mut seen = HashMap::new();
                for record in table.iter() {
                    prop_assert!(seen.insert(record.key.to_vec(), record.payload.to_vec()).is_none());
                }
                prop_assert_eq!(&seen, model);
            }
        }
    }

    #[test]
    fn members_take_few_bytes() {
        let mut table = Hashtable::default();
        for number in 0..200_000 {
            assert!(table.insert(format!("member:{number:010}").as_bytes(), b""));
            if [1000, 30_000, 60_000, 100_000, 150_000, 199_999].contains(&number) {
                let each = table.memory_usage() as f64 / table.len() as f64;
                assert!(each < 30.0, "{each} bytes each of {number}");
            }
        }
    }

    #[test]
    fn a_table_that_loses_its_keys_gives_its_memory_back() {
        let mut table = Hashtable::default();
        (0..50_000u32).for_each(|number| assert!(table.insert(&number.to_le_bytes(), b"")));
        let mut random = random_numbers(1);
        while table.len() > 1 {
            assert!(table.pop_random(&mut random, |_| ()).is_some());
            if table.len().is_multiple_of(5000) {
                table.assert_consistent();
            }
        }
        assert!(table.memory_usage() < 1000, "{}", table.memory_usage());
    }

    #[test]
    fn keys_that_collide_are_kept() {
        // What no client can do, as it does not know the hash's key.
        let mut chunk = Chunk::default();
        for number in 0..2000u16 {
            chunk.insert(7, &number.to_le_bytes(), &[1; 100]);
        }
        for number in 0..2000u16 {
            let slot = chunk.find(7, &number.to_le_bytes()).unwrap();
            assert_eq!(chunk.record(slot).payload, [1; 100]);
        }
    }

    #[test]
    fn a_scan_returns_what_stays() {
        let mut table = Hashtable::default();
        (0..5000u32).for_each(|number| assert!(table.insert(&number.to_le_bytes(), b"")));
        let (mut cursor, mut seen, mut step) = (0, std::collections::HashSet::new(), 0u32);
        loop {
            cursor = table.scan(cursor, 10, |record| _ = seen.insert(record.key.to_vec()));
            if cursor == 0 {
                break;
            }
            // What is above 1000 goes, then others come.
            let range = (step * 200)..(step * 200 + 200);
            for number in range {
                if number < 4000 {
                    table.remove(&(number + 1000).to_le_bytes());
                } else {
                    table.insert(&(number + 10_000).to_le_bytes(), b"");
                }
            }
            step += 1;
        }
        assert!((0..1000u32).all(|number| seen.contains(&number.to_le_bytes()[..])));
    }
}
