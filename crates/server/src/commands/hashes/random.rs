//! Random fields of a hash.

use ochre_datatypes::hash::Field;
use ochre_resp::{Protocol, ReplyWriter};

use super::{
    super::{
        CommandSpec, Flags, Handler,
        context::{KeyedRead, Outcome, Run},
        elements::{RandomCount, reply_element, reply_element_or_null},
        table::{KeyFlags, KeySpec},
    },
    HASH, hash_of,
};

/// The rows of HRANDFIELD.
pub const ROWS: &[CommandSpec] = &[CommandSpec {
    name: "hrandfield",
    arity: -2,
    flags: Flags::READONLY.union(Flags::BATCH_BARE),
    keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
    tips: &["nondeterministic_output"],
    since: "6.2.0",
    complexity: "O(N) with N the absolute value of the count, O(1) without a count",
    summary: "Returns one or more random fields of a hash. With a negative count, fields may repeat.",
    syntax: "key [(count:integer [WITHVALUES])]",
    handler: Handler::Read(hrandfield),
    ..HASH
}];

fn hrandfield(cx: &mut KeyedRead<'_>) -> Run {
    let (key, core) = (cx.key(1), cx.core);
    let mut random = || core.random();
    if cx.args.len() == 2 {
        let field = hash_of(cx, key)?.and_then(|hash| hash.random(&mut random));
        reply_element_or_null(&mut cx.reply, field.map(|field| field.name));
        return Ok(Outcome::Done);
    }
    let (count, with_values) = RandomCount::parse_with(cx, "WITHVALUES")?;
    let Some(hash) = hash_of(cx, key)? else {
        cx.reply.array(0);
        return Ok(Outcome::Done);
    };
    let shown = count.len(hash.len());
    let pairs = with_values && cx.reply.protocol() == Protocol::Resp3;
    cx.reply.array(if with_values && !pairs { 2 * shown } else { shown });
    let show = |reply: &mut ReplyWriter<'_>, field: Field<'_>| reply_field(reply, field, with_values, pairs);
    match count {
        RandomCount::Different(_) => hash.sample(shown, &mut random, |field| show(&mut cx.reply, field)),
        RandomCount::Repeated(_) => {
            for _ in 0..shown {
                show(&mut cx.reply, hash.random(&mut random).expect("a hash has at least one field"));
                if cx.is_given_up() {
                    break;
                }
            }
        }
    }
    Ok(Outcome::Done)
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
