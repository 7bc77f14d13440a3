//! COMMAND: describes the commands to clients. All of it is derived from the rows.

use ochre_datatypes::glob::Pattern;
use ochre_resp::{Args, ReplyWriter};

use super::{
    CommandError, CommandSpec, Flags, Handler,
    context::{Outcome, Run, SessionOnly},
    help,
    key_positions::positions,
    registry::{Command, table},
    syntax::{self, Argument, ArgumentKind},
    table::{BeginSearch, Category, FindKeys, Group, KeyFlags, KeySpec},
};

const COMMON: CommandSpec = CommandSpec {
    flags: Flags::LOADING.union(Flags::STALE),
    categories: Category::CONNECTION,
    group: Group::Server,
    ..CommandSpec::DEFAULT
};

/// The rows of COMMAND.
pub const ROWS: &[CommandSpec] = &[CommandSpec {
    name: "command",
    arity: -1,
    tips: &["nondeterministic_output_order"],
    since: "2.8.13",
    complexity: "O(N) with N commands",
    summary: "Returns the arity, flags, keys and categories of all commands.",
    subcommands: &[
        CommandSpec {
            name: "count",
            arity: 2,
            since: "2.8.13",
            complexity: "O(1)",
            summary: "Returns the number of commands.",
            handler: Handler::Session(count),
            ..COMMON
        },
        CommandSpec {
            name: "docs",
            arity: -2,
            tips: &["nondeterministic_output_order"],
            since: "7.0.0",
            complexity: "O(N) with N named commands",
            summary: "Returns documentation of the named commands, or of all.",
            syntax: "[command-name...]",
            handler: Handler::Session(docs),
            ..COMMON
        },
        CommandSpec {
            name: "getkeys",
            arity: -3,
            since: "2.8.13",
            complexity: "O(N) with N arguments of the command",
            summary: "Returns the keys among the arguments of a command.",
            syntax: "command [arg...]",
            handler: Handler::Session(getkeys),
            ..COMMON
        },
        CommandSpec {
            name: "getkeysandflags",
            arity: -3,
            since: "7.0.0",
            complexity: "O(N) with N arguments of the command",
            summary: "Returns the keys among the arguments of a command, and what it does with each.",
            syntax: "command [arg...]",
            handler: Handler::Session(getkeysandflags),
            ..COMMON
        },
        CommandSpec {
            name: "help",
            arity: 2,
            since: "5.0.0",
            complexity: "O(1)",
            summary: "Lists the subcommands.",
            handler: Handler::Session(help),
            ..COMMON
        },
        CommandSpec {
            name: "info",
            arity: -2,
            tips: &["nondeterministic_output_order"],
            since: "2.8.13",
            complexity: "O(N) with N named commands",
            summary: "Returns the arity, flags, keys and categories of the named commands, or of all.",
            syntax: "[command-name...]",
            handler: Handler::Session(info),
            ..COMMON
        },
        CommandSpec {
            name: "list",
            arity: -2,
            tips: &["nondeterministic_output_order"],
            since: "7.0.0",
            complexity: "O(N) with N commands",
            summary: "Returns the names of all commands, or of those in a module or category or that match a pattern.",
            syntax: "[FILTERBY (MODULE module-name|ACLCAT category|PATTERN pattern:pattern)]",
            handler: Handler::Session(list),
            ..COMMON
        },
    ],
    handler: Handler::Session(all),
    ..COMMON
}];

const SYNTAX_OF_COMMAND: CommandError = CommandError::text("ERR Invalid number of arguments specified for command");

fn all(cx: &mut SessionOnly<'_>) -> Run {
    let commands = table().commands();
    cx.reply.array(commands.len());
    commands.iter().for_each(|command| write_info(&mut cx.reply, command));
    Ok(Outcome::Done)
}

fn count(cx: &mut SessionOnly<'_>) -> Run {
    cx.reply.integer(table().commands().len() as i64);
    Ok(Outcome::Done)
}

fn info(cx: &mut SessionOnly<'_>) -> Run {
    if cx.args.len() == 2 {
        return all(cx);
    }
    cx.reply.array(cx.args.len() - 2);
    for name in cx.args.slice(2..).iter() {
        match named(name) {
            Some(command) => write_info(&mut cx.reply, command),
            None => cx.reply.null(),
        }
    }
    Ok(Outcome::Done)
}

