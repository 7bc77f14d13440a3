//! The commands of a server, as COMMAND and COMMAND DOCS describe them.
//!
//! The differential test draws its commands from this table, COMPAT.md is generated from it, and COMMAND INFO is compared through it. So a
//! new row of Ochre's command table is tested without being named again.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use crate::client::Client;
use crate::reply::Reply;

/// All commands of a server.
#[derive(Clone, Debug, Default)]
pub struct CommandTable {
    /// The commands by name, in lower case. The name of a subcommand is like `config|get`.
    pub commands: BTreeMap<String, Command>,
}

/// A command. (Redis: the COMMAND page)
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Command {
    /// The name in lower case.
    pub name: String,
    /// The number of arguments with the name; if negative, its absolute value is the least number.
    pub arity: i64,
    /// The flags, such as `write`.
    pub flags: BTreeSet<String>,
    /// The position of the first key.
    pub first_key: i64,
    /// The position of the last key.
    pub last_key: i64,
    /// The step from a key to the next one.
    pub key_step: i64,
    /// The ACL categories.
    pub categories: BTreeSet<String>,
    /// The tips.
    pub tips: BTreeSet<String>,
    /// The key specs, one line each, in a form that does not depend on the order of a spec's fields.
    pub key_specs: Vec<String>,
    /// The names of the subcommands.
    pub subcommands: BTreeSet<String>,
    /// The documentation.
    pub docs: Docs,
}

/// The documentation of a command. (Redis: the COMMAND DOCS page)
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Docs {
    /// What the command does.
    pub summary: String,
    /// The version that introduced the command.
    pub since: String,
    /// The group to which the command belongs.
    pub group: String,
    /// The time complexity.
    pub complexity: String,
    /// The arguments.
    pub arguments: Vec<Argument>,
}

/// A node of the tree of a command's arguments in COMMAND DOCS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Argument {
    /// The argument's name.
    pub name: String,
    /// The argument's type: `string`, `integer`, `double`, `key`, `pattern`, `unix-time`, `pure-token`, `oneof` or `block`.
    pub kind: String,
    /// The word that precedes the value.
    pub token: Option<String>,
    /// Whether the argument may be left out.
    pub optional: bool,
    /// Whether the argument may be repeated.
    pub multiple: bool,
    /// Whether the token is repeated before each of several values.
    pub multiple_token: bool,
    /// The arguments of which a `oneof` or a `block` consists.
    pub arguments: Vec<Argument>,
}

impl Command {
    /// Returns the words of the name, such as `["config", "get"]`.
    pub fn words(&self) -> Vec<&str> {
        self.name.split('|').collect()
    }

    /// Returns the name of the container command; for a command without subcommands, its own.
    pub fn container(&self) -> &str {
        self.words()[0]
    }

    /// Returns all tokens of the arguments, in upper case.
    pub fn tokens(&self) -> BTreeSet<String> {
        let mut tokens = BTreeSet::new();
        collect_tokens(&self.docs.arguments, &mut tokens);
        tokens
    }
}

fn collect_tokens(arguments: &[Argument], tokens: &mut BTreeSet<String>) {
    for argument in arguments {
        tokens.extend(argument.token.as_ref().map(|token| token.to_ascii_uppercase()));
        collect_tokens(&argument.arguments, tokens);
    }
}

impl CommandTable {
    /// Reads the table of a server. If the server lacks COMMAND DOCS, the commands have no documentation.
    pub fn read(client: &mut Client) -> io::Result<CommandTable> {
        let mut table = CommandTable::default();
        let commands = client.call(&["COMMAND"])?;
        if commands.is_error() {
            return Err(io::Error::other(format!("COMMAND replied {commands}")));
        }
        for row in commands.items() {
            table.add(row).map_err(|why| io::Error::other(format!("COMMAND has a row that {why}: {row}")))?;
        }
        let docs = client.call(&["COMMAND", "DOCS"])?;
        for (name, docs) in docs.pairs() {
            table.add_docs(&name.to_text().to_ascii_lowercase(), docs);
        }
        Ok(table)
    }

    /// Returns the command of a name in lower case.
    pub fn get(&self, name: &str) -> Option<&Command> {
        self.commands.get(name)
    }

