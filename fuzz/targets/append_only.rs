#![no_main]

#[path = "../../crates/persist/tests/properties/append_only.rs"]
#[allow(dead_code)]
mod append_only;

libfuzzer_sys::fuzz_target!(|data: &[u8]| append_only::any(data));
