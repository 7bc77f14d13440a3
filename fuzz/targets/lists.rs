#![no_main]

#[path = "../../crates/datatypes/tests/properties/lists.rs"]
#[allow(dead_code)]
mod lists;

libfuzzer_sys::fuzz_target!(|data: &[u8]| lists::lists(data));
