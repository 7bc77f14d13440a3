//! HyperLogLog: an estimate of the number of distinct elements, with a standard error of 0.81 %, in at most 12 KiB. The string is Redis's,
//! byte for byte, so that it can be copied between servers. (Redis: `hyperloglog.c`)
//!
//! ```text
//!   0      4          5         8              16
//! ┌──────┬──────────┬─────────┬──────────────┬───────────────────────────────┐
//! │ HYLL │ encoding │ 3 zeros │ cardinality  │ 16,384 registers              │
//! └──────┴──────────┴─────────┴──────────────┴───────────────────────────────┘
//!   encoding     0 dense, 1 sparse
//!   cardinality  the cached count, 64 bits, little-endian; the highest bit says that it is stale
//!
//!   14 bits of an element's hash choose a register. The number of trailing zeros of the other 50 bits, plus one, is the element's rank.
//!   The register, of 6 bits, holds the greatest rank of its elements.
//!
//!   dense    16,384 times 6 bits, which are 12,288 bytes: │bbaaaaaa│ccccbbbb│ddddddcc│
//!   sparse   opcodes for runs of equal registers, as long as they take at most `hll-sparse-max-bytes` and no register exceeds 32
//!            00nnnnnn           ZERO   n + 1 registers of zero
//!            01nnnnnn nnnnnnnn  XZERO  n + 1 registers of zero
//!            1vvvvvnn           VAL    n + 1 registers of v + 1
//! ```
//!
//! In the dense form, adding an element costs a hash and one register, and counting costs a pass over the registers. In the sparse form,
//! both cost a walk over the opcodes.

mod registers;

use std::{fmt::Write, ops::Range};

pub use registers::Registers;

/// The bits of a hash that choose the register.
const REGISTER_BITS: u32 = 14;
/// The number of registers.
pub const REGISTERS: usize = 1 << REGISTER_BITS;
/// The other bits of a hash.
const RANK_BITS: u32 = 64 - REGISTER_BITS;
/// The bits of a register.
const BITS: usize = 6;
/// The bytes of the header.
const HEADER: usize = 16;
/// The offset of the encoding.
const ENCODING: usize = 4;
/// The offset of the cardinality.
const CARDINALITY: usize = 8;
/// The offset of the last byte of the cardinality, whose highest bit is [`STALE`].
const STALE_BYTE: usize = HEADER - 1;
const STALE: u8 = 1 << 7;
/// The length of a dense string in bytes.
pub const DENSE_LEN: usize = HEADER + REGISTERS * BITS / 8;
const DENSE: u8 = 0;
const SPARSE: u8 = 1;

/// The greatest value of a register in a sparse string.
const VAL_MAX: u8 = 32;
/// The most registers of a VAL opcode.
const VAL_LEN_MAX: usize = 4;
/// The most registers of a ZERO opcode.
const ZERO_LEN_MAX: usize = 64;

/// The opcodes of a sparse string do not describe exactly 16,384 registers, or the registers have values that no elements can produce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Corrupted;

/// An element, hashed: its register, and its rank.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Element {
    register: usize,
    /// 1 to 51.
    rank: u8,
}

impl Element {
    /// Hashes an element.
    #[inline]
    pub fn new(element: &[u8]) -> Element {
        let hash = murmur(element);
        // The bit above the other 50 bits limits the number of trailing zeros.
        let rank = (hash >> REGISTER_BITS | 1 << RANK_BITS).trailing_zeros() + 1;
        Element { register: hash as usize & (REGISTERS - 1), rank: rank as u8 }
    }
}

/// Returns the string of no elements, which is sparse, with a cached count of 0.
pub fn empty() -> Vec<u8> {
    let mut bytes = vec![0; HEADER + 2];
    bytes[..ENCODING].copy_from_slice(b"HYLL");
    bytes[ENCODING] = SPARSE;
    bytes[HEADER..].copy_from_slice(&Opcode::long_zero(REGISTERS));
    bytes
}

