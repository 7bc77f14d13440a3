//! Names of commands, to be found fast: the first thing that happens to a request.

/// The longest name of a command.
const NAME_LEN_MAX: usize = 24;

/// A name in lowercase, padded with zeros: equal names are equal words, which are hashed and compared without a loop.
type Words = [u64; NAME_LEN_MAX / 8];

/// Four times as many slots as there are commands, so that most names are found at once.
const SLOTS: usize = 1 << SLOT_BITS;
const SLOT_BITS: u32 = 10;

/// A map from names, in any case of their letters, to numbers: open addressing, linear probing. (Redis: a dict of SDS strings)
pub(super) struct Names {
    slots: Box<[Option<(Words, usize)>]>,
}

impl Default for Names {
    fn default() -> Names {
        Names { slots: vec![None; SLOTS].into() }
    }
}

/// The padded lowercase name; `None` where no command has a name so long, or where it holds a zero, which would look like padding.
#[inline]
fn words(name: &[u8]) -> Option<Words> {
    let mut bytes = [0; NAME_LEN_MAX];
    bytes.get_mut(..name.len())?.copy_from_slice(name);
    bytes.make_ascii_lowercase();
    if name.last() == Some(&0) {
        return None;
    }
    let (words, _) = bytes.as_chunks::<8>();
    Some([u64::from_le_bytes(words[0]), u64::from_le_bytes(words[1]), u64::from_le_bytes(words[2])])
}

/// Where the search for a name begins: multiplicative hashing (Knuth, volume 3, 6.4) by odd constants.
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

    /// Adds a name; false where it is there already, or too long.
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

    /// Takes a name away; its number, if it was there. Only at start: what may have probed past it is put in anew.
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
    fn finds_names_in_any_case() {
        let mut names = Names::default();
        assert!(names.insert(b"get", 1));
        assert!(names.insert(b"georadiusbymember_ro", 2));
        assert!(!names.insert(b"GET", 3));
        assert!(!names.insert(&[b'x'; 25], 3));
        assert_eq!(names.get(b"GeT"), Some(1));
        assert_eq!(names.get(b"GEORADIUSBYMEMBER_ro"), Some(2));
        for absent in [&b"ge"[..], b"get\0", b"", b"gett", &[b'g'; 100]] {
            assert_eq!(names.get(absent), None);
        }
        assert_eq!(names.remove(b"Get"), Some(1));
        assert_eq!((names.get(b"get"), names.get(b"georadiusbymember_ro")), (None, Some(2)));
    }
}
