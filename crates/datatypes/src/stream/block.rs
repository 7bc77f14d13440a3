//! Blocks: runs of neighbouring entries of a stream.
//!
//! ```text
//! block    the fields of the first entry, then the entries
//! fields   length and bytes of each
//! entry    length × 8 + flags   the length of what follows in the entry
//!          milliseconds         the difference to the first entry's
//!          sequence number      the difference to the first entry's; absent with SAME_SEQUENCE
//!          number of fields     absent with SAME_FIELDS
//!          values, or fields and values
//! ```
//!
//! Numbers are varints, of seven bits a byte; fields and values are encoded as in `item.rs`. An entry with the same fields as the first one
//! holds values only: `temp 25 hum 31` takes four bytes. A deleted entry is marked and stays until all entries of its block are deleted.
//!
//! A block also counts the bytes that it would take as a listpack, the form in which Redis keeps streams. This count decides when a block is
//! full, and so what an approximate trim removes.

use super::{
    StreamId,
    item::{Item, listpack_len_of_integer, push_number, read_number},
};
use crate::allocation::size_class;

/// A run of entries; see the module's picture.
#[derive(Clone)]
pub struct Block {
    /// The ID of the first entry that the block ever had.
    first: StreamId,
    /// The ID of the last entry, deleted or not.
    last: StreamId,
    /// The offset of the last entry.
    last_at: u32,
    /// The number of entries that are not deleted.
    live: u32,
    /// The number of entries that are marked as deleted.
    deleted: u32,
    /// The number of fields of the first entry.
    field_count: u32,
    /// The offset of the first entry.
    entries_at: u32,
    /// The bytes that the block would take as a listpack, without the two counts in it.
    listpack_bytes: u32,
    bytes: Vec<u8>,
}

/// The settings that decide when a block is full. 0 is no limit.
#[derive(Clone, Copy, Debug)]
pub struct BlockLimits {
    /// `stream-node-max-bytes`: the most bytes of a block as a listpack.
    pub bytes_max: usize,
    /// `stream-node-max-entries`: the most entries of a block, the deleted ones included.
    pub entries_max: i64,
}

/// The most bytes of a block, and of the fields and values of one entry. (Redis: `STREAM_LISTPACK_MAX_SIZE`)
pub const BYTES_MAX: usize = 1 << 30;

/// An entry in a block.
#[derive(Clone, Copy)]
pub struct Entry<'a> {
    /// The entry's ID.
    pub id: StreamId,
    is_deleted: bool,
    /// The entry's offset in its block.
    at: usize,
    field_count: usize,
    /// The fields of the first entry of the block, if this entry has the same ones.
    shared_fields: Option<&'a [u8]>,
    /// The encoded values, or fields and values.
    items: &'a [u8],
}

const DELETED: u64 = 1;
const SAME_FIELDS: u64 = 2;
const SAME_SEQUENCE: u64 = 4;
const FLAG_BITS: u32 = 3;

impl Block {
    /// Makes a block with its first entry. `pairs` are fields and values by turns, here and below. `capacity` is the expected length in
    /// bytes.
    pub(super) fn new(id: StreamId, pairs: &[&[u8]], capacity: usize) -> Block {
        let mut bytes = Vec::with_capacity(capacity);
        let mut listpack_bytes = LISTPACK_ENDS;
        // In the listpack, the number of fields precedes them, and a zero follows them.
        listpack_bytes += listpack_len_of_integer((pairs.len() / 2) as i64) + listpack_len_of_integer(0);
        for field in pairs.iter().step_by(2) {
            push_number(&mut bytes, field.len() as u64);
            bytes.extend_from_slice(field);
            listpack_bytes += Item::new(field).listpack_len();
        }
        let mut block = Block {
            first: id,
            last: id,
            last_at: 0,
            live: 0,
            deleted: 0,
            field_count: (pairs.len() / 2) as u32,
            entries_at: bytes.len() as u32,
            listpack_bytes: listpack_bytes as u32,
            bytes,
        };
        block.push(id, pairs);
        block
    }

