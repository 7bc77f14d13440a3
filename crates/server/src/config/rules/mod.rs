//! Rules: how the text of a directive becomes a value, and back.
//!
//! A directive's row names its rule. Errors have Redis's text, since tools and test suites match it.

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

/// Why a value is refused, in Redis's text.
pub type Reason = Cow<'static, str>;

/// Where a value comes from. Rules whose lines add up ask for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// The first line of the directive among all that are read at start. It replaces the default.
    FirstLine,
    /// A further line of the directive at start.
    FurtherLine,
    /// CONFIG SET.
    RunTime,
}

/// How values of one kind are parsed and shown.
pub trait Rule: Sized {
    /// The type of the values.
    type Value: Clone + PartialEq;

    /// Whether a value consists of several words. CONFIG SET then splits its argument at spaces, as a line of a file is split.
    const SEVERAL_WORDS: bool = false;

    /// Whether each further line of a file adds to the value, until an empty one clears it.
    const ADDS_UP: bool = false;

    /// Parses a value. There is one word, unless the rule accepts several.
    fn parse(&self, words: &[&[u8]]) -> Result<Self::Value, Reason>;

    /// Parses a value that may keep a part of the value before it.
    fn parse_after(&self, words: &[&[u8]], _before: &Self::Value, _place: Place) -> Result<Self::Value, Reason> {
        self.parse(words)
    }

    /// The value as CONFIG GET shows it.
    fn show(&self, value: &Self::Value) -> Vec<u8>;

    /// The value as a file has it: for each line, the text after the directive's name.
    fn lines(&self, value: &Self::Value) -> Vec<Vec<u8>> {
        let shown = self.show(value);
        vec![if Self::SEVERAL_WORDS && !shown.is_empty() { shown } else { words::quote_if_needed(&shown) }]
    }
}

/// Accepts one value only: for a feature that this version does not have and must not pretend to have.
pub struct Only<R> {
    /// The rule of the directive in Redis, which is checked first.
    pub rule: R,
    /// The value that is accepted, as CONFIG GET shows it.
    pub allowed: &'static str,
    /// The error for every other value.
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

/// Parses a text that [`Rule::show`] wrote: a row's default, or the text of a kept directive.
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
