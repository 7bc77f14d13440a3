//! What the libraries share: the arguments of a call, errors, and how a function of Rust is given to Lua.

use mlua::{BorrowedBytes, Lua, MultiValue, Table, Value};

/// Why a call of a library fails.
pub enum Failure {
    /// An error of the script, which it can catch. It names the line of the caller.
    Text(String),
    /// An error of the interpreter, such as a lack of memory.
    Lua(mlua::Error),
}

impl From<mlua::Error> for Failure {
    fn from(error: mlua::Error) -> Failure {
        Failure::Lua(error)
    }
}

/// What a call of a library returns.
pub type Returned = Result<MultiValue, Failure>;

/// The arguments of a call, counted from 1.
pub struct Arguments(pub MultiValue);

impl Arguments {
    /// Their number.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// An argument, or `nil`.
    pub fn get(&self, index: usize) -> &Value {
        self.0.get(index - 1).unwrap_or(&Value::Nil)
    }

    /// An argument as a number. A string is converted, as Lua does.
    pub fn number(&self, function: &str, index: usize) -> Result<f64, Failure> {
        as_number(self.get(index)).ok_or_else(|| self.mismatch(function, index, "number"))
    }

    /// An argument as an integer; fractions are cut off.
    pub fn integer(&self, function: &str, index: usize) -> Result<i64, Failure> {
        self.number(function, index).map(|number| number as i64)
    }

    /// An argument as 32 bits: the number modulo 2^32.
    pub fn bits(&self, function: &str, index: usize) -> Result<i32, Failure> {
        /// The sum of a number and this has the number, rounded, in its low bits.
        const MAGIC: f64 = 6_755_399_441_055_744.0;
        Ok((self.number(function, index)? + MAGIC).to_bits() as i32)
    }

    /// An argument as a string. A number is converted, as Lua does.
    pub fn bytes(&self, lua: &Lua, function: &str, index: usize) -> Result<mlua::LuaString, Failure> {
        match self.get(index) {
            Value::String(string) => Ok(string.clone()),
            value => match as_number(value) {
                Some(number) => Ok(lua.create_string(shown_number(number, 14))?),
                None => Err(self.mismatch(function, index, "string")),
            },
        }
    }

    fn mismatch(&self, function: &str, index: usize, expected: &str) -> Failure {
        let got = if index > self.len() { "no value" } else { kind(self.get(index)) };
        bad_argument(index, function, &format!("{expected} expected, got {got}"))
    }
}

/// Lua's error for an argument.
pub fn bad_argument(index: usize, function: &str, reason: &str) -> Failure {
    Failure::Text(format!("bad argument #{index} to '{function}' ({reason})"))
}

/// The name of a value's type in Lua.
pub fn kind(value: &Value) -> &'static str {
    match value {
        Value::LightUserData(_) => "userdata",
        Value::Integer(_) => "number",
        value => value.type_name(),
    }
}

/// A value as a number, if Lua takes it for one.
pub fn as_number(value: &Value) -> Option<f64> {
    match value {
        Value::Integer(integer) => Some(*integer as f64),
        Value::Number(number) => Some(*number),
        Value::String(string) => parse_number(&string.as_bytes()),
        _ => None,
    }
}

fn parse_number(bytes: &BorrowedBytes) -> Option<f64> {
    let text = std::str::from_utf8(bytes).ok()?.trim_matches([' ', '\t', '\n', '\r', '\x0b', '\x0c']);
    let (sign, digits) = text.strip_prefix('-').map_or((1.0, text), |rest| (-1.0, rest));
    if let Some(hex) = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        return u64::from_str_radix(hex, 16).ok().map(|value| sign * value as f64);
    }
    text.parse().ok()
}

/// A number as C's `%.{digits}g` prints it.
pub fn shown_number(number: f64, digits: usize) -> String {
    if number.is_nan() {
        return if number.is_sign_negative() { "-nan" } else { "nan" }.to_owned();
    }
    if number.is_infinite() {
        return if number < 0.0 { "-inf" } else { "inf" }.to_owned();
    }
    let digits = digits.max(1);
    let scientific = format!("{number:.*e}", digits - 1);
    let (mantissa, exponent) = scientific.split_once('e').expect("the format has an exponent");
    let exponent: i32 = exponent.parse().expect("the exponent is a number");
    let trimmed = |text: &str| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text.to_owned(),
    };
    if exponent < -4 || exponent >= digits as i32 {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{}e{sign}{:02}", trimmed(mantissa), exponent.abs());
    }
    trimmed(&format!("{number:.*}", (digits as i32 - 1 - exponent).max(0) as usize))
}

/// Adds a function to a library. Lua is given `true` and the results, or `false` and the text of the error; the prelude raises it.
pub fn add(
    lua: &Lua,
    table: &Table,
    name: &str,
    function: impl Fn(&Lua, &Arguments) -> Returned + 'static,
) -> mlua::Result<()> {
    table.raw_set(name, wrapped(lua, function)?)
}

/// See [`add`].
pub fn wrapped(lua: &Lua, function: impl Fn(&Lua, &Arguments) -> Returned + 'static) -> mlua::Result<mlua::Function> {
    lua.create_function(move |lua, args: MultiValue| match function(lua, &Arguments(args)) {
        Ok(mut values) => {
            values.push_front(Value::Boolean(true));
            Ok(values)
        }
        Err(Failure::Text(text)) => {
            Ok(MultiValue::from_iter([Value::Boolean(false), Value::String(lua.create_string(&text)?)]))
        }
        Err(Failure::Lua(error)) => Err(error),
    })
}

/// The results of a call that returns one value.
pub fn one(value: Value) -> Returned {
    Ok(MultiValue::from_iter([value]))
}

#[cfg(test)]
mod tests {
    use super::shown_number;

    #[test]
    fn numbers_are_shown_as_in_c() {
        for (number, expected) in [
            (0.0, "0"),
            (1.5, "1.5"),
            (1e15, "1e+15"),
            (123456789012345.0, "1.2345678901234e+14"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (-2.0, "-2"),
            (0.1 + 0.2, "0.3"),
        ] {
            assert_eq!(shown_number(number, 14), expected);
        }
        assert_eq!(shown_number(0.1, 17), "0.10000000000000001");
    }
}