fn docs(cx: &mut SessionOnly<'_>) -> Run {
    let chosen: Vec<&Command> = if cx.args.len() == 2 {
        table().commands().iter().collect()
    } else {
        cx.args.slice(2..).iter().filter_map(named).collect()
    };
    cx.reply.map(chosen.len());
    chosen.iter().for_each(|command| write_docs(&mut cx.reply, command));
    Ok(Outcome::Done)
}

fn list(cx: &mut SessionOnly<'_>) -> Run {
    let all = table().all().filter(|command| !command.is_private());
    let names: Vec<&str> = match cx.args.len() {
        2 => all.map(|command| &*command.full_name).collect(),
        5 if cx.is_word(2, "FILTERBY") => {
            let filter = cx.args.get(4);
            if cx.is_word(3, "MODULE") {
                Vec::new()
            } else if cx.is_word(3, "ACLCAT") {
                let category = Category::NAMES.iter().find(|(_, name)| name.as_bytes().eq_ignore_ascii_case(filter));
                let Some(&(category, _)) = category else {
                    cx.reply.array(0);
                    return Ok(Outcome::Done);
                };
                all.filter(|command| command.spec.categories().contains(category)).map(|c| &*c.full_name).collect()
            } else if cx.is_word(3, "PATTERN") {
                let pattern = Pattern::new(filter.to_ascii_lowercase());
                all.map(|command| &*command.full_name).filter(|name| pattern.matches(name.as_bytes())).collect()
            } else {
                return Err(CommandError::SYNTAX);
            }
        }
        _ => return Err(CommandError::SYNTAX),
    };
    cx.reply.array(names.len());
    names.iter().for_each(|name| cx.reply.bulk(name.as_bytes()));
    Ok(Outcome::Done)
}

fn getkeys(cx: &mut SessionOnly<'_>) -> Run {
    let request = cx.args.slice(2..);
    let found = keys_of(request)?;
    cx.reply.array(found.len());
    found.iter().for_each(|&(index, _)| cx.reply.bulk(request.get(index)));
    Ok(Outcome::Done)
}

fn getkeysandflags(cx: &mut SessionOnly<'_>) -> Run {
    let request = cx.args.slice(2..);
    let found = keys_of(request)?;
    cx.reply.array(found.len());
    for (index, flags) in found {
        cx.reply.array(2);
        cx.reply.bulk(request.get(index));
        write_names(&mut cx.reply, flags.names());
    }
    Ok(Outcome::Done)
}

fn help(cx: &mut SessionOnly<'_>) -> Run {
    help::write(
        &mut cx.reply,
        "command",
        &[
            "(no subcommand)",
            "    Details of all commands.",
            "COUNT",
            "    The number of commands.",
            "LIST",
            "    The names of all commands.",
            "LIST FILTERBY <MODULE <module>|ACLCAT <category>|PATTERN <pattern>>",
            "    The names of some of them.",
            "INFO [<command-name> ...]",
            "    Details of these commands, or of all.",
            "DOCS [<command-name> ...]",
            "    Documentation of these commands, or of all.",
            "GETKEYS <full-command>",
            "    The keys of a command.",
            "GETKEYSANDFLAGS <full-command>",
            "    The keys of a command, and what it does with them.",
        ],
    );
    Ok(Outcome::Done)
}

/// The command or subcommand of this full name, such as `config|get`.
fn named(name: &[u8]) -> Option<&'static Command> {
    let mut parts = name.splitn(2, |&byte| byte == b'|');
    let command = table().command(parts.next()?)?;
    match parts.next() {
        Some(subcommand) => command.subcommand(subcommand).filter(|subcommand| !subcommand.is_private()),
        None => Some(command),
    }
}

