//! The access clock of an entry: when its key was last used (LRU) or last changed (LRM), or how often it was used (LFU). It has 24 bits,
//! which mean what they mean on Redis (`evict.c`).

/// The counter of a new key under LFU. It is not 0, so that a key is not evicted before it could be used. (Redis: `LFU_INIT_VAL`)
const LFU_INITIAL: u32 = 5;
/// The bits of an access clock.
const CLOCK_MASK: u32 = (1 << 24) - 1;

/// How an access is recorded. There is one for each batch, made from the time of the batch.
#[derive(Clone, Copy, Debug)]
pub enum AccessClock {
    /// The clock is the time of the last access, in seconds.
    Lru {
        /// The time in seconds since 1970, modulo 2^24.
        now_s: u32,
    },
    /// The clock is the time of the last change, in seconds. A lookup leaves it as it is.
    Lrm {
        /// The time in seconds since 1970, modulo 2^24.
        now_s: u32,
    },
    /// The clock is the time of the last access in minutes (the upper 16 bits), and a logarithmic counter of accesses (the lower 8 bits).
    Lfu {
        /// The time in minutes since 1970, modulo 2^16.
        now_min: u16,
        /// `lfu-log-factor`: the larger it is, the slower the counter grows.
        log_factor: u32,
        /// `lfu-decay-time`: the counter loses one for each of these periods without an access, in minutes; 0 for never.
        decay_min: u32,
        /// Decides whether counters grow.
        random: u32,
    },
}

impl AccessClock {
    /// Creates the clock for LRU. `now_ms` is in milliseconds since 1970.
    pub fn lru(now_ms: i64) -> AccessClock {
        AccessClock::Lru { now_s: (now_ms / 1000) as u32 & CLOCK_MASK }
    }

    /// Creates the clock for LRM. `now_ms` is in milliseconds since 1970.
    pub fn lrm(now_ms: i64) -> AccessClock {
        AccessClock::Lrm { now_s: (now_ms / 1000) as u32 & CLOCK_MASK }
    }

    /// Creates the clock for LFU from the time in milliseconds since 1970, the two settings (see [`AccessClock::Lfu`]) and a random number.
    pub fn lfu(now_ms: i64, log_factor: u32, decay_min: u32, random: u32) -> AccessClock {
        AccessClock::Lfu { now_min: (now_ms / 60_000) as u16, log_factor, decay_min, random }
    }

    /// Returns the access clock of a new entry.
    #[inline]
    pub fn initial(self) -> u32 {
        match self {
            AccessClock::Lru { now_s } | AccessClock::Lrm { now_s } => now_s,
            AccessClock::Lfu { now_min, .. } => u32::from(now_min) << 8 | LFU_INITIAL,
        }
    }

    /// Returns the access clock of an entry after a change of its key or value, if a change sets it and not a lookup.
    #[inline]
    pub(crate) fn changed(self) -> Option<u32> {
        if let AccessClock::Lrm { now_s } = self { Some(now_s) } else { None }
    }

    /// Returns the access clock of an entry that was last accessed this many seconds ago; `None` under LFU.
    pub fn idle_for(self, idle_s: i64) -> Option<u32> {
        let (AccessClock::Lru { now_s } | AccessClock::Lrm { now_s }) = self else { return None };
        Some((i64::from(now_s) - idle_s) as u32 & CLOCK_MASK)
    }

    /// Returns the access clock of an entry whose counter is this; `None` under LRU.
    pub fn with_frequency(self, frequency: u8) -> Option<u32> {
        let AccessClock::Lfu { now_min, .. } = self else { return None };
        Some(u32::from(now_min) << 8 | u32::from(frequency))
    }

    /// Returns the access clock of an entry after an access; `old` is the one before.
    #[inline]
    pub fn touched(self, old: u32) -> u32 {
        match self {
            AccessClock::Lru { now_s } => now_s,
            AccessClock::Lrm { .. } => old,
            AccessClock::Lfu { now_min, log_factor, random, .. } => {
                let counter = self.frequency(old);
                let base = counter.saturating_sub(LFU_INITIAL);
                // The counter is incremented with a probability of 1 / (base * log_factor + 1). (Redis: `LFULogIncr`)
                let threshold = u32::MAX / (base * log_factor + 1);
                // The whole batch has one random number. The old clock makes a different draw of it for each entry.
                let draw = random.wrapping_mul(old | 1).rotate_left(15) ^ random;
                let counter = if counter < 255 && draw <= threshold { counter + 1 } else { counter };
                u32::from(now_min) << 8 | counter
            }
        }
    }

    /// Returns the counter of an access clock, from 0 to 255, after it decayed (OBJECT FREQ); 0 under LRU and LRM. (Redis: `LFUDecrAndReturn`)
    pub fn frequency(self, access: u32) -> u32 {
        let AccessClock::Lfu { now_min, decay_min, .. } = self else { return 0 };
        let elapsed = now_min.wrapping_sub((access >> 8) as u16);
        let decay = u32::from(elapsed).checked_div(decay_min).unwrap_or(0);
        (access & 0xff).saturating_sub(decay)
    }

