//! Property tests: what must hold for any bytes. The fuzzer runs the same bodies.

mod append_only;
mod payloads;

use ochre_persist::{
    checksum::Checksum,
    rdb::payload::{self, PayloadError},
};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6_000))]

    #[test]
    fn damaged_payloads_are_restored_or_refused(data in prop::collection::vec(any::<u8>(), 0..60)) {
        payloads::damaged(&data);
    }

    #[test]
    fn libraries_are_read_or_refused(
        data in prop::collection::vec(any::<u8>(), 0..60),
        sources in prop::collection::vec("[a-c ]{0,50}", 0..4),
    ) {
        payloads::functions(&data);
        let dumped = payload::dump_functions(sources.iter().map(String::as_bytes), true);
        let restored = payload::restore_functions(&dumped).expect("it was not damaged");
        prop_assert_eq!(restored, sources.into_iter().map(String::into_bytes).collect::<Vec<_>>());
    }

    #[test]
    fn damaged_files_are_read_or_refused(data in prop::collection::vec(any::<u8>(), 2..40)) {
        payloads::files(&data);
    }

    #[test]
    fn any_bytes_are_an_append_only_file_or_refused(data in prop::collection::vec(any::<u8>(), 0..200)) {
        append_only::any(&data);
    }

    #[test]
    fn any_bytes_are_restored_or_refused(data in prop::collection::vec(any::<u8>(), 0..300)) {
        payloads::any(&data);
    }
}

#[test]
fn payloads_of_the_reference_servers_are_restored() {
    let payloads = payloads::of_references();
    assert_eq!(payloads.len(), 32);
    for (name, payload) in payloads {
        let limits = payloads::limits(512);
        let value = payloads::restore(&payload, &limits).unwrap_or_else(|error| panic!("{name}: {error:?}"));
        payloads::check_written(value, &limits);
    }
}

#[test]
fn older_encodings_are_restored() {
    let older = payloads::older();
    assert_eq!(older.len(), 11);
    for (name, payload, newer) in older {
        for entries_max in [0, 512] {
            let limits = payloads::limits(entries_max);
            let restore = |payload: &[u8]| {
                let value = payloads::restore(payload, &limits).unwrap_or_else(|error| panic!("{name}: {error:?}"));
                payloads::described(&value)
            };
            assert_eq!(restore(&payload), restore(&newer), "{name}");
        }
    }
}

#[test]
fn a_payload_needs_a_known_version_and_its_checksum() {
    let (_, payload) = &payloads::of_references()[0];
    let limits = payloads::limits(512);
    let restored = |payload: &[u8]| payloads::restore(payload, &limits).map(|value| payloads::described(&value));
    assert!(restored(payload).is_ok());
    let mut damaged = payload.clone();
    damaged[2] ^= 1;
    assert_eq!(restored(&damaged), Err(PayloadError::VersionOrChecksum));
    for (version, is_known) in [(0, false), (1, true), (12, true), (13, false), (79, false), (80, true), (81, false)] {
        let mut other = payload[..payload.len() - 10].to_vec();
        other.extend_from_slice(&u16::to_le_bytes(version));
        let checksum = Checksum::of(&other);
        other.extend_from_slice(&checksum.to_le_bytes());
        assert_eq!(restored(&other).is_ok(), is_known, "version {version}");
        // No checksum.
        let without = other.len() - 8;
        other[without..].fill(0);
        assert_eq!(restored(&other).is_ok(), is_known, "version {version}");
    }
    for len in 0..payload.len() {
        assert_eq!(restored(&payload[..len]), Err(PayloadError::VersionOrChecksum));
    }
}

fn written() -> impl Strategy<Value = append_only::Written> {
    let word = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..20),
        Just(b"#CRC64:0000000000000000:0\r\n".to_vec()),
        Just(b"*1\r\n$4\r\nEXEC\r\n".to_vec()),
        Just(vec![0; 300]),
    ];
    let command = (0usize..3, prop::collection::vec(word, 1..4));
    // A command of one word could be MULTI or EXEC, and one of two could be SELECT.
    let command =
        command.prop_map(|(database, words)| (database, [vec![b"SET".to_vec(), b"key".to_vec()], words].concat()));
    (0i64..10_000_000, prop::collection::vec(command, 1..4))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn an_append_only_file_is_read_as_it_was_written(
        records in prop::collection::vec(written(), 0..8), times: bool, checksums: bool,
    ) {
        let (file, _) = append_only::encode(&records, times, checksums);
        let (read, whole, fault) = append_only::read(&file);
        prop_assert!(fault.is_none(), "{:?}", fault);
        prop_assert_eq!(whole, file.len() as u64);
        let expected: Vec<_> = records.into_iter().map(|(_, commands)| commands).collect();
        prop_assert_eq!(append_only::commands(&read), expected);
    }

    /// Wherever a file is torn, what is read is what was written completely before, and no half transaction.
    #[test]
    fn a_torn_file_has_whole_records(
        records in prop::collection::vec(written(), 1..5), times: bool, checksums: bool, torn in any::<prop::sample::Index>(),
    ) {
        let (file, ends) = append_only::encode(&records, times, checksums);
        let len = torn.index(file.len() + 1);
        let (read, whole, _) = append_only::read(&file[..len]);
        let complete = ends.iter().filter(|&&end| end <= len).count();
        let expected: Vec<_> = records.into_iter().map(|(_, commands)| commands).collect();
        let read = append_only::commands(&read);
        // A record counts as soon as its own bytes are there, even if its checksum is not.
        prop_assert!(read.len() >= complete && read.len() <= complete + 1);
        prop_assert_eq!(&read[..], &expected[..read.len()]);
        prop_assert!(whole <= len as u64);
    }

    /// With checksums, a byte that was changed is noticed, unless it is in an annotation that says nothing of the data.
    #[test]
    fn a_damaged_file_has_no_wrong_records(
        records in prop::collection::vec(written(), 1..5), at in any::<prop::sample::Index>(), bit in 0u32..8,
    ) {
        let (mut file, _) = append_only::encode(&records, false, true);
        let at = at.index(file.len());
        file[at] ^= 1 << bit;
        let (read, _, fault) = append_only::read(&file);
        let expected: Vec<_> = records.into_iter().map(|(_, commands)| commands).collect();
        let read = append_only::commands(&read);
        prop_assert!(read.len() <= expected.len());
        prop_assert_eq!(&read[..], &expected[..read.len()]);
        prop_assert!(fault.is_some() || read.len() == expected.len());
    }
}
