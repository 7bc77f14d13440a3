//! The replies of the HELP subcommands.

use ochre_resp::ReplyWriter;

/// Writes a container's help: a first line, the subcommands' lines, and HELP's own (Redis: `addReplyHelp`).
pub fn write(reply: &mut ReplyWriter<'_>, container: &str, lines: &[&str]) {
    reply.array(lines.len() + 3);
    reply.simple(&format!("{} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:", container.to_uppercase()));
    lines.iter().for_each(|line| reply.simple(line));
    reply.simple("HELP");
    reply.simple("    Print this help.");
}
