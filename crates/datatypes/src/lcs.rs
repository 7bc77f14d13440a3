//! The longest common subsequence of two strings, for LCS.
//!
//! ```text
//!         o  h  m  y        table[i][j]: the length of the LCS of a[..i] and b[..j]
//!      0  0  0  0  0
//!   m  0  0  0  1  1        walked back from the last cell: up and left if the bytes are equal, else up or left
//!   y  0  0  0  1  2
//! ```
//!
//! Of several longest subsequences, the result is the one that Redis finds, with the matches in Redis's order: the last one first.
//! (`lcsCommand`, t_string.c) Each pair of bytes takes 4 bytes of memory and one step.

use std::ops::Range;

/// The table for the longest common subsequence of two strings.
pub struct Lcs<'a> {
    a: &'a [u8],
    b: &'a [u8],
    table: Vec<u32>,
}

/// A run of bytes that both strings have, and that is part of the subsequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Match {
    /// The run's place in the first string.
    pub a: Range<usize>,
    /// The run's place in the second string.
    pub b: Range<usize>,
}

/// Why the subsequence cannot be computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LcsError {
    /// A string is too long.
    TooLong,
    /// The table would take more bytes than are allowed.
    ExceedsMemoryMax,
    /// The table cannot be allocated.
    OutOfMemory,
}

impl LcsError {
    /// Returns the text of the error reply, with its code.
    pub const fn reply(self) -> &'static str {
        match self {
            LcsError::TooLong => "ERR String too long for LCS",
            LcsError::ExceedsMemoryMax => {
                "ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len"
            }
            LcsError::OutOfMemory => "ERR Insufficient memory, failed allocating transient memory for LCS",
        }
    }
}

/// Computes the length of the subsequence. This needs one row of the table only, but has the same limits and errors as [`Lcs::new`].
pub fn length(a: &[u8], b: &[u8], memory_max: usize) -> Result<usize, LcsError> {
    table_len(a, b, memory_max)?;
    let mut row = vec![0u32; b.len() + 1];
    for &byte in a {
        let (mut diagonal, mut left) = (0, 0);
        for (&other, cell) in b.iter().zip(&mut row[1..]) {
            let up = *cell;
            left = if byte == other { diagonal + 1 } else { up.max(left) };
            diagonal = up;
            *cell = left;
        }
    }
    Ok(row[b.len()] as usize)
}

/// Returns the number of cells of the table, if it may take `memory_max` bytes.
fn table_len(a: &[u8], b: &[u8], memory_max: usize) -> Result<usize, LcsError> {
    const LEN_MAX: usize = u32::MAX as usize - 1;
    if a.len() >= LEN_MAX || b.len() >= LEN_MAX {
        return Err(LcsError::TooLong);
    }
    let len = (a.len() + 1) as u128 * (b.len() + 1) as u128;
    match usize::try_from(len * size_of::<u32>() as u128) {
        Ok(bytes) if bytes <= memory_max => Ok(len as usize),
        Ok(_) => Err(LcsError::ExceedsMemoryMax),
        Err(_) => Err(LcsError::OutOfMemory),
    }
}

