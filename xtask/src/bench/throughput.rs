//! Commands a second and processor time a command, under redis-benchmark.

use std::env;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use ochre_testkit::{Server, process};

use super::results::{Results, Unit};
use super::{CLIENT_CORE, Contestant};

/// What redis-benchmark is to do.
#[derive(Clone, Debug)]
pub struct Row {
    pub name: String,
    arguments: Vec<String>,
    requests: u64,
    unix_socket: bool,
}

/// Random keys are drawn from so many, all of which exist.
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
                    ["-c", "50", "-P", &pipeline.to_string()].iter().map(|word| word.to_string()).collect();
                arguments.extend(words.iter().map(|word| word.to_string()));
                let name = format!("{command}-p{pipeline}{}", if unix_socket { "-unix" } else { "" });
                rows.push(Row { name, arguments, requests: requests / cost, unix_socket });
            }
        }
    }
    rows
}

pub fn measure(contestants: &[Contestant], rows: &[Row], rounds: usize, results: &mut Results) -> Result<(), String> {
    if rows.is_empty() {
        return Ok(());
    }
    let program = program()?;
    for round in 1..=rounds {
        for contestant in contestants {
            let server = contestant.launch().start();
            // Three times as many draws as keys: 95 % of the keys exist.
            let fill: Vec<String> =
                ["-c", "50", "-P", "50", "-t", "set", "-d", "64"].iter().map(|word| word.to_string()).collect();
            load(&program, &server, &fill, 3 * KEYS, false)?;
            for row in rows {
                let before = cpu_us(&server)?;
                let a_second = load(&program, &server, &row.arguments, row.requests, row.unix_socket)?;
                let spent = (cpu_us(&server)? - before) / row.requests as f64;
                println!(
                    "round {round}  {:16} {:8} {:>8.0} k/s  {spent:.2} µs a command",
                    row.name,
                    contestant.name(),
                    a_second / 1000.0
                );
                results.add(&row.name, contestant.name(), Unit::ThousandASecond, a_second / 1000.0);
                results.add(&row.name, contestant.name(), Unit::CpuUs, spent);
            }
        }
    }
    Ok(())
}

fn cpu_us(server: &Server) -> Result<f64, String> {
    let time = process::cpu_time(server.pid()).map_err(|error| format!("the server's processor time: {error}"))?;
    Ok(time.as_secs_f64() * 1e6)
}

/// Runs redis-benchmark on its core; gives its commands a second.
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
    command.args(["--csv", "-n", &requests.to_string(), "-r", &KEYS.to_string()]).args(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    process::pin(&mut command, &[CLIENT_CORE]);
    let output = command.output().map_err(|error| format!("{}: {error}", program.display()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    // "GET","123456.78","0.123",… below a line of titles.
    let figure = text
        .lines()
        .filter(|line| line.starts_with('"') && !line.contains("\"rps\""))
        .filter_map(|line| line.split("\",\"").nth(1)?.trim_matches('"').parse::<f64>().ok())
        .next_back();
    figure.ok_or_else(|| format!("redis-benchmark said:\n{text}{}", String::from_utf8_lossy(&output.stderr)))
}

fn program() -> Result<PathBuf, String> {
    if let Some(named) = env::var_os("BENCH") {
        return Ok(named.into());
    }
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).map(|folder| folder.join("redis-benchmark")).find(|program| program.is_file()).ok_or_else(
        || "redis-benchmark is not on the PATH: install it (Debian: redis-tools), or name one in BENCH".into(),
    )
}
