//! The errors of commands, in Redis's exact words: clients match on them.

use std::borrow::Cow;

/// An error reply: its code, then its text (`ERR syntax error`), without the protocol's mark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandError(pub Cow<'static, str>);

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
        CommandError(Cow::Borrowed(text))
    }

    /// A composed text.
    pub fn composed(text: String) -> CommandError {
        CommandError(Cow::Owned(text))
    }

    /// For a command or subcommand called with the wrong number of arguments; `name` as `config|get`.
    pub fn wrong_arity(name: &str) -> CommandError {
        CommandError(format!("ERR wrong number of arguments for '{name}' command").into())
    }

    /// For an expiry that is not in the future or overflows; `name` is the command's.
    pub fn invalid_expire(name: &str) -> CommandError {
        CommandError(format!("ERR invalid expire time in '{name}' command").into())
    }
}
