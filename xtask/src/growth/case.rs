//! A case: a command, what grows, and the requests that prepare a server and that are measured.
//!
//! Requests are written as lines, made longer by the size `n` of the run:
//!
//! | in a line | becomes |
//! |---|---|
//! | `n times: A; B` | `n` rounds of the requests A and B, pipelined; `1000 times: …` is independent of `n` |
//! | `[k# v]` | the words between the brackets, `n` times |
//! | `#` | within brackets, the number of the repetition, from 1 |
//! | `@` | the number of the round or of the connection, from 1 |
//! | `@+` | the next number |
//! | `(ab)n` | one word: `ab`, `n` times |
//! | `{n}`, `{half}` | `n`, or half of it |
//! | `~` | a space within a word |
//!
//! The connection stands first, if it is not the main one:
//!
//! | before a line | who sends the request |
//! |---|---|
//! | `other: ` | one further connection, which is kept for the following lines of this kind |
//! | `others: ` | `n` new connections, each once |
//! | `waiter: `, `waiters: ` | one new connection, or `n`; the line ends when all of them are blocked |
//! | `close` | all further connections are closed; the line ends when the server has noticed it |

/// A command whose cost is measured as something grows.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// The command as COMPAT.md names it, such as `CONFIG GET`.
    pub command: &'static str,
    /// What grows with `n`.
    pub grows: &'static str,
    /// The smallest `n`. The others are twice and four times as large.
    pub size: usize,
    /// The lines that prepare the server.
    pub prepare: &'static [&'static str],
    /// The lines whose cost is measured.
    pub run: &'static [&'static str],
    /// Why the cost may grow as the square of `n`, if it may.
    pub square: Option<&'static str>,
    /// A directive that the server is started with. `{n}` is replaced in its value.
    pub directive: Option<(&'static str, &'static str)>,
}

/// The usual smallest `n`.
const SIZE: usize = 20_000;

/// Makes a case of the usual size, whose cost may only grow in proportion to `n`.
pub const fn case(
    command: &'static str,
    grows: &'static str,
    prepare: &'static [&'static str],
    run: &'static [&'static str],
) -> Case {
    Case { command, grows, size: SIZE, prepare, run, square: None, directive: None }
}

impl Case {
    /// Sets the smallest `n`.
    pub const fn from(self, size: usize) -> Case {
        Case { size, ..self }
    }

    /// Lets the cost grow as the square of `n`, for a reason.
    pub const fn square(self, why: &'static str) -> Case {
        Case { square: Some(why), ..self }
    }

    /// Starts the server with a directive.
    pub const fn with(self, name: &'static str, value: &'static str) -> Case {
        Case { directive: Some((name, value)), ..self }
    }
}

/// A line of a case.
#[derive(Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// Who sends the requests.
    pub sender: Sender,
    /// How often they are sent.
    pub rounds: usize,
    /// The requests of a round, to be expanded.
    requests: Vec<&'a str>,
}

/// Who sends a line's requests. See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    Main,
    Other,
    Others,
    Waiter,
    Waiters,
    /// No one: the further connections are closed.
    Close,
}

impl Line<'_> {
    /// Reads a line for a size.
    pub fn parse(text: &str, n: usize) -> Line<'_> {
        const SENDERS: [(&str, Sender); 4] = [
            ("other: ", Sender::Other),
            ("others: ", Sender::Others),
            ("waiter: ", Sender::Waiter),
            ("waiters: ", Sender::Waiters),
        ];
        if text == "close" {
            return Line { sender: Sender::Close, rounds: 0, requests: Vec::new() };
        }
        let named = SENDERS.iter().find_map(|(name, sender)| Some((*sender, text.strip_prefix(name)?)));
        let (sender, text) = named.unwrap_or((Sender::Main, text));
        let (rounds, text) = match text.split_once(" times: ") {
            Some(("n", text)) => (n, text),
            Some((number, text)) => (number.parse().expect("a line begins with a number of rounds"), text),
            None if matches!(sender, Sender::Others | Sender::Waiters) => (n, text),
            None => (1, text),
        };
        Line { sender, rounds, requests: text.split("; ").collect() }
    }

    /// Returns the requests of a round, whose number is from 1.
    pub fn round(&self, number: usize, n: usize) -> impl Iterator<Item = Vec<String>> {
        self.requests.iter().map(move |text| expand(text, number, n))
    }
}

/// Makes the words of a request.
fn expand(text: &str, round: usize, n: usize) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut rest = text;
    while let Some((before, group)) = rest.split_once('[') {
        let (group, after) = group.split_once(']').expect("a bracket is closed");
        words.extend(before.split_whitespace().map(|it| word(it, round, n)));
        for repetition in 1..=n {
            let number = repetition.to_string();
            words.extend(group.split_whitespace().map(|it| word(&it.replace('#', &number), round, n)));
        }
        rest = after;
    }
    words.extend(rest.split_whitespace().map(|it| word(it, round, n)));
    words
}

fn word(text: &str, round: usize, n: usize) -> String {
    let mut text = text.replace('~', " ");
    if let Some((before, rest)) = text.split_once('(') {
        let (repeated, after) = rest.split_once(")n").expect("a parenthesis is closed");
        text = format!("{before}{}{after}", repeated.repeat(n));
    }
    if text.contains(['@', '{']) {
        text = text.replace("@+", &(round + 1).to_string()).replace('@', &round.to_string());
        text = text.replace("{n}", &n.to_string()).replace("{half}", &(n / 2).to_string());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, sender: Sender, expected: &[&str]) {
        let line = Line::parse(text, 4);
        assert_eq!(line.sender, sender);
        let rounds = (1..=line.rounds).flat_map(|number| line.round(number, 4).collect::<Vec<_>>());
        let requests: Vec<String> = rounds.map(|words| words.join(" ")).collect();
        assert_eq!(requests, expected);
    }

    #[test]
    fn a_line_grows_with_its_size() {
        check("GET k", Sender::Main, &["GET k"]);
        check("MSET [k# v] x {half}", Sender::Main, &["MSET k1 v k2 v k3 v k4 v x 2"]);
        check("2 times: SET k@ v@+; GET k@", Sender::Main, &["SET k1 v2", "GET k1", "SET k2 v3", "GET k2"]);
        check("SET x(ab)ny {n}", Sender::Main, &["SET xababababy 4"]);
        check("others: ECHO a~@", Sender::Others, &["ECHO a 1", "ECHO a 2", "ECHO a 3", "ECHO a 4"]);
        check("waiter: BLPOP [k#] 0", Sender::Waiter, &["BLPOP k1 k2 k3 k4 0"]);
        check("other: n times: PING @", Sender::Other, &["PING 1", "PING 2", "PING 3", "PING 4"]);
        check("close", Sender::Close, &[]);
    }
}
