//! Draws sequences of commands from the command table that the server under test reports.

use std::collections::BTreeSet;

use ochre_testkit::command_table::{Argument, Command, CommandTable};
use ochre_testkit::quoting;
use ochre_testkit::{Kind, Random, differences};

use crate::rules;
use crate::values;

/// One command of one client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    pub client: usize,
    pub arguments: Vec<Vec<u8>>,
    /// Sent as a line of text instead of an array.
    pub inline: bool,
}

/// A command, with what the reference server knows of it.
#[derive(Debug)]
struct Drawable {
    command: Command,
    /// The tokens that the reference knows. With another token, the test would only compare an extension with a syntax error.
    known_tokens: BTreeSet<String>,
    /// The tokens that are the reason for drawing this command. They are drawn often.
    wanted_tokens: BTreeSet<String>,
    weight: usize,
}

impl Drawable {
    /// Whether a word is a token of Ochre's that the reference does not know.
    fn has_unknown_token(&self, words: &[Vec<u8>]) -> bool {
        let unknown = self.command.tokens().into_iter().filter(|token| !self.known_tokens.contains(token));
        unknown.into_iter().any(|token| words.iter().any(|word| word.eq_ignore_ascii_case(token.as_bytes())))
    }
}

/// A command that creates data for other commands to use.
#[derive(Debug)]
struct Preparation {
    words: Vec<Vec<u8>>,
    group: String,
}

#[derive(Debug)]
pub struct Generator {
    drawables: Vec<Drawable>,
    groups: Vec<String>,
    preparations: Vec<Preparation>,
    reference: Kind,
}

/// Commands that remove the data of a sequence or change the state of its connections. They are drawn less often.
const RARE: [&str; 8] = ["flushall", "flushdb", "reset", "swapdb", "multi", "exec", "discard", "hello"];

impl Generator {
    /// `other` is the table of the other reference. If the reference is Valkey, only what Redis lacks is drawn.
    pub fn new(
        kind: Kind,
        subject: &CommandTable,
        reference: &CommandTable,
        other: Option<&CommandTable>,
        only: &[String],
    ) -> Generator {
        let mut drawables = Vec::new();
        for command in subject.callable() {
            let Some(known) = reference.get(&command.name) else {
                continue;
            };
            // Redis's vector sets are a module, built in or not.
            if rules::not_drawn(&command.name).is_some() || command.flags.contains("module") {
                continue;
            }
            if other.is_some() && ["multi", "watch"].contains(&command.name.as_str()) {
                continue;
            }
            let mut command = command.clone();
            if command.docs.arguments.is_empty() {
                command.docs = known.docs.clone();
            }
            let known_tokens: BTreeSet<String> =
                known.tokens().into_iter().filter(|token| rules::token_is_drawn(&command.name, token)).collect();
            let mut wanted_tokens = BTreeSet::new();
            if let Some(other) = other {
                let foreign = other.get(&command.name).map(Command::tokens);
                wanted_tokens = match &foreign {
                    Some(foreign) => known_tokens.difference(foreign).cloned().collect(),
                    None => BTreeSet::new(),
                };
                let basic = ["set", "get", "del", "mset", "expiretime"].contains(&command.name.as_str());
                if foreign.is_some() && wanted_tokens.is_empty() && !basic {
                    continue;
                }
            }
            let named = only.is_empty()
                || only
                    .iter()
                    .any(|name| *name == command.name || name == command.container() || *name == command.docs.group);
            if named {
                let weight = if RARE.contains(&command.name.as_str()) { 1 } else { 4 };
                drawables.push(Drawable { command, known_tokens, wanted_tokens, weight });
            }
        }
        let groups: BTreeSet<String> = drawables.iter().map(|drawable| drawable.command.docs.group.clone()).collect();
        let preparations = values::PREPARATIONS
            .iter()
            .map(|line| quoting::split(line.as_bytes()).expect("preparations are well quoted"))
            .filter_map(|words| {
                let name = rules::name_of(subject, &words);
                let group = subject.get(&name)?.docs.group.clone();
                differences::can_be_drawn(&name, &words, kind).then_some(Preparation { words, group })
            })
            .collect();
        Generator { drawables, groups: groups.into_iter().collect(), preparations, reference: kind }
    }

