//! Replies to values of Lua, and back. (Redis documentation: "Lua API", "Data type conversion")

use mlua::{Lua, Table, Value};
use ochre_resp::{Protocol, ReplyWriter};

use crate::{ScriptError, library::as_number};

/// Results that are nested deeper are answered with an error, so that the thread's stack suffices.
const DEPTH_MAX: usize = 1000;

/// Reads one reply of a command, which is complete. A nested error is a value like others.
pub fn read(lua: &Lua, rest: &mut &[u8]) -> mlua::Result<Value> {
    let line = take_line(rest);
    let Some((&kind, text)) = line.split_first() else { return Ok(Value::Nil) };
    let len = || std::str::from_utf8(text).ok().and_then(|text| text.parse::<i64>().ok()).unwrap_or(-1);
    Ok(match kind {
        b'+' => field(lua, "ok", string(lua, text)?)?,
        b'-' => {
            let table = lua.create_table()?;
            table.raw_set("err", string(lua, text)?)?;
            table.raw_set("ignore_error_stats_update", true)?;
            Value::Table(table)
        }
        b':' => Value::Number(len_as_f64(text)),
        b'$' if len() < 0 => Value::Boolean(false),
        b'$' => string(lua, take_bulk(rest, len() as usize))?,
        b'*' | b'>' if len() < 0 => Value::Boolean(false),
        b'*' | b'>' => {
            let table = lua.create_table_with_capacity(len() as usize, 0)?;
            for index in 1..=len() {
                table.raw_set(index, read(lua, rest)?)?;
            }
            Value::Table(table)
        }
        b'_' => Value::Nil,
        b'#' => Value::Boolean(text == b"t"),
        b',' => field(lua, "double", Value::Number(parse_double(text)))?,
        b'(' => field(lua, "big_number", string(lua, text)?)?,
        b'=' => {
            let bulk = take_bulk(rest, len().max(0) as usize);
            let (format, bulk) = bulk.split_at(bulk.len().min(4));
            let inner = lua.create_table()?;
            inner.raw_set("format", string(lua, format.strip_suffix(b":").unwrap_or(format))?)?;
            inner.raw_set("string", string(lua, bulk)?)?;
            field(lua, "verbatim_string", Value::Table(inner))?
        }
        b'%' => {
            let inner = lua.create_table()?;
            for _ in 0..len() {
                let key = read(lua, rest)?;
                let value = read(lua, rest)?;
                if !key.is_nil() {
                    inner.raw_set(key, value)?;
                }
            }
            field(lua, "map", Value::Table(inner))?
        }
        b'~' => {
            let inner = lua.create_table()?;
            for _ in 0..len() {
                let member = read(lua, rest)?;
                if !member.is_nil() {
                    inner.raw_set(member, true)?;
                }
            }
            field(lua, "set", Value::Table(inner))?
        }
        b'|' => {
            for _ in 0..2 * len() {
                read(lua, rest)?;
            }
            read(lua, rest)?
        }
        _ => Value::Nil,
    })
}

fn take_line<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
    let end = rest.windows(2).position(|pair| pair == b"\r\n").unwrap_or(rest.len());
    let line = &rest[..end];
    *rest = rest.get(end + 2..).unwrap_or_default();
    line
}

fn take_bulk<'a>(rest: &mut &'a [u8], len: usize) -> &'a [u8] {
    let bulk = &rest[..len.min(rest.len())];
    *rest = rest.get(len + 2..).unwrap_or_default();
    bulk
}

fn len_as_f64(text: &[u8]) -> f64 {
    std::str::from_utf8(text).ok().and_then(|text| text.parse::<i64>().ok()).unwrap_or_default() as f64
}

fn parse_double(text: &[u8]) -> f64 {
    std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).unwrap_or(f64::NAN)
}

fn string(lua: &Lua, bytes: &[u8]) -> mlua::Result<Value> {
    Ok(Value::String(lua.create_string(bytes)?))
}

