//! `cjson`: JSON texts from and to Lua values. (lua-cjson 2.1.0)

use std::{cell::RefCell, rc::Rc};

use mlua::{Lua, MultiValue, Table, Value};

use crate::library::{Arguments, Failure, Returned, add, as_number, bad_argument, kind, one, shown_number};

/// The settings of one instance.
struct Settings {
    encode_depth_max: usize,
    decode_depth_max: usize,
    /// Whether a sparse array becomes an object rather than an error.
    sparse_convert: bool,
    sparse_ratio: usize,
    /// Arrays up to this index are never sparse.
    sparse_safe: usize,
    precision: usize,
    encode_invalid: Invalid,
    decode_invalid: bool,
    keeps_buffer: bool,
}

/// What becomes of NaN and of infinities.
#[derive(Clone, Copy, PartialEq)]
enum Invalid {
    Refused,
    Shown,
    Null,
}

/// The recursion ends here whatever the settings say, so that the thread's stack suffices.
const DEPTH_MAX: usize = 1000;

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            encode_depth_max: DEPTH_MAX,
            decode_depth_max: DEPTH_MAX,
            sparse_convert: false,
            sparse_ratio: 2,
            sparse_safe: 10,
            precision: 14,
            encode_invalid: Invalid::Refused,
            decode_invalid: true,
            keeps_buffer: true,
        }
    }
}

/// Builds an instance of the library.
pub fn library(lua: &Lua) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    let settings = Rc::new(RefCell::new(Settings::default()));
    let with = |f: fn(&mut Settings, &Lua, &Arguments) -> Returned| {
        let settings = settings.clone();
        move |lua: &Lua, args: &Arguments| f(&mut settings.borrow_mut(), lua, args)
    };
    add(lua, &table, "encode", with(encode))?;
    add(lua, &table, "decode", with(decode))?;
    add(
        lua,
        &table,
        "encode_max_depth",
        with(|s, _, args| set_depth(&mut s.encode_depth_max, args, "encode_max_depth")),
    )?;
    add(
        lua,
        &table,
        "decode_max_depth",
        with(|s, _, args| set_depth(&mut s.decode_depth_max, args, "decode_max_depth")),
    )?;
    add(
        lua,
        &table,
        "encode_number_precision",
        with(|s, _, args| {
            set_number(&mut s.precision, args, "encode_number_precision", 1, 1, 14)?;
            one(Value::Integer(s.precision as i64))
        }),
    )?;
    add(
        lua,
        &table,
        "encode_keep_buffer",
        with(|s, _, args| {
            set_bool(&mut s.keeps_buffer, args, "encode_keep_buffer", 1)?;
            one(Value::Boolean(s.keeps_buffer))
        }),
    )?;
    add(
        lua,
        &table,
        "decode_invalid_numbers",
        with(|s, _, args| {
            set_bool(&mut s.decode_invalid, args, "decode_invalid_numbers", 1)?;
            one(Value::Boolean(s.decode_invalid))
        }),
    )?;
    add(lua, &table, "encode_invalid_numbers", with(set_encode_invalid))?;
    add(
        lua,
        &table,
        "encode_sparse_array",
        with(|s, _, args| {
            set_bool(&mut s.sparse_convert, args, "encode_sparse_array", 1)?;
            set_number(&mut s.sparse_ratio, args, "encode_sparse_array", 2, 0, i32::MAX as usize)?;
            set_number(&mut s.sparse_safe, args, "encode_sparse_array", 3, 0, i32::MAX as usize)?;
            Ok(MultiValue::from_iter([
                Value::Boolean(s.sparse_convert),
                Value::Integer(s.sparse_ratio as i64),
                Value::Integer(s.sparse_safe as i64),
            ]))
        }),
    )?;
    table.raw_set("null", Value::NULL)?;
    table.raw_set("_NAME", "cjson")?;
    table.raw_set("_VERSION", "2.1.0")?;
    Ok(table)
}

