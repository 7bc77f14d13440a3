//! All commands by their names and numbers. The table is made of the families' rows once, at start.

use std::{ops::Deref, sync::OnceLock};

use super::{
    names::Names,
    table::{CommandSpec, Flags},
};
use crate::label::{CommandId, CommandLabel};

/// A row in its place: numbered, and with its name in full. It stands for its label wherever one is asked for.
pub struct Command {
    pub spec: &'static CommandSpec,
    pub label: CommandLabel,
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
    /// Commands and subcommands, each at the place of its number.
    by_id: Vec<&'static Command>,
}

static TABLE: OnceLock<Table> = OnceLock::new();

/// The table of all commands, once [`load`] has made it.
#[inline]
pub fn table() -> &'static Table {
    TABLE.get().expect("the commands are loaded at start")
}

/// Makes the table of these rows, with other names for some commands as `rename-command` says: (name, new name, empty for none). Before
/// anything asks for the table.
pub fn load(families: &[&'static [CommandSpec]], renamed: &[(Vec<u8>, Vec<u8>)]) -> Result<(), String> {
    let mut table = Table::new(families);
    for (name, new_name) in renamed {
        table.rename(name, new_name).map_err(|reason| {
            let [name, new_name] = [name, new_name].map(|name| String::from_utf8_lossy(name));
            format!("rename-command {name} {new_name}: {reason}")
        })?;
    }
    TABLE.set(table).map_err(|_| "the commands were in use before they were renamed".to_owned())
}

impl Table {
    /// Its commands live as long as the process.
    pub(super) fn new(families: &[&'static [CommandSpec]]) -> Table {
        let mut ids = 0..;
        let mut number = |spec: &'static CommandSpec, full_name: String| {
            let id = CommandId(ids.next().expect("there are fewer commands than numbers"));
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
            assert!(by_name.insert(command.spec.name.as_bytes(), index), "{}: a name of its own", command.spec.name);
        }
        let mut by_id: Vec<&Command> = all(commands).collect();
        by_id.sort_by_key(|command| command.id.index());
        Table { commands, by_name, by_id }
    }

    /// The command of this name, in any case of its letters.
    #[inline]
    pub fn command(&self, name: &[u8]) -> Option<&'static Command> {
        self.by_name.get(name).map(|index| &self.commands[index])
    }

    /// The command that has this label.
    #[inline]
    pub fn of(&self, label: &CommandLabel) -> &'static Command {
        self.by_id[label.id.index()]
    }

    /// How many commands and subcommands there are.
    pub fn count(&self) -> usize {
        self.by_id.len()
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
    pub fn commands(&self) -> &'static [Command] {
        self.commands
    }

    /// Commands and subcommands.
    pub fn all(&self) -> impl Iterator<Item = &'static Command> {
        all(self.commands)
    }
}

fn all(commands: &'static [Command]) -> impl Iterator<Item = &'static Command> {
    commands.iter().flat_map(|command| std::iter::once(command).chain(&command.subcommands))
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
