//! How much each database holds: keys, keys that expire, hashes with fields that expire. Each core counts what it adds and removes, in
//! memory of its own, so that counting is cheap. The size of a database is the sum over all cores. It is read without a lock, and is the
//! size at one instant of the reading.
//!
//! ```text
//!  core        ┌─ database ──────────────────────────────────────────────┐
//!  version     │ live      what the lock set of the core sees            │
//!  unpublished │ latest    what others see, with the number of a reading │
//!              │ earlier   what they saw before, with an earlier number  │
//!              └─────────────────────────────────────────────────────────┘
//! ```
//!
//! A lock set changes the live counts. Before it releases its locks it publishes all its changes at once: so a key that is renamed is never
//! missing, and the keys of an MSET appear together. Readings are numbered. A publication is stamped with the number of the last reading that
//! had begun. A reading sees the publications whose stamp is below its own number and no others, so it begins between two publications, and
//! that is its instant. To make this possible a database keeps its counts of before the first publication with a new stamp.
//!
//! Why nothing is torn: the publisher first makes the version of its core odd, then reads the number of the last reading. A reader first takes
//! a number, then looks at the versions, and waits while one is odd, which is a few stores long. All of this is in one total order
//! (sequential consistency). So a reader that finds a version even has either got the counts that were published, or the publisher will see
//! the reader's number and stamp them as later.
//!
//! The counts of a core are written by the core's thread, while it is inside the gate. With the gate closed the closer may write the counts
//! of every core. So no count ever has two writers at a time, and plain loads and stores suffice.

use std::ops::Range;

use crate::sync::{AtomicI64, AtomicU32, AtomicU64, OnceLock, Ordering, fence, wait_a_moment};

/// The number of databases whose counts are allocated together. The model checker tries all orders of all accesses, so it has one.
const CHUNK: usize = if cfg!(loom) { 1 } else { 64 };

/// The number of counts of a database; see [`Figures`].
const COUNTS: usize = 4;

/// The counts of a database: keys, keys with an expiry, hashes with fields that expire, and the sum of the expiries (see `expiry_unit`).
type Figures = [i64; COUNTS];

const KEYS: usize = 0;
const EXPIRES: usize = 1;
const WITH_EXPIRING_FIELDS: usize = 2;
const EXPIRY_SUM: usize = 3;

/// How much a database holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DatabaseSize {
    /// All keys, including expired ones that were not removed yet (DBSIZE).
    pub keys: usize,
    /// Keys with an expiry.
    pub expires: usize,
    /// Hashes with fields that expire.
    pub with_expiring_fields: usize,
    /// The mean expiry of the keys that expire, in milliseconds since 1970 and precise to 16 milliseconds; 0 if no key expires.
    pub mean_expiry_ms: i64,
}

/// The sizes of all databases. See the module.
pub(crate) struct Sizes {
    cores: Box<[CoreSizes]>,
    /// The number of readings that have begun.
    readings: AtomicU64,
}

/// The counts of one core, on cache lines of their own.
#[repr(align(128))]
struct CoreSizes {
    /// Odd while the counts are being published.
    version: AtomicU64,
    /// The core whose lock set has changed live counts that are not published, plus one; 0 for none. It is this core, or the closer's.
    changed_by: AtomicU32,
    /// The databases with such counts, a bit each. The last bit stands for all further ones.
    changed: AtomicU64,
    /// The databases that most servers have.
    first: Box<[Database; CHUNK]>,
    /// Further databases, `CHUNK` at a time, allocated when they are first used.
    others: Box<[OnceLock<Box<[Database; CHUNK]>>]>,
}

/// One core's share of a database's size. A figure may be negative: a key is often removed by another core than added it.
struct Database {
    /// What the core's lock set sees.
    live: Record,
    /// What others see.
    latest: Record,
    /// The counts before the first publication with the stamp of `latest`.
    earlier: Record,
}

/// Figures with the stamp of their publication, which `live` has not.
struct Record {
    stamp: AtomicU64,
    figures: [AtomicI64; COUNTS],
}