    /// Appends an entry. Its ID must be greater than all IDs of the block.
    #[inline]
    pub(super) fn push(&mut self, id: StreamId, pairs: &[&[u8]]) {
        debug_assert!(id > self.last || self.live == 0, "the ID of an appended entry is not greater than the last");
        // Most entries have fewer than 16 bytes, so that one byte holds the length. A longer entry is moved when its length is known.
        const HEADER_LEN: usize = 1;
        let start = self.bytes.len();
        self.bytes.push(0);
        let mut flags = 0;
        let mut listpack_bytes = 0;
        let ms = id.ms - self.first.ms;
        push_number(&mut self.bytes, ms);
        listpack_bytes += listpack_len_of_integer(ms as i64);
        let seq = id.seq.wrapping_sub(self.first.seq) as i64;
        if seq == 0 {
            flags |= SAME_SEQUENCE;
        } else {
            push_number(&mut self.bytes, ((seq << 1) ^ (seq >> 63)) as u64);
        }
        listpack_bytes += listpack_len_of_integer(seq);
        let field_count = pairs.len() / 2;
        // The flags, which take two bytes in the listpack. The number of elements, which follows the entry, is added below.
        listpack_bytes += 2;
        if self.shares_fields(pairs) {
            flags |= SAME_FIELDS;
            for value in pairs.iter().skip(1).step_by(2) {
                let item = Item::new(value);
                item.push(&mut self.bytes);
                listpack_bytes += item.listpack_len();
            }
            listpack_bytes += listpack_len_of_integer(field_count as i64 + 3);
        } else {
            push_number(&mut self.bytes, field_count as u64);
            for text in pairs {
                let item = Item::new(text);
                item.push(&mut self.bytes);
                listpack_bytes += item.listpack_len();
            }
            let count = field_count as i64;
            listpack_bytes += listpack_len_of_integer(count) + listpack_len_of_integer(2 * count + 4);
        }
        let body_len = self.bytes.len() - start - HEADER_LEN;
        let header = (body_len as u64) << FLAG_BITS | flags;
        if header < 0x80 {
            self.bytes[start] = header as u8;
        } else {
            let mut written = Vec::with_capacity(5);
            push_number(&mut written, header);
            self.bytes.splice(start..start + HEADER_LEN, written);
        }
        self.listpack_bytes += listpack_bytes as u32;
        self.live += 1;
        self.last = id;
        self.last_at = start as u32;
    }

    /// Returns whether an entry whose fields and values have `added` bytes must go to another block.
    #[inline]
    pub(super) fn is_full(&self, added: usize, limits: &BlockLimits) -> bool {
        let bytes_max = if limits.bytes_max == 0 { BYTES_MAX } else { limits.bytes_max.min(BYTES_MAX) };
        self.listpack_bytes() + added >= bytes_max
            || limits.entries_max != 0 && i64::from(self.live) + i64::from(self.deleted) >= limits.entries_max
    }

    /// Returns the ID of the first entry that the block ever had, which is the block's key in the stream.
    pub fn first(&self) -> StreamId {
        self.first
    }

    /// Returns the ID of the last entry, deleted or not.
    pub(super) fn last(&self) -> StreamId {
        self.last
    }

    /// Returns the ID of the last entry, if that is not deleted.
    pub(super) fn last_live(&self) -> Option<StreamId> {
        (u64::from(self.bytes[self.last_at as usize]) & DELETED == 0).then_some(self.last)
    }

    /// Returns the number of entries that are marked as deleted.
    pub fn deleted(&self) -> usize {
        self.deleted as usize
    }

    /// Returns the fields of the first entry.
    pub fn fields(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        let mut at = 0;
        (0..self.field_count as usize).map(move |_| read_field(&self.bytes, &mut at))
    }

    /// Returns the number of entries that are not deleted.
    pub fn live(&self) -> usize {
        self.live as usize
    }

    /// Returns the bytes that the block would take as a listpack.
    pub(super) fn listpack_bytes(&self) -> usize {
        self.listpack_bytes as usize
            + listpack_len_of_integer(self.live.into())
            + listpack_len_of_integer(self.deleted.into())
    }

    /// Returns the bytes that the fields and the entries take.
    pub(super) fn bytes_len(&self) -> usize {
        self.bytes.len()
    }

    /// Returns the bytes of the block, on the heap and for itself.
    pub(super) fn memory_usage(&self) -> usize {
        size_of::<Block>() + size_class(self.bytes.capacity())
    }

    /// Gives unused memory back. For a block to which nothing will be appended.
    pub(super) fn shrink(&mut self) {
        if self.bytes.capacity() - self.bytes.len() > self.bytes.len() / 8 {
            self.bytes.shrink_to_fit();
        }
    }

