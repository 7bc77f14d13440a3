//! All commands by name and by number. The table is built once, at start, from the families' rows.

use std::{ops::Deref, sync::OnceLock};

use ochre_resp::Args;

use super::{
    names::Names,
    table::{CommandSpec, Flags},
};
use crate::label::{CommandId, CommandLabel};

/// A command in the table: its row, and its label, which has its number and full name. It dereferences to its label.
pub struct Command {
    /// The row.
    pub spec: &'static CommandSpec,
    /// What sessions and counters know of the command.
    pub label: CommandLabel,
    /// The subcommands, in the order of their rows.
    pub subcommands: Vec<Command>,
}

impl Deref for Command {
    type Target = CommandLabel;

    fn deref(&self) -> &CommandLabel {
        &self.label
    }
}

/// The table of all commands.
pub struct Table {
    commands: &'static [Command],
    by_name: Names,
    /// All commands and subcommands, indexed by number.
    by_id: Vec<&'static Command>,
}

static TABLE: OnceLock<Table> = OnceLock::new();

/// The table of all commands.
///
/// # Panics
/// Panics before [`load`] has built the table.
#[inline]
pub fn table() -> &'static Table {
    TABLE.get().expect("the commands are loaded at start")
}

/// Builds the table from the families' rows, before anything asks for it. `renamed` has the names and new names of the `rename-command`
/// directives; an empty new name removes the command. The error is a text for the operator.
pub fn load(families: &[&'static [CommandSpec]], renamed: &[(Vec<u8>, Vec<u8>)]) -> Result<(), String> {
    let mut table = Table::new(families);
    for (name, new_name) in renamed {
        table.rename(name, new_name).map_err(|reason| {
            let [name, new_name] = [name, new_name].map(|name| String::from_utf8_lossy(name));
            format!("rename-command {name} {new_name}: {reason}")
        })?;
    }
    TABLE.set(table).map_err(|_| "the table of commands was already built".to_owned())
}

impl Table {
    /// Builds a table. Its commands live as long as the process.
    pub(super) fn new(families: &[&'static [CommandSpec]]) -> Table {
        let mut ids = 0..;
        let mut number = |spec: &'static CommandSpec, full_name: String| {
            let id = CommandId(ids.next().expect("there are more numbers than commands"));
            let label = CommandLabel { id, counted_as: id, full_name: full_name.into(), flags: spec.flags };
            Command { spec, label, subcommands: Vec::new() }
        };
        let mut commands: Vec<Command> = families
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
                    command.subcommands.iter_mut().for_each(|sub| sub.label.counted_as = command.label.id);
                }
                command
            })
            .collect();
        commands.sort_by_key(|command| command.spec.name);
        let commands: &'static [Command] = commands.leak();
        let mut by_name = Names::default();
        for (index, command) in commands.iter().enumerate() {
            assert!(
                by_name.insert(command.spec.name.as_bytes(), index),
                "{}: two rows have this name",
                command.spec.name
            );
        }
        let mut by_id: Vec<&Command> = all(commands).collect();
        by_id.sort_by_key(|command| command.id.index());
        Table { commands, by_name, by_id }
    }

    /// The command of this name, ignoring ASCII case.
    #[inline]
    pub fn command(&self, name: &[u8]) -> Option<&'static Command> {
        self.by_name.get(name).map(|index| &self.commands[index])
    }

    /// The command or subcommand that a request names. `None` if there is none, or if its command has no such subcommand.
    pub fn named_by(&self, args: Args<'_>) -> Option<&'static Command> {
        let command = self.command(args.try_get(0)?)?;
        match args.try_get(1) {
            Some(name) if !command.public_subcommands().is_empty() => command.subcommand(name),
            _ => Some(command),
        }
    }

    /// The command that has this label.
    #[inline]
    pub fn of(&self, label: &CommandLabel) -> &'static Command {
        self.by_id[label.id.index()]
    }

    /// The command whose row has this name, ignoring ASCII case, whatever it was renamed to.
    pub fn original(&self, name: &[u8]) -> Option<&'static Command> {
        let name = name.to_ascii_lowercase();
        let found = self.commands.binary_search_by(|command| command.spec.name.as_bytes().cmp(&name));
        found.ok().map(|index| &self.commands[index])
    }

    /// The number of commands and subcommands.
    pub fn count(&self) -> usize {
        self.by_id.len()
    }

    /// Renames a command, or removes it if the new name is empty.
    fn rename(&mut self, name: &[u8], new_name: &[u8]) -> Result<(), &'static str> {
        let index = self.by_name.remove(name).ok_or("No such command in rename-command")?;
        if !new_name.is_empty() && !self.by_name.insert(new_name, index) {
            return Err("Target command name already exists, or is too long");
        }
        Ok(())
    }

    /// All commands, sorted by name, without their subcommands.
    pub fn commands(&self) -> &'static [Command] {
        self.commands
    }

    /// All commands and subcommands.
    pub fn all(&self) -> impl Iterator<Item = &'static Command> {
        all(self.commands)
    }
}

fn all(commands: &'static [Command]) -> impl Iterator<Item = &'static Command> {
    commands.iter().flat_map(|command| std::iter::once(command).chain(&command.subcommands))
}

impl Command {
    /// The subcommand of this name, ignoring ASCII case.
    pub fn subcommand(&self, name: &[u8]) -> Option<&Command> {
        self.subcommands.iter().find(|sub| sub.spec.name.as_bytes().eq_ignore_ascii_case(name))
    }

    /// Whether the command has subcommands.
    pub fn is_container(&self) -> bool {
        !self.subcommands.is_empty()
    }

    /// The subcommands that clients see.
    pub fn public_subcommands(&self) -> &[Command] {
        if self.spec.flags.contains(Flags::PRIVATE_SUBCOMMANDS) { &[] } else { &self.subcommands }
    }

    /// Whether this is a subcommand that clients see.
    pub fn is_public_subcommand(&self) -> bool {
        self.full_name.contains('|')
    }

    /// Whether this is a subcommand that clients do not see: its full name is that of the container.
    pub fn is_private(&self) -> bool {
        self.spec.name != &*self.full_name && !self.full_name.contains('|')
    }

    /// Whether the row allows this number of arguments, which include the names.
    #[inline]
    pub fn allows_arity(&self, arguments: usize) -> bool {
        let arity = self.spec.arity;
        if arity >= 0 { arguments == arity as usize } else { arguments >= arity.unsigned_abs() as usize }
    }
}
