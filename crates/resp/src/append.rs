//! Appending a reply's pieces with one look at the buffer's room. Replies of many short strings are most of what a server writes, and three
//! calls for each string take longer than the copying.

use std::ptr;

/// The most bytes of a length, its mark and its line end: 20 digits and three.
const HEAD_MAX: usize = 23;
const LINE_END: [u8; 2] = *b"\r\n";

/// Appends `$`, the length, the bytes and the two line ends.
#[inline]
pub(crate) fn bulk(out: &mut Vec<u8>, bytes: &[u8]) {
    out.reserve(HEAD_MAX + bytes.len() + LINE_END.len());
    let len = bytes.len();
    // SAFETY: the buffer was just made to have room for everything that is written here, one piece behind the other from its end on, and
    // its length is set to where they end. `bytes` is borrowed, so it is no part of the room.
    unsafe {
        let start = out.as_mut_ptr().add(out.len());
        let mut at = start;
        if len < 10 {
            at.cast::<[u8; 4]>().write_unaligned([b'$', b'0' + len as u8, b'\r', b'\n']);
            at = at.add(4);
        } else if len < 100 {
            let (tens, ones) = (b'0' + (len / 10) as u8, b'0' + (len % 10) as u8);
            at.cast::<[u8; 5]>().write_unaligned([b'$', tens, ones, b'\r', b'\n']);
            at = at.add(5);
        } else {
            let mut digits = itoa::Buffer::new();
            let digits = digits.format(len).as_bytes();
            at.write(b'$');
            ptr::copy_nonoverlapping(digits.as_ptr(), at.add(1), digits.len());
            at = at.add(1 + digits.len());
            at.cast::<[u8; 2]>().write_unaligned(LINE_END);
            at = at.add(LINE_END.len());
        }
        copy(bytes, at);
        at = at.add(len);
        at.cast::<[u8; 2]>().write_unaligned(LINE_END);
        at = at.add(LINE_END.len());
        out.set_len(out.len() + at.offset_from_unsigned(start));
    }
}

/// Copies bytes; short ones in two pieces that may overlap, which is quicker than a loop or a call.
///
/// # Safety
/// There is room for them at `to`, and they are no part of it.
#[inline]
unsafe fn copy(bytes: &[u8], to: *mut u8) {
    let (from, len) = (bytes.as_ptr(), bytes.len());
    macro_rules! ends {
        ($piece:ty) => {{
            const LEN: usize = size_of::<$piece>();
            // SAFETY: there are `LEN` bytes at least, so that the first and the last so many are among them and have room.
            unsafe {
                let (first, last) =
                    (from.cast::<$piece>().read_unaligned(), from.add(len - LEN).cast::<$piece>().read_unaligned());
                to.cast::<$piece>().write_unaligned(first);
                to.add(len - LEN).cast::<$piece>().write_unaligned(last);
            }
        }};
    }
    match len {
        16..=32 => ends!([u64; 2]),
        8..16 => ends!(u64),
        4..8 => ends!(u32),
        2..4 => ends!(u16),
        // SAFETY: the caller's promise.
        _ => unsafe { ptr::copy_nonoverlapping(from, to, len) },
    }
}

#[cfg(test)]
mod tests {
    use super::bulk;

    #[test]
    fn appends_strings_of_any_length() {
        for len in (0..300).chain([999, 1000, 65_535, 65_536, 1 << 20]) {
            let bytes: Vec<u8> = (0..len).map(|index| (index * 7 + len) as u8).collect();
            for before in [&b""[..], b"+OK\r\n"] {
                // With no room to spare and with some.
                for spare in [0, 1, 100] {
                    let mut out = Vec::with_capacity(before.len() + spare);
                    out.extend_from_slice(before);
                    bulk(&mut out, &bytes);
                    let expected = [before, format!("${len}\r\n").as_bytes(), &bytes, b"\r\n"].concat();
                    assert!(out == expected, "{len} bytes");
                }
            }
        }
    }
}
