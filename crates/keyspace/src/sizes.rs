//! How much each database holds: keys, keys that expire, hashes with fields that expire. Each core counts what it adds and removes, in
//! memory of its own, so that counting is cheap. The size of a database is the sum over all cores. It is read without a lock.
//!
//! The counts of a core are written by the core's thread, while it is inside the gate. With the gate closed the closer may write the counts
//! of every core. So no count ever has two writers at a time, and plain loads and stores suffice.

use std::{
    ops::Range,
    sync::OnceLock,
    sync::atomic::{AtomicI64, Ordering},
};

/// The number of databases whose counts are allocated together.
const CHUNK: usize = 64;

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
}

/// The counts of one core, on cache lines of their own.
#[repr(align(128))]
struct CoreSizes {
    /// The databases that most servers have.
    first: [Counts; CHUNK],
    /// Further databases, `CHUNK` at a time, allocated when they are first used.
    others: Box<[OnceLock<Box<[Counts; CHUNK]>>]>,
}

/// One core's share of a database's size. It may be negative: a key is often removed by another core than added it.
pub(crate) struct Counts {
    keys: AtomicI64,
    expires: AtomicI64,
    with_expiring_fields: AtomicI64,
    /// The sum of the expiries, each in the unit of `expiry_unit`.
    expiry_sum: AtomicI64,
}

/// Expiries are summed in units of 2^4 milliseconds since 2026. So the sum for 2^29 keys that expire within eight years fits 64 bits.
const EXPIRY_UNIT_BITS: u32 = 4;
/// The beginning of 2026, in milliseconds since 1970.
const EXPIRY_ORIGIN_MS: i64 = 1_767_225_600_000;

/// Converts an expiry from milliseconds since 1970 to the unit of the sums.
fn expiry_unit(expiry_ms: i64) -> i64 {
    expiry_ms.wrapping_sub(EXPIRY_ORIGIN_MS) >> EXPIRY_UNIT_BITS
}

impl Counts {
    const fn zero() -> Counts {
        Counts {
            keys: AtomicI64::new(0),
            expires: AtomicI64::new(0),
            with_expiring_fields: AtomicI64::new(0),
            expiry_sum: AtomicI64::new(0),
        }
    }

    /// Adds to a count, which has no other writer.
    #[inline]
    fn add(count: &AtomicI64, change: i64) {
        count.store(count.load(Ordering::Relaxed).wrapping_add(change), Ordering::Relaxed);
    }

    /// Counts keys that were added or, if the number is negative, removed.
    #[inline]
    pub(crate) fn add_keys(&self, keys: i64) {
        Counts::add(&self.keys, keys);
    }

    /// Counts a change of the expiry of a key, in milliseconds since 1970.
    pub(crate) fn change_expiry(&self, before: Option<i64>, after: Option<i64>) {
        Counts::add(&self.expires, i64::from(after.is_some()) - i64::from(before.is_some()));
        let unit = |expiry_ms: Option<i64>| expiry_ms.map_or(0, expiry_unit);
        Counts::add(&self.expiry_sum, unit(after).wrapping_sub(unit(before)));
    }

    /// Counts a change of whether a hash has fields that expire.
    pub(crate) fn change_expiring_fields(&self, before: bool, after: bool) {
        Counts::add(&self.with_expiring_fields, i64::from(after) - i64::from(before));
    }

    /// Returns all counts, in the order of their declaration.
    fn all(&self) -> [&AtomicI64; 4] {
        [&self.keys, &self.expires, &self.with_expiring_fields, &self.expiry_sum]
    }
}

impl Sizes {
    pub(crate) fn new(cores: usize, databases: usize) -> Sizes {
        let chunks = databases.saturating_sub(1) / CHUNK;
        let core = || CoreSizes {
            first: [const { Counts::zero() }; CHUNK],
            others: (0..chunks).map(|_| OnceLock::new()).collect(),
        };
        Sizes { cores: (0..cores).map(|_| core()).collect() }
    }

