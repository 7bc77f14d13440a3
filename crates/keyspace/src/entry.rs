//! An entry: one key, its value and its expiry in one allocation.
//!
//! ```text
//!  0      1       2        5                 (8 bytes)     1 or 4      …          …
//! ┌──────┬───────┬────────┬─────────────────┬─────────────┬───────────┬──────────┬───────────────────────────────┐
//! │ kind │ flags │ access │ expiry, if any  │ key length  │ key       │ value                                    │
//! └──────┴───────┴────────┴─────────────────┴─────────────┴───────────┴──────────────────────────────────────────┘
//!   kind    how the value is stored: see `Kind`
//!   flags   EXPIRES, LONG_KEY, LONG_VALUE (a length takes 4 bytes instead of 1), RAW (OBJECT ENCODING says raw)
//!   access  24 bits, little-endian: the LRU clock, or LFU's 16 bits of minutes and 8 of counter, as Redis has them
//!   expiry  64 bits, little-endian: milliseconds since 1970
//!   value   Integer: 8 bytes, little-endian
//!           Inline:  its length in 1 or 4 bytes, then the bytes
//!           Heap:    8 bytes, the address of a `Vec<u8>` of its own
//! ```
//!
//! A key of 16 bytes with a value of 64 takes 87 bytes, with an expiry 95: one block of 96 either way. Blocks are asked for in the
//! allocator's size classes, so that a value that still fits its block is overwritten in place.

use std::{
    alloc::{Layout, alloc, dealloc, handle_alloc_error},
    fmt,
    marker::PhantomData,
    ptr::{self, NonNull},
};

use ochre_datatypes::{Encoding, ValueType};

/// The longest value that lies inside the entry; a longer one has an allocation of its own that can grow in place.
const INLINE_VALUE_MAX: usize = 4096;
/// A value that was made longer (APPEND, SETRANGE) moves out of the entry beyond this length, so that appending stays O(1) amortised.
const INLINE_GROWN_MAX: usize = 512;
/// Freeing a value of this size may take the allocator long: it is done where it holds nobody up.
const HEAVY_VALUE_MIN: usize = 64 * 1024;
/// OBJECT ENCODING says embstr where key and value together are this long at most: what fits beside Redis 8.2's header into 64 bytes.
const EMBSTR_LEN_MAX: usize = 41;
/// A key of this length at least leaves room for its expiry in any case (Redis 8.2: `kvobjSet`).
const EMBSTR_KEY_WITH_EXPIRY_MIN: usize = 32;

const KIND: usize = 0;
const FLAGS: usize = 1;
const ACCESS: usize = 2;
const HEADER: usize = 5;
const EXPIRY_LEN: usize = 8;

const EXPIRES: u8 = 1;
const LONG_KEY: u8 = 1 << 1;
const LONG_VALUE: u8 = 1 << 2;
const RAW: u8 = 1 << 3;

/// How an entry stores its value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
enum Kind {
    Integer = 1,
    Inline = 2,
    Heap = 3,
}

/// A value to be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewValue<'a> {
    Integer(i64),
    Bytes(&'a [u8]),
}

impl<'a> NewValue<'a> {
    /// The value for a client's bytes: an integer where the bytes are exactly how that integer is written.
    pub fn from_bytes(bytes: &'a [u8]) -> NewValue<'a> {
        // 20 characters hold every i64; longer strings need no look.
        match if bytes.len() <= 20 { ochre_datatypes::number::parse_i64(bytes) } else { None } {
            Some(integer) => NewValue::Integer(integer),
            None => NewValue::Bytes(bytes),
        }
    }
}

/// A stored value, to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueRef<'a> {
    Integer(i64),
    Bytes(&'a [u8]),
}

impl<'a> ValueRef<'a> {
    /// The value as a client sees it; an integer is written into `scratch`.
    pub fn as_bytes<'s>(self, scratch: &'s mut itoa::Buffer) -> &'s [u8]
    where
        'a: 's,
    {
        match self {
            ValueRef::Integer(integer) => scratch.format(integer).as_bytes(),
            ValueRef::Bytes(bytes) => bytes,
        }
    }

