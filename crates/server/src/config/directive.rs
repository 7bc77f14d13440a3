//! What is known of one directive.

use std::sync::Arc;

use bitflags::bitflags;

use super::{
    rules::{self, Place, Reason, Rule},
    settings::Config,
};

/// A row of the table: everything about a directive.
pub struct Directive {
    /// Lowercase.
    pub name: &'static str,
    /// Other names for the same setting, mostly those of older versions; CONFIG GET answers to each.
    pub aliases: &'static [&'static str],
    /// As a file says it.
    pub default: &'static str,
    /// What it does, in a sentence or two.
    pub doc: &'static str,
    pub group: Group,
    pub flags: Flags,
    /// What has to be done when CONFIG SET changes it; without one the cores take the new value from their next batch on.
    pub hook: Option<Hook>,
    pub(super) access: Access,
}

bitflags! {
    /// How a directive may be set and shown.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct Flags: u8 {
        /// Only read at start.
        const IMMUTABLE = 1;
        /// Set at run time only as far as `enable-protected-configs` allows.
        const PROTECTED = 1 << 1;
        /// Set at run time by local clients, by others only as far as `enable-protected-configs` allows.
        const LOCAL = 1 << 2;
        /// Its value stays out of logs and of SLOWLOG.
        const SENSITIVE = 1 << 3;
        /// Patterns of CONFIG GET do not find it: it is for those who test servers.
        const HIDDEN = 1 << 4;
        /// A value is several words.
        const SEVERAL_WORDS = 1 << 5;
        /// Lines of a file add up, until an empty one clears them.
        const ADDS_UP = 1 << 6;
    }
}

/// What has to be done when a setting changes, beside the cores taking it up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hook {
    /// Listen on other addresses.
    Listen,
    /// Write the log elsewhere, or other levels of it.
    Log,
    /// Allow as many open files as there may be clients.
    OpenFiles,
    /// Go to another working directory.
    Directory,
    /// Evict down to another limit.
    Memory,
    /// Ask clients for another password.
    Password,
}

/// A section of `ochre.conf`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Group {
    Network,
    Clients,
    Security,
    Process,
    Log,
    Memory,
    DataTypes,
    Events,
    Observation,
    Replicas,
    /// Accepted, kept and reported for tools and files that set it; Ochre has no use for it.
    Kept,
}

impl Directive {
    /// All names.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.name).chain(self.aliases.iter().copied())
    }

    /// Whether the setting does something in Ochre.
    pub fn is_used(&self) -> bool {
        self.group != Group::Kept
    }

    /// The value as CONFIG GET shows it.
    pub fn show(&self, config: &Config) -> Vec<u8> {
        match self.access {
            Access::Field { show, .. } => show(config),
            Access::Kept { index, .. } => config.kept[index].to_vec(),
        }
    }

    /// The value as CONFIG REWRITE writes it: what follows the name, of one line or of several.
    pub fn lines(&self, config: &Config) -> Vec<Vec<u8>> {
        match self.access {
            Access::Field { lines, .. } => lines(config),
            Access::Kept { index, lines, .. } => lines(&config.kept[index]),
        }
    }

    /// Sets it from the words of a file's line or of CONFIG SET.
    pub fn set(&self, config: &mut Config, words: &[&[u8]], place: Place) -> Result<(), Reason> {
        match self.access {
            Access::Field { set, .. } => set(config, words, place),
            Access::Kept { index, set, .. } => {
                let value = set(&config.kept[index], words, place)?;
                Arc::make_mut(&mut config.kept)[index] = value.into();
                Ok(())
            }
        }
    }

    /// Sets it as CONFIG SET does: from one argument, cut at spaces where the value is several words.
    pub fn set_at_run_time(&self, config: &mut Config, argument: &[u8]) -> Result<(), Reason> {
        let words: Vec<&[u8]> = if !self.flags.contains(Flags::SEVERAL_WORDS) {
            vec![argument]
        } else if argument.is_empty() {
            vec![]
        } else {
            argument.split(|&byte| byte == b' ').collect()
        };
        self.set(config, &words, Place::RunTime)
    }
}

