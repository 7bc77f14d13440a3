//! The rules that describe a user: how they are read (ACL SETUSER, `user` lines, the ACL file) and how ACL LIST shows them.
//!
//! Redis: "ACL", "ACL rules"; `ACLSetUser`, `ACLSetSelector`, `ACLDescribeUser`.

use crate::{
    commands::{
        Command,
        registry::{Table, table},
        table::Category,
    },
    users::{
        User,
        command_set::CommandSet,
        user::{KeyAccess, KeyPattern, PasswordHash, Selector, hash_of},
    },
};

/// Why a rule is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleError {
    /// It is no rule.
    Syntax,
    /// There is no such command or category.
    Unknown,
    /// A subcommand with a first argument.
    FirstArgumentOfSubcommand,
    /// A pattern of keys when all keys are allowed.
    KeysAfterAll,
    /// A pattern of channels when all channels are allowed.
    ChannelsAfterAll,
    /// A hash that is none.
    Hash,
    /// The password to remove is not there.
    NoSuchPassword,
}

impl RuleError {
    /// The text for clients and logs.
    pub fn text(self) -> &'static str {
        match self {
            RuleError::Syntax => "Syntax error",
            RuleError::Unknown => "Unknown command or category name in ACL",
            RuleError::FirstArgumentOfSubcommand => "Allowing first-arg of a subcommand is not supported",
            RuleError::KeysAfterAll => {
                "Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and does not have any effect. \
                 Try 'resetkeys' to start with an empty list of patterns"
            }
            RuleError::ChannelsAfterAll => {
                "Adding a pattern after the * pattern (or the 'allchannels' flag) is not valid and does not have any effect. \
                 Try 'resetchannels' to start with an empty list of channels"
            }
            RuleError::Hash => {
                "The password hash must be exactly 64 characters and contain only lowercase hexadecimal characters"
            }
            RuleError::NoSuchPassword => "The password you are trying to remove from the user does not exist",
        }
    }
}

/// Returns a user that was just created. `has_all_channels` is what `acl-pubsub-default` says.
pub fn new_user(name: &[u8], has_all_channels: bool) -> User {
    User { selectors: vec![new_selector(has_all_channels)], ..User::new(name) }
}

fn new_selector(has_all_channels: bool) -> Selector {
    Selector { has_all_channels, ..Selector::NOTHING }
}

/// Joins the words of a selector that was written as several: `(+get` and `~a)` become `(+get ~a)`. The error is the word that begins a selector
/// without an end. (Redis: `ACLMergeSelectorArguments`)
pub fn join_selectors<'a>(words: &[&'a [u8]]) -> Result<Vec<Vec<u8>>, &'a [u8]> {
    let mut joined: Vec<Vec<u8>> = Vec::with_capacity(words.len());
    let mut open = None;
    for &word in words {
        match open {
            None if word.starts_with(b"(") && !word.ends_with(b")") => {
                open = Some(word);
                joined.push(word.to_vec());
            }
            None => joined.push(word.to_vec()),
            Some(_) => {
                let selector = joined.last_mut().expect("a selector is open");
                selector.push(b' ');
                selector.extend(word);
                if word.ends_with(b")") {
                    open = None;
                }
            }
        }
    }
    open.map_or(Ok(joined), Err)
}

/// Applies a rule to a user.
pub fn apply(user: &mut User, rule: &[u8], has_all_channels: bool) -> Result<(), RuleError> {
    let is = |word: &str| rule.eq_ignore_ascii_case(word.as_bytes());
    if rule.is_empty() {
        // Redis ignores it.
    } else if is("on") || is("off") {
        user.is_on = is("on");
    } else if is("nopass") {
        user.needs_no_password = true;
        user.passwords.clear();
    } else if is("sanitize-payload") || is("skip-sanitize-payload") {
        user.sanitizes_payloads = is("sanitize-payload");
    } else if is("resetpass") {
        user.needs_no_password = false;
        user.passwords.clear();
    } else if is("reset") {
        *user = new_user(&user.name, has_all_channels);
    } else if is("clearselectors") {
        user.selectors.truncate(1);
    } else if let Some(inner) = rule.strip_prefix(b"(").and_then(|rule| rule.strip_suffix(b")")) {
        let mut selector = new_selector(has_all_channels);
        let words = inner.split(|&byte| byte == b' ').filter(|word| !word.is_empty());
        words.into_iter().try_for_each(|word| apply_to_selector(&mut selector, word))?;
        user.selectors.push(selector);
    } else {
        match rule {
            [b'>', password @ ..] => add_password(user, hash_of(password)),
            [b'#', hash @ ..] => add_password(user, parse_hash(hash)?),
            [b'<', password @ ..] => remove_password(user, hash_of(password))?,
            [b'!', hash @ ..] => remove_password(user, parse_hash(hash)?)?,
            _ => apply_to_selector(&mut user.selectors[0], rule)?,
        }
    }
    Ok(())
}

