#![no_main]

#[path = "../../crates/datatypes/tests/properties/streams.rs"]
#[allow(dead_code)]
mod streams;

libfuzzer_sys::fuzz_target!(|data: &[u8]| streams::streams(data));