impl Record {
    fn new() -> Record {
        Record { stamp: AtomicU64::new(0), figures: std::array::from_fn(|_| AtomicI64::new(0)) }
    }

    fn figures(&self) -> Figures {
        std::array::from_fn(|which| self.figures[which].load(Ordering::Relaxed))
    }

    fn store(&self, stamp: u64, figures: Figures) {
        self.stamp.store(stamp, Ordering::Relaxed);
        for (count, figure) in self.figures.iter().zip(figures) {
            count.store(figure, Ordering::Relaxed);
        }
    }
}

impl Database {
    fn chunk() -> Box<[Database; CHUNK]> {
        Box::new(std::array::from_fn(|_| Database {
            live: Record::new(),
            latest: Record::new(),
            earlier: Record::new(),
        }))
    }

    /// Publishes the live counts with a stamp. The version of the core is odd.
    fn publish(&self, stamp: u64) {
        let before = self.latest.stamp.load(Ordering::Relaxed);
        if before != stamp {
            self.earlier.store(before, self.latest.figures());
        }
        self.latest.store(stamp, self.live.figures());
    }

    /// Returns what a reading sees. `None` if the counts of then are no longer kept, since other readings have begun meanwhile.
    fn seen_by(&self, reading: u64) -> Option<Figures> {
        let record = [&self.latest, &self.earlier].into_iter();
        record.into_iter().find(|record| record.stamp.load(Ordering::Relaxed) < reading).map(Record::figures)
    }
}

/// The right of a lock set to change the counts of a core for a database.
#[derive(Clone, Copy)]
pub(crate) struct Counts<'k> {
    core: &'k CoreSizes,
    database: &'k Database,
    /// The number of the database.
    index: usize,
    /// The core whose lock set it is.
    by: usize,
}

/// Expiries are summed in units of 2^4 milliseconds since 2026. So the sum for 2^29 keys that expire within eight years fits 64 bits.
const EXPIRY_UNIT_BITS: u32 = 4;
/// The beginning of 2026, in milliseconds since 1970.
const EXPIRY_ORIGIN_MS: i64 = 1_767_225_600_000;

/// Converts an expiry from milliseconds since 1970 to the unit of the sums.
fn expiry_unit(expiry_ms: i64) -> i64 {
    expiry_ms.wrapping_sub(EXPIRY_ORIGIN_MS) >> EXPIRY_UNIT_BITS
}

impl Counts<'_> {
    /// The number of the database.
    #[inline]
    pub(crate) fn index(&self) -> usize {
        self.index
    }

    /// The core whose lock set changes the counts.
    #[inline]
    pub(crate) fn by(&self) -> usize {
        self.by
    }

    /// Adds to a live count, which has no other writer.
    #[inline]
    fn add(&self, which: usize, change: i64) {
        let count = &self.database.live.figures[which];
        count.store(count.load(Ordering::Relaxed).wrapping_add(change), Ordering::Relaxed);
        self.core.note_change(self.index, self.by);
    }

    /// Counts keys that were added or, if the number is negative, removed.
    #[inline]
    pub(crate) fn add_keys(&self, keys: i64) {
        self.add(KEYS, keys);
    }

    /// Counts a change of the expiry of a key, in milliseconds since 1970.
    pub(crate) fn change_expiry(&self, before: Option<i64>, after: Option<i64>) {
        self.add(EXPIRES, i64::from(after.is_some()) - i64::from(before.is_some()));
        let unit = |expiry_ms: Option<i64>| expiry_ms.map_or(0, expiry_unit);
        self.add(EXPIRY_SUM, unit(after).wrapping_sub(unit(before)));
    }

    /// Counts a change of whether a hash has fields that expire.
    pub(crate) fn change_expiring_fields(&self, before: bool, after: bool) {
        self.add(WITH_EXPIRING_FIELDS, i64::from(after) - i64::from(before));
    }
}

