//! Random numbers from the system.

use crate::sys;

/// 64 random bits.
pub fn seed_64() -> u64 {
    let mut bytes = [0; 8];
    sys::fill_random(&mut bytes);
    u64::from_le_bytes(bytes)
}

/// `digits` random hexadecimal digits in lowercase, as in Redis's run id.
pub fn hex(digits: usize) -> String {
    let mut bytes = vec![0; digits.div_ceil(2)];
    sys::fill_random(&mut bytes);
    let mut text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    text.truncate(digits);
    text
}