    pub fn command_names(&self) -> impl Iterator<Item = &str> {
        self.drawables.iter().map(|drawable| drawable.command.name.as_str())
    }

    /// Stops drawing a command that has failed often and hides the failures of others.
    pub fn drop_command(&mut self, name: &str) {
        if self.drawables.len() > 1 {
            self.drawables.retain(|drawable| drawable.command.name != name);
        }
    }

    pub fn sequence(&self, seed: u64) -> Vec<Step> {
        let mut random = Random::new(seed);
        let mut draft =
            Draft { generator: self, focus: random.pick(&self.groups).clone(), random, steps: Vec::new(), client: 1 };
        draft.write();
        draft.steps
    }
}

/// A sequence being written.
struct Draft<'a> {
    generator: &'a Generator,
    random: Random,
    /// The group that most of this sequence's commands come from, so that commands of a family use each other's data.
    focus: String,
    steps: Vec<Step>,
    client: usize,
}

impl<'a> Draft<'a> {
    fn write(&mut self) {
        if self.random.chance(15) {
            self.push_words(&["HELLO", "3"]);
        }
        self.prepare();
        let length = self.random.between(8, 70);
        while self.steps.len() < length {
            match self.random.below(100) {
                0..10 => self.transaction(),
                10..13 => {
                    let database = values::database(&mut self.random);
                    self.push(vec![b"SELECT".to_vec(), database]);
                }
                13..15 => {
                    let version = *self.random.pick(&["2", "3"]);
                    self.push_words(&["HELLO", version]);
                }
                15..20 => self.client = self.random.between(1, 2),
                _ => {
                    let command = self.command();
                    self.push(command);
                }
            }
        }
    }

    /// Draws commands that create the first data, mostly of the type that the sequence's group is about.
    fn prepare(&mut self) {
        let all: Vec<&Preparation> = self.generator.preparations.iter().collect();
        let own: Vec<&Preparation> = all.iter().copied().filter(|it| it.group == self.focus).collect();
        if all.is_empty() || !self.random.chance(60) {
            return;
        }
        for _ in 0..self.random.between(1, 8) {
            let among = if !own.is_empty() && self.random.chance(60) { &own } else { &all };
            let arguments = self.random.pick(among).words.clone();
            self.steps.push(Step { client: self.client, arguments, inline: false });
        }
    }

    /// Draws WATCH, MULTI, some commands and EXEC, and at times a command of the other client in between.
    fn transaction(&mut self) {
        let other = 3 - self.client;
        if self.random.chance(40) {
            let key = values::key(&mut self.random);
            self.push(vec![b"WATCH".to_vec(), key]);
            self.interfere(other);
        }
        self.push_words(&["MULTI"]);
        for _ in 0..self.random.below(6) {
            let command = self.command();
            self.push(command);
        }
        self.interfere(other);
        match self.random.below(20) {
            // MULTI and WATCH inside a transaction: Redis refuses them and goes on, Valkey refuses them and discards.
            0 if self.generator.reference == Kind::Redis => {}
            1..3 => self.push_words(&["DISCARD"]),
            _ => self.push_words(&["EXEC"]),
        }
    }

    fn interfere(&mut self, other: usize) {
        if self.random.chance(30) {
            let arguments = self.command();
            self.steps.push(Step { client: other, arguments, inline: false });
        }
    }

    fn push_words(&mut self, words: &[&str]) {
        self.push(words.iter().map(|word| word.as_bytes().to_vec()).collect());
    }

