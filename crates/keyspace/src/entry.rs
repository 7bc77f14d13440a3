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
//!           Packed:  a collection in one run of bytes: as Inline; its type and form are in the upper bits of `kind`
//!           Boxed:   8 bytes, the address of an `AnyCollection` of its own
//! ```
//!
//! A key of 16 bytes with a value of 64 takes 87 bytes, with an expiry 95: one block of 96 either way. Blocks are asked for in the
//! allocator's size classes, so that a value that still fits its block is overwritten in place.

use std::{
    alloc::{Layout, alloc, dealloc, handle_alloc_error},
    cell::Cell,
    fmt,
    marker::PhantomData,
    ptr::{self, NonNull},
};

use ochre_datatypes::{
    AnyCollection, Collection, ElementPrefetch, Encoding, ValueType, WrongType,
    allocation::size_class,
    hash::{Hash, HashView},
    packed_encoding, prefetch,
};

/// The longest value that lies inside the entry; a longer one has an allocation of its own that can grow in place.
const INLINE_VALUE_MAX: usize = 4096;
/// A value that was made longer (APPEND, SETRANGE) moves out of the entry beyond this length, so that appending stays O(1) amortised.
const INLINE_GROWN_MAX: usize = 512;
/// The longest packed collection that lies inside the entry: an edit copies it out and back, which is cheaper than a second cache miss
/// only while it is short.
const INLINE_PACKED_MAX: usize = 512;
/// A collection of its own moves back into the entry when it is this short, which leaves it room to grow before it moves again.
const INLINE_PACKED_AGAIN_MAX: usize = 256;
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

/// How an entry stores its value: the three low bits of its byte.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
enum Kind {
    Integer = 1,
    Inline = 2,
    Heap = 3,
    Packed = 4,
    Boxed = 5,
}

impl Kind {
    /// Whether its value is the address of something that the entry owns.
    fn is_address(self) -> bool {
        matches!(self, Kind::Heap | Kind::Boxed)
    }
}

/// The type and the form of a collection in the kind's byte: three bits and two.
fn collection_bits(value_type: ValueType, form: u8) -> u8 {
    debug_assert!(form < 4, "a form takes two bits");
    let index = ValueType::ALL.iter().position(|&it| it == value_type).expect("all types are listed");
    (index as u8) << 3 | form << 6
}

thread_local! {
    /// Where short values are edited.
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}
/// The scratch is given up beyond this size.
const SCRATCH_BYTES_MAX: usize = 64 * 1024;

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

/// What an entry stores of its value: how, and the bytes, an address among them.
#[derive(Clone, Copy)]
struct Stored<'v> {
    kind: Kind,
    /// A collection's type and form, as they stand in the kind's byte; zero for strings.
    collection: u8,
    bytes: &'v [u8],
}

impl<'v> Stored<'v> {
    fn string(kind: Kind, bytes: &'v [u8]) -> Stored<'v> {
        Stored { kind, collection: 0, bytes }
    }
}

/// The shape of an entry to be built: what decides its size.
struct Shape {
    key_len: usize,
    expires: bool,
    kind: Kind,
    collection: u8,
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
            Kind::Inline | Kind::Packed => self.value_length_len() + self.inline_len,
            Kind::Integer | Kind::Heap | Kind::Boxed => 8,
        };
        HEADER + if self.expires { EXPIRY_LEN } else { 0 } + self.key_length_len() + self.key_len + value
    }
}

impl Entry {
    /// A new entry. `expiry_ms` is in milliseconds since 1970; `access` has 24 bits.
    pub fn new(key: &[u8], value: NewValue<'_>, expiry_ms: Option<i64>, access: u32) -> Entry {
        match value {
            NewValue::Integer(integer) => {
                Entry::build(key, Stored::string(Kind::Integer, &integer.to_le_bytes()), expiry_ms, access, 0)
            }
            NewValue::Bytes(bytes) if bytes.len() <= INLINE_VALUE_MAX => {
                Entry::build(key, Stored::string(Kind::Inline, bytes), expiry_ms, access, 0)
            }
            NewValue::Bytes(bytes) => Entry::with_heap(key, bytes.to_vec(), expiry_ms, access),
        }
    }

