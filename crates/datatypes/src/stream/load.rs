//! Making the log of a stream that is loaded from a file, block by block.

use std::sync::Arc;

use super::{Block, Log, NewState, StreamId, block};

/// A log that is being loaded.
#[derive(Default)]
pub struct LogLoader {
    log: Log,
    /// The block to which entries are appended.
    open: Option<Block>,
}

impl LogLoader {
    /// Ends the block of the entries so far. The next entry begins another one.
    pub fn begin_block(&mut self) {
        // A block without entries that are left would have been removed.
        if let Some(mut block) = self.open.take().filter(|block| block.live() > 0) {
            block.shrink();
            self.log.length += block.live() as u64;
            self.log.blocks.insert(block.first(), Arc::new(block));
        }
    }

    /// Appends an entry, which may be marked as deleted. `pairs` are fields and values by turns. Returns false if the ID is not greater than
    /// that of the entry before, or the block would be too large.
    pub fn push(&mut self, id: StreamId, pairs: &[&[u8]], is_deleted: bool) -> bool {
        let added: usize = pairs.iter().map(|text| text.len()).sum();
        if id <= self.log.last_id || added > block::BYTES_MAX {
            return false;
        }
        self.log.last_id = id;
        match &mut self.open {
            Some(block) if block.bytes_len() + added > block::BYTES_MAX => return false,
            Some(block) => block.push(id, pairs),
            None => self.open = Some(Block::new(id, pairs, 0)),
        }
        if let Some(block) = self.open.as_mut().filter(|_| is_deleted) {
            block.mark_last_deleted();
        }
        true
    }

    /// Returns the number of entries so far that are not deleted.
    pub fn len(&self) -> u64 {
        self.log.length + self.open.as_ref().map_or(0, |block| block.live() as u64)
    }

    /// Returns whether there are no entries that are not deleted.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the log with the state that it had, or `None` if this state cannot be that of its entries.
    pub fn finish(mut self, state: &NewState) -> Option<Log> {
        self.begin_block();
        self.log.find_first();
        self.log.entries_added = self.log.length as i64;
        self.log.set_state(state).ok()?;
        Some(self.log)
    }
}
