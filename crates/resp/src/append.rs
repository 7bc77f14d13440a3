//! Appending a bulk string with a single check of the buffer's room. Most of what a server writes are short strings, for which three
//! separate appends take longer than copying the bytes.

use std::ptr;

use crate::ReplyBuffer;

/// The most bytes of a bulk string's header: `$`, 20 digits and the line end.
const HEAD_MAX: usize = 23;
/// The end of a line in RESP.
const LINE_END: [u8; 2] = *b"\r\n";

/// Appends a bulk string: `$`, the length, the bytes and both line ends. It is dropped if the buffer overflows.
#[inline]
pub(crate) fn bulk(out: &mut ReplyBuffer, bytes: &[u8]) {
    let Some(out) = out.room(HEAD_MAX + bytes.len() + LINE_END.len()) else { return };
    let len = bytes.len();
    // SAFETY: the buffer was just given room for everything that is written here. The pieces are written one behind the other from the
    // buffer's end on, and the length is set to the end of the last one. `bytes` is a borrowed slice, so that it does not overlap the room.
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

/// Copies bytes. Up to 32 bytes are copied as two pieces that may overlap, which is quicker than a loop or a call.
///
/// # Safety
/// `to` must have room for the bytes, and must not overlap them.
#[inline]
unsafe fn copy(bytes: &[u8], to: *mut u8) {
    let (from, len) = (bytes.as_ptr(), bytes.len());
    macro_rules! ends {
        ($piece:ty) => {{
            const LEN: usize = size_of::<$piece>();
            // SAFETY: there are at least `LEN` bytes, so that the first `LEN` and the last `LEN` lie within them and within the room.
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
        // SAFETY: the caller promises room, and no overlap.
        _ => unsafe { ptr::copy_nonoverlapping(from, to, len) },
    }
}

#[cfg(test)]
mod tests {
    use super::{ReplyBuffer, bulk};

    #[test]
    fn appends_strings_of_any_length() {
        for len in (0..300).chain([999, 1000, 65_535, 65_536, 1 << 20]) {
            let bytes: Vec<u8> = (0..len).map(|index| (index * 7 + len) as u8).collect();
            for before in [&b""[..], b"+OK\r\n"] {
                // With no room to spare and with some.
                for spare in [0, 1, 100] {
                    let mut bytes_before = Vec::with_capacity(before.len() + spare);
                    bytes_before.extend_from_slice(before);
                    let mut out = ReplyBuffer::from(bytes_before);
                    bulk(&mut out, &bytes);
                    let expected = [before, format!("${len}\r\n").as_bytes(), &bytes, b"\r\n"].concat();
                    assert!(*out == expected, "{len} bytes");
                }
            }
        }
    }
}