    fn push(&mut self, arguments: Vec<Vec<u8>>) {
        // Empty and huge inline commands are left to tests/protocol.rs.
        let length: usize = arguments.iter().map(Vec::len).sum();
        let inline = self.random.chance(3) && length < 1000 && !arguments[0].is_empty();
        self.steps.push(Step { client: self.client, arguments, inline });
    }

    fn command(&mut self) -> Vec<Vec<u8>> {
        loop {
            let drawable = self.drawable();
            let words = self.words_of(drawable);
            if differences::can_be_drawn(&drawable.command.name, &words, self.generator.reference) {
                return words;
            }
        }
    }

    fn words_of(&mut self, drawable: &Drawable) -> Vec<Vec<u8>> {
        if let Some(lines) = values::lines(&drawable.command.name) {
            return self.line(lines);
        }
        let mut words = Vec::new();
        for word in drawable.command.words() {
            let word = self.cased(word);
            words.push(word);
        }
        let names = words.len();
        let arguments = &drawable.command.docs.arguments;
        let mut tail = self.arguments(arguments, drawable);
        words.append(&mut tail);
        if self.random.chance(22) {
            let mut spoilt = words.clone();
            for _ in 0..self.random.between(1, 2) {
                self.spoil(&mut spoilt, names);
            }
            let expires_soon = has_times(arguments) && spoilt[names..].iter().any(|word| values::may_expire_soon(word));
            if !expires_soon && !drawable.has_unknown_token(&spoilt[names..]) {
                return spoilt;
            }
        }
        words
    }

    fn line(&mut self, lines: &[&str]) -> Vec<Vec<u8>> {
        let mut words = quoting::split(self.random.pick(lines).as_bytes()).expect("lines are well quoted");
        for word in words.iter_mut().filter(|word| *word == b"KEY") {
            *word = values::key(&mut self.random);
        }
        words
    }

