//! LZF, the compression of strings in RDB files. (liblzf, `lzf_c.c` and `lzf_d.c`)
//!
//! ```text
//!   000lllll                      bytes      l + 1 literal bytes follow
//!   lllooooo oooooooo                        copy l + 2 bytes from o + 1 bytes back, for l from 1 to 6
//!   111ooooo llllllll oooooooo               copy l + 9 bytes from o + 1 bytes back
//! ```

/// The most bytes of one run of literal bytes.
const LITERALS_MAX: usize = 32;
/// The least and the most bytes of one copy.
const COPY_MIN: usize = 3;
const COPY_MAX: usize = 264;
/// A copy is from at most this far back.
const DISTANCE_MAX: usize = 8192;
const HASH_BITS: u32 = 14;

/// A table of recent positions by the hash of the three bytes there. It serves many inputs without being cleared.
pub struct Compressor {
    /// Positions, counted over all inputs.
    recent: Box<[u32; 1 << HASH_BITS]>,
    /// The position at which the current input begins.
    base: u32,
}

impl Default for Compressor {
    fn default() -> Compressor {
        Compressor { recent: vec![0; 1 << HASH_BITS].try_into().expect("the length is that of the array"), base: 1 }
    }
}

impl Compressor {
    /// Appends the compressed input to `out`, if that takes at most `len_max` bytes. Returns whether it did. `out` is unchanged otherwise.
    pub fn compress(&mut self, input: &[u8], len_max: usize, out: &mut Vec<u8>) -> bool {
        // Positions of 32 bits: longer inputs are not compressed.
        let Some(end) = u32::try_from(input.len()).ok().and_then(|len| self.base.checked_add(len)) else {
            self.recent.fill(0);
            self.base = 1;
            return u32::try_from(input.len()).is_ok_and(|len| len < u32::MAX) && self.compress(input, len_max, out);
        };
        let start = out.len();
        let done = self.fill(input, start + len_max, out);
        self.base = end;
        if !done {
            out.truncate(start);
        }
        done
    }

    /// As [`Compressor::compress`], but stops as soon as `out` would be longer than `end_max`.
    fn fill(&mut self, input: &[u8], end_max: usize, out: &mut Vec<u8>) -> bool {
        let (mut literals_from, mut at) = (0, 0);
        while at + COPY_MIN <= input.len() {
            let three = u32::from_le_bytes([input[at], input[at + 1], input[at + 2], 0]);
            let slot = &mut self.recent[(three.wrapping_mul(0x9E37_79B1) >> (32 - HASH_BITS)) as usize];
            let candidate = slot.checked_sub(self.base).map(|position| position as usize);
            *slot = self.base + at as u32;
            let found = candidate
                .filter(|&from| from < at && at - from <= DISTANCE_MAX && input[from..from + 3] == input[at..at + 3]);
            let Some(from) = found else {
                at += 1;
                continue;
            };
            let len_max = (input.len() - at).min(COPY_MAX);
            let same = input[from..].iter().zip(&input[at..at + len_max]).take_while(|(before, now)| before == now);
            let len = same.count();
            if !push_literals(&input[literals_from..at], end_max, out) || out.len() + 3 > end_max {
                return false;
            }
            let distance = at - from - 1;
            match len - 2 {
                short @ ..7 => out.push((short << 5 | distance >> 8) as u8),
                long => out.extend_from_slice(&[(7 << 5 | distance >> 8) as u8, (long - 7) as u8]),
            }
            out.push(distance as u8);
            at += len;
            literals_from = at;
        }
        push_literals(&input[literals_from..], end_max, out)
    }
}

fn push_literals(literals: &[u8], end_max: usize, out: &mut Vec<u8>) -> bool {
    literals.chunks(LITERALS_MAX).all(|run| {
        let fits = out.len() + 1 + run.len() <= end_max;
        if fits {
            out.push((run.len() - 1) as u8);
            out.extend_from_slice(run);
        }
        fits
    })
}

