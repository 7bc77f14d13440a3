//! The two directives whose value is spread over several lines: output limits by class of client, and save points.

use super::{
    Place, Reason, Rule,
    number::{parse_integer, parse_memory},
};

/// How many bytes may wait to be sent to one client before it is disconnected; 0 is no limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct OutputLimit {
    /// Above this the client is disconnected at once.
    pub hard_bytes: u64,
    /// Above this for `soft_seconds` the client is disconnected.
    pub soft_bytes: u64,
    /// See `soft_bytes`.
    pub soft_seconds: u64,
}

/// The limit of each class of client.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct OutputLimits {
    /// Clients without subscriptions.
    pub normal: OutputLimit,
    /// Replicas.
    pub replica: OutputLimit,
    /// Clients with subscriptions.
    pub pubsub: OutputLimit,
}

/// `client-output-buffer-limit`: class, hard limit, soft limit, seconds. A class that is not named keeps its limit.
pub struct LimitsByClass;

impl Rule for LimitsByClass {
    type Value = OutputLimits;
    const SEVERAL_WORDS: bool = true;

    fn parse(&self, words: &[&[u8]]) -> Result<OutputLimits, Reason> {
        self.parse_after(words, &OutputLimits::default(), Place::FirstLine)
    }

    fn parse_after(&self, words: &[&[u8]], before: &OutputLimits, _place: Place) -> Result<OutputLimits, Reason> {
        const UNREADABLE: &str = "Error in hard, soft or soft_seconds setting in buffer limit configuration.";
        let mut limits = *before;
        let (groups, rest) = words.as_chunks::<4>();
        if !rest.is_empty() {
            return Err("Wrong number of arguments in buffer limit configuration.".into());
        }
        for [class, hard, soft, seconds] in groups {
            let limit =
                limits.of_class(class).ok_or("Invalid client class specified in buffer limit configuration.")?;
            *limit = OutputLimit {
                hard_bytes: parse_memory(hard).ok_or(UNREADABLE)? as u64,
                soft_bytes: parse_memory(soft).ok_or(UNREADABLE)? as u64,
                soft_seconds: parse_integer(seconds).and_then(|value| u64::try_from(value).ok()).ok_or(UNREADABLE)?,
            };
        }
        Ok(limits)
    }

    fn show(&self, value: &OutputLimits) -> Vec<u8> {
        self.lines(value).join(&b' ')
    }

    fn lines(&self, value: &OutputLimits) -> Vec<Vec<u8>> {
        let line = |(class, limit): (&str, OutputLimit)| {
            format!("{class} {} {} {}", limit.hard_bytes, limit.soft_bytes, limit.soft_seconds).into_bytes()
        };
        [("normal", value.normal), ("slave", value.replica), ("pubsub", value.pubsub)].map(line).to_vec()
    }
}

impl OutputLimits {
    fn of_class(&mut self, class: &[u8]) -> Option<&mut OutputLimit> {
        match class.to_ascii_lowercase().as_slice() {
            b"normal" => Some(&mut self.normal),
            b"slave" | b"replica" => Some(&mut self.replica),
            b"pubsub" => Some(&mut self.pubsub),
            _ => None,
        }
    }
}

/// `save`: pairs of seconds and changes. A snapshot is due after the seconds if there were at least that many changes. Each line adds to the
/// pairs; an empty line clears them.
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
        let at_least =
            |word, least| parse_integer(word).filter(|value| (least..=i32::MAX as i64).contains(value)).ok_or(INVALID);
        pairs.iter().map(|[seconds, changes]| Ok((at_least(seconds, 1)?, at_least(changes, 0)?))).collect()
    }

    fn parse_after(&self, words: &[&[u8]], before: &Self::Value, place: Place) -> Result<Self::Value, Reason> {
        let points = self.parse(words)?;
        let adds = place == Place::FurtherLine && !points.is_empty();
        Ok(if adds { before.iter().copied().chain(points).collect() } else { points })
    }

    fn show(&self, value: &Self::Value) -> Vec<u8> {
        let points: Vec<_> = value.iter().map(|(seconds, changes)| format!("{seconds} {changes}")).collect();
        points.join(" ").into_bytes()
    }

    fn lines(&self, value: &Self::Value) -> Vec<Vec<u8>> {
        if value.is_empty() {
            return vec![b"\"\"".to_vec()];
        }
        value.iter().map(|(seconds, changes)| format!("{seconds} {changes}").into_bytes()).collect()
    }
}
