//! How much memory a server keeps after most of its keys were removed here and there.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use ochre_testkit::{Client, Random, Server, process};

use super::Contestant;
use super::memory::fill;
use super::results::{Results, Unit};

pub const NAME: &str = "fragmentation";

/// The number of keys, with values of random lengths.
const KEYS: usize = 5_000_000;
const VALUE_BYTES: (usize, usize) = (16, 512);
/// Of so many keys, one stays.
const KEPT_OF: usize = 5;
/// How long after the removal memory is looked at.
const WAIT: Duration = Duration::from_secs(10);

pub fn measure(contestants: &[Contestant], results: &mut Results) -> Result<(), String> {
    for contestant in contestants {
        let server = contestant.launch().start();
        let percent = resident_percent(&server).map_err(|error| format!("{NAME} of {}: {error}", contestant.name()))?;
        println!("{NAME:20} {:8} resident memory is {percent:.0} % of the memory in use", contestant.name());
        results.add(NAME, contestant.name(), Unit::Percent, percent);
    }
    Ok(())
}

/// The resident memory in percent of the memory in use, some seconds after the removal.
fn resident_percent(server: &Server) -> io::Result<f64> {
    let mut client = server.client();
    let lengths = std::cell::RefCell::new(Random::new(1));
    let (shortest, longest) = VALUE_BYTES;
    fill(&mut client, KEYS, |number| {
        let value = vec![b'x'; lengths.borrow_mut().between(shortest, longest)];
        vec![b"SET".to_vec(), format!("key:{number:012}").into_bytes(), value]
    })?;
    fill(&mut client, KEYS / KEPT_OF, |number| {
        let removed = (1..KEPT_OF).map(|at| format!("key:{:012}", number * KEPT_OF + at).into_bytes());
        std::iter::once(b"DEL".to_vec()).chain(removed).collect()
    })?;
    let removed = Instant::now();
    thread::sleep(WAIT.saturating_sub(removed.elapsed()));
    let resident = process::resident_memory(server.pid())?;
    Ok(100.0 * resident as f64 / used(&mut client)?)
}

fn used(client: &mut Client) -> io::Result<f64> {
    let info = client.run("INFO memory").to_text();
    let used = info.lines().find_map(|line| line.strip_prefix("used_memory:")?.trim().parse().ok());
    used.ok_or_else(|| io::Error::other("INFO does not show the memory"))
}
