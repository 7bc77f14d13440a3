//! The errors of commands, in Redis's exact words: clients match on them.

use std::borrow::Cow;

use ochre_datatypes::WrongType;

/// An error reply: its code, then its text (`ERR syntax error`), without the protocol's mark. Bytes, since some repeat what a client sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandError(Cow<'static, [u8]>);

impl CommandError {
    pub const SYNTAX: CommandError = CommandError::text("ERR syntax error");
    pub const WRONG_TYPE: CommandError =
        CommandError::text("WRONGTYPE Operation against a key holding the wrong kind of value");
    pub const NOT_AN_INTEGER: CommandError = CommandError::text("ERR value is not an integer or out of range");
    pub const NOT_A_FLOAT: CommandError = CommandError::text("ERR value is not a valid float");
    pub const OUT_OF_RANGE: CommandError = CommandError::text("ERR value is out of range");
    pub const NO_SUCH_KEY: CommandError = CommandError::text("ERR no such key");
    pub const OVERFLOW: CommandError = CommandError::text("ERR increment or decrement would overflow");

    /// A fixed text.
    pub const fn text(text: &'static str) -> CommandError {
        CommandError(Cow::Borrowed(text.as_bytes()))
    }

    /// A composed text.
    pub fn composed(text: impl Into<Vec<u8>>) -> CommandError {
        CommandError(Cow::Owned(text.into()))
    }

    /// A text that repeats a client's word, up to a zero byte as C prints it.
    pub fn repeating(before: &str, word: &[u8], after: &str) -> CommandError {
        CommandError::composed([before.as_bytes(), until_zero(word), after.as_bytes()].concat())
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// For a command or subcommand called with the wrong number of arguments; `name` as `config|get`.
    pub fn wrong_arity(name: &str) -> CommandError {
        CommandError::composed(format!("ERR wrong number of arguments for '{name}' command"))
    }

    /// For an expiry that is not in the future or overflows; `name` is the command's.
    pub fn invalid_expire(name: &str) -> CommandError {
        CommandError::composed(format!("ERR invalid expire time in '{name}' command"))
    }
}

impl From<WrongType> for CommandError {
    fn from(_: WrongType) -> CommandError {
        CommandError::WRONG_TYPE
    }
}

/// The beginning of a client's word that C prints.
pub fn until_zero(word: &[u8]) -> &[u8] {
    &word[..memchr::memchr(0, word).unwrap_or(word.len())]
}
