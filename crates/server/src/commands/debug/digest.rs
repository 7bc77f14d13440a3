//! DEBUG DIGEST and DIGEST-VALUE: signatures of the data, bit for bit those of Redis (`debug.c`), so that data sets of different servers
//! can be compared. What has expired counts until it is removed, so a signature does not change while the data lies still.
//!
//! ```text
//! xor(d, bytes)  d ^ SHA1(bytes)            the order does not matter
//! mix(d, bytes)  SHA1(d ^ SHA1(bytes))      the order matters
//!
//! value          mix its type's number, then its elements; xor "!!expire!!" if it expires
//! entry          mix the key, then the value
//! data set       for each database that holds keys: mix its number, then xor its entries' signatures
//! ```

use ochre_datatypes::{
    ValueType,
    hash::{Hash, HashView},
    list::{List, ListView},
    set::{Set, SetView},
    sorted_set::{SortedSet, SortedSetView},
    stream::{Stream, StreamId},
};
use ochre_keyspace::{EntryRef, Keyspace, Met, ScanPosition, Visited, Walker};
use ochre_resp::double;
use sha1::{Digest, Sha1};

/// The signature of some data, of 20 bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Signature([u8; 20]);

/// Redis's number of a type.
fn type_number(value_type: ValueType) -> u32 {
    match value_type {
        ValueType::String => 0,
        ValueType::List => 1,
        ValueType::Set => 2,
        ValueType::SortedSet => 3,
        ValueType::Hash => 4,
        ValueType::Stream => 6,
    }
}

impl Signature {
    /// The signature of the whole data set.
    pub fn of_data_set(keyspace: &Keyspace, core: usize, keys: Walker<'_>, databases: usize) -> Signature {
        let mut signature = Signature::default();
        for database in 0..databases {
            if keyspace.len_of(core, database) == 0 {
                continue;
            }
            signature.mix(&(database as u32).to_be_bytes());
            let mut position = Some(ScanPosition::START);
            while let Some(from) = position {
                let mut visit = |met: Met<'_>| signature.xor(&Signature::of_entry(met.entry()).0);
                position = match keys.visit(database, from, &mut visit, &mut || false) {
                    Visited::UpTo(next) => Some(next),
                    Visited::All => None,
                    Visited::Busy(_) => unreachable!("the caller has the keyspace to itself"),
                };
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
        self.mix(&type_number(entry.value_type()).to_be_bytes());
        match entry.value_type() {
            ValueType::String => self.mix(entry.value().as_bytes(&mut itoa::Buffer::new())),
            ValueType::List => self.add_list(entry.collection::<List>().expect("the type was matched")),
            ValueType::Hash => {
                let hash = entry.collection::<Hash>().expect("the type was matched");
                // Its expired fields count too.
                self.add_hash(hash.at(i64::MIN));
            }
            ValueType::Set => self.add_set(entry.collection::<Set>().expect("the type was matched")),
            ValueType::SortedSet => self.add_sorted_set(entry.collection::<SortedSet>().expect("the type was matched")),
            ValueType::Stream => self.add_stream(entry.collection::<Stream>().expect("the type was matched")),
        }
        if entry.expiry_ms().is_some() {
            self.xor(b"!!expire!!");
        }
    }

    fn add_list(&mut self, list: ListView<'_>) {
        let mut text = itoa::Buffer::new();
        list.iter().for_each(|element| self.mix(element.as_bytes(&mut text)));
    }

    fn add_hash(&mut self, hash: HashView<'_>) {
        let mut text = itoa::Buffer::new();
        hash.for_each(|field| {
            let mut signature = Signature::default();
            signature.mix(field.name.as_bytes(&mut text));
            signature.mix(field.value.as_bytes(&mut text));
            if field.expiry_ms.is_some() {
                signature.xor(b"!!hexpire!!");
            }
            self.xor(&signature.0);
        });
    }

    fn add_set(&mut self, set: SetView<'_>) {
        let mut text = itoa::Buffer::new();
        set.iter().for_each(|member| self.xor(member.as_bytes(&mut text)));
    }

    fn add_sorted_set(&mut self, set: SortedSetView<'_>) {
        let (mut buffer, mut text) = (itoa::Buffer::new(), Vec::new());
        set.for_each(|score, member| {
            let mut element = Signature::default();
            element.mix(member.as_bytes(&mut buffer));
            text.clear();
            double::write_shortest(&mut text, score);
            element.mix(&text);
            self.xor(&element.0);
        });
    }

    /// Adds the IDs of the entries, as `ms.seq`, and their fields and values.
    fn add_stream(&mut self, stream: &Stream) {
        let mut text = itoa::Buffer::new();
        for entry in stream.log().range(StreamId::MIN, StreamId::MAX) {
            self.mix(format!("{}.{}", entry.id.ms, entry.id.seq).as_bytes());
            for (field, value) in entry.pairs() {
                self.mix(field.text(&mut text));
                self.mix(value.text(&mut text));
            }
        }
    }

    fn xor(&mut self, bytes: &[u8]) {
        self.0.iter_mut().zip(Sha1::digest(bytes)).for_each(|(byte, other)| *byte ^= other);
    }

    fn mix(&mut self, bytes: &[u8]) {
        self.xor(bytes);
        self.0 = Sha1::digest(self.0).into();
    }

    /// The signature as hexadecimal digits.
    pub fn to_hex(self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use ochre_keyspace::{Entry, NewValue};

    use super::*;

    /// Compares with what Redis 8.2 returns for a key `k` that holds `v`, and for a data set that holds nothing else.
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
