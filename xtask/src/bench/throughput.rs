//! Commands per second and processor time per command, under the load of redis-benchmark.

use std::env;
use std::io;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use ochre_testkit::{Server, process};

use super::memory::fill;
use super::results::{Results, Unit};
use super::{CLIENT_CORE, Contestant};

/// One run of redis-benchmark.
#[derive(Clone, Debug)]
pub struct Row {
    pub name: String,
    /// The arguments of redis-benchmark.
    pub arguments: Vec<String>,
    pub requests: u64,
    /// Whether clients connect over a Unix socket instead of TCP.
    pub unix_socket: bool,
    /// The data that the server has at the start.
    pub data: Data,
}

/// The data that a server has when a row begins.
#[derive(Clone, Copy, Debug)]
pub enum Data {
    /// A million strings. The rows of strings share them.
    Strings,
    /// The result of these commands on an empty server.
    Made(&'static [Preparation]),
}

/// `count` commands, each made from its number.
#[derive(Clone, Copy, Debug)]
pub struct Preparation {
    pub count: usize,
    pub command: fn(usize) -> Vec<Vec<u8>>,
}

/// The number of strings. Requests draw their keys from them.
const KEYS: u64 = 1_000_000;

pub fn rows() -> Vec<Row> {
    let mget: Vec<&str> = ["MGET"].into_iter().chain(["key:__rand_int__"; 10]).collect();
    let commands: [(&str, Vec<&str>, u64); 6] = [
        ("PING", vec!["-t", "ping_mbulk"], 1),
        ("GET", vec!["-t", "get", "-d", "64"], 1),
        ("SET", vec!["-t", "set", "-d", "64"], 1),
        ("INCR", vec!["-t", "incr"], 1),
        ("MGET", mget, 5),
        ("MSET", vec!["-t", "mset", "-d", "64"], 5),
    ];
    let mut rows = Vec::new();
    for (command, words, cost) in commands {
        for (pipeline, requests) in [(1, 300_000), (16, 2_000_000), (100, 4_000_000)] {
            for unix_socket in [false, true] {
                let mut arguments: Vec<String> =
                    ["-r", &KEYS.to_string(), "-c", "50", "-P", &pipeline.to_string()].map(str::to_string).to_vec();
                arguments.extend(words.iter().map(|word| word.to_string()));
                let name = format!("{command}-p{pipeline}{}", if unix_socket { "-unix" } else { "" });
                rows.push(Row { name, arguments, requests: requests / cost, unix_socket, data: Data::Strings });
            }
        }
    }
    rows
}

/// Measures the rows. If a server refuses the command of a row, the row is skipped and named in the error after all others were measured.
pub fn measure(contestants: &[Contestant], rows: &[Row], rounds: usize, results: &mut Results) -> Result<(), String> {
    if rows.is_empty() {
        return Ok(());
    }
    let program = program()?;
    let mut refusals = Vec::new();
    for round in 1..=rounds {
        for contestant in contestants {
            let mut with_strings = None;
            for row in rows {
                let with_made;
                let server = match row.data {
                    Data::Strings => match &mut with_strings {
                        Some(server) => server,
                        none => none.insert(server_with_strings(contestant, &program)?),
                    },
                    Data::Made(preparations) => {
                        with_made = contestant.launch().start();
                        let prepared = prepare(&with_made, preparations)
                            .and_then(|()| with_made.client().call(&row.first_request()))
                            .map_err(|error| error.to_string());
                        if let Some(refusal) =
                            prepared.map_or_else(Some, |reply| reply.is_error().then(|| reply.to_string()))
                        {
                            let refusal = format!("{} of {}: {refusal}", row.name, contestant.name());
                            if !refusals.contains(&refusal) {
                                println!("{refusal}");
                                refusals.push(refusal);
                            }
                            continue;
                        }
                        &with_made
                    }
                };
                let before = cpu_us(server)?;
                let a_second = load(&program, server, &row.arguments, row.requests, row.unix_socket)?;
                let spent = (cpu_us(server)? - before) / row.requests as f64;
                println!(
                    "round {round}  {:18} {:8} {:>8.1} k/s  {spent:.2} µs a command",
                    row.name,
                    contestant.name(),
                    a_second / 1000.0
                );
                results.add(&row.name, contestant.name(), Unit::ThousandASecond, a_second / 1000.0);
                results.add(&row.name, contestant.name(), Unit::CpuUs, spent);
            }
        }
    }
    if refusals.is_empty() { Ok(()) } else { Err(format!("not measured:\n{}", refusals.join("\n"))) }
}

impl Row {
    /// The row's command with zeros in place of random numbers, to see whether a server accepts it.
    fn first_request(&self) -> Vec<String> {
        let command = self
            .arguments
            .iter()
            .position(|word| !word.starts_with('-') && !word.bytes().all(|it| it.is_ascii_digit()));
        self.arguments[command.unwrap_or(0)..].iter().map(|word| word.replace("__rand_int__", "000000000000")).collect()
    }
}

fn server_with_strings(contestant: &Contestant, program: &PathBuf) -> Result<Server, String> {
    let server = contestant.launch().start();
    // With three times as many random SETs as keys, 95 % of the keys exist.
    let fill = ["-r", &KEYS.to_string(), "-c", "50", "-P", "50", "-t", "set", "-d", "64"].map(str::to_string);
    load(program, &server, &fill, 3 * KEYS, false)?;
    Ok(server)
}

fn prepare(server: &Server, preparations: &[Preparation]) -> io::Result<()> {
    let mut client = server.client();
    preparations.iter().try_for_each(|preparation| fill(&mut client, preparation.count, preparation.command))
}

fn cpu_us(server: &Server) -> Result<f64, String> {
    let time = process::cpu_time(server.pid()).map_err(|error| format!("the server's processor time: {error}"))?;
    Ok(time.as_secs_f64() * 1e6)
}

/// Runs redis-benchmark on the clients' core. Returns commands per second.
fn load(
    program: &PathBuf,
    server: &Server,
    arguments: &[String],
    requests: u64,
    unix_socket: bool,
) -> Result<f64, String> {
    let mut command = Command::new(program);
    if unix_socket {
        command.arg("-s").arg(server.unix_socket().ok_or("the server has no Unix socket")?);
    } else {
        command.args(["-p", &server.port().to_string()]);
    }
    command.args(["--csv", "-n", &requests.to_string()]).args(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    process::pin(&mut command, &[CLIENT_CORE]);
    let output = command.output().map_err(|error| format!("{}: {error}", program.display()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    // The output is a line of titles, then "GET","123456.78","0.123",…
    let figure = text
        .lines()
        .filter(|line| line.starts_with('"') && !line.contains("\"rps\""))
        .filter_map(|line| line.split("\",\"").nth(1)?.trim_matches('"').parse::<f64>().ok())
        .next_back();
    figure
        .ok_or_else(|| format!("redis-benchmark printed no figure:\n{text}{}", String::from_utf8_lossy(&output.stderr)))
}

fn program() -> Result<PathBuf, String> {
    if let Some(named) = env::var_os("BENCH") {
        return Ok(named.into());
    }
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).map(|folder| folder.join("redis-benchmark")).find(|program| program.is_file()).ok_or_else(
        || "redis-benchmark is not on the PATH: install it (Debian: redis-tools), or set BENCH to its path".into(),
    )
}
