//! An entry: one key, its value and its expiry in one allocation.
//!
//! ```text
//!  0      1       2        5                 (8 bytes)     1 or 4      …          …
//! ┌──────┬───────┬────────┬─────────────────┬─────────────┬───────────┬──────────┬───────────────────────────────┐
//! │ kind │ flags │ access │ expiry, if any  │ key length  │ key       │ value                                    │
//! └──────┴───────┴────────┴─────────────────┴─────────────┴───────────┴──────────────────────────────────────────┘
//!   kind    how the value is stored (see `Kind`); of a collection also its type and its form
//!   flags   EXPIRES: there is an expiry · LONG_KEY, LONG_VALUE: a length takes 4 bytes instead of 1 · RAW: OBJECT ENCODING replies raw
//!           EPOCH: to which of two epochs the entry belongs (see `snapshot/`)
//!   access  24 bits, little-endian: the access clock (see `access.rs`)
//!   expiry  64 bits, little-endian: milliseconds since 1970
//!   value   Integer: 8 bytes, little-endian
//!           Inline:  its length in 1 or 4 bytes, then the bytes
//!           Heap:    8 bytes, the address of a `Vec<u8>` that it may share with duplicates of the entry, in an `Arc`
//!           Packed:  a collection in one run of bytes, stored as Inline
//!           Boxed:   8 bytes, the address of an `AnyCollection` of its own
//! ```
//!
//! A key of 16 bytes with a value of 64 takes 87 bytes, or 95 with an expiry; either way it gets a block of 96. Blocks have the sizes of
//! the allocator's classes, and a new value that fits the block of the old one overwrites it in place.
//!
//! | file | what lies there |
//! |---|---|
//! | `layout.rs` | the picture above as code: where the fields lie, and how they are written |
//! | `view.rs` | [`EntryRef`]: reading an entry |
//! | `string.rs` | [`NewValue`], [`ValueRef`]: strings on their way in and out |

mod layout;
mod string;
mod view;

use std::{
    alloc::{alloc, dealloc, handle_alloc_error},
    cell::Cell,
    fmt,
    marker::PhantomData,
    mem::ManuallyDrop,
    ptr::{self, NonNull},
    sync::Arc,
};

use ochre_datatypes::{AnyCollection, Collection, ValueType, allocation::size_class};

use self::layout::{
    Kind, RAW, Shape, Stored, block_layout, collection_bits, overwrite_value, write_entry, write_expiry,
};
pub(crate) use self::view::Epoch;
pub use self::{
    string::{NewValue, ValueRef},
    view::EntryRef,
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

thread_local! {
    /// The buffer in which short values are edited.
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}
/// A scratch buffer with a larger capacity, in bytes, is not kept.
const SCRATCH_BYTES_MAX: usize = 64 * 1024;

/// A key with its value and its expiry, in one block of memory that it owns. See the top of the file.
#[repr(transparent)]
pub struct Entry {
    block: NonNull<u8>,
}

// SAFETY: an entry is the only owner of its block and of the allocation that it points to, if any. The access clock, which can be written
// through a shared borrow, is guarded by the shard's lock (see `EntryRef::touch`).
unsafe impl Send for Entry {}

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
            NewValue::Bytes(bytes) => Entry::with_heap(key, Arc::new(bytes.to_vec()), expiry_ms, access),
        }
    }

    /// Creates an entry with a string that was computed or modified. As on Redis, OBJECT ENCODING replies raw for it, even if it is short.
    pub fn with_vec(key: &[u8], value: Vec<u8>, expiry_ms: Option<i64>, access: u32) -> Entry {
        if value.len() <= INLINE_GROWN_MAX {
            Entry::build(key, Stored::string(Kind::Inline, &value), expiry_ms, access, RAW)
        } else {
            Entry::with_heap(key, Arc::new(value), expiry_ms, access)
        }
    }

    /// Creates an entry with a string in an allocation that it may share with duplicates.
    fn with_heap(key: &[u8], value: Arc<Vec<u8>>, expiry_ms: Option<i64>, access: u32) -> Entry {
        let address = Arc::into_raw(value) as u64;
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

    /// Returns an entry with the same value and expiry under another key (COPY). Long strings and large collections are shared until one of the
    /// entries is written to.
    pub fn duplicate(view: EntryRef<'_>, key: &[u8]) -> Entry {
        let (expiry_ms, access) = (view.expiry_ms(), view.access());
        match view.kind() {
            Kind::Heap => Entry::with_heap(key, view.shared_heap(), expiry_ms, access),
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
            let (at, _) = view.value_span();
            // SAFETY: the entry owns one of the counts of the vector at this address. The count is not given up here.
            let mut value = ManuallyDrop::new(unsafe { Arc::from_raw(view.address() as *const Vec<u8>) });
            // A vector that is shared is left to the others, and copied.
            let value = Arc::make_mut(&mut value);
            let address = (ptr::from_mut(value) as u64).to_le_bytes();
            // SAFETY: the address lies in the block, which is borrowed mutably.
            unsafe { self.block.as_ptr().add(at).copy_from_nonoverlapping(address.as_ptr(), address.len()) };
            return change(value);
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
            *self = Entry::with_heap(view.key(), Arc::new(value), view.expiry_ms(), view.access());
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
            // SAFETY: the entry owns one of the counts of its vector; it came from `Arc::into_raw`.
            Kind::Heap => drop(unsafe { Arc::from_raw(view.address() as *const Vec<u8>) }),
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