    /// Returns all entries in order, including deleted ones.
    pub fn entries(&self) -> Entries<'_> {
        Entries { block: self, at: self.entries_at as usize }
    }

    /// Returns the entry of an ID, if it is there and not deleted.
    pub(super) fn find(&self, id: StreamId) -> Option<Entry<'_>> {
        self.entries().find(|entry| entry.id >= id).filter(|entry| entry.id == id && !entry.is_deleted)
    }

    /// Marks the entry at an offset as deleted, which it must not be yet.
    pub(super) fn mark_deleted(&mut self, at: usize) {
        debug_assert_eq!(u64::from(self.bytes[at]) & DELETED, 0);
        self.bytes[at] |= DELETED as u8;
        self.live -= 1;
        self.deleted += 1;
    }

    /// Marks the last entry as deleted, which it must not be yet.
    pub(super) fn mark_last_deleted(&mut self) {
        self.mark_deleted(self.last_at as usize);
    }

    /// Returns whether the fields of `pairs` are those of the first entry.
    #[inline]
    fn shares_fields(&self, pairs: &[&[u8]]) -> bool {
        if pairs.len() / 2 != self.field_count as usize {
            return false;
        }
        let mut at = 0;
        pairs.iter().step_by(2).all(|field| read_field(&self.bytes, &mut at) == *field)
    }

    /// Returns the entry at an offset, and the offset of the next one.
    #[inline]
    fn entry(&self, at: usize) -> (Entry<'_>, usize) {
        let bytes = &self.bytes[..];
        let mut position = at;
        let header = read_number(bytes, &mut position);
        let end = position + (header >> FLAG_BITS) as usize;
        let ms = self.first.ms + read_number(bytes, &mut position);
        let mut seq = self.first.seq;
        if header & SAME_SEQUENCE == 0 {
            let difference = read_number(bytes, &mut position);
            seq = seq.wrapping_add((difference >> 1) ^ (difference & 1).wrapping_neg());
        }
        let (field_count, shared_fields) = if header & SAME_FIELDS == 0 {
            (read_number(bytes, &mut position) as usize, None)
        } else {
            (self.field_count as usize, Some(&bytes[..self.entries_at as usize]))
        };
        let id = StreamId { ms, seq };
        let is_deleted = header & DELETED != 0;
        (Entry { id, is_deleted, at, field_count, shared_fields, items: &bytes[position..end] }, end)
    }
}

/// The bytes of a listpack's header and end.
const LISTPACK_ENDS: usize = 6 + 1;

/// Reads a field of the first entry, and advances `at` to the next one.
#[inline]
fn read_field<'a>(bytes: &'a [u8], at: &mut usize) -> &'a [u8] {
    let len = read_number(bytes, at) as usize;
    *at += len;
    &bytes[*at - len..*at]
}

/// An iterator over the entries of a block.
pub struct Entries<'a> {
    block: &'a Block,
    at: usize,
}

impl<'a> Iterator for Entries<'a> {
    type Item = Entry<'a>;

    #[inline]
    fn next(&mut self) -> Option<Entry<'a>> {
        if self.at == self.block.bytes.len() {
            return None;
        }
        let (entry, next) = self.block.entry(self.at);
        self.at = next;
        Some(entry)
    }
}

impl<'a> Entry<'a> {
    /// Returns whether the entry is marked as deleted.
    pub fn is_deleted(&self) -> bool {
        self.is_deleted
    }

    /// Returns the entry's offset in its block.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// Returns whether the entry has the same fields as the first entry of its block.
    pub fn shares_fields(&self) -> bool {
        self.shared_fields.is_some()
    }

    /// Returns the number of fields, each of which has a value.
    pub fn field_count(&self) -> usize {
        self.field_count
    }

    /// Returns the fields with their values.
    #[inline]
    pub fn pairs(&self) -> impl Iterator<Item = (Item<'a>, Item<'a>)> + use<'a> {
        let Entry { field_count, shared_fields, items, .. } = *self;
        let (mut field_at, mut item_at) = (0, 0);
        (0..field_count).map(move |_| {
            let field = match shared_fields {
                Some(fields) => Item::Bytes(read_field(fields, &mut field_at)),
                None => Item::read(items, &mut item_at),
            };
            (field, Item::read(items, &mut item_at))
        })
    }
}
