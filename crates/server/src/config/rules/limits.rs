//! The two settings that several lines build up: output buffers by class of client, and save points.

use super::{
    Place, Reason, Rule,
    number::{parse_integer, parse_memory},
};

/// How much may wait for one client before it is disconnected; 0 is no limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct OutputLimit {
    /// More than this, and the client goes at once.
    pub hard_bytes: u64,
    /// More than this for `soft_seconds`, and the client goes.
    pub soft_bytes: u64,
    pub soft_seconds: u64,
}

/// `client-output-buffer-limit`: class, hard, soft, seconds. A class that is not named keeps its limit.
pub struct OutputLimits;

const CLASSES: [&str; 3] = ["normal", "slave", "pubsub"];

impl Rule for OutputLimits {
    type Value = [OutputLimit; 3];
    const SEVERAL_WORDS: bool = true;

    fn parse(&self, words: &[&[u8]]) -> Result<[OutputLimit; 3], Reason> {
        self.parse_after(words, &Default::default(), Place::FirstLine)
    }

    fn parse_after(&self, words: &[&[u8]], before: &[OutputLimit; 3], _place: Place) -> Result<[OutputLimit; 3], Reason> {
        const UNREADABLE: &str = "Error in hard, soft or soft_seconds setting in buffer limit configuration.";
        let mut limits = *before;
        let (groups, rest) = words.as_chunks::<4>();
        if !rest.is_empty() {
            return Err("Wrong number of arguments in buffer limit configuration.".into());
        }
        for [class, hard, soft, seconds] in groups {
            let index = class_index(class).ok_or("Invalid client class specified in buffer limit configuration.")?;
            limits[index] = OutputLimit {
                hard_bytes: parse_memory(hard).ok_or(UNREADABLE)? as u64,
                soft_bytes: parse_memory(soft).ok_or(UNREADABLE)? as u64,
                soft_seconds: parse_integer(seconds).and_then(|value| u64::try_from(value).ok()).ok_or(UNREADABLE)?,
            };
        }
        Ok(limits)
    }

    fn show(&self, value: &[OutputLimit; 3]) -> Vec<u8> {
        join(self.lines(value))
    }

    fn lines(&self, value: &[OutputLimit; 3]) -> Vec<Vec<u8>> {
        let line = |(class, limit): (&str, &OutputLimit)| {
            format!("{class} {} {} {}", limit.hard_bytes, limit.soft_bytes, limit.soft_seconds).into_bytes()
        };
        CLASSES.into_iter().zip(value).map(line).collect()
    }
}

fn class_index(word: &[u8]) -> Option<usize> {
    let word = if word.eq_ignore_ascii_case(b"replica") { b"slave" } else { word };
    CLASSES.iter().position(|class| word.eq_ignore_ascii_case(class.as_bytes()))
}

/// `save`: a snapshot is due after so many seconds if at least so many changes were made. Lines add up; an empty one clears all.
pub struct SavePoints;

impl Rule for SavePoints {
    type Value = Vec<(i64, i64)>;
    const SEVERAL_WORDS: bool = true;
    const ADDS_UP: bool = true;

    fn parse(&self, words: &[&[u8]]) -> Result<Vec<(i64, i64)>, Reason> {
        const INVALID: &str = "Invalid save parameters";
        let (pairs, rest) = if words == [b""] { (&[][..], &[][..]) } else { words.as_chunks::<2>() };
        if !rest.is_empty() {
            return Err(INVALID.into());
        }
        let at_least = |word, least| parse_integer(word).filter(|value| (least..=i32::MAX as i64).contains(value)).ok_or(INVALID);
        pairs.iter().map(|[seconds, changes]| Ok((at_least(seconds, 1)?, at_least(changes, 0)?))).collect()
    }

    fn parse_after(&self, words: &[&[u8]], before: &Self::Value, place: Place) -> Result<Self::Value, Reason> {
        let points = self.parse(words)?;
        let adds = place == Place::FurtherLine && !points.is_empty();
        Ok(if adds { before.iter().copied().chain(points).collect() } else { points })
    }

    fn show(&self, value: &Self::Value) -> Vec<u8> {
        join(value.iter().map(|(seconds, changes)| format!("{seconds} {changes}").into_bytes()).collect())
    }

    fn lines(&self, value: &Self::Value) -> Vec<Vec<u8>> {
        if value.is_empty() {
            return vec![b"\"\"".to_vec()];
        }
        value.iter().map(|(seconds, changes)| format!("{seconds} {changes}").into_bytes()).collect()
    }
}

fn join(parts: Vec<Vec<u8>>) -> Vec<u8> {
    parts.join(&b' ')
}
