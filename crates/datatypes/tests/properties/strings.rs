//! Properties of HyperLogLogs and bitmaps, as functions of arbitrary bytes.

use ochre_datatypes::{
    bits::{self, Field, Overflow},
    hyperloglog::{self, Element, HyperLogLog, Registers},
};

/// Arbitrary opcodes behind the header of a HyperLogLog are refused as corrupted by every function that walks them, or they are valid, and
/// then the sparse and the dense form hold the same elements. The first byte is the number of bytes of opcodes, and the second one the
/// limit of the sparse form. Then come the opcodes, and the elements.
pub fn hyperloglogs(data: &[u8]) {
    let [opcodes_len, sparse_bytes_max, rest @ ..] = data else { return };
    let (opcodes, elements) = rest.split_at(usize::from(*opcodes_len).min(rest.len()));
    let sparse_bytes_max = usize::from(*sparse_bytes_max);
    let mut bytes = hyperloglog::empty();
    if !opcodes.is_empty() {
        bytes.truncate(16);
        bytes.extend_from_slice(opcodes);
    }
    let view = HyperLogLog::new(&bytes).expect("the header is that of a HyperLogLog");
    view.decoded();
    let is_valid = view.count().is_ok();
    assert_eq!(view.registers().is_ok(), is_valid);
    assert_eq!(hyperloglog::make_dense(&mut bytes.clone()).is_ok(), is_valid);
    if !is_valid {
        for element in elements.chunks(3) {
            let _ = hyperloglog::add(&mut bytes, Element::new(element), sparse_bytes_max);
        }
        return;
    }

    // The same elements are added to a dense string, which has no opcodes.
    let mut dense = bytes.clone();
    hyperloglog::make_dense(&mut dense).expect("the opcodes are valid");
    for element in elements.chunks(3).map(Element::new) {
        let raised = hyperloglog::add(&mut bytes, element, sparse_bytes_max).expect("the opcodes are valid");
        assert_eq!(raised, hyperloglog::add_dense(&mut dense, element));
    }
    let [view, dense_view] =
        [&bytes, &dense].map(|bytes| HyperLogLog::new(bytes).expect("the string stays a HyperLogLog"));
    assert!(view.registers() == dense_view.registers());
    assert_eq!(view.count(), dense_view.count());

    // The registers are the same after a merge into an empty string, in both forms.
    let mut registers = Registers::default();
    registers.merge(view).expect("the opcodes are valid");
    for as_dense in [false, true] {
        let mut merged = hyperloglog::empty();
        hyperloglog::store(&mut merged, &registers, as_dense, sparse_bytes_max).expect("an empty string is valid");
        let merged = HyperLogLog::new(&merged).expect("the string stays a HyperLogLog");
        assert!(merged.registers() == view.registers());
    }
}

/// A field holds the value that was stored, and no other bit changes. The first byte is the width and the signedness of the field, the
/// second one its offset, the next eight are a value, and the rest is the string.
pub fn bit_fields(data: &[u8]) {
    let [kind, offset, rest @ ..] = data else { return };
    let Some((value, string)) = rest.split_first_chunk::<8>() else { return };
    let value = i64::from_le_bytes(*value);
    let (signed, width) = (kind & 64 != 0, u64::from(kind & 63).max(1));
    let name = format!("{}{width}", if signed { 'i' } else { 'u' });
    let field = Field::parse(name.as_bytes()).expect("the name of a field's type");
    let offset = u64::from(*offset);
    let mut bytes = string.to_vec();
    assert_eq!(field.get(&bytes, offset), bit_by_bit(&bytes, offset, width, signed));
    bits::grow(&mut bytes, (offset + width).div_ceil(8) as usize);
    let before = bytes.clone();
    for overflow in [Overflow::Wrap, Overflow::Saturate, Overflow::Fail] {
        let Some(stored) = field.fit(value, overflow) else { continue };
        field.set(&mut bytes, offset, stored);
        assert_eq!(field.get(&bytes, offset), stored);
        assert_eq!(bit_by_bit(&bytes, offset, width, signed), stored);
    }
    let end = bytes.len() as u64 * 8;
    for outside in (0..offset).chain(offset + width..end) {
        assert_eq!(bits::get(&bytes, outside), bits::get(&before, outside));
    }
    let (from, until) = (offset.min(end), (offset + width).min(end));
    let set = (from..until).filter(|bit| bits::get(&bytes, *bit)).count() as u64;
    assert_eq!(bits::count(&bytes, from..until), set);
    let first = (from..until).find(|bit| bits::get(&bytes, *bit));
    assert_eq!(bits::position(&bytes, true, from..until), first);
}

fn bit_by_bit(bytes: &[u8], offset: u64, width: u64, signed: bool) -> i64 {
    let value = (offset..offset + width).fold(0, |value, bit| value << 1 | i64::from(bits::get(bytes, bit)));
    let unused = 64 - width;
    if signed { value << unused >> unused } else { value }
}
