//! The classes of events that `notify-keyspace-events` enables (Redis: `notify.c`).

use bitflags::bitflags;

bitflags! {
    /// The classes of events, each with its letter in `notify-keyspace-events`.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct NotifyClass: u32 {
        /// K: `__keyspace@<db>__:<key>` messages.
        const KEYSPACE = 1;
        /// E: `__keyevent@<db>__:<event>` messages.
        const KEYEVENT = 1 << 1;
        /// g: commands of no particular type, such as DEL and EXPIRE.
        const GENERIC = 1 << 2;
        /// $: commands on strings.
        const STRING = 1 << 3;
        /// l: commands on lists.
        const LIST = 1 << 4;
        /// s: commands on sets.
        const SET = 1 << 5;
        /// h: commands on hashes.
        const HASH = 1 << 6;
        /// z: commands on sorted sets.
        const SORTED_SET = 1 << 7;
        /// x: a key has expired.
        const EXPIRED = 1 << 8;
        /// e: a key was evicted.
        const EVICTED = 1 << 9;
        /// t: commands on streams.
        const STREAM = 1 << 10;
        /// m: a key that was accessed does not exist. Not part of A.
        const KEY_MISS = 1 << 11;
        /// d: commands on types of modules.
        const MODULE = 1 << 13;
        /// n: a key was created. Not part of A.
        const NEW = 1 << 14;
        /// o: a value was overwritten. Not part of A.
        const OVERWRITTEN = 1 << 15;
        /// c: a key's type has changed. Not part of A.
        const TYPE_CHANGED = 1 << 16;
        /// A: all classes that are not marked otherwise.
        const ALL = Self::GENERIC.bits() | Self::STRING.bits() | Self::LIST.bits() | Self::SET.bits() | Self::HASH.bits()
            | Self::SORTED_SET.bits() | Self::EXPIRED.bits() | Self::EVICTED.bits() | Self::STREAM.bits() | Self::MODULE.bits();
    }
}

/// The letters of the classes, in the order in which CONFIG GET shows them. A comes before them.
const LETTERS: [(char, NotifyClass); 16] = [
    ('g', NotifyClass::GENERIC),
    ('$', NotifyClass::STRING),
    ('l', NotifyClass::LIST),
    ('s', NotifyClass::SET),
    ('h', NotifyClass::HASH),
    ('z', NotifyClass::SORTED_SET),
    ('x', NotifyClass::EXPIRED),
    ('e', NotifyClass::EVICTED),
    ('t', NotifyClass::STREAM),
    ('d', NotifyClass::MODULE),
    ('n', NotifyClass::NEW),
    ('o', NotifyClass::OVERWRITTEN),
    ('c', NotifyClass::TYPE_CHANGED),
    ('K', NotifyClass::KEYSPACE),
    ('E', NotifyClass::KEYEVENT),
    ('m', NotifyClass::KEY_MISS),
];

/// The first n of `LETTERS` are not shown beside an A. They include n, o and c, which are not part of A (Redis has the same quirk).
const LETTERS_UNDER_ALL: usize = 13;

impl NotifyClass {
    /// Parses the letters of `notify-keyspace-events`. The error is Redis's text for an unknown letter.
    pub fn parse(letters: &[u8]) -> Result<NotifyClass, &'static str> {
        letters.iter().try_fold(NotifyClass::empty(), |classes, &letter| {
            if letter == b'A' {
                return Ok(classes | NotifyClass::ALL);
            }
            match LETTERS.iter().find(|(other, _)| *other == char::from(letter)) {
                Some((_, class)) => Ok(classes | *class),
                None => Err("Invalid event class character. Use 'Ag$lshzxeKEtmdn'."),
            }
        })
    }

    /// The letters, as CONFIG GET shows them.
    pub fn letters(self) -> String {
        let all = self.contains(NotifyClass::ALL);
        let shown = if all { &LETTERS[LETTERS_UNDER_ALL..] } else { &LETTERS[..] };
        all.then_some('A').into_iter().chain(self.letters_among(shown)).collect()
    }

    /// The letters, including those that CONFIG GET omits beside an A. Parsing them gives the same classes again.
    pub fn letters_in_full(self) -> String {
        let left_out = self
            .contains(NotifyClass::ALL)
            .then(|| (self - NotifyClass::ALL).letters_among(&LETTERS[..LETTERS_UNDER_ALL]));
        self.letters().chars().chain(left_out.into_iter().flatten()).collect()
    }

    fn letters_among(self, letters: &[(char, NotifyClass)]) -> impl Iterator<Item = char> {
        letters.iter().filter(move |(_, class)| self.contains(*class)).map(|(letter, _)| *letter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(letters: &str) -> String {
        NotifyClass::parse(letters.as_bytes()).map_or_else(str::to_owned, NotifyClass::letters)
    }

    #[test]
    fn letters_are_shown_in_redis_s_order() {
        for (given, expected) in [
            ("", ""),
            ("A", "A"),
            ("KEA", "AKE"),
            ("$lsh", "$lsh"),
            ("mK", "Km"),
            ("KEn", "nKE"),
            ("Eo", "oE"),
            ("KEc", "cKE"),
            ("KEAmn", "AKEm"),
            ("Kg$lshzxetd", "AK"),
            ("Kgxe", "gxeK"),
            ("q", "Invalid event class character. Use 'Ag$lshzxeKEtmdn'."),
        ] {
            assert_eq!(shown(given), expected, "{given}");
        }
        let all_and_new = NotifyClass::ALL | NotifyClass::NEW | NotifyClass::KEYSPACE;
        assert_eq!(all_and_new.letters_in_full(), "AKn");
    }
}