/// A string with the header of a HyperLogLog. The opcodes of a sparse one are checked only when they are walked.
#[derive(Clone, Copy)]
pub struct HyperLogLog<'a> {
    bytes: &'a [u8],
}

impl<'a> HyperLogLog<'a> {
    /// Views a string as a HyperLogLog. Returns `None` if it has not the header of one, or if it is dense and has not the right length.
    #[inline]
    pub fn new(bytes: &'a [u8]) -> Option<HyperLogLog<'a>> {
        let is_one = bytes.len() >= HEADER
            && bytes.starts_with(b"HYLL")
            && (bytes[ENCODING] == SPARSE || bytes[ENCODING] == DENSE && bytes.len() == DENSE_LEN);
        is_one.then_some(HyperLogLog { bytes })
    }

    /// Returns whether the registers are in the dense form.
    #[inline]
    pub fn is_dense(self) -> bool {
        self.bytes[ENCODING] == DENSE
    }

    /// Returns the count that is cached in the string, unless it is stale.
    pub fn kept_count(self) -> Option<u64> {
        let kept = self.bytes[CARDINALITY..HEADER].try_into().expect("the cardinality takes eight bytes");
        (self.bytes[STALE_BYTE] & STALE == 0).then(|| u64::from_le_bytes(kept))
    }

    /// Estimates the number of distinct elements, without regard to the cached count.
    pub fn count(self) -> Result<u64, Corrupted> {
        if self.is_dense() {
            return self.registers()?.count();
        }
        let mut histogram = [0; 64];
        self.walk(|registers, value| histogram[usize::from(value)] += registers.len() as u32)?;
        estimate(&histogram)
    }

    /// Returns the registers.
    pub fn registers(self) -> Result<Registers, Corrupted> {
        let mut registers = Registers::default();
        registers.merge(self)?;
        Ok(registers)
    }

    /// Returns the opcodes of a sparse string as text, such as `z:1 Z:16384 v:1,4`. (Redis: PFDEBUG DECODE)
    pub fn decoded(self) -> String {
        let mut text = String::new();
        let mut at = HEADER;
        while let Some(opcode) = Opcode::read(self.bytes, at) {
            let separator = if text.is_empty() { "" } else { " " };
            let written = match opcode {
                Opcode::Zero { len } => write!(text, "{separator}z:{len}"),
                Opcode::LongZero { len } => write!(text, "{separator}Z:{len}"),
                Opcode::Values { value, len } => write!(text, "{separator}v:{value},{len}"),
            };
            written.expect("writing to a string cannot fail");
            at += opcode.width();
        }
        text
    }

    /// Visits the runs of equal registers of a sparse string: the numbers of the registers, and their value.
    fn walk(self, mut visit: impl FnMut(Range<usize>, u8)) -> Result<(), Corrupted> {
        let (mut at, mut first) = (HEADER, 0);
        while let Some(opcode) = Opcode::read(self.bytes, at) {
            let end = first + opcode.len();
            if end > REGISTERS {
                return Err(Corrupted);
            }
            visit(first..end, opcode.value());
            first = end;
            at += opcode.width();
        }
        if first == REGISTERS { Ok(()) } else { Err(Corrupted) }
    }
}

/// Adds an element to a string that [`HyperLogLog::new`] accepts. Returns whether a register changed; the caller must then call [`outdate`].
#[inline]
pub fn add(bytes: &mut Vec<u8>, element: Element, sparse_bytes_max: usize) -> Result<bool, Corrupted> {
    if bytes[ENCODING] == DENSE {
        return Ok(add_dense(bytes, element));
    }
    let (outcome, _) = add_sparse(bytes, element, sparse_bytes_max, Place::START);
    outcome
}

/// As [`add`], for a dense string, whose length never changes.
#[inline]
pub fn add_dense(bytes: &mut [u8], element: Element) -> bool {
    let raised = dense_get(bytes, element.register) < element.rank;
    if raised {
        dense_set(bytes, element.register, element.rank);
    }
    raised
}

/// Marks the cached count as stale.
#[inline]
pub fn outdate(bytes: &mut [u8]) {
    bytes[STALE_BYTE] |= STALE;
}

/// Caches a count.
pub fn keep_count(bytes: &mut [u8], count: u64) {
    bytes[CARDINALITY..HEADER].copy_from_slice(&count.to_le_bytes());
}

/// Converts a sparse string to the dense form.
pub fn make_dense(bytes: &mut Vec<u8>) -> Result<(), Corrupted> {
    let mut dense = vec![0; DENSE_LEN];
    dense[..HEADER].copy_from_slice(&bytes[..HEADER]);
    dense[ENCODING] = DENSE;
    HyperLogLog { bytes }.walk(|registers, value| {
        if value > 0 {
            registers.for_each(|register| dense_set(&mut dense, register, value));
        }
    })?;
    *bytes = dense;
    Ok(())
}

/// Stores registers, none of which may be less than the string's own, and marks the cached count as stale. The string becomes dense if
/// `as_dense` is true, or if the registers do not fit into the sparse form.
pub fn store(
    bytes: &mut Vec<u8>,
    registers: &Registers,
    as_dense: bool,
    sparse_bytes_max: usize,
) -> Result<(), Corrupted> {
    if as_dense {
        if bytes[ENCODING] != DENSE {
            make_dense(bytes)?;
        }
        registers.pack(bytes);
    } else {
        // Registers are stored in ascending order, so that each walk can begin near the opcode that was changed last.
        let mut place = Place::START;
        registers.for_each_seen(|register, rank| {
            let element = Element { register, rank };
            if bytes[ENCODING] == DENSE {
                add_dense(bytes, element);
            } else {
                (_, place) = add_sparse(bytes, element, sparse_bytes_max, place);
            }
        });
    }
    outdate(bytes);
    Ok(())
}

impl Registers {
    /// Merges another HyperLogLog: each register becomes the greater of the two.
    pub fn merge(&mut self, other: HyperLogLog<'_>) -> Result<(), Corrupted> {
        if other.is_dense() {
            self.merge_dense(other.bytes);
            return Ok(());
        }
        other.walk(|registers, value| {
            if value > 0 {
                self.0[registers].iter_mut().for_each(|register| *register = (*register).max(value));
            }
        })
    }

