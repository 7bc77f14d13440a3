//! Prefetching: a batch asks for the memory of all its keys before it looks at the first.

/// Asks for the cache line of a value.
#[inline(always)]
pub(crate) fn read<T>(value: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch of any address has no effect but on the caches; SSE is part of x86-64.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(value.cast::<i8>())
    };
    #[cfg(not(target_arch = "x86_64"))]
    let _ = value;
}

/// Asks for `lines` cache lines of 64 bytes from an address on.
#[inline(always)]
pub(crate) fn read_lines(address: *const u8, lines: usize) {
    for line in 0..lines {
        read(address.wrapping_add(line * 64));
    }
}
