//! Step 3: from a request's words to its command, or to the words that say that there is none.

use ochre_resp::Args;

use crate::commands::{self, Command, CommandError, Flags, error::until_zero};

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
        None => Lookup::Unknown(CommandError::repeating(
            "ERR unknown subcommand '",
            beginning(args.get(1), REPEATED_MAX),
            &format!("'. Try {} HELP.", command.spec.name.to_uppercase()),
        )),
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
    let mut text = [b"ERR unknown command '", beginning(name, REPEATED_MAX), b"', with args beginning with: "].concat();
    let args_start = text.len();
    for arg in args.iter().skip(1) {
        let repeated = text.len() - args_start;
        if repeated >= REPEATED_MAX {
            break;
        }
        text.push(b'\'');
        text.extend_from_slice(beginning(arg, REPEATED_MAX - repeated));
        text.extend_from_slice(b"' ");
    }
    Lookup::Unknown(CommandError::composed(text))
}

/// The beginning of a client's word, up to a zero byte as C prints it.
fn beginning(word: &[u8], max: usize) -> &[u8] {
    until_zero(&word[..word.len().min(max)])
}
