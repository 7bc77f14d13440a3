//! The figures: medians of rounds, kept in bench/results.tsv, shown as the tables of bench/README.md.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use ochre_testkit::workspace;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unit {
    ThousandASecond,
    CpuUs,
    Bytes,
    Keys,
    Ms,
}

const UNITS: [(Unit, &str); 5] = [
    (Unit::ThousandASecond, "k/s"),
    (Unit::CpuUs, "cpu-us"),
    (Unit::Bytes, "bytes"),
    (Unit::Keys, "keys"),
    (Unit::Ms, "ms"),
];

const SERVERS: [&str; 3] = ["Ochre", "Valkey", "Redis"];

/// By row, unit and server, a figure a round.
#[derive(Clone, Debug, Default)]
pub struct Results {
    rows: BTreeMap<(String, Unit), BTreeMap<String, Vec<f64>>>,
    /// The rows in the order in which they were measured.
    order: Vec<(String, Unit)>,
}

/// What the design asks of a row: processor time as a share of the better peer's.
fn ratio_asked(row: &str) -> Option<f64> {
    let (command, rest) = row.split_once('-')?;
    match (command, rest.trim_end_matches("-unix")) {
        ("PING", _) => None,
        // The memory's speed is all that it can have.
        ("BITCOUNT", _) => Some(1.0),
        ("SINTER", _) => Some(0.70),
        ("GET" | "SET" | "INCR", "p1") => Some(0.95),
        ("GET", "p100") => Some(0.25),
        ("SET", "p100") => Some(0.33),
        (_, rest) if rest.ends_with("p16") => Some(0.70),
        _ => None,
    }
}

/// What the design asks of the other rows, in the row's unit.
fn figure_asked(row: &str) -> Option<&'static str> {
    match row {
        "memory-key-64B" => Some("≤ 110"),
        "memory-key-64B-ttl" => Some("≤ 130"),
        "memory-hash-5-fields" => Some("≤ 118"),
        "memory-set-member-17B" => Some("≤ 42"),
        "memory-zset-member-17B" => Some("≤ 62"),
        "memory-list-item-16B" => Some("≤ 19"),
        "memory-stream-entry" => Some("≤ 14"),
        "memory-connection" => Some("≤ 1500"),
        "latency-del-set-1M" => Some("≤ quiet + 1"),
        "expiry-announced" => Some("1000"),
        "expiry-lag-p99" => Some("≤ 20"),
        _ => None,
    }
}

/// Ochre's figure as a share of the lesser of the peers'.
fn ratio_to_better([ours, peers @ ..]: [Option<f64>; SERVERS.len()]) -> Option<f64> {
    let better = peers.into_iter().flatten().min_by(f64::total_cmp)?;
    Some(ours? / better)
}

impl Results {
    pub fn add(&mut self, row: &str, server: &str, unit: Unit, figure: f64) {
        let place = (row.to_string(), unit);
        if !self.order.contains(&place) {
            self.order.push(place.clone());
        }
        self.rows.entry(place).or_default().entry(server.to_string()).or_default().push(figure);
    }

    fn median(&self, row: &str, unit: Unit, server: &str) -> Option<f64> {
        let mut figures = self.rows.get(&(row.to_string(), unit))?.get(server)?.clone();
        figures.sort_by(f64::total_cmp);
        // Of an even number of rounds, the mean of the two in the middle.
        let (low, high) = (figures.get(figures.len().saturating_sub(1) / 2)?, figures.get(figures.len() / 2)?);
        Some((low + high) / 2.0)
    }

    /// All that was measured, as Markdown.
    pub fn tables(&self) -> String {
        let mut text = String::new();
        let shown =
            |figure: Option<f64>, digits: usize| figure.map_or("–".into(), |figure| format!("{figure:.digits$}"));
        let throughput: Vec<&String> =
            self.order.iter().filter(|(_, unit)| *unit == Unit::CpuUs).map(|(row, _)| row).collect();
        if !throughput.is_empty() {
            text.push_str("| row | Ochre k/s | Valkey k/s | Redis k/s | Ochre µs | Valkey µs | Redis µs | Ochre ÷ better | asked |\n");
            text.push_str("|---|---|---|---|---|---|---|---|---|\n");
            for row in throughput {
                let rates = SERVERS.map(|server| shown(self.median(row, Unit::ThousandASecond, server), 0));
                let costs = SERVERS.map(|server| self.median(row, Unit::CpuUs, server));
                let ratio = ratio_to_better(costs);
                let asked = ratio_asked(row).map_or(String::new(), |asked| format!("≤ {asked:.2}"));
                let costs = costs.map(|cost| shown(cost, 2));
                writeln!(
                    text,
                    "| {row} | {} | {} | {} | {asked} |",
                    rates.join(" | "),
                    costs.join(" | "),
                    shown(ratio, 2)
                )
                .expect("a string takes all");
            }
            text.push('\n');
        }
        let others: Vec<&(String, Unit)> =
            self.order.iter().filter(|(_, unit)| !matches!(unit, Unit::ThousandASecond | Unit::CpuUs)).collect();
        if !others.is_empty() {
            text.push_str(
                "| row | unit | Ochre | Valkey | Redis | Ochre ÷ better | asked |\n|---|---|---|---|---|---|---|\n",
            );
            for (row, unit) in others {
                let figures = SERVERS.map(|server| self.median(row, *unit, server));
                let ratio = ratio_to_better(figures);
                let digits = usize::from(*unit == Unit::Ms);
                let figures = figures.map(|figure| shown(figure, digits));
                let asked = figure_asked(row).unwrap_or("");
                let unit = UNITS.iter().find(|(known, _)| known == unit).map_or("", |(_, name)| name);
                writeln!(text, "| {row} | {unit} | {} | {} | {asked} |", figures.join(" | "), shown(ratio, 2))
                    .expect("a string takes all");
            }
        }
        text
    }