    /// The length of [`ValueRef::as_bytes`].
    pub fn len(self) -> usize {
        match self {
            ValueRef::Integer(integer) => itoa::Buffer::new().format(integer).len(),
            ValueRef::Bytes(bytes) => bytes.len(),
        }
    }

    /// Whether it is the empty string.
    pub fn is_empty(self) -> bool {
        self == ValueRef::Bytes(b"")
    }
}

/// The size of the block that holds `size` bytes: jemalloc's size classes (four to a doubling, multiples of 16 below 128).
pub(crate) fn size_class(size: usize) -> usize {
    if size <= 128 {
        return size.max(1).next_multiple_of(16);
    }
    let step = 1 << ((size - 1).ilog2() - 2);
    size.next_multiple_of(step)
}

/// An owned entry.
#[repr(transparent)]
pub struct Entry {
    block: NonNull<u8>,
}

// SAFETY: an entry owns its block and its heap value alone, and has no interior mutability without a lock (see `EntryRef::touch`).
unsafe impl Send for Entry {}

/// A borrowed entry.
#[derive(Clone, Copy)]
pub struct EntryRef<'a> {
    block: NonNull<u8>,
    borrow: PhantomData<&'a Entry>,
}

/// The shape of an entry to be built: what decides its size.
struct Shape {
    key_len: usize,
    expires: bool,
    kind: Kind,
    inline_len: usize,
}

impl Shape {
    fn key_length_len(&self) -> usize {
        if self.key_len > u8::MAX as usize { 4 } else { 1 }
    }

    fn value_length_len(&self) -> usize {
        if self.inline_len > u8::MAX as usize { 4 } else { 1 }
    }

    fn size(&self) -> usize {
        let value = match self.kind {
            Kind::Inline => self.value_length_len() + self.inline_len,
            Kind::Integer | Kind::Heap => 8,
        };
        HEADER + if self.expires { EXPIRY_LEN } else { 0 } + self.key_length_len() + self.key_len + value
    }
}

impl Entry {
    /// A new entry. `expiry_ms` is in milliseconds since 1970; `access` has 24 bits.
    pub fn new(key: &[u8], value: NewValue<'_>, expiry_ms: Option<i64>, access: u32) -> Entry {
        match value {
            NewValue::Integer(integer) => {
                Entry::build(key, Kind::Integer, &integer.to_le_bytes(), expiry_ms, access, 0)
            }
            NewValue::Bytes(bytes) if bytes.len() <= INLINE_VALUE_MAX => {
                Entry::build(key, Kind::Inline, bytes, expiry_ms, access, 0)
            }
            NewValue::Bytes(bytes) => Entry::with_heap(key, bytes.to_vec(), expiry_ms, access),
        }
    }

    /// A new entry whose value was built by a modification: OBJECT ENCODING calls it raw however short it is, as Redis does.
    pub fn with_vec(key: &[u8], value: Vec<u8>, expiry_ms: Option<i64>, access: u32) -> Entry {
        if value.len() <= INLINE_GROWN_MAX {
            Entry::build(key, Kind::Inline, &value, expiry_ms, access, RAW)
        } else {
            Entry::with_heap(key, value, expiry_ms, access)
        }
    }

    fn with_heap(key: &[u8], value: Vec<u8>, expiry_ms: Option<i64>, access: u32) -> Entry {
        let address = Box::into_raw(Box::new(value)) as u64;
        Entry::build(key, Kind::Heap, &address.to_le_bytes(), expiry_ms, access, RAW)
    }