    /// Estimates the number of distinct elements.
    pub fn count(&self) -> Result<u64, Corrupted> {
        estimate(&self.histogram())
    }
}

/// Returns where the bits of a register begin in a dense string: the offset of the byte, and the bit in it.
#[inline]
fn dense_place(register: usize) -> (usize, usize) {
    (HEADER + register * BITS / 8, register * BITS % 8)
}

#[inline]
fn dense_get(bytes: &[u8], register: usize) -> u8 {
    let (at, shift) = dense_place(register);
    // No byte follows the last register.
    let next = bytes.get(at + 1).copied().unwrap_or(0);
    (u16::from_le_bytes([bytes[at], next]) >> shift) as u8 & 63
}

#[inline]
fn dense_set(bytes: &mut [u8], register: usize, value: u8) {
    let (at, shift) = dense_place(register);
    let next = bytes.get(at + 1).copied().unwrap_or(0);
    let pair = u16::from_le_bytes([bytes[at], next]) & !(63 << shift) | u16::from(value) << shift;
    let [low, high] = pair.to_le_bytes();
    bytes[at] = low;
    if let Some(next) = bytes.get_mut(at + 1) {
        *next = high;
    }
}

/// An opcode of a sparse string: a run of `len` equal registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Opcode {
    /// ZERO.
    Zero { len: usize },
    /// XZERO.
    LongZero { len: usize },
    /// VAL.
    Values { value: u8, len: usize },
}

