//! How long commands take: the histograms of all cores together (LATENCY HISTOGRAM, INFO latencystats).

use hdrhistogram::Histogram;

use crate::{label::CommandLabel, server::Server};

/// The times of one command, in nanoseconds.
pub struct Times(Histogram<u64>);

/// The times of a command, if it has run while `latency-tracking` was on.
pub fn of(server: &Server, command: &CommandLabel) -> Option<Times> {
    let mut sum: Option<Histogram<u64>> = None;
    for counters in &server.counters {
        if let Some(times) = &*counters.of(command).times.lock() {
            match &mut sum {
                Some(sum) => sum.add(&**times).expect("all histograms have the same bounds"),
                None => sum = Some((**times).clone()),
            }
        }
    }
    sum.map(Times)
}

impl Times {
    /// The number of calls.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The time that this percentage of the calls did not exceed, in microseconds.
    pub fn percentile_us(&self, percentage: f64) -> f64 {
        self.0.value_at_percentile(percentage) as f64 / 1000.0
    }

    /// How many calls took at most 1, 2, 4, … microseconds; steps without further calls are left out. A microsecond has 1,024 nanoseconds here,
    /// as in Redis.
    pub fn powers_of_two(&self) -> Vec<(u64, u64)> {
        let mut steps = Vec::new();
        let mut counted = 0;
        for power in 10..63 {
            if counted == self.0.len() {
                break;
            }
            let end_ns = self.0.highest_equivalent(1 << power);
            let count = self.0.count_between(0, end_ns);
            if count > counted {
                steps.push((end_ns / 1000, count));
                counted = count;
            }
        }
        steps
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counters::times;

    #[test]
    fn steps_are_those_of_redis() {
        let mut histogram = times();
        for us in [1, 2, 30, 40, 20_000] {
            histogram.record(us * 1000).unwrap();
        }
        let times = Times(*histogram);
        assert_eq!(times.powers_of_two(), [(1, 1), (2, 2), (33, 3), (66, 4), (33_554, 5)]);
        assert_eq!(times.percentile_us(50.0), 30.079);
    }
}
