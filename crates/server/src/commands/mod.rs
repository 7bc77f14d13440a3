//! All commands: the families' rows put together, and the lookup by name.

pub mod client;
pub mod cluster;
pub mod command;
pub mod config;
pub mod connection;
pub mod context;
pub mod debug;
pub mod error;
pub mod expire;
pub mod help;
pub mod info;
pub mod keys;
pub mod memory;
pub mod module;
pub mod object;
pub mod pubsub;
pub mod replication;
pub mod scan;
pub mod server;
pub mod strings;
pub mod syntax;
pub mod table;
pub mod transactions;

use std::{collections::HashMap, sync::LazyLock};

pub use error::CommandError;
pub use table::{CommandSpec, Flags, Handler};

/// The rows of every family.
const FAMILIES: &[&[CommandSpec]] = &[
    client::ROWS,
    cluster::ROWS,
    command::ROWS,
    config::ROWS,
    connection::ROWS,
    debug::ROWS,
    expire::ROWS,
    info::ROWS,
    keys::ROWS,
    memory::ROWS,
    module::ROWS,
    object::ROWS,
    pubsub::ROWS,
    replication::ROWS,
    scan::ROWS,
    server::ROWS,
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
    by_name: HashMap<Name, usize, foldhash::fast::FixedState>,
    /// How many commands and subcommands there are.
    pub len: usize,
}

/// The longest name of a command.
const NAME_LEN_MAX: usize = 24;

/// A name in lowercase, padded with zeros: equal names are equal arrays, which are compared and hashed without a loop.
type Name = [u64; NAME_LEN_MAX / 8];

/// The padded lowercase name; `None` where no command has a name so long.
#[inline]
fn padded(name: &[u8]) -> Option<Name> {
    let mut bytes = [0; NAME_LEN_MAX];
    bytes.get_mut(..name.len())?.copy_from_slice(name);
    bytes.make_ascii_lowercase();
    let (words, _) = bytes.as_chunks::<8>();
    Some([u64::from_le_bytes(words[0]), u64::from_le_bytes(words[1]), u64::from_le_bytes(words[2])])
}

/// The table, made when first asked for.
pub fn table() -> &'static Table {
    static TABLE: LazyLock<Table> = LazyLock::new(Table::new);
    &TABLE
}

impl Table {
    fn new() -> Table {
        let mut ids = 0..;
        let mut number = |spec: &'static CommandSpec, full_name: String| Command {
            spec,
            id: ids.next().expect("ids do not end"),
            full_name: full_name.into(),
            subcommands: Vec::new(),
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
        let by_name = commands
            .iter()
            .enumerate()
            .map(|(i, c)| (padded(c.spec.name.as_bytes()).expect("no command's name is too long"), i))
            .collect();
        Table { commands, by_name, len: ids.next().expect("ids do not end") }
    }

    /// The command of this name, in any case of its letters.
    #[inline]
    pub fn command(&self, name: &[u8]) -> Option<&Command> {
        self.by_name.get(&padded(name)?).map(|&i| &self.commands[i])
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
