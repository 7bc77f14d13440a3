#![no_main]

#[path = "../../crates/datatypes/tests/properties/strings.rs"]
#[allow(dead_code)]
mod strings;

libfuzzer_sys::fuzz_target!(|data: &[u8]| strings::bit_fields(data));
