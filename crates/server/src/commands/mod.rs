//! All commands: the families' rows put together, and the lookup by name.

pub mod bitmaps;
pub mod client;
pub mod cluster;
pub mod command;
pub mod config;
pub mod connection;
pub mod context;
pub mod debug;
pub mod error;
pub mod expire;
pub mod geo;
pub mod hashes;
pub mod help;
pub mod hyperloglog;
pub mod info;
pub mod keys;
pub mod lists;
pub mod memory;
pub mod module;
pub mod object;
pub mod pubsub;
pub mod replication;
pub mod scan;
pub mod server;
pub mod sets;
pub mod sort;
pub mod sorted_sets;
pub mod streams;
pub mod strings;
pub mod syntax;
pub mod table;
pub mod timeout;
pub mod transactions;

mod names;

use std::sync::OnceLock;

use names::Names;

pub use error::CommandError;
pub use table::{CommandSpec, Flags, Handler};

/// The rows of every family.
const FAMILIES: &[&[CommandSpec]] = &[
    bitmaps::ROWS,
    client::ROWS,
    cluster::ROWS,
    command::ROWS,
    connection::ROWS,
    debug::ROWS,
    expire::ROWS,
    geo::ROWS,
    hashes::ROWS,
    hashes::expiry::ROWS,
    hashes::random::ROWS,
    hyperloglog::ROWS,
    keys::ROWS,
    lists::ROWS,
    lists::ends::ROWS,
    lists::search::ROWS,
    config::ROWS,
    info::ROWS,
    memory::ROWS,
    module::ROWS,
    object::ROWS,
    pubsub::ROWS,
    replication::ROWS,
    scan::ROWS,
    server::ROWS,
    sets::ROWS,
    sets::combine::ROWS,
    sets::random::ROWS,
    sort::ROWS,
    sorted_sets::ROWS,
    sorted_sets::combine::ROWS,
    sorted_sets::pop::ROWS,
    sorted_sets::range::ROWS,
    streams::ROWS,
    streams::groups::ROWS,
    streams::info::ROWS,
    streams::pending::ROWS,
    streams::read::ROWS,
    strings::ROWS,
    strings::compare::ROWS,
    strings::increment::ROWS,
    strings::set::ROWS,
    transactions::ROWS,
];

/// A row in its place: numbered, and with its name in full.
pub struct Command {
    pub spec: &'static CommandSpec,
    /// Counted from 0 over commands and subcommands: the index of its counters.
    pub id: usize,
    /// `get`, `client|list`.
    pub full_name: Box<str>,
    pub subcommands: Vec<Command>,
}

/// The table of all commands.
pub struct Table {
    commands: Vec<Command>,
    by_name: Names,
    /// How many commands and subcommands there are.
    pub len: usize,
}

static TABLE: OnceLock<Table> = OnceLock::new();

/// The table of all commands.
#[inline]
pub fn table() -> &'static Table {
    TABLE.get_or_init(Table::new)
}

/// Makes the table, with other names for some commands as `rename-command` says: (name, new name, empty for none). Before anything asks
/// for the table.
pub fn rename(renamed: &[(Vec<u8>, Vec<u8>)]) -> Result<(), String> {
    let mut table = Table::new();
    for (name, new_name) in renamed {
        table.rename(name, new_name).map_err(|reason| {
            let [name, new_name] = [name, new_name].map(|name| String::from_utf8_lossy(name));
            format!("rename-command {name} {new_name}: {reason}")
        })?;
    }
    TABLE.set(table).map_err(|_| "the commands were in use before they were renamed".to_owned())
}

impl Table {
    fn new() -> Table {
        let mut ids = 0..;
        let mut number = |spec: &'static CommandSpec, full_name: String| {
            let id = ids.next().expect("ids do not end");
            Command { spec, id, full_name: full_name.into(), subcommands: Vec::new() }
        };
        let mut commands: Vec<Command> = FAMILIES
            .iter()
            .flat_map(|rows| rows.iter())
            .map(|spec| {
                let mut command = number(spec, spec.name.to_owned());
                let are_private = spec.flags.contains(Flags::PRIVATE_SUBCOMMANDS);
                let full_name = |sub: &CommandSpec| {
                    if are_private { spec.name.to_owned() } else { format!("{}|{}", spec.name, sub.name) }
                };
                command.subcommands = spec.subcommands.iter().map(|sub| number(sub, full_name(sub))).collect();
                if are_private {
                    command.subcommands.iter_mut().for_each(|sub| sub.id = command.id);
                }
                command
            })
            .collect();
        commands.sort_by_key(|command| command.spec.name);
        let mut by_name = Names::default();
        for (index, command) in commands.iter().enumerate() {
            assert!(by_name.insert(command.spec.name.as_bytes(), index), "{}: a name of its own", command.spec.name);
        }
        Table { commands, by_name, len: ids.next().expect("ids do not end") }
    }

    /// The command of this name, in any case of its letters.
    #[inline]
    pub fn command(&self, name: &[u8]) -> Option<&Command> {
        self.by_name.get(name).map(|index| &self.commands[index])
    }

    /// Calls a command otherwise, or takes it away where the new name is empty.
    fn rename(&mut self, name: &[u8], new_name: &[u8]) -> Result<(), &'static str> {
        let index = self.by_name.remove(name).ok_or("No such command in rename-command")?;
        if !new_name.is_empty() && !self.by_name.insert(new_name, index) {
            return Err("Target command name already exists, or is too long");
        }
        Ok(())
    }

    /// All commands, sorted by name, without their subcommands.
    pub fn commands(&self) -> &[Command] {
        &self.commands
    }

    /// Commands and subcommands.
    pub fn all(&self) -> impl Iterator<Item = &Command> {
        self.commands.iter().flat_map(|command| std::iter::once(command).chain(&command.subcommands))
    }
}

impl Command {
    /// Its subcommand of this name, in any case of its letters.
    pub fn subcommand(&self, name: &[u8]) -> Option<&Command> {
        self.subcommands.iter().find(|sub| sub.spec.name.as_bytes().eq_ignore_ascii_case(name))
    }

    pub fn is_container(&self) -> bool {
        !self.subcommands.is_empty()
    }

    /// Its subcommands as clients see them.
    pub fn public_subcommands(&self) -> &[Command] {
        if self.spec.flags.contains(Flags::PRIVATE_SUBCOMMANDS) { &[] } else { &self.subcommands }
    }

    /// Whether it is a subcommand that clients are not told of: its name is then the command's.
    pub fn is_private(&self) -> bool {
        self.spec.name != &*self.full_name && !self.full_name.contains('|')
    }

    /// Whether so many arguments, with the names, are what its row allows.
    #[inline]
    pub fn allows_arity(&self, arguments: usize) -> bool {
        let arity = self.spec.arity;
        if arity >= 0 { arguments == arity as usize } else { arguments >= arity.unsigned_abs() as usize }
    }
}
