//! Users at start and in the ACL file: a line for each user, as ACL LIST shows it.

use std::{fs, io, path::Path, sync::Arc};

use super::rules::{self, RuleError};
use crate::{
    config::{self, Config, system_text},
    users::{ByName, DEFAULT_USER, User, Users},
};

/// Makes the users of the configuration those in force, when the server starts. The error is a text for the operator.
pub fn at_start(users: &Users, config: &Config) -> Result<(), String> {
    set_default_password(users, config);
    let lines: Vec<_> = config.users.iter().map(|words| words.iter().map(Vec::as_slice).collect::<Vec<_>>()).collect();
    match &config.aclfile {
        Some(_) if !lines.is_empty() => Err("Configuring Ochre with users defined in the configuration and at the same setting an ACL file \
             path is invalid. This setup is very likely to lead to configuration errors and security holes, please define either an \
             ACL file or declare users directly in your configuration, but not both."
            .to_owned()),
        Some(path) => {
            if config.requirepass.is_some() {
                tracing::warn!("requirepass has no effect: the ACL file decides about the default user");
            }
            load(users, path, config)
        }
        None => users.change(|by_name| {
            for words in &lines {
                let user = user_of_line(words, by_name, config)?;
                by_name.insert(user.name.clone(), Arc::new(user));
            }
            Ok(())
        }),
    }
}

/// Gives the default user the password of `requirepass`, or none.
pub fn set_default_password(users: &Users, config: &Config) {
    let set = |by_name: &mut ByName| -> Result<(), RuleError> {
        let mut default = User::clone(&by_name[DEFAULT_USER]);
        rules::apply(&mut default, b"resetpass", false)?;
        let rule = match &config.requirepass {
            Some(password) => [b">", &password[..]].concat(),
            None => b"nopass".to_vec(),
        };
        rules::apply(&mut default, &rule, false)?;
        by_name.insert(DEFAULT_USER.into(), Arc::new(default));
        Ok(())
    };
    users.change(set).expect("a password is a rule");
}

/// Returns the user of a `user` line of the configuration; `words` are those after `user`.
fn user_of_line(words: &[&[u8]], known: &ByName, config: &Config) -> Result<User, String> {
    let (name, rules_of_user) = words.split_first().ok_or("a 'user' line has no name")?;
    let shown = String::from_utf8_lossy(name);
    if known.contains_key(*name) && **name != *DEFAULT_USER {
        return Err(format!(
            "Error in the user declaration '{shown}': Duplicate user found. A user can only be defined once in config files"
        ));
    }
    parse_user(name, rules_of_user, config.acl_pubsub_default.is_all()).map_err(|error| {
        let reason = match error {
            LineError::Rules(wrong) => wrong.join(". "),
            _ => "Unmatched parenthesis in selector definition".to_owned(),
        };
        format!("Error in the user declaration '{shown}': {reason}")
    })
}

/// Replaces all users by those of a file. After an error nothing has changed; the error lists all that is wrong with the file.
pub fn load(users: &Users, path: &Path, config: &Config) -> Result<(), String> {
    let text = fs::read(path)
        .map_err(|error| format!("Error loading ACLs, opening file '{}': {}", path.display(), system_text(&error)))?;
    let by_name = parse(&text, &path.display().to_string(), config.acl_pubsub_default.is_all())?;
    users.change(|users| *users = by_name);
    Ok(())
}

/// Parses the text of an ACL file, which `name` stands for in errors. The error has a sentence for each wrong line, in Redis's words.
/// (Redis: `ACLLoadFromFile`)
pub fn parse(text: &[u8], name: &str, has_all_channels: bool) -> Result<ByName, String> {
    let mut by_name = ByName::new();
    let mut errors = String::new();
    for (line, number) in text.split(|&byte| byte == b'\n').zip(1..) {
        let line = line.trim_ascii();
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        match parse_line(line, &by_name, has_all_channels) {
            Ok(user) => {
                by_name.insert(user.name.clone(), Arc::new(user));
            }
            Err(LineError::NoUser) => {
                errors += &format!("{name}:{number} should start with user keyword followed by the username. ");
            }
            Err(LineError::Name(user)) => {
                errors += &format!("{name}:{number}: username '{user}' contains invalid characters. ");
            }
            Err(LineError::Duplicate(user)) => {
                errors += &format!("WARNING: Duplicate user '{user}' found on line {number}. ");
            }
            Err(LineError::Unmatched) => {
                errors += &format!("{name}:{number}: Unmatched parenthesis in selector definition.");
            }
            Err(LineError::Rules(wrong)) => {
                wrong.iter().for_each(|reason| errors += &format!("{name}:{number}: {reason}. "));
            }
        }
    }
    if !errors.is_empty() {
        return Err(format!(
            "{errors}WARNING: ACL errors detected, no change to the previously active ACL rules was performed"
        ));
    }
    by_name.entry(DEFAULT_USER.into()).or_insert_with(|| Arc::new(User::unrestricted(DEFAULT_USER)));
    Ok(by_name)
}

/// What is wrong with a line of an ACL file.
enum LineError {
    /// It does not begin with `user` and a name.
    NoUser,
    /// No user may have this name.
    Name(String),
    /// There is a user of this name.
    Duplicate(String),
    /// A selector has no end.
    Unmatched,
    /// The reasons for which rules are refused.
    Rules(Vec<String>),
}

fn parse_line(line: &[u8], known: &ByName, has_all_channels: bool) -> Result<User, LineError> {
    let words: Vec<&[u8]> = line.split(|&byte| byte == b' ').filter(|word| !word.is_empty()).collect();
    let [b"user", name, words @ ..] = &words[..] else { return Err(LineError::NoUser) };
    let shown = || String::from_utf8_lossy(name).into_owned();
    if !is_valid_name(name) {
        return Err(LineError::Name(shown()));
    }
    if known.contains_key(*name) {
        return Err(LineError::Duplicate(shown()));
    }
    parse_user(name, words, has_all_channels)
}

/// Returns the user that rules describe.
fn parse_user(name: &[u8], words: &[&[u8]], has_all_channels: bool) -> Result<User, LineError> {
    let rules_of_user = rules::join_selectors(words).map_err(|_| LineError::Unmatched)?;
    let mut user = rules::new_user(name, has_all_channels);
    let (mut wrong, mut is_other_told) = (Vec::new(), false);
    for rule in rules_of_user {
        match rules::apply(&mut user, &rule, has_all_channels) {
            Ok(()) => {}
            // A rule may hold a password, and is shown only if it names a command.
            Err(error @ RuleError::Unknown) => {
                let rule = String::from_utf8_lossy(&rule);
                wrong.push(format!("Error in applying operation '{rule}': {}", error.text()));
            }
            // Further errors may follow from the first.
            Err(error) if !is_other_told => {
                is_other_told = true;
                wrong.push(error.text().to_owned());
            }
            Err(_) => {}
        }
    }
    if wrong.is_empty() { Ok(user) } else { Err(LineError::Rules(wrong)) }
}

/// Whether a user may have this name.
pub fn is_valid_name(name: &[u8]) -> bool {
    !name.iter().any(|byte| byte.is_ascii_whitespace() || matches!(byte, 0 | 0x0B))
}

/// Writes all users to the ACL file, which is replaced at once, even if the system stops meanwhile.
pub fn save(users: &Users, path: &Path) -> io::Result<()> {
    let lines: Vec<Vec<u8>> = users.all().iter().map(|user| [&rules::line_of(user)[..], b"\n"].concat()).collect();
    config::replace_file(path, &lines.concat())
}