fn add_password(user: &mut User, hash: PasswordHash) {
    if !user.passwords.contains(&hash) {
        user.passwords.push(hash);
    }
    user.needs_no_password = false;
}

fn remove_password(user: &mut User, hash: PasswordHash) -> Result<(), RuleError> {
    let at = user.passwords.iter().position(|known| *known == hash).ok_or(RuleError::NoSuchPassword)?;
    user.passwords.remove(at);
    Ok(())
}

fn parse_hash(text: &[u8]) -> Result<PasswordHash, RuleError> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Ok(byte - b'0'),
        b'a'..=b'f' => Ok(byte - b'a' + 10),
        _ => Err(RuleError::Hash),
    };
    let (pairs, []) = text.as_chunks::<2>() else { return Err(RuleError::Hash) };
    let mut hash = PasswordHash::default();
    if pairs.len() != hash.len() {
        return Err(RuleError::Hash);
    }
    for (byte, &[high, low]) in hash.iter_mut().zip(pairs) {
        *byte = digit(high)? << 4 | digit(low)?;
    }
    Ok(hash)
}

/// Applies a rule about commands, keys or channels.
fn apply_to_selector(selector: &mut Selector, rule: &[u8]) -> Result<(), RuleError> {
    let is = |word: &str| rule.eq_ignore_ascii_case(word.as_bytes());
    if is("allkeys") || is("~*") {
        selector.has_all_keys = true;
        selector.keys.clear();
    } else if is("resetkeys") {
        selector.has_all_keys = false;
        selector.keys.clear();
    } else if is("allchannels") || is("&*") {
        selector.has_all_channels = true;
        selector.channels.clear();
    } else if is("resetchannels") {
        selector.has_all_channels = false;
        selector.channels.clear();
    } else if is("allcommands") || is("+@all") {
        allow_all(selector, CommandSet::FULL);
    } else if is("nocommands") || is("-@all") {
        allow_all(selector, CommandSet::EMPTY);
    } else {
        match rule {
            [b'~', pattern @ ..] => add_keys(selector, pattern, KeyAccess::ALL)?,
            [b'%', ..] if selector.has_all_keys => return Err(RuleError::KeysAfterAll),
            [b'%', rest @ ..] => {
                let (access, pattern) = parse_access(rest)?;
                add_keys(selector, pattern, access)?;
            }
            [b'&', pattern @ ..] => add_channels(selector, pattern)?,
            [sign @ (b'+' | b'-'), b'@', _, ..] => set_category(selector, &rule[1..], *sign == b'+')?,
            [b'+', name @ ..] => allow(selector, name)?,
            [b'-', name @ ..] => {
                let command = find(table(), name).ok_or(RuleError::Unknown)?;
                set_command(selector, command, false);
                note_rule(selector, command.full_name.as_bytes(), false);
            }
            _ => return Err(RuleError::Syntax),
        }
    }
    Ok(())
}

fn allow_all(selector: &mut Selector, commands: CommandSet) {
    selector.commands = commands;
    selector.command_rules.clear();
    selector.first_arguments.clear();
}