    fn build(key: &[u8], kind: Kind, value: &[u8], expiry_ms: Option<i64>, access: u32, flags: u8) -> Entry {
        assert!(key.len() <= u32::MAX as usize, "the protocol's limits keep keys below 4 GiB");
        let shape = Shape { key_len: key.len(), expires: expiry_ms.is_some(), kind, inline_len: value.len() };
        let layout = block_layout(shape.size());
        // SAFETY: the layout is never of size zero.
        let Some(block) = NonNull::new(unsafe { alloc(layout) }) else { handle_alloc_error(layout) };
        // SAFETY: the block is ours, and has room for the shape whose fields are written here.
        unsafe { write_entry(block, &shape, key, value, expiry_ms, access, flags) };
        Entry { block }
    }

    /// A view of it.
    #[inline]
    pub fn view(&self) -> EntryRef<'_> {
        EntryRef { block: self.block, borrow: PhantomData }
    }

    /// The same value and expiry under another key.
    pub fn renamed(self, key: &[u8]) -> Entry {
        let view = self.view();
        let (expiry_ms, access) = (view.expiry_ms(), view.access());
        match view.kind() {
            Kind::Heap => {
                let value = view.heap_address();
                let renamed = Entry::build(key, Kind::Heap, &value.to_le_bytes(), expiry_ms, access, RAW);
                self.free_block();
                renamed
            }
            kind => Entry::build(key, kind, view.stored_bytes(), expiry_ms, access, view.flags() & RAW),
        }
    }

    /// A copy of the value and expiry under another key.
    pub fn duplicate(view: EntryRef<'_>, key: &[u8]) -> Entry {
        let (expiry_ms, access) = (view.expiry_ms(), view.access());
        match view.kind() {
            Kind::Heap => Entry::with_heap(key, view.heap().to_vec(), expiry_ms, access),
            kind => Entry::build(key, kind, view.stored_bytes(), expiry_ms, access, view.flags() & RAW),
        }
    }

    /// Puts another value in its place, in the same block where it fits. The access clock stays.
    pub fn set(&mut self, value: NewValue<'_>, expiry_ms: Option<i64>) {
        let view = self.view();
        let (kind, integer, bytes);
        match value {
            NewValue::Integer(n) => {
                integer = n.to_le_bytes();
                (kind, bytes) = (Kind::Integer, &integer[..]);
            }
            NewValue::Bytes(b) => (kind, bytes) = (Kind::Inline, b),
        }
        let shape = Shape { key_len: view.key().len(), expires: expiry_ms.is_some(), kind, inline_len: bytes.len() };
        let fits = bytes.len() <= INLINE_VALUE_MAX
            && view.kind() != Kind::Heap
            && shape.expires == view.expiry_ms().is_some()
            && size_class(shape.size()) == size_class(view.block_size());
        if fits {
            // SAFETY: the block has room for the shape (same size class), whose fields up to the key stay where they are because the
            // key and the presence of an expiry are the same; the new value does not alias the block, which is borrowed mutably.
            unsafe { overwrite_value(self.block, &shape, bytes, expiry_ms, 0) };
        } else {
            *self = Entry::new(view.key(), value, expiry_ms, view.access());
        }
    }

    /// Sets or takes away the expiry.
    pub fn set_expiry(&mut self, expiry_ms: Option<i64>) {
        let view = self.view();
        match (view.expiry_ms(), expiry_ms) {
            (None, None) => {}
            (Some(_), Some(new)) => {
                // SAFETY: the entry has an expiry field, and is borrowed mutably.
                unsafe { write_expiry(self.block, new) };
            }
            _ => {
                let flags = view.flags() & RAW;
                let access = view.access();
                let rebuilt = match view.kind() {
                    Kind::Heap => {
                        let address = view.heap_address().to_le_bytes();
                        Entry::build(view.key(), Kind::Heap, &address, expiry_ms, access, flags)
                    }
                    kind => Entry::build(view.key(), kind, view.stored_bytes(), expiry_ms, access, flags),
                };
                std::mem::replace(self, rebuilt).free_block();
            }
        }
    }

    /// Changes the value's bytes by `change`, as APPEND and SETRANGE do. The vector may grow without being copied each time.
    pub fn modify<R>(&mut self, change: impl FnOnce(&mut Vec<u8>) -> R) -> R {
        let view = self.view();
        if view.kind() == Kind::Heap {
            // SAFETY: a heap entry owns its vector, and is borrowed mutably.
            return change(unsafe { &mut *(view.heap_address() as *mut Vec<u8>) });
        }
        let mut value = view.value().as_bytes(&mut itoa::Buffer::new()).to_vec();
        let result = change(&mut value);
        *self = Entry::with_vec(view.key(), value, view.expiry_ms(), view.access());
        result
    }

    /// Whether freeing it takes long.
    #[inline]
    pub fn is_heavy(&self) -> bool {
        let view = self.view();
        view.kind() == Kind::Heap && view.heap().capacity() >= HEAVY_VALUE_MIN
    }

    /// Its block's address, giving up ownership.
    pub(crate) fn into_block(self) -> NonNull<u8> {
        let block = self.block;
        std::mem::forget(self);
        block
    }

    /// Takes ownership back.
    ///
    /// # Safety
    /// `block` came from [`Entry::into_block`], and is owned by nobody else.
    pub(crate) unsafe fn from_block(block: NonNull<u8>) -> Entry {
        Entry { block }
    }

    /// Frees the block only: the heap value now belongs to another entry.
    fn free_block(self) {
        let layout = block_layout(self.view().block_size());
        // SAFETY: the block was allocated with the layout of its size, and nothing uses it after this.
        unsafe { dealloc(self.block.as_ptr(), layout) };
        std::mem::forget(self);
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let view = self.view();
        let layout = block_layout(view.block_size());
        if view.kind() == Kind::Heap {
            // SAFETY: the entry owns its vector, which was boxed by `with_heap`.
            drop(unsafe { Box::from_raw(view.heap_address() as *mut Vec<u8>) });
        }
        // SAFETY: the block was allocated with the layout of its size, and nothing uses it after this.
        unsafe { dealloc(self.block.as_ptr(), layout) };
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.view().fmt(f)
    }
}