/// The bit of [`CoreSizes::changed`] that stands for a database.
fn bit_of(database: usize) -> u64 {
    1 << database.min(u64::BITS as usize - 1)
}

impl CoreSizes {
    fn new(chunks: usize) -> CoreSizes {
        CoreSizes {
            version: AtomicU64::new(0),
            changed_by: AtomicU32::new(0),
            changed: AtomicU64::new(0),
            first: Database::chunk(),
            others: (0..chunks).map(|_| OnceLock::new()).collect(),
        }
    }

    /// Notes that live counts of a database have changed, by a lock set of the core `by`.
    #[inline]
    fn note_change(&self, database: usize, by: usize) {
        self.changed.store(self.changed.load(Ordering::Relaxed) | bit_of(database), Ordering::Relaxed);
        self.changed_by.store(by as u32 + 1, Ordering::Relaxed);
    }

    /// Returns the counts of a database, which are allocated if needed.
    #[inline]
    fn database(&self, index: usize) -> &Database {
        match self.first.get(index) {
            Some(database) => database,
            None => &self.others[index / CHUNK - 1].get_or_init(Database::chunk)[index % CHUNK],
        }
    }

    /// Returns the counts of a database, if the core ever used it.
    fn existing(&self, index: usize) -> Option<&Database> {
        match self.first.get(index) {
            Some(database) => Some(database),
            None => Some(&self.others.get(index / CHUNK - 1)?.get()?[index % CHUNK]),
        }
    }

    /// Begins a publication.
    fn begin_publication(&self) {
        let version = self.version.load(Ordering::Relaxed);
        self.version.store(version.wrapping_add(1), Ordering::Relaxed);
    }

    /// Publishes the databases whose live counts have changed. The publication has begun.
    fn publish(&self, stamp: u64) {
        let changed = self.changed.load(Ordering::Relaxed);
        let in_first = self.first.iter().enumerate();
        let in_others = self.others.iter().filter_map(|chunk| chunk.get()).flat_map(|chunk| chunk.iter());
        in_first.filter(|(index, _)| changed & bit_of(*index) != 0).for_each(|(_, database)| database.publish(stamp));
        if changed & bit_of(usize::MAX) != 0 {
            in_others.for_each(|database| database.publish(stamp));
        }
        self.changed.store(0, Ordering::Relaxed);
        self.changed_by.store(0, Ordering::Relaxed);
    }

    /// Ends a publication.
    fn end_publication(&self) {
        let version = self.version.load(Ordering::Relaxed);
        self.version.store(version.wrapping_add(1), Ordering::Release);
    }

    /// Adds to `sums` what a reading sees of these databases. Returns whether that is still kept. `seen` is of the same length, for its use, and
    /// `by` is the core that reads.
    fn add_to(
        &self,
        sums: &mut [Figures],
        seen: &mut [Figures],
        databases: Range<usize>,
        reading: u64,
        by: usize,
    ) -> bool {
        // What the reader's own lock set has changed is seen before it is published. No other thread writes this word as long as it has this
        // value, nor begins to write it.
        let is_own = self.changed_by.load(Ordering::Relaxed) == by as u32 + 1;
        let mut turns = 0;
        loop {
            let version = self.version.load(Ordering::Acquire);
            let mut is_kept = true;
            for (index, seen) in databases.clone().zip(&mut *seen) {
                let figures = match self.existing(index) {
                    None => Some([0; COUNTS]),
                    Some(database) if is_own => Some(database.live.figures()),
                    Some(database) => database.seen_by(reading),
                };
                is_kept &= figures.is_some();
                *seen = figures.unwrap_or_default();
            }
            fence(Ordering::Acquire);
            if version & 1 == 0 && self.version.load(Ordering::Relaxed) == version {
                for (sums, seen) in sums.iter_mut().zip(seen) {
                    sums.iter_mut().zip(seen).for_each(|(sum, figure)| *sum = sum.wrapping_add(*figure));
                }
                return is_kept;
            }
            wait_a_moment(&mut turns);
        }
    }
}

