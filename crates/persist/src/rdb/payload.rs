//! The payload of DUMP, which RESTORE and MIGRATE take, and that of FUNCTION DUMP. (Redis: `createDumpPayload` and `verifyDumpPayload`)

use super::{
    Dialect, Limits, Value, ValueView, WriteOptions, codes,
    file::marks::FUNCTION_2,
    output::put_string,
    read_value,
    source::{Slice, Source, string},
    value_type, write_value,
};
use crate::checksum::Checksum;

/// The version and the checksum behind the value.
const FOOTER: usize = 2 + 8;

/// Why a payload cannot be restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PayloadError {
    /// The version is not known, or the checksum is not that of the bytes.
    VersionOrChecksum,
    /// The value is not well formed, or it is empty.
    Format,
}

/// Returns a value's payload.
pub fn dump(value: ValueView<'_>, options: &WriteOptions) -> Vec<u8> {
    let value_type = value_type(value, options);
    let mut payload = vec![value_type];
    write_value(&mut payload, value, options);
    let has_field_expiries = matches!(value_type, codes::HASH_METADATA | codes::HASH_LISTPACK_EX | codes::HASH_2);
    close(&mut payload, options.dialect.version(has_field_expiries));
    payload
}

/// Appends the version and the checksum.
fn close(payload: &mut Vec<u8>, version: u16) {
    payload.extend_from_slice(&version.to_le_bytes());
    payload.extend_from_slice(&Checksum::of(payload).to_le_bytes());
}

/// Returns a payload of the sources of libraries. (Redis: `functionDumpCommand`)
pub fn dump_functions<'c>(sources: impl Iterator<Item = &'c [u8]>, compress: bool) -> Vec<u8> {
    let mut payload = Vec::new();
    for source in sources {
        payload.push(FUNCTION_2);
        put_string(&mut payload, source, compress);
    }
    close(&mut payload, codes::SHARED_VERSION);
    payload
}

/// Why libraries cannot be restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FunctionsError {
    /// The version is not known, or the checksum is not that of the bytes.
    VersionOrChecksum,
    /// There is something else than libraries.
    NotAFunction,
    /// A source is not well formed.
    Format,
}

/// Reads the sources of libraries in a payload.
pub fn restore_functions(payload: &[u8]) -> Result<Vec<Vec<u8>>, FunctionsError> {
    verify(payload).ok_or(FunctionsError::VersionOrChecksum)?;
    let mut source = Slice::new(&payload[..payload.len() - FOOTER]);
    let mut sources = Vec::new();
    while let Some(&mark) = source.rest().first() {
        if mark != FUNCTION_2 {
            return Err(FunctionsError::NotAFunction);
        }
        source.take(1).map_err(|_| FunctionsError::Format)?;
        sources.push(string(&mut source).map_err(|_| FunctionsError::Format)?);
    }
    Ok(sources)
}

/// Reads the value in a payload.
pub fn restore(payload: &[u8], limits: &Limits) -> Result<Value, PayloadError> {
    let dialect = verify(payload).ok_or(PayloadError::VersionOrChecksum)?;
    let mut source = Slice::new(&payload[..payload.len() - FOOTER]);
    let read = source.take(1).map(|first| first[0]);
    let read = read.and_then(|value_type| read_value(&mut source, value_type, dialect, limits));
    match read {
        // As on Redis, bytes behind the value do not matter.
        Ok(Some(value)) => Ok(value),
        _ => Err(PayloadError::Format),
    }
}

/// Returns the dialect of a payload whose version is known and whose checksum is right. As on Redis, a checksum of 0 is none.
fn verify(payload: &[u8]) -> Option<Dialect> {
    let (rest, checksum) = payload.split_last_chunk()?;
    let (_, version) = rest.split_last_chunk()?;
    let checksum = u64::from_le_bytes(*checksum);
    let dialect = Dialect::of_version(u16::from_le_bytes(*version))?;
    (checksum == 0 || checksum == Checksum::of(rest)).then_some(dialect)
}
