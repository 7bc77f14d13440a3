//! The latency monitor (LATENCY): the last times at which something took long, by the kind of event.

use std::collections::{BTreeMap, VecDeque};

use parking_lot::Mutex;

/// The most samples that are kept of an event. (Redis: `LATENCY_TS_LEN`)
const SAMPLES_MAX: usize = 160;

/// What took long at some second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// In seconds since 1970.
    pub time_s: i64,
    /// The longest time in that second, in milliseconds.
    pub ms: u64,
}

/// The samples of one event.
#[derive(Clone, Debug, Default)]
pub struct Series {
    /// At most one for each second, the oldest first. There is at least one.
    pub samples: VecDeque<Sample>,
    /// The longest time since the last reset, in milliseconds.
    pub ms_max: u64,
}

/// The monitor. Its events are named as in Redis.
#[derive(Default)]
pub struct LatencyMonitor {
    /// A mutex: it is taken when something took long, and by LATENCY.
    events: Mutex<BTreeMap<&'static str, Series>>,
}

impl LatencyMonitor {
    /// Adds a sample. The caller has found it to be above the threshold.
    pub fn add(&self, event: &'static str, sample: Sample) {
        self.events.lock().entry(event).or_default().add(sample);
    }

    /// All events, sorted by name.
    pub fn all(&self) -> Vec<(&'static str, Series)> {
        self.events.lock().iter().map(|(name, series)| (*name, series.clone())).collect()
    }

    /// The samples of an event, if it has any.
    pub fn of(&self, event: &[u8]) -> Option<Series> {
        let events = self.events.lock();
        events.iter().find(|(name, _)| name.as_bytes().eq_ignore_ascii_case(event)).map(|(_, series)| series.clone())
    }

    /// Forgets an event. Returns whether it had samples.
    pub fn reset(&self, event: &[u8]) -> bool {
        let mut events = self.events.lock();
        let before = events.len();
        events.retain(|name, _| !name.as_bytes().eq_ignore_ascii_case(event));
        events.len() < before
    }

    /// Forgets all events. Returns how many had samples.
    pub fn reset_all(&self) -> usize {
        std::mem::take(&mut *self.events.lock()).len()
    }
}

impl Series {
    fn add(&mut self, sample: Sample) {
        self.ms_max = self.ms_max.max(sample.ms);
        match self.samples.back_mut() {
            Some(last) if last.time_s == sample.time_s => last.ms = last.ms.max(sample.ms),
            _ => {
                if self.samples.len() == SAMPLES_MAX {
                    self.samples.pop_front();
                }
                self.samples.push_back(sample);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_has_one_sample_and_the_newest_are_kept() {
        let monitor = LatencyMonitor::default();
        for (time_s, ms) in [(1, 90), (2, 20), (2, 50), (2, 30)] {
            monitor.add("command", Sample { time_s, ms });
        }
        let series = monitor.of(b"COMMAND").unwrap();
        assert_eq!(series.samples, [Sample { time_s: 1, ms: 90 }, Sample { time_s: 2, ms: 50 }]);
        (3..200).for_each(|time_s| monitor.add("command", Sample { time_s, ms: 1 }));
        let series = monitor.of(b"command").unwrap();
        assert_eq!((series.samples.len(), series.samples[0].time_s, series.ms_max), (SAMPLES_MAX, 40, 90));
        assert!(monitor.reset(b"command") && !monitor.reset(b"command"));
        assert_eq!(monitor.reset_all(), 0);
    }
}