impl Opcode {
    #[inline]
    fn read(bytes: &[u8], at: usize) -> Option<Opcode> {
        let byte = *bytes.get(at)?;
        let low_bits = usize::from(byte & 0x3f);
        Some(if byte & 0x80 != 0 {
            Opcode::Values { value: (byte >> 2 & 0x1f) + 1, len: usize::from(byte & 0b11) + 1 }
        } else if byte & 0x40 == 0 {
            Opcode::Zero { len: low_bits + 1 }
        } else {
            // If a corrupted string ends in the middle of the opcode, Redis reads the zero byte that ends each string.
            let next = bytes.get(at + 1).copied().unwrap_or(0);
            Opcode::LongZero { len: (low_bits << 8 | usize::from(next)) + 1 }
        })
    }

    #[inline]
    fn width(self) -> usize {
        if let Opcode::LongZero { .. } = self { 2 } else { 1 }
    }

    #[inline]
    fn len(self) -> usize {
        let (Opcode::Zero { len } | Opcode::LongZero { len } | Opcode::Values { len, .. }) = self;
        len
    }

    fn value(self) -> u8 {
        if let Opcode::Values { value, .. } = self { value } else { 0 }
    }

    fn values(value: u8, len: usize) -> u8 {
        debug_assert!((1..=VAL_MAX).contains(&value) && (1..=VAL_LEN_MAX).contains(&len));
        0x80 | (value - 1) << 2 | (len - 1) as u8
    }

    fn long_zero(len: usize) -> [u8; 2] {
        [0x40 | ((len - 1) >> 8) as u8, (len - 1) as u8]
    }
}

/// The opcodes that replace one other opcode. They take at most five bytes.
#[derive(Default)]
struct Sequence {
    bytes: [u8; 5],
    len: usize,
}

impl Sequence {
    /// Appends a run, unless it is empty.
    fn push(&mut self, value: u8, len: usize) {
        match (value, len) {
            (_, 0) => {}
            (0, 1..=ZERO_LEN_MAX) => self.append(&[(len - 1) as u8]),
            (0, _) => self.append(&Opcode::long_zero(len)),
            _ => self.append(&[Opcode::values(value, len)]),
        }
    }

