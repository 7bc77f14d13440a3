//! Property tests: what must hold for any bytes. The fuzzer runs the same bodies.

mod payloads;

use ochre_persist::{checksum::Checksum, rdb::payload::PayloadError};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6_000))]

    #[test]
    fn damaged_payloads_are_restored_or_refused(data in prop::collection::vec(any::<u8>(), 0..60)) {
        payloads::damaged(&data);
    }

    #[test]
    fn damaged_files_are_read_or_refused(data in prop::collection::vec(any::<u8>(), 2..40)) {
        payloads::files(&data);
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
