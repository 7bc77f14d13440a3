//! Random fields of a hash.

use ochre_datatypes::hash::Field;
use ochre_resp::{Protocol, ReplyWriter};

use super::{
    super::{
        CommandError, CommandSpec, Flags, Handler,
        context::{KeyedRead, Outcome, Run},
        table::{KeyFlags, KeySpec},
    },
    HASH, hash_of, reply_element,
};

pub const ROWS: &[CommandSpec] = &[CommandSpec {
    name: "hrandfield",
    arity: -2,
    flags: Flags::READONLY.union(Flags::BATCH_BARE),
    keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
    tips: &["nondeterministic_output"],
    since: "6.2.0",
    complexity: "O(N) with N the count without its sign, O(1) without one",
    summary: "Returns one or more random fields of a hash; with a negative count they may come more than once.",
    syntax: "key [(count:integer [WITHVALUES])]",
    handler: Handler::Read(hrandfield),
    ..HASH
}];

/// With a negative count the reply is as long as the client asks for, however small the hash: beyond this it is refused, where Redis would
/// run out of memory.
const REPEATED_MAX: u64 = 1 << 26;

fn hrandfield(cx: &mut KeyedRead<'_>) -> Run {
    let (key, core) = (cx.key(1), cx.core);
    let mut random = || core.random();
    if cx.args.len() == 2 {
        match hash_of(cx, key)?.and_then(|hash| hash.random(&mut random)) {
            Some(field) => reply_element(&mut cx.reply, field.name),
            None => cx.reply.null(),
        }
        return Ok(Outcome::Done);
    }
    let (count, with_values) = parse_count(cx)?;
    let Some(hash) = hash_of(cx, key)? else {
        cx.reply.array(0);
        return Ok(Outcome::Done);
    };
    let wanted = count.unsigned_abs();
    let repeats = count < 0;
    if repeats && wanted > REPEATED_MAX {
        return Err(CommandError::OUT_OF_RANGE);
    }
    let len = hash.len();
    let shown = if repeats { wanted as usize } else { usize::try_from(wanted).map_or(len, |wanted| wanted.min(len)) };
    let pairs = with_values && cx.reply.protocol() == Protocol::Resp3;
    cx.reply.array(if with_values && !pairs { 2 * shown } else { shown });
    let reply = &mut cx.reply;
    let mut show = |field: Field<'_>| reply_field(reply, field, with_values, pairs);
    if repeats {
        for _ in 0..shown {
            show(hash.random(&mut random).expect("a hash has fields"));
        }
    } else {
        hash.sample(shown, &mut random, show);
    }
    Ok(Outcome::Done)
}

/// The count, and whether values are asked for.
fn parse_count(cx: &KeyedRead<'_>) -> Result<(i64, bool), CommandError> {
    let count = cx.integer(2)?;
    if count == i64::MIN {
        return Err(CommandError::text(
            "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
        ));
    }
    let with_values = cx.args.len() > 3;
    if cx.args.len() > 4 || with_values && !cx.is_word(3, "WITHVALUES") {
        return Err(CommandError::SYNTAX);
    }
    if with_values && !(-i64::MAX / 2..=i64::MAX / 2).contains(&count) {
        return Err(CommandError::OUT_OF_RANGE);
    }
    Ok((count, with_values))
}

fn reply_field(reply: &mut ReplyWriter<'_>, field: Field<'_>, with_value: bool, as_pair: bool) {
    if as_pair {
        reply.array(2);
    }
    reply_element(reply, field.name);
    if with_value {
        reply_element(reply, field.value);
    }
}
