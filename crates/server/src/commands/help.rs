//! HELP subcommands, and the error that refers to them.

use ochre_resp::ReplyWriter;

use super::{CommandError, context::Context, error::until_zero};

/// Replies with a container's help: a heading, the subcommands' lines, and the lines of HELP itself. (Redis: `addReplyHelp`)
pub fn write(reply: &mut ReplyWriter<'_>, container: &str, lines: &[&str]) {
    reply.array(lines.len() + 3);
    reply.simple(&format!("{} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:", container.to_uppercase()));
    lines.iter().for_each(|line| reply.simple(line));
    reply.simple("HELP");
    reply.simple("    Print this help.");
}

/// The error for a subcommand with the wrong arguments. (Redis: `addReplySubcommandSyntaxError`)
pub fn wrong_arguments<K>(cx: &Context<'_, K>) -> CommandError {
    let name = until_zero(cx.args.get(1));
    let container = cx.command.full_name.split('|').next().unwrap_or_default().to_uppercase();
    CommandError::repeating(
        "ERR unknown subcommand or wrong number of arguments for '",
        &name[..name.len().min(128)],
        &format!("'. Try {container} HELP."),
    )
}
