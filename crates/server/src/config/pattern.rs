//! The glob patterns of CONFIG GET: `*`, `?`, `[a-c^…]` and `\`, on the lowercase names of directives.

/// Whether the pattern has anything to match; without, it is a name.
pub fn is_pattern(text: &[u8]) -> bool {
    text.iter().any(|byte| matches!(byte, b'*' | b'?' | b'['))
}

/// Whether the pattern matches the whole name.
pub fn matches(mut pattern: &[u8], mut name: &[u8]) -> bool {
    // Where to go on when a later part fails: behind the last star, one byte of the name further on.
    let mut retry: Option<(&[u8], &[u8])> = None;
    loop {
        match (pattern, name) {
            ([b'*', rest @ ..], _) => {
                retry = Some((rest, name));
                pattern = rest;
                continue;
            }
            ([], []) => return true,
            ([_, ..], [byte, tail @ ..]) => {
                if let Some(rest) = match_one(pattern, *byte) {
                    (pattern, name) = (rest, tail);
                    continue;
                }
            }
            _ => {}
        }
        match retry {
            Some((behind_star, [_, tail @ ..])) => {
                retry = Some((behind_star, tail));
                (pattern, name) = (behind_star, tail);
            }
            _ => return false,
        }
    }
}

/// The rest of the pattern if its first element matches the byte.
fn match_one(pattern: &[u8], byte: u8) -> Option<&[u8]> {
    match pattern {
        [b'?', rest @ ..] => Some(rest),
        [b'\\', literal, rest @ ..] => (*literal == byte).then_some(rest),
        [b'[', set @ ..] => match_set(set, byte),
        [literal, rest @ ..] => (*literal == byte).then_some(rest),
        [] => None,
    }
}

fn match_set(set: &[u8], byte: u8) -> Option<&[u8]> {
    let (negated, mut set) = match set {
        [b'^', rest @ ..] => (true, rest),
        _ => (false, set),
    };
    let mut found = false;
    loop {
        match set {
            [] | [b']', ..] => break,
            [b'\\', literal, rest @ ..] => {
                found |= *literal == byte;
                set = rest;
            }
            [low, b'-', high, rest @ ..] => {
                found |= (*low.min(high)..=*low.max(high)).contains(&byte);
                set = rest;
            }
            [literal, rest @ ..] => {
                found |= *literal == byte;
                set = rest;
            }
        }
    }
    (found != negated).then_some(set.get(1..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs() {
        for (pattern, name, expected) in [
            ("*", "", true),
            ("max*", "maxmemory", true),
            ("*max*ent*", "hash-max-listpack-entries", true),
            ("max", "maxmemory", false),
            ("?ort", "port", true),
            ("[o-q]ort", "port", true),
            ("[^p]ort", "port", false),
            ("\\*", "*", true),
            ("*a*b", "aab", true),
            ("*a*b", "aabc", false),
            ("[p", "p", true),
        ] {
            assert_eq!(matches(pattern.as_bytes(), name.as_bytes()), expected, "{pattern} {name}");
        }
    }
}
