//! The error replies of commands, in Redis's exact words: clients match on them.

use std::borrow::Cow;

use ochre_datatypes::WrongType;

/// An error reply: its code and its text (`ERR syntax error`), without the protocol's leading `-`. It is bytes rather than a string, since
/// some errors repeat what the client sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandError(Cow<'static, [u8]>);

impl CommandError {
    /// Unknown or misplaced options.
    pub const SYNTAX: CommandError = CommandError::text("ERR syntax error");
    /// The key holds a value of another type than the command is for.
    pub const WRONG_TYPE: CommandError =
        CommandError::text("WRONGTYPE Operation against a key holding the wrong kind of value");
    /// An argument or a stored value is not a 64-bit integer.
    pub const NOT_AN_INTEGER: CommandError = CommandError::text("ERR value is not an integer or out of range");
    /// An argument or a stored value is not a floating point number.
    pub const NOT_A_FLOAT: CommandError = CommandError::text("ERR value is not a valid float");
    /// A number is too large or too small.
    pub const OUT_OF_RANGE: CommandError = CommandError::text("ERR value is out of range");
    /// The key does not exist, and the command needs it.
    pub const NO_SUCH_KEY: CommandError = CommandError::text("ERR no such key");
    /// The sum of an increment is not a 64-bit integer.
    pub const OVERFLOW: CommandError = CommandError::text("ERR increment or decrement would overflow");

    /// An error with a fixed text.
    pub const fn text(text: &'static str) -> CommandError {
        CommandError(Cow::Borrowed(text.as_bytes()))
    }

    /// An error with a composed text.
    pub fn composed(text: impl Into<Vec<u8>>) -> CommandError {
        CommandError(Cow::Owned(text.into()))
    }

    /// An error that repeats a client's word between two texts. The word ends at its first zero byte, since Redis prints it with C's `%s`.
    pub fn repeating(before: &str, word: &[u8], after: &str) -> CommandError {
        CommandError::composed([before.as_bytes(), until_zero(word), after.as_bytes()].concat())
    }

    /// The code and the text.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The error for a wrong number of arguments. `name` is the full name, such as `config|get`.
    pub fn wrong_arity(name: &str) -> CommandError {
        CommandError::composed(format!("ERR wrong number of arguments for '{name}' command"))
    }

    /// The error for an expiry that is not in the future or that overflows. `name` is the command's.
    pub fn invalid_expire(name: &str) -> CommandError {
        CommandError::composed(format!("ERR invalid expire time in '{name}' command"))
    }
}

impl From<WrongType> for CommandError {
    fn from(_: WrongType) -> CommandError {
        CommandError::WRONG_TYPE
    }
}

/// The part of a word before its first zero byte, which is what C takes for the word.
pub fn until_zero(word: &[u8]) -> &[u8] {
    &word[..memchr::memchr(0, word).unwrap_or(word.len())]
}
