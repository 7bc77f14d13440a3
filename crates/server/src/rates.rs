//! Rates per second: the mean of the last 16 samples, as Redis computes it (`trackInstantaneousMetric`).

use parking_lot::Mutex;

const SAMPLES: usize = 16;

/// The rates of the whole server.
#[derive(Default)]
pub struct Rates {
    /// A mutex: it is taken only by the sampler, ten times a second, and by INFO.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// When the last sample was taken, in milliseconds since 1970, or 0 before the first.
    sampled_ms: i64,
    /// The counters at the last sample.
    totals: Figures,
    /// Rates per second, in a ring.
    samples: [Figures; SAMPLES],
    /// The sample to overwrite next.
    next: usize,
}

/// One number for each counter that has a rate.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Figures {
    /// Commands that ran.
    pub commands: f64,
    /// Bytes read from clients.
    pub read_bytes: f64,
    /// Bytes sent to clients.
    pub written_bytes: f64,
}

impl Rates {
    /// Takes a sample. `totals` are the server's counters at `now_ms`, in milliseconds since 1970.
    pub fn sample(&self, totals: Figures, now_ms: i64) {
        self.state.lock().sample(totals, now_ms);
    }

    /// The rates per second over the last 16 samples.
    pub fn a_second(&self) -> Figures {
        let state = self.state.lock();
        let mean = |figure: fn(&Figures) -> f64| state.samples.iter().map(figure).sum::<f64>() / SAMPLES as f64;
        Figures {
            commands: mean(|figures| figures.commands),
            read_bytes: mean(|figures| figures.read_bytes),
            written_bytes: mean(|figures| figures.written_bytes),
        }
    }

    /// Forgets all samples. To be called after the counters were set to zero.
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
    fn a_rate_is_the_mean_of_the_samples() {
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
