//! The payload of DUMP, which RESTORE and MIGRATE take. (Redis: `createDumpPayload` and `verifyDumpPayload`)

use super::{
    Dialect, Limits, Value, ValueView, WriteOptions, codes, read_value,
    source::{Slice, Source},
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
    payload.extend_from_slice(&options.dialect.version(has_field_expiries).to_le_bytes());
    payload.extend_from_slice(&Checksum::of(&payload).to_le_bytes());
    payload
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
