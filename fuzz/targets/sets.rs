#![no_main]

#[path = "../../crates/datatypes/tests/properties/sets.rs"]
#[allow(dead_code)]
mod sets;

libfuzzer_sys::fuzz_target!(|data: &[u8]| sets::sets(data));
