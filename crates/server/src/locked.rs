//! The locks of a request while it runs, with its clock and with the journal records of what it does.

use std::ops::{Deref, DerefMut};

use ochre_keyspace::LockSet;

use crate::{
    clock,
    config::Config,
    core::Core,
    journal::{Frame, Position, frame},
};

/// The locks of a request. When this is dropped, the records go to the journal, and then the locks are released.
pub struct Locked<'c> {
    core: &'c Core,
    set: LockSet<'c>,
    /// Whether the set has a buffer for records.
    keeps_records: bool,
}

impl<'c> Locked<'c> {
    /// Reads the clock for a set that was just locked. If a journal is kept, the set is given a buffer for records.
    #[inline(always)]
    pub fn new(core: &'c Core, config: &Config, set: LockSet<'c>) -> Locked<'c> {
        let keeps_records = core.server.journal.is_kept();
        let mut locked = Locked { core, set, keeps_records };
        locked.read_clock(config);
        locked.set.set_removes_expired(!core.server.pause.stops_expiry());
        if keeps_records {
            *locked.set.records() = Some(core.take_record_buffer());
        }
        locked
    }

    /// Returns where the next record begins, for [`Locked::end_record`].
    #[inline]
    pub fn record_mark(&self) -> usize {
        if self.keeps_records { frame::mark(&self.set.records()) } else { 0 }
    }

    /// Ends the record that began at `mark`, if anything was recorded since.
    #[inline]
    pub fn end_record(&self, mark: usize) {
        if self.keeps_records {
            frame::end_record(&mut self.set.records(), mark);
        }
    }

    /// Reads the clock, which stands still until this is called again.
    pub fn read_clock(&mut self, config: &Config) {
        let now_ms = clock::now_ms();
        self.set.set_clock(now_ms, self.core.access_clock(config, now_ms));
    }

    /// Returns the position in the journal that a reply made under these locks depends on: the frame of these locks, if anything was
    /// recorded in it, or else the last frame so far, whose effects the request may have read.
    pub fn position(&self) -> Position {
        match &*self.set.records() {
            None => Position::default(),
            Some(records) => frame::position(records).unwrap_or_else(|| self.core.server.journal.last_position()),
        }
    }
}

impl<'c> Deref for Locked<'c> {
    type Target = LockSet<'c>;

    fn deref(&self) -> &LockSet<'c> {
        &self.set
    }
}

impl<'c> DerefMut for Locked<'c> {
    fn deref_mut(&mut self) -> &mut LockSet<'c> {
        &mut self.set
    }
}

impl Drop for Locked<'_> {
    #[inline]
    fn drop(&mut self) {
        debug_assert!(!self.set.has_expired(), "expired keys are made known before the locks are released");
        if self.keeps_records {
            self.hand_records_over();
        }
    }
}

impl Locked<'_> {
    /// Passes the records to the journal.
    fn hand_records_over(&mut self) {
        let records = self.set.records().take();
        if let Some(records) = records {
            if !records.is_empty() {
                self.core.server.journal.append(self.core.index, Frame::in_buffer(&records));
                self.core.appended.notify_one();
            }
            self.core.give_record_buffer(records);
        }
    }
}
