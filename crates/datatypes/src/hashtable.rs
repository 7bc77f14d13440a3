//! The hash table of large sets and hashes: it maps keys to payloads. A set's keys are its members, with empty payloads; a hash's keys are
//! its fields, with their values as payloads.
//!
//! The table is a [`crate::spine`] of chunks. A chunk is a slotted page of about a kilobyte, in one allocation:
//!
//! ```text
//!  0          4          8                         start                                        end
//! ┌──────────┬──────────┬──────────┬──────────────┬──────────┬─────────────────────┬───────────┐
//! │ slot 0   │ slot 1   │ slot 2   │ room         │ record 2 │ (removed)           │ record 0  │
//! └──────────┴──────────┴──────────┴──────────────┴──────────┴─────────────────────┴───────────┘
//!   slot      16 bits: the offset of the record; 16 bits: the tag, which is the highest bits of the key's hash
//!   record    head [payload length] key payload              a short record
//!             head [payload length] index                    a long record: 16 bits that index the chunk's list of long records
//!   head      key length × 4 + (has a payload) × 2 + (is long), a varint; the payload length is a varint too
//!   varint    seven bits a byte, the lowest first
//! ```
//!
//! A key of 17 bytes takes 18 bytes for its record and 4 for its slot; with its share of the chunk's header and of unused room, about 25.
//! A lookup compares the tags, several at once, and then one record. A chunk grows by one size class of the allocator at a time. When
//! removed records leave enough room for that, it is rebuilt instead.

use std::{ops::ControlFlow, sync::Arc};

use crate::{
    allocation::{ARC_HEADER, HEAVY_BYTES_MIN, arc_len},
    prefetch,
    spine::{self, Spine},
};

/// The table gets another chunk when its chunks use more than this many bytes on average.
const CHUNK_BYTES_GROW: usize = 896;
/// The table loses a chunk when its chunks use fewer than this many bytes on average.
const CHUNK_BYTES_SHRINK: usize = 320;
/// A longer record is kept in an allocation of its own, so that an edit of another record of its chunk does not copy it.
const RECORD_INLINE_MAX: usize = 512;
/// A chunk that uses more bytes than this keeps all new records outside, since offsets have 16 bits. A chunk only grows to this size if
/// the hashes of its keys collide.
const CHUNK_BYTES_INLINE_MAX: usize = 24 * 1024;
/// The bytes of a slot.
const SLOT: usize = 4;
/// The bytes of the index that replaces key and payload of a long record.
const INDEX: usize = 2;

/// A hash table from keys to payloads; see the module's picture. A clone shares all chunks, and each is copied when one of the owners writes
/// to it.
#[derive(Clone, Default)]
pub struct Hashtable {
    spine: Spine<Chunk>,
    len: usize,
    /// The bytes that the chunks use for slots and records.
    used: usize,
    /// The bytes that the chunks have allocated.
    allocated: usize,
}

/// A lookup of one key that only prefetches; see [`ElementPrefetch`](crate::ElementPrefetch).
pub struct LookupPrefetch<'a> {
    table: &'a Hashtable,
    hash: u64,
    next: Step,
}

/// What a [`LookupPrefetch`] asks for next. The chunk's address was asked for when it was made.
enum Step {
    Slots,
    Record,
}

impl LookupPrefetch<'_> {
    /// Prefetches the next lines. Returns whether there is another step.
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

/// A key and its payload, as they lie in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// The member of a set, or the field of a hash.
    pub key: &'a [u8],
    /// The bytes that the owner of the table keeps for the key.
    pub payload: &'a [u8],
}

impl Hashtable {
    /// Returns the number of keys.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns whether there are no keys.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns the bytes on the heap.
    pub fn memory_usage(&self) -> usize {
        self.spine.memory_usage() + self.allocated
    }

    /// Returns whether freeing the table takes long; see [`Collection::is_heavy`](crate::Collection::is_heavy).
    pub fn is_heavy(&self) -> bool {
        self.allocated >= HEAVY_BYTES_MIN
    }

