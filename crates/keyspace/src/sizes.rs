//! What each database holds: keys, keys that expire, hashes whose fields expire. Every core counts what it adds and removes for itself,
//! so that counting costs no more than writing to memory of its own; the sum over the cores is the size, and nobody locks a shard to
//! read it.
//!
//! While a core is inside the gate it alone writes its counts; with the gate closed, the closer alone writes any.

use std::{
    ops::Range,
    sync::OnceLock,
    sync::atomic::{AtomicI64, Ordering},
};

/// Databases whose counts lie together: those that most servers have, then as many at a time as are used.
const CHUNK: usize = 64;

/// What a database holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DatabaseSize {
    /// Expired keys that have not been removed yet are among them.
    pub keys: usize,
    /// Keys with an expiry.
    pub expires: usize,
    /// The hashes some of whose fields expire.
    pub with_expiring_fields: usize,
    /// The mean of the keys' expiries, within 16 milliseconds; in milliseconds since 1970. 0 where no key expires.
    pub mean_expiry_ms: i64,
}

/// See the module.
pub(crate) struct Sizes {
    cores: Box<[CoreSizes]>,
}

#[repr(align(128))]
struct CoreSizes {
    first: [Counts; CHUNK],
    /// Further databases, `CHUNK` at a time.
    others: Box<[OnceLock<Box<[Counts; CHUNK]>>]>,
}

/// One core's share of a database's size. It may be negative: a key is often removed by another core than added it.
pub(crate) struct Counts {
    keys: AtomicI64,
    expires: AtomicI64,
    with_expiring_fields: AtomicI64,
    /// The sum of the expiries, each as `expiry_unit` gives it.
    expiry_sum: AtomicI64,
}

/// Expiries are summed in units of 2^4 milliseconds since 2026, so that the sum of 2^29 keys that expire within years fits 64 bits.
const EXPIRY_UNIT_BITS: u32 = 4;
const EXPIRY_ORIGIN_MS: i64 = 1_767_225_600_000;

fn expiry_unit(expiry_ms: i64) -> i64 {
    expiry_ms.wrapping_sub(EXPIRY_ORIGIN_MS) >> EXPIRY_UNIT_BITS
}

impl Counts {
    const ZERO: Counts = Counts {
        keys: AtomicI64::new(0),
        expires: AtomicI64::new(0),
        with_expiring_fields: AtomicI64::new(0),
        expiry_sum: AtomicI64::new(0),
    };

    /// Adds to a count that nobody else writes.
    #[inline]
    fn add(count: &AtomicI64, change: i64) {
        count.store(count.load(Ordering::Relaxed).wrapping_add(change), Ordering::Relaxed);
    }

    /// Counts keys that were added, or removed where the number is negative.
    #[inline]
    pub(crate) fn add_keys(&self, keys: i64) {
        Counts::add(&self.keys, keys);
    }

    /// Counts a change of a key's expiry.
    pub(crate) fn change_expiry(&self, before: Option<i64>, after: Option<i64>) {
        Counts::add(&self.expires, i64::from(after.is_some()) - i64::from(before.is_some()));
        let unit = |expiry_ms: Option<i64>| expiry_ms.map_or(0, expiry_unit);
        Counts::add(&self.expiry_sum, unit(after).wrapping_sub(unit(before)));
    }

    /// Counts that a hash has fields which expire, or has no more of them.
    pub(crate) fn change_expiring_fields(&self, before: bool, after: bool) {
        Counts::add(&self.with_expiring_fields, i64::from(after) - i64::from(before));
    }

    fn all(&self) -> [&AtomicI64; 4] {
        [&self.keys, &self.expires, &self.with_expiring_fields, &self.expiry_sum]
    }
}

impl Sizes {
    pub(crate) fn new(cores: usize, databases: usize) -> Sizes {
        let chunks = databases.saturating_sub(1) / CHUNK;
        let core = || CoreSizes {
            first: [const { Counts::ZERO }; CHUNK],
            others: (0..chunks).map(|_| OnceLock::new()).collect(),
        };
        Sizes { cores: (0..cores).map(|_| core()).collect() }
    }

    /// A core's counts of a database.
    #[inline]
    pub(crate) fn of(&self, core: usize, database: usize) -> &Counts {
        let sizes = &self.cores[core];
        match sizes.first.get(database) {
            Some(counts) => counts,
            None => {
                let chunk =
                    sizes.others[database / CHUNK - 1].get_or_init(|| Box::new([const { Counts::ZERO }; CHUNK]));
                &chunk[database % CHUNK]
            }
        }
    }

    /// All cores' counts of a database, as far as there are such.
    fn of_all(&self, database: usize) -> impl Iterator<Item = &Counts> {
        self.cores.iter().filter_map(move |core| match core.first.get(database) {
            Some(counts) => Some(counts),
            None => core.others.get(database / CHUNK - 1)?.get().map(|chunk| &chunk[database % CHUNK]),
        })
    }

    /// What some databases hold. Cores are read one after the other, so a key that moves meanwhile may be missed or counted twice.
    pub(crate) fn get(&self, databases: Range<usize>) -> Vec<DatabaseSize> {
        databases.map(|database| self.of_database(database)).collect()
    }

    pub(crate) fn of_database(&self, database: usize) -> DatabaseSize {
        let mut sums = [0_i64; 4];
        for counts in self.of_all(database) {
            for (sum, count) in sums.iter_mut().zip(counts.all()) {
                *sum = sum.wrapping_add(count.load(Ordering::Relaxed));
            }
        }
        let [keys, expires, with_expiring_fields, expiry_sum] = sums;
        let size = |count: i64| count.max(0) as usize;
        let mean = expiry_sum.checked_div(expires.max(0)).map_or(0, |mean| {
            // Expiries that are centuries away overflow the sum: then the mean is wrong, but nothing else is.
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