/// The access of `%R~…`, `%W~…` or `%RW~…`, and the pattern. `text` is what follows the percent sign.
fn parse_access(text: &[u8]) -> Result<(KeyAccess, &[u8]), RuleError> {
    let mut access = KeyAccess { reads: false, writes: false };
    let mut at = 0;
    loop {
        match text.get(at).map(u8::to_ascii_uppercase) {
            Some(b'R') if !access.reads => access.reads = true,
            Some(b'W') if !access.writes => access.writes = true,
            Some(b'~') => break,
            // Redis takes `%R` for a pattern that only the empty key matches.
            None if at > 0 => return Ok((access, b"")),
            _ => return Err(RuleError::Syntax),
        }
        at += 1;
    }
    if at == 0 { Err(RuleError::Syntax) } else { Ok((access, &text[at + 1..])) }
}

fn has_spaces(pattern: &[u8]) -> bool {
    pattern.iter().any(|byte| byte.is_ascii_whitespace() || matches!(byte, 0 | 0x0B))
}

fn add_keys(selector: &mut Selector, pattern: &[u8], access: KeyAccess) -> Result<(), RuleError> {
    if selector.has_all_keys {
        return Err(RuleError::KeysAfterAll);
    }
    if has_spaces(pattern) {
        return Err(RuleError::Syntax);
    }
    match selector.keys.iter_mut().find(|known| *known.pattern == *pattern) {
        Some(known) => {
            known.access.reads |= access.reads;
            known.access.writes |= access.writes;
        }
        None => selector.keys.push(KeyPattern::new(pattern, access)),
    }
    Ok(())
}

fn add_channels(selector: &mut Selector, pattern: &[u8]) -> Result<(), RuleError> {
    if selector.has_all_channels {
        return Err(RuleError::ChannelsAfterAll);
    }
    if has_spaces(pattern) {
        return Err(RuleError::Syntax);
    }
    if !selector.channels.iter().any(|known| **known == *pattern) {
        selector.channels.push(pattern.into());
    }
    Ok(())
}

/// Allows or forbids the commands of a category, whose name begins with `@`.
fn set_category(selector: &mut Selector, name: &[u8], allows: bool) -> Result<(), RuleError> {
    let category = category(&name[1..]).ok_or(RuleError::Unknown)?;
    for command in table().all() {
        if command.spec.categories().contains(category) && !command.is_private() {
            set_one(selector, command, allows);
        }
    }
    note_rule(selector, name, allows);
    Ok(())
}

/// The category of a name without `@`, ignoring ASCII case.
pub fn category(name: &[u8]) -> Option<Category> {
    let found = Category::NAMES.into_iter().find(|(_, known)| name.eq_ignore_ascii_case(known.as_bytes()));
    found.map(|(category, _)| category)
}

/// Allows a command, or a command with one first argument: `+select|0`.
fn allow(selector: &mut Selector, name: &[u8]) -> Result<(), RuleError> {
    if let Some(command) = find(table(), name) {
        set_command(selector, command, true);
        note_rule(selector, command.full_name.as_bytes(), true);
        return Ok(());
    }
    let bar = name.iter().rposition(|&byte| byte == b'|').ok_or(RuleError::Unknown)?;
    let (name_of_command, argument) = (&name[..bar], &name[bar + 1..]);
    let command = find(table(), name_of_command).ok_or(RuleError::Unknown)?;
    if command.is_public_subcommand() {
        return Err(RuleError::FirstArgumentOfSubcommand);
    }
    if !command.public_subcommands().is_empty() {
        return Err(RuleError::Unknown);
    }
    if argument.is_empty() {
        return Err(RuleError::Syntax);
    }
    let allowed = selector.first_arguments.entry(command.counted_as.0).or_default();
    if !allowed.iter().any(|known| known.eq_ignore_ascii_case(argument)) {
        allowed.push(argument.into());
    }
    note_rule(selector, name, true);
    Ok(())
}

