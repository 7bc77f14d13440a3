//! INFO. `observe/info.rs` writes its text.

use super::{
    CommandSpec, Flags, Handler,
    context::{Outcome, Run, SessionOnly},
    table::{Category, Group},
};
use crate::observe::info;

/// The rows of INFO.
pub const ROWS: &[CommandSpec] = &[CommandSpec {
    name: "info",
    arity: -1,
    flags: Flags::LOADING.union(Flags::STALE),
    categories: Category::DANGEROUS,
    tips: &["nondeterministic_output", "request_policy:all_shards", "response_policy:special"],
    group: Group::Server,
    since: "1.0.0",
    complexity: "O(1)",
    summary: "Returns statistics and facts about the server, in sections.",
    syntax: "[section...]",
    handler: Handler::Session(info),
    ..CommandSpec::DEFAULT
}];

fn info(cx: &mut SessionOnly<'_>) -> Run {
    let sections: Vec<&[u8]> = cx.args.slice(1..).iter().collect();
    let text = info::text(cx.core, cx.now_ms, &sections);
    cx.reply.verbatim("txt", text.as_bytes());
    Ok(Outcome::Done)
}
