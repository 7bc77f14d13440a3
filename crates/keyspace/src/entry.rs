//! An entry: one key, its value and its expiry in one allocation.
//!
//! ```text
//!  0      1       2        5                 (8 bytes)     1 or 4      …          …
//! ┌──────┬───────┬────────┬─────────────────┬─────────────┬───────────┬──────────┬───────────────────────────────┐
//! │ kind │ flags │ access │ expiry, if any  │ key length  │ key       │ value                                    │
//! └──────┴───────┴────────┴─────────────────┴─────────────┴───────────┴──────────────────────────────────────────┘
//!   kind    how the value is stored (see `Kind`); of a collection also its type and its form
//!   flags   EXPIRES: there is an expiry · LONG_KEY, LONG_VALUE: a length takes 4 bytes instead of 1 · RAW: OBJECT ENCODING replies raw
//!   access  24 bits, little-endian: the access clock (see `access.rs`)
//!   expiry  64 bits, little-endian: milliseconds since 1970
//!   value   Integer: 8 bytes, little-endian
//!           Inline:  its length in 1 or 4 bytes, then the bytes
//!           Heap:    8 bytes, the address of a `Vec<u8>` of its own
//!           Packed:  a collection in one run of bytes, stored as Inline
//!           Boxed:   8 bytes, the address of an `AnyCollection` of its own
//! ```
//!
//! A key of 16 bytes with a value of 64 takes 87 bytes, or 95 with an expiry; either way it gets a block of 96. Blocks have the sizes of
//! the allocator's classes, and a new value that fits the block of the old one overwrites it in place.

use std::{
    alloc::{Layout, alloc, dealloc, handle_alloc_error},
    cell::Cell,
    fmt,
    marker::PhantomData,
    ptr::{self, NonNull},
};

use ochre_datatypes::{
    AnyCollection, AnyView, Collection, ElementPrefetch, Encoding, ValueType, WrongType,
    allocation::size_class,
    hash::{Hash, HashView},
    packed_encoding, packed_view, prefetch,
};

/// The length of the longest string that is stored in the entry's block. A longer one has an allocation of its own, which can grow in
/// place.
const INLINE_VALUE_MAX: usize = 4096;
/// The same for a string that was modified (APPEND, SETRANGE). It moves out of the block earlier, so that appending takes O(1), amortised.
const INLINE_GROWN_MAX: usize = 512;
/// The length of the longest packed collection that is stored in the entry's block. An edit copies it out and back, which is cheaper than
/// a second cache miss only while it is short.
const INLINE_PACKED_MAX: usize = 512;
/// A packed collection outside of the block moves back into it when it is this short. The distance to [`INLINE_PACKED_MAX`] keeps it from
/// moving to and fro.
const INLINE_PACKED_AGAIN_MAX: usize = 256;
/// Freeing a value of this size, in bytes, may take the allocator long. It is left to the graveyard's thread.
const HEAVY_VALUE_MIN: usize = 64 * 1024;
/// OBJECT ENCODING replies embstr if key and value together are no longer than this: on Redis 8.2 they then fit into 64 bytes with the
/// header.
const EMBSTR_LEN_MAX: usize = 41;
/// The expiry of a shorter key counts towards [`EMBSTR_LEN_MAX`]. For a key of this length or longer Redis reserves the room for an expiry
/// in any case. (Redis 8.2: `kvobjSet`)
const EMBSTR_KEY_WITH_EXPIRY_MIN: usize = 32;

// Where the fields lie in the block.
const KIND: usize = 0;
const FLAGS: usize = 1;
const ACCESS: usize = 2;
const HEADER: usize = 5;
const EXPIRY_LEN: usize = 8;

// The flags.
const EXPIRES: u8 = 1;
const LONG_KEY: u8 = 1 << 1;
const LONG_VALUE: u8 = 1 << 2;
const RAW: u8 = 1 << 3;

/// How an entry stores its value; the three low bits of the kind's byte. The forms are listed at the top of the file.
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
    /// Returns whether the stored value is the address of an allocation that the entry owns.
    fn is_address(self) -> bool {
        matches!(self, Kind::Heap | Kind::Boxed)
    }
}

