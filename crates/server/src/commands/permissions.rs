//! Whether the user of a session may run a command: with these keys and channels, and from where it comes.

use ochre_resp::Args;

use super::{
    error::CommandError,
    key_positions::positions,
    registry::Command,
    table::{Channels, KeyFlags},
};
use crate::{
    clock,
    core::Core,
    label::{CommandId, Flags},
    session::Session,
    users::{
        User,
        denials::{Denial, Place, Reason},
        user::{Denied, KeyAccess, Request},
    },
};

/// A command with its arguments, as users are asked for it.
pub struct Asked<'a> {
    /// The command.
    pub command: &'static Command,
    /// Its arguments, with its name.
    pub args: Args<'a>,
}

impl Request for Asked<'_> {
    fn command(&self) -> CommandId {
        self.command.counted_as
    }

    fn is_free(&self) -> bool {
        self.command.spec.flags.contains(Flags::NO_AUTH)
    }

    fn first_argument(&self) -> Option<&[u8]> {
        self.args.try_get(if self.command.is_public_subcommand() { 2 } else { 1 })
    }

    fn visit_keys(&self, visit: &mut dyn FnMut(usize, &[u8], KeyAccess)) {
        let flags_of_all = self.command.spec.variable_flags.map(|flags| flags(self.args));
        // If the arguments do not fit the key specs, the command will answer what is wrong with them.
        let _ = positions(self.command.spec, self.args, |index, flags| {
            let flags = match flags_of_all {
                Some(variable) if flags.contains(KeyFlags::VARIABLE_FLAGS) => variable,
                _ => flags,
            };
            let access = KeyAccess {
                reads: flags.contains(KeyFlags::ACCESS),
                writes: flags.intersects(KeyFlags::INSERT.union(KeyFlags::DELETE).union(KeyFlags::UPDATE)),
            };
            visit(index, self.args.get(index), access);
        });
    }

    fn visit_channels(&self, visit: &mut dyn FnMut(usize, &[u8], bool)) {
        let (last, are_patterns) = match self.command.spec.channels {
            Channels::None => return,
            Channels::First => (2, false),
            Channels::All => (self.args.len(), false),
            Channels::Patterns => (self.args.len(), true),
        };
        for index in 1..last.min(self.args.len()) {
            visit(index, self.args.get(index), are_patterns);
        }
    }
}

/// Checks whether a session may run a command. A denial is logged.
#[inline]
pub fn check(
    core: &Core,
    session: &Session,
    command: &'static Command,
    args: Args<'_>,
    place: Place,
) -> Result<(), Denied> {
    if session.identity.is_unrestricted() {
        return Ok(());
    }
    let Some(user) = session.identity.user() else { return Err(Denied::Command) };
    let asked = Asked { command, args };
    user.allows(&asked).inspect_err(|&denied| log(core, session, user, &asked, denied, place))
}

/// Where a request of the client itself comes from.
pub fn place(session: &Session) -> Place {
    if session.in_transaction() { Place::Multi } else { Place::TopLevel }
}

/// Logs a denial.
#[cold]
fn log(core: &Core, session: &Session, user: &User, asked: &Asked<'_>, denied: Denied, place: Place) {
    let (reason, object) = match denied {
        Denied::Command => (Reason::Command, asked.command.full_name.as_bytes()),
        Denied::Key(index) => (Reason::Key, asked.args.get(index)),
        Denied::Channel(index) => (Reason::Channel, asked.args.get(index)),
    };
    push(core, session, Denial { reason, place, object: object.into(), user: user.name.clone() });
}

/// Adds to the log of denials.
pub fn push(core: &Core, session: &Session, denial: Denial) {
    let now_ms = clock::now_ms();
    let line = session.client.description(now_ms);
    core.server.users.denials.push(denial, line, now_ms, core.config().acllog_max_len as usize);
}

/// The error before authentication.
pub const AUTH_REQUIRED: CommandError = CommandError::text("NOAUTH Authentication required.");

/// As [`check`]. The error is the reply to the client.
#[inline]
pub fn allow(
    core: &Core,
    session: &Session,
    command: &'static Command,
    args: Args<'_>,
    place: Place,
) -> Result<(), CommandError> {
    check(core, session, command, args, place).map_err(|denied| match session.identity.user() {
        Some(user) => CommandError::composed([b"NOPERM ", &text(user, command, denied)[..]].concat()),
        None => AUTH_REQUIRED,
    })
}

/// Why something was denied, as errors say it.
pub fn text(user: &User, command: &Command, denied: Denied) -> Vec<u8> {
    match denied {
        Denied::Command => {
            let name = command.full_name.as_bytes();
            [b"User ", &user.name[..], b" has no permissions to run the '", name, b"' command"].concat()
        }
        Denied::Key(_) => b"No permissions to access a key".to_vec(),
        Denied::Channel(_) => b"No permissions to access a channel".to_vec(),
    }
}
