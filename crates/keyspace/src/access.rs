//! The access clock of entries: when a key was last used (LRU), or how often (LFU). Redis's definitions (`evict.c`), 24 bits an entry.

/// The counter that a new key starts with under LFU, so that it is not evicted before it could be used.
const LFU_INITIAL: u32 = 5;
const CLOCK_MASK: u32 = (1 << 24) - 1;

/// How an access is recorded; one for each batch, made with the batch's clock.
#[derive(Clone, Copy, Debug)]
pub enum AccessClock {
    /// Seconds, modulo 2^24.
    Lru { now_s: u32 },
    /// 16 bits of minutes above 8 bits of a logarithmic counter.
    Lfu { now_min: u16, log_factor: u32, decay_min: u32, random: u32 },
}

impl AccessClock {
    pub fn lru(now_ms: i64) -> AccessClock {
        AccessClock::Lru { now_s: (now_ms / 1000) as u32 & CLOCK_MASK }
    }

    pub fn lfu(now_ms: i64, log_factor: u32, decay_min: u32, random: u32) -> AccessClock {
        AccessClock::Lfu { now_min: (now_ms / 60_000) as u16, log_factor, decay_min, random }
    }

    /// What a new entry starts with.
    #[inline]
    pub fn initial(self) -> u32 {
        match self {
            AccessClock::Lru { now_s } => now_s,
            AccessClock::Lfu { now_min, .. } => u32::from(now_min) << 8 | LFU_INITIAL,
        }
    }

    /// What an entry with `old` has after an access.
    #[inline]
    pub fn touched(self, old: u32) -> u32 {
        match self {
            AccessClock::Lru { now_s } => now_s,
            AccessClock::Lfu { now_min, log_factor, random, .. } => {
                let counter = self.frequency(old);
                let base = counter.saturating_sub(LFU_INITIAL);
                // Incremented with probability 1 / (base * log_factor + 1).
                let threshold = u32::MAX / (base * log_factor + 1);
                // One random number serves the batch; the old clock tells its entries apart.
                let draw = random.wrapping_mul(old | 1).rotate_left(15) ^ random;
                let counter = if counter < 255 && draw <= threshold { counter + 1 } else { counter };
                u32::from(now_min) << 8 | counter
            }
        }
    }

    /// LFU's counter after its decay (OBJECT FREQ).
    pub fn frequency(self, access: u32) -> u32 {
        let AccessClock::Lfu { now_min, decay_min, .. } = self else { return 0 };
        let elapsed = now_min.wrapping_sub((access >> 8) as u16);
        let decay = u32::from(elapsed).checked_div(decay_min).unwrap_or(0);
        (access & 0xff).saturating_sub(decay)
    }

    /// Seconds since the last access (OBJECT IDLETIME), under LRU.
    pub fn idle_s(self, access: u32) -> u32 {
        let AccessClock::Lru { now_s } = self else { return 0 };
        now_s.wrapping_sub(access) & CLOCK_MASK
    }
}