    fn append(&mut self, bytes: &[u8]) {
        self.bytes[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }
}

/// The place of an opcode: its offset, and the number of its first register.
#[derive(Clone, Copy)]
struct Place {
    at: usize,
    first: usize,
}

impl Place {
    const START: Place = Place { at: HEADER, first: 0 };
}

/// The opcode to which a register belongs.
struct Found {
    /// The place of the opcode before it, if the walk passed that.
    previous: Option<Place>,
    place: Place,
    opcode: Opcode,
}

/// Finds the opcode of a register, by a walk from an opcode that is not behind it.
#[inline]
fn find(bytes: &[u8], register: usize, from: Place) -> Option<Found> {
    let (mut previous, mut place) = (None, from);
    loop {
        let opcode = Opcode::read(bytes, place.at)?;
        let end = place.first + opcode.len();
        if register < end {
            return Some(Found { previous, place, opcode });
        }
        previous = Some(place);
        place = Place { at: place.at + opcode.width(), first: end };
    }
}

/// Adds an element to a sparse string, which may become dense. The walk begins at the opcode `from`, which must not be behind the
/// element's. Returns the result of [`add`], and the place of an opcode at which the walk for a later element may begin. Each step is
/// Redis's, so that the bytes are the same. (`hllSparseSet`)
fn add_sparse(
    bytes: &mut Vec<u8>,
    element: Element,
    sparse_bytes_max: usize,
    from: Place,
) -> (Result<bool, Corrupted>, Place) {
    let Element { register, rank } = element;
    let promote = |bytes: &mut Vec<u8>| (make_dense(bytes).map(|()| add_dense(bytes, element)), Place::START);
    if rank > VAL_MAX {
        return promote(bytes);
    }
    let found = match find(bytes, register, from) {
        // The opcode before the first one of the walk is not known, but is needed below.
        Some(Found { previous: None, .. }) if from.at > HEADER => find(bytes, register, Place::START),
        found => found,
    };
    let Some(Found { previous, place, opcode }) = found else { return (Err(Corrupted), from) };
    let before = previous.unwrap_or(Place::START);
    if opcode.value() >= rank {
        return (Ok(false), before);
    }

    // The run is split into the registers before the element's, its own, and those behind it.
    let (value, end) = (opcode.value(), place.first + opcode.len());
    let mut sequence = Sequence::default();
    sequence.push(value, register - place.first);
    sequence.push(rank, 1);
    sequence.push(value, end - register - 1);
    let old_end = bytes.len();
    if sequence.len > opcode.width() && old_end + sequence.len - opcode.width() > sparse_bytes_max {
        return promote(bytes);
    }
    let behind = (place.at + opcode.width()).min(old_end);
    let now_behind = place.at + sequence.len;
    if now_behind > behind {
        bytes.resize(old_end + now_behind - behind, 0);
    }
    bytes.copy_within(behind..old_end, now_behind);
    bytes.truncate(old_end - behind + now_behind);
    bytes[place.at..now_behind].copy_from_slice(&sequence.bytes[..sequence.len]);
    join_values(bytes, before.at);
    outdate(bytes);
    (Ok(true), before)
}

/// Joins neighbouring opcodes of the same value, among the five opcodes from `at` on.
fn join_values(bytes: &mut Vec<u8>, mut at: usize) {
    for _ in 0..5 {
        let Some(opcode) = Opcode::read(bytes, at) else { return };
        if let Opcode::Values { value, len } = opcode
            && let Some(Opcode::Values { value: next_value, len: next_len }) = Opcode::read(bytes, at + 1)
            && value == next_value
            && len + next_len <= VAL_LEN_MAX
        {
            bytes[at + 1] = Opcode::values(value, len + next_len);
            bytes.remove(at);
        } else {
            at += opcode.width();
        }
    }
}

/// Estimates the number of distinct elements. `histogram` has the number of registers with each value. (Otmar Ertl, "New cardinality
/// estimation algorithms for HyperLogLog sketches", arXiv:1702.01284)
///
/// In a damaged string most registers may be greater than any rank. The estimate is then infinite, or no 63-bit number, for which Redis replies
/// with the least negative number.
fn estimate(histogram: &[u32; 64]) -> Result<u64, Corrupted> {
    const ALPHA: f64 = 0.721_347_520_444_481_7;
    const RANKS: usize = RANK_BITS as usize;
    let of = |value: usize| f64::from(histogram[value]);
    let all = REGISTERS as f64;
    let mut z = all * tau((all - of(RANKS + 1)) / all);
    for value in (1..=RANKS).rev() {
        z += of(value);
        z *= 0.5;
    }
    z += all * sigma(of(0) / all);
    let count = (ALPHA * all * all / z).round();
    // The cached count has 63 bits, and so has the reply.
    if count < i64::MAX as f64 { Ok(count as u64) } else { Err(Corrupted) }
}

/// Ertl's function τ.
fn tau(mut x: f64) -> f64 {
    if x == 0.0 || x == 1.0 {
        return 0.0;
    }
    let (mut y, mut z) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = z;
        y *= 0.5;
        z -= (1.0 - x) * (1.0 - x) * y;
        if before == z {
            return z / 3.0;
        }
    }
}

/// Ertl's function σ.
fn sigma(mut x: f64) -> f64 {
    if x == 1.0 {
        return f64::INFINITY;
    }
    let (mut y, mut z) = (1.0, x);
    loop {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if before == z {
            return z;
        }
    }
}

