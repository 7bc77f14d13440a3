//! How many reads find their key while `maxmemory` keeps the keys from fitting, under each policy and on several traces of accesses.
//!
//! Every server has the same memory. A read that finds nothing is followed by a write, as an application that uses the server as a cache does it.

use std::io;

use ochre_testkit::{Client, Random, Reply, client};

use super::Contestant;
use super::results::{Results, Unit};

pub const NAME: &str = "hits";

/// The memory for keys, in bytes.
const MEMORY_BYTES: u64 = 10 << 20;
/// The number of different keys, of 16 bytes with values of 64. About a quarter of them fits.
const KEYS: usize = 400_000;
/// The number of accesses. The first half fills the memory, and the hits of the second half are counted.
const ACCESSES: usize = 3_000_000;
/// How many accesses are in flight.
const WINDOW: usize = 200;

/// A sequence of accesses.
#[derive(Clone, Copy)]
pub struct Trace {
    name: &'static str,
    /// The exponent of the Zipf distribution of the popularity of keys.
    exponent: f64,
    /// The percentage of accesses that belong to a loop over keys of its own, and the number of these keys.
    looping: (usize, usize),
}

const TRACES: [Trace; 6] = [
    Trace { name: "zipf-0.7", exponent: 0.7, looping: (0, 1) },
    Trace { name: "zipf-0.9", exponent: 0.9, looping: (0, 1) },
    Trace { name: "zipf-1.2", exponent: 1.2, looping: (0, 1) },
    // A loop over more keys than fit.
    Trace { name: "loop", exponent: 0.9, looping: (100, 150_000) },
    // What a report or a backup does to a cache: each of its keys is read once.
    Trace { name: "zipf-0.9-and-scan", exponent: 0.9, looping: (30, usize::MAX) },
    Trace { name: "zipf-0.9-and-loop", exponent: 0.9, looping: (50, 150_000) },
];

/// The policies that are compared. Those that a server does not know are left out.
const POLICIES: [&str; 3] = ["allkeys-lru", "allkeys-lfu", "allkeys-random"];

/// The rows: a trace under a policy.
pub fn rows() -> Vec<(String, Trace, &'static str)> {
    let row = |trace: Trace, policy: &'static str| (format!("{NAME}-{}-{}", trace.name, &policy[8..]), trace, policy);
    TRACES.iter().flat_map(|&trace| POLICIES.iter().map(move |policy| row(trace, policy))).collect()
}

pub fn measure(
    contestants: &[Contestant],
    rows: &[(String, Trace, &'static str)],
    results: &mut Results,
) -> Result<(), String> {
    for (row, trace, policy) in rows {
        for contestant in contestants {
            let error = |error: io::Error| format!("{row} of {}: {error}", contestant.name());
            if let Some(percent) = hits(contestant, *trace, policy).map_err(error)? {
                println!("{row:36} {:8} {percent:.2} %", contestant.name());
                results.add(row, contestant.name(), Unit::Hits, percent);
            }
        }
    }
    Ok(())
}

/// The percentage of hits; `None` if the server does not know the policy.
fn hits(contestant: &Contestant, trace: Trace, policy: &str) -> io::Result<Option<f64>> {
    let server = contestant.launch().start();
    let mut client = server.client();
    if client.run(&format!("CONFIG SET maxmemory-policy {policy}")) != Reply::ok() {
        return Ok(None);
    }
    let info = client.run("INFO memory").to_text();
    let used = info.lines().find_map(|line| line.strip_prefix("used_memory:")?.trim().parse::<u64>().ok());
    let limit = used.ok_or_else(|| io::Error::other("INFO does not show the memory"))? + MEMORY_BYTES;
    client.run(&format!("CONFIG SET maxmemory {limit}"));
    let mut keys = Accesses::new(trace);
    let (mut found, mut counted) = (0, 0);
    for window in 0..ACCESSES / WINDOW {
        let keys: Vec<String> = (0..WINDOW).map(|_| keys.next()).collect();
        let hits = access(&mut client, &keys)?;
        if window >= ACCESSES / WINDOW / 2 {
            (found, counted) = (found + hits, counted + WINDOW);
        }
    }
    Ok(Some(100.0 * found as f64 / counted as f64))
}

/// Reads keys, and writes those that are missing. Returns how many were there.
fn access(client: &mut Client, keys: &[String]) -> io::Result<usize> {
    let mut bytes = Vec::new();
    keys.iter().for_each(|key| client::encode(&["GET", key], &mut bytes));
    client.send_bytes(&bytes)?;
    bytes.clear();
    let mut missing = 0;
    for key in keys {
        if matches!(client.read_reply()?, Reply::NullBulk | Reply::Null) {
            missing += 1;
            client::encode(&["SET", key, &"x".repeat(64)], &mut bytes);
        }
    }
    client.send_bytes(&bytes)?;
    for _ in 0..missing {
        let reply = client.read_reply()?;
        if reply.is_error() {
            return Err(io::Error::other(reply.to_string()));
        }
    }
    Ok(keys.len() - missing)
}

/// The keys of a trace, one after the other. They depend on nothing but the trace.
struct Accesses {
    random: Random,
    /// The probability of a key or of one before it, by the rank of the key.
    cumulated: Vec<f64>,
    looping: (usize, usize),
    looped: usize,
}

impl Accesses {
    fn new(trace: Trace) -> Accesses {
        let mut cumulated: Vec<f64> = (1..=KEYS)
            .scan(0.0, |sum, rank| {
                *sum += (rank as f64).powf(-trace.exponent);
                Some(*sum)
            })
            .collect();
        let whole = cumulated[KEYS - 1];
        cumulated.iter_mut().for_each(|sum| *sum /= whole);
        Accesses { random: Random::new(1), cumulated, looping: trace.looping, looped: 0 }
    }

    fn next(&mut self) -> String {
        let (percent, keys) = self.looping;
        if self.random.chance(percent) {
            self.looped += 1;
            return format!("loop:{:011}", self.looped % keys);
        }
        let drawn = (self.random.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
        let rank = self.cumulated.partition_point(|&sum| sum < drawn);
        // The order of the names says nothing about the popularity.
        format!("key:{:012}", (rank as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) % 1_000_000_000_000)
    }
}