impl Sizes {
    pub(crate) fn new(cores: usize, databases: usize) -> Sizes {
        let chunks = databases.saturating_sub(1) / CHUNK;
        Sizes { cores: (0..cores).map(|_| CoreSizes::new(chunks)).collect(), readings: AtomicU64::new(0) }
    }

    /// Returns the right to change the counts of a core for a database. The caller publishes the changes before it releases its locks.
    #[inline]
    pub(crate) fn of(&self, core: usize, database: usize) -> Counts<'_> {
        let of_core = &self.cores[core];
        Counts { core: of_core, database: of_core.database(database), index: database, by: core }
    }

    /// Publishes what a lock set of this core has changed. Such sets do not overlap: a core has no second one while it has changed anything.
    #[inline]
    pub(crate) fn publish(&self, core: usize) {
        if self.cores[core].changed.load(Ordering::Relaxed) != 0 {
            self.publish_all(std::slice::from_ref(&self.cores[core]));
        }
    }

    /// Publishes what a lock set of the whole keyspace has changed.
    pub(crate) fn publish_whole(&self) {
        self.publish_all(&self.cores);
    }

    /// Publishes all changes of these cores at one instant.
    #[cold]
    fn publish_all(&self, cores: &[CoreSizes]) {
        cores.iter().for_each(CoreSizes::begin_publication);
        // Orders the versions before the number of readings, and before the counts.
        fence(Ordering::SeqCst);
        let stamp = self.readings.load(Ordering::SeqCst);
        cores.iter().for_each(|core| core.publish(stamp));
        cores.iter().for_each(CoreSizes::end_publication);
    }

    /// Returns the sizes of these databases at one instant. `by` is the core that reads; the size includes what its own lock set has changed,
    /// if it holds one.
    pub(crate) fn get(&self, by: usize, databases: Range<usize>) -> Vec<DatabaseSize> {
        let (mut sums, mut seen) = (vec![[0; COUNTS]; databases.len()], vec![[0; COUNTS]; databases.len()]);
        loop {
            let reading = self.readings.fetch_add(1, Ordering::SeqCst) + 1;
            fence(Ordering::SeqCst);
            sums.fill([0; COUNTS]);
            // This fails only if two other readings have begun meanwhile, with a publication after each, and then it is repeated.
            if self.cores.iter().all(|core| core.add_to(&mut sums, &mut seen, databases.clone(), reading, by)) {
                return sums.into_iter().map(DatabaseSize::of).collect();
            }
        }
    }

    /// Sets a database's counts to zero, for a lock set of the whole keyspace of the core `by`.
    pub(crate) fn clear(&self, by: usize, database: usize) {
        for core in &self.cores {
            let Some(counts) = core.existing(database) else { continue };
            counts.live.store(0, [0; COUNTS]);
            core.note_change(database, by);
        }
    }

    /// Exchanges the counts of two databases, for a lock set of the whole keyspace of the core `by`.
    pub(crate) fn swap(&self, by: usize, a: usize, b: usize) {
        for core in &self.cores {
            let (of_a, of_b) = (&core.database(a).live, &core.database(b).live);
            let before = of_a.figures();
            of_a.store(0, of_b.figures());
            of_b.store(0, before);
            core.note_change(a, by);
            core.note_change(b, by);
        }
    }
}

