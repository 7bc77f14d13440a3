#![no_main]

#[path = "../../crates/persist/tests/properties/payloads.rs"]
#[allow(dead_code)]
mod payloads;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    payloads::damaged(data);
    payloads::functions(data);
});
