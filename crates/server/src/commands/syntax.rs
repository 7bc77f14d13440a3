//! The notation of a command's arguments in its row, and the tree of arguments that COMMAND DOCS shows.
//!
//! ```text
//! NX                   a token: any word without a lowercase letter
//! value  count:integer a value, with its type unless it is a string; `key` is a key, `source:key` is a key named source
//! EX seconds:integer   a token followed by a value, or by a group: LIMIT (offset:integer count:integer)
//! [GET]                optional
//! (field value)        a group
//! (BEFORE|AFTER)       exactly one of several; [NX|XX] is one or none
//! key...               one or more; [PREFIX prefix]... repeats the token too
//! ```

/// One argument, or several that belong together.
///
/// Redis: "COMMAND DOCS", "arguments".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Argument {
    /// The name that COMMAND DOCS shows.
    pub name: String,
    /// What the argument is.
    pub kind: ArgumentKind,
    /// The word before the value, or the word that is the whole argument.
    pub token: Option<String>,
    /// Whether it may be left out.
    pub optional: bool,
    /// Whether it may be repeated.
    pub multiple: bool,
    /// Whether its token is repeated with it.
    pub multiple_token: bool,
    /// The index of the key spec that finds it, if it is a key.
    pub key_spec: Option<usize>,
}

/// What an argument is, in Redis's names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ArgumentKind {
    /// Any text.
    String,
    /// A 64-bit integer.
    Integer,
    /// A floating point number.
    Double,
    /// The name of a key.
    Key,
    /// A glob pattern.
    Pattern,
    /// A time since 1970, in the unit that its name says.
    UnixTime,
    /// A token without a value.
    PureToken,
    /// One of several arguments.
    OneOf(Vec<Argument>),
    /// Several arguments, in this order.
    Block(Vec<Argument>),
}

impl ArgumentKind {
    /// The name that COMMAND DOCS shows.
    pub fn name(&self) -> &'static str {
        match self {
            ArgumentKind::String => "string",
            ArgumentKind::Integer => "integer",
            ArgumentKind::Double => "double",
            ArgumentKind::Key => "key",
            ArgumentKind::Pattern => "pattern",
            ArgumentKind::UnixTime => "unix-time",
            ArgumentKind::PureToken => "pure-token",
            ArgumentKind::OneOf(_) => "oneof",
            ArgumentKind::Block(_) => "block",
        }
    }

    /// The arguments inside; empty unless it is a `OneOf` or a `Block`.
    pub fn children(&self) -> &[Argument] {
        match self {
            ArgumentKind::OneOf(children) | ArgumentKind::Block(children) => children,
            _ => &[],
        }
    }
}

/// Parses the notation. `key_specs` is the number of the row's key specs. The error says what was expected, and where.
pub fn parse(syntax: &str, key_specs: usize) -> Result<Vec<Argument>, String> {
    let mut parser = Parser { rest: syntax, keys: 0, key_specs };
    let arguments = parser.sequence()?;
    if parser.rest.is_empty() { Ok(arguments) } else { Err(format!("an end before {:?}", parser.rest)) }
}

struct Parser<'s> {
    rest: &'s str,
    /// The number of keys so far.
    keys: usize,
    key_specs: usize,
}

impl<'s> Parser<'s> {
    /// Parses arguments up to the end, a closing bracket or a bar.
    fn sequence(&mut self) -> Result<Vec<Argument>, String> {
        let mut arguments = Vec::new();
        loop {
            self.rest = self.rest.trim_start();
            if self.rest.is_empty() || self.rest.starts_with([')', ']', '|']) {
                return Ok(arguments);
            }
            arguments.push(self.argument()?);
        }
    }

    fn argument(&mut self) -> Result<Argument, String> {
        let mut argument = if self.eat('[') {
            let mut inner = self.alternatives(']')?;
            inner.optional = true;
            inner
        } else if self.eat('(') {
            self.alternatives(')')?
        } else {
            let word = self.word()?;
            if is_token(word) { self.behind_token(word)? } else { self.value(word)? }
        };
        // Dots after a bracket repeat the group; dots after a name, inside brackets, are parsed with the name.
        if let Some(rest) = self.rest.strip_prefix("...") {
            self.rest = rest;
            argument.multiple = true;
            argument.multiple_token = argument.optional && argument.token.is_some();
        }
        Ok(argument)
    }

    /// Parses what follows an opening bracket, up to the closing one.
    fn alternatives(&mut self, close: char) -> Result<Argument, String> {
        let mut branches = vec![self.branch()?];
        while self.eat('|') {
            branches.push(self.branch()?);
        }
        if !self.eat(close) {
            return Err(format!("{close:?} before {:?}", self.rest));
        }
        if branches.len() == 1 {
            return Ok(branches.remove(0));
        }
        let name = branches.iter().map(|branch| branch.name.as_str()).collect::<Vec<_>>().join("-");
        Ok(Argument::new(name, ArgumentKind::OneOf(branches)))
    }

    /// Parses one argument, or several as a block.
    fn branch(&mut self) -> Result<Argument, String> {
        let mut arguments = self.sequence()?;
        match arguments.len() {
            0 => Err(format!("an argument before {:?}", self.rest)),
            1 => Ok(arguments.remove(0)),
            _ => {
                let name = arguments.iter().map(|argument| argument.name.as_str()).collect::<Vec<_>>().join("-");
                Ok(Argument::new(name, ArgumentKind::Block(arguments)))
            }
        }
    }