impl<'a> Lcs<'a> {
    /// Computes the table, which may take at most `memory_max` bytes. On Redis this is `proto-max-bulk-len`.
    pub fn new(a: &'a [u8], b: &'a [u8], memory_max: usize) -> Result<Lcs<'a>, LcsError> {
        let len = table_len(a, b, memory_max)?;
        let mut table = Vec::new();
        table.try_reserve_exact(len).map_err(|_| LcsError::OutOfMemory)?;
        table.resize(b.len() + 1, 0);
        for (i, &byte) in a.iter().enumerate() {
            let above = i * (b.len() + 1);
            let mut left = 0;
            table.push(left);
            for (j, &other) in b.iter().enumerate() {
                left = if byte == other { table[above + j] + 1 } else { table[above + j + 1].max(left) };
                table.push(left);
            }
        }
        debug_assert_eq!(table.len(), len);
        Ok(Lcs { a, b, table })
    }

    /// Returns the length of the subsequence in bytes.
    pub fn len(&self) -> usize {
        self.cell(self.a.len(), self.b.len()) as usize
    }

    /// Returns whether the strings have no byte in common.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the subsequence.
    pub fn string(&self) -> Vec<u8> {
        let mut string = Vec::with_capacity(self.len());
        for found in self.matches(0) {
            string.extend(self.a[found.a].iter().rev());
        }
        string.reverse();
        string
    }

    /// Returns the runs that make up the subsequence, the last one first. Runs of fewer than `len_min` bytes are left out.
    pub fn matches(&self, len_min: usize) -> Vec<Match> {
        let mut found = Vec::new();
        let (mut i, mut j) = (self.a.len(), self.b.len());
        while i > 0 && j > 0 {
            if self.a[i - 1] != self.b[j - 1] {
                if self.cell(i - 1, j) > self.cell(i, j - 1) {
                    i -= 1;
                } else {
                    j -= 1;
                }
                continue;
            }
            let (a_end, b_end) = (i, j);
            while i > 0 && j > 0 && self.a[i - 1] == self.b[j - 1] {
                i -= 1;
                j -= 1;
            }
            if a_end - i >= len_min {
                found.push(Match { a: i..a_end, b: j..b_end });
            }
        }
        found
    }

    fn cell(&self, i: usize, j: usize) -> u32 {
        self.table[i * (self.b.len() + 1) + j]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MEMORY_MAX: usize = 1 << 20;

    /// Checks the subsequence, and the matches with inclusive ends, as LCS with IDX replies them.
    #[track_caller]
    fn check(a: &str, b: &str, string: &str, matches: &[[usize; 4]]) {
        let lcs = Lcs::new(a.as_bytes(), b.as_bytes(), MEMORY_MAX).expect("short strings");
        assert_eq!(String::from_utf8_lossy(&lcs.string()), string);
        assert_eq!(lcs.len(), string.len());
        let found: Vec<_> = lcs.matches(0).iter().map(|m| [m.a.start, m.a.end - 1, m.b.start, m.b.end - 1]).collect();
        assert_eq!(found, matches);
    }

    #[test]
    fn subsequences_are_those_of_redis() {
        check("ohmytext", "mynewtext", "mytext", &[[4, 7, 5, 8], [2, 3, 0, 1]]);
        check("", "abc", "", &[]);
        check("abc", "xyz", "", &[]);
        check("same", "same", "same", &[[0, 3, 0, 3]]);
        check("abcab", "ba", "ba", &[[3, 3, 1, 1], [1, 1, 0, 0]]);
        check("foobar", "fobor", "fobr", &[[5, 5, 4, 4], [2, 3, 1, 2], [0, 0, 0, 0]]);
    }

    #[test]
    fn short_matches_are_left_out() {
        let lcs = Lcs::new(b"ohmytext", b"mynewtext", MEMORY_MAX).expect("short strings");
        assert_eq!(lcs.matches(4), [Match { a: 4..8, b: 5..9 }]);
        assert_eq!(lcs.matches(5), []);
    }

    #[test]
    fn memory_is_bounded() {
        let (a, b) = (vec![0; 511], vec![0; 511]);
        assert!(Lcs::new(&a, &b, 512 * 512 * 4).is_ok());
        assert_eq!(Lcs::new(&a, &b, 512 * 512 * 4 - 1).err(), Some(LcsError::ExceedsMemoryMax));
        assert_eq!(length(&a, &b, 512 * 512 * 4 - 1), Err(LcsError::ExceedsMemoryMax));
    }

    proptest! {
        #[test]
        fn a_subsequence_lies_in_both(a in "[abc]{0,40}", b in "[abc]{0,40}") {
            let lcs = Lcs::new(a.as_bytes(), b.as_bytes(), MEMORY_MAX).expect("short strings");
            prop_assert_eq!(length(a.as_bytes(), b.as_bytes(), MEMORY_MAX), Ok(lcs.len()));
            let string = lcs.string();
            prop_assert_eq!(string.len(), lcs.len());
            for text in [&a, &b] {
                let mut rest = text.bytes();
                prop_assert!(string.iter().all(|byte| rest.any(|other| other == *byte)));
            }
        }
    }
}