impl fmt::Debug for EntryRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("key", &self.key())
            .field("value", &self.value())
            .field("expiry_ms", &self.expiry_ms())
            .finish()
    }
}

impl<'a> EntryRef<'a> {
    /// # Safety
    /// `block` is an entry's block that lives, and is not written to, for `'a` (but for its access clock).
    #[inline]
    pub(crate) unsafe fn from_block(block: NonNull<u8>) -> EntryRef<'a> {
        EntryRef { block, borrow: PhantomData }
    }

    /// The same view for a lifetime of the caller's choice.
    ///
    /// # Safety
    /// The entry lives, and is not written to, for as long (but for its access clock).
    #[inline]
    pub(crate) unsafe fn detached<'b>(self) -> EntryRef<'b> {
        EntryRef { block: self.block, borrow: PhantomData }
    }

    #[inline]
    fn byte(self, at: usize) -> u8 {
        debug_assert!(at < HEADER + EXPIRY_LEN);
        // SAFETY: every block has 16 bytes at least.
        unsafe { *self.block.as_ptr().add(at) }
    }

    /// The `N` bytes at `at`.
    ///
    /// # Safety
    /// They lie inside the entry.
    #[inline]
    unsafe fn read<const N: usize>(self, at: usize) -> [u8; N] {
        // SAFETY: the caller's promise; a byte array has no alignment.
        unsafe { self.block.as_ptr().add(at).cast::<[u8; N]>().read() }
    }

    #[inline]
    fn flags(self) -> u8 {
        self.byte(FLAGS)
    }

    #[inline]
    fn kind(self) -> Kind {
        match self.byte(KIND) {
            1 => Kind::Integer,
            2 => Kind::Inline,
            3 => Kind::Heap,
            other => unreachable!("an entry of kind {other}"),
        }
    }

    /// Where the key lies in the block, and its length.
    #[inline]
    fn key_span(self) -> (usize, usize) {
        let flags = self.flags();
        let at = HEADER + if flags & EXPIRES != 0 { EXPIRY_LEN } else { 0 };
        if flags & LONG_KEY == 0 {
            // SAFETY: an entry without LONG_KEY has its key's length in the one byte here.
            (at + 1, unsafe { self.read::<1>(at) }[0] as usize)
        } else {
            // SAFETY: an entry with LONG_KEY has its key's length in the four bytes here.
            (at + 4, u32::from_le_bytes(unsafe { self.read(at) }) as usize)
        }
    }

    /// Where the value's stored bytes lie (after an inline value's length), and how many they are.
    #[inline]
    fn value_span(self) -> (usize, usize) {
        let (key_at, key_len) = self.key_span();
        let at = key_at + key_len;
        match self.kind() {
            Kind::Integer | Kind::Heap => (at, 8),
            Kind::Inline if self.flags() & LONG_VALUE == 0 => {
                // SAFETY: an inline value without LONG_VALUE has its length in the one byte here.
                (at + 1, unsafe { self.read::<1>(at) }[0] as usize)
            }
            Kind::Inline => {
                // SAFETY: an inline value with LONG_VALUE has its length in the four bytes here.
                (at + 4, u32::from_le_bytes(unsafe { self.read(at) }) as usize)
            }
        }
    }

    /// The bytes of the value as stored.
    #[inline]
    fn stored_bytes(self) -> &'a [u8] {
        let (at, len) = self.value_span();
        // SAFETY: the span lies inside the block, which lives and is not written to for 'a.
        unsafe { std::slice::from_raw_parts(self.block.as_ptr().add(at), len) }
    }

    fn block_size(self) -> usize {
        let (at, len) = self.value_span();
        at + len
    }

    fn heap_address(self) -> u64 {
        debug_assert_eq!(self.kind(), Kind::Heap);
        u64::from_le_bytes(self.stored_bytes().try_into().expect("a heap value is an address of eight bytes"))
    }

    fn heap(self) -> &'a Vec<u8> {
        // SAFETY: a heap entry owns the vector at this address, and is borrowed for 'a.
        unsafe { &*(self.heap_address() as *const Vec<u8>) }
    }

    /// The key.
    #[inline]
    pub fn key(self) -> &'a [u8] {
        let (at, len) = self.key_span();
        // SAFETY: the span lies inside the block, which lives and is not written to for 'a.
        unsafe { std::slice::from_raw_parts(self.block.as_ptr().add(at), len) }
    }

    /// When it expires, in milliseconds since 1970.
    #[inline]
    pub fn expiry_ms(self) -> Option<i64> {
        if self.flags() & EXPIRES == 0 {
            return None;
        }
        // SAFETY: an entry with EXPIRES has the expiry's eight bytes after the header.
        Some(i64::from_le_bytes(unsafe { self.read::<EXPIRY_LEN>(HEADER) }))
    }

    /// Whether its time has come. A key lives up to its last millisecond and is gone after it (Redis: `now > when`).
    #[inline]
    pub fn is_expired(self, now_ms: i64) -> bool {
        self.expiry_ms().is_some_and(|expiry_ms| now_ms > expiry_ms)
    }

    /// What TYPE says.
    pub fn value_type(self) -> ValueType {
        match self.kind() {
            Kind::Integer | Kind::Inline | Kind::Heap => ValueType::String,
        }
    }

    /// What OBJECT ENCODING says.
    pub fn encoding(self) -> Encoding {
        match self.kind() {
            Kind::Integer => Encoding::Int,
            Kind::Heap => Encoding::Raw,
            Kind::Inline if self.flags() & RAW == 0 && self.is_short() => Encoding::Embstr,
            Kind::Inline => Encoding::Raw,
        }
    }

    /// Whether key, value and expiry would lie in one block on Redis.
    fn is_short(self) -> bool {
        let (key_len, value_len) = (self.key_span().1, self.value_span().1);
        let expiry_len =
            if self.expiry_ms().is_some() && key_len < EMBSTR_KEY_WITH_EXPIRY_MIN { EXPIRY_LEN } else { 0 };
        key_len + value_len + expiry_len <= EMBSTR_LEN_MAX
    }

    /// The value.
    #[inline]
    pub fn value(self) -> ValueRef<'a> {
        match self.kind() {
            Kind::Integer => ValueRef::Integer(i64::from_le_bytes(
                self.stored_bytes().try_into().expect("an integer is stored in eight bytes"),
            )),
            Kind::Inline => ValueRef::Bytes(self.stored_bytes()),
            Kind::Heap => ValueRef::Bytes(self.heap()),
        }
    }

    /// The 24 bits of the access clock.
    #[inline]
    pub fn access(self) -> u32 {
        let [a, b, c] = [self.byte(ACCESS), self.byte(ACCESS + 1), self.byte(ACCESS + 2)];
        u32::from_le_bytes([a, b, c, 0])
    }

    /// Sets the access clock, which alone of an entry may change under a borrow.
    ///
    /// # Safety
    /// The caller holds the lock of the entry's shard.
    #[inline]
    pub(crate) unsafe fn touch(self, access: u32) {
        let bytes = access.to_le_bytes();
        for (i, byte) in bytes[..3].iter().enumerate() {
            // SAFETY: the header lies inside the block; the lock keeps other threads out, and no reference covers these bytes.
            unsafe { self.block.as_ptr().add(ACCESS + i).write(*byte) };
        }
    }

    /// The bytes that it takes: its block, and its heap value.
    pub fn memory_usage(self) -> usize {
        let heap = match self.kind() {
            Kind::Heap => size_of::<Vec<u8>>() + size_class(self.heap().capacity().max(1)),
            Kind::Integer | Kind::Inline => 0,
        };
        size_class(self.block_size()) + heap
    }
}

