//! Prefetching: asking the processor for memory before it is read, so that several cache misses are waited for at once.
//!
//! A batch asks for the memory of all its keys, and of the elements that its commands name, before the first command runs. This module has
//! the primitives; `element_prefetch.rs` follows the pointers that lead to an element of a large collection.

/// The size of a cache line in bytes.
pub const LINE: usize = 64;

/// Prefetches the cache line that `value` points to. The address is never dereferenced, so that it may dangle.
#[inline(always)]
pub fn read<T>(value: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch of any address has no effect but on the caches; SSE is part of x86-64.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(value.cast::<i8>())
    };
    #[cfg(not(target_arch = "x86_64"))]
    let _ = value;
}

/// Prefetches `lines` consecutive cache lines, beginning with the one at `address`. As in [`read`], the address may dangle.
#[inline(always)]
pub fn read_lines(address: *const u8, lines: usize) {
    for line in 0..lines {
        read(address.wrapping_add(line * LINE));
    }
}