/// MurmurHash64A with the seed of Redis's HyperLogLog.
#[inline]
fn murmur(bytes: &[u8]) -> u64 {
    const SEED: u64 = 0xadc8_3b19;
    const M: u64 = 0xc6a4_a793_5bd1_e995;
    const R: u32 = 47;
    let mut hash = SEED ^ (bytes.len() as u64).wrapping_mul(M);
    let (words, tail) = bytes.as_chunks::<8>();
    for word in words {
        let mut k = u64::from_le_bytes(*word).wrapping_mul(M);
        k = (k ^ k >> R).wrapping_mul(M);
        hash = (hash ^ k).wrapping_mul(M);
    }
    if !tail.is_empty() {
        let rest = tail.iter().rev().fold(0, |rest, byte| rest << 8 | u64::from(*byte));
        hash = (hash ^ rest).wrapping_mul(M);
    }
    hash = (hash ^ hash >> R).wrapping_mul(M);
    hash ^ hash >> R
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SPARSE_MAX: usize = 3000;

    /// Adds elements to a string and to separate registers, and compares the two.
    fn check(elements: impl IntoIterator<Item = Element>, sparse_bytes_max: usize) -> Vec<u8> {
        let (mut bytes, mut model) = (empty(), Registers::default());
        for element in elements {
            let register = &mut model.0[element.register];
            let raises = *register < element.rank;
            *register = (*register).max(element.rank);
            assert_eq!(add(&mut bytes, element, sparse_bytes_max), Ok(raises));
        }
        let view = HyperLogLog::new(&bytes).expect("a HyperLogLog");
        assert!(view.is_dense() || bytes.len() <= sparse_bytes_max.max(HEADER + 2));
        assert_eq!(view.registers().expect("the opcodes are valid").0, model.0);
        assert_eq!(view.count(), model.count());
        bytes
    }

    fn words(range: Range<u32>) -> impl Iterator<Item = Element> {
        range.map(|n| Element::new(n.to_string().as_bytes()))
    }

    #[test]
    fn hashes_are_murmur() {
        // The reply of Redis to PFDEBUG DECODE after PFADD of a, b and c.
        let bytes = check([b"a", b"b", b"c"].map(|word| Element::new(word)), SPARSE_MAX);
        let view = HyperLogLog::new(&bytes).expect("a HyperLogLog");
        assert_eq!(view.decoded(), "Z:8436 v:1,1 Z:4274 v:2,1 Z:3068 v:1,1 Z:603");
        assert_eq!(view.kept_count(), None);
        assert_eq!(HyperLogLog::new(&empty()).expect("a HyperLogLog").kept_count(), Some(0));
    }

    #[test]
    fn many_elements_make_the_string_dense_and_are_estimated() {
        let mut bytes = vec![];
        for count in [0, 1, 10, 100, 1000, 5000, 30_000, 200_000] {
            bytes = check(words(0..count), SPARSE_MAX);
            let counted = HyperLogLog::new(&bytes).expect("a HyperLogLog").count().expect("the opcodes are valid");
            assert!(counted.abs_diff(count.into()) <= u64::from(count) * 3 / 100, "{count}: {counted}");
        }
        assert_eq!(bytes.len(), DENSE_LEN);
    }

    #[test]
    fn a_rank_over_32_is_held_by_the_dense_form_only() {
        let element = |rank| Element { register: 7, rank };
        assert_eq!(check([element(32)], SPARSE_MAX).len(), HEADER + 4);
        assert_eq!(check([element(33)], SPARSE_MAX).len(), DENSE_LEN);
        assert_eq!(check([element(51)], 0).len(), DENSE_LEN);
    }

    #[test]
    fn other_strings_are_refused() {
        let with = |start: &[u8], len: usize| {
            let mut bytes = start.to_vec();
            bytes.resize(len, 0);
            bytes
        };
        for bytes in [with(b"", 0), with(b"HYLL", 15), with(b"HYLL", 20), with(b"hyll\x01", 20), with(b"HYLL\x02", 20)]
        {
            assert!(HyperLogLog::new(&bytes).is_none());
        }
        for bytes in [with(b"HYLL", DENSE_LEN), with(b"HYLL\x01", 16)] {
            assert!(HyperLogLog::new(&bytes).is_some());
        }
    }

    #[test]
    fn registers_that_no_elements_can_cause_are_not_estimated() {
        let filled = |value: u8, others: &[u8]| {
            let mut registers = Registers([value; REGISTERS]);
            registers.0[..others.len()].copy_from_slice(others);
            let mut bytes = empty();
            store(&mut bytes, &registers, true, SPARSE_MAX).expect("the string was empty");
            let count = HyperLogLog::new(&bytes).expect("a HyperLogLog").count();
            assert_eq!(count, registers.count());
            count
        };
        assert_eq!(filled(63, &[]), Err(Corrupted));
        assert_eq!(filled(52, &[]), Err(Corrupted));
        // The estimate would have 66 bits.
        assert_eq!(filled(63, &[38]), Err(Corrupted));
        // These are what Redis replies.
        assert_eq!(filled(63, &[1]), Ok(387_270_501));
        assert_eq!(filled(63, &[0; 8]), Ok(24_192_594));
    }

    fn elements() -> impl Strategy<Value = Vec<Element>> {
        // The elements have few different registers, so that runs are split and joined.
        let near = (0usize..40, 1u8..5);
        let far = (0usize..REGISTERS, 1u8..=51);
        let any = prop_oneof![8 => near, 1 => far];
        prop::collection::vec(any.prop_map(|(register, rank)| Element { register, rank }), 0..300)
    }

    proptest! {
        #[test]
        fn both_forms_hold_what_was_added(elements in elements(), sparse_bytes_max in 16usize..200) {
            check(elements, sparse_bytes_max);
        }

        #[test]
        fn merging_does_what_adding_does(a in elements(), b in elements(), sparse_bytes_max in 16usize..300) {
            let both = check(a.iter().chain(&b).copied(), sparse_bytes_max);
            let (mut a, b) = (check(a, sparse_bytes_max), check(b, sparse_bytes_max));
            let mut registers = Registers::default();
            let mut as_dense = false;
            for bytes in [&a, &b] {
                let view = HyperLogLog::new(bytes).expect("a HyperLogLog");
                registers.merge(view).expect("the opcodes are valid");
                as_dense |= view.is_dense();
            }
            // Redis merges so: each register is added by a walk from the beginning.
            let mut plain = a.clone();
            for (register, rank) in registers.iter().enumerate().filter(|(_, rank)| *rank > 0) {
                add(&mut plain, Element { register, rank }, sparse_bytes_max).expect("the opcodes are valid");
            }
            store(&mut a, &registers, as_dense, sparse_bytes_max).expect("the opcodes are valid");
            if !as_dense {
                outdate(&mut plain);
                prop_assert_eq!(&a, &plain);
            }
            let (merged, both) = (HyperLogLog::new(&a).expect("a HyperLogLog"), HyperLogLog::new(&both).expect("a HyperLogLog"));
            prop_assert!(merged.registers().expect("the opcodes are valid").0 == both.registers().expect("the opcodes are valid").0);
            prop_assert_eq!(merged.count(), registers.count());
        }

        #[test]
        fn any_bytes_are_walked_to_an_end(opcodes in prop::collection::vec(any::<u8>(), 0..100), word in "[a-z]{0,9}") {
            let mut bytes = empty();
            bytes.truncate(HEADER);
            bytes.extend(opcodes);
            let view = HyperLogLog::new(&bytes).expect("the header is that of a HyperLogLog");
            let is_valid = view.count().is_ok();
            view.decoded();
            prop_assert_eq!(view.registers().is_ok(), is_valid);
            prop_assert_eq!(make_dense(&mut bytes.clone()).is_ok(), is_valid);
            let added = add(&mut bytes, Element::new(word.as_bytes()), SPARSE_MAX);
            prop_assert!(added.is_ok() || !is_valid);
        }
    }
}
