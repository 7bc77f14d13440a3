//! Replies to values of Lua, and back. (Redis documentation: "Lua API", "Data type conversion")

use std::ffi::c_int;

use mlua::{Table, Value, ffi};
use ochre_resp::{Protocol, ReplyWriter};

use crate::{ScriptError, library::as_number};

/// Results that are nested deeper are answered with an error, so that the thread's stack suffices.
const DEPTH_MAX: usize = 1000;

/// Puts one reply of a command on the stack, which is complete. A nested error is a value like others.
///
/// # Safety
/// `state` is that of a C function or of a protected call. An error of memory leaves this function without running destructors, so its caller may
/// have none on its frame.
pub unsafe fn push(state: *mut ffi::lua_State, rest: &mut &[u8]) {
    // SAFETY: the stack has room for what is pushed here; each nested reply asks for its own.
    unsafe {
        ffi::luaL_checkstack(state, 4, c"the reply is nested too deeply".as_ptr());
        if rest.first() == Some(&b'-') {
            return push_error(state, rest, true);
        }
        let line = take_line(rest);
        let Some((&kind, text)) = line.split_first() else { return ffi::lua_pushnil(state) };
        match kind {
            b':' => ffi::lua_pushnumber(state, integer(text) as f64),
            b'$' | b'*' | b'>' if integer(text) < 0 => ffi::lua_pushboolean(state, 0),
            b'$' => push_bytes(state, take_bulk(rest, integer(text) as usize)),
            b'*' | b'>' => {
                let len = integer(text);
                ffi::lua_createtable(state, len as c_int, 0);
                for index in 1..=len {
                    push(state, rest);
                    ffi::lua_rawseti(state, -2, index);
                }
            }
            b'_' => ffi::lua_pushnil(state),
            b'#' => ffi::lua_pushboolean(state, c_int::from(text == b"t")),
            b'|' => {
                for _ in 0..2 * integer(text) {
                    push(state, rest);
                    ffi::lua_settop(state, -2);
                }
                push(state, rest);
            }
            _ => push_wrapped(state, kind, text, rest),
        }
    }
}

/// Puts a reply on the stack that becomes a table with one field.
///
/// # Safety
/// As for [`push`].
unsafe fn push_wrapped(state: *mut ffi::lua_State, kind: u8, text: &[u8], rest: &mut &[u8]) {
    // SAFETY: as for `push`.
    unsafe {
        ffi::lua_createtable(state, 0, 1);
        let name = match kind {
            b'+' => {
                push_bytes(state, text);
                c"ok"
            }
            b',' => {
                ffi::lua_pushnumber(state, parse_double(text));
                c"double"
            }
            b'(' => {
                push_bytes(state, text);
                c"big_number"
            }
            b'=' => {
                let bulk = take_bulk(rest, integer(text).max(0) as usize);
                let (format, bulk) = bulk.split_at(bulk.len().min(4));
                ffi::lua_createtable(state, 0, 2);
                push_bytes(state, format.strip_suffix(b":").unwrap_or(format));
                ffi::lua_setfield(state, -2, c"format".as_ptr());
                push_bytes(state, bulk);
                ffi::lua_setfield(state, -2, c"string".as_ptr());
                c"verbatim_string"
            }
            b'%' | b'~' => {
                ffi::lua_createtable(state, 0, integer(text) as c_int);
                for _ in 0..integer(text) {
                    push(state, rest);
                    if kind == b'%' {
                        push(state, rest)
                    } else {
                        ffi::lua_pushboolean(state, 1)
                    }
                    // Nil and NaN cannot be keys of a table.
                    if ffi::lua_isnil(state, -2) != 0 || ffi::lua_rawequal(state, -2, -2) == 0 {
                        ffi::lua_settop(state, -3);
                    } else {
                        ffi::lua_rawset(state, -3);
                    }
                }
                if kind == b'%' { c"map" } else { c"set" }
            }
            _ => {
                ffi::lua_settop(state, -2);
                return ffi::lua_pushnil(state);
            }
        };
        ffi::lua_setfield(state, -2, name.as_ptr());
    }
}

/// Puts an error reply on the stack. `is_counted` is whether the command has been counted as failed.
///
/// # Safety
/// As for [`push`].
pub unsafe fn push_error(state: *mut ffi::lua_State, rest: &mut &[u8], is_counted: bool) {
    let line = take_line(rest);
    // SAFETY: as for `push`.
    unsafe {
        ffi::lua_createtable(state, 0, 2);
        push_bytes(state, line.get(1..).unwrap_or_default());
        ffi::lua_setfield(state, -2, c"err".as_ptr());
        if is_counted {
            ffi::lua_pushboolean(state, 1);
            ffi::lua_setfield(state, -2, c"ignore_error_stats_update".as_ptr());
        }
    }
}

/// Puts a string on the stack.
///
/// # Safety
/// As for [`push`].
pub unsafe fn push_bytes(state: *mut ffi::lua_State, bytes: &[u8]) {
    // SAFETY: Lua copies the bytes.
    unsafe { ffi::lua_pushlstring(state, bytes.as_ptr().cast(), bytes.len()) };
}

/// A number in a line; -1 if it is none.
fn integer(text: &[u8]) -> i64 {
    std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).unwrap_or(-1)
}

fn take_line<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
    let end = memchr::memchr(b'\r', rest).unwrap_or(rest.len());
    let line = &rest[..end];
    *rest = rest.get(end + 2..).unwrap_or_default();
    line
}

fn take_bulk<'a>(rest: &mut &'a [u8], len: usize) -> &'a [u8] {
    let bulk = &rest[..len.min(rest.len())];
    *rest = rest.get(len + 2..).unwrap_or_default();
    bulk
}

fn parse_double(text: &[u8]) -> f64 {
    std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).unwrap_or(f64::NAN)
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
