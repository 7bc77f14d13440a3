//! Values of several words or letters.

use crate::events::NotifyClass;

use super::{
    Reason, Rule, WRONG_NUMBER_OF_ARGUMENTS,
    number::parse_integer,
    one_word,
    words::{quote, quote_if_needed},
};

/// `bind`: addresses to listen on. `-` in front of an address means that it may be missing on this machine; `*` is every address.
pub struct Addresses;

impl Rule for Addresses {
    type Value = Vec<String>;
    const SEVERAL_WORDS: bool = true;

    fn parse(&self, words: &[&[u8]]) -> Result<Vec<String>, Reason> {
        const ADDRESSES_MAX: usize = 16;
        // A word may hold several addresses, as in CONFIG SET, or none, as `bind ""` in a file.
        let texts = words.iter().map(|word| String::from_utf8_lossy(word));
        let addresses: Vec<String> =
            texts.flat_map(|text| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>()).collect();
        if addresses.len() > ADDRESSES_MAX { Err("Too many bind addresses specified.".into()) } else { Ok(addresses) }
    }

    fn show(&self, value: &Vec<String>) -> Vec<u8> {
        value.join(" ").into_bytes()
    }

    fn lines(&self, value: &Vec<String>) -> Vec<Vec<u8>> {
        let words: Vec<Vec<u8>> = value.iter().map(|address| quote_if_needed(address.as_bytes())).collect();
        vec![if words.is_empty() { quote(b"") } else { words.join(&b' ') }]
    }
}

/// `notify-keyspace-events`: a letter for each class of events.
pub struct NotifyClasses;

impl Rule for NotifyClasses {
    type Value = NotifyClass;

    fn parse(&self, words: &[&[u8]]) -> Result<NotifyClass, Reason> {
        NotifyClass::parse(one_word(words)?).map_err(Reason::Borrowed)
    }

    fn show(&self, value: &NotifyClass) -> Vec<u8> {
        value.letters().into_bytes()
    }

    fn lines(&self, value: &NotifyClass) -> Vec<Vec<u8>> {
        // As in Redis, CONFIG GET hides some letters beside A. A file must keep them.
        vec![quote(value.letters_in_full().as_bytes())]
    }
}

/// `latency-tracking-info-percentiles`: numbers from 0 to 100.
pub struct Percentiles;

impl Rule for Percentiles {
    type Value = Vec<f64>;
    const SEVERAL_WORDS: bool = true;

    fn parse(&self, words: &[&[u8]]) -> Result<Vec<f64>, Reason> {
        let words = if words == [b""] { &[] } else { words };
        let parse = |word: &&[u8]| {
            let text = std::str::from_utf8(word).ok();
            let value: Option<f64> = text.and_then(|text| text.parse().ok()).filter(|value: &f64| value.is_finite());
            match value.ok_or("Invalid latency-tracking-info-percentiles parameters")? {
                percentile if (0.0..=100.0).contains(&percentile) => Ok(percentile),
                _ => Err("latency-tracking-info-percentiles parameters should sit between [0.0,100.0]".into()),
            }
        };
        words.iter().map(parse).collect()
    }

    fn show(&self, value: &Vec<f64>) -> Vec<u8> {
        value.iter().map(f64::to_string).collect::<Vec<_>>().join(" ").into_bytes()
    }
}

/// `oom-score-adj-values`: three scores, for a primary, a replica, and a child process that saves.
pub struct OomScores;

impl Rule for OomScores {
    type Value = [i64; 3];
    const SEVERAL_WORDS: bool = true;

    fn parse(&self, words: &[&[u8]]) -> Result<[i64; 3], Reason> {
        let words: [&[u8]; 3] = words.try_into().map_err(|_| WRONG_NUMBER_OF_ARGUMENTS)?;
        let mut scores = [0; 3];
        for (score, word) in scores.iter_mut().zip(words) {
            let value = parse_integer(word).filter(|value| (-2000..=2000).contains(value));
            *score = value.ok_or("Invalid oom-score-adj-values, elements must be between -2000 and 2000.")?;
        }
        Ok(scores)
    }

    fn show(&self, [primary, replica, child]: &[i64; 3]) -> Vec<u8> {
        format!("{primary} {replica} {child}").into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_quoted_in_a_file_where_it_needs_it() {
        let lines = |addresses: &[&str]| Addresses.lines(&addresses.iter().map(|&it| it.to_owned()).collect());
        assert_eq!(lines(&["127.0.0.1", "-::1"]), [b"127.0.0.1 -::1"]);
        assert_eq!(lines(&["a\"b", "c"]), [br#""a\"b" c"#]);
        assert_eq!(lines(&[]), [br#""""#]);
    }

    #[test]
    fn notify_letters_are_shown_in_redis_order() {
        for (given, shown, line) in [
            ("", "", "\"\""),
            ("An", "A", "\"An\""),
            ("AKm", "AKm", "\"AKm\""),
            ("KEA", "AKE", "\"AKE\""),
            ("$lshzxetdn", "$lshzxetdn", "\"$lshzxetdn\""),
            ("Kgn", "gnK", "\"gnK\""),
            ("g$lshzxetd", "A", "\"A\""),
        ] {
            let value = NotifyClasses.parse(&[given.as_bytes()]).unwrap();
            assert_eq!(NotifyClasses.show(&value), shown.as_bytes(), "{given}");
            assert_eq!(NotifyClasses.lines(&value), [line.as_bytes()], "{given}");
        }
        assert!(NotifyClasses.parse(&[b"Kq"]).is_err());
    }
}
