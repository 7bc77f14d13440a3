#![no_main]

#[path = "../../crates/resp/tests/properties/bodies.rs"]
#[allow(dead_code)]
mod bodies;

libfuzzer_sys::fuzz_target!(|data: &[u8]| bodies::buffers(data));