/// The keys of a request: the index of each, and what the command does with it. Returns the errors of COMMAND GETKEYS.
fn keys_of(request: Args<'_>) -> Result<Vec<(usize, KeyFlags)>, CommandError> {
    const NO_SUCH: CommandError = CommandError::text("ERR Invalid command specified");
    let mut command = table().command(request.get(0)).ok_or(NO_SUCH)?;
    if command.is_container() && request.len() > 1 {
        let subcommand = command.subcommand(request.get(1));
        command = match subcommand {
            Some(subcommand) if !subcommand.is_private() => subcommand,
            _ if command.spec.flags.contains(Flags::PRIVATE_SUBCOMMANDS) => command,
            _ => return Err(NO_SUCH),
        };
    }
    if !command.spec.has_keys() {
        return Err(CommandError::text("ERR The command has no key arguments"));
    }
    if !command.allows_arity(request.len()) {
        return Err(SYNTAX_OF_COMMAND);
    }
    let mut found = Vec::new();
    let invalid = positions(command.spec, request, |index, flags| {
        if found.iter().all(|&(other, _)| other != index) {
            found.push((index, flags));
        }
    })
    .is_err();
    if invalid || found.is_empty() {
        if command.spec.flags.contains(Flags::NO_MANDATORY_KEYS) {
            return Ok(Vec::new());
        }
        return Err(CommandError::text("ERR Invalid arguments specified for command"));
    }
    if let Some(flags) = command.spec.variable_flags {
        let flags = flags(request);
        found.iter_mut().for_each(|(_, of_key)| *of_key = flags);
    }
    found.iter_mut().for_each(|(_, flags)| flags.remove(KeyFlags::VARIABLE_FLAGS | KeyFlags::INCOMPLETE));
    Ok(found)
}

/// Replies with the ten elements that COMMAND INFO has for a command.
fn write_info(reply: &mut ReplyWriter<'_>, command: &Command) {
    let spec = command.spec;
    let range = spec.key_range();
    reply.array(10);
    reply.bulk(command.full_name.as_bytes());
    reply.integer(spec.arity.into());
    let mut flags = spec.flags;
    flags.set(Flags::MOVABLE_KEYS, range.movable);
    write_names(reply, flags.names());
    reply.integer(range.first);
    reply.integer(range.last);
    reply.integer(range.step);
    let categories: Vec<&str> = spec.categories().names().collect();
    reply.set(categories.len());
    categories.iter().for_each(|name| reply.simple(&format!("@{name}")));
    reply.set(spec.tips.len());
    spec.tips.iter().for_each(|tip| reply.bulk(tip.as_bytes()));
    reply.set(spec.keys.len());
    spec.keys.iter().for_each(|key_spec| write_key_spec(reply, key_spec));
    match command.public_subcommands() {
        [] => reply.set(0),
        subcommands => {
            reply.array(subcommands.len());
            subcommands.iter().for_each(|subcommand| write_info(reply, subcommand));
        }
    }
}

fn write_key_spec(reply: &mut ReplyWriter<'_>, spec: &KeySpec) {
    reply.map(3 + usize::from(spec.notes.is_some()));
    if let Some(notes) = spec.notes {
        reply.bulk(b"notes");
        reply.bulk(notes.as_bytes());
    }
    reply.bulk(b"flags");
    write_names(reply, spec.flags.names());
    reply.bulk(b"begin_search");
    match spec.begin {
        BeginSearch::Index(index) => write_search(reply, "index", &[("index", i64::from(index))], None),
        BeginSearch::Keyword { keyword, from } => {
            write_search(reply, "keyword", &[("startfrom", i64::from(from))], Some(keyword));
        }
        BeginSearch::Unknown => write_search(reply, "unknown", &[], None),
    }
    reply.bulk(b"find_keys");
    match spec.find {
        FindKeys::Range { last, step, limit } => write_search(
            reply,
            "range",
            &[("lastkey", last.into()), ("keystep", step.into()), ("limit", limit.into())],
            None,
        ),
        FindKeys::Count { at, first, step } => write_search(
            reply,
            "keynum",
            &[("keynumidx", at.into()), ("firstkey", first.into()), ("keystep", step.into())],
            None,
        ),
        FindKeys::Unknown => write_search(reply, "unknown", &[], None),
    }
}