    /// A new entry whose value was built by a modification: OBJECT ENCODING calls it raw however short it is, as Redis does.
    pub fn with_vec(key: &[u8], value: Vec<u8>, expiry_ms: Option<i64>, access: u32) -> Entry {
        if value.len() <= INLINE_GROWN_MAX {
            Entry::build(key, Stored::string(Kind::Inline, &value), expiry_ms, access, RAW)
        } else {
            Entry::with_heap(key, value, expiry_ms, access)
        }
    }

    fn with_heap(key: &[u8], value: Vec<u8>, expiry_ms: Option<i64>, access: u32) -> Entry {
        let address = Box::into_raw(Box::new(value)) as u64;
        Entry::build(key, Stored::string(Kind::Heap, &address.to_le_bytes()), expiry_ms, access, RAW)
    }

    /// A new entry with a collection.
    pub fn with_collection<C: Collection>(key: &[u8], value: C, expiry_ms: Option<i64>, access: u32) -> Entry {
        match value.packed() {
            Some((form, bytes)) if bytes.len() <= INLINE_PACKED_MAX => {
                let stored = Stored { kind: Kind::Packed, collection: collection_bits(C::TYPE, form), bytes };
                Entry::build(key, stored, expiry_ms, access, 0)
            }
            _ => Entry::with_boxed(key, value.into_any(), expiry_ms, access),
        }
    }

    fn with_boxed(key: &[u8], value: AnyCollection, expiry_ms: Option<i64>, access: u32) -> Entry {
        let collection = collection_bits(value.value_type(), 0);
        let address = Box::into_raw(Box::new(value)) as u64;
        let stored = Stored { kind: Kind::Boxed, collection, bytes: &address.to_le_bytes() };
        Entry::build(key, stored, expiry_ms, access, 0)
    }

    fn build(key: &[u8], stored: Stored<'_>, expiry_ms: Option<i64>, access: u32, flags: u8) -> Entry {
        assert!(key.len() <= u32::MAX as usize, "the protocol's limits keep keys below 4 GiB");
        let value = stored.bytes;
        let shape = Shape {
            key_len: key.len(),
            expires: expiry_ms.is_some(),
            kind: stored.kind,
            collection: stored.collection,
            inline_len: value.len(),
        };
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
        let renamed = Entry::build(key, view.stored(), view.expiry_ms(), view.access(), view.flags() & RAW);
        self.give_up();
        renamed
    }

    /// A copy of the value and expiry under another key.
    pub fn duplicate(view: EntryRef<'_>, key: &[u8]) -> Entry {
        let (expiry_ms, access) = (view.expiry_ms(), view.access());
        match view.kind() {
            Kind::Heap => Entry::with_heap(key, view.heap().to_vec(), expiry_ms, access),
            Kind::Boxed => Entry::with_boxed(key, view.boxed().duplicate(), expiry_ms, access),
            Kind::Integer | Kind::Inline | Kind::Packed => {
                Entry::build(key, view.stored(), expiry_ms, access, view.flags() & RAW)
            }
        }
    }

    /// Puts another value in its place, in the same block where it fits. The access clock stays.
    pub fn set(&mut self, value: NewValue<'_>, expiry_ms: Option<i64>) {
        let (kind, integer, bytes);
        match value {
            NewValue::Integer(n) => {
                integer = n.to_le_bytes();
                (kind, bytes) = (Kind::Integer, &integer[..]);
            }
            NewValue::Bytes(b) => (kind, bytes) = (Kind::Inline, b),
        }
        if bytes.len() > INLINE_VALUE_MAX || !self.overwrite(Stored::string(kind, bytes), expiry_ms, 0) {
            let view = self.view();
            *self = Entry::new(view.key(), value, expiry_ms, view.access());
        }
    }