    /// Returns the counts of a core for a database.
    #[inline]
    pub(crate) fn of(&self, core: usize, database: usize) -> &Counts {
        let sizes = &self.cores[core];
        match sizes.first.get(database) {
            Some(counts) => counts,
            None => {
                let chunk =
                    sizes.others[database / CHUNK - 1].get_or_init(|| Box::new([const { Counts::zero() }; CHUNK]));
                &chunk[database % CHUNK]
            }
        }
    }

    /// Returns the counts of all cores for a database. A core that never used the database may have none.
    fn of_all(&self, database: usize) -> impl Iterator<Item = &Counts> {
        self.cores.iter().filter_map(move |core| match core.first.get(database) {
            Some(counts) => Some(counts),
            None => core.others.get(database / CHUNK - 1)?.get().map(|chunk| &chunk[database % CHUNK]),
        })
    }

    /// Returns the sizes of these databases. The counts of a database are read again if they change meanwhile, up to a number of times. If
    /// they still change then, a key that is being moved may be missed or counted twice.
    pub(crate) fn get(&self, databases: Range<usize>) -> Vec<DatabaseSize> {
        databases.map(|database| self.of_database(database)).collect()
    }

    /// Adds up the cores' counts of a database, in the order of [`Counts::all`].
    fn sums(&self, database: usize) -> [i64; 4] {
        let mut sums = [0_i64; 4];
        for counts in self.of_all(database) {
            for (sum, count) in sums.iter_mut().zip(counts.all()) {
                *sum = sum.wrapping_add(count.load(Ordering::Relaxed));
            }
        }
        sums
    }

    /// Returns the size of a database; see [`Sizes::get`].
    pub(crate) fn of_database(&self, database: usize) -> DatabaseSize {
        /// The most times to read the counts again because a core has changed them meanwhile.
        const TRIES_MAX: usize = 8;
        let mut sums = self.sums(database);
        for _ in 0..TRIES_MAX {
            let again = self.sums(database);
            if again == sums {
                break;
            }
            sums = again;
        }
        let [keys, expires, with_expiring_fields, expiry_sum] = sums;
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

    /// Sets a database's counts to zero. The gate is closed.
    pub(crate) fn clear(&self, database: usize) {
        for count in self.of_all(database).flat_map(Counts::all) {
            count.store(0, Ordering::Relaxed);
        }
    }

    /// Exchanges the counts of two databases. The gate is closed.
    pub(crate) fn swap(&self, a: usize, b: usize) {
        for core in 0..self.cores.len() {
            for (a, b) in self.of(core, a).all().into_iter().zip(self.of(core, b).all()) {
                let before = a.load(Ordering::Relaxed);
                a.store(b.load(Ordering::Relaxed), Ordering::Relaxed);
                b.store(before, Ordering::Relaxed);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            assert_eq!(sizes.of_database(database), size);
        }
        assert_eq!(sizes.of_database(1), DatabaseSize::default());
        assert_eq!(sizes.of_database(130), DatabaseSize::default(), "its counts were never made");
        sizes.swap(64, 130);
        sizes.clear(0);
        let keys: Vec<usize> = [0, 63, 64, 130].map(|database| sizes.of_database(database).keys).into();
        assert_eq!(keys, [0, 2, 0, 2]);
    }

    #[test]
    fn the_latest_expiries_overflow_without_a_panic() {
        let sizes = Sizes::new(1, 1);
        sizes.of(0, 0).add_keys(40);
        for expires in 1..40 {
            sizes.of(0, 0).change_expiry(None, Some(i64::MAX));
            assert_eq!(sizes.of_database(0).expires, expires);
        }
        for _ in 1..40 {
            sizes.of(0, 0).change_expiry(Some(i64::MAX), None);
        }
        sizes.of(0, 0).change_expiry(None, Some(EXPIRY_ORIGIN_MS));
        assert_eq!(sizes.of_database(0).mean_expiry_ms, EXPIRY_ORIGIN_MS, "the sum is right again");
    }
}
