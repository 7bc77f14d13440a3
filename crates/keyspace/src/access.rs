//! The access clock of an entry: when its key was last used (LRU), or how often (LFU). It has 24 bits, which mean what they mean on
//! Redis (`evict.c`).

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

    /// Creates the clock for LFU from the time in milliseconds since 1970, the two settings (see [`AccessClock::Lfu`]) and a random number.
    pub fn lfu(now_ms: i64, log_factor: u32, decay_min: u32, random: u32) -> AccessClock {
        AccessClock::Lfu { now_min: (now_ms / 60_000) as u16, log_factor, decay_min, random }
    }

    /// Returns the access clock of a new entry.
    #[inline]
    pub fn initial(self) -> u32 {
        match self {
            AccessClock::Lru { now_s } => now_s,
            AccessClock::Lfu { now_min, .. } => u32::from(now_min) << 8 | LFU_INITIAL,
        }
    }

    /// Returns the access clock of an entry that was last accessed this many seconds ago; `None` under LFU.
    pub fn idle_for(self, idle_s: i64) -> Option<u32> {
        let AccessClock::Lru { now_s } = self else { return None };
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

    /// Returns the counter of an access clock, from 0 to 255, after it decayed (OBJECT FREQ); 0 under LRU. (Redis: `LFUDecrAndReturn`)
    pub fn frequency(self, access: u32) -> u32 {
        let AccessClock::Lfu { now_min, decay_min, .. } = self else { return 0 };
        let elapsed = now_min.wrapping_sub((access >> 8) as u16);
        let decay = u32::from(elapsed).checked_div(decay_min).unwrap_or(0);
        (access & 0xff).saturating_sub(decay)
    }

    /// Returns the seconds since the last access (OBJECT IDLETIME); 0 under LFU.
    pub fn idle_s(self, access: u32) -> u32 {
        let AccessClock::Lru { now_s } = self else { return 0 };
        now_s.wrapping_sub(access) & CLOCK_MASK
    }
}
