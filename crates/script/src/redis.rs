//! The functions of `redis`. They return whether they failed, and then their results or the error; the prelude raises errors.

use std::rc::Rc;

use mlua::{Function, Lua, MultiValue, Table, Value};
use ochre_resp::Protocol;
use sha1::{Digest, Sha1};

use crate::{Shared, library::shown_number, values, words::Word};

/// Builds the library, without what the prelude adds.
pub fn library(lua: &Lua, shared: &Rc<Shared>, [major, minor, patch]: [u8; 3]) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    table.raw_set("acl_check_cmd", acl_check_cmd(lua, shared)?)?;
    table.raw_set("log", log(lua, shared)?)?;
    table.raw_set("setresp", setresp(lua, shared)?)?;
    table.raw_set("set_repl", set_repl(lua, shared)?)?;
    table.raw_set("sha1hex", lua.create_function(sha1hex)?)?;
    table.raw_set("error_reply", lua.create_function(|lua, args| single_field(lua, &args, "err"))?)?;
    table.raw_set("status_reply", lua.create_function(|lua, args| single_field(lua, &args, "ok"))?)?;
    for (level, name) in ["LOG_DEBUG", "LOG_VERBOSE", "LOG_NOTICE", "LOG_WARNING"].into_iter().enumerate() {
        table.raw_set(name, level)?;
    }
    for (name, value) in [("REPL_NONE", 0), ("REPL_AOF", 1), ("REPL_SLAVE", 2), ("REPL_REPLICA", 2), ("REPL_ALL", 3)] {
        table.raw_set(name, value)?;
    }
    table.raw_set("REDIS_VERSION", format!("{major}.{minor}.{patch}"))?;
    table.raw_set("REDIS_VERSION_NUM", i64::from(major) << 16 | i64::from(minor) << 8 | i64::from(patch))?;
    Ok(table)
}

/// A table with the error, which gets the code `ERR` if it has none.
fn error_table(lua: &Lua, text: &[u8]) -> mlua::Result<Value> {
    let table = lua.create_table()?;
    let text = text.strip_prefix(b"-").unwrap_or(text).trim_ascii_end();
    let has_code = text.contains(&b' ');
    table.raw_set("err", lua.create_string(if has_code { text.to_vec() } else { [b"ERR ", text].concat() })?)?;
    Ok(Value::Table(table))
}

fn failed(lua: &Lua, text: &str) -> mlua::Result<MultiValue> {
    Ok(values([Value::Boolean(true), error_table(lua, format!("ERR {text}").as_bytes())?]))
}

fn acl_check_cmd(lua: &Lua, shared: &Rc<Shared>) -> mlua::Result<Function> {
    let shared = shared.clone();
    lua.create_function(move |lua, args: MultiValue| {
        let mut words = shared.words.borrow_mut();
        let gathered = words.gather(args.iter().map(Word::of_value));
        if let Err(problem) = gathered {
            return failed(lua, &problem.text("acl_check_cmd()"));
        }
        match shared.with_host(|host| host.may_run(words.args())) {
            Some(may_run) => Ok(values([Value::Boolean(false), Value::Boolean(may_run)])),
            None => failed(lua, "Invalid command passed to redis.acl_check_cmd()"),
        }
    })
}

fn log(lua: &Lua, shared: &Rc<Shared>) -> mlua::Result<Function> {
    let shared = shared.clone();
    lua.create_function(move |lua, args: MultiValue| {
        if args.len() < 2 {
            return failed(lua, "redis.log() requires two arguments or more.");
        }
        let level = match args.front() {
            Some(Value::Integer(level)) => *level,
            Some(Value::Number(level)) => *level as i64,
            _ => return failed(lua, "First argument must be a number (log level)."),
        };
        if !(0..=3).contains(&level) {
            return failed(lua, "Invalid log level.");
        }
        let mut text = Vec::new();
        for arg in args.iter().skip(1) {
            let part = match arg {
                Value::String(part) => part.as_bytes().to_vec(),
                Value::Integer(number) => number.to_string().into_bytes(),
                Value::Number(number) => shown_number(*number, 14).into_bytes(),
                _ => continue,
            };
            if !text.is_empty() {
                text.push(b' ');
            }
            text.extend_from_slice(&part);
        }
        shared.with_host(|host| host.log(level as u8, &text));
        Ok(values([Value::Boolean(false)]))
    })
}

fn setresp(lua: &Lua, shared: &Rc<Shared>) -> mlua::Result<Function> {
    let shared = shared.clone();
    lua.create_function(move |lua, args: MultiValue| {
        if args.len() != 1 {
            return failed(lua, "redis.setresp() requires one argument.");
        }
        let protocol = match args.front() {
            Some(Value::Integer(2)) => Protocol::Resp2,
            Some(Value::Integer(3)) => Protocol::Resp3,
            _ => return failed(lua, "RESP version must be 2 or 3."),
        };
        shared.protocol.set(protocol);
        Ok(values([Value::Boolean(false)]))
    })
}

/// `redis.set_repl`: of the flags, the one for the append-only file counts. There are no replicas.
fn set_repl(lua: &Lua, shared: &Rc<Shared>) -> mlua::Result<Function> {
    /// `redis.REPL_AOF`.
    const AOF: i64 = 1;
    let shared = shared.clone();
    lua.create_function(move |lua, args: MultiValue| {
        if args.len() != 1 {
            return failed(lua, "redis.set_repl() requires one argument.");
        }
        match args.front() {
            Some(Value::Integer(flags @ 0..=3)) => {
                shared.with_host(|host| host.set_recorded(flags & AOF != 0));
                Ok(values([Value::Boolean(false)]))
            }
            _ => failed(lua, "Invalid replication flags. Use REPL_AOF, REPL_REPLICA, REPL_ALL or REPL_NONE."),
        }
    })
}

fn sha1hex(lua: &Lua, args: MultiValue) -> mlua::Result<MultiValue> {
    if args.len() != 1 {
        return failed(lua, "wrong number of arguments");
    }
    let bytes = match args.front() {
        Some(Value::String(bytes)) => bytes.as_bytes().to_vec(),
        Some(Value::Integer(number)) => number.to_string().into_bytes(),
        Some(Value::Number(number)) => shown_number(*number, 14).into_bytes(),
        _ => Vec::new(),
    };
    let digest: String = Sha1::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(values([Value::Boolean(false), Value::String(lua.create_string(digest)?)]))
}

/// `redis.error_reply` and `redis.status_reply`. A wrong argument gives a table with an error rather than raising it.
fn single_field(lua: &Lua, args: &MultiValue, name: &str) -> mlua::Result<MultiValue> {
    let value = match (args.len(), args.front()) {
        (1, Some(Value::String(text))) if name == "err" => error_table(lua, &text.as_bytes())?,
        (1, Some(Value::String(text))) => {
            let table = lua.create_table()?;
            table.raw_set(name, text)?;
            Value::Table(table)
        }
        _ => error_table(lua, b"ERR wrong number or type of arguments")?,
    };
    Ok(values([Value::Boolean(false), value]))
}