fn set_number(
    setting: &mut usize,
    args: &Arguments,
    name: &str,
    index: usize,
    min: usize,
    max: usize,
) -> Result<(), Failure> {
    if args.get(index).is_nil() {
        return Ok(());
    }
    let value = args.integer(name, index)?;
    if value < min as i64 || value > max as i64 {
        return Err(bad_argument(index, name, &format!("expected integer between {min} and {max}")));
    }
    *setting = value as usize;
    Ok(())
}

fn set_depth(setting: &mut usize, args: &Arguments, name: &str) -> Returned {
    set_number(setting, args, name, 1, 1, i32::MAX as usize)?;
    one(Value::Integer(*setting as i64))
}

fn set_bool(setting: &mut bool, args: &Arguments, name: &str, index: usize) -> Result<(), Failure> {
    match args.get(index) {
        Value::Nil => {}
        Value::Boolean(value) => *setting = *value,
        Value::String(word) if word.as_bytes() == b"on" => *setting = true,
        Value::String(word) if word.as_bytes() == b"off" => *setting = false,
        _ => return Err(bad_argument(index, name, "boolean expected")),
    }
    Ok(())
}

fn set_encode_invalid(settings: &mut Settings, lua: &Lua, args: &Arguments) -> Returned {
    const NAME: &str = "encode_invalid_numbers";
    match args.get(1) {
        Value::String(word) if word.as_bytes() == b"null" => settings.encode_invalid = Invalid::Null,
        _ => {
            let mut shown = settings.encode_invalid == Invalid::Shown;
            let before = shown;
            set_bool(&mut shown, args, NAME, 1)?;
            if shown != before || !args.get(1).is_nil() {
                settings.encode_invalid = if shown { Invalid::Shown } else { Invalid::Refused };
            }
        }
    }
    one(match settings.encode_invalid {
        Invalid::Refused => Value::Boolean(false),
        Invalid::Shown => Value::Boolean(true),
        Invalid::Null => Value::String(lua.create_string("null")?),
    })
}

fn encode(settings: &mut Settings, lua: &Lua, args: &Arguments) -> Returned {
    if args.len() != 1 {
        return Err(bad_argument(1, "encode", "expected 1 argument"));
    }
    let mut out = Vec::new();
    encode_value(settings, args.get(1), 0, &mut out)?;
    one(Value::String(lua.create_string(&out)?))
}

fn refused(value: &str, reason: &str) -> Failure {
    Failure::Text(format!("Cannot serialise {value}: {reason}"))
}

fn encode_value(settings: &Settings, value: &Value, depth: usize, out: &mut Vec<u8>) -> Result<(), Failure> {
    match value {
        Value::String(string) => encode_string(&string.as_bytes(), out),
        Value::Integer(integer) => encode_number(settings, *integer as f64, out)?,
        Value::Number(number) => encode_number(settings, *number, out)?,
        Value::Boolean(value) => out.extend_from_slice(if *value { b"true" } else { b"false" }),
        Value::Nil => out.extend_from_slice(b"null"),
        Value::LightUserData(data) if data.0.is_null() => out.extend_from_slice(b"null"),
        Value::Table(table) => encode_table(settings, table, depth + 1, out)?,
        value => return Err(refused(kind(value), "type not supported")),
    }
    Ok(())
}

fn encode_number(settings: &Settings, number: f64, out: &mut Vec<u8>) -> Result<(), Failure> {
    if !number.is_finite() {
        match settings.encode_invalid {
            Invalid::Refused => return Err(refused("number", "must not be NaN or Inf")),
            Invalid::Null => out.extend_from_slice(b"null"),
            Invalid::Shown => out.extend_from_slice(shown_number(number, settings.precision).as_bytes()),
        }
        return Ok(());
    }
    out.extend_from_slice(shown_number(number, settings.precision).as_bytes());
    Ok(())
}

