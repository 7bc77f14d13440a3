//! How the text of a directive becomes a value, and back.
//!
//! A rule is named in the directive's row. The reasons for a refusal are Redis's words, since tools and test suites match them.

use std::borrow::Cow;

use super::words;

mod choice;
mod limits;
mod lists;
mod number;
mod text;

pub(crate) use choice::choices;
pub use choice::{Bool, Choice, Choices, Named, OneOf};
pub use limits::{LimitsByClass, OutputLimit, OutputLimits, SavePoints};
pub use lists::{Addresses, NotifyClasses, OomScores, Percentiles};
pub use number::{Integer, MaxmemoryClients, Memory, MemoryOrPercent, Octal, parse_memory};
pub use text::{Directory, FileName, OptionalPath, OptionalText, PrimaryAddress, Text, system_text};

/// Why a value is refused, in Redis's words.
pub type Reason = Cow<'static, str>;

/// Where a value comes from, for the rules that add up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// The first line of this directive among all that are read at start: it replaces the default.
    FirstLine,
    /// A further line at start.
    FurtherLine,
    /// CONFIG SET.
    RunTime,
}

/// The text of a kind of setting.
pub trait Rule: Sized {
    type Value: Clone + PartialEq;

    /// Whether the value is several words. CONFIG SET then cuts its argument at spaces, as a line of a file is cut.
    const SEVERAL_WORDS: bool = false;

    /// Whether lines of a file add up, until an empty one clears them.
    const ADDS_UP: bool = false;

    /// Reads a value; the words are one, unless the rule takes several.
    fn parse(&self, words: &[&[u8]]) -> Result<Self::Value, Reason>;

    /// Reads a value that may keep something of the one before.
    fn parse_after(&self, words: &[&[u8]], _before: &Self::Value, _place: Place) -> Result<Self::Value, Reason> {
        self.parse(words)
    }

    /// The value as CONFIG GET shows it.
    fn show(&self, value: &Self::Value) -> Vec<u8>;

    /// The value as a file says it: the words after the directive's name, of one line or of several.
    fn lines(&self, value: &Self::Value) -> Vec<Vec<u8>> {
        let shown = self.show(value);
        vec![if Self::SEVERAL_WORDS && !shown.is_empty() { shown } else { words::quote_if_needed(&shown) }]
    }
}

/// Takes no other value than one: for what cannot be had in this version and must not be promised.
pub struct Only<R> {
    pub rule: R,
    /// As CONFIG GET shows it.
    pub allowed: &'static str,
    pub why: &'static str,
}

impl<R: Rule> Rule for Only<R> {
    type Value = R::Value;
    const SEVERAL_WORDS: bool = R::SEVERAL_WORDS;

    fn parse(&self, words: &[&[u8]]) -> Result<R::Value, Reason> {
        let value = self.rule.parse(words)?;
        if self.rule.show(&value) == self.allowed.as_bytes() { Ok(value) } else { Err(self.why.into()) }
    }

    fn show(&self, value: &R::Value) -> Vec<u8> {
        self.rule.show(value)
    }
}

/// A setting's default, or a kept setting's own text: what the rule itself showed.
pub fn parse_shown<R: Rule>(rule: &R, shown: &[u8]) -> Result<R::Value, Reason> {
    let words: Vec<&[u8]> = if !R::SEVERAL_WORDS {
        vec![shown]
    } else if shown.is_empty() {
        vec![]
    } else {
        shown.split(|&byte| byte == b' ').collect()
    };
    rule.parse(&words)
}

const WRONG_NUMBER_OF_ARGUMENTS: Reason = Cow::Borrowed("wrong number of arguments");

fn one_word<'a>(words: &[&'a [u8]]) -> Result<&'a [u8], Reason> {
    match words {
        [word] => Ok(word),
        _ => Err(WRONG_NUMBER_OF_ARGUMENTS),
    }
}