    /// Puts another value in place of one that owns nothing beside the block, where it fits the same block; whether it does.
    fn overwrite(&mut self, stored: Stored<'_>, expiry_ms: Option<i64>, raw: u8) -> bool {
        let view = self.view();
        let shape = Shape {
            key_len: view.key().len(),
            expires: expiry_ms.is_some(),
            kind: stored.kind,
            collection: stored.collection,
            inline_len: stored.bytes.len(),
        };
        let fits = !view.kind().is_address()
            && shape.expires == view.expiry_ms().is_some()
            && size_class(shape.size()) == size_class(view.block_size());
        if fits {
            // SAFETY: the block has room for the shape (same size class), whose fields up to the key stay where they are because the
            // key and the presence of an expiry are the same; the new value does not alias the block, which is borrowed mutably.
            unsafe { overwrite_value(self.block, &shape, stored.bytes, expiry_ms, raw) };
        }
        fits
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
                let rebuilt = Entry::build(view.key(), view.stored(), expiry_ms, view.access(), flags);
                std::mem::replace(self, rebuilt).give_up();
            }
        }
    }

    /// Changes the value's bytes by `change`, as APPEND and SETRANGE do. The vector may grow without being copied each time.
    pub fn modify<R>(&mut self, change: impl FnOnce(&mut Vec<u8>) -> R) -> R {
        let view = self.view();
        if view.kind() == Kind::Heap {
            // SAFETY: a heap entry owns its vector, and is borrowed mutably.
            return change(unsafe { &mut *(view.address() as *mut Vec<u8>) });
        }
        let mut value = SCRATCH.take();
        value.clear();
        value.extend_from_slice(view.value().as_bytes(&mut itoa::Buffer::new()));
        let result = change(&mut value);
        if value.len() <= INLINE_GROWN_MAX {
            let stored = Stored::string(Kind::Inline, &value);
            let expiry_ms = self.view().expiry_ms();
            if !self.overwrite(stored, expiry_ms, RAW) {
                let view = self.view();
                *self = Entry::build(view.key(), stored, expiry_ms, view.access(), RAW);
            }
            if value.capacity() <= SCRATCH_BYTES_MAX {
                SCRATCH.set(value);
            }
        } else {
            // The scratch has room for other values than this one.
            if value.capacity() / 2 > value.len() {
                value.shrink_to_fit();
            }
            let view = self.view();
            *self = Entry::with_heap(view.key(), value, view.expiry_ms(), view.access());
        }
        result
    }

    /// Changes its collection by `change`. Where that leaves it empty, and so to be removed, it is not put back; the result says so.
    ///
    /// # Panics
    /// It holds a value of another type.
    pub fn edit<C: Collection, R>(&mut self, change: impl FnOnce(&mut C) -> R) -> (R, bool) {
        let view = self.view();
        assert_eq!(view.value_type(), C::TYPE, "the type was looked at before");
        if view.kind() == Kind::Boxed {
            // SAFETY: a boxed entry owns its collection, and is borrowed mutably.
            let any = unsafe { &mut *(view.address() as *mut AnyCollection) };
            let value = C::of_mut(any).expect("the kind's byte says the type");
            let result = change(value);
            let goes = C::GOES_WHEN_EMPTY && value.is_empty();
            if !goes && let Some((form, bytes)) = value.packed().filter(|(_, it)| it.len() <= INLINE_PACKED_AGAIN_MAX) {
                let stored = Stored { kind: Kind::Packed, collection: collection_bits(C::TYPE, form), bytes };
                *self = Entry::build(view.key(), stored, view.expiry_ms(), view.access(), 0);
            }
            return (result, goes);
        }
        let mut scratch = SCRATCH.take();
        scratch.clear();
        scratch.extend_from_slice(view.stored_bytes());
        let mut value = C::from_packed(view.form(), scratch);
        let result = change(&mut value);
        if C::GOES_WHEN_EMPTY && value.is_empty() {
            return (result, true);
        }
        match value.into_packed() {
            Ok((form, mut bytes)) => {
                if bytes.len() <= INLINE_PACKED_MAX {
                    let stored =
                        Stored { kind: Kind::Packed, collection: collection_bits(C::TYPE, form), bytes: &bytes };
                    let expiry_ms = self.view().expiry_ms();
                    if !self.overwrite(stored, expiry_ms, 0) {
                        let view = self.view();
                        *self = Entry::build(view.key(), stored, expiry_ms, view.access(), 0);
                    }
                } else {
                    self.set_boxed(C::from_packed(form, bytes.as_slice().to_vec()).into_any());
                }
                if bytes.capacity() <= SCRATCH_BYTES_MAX {
                    bytes.clear();
                    SCRATCH.set(bytes);
                }
            }
            Err(value) => self.set_boxed(value.into_any()),
        }
        (result, false)
    }

    fn set_boxed(&mut self, value: AnyCollection) {
        let view = self.view();
        *self = Entry::with_boxed(view.key(), value, view.expiry_ms(), view.access());
    }

    /// Whether freeing it takes long.
    #[inline]
    pub fn is_heavy(&self) -> bool {
        self.view().is_heavy()
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

    /// Frees the block only: what it has the address of, if anything, now belongs to another entry.
    fn give_up(self) {
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
        match view.kind() {
            // SAFETY: the entry owns its vector, which was boxed by `with_heap`.
            Kind::Heap => drop(unsafe { Box::from_raw(view.address() as *mut Vec<u8>) }),
            // SAFETY: the entry owns its collection, which was boxed by `with_boxed`.
            Kind::Boxed => drop(unsafe { Box::from_raw(view.address() as *mut AnyCollection) }),
            Kind::Integer | Kind::Inline | Kind::Packed => {}
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
            .field("type", &self.value_type())
            .field("encoding", &self.encoding())
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
        match self.byte(KIND) & 0b111 {
            1 => Kind::Integer,
            2 => Kind::Inline,
            3 => Kind::Heap,
            4 => Kind::Packed,
            5 => Kind::Boxed,
            other => unreachable!("an entry of kind {other}"),
        }
    }

    /// A packed collection's form.
    #[inline]
    fn form(self) -> u8 {
        self.byte(KIND) >> 6
    }

    /// What it stores of its value.
    fn stored(self) -> Stored<'a> {
        Stored { kind: self.kind(), collection: self.byte(KIND) & !0b111, bytes: self.stored_bytes() }
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
            Kind::Integer | Kind::Heap | Kind::Boxed => (at, 8),
            Kind::Inline | Kind::Packed if self.flags() & LONG_VALUE == 0 => {
                // SAFETY: an inline value without LONG_VALUE has its length in the one byte here.
                (at + 1, unsafe { self.read::<1>(at) }[0] as usize)
            }
            Kind::Inline | Kind::Packed => {
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

    fn address(self) -> u64 {
        debug_assert!(self.kind().is_address());
        u64::from_le_bytes(self.stored_bytes().try_into().expect("an address has eight bytes"))
    }

    fn boxed(self) -> &'a AnyCollection {
        debug_assert_eq!(self.kind(), Kind::Boxed);
        // SAFETY: a boxed entry owns the collection at this address, and is borrowed for 'a.
        unsafe { &*(self.address() as *const AnyCollection) }
    }

    fn heap(self) -> &'a Vec<u8> {
        // SAFETY: a heap entry owns the vector at this address, and is borrowed for 'a.
        unsafe { &*(self.address() as *const Vec<u8>) }
    }

    /// The key.
    #[inline]
    pub fn key(self) -> &'a [u8] {
        let (at, len) = self.key_span();
        // SAFETY: the span lies inside the block, which lives and is not written to for 'a.
        unsafe { std::slice::from_raw_parts(self.block.as_ptr().add(at), len) }
    }

    /// Whether this is its key. Short keys, which most are, are compared without a loop.
    #[inline]
    pub(crate) fn has_key(self, key: &[u8]) -> bool {
        let own = self.key();
        if own.len() != key.len() {
            return false;
        }
        if let (Some(first), Some(last)) = (key.first_chunk::<8>(), key.last_chunk::<8>())
            && key.len() <= 16
        {
            return own.first_chunk() == Some(first) && own.last_chunk() == Some(last);
        }
        own == key
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

    /// When the first of its fields expires, where it holds a hash some of whose fields do.
    #[inline]
    pub fn first_field_expiry_ms(self) -> Option<i64> {
        const HASH: u8 = ValueType::Hash as u8;
        const { assert!(matches!(ValueType::ALL[HASH as usize], ValueType::Hash)) };
        if self.byte(KIND) >> 3 & 0b111 != HASH {
            return None;
        }
        self.collection::<Hash>().ok()?.first_expiry_ms()
    }

    /// Whether it has a field whose time has come.
    #[inline]
    pub fn has_expired_field(self, now_ms: i64) -> bool {
        self.first_field_expiry_ms().is_some_and(|first_ms| now_ms > first_ms)
    }

    /// Whether it is as good as not there: it has expired, or all its fields have.
    pub fn is_gone(self, now_ms: i64) -> bool {
        self.is_expired(now_ms) || self.has_expired_field(now_ms) && self.hash_at(now_ms).is_empty()
    }

    /// Its hash at some time.
    ///
    /// # Panics
    /// It holds something else.
    pub(crate) fn hash_at(self, now_ms: i64) -> HashView<'a> {
        self.collection::<Hash>().expect("the type was looked at before").at(now_ms)
    }

    /// What TYPE says.
    pub fn value_type(self) -> ValueType {
        match self.kind() {
            Kind::Integer | Kind::Inline | Kind::Heap => ValueType::String,
            Kind::Packed | Kind::Boxed => ValueType::ALL[usize::from(self.byte(KIND) >> 3 & 0b111)],
        }
    }

    /// Its collection, where it holds one of this type.
    #[inline]
    pub fn collection<C: Collection>(self) -> Result<C::View<'a>, WrongType> {
        if self.value_type() != C::TYPE {
            return Err(WrongType);
        }
        Ok(match self.kind() {
            Kind::Packed => C::view_packed(self.form(), self.stored_bytes()),
            _ => C::of(self.boxed()).expect("the kind's byte says the type").view(),
        })
    }

    /// What OBJECT ENCODING says.
    pub fn encoding(self) -> Encoding {
        match self.kind() {
            Kind::Integer => Encoding::Int,
            Kind::Heap => Encoding::Raw,
            Kind::Inline if self.flags() & RAW == 0 && self.is_short() => Encoding::Embstr,
            Kind::Inline => Encoding::Raw,
            Kind::Packed => packed_encoding(self.value_type(), self.form(), self.stored_bytes()),
            Kind::Boxed => self.boxed().encoding(),
        }
    }

    /// Whether key, value and expiry would lie in one block on Redis.
    fn is_short(self) -> bool {
        let (key_len, value_len) = (self.key_span().1, self.value_span().1);
        let expiry_len =
            if self.expiry_ms().is_some() && key_len < EMBSTR_KEY_WITH_EXPIRY_MIN { EXPIRY_LEN } else { 0 };
        key_len + value_len + expiry_len <= EMBSTR_LEN_MAX
    }

    /// The string.
    ///
    /// # Panics
    /// It holds a collection.
    #[inline]
    pub fn value(self) -> ValueRef<'a> {
        match self.kind() {
            Kind::Integer => ValueRef::Integer(i64::from_le_bytes(
                self.stored_bytes().try_into().expect("an integer is stored in eight bytes"),
            )),
            Kind::Inline => ValueRef::Bytes(self.stored_bytes()),
            Kind::Heap => ValueRef::Bytes(self.heap()),
            Kind::Packed | Kind::Boxed => panic!("the type was looked at before"),
        }
    }

    /// Whether freeing it takes long, or going through all of it.
    #[inline]
    pub fn is_heavy(self) -> bool {
        match self.kind() {
            Kind::Heap => self.heap().capacity() >= HEAVY_VALUE_MIN,
            Kind::Boxed => self.boxed().is_heavy(),
            Kind::Integer | Kind::Inline | Kind::Packed => false,
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

    /// The way to an element of the collection that it holds; of a packed one all is asked for at once.
    #[inline]
    pub(crate) fn approach(self, element: &[u8]) -> Option<ElementPrefetch<'a>> {
        /// More of a packed collection than the processor asks for by itself when it is walked over.
        const LINES_MAX: usize = 6;
        match self.kind() {
            Kind::Boxed => self.boxed().prefetch_element(element),
            Kind::Packed => {
                let lines = (self.block_size() / prefetch::LINE + 1).min(LINES_MAX);
                // Two were asked for with the entry.
                prefetch::read_lines(self.block.as_ptr().wrapping_add(2 * prefetch::LINE), lines.saturating_sub(2));
                None
            }
            Kind::Integer | Kind::Inline | Kind::Heap => None,
        }
    }

    /// The bytes that it takes: its block, and its heap value.
    pub fn memory_usage(self) -> usize {
        let heap = match self.kind() {
            Kind::Heap => size_of::<Vec<u8>>() + size_class(self.heap().capacity().max(1)),
            Kind::Boxed => self.boxed().memory_usage(),
            Kind::Integer | Kind::Inline | Kind::Packed => 0,
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
    let is_inline = matches!(shape.kind, Kind::Inline | Kind::Packed);
    let long_value = is_inline && shape.value_length_len() == 4;
    let mut at = HEADER + if shape.expires { EXPIRY_LEN } else { 0 } + shape.key_length_len() + shape.key_len;
    // SAFETY: every write lies inside the shape's size, and `value` is not part of the block.
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

/// # Safety
/// The entry has an expiry field and is not shared.
unsafe fn write_expiry(block: NonNull<u8>, expiry_ms: i64) {
    // SAFETY: the field's eight bytes follow the header.
    unsafe { ptr::copy_nonoverlapping(expiry_ms.to_le_bytes().as_ptr(), block.as_ptr().add(HEADER), EXPIRY_LEN) };
}