/// Returns the upper bits of the kind's byte for a collection: three bits for its type, above them two for its form.
fn collection_bits(value_type: ValueType, form: u8) -> u8 {
    debug_assert!(form < 4, "a form takes two bits");
    let index = ValueType::ALL.iter().position(|&it| it == value_type).expect("ValueType::ALL lists every type");
    (index as u8) << 3 | form << 6
}

thread_local! {
    /// The buffer in which short values are edited.
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}
/// A scratch buffer with a larger capacity, in bytes, is not kept.
const SCRATCH_BYTES_MAX: usize = 64 * 1024;

/// A string to be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewValue<'a> {
    /// A string that is stored as an integer.
    Integer(i64),
    /// Any other string.
    Bytes(&'a [u8]),
}

impl<'a> NewValue<'a> {
    /// Returns the value for a client's bytes. It is an integer if printing that integer gives the same bytes.
    pub fn from_bytes(bytes: &'a [u8]) -> NewValue<'a> {
        // No i64 takes more than 20 characters.
        match if bytes.len() <= 20 { ochre_datatypes::number::parse_i64(bytes) } else { None } {
            Some(integer) => NewValue::Integer(integer),
            None => NewValue::Bytes(bytes),
        }
    }
}

/// A stored string, to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueRef<'a> {
    /// A string that is stored as an integer.
    Integer(i64),
    /// Any other string.
    Bytes(&'a [u8]),
}

impl<'a> ValueRef<'a> {
    /// Returns the string as a client sees it. An integer is printed into `scratch`.
    pub fn as_bytes<'s>(self, scratch: &'s mut itoa::Buffer) -> &'s [u8]
    where
        'a: 's,
    {
        match self {
            ValueRef::Integer(integer) => scratch.format(integer).as_bytes(),
            ValueRef::Bytes(bytes) => bytes,
        }
    }

    /// Returns the length of the string in bytes.
    pub fn len(self) -> usize {
        match self {
            ValueRef::Integer(integer) => itoa::Buffer::new().format(integer).len(),
            ValueRef::Bytes(bytes) => bytes.len(),
        }
    }

    /// Returns whether this is the empty string.
    pub fn is_empty(self) -> bool {
        self == ValueRef::Bytes(b"")
    }
}

/// A key with its value and its expiry, in one block of memory that it owns. See the top of the file.
#[repr(transparent)]
pub struct Entry {
    block: NonNull<u8>,
}

// SAFETY: an entry is the only owner of its block and of the allocation that it points to, if any. The access clock, which can be written
// through a shared borrow, is guarded by the shard's lock (see `EntryRef::touch`).
unsafe impl Send for Entry {}

/// A borrowed [`Entry`].
#[derive(Clone, Copy)]
pub struct EntryRef<'a> {
    block: NonNull<u8>,
    borrow: PhantomData<&'a Entry>,
}

/// A value as it is stored.
#[derive(Clone, Copy)]
struct Stored<'v> {
    kind: Kind,
    /// The type and the form of a collection, as in the kind's byte; zero for strings.
    collection: u8,
    /// The stored bytes without their length; of a value outside of the block, its address.
    bytes: &'v [u8],
}

impl<'v> Stored<'v> {
    fn string(kind: Kind, bytes: &'v [u8]) -> Stored<'v> {
        Stored { kind, collection: 0, bytes }
    }
}

/// What determines the layout of an entry.
struct Shape {
    key_len: usize,
    expires: bool,
    kind: Kind,
    /// As in [`Stored`].
    collection: u8,
    /// The length of the stored bytes.
    inline_len: usize,
}

impl Shape {
    /// Returns how many bytes the length of the key takes.
    fn key_length_len(&self) -> usize {
        if self.key_len > u8::MAX as usize { 4 } else { 1 }
    }

    /// Returns how many bytes the length of an inline value takes.
    fn value_length_len(&self) -> usize {
        if self.inline_len > u8::MAX as usize { 4 } else { 1 }
    }

