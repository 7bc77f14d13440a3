//! What is in an RDB file, and where it is broken.

use std::{
    collections::BTreeMap,
    fmt,
    io::Read,
    time::{Duration, SystemTime},
};

use ochre_datatypes::{hash::HashLimits, list::ListLimits, set::SetLimits, sorted_set::SortedSetLimits};
use ochre_persist::{
    fault::{Fault, FaultKind},
    rdb::{
        Dialect, Limits, Value,
        file::{FileReader, Key, Record},
        stream::Stream,
    },
};
use serde::Serialize;

use super::Broken;

/// In which forms values are made while they are checked. They are dropped at once, so that the forms that take no conversion suit best.
const LIMITS: Limits = Limits {
    hash: HashLimits { entries_max: 512, value_bytes_max: 64 },
    list: ListLimits { listpack_size_max: -2, plain_len_min: None },
    set: SetLimits { intset_entries_max: 512, listpack_entries_max: 128, listpack_value_bytes_max: 64 },
    sorted_set: SortedSetLimits { entries_max: 128, member_len_max: 64 },
};

/// What a file has.
#[derive(Default, Serialize)]
pub struct Report {
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
    pub fault: Option<Broken>,
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

impl Report {
    /// Reads a file of `bytes` bytes up to the end of its RDB part or to where it is broken. `passed` is told the offset now and then. Returns the
    /// file with what follows, unless it is broken.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn of<R: Read>(
        file: Stream<R>,
        bytes: u64,
        largest: usize,
        passed: &dyn Fn(u64),
    ) -> Result<(Report, Option<Stream<R>>), Fault> {
        /// How many records are read between two calls of `passed`.
        const RECORDS: u64 = 1024;
        let mut reader = match FileReader::of(file, LIMITS) {
            Ok(reader) => reader,
            Err(fault @ Fault { kind: FaultKind::Io(_), .. }) => return Err(fault),
            Err(fault) => return Ok((Report { fault: Some(Broken::from(&fault)), ..Report::default() }, None)),
        };
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
        let rest = report.fault.is_none().then(|| reader.into_rest());
        Ok((report, rest))
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
