//! How late the expiry of a key is announced if nobody reads the key: measured on 1,000 such keys among a million keys that expire much later.

use std::collections::HashMap;
use std::io;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ochre_testkit::Server;

use super::Contestant;
use super::memory::fill;
use super::results::{Results, Unit};

pub const NAME: &str = "expiry";

/// The number of keys that do not expire during the measurement.
const FAR: usize = 1_000_000;
/// The number of keys that do.
const NEAR: usize = 1_000;

/// How long to wait for announcements. A server that samples for expired keys finds only a few of them even in a longer time.
const PATIENCE: Duration = Duration::from_secs(30);

pub fn measure(contestants: &[Contestant], rounds: usize, results: &mut Results) -> Result<(), String> {
    for _ in 0..rounds.min(2) {
        for contestant in contestants {
            let server = contestant.launch().start();
            let mut lags_ms = lags(&server).map_err(|error| format!("{NAME} of {}: {error}", contestant.name()))?;
            lags_ms.sort_by(f64::total_cmp);
            let announced = lags_ms.len();
            let at = |share: f64| lags_ms.get(((announced as f64 * share) as usize).min(announced.saturating_sub(1)));
            let p99 = at(0.99).copied().unwrap_or(f64::NAN);
            let max = lags_ms.last().copied().unwrap_or(f64::NAN);
            println!(
                "{NAME:20} {:8} {announced} of {NEAR} announced, p99 {p99:.1} ms, max {max:.1} ms",
                contestant.name()
            );
            results.add("expiry-announced", contestant.name(), Unit::Keys, announced as f64);
            results.add("expiry-lag-p99", contestant.name(), Unit::Ms, p99);
            results.add("expiry-lag-max", contestant.name(), Unit::Ms, max);
        }
    }
    Ok(())
}

fn lags(server: &Server) -> io::Result<Vec<f64>> {
    let mut client = server.client();
    client.run("CONFIG SET notify-keyspace-events Ex");
    fill(&mut client, FAR, |number| {
        ["SET".into(), format!("far:{number}"), "x".into(), "EX".into(), (100_000 + number).to_string()]
            .map(String::into_bytes)
            .to_vec()
    })?;
    let mut listener = server.client();
    listener.run("SUBSCRIBE __keyevent@0__:expired");

    let now_ms = || SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is set").as_secs_f64() * 1000.0;
    let first = now_ms() + 2000.0;
    let due = |number: usize| (first + 3.0 * number as f64) as u64;
    let due_by_key: HashMap<String, u64> = (0..NEAR).map(|number| (format!("near:{number}"), due(number))).collect();
    fill(&mut client, NEAR, |number| {
        ["SET".into(), format!("near:{number}"), "x".into(), "PXAT".into(), due(number).to_string()]
            .map(String::into_bytes)
            .to_vec()
    })?;
    let deadline = Instant::now() + Duration::from_millis(2000 + 3 * NEAR as u64) + PATIENCE;
    let mut lags = Vec::new();
    while lags.len() < NEAR {
        let left = deadline.saturating_duration_since(Instant::now());
        let Some(message) = listener.read_reply_within(left)? else {
            break;
        };
        let now = now_ms();
        let key = message.items().last().map(|key| key.to_text()).unwrap_or_default();
        if let Some(due) = due_by_key.get(&key) {
            lags.push(now - *due as f64);
        }
    }
    Ok(lags)
}