    /// Returns the size of the entry in bytes.
    fn size(&self) -> usize {
        let value = match self.kind {
            Kind::Inline | Kind::Packed => self.value_length_len() + self.inline_len,
            Kind::Integer | Kind::Heap | Kind::Boxed => 8,
        };
        HEADER + if self.expires { EXPIRY_LEN } else { 0 } + self.key_length_len() + self.key_len + value
    }
}

impl Entry {
    /// Creates an entry with a string. `expiry_ms` is in milliseconds since 1970; `access` is an access clock of 24 bits (see
    /// [`crate::AccessClock`]).
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

    /// Creates an entry with a string that was computed or modified. As on Redis, OBJECT ENCODING replies raw for it, even if it is short.
    pub fn with_vec(key: &[u8], value: Vec<u8>, expiry_ms: Option<i64>, access: u32) -> Entry {
        if value.len() <= INLINE_GROWN_MAX {
            Entry::build(key, Stored::string(Kind::Inline, &value), expiry_ms, access, RAW)
        } else {
            Entry::with_heap(key, value, expiry_ms, access)
        }
    }

    /// Creates an entry with a string in an allocation of its own.
    fn with_heap(key: &[u8], value: Vec<u8>, expiry_ms: Option<i64>, access: u32) -> Entry {
        let address = Box::into_raw(Box::new(value)) as u64;
        Entry::build(key, Stored::string(Kind::Heap, &address.to_le_bytes()), expiry_ms, access, RAW)
    }

    /// Creates an entry with a collection.
    pub fn with_collection<C: Collection>(key: &[u8], value: C, expiry_ms: Option<i64>, access: u32) -> Entry {
        Entry::packed(key, C::TYPE, value.packed(), expiry_ms, access)
            .unwrap_or_else(|| Entry::with_boxed(key, value.into_any(), expiry_ms, access))
    }

    /// Creates an entry with a collection of any type.
    pub fn with_any(key: &[u8], value: AnyCollection, expiry_ms: Option<i64>, access: u32) -> Entry {
        Entry::packed(key, value.value_type(), value.packed(), expiry_ms, access)
            .unwrap_or_else(|| Entry::with_boxed(key, value, expiry_ms, access))
    }

    /// Creates an entry with a packed collection in its block, if the collection is packed and short enough for that. `packed` is its form
    /// and its bytes.
    fn packed(
        key: &[u8],
        value_type: ValueType,
        packed: Option<(u8, &[u8])>,
        expiry_ms: Option<i64>,
        access: u32,
    ) -> Option<Entry> {
        let (form, bytes) = packed.filter(|(_, bytes)| bytes.len() <= INLINE_PACKED_MAX)?;
        let stored = Stored { kind: Kind::Packed, collection: collection_bits(value_type, form), bytes };
        Some(Entry::build(key, stored, expiry_ms, access, 0))
    }

    /// Creates an entry with a collection in an allocation of its own.
    fn with_boxed(key: &[u8], value: AnyCollection, expiry_ms: Option<i64>, access: u32) -> Entry {
        let collection = collection_bits(value.value_type(), 0);
        let address = Box::into_raw(Box::new(value)) as u64;
        let stored = Stored { kind: Kind::Boxed, collection, bytes: &address.to_le_bytes() };
        Entry::build(key, stored, expiry_ms, access, 0)
    }

    /// Creates an entry with a stored value. `flags` is RAW or 0.
    fn build(key: &[u8], stored: Stored<'_>, expiry_ms: Option<i64>, access: u32, flags: u8) -> Entry {
        assert!(key.len() <= u32::MAX as usize, "a key is shorter than 4 GiB");
        let value = stored.bytes;
        let shape = Shape {
            key_len: key.len(),
            expires: expiry_ms.is_some(),
            kind: stored.kind,
            collection: stored.collection,
            inline_len: value.len(),
        };
        let layout = block_layout(shape.size());
        // SAFETY: the size of the layout is not zero.
        let Some(block) = NonNull::new(unsafe { alloc(layout) }) else { handle_alloc_error(layout) };
        // SAFETY: the block was allocated above, with room for this shape.
        unsafe { write_entry(block, &shape, key, value, expiry_ms, access, flags) };
        Entry { block }
    }

