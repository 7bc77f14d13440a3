//! A directive's row: everything that is known about it.

use std::sync::Arc;

use bitflags::bitflags;

use super::{
    rules::{self, Place, Reason, Rule},
    settings::Config,
};

/// Everything that is known about a directive.
pub struct Directive {
    /// In lowercase.
    pub name: &'static str,
    /// Other names of the same setting, mostly those of older versions of Redis. CONFIG GET and SET accept each of them.
    pub aliases: &'static [&'static str],
    /// The default, as CONFIG GET shows it.
    pub default: &'static str,
    /// What it does, in sentences for an operator.
    pub doc: &'static str,
    /// Another value as a line of a file has it, for a directive whose default does not show what one looks like.
    pub example: Option<&'static str>,
    /// The value that `ochre.conf` has, where that is not the default.
    pub in_file: Option<&'static str>,
    /// The section of `ochre.conf` that it is in.
    pub section: Section,
    /// How it may be set and shown.
    pub flags: Flags,
    /// What CONFIG SET does beside storing the new value. Without a hook, each core uses the new value from its next batch on.
    pub hook: Option<Hook>,
    pub(super) access: Access,
}

bitflags! {
    /// How a directive may be set and shown.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct Flags: u16 {
        /// Read at start only: CONFIG SET refuses it.
        const IMMUTABLE = 1;
        /// CONFIG SET refuses it unless `enable-protected-configs` allows the client to set it.
        const PROTECTED = 1 << 1;
        /// As `PROTECTED`, but clients of this machine may always set it.
        const LOCAL = 1 << 2;
        /// Its value must not appear in the log or in SLOWLOG.
        const SENSITIVE = 1 << 3;
        /// No pattern of CONFIG GET matches it: it is for tests of the server.
        const HIDDEN = 1 << 4;
        /// Its value consists of several words.
        const SEVERAL_WORDS = 1 << 5;
        /// Each further line of a file adds to its value, until an empty one clears it.
        const ADDS_UP = 1 << 6;
        /// It belongs to a feature that Ochre is going to have; this version only keeps the value.
        const NO_EFFECT_YET = 1 << 7;
        /// Its value names a file. CONFIG SET applies it even if the value is the one in force, since the file may have changed.
        const VOLATILE = 1 << 8;
    }
}

/// What CONFIG SET does when it changes a directive, beside storing the value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hook {
    /// Listens on other addresses. The text is the error if it cannot.
    Listen(&'static str),
    /// Listens on another port for TLS. The text is the error if it cannot.
    ListenTls(&'static str),
    /// Reads the certificates and keys again, and uses them for new connections.
    Tls,
    /// Changes the log's file or level.
    Log,
    /// Raises the limit of open files to what the number of clients needs.
    OpenFiles,
    /// Changes the working directory.
    Directory,
    /// Turns the append-only file on or off, or changes how it is written.
    AppendOnly,
}

/// A section of `ochre.conf`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Section {
    /// Addresses and sockets.
    Network,
    /// Encrypted connections.
    Tls,
    /// Limits of what clients may use.
    Clients,
    /// Who may do what.
    Security,
    /// The process as the system sees it.
    Process,
    /// The log.
    Log,
    /// Limits of memory and eviction.
    Memory,
    /// When values change their encoding.
    DataTypes,
    /// Notifications and scripts.
    Events,
    /// What is recorded for operators.
    Observation,
    /// Files and payloads that keep the data.
    Persistence,
    /// Replication.
    Replicas,
    /// Directives that are accepted, kept and reported for the tools and files that set them, and have no effect.
    Kept,
}

impl Section {
    /// Its heading in `ochre.conf`.
    pub fn title(self) -> &'static str {
        match self {
            Section::Network => "Network",
            Section::Tls => "TLS",
            Section::Clients => "Clients",
            Section::Security => "Security",
            Section::Process => "Process",
            Section::Log => "Log",
            Section::Memory => "Memory",
            Section::DataTypes => "Data types",
            Section::Events => "Notifications and scripts",
            Section::Observation => "Observation",
            Section::Persistence => "Persistence",
            Section::Replicas => "Replicas",
            Section::Kept => "Kept for compatibility",
        }
    }
}

