//! Deleting entries, and what happens to the references that consumer groups have to them.

use std::sync::Arc;

use super::{Block, Groups, Log, StreamId};

/// What happens to the references of consumer groups when an entry is deleted. (Redis: the XDELEX page)
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum References {
    /// KEEPREF: the entry stays pending.
    #[default]
    Keep,
    /// DELREF: the entry is removed from the pending entries of all groups.
    Delete,
    /// ACKED: the entry is deleted only if it was delivered to all groups and is pending in none.
    Acknowledged,
}

/// The point up to which a stream is trimmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrimTo {
    /// MAXLEN: the entries that stay are the last ones, of this number.
    Length(u64),
    /// MINID: the entries that stay are those from this ID on.
    From(StreamId),
}

/// The arguments of a trim. (Redis: the XTRIM page)
#[derive(Clone, Copy, Debug)]
pub struct Trim {
    /// The point up to which to trim.
    pub to: TrimTo,
    /// `~`: only whole blocks are removed.
    pub approximate: bool,
    /// LIMIT: the most entries to remove. 0 is no limit.
    pub limit: u64,
    /// What happens to the references of consumer groups.
    pub references: References,
}

/// The result of deleting an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deletion {
    /// The entry was deleted.
    Deleted,
    /// There is no such entry.
    NotThere,
    /// The entry stays, since a group refers to it.
    Referred,
}

/// As [`Stream::delete`](super::Stream::delete).
pub(super) fn delete(log: &mut Log, groups: &mut Groups, id: StreamId, references: References) -> Deletion {
    match references {
        References::Keep => {}
        References::Delete => remove_references(groups, id),
        References::Acknowledged if is_referred(groups, id) => return Deletion::Referred,
        References::Acknowledged => {}
    }
    if log.delete(id) { Deletion::Deleted } else { Deletion::NotThere }
}

/// As [`Stream::trim`](super::Stream::trim). (Redis: `streamTrim`)
pub(super) fn trim(log: &mut Log, groups: &mut Groups, trim: &Trim) -> u64 {
    let mut removed = 0;
    let mut from = StreamId::MIN;
    while let Some((&key, block)) = log.blocks.range(from..).next() {
        if matches!(trim.to, TrimTo::Length(length) if log.length <= length) {
            break;
        }
        let live = block.live() as u64;
        if trim.limit > 0 && removed + live > trim.limit {
            break;
        }
        let is_all_removed = match trim.to {
            TrimTo::Length(length) => log.length - live >= length,
            TrimTo::From(id) => block.last() < id,
        };
        if is_all_removed && trim.references == References::Keep {
            log.blocks.remove(&key);
            log.length -= live;
            removed += live;
            continue;
        }
        // If references matter, no block is removed as a whole, so that an approximate trim removes nothing.
        if trim.approximate {
            break;
        }
        removed += trim_block(log, groups, key, trim, is_all_removed);
        match key.next() {
            Some(next) if is_all_removed => from = next,
            _ => break,
        }
    }
    if removed > 0 {
        log.find_first();
    }
    removed
}

/// Trims within one block. Returns the number of entries that were removed. As on Redis, a block whose last entries were deleted before
/// stays until a trim goes beyond these.
fn trim_block(log: &mut Log, groups: &mut Groups, key: StreamId, trim: &Trim, is_all_removed: bool) -> u64 {
    let block = log.blocks.get_mut(&key).expect("no block has this key");
    let mut doomed = Vec::new();
    for entry in block.entries() {
        let is_beyond = match trim.to {
            TrimTo::Length(length) => log.length - doomed.len() as u64 <= length,
            TrimTo::From(id) => entry.id >= id,
        };
        if is_beyond {
            break;
        }
        if entry.is_deleted() {
            continue;
        }
        match trim.references {
            References::Keep => {}
            References::Delete => remove_references(groups, entry.id),
            References::Acknowledged if is_referred(groups, entry.id) => continue,
            References::Acknowledged => {}
        }
        doomed.push(entry.at());
    }
    log.length -= doomed.len() as u64;
    if is_all_removed && doomed.len() == block.live() {
        log.blocks.remove(&key);
    } else if !doomed.is_empty() {
        let block = Arc::make_mut(block);
        doomed.iter().for_each(|at| block.mark_deleted(*at));
    }
    doomed.len() as u64
}

fn is_referred(groups: &Groups, id: StreamId) -> bool {
    groups.values().any(|group| group.refers_to(id))
}

fn remove_references(groups: &mut Groups, id: StreamId) {
    groups.values_mut().for_each(|group| {
        group.acknowledge(id);
    });
}

impl Log {
    /// Deletes an entry, and keeps the references to it. Returns whether it was there.
    pub(super) fn delete(&mut self, id: StreamId) -> bool {
        let Some((&key, block)) = self.blocks.range_mut(..=id).next_back() else { return false };
        let Some(at) = block.find(id).map(|entry| entry.at()) else { return false };
        if block.live() == 1 {
            self.blocks.remove(&key);
        } else {
            let block: &mut Block = Arc::make_mut(block);
            block.mark_deleted(at);
        }
        self.length -= 1;
        self.max_deleted_id = self.max_deleted_id.max(id);
        if id == self.first_id {
            self.find_first();
        }
        true
    }

    /// Determines the first ID anew, after entries were removed.
    pub(super) fn find_first(&mut self) {
        let first = self.range(StreamId::MIN, StreamId::MAX).next().map(|entry| entry.id);
        self.first_id = first.unwrap_or(StreamId::MIN);
    }
}
