//! The words of a command that a script calls.

use mlua::Value;
use ochre_resp::{Args, Span};

use crate::library::shown_number;

/// An argument of a call, as Lua has it.
pub enum Word<'w> {
    /// A string.
    Text(&'w [u8]),
    /// A number, which becomes a text.
    Number(f64),
    /// Something else.
    Other,
}

impl Word<'_> {
    /// A value as a word. The bytes of a string are those in the interpreter, which keeps them as long as `value` lives.
    pub fn of_value(value: &Value) -> Word<'_> {
        match value {
            Value::String(text) => {
                let bytes = text.as_bytes();
                // SAFETY: a string of Lua does not move or change, and `value` keeps it alive.
                Word::Text(unsafe { std::slice::from_raw_parts(bytes.as_ptr(), bytes.len()) })
            }
            Value::Integer(number) => Word::Number(*number as f64),
            Value::Number(number) => Word::Number(*number),
            _ => Word::Other,
        }
    }
}

/// Why there is no command. It has no destructor, so that an error of Lua may leave a function that holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// There is no argument.
    None,
    /// An argument is neither a string nor a number.
    Kind,
    /// The arguments are too long together.
    Long,
}

impl Problem {
    /// The error for the script.
    pub fn text(self, function: &str) -> String {
        match self {
            Problem::None => format!("Please specify at least one argument for this redis {function} call"),
            Problem::Kind => "Lua redis lib command arguments must be strings or integers".to_owned(),
            Problem::Long => "Lua redis lib command arguments are too long".to_owned(),
        }
    }
}

/// The words of a command, one after another in a buffer, which is kept from call to call.
#[derive(Default)]
pub struct Words {
    buffer: Vec<u8>,
    spans: Vec<Span>,
}

impl Words {
    fn push(&mut self, word: &[u8]) {
        self.spans.push(Span { start: self.buffer.len() as u32, len: word.len() as u32 });
        self.buffer.extend_from_slice(word);
    }

    /// Gathers the words of a command.
    pub fn gather<'w>(&mut self, words: impl Iterator<Item = Word<'w>>) -> Result<(), Problem> {
        /// The largest buffer that is kept for the next call.
        const BYTES_MAX: usize = 64 * 1024;
        self.buffer.clear();
        self.buffer.shrink_to(BYTES_MAX);
        self.spans.clear();
        for word in words {
            match word {
                Word::Text(text) => self.push(text),
                // Every whole number of up to 64 bits is written as one. (Redis: `luaArgsToRedisArgv`)
                Word::Number(number) if number as i64 as f64 == number && number.abs() < 9.2e18 => {
                    self.push(itoa::Buffer::new().format(number as i64).as_bytes());
                }
                Word::Number(number) => self.push(shown_number(number, 17).as_bytes()),
                Word::Other => return Err(Problem::Kind),
            }
            if self.buffer.len() > u32::MAX as usize {
                return Err(Problem::Long);
            }
        }
        if self.spans.is_empty() { Err(Problem::None) } else { Ok(()) }
    }

    /// The words.
    pub fn args(&self) -> Args<'_> {
        Args::new(&self.buffer, &self.spans)
    }
}
