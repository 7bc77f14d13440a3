//! Glob patterns: `*`, `?`, `[a-z]`, `[^…]`, and `\` before a character that is meant itself (Redis: `stringmatchlen`).
//!
//! The time is at most the product of the two lengths: where the rest after a star does not match, only that star is tried longer, for
//! making an earlier one longer cannot help.

/// Whether a pattern matches all of a text.
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    matches_folded(pattern, text, |byte| byte)
}

/// As [`matches`], with no difference between the ASCII letters' cases.
pub fn matches_ignore_case(pattern: &[u8], text: &[u8]) -> bool {
    matches_folded(pattern, text, |byte| byte.to_ascii_lowercase())
}

fn matches_folded(pattern: &[u8], text: &[u8], fold: impl Fn(u8) -> u8 + Copy) -> bool {
    // Not even a star matches the empty text.
    if text.is_empty() {
        return pattern.is_empty();
    }
    let (mut p, mut t) = (0, 0);
    // Where to go on when there is no match: behind the last star, which takes one byte more.
    let mut last_star: Option<(usize, usize)> = None;
    loop {
        if t == text.len() {
            return pattern[p..].iter().all(|&byte| byte == b'*');
        }
        if pattern.get(p) == Some(&b'*') {
            p += 1;
            last_star = Some((p, t));
            if p == pattern.len() {
                return true;
            }
            continue;
        }
        match step(&pattern[p..], text[t], fold) {
            Some(len) => {
                p += len;
                t += 1;
            }
            None => {
                let Some((after_star, from)) = last_star else { return false };
                p = after_star;
                t = from + 1;
                last_star = Some((after_star, t));
            }
        }
    }
}

/// How long the pattern's first item is, if it is there and matches the byte.
fn step(pattern: &[u8], byte: u8, fold: impl Fn(u8) -> u8 + Copy) -> Option<usize> {
    match *pattern {
        [] => None,
        [b'?', ..] => Some(1),
        [b'[', ..] => {
            let (matched, len) = class(&pattern[1..], byte, fold);
            matched.then_some(1 + len)
        }
        [b'\\', meant, ..] => (fold(meant) == fold(byte)).then_some(2),
        [meant, ..] => (fold(meant) == fold(byte)).then_some(1),
    }
}

/// Whether a class, of which the bracket is gone, matches a byte, and how long it is. A class that is not closed ends with the pattern.
fn class(pattern: &[u8], byte: u8, fold: impl Fn(u8) -> u8) -> (bool, usize) {
    let negated = pattern.first() == Some(&b'^');
    let mut at = usize::from(negated);
    let mut matched = false;
    loop {
        match pattern[at..] {
            [] => break,
            [b'\\', meant, ..] => {
                matched |= meant == byte;
                at += 2;
            }
            [b']', ..] => {
                at += 1;
                break;
            }
            [start, b'-', end, ..] => {
                let (low, high) = (fold(start.min(end)), fold(start.max(end)));
                matched |= (low..=high).contains(&fold(byte));
                at += 3;
            }
            [meant, ..] => {
                matched |= fold(meant) == fold(byte);
                at += 1;
            }
        }
    }
    (matched != negated, at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, text: &str, expected: bool) {
        assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), expected, "{pattern} on {text}");
    }

    #[test]
    fn patterns() {
        for (pattern, text, expected) in [
            ("*", "x", true),
            ("*", "", false),
            ("", "", true),
            ("h?llo", "hello", true),
            ("h*llo", "heeeello", true),
            ("h*llo", "hello!", false),
            ("h[ae]llo", "hallo", true),
            ("h[^e]llo", "hello", false),
            ("h[a-b]llo", "hbllo", true),
            ("h[b-a]llo", "hbllo", true),
            ("a\\*b", "a*b", true),
            ("a\\*b", "axb", false),
            ("a\\", "a\\", true),
            ("[\\]]", "]", true),
            ("[abc", "c", true),
            ("*a*b*", "xxaxxbxx", true),
            ("*ab", "abaab", true),
            ("a**", "a", true),
            ("?", "", false),
        ] {
            check(pattern, text, expected);
        }
        assert!(matches_ignore_case(b"HE[L-N]*", b"hello"));
        assert!(!matches(b"HE*", b"hello"));
    }

    #[test]
    fn many_stars_take_no_exponential_time() {
        check(&"a*".repeat(500), &("a".repeat(5000) + "b"), true);
        check(&("a*".repeat(500) + "b"), &"a".repeat(5000), false);
    }
}
