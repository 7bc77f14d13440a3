//! Glob patterns: those of KEYS, SCAN, PSUBSCRIBE, CONFIG GET and others, by the rules of Redis's `stringmatchlen` (util.c).
//!
//! ```text
//! *          any number of bytes          ?          any byte
//! [a-cx]     a, b, c or x                 [^a-c]     any byte but those
//! \*         a star                       [a\]]      a or ]
//! ```
//!
//! Clients can see some corner cases:
//!
//! - A class that is not closed ends with the pattern.
//! - A range may be written backwards. In a range, the bytes from 128 on come before the others.
//! - An escaped byte in a class is compared with case, even if the pattern ignores case.
//! - The empty text is matched by the empty pattern only.
//! - A pattern of more than 1,000 stars matches nothing.

use std::ops::RangeInclusive;

/// A pattern with more stars than this matches nothing. Neighbouring stars count as one, and stars at the end do not count.
const STARS_MAX: usize = 1_000;

/// A class of at most this many bytes is read again for each byte that it is matched with. A longer one is read once, into a bitmap.
const SHORT_CLASS_LEN_MAX: usize = 32;

/// A pattern that is ready to be matched with many texts.
#[derive(Clone, Debug)]
pub struct Pattern<B> {
    bytes: B,
    ignores_case: bool,
    /// The long classes, in order.
    classes: Vec<LongClass>,
}

/// A class of more than [`SHORT_CLASS_LEN_MAX`] bytes.
#[derive(Clone, Debug)]
struct LongClass {
    /// The position in the pattern behind the class's opening bracket.
    start: usize,
    /// The position in the pattern behind the class.
    end: usize,
    /// The bytes that the class matches.
    members: ByteSet,
}

impl<B: AsRef<[u8]>> Pattern<B> {
    /// Prepares a pattern.
    pub fn new(pattern: B) -> Pattern<B> {
        Pattern::prepare(pattern, false)
    }

    /// Prepares a pattern that disregards the case of ASCII letters.
    pub fn ignoring_case(pattern: B) -> Pattern<B> {
        Pattern::prepare(pattern, true)
    }

    fn prepare(bytes: B, ignores_case: bool) -> Pattern<B> {
        let mut pattern = Pattern { bytes, ignores_case, classes: Vec::new() };
        if pattern.bytes.as_ref().len() > SHORT_CLASS_LEN_MAX {
            pattern.classes = pattern.glob().long_classes();
        }
        pattern
    }

    /// Returns whether the pattern matches the whole of `text`.
    #[inline]
    pub fn matches(&self, text: &[u8]) -> bool {
        self.glob().matches(text)
    }

    fn glob(&self) -> Glob<'_> {
        Glob { pattern: self.bytes.as_ref(), ignores_case: self.ignores_case, classes: &self.classes }
    }
}

#[derive(Clone, Copy)]
struct Glob<'a> {
    pattern: &'a [u8],
    ignores_case: bool,
    classes: &'a [LongClass],
}

