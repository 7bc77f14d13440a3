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
}

impl<'k> Changes<'k> {
    /// Makes the right. `cut` is that of the lock set.
    #[inline]
    pub(crate) fn new(counts: Counts<'k>, cut: Cut, snapshots: &'k Snapshots) -> Changes<'k> {
        Changes { counts, cut, snapshots }
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
