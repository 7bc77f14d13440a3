//! What every change of an entry keeps true besides the table: the sizes of the databases, and a snapshot that is being taken.

use crate::{
    entry::{EntryRef, Epoch},
    sizes::Counts,
    snapshot::{Cut, Snapshots},
};

/// The right of a lock set to change the entries of a database.
#[derive(Clone, Copy)]
pub(crate) struct Changes<'k> {
    /// The counts of the database.
    pub(crate) counts: Counts<'k>,
    cut: Cut,
    snapshots: &'k Snapshots,
    /// The access clock of an entry that is changed, if changes set it.
    pub(crate) access: Option<u32>,
}

impl<'k> Changes<'k> {
    /// Makes the right. `cut` is that of the lock set; `access` is the access clock of an entry that is changed, if changes set it.
    #[inline]
    pub(crate) fn new(counts: Counts<'k>, cut: Cut, snapshots: &'k Snapshots, access: Option<u32>) -> Changes<'k> {
        Changes { counts, cut, snapshots, access }
    }

    /// The epoch of an entry that is added or changed now.
    #[inline]
    pub(crate) fn epoch(&self) -> Epoch {
        self.cut.epoch
    }

    /// Hands the image of an entry to the snapshot that is being taken, if it has not got it yet. This comes before every change of an entry.
    #[inline]
    pub(crate) fn before(&self, entry: EntryRef<'_>) {
        if self.cut.is_owed(entry) {
            self.snapshots.hand_over(self.counts.by(), self.counts.index(), entry);
        }
    }
}
