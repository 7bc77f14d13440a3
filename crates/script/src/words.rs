//! The words of a command that a script calls.

use mlua::{BorrowedBytes, Value};
use ochre_resp::{Args, Span, double};

/// An argument of a call, as Lua has it.
pub enum Word<B> {
    /// A string.
    Text(B),
    /// A number, which becomes a text.
    Number(f64),
    /// Something else.
    Other,
}

impl Word<BorrowedBytes> {
    /// A value as a word.
    pub fn of_value(value: &Value) -> Self {
        match value {
            Value::String(text) => Word::Text(text.as_bytes()),
            Value::Integer(number) => Word::Number(*number as f64),
            Value::Number(number) => Word::Number(*number),
            _ => Word::Other,
        }
    }
}

/// Why there is no command.
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
    /// Gathers the words of a command.
    pub fn gather<B: AsRef<[u8]>>(&mut self, words: impl Iterator<Item = Word<B>>) -> Result<(), Problem> {
        /// The largest buffer that is kept for the next call.
        const BYTES_MAX: usize = 64 * 1024;
        self.buffer.clear();
        self.buffer.shrink_to(BYTES_MAX);
        self.spans.clear();
        for word in words {
            let start = self.buffer.len();
            match word {
                Word::Text(text) => self.buffer.extend_from_slice(text.as_ref()),
                Word::Number(number) => write_number(&mut self.buffer, number),
                Word::Other => return Err(Problem::Kind),
            }
            if self.buffer.len() > u32::MAX as usize {
                return Err(Problem::Long);
            }
            self.spans.push(Span { start: start as u32, len: (self.buffer.len() - start) as u32 });
        }
        if self.spans.is_empty() { Err(Problem::None) } else { Ok(()) }
    }

    /// The words.
    pub fn args(&self) -> Args<'_> {
        Args::new(&self.buffer, &self.spans)
    }
}

/// Writes a number as the word that a command gets. (Redis: `luaArgsToRedisArgv`)
fn write_number(out: &mut Vec<u8>, number: f64) {
    if number.is_nan() && number.is_sign_negative() {
        out.push(b'-');
    }
    // Adding zero makes a negative zero positive: as a whole number, zero has no sign.
    double::write(out, number + 0.0);
}
