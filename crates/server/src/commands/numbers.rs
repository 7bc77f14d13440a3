//! Arguments that are counts, with the errors that Redis gives for them.

use super::{CommandError, context::Context};

/// A count of at least 1. `error` is the reply for anything else, such as "ERR numkeys should be greater than 0".
pub fn positive<K>(cx: &Context<'_, K>, index: usize, error: &'static str) -> Result<usize, CommandError> {
    match not_negative(cx, index, error)? {
        0 => Err(CommandError::text(error)),
        count => Ok(count),
    }
}

/// A count of at least 0. `error` is the reply for anything else, such as "ERR LIMIT can't be negative".
pub fn not_negative<K>(cx: &Context<'_, K>, index: usize, error: &'static str) -> Result<usize, CommandError> {
    let count = cx.integer(index).ok().and_then(|count| usize::try_from(count).ok());
    count.ok_or(CommandError::text(error))
}

/// The count of a pop, which is at least 0 although the error says otherwise (Redis: `getPositiveLongFromObjectOrReply`).
pub fn count_to_pop<K>(cx: &Context<'_, K>, index: usize) -> Result<usize, CommandError> {
    not_negative(cx, index, "ERR value is out of range, must be positive")
}

/// A 64-bit integer whose negation is one too: all but the lowest. (Redis: `getRangeLongFromObjectOrReply`)
pub fn negatable<K>(cx: &Context<'_, K>, index: usize) -> Result<i64, CommandError> {
    match cx.integer(index)? {
        i64::MIN => Err(CommandError::text(
            "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
        )),
        value => Ok(value),
    }
}
