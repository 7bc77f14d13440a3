//! A user: whether it may authenticate, and what it may do.

use std::collections::BTreeMap;

use ochre_datatypes::glob::Pattern;
use sha2::{Digest, Sha256};

use super::command_set::CommandSet;
use crate::label::CommandId;

/// The SHA-256 of a password.
pub type PasswordHash = [u8; 32];

/// A user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Its name.
    pub name: Box<[u8]>,
    /// Whether clients may authenticate as this user.
    pub is_on: bool,
    /// Whether any password is right.
    pub needs_no_password: bool,
    /// `sanitize-payload`. Payloads of RESTORE are checked for every user.
    pub sanitizes_payloads: bool,
    /// The passwords, in the order in which they were added.
    pub passwords: Vec<PasswordHash>,
    /// What it may do: a command runs if any of these allows it as a whole. The first one is the user's own, which is always there.
    pub selectors: Vec<Selector>,
}

/// A set of rules, which allows some commands with some keys and channels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    /// The commands that it allows.
    pub commands: CommandSet,
    /// The rules that `commands` comes from, as ACL LIST shows them, without the first one: `+@read -get`.
    pub command_rules: Vec<u8>,
    /// The first arguments that are allowed for commands which are not allowed as a whole.
    pub first_arguments: BTreeMap<u16, Vec<Box<[u8]>>>,
    /// `~*`
    pub has_all_keys: bool,
    /// The patterns of keys, if it does not have all keys.
    pub keys: Vec<KeyPattern>,
    /// `&*`
    pub has_all_channels: bool,
    /// The patterns of channels, if it does not have all channels.
    pub channels: Vec<Box<[u8]>>,
}

/// The keys of a pattern, and what a command may do with them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPattern {
    /// The pattern.
    pub pattern: Box<[u8]>,
    /// The access that it gives.
    pub access: KeyAccess,
    /// The length of the prefix, if the pattern stands for all keys with a prefix.
    prefix_len: Option<usize>,
}

impl KeyPattern {
    /// Prepares a pattern.
    pub fn new(pattern: &[u8], access: KeyAccess) -> KeyPattern {
        let is_literal = |byte: &u8| !matches!(byte, b'*' | b'?' | b'[' | b'\\');
        // The empty key is matched by the empty pattern only.
        let prefix = pattern.strip_suffix(b"*").filter(|prefix| !prefix.is_empty() && prefix.iter().all(is_literal));
        KeyPattern { pattern: pattern.into(), access, prefix_len: prefix.map(<[u8]>::len) }
    }

    fn matches(&self, key: &[u8]) -> bool {
        match self.prefix_len {
            Some(len) => key.starts_with(&self.pattern[..len]),
            None => Pattern::new(&self.pattern[..]).matches(key),
        }
    }
}

/// What a command does with a key, or what a pattern allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyAccess {
    /// Its data are returned or copied.
    pub reads: bool,
    /// Its data are changed.
    pub writes: bool,
}

impl KeyAccess {
    /// Both kinds.
    pub const ALL: KeyAccess = KeyAccess { reads: true, writes: true };

    fn covers(self, needed: KeyAccess) -> bool {
        (self.reads || !needed.reads) && (self.writes || !needed.writes)
    }
}

/// What a request asks for.
pub trait Request {
    /// The command.
    fn command(&self) -> CommandId;
    /// Whether everybody may run it, such as AUTH.
    fn is_free(&self) -> bool;
    /// Its first argument, behind the name of the subcommand.
    fn first_argument(&self) -> Option<&[u8]>;
    /// Visits each key: its index among the arguments, the key, and what the command does with it.
    fn visit_keys(&self, visit: &mut dyn FnMut(usize, &[u8], KeyAccess));
    /// Visits each channel: its index among the arguments, its name, and whether it is a pattern.
    fn visit_channels(&self, visit: &mut dyn FnMut(usize, &[u8], bool));
}

/// Why a request is denied, in ascending order of how far the request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Denied {
    /// The command is not allowed.
    Command,
    /// The key at this index is not allowed.
    Key(usize),
    /// The channel at this index is not allowed.
    Channel(usize),
}

impl User {
    /// A user that was just created: it is off and may do nothing.
    pub fn new(name: &[u8]) -> User {
        User {
            name: name.into(),
            is_on: false,
            needs_no_password: false,
            sanitizes_payloads: true,
            passwords: Vec::new(),
            selectors: vec![Selector::NOTHING],
        }
    }

    /// A user that may do everything and needs no password.
    pub fn unrestricted(name: &[u8]) -> User {
        let mut user = User { is_on: true, needs_no_password: true, ..User::new(name) };
        user.selectors = vec![Selector::EVERYTHING];
        user
    }

    /// Whether it may do everything.
    #[inline]
    pub fn is_unrestricted(&self) -> bool {
        let own = &self.selectors[0];
        own.commands.is_full() && own.has_all_keys && own.has_all_channels
    }

