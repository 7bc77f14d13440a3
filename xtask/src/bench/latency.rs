//! The longest wait of a GET while the server frees a set of a million members, and the longest wait on an otherwise idle server.
//!
//! One client sends a GET every millisecond. A wait is measured from the moment at which the request was due, so a stall counts for all requests
//! that it delays.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use ochre_testkit::{Client, Server};

use super::Contestant;
use super::memory::fill;
use super::results::{Results, Unit};

pub const NAME: &str = "latency";

const KEYS: usize = 2_000_000;
const MEMBERS: usize = 1_000_000;
const PERIOD: Duration = Duration::from_millis(1);
const PROBED: Duration = Duration::from_secs(4);
/// The time from the first GET to the deletion of the set.
const EVENT_AFTER: Duration = Duration::from_secs(1);

pub fn measure(contestants: &[Contestant], rounds: usize, results: &mut Results) -> Result<(), String> {
    for _ in 0..rounds {
        for contestant in contestants {
            let server = contestant.launch().start();
            let (quiet, deleting) =
                worst_waits(&server).map_err(|error| format!("{NAME} of {}: {error}", contestant.name()))?;
            println!(
                "{NAME:22} {:8} worst GET wait {deleting:.2} ms while a set of a million is deleted, {quiet:.2} ms when quiet",
                contestant.name()
            );
            results.add("latency-quiet", contestant.name(), Unit::Ms, quiet);
            results.add("latency-del-set-1M", contestant.name(), Unit::Ms, deleting);
        }
    }
    Ok(())
}

fn worst_waits(server: &Server) -> io::Result<(f64, f64)> {
    let mut client = server.client();
    fill(&mut client, KEYS, |number| vec![b"SET".to_vec(), key(number).into_bytes(), vec![b'x'; 64]])?;
    fill(&mut client, MEMBERS / 100, |part| {
        let members = (0..100).map(|number| format!("m{:09}", part * 100 + number).into_bytes());
        [b"SADD".to_vec(), b"set".to_vec()].into_iter().chain(members).collect()
    })?;
    let quiet = worst_wait(server, |_| Ok(()))?;
    let deleting = worst_wait(server, |client| client.call(&["DEL", "set"]).map(|_| ()))?;
    Ok((quiet, deleting))
}

/// The longest wait, in milliseconds, of a client that sends its requests while `event` happens.
fn worst_wait(server: &Server, event: impl FnOnce(&mut Client) -> io::Result<()>) -> io::Result<f64> {
    let (mut probe, mut other) = (server.client(), server.client());
    thread::sleep(Duration::from_secs(1));
    thread::scope(|scope| {
        let probing = scope.spawn(move || -> io::Result<Duration> {
            let (start, mut worst) = (Instant::now(), Duration::ZERO);
            let mut due = start;
            while due < start + PROBED {
                thread::sleep(due.saturating_duration_since(Instant::now()));
                let number = (due - start).as_micros() as usize * 7919 % KEYS;
                probe.call(&["GET", &key(number)])?;
                worst = worst.max(due.elapsed());
                due += PERIOD;
            }
            Ok(worst)
        });
        thread::sleep(EVENT_AFTER);
        event(&mut other)?;
        let worst = probing.join().expect("the probe does not panic")?;
        Ok(worst.as_secs_f64() * 1000.0)
    })
}

fn key(number: usize) -> String {
    format!("key:{number:012}")
}