    /// Parses what follows a token: its value or group, if any.
    fn behind_token(&mut self, token: &str) -> Result<Argument, String> {
        let before = self.rest;
        self.rest = self.rest.trim_start();
        let mut argument = if self.eat('(') {
            self.alternatives(')')?
        } else {
            match self.word() {
                Ok(word) if !is_token(word) => self.value(word)?,
                _ => {
                    self.rest = before;
                    return Ok(Argument {
                        token: Some(token.to_owned()),
                        ..Argument::new(token.to_lowercase(), ArgumentKind::PureToken)
                    });
                }
            }
        };
        argument.token = Some(token.to_owned());
        Ok(argument)
    }

    fn value(&mut self, word: &str) -> Result<Argument, String> {
        let (name, kind) = word.split_once(':').unwrap_or((word, if word == "key" { "key" } else { "string" }));
        let kind = match kind {
            "string" => ArgumentKind::String,
            "integer" => ArgumentKind::Integer,
            "double" => ArgumentKind::Double,
            "key" => ArgumentKind::Key,
            "pattern" => ArgumentKind::Pattern,
            "unix-time" => ArgumentKind::UnixTime,
            _ => return Err(format!("a type instead of {kind:?}")),
        };
        let mut argument = Argument::new(name.to_owned(), kind);
        if argument.kind == ArgumentKind::Key && self.key_specs > 0 {
            argument.key_spec = Some(self.keys.min(self.key_specs - 1));
            self.keys += 1;
        }
        Ok(argument)
    }

    fn word(&mut self) -> Result<&'s str, String> {
        let end = self.rest.find([' ', '|', '[', ']', '(', ')']).unwrap_or(self.rest.len());
        let word = &self.rest[..end];
        let word = word.split("...").next().unwrap_or(word);
        if word.is_empty() {
            return Err(format!("a word before {:?}", self.rest));
        }
        self.rest = &self.rest[word.len()..];
        Ok(word)
    }

    fn eat(&mut self, mark: char) -> bool {
        let trimmed = self.rest.trim_start();
        let found = trimmed.strip_prefix(mark);
        if let Some(rest) = found {
            self.rest = rest;
        }
        found.is_some()
    }
}

impl Argument {
    fn new(name: String, kind: ArgumentKind) -> Argument {
        Argument { name, kind, token: None, optional: false, multiple: false, multiple_token: false, key_spec: None }
    }
}

fn is_token(word: &str) -> bool {
    !word.contains(|letter: char| letter.is_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shows the tree in short: `token name:type`, with `?` for optional, `*` for multiple and `+` for a repeated token.
    fn show(arguments: &[Argument]) -> String {
        let one = |argument: &Argument| {
            let mut text = String::new();
            match &argument.kind {
                ArgumentKind::PureToken => {}
                ArgumentKind::OneOf(inner) => text = format!("<{}>", show(inner)),
                ArgumentKind::Block(inner) => text = format!("({})", show(inner)),
                kind => text = format!("{}:{}", argument.name, kind.name()),
            }
            if let Some(token) = &argument.token {
                text = format!("{token} {text}").trim_end().to_owned();
            }
            if let Some(spec) = argument.key_spec {
                text.push_str(&format!("#{spec}"));
            }
            let marks = [(argument.optional, '?'), (argument.multiple, '*'), (argument.multiple_token, '+')];
            text.extend(marks.iter().filter(|(is, _)| *is).map(|(_, mark)| mark));
            text
        };
        arguments.iter().map(one).collect::<Vec<_>>().join(", ")
    }

    #[track_caller]
    fn check(syntax: &str, key_specs: usize, expected: &str) {
        assert_eq!(show(&parse(syntax, key_specs).unwrap()), expected, "{syntax}");
    }

    #[test]
    fn words() {
        check("", 0, "");
        check("key value", 1, "key:key#0, value:string");
        check("source:key destination:key [REPLACE]", 2, "source:key#0, destination:key#1, REPLACE?");
        check("= ~ 1-2", 0, "=, ~, 1-2");
    }

    #[test]
    fn repetition() {
        check("key...", 1, "key:key#0*");
        check("(key value)...", 1, "(key:key#0, value:string)*");
        check("[channel...]", 0, "channel:string?*");
        check("[PREFIX prefix]...", 0, "PREFIX prefix:string?*+");
    }

    #[test]
    fn alternatives() {
        check("(ON|OFF)", 0, "<ON, OFF>");
        check("[[WRITE|ALL]]", 0, "<WRITE, ALL>?");
        check(
            "key value [NX|XX|IFEQ value] [GET] [EX seconds:integer|KEEPTTL]",
            1,
            "key:key#0, value:string, <NX, XX, IFEQ value:string>?, GET?, <EX seconds:integer, KEEPTTL>?",
        );
        check("((host port:integer)|(NO ONE))", 0, "<(host:string, port:integer), (NO, ONE)>");
        check("(host port:integer|NO ONE)", 0, "<(host:string, port:integer), (NO, ONE)>");
    }

    #[test]
    fn tokens_of_groups() {
        check("[LIMIT (offset:integer count:integer)]", 0, "LIMIT (offset:integer, count:integer)?");
        check(
            "[FILTERBY (MODULE name|PATTERN pattern:pattern)]",
            0,
            "FILTERBY <MODULE name:string, PATTERN pattern:pattern>?",
        );
    }

    #[test]
    fn faults() {
        for syntax in ["(key", "[A|]", "a)", "a:colour", "[]"] {
            assert!(parse(syntax, 0).is_err(), "{syntax}");
        }
    }
}
