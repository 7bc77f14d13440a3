//! The registers of a HyperLogLog, one byte each, and the conversion from and to the dense form.
//!
//! ```text
//!   dense      │bbaaaaaa│ccccbbbb│ddddddcc│          four registers of six bits in three bytes
//!   registers  │00aaaaaa│00bbbbbb│00cccccc│00dddddd│
//! ```
//!
//! The conversion works on four registers in one 32-bit word and, with AVX2, on eight such words at once. It is used by every count of a
//! dense string, and by every command on several HyperLogLogs.

use super::{HEADER, REGISTERS};

/// All registers, one byte each. The default is zeros: no elements.
#[derive(Clone, PartialEq, Eq)]
pub struct Registers(pub(super) [u8; REGISTERS]);

impl Default for Registers {
    fn default() -> Registers {
        Registers([0; REGISTERS])
    }
}

/// The number of registers that are converted as one word.
const FOUR: usize = 4;
/// The bytes that four registers take in the dense form.
const FOUR_PACKED: usize = 3;

impl Registers {
    /// Returns the values of all registers.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = u8> {
        self.0.iter().copied()
    }

    /// Visits the numbers and the values of the registers that are not zero. It skips eight zeros at a time, since few registers may be set.
    pub(super) fn for_each_seen(&self, mut visit: impl FnMut(usize, u8)) {
        for (index, eight) in self.0.as_chunks::<8>().0.iter().enumerate() {
            if u64::from_ne_bytes(*eight) != 0 {
                let seen = (index * 8..).zip(eight).filter(|(_, rank)| **rank > 0);
                seen.for_each(|(register, rank)| visit(register, *rank));
            }
        }
    }

    /// Merges a dense string: each register becomes the greater of the two.
    pub(super) fn merge_dense(&mut self, string: &[u8]) {
        let mut done = 0;
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") {
            // SAFETY: the processor was asked for the features that the function is compiled for.
            done = unsafe { avx2::merge(&mut self.0, string) };
        }
        let fours = self.0[done..].as_chunks_mut::<FOUR>().0;
        let packed = string[HEADER + done / FOUR * FOUR_PACKED..].as_chunks::<FOUR_PACKED>().0;
        for (four, [a, b, c]) in fours.iter_mut().zip(packed) {
            let others = spread(u32::from_le_bytes([*a, *b, *c, 0])).to_le_bytes();
            for (register, other) in four.iter_mut().zip(others) {
                *register = (*register).max(other);
            }
        }
    }

    /// Writes the registers to a dense string.
    pub(super) fn pack(&self, string: &mut [u8]) {
        let mut done = 0;
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") {
            // SAFETY: the processor was asked for the features that the function is compiled for.
            done = unsafe { avx2::pack(&self.0, string) };
        }
        let packed = string[HEADER + done / FOUR * FOUR_PACKED..].as_chunks_mut::<FOUR_PACKED>().0;
        for (packed, four) in packed.iter_mut().zip(self.0[done..].as_chunks::<FOUR>().0) {
            packed.copy_from_slice(&gather(u32::from_le_bytes(*four)).to_le_bytes()[..FOUR_PACKED]);
        }
    }

    /// Returns the number of registers with each value.
    pub(super) fn histogram(&self) -> [u32; 64] {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") {
            // SAFETY: the processor was asked for the features that the function is compiled for.
            return unsafe { self.histogram_with_avx2() };
        }
        self.histogram_by_value()
    }

    /// The same loop, compiled for wider registers.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn histogram_with_avx2(&self) -> [u32; 64] {
        self.histogram_by_value()
    }

    /// Compares all registers with each value, four values in one pass. In practice the registers have about 20 different values.
    #[inline(always)]
    fn histogram_by_value(&self) -> [u32; 64] {
        const LANES: usize = 32;
        const VALUES: usize = 4;
        let mut histogram = [0; 64];
        let mut counted = 0;
        for (index, counts) in histogram.as_chunks_mut::<VALUES>().0.iter_mut().enumerate() {
            if counted == REGISTERS as u32 {
                break;
            }
            let first = (index * VALUES) as u8;
            // A lane sees 128 registers of a part, so that its count fits a byte.
            for part in self.0.chunks(LANES * 128) {
                let mut lanes = [[0u8; LANES]; VALUES];
                for registers in part.as_chunks::<LANES>().0 {
                    for (value, lanes) in (first..).zip(&mut lanes) {
                        for (lane, register) in lanes.iter_mut().zip(registers) {
                            *lane += u8::from(*register == value);
                        }
                    }
                }
                for (count, lanes) in counts.iter_mut().zip(lanes) {
                    *count += lanes.iter().map(|lane| u32::from(*lane)).sum::<u32>();
                }
            }
            counted += counts.iter().sum::<u32>();
        }
        histogram
    }
}

/// Spreads four registers of six bits to one byte each.
#[inline]
fn spread(packed: u32) -> u32 {
    packed & 0x3f | (packed & 0xfc0) << 2 | (packed & 0x3_f000) << 4 | (packed & 0xfc_0000) << 6
}