fn field(lua: &Lua, name: &str, value: Value) -> mlua::Result<Value> {
    let table = lua.create_table_with_capacity(0, 1)?;
    table.raw_set(name, value)?;
    Ok(Value::Table(table))
}

/// Writes the result of a script as a reply. `protocol` is the one that the script has chosen: with RESP2 a boolean becomes 1 or null.
///
/// # Errors
/// The error that the script has returned in place of a result.
pub fn write(value: &Value, protocol: Protocol, reply: &mut ReplyWriter<'_>) -> Result<(), ScriptError> {
    if let Value::Table(table) = value
        && let Some(text) = text_field(table, "err")
    {
        return Err(ScriptError { text, place: None });
    }
    write_value(value, protocol, 0, reply);
    Ok(())
}

fn text_field(table: &Table, name: &str) -> Option<Vec<u8>> {
    match table.raw_get(name) {
        Ok(Value::String(text)) => Some(text.as_bytes().to_vec()),
        _ => None,
    }
}

fn table_field(table: &Table, name: &str) -> Option<Table> {
    match table.raw_get(name) {
        Ok(Value::Table(inner)) => Some(inner),
        _ => None,
    }
}

/// A text on one line.
fn one_line(text: &[u8]) -> String {
    String::from_utf8_lossy(text).replace(['\r', '\n'], " ")
}

fn write_value(value: &Value, protocol: Protocol, depth: usize, reply: &mut ReplyWriter<'_>) {
    if depth > DEPTH_MAX {
        return reply.error("ERR reached lua stack limit");
    }
    match value {
        Value::String(text) => reply.bulk(&text.as_bytes()),
        Value::Integer(number) => reply.integer(*number),
        Value::Number(number) => reply.integer(*number as i64),
        Value::Boolean(value) if protocol == Protocol::Resp3 => reply.boolean(*value),
        Value::Boolean(true) => reply.integer(1),
        Value::Table(table) => write_table(table, protocol, depth, reply),
        _ => reply.null(),
    }
}

fn write_table(table: &Table, protocol: Protocol, depth: usize, reply: &mut ReplyWriter<'_>) {
    if let Some(text) = text_field(table, "err") {
        return reply.error(text);
    }
    if let Some(text) = text_field(table, "ok") {
        return reply.simple(&one_line(&text));
    }
    if let Ok(value @ (Value::Integer(_) | Value::Number(_))) = table.raw_get("double") {
        return reply.double(as_number(&value).unwrap_or_default());
    }
    if let Some(map) = table_field(table, "map") {
        let mark = reply.array_later();
        let mut len = 0;
        for (key, value) in map.pairs::<Value, Value>().flatten() {
            write_value(&key, protocol, depth + 1, reply);
            write_value(&value, protocol, depth + 1, reply);
            len += 1;
        }
        return reply.close_map(mark, len);
    }
    if let Some(set) = table_field(table, "set") {
        let mark = reply.array_later();
        let mut len = 0;
        for (member, _) in set.pairs::<Value, Value>().flatten() {
            write_value(&member, protocol, depth + 1, reply);
            len += 1;
        }
        return reply.close_set(mark, len);
    }
    if let Some(digits) = text_field(table, "big_number") {
        return reply.big_number(one_line(&digits).as_bytes());
    }
    if let Some(verbatim) = table_field(table, "verbatim_string")
        && let (Some(format), Some(text)) = (text_field(&verbatim, "format"), text_field(&verbatim, "string"))
        && let Ok(format) = std::str::from_utf8(&format)
        && format.len() == 3
    {
        return reply.verbatim(format, &text);
    }
    let mark = reply.array_later();
    let mut len = 0;
    loop {
        // As Redis does, without the metamethods.
        let value: Value = table.raw_get(len + 1).unwrap_or(Value::Nil);
        if value.is_nil() {
            break;
        }
        write_value(&value, protocol, depth + 1, reply);
        len += 1;
    }
    reply.close_array(mark, len);
}
