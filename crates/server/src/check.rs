//! `ochre check FILE`: what is in an RDB file, and where it is broken. The file is only read.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fmt,
    fs::File,
    io::{self, IsTerminal, Write as _},
    path::PathBuf,
    process::ExitCode,
    time::{Duration, SystemTime},
};

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use ochre_datatypes::{hash::HashLimits, list::ListLimits, set::SetLimits, sorted_set::SortedSetLimits};
use ochre_persist::{
    fault::{Fault, FaultKind},
    rdb::{
        Dialect, Limits, Value,
        file::{FileReader, Key, Record},
    },
};
use serde::Serialize;

/// Shows what is in an RDB file of Redis, Valkey or Ochre, and where it is broken.
///
/// Exit codes: 0 if the file is whole, 1 if it is broken, 2 if it cannot be read or the arguments are wrong.
#[derive(Parser)]
#[command(name = "ochre check", bin_name = "ochre check")]
struct Arguments {
    /// The file, for example dump.rdb.
    file: PathBuf,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
    /// How many of the largest keys to show.
    #[arg(long, default_value_t = 10, value_name = "NUMBER")]
    largest: usize,
}

const BROKEN: u8 = 1;
const UNREADABLE: u8 = 2;

/// In which forms values are made while they are checked. They are dropped at once, so that the forms that take no conversion suit best.
const LIMITS: Limits = Limits {
    hash: HashLimits { entries_max: 512, value_bytes_max: 64 },
    list: ListLimits { listpack_size_max: -2, plain_len_min: None },
    set: SetLimits { intset_entries_max: 512, listpack_entries_max: 128, listpack_value_bytes_max: 64 },
    sorted_set: SortedSetLimits { entries_max: 128, member_len_max: 64 },
};

/// Runs the subcommand. `arguments` begin with its name.
pub fn main(arguments: &[OsString]) -> ExitCode {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            // It tells help, which goes to standard output, from an error. If neither can be written, nobody reads it.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(UNREADABLE) } else { ExitCode::SUCCESS };
        }
    };
    let shown = arguments.file.display();
    let report = File::open(&arguments.file).and_then(|file| {
        let len = file.metadata()?.len();
        let progress = if io::stderr().is_terminal() { ProgressBar::new(len) } else { ProgressBar::hidden() };
        let style = ProgressStyle::with_template("{wide_bar} {bytes} of {total_bytes}, {eta} left");
        progress.set_style(style.expect("the template is well formed"));
        let report = Report::of(file, len, arguments.largest, |offset| progress.set_position(offset));
        progress.finish_and_clear();
        match report {
            Err(Fault { kind: FaultKind::Io(error), .. }) => Err(error),
            Err(fault) => Ok(Report { fault: Some(Broken::from(&fault)), ..Report::default() }),
            Ok(report) => Ok(report),
        }
    });
    let report = match report {
        Ok(report) => report,
        Err(error) => {
            eprintln!("{shown}: {error}");
            return ExitCode::from(UNREADABLE);
        }
    };
    let text = match arguments.json {
        true => serde_json::to_string_pretty(&report).expect("the report consists of texts and numbers") + "\n",
        false => report.to_string(),
    };
    // Whoever reads the report may stop early, as `head` does.
    let _ = io::stdout().write_all(text.as_bytes());
    if report.fault.is_some() { ExitCode::from(BROKEN) } else { ExitCode::SUCCESS }
}

/// What a file has.
#[derive(Default, Serialize)]
struct Report {
    /// `redis` or `valkey`: whose format it is.
    format: &'static str,
    version: u16,
    /// The length of the file, and up to where it was read, in bytes.
    bytes: u64,
    read_bytes: u64,
    /// What the file says of its origin, in its order.
    origin: Vec<(String, String)>,
    /// Libraries of functions.
    functions: u64,
    databases: BTreeMap<u64, Database>,
    largest: Vec<Large>,
    /// Where the file is broken.
    fault: Option<Broken>,
}

#[derive(Default, Serialize)]
struct Database {
    /// By type, as TYPE names it.
    types: BTreeMap<&'static str, Keys>,
    /// The keys that have an expiry, and those of them whose expiry is over.
    expiring: u64,
    expired: u64,
}

#[derive(Default, Serialize)]
struct Keys {
    keys: u64,
    /// The bytes that they take in the file.
    bytes: u64,
}

/// One of the largest keys.
#[derive(Serialize)]
struct Large {
    key: String,
    database: u64,
    #[serde(rename = "type")]
    value_type: &'static str,
    bytes: u64,
    offset: u64,
}

#[derive(Serialize)]
struct Broken {
    offset: u64,
    /// The file ends too early, rather than holding what it must not.
    is_truncated: bool,
    reason: String,
}