/// The reverse of [`spread`].
#[inline]
fn gather(registers: u32) -> u32 {
    registers & 0x3f | (registers & 0x3f00) >> 2 | (registers & 0x3f_0000) >> 4 | (registers & 0x3f00_0000) >> 6
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    //! The conversion of 32 registers at a time: 24 bytes of the dense form, twelve in each half of a vector. Both functions leave the last
    //! registers to the caller, since they load and store whole vectors, beyond the bytes that they convert.

    use std::arch::x86_64::*;

    use super::super::{DENSE_LEN, HEADER, REGISTERS};

    const WIDE: usize = 32;
    const WIDE_PACKED: usize = 24;
    /// The number of registers that the functions convert: all but the last 32.
    const DONE: usize = REGISTERS - WIDE;

    /// Merges registers of a dense string. Returns how many were merged.
    #[target_feature(enable = "avx2")]
    pub fn merge(registers: &mut [u8; REGISTERS], string: &[u8]) -> usize {
        assert_eq!(string.len(), DENSE_LEN);
        // Three bytes go to each word. The lower half was loaded from four bytes before its twelve, the upper half from the beginning of its
        // twelve.
        let apart = _mm256_setr_epi8(
            4, 5, 6, -1, 7, 8, 9, -1, 10, 11, 12, -1, 13, 14, 15, -1, //
            0, 1, 2, -1, 3, 4, 5, -1, 6, 7, 8, -1, 9, 10, 11, -1,
        );
        let field = |mask| _mm256_set1_epi32(mask);
        for index in 0..DONE / WIDE {
            // SAFETY: the load begins in the header or later, since the header has more than four bytes. It ends within the string, since
            // 24 bytes follow those of the last index.
            let packed = unsafe {
                let at = string.as_ptr().add(HEADER - 4 + index * WIDE_PACKED);
                _mm256_loadu_si256(at.cast())
            };
            let words = _mm256_shuffle_epi8(packed, apart);
            let a = _mm256_and_si256(words, field(0x3f));
            let b = _mm256_slli_epi32::<2>(_mm256_and_si256(words, field(0xfc0)));
            let c = _mm256_slli_epi32::<4>(_mm256_and_si256(words, field(0x3_f000)));
            let d = _mm256_slli_epi32::<6>(_mm256_and_si256(words, field(0xfc_0000)));
            let others = _mm256_or_si256(_mm256_or_si256(a, b), _mm256_or_si256(c, d));
            let own: &mut [u8; WIDE] = &mut registers.as_chunks_mut().0[index];
            // SAFETY: the chunk has 32 bytes, and these loads and stores ask for no alignment.
            unsafe {
                let at = own.as_mut_ptr();
                let raised = _mm256_max_epu8(_mm256_loadu_si256(at.cast()), others);
                _mm256_storeu_si256(at.cast(), raised);
            }
        }
        DONE
    }

    /// Writes registers to a dense string. Returns how many were written.
    #[target_feature(enable = "avx2")]
    pub fn pack(registers: &[u8; REGISTERS], string: &mut [u8]) -> usize {
        assert_eq!(string.len(), DENSE_LEN);
        // The three bytes of each word are moved together to the beginning of each half; then the halves are moved together.
        let together = _mm256_setr_epi8(
            0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1, //
            0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1,
        );
        let halves = _mm256_setr_epi32(0, 1, 2, 4, 5, 6, 3, 7);
        let field = |mask| _mm256_set1_epi32(mask);
        for (index, own) in registers.as_chunks::<WIDE>().0[..DONE / WIDE].iter().enumerate() {
            // SAFETY: the chunk has 32 bytes, and the load asks for no alignment.
            let words = unsafe { _mm256_loadu_si256(own.as_ptr().cast()) };
            let a = _mm256_and_si256(words, field(0x3f));
            let b = _mm256_srli_epi32::<2>(_mm256_and_si256(words, field(0x3f00)));
            let c = _mm256_srli_epi32::<4>(_mm256_and_si256(words, field(0x3f_0000)));
            let d = _mm256_srli_epi32::<6>(_mm256_and_si256(words, field(0x3f00_0000)));
            let packed = _mm256_or_si256(_mm256_or_si256(a, b), _mm256_or_si256(c, d));
            let packed = _mm256_permutevar8x32_epi32(_mm256_shuffle_epi8(packed, together), halves);
            // SAFETY: the 32 bytes end within the string, since 24 bytes follow those of the last index. The eight bytes behind the packed
            // ones are overwritten by the next index, or by the caller.
            unsafe {
                let at = string.as_mut_ptr().add(HEADER + index * WIDE_PACKED);
                _mm256_storeu_si256(at.cast(), packed);
            }
        }
        DONE
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::hyperloglog::{DENSE_LEN, dense_get};

    #[test]
    fn four_registers_are_spread_and_gathered() {
        let packed = 0b100000_111111_101010_000001;
        assert_eq!(spread(packed).to_le_bytes(), [0b000001, 0b101010, 0b111111, 0b100000]);
        assert_eq!(gather(spread(packed)), packed);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn dense_strings_are_packed_merged_and_counted(
            values in prop::collection::vec(0u8..64, 50),
            other in prop::collection::vec(0u8..64, 37),
        ) {
            let filled = |values: &[u8]| {
                let mut registers = Registers::default();
                registers.0.iter_mut().zip(values.iter().cycle()).for_each(|(register, value)| *register = *value);
                registers
            };
            let (mut registers, other) = (filled(&values), filled(&other));
            let mut string = vec![0xff; DENSE_LEN];
            other.pack(&mut string);
            prop_assert!(string.starts_with(&[0xff; HEADER]));
            for (index, value) in other.iter().enumerate() {
                prop_assert_eq!(dense_get(&string, index), value);
            }
            let expected: Vec<u8> = registers.iter().zip(other.iter()).map(|(a, b)| a.max(b)).collect();
            registers.merge_dense(&string);
            prop_assert!(registers.iter().eq(expected.iter().copied()));
            let mut histogram = [0; 64];
            expected.iter().for_each(|value| histogram[usize::from(*value)] += 1);
            prop_assert_eq!(registers.histogram(), histogram);
            prop_assert_eq!(registers.histogram_by_value(), histogram);
        }
    }
}
