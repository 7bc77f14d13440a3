//! How often authentication has failed, by address, so that passwords cannot be tried quickly.
//!
//! The failures of an address are answered at a limited rate, after a number that are answered at once (the generic cell rate algorithm;
//! ITU-T I.371). Only the connection that failed waits for its answer. A right password is accepted at once.

use std::{collections::HashMap, time::Duration};

use parking_lot::Mutex;

/// The time between two answers to an address that fails again and again, in milliseconds.
const INTERVAL_MS: i64 = 50;
/// The failures that are answered at once.
const AT_ONCE: i64 = 20;
/// The longest time that an answer waits, in milliseconds.
const DELAY_MS_MAX: i64 = 10_000;
/// The most addresses that are remembered.
const ADDRESSES_MAX: usize = 1024;

/// The failures of all addresses.
#[derive(Default)]
pub struct Failures {
    /// For each address the time at which its failures so far would be answered if none were at once, in milliseconds since 1970. A mutex: it is
    /// taken after a failure only.
    answered_ms: Mutex<HashMap<Box<str>, i64>>,
}

impl Failures {
    /// Notes a failure. Returns how long its answer is to wait.
    pub fn note(&self, address: &str, now_ms: i64) -> Duration {
        let mut answered_ms = self.answered_ms.lock();
        if answered_ms.len() >= ADDRESSES_MAX && !answered_ms.contains_key(address) {
            answered_ms.retain(|_, at_ms| *at_ms > now_ms);
            let soonest = answered_ms.iter().min_by_key(|(_, at_ms)| **at_ms).map(|(address, _)| address.clone());
            if let Some(soonest) = soonest.filter(|_| answered_ms.len() >= ADDRESSES_MAX) {
                answered_ms.remove(&soonest);
            }
        }
        let at_ms = answered_ms.entry(address.into()).or_insert(now_ms);
        let delay_ms = |at_ms: i64| at_ms - now_ms - AT_ONCE * INTERVAL_MS;
        *at_ms = (*at_ms).max(now_ms) + INTERVAL_MS;
        *at_ms -= (delay_ms(*at_ms) - DELAY_MS_MAX).max(0);
        Duration::from_millis(delay_ms(*at_ms).max(0) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delays_ms(failures: &Failures, address: &str, now_ms: i64, count: usize) -> Vec<u128> {
        (0..count).map(|_| failures.note(address, now_ms).as_millis()).collect()
    }

    #[test]
    fn failures_of_an_address_are_answered_at_a_limited_rate() {
        let failures = Failures::default();
        let delays = delays_ms(&failures, "a", 1_000_000, 24);
        assert_eq!(delays[18..], [0, 0, 50, 100, 150, 200]);
        assert_eq!(failures.note("b", 1_000_000).as_millis(), 0, "another address");
        // 1,200 ms are 24 answers.
        assert_eq!(delays_ms(&failures, "a", 1_001_200, 21)[18..], [0, 0, 50]);
        assert_eq!(delays_ms(&failures, "c", 1_000_000, 1_000)[999], DELAY_MS_MAX as u128);
    }

    #[test]
    fn the_memory_is_bounded() {
        let failures = Failures::default();
        for number in 0..5_000 {
            failures.note(&number.to_string(), 1_000_000);
        }
        assert_eq!(failures.answered_ms.lock().len(), ADDRESSES_MAX);
    }
}
