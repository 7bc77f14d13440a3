//! Reading an entry.

use std::{alloc::Layout, fmt, marker::PhantomData, mem::ManuallyDrop, ptr::NonNull, sync::Arc};

use ochre_datatypes::{
    AnyCollection, AnyView, Collection, ElementPrefetch, Encoding, ValueType, WrongType,
    allocation::size_class,
    hash::{Hash, HashView},
    packed_encoding, packed_view, prefetch,
};

use super::{
    Entry, ValueRef,
    layout::{
        ACCESS, EPOCH, EXPIRES, EXPIRY_LEN, FLAGS, HEADER, KIND, Kind, LONG_KEY, LONG_VALUE, RAW, Stored, block_layout,
    },
};
use crate::{DEADLINE_BYTES_PER_KEY, SLOT_BYTES_PER_KEY};

/// One of the two epochs to which an entry can belong; see `snapshot/`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Epoch(pub(crate) bool);

/// Freeing a value of this size, in bytes, may take the allocator long. It is left to the graveyard's thread.
const HEAVY_VALUE_MIN: usize = 64 * 1024;
/// The size of a shared vector: two counts, and the vector itself.
const SHARED_VEC_BYTES: usize = 2 * size_of::<usize>() + size_of::<Vec<u8>>();
/// OBJECT ENCODING replies embstr if key and value together are no longer than this: on Redis 8.2 they then fit into 64 bytes with the
/// header.
const EMBSTR_LEN_MAX: usize = 41;
/// The expiry of a shorter key counts towards [`EMBSTR_LEN_MAX`]. For a key of this length or longer Redis reserves the room for an expiry
/// in any case. (Redis 8.2: `kvobjSet`)
const EMBSTR_KEY_WITH_EXPIRY_MIN: usize = 32;

/// A borrowed [`Entry`].
#[derive(Clone, Copy)]
pub struct EntryRef<'a> {
    pub(super) block: NonNull<u8>,
    pub(super) borrow: PhantomData<&'a Entry>,
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
        debug_assert!(at < HEADER);
        // SAFETY: every entry begins with a header.
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
    pub(super) fn flags(self) -> u8 {
        self.byte(FLAGS)
    }

    #[inline]
    pub(super) fn kind(self) -> Kind {
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
    pub(super) fn form(self) -> u8 {
        self.byte(KIND) >> 6
    }

    /// Returns the value as it is stored.
    pub(super) fn stored(self) -> Stored<'a> {
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
    pub(super) fn value_span(self) -> (usize, usize) {
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
    pub(super) fn stored_bytes(self) -> &'a [u8] {
        let (at, len) = self.value_span();
        // SAFETY: the span lies inside the block, which lives and is not written to for 'a.
        unsafe { std::slice::from_raw_parts(self.block.as_ptr().add(at), len) }
    }

    /// Returns the size of the entry in bytes, which determines the layout of the block.
    pub(super) fn block_size(self) -> usize {
        let (at, len) = self.value_span();
        at + len
    }

    /// Returns the size of the entry in bytes, and the layout of its block.
    pub(crate) fn block_len_and_layout(self) -> (usize, Layout) {
        let len = self.block_size();
        (len, block_layout(len))
    }

    /// Returns the address of the allocation that the entry owns.
    pub(super) fn address(self) -> u64 {
        debug_assert!(self.kind().is_address());
        u64::from_le_bytes(self.stored_bytes().try_into().expect("an address has eight bytes"))
    }

    pub(super) fn boxed(self) -> &'a AnyCollection {
        debug_assert_eq!(self.kind(), Kind::Boxed);
        // SAFETY: an entry of kind Boxed owns the collection at this address, and is borrowed for 'a.
        unsafe { &*(self.address() as *const AnyCollection) }
    }

    pub(super) fn heap(self) -> &'a Vec<u8> {
        // SAFETY: an entry of kind Heap owns a count of the vector at this address, and is borrowed for 'a.
        unsafe { &*(self.address() as *const Vec<u8>) }
    }

    /// Returns the string in an allocation, shared with the entry.
    pub(super) fn shared_heap(self) -> Arc<Vec<u8>> {
        let address = std::ptr::from_ref(self.heap());
        // SAFETY: the address came from `Arc::into_raw`, and the entry owns one of the counts.
        unsafe {
            Arc::increment_strong_count(address);
            Arc::from_raw(address)
        }
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

    /// Returns the epoch to which the entry belongs.
    #[inline]
    pub(crate) fn epoch(self) -> Epoch {
        Epoch(self.flags() & EPOCH != 0)
    }

    /// Sets the epoch to which the entry belongs. Besides the access clock, this is what may change while an entry is borrowed.
    ///
    /// # Safety
    /// The caller holds the lock of the entry's shard, or the entry is in no shard.
    #[inline]
    pub(crate) unsafe fn set_epoch(self, Epoch(is_second): Epoch) {
        let flags = self.flags() & !EPOCH | if is_second { EPOCH } else { 0 };
        // SAFETY: the header lies inside the block. The lock keeps other threads out, and no reference covers this byte.
        unsafe { self.block.as_ptr().add(FLAGS).write(flags) };
    }

    /// Returns the entry's bytes, unless its value lies in another allocation.
    pub(crate) fn own_bytes(self) -> Option<&'a [u8]> {
        if self.kind().is_address() {
            return None;
        }
        // SAFETY: the block has this size, lives for 'a, and is not written to but for the access clock and the epoch, under the lock.
        Some(unsafe { std::slice::from_raw_parts(self.block.as_ptr(), self.block_size()) })
    }

    /// Returns the length of a string that lies in another allocation.
    pub(crate) fn long_string_len(self) -> Option<usize> {
        (self.kind() == Kind::Heap).then(|| self.heap().len())
    }

    /// Returns whether the value is a string in another allocation that a duplicate of the entry shares.
    pub(crate) fn shares_string(self) -> bool {
        if self.kind() != Kind::Heap {
            return false;
        }
        // SAFETY: the address came from `Arc::into_raw`, and the entry owns one of the counts, which is not given up here.
        let value = ManuallyDrop::new(unsafe { Arc::from_raw(std::ptr::from_ref(self.heap())) });
        Arc::strong_count(&value) > 1
    }

    /// Prefetches what lies before the value of most entries.
    #[inline]
    pub(crate) fn prefetch(self) {
        prefetch::read_lines(self.block.as_ptr(), 1);
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

    /// Returns the memory that the entry takes in the tables of its database, in bytes and on average: its slot, and its deadlines.
    pub fn table_bytes(self) -> usize {
        let deadlines = usize::from(self.expiry_ms().is_some()) + usize::from(self.first_field_expiry_ms().is_some());
        SLOT_BYTES_PER_KEY + deadlines * DEADLINE_BYTES_PER_KEY
    }

    /// Returns the memory that the entry takes, in bytes: its block, and the allocation that it points to.
    pub fn memory_usage(self) -> usize {
        let heap = match self.kind() {
            Kind::Heap => SHARED_VEC_BYTES + size_class(self.heap().capacity().max(1)),
            Kind::Boxed => self.boxed().memory_usage(),
            Kind::Integer | Kind::Inline | Kind::Packed => 0,
        };
        size_class(self.block_size()) + heap
    }
}
