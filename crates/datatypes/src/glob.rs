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

/// A pattern with more stars than this matches nothing. Neighbouring stars count as one, and stars at the end do not count.
const STARS_MAX: usize = 1_000;

/// Returns whether `pattern` matches the whole of `text`.
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    Glob { pattern, ignores_case: false }.matches(text)
}

/// As [`matches()`], without regard to the case of ASCII letters.
pub fn matches_ignore_case(pattern: &[u8], text: &[u8]) -> bool {
    Glob { pattern, ignores_case: true }.matches(text)
}

#[derive(Clone, Copy)]
struct Glob<'a> {
    pattern: &'a [u8],
    ignores_case: bool,
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
    fn class(self, mut at: usize, byte: u8) -> Option<Step> {
        let negated = self.pattern.get(at) == Some(&b'^');
        at += usize::from(negated);
        let mut found = false;
        loop {
            match self.pattern[at..] {
                [b'\\', escaped, ..] => {
                    found |= escaped == byte;
                    at += 2;
                }
                [b']', ..] => {
                    at += 1;
                    break;
                }
                [] => break,
                [start, b'-', end, ..] => {
                    // C's char is signed. As on Redis, the bounds are put in order before their case is folded.
                    let (start, end) = if start as i8 <= end as i8 { (start, end) } else { (end, start) };
                    let range = self.folded(start) as i8..=self.folded(end) as i8;
                    found |= range.contains(&(self.folded(byte) as i8));
                    at += 3;
                }
                [other, ..] => {
                    found |= self.folded(other) == self.folded(byte);
                    at += 1;
                }
            }
        }
        (found != negated).then_some(Step::Byte { next: at })
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
