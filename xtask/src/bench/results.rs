//! The figures: medians of rounds, stored in bench/results.tsv and shown as the tables of bench/README.md.

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
    Hits,
    Percent,
    Ms,
}

const UNITS: [(Unit, &str); 7] = [
    (Unit::ThousandASecond, "k/s"),
    (Unit::CpuUs, "cpu-us"),
    (Unit::Bytes, "bytes"),
    (Unit::Keys, "keys"),
    (Unit::Hits, "% hits"),
    (Unit::Percent, "% of used"),
    (Unit::Ms, "ms"),
];

const SERVERS: [&str; 3] = ["Ochre", "Valkey", "Redis"];

/// The figures of all rounds.
#[derive(Clone, Debug, Default)]
pub struct Results {
    /// By row and unit, then by server: a figure for each round.
    rows: BTreeMap<(String, Unit), BTreeMap<String, Vec<f64>>>,
    /// The rows in the order in which they were measured.
    order: Vec<(String, Unit)>,
    /// The machine that the figures were measured on.
    machine: String,
}

/// The goal of a row: the most processor time per command, as a share of what the better of Valkey and Redis needs.
fn ratio_goal(row: &str) -> Option<f64> {
    let (command, rest) = row.split_once('-')?;
    match (command, rest.trim_end_matches("-unix")) {
        ("PING", _) => None,
        // Its time is that of reading a megabyte from memory, on every server.
        ("BITCOUNT", _) => Some(1.0),
        ("SINTER", _) => Some(0.70),
        ("GET" | "SET" | "INCR", "p1") => Some(0.95),
        ("GET", "p100") => Some(0.25),
        ("SET", "p100") => Some(0.33),
        (_, rest) if rest.ends_with("p16") => Some(0.70),
        _ => None,
    }
}

/// The goal of a row that has no processor time, in the row's unit.
fn figure_goal(row: &str) -> Option<&'static str> {
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
        "fragmentation" => Some("≤ 130"),
        "expiry-announced" => Some("1000"),
        "expiry-lag-p99" => Some("≤ 20"),
        "loading-1M-keys" => Some("≤ 500"),
        "loading-1M-keys-2-cores" => Some("≤ 300"),
        _ => None,
    }
}

/// Ochre's figure as a share of the better of the other two: the higher one of hits, and the lower one of everything else.
fn ratio_to_better([ours, peers @ ..]: [Option<f64>; SERVERS.len()], unit: Unit) -> Option<f64> {
    let peers = peers.into_iter().flatten();
    let better = if unit == Unit::Hits { peers.max_by(f64::total_cmp) } else { peers.min_by(f64::total_cmp) };
    Some(ours? / better?)
}

impl Results {
    /// Adds the figure of a round.
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
        // The median of an even number of figures is the mean of the two in the middle.
        let (low, high) = (figures.get(figures.len().saturating_sub(1) / 2)?, figures.get(figures.len() / 2)?);
        Some((low + high) / 2.0)
    }

    /// The tables of all figures, as Markdown.
    pub fn tables(&self) -> String {
        let mut text = String::new();
        let shown =
            |figure: Option<f64>, digits: usize| figure.map_or("–".into(), |figure| format!("{figure:.digits$}"));
        let throughput: Vec<&String> =
            self.order.iter().filter(|(_, unit)| *unit == Unit::CpuUs).map(|(row, _)| row).collect();
        if !throughput.is_empty() {
            text.push_str("| row | Ochre k/s | Valkey k/s | Redis k/s | Ochre µs | Valkey µs | Redis µs | Ochre ÷ better | goal |\n");
            text.push_str("|---|---|---|---|---|---|---|---|---|\n");
            for row in throughput {
                let rates = SERVERS.map(|server| shown(self.median(row, Unit::ThousandASecond, server), 0));
                let costs = SERVERS.map(|server| self.median(row, Unit::CpuUs, server));
                let ratio = ratio_to_better(costs, Unit::CpuUs);
                let goal = ratio_goal(row).map_or(String::new(), |goal| format!("≤ {goal:.2}"));
                let costs = costs.map(|cost| shown(cost, 2));
                writeln!(
                    text,
                    "| {row} | {} | {} | {} | {goal} |",
                    rates.join(" | "),
                    costs.join(" | "),
                    shown(ratio, 2)
                )
                .expect("writing to a string cannot fail");
            }
            text.push('\n');
        }
        let others: Vec<&(String, Unit)> =
            self.order.iter().filter(|(_, unit)| !matches!(unit, Unit::ThousandASecond | Unit::CpuUs)).collect();
        if !others.is_empty() {
            text.push_str(
                "| row | unit | Ochre | Valkey | Redis | Ochre ÷ better | goal |\n|---|---|---|---|---|---|---|\n",
            );
            for (row, unit) in others {
                let figures = SERVERS.map(|server| self.median(row, *unit, server));
                let ratio = ratio_to_better(figures, *unit);
                let digits = usize::from(matches!(unit, Unit::Ms | Unit::Hits));
                let figures = figures.map(|figure| shown(figure, digits));
                let goal = figure_goal(row).unwrap_or("");
                let unit = UNITS.iter().find(|(known, _)| known == unit).map_or("", |(_, name)| name);
                writeln!(text, "| {row} | {unit} | {} | {} | {goal} |", figures.join(" | "), shown(ratio, 2))
                    .expect("writing to a string cannot fail");
            }
        }
        text
    }

    /// Replaces the stored figures of the rows and servers that were measured, and writes the page.
    pub fn store(&self) -> Result<(), String> {
        let mut kept = Results::load()?;
        kept.machine = machine();
        for place in &self.order {
            for server in self.rows[place].keys() {
                let median = self.median(&place.0, place.1, server).expect("it was measured");
                if let Some(figures) = kept.rows.get_mut(place).and_then(|row| row.get_mut(server)) {
                    figures.clear();
                }
                kept.add(&place.0, server, place.1, median);
            }
        }
        write("results.tsv", kept.print())?;
        write("README.md", kept.page())
    }

    /// The stored figures.
    fn load() -> Result<Results, String> {
        Results::read(&read("results.tsv"))
    }

    fn page(&self) -> String {
        PAGE.replace("MACHINE", &self.machine).replace("TABLES", self.tables().trim_end())
    }

    fn read(text: &str) -> Result<Results, String> {
        let mut results = Results::default();
        for line in text.lines() {
            if let Some(machine) = line.strip_prefix("# ") {
                results.machine = machine.to_string();
                continue;
            }
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
        let mut text = format!("# {}\n", self.machine);
        for place in &self.order {
            for server in SERVERS {
                if let Some(figure) = self.median(&place.0, place.1, server) {
                    let unit = UNITS.iter().find(|(unit, _)| *unit == place.1).map_or("", |(_, name)| name);
                    writeln!(text, "{}\t{server}\t{unit}\t{figure:.3}", place.0)
                        .expect("writing to a string cannot fail");
                }
            }
        }
        text
    }
}

