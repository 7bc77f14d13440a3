//! DEBUG DIGEST and DIGEST-VALUE: signatures of the data, bit for bit those of Redis (`debug.c`), so that data sets of different servers
//! can be compared.
//!
//! ```text
//! xor(d, bytes)  d ^ SHA1(bytes)            in any order
//! mix(d, bytes)  SHA1(d ^ SHA1(bytes))      in this order
//!
//! value          mix its type's number, then what it holds; xor "!!expire!!" if it expires
//! entry          mix the key, then the value
//! data set       for each database that holds keys: mix its number, then xor its entries' signatures
//! ```

use ochre_keyspace::{EntryRef, ScanPosition, Walker};
use sha1::{Digest, Sha1};

/// 20 bytes that stand for some data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Signature([u8; 20]);

/// Redis's numbers of types.
const STRING: u32 = 0;

impl Signature {
    /// The signature of all that is held.
    pub fn of_data_set(keys: Walker<'_>, databases: usize) -> Signature {
        let mut signature = Signature::default();
        for database in 0..databases {
            if keys.key_count(database) == 0 {
                continue;
            }
            signature.mix(&(database as u32).to_be_bytes());
            let mut position = Some(ScanPosition::START);
            while let Some(from) = position {
                let mut visit = |entry: EntryRef<'_>| signature.xor(&Signature::of_entry(entry).0);
                position = keys.visit(database, from, &mut visit, &mut || false);
            }
        }
        signature
    }

    fn of_entry(entry: EntryRef<'_>) -> Signature {
        let mut signature = Signature::default();
        signature.mix(entry.key());
        signature.add_value(entry);
        signature
    }

    /// The signature of a value with its expiry, whatever its key.
    pub fn of_value(entry: EntryRef<'_>) -> Signature {
        let mut signature = Signature::default();
        signature.add_value(entry);
        signature
    }

    fn add_value(&mut self, entry: EntryRef<'_>) {
        self.mix(&STRING.to_be_bytes());
        self.mix(entry.value().as_bytes(&mut itoa::Buffer::new()));
        if entry.expiry_ms().is_some() {
            self.xor(b"!!expire!!");
        }
    }

    fn xor(&mut self, bytes: &[u8]) {
        self.0.iter_mut().zip(Sha1::digest(bytes)).for_each(|(byte, other)| *byte ^= other);
    }

    fn mix(&mut self, bytes: &[u8]) {
        self.xor(bytes);
        self.0 = Sha1::digest(self.0).into();
    }

    /// In hexadecimal digits.
    pub fn to_hex(self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use ochre_keyspace::{Entry, NewValue};

    use super::*;

    /// The signature that Redis 8.2 tells of a key `k` that holds `v`, and of a data set that holds nothing else.
    #[test]
    fn as_redis() {
        let entry = Entry::new(b"k", NewValue::from_bytes(b"v"), None, 0);
        assert_eq!(Signature::of_value(entry.view()).to_hex(), "d79ee9fe5d5ad902d7f6620efc3b07b75ddd742f");
        let mut data_set = Signature::default();
        data_set.mix(&0_u32.to_be_bytes());
        data_set.xor(&Signature::of_entry(entry.view()).0);
        assert_eq!(data_set.to_hex(), "264ccf65edec66bccfa7cc659414ccca432057d2");
        assert_eq!(Signature::default().to_hex(), "0".repeat(40));
    }
}
