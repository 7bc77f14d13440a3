//! `struct`: packed binary data from and to Lua values. (struct 0.2)

use mlua::{Lua, MultiValue, Table, Value};

use crate::library::{Arguments, Failure, Returned, add, as_number, bad_argument, one};

/// The largest size of an integer, in bytes.
const INTEGER_LEN_MAX: usize = 32;
/// The alignment that `!` without a number stands for.
const NATIVE_ALIGNMENT: usize = 8;

/// Builds the library.
pub fn library(lua: &Lua) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    add(lua, &table, "pack", pack)?;
    add(lua, &table, "unpack", unpack)?;
    add(lua, &table, "size", size)?;
    Ok(table)
}

/// The options of a format, read one after another.
struct Format<'a> {
    rest: &'a [u8],
    is_little: bool,
    alignment: usize,
    /// The position in the data so far.
    total: usize,
}

/// One option that stands for data.
struct Field {
    option: u8,
    /// The size in bytes; 0 for `s`, and for `c0`.
    size: usize,
    /// The bytes of padding before it.
    padding: usize,
}

impl<'a> Format<'a> {
    fn new(rest: &'a [u8]) -> Format<'a> {
        Format { rest, is_little: cfg!(target_endian = "little"), alignment: 1, total: 0 }
    }

    fn number(&mut self, default: usize) -> Result<usize, Failure> {
        if !self.rest.first().is_some_and(u8::is_ascii_digit) {
            return Ok(default);
        }
        let mut number = 0_usize;
        while let Some((digit, rest)) = self.rest.split_first().filter(|(digit, _)| digit.is_ascii_digit()) {
            number = number * 10 + usize::from(digit - b'0');
            if number > i32::MAX as usize {
                return Err(Failure::Text("integral size overflow".to_owned()));
            }
            self.rest = rest;
        }
        Ok(number)
    }

    /// The next field, or `None` at the end.
    fn next(&mut self) -> Result<Option<Field>, Failure> {
        while let Some((&option, rest)) = self.rest.split_first() {
            self.rest = rest;
            let size = match option {
                b'B' | b'b' | b'x' => 1,
                b'H' | b'h' => 2,
                b'L' | b'l' | b'T' | b'd' => 8,
                b'f' => 4,
                b'c' => self.number(1)?,
                b's' => 0,
                b'i' | b'I' => {
                    let size = self.number(4)?;
                    if size > INTEGER_LEN_MAX {
                        let text = format!("integral size {size} is larger than limit of {INTEGER_LEN_MAX}");
                        return Err(Failure::Text(text));
                    }
                    size
                }
                b' ' => continue,
                b'>' => {
                    self.is_little = false;
                    continue;
                }
                b'<' => {
                    self.is_little = true;
                    continue;
                }
                b'!' => {
                    let alignment = self.number(NATIVE_ALIGNMENT)?;
                    if alignment == 0 || !alignment.is_power_of_two() {
                        return Err(Failure::Text("alignment is not a power of 2".to_owned()));
                    }
                    self.alignment = alignment;
                    continue;
                }
                _ => return Err(Failure::Text(format!("invalid format option '{}'", option as char))),
            };
            let is_aligned = size > 1 && option != b'c';
            let align = if is_aligned { size.min(self.alignment) } else { 1 };
            let padding = (align - (self.total & (align - 1))) & (align - 1);
            return Ok(Some(Field { option, size, padding }));
        }
        Ok(None)
    }

    fn advance(&mut self, len: usize) -> Result<(), Failure> {
        self.total = self.total.checked_add(len).filter(|&total| total <= i32::MAX as usize).ok_or_else(too_large)?;
        Ok(())
    }
}

fn too_large() -> Failure {
    bad_argument(1, "size", "format result too large")
}

fn ordered(bytes: &mut [u8], is_little: bool) {
    if !is_little {
        bytes.reverse();
    }
}

fn pack(lua: &Lua, args: &Arguments) -> Returned {
    let format = args.bytes(lua, "pack", 1)?;
    let format = format.as_bytes();
    let mut format = Format::new(&format);
    let mut out = Vec::new();
    let mut index = 2;
    while let Some(Field { option, size, padding }) = format.next()? {
        out.resize(out.len() + padding, 0);
        let start = out.len();
        match option {
            b'x' => out.push(0),
            b's' | b'c' => {
                let bytes = args.bytes(lua, "pack", index)?;
                let bytes = bytes.as_bytes();
                let size = if size == 0 { bytes.len() } else { size };
                if bytes.len() < size {
                    return Err(bad_argument(index, "pack", "string too short"));
                }
                out.extend_from_slice(&bytes[..size]);
                if option == b's' {
                    out.push(0);
                }
                index += 1;
            }
            b'f' | b'd' => {
                let number = args.number("pack", index)?;
                if option == b'f' {
                    out.extend_from_slice(&(number as f32).to_le_bytes());
                } else {
                    out.extend_from_slice(&number.to_le_bytes());
                }
                ordered(&mut out[start..], format.is_little);
                index += 1;
            }
            _ => {
                let number = args.number("pack", index)?;
                // As C converts it: a negative number by way of a signed integer.
                let value = if number < 0.0 { number as i64 as u64 } else { number as u64 };
                let fill = if (value as i64) < 0 && number < 0.0 { 0xff } else { 0 };
                let bytes = value.to_le_bytes();
                out.extend((0..size).map(|at| bytes.get(at).copied().unwrap_or(fill)));
                ordered(&mut out[start..], format.is_little);
                index += 1;
            }
        }
        let written = out.len() - start + padding;
        format.advance(written)?;
    }
    one(Value::String(lua.create_string(&out)?))
}

fn unpack(lua: &Lua, args: &Arguments) -> Returned {
    const RESULTS_MAX: usize = 7000;
    let format = args.bytes(lua, "unpack", 1)?;
    let data = args.bytes(lua, "unpack", 2)?;
    let (format, data) = (format.as_bytes(), data.as_bytes());
    let mut format = Format::new(&format);
    let start = if args.len() < 3 { 1 } else { args.integer("unpack", 3)? };
    if start < 1 {
        return Err(bad_argument(3, "unpack", "offset must be 1 or greater"));
    }
    let too_short = || bad_argument(2, "unpack", "data string too short");
    let mut at = (start - 1) as usize;
    let mut values: Vec<Value> = Vec::new();
    while let Some(Field { option, size, padding }) = {
        format.total = at;
        format.next()?
    } {
        at = at.checked_add(padding).ok_or_else(too_short)?;
        let field = at.checked_add(size).and_then(|end| data.get(at..end)).ok_or_else(too_short)?;
        if values.len() == RESULTS_MAX {
            return Err(Failure::Text("too many results".to_owned()));
        }
        let mut size = size;
        match option {
            b'x' => {}
            b's' => {
                let len = data[at..].iter().position(|&byte| byte == 0);
                let len = len.ok_or_else(|| Failure::Text("unfinished string in data".to_owned()))?;
                values.push(Value::String(lua.create_string(&data[at..at + len])?));
                size = len + 1;
            }
            b'c' => {
                if size == 0 {
                    // `c0` takes its length from the number before it.
                    let len = values.pop().as_ref().and_then(as_number);
                    let len = len.ok_or_else(|| Failure::Text("format 'c0' needs a previous size".to_owned()))?;
                    if len < 0.0 || len > (data.len() - at) as f64 {
                        return Err(too_short());
                    }
                    size = len as usize;
                }
                values.push(Value::String(lua.create_string(&data[at..at + size])?));
            }
            b'f' | b'd' => {
                let mut bytes = [0; 8];
                bytes[..size].copy_from_slice(field);
                ordered(&mut bytes[..size], format.is_little);
                let number = if option == b'f' {
                    f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]).into()
                } else {
                    f64::from_le_bytes(bytes)
                };
                values.push(Value::Number(number));
            }
            _ => {
                let byte = |at: usize| if format.is_little { field[at] } else { field[size - 1 - at] };
                let value = (0..size.min(8)).fold(0_u64, |value, at| value | u64::from(byte(at)) << (8 * at));
                let is_signed = option.is_ascii_lowercase();
                let number = if is_signed && size > 0 && size <= 8 {
                    let shift = 64 - 8 * size as u32;
                    (((value << shift) as i64) >> shift) as f64
                } else if is_signed {
                    value as i64 as f64
                } else {
                    value as f64
                };
                values.push(Value::Number(number));
            }
        }
        at += size;
    }
    values.push(Value::Integer(at as i64 + 1));
    Ok(MultiValue::from_iter(values))
}

fn size(lua: &Lua, args: &Arguments) -> Returned {
    let format = args.bytes(lua, "size", 1)?;
    let format = format.as_bytes();
    let mut format = Format::new(&format);
    while let Some(Field { option, size, padding }) = format.next()? {
        if option == b's' {
            return Err(bad_argument(1, "size", "variable-size format in 'size'"));
        }
        if option == b'c' && size == 0 {
            return Err(bad_argument(1, "size", "variable-length format in 'size'"));
        }
        let total = padding.checked_add(size).ok_or_else(too_large)?;
        format.advance(total)?;
    }
    one(Value::Integer(format.total as i64))
}