    /// Returns the commands that can be called. A container is one of them only if it can be called without a subcommand, as COMMAND can.
    pub fn callable(&self) -> impl Iterator<Item = &Command> {
        self.commands.values().filter(|command| command.subcommands.is_empty() || command.arity == -1)
    }

    fn add(&mut self, row: &Reply) -> Result<(), &'static str> {
        let fields = row.items();
        if fields.len() < 10 {
            return Err("has fewer than 10 fields");
        }
        let integer = |field: usize| fields[field].as_integer().ok_or("lacks a number");
        let texts = |field: usize| fields[field].items().iter().map(|item| item.to_text()).collect();
        let command = Command {
            name: fields[0].to_text().to_ascii_lowercase(),
            arity: integer(1)?,
            flags: texts(2),
            first_key: integer(3)?,
            last_key: integer(4)?,
            key_step: integer(5)?,
            categories: texts(6),
            tips: texts(7),
            key_specs: fields[8].items().into_iter().map(canonical).collect(),
            subcommands: fields[9]
                .items()
                .iter()
                .filter_map(|subcommand| Some(subcommand.items().first()?.to_text().to_ascii_lowercase()))
                .collect(),
            docs: Docs::default(),
        };
        for subcommand in fields[9].items() {
            self.add(subcommand)?;
        }
        self.commands.insert(command.name.clone(), command);
        Ok(())
    }

    fn add_docs(&mut self, name: &str, docs: &Reply) {
        let text = |field: &str| docs.get(field).map(Reply::to_text).unwrap_or_default();
        if let Some(command) = self.commands.get_mut(name) {
            command.docs = Docs {
                summary: text("summary"),
                since: text("since"),
                group: text("group"),
                complexity: text("complexity"),
                arguments: docs
                    .get("arguments")
                    .map(Reply::items)
                    .unwrap_or_default()
                    .into_iter()
                    .map(argument)
                    .collect(),
            };
        }
        for (name, docs) in docs.get("subcommands").map(Reply::pairs).unwrap_or_default() {
            self.add_docs(&name.to_text().to_ascii_lowercase(), docs);
        }
    }
}

fn argument(reply: &Reply) -> Argument {
    let text = |field: &str| reply.get(field).map(Reply::to_text);
    let flags: Vec<String> =
        reply.get("flags").map(Reply::items).unwrap_or_default().iter().map(|flag| flag.to_text()).collect();
    let has = |flag: &str| flags.iter().any(|found| found == flag);
    Argument {
        name: text("name").unwrap_or_default(),
        kind: text("type").unwrap_or_default(),
        token: text("token"),
        optional: has("optional"),
        multiple: has("multiple"),
        multiple_token: has("multiple_token"),
        arguments: reply.get("arguments").map(Reply::items).unwrap_or_default().into_iter().map(argument).collect(),
    }
}

/// Returns a reply as text with sorted maps and lists, which is the same for RESP2 and RESP3, and for servers with another order. The notes
/// of key specs are left out.
fn canonical(reply: &Reply) -> String {
    let is_map = |reply: &Reply| {
        matches!(reply, Reply::Map(_))
            || (!reply.items().is_empty()
                && reply.items().len().is_multiple_of(2)
                && reply.pairs().iter().all(|(key, _)| {
                    ["notes", "flags", "begin_search", "find_keys", "type", "spec", "index", "lastkey", "keystep"]
                        .iter()
                        .chain(&["limit", "keynumidx", "firstkey", "keyword", "startfrom"])
                        .any(|known| key.as_bytes() == Some(known.as_bytes()))
                }))
    };
    if is_map(reply) {
        let mut pairs: Vec<String> = reply
            .pairs()
            .iter()
            .filter(|(key, _)| key.as_bytes() != Some(b"notes"))
            .map(|(key, value)| format!("{}={}", key.to_text(), canonical(value)))
            .collect();
        pairs.sort();
        return format!("{{{}}}", pairs.join(" "));
    }
    match reply {
        Reply::Array(items) | Reply::Set(items) => {
            let mut items: Vec<String> = items.iter().map(canonical).collect();
            items.sort();
            format!("[{}]", items.join(" "))
        }
        other => other.to_text(),
    }
}