impl From<&Fault> for Broken {
    fn from(fault: &Fault) -> Broken {
        let reason = match &fault.kind {
            FaultKind::Truncated => "the file ends in the middle of a record".to_owned(),
            FaultKind::Corrupt(reason) | FaultKind::Unsupported(reason) => reason.clone().into_owned(),
            FaultKind::Io(error) => error.to_string(),
        };
        Broken { offset: fault.offset, is_truncated: matches!(fault.kind, FaultKind::Truncated), reason }
    }
}

impl Report {
    /// Reads a file of `bytes` bytes up to its end or to where it is broken. `passed` is told the offset now and then.
    fn of(file: File, bytes: u64, largest: usize, passed: impl Fn(u64)) -> Result<Report, Fault> {
        /// How many records are read between two calls of `passed`.
        const RECORDS: u64 = 1024;
        let mut reader = FileReader::new(file, LIMITS)?;
        let mut report = Report {
            format: if reader.dialect() == Dialect::Valkey { "valkey" } else { "redis" },
            version: reader.version(),
            bytes,
            ..Report::default()
        };
        let now_ms = SystemTime::UNIX_EPOCH.elapsed().map_or(0, |now: Duration| now.as_millis() as i64);
        let mut database = 0;
        for number in 0u64.. {
            if number.is_multiple_of(RECORDS) {
                passed(reader.offset());
            }
            match reader.read_record() {
                Ok(Some(record)) => report.add(record, &mut database, now_ms, largest),
                Ok(None) => break,
                Err(fault @ Fault { kind: FaultKind::Io(_), .. }) => return Err(fault),
                Err(fault) => {
                    report.fault = Some(Broken::from(&fault));
                    break;
                }
            }
        }
        report.read_bytes = reader.offset();
        Ok(report)
    }

    fn add(&mut self, record: Record, database: &mut u64, now_ms: i64, largest: usize) {
        match record {
            Record::Aux(name, value) => self.origin.push((lossy(&name), lossy(&value))),
            Record::Select(index) => *database = index,
            Record::Resize(..) => {}
            Record::Function(_) => self.functions += 1,
            Record::Key(key) => self.add_key(&key, *database, now_ms, largest),
        }
    }

    fn add_key(&mut self, key: &Key, database: u64, now_ms: i64, largest: usize) {
        let value_type = match &key.value {
            Some(Value::String(_)) => "string",
            Some(Value::Collection(collection)) => collection.value_type().name(),
            None => "empty",
        };
        let counted = self.databases.entry(database).or_default();
        let keys = counted.types.entry(value_type).or_default();
        keys.keys += 1;
        keys.bytes += key.bytes;
        counted.expiring += u64::from(key.expiry_ms.is_some());
        counted.expired += u64::from(key.expiry_ms.is_some_and(|expiry_ms| expiry_ms < now_ms));
        let place = self.largest.partition_point(|large| large.bytes >= key.bytes);
        if place < largest {
            let (name, bytes, offset) = (lossy(&key.name), key.bytes, key.offset);
            self.largest.insert(place, Large { key: name, database, value_type, bytes, offset });
            self.largest.truncate(largest);
        }
    }
}

/// A text for a person: bytes that are no UTF-8 are escaped.
fn lossy(bytes: &[u8]) -> String {
    str::from_utf8(bytes).map_or_else(|_| bytes.escape_ascii().to_string(), str::to_owned)
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.version > 0 {
            writeln!(out, "RDB file of {} bytes, format {} version {}", self.bytes, self.format, self.version)?;
        }
        for (name, value) in &self.origin {
            writeln!(out, "  {name}: {value}")?;
        }
        if self.functions > 0 {
            writeln!(out, "{} libraries of functions", self.functions)?;
        }
        for (index, database) in &self.databases {
            let keys: u64 = database.types.values().map(|keys| keys.keys).sum();
            let mut expiring = String::new();
            if database.expiring > 0 {
                expiring = format!(", {} with an expiry, {} of them expired", database.expiring, database.expired);
            }
            writeln!(out, "database {index}: {keys} keys{expiring}")?;
            for (name, keys) in &database.types {
                writeln!(out, "  {name:8} {:>12} keys {:>14} bytes", keys.keys, keys.bytes)?;
            }
        }
        if !self.largest.is_empty() {
            writeln!(out, "largest keys:")?;
        }
        for Large { key, database, value_type, bytes, offset } in &self.largest {
            writeln!(out, "  {bytes:>14} bytes  {value_type:8} database {database}, offset {offset}: {key}")?;
        }
        match &self.fault {
            None => writeln!(out, "the file is whole"),
            Some(Broken { offset, reason, .. }) => writeln!(out, "BROKEN at offset {offset}: {reason}"),
        }
    }
}
