//! Step 3: finds the command that a request names, or composes the error for an unknown command.

use ochre_resp::Args;

use crate::commands::{self, Command, CommandError, Flags, error::until_zero};

/// What the first words of a request name.
pub enum Lookup {
    /// A command or subcommand.
    Command(&'static Command),
    /// None: the error for the client.
    Unknown(CommandError),
    /// The request is a line of an HTTP request, which a malicious web page can make a browser send. The connection is closed, since the
    /// body could hold commands (Redis: `securityWarningCommand`).
    CrossProtocol,
}

/// The first words of the lines that give an HTTP request away.
const HTTP_WORDS: [&str; 2] = ["post", "host:"];

/// The most bytes that an error repeats of a name, and of the arguments together.
const REPEATED_MAX: usize = 128;

/// Finds the command, or the subcommand if the command has subcommands. `aliases` are further names with the commands they stand for; the
/// plain protocol has some.
#[inline]
pub fn lookup(args: Args<'_>, aliases: &[(&str, &'static str)]) -> Lookup {
    let name = args.get(0);
    let Some(command) = commands::table().command(name) else { return unknown(args, aliases) };
    if !command.is_container() || args.len() < 2 {
        return Lookup::Command(command);
    }
    let subcommand = command.subcommand(args.get(1));
    if command.spec.flags.contains(Flags::PRIVATE_SUBCOMMANDS) {
        // The command itself answers if the subcommand does not exist or has a wrong number of arguments.
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
            commands::table().command(stands_for.as_bytes()).expect("an alias stands for an existing command"),
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

/// The first `max` bytes of a word, or fewer if a zero byte ends it as in C.
fn beginning(word: &[u8], max: usize) -> &[u8] {
    until_zero(&word[..word.len().min(max)])
}