    /// Whether clients act for this user without authenticating, if it is the default one.
    pub fn is_open(&self) -> bool {
        self.is_on && self.needs_no_password
    }

    /// Whether a client that gives this password is this user. It takes the same time however much of the password is right.
    pub fn accepts(&self, password: &[u8]) -> bool {
        if !self.is_on {
            return false;
        }
        let given = hash_of(password);
        let is_equal = |hash: &PasswordHash| {
            let difference = hash.iter().zip(given).fold(0, |difference, (a, b)| difference | (a ^ b));
            std::hint::black_box(difference) == 0
        };
        self.passwords.iter().fold(self.needs_no_password, |accepted, hash| accepted | is_equal(hash))
    }

    /// Whether it may run a request. If not, the reason is that of the selector that came furthest.
    pub fn allows(&self, request: &impl Request) -> Result<(), Denied> {
        if self.is_unrestricted() {
            return Ok(());
        }
        let mut furthest = Denied::Command;
        for selector in &self.selectors {
            match selector.allows(request) {
                Ok(()) => return Ok(()),
                Err(denied) => furthest = furthest.max(denied),
            }
        }
        Err(furthest)
    }

    /// Whether a request may also read any key, such as SORT with BY. (Redis: `ACLUserCheckCmdWithUnrestrictedPerms`)
    pub fn allows_with_all_keys(&self, request: &impl Request) -> bool {
        let reads_all = |selector: &&Selector| {
            let is_all = |key: &KeyPattern| &*key.pattern == b"*" && key.access.reads;
            selector.has_all_keys || selector.keys.iter().any(is_all)
        };
        self.selectors.iter().filter(reads_all).any(|selector| selector.allows(request).is_ok())
    }

    /// Whether it may be subscribed to a channel or a pattern.
    pub fn may_subscribe(&self, channel: &[u8], is_pattern: bool) -> bool {
        self.selectors.iter().any(|selector| selector.allows_channel(channel, is_pattern))
    }
}

/// Returns the hash that is kept of a password.
pub fn hash_of(password: &[u8]) -> PasswordHash {
    Sha256::digest(password).into()
}

impl Selector {
    /// Allows nothing.
    pub const NOTHING: Selector = Selector {
        commands: CommandSet::EMPTY,
        command_rules: Vec::new(),
        first_arguments: BTreeMap::new(),
        has_all_keys: false,
        keys: Vec::new(),
        has_all_channels: false,
        channels: Vec::new(),
    };
    /// Allows everything.
    pub const EVERYTHING: Selector = Selector {
        commands: CommandSet::FULL,
        has_all_keys: true,
        has_all_channels: true,
        command_rules: Vec::new(),
        first_arguments: BTreeMap::new(),
        keys: Vec::new(),
        channels: Vec::new(),
    };

    /// Whether it allows a request as a whole. (Redis: `ACLSelectorCheckCmd`)
    fn allows(&self, request: &impl Request) -> Result<(), Denied> {
        if !request.is_free() && !self.allows_command(request) {
            return Err(Denied::Command);
        }
        let mut denied = None;
        if !self.has_all_keys {
            request.visit_keys(&mut |index, key, access| {
                if denied.is_none() && !self.allows_key(key, access) {
                    denied = Some(Denied::Key(index));
                }
            });
        }
        if !self.has_all_channels {
            request.visit_channels(&mut |index, channel, is_pattern| {
                if denied.is_none() && !self.allows_channel(channel, is_pattern) {
                    denied = Some(Denied::Channel(index));
                }
            });
        }
        denied.map_or(Ok(()), Err)
    }

    fn allows_command(&self, request: &impl Request) -> bool {
        self.commands.contains(request.command())
            || self.first_arguments.get(&request.command().0).is_some_and(|allowed| {
                request
                    .first_argument()
                    .is_some_and(|given| allowed.iter().any(|allowed| allowed.eq_ignore_ascii_case(given)))
            })
    }

    fn allows_key(&self, key: &[u8], needed: KeyAccess) -> bool {
        self.keys.iter().any(|allowed| allowed.access.covers(needed) && allowed.matches(key))
    }

    /// Whether it allows a channel. A pattern to subscribe to must be the same as an allowed one, since it is hard to say which channels it
    /// stands for.
    fn allows_channel(&self, channel: &[u8], is_pattern: bool) -> bool {
        self.has_all_channels
            || self.channels.iter().any(|allowed| {
                if is_pattern { **allowed == *channel } else { Pattern::new(&allowed[..]).matches(channel) }
            })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_key_pattern_is_a_glob_pattern(pattern in "[ab*?\\\\\\[\\]]{0,4}", key in "[ab*]{0,4}") {
            let (pattern, key) = (pattern.as_bytes(), key.as_bytes());
            prop_assert_eq!(KeyPattern::new(pattern, KeyAccess::ALL).matches(key), Pattern::new(pattern).matches(key));
        }
    }
}