    /// Draws a command, seven times out of ten from the sequence's group.
    fn drawable(&mut self) -> &'a Drawable {
        let all = &self.generator.drawables;
        let focused = self.random.chance(70);
        let matches = |drawable: &&Drawable| !focused || drawable.command.docs.group == self.focus;
        let total: usize = all.iter().filter(matches).map(|drawable| drawable.weight).sum();
        if total == 0 {
            return self.random.pick(all);
        }
        let mut ticket = self.random.below(total);
        for drawable in all.iter().filter(|drawable| !focused || drawable.command.docs.group == self.focus) {
            if ticket < drawable.weight {
                return drawable;
            }
            ticket -= drawable.weight;
        }
        unreachable!("the ticket is below the sum of all weights")
    }

    /// Draws the words for a list of arguments.
    fn arguments(&mut self, arguments: &[Argument], drawable: &Drawable) -> Vec<Vec<u8>> {
        // Options may be in any order, so adjacent pieces that begin with a token are shuffled at times.
        let mut pieces: Vec<(bool, Vec<Vec<u8>>)> = Vec::new();
        let mut repetitions = None;
        for (index, argument) in arguments.iter().enumerate() {
            if !knows(drawable, argument) {
                continue;
            }
            let wanted = wants(drawable, argument);
            if argument.optional && !self.random.chance(if wanted { 70 } else { 30 }) {
                continue;
            }
            if ["numkeys", "numfields"].contains(&argument.name.as_str())
                && arguments.get(index + 1).is_some_and(|next| next.multiple)
            {
                let count = self.random.between(1, 3);
                repetitions = Some(count);
                let edges = ["0", "-1", "abc", "4", "2147483648", "9223372036854775807"];
                let told = if self.random.chance(90) { count.to_string() } else { (*self.random.pick(&edges)).into() };
                pieces.push((false, vec![told.into_bytes()]));
                continue;
            }
            let movable = argument.optional && begins_with_token(argument);
            let piece = self.argument(argument, repetitions.take(), drawable);
            pieces.push((movable, piece));
        }
        if self.random.chance(40) {
            let mut start = 0;
            while start < pieces.len() {
                let run = pieces[start..].iter().take_while(|(movable, _)| *movable).count();
                self.random.shuffle(&mut pieces[start..start + run]);
                start += run.max(1);
            }
        }
        pieces.into_iter().flat_map(|(_, piece)| piece).collect()
    }

    fn argument(&mut self, argument: &Argument, repetitions: Option<usize>, drawable: &Drawable) -> Vec<Vec<u8>> {
        let mut words = Vec::new();
        let count = match repetitions {
            Some(count) => count,
            None if argument.multiple => self.random.between(1, 3),
            None => 1,
        };
        for repetition in 0..count {
            if let Some(token) = &argument.token
                && (repetition == 0 || argument.multiple_token)
            {
                let token = self.cased(token);
                words.push(token);
            }
            match argument.kind.as_str() {
                "pure-token" => {}
                "oneof" => {
                    let choices: Vec<&Argument> =
                        argument.arguments.iter().filter(|choice| knows(drawable, choice)).collect();
                    let wanted: Vec<&Argument> =
                        choices.iter().copied().filter(|choice| wants(drawable, choice)).collect();
                    let choices = if !wanted.is_empty() && self.random.chance(60) { wanted } else { choices };
                    if !choices.is_empty() {
                        let choice = *self.random.pick(&choices);
                        words.append(&mut self.argument(choice, None, drawable));
                    }
                }
                "block" => words.append(&mut self.arguments(&argument.arguments, drawable)),
                _ => words.push(values::for_argument(argument, &drawable.command.name, &mut self.random)),
            }
        }
        words
    }

    /// Puts one mistake into a request.
    fn spoil(&mut self, words: &mut Vec<Vec<u8>>, names: usize) {
        let at = self.random.between(names, words.len());
        let inside = at.min(words.len() - 1);
        match self.random.below(7) {
            0 => words.truncate(at.max(names)),
            1 => words.push(values::garbage(&mut self.random)),
            2 => words.insert(at, values::garbage(&mut self.random)),
            3 if inside >= names => {
                words.remove(inside);
            }
            4 if inside >= names => words[inside] = values::garbage(&mut self.random),
            5 if inside >= names => {
                let copy = words[inside].clone();
                words.push(copy);
            }
            6 if inside > names => words.swap(inside - 1, inside),
            _ => words.push(values::value(&mut self.random)),
        }
    }

    /// Changes the case of names and tokens, which must not matter.
    fn cased(&mut self, word: &str) -> Vec<u8> {
        match self.random.below(10) {
            0 => word
                .bytes()
                .map(|byte| if self.random.chance(50) { byte.to_ascii_uppercase() } else { byte.to_ascii_lowercase() })
                .collect(),
            1..4 => word.to_ascii_lowercase().into_bytes(),
            _ => word.to_ascii_uppercase().into_bytes(),
        }
    }
}

fn begins_with_token(argument: &Argument) -> bool {
    argument.token.is_some()
        || (matches!(argument.kind.as_str(), "oneof" | "block")
            && argument.arguments.first().is_some_and(begins_with_token))
}

/// Whether the reference knows the token of an argument, if the argument has one.
fn knows(drawable: &Drawable, argument: &Argument) -> bool {
    argument.token.as_ref().is_none_or(|token| drawable.known_tokens.contains(&token.to_ascii_uppercase()))
        && (argument.kind != "oneof" || argument.arguments.iter().any(|choice| knows(drawable, choice)))
}

fn wants(drawable: &Drawable, argument: &Argument) -> bool {
    argument.token.as_ref().is_some_and(|token| drawable.wanted_tokens.contains(&token.to_ascii_uppercase()))
        || argument.arguments.iter().any(|inner| wants(drawable, inner))
}

/// Whether a misplaced number could be read as an expiry.
fn has_times(arguments: &[Argument]) -> bool {
    arguments.iter().any(|argument| {
        argument.kind == "unix-time"
            || ["seconds", "milliseconds", "ttl"].contains(&argument.name.as_str())
            || has_times(&argument.arguments)
    })
}