/// Decompresses to exactly `len` bytes. Returns `None` if the input does not decompress to this length. A length that the input cannot
/// reach is refused before memory is taken.
pub fn decompress(input: &[u8], len: usize) -> Option<Vec<u8>> {
    // The densest input is copies of three bytes each.
    if len > (input.len() / 3 + 1).checked_mul(COPY_MAX)? {
        return None;
    }
    let mut out = Vec::with_capacity(len);
    let mut rest = input;
    while let Some((&control, after)) = rest.split_first() {
        let control = usize::from(control);
        if control < LITERALS_MAX {
            let (literals, after) = after.split_at_checked(control + 1)?;
            if out.len() + literals.len() > len {
                return None;
            }
            out.extend_from_slice(literals);
            rest = after;
            continue;
        }
        let (mut copied, mut after) = (control >> 5, after);
        if copied == 7 {
            let (&more, behind) = after.split_first()?;
            (copied, after) = (copied + usize::from(more), behind);
        }
        let (&low, behind) = after.split_first()?;
        let distance = ((control & 0x1f) << 8 | usize::from(low)) + 1;
        let from = out.len().checked_sub(distance)?;
        if out.len() + copied + 2 > len {
            return None;
        }
        let end = out.len() + copied + 2;
        if distance == 1 {
            // A run of one byte.
            out.resize(end, out[from]);
        }
        // A copy that overlaps what it writes repeats the last `distance` bytes: each turn doubles what there is to copy.
        while out.len() < end {
            let len = (end - out.len()).min(out.len() - from);
            out.extend_from_within(from..from + len);
        }
        rest = behind;
    }
    (out.len() == len).then_some(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(compressor: &mut Compressor, input: &[u8]) {
        let mut out = b"before".to_vec();
        if compressor.compress(input, input.len() * 2 + 16, &mut out) {
            assert_eq!(decompress(&out[6..], input.len()).as_deref(), Some(input));
            let len = out.len() - 6;
            let mut tight = Vec::new();
            assert!(compressor.compress(input, len + 3, &mut tight), "{len} bytes suffice");
            if len > 0 {
                let mut short = Vec::new();
                assert!(!compressor.compress(input, len - 1, &mut short) && short.is_empty());
            }
        } else {
            panic!("twice the length suffices");
        }
    }

    #[test]
    fn repetitive_inputs_become_short() {
        let mut compressor = Compressor::default();
        for (input, most) in [(vec![b'x'; 10_000], 120), (b"abcdefgh".repeat(1000), 120), (vec![0; 20], 8)] {
            let mut out = Vec::new();
            assert!(compressor.compress(&input, most, &mut out), "{} bytes", input.len());
            assert_eq!(decompress(&out, input.len()), Some(input));
        }
    }

    #[test]
    fn a_full_table_of_positions_is_cleared() {
        let mut compressor = Compressor { base: u32::MAX - 10, ..Compressor::default() };
        check(&mut compressor, &b"hello hello hello hello hello".repeat(3));
    }

    #[test]
    fn a_declared_length_takes_no_memory() {
        assert_eq!(decompress(&[0, b'x'], usize::MAX), None);
        assert_eq!(decompress(&[0, b'x'], 1 << 40), None);
        assert_eq!(decompress(&[], 0), Some(Vec::new()));
    }

    #[test]
    fn what_liblzf_wrote_is_read() {
        // `lzf_compress` of 100 letters a, as Redis writes it.
        let compressed = [0x01, b'a', b'a', 0xe0, 0x57, 0x00, 0x01, b'a', b'a'];
        assert_eq!(decompress(&compressed, 100), Some(vec![b'a'; 100]));
    }

    proptest! {
        #[test]
        fn compressing_and_decompressing_gives_the_input(
            parts in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..40), 1usize..60), 0..20),
        ) {
            let input: Vec<u8> = parts.into_iter().flat_map(|(part, times)| part.repeat(times)).collect();
            let mut compressor = Compressor::default();
            check(&mut compressor, &input);
            check(&mut compressor, &input);
        }

        #[test]
        fn any_bytes_are_decompressed_or_refused(input in prop::collection::vec(any::<u8>(), 0..200), len in 0usize..2000) {
            if let Some(output) = decompress(&input, len) {
                prop_assert_eq!(output.len(), len);
            }
        }
    }
}
