//! The map from names to commands. It is made to be fast, since the lookup is the first thing that happens to a request.

/// The length of the longest name, in bytes.
const NAME_LEN_MAX: usize = 24;

/// A name in lowercase, padded with zeros. Names are hashed and compared as words, without a loop over bytes.
type Words = [u64; NAME_LEN_MAX / 8];

/// There are about four times as many slots as commands, so that the first probe finds most names.
const SLOTS: usize = 1 << SLOT_BITS;
const SLOT_BITS: u32 = 10;

/// A map from names, ignoring ASCII case, to numbers: open addressing with linear probing. (Redis: a dict of SDS strings)
pub(super) struct Names {
    slots: Box<[Option<(Words, usize)>]>,
}

impl Default for Names {
    fn default() -> Names {
        Names { slots: vec![None; SLOTS].into() }
    }
}

/// The padded lowercase name. Returns `None` for a name that is too long, or that has a zero byte, which would look like padding.
#[inline]
fn words(name: &[u8]) -> Option<Words> {
    let (&last, len) = (name.last()?, name.len());
    if last == 0 || len > NAME_LEN_MAX {
        return None;
    }
    // Most names are short. Their bytes are read in two overlapping pieces, without a loop.
    if len < 4 {
        let byte = |at: usize| u64::from(name[at]) << (8 * at);
        return Some([lowercase(byte(0) | byte(len / 2) | byte(len - 1)), 0, 0]);
    }
    if let (Some(first), Some(rest)) = (name.first_chunk::<4>(), name.last_chunk::<4>())
        && len <= 8
    {
        let high = u64::from(u32::from_le_bytes(*rest)) << (8 * (len - 4));
        return Some([lowercase(u64::from(u32::from_le_bytes(*first)) | high), 0, 0]);
    }
    let mut bytes = [0; NAME_LEN_MAX];
    bytes.iter_mut().zip(name).for_each(|(byte, &of_name)| *byte = of_name);
    let (words, _) = bytes.as_chunks::<8>();
    Some([words[0], words[1], words[2]].map(|word| lowercase(u64::from_le_bytes(word))))
}

/// Eight bytes, with ASCII letters in lowercase.
#[inline]
fn lowercase(word: u64) -> u64 {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    // A byte's sum sets its highest bit if the byte is at least the letter. Bytes above 127 are masked, so that no sum carries over.
    let low = word & (0x7f * ONES);
    let from_a = low + (0x80 - b'A' as u64) * ONES;
    let beyond_z = low + (0x7f - b'Z' as u64) * ONES;
    let capitals = from_a & !beyond_z & !word & (0x80 * ONES);
    word | capitals >> 2
}

/// The slot at which the search for a name begins: multiplicative hashing (Knuth, volume 3, 6.4) by odd constants.
#[inline]
fn home(words: &Words) -> usize {
    let mixed = words[0].wrapping_mul(0x9e37_79b9_7f4a_7c15)
        ^ words[1].wrapping_mul(0xc2b2_ae3d_27d4_eb4f)
        ^ words[2].wrapping_mul(0x1656_67b1_9e37_79f9);
    (mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - SLOT_BITS)) as usize
}

impl Names {
    #[inline]
    pub(super) fn get(&self, name: &[u8]) -> Option<usize> {
        let words = words(name)?;
        let mut at = home(&words);
        loop {
            match &self.slots[at] {
                Some((other, number)) if *other == words => return Some(*number),
                Some(_) => at = (at + 1) % SLOTS,
                None => return None,
            }
        }
    }

    /// Adds a name. Returns false if the name exists already or is too long.
    pub(super) fn insert(&mut self, name: &[u8], number: usize) -> bool {
        let Some(words) = words(name) else { return false };
        let mut at = home(&words);
        while let Some((other, _)) = &self.slots[at] {
            if *other == words {
                return false;
            }
            at = (at + 1) % SLOTS;
        }
        self.slots[at] = Some((words, number));
        true
    }

    /// Removes a name. Returns its number, or `None` if there is no such name. All other names are inserted anew, since some may have probed
    /// past this one; it runs only at start.
    pub(super) fn remove(&mut self, name: &[u8]) -> Option<usize> {
        let number = self.get(name)?;
        let removed = words(name)?;
        let left: Vec<(Words, usize)> =
            self.slots.iter_mut().filter_map(Option::take).filter(|(other, _)| *other != removed).collect();
        for (words, number) in left {
            let mut at = home(&words);
            while self.slots[at].is_some() {
                at = (at + 1) % SLOTS;
            }
            self.slots[at] = Some((words, number));
        }
        Some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn makes_capitals_small_and_nothing_else() {
        for byte in 0..=u8::MAX {
            let word = u64::from_le_bytes([b'Z', byte, 0xff, byte, b'@', byte, b'[', byte]);
            assert_eq!(lowercase(word).to_le_bytes(), word.to_le_bytes().map(|byte| byte.to_ascii_lowercase()));
        }
    }

    #[test]
    fn reads_a_name_of_any_length() {
        for len in 1..=NAME_LEN_MAX {
            let name: Vec<u8> = (0..len).map(|i| b'A' + i as u8).collect();
            let mut padded = name.to_ascii_lowercase();
            padded.resize(NAME_LEN_MAX, 0);
            let read: Vec<u8> = words(&name).unwrap().iter().flat_map(|word| word.to_le_bytes()).collect();
            assert_eq!(read, padded);
        }
    }

    #[test]
    fn finds_names_in_any_case() {
        let mut names = Names::default();
        assert!(names.insert(b"get", 1));
        assert!(names.insert(b"georadiusbymember_ro", 2));
        assert!(!names.insert(b"GET", 3));
        assert!(!names.insert(&[b'x'; 25], 3));
        assert_eq!(names.get(b"GeT"), Some(1));
        assert_eq!(names.get(b"GEORADIUSBYMEMBER_ro"), Some(2));
        for absent in [&b"ge"[..], b"get\0", b"\0\0\0", b"", b"gett", &[b'g'; 100]] {
            assert_eq!(names.get(absent), None);
        }
        assert_eq!(names.remove(b"Get"), Some(1));
        assert_eq!((names.get(b"get"), names.get(b"georadiusbymember_ro")), (None, Some(2)));
    }
}
