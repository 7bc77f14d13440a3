//! `cmsgpack`: MessagePack from and to Lua values. (lua-cmsgpack 0.4.0)

use mlua::{Lua, MultiValue, Table, Value};

use crate::library::{Arguments, Failure, Returned, add, as_number, bad_argument, one};

/// Tables that are nested deeper are packed as nil.
const PACK_DEPTH_MAX: usize = 16;
/// Deeper nesting is refused, so that the thread's stack suffices.
const UNPACK_DEPTH_MAX: usize = 1000;

/// Builds the library.
pub fn library(lua: &Lua) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    add(lua, &table, "pack", pack)?;
    add(lua, &table, "unpack", |lua, args| unpack(lua, args, 0, 0, false))?;
    add(lua, &table, "unpack_one", |lua, args| {
        let offset = if args.len() < 2 { 0 } else { args.integer("unpack_one", 2)? };
        unpack(lua, args, 1, offset, true)
    })?;
    add(lua, &table, "unpack_limit", |lua, args| {
        let limit = args.integer("unpack_limit", 2)?;
        let offset = if args.len() < 3 { 0 } else { args.integer("unpack_limit", 3)? };
        unpack(lua, args, limit, offset, true)
    })?;
    table.raw_set("_NAME", "cmsgpack")?;
    table.raw_set("_VERSION", "lua-cmsgpack 0.4.0")?;
    table.raw_set("_COPYRIGHT", "Copyright (C) 2012, Redis Ltd.")?;
    table.raw_set("_DESCRIPTION", "MessagePack C implementation for Lua")?;
    Ok(table)
}

fn pack(lua: &Lua, args: &Arguments) -> Returned {
    if args.len() == 0 {
        return Err(bad_argument(0, "pack", "MessagePack pack needs input."));
    }
    let mut out = Vec::new();
    for value in args.0.iter() {
        pack_value(value, 0, &mut out)?;
    }
    one(Value::String(lua.create_string(&out)?))
}

fn pack_value(value: &Value, depth: usize, out: &mut Vec<u8>) -> Result<(), Failure> {
    match value {
        Value::String(string) => {
            let bytes = string.as_bytes();
            pack_len(bytes.len(), [(0xa0, 32), (0xd9, 256), (0xda, 1 << 16)], 0xdb, out);
            out.extend_from_slice(&bytes);
        }
        Value::Boolean(value) => out.push(if *value { 0xc3 } else { 0xc2 }),
        Value::Integer(integer) => pack_integer(*integer, out),
        Value::Number(number) => pack_number(*number, out),
        Value::Table(table) if depth < PACK_DEPTH_MAX => pack_table(table, depth + 1, out)?,
        _ => out.push(0xc0),
    }
    Ok(())
}

/// Writes the head of a string, an array or a map: in one byte, or with a length of 8, 16 or 32 bits.
fn pack_len(len: usize, [short, byte, word]: [(u8, usize); 3], long: u8, out: &mut Vec<u8>) {
    if len < short.1 {
        out.push(short.0 | len as u8);
    } else if len < byte.1 {
        out.extend_from_slice(&[byte.0, len as u8]);
    } else if len < word.1 {
        out.push(word.0);
        out.extend_from_slice(&(len as u16).to_be_bytes());
    } else {
        out.push(long);
        out.extend_from_slice(&(len as u32).to_be_bytes());
    }
}

fn pack_number(number: f64, out: &mut Vec<u8>) {
    if number.fract() == 0.0 && number.abs() < 9_223_372_036_854_775_808.0 {
        return pack_integer(number as i64, out);
    }
    if f64::from(number as f32) == number {
        out.push(0xca);
        out.extend_from_slice(&(number as f32).to_be_bytes());
    } else {
        out.push(0xcb);
        out.extend_from_slice(&number.to_be_bytes());
    }
}

fn pack_integer(value: i64, out: &mut Vec<u8>) {
    match value {
        0..=127 => out.push(value as u8),
        128..=0xff => out.extend_from_slice(&[0xcc, value as u8]),
        0x100..=0xffff => {
            out.push(0xcd);
            out.extend_from_slice(&(value as u16).to_be_bytes());
        }
        0x1_0000..=0xffff_ffff => {
            out.push(0xce);
            out.extend_from_slice(&(value as u32).to_be_bytes());
        }
        0x1_0000_0000.. => {
            out.push(0xcf);
            out.extend_from_slice(&value.to_be_bytes());
        }
        -32..0 => out.push(value as i8 as u8),
        -128..-32 => out.extend_from_slice(&[0xd0, value as u8]),
        -0x8000..-128 => {
            out.push(0xd1);
            out.extend_from_slice(&(value as i16).to_be_bytes());
        }
        -0x8000_0000..-0x8000 => {
            out.push(0xd2);
            out.extend_from_slice(&(value as i32).to_be_bytes());
        }
        _ => {
            out.push(0xd3);
            out.extend_from_slice(&value.to_be_bytes());
        }
    }
}

fn pack_table(table: &Table, depth: usize, out: &mut Vec<u8>) -> Result<(), Failure> {
    let (mut count, mut max, mut is_array) = (0, 0, true);
    for pair in table.pairs::<Value, Value>() {
        count += 1;
        match pair?.0 {
            Value::Integer(key) if key > 0 => max = max.max(key as usize),
            _ => is_array = false,
        }
    }
    if is_array && max == count {
        pack_len(count, [(0x90, 16), (0, 0), (0xdc, 1 << 16)], 0xdd, out);
        for index in 1..=count {
            pack_value(&table.raw_get(index)?, depth, out)?;
        }
        return Ok(());
    }
    pack_len(count, [(0x80, 16), (0, 0), (0xde, 1 << 16)], 0xdf, out);
    for pair in table.pairs::<Value, Value>() {
        let (key, value) = pair?;
        pack_value(&key, depth, out)?;
        pack_value(&value, depth, out)?;
    }
    Ok(())
}