fn encode_string(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for &byte in bytes {
        match byte {
            b'"' | b'\\' | b'/' => out.extend_from_slice(&[b'\\', byte]),
            8 => out.extend_from_slice(b"\\b"),
            b'\t' => out.extend_from_slice(b"\\t"),
            b'\n' => out.extend_from_slice(b"\\n"),
            12 => out.extend_from_slice(b"\\f"),
            b'\r' => out.extend_from_slice(b"\\r"),
            0..32 | 127 => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}

/// The length of a table that is an array, or `None` if it becomes an object.
fn array_len(settings: &Settings, table: &Table) -> Result<Option<usize>, Failure> {
    let (mut max, mut items) = (0_usize, 0_usize);
    for pair in table.pairs::<Value, Value>() {
        let key = match pair?.0 {
            Value::Integer(key) => key as f64,
            Value::Number(key) => key,
            _ => return Ok(None),
        };
        if key < 1.0 || key.fract() != 0.0 || key > i32::MAX.into() {
            return Ok(None);
        }
        max = max.max(key as usize);
        items += 1;
    }
    if items == 0 {
        return Ok(None);
    }
    let is_sparse =
        settings.sparse_ratio > 0 && max > items.saturating_mul(settings.sparse_ratio) && max > settings.sparse_safe;
    match is_sparse {
        true if settings.sparse_convert => Ok(None),
        true => Err(refused("table", "excessively sparse array")),
        false => Ok(Some(max)),
    }
}

fn encode_table(settings: &Settings, table: &Table, depth: usize, out: &mut Vec<u8>) -> Result<(), Failure> {
    if depth > settings.encode_depth_max.min(DEPTH_MAX) {
        return Err(Failure::Text(format!("Cannot serialise, excessive nesting ({depth})")));
    }
    if let Some(len) = array_len(settings, table)? {
        out.push(b'[');
        for index in 1..=len {
            if index > 1 {
                out.push(b',');
            }
            encode_value(settings, &table.raw_get(index)?, depth, out)?;
        }
        out.push(b']');
        return Ok(());
    }
    out.push(b'{');
    let mut is_first = true;
    for pair in table.pairs::<Value, Value>() {
        let (key, value) = pair?;
        if !std::mem::take(&mut is_first) {
            out.push(b',');
        }
        match &key {
            Value::String(key) => encode_string(&key.as_bytes(), out),
            Value::Integer(_) | Value::Number(_) => {
                out.push(b'"');
                encode_number(settings, as_number(&key).unwrap_or_default(), out)?;
                out.push(b'"');
            }
            _ => return Err(refused(kind(&key), "table key must be a number or string")),
        }
        out.push(b':');
        encode_value(settings, &value, depth, out)?;
    }
    out.push(b'}');
    Ok(())
}

fn decode(settings: &mut Settings, lua: &Lua, args: &Arguments) -> Returned {
    if args.len() != 1 {
        return Err(bad_argument(1, "decode", "expected 1 argument"));
    }
    let text = args.bytes(lua, "decode", 1)?;
    let text = text.as_bytes();
    if text.len() >= 2 && (text[0] == 0 || text[1] == 0) {
        return Err(Failure::Text("JSON parser does not support UTF-16 or UTF-32".to_owned()));
    }
    let mut parser = Parser { lua, settings, text: &text, at: 0, depth: 0 };
    let token = parser.next();
    let value = parser.value(token)?;
    let token = parser.next();
    if !matches!(token.what, What::End) {
        return Err(unexpected("the end", &token));
    }
    one(value)
}

struct Token {
    what: What,
    /// The index of its first byte.
    at: usize,
}

enum What {
    ObjectBegin,
    ObjectEnd,
    ArrayBegin,
    ArrayEnd,
    String(Vec<u8>),
    Number(f64),
    Boolean(bool),
    Null,
    Colon,
    Comma,
    End,
    Error(&'static str),
}

fn unexpected(expected: &str, token: &Token) -> Failure {
    let found = match token.what {
        What::ObjectBegin => "T_OBJ_BEGIN",
        What::ObjectEnd => "T_OBJ_END",
        What::ArrayBegin => "T_ARR_BEGIN",
        What::ArrayEnd => "T_ARR_END",
        What::String(_) => "T_STRING",
        What::Number(_) => "T_NUMBER",
        What::Boolean(_) => "T_BOOLEAN",
        What::Null => "T_NULL",
        What::Colon => "T_COLON",
        What::Comma => "T_COMMA",
        What::End => "T_END",
        What::Error(text) => text,
    };
    Failure::Text(format!("Expected {expected} but found {found} at character {}", token.at + 1))
}

/// Whether a text begins with the name of an infinity or of NaN.
fn names_no_number(text: &[u8]) -> bool {
    text.get(..3).is_some_and(|name| name.eq_ignore_ascii_case(b"inf") || name.eq_ignore_ascii_case(b"nan"))
}

struct Parser<'a> {
    lua: &'a Lua,
    settings: &'a Settings,
    text: &'a [u8],
    at: usize,
    depth: usize,
}

impl Parser<'_> {
    fn next(&mut self) -> Token {
        while matches!(self.text.get(self.at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
        let at = self.at;
        let rest = &self.text[at..];
        let simple = |what, len| (what, len);
        let (what, len) = match rest.first() {
            None => simple(What::End, 0),
            Some(b'{') => simple(What::ObjectBegin, 1),
            Some(b'}') => simple(What::ObjectEnd, 1),
            Some(b'[') => simple(What::ArrayBegin, 1),
            Some(b']') => simple(What::ArrayEnd, 1),
            Some(b':') => simple(What::Colon, 1),
            Some(b',') => simple(What::Comma, 1),
            Some(b'"') => return self.string(),
            Some(b'-' | b'0'..=b'9') => self.number(rest),
            Some(_) if rest.starts_with(b"true") => simple(What::Boolean(true), 4),
            Some(_) if rest.starts_with(b"false") => simple(What::Boolean(false), 5),
            Some(_) if rest.starts_with(b"null") => simple(What::Null, 4),
            Some(_) if self.settings.decode_invalid && names_no_number(rest) => self.number(rest),
            Some(_) => simple(What::Error("invalid token"), 1),
        };
        self.at += len;
        Token { what, at }
    }

    /// Reads a number as C's `strtod` does.
    fn number(&self, rest: &[u8]) -> (What, usize) {
        let (sign, start) = if rest[0] == b'-' { (-1.0, 1) } else { (1.0, 0) };
        let digits = &rest[start..];
        let is_hex = digits.len() > 2 && digits[0] == b'0' && digits[1].eq_ignore_ascii_case(&b'x');
        let has_leading_zero = digits.len() > 1 && digits[0] == b'0' && digits[1].is_ascii_digit();
        let word = |word: &[u8]| digits.len() >= word.len() && digits[..word.len()].eq_ignore_ascii_case(word);
        let is_invalid = is_hex || has_leading_zero || word(b"inf") || word(b"nan");
        if is_invalid && !self.settings.decode_invalid {
            return (What::Error("invalid number"), 1);
        }
        if word(b"infinity") || word(b"inf") {
            let len = if word(b"infinity") { 8 } else { 3 };
            return (What::Number(sign * f64::INFINITY), start + len);
        }
        if word(b"nan") {
            return (What::Number(f64::NAN), start + 3);
        }
        if is_hex {
            let len = digits[2..].iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
            let value = digits[2..2 + len]
                .iter()
                .fold(0.0, |value, &digit| value * 16.0 + f64::from((digit as char).to_digit(16).unwrap_or_default()));
            return (What::Number(sign * value), start + 2 + len);
        }
        let count =
            |from: usize| digits[from.min(digits.len())..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let mut len = count(0);
        if digits.get(len) == Some(&b'.') {
            len += 1 + count(len + 1);
        }
        if matches!(digits.get(len), Some(b'e' | b'E')) {
            let signed = usize::from(matches!(digits.get(len + 1), Some(b'+' | b'-')));
            let exponent = count(len + 1 + signed);
            if exponent > 0 {
                len += 1 + signed + exponent;
            }
        }
        let parsed = std::str::from_utf8(&digits[..len]).ok().and_then(|digits| digits.parse::<f64>().ok());
        match parsed {
            Some(value) => (What::Number(sign * value), start + len),
            None => (What::Error("invalid number"), 1),
        }
    }

    fn string(&mut self) -> Token {
        let start = self.at;
        let fail = |what, at| Token { what: What::Error(what), at };
        let mut string = Vec::new();
        self.at += 1;
        loop {
            let Some(&byte) = self.text.get(self.at) else { return fail("unexpected end of string", self.at) };
            self.at += 1;
            match byte {
                b'"' => return Token { what: What::String(string), at: start },
                b'\\' => {
                    let Some(&escape) = self.text.get(self.at) else {
                        return fail("unexpected end of string", self.at);
                    };
                    let at = self.at - 1;
                    self.at += 1;
                    match escape {
                        b'"' | b'\\' | b'/' => string.push(escape),
                        b'b' => string.push(8),
                        b'f' => string.push(12),
                        b'n' => string.push(b'\n'),
                        b'r' => string.push(b'\r'),
                        b't' => string.push(b'\t'),
                        b'u' => match self.unicode() {
                            Some(letter) => {
                                string.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
                            }
                            None => return fail("invalid unicode escape code", at),
                        },
                        _ => return fail("invalid escape code", at),
                    }
                }
                _ => string.push(byte),
            }
        }
    }

    /// Reads the digits after `\u`, and those of the second half of a pair of surrogates.
    fn unicode(&mut self) -> Option<char> {
        let hex = |at: usize| {
            let digits = std::str::from_utf8(self.text.get(at..at + 4)?).ok()?;
            digits.bytes().all(|digit| digit.is_ascii_hexdigit()).then(|| u32::from_str_radix(digits, 16).ok())?
        };
        let mut code = hex(self.at)?;
        let mut len = 4;
        if (0xd800..0xdc00).contains(&code) {
            if self.text.get(self.at + 4..self.at + 6)? != b"\\u" {
                return None;
            }
            let low = hex(self.at + 6)?;
            if !(0xdc00..0xe000).contains(&low) {
                return None;
            }
            code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
            len = 10;
        }
        self.at += len;
        char::from_u32(code)
    }

    fn value(&mut self, token: Token) -> Result<Value, Failure> {
        Ok(match token.what {
            What::String(string) => Value::String(self.lua.create_string(&string)?),
            What::Number(number) => Value::Number(number),
            What::Boolean(value) => Value::Boolean(value),
            What::Null => Value::NULL,
            What::ObjectBegin => self.object()?,
            What::ArrayBegin => self.array()?,
            _ => return Err(unexpected("value", &token)),
        })
    }

    fn descend(&mut self) -> Result<(), Failure> {
        self.depth += 1;
        if self.depth > self.settings.decode_depth_max.min(DEPTH_MAX) {
            let text = format!("Found too many nested data structures ({}) at character {}", self.depth, self.at);
            return Err(Failure::Text(text));
        }
        Ok(())
    }

    fn object(&mut self) -> Result<Value, Failure> {
        self.descend()?;
        let table = self.lua.create_table()?;
        let mut token = self.next();
        if !matches!(token.what, What::ObjectEnd) {
            loop {
                let What::String(key) = token.what else { return Err(unexpected("object key string", &token)) };
                let colon = self.next();
                if !matches!(colon.what, What::Colon) {
                    return Err(unexpected("colon", &colon));
                }
                let first = self.next();
                let value = self.value(first)?;
                table.raw_set(self.lua.create_string(&key)?, value)?;
                token = self.next();
                match token.what {
                    What::ObjectEnd => break,
                    What::Comma => token = self.next(),
                    _ => return Err(unexpected("comma or object end", &token)),
                }
            }
        }
        self.depth -= 1;
        Ok(Value::Table(table))
    }

    fn array(&mut self) -> Result<Value, Failure> {
        self.descend()?;
        let table = self.lua.create_table()?;
        let mut token = self.next();
        if !matches!(token.what, What::ArrayEnd) {
            for index in 1.. {
                let value = self.value(token)?;
                table.raw_set(index, value)?;
                token = self.next();
                match token.what {
                    What::ArrayEnd => break,
                    What::Comma => token = self.next(),
                    _ => return Err(unexpected("comma or array end", &token)),
                }
            }
        }
        self.depth -= 1;
        Ok(Value::Table(table))
    }
}
