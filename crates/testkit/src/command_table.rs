//! What a server tells of its own commands: COMMAND and COMMAND DOCS, read into types.
//!
//! The differential test draws its commands from here, COMPAT.md is written from here, and COMMAND INFO is compared here;
//! so a new row in Ochre's table is tested without anybody naming it again.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use crate::client::Client;
use crate::reply::Reply;

/// All commands by lower-case name; a subcommand's name is `config|get`.
#[derive(Clone, Debug, Default)]
pub struct CommandTable {
    pub commands: BTreeMap<String, Command>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Command {
    pub name: String,
    pub arity: i64,
    pub flags: BTreeSet<String>,
    pub first_key: i64,
    pub last_key: i64,
    pub key_step: i64,
    pub categories: BTreeSet<String>,
    pub tips: BTreeSet<String>,
    /// One line a key spec, in a form where order within a spec does not matter.
    pub key_specs: Vec<String>,
    pub subcommands: BTreeSet<String>,
    pub docs: Docs,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Docs {
    pub summary: String,
    pub since: String,
    pub group: String,
    pub complexity: String,
    pub arguments: Vec<Argument>,
}

/// A node of the tree that COMMAND DOCS gives for a command's arguments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Argument {
    pub name: String,
    /// `string`, `integer`, `double`, `key`, `pattern`, `unix-time`, `pure-token`, `oneof` or `block`.
    pub kind: String,
    pub token: Option<String>,
    pub optional: bool,
    pub multiple: bool,
    /// The token is repeated before each of several values.
    pub multiple_token: bool,
    pub arguments: Vec<Argument>,
}

impl Command {
    /// The words that call it: `["config", "get"]`.
    pub fn words(&self) -> Vec<&str> {
        self.name.split('|').collect()
    }

    /// The top-level command that it belongs to.
    pub fn container(&self) -> &str {
        self.words()[0]
    }

    /// All tokens of its arguments, in upper case.
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
    /// Asks a server. One without COMMAND DOCS gives a table without docs.
    pub fn read(client: &mut Client) -> io::Result<CommandTable> {
        let mut table = CommandTable::default();
        let commands = client.call(&["COMMAND"])?;
        if commands.is_error() {
            return Err(io::Error::other(format!("COMMAND was answered by {commands}")));
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

    pub fn get(&self, name: &str) -> Option<&Command> {
        self.commands.get(name)
    }

    /// What can be called: containers only through their subcommands, unless they answer without one, as COMMAND does.
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

/// A reply as text, maps and flags sorted: RESP2 and RESP3, and servers that keep another order, give the same. Notes are
/// words for people, and left out.
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