/// Unpacks up to `limit` values, or all if it is 0. With `with_offset`, the first result is where the next value begins, or -1.
fn unpack(lua: &Lua, args: &Arguments, limit: i64, offset: i64, with_offset: bool) -> Returned {
    /// The stack of Lua takes no more results.
    const RESULTS_MAX: usize = 7000;
    let bytes = args.bytes(lua, "unpack", 1)?;
    let bytes = bytes.as_bytes();
    if offset < 0 || limit < 0 {
        let text = format!("Invalid request to unpack with offset of {offset} and limit of {limit}.");
        return Err(Failure::Text(text));
    }
    if offset as usize > bytes.len() {
        return Err(Failure::Text(format!("Start offset {offset} greater than input length {}.", bytes.len())));
    }
    let mut input = Input { lua, bytes: &bytes, at: offset as usize };
    let mut values = Vec::new();
    while input.at < bytes.len() && (limit == 0 || values.len() < limit as usize) {
        if values.len() == RESULTS_MAX {
            return Err(Failure::Text("too many results to unpack".to_owned()));
        }
        values.push(input.value(0)?);
    }
    if with_offset {
        let next = if input.at < bytes.len() { input.at as i64 } else { -1 };
        values.insert(0, Value::Integer(next));
    }
    Ok(MultiValue::from_iter(values))
}

struct Input<'a> {
    lua: &'a Lua,
    bytes: &'a [u8],
    at: usize,
}

impl Input<'_> {
    fn take(&mut self, len: usize) -> Result<&[u8], Failure> {
        let taken = self.at.checked_add(len).and_then(|end| self.bytes.get(self.at..end));
        let taken = taken.ok_or_else(|| Failure::Text("Missing bytes in input.".to_owned()))?;
        self.at += len;
        Ok(taken)
    }

    /// A big-endian number of up to 8 bytes.
    fn unsigned(&mut self, len: usize) -> Result<u64, Failure> {
        Ok(self.take(len)?.iter().fold(0, |value, &byte| value << 8 | u64::from(byte)))
    }

    fn signed(&mut self, len: usize) -> Result<Value, Failure> {
        let shift = 64 - 8 * len as u32;
        Ok(Value::Number(((self.unsigned(len)? << shift) as i64 >> shift) as f64))
    }

    fn string(&mut self, len: usize) -> Result<Value, Failure> {
        let lua = self.lua;
        Ok(Value::String(lua.create_string(self.take(len)?)?))
    }

    fn value(&mut self, depth: usize) -> Result<Value, Failure> {
        let head = self.take(1)?[0];
        let number = |value: u64| Value::Number(value as f64);
        Ok(match head {
            0..=0x7f => number(head.into()),
            0xe0..=0xff => Value::Integer((head as i8).into()),
            0x80..=0x8f => self.map((head & 15).into(), depth)?,
            0x90..=0x9f => self.array((head & 15).into(), depth)?,
            0xa0..=0xbf => self.string((head & 31).into())?,
            0xc0 => Value::Nil,
            0xc2 => Value::Boolean(false),
            0xc3 => Value::Boolean(true),
            0xca => Value::Number(f32::from_bits(self.unsigned(4)? as u32).into()),
            0xcb => Value::Number(f64::from_bits(self.unsigned(8)?)),
            0xcc..=0xcf => number(self.unsigned(1 << (head - 0xcc))?),
            0xd0..=0xd3 => self.signed(1 << (head - 0xd0))?,
            0xc4..=0xc6 | 0xd9..=0xdb => {
                let len = self.unsigned(1 << (if head < 0xd0 { head - 0xc4 } else { head - 0xd9 }))?;
                self.string(len as usize)?
            }
            0xdc | 0xdd => {
                let len = self.unsigned(2 << (head - 0xdc))?;
                self.array(len, depth)?
            }
            0xde | 0xdf => {
                let len = self.unsigned(2 << (head - 0xde))?;
                self.map(len, depth)?
            }
            _ => return Err(Failure::Text("Bad data format in input.".to_owned())),
        })
    }

    fn check_depth(depth: usize) -> Result<(), Failure> {
        if depth >= UNPACK_DEPTH_MAX {
            return Err(Failure::Text("stack overflow (in function mp_decode_to_lua_type)".to_owned()));
        }
        Ok(())
    }

    fn array(&mut self, len: u64, depth: usize) -> Result<Value, Failure> {
        Self::check_depth(depth)?;
        let table = self.lua.create_table()?;
        for index in 1..=len {
            let value = self.value(depth + 1)?;
            table.raw_set(index, value)?;
        }
        Ok(Value::Table(table))
    }

    fn map(&mut self, len: u64, depth: usize) -> Result<Value, Failure> {
        Self::check_depth(depth)?;
        let table = self.lua.create_table()?;
        for _ in 0..len {
            let key = self.value(depth + 1)?;
            let value = self.value(depth + 1)?;
            if key.is_nil() || as_number(&key).is_some_and(f64::is_nan) {
                return Err(Failure::Text("Bad data format in input.".to_owned()));
            }
            table.raw_set(key, value)?;
        }
        Ok(Value::Table(table))
    }
}
