//! Property tests: what must hold for any bytes. The fuzzer runs the same bodies.

mod bodies;
mod lists;
mod sets;
mod streams;
mod strings;

use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn globs_match_what_a_model_matches(pattern in r"[ab*?\[\]^\\\-\x80A]{0,12}", text in r"[ab\]\\\-A]{0,10}", odd in any::<Option<u8>>()) {
        let data = [&[pattern.len() as u8][..], pattern.as_bytes(), text.as_bytes(), odd.as_slice()].concat();
        bodies::globs(&data);
    }

    #[test]
    fn numbers_read_back(text in r"[+-]?(0x)?[0-9a-f]{0,25}\.?[0-9]{0,25}([ep][+-]?[0-9]{1,4})?") {
        bodies::numbers(text.as_bytes());
    }

    #[test]
    fn listpacks_do_what_vectors_do(data in prop::collection::vec(any::<u8>(), 0..300)) {
        lists::listpacks(&data);
    }

    #[test]
    fn lists_do_what_vectors_do(data in prop::collection::vec(any::<u8>(), 0..600)) {
        lists::lists(&data);
    }

    #[test]
    fn sets_do_what_ordered_sets_do(data in prop::collection::vec(any::<u8>(), 0..600)) {
        sets::sets(&data);
    }

    #[test]
    fn streams_do_what_maps_do(data in prop::collection::vec(any::<u8>(), 0..600)) {
        streams::streams(&data);
    }

    #[test]
    fn hyperloglogs_count_or_are_refused(
        opcodes in prop_oneof![
            Just(vec![]),
            prop::collection::vec(any::<u8>(), 1..40),
            // These are mostly valid: runs of values, and one long run of zeros to the end.
            prop::collection::vec(0x80u8..=0xff, 1..8).prop_map(with_zeros),
        ],
        sparse_bytes_max in any::<u8>(),
        elements in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let data = [&[opcodes.len() as u8, sparse_bytes_max][..], &opcodes, &elements].concat();
        strings::hyperloglogs(&data);
    }

    #[test]
    fn bit_fields_hold_what_is_stored(data in prop::collection::vec(any::<u8>(), 10..60)) {
        strings::bit_fields(&data);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn hash_tables_do_what_maps_do(data in prop::collection::vec(any::<u8>(), 0..240)) {
        sets::tables(&data);
    }
}

/// Completes VAL opcodes to all registers, with a run of zeros.
fn with_zeros(mut values: Vec<u8>) -> Vec<u8> {
    let covered: usize = values.iter().map(|opcode| usize::from(opcode & 0b11) + 1).sum();
    let zeros = 16_384 - covered - 1;
    values.extend([0x40 | (zeros >> 8) as u8, zeros as u8]);
    values
}