impl Glob<'_> {
    /// Where the match fails, only the last star is tried with one more byte. The pattern before it has matched the shortest possible part
    /// of the text, so that another choice of an earlier star would only leave less. So there are no more steps than the product of the
    /// lengths.
    fn matches(self, text: &[u8]) -> bool {
        let pattern = self.pattern;
        let (mut at, mut text_at) = (0, 0);
        // The positions in the pattern behind the last star, and in the text at which the rest of the pattern was tried last.
        let mut last_star = None;
        let mut stars = 0;
        loop {
            if at == pattern.len() && text_at == text.len() {
                return true;
            }
            let step = if at == pattern.len() || text_at == text.len() { None } else { self.step(at, text[text_at]) };
            match step {
                Some(Step::Star) => {
                    while pattern.get(at) == Some(&b'*') {
                        at += 1;
                    }
                    if at == pattern.len() {
                        return true;
                    }
                    stars += 1;
                    if stars > STARS_MAX {
                        return false;
                    }
                    last_star = Some((at, text_at));
                }
                Some(Step::Byte { next }) => {
                    at = next;
                    text_at += 1;
                    while text_at == text.len() && pattern.get(at) == Some(&b'*') {
                        at += 1;
                    }
                }
                None => match &mut last_star {
                    Some((star_at, tried)) if *tried + 1 < text.len() => {
                        *tried += 1;
                        (at, text_at) = (*star_at, *tried);
                    }
                    _ => return false,
                },
            }
        }
    }

    /// Matches one byte with the pattern at `at`. `None` says that they do not match.
    #[inline]
    fn step(self, at: usize, byte: u8) -> Option<Step> {
        match self.pattern[at] {
            b'*' => Some(Step::Star),
            b'?' => Some(Step::Byte { next: at + 1 }),
            b'[' => self.class(at + 1, byte),
            b'\\' if at + 1 < self.pattern.len() => self.literal(at + 1, byte),
            _ => self.literal(at, byte),
        }
    }

    fn literal(self, at: usize, byte: u8) -> Option<Step> {
        (self.folded(self.pattern[at]) == self.folded(byte)).then_some(Step::Byte { next: at + 1 })
    }

    /// Matches one byte with a class; `at` is the position behind its bracket.
    fn class(self, at: usize, byte: u8) -> Option<Step> {
        if !self.classes.is_empty()
            && let Ok(found) = self.classes.binary_search_by_key(&at, |class| class.start)
        {
            let class = &self.classes[found];
            return class.members.contains(byte).then_some(Step::Byte { next: class.end });
        }
        let mut found = false;
        let (negated, next) = self.walk_class(at, |part| {
            found |= match part {
                Part::Exactly(escaped) => escaped == byte,
                Part::Range(range) => range.contains(&(self.folded(byte) as i8)),
            };
        });
        (found != negated).then_some(Step::Byte { next })
    }

    /// Visits the parts of a class; `at` is the position behind its bracket. Returns whether the class is negated, and the position behind it.
    #[inline]
    fn walk_class(self, mut at: usize, mut visit: impl FnMut(Part)) -> (bool, usize) {
        let negated = self.pattern.get(at) == Some(&b'^');
        at += usize::from(negated);
        loop {
            match self.pattern[at..] {
                [b'\\', escaped, ..] => {
                    visit(Part::Exactly(escaped));
                    at += 2;
                }
                [b']', ..] => return (negated, at + 1),
                [] => return (negated, at),
                [start, b'-', end, ..] => {
                    // C's char is signed. As on Redis, the bounds are put in order before their case is folded.
                    let (start, end) = if start as i8 <= end as i8 { (start, end) } else { (end, start) };
                    visit(Part::Range(self.folded(start) as i8..=self.folded(end) as i8));
                    at += 3;
                }
                [other, ..] => {
                    let other = self.folded(other) as i8;
                    visit(Part::Range(other..=other));
                    at += 1;
                }
            }
        }
    }

    /// Finds the long classes, by a walk over the pattern.
    fn long_classes(self) -> Vec<LongClass> {
        let mut classes = Vec::new();
        let mut at = 0;
        while at < self.pattern.len() {
            at += match self.pattern[at] {
                b'[' => {
                    let start = at + 1;
                    let (_, end) = self.walk_class(start, |_| {});
                    if end - start > SHORT_CLASS_LEN_MAX {
                        classes.push(LongClass { start, end, members: self.members(start) });
                    }
                    end - at
                }
                b'\\' => 2,
                _ => 1,
            };
        }
        classes
    }

    /// The bytes that a class matches; `at` is the position behind its bracket.
    fn members(self, at: usize) -> ByteSet {
        let (mut exactly, mut folded) = (ByteSet::default(), ByteSet::default());
        let (negated, _) = self.walk_class(at, |part| match part {
            Part::Exactly(byte) => exactly.insert(byte as i8..=byte as i8),
            Part::Range(range) => folded.insert(range),
        });
        let mut members = ByteSet::default();
        for byte in 0..=u8::MAX {
            if (exactly.contains(byte) || folded.contains(self.folded(byte))) != negated {
                members.insert(byte as i8..=byte as i8);
            }
        }
        members
    }

    #[inline]
    fn folded(self, byte: u8) -> u8 {
        if self.ignores_case { byte.to_ascii_lowercase() } else { byte }
    }
}

enum Step {
    /// The pattern has a star.
    Star,
    /// The byte matches; the pattern continues at `next`.
    Byte { next: usize },
}

/// A part of a class.
enum Part {
    /// An escaped byte, which is compared with case.
    Exactly(u8),
    /// The bytes whose folded form is in the range, as C's signed characters.
    Range(RangeInclusive<i8>),
}

/// A set of bytes.
#[derive(Clone, Copy, Debug, Default)]
struct ByteSet([u128; 2]);

impl ByteSet {
    /// The place of a byte. Places are in the order of C's signed characters.
    fn place(byte: i8) -> u8 {
        byte as u8 ^ 0x80
    }

    #[inline]
    fn contains(&self, byte: u8) -> bool {
        let place = ByteSet::place(byte as i8);
        self.0[usize::from(place >> 7)] >> (place & 127) & 1 == 1
    }

    /// Adds a range, which may be empty.
    fn insert(&mut self, range: RangeInclusive<i8>) {
        if range.is_empty() {
            return;
        }
        let (start, end) = (ByteSet::place(*range.start()), ByteSet::place(*range.end()));
        for (half, bits) in (0..).zip(&mut self.0) {
            let (low, high) = (start.max(half * 128), end.min(half * 128 + 127));
            if low <= high {
                *bits |= u128::MAX >> (127 - (high - low)) << (low & 127);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &[u8], text: &[u8]) -> bool {
        Pattern::new(pattern).matches(text)
    }

    fn matches_ignore_case(pattern: &[u8], text: &[u8]) -> bool {
        Pattern::ignoring_case(pattern).matches(text)
    }

    #[track_caller]
    fn check(pattern: &str, matching: &[&str], others: &[&str]) {
        for (texts, expected) in [(matching, true), (others, false)] {
            for text in texts {
                assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), expected, "{pattern:?} and {text:?}");
            }
        }
    }