    /// Puts what was measured now in the place of what was known of the same rows and servers, and writes the page anew.
    pub fn merge_into_readme(&self) -> Result<(), String> {
        let path = folder().join("results.tsv");
        let mut kept = Results::read(&fs::read_to_string(&path).unwrap_or_default())?;
        for place in &self.order {
            for server in self.rows[place].keys() {
                let median = self.median(&place.0, place.1, server).expect("it was measured");
                if let Some(figures) = kept.rows.get_mut(place).and_then(|row| row.get_mut(server)) {
                    figures.clear();
                }
                kept.add(&place.0, server, place.1, median);
            }
        }
        fs::create_dir_all(folder()).map_err(|error| format!("{}: {error}", folder().display()))?;
        fs::write(&path, kept.print()).map_err(|error| format!("{}: {error}", path.display()))?;
        let path = folder().join("README.md");
        let page = PAGE.replace("MACHINE", &machine()).replace("TABLES", kept.tables().trim_end());
        fs::write(&path, page).map_err(|error| format!("{}: {error}", path.display()))
    }

    fn read(text: &str) -> Result<Results, String> {
        let mut results = Results::default();
        for line in text.lines() {
            let fields: Vec<&str> = line.split('\t').collect();
            let parsed = match fields.as_slice() {
                [row, server, unit, figure] => UNITS
                    .iter()
                    .find(|(_, name)| name == unit)
                    .and_then(|(unit, _)| Some((*row, *server, *unit, figure.parse().ok()?))),
                _ => None,
            };
            let (row, server, unit, figure) =
                parsed.ok_or_else(|| format!("bench/results.tsv has a wrong line: {line}"))?;
            results.add(row, server, unit, figure);
        }
        Ok(results)
    }

    fn print(&self) -> String {
        let mut text = String::new();
        for place in &self.order {
            for server in SERVERS {
                if let Some(figure) = self.median(&place.0, place.1, server) {
                    let unit = UNITS.iter().find(|(unit, _)| *unit == place.1).map_or("", |(_, name)| name);
                    writeln!(text, "{}\t{server}\t{unit}\t{figure:.3}", place.0).expect("a string takes all");
                }
            }
        }
        text
    }
}

fn folder() -> PathBuf {
    workspace::root().join("bench")
}

const PAGE: &str = "\
# Ochre beside its peers

Written by `cargo xtask bench --write`; the figures lie in `results.tsv`. MACHINE

Ochre (one thread), Valkey 9.1.2 and Redis 8.2.3 (the reference servers of the tests) run one after the other on core 0,
redis-benchmark with 50 connections on core 1; every figure is the median of the rounds. `µs` is the server's processor time a command, user and kernel, which
noise moves less than commands a second. PING is the floor: kernel and protocol. `p16` is a pipeline of 16, `unix` a Unix socket instead of
TCP; MGET and MSET have 10 keys. Keys have 16 bytes, values 64 where nothing else is said, and there are a million. Rows of collections have
one key of a million elements, or 100,000 keys of few (`small`); `xtask/src/bench/collections.rs` has their commands. `better` is whichever of
Valkey and Redis needs less.

`memory-…` is resident memory above that of an empty server, a key, an element or an idle connection. `latency-…` is the worst wait of a client
that asks for a key every millisecond, while a set of a million members is deleted and when nothing happens. `expiry-…` is how many of 1,000 keys, expiring 3 ms
after each other among a million with far expiries, were announced within 30 s although nobody read them, and how late.

TABLES
";

fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpus = read("/proc/cpuinfo");
    let model = cpus
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .unwrap_or("")
        .trim_start_matches([' ', '\t', ':']);
    let cores = cpus.lines().filter(|line| line.starts_with("processor")).count();
    let kernel = read("/proc/sys/kernel/osrelease");
    format!("The machine: {model}, {cores} cores, Linux {}.", kernel.trim())
}
