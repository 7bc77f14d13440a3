//! Resident memory of a key, of an element, and of an idle connection.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use ochre_testkit::{Client, Server, client, process};

use super::Contestant;
use super::results::{Results, Unit};

#[derive(Clone, Copy, Debug)]
pub struct Row {
    pub name: &'static str,
    what: What,
}

#[derive(Clone, Copy, Debug)]
enum What {
    /// Keys of 16 bytes with values of `value` bytes, with or without an expiry.
    Keys {
        value: usize,
        ttl: bool,
    },
    /// Commands, each of which adds a key or an element.
    Made {
        commands: usize,
        command: fn(usize) -> Vec<Vec<u8>>,
    },
    Connections,
}

pub const ROWS: [Row; 9] = [
    Row { name: "memory-key-64B", what: What::Keys { value: 64, ttl: false } },
    Row { name: "memory-key-64B-ttl", what: What::Keys { value: 64, ttl: true } },
    Row { name: "memory-key-8B", what: What::Keys { value: 8, ttl: false } },
    Row { name: "memory-hash-5-fields", what: What::Made { commands: KEYS / 4, command: hash_of_five } },
    Row {
        name: "memory-set-member-17B",
        what: What::Made { commands: KEYS, command: |n| text(&format!("SADD set {}", member(n))) },
    },
    Row { name: "memory-zset-member-17B", what: What::Made { commands: KEYS, command: scored_member } },
    Row {
        name: "memory-list-item-16B",
        what: What::Made { commands: KEYS, command: |n| text(&format!("RPUSH list item:{n:011}")) },
    },
    Row { name: "memory-stream-entry", what: What::Made { commands: KEYS, command: stream_entry } },
    Row { name: "memory-connection", what: What::Connections },
];

fn hash_of_five(number: usize) -> Vec<Vec<u8>> {
    let age = number % 90;
    text(&format!("HSET hash:{number:012} name user{number} age {age} city Paris score {number} flag 1"))
}

fn scored_member(number: usize) -> Vec<Vec<u8>> {
    text(&format!("ZADD zset {} {}", number * 3 % 1_000_003, member(number)))
}

fn stream_entry(number: usize) -> Vec<Vec<u8>> {
    text(&format!("XADD stream {}-1 temp {} hum {}", number + 1, number % 40, number % 100))
}

fn member(number: usize) -> String {
    format!("member:{number:010}")
}

fn text(command: &str) -> Vec<Vec<u8>> {
    command.split(' ').map(|word| word.as_bytes().to_vec()).collect()
}

const KEYS: usize = 1_000_000;
const CONNECTIONS: usize = 8_000;

/// Measures the rows. If a server refuses the commands of a row, the row is skipped and named in the error after all others were measured.
pub fn measure(contestants: &[Contestant], rows: &[Row], rounds: usize, results: &mut Results) -> Result<(), String> {
    let mut refusals = Vec::new();
    for row in rows {
        // Two rounds are enough, as memory hardly differs from round to round.
        for _ in 0..rounds.min(2) {
            for contestant in contestants {
                let server = contestant.launch().start();
                match bytes_each(&server, row.what) {
                    Ok(bytes) => {
                        println!("{:22} {:8} {bytes:.0} bytes", row.name, contestant.name());
                        results.add(row.name, contestant.name(), Unit::Bytes, bytes);
                    }
                    Err(error) => {
                        let refusal = format!("{} of {}: {error}", row.name, contestant.name());
                        println!("{refusal}");
                        refusals.push(refusal);
                    }
                }
            }
        }
    }
    refusals.dedup();
    if refusals.is_empty() { Ok(()) } else { Err(format!("not measured:\n{}", refusals.join("\n"))) }
}

fn bytes_each(server: &Server, what: What) -> io::Result<f64> {
    let empty = settled(server)?;
    let (count, kept) = match what {
        What::Keys { value, ttl } => {
            fill(&mut server.client(), KEYS, |number| set(number, value, ttl))?;
            (KEYS, Vec::new())
        }
        What::Made { commands, command } => {
            fill(&mut server.client(), commands, command)?;
            (commands, Vec::new())
        }
        What::Connections => {
            let limit = process::raise_file_limit()?;
            let count = CONNECTIONS.min(usize::try_from(limit).unwrap_or(CONNECTIONS).saturating_sub(200));
            (count, connections(server, count)?)
        }
    };
    let full = settled(server)?;
    drop::<Vec<Client>>(kept);
    Ok((full as f64 - empty as f64) / count as f64)
}

fn set(number: usize, value: usize, ttl: bool) -> Vec<Vec<u8>> {
    let key = format!("key:{number:012}").into_bytes();
    // A value of eight bytes is a number of eight digits, which servers can store as an integer.
    let value = if value == 8 { format!("{:08}", number * 7 % 100_000_000).into_bytes() } else { vec![b'x'; value] };
    let mut words = vec![b"SET".to_vec(), key, value];
    if ttl {
        words.extend([b"EX".to_vec(), (100_000 + number).to_string().into_bytes()]);
    }
    words
}

/// Sends `count` commands, each made from its number, with up to 500 of them in flight.
pub fn fill(client: &mut Client, count: usize, command: impl Fn(usize) -> Vec<Vec<u8>>) -> io::Result<()> {
    let mut bytes = Vec::new();
    let mut start = 0;
    while start < count {
        let end = (start + 500).min(count);
        bytes.clear();
        (start..end).for_each(|number| client::encode(&command(number), &mut bytes));
        client.send_bytes(&bytes)?;
        for _ in start..end {
            let reply = client.read_reply()?;
            if reply.is_error() {
                return Err(io::Error::other(reply.to_string()));
            }
        }
        start = end;
    }
    Ok(())
}

/// Connections that have each run one command.
fn connections(server: &Server, count: usize) -> io::Result<Vec<Client>> {
    (0..count)
        .map(|_| {
            let mut client = Client::connect(server.port())?;
            client.call(&["PING"])?;
            Ok(client)
        })
        .collect()
}

/// Resident memory after it has stopped changing: allocators return unused memory to the system only after seconds.
fn settled(server: &Server) -> io::Result<u64> {
    let start = Instant::now();
    let mut last = process::resident_memory(server.pid())?;
    let mut since = Instant::now();
    while since.elapsed() < Duration::from_secs(4) && start.elapsed() < Duration::from_secs(20) {
        thread::sleep(Duration::from_millis(200));
        let now = process::resident_memory(server.pid())?;
        if now.abs_diff(last) > last / 1000 {
            last = now;
            since = Instant::now();
        }
    }
    process::resident_memory(server.pid())
}
