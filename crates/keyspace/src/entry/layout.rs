//! The layout of an entry's block: where its fields lie, and how they are written.

use std::{
    alloc::Layout,
    ptr::{self, NonNull},
};

use ochre_datatypes::{ValueType, allocation::size_class};

// Where the fields lie in the block.
pub(super) const KIND: usize = 0;
pub(super) const FLAGS: usize = 1;
pub(super) const ACCESS: usize = 2;
pub(super) const HEADER: usize = 5;
pub(super) const EXPIRY_LEN: usize = 8;

// The flags.
pub(super) const EXPIRES: u8 = 1;
pub(super) const LONG_KEY: u8 = 1 << 1;
pub(super) const LONG_VALUE: u8 = 1 << 2;
pub(super) const RAW: u8 = 1 << 3;
pub(super) const EPOCH: u8 = 1 << 4;

/// How an entry stores its value; the three low bits of the kind's byte. The forms are listed at the top of the file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(super) enum Kind {
    Integer = 1,
    Inline = 2,
    Heap = 3,
    Packed = 4,
    Boxed = 5,
}

impl Kind {
    /// Returns whether the stored value is the address of an allocation that the entry owns.
    pub(super) fn is_address(self) -> bool {
        matches!(self, Kind::Heap | Kind::Boxed)
    }
}

/// Returns the upper bits of the kind's byte for a collection: three bits for its type, above them two for its form.
pub(super) fn collection_bits(value_type: ValueType, form: u8) -> u8 {
    debug_assert!(form < 4, "a form takes two bits");
    let index = ValueType::ALL.iter().position(|&it| it == value_type).expect("ValueType::ALL lists every type");
    (index as u8) << 3 | form << 6
}

/// A value as it is stored.
#[derive(Clone, Copy)]
pub(super) struct Stored<'v> {
    pub(super) kind: Kind,
    /// The type and the form of a collection, as in the kind's byte; zero for strings.
    pub(super) collection: u8,
    /// The stored bytes without their length; of a value outside of the block, its address.
    pub(super) bytes: &'v [u8],
}

impl<'v> Stored<'v> {
    pub(super) fn string(kind: Kind, bytes: &'v [u8]) -> Stored<'v> {
        Stored { kind, collection: 0, bytes }
    }
}

/// What determines the layout of an entry.
pub(super) struct Shape {
    pub(super) key_len: usize,
    pub(super) expires: bool,
    pub(super) kind: Kind,
    /// As in [`Stored`].
    pub(super) collection: u8,
    /// The length of the stored bytes.
    pub(super) inline_len: usize,
}

impl Shape {
    /// Returns how many bytes the length of the key takes.
    pub(super) fn key_length_len(&self) -> usize {
        if self.key_len > u8::MAX as usize { 4 } else { 1 }
    }

    /// Returns how many bytes the length of an inline value takes.
    pub(super) fn value_length_len(&self) -> usize {
        if self.inline_len > u8::MAX as usize { 4 } else { 1 }
    }

    /// Returns the size of the entry in bytes.
    pub(super) fn size(&self) -> usize {
        let value = match self.kind {
            Kind::Inline | Kind::Packed => self.value_length_len() + self.inline_len,
            Kind::Integer | Kind::Heap | Kind::Boxed => 8,
        };
        HEADER + if self.expires { EXPIRY_LEN } else { 0 } + self.key_length_len() + self.key_len + value
    }
}

/// Returns the layout of the block of an entry with this size.
pub(super) fn block_layout(size: usize) -> Layout {
    Layout::from_size_align(size_class(size), 16).expect("the size of an entry is far below isize::MAX")
}

/// Writes an entry into a new block.
///
/// # Safety
/// `block` has room for `shape` and is not shared. Key and value have the lengths that the shape says.
pub(super) unsafe fn write_entry(
    block: NonNull<u8>,
    shape: &Shape,
    key: &[u8],
    value: &[u8],
    expiry_ms: Option<i64>,
    access: u32,
    flags: u8,
) {
    let base = block.as_ptr();
    let flags =
        flags | if shape.expires { EXPIRES } else { 0 } | if shape.key_length_len() == 4 { LONG_KEY } else { 0 };
    // SAFETY: every write lies inside the size of the shape, field after field as shown at the top of the file.
    unsafe {
        base.add(FLAGS).write(flags);
        ptr::copy_nonoverlapping(access.to_le_bytes().as_ptr(), base.add(ACCESS), 3);
        let mut at = HEADER + if shape.expires { EXPIRY_LEN } else { 0 };
        ptr::copy_nonoverlapping((key.len() as u32).to_le_bytes().as_ptr(), base.add(at), shape.key_length_len());
        at += shape.key_length_len();
        ptr::copy_nonoverlapping(key.as_ptr(), base.add(at), key.len());
        overwrite_value(block, shape, value, expiry_ms, flags & RAW);
    }
}

/// Writes the fields that depend on the value: its kind, its flags, the expiry, and the value itself.
///
/// # Safety
/// As for [`write_entry`]. The key is written already, and the flag EXPIRES is the shape's.
pub(super) unsafe fn overwrite_value(block: NonNull<u8>, shape: &Shape, value: &[u8], expiry_ms: Option<i64>, raw: u8) {
    let base = block.as_ptr();
    let is_inline = matches!(shape.kind, Kind::Inline | Kind::Packed);
    let long_value = is_inline && shape.value_length_len() == 4;
    let mut at = HEADER + if shape.expires { EXPIRY_LEN } else { 0 } + shape.key_length_len() + shape.key_len;
    // SAFETY: every write lies inside the size of the shape, and `value` is not part of the block.
    unsafe {
        base.add(KIND).write(shape.kind as u8 | shape.collection);
        let flags = base.add(FLAGS).read() & !(LONG_VALUE | RAW);
        base.add(FLAGS).write(flags | raw | if long_value { LONG_VALUE } else { 0 });
        if let Some(expiry_ms) = expiry_ms {
            write_expiry(block, expiry_ms);
        }
        if is_inline {
            ptr::copy_nonoverlapping(
                (value.len() as u32).to_le_bytes().as_ptr(),
                base.add(at),
                shape.value_length_len(),
            );
            at += shape.value_length_len();
        }
        ptr::copy_nonoverlapping(value.as_ptr(), base.add(at), value.len());
    }
}

/// Writes the expiry of an entry.
///
/// # Safety
/// The entry has an expiry field and is not shared.
pub(super) unsafe fn write_expiry(block: NonNull<u8>, expiry_ms: i64) {
    // SAFETY: the eight bytes behind the header are the expiry.
    unsafe { ptr::copy_nonoverlapping(expiry_ms.to_le_bytes().as_ptr(), block.as_ptr().add(HEADER), EXPIRY_LEN) };
}
