//! What an allocation really takes: the allocator's size classes, the header of an `Arc`, and how many bytes are slow to free.
//!
//! Chunks and leaves fill the size class that they would get anyway, so that they grow without another allocation.

/// The two reference counts that an `Arc` keeps in front of its contents, in bytes.
pub(crate) const ARC_HEADER: usize = 2 * size_of::<usize>();

/// A value with this many bytes on the heap is freed by a thread of its own, where that holds up no client. See
/// [`Collection::is_heavy`](crate::Collection::is_heavy).
pub(crate) const HEAVY_BYTES_MIN: usize = 64 * 1024;

/// The size of the block that the allocator returns for a request of `size` bytes: jemalloc's size classes, which are multiples of 16 up to 128,
/// four to a doubling up to 32 KiB, and whole pages above. The smallest is 16.
pub const fn size_class(size: usize) -> usize {
    if size <= 128 {
        let size = if size == 0 { 1 } else { size };
        return size.next_multiple_of(16);
    }
    if size > 32 * 1024 {
        return size.next_multiple_of(4096);
    }
    size.next_multiple_of(1 << ((size - 1).ilog2() - 2))
}

/// Makes room for `added` bytes behind those of a string. A short string doubles its room, so that appending takes O(1), amortised. A longer
/// one gets a megabyte more than it needs, as in Redis (`SDS_MAX_PREALLOC`). The allocator copies it only when it outgrows its size class,
/// which is a quarter larger each time at most, so appending stays O(1).
pub fn reserve_to_append(string: &mut Vec<u8>, added: usize) {
    const SPARE_BYTES_MAX: usize = 1 << 20;
    let len = string.len() + added;
    if len > string.capacity() {
        string.reserve_exact(added + len.min(SPARE_BYTES_MAX));
    }
}

/// Estimates the bytes on the heap of a B-tree of the standard library, with `len` items of `item_bytes`. A node has room for 11. Items that come in
/// order leave nodes behind that are half full.
pub(crate) const fn btree_bytes(len: usize, item_bytes: usize) -> usize {
    const NODE_ITEMS: usize = 11;
    const HALF: usize = 6;
    /// Its parent, its place in it, and its length.
    const NODE_HEADER: usize = 16;
    let leaf = size_class(NODE_ITEMS * item_bytes + NODE_HEADER);
    if len == 0 {
        return 0;
    }
    if len <= NODE_ITEMS {
        return leaf;
    }
    let leaves = len.div_ceil(HALF + 1);
    leaves * leaf + leaves.div_ceil(HALF) * size_class(leaf + (NODE_ITEMS + 1) * 8)
}

/// The number of bytes, `len` or more, with which an `Arc<[u8]>` fills its size class.
pub(crate) const fn arc_len(len: usize) -> usize {
    size_class(len + ARC_HEADER) - ARC_HEADER
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_string_has_a_megabyte_to_spare() {
        let (mut string, mut moves) = (Vec::new(), 0);
        while string.len() < 24 << 20 {
            let capacity = string.capacity();
            reserve_to_append(&mut string, 1_024);
            moves += usize::from(string.capacity() != capacity);
            string.resize(string.len() + 1_024, 0);
            assert!(string.capacity() <= (2 * string.len()).min(string.len() + (1 << 20)), "{}", string.len());
        }
        // Ten times to a megabyte, then at each further one.
        assert!(moves <= 11 + 24, "{moves}");
    }

    #[test]
    fn size_classes_are_those_of_jemalloc() {
        for (size, class) in [
            (0, 16),
            (1, 16),
            (16, 16),
            (17, 32),
            (128, 128),
            (129, 160),
            (160, 160),
            (161, 192),
            (256, 256),
            (257, 320),
            (1024, 1024),
            (1025, 1280),
            (20_480, 20_480),
            (28_673, 32_768),
            (32_769, 36_864),
            (1_000_000, 1_003_520),
        ] {
            assert_eq!(size_class(size), class, "{size}");
        }
        assert_eq!(arc_len(100), 128 - ARC_HEADER);
    }
}
