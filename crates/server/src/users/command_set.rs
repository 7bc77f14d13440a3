//! A set of commands: a bit for each, and whether it has the commands that no bit is kept for.

use crate::label::CommandId;

/// A set of commands and subcommands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandSet {
    /// A bit for each [`CommandId`], 64 in a word. Empty until the set is neither empty nor full.
    bits: Vec<u64>,
    /// Whether it has every command without a bit. So a user with all commands also has those of later versions.
    rest: bool,
}

impl CommandSet {
    /// No command.
    pub const EMPTY: CommandSet = CommandSet { bits: Vec::new(), rest: false };
    /// Every command.
    pub const FULL: CommandSet = CommandSet { bits: Vec::new(), rest: true };

    /// Whether it has the command.
    #[inline]
    pub fn contains(&self, id: CommandId) -> bool {
        match self.bits.get(id.index() / 64) {
            Some(word) => word >> (id.index() % 64) & 1 == 1,
            None => self.rest,
        }
    }

    /// Whether it began with every command.
    pub fn begins_full(&self) -> bool {
        self.rest
    }

    /// Whether it has every command, and none was ever taken out of it.
    #[inline]
    pub fn is_full(&self) -> bool {
        self.rest && self.bits.is_empty()
    }

    /// Adds or removes a command.
    pub fn set(&mut self, id: CommandId, on: bool) {
        let word = id.index() / 64;
        if self.bits.len() <= word {
            self.bits.resize(word + 1, if self.rest { u64::MAX } else { 0 });
        }
        let bit = 1 << (id.index() % 64);
        if on { self.bits[word] |= bit } else { self.bits[word] &= !bit }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_set(full in any::<bool>(), changes in prop::collection::vec((0u16..300, any::<bool>()), 0..50)) {
            let mut set = if full { CommandSet::FULL } else { CommandSet::EMPTY };
            let mut model: BTreeSet<u16> = if full { (0..400).collect() } else { BTreeSet::new() };
            for (id, on) in changes {
                set.set(CommandId(id), on);
                if on { model.insert(id) } else { model.remove(&id) };
            }
            let members: BTreeSet<u16> = (0..400).filter(|&id| set.contains(CommandId(id))).collect();
            prop_assert_eq!(members, model);
        }
    }
}