fn block_layout(size: usize) -> Layout {
    Layout::from_size_align(size_class(size), 16).expect("an entry is far smaller than the address space")
}

/// # Safety
/// `block` has room for `shape` and is not shared; `value` has the length that the shape says.
unsafe fn write_entry(
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
    // SAFETY: every write lies inside the shape's size, field after field as in the picture above.
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

/// Writes everything that a new value changes: kind, the flags of the value, expiry, value.
///
/// # Safety
/// As for [`write_entry`]; the key is in place, and the entry's flags say EXPIRES as the shape does.
unsafe fn overwrite_value(block: NonNull<u8>, shape: &Shape, value: &[u8], expiry_ms: Option<i64>, raw: u8) {
    let base = block.as_ptr();
    let long_value = shape.kind == Kind::Inline && shape.value_length_len() == 4;
    let mut at = HEADER + if shape.expires { EXPIRY_LEN } else { 0 } + shape.key_length_len() + shape.key_len;
    // SAFETY: every write lies inside the shape's size, and `value` is not part of the block.
    unsafe {
        base.add(KIND).write(shape.kind as u8);
        let flags = base.add(FLAGS).read() & !(LONG_VALUE | RAW);
        base.add(FLAGS).write(flags | raw | if long_value { LONG_VALUE } else { 0 });
        if let Some(expiry_ms) = expiry_ms {
            write_expiry(block, expiry_ms);
        }
        if shape.kind == Kind::Inline {
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

/// # Safety
/// The entry has an expiry field and is not shared.
unsafe fn write_expiry(block: NonNull<u8>, expiry_ms: i64) {
    // SAFETY: the field's eight bytes follow the header.
    unsafe { ptr::copy_nonoverlapping(expiry_ms.to_le_bytes().as_ptr(), block.as_ptr().add(HEADER), EXPIRY_LEN) };
}
