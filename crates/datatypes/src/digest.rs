//! The digest of a string, for DIGEST and for the conditions IFDEQ and IFDNE: the 64-bit XXH3 as 16 hexadecimal digits. (Redis 8.4: the
//! DIGEST page)

/// The digest of a string value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest(u64);

impl Digest {
    /// The length of a digest's text in bytes.
    pub const TEXT_LEN: usize = 16;

    /// Computes the digest of a value.
    pub fn of(value: &[u8]) -> Digest {
        Digest(xxhash_rust::xxh3::xxh3_64(value))
    }

    /// Parses 16 hexadecimal digits, whose letters may be in any case. Returns `None` for anything else.
    pub fn parse(text: &[u8]) -> Option<Digest> {
        if text.len() != Digest::TEXT_LEN || !text.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        u64::from_str_radix(str::from_utf8(text).ok()?, 16).ok().map(Digest)
    }

    /// Returns the digest as 16 hexadecimal digits in lower case.
    pub fn to_text(self) -> [u8; Digest::TEXT_LEN] {
        let mut text = [0; Digest::TEXT_LEN];
        for (index, digit) in text.iter_mut().enumerate() {
            *digit = b"0123456789abcdef"[(self.0 >> (60 - 4 * index) & 0xf) as usize];
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_sixteen_digits() {
        for (value, text) in [("Hello world", "b6acb9d84a38ff74"), ("", "2d06800538d394c2")] {
            assert_eq!(String::from_utf8_lossy(&Digest::of(value.as_bytes()).to_text()), text);
            assert_eq!(Digest::parse(text.as_bytes()), Some(Digest::of(value.as_bytes())));
            assert_eq!(Digest::parse(text.to_uppercase().as_bytes()), Some(Digest::of(value.as_bytes())));
        }
        assert_eq!(Digest(1).to_text(), *b"0000000000000001");
        for text in ["", "2d06800538d394c", "2d06800538d394c20", "+d06800538d394c2", "2d06800538d394cg"] {
            assert_eq!(Digest::parse(text.as_bytes()), None, "{text}");
        }
    }
}