fn write_search(reply: &mut ReplyWriter<'_>, kind: &str, numbers: &[(&str, i64)], keyword: Option<&str>) {
    reply.map(2);
    reply.bulk(b"type");
    reply.bulk(kind.as_bytes());
    reply.bulk(b"spec");
    reply.map(numbers.len() + usize::from(keyword.is_some()));
    if let Some(keyword) = keyword {
        reply.bulk(b"keyword");
        reply.bulk(keyword.as_bytes());
    }
    for &(name, number) in numbers {
        reply.bulk(name.as_bytes());
        reply.integer(number);
    }
}

/// Replies with the name and the documentation that COMMAND DOCS has for a command.
fn write_docs(reply: &mut ReplyWriter<'_>, command: &Command) {
    let spec = command.spec;
    let arguments = syntax::parse(spec.syntax, spec.keys.len()).unwrap_or_default();
    let subcommands = command.public_subcommands();
    reply.bulk(command.full_name.as_bytes());
    let mut pairs = vec![("summary", spec.summary), ("since", spec.since), ("group", spec.group.name())];
    if !spec.complexity.is_empty() {
        pairs.push(("complexity", spec.complexity));
    }
    let is_system = spec.flags.contains(Flags::PRIVATE_SUBCOMMANDS);
    let doc_flag = if is_system { Some("syscmd") } else { spec.deprecated.map(|_| "deprecated") };
    let deprecation = if spec.deprecated.is_some() { 2 } else { 0 };
    reply.map(
        pairs.len()
            + usize::from(doc_flag.is_some())
            + deprecation
            + usize::from(!arguments.is_empty())
            + usize::from(!subcommands.is_empty()),
    );
    let write_pair = |reply: &mut ReplyWriter<'_>, name: &str, text: &str| {
        reply.bulk(name.as_bytes());
        reply.bulk(text.as_bytes());
    };
    pairs.iter().for_each(|(name, text)| write_pair(reply, name, text));
    if let Some(flag) = doc_flag {
        reply.bulk(b"doc_flags");
        write_names(reply, std::iter::once(flag));
    }
    if let Some((since, instead)) = spec.deprecated {
        write_pair(reply, "deprecated_since", since);
        write_pair(reply, "replaced_by", instead);
    }
    if !arguments.is_empty() {
        reply.bulk(b"arguments");
        write_arguments(reply, &arguments);
    }
    if !subcommands.is_empty() {
        reply.bulk(b"subcommands");
        reply.map(subcommands.len());
        subcommands.iter().for_each(|subcommand| write_docs(reply, subcommand));
    }
}

fn write_arguments(reply: &mut ReplyWriter<'_>, arguments: &[Argument]) {
    reply.array(arguments.len());
    for argument in arguments {
        let children = argument.kind.children();
        let flags = [
            (argument.optional, "optional"),
            (argument.multiple, "multiple"),
            (argument.multiple_token, "multiple_token"),
        ];
        let mut flags = flags.iter().filter(|(is, _)| *is).map(|&(_, name)| name).peekable();
        let mut texts = vec![("name", &*argument.name), ("type", argument.kind.name())];
        if !matches!(argument.kind, ArgumentKind::OneOf(_) | ArgumentKind::Block(_)) {
            texts.push(("display_text", &argument.name));
        }
        reply.map(
            texts.len()
                + usize::from(argument.key_spec.is_some())
                + usize::from(argument.token.is_some())
                + usize::from(flags.peek().is_some())
                + usize::from(!children.is_empty()),
        );
        for (name, text) in texts {
            reply.bulk(name.as_bytes());
            reply.bulk(text.as_bytes());
        }
        if let Some(spec) = argument.key_spec {
            reply.bulk(b"key_spec_index");
            reply.integer(spec as i64);
        }
        if let Some(token) = &argument.token {
            reply.bulk(b"token");
            reply.bulk(token.as_bytes());
        }
        if flags.peek().is_some() {
            reply.bulk(b"flags");
            write_names(reply, flags);
        }
        if !children.is_empty() {
            reply.bulk(b"arguments");
            write_arguments(reply, children);
        }
    }
}

fn write_names(reply: &mut ReplyWriter<'_>, names: impl Iterator<Item = &'static str>) {
    let names: Vec<&str> = names.collect();
    reply.set(names.len());
    names.iter().for_each(|name| reply.simple(name));
}
