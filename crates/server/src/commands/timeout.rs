//! Blocking: the timeout argument of a command, and waiting for keys. (Redis: `getTimeoutFromObjectOrReply`)

use std::{
    ops::Range,
    time::{Duration, Instant},
};

use ochre_datatypes::{
    ValueType,
    number::{LongDouble, parse_f64},
};

use super::{
    CommandError,
    context::{Context, Outcome},
};
use crate::session::{AwaitedKeys, Block};

const NEGATIVE: CommandError = CommandError::text("ERR timeout is negative");
const OUT_OF_RANGE: CommandError = CommandError::text("ERR timeout is out of range");

/// The deadline for a timeout in milliseconds at an argument's index. A timeout of 0 means no deadline.
pub fn deadline_ms<K>(cx: &Context<'_, K>, index: usize) -> Result<Option<Instant>, CommandError> {
    let timeout_ms =
        cx.integer(index).map_err(|_| CommandError::text("ERR timeout is not an integer or out of range"))?;
    deadline(cx, timeout_ms)
}

/// The deadline for a timeout in seconds, which may have a fraction, at an argument's index. A timeout of 0 means no deadline.
pub fn deadline_s<K>(cx: &Context<'_, K>, index: usize) -> Result<Option<Instant>, CommandError> {
    let text = cx.args.get(index);
    let timeout = parse_f64(text).ok_or_else(|| match LongDouble::parse(text) {
        // Redis parses a long double, so a number that only a long double can hold is a number, but too large.
        Some(_) => OUT_OF_RANGE,
        None => CommandError::text("ERR timeout is not a float or out of range"),
    })?;
    let timeout_ms = timeout * 1000.0;
    // This is the lowest double above all 64-bit integers.
    if timeout_ms >= 2f64.powi(63) {
        return Err(OUT_OF_RANGE);
    }
    deadline(cx, timeout_ms.ceil() as i64)
}

/// Waits until one of the keys, which are the arguments in `keys`, holds a value of the type. The reply at the deadline is a null array.
pub fn wait_for_one_of(keys: Range<usize>, value_type: ValueType, deadline: Option<Instant>) -> Outcome {
    let keys = AwaitedKeys { keys, value_type, or_gone: false, args: None };
    Outcome::Block(Block { keys: Some(keys), ..Block::until(deadline, |reply| reply.null_array()) })
}

fn deadline<K>(cx: &Context<'_, K>, timeout_ms: i64) -> Result<Option<Instant>, CommandError> {
    let timeout_ms = u64::try_from(timeout_ms).map_err(|_| NEGATIVE)?;
    if timeout_ms == 0 {
        return Ok(None);
    }
    if cx.now_ms.checked_add_unsigned(timeout_ms).is_none() {
        return Err(OUT_OF_RANGE);
    }
    // A deadline beyond the range of the system's clock never comes.
    Ok(Instant::now().checked_add(Duration::from_millis(timeout_ms)))
}
