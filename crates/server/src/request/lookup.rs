//! Step 3: from a request's words to its command, or to the words that say that there is none.

use std::borrow::Cow;

use ochre_resp::Args;

use crate::commands::{self, Command, CommandError, Flags};

/// What a request's first words name.
pub enum Lookup {
    Command(&'static Command),
    Unknown(CommandError),
    /// The first line of an HTTP request: a browser that was made to talk to us. Its connection is closed, for what follows could be
    /// commands in a form's body (Redis closes it too).
    CrossProtocol,
}

/// First words of HTTP requests.
const HTTP_WORDS: [&str; 2] = ["post", "host:"];

/// How much of a name and of the arguments an error repeats.
const REPEATED_MAX: usize = 128;

/// Finds the command, and the subcommand where it has some. `aliases` are further names (of the plain protocol).
#[inline]
pub fn lookup(args: Args<'_>, aliases: &[(&str, &'static str)]) -> Lookup {
    let name = args.get(0);
    let Some(command) = commands::table().command(name) else { return unknown(args, aliases) };
    if !command.is_container() || args.len() < 2 {
        return Lookup::Command(command);
    }
    let subcommand = command.subcommand(args.get(1));
    if command.spec.flags.contains(Flags::PRIVATE_SUBCOMMANDS) {
        // The command itself answers for subcommands that do not exist, and for wrong numbers of arguments.
        return Lookup::Command(subcommand.filter(|found| found.allows_arity(args.len())).unwrap_or(command));
    }
    match subcommand {
        Some(subcommand) => Lookup::Command(subcommand),
        None => Lookup::Unknown(CommandError::composed(format!(
            "ERR unknown subcommand '{}'. Try {} HELP.",
            repeated(args.get(1), REPEATED_MAX),
            command.spec.name.to_uppercase(),
        ))),
    }
}

#[cold]
fn unknown(args: Args<'_>, aliases: &[(&str, &'static str)]) -> Lookup {
    let name = args.get(0);
    if let Some((_, stands_for)) = aliases.iter().find(|(alias, _)| name.eq_ignore_ascii_case(alias.as_bytes())) {
        return Lookup::Command(
            commands::table().command(stands_for.as_bytes()).expect("an alias stands for a command"),
        );
    }
    if HTTP_WORDS.iter().any(|word| name.eq_ignore_ascii_case(word.as_bytes())) {
        return Lookup::CrossProtocol;
    }
    let mut beginning = String::new();
    for arg in args.iter().skip(1) {
        if beginning.len() >= REPEATED_MAX {
            break;
        }
        beginning.push_str(&format!("'{}' ", repeated(arg, REPEATED_MAX - beginning.len())));
    }
    Lookup::Unknown(CommandError::composed(format!(
        "ERR unknown command '{}', with args beginning with: {beginning}",
        repeated(name, REPEATED_MAX),
    )))
}

/// The beginning of a client's word, up to a zero byte as C prints it.
pub fn repeated(word: &[u8], max: usize) -> Cow<'_, str> {
    let word = &word[..word.len().min(max)];
    let end = word.iter().position(|&byte| byte == 0).unwrap_or(word.len());
    String::from_utf8_lossy(&word[..end])
}
