//! `bit`: operations on 32-bit integers. (LuaBitOp 1.0.2)

use mlua::{Lua, MultiValue, Table, Value};

use crate::library::{Arguments, Failure, Returned, add};

/// Builds the library.
pub fn library(lua: &Lua) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    add(lua, &table, "tobit", |_, args| one(args.bits("tobit", 1)?))?;
    add(lua, &table, "bnot", |_, args| one(!args.bits("bnot", 1)?))?;
    add(lua, &table, "bswap", |_, args| one(args.bits("bswap", 1)?.swap_bytes()))?;
    add(lua, &table, "band", |_, args| fold(args, "band", |a, b| a & b))?;
    add(lua, &table, "bor", |_, args| fold(args, "bor", |a, b| a | b))?;
    add(lua, &table, "bxor", |_, args| fold(args, "bxor", |a, b| a ^ b))?;
    add(lua, &table, "lshift", |_, args| shift(args, "lshift", |a, n| a << n))?;
    add(lua, &table, "rshift", |_, args| shift(args, "rshift", |a, n| ((a as u32) >> n) as i32))?;
    add(lua, &table, "arshift", |_, args| shift(args, "arshift", |a, n| a >> n))?;
    add(lua, &table, "rol", |_, args| shift(args, "rol", i32::rotate_left))?;
    add(lua, &table, "ror", |_, args| shift(args, "ror", i32::rotate_right))?;
    add(lua, &table, "tohex", tohex)?;
    Ok(table)
}

fn one(value: i32) -> Result<MultiValue, Failure> {
    Ok(MultiValue::from_iter([Value::Integer(value.into())]))
}

fn fold(args: &Arguments, name: &str, combine: fn(i32, i32) -> i32) -> Returned {
    let mut result = args.bits(name, 1)?;
    for index in 2..=args.len() {
        result = combine(result, args.bits(name, index)?);
    }
    one(result)
}

fn shift(args: &Arguments, name: &str, shift: fn(i32, u32) -> i32) -> Returned {
    let value = args.bits(name, 1)?;
    one(shift(value, args.bits(name, 2)? as u32 & 31))
}

fn tohex(lua: &Lua, args: &Arguments) -> Returned {
    let value = args.bits("tohex", 1)? as u32;
    let digits = if args.len() < 2 { 8 } else { args.bits("tohex", 2)? };
    let text = if digits < 0 { format!("{value:08X}") } else { format!("{value:08x}") };
    let shown = (digits.unsigned_abs() as usize).min(8);
    Ok(MultiValue::from_iter([Value::String(lua.create_string(&text[8 - shown..])?)]))
}