    /// Returns how little an entry with this access clock is worth keeping: the larger, the sooner it is evicted. Of two that were used as often
    /// it is the one that was not used for longer.
    pub(crate) fn rank(self, access: u32) -> u32 {
        match self {
            AccessClock::Lru { .. } | AccessClock::Lrm { .. } => self.idle_s(access),
            AccessClock::Lfu { now_min, .. } => {
                let idle_min = now_min.wrapping_sub((access >> 8) as u16);
                (255 - self.frequency(access)) << 16 | u32::from(idle_min)
            }
        }
    }

    /// Returns the seconds since the last access (OBJECT IDLETIME); 0 under LFU.
    pub fn idle_s(self, access: u32) -> u32 {
        let (AccessClock::Lru { now_s } | AccessClock::Lrm { now_s }) = self else { return 0 };
        now_s.wrapping_sub(access) & CLOCK_MASK
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE_MS: i64 = 60_000;

    #[test]
    fn the_lru_clock_is_the_second_of_the_last_access() {
        for (now_ms, now_s) in [(0, 0), (999, 0), (1_000, 1), (16_777_215_999, 0xff_ffff), (16_777_216_000, 0)] {
            let clock = AccessClock::lru(now_ms);
            assert_eq!((clock.initial(), clock.touched(123)), (now_s, now_s));
            assert_eq!(clock.frequency(0xff), 0);
        }
        let idle_s = |access_s: i64, now_s: i64| {
            AccessClock::lru(now_s * 1_000).idle_s(AccessClock::lru(access_s * 1_000).initial())
        };
        assert_eq!(idle_s(7, 7), 0);
        assert_eq!(idle_s(7, 1_000_007), 1_000_000);
        // The clock begins again after 194 days.
        assert_eq!(idle_s((1 << 24) - 2, (1 << 24) + 3), 5);
    }

    #[test]
    fn the_lrm_clock_is_the_second_of_the_last_change() {
        let clock = AccessClock::lrm(7_999);
        assert_eq!((clock.initial(), clock.touched(3), clock.changed()), (7, 3, Some(7)));
        assert_eq!((clock.idle_s(3), clock.idle_for(4), clock.frequency(0xff)), (4, Some(3), 0));
        assert_eq!((AccessClock::lru(7_999).changed(), AccessClock::lfu(7_999, 10, 1, 0).changed()), (None, None));
    }

    #[test]
    fn the_lfu_counter_decays() {
        let check = |accessed_min: i64, counter: u32, now_min: i64, decay_min, expected| {
            let access = AccessClock::lfu(accessed_min * MINUTE_MS, 10, decay_min, 0).initial() - LFU_INITIAL + counter;
            let clock = AccessClock::lfu(now_min * MINUTE_MS + MINUTE_MS - 1, 10, decay_min, 0);
            assert_eq!(clock.frequency(access), expected);
            assert_eq!(clock.idle_s(access), 0);
        };
        check(100, 200, 100, 1, 200);
        check(100, 200, 150, 1, 150);
        check(100, 200, 150, 7, 193);
        check(100, 20, 150, 1, 0);
        check(100, 200, 150, 0, 200);
        // The minutes begin again after 45 days.
        check(65_530, 200, 65_540, 1, 190);
    }

    #[test]
    fn what_is_used_least_ranks_highest() {
        let lru = AccessClock::lru(100_000);
        assert!(lru.rank(10) > lru.rank(11) && lru.rank(99) > lru.rank(100));
        let at = |now_min: i64| AccessClock::lfu(now_min * MINUTE_MS, 10, 1, 0);
        let (often, seldom) = (90 << 8 | 30, 90 << 8 | 12);
        assert!(at(90).rank(seldom) > at(90).rank(often));
        // The counters of both have decayed to nothing, and the older one goes first.
        assert!(at(200).rank(80 << 8 | 12) > at(200).rank(often));
    }

    /// Returns how many of 100,000 accesses increment the counter.
    fn increments(counter: u32, log_factor: u32) -> u32 {
        let access = 77 << 8 | counter;
        let mut draws = 1u32;
        (0..100_000)
            .map(|_| {
                draws = draws.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let random = draws ^ draws >> 16;
                let touched = AccessClock::lfu(79 * MINUTE_MS, log_factor, 0, random).touched(access);
                assert_eq!(touched >> 8, 79);
                (touched & 0xff) - counter
            })
            .sum()
    }

    #[test]
    fn the_lfu_counter_grows_more_slowly_the_larger_it_is() {
        let check = |counter, log_factor, expected: u32| {
            let increments = increments(counter, log_factor);
            assert!(increments.abs_diff(expected) <= expected / 5, "{counter}: {increments} instead of {expected}");
        };
        check(0, 10, 100_000);
        check(LFU_INITIAL, 10, 100_000);
        check(LFU_INITIAL + 1, 10, 100_000 / 11);
        check(LFU_INITIAL + 10, 10, 100_000 / 101);
        check(LFU_INITIAL + 10, 3, 100_000 / 31);
        check(254, 0, 100_000);
        check(255, 0, 0);
    }

    #[test]
    fn entries_of_a_batch_do_not_grow_together() {
        let clock = AccessClock::lfu(79 * MINUTE_MS, 1, 0, 0x1234_5678);
        // Each grows with a probability of one half.
        let grown =
            (0..1_000u32).filter(|minute| clock.touched(minute << 8 | (LFU_INITIAL + 1)) & 0xff > LFU_INITIAL + 1);
        assert!((400..600).contains(&grown.count()));
    }
}