    /// Starts to prefetch the record of a key.
    #[inline]
    pub fn prefetch_lookup(&self, key: &[u8]) -> LookupPrefetch<'_> {
        let hash = spine::hash(key);
        self.spine.prefetch(hash);
        LookupPrefetch { table: self, hash, next: Step::Slots }
    }

    /// Returns whether the table has the key.
    #[inline]
    pub fn contains(&self, key: &[u8]) -> bool {
        self.contains_hashed(spine::hash(key), key)
    }

    /// As [`Hashtable::contains`], for a key whose [`spine::hash`] is known already.
    #[inline]
    pub fn contains_hashed(&self, hash: u64, key: &[u8]) -> bool {
        self.spine.get(hash).find(hash, key).is_some()
    }

    /// Returns the payload of a key, or `None` if the table does not have the key.
    #[inline]
    pub fn get(&self, key: &[u8]) -> Option<&[u8]> {
        let hash = spine::hash(key);
        let chunk = self.spine.get(hash);
        chunk.find(hash, key).map(|slot| chunk.record(slot).payload)
    }

    /// Inserts a key with its payload, or replaces the payload of a key that is there. Returns whether the key is new.
    #[inline]
    pub fn insert(&mut self, key: &[u8], payload: &[u8]) -> bool {
        self.insert_hashed(spine::hash(key), key, payload)
    }

    /// As [`Hashtable::insert`], for a key whose [`spine::hash`] is known already.
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

    /// Removes a key. Returns whether it was there.
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

    /// Returns all records. Their order changes when the table grows or shrinks.
    pub fn iter(&self) -> impl Iterator<Item = Record<'_>> {
        self.spine.iter().flat_map(Chunk::records)
    }

    /// Returns the number of chunks, which is at least one.
    pub fn chunks(&self) -> usize {
        self.spine.chunks()
    }

    /// Visits the records whose keys the other table has too, until `visit` breaks. The two tables are walked side by side: the keys of one
    /// chunk can only lie in one chunk of the other table, or in a few if the other table has more chunks. So no key is hashed.
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

    /// Returns the records whose keys may have a [`spine::hash`] that ends in the lowest `bits` bits of `hash`: all that do, and a few
    /// others of the same chunks. It finds the keys that a [`Deadlines`](crate::deadlines::Deadlines) refers to by tag.
    pub fn candidates(&self, hash: u64, bits: u32) -> impl Iterator<Item = Record<'_>> {
        let chunks = (self.spine.chunks().next_power_of_two() >> bits).max(1) as u64;
        (0..chunks).flat_map(move |high| self.spine.get(hash | high << bits).records())
    }

    /// Visits records from a cursor on, until at least `count` were visited or the end is reached. Zero is the cursor of the start. Returns
    /// the cursor to continue from, which is zero at the end. A record that is there throughout a scan is visited, however the table
    /// changes between the calls.
    pub fn scan<'a>(&'a self, cursor: u64, count: usize, mut visit: impl FnMut(Record<'a>)) -> u64 {
        let (mut visited, mut chunks) = (0, 0usize);
        self.spine.walk(cursor, |chunk| {
            chunk.records().for_each(&mut visit);
            visited += chunk.count as usize;
            chunks += 1;
            visited < count && chunks < count.saturating_mul(10)
        })
    }

    /// Returns a random record, each with the same probability, or `None` if the table is empty.
    pub fn random(&self, random: &mut impl FnMut() -> u64) -> Option<Record<'_>> {
        if self.is_empty() {
            return None;
        }
        let (index, slot) = self.spine.random(random);
        Some(self.spine.chunk(index).record(slot))
    }

    /// Removes a random record, each with the same probability. Returns what `take` made of the record before it was removed.
    pub fn pop_random<R>(&mut self, random: &mut impl FnMut() -> u64, take: impl FnOnce(Record<'_>) -> R) -> Option<R> {
        if self.is_empty() {
            return None;
        }
        let (index, slot) = self.spine.random(random);
        let taken = take(self.spine.chunk(index).record(slot));
        self.remove_at(index, slot);
        Some(taken)
    }

    /// Edits a chunk, and keeps the counts of bytes right.
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

    /// Adds or removes chunks after one record was inserted or removed: two at most.
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

/// One page of the table; see the module's picture.
#[derive(Clone, Default)]
struct Chunk {
    bytes: Arc<[u8]>,
    long: Option<Box<LongRecords>>,
    /// The number of slots, and of records.
    count: u16,
    /// The offset of the first record.
    start: u16,
    /// The bytes of removed records that still lie among the others.
    dead: u16,
}

/// The list of a chunk's long records.
#[derive(Clone, Default)]
struct LongRecords {
    /// Key and payload, one behind the other; `None` where a record was removed.
    records: Vec<Option<Arc<[u8]>>>,
    /// What the records and the list take, in bytes.
    bytes: usize,
}

/// The head of a record, with the payload length.
struct Head {
    key_len: usize,
    payload_len: usize,
    is_long: bool,
    /// The bytes that the head itself takes.
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

    /// Returns the bytes that the record takes in the chunk, the head included.
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

/// Returns the value and the number of bytes that it takes.
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

    /// Returns the bytes that slots and records take.
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
        let long = self.long.as_ref().expect("a chunk with a long record has a list of them");
        long.records[index as usize].as_ref().expect("the index of a record is taken in the list")
    }

    fn records(&self) -> impl Iterator<Item = Record<'_>> {
        (0..self.count as usize).map(|slot| self.record(slot))
    }

    /// Returns the slot of a key.
    #[inline]
    fn find(&self, hash: u64, key: &[u8]) -> Option<usize> {
        self.find_slot(tag(hash), |slot| self.record(slot).key == key)
    }

    /// Returns the first slot with this tag for which `is_it` is true.
    #[inline(always)]
    fn find_slot(&self, tag: u16, is_it: impl Fn(usize) -> bool) -> Option<usize> {
        let (slots, _) = self.bytes[..self.slots_len()].as_chunks::<SLOT>();
        let wanted = u32::from(tag) << 16;
        let has_tag = |slot: &[u8; SLOT]| (u32::from_le_bytes(*slot) ^ wanted) >> 16 == 0;
        // The tags of eight slots are compared at once. Only if one of them matches is it looked for.
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

    /// Inserts a key that is not there.
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
        u16::try_from(index).expect("a chunk has fewer records than bytes, whose offsets have 16 bits")
    }

    /// Appends a slot for a record of `record_len` bytes. Returns the offset at which the caller writes the record.
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

    /// Moves slots and records to an allocation with room for `len` bytes, and drops the bytes of removed records.
    fn reallocate(&mut self, len: usize) {
        let size = arc_len(len);
        assert!(
            size <= u16::MAX as usize,
            "hashes spread the keys over the chunks, so that none needs more than 64 KiB"
        );
        let mut bytes: Arc<[u8]> = std::iter::repeat_n(0, size).collect();
        let new = Arc::get_mut(&mut bytes).expect("a new Arc has one owner");
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

    /// Removes a long record from the list; `at` is the offset of its index.
    fn remove_long(&mut self, at: usize) {
        let index = u16::from_le_bytes([self.bytes[at], self.bytes[at + 1]]);
        let long = self.long.as_mut().expect("a chunk with a long record has a list of them");
        let bytes = long.records[index as usize].take().expect("the index of a record is taken in the list");
        long.bytes -= ARC_HEADER + bytes.len();
        if long.records.iter().all(Option::is_none) {
            self.long = None;
        }
    }

    /// Replaces the payload of the key at a slot.
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

    /// Moves the records whose keys' hashes have the bit set to a new chunk, and returns it.
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

    /// Moves the records of another chunk into this one.
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

    /// Moves a record to another chunk. The bytes of a short record stay behind and must not be used any more.
    fn move_record(&mut self, slot: usize, hash: u64, to: &mut Chunk) {
        let at = self.offset(slot);
        let head = Head::read(&self.bytes[at..]);
        let record = &self.bytes[at..][..head.record_len()];
        let to_at = to.take_room(tag(hash), record.len());
        let copied = &mut Arc::make_mut(&mut to.bytes)[to_at..][..record.len()];
        copied.copy_from_slice(record);
        if head.is_long {
            let index = u16::from_le_bytes([record[head.len], record[head.len + 1]]);
            let long = self.long.as_mut().expect("a chunk with a long record has a list of them");
            let bytes = long.records[index as usize].take().expect("the index of a record is taken in the list");
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
    fn walk_common_finds_the_keys_of_both_tables() {
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
    fn colliding_keys_are_kept() {
        // No client can do this, since the hash function's key is secret.
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
    fn a_scan_returns_the_keys_that_stay() {
        let mut table = Hashtable::default();
        (0..5000u32).for_each(|number| assert!(table.insert(&number.to_le_bytes(), b"")));
        let (mut cursor, mut seen, mut step) = (0, std::collections::HashSet::new(), 0u32);
        loop {
            cursor = table.scan(cursor, 10, |record| _ = seen.insert(record.key.to_vec()));
            if cursor == 0 {
                break;
            }
            // The keys above 1000 are removed, then others are inserted.
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
