//! Deleting entries: what is deleted, and what becomes of the groups' references to it.

use std::sync::Arc;

use super::{Block, Groups, Log, StreamId};

/// What to do about consumer groups in which an entry that is to be deleted is pending. (Redis: the XDELEX page)
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum References {
    /// It stays pending.
    #[default]
    Keep,
    /// It is pending no longer.
    Delete,
    /// It is only deleted if it was delivered to all groups and is pending in none.
    Acknowledged,
}

/// Up to where a stream is trimmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrimTo {
    /// To this length.
    Length(u64),
    /// To the entries from this ID on.
    From(StreamId),
}

/// A trim.
#[derive(Clone, Copy, Debug)]
pub struct Trim {
    pub to: TrimTo,
    /// Whole blocks only.
    pub approximate: bool,
    /// No more entries than this; 0 is no limit.
    pub limit: u64,
    pub references: References,
}

/// What became of an entry that was to be deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deletion {
    Deleted,
    NotThere,
    /// It stays, since groups refer to it.
    Referred,
}

/// Deletes an entry with regard to the groups' references.
pub(super) fn delete(log: &mut Log, groups: &mut Groups, id: StreamId, references: References) -> Deletion {
    match references {
        References::Keep => {}
        References::Delete => remove_references(groups, id),
        References::Acknowledged if is_referred(groups, id) => return Deletion::Referred,
        References::Acknowledged => {}
    }
    if log.delete(id) { Deletion::Deleted } else { Deletion::NotThere }
}

/// Trims, and says how many entries were removed. (Redis: `streamTrim`)
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
        // Where references matter, no block goes as a whole; so nothing does in an approximate trim.
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

/// Trims within one block; how many entries it removed. As in Redis, a block whose last entries were deleted before stays until a trim goes
/// beyond these.
fn trim_block(log: &mut Log, groups: &mut Groups, key: StreamId, trim: &Trim, is_all_removed: bool) -> u64 {
    let block = log.blocks.get_mut(&key).expect("the key is a block's");
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
    /// Deletes an entry; whether it was there.
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

    /// Finds the first entry anew after some were removed.
    fn find_first(&mut self) {
        let first = self.range(StreamId::MIN, StreamId::MAX).next().map(|entry| entry.id);
        self.first_id = first.unwrap_or(StreamId::MIN);
    }
}
