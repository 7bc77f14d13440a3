//! Time: the system's clock for expiry, and the processor's time stamp counter for the duration of commands.

use std::{
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// The system's clock, in milliseconds since 1970.
#[inline]
pub fn now_ms() -> i64 {
    now_us() / 1000
}

/// The system's clock, in microseconds since 1970.
#[inline]
pub fn now_us() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as i64)
}

/// The processor's time stamp counter. It takes a few nanoseconds to read; the system's clock takes tens. On processors other than x86-64,
/// a tick is a microsecond of the system's clock.
#[inline]
pub fn ticks() -> u64 {
    #[cfg(target_arch = "x86_64")]
    {
        // SAFETY: every x86-64 processor has the instruction.
        unsafe { std::arch::x86_64::_rdtsc() }
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        now_us() as u64
    }
}

static START: LazyLock<(u64, Instant)> = LazyLock::new(|| (ticks(), Instant::now()));

/// Starts comparing ticks with the system's clock. To be called once, before the other functions that convert ticks.
pub fn start() {
    LazyLock::force(&START);
}

/// Converts ticks to microseconds, by the mean speed of the counter since the start.
pub fn ticks_to_us(count: u64) -> f64 {
    let elapsed_us = START.1.elapsed().as_micros().max(1) as f64;
    let elapsed_ticks = ticks().saturating_sub(START.0).max(1) as f64;
    count as f64 * elapsed_us / elapsed_ticks
}

/// The ticks of a millisecond when last measured. It makes checking a time limit cheap.
static TICKS_PER_MS: AtomicU64 = AtomicU64::new(2_000_000);

/// Measures the ticks of a millisecond again, for [`ticks_of`].
pub fn measure_ticks() {
    let elapsed_us = START.1.elapsed().as_micros() as u64;
    if elapsed_us > 1000 {
        let elapsed_ticks = ticks().saturating_sub(START.0);
        let per_ms = u128::from(elapsed_ticks) * 1000 / u128::from(elapsed_us);
        TICKS_PER_MS.store((per_ms as u64).max(1), Ordering::Relaxed);
    }
}

/// Converts the ticks of a short time to nanoseconds, by the last measurement.
#[inline]
pub fn ticks_to_ns(count: u64) -> u64 {
    (u128::from(count) * 1_000_000 / u128::from(TICKS_PER_MS.load(Ordering::Relaxed))) as u64
}

/// Converts a short time to ticks, by the last measurement.
#[inline]
pub fn ticks_of(time: Duration) -> u64 {
    TICKS_PER_MS.load(Ordering::Relaxed).saturating_mul(time.as_micros() as u64) / 1000
}
