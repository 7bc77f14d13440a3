//! Values with names: `yes` and `no`, one of several names, or some of several names.

use std::marker::PhantomData;

use super::{Reason, Rule, one_word};

/// `yes` or `no`.
pub struct Bool;

impl Rule for Bool {
    type Value = bool;

    fn parse(&self, words: &[&[u8]]) -> Result<bool, Reason> {
        let word = one_word(words)?;
        if word.eq_ignore_ascii_case(b"yes") {
            Ok(true)
        } else if word.eq_ignore_ascii_case(b"no") {
            Ok(false)
        } else {
            Err("argument must be 'yes' or 'no'".into())
        }
    }

    fn show(&self, value: &bool) -> Vec<u8> {
        if *value { b"yes".to_vec() } else { b"no".to_vec() }
    }
}

/// A type whose values have names in the configuration. The macro `choices` declares one.
pub trait Named: Copy + PartialEq + 'static {
    /// The names and their values, in the order in which an error lists them.
    const NAMES: &'static [(&'static str, Self)];
}

/// Declares an enum whose values have names in the configuration.
macro_rules! choices {
    ($($(#[$attribute:meta])* $name:ident { $($(#[doc = $doc:literal])* $value:ident = $text:literal,)+ })+) => {
        $(
            $(#[$attribute])*
            #[derive(Clone, Copy, PartialEq, Eq, Debug)]
            pub enum $name { $($(#[doc = $doc])* $value,)+ }

            impl $crate::config::rules::Named for $name {
                const NAMES: &'static [(&'static str, Self)] = &[$(($text, Self::$value),)+];
            }
        )+
    };
}
pub(crate) use choices;

/// The name of a value of a type.
pub struct Choice<T>(PhantomData<T>);

impl<T: Named> Choice<T> {
    /// The rule for a type.
    pub const fn new() -> Choice<T> {
        Choice(PhantomData)
    }
}

impl<T: Named> Rule for Choice<T> {
    type Value = T;

    fn parse(&self, words: &[&[u8]]) -> Result<T, Reason> {
        let word = one_word(words)?;
        let found = T::NAMES.iter().find(|(name, _)| word.eq_ignore_ascii_case(name.as_bytes()));
        found.map(|(_, value)| *value).ok_or_else(|| not_one_of(T::NAMES.iter().map(|(name, _)| *name)))
    }

    fn show(&self, value: &T) -> Vec<u8> {
        let named = T::NAMES.iter().find(|(_, named)| named == value);
        named.expect("every value has a name").0.as_bytes().to_vec()
    }
}

/// One of several names, for directives that are only kept.
pub struct OneOf(pub &'static [&'static str]);

impl Rule for OneOf {
    type Value = &'static str;

    fn parse(&self, words: &[&[u8]]) -> Result<&'static str, Reason> {
        let word = one_word(words)?;
        let found = self.0.iter().find(|name| word.eq_ignore_ascii_case(name.as_bytes()));
        found.copied().ok_or_else(|| not_one_of(self.0.iter().copied()))
    }

    fn show(&self, value: &&'static str) -> Vec<u8> {
        value.as_bytes().to_vec()
    }
}

/// Some of several names. The first name stands for "none of the others" and has no effect beside them.
pub struct Choices {
    /// All names.
    pub names: &'static [&'static str],
    /// Two names that exclude each other.
    pub exclusive: (&'static str, &'static str),
    /// The error for a value with both of these.
    pub both: &'static str,
}

impl Rule for Choices {
    type Value = Vec<&'static str>;
    const SEVERAL_WORDS: bool = true;

    fn parse(&self, words: &[&[u8]]) -> Result<Vec<&'static str>, Reason> {
        let refused = || not_one_of(self.names.iter().copied());
        let mut chosen = vec![false; self.names.len()];
        for word in words {
            let index = self.names.iter().position(|name| word.eq_ignore_ascii_case(name.as_bytes()));
            chosen[index.ok_or_else(refused)?] = true;
        }
        let chosen: Vec<_> =
            self.names.iter().zip(chosen).filter(|(_, chosen)| *chosen).map(|(name, _)| *name).collect();
        if chosen.contains(&self.exclusive.0) && chosen.contains(&self.exclusive.1) {
            return Err(self.both.into());
        }
        match chosen.as_slice() {
            [] => Err(refused()),
            [first, rest @ ..] if *first == self.names[0] && !rest.is_empty() => Ok(rest.to_vec()),
            _ => Ok(chosen),
        }
    }

    fn show(&self, value: &Vec<&'static str>) -> Vec<u8> {
        value.join(" ").into_bytes()
    }
}

fn not_one_of(names: impl Iterator<Item = &'static str>) -> Reason {
    format!("argument(s) must be one of the following: {}", names.collect::<Vec<_>>().join(", ")).into()
}
