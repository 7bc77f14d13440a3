//! The arguments that LMPOP, BLMPOP, ZMPOP and BZMPOP share: `numkeys key... end [COUNT count]`.

use super::{CommandError, context::KeyedWrite, numbers::positive};

/// What to pop, and from which keys. `E` is an end: left or right of a list, lowest or highest of a sorted set.
pub struct MultiPop<E> {
    /// The index of the first key among the arguments.
    pub first_key: usize,
    /// The number of keys.
    pub keys: usize,
    /// The end to pop from.
    pub end: E,
    /// The most elements to pop; at least 1.
    pub count: usize,
}

impl<E> MultiPop<E> {
    /// Parses the arguments from `numkeys` on, which is at `index`. `parse_end` reads the end at an index.
    pub fn parse<'a>(
        cx: &KeyedWrite<'a>,
        index: usize,
        parse_end: impl FnOnce(&KeyedWrite<'a>, usize) -> Result<E, CommandError>,
    ) -> Result<MultiPop<E>, CommandError> {
        let keys = positive(cx, index, "ERR numkeys should be greater than 0")?;
        let end_at = keys.saturating_add(index + 1);
        if end_at >= cx.args.len() {
            return Err(CommandError::SYNTAX);
        }
        let end = parse_end(cx, end_at)?;
        let option_at = end_at + 1;
        let count = match cx.args.len() - option_at {
            0 => 1,
            2.. if cx.is_word(option_at, "COUNT") => positive(cx, option_at + 1, "ERR count should be greater than 0")?,
            _ => return Err(CommandError::SYNTAX),
        };
        // A wrong count is reported before arguments that follow it.
        if cx.args.len() > option_at + 2 {
            return Err(CommandError::SYNTAX);
        }
        Ok(MultiPop { first_key: index + 1, keys, end, count })
    }
}
