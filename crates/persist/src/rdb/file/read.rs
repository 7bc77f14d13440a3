//! Reading an RDB file, record by record; see the picture in `rdb/mod.rs`.

use std::io::Read;

use super::{
    super::{
        Dialect, Limits, Value, read_value,
        source::{Source, array, len, string, time_ms},
        stream::Stream,
    },
    CHECKSUM_VERSION,
    marks::*,
};
use crate::fault::Fault;

/// A record of a file.
pub enum Record {
    /// A name and a value that say where the file comes from, such as `redis-ver`.
    Aux(Vec<u8>, Vec<u8>),
    /// The keys that follow are of this database.
    Select(u64),
    /// About how many keys the database has, and how many of them expire.
    Resize(u64, u64),
    /// The code of a library of functions.
    Function(Vec<u8>),
    /// A key.
    Key(Key),
}

/// A key in a file.
pub struct Key {
    /// The offset in the file at which its record begins.
    pub offset: u64,
    /// Its name.
    pub name: Vec<u8>,
    /// The type and the encoding of its value, as a number of [`codes`](super::super::codes).
    pub value_type: u8,
    /// Its value, or `None` if that is a collection without elements, which Redis skips.
    pub value: Option<Value>,
    /// When it expires, in milliseconds since 1970.
    pub expiry_ms: Option<i64>,
    /// For how many seconds it was idle, if the file says so.
    pub idle_s: Option<u64>,
    /// How often it was used (see OBJECT FREQ), if the file says so.
    pub frequency: Option<u8>,
    /// The bytes that its record takes in the file.
    pub bytes: u64,
}

/// Reads a file's records in their order.
pub struct FileReader<R> {
    source: Stream<R>,
    version: u16,
    dialect: Dialect,
    limits: Limits,
    is_at_end: bool,
    verifies_checksum: bool,
}

impl<R: Read> FileReader<R> {
    /// Reads the file's magic and version.
    ///
    /// # Errors
    /// A fault if this is no RDB file, or one of an unknown version.
    pub fn new(file: R, limits: Limits) -> Result<FileReader<R>, Fault> {
        FileReader::of(Stream::new(file), limits)
    }

    /// As [`FileReader::new`], for a file of which nothing was taken yet.
    ///
    /// # Errors
    /// As there.
    pub fn of(mut source: Stream<R>, limits: Limits) -> Result<FileReader<R>, Fault> {
        const NOT_RDB: &str = "this is not an RDB file: it begins neither with REDIS nor with VALKEY";
        let magic: [u8; 9] = array(&mut source)?;
        let (digits, of_valkey) = match &magic {
            [b'R', b'E', b'D', b'I', b'S', digits @ ..] => (&digits[..], false),
            [b'V', b'A', b'L', b'K', b'E', b'Y', digits @ ..] => (&digits[..], true),
            _ => return Err(Fault::corrupt(0, NOT_RDB)),
        };
        let version = str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
        let version: u16 = version.ok_or(Fault::corrupt(0, NOT_RDB))?;
        match Dialect::of_version(version) {
            Some(dialect) if of_valkey == (dialect == Dialect::Valkey) => {
                Ok(FileReader { source, version, dialect, limits, is_at_end: false, verifies_checksum: true })
            }
            _ => Err(Fault::unsupported(0, format!("the format version {version} is not known"))),
        }
    }

    /// Sets whether the checksum at the end has to be right.
    pub fn set_verifies_checksum(&mut self, verifies: bool) {
        self.verifies_checksum = verifies;
    }

    /// Returns the file with what comes behind the RDB part, once that was read to its end.
    pub fn into_rest(self) -> Stream<R> {
        self.source
    }

    /// Returns the version of the file's format.
    pub fn version(&self) -> u16 {
        self.version
    }

    /// Returns the dialect of the file.
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Returns the offset up to which the file was read.
    pub fn offset(&self) -> u64 {
        self.source.offset()
    }

    /// Reads the next record. Returns `None` at the end, once the checksum has proved right. Bytes behind it, as an AOF has them, are not
    /// read.
    ///
    /// # Errors
    /// A fault, after which nothing more can be read.
    pub fn read_record(&mut self) -> Result<Option<Record>, Fault> {
        if self.is_at_end {
            return Ok(None);
        }
        let offset = self.source.offset();
        let (mut expiry_ms, mut idle_s, mut frequency) = (None, None, None);
        loop {
            let source = &mut self.source;
            let at = source.offset();
            let [mark] = array(source)?;
            match mark {
                EXPIRY_MS => expiry_ms = Some(time_ms(source)?),
                EXPIRY_S => expiry_ms = Some(i64::from(i32::from_le_bytes(array(source)?)) * 1000),
                IDLE => idle_s = Some(len(source)?),
                FREQUENCY => frequency = Some(array::<1>(source)?[0]),
                AUX => return Ok(Some(Record::Aux(string(source)?, string(source)?))),
                SELECT => return Ok(Some(Record::Select(len(source)?))),
                RESIZE => return Ok(Some(Record::Resize(len(source)?, len(source)?))),
                FUNCTION_2 => return Ok(Some(Record::Function(string(source)?))),
                // The keys of a slot, the expiring ones among them, in a cluster.
                SLOT_INFO => drop((len(source)?, len(source)?, len(source)?)),
                // A job's name, and the ranges of the slots that it was importing.
                SLOT_IMPORT => {
                    string(source)?;
                    for _ in 0..len(source)? {
                        len(source)?;
                        len(source)?;
                    }
                }
                FUNCTION_PRE_GA => {
                    return Err(Fault::unsupported(at, "a function of a release candidate of Redis 7"));
                }
                MODULE_AUX => return Err(Fault::unsupported(at, "the data of a module, which needs the module")),
                END => {
                    self.check_end(at)?;
                    return Ok(None);
                }
                value_type => {
                    let name = string(source)?;
                    let value = read_value(source, value_type, self.dialect, &self.limits)?;
                    let bytes = source.offset() - offset;
                    let key = Key { offset, name, value_type, value, expiry_ms, idle_s, frequency, bytes };
                    return Ok(Some(Record::Key(key)));
                }
            }
        }
    }

    fn check_end(&mut self, at: u64) -> Result<(), Fault> {
        self.is_at_end = true;
        if self.version < CHECKSUM_VERSION {
            return Ok(());
        }
        let expected = self.source.checksum();
        match u64::from_le_bytes(array(&mut self.source)?) {
            // No checksum: `rdbchecksum no`.
            0 => Ok(()),
            found if found == expected || !self.verifies_checksum => Ok(()),
            _ => Err(Fault::corrupt(at, "the checksum of the file is wrong, although its records are well formed")),
        }
    }
}