/// The command of a full name, such as `get` or `config|set`, whatever `rename-command` says.
pub fn find(table: &'static Table, name: &[u8]) -> Option<&'static Command> {
    let mut parts = name.splitn(2, |&byte| byte == b'|');
    let command = table.original(parts.next()?)?;
    match parts.next() {
        None => Some(command),
        Some(name) => {
            command.public_subcommands().iter().find(|sub| sub.spec.name.as_bytes().eq_ignore_ascii_case(name))
        }
    }
}

/// Allows or forbids a command and its subcommands.
fn set_command(selector: &mut Selector, command: &'static Command, allows: bool) {
    set_one(selector, command, allows);
    command.subcommands.iter().for_each(|sub| set_one(selector, sub, allows));
}

fn set_one(selector: &mut Selector, command: &'static Command, allows: bool) {
    selector.commands.set(command.id, allows);
    selector.first_arguments.remove(&command.id.0);
}

/// Adds a rule to those that are shown. It replaces the earlier ones about the same command, its subcommands or its first arguments.
/// (Redis: `ACLUpdateCommandRules`)
fn note_rule(selector: &mut Selector, name: &[u8], allows: bool) {
    let name = name.to_ascii_lowercase();
    let is_replaced =
        |rule: &&[u8]| rule[1..].strip_prefix(&name[..]).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"|"));
    let words = selector.command_rules.split(|&byte| byte == b' ').filter(|rule| !rule.is_empty());
    let mut kept: Vec<&[u8]> = words.filter(|rule| !is_replaced(rule)).collect();
    let rule = [if allows { b"+" } else { b"-" }, &name[..]].concat();
    kept.push(&rule);
    selector.command_rules = kept.join(&b' ');
}

/// The rules about commands, as ACL GETUSER shows them.
pub fn commands_of(selector: &Selector) -> Vec<u8> {
    let base: &[u8] = if selector.commands.begins_full() { b"+@all" } else { b"-@all" };
    let rules: Vec<&[u8]> = [base, &selector.command_rules].into_iter().filter(|rule| !rule.is_empty()).collect();
    rules.join(&b' ')
}

/// The patterns of keys, as ACL GETUSER shows them.
pub fn keys_of(selector: &Selector) -> Vec<u8> {
    if selector.has_all_keys {
        return b"~*".to_vec();
    }
    let pattern = |key: &KeyPattern| {
        let prefix: &[u8] = match key.access {
            KeyAccess { reads: true, writes: true } => b"~",
            KeyAccess { reads: true, .. } => b"%R~",
            KeyAccess { .. } => b"%W~",
        };
        [prefix, &key.pattern].concat()
    };
    selector.keys.iter().map(pattern).collect::<Vec<_>>().join(&b' ')
}

/// The patterns of channels, as ACL GETUSER shows them.
pub fn channels_of(selector: &Selector) -> Vec<u8> {
    if selector.has_all_channels {
        return b"&*".to_vec();
    }
    selector.channels.iter().map(|pattern| [b"&", &pattern[..]].concat()).collect::<Vec<_>>().join(&b' ')
}

/// The flags of a user, as ACL GETUSER shows them.
pub fn flags_of(user: &User) -> Vec<&'static str> {
    let mut flags = vec![if user.is_on { "on" } else { "off" }];
    if user.needs_no_password {
        flags.push("nopass");
    }
    flags.push(if user.sanitizes_payloads { "sanitize-payload" } else { "skip-sanitize-payload" });
    flags
}

/// A password's hash in hexadecimal digits.
pub fn hexadecimal(hash: &PasswordHash) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A user's line in ACL LIST, which describes it as the ACL file does.
pub fn line_of(user: &User) -> Vec<u8> {
    let mut words: Vec<Vec<u8>> = vec![b"user".to_vec(), user.name.to_vec()];
    words.extend(flags_of(user).into_iter().map(|flag| flag.as_bytes().to_vec()));
    words.extend(user.passwords.iter().map(|hash| format!("#{}", hexadecimal(hash)).into_bytes()));
    let (own, further) = user.selectors.split_first().expect("a user has a selector of its own");
    words.push(selector_line(own));
    words.extend(further.iter().map(|selector| [b"(", &selector_line(selector)[..], b")"].concat()));
    words.join(&b' ')
}

fn selector_line(selector: &Selector) -> Vec<u8> {
    let mut words = vec![keys_of(selector)];
    if !selector.has_all_channels {
        words.push(b"resetchannels".to_vec());
    }
    words.extend([channels_of(selector), commands_of(selector)]);
    words.retain(|word| !word.is_empty());
    words.join(&b' ')
}