impl Directive {
    /// Whether its value is a secret.
    pub fn is_sensitive(&self) -> bool {
        self.flags.contains(Flags::SENSITIVE)
    }

    /// Its name and its aliases.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.name).chain(self.aliases.iter().copied())
    }

    /// The value as CONFIG GET shows it.
    pub fn show(&self, config: &Config) -> Vec<u8> {
        match self.access {
            Access::Field { show, .. } => show(config),
            Access::Kept { index, .. } => config.kept[index].to_vec(),
        }
    }

    /// The value as CONFIG REWRITE writes it: for each line, the text after the directive's name.
    pub fn lines(&self, config: &Config) -> Vec<Vec<u8>> {
        match self.access {
            Access::Field { lines, .. } => lines(config),
            Access::Kept { index, lines, .. } => lines(&config.kept[index]),
        }
    }

    /// Sets the value from the words of a file's line or of CONFIG SET.
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

    /// Sets the value as CONFIG SET does: from one argument, which is split at spaces if the value consists of several words.
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

/// Where a directive's value is, and how it is read and written.
#[derive(Clone, Copy)]
pub(super) enum Access {
    /// A field of [`Config`].
    Field { set: SetField, show: fn(&Config) -> Vec<u8>, lines: fn(&Config) -> Vec<Vec<u8>> },
    /// A text in the list of kept values.
    Kept { index: usize, set: SetKept, lines: fn(&[u8]) -> Vec<Vec<u8>> },
}

/// Parses words into a field.
type SetField = fn(&mut Config, &[&[u8]], Place) -> Result<(), Reason>;

/// Parses words into the text to keep; the first argument is the text kept so far.
type SetKept = fn(&[u8], &[&[u8]], Place) -> Result<Vec<u8>, Reason>;

/// The parts of a row. Those after `ruled` are the modifiers, which a row may name after its rule.
impl Directive {
    pub(super) const fn row(name: &'static str, section: Section, access: Access) -> Directive {
        Directive {
            name,
            aliases: &[],
            default: "",
            doc: "",
            example: None,
            in_file: None,
            section,
            flags: Flags::empty(),
            hook: None,
            access,
        }
    }

    pub(super) const fn described(
        self,
        aliases: &'static [&'static str],
        default: &'static str,
        doc: &'static str,
    ) -> Directive {
        Directive { aliases, default, doc, ..self }
    }

    /// Sets the flags that follow from the rule.
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

    pub(super) const fn volatile(self) -> Directive {
        self.flagged(Flags::VOLATILE)
    }

    pub(super) const fn no_effect_yet(self) -> Directive {
        self.flagged(Flags::NO_EFFECT_YET)
    }

    pub(super) const fn hook(self, hook: Hook) -> Directive {
        Directive { hook: Some(hook), ..self }
    }

    pub(super) const fn example(self, example: &'static str) -> Directive {
        Directive { example: Some(example), ..self }
    }

    pub(super) const fn in_file(self, value: &'static str) -> Directive {
        Directive { in_file: Some(value), ..self }
    }

    const fn flagged(self, flags: Flags) -> Directive {
        Directive { flags: self.flags.union(flags), ..self }
    }
}

/// Gives each kept row its place in the list of kept values.
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

/// The value of a setting that no line names.
pub(super) fn default_value<R: Rule>(rule: &R, default: &str) -> R::Value {
    rules::parse_shown(rule, default.as_bytes()).expect("a row's rule accepts its default")
}

/// `set` of [`Access::Kept`], by the setting's rule.
pub(super) fn set_kept<R: Rule>(rule: &R, before: &[u8], words: &[&[u8]], place: Place) -> Result<Vec<u8>, Reason> {
    let before = rules::parse_shown(rule, before)?;
    rule.parse_after(words, &before, place).map(|value| rule.show(&value))
}

/// `lines` of [`Access::Kept`], by the setting's rule.
pub(super) fn kept_lines<R: Rule>(rule: &R, shown: &[u8]) -> Vec<Vec<u8>> {
    rule.lines(&rules::parse_shown(rule, shown).expect("the rule wrote the text that is kept"))
}