    #[test]
    fn stars_and_question_marks() {
        check("", &[""], &["a"]);
        check("abc", &["abc"], &["", "ab", "abcd", "ABC"]);
        check("*", &["a", "abc"], &[""]);
        check("**", &["a", "abc"], &[""]);
        check("a*", &["a", "abc"], &["", "ba"]);
        check("*a", &["a", "ba", "aa"], &["", "ab"]);
        check("a**?**c", &["abc", "abbc"], &["ac", "ab"]);
        check("h?llo", &["hello", "h?llo"], &["hllo", "heello"]);
        check("*ab*cd*", &["abcd", "xabxcdx", "aababcd"], &["acbd", "cdab"]);
    }

    #[test]
    fn classes() {
        check("h[ae]llo", &["hallo", "hello"], &["hillo", "hllo"]);
        check("h[^e]llo", &["hallo", "h^llo"], &["hello"]);
        check("[a-c]", &["a", "b", "c"], &["d", "-", ""]);
        check("[c-a]", &["a", "b", "c"], &["d", "-"]);
        check("[a-]", &["a", "_", "]"], &["-", "b"]);
        check("[-a]", &["a", "-"], &["b"]);
        check("[]-a]", &[], &["]", "a", "]-a]"]);
        check(r"[\]a]", &["]", "a"], &["\\", "b"]);
        check(r"[\]", &["]"], &["\\", "a"]);
        check("[ab", &["a", "b"], &["[", "[ab", "c"]);
        check("[^", &["a", "["], &["", "aa"]);
        check("[", &[], &["[", "a"]);
        check("[]", &[], &["a", "]", ""]);
        check("[^]", &["a", "]"], &[""]);
        check("[a-", &["a", "-"], &["b"]);
        assert!(matches(b"[\x80-\x90]", b"\x85") && matches(b"[\xf0-a]", b"A") && !matches(b"[\x80-\x90]", b"a"));
    }

    #[test]
    fn escapes() {
        check(r"\*", &["*"], &["a", r"\*"]);
        check(r"a\?c", &["a?c"], &["abc"]);
        check(r"\[a]", &["[a]"], &["a"]);
        check(r"a\", &[r"a\"], &["a"]);
        check(r"\\", &[r"\"], &[r"\\"]);
    }

    #[test]
    fn case_is_ignored_where_asked() {
        for (pattern, text, expected) in [
            ("HeLLo*", "hEllO world", true),
            ("[A-C]x", "bX", true),
            ("[^a]", "A", false),
            (r"[\a]", "A", false),
            (r"\a", "A", true),
            // The bounds are swapped before their case is folded, so that the range is empty but for its ends.
            ("[a-Z]", "m", false),
            ("[a-Z]", "z", false),
        ] {
            assert_eq!(matches_ignore_case(pattern.as_bytes(), text.as_bytes()), expected, "{pattern:?} and {text:?}");
        }
    }

    #[test]
    fn many_stars_are_quick_and_too_many_match_nothing() {
        let text = [b'a'; 20_000];
        assert!(!matches(&[b"a*".repeat(900), b"b".to_vec()].concat(), &text));
        assert!(matches(&[b"a*".repeat(1_000), b"a".to_vec()].concat(), &text));
        assert!(!matches(&[b"a*".repeat(1_001), b"a".to_vec()].concat(), &text));
        assert!(matches(&b"a*".repeat(1_001), &text));
    }

    #[test]
    fn long_classes_are_read_once() {
        // 200 classes of 10,000 bytes would take a billion steps if each byte of the text was compared with all of a class.
        let class = [&b"["[..], &b"ab-c".repeat(2_500), b"]"].concat();
        let text = [b'a'; 1_000];
        assert_eq!(Pattern::new(&[b"*".to_vec(), class.repeat(200)].concat()).classes.len(), 200);
        assert_eq!(Pattern::new(b"[a][b-c]").classes.len(), 0, "short classes are not worth it");
        assert!(!matches(&[&b"*"[..], &class.repeat(200), b"x"].concat(), &text));
        assert!(matches(&[&b"*"[..], &class.repeat(200)].concat(), &text));
        // The walk that finds them passes escaped brackets and brackets inside of classes.
        let escaped = [br"\[[[\]", &b"x".repeat(40)[..], br"]\]"].concat();
        for (text, expected) in [(&b"[x]"[..], true), (b"[[]", true), (b"[]]", true), (b"[y]", false)] {
            assert_eq!(matches(&escaped, text), expected);
        }
    }
}
