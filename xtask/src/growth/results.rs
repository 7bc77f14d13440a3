//! The figures: the least of several runs, stored in bench/growth.tsv and shown in bench/growth.md.

use std::fmt::Write as _;
use std::time::Duration;

use super::case::Case;
use super::cases;
use crate::bench::results::{machine, read, write};

/// What a case cost at its three sizes.
#[derive(Clone, Debug)]
pub struct Measured {
    command: String,
    grows: String,
    size: usize,
    costs_ms: Vec<f64>,
    /// Whether the cost grew faster than it may.
    pub grows_too_fast: bool,
}

impl Measured {
    pub fn new(case: &Case, costs: &[Duration], grows_too_fast: bool) -> Measured {
        let costs_ms = costs.iter().map(|cost| cost.as_secs_f64() * 1000.0).collect();
        let (command, grows) = (case.command.to_string(), case.grows.to_string());
        Measured { command, grows, size: case.size, costs_ms, grows_too_fast }
    }

    fn growth(&self) -> f64 {
        match self.costs_ms.as_slice() {
            [first, .., last] if *first > 0.0 => last / first,
            _ => 0.0,
        }
    }

    /// A line for the terminal.
    pub fn line(&self) -> String {
        let costs: Vec<String> = self.costs_ms.iter().map(|cost| format!("{cost:9.2}")).collect();
        let verdict = if self.grows_too_fast { "  TOO FAST" } else { "" };
        format!(
            "{:22} {:44} n = {:6} {} ms  × {:.1}{verdict}",
            self.command,
            self.grows,
            self.size,
            costs.join(" "),
            self.growth()
        )
    }
}

/// The figures of all cases.
#[derive(Clone, Debug, Default)]
pub struct Results {
    /// In the order of the cases.
    rows: Vec<Measured>,
    machine: String,
}

impl Results {
    pub fn add(&mut self, measured: Measured) {
        let same = |row: &Measured| row.command == measured.command && row.grows == measured.grows;
        match self.rows.iter_mut().find(|row| same(row)) {
            Some(row) => *row = measured,
            None => self.rows.push(measured),
        }
    }

    /// Replaces the stored figures of the cases that were measured, and writes the page.
    pub fn store(self) -> Result<(), String> {
        let mut kept = Results::load()?;
        kept.machine = machine();
        self.rows.into_iter().for_each(|row| kept.add(row));
        // The order is that of the cases, and the figures of a case that no longer exists go.
        let order = |row: &Measured| cases::all().position(|it| it.command == row.command && it.grows == row.grows);
        kept.rows.retain(|row| order(row).is_some());
        kept.rows.sort_by_key(order);
        write("growth.tsv", kept.print())?;
        write("growth.md", kept.page())
    }

    fn load() -> Result<Results, String> {
        Results::read(&read("growth.tsv"))
    }

    fn read(text: &str) -> Result<Results, String> {
        let mut results = Results::default();
        for line in text.lines() {
            if let Some(machine) = line.strip_prefix("# ") {
                results.machine = machine.to_string();
                continue;
            }
            let row = Results::row(line).ok_or_else(|| format!("bench/growth.tsv has a wrong line: {line}"))?;
            results.rows.push(row);
        }
        Ok(results)
    }

    fn row(line: &str) -> Option<Measured> {
        let fields: Vec<&str> = line.split('\t').collect();
        let [command, grows, size, costs @ ..] = fields.as_slice() else { return None };
        let costs_ms: Vec<f64> = costs.iter().map(|cost| cost.parse().ok()).collect::<Option<_>>()?;
        let (command, grows) = (command.to_string(), grows.to_string());
        (costs_ms.len() == 3).then_some(Measured {
            command,
            grows,
            size: size.parse().ok()?,
            costs_ms,
            grows_too_fast: false,
        })
    }

    fn print(&self) -> String {
        let mut text = format!("# {}\n", self.machine);
        for row in &self.rows {
            let costs: Vec<String> = row.costs_ms.iter().map(|cost| format!("{cost:.2}")).collect();
            writeln!(text, "{}\t{}\t{}\t{}", row.command, row.grows, row.size, costs.join("\t"))
                .expect("writing to a string cannot fail");
        }
        text
    }

    fn page(&self) -> String {
        let mut table = String::from("| command | what grows | n | ms at n | ms at 2 n | ms at 4 n | growth |\n");
        table.push_str("|---|---|---|---|---|---|---|\n");
        for row in &self.rows {
            let costs: Vec<String> = row.costs_ms.iter().map(|cost| format!("{cost:.2}")).collect();
            let (costs, growth) = (costs.join(" | "), row.growth());
            writeln!(table, "| {} | {} | {} | {costs} | {growth:.1} |", row.command, row.grows, row.size)
                .expect("writing to a string cannot fail");
        }
        let list = |entries: Vec<String>| entries.iter().map(|entry| format!("- {entry}\n")).collect::<String>();
        let squares =
            cases::all().filter_map(|case| Some(format!("{}, {}: {}", case.command, case.grows, case.square?)));
        let fixed = cases::FIXED.iter().map(|(why, commands)| format!("{why}: {}", commands.join(", ")));
        PAGE.replace("MACHINE", &self.machine)
            .replace("TABLE", table.trim_end())
            .replace("SQUARES", list(squares.collect()).trim_end())
            .replace("FIXED", list(fixed.collect()).trim_end())
    }
}

/// The text of bench/growth.md, from the stored figures.
pub fn page() -> Result<String, String> {
    Results::load().map(|results| results.page())
}

const PAGE: &str = "\
# How the cost of commands grows

Written by `cargo xtask growth --write`; the figures are stored in `growth.tsv`. Machine: MACHINE.

A row is a command and something that its clients can make large. The server runs the requests of the row at three sizes. A cost is the
processor time of the whole server in milliseconds, with reading the requests and writing the replies: the least of several runs. Growth is
the cost at 4 n as a multiple of the cost at n. In proportion to the work it is about 4, less where a fixed cost is most of it, and a square
is 16. The requests of the rows are in `xtask/src/growth/cases/`.

## Costs

TABLE

## Where the cost may be a square

SQUARES

## Commands without a row

FIXED
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_figures_read_back() {
        let text = "# A machine\nMGET\tkeys\t20000\t1.50\t3.10\t6.00\n";
        let results = Results::read(text).unwrap();
        assert_eq!(results.print(), text);
        let page = results.page();
        assert!(page.contains("| MGET | keys | 20000 | 1.50 | 3.10 | 6.00 | 4.0 |"), "{page}");
        assert!(Results::read("MGET\tkeys\t20000\t1.50\n").is_err());
    }

    #[test]
    fn the_committed_figures_read_back() {
        let text = read("growth.tsv");
        assert_eq!(Results::read(&text).unwrap().print(), text);
    }
}