    /// Borrows the entry.
    #[inline]
    pub fn view(&self) -> EntryRef<'_> {
        EntryRef { block: self.block, borrow: PhantomData }
    }

    /// Returns an entry with the same value and expiry under another key (RENAME).
    pub fn renamed(self, key: &[u8]) -> Entry {
        let view = self.view();
        let renamed = Entry::build(key, view.stored(), view.expiry_ms(), view.access(), view.flags() & RAW);
        self.give_up();
        renamed
    }

    /// Returns an entry with a copy of the value and the expiry under another key (COPY).
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

    /// Replaces value and expiry, in the same block if they fit. The access clock stays. The entry may hold a value of any type.
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

    /// Overwrites value and expiry in place, if the value fits the block and the old one lies in the block. Returns whether it did.
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
            // SAFETY: the block has room for the shape, whose size class is the same. The fields up to the key stay where they are, since
            // the key and the presence of an expiry are the same. The new value does not alias the block, which is borrowed mutably.
            unsafe { overwrite_value(self.block, &shape, stored.bytes, expiry_ms, raw) };
        }
        fits
    }

    /// Sets the expiry, in milliseconds since 1970, or removes it.
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

    /// Modifies the string by `change` (APPEND, SETRANGE), and returns what that returns. Appending takes O(1), amortised.
    ///
    /// # Panics
    /// If the entry holds a collection.
    pub fn modify<R>(&mut self, change: impl FnOnce(&mut Vec<u8>) -> R) -> R {
        let view = self.view();
        if view.kind() == Kind::Heap {
            // SAFETY: an entry of kind Heap owns the vector at this address, and is borrowed mutably.
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
            // The scratch buffer may have far more room than this value needs.
            if value.capacity() / 2 > value.len() {
                value.shrink_to_fit();
            }
            let view = self.view();
            *self = Entry::with_heap(view.key(), value, view.expiry_ms(), view.access());
        }
        result
    }

    /// Edits the collection by `change`. Returns what that returns, and whether the caller is to remove the entry, since the collection is
    /// empty and its type has no empty collections. In that case the edited collection may not have been stored.
    ///
    /// # Panics
    /// If the entry holds a value of another type.
    pub fn edit<C: Collection, R>(&mut self, change: impl FnOnce(&mut C) -> R) -> (R, bool) {
        let view = self.view();
        assert_eq!(view.value_type(), C::TYPE, "the caller checks the type");
        if view.kind() == Kind::Boxed {
            // SAFETY: an entry of kind Boxed owns the collection at this address, and is borrowed mutably.
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

    /// Replaces the value by a collection in an allocation of its own.
    fn set_boxed(&mut self, value: AnyCollection) {
        let view = self.view();
        *self = Entry::with_boxed(view.key(), value, view.expiry_ms(), view.access());
    }

    /// Returns whether freeing the entry takes long.
    #[inline]
    pub fn is_heavy(&self) -> bool {
        self.view().is_heavy()
    }

    /// Returns the address of the block, which the caller owns from now on.
    pub(crate) fn into_block(self) -> NonNull<u8> {
        let block = self.block;
        std::mem::forget(self);
        block
    }

    /// Takes the ownership of a block back.
    ///
    /// # Safety
    /// `block` came from [`Entry::into_block`] and has no other owner.
    pub(crate) unsafe fn from_block(block: NonNull<u8>) -> Entry {
        Entry { block }
    }

    /// Frees the block, but not the allocation that it points to, if any: another entry owns that now.
    fn give_up(self) {
        let layout = block_layout(self.view().block_size());
        // SAFETY: the block was allocated with this layout, and is not used after this.
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
        // SAFETY: the block was allocated with this layout, and is not used after this.
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
    /// Borrows the entry in a block.
    ///
    /// # Safety
    /// During `'a` the block holds an entry, is not freed, and is not written to except for the access clock.
    #[inline]
    pub(crate) unsafe fn from_block(block: NonNull<u8>) -> EntryRef<'a> {
        EntryRef { block, borrow: PhantomData }
    }

    /// Returns the same borrow for any lifetime.
    ///
    /// # Safety
    /// During `'b` the entry is not freed, and is not written to except for the access clock.
    #[inline]
    pub(crate) unsafe fn detached<'b>(self) -> EntryRef<'b> {
        EntryRef { block: self.block, borrow: PhantomData }
    }

    /// Returns a byte of the fields before the key.
    #[inline]
    fn byte(self, at: usize) -> u8 {
        debug_assert!(at < HEADER + EXPIRY_LEN);
        // SAFETY: every block has at least 16 bytes.
        unsafe { *self.block.as_ptr().add(at) }
    }

    /// Returns the `N` bytes at `at`.
    ///
    /// # Safety
    /// They lie inside the entry.
    #[inline]
    unsafe fn read<const N: usize>(self, at: usize) -> [u8; N] {
        // SAFETY: by the caller's promise; an array of bytes needs no alignment.
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

    /// Returns the form of a packed collection.
    #[inline]
    fn form(self) -> u8 {
        self.byte(KIND) >> 6
    }

    /// Returns the value as it is stored.
    fn stored(self) -> Stored<'a> {
        Stored { kind: self.kind(), collection: self.byte(KIND) & !0b111, bytes: self.stored_bytes() }
    }

    /// Returns where the key lies in the block, and its length.
    #[inline]
    fn key_span(self) -> (usize, usize) {
        let flags = self.flags();
        let at = HEADER + if flags & EXPIRES != 0 { EXPIRY_LEN } else { 0 };
        if flags & LONG_KEY == 0 {
            // SAFETY: without LONG_KEY the length of the key is the one byte here.
            (at + 1, unsafe { self.read::<1>(at) }[0] as usize)
        } else {
            // SAFETY: with LONG_KEY the length of the key is the four bytes here.
            (at + 4, u32::from_le_bytes(unsafe { self.read(at) }) as usize)
        }
    }

    /// Returns where the stored bytes of the value lie in the block, behind their length if there is one, and how many they are.
    #[inline]
    fn value_span(self) -> (usize, usize) {
        let (key_at, key_len) = self.key_span();
        let at = key_at + key_len;
        match self.kind() {
            Kind::Integer | Kind::Heap | Kind::Boxed => (at, 8),
            Kind::Inline | Kind::Packed if self.flags() & LONG_VALUE == 0 => {
                // SAFETY: without LONG_VALUE the length of an inline value is the one byte here.
                (at + 1, unsafe { self.read::<1>(at) }[0] as usize)
            }
            Kind::Inline | Kind::Packed => {
                // SAFETY: with LONG_VALUE the length of an inline value is the four bytes here.
                (at + 4, u32::from_le_bytes(unsafe { self.read(at) }) as usize)
            }
        }
    }

    /// Returns the stored bytes of the value.
    #[inline]
    fn stored_bytes(self) -> &'a [u8] {
        let (at, len) = self.value_span();
        // SAFETY: the span lies inside the block, which lives and is not written to for 'a.
        unsafe { std::slice::from_raw_parts(self.block.as_ptr().add(at), len) }
    }

    /// Returns the size of the entry in bytes, which determines the layout of the block.
    fn block_size(self) -> usize {
        let (at, len) = self.value_span();
        at + len
    }

    /// Returns the address of the allocation that the entry owns.
    fn address(self) -> u64 {
        debug_assert!(self.kind().is_address());
        u64::from_le_bytes(self.stored_bytes().try_into().expect("an address has eight bytes"))
    }

    fn boxed(self) -> &'a AnyCollection {
        debug_assert_eq!(self.kind(), Kind::Boxed);
        // SAFETY: an entry of kind Boxed owns the collection at this address, and is borrowed for 'a.
        unsafe { &*(self.address() as *const AnyCollection) }
    }

    fn heap(self) -> &'a Vec<u8> {
        // SAFETY: an entry of kind Heap owns the vector at this address, and is borrowed for 'a.
        unsafe { &*(self.address() as *const Vec<u8>) }
    }

    /// Returns the key.
    #[inline]
    pub fn key(self) -> &'a [u8] {
        let (at, len) = self.key_span();
        // SAFETY: the span lies inside the block, which lives and is not written to for 'a.
        unsafe { std::slice::from_raw_parts(self.block.as_ptr().add(at), len) }
    }

    /// Returns whether the entry has this key. Most keys are short; those of 8 to 16 bytes are compared without a loop.
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

    /// Returns the expiry of the key, in milliseconds since 1970.
    #[inline]
    pub fn expiry_ms(self) -> Option<i64> {
        if self.flags() & EXPIRES == 0 {
            return None;
        }
        // SAFETY: with EXPIRES the eight bytes behind the header are the expiry.
        Some(i64::from_le_bytes(unsafe { self.read::<EXPIRY_LEN>(HEADER) }))
    }

    /// Returns whether the key has expired. It exists up to and including the millisecond of its expiry. (Redis: `keyIsExpired`)
    #[inline]
    pub fn is_expired(self, now_ms: i64) -> bool {
        self.expiry_ms().is_some_and(|expiry_ms| now_ms > expiry_ms)
    }

    /// Returns the earliest expiry of a field, in milliseconds since 1970, if the value is a hash with fields that expire.
    #[inline]
    pub fn first_field_expiry_ms(self) -> Option<i64> {
        const HASH: u8 = ValueType::Hash as u8;
        const { assert!(matches!(ValueType::ALL[HASH as usize], ValueType::Hash)) };
        if self.byte(KIND) >> 3 & 0b111 != HASH {
            return None;
        }
        self.collection::<Hash>().ok()?.first_expiry_ms()
    }

    /// Returns whether the value is a hash with an expired field.
    #[inline]
    pub fn has_expired_field(self, now_ms: i64) -> bool {
        self.first_field_expiry_ms().is_some_and(|first_ms| now_ms > first_ms)
    }

    /// Returns whether the key counts as absent: it has expired, or all fields of its hash have.
    pub fn is_gone(self, now_ms: i64) -> bool {
        self.is_expired(now_ms) || self.has_expired_field(now_ms) && self.hash_at(now_ms).is_empty()
    }

    /// Returns the view of the hash at a time, in milliseconds since 1970.
    ///
    /// # Panics
    /// If the value is not a hash.
    pub(crate) fn hash_at(self, now_ms: i64) -> HashView<'a> {
        self.collection::<Hash>().expect("the caller checks the type").at(now_ms)
    }

    /// Returns the type of the value (TYPE).
    pub fn value_type(self) -> ValueType {
        match self.kind() {
            Kind::Integer | Kind::Inline | Kind::Heap => ValueType::String,
            Kind::Packed | Kind::Boxed => ValueType::ALL[usize::from(self.byte(KIND) >> 3 & 0b111)],
        }
    }

    /// Returns the view of the collection.
    ///
    /// # Errors
    /// If the value has another type.
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

    /// Returns the view of the collection, or `None` if the value is a string.
    pub fn any_collection(self) -> Option<AnyView<'a>> {
        match self.kind() {
            Kind::Integer | Kind::Inline | Kind::Heap => None,
            Kind::Packed => Some(packed_view(self.value_type(), self.form(), self.stored_bytes())),
            Kind::Boxed => Some(self.boxed().view()),
        }
    }

    /// Returns the encoding that OBJECT ENCODING replies.
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

    /// Returns whether Redis would store key, value and expiry in one block. (Redis 8.2: `kvobjSet`)
    fn is_short(self) -> bool {
        let (key_len, value_len) = (self.key_span().1, self.value_span().1);
        let expiry_len =
            if self.expiry_ms().is_some() && key_len < EMBSTR_KEY_WITH_EXPIRY_MIN { EXPIRY_LEN } else { 0 };
        key_len + value_len + expiry_len <= EMBSTR_LEN_MAX
    }

    /// Returns the string.
    ///
    /// # Panics
    /// If the value is a collection.
    #[inline]
    pub fn value(self) -> ValueRef<'a> {
        match self.kind() {
            Kind::Integer => ValueRef::Integer(i64::from_le_bytes(
                self.stored_bytes().try_into().expect("an integer is stored in eight bytes"),
            )),
            Kind::Inline => ValueRef::Bytes(self.stored_bytes()),
            Kind::Heap => ValueRef::Bytes(self.heap()),
            Kind::Packed | Kind::Boxed => panic!("the caller checks the type"),
        }
    }

    /// Returns whether the value is so large that freeing it, or reading all of it, takes long.
    #[inline]
    pub fn is_heavy(self) -> bool {
        match self.kind() {
            Kind::Heap => self.heap().capacity() >= HEAVY_VALUE_MIN,
            Kind::Boxed => self.boxed().is_heavy(),
            Kind::Integer | Kind::Inline | Kind::Packed => false,
        }
    }

    /// Returns the access clock, of 24 bits; see [`crate::AccessClock`].
    #[inline]
    pub fn access(self) -> u32 {
        let [a, b, c] = [self.byte(ACCESS), self.byte(ACCESS + 1), self.byte(ACCESS + 2)];
        u32::from_le_bytes([a, b, c, 0])
    }

    /// Sets the access clock, the only part of an entry that may change while it is borrowed.
    ///
    /// # Safety
    /// The caller holds the lock of the entry's shard.
    #[inline]
    pub(crate) unsafe fn touch(self, access: u32) {
        let bytes = access.to_le_bytes();
        for (i, byte) in bytes[..3].iter().enumerate() {
            // SAFETY: the header lies inside the block. The lock keeps other threads out, and no reference covers these bytes.
            unsafe { self.block.as_ptr().add(ACCESS + i).write(*byte) };
        }
    }

    /// Begins to prefetch an element of the collection. A packed collection is prefetched as a whole, here.
    #[inline]
    pub(crate) fn approach(self, element: &[u8]) -> Option<ElementPrefetch<'a>> {
        /// The most cache lines that are prefetched; the processor itself prefetches the ones behind them when they are read in order.
        const LINES_MAX: usize = 6;
        match self.kind() {
            Kind::Boxed => self.boxed().prefetch_element(element),
            Kind::Packed => {
                let lines = (self.block_size() / prefetch::LINE + 1).min(LINES_MAX);
                // The first two lines were prefetched with the entry.
                prefetch::read_lines(self.block.as_ptr().wrapping_add(2 * prefetch::LINE), lines.saturating_sub(2));
                None
            }
            Kind::Integer | Kind::Inline | Kind::Heap => None,
        }
    }

    /// Returns the memory that the entry takes, in bytes: its block, and the allocation that it points to.
    pub fn memory_usage(self) -> usize {
        let heap = match self.kind() {
            Kind::Heap => size_of::<Vec<u8>>() + size_class(self.heap().capacity().max(1)),
            Kind::Boxed => self.boxed().memory_usage(),
            Kind::Integer | Kind::Inline | Kind::Packed => 0,
        };
        size_class(self.block_size()) + heap
    }
}

/// Returns the layout of the block of an entry with this size.
fn block_layout(size: usize) -> Layout {
    Layout::from_size_align(size_class(size), 16).expect("the size of an entry is far below isize::MAX")
}

/// Writes an entry into a new block.
///
/// # Safety
/// `block` has room for `shape` and is not shared. Key and value have the lengths that the shape says.
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
unsafe fn overwrite_value(block: NonNull<u8>, shape: &Shape, value: &[u8], expiry_ms: Option<i64>, raw: u8) {
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
unsafe fn write_expiry(block: NonNull<u8>, expiry_ms: i64) {
    // SAFETY: the eight bytes behind the header are the expiry.
    unsafe { ptr::copy_nonoverlapping(expiry_ms.to_le_bytes().as_ptr(), block.as_ptr().add(HEADER), EXPIRY_LEN) };
}