impl DatabaseSize {
    /// The size that these figures, added up over all cores, mean.
    fn of([keys, expires, with_expiring_fields, expiry_sum]: Figures) -> DatabaseSize {
        let size = |count: i64| count.clamp(0, keys.max(0)) as usize;
        let mean = expiry_sum.checked_div(expires.max(0)).map_or(0, |mean| {
            // Expiries in a far future can overflow the sum. Then only the mean is wrong.
            (mean << EXPIRY_UNIT_BITS).wrapping_add(EXPIRY_ORIGIN_MS)
        });
        DatabaseSize {
            keys: size(keys),
            expires: size(expires),
            with_expiring_fields: size(with_expiring_fields),
            mean_expiry_ms: mean,
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// The size of one database, after all cores have published.
    fn size_of(sizes: &Sizes, database: usize) -> DatabaseSize {
        sizes.publish_whole();
        sizes.get(0, database..database + 1)[0]
    }

    #[test]
    fn cores_add_to_one_size() {
        let sizes = Sizes::new(3, 200);
        for database in [0, 63, 64, 199] {
            for (core, keys) in [(0, 5), (1, 1), (2, -4)] {
                sizes.of(core, database).add_keys(keys);
            }
            let expiry_ms = EXPIRY_ORIGIN_MS + 1_000_000;
            sizes.of(0, database).change_expiry(None, Some(expiry_ms));
            sizes.of(1, database).change_expiry(Some(expiry_ms), Some(expiry_ms + 16));
            let size = DatabaseSize { keys: 2, expires: 1, with_expiring_fields: 0, mean_expiry_ms: expiry_ms + 16 };
            assert_eq!(size_of(&sizes, database), size);
        }
        assert_eq!(size_of(&sizes, 1), DatabaseSize::default());
        assert_eq!(size_of(&sizes, 130), DatabaseSize::default(), "its counts were never made");
        sizes.swap(0, 64, 130);
        sizes.clear(0, 0);
        assert_eq!([0, 63, 64, 130].map(|database| size_of(&sizes, database).keys), [0, 2, 0, 2]);
    }

    #[test]
    fn a_change_is_seen_by_its_own_core_at_once_and_by_others_when_it_is_published() {
        let sizes = Sizes::new(2, 70);
        let seen = || [0, 1].map(|by| [0, 69].map(|database| sizes.get(by, database..database + 1)[0].keys));
        sizes.of(0, 0).add_keys(1);
        sizes.of(0, 69).add_keys(2);
        assert_eq!(seen(), [[1, 2], [0, 0]]);
        sizes.publish(0);
        assert_eq!(seen(), [[1, 2], [1, 2]]);
        // The closer is on core 1, and changes the counts of both cores.
        sizes.clear(1, 0);
        assert_eq!(seen(), [[1, 2], [0, 2]]);
        sizes.publish_whole();
        assert_eq!(seen(), [[0, 2], [0, 2]]);
    }

    /// A publication that begins after a reading does not change what the reading sees, and a second one does not either.
    #[test]
    fn a_reading_sees_what_was_published_before_it_began() {
        let sizes = Sizes::new(1, 1);
        let publish = |keys: i64| {
            sizes.of(0, 0).add_keys(keys);
            sizes.publish(0);
        };
        let begin = || sizes.readings.fetch_add(1, Ordering::SeqCst) + 1;
        let seen_by = |reading| sizes.cores[0].database(0).seen_by(reading).map(|figures| figures[KEYS]);
        publish(1);
        publish(1);
        let first = begin();
        publish(10);
        publish(10);
        assert_eq!(seen_by(first), Some(2));
        let second = begin();
        assert_eq!((seen_by(first), seen_by(second)), (Some(2), Some(22)));
        publish(100);
        assert_eq!((seen_by(first), seen_by(second)), (None, Some(22)), "the first one is repeated");
        assert_eq!(sizes.get(0, 0..1)[0].keys, 122);
    }

    #[test]
    fn the_latest_expiries_overflow_without_a_panic() {
        let sizes = Sizes::new(1, 1);
        sizes.of(0, 0).add_keys(40);
        for expires in 1..40 {
            sizes.of(0, 0).change_expiry(None, Some(i64::MAX));
            assert_eq!(size_of(&sizes, 0).expires, expires);
        }
        for _ in 1..40 {
            sizes.of(0, 0).change_expiry(Some(i64::MAX), None);
        }
        sizes.of(0, 0).change_expiry(None, Some(EXPIRY_ORIGIN_MS));
        assert_eq!(size_of(&sizes, 0).mean_expiry_ms, EXPIRY_ORIGIN_MS, "the sum is right again");
    }
}
