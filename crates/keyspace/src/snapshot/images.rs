//! Images: entries as they were at the cut of a snapshot.

use std::{ptr::NonNull, sync::Arc, sync::atomic::Ordering};

use super::Running;
use crate::{
    entry::{Entry, EntryRef, Epoch},
    table::Table,
};

/// Some images of a snapshot. They are cleared when they are dropped.
///
/// ```text
///  blocks   for each short entry: database u32, length u32, a copy of its block
/// ```
#[derive(Default)]
pub struct Images {
    blocks: Vec<u8>,
    /// Entries whose values lie outside of their blocks, with their databases.
    entries: Vec<(usize, Entry)>,
    /// Tables of removed databases. Only their entries of the old epoch are images.
    tables: Vec<(usize, Table)>,
    /// The epoch after the cut.
    epoch: Epoch,
    /// See [`Images::bytes`].
    bytes: usize,
    /// The bytes that lock sets have handed over, and the snapshot whose backlog counts them.
    handed_over: Option<(usize, Arc<Running>)>,
}

/// The length of what comes before a block.
const HEADER: usize = 8;
/// What a value outside of its block counts for at least: its part that is not shared.
const ENTRY_BYTES: usize = 1024;
/// A longer buffer is freed when it was used.
const KEPT_BYTES_MAX: usize = 1 << 20;

impl Images {
    /// Adds the image of an entry. `database` is that of the cut.
    pub(crate) fn add(&mut self, database: usize, entry: EntryRef<'_>) {
        match entry.own_bytes() {
            Some(block) => {
                self.blocks.extend_from_slice(&(database as u32).to_le_bytes());
                self.blocks.extend_from_slice(&(block.len() as u32).to_le_bytes());
                self.blocks.extend_from_slice(block);
                self.bytes += HEADER + block.len();
            }
            None => {
                self.entries.push((database, Entry::duplicate(entry, entry.key())));
                self.bytes += entry.key().len() + entry.long_string_len().unwrap_or(0).max(ENTRY_BYTES);
            }
        }
    }

    /// Adds the images of a removed database. `database` is that of the cut.
    pub(super) fn add_table(&mut self, database: usize, table: Table) {
        self.tables.push((database, table));
    }

    /// Frees the images. Those that lock sets have handed over no longer count as a backlog.
    pub fn clear(&mut self) {
        self.blocks.clear();
        self.blocks.shrink_to(KEPT_BYTES_MAX);
        self.entries.clear();
        self.tables.clear();
        self.bytes = 0;
        if let Some((bytes, running)) = self.handed_over.take() {
            running.backlog.fetch_sub(bytes, Ordering::Relaxed);
        }
    }

    /// Returns whether there are none.
    pub fn is_empty(&self) -> bool {
        self.bytes == 0 && self.tables.is_empty()
    }

    /// Sets the epoch after the cut.
    pub(crate) fn set_epoch(&mut self, epoch: Epoch) {
        self.epoch = epoch;
    }

    /// Moves the images here that lock sets have handed over.
    pub(super) fn take_handed_over(&mut self, other: &mut Images, running: &Arc<Running>) {
        if other.is_empty() {
            return;
        }
        self.handed_over.get_or_insert_with(|| (0, running.clone())).0 += other.bytes;
        if self.blocks.is_empty() {
            std::mem::swap(&mut self.blocks, &mut other.blocks);
        } else {
            self.blocks.append(&mut other.blocks);
        }
        self.entries.append(&mut other.entries);
        self.tables.append(&mut other.tables);
        self.bytes += std::mem::take(&mut other.bytes);
    }

    /// Returns about how many bytes of memory the images take that would be free without them.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Visits the images, each with the number of its database at the cut.
    pub fn visit(&self, visit: &mut dyn FnMut(usize, EntryRef<'_>)) {
        let mut blocks = &self.blocks[..];
        while let Some((header, rest)) = blocks.split_first_chunk::<HEADER>() {
            let [a, b, c, d, e, f, g, h] = *header;
            let (database, len) = (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]));
            let (block, rest) = rest.split_at(len as usize);
            // SAFETY: `block` is a copy of the block of an entry that owns nothing else, and is not written to while it is borrowed.
            visit(database as usize, unsafe { EntryRef::from_block(NonNull::from(block).cast()) });
            blocks = rest;
        }
        self.entries.iter().for_each(|(database, entry)| visit(*database, entry.view()));
        for (database, table) in &self.tables {
            let visit = |entry: EntryRef<'_>| {
                if entry.epoch() != self.epoch {
                    visit(*database, entry);
                }
            };
            table.visit_from(0, visit, || false);
        }
    }
}

impl Drop for Images {
    fn drop(&mut self) {
        self.clear();
    }
}
