//! The checksum of RDB files and DUMP payloads: CRC-64 with Jones's polynomial. (Redis: `crc64.c`)

use crc_fast::{CrcAlgorithm, Digest};

/// A checksum of bytes that come in pieces.
pub struct Checksum(Digest);

impl Default for Checksum {
    fn default() -> Checksum {
        Checksum(Digest::new(CrcAlgorithm::Crc64Redis))
    }
}

impl Checksum {
    /// Adds the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Returns the checksum of all bytes so far.
    pub fn value(&self) -> u64 {
        self.0.finalize()
    }

    /// Returns the checksum of bytes that are all there.
    pub fn of(bytes: &[u8]) -> u64 {
        crc_fast::checksum(CrcAlgorithm::Crc64Redis, bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_redis_crc64() {
        // The check value in Redis's `crc64.c`.
        assert_eq!(Checksum::of(b"123456789"), 0xe9c6_d914_c4b8_d9ca);
        let mut pieces = Checksum::default();
        [&b"1234"[..], b"", b"56789"].iter().for_each(|piece| pieces.update(piece));
        assert_eq!(pieces.value(), Checksum::of(b"123456789"));
    }
}