/// The text of bench/README.md, from the stored figures.
pub fn page() -> Result<String, String> {
    Results::load().map(|results| results.page())
}

/// The text of a file of the folder bench, empty if there is none yet.
pub fn read(name: &str) -> String {
    fs::read_to_string(folder().join(name)).unwrap_or_default()
}

/// Writes a file of the folder bench.
pub fn write(name: &str, text: String) -> Result<(), String> {
    let path = folder().join(name);
    fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))
}

fn folder() -> PathBuf {
    workspace::root().join("bench")
}

const PAGE: &str = "\
# Ochre beside its peers

Written by `cargo xtask bench --write`; the figures are stored in `results.tsv`. Machine: MACHINE.

**How it is measured.** Ochre with one thread, Valkey 9.1.2 and Redis 8.2.3 (the reference servers of the tests) run one after the other on
core 0. redis-benchmark runs on core 1 with 50 connections. Each figure is the median of several rounds.

**Rows of commands.** `k/s` is thousands of commands per second. `µs` is the processor time that the server spends on a command, in user mode
and in the kernel; noise changes it less than commands per second. PING shows what kernel and protocol cost. `p16` is a pipeline of 16, and
`unix` a Unix socket instead of TCP. Keys have 16 bytes and values 64, unless the row says otherwise. Rows of strings draw from a million
keys; MGET and MSET have 10 keys each. Rows of collections have one key of a million elements, or 100,000 keys of few elements (`small`);
their commands are in `xtask/src/bench/collections.rs`. `Ochre ÷ better` compares Ochre's processor time with that of Valkey or Redis,
whichever is lower.

**Other rows.** `memory-…` is the resident memory of a key, an element or an idle connection, above that of an empty server. `latency-…` is
the longest wait of a client that sends a GET every millisecond, while a set of a million members is deleted and while nothing else happens.
`expiry-…` is about 1,000 keys that expire 3 ms apart, among a million keys that expire much later, and that nobody reads: how many of them
were announced within 30 s, and how late. `loading-…` is the time that a server takes at start to load a million keys from the file that it
has saved, on core 0 or, with a second thread of Ochre's, on both.

TABLES
";

/// Processor, number of cores and kernel of this machine.
pub fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpus = read("/proc/cpuinfo");
    let model = cpus
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .unwrap_or("")
        .trim_start_matches([' ', '\t', ':']);
    let cores = cpus.lines().filter(|line| line.starts_with("processor")).count();
    let kernel = read("/proc/sys/kernel/osrelease");
    format!("{model}, {cores} cores, Linux {}", kernel.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_figures_read_back() {
        let text = "# A machine\nGET-p1\tOchre\tcpu-us\t8.220\nGET-p1\tRedis\tcpu-us\t9.050\nmemory-key-8B\tOchre\tbytes\t46.000\n";
        let results = Results::read(text).unwrap();
        assert_eq!(results.print(), text);
        let page = results.page();
        assert!(page.contains("Machine: A machine."), "{page}");
        assert!(page.contains("| GET-p1 | – | – | – | 8.22 | – | 9.05 | 0.91 | ≤ 0.95 |"), "{page}");
        assert!(page.contains("| memory-key-8B | bytes | 46 | – | – | – |  |"), "{page}");
        assert!(Results::read("GET-p1\tOchre\n").is_err());
    }

    #[test]
    fn the_committed_figures_read_back() {
        let text = fs::read_to_string(folder().join("results.tsv")).unwrap();
        assert_eq!(Results::read(&text).unwrap().print(), text);
    }
}