/// How a directive reaches its value.
#[derive(Clone, Copy)]
pub(super) enum Access {
    /// A field of [`Config`].
    Field { set: SetField, show: fn(&Config) -> Vec<u8>, lines: fn(&Config) -> Vec<Vec<u8>> },
    /// A text among those that are only kept.
    Kept { index: usize, set: SetKept, lines: fn(&[u8]) -> Vec<Vec<u8>> },
}

/// Reads words into a field.
type SetField = fn(&mut Config, &[&[u8]], Place) -> Result<(), Reason>;

/// Reads words into the text to keep, from the text before.
type SetKept = fn(&[u8], &[&[u8]], Place) -> Result<Vec<u8>, Reason>;

/// What the rows say beyond name, default and rule.
impl Directive {
    pub(super) const fn row(name: &'static str, group: Group, access: Access) -> Directive {
        Directive { name, aliases: &[], default: "", doc: "", group, flags: Flags::empty(), hook: None, access }
    }

    pub(super) const fn described(
        self,
        aliases: &'static [&'static str],
        default: &'static str,
        doc: &'static str,
    ) -> Directive {
        Directive { aliases, default, doc, ..self }
    }

    /// Takes from the rule what the table has to know of it.
    pub(super) const fn ruled<V, R: Rule<Value = V>>(self, _rule: &R) -> Directive {
        let words = if R::SEVERAL_WORDS { Flags::SEVERAL_WORDS } else { Flags::empty() };
        let adds_up = if R::ADDS_UP { Flags::ADDS_UP } else { Flags::empty() };
        self.flagged(words.union(adds_up))
    }

    pub(super) const fn immutable(self) -> Directive {
        self.flagged(Flags::IMMUTABLE)
    }

    pub(super) const fn protected(self) -> Directive {
        self.flagged(Flags::PROTECTED)
    }

    pub(super) const fn local(self) -> Directive {
        self.flagged(Flags::LOCAL)
    }

    pub(super) const fn sensitive(self) -> Directive {
        self.flagged(Flags::SENSITIVE)
    }

    pub(super) const fn hidden(self) -> Directive {
        self.flagged(Flags::HIDDEN)
    }

    pub(super) const fn hook(self, hook: Hook) -> Directive {
        Directive { hook: Some(hook), ..self }
    }

    const fn flagged(self, flags: Flags) -> Directive {
        Directive { flags: self.flags.union(flags), ..self }
    }
}

/// Gives the kept rows their places.
pub(super) const fn numbered<const N: usize>(mut rows: [Directive; N]) -> [Directive; N] {
    let mut next = 0;
    while next < N {
        if let Access::Kept { index, .. } = &mut rows[next].access {
            *index = next;
        }
        next += 1;
    }
    rows
}

/// The value of a setting that no line has named.
pub(super) fn default_value<R: Rule>(rule: &R, default: &str) -> R::Value {
    rules::parse_shown(rule, default.as_bytes()).expect("a default is a value")
}

/// [`Access::Kept`]'s `set`, by the setting's rule.
pub(super) fn set_kept<R: Rule>(rule: &R, before: &[u8], words: &[&[u8]], place: Place) -> Result<Vec<u8>, Reason> {
    let before = rules::parse_shown(rule, before)?;
    rule.parse_after(words, &before, place).map(|value| rule.show(&value))
}

/// [`Access::Kept`]'s `lines`, by the setting's rule.
pub(super) fn kept_lines<R: Rule>(rule: &R, shown: &[u8]) -> Vec<Vec<u8>> {
    rule.lines(&rules::parse_shown(rule, shown).expect("what is kept was shown by its rule"))
}
