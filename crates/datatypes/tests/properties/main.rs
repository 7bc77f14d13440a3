//! What must hold of any bytes. The bodies are what the fuzzer runs too.

mod bodies;

use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn globs_match_as_their_model(pattern in r"[ab*?\[\]^\\\-\x80A]{0,12}", text in r"[ab\]\\\-A]{0,10}", odd in any::<Option<u8>>()) {
        let data = [&[pattern.len() as u8][..], pattern.as_bytes(), text.as_bytes(), odd.as_slice()].concat();
        bodies::globs(&data);
    }

    #[test]
    fn numbers_read_back(text in r"[+-]?(0x)?[0-9a-f]{0,25}\.?[0-9]{0,25}([ep][+-]?[0-9]{1,4})?") {
        bodies::numbers(text.as_bytes());
    }
}
