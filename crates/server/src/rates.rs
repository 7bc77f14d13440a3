//! What happens a second: the mean over the last 16 samples, as Redis measures it (`trackInstantaneousMetric`).

use parking_lot::Mutex;

const SAMPLES: usize = 16;

/// See the module.
#[derive(Default)]
pub struct Rates {
    /// A mutex: taken ten times a second, and by INFO.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Milliseconds since 1970 of the last sample, 0 before the first.
    sampled_ms: i64,
    totals: Figures,
    samples: [Figures; SAMPLES],
    next: usize,
}

/// A number of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Figures {
    pub commands: f64,
    pub read_bytes: f64,
    pub written_bytes: f64,
}

impl Rates {
    /// Takes a sample: what was counted so far.
    pub fn sample(&self, totals: Figures, now_ms: i64) {
        self.state.lock().sample(totals, now_ms);
    }

    /// What happened a second, lately.
    pub fn a_second(&self) -> Figures {
        let state = self.state.lock();
        let mean = |figure: fn(&Figures) -> f64| state.samples.iter().map(figure).sum::<f64>() / SAMPLES as f64;
        Figures {
            commands: mean(|figures| figures.commands),
            read_bytes: mean(|figures| figures.read_bytes),
            written_bytes: mean(|figures| figures.written_bytes),
        }
    }

    /// Forgets everything: the counters are zero again.
    pub fn reset(&self) {
        *self.state.lock() = State::default();
    }
}

impl State {
    fn sample(&mut self, totals: Figures, now_ms: i64) {
        let elapsed_ms = now_ms - self.sampled_ms;
        if self.sampled_ms > 0 && elapsed_ms > 0 {
            let rate = |now: f64, before: f64| (now - before).max(0.0) * 1000.0 / elapsed_ms as f64;
            self.samples[self.next] = Figures {
                commands: rate(totals.commands, self.totals.commands),
                read_bytes: rate(totals.read_bytes, self.totals.read_bytes),
                written_bytes: rate(totals.written_bytes, self.totals.written_bytes),
            };
            self.next = (self.next + 1) % SAMPLES;
        }
        (self.totals, self.sampled_ms) = (totals, now_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_of_the_samples() {
        let rates = Rates::default();
        for i in 0..=16 {
            let totals = Figures { commands: i as f64 * 10.0, ..Figures::default() };
            rates.sample(totals, 1000 + i * 100);
        }
        assert_eq!(rates.a_second(), Figures { commands: 100.0, ..Figures::default() });
        rates.reset();
        assert_eq!(rates.a_second(), Figures::default());
    }
}
