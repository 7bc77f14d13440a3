//! Writing an RDB file, record by record.

use std::io::{self, Write};

use super::{
    super::{
        ValueView, WriteOptions,
        codes::Dialect,
        output::{Output, put_integer, put_len, put_string},
        value_type, write_value,
    },
    marks::*,
};
use crate::checksum::Checksum;

/// A key to be written.
pub struct KeyToWrite<'a> {
    /// The number of its database.
    pub database: u64,
    /// Its name.
    pub name: &'a [u8],
    /// Its value.
    pub value: ValueView<'a>,
    /// When it expires, in milliseconds since 1970.
    pub expiry_ms: Option<i64>,
    /// How it was used, if the file is to say so.
    pub access: Option<Access>,
}

/// How a key was used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// For how many seconds it was idle.
    Idle(u64),
    /// How often it was used (see OBJECT FREQ).
    Frequency(u8),
}

/// Writes a file's records in their order. The first error is kept, and what follows it is not written; [`FileWriter::finish`] returns it.
pub struct FileWriter<W> {
    out: Buffered<W>,
    options: WriteOptions,
    /// The database of the last key.
    database: Option<u64>,
}

impl<W: Write> FileWriter<W> {
    /// Writes the magic and the version: the lowest one in which the data can be written. `has_field_expiries` says whether a hash may have
    /// fields that expire. Without `checksum`, the file has zeros in its place (`rdbchecksum no`).
    pub fn new(file: W, options: WriteOptions, has_field_expiries: bool, checksum: bool) -> FileWriter<W> {
        let checksum = checksum.then(Checksum::default);
        let mut out = Buffered { file, buffer: Vec::with_capacity(BUFFER_BYTES), written: 0, checksum, error: None };
        let version = options.dialect.version(has_field_expiries);
        match Dialect::of_version(version) {
            Some(Dialect::Valkey) => out.put(format!("VALKEY{version:03}").as_bytes()),
            _ => out.put(format!("REDIS{version:04}").as_bytes()),
        }
        FileWriter { out, options, database: None }
    }

    /// Writes a name and a text that say where the file comes from.
    pub fn aux(&mut self, name: &str, value: &str) {
        self.out.put(&[AUX]);
        put_string(&mut self.out, name.as_bytes(), false);
        put_string(&mut self.out, value.as_bytes(), false);
    }

    /// As [`FileWriter::aux`], for a number.
    pub fn aux_number(&mut self, name: &str, value: i64) {
        self.out.put(&[AUX]);
        put_string(&mut self.out, name.as_bytes(), false);
        put_integer(&mut self.out, value);
    }

    /// Writes the code of a library of functions.
    pub fn function(&mut self, code: &[u8]) {
        self.out.put(&[FUNCTION_2]);
        put_string(&mut self.out, code, self.options.compress);
    }

    /// Writes how many keys a database has, and how many of them expire.
    pub fn resize(&mut self, database: u64, keys: u64, expiring: u64) {
        self.select(database);
        self.out.put(&[RESIZE]);
        put_len(&mut self.out, keys);
        put_len(&mut self.out, expiring);
    }

    /// Writes a key. The keys of databases may come in any order.
    pub fn key(&mut self, key: &KeyToWrite<'_>) {
        self.select(key.database);
        let out = &mut self.out;
        if let Some(expiry_ms) = key.expiry_ms {
            out.put(&[EXPIRY_MS]);
            out.put(&expiry_ms.to_le_bytes());
        }
        match key.access {
            Some(Access::Idle(seconds)) => {
                out.put(&[IDLE]);
                put_len(out, seconds);
            }
            Some(Access::Frequency(frequency)) => out.put(&[FREQUENCY, frequency]),
            None => {}
        }
        out.put(&[value_type(key.value, &self.options)]);
        put_string(out, key.name, self.options.compress);
        write_value(out, key.value, &self.options);
    }

    fn select(&mut self, database: u64) {
        if self.database != Some(database) {
            self.database = Some(database);
            self.out.put(&[SELECT]);
            put_len(&mut self.out, database);
        }
    }

    /// Returns whether an error has occurred.
    pub fn has_failed(&self) -> bool {
        self.out.error.is_some()
    }

    /// Returns the number of bytes so far.
    pub fn bytes(&self) -> u64 {
        self.out.written + self.out.buffer.len() as u64
    }

    /// Writes the end and the checksum. Returns the file.
    ///
    /// # Errors
    /// The first error of this or an earlier write.
    pub fn finish(mut self) -> io::Result<W> {
        self.out.put(&[END]);
        self.out.flush();
        let checksum = self.out.checksum.take().map_or(0, |checksum| checksum.value());
        self.out.put(&checksum.to_le_bytes());
        self.out.flush();
        self.out.error.map_or(Ok(self.out.file), Err)
    }
}

/// The length of the buffer, in bytes.
const BUFFER_BYTES: usize = 128 * 1024;

/// An output that gathers what is short, and sums up what it writes.
struct Buffered<W> {
    file: W,
    buffer: Vec<u8>,
    /// The bytes that were written to the file.
    written: u64,
    checksum: Option<Checksum>,
    error: Option<io::Error>,
}

impl<W: Write> Buffered<W> {
    fn flush(&mut self) {
        let mut buffer = std::mem::take(&mut self.buffer);
        self.write(&buffer);
        buffer.clear();
        self.buffer = buffer;
    }

    fn write(&mut self, bytes: &[u8]) {
        if self.error.is_some() {
            return;
        }
        if let Some(checksum) = &mut self.checksum {
            checksum.update(bytes);
        }
        match self.file.write_all(bytes) {
            Ok(()) => self.written += bytes.len() as u64,
            Err(error) => self.error = Some(error),
        }
    }
}

impl<W: Write> Output for Buffered<W> {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        if self.buffer.len() + bytes.len() > BUFFER_BYTES {
            self.flush();
            if bytes.len() > BUFFER_BYTES {
                return self.write(bytes);
            }
        }
        self.buffer.extend_from_slice(bytes);
    }
}
